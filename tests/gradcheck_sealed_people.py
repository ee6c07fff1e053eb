"""Planted bugs of layers that no other bank has, written down before any answer was seen: the half that is sealed.

No rule was written from these.
"""

import numpy as np
from gradcheck_plant import family

rng = np.random.default_rng(2027)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# ---- norms -----------------------------------------------------------------------------------------------


def rms(x, gamma):
    return gamma * x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6)


def rms_grads(dy, x, gamma, bug=""):
    r = np.sqrt((x * x).mean(1, keepdims=True) + 1e-6)
    d = dy * gamma
    inner = (d * x).sum(1, keepdims=True) if bug == "RMS norm: sum in place of mean" else (d * x).mean(1, keepdims=True)
    dx = d / r - x * inner / r ** (2 if bug == "RMS norm: r squared, not cubed" else 3)
    return dx, (dy * x / r).sum(0)


def unit(x):  # rows of length 1
    return x / np.sqrt((x * x).sum(1, keepdims=True))


def unit_grad(dy, x, bug=""):
    n = np.sqrt((x * x).sum(1, keepdims=True))
    y = x / n
    if bug == "unit length: the norm over the batch":
        return (dy - y * (dy * y).sum(0, keepdims=True)) / n
    own = x if bug == "unit length: x where the unit row belongs" else y
    return dy / n - y * (dy * own).sum(1, keepdims=True) / n


LEFT, SIDE = draw(4), draw(3)


def spectral(x, W):  # one step of the power method is over: its vectors are constants
    return x @ W / (LEFT @ W @ SIDE)


def spectral_grads(dy, x, W, bug=""):
    s = LEFT @ W @ SIDE
    dV = x.T @ dy
    path = 0 if bug == "spectral norm: sigma taken for a constant" else (dV * W).sum() * np.outer(LEFT, SIDE) / s**2
    return dy @ W.T / (1 if bug == "spectral norm: dx with the raw weight" else s), dV / s - path


def layer_scale(x, W, s):  # x + s (x W)
    return x + s * (x @ W)


def layer_scale_grads(dy, x, W, s, bug=""):
    branch = dy if bug == "layer scale: the scale left out of the branch" else dy * s
    dx = branch @ W.T + (0 if bug == "layer scale: the skip is lost" else dy)
    ds = (dy * (x + x @ W if bug == "layer scale: ds with the whole output" else x @ W)).sum(0)
    return dx, x.T @ branch, ds


# ---- pointwise -------------------------------------------------------------------------------------------


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def mish_grad(dy, x, bug=""):
    t, s = np.tanh(np.log1p(np.exp(x))), sigmoid(x)
    if bug == "mish: the softplus's slope is missing":
        return dy * (t + x * (1 - t * t))
    return dy * (t + x * (1 - t) * s) if bug == "mish: the square in tanh's slope" else dy * (t + x * (1 - t * t) * s)


def swish(x, beta):
    return x * sigmoid(beta * x)


def swish_grads(dy, x, beta, bug=""):
    s = sigmoid(beta * x)
    dx = s + (1 if bug == "swish: beta left out of the inner slope" else beta) * x * s * (1 - s)
    dbeta = x * s * (1 - s) if bug == "swish: one x too few in dbeta" else x * x * s * (1 - s)
    return dy * dx, (dy * dbeta).sum(0)


def power(x, p):  # x > 0
    return x**p


def power_grads(dy, x, p, bug=""):
    dx = p * x**p if bug == "power: the exponent is not lowered" else p * x ** (p - 1)
    dp = x**p * np.log(p if bug == "power: the logarithm of the exponent" else x)
    return dy * dx, (dy * dp).sum(0)


def maxout(x, W):  # (K, D, F): the largest of K
    return (x @ W).max(0)


def maxout_grads(dy, x, W, bug=""):
    z = x @ W
    on = z == z.max(0)
    if bug == "maxout: every piece gets the gradient":
        on = np.ones_like(z)
    d = on * dy
    return (d @ W.transpose(0, 2, 1)).sum(0), x.T @ (on * z if bug == "maxout: the pieces in place of dy" else d)


KEPT = np.array([[1.0, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]])


def dropout(x, W):
    return np.tanh(x * KEPT / 0.7) @ W


