"""A layer of scratchgan as a Subject, and whether its methods keep to the protocol (docs/protocol.md)."""

from typing import Any, NamedTuple

import numpy

from scratchgan.gradcheck.arrays import differs, joined, parted, to_host
from scratchgan.gradcheck.objects import of_owner


class Call(NamedTuple):
    """What is known of one forward of a layer, and in second order of the pull after it."""

    layer: Any
    tape: Any
    x: Any  # an array, or a tuple of arrays
    y: Any
    dx: Any = None
    kept: Any = None


def of_layer(layer, inputs=1, second_order=False):
    """Adapt a layer: (Subject, {name: parameter}). Its second order is the map (dy, x, W) -> dx of its `pull`.

    inputs: how many arrays x consists of; with more than one, x is their tuple. A y or dx that is a tuple counts as
    one vector.
    """

    def functions(take):
        def start(*args):
            own, given = prepared(take(), args)
            xs = tuple(given[second_order:])
            x = xs[0] if inputs == 1 else xs
            y, tape = own.forward(x)
            if not second_order:
                return joined(y, y), (Call(own, tape, x, y), args)
            dx, kept = own.pull(tape, parted(given[0], y))
            return joined(dx, dx), (Call(own, tape, x, y, dx, kept), args)

        def finish(upstream, tape):
            call, args = tape
            call.layer.zero_grad()
            if second_order:
                ddx = parted(upstream, call.dx)
                ddy, bend = call.layer.double_backward(call.tape, call.kept, ddx)
                gradients = [joined(ddy, call.y), *each(bend, call.x)]
            else:
                gradients = each(call.layer.backward(call.tape, parted(upstream, call.y)), call.x)
            gradients += [param.grad.copy() for param in call.layer.params()]
            return tuple(narrowed(g, a, widest(args)) for g, a in zip(gradients, args, strict=True))

        return start, finish

    about = dict(second_order=second_order, inputs=inputs + second_order, none_is_zero=second_order or inputs > 1)
    if hasattr(layer, "pull") and not second_order:
        about["manners"] = lambda tape, dy: protocol_manners(tape[0], dy)
    parameters = {name: param.value for name, param in layer.named_params().items()}
    return of_owner(layer, functions, **about), parameters


def prepared(layer, args):
    """Write the last of args into a layer's parameters; return it and the others, in the widest of their dtypes."""
    dtype, params = widest(args), layer.params()
    if any(param.value.dtype != dtype for param in params):
        layer.astype(dtype)
    count = len(args) - len(params)
    for param, value in zip(params, args[count:], strict=True):
        param.value[...] = value
    return layer, [a.astype(dtype) if a.dtype.kind in "fc" else a for a in args[:count]]


def widest(args):
    """Return the dtype that holds all floating-point numbers among the arguments."""
    return numpy.result_type(*[a.dtype for a in args if a.dtype.kind in "fc"])


def narrowed(gradient, arg, wide):
    """Return a gradient in the dtype of its argument, where `prepared` has widened that."""
    fits = gradient is not None and gradient.dtype == wide and arg.dtype.kind == "f"
    return gradient.astype(arg.dtype) if fits else gradient


def each(gradient, x):
    """Return a list of gradients, one for each array of x; raise TypeError where they are not in a tuple as x is."""
    if not isinstance(x, tuple):
        return [gradient]
    if gradient is None:
        return [None] * len(x)
    if not isinstance(gradient, tuple | list) or len(gradient) != len(x):
        kind = type(gradient).__name__
        raise TypeError(f"x is a tuple of {len(x)} arrays and its gradient a {kind}, wanted a tuple of {len(x)}")
    return list(gradient)


def protocol_manners(call, dy):
    """Return findings, as sentences: does `pull` let dy through, `accumulate` take it in, and `backward` do both?

    All three are called with one tape, which serves as often as one likes. Before each call every grad is twice the
    gradient that backward adds: afterwards it is still twice that, three times, or once where it was overwritten.
    """
    layer, dy, findings = call.layer, parted(dy, call.y), []
    layer.zero_grad()
    right = each(layer.backward(call.tape, dy), call.x)
    grads = {name: param.grad.copy() for name, param in layer.named_params().items()}
    for way in ("backward", "pull", "accumulate"):
        for name, param in layer.named_params().items():
            param.grad[...] = 2 * grads[name]
        try:
            result = getattr(layer, way)(call.tape, dy)
            findings += wrong_dx(result, right, call.x) if way == "pull" else []
        except Exception as error:  # the code under test may raise anything
            findings.append(f"{way} raises {type(error).__name__}: {error}")
            continue
        for name, param in layer.named_params().items():
            said = wrong_grad(way, to_host(grads[name]), to_host(param.grad))
            findings += [f"{way} {said.format(name)}"] if said else []
    return findings


def wrong_dx(result, right, x):
    """Return findings about what `pull` returned."""
    if not isinstance(result, tuple) or len(result) != 2:
        return ["pull returns no pair, (dx, kept)"]
    for yours, wanted in zip(each(result[0], x), right, strict=True):
        pair = [g for g in (yours, wanted) if g is not None]
        if pair and differs(to_host(pair[0]), to_host(pair[-1] if len(pair) > 1 else 0 * pair[0])):
            return ["pull gives another dx than backward did with the same tape"]
    return []


def wrong_grad(way, added, after):
    """Return what is wrong with a grad that was twice `added` before a call; None if nothing is."""
    if way == "pull":
        return None if numpy.array_equal(after, 2 * added, equal_nan=True) else PULLED
    if not differs(3 * added, after):
        return None
    if not differs(2 * added, after):
        return "leaves out the gradient of {}"
    if not differs(added, after):
        return "overwrites the gradient of {}, instead of adding to it"
    return "adds another gradient of {} than backward did with the same tape"


PULLED = "changes the grad of {}: pull is to leave every grad as it is"
