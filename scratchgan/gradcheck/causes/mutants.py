"""The bank of mutants: broken backwards of operations that are recognised by what their forward computes.

Rules change the right gradient; a mutant is computed anew, by a backward with a known mistake in it. It needs no words
of yours: which operation it is, and its constants, follow from x, y and the numeric gradient.
"""

import numpy

from scratchgan.gradcheck.causes.evidence import axes_of, groupings
from scratchgan.gradcheck.causes.slopes import FUNCTIONS, sigmoid, softmax


def mutants(context):
    """Return [(index of the argument, kind, text, gradient)] of the mutants of what the forward computes."""
    args, bank = [numpy.asarray(a) for a in context.args], []
    if args[0].size > 100_000:
        return []
    for family in (normalisations, cross_entropies, gradient_penalties):
        try:
            with numpy.errstate(all="ignore"):
                bank += family(context, args)
        except Exception:  # shapes that do not fit this family: any error means that the forward is another
            continue
    return bank


def explained(e, known):
    """Yield (kind, text, exact) of the mutants that give your gradient."""
    for index, kind, text, gradient in known:
        if index == e.index and (exact := e.explains(gradient)) is not None:
            yield kind, text, exact


# ---- normalisations --------------------------------------------------------------------------------------


def norm_gradient(d, x, axes, eps, centre=1, mean=1, variance=1, missing=0, power=1, sums=None, outside=0):
    """Return the gradient by x of xhat = (x - centre mean) / sqrt(var + eps), or what can go wrong in it."""
    sums, count = sums or axes, x.size // numpy.sum(x, axes).size
    c = x - centre * x.mean(axes, keepdims=True)
    v = (c * c).sum(axes, keepdims=True) / (count - missing)
    r = 1 / (numpy.sqrt(v) + outside) if outside else 1 / numpy.sqrt(v + eps)
    path = c * r * (d * c * r).mean(sums, keepdims=True)
    return r**power * (d - mean * d.mean(sums, keepdims=True) - variance * path)


def normalisations(context, args):
    """y = gamma xhat + beta, with gamma and beta, if any, along the last axis or the second, or of any shape."""
    x, y = args[0].astype(float), context.y
    for channel in {x.ndim - 1, 1}:
        along = [1] * x.ndim
        along[channel] = -1
        given = [a.reshape(along) if a.ndim == 1 and a.size > 1 else a for a in args[1:3]]
        if not all(n in (1, x.shape[-1 - i]) for a in given for i, n in enumerate(a.shape[::-1])):
            continue
        gamma, beta = [*given, *(1.0, 0.0)[len(given) :]]
        for shape in groupings(x.shape):
            for axes in axes_of(shape, 2):
                for centre in (1, 0):
                    eps = epsilon(x.reshape(shape), ((y - beta) / gamma).reshape(shape), axes, centre)
                    if eps is not None:
                        return broken_norms(context, x, gamma, shape, axes, eps, centre)
    return []


def epsilon(x, xhat, axes, centre):
    """Return the eps with which x becomes xhat; None if no eps does it."""
    c = x - centre * x.mean(axes, keepdims=True)
    squared = (c * c).sum(axes, keepdims=True) / (xhat * xhat).sum(axes, keepdims=True)  # var + eps
    eps = squared - (c * c).mean(axes, keepdims=True)
    least, most = -1e-9 * squared.max(), numpy.inf if eps.size > 1 else 0.01 * squared.max()  # of one, any eps would do
    median = float(numpy.median(eps))
    if not (least < median < most and numpy.all(numpy.abs(eps - median) <= 1e-9 * squared)):
        return None
    return max(median, 0.0) if numpy.allclose(c / numpy.sqrt(squared), xhat, rtol=1e-7) else None


