"""Mistakes that can be made with any array, tried at three places: on the gradient, on dy, and on the arguments.

"The right gradient for a dy without its last row is yours" says what your backward does with dy. "The right gradient
at a flipped W is yours" says that a kernel is not flipped.
"""

import contextlib
import itertools

import numpy

from scratchgan.gradcheck.causes.pathways import statistics


def mistakes(a, generators=None):
    """Yield (kind, text, changed, inside) of what goes wrong with an array a; text continues "is ...".

    inside: a mask of where a shifted array is known; True: everywhere. generators: of these mistakes only.
    """
    for generator in generators or (orders, moves, parts, sums, values):
        for kind, text, changed, *inside in generator(a):
            if changed.shape == a.shape and not numpy.array_equal(changed, a):
                yield kind, text, changed, inside[0] if inside else True


def sets_of_axes(a, *counts):
    """Yield sets of axes of an array, so many at a time."""
    return itertools.chain(*(itertools.combinations(range(a.ndim), count) for count in counts))


def orders(a):
    """Yield a with its axes exchanged or reversed."""
    identity = tuple(range(a.ndim))
    swaps = [tuple({i: j, j: i}.get(axis, axis) for axis in identity) for i, j in sets_of_axes(a, 2)]
    for order in itertools.permutations(identity) if a.ndim < 5 else swaps:
        moved = a.transpose(order)
        how = "with its axes in the order" if moved.shape == a.shape else "reshaped, not transposed, to the order"
        yield "transposed", f"{how} {order}", moved.reshape(a.shape)
    for axes in sets_of_axes(a, 2, 1, 3):
        yield "flipped", f"flipped along {along(axes)}", numpy.flip(a, axes)


def moves(a):
    """Yield a rolled, and shifted, with zeros where nothing comes from."""
    for axis, move in itertools.product(range(a.ndim), (1, -1)):
        kind = "shifted" if axis else "mixed"
        yield kind, f"rolled by {move} along axis {axis}", numpy.roll(a, move, axis)
    for axes, move in itertools.product(sets_of_axes(a, 1, 2), (1, -1, 2, -2)):
        if all(a.shape[axis] > abs(move) for axis in axes):
            inside = numpy.ones(a.shape, bool)
            for axis in axes:
                inside[(slice(None),) * axis + (slice(0, move) if move > 0 else slice(move, None),)] = False
            text = f"shifted by {move} along {along(axes)}: off by one in a padding, a crop or an index"
            yield "shifted", text, numpy.where(inside, numpy.roll(a, move, axes), 0), inside


def parts(a):
    """Yield a of which a part is left out."""
    at = numpy.indices(a.shape)
    for axis, size in enumerate(a.shape):
        only, less = ("steps", "stride-tail") if axis else ("first-sample", "sample-dropped")
        first, last = at[axis] == 0, at[axis] == size - 1
        for word, one in (("first", first), ("last", last)) if size > 1 else ():
            yield only, f"of which only the {word} of {size} along axis {axis} is used", a * one
            yield less, f"without the {word} along axis {axis} (a border, or a stride's tail)", a * ~one
        yield "border", f"without the first and the last along axis {axis} (a border)", a * ~(first | last)
    for b, c in sets_of_axes(a, 2):
        for word, end in (("last", -1), ("first", 0)) if b else ():
            kept = (at[b] != end % a.shape[b]) & (at[c] != end % a.shape[c])
            yield "stride-tail", f"without the {word} along axes {b} and {c} (a border, or a stride's tail)", a * kept


def sums(a):
    """Yield a summed or averaged along axes, and broadcast back."""
    for axes in sets_of_axes(a, 1, 2, 3):
        for word, reduce in (("summed", numpy.sum), ("averaged", numpy.mean)):
            total = numpy.broadcast_to(reduce(a, axes, keepdims=True), a.shape)
            yield "over-summed", f"{word} over {along(axes)} and broadcast back", total


def values(a):
    """Yield a with other numbers."""
    yield "square", "squared", a * a
    yield "abs", "without its signs", numpy.abs(a)
    yield "clipped", "with its negative entries set to 0", numpy.maximum(a, 0)
    yield "clipped", "with its positive entries set to 0", numpy.minimum(a, 0)
    yield "clipped", "of which only the signs are left", numpy.sign(a)
    yield "dtype", "rounded to integers", numpy.rint(a)
    yield "dtype", "truncated to integers", numpy.trunc(a)


