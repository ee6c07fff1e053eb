"""Causes from the gradient itself: its size, its shape, its type, and whether it belongs to dy and to the argument.

Each rule is a generator of (kind, text, exact) for one argument's `Evidence`.
"""

import itertools

import numpy

from scratchgan.gradcheck.causes.constants import ALIKE, AXES, RESIDUE, ROUNDED, SUPPORT
from scratchgan.gradcheck.causes.evidence import largest


def rules_for(e):
    """Return the rules that may apply to an argument."""
    if e.projected:  # on random directions
        return infinite, zero, scaled
    if not e.same_shape:
        return exchanged, shaped
    return infinite, zero, scaled, exchanged, rearranged, linear, elsewhere, rounded, unmasked


def infinite(e):
    """Not finite."""
    bad = numpy.count_nonzero(~numpy.isfinite(e.yours))
    if bad:
        yield "not-finite", f"is not finite at {bad} of {e.yours.size} entries: a 0 / 0, or a log or root of 0?", False


def zero(e):
    """Nothing arrives: the gradient is 0 where it should not be."""
    if largest(e.yours[e.checked]) > SUPPORT * e.scale or not e.gain > 0:
        return
    if numpy.any(e.yours[e.checked]):
        yield "derivative-missing", "is 0 but for rounding: terms cancel that should have slopes of their own", False
        return
    if e.context.second_order and e.index == 1:
        yield "bend", "is 0: the bend is dropped (backward itself varies with the input, by f''(x) dy ddx)", True
    elif e.context.second_order and e.index > 1:
        yield "parameter-term", "is 0: the parameter term is missing (backward depends on the parameter too)", True
    yield "detached", "is 0: no path leads from the output to this argument (detached, overwritten, never added)", True


def scaled(e):
    """Every entry is multiplied by one number: a sign, a forgotten or an extra mean, a 2."""
    ours, right = e.yours[e.checked], e.right[e.checked]
    if not numpy.any(ours) or not numpy.any(right):
        return
    factor = float(ours @ right / (right @ right))
    exact = e.explains(factor * e.right)
    if exact is None:
        return
    if abs(factor + 1) < ALIKE:
        yield "sign", "has the wrong sign: every entry is the negative of the right one", exact
        return
    sign = "has the wrong sign, and " if factor < 0 else ""
    yield "scale", f"{sign}{factor_text(e, abs(factor))}", exact


def factor_text(e, factor):
    """Say what a constant factor is: a product of dimensions, or a number that is among the arguments."""
    times, size = (factor, "large") if factor > 1 else (1 / factor, "small")
    origins = products_of_dimensions(e, times)[:3]
    if not origins and (squared := products_of_dimensions(e, times**2)):
        origins = [f"the square root of {squared[0]}"]
    if abs(times - 2) < ROUNDED:
        origins.append("the 1/2 or the 2 of a square, or added twice" if factor > 1 else "the 2 of a square")
    number = f"{times:.6g}" if numpy.max(e.error) < ALIKE * e.scale else f"{float(f'{times:.2g}'):g}"
    what = f"lacks a factor 1/{number}" if factor > 1 else f"has a factor 1/{number} too many"
    why = f" ({number} is {' or '.join(origins)})" if origins else ""
    return f"{what}: every entry is {number} times too {size}{why}"


def products_of_dimensions(e, number):
    """Return products of dimensions of one array that are a number, such as "x.shape[0] * x.shape[2]"."""
    products = {}
    for count in range(1, 5):
        for name, array in e.named:
            sizes = [(axis, n) for axis, n in enumerate(array.shape) if n > 1]
            for chosen in itertools.combinations(sizes, count):
                if abs(numpy.prod([n for _, n in chosen]) - number) < ROUNDED * number:
                    products[" * ".join(f"{name}.shape[{axis}]" for axis, _ in chosen)] = None
    return list(products)


def exchanged(e):
    """The gradient of another argument, or with it."""
    for name, other in e.context.comparisons.items():
        right = numpy.asarray(other.numeric)
        if name == e.name or right.shape != e.yours.shape:
            continue
        exact = e.explains(right) if e.same_shape else near(e, e.yours, right) or None
        if exact is not None:
            yield "exchanged", f"is the gradient of {name}: two gradients are exchanged", exact
        elif (exact := e.explains(e.right + right)) is not None:
            total = sum(c.numeric for c in e.context.comparisons.values() if c.numeric.shape == right.shape)
            alone = exact and largest(total) > ALIKE * e.scale  # of gradients that add up to 0, each is the others
            yield "exchanged", f"has the gradient of {name} added to it", alone


def rearranged(e):
    """The right numbers, in other places: axes exchanged, or run through backwards."""
    axes = range(e.right.ndim)
    for order in itertools.permutations(axes) if e.right.ndim <= AXES else ():
        turned = e.right.transpose(order)
        if turned.shape == e.right.shape and order != tuple(axes) and (exact := e.explains(turned)) is not None:
            yield "transposed", f"is the right one with its axes in the order {order}", exact
            return
    for chosen in subsets(axes):
        if (exact := e.explains(numpy.flip(e.right, chosen))) is not None:
            yield "flipped", f"is the right one flipped along axis {listed(chosen)}", exact
            return


