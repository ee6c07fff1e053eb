"""Planted bugs of activations, losses, embedding, dropout and pooling."""

import numpy
from gradcheck_bugs import Bug, Operation


def sigmoid(z):
    return 1 / (1 + numpy.exp(-z))


def softmax(z):
    e = numpy.exp(z - z.real.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def dot(a, b):
    """Sum of products over the last axis."""
    return (a * b).sum(-1, keepdims=True)


# ---- activations -----------------------------------------------------------------------------------------

ACTIVATIONS = {  # name: (f, f', known wrong f': (kind, text, function of x))
    "tanh": (numpy.tanh, lambda x: 1 - numpy.tanh(x) ** 2, [
        ("derivative-missing", "lacks the derivative", lambda x: 1 + 0 * x),
        ("derivative-at-output", "takes the derivative at the output", lambda x: 1 - numpy.tanh(numpy.tanh(x)) ** 2),
        ("derivative-at-input", "is (1 - x^2) dy: the formula for the output, given the input", lambda x: 1 - x**2),
    ]),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x)), [
        ("derivative-at-input", "is x (1 - x) dy: the formula for the output, given the input", lambda x: x * (1 - x)),
        ("derivative-wrong", "is y dy: 1 - y is missing", sigmoid),
    ]),
    "ReLU": (lambda x: numpy.where(x > 0, x, 0), lambda x: (x > 0).astype(x.dtype), [
        ("derivative-missing", "lacks the mask", lambda x: 1 + 0 * x),
    ]),
    "LeakyReLU 0.2": (lambda x: numpy.where(x > 0, x, 0.2 * x), lambda x: numpy.where(x > 0, 1 + 0 * x, 0.2), [
        ("side", "is 0 where x is negative, as a ReLU's", lambda x: 1.0 * (x > 0)),
        ("side", "has its slope on the wrong side", lambda x: numpy.where(x > 0, 0.2, 1)),
    ]),
    "softplus": (lambda x: numpy.log(1 + numpy.exp(x)), sigmoid, [
        ("derivative-at-output", "takes the derivative at the output", lambda x: sigmoid(numpy.log1p(numpy.exp(x)))),
    ]),
    "ELU": (lambda x: numpy.where(x > 0, x, numpy.exp(x) - 1), lambda x: numpy.where(x > 0, 1, numpy.exp(x)), [
        ("derivative-wrong", "is y dy where x is negative: y + 1 is meant", lambda x: numpy.where(x > 0, 1,
            numpy.exp(x) - 1)),
    ]),
    "SiLU": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))), [
        ("branch", "drops one branch of the product rule", sigmoid),
    ]),
}  # fmt: skip


def activation(name):
    """y = f(x), element by element."""
    f, slope, mistakes = ACTIVATIONS[name]
    operation = Operation(
        name, ("x",),
        make=lambda rng: (rng.standard_normal((4, 5)),),
        forward=lambda x: f(x),
        backward=lambda dy, x: (slope(x) * dy,),
    )  # fmt: skip
    bugs = [(kind, text, {"x": lambda dy, x, wrong=wrong: wrong(x) * dy}) for kind, text, wrong in mistakes]
    if name == "ReLU":
        bugs.append(("upstream-power", "masks by dy > 0 instead of x > 0", {"x": lambda dy, x: dy * (dy > 0)}))
    return [Bug(operation, *bug) for bug in bugs]


