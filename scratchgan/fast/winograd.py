"""Two-dimensional convolutions with fewer products: Winograd's minimal filtering.

A convolution with r taps computes m neighbouring outputs from m + r - 1 pixels. Written out that
takes m r products, but m + r - 1 suffice: transform the pixels, d -> B^T d, and the taps, g -> G g,
multiply number by number, transform the products, y = A^T [(G g) * (B^T d)] (Winograd 1980; Lavin &
Gray 2016). This is F(m, r); its three matrices are made below, for the (m, r) of PLACES.

In two dimensions each transform is applied to the rows and then to the columns, as B^T d B. A tile
of m x m outputs takes (m + r - 1)^2 products in place of m^2 r^2: F(2, 2) 9 of 16, F(4, 2) 25 of
64, F(7, 2) 64 of 196, F(2, 3) 16 of 36, F(4, 3) 36 of 144. With C input and O output channels "a
product" is a vector (C,) times a matrix (C, O), and the same place of all tiles, here called a
point, shares the matrix: one product (tiles, C) @ (C, O) for each point.

A kernel of 2 s or 3 s taps with stride s is one of 2 or 3 taps with stride 1 on blocks of s x s
pixels, here called cells, with s s C channels (space to depth). Kernel 4, stride 2 has r = 2.

The map x -> y is A^T after products after B^T. Its adjoints are the adjoints of the steps, in
reverse: dx = B [(U^T products) A dy], and dW = G^T [(B^T x)^T (A dy)] (docs/convolution.md).

A block of pictures takes eight long calls of NumPy, and all views are made before: of two threads
that want Python's interpreter at once, one must sleep, and to wake it takes longer than a call.
"""

import functools
import itertools
import math

import numpy

from scratchgan import xp
from scratchgan.fast import threads

CHANNELS = 32  # with fewer, transforms and copies take as long as the products
SMALL = 10**6  # multiply-adds of a product that OpenBLAS computes without rearranging its factors
NUMBERS = 1_000_000  # of the points of pixels that are made and multiplied at once
TOUCH = 50  # multiply-adds that take as long as to make a number of a point, or to copy one
KERNEL = 20  # tiles: the transform of a kernel takes about as long as the products of so many

# The numbers at which the polynomials of pixels and taps are multiplied; the last is infinity.
PLACES = {
    (2, 2): [0, 1], (4, 2): [0, 1 / 2, -1, 2], (7, 2): [0, 1 / 2, -1 / 2, 1, -1, 2, -2],
    (2, 3): [0, 1, -1], (4, 3): [0, 2 / 3, -2 / 3, 3 / 2, -3 / 2],
}  # fmt: skip


def pays(kernel, stride, dilation, C, outputs):
    """Whether this is faster than `convolution.py` without it: measured, see docs/performance.md.

    outputs: y's shape. Not on the GPU, which wants few large products.
    """
    kernels = (((3, 3), (1, 1)), ((4, 4), (2, 2)))
    if (kernel, stride) not in kernels or dilation != (1, 1) or xp.on_gpu():
        return False
    if min(C, outputs[-1]) < CHANNELS:
        return False
    taps, cells = kernel[0] // stride[0], stride[0] ** 2 * C
    written_out = math.prod(outputs[:-1]) * taps**2 * (1 + TOUCH / outputs[-1])  # with copies
    return cost(best(taps, cells, outputs), cells, outputs) < written_out


def best(taps, cells, outputs):
    """Return the F, (m, taps), that is fastest for y of this shape; cells: channels of a cell."""
    return min((F for F in PLACES if F[1] == taps), key=lambda F: cost(F, cells, outputs))


def cost(F, cells, outputs):
    """Return how many products of a vector (cells,) with a matrix take as long as y of this shape.

    A tile has one for each point, whose numbers, those of pixels and of outputs, have to be made.
    """
    points, O = (sum(F) - 1) ** 2, outputs[-1]
    return points * (math.prod(tiles(outputs, F)) * (1 + TOUCH / O + TOUCH / cells) + KERNEL)


