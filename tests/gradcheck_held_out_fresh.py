"""A third set of bugs, written down after the rules were finished: what these get is the fair measure.

A case is (name, forward, backward, args, names, kinds), as in `gradcheck_held_out.py`; a seventh: second order.
"""

import numpy as np

rng = np.random.default_rng(4096)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))


# ---- convolutions ----------------------------------------------------------------------------------------


def dilated(x, w):  # (N, C, L), (F, C, 3), dilation 2
    n = x.shape[2] - 4
    return sum(np.einsum("ncl,fc->nfl", x[:, :, 2 * k : 2 * k + n], w[:, :, k]) for k in range(3))


def dilated_backward(dy, x, w, flip=False, swap=False, step=2):
    dx, dw, n = np.zeros_like(x), np.zeros_like(w), x.shape[2] - 4
    for k in range(3):
        own = w[:, :, 2 - k] if flip else w[:, :, k]
        dx[:, :, 2 * k : 2 * k + n] += np.einsum("nfl,cf->ncl" if swap else "nfl,fc->ncl", dy, own)
        dw[:, :, k] = np.einsum("ncl,nfl->fc", x[:, :, step * k : step * k + n], dy)
    return dx, dw


def volume(x, w, b):  # (N, D, H, W, C), kernel 1
    return x @ w + b


def columns(x, w):  # im2col: (N, H, W, C), (9 C, F), stride 2, no padding
    N, H, W, C = x.shape
    h, v = (H - 3) // 2 + 1, (W - 3) // 2 + 1
    patches = [x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(N, -1) for i in range(h) for j in range(v)]
    return (np.stack(patches, 1) @ w).reshape(N, h, v, w.shape[1])


def columns_backward(dy, x, w, last=0, assign=False):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(dy.shape[1] - last):
        for j in range(dy.shape[2]):
            d = dy[:, i, j]
            window = dx[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            part = (d @ w.T).reshape(window.shape)
            window[...] = part if assign else window + part
            dw += x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].reshape(len(x), -1).T @ d
    return dx, dw


def conv_relu(x, w, b):  # (N, L, C), (2, C, F)
    return np.maximum(x[:, :-1] @ w[0] + x[:, 1:] @ w[1] + b, 0)


def conv_relu_backward(dy, x, w, b):
    dx = np.zeros_like(x)
    dx[:, :-1] += dy @ w[0].T
    dx[:, 1:] += dy @ w[1].T
    return dx, np.stack([np.tensordot(p, dy, ((0, 1), (0, 1))) for p in (x[:, :-1], x[:, 1:])]), dy.sum((0, 1))


# ---- normalisations, statistics --------------------------------------------------------------------------


def rms(x, g):
    return g * x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)


def rms_backward(dy, x, g, path=1, gain=True):
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
    d = dy * g if gain else dy
    return r * (d - path * x * r * (d * x * r).mean(-1, keepdims=True)), (dy * x * r).sum((0, 1))


def groups(x, g, b):  # (N, C, H, W), two groups, gain and offset per channel
    v = x.reshape(len(x), 2, -1)
    h = ((v - v.mean(2, keepdims=True)) / np.sqrt(v.var(2, keepdims=True) + 1e-5)).reshape(x.shape)
    return h * g[:, None, None] + b[:, None, None]


def groups_backward(dy, x, g, b, axes=(0, 2, 3), variance=1):
    v = x.reshape(len(x), 2, -1)
    r = 1 / np.sqrt(v.var(2, keepdims=True) + 1e-5)
    h, d = (v - v.mean(2, keepdims=True)) * r, (dy * g[:, None, None]).reshape(v.shape)
    dx = r * (d - d.mean(2, keepdims=True) - variance * h * (d * h).mean(2, keepdims=True))
    return dx.reshape(x.shape), (dy * h.reshape(x.shape)).sum(axes), dy.sum((0, 2, 3))


def batch_std(x):
    return np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-8)


# ---- networks --------------------------------------------------------------------------------------------


def leaky(z, slope=0.1):
    return np.where(z > 0, z, slope * z)


