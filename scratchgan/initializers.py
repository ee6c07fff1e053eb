"""How weights start: each function draws a float32 array of a shape from a generator on the host.

The last two axes of a weight are (in, out), any before them a convolution's kernel; a layer with
another layout hands over its weight in this one and exchanges the axes itself.
"""

import math

import numpy

from scratchgan import xp


def normal(shape, rng, std=0.02):
    """W ~ N(0, std^2); 0.02 is what DCGAN uses (Radford et al. 2016, section 4)."""
    return xp.to_device(rng.standard_normal(shape, dtype=numpy.float32) * std, numpy.float32)


def glorot(shape, rng):
    """W ~ U(-a, a), a = sqrt(6 / (fan_in + fan_out)), for tanh (Glorot & Bengio 2010, eq. 16)."""
    fan_in, fan_out = fans(shape)
    bound = math.sqrt(6 / (fan_in + fan_out))
    return xp.to_device(rng.uniform(-bound, bound, shape), numpy.float32)


def he(shape, rng):
    """W ~ N(0, 2 / fan_in): keeps the variance through ReLU (He et al. 2015, eq. 10)."""
    return normal(shape, rng, std=math.sqrt(2 / fans(shape)[0]))


def orthogonal(shape, rng, gain=1.0):
    """W = gain Q, the columns (or rows, if fewer) of Q orthonormal (Saxe et al. 2014, section 3).

    Q, (kernel x in, out), is uniform over such matrices: QR of a normal matrix, with the signs of
    R's diagonal taken out (Mezzadri 2007).
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    a = rng.standard_normal((max(rows, columns), min(rows, columns)))
    Q, R = numpy.linalg.qr(a)
    Q *= numpy.sign(numpy.diag(R))
    return xp.to_device(gain * (Q if rows >= columns else Q.T).reshape(shape), numpy.float32)


def fans(shape):
    """Return (fan_in, fan_out) of a weight (*kernel, in, out): inputs of an output, and reversely.

    A stride is not counted, though an output of a ConvTranspose sees 1 tap in stride^axes.
    Raises ValueError for a side that is no whole number from 1.
    """
    if not all(isinstance(side, int | numpy.integer) and side >= 1 for side in shape):
        raise ValueError(f"a weight of shape {shape}: its sides must be whole numbers from 1")
    kernel = math.prod(shape[:-2])
    return kernel * shape[-2], kernel * shape[-1]
