"""Rows of the law table: noise, rotations, a trunk with two heads, and a network that is told a caption."""

import numpy as np
from hypothesis import strategies as st
from rows_basic import shape, size

from scratchgan import xp
from scratchgan.layers import (
    Concat,
    Conv2d,
    Dense,
    Flatten,
    GaussianNoise,
    Given,
    Join,
    Layer,
    Rotations,
    Sequential,
    Softplus,
    Tanh,
)


def noise(draw, rng):
    own_rng = np.random.default_rng(0)  # not the laws' own, which moves on while they draw
    return GaussianNoise(draw(st.sampled_from([0.0, 0.3, 2.0])), rng=own_rng), draw(shape)


def rotations(draw, rng):
    side = draw(size)
    return Rotations(), (draw(size), side, side, draw(size))


def heads(draw, rng):
    """Rotated pictures, a convolution, and two heads, one of them deeper: as in InfoGAN and SSGAN."""
    side, channels, hidden = draw(st.integers(2, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    trunk = Sequential(Conv2d(channels, 2, 3, padding=1, rng=rng), Softplus(), Flatten())
    features = 2 * side * side
    Q = Sequential(Dense(features, hidden, rng=rng), Tanh(), Dense(hidden, draw(size), rng=rng))
    return Sequential(Rotations(), trunk, Concat(Dense(features, 1, rng=rng), Q)), (draw(size), side, side, channels)


class Told(Layer):
    """A layer that is told a condition of the dtype of x."""

    def __init__(self, layer, condition):
        self.layer, self.condition = layer, condition

    def __repr__(self):
        return f"Told({self.layer})"

    def forward(self, x, train=True):
        return Given(self.layer, xp.asarray(self.condition, dtype=getattr(x, "dtype", None))).forward(x, train)

    def backward(self, tape, dy, grads=True):
        return self.layer.backward(tape, dy, grads)

    def double_backward(self, tape, dy, ddx, grads=True):
        return self.layer.double_backward(tape, dy, ddx, grads)


def join(draw, rng):
    x_shape, words, features = draw(shape), draw(size), draw(size)
    encoder = Sequential(Dense(words, features, rng=rng), Tanh())
    f = Sequential(Dense(x_shape[-1], draw(size), rng=rng), Softplus())
    condition = xp.to_device(rng.integers(0, 2, (x_shape[0], words)).astype(float))
    return Told(Join(f, encoder), condition), x_shape


def joined(draw, rng):
    """A network whose condition reaches its output through further layers."""
    told, x_shape = join(draw, rng)
    told.layer = Sequential(told.layer, Dense(told(xp.zeros(x_shape, dtype="float32")).shape[-1], 2, rng=rng), Tanh())
    return told, x_shape


SMOOTH = {"Join": join, "GaussianNoise": noise, "Rotations": rotations}
COMPOSED = {"a trunk with two heads": heads, "a network that is told": joined}