def broken_norms(context, x, gamma, shape, axes, eps, centre):
    """Return the mutants of a normalisation over some axes of x in a shape."""
    g, view = (gamma * context.dy).reshape(shape), x.reshape(shape)
    over = f"over axes {axes}" if shape == x.shape else f"over axes {axes} of {shape}"
    broken = [(0, *misweighted(context, g, view, axes, eps, centre, over))]
    cases = [
        ("unbiased", "has a variance with 1 / (M - 1), where forward has 1 / M", dict(missing=1)),
        ("scale-per-axis", "is not divided by the standard deviation", dict(power=0)),
        ("scale-per-axis", "is divided by the standard deviation once too often", dict(power=2)),
        ("epsilon", "has no epsilon", dict(eps=0.0)),
        ("epsilon", "has epsilon outside of the root", dict(outside=eps)),
    ]
    for momentum in (0.1, 0.9, 0.01, 0.99, 0.2, 0.8):
        text = f"has {momentum} for epsilon: momentum and epsilon swapped?"
        cases.append(("swapped-constants", text, dict(eps=momentum)))
    for other in 10.0 ** -numpy.arange(3, 13):
        cases.append(("epsilon", f"has an epsilon of {other}, where forward has {eps:.3g}", dict(eps=other)))
    for other in axes_of(shape, 2):
        if other != axes:
            cases.append(("wrong-axes", f"takes its statistics over axes {other} instead of {axes}", dict(axes=other)))
            text = f"takes the means of its gradient over axes {other} instead of {axes}"
            mean, variance = weigh(context, g, view, axes, eps, centre, other)
            if variance:
                cases.append(("wrong-axes", text, dict(sums=other, mean=mean, variance=variance)))
    for kind, text, change in cases:
        options = dict(axes=axes, eps=eps, centre=centre, mean=centre) | change
        broken.append((0, kind, text, norm_gradient(g, view, **options).reshape(x.shape)))
    if numpy.ndim(gamma):
        wrong = (context.dy * x).sum(tuple(a for a in range(x.ndim) if numpy.shape(gamma)[a - x.ndim] == 1))
        text = "is the sum of dy x: x is not normalised there"
        broken.append((1, "not-normalised", text, wrong.reshape(context.args[1].shape)))
    return broken


def weigh(context, g, x, axes, eps, centre, sums):
    """Return how often the mean path and the variance path, with means over some axes, are in your gradient."""
    yours = numpy.asarray(context.comparisons[context.names[0]].yours, float).reshape(x.shape)
    plain, *others = (norm_gradient(g, x, axes, eps, centre, m, v, sums=sums) for m, v in ((0, 0), (1, 0), (0, 1)))
    paths = numpy.stack([(other - plain).reshape(-1) for other in others], 1)
    paths[:, 0] *= centre
    return numpy.round(numpy.linalg.lstsq(paths, (yours - plain).reshape(-1), rcond=None)[0], 7)


def misweighted(context, g, x, axes, eps, centre, over):
    """Return (kind, text, gradient) of the gradient with its two paths as often as they seem to be in yours."""
    mean, variance = weigh(context, g, x, axes, eps, centre, axes)
    gradient = norm_gradient(g, x, axes, eps, centre, mean, variance).reshape(context.args[0].shape)
    said = ["" if weight == wanted else f"lacks the {name} path: the {name} {over} depends on x" if weight == 0 else
            f"has the {name} path {over} {weight:.6g} times"
            for name, weight, wanted in (("mean", mean, centre), ("variance", variance, 1))]  # fmt: skip
    kind = "statistics" if all(said) else "mean-path" if said[0] else "variance-path"
    return kind, " and ".join(filter(None, said)), gradient


# ---- losses of logits ------------------------------------------------------------------------------------


