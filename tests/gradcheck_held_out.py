"""Bugs that the rules of scratchgan.gradcheck were not written for: none of these functions is in its bank.

Each is (name, forward, backward, args, names, kinds that would say what is wrong). They have taught the rules since.
"""

import numpy as np
from gradcheck_held_out_course import COURSE
from gradcheck_held_out_fresh import FRESH
from gradcheck_plant import Planted
from gradcheck_switch import plainly

rng = np.random.default_rng(2026)
draw = lambda *shape: rng.standard_normal(shape)


def softmax(z):
    e = np.exp(z - z.real.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ---- normalisations of other kinds -----------------------------------------------------------------------


def group_normalized(x):  # (N, H, 4): two groups of two channels
    g = x.reshape(len(x), x.shape[1], 2, 2)
    mean = g.mean((1, 3), keepdims=True)
    std = np.sqrt(((g - mean) * (g - mean)).mean((1, 3), keepdims=True) + 1e-4)
    return g, mean, std


def group_norm(x):
    g, mean, std = group_normalized(x)
    return ((g - mean) / std).reshape(x.shape)


def group_norm_without_mean(dy, x):
    g, mean, std = group_normalized(x)
    h, d = (g - mean) / std, dy.reshape(g.shape)
    return (((d - h * (d * h).mean((1, 3), keepdims=True)) / std).reshape(x.shape),)


def unit_rows(x):
    return x / np.sqrt((x * x).sum(1, keepdims=True))


def unit_rows_without_projection(dy, x):
    return (dy / np.sqrt((x * x).sum(1, keepdims=True)),)


def weight_norm_columns(x, v):
    return x @ (v / np.sqrt((v * v).sum(0)))


def weight_norm_columns_detached(dy, x, v):
    size = np.sqrt((v * v).sum(0))
    return dy @ (v / size).T, x.T @ dy / size


def batch_norm_first(x, gamma, beta):  # (N, C, H, W), gamma and beta (C,)
    h = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    return gamma[:, None, None] * h + beta[:, None, None]


def batch_norm_first_over_samples_only(dy, x, gamma, beta):
    r = 1 / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    h, d = (x - x.mean((0, 2, 3), keepdims=True)) * r, gamma[:, None, None] * dy
    dx = r * (d - d.mean(0, keepdims=True) - h * (d * h).mean(0, keepdims=True))
    return dx, (dy * h).sum((0, 2, 3)), dy.sum((0, 2, 3))


# ---- attention and recurrence ----------------------------------------------------------------------------


def attention(q, k, v):
    return softmax(q @ k.T / 2) @ v


def attention_grads(dy, q, k, v, scale=0.5, path=1):
    p = softmax(q @ k.T / 2)
    dp = dy @ v.T
    ds = p * (dp - path * (dp * p).sum(-1, keepdims=True))
    return scale * ds @ k, 0.5 * ds.T @ q, p.T @ dy


def rnn(x, U, V):  # three steps: x (3, N, D)
    h = np.tanh(x[0] @ U)
    for t in (1, 2):
        h = np.tanh(x[t] @ U + h @ V)
    return h


def rnn_cut(dy, x, U, V):
    """The gradient does not flow from the last step to those before."""
    h0 = np.tanh(x[0] @ U)
    h1 = np.tanh(x[1] @ U + h0 @ V)
    dz = dy * (1 - np.tanh(x[2] @ U + h1 @ V) ** 2)
    dx = np.zeros_like(x)
    dx[2] = dz @ U.T
    return dx, x[2].T @ dz, h1.T @ dz


def gate(x, a, b):  # one gate of an LSTM
    return np.tanh(x @ a) / (1 + np.exp(-x @ b))


def gate_without_slope(dy, x, a, b):
    t, s = np.tanh(x @ a), 1 / (1 + np.exp(-x @ b))
    da, db = dy * s * (1 - t * t), dy * t
    return da @ a.T + dy * t * s * (1 - s) @ b.T, x.T @ da, x.T @ db


# ---- matrices, sums, orders ------------------------------------------------------------------------------


def inverse_not_transposed(dy, A):
    B = np.linalg.inv(A)
    return (-B @ dy @ B,)


def log_softmax_without_sum(dy, x):
    return (dy - softmax(x) * dy,)


def shuffle(x):  # pixel shuffle: (N, H, W, 4) -> (N, 2 H, 2 W, 1)
    N, H, W, _ = x.shape
    return x.reshape(N, H, W, 2, 2).transpose(0, 1, 3, 2, 4).reshape(N, 2 * H, 2 * W, 1)


def shuffle_wrong(dy, x):
    N, H, W, _ = x.shape
    return (dy.reshape(N, H, 2, W, 2).transpose(0, 1, 3, 4, 2).reshape(x.shape),)


def depthwise(x, W):  # (N, C, L), (C, 3)
    return sum(x[:, :, i : x.shape[2] - 2 + i] * W[:, i, None] for i in range(3))


def depthwise_not_flipped(dy, x, W):
    dx = np.zeros_like(x)
    for i in range(3):
        dx[:, :, i : x.shape[2] - 2 + i] += dy * W[:, 2 - i, None]
    return dx, np.stack([(dy * x[:, :, i : x.shape[2] - 2 + i]).sum((0, 2)) for i in range(3)], 1)


def conv1d(x, W):  # (N, L, C), (3, C, O), padding 1
    x = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    return sum(x[:, i : x.shape[1] - 2 + i] @ W[i] for i in range(3))


def conv1d_shifted(dy, x, W):
    p = np.pad(x, ((0, 0), (2, 0), (0, 0)))  # padded at one side only
    dW = np.stack([np.tensordot(p[:, i : p.shape[1] - 2 + i], dy, ((0, 1), (0, 1))) for i in range(3)])
    wide = np.zeros((len(x), x.shape[1] + 2, x.shape[2]))
    for i in range(3):
        wide[:, i : wide.shape[1] - 2 + i] += dy @ W[i].T
    return wide[:, 1:-1], dW


def huber(x):
    return np.where(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5)


def gelu(x):
    return x / (1 + np.exp(-1.702 * x))


# ---- a course's two-layer network ------------------------------------------------------------------------

labels = np.array([0, 2, 1, 1, 0])


def network(x, W1, b1, W2, b2):
    h = np.maximum(x @ W1 + b1, 0)
    p = softmax(h @ W2 + b2)
    return -np.log(p[np.arange(5), labels]).mean() + 0.05 * ((W1 * W1).sum() + (W2 * W2).sum())


def network_grads(dy, x, W1, b1, W2, b2, mask=True, decay=0.1):
    z = x @ W1 + b1
    h = np.maximum(z, 0)
    d = (softmax(h @ W2 + b2) - np.eye(3)[labels]) / 5
    dz = d @ W2.T
    if mask:
        dz = dz * (z > 0)
    grads = dz @ W1.T, x.T @ dz + 0.1 * W1, dz.sum(0), h.T @ d + decay * W2, d.sum(0)
    return tuple(dy * g for g in grads)


class Accumulating:
    """A layer that never clears its gradient."""

    def __init__(self):
        self.dW = np.zeros((4, 3))

    def backward(self, dy, x, W):
        self.dW = self.dW + x.T @ dy
        return dy @ W.T, self.dW


net = draw(5, 4), draw(4, 6), draw(6), draw(6, 3), draw(3)
x3, U, V = draw(3, 4, 3), draw(3, 5), draw(5, 5)
HELD_OUT = [
    ("group norm without its mean path", group_norm, group_norm_without_mean, (draw(3, 5, 4),), "x", {"mean-path"}),
    (
        "rows of length 1, length taken for a constant",
        unit_rows,
        unit_rows_without_projection,
        (draw(4, 5),),
        "x",
        {"norm-path", "sum-path"},
    ),
    (
        "weight norm by columns, norms detached",
        weight_norm_columns,
        weight_norm_columns_detached,
        (draw(5, 4), draw(4, 3)),
        "x v",
        {"norm-path"},
    ),
    (
        "batch norm, channels first, sums over samples only",
        batch_norm_first,
        batch_norm_first_over_samples_only,
        (draw(4, 3, 2, 3), draw(3), draw(3)),
        "x gamma beta",
        {"wrong-axes", "statistics"},
    ),
    (
        "attention without 1 / sqrt(d) in dq",
        attention,
        lambda dy, *a: attention_grads(dy, *a, scale=1),
        (draw(3, 4), draw(5, 4), draw(5, 2)),
        "q k v",
        {"scale"},
    ),
    (
        "attention without softmax's sum",
        attention,
        lambda dy, *a: attention_grads(dy, *a, path=0),
        (draw(3, 4), draw(5, 4), draw(5, 2)),
        "q k v",
        {"sum-path", "diagonal"},
    ),
    (
        "a recurrence that stops at the last step",
        rnn,
        rnn_cut,
        (x3, U, V),
        "x U V",
        {"detached", "first-sample", "branch"},
    ),
    (
        "a gate without its sigmoid's slope",
        gate,
        gate_without_slope,
        (draw(5, 4), draw(4, 3), draw(4, 3)),
        "x a b",
        {"derivative-missing"},
    ),
    ("matrix inverse, not transposed", np.linalg.inv, inverse_not_transposed, (draw(4, 4),), "A", {"transposed"}),
    (
        "cumulative sum, not reversed",
        lambda x: np.cumsum(x, 1),
        lambda dy, x: (np.cumsum(dy, 1),),
        (draw(3, 6),),
        "x",
        {"transposed", "flipped"},
    ),
    (
        "log-softmax without its sum",
        lambda x: np.log(softmax(x)),
        log_softmax_without_sum,
        (draw(4, 5),),
        "x",
        {"sum-path", "diagonal"},
    ),
    (
        "pixel shuffle, axes in the wrong order",
        shuffle,
        shuffle_wrong,
        (draw(2, 3, 2, 4),),
        "x",
        {"wrong-place", "transposed"},
    ),
    (
        "depthwise convolution, kernel not flipped",
        depthwise,
        depthwise_not_flipped,
        (draw(2, 3, 7), draw(3, 3)),
        "x W",
        {"flipped"},
    ),
    ("1-D convolution, padded at one side", conv1d, conv1d_shifted, (draw(2, 8, 3), draw(3, 3, 2)), "x W", {"shifted"}),
    (
        "Huber without its clip",
        huber,
        lambda dy, x: (dy * x,),
        (1.5 * draw(4, 5),),
        "x",
        {"side", "derivative-wrong", "mask-missing"},
    ),
    (
        "GELU, one branch of the product",
        gelu,
        lambda dy, x: (dy / (1 + np.exp(-1.702 * x)),),
        (draw(4, 5),),
        "x",
        {"branch"},
    ),
    (
        "two-layer network without ReLU's mask",
        network,
        lambda dy, *a: network_grads(dy, *a, mask=False),
        net,
        "x W1 b1 W2 b2",
        {"derivative-missing", "mask-missing"},
    ),
    (
        "two-layer network, decay without its 2",
        network,
        lambda dy, *a: network_grads(dy, *a, decay=0.05),
        net,
        "x W1 b1 W2 b2",
        {"decay", "norm-path"},
    ),
    (
        "dense, gradient never cleared",
        lambda x, W: x @ W,
        Accumulating().backward,
        (draw(5, 4), draw(4, 3)),
        "x W",
        {"accumulated"},
    ),
    (
        "scale per channel, not summed",
        lambda x, s: x * s,
        lambda dy, x, s: (dy * s, dy * x),
        (draw(5, 3), draw(3)),
        "x s",
        {"not-summed"},
    ),
]


def planted(name, forward, backward, args, names, kinds, *second_order):
    """Return a bug as a Planted; its right backward is not known."""
    kinds = set(kinds.split()) if isinstance(kinds, str) else set(kinds)
    words = ("added to the old one",) if "accumulated" in kinds else ()  # a finding
    fields = name, forward, plainly(backward), args, tuple(names.split()), kinds, words
    return Planted(*fields, second_order=bool(second_order))


PLANTED = [planted(*case) for case in (*HELD_OUT, *COURSE, *FRESH)]
RIGHT = []
