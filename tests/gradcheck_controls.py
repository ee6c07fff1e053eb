"""Correct backwards that are hard to judge: the control group, none of which may be called wrong.

The operations of the bank, right, at several scales, offsets and types; and functions with kinks, ties and jumps.
"""

import gradcheck_bugs_layers as layers
import gradcheck_bugs_pointwise as pointwise
import gradcheck_bugs_second as second
import numpy

VARIANTS = {  # name: what is done to an argument of floats
    "as it is": lambda a: a,
    "float32": lambda a: a.astype("float32"),
    "times 1e-6": lambda a: 1e-6 * a,
    "times 1e6": lambda a: 1e6 * a,
    "plus 1e4": lambda a: a + 1e4,
    "rounded, so that it has ties and zeros": lambda a: numpy.round(a),
}
EVERY = tuple(VARIANTS)
SMALL = EVERY[:3]  # for exponentials and norms of weights, which leave the range of numbers, or divide by 0


def controls(seed=0):
    """Yield (name, forward, backward, args, names) of correct backwards."""
    chosen = [
        (layers.dense(), EVERY), (layers.conv(), EVERY), (layers.conv(1, 2), SMALL), (layers.conv_transpose(), EVERY),
        (layers.norm(), EVERY), (layers.norm("layer norm", (1,), shape=(5, 6)), EVERY),
        (layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2)), EVERY),
        *[(pointwise.activation(name), EVERY) for name in ("tanh", "ReLU", "LeakyReLU 0.2")],
        *[(pointwise.activation(name), SMALL) for name in ("sigmoid", "softplus", "ELU", "SiLU")],
        (pointwise.softmax_layer(), SMALL), (pointwise.cross_entropy(), SMALL),
        (pointwise.binary_cross_entropy(), SMALL), (pointwise.hinge(), EVERY), (pointwise.squared_error(), EVERY),
        (pointwise.embedding(), EVERY), (pointwise.dropout(), EVERY), (pointwise.pooling(), EVERY),
        (pointwise.pooling("mean"), EVERY), (second.spectral(), SMALL), (second.weight_norm(), SMALL),
        (second.residual(), EVERY), (second.two_layers("ReLU"), EVERY), (second.two_layers(), SMALL),
        (second.double_tanh(), EVERY), (second.double_dense(), SMALL), (second.double_two_layers(), SMALL),
        (second.penalty(), SMALL[:2]),
    ]  # fmt: skip
    for bugs, variants in chosen:
        operation = bugs[0].operation
        for variant in variants:
            args = operation.make(numpy.random.default_rng([seed, 1]))
            args = tuple(VARIANTS[variant](a) if a.dtype.kind == "f" else a for a in args)
            names = operation.names[: len(args)]
            yield f"{operation.name}, {variant}", operation.forward, operation.backward, args, names
    for name, f, derivative, x in kinked():
        yield name, f, lambda dy, x, derivative=derivative: (derivative(x) * dy,), (x,), ("x",)


def kinked():
    """Yield (name, f, f', x) for functions with kinks and jumps that lie at, or near, entries of x."""
    sign, near = numpy.sign, numpy.array([0.0, 1e-9, -1e-9, 1e-5, 0.5, -2.0, 1.0, -1.0])
    whole = numpy.arange(-4.0, 5.0)
    yield "abs, at and near 0", numpy.abs, sign, near
    yield "ReLU, at and near 0", lambda x: numpy.maximum(x, 0), lambda x: 1.0 * (x > 0), near
    yield "clip, at its bounds", lambda x: numpy.clip(x, -1, 1), lambda x: 1.0 * (numpy.abs(x) < 1), near
    yield "Huber, at its bounds", huber, lambda x: numpy.clip(x, -1, 1), near
    yield "hard sigmoid", lambda x: numpy.clip(0.2 * x + 0.5, 0, 1), lambda x: 0.2 * (numpy.abs(x) < 2.5), near
    yield "soft threshold", lambda x: sign(x) * numpy.maximum(abs(x) - 1, 0), lambda x: 1.0 * (abs(x) > 1), near
    yield "abs of an offset", lambda x: numpy.abs(x - 1e4), lambda x: sign(x - 1e4), near + 1e4
    yield "x |x|, smooth once", lambda x: x * abs(x), lambda x: 2 * abs(x), near
    yield "square root near 0", numpy.sqrt, lambda x: 0.5 / numpy.sqrt(x), numpy.array([1e-8, 1e-4, 1.0, 1e8])
    yield "1 / x near 0", lambda x: 1 / x, lambda x: -1 / x**2, numpy.array([1e-6, -1e-3, 1.0, 1e6])
    yield "log of small numbers", numpy.log, lambda x: 1 / x, numpy.array([1e-12, 1e-6, 1.0, 1e6])
    yield "exp, over 40 orders", numpy.exp, numpy.exp, numpy.linspace(-46, 46, 9)
    yield "sin, fast", lambda x: numpy.sin(100 * x), lambda x: 100 * numpy.cos(100 * x), near
    yield "floor, between its jumps", numpy.floor, lambda x: 0 * x, whole + 0.5
    yield "a constant", lambda x: 0 * x + 7.0, lambda x: 0 * x, near
    yield "larger than a constant, equal at 1", lambda x: numpy.maximum(x, 1), lambda x: 1.0 * (x > 1), near


def huber(x):
    return numpy.where(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5)
