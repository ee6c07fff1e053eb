"""check and check_second: whether gradients written by hand are the gradients of their function."""

import numpy

from scratchgan.gradcheck.adapt import argument_names, subject_of
from scratchgan.gradcheck.arrays import to_kind_of
from scratchgan.gradcheck.protocol import of_layer
from scratchgan.gradcheck.verdict import examine


def check(
    forward, backward=None, args=None, *, names=None, only=None, seed=0, kinks="skip", directions=None
):  # fmt: skip
    """Compare gradients written by hand with numeric ones; return a `Report`. There is no tolerance to choose.

    check(forward, backward, args): y = forward(*args) with backward(dy, *args), or y, cache = forward(*args) with
    backward(dy, cache), or for a scalar y also backward(*args); backward returns a gradient for each argument.
    With backward=None, forward returns (value, gradients...). check(layer, x): an object with forward, backward and
    parameters, which are checked too, at x, an array or a tuple of them. Other styles: docs/gradcheck.md.

    args: an array or a tuple of them. Arrays of integers are passed on but not differentiated by.
    names: the arguments' names, for the report; only: the names of the arguments to check.
    seed: for the upstream gradient dy = dL/dy, which is random: with dy = 1, much goes unnoticed.
    kinks: what to do where the slopes of the two sides differ: "skip" such entries, "report" as a
    finding a gradient that is not between the slopes, or "fail": call such a gradient wrong.
    directions: for large arguments, on how many random directions a gradient is projected; None checks every entry.
    """
    if kinks not in ("skip", "report", "fail"):
        raise ValueError(f"kinks is {kinks!r}, wanted 'skip', 'report' or 'fail'")
    return examine(subject_of(forward, backward, args, names), only, seed, kinks, directions)


def check_second(
    backward, double_backward=None, args=None, *,
    names=None, only=None, seed=0, kinks="skip", directions=None
):  # fmt: skip
    """Check second order: double_backward is the derivative of the map (dy, x, w) -> dx that backward computes.

    check_second(backward, double_backward, (dy, x, w)): dx = backward(dy, x, w), or the first of what it returns;
    double_backward(ddx, dy, x, w) returns the gradients of <ddx, dx> with respect to dy, x and w; None is zero.
    check_second(layer, x): the map that the `pull` of a layer of scratchgan computes. The options are those of `check`.
    """

    def first_order(*args):
        dx = backward(*args)
        return dx[0] if isinstance(dx, tuple | list) else dx

    if hasattr(backward, "double_backward"):
        xs = double_backward if args is None else args
        xs = tuple(xs) if isinstance(xs, tuple | list) else (xs,)
        names = names or ("dy", *argument_names(None, len(xs)))
        layer = of_layer(backward, xs, names[1:])
        y, _ = layer.start(*layer.args)  # of a copy: the layer stays as it is
        dy = numpy.random.default_rng([seed, 0x646479]).standard_normal(y.shape)
        dy = to_kind_of(xs[0])(dy.astype(xs[0].dtype if xs[0].dtype.kind == "f" else float))
        subject = of_layer(backward, (dy, *xs), names, second_order=True)
    else:
        names = names or argument_names(backward, len(args))
        subject = subject_of(first_order, double_backward, args, names)
        subject.second_order = subject.none_is_zero = True
    return examine(subject, only, seed, kinks, directions)
