"""Rules that ask what a changed call would give: another upstream gradient, other arguments, your backward again.

"The right gradient for dy of ones is yours" says that dy is ignored; "the right gradient at a flipped W is yours" that
the kernel is not flipped. A guess is tested on a sample of entries, against derivatives of forward.
"""

import itertools

import numpy

from scratchgan.gradcheck.causes.slopes import inverses, sigmoid, slope_factors, softmax


def linear(e):
    """Every backward is linear in dy: this one is not."""
    once, again, nothing = e.call_backward(e.dy), e.call_backward(2 * e.dy), e.call_backward(0 * e.dy)
    size = numpy.max(numpy.abs(once), initial=0)
    if numpy.array_equal(again, once) and numpy.any(once):
        yield "upstream-ignored", "is the same for another upstream gradient: dy is ignored (taken for ones?)", True
    elif numpy.max(numpy.abs(nothing), initial=0) > 1e-9 * size and e.explains(e.right + nothing) is not None:
        multiple = e.x * (nothing * e.x).sum() / (e.x * e.x).sum()
        if numpy.max(numpy.abs(nothing - multiple)) < 1e-6 * numpy.max(numpy.abs(nothing)):
            yield "decay", f"has a multiple of {e.name} in it that does not come from dy: a weight decay?", True
        else:
            yield "accumulated", "has a term that does not come from dy: an old gradient that it is added to?", True
    elif numpy.max(numpy.abs(again - 2 * once), initial=0) > 1e-6 * size:
        yield "nonlinear", "is not linear in dy: clipped, normalised, squared, or masked by dy's sign", False


def upstream(e):
    """The right gradient, but of another upstream gradient."""
    if not e.dy.size > 1:
        return
    for kind, text, guess in itertools.chain(other_upstreams(e), dropped_upstreams(e), slopes_at_output(e)):
        if numpy.shape(guess) == e.dy.shape and not numpy.array_equal(guess, e.dy):
            if (exact := e.explains_sample(e.backpropagate(numpy.asarray(guess, float)))) is not None:
                yield kind, text, exact
                return


def other_upstreams(e):
    """Yield (kind, text, dy) for upstream gradients that take dy's place by mistake."""
    dy, axes = e.dy, range(e.dy.ndim)
    yield "upstream-ignored", "is right for dy of ones: the upstream gradient is ignored", numpy.ones_like(dy)
    yield "upstream-ignored", "is right for dy = y: the output is taken for its gradient", e.y
    yield "upstream-power", "is right for dy squared", dy**2
    yield "upstream-power", "is right for |dy|", numpy.abs(dy)
    yield "upstream-power", "is right for max(dy, 0): negative upstream gradients are dropped", numpy.maximum(dy, 0)
    yield "upstream-times-output", "has a factor y too many", dy * e.y
    for name, a in zip(e.context.names, e.context.args, strict=True):
        yield "roles", f"is right for dy = {name}: one stands where the other should", numpy.asarray(a)
    for count in (1, 2):
        for chosen in itertools.combinations(axes[1:], count):
            for move in (1, -1):
                moved = shift(dy, chosen[0], move)
                moved = moved if count == 1 else shift(moved, chosen[1], move)
                text = f"is right for a dy shifted by {move} along axes {chosen}: padding off by one"
                yield "shifted", text, moved
    for axis in axes:
        if dy.shape[axis] > 1:
            for move in (1, -1):
                kind = "mixed" if axis == 0 else "shifted"
                yield kind, f"is right for a dy rolled by {move} along axis {axis}", numpy.roll(dy, move, axis)
            total = numpy.broadcast_to(dy.sum(axis, keepdims=True), dy.shape)
            for word, guess in (("summed", total), ("averaged", total / dy.shape[axis])):
                kind = "mixed" if axis == 0 else "over-summed"
                yield kind, f"is right for a dy that is {word} over axis {axis}", guess
            yield "flipped", f"is right for a dy flipped along axis {axis}", numpy.flip(dy, axis)
    for a, b in itertools.combinations(axes, 2):
        if dy.shape[a] == dy.shape[b]:
            yield "transposed", f"is right for a dy with its axes {a} and {b} exchanged", dy.swapaxes(a, b)
        yield "transposed", "is right for a dy reshaped instead of transposed", dy.swapaxes(a, b).reshape(dy.shape)


