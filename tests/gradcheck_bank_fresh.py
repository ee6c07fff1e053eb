"""Planted bugs of losses, recurrent cells, attention and norms: half taught the rules, half were held back."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(331)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


LABELS = np.array([0, 2, 1, 3, 3, 1])
HOT = np.eye(4)[LABELS]
KEPT = np.array([1.0, 1, 0, 1, 0, 1])
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])

# ---- the open half: losses -------------------------------------------------------------------------------


def padded(x):  # cross-entropy, averaged over the positions that are not padding
    return -((HOT * np.log(softmax(x))).sum(1) * KEPT).sum() / KEPT.sum()


def padded_grad(x, bug=""):
    count = len(x) if bug == "padded: mean over all positions" else KEPT.sum()
    kept = np.ones(6) if bug == "padded: the padding not masked" else KEPT
    p = softmax(softmax(x)) if bug == "padded: softmax of the probabilities" else softmax(x)
    return (p - HOT) * kept[:, None] / count


def weighed(x, w):  # classes have weights, by whose sum it is divided
    return -(w[LABELS] * (HOT * np.log(softmax(x))).sum(1)).sum() / w[LABELS].sum()


def weighed_grad(x, w, bug=""):
    own, total = w[LABELS], w[LABELS].sum()
    sample = (softmax(x) - HOT) * own[:, None]
    if bug == "class weights: of the column, not of the label":
        sample = (softmax(x) - HOT) * w
    if bug == "class weights: of the label's part alone":
        sample = softmax(x) - HOT * own[:, None]
    each = -(HOT * np.log(softmax(x))).sum(1)
    mean = 0 if bug == "class weights: their sum taken for a constant" else (own * each).sum() / total
    return sample / (len(x) if bug == "class weights: divided by N" else total), HOT.T @ (each - mean) / total


def positive(x, t, c):  # binary cross-entropy of logits, the positive side c times
    return -(c * t * np.log(sigmoid(x)) + (1 - t) * np.log(1 - sigmoid(x))).mean()


def positive_grad(x, t, c, bug=""):
    p, n = sigmoid(x), x.size
    g = -c * t * (1 - p) + (1 - t) * p
    if bug == "positive weight: on both sides":
        g = c * (p - t)
    if bug == "positive weight: only on the target":
        g = p - c * t
    if bug == "positive weight: the negative side's p is 1 - p":
        g = -c * t * (1 - p) + (1 - t) * (1 - p)
    one = np.log1p(np.exp(x)) if bug == "positive weight: dc with the negative side's logarithm" else -np.log(p)
    return g / n, (-c * np.log(p) + np.log(1 - p)) / n, (t * one).mean()


def pairs(a, b, m):  # contrastive: equal pairs near, others at least m apart
    d = np.sqrt(((a - b) ** 2).sum(1))
    return (SAME * d**2 + (1 - SAME) * np.maximum(m - d, 0) ** 2).mean() / 2


SAME = np.array([1.0, 0, 0, 1, 0, 1])


def pairs_grad(a, b, m, bug=""):
    r = a - b
    d = np.sqrt((r**2).sum(1))
    push = -np.maximum(m - d, 0) / (1 if bug == "contrast: not divided by the distance" else d)
    if bug == "contrast: pushes beyond the margin too":
        push = -(m - d) / d
    if bug == "contrast: equal pairs are not pulled":
        g = ((1 - SAME) * push)[:, None] * r / len(a)
    else:
        g = (SAME + (1 - SAME) * push)[:, None] * r / len(a)
    return g, -g, ((1 - SAME) * np.maximum(m - d, 0)).mean()


# ---- the open half: recurrent, attention, norm -----------------------------------------------------------


def lstm_states(x, W, U, b):
    h = c = np.zeros((x.shape[1], U.shape[0]))
    states = []
    for xt in x:
        i, f, o, g = np.split(xt @ W + h @ U + b, 4, 1)
        i, f, o, g, old, before = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g), c, h
        c = f * c + i * g
        h = o * np.tanh(c)
        states.append((i, f, o, g, old, before, c, h))
    return states


def lstm(x, W, U, b):  # (T, N, D) to all h
    return np.stack([state[-1] for state in lstm_states(x, W, U, b)])


def lstm_grads(dy, x, W, U, b, bug=""):
    states, dx, dW, dU, db, dh, dc = lstm_states(x, W, U, b), 0 * x, 0 * W, 0 * U, 0 * b, 0, 0
    for t in range(len(x) - 1, -1, -1):
        i, f, o, g, old, before, c, h = states[t]
        dh = dh + dy[t]
        carried = 0 if bug == "LSTM: the cell's gradient is not carried" else dc
        dc = carried + dh * o * (1 if bug == "LSTM: no slope of the cell's tanh" else 1 - np.tanh(c) ** 2)
        do = dh * np.tanh(c) * (1 if bug == "LSTM: the output gate without its slope" else o * (1 - o))
        df = dc * (c if bug == "LSTM: the forget gate with the new cell" else old) * f * (1 - f)
        dz = np.concatenate([dc * g * i * (1 - i), df, do, dc * i * (1 - g * g)], 1)
        dx[t], dW = dz @ W.T, dW + x[t].T @ dz
        dU = dU + (h if bug == "LSTM: dU with the state after the step" else before).T @ dz
        db = dz.sum(0) if bug == "LSTM: db overwritten at each step" else db + dz.sum(0)
        dh = 0 * dh if bug == "LSTM: the state's gradient is not carried" else dz @ U.T
        dc = dc if bug == "LSTM: carried past the forget gate" else dc * f
    return dx, dW, dU, db


def additive(q, k, v, w):  # Bahdanau: scores are w tanh(q + k)
    return softmax(np.tanh(q[:, None] + k[None]) @ w) @ v


def additive_grads(dy, q, k, v, w, bug=""):
    t = np.tanh(q[:, None] + k[None])
    a = softmax(t @ w)
    da = dy @ v.T
    ds = a * (da - (0 if bug == "additive attention: softmax's sum lost" else (a * da).sum(1, keepdims=True)))
    dt = ds[:, :, None] * w * (1 if bug == "additive attention: tanh without its slope" else 1 - t * t)
    dv = a @ dy if bug == "additive attention: dv by the weights not transposed" else a.T @ dy
    dw = np.einsum("ij,ijd->d", ds, q[:, None] + k[None] if bug == "additive attention: dw before the tanh" else t)
    return dt.sum(1), dt.sum(0), dv, dw


def rms_norm(x, g):
    return g * x / np.sqrt((x * x).mean(1, keepdims=True) + 0.1)


def rms_norm_grads(dy, x, g, bug=""):
    eps, n = 0 if bug == "RMS norm: no eps in the gradient" else 0.1, x.shape[1]
    r = np.sqrt((x * x).mean(1, keepdims=True) + eps)
    inner = (dy * g * x).sum(1, keepdims=True) / (1 if bug == "RMS norm: 1/D forgotten" else n)
    if bug == "RMS norm: the path through the root lost":
        inner = 0
    path = x * inner / (r if bug == "RMS norm: r for its cube" else r**3)
    right = np.sqrt((x * x).mean(1, keepdims=True) + 0.1)
    return dy * g / r - path, (dy * (x if bug == "RMS norm: dg with x" else x / right)).sum(0)


# ---- held back: losses -----------------------------------------------------------------------------------


def guarded(p, t):  # binary cross-entropy of probabilities, with an epsilon in the logarithms
    return -(t * np.log(p + 0.01) + (1 - t) * np.log(1 - p + 0.01)).mean()


def guarded_grad(p, t, bug=""):
    eps = 0 if bug == "guarded log: no epsilon in the gradient" else 0.01
    g = -t / (p + eps) + (1 - t) / (1 - p + eps)
    if bug == "guarded log: the second term's sign":
        g = -t / (p + eps) - (1 - t) / (1 - p + eps)
    if bug == "guarded log: p - t, as of logits":
        g = p - t
    n = len(p) if bug == "guarded log: the mean over samples only" else p.size
    return g / n, (np.log(1 - p + 0.01) - np.log(p + 0.01)) / p.size


def margins(x, m):  # squared hinge of each class against the others' signs
    return (np.maximum(m - (2 * HOT - 1) * x, 0) ** 2).mean()


def margins_grad(x, m, bug=""):
    s = 2 * HOT - 1
    over = np.maximum((1 if bug == "squared hinge: a margin of 1" else m) - s * x, 0)
    if bug == "squared hinge: as a plain hinge":
        over = 1.0 * (over > 0)
    sign = HOT if bug == "squared hinge: the target is 0 or 1" else s
    two = 1 if bug == "squared hinge: its 2" else 2
    return -two * sign * over / x.size, 2 * np.maximum(m - s * x, 0).sum() / x.size


def distill(s, t, T):
    p, q = softmax(t / T), softmax(s / T)
    return T**2 * (p * (np.log(p) - np.log(q))).sum(1).mean()


def distill_grad(s, t, T, bug=""):
    p, q, n = softmax(t / T), softmax(s / T), len(s)
    if bug == "distillation: T forgotten in the student's softmax":
        q = softmax(s)
    ds = (q - p) * T / n / (T if bug == "distillation: T once too few" else 1)
    ratio = np.log(p) - np.log(softmax(s / T))
    dt = p * (ratio - (p * ratio).sum(1, keepdims=True)) * T / n
    if bug == "distillation: the teacher's softmax sum":
        dt = p * ratio * T / n
    dT = 2 * T * (p * ratio).sum() / n - (s * (softmax(s / T) - p)).sum() / n - (dt * t).sum() / T
    if bug == "distillation: dT of the T squared alone":
        dT = 2 * T * (p * ratio).sum() / n
    return ds, dt, dT


def cosine(a, b):  # 1 - cosine for equal pairs, what is above 0.2 for others
    c = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.where(SAME > 0, 1 - c, np.maximum(c + 0.2, 0)).mean()


def cosine_grad(a, b, bug=""):
    na, nb = (np.sqrt((v**2).sum(1, keepdims=True)) for v in (a, b))
    c = (a * b).sum(1, keepdims=True) / (na * nb)
    live = np.ones_like(c) if bug == "cosine: the margin's mask" else 1.0 * (c > -0.2)
    side = np.where(SAME[:, None] > 0, -1, live) / len(a)
    if bug == "cosine: the sign of equal pairs":
        side = np.abs(side)
    da = b / (na * nb) - (0 if bug == "cosine: the norm taken for a constant" else c * a / na**2)
    if bug == "cosine: not divided by the other's norm":
        da = b / na - c * a / na**2
    return side * da, side * (a / (na * nb) - c * b / nb**2)


# ---- held back: recurrent, attention, norm ---------------------------------------------------------------


def gru_states(x, h, A, B, C):
    states = []
    for xt in x:
        xh = np.concatenate([xt, h], 1)
        z, r = sigmoid(xh @ A), sigmoid(xh @ B)
        xr = np.concatenate([xt, r * h], 1)
        c, before = np.tanh(xr @ C), h
        h = z * h + (1 - z) * c
        states.append((xh, xr, z, r, c, before, h))
    return states


def gru(x, h, A, B, C):
    return np.stack([state[-1] for state in gru_states(x, h, A, B, C)])


def gru_grads(dy, x, h, A, B, C, bug=""):
    dx, dA, dB, dC, dh, d = 0 * x, 0 * A, 0 * B, 0 * C, 0 * h, x.shape[2]
    for t in range(len(x) - 1, -1, -1):
        xh, xr, z, r, c, before, after = gru_states(x, h, A, B, C)[t]
        total = dh + dy[len(x) - 1 - t if bug == "GRU: dy in reversed time" else t]
        dz = total * ((after if bug == "GRU: the update gate with the new state" else before) - c) * z * (1 - z)
        dc = total * (1 - z) * (1 if bug == "GRU: the candidate without its slope" else 1 - c * c)
        back = dc @ C.T
        dr = back[:, d:] * before * r * (1 - r)
        both = dz @ A.T + (0 if bug == "GRU: nothing back through the reset gate" else dr @ B.T)
        dx[t] = both[:, :d] + back[:, :d]
        dh = total * ((1 - z) if bug == "GRU: carried by 1 - z" else z) + both[:, d:] + back[:, d:] * r
        if bug == "GRU: the carry through the gates alone":
            dh = both[:, d:] + back[:, d:] * r
        dA, dB = dA + xh.T @ dz, xh.T @ dr if bug == "GRU: dB overwritten at each step" else dB + xh.T @ dr
        dC = dC + (xh if bug == "GRU: dC with h not reset" else xr).T @ dc
    return dx, dh, dA, dB, dC


SEEN = np.array([1.0, 1, 0, 1, 1])


def masked(q, k, v):  # two heads; the third key is padding
    s = np.einsum("hid,hjd->hij", q, k) / np.sqrt(q.shape[2])
    e = np.exp(s) * SEEN
    return e / e.sum(2, keepdims=True) @ v


def masked_grads(dy, q, k, v, bug=""):
    scale = 1 if bug == "masked attention: dq and dk without the root" else 1 / np.sqrt(q.shape[2])
    e = np.exp(np.einsum("hid,hjd->hij", q, k) / np.sqrt(q.shape[2]))
    e = e if bug == "masked attention: no mask in the gradient" else e * SEEN
    a = e / e.sum(2, keepdims=True)
    da = np.einsum("hid,hjd->hij", dy, v)
    axis = 1 if bug == "masked attention: the softmax's sum over queries" else 2
    ds = a * (da - (a * da).sum(axis, keepdims=True)) * scale
    dk = np.einsum("hij,hid->hjd", ds, q)
    if bug == "masked attention: dk of one head for both":
        dk = np.broadcast_to(dk[:1], dk.shape)
    return ds @ k, dk, a.transpose(0, 2, 1) @ dy


def instance(x, g):  # (N, C, L): each channel of each sample
    c = x - x.mean(2, keepdims=True)
    return g[:, None] * c / np.sqrt((c * c).mean(2, keepdims=True) + 0.05)


def instance_grads(dy, x, g, bug=""):
    eps = 0.5 if bug == "instance norm: another epsilon" else 0.05
    c = x - x.mean(2, keepdims=True)
    s = np.sqrt((c * c).mean(2, keepdims=True) + eps)
    h, d = c / s, dy * g[:, None]
    over = (0, 2) if bug == "instance norm: means over samples too" else 2
    dx = d - d.mean(over, keepdims=True) - h * (d * h).mean(over, keepdims=True)
    if bug == "instance norm: the variance taken for a constant":
        dx = d - d.mean(2, keepdims=True)
    dg = (dy * c / np.sqrt((c * c).mean(2, keepdims=True) + 0.05)).sum((0, 2))
    return dx / s, dg / (len(x) if bug == "instance norm: dg averaged over samples" else 1)


RIGHT = [
    Right("a label of padding", padded, padded_grad, (5 * draw(6, 4),), ("x",), loss=True),
    Right("one step of an LSTM", lstm, lstm_grads, (draw(1, 2, 2), draw(2, 8), draw(2, 8), draw(8)),
        tuple("xWUb")),
]  # fmt: skip
UNIFORM = rng.uniform(0.1, 0.9, (4, 3))
OPEN = [
    *family(padded, padded_grad, (draw(6, 4),), "x",
        ("padded: mean over all positions", "scale"),
        ("padded: the padding not masked", "mask-missing"),
        ("padded: softmax of the probabilities", "softmax-twice"), loss=True),
    *family(weighed, weighed_grad, (draw(6, 4), WEIGHT), "x w",
        ("class weights: of the column, not of the label", "wrong-axes index argument-ignored scale-per-axis"),
        ("class weights: of the label's part alone", "argument-ignored branch", r"does not depend on w"),
        ("class weights: their sum taken for a constant", "detached mean-path branch sum-path"),
        ("class weights: divided by N", "scale argument-ignored"), loss=True),
    *family(positive, positive_grad, (draw(3, 4), rng.uniform(0, 1, (3, 4)), np.array(2.5)), "x t c",
        ("positive weight: on both sides", "argument-ignored branch constant target-flipped"),
        ("positive weight: only on the target", "argument-ignored branch constant"),
        ("positive weight: the negative side's p is 1 - p", "target-flipped derivative-wrong branch"),
        ("positive weight: dc with the negative side's logarithm", "branch derivative-wrong", r"of the other side"),
        loss=True),
    *family(pairs, pairs_grad, (draw(6, 3), draw(6, 3), np.array(2.2)), "a b m",
        ("contrast: not divided by the distance", "scale-per-axis norm-path"),
        ("contrast: pushes beyond the margin too", "mask-missing"),
        ("contrast: equal pairs are not pulled", "branch side index scale-per-axis detached"), loss=True),
    *family(lstm, lstm_grads, (draw(4, 2, 2), draw(2, 8), draw(2, 8), draw(8)), "x W U b",
        ("LSTM: the cell's gradient is not carried", "steps detached cross-terms"),
        ("LSTM: no slope of the cell's tanh", "derivative-missing"),
        ("LSTM: the output gate without its slope", "derivative-missing derivative-wrong"),
        ("LSTM: the forget gate with the new cell", "derivative-wrong shifted pre-activation roles"),
        ("LSTM: dU with the state after the step", "shifted pre-activation roles"),
        ("LSTM: db overwritten at each step", "overwritten steps first-sample"),
        ("LSTM: the state's gradient is not carried", "steps detached cross-terms"),
        ("LSTM: carried past the forget gate", "steps derivative-wrong argument-ignored factor branch")),
    *family(additive, additive_grads, (draw(4, 3), draw(4, 3), draw(4, 2), draw(3)), "q k v w",
        ("additive attention: softmax's sum lost", "sum-path mean-path diagonal"),
        ("additive attention: tanh without its slope", "derivative-missing"),
        ("additive attention: dw before the tanh", "pre-activation derivative-wrong argument-ignored"),
        ("additive attention: dv by the weights not transposed", "transposed")),
    *family(rms_norm, rms_norm_grads, (draw(3, 5), draw(5)), "x g",
        ("RMS norm: no eps in the gradient", "epsilon constant"),
        ("RMS norm: 1/D forgotten", "norm-path"),
        ("RMS norm: the path through the root lost", "norm-path diagonal cross-terms"),
        ("RMS norm: r for its cube", "norm-path"),
        ("RMS norm: dg with x", "not-normalised argument-ignored")),
]  # fmt: skip
HELD = [
    *family(guarded, guarded_grad, (UNIFORM, rng.uniform(0, 1, (4, 3))), "p t",
        ("guarded log: no epsilon in the gradient", "epsilon constant"),
        ("guarded log: the second term's sign", "sign branch target-flipped"),
        ("guarded log: p - t, as of logits", "derivative-missing derivative-wrong"),
        ("guarded log: the mean over samples only", "scale"), loss=True),
    *family(margins, margins_grad, (draw(6, 4), np.array(0.7)), "x m",
        ("squared hinge: a margin of 1", "margin constant argument-ignored", r"does not depend on m"),
        ("squared hinge: as a plain hinge", "derivative-wrong square", r"does not depend on x"),
        ("squared hinge: the target is 0 or 1", "side target-flipped mask-missing branch index"),
        ("squared hinge: its 2", "scale"), loss=True),
    *family(distill, distill_grad, (draw(4, 3), draw(4, 3), np.array(2.0)), "s t T",
        ("distillation: T forgotten in the student's softmax", "argument-ignored"),
        ("distillation: T once too few", "scale argument-ignored"),
        ("distillation: the teacher's softmax sum", "sum-path mean-path diagonal detached branch"),
        ("distillation: dT of the T squared alone", "branch argument-ignored"), loss=True),
    *family(cosine, cosine_grad, (draw(6, 3), draw(6, 3)), "a b",
        ("cosine: the margin's mask", "mask-missing"),
        ("cosine: the sign of equal pairs", "sign index side scale-per-axis"),
        ("cosine: the norm taken for a constant", "norm-path detached"),
        ("cosine: not divided by the other's norm", "argument-ignored branch norm-path factor"), loss=True),
    *family(gru, gru_grads, (draw(4, 2, 2), draw(2, 3), draw(5, 3), draw(5, 3), draw(5, 3)), "x h A B C",
        ("GRU: dy in reversed time", "flipped"),
        ("GRU: the update gate with the new state", "derivative-wrong shifted pre-activation roles"),
        ("GRU: the candidate without its slope", "derivative-missing"),
        ("GRU: nothing back through the reset gate", "branch argument-ignored detached"),
        ("GRU: carried by 1 - z", "steps swapped-constants derivative-wrong"),
        ("GRU: the carry through the gates alone", "steps branch uses"),
        ("GRU: dB overwritten at each step", "overwritten steps first-sample")),
    *family(masked, masked_grads, (draw(2, 4, 3), draw(2, 5, 3), draw(2, 5, 2)), "q k v",
        ("masked attention: dq and dk without the root", "scale"),
        ("masked attention: no mask in the gradient", "mask-missing"),
        ("masked attention: the softmax's sum over queries", "wrong-axes"),
        ("masked attention: dk of one head for both", "first-sample mixed index wrong-place")),
    *family(instance, instance_grads, (draw(3, 2, 5), draw(2)), "x g",
        ("instance norm: another epsilon", "epsilon constant variance-path statistics"),
        ("instance norm: means over samples too", "wrong-axes statistics"),
        ("instance norm: the variance taken for a constant", "variance-path"),
        ("instance norm: dg averaged over samples", "scale")),
]  # fmt: skip
PLANTED = [*OPEN, *HELD]
