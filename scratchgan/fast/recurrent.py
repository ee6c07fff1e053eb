"""Twins of Recurrent.run and .back for an LSTM and a GRU: two products a step, and few passes.

All weights are one matrix W, (C + H + 1, 4H), that [x_t, h_t-1, 1] = z_t is multiplied by; its last
row is the biases. From a_t = z_t W follow dz_t = da_t W^T step by step, and the gradient of W, the
sum of z_t^T da_t, at once. sigmoid(a) = (1 + tanh(a / 2)) / 2, with a / 2 by half of W.
"""

from scratchgan import xp
from scratchgan.fast.winograd import SMALL
from scratchgan.layers import GRU, LSTM, Columns, Concat, Dense, Fork, GRUGates, LSTMGates, Recurrent
from scratchgan.layers.compose import Join, Sequential
from scratchgan.layers.recurrent import split

plain_run, plain_back = Recurrent.run, Recurrent.back
NARROWEST = 32  # columns of a part of W: with fewer, a product is slower


def run(self, x, state=None, train=True):
    """Return y, the last state and the tape of Recurrent.run."""
    self.demand_sequence(x)
    N, L, C = x.shape
    H, shape = self.features, (N, self.state_features)
    start = xp.zeros(shape, dtype=x.dtype) if state is None else state
    steps, turn = steps_of(self, L), slice(None, None, -1 if self.reverse else 1)
    if not (steps and steps.take(x, (N, L, steps.C)) and steps.take(start, shape)):
        return plain_run(self, x, state, train)
    W = steps.columns(N)
    z = xp.ones((L + 1, N, C + H + 1), dtype=x.dtype)  # of the last one, h alone is used
    z[:-1, :, :C] = x[:, turn].swapaxes(0, 1)
    h, c = z[:, :, C:-1], start[:, H:].copy()  # c is (N, 0) where the state is h
    h[0] = start[:, :H]
    a, tapes = xp.empty((L, 4, N, H), dtype=x.dtype), []
    columns = a.reshape(L, 4, N, W.shape[1], W.shape[3]).swapaxes(2, 3)
    for t in range(L):
        xp.matmul(z[t], W, out=columns[t])
        c, tape = steps.forward(a[t], h[t], c, h[t + 1])
        tapes.append([steps.dense_tape(z[t, :, :-1]), tape])
    y = xp.ascontiguousarray(h[1:][turn].swapaxes(0, 1))
    return y, xp.concatenate([h[L], c], axis=-1), (tapes, x.shape)


def back(self, tape, dy, dstate):
    """Return dx and the gradient of the first state, as Recurrent.back, and add to the grads."""
    tapes, (N, L, C) = tape
    H, shape = self.features, (N, self.state_features)
    ds = xp.zeros(shape, dtype=dy.dtype) if dstate is None and xp.is_array(dy) else dstate
    steps, turn = steps_of(self, L), slice(None, None, -1 if self.reverse else 1)
    if not (steps and steps.take(dy, (N, L, H)) and steps.take(ds, shape)):
        return plain_back(self, tape, dy, dstate)
    W = xp.ascontiguousarray(steps.matrix()[:-1].T)  # (4H, C + H)
    z, dz = xp.ones((L, N, C + H + 1), dtype=dy.dtype), xp.empty((L, N, C + H), dtype=dy.dtype)
    dys, da = dy[:, turn].swapaxes(0, 1), xp.empty((L, N, 4 * H), dtype=dy.dtype)
    dh, dc = ds[:, :H].copy(), ds[:, H:].copy()
    for t in reversed(range(L)):
        dense_tape, gates_tape = tapes[t]
        z[t, :, :-1] = steps.input_of(dense_tape)
        dh += dys[t]
        steps.backward(gates_tape, dh, dc, split(da[t], 4))
        dh += xp.matmul(da[t], W, out=dz[t])[:, C:]
    steps.accumulate(z.reshape(L * N, C + H + 1).T @ da.reshape(L * N, 4 * H))
    dx = xp.ascontiguousarray(dz[turn, :, :C].swapaxes(0, 1))
    return dx, xp.concatenate([dh, dc], axis=-1)


