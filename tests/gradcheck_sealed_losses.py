"""A sealed bank: losses, most of them with their gradient and no dy."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7104)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda z: 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def one_hot(labels, K):
    return np.eye(K)[labels]


# ---- dice, focal, label smoothing ------------------------------------------------------------------------

masks = (rng.random((3, 6)) < 0.4) * 1.0


def dice(p, smooth=1.0):
    score = (2 * (p * masks).sum(1) + smooth) / (p.sum(1) + masks.sum(1) + smooth)
    return 1 - score.mean()


def dice_grad(p, smooth=1.0, bug=""):
    top = 2 * (p * masks).sum(1, keepdims=True) + smooth
    bottom = (p.sum(1) + masks.sum(1) + smooth)[:, None]
    if bug == "dice: denominator taken as constant":
        return (-2 * masks / bottom / len(p),)
    if bug == "dice: denominator not squared":
        return (-(2 * masks * bottom - top) / bottom / len(p),)
    return (-(2 * masks * bottom - top) / bottom**2 / len(p),)


binary = np.array([1.0, 0, 1, 0, 0, 1])


def focal(z, gamma=2.0):
    p = sigmoid((2 * binary - 1) * z)
    return -((1 - p) ** gamma * np.log(p)).mean()


def focal_grad(z, gamma=2.0, bug=""):
    side = 2 * binary - 1
    p = sigmoid(side * z)
    slope = (1 - p) ** gamma * (1 - p)
    if bug != "focal: weight (1 - p)^gamma taken as constant":
        power = gamma - 1 if bug == "focal: gamma (1 - p)^(gamma - 1) without the inner slope" else gamma
        inner = 1 if bug == "focal: gamma (1 - p)^(gamma - 1) without the inner slope" else p
        slope = slope - gamma * (1 - p) ** power * inner * np.log(p)
    return (-side * slope / len(z),)


def smoothed(z, labels, eps=0.2):
    K = z.shape[1]
    target = (1 - eps) * one_hot(labels, K) + eps / K
    return -(target * np.log(softmax(z))).sum(1).mean()


def smoothed_grad(z, labels, eps=0.2, bug=""):
    K, hot = z.shape[1], one_hot(labels, z.shape[1])
    target = (1 - eps) * hot + eps / K
    if bug == "label smoothing: eps / (K - 1) for the others":
        target = (1 - eps) * hot + eps / (K - 1) * (1 - hot)
    if bug == "label smoothing: forgotten in backward":
        target = hot
    return ((softmax(z) - target) / len(z),)


# ---- metric learning -------------------------------------------------------------------------------------


def triplet(a, p, n, margin=1.0):
    return np.maximum(0, ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + margin).mean()


def triplet_grads(a, p, n, margin=1.0, bug=""):
    active = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + margin > 0
    active = active[:, None] * 2.0 / len(a)
    da = active * (n - p)
    if bug == "triplet: anchor gets (p - n)":
        da = active * (p - n)
    dn = active * (a - n)
    if bug == "triplet: easy ones push the negative too":
        dn = (a - n) * 2.0 / len(a)
    return da, active * (p - a), dn


def nt_xent(z, tau=0.5):  # rows 2i and 2i + 1 are two views of one picture
    s = z @ z.T / tau
    s = s - 1e9 * np.eye(len(z))
    at = np.arange(len(z))
    return -np.log(softmax(s))[at, at ^ 1].mean()


def nt_xent_grad(z, tau=0.5, bug=""):
    s = z @ z.T / tau - 1e9 * np.eye(len(z))
    at = np.arange(len(z))
    ds = softmax(s)
    ds[at, at ^ 1] -= 1
    ds /= len(z)
    if bug == "NT-Xent: temperature left out":
        return ((ds + ds.T) @ z,)
    if bug == "NT-Xent: z as a query, not as a key":
        return (ds @ z / tau,)
    return ((ds + ds.T) @ z / tau,)


def kernel(x, y, s=1.0):
    return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / (2 * s * s))


def mmd(x, y):
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def mmd_grads(x, y, bug=""):
    def pull(a, b):  # the gradient of kernel(a, b).mean() by its first argument
        return (kernel(a, b)[:, :, None] * (b[None] - a[:, None])).sum(1) / (len(a) * len(b))

    dx = (1 if bug == "MMD: k(x, x) differentiated once" else 2) * pull(x, x) - 2 * pull(x, y)
    dy = 2 * pull(y, y) - 2 * pull(y, x)
    if bug == "MMD: dy without the cross term":
        dy = 2 * pull(y, y)
    return dx, dy


# ---- regression ------------------------------------------------------------------------------------------

wanted, frames = draw(4, 3), np.array([[1.0, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]])


def huber(y, delta=0.5):
    r = y - wanted
    return np.where(np.abs(r) <= delta, r * r / 2, delta * (np.abs(r) - delta / 2)).sum()


def huber_grad(y, delta=0.5, bug=""):
    r = y - wanted
    return (np.where(np.abs(r) <= delta, r, np.sign(r) * (1 if bug else delta)),)


def log_cosh(y):
    return np.log(np.cosh(y - wanted)).sum()


def log_cosh_grad(y, bug=""):
    t = np.tanh(y - wanted)
    return (1 - t**2 if bug else t,)


def masked(y):
    return (frames * (y - wanted) ** 2).sum() / frames.sum()


def masked_grad(y, bug=""):
    if bug == "masked error: mean over all frames":
        return (2 * frames * (y - wanted) / y.size,)
    if bug == "masked error: padding has a gradient":
        return (2 * (y - wanted) / frames.sum(),)
    return (2 * frames * (y - wanted) / frames.sum(),)


def total_variation(x):  # squared differences of neighbours
    return ((x[1:] - x[:-1]) ** 2).sum() + ((x[:, 1:] - x[:, :-1]) ** 2).sum()


def total_variation_grad(x, bug=""):
    d = np.zeros_like(x)
    down, right = 2 * (x[1:] - x[:-1]), 2 * (x[:, 1:] - x[:, :-1])
    d[1:] += down
    d[:-1] -= down
    d[:, 1:] += right
    if not bug:
        d[:, :-1] -= right
    return (d,)


# ---- likelihoods -----------------------------------------------------------------------------------------

weights = np.array([0.5, 1.0, 3.0])


def weighted(z, labels):
    w = weights[labels]
    return -(w * np.log(softmax(z))[np.arange(len(z)), labels]).sum() / w.sum()


def weighted_grad(z, labels, bug=""):
    w, d = weights[labels][:, None], softmax(z) - one_hot(labels, 3)
    if bug == "weighted cross-entropy: divided by N":
        return (w * d / len(z),)
    if bug == "weighted cross-entropy: weight of the column":
        return (weights * d / w.sum(),)
    return (w * d / w.sum(),)


def divergence(mu, logvar):  # of a VAE, per sample
    return -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum(1)


def divergence_grads(dy, mu, logvar, bug=""):
    d = dy[:, None]
    if bug:
        return d * mu, d * 0.5 * np.exp(logvar)
    return d * mu, d * 0.5 * (np.exp(logvar) - 1)


def gaussian(x, mu, logsigma):
    return (0.5 * ((x - mu) / np.exp(logsigma)) ** 2 + logsigma).sum()


def gaussian_grads(x, mu, logsigma, bug=""):
    z = (x - mu) / np.exp(logsigma)
    dx = z if bug == "Gaussian: not divided by sigma again" else z / np.exp(logsigma)
    dmu = -(z / np.exp(logsigma)).sum(0)
    if bug == "Gaussian: squared term of logsigma dropped":
        return dx, dmu, np.full_like(logsigma, len(x))
    return dx, dmu, (1 - z**2).sum(0)


def class_error(z, labels):  # squared error of probabilities
    return ((softmax(z) - one_hot(labels, z.shape[1])) ** 2).sum() / len(z)


def class_error_grad(z, labels, bug=""):
    p = softmax(z)
    d = 2 * (p - one_hot(labels, z.shape[1])) / len(z)
    if bug:
        return (d * p * (1 - p),)
    return (p * (d - (d * p).sum(1, keepdims=True)),)


def centres_loss(x, C, labels):
    return 0.5 * ((x - C[labels]) ** 2).sum(1)


def centres_grads(dy, x, C, labels, bug=""):
    d = dy[:, None] * (x - C[labels])
    dC = np.zeros_like(C)
    if bug:
        dC[labels] -= d
    else:
        np.subtract.at(dC, labels, d)
    return d, dC


def bayesian_ranking(u, good, bad):
    return -np.log(sigmoid((u * (good - bad)).sum(1))).mean()


def bayesian_ranking_grads(u, good, bad, bug=""):
    x = (u * (good - bad)).sum(1, keepdims=True)
    s = -(sigmoid(x) if bug else sigmoid(-x)) / len(u)
    return s * (good - bad), s * u, -s * u


labels = np.array([0, 2, 1, 2, 2])
PLANTED = [
    *family(
        dice, dice_grad, (rng.uniform(0.05, 0.95, (3, 6)),), "p",
        ("dice: denominator taken as constant", "detached norm-path"),
        ("dice: denominator not squared", "square scale-per-axis factor"), loss=True,
    ),
    *family(
        focal, focal_grad, (draw(6),), "z",
        ("focal: weight (1 - p)^gamma taken as constant", "detached"),
        ("focal: gamma (1 - p)^(gamma - 1) without the inner slope", "derivative-missing derivative-wrong"), loss=True,
    ),
    *family(
        smoothed, smoothed_grad, (draw(5, 4), np.array([0, 3, 1, 2, 2])), "z labels",
        ("label smoothing: eps / (K - 1) for the others", "constant swapped-constants", r"smooth|two values|constant"),
        ("label smoothing: forgotten in backward", "constant swapped-constants",
              r"smooth|two values|target"), loss=True,
    ),
    *family(
        triplet, triplet_grads, (draw(5, 3), draw(5, 3), draw(5, 3)), "a p n",
        ("triplet: anchor gets (p - n)", "sign"),
        ("triplet: easy ones push the negative too", "mask-missing margin"), loss=True,
    ),
    *family(
        nt_xent, nt_xent_grad, (draw(6, 3) / 2,), "z",
        ("NT-Xent: temperature left out", "scale"),
        ("NT-Xent: z as a query, not as a key", "uses branch"), loss=True,
    ),
    *family(
        mmd, mmd_grads, (draw(4, 2), draw(5, 2) + 0.5), "x y",
        ("MMD: k(x, x) differentiated once", "uses branch"),
        ("MMD: dy without the cross term", "branch argument-ignored", r"y does not depend on x"), loss=True,
    ),
    *family(huber, huber_grad, (2 * draw(4, 3),), "y",
            ("Huber: 1 for delta outside", "constant derivative-wrong side"), loss=True),
    *family(log_cosh, log_cosh_grad, (draw(4, 3),), "y",
            ("log cosh: the slope of tanh", "derivative-wrong derivative-twice"), loss=True),
    *family(
        masked, masked_grad, (draw(4, 3),), "y",
        ("masked error: mean over all frames", "scale"),
        ("masked error: padding has a gradient", "mask-missing", r"does not depend on"), loss=True,
    ),
    *family(total_variation, total_variation_grad, (draw(4, 5),), "x",
            ("total variation: one end of the horizontal differences", "uses branch border"), loss=True),
    *family(
        weighted, weighted_grad, (draw(5, 3), labels), "z labels",
        ("weighted cross-entropy: divided by N", "scale"),
        ("weighted cross-entropy: weight of the column", "scale-per-axis wrong-axes constant"), loss=True,
    ),
    *family(divergence, divergence_grads, (draw(4, 3), draw(4, 3)), "mu logvar",
            ("VAE: 1 + logvar differentiated as 1", "branch constant uses")),
    *family(
        gaussian, gaussian_grads, (draw(5, 3), draw(3), draw(3) / 2), "x mu logsigma",
        ("Gaussian: not divided by sigma again", "scale-per-axis factor square"),
        ("Gaussian: squared term of logsigma dropped", "branch argument-ignored detached",
              r"does not depend on (x|mu)"),
        loss=True,
    ),
    *family(class_error, class_error_grad, (draw(5, 3), labels), "z labels",
            ("squared error of softmax: p (1 - p)", "diagonal cross-terms sum-path"), loss=True),
    *family(centres_loss, centres_grads, (draw(5, 2), draw(3, 2), labels), "x C labels",
            ("centre loss: fancy indices with -=", "overwritten")),
    *family(bayesian_ranking, bayesian_ranking_grads, (draw(5, 3), draw(5, 3), draw(5, 3)), "u good bad",
            ("BPR: sigmoid(x) for sigmoid(-x)", "side derivative-wrong sign", r"sigmoid"), loss=True),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def stable_bce(z):
    return (np.maximum(z, 0) - z * binary + np.log1p(np.exp(-np.abs(z)))).mean()


def crossing(z, labels):
    z = z - z.max(1, keepdims=True)
    return (np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]).mean()


def crossing_grad(z, labels):
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[range(len(z)), labels] -= 1
    return (p / len(z),)


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
at_edges = np.array([0.0, 1e-9, 5.0, -5.0, 40.0, -40.0])
RIGHT = [
    Right("stable BCE, at 0 and saturated", stable_bce, lambda z: ((sigmoid(z) - binary) / z.size,),
          (at_edges,), ("z",), loss=True),
    Right("cross-entropy in place", crossing, crossing_grad, (draw(5, 3), labels), ("z", "labels"), loss=True),
    Right("cross-entropy in place, float32", crossing, crossing_grad, (*single(draw(5, 3)), labels),
          ("z", "labels"), loss=True),
    Right("cross-entropy, a sure one", crossing, crossing_grad, (25 * one_hot(labels, 3) + draw(5, 3), labels),
          ("z", "labels"), loss=True),
    Right("Huber at its bounds", huber, lambda y: huber_grad(y), (wanted + np.tile([0.5, -0.5, 2.0], (4, 1)),),
          ("y",), loss=True),
    Right("L1 of equal and different entries", lambda y: np.abs(y - wanted).sum(), lambda y: (np.sign(y - wanted),),
          (wanted + np.tile([0.0, 1.0, -1.0], (4, 1)),), ("y",), loss=True),
    Right("squared error with a dy", lambda y: ((y - wanted) ** 2).mean(),
          lambda dy, y: (dy * 2 * (y - wanted) / y.size,),
          (draw(4, 3),), ("y",)),
    Right("a loss of 1e6 and more", lambda y: 1e6 + (y**2).sum(), lambda y: (2 * y,), (draw(4, 3),), ("y",), loss=True),
    Right("triplet of which none is active but one", triplet, lambda a, p, n: triplet_grads(a, p, n),
          (np.zeros((3, 2)) + 0.1, np.array([[0.1, 0.2], [0.0, 0.3], [3.0, 1.0]]), np.array([[5.0, 1], [0, 9], [1,
                1]])),
          ("a", "p", "n"), loss=True),
    Right("KL of distributions", lambda p, q: (p * np.log(p / q)).sum(), lambda p, q: (np.log(p / q) + 1, -p / q),
          (softmax(draw(3, 4)), softmax(draw(3, 4))), ("p", "q"), loss=True),
    Right("log-likelihood in float32 inside", lambda y: np.float32(0.5) * (np.asarray(y, np.float32) ** 2).sum(),
          lambda y: (y,), single(draw(4, 3)), ("y",), loss=True),
]  # fmt: skip
