"""Rows of the law table: dense layers, activations, shapes and containers.

A row draws (layer, what x is): a shape, of which x is drawn, an array, or a tuple of those, nested.
"""

import numpy as np
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.layers import (
    ELU,
    Concat,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Softplus,
    Surprise,
    Tanh,
)

size = st.integers(1, 5)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)


def dense(draw, rng):
    x_shape = draw(shape)
    return Dense(x_shape[-1], draw(size), bias=draw(st.booleans()), rng=rng), x_shape


def pointwise(make):
    return lambda draw, rng: (make(draw), draw(shape))


def prelu(draw, rng):
    x_shape = draw(shape)
    layer = PReLU(x_shape[-1])
    layer.a.value[...] = xp.to_device(rng.standard_normal(x_shape[-1]))
    return layer, x_shape


def reshape(draw, rng):
    n, a, b, c = draw(st.tuples(size, size, size, size))
    return Reshape(*draw(st.sampled_from([(a, b, c), (a * b, c), (c * b * a,), (1, a, b * c)]))), (n, c, b, a)


def dropout(draw, rng):
    own_rng = np.random.default_rng(0)  # not the laws' own, which moves on while they draw
    return Dropout(draw(st.sampled_from([0.0, 0.3, 0.9])), rng=own_rng), draw(shape)


def embedding(draw, rng):
    classes = draw(size)
    return Embedding(classes, draw(size), rng=rng), rng.integers(0, classes, draw(shape))


def body(draw, features, rng):
    """A small network features -> features with a smooth and a kinked activation: it bends."""
    hidden = draw(size)
    return Sequential(
        Dense(features, hidden, rng=rng), Tanh(), Dense(hidden, hidden, rng=rng), LeakyReLU(0.2),
        Dense(hidden, features, rng=rng), Softplus(),
    )  # fmt: skip


def sequential(draw, rng):
    n, features = draw(size), draw(size)
    return body(draw, features, rng), (n, features)


def empty_sequential(draw, rng):
    return Sequential(), draw(shape)


def nested(draw, rng):
    """A Sequential in a Sequential, with a layer that bends in each."""
    n, features, hidden = draw(size), draw(size), draw(size)
    inner = Sequential(Tanh(), Dense(hidden, features, rng=rng), Softplus())
    return Sequential(Dense(features, hidden, rng=rng), inner, Dense(features, 2, rng=rng), Tanh()), (n, features)


def residual(draw, rng):
    n, features = draw(size), draw(size)
    shortcut = draw(st.sampled_from([None, Dense(features, features, rng=rng), Tanh()]))
    return Residual(body(draw, features, rng), shortcut), (n, features)


def concat(draw, rng):
    n, features = draw(size), draw(size)
    linear = Dense(features, draw(size), rng=rng)
    return Concat(Sequential(), body(draw, features, rng), linear), (n, features)


def shared(draw, rng):
    n, features = draw(size), draw(size)
    twice = Dense(features, features, rng=rng)
    return Sequential(twice, Tanh(), twice, Sigmoid(), twice), (n, features)


SMOOTH = {
    "Dense": dense,
    "Tanh": pointwise(lambda draw: Tanh()),
    "Sigmoid": pointwise(lambda draw: Sigmoid()),
    "Softplus": pointwise(lambda draw: Softplus()),
    "Surprise": pointwise(lambda draw: Surprise(draw(st.sampled_from([1, -1])))),
    "Softmax": pointwise(lambda draw: Softmax()),
    "Softmax, temperature": pointwise(lambda draw: Softmax(draw(st.floats(0.5, 4)))),
    "LogSoftmax": pointwise(lambda draw: LogSoftmax()),
    "Flatten": pointwise(lambda draw: Flatten()),
    "Reshape": reshape,
    "Dropout": dropout,
    "Sequential()": empty_sequential,
    "one layer three times": shared,
    "Sequential in Sequential": nested,
}
KINKED = {
    "ReLU": pointwise(lambda draw: ReLU()),
    "LeakyReLU": pointwise(lambda draw: LeakyReLU(draw(st.sampled_from([0.0, 0.01, 0.2, 1.0])))),
    "PReLU": prelu,
    "ELU": pointwise(lambda draw: ELU(draw(st.sampled_from([0.5, 1.0, 2.0])))),
}
COMPOSED = {"Embedding": embedding, "Sequential": sequential, "Residual": residual, "Concat": concat}
