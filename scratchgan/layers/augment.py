"""Augmentations: random linear maps of pictures, another one for each sample and each forward.

D(T(x)) sees real and generated pictures through T, and G's gradient comes back through it: so T is
a layer (Zhao et al. 2020, DiffAugment). docs/augmentation.md derives all, and shows what leaks.
"""

import math

import numpy

from scratchgan import xp
from scratchgan.layers.base import Layer, check


class RandomLinear(Layer):
    """y[n] = A[n] x[n] + c[n], A and c drawn for each sample, with probability p; else y[n] = x[n].

    They are drawn on the host at each forward in training, and kept on the tape: dx = A^T dy, and
    double_backward is exact. In inference y = x. x: (N, H, W_, C).
    p: a number, or an array of no axes that several layers share; `layer.p[...] = 0.2` sets it
    while training runs (Karras et al. 2020, ADA).
    limit: how far it goes; a subclass says of what, and how far unless told. It says, too, what
    numbers it draws, `neutral`, what they are for the identity, and its two maps.
    """

    limit = 1.0
    neutral = 0  # numbers of this size change nothing

    def __init__(self, limit=None, *, p=1.0, rng):
        if not xp.is_array(p) and not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p}, wanted a number from 0 to 1")
        self.limit = positive(self, self.limit if limit is None else limit)
        self.p, self.rng = xp.asarray(p, dtype="float32"), rng

    def __repr__(self):
        return f"{type(self).__name__}()"

    def draw(self, shape):
        """Return numbers, a host array (N, k): a row describes A and c of a sample."""
        raise NotImplementedError

    def apply(self, numbers, x):
        """Return A x."""
        raise NotImplementedError

    def adjoint(self, numbers, dy):
        """Return A^T dy: <dy, A x> = <A^T dy, x>."""
        raise NotImplementedError

    def constant(self, numbers):
        """Return c, (N, 1, 1, 1); None where it is 0."""
        return None

    def forward(self, x, train=True):
        check(self, "x", x)
        if x.ndim != 4:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted pictures (N, H, W, C)")
        if not train:
            return x, (x.shape, None)
        numbers = self.numbers(x.shape)
        y, c = self.apply(numbers, x), self.constant(numbers)
        return y if c is None else y + c.astype(x.dtype), (x.shape, numbers)

    def numbers(self, shape):
        """Return what was drawn for each sample, (N, k), on the device; neutral ones for some."""
        chosen = xp.to_device(self.rng.random((shape[0], 1))) < self.p.real
        return xp.where(chosen, xp.to_device(self.draw(shape)), self.neutral)

    def pull(self, tape, dy):
        shape, numbers = tape
        check(self, "dy", dy, shape)
        return dy if numbers is None else self.adjoint(numbers, dy), None

    def double_backward(self, tape, kept, ddx):
        # dx = A^T dy does not depend on x: there is no bend. <ddx, A^T dy> = <A ddx, dy>.
        shape, numbers = tape
        check(self, "ddx", ddx, shape)
        return ddx if numbers is None else self.apply(numbers, ddx), None


# ---- colours -------------------------------------------------------------------------------------


class Brightness(RandomLinear):
    """y = x + c, c ~ U(-limit, limit) for a sample: 1/2 in DiffAugment, for pixels from -1 to 1."""

    limit = 0.5

    def draw(self, shape):
        return self.rng.uniform(-self.limit, self.limit, (shape[0], 1))

    def apply(self, numbers, x):
        return x

    def adjoint(self, numbers, dy):
        return dy

    def constant(self, numbers):
        return numbers[:, :, None, None]


class Contrast(RandomLinear):
    """y = c x + (1 - c) m, m the mean of a sample's numbers, c ~ U(1 - limit, 1 + limit).

    A is symmetric, and so its own adjoint. DiffAugment's limit is 1/2.
    """

    limit, neutral = 0.5, 1.0

    def draw(self, shape):
        return self.rng.uniform(1 - self.limit, 1 + self.limit, (shape[0], 1))

    def apply(self, numbers, x):
        c, m = numbers[:, :, None, None].astype(x.dtype), x.mean((1, 2, 3), keepdims=True)
        return c * x + (1 - c) * m

    def adjoint(self, numbers, dy):
        return self.apply(numbers, dy)


# ---- places --------------------------------------------------------------------------------------


class Shift(RandomLinear):
    """y[n, h, w] = x[n, h - i_n, w - j_n]: a translation; zeros come in, nothing wraps around.

    i and j are whole numbers of pixels, at most `limit` of a side, rounded: 1/8 in DiffAugment. The
    adjoint is the shift back.
    """

    limit = 0.125

    def draw(self, shape):
        reach = [rounded(self.limit * side) for side in shape[1:3]]
        drawn = [self.rng.integers(-most, most + 1, shape[0]) for most in reach]
        return numpy.stack(drawn, axis=1)

    def apply(self, numbers, x):
        rows, columns = grid(x.shape)
        return pixels(x, rows - across(numbers, 0), columns - across(numbers, 1))

    def adjoint(self, numbers, dy):
        return self.apply(-numbers, dy)


