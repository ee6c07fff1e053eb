"""Causes from what is left over, output by output: a path that is lost has a shape of its own."""

import itertools

import numpy

from scratchgan.gradcheck.causes.constants import ALIKE, CLOSE, DEPENDENT, GROUP, NEAR
from scratchgan.gradcheck.causes.evidence import largest
from scratchgan.gradcheck.causes.outputs import lost_slopes


def groupings(shape):
    """Yield the shape, and shapes with the channels, last or second, split into groups."""
    yield shape
    for axis in {len(shape) - 1, 1} if len(shape) > 1 else ():
        for size in range(2, shape[axis]):
            if shape[axis] % size == 0:
                yield (*shape[:axis], shape[axis] // size, size, *shape[axis + 1 :])


def axes_of(shape, least):
    """Yield sets of axes along which there are at least so many entries, the largest sets first."""
    for count in range(len(shape), 0, -1):
        for axes in itertools.combinations(range(len(shape)), count):
            if numpy.prod([shape[a] for a in axes]) >= least:
                yield axes


def statistics(e):
    """A path through a mean, a variance, a norm or a sum is missing: what is left over follows its derivative."""
    if not e.checked.all() or not e.right.ndim:
        return
    rows = e.residual[None]
    if e.in_full():
        rows = e.shares()[0] - e.shares()[1]
        rows = rows[numpy.max(abs(rows), 1) > ALIKE * largest(rows)]
    for shape in groupings(e.right.shape):
        for axes in axes_of(shape, GROUP):  # the largest first, which leave the fewest multiples to be fitted
            if e.y.ndim or len(axes) < len(shape):  # a loss has terms that are constants
                found = list(paths(e, rows.reshape(-1, *shape), shape, axes))
                yield from ((kind, text, False) for kind, text in found)
                if found:
                    return


def paths(e, rows, shape, axes):
    """Yield (kind, text) for statistics over some axes of x in a shape: the bases that the rows may follow."""
    x, along = e.x.reshape(1, *shape), tuple(a + 1 for a in axes)
    centred, ones = x - x.mean(along, keepdims=True), numpy.ones((1, *shape))
    if e.in_full():  # a mean is over what takes part
        part = 1.0 * (abs(rows) > ALIKE * largest(rows))
        ones = part if numpy.all((part.sum(along) == 0) | (part.sum(along) >= GROUP)) else ones
    over = f"over axes {', '.join(map(str, axes))}" + (f" of {shape}" if shape != e.right.shape else "")
    bases = [
        ("mean-path", f"lacks the mean path, or has it wrong: the mean {over} depends on it", ones),
        ("variance-path", f"lacks the variance path, or has it wrong, {over}", centred),
        ("norm-path", f"is off by a multiple of {e.name} {over}: path through its norm, or a decay", x),
    ]
    if e.y.shape == e.right.shape:
        text = f"is off by a multiple of y {over}: the path through a sum, as in softmax"
        bases.append(("sum-path", text, e.y.reshape(1, *shape)))
    follows = lambda fit: numpy.all(abs(fit - rows) <= CLOSE * largest(rows))
    yield from ((kind, text) for kind, text, basis in bases if follows(multiple(rows, basis, along)))
    if numpy.prod([shape[a] for a in axes]) >= GROUP + 2:
        if follows(multiple(rows, ones, along) + multiple(rows, centred, along)):
            yield "statistics", f"lacks the mean path and the variance path, {over}"
        elif e.in_full():
            yield from another_scale(e, shape, along, over, numpy.ones((1, *shape)), centred)


def another_scale(e, shape, along, over, ones, centred):
    """Yield (kind, text) where each share is the output's own entry, a mean and a multiple of x, sized differently."""
    if e.y.shape != e.right.shape or len(e.outputs()) != e.x.size or e.pointwise():
        return
    rest = lambda M: M - multiple(M, ones, along) - multiple(M, centred, along)
    own, yours, right = (rest(M.reshape(-1, *shape)) for M in (numpy.eye(e.x.size), *e.shares()))
    sizes = [(flat(M) * flat(own)).sum(1) / (flat(own) ** 2).sum(1) for M in (yours, right)]
    off = [flat(M) - size[:, None] * flat(own) for M, size in zip((yours, right), sizes, strict=True)]
    if largest(off) <= CLOSE * largest(right):
        ratio = sizes[0] / sizes[1]
        kind, what = "swapped-constants", "an epsilon is too large, or another constant stands for it"
        if numpy.ptp(ratio) < NEAR * largest(ratio - 1):
            kind, what = "unbiased", "a count is another, such as N - 1 for N"
        elif numpy.all(ratio > 1):
            kind, what = "epsilon", "an epsilon is left out, or too small"
        yield kind, f"has the parts of the right one in other sizes, {over}: {what}"


def flat(M):
    return M.reshape(len(M), -1)


def multiple(rows, basis, axes):
    """Return the multiples of a basis along some axes that come closest to rows."""
    size = (basis**2).sum(axes, keepdims=True)
    return basis * (rows * basis).sum(axes, keepdims=True) / numpy.where(size > 0, size, 1)


def ranks(e):
    """Each output's share is a sum of products, as over steps in time; yours has fewer of them."""
    if e.x.ndim != 2 or min(e.x.shape) < 2 or not e.in_full():
        return
    yours, right = (M.reshape(-1, *e.x.shape) for M in e.shares())
    rank = lambda rows: numpy.linalg.matrix_rank(rows, tol=DEPENDENT * largest(right))
    whole, kept, lost = rank(right), rank(yours), rank(right - yours)
    fewer = (kept < whole) & ((whole < min(e.x.shape)) | (lost == whole - kept))  # others are as many as fit in
    if fewer.any() and numpy.all(kept <= whole) and numpy.all((lost == whole - kept)[fewer]):
        m = int(numpy.argmax(numpy.where(fewer, whole - kept, 0)))
        of = f"{kept[m]} of the {whole[m]} terms of a sum"
        text = f"has {of} (steps in time, or uses of {e.name}) that an output needs"
        yield ("steps" if whole[m] > 2 else "uses"), text, False


def products(e):
    """An output's share of a matrix is a product of what goes in and what comes back: one of the two is wrong."""
    if e.by_output() and not numpy.any((B := e.shares()[0])[(J := e.shares()[1]) == 0]):
        yield from lost_slopes((B / J)[J != 0])
    if e.x.ndim != 2 or min(e.x.shape) < 2 or not e.in_full():
        return
    yours, right = (M.reshape(-1, *e.x.shape) for M in e.shares())
    size, sides, ratios = largest(right), [], []
    for B, J in zip(yours, right, strict=True):
        ranks = [numpy.linalg.matrix_rank(M, tol=DEPENDENT * size) for M in (B, J)]
        if ranks == [1, 1] and (abs(J).max(1) > DEPENDENT * size).sum() > 1 and largest(B - J) > CLOSE * size:
            (k, n), (i, j) = (numpy.unravel_index(numpy.argmax(abs(M)), J.shape) for M in (B, J))
            sides.append((parallel(B[:, n], J[:, j]), parallel(B[k], J[i])))
            ratios.append(B[k] / J[k])
    ratio = numpy.concatenate(ratios) if len(ratios) > 1 and set(sides) == {(True, False)} else numpy.ones(1)
    if said := list(lost_slopes(ratio[abs(ratio - 1) > ALIKE])):
        yield from said
    elif len(sides) > 1 and set(sides) == {(True, False)}:
        text = f"pairs the right input of {e.name} with a wrong gradient of its output: a slope, or a path, behind it"
        yield "derivative-wrong", text, False
    elif len(sides) > 1 and set(sides) == {(False, True)}:
        text = f"pairs the right gradient of its output with another input of {e.name} than forward has"
        yield "pre-activation", text, False


def parallel(a, b):
    """Whether two vectors are multiples of each other."""
    return bool(numpy.all(abs(a - b * (a @ b) / (b @ b)) <= CLOSE * largest(a)))


def switched_off(e):
    """Yours is right where an argument is 0: the mistake is in what it multiplies."""
    for i, (name, a) in enumerate(e.named[:-1]):
        if a.dtype.kind != "f" or i == e.index:
            continue
        args = [*e.args[:i], numpy.zeros_like(a), *e.args[i + 1 :]]
        right = numpy.array([e.derivative(args, flat) for flat in e.sample()]) @ e.dy.reshape(-1)
        yours, second = e.sampled(e.call_backward(e.dy, args)), e.context.second_order and i == 1
        if largest(right) > NEAR * e.scale and numpy.all(abs(yours - right) <= ALIKE * largest(right)):
            kind = "bend" if second else "branch"
            yield kind, f"is right where {name} is 0: the path through it is wrong, or lost", False
            return
        if largest(right) > NEAR * e.scale and second and not numpy.any(yours):
            yield "parameter-term", f"is 0 where {name} is 0: the term without it is missing", False
            return
