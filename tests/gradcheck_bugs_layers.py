"""Planted bugs of layers with weights and of normalisations: dense, convolution, transposed convolution, norms."""

import itertools
import math

import numpy
from gradcheck_bugs import Bug, Operation

# ---- dense -----------------------------------------------------------------------------------------------


def dense(square=True):
    """y = x W + b."""
    sides = (5, 4, 4) if square else (6, 4, 3)
    operation = Operation(
        "dense", ("x", "W", "b"),
        make=lambda rng: (rng.standard_normal(sides[:2]), rng.standard_normal(sides[1:]),
            rng.standard_normal(sides[2])),
        forward=lambda x, W, b: x @ W + b,
        backward=lambda dy, x, W, b: (dy @ W.T, x.T @ dy, dy.sum(0)),
    )  # fmt: skip
    dW = lambda dy, x: x.T @ dy
    bugs = [
        ("sign", "has the wrong sign", {"x": lambda dy, x, W, b: -dy @ W.T}),
        ("scale", "is divided by N once too often", {"W": lambda dy, x, W, b: dW(dy, x) / len(x)}),
        ("scale", "is added twice", {"b": lambda dy, x, W, b: 2 * dy.sum(0)}),
        ("not-summed", "is not summed over the batch", {"b": lambda dy, x, W, b: dy}),
        ("over-summed", "is summed over all axes", {"b": lambda dy, x, W, b: dy.sum()}),
        ("mixed", "takes the upstream gradient of the next sample", {"x": lambda dy, x, W, b: numpy.roll(dy, 1,
            0) @ W.T}),
        ("upstream-ignored", "takes the upstream gradient for ones", {"W": lambda dy, x, W, b: dW(numpy.ones_like(dy),
            x)}),
        ("first-sample", "is that of the first sample only", {"W": lambda dy, x, W, b: dW(dy[:1], x[:1])}),
        ("sample-dropped", "leaves out the last sample", {"W": lambda dy, x, W, b: dW(dy[:-1], x[:-1])}),
        ("dtype", "is off by rounding of float16", {"W": lambda dy, x, W, b: dW(dy,
            x).astype("float16").astype(float)}),
        ("detached", "is never computed", {"b": lambda dy, x, W, b: numpy.zeros_like(b)}),
        ("clipped", "is clipped", {"W": lambda dy, x, W, b: numpy.clip(dW(dy, x), -1, 1)}),
        ("decay", "has a decay of the weight in it", {"W": lambda dy, x, W, b: dW(dy, x) + 0.01 * W}),
    ]
    if square:
        bugs += [
            ("transposed", "is transposed: dy^T x", {"W": lambda dy, x, W, b: dy.T @ x}),
            ("transposed", "takes W for its transpose", {"x": lambda dy, x, W, b: dy @ W}),
        ]
    return [Bug(operation, *bug) for bug in bugs]


# ---- convolution and its transpose -----------------------------------------------------------------------


def windows(x, k, s):
    """Yield (i, j, view of x that kernel element (i, j) looks at) for a padded x."""
    sides = [(n - m) // s + 1 for n, m in zip(x.shape[1:3], k, strict=True)]
    for i, j in itertools.product(range(k[0]), range(k[1])):
        yield i, j, x[:, i : i + s * (sides[0] - 1) + 1 : s, j : j + s * (sides[1] - 1) + 1 : s]


def border(x, p):
    return numpy.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))


def correlate(x, W, s, p):
    """Convolve: x (N, H, W_, C), W (k, k, C, O)."""
    return sum(view @ W[i, j] for i, j, view in windows(border(x, p), W.shape[:2], s))


def spread(dy, W, shape, s, p):
    """Return correlate's adjoint in x."""
    dx = numpy.zeros((shape[0], shape[1] + 2 * p, shape[2] + 2 * p, shape[3]), numpy.result_type(dy, W))
    for i, j, view in windows(dx, W.shape[:2], s):
        view += dy @ W[i, j].T
    return dx[:, p : p + shape[1], p : p + shape[2]]


def outer(x, dy, k, s, p):
    """Return correlate's adjoint in W."""
    dW = numpy.zeros((*k, x.shape[3], dy.shape[3]), numpy.result_type(x, dy))
    for i, j, view in windows(border(x, p), k, s):
        dW[i, j] = numpy.tensordot(view, dy, ((0, 1, 2), (0, 1, 2)))
    return dW


