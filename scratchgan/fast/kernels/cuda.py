"""What all kernels share: which arrays they take, and how one is launched. Their text is CUDA, T being the dtype."""

import functools
import re

from scratchgan import xp

TYPES = {"f": "float", "d": "double"}  # what T stands for, by the character of a dtype
THREADS = 256  # of a block in one dimension
WIDTH, HEIGHT = 32, 8  # of a block in two: neighbouring columns, which lie side by side in memory, and rows


def can_take(*arrays):
    """Whether the kernels can take these: CuPy's arrays (not its stand-in's), float32 or float64, C-contiguous."""
    return xp.on_gpu() and hasattr(xp, "RawKernel") and all(map(fits, arrays))


def fits(array):
    """Whether an array is one of the device, of a dtype and order that the kernels are written for."""
    return isinstance(array, xp.ndarray) and array.dtype.char in TYPES and array.flags.c_contiguous


def launch(text, blocks, *arguments):
    """Run a kernel without waiting for it; the dtype of the first argument is its T.

    blocks: (grid, block), as `line` or `plane` returns them. Of the other arguments, CuPy passes arrays as pointers,
    ints as long long and floats as double, with the launch itself: no number waits for the device.
    """
    grid, block = blocks
    if all(grid):  # an empty array needs no threads, and CUDA refuses to start none
        compiled(text, arguments[0].dtype.char)(grid, block, arguments)


@functools.cache
def compiled(text, character):
    """Return a kernel; CuPy compiles it at its first launch, and keeps the result in a folder of its own."""
    return xp.RawKernel(source(text, character), name(text))


def source(text, character):
    """Return the text that is compiled for arrays of a dtype."""
    return f"typedef {TYPES[character]} T;\n{text}"


def name(text):
    """Return the name of the kernel in a text."""
    return re.search(r"__global__ void (\w+)", text)[1]


def line(n):
    """Return (grid, block) for a thread for each of n elements."""
    return (-(-n // THREADS),), (THREADS,)


def plane(rows, columns):
    """Return (grid, block) for a matrix: a thread takes one column, and every (HEIGHT * grid[1])th row."""
    across = -(-columns // WIDTH)
    return (across, min(-(-rows // HEIGHT), max(1, 1024 // across))), (WIDTH, HEIGHT)  # 1,024 blocks fill a GPU
