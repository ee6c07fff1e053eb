"""Planted bugs of activations, of learnt shapes, gates, sorts, and sums along an axis."""

import math

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(164)
draw = lambda *shape: 1.5 * rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))
erf = np.vectorize(math.erf, otypes=[float])
C, A3 = math.sqrt(2 / math.pi), 0.044715


# ---- fixed slopes ----------------------------------------------------------------------------------------


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def gelu_grad(dy, x, bug=""):
    bell = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    if bug == "GELU: the density without its 1/2 in the exponent":
        bell = np.exp(-x * x) / math.sqrt(2 * math.pi)
    if bug == "GELU: the density's constant is 1/sqrt(pi)":
        bell = bell * math.sqrt(2)
    if bug == "GELU: x phi(x) dropped":
        bell = 0
    return dy * (0.5 * (1 + erf(x / math.sqrt(2))) + x * bell)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(C * (x + A3 * x**3)))


def gelu_tanh_grad(dy, x, bug=""):
    t = np.tanh(C * (x + A3 * x**3))
    inner = C * (1 + (1 if bug == "GELU by tanh: 3 of the cube" else 3) * A3 * x * x)
    if bug == "GELU by tanh: the slope of its argument":
        inner = 1
    if bug == "GELU by tanh: the exact form's slope":
        return gelu_grad(dy, x)
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def mish_grad(dy, x, bug=""):
    t, s = np.tanh(np.log1p(np.exp(x))), sigmoid(x)
    if bug == "Mish: softplus's slope":
        s = 1
    outer = 1 - t if bug == "Mish: 1 - t for 1 - t^2" else 1 - t * t
    return dy * (t + x * outer * s)


LAM, ALPHA = 1.0507009873554805, 1.6732632423543772


def selu(x):
    return LAM * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0)))


def selu_grad(dy, x, bug=""):
    low = LAM * ALPHA * np.exp(np.minimum(x, 0))
    if bug == "SELU: the negative side without alpha":
        low = LAM * np.exp(np.minimum(x, 0))
    if bug == "SELU: y + alpha for y + lambda alpha":
        low = selu(x) + ALPHA
    high = 1 if bug == "SELU: the positive side's slope is 1" else LAM
    return dy * np.where(x > 0, high, low)


def hardswish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def hardswish_grad(dy, x, bug=""):
    middle = (x + 3) / 6 if bug == "hardswish: the gate alone" else (2 * x + 3) / 6
    top = 0 if bug == "hardswish: 0 above 3, as a hard sigmoid" else 1
    low = -2 if bug == "hardswish: starts at -2" else -3
    return dy * np.where(x < low, 0, np.where(x > 3, top, middle))


def softsign(x):
    return x / (1 + np.abs(x))


def softsign_grad(dy, x, bug=""):
    if bug == "softsign: the denominator not squared":
        return dy / (1 + np.abs(x))
    if bug == "softsign: x for |x|":
        return dy / (1 + x) ** 2
    return dy / (1 + np.abs(softsign(x) if bug == "softsign: at the output" else x)) ** 2


# ---- learnt shapes ---------------------------------------------------------------------------------------


def swish(x, beta):  # beta: one for each channel
    return x * sigmoid(beta * x)


def swish_grad(dy, x, beta, bug=""):
    s = sigmoid(beta * x)
    inner = 1 if bug == "swish: beta of the inner slope" else beta
    dx = dy * (s + inner * x * s * (1 - s))
    power = 1 if bug == "swish: dbeta with x, not its square" else 2
    return dx, (dy * x**power * s * (1 - s)).sum(0)


def prelu(x, a):
    return np.where(x > 0, x, a * x)


def prelu_grad(dy, x, a, bug=""):
    dx = dy * np.where(x > 0, 1, a)
    if bug == "PReLU: the first channel's slope for all":
        dx = dy * np.where(x > 0, 1, a[0])
    da = dy * np.minimum(x, 0)
    if bug == "PReLU: da also where x is positive":
        da = dy * x
    if bug == "PReLU: da by |x|":
        da = dy * np.maximum(-x, 0)
    return dx, da.sum(0)


def shrink(x, t):
    return np.sign(x) * np.maximum(np.abs(x) - t, 0)