def slopes_at_output(e):
    """Yield (kind, text, dy) that repeat a wrong derivative of an activation at the end of forward."""
    for name, z in inverses(e.y):
        for kind, text, factor in slope_factors(name, z):
            yield kind, f"{text} at the end of forward", e.dy * factor


def dropped_upstreams(e):
    """Yield (kind, text, dy) for upstream gradients of which a part is left out."""
    dy = e.dy
    for axis in range(dy.ndim):
        size = dy.shape[axis]
        kept = numpy.arange(size).reshape([-1 if a == axis else 1 for a in range(dy.ndim)])
        whole = "first-sample" if axis == 0 else "position-dropped"
        for text, mask in (("first", kept == 0), ("last", kept == size - 1)):
            if size > 1:
                yield whole, f"uses the {text} of {size} along axis {axis} of dy only", dy * mask
        inner = (kept > 0) & (kept < size - 1)
        for text, mask in (("last", kept < size - 1), ("first", kept > 0), ("first and last", inner)):
            if size > 2:
                kind = "sample-dropped" if axis == 0 else "stride-tail"
                yield kind, f"drops the {text} along axis {axis} of dy (a border, or a stride's tail)", dy * mask
    for a, b in itertools.combinations(range(1, dy.ndim), 2):
        for text, kept in (("last", slice(0, -1)), ("first", slice(1, None))):
            mask = numpy.zeros_like(dy)
            mask[tuple(kept if axis in (a, b) else slice(None) for axis in range(dy.ndim))] = 1
            text = f"drops the {text} along axes {a} and {b} of dy (a border, or a stride's tail)"
            yield "stride-tail", text, dy * mask
    for name, ids in zip(e.context.names, e.context.args, strict=True):
        ids = numpy.asarray(ids)
        if ids.dtype.kind in "iu" and ids.ndim and ids.shape == dy.shape[: ids.ndim]:
            flat = ids.reshape(-1)
            last = numpy.array([value not in flat[i + 1 :] for i, value in enumerate(flat)]).reshape(ids.shape)
            first = numpy.array([value not in flat[:i] for i, value in enumerate(flat)]).reshape(ids.shape)
            for word, mask in (("last", last), ("first", first)):
                text = f"keeps the {word} of equal {name} only: rows are overwritten, not added (use numpy.add.at)"
                yield "overwritten", text, dy * mask.reshape(mask.shape + (1,) * (dy.ndim - mask.ndim))


def arguments(e):
    """The right gradient, but at other arguments: a transposed weight, an output for an input, a factor left out."""
    if e.context.forward is None:
        return
    args = [numpy.asarray(a) for a in e.context.args]
    masked = not numpy.any(e.wrong & (e.right != 0))  # only a mask is missing: changed arguments would mislead
    for i, a in enumerate(args):
        if a.dtype.kind == "f" and not (masked and i == e.index):
            for key, (kind, text, changed) in enumerate(other_arguments(e, i, a)):
                if changed.shape == a.shape and not numpy.array_equal(changed, a):
                    exact = attempt(e, [*args[:i], numpy.asarray(changed, float), *args[i + 1 :]], (i, key))
                    if exact is not None:
                        yield kind, text, exact
                        return
    for i, j in itertools.combinations(range(len(args)), 2):
        if args[i].shape == args[j].shape and args[i].dtype.kind == args[j].dtype.kind == "f":
            swapped = list(args)
            swapped[i], swapped[j] = args[j], args[i]
            one = [*args[:j], args[i], *args[j + 1 :]], [*args[:i], args[j], *args[i + 1 :]]
            names = f"{e.context.names[i]} and {e.context.names[j]}"
            for key, changed in enumerate((swapped, *one)):
                if (exact := attempt(e, changed, (i, j, key))) is not None:
                    yield "roles", f"is right if {names} change roles: one stands where the other should", exact
                    return


