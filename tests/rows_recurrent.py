"""Rows of the law table: gates, recurrent cells, and Recurrent, which unrolls a cell along time."""

from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.layers import (
    GRU,
    LSTM,
    RNN,
    Columns,
    Concat,
    Dense,
    GRUGates,
    LSTMGates,
    Recurrent,
    Sequential,
    Softplus,
    Tanh,
)

size = st.integers(1, 4)
few = st.integers(1, 3)
places = st.lists(few, min_size=1, max_size=2).map(tuple)  # (N,) or (N, L)
CELLS = {"RNN": (RNN, 1), "LSTM": (LSTM, 2), "GRU": (GRU, 1)}  # and the numbers of its state for a feature


def columns(draw, rng):
    start, width, behind = draw(st.integers(0, 2)), draw(few), draw(st.integers(0, 2))
    return Columns(start, start + width), (*draw(places), start + width + behind)


def gates(make):
    def row(draw, rng):
        features = draw(few)
        return make(features), (*draw(places), 5 * features)

    return row


def varied(net, rng):
    """Return a network whose biases are no zeros, so that they are told from each other."""
    for param in net.params():
        param.value[...] = xp.to_device(0.7 * rng.standard_normal(param.value.shape))
    return net


def cell(name):
    make, states = CELLS[name]

    def row(draw, rng):
        n, channels, features = draw(few), draw(few), draw(few)
        return varied(make(channels, features, rng=rng), rng), (n, channels + states * features)

    return row


def unrolled(name, channels, features, rng, reverse=False):
    """Return a Recurrent of a cell, given by its name."""
    make, states = CELLS[name]
    net = Recurrent(make(channels, features, rng=rng), features, states * features, reverse=reverse)
    return varied(net, rng)


def recurrent(name, reverse=False):
    def row(draw, rng):
        n, length, channels, features = draw(few), draw(size), draw(few), draw(few)
        return unrolled(name, channels, features, rng, reverse), (n, length, channels)

    return row


def any_cell(draw, rng):
    """A cell of other layers, whose state has more numbers than are seen."""
    n, length, channels = draw(few), draw(size), draw(few)
    body = Sequential(Dense(channels + 4, 5, rng=rng), Softplus(), Dense(5, 4, rng=rng), Tanh())
    return Recurrent(body, draw(st.integers(1, 4)), 4), (n, length, channels)


def linear(draw, rng):
    """A cell that does not bend."""
    n, length, channels = draw(few), draw(size), draw(few)
    return Recurrent(Dense(channels + 3, 3, rng=rng), 2, 3), (n, length, channels)


def stack(draw, rng):
    """Two or three, one on the other, and a Dense layer at each step."""
    n, length, channels = draw(few), draw(size), draw(few)
    names = draw(st.lists(st.sampled_from([*CELLS]), min_size=2, max_size=3))
    widths = [channels] + [2] * len(names)
    layers = [unrolled(name, width, 2, rng, draw(st.booleans())) for name, width in zip(names, widths, strict=False)]
    return Sequential(*layers, Dense(2, draw(few), rng=rng)), (n, length, channels)


def bidirectional(draw, rng):
    n, length, channels = draw(few), draw(size), draw(few)
    there, back = draw(st.sampled_from([*CELLS])), draw(st.sampled_from([*CELLS]))
    ways = [unrolled(there, channels, draw(few), rng), unrolled(back, channels, draw(few), rng, reverse=True)]
    return Concat(*ways), (n, length, channels)


SMOOTH = {
    "Columns": columns,
    "LSTMGates": gates(LSTMGates),
    "GRUGates": gates(GRUGates),
    "RNN": cell("RNN"),
    "LSTM": cell("LSTM"),
    "GRU": cell("GRU"),
    "Recurrent": any_cell,
    "Recurrent of RNN": recurrent("RNN"),
    "Recurrent of LSTM": recurrent("LSTM"),
    "Recurrent of GRU": recurrent("GRU"),
}
COMPOSED = {
    "Recurrent of a linear cell": linear,
    "Recurrent of RNN, reversed": recurrent("RNN", reverse=True),
    "Recurrent of LSTM, reversed": recurrent("LSTM", reverse=True),
    "Recurrent of GRU, reversed": recurrent("GRU", reverse=True),
    "a stack of Recurrent": stack,
    "both ways": bidirectional,
}