def dropout_grads(dy, x, W, bug=""):
    a = np.tanh(x * KEPT / 0.7)
    back = dy @ W.T * (1 - a * a)
    if bug == "dropout: the mask without its scale":
        return back * KEPT, a.T @ dy
    return back * KEPT / 0.7, (a * KEPT / 0.7 if bug == "dropout: the mask once more in dW" else a).T @ dy


# ---- losses ----------------------------------------------------------------------------------------------


def contrast(a, b):  # InfoNCE, temperature 0.5
    s = a @ b.T / 0.5
    return -np.log(np.diag(softmax(s))).mean()


def contrast_grads(a, b, bug=""):
    p = softmax(a @ b.T / 0.5)
    d = (p - np.eye(len(a))) / len(a) / (1 if bug == "InfoNCE: the temperature is left out" else 0.5)
    return d @ b, (d @ a if bug == "InfoNCE: db without the transpose" else d.T @ a)


HOT = np.array([[1.0, 0, 1, 0, 1], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0]])


def dice(x):
    p = sigmoid(x)
    return (1 - (2 * (p * HOT).sum(1) + 1) / (p.sum(1) + HOT.sum(1) + 1)).mean()


def dice_grad(x, bug=""):
    p = sigmoid(x)
    top, low = 2 * (p * HOT).sum(1, keepdims=True) + 1, (p + HOT).sum(1, keepdims=True) + 1
    if bug == "dice: the denominator taken for a constant":
        return -2 * HOT / low * p * (1 - p) / len(x)
    dp = -(2 * HOT * low - top) / (low if bug == "dice: the denominator is not squared" else low**2)
    return dp * p * (1 - p) / len(x)


def huber(x, t):
    r = x - t
    return np.where(abs(r) < 0.8, r * r / 2, 0.8 * (abs(r) - 0.4)).mean()


def huber_grad(x, t, bug=""):
    r = x - t
    if bug == "Huber: the tail without its slope":
        return np.where(abs(r) < 0.8, r, np.sign(r)) / r.size
    return np.where(r < 0.8 if bug == "Huber: the left tail is not cut" else abs(r) < 0.8, r, 0.8 * np.sign(r)) / r.size


def divergence(m, s, n, r):  # KL of N(m, e^s) from N(n, e^r), variances by their logarithms
    return 0.5 * (r - s + (np.exp(s) + (m - n) ** 2) / np.exp(r) - 1).sum() / len(m)


def divergence_grads(m, s, n, r, bug=""):
    d, k = (m - n) / np.exp(r), len(m)
    ds = 0.5 * (np.exp(s) / np.exp(r) - (0 if bug == "KL: the entropy's part of ds" else 1))
    dr = 0.5 * (1 - (np.exp(s) if bug == "KL: the means left out of dr" else np.exp(s) + (m - n) ** 2) / np.exp(r))
    return d / k, ds / k, (d if bug == "KL: the second mean's sign" else -d) / k, dr / k


# ---- sums and products -----------------------------------------------------------------------------------


def soft_max(x, T):  # T log mean exp(x / T), by rows
    return T * np.log(np.exp(x / T).mean(1))


def soft_max_grads(dy, x, T, bug=""):
    p = softmax(x / T)
    log = np.log(np.exp(x / T).mean(1))
    dT = log if bug == "soft maximum: dT without the path through the exponents" else log - (p * x).sum(1) / T
    p = softmax(x) if bug == "soft maximum: softmax without its temperature" else p
    return dy[:, None] * p, (dy * dT).sum()


def outer(a, b):
    return a[:, :, None] * b[:, None, :]


def outer_grads(dy, a, b, bug=""):
    da = (dy * a[:, :, None] if bug == "outer: da with a" else dy * b[:, None, :]).sum(2)
    return da, (dy * a[:, :, None]).sum(2 if bug == "outer: db over the other axis" else 1)


def log_det(M):
    return np.linalg.slogdet(M)[1]


def log_det_grad(dy, M, bug=""):
    one = np.linalg.inv(M)
    one = one if bug == "log det: not transposed" else one.T
    return dy * one * (np.linalg.det(M) if bug == "log det: that of det" else 1)


def solve(A, b):
    return np.linalg.solve(A, b)


def solve_grads(dy, A, b, bug=""):
    x, db = np.linalg.solve(A, b), np.linalg.solve(A if bug == "solve: db with A, not its transpose" else A.T, dy)
    return (x @ db.T if bug == "solve: dA transposed and of the other sign" else -db @ x.T), db


