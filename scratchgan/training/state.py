"""The state of an object as arrays by name: everything that it holds, found by walking through its attributes."""

import contextlib
import copyreg
import functools
import json
import types

import numpy as np

from scratchgan import xp
from scratchgan.layers import Layer
from scratchgan.rng import rng_state, set_rng_state

# What holds nothing that training changes.
CODE = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, type, np.ufunc,
    functools.partial,
)  # fmt: skip


def pack(path, value):
    """Return {path: NumPy array} for all that `value` and its parts hold; raise TypeError where that cannot be told.

    A number, text, None, or a list or dictionary of those becomes one array of JSON text, so that it returns as
    just what it was: whether 0.5 is a Python number or a NumPy number decides about the dtype of what it multiplies.
    """
    if isinstance(value, CODE):
        return {}
    if hasattr(value, "state") and hasattr(value, "load_state"):
        return {f"{path}/{name}": array for name, array in value.state().items()}
    if isinstance(value, np.random.Generator):
        return {path: rng_state(value)}
    if isinstance(value, np.ndarray | np.generic | xp.ndarray):
        array = np.array(xp.to_host(value))
        if array.dtype.kind not in "biufcU":
            raise TypeError(f"{path} is an array of {array.dtype}, which a checkpoint cannot hold")
        return {path: array}
    if plain(value):
        return {path: np.array(json.dumps(value))}
    found = {}
    for key, item in items(path, value):
        found |= pack(f"{path}/{key}", item)
    return found


def unpack(path, value, state):
    """Return `value` with the contents that `pack` gave for it: itself, changed, where others may hold on to it."""
    if isinstance(value, CODE):
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
    (value if isinstance(value, dict) else vars(value)).update(parts)
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


def whole(value):
    """Whether `pack` does not look inside: code, arrays, and what has a state of its own."""
    return isinstance(value, (*CODE, np.ndarray, np.generic, xp.ndarray)) or hasattr(value, "state") or plain(value)


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
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, dict):
        return list(value.items())
    if only_attributes(value):
        return list(vars(value).items())
    raise TypeError(
        f"{path} is a {type(value).__name__}, which a checkpoint cannot hold: "
        "make it a property or a class attribute if it never changes, or give it state() and load_state()"
    )


def only_attributes(value):
    """Whether an object consists of its attributes and nothing else, as a copy of it by `copy.copy` would.

    Not so: an Enum, a set, a deque, a `random.Random` with its state in C.
    """
    try:
        make, arguments, attributes, *_ = value.__reduce_ex__(2)
    except Exception:  # it cannot be copied, for any reason
        return False
    plainly_made = make is copyreg.__newobj__ and arguments == (type(value),)
    return plainly_made and type(attributes) in (dict, types.NoneType) and hasattr(value, "__dict__")


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


# ---- walking through a model -----------------------------------------------------------------------------


def find(path, value, kind):
    """Yield (path, part) for every object of a type in an attribute, inside what `pack` takes apart too."""
    if isinstance(value, kind):
        yield path, value
    elif isinstance(value, list | tuple | dict) or not whole(value) and only_attributes(value):
        for key, item in items(path, value):
            yield from find(f"{path}.{key}", item, kind)


def find_all(model, kind):
    """Yield (path, part) for every object of a type in the attributes of a model."""
    for name, value in vars(model).items():
        yield from find(name, value, kind)


def find_layers(model):
    """Yield (path, layer) for every layer of a model's networks, such as ("D.2", Dense(128, 1))."""
    for name, network in find_all(model, Layer):
        for path, layer in network.named_layers():
            yield f"{name}.{path}".rstrip("."), layer


@contextlib.contextmanager
def generators_kept(model):
    """Let every random number generator of a model and its layers be after the `with` block as it was before."""
    generators = [rng for _, rng in find_all(model, np.random.Generator)]
    for _, layer in find_layers(model):
        generators += [rng for rng in vars(layer).values() if isinstance(rng, np.random.Generator)]
    before = [rng.bit_generator.state for rng in generators]
    try:
        yield
    finally:
        for rng, state in zip(generators, before, strict=True):
            rng.bit_generator.state = state
