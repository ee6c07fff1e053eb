"""The twins of Recurrent: what they leave to the plain code, how they refuse. tests/test_fast.py compares numbers."""

import contextlib

import numpy as np
import pytest

from scratchgan import fast
from scratchgan.layers import GRU, LSTM, Dense, LSTMGates, Recurrent


class OwnGates(LSTMGates):
    """Gates of somebody else's, which are none."""

    def forward(self, x, train=True):
        y, tape = super().forward(x, train)
        return 3 * y, tape


def test_a_recurrent_twin_leaves_cells_of_ones_own_to_the_plain_code():
    """Whether by a class, on the layer, or with another state: y is what the plain code says."""
    rng, results = np.random.default_rng(0), []
    cells = [LSTM(3, 2, rng=rng) for _ in range(3)]
    cells[0].layers = cells[0].layers[0], OwnGates(2)
    cells[1].dense.forward = lambda x, train=True: (Dense.forward(cells[1].dense, x, train)[0] * 3, x)
    nets = [Recurrent(cells[0], 2, 4), Recurrent(cells[1], 2, 4), Recurrent(cells[2], 4, 4)]
    x = rng.standard_normal((2, 5, 3), dtype=np.float32)
    for place in (contextlib.nullcontext, fast.plain):
        with place():
            results.append([net(x) for net in nets])
    for ours, plain in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_a_recurrent_twin_refuses_in_the_words_of_the_plain_code():
    net = Recurrent(GRU(3, 2, rng=np.random.default_rng(0)), 2)
    x, state, dy = np.ones((2, 5, 3), np.float32), np.ones((2, 2), np.float32), np.ones((2, 5, 2), np.float32)
    _, _, tape = net.run(x)
    wrong = [lambda: net.run(x[0]), lambda: net.run(x[:, :, :2]), lambda: net.run(x.astype(np.float64)),
             lambda: net.run(x, state[:1]), lambda: net.run(x, state.astype(np.float64)), lambda: net.run(x, [0, 0]),
             lambda: net.back(tape, dy[:, 1:], None), lambda: net.back(tape, dy.astype(np.float64), None),
             lambda: net.back(tape, dy, state[:1]), lambda: net.back(tape, [1], None)]  # fmt: skip
    for call in wrong:
        with pytest.raises((TypeError, ValueError)) as ours:
            call()
        with fast.plain(), pytest.raises((TypeError, ValueError)) as plain:
            call()
        assert str(ours.value) == str(plain.value)


def test_a_single_step_is_left_to_the_plain_code(monkeypatch):
    """All weights would be copied for one product."""
    monkeypatch.setattr(fast.recurrent.Steps, "matrix", None)
    net = Recurrent(LSTM(3, 2, rng=np.random.default_rng(0)), 2, 4)
    y, state, tape = net.run(np.ones((2, 1, 3), np.float32))
    assert net.back(tape, y, state)[0].shape == (2, 1, 3)
    with pytest.raises(TypeError):
        net.run(np.ones((2, 2, 3), np.float32))
