"""Normalisations: PixelNorm, and four that are one map over different sets of elements.

BatchNorm, LayerNorm, GroupNorm and InstanceNorm compute y = gamma (x - mean) / sqrt(var + eps) + beta. They differ in
the set of elements whose mean and variance are taken. `docs/normalization.md` derives both derivatives.
"""

import math

from scratchgan import kernels, xp
from scratchgan.layers.base import Layer, add, check, ones, sum_rows
from scratchgan.param import Param


class PixelNorm(Layer):
    """y = x / sqrt(<x^2> + eps), with <.> the mean over channels (Karras et al. 2018, section 4.2).

    x is (N, ..., C). No mean is taken away and there are no Params: each vector of channels gets the length sqrt(C).
    """

    def __init__(self, *, eps=1e-8):
        self.eps = positive(self, eps)

    def __repr__(self):
        return "PixelNorm()"

    def forward(self, x, train=True):
        if check(self, "x", x).ndim < 2:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted (N, ..., C)")
        r = 1 / xp.sqrt(channel_mean(x * x) + self.eps)  # (N, ..., 1)
        y = x * r
        return y, (y, r)

    def backward(self, tape, dy, grads=True):
        # Along x', r moves by -r^2 <y x'>, so y = x r by r (x' - y <y x'>): a symmetric Jacobian.
        y, r = tape
        check(self, "dy", dy, y.shape, y.dtype)
        return r * (dy - y * channel_mean(dy * y))

    def double_backward(self, tape, dy, ddx, grads=True):
        # The derivative of r (dy - y <dy y>) along ddx, which moves r by -r^2 <ddx y> and y by ddy.
        y, r = tape
        check(self, "ddx", ddx, y.shape, y.dtype)
        dx, ddy = self.backward(tape, dy), self.backward(tape, ddx)
        bend = channel_mean(ddx * y) * dx + channel_mean(dy * y) * ddy + channel_mean(dy * ddy) * y
        return ddy, -r * bend