def deep(x, u, v, w):
    return sigmoid(np.tanh(x @ u) @ v) @ w


def deep_backward(dy, x, u, v, w, first="tanh", second="sigmoid"):
    h = np.tanh(x @ u)
    s = sigmoid(h @ v)
    db = dy @ w.T * (s * (1 - s) if second == "sigmoid" else 1 - s**2 if second == "tanh" else 1)
    da = db @ v.T * (1 - h**2 if first == "tanh" else 1)
    return da @ u.T, x.T @ da, h.T @ db, s.T @ dy


def leaky_net(x, w, b, v):
    return leaky(x @ w + b) @ v


def leaky_net_backward(dy, x, w, b, v):
    z = x @ w + b
    d = dy @ v.T * (z > 0)
    return d @ w.T, x.T @ d, d.sum(0), leaky(z).T @ dy


def glu(x, a, b):
    return (x @ a) * sigmoid(x @ b)


def glu_backward(dy, x, a, b, bug=""):
    s = sigmoid(x @ b)
    da, db = dy * s, dy * (x @ a) * s * (1 - s)
    if bug == "gate":
        return da @ a.T, x.T @ da, x.T @ db
    return da @ a.T + db @ b.T, x.T @ db, x.T @ da


class Keeper:
    """Adds to its gradient in every call."""

    def __init__(self):
        self.db = 0

    def backward(self, dy, x, b):
        self.db = self.db + dy.sum(0)
        return dy, self.db


def recurrent(x, w):  # h_t = tanh(x_t + h_{t-1} w)
    h = np.tanh(x[0])
    for t in range(1, len(x)):
        h = np.tanh(x[t] + h @ w)
    return h


def recurrent_backward(dy, x, w):  # w's gradient of the last step only
    hs = [np.tanh(x[0])]
    for t in range(1, len(x)):
        hs.append(np.tanh(x[t] + hs[-1] @ w))
    dx, dh = np.zeros_like(x), dy
    for t in range(len(x) - 1, -1, -1):
        dz = dh * (1 - hs[t] ** 2)
        dx[t], dh = dz, dz @ w.T
    return dx, hs[-2].T @ (dy * (1 - hs[-1] ** 2))


def tanh_back(g, x, w):
    return (g * (1 - np.tanh(x @ w) ** 2)) @ w.T


def tanh_double(ddx, g, x, w, bend=1, term=1):
    y = np.tanh(x @ w)
    up = ddx @ w
    s = -2 * y * (1 - y**2) * up * g
    return up * (1 - y**2), bend * s @ w.T, bend * x.T @ s + term * ddx.T @ (g * (1 - y**2))


def softplus_double(ddx, g, x):
    return ddx * sigmoid(x), ddx * g * sigmoid(x)


