"""Layers that change the sides of x without weights: Crop, Pad, Blur, Upsample, PixelShuffle, PixelUnshuffle.

All are linear maps y = A x, of sequences (N, L, C), images (N, H, W_, C) and video (N, T, H, W_, C) alike.
docs/resampling.md derives them.
"""

from scratchgan import xp
from scratchgan.layers.base import Layer, check


class Fixed(Layer):
    """y = A x, with A linear and without parameters: `Linear` without W and b."""

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        raise NotImplementedError

    def apply(self, x):
        """Return A x."""
        raise NotImplementedError

    def adjoint(self, dy, shape):
        """Return dx = A^T dy, of the given shape: <dy, A x> = <A^T dy, x>."""
        raise NotImplementedError

    def forward(self, x, train=True):
        self.output_shape(check(self, "x", x).shape)
        return self.apply(x), x.shape

    def backward(self, shape, dy, grads=True):
        return self.adjoint(check(self, "dy", dy, self.output_shape(shape)), shape)

    def double_backward(self, shape, dy, ddx, grads=True):
        # dx = A^T dy does not depend on x: there is no bend. L = <ddx, A^T dy> = <A ddx, dy>.
        return self.apply(check(self, "ddx", ddx, shape)), None


class Separable(Fixed):
    """A linear map that acts along one spatial axis after the other, each time as a sum of weighted slices.

    A subclass writes `slices`. Read from right to left the same list is the adjoint, which is therefore exact.
    """

    def slices(self, lengths):
        """Return one (length of y, [(weight, slice of y, slice of x), ...]) per spatial axis, for lengths of x.

        Along an axis, y[slice of y] += weight x[slice of x], summed over the list that stands for it.
        """
        raise NotImplementedError

    def output_shape(self, shape):
        return (shape[0], *[length for length, _ in self.slices(sides(self, shape))], shape[-1])

    def apply(self, x):
        for axis, (length, pieces) in enumerate(self.slices(x.shape[1:-1]), start=1):
            y = xp.zeros(x.shape[:axis] + (length,) + x.shape[axis + 1 :], dtype=x.dtype)
            for weight, to, source in pieces:
                y[at(axis, to)] += scaled(weight, x[at(axis, source)])
            x = y
        return x

    def adjoint(self, dy, shape):
        for axis, (_, pieces) in enumerate(self.slices(shape[1:-1]), start=1):
            dx = xp.zeros(dy.shape[:axis] + (shape[axis],) + dy.shape[axis + 1 :], dtype=dy.dtype)
            for weight, to, source in pieces:
                dx[at(axis, source)] += scaled(weight, dy[at(axis, to)])
            dy = dx
        return dy


class Crop(Separable):
    """Remove the border: y[i] = x[i + before], of length L - before - after, along every spatial axis.

    padding: one number for every border, or a tuple of (before, after), one pair per spatial axis.
    Raises ValueError where nothing would be left.
    """

    def __init__(self, padding):
        self.padding = border("Crop", padding)

    def __repr__(self):
        return f"Crop({self.padding})"

    def slices(self, lengths):
        found = []
        for length, (before, after) in zip(lengths, pairs(self, self.padding, len(lengths)), strict=True):
            if length <= before + after:
                raise ValueError(f"{self!r}: nothing would be left of a side of {length}")
            found.append((length - before - after, [(1, slice(None), slice(before, length - after))]))
        return found


class Pad(Separable):
    """Add a border: y[i] = x[i - before], of length L + before + after, along every spatial axis.

    padding: one number for every border, or a tuple of (before, after), one pair per spatial axis.
    mode: "zero", or "reflect": x mirrored at its first and last element, which stand there once:
    x2 x1 | x0 x1 x2 ...; its adjoint folds the border back, adding dy there to the element that was shown.
    Raises ValueError for a reflected border that is not smaller than the side.
    """

    def __init__(self, padding, mode="zero"):
        self.padding, self.mode = border("Pad", padding), one_of("Pad", mode, "zero", "reflect")

    def __repr__(self):
        return f"Pad({self.padding}, {self.mode!r})"

    def slices(self, lengths):
        found = []
        for length, (before, after) in zip(lengths, pairs(self, self.padding, len(lengths)), strict=True):
            end, total = before + length, before + length + after
            pieces = [(1, slice(before, end), slice(None))]
            if self.mode == "reflect":
                if length <= max(before, after):
                    raise ValueError(f"{self!r}: a side of {length} cannot be reflected so far")
                pieces.append((1, slice(0, before), slice(before, 0, -1)))
                pieces.append((1, slice(total - 1, end - 1, -1), slice(length - 1 - after, length - 1)))
            found.append((total, pieces))
        return found