def attempt(e, args, key):
    """Return what `explains_call` says of these arguments; None where forward refuses them."""
    try:
        return e.explains_call(args, key=key)
    except (ValueError, TypeError, ArithmeticError, IndexError):
        return None


def other_arguments(e, i, a):
    """Yield (kind, text, array) for arrays that take the place of argument i by mistake."""
    name = e.context.names[i]
    binary = numpy.all((a == 0) | (a == 1))
    kind, what = ("mask-missing", "the mask ") if binary else ("argument-ignored", "")
    yield kind, f"leaves {what}{name} out: it is right for {name} of ones", numpy.ones_like(a)
    if a.shape == e.y.shape and i == e.index:
        yield "derivative-at-output", "takes the derivative at the output instead of the input", e.y
    axes = range(a.ndim)
    for pair in itertools.combinations(axes, 2):
        if a.shape[pair[0]] == a.shape[pair[1]]:
            text = f"is right for {name} with its axes {pair} exchanged: W for its transpose"
            yield "transposed", text, a.swapaxes(*pair)
    if a.ndim:
        for count in (2, 1, 3):
            for flipped in itertools.combinations(axes, count):
                text = f"is right for {name} flipped along axes {flipped}: the kernel is not flipped (or flipped twice)"
                yield "flipped", text, numpy.flip(a, flipped)
        for axis in axes[1:] if a.ndim > 2 else ():
            for move in (1, -1):
                text = f"is right for a {name} shifted by {move} along axis {axis}: off by one in the padding"
                yield "shifted", text, shift(a, axis, move)
        for pair in itertools.combinations(axes[1:], 2):
            for move in (1, -1):
                text = f"is right for a {name} shifted by {move} along axes {pair}: off by one in the padding"
                yield "shifted", text, shift(shift(a, pair[0], move), pair[1], move)
    yield "square", f"is right for the square of {name}", a**2
    yield "abs", f"is right for |{name}|", numpy.abs(a)
    yield "mixed", f"is right for a {name} whose samples are moved by one", numpy.roll(a, 1, 0)
    if a.ndim > 1:
        yield "softmax-twice", f"is right for a softmax of {name}: softmax is applied twice", softmax(a)
    yield "sigmoid-twice", f"is right for a sigmoid of {name}: sigmoid is applied twice", sigmoid(a)
    yield "inverted", f"is right for 1 / {name}: a quotient for a product", 1 / a
    if numpy.any(numpy.trunc(a)):
        yield "dtype", f"is right for a {name} rounded to integers", numpy.trunc(a)
    if e.index != i:
        yield "argument-ignored", f"is right for {name} of zeros: its part is left out", numpy.zeros_like(a)


def shift(a, axis, move):
    """Return an array moved along an axis, with zeros where nothing comes from."""
    moved = numpy.roll(a, move, axis)
    moved[(slice(None),) * axis + (slice(0, move) if move > 0 else slice(move, None),)] = 0
    return moved


def compared(e, args, key):
    """Return your gradient and the right one, at the sampled entries, for other arguments."""
    right = numpy.tensordot(e.jacobian(args, None, key), e.dy, e.dy.ndim)
    return e.call_backward(e.dy, args).reshape(-1)[e.sample()], right


