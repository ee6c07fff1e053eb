"""Twins of the normalisations: sums over rows as products with ones, and few passes over x.

They see x as rows (A, M, C). BatchNorm in training has one part, with many rows. On a GPU that is
three kernels forward and backward, on a CPU `sums.long_rows` in few arrays, and threads if large.
"""

from scratchgan import parallel, xp
from scratchgan.fast import kernels, threads
from scratchgan.fast.sums import long_rows, ones, over_positions, over_rows
from scratchgan.layers.base import Layer, check
from scratchgan.layers.norm import BatchNorm, Normalization

plain_forward, plain_pull = Normalization.forward, Normalization.pull
plain_batch_norm_forward = BatchNorm.forward


def as_in_the_book(self, *names):
    """Whether a layer has these methods from Normalization: methods of its own are to be called."""
    kind, own = type(self), vars(self)
    inherited = lambda name: getattr(kind, name) is getattr(Normalization, name)
    return all(name not in own and inherited(name) for name in names)


def forward(self, x, train=True):
    """Return y and the tape of Normalization.forward."""
    if not as_in_the_book(self, "grouped", "scale"):
        return plain_forward(self, x, train)
    self.demand(x)
    rows = x.reshape(*self.sizes(x.shape), self.channels)  # (A, M, C)
    _, centred, var = center(self, rows)
    return standardize(self, centred, var, x.shape)


def batch_norm_forward(self, x, train=True):
    """Return y and the tape of BatchNorm.forward; in training, move the running statistics."""
    if not (train and as_in_the_book(self, "grouped", "scale")):
        return plain_batch_norm_forward(self, x, train)
    self.demand(x)
    rows = x.reshape(*self.sizes(x.shape), self.channels)  # (1, n, C)
    if len(rows[0]) > 1 and self.gamma is not None and takes_kernels(self, rows):
        params = self.gamma.value, self.beta.value, self.running_mean, self.running_var
        y, xhat, r = kernels.batch_norm(rows[0], *params, self.momentum, self.eps)
        return y.reshape(x.shape), (xhat.reshape(x.shape), r.reshape(1, 1, -1, 1), False)
    if xp.on_gpu():
        mean, centred, var = center(self, rows)
        self.follow(mean, var, rows.shape[1], x.shape)
        return standardize(self, centred, var, x.shape)
    y, xhat, r, mean, var = normalize_columns(self, rows[0])
    self.follow(mean, var, rows.shape[1], x.shape)
    return y.reshape(x.shape), (xhat.reshape(x.shape), by_group(self, r), False)


def center(self, rows):
    """Return the mean, x - mean, and the variance, each mean as `mean_of` has it."""
    unit = ones(self.channels, rows.dtype)
    mean = mean_of(self, over_positions(rows), rows.shape[1], unit)
    centred = rows - mean  # (A, M, C)
    return mean, centred, mean_of(self, over_positions(centred * centred), rows.shape[1], unit)


def standardize(self, centred, var, shape):
    """Return y and the tape; overwrites `centred`."""
    r = 1 / xp.sqrt(var + self.eps)
    xhat = xp.multiply(centred, r, out=centred).reshape(shape)
    if self.gamma is None:
        return xhat, (xhat, by_group(self, r), False)
    y = xhat * self.gamma.value
    y += self.beta.value
    return y, (xhat, by_group(self, r), False)


def normalize_columns(self, x):
    """Return y, xhat (n, C), and r, mean and variance of each channel of x (n, C), as `mean_of`."""
    parts, unit = threads.parts(x), ones(self.channels, x.dtype)
    y, xhat = (xp.empty(x.shape, dtype=x.dtype) for _ in range(2))
    totals = sum(threads.each(lambda part: over_rows(x[part])[None], parts))
    mean = mean_of(self, totals, len(x), unit)

    def centre(part):
        rows, middle = long_rows(x[part], mean[0, 0])
        xp.subtract(rows, middle, out=xhat[part].reshape(rows.shape))
        xp.square(xhat[part], out=y[part])
        return over_rows(y[part])[None]

    var = mean_of(self, sum(threads.each(centre, parts)), len(x), unit)
    r = 1 / xp.sqrt(var + self.eps)

    def scale(part):
        affine = [] if self.gamma is None else [self.gamma.value, self.beta.value]
        rows, factor, *affine = long_rows(xhat[part], r[0, 0], *affine)
        xp.multiply(rows, factor, out=rows)
        if affine:
            out = xp.multiply(rows, affine[0], out=y[part].reshape(rows.shape))
            xp.add(out, affine[1], out=out)

    threads.each(scale, parts)
    return xhat if self.gamma is None else y, xhat, r, mean, var


def pull(self, tape, dy):
    """Return dx and what is kept of Normalization.pull."""
    if not as_in_the_book(self, "grouped", "change"):
        return plain_pull(self, tape, dy)
    xhat, r, fixed = tape
    check(self, "dy", dy, xhat.shape, xhat.dtype)
    if not fixed and self.gamma is not None and takes_kernels(self, dy):
        dx = batch_norm_backward(self, tape, dy, False)
    else:
        dx = respond(self, tape, dy)[0]
    return dx, (dy, dx)


