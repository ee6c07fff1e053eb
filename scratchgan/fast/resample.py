"""Upsampling by repetition."""

from scratchgan import xp
from scratchgan.layers.resample import Separable, Upsample


def upsample(self, x):
    """Return what the slices of `Upsample` say; nearest neighbours in a third of the time."""
    if self.mode == "bilinear" or type(self).slices is not Upsample.slices:
        return Separable.apply(self, x)
    for axis in range(1, x.ndim - 1):
        x = xp.repeat(x, self.scale, axis)
    return x