class Steps:
    """A cell's weights as one matrix W, and its gates; what differs between the cells."""

    def __init__(self, cell, dense):
        self.dense, self.C, self.H = dense, cell.in_features, cell.features
        self.dtype = dense[0].W.value.dtype

    def take(self, x, shape):
        """Whether x is an array of this shape, and of the weights' dtype."""
        return isinstance(x, xp.ndarray) and x.shape == shape and x.dtype == self.dtype

    def matrix(self):
        W = xp.zeros((self.C + self.H + 1, 4 * self.H), dtype=self.dtype)
        for layer, rows, columns in self.places():
            W[rows, columns], W[-1, columns] = layer.W.effective(), layer.b.value
        return W

    def columns(self, N):
        """Return W as (4, parts, C + H + 1, H / parts): OpenBLAS need not rearrange so small a part."""
        W = self.matrix().reshape(-1, 4, self.H)
        W = xp.stack([W[:, gate] for gate in self.order])
        W[: self.sigmoids] *= 0.5
        most = 1 if xp.on_gpu() else self.H // NARROWEST
        parts = (n for n in range(1, most + 1) if self.H % n == 0 and N * W[0].size <= n * SMALL)
        parts = next(parts, 1)
        return xp.ascontiguousarray(W.reshape(4, -1, parts, self.H // parts).swapaxes(1, 2))

    def accumulate(self, dW):
        for layer, rows, columns in self.places():
            layer.W.accumulate(dW[rows, columns])
            layer.b.grad += dW[-1, columns]


class LSTMSteps(Steps):
    """[a_i, a_f, a_g, a_o] = z W, of one Dense layer."""

    layers = LSTM, Concat, Fork, Sequential, Columns, Dense, Columns, Join, LSTMGates
    blocks = 2  # of H numbers in the state
    order, sigmoids = (0, 1, 3, 2), 3  # i, f, o and g are computed in this order

    def places(self):
        """Return [(layer, rows, columns)]: where the W of each Dense layer is in the matrix."""
        return [(self.dense[0], slice(0, -1), slice(0, 4 * self.H))]

    def forward(self, a, h, c, new_h):
        """Write h into new_h; return c and the tape of the gates, which is in the place of a."""
        to_sigmoid(a[:3])
        i, f, o, g = a
        xp.tanh(g, out=g)
        new_c = f * c
        new_c += i * g
        t = xp.tanh(new_c)
        xp.multiply(o, t, out=new_h)
        return new_c, (i, f, g, o, c, t)

    def dense_tape(self, z):
        N, H, shape = len(z), self.H, (len(z), self.C + 2 * self.H)
        return [[[shape, z], shape], [(N, 4 * H), (N, H)]]

    def input_of(self, dense_tape):
        return dense_tape[0][0][1]

    def backward(self, tape, dh, dc, da):
        """Write the gradients at a into da; leave in dh and dc what goes on, not through W."""
        i, f, g, o, c, t = tape
        dc += product(1 - t * t, o, dh)  # now e of the book
        product(1 - i, i, g, dc, out=da[0])
        product(1 - f, f, c, dc, out=da[1])
        product(1 - g * g, i, dc, out=da[2])
        product(1 - o, o, t, dh, out=da[3])
        dc *= f
        dh.fill(0)


class GRUSteps(Steps):
    """[a_r, a_u, n_x, n_h] = z W, of three Dense layers: n_x is not of h, and n_h not of x."""

    layers = GRU, Concat, Fork, Dense, *(Sequential, Columns, Dense) * 2, Columns, Join, GRUGates
    blocks = 1
    order, sigmoids = (0, 1, 2, 3), 2

    def places(self):
        rows = slice(0, -1), slice(0, self.C), slice(self.C, -1)
        columns = [slice(start * self.H, stop * self.H) for start, stop in ((0, 2), (2, 3), (3, 4))]
        return zip(self.dense, rows, columns, strict=True)

    def forward(self, a, h, c, new_h):
        to_sigmoid(a[:2])
        r, u, n, n_h = a
        n += r * n_h
        xp.tanh(n, out=n)
        xp.add(n, u * (h - n), out=new_h)
        return c, (r, u, n, n_h, h)

    def dense_tape(self, z):
        N, H = len(z), self.H
        forks = [z, [z.shape, z[:, : self.C]], [z.shape, z[:, self.C :]], z.shape]
        return [forks, [(N, 2 * H), (N, H), (N, H), (N, H)]]

    def input_of(self, dense_tape):
        return dense_tape[0][0]

    def backward(self, tape, dh, dc, da):
        r, u, n, n_h, h = tape
        q = product(1 - n * n, 1 - u, dh, out=da[2])
        product(h - n, 1 - u, u, dh, out=da[1])
        dn_h = product(q, r, out=da[3])
        product(1 - r, n_h, dn_h, out=da[0])
        dh *= u


KINDS = {(Recurrent, *kind.layers): kind for kind in (LSTMSteps, GRUSteps)}
NAMES = {layer: frozenset(dir(layer)) for layers in KINDS for layer in layers}


def steps_of(self, L):
    """Return the Steps of a Recurrent's cell; None for one step, or a layer with a method of its own."""
    if L == 1:  # W would be copied for one product
        return None
    layers = [self, *inside(self.cell)]
    kind = KINDS.get(tuple(map(type, layers)))
    if not kind or not all(NAMES[type(layer)].isdisjoint(vars(layer)) for layer in layers):
        return None
    steps = kind(self.cell, [layer for layer in layers if type(layer) is Dense])
    return steps if (self.features, self.state_features) == (steps.H, kind.blocks * steps.H) else None


def inside(layer):
    """Return a layer and all that stand in it, if it is a container, in order."""
    return [layer, *[part for one in getattr(layer, "layers", ()) for part in inside(one)]]


def product(a, *factors, out=None):
    """Return a times all factors, the last product in `out`; a is overwritten by the others."""
    for factor in factors[:-1]:
        a *= factor
    return xp.multiply(a, factors[-1], out=out)


def to_sigmoid(half):
    """Put the sigmoid of a in the place of a / 2."""
    xp.tanh(half, out=half)
    half *= 0.5
    half += 0.5
