"""Layers that move pixels: Crop, Pad, Blur, Upsample, PixelShuffle, PixelUnshuffle, Rotations.

All are linear maps y = A x without weights, of sequences (N, L, C), images (N, H, W_, C) and video
(N, T, H, W_, C) alike. docs/resampling.md derives them.
"""

from scratchgan import xp
from scratchgan.layers.base import FixedMap
from scratchgan.layers.taps import along, at


class Separable(FixedMap):
    """A linear map along one spatial axis after the other, each time a sum of weighted slices.

    A subclass writes `slices`. With the slices of x and y exchanged, the same list is the adjoint.
    It takes the axes in the same order, too: maps along different axes commute.
    """

    def slices(self, lengths):
        """Return (length of y, [(weight, slice of y, slice of x), ...]) per axis, for x's lengths.

        Along an axis, y[slice of y] += weight x[slice of x], summed over the axis's list.
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
    """Remove the border: y[i] = x[i + before], i < L - before - after, along every spatial axis.

    padding: one number for every border, or a tuple of (before, after), one pair per spatial axis.
    Raises ValueError where nothing would be left.
    """

    def __init__(self, padding):
        self.padding = border("Crop", padding)

    def __repr__(self):
        return f"Crop({self.padding})"

    def slices(self, lengths):
        slices = []
        for length, (before, after) in borders(self, lengths):
            if length <= before + after:
                raise ValueError(f"{self!r}: nothing would be left of a side of {length}")
            inside = slice(before, length - after)
            slices.append((length - before - after, [(1, slice(None), inside)]))
        return slices


class Pad(Separable):
    """Add a border: y[i] = x[i - before], of length L + before + after, along every spatial axis.

    padding: one number for every border, or a tuple of (before, after), one pair per spatial axis.
    mode: "zero", or "reflect": x mirrored at its first and last element, which stand there once:
    x2 x1 | x0 x1 x2 ...; its adjoint adds the border's dy to the elements that were shown there.
    Raises ValueError for a reflected border that is not smaller than the side.
    """

    def __init__(self, padding, mode="zero"):
        self.padding, self.mode = border("Pad", padding), one_of("Pad", mode, "zero", "reflect")

    def __repr__(self):
        return f"Pad({self.padding}, {self.mode!r})"

    def slices(self, lengths):
        slices = []
        for length, (before, after) in borders(self, lengths):
            end, total = before + length, before + length + after
            pieces = [(1, slice(before, end), slice(None))]
            if self.mode == "reflect":
                if length <= max(before, after):
                    raise ValueError(f"{self!r}: a side of {length} cannot be reflected so far")
                pieces.append((1, slice(0, before), slice(before, 0, -1)))
                behind = slice(total - 1, end - 1, -1)
                pieces.append((1, behind, slice(length - 1 - after, length - 1)))
            slices.append((total, pieces))
        return slices


class Blur(Separable):
    """Low-pass filter every channel: y[o] = sum_k w_k x[o stride + k - before] along each axis.

    w = kernel / sum(kernel); before = (K - 1) // 2 for K taps; x is 0 outside of its sides. The
    length becomes 1 + (L - 1) // stride. Before a stride, a blur takes away what would alias (Zhang
    2019, section 3); after an upsampling, copies of the spectrum (Karras et al. 2019, section 2.1).
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
        before, s = (len(weights) - 1) // 2, self.stride
        out = lambda length: 1 + (length - 1) // s
        return [filter_slices(weights, length, out(length), s, before) for length in lengths]


class Upsample(Separable):
    """Make every spatial axis `scale` times as long; scale is a whole number.

    "nearest": y[i] = x[i // scale]. "bilinear": y[i] = x((i + 1/2) / scale - 1/2), interpolated
    between the centres of the elements along every axis; beyond the first and the last centre it
    keeps their value. This is `align_corners=False` of PyTorch, and what TensorFlow 2 does.
    """

    def __init__(self, scale=2, mode="nearest"):
        self.scale = whole("Upsample", "scale", scale)
        self.mode = one_of("Upsample", mode, "nearest", "bilinear")

    def __repr__(self):
        return f"Upsample({self.scale}, {self.mode!r})"

    def slices(self, lengths):
        scale = self.scale
        slices = []
        for length in lengths:
            last, pieces = (length - 1) * scale, []
            for phase in range(scale):  # y[phase], y[phase + scale], ... lie equally far from an x
                offset = (phase + 0.5) / scale - 0.5 if self.mode == "bilinear" else 0
                pieces.append((1 - abs(offset), slice(phase, None, scale), slice(None)))
                if offset < 0:  # the rest of the weight is the x before's, or x[0]'s at the border
                    before = slice(phase + scale, None, scale)
                    pieces.append((-offset, before, slice(0, length - 1)))
                    pieces.append((-offset, slice(phase, phase + 1), slice(0, 1)))
                if offset > 0:  # the x behind, or the last one itself
                    pieces.append((offset, slice(phase, last, scale), slice(1, None)))
                    at_end = slice(last + phase, last + phase + 1)
                    pieces.append((offset, at_end, slice(length - 1, None)))
            slices.append((length * scale, pieces))
        return slices


