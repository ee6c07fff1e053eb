"""Planted bugs of layers that no other bank has, written down before any answer was seen: the half that is open."""

import numpy as np
from gradcheck_plant import family

rng = np.random.default_rng(2026)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# ---- norms -----------------------------------------------------------------------------------------------


def group_norm(x, gamma, beta):  # (N, C), groups of three channels
    g = x.reshape(len(x), -1, 3)
    g = (g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + 1e-5)
    return gamma * g.reshape(x.shape) + beta


def group_norm_grads(dy, x, gamma, beta, bug=""):
    g = x.reshape(len(x), -1, 3)
    std = np.sqrt(g.var(2, keepdims=True) + 1e-5)
    xhat = (g - g.mean(2, keepdims=True)) / std
    d = (dy * gamma).reshape(g.shape)
    mean = d.mean((1, 2), keepdims=True) if bug == "group norm: the mean over all groups" else d.mean(2, keepdims=True)
    dx = (d - mean - xhat * (d * xhat).mean(2, keepdims=True)) / std
    flat = g if bug == "group norm: dgamma with x in place of the normalised x" else xhat
    return dx.reshape(x.shape), (dy * flat.reshape(x.shape)).sum(0), dy.sum(0)


def weight_norm(x, v, g):  # w = g v / |v|, a norm for each column
    return x @ (g * v / np.sqrt((v * v).sum(0)))


def weight_norm_grads(dy, x, v, g, bug=""):
    norm = np.sqrt((v * v).sum(0))
    dw, unit = x.T @ dy, v / norm
    dg = (dw * v).sum(0) if bug == "weight norm: dg with v that is not normalised" else (dw * unit).sum(0)
    back = 0 if bug == "weight norm: the norm taken for a constant" else unit * (dw * unit).sum(0)
    return dy @ (g * unit).T, g / norm * (dw - back), dg


def variance(x):  # unbiased, of each column
    return x.var(0, ddof=1)


def variance_grads(dy, x, bug=""):
    n = len(x) if bug == "variance: N in place of N - 1" else len(x) - 1
    return dy * 2 * (x - x.mean() if bug == "variance: the mean of everything" else x - x.mean(0)) / n


# ---- pointwise -------------------------------------------------------------------------------------------

A = np.sqrt(2 / np.pi)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(A * (x + 0.044715 * x**3)))


def gelu_grad(dy, x, bug=""):
    t = np.tanh(A * (x + 0.044715 * x**3))
    inner = A * (1 + (1 if bug == "GELU: the cube's 3 is missing" else 3) * 0.044715 * x**2)
    if bug == "GELU: only the factor in front":
        return dy * 0.5 * (1 + t)
    return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)


def softplus(x, beta):  # a sharpness for each channel
    return np.log1p(np.exp(beta * x)) / beta


def softplus_grads(dy, x, beta, bug=""):
    s = sigmoid(x if bug == "softplus: the slope without beta" else beta * x)
    y = np.log1p(np.exp(beta * x)) / beta
    return dy * s, (dy * (x * s if bug == "softplus: dbeta without the quotient's part" else (x * s - y) / beta)).sum(0)


# ---- losses ----------------------------------------------------------------------------------------------


def cosine(a, b):  # of rows
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def cosine_grads(dy, a, b, bug=""):
    na, nb = np.linalg.norm(a, axis=1)[:, None], np.linalg.norm(b, axis=1)[:, None]
    c = (a * b).sum(1, keepdims=True) / (na * nb)
    da = b / (na * nb) - c * (b / (na * nb) if bug == "cosine: b projected out in place of a" else a / na**2)
    db = a / (na * nb) - (0 if bug == "cosine: b's norm taken for a constant" else c * b / nb**2)
    return dy[:, None] * da, dy[:, None] * db