class Normalization(Layer):
    """y = gamma xhat + beta, with xhat = (x - mean) r and r = 1 / sqrt(var + eps): what four normalisations share.

    They see x as (A, M, C): A parts with M rows each, and the C channels in `groups` of neighbours. The mean <.> runs
    over all rows of one part and all channels of one group; a subclass says in `parts` what A and M are.
    gamma and beta, (C,), are ones and zeros at first; with affine=False there are none.
    """

    follows_directions = True

    def __init__(self, channels, groups, eps, affine=True):
        self.channels, self.groups, self.eps, self.affine = channels, groups, positive(self, eps), affine
        self.gamma = Param(xp.ones(channels, dtype="float32")) if affine else None
        self.beta = Param(xp.zeros(channels, dtype="float32")) if affine else None

    def __repr__(self):
        return f"{type(self).__name__}({self.channels})"

    def parts(self, shape):
        """Return (A, M) for an x of shape (N, ..., C); raise ValueError if it cannot be normalised."""
        raise NotImplementedError

    def rows(self, x):
        """Return x as (A, M, C), once its shape and dtype are known to be right."""
        check(self, "x", x, dtype=None if self.gamma is None else self.gamma.value.dtype)
        if x.ndim < 2 or x.shape[-1] != self.channels:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted (N, ..., {self.channels})")
        return x.reshape(*self.parts(x.shape), self.channels)

    def gain(self):
        """Return gamma, or ones where there is none, (C,)."""
        return ones(self.channels, "float32") if self.gamma is None else self.gamma.value

    def mean(self, sums, rows, gain):
        """Return <gain u>, (A, 1, C) or with one group (A, 1, 1), from the sums of u over that many rows, (A, C)."""
        width = self.channels // self.groups
        if self.groups == 1:
            return (sums @ gain).reshape(-1, 1, 1) / (rows * width)
        means = sums * gain / (rows * width)  # (A, C)
        if width > 1:
            means = xp.repeat(means.reshape(len(sums), self.groups, width).sum(2), width, axis=1)
        return means[:, None]

    # ---- forward ----

    def forward(self, x, train=True):
        _, centred, var = self.center(self.rows(x))
        return self.standardize(centred, var, x.shape)

    def center(self, x):
        """Return the mean, x - mean, and the variance: from centred numbers, as <x^2> - <x>^2 would cancel."""
        unit = ones(self.channels, x.dtype)
        mean = self.mean(row_sums(x), x.shape[1], unit)
        centred = x - mean  # (A, M, C)
        return mean, centred, self.mean(row_sums(centred * centred), x.shape[1], unit)

    def standardize(self, centred, var, shape, fixed=False):
        """Return y and the tape; overwrites `centred`. `fixed`: mean and variance do not depend on x."""
        r = 1 / xp.sqrt(var + self.eps)
        xhat = xp.multiply(centred, r, out=centred)
        y = xhat * self.gain()
        if self.beta is not None:
            y += self.beta.value
        return y.reshape(shape), (xhat, r, fixed, shape)

    # ---- backward ----

    def backward(self, tape, dy, grads=True):
        xhat, _, _, shape = tape
        dy = check(self, "dy", dy, shape, xhat.dtype).reshape(xhat.shape)
        dx, _, sums, sums_xhat = self.respond(tape, dy, self.gain())
        if grads and self.gamma is not None:
            self.gamma.grad += sum_rows(sums_xhat)
            self.beta.grad += sum_rows(sums)
        return dx.reshape(shape)

    def respond(self, tape, u, gain):
        """Return r (g - <g> - xhat <g xhat>) with g = gain u, as change; r <g xhat> as tilt; and two sums over rows.

        With u = dy and gain = gamma the change is dx; with gain = 1 it is how xhat moves when x moves along u. The
        sums, (A, C), are those of u and of u xhat: what the means need, and the grads of beta and gamma.
        """
        xhat, r, fixed, _ = tape
        sums, sums_xhat = row_sums(u), row_sums(u * xhat)
        change = u * (gain * r)
        if fixed:
            return change, 0, sums, sums_xhat
        tilt = r * self.mean(sums_xhat, u.shape[1], gain)
        change -= r * self.mean(sums, u.shape[1], gain)
        change -= xhat * tilt
        return change, tilt, sums, sums_xhat

    def double_backward(self, tape, dy, ddx, grads=True):
        xhat, r, fixed, shape = tape
        ddx = check(self, "ddx", ddx, shape, xhat.dtype).reshape(xhat.shape)
        dy, gain = dy.reshape(xhat.shape), self.gain()
        move, tilt_ddx, _, _ = self.respond(tape, ddx, ones(self.channels, gain.dtype))  # along ddx, xhat moves by this
        ddy, bend = self.follow(tape, dy)
        ddy = add(move * gain, ddy).reshape(shape)
        sums = row_sums(dy * move)
        if grads and self.gamma is not None:
            self.gamma.grad += sum_rows(sums)  # P = <dy, ddy> = <dy, gamma move>
        if fixed:
            return ddy, None if bend is None else bend.reshape(shape)
        # dx = r (g - <g> - xhat <g xhat>): along ddx, r moves by -r tilt_ddx and xhat, in both places, by move.
        dx, tilt_dy, _, _ = self.respond(tape, dy, gain)
        bend = add(xp.multiply(dx, -tilt_ddx, out=dx), bend)
        bend -= xp.multiply(move, tilt_dy, out=move)
        bend -= xhat * (r * self.mean(sums, dy.shape[1], gain))
        return ddy, bend.reshape(shape)

    def follow(self, tape, dy):
        """Return how y and dx move when gamma and beta move along their directions; None, None where they do not."""
        if self.gamma is None or self.gamma.direction is None:
            return None, None
        change = self.respond(tape, dy, self.gamma.direction)[0]  # dx is linear in gamma, as y is in both
        return tape[0] * self.gamma.direction + self.beta.direction, change


class LayerNorm(Normalization):
    """Normalise each vector of channels, (N, ..., C), over its C numbers (Ba et al. 2016, eq. 3 and 4).

    y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and var over the last axis alone, whatever the rank:
    PyTorch's LayerNorm(C). To normalise over all axes but the first, take GroupNorm(1, C). With C = 1, y = beta.
    """

    def __init__(self, channels, *, eps=1e-5):
        super().__init__(channels, 1, eps)

    def parts(self, shape):
        return math.prod(shape[:-1]), 1


class GroupNorm(Normalization):
    """Normalise each sample over groups of neighbouring channels and all positions (Wu & He 2018, eq. 1, 2 and 7).

    y = gamma (x - mean) / sqrt(var + eps) + beta, for x of shape (N, ..., C). With groups = 1 that is over all axes but
    the first; with groups = C it is InstanceNorm. A group of one number gives y = beta.
    Raises ValueError if `groups` does not divide `channels`.
    """

    def __init__(self, groups, channels, *, eps=1e-5):
        if groups < 1 or channels % groups:
            raise ValueError(f"GroupNorm: {groups} groups do not divide {channels} channels")
        super().__init__(channels, groups, eps)

    def __repr__(self):
        return f"GroupNorm({self.groups}, {self.channels})"

    def parts(self, shape):
        return shape[0], math.prod(shape[1:-1])


