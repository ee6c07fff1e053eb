"""What an object, a dictionary or a list holds, however deep; tuples of arrays as one vector; what a copy would lose.

A path is a tuple of keys: ("self", "layers", 0, "W") is self.layers[0].W.
"""

import copy
import inspect
from collections import deque
from collections.abc import Iterator

import numpy

from scratchgan.gradcheck.arrays import FOREIGN, is_array

PARAMS = ("params", "parameters", "trainable_params", "get_params", "params_and_grads", "parameters_and_grads")
GRADS = ("grads", "gradients", "grad", "get_grads", "dparams")
VALUES = ("value", "data")  # of an object that holds one array, beside its `grad`
INDEXED = dict | list | tuple | deque
VISITS = 3  # of one object, under several names: its gradient may stand beside any of them


def follow(owner, path):
    """Return what is at a path, None if there is nothing; a method such as parameters() is called."""
    try:
        for key in path:
            if isinstance(owner, INDEXED):
                owner = owner[key]
                continue
            owner = getattr(owner, key)
            if key in (*PARAMS, *GRADS):
                owner = owner() if callable(owner) else owner
                owner = list(owner) if isinstance(owner, Iterator) else owner
    except Exception:  # a property or a method of the code under test may raise anything
        return None
    return owner


def put(owner, path, value):
    """Set what is at a path; instead of a tuple, a new one is put in its place."""
    holder, key = follow(owner, path[:-1]), path[-1]
    if isinstance(holder, tuple):
        items = [value if i == key else item for i, item in enumerate(holder)]
        put(owner, path[:-1], tuple(items) if type(holder) is tuple else type(holder)(*items))
    elif isinstance(holder, INDEXED):
        holder[key] = value
    else:
        setattr(holder, key, value)


def write(owner, paths, value, share=True):
    """Set what is at these paths; share: an array is written into the one there, if it fits, as others share it."""
    held = follow(owner, paths[0])
    fits = share and is_array(held) and held.shape == value.shape and held.dtype == value.dtype
    if fits and getattr(held, "flags", value.flags).writeable:
        held[...] = value
        return
    for path in paths:
        put(owner, path, float(value) if isinstance(held, float) else value)  # a Python number stays one


def members(value):
    """Return [(key, inner)] of all that something holds; None for what holds nothing, such as an array or a number."""
    if isinstance(value, INDEXED):
        return list(value.items() if isinstance(value, dict) else enumerate(value))
    leaf = isinstance(value, type | numpy.generic | numpy.ndarray) or inspect.ismodule(value)
    if leaf or inspect.isroutine(value) or is_array(value) or type(value).__module__.split(".")[0] in FOREIGN:
        return None
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
    keys = [*getattr(value, "__dict__", ()), *slots]
    keys += [name for name in (*PARAMS, *GRADS) if keys and name not in keys and hasattr(type(value), name)]
    return [(key, follow(value, (key,))) for key in keys] or None


def walk(owner, whole=False):
    """Yield (path, leaf) of all that an object holds, however deep, the shortest paths first; whole: holders too."""
    queue, seen = deque([((), owner)]), {}
    while queue:
        path, value = queue.popleft()
        inner, visits = members(value), seen.get(id(value), [])
        if inner is None or whole:
            yield path, value
        if inner is not None and len(visits) < VISITS:
            seen[id(value)] = [*visits, value]  # it is kept alive: ids of the dead are given away again
            queue.extend(((*path, key), part) for key, part in inner)


def is_numbers(value):
    """Whether something is a list of numbers, nested or not, with a float among them: an array by another name."""
    leaves = [leaf for _, leaf in walk(value)] if isinstance(value, list) else []
    return any(isinstance(leaf, float) for leaf in leaves) and all(isinstance(leaf, int | float) for leaf in leaves)


def name_of(path):
    """Return a path as people write it, layers[0].W, without the names that say nothing."""
    text = ""
    for i, key in enumerate(path):
        quiet = (i and key in VALUES) or (key in PARAMS and isinstance((*path, 0)[i + 1], str))
        text += "" if quiet else f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.lstrip(".")


def joined(parts, like):
    """Return a tuple of arrays, nested or not, as one vector; a single array as it is.

    like: the tuple whose arrays of floats count. What is None in `parts` is zeros there.
    """
    if not isinstance(like, tuple):
        return parts
    from scratchgan import xp

    pairs = [(follow(parts, path), array) for path, array in walk(like) if is_array(array, "fc")]
    return xp.concatenate([xp.zeros(a.size, dtype=a.dtype) if part is None else part.ravel() for part, a in pairs])


def parted(vector, like):
    """Return a vector cut into arrays, with None for what is no array of floats: undoes `joined`."""
    if not isinstance(like, tuple):
        return vector
    root, start = [like], 0
    for path, array in walk(like):
        size = array.size if is_array(array, "fc") else 0
        put(root, (0, *path), vector[start : start + size].reshape(array.shape) if is_array(array, "fc") else None)
        start += size
    return root[0]


def bound(owner):
    """Whether a copy of an object would still read the original, or have views, W = flat[:6], as separate arrays."""
    parts = {id(part): part for _, part in walk(owner, whole=True)}
    cells = [cell for part in parts.values() for cell in getattr(part, "__closure__", None) or ()]
    read = [parts.get(id(cell.cell_contents)) for cell in cells]
    arrays = [part for part in parts.values() if isinstance(part, numpy.ndarray)]
    bases = {id(array if array.base is None else array.base) for array in arrays}
    return len(bases) < len(arrays) or any(is_array(part) or members(part) is not None for part in read)


def uncopied(owner, args):
    """Return deepcopy's memo with what copies share: what cannot be copied, such as a lock, or is `bound`."""
    memo, both = {id(owner): owner} if bound(owner) else {}, [owner, args]
    parts = [] if copies(both, memo) else [part for _, part in walk(both, whole=True)]
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
