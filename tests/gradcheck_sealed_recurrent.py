"""A sealed bank: recurrences, gates, scans."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7106)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda z: 1 / (1 + np.exp(-z))


# ---- the recurrent network of a course: every state is an output -----------------------------------------


def rnn(x, h0, Wx, Wh, b):  # x (T, N, D)
    states, h = [], h0
    for t in range(len(x)):
        h = np.tanh(x[t] @ Wx + h @ Wh + b)
        states.append(h)
    return np.stack(states)


def rnn_grads(dh, x, h0, Wx, Wh, b, bug=""):
    states = rnn(x, h0, Wx, Wh, b)
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    later = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        before = states[t - 1] if t else h0
        total = dh[t] if bug == "rnn: gradient from the next step not added" else dh[t] + later
        dz = total * (1 - states[t] ** 2)
        dx[t] = dz @ Wx.T
        dWx += x[t].T @ dz
        dWh += (states[t] if bug == "rnn: dWh of the new state" else before).T @ dz
        db = dz.sum(0) if bug == "rnn: db of the first step" else db + dz.sum(0)
        later = dz @ (Wh if bug == "rnn: Wh not transposed on the way back" else Wh.T)
        if bug == "rnn: truncated after two steps" and t == len(x) - 2:
            break
    return dx, later, dWx, dWh, db


# ---- LSTM: all gates in one matrix, i f o g --------------------------------------------------------------


def lstm_steps(x, h, c, W, U):
    H, tape = h.shape[1], []
    for t in range(len(x)):
        z = x[t] @ W + h @ U
        i, f, o = (sigmoid(z[:, k * H : (k + 1) * H]) for k in range(3))
        g = np.tanh(z[:, 3 * H :])
        before = h, c
        c = f * c + i * g
        h = o * np.tanh(c)
        tape.append((before, i, f, o, g, c))
    return h, tape


def lstm(x, h, c, W, U):
    return lstm_steps(x, h, c, W, U)[0]


def lstm_grads(dh, x, h, c, W, U, bug=""):
    _, tape = lstm_steps(x, h, c, W, U)
    dx, dW, dU, dc = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), 0
    for t in reversed(range(len(x))):
        (h, c), i, f, o, g, new = tape[t]
        tanh = np.tanh(new)
        dc = dc + dh * o * (1 if bug == "lstm: tanh' of the cell" else 1 - tanh**2)
        do, df, di, dg = dh * tanh, dc * c, dc * g, dc * i
        if bug == "lstm: df of the new cell":
            df = dc * new
        dz = [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g * g)]
        if bug == "lstm: sigmoid' for the tanh gate":
            dz[3] = dg * g * (1 - g)
        dz = np.concatenate(dz, axis=1)
        dx[t], dh = dz @ W.T, dz @ U.T
        dW, dU = dW + x[t].T @ dz, dU + h.T @ dz
        dc = dc if bug == "lstm: forget gate left out between cells" else dc * f
        if bug == "lstm: cell's gradient does not go back":
            dc = 0 * dc
    return dx, dh, dc, dW, dU


# ---- GRU, one step ---------------------------------------------------------------------------------------


def gru(x, h, Wz, Wr, Wn, Un):
    z, r = sigmoid(x @ Wz + h), sigmoid(x @ Wr - h)
    n = np.tanh(x @ Wn + r * (h @ Un))
    return (1 - z) * n + z * h


def gru_grads(dy, x, h, Wz, Wr, Wn, Un, bug=""):
    z, r, hu = sigmoid(x @ Wz + h), sigmoid(x @ Wr - h), h @ Un
    n = np.tanh(x @ Wn + r * hu)
    dn = dy * (1 - z) * (1 - n**2)
    dz, dr = dy * (h - n) * z * (1 - z), dn * hu * r * (1 - r)
    if bug == "gru: update gate (n - h)":
        dz = -dz
    dx = dz @ Wz.T + dr @ Wr.T + dn @ Wn.T
    dh = dz - dr + (dn if bug == "gru: reset gate left out of dh" else dn * r) @ Un.T
    if bug != "gru: h not carried by z in dh":
        dh = dh + dy * z
    if bug == "gru: dWr left at zero":
        return dx, dh, x.T @ dz, np.zeros_like(Wr), x.T @ dn, h.T @ (dn * r)
    return dx, dh, x.T @ dz, x.T @ dr, x.T @ dn, h.T @ (dn * r)


# ---- both directions, sequences of different lengths -----------------------------------------------------


def scan(x, w):  # (T, N): h = tanh(x + w h)
    h, out = np.zeros_like(x[0] + w), []
    for row in x:
        h = np.tanh(row + w * h)
        out.append(h)
    return np.stack(out)


def pull_scan(d, x, w):
    out = scan(x, w)
    dx, dw, later = np.zeros_like(x), np.zeros_like(w), 0
    for t in reversed(range(len(x))):
        dx[t] = (d[t] + later) * (1 - out[t] ** 2)
        later = w * dx[t]
        dw += dx[t] * (out[t - 1] if t else 0)
    return dx, dw


def both(x, w, v):
    return scan(x, w) + scan(x[::-1], v)[::-1]


def both_grads(dy, x, w, v, bug=""):
    dx, dw = pull_scan(dy, x, w)
    back, dv = pull_scan(dy if bug == "both directions: dy not reversed" else dy[::-1], x[::-1], v)
    dx = dx + (back if bug == "both directions: result not reversed" else back[::-1])
    return dx, dw, dv


lengths = np.array([4, 2, 3])


def ragged(x, w):  # the last state of each sequence
    return scan(x, w)[lengths - 1, np.arange(3)]


def ragged_grads(dy, x, w, bug=""):
    d = np.zeros_like(x)
    d[-1 if bug else lengths - 1, np.arange(3)] = dy
    return pull_scan(d, x, w)


# ---- averages, sums, products, Euler steps ---------------------------------------------------------------


def average(x, a):  # h_t = a h_{t-1} + (1 - a) x_t, a per column
    h, out = 0 * x[0], []
    for row in x:
        h = a * h + (1 - a) * row
        out.append(h)
    return np.stack(out)


def average_grads(dy, x, a, bug=""):
    out, later = average(x, a), 0
    dx, da = np.zeros_like(x), np.zeros_like(a)
    for t in reversed(range(len(x))):
        d = dy[t] + later
        dx[t] = d * (1 if bug == "average: 1 - a left out of dx" else 1 - a)
        da += d * ((out[t - 1] if t else 0) - (0 if bug == "average: da of the old state only" else x[t]))
        later = a * d
    return dx, da


def cumulative(x):
    return np.cumsum(x, axis=0)


def cumulative_grad(dy, x, bug=""):
    return (np.cumsum(dy, axis=0) if bug else np.cumsum(dy[::-1], axis=0)[::-1],)


def products(x):
    return np.cumprod(x, axis=1)


def products_grad(dy, x, bug=""):
    y = np.cumprod(x, axis=1)
    if bug:
        return (dy * y / x,)
    return (np.cumsum((dy * y)[:, ::-1], axis=1)[:, ::-1] / x,)


def euler(x, W, h=0.25, steps=3):
    for _ in range(steps):
        x = x + h * np.tanh(x @ W)
    return x


def euler_grads(dy, x, W, h=0.25, steps=3, bug=""):
    path = [x]
    for _ in range(steps):
        path.append(path[-1] + h * np.tanh(path[-1] @ W))
    dW = np.zeros_like(W)
    for k in reversed(range(steps)):
        dz = dy * (1 - np.tanh(path[k] @ W) ** 2)
        dW += (1 if bug == "Euler: step size left out of dW" else h) * path[k].T @ dz
        dy = (0 if bug == "Euler: identity dropped" else dy) + h * dz @ W.T
    return dy, dW


def language_model(E, V, tokens):
    h, loss = 0, []
    for token in tokens[:-1]:
        h = np.tanh(E[token] + h)
        loss.append(h @ V)
    return np.stack(loss)


def language_model_grads(dy, E, V, tokens, bug=""):
    states, h = [], 0
    for token in tokens[:-1]:
        h = np.tanh(E[token] + h)
        states.append(h)
    dE, later, states = np.zeros_like(E), 0, np.stack(states)
    for t in reversed(range(len(states))):
        later = (dy[t] @ V.T + later) * (1 - states[t] ** 2)
        dE[tokens[t]] = later if bug == "language model: dE[token] = " else dE[tokens[t]] + later
    if bug == "language model: clipped to [-1, 1]":
        dE = np.clip(dE, -1, 1)
    return dE, states.T @ dy


PLANTED = [
    *family(
        rnn, rnn_grads, (draw(3, 2, 3), draw(2, 3), draw(3, 3), draw(3, 3), draw(3)), "x h0 Wx Wh b",
        ("rnn: gradient from the next step not added", "steps branch"),
        ("rnn: dWh of the new state", "shifted roles derivative-at-output"),
        ("rnn: db of the first step", "overwritten steps"),
        ("rnn: Wh not transposed on the way back", "transposed", r"Wh.*transpos"),
        ("rnn: truncated after two steps", "steps"),
    ),
    *family(
        lstm, lstm_grads, (draw(3, 2, 2), draw(2, 2), draw(2, 2), draw(2, 8), draw(2, 8)), "x h c W U",
        ("lstm: tanh' of the cell", "derivative-missing"),
        ("lstm: df of the new cell", "shifted roles steps"),
        ("lstm: sigmoid' for the tanh gate", "derivative-wrong"),
        ("lstm: forget gate left out between cells", "derivative-missing detached factor", r"gate"),
        ("lstm: cell's gradient does not go back", "steps branch detached"),
    ),
    *family(
        gru, gru_grads, (draw(3, 2), draw(3, 4), draw(2, 4), draw(2, 4), draw(2, 4), draw(4, 4)), "x h Wz Wr Wn Un",
        ("gru: update gate (n - h)", "sign"),
        ("gru: reset gate left out of dh", "derivative-missing factor detached", r"gate|does not depend on Wr"),
        ("gru: h not carried by z in dh", "branch uses steps"),
        ("gru: dWr left at zero", "detached"),
    ),
    *family(
        both, both_grads, (draw(4, 3), draw(3), draw(3)), "x w v",
        ("both directions: dy not reversed", "flipped"),
        ("both directions: result not reversed", "flipped"),
    ),
    *family(ragged, ragged_grads, (draw(4, 3), draw(3)), "x w",
            ("ragged: dy put at the last step of all", "mask-missing wrong-place steps", r"does not depend on|length")),
    *family(
        average, average_grads, (draw(4, 3), rng.uniform(0.2, 0.8, 3)), "x a",
        ("average: 1 - a left out of dx", "scale-per-axis factor", r"without|left out|1 - a"),
        ("average: da of the old state only", "branch uses"),
    ),
    *family(cumulative, cumulative_grad, (draw(4, 2),), "x",
            ("cumulative sum: not from the end", "flipped transposed")),
    *family(products, products_grad, (rng.uniform(0.5, 2, (2, 4)),), "x",
            ("cumulative product: own output only", "diagonal steps cross-terms")),
    *family(
        euler, euler_grads, (draw(3, 2), draw(2, 2)), "x W",
        ("Euler: step size left out of dW", "scale"),
        ("Euler: identity dropped", "branch steps"),
    ),
    *family(
        language_model, language_model_grads, (draw(4, 3), draw(3, 2), np.array([1, 3, 1, 0, 1, 2])), "E V tokens",
        ("language model: dE[token] = ", "overwritten"),
        ("language model: clipped to [-1, 1]", "clipped"),
    ),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def highway(x, W, T):
    gate = sigmoid(x @ T - 1)
    return gate * np.maximum(x @ W, 0) + (1 - gate) * x


def highway_grads(dy, x, W, T):
    gate, z = sigmoid(x @ T - 1), x @ W
    dz, dt = dy * gate * (z > 0), dy * (np.maximum(z, 0) - x) * gate * (1 - gate)
    return dz @ W.T + dt @ T.T + dy * (1 - gate), x.T @ dz, x.T @ dt


def viterbi(x, A):  # the best path's score
    s = x[0]
    for row in x[1:]:
        s = (s[:, None] + A).max(0) + row
    return s.max()


def viterbi_grads(dy, x, A):
    s, back = x[0], []
    for row in x[1:]:
        back.append((s[:, None] + A).argmax(0))
        s = (s[:, None] + A).max(0) + row
    dx, dA, k = np.zeros_like(x), np.zeros_like(A), s.argmax()
    for t in reversed(range(len(x))):
        dx[t, k] += dy
        if t:
            dA[back[t - 1][k], k] += dy
            k = back[t - 1][k]
    return dx, dA


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
RIGHT = [
    Right("highway", highway, highway_grads, (draw(4, 3), draw(3, 3), draw(3, 3)), ("x", "W", "T")),
    Right("best path", viterbi, viterbi_grads, (draw(4, 3), draw(3, 3)), ("x", "A")),
    Right("rnn, float32", rnn, lambda dy, *a: rnn_grads(dy, *a),
          single(draw(3, 2, 3), draw(2, 3), draw(3, 3), draw(3, 3), draw(3)), ("x", "h0", "Wx", "Wh", "b")),
    Right("rnn that explodes", rnn, lambda dy, *a: rnn_grads(dy, *a),
          (0.01 * draw(6, 2, 3), np.zeros((2, 3)), 0.1 * draw(3, 3), 3 * draw(3, 3), np.zeros(3)),
                ("x", "h0", "Wx", "Wh", "b")),
    Right("lstm, saturated gates", lstm, lambda dy, *a: lstm_grads(dy, *a),
          (draw(3, 2, 2), draw(2, 2), 5 * draw(2, 2), 8 * draw(2, 8), draw(2, 8)), ("x", "h", "c", "W", "U")),
    Right("lstm of one step, float32", lstm, lambda dy, *a: lstm_grads(dy, *a),
          single(draw(1, 2, 2), draw(2, 2), draw(2, 2), draw(2, 8), draw(2, 8)), ("x", "h", "c", "W", "U")),
    Right("cumulative product, small factors", products, lambda dy, x: products_grad(dy, x), (0.01 * draw(2, 4),),
          ("x",)),
    Right("average, a near 1", average, lambda dy, *a: average_grads(dy, *a),
          (draw(4, 3), np.array([0.999, 1.0, 0.0])), ("x", "a")),
    Right("language model, a token that never occurs", language_model, lambda dy, *a: language_model_grads(dy, *a),
          (draw(6, 3), draw(3, 2), np.array([1, 3, 1, 0])), ("E", "V", "tokens")),
]  # fmt: skip