def shrink_grad(dy, x, t, bug=""):
    on = np.abs(x) > t
    if bug == "soft threshold: no dead zone":
        on = np.ones_like(x)
    dt = -dy * (1 if bug == "soft threshold: dt without x's sign" else np.sign(x)) * on
    return dy * on, dt.sum(0)


def bounded(x, low, high):  # clipped to learnt bounds
    return np.minimum(np.maximum(x, low), high)


def bounded_grad(dy, x, low, high, bug=""):
    inside = (x > low) & (x < high)
    above = x >= (low if bug == "learnt bounds: dhigh from everything above low" else high)
    dlow = (dy * (x <= low)).sum()
    if bug == "learnt bounds: x's mask minds the upper bound alone":
        inside = x < high
    return dy * inside, 0 * dlow if bug == "learnt bounds: low is a constant" else dlow, (dy * above).sum()


def power(x, p):
    return x**p


def power_grad(dy, x, p, bug=""):
    lowered = x**p if bug == "power: x not lowered by 1" else x ** (p - 1)
    dp = dy * x**p * (1 if bug == "power: dp without the logarithm" else np.log(x))
    if bug == "power: dp by p x^(p-1) log x":
        dp = dy * p * x ** (p - 1) * np.log(x)
    return dy * p * lowered, dp.sum(0)


def snake(x, a):
    return x + np.sin(a * x) ** 2 / a


def snake_grad(dy, x, a, bug=""):
    dx = dy * (1 + (np.cos(2 * a * x) if bug == "snake: cos for sin in the slope" else np.sin(2 * a * x)))
    first = x * np.sin(2 * a * x) / a
    second = np.sin(a * x) ** 2 / a**2
    return dx, (dy * (first - (0 if bug == "snake: a's part in the quotient" else second))).sum(0)


# ---- gates, choices --------------------------------------------------------------------------------------


def geglu(x):  # halves of the features: a gelu(b)
    a, b = np.split(x, 2, 1)
    return a * gelu(b)


def geglu_grad(dy, x, bug=""):
    a, b = np.split(x, 2, 1)
    da, db = dy * gelu(b), gelu_grad(dy * a, b)
    if bug == "GEGLU: halves put back in the other order":
        da, db = db, da
    if bug == "GEGLU: the gate's slope is the gate":
        db = dy * a * gelu(b)
    if bug == "GEGLU: the value's half is a constant":
        da = 0 * da
    return np.concatenate([da, db], 1)


def maxout(x, W, b):  # three pieces: (N, D), (3, D, O), (3, O)
    return (np.einsum("nd,pdo->pno", x, W) + b[:, None]).max(0)


def maxout_grad(dy, x, W, b, bug=""):
    z = np.einsum("nd,pdo->pno", x, W) + b[:, None]
    best = z == z.max(0)
    if bug == "maxout: shared among the pieces":
        best = np.full(z.shape, 1 / 3)
    if bug == "maxout: the best piece of the first sample":
        best = np.broadcast_to(best[:, :1], z.shape)
    d = best * dy
    db = (z * d if bug == "maxout: db times its piece" else d).sum(1)
    return np.einsum("pno,pdo->nd", d, W), np.einsum("nd,pno->pdo", x, d), db


def largest(x):  # the largest two of each row, in order
    return -np.sort(-x, 1)[:, :2]


def largest_grad(dy, x, bug=""):
    order = np.argsort(-x, 1)[:, :2]
    if bug == "top-k: k smallest places":
        order = np.argsort(x, 1)[:, :2]
    dx = np.zeros_like(x)
    np.put_along_axis(dx, order, dy[:, ::-1] if bug == "top-k: in the order of the row" else dy, 1)
    return dx


def ordered(x):  # sorted down each column, then weighted
    return np.sort(x, 0) * np.arange(1.0, 6)[:, None]


def ordered_grad(dy, x, bug=""):
    d, order = dy * np.arange(1.0, 6)[:, None], np.argsort(x, 0)
    if bug == "sort: gathered by the order, not scattered":
        return np.take_along_axis(d, order, 0)
    if bug == "sort: not undone":
        return d
    dx = np.zeros_like(x)
    np.put_along_axis(dx, order, d, 0)
    return dx


def sparse(x):  # sparsemax of each row
    u = -np.sort(-x, 1)
    k = np.arange(1, x.shape[1] + 1)
    size = (1 + k * u > np.cumsum(u, 1)).sum(1, keepdims=True)
    tau = (np.take_along_axis(np.cumsum(u, 1), size - 1, 1) - 1) / size
    return np.maximum(x - tau, 0)


