"""What a model is made of, as a flat {path: description}, and what training has changed of that.

A model is described when it is built, and again for each checkpoint, which holds what differs: as it was built, and as
it is now. A resumed run builds the model anew, and makes the same changes. A description is a list for JSON:

    D, opt_D             ["part", class]                what says itself what its state is: layers, optimizers, EMA
    D/0.W, opt_D/mean    ["part array", dtype, shape]   an array of that state
    opt_D/lr             ["number", value]              in a part: a number, text, None, or a collection of those
    D/5.loss             ["inside", class, keys]        in a part: what else can be looked into; keys of collections
    taken                ["plain", "text", []]          of the model: a number or the like, whose text is in the state
    fakes                ["array", dtype, shape, side]  of the model; also ["NumPy number", dtype, []]
    history              ["list", keys]                 of the model; also tuple, dict, and ["object", class, keys]
    rng                  ["generator", "text", []]      this and arrays also in a part, if its state lacks them: opt_D/u
    loss, D/5.mode       ["thing", object, contents]    a function, or what else nobody can look into
"""

import collections
import json
import random
import types

import numpy as np

from scratchgan import walk, xp
from scratchgan.data import Batches
from scratchgan.layers import Layer
from scratchgan.optim import Flat, Optimizer
from scratchgan.param import Param

MADE_ANEW = ("plain", "number", "array", "NumPy number", "list", "tuple", "dict")  # where there was something else
CHANGING = (set, bytearray, collections.deque, random.Random, np.random.RandomState, np.random.BitGenerator)
REMEDY = "make it in __init__, as a resumed run does, or no run can be resumed"


class Description:
    """What a model is made of at one moment."""

    def __init__(self, model):
        self.made = {}  # {path: description}
        self.places = {}  # {path: (holder, key)} of what is inside parts
        self.holders = {}  # {path with its last "." or "/": object} of parts, and of what is inside them
        self.loose = {}  # {path: array or generator} of what is inside parts
        self.saved = set()  # the ids of those that are in a state
        self.infinite = {}  # {path: array} of layers, no weights, that are not finite, such as a mask of -inf
        self.seen = {id(model)}  # what two paths lead to is looked into once

    def parts(self):
        """Return nothing: a `walk` through a model shall not go through what is known of it."""
        return []

    def look_inside(self, start, thing):
        """Describe what a part holds beside the arrays of its state; `start` is what the paths begin with."""
        self.holders[start] = thing
        if id(thing) in self.seen:
            return
        self.seen.add(id(thing))
        for key, item in inside(thing).items():
            if isinstance(item, walk.CODE) and callable(getattr(type(thing), str(key), None)):
                continue  # it stands in for a method, as where somebody watches a layer
            if key in ("memory", "arrays", "grad") and isinstance(thing, Optimizer | Batches | Param):
                continue  # in its state, the data, to be made anew
            path = f"{start}{key}"
            self.places[path] = thing, key
            kind = self.made.setdefault(path, described(item, thing))[0]  # an optimizer's steps are part of its state
            if kind == "inside" and (isinstance(item, np.random.Generator) or xp.is_array(item)):
                self.loose[path] = item
            if not is_number(item):
                self.look_inside(f"{path}.", item)


def inside(thing):
    """Return {key: item} of an object, by the names that `walk` knows, and all else that it has as attributes."""
    if isinstance(thing, types.MethodType):
        return {"__self__": thing.__self__}
    if isinstance(thing, (*walk.LEAVES, Flat)) or xp.is_array(thing):  # a Flat holds the arrays of others
        return {}
    return dict(walk.parts(thing)) | (walk.attributes(thing) or {})


def described(item, holder):
    """Return the description of what is inside a part."""
    if is_number(item):
        return ["number in a tuple" if isinstance(holder, tuple) else "number", encode(item)]  # a tuple stays as it is
    if isinstance(item, list | tuple | dict):
        return ["inside", type(item).__name__, [str(key) for key in inside(item)]]
    known = isinstance(item, Layer | Param | np.random.Generator) or xp.is_array(item)
    if isinstance(item, walk.CODE) or not known and walk.attributes(item) is None:
        contents = repr((item, item.__reduce__()[:3])) if isinstance(item, CHANGING) else None
        return ["thing", getattr(item, "__func__", item), contents]  # of a method, the object is looked into
    return ["inside", type(item).__name__]


# ---- what has changed ------------------------------------------------------------------------------------


def between(built, now):
    """Return {path: {"built": description, "now": description}} of what differs; a side that lacks it is left out."""
    changed = {}
    for path in sorted(built.keys() | now.keys()):
        before, after = built.get(path), now.get(path)
        if not alike(before, after) or before[0] == "thing" and before[1] is not after[1]:
            changed[path] = {name: what for name, what in (("built", before), ("now", after)) if what}
    return changed


def alike(a, b):
    """Whether two descriptions say the same; on which side an array lies does not matter, nor which function it is."""
    return text(a and a[:3]) == text(b and b[:3])


def text(changed):
    """Return descriptions as JSON, with the name of a class for what nobody can look into."""
    return json.dumps(changed, default=lambda thing: type(thing).__name__)