def along(axes):
    """Return axes in words."""
    return f"{'axis' if len(axes) == 1 else 'axes'} {' and '.join(map(str, axes))}"


# ---- the three places ------------------------------------------------------------------------------------


def on_gradient(e):
    """Your gradient is the right one, changed."""
    of_samples = e.y.ndim and e.right.ndim and e.right.shape[0] == e.y.shape[0]
    others = {} if of_samples else {"sample-dropped": "stride-tail", "mixed": "shifted"}
    for kind, text, changed, inside in mistakes(e.right):
        known = numpy.any(e.right[inside]) and (inside is True or e.right.size > 5)
        if known and (exact := e.explains(changed, inside)) is not None:
            if kind in ("abs", "clipped"):
                exact = exact and e.y.size > 1 and e.context.upstream  # of a loss, signs are not free
            elif kind == "over-summed":
                exact = exact and not list(statistics(e))  # a path that is lost explains as much
            yield others.get(kind, kind), f"is the right one {text}", exact
            return


def on_dy(e):
    """Your gradient is the right one of another dy."""
    for kind, text, guess in other_upstreams(e) if e.y.size > 1 and e.context.upstream else ():
        if guess.shape == e.dy.shape and not numpy.array_equal(guess, e.dy):
            right = guess.astype(float).reshape(-1) @ e.jacobian()
            if e.explains_sample(right, e.sample()):
                yield kind, text, True
                return


def other_upstreams(e):
    """Yield (kind, text, dy) for what takes dy's place."""
    dy = e.dy
    yield "upstream-ignored", "is right for dy of ones: the upstream gradient is ignored", numpy.ones_like(dy)
    yield "upstream-ignored", "is right for dy = y: the output is taken for its gradient", e.y
    yield "upstream-times-output", "has a factor y too many", dy * e.y
    for name, a in e.named[:-1]:
        yield "roles", f"is right for dy = {name}: one stands where the other should", a
        if a.dtype.kind == "f" and a.ndim and a.shape == dy.shape[dy.ndim - a.ndim :]:
            yield "factor", f"has a factor {name} too many, at the output", dy * a
    powers = dict.fromkeys(("square", "abs", "clipped"), "upstream-power")
    for kind, text, changed, _ in mistakes(dy):
        yield powers.get(kind, kind), f"is right for a dy {text}", changed


def on_arguments(e):
    """Your gradient is the right one at other arguments: a transposed weight, an output for an input."""
    for kind, text, changed in other_arguments(e):
        with contextlib.suppress(ValueError, TypeError, ArithmeticError, IndexError):  # forward may refuse them
            if e.explains_call(changed):  # nearly right is too easy, where so much is tried
                yield kind, text, True
                return


def other_arguments(e):
    """Yield (kind, text, arguments) in which an array stands for one of the arguments."""
    for i, (name, a) in enumerate(e.named[:-1]):
        for kind, text, changed in substitutes(e, i, name, a) if a.dtype.kind == "f" else ():
            if changed.shape == a.shape and not numpy.array_equal(changed, a):
                yield kind, text, [*e.args[:i], changed, *e.args[i + 1 :]]


def substitutes(e, i, name, a):
    """Yield (kind, text, array) for arrays that take the place of argument i."""
    kind, what = ("mask-missing", "the mask ") if numpy.all((a == 0) | (a == 1)) else ("argument-ignored", "")
    yield kind, f"leaves {what}{name} out: it is right for {name} of ones", numpy.ones_like(a)
    if i != e.index:
        yield kind, f"leaves {what}{name} out: it is right for {name} of zeros", numpy.zeros_like(a)
    yield "derivative-at-output", f"is right for {name} = y: taken at the output instead of the input", e.y
    of_samples = a.ndim and e.y.ndim and len(a) == len(e.y)
    others = {} if of_samples else {"first-sample": "index", "sample-dropped": "index", "mixed": "shifted"}
    for kind, text, changed, _ in mistakes(a, (orders, moves) if i == e.index else (orders, moves, parts, sums)):
        yield others.get(kind, kind), f"is right for a {name} {text}", changed
