"""The three maps of a convolution, fast, with the signatures and results of the plain ones.

With channels last, the pixels that a kernel looks at lie in memory in runs of (kernel side x C)
numbers. `correlate` copies these windows into the rows of a matrix, for as many pictures as a
core's cache holds, and multiplies once: windows (N * output sides, kernel * C) @ W (kernel * C, O).
`weight_grad` uses the same matrix, and `input_grad` is a `correlate` of dy with stride 1, and then
a rearrangement of pixels (docs/convolution.md). Where `winograd.py` is faster, it takes over.
"""

import itertools
import math

from scratchgan import xp
from scratchgan.fast import kernels, threads, winograd

CACHE = 4 * 2**20  # bytes of windows that are copied at once on the CPU
LARGE = 512 * 2**20  # the same on the GPU, where a few large products are best
ROWS = 1024  # rows that a product should have at least


def correlate(x, W, geometry):
    """Return y (N, *output sides, O) for x (N, *sides, C) and W (*kernel, C, O)."""
    borders = [(p, p) for p in geometry.padding]
    return correlate_with(x, W, borders, geometry.stride, geometry.dilation)


def correlate_with(x, W, borders, stride, dilation):
    """Do what `correlate` does, with borders (before, after); a negative one cuts pixels off."""
    kernel, matrix = W.shape[:-2], W.reshape(-1, W.shape[-1])  # (kernel * C, O)
    axes = zip(x.shape[1:-1], borders, kernel, stride, dilation, strict=True)
    sides = [(n + sum(border) - d * (k - 1) - 1) // s + 1 for n, border, k, s, d in axes]
    shape = (len(x), *sides, W.shape[-1])
    if winograd.pays(kernel, tuple(stride), tuple(dilation), x.shape[-1], shape):
        return winograd.correlate(x, W, borders, stride[0])
    y = xp.empty(shape, dtype=x.dtype)
    rows = y.reshape(-1, W.shape[-1])  # (N * output sides, O)
    per_picture = math.prod(sides)

    def work(block):
        columns = windows(x[block], kernel, borders, sides, stride, dilation)
        xp.matmul(columns, matrix, out=rows[block.start * per_picture : block.stop * per_picture])

    threads.each(work, blocks(len(x), per_picture, len(matrix) * x.itemsize))
    return y


def weight_grad(x, dy, geometry):
    """Return dW (*kernel, C, O): the adjoint of W -> correlate(x, W), applied to dy."""
    kernel, stride, padding, dilation = geometry
    borders, sides = [(p, p) for p in padding], dy.shape[1:-1]
    if winograd.pays(kernel, stride, dilation, x.shape[-1], dy.shape):
        return winograd.weight_grad(x, dy, kernel[0], borders, stride[0])
    rows = dy.reshape(-1, dy.shape[-1])  # (N * output sides, O)
    length, per_picture = math.prod(kernel) * x.shape[-1], math.prod(sides)

    def product(block):
        columns = windows(x[block], kernel, borders, sides, stride, dilation)
        return columns.T @ rows[block.start * per_picture : block.stop * per_picture]

    def work(some):
        dW = product(some[0])
        for block in some[1:]:
            dW += product(block)
        return dW

    all_blocks = blocks(len(x), per_picture, length * x.itemsize)
    shares = [all_blocks[i :: threads.count] for i in range(min(threads.count, len(all_blocks)))]
    dWs = threads.each(work, shares)  # a sum for each thread
    return sum(dWs[1:], start=dWs[0]).reshape(*kernel, x.shape[-1], dy.shape[-1])


def input_grad(W, dy, shape, geometry):
    """Return dx of the given shape: the adjoint of x -> correlate(x, W), applied to dy.

    For one axis: pixel j of the padded x meets W[t] at position i of y where j = s i + t (stride s,
    dilation 1). Write j = s q + r and t = s a + r, with the phase r = j mod s: then i = q - a, and
    dx[s q + r] = sum over a of dy[q - a] W[s a + r]^T. For all phases at once this is a convolution
    of dy with stride 1, whose kernel has ceil(kernel / s) taps and whose channels are the phases
    times C; then the phases are put in their places. Where s is 1, a dilation d makes it q - d a.
    """
    kernel, stride, padding, dilation = geometry
    if len(kernel) == 2 and kernels.can_take(dy):
        return gather(W, dy, shape, geometry)
    first = [p // s for p, s in zip(padding, stride, strict=True)]  # the q of dx's first pixel
    last = [-(-(p + n) // s) for n, p, s in zip(shape[1:-1], padding, stride, strict=True)]
    sides = [q_end - q for q, q_end in zip(first, last, strict=True)]
    few = 4 * math.prod(kernel) * shape[-1] <= dy.shape[-1]  # as with pictures of one channel
    border = math.prod(sides) > 2 * math.prod(dy.shape[1:-1])  # as of 4 x 4 x 4 pixels: most of it
    if (few or border) and not xp.on_gpu():
        return scatter(W, dy, shape, geometry)
    if stride == (2, 2) and winograd.pays(kernel, stride, dilation, shape[-1], dy.shape):
        return winograd.input_grad(W, dy, shape, padding, 2)
    if any(s > 1 and d > 1 for s, d in zip(stride, dilation, strict=True)):
        W, dilation = dilate(W, dilation), (1,) * len(dilation)
    taps = [-(-k // s) for k, s in zip(W.shape, stride, strict=False)]
    axes = zip(dy.shape[1:-1], taps, dilation, first, last, strict=True)
    borders = [(d * (a - 1) - q, q_end - n) for n, a, d, q, q_end in axes]
    W, ones = phase_kernel(W, taps, stride), (1,) * len(taps)
    if max(stride) == 1:
        return correlate_with(dy, W, borders, ones, dilation)
    matrix = W.reshape(-1, W.shape[-1])  # (taps * O, phases * C)
    offsets = [p - s * q for p, s, q in zip(padding, stride, first, strict=True)]  # of that pixel
    dx = xp.empty(shape, dtype=dy.dtype)

    def work(block):
        phases = windows(dy[block], taps, borders, sides, ones, dilation) @ matrix
        interleave(phases.reshape(-1, *sides, *stride, shape[-1]), dx[block], stride, offsets)

    threads.each(work, blocks(len(dy), math.prod(sides), len(matrix) * dy.itemsize))
    return dx


def scatter(W, dy, shape, geometry):
    """Do what `input_grad` does as `conv.py` does it, but with one product for all taps."""
    kernel = geometry.kernel
    matrix, sides = W.reshape(-1, W.shape[-1]).T, dy.shape[1:-1]  # (O, kernel * C)
    dx = xp.zeros(shape, dtype=dy.dtype)

    def work(block):
        rows = dy[block].reshape(-1, dy.shape[-1])
        products = (rows @ matrix).reshape(-1, *sides, *kernel, shape[-1])
        for k, i, pixels in geometry.taps(shape[1:-1], sides):
            dx[block][pixels] += products[(*i, *k)]

    threads.each(work, blocks(len(dy), math.prod(sides), matrix.size // len(matrix) * dy.itemsize))
    return dx


def gather(W, dy, shape, geometry):
    """Do what `scatter` does by a kernel, on a GPU: each pixel of dx adds up what belongs to it."""
    kernel, stride, padding, dilation = geometry
    matrix, sides = W.reshape(-1, W.shape[-1]).T, dy.shape[1:-1]  # (O, kernel * C)
    dx = xp.empty(shape, dtype=dy.dtype)
    for block in blocks(len(dy), math.prod(sides), matrix.shape[1] * dy.itemsize):
        products = dy[block].reshape(-1, dy.shape[-1]) @ matrix  # (N * sides, kernel * C)
        kernels.col2im(products, dx[block], kernel, sides, stride, padding, dilation)
    return dx


def dilate(W, dilation):
    """Return W with its taps dilation apart, and zeros between them."""
    sides = [d * (k - 1) + 1 for k, d in zip(W.shape, dilation, strict=False)]
    wide = xp.zeros((*sides, *W.shape[-2:]), dtype=W.dtype)
    wide[tuple(slice(None, None, d) for d in dilation)] = W
    return wide


def phase_kernel(W, taps, stride):
    """Return `input_grad`'s kernel (*taps, O, phases * C): taps reversed, channels exchanged."""
    n = len(stride)
    missing = [(0, a * s - k) for k, a, s in zip(W.shape, taps, stride, strict=False)]
    W = xp.pad(W, (*missing, (0, 0), (0, 0)))
    sides = [side for pair in zip(taps, stride, strict=True) for side in pair]
    W = W.reshape(*sides, *W.shape[-2:])  # (a, r, a, r, ..., C, O)
    order = [*range(0, 2 * n, 2), 2 * n + 1, *range(1, 2 * n, 2), 2 * n]
    W = W.transpose(*order)  # (*taps, O, *phases, C)
    W = W[(slice(None, None, -1),) * n]
    return xp.ascontiguousarray(W).reshape(*taps, W.shape[n], -1)


def interleave(phases, dx, stride, offsets):
    """Put phases (N, *sides, *stride, C) in their places in dx: depth to space, cut to size.

    For one axis, dx[j] is phase (offset + j) mod stride at place (offset + j) // stride.
    """
    for starts in itertools.product(*[range(s) for s in stride]):
        pixels, places, phase = [], [], []
        for j, n, s, offset in zip(starts, dx.shape[1:-1], stride, offsets, strict=True):
            q, r = divmod(offset + j, s)
            pixels.append(slice(j, n, s))
            places.append(slice(q, q + len(range(j, n, s))))
            phase.append(r)
        dx[(slice(None), *pixels)] = phases[(slice(None), *places, *phase)]


# ---- windows -------------------------------------------------------------------------------------


def blocks(pictures, rows, bytes_per_row):
    """Cut a batch into equal slices whose windows fit into the cache, with rows enough."""
    fit = (LARGE if xp.on_gpu() else CACHE) // (rows * bytes_per_row)
    block = max(fit, -(-ROWS // rows), 1)
    count = max(1, -(-pictures // block))
    edges = [pictures * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]


def windows(x, kernel, borders, sides, stride, dilation):
    """Return the matrix of the pixels that each position of y looks at: (N * sides, kernel * C)."""
    if len(kernel) == 2 and math.prod(kernel) > 1 and kernels.can_take(x):
        return kernels.im2col(x, kernel, sides, stride, [before for before, _ in borders], dilation)
    x = with_borders(x, borders)
    N, C = len(x), x.shape[-1]
    if math.prod(kernel) == 1 and max(stride) == 1:
        return x.reshape(-1, C)
    strides = [a * s for a, s in zip(x.strides[1:-1], stride, strict=True)]
    strides += [a * d for a, d in zip(x.strides[1:-1], dilation, strict=True)]
    strides = (x.strides[0], *strides, x.strides[-1])
    view = xp.lib.stride_tricks.as_strided(x, (N, *sides, *kernel, C), strides)
    return view.reshape(-1, math.prod(kernel) * C)  # the copy


def with_borders(x, borders):
    """Return x, contiguous, with zeros around its spatial axes; a negative border cuts them."""
    if min(min(pair) for pair in borders) < 0:
        axes = zip(x.shape[1:-1], borders, strict=True)
        x = x[(slice(None), *[slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in axes])]
        borders = [(max(b, 0), max(a, 0)) for b, a in borders]
    if max(max(pair) for pair in borders) == 0:
        return xp.ascontiguousarray(x)
    axes = list(zip(x.shape[1:-1], borders, strict=True))
    sides = [n + b + a for n, (b, a) in axes]
    padded = xp.zeros((len(x), *sides, x.shape[-1]), dtype=x.dtype)
    padded[(slice(None), *[slice(b, b + n) for n, (b, a) in axes])] = x
    return padded
