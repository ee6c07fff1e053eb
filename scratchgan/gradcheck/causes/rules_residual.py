"""Rules on what is left over, yours - right: a missing term has a shape of its own, and wrong entries have places."""

import itertools
import math

import numpy

from scratchgan.gradcheck.causes.evidence import axes_of, groupings
from scratchgan.gradcheck.causes.slopes import softmax


def multiple(residual, basis, axes):
    """Return the multiples of a basis along some axes that come closest to the residual."""
    return basis * (residual * basis).sum(axes, keepdims=True) / (basis**2).sum(axes, keepdims=True)


def statistics(e):
    """A path through a mean, a variance, a norm or a sum is missing: the residual follows its derivative."""
    if e.x.dtype.kind != "f" or not e.checked.all():
        return
    for grouped in groupings(e.right.shape):
        for axes in axes_of(grouped, 3):  # the largest first, which leave the fewest multiples to be fitted
            if e.y.ndim or len(axes) < len(grouped):  # a loss has terms that are constants
                for kind, text in paths(e, grouped, axes):
                    yield kind, text, False
                    return


def paths(e, shape, axes):
    """Yield findings for statistics over some axes of x in a shape: the bases that the residual may follow."""
    view = lambda a: a.reshape(shape)
    R, x, ones = view(e.residual), view(e.x), numpy.ones(shape)
    centred = x - x.mean(axes, keepdims=True)
    over = f"over axes {', '.join(map(str, axes))}" + (f" of {shape}" if shape != e.right.shape else "")
    bases = [("mean-path", f"lacks the mean path (or has it wrongly scaled): the mean {over} depends on it", ones)]
    bases += [("variance-path", f"lacks the variance path (or has it wrongly scaled), {over}", centred)]
    bases += [("norm-path", f"is off by a multiple of {e.name} {over}: path through its norm, or a decay", x)]
    if e.y.shape == e.right.shape:
        bases += [("sum-path", f"is off by a multiple of y {over}: the path through a sum, as in softmax", view(e.y))]
    for kind, text, basis in bases:
        if e.explains(e.right + multiple(R, basis, axes).reshape(e.right.shape)):
            yield kind, text
    if numpy.prod([shape[a] for a in axes]) >= 5:
        both = multiple(R, ones, axes) + multiple(R, centred, axes)
        if e.explains(e.right + both.reshape(e.right.shape)):
            text = f"lacks the mean path and the variance path, {over}: statistics taken for constants"
            yield "statistics", text


def softmax_sum(e):
    """A hidden softmax p of q k^T: its path through the sum is, row by row, a multiple of p k; for k of p^T q."""
    matrices = [(i, numpy.asarray(a, float)) for i, a in enumerate(e.context.args) if numpy.ndim(a) == 2]
    for (i, q), (j, a) in itertools.permutations(matrices, 2):
        for k, residual in ((a, e.residual), (a.T, e.residual.T)):
            for scale in (1, k.shape[1] ** -0.5) if q.shape[1] == k.shape[1] and e.index in (i, j) else ():
                p = softmax(scale * q @ k.T)
                if e.index == i:
                    fit = multiple(e.residual, p @ k, (1,))
                else:
                    rows = numpy.einsum("nm,nd->mdn", p, q).reshape(residual.size, len(q))
                    fit = (rows @ numpy.linalg.lstsq(rows, residual.reshape(-1), rcond=None)[0]).reshape(residual.shape)
                    fit = fit if k is a else fit.T
                if min(k.shape) > 1 and e.right.size > len(q) and e.explains(e.right + fit):
                    names = e.context.names
                    yield "sum-path", f"lacks the path through the sum of a softmax of {names[i]} and {names[j]}", False
                    return


def another(e):
    """The residual is a multiple of another argument, such as a target that is not subtracted."""
    if e.right.size < 3:
        return
    for name, a in zip(e.context.names, e.context.args, strict=True):
        a = numpy.asarray(a)
        if a.dtype.kind in "iu" and a.ndim == e.right.ndim - 1 and a.size and a.min() >= 0:
            a = numpy.eye(max(e.right.shape[-1], int(a.max()) + 1))[a]  # classes: one-hot
        if name != e.name and a.shape == e.right.shape and numpy.count_nonzero(a) > 2:
            guess = e.right + multiple(e.residual, a.astype(float), tuple(range(e.right.ndim)))
            text = f"is off by a multiple of {name}: its term is missing, or there twice"
            yield from e.first([("argument-ignored", text, guess)])


def singular(e):
    """The residual is a multiple of u v^T, the derivative of the largest singular value."""
    if e.x.ndim < 2:
        return
    W = e.x.reshape(-1, e.x.shape[-1])
    if min(W.shape) > 1:
        u, _, vt = numpy.linalg.svd(W, full_matrices=False)
        direction = numpy.outer(u[:, 0], vt[0]).reshape(e.x.shape)
        axes = tuple(range(e.x.ndim))
        text = f"is off by a multiple of u v^T: the largest singular value of {e.name} is detached"
        yield from e.first([("detached", text, e.right + multiple(e.residual, direction, axes))])


