"""Files .npz that may come from anywhere: nothing in them is run, and they get no more memory than their own size."""

import io
import math
import os
import zipfile

from numpy.lib import format as npy

NUMBERS_AND_TEXT = "biufcU"  # the kinds of dtype that are read


def read(path):
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
    """Return the array of one member, once its header is known to announce just what the member holds."""
    file = io.BytesIO(archive.read(member))  # zipfile compares the checksum
    major, _ = npy.read_magic(file)
    read_header = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[major]
    shape, _, dtype = read_header(file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in NUMBERS_AND_TEXT or dtype.itemsize == 0:
        raise ValueError(f"{member.filename} is an array of {dtype}")
    if min(shape, default=0) < 0 or size != member.file_size - file.tell():
        raise ValueError(f"{member.filename} announces an array of {size} bytes")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)
