"""Planted bugs of losses: focal, dice, smoothed labels, KL, triplets, contrasts, quantiles, critics, paths."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(161)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))
SIDE = np.array([1.0, -1, 1, 1, -1, -1])
MASK = np.array([[1.0, 0, 0, 1, 1], [0, 1, 0, 0, 1], [1, 1, 1, 0, 0]])


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# ---- of one score per sample or pixel --------------------------------------------------------------------


def focal(x):
    p = sigmoid(SIDE * x)
    return (-((1 - p) ** 2) * np.log(p)).mean()


def focal_grad(x, bug=""):
    p = sigmoid(SIDE * x)
    outer = 0 if bug == "focal: the modulating factor taken for a constant" else 2 * (1 - p) * np.log(p)
    dp = outer - (1 - p) ** 2 / p
    if bug == "focal: only the modulating factor's derivative":
        dp = outer
    side = 1 if bug == "focal: the sign of the class lost in p's slope" else SIDE
    return (dp * side * p * (1 - p) / len(x),)


def dice(x):  # soft dice over each picture, smoothed by 1, averaged
    p = sigmoid(x)
    return (1 - (2 * (p * MASK).sum(1) + 1) / (p.sum(1) + MASK.sum(1) + 1)).mean()


def dice_grad(dy, x, bug=""):
    p = sigmoid(x)
    top, bottom = (2 * (p * MASK).sum(1) + 1)[:, None], (p.sum(1) + MASK.sum(1) + 1)[:, None]
    path = 0 if bug == "dice: the denominator taken for a constant" else top / bottom**2
    if bug == "dice: the smoothing is 0 in the gradient":
        path = (top - 1) / (bottom - 1) ** 2
    if bug == "dice: sums over the whole batch":
        path = top.sum() / bottom.sum() ** 2
    two = 1 if bug == "dice: the numerator's 2" else 2
    return (-dy * (two * MASK / bottom - path) * p * (1 - p) / len(x),)


def huber(x, t, delta):
    r = np.abs(x - t)
    return np.where(r < delta, 0.5 * r * r, delta * (r - 0.5 * delta)).sum()


def huber_grad(x, t, delta, bug=""):
    r = x - t
    far = np.sign(r) if bug == "Huber: the linear side's slope is 1, not delta" else delta * np.sign(r)
    g = np.where(np.abs(r) < delta, r, far)
    ddelta = np.where(np.abs(r) < delta, 0, np.abs(r) - (0 if bug == "Huber: ddelta of a product alone" else delta))
    return g, -g, ddelta.sum()


LEVELS = np.array([0.1, 0.5, 0.9])


def pinball(x, t):
    r = t[:, None] - x
    return np.maximum(LEVELS * r, (LEVELS - 1) * r).mean()


def pinball_grad(x, t, bug=""):
    r = t[:, None] - x
    over, under = (LEVELS, LEVELS - 1) if bug != "quantiles: q and 1 - q exchanged" else (1 - LEVELS, -LEVELS)
    g = np.where(r > 0, over, under) / x.size
    dt = g.mean(1) if bug == "quantiles: dt averaged over the levels" else g.sum(1)
    return -g, dt


def gaussian(mu, s, t):  # s is the logarithm of the variance
    return (0.5 * s + 0.5 * (t - mu) ** 2 * np.exp(-s)).mean()


def gaussian_grad(mu, s, t, bug=""):
    power = np.exp(s) if bug == "Gaussian likelihood: times the variance" else np.exp(-s)
    r, one = t - mu, 0 if bug == "Gaussian likelihood: the logarithm's part dropped" else 1
    ds = 0.5 * one - 0.5 * r**2 * np.exp(-s)
    if bug == "Gaussian likelihood: s taken for the standard deviation's logarithm":
        ds = 1 - r**2 * np.exp(-s)
    return -r * power / mu.size, ds / mu.size, r * np.exp(-s) / mu.size


# ---- of classes ------------------------------------------------------------------------------------------


CLASSES = np.array([0, 2, 1, 3, 3])
HOT = np.eye(4)[CLASSES]


def smoothed(x):
    targets = 0.8 * HOT + 0.2 / 4
    return -(targets * np.log(softmax(x))).sum() / len(x)


def smoothed_grad(x, bug=""):
    rest = 0.2 / 4
    if bug == "label smoothing: spread over K - 1 classes":
        targets = np.where(HOT > 0, 0.8, 0.2 / 3)
    elif bug == "label smoothing: hard labels in the gradient":
        targets = HOT
    elif bug == "label smoothing: the true class gets no share":
        targets = np.where(HOT > 0, 0.8, rest)
    else:
        targets = 0.8 * HOT + rest
    return (softmax(x) - targets) / len(x)


def tempered(x, T):
    return -(HOT * np.log(softmax(x / T))).sum() / len(x)


def tempered_grad(dy, x, T, bug=""):
    g = dy * (softmax(x / T) - HOT) / len(x)
    if bug == "temperature: forgotten inside the softmax":
        g = dy * (softmax(x) - HOT) / len(x)
    dT = -(g * x).sum() / (T if bug == "temperature: dT by T, not its square" else T * T)
    return g if bug == "temperature: dx not divided by it" else g / T, dT


def divergence(a, b):
    p, q = softmax(a), softmax(b)
    return (p * (np.log(p) - np.log(q))).sum(1).mean()


def divergence_grad(dy, a, b, bug=""):
    p, q = softmax(a), softmax(b)
    ratio = np.log(p) - np.log(q)
    centre = (p * ratio).sum(1, keepdims=True)
    if bug == "KL of logits: the softmax's sum dropped":
        centre = 0
    if bug == "KL of logits: the sum over samples":
        centre = (p * ratio).sum(0, keepdims=True)
    db = p - q if bug == "KL of logits: sign of the student" else q - p
    return dy * p * (ratio - centre) / len(a), dy * db / len(a)


def crammer(x):  # the best wrong class alone, squared
    own = x[np.arange(5), CLASSES]
    worst = np.where(HOT > 0, -np.inf, x).max(1)
    return (np.maximum(0, 1 + worst - own) ** 2).sum()


def crammer_grad(x, bug=""):
    own = x[np.arange(5), CLASSES][:, None]
    others = np.where(HOT > 0, -np.inf, x)
    gap = np.maximum(0, 1 + others.max(1, keepdims=True) - own)
    g = 2 * gap * (others == others.max(1, keepdims=True))
    if bug == "Crammer-Singer: all that violate the margin":
        g = 2 * np.maximum(0, 1 + others - own)
        return g - HOT * g.sum(1, keepdims=True)
    return g - HOT * (0 if bug == "Crammer-Singer: the true class gets nothing" else 2 * gap)


def weighted(x, w):  # cross-entropy, normalised by the sum of weights
    each = -np.log(softmax(x))[np.arange(5), CLASSES]
    return (w * each).sum() / w.sum()


def weighted_grad(x, w, bug=""):
    each = -np.log(softmax(x))[np.arange(5), CLASSES]
    share = w / (len(x) if bug == "weighted samples: divided by their number" else w.sum())
    if bug == "weighted samples: dx unweighted":
        share = np.full(5, 1 / 5)
    dw = each - (0 if bug == "weighted samples: dw without the mean" else (w * each).sum() / w.sum())
    return (softmax(x) - HOT) * share[:, None], dw / w.sum()


# ---- of pairs --------------------------------------------------------------------------------------------


def triplet(a, p, n):
    far = lambda u: np.sqrt((u**2).sum(1))
    return np.maximum(0, far(a - p) - far(a - n) + 0.5).mean()


def triplet_grad(a, p, n, bug=""):
    far = lambda u: np.sqrt((u**2).sum(1, keepdims=True))
    on = (far(a - p) - far(a - n) + 0.5 > 0) / len(a)
    if bug == "triplet: pairs beyond the margin, too":
        on = np.full((len(a), 1), 1 / len(a))
    dp, dn = on * (a - p) / far(a - p), on * (a - n) / far(a - n)
    if bug == "triplet: not divided by the distance":
        dp = on * (a - p)
    return dp - (0 if bug == "triplet: the anchor is pulled, not pushed" else dn), -dp, dn


def contrast(z, v, T):  # both directions of InfoNCE
    s = z @ v.T / T
    both = np.log(softmax(s, 1)) + np.log(softmax(s, 0))
    return -0.5 * np.trace(both) / len(z)


def contrast_grad(dy, z, v, T, bug=""):
    s, n = z @ v.T / T, len(z)
    ds = 0.5 * (softmax(s, 1) + softmax(s, 0)) - np.eye(n)
    if bug == "InfoNCE: one direction":
        ds = 0.5 * (softmax(s, 1) - np.eye(n))
    if bug == "InfoNCE: both softmaxes over rows":
        ds = softmax(s, 1) - np.eye(n)
    ds = dy * ds / n
    dv = ds @ z / T if bug == "InfoNCE: dv with the scores not transposed" else ds.T @ z / T
    return ds @ v / T, dv, -(ds * (s if bug == "InfoNCE: dT by scores that were divided" else s / T)).sum()


def twins(a, b):  # Barlow twins, with a weight of 0.1 off the diagonal
    c = a.T @ b / len(a)
    return (np.where(np.eye(3) > 0, (1 - c) ** 2, 0.1 * c * c)).sum()


def twins_grad(a, b, bug=""):
    c, n = a.T @ b / len(a), len(a)
    on, off = -2 * (1 - c), 2 * 0.1 * c
    if bug == "Barlow twins: the weight on the diagonal, too":
        on = 0.1 * on
    if bug == "Barlow twins: no weight off the diagonal":
        off = 2 * c
    dc = np.where(np.eye(3) > 0, on, off) / n
    return b @ dc.T, a @ (dc.T if bug == "Barlow twins: db as da" else dc)


# ---- of critics, of paths --------------------------------------------------------------------------------


def critic(real, fake, w):
    score = lambda x: np.tanh(x) @ w
    return score(fake).mean() - score(real).mean() + 0.01 * (score(real) ** 2).mean()


def critic_grad(real, fake, w, bug=""):
    r, f = np.tanh(real), np.tanh(fake)
    n = len(real) if bug == "critic: both means by the number of real ones" else len(fake)
    drift = 0 if bug == "critic: the drift term lacks its gradient by real" else 0.02 * (r @ w)
    ds = ((-1 + drift) / len(real) * np.ones(len(real)))[:, None]
    whole = ((-1 + 0.02 * (r @ w)) / len(real))[:, None]
    dw = (r * whole).sum(0) + f.sum(0) / n
    if bug == "critic: w sees the fake ones alone":
        dw = f.sum(0) / n
    return ds * w * (1 - r * r), w * (1 - f * f) / n, dw


def chain(E, A):  # log of the sum over all paths: a CRF's partition, what CTC sums
    a = E[0]
    for t in range(1, len(E)):
        a = E[t] + np.log(np.exp(a[:, None] + A).sum(0))
    return np.log(np.exp(a).sum())


def chain_grad(E, A, bug=""):
    a, steps = [E[0]], len(E)
    for t in range(1, steps):
        a.append(E[t] + np.log(np.exp(a[-1][:, None] + A).sum(0)))
    g = softmax(a[-1])
    dE, dA = np.zeros_like(E), np.zeros_like(A)
    for t in range(steps - 1, 0, -1):
        dE[t] = g
        share = softmax(a[t - 1][:, None] + A, 0) * g
        dA = share if bug == "sum over paths: transitions of one step" else dA + share
        g = share.sum(1)
        if bug == "sum over paths: no backward messages":
            g = softmax(a[t - 1])
    dE[0] = g
    return dE, dA


# ---- right code that is hard to judge --------------------------------------------------------------------


def stable(x):  # binary cross-entropy on scores of 40
    return (np.maximum(x, 0) - x * (SIDE > 0) + np.log1p(np.exp(-np.abs(x)))).mean()


def ignored(x):  # one sample is padding
    return -(HOT * np.log(softmax(x)))[:4].sum() / 4


RIGHT = [
    Right("cross-entropy on large scores", stable, lambda x: ((sigmoid(x) - (SIDE > 0)) / 6,),
        (np.array([40.0, -30, 3, -0.2, 12, -45]),), ("x",), loss=True),
    Right("a sample that is padding", ignored, lambda x: (softmax(x) - HOT) * (np.arange(5) < 4)[:, None] / 4,
        (draw(5, 4),), ("x",), loss=True),
    Right("a loss near its minimum", lambda x, t: ((x - t) ** 2).sum(), lambda x, t: (2 * (x - t), 2 * (t - x)),
        (np.full(4, 0.3), np.full(4, 0.3) + 1e-6 * draw(4)), ("x", "t"), loss=True),
    Right("an offset of 1e5", lambda x: 1e5 + np.log(np.cosh(x)).sum(), lambda x: np.tanh(x), (draw(3, 2),), ("x",),
        loss=True),
    Right("loss times dy", lambda x: np.array([[(x**3).sum()]]), lambda dy, x: (3 * x**2 * dy,), (draw(3, 2),), ("x",)),
]  # fmt: skip
PLANTED = [
    *family(focal, focal_grad, (draw(6),), "x",
        ("focal: the modulating factor taken for a constant", "detached branch"),
        ("focal: only the modulating factor's derivative", "branch detached"),
        ("focal: the sign of the class lost in p's slope", "sign scale-per-axis target-flipped side"), loss=True),
    *family(dice, dice_grad, (draw(3, 5),), "x",
        ("dice: the denominator taken for a constant", "detached branch sum-path mean-path norm-path"),
        ("dice: the smoothing is 0 in the gradient", "epsilon constant swapped-constants"),
        ("dice: sums over the whole batch", "wrong-axes statistics mixed"),
        ("dice: the numerator's 2", "constant branch")),
    *family(huber, huber_grad, (2 * draw(5), draw(5), np.array(0.8)), "x t delta",
        ("Huber: the linear side's slope is 1, not delta", "argument-ignored side", r"does not depend on delta"),
        ("Huber: ddelta of a product alone", "branch argument-ignored", r"does not depend on delta"), loss=True),
    *family(pinball, pinball_grad, (draw(4, 3), draw(4)), "x t",
        ("quantiles: q and 1 - q exchanged", "side swapped-constants flipped constant exchanged"),
        ("quantiles: dt averaged over the levels", "scale"), loss=True),
    *family(gaussian, gaussian_grad, (draw(3, 2), draw(3, 2), draw(3, 2)), "mu s t",
        ("Gaussian likelihood: times the variance", "inverted sign derivative-wrong"),
        ("Gaussian likelihood: the logarithm's part dropped", "branch", r"lacks a (term|constant)"),
        ("Gaussian likelihood: s taken for the standard deviation's logarithm", "scale"), loss=True),
    *family(smoothed, smoothed_grad, (draw(5, 4),), "x",
        ("label smoothing: spread over K - 1 classes", "constant"),
        ("label smoothing: hard labels in the gradient", "constant branch"),
        ("label smoothing: the true class gets no share", "constant"), loss=True),
    *family(tempered, tempered_grad, (draw(5, 4), np.array(2.5)), "x T",
        ("temperature: forgotten inside the softmax", "argument-ignored", r"does not depend on T"),
        ("temperature: dT by T, not its square", "scale argument-ignored", r"for T (= |of )1"),
        ("temperature: dx not divided by it", "scale argument-ignored", r"for T (= |of )1")),
    *family(divergence, divergence_grad, (draw(4, 3), draw(4, 3)), "a b",
        ("KL of logits: the softmax's sum dropped", "sum-path mean-path diagonal detached branch"),
        ("KL of logits: the sum over samples", "wrong-axes"),
        ("KL of logits: sign of the student", "sign")),
    *family(crammer, crammer_grad, (draw(5, 4),), "x",
        ("Crammer-Singer: all that violate the margin", "mask-missing wrong-place"),
        ("Crammer-Singer: the true class gets nothing", "branch detached index wrong-place"), loss=True),
    *family(weighted, weighted_grad, (draw(5, 4), rng.uniform(0.5, 2, 5)), "x w",
        ("weighted samples: divided by their number", "scale argument-ignored"),
        ("weighted samples: dx unweighted", "argument-ignored scale-per-axis", r"does not depend on w"),
        ("weighted samples: dw without the mean", "detached mean-path branch sum-path"), loss=True),
    *family(triplet, triplet_grad, (draw(6, 3), draw(6, 3), 2 * draw(6, 3)), "a p n",
        ("triplet: pairs beyond the margin, too", "mask-missing"),
        ("triplet: not divided by the distance", "scale-per-axis norm-path"),
        ("triplet: the anchor is pulled, not pushed", "branch argument-ignored", r"does not depend on n"), loss=True),
    *family(contrast, contrast_grad, (draw(4, 3), draw(4, 3), np.array(0.7)), "z v T",
        ("InfoNCE: one direction", "branch uses"),
        ("InfoNCE: both softmaxes over rows", "wrong-axes transposed"),
        ("InfoNCE: dv with the scores not transposed", "transposed"),
        ("InfoNCE: dT by scores that were divided", "scale argument-ignored", r"for T (= |of )1")),
    *family(twins, twins_grad, (draw(6, 3), draw(6, 3)), "a b",
        ("Barlow twins: the weight on the diagonal, too", "constant diagonal"),
        ("Barlow twins: no weight off the diagonal", "constant diagonal cross-terms"),
        ("Barlow twins: db as da", "transposed"), loss=True),
    *family(critic, critic_grad, (draw(4, 3), draw(6, 3), draw(3)), "real fake w",
        ("critic: both means by the number of real ones", "scale branch"),
        ("critic: the drift term lacks its gradient by real", "branch"),
        ("critic: w sees the fake ones alone", "branch argument-ignored", r"does not depend on real"), loss=True),
    *family(chain, chain_grad, (draw(5, 3), draw(3, 3)), "E A",
        ("sum over paths: transitions of one step", "steps overwritten first-sample uses"),
        ("sum over paths: no backward messages", "steps detached argument-ignored branch", r"does not depend on E"),
        loss=True),
]  # fmt: skip
