"""A sealed bank: functions of single entries, of pairs, of order; broadcasting."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7107)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda z: 1 / (1 + np.exp(-z))


# ---- activations -----------------------------------------------------------------------------------------


def gelu(x):
    return 0.5 * x * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3)))


def gelu_grad(dy, x, bug=""):
    t = np.tanh(0.79788456 * (x + 0.044715 * x**3))
    inner = 0.79788456 * (1 + (1 if bug == "GELU: x^3 differentiated as x^2" else 3) * 0.044715 * x**2)
    if bug == "GELU: the product's second term dropped":
        return (dy * 0.5 * (1 + t),)
    return (dy * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner),)


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def mish_grad(dy, x, bug=""):
    t = np.tanh(np.log1p(np.exp(x)))
    return (dy * (t + x * (1 - t**2) * (1 if bug else sigmoid(x))),)


def elu(x, alpha=0.5):
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def elu_grad(dy, x, alpha=0.5, bug=""):
    y = elu(x, alpha)
    return (dy * np.where(x > 0, 1, y + (1 if bug else alpha)),)


SELU, ALPHA = 1.0507009873554805, 1.6732632423543772


def selu(x):
    return SELU * np.where(x > 0, x, ALPHA * (np.exp(np.minimum(x, 0)) - 1))


def selu_grad(dy, x, bug=""):
    return (dy * np.where(x > 0, 1 if bug else SELU, SELU * ALPHA * np.exp(np.minimum(x, 0))),)


def hard_swish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def hard_swish_grad(dy, x, bug=""):
    middle = (x + 3) / 6 if bug else (2 * x + 3) / 6
    return (dy * np.where(x <= -3, 0, np.where(x >= 3, 1, middle)),)


def softsign(x):
    return x / (1 + np.abs(x))


def softsign_grad(dy, x, bug=""):
    return (dy / (1 + np.abs(x)) ** (1 if bug else 2),)


def snake(x, a):  # a per channel
    return x + np.sin(a * x) ** 2 / a


def snake_grads(dy, x, a, bug=""):
    dx = dy * (1 + np.sin(2 * a * x))
    da = x * np.sin(2 * a * x) / a
    if bug != "snake: 1 / a taken as constant in da":
        da = da - np.sin(a * x) ** 2 / a**2
    if bug == "snake: sin(a x) for sin(2 a x)":
        dx = dy * (1 + np.sin(a * x))
    return dx, (dy * da).sum(0)


def swish(x, beta):
    return x * sigmoid(beta * x)


def swish_grads(dy, x, beta, bug=""):
    s = sigmoid(beta * x)
    dx = dy * (s + beta * x * s * (1 - s))
    if bug == "swish: beta left out of dx":
        dx = dy * (s + x * s * (1 - s))
    if bug == "swish: dbeta with x, not x^2":
        return dx, (dy * x * s * (1 - s)).sum()
    return dx, (dy * x * x * s * (1 - s)).sum()


def prelu(x, a):  # (N, C, L), a per channel
    return np.maximum(x, 0) + a[:, None] * np.minimum(x, 0)


def prelu_grads(dy, x, a, bug=""):
    dx = dy * np.where(x > 0, 1, a[:, None])
    if bug == "PReLU: one slope for all channels":
        return dx, np.full_like(a, (dy * np.minimum(x, 0)).sum())
    if bug == "PReLU: slope taken of dy":
        return dy * np.where(dy > 0, 1, a[:, None]), (dy * np.minimum(x, 0)).sum((0, 2))
    return dx, (dy * np.minimum(x, 0)).sum((0, 2))


# ---- pairs -----------------------------------------------------------------------------------------------


def divide(a, b):  # b per column
    return a / b


def divide_grads(dy, a, b, bug=""):
    db = -dy * a / (b if bug == "a / b: b not squared" else b**2)
    if bug == "a / b: quotient's sign":
        db = -db
    if bug == "a / b: db summed over columns":  # as many rows as columns
        return dy / b, db.sum(1)
    return dy / b, db.sum(0)


def power(x, p):
    return x**p


def power_grads(dy, x, p, bug=""):
    dp = dy * x**p * np.log(x)
    if bug == "x^p: dp without the logarithm":
        dp = dy * x**p
    if bug == "x^p: dp like dx":
        dp = dy * p * x ** (p - 1)
    return dy * p * x ** (p - 1), dp


def angle(a, b):
    return np.arctan2(a, b)


def angle_grads(dy, a, b, bug=""):
    r = np.hypot(a, b) if bug == "atan2: r for r^2" else a * a + b * b
    return dy * b / r, (dy if bug == "atan2: sign of db" else -dy) * a / r


def larger(a, b):
    return np.maximum(a, b)


def larger_grads(dy, a, b, bug=""):
    if bug == "maximum: masks exchanged":
        return dy * (b > a), dy * (a > b)
    return dy * (a > b), dy * (1 if bug == "maximum: no mask for b" else b > a)


def tempered(x, T):
    return sigmoid(x / T)


def tempered_grads(dy, x, T, bug=""):
    s = sigmoid(x / T)
    d = dy * s * (1 - s)
    if bug == "temperature: - x / T for - x / T^2":
        return d / T, -(d * x / T).sum()
    return (d if bug == "temperature: 1 / T left out of dx" else d / T), -(d * x / T**2).sum()


# ---- order, indices --------------------------------------------------------------------------------------


def ordered(x):
    return np.sort(x, axis=1)


def ordered_grad(dy, x, bug=""):
    order = np.argsort(x, axis=1)
    return (np.take_along_axis(dy, order if bug else np.argsort(order, axis=1), axis=1),)


def largest(x, k=2):  # the sum of the k largest of each row
    return np.sort(x, axis=1)[:, -k:].sum(1)


def largest_grad(dy, x, k=2, bug=""):
    dx, rows = np.zeros_like(x), np.arange(len(x))
    for i in range(1 if bug else k):
        dx[rows, np.argsort(x, axis=1)[:, -1 - i]] = dy
    return (dx,)


def crelu(x):
    return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)


def crelu_grad(dy, x, bug=""):
    D = x.shape[1]
    up, down = dy[:, :D] * (x > 0), dy[:, D:] * (x < 0)
    return (up + down if bug else up - down,)


def rolled(x):  # finite differences on a circle
    return np.roll(x, -1, axis=1) - x


def rolled_grad(dy, x, bug=""):
    return (np.roll(dy, -1 if bug else 1, axis=1) - dy,)


def outer_sum(a, b):  # (N, 1) and (M,): broadcast to (N, M)
    return np.tanh(a + b)


def outer_sum_grads(dy, a, b, bug=""):
    d = dy * (1 - np.tanh(a + b) ** 2)
    if bug == "broadcast: mean for sum":
        return d.mean(1, keepdims=True), d.sum(0)
    if bug == "broadcast: first column only":
        return d[:, :1], d.sum(0)
    return d.sum(1, keepdims=True), d.sum(0)


wide = 2 * draw(4, 5)
PLANTED = [
    *family(gelu, gelu_grad, (wide,), "x",
            ("GELU: x^3 differentiated as x^2", "derivative-wrong constant"),
            ("GELU: the product's second term dropped", "derivative-wrong branch detached")),
    *family(mish, mish_grad, (wide,), "x", ("mish: softplus' missing", "derivative-missing derivative-wrong")),
    *family(elu, elu_grad, (wide,), "x", ("ELU: y + 1 for y + alpha", "derivative-wrong side constant",
          r"another slope")),
    *family(selu, selu_grad, (wide,), "x", ("SELU: 1 for lambda at x > 0", "side scale derivative-wrong")),
    *family(hard_swish, hard_swish_grad, (1.7 * wide,), "x", ("hard swish: x + 3", "derivative-wrong branch",
          r"slope")),
    *family(softsign, softsign_grad, (wide,), "x", ("softsign: not squared", "derivative-wrong square", r"slope")),
    *family(snake, snake_grads, (draw(4, 3), rng.uniform(0.5, 2, 3)), "x a",
            ("snake: 1 / a taken as constant in da", "detached branch uses"),
            ("snake: sin(a x) for sin(2 a x)", "derivative-wrong constant", r"slope")),
    *family(swish, swish_grads, (draw(4, 3), np.array(1.7)), "x beta",
            ("swish: beta left out of dx", "derivative-wrong constant factor", r"slope|beta"),
            ("swish: dbeta with x, not x^2", "factor derivative-missing square")),
    *family(prelu, prelu_grads, (draw(3, 2, 4), np.array([0.1, 0.4])), "x a",
            ("PReLU: one slope for all channels", "over-summed wrong-axes"),
            ("PReLU: slope taken of dy", "upstream-power nonlinear")),
    *family(divide, divide_grads, (draw(3, 3), rng.uniform(0.5, 2, 3)), "a b",
            ("a / b: b not squared", "scale-per-axis square factor"),
            ("a / b: quotient's sign", "sign"),
            ("a / b: db summed over columns", "wrong-axes")),
    *family(power, power_grads, (rng.uniform(0.3, 2, (3, 4)), draw(3, 4)), "x p",
            ("x^p: dp without the logarithm", "derivative-missing factor derivative-at-output"),
            ("x^p: dp like dx", "exchanged")),
    *family(angle, angle_grads, (draw(3, 4), draw(3, 4)), "a b",
            ("atan2: r for r^2", "square factor derivative-wrong"),
            ("atan2: sign of db", "sign")),
    *family(larger, larger_grads, (draw(3, 4), draw(3, 4)), "a b",
            ("maximum: masks exchanged", "exchanged flipped inverted", r"mask"),
            ("maximum: no mask for b", "mask-missing")),
    *family(tempered, tempered_grads, (draw(3, 4), np.array(2.5)), "x T",
            ("temperature: 1 / T left out of dx", "scale"),
            ("temperature: - x / T for - x / T^2", "scale square factor")),
    *family(ordered, ordered_grad, (draw(4, 5),), "x",
            ("sort: order for its inverse", "wrong-place transposed inverted", r"permut|order")),
    *family(largest, largest_grad, (draw(4, 5),), "x",
            ("top-k sum: the largest only", "wrong-place branch overwritten", r"nothing|dropped")),
    *family(crelu, crelu_grad, (draw(4, 3),), "x", ("CReLU: sign of the negative half", "sign abs branch")),
    *family(rolled, rolled_grad, (draw(3, 5),), "x", ("roll: the same way back", "shifted flipped")),
    *family(outer_sum, outer_sum_grads, (draw(4, 1), draw(3)), "a b",
            ("broadcast: mean for sum", "scale"),
            ("broadcast: first column only", "not-summed sample-dropped first-sample", r"column|summed")),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def cubic_root_grad(dy, x):
    return (dy / (3 * np.cbrt(x) ** 2),)


def digits(x):  # a function that computes in single precision inside
    return np.float64(np.float32(x)) ** 3 + 0 * x


def softplus(x):
    return np.logaddexp(0, x)


def straight(x):  # piecewise linear, with its kinks at whole numbers
    return np.interp(x, [-2, -1, 0, 1, 2], [0.0, 1, 0.5, 3, 2])


def straight_grad(dy, x):
    slopes = np.array([0, 1, -0.5, 2.5, -1, 0])
    return (dy * slopes[np.searchsorted([-2, -1, 0, 1, 2], x)],)


def log_sigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
RIGHT = [
    Right("cube root", np.cbrt, cubic_root_grad, (np.array([1e-6, -8.0, 27.0, 1e9]),), ("x",)),
    Right("x^3 in single precision inside", digits, lambda dy, x: (dy * 3 * x**2,), (draw(5),), ("x",)),
    Right("softplus, far out", softplus, lambda dy, x: (dy * sigmoid(x),), (np.array([-30.0, -3, 0, 3, 30]),), ("x",)),
    Right("piecewise linear", straight, straight_grad, (np.array([-1.5, -0.3, 0.4, 1.7, 1.0]),), ("x",)),
    Right("log sigmoid", log_sigmoid, lambda dy, x: (dy * sigmoid(-x),), (np.array([-40.0, -1, 1e-3, 2, 20]),), ("x",)),
    Right("gelu, float32", gelu, lambda dy, x: gelu_grad(dy, x), single(wide), ("x",)),
    Right("a scalar", lambda x: np.sin(x), lambda dy, x: (dy * np.cos(x),), (np.array(0.7),), ("x",)),
    Right("sort, nearly equal", ordered, lambda dy, x: ordered_grad(dy, x), (np.array([[1.0, 1 + 1e-4, 0, 2]]),),
          ("x",)),
    Right("power, p a whole number", power, lambda dy, x, p: power_grads(dy, x, p),
          (rng.uniform(0.1, 3, 4), np.array([1.0, 2, 0, -1])), ("x", "p")),
    Right("maximum of equals", larger, lambda dy, a, b: larger_grads(dy, a, b),
          (np.array([1.0, 2, 3]), np.array([1.0, 0, 5])), ("a", "b")),
    Right("divide, six orders", divide, lambda dy, a, b: divide_grads(dy, a, b),
          (draw(3, 3), np.array([1e-3, 1, 1e3])), ("a", "b")),
    Right("x * |x|^0.5", lambda x: x * np.sqrt(np.abs(x)), lambda dy, x: (1.5 * dy * np.sqrt(np.abs(x)),),
          (draw(6),), ("x",)),
]  # fmt: skip
