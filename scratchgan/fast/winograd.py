"""Two-dimensional convolutions with fewer products: Winograd's minimal filtering.

A convolution with r taps computes two neighbouring outputs from r + 1 pixels. Written out that
takes 2 r products, but r + 1 suffice: transform the pixels, d -> B^T d, and the taps, g -> G g,
multiply number by number, transform the products, y = A^T [(G g) * (B^T d)] (Winograd 1980; Lavin &
Gray 2016). The matrices for r = 2, F(2, 2), and for r = 3, F(2, 3), stand below.

In two dimensions each transform is applied to the rows and to the columns, as one product with a
Kronecker product: B^T d B is (B^T x B^T) d, d a list of (r + 1)^2 pixels. A tile of 2 x 2 outputs
takes (r + 1)^2 products in place of 4 r^2: 9 of 16, or 16 of 36. With C input and O output channels
"a product" is a vector (C,) times a matrix (C, O), and the same place of all tiles, here called a
point, shares the matrix: one product (tiles, C) @ (C, O) for each point.

A kernel of 2 s or 3 s taps with stride s is one of 2 or 3 taps with stride 1 on blocks of s x s
pixels, here called cells, with s s C channels (space to depth). Kernel 4, stride 2 takes F(2, 2).

The map x -> y is A^T after products after B^T. Its adjoints are the adjoints of the steps, in
reverse: dx = B [(U^T products) A dy], and dW = G^T [(B^T x)^T (A dy)] (docs/convolution.md).

A block of pictures takes six long calls of NumPy, and all views are made before: of two threads
that want Python's interpreter at once, one must sleep, and to wake it takes longer than a call.
"""

import itertools
import math

from scratchgan import xp
from scratchgan.fast import threads

CHANNELS = 64  # a transform costs as much for few channels as for many, a product less
SMALL = 10**6  # multiply-adds of a product that OpenBLAS computes without rearranging its factors
TILES = 256  # that are transformed and multiplied at once: they stay in a core's cache

B_T = {2: [[1, -1, 0], [0, 1, 0], [0, -1, 1]],
       3: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]}  # fmt: skip
G = {2: [[1, 0], [1, 1], [0, 1]],
     3: [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, -1]]}  # fmt: skip
A_T = {2: [[1, 1, 0], [0, 1, 1]],
       3: [[1, 1, 1, 0], [0, 1, -1, 1]]}  # fmt: skip


def pays(kernel, stride, dilation, C, outputs):
    """Whether this is faster than `convolution.py` without it: measured, see docs/performance.md.

    outputs: y's shape. Not on the GPU, which wants few large products, or if tiles reach beyond y.
    """
    kernels = (((3, 3), (1, 1)), ((4, 4), (2, 2)))
    if (kernel, stride) not in kernels or dilation != (1, 1) or xp.on_gpu():
        return False
    count, enough = math.prod(tiles(outputs)), min(C, outputs[-1]) >= CHANNELS
    return enough and count >= TILES and 4 * count <= 1.2 * math.prod(outputs[:-1])


# ---- the three maps ------------------------------------------------------------------------------


