"""Bugs of public recurrent networks, planted: for each, a law of `laws.py` or a test of `test_recurrent.py` fails."""

import inspect
import math
import textwrap

import laws
import numpy as np
import pytest
import rows_recurrent
from test_clip_norm import optimizer_of
from test_recurrent import a_gru_longhand, an_lstm_longhand, from_the_end, law_of_any_state

from scratchgan import fast, optim, parallel
from scratchgan.layers import GRUGates, LSTMGates, Recurrent, sums
from scratchgan.layers import recurrent as module
from scratchgan.layers.base import LinearMap


@pytest.fixture(autouse=True)
def plainly():
    """A bug is planted in the code that is read."""
    with fast.plain():
        yield


def plant(monkeypatch, owner, method, right, wrong):
    """Put other code into a method."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, method)))
    assert source.count(right) == 1, (method, right)
    made = {}
    exec(source.replace(right, wrong), vars(module) | {"sums": sums, "math": math, "parallel": parallel}, made)
    monkeypatch.setattr(owner, method, made[method])


def law(name, row):
    """Return a test: a law of a row of the table, for a few draws."""

    def test():
        table = rows_recurrent.SMOOTH | rows_recurrent.COMPOSED

        class Draw:
            def __call__(self, strategy):
                return 2 if strategy is not rows_recurrent.places else (2,)

        for seed in range(3):
            rng = np.random.default_rng(seed)
            layer, shape = table[row](Draw(), rng)
            shape = (shape[0], 3, shape[2]) if len(shape) == 3 else shape
            getattr(laws, name)(layer.astype(np.float64), rng.standard_normal(shape), rng)

    return test


def any_state(name="LSTM", reverse=False):
    return lambda: law_of_any_state(name, reverse)


BUGS = {
    "b_o for all gates": (
        LinearMap, "forward", "y += self.b.value", "y += xp.tile(self.b.value[-len(self.b.value) // 4 :], 4)",
        an_lstm_longhand,
    ),
    "no derivative of the forget gate's sigmoid": (
        LSTMGates, "pull", "e * c * f * (1 - f)", "e * c", law("adjoint_in_x", "LSTMGates"),
    ),
    "dc assigned, not added": (
        LSTMGates, "pull", "e = dc + dh * o", "e = dh * o", law("adjoint_in_x", "LSTMGates"),
    ),
    "no tanh of c' in h": (LSTMGates, "forward", "o * t,", "o * new_c,", an_lstm_longhand),
    "no bend of the output gate": (
        LSTMGates, "double_backward", "t * (1 - 2 * o) * d_o", "0", law("second_order", "LSTMGates"),
    ),
    "r multiplies n_x as well": (GRUGates, "forward", "n_x + r * n_h", "r * (n_x + n_h)", a_gru_longhand),
    "u the other way round": (GRUGates, "forward", "n + u * (h - n)", "h + u * (n - h)", a_gru_longhand),
    "no bend of e": (GRUGates, "double_backward", "(1 - u) * 2 * n * d_n", "0", law("second_order", "GRUGates")),
    "dh_next and dc_next never passed on": (
        Recurrent, "against_time", "ds = dz[:, channels:]", "ds = xp.zeros_like(ds)",
        law("adjoint_in_x", "Recurrent of RNN"),
    ),
    "dc_next never passed on": (
        Recurrent, "against_time", "ds[:, self.features :]]", "xp.zeros_like(ds[:, self.features :])]",
        law("adjoint_in_x", "Recurrent of LSTM"),
    ),
    "dy assigned, not added": (
        Recurrent, "against_time", "ds[:, : self.features] + dy_t", "dy_t", law("adjoint_in_x", "Recurrent of GRU"),
    ),
    "the gradient of the last state dropped": (
        Recurrent, "back", "(backward, tape, dy, dstate)", "(backward, tape, dy)", any_state(),
    ),
    "the gradient of the first state is that of the last": (
        Recurrent, "back", "dx, dstate, _ =", "dx, _, _ =", any_state(),
    ),
    "the last state of a reversed run is the one at the end": (
        Recurrent, "run", "return self.whole(ys), state,",
        "return self.whole(ys), xp.concatenate([ys[0], state[:, self.features :]], axis=-1),", from_the_end,
    ),
    "y of a reversed run not turned back": (Recurrent, "whole", "steps[::-1] if self.reverse else steps", "steps",
        from_the_end),
    "the first state ignored": (Recurrent, "run", "if state is None:", "if True:", any_state("GRU")),
    "a bend stays at its step": (
        Recurrent, "double_backward", "ds = dz[:, shape[2] :]", "pass", law("second_order", "Recurrent of GRU"),
    ),
    "the state stands still along ddx": (
        Recurrent, "double_backward", "[ddx_t, move]", "[ddx_t, 0 * move]", law("second_order", "Recurrent of LSTM"),
    ),
    "each gradient clipped alone": (
        optim, "clip_norm", "g *= largest / xp.maximum(norm, largest)",
        "[xp.multiply(p.grad, largest / max(float((p.grad**2).sum()) ** 0.5, largest), out=p.grad)"
        " for p in optimizer.flat.params]", lambda: clipped(optim.clip_norm),
    ),
}  # fmt: skip


def clipped(clip):
    optimizer = optimizer_of([np.array([3.0]), np.array([4.0])])
    clip(optimizer, 1.0)
    np.testing.assert_allclose(optimizer.flat.grad, [0.6, 0.8])


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    owner, method, right, wrong, test = BUGS[bug]
    test()
    plant(monkeypatch, owner, method, right, wrong)
    with pytest.raises(AssertionError):
        test()
