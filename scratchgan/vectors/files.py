"""Test vectors and results as files, .npz or .json, with the same keys in each.

A key is CASE/DTYPE/NAME, such as `stride_tail/float32/dW`; docs/vectors.md tells how to read each kind in C and Rust.
"""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy

from scratchgan.support.errors import DataError
from scratchgan.support.files import replacing

FORMATS = ("npz", "json")


class Vectors(NamedTuple):
    """The content of a file: what it is about, and its arrays by key."""

    manifest: dict
    arrays: dict


def write(path, format, vectors):
    """Write vectors in full or not at all, as "npz" or "json"; raise UserError where `path` cannot be written."""
    with replacing(path) as file:
        file.write(as_json(vectors) if format == "json" else as_npz(vectors))


def as_json(vectors):
    """Return the bytes of a .json file: an array is its dtype, its shape, and its numbers in row-major order."""
    arrays = {
        key: {"dtype": array.dtype.name, "shape": list(array.shape), "data": array.ravel().tolist()}
        for key, array in vectors.arrays.items()
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(array)}" for key, array in arrays.items())
    return f'{{"manifest": {json.dumps(vectors.manifest, indent=1)},\n"arrays": {{\n{lines}\n}}}}\n'.encode()


def as_npz(vectors):
    """Return the bytes of an .npz file, a zip file without compression: the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in texts(vectors).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # a ZipInfo without a date, unlike a plain name
        for key, array in vectors.arrays.items():
            content = io.BytesIO()
            numpy.save(content, little_endian(array))
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), content.getvalue())
    return buffer.getvalue()


def texts(vectors):
    """Return the text files beside the arrays, {name: text}. arrays.txt is made for fscanf: KEY DTYPE RANK SIDES."""
    lines = [
        " ".join(map(str, (key, array.dtype.name, array.ndim, *array.shape))) for key, array in vectors.arrays.items()
    ]
    return {
        "README.txt": "\n".join(vectors.manifest["conventions"]) + "\n",
        "manifest.json": json.dumps(vectors.manifest, indent=1) + "\n",
        "arrays.txt": "\n".join(lines) + "\n",
    }


def little_endian(array):
    """Return an array in row-major order with the lowest byte of each number first, on every machine."""
    return numpy.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).reshape(array.shape)


def read(path):
    """Return the Vectors in a file; results written by others need no manifest, and get an empty one.

    Raises DataError, naming the file and what is wrong with it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if content.startswith(b"PK"):
        return read_npz(path, content)
    if content.lstrip().startswith(b"{"):
        return read_json(path, content)
    raise DataError(f"{path} is no results file: wanted an .npz or a .json file.")


def read_npz(path, content):
    """Return the Vectors in an .npz file, compressed or not."""
    try:
        with numpy.load(io.BytesIO(content)) as archive:
            members = {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged bytes may raise anything: zlib's errors, a MemoryError for a huge header
        raise DataError(f"{path} is damaged, or holds something other than arrays of numbers: {error}.") from error
    manifest = parse_json(f"manifest.json in {path}", members.get("manifest.json", b"{}"))
    arrays = {key: number(path, key, array) for key, array in members.items() if isinstance(array, numpy.ndarray)}
    return Vectors(manifest, arrays)


def read_json(path, content):
    """Return the Vectors in a .json file: {"arrays": {key: {"shape": [...], "data": [...]}}}, or {key: [...]}."""
    fields = parse_json(path, content)
    manifest, given, arrays = fields.pop("manifest", {}), fields.pop("arrays", fields), {}
    if not isinstance(manifest, dict) or not isinstance(given, dict):
        raise DataError(f"{path}: its manifest and its arrays must be objects, of values by name.")
    for key, value in given.items():
        entry = value if isinstance(value, dict) else {"data": value}
        try:
            array = numpy.array(entry["data"], dtype=entry.get("dtype", dtype_of(key)))
            arrays[key] = number(path, key, array.reshape(entry.get("shape", array.shape)))
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{path}: {key} is no array of numbers ({error}).") from error
    return Vectors(manifest, arrays)


def parse_json(path, content):
    """Return the object that JSON text stands for, with nan and inf as C prints them; else raise DataError."""
    text = re.sub(rb"(?<=[\[,\s])(-?)inf(?=[\],\s])", rb"\1Infinity", content)
    try:
        value = json.loads(re.sub(rb"(?<=[\[,\s])-?nan(?=[\],\s])", b"NaN", text))
    except ValueError as error:
        raise DataError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise DataError(f"{path} cannot be read as JSON: it is a {kind}, wanted an object.")
    return value


def dtype_of(key):
    """Return the dtype that a key, CASE/DTYPE/NAME, stands for."""
    return "float32" if "/float32/" in key else "float64"


def number(path, key, array):
    """Return an array if it holds numbers, else raise DataError."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path}: {key} holds {array.dtype}, wanted real numbers.")
    return array
