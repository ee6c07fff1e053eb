"""Planted bugs of spectral normalisation, of branches, and of the second order: double backwards, penalties."""

import numpy
from gradcheck_bugs import Bug, Operation

# ---- spectral and weight normalisation -------------------------------------------------------------------


def spectral():
    """y = x W / sigma(W), with sigma the largest singular value, whose derivative is u v^T."""

    def parts(W):
        u, _, vt = numpy.linalg.svd(W.real)
        return numpy.outer(u[:, 0], vt[0]), u[:, 0] @ W @ vt[0]

    def dW(dy, x, W, path=True):
        uv, sigma = parts(W)
        g = x.T @ dy
        return g / sigma - path * uv * (g * W).sum() / sigma**2

    operation = Operation(
        "spectral normalisation",
        ("x", "W"),
        make=lambda rng: (rng.standard_normal((5, 4)), rng.standard_normal((4, 3))),
        forward=lambda x, W: x @ W / numpy.linalg.norm(W, 2),
        backward=lambda dy, x, W: (dy @ W.T / parts(W)[1], dW(dy, x, W)),
    )
    bugs = [
        (
            "detached",
            "takes sigma for a constant: its derivative is detached",
            {"W": lambda dy, x, W: dW(dy, x, W, False)},
        ),
        ("scale", "is not divided by sigma", {"x": lambda dy, x, W: dy @ W.T}),
        ("scale", "is not divided by sigma", {"W": lambda dy, x, W: dW(dy, x, W) * parts(W)[1]}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def weight_norm():
    """y = x (W / |W|), |W| over all entries."""
    size = lambda W: numpy.sqrt((W * W).sum())
    operation = Operation(
        "weight normalisation",
        ("x", "W"),
        make=lambda rng: (rng.standard_normal((5, 4)), rng.standard_normal((4, 3))),
        forward=lambda x, W: x @ W / size(W),
        backward=lambda dy, x, W: (dy @ W.T / size(W), x.T @ dy / size(W) - W * (x.T @ dy * W).sum() / size(W) ** 3),
    )
    return [Bug(operation, "norm-path", "takes |W| for a constant", {"W": lambda dy, x, W: x.T @ dy / size(W)})]


# ---- branches --------------------------------------------------------------------------------------------


def residual():
    """y = x + tanh(x W)."""
    slope = lambda x, W: 1 - numpy.tanh(x @ W) ** 2
    operation = Operation(
        "residual block",
        ("x", "W"),
        make=lambda rng: (rng.standard_normal((5, 4)), rng.standard_normal((4, 4))),
        forward=lambda x, W: x + numpy.tanh(x @ W),
        backward=lambda dy, x, W: (dy + (dy * slope(x, W)) @ W.T, x.T @ (dy * slope(x, W))),
    )
    bugs = [
        ("branch", "drops the skip connection", {"x": lambda dy, x, W: (dy * slope(x, W)) @ W.T}),
        ("branch", "drops the body", {"x": lambda dy, x, W: dy}),
        ("derivative-missing", "lacks the derivative of tanh", {"W": lambda dy, x, W: x.T @ dy}),
        ("derivative-missing", "lacks the derivative of tanh", {"x": lambda dy, x, W: dy + dy @ W.T}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def two_layers(name="tanh"):
    """y = f(x W + b) V, f a tanh or a ReLU."""
    f = numpy.tanh if name == "tanh" else lambda z: numpy.where(z > 0, z, 0)
    slope = lambda z: 1 - numpy.tanh(z) ** 2 if name == "tanh" else (z > 0).astype(z.dtype)

    def gradients(dy, x, W, b, V, slope=slope):
        z = x @ W + b
        dz = slope(z) * (dy @ V.T)
        return dz @ W.T, x.T @ dz, dz.sum(0), f(z).T @ dy

    operation = Operation(
        f"two layers with {name}",
        ("x", "W", "b", "V"),
        make=lambda rng: tuple(rng.standard_normal(shape) for shape in [(5, 4), (4, 3), (3,), (3, 2)]),
        forward=lambda x, W, b, V: f(x @ W + b) @ V,
        backward=gradients,
    )
    missing = lambda i: lambda *args: gradients(*args, slope=lambda z: 1.0)[i]
    at_output = lambda i: lambda *args: gradients(*args, slope=lambda z: slope(f(z)))[i]
    bugs = [
        ("derivative-missing", f"lacks the derivative of {name}", {"x": missing(0), "W": missing(1), "b": missing(2)})
    ]
    if name == "tanh":
        wrong = {"x": at_output(0), "W": at_output(1), "b": at_output(2)}
        bugs.append(("derivative-at-output", f"takes the derivative of {name} at the output", wrong))
    return [Bug(operation, *bug) for bug in bugs]


# ---- second order ----------------------------------------------------------------------------------------
#
# The forward here is a backward: (g, x, ...) -> dx, where g is the upstream gradient of the first order.


def double_tanh():
    """dx = (1 - tanh(x)^2) g: the backward of a tanh, and its derivatives by g and x."""
    slope = lambda x: 1 - numpy.tanh(x) ** 2
    bend = lambda dy, g, x: -2 * numpy.tanh(x) * slope(x) * g * dy
    operation = Operation(
        "tanh, second order",
        ("g", "x"),
        second_order=True,
        make=lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((4, 3))),
        forward=lambda g, x: slope(x) * g,
        backward=lambda dy, g, x: (slope(x) * dy, bend(dy, g, x)),
    )
    bugs = [
        ("bend", "is 0: the bend is dropped", {"x": lambda dy, g, x: 0 * x}),
        ("sign", "has the bend's sign wrong", {"x": lambda dy, g, x: -bend(dy, g, x)}),
        ("derivative-missing", "is passed on as it is", {"g": lambda dy, g, x: dy}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def double_dense():
    """dx = g W^T: the backward of a dense layer."""
    operation = Operation(
        "dense, second order",
        ("g", "x", "W"),
        second_order=True,
        make=lambda rng: (rng.standard_normal((5, 3)), rng.standard_normal((5, 4)), rng.standard_normal((4, 3))),
        forward=lambda g, x, W: g @ W.T,
        backward=lambda dy, g, x, W: (dy @ W, numpy.zeros_like(x), dy.T @ g),
    )
    bugs = [
        ("parameter-term", "is 0: the parameter term is missing", {"W": lambda dy, g, x, W: 0 * W}),
        ("roles", "pairs x, not the gradient of dx, with g", {"W": lambda dy, g, x, W: x.T @ g}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def double_two_layers():
    """dx = ((g V^T) f'(x W)) W^T, f = tanh: the backward of two layers."""

    def gradients(dy, g, x, W, V, bend=True):
        y = numpy.tanh(x @ W)
        slope, curve = 1 - y**2, -2 * y * (1 - y**2)
        up = dy @ W  # the gradient of slope * (g V^T)
        S = bend * curve * up * (g @ V.T)  # the gradient of x W, which reaches x and W
        return (up * slope) @ V, S @ W.T, x.T @ S + dy.T @ (slope * (g @ V.T)), (up * slope).T @ g

    operation = Operation(
        "two layers, second order",
        ("g", "x", "W", "V"),
        second_order=True,
        make=lambda rng: tuple(rng.standard_normal(shape) for shape in [(5, 2), (5, 4), (4, 3), (3, 2)]),
        forward=lambda g, x, W, V: ((g @ V.T) * (1 - numpy.tanh(x @ W) ** 2)) @ W.T,
        backward=gradients,
    )
    flat = lambda i: lambda *args: gradients(*args, bend=0.0)[i]
    bugs = [
        ("bend", "drops the bend", {"W": flat(2)}),
        ("bend", "drops the bend", {"x": flat(1), "W": flat(2)}),
        ("parameter-term", "is 0: the parameter term is missing", {"V": lambda dy, g, x, W, V: 0 * V}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def penalty():
    """mean (|g| - 1)^2 with g the gradient by x of D(x) = tanh(x W) v (Gulrajani et al. 2017, equation 3)."""

    def gradients(dy, x, W, v, bend=True, direct=True, norm=True):
        y = numpy.tanh(x @ W)
        slope, curve = 1 - y**2, -2 * y * (1 - y**2)
        g = (slope * v) @ W.T  # (N, D)
        size = numpy.sqrt((g * g).sum(-1, keepdims=True))
        ddx = dy * 2 * (size - 1) / len(x) * (g / size if norm else g)
        S = bend * curve * v * (ddx @ W)
        return S @ W.T, x.T @ S + direct * ddx.T @ (slope * v), (slope * (ddx @ W)).sum(0)

    def forward(x, W, v):
        g = ((1 - numpy.tanh(x @ W) ** 2) * v) @ W.T
        return ((numpy.sqrt((g * g).sum(-1)) - 1) ** 2).mean()

    operation = Operation(
        "gradient penalty",
        ("x", "W", "v"),
        make=lambda rng: tuple(rng.standard_normal(shape) for shape in [(5, 3), (3, 4), (4,)]),
        forward=forward,
        backward=gradients,
    )
    changed = lambda i, **options: lambda *args: gradients(*args, **options)[i]
    bugs = [
        ("bend", "drops the bend: right for a ReLU only", {"W": changed(1, bend=0.0), "x": changed(0, bend=0.0)}),
        ("parameter-term", "lacks the parameter term of backward", {"W": changed(1, direct=0.0)}),
        ("norm-path", "lacks the division by |g|", {"v": changed(2, norm=False), "W": changed(1, norm=False)}),
        ("scale", "lacks the mean over samples", {"v": lambda dy, x, W, v: len(x) * gradients(dy, x, W, v)[2]}),
        ("detached", "is 0", {"v": lambda dy, x, W, v: 0 * v}),
    ]
    return [Bug(operation, *bug) for bug in bugs]
