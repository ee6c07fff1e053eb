"""Which numbers of arguments and of objects have a gradient, and where it is after a backward."""

from functools import cache
from typing import NamedTuple

from scratchgan.gradcheck.arrays import differs, is_array, same, shape
from scratchgan.gradcheck.objects import GRADS, PARAMS, VALUES, follow, is_numbers, name_of, walk

GRADIENTS = ("d{}", "{}_grad", "grad_{}", "d_{}", "grad{}", "{}_gradient", "nabla_{}", "g{}", "delta_{}")
TARGETS = ("t", "y", "target", "targets", "label", "labels", "y_true", "truth", "mask", "weight", "weights")
INPUTS = ("inputs", "input", "x", "X", "A_prev")  # objects that return no dx keep it as dinputs, grad_input, dx, ...


class Slot(NamedTuple):
    """An array or number of the code, and all paths that lead to it. These begin with "args" or "self"."""

    name: str
    paths: tuple
    value: object

    @property
    def owned(self):
        return self.paths[0][0] == "self"


def slots_of(root):
    """Return the Slots in {"args": {name: argument}, "self": an object}, arguments first, as far as they are there.

    They are arrays of floats at any depth, numbers beside a grad, and arguments that are arrays or floats; but no
    gradients of others.
    """
    found, slots, order = {}, {}, list(root.get("args", ()))
    for path, leaf in walk(root):
        owned, argument = path[0] == "self", path[0] == "args" and len(path) == 2
        if is_array(leaf, "f") or (argument and is_array(leaf)):
            found.setdefault(id(leaf) if owned else path, []).append(path)
        elif isinstance(leaf, float) and (argument or path[-1] in VALUES):
            found.setdefault(path if argument else ("number", id(follow(root, path[:-1]))), []).append(path)
    index = indexed(path for paths in found.values() for path in paths if path[0] == "self")
    gradients = {place for paths in found.values() for path in paths for place in beside(path, index)}
    rank = lambda paths: order.index(paths[0][1]) if paths[0][0] == "args" else len(order)
    for paths in sorted(found.values(), key=rank):
        name = name_of(paths[0][1:])
        name = next(one for one in (name, f"self.{name}", str(paths[0])) if one not in slots)
        slots[name] = None if gradients & set(paths) else Slot(name, tuple(paths), follow(root, paths[0]))
    return [slot for slot in slots.values() if slot]


# ---- by name: dW, W_grad or grads["W"] is the gradient of W ------------------------------------------------


@cache
def turned(key):
    """Return how the gradient of what is called so may be called."""
    names = [way.format(name) for name in (key, str(key).lstrip("_")) for way in GRADIENTS]
    return tuple(dict.fromkeys([*names, *[f"_{name}" for name in names]])) if isinstance(key, str) else ()


def stem(path):
    """Return a path without its root, without numbers after "returned", and without the names that say nothing."""
    keys = [key for key in path[1:] if key not in (*PARAMS, *GRADS, *VALUES)]
    while path[0] == "returned" and keys and isinstance(keys[0], int):
        keys = keys[1:]
    return tuple(keys)


def indexed(paths):
    """Return {stem: its paths}."""
    index = {}
    for path in paths:
        index.setdefault(stem(path), []).append(path)
    return index


def beside(path, index, others=()):
    """Return the paths in an index at which the gradient of what is at a path may be; others: more names of it."""
    keys, found = stem(path), []
    ends = [keys] if path[0] == "self" else [keys[i:] for i in range(len(keys))]  # {"W": dW} may be of p.W
    for keys in [*ends, *[(name,) for name in others]]:
        equal = [keys, *[(*keys[:i], *keys[i + 1 :]) for i, key in enumerate(keys) if key in ("weights", "layers")]]
        found += [p for way in equal for p in index.get(way, ()) if {"returned", *GRADS} & set(p)]
        for i in reversed(range(len(keys))):
            found += [p for name in turned(keys[i]) for p in index.get((*keys[:i], name, *keys[i + 1 :]), ())]
    if path[-1] == 0 and {*path[-3:-2]} & set(PARAMS):  # parameters() may give pairs
        found += [p for p in index.get((*stem(path)[:-1], 1), ()) if p == (*path[:-1], 1)]
    return [p for p in found if p != path]


