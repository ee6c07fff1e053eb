"""Recurrent networks: a cell is an ordinary layer, [x_t, s_t-1] -> s_t, and Recurrent unrolls it.

x_t and the state s stand side by side in the last axis, so a cell needs nothing that other layers
do not have. LSTM and GRU are Dense layers, Columns and one layer of gates without weights.
"""

from scratchgan import xp
from scratchgan.initializers import fans, glorot
from scratchgan.layers.activations import Tanh
from scratchgan.layers.base import Layer, add, check
from scratchgan.layers.compose import Concat, Sequential, kind
from scratchgan.layers.dense import Dense
from scratchgan.layers.shape import Columns

# ---- gates ---------------------------------------------------------------------------------------


def gate(a):
    """Return sigmoid(a) = (1 + tanh(a / 2)) / 2, which is faster than by exp; exact to 1e-7 of 1.

    `functions.sigmoid` is exact to 1e-7 of itself, which a factor of a sum has no use for.
    """
    return 0.5 + 0.5 * xp.tanh(0.5 * a)


def split(x, count):
    """Return blocks of x (N, ..., count H) along its last axis, each (N, ..., H)."""
    H = x.shape[-1] // count
    return [x[..., start : start + H] for start in range(0, count * H, H)]


class Gates(Layer):
    """What the gates of LSTM and GRU share: x (N, ..., 5H) is five blocks of H = features columns.

    With s a sigmoid, s' = s (1 - s); with t a tanh, t' = 1 - t^2. In double_backward, d_NAME is how
    the value NAME moves while x moves along ddx.
    """

    outputs = 1  # blocks of y

    def __init__(self, features):
        self.features = features

    def __repr__(self):
        return f"{type(self).__name__}({self.features})"

    def blocks(self, name, x, shape=None):
        """Return the five blocks of x or of ddx, each (N, ..., H)."""
        check(self, name, x)
        check(self, name, x, (*x.shape[:-1], 5 * self.features) if shape is None else shape)
        return split(x, 5)

    def check_dy(self, dy, one):
        """Demand a dy of the shape of y; `one` is a block."""
        shape = (*one.shape[:-1], self.outputs * self.features)
        check(self, "dy", dy, shape, one.dtype)


class LSTMGates(Gates):
    """[a_i, a_f, a_g, a_o, c] -> [h, c']: (N, ..., 5H) -> (N, ..., 2H), blocks in PyTorch's order.

        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)        g = tanh(a_g)
        c' = f c + i g        h = o tanh(c')

    (Hochreiter & Schmidhuber 1997; the forget gate f: Gers et al. 2000)
    """

    outputs = 2

    def forward(self, x, train=True):
        a_i, a_f, a_g, a_o, c = self.blocks("x", x)
        i, f, o = gate(a_i), gate(a_f), gate(a_o)
        g = xp.tanh(a_g)
        new_c = f * c + i * g
        t = xp.tanh(new_c)
        return xp.concatenate([o * t, new_c], axis=-1), (i, f, g, o, c, t)

    def pull(self, tape, dy):
        i, f, g, o, c, t = tape
        self.check_dy(dy, c)
        dh, dc = split(dy, 2)
        e = dc + dh * o * (1 - t * t)  # all that reaches c'
        da_i = e * g * i * (1 - i)
        da_f = e * c * f * (1 - f)
        da_g = e * i * (1 - g * g)
        da_o = dh * t * o * (1 - o)
        return xp.concatenate([da_i, da_f, da_g, da_o, e * f], axis=-1), (dh, e)

    def double_backward(self, tape, kept, ddx):
        i, f, g, o, c, t = tape
        dh, e = kept
        m_i, m_f, m_g, m_o, d_c = self.blocks("ddx", ddx, (*c.shape[:-1], 5 * self.features))
        # How every factor moves along ddx, in forward's order,
        slope_i, slope_f, slope_g, slope_o = i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)
        d_i, d_f, d_g, d_o = slope_i * m_i, slope_f * m_f, slope_g * m_g, slope_o * m_o
        d_new_c = d_f * c + f * d_c + d_i * g + i * d_g
        d_t = (1 - t * t) * d_new_c
        ddy = xp.concatenate([d_o * t + o * d_t, d_new_c], axis=-1)
        # and then pull's lines, each with every factor moved once; dy stays.
        d_e = dh * (d_o * (1 - t * t) - 2 * o * t * d_t)
        bend_i = (d_e * g + e * d_g) * slope_i + e * g * (1 - 2 * i) * d_i
        bend_f = (d_e * c + e * d_c) * slope_f + e * c * (1 - 2 * f) * d_f
        bend_g = (d_e * i + e * d_i) * slope_g - e * i * 2 * g * d_g
        bend_o = dh * (d_t * slope_o + t * (1 - 2 * o) * d_o)
        bend_c = d_e * f + e * d_f
        return ddy, xp.concatenate([bend_i, bend_f, bend_g, bend_o, bend_c], axis=-1)