class Cutout(RandomLinear):
    """y = mask x: a rectangle of `limit` of each side, 1/2 in DiffAugment, is 0 in each sample.

    Its centre is anywhere on the picture, so that parts of it may lie outside. A mask is its own
    adjoint. 0 is grey where pixels are from -1 to 1.
    """

    limit, neutral = 0.5, -(2**20)  # a centre far outside

    def draw(self, shape):
        # As the authors draw it: where the size is even, a centre is a border between two pixels.
        lengths = [rounded(self.limit * side) for side in shape[1:3]]
        ends = [side + 1 - length % 2 for side, length in zip(shape[1:3], lengths, strict=True)]
        return numpy.stack([self.rng.integers(0, end, shape[0]) for end in ends], axis=1)

    def apply(self, numbers, x):
        hidden = True
        for axis, places in enumerate(grid(x.shape)):
            length = rounded(self.limit * x.shape[1 + axis])
            first = across(numbers, axis) - length // 2
            hidden = hidden & (places >= first) & (places < first + length)  # (N, H, W_)
        return x * (~hidden)[..., None]

    def adjoint(self, numbers, dy):
        return self.apply(numbers, dy)


class Warp(RandomLinear):
    """Turn pictures and scale them about their centre: y[n, q] = x[n, B_n q], by bilinear weights.

    B turns by an angle ~ U(-limit, limit), in degrees, and divides by 2^u, u ~ U(-octaves,
    octaves). What lies outside of x is 0. Between pixels p, x is the sum of tent(B q - p) x[p],
    with tent(t) = max(0, 1 - |t|) along both axes: the adjoint has the same weights, summed over
    the q near p.
    """

    limit = 10.0

    def __init__(self, limit=None, octaves=0.2, *, p=1.0, rng):
        super().__init__(limit, p=p, rng=rng)
        self.octaves = positive(self, octaves)

    def draw(self, shape):
        angle = numpy.radians(self.rng.uniform(-self.limit, self.limit, shape[0]))
        return numpy.stack([angle, self.rng.uniform(-self.octaves, self.octaves, shape[0])], axis=1)

    def apply(self, numbers, x):
        h, w = moved(numbers, *grid(x.shape), x.shape)  # B q, for each q: (N, H, W_)
        y = xp.zeros_like(x)
        for i in (0, 1):
            for j in (0, 1):
                rows, columns = xp.floor(h) + i, xp.floor(w) + j
                weight = (tent(h - rows) * tent(w - columns))[..., None].astype(x.dtype)
                y += weight * pixels(x, rows.astype("int64"), columns.astype("int64"))
        return y

    def adjoint(self, numbers, dy):
        own_rows, own_columns = grid(dy.shape)
        h, w = moved(-numbers, own_rows, own_columns, dy.shape)  # B^-1 p, for each p
        reach = math.floor(2**self.octaves * math.sqrt(2) + 0.5)  # where B q is less than 1 from p
        dx = xp.zeros_like(dy)
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                rows, columns = xp.rint(h) + i, xp.rint(w) + j
                to_h, to_w = moved(numbers, rows, columns, dy.shape)
                weight = (tent(to_h - own_rows) * tent(to_w - own_columns))[..., None]
                pieces = pixels(dy, rows.astype("int64"), columns.astype("int64"))
                dx += weight.astype(dy.dtype) * pieces
        return dx


# ---- what they compute with ----------------------------------------------------------------------


def positive(owner, number):
    """Return a number as a float; raise ValueError unless it is above 0."""
    if not 0 < number < math.inf:
        raise ValueError(f"{type(owner).__name__}: got {number}, wanted a number above 0")
    return float(number)


def rounded(length):
    """Return a length in whole pixels; half of one counts as one."""
    return int(length + 0.5)


def across(numbers, index):
    """Return one of the numbers of each sample, (N, 1, 1)."""
    return numbers[:, index, None, None]


def grid(shape):
    """Return the rows (1, H, 1) and the columns (1, 1, W_) of pictures of a shape."""
    return xp.arange(shape[1])[None, :, None], xp.arange(shape[2])[None, None]


def pixels(x, rows, columns):
    """Return x[n, rows, columns], (N, H, W_, C), with zeros where there is no such pixel."""
    H, W_ = x.shape[1:3]
    inside = (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W_)
    samples = xp.arange(len(x))[:, None, None]
    found = x[samples, xp.clip(rows, 0, H - 1), xp.clip(columns, 0, W_ - 1)]
    return found * inside[..., None]


def moved(numbers, rows, columns, shape):
    """Return where a Warp's B takes each place, about the centre; of -numbers, B^-1."""
    angle, scale = across(numbers, 0), 2 ** -across(numbers, 1)
    h, w = (shape[1] - 1) / 2, (shape[2] - 1) / 2
    cos, sin = xp.cos(angle) * scale, xp.sin(angle) * scale
    down, right = rows - h, columns - w
    return h + cos * down + sin * right, w + cos * right - sin * down


def tent(distance):
    """Return max(0, 1 - |distance|), the weight of a pixel in a linear interpolation."""
    return xp.maximum(0, 1 - xp.abs(distance))