class Blur(Separable):
    """Low-pass filter every channel: y[o] = sum_k w_k x[o stride + k - before] along each spatial axis in turn.

    w = kernel / sum(kernel); before = (K - 1) // 2 for K taps; x is 0 outside of its sides. The length becomes
    1 + (L - 1) // stride, so that stride 1 keeps it. Before a stride it takes away what would alias (Zhang 2019,
    section 3); after an upsampling, the copies of the spectrum (Karras et al. 2019, section 2.1).
    Raises ValueError where the kernel sums to 0.
    """

    def __init__(self, kernel=(1, 2, 1), stride=1):
        self.kernel = tuple(float(tap) for tap in kernel)
        if sum(self.kernel) == 0:
            raise ValueError(f"Blur: kernel is {kernel}, wanted numbers whose sum is not 0")
        self.stride = whole("Blur", "stride", stride)

    def __repr__(self):
        return f"Blur({self.kernel}, stride={self.stride})"

    def slices(self, lengths):
        weights = [tap / sum(self.kernel) for tap in self.kernel]
        before = (len(weights) - 1) // 2
        return [taps(weights, length, 1 + (length - 1) // self.stride, self.stride, before) for length in lengths]


class Upsample(Separable):
    """Make every spatial axis `scale` times as long; scale is a whole number.

    "nearest": y[i] = x[i // scale]. "bilinear": linear interpolation along every spatial axis between the centres of
    the elements, y[i] = x((i + 1/2) / scale - 1/2); beyond the first and the last centre it keeps their value. This
    is `align_corners=False` of PyTorch, and what TensorFlow 2 does.
    """

    def __init__(self, scale=2, mode="nearest"):
        self.scale, self.mode = whole("Upsample", "scale", scale), one_of("Upsample", mode, "nearest", "bilinear")

    def __repr__(self):
        return f"Upsample({self.scale}, {self.mode!r})"

    def slices(self, lengths):
        scale = self.scale
        found = []
        for length in lengths:
            last, pieces = (length - 1) * scale, []
            for phase in range(scale):  # y[phase], y[phase + scale], ... lie equally far from the x they belong to
                offset = (phase + 0.5) / scale - 0.5 if self.mode == "bilinear" else 0
                pieces.append((1 - abs(offset), slice(phase, None, scale), slice(None)))
                if offset < 0:  # the rest of the weight is the x before, or x[0] itself at the border
                    pieces.append((-offset, slice(phase + scale, None, scale), slice(0, length - 1)))
                    pieces.append((-offset, slice(phase, phase + 1), slice(0, 1)))
                if offset > 0:  # the x behind, or the last one itself
                    pieces.append((offset, slice(phase, last, scale), slice(1, None)))
                    pieces.append((offset, slice(last + phase, last + phase + 1), slice(length - 1, None)))
            found.append((length * scale, pieces))
        return found

    def apply(self, x):
        if self.mode == "bilinear":
            return super().apply(x)
        for axis in range(1, x.ndim - 1):
            x = xp.repeat(x, self.scale, axis)  # what `slices` says, in a third of the time
        return x


class PixelShuffle(Fixed):
    """Move channels into space: (N, H, W_, C r^2) -> (N, H r, W_ r, C), r = factor (Shi et al. 2016, eq. 4).

    y[n, h r + i, w r + j, c] = x[n, h, w, c r^2 + i r + j]: the channels stand in the order of PyTorch's
    pixel_shuffle. With d spatial axes, r^d channels make one. A permutation, so its adjoint is its inverse.
    """

    def __init__(self, factor):
        self.factor = whole("PixelShuffle", "factor", factor)

    def __repr__(self):
        return f"PixelShuffle({self.factor})"

    def output_shape(self, shape):
        block = self.factor ** len(sides(self, shape))
        if shape[-1] % block:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted a multiple of {block} channels")
        return (shape[0], *[side * self.factor for side in shape[1:-1]], shape[-1] // block)

    def apply(self, x):
        return channels_to_space(x, self.factor)

    def adjoint(self, dy, shape):
        return space_to_channels(dy, self.factor)


class PixelUnshuffle(Fixed):
    """Move space into channels: (N, H, W_, C) -> (N, H / r, W_ / r, C r^2), r = factor: undoes PixelShuffle.

    Raises ValueError where r does not divide every side.
    """

    def __init__(self, factor):
        self.factor = whole("PixelUnshuffle", "factor", factor)

    def __repr__(self):
        return f"PixelUnshuffle({self.factor})"

    def output_shape(self, shape):
        if any(side % self.factor for side in sides(self, shape)):
            raise ValueError(f"{self!r}: x has shape {shape}, wanted sides that are multiples of {self.factor}")
        block = self.factor ** (len(shape) - 2)
        return (shape[0], *[side // self.factor for side in shape[1:-1]], shape[-1] * block)

    def apply(self, x):
        return space_to_channels(x, self.factor)

    def adjoint(self, dy, shape):
        return channels_to_space(dy, self.factor)


# ---- what the layers compute with ------------------------------------------------------------------------


def at(axis, piece):
    """Return the index that takes a slice along one axis and all of the others."""
    return (slice(None),) * axis + (piece,)


def scaled(weight, x):
    """Return weight x, without the cost of a product by 1."""
    return x if weight == 1 else weight * x


def taps(weights, length, out, stride, before):
    """Return the slices of a filter, y[o] = sum_k weights[k] x[o stride + k - before], with x = 0 outside."""
    pieces = []
    for k, weight in enumerate(weights):
        first = max(0, -((k - before) // stride))  # the smallest o with o stride + k - before >= 0
        stop = min(out, (length - 1 - k + before) // stride + 1)  # one more than the largest that stays below length
        if first < stop:
            start = first * stride + k - before
            end = (stop - 1) * stride + k - before + 1
            pieces.append((weight, slice(first, stop), slice(start, end, stride)))
    return out, pieces


def channels_to_space(x, r):
    """Return y with y[n, h r + i, w r + j, c] = x[n, h, w, c r^2 + i r + j], for any number of spatial axes."""
    N, *lengths, C = x.shape
    d = len(lengths)
    split = x.reshape(N, *lengths, C // r**d, *[r] * d)  # (N, H, W_, C, i, j)
    order = [axis for k in range(d) for axis in (1 + k, 2 + d + k)]  # H before i, W_ before j
    return split.transpose(0, *order, 1 + d).reshape(N, *[length * r for length in lengths], C // r**d)


def space_to_channels(y, r):
    """Return x, the inverse of channels_to_space(x, r)."""
    N, *lengths, C = y.shape
    d = len(lengths)
    split = y.reshape(N, *[part for length in lengths for part in (length // r, r)], C)  # (N, H, i, W_, j, C)
    order = [*range(1, 2 * d, 2), 1 + 2 * d, *range(2, 2 * d + 1, 2)]  # H, W_, C, i, j
    return split.transpose(0, *order).reshape(N, *[length // r for length in lengths], C * r**d)


# ---- what they demand ------------------------------------------------------------------------------------


def sides(layer, shape):
    """Return the spatial part of a shape (N, ..., C); raise ValueError where there is none."""
    if len(shape) < 3 or 0 in shape[1:-1]:
        raise ValueError(f"{layer!r}: x has shape {shape}, wanted (N, L, C), (N, H, W, C) or (N, T, H, W, C)")
    return shape[1:-1]


def whole(owner, name, value, least=1):
    """Return value if it is a whole number, `least` or above; else raise ValueError."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{owner}: {name} is {value!r}, wanted a whole number, {least} or above")
    return value


def one_of(owner, mode, *modes):
    """Return mode if it is one of those that there are; else raise ValueError."""
    if mode not in modes:
        raise ValueError(f"{owner}: mode is {mode!r}, wanted one of {modes}")
    return mode


def border(owner, padding):
    """Return padding if it is a whole number or a tuple of pairs of such; else raise ValueError."""
    if isinstance(padding, int):
        return whole(owner, "padding", padding, least=0)
    if not isinstance(padding, tuple) or any(not isinstance(pair, tuple) or len(pair) != 2 for pair in padding):
        raise ValueError(f"{owner}: padding is {padding!r}, wanted a number, or ((before, after), ...)")
    return tuple(tuple(whole(owner, "padding", part, least=0) for part in pair) for pair in padding)


def pairs(layer, padding, rank):
    """Return one (before, after) for each of `rank` spatial axes."""
    if isinstance(padding, int):
        return [(padding, padding)] * rank
    return each(layer, "padding", padding, rank)


def each(layer, name, value, rank):
    """Return one entry for each of `rank` spatial axes: a tuple's own, or the same number for all."""
    if not isinstance(value, tuple):
        return (value,) * rank
    if len(value) != rank:
        raise ValueError(f"{layer!r}: {name} has {len(value)} entries, and x has {rank} spatial axes")
    return value
