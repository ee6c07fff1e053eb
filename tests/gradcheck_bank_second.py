"""Planted bugs of second order: double backwards of nets, softmax, norms, products, attention; penalties.

The forward here is a backward: (g, x, ...) to dx, where g is the upstream gradient. A double backward gets u, the
gradient by dx, and returns the gradients of <u, dx> by g, x, ...
"""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(166)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))


# ---- nets, pointwise -------------------------------------------------------------------------------------


def net(g, x, W, b, v):  # y = softplus(x W + b) v
    return ((g[:, None] * v) * sigmoid(x @ W + b)) @ W.T


def net_double(u, g, x, W, b, v, bug=""):
    s = sigmoid(x @ W + b)
    up, gv = u @ W, g[:, None] * v
    bend = s if bug == "softplus net: the sigmoid's slope is the sigmoid" else s * (1 - s)
    dz = up * gv * bend
    direct, through = u.T @ (gv * s), x.T @ dz
    if bug == "softplus net: W through its score alone":
        direct = 0
    if bug == "softplus net: W through the last product alone":
        through = 0
    if bug == "softplus net: the last product's dW pairs x, not u":
        direct = x.T @ (gv * s)
    db = 0 * b if bug == "softplus net: b has no second order" else dz.sum(0)
    dv = (up * g[:, None] * (1 if bug == "softplus net: v without the slope" else s)).sum(0)
    return (up * v * s).sum(1), dz @ W.T, direct + through, db, dv


def logistic(g, x):
    y = sigmoid(x)
    return g * y * (1 - y)


def logistic_double(u, g, x, bug=""):
    y = sigmoid(x)
    bend = 1 - y if bug == "sigmoid: 1 - y for 1 - 2 y" else 1 - 2 * y
    if bug == "sigmoid: the slope once too often":
        bend = bend * y * (1 - y)
    return u * y * (1 - y), u * g * y * (1 - y) * bend


def power(g, x, p):
    return g * p * x ** (p - 1)


def power_double(u, g, x, p, bug=""):
    second = p if bug == "power: p for p - 1 on the second way" else p - 1
    first = 0 if bug == "power: p through the exponent alone" else 1
    log = 0 if bug == "power: p as a factor alone" else p * np.log(x)
    return u * p * x ** (p - 1), u * g * p * second * x ** (p - 2), (u * g * x ** (p - 1) * (first + log)).sum(0)


def leaky(g, x, W):  # a leaky ReLU of x W
    return (g * np.where(x @ W > 0, 1, 0.2)) @ W.T


def leaky_double(u, g, x, W, bug=""):
    s = np.where(x @ W > 0, 1, 0.2)
    dx = (u @ W * g * s) @ W.T if bug == "leaky ReLU: x gets a bend" else 0 * x
    dg = u @ W if bug == "leaky ReLU: dg without the slope" else u @ W * s
    return dg, dx, u.T @ (g if bug == "leaky ReLU: dW without the slope" else g * s)


def swish(g, x, beta):
    s = sigmoid(beta * x)
    return g * (s + beta * x * s * (1 - s))


def swish_double(u, g, x, beta, bug=""):
    s = sigmoid(beta * x)
    d = s * (1 - s)
    two = 1 if bug == "swish: the product rule's 2" else 2
    third = beta**2 * x * d * (1 - 2 * s)
    if bug == "swish: the sigmoid's slope is a constant":
        third = 0
    dbeta = 2 * x * d + beta * x * x * d * (1 - 2 * s)
    if bug == "swish: beta inside the sigmoid alone":
        dbeta = dbeta - x * d
    return u * (s + beta * x * d), u * g * (two * beta * d + third), (u * g * dbeta).sum(0)


# ---- rows ------------------------------------------------------------------------------------------------


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def pulled(g, p):
    return p * (g - (p * g).sum(-1, keepdims=True))


def row(g, x):  # softmax
    return pulled(g, softmax(x))


def row_double(u, g, x, bug=""):
    p = softmax(x)
    pg, pu = (p * g).sum(-1, keepdims=True), (p * u).sum(-1, keepdims=True)
    dp = u * (g - pg) - g * pu
    if bug == "softmax: its sum is a constant on the second way":
        dp = u * (g - pg)
    if bug == "softmax: u for g in the sum's term":
        dp = u * (g - pg) - u * pu
    dx = p * dp if bug == "softmax: the second softmax's sum dropped" else pulled(dp, p)
    return p * u if bug == "softmax: dg by the diagonal" else pulled(u, p), dx