def cubic(x, w):  # w_0 x + w_1 x^2 + w_2 x^3 for each channel
    return w[0] * x + w[1] * x**2 + w[2] * x**3


def cubic_grads(dy, x, w, bug=""):
    slope = w[0] + 2 * w[1] * x + (2 if bug == "cubic: the 3 of the cube" else 3) * w[2] * x**2
    powers = [x**k for k in range(3)] if bug == "cubic: the powers from 0" else [x, x**2, x**3]
    return dy * slope, np.stack([(dy * p).sum(0) for p in powers])


# ---- pictures --------------------------------------------------------------------------------------------


def average(x):  # windows of 3 that overlap, stride 2: (N, L, C)
    return np.stack([x[:, i : i + 3].mean(1) for i in range(0, x.shape[1] - 2, 2)], 1)


def average_grad(dy, x, bug=""):
    dx = np.zeros_like(x)
    for j in range(dy.shape[1]):
        share = dy[:, j : j + 1] / 3
        if bug == "average: where windows overlap, the last counts":
            dx[:, 2 * j : 2 * j + 3] = share
        else:
            i = 3 * j if bug == "average: windows side by side" else 2 * j
            dx[:, i : i + 3] += share
    return dx


def largest(x):  # windows of 3, stride 2: (N, L, C)
    return np.stack([x[:, i : i + 3].max(1) for i in range(0, x.shape[1] - 2, 2)], 1)


def largest_grad(dy, x, bug=""):
    dx = np.zeros_like(x)
    for j in range(dy.shape[1]):
        window = x[:, 2 * j : 2 * j + 3]
        top = window.max((1, 2) if bug == "largest: over the channels too" else 1, keepdims=True)
        dx[:, 2 * j : 2 * j + 3] += (window == top) * dy[:, j : j + 1]
    return dx


def doubled(x):  # nearest neighbours, (N, H, W, C)
    return x.repeat(2, 1).repeat(2, 2)


def doubled_grad(dy, x, bug=""):
    N, H, W, C = x.shape
    if bug == "upsampling: mean in place of sum":
        return dy.reshape(N, H, 2, W, 2, C).mean((2, 4))
    return dy[:, ::2, ::2] if bug == "upsampling: one of four" else dy.reshape(N, H, 2, W, 2, C).sum((2, 4))


def between(x):  # linear upsampling by 2, (N, L, C)
    y = np.empty((x.shape[0], 2 * x.shape[1] - 1, x.shape[2]))
    y[:, ::2], y[:, 1::2] = x, (x[:, :-1] + x[:, 1:]) / 2
    return y


def between_grad(dy, x, bug=""):
    dx = dy[:, ::2].copy()
    dx[:, :-1] += dy[:, 1::2] / 2
    if bug != "linear upsampling: the right neighbour gets nothing":
        dx[:, 1:] += dy[:, 1::2] / (1 if bug == "linear upsampling: a half is missing" else 2)
    return dx


