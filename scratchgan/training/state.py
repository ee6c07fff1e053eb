"""The state of an object as arrays by name: everything that it holds, in attributes, lists, tuples and dictionaries."""

import contextlib
import json

import numpy as np

from scratchgan import walk, xp
from scratchgan.layers import Layer
from scratchgan.optim import EMA
from scratchgan.param import Param
from scratchgan.support import npz
from scratchgan.support.rng import rng_state, set_rng_state
from scratchgan.training.changes import decode, encode, filled, in_place, is_number, says_its_state

ARRAYS = ("plain", "generator", "array", "NumPy number", "part array")  # (kind, dtype, shape): each is one array


def pack(path, value, description):
    """Return {path: NumPy array} for all that `value` and its parts hold; raise TypeError where that cannot be told.

    A number, text, None, or a list or dictionary of those becomes one array of JSON text, so that it returns as
    just what it was: whether 0.5 is a Python number or a NumPy number decides about the dtype of what it multiplies.
    description: a `changes.Description`, to which all of it is added: from that, `unpack` makes the same again.
    """
    made = description.made
    if isinstance(value, walk.CODE):
        made[path] = ["thing", getattr(value, "__func__", value)]
        description.look_inside(f"{path}/", value)  # what a method belongs to may be held by nothing else
        return {}
    if says_its_state(value):
        return pack_part(path, value, description)
    description.saved.add(id(value))
    if isinstance(value, np.random.Generator):
        made[path] = ["generator", "text", []]
        return {path: rng_state(value)}
    if isinstance(value, np.ndarray | np.generic | xp.ndarray):
        array = np.array(xp.to_host(value))
        if array.dtype.kind not in npz.NUMBERS_AND_TEXT:
            raise TypeError(f"{path} is an array of {array.dtype}, which a checkpoint cannot hold")
        side = "device" if isinstance(value, xp.ndarray) else "host"
        made[path] = ["NumPy number", *form(array)] if isinstance(value, np.generic) else ["array", *form(array), side]
        return {path: array}
    if plain(value):
        made[path] = ["plain", "text", []]
        return {path: np.array(json.dumps(value))}
    inside, arrays = items(path, value), {}
    kind = [type(value).__name__] if type(value) in (list, tuple, dict) else ["object", type(value).__name__]
    made[path] = [*kind, [written(key) for key, _ in inside]]
    for key, item in inside:
        if f"{path}/{key}" in made:
            raise TypeError(f"{path} has two keys that are written {key}, which a checkpoint cannot hold")
        arrays |= pack(f"{path}/{key}", item, description)
    return arrays


def pack_part(path, part, description):
    """Do what `pack` does for a layer, an optimizer, or whatever else says itself what its state is."""
    arrays = {f"{path}/{name}": array for name, array in part.state().items()}
    description.made[path] = ["part", type(part).__name__]
    description.made |= {name: ["part array", *form(array)] for name, array in arrays.items()}
    description.look_inside(f"{path}/", part)
    net = part.net if isinstance(part, EMA) else part
    inside = dict(walk.find(net, object)) if isinstance(net, Layer) else {}
    for name, array in arrays.items():
        item = inside.get(name.removeprefix(f"{path}/"))
        description.saved.add(id(item.value if isinstance(item, Param) else item))
        if xp.is_array(item) and array.dtype.kind in "fc" and not np.isfinite(array).all():
            description.infinite[name] = array
    return arrays


def unpack(path, value, state, made):
    """Return `value` with the contents that `pack` gave for it: itself, changed, where others may hold on to it.

    made: how `pack` described it. What is an array, a number, a list or the like is made anew where it is missing.
    """
    kind, *rest = made[path]
    if kind == "thing":
        return value
    if kind == "part":
        if not says_its_state(value):
            raise ValueError(f"{path} is a {rest[0]} in the checkpoint, and a {type(value).__name__} here")
        own = [name for name in state if name.startswith(f"{path}/") and made[name][0] == "part array"]
        value.load_state({name.removeprefix(f"{path}/"): state[name] for name in own})
        return value
    if kind == "generator":
        set_rng_state(value, state[path])
        return value
    if kind in ARRAYS:
        return unpack_array(value, state[path], made[path])
    name, keys = rest if kind == "object" else (kind, *rest)
    same = type(value).__name__ == name
    if kind == "object" and not same:
        raise ValueError(f"{path} is a {name} in the checkpoint, and a {type(value).__name__} here")
    own = {json.dumps(written(key)): (key, item) for key, item in items(path, value)} if same else {}
    parts = {}
    for stored in keys:
        key, item = own.get(json.dumps(stored)) or (decode(stored), None)
        parts[key] = unpack(f"{path}/{key}", item, state, made)
    return filled(value if same else {"list": [], "tuple": (), "dict": {}}[kind], parts)


def unpack_array(value, array, what):
    """Return what an array of `pack` stands for, which was described as `what`; `value` is in its place at present."""
    if array.dtype.kind == "U" and (what[0] == "plain" or what[1] != "text"):
        return in_place(value, json.loads(str(array)))
    if what[0] == "array":
        if isinstance(value, np.ndarray | xp.ndarray) and (value.shape, value.dtype) == (array.shape, array.dtype):
            if getattr(value.flags, "writeable", True):
                value[...] = array if isinstance(value, np.ndarray) else xp.to_device(array)
                return value
        return xp.to_device(array.copy()) if what[3] == "device" else array.copy()
    return xp.to_device(array.copy()) if what[0] == "plain" and xp.on_gpu() else array[()]  # of an old checkpoint


def written(key):
    """Return the key of a dictionary for JSON; what is no number or text, as text."""
    return encode(key) if is_number(key) else str(key)


def form(array):
    """Return the dtype and the shape of an array, for JSON."""
    return ["text" if array.dtype.kind == "U" else str(array.dtype), list(array.shape)]


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


def difference(made, state, old):
    """Return what keeps `state` from being loaded into what `made` describes, or None if nothing does.

    old: whether the state does not tell what has changed, as those of before. Then a number among a model's own
    attributes (no "/" in the name) may be of another kind.
    """
    wanted = {name: what[1:3] for name, what in made.items() if what[0] in ARRAYS}
    missing, unknown = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unknown:
        sides = (("here", missing), ("in the checkpoint", unknown))
        return " and ".join(f"{some(names)} only {side}" for side, names in sides if names)
    for name, (dtype, shape) in wanted.items():
        stored, stored_shape = form(state[name])
        if shape != stored_shape:
            return f"{name} is {tuple(shape)} here, {tuple(stored_shape)} in the checkpoint"
        if dtype != stored and not (old and "/" not in name):
            return f"{name} is {dtype} here, {stored} in the checkpoint"
    return None


def some(names):
    """Return a few of many names as text."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def first_not_finite(state, built=None):
    """Return the name of the first array of a network or an optimizer that holds a NaN or an infinity, or None.

    A model's own attributes may hold an infinity, such as a best so far. built: a `changes.Description` of the model as
    it was built, which tells them (else, no "/" is in the name), and what else was infinite then: a mask of -inf.
    """
    for name, array in state.items():
        inside = "/" in name if built is None else built.made.get(name, [""])[0] == "part array"
        if inside and array.dtype.kind in "fc":
            bad = ~np.isfinite(array)
            constant = built.infinite.get(name) if built else None
            if constant is not None and constant.shape == array.shape:
                bad &= ~((array == constant) | np.isnan(constant))
            if bad.any():
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