def cross_entropies(context, args):
    """The gradient by logits x is k (p - t): k and the targets t, wherever they come from, follow from it."""
    broken = []
    right, x = numpy.asarray(context.comparisons[context.names[0]].numeric), args[0].astype(float)
    dy = numpy.broadcast_to(context.dy.reshape(context.dy.shape + (1,) * (x.ndim - context.dy.ndim)), x.shape)
    if not x.ndim or context.y.shape not in ((), x.shape[:-1]) and context.y.shape != x.shape:
        return broken
    sizes = {1, len(x), x.size, x.size // x.shape[-1], x.shape[-1]} if context.y.ndim == 0 else {1}
    for p, activation in ((softmax(x), softmax), (sigmoid(x), sigmoid)):
        name = activation.__name__
        for k in (dy * c / n for n in sizes for c in (1, 0.5, 2)):
            t = numpy.round(p - right / k, 7)
            if not (numpy.all((t >= 0) & (t <= 1)) and (activation is sigmoid or numpy.all(t.sum(-1) == 1))):
                continue
            broken += [(0, kind, text, k * g) for kind, text, g in (
                (f"{name}-twice", f"applies {name} twice", activation(p) - t),
                (f"{name}-missing", f"is a multiple of x - t: {name} is missing", x - t),
                ("argument-ignored", f"is a multiple of {name}(x): the target is not subtracted", p),
                ("argument-ignored", f"is a multiple of the target: {name}(x) is missing", -t),
                ("derivative-wrong", f"is that by {name}(x), -t / p, not by x", -t / p),
                ("derivative-missing", f"lacks {name}'s derivative", (p - t) / (p * (1 - p))),
                ("derivative-twice", f"has {name}'s derivative as a factor too many", (p - t) * p * (1 - p)),
                ("target-flipped", "has targets -1 and 1 for 0 and 1", p - (2 * t - 1)),
                ("target-flipped", "has targets 1 - t for t", p - (1 - t)),
            )]  # fmt: skip
    return broken


# ---- gradient penalties ----------------------------------------------------------------------------------


def gradient_penalties(context, args):
    """A penalty of the gradient g by x of D(x) = f(x W + b) v: mean of (|g| - 1)^2 or of |g|^2, times a constant."""
    x, W, *b, v = args
    if context.y.ndim or not (x.ndim == W.ndim == 2) or len(b) > 1:
        return []
    broken, z = [], x @ W + (b[0] if b else 0)
    for name, (f, derivative, second, _) in FUNCTIONS.items():
        slope, curve = derivative(z, f(z)), second(z, f(z))
        for centre in (1, 0):
            g = (slope * v.reshape(-1)) @ W.T  # (N, D)
            size = numpy.sqrt((g * g).sum(-1, keepdims=True))
            ddx = 2 * context.dy * context.y / ((size - centre) ** 2).mean() * (size - centre) / len(x) * g
            plain = penalty_gradients(x, W, v, b, slope, curve, ddx / size)
            right = context.comparisons[context.names[-1]].numeric
            if not numpy.allclose(plain(1, 1)[-1], right, rtol=1e-5, atol=1e-7 * numpy.max(abs(right))):
                continue
            off = penalty_gradients(x, W, v, b, slope, curve, ddx)
            for kind, text, gradients in (
                ("bend", f"drops the bend: the {name} itself varies with its input", plain(0, 1)),
                ("parameter-term", "lacks the parameter term: the backward depends on the parameter, too", plain(1, 0)),
                ("norm-path", "lacks the division by |g|", off(1, 1)),
            ):
                broken += [(i, kind, text, gradient) for i, gradient in enumerate(gradients)]
    return broken


def penalty_gradients(x, W, v, b, slope, curve, ddx):
    """Return f(bend, direct): a penalty's gradients, from its gradient ddx by g; 0 omits a part."""

    def gradients(bend, direct):
        S = bend * curve * v.reshape(-1) * (ddx @ W)  # the gradient of z = x W + b
        by_v = (slope * (ddx @ W)).sum(0).reshape(v.shape)
        return S @ W.T, x.T @ S + direct * ddx.T @ (slope * v.reshape(-1)), *[S.sum(0) for _ in b], by_v

    return gradients
