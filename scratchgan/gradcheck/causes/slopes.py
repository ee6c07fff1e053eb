"""Derivatives of activations as they are, and as they are often got wrong."""

import numpy


def sigmoid(z):
    return 1 / (1 + numpy.exp(-z))


def softmax(z):
    e = numpy.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softplus(z):
    return numpy.log1p(numpy.exp(z))


FUNCTIONS = {  # name: (f, f'(z, y), f''(z, y), inverse or None)
    "tanh": (numpy.tanh, lambda z, y: 1 - y**2, lambda z, y: -2 * y * (1 - y**2), numpy.arctanh),
    "sigmoid": (sigmoid, lambda z, y: y * (1 - y), lambda z, y: y * (1 - y) * (1 - 2 * y),
                lambda y: numpy.log(y / (1 - y))),
    "softplus": (softplus, lambda z, y: sigmoid(z), lambda z, y: sigmoid(z) * (1 - sigmoid(z)),
                 lambda y: numpy.log(numpy.expm1(y))),
    "exp": (numpy.exp, lambda z, y: y, lambda z, y: y, numpy.log),
    "square": (numpy.square, lambda z, y: 2 * z, lambda z, y: 2 + 0 * z, None),
    "ReLU": (lambda z: numpy.maximum(z, 0), lambda z, y: 1.0 * (z > 0), lambda z, y: 0 * z, None),
    **{f"LeakyReLU of slope {a}": (
        lambda z, a=a: numpy.where(z > 0, z, a * z), lambda z, y, a=a: numpy.where(z > 0, 1, a),
        lambda z, y: 0 * z, None)
       for a in (0.01, 0.1, 0.2)},
}  # fmt: skip

MISTAKES = {  # name: what is taken for f' by mistake, as (text, function of z and y)
    "tanh": [("1 - y: the square is missing", lambda z, y: 1 - y), ("1 + y^2", lambda z, y: 1 + y**2)],
    "sigmoid": [
        ("y, without its 1 - y", lambda z, y: y),
        ("1 - y, without its y", lambda z, y: 1 - y),
        ("1 - y^2, that of a tanh", lambda z, y: 1 - y**2),
    ],
    "exp": [("the input", lambda z, y: z)],
    "square": [("x, without its 2", lambda z, y: z)],
}


def wrong_slopes(name, z):
    """Yield (kind, text, wrong f') at z for an activation; text continues "... whose derivative is"."""
    f, slope, _, _ = FUNCTIONS[name]
    y = f(z)
    yield "derivative-at-output", "taken at the output instead of the input", slope(y, f(y))
    yield "derivative-at-input", "taken at the input, by the formula for the output", slope(z, z)
    for text, wrong in MISTAKES.get(name, ()):
        yield "derivative-wrong", text, wrong(z, y)


def slope_factors(name, z):
    """Yield (kind, text, factor): what an activation's wrong derivative multiplies the gradient of its input z by."""
    f, derivative, _, _ = FUNCTIONS[name]
    slope = derivative(z, f(z))
    yield "derivative-missing", f"lacks the derivative of the {name}", 1 / slope
    yield "derivative-twice", f"has the derivative of the {name} twice", slope
    for kind, text, wrong in wrong_slopes(name, z):
        yield kind, f"comes through a {name} whose derivative is {text}", wrong / slope


def inverses(y):
    """Yield (name, z) for each activation that may have given the output y."""
    for name, (_, _, _, inverse) in FUNCTIONS.items():
        z = numpy.full(1, numpy.nan) if inverse is None else inverse(y)
        if numpy.all(numpy.isfinite(z)):
            yield name, z


def expressions(x, y):
    """Return {text: value} of expressions of x and y = f(x) that are taken for f' by mistake."""
    return {
        "x": x, "y": y, "1 - x": 1 - x, "1 - y": 1 - y, "1 + x": 1 + x, "1 + y": 1 + y, "x^2": x**2, "y^2": y**2,
        "1 - x^2": 1 - x**2, "1 - y^2": 1 - y**2, "1 + x^2": 1 + x**2, "1 + y^2": 1 + y**2,
        "x (1 - x)": x * (1 - x), "y (1 - y)": y * (1 - y), "exp(x)": numpy.exp(x), "exp(-x)": numpy.exp(-x),
        "exp(y)": numpy.exp(y), "1 / x": 1 / x, "1 / y": 1 / y, "sqrt(x)": numpy.sqrt(x), "2 x": 2 * x,
        "sigmoid(x)": sigmoid(x), "sigmoid(-x)": sigmoid(-x), "tanh(x)": numpy.tanh(x),
        "cos(x)": numpy.cos(x), "sin(x)": numpy.sin(x),
        "1 / x^2": 1 / x**2, "y / x": y / x, "1 where x > 0": 1.0 * (x > 0), "0": 0 * x,
    }  # fmt: skip