def strays(root, slots):
    """Return the names of what has a gradient beside it, and is no array of floats of its object's own.

    They are numbers, arrays of integers, and attributes of a class: not parameters that a check can move.
    """
    found, taken = [], {path for slot in slots for path in slot.paths}
    for path, _ in walk({"self": root["self"]}):
        holder = follow(root, path[:-1])
        for start, end in (way.split("{}") for way in GRADIENTS) if hasattr(holder, "__dict__") else ():
            name = str(path[-1]).removeprefix(start).removesuffix(end)
            value = getattr(holder, name, None) if name and start + name + end == path[-1] else None
            number = isinstance(value, int | float) and not isinstance(value, bool)
            odd = number or is_array(value, "iu") or (is_array(value, "f") and name not in vars(holder))
            if odd and (*path[:-1], name) not in taken:
                found.append(name_of((*path[1:-1], name)))
    return list(dict.fromkeys(found))


def locate(slots, root, before):
    """Return {name of a Slot: paths of its gradient}, in {"self": an object, "returned": what backward returned}.

    before: {path: array} as backward found it. By its name, what backward returned comes first: people train with that.
    Then comes what it has changed; what it returned without names is in order. Parts that share an array may each have
    a gradient of their own: then there are several paths.
    """
    after = dict(walk(root))
    returned = [path for path in after if path[0] == "returned" and root["returned"] is not None]
    unnamed = sorted(path for path in returned if not any(isinstance(key, str) for key in path[1:]))
    number = lambda leaf: is_array(leaf) or isinstance(leaf, int | float)
    index = indexed(path for path, leaf in after.items() if path not in unnamed and number(leaf))
    old = lambda path: path in before and same(before[path], after[path])
    where = {}
    for slot in slots:
        others = INPUTS if slot is slots[0] and not slot.owned else ()
        places = [place for path in slot.paths for place in beside(path, index, others)]
        if not slot.owned:
            places = [p for p in places if p[0] == "returned" or not (old(p) or returned)]
        places = sorted(places, key=lambda p: (old(p), p[0] != "returned"))
        own = {id(after[p]): p for p in reversed(places) if not old(p)}.values()  # dW of each part that shares W
        holders = {path[:-1] for path in slot.paths} & {p[:-1] for p in own if not set(GRADS) & set(p)}
        where[slot.name] = tuple(own) if 1 < len(own) == len(holders) else tuple(places[:1])
    free = [slot for slot in slots if not where[slot.name]]
    rest = unnamed or [path for path in returned if (path,) not in where.values()]
    where |= {slot.name: (path,) for slot, path in in_order(free, rest, root, bool(unnamed))}
    return {name: paths for name, paths in where.items() if paths}


def in_order(free, places, root, sure):
    """Return (Slot, path) for gradients without names: of arguments, or of what an object holds, or of both.

    sure: whether they are gradients, of the right shapes or not; other names are taken for them only if all fit.
    """
    given, spare = [s for s in free if not s.owned], [s for s in free if s.owned]
    floats, arrays = ([s for s in given if is_array(s.value, kinds)] for kinds in ("f", "fciub"))
    numbers = [s for s in given if s in floats or isinstance(s.value, float)]
    known = [s for s in floats if s.name not in TARGETS]
    if len(floats) == 1 and is_numbers(root["returned"]):
        places = [("returned",)]  # a list of numbers is one gradient
    pools = [pool + more for more in ([], spare) for pool in (floats, numbers, arrays, given, known, [])]
    pools = [pool for pool in [*pools, *[[s] for s in floats]] if len(pool) == len(places)]
    fits = lambda pool: fitting((s.value, follow(root, path)) for s, path in zip(pool, places, strict=True))
    pool = next(filter(fits, pools), (pools or [floats])[0] if sure else [])
    return list(zip(pool, places, strict=False))


def twice(slots, where, root):
    """Return the names of Slots whose gradient backward returns in its place, and keeps as well, but another one."""
    returned = root["returned"]
    if not isinstance(returned, tuple | list) or len(returned) != len(slots):
        return []
    pairs = list(zip(slots, returned, strict=True))
    if not fitting((slot.value, gradient) for slot, gradient in pairs):
        return []
    kept = [(slot.name, gradient, *where.get(slot.name, ())) for slot, gradient in pairs if gradient is not None]
    ones = [(name, gradient, path[0]) for name, gradient, *path in kept if len(path) == 1 and path[0][0] == "self"]
    return [name for name, gradient, path in ones if differs(gradient, follow(root, path))]


def fitting(pairs):
    """Whether gradients, as far as there are any, have the shapes of their arrays."""
    return all(gradient is None or shape(gradient) == shape(array) for array, gradient in pairs)
