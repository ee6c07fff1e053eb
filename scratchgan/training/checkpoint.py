"""Checkpoints: arrays and a few facts in one .npz file, written in full or not at all, and read without trust."""

import io
import json
import math
import os
import zipfile

import numpy as np
from numpy.lib import format as npy

from scratchgan.errors import CheckpointError
from scratchgan.files import replacing

FORMAT = 1


def save(path, arrays, meta):
    """Write {name: array} and `meta`, a dictionary for JSON, to the .npz file `path`, without pickle.

    `path` holds either its former content or all of the new, whatever happens during the write.
    Raises TypeError for an array of objects, and UserError where the file cannot be written.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "biufcU":
            raise TypeError(f"{name} is an array of {array.dtype}: a checkpoint holds numbers and text")
    facts = {"format": FORMAT, "names": sorted(arrays), "meta": meta}
    with replacing(path) as file:
        np.savez(file, **{f"arrays/{name}": array for name, array in arrays.items()}, meta=np.array(json.dumps(facts)))


def load(path):
    """Return (arrays, meta) of a file that `save` wrote.

    Raises CheckpointError, naming the file, if it is missing, damaged, or not of this kind. The file is not
    trusted: nothing in it is run, and it cannot ask for more memory than its own size.
    """
    try:
        members = read_zip(path)
        facts = json.loads(str(members.pop("meta")))
        if facts["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {facts['format']}, this version of scratchgan reads format {FORMAT}: "
                "use the version that wrote it"
            )
        arrays = {name.removeprefix("arrays/"): array for name, array in members.items()}
        if sorted(arrays) != facts["names"] or not isinstance(facts["meta"], dict):
            raise ValueError("arrays are missing")
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}.") from None
    except Exception as error:  # damaged bytes can raise nearly anything in zipfile, json and NumPy
        raise CheckpointError(
            f"{path} is damaged or is no checkpoint of scratchgan ({error}): use a copy of it or another run."
        ) from None
    return arrays, facts["meta"]


def read_zip(path):
    """Return {name: array} for the members of an .npz file; raise any exception if something is wrong with it."""
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise ValueError("a name appears twice")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed")
        # Members that share bytes could still add up to far more than the file.
        if sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise ValueError("it announces more than it holds")
        return {member.filename.removesuffix(".npy"): read_member(archive, member) for member in members}


def read_member(archive, member):
    """Return the array of one member, once its header is found to announce just what the member holds."""
    file = io.BytesIO(archive.read(member))  # zipfile compares the checksum
    major, _ = npy.read_magic(file)
    read_header = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[major]
    shape, _, dtype = read_header(file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in "biufcU" or dtype.itemsize == 0:
        raise ValueError(f"{member.filename} is an array of {dtype}")
    if min(shape, default=0) < 0 or size != member.file_size - file.tell():
        raise ValueError(f"{member.filename} announces an array of {size} bytes")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)
