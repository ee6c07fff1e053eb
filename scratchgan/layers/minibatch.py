"""Layers with which a discriminator sees a whole batch, so that samples that are all alike give themselves away.

Each is a layer of its own, with mixes_samples = True; docs/minibatch.md derives them.
"""

from scratchgan import xp
from scratchgan.layers.base import Layer, check


class Pack(Layer):
    """Put `pack` samples side by side, (N, ..., C) -> (N / pack, ..., pack C), so that D judges them as one.

    As the first layer of a discriminator it makes a PacGAN (Lin et al. 2018, section 2): the rows n pack, ...,
    n pack + pack - 1 of x become row n of y. Raises ValueError where `pack` does not divide N.
    """

    mixes_samples = True

    def __init__(self, pack):
        if not (isinstance(pack, int) and pack > 0):
            raise ValueError(f"Pack: pack is {pack}, wanted a whole number from 1 on")
        self.pack = pack

    def __repr__(self):
        return f"Pack({self.pack})"

    def packed(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        if len(shape) < 2 or shape[0] % self.pack:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted (N, ..., C) with N a multiple of {self.pack}")
        return (shape[0] // self.pack, *shape[1:-1], shape[-1] * self.pack)

    def forward(self, x, train=True):
        shape = check(self, "x", x).shape
        packed = self.packed(shape)
        groups = x.reshape(-1, self.pack, *shape[1:])  # (N / pack, pack, ..., C)
        return xp.ascontiguousarray(xp.moveaxis(groups, 1, -2)).reshape(packed), shape

    def backward(self, shape, dy, grads=True):
        check(self, "dy", dy, self.packed(shape))
        groups = dy.reshape(-1, *shape[1:-1], self.pack, shape[-1])  # (N / pack, ..., pack, C)
        return xp.ascontiguousarray(xp.moveaxis(groups, -2, 1)).reshape(shape)

    def double_backward(self, shape, dy, ddx, grads=True):
        return self.forward(check(self, "ddx", ddx, shape))[0], None  # a permutation of the numbers: linear
