"""Planted bugs of sequences: recurrences, gates, attention with masks and heads, positions, scans, highways."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(163)
draw = lambda *shape: 0.7 * rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# ---- recurrences, every state an output ------------------------------------------------------------------


def rnn(x, h0, U, V, b):  # (T, N, D) to (T, N, H)
    h, hs = h0, []
    for xt in x:
        h = np.tanh(xt @ U + h @ V + b)
        hs.append(h)
    return np.stack(hs)


def rnn_grads(dy, x, h0, U, V, b, bug=""):
    hs = np.concatenate([h0[None], rnn(x, h0, U, V, b)])
    dx, dU, dV, db, carry = np.zeros_like(x), 0 * U, 0 * V, 0 * b, 0 * h0
    for t in range(len(x) - 1, -1, -1):
        total = carry if bug == "RNN: only the last state's dy" and t < len(x) - 1 else dy[t] + carry
        before = hs[t if bug == "RNN: slope at the state before" else t + 1]
        dz = total * (1 - before**2)
        dx[t] = dz @ U.T
        dU, db = dU + x[t].T @ dz, db + dz.sum(0)
        dV = dV + hs[t + 1 if bug == "RNN: dV with the state after the step" else t].T @ dz
        if bug == "RNN: dV overwritten at each step":
            dV = hs[t].T @ dz
        carry = dz @ (V if bug == "RNN: carried through V, not transposed" else V.T)
        if bug == "RNN: truncated after two steps" and t == len(x) - 2:
            carry = 0 * carry
    return dx, 0 * h0 if bug == "RNN: the initial state is detached" else carry, dU, dV, db


def gru(x, h0, A, B, C):  # one step; A, B, C: of [x, h], for update, reset and candidate
    xh = np.concatenate([x, h0], 1)
    z, r = sigmoid(xh @ A), sigmoid(xh @ B)
    c = np.tanh(np.concatenate([x, r * h0], 1) @ C)
    return (1 - z) * h0 + z * c


def gru_grads(dy, x, h0, A, B, C, bug=""):
    xh, d = np.concatenate([x, h0], 1), x.shape[1]
    z, r = sigmoid(xh @ A), sigmoid(xh @ B)
    xr = np.concatenate([x, r * h0], 1)
    c = np.tanh(xr @ C)
    dz = dy * (c if bug == "GRU: dz from the candidate alone" else c - h0) * z * (1 - z)
    dc = dy * z * (1 - c * c)
    back = dc @ C.T
    dr = back[:, d:] * h0 * r * (1 - r)
    if bug == "GRU: reset gate's slope":
        dr = back[:, d:] * h0
    both = dz @ A.T + dr @ B.T
    kept = z if bug == "GRU: z and 1 - z exchanged on the way back" else 1 - z
    dh = dy * kept + back[:, d:] * r + both[:, d:]
    if bug == "GRU: h not through the candidate":
        dh = dy * kept + both[:, d:]
    dC = (xh if bug == "GRU: dC sees h, not the reset h" else xr).T @ dc
    return both[:, :d] + back[:, :d], dh, xh.T @ dz, xh.T @ dr, dC


def lstm(x, c, W, p):  # one step from a cell c, without a hidden input; p: peepholes of forget, input, output
    i, f, o, g = np.split(x @ W, 4, 1)
    i, f, g = sigmoid(i + p[1] * c), sigmoid(f + p[0] * c), np.tanh(g)
    new = f * c + i * g
    return sigmoid(o + p[2] * new) * np.tanh(new)


def lstm_grads(dy, x, c, W, p, bug=""):
    i, f, o, g = np.split(x @ W, 4, 1)
    i, f, g = sigmoid(i + p[1] * c), sigmoid(f + p[0] * c), np.tanh(g)
    new = f * c + i * g
    o, t = sigmoid(o + p[2] * new), np.tanh(new)
    do = dy * t * o * (1 - o)
    dnew = dy * o * (1 - t * t)
    if bug != "LSTM: the output's peephole carries nothing back":
        dnew = dnew + do * p[2]
    di, df = dnew * g * i * (1 - i), dnew * c * f * (1 - f)
    dg = dnew * i * (1 - (np.tanh(g) if bug == "LSTM: tanh twice in the candidate's slope" else g) ** 2)
    order = (df, di, do, dg) if bug == "LSTM: gates in another order" else (di, df, do, dg)
    d = np.concatenate(order, 1)
    dc = dnew * f + df * p[0] + di * p[1]
    if bug == "LSTM: dc past its peepholes":
        dc = dnew * f
    third = c if bug == "LSTM: the output's peephole sees the old cell" else new
    return d @ W.T, dc, x.T @ d, np.stack([(df * c).sum(0), (di * c).sum(0), (do * third).sum(0)])


def both_ways(x, U):  # a bidirectional scan with a shared weight: h_t = tanh(x_t + h_{t-1} U), and from the end
    run = lambda x: rnn(x, 0 * x[0], np.eye(x.shape[2]), U, 0.0)
    return np.concatenate([run(x), run(x[::-1])[::-1]], 2)


def both_ways_grads(dy, x, U, bug=""):
    d, one, nil = x.shape[2], np.eye(x.shape[2]), np.zeros(x.shape[2])
    ahead = rnn_grads(dy[:, :, :d], x, 0 * x[0], one, U, nil)
    turned = dy[:, :, d:] if bug == "bidirectional: dy of the second way not reversed" else dy[::-1, :, d:]
    back = rnn_grads(turned, x[::-1], 0 * x[0], one, U, nil)
    dx = back[0] if bug == "bidirectional: dx of the second way not reversed" else back[0][::-1]
    dU = ahead[3] + (0 if bug == "bidirectional: the shared weight from one way" else back[3])
    return ahead[0] + dx, dU


def average(x, a):  # y_t = a y_{t-1} + (1 - a) x_t
    y, ys = np.zeros_like(x[0]), []
    for xt in x:
        y = a * y + (1 - a) * xt
        ys.append(y)
    return np.stack(ys)


def average_grads(dy, x, a, bug=""):
    ys = np.concatenate([0 * x[:1], average(x, a)])
    carry, dx, da = 0, np.zeros_like(x), 0.0
    for t in range(len(x) - 1, -1, -1):
        g = dy[t] + carry
        dx[t] = (1 - a) * g
        da += (g * (ys[t] - (0 if bug == "moving average: da without the new value" else x[t]))).sum()
        carry = (1 - a if bug == "moving average: carried by 1 - a" else a) * g
    if bug == "moving average: dx not carried":
        dx = (1 - a) * dy
    return dx, np.array(da)


def decoder(x, W, E):  # half the steps see their own output, the other half the teacher's
    h, hs = np.zeros((x.shape[1], W.shape[0])), []
    for t, xt in enumerate(x):
        h = np.tanh((xt @ E if t % 2 == 0 else np.sin(h)) + h @ W)
        hs.append(h)
    return np.stack(hs)


def decoder_grads(dy, x, W, E, bug=""):
    hs = np.concatenate([np.zeros((1, *dy.shape[1:])), decoder(x, W, E)])
    dx, dW, dE, carry = np.zeros_like(x), 0 * W, 0 * E, 0
    for t in range(len(x) - 1, -1, -1):
        dz = (dy[t] + carry) * (1 - hs[t + 1] ** 2)
        carry = dz @ W.T
        if t % 2 == 0 or bug == "teacher forcing: fed-back steps take the teacher's":
            dx[t], dE = dz @ E.T, dE + x[t].T @ dz
        elif bug != "teacher forcing: the fed-back output is detached":
            carry = carry + dz * np.cos(hs[t])
        dW = dW + hs[t].T @ dz
    return dx, dW, dE


# ---- attention -------------------------------------------------------------------------------------------


def causal(q, k, v):  # (T, D)
    s = np.where(np.tri(len(q)) > 0, q @ k.T / np.sqrt(q.shape[1]), -1e9)
    return softmax(s) @ v


def causal_grads(dy, q, k, v, bug=""):
    s = q @ k.T / np.sqrt(q.shape[1])
    seen = np.tri(len(q)).T if bug == "causal attention: the mask transposed" else np.tri(len(q))
    if bug == "causal attention: no mask in the backward":
        seen = np.ones_like(seen)
    p = softmax(np.where(seen > 0, s, -1e9))
    dp = dy @ v.T
    axis = 0 if bug == "causal attention: softmax's sum over queries" else 1
    ds = p * (dp - (p * dp).sum(axis, keepdims=True)) / np.sqrt(q.shape[1])
    dk = ds.T @ q
    if bug == "causal attention: dk by sqrt(d) twice":
        dk = dk / np.sqrt(q.shape[1])
    return ds @ k, dk, (p if bug == "causal attention: dv by the weights, not transposed" else p.T) @ dy


HEADS = 2
PAD = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0]])


def split(x):  # (N, T, D) to (N, heads, T, D / heads)
    return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)


def merge(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def heads(x, Q, K, V, O):  # self-attention with padded keys
    q, k, v = split(x @ Q), split(x @ K), split(x @ V)
    s = np.where(PAD[:, None, None] > 0, q @ k.transpose(0, 1, 3, 2), -1e9)
    return merge(softmax(s) @ v) @ O


def heads_grads(dy, x, Q, K, V, O, bug=""):
    q, k, v = split(x @ Q), split(x @ K), split(x @ V)
    p = softmax(np.where(PAD[:, None, None] > 0, q @ k.transpose(0, 1, 3, 2), -1e9))
    d = split(dy @ O.T)
    if bug == "multi-head: heads split without the transpose":
        d = (dy @ O.T).reshape(d.shape)
    dp = d @ v.transpose(0, 1, 3, 2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    if bug == "multi-head: every head with the first head's weights":
        dv = merge(p[:, :1].transpose(0, 1, 3, 2) @ d)
    else:
        dv = merge(p.transpose(0, 1, 3, 2) @ d)
    dq, dk = merge(ds @ k), merge(ds.transpose(0, 1, 3, 2) @ q)
    if bug == "multi-head: merged by a reshape alone":
        dq = (ds @ k).reshape(dq.shape)
    dx = dq @ Q.T + dk @ K.T + dv @ V.T
    if bug == "self-attention: x from the values alone":
        dx = dv @ V.T
    if bug == "self-attention: the queries' path to x forgotten":
        dx = dk @ K.T + dv @ V.T
    weight = lambda g: np.einsum("ntd,nte->de", x, g)
    return dx, weight(dq), weight(dk), weight(dv), np.einsum("ntd,nte->de", merge(p @ v), dy)


def rotary(x):  # (T, 4): pairs turned by an angle that grows with t
    c, s = np.cos(ANGLE), np.sin(ANGLE)
    a, b = x[:, ::2], x[:, 1::2]
    return np.stack([a * c - b * s, a * s + b * c], 2).reshape(x.shape)


def rotary_grads(dy, x, bug=""):
    c, s = np.cos(ANGLE), np.sin(ANGLE)
    a, b = dy[:, ::2], dy[:, 1::2]
    if bug == "rotary positions: turned forward again":
        s = -s
    if bug == "rotary positions: halves for pairs":
        a, b = dy[:, :2], dy[:, 2:]
    return np.stack([a * c + b * s, b * c - a * s], 2).reshape(x.shape)


ANGLE = np.arange(4)[:, None] * np.array([1.0, 0.3])


def positioned(x, P, W):  # a learned embedding of positions, and a scale of sqrt(D) for x
    return np.tanh((2 * x + P) @ W)


def positioned_grads(dy, x, P, W, bug=""):
    h = 2 * x + P
    d = dy * (1 - np.tanh(h @ W) ** 2)
    dh = d @ W.T
    dP = dh.mean(0) if bug == "positions: averaged over samples" else dh.sum(0)
    dW = np.einsum("ntd,nte->de", x if bug == "positions: dW sees x without them" else h, d)
    return dh if bug == "positions: the scale of x forgotten" else 2 * dh, dP, dW


def highway(x, W, G):
    g = sigmoid(x @ G - 1)
    return g * np.tanh(x @ W) + (1 - g) * x


def highway_grads(dy, x, W, G, bug=""):
    g, h = sigmoid(x @ G - 1), np.tanh(x @ W)
    dz, dg = dy * g * (1 - h * h), dy * (h - x) * g * (1 - g)
    if bug == "highway: the gate of the carry forgotten in dG":
        dg = dy * h * g * (1 - g)
    carry = dy * (1 if bug == "highway: the carry is not gated" else 1 - g)
    return dz @ W.T + (0 if bug == "highway: x through its gate" else dg @ G.T) + carry, x.T @ dz, x.T @ dg


# ---- right code that is hard to judge --------------------------------------------------------------------


def doubling(x):  # a scan that grows by a factor of 10 in each step
    y, ys = 0, []
    for xt in x:
        y = 10 * y + xt
        ys.append(y)
    return np.stack(ys)


def doubling_grads(dy, x):
    carry, dx = 0, np.zeros_like(x)
    for t in range(len(x) - 1, -1, -1):
        carry = dx[t] = dy[t] + 10 * carry
    return dx


SHARP = 5 * draw(3, 4), 5 * draw(3, 4), draw(3, 2)
RIGHT = [
    Right("attention that has decided", causal, causal_grads, SHARP, ("q", "k", "v")),
    Right("a scan that grows", doubling, doubling_grads, (draw(5, 2),), ("x",)),
    Right("a saturated gate", highway, highway_grads, (8 * draw(3, 3), draw(3, 3), draw(3, 3)), ("x", "W", "G")),
    Right("one step in time", rnn, rnn_grads, (draw(1, 2, 3), draw(2, 3), draw(3, 3), draw(3, 3), draw(3)),
        ("x", "h0", "U", "V", "b")),
]  # fmt: skip
RNN = draw(4, 3, 2), draw(3, 3), draw(2, 3), draw(3, 3), draw(3)
PLANTED = [
    *family(rnn, rnn_grads, RNN, "x h0 U V b",
        ("RNN: only the last state's dy", "steps branch sample-dropped first-sample"),
        ("RNN: slope at the state before", "derivative-at-input derivative-wrong shifted derivative-at-output"),
        ("RNN: dV with the state after the step", "shifted roles pre-activation"),
        ("RNN: dV overwritten at each step", "overwritten first-sample steps sample-dropped"),
        ("RNN: carried through V, not transposed", "transposed"),
        ("RNN: truncated after two steps", "steps first-sample"),
        ("RNN: the initial state is detached", "detached")),
    *family(gru, gru_grads, (draw(4, 2), draw(4, 3), draw(5, 3), draw(5, 3), draw(5, 3)), "x h0 A B C",
        ("GRU: dz from the candidate alone", "branch argument-ignored"),
        ("GRU: reset gate's slope", "derivative-missing"),
        ("GRU: z and 1 - z exchanged on the way back", "swapped-constants exchanged roles branch derivative-wrong"),
        ("GRU: h not through the candidate", "branch argument-ignored"),
        ("GRU: dC sees h, not the reset h", "branch argument-ignored pre-activation", r"does not depend on B")),
    *family(lstm, lstm_grads, (draw(4, 3), draw(4, 2), draw(3, 8), draw(3, 2)), "x c W p",
        ("LSTM: the output's peephole carries nothing back", "branch uses argument-ignored detached"),
        ("LSTM: tanh twice in the candidate's slope", "derivative-at-output derivative-twice derivative-wrong"),
        ("LSTM: gates in another order", "exchanged wrong-place transposed flipped"),
        ("LSTM: dc past its peepholes", "branch uses argument-ignored"),
        ("LSTM: the output's peephole sees the old cell", "pre-activation roles index argument-ignored")),
    *family(both_ways, both_ways_grads, (draw(4, 2, 3), draw(3, 3)), "x U",
        ("bidirectional: dy of the second way not reversed", "flipped"),
        ("bidirectional: dx of the second way not reversed", "flipped"),
        ("bidirectional: the shared weight from one way", "uses branch")),
    *family(average, average_grads, (draw(5, 3), np.array(0.8)), "x a",
        ("moving average: da without the new value", "branch argument-ignored"),
        ("moving average: carried by 1 - a", "swapped-constants argument-ignored roles steps"),
        ("moving average: dx not carried", "steps diagonal cross-terms")),
    *family(decoder, decoder_grads, (draw(4, 2, 2), draw(3, 3), draw(2, 3)), "x W E",
        ("teacher forcing: fed-back steps take the teacher's", "mask-missing wrong-place"),
        ("teacher forcing: the fed-back output is detached", "steps branch uses detached")),
    *family(causal, causal_grads, (draw(4, 3), draw(4, 3), draw(4, 4)), "q k v",
        ("causal attention: the mask transposed", "transposed flipped wrong-place"),
        ("causal attention: no mask in the backward", "mask-missing wrong-place"),
        ("causal attention: softmax's sum over queries", "wrong-axes"),
        ("causal attention: dk by sqrt(d) twice", "scale"),
        ("causal attention: dv by the weights, not transposed", "transposed")),
    *family(heads, heads_grads, (draw(2, 4, 4), draw(4, 4), draw(4, 4), draw(4, 4), draw(4, 4)), "x Q K V O",
        ("multi-head: heads split without the transpose", "wrong-place transposed"),
        ("multi-head: every head with the first head's weights", "wrong-place index first-sample"),
        ("multi-head: merged by a reshape alone", "wrong-place transposed"),
        ("self-attention: x from the values alone", "branch uses detached argument-ignored"),
        ("self-attention: the queries' path to x forgotten", "branch uses argument-ignored")),
    *family(rotary, rotary_grads, (draw(4, 4),), "x",
        ("rotary positions: turned forward again", "transposed sign"),
        ("rotary positions: halves for pairs", "wrong-place transposed")),
    *family(positioned, positioned_grads, (draw(3, 4, 3), draw(4, 3), draw(3, 2)), "x P W",
        ("positions: averaged over samples", "scale"),
        ("positions: dW sees x without them", "argument-ignored branch roles", r"does not depend on P"),
        ("positions: the scale of x forgotten", "scale")),
    *family(highway, highway_grads, (draw(4, 3), draw(3, 3), draw(3, 3)), "x W G",
        ("highway: the gate of the carry forgotten in dG", "branch"),
        ("highway: the carry is not gated", "branch argument-ignored"),
        ("highway: x through its gate", "branch uses detached argument-ignored")),
]  # fmt: skip