class GRUGates(Gates):
    """[a_r, a_u, n_x, n_h, h] -> h': (N, ..., 5H) -> (N, ..., H).

        r, u = sigmoid(a_r), sigmoid(a_u)        n = tanh(n_x + r n_h)        h' = n + u (h - n)

    r multiplies W h, as in PyTorch and cuDNN. In the paper it multiplies h itself, before W (Cho et
    al. 2014).
    """

    def forward(self, x, train=True):
        a_r, a_u, n_x, n_h, h = self.blocks("x", x)
        r, u = gate(a_r), gate(a_u)
        n = xp.tanh(n_x + r * n_h)
        return n + u * (h - n), (r, u, n, n_h, h)

    def pull(self, tape, dy):
        r, u, n, n_h, h = tape
        self.check_dy(dy, h)
        q = dy * (1 - u) * (1 - n * n)  # all that reaches n_x + r n_h
        da_r = q * n_h * r * (1 - r)
        da_u = dy * (h - n) * u * (1 - u)
        return xp.concatenate([da_r, da_u, q, q * r, dy * u], axis=-1), (dy, q)

    def double_backward(self, tape, kept, ddx):
        r, u, n, n_h, h = tape
        dy, q = kept
        m_r, m_u, m_x, d_n_h, d_h = self.blocks("ddx", ddx, (*h.shape[:-1], 5 * self.features))
        # How every factor moves along ddx, in forward's order,
        slope_r, slope_u = r * (1 - r), u * (1 - u)
        d_r, d_u = slope_r * m_r, slope_u * m_u
        d_n = (1 - n * n) * (m_x + d_r * n_h + r * d_n_h)
        ddy = d_n + d_u * (h - n) + u * (d_h - d_n)
        # and then pull's lines, each with every factor moved once; dy stays.
        d_q = -dy * (d_u * (1 - n * n) + (1 - u) * 2 * n * d_n)
        bend_r = (d_q * n_h + q * d_n_h) * slope_r + q * n_h * (1 - 2 * r) * d_r
        bend_u = dy * ((d_h - d_n) * slope_u + (h - n) * (1 - 2 * u) * d_u)
        bend_h = dy * d_u
        return ddy, xp.concatenate([bend_r, bend_u, d_q, d_q * r + q * d_r, bend_h], axis=-1)


# ---- cells ---------------------------------------------------------------------------------------


class Cell(Sequential):
    """What the cells share: [x, s] (N, C + S) -> s' (N, S), C = in_features, S a multiple of H."""

    blocks = 1  # S / H, with H = features

    def __init__(self, in_features, features, *layers):
        fans((in_features, features))  # which are whole numbers from 1
        self.in_features, self.features = in_features, features
        super().__init__(*layers)

    def __repr__(self):
        return f"{type(self).__name__}({self.in_features}, {self.features})"

    def forward(self, x, train=True):
        check(self, "x", x)
        check(self, "x", x, (*x.shape[:-1], self.in_features + self.blocks * self.features))
        return super().forward(x, train)


class RNN(Cell):
    """s' = tanh([x, s] W + b) (Elman 1990). S = H."""

    def __init__(self, in_features, features, *, rng):
        self.dense = Dense(in_features + features, features, rng=rng, initialize=glorot)
        super().__init__(in_features, features, self.dense, Tanh())


class LSTM(Cell):
    """[x, h, c] -> [h', c'], by LSTMGates of [x, h] W + b and c. S = 2H.

    `forget` is the bias of f at the start: what is in c stays at first (Gers et al. 2000).
    """

    blocks = 2

    def __init__(self, in_features, features, *, rng, forget=1.0):
        both = in_features + features
        self.dense = Dense(both, 4 * features, rng=rng, initialize=glorot_each(4))
        self.dense.b.value[features : 2 * features] = forget
        gates = Sequential(Columns(0, both), self.dense)
        blocks = Concat(gates, Columns(both, both + features))
        super().__init__(in_features, features, blocks, LSTMGates(features))


class GRU(Cell):
    """[x, h] -> h', by GRUGates of [x, h] W + b, x W_x + b_x, h W_h + b_h, and h. S = H."""

    def __init__(self, in_features, features, *, rng):
        both = in_features + features
        self.gates = Dense(both, 2 * features, rng=rng, initialize=glorot_each(2))
        self.from_x = Dense(in_features, features, rng=rng, initialize=glorot)
        self.from_h = Dense(features, features, rng=rng, initialize=glorot)
        x, h = Columns(0, in_features), Columns(in_features, both)
        blocks = Concat(self.gates, Sequential(x, self.from_x), Sequential(h, self.from_h), h)
        super().__init__(in_features, features, blocks, GRUGates(features))


