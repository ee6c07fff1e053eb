"""More bugs that the rules were not written for, in code as course assignments have it: one `bug` per function call.

Channels first, loops, caches in local variables. A case is (name, forward, backward, args, names, kinds), as in
`gradcheck_held_out.py`, which runs these, too.
"""

import functools

import numpy as np

rng = np.random.default_rng(77)
draw = lambda *shape: rng.standard_normal(shape)


def affine_forward(x, w, b):
    return x.reshape(x.shape[0], -1).dot(w) + b


def affine_backward(dout, x, w, b, bug=""):
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = dout.sum(0)
    if bug == "mean":
        dw, db = dw / x.shape[0], db / x.shape[0]
    if bug == "reshape":
        dx = dout.dot(w.T).reshape(x.shape[0], x.shape[2], x.shape[1]).transpose(0, 2, 1)
    if bug == "sum over features":
        db = dout.sum(1)
    if bug == "x and w exchanged":
        dx, dw = dw.reshape(dx.shape) if dw.size == dx.size else dw, dx
    if bug == "keepdims":
        db = dout.sum(0, keepdims=True)
    if bug == "minus":
        dx = -dx
    return dx, dw, db


def conv_forward(x, w, b, stride=1, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho, Wo = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo), np.result_type(x, w, b))
    for i in range(Ho):
        for j in range(Wo):
            patch = xp[:, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
            out[:, :, i, j] = np.tensordot(patch, w, ((1, 2, 3), (1, 2, 3))) + b
    return out


def conv_backward(dout, x, w, b, stride=1, pad=1, bug=""):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    left = pad if bug != "padding" else pad + 1
    xp = np.pad(x, ((0, 0), (0, 0), (left, 2 * pad - left + 1), (left, 2 * pad - left + 1)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    _, _, Ho, Wo = dout.shape
    if bug == "tail":
        Ho, Wo = Ho - 1, Wo - 1
    kernel = w[:, :, ::-1, ::-1] if bug == "flip" else w
    for i in range(Ho):
        for j in range(Wo):
            rows, columns = slice(i * stride, i * stride + HH), slice(j * stride, j * stride + WW)
            dw += np.tensordot(dout[:, :, i, j], xp[:, :, rows, columns], ((0,), (0,)))
            if bug == "overwrite":
                dxp[:, :, rows, columns] = np.tensordot(dout[:, :, i, j], kernel, ((1,), (0,)))
            else:
                dxp[:, :, rows, columns] += np.tensordot(dout[:, :, i, j], kernel, ((1,), (0,)))
    dx = dxp[:, :, pad : pad + H, pad : pad + W]
    if bug == "crop":
        dx = dxp[:, :, pad - 1 : pad - 1 + H, pad - 1 : pad - 1 + W]
    db = dout.sum((0, 2, 3)) if bug != "bias" else dout.sum((2, 3))[0]
    if bug == "bias mean":
        db = dout.mean((0, 2, 3))
    return dx, dw, db


def deconv_forward(x, w, stride=2):  # (N, C, H, W), (C, F, k, k)
    N, C, H, W = x.shape
    k = w.shape[2]
    y = np.zeros((N, w.shape[1], stride * (H - 1) + k, stride * (W - 1) + k), np.result_type(x, w))
    for i in range(H):
        for j in range(W):
            y[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += np.tensordot(x[:, :, i, j], w, 1)
    return y


def deconv_backward(dy, x, w, stride=2, bug=""):
    dx, dw, k = np.zeros_like(x), np.zeros_like(w), w.shape[2]
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            g = dy[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            dx[:, :, i, j] = np.tensordot(g, w[:, :, ::-1, ::-1] if bug == "flip" else w, ((1, 2, 3), (1, 2, 3)))
            dw += np.tensordot(x[:, :, i, j], g, ((0,), (0,)))
    if bug == "batch mean":
        dw /= len(x)
    return (-dx if bug == "sign" else dx), dw


def bn_forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(0)
    return gamma * (x - mu) / np.sqrt(((x - mu) ** 2).mean(0) + eps) + beta


def bn_backward(dout, x, gamma, beta, bug=""):
    N, eps = x.shape[0], 1e-5
    mu = x.mean(0)
    var = ((x - mu) ** 2).mean(0) + (0.9 if bug == "momentum" else eps)
    std = np.sqrt(var)
    xhat = (x - mu) / std
    dgamma, dbeta = (dout * xhat).sum(0), dout.sum(0)
    dxhat = dout if bug == "gamma" else dout * gamma
    dvar = (dxhat * (x - mu) * -0.5 * var**-1.5).sum(0)
    dmu = -(dxhat / std).sum(0)
    if bug == "dvar":
        dvar = 0
    if bug == "dmu":
        dmu = 0
    if bug == "N":
        dmu = dmu * N
    if bug == "unbiased":
        dvar = dvar * N / (N - 1)
    if bug == "2":
        dvar = dvar / 2
    dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu / N
    if bug == "exchanged":
        dgamma, dbeta = dbeta, dgamma
    if bug == "dgamma":
        dgamma = (dout * x).sum(0)
    return dx, dgamma, dbeta


def ln_forward(x, gamma, beta):
    mu = x.mean(1, keepdims=True)
    return gamma * (x - mu) / np.sqrt(((x - mu) ** 2).mean(1, keepdims=True) + 1e-5) + beta


def ln_backward(dout, x, gamma, beta, bug=""):
    D = x.shape[1]
    mu = x.mean(1, keepdims=True)
    std = np.sqrt(((x - mu) ** 2).mean(1, keepdims=True) + 1e-5)
    h, d = (x - mu) / std, dout * gamma
    axis = 0 if bug == "axis" else 1
    first, second = d.sum(axis, keepdims=True), h * (d * h).sum(axis, keepdims=True)
    if bug == "mean":
        first = 0
    if bug == "variance":
        second = 0
    dx = (D * d - first - second) / (D * std)
    if bug == "D":
        dx = dx * D
    return dx, (dout * h).sum(0), dout.sum(0)


def in_forward(x):  # instance norm, (N, C, H, W)
    c = x - x.mean((2, 3), keepdims=True)
    return c / np.sqrt((c * c).mean((2, 3), keepdims=True) + 1e-5)


def in_backward(dy, x, bug=""):
    c = x - x.mean((2, 3), keepdims=True)
    std = np.sqrt((c * c).mean((2, 3), keepdims=True) + 1e-5)
    h = c / std
    if bug == "batch":
        return ((dy - dy.mean((0, 2, 3), keepdims=True) - h * (dy * h).mean((0, 2, 3), keepdims=True)) / std,)
    if bug == "detached":
        return (dy / std,)
    return ((dy - dy.mean((2, 3), keepdims=True)) / std,)


def pool_forward(x):  # 2 x 2, (N, C, H, W)
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).max((3, 5))


def pool_backward(dy, x, bug=""):
    up = dy.repeat(2, 2).repeat(2, 3)
    if bug == "all":
        return (up,)
    if bug == "first":
        mask = np.zeros_like(x)
        mask[:, :, ::2, ::2] = 1
        return (up * mask,)
    return (up * (pool_forward(x).repeat(2, 2).repeat(2, 3) == x) / 4,)


def svm_loss(x):  # classes 0, 1, 2, 1 of 4 scores
    correct = x[np.arange(4), [0, 1, 2, 1]][:, None]
    margins = np.maximum(0, x - correct + 1)
    return (margins.sum() - 4) / 4


def svm_grad(dy, x, bug=""):
    margins = x - x[np.arange(4), [0, 1, 2, 1]][:, None] + 1 > 0
    d = margins.astype(float)
    d[np.arange(4), [0, 1, 2, 1]] = 0
    if bug != "correct":
        d[np.arange(4), [0, 1, 2, 1]] -= d.sum(1)
    return (dy * d / (1 if bug == "mean" else 4),)


def softmax(x):
    e = np.exp(x - x.real.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


TARGET = np.array([2, 0, 1, 1, 3, 0])


def ce_loss(x):
    return -np.log(softmax(x)[np.arange(6), TARGET]).mean()


def ce_grad(dy, x, bug=""):
    p = softmax(softmax(x)) if bug == "twice" else x.copy() if bug == "raw" else softmax(x)
    p[np.arange(6), TARGET] -= 0 if bug == "target" else 1
    return (dy * p / (1 if bug == "mean" else 6),)


def smooth_ce(x, t):
    return -(t * np.log(softmax(x))).sum(1)


def smooth_grad(dy, x, t, bug=""):
    if bug == "twice":
        return dy[:, None] * (softmax(softmax(x)) - t), -dy[:, None] * np.log(softmax(x))
    return dy[:, None] * (softmax(x) - t), dy[:, None] * np.log(softmax(x))


def vae_kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum()


def mlp(x, w1, b1, w2, b2):
    return np.tanh(x @ w1 + b1) @ w2 + b2


def mlp_backward(dy, x, w1, b1, w2, b2, bug=""):
    h = np.tanh(x @ w1 + b1)
    dh = dy @ w2.T
    slope = {"input": 1 - (x @ w1 + b1) ** 2, "output": 1 - np.tanh(h) ** 2, "missing": 1}.get(bug, 1 - h**2)
    dz = dh * slope
    dw1 = np.zeros_like(w1) if bug == "detached" else x.T @ dz
    dw2 = (x @ w1 + b1).T @ dy if bug == "pre-activation" else h.T @ dy
    return dz @ w1.T, dw1, dz.sum(0), dw2, dy.sum(0)


def block(x, w, v):  # x + relu(x w) v
    return x + np.where(x @ w > 0, x @ w, 0) @ v


def block_backward(dy, x, w, v, bug=""):
    z = x @ w
    d = dy @ v.T * (1 if bug == "relu" else z > 0)
    dx = {"skip": 0, "body": dy}.get(bug, dy)
    return dx + (0 if bug == "body" else d @ w.T), x.T @ d, np.maximum(z, 0).T @ dy


def spectral(x, W):
    return x @ W.T / np.linalg.norm(W, 2)


def spectral_backward(dy, x, W):  # sigma a constant
    s = np.linalg.norm(W, 2)
    return dy @ W / s, dy.T @ x / s


def embed_backward(dy, W, ids):
    dW = np.zeros_like(W)
    dW[ids] += dy
    return (dW,)


def cosine(a, b):
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def cosine_backward(dy, a, b, bug=""):
    n = np.sqrt((a * a).sum(1) * (b * b).sum(1))[:, None]
    c = cosine(a, b)[:, None]
    return dy[:, None] * (b / n - (bug != "norm") * c * a / (a * a).sum(1, keepdims=True)), dy[:, None] * (
        a / n - c * b / (b * b).sum(1, keepdims=True))


def penalty(x, w, b, v):  # R1 of D(x) = softplus(x w + b) v
    g = (v / (1 + np.exp(-(x @ w + b)))) @ w.T
    return 0.5 * 10 * (g * g).sum(1).mean()


def penalty_backward(dy, x, w, b, v, bug=""):
    s = 1 / (1 + np.exp(-(x @ w + b)))
    ddx = 10 * dy * (v * s) @ w.T / len(x)
    S = (bug != "bend") * s * (1 - s) * v * (ddx @ w)
    return S @ w.T, x.T @ S + (bug != "direct") * ddx.T @ (s * v), S.sum(0), (s * (ddx @ w)).sum(0)


def case(name, forward, backward, args, names, kinds, **options):
    """Return a case whose backward is called with options."""
    backward = functools.partial(backward, **options) if options else backward
    return name, forward, backward, args, names, set(kinds.split())


AFFINE = draw(6, 2, 3), draw(6, 4), draw(4)
CONV = draw(2, 3, 7, 6), draw(4, 3, 3, 3), draw(4)
BN, LN = (draw(7, 4) * 2 + 1, draw(4), draw(4)), (draw(4, 6) * 2 + 1, draw(6), draw(6))
MLP, BLOCK = (draw(6, 4), draw(4, 5), draw(5), draw(5, 3), draw(3)), (draw(6, 4), draw(4, 5), draw(5, 4))
a, w, g = "x w b", "x w", "x gamma beta"
COURSE = [
    case("affine: extra 1/N", affine_forward, affine_backward, AFFINE, a, "scale", bug="mean"),
    case("affine: dx reshaped wrongly", affine_forward, affine_backward, AFFINE, a, "transposed wrong-place shape",
        bug="reshape"),
    case("affine: db over features", affine_forward, affine_backward, AFFINE, a,
        "over-summed not-summed shape wrong-axes", bug="sum over features"),
    case("affine: dx and dw exchanged", affine_forward, affine_backward, (draw(4, 6), draw(6, 4), draw(4)), a,
        "exchanged", bug="x and w exchanged"),
    case("affine: db keeps an axis", affine_forward, affine_backward, AFFINE, a, "shape not-summed", bug="keepdims"),
    case("affine: sign of dx", affine_forward, affine_backward, AFFINE, a, "sign", bug="minus"),
    case("conv: kernel flipped", conv_forward, conv_backward, CONV, a, "flipped", bug="flip"),
    case("conv: overwritten, not added", conv_forward, conv_backward, CONV, a, "overwritten branch", bug="overwrite"),
    case("conv: padding off by one in dw", conv_forward, conv_backward, CONV, a, "shifted", bug="padding"),
    case("conv: crop off by one in dx", conv_forward, conv_backward, CONV, a, "shifted", bug="crop"),
    case("conv: last row and column dropped", conv_forward, conv_backward, CONV, a, "stride-tail", bug="tail"),
    case("conv: bias not summed over samples", conv_forward, conv_backward, CONV, a, "first-sample not-summed",
        bug="bias"),
    case("conv: bias averaged", conv_forward, conv_backward, CONV, a, "scale", bug="bias mean"),
    case("deconv: kernel flipped", deconv_forward, deconv_backward, (draw(2, 3, 3, 4), draw(3, 2, 3, 3)), w, "flipped",
        bug="flip"),
    case("deconv: mean over batch", deconv_forward, deconv_backward, (draw(3, 2, 3, 4), draw(2, 4, 4, 4)), w, "scale",
        bug="batch mean"),
    case("deconv: sign", deconv_forward, deconv_backward, (draw(3, 2, 3, 4), draw(2, 4, 4, 4)), w, "sign", bug="sign"),
    case("batch norm: eps is the momentum", bn_forward, bn_backward, BN, g, "swapped-constants", bug="momentum"),
    case("batch norm: gamma forgotten", bn_forward, bn_backward, BN, g, "argument-ignored", bug="gamma"),
    case("batch norm: dvar forgotten", bn_forward, bn_backward, BN, g, "variance-path", bug="dvar"),
    case("batch norm: dmu forgotten", bn_forward, bn_backward, BN, g, "mean-path", bug="dmu"),
    case("batch norm: dmu not divided by N", bn_forward, bn_backward, BN, g, "mean-path", bug="N"),
    case("batch norm: dvar by N - 1", bn_forward, bn_backward, BN, g, "variance-path unbiased", bug="unbiased"),
    case("batch norm: the 2 of dvar", bn_forward, bn_backward, BN, g, "variance-path", bug="2"),
    case("batch norm: dgamma and dbeta exchanged", bn_forward, bn_backward, BN, g, "exchanged", bug="exchanged"),
    case("batch norm: dgamma of raw x", bn_forward, bn_backward, BN, g, "not-normalised", bug="dgamma"),
    case("layer norm: sums over samples", ln_forward, ln_backward, LN, g, "wrong-axes", bug="axis"),
    case("layer norm: mean path", ln_forward, ln_backward, LN, g, "mean-path", bug="mean"),
    case("layer norm: variance path", ln_forward, ln_backward, LN, g, "variance-path", bug="variance"),
    case("layer norm: 1/D forgotten", ln_forward, ln_backward, LN, g, "scale", bug="D"),
    case("instance norm: sums over the batch, too", in_forward, in_backward, (draw(2, 3, 3, 4),), "x", "wrong-axes",
        bug="batch"),
    case("instance norm: statistics detached", in_forward, in_backward, (draw(2, 3, 3, 4),), "x", "statistics",
        bug="detached"),
    case("instance norm: variance path", in_forward, in_backward, (draw(2, 3, 3, 4),), "x", "variance-path"),
    case("max pool: to the whole window", pool_forward, pool_backward, (draw(2, 2, 4, 6),), "x", "mask-missing",
        bug="all"),
    case("max pool: to the first pixel", pool_forward, pool_backward, (draw(2, 2, 4, 6),), "x", "wrong-place",
        bug="first"),
    case("max pool: divided by 4", pool_forward, pool_backward, (draw(2, 2, 4, 6),), "x", "scale"),
    case("SVM: correct class forgotten", svm_loss, svm_grad, (draw(4, 4),), "x", "branch index index detached",
        bug="correct"),
    case("SVM: 1/N forgotten", svm_loss, svm_grad, (draw(4, 4),), "x", "scale", bug="mean"),
    case("cross-entropy: softmax twice", ce_loss, ce_grad, (draw(6, 4),), "x", "softmax-twice", bug="twice"),
    case("cross-entropy: softmax forgotten", ce_loss, ce_grad, (draw(6, 4),), "x", "softmax-missing", bug="raw"),
    case("cross-entropy: target forgotten", ce_loss, ce_grad, (draw(6, 4),), "x", "argument-ignored", bug="target"),
    case("cross-entropy: 1/N forgotten", ce_loss, ce_grad, (draw(6, 4),), "x", "scale", bug="mean"),
    case("soft targets: softmax twice", smooth_ce, smooth_grad, (draw(4, 3), softmax(draw(4, 3))), "x t",
        "softmax-twice", bug="twice"),
    case("soft targets: sign of dt", smooth_ce, smooth_grad, (draw(4, 3), softmax(draw(4, 3))), "x t", "sign"),
    case("KL: logvar's exp forgotten", vae_kl, lambda dy, m, s: (dy * m, dy * (0.5 * s - 0.5)), (draw(4, 3), draw(4,
        3)), "mu logvar", "derivative-wrong derivative-missing argument-ignored"),
    case("KL: a constant term dropped", vae_kl, lambda dy, m, s: (dy * m, dy * 0.5 * np.exp(s)), (draw(4, 3), draw(4,
        3)), "mu logvar", "branch"),
    case("MLP: tanh' of the input", mlp, mlp_backward, MLP, "x w1 b1 w2 b2", "derivative-at-input", bug="input"),
    case("MLP: tanh' at the output", mlp, mlp_backward, MLP, "x w1 b1 w2 b2", "derivative-at-output", bug="output"),
    case("MLP: tanh' missing", mlp, mlp_backward, MLP, "x w1 b1 w2 b2", "derivative-missing", bug="missing"),
    case("MLP: w1 detached", mlp, mlp_backward, MLP, "x w1 b1 w2 b2", "detached", bug="detached"),
    case("MLP: dw2 from before the tanh", mlp, mlp_backward, MLP, "x w1 b1 w2 b2",
        "pre-activation derivative-at-input", bug="pre-activation"),
    case("residual: skip dropped", block, block_backward, BLOCK, "x w v", "branch", bug="skip"),
    case("residual: body dropped", block, block_backward, BLOCK, "x w v", "branch", bug="body"),
    case("residual: ReLU' missing", block, block_backward, BLOCK, "x w v", "derivative-missing mask-missing",
        bug="relu"),
    case("spectral norm: sigma detached", spectral, spectral_backward, (draw(5, 4), draw(3, 4)), "x W", "detached"),
    case("embedding: += on equal ids", lambda W, ids: W[ids], embed_backward, (draw(6, 3), np.array([[0, 3, 3], [5, 0,
        0]])), "W ids", "overwritten"),
    case("cosine: own norm forgotten", cosine, cosine_backward, (draw(4, 3), draw(4, 3)), "a b", "norm-path",
        bug="norm"),
    case("R1: bend dropped", penalty, penalty_backward, (draw(5, 3), draw(3, 4), draw(4), draw(4)), "x w b v", "bend",
        bug="bend"),
    case("R1: parameter term dropped", penalty, penalty_backward, (draw(5, 3), draw(3, 4), draw(4), draw(4)),
        "x w b v", "parameter-term", bug="direct"),
]  # fmt: skip
