"""Planted bugs of normalisations: of pixels, weights, styles, groups, covariances, neighbours, padded rows."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(162)
draw = lambda *shape: rng.standard_normal(shape)
EPS = 1e-3


def standard(x, axes, eps=EPS):
    """Return (x standardised over axes, 1 / its deviation)."""
    r = 1 / np.sqrt(x.var(axes, keepdims=True) + eps)
    return (x - x.mean(axes, keepdims=True)) * r, r


def standard_back(d, h, r, axes, mean=1, var=1):
    """Return the gradient by x of h, r = standard(x, axes)."""
    return r * (d - mean * d.mean(axes, keepdims=True) - var * h * (d * h).mean(axes, keepdims=True))


# ---- of activations --------------------------------------------------------------------------------------


def pixel(x):  # (N, C, L), each position over its channels
    return x / np.sqrt((x * x).mean(1, keepdims=True) + EPS)


def pixel_grad(dy, x, bug=""):
    r = 1 / np.sqrt((x * x).mean(1, keepdims=True) + EPS)
    along = (dy * x * r).mean(2 if bug == "pixel norm: the inner product over positions" else 1, keepdims=True)
    if bug == "pixel norm: the inner product's mean is a sum":
        along = along * x.shape[1]
    if bug == "pixel norm: r for r squared in its path":
        return r * dy - r * x * along
    return r * (dy - x * r * along)


def neighbours(x):  # local response normalisation over 3 channels, (N, C)
    return x / area(x) ** 0.75


def area(x):
    p = np.pad(x * x, ((0, 0), (1, 1)))
    return 1 + 0.5 * (p[:, :-2] + p[:, 1:-1] + p[:, 2:])


def neighbours_grad(dy, x, bug=""):
    s = area(x)
    u = -0.75 * dy * x * s ** (-0.75 if bug == "response norm: the power is not lowered by 1" else -1.75)
    p = np.pad(u, ((0, 0), (1, 1)))
    around = p[:, 1:-1] if bug == "response norm: no neighbours" else p[:, :-2] + p[:, 1:-1] + p[:, 2:]
    if bug == "response norm: neighbours' denominators taken for its own":
        d = np.pad(dy * x, ((0, 0), (1, 1)))
        around = -0.75 * s**-1.75 * (d[:, :-2] + d[:, 1:-1] + d[:, 2:])
    if bug == "response norm: the denominator is a constant":
        around = 0
    return dy / s**0.75 + x * around


def response(x, e):  # filter response: no mean; a learned epsilon, by its absolute value
    return x / np.sqrt((x * x).mean((1,), keepdims=True) + np.abs(e))


def response_grad(dy, x, e, bug=""):
    r = 1 / np.sqrt((x * x).mean(1, keepdims=True) + np.abs(e))
    de = -0.5 * (dy * x * r**3).sum((0, 1))
    if bug == "filter response: the square root's 1/2 in de":
        de = 2 * de
    side = 1 if bug == "filter response: the sign of a negative e" else np.sign(e)
    return r * (dy - x * r * r * (dy * x).mean(1, keepdims=True)), de * side


def unit(x, g):  # g x / |x|
    return g * x / np.sqrt((x * x).sum(1, keepdims=True))


def unit_grad(dy, x, g, bug=""):
    size = np.sqrt((x * x).sum(1, keepdims=True))
    dg = (dy * x).sum() if bug == "scale norm: dg of x itself" else (dy * x / size).sum()
    power = 2 if bug == "scale norm: the length squared in its path" else 3
    return g * (dy / size - x * (dy * x).sum(1, keepdims=True) / size**power), dg


def share(x):  # of the sum of absolute values
    return x / np.abs(x).sum(1, keepdims=True)


def share_grad(dy, x, bug=""):
    s = np.abs(x).sum(1, keepdims=True)
    side = 1 if bug == "L1 norm: the signs in its path" else np.sign(x)
    if bug == "L1 norm: no path":
        side = 0
    return dy / s - side * (dy * x).sum(1, keepdims=True) / s**2


def ranged(x):  # (x - min) / (max - min) in each row
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    return (x - low) / (high - low)


def ranged_grad(dy, x, bug=""):
    low, high = x.min(1, keepdims=True), x.max(1, keepdims=True)
    span, y = high - low, (x - low) / (high - low)
    up, down = (dy * y).sum(1, keepdims=True), (dy * (1 - y)).sum(1, keepdims=True)
    if bug == "min-max: both bounds are constants":
        return dy / span
    if bug == "min-max: the upper bound is a constant":
        return (dy - (x == low) * dy.sum(1, keepdims=True)) / span
    return (dy - (x == high) * up - (x == low) * down) / span


LENGTH = np.array([6, 4, 3])
VALID = (np.arange(6) < LENGTH[:, None]).astype(float)


def padded(x, g):  # layer norm of rows that end early
    n = LENGTH[:, None]
    c = (x - (x * VALID).sum(1, keepdims=True) / n) * VALID
    return g * c / np.sqrt((c * c).sum(1, keepdims=True) / n + EPS)


def padded_grad(dy, x, g, bug=""):
    n = LENGTH[:, None]
    c = (x - (x * VALID).sum(1, keepdims=True) / n) * VALID
    r = 1 / np.sqrt((c * c).sum(1, keepdims=True) / n + EPS)
    n = 6 if bug == "padded norm: means over the padded length" else n
    d = g * dy * VALID
    dx = r * (d - d.sum(1, keepdims=True) / n - c * r * r * (d * c).sum(1, keepdims=True) / n)
    return dx if bug == "padded norm: padding gets a gradient" else dx * VALID, (dy * c * r).sum(0)


RUN_MEAN, RUN_VAR = draw(3), rng.uniform(0.5, 2, 3)


def moving(x):  # statistics: 0.8 of the running ones, which are constants, and 0.2 of the batch's
    return (x - 0.8 * RUN_MEAN - 0.2 * x.mean(0)) / np.sqrt(0.8 * RUN_VAR + 0.2 * x.var(0) + EPS)


def moving_grad(dy, x, bug=""):
    c, n = x - 0.8 * RUN_MEAN - 0.2 * x.mean(0), len(x)
    r = 1 / np.sqrt(0.8 * RUN_VAR + 0.2 * x.var(0) + EPS)
    part = 1 if bug == "moving statistics: the batch counts in full" else 0.2
    part = 0.8 if bug == "moving statistics: 0.8 and 0.2 exchanged" else part
    about = c if bug == "moving statistics: the variance about the mixed mean" else x - x.mean(0)
    return r * (dy - part * dy.mean(0)) - part * r**3 * about * (dy * c).sum(0) / n


# ---- of weights and styles -------------------------------------------------------------------------------


def weights(x, W):  # weight standardisation, each output's column
    return x @ standard(W, 0)[0]


def weights_grad(dy, x, W, bug=""):
    h, r = standard(W, 0)
    g, axes = x.T @ dy, (0, 1) if bug == "weight standardisation: means over the whole matrix" else 0
    mean, var = bug != "weight standardisation: mean is a constant", bug != "weight standardisation: no variance path"
    return dy @ h.T, standard_back(g, h, r, axes, mean, var)


def styled(x, s, W):  # modulate, then demodulate: (N, I), (N, I), (I, O)
    w = s[:, :, None] * W
    return np.einsum("ni,nio->no", x, w / np.sqrt((w * w).sum(1, keepdims=True) + EPS))


def styled_grad(dy, x, s, W, bug=""):
    w = s[:, :, None] * W
    r = 1 / np.sqrt((w * w).sum(1, keepdims=True) + EPS)
    g = x[:, :, None] * dy[:, None]
    axis = 2 if bug == "demodulation: the path's sum over outputs" else 1
    path = 0 if bug == "demodulation: the norm is a constant" else w * r**3 * (g * w).sum(axis, keepdims=True)
    dw = g * r - path
    ds = (dw * W).sum(2)
    if bug == "demodulation: ds without the norm's path":
        ds = (g * r * W).sum(2)
    dW = (dw * s[:, :, None]).sum(0)
    if bug == "demodulation: dW by one style for all":
        dW = dw.sum(0) * s[0][:, None]
    return np.einsum("no,nio->ni", dy, w * r), ds, dW


def adain(x, s):  # (N, C, L): x gets the statistics of s
    return standard(x, 2)[0] / standard(s, 2)[1] + s.mean(2, keepdims=True)


def adain_grad(dy, x, s, bug=""):
    (h, r), (k, q) = standard(x, 2), standard(s, 2)
    n = x.shape[2]
    of_mean, of_std = dy.sum(2, keepdims=True) / n, k * (dy * h).sum(2, keepdims=True) / n
    if bug == "AdaIN: the style's mean alone":
        of_std = 0
    if bug == "AdaIN: the style's deviation by its sum, not its mean":
        of_std = of_std * n
    scale = 1 if bug == "AdaIN: dx is not multiplied by the style's deviation" else 1 / q
    ds = np.zeros_like(s) + of_mean + of_std
    return standard_back(dy * scale, h, r, 2), 0 * s if bug == "AdaIN: the style is a constant" else ds


KIND = np.array([1, 0, 1, 1, 2])


def conditional(x, table):  # batch norm with a gain for each class
    return standard(x, 0)[0] * table[KIND]


def conditional_grad(dy, x, table, bug=""):
    h, r = standard(x, 0)
    dtable = np.zeros_like(table)
    if bug == "conditional norm: the last sample of a class wins":
        dtable[KIND] = dy * h
    elif bug == "conditional norm: dtable averaged over a class":
        np.add.at(dtable, KIND, dy * h)
        dtable /= np.bincount(KIND)[:, None]
    else:
        np.add.at(dtable, KIND, dy * h)
    d = dy * table[KIND]
    if bug == "conditional norm: the gain applied after the statistics":
        return table[KIND] * standard_back(dy, h, r, 0), dtable
    return standard_back(d, h, r, 0), dtable


def grouped(x, g):  # (N, 4, L), two groups, a gain for each channel
    return standard(x.reshape(len(x), 2, -1), 2)[0].reshape(x.shape) * g[:, None]


def grouped_grad(dy, x, g, bug=""):
    v = x.reshape(len(x), 2, -1)
    h, r = standard(v, 2)
    gain = g.reshape(2, 2).T.ravel() if bug == "group norm: gains by position in the group" else g
    d = (dy * gain[:, None]).reshape(v.shape)
    dx = standard_back(d, h, r, 2).reshape(x.shape)
    if bug == "group norm: each channel for itself":
        rr = np.repeat(r, 2, 1)
        dx = standard_back(dy * g[:, None], h.reshape(x.shape), rr, 2)
    dg = (dy * h.reshape(x.shape)).sum((0, 2))
    return dx, np.repeat(dg.reshape(2, 2).sum(1), 2) if bug == "group norm: gains summed over a group" else dg


# ---- of covariances, gated -------------------------------------------------------------------------------


def decorrelated(x):  # centred x times the inverse of its covariance
    c = x - x.mean(0)
    return c @ np.linalg.inv(c.T @ c / len(x) + 0.1 * np.eye(x.shape[1]))


def decorrelated_grad(dy, x, bug=""):
    c = x - x.mean(0)
    K = np.linalg.inv(c.T @ c / len(x) + 0.1 * np.eye(x.shape[1]))
    dC = -K @ (c.T @ dy) @ K
    uses = dC if bug == "whitening: one of two uses in the covariance" else dC + dC.T
    if bug == "whitening: the covariance is a constant":
        uses = 0 * dC
    d = dy @ K + c @ uses / len(x)
    return d if bug == "whitening: the mean is a constant" else d - d.mean(0)


def gated(x, z):  # RMS norm of x silu(z)
    return pixel(x * z / (1 + np.exp(-z)))


def gated_grad(dy, x, z, bug=""):
    s = 1 / (1 + np.exp(-z))
    d = pixel_grad(dy, x * z * s)
    slope = s if bug == "gated norm: SiLU's slope is the sigmoid" else s * (1 + z * (1 - s))
    return d * z * s, (dy if bug == "gated norm: dz past the norm" else d) * x * slope


# ---- right code that is hard to judge --------------------------------------------------------------------

FLAT = draw(4, 5) * 1e-6 + 3.0  # a deviation far below the square root of epsilon
SPECTRAL_U = draw(4)


def power_step(W):  # spectral norm by one step of the power method from a constant u
    v = W.T @ SPECTRAL_U
    v = v / np.sqrt((v * v).sum())
    return W / np.sqrt(((W @ v) ** 2).sum())


def power_step_grad(dy, W):
    t = W.T @ SPECTRAL_U
    size = np.sqrt((t * t).sum())
    v = t / size
    a = W @ v
    sigma = np.sqrt((a * a).sum())
    da = -(dy * W).sum() / sigma**2 * a / sigma
    dv = W.T @ da
    return dy / sigma + np.outer(da, v) + np.outer(SPECTRAL_U, (dv - v * (v @ dv)) / size)


def twice(dy, x):
    h, r = standard(x, 1)
    k, q = standard(h, 1)
    return standard_back(standard_back(dy, k, q, 1), h, r, 1)


RIGHT = [
    Right("layer norm of nearly constant rows", lambda x: standard(x, 1, 1e-5)[0],
        lambda dy, x: standard_back(dy, *standard(x, 1, 1e-5), 1), (FLAT,), ("x",)),
    Right("spectral norm, gradient through the power step", power_step, power_step_grad, (draw(4, 3),), ("W",)),
    Right("layer norm of a layer norm", lambda x: standard(standard(x, 1)[0], 1)[0], twice, (draw(4, 5),), ("x",)),
    Right("batch norm of two samples", lambda x: standard(x, 0)[0], lambda dy, x: standard_back(dy, *standard(x, 0),
        0), (draw(2, 4),), ("x",)),
]  # fmt: skip
PLANTED = [
    *family(pixel, pixel_grad, (draw(2, 4, 3),), "x",
        ("pixel norm: the inner product over positions", "wrong-axes"),
        ("pixel norm: the inner product's mean is a sum", "norm-path variance-path sum-path"),
        ("pixel norm: r for r squared in its path", "norm-path variance-path")),
    *family(neighbours, neighbours_grad, (draw(3, 5),), "x",
        ("response norm: the power is not lowered by 1", "branch norm-path constant"),
        ("response norm: no neighbours", "diagonal cross-terms branch"),
        ("response norm: neighbours' denominators taken for its own", "cross-terms transposed wrong-place"),
        ("response norm: the denominator is a constant", "detached norm-path variance-path", "taken for a const")),
    *family(response, response_grad, (draw(4, 6, 2), np.array([0.4, -0.7])), "x e",
        ("filter response: the square root's 1/2 in de", "scale"),
        ("filter response: the sign of a negative e", "abs sign index scale-per-axis argument-ignored")),
    *family(unit, unit_grad, (draw(4, 5), np.array(1.7)), "x g",
        ("scale norm: dg of x itself", "not-normalised pre-activation argument-ignored"),
        ("scale norm: the length squared in its path", "norm-path sum-path")),
    *family(share, share_grad, (draw(4, 5),), "x",
        ("L1 norm: the signs in its path", "sum-path norm-path abs mean-path"),
        ("L1 norm: no path", "detached norm-path sum-path", "taken for a const")),
    *family(ranged, ranged_grad, (draw(3, 5),), "x",
        ("min-max: both bounds are constants", "detached branch statistics"),
        ("min-max: the upper bound is a constant", "detached branch index")),
    *family(padded, padded_grad, (draw(3, 6), draw(6)), "x g",
        ("padded norm: means over the padded length", "mean-path variance-path constant statistics"),
        ("padded norm: padding gets a gradient", "mask-missing wrong-place")),
    *family(moving, moving_grad, (draw(5, 3),), "x",
        ("moving statistics: the batch counts in full", "statistics mean-path variance-path"),
        ("moving statistics: 0.8 and 0.2 exchanged", "statistics mean-path variance-path swapped-constants"),
        ("moving statistics: the variance about the mixed mean", "variance-path mean-path")),
    *family(weights, weights_grad, (draw(5, 4), draw(4, 3)), "x W",
        ("weight standardisation: means over the whole matrix", "wrong-axes"),
        ("weight standardisation: mean is a constant", "mean-path"),
        ("weight standardisation: no variance path", "variance-path norm-path")),
    *family(styled, styled_grad, (draw(3, 4), draw(3, 4), draw(4, 2)), "x s W",
        ("demodulation: the path's sum over outputs", "wrong-axes"),
        ("demodulation: the norm is a constant", "detached norm-path variance-path"),
        ("demodulation: ds without the norm's path", "detached norm-path variance-path sum-path"),
        ("demodulation: dW by one style for all", "first-sample index mixed argument-ignored")),
    *family(adain, adain_grad, (draw(2, 3, 4), draw(2, 3, 4)), "x s",
        ("AdaIN: the style's mean alone", "variance-path branch norm-path"),
        ("AdaIN: the style's deviation by its sum, not its mean", "variance-path branch norm-path"),
        ("AdaIN: dx is not multiplied by the style's deviation", "argument-ignored scale-per-axis",
            r"does not depend on s"),
        ("AdaIN: the style is a constant", "detached")),
    *family(conditional, conditional_grad, (draw(5, 3), draw(3, 3)), "x table",
        ("conditional norm: the last sample of a class wins", "overwritten"),
        ("conditional norm: dtable averaged over a class", "scale-per-axis index"),
        ("conditional norm: the gain applied after the statistics", "statistics mean-path variance-path wrong-place",
            "an order not undone")),
    *family(grouped, grouped_grad, (draw(2, 4, 3), draw(4)), "x g",
        ("group norm: gains by position in the group", "wrong-place index transposed exchanged"),
        ("group norm: each channel for itself", "wrong-axes statistics"),
        ("group norm: gains summed over a group", "over-summed mixed wrong-axes")),
    *family(decorrelated, decorrelated_grad, (draw(6, 3),), "x",
        ("whitening: one of two uses in the covariance", "uses branch transposed"),
        ("whitening: the covariance is a constant", "detached statistics variance-path"),
        ("whitening: the mean is a constant", "mean-path")),
    *family(gated, gated_grad, (draw(2, 4, 3), draw(2, 4, 3)), "x z",
        ("gated norm: SiLU's slope is the sigmoid", "derivative-wrong branch"),
        ("gated norm: dz past the norm", "branch argument-ignored detached norm-path derivative-missing statistics")),
]  # fmt: skip