def backward(self, tape, dy):
    """Return dx, and add to the grads: the sums over rows are wanted for both."""
    if not as_in_the_book(self, "grouped", "change", "pull", "accumulate"):
        return Layer.backward(self, tape, dy)
    xhat, r, fixed = tape
    check(self, "dy", dy, xhat.shape, xhat.dtype)
    if not fixed and self.gamma is not None and takes_kernels(self, dy):
        return batch_norm_backward(self, tape, dy, True)
    dx, totals, totals_xhat = respond(self, tape, dy)
    if self.gamma is not None:
        self.gamma.grad += over_rows(totals_xhat)
        self.beta.grad += over_rows(totals)
    return dx


def takes_kernels(self, dy):
    """Whether the kernels of batch normalisation can do it: for one process, not for several."""
    return isinstance(self, BatchNorm) and parallel.group().size == 1 and kernels.can_take(dy)


def batch_norm_backward(self, tape, dy, grads):
    """Return dx by kernels, and add to the grads if asked to."""
    xhat, r, _ = tape
    rows, xhat = dy.reshape(-1, self.channels), xhat.reshape(-1, self.channels)
    params = self.gamma.value, self.gamma.grad, self.beta.grad
    return kernels.batch_norm_backward(rows, xhat, r.reshape(-1), *params, grads).reshape(dy.shape)


def respond(self, tape, dy):
    """Return dx = r (g - <g> - xhat <g xhat>), g = gamma dy, and dy, dy xhat summed over rows."""
    xhat, r, fixed = tape
    shape = (*self.sizes(dy.shape), self.channels)
    dy, xhat, r = dy.reshape(shape), xhat.reshape(shape), by_channel(self, r)
    gain = ones(self.channels, dy.dtype) if self.gamma is None else self.gamma.value
    if shape[0] == 1 and self.groups == self.channels and not fixed and not xp.on_gpu():
        return respond_columns(self, tape, dy[0], xhat[0], r, gain)
    totals, totals_xhat = over_positions(dy), over_positions(dy * xhat)
    dx = dy * (gain * r)
    if not fixed:
        dx -= r * mean_of(self, totals, shape[1], gain)
        dx -= xhat * (r * mean_of(self, totals_xhat, shape[1], gain))
    return dx.reshape(tape[0].shape), totals, totals_xhat


def respond_columns(self, tape, dy, xhat, r, gain):
    """Do what `respond` does for each channel: dx = gain r (dy - <dy> - xhat <dy xhat>), (n, C)."""
    parts, unit = threads.parts(dy), ones(self.channels, dy.dtype)
    dx = xp.empty(dy.shape, dtype=dy.dtype)

    def totals_of(part):
        xp.multiply(dy[part], xhat[part], out=dx[part])
        return over_rows(dy[part])[None], over_rows(dx[part])[None]

    totals = [sum(some) for some in zip(*threads.each(totals_of, parts), strict=True)]
    shift, slope = (mean_of(self, total, len(dy), unit)[0, 0] for total in totals)

    def work(part):
        u, *factors = long_rows(dy[part], slope, shift, gain * r[0, 0])
        out = xp.multiply(xhat[part].reshape(u.shape), factors[0], out=dx[part].reshape(u.shape))
        xp.subtract(u, out, out=out)
        xp.subtract(out, factors[1], out=out)
        xp.multiply(out, factors[2], out=out)

    threads.each(work, parts)
    return dx.reshape(tape[0].shape), *totals


# ---- means over groups ---------------------------------------------------------------------------


def mean_of(self, totals, rows, gain):
    """Return <gain u>, (A, 1, C) or with one group (A, 1, 1), from u's sums over rows, (A, C)."""
    width = self.channels // self.groups
    if self.groups == 1:
        return self.of_all((totals @ gain).reshape(-1, 1, 1) / (rows * width))
    means = totals * gain / (rows * width)  # (A, C)
    if width > 1:
        means = xp.repeat(means.reshape(len(totals), self.groups, width).sum(2), width, axis=1)
    return self.of_all(means[:, None])


def by_group(self, r):
    """Return what `mean_of` gives as the tape has it: (A, 1, G, 1)."""
    as_it_is = self.groups in (1, self.channels)
    width = self.channels // self.groups
    return r[..., None] if as_it_is else r.reshape(len(r), 1, self.groups, width)[..., :1]


def by_channel(self, r):
    """Return an r of a tape, (A, 1, G, 1), as (A, 1, C), or with one group as (A, 1, 1)."""
    r = r.reshape(-1, 1, self.groups)
    width = 1 if self.groups == 1 else self.channels // self.groups
    return r if width == 1 else xp.repeat(r, width, axis=2)
