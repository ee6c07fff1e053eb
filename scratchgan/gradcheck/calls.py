"""How people's forward and backward are called: what they take, in which order, and what they return."""

import functools
import inspect
import math
import re
import types

import numpy

from scratchgan.gradcheck.arrays import is_array, refuse, shape
from scratchgan.gradcheck.objects import follow

OUTPUTS = ("output", "out", "outputs", "loss", "y", "result")  # where objects keep y; in backward(dy, out)
SETTINGS = ("lr", "learning_rate", "eta", "step_size", "learningrate")  # of a backward that updates parameters, too
CACHES = ("cache", "caches", "tape", "ctx", "context", "saved", "memory", "state")
UPSTREAM = re.compile(r"d[A-Z_0-9]\w*|d[a-z]\d?|d(out|next|prev|mu|mean|var|log|std)\w*|grad\w*|upstream\w*|delta\w*|g")


def parameters(function):
    """Return (required, names, most) of what a function takes; most: by position. Without a signature, any number."""
    plain = getattr(function, "__func__", function)
    read = signature if isinstance(plain, types.FunctionType) else signature.__wrapped__  # others may have no hash
    return read(plain, plain is not function)


@functools.lru_cache(64)
def signature(function, bound):
    """Return the `parameters` of a function; bound: of a method of an object, without its self."""
    try:
        given = list(inspect.signature(function).parameters.values())[bound:]
    except (TypeError, ValueError):
        return [], [], float("inf")
    named = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    most = float("inf") if any(p.kind == p.VAR_POSITIONAL for p in given) else len(named)
    keywords = [p.name for p in given if p.kind == p.KEYWORD_ONLY]
    return [p.name for p in named if p.default is p.empty], [p.name for p in named] + keywords, most


def called(function, values):
    """Return function(*values); what is left over of the most that it takes by position goes to its keywords."""
    _, names, most = parameters(function)
    if most >= len(values) or most == len(names):  # there are no keywords
        return function(*values)
    return function(*values[:most], **dict(zip(names[most:], values[most:], strict=False)))


def kept(own):
    """Return the arrays, or the number, that an object keeps as its output."""
    found = [follow(own, (name,)) for name in (*OUTPUTS, "a", "A")]
    return [y for y in found if is_array(y) or isinstance(y, float)]


def parts(result, own):
    """Return what a forward returned as a tuple, y first; of one that returned None, what its object keeps as y."""
    if result is None and not kept(own):
        raise TypeError("forward returned None: return y, or keep it as self.output")
    result = kept(own)[0] if result is None else result
    result = result if isinstance(result, tuple) else (result,)
    y = result[0] if result else result
    refuse(y, "what forward returns")
    if not (is_array(y) or isinstance(y, int | float | complex | list | numpy.number)):
        raise TypeError(f"forward returned a {type(y).__name__}, wanted an array, or a tuple that begins with it")
    return result


def outputs(result, required):
    """Return how many of a forward's results are outputs: backward(dh, dc, cache) takes a gradient for each."""
    upstream = [name for name in required[: len(result)] if UPSTREAM.fullmatch(name)]
    all_arrays = all(is_array(y, "f") for y in result[: len(upstream)])
    return len(upstream) if len(upstream) > 1 and len(required) == len(result) and all_arrays else 1


def ways(taken, result, dys, args, names, owned):
    """Return the ways in which a backward may be called, the likeliest first; raise TypeError if there are none.

    A way is a tuple of groups: dy, args, the rest of what forward returned, y, what the object keeps as its output,
    and numbers of arguments. taken: the backward's `parameters`; result: what forward returned, with `dys` outputs;
    names: those of the arguments, where they are known; owned: whether an object may keep x for its backward.
    """
    (required, _, most), rest, y = taken, len(result) - dys, shape(result[0])
    scalar = dys == 1 and math.prod(y) == 1
    if settings := [name for name in required if name in SETTINGS and name not in names]:
        text = f"backward takes {settings[0]}, and there is none: fix it, as in functools.partial(backward, "
        raise TypeError(f"{text}{settings[0]}=0.0). If it updates parameters, 0 keeps them")
    found = [("dy", "rest"), *[("dy",), ("dy", "args")][:: 1 if owned else -1], ("dy", "args", "rest")]
    if scalar:  # there may be no dy
        again = [("kept", *range(1, len(args)))] if required[:1] == ["dvalues"] else []
        found = [("rest",), (), *again, *found, ("args",)] if owned or rest else [("args",), *found, ()]
    elif owned and len(args) > 1 and required[1:] == names[1:] and not UPSTREAM.fullmatch(required[0]):
        if y == shape(args[0])[:1]:
            text = "forward returns a loss for each sample, and backward takes no dy. If its gradient is of their mean,"
            raise TypeError(f"{text} check a method that returns that: check(loss.calculate, loss.backward, (x, t))")
    sizes = {"dy": dys, "rest": rest, "args": len(args)}
    size = lambda way: sum(sizes.get(group, 1) for group in way)
    named = [by_name(required, rest, names, scalar)] if dys == 1 else [None]
    fitting = [way for way in found if len(required) <= size(way) <= most and (rest or "rest" not in way)]
    exact = [way for way in fitting if size(way) == len(required) or most == float("inf")]
    if not (named[0] or fitting):
        there = ", ".join(["dy", *names, *["the cache"] * (rest > 0)])
        said = f"backward takes {', '.join(required) or 'nothing'}, and there are {there}"
        raise TypeError(f"{said}: wrap it, as in lambda dy, x: backward(...)")
    return named * bool(named[0]) + (exact or fitting)


def by_name(required, rest, names, scalar):
    """Return the way in which each argument is what its name says; None if a name says nothing."""
    groups = []
    for name in required:
        if name in names:
            groups.append(names.index(name))
        elif name in CACHES and rest:
            groups.append("rest")
        elif rest and "dy" in groups and "rest" not in groups and name == required[-1]:
            groups.append("rest")  # a cache by another name
        elif name in OUTPUTS and not rest and groups:
            groups.append("y")
        elif "dy" not in groups and (UPSTREAM.fullmatch(name) or not (groups or scalar)):
            groups.append("dy")
        else:
            return None
    return tuple(groups) if names and len(groups) > 1 and (scalar or "dy" in groups) else None
