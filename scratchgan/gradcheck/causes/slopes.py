"""Derivatives of activations as they are, and as they are often got wrong."""

import numpy


def sigmoid(z):
    return 1 / (1 + numpy.exp(-z))


def softmax(z):
    e = numpy.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def leaky(slope):
    return lambda z: numpy.where(z > 0, z, slope * z), lambda z, y: numpy.where(z > 0, 1, slope), None


FUNCTIONS = {  # name: (f, f'(z, y), inverse or None)
    "tanh": (numpy.tanh, lambda z, y: 1 - y**2, numpy.arctanh),
    "sigmoid": (sigmoid, lambda z, y: y * (1 - y), lambda y: numpy.log(y / (1 - y))),
    "softplus": (lambda z: numpy.log1p(numpy.exp(z)), lambda z, y: sigmoid(z), lambda y: numpy.log(numpy.expm1(y))),
    "exp": (numpy.exp, lambda z, y: y, numpy.log),
    "softmax": (softmax, lambda z, y: y * (1 - y), None),
    "square": (numpy.square, lambda z, y: 2 * z, None),
    "ReLU": leaky(0.0),
    **{f"LeakyReLU of slope {slope}": leaky(slope) for slope in (0.01, 0.1, 0.2)},
}

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


def slope_factors(name, z):
    """Yield (kind, text, factor): what an activation's wrong derivative multiplies the gradient of its input z by."""
    f, derivative, _ = FUNCTIONS[name]
    y = f(z)
    slope, through = derivative(z, y), f"comes through a {name} whose derivative is"
    yield "derivative-missing", f"lacks the derivative of the {name}", 1 / slope
    if name != "exp":  # whose slope is what many a quotient is short of
        yield "derivative-twice", f"has the derivative of the {name} twice", slope
    at_output = derivative(y, f(y))
    yield "derivative-at-output", f"{through} taken at the output instead of the input", at_output / slope
    at_input = derivative(z, z)
    yield "derivative-at-input", f"{through} taken at the input, by the formula for the output", at_input / slope
    for text, wrong in MISTAKES.get(name, ()):
        yield "derivative-wrong", f"{through} {text}", wrong(z, y) / slope


def factors_at(a, name):
    """Yield (kind, text, factor) for every activation whose input an array may be, or whose output, if it is y."""
    if name == "y":
        yield "scale-per-axis", "has a factor exp(y) too many", numpy.exp(a)
    for function, (_, _, inverse) in FUNCTIONS.items():
        if name == "y" and inverse is not None and numpy.all(numpy.isfinite(inverse(a))):
            factors = slope_factors(function, inverse(a))
            yield from ((kind, f"{text} at the end of forward", factor) for kind, text, factor in factors)
        elif name != "y":
            yield from ((kind, f"{text} at {name}", factor) for kind, text, factor in slope_factors(function, a))
