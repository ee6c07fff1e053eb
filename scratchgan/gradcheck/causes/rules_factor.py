"""Rules on what the gradient is multiplied by, entry by entry: wrong slopes, pointwise and inside a network."""

import itertools

import numpy

from scratchgan.gradcheck.causes.slopes import FUNCTIONS, expressions, sigmoid, slope_factors, softmax


def pointwise(e):
    """Return whether each entry of y depends on one entry of x only, the one in its place."""
    if e.x is None or e.x.shape != e.y.shape:
        return False
    J = e.jacobian().reshape(len(e.sample()), -1).copy()
    J[numpy.arange(len(J)), e.sample()] = 0
    return not numpy.any(J)


def passed_on(e):
    """dy itself: a skip connection's part alone, or without it; a product with one factor taken for a constant."""
    if e.dy.shape != e.right.shape or not e.dy.ndim:
        return
    if (exact := e.explains(e.dy)) is not None:
        if pointwise(e):
            yield "derivative-missing", "is dy itself: the function's derivative is missing", exact
        else:
            yield "branch", "is dy itself: only a skip connection's branch is there, the other is dropped", exact
        return
    share = e.dy * e.y / e.x
    yield from e.first((
        ("upstream-power", "is max(dy, 0): the mask is taken from dy instead of x", numpy.maximum(e.dy, 0)),
        ("branch", "lacks dy: the skip connection's branch is dropped", e.right - e.dy),
        ("branch", "has dy in it once too often: a skip connection is added twice", e.right + e.dy),
        ("branch", "is dy y / x: one factor of the product is taken for a constant", share),
        ("branch", "lacks dy y / x: one branch of the product rule is dropped", e.right - share),
    ))  # fmt: skip


def slopes(e):
    """A pointwise function whose slope is another expression of x and y, on all entries or on one side of 0."""
    if e.dy.shape != e.right.shape or not pointwise(e):
        return
    plus = expressions(e.x, e.y)
    both = [*plus.items(), *((f"-({text})", -values) for text, values in plus.items())]
    sides = ("", True), (" where x < 0", e.x < 0), (" where x > 0", e.x > 0)
    yield from e.first(
        ("derivative-wrong", f"has the slope {text}{side}", numpy.where(region, e.dy * values, e.right))
        for (text, values), (side, region) in itertools.product(both, sides)
    )


def terms(e):
    """One term of a sum of expressions of x is missing, there twice, or another: dy times a residual in x alone."""
    if e.right.size < 4 or e.dy.shape not in ((), e.right.shape):
        return
    values = {"a constant": numpy.ones_like(e.right), **expressions(e.x, e.x)}
    bases = {text: e.dy * v for text, v in values.items() if "y" not in text and numpy.all(numpy.isfinite(v))}
    pairs = [((a,), bases[a]) for a in bases]
    pairs += [((a, b), bases[a] - bases[b]) for a, b in itertools.permutations(bases, 2)]
    for texts, basis in pairs:
        size = numpy.sum(basis * basis)
        factor = numpy.sum(basis * e.residual) / size if size else 0
        if not factor > 0 and len(texts) == 2 or e.explains(e.right + factor * basis) is not True:
            continue
        if len(texts) == 2:
            yield "derivative-wrong", f"has a term {factor:.6g} dy ({texts[0]}) where ({texts[1]}) should be", True
        else:
            how = "lacks" if factor < 0 else "should not have"
            yield "branch", f"{how} a term {abs(factor):.6g} dy ({texts[0]}), x being {e.name}", True
        return


def factors(e):
    """The right gradient times an expression of x: a derivative that is missing, or taken twice."""
    s, t, p = sigmoid(e.x), numpy.tanh(e.x), numpy.exp(e.x)
    slopes = {"sigmoid": s * (1 - s), "tanh": 1 - t * t, "exp": p}
    if e.x.ndim:
        p = softmax(e.x)
        slopes |= {"softmax (its diagonal)": p * (1 - p), "log softmax": p}
    for name, slope in slopes.items():
        twice = f"has the derivative of a {name} of {e.name} as a factor too many"
        yield from e.first((
            ("derivative-missing", f"lacks the derivative of a {name} of {e.name}", e.right / slope),
            ("derivative-twice", twice, e.right * slope),
        ))  # fmt: skip
    yield from e.first([("factor", f"has a factor {e.name} too many", e.right * e.x)])
    yield from e.first([("factor", f"has a factor 1 / {e.name} too many", e.right / e.x)])


