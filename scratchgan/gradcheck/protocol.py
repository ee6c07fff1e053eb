"""A layer of scratchgan as a Subject, and whether its methods keep to the protocol (docs/protocol.md)."""

import copy
import pickle
from contextlib import suppress
from typing import Any, NamedTuple

import numpy

from scratchgan.gradcheck.arrays import differs, same
from scratchgan.gradcheck.gradients import slots_of
from scratchgan.gradcheck.objects import follow, joined, parted
from scratchgan.gradcheck.plain import Subject


class Call(NamedTuple):
    """One forward of a layer, and in second order the pull after it. x, y and dx are arrays or tuples of arrays."""

    layer: Any
    args: tuple
    tape: Any
    x: Any
    y: Any
    dx: Any = None
    kept: Any = None


def of_layer(layer, args, names, second_order=False):
    """Return a layer and its parameters as a Subject. Its second order is the map (dy, x, W) -> dx of its `pull`.

    args: x, or the arrays of a tuple x, and in second order dy before them. A y or dx that is a tuple counts as one
    vector.
    """

    def begin(own, args):
        (own, _), given = own, prepared(*own, args)
        xs = tuple(given[second_order:])
        x = xs if nested else xs[0]
        y, tape = own.forward(x)
        if not second_order:
            return joined(y, y), Call(own, args, tape, x, y)
        dx, kept = own.pull(tape, parted(given[0], y))
        return joined(dx, dx), Call(own, args, tape, x, y, dx, kept)

    def finish(upstream, call):
        call.layer.zero_grad()
        if second_order:
            ddy, bend = call.layer.double_backward(call.tape, call.kept, parted(upstream, call.dx))
            gradients = [joined(ddy, call.y), *each(bend, call.x)]
        else:
            gradients = each(call.layer.backward(call.tape, parted(upstream, call.y)), call.x)
        gradients += [param.grad.copy() for param in call.layer.params()]
        narrow = lambda g, a: a.dtype.kind == "f" and g is not None and g.dtype == widest(call.args)
        pairs = zip(gradients, call.args, strict=True)  # back to where `prepared` has widened
        return tuple(g.astype(a.dtype) if narrow(g, a) else g for g, a in pairs)

    nested = len(args) > 1 + second_order
    about = dict(second_order=second_order, inputs=len(args), none_is_zero=second_order or nested)
    if hasattr(layer, "pull") and not second_order:
        about["manners"] = protocol_manners
    params = layer.named_params()
    args, names = (*args, *[param.value for param in params.values()]), (*names, *params)
    return Subject(copier((layer, list(params.values()))), begin, finish, args, names, **about)


def copier(thing):
    """Return a function that returns a copy of something: by pickling, which is fast, where it can be pickled."""
    with suppress(Exception):  # it is of a class that a function defines, or has a lambda in it
        pickle.loads(data := pickle.dumps(thing, -1))
        return lambda: pickle.loads(data)
    return lambda: copy.deepcopy(thing)


def remarked(subject, layer):
    """Return a layer's Subject with a note on arrays that forward and backward leave alone, and that are no Params."""
    y, call = subject.start(*subject.args)
    subject.finish(0 * y, call)
    params = [id(array) for param in layer.params() for array in (param.value, param.grad)]
    slots = [slot for slot in slots_of({"self": layer}) if id(slot.value) not in params]
    others = [slot.name for slot in slots if same(slot.value, follow({"self": call.layer}, slot.paths[0]))]
    subject.notes += (f"not checked: {', '.join(others)} (arrays outside a Param)",) if others else ()
    return subject


def prepared(layer, params, args):
    """Write the last of args into a layer's parameters; return the others, in the widest of their dtypes."""
    dtype = widest(args)
    if any(param.value.dtype != dtype for param in params):
        layer.astype(dtype)
        params = layer.params()
    for param, value in zip(params, args[len(args) - len(params) :], strict=True):
        param.value[...] = value
    return [a.astype(dtype) if a.dtype.kind in "fc" else a for a in args[: len(args) - len(params)]]


def widest(args):
    """Return the dtype that holds all floating-point numbers among the arguments."""
    return numpy.result_type(*[a.dtype for a in args if a.dtype.kind in "fc"])


def each(gradient, x):
    """Return a list of gradients, one for each array of x; raise TypeError where they are not in a tuple as x is."""
    if not isinstance(x, tuple):
        return [gradient]
    gradient = (None,) * len(x) if gradient is None else gradient
    if isinstance(gradient, tuple | list) and len(gradient) == len(x):
        return list(gradient)
    kind = type(gradient).__name__
    raise TypeError(f"x is a tuple of {len(x)} arrays and its gradient a {kind}, wanted a tuple of {len(x)}")


def protocol_manners(call, dy):
    """Return findings, as sentences: does `pull` let dy through, `accumulate` take it in, and `backward` do both?

    All three are called with one tape, which serves as often as one likes. Before each call every grad is twice the
    gradient that backward adds: afterwards it is still twice that, three times, or once where it was overwritten.
    """
    layer, dy, findings = call.layer, parted(dy, call.y), []
    layer.zero_grad()
    right, params = each(layer.backward(call.tape, dy), call.x), layer.named_params().items()
    added = {name: param.grad.copy() for name, param in params}
    for way in ("backward", "pull", "accumulate"):
        for name, param in params:
            param.grad[...] = 2 * added[name]
        try:
            result = getattr(layer, way)(call.tape, dy)
        except Exception as error:  # the code under test may raise anything
            findings.append(f"{way} raises {type(error).__name__}: {error}")
            continue
        if way == "pull" and (not isinstance(result, tuple) or len(result) != 2):
            findings.append("pull returns no pair, (dx, kept)")
        elif way == "pull" and any(differs(*pair) for pair in zip(each(result[0], call.x), right, strict=True)):
            findings.append("pull gives another dx than backward did with the same tape")
        said = [(name, wrong_grad(way, added[name], param.grad)) for name, param in params]
        findings += [f"{way} {text.format(name)}" for name, text in said if text]
    return findings


def wrong_grad(way, added, after):
    """Return what is wrong with a grad that was twice `added` before a call; None if nothing is."""
    if way == "pull":
        changed = differs(2 * added, after)
        return "changes the grad of {}: pull is to leave every grad as it is" if changed else None
    if not differs(3 * added, after):
        return None
    if not differs(2 * added, after):
        return "leaves out the gradient of {}"
    overwritten = "overwrites the gradient of {}, instead of adding to it"
    other = "adds another gradient of {} than backward did with the same tape"
    return other if differs(added, after) else overwritten