def demand_possible(changed, built, now):
    """Raise TypeError, naming it, for a change that a resumed run could not make; built, now: Descriptions."""
    for start, thing in now.holders.items():
        known, old = isinstance(thing, Layer | Param) or says_its_state(thing), built.holders.get(start)
        if known and old is not thing and type(old) is type(thing):  # others may hold on to the old one
            raise TypeError(f"{words(start[:-1])} became another {type(thing).__name__}: {REMEDY}")
    parts = tuple(f"{path}/" for path, what in now.made.items() if what[0] == "part")
    for path, change in changed.items():
        before, after = change.get("built", [None]), change.get("now")
        if after is None:
            if before[0] != "number" and path.startswith(parts):
                raise TypeError(f"{words(path)} went: keep it, or no run can be resumed")
        elif after[0] == "object" and after[:2] == before[:2]:
            continue
        elif before[0] == after[0] == "thing" and before[1] is after[1]:
            raise TypeError(f"{words(path)}, {describe(after)}, has changed: use a list, an array or a Generator")
        elif after[0] not in MADE_ANEW or before[0] == "part array" or path in now.loose:
            was, became = describe(change.get("built")), describe(after)
            if was == became:
                became = f"another {became.removeprefix('a ')}"
            elif "built" in change:
                became += f", and was {was} when built"
            raise TypeError(f"{words(path)} became {became}: {REMEDY}")


def says_its_state(value):
    """Whether an object says itself what its state is, as layers, optimizers and EMA do."""
    return hasattr(value, "state") and hasattr(value, "load_state")


# ---- making the same changes -----------------------------------------------------------------------------


def target(built, changed):
    """Return (made, notes): {path: description} of what a model shall become, which was built as `built` says.

    changed: what `between` returned, as JSON. notes: lines for people about numbers that were given anew, which win
    over what the run had made of them. Raises ValueError where the model of the changes was built otherwise.
    """
    made, notes = dict(built), []
    for path, change in json.loads(changed).items():
        before, now, here = change.get("built"), change.get("now"), made.pop(path, None)
        if before is None or alike(before, here):
            here = now
        elif "number" not in (before[0], now and now[0]):
            raise ValueError(f"{path} was built as {describe(before)} there, and is {describe(here)} here")
        elif not alike(now, here):
            given = f"{describe(here)} as given now"
            notes.append(f"{words(path)}: {given}, not {describe(now)} to which the run had changed it")
        if here:
            made[path] = here
    return made, notes


def put(present, made):
    """Give the parts of a model, whose Description is `present`, the numbers of `made`."""
    for path, change in between(present.made, made).items():
        cut = max(path.rfind("."), path.rfind("/")) + 1
        holder, key = present.places.get(path, (present.holders.get(path[:cut]), path[cut:]))
        if change.get("now", [""])[0] == "number":
            if holder is None:
                raise ValueError(f"{words(path)} is a number of the checkpoint, and there is no such place here")
            walk.put(holder, key, in_place(inside(holder).get(key), decode(change["now"][1])))
        elif "now" not in change and change["built"][0] == "number" and hasattr(holder, "__dict__"):
            object.__delattr__(holder, key)


def in_place(old, new):
    """Return `new`; a list or a dictionary, as was `old`, in the place of that: others may hold on to it."""
    return filled(old, dict(walk.parts(new))) if type(old) is type(new) in (list, dict) else new


def filled(value, parts):
    """Return a collection or an object with these parts, {key: part}, and no others."""
    if isinstance(value, tuple):
        return value._make(parts.values()) if hasattr(value, "_make") else type(value)(parts.values())
    if isinstance(value, list):
        value[:] = parts.values()
    elif isinstance(value, dict):
        value.clear()
        value.update(parts)
    else:
        for name in walk.attributes(value).keys() - parts.keys():
            object.__delattr__(value, name)
        for name, part in parts.items():
            walk.put(value, name, part)
    return value


# ---- numbers as JSON, and descriptions in words ----------------------------------------------------------


def encode(value):
    """Return a number, text, None, or a tuple, list or dictionary of those as JSON knows it; else raise TypeError."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biufU" and value.dtype != np.longdouble:
        return {"numpy": [str(value.dtype), value.item()]}
    if type(value) in (list, tuple):
        parts = [encode(part) for part in value]
        return parts if type(value) is list else {"tuple": parts}
    if type(value) is dict and all(type(key) is str and key not in ("numpy", "tuple") for key in value):
        return {key: encode(part) for key, part in value.items()}
    raise TypeError(f"a {type(value).__name__} is no number")


def decode(value):
    """Return what `encode` was given."""
    if isinstance(value, list):
        return [decode(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(decode(value["tuple"]))
    if "numpy" in value:
        dtype, number = np.dtype(value["numpy"][0]), value["numpy"][1]
        if dtype.kind not in "biufU" or isinstance(number, list):
            raise ValueError(f"{value!s:.50} is no number")
        return dtype.type(number)
    return {key: decode(part) for key, part in value.items()}


def is_number(value):
    """Whether `encode` knows a value."""
    try:
        encode(value)
    except (TypeError, RecursionError):  # a list may contain itself
        return False
    return True


def words(path):
    """Return a path as people write it: opt_D.lr."""
    return path.replace("/", ".")


def describe(what):
    """Return a description in words."""
    kind, first, *rest = [*(what or ["nothing"]), ""]
    if kind == "number":
        return f"{decode(first)!r:.50}"
    if kind in ("array", "part array", "NumPy number"):
        return f"{first} {tuple(rest[0])}"
    if kind == "thing":
        return "a function" if isinstance(first, walk.CODE) else f"a {type(first).__name__}"
    names = {"nothing": kind, "plain": "a number, text or None", "part": f"a new {first}"}
    return names.get(kind, f"a {first if kind in ('inside', 'object') else kind}")