def softmax_layer():
    """y = softmax(x) over the last axis."""
    operation = Operation(
        "softmax", ("x",),
        make=lambda rng: (rng.standard_normal((4, 5)),),
        forward=softmax,
        backward=lambda dy, x: (softmax(x) * (dy - dot(dy, softmax(x))),),
    )  # fmt: skip
    bugs = [
        ("diagonal", "is the diagonal y (1 - y) dy only", {"x": lambda dy, x: softmax(x) * (1 - softmax(x)) * dy}),
        ("sum-path", "lacks the path through the sum", {"x": lambda dy, x: softmax(x) * dy}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


# ---- losses: sums, a mean being another factor -----------------------------------------------------------


def one_hot(t, x):
    return numpy.eye(x.shape[-1], dtype=x.real.dtype)[t] if t.ndim < x.ndim else t


def cross_entropy():
    """Softmax cross-entropy of logits x and classes t, the mean over the batch."""
    mean = lambda dy, x: dy / len(x)
    right = lambda dy, x, t: mean(dy, x) * (softmax(x) - one_hot(t, x))
    operation = Operation(
        "softmax cross-entropy", ("x", "t"),
        make=lambda rng: (2 * rng.standard_normal((5, 4)), numpy.array([0, 2, 1, 3, 3])),
        forward=lambda x, t: -(one_hot(t, x) * numpy.log(softmax(x))).sum() / len(x),
        backward=lambda dy, x, t: (right(dy, x, t),),
    )  # fmt: skip
    bugs = [
        ("softmax-twice", "applies softmax twice", {"x": lambda dy, x, t: mean(dy,
            x) * (softmax(softmax(x)) - one_hot(t, x))}),
        ("scale", "is a sum, not a mean", {"x": lambda dy, x, t: right(dy, x, t) * len(x)}),
        ("scale", "is a mean over classes, too", {"x": lambda dy, x, t: right(dy, x, t) / x.shape[-1]}),
        ("sign", "is t - p: the wrong sign", {"x": lambda dy, x, t: -right(dy, x, t)}),
        ("argument-ignored", "is p: the target is not subtracted", {"x": lambda dy, x, t: mean(dy, x) * softmax(x)}),
        ("softmax-missing", "is x - t: softmax is missing", {"x": lambda dy, x, t: mean(dy, x) * (x - one_hot(t, x))}),
        ("derivative-wrong", "is -t / p: that by the probabilities, not the logits",
         {"x": lambda dy, x, t: -mean(dy, x) * one_hot(t, x) / softmax(x)}),
        ("derivative-twice", "has a derivative of softmax too many",
         {"x": lambda dy, x, t: right(dy, x, t) * softmax(x) * (1 - softmax(x))}),
    ]  # fmt: skip
    return [Bug(operation, *bug) for bug in bugs]


def binary_cross_entropy():
    """Binary cross-entropy of logits x and targets t in [0, 1], a sum."""
    operation = Operation(
        "binary cross-entropy", ("x", "t"),
        make=lambda rng: (2 * rng.standard_normal((8, 1)), rng.integers(0, 2, (8, 1), dtype="int8")),
        forward=lambda x, t: (numpy.log(1 + numpy.exp(x)) - t * x).sum(),
        backward=lambda dy, x, t: (dy * (sigmoid(x) - t),),
    )  # fmt: skip
    p = sigmoid
    bugs = [
        ("derivative-missing", "is that by the probability, not the logit", {"x": lambda dy, x,
            t: dy * (p(x) - t) / p(x) / (1 - p(x))}),
        ("derivative-twice", "has a sigmoid's derivative too many", {"x": lambda dy, x,
            t: dy * (p(x) - t) * p(x) * (1 - p(x))}),
        ("argument-ignored", "does not subtract the target", {"x": lambda dy, x, t: dy * p(x)}),
        ("sigmoid-twice", "applies sigmoid twice", {"x": lambda dy, x, t: dy * (p(p(x)) - t)}),
        ("target-flipped", "has targets -1 and 1 for 0 and 1", {"x": lambda dy, x, t: dy * (p(x) - (2 * t - 1))}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def hinge():
    """sum max(0, 1 - t x) with t = -1 or 1."""
    operation = Operation(
        "hinge", ("x", "t"),
        make=lambda rng: (1.5 * rng.standard_normal((12, 1)), 2 * rng.integers(0, 2, (12, 1), dtype="int8") - 1),
        forward=lambda x, t: numpy.where(t * x < 1, 1 - t * x, 0).sum(),
        backward=lambda dy, x, t: (-dy * t * (t * x < 1),),
    )  # fmt: skip
    bugs = [
        ("mask-missing", "lacks the margin's mask", {"x": lambda dy, x, t: -dy * t * numpy.ones_like(x)}),
        ("margin", "has its margin at 0 instead of 1", {"x": lambda dy, x, t: -dy * t * (t * x < 0)}),
        ("sign", "has the wrong sign", {"x": lambda dy, x, t: dy * t * (t * x < 1)}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def squared_error():
    """sum (x - t)^2."""
    operation = Operation(
        "squared error", ("x", "t"),
        make=lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((4, 3))),
        forward=lambda x, t: ((x - t) ** 2).sum(),
        backward=lambda dy, x, t: (2 * dy * (x - t), 2 * dy * (t - x)),
    )  # fmt: skip
    bugs = [
        ("scale", "lacks its 2", {"x": lambda dy, x, t: dy * (x - t)}),
        ("sign", "has the wrong sign", {"t": lambda dy, x, t: 2 * dy * (x - t)}),
        ("argument-ignored", "does not subtract the target", {"x": lambda dy, x, t: 2 * dy * x}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


# ---- embedding, dropout, pooling -------------------------------------------------------------------------


def scatter(W, ids, dy):
    out = numpy.zeros_like(W)
    numpy.add.at(out, ids, dy)
    return out


def overwrite(W, ids, dy):
    out = numpy.zeros_like(W)
    out[ids] = dy
    return out


def embedding():
    """y = W[ids], with equal ids among them."""
    operation = Operation(
        "embedding", ("W", "ids"),
        make=lambda rng: (rng.standard_normal((7, 3)), numpy.array([1, 4, 1, 0, 4, 4])),
        forward=lambda W, ids: W[ids],
        backward=lambda dy, W, ids: (scatter(W, ids, dy),),
    )  # fmt: skip
    bugs = [
        ("overwritten", "is overwritten where ids are equal, not added", {"W": lambda dy, W, ids: overwrite(W, ids,
            dy)}),
        ("shifted", "goes to the next row", {"W": lambda dy, W, ids: numpy.roll(scatter(W, ids, dy), 1, 0)}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def dropout(keep=0.75):
    """y = x mask / keep, with the mask given."""
    operation = Operation(
        f"dropout, keep {keep}", ("x", "mask"),
        make=lambda rng: (rng.standard_normal((5, 6)), (rng.random((5, 6)) < keep).astype("int8")),
        forward=lambda x, mask: x * mask / keep,
        backward=lambda dy, x, mask: (dy * mask / keep,),
    )  # fmt: skip
    bugs = [
        ("mask-missing", "lacks the mask", {"x": lambda dy, x, mask: dy / keep}),
        ("scale", "is not divided by keep", {"x": lambda dy, x, mask: dy * mask}),
    ]
    return [Bug(operation, *bug) for bug in bugs]


def blocks(x):
    """View (N, H, W_, C) as (N, H / 2, W_ / 2, C, 4)."""
    N, H, W, C = x.shape
    return x.reshape(N, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 5, 2, 4).reshape(N, H // 2, W // 2, C, 4)


def unblocks(b):
    N, H, W, C, _ = b.shape
    return b.reshape(N, H, W, C, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(N, 2 * H, 2 * W, C)


def pooling(kind="max"):
    """Pooling of 2 x 2 pixels."""
    first = lambda x: (numpy.arange(4) == blocks(x).argmax(-1)[..., None]).astype(x.dtype)
    share = first if kind == "max" else lambda x: numpy.full(blocks(x).shape, 0.25, x.dtype)
    operation = Operation(
        f"{kind} pooling", ("x",),
        make=lambda rng: (rng.standard_normal((2, 4, 6, 2)),),
        forward=lambda x: (blocks(x) * share(x)).sum(-1),
        backward=lambda dy, x: (unblocks(share(x) * dy[..., None]),),
    )  # fmt: skip
    if kind == "max":
        bugs = [
            ("mask-missing", "goes to the whole window", {"x": lambda dy,
                x: unblocks(1 + 0 * share(x)) * unblocks(dy[..., None] + 0 * share(x))}),
            ("wrong-place", "goes to the first pixel of each window", {"x": lambda dy, x: unblocks(dy[..., None] * [1,
                0, 0, 0])}),
            ("wrong-place", "goes to the least pixel of each window", {"x": lambda dy, x: unblocks(first(-x) * dy[...,
                None])}),
        ]
    else:
        bugs = [
            ("scale", "is not divided by the window's size", {"x": lambda dy, x: unblocks(dy[...,
                None] + 0 * share(x))}),
            ("wrong-place", "goes to the first pixel of each window", {"x": lambda dy, x: unblocks(dy[..., None] * [1,
                0, 0, 0])}),
        ]
    return [Bug(operation, *bug) for bug in bugs]