def parts(x):
    r = 1 / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    return (x - x.mean(1, keepdims=True)) * r, r


def across(d, h, r):
    return r * (d - d.mean(1, keepdims=True) - h * (d * h).mean(1, keepdims=True))


def layer(g, x):  # layer norm
    return across(g, *parts(x))


def layer_double(u, g, x, bug=""):
    h, r = parts(x)
    gh, uh = (g * h).mean(1, keepdims=True), (u * h).mean(1, keepdims=True)
    dh = -r * (u * gh + g * uh)
    if bug == "layer norm: one of two terms of the normalised x":
        dh = -r * u * gh
    dr = (u * across(g, h, r) / r).sum(1, keepdims=True)
    if bug == "layer norm: 1 / sigma is a constant on the second way":
        dr = 0
    if bug == "layer norm: r cubed without x's own r":
        return across(u, h, r), across(dh, h, r) - dr * r**3 * h / x.shape[1]
    dx = across(dh, h, r) - dr * r**2 * h / x.shape[1]
    if bug == "layer norm: the normalised x is a constant on the second way":
        dx = -dr * r**2 * h / x.shape[1]
    return across(u, h, r), dx


def unit(g, x):  # x / |x|
    n = np.sqrt((x * x).sum(1, keepdims=True))
    return (g - x * (x * g).sum(1, keepdims=True) / n**2) / n


def unit_double(u, g, x, bug=""):
    n = np.sqrt((x * x).sum(1, keepdims=True))
    dot = lambda a, b: (a * b).sum(1, keepdims=True)
    xg, xu, ug = dot(x, g), dot(x, u), dot(u, g)
    dx = -(u * xg + g * xu + x * ug) / n**3 + 3 * x * xg * xu / n**5
    if bug == "unit rows: the length is a constant on the second way":
        dx = -(u * xg + g * xu) / n**3
    if bug == "unit rows: g's part of the product":
        dx = dx + u * xg / n**3
    if bug == "unit rows: 2 for 3 in the last term":
        dx = dx - x * xg * xu / n**5
    return unit(u, x), dx


# ---- products --------------------------------------------------------------------------------------------


def bilinear(g, x, z, A):  # y = x A z: (N, K), (N, D), (N, D), (K, D, D)
    return np.einsum("nk,kde,ne->nd", g, A, z)


def bilinear_double(u, g, x, z, A, bug=""):
    dz = np.einsum("nk,kde,nd->ne", g, A, u)
    if bug == "bilinear: dz through A, not transposed":
        dz = np.einsum("nk,kde,ne->nd", g, A, u)
    if bug == "bilinear: dz with x for u":
        dz = np.einsum("nk,kde,nd->ne", g, A, x)
    dA = np.einsum("nk,nd,ne->kde", g, x if bug == "bilinear: dA with x for u" else u, z)
    dx = np.einsum("nk,kde,ne->nd", g, A, z) if bug == "bilinear: x gets the first order's gradient" else None
    return np.einsum("nd,kde,ne->nk", u, A, z), dx, dz, dA


def form(g, x, A):  # y = x A x
    return g[:, None] * (x @ (A + A.T))


def form_double(u, g, x, A, bug=""):
    S = A if bug == "quadratic form: dx by A" else A + A.T
    gu = g[:, None] * u
    dA = gu.T @ x if bug == "quadratic form: dA without its transpose" else gu.T @ x + x.T @ gu
    return (u * (x @ (A + A.T))).sum(1), gu @ S, dA


def conv(g, x, w):  # y_l = sum of x_{l + k} w_k: (N, L - 2, F), (N, L, C), (3, C, F)
    dx = np.zeros_like(x)
    for k in range(3):
        dx[:, k : k + g.shape[1]] += g @ w[k].T
    return dx


def conv_double(u, g, x, w, bug=""):
    n = g.shape[1]
    own = w[::-1] if bug == "convolution: dg with the kernel flipped" else w
    seen = x if bug == "convolution: dw of x, as in the first order" else u
    dw = np.stack([np.einsum("nlc,nlf->cf", seen[:, k : k + n], g) for k in range(3)])
    if bug == "convolution: dw turned over":
        dw = dw[::-1]
    return sum(u[:, k : k + n] @ own[k] for k in range(3)), None, dw


def attention(g, q, k, v):  # dq of softmax(q k^T / 2) v
    return pulled(g @ v.T, softmax(q @ k.T / 2)) @ k / 2


