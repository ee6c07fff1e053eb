"""A hole in the middle of pictures: where it is, and pictures of which it hides a part."""

import numpy as np

from scratchgan.data.checks import check_whole
from scratchgan.support.errors import DataError


def middle(side, hole):
    """Return the index of a square hole in the middle of pictures (N, side, side, ...), of any kind of array.

    Raises DataError for a hole that is larger than the picture, and where no middle is: for an odd one in an even side.
    """
    check_whole("side of a picture", side)
    check_whole("side of a hole", hole)
    if hole > side or (side - hole) % 2:
        take = f"take {'an odd' if side % 2 else 'an even'} side of at most {side}"
        raise DataError(f"A hole of {hole} x {hole} has no place in the middle of {side} x {side} pixels: {take}.")
    rows = slice((side - hole) // 2, (side + hole) // 2)
    return slice(None), rows, rows


def hide(images, hole, colour):
    """Return copies of pictures (N, H, H, C) with a hole in the middle that has one colour (C,), in levels of 255.

    What was in the hole is gone. Raises DataError as `middle` does, and for pictures that are not square, or no colour.
    """
    if images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise DataError(f"A hole is for square pictures (N, H, H, C); these are of shape {images.shape}.")
    colour = np.asarray(colour)
    if colour.shape != images.shape[3:] or not ((colour >= 0) & (colour <= 255)).all():
        raise DataError(f"A colour is {images.shape[3]} numbers from 0 to 255, not {colour.tolist()}.")
    hidden = images.copy()
    hidden[middle(images.shape[1], hole)] = np.rint(colour)
    return hidden