def sparse_grad(dy, x, bug=""):
    on = sparse(x) > 0
    size = x.shape[1] if bug == "sparsemax: mean over all classes" else on.sum(1, keepdims=True)
    mean = (dy * on).sum(1, keepdims=True) / size
    if bug == "sparsemax: no mean":
        mean = 0
    return dy - mean if bug == "sparsemax: its support forgotten" else on * (dy - mean)


# ---- along an axis ---------------------------------------------------------------------------------------


def lse(x):
    return np.log(np.exp(x).sum(1))


def lse_grad(dy, x, bug=""):
    e = np.exp(x)
    if bug == "logsumexp: not divided by the sum":
        return dy[:, None] * e
    return dy[:, None] * e / e.sum(0 if bug == "logsumexp: the sum over samples" else 1, keepdims=True)


def products(x):
    return np.cumprod(x, 1)


def products_grad(dy, x, bug=""):
    y = np.cumprod(x, 1)
    if bug == "cumulative product: its own place alone":
        return dy * y / x
    if bug == "cumulative product: summed from the left":
        return np.cumsum(dy * y, 1) / x
    return np.cumsum((dy * y)[:, ::-1], 1)[:, ::-1] / x


def exclusive(x):  # the sum of those before
    return np.cumsum(x, 1) - x


def exclusive_grad(dy, x, bug=""):
    return np.cumsum(dy[:, ::-1], 1)[:, ::-1] - (0 if bug == "exclusive sum: itself included" else dy)


# ---- right code that is hard to judge --------------------------------------------------------------------

