"""A sealed bank: attention and what stands around it."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7105)
draw = lambda *shape: rng.standard_normal(shape)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def pull_softmax(dp, p, axis=-1):
    return p * (dp - (dp * p).sum(axis, keepdims=True))


# ---- two heads, causal -----------------------------------------------------------------------------------


def split(a, heads=2):  # (T, D) -> (heads, T, D / heads)
    return a.reshape(len(a), heads, -1).transpose(1, 0, 2)


def merge(a):
    return a.transpose(1, 0, 2).reshape(a.shape[1], -1)


def multi_head(q, k, v):
    Q, K, V = split(q), split(k), split(v)
    s = Q @ K.transpose(0, 2, 1) / np.sqrt(Q.shape[-1])
    s = np.where(np.tril(np.ones(s.shape[1:], bool)), s, -1e9)
    return merge(softmax(s) @ V)


def multi_head_grads(dy, q, k, v, bug=""):
    Q, K, V, d = split(q), split(k), split(v), split(dy)
    scale = 1 / np.sqrt(q.shape[1] if bug == "multi-head: scaled by the model's width" else Q.shape[-1])
    lower = np.tril(np.ones((len(q), len(q)), bool))
    p = softmax(np.where(lower, Q @ K.transpose(0, 2, 1) / np.sqrt(Q.shape[-1]), -1e9))
    dV = p.transpose(0, 2, 1) @ d
    dp = d @ V.transpose(0, 2, 1)
    ds = pull_softmax(dp, p, 1 if bug == "multi-head: softmax's sum over the queries" else -1) * scale
    if bug == "multi-head: mask transposed in backward":
        ds = np.where(lower.T, ds, 0)
    dq, dk, dv = merge(ds @ K), merge(ds.transpose(0, 2, 1) @ Q), merge(dV)
    if bug == "multi-head: heads of v merged without the transpose":
        dv = dV.reshape(v.shape)
    return dq, dk, dv


# ---- self-attention of one sequence ----------------------------------------------------------------------


def self_attention(x, Wq, Wk, Wv):
    return softmax((x @ Wq) @ (x @ Wk).T) @ (x @ Wv) + x


def self_attention_grads(dy, x, Wq, Wk, Wv, bug=""):
    q, k, v = x @ Wq, x @ Wk, x @ Wv
    p = softmax(q @ k.T)
    dv, ds = p.T @ dy, pull_softmax(dy @ v.T, p)
    dq, dk = ds @ k, ds.T @ q
    dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T + dy
    if bug == "self-attention: x as keys left out of dx":
        dx = dx - dk @ Wk.T
    if bug == "self-attention: residual left out of dx":
        dx = dx - dy
    if bug == "self-attention: dWk from the queries' gradient":
        dk = dq
    return dx, x.T @ dq, x.T @ dk, x.T @ dv


# ---- additive, linear, one key for all heads -------------------------------------------------------------


def additive(q, k, v, w):  # Bahdanau: q (T, D), k (S, D), v (S, K)
    return softmax(np.tanh(q[:, None] + k[None]) @ w) @ v


def additive_grads(dy, q, k, v, w, bug=""):
    h = np.tanh(q[:, None] + k[None])
    p = softmax(h @ w)
    de = pull_softmax(dy @ v.T, p)
    if bug == "additive: softmax's derivative left out":
        de = dy @ v.T
    dz = de[:, :, None] * w * (1 - h**2)
    if bug == "additive: (1 - tanh) for (1 - tanh^2)":
        dz = de[:, :, None] * w * (1 - h)
    dq, dk = dz.sum(1), dz.sum(0)
    if bug == "additive: sums over queries and keys exchanged":  # T = S
        dq, dk = dk, dq
    return dq, dk, p.T @ dy, np.einsum("ts,tsd->d", de, h)


def feature(x):  # elu(x) + 1
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def linear_attention(q, k, v):
    fq, fk = feature(q), feature(k)
    return fq @ (fk.T @ v) / (fq @ fk.sum(0))[:, None]


def linear_attention_grads(dy, q, k, v, bug=""):
    fq, fk = feature(q), feature(k)
    S, z = fk.T @ v, fk.sum(0)
    n = (fq @ z)[:, None]
    y, dnum = fq @ S / n, dy / n
    dn = -(dnum * y).sum(1, keepdims=True)
    if bug == "linear attention: normaliser taken as constant":
        dn = 0 * dn
    dfq, dfk = dnum @ S.T + dn * z, v @ (fq.T @ dnum).T + (fq.T @ dn).T
    slope = lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0)))
    if bug == "linear attention: slope of ReLU for ELU":
        slope = lambda x: (x > 0) * 1.0
    return dfq * slope(q), dfk * slope(k), fk @ (fq.T @ dnum)


def multi_query(q, k, v):  # q (H, T, D), one k and v (T, D) for all heads
    return np.stack([softmax(head @ k.T / 2) @ v for head in q])


def multi_query_grads(dy, q, k, v, bug=""):
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for h in range(len(q)):
        p = softmax(q[h] @ k.T / 2)
        ds = pull_softmax(dy[h] @ v.T, p) / 2
        dq[h] = ds @ k
        dk = ds.T @ q[h] if bug == "multi-query: dk of the last head" else dk + ds.T @ q[h]
        dv += p.T @ dy[h]
    if bug == "multi-query: dv divided by the heads":
        dv /= len(q)
    return dq, dk, dv


# ---- positions -------------------------------------------------------------------------------------------


def rotary(x):  # (T, 4): pairs (0, 1), (2, 3)
    angle = np.arange(len(x), dtype=x.real.dtype)[:, None] * np.array([1, 0.1], x.real.dtype)
    a, b = x[:, ::2], x[:, 1::2]
    return np.stack([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], 2).reshape(x.shape)


def rotary_grad(dy, x, bug=""):
    if bug:
        return (rotary(dy),)  # rotates further, not back
    angle = -np.arange(len(x), dtype=x.dtype)[:, None] * np.array([1, 0.1], x.dtype)
    a, b = dy[:, ::2], dy[:, 1::2]
    return (
        np.stack([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], 2).reshape(x.shape),
    )


def relative(s, table):  # scores (T, T) and a bias for each distance
    T = len(s)
    return softmax(s + table[np.arange(T)[:, None] - np.arange(T) + T - 1])


def relative_grads(dy, s, table, bug=""):
    T, p = len(s), relative(s, table)
    ds, dtable = pull_softmax(dy, p), np.zeros_like(table)
    if bug == "relative bias: gathered gradients overwrite":
        dtable[np.arange(T)[:, None] - np.arange(T) + T - 1] += ds
        return ds, dtable
    for i in range(T):
        for j in range(T):
            dtable[(j - i if bug == "relative bias: j - i for i - j" else i - j) + T - 1] += ds[i, j]
    return ds, dtable


# ---- graph attention, sparsemax, dropout on the weights --------------------------------------------------

edges = np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]], bool)


def graph(h, a, b):  # h (N, D); the score of an edge is LeakyReLU(h_i a + h_j b)
    e = (h @ a)[:, None] + (h @ b)[None]
    return softmax(np.where(edges, np.where(e > 0, e, 0.2 * e), -1e9)) @ h


def graph_grads(dy, h, a, b, bug=""):
    e = (h @ a)[:, None] + (h @ b)[None]
    p = softmax(np.where(edges, np.where(e > 0, e, 0.2 * e), -1e9))
    de = pull_softmax(dy @ h.T, p)
    if bug != "graph attention: LeakyReLU's slope":
        de = de * np.where(e > 0, 1, 0.2)
    left, right = de.sum(1), de.sum(0)
    dh = p.T @ dy + np.outer(left, a) + np.outer(right, b)
    if bug == "graph attention: dh of the values only":
        dh = p.T @ dy
    return dh, h.T @ left, h.T @ right


def sparsemax(z):  # rows
    s = -np.sort(-z, axis=1)
    k = np.arange(1, z.shape[1] + 1)
    count = (1 + k * s > np.cumsum(s, 1)).sum(1)
    tau = (np.cumsum(s, 1)[np.arange(len(z)), count - 1] - 1) / count
    return np.maximum(z - tau[:, None], 0)


def sparsemax_grad(dy, z, bug=""):
    support = sparsemax(z) > 0
    count = z.shape[1] if bug == "sparsemax: mean over all, not over the support" else support.sum(1, keepdims=True)
    d = dy * support
    if bug == "sparsemax: mean of dy off the support too":
        return (support * (dy - dy.sum(1, keepdims=True) / count),)
    return (support * (d - d.sum(1, keepdims=True) / count),)


kept = (np.random.default_rng(5).random((4, 4)) < 0.7) / 0.7


def dropped(s, v):
    return (softmax(s) * kept) @ v


def dropped_grads(dy, s, v, bug=""):
    p, dp = softmax(s), (dy @ v.T) * (1 if bug == "attention dropout: mask missing in ds" else kept)
    dv = (p if bug == "attention dropout: mask missing in dv" else p * kept).T @ dy
    return pull_softmax(dp, p), dv


PLANTED = [
    *family(
        multi_head, multi_head_grads, (draw(4, 6), draw(4, 6), draw(4, 6)), "q k v",
        ("multi-head: scaled by the model's width", "scale"),
        ("multi-head: softmax's sum over the queries", "wrong-axes"),
        ("multi-head: mask transposed in backward", "transposed mask-missing steps", r"mask|triang"),
        ("multi-head: heads of v merged without the transpose", "transposed wrong-place mixed"),
    ),
    *family(
        self_attention, self_attention_grads, (draw(4, 3), draw(3, 3), draw(3, 3), draw(3, 3)), "x Wq Wk Wv",
        ("self-attention: x as keys left out of dx", "uses branch"),
        ("self-attention: residual left out of dx", "branch uses"),
        ("self-attention: dWk from the queries' gradient", "exchanged roles", r"W[qk]"),
    ),
    *family(
        additive, additive_grads, (draw(3, 4), draw(3, 4), draw(3, 2), draw(4)), "q k v w",
        ("additive: softmax's derivative left out", "softmax-missing sum-path derivative-missing"),
        ("additive: (1 - tanh) for (1 - tanh^2)", "derivative-wrong"),
        ("additive: sums over queries and keys exchanged", "exchanged wrong-axes"),
    ),
    *family(
        linear_attention, linear_attention_grads, (draw(4, 3), draw(4, 3), draw(4, 2)), "q k v",
        ("linear attention: normaliser taken as constant", "detached norm-path sum-path"),
        ("linear attention: slope of ReLU for ELU", "derivative-wrong side mask-missing", r"ReLU|negative"),
    ),
    *family(
        multi_query, multi_query_grads, (draw(2, 4, 3), draw(4, 3), draw(4, 3)), "q k v",
        ("multi-query: dk of the last head", "overwritten uses sample-dropped", r"last"),
        ("multi-query: dv divided by the heads", "scale"),
    ),
    *family(rotary, rotary_grad, (draw(5, 4),), "x", ("rotary: rotated on, not back", "transposed sign inverted")),
    *family(
        relative, relative_grads, (draw(4, 4), draw(7)), "s table",
        ("relative bias: gathered gradients overwrite", "overwritten"),
        ("relative bias: j - i for i - j", "flipped transposed"),
    ),
    *family(
        graph, graph_grads, (draw(4, 3), draw(3), draw(3)), "h a b",
        ("graph attention: LeakyReLU's slope", "derivative-missing mask-missing derivative-wrong"),
        ("graph attention: dh of the values only", "branch detached uses"),
    ),
    *family(
        sparsemax, sparsemax_grad, (draw(5, 4),), "z",
        ("sparsemax: mean over all, not over the support", "mean-path constant sum-path"),
        ("sparsemax: mean of dy off the support too", "mask-missing mean-path", r"mask|does not depend"),
    ),
    *family(
        dropped, dropped_grads, (draw(4, 4), draw(4, 3)), "s v",
        ("attention dropout: mask missing in ds", "mask-missing"),
        ("attention dropout: mask missing in dv", "mask-missing"),
    ),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def batched(q, k, v):
    s = np.einsum("bid,bjd->bij", q, k) * q.shape[-1] ** -0.5
    return np.einsum("bij,bjk->bik", softmax(s), v)


def batched_grads(dy, q, k, v):
    p = softmax(np.einsum("bid,bjd->bij", q, k) * q.shape[-1] ** -0.5)
    ds = pull_softmax(np.einsum("bik,bjk->bij", dy, v), p) * q.shape[-1] ** -0.5
    return np.einsum("bij,bjd->bid", ds, k), np.einsum("bij,bid->bjd", ds, q), np.einsum("bij,bik->bjk", p, dy)


def infinite(q, k, v):  # a mask of -inf
    s = np.where(np.tril(np.ones((len(q), len(q)), bool)), q @ k.T, -np.inf)
    return softmax(s) @ v


def infinite_grads(dy, q, k, v):
    p = softmax(np.where(np.tril(np.ones((len(q), len(q)), bool)), q @ k.T, -np.inf))
    ds = pull_softmax(dy @ v.T, p)
    return ds @ k, ds.T @ q, p.T @ dy


def hard(q, k, v):  # the value of the nearest key: q and k have no gradient
    return v[(q @ k.T).argmax(1)]


def hard_grads(dy, q, k, v):
    dv = np.zeros_like(v)
    np.add.at(dv, (q @ k.T).argmax(1), dy)
    return np.zeros_like(q), np.zeros_like(k), dv


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
qkv = ("q", "k", "v")
RIGHT = [
    Right("batched attention", batched, batched_grads, (draw(2, 3, 4), draw(2, 3, 4), draw(2, 3, 2)), qkv),
    Right("batched attention, float32", batched, batched_grads,
          single(draw(2, 3, 4), draw(2, 3, 4), draw(2, 3, 2)), qkv),
    Right("batched attention, saturated", batched, batched_grads,
          (20 * draw(2, 3, 4), draw(2, 3, 4), draw(2, 3, 2)), qkv),
    Right("causal attention, a mask of -inf", infinite, infinite_grads, (draw(4, 3), draw(4, 3), draw(4, 2)), qkv),
    Right("attention of one token", infinite, infinite_grads, (draw(1, 3), draw(1, 3), draw(1, 2)), qkv),
    Right("hard attention", hard, hard_grads, (draw(4, 3), draw(5, 3), draw(5, 2)), qkv),
    Right("sparsemax, whole numbers", sparsemax, lambda dy, z: sparsemax_grad(dy, z),
          (np.array([[0.0, 1, 3, 2], [5, 0, 0, 0.5]]),), ("z",)),
    Right("linear attention, q at 0", linear_attention, lambda dy, q, k, v: linear_attention_grads(dy, q, k, v),
          (np.zeros((2, 3)), draw(4, 3), draw(4, 2)), qkv),
    Right("rotary, float32", rotary, lambda dy, x: rotary_grad(dy, x), single(draw(5, 4)), ("x",)),
    Right("self-attention, tiny weights", self_attention, lambda dy, *a: self_attention_grads(dy, *a),
          (draw(4, 3), 1e-4 * draw(3, 3), 1e-4 * draw(3, 3), draw(3, 3)), ("x", "Wq", "Wk", "Wv")),
]  # fmt: skip