def glorot_each(count):
    """Return an initializer of `count` matrices side by side, one a gate, each by `glorot`."""

    def initialize(shape, rng):
        one = (shape[0], shape[1] // count)
        return xp.concatenate([glorot(one, rng) for _ in range(count)], axis=1)

    return initialize


# ---- along time ----------------------------------------------------------------------------------


class Recurrent(Layer):
    """s_t = cell([x_t, s_t-1]), y_t = the first F numbers of s_t: (N, L, C) -> (N, L, F).

    cell: a layer (N, C + S) -> (N, S), F = features and S = state, F unless given: 2F for an LSTM.
    The state starts as zeros; `run` and `back` take any. `reverse` runs from the last step to the
    first, and x_t and y_t stay at the same place.
    """

    def __init__(self, cell, features, state=None, *, reverse=False):
        self.cell, self.features = cell, features
        self.state_features = features if state is None else state
        self.reverse = reverse
        if not 0 < self.features <= self.state_features:
            got = f"{self.features} features of a state of {self.state_features}"
            raise ValueError(f"Recurrent: got {got}, wanted 1 or more, and not more than the state")

    def __repr__(self):
        return f"Recurrent({self.cell!r})"

    # ---- from any state, to the last one ----

    def run(self, x, state=None, train=True):
        """Return y (N, L, F), the last state (N, S), and the tape; state None is zeros."""
        self.demand_sequence(x)
        if state is None:
            state = xp.zeros((len(x), self.state_features), dtype=x.dtype)
        check(self, "state", state, (len(x), self.state_features), x.dtype)
        ys, tapes = [], []
        for x_t in self.steps(x):
            state, tape = self.cell.forward(xp.concatenate([x_t, state], axis=-1), train)
            ys.append(state[:, : self.features])
            tapes.append(tape)
        return self.whole(ys), state, (tapes, x.shape)

    def back(self, tape, dy, dstate):
        """Return dx and the gradient of the first state; add to the grad of every Param.

        dstate (N, S) is the gradient of the last state beside what dy says of it; None is zeros.
        """
        backward = lambda step, ds: (self.cell.backward(step, ds), None)
        dx, dstate, _ = self.against_time(backward, tape, dy, dstate)
        return dx, dstate

    def against_time(self, pull, tape, dy, dstate=None):
        """Return dx, the gradient of the first state, and what `pull` kept of each step."""
        tapes, (n, length, channels) = tape
        check(self, "dy", dy, (n, length, self.features))
        ds = xp.zeros((n, self.state_features), dtype=dy.dtype) if dstate is None else dstate
        check(self, "dstate", ds, (n, self.state_features), dy.dtype)
        dxs, kept = [], []
        for step, dy_t in reversed(list(zip(tapes, self.steps(dy), strict=True))):
            # s_t is seen in y_t, and by the cell at the next step.
            seen = ds[:, : self.features] + dy_t
            ds = xp.concatenate([seen, ds[:, self.features :]], axis=-1)
            dz, step_kept = pull(step, ds)  # of z_t = [x_t, s_t-1]
            dxs.append(dz[:, :channels])
            ds = dz[:, channels:]
            kept.append(step_kept)
        return self.whole(dxs[::-1]), ds, kept[::-1]

    # ---- the protocol, from a state of zeros ----

    def forward(self, x, train=True):
        y, _, tape = self.run(x, None, train)
        return y, tape

    def pull(self, tape, dy):
        dx, _, kept = self.against_time(self.cell.pull, tape, dy)
        return dx, kept

    def backward(self, tape, dy):
        return self.back(tape, dy, None)[0]

    def double_backward(self, tape, kept, ddx):
        # As Sequential's: a step is a layer, from which y_t is seen and into which x_t comes.
        tapes, shape = tape
        check(self, "ddx", ddx, shape)
        if not isinstance(kept, list) or len(kept) != len(tapes):
            raise TypeError(f"{self!r}: kept is {kind(kept)}, wanted what pull returned beside dx")
        # 1. Along time: carry ddx to the outputs, and collect how each step's pull bends.
        move = xp.zeros((shape[0], self.state_features), dtype=ddx.dtype)  # of the state
        ddys, bends = [], []
        for step, step_kept, ddx_t in zip(tapes, kept, self.steps(ddx), strict=True):
            ddz = xp.concatenate([ddx_t, move], axis=-1)
            move, bend = self.cell.double_backward(step, step_kept, ddz)
            ddys.append(move[:, : self.features])
            bends.append(bend)
        ddy = self.whole(ddys)
        if all(bend is None for bend in bends):
            return ddy, None
        # 2. Against time: a bend is a gradient at z_t = [x_t, s_t-1], and goes back as any does.
        ds, dxs = xp.zeros_like(move), []
        for step, bend in reversed(list(zip(tapes, bends, strict=True))):
            dz = add(self.cell.backward(step, ds), bend)
            dxs.append(dz[:, : shape[2]])
            ds = dz[:, shape[2] :]
        return ddy, self.whole(dxs[::-1])

    # ---- steps ----

    def demand_sequence(self, x):
        """Raise unless x is an array (N, L, C) with a step or more."""
        check(self, "x", x)
        if x.ndim != 3 or x.shape[1] < 1:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted (N, L, C) with L at least 1")

    def steps(self, x):
        """Return the steps of x (N, L, C) in the order in which they are run, each (N, C)."""
        steps = [x[:, t] for t in range(x.shape[1])]
        return steps[::-1] if self.reverse else steps

    def whole(self, steps):
        """Return steps, each (N, C), given in the order in which they are run, as one (N, L, C)."""
        return xp.stack(steps[::-1] if self.reverse else steps, axis=1)
