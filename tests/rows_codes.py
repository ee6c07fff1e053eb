"""Rows of the law table: noise, shuffled phases, rotations, two heads, a network that is told a caption."""

import numpy as np
from hypothesis import strategies as st
from rows_basic import shape, size

from scratchgan.layers import (
    Concat,
    Conv2d,
    Dense,
    Each,
    Flatten,
    GaussianNoise,
    Join,
    PhaseShuffle,
    Rotations,
    Sequential,
    Softplus,
    Tanh,
)


def noise(draw, rng):
    own_rng = np.random.default_rng(0)  # not the laws' own, which moves on while they draw
    return GaussianNoise(draw(st.sampled_from([0.0, 0.3, 2.0])), rng=own_rng), draw(shape)


def shuffled(draw, rng):
    """Radii up to one less than the length, so that a border may reach over all of x."""
    radius = draw(st.integers(0, 3))
    own_rng = np.random.default_rng(draw(st.integers(0, 9)))
    return PhaseShuffle(radius, rng=own_rng), (draw(size), radius + draw(size), draw(size))


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


def told(draw, rng):
    """What x says beside what a caption says, at each position; from there on, further layers."""
    x_shape, words, features, said = draw(shape), draw(size), draw(size), draw(size)
    encoder = Sequential(Dense(words, said, rng=rng), Tanh())
    f = Sequential(Dense(x_shape[-1], features, rng=rng), Softplus())
    caption = rng.integers(0, 2, (x_shape[0], words)).astype(float)
    net = Sequential(Each(f, encoder), Join(), Dense(features + said, 2, rng=rng), Tanh())
    return net, (x_shape, caption)


SMOOTH = {"GaussianNoise": noise, "PhaseShuffle": shuffled, "Rotations": rotations}
COMPOSED = {"a trunk with two heads": heads, "a network that is told": told}