def shaped(e):
    """The shape is wrong: a sum over a broadcast axis is missing, or there is one too many, or axes are exchanged."""
    right, yours = e.right, e.yours
    shapes = f"shape {yours.shape} instead of {right.shape}"
    if max(yours.ndim, right.ndim) > AXES:
        yield "shape", f"has the wrong shape ({shapes})", False
        return
    for axes in subsets(range(yours.ndim)):
        total = yours.sum(axes)
        if total.size == right.size and near(e, total.reshape(right.shape), right):
            yield "not-summed", f"is not summed over axis {listed(axes)}, which was broadcast ({shapes})", True
            return
    for axes in subsets(range(right.ndim)):
        for text, total in (("summed", right.sum(axes)), ("averaged", right.mean(axes))):
            if total.size == yours.size and near(e, yours.reshape(total.shape), total):
                yield "over-summed", f"is {text} over axis {listed(axes)}, one too many ({shapes})", True
                return
    for order in itertools.permutations(range(yours.ndim)):
        if near(e, yours.transpose(order), right):
            yield "transposed", f"is transposed: the right one with its axes in another order ({shapes})", True
            return
    if yours.size == right.size and near(e, yours.reshape(right.shape), right):
        yield "shape", f"has the right numbers in the wrong shape ({shapes})", True
    else:
        kind = "transposed" if yours.size == right.size else "not-summed" if yours.size > right.size else "over-summed"
        yield kind, f"has the wrong shape ({shapes})", False


def near(e, a, b):
    """Compare two arrays of one shape, where the numbers of `right` are known with its error."""
    return a.shape == b.shape and bool(numpy.all(numpy.abs(a - b) <= ALIKE * e.scale + 8 * numpy.max(e.error)))


def listed(axes):
    return ", ".join(map(str, axes))


def subsets(axes):
    """Return all sets of axes but the empty one, the smallest first."""
    return [chosen for count in range(1, len(axes) + 1) for chosen in itertools.combinations(axes, count)]


def rounded(e):
    """Computed in a narrow type, and widened afterwards."""
    ours = e.yours[e.checked]
    for narrow in ("float16", "float32"):
        if numpy.array_equal(ours, ours.astype(narrow)) and e.explains(e.right.astype(narrow)):
            yield "dtype", f"is the right one, rounded to {narrow}", True


def linear(e):
    """Every backward is linear in dy: this one is not."""
    if not e.context.upstream:
        return
    once, again, nothing = e.call_backward(e.dy), e.call_backward(2 * e.dy), e.call_backward(0 * e.dy)
    size = largest(once)
    if numpy.array_equal(again, once) and numpy.any(once):
        kind = "roles" if e.context.second_order else "upstream-ignored"
        yield kind, "is the same for another upstream gradient: dy is ignored (taken for ones?)", True
    elif largest(nothing) > ALIKE * size and e.explains(e.right + nothing) is not None:
        multiple = e.x * (nothing * e.x).sum() / (e.x * e.x).sum()
        if numpy.max(numpy.abs(nothing - multiple)) < RESIDUE * largest(nothing):
            yield "decay", f"has a multiple of {e.name} in it that does not come from dy: a weight decay?", True
        else:
            yield "accumulated", "has a term that does not come from dy: an old gradient that it is added to?", True
    elif largest(again - 2 * once) > ALIKE * size or largest(e.call_backward(-e.dy) + once) > ALIKE * size:
        if largest(again - 4 * once) <= ALIKE * size:
            kind = "roles" if e.context.second_order else "upstream-power"
            yield kind, "is quadratic in dy: multiplied by it twice, or dy stands where an argument should", False
        else:
            yield "nonlinear", "is not linear in dy: clipped, normalised, or masked by dy's sign", False


def elsewhere(e):
    """The right gradient for a dy of ones, or at a flipped argument; asked where backward takes no other dy."""
    if not e.context.upstream or e.by_output():
        return
    if (exact := e.explains_sample(numpy.ones_like(e.dy), e.args)) is not None:
        yield "upstream-ignored", "is right for a dy of ones: dy is ignored", exact
        return
    for (i, a), count in itertools.product(enumerate(e.args), (2, 1)):
        for axes in itertools.combinations(range(a.ndim), count):
            exact = e.explains_sample(e.dy, [*e.args[:i], numpy.flip(a, axes), *e.args[i + 1 :]])
            if exact is not None:
                yield "flipped", f"is right for {e.context.names[i]} flipped along axis {listed(axes)}", exact
                return


def unmasked(e):
    """Only entries that should be 0 are wrong."""
    if numpy.any(e.wrong) and numpy.any(e.right) and not numpy.any(e.wrong & (e.right != 0)):
        text = "is wrong only where it should be 0: a mask is missing, or lets too much through"
        yield "mask-missing", text, True


def located(e):
    """What can be said in any case: how many entries are wrong, and at which indices."""
    if not e.same_shape:
        yield "location", "is wrong", False
        return
    places, where = numpy.argwhere(e.wrong), ""
    for axis in range(e.right.ndim):
        at = sorted(set(places[:, axis].tolist()))
        if 0 < len(at) < e.right.shape[axis]:
            where = f", all at {indices(at)} of axis {axis}"
            break
    yield "location", f"is wrong at {len(places)} of {e.right.size} entries{where}", False


def indices(at):
    """Return indices in words, such as "indices 3 to 5, 7"."""
    runs = numpy.split(numpy.asarray(at), numpy.flatnonzero(numpy.diff(at) > 1) + 1)
    texts = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"{'index' if len(at) == 1 else 'indices'} {', '.join(texts[:6])}{', ...' if len(texts) > 6 else ''}"
