"""Two-dimensional convolutions with fewer products: Winograd's minimal filtering (Winograd 1980; Lavin & Gray 2016).

A convolution with r taps computes two neighbouring outputs from r + 1 pixels. Written out that takes 2 r products, but
r + 1 suffice: transform the pixels, d -> B^T d, and the taps, g -> G g, multiply number by number, transform the
products, y = A^T [(G g) * (B^T d)]. For r = 2, F(2, 2), and for r = 3, F(2, 3),

    B^T =  1 -1  0      G =  1  0     A^T =  1  1  0
           0  1  0           1  1            0  1  1
           0 -1  1           0  1

    B^T =  1  0 -1  0   G =  1    0    0   A^T =  1  1  1  0
           0  1  1  0        1/2  1/2  1/2        0  1 -1  1
           0 -1  1  0        1/2 -1/2  1/2
           0  1  0 -1        0    0   -1

In two dimensions each transform is applied to the rows and to the columns, and a tile of 2 x 2 outputs takes (r + 1)^2
products in place of 4 r^2: 9 of 16, or 16 of 36. With C input and O output channels "a product" is a vector (C,) times
a matrix (C, O), and the same place of all tiles shares the matrix: one product (tiles, C) @ (C, O) for each place.

A kernel of 2 s or 3 s taps with stride s is one of 2 or 3 taps with stride 1 on blocks of s x s pixels, here called
cells, with s s C channels (space to depth). Kernel 4, stride 2 thus takes F(2, 2).

The map x -> y is A^T after products after B^T. Its adjoints are the adjoints of the steps, in reverse:
dx = B [(U^T products) A dy], and dW = G^T [(B^T x)^T (A dy)]. docs/convolution.md tells more.
"""

import math

from scratchgan import threads, xp

CHANNELS = 64  # a transform costs as much for few channels as for many, a product less
SMALL = 10**6  # multiply-adds of a product that OpenBLAS computes without rearranging its factors first
CHUNK = 2**19  # bytes of a kernel that are transformed at once
TILES, SHARED_TILES = 128, 512  # tiles that are transformed and multiplied at once: on one thread, and on several


class TwoTaps:
    """F(2, 2) along the first axis of every array, and its adjoints; a neighbour is found on the last but one."""

    taps, points = 2, 3

    @staticmethod
    def taps_to_points(g, U):  # G
        U[::2] = g
        xp.add(g[0], g[1], out=U[1])

    @staticmethod
    def points_to_taps(U, g):  # G^T
        xp.add(U[:-1], U[1:], out=g)

    @staticmethod
    def pixels_to_points(d, V):  # B^T; d holds the even and the odd cells, and each tile reads the next tile's first
        xp.subtract(d[0, ..., :-1, :], d[1, ..., :-1, :], out=V[0])
        xp.copyto(V[1], d[1, ..., :-1, :])
        xp.subtract(d[0, ..., 1:, :], d[1, ..., :-1, :], out=V[2])

    @staticmethod
    def points_to_pixels(V, d):  # B
        even, odd = d[0], d[1, ..., :-1, :]
        even[..., :1, :] = V[0, ..., :1, :]
        xp.add(V[0, ..., 1:, :], V[2, ..., :-1, :], out=even[..., 1:-1, :])
        even[..., -1:, :] = V[2, ..., -1:, :]
        xp.subtract(V[1], V[0], out=odd)
        xp.subtract(odd, V[2], out=odd)
        d[1, ..., -1, :] = 0  # beyond the last tile's pixels

    @staticmethod
    def points_to_outputs(M, y):  # A^T
        xp.add(M[:-1], M[1:], out=y)

    @staticmethod
    def outputs_to_points(y, M):  # A
        M[::2] = y
        xp.add(y[0], y[1], out=M[1])


class ThreeTaps:
    """F(2, 3), likewise."""

    taps, points = 3, 4

    @staticmethod
    def taps_to_points(g, U):
        U[0] = g[0]
        half, middle = (g[0] + g[2]) / 2, g[1] / 2
        xp.add(half, middle, out=U[1])
        xp.subtract(half, middle, out=U[2])
        xp.negative(g[2], out=U[3])

    @staticmethod
    def points_to_taps(U, g):
        half = (U[1] + U[2]) / 2
        xp.add(U[0], half, out=g[0])
        g[1] = (U[1] - U[2]) / 2
        xp.subtract(half, U[3], out=g[2])

    @staticmethod
    def pixels_to_points(d, V):
        here, there = d[..., :-1, :], d[..., 1:, :]
        xp.subtract(here, there, out=V[::3])
        xp.add(here[1], there[0], out=V[1])
        xp.subtract(there[0], here[1], out=V[2])

    @staticmethod
    def points_to_outputs(M, y):
        xp.add(M[1], M[2], out=y[0])
        xp.subtract(M[1], M[2], out=y[1])
        xp.add(y, M[::3], out=y)

    @staticmethod
    def outputs_to_points(y, M):
        M[::3] = y
        xp.add(y[0], y[1], out=M[1])
        xp.subtract(y[0], y[1], out=M[2])