def inactive(e):
    """Your backward is right where arguments are positive, or one is negative: the other side of a kink is wrong."""
    args = [numpy.asarray(a) for a in e.context.args]
    positive = [numpy.abs(a) if a.dtype.kind == "f" else a for a in args]
    text = "is right where all arguments are positive: the mask of a hidden ReLU, or another negative side, is missing"
    tries = [("derivative-missing", text, positive)]
    for i, (name, a) in enumerate(zip(e.context.names, args, strict=True)):
        text = f"is right where {name} is negative: the other side, where a mask belongs, is wrong"
        tries += [("mask-missing", text, [*args[:i], -positive[i], *args[i + 1 :]])] if a.dtype.kind == "f" else []
    for number, (kind, text, changed) in enumerate(tries):
        yours, right = compared(e, changed, ("sides", number))
        size = numpy.max(numpy.abs(right))
        if size > 1e-3 * e.scale and numpy.allclose(yours, right, rtol=1e-6, atol=1e-7 * size):
            yield kind, text, False
            return


def shrunk(e):
    """For very small arguments your gradient is the right one times what is known of derivatives at 0."""
    small = [1e-3 * a if numpy.asarray(a).dtype.kind == "f" else a for a in e.context.args]
    yours, right = compared(e, small, "small")
    factor = yours @ right / (right @ right)
    alike = numpy.max(numpy.abs(yours - factor * right)) <= 1e-3 * numpy.max(numpy.abs(right))
    if not alike or e.explains(factor * e.right) is not None:  # a constant factor is no derivative's doing
        return
    for value, kind, text in (
        (1, "derivative-missing", "that of a hidden tanh, or another that is 1 at 0, is missing, or a branch"),
        (4, "derivative-missing", "that of a hidden sigmoid is missing"),
        (2, "derivative-missing", "that of a hidden softplus is missing"),
        (3, "derivative-wrong", "a hidden sigmoid has that of a tanh, 1 - y^2"),
    ):
        if abs(factor - value) < 1e-3:
            yield kind, f"is {value} times the right one for very small arguments: of derivatives, {text}", False


def overwritten(e):
    """Of the terms that each entry is the sum of, one for each place in y, only the last, or the first, is there."""
    if not e.y.ndim:
        return
    terms, axes = e.jacobian() * e.dy, range(1, e.dy.ndim + 1)  # (entries, *y.shape)
    for count in range(e.dy.ndim):
        for inner in itertools.combinations(axes, count):
            for word, step in (("last", -1), ("first", 1)):
                rows = terms.sum(inner).reshape(len(terms), -1)[:, ::step]
                guess = rows[numpy.arange(len(rows)), numpy.argmax(rows != 0, 1)]
                if (exact := e.explains_sample(guess)) is not None:
                    text = f"is only the {word} of the terms to be summed: overwritten in a loop, not added (= for +=)"
                    yield "overwritten", text, exact
                    return


def cross_terms(e):
    """Entries of the Jacobian are dropped: only those that join equal positions, or equal samples, are kept."""
    if e.x.ndim == 0:
        return
    if e.x.shape == e.y.shape == e.dy.shape and (exact := e.explains(e.along(e.dy))) is not None:
        yield "transposed", "is J dy instead of J^T dy: the Jacobian is not transposed (an order not undone)", exact
        return
    for axes in [range(e.x.ndim)] + [(axis,) for axis in range(e.x.ndim)]:
        if e.y.ndim <= max(axes) or any(e.x.shape[a] != e.y.shape[a] for a in axes):
            continue
        place = numpy.unravel_index(e.sample(), e.x.shape)
        same = numpy.ones((len(place[0]), *e.y.shape), bool)
        for axis in axes:
            index = numpy.arange(e.y.shape[axis]).reshape([-1 if a == axis else 1 for a in range(e.y.ndim)])
            same = same & (index == place[axis].reshape(-1, *[1] * e.y.ndim))
        guess = (e.jacobian() * same).reshape(len(same), -1) @ e.dy.reshape(-1)
        if (exact := e.explains_sample(guess)) is not None:
            if len(axes) > 1:
                yield "diagonal", "is the diagonal of the Jacobian times dy: terms between entries are missing", exact
            else:
                yield "cross-terms", f"lacks the terms between different indices of axis {axes[0]}", exact
            return