def confined(e):
    """Some entries are wrong: a border, a tail, all samples but the first, one side of a kink."""
    if e.right.size < 4 or not e.wrong.any():
        return
    for kind, text, region in itertools.chain(masked_regions(e), places(e), sides(e), intervals(e)):
        inside, outside = region & e.checked, ~region & e.checked
        if not (inside.any() and outside.any()) or numpy.any(e.wrong & outside):
            continue
        matter = inside & ((e.right != 0) | (e.yours != 0))
        if numpy.count_nonzero(e.wrong & inside) < 0.7 * numpy.count_nonzero(matter):
            continue
        yours, right = e.yours[e.wrong], e.right[e.wrong]
        factor = yours @ right / max(right @ right, 1e-300)
        exact = e.explains(numpy.where(region, factor * e.right, e.right))
        how = "" if exact is None else " (0 there)" if not yours.any() else f" ({factor:.6g} times the right value)"
        yield kind, f"is wrong only {text}{how}", exact is True
        return


def masked_regions(e):
    if numpy.any(e.right == 0) and numpy.any(e.right):
        text = "where it should be 0: the mask of a ReLU, a dropout, a hinge or a maximum is missing"
        yield "mask-missing", text, e.right == 0


def places(e):
    """Yield (kind, text, region) for regions of an array that bugs are confined to."""
    grid = numpy.indices(e.right.shape)
    shape = e.right.shape
    spatial = range(1, e.right.ndim - 1) if e.right.ndim > 2 else range(e.right.ndim)
    for count in (1, 2):
        for axes in itertools.combinations(spatial, min(count, len(spatial))):
            for width in (1, 2):
                if all(shape[a] > 2 * width for a in axes):
                    last = numpy.logical_or.reduce([grid[a] >= shape[a] - width for a in axes])
                    first = numpy.logical_or.reduce([grid[a] < width for a in axes])
                    where = f"of axis {', '.join(map(str, axes))}"
                    many = "" if width == 1 else f"{width} "
                    yield "stride-tail", f"in the last {many}rows {where}: a tail of the stride, or a crop", last
                    yield "border", f"in the first {many}rows {where}: a border, padding off by one", first
                    yield "border", f"in the first and last {many}rows {where}: a border, padding", first | last
    for axis in range(e.right.ndim):
        if e.right.ndim > 1 and shape[axis] > 1 and numpy.count_nonzero(e.yours) < e.yours.size:
            text = f"of axis {axis}: only one sample, or one step in time, is used, and the others are cut off"
            yield "first-sample", f"after the first index {text}", grid[axis] > 0
            yield "first-sample", f"before the last index {text}", grid[axis] < shape[axis] - 1
    for axis in range(e.right.ndim):
        for index in range(min(shape[axis], 50)):
            yield "index", f"at index {index} of axis {axis}", grid[axis] == index


def sides(e):
    """Yield (kind, text, region) for regions that depend on the sign of a value."""
    for name, a in ((e.name, e.x), ("y", e.y), ("dy", e.dy)):
        if a is not None and a.shape == e.right.shape and a.dtype.kind == "f":
            for word, region in (("negative", a < 0), ("positive", a > 0), ("zero", a == 0), ("above 1", a > 1)):
                kind = "upstream-power" if name == "dy" else "side"
                yield kind, f"where {name} is {word}: that side's slope", region


def intervals(e):
    """Yield (kind, text, region) for wrong entries that are neighbours, not by chance, when sorted by a value."""
    values = {e.name: e.x, f"|{e.name}|": numpy.abs(e.x), "y": e.y}
    for name, a in zip(e.context.names, e.context.args, strict=True):
        if name != e.name and numpy.shape(a) == e.x.shape:
            values |= {name: numpy.asarray(a), f"{e.name} {name}": e.x * a, f"{e.name} - {name}": e.x - a}
    for name, v in values.items():
        if v.shape == e.right.shape:
            low, high = v[e.wrong].min(), v[e.wrong].max()
            region, count, size = (v >= low) & (v <= high), int(e.wrong.sum()), e.right.size
            if 10 * len(values) * (size - count + 1) < math.comb(size, count):
                text = f"where {name} is from {low:.4g} to {high:.4g}: a bound or a margin is misplaced"
                yield "margin", text, region


def second_order(e):
    """Of dx = G W^T: dW lacks the term ddx^T G, or that of the bend, x^T S where the bend at x is S W^T."""
    if not e.context.second_order or e.index < 2 or not e.x.ndim == e.y.ndim == e.dy.ndim == 2:
        return
    first, x = e.context.comparisons.get(e.context.names[1]), numpy.asarray(e.context.args[1])
    for G in (numpy.asarray(e.context.args[0]), numpy.linalg.lstsq(e.x, e.y.T, rcond=None)[0].T):
        if (e.y.shape[1], G.shape[1]) == e.x.shape and e.explains(e.right - e.dy.T @ G):
            text = "lacks the parameter term, ddx^T times what W^T is multiplied by: backward depends on W itself, too"
            yield "parameter-term", text, True
    if first is not None and first.numeric.shape == x.shape and x.ndim == 2 and x.shape[1] == e.x.shape[0]:
        missing, bend = -e.residual @ e.x.T, x.T @ first.numeric
        scale = numpy.max(numpy.abs(bend))
        if scale > 0 and numpy.max(numpy.abs(missing - bend)) < 1e-6 * scale:
            yield "bend", "lacks the bend's part: what the layers above send back is not sent into this one", True


def located(e):
    """What can be said in any case: how many entries are wrong, and which arguments are right."""
    right = [name for name, c in e.context.comparisons.items() if c.verdict == "AGREE"]
    text = f"is wrong at {numpy.count_nonzero(e.wrong)} of {e.right.size} entries" if e.same_shape else "is wrong"
    if right:
        text += f", while {', '.join(right)} agree{'s' if len(right) == 1 else ''}: look at this gradient's own line"
    yield "location", text, False