T = np.array([1.0, -1, 1, 1, -1, 1, -1, -1])
MEAN = lambda x: x.mean((1, 2))
FRESH = [
    ("dilated conv: flipped", dilated, lambda dy, *a: dilated_backward(dy, *a, flip=True), (draw(2, 3, 9), draw(4, 3,
        3)), "x w", "flipped"),
    ("dilated conv: channels transposed", dilated, lambda dy, *a: dilated_backward(dy, *a, swap=True), (draw(2, 3, 9),
        draw(3, 3, 3)), "x w", "transposed"),
    ("dilated conv: dilation forgotten", dilated, lambda dy, *a: dilated_backward(dy, *a, step=1), (draw(2, 3, 9),
        draw(4, 3, 3)), "x w", "shifted wrong-place dilation"),
    ("conv3d: bias not summed over space", volume, lambda dy, x, w, b: (dy @ w.T, np.tensordot(x, dy, 4 * [0] and ((0,
        1, 2, 3), (0, 1, 2, 3))), dy.sum(0)), (draw(2, 2, 3, 2, 3), draw(3, 2), draw(2)), "x w b", "not-summed"),
    ("im2col: last row of patches dropped", columns, lambda dy, *a: columns_backward(dy, *a, last=1), (draw(2, 7, 5,
        2), draw(18, 3)), "x w", "stride-tail"),
    ("im2col: windows overwritten", columns, lambda dy, *a: columns_backward(dy, *a, assign=True), (draw(2, 7, 5, 2),
        draw(18, 3)), "x w", "overwritten"),
    ("conv and ReLU: mask missing", conv_relu, conv_relu_backward, (draw(2, 6, 3), draw(2, 3, 4), draw(4)), "x w b",
        "derivative-missing mask-missing"),
    ("RMS norm: no path", rms, lambda dy, *a: rms_backward(dy, *a, path=0), (draw(2, 3, 5), draw(5)), "x g",
        "norm-path variance-path"),
    ("RMS norm: gain left out", rms, lambda dy, *a: rms_backward(dy, *a, gain=False), (draw(2, 3, 5), draw(5)), "x g",
        "argument-ignored"),
    ("group norm: dgamma not summed over samples", groups, lambda dy, *a: groups_backward(dy, *a, axes=(2, 3)),
        (draw(3, 4, 2, 3), draw(4), draw(4)), "x g b", "not-summed"),
    ("group norm: variance path", groups, lambda dy, *a: groups_backward(dy, *a, variance=0), (draw(3, 4, 2, 3),
        draw(4), draw(4)), "x g b", "variance-path"),
    ("variance: 2 x / N", lambda x: x.var(0), lambda dy, x: (dy * 2 * x / len(x),), (draw(6, 3) + 1,), "x",
        "mean-path"),
    ("standard deviation: not divided by it", batch_std, lambda dy, x: (dy * (x - x.mean(0)) / len(x),), (draw(6, 3),),
        "x", "scale-per-axis derivative-missing"),
    ("x / sum(x): sum a constant", lambda x: x / x.sum(1, keepdims=True), lambda dy, x: (dy / x.sum(1, keepdims=True),
        ), (rng.uniform(1, 2, (4, 5)),), "x", "sum-path mean-path norm-path diagonal branch"),
    ("log-sum-exp: not normalised", lambda x: np.log(np.exp(x).sum(1)), lambda dy, x: (dy[:, None] * np.exp(x),),
        (draw(4, 5),), "x", "scale-per-axis sum-path softmax-missing"),
    ("PReLU: slope's gradient not masked", lambda x, a: np.where(x > 0, x, a * x), lambda dy, x,
        a: (dy * np.where(x > 0, 1, a), (dy * x).sum(0)), (draw(6, 3), rng.uniform(0.1, 0.5, 3)), "x a",
        "mask-missing side"),
    ("PReLU: slope's gradient not summed", lambda x, a: np.where(x > 0, x, a * x), lambda dy, x,
        a: (dy * np.where(x > 0, 1, a), dy * np.minimum(x, 0)), (draw(6, 3), rng.uniform(0.1, 0.5, 3)), "x a",
        "not-summed"),
    ("deep: tanh' missing", deep, lambda dy, *a: deep_backward(dy, *a, first=""), (draw(5, 3), draw(3, 4), draw(4, 3),
        draw(3, 2)), "x u v w", "derivative-missing"),
    ("deep: sigmoid' missing", deep, lambda dy, *a: deep_backward(dy, *a, second=""), (draw(5, 3), draw(3, 4), draw(4,
        3), draw(3, 2)), "x u v w", "derivative-missing"),
    ("deep: tanh' for sigmoid'", deep, lambda dy, *a: deep_backward(dy, *a, second="tanh"), (draw(5, 3), draw(3, 4),
        draw(4, 3), draw(3, 2)), "x u v w", "derivative-wrong"),
    ("LeakyReLU net: slope 0 for 0.1", leaky_net, leaky_net_backward, (draw(6, 3), draw(3, 4), draw(4), draw(4, 2)),
        "x w b v", "derivative-wrong side derivative-missing"),
    ("GLU: gate detached", glu, lambda dy, *a: glu_backward(dy, *a, bug="gate"), (draw(5, 3), draw(3, 4), draw(3, 4)),
        "x a b", "branch detached argument-ignored"),
    ("GLU: gradients exchanged", glu, glu_backward, (draw(5, 3), draw(3, 4), draw(3, 4)), "x a b", "exchanged"),
    ("bias: never cleared", lambda x, b: x + b, Keeper().backward, (draw(5, 3), draw(3)), "x b", "accumulated"),
    ("recurrence: w from the last step", recurrent, recurrent_backward, (draw(4, 3, 5), draw(5, 5)), "x w",
        "branch first-sample overwritten"),
    ("global average pool: 1/(H W) forgotten", MEAN, lambda dy, x: (np.broadcast_to(dy[:, None, None], x.shape).copy(),
        ), (draw(2, 3, 4, 3),), "x", "scale"),
    ("nearest upsampling: mean for sum", lambda x: x.repeat(2, 1).repeat(2, 2), lambda dy, x: (dy.reshape(2, 3, 2, 4,
        2, 2).mean((2, 4)),), (draw(2, 3, 4, 2),), "x", "scale"),
    ("nearest upsampling: one pixel of each", lambda x: x.repeat(2, 1).repeat(2, 2), lambda dy, x: (dy[:, ::2, ::2],),
        (draw(2, 3, 4, 2),), "x", "overwritten stride-tail stride-tail"),
    ("concatenation: slices exchanged", lambda a, b: np.concatenate([a, b], 1), lambda dy, a, b: (dy[:, 3:], dy[:,
        :3]), (draw(4, 3), draw(4, 3)), "a b", "exchanged shifted wrong-place"),
    ("MSE: mean over samples only", lambda x, t: ((x - t) ** 2).mean(), lambda dy, x, t: (dy * 2 * (x - t) / len(x),
        -dy * 2 * (x - t) / x.size), (draw(4, 3), draw(4, 3)), "x t", "scale"),
    ("logistic: -sigmoid(x) for -sigmoid(-x)", lambda x: np.log1p(np.exp(-x)), lambda dy, x: (-dy * sigmoid(x),),
        (draw(6, 1),), "x", "derivative-wrong"),
    ("hinge: margin's mask missing", lambda x: np.maximum(0, 1 - T * x).mean(), lambda dy, x: (-dy * T / 8,),
        (draw(8) * 2,), "x", "mask-missing"),
    ("clip: bounds ignored", lambda x: np.clip(x, -1, 1), lambda dy, x: (dy,), (draw(4, 5) * 1.5,), "x",
        "mask-missing derivative-missing"),
    ("absolute value: 1 for the sign", lambda x: np.abs(x), lambda dy, x: (dy,), (draw(4, 5),), "x",
        "derivative-missing"),
    ("spectral norm of a convolution: sigma detached", lambda W: W / np.linalg.norm(W.reshape(-1, 3), 2), lambda dy,
        W: (dy / np.linalg.norm(W.reshape(-1, 3), 2),), (draw(2, 2, 2, 3),), "W", "detached norm-path"),
    ("weight norm: g's gradient not divided", lambda v, g: g * v / np.sqrt((v * v).sum()), lambda dy, v,
        g: (g * (dy / np.sqrt((v * v).sum()) - v * (dy * v).sum() / (v * v).sum() ** 1.5), (dy * v).sum()[None]),
        (draw(4, 3), np.array([1.7])), "v g", "scale"),
    ("batched product: not transposed", lambda a, b: a @ b, lambda dy, a, b: (dy @ b, a.transpose(0, 2, 1) @ dy),
        (draw(2, 3, 4), draw(2, 4, 4)), "a b", "transposed"),
    ("second order: bend dropped", tanh_back, lambda d, *a: tanh_double(d, *a, bend=0), (draw(5, 3), draw(5, 4),
        draw(4, 3)), "dy x w", "bend", True),
    ("second order: parameter term dropped", tanh_back, lambda d, *a: tanh_double(d, *a, term=0), (draw(5, 3), draw(5,
        4), draw(4, 3)), "dy x w", "parameter-term", True),
    ("second order: softplus'' lacks 1 - s", lambda g, x: g * sigmoid(x), softplus_double, (draw(4, 3), draw(4, 3)),
        "dy x", "derivative-wrong factor derivative-twice derivative-missing", True),
]  # fmt: skip
