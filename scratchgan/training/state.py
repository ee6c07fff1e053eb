"""The state of an object as arrays by name: everything that it holds, in attributes, lists, tuples and dictionaries."""

import contextlib
import json

import numpy as np

from scratchgan import walk, xp
from scratchgan.support import npz
from scratchgan.support.rng import rng_state, set_rng_state


def pack(path, value):
    """Return {path: NumPy array} for all that `value` and its parts hold; raise TypeError where that cannot be told.

    A number, text, None, or a list or dictionary of those becomes one array of JSON text, so that it returns as
    just what it was: whether 0.5 is a Python number or a NumPy number decides about the dtype of what it multiplies.
    """
    if isinstance(value, walk.CODE):
        return {}
    if hasattr(value, "state") and hasattr(value, "load_state"):
        return {f"{path}/{name}": array for name, array in value.state().items()}
    if isinstance(value, np.random.Generator):
        return {path: rng_state(value)}
    if isinstance(value, np.ndarray | np.generic | xp.ndarray):
        array = np.array(xp.to_host(value))
        if array.dtype.kind not in npz.NUMBERS_AND_TEXT:
            raise TypeError(f"{path} is an array of {array.dtype}, which a checkpoint cannot hold")
        return {path: array}
    if plain(value):
        return {path: np.array(json.dumps(value))}
    arrays = {}
    for key, item in items(path, value):
        arrays |= pack(f"{path}/{key}", item)
    return arrays


def unpack(path, value, state):
    """Return `value` with the contents that `pack` gave for it: itself, changed, where others may hold on to it."""
    if isinstance(value, walk.CODE):
        return value
    if hasattr(value, "state") and hasattr(value, "load_state"):
        start = f"{path}/"
        value.load_state({name[len(start) :]: array for name, array in state.items() if name.startswith(start)})
        return value
    if isinstance(value, np.random.Generator):
        set_rng_state(value, state[path])
        return value
    if path in state:
        return unpack_array(value, state[path])
    parts = {key: unpack(f"{path}/{key}", item, state) for key, item in items(path, value)}
    if isinstance(value, list | tuple):
        return value._make(parts.values()) if hasattr(value, "_make") else type(value)(parts.values())
    for key, part in parts.items():
        walk.put(value, key, part)
    return value


def unpack_array(value, array):
    """Return what an array of `pack` stands for; `value` is what stands in its place at present."""
    is_array = isinstance(value, np.ndarray | xp.ndarray)
    if array.dtype.kind == "U" and not (isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "U"):
        return json.loads(str(array))
    if is_array and value.shape == array.shape and value.dtype == array.dtype:
        value[...] = array if isinstance(value, np.ndarray) else xp.to_device(array)
        return value
    if xp.on_gpu() and not isinstance(value, np.ndarray | np.generic):
        return xp.to_device(array)
    return array[()].copy()  # [()] makes a 0-d array the NumPy number that it was


def plain(value):
    """Whether JSON returns `value` as just what it was."""
    if type(value) is list:
        return all(plain(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and plain(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str)


def items(path, value):
    """Return the (key, part) pairs that a collection or an object consists of; raise TypeError if it cannot be told."""
    if path.count("/") > 20:
        raise TypeError(f"{path} contains itself, which a checkpoint cannot hold")
    if isinstance(value, list | tuple | dict):
        return walk.parts(value)
    attributes = walk.attributes(value)
    if attributes is not None:
        return list(attributes.items())
    raise TypeError(
        f"{path} is a {type(value).__name__}, which a checkpoint cannot hold: "
        "make it a property or a class attribute if it never changes, or give it state() and load_state()"
    )


# ---- looking at a state ----------------------------------------------------------------------------------


def difference(own, state):
    """Return what keeps `state` from being loaded where `own` is the present state, or None if nothing does."""
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        sides = (("here", missing), ("in the checkpoint", unknown))
        return " and ".join(f"{some(names)} only {side}" for side, names in sides if names)
    for name, array in own.items():
        stored = state[name]
        if array.shape != stored.shape:
            return f"{name} is {array.shape} here, {stored.shape} in the checkpoint"
        text = array.dtype.kind == stored.dtype.kind == "U"  # of any length
        # A model's own attributes (no "/" in the name) are replaced: a number may have become an array.
        if "/" in name and array.dtype != stored.dtype and not text:
            return f"{name} is {array.dtype} here, {stored.dtype} in the checkpoint"
    return None


def some(names):
    """Return a few of many names as text."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def first_not_finite(state):
    """Return the name of the first array of a network or an optimizer that holds a NaN or an infinity, or None.

    A model's own attributes (no "/" in the name) may hold an infinity for good reasons, such as a best so far.
    """
    for name, array in state.items():
        if "/" in name and array.dtype.kind in "fc" and not np.isfinite(array).all():
            return name
    return None


@contextlib.contextmanager
def generators_kept(model):
    """Let every random number generator of a model and its layers be after the `with` block as it was before."""
    generators = [rng for _, rng in walk.find(vars(model), np.random.Generator)]
    before = [rng.bit_generator.state for rng in generators]
    try:
        yield
    finally:
        for rng, state in zip(generators, before, strict=True):
            rng.bit_generator.state = state
