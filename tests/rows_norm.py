"""Rows of the law table: normalisation layers.

eps is drawn large: a set of two or three numbers may be nearly constant, and with the default eps its map would be too
steep for float32 and for differences to say anything. It also shows up code that takes <xhat^2> for 1.
`test_norm.py` has the default eps.
"""

import numpy as np
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.layers import BatchNorm, Dense, GroupNorm, InstanceNorm, LayerNorm, PixelNorm, Sequential, Tanh

size = st.integers(1, 4)
eps = st.sampled_from([0.3, 1.0])
positions = st.lists(size, max_size=3).map(tuple)  # (), (L,), (H, W) or (T, H, W)


def drawn(layer, rng):
    """Give a layer a random gamma, beta, and running statistics: with ones and zeros, wrong code can pass."""
    for array in layer.named_arrays().values():
        array[...] = xp.to_device(rng.uniform(0.5, 2, array.shape))
    for path, param in layer.named_params().items():
        if path.rpartition(".")[2] in ("gamma", "beta"):
            drawn_value = rng.uniform(0.5, 2, param.value.shape) * rng.choice([-1, 1], param.value.shape)
            param.value[...] = xp.to_device(drawn_value)
    return layer


def batch_shape(draw):
    """A shape (N, ..., C) with two numbers per channel or more; the batch is 1 in many."""
    middle = draw(positions)
    return draw(st.integers(1 if np.prod(middle) > 1 else 2, 4)), *middle, draw(size)


def batch_norm(draw, rng):
    x_shape = batch_shape(draw)
    return drawn(BatchNorm(x_shape[-1], eps=draw(eps), momentum=draw(st.sampled_from([0.0, 0.1, 1.0]))), rng), x_shape


class Inferring(BatchNorm):
    """A batch norm whose forward is always in inference mode."""

    def forward(self, x, train=True):
        return super().forward(x, train=False)


def inferring(draw, rng):
    x_shape = (draw(size), *draw(positions), draw(size))  # batch 1 without positions, too
    return drawn(Inferring(x_shape[-1], eps=draw(eps)), rng), x_shape


def between(draw, rng):
    """Dense below and Tanh above: what reaches the weights below has passed through the batch's statistics."""
    x_shape, channels = batch_shape(draw), draw(size)
    norm = drawn(BatchNorm(channels, eps=draw(eps)), rng)
    return Sequential(Dense(x_shape[-1], channels, rng=rng), norm, Tanh()), x_shape


def layer_norm(draw, rng):
    x_shape = (draw(size), *draw(positions), draw(size))
    return drawn(LayerNorm(x_shape[-1], eps=draw(eps)), rng), x_shape


def instance_norm(draw, rng):
    middle = draw(positions.filter(lambda middle: np.prod(middle) > 1))
    layer = InstanceNorm(draw(size), eps=draw(eps), affine=draw(st.booleans()))
    return drawn(layer, rng), (draw(size), *middle, layer.channels)


def group_norm(draw, rng):
    groups, width = draw(size), draw(size)  # one group, and one channel in each, among them
    return drawn(GroupNorm(groups, groups * width, eps=draw(eps)), rng), (draw(size), *draw(positions), groups * width)


def pixel_norm(draw, rng):
    return PixelNorm(eps=draw(eps)), (draw(size), *draw(positions), draw(size))


SMOOTH = {
    "PixelNorm": pixel_norm,
    "LayerNorm": layer_norm,
    "GroupNorm": group_norm,
    "InstanceNorm": instance_norm,
    "BatchNorm": batch_norm,
    "BatchNorm in inference": inferring,
    "BatchNorm between Dense and Tanh": between,
}
KINKED = {}
