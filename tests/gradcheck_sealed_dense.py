"""A sealed bank: dense layers, products, distances and matrices."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7101)
draw = lambda *shape: rng.standard_normal(shape)


# ---- bilinear, as nn.Bilinear ----------------------------------------------------------------------------


def bilinear(x1, x2, W, b):
    return np.einsum("ni,kij,nj->nk", x1, W, x2) + b


def bilinear_grads(dy, x1, x2, W, b, bug=""):
    dx1 = np.einsum("nk,kij,nj->ni", dy, W, x2)
    second = "nk,kij,nj->ni" if bug == "bilinear: the einsum of x1 pasted for x2" else "nk,kij,ni->nj"
    dx2 = np.einsum(second, dy, W, x1)
    dW = np.einsum("nk,ni,nj->kij", dy, x1, x1 if bug == "bilinear: dW of x1 and x1" else x2)
    return dx1, dx2, dW, dy.sum(axis=0)


# ---- quadratic forms and Gram matrices -------------------------------------------------------------------


def quadratic(x, A):
    return np.array([row @ A @ row for row in x])


def quadratic_grads(dy, x, A, bug=""):
    dx, dA = np.zeros_like(x), np.zeros_like(A)
    for n, row in enumerate(x):
        dx[n] = dy[n] * (2 * A @ row if bug else (A + A.T) @ row)
        dA += dy[n] * np.outer(row, row)
    return dx, dA


def gram(F):  # (C, P): features of a style loss
    C, P = F.shape
    return F @ F.T / (C * P)


def gram_grads(dG, F, bug=""):
    C, P = F.shape
    dF = dG @ F if bug else (dG + dG.T) @ F
    return (dF / (C * P),)


# ---- linear algebra --------------------------------------------------------------------------------------


def solve(A, b):
    return np.linalg.solve(A, b)


def solve_grads(dy, A, b, bug=""):
    x = np.linalg.solve(A, b)
    db = np.linalg.solve(A if bug == "solve: A for its transpose" else A.T, dy)
    dA = -db @ x.T
    if bug == "solve: dA from b":
        dA = -db @ b.T
    return dA, db


def log_determinant(A):
    return np.log(np.abs(np.linalg.det(A)))


def log_determinant_grad(dy, A, bug=""):
    inverse = np.linalg.inv(A)
    return (dy * (inverse if bug else inverse.T),)


def cube(A):
    return A @ A @ A


def cube_grad(dy, A, bug=""):
    if bug:
        return (dy @ (A @ A).T,)
    return (dy @ (A @ A).T + A.T @ dy @ A.T + (A @ A).T @ dy,)


# ---- an autoencoder with tied weights --------------------------------------------------------------------


def tied(x, W, b, c):
    return np.tanh(x @ W + b) @ W.T + c


def tied_grads(dy, x, W, b, c, bug=""):
    h = np.tanh(x @ W + b)
    dh = dy @ W
    dz = dh * (1 - h**2)
    dW = x.T @ dz
    if bug != "tied: the decoder's share of dW":
        dW = dW + dy.T @ h
    return dz @ W.T, dW, dz.sum(0), dy.sum(0)


# ---- LoRA ------------------------------------------------------------------------------------------------


def lora(x, W, A, B, alpha=16, rank=2):
    return x @ W + (alpha / rank) * (x @ A @ B)


def lora_grads(dy, x, W, A, B, alpha=16, rank=2, bug=""):
    scaling = alpha / rank
    dlow = scaling * dy @ B.T
    dA = x.T @ (dy @ B.T if bug == "lora: scaling left out of dA" else dlow)
    dB = scaling * (x @ A).T @ dy
    dx = dy @ W.T
    if bug != "lora: dx of the frozen path only":
        dx = dx + dlow @ A.T
    return dx, x.T @ dy, dA, dB


# ---- embeddings of bags ----------------------------------------------------------------------------------


def bags(E, index):
    return np.stack([E[row].mean(axis=0) for row in index])


def bags_grad(dy, E, index, bug=""):
    dE = np.zeros_like(E)
    for n, row in enumerate(index):
        if bug:
            dE[row] += dy[n] / len(row)  # a word that stands twice in its bag counts once
        else:
            np.add.at(dE, row, dy[n] / len(row))
    return (dE,)


# ---- distances -------------------------------------------------------------------------------------------


def distances(X, C):  # squared distances, as in k-nearest neighbours
    return (X**2).sum(1)[:, None] - 2 * X @ C.T + (C**2).sum(1)


def distances_grads(dD, X, C, bug=""):
    rows, columns = dD.sum(1)[:, None], dD.sum(0)[:, None]
    if bug == "distances: dC weighted by sums of rows":  # as many points as centres
        columns = rows
    dX = 2 * X * rows - 2 * dD @ C
    dC = 2 * C * columns - 2 * dD.T @ X
    if bug == "distances: norms of X forgotten":
        dX = -2 * dD @ C
    return dX, dC


def own_distances(x):
    d = x[:, None] - x[None]
    return (d * d).sum(-1)


def own_distances_grad(dy, x, bug=""):
    dx = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(len(x)):
            dx[i] += dy[i, j] * 2 * (x[i] - x[j])
            if not bug:
                dx[j] -= dy[i, j] * 2 * (x[i] - x[j])
    return (dx,)


# ---- experts, maxout -------------------------------------------------------------------------------------


def gates(x, G):
    z = x @ G
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def experts(x, G, W):  # W (E, D, K)
    return np.einsum("ne,nd,edk->nk", gates(x, G), x, W)


def experts_grads(dy, x, G, W, bug=""):
    p, out = gates(x, G), np.einsum("nd,edk->nek", x, W)
    dp = np.einsum("nk,nek->ne", dy, out)
    dz = p * (dp - (dp * p).sum(1, keepdims=True))
    dx = np.einsum("ne,nk,edk->nd", p, dy, W)
    if bug != "experts: dx through the experts only":
        dx = dx + dz @ G.T
    if bug == "experts: dW without the gate":
        return dx, x.T @ dz, np.einsum("nd,nk,e->edk", x, dy, np.ones(len(W)))
    return dx, x.T @ dz, np.einsum("ne,nd,nk->edk", p, x, dy)


def maxout(x, W):  # (N, D), (D, K, P): the largest of P pieces
    return np.einsum("nd,dkp->nkp", x, W).max(axis=2)


def maxout_grads(dy, x, W, bug=""):
    z = np.einsum("nd,dkp->nkp", x, W)
    mask = (z == z.max(axis=2, keepdims=True)) * 1.0
    if bug:
        mask = np.ones_like(mask)
    dz = dy[:, :, None] * mask
    return np.einsum("nkp,dkp->nd", dz, W), np.einsum("nd,nkp->dkp", x, dz)


# ---- positive weights, a bias that is added twice, a product of three ------------------------------------


def positive(x, V, b):
    return x @ np.exp(V) + b


def positive_grads(dy, x, V, b, bug=""):
    dW = x.T @ dy
    if bug == "exp weights: gradient of exp(V), not V":
        dV = dW
    else:
        dV = dW * np.exp(V)
    db = dy.sum(1) if bug == "exp weights: b summed over the outputs" else dy.sum(0)
    return dy @ np.exp(V).T, dV, db


square_x = draw(4, 3)
PLANTED = [
    *family(
        bilinear, bilinear_grads, (draw(5, 3), draw(5, 3), draw(2, 3, 3), draw(2)), "x1 x2 W b",
        ("bilinear: the einsum of x1 pasted for x2", "roles exchanged transposed", r"x2 .*(W.*transpos|x1 in place)"),
        ("bilinear: dW of x1 and x1", "roles argument-ignored", r"W does not depend on x2"),
    ),
    *family(
        quadratic, quadratic_grads, (draw(4, 3), draw(3, 3)), "x A",
        ("quadratic form: A taken for symmetric", "uses transposed"),
    ),
    *family(gram, gram_grads, (draw(3, 5),), "F", ("Gram matrix: dG F only", "uses transposed")),
    *family(
        solve, solve_grads, (draw(3, 3) + 2 * np.eye(3), draw(3, 2)), "A b",
        ("solve: A for its transpose", "transposed", r"A.*transpos|transpos.*A"),
        ("solve: dA from b", "roles pre-activation", r"A depends on b|b in place of"),
    ),
    *family(
        log_determinant, log_determinant_grad, (draw(3, 3) + 2 * np.eye(3),), "A",
        ("log determinant: inverse not transposed", "transposed"),
    ),
    *family(cube, cube_grad, (draw(3, 3),), "A", ("cube of a matrix: the first factor only", "uses branch")),
    *family(
        tied, tied_grads, (draw(5, 4), draw(4, 3), draw(3), draw(4)), "x W b c",
        ("tied: the decoder's share of dW", "uses branch"),
    ),
    *family(
        lora, lora_grads, (draw(5, 4), draw(4, 3), draw(4, 2), draw(2, 3)), "x W A B",
        ("lora: scaling left out of dA", "scale constant factor"),
        ("lora: dx of the frozen path only", "branch uses argument-ignored", r"x does not depend on [AB]"),
    ),
    *family(
        bags, bags_grad, (draw(6, 3), np.array([[0, 2, 2], [5, 1, 0], [3, 3, 3], [4, 2, 1]])), "E index",
        ("bags: a word twice in a bag counts once", "overwritten", r"repeat|duplicat|twice"),
    ),
    *family(
        distances, distances_grads, (draw(4, 3), draw(4, 3)), "X C",
        ("distances: dC weighted by sums of rows", "wrong-axes transposed", r"wrong ax"),
        ("distances: norms of X forgotten", "branch uses argument-ignored", r"X does not depend on X"),
    ),
    *family(
        own_distances, own_distances_grad, (draw(5, 2),), "x",
        ("own distances: x as a row, not as a column", "uses branch"),
    ),
    *family(
        experts, experts_grads, (draw(5, 3), draw(3, 2), draw(2, 3, 4)), "x G W",
        ("experts: dx through the experts only", "detached branch uses", r"gate"),
        ("experts: dW without the gate", "argument-ignored factor detached", r"W does not depend on G"),
    ),
    *family(
        maxout, maxout_grads, (draw(5, 3), draw(3, 2, 3)), "x W",
        ("maxout: every piece gets the gradient", "mask-missing"),
    ),
    *family(
        positive, positive_grads, (draw(3, 4), draw(4, 3), draw(3)), "x V b",
        ("exp weights: gradient of exp(V), not V", "derivative-missing factor"),
        ("exp weights: b summed over the outputs", "wrong-axes"),
    ),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def pseudo_inverse_grad(dy, A):
    P = np.linalg.pinv(A)
    m, n = A.shape
    first = -P.T @ dy @ P.T
    second = (np.eye(m) - A @ P) @ dy.T @ P @ P.T
    third = P.T @ P @ dy.T @ (np.eye(n) - P @ A)
    return (first + second + third,)


def loops(x, W, b):
    y = np.empty((len(x), len(b)), x.dtype)
    for n in range(len(x)):
        for k in range(len(b)):
            y[n, k] = b[k]
            for d in range(x.shape[1]):
                y[n, k] += x[n, d] * W[d, k]
    return y


def loops_grads(dy, x, W, b):
    dx, dW, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(b)
    for n in range(len(x)):
        for k in range(len(b)):
            db[k] += dy[n, k]
            for d in range(x.shape[1]):
                dx[n, d] += dy[n, k] * W[d, k]
                dW[d, k] += dy[n, k] * x[n, d]
    return dx, dW, db


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
dense, dense_grads = lambda x, W: x @ W, lambda dy, x, W: (dy @ W.T, x.T @ dy)
RIGHT = [
    Right("pseudo-inverse", np.linalg.pinv, pseudo_inverse_grad, (draw(4, 3),), ("A",)),
    Right("dense, three loops, float32", loops, loops_grads, single(draw(4, 3), draw(3, 2), draw(2)), ("x", "W", "b")),
    Right("dense, one sample, one unit", dense, dense_grads, (draw(1, 1), draw(1, 1)), ("x", "W")),
    Right("dense, weights of very different sizes", dense, dense_grads,
          (draw(4, 3) * np.array([1e-6, 1, 1e6]), draw(3, 2) * np.array([[1e6], [1], [1e-6]])), ("x", "W")),
    Right("dense, Fortran order", dense, dense_grads, (np.asfortranarray(draw(4, 3)), draw(2, 3).T), ("x", "W")),
    Right("dense, every other column", dense, dense_grads, (draw(4, 6)[:, ::2], draw(3, 2)), ("x", "W")),
    Right("lora that begins with B = 0", lora, lambda dy, *a: lora_grads(dy, *a),
          (draw(5, 4), draw(4, 3), draw(4, 2), np.zeros((2, 3))), ("x", "W", "A", "B")),
    Right("trace of a product", lambda A, B: np.trace(A @ B), lambda dy, A, B: (dy * B.T, dy * A.T),
          (draw(3, 4), draw(4, 3)), ("A", "B")),
    Right("Frobenius norm near 0", lambda A: np.sqrt((A * A).sum()),
          lambda dy, A: (dy * A / np.sqrt((A * A).sum()),), (1e-5 * draw(3, 3),), ("A",)),
    Right("solve, badly conditioned", solve, lambda dy, A, b: solve_grads(dy, A, b),
          (np.array([[1.0, 1.0], [1.0, 1.0001]]), draw(2, 1)), ("A", "b")),
    Right("a sum of a large and a small product", lambda x, W: 1e8 + x @ W, dense_grads,
          (draw(4, 3), draw(3, 2)), ("x", "W")),
]  # fmt: skip