BIG = np.array([[-700.0, 3, 40], [800, -2, 0.1]])
RIGHT = [
    Right("softplus at 800", lambda x: np.logaddexp(0, x), lambda dy, x: dy * (0.5 + 0.5 * np.tanh(x / 2)), (BIG,),
        ("x",)),
    Right("a square root near 0", lambda x: np.sqrt(x), lambda dy, x: 0.5 * dy / np.sqrt(x),
        (np.array([1e-6, 1e-3, 0.2, 4.0]),), ("x",)),
    Right("a fast sine", lambda x: np.sin(50 * x), lambda dy, x: 50 * dy * np.cos(50 * x), (draw(3, 4),), ("x",)),
    Right("arctan2", lambda x, z: np.arctan2(x, z), lambda dy, x, z: (dy * z / (x * x + z * z),
        -dy * x / (x * x + z * z)), (draw(3, 4), draw(3, 4)), ("x", "z")),
    Right("ReLU with entries that are 0", lambda x: np.maximum(x, 0), lambda dy, x: dy * (x > 0),
        (np.array([[0.0, 1, -2], [3, 0, 0.5]]),), ("x",)),
]  # fmt: skip
X = draw(5, 4)
PLANTED = [
    *family(gelu, gelu_grad, (X,), "x",
        ("GELU: the density without its 1/2 in the exponent", "derivative-wrong constant branch"),
        ("GELU: the density's constant is 1/sqrt(pi)", "derivative-wrong constant branch"),
        ("GELU: x phi(x) dropped", "branch detached")),
    *family(gelu_tanh, gelu_tanh_grad, (draw(5, 4),), "x",
        ("GELU by tanh: 3 of the cube", "constant derivative-wrong branch"),
        ("GELU by tanh: the slope of its argument", "derivative-missing derivative-wrong branch"),
        ("GELU by tanh: the exact form's slope", "derivative-wrong")),
    *family(mish, mish_grad, (draw(5, 4),), "x",
        ("Mish: softplus's slope", "derivative-missing derivative-wrong branch"),
        ("Mish: 1 - t for 1 - t^2", "derivative-wrong square branch")),
    *family(selu, selu_grad, (draw(5, 4),), "x",
        ("SELU: the negative side without alpha", "side constant derivative-wrong"),
        ("SELU: y + alpha for y + lambda alpha", "side constant derivative-wrong"),
        ("SELU: the positive side's slope is 1", "side constant derivative-wrong")),
    *family(hardswish, hardswish_grad, (2 * draw(5, 4),), "x",
        ("hardswish: the gate alone", "branch derivative-wrong margin detached"),
        ("hardswish: 0 above 3, as a hard sigmoid", "margin side clipped derivative-wrong"),
        ("hardswish: starts at -2", "margin")),
    *family(softsign, softsign_grad, (draw(5, 4),), "x",
        ("softsign: the denominator not squared", "square derivative-wrong factor"),
        ("softsign: x for |x|", "abs side"),
        ("softsign: at the output", "derivative-at-output derivative-twice")),
    *family(swish, swish_grad, (draw(5, 3), np.array([0.5, 1.7, -0.8])), "x beta",
        ("swish: beta of the inner slope", "argument-ignored branch"),
        ("swish: dbeta with x, not its square", "square factor derivative-wrong argument-ignored")),
    *family(prelu, prelu_grad, (draw(5, 3), np.array([0.25, 0.1, -0.3])), "x a",
        ("PReLU: the first channel's slope for all", "side scale-per-axis index argument-ignored"),
        ("PReLU: da also where x is positive", "mask-missing side"),
        ("PReLU: da by |x|", "sign")),
    *family(shrink, shrink_grad, (draw(5, 3), np.array([0.5, 1, 0.3])), "x t",
        ("soft threshold: no dead zone", "mask-missing margin derivative-missing"),
        ("soft threshold: dt without x's sign", "abs sign side argument-ignored")),
    *family(bounded, bounded_grad, (2 * draw(5, 4), np.array(-1.0), np.array(1.3)), "x low high",
        ("learnt bounds: dhigh from everything above low", "mask-missing margin wrong-place argument-ignored"),
        ("learnt bounds: x's mask minds the upper bound alone", "mask-missing side margin argument-ignored"),
        ("learnt bounds: low is a constant", "detached")),
    *family(power, power_grad, (rng.uniform(0.3, 2, (5, 3)), np.array([0.6, 2.5, 3])), "x p",
        ("power: x not lowered by 1", "factor derivative-wrong constant"),
        ("power: dp without the logarithm", "factor derivative-missing derivative-wrong"),
        ("power: dp by p x^(p-1) log x", "factor derivative-wrong")),
    *family(snake, snake_grad, (draw(5, 3), np.array([0.5, 1.2, 2])), "x a",
        ("snake: cos for sin in the slope", "derivative-wrong branch"),
        ("snake: a's part in the quotient", "branch detached")),
    *family(geglu, geglu_grad, (draw(4, 6),), "x",
        ("GEGLU: halves put back in the other order", "exchanged wrong-place flipped transposed shifted"),
        ("GEGLU: the gate's slope is the gate", "derivative-wrong derivative-missing derivative-at-output index"),
        ("GEGLU: the value's half is a constant", "detached branch index scale-per-axis")),
    *family(maxout, maxout_grad, (draw(5, 3), draw(3, 3, 2), draw(3, 2)), "x W b",
        ("maxout: shared among the pieces", "mask-missing wrong-place over-summed"),
        ("maxout: the best piece of the first sample", "wrong-place first-sample mixed"),
        ("maxout: db times its piece", "factor upstream-times-output pre-activation")),
    *family(largest, largest_grad, (draw(4, 5),), "x",
        ("top-k: k smallest places", "wrong-place sign"),
        ("top-k: in the order of the row", "flipped wrong-place exchanged")),
    *family(ordered, ordered_grad, (draw(5, 3),), "x",
        ("sort: gathered by the order, not scattered", "transposed wrong-place"),
        ("sort: not undone", "wrong-place")),
    *family(sparse, sparse_grad, (0.6 * draw(5, 4),), "x",
        ("sparsemax: mean over all classes", "mean-path constant sum-path"),
        ("sparsemax: no mean", "mean-path sum-path diagonal"),
        ("sparsemax: its support forgotten", "mask-missing")),
    *family(lse, lse_grad, (draw(4, 3),), "x",
        ("logsumexp: not divided by the sum", "scale-per-axis not-normalised softmax-missing"),
        ("logsumexp: the sum over samples", "wrong-axes")),
    *family(products, products_grad, (rng.uniform(0.5, 1.6, (3, 5)),), "x",
        ("cumulative product: its own place alone", "diagonal cross-terms"),
        ("cumulative product: summed from the left", "transposed flipped")),
    *family(exclusive, exclusive_grad, (draw(4, 4),), "x",
        ("exclusive sum: itself included", "branch diagonal shifted wrong-place")),
]  # fmt: skip