def correlate(x, W, borders, stride):
    """Return y (N, *output sides, O) for x (N, H, W_, C), W (k, k, C, O) with k = 2 or 3 strides.

    borders: the zeros (before, after) on both axes; a negative number cuts pixels off.
    """
    taps, O = len(W) // stride, W.shape[-1]
    axes = zip(x.shape[1:-1], borders, strict=True)
    sides = [(n + sum(border) - len(W)) // stride + 1 for n, border in axes]
    y = xp.empty((len(x), *sides, O), dtype=x.dtype)
    U = transform_kernel(W, taps, stride)

    def work(blocks):
        for n, some in blocks:
            memory = Memory(x.dtype)
            pixels = Pixels((n, *x.shape[1:]), sides, taps, borders, stride, memory)
            outputs = Outputs((n, *sides, O), taps, memory)
            for block in some:
                pixels.transform(x[block])
                multiply(pixels.points, U, outputs.points)
                outputs.write(y[block])

    threads.each(work, shares(y.shape, U))
    return y


def input_grad(W, dy, shape, padding, stride):
    """Return dx of the given shape: the adjoint of x -> correlate(x, W), applied to dy.

    padding: the zeros on both sides of each axis.
    """
    taps, borders = len(W) // stride, [(p, p) for p in padding]
    dx = xp.empty(shape, dtype=dy.dtype)
    U = transform_kernel(W, taps, stride)
    transposed = Memory(W.dtype).array(0, len(U), U.shape[2], U.shape[1])  # views would be slow
    transpose = lambda some: xp.copyto(transposed[some], U[some].swapaxes(1, 2))
    threads.each(transpose, cut(len(U), threads.count))

    def work(blocks):
        for n, some in blocks:
            memory = Memory(dy.dtype)
            pixels = Pixels((n, *shape[1:]), dy.shape[1:-1], taps, borders, stride, memory)
            outputs = Outputs((n, *dy.shape[1:]), taps, memory)
            for block in some:
                outputs.transform(dy[block])
                multiply(outputs.points, transposed, pixels.points)
                pixels.write(dx[block])

    threads.each(work, shares(dy.shape, U))
    return dx


def weight_grad(x, dy, kernel, borders, stride):
    """Return dW (k, k, C, O), k = 2 or 3 strides: the adjoint of W -> correlate(x, W), at dy."""
    taps, dtype = kernel // stride, xp.result_type(x, dy)
    dU = xp.zeros(((taps + 1) ** 2, stride**2 * x.shape[-1], dy.shape[-1]), dtype=dtype)

    def work(blocks):
        total, product = xp.zeros_like(dU), xp.empty_like(dU)
        sides = dy.shape[1:-1]
        for n, some in blocks:
            pixels = Pixels((n, *x.shape[1:]), sides, taps, borders, stride, Memory(x.dtype))
            outputs = Outputs((n, *dy.shape[1:]), taps, Memory(dy.dtype))
            for block in some:
                pixels.transform(x[block])
                outputs.transform(dy[block])
                xp.matmul(pixels.points.swapaxes(1, 2), outputs.points, out=product)
                xp.add(total, product, out=total)
        return total

    return kernel_from_points(threads.each(work, shares(dy.shape, dU)) or [dU], taps, stride)


# ---- transforms, each beside its adjoint ---------------------------------------------------------


class Memory:
    """Two pieces of memory used in turn: each step reads the one and overwrites the other.

    So they stay in the cache. Arrays start at a cache line: else each AVX-512 load touches two.
    """

    def __init__(self, dtype):
        self.dtype, self.pieces = xp.dtype(dtype), [xp.empty(0, dtype="u1")] * 2

    def array(self, which, *shape):
        """Return an array in piece 0 or 1: a new piece, where the last is too small."""
        size = math.prod(shape) * self.dtype.itemsize
        if len(self.pieces[which]) < size + 64:
            self.pieces[which] = xp.empty(size + 64, dtype="u1")
        start = -self.pieces[which].ctypes.data % 64
        return self.pieces[which][start : start + size].view(self.dtype).reshape(shape)


class Pixels:
    """The pixels x of a block of pictures, and their points B^T x B (points, tiles, s s C)."""

    def __init__(self, shape, sides, taps, borders, s, memory):
        (n, height, width, C), (_, rows, columns), m = shape, tiles((1, *sides)), taps + 1
        self.matrix = kronecker(B_T, taps, memory.dtype)
        room = ((2 * rows + taps - 1) * s, (2 * columns + taps - 1) * s)
        self.padded = xp.zeros((n, *room, C), dtype=memory.dtype)
        self.rows, r = overlap(height, borders[0], room[0])
        self.columns, c = overlap(width, borders[1], room[1])
        self.inside = self.padded[:, r, c]  # the pixels that lie in x[:, rows, columns]
        of_n, of_row, of_column, of_channel = self.padded.strides
        pixel, cell, tile = ((k * of_row, k * of_column) for k in (1, s, 2 * s))
        self.windows = xp.lib.stride_tricks.as_strided(
            self.padded,
            (n, rows, columns, m, m, s, s, C),
            (of_n, *tile, *cell, *pixel, of_channel),
        )
        self.cells = memory.array(0, *self.windows.shape)
        self.points = memory.array(1, m * m, n * rows * columns, s * s * C)

    def transform(self, x):
        """Write the points of x."""
        xp.copyto(self.inside, x[:, self.rows, self.columns])
        xp.copyto(self.cells, self.windows)
        spread(self.matrix, self.cells, self.points)

    def write(self, dx):
        """Write dx, by the adjoint of `transform`: pixels that several tiles read get the sum."""
        collect(self.matrix.T, self.points, self.cells)
        self.padded[...] = 0
        for i in (slice(0, 2), slice(2, None)):  # tiles are 2 cells apart: within two, none meet
            for j in (slice(0, 2), slice(2, None)):
                self.windows[:, :, :, i, j] += self.cells[:, :, :, i, j]
        if self.inside.shape != dx.shape:  # pixels that no tap meets
            dx[...] = 0
        dx[:, self.rows, self.columns] = self.inside


class Outputs:
    """The outputs y of a block of pictures, and their points P (points, tiles, O): y = A^T P A."""

    def __init__(self, shape, taps, memory):
        (n, height, width, O), (_, rows, columns) = shape, tiles(shape)
        self.matrix = kronecker(A_T, taps, memory.dtype)
        self.even = None  # of outputs with odd sides: room for whole tiles, with zeros beyond
        if (height, width) != (2 * rows, 2 * columns):
            self.even = xp.zeros((n, 2 * rows, 2 * columns, O), dtype=memory.dtype)
            self.inside = self.even[:, :height, :width]
        self.split = (n, rows, 2, columns, 2, O)
        self.points = memory.array(0, (taps + 1) ** 2, n * rows * columns, O)
        self.tiles = memory.array(1, n, rows, columns, 2, 2, O)

    def write(self, y):
        """Write y."""
        collect(self.matrix, self.points, self.tiles)
        even = y if self.even is None else self.even
        xp.copyto(even.reshape(self.split).swapaxes(2, 3), self.tiles)
        if self.even is not None:
            xp.copyto(y, self.inside)

    def transform(self, dy):
        """Write the points A dy A^T: the adjoint of `write`."""
        if self.even is not None:
            xp.copyto(self.inside, dy)
            dy = self.even
        xp.copyto(self.tiles, dy.reshape(self.split).swapaxes(2, 3))
        spread(self.matrix.T, self.tiles, self.points)


def kronecker(tables, taps, dtype):
    """Return the transform of rows and columns, M x M, for the matrix M of one axis."""
    matrix = xp.asarray(tables[taps], dtype=dtype)
    return xp.kron(matrix, matrix)


def spread(matrix, values, points):
    """Write matrix @ values: values (tiles, pixels, C) into points (points, tiles, C)."""
    values = values.reshape(points.shape[1], -1, points.shape[2])
    xp.matmul(matrix, values, out=points.swapaxes(0, 1))


def collect(matrix, points, values):
    """Write matrix @ points: points (points, tiles, C) into values (tiles, pixels, C)."""
    values = values.reshape(points.shape[1], -1, points.shape[2])  # a view
    xp.matmul(matrix, points.swapaxes(0, 1), out=values)


def multiply(V, U, M):
    """Write V @ U into M (points, tiles, O), V (points, tiles, channels), in small products.

    A product of up to SMALL multiply-adds runs faster, if it still has 8 rows.
    """
    (points, count, K), columns = V.shape, U.shape[-1]
    most = min(count, SMALL // U[0].size)
    rows = next((rows for rows in range(most, 7, -1) if count % rows == 0), count)
    xp.matmul(V.reshape(points, -1, rows, K), U[:, None], out=M.reshape(points, -1, rows, columns))


def transform_kernel(W, taps, s):
    """Return U = G W G^T (points, s s C, O)."""
    matrix, (C, O) = kronecker(G, taps, W.dtype), W.shape[2:]
    g = W.reshape(taps, s, taps, s, C, O).transpose(1, 3, 4, 0, 2, 5)  # (s, s, C, taps, taps, O)
    U = Memory(W.dtype).array(0, len(matrix), s, s, C, O)

    def work(some):
        values = g[:, :, some].reshape(s, s, -1, taps * taps, O)
        xp.matmul(matrix, values, out=U.transpose(1, 2, 3, 0, 4)[:, :, some])

    threads.each(work, cut(C, threads.count))
    return U.reshape(len(matrix), s * s * C, O)


def kernel_from_points(dUs, taps, s):
    """Return dW = G^T (sum of the dU) G (k, k, C, O): the adjoint of `transform_kernel`."""
    matrix, C, O = kronecker(G, taps, dUs[0].dtype).T, dUs[0].shape[1] // s**2, dUs[0].shape[2]
    dUs = [dU.reshape(-1, s, s, C, O).transpose(1, 2, 3, 0, 4) for dU in dUs]  # (s, s, C, M, O)
    dW = xp.empty((taps, s, taps, s, C, O), dtype=dUs[0].dtype)

    def work(some):
        total = sum((dU[:, :, some] for dU in dUs[1:]), start=dUs[0][:, :, some])
        dg = (matrix @ total).reshape(s, s, -1, taps, taps, O)
        dW[:, :, :, :, some] = dg.transpose(3, 0, 4, 1, 2, 5)

    threads.each(work, cut(C, threads.count))
    return dW.reshape(taps * s, taps * s, C, O)


# ---- the work in blocks --------------------------------------------------------------------------


def tiles(shape):
    """Return n, and the rows and columns of tiles of a y of shape (n, H, W_, O)."""
    return shape[0], -(-shape[1] // 2), -(-shape[2] // 2)


def overlap(length, border, room):
    """Return the slice of x (length) that lies in `room`, and its place there, with this border."""
    first, last = max(border[0], 0), min(border[0] + length, room)
    last = max(last, first)
    return slice(first - border[0], last - border[0]), slice(first, last)


def cut(length, count):
    """Cut a length into so many slices, as equal as can be; none is empty."""
    edges = [length * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]


def shares(shape, U):
    """Return for each thread its blocks of pictures: pairs (length, slices of this length).

    A block has about TILES tiles, or more if U, which every block reads, is large.
    """
    count, rows, columns = tiles(shape)
    most = max(TILES, U[0].size // sum(U.shape[1:])) // (rows * columns)
    size = min(max(most, 1), -(-count // threads.count))
    blocks = cut(count, -(-count // size)) if count else []
    length = lambda block: block.stop - block.start
    of_threads = [sorted(blocks[some], key=length) for some in cut(len(blocks), threads.count)]
    return [[(n, list(some)) for n, some in itertools.groupby(mine, length)] for mine in of_threads]