def triplet(a, p, n):
    return np.maximum(((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + 4.0, 0).mean()


def triplet_grads(a, p, n, bug=""):
    d = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)
    on = ((d if bug == "triplet: the mask without its margin" else d + 4.0) > 0)[:, None] * 2 / len(a)
    da = on * (a - p) if bug == "triplet: the anchor is not pushed from the negative" else on * (n - p)
    return da, on * (p - a), on * (n - a if bug == "triplet: the negative is pulled" else a - n)


TARGET = np.array([1.0, 0, 1, 0, 0, 1, 1, 0])


def focal(x, t):
    p = sigmoid(x)
    q = t * p + (1 - t) * (1 - p)
    return -((1 - q) ** 2 * np.log(q)).mean()


def focal_grad(x, t, bug=""):
    p = sigmoid(x)
    q, sign = t * p + (1 - t) * (1 - p), 2 * t - 1
    dq = -((1 - q) ** 2) / q + (0 if bug == "focal: its weight taken for a constant" else 2 * (1 - q) * np.log(q))
    if bug == "focal: the exponent stays 2 in the derivative":
        dq = -((1 - q) ** 2) / q + 2 * (1 - q) ** 2 * np.log(q)
    return dq * sign * p * (1 - p) / len(x)


LABELS = np.array([2, 0, 1, 3, 1])


def smoothed(x):  # cross-entropy with smoothed labels
    t = 0.9 * np.eye(4)[LABELS] + 0.1 / 4
    return -(t * np.log(softmax(x))).sum(1).mean()


def smoothed_grad(x, bug=""):
    t = 0.9 * np.eye(4)[LABELS] + (0.1 / 3 if bug == "smoothing: spread over the other classes only" else 0.1 / 4)
    return (softmax(x, 0 if bug == "smoothing: softmax over the samples" else 1) - t) / len(x)


def quantile(x, t, tau):
    e = t - x
    return np.where(e > 0, tau * e, (tau - 1) * e).mean()


def quantile_grad(x, t, tau, bug=""):
    e = t - x
    if bug == "quantile: the two sides exchanged":
        return np.where(e > 0, 1 - tau, -tau) / x.size
    return np.where(e > 0, -tau, 1 - tau) / (x.size if bug != "quantile: sum in place of mean" else 1)


# ---- products --------------------------------------------------------------------------------------------


def bilinear(a, W, b):  # y_nk = a_ni W_kij b_nj
    return np.einsum("ni,kij,nj->nk", a, W, b)


def bilinear_grads(dy, a, W, b, bug=""):
    da = np.einsum("nk,kji,nj->ni" if bug == "bilinear: W transposed in da" else "nk,kij,nj->ni", dy, W, b)
    dW = np.einsum("nk,ni,nj->kij", dy, b, a) if bug == "bilinear: a and b exchanged in dW" else None
    dW = np.einsum("nk,ni,nj->kij", dy, a, b) if dW is None else dW
    return da, dW, np.einsum("nk,kij,ni->nj", dy, W, a)


def inverse(M):
    return np.linalg.inv(M)


def inverse_grad(dy, M, bug=""):
    y = np.linalg.inv(M)
    if bug == "inverse: not transposed":
        return -y @ dy @ y
    return y.T @ dy @ y.T if bug == "inverse: the sign is missing" else -y.T @ dy @ y.T


def three(x, U, V):  # x U V^T, a low rank
    return x @ U @ V.T


def three_grads(dy, x, U, V, bug=""):
    dU = x.T @ dy if bug == "low rank: dU without V" else x.T @ dy @ V
    return dy @ V @ U.T, dU[:, : U.shape[1]], dy.T @ (x if bug == "low rank: dV with x in place of x U" else x @ U)


# ---- time ------------------------------------------------------------------------------------------------


def gru(x, h, W, U):  # one step; W: (D, 3 H), U: (H, 3 H)
    a, b = x @ W, h @ U
    n = h.shape[1]
    z, r = sigmoid(a[:, :n] + b[:, :n]), sigmoid(a[:, n : 2 * n] + b[:, n : 2 * n])
    return (1 - z) * np.tanh(a[:, 2 * n :] + r * b[:, 2 * n :]) + z * h


def gru_grads(dy, x, h, W, U, bug=""):
    a, b = x @ W, h @ U
    n = h.shape[1]
    z, r = sigmoid(a[:, :n] + b[:, :n]), sigmoid(a[:, n : 2 * n] + b[:, n : 2 * n])
    c = np.tanh(a[:, 2 * n :] + r * b[:, 2 * n :])
    dc = dy * (1 - z) * (1 - c * c)
    dz = dy * (c - h if bug == "GRU: the update gate has the other sign" else h - c) * z * (1 - z)
    dr = dc * b[:, 2 * n :] * r * (1 - r)
    da = np.concatenate([dz, dr, dc], 1)
    db = np.concatenate([dz, dr, dc if bug == "GRU: the reset gate left out of the way back" else dc * r], 1)
    direct = 0 if bug == "GRU: the old state's own path is lost" else dy * z
    return da @ W.T, db @ U.T + direct, x.T @ da, h.T @ db


def attention(q, k, v):  # (T, D), causal
    s = q @ k.T / np.sqrt(q.shape[1])
    return softmax(np.where(np.tril(np.ones(s.shape)) > 0, s, -1e9)) @ v


def attention_grads(dy, q, k, v, bug=""):
    s = q @ k.T / np.sqrt(q.shape[1])
    mask = np.tril(np.ones(s.shape))
    p = softmax(s) if bug == "causal attention: backward forgets the mask" else softmax(np.where(mask > 0, s, -1e9))
    dp = dy @ v.T
    over = 0 if bug == "causal attention: softmax's sum over the queries" else 1
    ds = p * (dp - (p * dp).sum(over, keepdims=True)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ dy


def rotary(x, angle):  # pairs of channels are turned
    a, b, c, s = x[:, ::2], x[:, 1::2], np.cos(angle), np.sin(angle)
    return np.stack([a * c - b * s, a * s + b * c], 2).reshape(x.shape)


def rotary_grads(dy, x, angle, bug=""):
    a, b, c, s = x[:, ::2], x[:, 1::2], np.cos(angle), np.sin(angle)
    da, db = dy[:, ::2], dy[:, 1::2]
    t = -s if bug == "rotary: turned forward again" else s
    dx = np.stack([da * c + db * t, db * c - da * t], 2).reshape(x.shape)
    other = a * c + b * s if bug == "rotary: a sign in the angle's gradient" else a * c - b * s
    return dx, db * other - da * (a * s + b * c)


def running(x):  # the sum of all steps so far
    return np.cumsum(x, 0)


def running_grad(dy, x, bug=""):
    return np.cumsum(dy, 0) if bug == "running sum: from the front again" else np.cumsum(dy[::-1], 0)[::-1]


# ---- pictures --------------------------------------------------------------------------------------------


def depthwise(x, w):  # (N, H, W, C), (3, 3, C)
    n, m = x.shape[1] - 2, x.shape[2] - 2
    return sum(x[:, i : i + n, j : j + m] * w[i, j] for i in range(3) for j in range(3))


def depthwise_grads(dy, x, w, bug=""):
    n, m = dy.shape[1:3]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(3):
        for j in range(3):
            dx[:, i : i + n, j : j + m] += dy * (w[2 - i, 2 - j] if bug == "depthwise: the kernel flipped" else w[i, j])
            share = dy * x[:, i : i + n, j : j + m]
            dw[i, j] = share.sum() if bug == "depthwise: dw summed over the channels" else share.sum((0, 1, 2))
    return dx, dw


def shuffle(x):  # pixel shuffle by 2: (N, H, W, 4 C) to (N, 2 H, 2 W, C)
    N, H, W, C = x.shape
    return x.reshape(N, H, W, 2, 2, C // 4).transpose(0, 1, 3, 2, 4, 5).reshape(N, 2 * H, 2 * W, C // 4)


def shuffle_grad(dy, x, bug=""):
    N, H, W, C = x.shape
    d = dy.reshape(N, H, 2, W, 2, C // 4)
    order = (0, 1, 3, 4, 2, 5) if bug == "pixel shuffle: rows and columns of a block exchanged" else (0, 1, 3, 2, 4, 5)
    return d.transpose(order).reshape(x.shape)


BAGS = np.array([[0, 2, 2], [1, 3, 0], [4, 1, 1]])


def bag(E):  # the mean of the rows of each bag
    return E[BAGS].mean(1)


def bag_grad(dy, E, bug=""):
    dE = np.zeros_like(E)
    share = np.repeat(dy[:, None] / (1 if bug == "bag: the mean's 1/3 is missing" else 3), 3, 1)
    if bug == "bag: rows that come twice are added once":
        dE[BAGS] += share
    else:
        np.add.at(dE, BAGS, share)
    return dE


PLANTED = [
    *family(
        group_norm, group_norm_grads, (draw(4, 6), draw(6), draw(6)), "x gamma beta",
        ("group norm: the mean over all groups", "wrong-axes mean-path", "mean over"),
        ("group norm: dgamma with x in place of the normalised x", "not-normalised", "dy times x"),
    ),
    *family(
        weight_norm, weight_norm_grads, (draw(5, 4), draw(4, 3), draw(3)), "x v g",
        ("weight norm: dg with v that is not normalised", "not-normalised norm-missing", "norm"),
        ("weight norm: the norm taken for a constant", "norm-path detached", "taken for a constant"),
    ),
    *family(
        variance, variance_grads, (draw(6, 3),), "x",
        ("variance: N in place of N - 1", "unbiased scale", "N - 1"),
        ("variance: the mean of everything", "wrong-axes mean-path over-summed", "mean"),
    ),
    *family(
        gelu, gelu_grad, (draw(4, 5),), "x",
        ("GELU: the cube's 3 is missing", "derivative-wrong constant"),
        ("GELU: only the factor in front", "derivative-wrong branch uses"),
    ),
    *family(
        softplus, softplus_grads, (draw(5, 3), rng.uniform(0.5, 2, 3)), "x beta",
        ("softplus: the slope without beta", "argument-ignored", "beta"),
        ("softplus: dbeta without the quotient's part", "branch derivative-wrong"),
    ),
    *family(
        cosine, cosine_grads, (draw(5, 4), draw(5, 4)), "a b",
        ("cosine: b projected out in place of a", "norm-path derivative-wrong"),
        ("cosine: b's norm taken for a constant", "norm-path detached"),
    ),
    *family(
        triplet, triplet_grads, (draw(7, 3), draw(7, 3), draw(7, 3)), "a p n",
        ("triplet: the mask without its margin", "margin mask-missing sample-dropped", "margin"),
        ("triplet: the anchor is not pushed from the negative", "branch uses argument-ignored"),
        ("triplet: the negative is pulled", "sign"),
        loss=True,
    ),
    *family(
        focal, focal_grad, (draw(8), TARGET), "x t",
        ("focal: its weight taken for a constant", "detached branch"),
        ("focal: the exponent stays 2 in the derivative", "derivative-wrong branch constant"),
        loss=True,
    ),
    *family(
        smoothed, smoothed_grad, (draw(5, 4),), "x",
        ("smoothing: spread over the other classes only", "constant branch"),
        ("smoothing: softmax over the samples", "wrong-axes sum-path"),
        loss=True,
    ),
    *family(
        quantile, quantile_grad, (draw(9), draw(9), np.array(0.3)), "x t tau",
        ("quantile: the two sides exchanged", "side constant sign", "times above"),
        ("quantile: sum in place of mean", "scale"),
        loss=True,
    ),
    *family(
        bilinear, bilinear_grads, (draw(5, 3), draw(2, 3, 3), draw(5, 3)), "a W b",
        ("bilinear: W transposed in da", "transposed"),
        ("bilinear: a and b exchanged in dW", "transposed exchanged"),
    ),
    *family(
        inverse, inverse_grad, (draw(3, 3) + 3 * np.eye(3),), "M",
        ("inverse: not transposed", "transposed"),
        ("inverse: the sign is missing", "sign"),
    ),
    *family(
        three, three_grads, (draw(5, 4), draw(4, 2), draw(3, 2)), "x U V",
        ("low rank: dU without V", "argument-ignored", r"does not depend on V|leaves V out"),
        ("low rank: dV with x in place of x U", "shape argument-ignored", "does not depend on U"),
    ),
    *family(
        gru, gru_grads, (draw(4, 3), draw(4, 2), draw(3, 6), draw(2, 6)), "x h W U",
        ("GRU: the update gate has the other sign", "sign"),
        ("GRU: the reset gate left out of the way back", "factor scale-per-axis derivative-missing argument-ignored"),
        ("GRU: the old state's own path is lost", "branch"),
    ),
    *family(
        attention, attention_grads, (draw(4, 3), draw(4, 3), draw(4, 3)), "q k v",
        ("causal attention: backward forgets the mask", "mask-missing"),
        ("causal attention: softmax's sum over the queries", "wrong-axes sum-path"),
    ),
    *family(
        rotary, rotary_grads, (draw(5, 4), draw(5, 2)), "x angle",
        ("rotary: turned forward again", "transposed sign", "J dy instead"),
        ("rotary: a sign in the angle's gradient", "sign branch"),
    ),
    *family(running, running_grad, (draw(5, 3),), "x", ("running sum: from the front again", "transposed flipped")),
    *family(
        depthwise, depthwise_grads, (draw(2, 5, 4, 3), draw(3, 3, 3)), "x w",
        ("depthwise: the kernel flipped", "flipped"),
        ("depthwise: dw summed over the channels", "over-summed"),
    ),
    *family(
        shuffle, shuffle_grad, (draw(2, 3, 2, 8),), "x",
        ("pixel shuffle: rows and columns of a block exchanged", "transposed wrong-place"),
    ),
    *family(
        bag, bag_grad, (draw(5, 3),), "E",
        ("bag: the mean's 1/3 is missing", "scale"),
        ("bag: rows that come twice are added once", "overwritten"),
    ),
]  # fmt: skip
RIGHT = []