def attention_double(u, g, q, k, v, bug=""):
    p, up, dp = softmax(q @ k.T / 2), u @ k.T / 2, g @ v.T
    ddp, ds = row_double(up, dp, q @ k.T / 2)
    direct, through = pulled(dp, p).T @ u / 2, ds.T @ q / 2
    if bug == "attention: k through the scores alone":
        direct = 0
    if bug == "attention: k through the last product alone":
        through = 0
    dq = 0 * q if bug == "attention: q has no second order" else ds @ k / 2
    if bug == "attention: dq without the scale":
        dq = 2 * dq
    dv = (dp * 0 + p).T @ g if bug == "attention: dv as in the first order" else ddp.T @ g
    return ddp @ v, dq, direct + through, dv


# ---- penalties, as losses --------------------------------------------------------------------------------


def slope(x, W, v):
    """Return the gradient by x of a critic softplus(x W) v."""
    return (sigmoid(x @ W) * v) @ W.T


def penalty(x, W, v):
    return ((np.sqrt((slope(x, W, v) ** 2).sum(1)) - 1) ** 2).mean()


def penalty_grad(x, W, v, bug=""):
    d = slope(x, W, v)
    n = np.sqrt((d * d).sum(1, keepdims=True))
    u = 2 * (n - 1) * d / n / len(x)
    if bug == "gradient penalty: not divided by the norm":
        u = 2 * (n - 1) * d / len(x)
    if bug == "gradient penalty: zero-centred in the backward":
        u = 2 * d / len(x)
    if bug == "gradient penalty: the 1 / N":
        u = u * len(x)
    _, dx, dW, _, dv = net_double(u, np.ones(len(x)), x, W, 0.0, v)
    if bug == "gradient penalty: the slope is a constant":
        dx, dW = 0 * x, u.T @ (sigmoid(x @ W) * v)
    return dx, dW, dv


def smooth(x, W, v):  # R2 along one direction: the mean squared slope by the first feature
    return 0.5 * (slope(x, W, v)[:, 0] ** 2).mean()


def smooth_grad(x, W, v, bug=""):
    u = np.zeros_like(x)
    u[:, 0] = slope(x, W, v)[:, 0] / len(x)
    if bug == "directional penalty: the whole slope on the way back":
        u = slope(x, W, v) / len(x)
    _, dx, dW, _, dv = net_double(u, np.ones(len(x)), x, W, 0.0, v)
    return dx, dW, np.abs(dv) if bug == "directional penalty: |dv|" else dv


# ---- lists -----------------------------------------------------------------------------------------------

