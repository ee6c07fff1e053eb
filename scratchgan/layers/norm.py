"""Normalisations: PixelNorm, and four that are one map over different sets of elements.

BatchNorm, LayerNorm, GroupNorm and InstanceNorm compute y = gamma (x - mean) / sqrt(var + eps) +
beta, and differ in what mean and var are taken over. docs/normalization.md derives them.
"""

import math

from scratchgan import parallel, xp
from scratchgan.layers import sums
from scratchgan.layers.base import Layer, check
from scratchgan.param import Param


class PixelNorm(Layer):
    """y = x / sqrt(<x^2> + eps), with <.> the mean over channels (Karras et al. 2018, section 4.2).

    x is (N, ..., C). No mean, no Params: each vector of channels gets the length sqrt(C).
    """

    def __init__(self, *, eps=1e-8):
        self.eps = positive(self, eps)

    def __repr__(self):
        return "PixelNorm()"

    def forward(self, x, train=True):
        check(self, "x", x)
        if x.ndim < 2:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted (N, ..., C)")
        r = 1 / xp.sqrt(sums.channel_mean(x * x) + self.eps)  # (N, ..., 1)
        y = x * r
        return y, (y, r)

    def pull(self, tape, dy):
        y, r = tape
        check(self, "dy", dy, y.shape, y.dtype)
        dx = self.change(tape, dy)
        return dx, (dy, dx)

    def change(self, tape, u):
        """Return J u = r (u - y <y u>): how y moves as x moves along u. J = J^T.

        Then x^2 moves by 2 x u, and so r = (<x^2> + eps)^(-1/2) by -r^3 <x u> = -r^2 <y u>.
        """
        y, r = tape
        return r * (u - y * sums.channel_mean(u * y))

    def double_backward(self, tape, kept, ddx):
        # dx is the gradient of <dy, y>. So its Jacobian is symmetric: the bend is how dx moves
        # along ddx. In dx = r (dy - y <dy y>), r moves by -r^2 <ddx y>, and y by ddy.
        y, r = tape
        dy, dx = kept
        check(self, "ddx", ddx, y.shape, y.dtype)
        mean = sums.channel_mean
        ddy = self.change(tape, ddx)
        return ddy, -r * (mean(ddx * y) * dx + mean(dy * y) * ddy + mean(dy * ddy) * y)


