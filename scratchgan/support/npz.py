"""Files .npz that may come from anywhere: nothing in them is run, and they get no more memory than their own size."""

import contextlib
import io
import math
import os
import zipfile

from numpy.lib import format as npy

from scratchgan.support import costs
from scratchgan.support.errors import UserError
from scratchgan.support.files import reading

NUMBERS_AND_TEXT = "biufcU"  # the kinds of dtype that are read
LONGEST_LIST = 10**7  # bytes of the list of members, of which zipfile makes many times as many
LONGEST_TEXT = 2**30  # bytes of a text, of which a reader of JSON makes some times as many


def read(path, error=UserError):
    """Return {name: array} for the members of an .npz file; raise any exception if something is wrong with it.

    Raises `error`, naming the file, where it is no file or larger than the memory that is free.
    """
    with reading(path, error=error) as file:
        size = os.fstat(file.fileno()).st_size
        costs.afford(size, f"What {path} holds", "use a machine with more, or a smaller file", error)
        with opened(file) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) < len(members):
                raise ValueError("a name appears twice")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed")
            # Members that share bytes could still add up to far more than the file.
            if sum(member.file_size for member in members) > size:
                raise ValueError("it announces more than it holds")
            return {member.filename.removesuffix(".npy"): read_member(archive, member) for member in members}


@contextlib.contextmanager
def opened(file):
    """Open a binary file as a zip file, unless its list of members is so long that it would fill the memory."""
    pieces = Pieces(file, LONGEST_LIST)
    with zipfile.ZipFile(pieces) as archive:
        pieces.longest = LONGEST_TEXT + 10**6  # with its header
        yield archive


class Pieces:
    """A file that is never asked for much at once: zipfile believes what a file says of the length of its parts."""

    def __init__(self, file, longest):
        self.longest = longest
        self.file, self.seek, self.tell, self.seekable = file, file.seek, file.tell, file.seekable

    def read(self, size=-1):
        content = self.file.read(min(size % 2**63, self.longest + 1))  # -1: all
        if len(content) > self.longest:
            raise ValueError("a list of its members or a header is too long")
        return content


def read_member(archive, member):
    """Return the array of one member."""
    with archive.open(member) as file:
        array = array_in(member.filename, file, member.file_size)
        if file.read(1):  # at the end, zipfile compares the checksum
            raise ValueError(f"{member.filename} is longer than it says")
        return array


def is_array(content):
    """Whether bytes begin as an array in a file does."""
    return content.startswith(npy.MAGIC_PREFIX)


def array(name, content):
    """Return the array of this name in bytes; raise any exception if they hold something else."""
    return array_in(name, io.BytesIO(content), len(content))


def array_in(name, file, length):
    """Return the array in a file of so many bytes, once its header is known to announce just what they hold."""
    major, _ = npy.read_magic(file)
    read_header = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[major]
    shape, _, dtype = read_header(file)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in NUMBERS_AND_TEXT or dtype.itemsize == 0:
        raise ValueError(f"{name} is an array of {dtype}")
    if min(shape, default=0) < 0 or size != length - file.tell():
        raise ValueError(f"{name} announces an array of {size} bytes")
    if dtype.kind == "U" and size > LONGEST_TEXT:
        raise ValueError(f"{name} is a text of {size:,} bytes")
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)
