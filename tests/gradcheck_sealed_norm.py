"""A sealed bank: normalisations, modulations, styles."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7103)
draw = lambda *shape: rng.standard_normal(shape)
root = lambda x, axis, eps=0.0: np.sqrt((x * x).sum(axis, keepdims=True) + eps)


# ---- adaptive instance normalisation: content x and style s, (N, C, P) -----------------------------------


def statistics(x, eps=1e-5):
    mean = x.mean(2, keepdims=True)
    centred = x - mean
    return mean, np.sqrt((centred * centred).mean(2, keepdims=True) + eps)


def adain(x, s):
    mean, std = statistics(x)
    style_mean, style_std = statistics(s)
    return (x - mean) / std * style_std + style_mean


def adain_grads(dy, x, s, bug=""):
    P = x.shape[2]
    mean, std = statistics(x)
    style_mean, style_std = statistics(s)
    h, t = (x - mean) / std, (s - style_mean) / style_std
    d = dy * style_std
    dx = (d - d.mean(2, keepdims=True) - h * (d * h).mean(2, keepdims=True)) / std
    dmean, dstd = dy.sum(2, keepdims=True), (dy * h).sum(2, keepdims=True)
    ds = dstd * t / P + np.zeros_like(s)
    if bug != "AdaIN: style's mean detached":
        ds += dmean / P
    if bug == "AdaIN: style's deviation detached":
        ds = dmean / P + np.zeros_like(s)
    if bug == "AdaIN: x without the style's deviation":
        dx = dx / style_std
    return dx, ds


# ---- modulated weights (StyleGAN 2), one style per sample ------------------------------------------------


def modulated(x, W, s, eps=1e-4):  # (N, D), (D, K), (N, D)
    w = W * s[:, :, None]
    return np.einsum("nd,ndk->nk", x, w / np.sqrt((w * w).sum(1, keepdims=True) + eps))


def modulated_grads(dy, x, W, s, eps=1e-4, bug=""):
    w = W * s[:, :, None]
    size = np.sqrt((w * w).sum(1, keepdims=True) + eps)
    u = w / size
    du = x[:, :, None] * dy[:, None, :]
    dw = du / size
    if bug != "demodulation taken as constant":
        axis = 2 if bug == "demodulation: norm's path over the outputs" else 1
        dw = dw - u * (du * u).sum(axis, keepdims=True) / size
    dW = (dw if bug == "modulated: dW without the style" else dw * s[:, :, None]).sum(0)
    return np.einsum("nk,ndk->nd", dy, u), dW, (dw * W).sum(2)


# ---- cosine similarity -----------------------------------------------------------------------------------


def cosine(a, b):
    return ((a / root(a, 1)) * (b / root(b, 1))).sum(1)


def cosine_grads(dy, a, b, bug=""):
    u, v, d = a / root(a, 1), b / root(b, 1), dy[:, None]
    c = (u * v).sum(1, keepdims=True)
    da = d * (v - c * u) / root(a, 1)
    db = d * (u - c * v) / root(b, 1)
    if bug == "cosine: norm of b detached":
        db = d * u / root(b, 1)
    if bug == "cosine: da divided by the norm of b":
        da = d * (v - c * u) / root(b, 1)
    return da, db


# ---- local response normalisation, pixel norm ------------------------------------------------------------


def neighbours(x, n=1):  # (N, C): sums over channels c - n .. c + n
    return np.stack([x[:, max(0, c - n) : c + n + 1].sum(1) for c in range(x.shape[1])], 1)


def local_response(x, k=2.0, alpha=0.5, beta=0.75):
    return x * (k + alpha * neighbours(x * x)) ** -beta


def local_response_grad(dy, x, k=2.0, alpha=0.5, beta=0.75, bug=""):
    s = k + alpha * neighbours(x * x)
    inner = dy * x * s ** (-beta - 1)
    if bug == "LRN: denominator taken as constant":
        return (dy * s**-beta,)
    if bug == "LRN: own channel only":
        return (dy * s**-beta - 2 * alpha * beta * x * inner,)
    return (dy * s**-beta - 2 * alpha * beta * x * neighbours(inner),)


def pixel_norm(x, eps=1e-8):  # (N, C, P), over channels
    return x / np.sqrt((x * x).mean(1, keepdims=True) + eps)


def pixel_norm_grad(dy, x, eps=1e-8, bug=""):
    r = np.sqrt((x * x).mean(1, keepdims=True) + eps)
    total = (dy * x).sum(1, keepdims=True)
    if bug == "pixel norm: sum for mean":
        return (dy / r - x * total / r**3,)
    return (dy / r - x * total / (x.shape[1] * r**3),)


# ---- layer norm of a text book: std with N - 1, epsilon outside of the root ------------------------------


def layer_norm(x, a, b, eps=1e-2):
    centred = x - x.mean(-1, keepdims=True)
    std = np.sqrt((centred * centred).sum(-1, keepdims=True) / (x.shape[-1] - 1))
    return a * centred / (std + eps) + b


def layer_norm_grads(dy, x, a, b, eps=1e-2, bug=""):
    D = x.shape[-1]
    centred = x - x.mean(-1, keepdims=True)
    count = D if bug == "annotated layer norm: D for D - 1" else D - 1
    std = np.sqrt((centred * centred).sum(-1, keepdims=True) / (D - 1))
    d = a * dy
    inner = (d * centred).sum(-1, keepdims=True)
    axis = 0 if bug == "annotated layer norm: mean over positions" else -1  # T = D
    dx = (d - d.mean(axis, keepdims=True)) / (std + eps) - centred * inner / (count * std * (std + eps) ** 2)
    dims = tuple(range(x.ndim - 1))
    return dx, (dy * centred / (std + eps)).sum(dims), dy.sum(dims)


# ---- weight standardisation, batch norm at test time, conditional batch norm -----------------------------


def standardised(x, W, eps=1e-5):
    centred = W - W.mean(0)
    return x @ (centred / np.sqrt((centred * centred).mean(0) + eps))


def standardised_grads(dy, x, W, eps=1e-5, bug=""):
    centred = W - W.mean(0)
    std = np.sqrt((centred * centred).mean(0) + eps)
    u, du = centred / std, x.T @ dy
    if bug == "weight standardisation: std detached":
        return dy @ u.T, (du - du.mean(0)) / std
    if bug == "weight standardisation: applied to the gradient":
        c = du - du.mean(0)
        return dy @ u.T, c / np.sqrt((c * c).mean(0) + eps)
    return dy @ u.T, (du - du.mean(0) - u * (du * u).mean(0)) / std


running_mean, running_var = 0.3 * draw(3), rng.uniform(0.5, 2, 3)


def batch_norm_eval(x, gamma, beta):
    return gamma * (x - running_mean) / np.sqrt(running_var + 1e-5) + beta


def batch_norm_eval_grads(dy, x, gamma, beta, bug=""):
    std = np.sqrt(running_var + 1e-5)
    h, d = (x - running_mean) / std, dy * gamma
    dx = d / std
    if bug == "batch norm: training's backward at test time":
        dx = (d - d.mean(0) - h * (d * h).mean(0)) / std
    if bug == "batch norm: divides by the running variance":
        dx = d / (running_var + 1e-5)
    return dx, (dy * h).sum(0), dy.sum(0)


def conditional(x, gamma, beta, labels):
    centred = x - x.mean(0)
    return gamma[labels] * centred / np.sqrt((centred * centred).mean(0) + 1e-5) + beta[labels]


def conditional_grads(dy, x, gamma, beta, labels, bug=""):
    centred = x - x.mean(0)
    std = np.sqrt((centred * centred).mean(0) + 1e-5)
    h, d = centred / std, dy * gamma[labels]
    dx = (d - d.mean(0) - h * (d * h).mean(0)) / std
    dgamma, dbeta = np.zeros_like(gamma), np.zeros_like(beta)
    for n, k in enumerate(labels):
        dgamma[k] = dy[n] * h[n] if bug else dgamma[k] + dy[n] * h[n]
        dbeta[k] += dy[n]
    return dx, dgamma, dbeta


# ---- centring, capsules, largest value, power means, min-max ---------------------------------------------


def squash(s):
    n2 = (s * s).sum(-1, keepdims=True)
    return n2 / (1 + n2) * s / np.sqrt(n2)


def squash_grad(dy, s, bug=""):
    n2 = (s * s).sum(-1, keepdims=True)
    n = np.sqrt(n2)
    f = n / (1 + n2)
    if bug:
        return (f * dy,)
    slope = (1 - n2) / (1 + n2) ** 2  # of f by n
    return (f * dy + slope / n * s * (dy * s).sum(-1, keepdims=True),)


def by_largest(x):
    return x / np.abs(x).max(1, keepdims=True)


def by_largest_grad(dy, x, bug=""):
    m = np.abs(x).max(1, keepdims=True)
    dx = dy / m
    if not bug:
        at = np.abs(x) == m
        dx = dx - at * np.sign(x) * (dy * x).sum(1, keepdims=True) / m**2
    return (dx,)


def by_four_norm(x):
    return x / ((x**4).sum(1, keepdims=True)) ** 0.25


def by_four_norm_grad(dy, x, bug=""):
    n = ((x**4).sum(1, keepdims=True)) ** 0.25
    u = x / n
    power = u if bug else u**3
    return ((dy - power * (dy * u).sum(1, keepdims=True)) / n,)


def min_max(x):
    low, high = x.min(0), x.max(0)
    return (x - low) / (high - low)


def min_max_grad(dy, x, bug=""):
    low, high = x.min(0), x.max(0)
    y, width = (x - low) / (high - low), high - low
    dx = dy / width
    if bug != "min-max: range taken as constant":
        dx = dx - (x == high) * (dy * y).sum(0) / width
    return (dx - (x == low) * (dy * (1 - y if bug == "" else 1)).sum(0) / width,)


PLANTED = [
    *family(
        adain, adain_grads, (draw(2, 3, 5), 1 + 2 * draw(2, 3, 5)), "x s",
        ("AdaIN: style's mean detached", "mean-path branch detached"),
        ("AdaIN: style's deviation detached", "variance-path detached branch"),
        ("AdaIN: x without the style's deviation", "argument-ignored factor scale-per-axis", r"x does not depend on s"),
    ),
    *family(
        modulated, modulated_grads, (draw(4, 3), draw(3, 2), 1 + 0.5 * draw(4, 3)), "x W s",
        ("demodulation taken as constant", "detached norm-path"),
        ("demodulation: norm's path over the outputs", "wrong-axes norm-path"),
        ("modulated: dW without the style", "factor argument-ignored derivative-missing",
              r"without s|s left out|divided by s"),
    ),
    *family(
        cosine, cosine_grads, (draw(5, 3), 2 * draw(5, 3)), "a b",
        ("cosine: norm of b detached", "norm-path detached"),
        ("cosine: da divided by the norm of b", "roles scale-per-axis factor", r"norm of b"),
    ),
    *family(
        local_response, local_response_grad, (draw(3, 5),), "x",
        ("LRN: denominator taken as constant", "detached norm-path sum-path"),
        ("LRN: own channel only", "diagonal cross-terms"),
    ),
    *family(pixel_norm, pixel_norm_grad, (draw(2, 4, 3),), "x", ("pixel norm: sum for mean", "norm-path")),
    *family(
        layer_norm, layer_norm_grads, (draw(2, 4, 4), 1 + draw(4) / 2, draw(4)), "x a b",
        ("annotated layer norm: D for D - 1", "unbiased variance-path"),
        ("annotated layer norm: mean over positions", "wrong-axes mean-path"),
    ),
    *family(
        standardised, standardised_grads, (draw(5, 4), draw(4, 3)), "x W",
        ("weight standardisation: std detached", "variance-path detached norm-path"),
        ("weight standardisation: applied to the gradient", "nonlinear", r"not linear"),
    ),
    *family(
        batch_norm_eval, batch_norm_eval_grads, (draw(6, 3), 1 + draw(3) / 2, draw(3)), "x gamma beta",
        ("batch norm: training's backward at test time", "statistics mean-path cross-terms",
              r"mixes|does not depend on"),
        ("batch norm: divides by the running variance", "scale-per-axis constant square"),
    ),
    *family(
        conditional, conditional_grads, (draw(6, 3), 1 + draw(3, 3) / 2, draw(3, 3), np.array([0, 2, 1, 0, 2, 2])),
        "x gamma beta labels", ("conditional batch norm: = for +=", "overwritten"),
    ),
    *family(squash, squash_grad, (draw(4, 3),), "s", ("squash: norm taken as constant", "detached norm-path")),
    *family(by_largest, by_largest_grad, (draw(3, 4),), "x",
            ("by the largest: maximum taken as constant", "detached norm-path branch")),
    *family(by_four_norm, by_four_norm_grad, (draw(3, 4),), "x",
            ("4-norm: projection as for the 2-norm", "norm-path derivative-wrong constant")),
    *family(
        min_max, min_max_grad, (draw(5, 3),), "x",
        ("min-max: range taken as constant", "detached norm-path branch"),
        ("min-max: minimum's share without 1 - y", "branch detached mean-path"),
    ),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def chained_batch_norm_grads(dy, x, gamma, beta):
    """The graph of a well-known blog post, node by node."""
    N = len(x)
    xmu = x - x.sum(0) / N
    sqrtvar = np.sqrt((xmu**2).sum(0) / N + 1e-5)
    ivar = 1.0 / sqrtvar
    dxhat = dy * gamma
    divar = (dxhat * xmu).sum(0)
    dsqrtvar = -1.0 / sqrtvar**2 * divar
    dvar = 0.5 / sqrtvar * dsqrtvar
    dxmu = dxhat * ivar + 2 * xmu * dvar / N
    return dxmu - dxmu.sum(0) / N, (dy * xmu * ivar).sum(0), dy.sum(0)


def batch_norm(x, gamma, beta):
    centred = x - x.mean(0)
    return gamma * centred / np.sqrt((centred**2).mean(0) + 1e-5) + beta


def softmax_norm(x):
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


def softmax_norm_grad(dy, x):
    p = softmax_norm(x)
    return (p * dy - p * (p * dy).sum(axis=0),)


def whiten(x):  # by the inverse square root of the covariance
    c = x - x.mean(0)
    return c @ np.linalg.inv(np.linalg.cholesky(c.T @ c / len(x))).T


def whiten_grad(dy, x):
    c, N = x - x.mean(0), len(x)
    L = np.linalg.cholesky(c.T @ c / N)
    M = np.linalg.inv(L)
    dM = dy.T @ c
    dL = np.tril(-M.T @ dM @ M.T)
    P = np.tril(L.T @ dL)
    P[np.diag_indices(len(P))] *= 0.5
    S = M.T @ P @ M
    dc = dy @ M + c @ (S + S.T) / N
    return (dc - dc.mean(0),)


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
bn = ("x", "gamma", "beta")
two = np.array([[1.0, -2.0], [1.0 + 1e-4, -2.0 - 1e-4]])
RIGHT = [
    Right("batch norm, node by node", batch_norm, chained_batch_norm_grads, (draw(6, 3), draw(3), draw(3)), bn),
    Right("batch norm, node by node, float32", batch_norm, chained_batch_norm_grads,
          single(draw(6, 3), draw(3), draw(3)), bn),
    Right("batch norm, an offset of 1000", batch_norm, chained_batch_norm_grads,
          (draw(6, 3) + 1e3, draw(3), draw(3)), bn),
    Right("batch norm of two samples that are close", batch_norm, chained_batch_norm_grads,
          (two, draw(2), draw(2)), bn),
    Right("softmax over the first axis", softmax_norm, softmax_norm_grad, (draw(4, 3),), ("x",)),
    Right("softmax, saturated", softmax_norm, softmax_norm_grad, (30 * draw(4, 3),), ("x",)),
    Right("whitening", whiten, whiten_grad, (draw(6, 3),), ("x",)),
    Right("cosine of nearly parallel vectors", cosine, lambda dy, a, b: cosine_grads(dy, a, b),
          (two, two + 1e-3 * draw(2, 2)), ("a", "b")),
    Right("pixel norm, tiny", pixel_norm, lambda dy, x: pixel_norm_grad(dy, x), (1e-3 * draw(2, 4, 3),), ("x",)),
    Right("pixel norm, float32", pixel_norm, lambda dy, x: pixel_norm_grad(dy, x), single(draw(2, 4, 3)), ("x",)),
    Right("min-max of whole numbers, ties", min_max, lambda dy, x: min_max_grad(dy, x),
          (np.array([[0.0, 1], [2, 1.5], [1, 3], [1, 2]]),), ("x",)),
    Right("weights standardised, large", standardised, lambda dy, x, W: standardised_grads(dy, x, W),
          (draw(5, 4), 1e4 * draw(4, 3)), ("x", "W")),
]  # fmt: skip