class Normalization(Layer):
    """y = gamma xhat + beta, xhat = (x - mean) r, r = 1 / sqrt(var + eps): what four of them share.

    They see x as (A, M, G, C / G): A parts with M rows each, and the C channels in G groups of
    neighbours. The mean <.> runs over all rows of a part and all channels of a group; a subclass
    says in `sizes` what A and M are.
    gamma and beta, (C,), are ones and zeros at first; with affine=False there are none.
    """

    def __init__(self, channels, groups, eps, affine=True):
        self.channels, self.groups, self.affine = channels, groups, affine
        self.eps = positive(self, eps)
        self.gamma = Param(xp.ones(channels, dtype="float32")) if affine else None
        self.beta = Param(xp.zeros(channels, dtype="float32")) if affine else None

    def __repr__(self):
        return f"{type(self).__name__}({self.channels})"

    def sizes(self, shape):
        """Return (A, M) for an x (N, ..., C); raise ValueError if it cannot be normalised."""
        raise NotImplementedError

    def grouped(self, x):
        """Return x as (A, M, G, C / G)."""
        return x.reshape(*self.sizes(x.shape), self.groups, self.channels // self.groups)

    def demand(self, x):
        """Raise TypeError or ValueError unless x can be normalised."""
        check(self, "x", x, dtype=None if self.gamma is None else self.gamma.value.dtype)
        if x.ndim < 2 or x.shape[-1] != self.channels:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted (N, ..., {self.channels})")

    def forward(self, x, train=True):
        self.demand(x)
        rows = self.grouped(x)
        mean, var = self.moments(rows)
        r = 1 / xp.sqrt(var + self.eps)  # (A, 1, G, 1)
        xhat = ((rows - mean) * r).reshape(x.shape)
        return self.scale(xhat), (xhat, r, False)

    def moments(self, x):
        """Return mean and variance: from centred numbers, as <x^2> - <x>^2 would cancel."""
        centre = self.mean(x)
        centred = x - centre
        return centre, self.mean(centred * centred)

    def mean(self, x):
        """Return the mean over rows and a group's channels: (A, M, G, C / G) -> (A, 1, G, 1)."""
        return self.of_all(group_mean(x))

    def of_all(self, mean):
        """Return a mean over what this process has as one over all that is normalised together."""
        return mean

    def scale(self, xhat):
        """Return gamma xhat + beta, or xhat where there are none."""
        return xhat if self.gamma is None else self.gamma.value * xhat + self.beta.value

    def pull(self, tape, dy):
        xhat, _, _ = tape
        check(self, "dy", dy, xhat.shape, xhat.dtype)
        dx = self.change(tape, dy if self.gamma is None else self.gamma.value * dy)
        return dx, (dy, dx)

    def change(self, tape, u):
        """Return J u = r (u - <u> - xhat <u xhat>): how xhat moves as x moves along u. J = J^T.

        x - mean moves by u - <u>, r by -r^2 <u xhat>. fixed: mean and var do not depend on x.
        """
        xhat, r, fixed = tape
        u, h = self.grouped(u), self.grouped(xhat)
        if fixed:
            return (r * u).reshape(xhat.shape)
        return (r * (u - self.mean(u) - h * self.mean(u * h))).reshape(xhat.shape)

    def accumulate(self, tape, dy):
        xhat, _, _ = tape
        check(self, "dy", dy, xhat.shape, xhat.dtype)
        if self.gamma is not None:
            self.gamma.grad += sums.over_rows(dy * xhat)
            self.beta.grad += sums.over_rows(dy)

    def double_backward(self, tape, kept, ddx):
        xhat, r, fixed = tape
        dy, dx = kept
        check(self, "ddx", ddx, xhat.shape, xhat.dtype)
        move = self.change(tape, ddx)  # of xhat along ddx
        if self.gamma is None:
            g, ddy = dy, move
        else:
            g, ddy = self.gamma.value * dy, self.gamma.value * move
            self.gamma.grad += sums.over_rows(dy * move)  # L = <dy, ddy> = <dy, gamma move>
        if fixed:
            return ddy, None
        # dx is the gradient of <g, xhat>. So its Jacobian is symmetric: the bend is how dx moves
        # along ddx. In dx = r (g - <g> - xhat <g xhat>), r moves by -r^2 <ddx xhat>, xhat by move.
        g, h, m, u, d = map(self.grouped, (g, xhat, move, ddx, dx))  # each (A, M, G, C / G)
        bend = -r * (self.mean(u * h) * d + m * self.mean(g * h) + h * self.mean(g * m))
        return ddy, bend.reshape(xhat.shape)


class LayerNorm(Normalization):
    """Normalise each vector of channels over its C numbers (Ba et al. 2016, eq. 3 and 4).

    y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and var over the last axis alone,
    whatever the rank: PyTorch's LayerNorm(C). To normalise over all axes but the first, take
    GroupNorm(1, C). With C = 1, y = beta.
    """

    def __init__(self, channels, *, eps=1e-5):
        super().__init__(channels, 1, eps)

    def sizes(self, shape):
        return math.prod(shape[:-1]), 1


class GroupNorm(Normalization):
    """Normalise each sample over groups of channels and all positions (Wu & He 2018, eq. 1, 2, 7).

    y = gamma (x - mean) / sqrt(var + eps) + beta, for x (N, ..., C). groups = 1: over all axes but
    the first; groups = C: InstanceNorm. A group of one number gives y = beta.
    Raises ValueError if `groups` does not divide `channels`.
    """

    def __init__(self, groups, channels, *, eps=1e-5):
        if groups < 1 or channels % groups:
            raise ValueError(f"GroupNorm: {groups} groups do not divide {channels} channels")
        super().__init__(channels, groups, eps)

    def __repr__(self):
        return f"GroupNorm({self.groups}, {self.channels})"

    def sizes(self, shape):
        return shape[0], math.prod(shape[1:-1])


class InstanceNorm(Normalization):
    """Normalise each channel of each sample over its positions (Ulyanov et al. 2016, section 2).

    y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and var over L, (H, W) or (T, H, W).
    There are no running statistics: training and inference are alike. affine=False, which is
    PyTorch's default, leaves out gamma and beta. Raises ValueError for fewer than two positions,
    and so for vectors (N, C): there y would be beta, whatever x is.
    """

    def __init__(self, channels, *, eps=1e-5, affine=True):
        super().__init__(channels, channels, eps, affine)

    def sizes(self, shape):
        positions = math.prod(shape[1:-1])
        if positions < 2:
            wanted = "(N, ..., C) with 2 positions or more"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        return shape[0], positions


class BatchNorm(Normalization):
    """Normalise each channel over batch and positions (Ioffe & Szegedy 2015, algorithms 1 and 2).

    y = gamma (x - mean) / sqrt(var + eps) + beta, for x (N, ..., C). In training, mean and var are
    the batch's, and each forward, of real samples or of fakes, moves the running statistics:

        running_mean = (1 - momentum) running_mean + momentum mean
        running_var  = (1 - momentum) running_var  + momentum var n / (n - 1)

    with n the numbers per channel, so that running_var is unbiased. In inference they take the
    place of mean and var, and the layer is affine (algorithm 2). eps and momentum are PyTorch's;
    Keras's momentum is 1 - momentum. Raises ValueError in training where n = 1. Of several
    processes that train together, all samples are one batch (docs/parallel.md).
    """

    mixes_samples = True

    def __init__(self, channels, *, eps=1e-5, momentum=0.1, affine=True):
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is {momentum}, wanted a number from 0 to 1")
        super().__init__(channels, channels, eps, affine)
        self.momentum = float(momentum)
        self.running_mean = xp.zeros(channels, dtype="float32")
        self.running_var = xp.ones(channels, dtype="float32")

    def sizes(self, shape):
        return 1, math.prod(shape[:-1])

    def of_all(self, mean):
        return parallel.group().mean(mean)

    def forward(self, x, train=True):
        self.demand(x)
        rows = self.grouped(x)  # (1, n, C, 1)
        mean, var = self.running_mean[:, None], self.running_var[:, None]  # (C, 1)
        if train:
            mean, var = self.moments(rows)
            self.follow(mean, var, rows.shape[1], x.shape)
        r = 1 / xp.sqrt(var + self.eps)
        xhat = ((rows - mean) * r).reshape(x.shape)
        return self.scale(xhat), (xhat, r, not train)

    def follow(self, mean, var, n, shape):
        """Move the running statistics towards a batch's; n: numbers per channel in each process."""
        n *= parallel.group().size
        if n < 2:
            wanted = "2 numbers per channel or more in training"
            raise ValueError(f"{self!r}: x has shape {shape}, wanted {wanted}")
        self.running_mean *= 1 - self.momentum
        self.running_mean += self.momentum * mean.reshape(-1)
        self.running_var *= 1 - self.momentum
        self.running_var += (self.momentum * n / (n - 1)) * var.reshape(-1)  # unbiased


# ---- helpers -------------------------------------------------------------------------------------


def group_mean(x):
    """Return the mean over rows and a group's channels: (A, M, G, C / G) -> (A, 1, G, 1)."""
    return x.mean((1, 3), keepdims=True)


def positive(layer, eps):
    """Return eps as a Python number; raise ValueError unless it is above 0."""
    if not eps > 0:
        raise ValueError(f"{type(layer).__name__}: eps is {eps}, wanted a number above 0")
    return float(eps)
