"""Copies of objects: each call of the code under test gets its own. What cannot be copied is shared."""

import copy

import numpy

from scratchgan.gradcheck.arrays import is_array
from scratchgan.gradcheck.objects import members, walk
from scratchgan.gradcheck.plain import Subject


def on_copies(take, functions, **about):
    """Return a Subject whose calls work on the copies that take() returns; functions(take) gives start and finish."""

    def live():
        own = take()
        return on(lambda: own)

    on = lambda take: Subject(*functions(take), live, **about)
    return on(take)


def bound(owner):
    """Whether a copy of an object would still read the original, or have views, W = flat[:6], as separate arrays."""
    parts = {id(part): part for _, part in walk(owner, whole=True)}
    cells = [cell for part in parts.values() for cell in getattr(part, "__closure__", None) or ()]
    read = [parts.get(id(cell.cell_contents)) for cell in cells]
    arrays = [part for part in parts.values() if isinstance(part, numpy.ndarray)]
    bases = {id(array if array.base is None else array.base) for array in arrays}
    return len(bases) < len(arrays) or any(is_array(part) or members(part) is not None for part in read)


def uncopied(owner, memo):
    """Return deepcopy's memo with what cannot be copied, such as a lock or a module: copies share it."""
    parts = [] if copies(owner, memo) else [part for _, part in walk(owner, whole=True)]
    for part in sorted(reversed(parts), key=lambda part: members(part) is not None):  # leaves first
        memo |= {} if copies(part, memo) else {id(part): part}
    return memo


def copies(value, memo):
    """Whether a deep copy can be made; deepcopy calls methods of the code under test, which may raise anything."""
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:
        return False
    return True
