"""Rules that need nothing but arrays: your gradient is the right one, changed in some way.

Each rule is a generator of (kind, text, exact) for one argument's `Evidence`.
"""

import itertools

import numpy


def infinite(e):
    """Not finite."""
    bad = numpy.count_nonzero(~numpy.isfinite(e.yours))
    if bad:
        yield "not-finite", f"is not finite at {bad} of {e.yours.size} entries: a 0 / 0, or a log or root of 0?", False


def zero(e):
    """Nothing arrives: the gradient is 0 where it should not be."""
    if numpy.any(e.yours[e.checked]) or not e.gain > 0:
        return
    if e.context.second_order and e.index is not None and e.index >= 1:
        if e.index == 1:
            yield "bend", "is 0: the bend is dropped (backward itself varies with the input, by f''(x) dy ddx)", True
        else:
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
        if e.explains(numpy.abs(e.right)) is not None:
            yield "abs", "has lost its signs: it is the absolute value of the right gradient", True
        return
    enough = numpy.count_nonzero(right) > 1  # of one number, any other is a multiple
    if abs(factor + 1) < 1e-6:
        yield "sign", "has the wrong sign: every entry is the negative of the right one", exact and enough
        return
    sign = "has the wrong sign, and " if factor < 0 else ""
    yield "scale", f"{sign}{factor_text(e, abs(factor))}", exact and enough


def factor_text(e, factor):
    """Say what a constant factor is: a product of dimensions, or a number that is among the arguments."""
    times, size = (factor, "large") if factor > 1 else (1 / factor, "small")
    origins = products_of_dimensions(e, times)[:3]
    if not origins and (squared := products_of_dimensions(e, times**2)):
        origins = [f"the square root of {squared[0]}"]
    if abs(times - 2) < 1e-5:
        origins.append("the 1/2 or the 2 of a square, or added twice" if factor > 1 else "the 2 of a square")
    if norm := norm_of_an_argument(e, factor):
        origins.insert(0, norm)
    number = f"{times:.6g}"
    what = f"lacks a factor 1/{number}" if factor > 1 else f"has a factor 1/{number} too many"
    why = f" ({number} is {' or '.join(origins)})" if origins else ""
    return f"{what}: every entry is {number} times too {size}{why}"


def products_of_dimensions(e, number):
    """Return products of dimensions of one array that are a number, such as "x.shape[0] * x.shape[2]"."""
    products = {}
    arrays = [*zip(e.context.names, e.context.args, strict=True), ("y", e.y)]
    for count in range(1, 5):
        for name, array in arrays:
            sizes = [(axis, n) for axis, n in enumerate(numpy.shape(array)) if n > 1]
            for chosen in itertools.combinations(sizes, count):
                if abs(numpy.prod([n for _, n in chosen]) - number) < 1e-5 * number:
                    product = " * ".join(f"{name}.shape[{axis}]" for axis, _ in chosen)
                    products[product] = None
    return list(products)


def norm_of_an_argument(e, factor):
    """Return a text if a factor, or 1 / factor, is a norm of an argument: a division by it was left out or added."""
    for name, array in zip(e.context.names, e.context.args, strict=True):
        a = numpy.asarray(array, float)
        norms = {"norm": numpy.sqrt((a**2).sum())}
        if a.ndim > 1:
            norms["largest singular value"] = numpy.linalg.norm(a.reshape(-1, a.shape[-1]), 2)
        if a.size == 1:
            norms = {"value": abs(a.reshape(-1)[0])}
        for text, value in norms.items():
            number = max(factor, 1 / factor)  # what the text names
            for own, what in ((value, f"the {text} of {name}"), (1 / max(value, 1e-300), f"1 / the {text} of {name}")):
                if abs(value - 1) > 1e-6 and abs(number - own) < 1e-6 * number:
                    return what
    return None


def scaled_per_axis(e):
    """Every slice is multiplied by a number of its own, such as a gamma that was left out."""
    if e.right.ndim < 2:
        return
    ratio = numpy.where(e.checked & (e.right != 0), e.yours / e.right, numpy.nan)
    for axis in range(e.right.ndim):
        others = tuple(a for a in range(e.right.ndim) if a != axis)
        if e.right.size < 3 * e.right.shape[axis] or e.right.shape[axis] < 2 or numpy.isnan(ratio).all(others).any():
            continue
        factors = numpy.nanmedian(ratio, axis=others, keepdims=True)
        exact = e.explains(factors * e.right)
        if exact is None:
            continue
        for name, a in zip(e.context.names, e.context.args, strict=True):
            a = numpy.asarray(a, float)
            if a.size == factors.size:
                for power, verb in ((-1, "left out"), (1, "once too often"), (-2, "divided by, not times")):
                    if numpy.allclose(factors.reshape(-1), a.reshape(-1) ** power, rtol=1e-6, atol=0):
                        yield "argument-ignored", f"has its factor {name} {verb}", exact
                        return
        yield "scale-per-axis", f"is multiplied by a factor of its own for each index of axis {axis}", exact
        return