PLANTED = [
    *family(rms, rms_grads, (draw(4, 5), draw(5)), "x gamma",
        ("RMS norm: sum in place of mean", "norm-path"),
        ("RMS norm: r squared, not cubed", "norm-path"),
    ),
    *family(unit, unit_grad, (draw(4, 3),), "x",
        ("unit length: the norm over the batch", "wrong-axes norm-path sum-path"),
        ("unit length: x where the unit row belongs", "norm-path not-normalised"),
    ),
    *family(spectral, spectral_grads, (draw(5, 4), draw(4, 3)), "x W",
        ("spectral norm: sigma taken for a constant", "detached norm-path", "taken for a constant"),
        ("spectral norm: dx with the raw weight", "scale norm-missing"),
    ),
    *family(layer_scale, layer_scale_grads, (draw(5, 4), draw(4, 4), draw(4)), "x W s",
        ("layer scale: the scale left out of the branch", "argument-ignored", "s out|on s"),
        ("layer scale: the skip is lost", "branch"),
        ("layer scale: ds with the whole output", "derivative-wrong branch", "dy times"),
    ),
    *family(mish, mish_grad, (draw(4, 5),), "x",
        ("mish: the softplus's slope is missing", "derivative-wrong derivative-missing"),
        ("mish: the square in tanh's slope", "derivative-wrong"),
    ),
    *family(swish, swish_grads, (draw(6, 3), rng.uniform(0.5, 2, 3)), "x beta",
        ("swish: beta left out of the inner slope", "argument-ignored derivative-wrong", "beta"),
        ("swish: one x too few in dbeta", "factor argument-ignored derivative-wrong"),
    ),
    *family(power, power_grads, (rng.uniform(0.5, 2, (5, 3)), rng.uniform(1.2, 3, 3)), "x p",
        ("power: the exponent is not lowered", "factor derivative-wrong"),
        ("power: the logarithm of the exponent", "factor derivative-wrong argument-ignored"),
    ),
    *family(maxout, maxout_grads, (draw(5, 4), draw(2, 4, 3)), "x W",
        ("maxout: every piece gets the gradient", "mask-missing"),
        ("maxout: the pieces in place of dy", "upstream-ignored roles"),
    ),
    *family(dropout, dropout_grads, (draw(3, 4), draw(4, 2)), "x W",
        ("dropout: the mask without its scale", "scale"),
        ("dropout: the mask once more in dW", "factor scale"),
    ),
    *family(contrast, contrast_grads, (draw(4, 3), draw(4, 3)), "a b",
        ("InfoNCE: the temperature is left out", "scale"),
        ("InfoNCE: db without the transpose", "transposed"),
        loss=True,
    ),
    *family(dice, dice_grad, (draw(3, 5),), "x",
        ("dice: the denominator taken for a constant", "detached sum-path branch"),
        ("dice: the denominator is not squared", "factor scale-per-axis"),
        loss=True,
    ),
    *family(huber, huber_grad, (2 * draw(10), 2 * draw(10)), "x t",
        ("Huber: the tail without its slope", "side constant"),
        ("Huber: the left tail is not cut", "side clipped margin abs mask-missing"),
        loss=True,
    ),
    *family(divergence, divergence_grads, (draw(4, 2), draw(4, 2), draw(4, 2), draw(4, 2)), "m s n r",
        ("KL: the entropy's part of ds", "branch constant"),
        ("KL: the means left out of dr", "branch argument-ignored"),
        ("KL: the second mean's sign", "sign exchanged"),
        loss=True,
    ),
    *family(soft_max, soft_max_grads, (draw(4, 3), np.array(0.7)), "x T",
        ("soft maximum: dT without the path through the exponents", "branch detached"),
        ("soft maximum: softmax without its temperature", "argument-ignored", "T out|on T"),
    ),
    *family(outer, outer_grads, (draw(4, 3), draw(4, 3)), "a b",
        ("outer: da with a", "argument-ignored roles exchanged", "for b|for a"),
        ("outer: db over the other axis", "wrong-axes"),
    ),
    *family(log_det, log_det_grad, (draw(3, 3) + 3 * np.eye(3),), "M",
        ("log det: not transposed", "transposed"),
        ("log det: that of det", "factor scale"),
    ),
    *family(solve, solve_grads, (draw(3, 3) + 3 * np.eye(3), draw(3, 2)), "A b",
        ("solve: db with A, not its transpose", "transposed"),
        ("solve: dA transposed and of the other sign", "transposed"),
    ),
    *family(cubic, cubic_grads, (draw(5, 3), draw(3, 3)), "x w",
        ("cubic: the 3 of the cube", "derivative-wrong constant"),
        ("cubic: the powers from 0", "index shifted factor derivative-wrong"),
    ),
    *family(average, average_grad, (draw(2, 9, 3),), "x",
        ("average: where windows overlap, the last counts", "overwritten"),
        ("average: windows side by side", "shifted wrong-place"),
    ),
    *family(largest, largest_grad, (draw(2, 9, 3),), "x",
        ("largest: over the channels too", "wrong-axes wrong-place mask-missing over-summed branch sample-dropped"),
    ),
    *family(doubled, doubled_grad, (draw(2, 3, 2, 2),), "x",
        ("upsampling: mean in place of sum", "scale"),
        ("upsampling: one of four", "overwritten stride-tail"),
    ),
    *family(between, between_grad, (draw(2, 5, 3),), "x",
        ("linear upsampling: the right neighbour gets nothing", "branch shifted diagonal stride-tail index"),
        ("linear upsampling: a half is missing", "scale-per-axis branch constant"),
    ),
]  # fmt: skip
RIGHT = []
