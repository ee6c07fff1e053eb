"""Walk through what an object is made of: attributes, lists, tuples, dictionaries, however nested.

A network is saved, moved and trained by what is found here, so nothing has to be registered: a
layer in a list in a dictionary counts as much as one in an attribute.
"""

import copyreg
import functools
import types

import numpy

from scratchgan import xp

# What holds nothing that training changes.
METHODS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
CODE = (*METHODS, types.ModuleType, type, numpy.ufunc, functools.partial)
NUMBERS = (int, float, complex, numpy.generic, slice)
LEAVES = (*CODE, *NUMBERS, str, bytes, types.NoneType, numpy.random.Generator)


def find(thing, kind):
    """Yield (path, part) for every part of a type in `thing`, itself included, in a fixed order.

    An object that stands in two places is listed once; an array or a random generator, which `put`
    may replace, at each of them.

    kind: a type, or a function that says of an object whether it is wanted. A path joins names by
    dots, as in "blocks.0.W"; the path of `thing` itself is empty.
    """
    wanted = kind if isinstance(kind, types.FunctionType) else lambda part: isinstance(part, kind)
    if wanted(thing):
        yield "", thing
    for path, _, _, part in places(thing):
        if wanted(part):
            yield path, part


def by_path(thing, kind):
    """Return {path: part} of what `find` yields; raise ValueError where two parts have one path."""
    named = {}
    for path, part in find(thing, kind):
        if path in named:
            raise ValueError(f"two parts are called {path!r}: rename a key of a dictionary")
        named[path] = part
    return named


def places(thing, path="", seen=None):
    """Yield (path, holder, key, part) for all that is inside `thing`; `put` writes into holders."""
    seen = {id(thing): thing} if seen is None else seen  # it keeps them: a new one has a new id
    for key, part in parts(thing):
        if isinstance(part, LEAVES) and not isinstance(part, numpy.random.Generator):
            continue
        if id(part) in seen:  # it stands in two places, or holds itself
            continue
        if not (isinstance(part, numpy.random.Generator) or xp.is_array(part)):
            seen[id(part)] = part  # of arrays and generators, each place counts
        own = f"{path}.{key}" if path else str(key)
        yield own, thing, key, part
        yield from places(part, own, seen)


def parts(thing):
    """Return [(key, part)] for what is directly inside of `thing`.

    What has a method `parts` says so itself, as a Layer does. Any other object is looked into if it
    is its attributes and nothing else, and saves no state of its own, as an optimizer would.
    """
    if isinstance(thing, LEAVES) or xp.is_array(thing):
        return []
    if callable(getattr(type(thing), "parts", None)):  # of the type: `self.parts` may be a list
        return type(thing).parts(thing)
    if isinstance(thing, list | tuple):
        return list(enumerate(thing))
    if isinstance(thing, dict):
        return list(thing.items())
    if hasattr(thing, "state") and hasattr(thing, "load_state"):
        return []
    return list((attributes(thing) or {}).items())


def put(holder, key, part):
    """Write a part into its place; raise TypeError for a place in a tuple, which cannot change."""
    if isinstance(holder, tuple):
        place = "stands in a tuple, and cannot be replaced there: keep it in a list"
        raise TypeError(f"a {type(part).__name__} {place}")
    if isinstance(holder, list | dict):
        holder[key] = part
    else:
        object.__setattr__(holder, key, part)  # into a frozen dataclass, too


def attributes(thing):
    """Return {name: part} of an object that is its attributes and nothing else; of others, None.

    How `copy.copy` would make it tells. Not so: an Enum, a set, a deque, a `random.Random`, whose
    state is in C.
    """
    try:
        make, arguments, state, *_ = thing.__reduce_ex__(2)
    except Exception:  # it cannot be copied, for any reason
        return None
    made_of = {copyreg.__newobj__: (type(thing),), type(thing): ()}  # of nothing but its class
    if arguments != made_of.get(make):
        return None
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        return {**(state[0] or {}), **state[1]}  # its class has __slots__
    known = type(state) in (dict, types.NoneType) and hasattr(thing, "__dict__")
    return dict(vars(thing)) if known else None