class InstanceNorm(Normalization):
    """Normalise each channel of each sample over its positions (Ulyanov et al. 2016, section 2).

    y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and var over L, (H, W) or (T, H, W). There are no running
    statistics: training and inference are alike. affine=False, which is PyTorch's default, leaves out gamma and beta.
    Raises ValueError for fewer than two positions, and so for vectors (N, C): there y would be beta, whatever x is.
    """

    def __init__(self, channels, *, eps=1e-5, affine=True):
        super().__init__(channels, channels, eps, affine)

    def parts(self, shape):
        positions = math.prod(shape[1:-1])
        if positions < 2:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted (N, ..., C) with 2 positions or more")
        return shape[0], positions


class BatchNorm(Normalization):
    """Normalise each channel over the batch and all positions (Ioffe & Szegedy 2015, algorithms 1 and 2).

    y = gamma (x - mean) / sqrt(var + eps) + beta, for x of shape (N, ..., C). In training, mean and var are those of
    the batch, and every `forward` with train=True, of real samples or of fakes, moves the running statistics:

        running_mean = (1 - momentum) running_mean + momentum mean
        running_var  = (1 - momentum) running_var  + momentum var n / (n - 1)

    with n the numbers per channel, so that running_var is unbiased. In inference they take the place of mean and var,
    and the layer is affine. eps and momentum mean what they do in PyTorch; Keras's momentum is 1 - momentum.
    Raises ValueError in training where n = 1: one number has no variance.
    """

    mixes_samples = True

    def __init__(self, channels, *, eps=1e-5, momentum=0.1, affine=True):
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is {momentum}, wanted a number from 0 to 1")
        super().__init__(channels, channels, eps, affine)
        self.momentum = float(momentum)
        self.running_mean = xp.zeros(channels, dtype="float32")
        self.running_var = xp.ones(channels, dtype="float32")

    def parts(self, shape):
        return 1, math.prod(shape[:-1])

    def forward(self, x, train=True):
        rows = self.rows(x)  # (1, n, C)
        if not train:
            return self.standardize(rows - self.running_mean, self.running_var, x.shape, fixed=True)
        n = rows.shape[1]
        if n < 2:
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted 2 numbers per channel or more in training")
        if self.gamma is not None and kernels.can_take(rows):  # the rest of this function, in three passes on a GPU
            params = self.gamma.value, self.beta.value, self.running_mean, self.running_var
            y, xhat, r = kernels.batch_norm(rows[0], *params, self.momentum, self.eps)
            return y.reshape(x.shape), (xhat[None], r, False, x.shape)
        mean, centred, var = self.center(rows)
        self.running_mean *= 1 - self.momentum
        self.running_mean += self.momentum * mean[0, 0]
        self.running_var *= 1 - self.momentum
        self.running_var += (self.momentum * n / (n - 1)) * var[0, 0]
        return self.standardize(centred, var, x.shape)

    def backward(self, tape, dy, grads=True):
        xhat, r, fixed, shape = tape
        if fixed or self.gamma is None or not kernels.can_take(dy):
            return super().backward(tape, dy, grads)
        rows = check(self, "dy", dy, shape, xhat.dtype).reshape(xhat[0].shape)  # (n, C)
        params = self.gamma.value, self.gamma.grad, self.beta.grad
        return kernels.batch_norm_backward(rows, xhat[0], r, *params, grads).reshape(shape)


# ---- helpers ---------------------------------------------------------------------------------------------


def channel_mean(x):
    """Return the mean over the last axis, which stays with length 1: a product with ones, as in `sum_rows`."""
    width = x.shape[-1]
    sums = x.reshape(-1, width) @ ones(width, x.dtype)
    return sums.reshape(*x.shape[:-1], 1) / width


def row_sums(x):
    """Return the sums over the rows, (A, M, C) -> (A, C), in the fastest way for each shape."""
    if x.shape[1] == 1:
        return x[:, 0]
    if x.shape[0] == 1:
        return sum_rows(x)[None]
    return x.sum(1) if xp.on_gpu() else ones(x.shape[1], x.dtype) @ x  # CuPy copies stacks of matrices to multiply them


def positive(layer, eps):
    """Return eps as a Python number; raise ValueError unless it is above 0."""
    if not eps > 0:
        raise ValueError(f"{type(layer).__name__}: eps is {eps}, wanted a number above 0")
    return float(eps)
