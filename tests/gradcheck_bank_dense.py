"""Planted bugs of products: bilinear, low rank, tied, Gram, quadratic, kernels, polynomials, bags, gathers."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(160)
draw = lambda *shape: rng.standard_normal(shape)


# ---- bilinear, low rank, blocks --------------------------------------------------------------------------


def bilinear(x, z, A):  # (N, D), (N, E), (K, D, E)
    return np.einsum("nd,kde,ne->nk", x, A, z)


def bilinear_grads(dy, x, z, A, bug=""):
    dx = np.einsum("nk,kde,ne->nd", dy, A, z)
    if bug == "bilinear: the first matrix serves every output":
        dx = np.einsum("nk,de,ne->nd", dy, A[0], z)
    dz = np.einsum("nk,kde,nd->ne", dy, A, x)
    if bug == "bilinear: dz goes through A, not its transpose":
        dz = np.einsum("nk,kde,ne->nd", dy, A, x)
    dA = np.einsum("nk,nd,ne->kde", dy, x, z)
    if bug == "bilinear: dA pairs x with x":
        dA = np.einsum("nk,nd,ne->kde", dy, x, x)
    return dx, dz, dA


def lora(x, W, A, B):  # x W + 2 x A B
    return x @ W + 2.0 * (x @ A) @ B


def lora_grads(dy, x, W, A, B, bug=""):
    dx = dy @ W.T + 2.0 * dy @ B.T @ A.T
    if bug == "LoRA: dx only through the frozen weight":
        dx = dy @ W.T
    dB = (1.0 if bug == "LoRA: alpha / r missing in dB" else 2.0) * (x @ A).T @ dy
    return dx, x.T @ dy, 2.0 * x.T @ dy @ B.T, dB


def block_dense(x, W):  # (N, 6), (3, 2, 2): three blocks
    return np.einsum("nbi,bij->nbj", x.reshape(len(x), 3, 2), W).reshape(len(x), 6)


def block_dense_grads(dy, x, W, bug=""):
    d, v = dy.reshape(len(x), 3, 2), x.reshape(len(x), 3, 2)
    own = W[::-1] if bug == "block diagonal: blocks in reverse" else W
    if bug == "block diagonal: features interleaved, not in blocks":
        dx = np.einsum("njb,bij->nib", dy.reshape(len(x), 2, 3), W).reshape(x.shape)
    else:
        dx = np.einsum("nbj,bij->nbi", d, own).reshape(x.shape)
    dW = np.einsum("nbi,nbj->bij", v, d)
    if bug == "block diagonal: the last block of dW counted by samples":
        dW[2] /= len(x)
    return dx, dW


def pruned(x, W):
    return x @ (W * KEEP)


def pruned_grads(dy, x, W, bug=""):
    dW = x.T @ dy
    dx = dy @ (W if bug == "pruned weights: dx sees the pruned ones" else W * KEEP).T
    return dx, dW if bug == "pruned weights: dW is not masked" else dW * KEEP


KEEP = np.array([[1.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])


# ---- one argument, used twice ----------------------------------------------------------------------------


def tied(x, W):  # an autoencoder with one matrix
    return np.tanh(x @ W) @ W.T


def tied_grads(dy, x, W, bug=""):
    h = np.tanh(x @ W)
    dz = (dy @ W) * (1 - h * h)
    encoder, decoder = x.T @ dz, dy.T @ h
    if bug == "tied weights: the decoder's use alone":
        return dz @ W.T, decoder
    return dz @ W.T, encoder + (0 if bug == "tied weights: the encoder's use alone" else decoder)


def gram(x):  # style: (positions, channels)
    return x.T @ x / len(x)


def gram_grads(dy, x, bug=""):
    if bug == "Gram matrix: 2 x dy":
        return 2 * x @ dy / len(x)
    return x @ (dy if bug == "Gram matrix: one of two uses" else dy + dy.T) / len(x)


def quadratic(x, A):
    return np.einsum("ni,ij,nj->n", x, A, x)


def quadratic_grads(dy, x, A, bug=""):
    dx = x @ (A + A.T)
    if bug == "quadratic form: 2 A x":
        dx = 2 * x @ A.T
    if bug == "quadratic form: A x":
        dx = x @ A.T
    return dy[:, None] * dx, np.einsum("n,ni,nj->ij", dy, x, x)


def mmd(x, z):  # with a Gaussian kernel
    k = lambda a, b: np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1))
    return k(x, x).mean() + k(z, z).mean() - 2 * k(x, z).mean()


def mmd_grads(dy, x, z, bug=""):
    def pull(a, b):  # d mean(k(a, b)) / da, a being the first argument only
        diff = a[:, None] - b[None]
        return (-diff * np.exp(-0.5 * (diff**2).sum(-1))[..., None]).sum(1) / (len(a) * len(b))

    own = 1 if bug == "MMD: x counts once within its own kernel" else 2
    cross = 1 if bug == "MMD: the cross term once" else 2
    dz = 2 * pull(z, z) - 2 * pull(z, x)
    if bug == "MMD: z repelled by itself alone":
        dz = 2 * pull(z, z)
    return dy * (own * pull(x, x) - cross * pull(x, z)), dy * dz


def whitening(x, P):  # precision L L^T of a triangular parameter
    L = np.tril(P)
    return x @ L @ L.T


def whitening_grads(dy, x, P, bug=""):
    L = np.tril(P)
    first, second = x.T @ dy @ L, dy.T @ x @ L
    if bug == "Cholesky factor: one use":
        return dy @ L @ L.T, np.tril(first)
    if bug == "Cholesky factor: the upper triangle gets a gradient":
        return dy @ L @ L.T, first + second
    return dy @ L @ L.T, np.tril(first + second)


# ---- polynomials, machines, distances --------------------------------------------------------------------


def polynomial(x, a, b, c):
    return x @ a + x**2 @ b + x**3 @ c


def polynomial_grads(dy, x, a, b, c, bug=""):
    three = 1 if bug == "polynomial layer: the 3 of the cube" else 3
    square = x if bug == "polynomial layer: the cube's slope is 3 x" else x**2
    dx = dy @ a.T + 2 * x * (dy @ b.T) + three * square * (dy @ c.T)
    if bug == "polynomial layer: the square's path dropped":
        dx = dx - 2 * x * (dy @ b.T)
    return dx, x.T @ dy, (x**2).T @ dy, (x**3).T @ dy


def machine(x, V):  # a factorisation machine's pairwise term
    return 0.5 * ((x @ V) ** 2 - x**2 @ V**2).sum(1)


def machine_grads(dy, x, V, bug=""):
    s, d = x @ V, dy[:, None]
    own = 0 if bug == "factorisation machine: pairs of a feature with itself kept" else 1
    dx = d * (s @ V.T - own * x * (V**2).sum(1))
    dV = (x * d).T @ s - V * (x**2 * d).sum(0)[:, None]
    if bug == "factorisation machine: V for V^2":
        dx = d * (s @ V.T - x * V.sum(1))
    return dx, dV


def prototypes(x, c):  # squared distances to each prototype
    return ((x[:, None] - c[None]) ** 2).sum(-1)


def prototypes_grads(dy, x, c, bug=""):
    diff = 2 * (x[:, None] - c[None]) * dy[..., None]
    dc = -diff.sum(0)
    if bug == "prototypes: dc from x alone":
        dc = -2 * dy.T @ x
    if bug == "prototypes: the sign of x's side for both":
        dc = diff.sum(0)
    return diff.sum(1), dc


# ---- bags, gathers, segments -----------------------------------------------------------------------------


BAGS = np.array([[0, 3, 3, 5], [1, 4, 0, 0], [2, 2, 2, 2]])
FULL = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])


def bag(W, ids, full):  # the mean of the embeddings of a bag; short bags are padded
    return (W[ids] * full[..., None]).sum(1) / full.sum(1)[:, None]


def bag_grads(dy, W, ids, full, bug=""):
    length = full.sum(1)[:, None]
    if bug == "embedding bag: divided by the longest bag":
        length = float(ids.shape[1])
    share = (dy / length)[:, None] * full[..., None]
    if bug == "embedding bag: padding gets a share":
        share = (dy / length)[:, None] * np.ones_like(full)[..., None]
    dW = np.zeros_like(W)
    if bug == "embedding bag: the last id wins":
        dW[ids] = share
    else:
        np.add.at(dW, ids, share)
    weights = (dy[:, None] * (W[ids] - bag(W, ids, full)[:, None])).sum(-1) / full.sum(1)[:, None]
    if bug == "embedding bag: the weights' sum taken for a constant":
        weights = (dy[:, None] * W[ids]).sum(-1) / full.sum(1)[:, None]
    return dW, None, weights


PLACES = np.array([[0, 2, 2], [1, 1, 4], [3, 0, 3]])


def along(x):  # a gather in each row, with repeated places
    return np.take_along_axis(x, PLACES, 1)


def along_grads(dy, x, bug=""):
    dx, rows = np.zeros_like(x), np.arange(3)[:, None]
    if bug == "gather along an axis: put back with =":
        np.put_along_axis(dx, PLACES, dy, 1)
    elif bug == "gather along an axis: every row by the first row's places":
        np.add.at(dx, (rows, np.broadcast_to(PLACES[0], (3, 3))), dy)
    else:
        np.add.at(dx, (rows, PLACES), dy)
    return dx


SEGMENT = np.array([2, 0, 1, 0, 2, 2, 1])


def segments(x):  # the mean of the rows of each segment, as a graph's readout
    return np.stack([x[SEGMENT == s].mean(0) for s in range(3)])


def segments_grads(dy, x, bug=""):
    counts = np.bincount(SEGMENT).astype(float)
    if bug == "segment mean: the mean length of all segments":
        counts = np.full(3, counts.mean())
    own = np.sort(SEGMENT) if bug == "segment mean: as if segments were sorted" else SEGMENT
    return (dy / counts[:, None])[own]


def solve(A, B):
    return np.linalg.solve(A, B)


def solve_grads(dy, A, B, bug=""):
    dB = np.linalg.solve(A if bug == "solve: A is not transposed" else A.T, dy)
    Y = np.linalg.solve(A, B)
    right = np.linalg.solve(A.T, dy)
    return -right @ (B if bug == "solve: dA pairs with B, not with the solution" else Y).T, dB


# ---- right code that is hard to judge --------------------------------------------------------------------


def log_determinant(A):
    return np.linalg.slogdet(A)[1]


def far_scales(x, W):  # 1e6 times 1e-6
    return (1e6 * x) @ (1e-6 * W) + 1e-4 * x.sum()


def graph(x, W):  # a graph convolution on a fixed adjacency with an isolated node
    return np.maximum(ADJACENT @ x @ W, 0)


def graph_grads(dy, x, W):
    d = dy * (ADJACENT @ x @ W > 0)
    return ADJACENT.T @ d @ W.T, (ADJACENT @ x).T @ d


ADJACENT = np.array([[0.5, 0.5, 0, 0], [0.3, 0.3, 0.4, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
NEGATIVE = np.array([-1, 0, -1, 2])


def from_the_end(dy, W):
    dW = np.zeros_like(W)
    np.add.at(dW, NEGATIVE, dy)
    return dW


RIGHT = [
    Right("log-determinant", log_determinant, lambda A: np.linalg.inv(A).T, (draw(4, 4),), ("A",), loss=True),
    Right("factors of 1e6", far_scales, lambda dy, x, W: (dy @ W.T + 1e-4 * dy.sum(), x.T @ dy),
        (draw(4, 3), draw(3, 2)), ("x", "W")),
    Right("graph convolution with an isolated node", graph, graph_grads, (draw(4, 3), draw(3, 2)), ("x", "W")),
    Right("negative ids", lambda W: W[NEGATIVE], from_the_end, (draw(5, 2),), ("W",)),
    Right("0-d gain", lambda x, s: s * x, lambda dy, x, s: (s * dy, (dy * x).sum()), (draw(3, 2), np.array(0.7)),
        ("x", "s")),
    Right("a product of weights that are 0", lambda x, u, v: x @ u @ v, lambda dy, x, u, v: (dy @ v.T @ u.T,
        x.T @ dy @ v.T, (x @ u).T @ dy), (draw(4, 3), np.zeros((3, 2)), draw(2, 3)), ("x", "u", "v")),
]  # fmt: skip
PLANTED = [
    *family(bilinear, bilinear_grads, (draw(4, 3), draw(4, 3), draw(2, 3, 3)), "x z A",
        ("bilinear: the first matrix serves every output", "index wrong-place argument-ignored",
            r"does not depend on A"),
        ("bilinear: dz goes through A, not its transpose", "transposed"),
        ("bilinear: dA pairs x with x", "roles extra-argument argument-ignored", r"does not depend on z")),
    *family(lora, lora_grads, (draw(4, 5), draw(5, 3), draw(5, 2), draw(2, 3)), "x W A B",
        ("LoRA: dx only through the frozen weight", "branch argument-ignored", r"does not depend on [AB]"),
        ("LoRA: alpha / r missing in dB", "scale")),
    *family(block_dense, block_dense_grads, (draw(4, 6), draw(3, 2, 2)), "x W",
        ("block diagonal: blocks in reverse", "flipped exchanged wrong-place"),
        ("block diagonal: features interleaved, not in blocks", "transposed wrong-place"),
        ("block diagonal: the last block of dW counted by samples", "scale-per-axis index")),
    *family(pruned, pruned_grads, (draw(5, 4), draw(4, 3)), "x W",
        ("pruned weights: dx sees the pruned ones", "mask-missing wrong-place"),
        ("pruned weights: dW is not masked", "mask-missing wrong-place")),
    *family(tied, tied_grads, (draw(5, 4), draw(4, 3)), "x W",
        ("tied weights: the decoder's use alone", "uses branch"),
        ("tied weights: the encoder's use alone", "uses branch")),
    *family(gram, gram_grads, (draw(6, 4),), "x",
        ("Gram matrix: 2 x dy", "uses transposed", "symmetr"),
        ("Gram matrix: one of two uses", "uses branch", "symmetr")),
    *family(quadratic, quadratic_grads, (draw(5, 4), draw(4, 4)), "x A",
        ("quadratic form: 2 A x", "uses transposed", "symmetr"),
        ("quadratic form: A x", "uses branch transposed", "symmetr")),
    *family(mmd, mmd_grads, (draw(4, 2), draw(3, 2)), "x z",
        ("MMD: x counts once within its own kernel", "uses branch"),
        ("MMD: the cross term once", "branch cross-terms uses"),
        ("MMD: z repelled by itself alone", "branch cross-terms argument-ignored", r"does not depend on x")),
    *family(whitening, whitening_grads, (draw(5, 3), draw(3, 3)), "x P",
        ("Cholesky factor: one use", "uses branch"),
        ("Cholesky factor: the upper triangle gets a gradient", "mask-missing wrong-place extra-argument")),
    *family(polynomial, polynomial_grads, (draw(4, 3), draw(3, 2), draw(3, 2), draw(3, 2)), "x a b c",
        ("polynomial layer: the 3 of the cube", "constant branch"),
        ("polynomial layer: the cube's slope is 3 x", "derivative-wrong constant branch"),
        ("polynomial layer: the square's path dropped", "branch argument-ignored", r"does not depend on b")),
    *family(machine, machine_grads, (draw(4, 5), draw(5, 3)), "x V",
        ("factorisation machine: pairs of a feature with itself kept", "branch diagonal cross-terms"),
        ("factorisation machine: V for V^2", "square branch derivative-wrong")),
    *family(prototypes, prototypes_grads, (draw(5, 3), draw(4, 3)), "x c",
        ("prototypes: dc from x alone", "argument-ignored branch", r"does not depend on c"),
        ("prototypes: the sign of x's side for both", "sign")),
    *family(bag, bag_grads, (draw(6, 3), BAGS, FULL), "W ids full",
        ("embedding bag: divided by the longest bag", "scale-per-axis unbiased constant"),
        ("embedding bag: padding gets a share", "mask-missing wrong-place argument-ignored"),
        ("embedding bag: the last id wins", "overwritten"),
        ("embedding bag: the weights' sum taken for a constant", "detached mean-path sum-path")),
    *family(along, along_grads, (draw(3, 5),), "x",
        ("gather along an axis: put back with =", "overwritten"),
        ("gather along an axis: every row by the first row's places", "wrong-place index first-sample mixed")),
    *family(segments, segments_grads, (draw(7, 3),), "x",
        ("segment mean: the mean length of all segments", "scale-per-axis"),
        ("segment mean: as if segments were sorted", "wrong-place mixed index")),
    *family(solve, solve_grads, (draw(3, 3) + 3 * np.eye(3), draw(3, 2)), "A B",
        ("solve: A is not transposed", "transposed"),
        ("solve: dA pairs with B, not with the solution", "roles pre-activation derivative-at-input argument-ignored")),
]  # fmt: skip