def two_sided(e):
    """Another constant factor on either side of 0: a slope on the wrong side."""
    for name, a in ((e.name, e.x), ("y", e.y)):
        if a is None or a.shape != e.right.shape or a.dtype.kind != "f":
            continue
        guess = numpy.zeros_like(e.right)
        for region in (a < 0, a >= 0):
            right, yours = e.right[region & e.checked], e.yours[region & e.checked]
            if len(right) < 2 or not numpy.any(right):
                break
            guess[region] = e.right[region] * (yours @ right) / (right @ right)
        else:
            text = f"is multiplied by one constant where {name} < 0, by another where {name} > 0: wrong slopes"
            yield from e.first([("side", text, guess)])


def hidden(e):
    """A hidden activation after x W + b: what reaches its input is multiplied by a wrong slope."""
    args, names = e.context.args, e.context.names
    matrices = [(k, numpy.asarray(a, float)) for k, a in enumerate(args) if numpy.ndim(a) == 2]
    for (i, x), (j, W) in itertools.permutations(matrices, 2):
        bias = [k for k, b in enumerate(args) if numpy.shape(b) == (W.shape[1],)] if x.shape[1] == W.shape[0] else []
        if x.shape[1] != W.shape[0]:
            continue
        if e.y.ndim == 2 and e.index not in (i, j, *bias):
            for b in [numpy.zeros(W.shape[1])] + [args[k] for k in bias]:
                if len(x) == len(e.dy) and (exact := e.explains((x @ W + b).T @ e.dy)) is not None:
                    text = f"takes {names[i]} @ {names[j]} before its activation for what comes out of it"
                    yield "pre-activation", text, exact
                    return
        if e.index not in (i, j, *bias):
            continue
        dz = reaches(e, x, W, i, j)
        if dz is None:
            continue
        change = {i: lambda d, W=W: d @ W.T, j: lambda d, x=x: x.T @ d}.get(e.index, lambda d: d.sum(0))
        biases = [numpy.zeros(W.shape[1])] + [args[k] for k in bias]
        yield from e.first(
            (kind, f"{text} after {names[i]} @ {names[j]}", e.right + change(dz * (factor - 1)))
            for b, name in itertools.product(biases, FUNCTIONS)
            for kind, text, factor in slope_factors(name, x @ W + b)
        )


def reaches(e, x, W, i, j):
    """Return the right gradient of z = x W, where y depends on W only through it; None if that cannot be known.

    Each sample's part of dW is x[n] dz[n]^T: derivatives of y by W, or else the gradients of W or x, give dz.
    """
    if e.y.ndim and len(e.y) == len(x) and W.size <= 300:
        if ("hidden", i, j) not in e.derivatives:
            J = numpy.array([e.derivative(e.context.args, flat, j) for flat in range(W.size)])
            e.derivatives["hidden", i, j] = J.reshape(*W.shape, len(x), -1)
        parts = (e.derivatives["hidden", i, j] * e.dy.reshape(len(x), -1)).sum(-1)  # (D, H, N)
        dz = numpy.einsum("nd,dhn->nh", x, parts) / (x * x).sum(1, keepdims=True)
        again = numpy.einsum("nd,nh->dhn", x, dz)
        return dz if numpy.allclose(again, parts, atol=1e-8 * numpy.max(abs(parts))) else None
    numeric = [e.context.comparisons[e.context.names[k]].numeric for k in (i, j)]
    rank = numpy.linalg.matrix_rank
    for dz, again, right, unique in (
        (numpy.linalg.pinv(x.T) @ numeric[1], lambda dz: x.T @ dz, numeric[1], rank(x) == len(x)),
        (numeric[0] @ numpy.linalg.pinv(W.T), lambda dz: dz @ W.T, numeric[0], rank(W) == W.shape[1]),
    ):
        if unique and numpy.allclose(again(dz), right, atol=1e-7 * numpy.max(numpy.abs(right))):
            return dz
    return None
