"""clip_norm: gradients that are too long together, and an LSTM that learns with it."""

import numpy as np
import pytest
from rows_recurrent import CELLS

from scratchgan.layers import Dense, Recurrent, Sequential
from scratchgan.optim import SGD, Adam, clip_norm
from scratchgan.param import Param


def optimizer_of(gradients):
    """Return an SGD whose Params have these gradients."""
    params = [Param(np.zeros_like(gradient)) for gradient in gradients]
    optimizer = SGD(params, 1.0)
    for param, gradient in zip(params, gradients, strict=True):
        param.grad[...] = gradient
    return optimizer


def test_clip_norm_scales_all_gradients_together():
    gradients = [np.array([[3.0, 0.0]]), np.array([4.0])]
    for largest, factor in ((10.0, 1), (5.0, 1), (1.0, 1 / 5), (0.5, 1 / 10)):
        optimizer = optimizer_of(gradients)
        assert clip_norm(optimizer, largest) == 5
        for param, gradient in zip(optimizer.flat.params, gradients, strict=True):
            np.testing.assert_allclose(param.grad, factor * gradient, rtol=1e-15)


def test_clip_norm_of_nothing_is_nothing():
    with np.errstate(all="raise"):
        optimizer = optimizer_of([np.zeros((2, 2), np.float32)])
        assert clip_norm(optimizer, 1.0) == 0
        assert optimizer.flat.grad.dtype == np.float32 and not optimizer.flat.grad.any()


@pytest.mark.parametrize("largest", [0, -1.0, np.inf, np.nan])
def test_clip_norm_wants_a_norm(largest):
    with pytest.raises(ValueError, match="wanted a number above 0"):
        clip_norm(optimizer_of([np.ones(2)]), largest)


def learns_to_remember(name="LSTM", steps=240):
    """The first number of a sequence, said at its end 12 steps later: the error falls to a tenth."""
    rng = np.random.default_rng(0)
    make, blocks = CELLS[name]
    net = Sequential(Recurrent(make(1, 16, rng=rng), 16, 16 * blocks), Dense(16, 1, rng=rng))
    optimizer, errors = Adam(net.params(), 1e-2, betas=(0.9, 0.999)), []
    for _ in range(steps):
        x = rng.uniform(-1, 1, (32, 12, 1)).astype("float32")
        y, tape = net.forward(x)
        dy = np.zeros_like(y)
        dy[:, -1] = 2 * (y[:, -1] - x[:, 0]) / 32
        errors.append(float(((y[:, -1] - x[:, 0]) ** 2).mean()))
        net.accumulate(tape, dy)
        clip_norm(optimizer, 1.0)
        optimizer.step()
    assert np.mean(errors[-10:]) < 0.1 * np.mean(errors[:10])


def test_an_lstm_learns_to_remember():
    learns_to_remember()