def matrices(F):
    """Return B^T, G, A^T of F(m, r), by Toom and Cook's product of polynomials.

    The rows of G and the columns of A^T are powers of the places, G's divided by the product of
    the differences to other places. A row of B^T is the polynomial that is 0 at all others.
    """
    (m, r), places = F, numpy.array(PLACES[F], float)
    others = [numpy.delete(places, i) for i in range(len(places))]
    differences = [numpy.prod(a - rest) for a, rest in zip(places, others, strict=True)]
    B_T = [[*numpy.poly(rest)[::-1], 0] for rest in others] + [numpy.poly(places)[::-1]]
    G = numpy.vander(places, r, increasing=True) / numpy.array(differences)[:, None]
    A_T = numpy.vander(places, m, increasing=True).T
    at_infinity = numpy.eye(r)[-1:], numpy.eye(m)[:, -1:]  # the highest powers' factors
    return numpy.array(B_T), numpy.vstack([G, at_infinity[0]]), numpy.hstack([A_T, at_infinity[1]])


# ---- the three maps ------------------------------------------------------------------------------


def correlate(x, W, borders, stride):
    """Return y (N, *output sides, O) for x (N, H, W_, C), W (k, k, C, O) with k = 2 or 3 strides.

    borders: the zeros (before, after) on both axes; a negative number cuts pixels off.
    """
    O = W.shape[-1]
    axes = zip(x.shape[1:-1], borders, strict=True)
    sides = [(n + sum(border) - len(W)) // stride + 1 for n, border in axes]
    y = xp.empty((len(x), *sides, O), dtype=x.dtype)
    F = best(len(W) // stride, stride**2 * W.shape[2], y.shape)
    U = transform_kernel(W, F, stride)

    def work(blocks):
        for n, some in blocks:
            memory = Memory(x.dtype)
            pixels = Pixels((n, *x.shape[1:]), sides, F, borders, stride, memory)
            outputs = Outputs((n, *sides, O), F, memory)
            for block in some:
                pixels.transform(x[block])
                multiply(pixels.points, U, outputs.points)
                outputs.write(y[block])

    threads.each(work, shares(y.shape, U.shape[2:], F))
    return y


def input_grad(W, dy, shape, padding, stride):
    """Return dx of the given shape: the adjoint of x -> correlate(x, W), applied to dy.

    padding: the zeros on both sides of each axis.
    """
    s, borders = stride, [(p, p) for p in padding]
    F = best(len(W) // s, s * s * W.shape[2], dy.shape)
    dx = xp.empty(shape, dtype=dy.dtype)
    U = transform_kernel(exchanged(W, F[1], s), F, 1)  # (side, side, O, s s C)

    def work(blocks):
        for n, some in blocks:
            memory = Memory(dy.dtype)
            pixels = Pixels((n, *shape[1:]), dy.shape[1:-1], F, borders, s, memory)
            outputs = Outputs((n, *dy.shape[1:]), F, memory)
            for block in some:
                outputs.transform(dy[block])
                multiply(outputs.points, U, pixels.points)
                pixels.write(dx[block])

    threads.each(work, shares(dy.shape, U.shape[2:], F))
    return dx


def weight_grad(x, dy, kernel, borders, stride):
    """Return dW (k, k, C, O), k = 2 or 3 strides: the adjoint of W -> correlate(x, W), at dy."""
    cells, O = stride**2 * x.shape[-1], dy.shape[-1]
    F = best(kernel // stride, cells, dy.shape)

    def work(blocks):
        total, product = None, None
        for n, some in blocks:
            pixels = Pixels((n, *x.shape[1:]), dy.shape[1:-1], F, borders, stride, Memory(x.dtype))
            outputs = Outputs((n, *dy.shape[1:]), F, Memory(dy.dtype))
            for block in some:
                pixels.transform(x[block])
                outputs.transform(dy[block])
                product = xp.matmul(pixels.points.swapaxes(2, 3), outputs.points, out=product)
                if total is None:
                    total, product = product, xp.empty_like(product)
                else:
                    total += product
        return kernel_from_points(total, F, stride)

    dWs = threads.each(work, shares(dy.shape, (cells, O), F))
    zeros = xp.zeros((kernel, kernel, x.shape[-1], O), dtype=xp.result_type(x, dy))
    return sum(dWs[1:], start=dWs[0]) if dWs else zeros


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
    """The pixels x of a block of pictures, and their points B^T x B (side, side, tiles, s s C)."""

    def __init__(self, shape, sides, F, borders, s, memory):
        (n, height, width, C), (_, rows, columns) = shape, tiles((1, *sides), F)
        self.m, side, cell = F[0], sum(F) - 1, s * C  # of outputs; of cells in a tile; of a cell's row
        self.matrix = matrix_of(F, 0, memory.dtype)
        self.own = (self.m * rows * s, self.m * columns * s)
        room = [length + (F[1] - 1) * s for length in self.own]
        self.padded = xp.zeros((n, *room, C), dtype=memory.dtype)
        self.rows, r = overlap(height, borders[0], room[0])
        self.columns, c = overlap(width, borders[1], room[1])
        self.inside = self.padded[:, r, c]  # the pixels that lie in x[:, rows, columns]
        of_n, of_row, _, of_channel = self.padded.strides
        view = xp.lib.stride_tricks.as_strided
        strides = (of_n, self.m * s * of_row, of_row, s * of_row, of_channel)
        self.by_row = view(self.padded, (n, rows, s, side, room[1] * C), strides)
        self.half = memory.array(1, *self.by_row.shape)
        strides = (*self.half.strides[:4], self.m * cell * of_channel, cell * of_channel, of_channel)
        self.by_column = view(self.half, (n, rows, s, side, columns, side, cell), strides)
        self.points = memory.array(0, side, side, n * rows * columns, s * cell)
        points = self.points.reshape(side, side, n, rows, columns, s, cell)
        self.by_tile = points.transpose(2, 3, 5, 0, 4, 1, 6)  # (n, rows, s, side, columns, side, s C)

    def transform(self, x):
        """Write the points of x."""
        xp.copyto(self.inside, x[:, self.rows, self.columns])
        xp.matmul(self.matrix, self.by_row, out=self.half)
        xp.matmul(self.matrix, self.by_column, out=self.by_tile)

    def write(self, dx):
        """Write dx, by the adjoint of `transform`: pixels that several tiles read get the sum."""
        self.half[..., self.own[1] * dx.shape[-1] :] = 0
        self.add_up(self.by_tile, self.by_column)
        self.padded[:, self.own[0] :] = 0
        self.add_up(self.half, self.by_row)
        if self.inside.shape != dx.shape:  # pixels that no tap meets
            dx[...] = 0
        dx[:, self.rows, self.columns] = self.inside

    def add_up(self, values, cells):
        """Write matrix^T @ values: of a tile's own cells, and to those of the next it is added."""
        xp.matmul(self.matrix.T[: self.m], values, out=cells[..., : self.m, :])
        cells[..., self.m :, :] += self.matrix.T[self.m :] @ values


class Outputs:
    """The outputs y of a block of pictures, and their points P (side, side, tiles, O): y = A^T P A."""

    def __init__(self, shape, F, memory):
        (n, height, width, O), (_, rows, columns), m = shape, tiles(shape, F), F[0]
        side, self.matrix = sum(F) - 1, matrix_of(F, 2, memory.dtype)
        self.whole = None  # where y does not fill its tiles: room that does, with zeros beyond y
        if (height, width) != (m * rows, m * columns):
            self.whole = xp.zeros((n, m * rows, m * columns, O), dtype=memory.dtype)
            self.inside = self.whole[:, :height, :width]
        self.split = (n, rows, m, columns * m * O)
        self.points = memory.array(1, side, side, n * rows * columns, O)
        self.half = memory.array(0, n, rows, side, columns * m * O)
        self.by_column = self.half.reshape(n, rows, side, columns, m, O)
        points = self.points.reshape(side, side, n, rows, columns, O)
        self.by_tile = points.transpose(2, 3, 0, 4, 1, 5)  # (n, rows, side, columns, side, O)

    def write(self, y):
        """Write y."""
        whole = y if self.whole is None else self.whole
        xp.matmul(self.matrix, self.by_tile, out=self.by_column)
        xp.matmul(self.matrix, self.half, out=whole.reshape(self.split))
        if self.whole is not None:
            xp.copyto(y, self.inside)

    def transform(self, dy):
        """Write the points A dy A^T: the adjoint of `write`."""
        if self.whole is not None:
            xp.copyto(self.inside, dy)
            dy = self.whole
        xp.matmul(self.matrix.T, dy.reshape(self.split), out=self.half)
        xp.matmul(self.matrix.T, self.by_column, out=self.by_tile)


@functools.lru_cache
def matrix_of(F, which, dtype):
    """Return one of `matrices`, in this dtype."""
    return matrices(F)[which].astype(dtype)


def multiply(V, U, M):
    """Write V @ U into M (side, side, tiles, O), V (side, side, tiles, C), in small products.

    A product of up to SMALL multiply-adds runs faster, if it still has 8 rows.
    """
    (side, _, count, C), O = V.shape, U.shape[-1]
    most = min(count, SMALL // (C * O))
    rows = next((rows for rows in range(most, 7, -1) if count % rows == 0), count)
    cut = lambda P: P.reshape(side, side, -1, rows, P.shape[-1])
    xp.matmul(cut(V), U[:, :, None], out=cut(M))


def transform_kernel(W, F, s):
    """Return U = G W G^T (side, side, s s C, O)."""
    G, (side, taps), (C, O) = matrix_of(F, 1, W.dtype), (sum(F) - 1, F[1]), W.shape[2:]
    rows, U = W.reshape(taps, -1), Memory(W.dtype).array(0, side, side, s, s * C * O)

    def work(some):
        half = (G[some] @ rows).reshape(-1, s, taps, s * C * O)
        xp.matmul(G, half, out=U[some].swapaxes(1, 2))

    threads.each(work, cut(side, threads.useful(U)))
    return U.reshape(side, side, s * s * C, O)


def exchanged(W, taps, s):
    """Return W as a kernel of whole cells that maps outputs to cells: (taps, taps, O, s s C)."""
    C, O = W.shape[2:]
    views = W.reshape(taps, s, taps, s, C, O).transpose(0, 2, 5, 1, 3, 4)
    kernel = xp.empty((taps, taps, O, s, s, C), dtype=W.dtype)
    copy = lambda some: xp.copyto(kernel[..., some], views[..., some])
    threads.each(copy, cut(C, threads.useful(W)))
    return kernel.reshape(taps, taps, O, -1)


def kernel_from_points(dU, F, s):
    """Return dW = G^T dU G (k, k, C, O): the adjoint of `transform_kernel`."""
    G_T, side, k, O = matrix_of(F, 1, dU.dtype).T, sum(F) - 1, F[1] * s, dU.shape[-1]
    half = G_T @ dU.reshape(side, side, s, -1).swapaxes(1, 2)  # (side, s, taps, s C O)
    return (G_T @ half.reshape(side, -1)).reshape(k, k, -1, O)


# ---- the work in blocks --------------------------------------------------------------------------


def tiles(shape, F):
    """Return n, and the rows and columns of tiles of a y of shape (n, H, W_, O)."""
    return shape[0], -(-shape[1] // F[0]), -(-shape[2] // F[0])


def overlap(length, border, room):
    """Return the slice of x (length) that lies in `room`, and its place there, with this border."""
    first, last = max(border[0], 0), min(border[0] + length, room)
    last = max(last, first)
    return slice(first - border[0], last - border[0]), slice(first, last)


def cut(length, count):
    """Cut a length into so many slices, as equal as can be; none is empty."""
    edges = [length * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]


def shares(shape, matrix, F):
    """Return for each thread its blocks of pictures: pairs (length, slices of this length).

    A block has NUMBERS points, or more if the matrix (rows, columns) of a point, which every block
    reads, is large; each thread has as many blocks.
    """
    count, rows, columns = tiles(shape, F)
    of_a_tile = (sum(F) - 1) ** 2 * max(matrix)
    most = max(NUMBERS // of_a_tile, math.prod(matrix) // sum(matrix)) // (rows * columns)
    size = min(max(most, 1), -(-count // threads.count))
    blocks = cut(count, -(-count // (size * threads.count)) * threads.count) if count else []
    length = lambda block: block.stop - block.start
    of_threads = [sorted(blocks[some], key=length) for some in cut(len(blocks), threads.count)]
    return [[(n, list(some)) for n, some in itertools.groupby(mine, length)] for mine in of_threads]