class PixelShuffle(FixedMap):
    """Move channels into space: (N, H, W_, C r^2) -> (N, H r, W_ r, C) (Shi et al. 2016, eq. 4).

    y[n, h r + i, w r + j, c] = x[n, h, w, c r^2 + i r + j], r = factor: the channels stand in the
    order of PyTorch's pixel_shuffle. With d spatial axes, r^d channels make one. A permutation, so
    its adjoint is its inverse.
    """

    def __init__(self, factor):
        self.factor = whole("PixelShuffle", "factor", factor)

    def __repr__(self):
        return f"PixelShuffle({self.factor})"

    def output_shape(self, shape):
        block = self.factor ** len(sides(self, shape))
        if shape[-1] % block:
            wanted = f"a multiple of {block} channels"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        return (shape[0], *[side * self.factor for side in shape[1:-1]], shape[-1] // block)

    def apply(self, x):
        return channels_to_space(x, self.factor)

    def adjoint(self, dy, shape):
        return space_to_channels(dy, self.factor)


class PixelUnshuffle(FixedMap):
    """Undo PixelShuffle: (N, H, W_, C) -> (N, H / r, W_ / r, C r^2), r = factor.

    Raises ValueError where r does not divide every side.
    """

    def __init__(self, factor):
        self.factor = whole("PixelUnshuffle", "factor", factor)

    def __repr__(self):
        return f"PixelUnshuffle({self.factor})"

    def output_shape(self, shape):
        if any(side % self.factor for side in sides(self, shape)):
            wanted = f"sides that are multiples of {self.factor}"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        block = self.factor ** (len(shape) - 2)
        return (shape[0], *[side // self.factor for side in shape[1:-1]], shape[-1] * block)

    def apply(self, x):
        return space_to_channels(x, self.factor)

    def adjoint(self, dy, shape):
        return channels_to_space(dy, self.factor)


class Rotations(FixedMap):
    """Turn pictures by 0, 90, 180 and 270 degrees anticlockwise: (N, H, H, C) -> (4 N, H, H, C).

    All N as they are first, then all N turned by 90 degrees, and so on. Each turn is a permutation
    of pixels, whose adjoint is the turn back: dx is the sum of the four dy, each turned back.
    """

    def __repr__(self):
        return "Rotations()"

    def output_shape(self, shape):
        if len(shape) != 4 or shape[1] != shape[2]:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted square pictures (N, H, H, C)")
        return (4 * shape[0], *shape[1:])

    def apply(self, x):
        return xp.concatenate([xp.rot90(x, turns, axes=(1, 2)) for turns in range(4)])

    def adjoint(self, dy, shape):
        parts = dy.reshape(4, *shape)
        return sum(xp.rot90(part, -turns, axes=(1, 2)) for turns, part in enumerate(parts))


# ---- what the layers compute with ----------------------------------------------------------------


def scaled(weight, x):
    """Return weight x, without the cost of a product by 1."""
    return x if weight == 1 else weight * x


def filter_slices(weights, length, out, stride, before):
    """Return a filter's slices, y[o] = sum_k weights[k] x[o stride + k - before], x = 0 outside."""
    taps = enumerate(weights)
    return out, [(weight, *along(k, stride, 1, before, length, out)) for k, weight in taps]


def channels_to_space(x, r):
    """Return y, y[n, h r + i, w r + j, c] = x[n, h, w, c r^2 + i r + j], for any number of axes."""
    N, *lengths, C = x.shape
    d = len(lengths)
    split = x.reshape(N, *lengths, C // r**d, *[r] * d)  # (N, H, W_, C, i, j)
    order = [axis for k in range(d) for axis in (1 + k, 2 + d + k)]  # H before i, W_ before j
    split = split.transpose(0, *order, 1 + d)  # (N, H, i, W_, j, C)
    return split.reshape(N, *[length * r for length in lengths], C // r**d)


def space_to_channels(y, r):
    """Return x, the inverse of channels_to_space(x, r)."""
    N, *lengths, C = y.shape
    d = len(lengths)
    sides = [part for length in lengths for part in (length // r, r)]
    split = y.reshape(N, *sides, C)  # (N, H, i, W_, j, C)
    order = [*range(1, 2 * d, 2), 1 + 2 * d, *range(2, 2 * d + 1, 2)]  # H, W_, C, i, j
    return split.transpose(0, *order).reshape(N, *[length // r for length in lengths], C * r**d)


# ---- what they demand ----------------------------------------------------------------------------


def sides(layer, shape):
    """Return the spatial part of a shape (N, ..., C); raise ValueError where there is none."""
    if len(shape) < 3 or 0 in shape[1:-1]:
        raise ValueError(f"{layer!r}: x has shape {shape}, wanted (N, L, C), (N, H, W, C), ...")
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
    is_pair = lambda pair: isinstance(pair, tuple) and len(pair) == 2
    if not isinstance(padding, tuple) or not all(map(is_pair, padding)):
        raise ValueError(f"{owner}: padding is {padding!r}, wanted a number, or ((before, after),)")
    return tuple(tuple(whole(owner, "padding", part, least=0) for part in pair) for pair in padding)


def borders(layer, lengths):
    """Return (length, (before, after)) for each spatial axis of a layer with a padding."""
    padding, rank = layer.padding, len(lengths)
    if isinstance(padding, int):
        padding = ((padding, padding),) * rank
    return zip(lengths, each(layer, "padding", padding, rank), strict=True)


def each(layer, name, value, rank):
    """Return an entry for each of `rank` spatial axes: a tuple's own, or the same for all."""
    if not isinstance(value, tuple):
        return (value,) * rank
    if len(value) != rank:
        entries = f"{len(value)} entries, and x has {rank} spatial axes"
        raise ValueError(f"{layer!r}: {name} has {entries}")
    return value
