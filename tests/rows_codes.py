"""Rows of the law table: noise, rotations, and a network of one trunk and two heads."""

import numpy as np
from hypothesis import strategies as st
from rows_basic import shape, size

from scratchgan.layers import Concat, Conv2d, Dense, Flatten, GaussianNoise, Rotations, Sequential, Softplus, Tanh


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


SMOOTH = {"GaussianNoise": noise, "Rotations": rotations}
COMPOSED = {"a trunk with two heads": heads}