def shaped(e):
    """The shape is wrong: a sum over a broadcast axis is missing, or there is one too many, or axes are exchanged."""
    e_right, yours = e.right, e.yours
    shapes = f"shape {yours.shape} instead of {e_right.shape}"
    for axes in subsets(range(yours.ndim)):
        total = yours.sum(axes)
        if total.size == e_right.size and near(e, total.reshape(e_right.shape), e_right):
            yield "not-summed", f"is not summed over axis {listed(axes)}, which was broadcast ({shapes})", True
            return
    for axes in subsets(range(e_right.ndim)):
        for text, total in (("summed", e_right.sum(axes)), ("averaged", e_right.mean(axes))):
            if total.size == yours.size and near(e, yours.reshape(total.shape), total):
                yield "over-summed", f"is {text} over axis {listed(axes)}, one too many ({shapes})", True
                return
    for order in itertools.permutations(range(yours.ndim)):
        if yours.transpose(order).shape == e_right.shape and near(e, yours.transpose(order), e_right):
            yield "transposed", f"is transposed: the right one with its axes in another order ({shapes})", True
            return
    if yours.size == e_right.size and near(e, yours.reshape(e_right.shape), e_right):
        yield "shape", f"has the right numbers in the wrong shape ({shapes})", True
    elif sorted(yours.shape) == sorted(e_right.shape):
        yield "transposed", f"has the wrong shape, that of a transpose ({shapes})", False
    elif yours.size > e_right.size:
        yield "not-summed", f"has the wrong shape: not summed over a broadcast axis? ({shapes})", False
    else:
        yield "over-summed", f"has the wrong shape: summed over an axis too many? ({shapes})", False


def near(e, a, b):
    """Compare two arrays of one shape, where the numbers of `right` are known with its error."""
    return a.shape == b.shape and bool(numpy.all(numpy.abs(a - b) <= 1e-6 * e.scale + 8 * numpy.max(e.error)))


def listed(axes):
    return ", ".join(map(str, axes))


def subsets(axes):
    """Return all sets of axes but the empty one, the smallest first."""
    return [chosen for count in range(1, len(axes) + 1) for chosen in itertools.combinations(axes, count)]


def rearranged(e):
    """The right numbers in other places: transposed, flipped, shifted, reshaped instead of transposed."""
    if e.right.ndim < 1 or e.right.size < 2:
        return
    axes = range(e.right.ndim)
    for order in itertools.permutations(axes):
        moved = e.right.transpose(order)
        if order != tuple(axes) and (exact := e.explains(moved.reshape(e.right.shape))) is not None:
            if moved.shape == e.right.shape:
                yield "transposed", f"is transposed: the right gradient with its axes in the order {order}", exact
            else:
                yield "transposed", f"is reshaped where its axes {order} should be transposed", exact
            return
    for flipped in subsets(axes):
        if (exact := e.explains(numpy.flip(e.right, flipped))) is not None:
            kind = "order" if flipped == (0,) and e.right.ndim < 3 else "flipped"
            yield kind, f"is flipped along axis {listed(flipped)}: a kernel that is flipped wrongly, or not", exact
            return
    yield from shifted(e)
    yield from misplaced(e)
    ours, right = numpy.sort(e.yours, axis=None), numpy.sort(e.right, axis=None)
    if e.right.size > 3 and near(e, ours, right) and e.gain > 1e-4 * e.scale:
        yield "order", "has the right numbers in the wrong places (a reshape, or an order of axes)", True


