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

from scratchgan.support import npz
from scratchgan.support.costs import afford
from scratchgan.support.errors import DataError, UserError
from scratchgan.support.files import reading, replacing

FORMATS = ("npz", "json")
NUMBERS = "fiub"  # the kinds of dtype that are read
LARGEST = 1 << 26  # bytes of a file, packed or unpacked: our largest vectors, as JSON, have a fifth of it
EXPANSION = 30  # bytes of memory that Python takes for a byte of JSON, at most
AXES = 8  # of an array: our own have 5, and the search for causes tries every order of them


class Vectors(NamedTuple):
    """The content of a file: what it is about, and its arrays by key."""

    manifest: dict
    arrays: dict


def write(path, format, vectors):
    """Write vectors in full or not at all, as "npz" or "json"; raise UserError where `path` cannot be written."""
    path = Path(path)
    if not path.name or path.absolute().parent == Path("/dev"):  # /dev/stdout is not to be replaced
        raise UserError(f"Cannot write {path}: it is no file.")
    try:
        with replacing(path) as file:
            file.write(as_json(vectors) if format == "json" else as_npz(vectors))
    except ValueError as error:  # a NUL in its name
        raise UserError(f"Cannot write {path}: {error}.") from error


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
            numpy.save(content, numpy.array(array, array.dtype.newbyteorder("<"), order="C"))  # on every machine
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), content.getvalue())
    return buffer.getvalue()


def texts(vectors):
    """Return the text files beside the arrays, {name: text}. arrays.txt is made for fscanf: KEY DTYPE RANK SIDES."""
    rows = [(key, array.dtype.name, array.ndim, *array.shape) for key, array in vectors.arrays.items()]
    return {
        "README.txt": "".join(f"{line}\n" for line in vectors.manifest["conventions"]),
        "manifest.json": json.dumps(vectors.manifest, indent=1) + "\n",
        "arrays.txt": "".join(" ".join(map(str, row)) + "\n" for row in rows),
    }


def read(path):
    """Return the Vectors in a file; results written by others need no manifest, and get an empty one.

    Raises DataError, naming the file and what is wrong with it, whatever the file is.
    """
    with reading(path, limit=LARGEST, error=DataError) as file:
        content = file.read()
    return (read_npz if content.startswith(b"PK") else read_json)(path, content)


def read_npz(path, content):
    """Return the Vectors in an .npz file, compressed or not."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
            parts = {part.filename.removesuffix(".npy"): unpack(archive, part) for part in archive.infolist()}
        arrays = {name: npz.array(name, content) for name, content in parts.items() if npz.is_array(content)}
    except Exception as error:  # damaged bytes may raise anything
        raise DataError(f"{path} is damaged, or holds something other than arrays of numbers: {error}.") from error
    manifest = parse_json(f"manifest.json in {path}", parts.get("manifest.json", b"{}"))
    return Vectors(manifest, {key: number(path, key, array) for key, array in arrays.items()})


def unpack(archive, part):
    """Return the bytes of a part of a zip file, as many as it announces: what it holds may be far more."""
    with archive.open(part) as file:
        return file.read(part.file_size)


def read_json(path, content):
    """Return the Vectors in a .json file: {"arrays": {key: {"shape": [...], "data": [...]}}}, or {key: [...]}."""
    afford(EXPANSION * len(content), str(path), "write an .npz file", DataError)
    fields = parse_json(path, content)
    manifest, given = fields.pop("manifest", {}), fields.pop("arrays", fields)
    if not isinstance(manifest, dict) or not isinstance(given, dict):
        raise DataError(f"{path}: its manifest and its arrays must be objects, of values by name.")
    return Vectors(manifest, {key: json_array(path, key, value) for key, value in given.items()})


def json_array(path, key, value):
    """Return the array that a value of a .json file stands for; raise DataError where it stands for none."""
    entry = value if isinstance(value, dict) else {"data": value}
    try:
        dtype = numpy.dtype(entry.get("dtype", "float32" if "/float32/" in key else "float64"))
        if dtype.kind not in NUMBERS:  # before there is an array: text of 10^9 letters would take that much an entry
            raise DataError(f"{path}: {key} holds {dtype}, wanted real numbers.")
        array = numpy.array(entry["data"], dtype)
        return number(path, key, array.reshape(entry.get("shape", array.shape)))
    except DataError:
        raise
    except Exception as error:  # a dtype, a shape and numbers of others may raise anything
        raise DataError(f"{path}: {key} is no array of numbers ({type(error).__name__}: {error}).") from error


def parse_json(path, content):
    """Return the object that JSON text stands for, in UTF-8, -16 or -32, with nan and inf as C prints them.

    Raises DataError where it stands for none.
    """
    try:
        text = content.decode(json.detect_encoding(content)).strip()
        if not text.startswith("{"):
            raise DataError(f"{path} is no results file: wanted an .npz file, or a JSON object.")
        text = re.sub(r"(?<=[\[,\s])(-?)inf(?=[\],\s])", r"\1Infinity", text)
        return json.loads(re.sub(r"(?<=[\[,\s])-?nan(?=[\],\s])", "NaN", text))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}.") from error


def number(path, key, array):
    """Return an array if it holds numbers, else raise DataError."""
    if array.dtype.kind not in NUMBERS:
        raise DataError(f"{path}: {key} holds {array.dtype}, wanted real numbers.")
    if array.ndim > AXES:
        raise DataError(f"{path}: {key} has {array.ndim} axes, wanted {AXES} at most.")
    return array
