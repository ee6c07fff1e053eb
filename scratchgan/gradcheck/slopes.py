"""Slopes of activations as they are, and as they are often got wrong."""

import numpy


def wrong_slopes(z):
    """Yield (activation, y, y', [(kind, text, wrong y')]) at z for the activations whose derivative is known by a formula."""
    with numpy.errstate(all="ignore"):
        sigmoid, tanh = lambda z: 1 / (1 + numpy.exp(-z)), numpy.tanh
        y, s, e = tanh(z), sigmoid(z), numpy.exp(z)
        yield "tanh", y, 1 - y**2, [
            ("derivative-at-output", "is taken at the output instead of the input", 1 - tanh(y) ** 2),
            ("derivative-at-input", "is 1 - x^2: the formula for the output, given the input", 1 - z**2),
            ("derivative-wrong", "is 1 - y: the square is missing", 1 - y),
            ("derivative-wrong", "is 1 + y^2", 1 + y**2),
        ]
        yield "sigmoid", s, s * (1 - s), [
            ("derivative-at-output", "is taken at the output instead of the input", sigmoid(s) * (1 - sigmoid(s))),
            ("derivative-at-input", "is x (1 - x): the formula for the output, given the input", z * (1 - z)),
            ("derivative-wrong", "is y, without its 1 - y", s),
            ("derivative-wrong", "is 1 - y, without its y", 1 - s),
            ("derivative-wrong", "is 1 - y^2, that of a tanh", 1 - s**2),
        ]
        yield "softplus", numpy.log1p(e), s, [
            ("derivative-at-output", "is taken at the output instead of the input", sigmoid(numpy.log1p(e))),
        ]
        yield "exp", e, e, [
            ("derivative-at-output", "is taken at the output instead of the input", numpy.exp(e)),
            ("derivative-at-input", "is the input instead of the output", z),
        ]
        yield "square", z**2, 2 * z, [("derivative-wrong", "is x, without its 2", z)]


def inverses(y):
    """Yield z for each activation that may have given the output y, with its name."""
    with numpy.errstate(all="ignore"):
        if numpy.all(numpy.abs(y) < 1):
            yield "tanh", numpy.arctanh(y)
        if numpy.all((y > 0) & (y < 1)):
            yield "sigmoid", numpy.log(y / (1 - y))
        if numpy.all(y > 0):
            yield "softplus", numpy.log(numpy.expm1(y))
            yield "exp", numpy.log(y)


def slopes_at_output(y, dy):
    """Yield (kind, text, dy') for a dy' that repeats a wrong derivative of the activation at the end of forward.

    forward = f(z), so that the right gradient goes through f'(z) dy, and a wrong one through w dy = f'(z) (w / f'(z)) dy.
    """
    for name, z in inverses(y):
        for activation, _, slope, mistakes in wrong_slopes(z):
            if activation == name:
                with numpy.errstate(all="ignore"):
                    yield "derivative-missing", f"lacks the derivative of the {name} at the end of forward", dy / slope
                    yield "derivative-twice", f"has the derivative of the {name} at the end twice", dy * slope
                    for kind, text, wrong in mistakes:
                        yield kind, f"comes through a {name} whose derivative {text}", dy * wrong / slope


def hidden_slopes(z):
    """Yield (kind, text, factor): what a hidden activation's wrong derivative multiplies the gradient of z by."""
    for name, _, slope, mistakes in wrong_slopes(z):
        with numpy.errstate(all="ignore"):
            yield "derivative-missing", f"lacks the derivative of a hidden {name}", 1 / slope
            yield "derivative-twice", f"has the derivative of a hidden {name} twice", slope
            for kind, text, wrong in mistakes:
                yield kind, f"comes through a hidden {name} whose derivative {text}", wrong / slope


def expressions(x, y):
    """Yield (text, value) for expressions of x and y = f(x) that are taken for f' by mistake."""
    yield from {
        "x": x, "y": y, "1 - x": 1 - x, "1 - y": 1 - y, "1 + x": 1 + x, "1 + y": 1 + y, "x^2": x**2, "y^2": y**2,
        "1 - x^2": 1 - x**2, "1 - y^2": 1 - y**2, "1 + x^2": 1 + x**2, "1 + y^2": 1 + y**2,
        "x (1 - x)": x * (1 - x), "y (1 - y)": y * (1 - y), "exp(x)": numpy.exp(x), "exp(-x)": numpy.exp(-x),
        "exp(y)": numpy.exp(y), "1 / x": 1 / x, "1 / y": 1 / y, "sqrt(x)": numpy.sqrt(x), "2 x": 2 * x,
        "sigmoid(x)": 1 / (1 + numpy.exp(-x)), "tanh(x)": numpy.tanh(x), "cos(x)": numpy.cos(x), "sin(x)": numpy.sin(x),
        "1 / x^2": 1 / x**2, "y / x": y / x, "1 where x > 0": 1.0 * (x > 0), "0": 0 * x,
    }.items()  # fmt: skip