def pays(kernel, stride, dilation, C, outputs):
    """Whether this is faster than `conv_fast.py` without it: measured, see docs/performance.md.

    outputs: the shape of y. Not on the GPU, where a few large products are best, nor where tiles reach far beyond y.
    """
    if (kernel, stride) not in (((3, 3), (1, 1)), ((4, 4), (2, 2))) or dilation != (1, 1) or xp.on_gpu():
        return False
    count = math.prod(tiles(outputs))
    return min(C, outputs[-1]) >= CHANNELS and count >= 2 * TILES and 4 * count <= 1.2 * math.prod(outputs[:-1])


# ---- the three maps --------------------------------------------------------------------------------------


def correlate(x, W, borders, stride):
    """Return y (N, *output sides, O) for x (N, H, W_, C), W (k, k, C, O) with k = 2 or 3 strides.

    borders: the zeros (before, after) on both axes; a negative number cuts pixels off.
    """
    method = TwoTaps if len(W) == 2 * stride else ThreeTaps
    sides = [(n + sum(border) - len(W)) // stride + 1 for n, border in zip(x.shape[1:-1], borders, strict=True)]
    y = xp.empty((len(x), *sides, W.shape[-1]), dtype=x.dtype)
    U = transform_kernel(W, stride, method)

    def work(some):
        scratch = Scratch(x.dtype)
        for pictures, rows in some:
            part = y[pictures, 2 * rows.start : 2 * rows.stop]
            V = transform_pixels(x[pictures], part.shape, borders, rows.start, stride, method, scratch)
            M = multiply(V, U, scratch)
            write_outputs(M, part, method, scratch)

    threads.each(work, shares(len(x), sides, U))
    return y


def input_grad(W, dy, shape, padding, stride):
    """Return dx of the given shape for k = 2 strides: the adjoint of x -> correlate(x, W), applied to dy.

    padding: the zeros on both sides of each axis.
    """
    method = TwoTaps
    dx = xp.empty(shape, dtype=dy.dtype)
    U = transform_kernel(W, stride, method).swapaxes(1, 2)
    if U[0].size <= SMALL // 8:  # `multiply` wants it contiguous
        transposed, U = U, Scratch(W.dtype).array(*U.shape)
        xp.copyto(U, transposed)

    def work(some):
        scratch = Scratch(dy.dtype)
        for pictures, _ in some:
            D = transform_outputs(dy[pictures], method, scratch)
            M = multiply(D, U, scratch)
            write_pixels(M, dx[pictures], dy.shape, padding, stride, method, scratch)

    threads.each(work, shares(len(dy), dy.shape[1:3], U, whole=True))
    return dx


def weight_grad(x, dy, kernel, borders, stride):
    """Return dW (k, k, C, O), k = 2 or 3 strides: the adjoint of W -> correlate(x, W), applied to dy."""
    method = TwoTaps if kernel == 2 * stride else ThreeTaps
    dU = xp.zeros((method.points**2, stride**2 * x.shape[-1], dy.shape[-1]), dtype=xp.result_type(x, dy))

    def work(some):
        of_x, of_dy = Scratch(x.dtype), Scratch(dy.dtype)
        total, product = [Scratch(dU.dtype).array(*dU.shape) for _ in range(2)]
        for i, (pictures, rows) in enumerate(some):
            part = dy[pictures, 2 * rows.start : 2 * rows.stop]
            V = transform_pixels(x[pictures], part.shape, borders, rows.start, stride, method, of_x)
            D = transform_outputs(part, method, of_dy)
            xp.matmul(V.swapaxes(1, 2), D, out=product if i else total)
            if i:
                total += product
        return total

    dUs = threads.each(work, shares(len(x), dy.shape[1:3], dU))
    return kernel_from_points(dUs or [dU], kernel, stride, method)


# ---- transforms ------------------------------------------------------------------------------------------


class Scratch:
    """Two pieces of memory used in turn: each step reads what the step before wrote, and overwrites the other.

    So they stay in the cache. Arrays start at multiples of 64 bytes, a cache line: otherwise each AVX-512 load touches
    two lines, and element-wise operations take twice as long.
    """

    def __init__(self, dtype):
        self.dtype, self.last, self.next = xp.dtype(dtype), xp.empty(0, dtype="u1"), xp.empty(0, dtype="u1")

    def array(self, *shape):
        """Return an array that lies where the last but one did."""
        size = math.prod(shape) * self.dtype.itemsize
        memory, self.next = self.next, self.last
        if len(memory) < size + 64:
            memory = xp.empty(size + 64, dtype="u1")
        self.last = memory
        start = -memory.ctypes.data % 64
        return memory[start : start + size].view(self.dtype).reshape(shape)


def transform_pixels(x, shape, borders, first, stride, method, scratch):
    """Return V = B^T x B (points^2, tiles, s s C) for a y of this shape that starts at the given row of tiles."""
    n, rows, columns = tiles(shape)
    m, s, C = method.points, stride, x.shape[-1]
    padded = scratch.array(n, 2 * (rows + 1) * s, 2 * (columns + 1) * s, C)
    place(x, padded, borders[0][0] - 2 * first * s, borders[1][0])
    d = scratch.array(2, 2, n, rows + 1, columns + 1, s, s, C)  # even and odd rows of cells, even and odd columns
    xp.copyto(d, padded.reshape(n, rows + 1, 2, s, columns + 1, 2, s, C).transpose(2, 5, 0, 1, 4, 3, 6, 7))
    half = scratch.array(m, 2, n * rows, columns + 1, s * s * C)
    method.pixels_to_points(d.reshape(2, 2, n, rows + 1, -1), half.reshape(m, 2, n, rows, -1))
    V = scratch.array(m, m, n * rows, columns, s * s * C)
    method.pixels_to_points(half.swapaxes(0, 1), V.swapaxes(0, 1))
    return V.reshape(m * m, -1, s * s * C)


def write_pixels(M, dx, shape, padding, stride, method, scratch):
    """Write B M B^T, the adjoint of `transform_pixels`, into dx; shape: that of dy."""
    n, rows, columns = tiles((len(dx), *shape[1:]))
    m, s, C = method.points, stride, dx.shape[-1]
    half = scratch.array(2, m, n * rows + n, columns, s * s * C)
    method.points_to_pixels(M.reshape(m, m, n, rows, -1), half.reshape(2, m, n, rows + 1, -1))
    d = scratch.array(2, 2, n, rows + 1, columns + 1, s, s, C)
    method.points_to_pixels(half.swapaxes(0, 1), d.reshape(2, 2, -1, columns + 1, s * s * C))
    padded = scratch.array(n, 2 * (rows + 1) * s, 2 * (columns + 1) * s, C)
    xp.copyto(padded.reshape(n, rows + 1, 2, s, columns + 1, 2, s, C), d.transpose(2, 3, 1, 5, 4, 0, 6, 7))
    inside = padded[:, padding[0] :, padding[1] :][:, : dx.shape[1], : dx.shape[2]]
    if inside.shape != dx.shape:  # pixels that no tap meets
        dx[...] = 0
    dx[:, : inside.shape[1], : inside.shape[2]] = inside


def write_outputs(M, y, method, scratch):
    """Write A^T M A into y (n, H, W_, O)."""
    n, rows, columns = tiles(y.shape)
    m = method.points
    half = scratch.array(2, m, M.size // (m * m))
    method.points_to_outputs(M.reshape(m, m, -1), half)
    whole = scratch.array(2, 2, n, rows, columns, y.shape[-1])  # columns, rows
    method.points_to_outputs(half.swapaxes(0, 1), whole.reshape(2, 2, -1))
    even = y if y.shape[1:3] == (2 * rows, 2 * columns) else scratch.array(n, 2 * rows, 2 * columns, y.shape[-1])
    xp.copyto(even.reshape(n, rows, 2, columns, 2, -1), whole.transpose(2, 3, 1, 4, 0, 5))
    if even is not y:
        y[...] = even[:, : y.shape[1], : y.shape[2]]


def transform_outputs(dy, method, scratch):
    """Return A dy A^T (points^2, tiles, O): the adjoint of `write_outputs`."""
    n, rows, columns = tiles(dy.shape)
    m = method.points
    even = dy
    if dy.shape[1:3] != (2 * rows, 2 * columns):
        even = scratch.array(n, 2 * rows, 2 * columns, dy.shape[-1])
        place(dy, even, 0, 0)
    whole = scratch.array(2, 2, n, rows, columns, dy.shape[-1])  # rows, columns
    xp.copyto(whole, even.reshape(n, rows, 2, columns, 2, -1).transpose(2, 4, 0, 1, 3, 5))
    half = scratch.array(m, 2, whole.size // 4)
    method.outputs_to_points(whole.reshape(2, 2, -1), half)
    D = scratch.array(m, m, whole.size // 4)
    method.outputs_to_points(half.swapaxes(0, 1), D.swapaxes(0, 1))
    return D.reshape(m * m, -1, dy.shape[-1])


def multiply(V, U, scratch):
    """Return V @ U (points^2, tiles, columns of U) for V (points^2, tiles, channels), in small products if they help.

    A product of up to SMALL multiply-adds runs faster, if it still has 8 rows.
    """
    (points, count, K), columns = V.shape, U.shape[-1]
    M = scratch.array(points, count, columns)
    most = min(count, SMALL // U[0].size)
    rows = next((rows for rows in range(most, 7, -1) if count % rows == 0), count)
    xp.matmul(V.reshape(points, -1, rows, K), U[:, None], out=M.reshape(points, -1, rows, columns))
    return M


def transform_kernel(W, stride, method):
    """Return U = G W G^T (points^2, s s C, O)."""
    m, r, s, (C, O) = method.points, method.taps, stride, W.shape[2:]
    g = W.reshape(r, s, r, s, C, O).transpose(0, 2, 1, 3, 4, 5)
    U = Scratch(W.dtype).array(m, m, s, s, C, O)

    def work(channels):
        half = xp.empty((m, *g[..., channels, :].shape[1:]), dtype=W.dtype)
        method.taps_to_points(g[..., channels, :], half)
        method.taps_to_points(half.swapaxes(0, 1), U[..., channels, :].swapaxes(0, 1))

    threads.each(work, slices(C, max(1, C * CHUNK // U.nbytes)))
    return U.reshape(m * m, s * s * C, O)


def kernel_from_points(dUs, kernel, stride, method):
    """Return dW = G^T (sum of the dU) G (k, k, C, O): the adjoint of `transform_kernel`."""
    m, r, s, O = method.points, method.taps, stride, dUs[0].shape[-1]
    dUs = [dU.reshape(m, m, s, s, -1, O) for dU in dUs]
    C = dUs[0].shape[-2]
    g = xp.empty((r, s, r, s, C, O), dtype=dUs[0].dtype)

    def work(channels):
        total = sum((dU[..., channels, :] for dU in dUs[1:]), start=dUs[0][..., channels, :])
        half = xp.empty((r, *total.shape[1:]), dtype=g.dtype)
        method.points_to_taps(total, half)
        method.points_to_taps(half.swapaxes(0, 1), g[..., channels, :].transpose(2, 0, 1, 3, 4, 5))

    threads.each(work, slices(C, max(1, C * CHUNK // dUs[0].nbytes)))
    return g.reshape(kernel, kernel, C, O)


# ---- the work in blocks ----------------------------------------------------------------------------------


def tiles(shape):
    """Return n, and the rows and columns of tiles of a y of shape (n, H, W_, O)."""
    return shape[0], -(-shape[1] // 2), -(-shape[2] // 2)


def place(x, padded, top, left):
    """Copy x into padded so that its first pixel lies at (top, left), with zeros around it; cut what lies outside."""
    first, last = max(top, 0), min(top + x.shape[1], padded.shape[1])
    begin, end = max(left, 0), min(left + x.shape[2], padded.shape[2])
    padded[...] = 0
    if first < last and begin < end:
        padded[:, first:last, begin:end] = x[:, first - top : last - top, begin - left : end - left]


def slices(length, size):
    """Cut a length into equal slices of at most this size."""
    count = -(-length // size)
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def shares(pictures, sides, U, whole=False):
    """Return for each thread its blocks: pairs of slices, of pictures and of rows of tiles; whole: of all rows.

    A block has TILES tiles, so that its scratch fits into the cache, or more if U, which every block reads, is large,
    or if several threads take turns at Python's interpreter: then longer calls keep them out of each other's way.
    """
    _, rows, columns = tiles((pictures, *sides))
    least = TILES if threads.count == 1 else SHARED_TILES
    fit = max(least, U[0].size // sum(U.shape[1:])) // columns
    if fit >= rows or whole:
        size = min(fit // rows, -(-pictures // threads.count))
        blocks = [(some, slice(0, rows)) for some in slices(pictures, max(size, 1))]
    else:
        blocks = [(slice(n, n + 1), some) for n in range(pictures) for some in slices(rows, max(fit, 1))]
    ends = [len(blocks) * i // threads.count for i in range(threads.count + 1)]
    return [blocks[a:b] for a, b in zip(ends, ends[1:], strict=False) if a < b]