def moved(a, rows):
    """Return an array with its rows and columns moved, and zeros moved in."""
    out = numpy.zeros_like(a)
    out[:, rows:, rows:] = a[:, :-rows, :-rows]
    return out


def conv(s=2, p=1):
    """y = b + correlation of x and W, stride s, padding p; sides that the stride does not divide."""
    k = lambda W: W.shape[:2]
    operation = Operation(
        f"convolution, stride {s}, padding {p}", ("x", "W", "b"),
        make=lambda rng: (rng.standard_normal((3, 6, 8, 2)), rng.standard_normal((3, 3, 2, 2)),
            rng.standard_normal(2)),
        forward=lambda x, W, b: correlate(x, W, s, p) + b,
        backward=lambda dy, x, W, b: (spread(dy, W, x.shape, s, p), outer(x, dy, k(W), s, p), dy.sum((0, 1, 2))),
    )  # fmt: skip
    dx = lambda dy, W, x: spread(dy, W, x.shape, s, p)
    dW = lambda x, dy, W: outer(x, dy, k(W), s, p)
    cut = lambda dy, axis: numpy.concatenate([dy[:, :-1], 0 * dy[:, -1:]], 1) if axis else dy
    bugs = [
        ("flipped", "comes through a kernel that is not flipped", {"x": lambda dy, x, W, b: dx(dy, W[::-1, ::-1], x)}),
        ("flipped", "is flipped in space", {"W": lambda dy, x, W, b: dW(x, dy, W)[::-1, ::-1]}),
        ("transposed", "takes W's channels in the wrong order", {"x": lambda dy, x, W, b: dx(dy, W.swapaxes(2, 3),
            x)}),
        ("transposed", "has its channels in the wrong order", {"W": lambda dy, x, W, b: dW(x, dy, W).swapaxes(2, 3)}),
        ("shifted", "is off by one pixel, padding cut at one side", {"x": lambda dy, x, W, b: moved(dx(dy, W, x), 1)}),
        ("shifted", "is off by one in the padding", {"W": lambda dy, x, W, b: dW(moved(x, 1), dy, W)}),
        ("stride-tail", "drops the last row of dy", {"x": lambda dy, x, W, b: dx(cut(dy, 1), W, x)}),
        ("stride-tail", "drops the last row of dy", {"W": lambda dy, x, W, b: dW(x, cut(dy, 1), W)}),
        ("over-summed", "is summed over channels, too", {"b": lambda dy, x, W, b: dy.sum() + 0 * b}),
        ("not-summed", "is not summed over space", {"b": lambda dy, x, W, b: dy.sum(0)}),
        ("scale", "is a mean, not a sum", {"b": lambda dy, x, W, b: dy.mean((0, 1, 2))}),
        ("first-sample", "is that of the last sample only", {"W": lambda dy, x, W, b: dW(x[-1:], dy[-1:], W)}),
        ("sign", "has the wrong sign", {"b": lambda dy, x, W, b: -dy.sum((0, 1, 2))}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def conv_transpose(s=2, p=1):
    """The adjoint of that convolution: W (k, k, O, C) for x with C channels."""
    shape = lambda x, W: (len(x), *[s * (n - 1) + m - 2 * p for n, m in zip(x.shape[1:3], W.shape, strict=False)],
        W.shape[2])
    operation = Operation(
        f"transposed convolution, stride {s}, padding {p}", ("x", "W", "b"),
        make=lambda rng: (rng.standard_normal((2, 4, 3, 3)), rng.standard_normal((3, 3, 3, 3)),
            rng.standard_normal(3)),
        forward=lambda x, W, b: spread(x, W, shape(x, W), s, p) + b,
        backward=lambda dy, x, W, b: (correlate(dy, W, s, p), outer(dy, x, W.shape[:2], s, p), dy.sum((0, 1, 2))),
    )  # fmt: skip
    dW = lambda dy, x, W: outer(dy, x, W.shape[:2], s, p)
    bugs = [
        ("flipped", "takes a flipped kernel", {"x": lambda dy, x, W, b: correlate(dy, W[::-1, ::-1], s, p)}),
        ("transposed", "has its channels in the wrong order", {"W": lambda dy, x, W, b: dW(dy, x, W).swapaxes(2, 3)}),
        ("shifted", "is off by one in the crop", {"x": lambda dy, x, W, b: correlate(moved(dy, 1), W, s, p)}),
        ("scale", "is divided by the stride's square", {"b": lambda dy, x, W, b: dy.sum((0, 1, 2)) / 4}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


# ---- normalisations --------------------------------------------------------------------------------------


def normalize(x, axes, eps, missing=0):
    """Return xhat and 1 / standard deviation over some axes; missing=1 divides by M - 1."""
    M = math.prod(x.shape[a] for a in axes)
    centred = x - x.mean(axes, keepdims=True)
    r = 1 / numpy.sqrt((centred * centred).sum(axes, keepdims=True) / (M - missing) + eps)
    return centred * r, r


def norm(name="batch norm", axes=(0,), eps=1e-5, shape=(7, 4)):
    """y = gamma xhat + beta, with mean and variance over some axes; gamma and beta of the last axis."""
    rest = lambda dy: tuple(range(dy.ndim - 1))

    def dx(dy, x, gamma, mean=True, variance=True, axes=axes, eps=eps, missing=0, power=1, sums=None):
        xhat, r = normalize(x, axes, eps, missing)
        g, sums = gamma * dy, sums or axes
        g_mean, g_variance = g.mean(sums, keepdims=True), xhat * (g * xhat).mean(sums, keepdims=True)
        return r**power * (g - mean * g_mean - variance * g_variance)

    operation = Operation(
        name, ("x", "gamma", "beta"),
        make=lambda rng: (2 + 3 * rng.standard_normal(shape), rng.uniform(0.5, 2, shape[-1]),
            rng.standard_normal(shape[-1])),
        forward=lambda x, gamma, beta: gamma * normalize(x, axes, eps)[0] + beta,
        backward=lambda dy, x, gamma, beta: (
            dx(dy, x, gamma), (dy * normalize(x, axes, eps)[0]).sum(rest(dy)), dy.sum(rest(dy))),
    )  # fmt: skip
    bugs = [
        ("mean-path", "lacks the mean path", {"x": lambda dy, x, g, b: dx(dy, x, g, mean=False)}),
        ("variance-path", "lacks the variance path", {"x": lambda dy, x, g, b: dx(dy, x, g, variance=False)}),
        ("statistics", "lacks the mean path and the variance path", {"x": lambda dy, x, g, b: dx(dy, x, g, False,
            False)}),
        ("argument-ignored", "leaves gamma out", {"x": lambda dy, x, g, b: dx(dy, x, 1 + 0 * g)}),
        ("swapped-constants", "has momentum and epsilon swapped: eps is 0.1", {"x": lambda dy, x, g, b: dx(dy, x, g,
            eps=0.1)}),
        ("swapped-constants", "has momentum and epsilon swapped: eps is 0.9", {"x": lambda dy, x, g, b: dx(dy, x, g,
            eps=0.9)}),
        ("epsilon", "leaves epsilon out", {"x": lambda dy, x, g, b: dx(dy, x, g, eps=0.0)}),
        ("unbiased", "has a variance with 1 / (M - 1)", {"x": lambda dy, x, g, b: dx(dy, x, g, missing=1)}),
        ("scale-per-axis", "is divided by the deviation once too often", {"x": lambda dy, x, g, b: dx(dy, x, g,
            power=2)}),
        ("not-normalised", "is sum(dy x), x not normalised", {"gamma": lambda dy, x, g, b: (dy * x).sum(rest(dy))}),
        ("scale", "is a mean, not a sum", {"beta": lambda dy, x, g, b: dy.mean(rest(dy))}),
        ("exchanged", "is the gradient of beta", {"gamma": lambda dy, x, g, b: dy.sum(rest(dy))}),
    ]
    return [Bug(operation, *bug) for bug in bugs + wrong_axes(dx, axes, shape)]


def wrong_axes(dx, axes, shape):
    """Return bugs in which statistics, or the gradient's means, are taken over axes that belong to another norm."""
    found = []
    for other in [(0,), tuple(range(len(shape) - 1)), tuple(range(1, len(shape)))]:
        if other != axes:
            text = f"takes its statistics over axes {other} instead of {axes}"
            found.append(("wrong-axes", text, {"x": lambda dy, x, g, b, other=other: dx(dy, x, g, axes=other)}))
            text = f"takes the gradient's means over axes {other} instead of {axes}"
            found.append(("wrong-axes", text, {"x": lambda dy, x, g, b, other=other: dx(dy, x, g, sums=other)}))
    return found