RIGHT = [
    Right("second order of a ReLU net", lambda g, x, W: (g * (x @ W > 0)) @ W.T, lambda u, g, x, W: (u @ W * (
        x @ W > 0), None, u.T @ (g * (x @ W > 0))), (draw(4, 3), draw(4, 2), draw(2, 3)), ("g", "x", "W"), True),
    Right("second order of a product", lambda g, x, z: g * z, lambda u, g, x, z: (u * z, None, u * g),
        (draw(4, 3), draw(4, 3), draw(4, 3)), ("g", "x", "z"), True),
    Right("second order of a saturated sigmoid", logistic, logistic_double, (draw(3, 2), 6 * draw(3, 2)), ("g", "x"),
        True),
    Right("second order of a sum of squares", lambda g, x: 2 * g * x, lambda u, g, x: ((2 * u * x).sum(), 2 * u * g),
        (np.array(0.8), draw(4, 2)), ("g", "x"), True),
]  # fmt: skip
NET = draw(5), draw(5, 3), draw(3, 4), draw(4), draw(4)
PLANTED = [
    *family(net, net_double, NET, "g x W b v",
        ("softplus net: the sigmoid's slope is the sigmoid", "derivative-wrong bend factor derivative-missing"),
        ("softplus net: W through its score alone", "parameter-term uses branch"),
        ("softplus net: W through the last product alone", "bend uses branch"),
        ("softplus net: the last product's dW pairs x, not u", "roles argument-ignored"),
        ("softplus net: b has no second order", "bend detached parameter-term"),
        ("softplus net: v without the slope", "derivative-missing argument-ignored"), second_order=True),
    *family(logistic, logistic_double, (draw(4, 3), draw(4, 3)), "g x",
        ("sigmoid: 1 - y for 1 - 2 y", "bend derivative-wrong branch"),
        ("sigmoid: the slope once too often", "derivative-twice factor"), second_order=True),
    *family(power, power_double, (draw(4, 3), rng.uniform(0.5, 2, (4, 3)), np.array([0.5, 2.5, 3])), "g x p",
        ("power: p for p - 1 on the second way", "scale-per-axis constant factor derivative-wrong"),
        ("power: p through the exponent alone", "branch uses parameter-term"),
        ("power: p as a factor alone", "branch uses detached parameter-term"), second_order=True),
    *family(leaky, leaky_double, (draw(4, 2), draw(4, 3), draw(3, 2)), "g x W",
        ("leaky ReLU: x gets a bend", "bend extra-argument branch mask-missing"),
        ("leaky ReLU: dg without the slope", "derivative-missing mask-missing side"),
        ("leaky ReLU: dW without the slope", "derivative-missing mask-missing side argument-ignored"),
        second_order=True),
    *family(swish, swish_double, (draw(4, 3), draw(4, 3), np.array([0.7, 1.5, -1])), "g x beta",
        ("swish: the product rule's 2", "branch bend constant"),
        ("swish: the sigmoid's slope is a constant", "branch detached bend"),
        ("swish: beta inside the sigmoid alone", "branch uses parameter-term"), second_order=True),
    *family(row, row_double, (draw(4, 3), draw(4, 3)), "g x",
        ("softmax: its sum is a constant on the second way", "detached branch sum-path cross-terms"),
        ("softmax: u for g in the sum's term", "roles argument-ignored cross-terms"),
        ("softmax: the second softmax's sum dropped", "sum-path mean-path diagonal"),
        ("softmax: dg by the diagonal", "diagonal sum-path mean-path"), second_order=True),
    *family(layer, layer_double, (draw(4, 5), 2 * draw(4, 5)), "g x",
        ("layer norm: one of two terms of the normalised x", "branch uses"),
        ("layer norm: 1 / sigma is a constant on the second way", "detached branch variance-path norm-path"),
        ("layer norm: r cubed without x's own r", "variance-path norm-path branch"),
        ("layer norm: the normalised x is a constant on the second way", "detached branch"), second_order=True),
    *family(unit, unit_double, (draw(4, 3), draw(4, 3)), "g x",
        ("unit rows: the length is a constant on the second way", "detached norm-path branch"),
        ("unit rows: g's part of the product", "branch uses"),
        ("unit rows: 2 for 3 in the last term", "branch constant norm-path"), second_order=True),
    *family(bilinear, bilinear_double, (draw(4, 2), draw(4, 3), draw(4, 3), draw(2, 3, 3)), "g x z A",
        ("bilinear: dz through A, not transposed", "transposed"),
        ("bilinear: dz with x for u", "roles upstream-ignored argument-ignored"),
        ("bilinear: dA with x for u", "roles upstream-ignored argument-ignored"),
        ("bilinear: x gets the first order's gradient", "extra-argument bend branch upstream-ignored"),
        second_order=True),
    *family(form, form_double, (draw(4), draw(4, 3), draw(3, 3)), "g x A",
        ("quadratic form: dx by A", "uses branch transposed", "symmetr"),
        ("quadratic form: dA without its transpose", "uses branch transposed", "symmetr"), second_order=True),
    *family(conv, conv_double, (draw(2, 4, 2), draw(2, 6, 3), draw(3, 3, 2)), "g x w",
        ("convolution: dg with the kernel flipped", "flipped"),
        ("convolution: dw of x, as in the first order", "roles upstream-ignored argument-ignored"),
        ("convolution: dw turned over", "flipped"), second_order=True),
    *family(attention, attention_double, (draw(3, 2), draw(3, 4), draw(5, 4), draw(5, 2)), "g q k v",
        ("attention: k through the scores alone", "parameter-term uses branch"),
        ("attention: k through the last product alone", "bend uses branch"),
        ("attention: q has no second order", "bend detached"),
        ("attention: dq without the scale", "scale"),
        ("attention: dv as in the first order", "upstream-ignored roles"), second_order=True),
    *family(penalty, penalty_grad, (draw(5, 3), draw(3, 4), draw(4)), "x W v",
        ("gradient penalty: not divided by the norm", "norm-path scale-per-axis factor"),
        ("gradient penalty: zero-centred in the backward", "margin constant branch norm-path"),
        ("gradient penalty: the 1 / N", "scale"),
        ("gradient penalty: the slope is a constant", "bend detached uses branch"), loss=True),
    *family(smooth, smooth_grad, (draw(5, 3), draw(3, 4), draw(4)), "x W v",
        ("directional penalty: the whole slope on the way back", "mask-missing wrong-place cross-terms"),
        ("directional penalty: |dv|", "abs"), loss=True),
]  # fmt: skip