def misplaced(e):
    """The right sums over blocks of entries, as in a pooling whose gradient goes to the wrong place in each window."""
    if e.gain <= 1e-4 * e.scale:  # off by a rounding
        return
    for axes in ((1, 2), (2, 3), (1,), (2,)):
        for size in (2, 3, 4) if e.right.ndim > max(2, *axes) else ():
            if all(e.right.shape[a] % size == 0 for a in axes):
                shape = [n for a, m in enumerate(e.right.shape) for n in ((m // size, size) if a in axes else (m,))]
                inner = tuple(axis + i + 1 for i, axis in enumerate(axes))
                if near(e, e.yours.reshape(shape).sum(inner), e.right.reshape(shape).sum(inner)):
                    text = f"goes to wrong entries of windows: sums over blocks of {size} along axes {axes} are right"
                    yield "wrong-place", text, True
                    return


def shifted(e):
    """The right numbers, moved by one or two places: off by one in a padding or an index."""
    if e.y.ndim and e.right.shape[0] == e.y.shape[0] and e.right.shape[0] > 2:
        for move in (1, -1):
            if (exact := e.explains(numpy.roll(e.right, move, 0))) is not None:
                yield "mixed", "is that of the next sample: samples are mixed up", exact
                return
    if e.right.size < 6:
        return
    samples = e.y.ndim > 0 and e.right.shape[0] == e.y.shape[0]  # then the first axis is no place
    distances = [(0,) if samples else (-1, 0, 1)] + [(-2, -1, 0, 1, 2)] * (e.right.ndim - 1)
    distances = distances if e.right.ndim > 2 else [(-1, 0, 1)] * e.right.ndim
    for move in sorted(itertools.product(*distances), key=lambda move: sum(map(abs, move))):
        if any(move) and all(n > abs(m) + 1 or not m for n, m in zip(e.right.shape, move, strict=True)):
            inside = numpy.zeros(e.right.shape, bool)
            inside[tuple(slice(max(m, 0), n + min(m, 0)) for n, m in zip(e.right.shape, move, strict=True))] = True
            if (exact := e.explains(numpy.roll(e.right, move, range(e.right.ndim)), inside)) is not None:
                yield "shifted", f"is shifted by {move}: off by one in a padding, a crop or an index", exact
                return


def summed(e):
    """The right gradient summed or averaged over an axis, and broadcast back."""
    over = [axes for axes in subsets(range(e.right.ndim)) if all(e.right.shape[a] > 1 for a in axes)]
    sums = [("summed", numpy.sum), ("averaged", numpy.mean)]
    yield from e.first(
        ("over-summed", f"is {word} over axis {listed(axes)}, one too many",
         numpy.broadcast_to(reduce(e.right, axes, keepdims=True), e.right.shape))
        for axes, (word, reduce) in itertools.product(over, sums)
    )  # fmt: skip


def exchanged(e):
    """The gradient of another argument."""
    for name, other in e.context.comparisons.items():
        right = numpy.asarray(other.numeric)
        if name == e.name or right.shape != e.yours.shape:
            continue
        exact = e.explains(right) if e.same_shape else near(e, e.yours, right) or None
        if exact is not None:
            yield "exchanged", f"is the gradient of {name}: two gradients are exchanged", exact
        elif (exact := e.explains(e.right + right)) is not None:
            yield "exchanged", f"has the gradient of {name} added to it", exact


def clipped(e):
    """Cut at a bound, or rounded to another type."""
    ours = e.yours[e.checked]
    bound = numpy.max(numpy.abs(ours), initial=0)
    if bound and numpy.count_nonzero(numpy.isclose(numpy.abs(ours), bound, rtol=1e-12)) > 1:
        if (exact := e.explains(numpy.clip(e.right, -bound, bound))) is not None:
            yield "clipped", f"is clipped to [-{bound:.6g}, {bound:.6g}]", exact
    yield from e.first((
        ("clipped", "has its negative entries set to 0", numpy.maximum(e.right, 0)),
        ("clipped", "has its positive entries set to 0", numpy.minimum(e.right, 0)),
        ("clipped", "has its signs only", numpy.sign(e.right)),
    ))  # fmt: skip
    for text, guess in (("rounded to integers", numpy.rint(e.right)), ("truncated to integers", numpy.trunc(e.right))):
        if numpy.all(ours == numpy.rint(ours)) and numpy.any(ours) and e.explains(guess) is not None:
            yield "dtype", f"is {text}: an integer array somewhere", True
    yield from rounded(e)


def rounded(e):
    """Errors of the size of a narrow type's rounding, and no more."""
    if not e.checked.any():
        return
    size = numpy.maximum(numpy.abs(e.right), 1e-3 * e.scale)
    relative = numpy.median((numpy.abs(e.residual) / size)[e.checked])
    worst = numpy.max(numpy.abs(e.residual)) / e.scale
    for name, unit in (("float16", 2.0**-11), ("float32", 2.0**-24)):
        if 0.05 * unit < relative < 16 * unit and worst < 64 * unit:
            same = numpy.array_equal(e.yours, e.yours.astype(name).astype(float))
            yield "dtype", f"is off by rounding of {name}: computed or stored in {name}", bool(same)
