"""Rows of the law table: layers that take a pair (x, labels)."""

from hypothesis import strategies as st
from rows_norm import batch_shape, drawn, eps
from rows_param import away_from_zero

from scratchgan import xp
from scratchgan.layers import (
    Concat,
    Conditional,
    ConditionalAffine,
    ConditionalBatchNorm,
    Dense,
    Each,
    Embedding,
    Fork,
    Join,
    LabelChannels,
    Part,
    Projection,
    Residual,
    Sequential,
    Softplus,
    Tanh,
)
from scratchgan.weights import spectral_norm

size = st.integers(1, 4)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)


def with_labels(x_shape, classes, rng):
    """Return what x is: among the labels there may be each class more than once, or not at all."""
    return x_shape, rng.integers(0, classes, x_shape[0])


def label_channels(draw, rng):
    x_shape, classes = draw(shape), draw(size)
    return LabelChannels(classes, draw(size), rng=rng), with_labels(x_shape, classes, rng)


def projection(draw, rng):
    n, features, classes = draw(size), draw(size), draw(size)
    layer = Projection(features, classes, rng=rng)
    layer.embedding.W.value[...] = xp.to_device(rng.standard_normal((classes, features)))
    return layer, with_labels((n, features), classes, rng)


def affine(draw, rng):
    x_shape, classes = draw(shape), draw(size)
    return drawn(ConditionalAffine(classes, x_shape[-1]), rng), with_labels(x_shape, classes, rng)


def batch_norm(draw, rng):
    x_shape, classes = batch_shape(draw), draw(size)
    layer = drawn(ConditionalBatchNorm(classes, x_shape[-1], eps=draw(eps)), rng)
    return layer, with_labels(x_shape, classes, rng)


def network(draw, rng):
    """Each way for a label to enter, between layers that bend, and inside of branches."""
    n, features, hidden, classes = draw(st.integers(2, 4)), draw(size), draw(size), draw(size)
    norm = drawn(ConditionalBatchNorm(classes, hidden, eps=0.3), rng)
    body = Conditional(Dense(hidden, hidden, rng=rng), norm, Tanh())
    layer = Conditional(
        LabelChannels(classes, 2, rng=rng), Dense(features + 2, hidden, rng=rng), Softplus(),
        Residual(body), Concat(Conditional(Tanh()), Projection(hidden, classes, rng=rng)), Tanh(),
    )  # fmt: skip
    return layer, with_labels((n, features), classes, rng)


def critic(draw, rng):
    """A projection critic under spectral normalisation, its embedding included."""
    n, features, hidden, classes = draw(size), draw(size), draw(st.integers(2, 4)), draw(st.integers(2, 4))
    layer = Conditional(Dense(features, hidden, rng=rng), Tanh(), Projection(hidden, classes, rng=rng))
    spectral_norm(away_from_zero(layer, rng), rng=rng, exact=True)
    return layer, with_labels((n, features), classes, rng)


def label_encoder(draw, rng):
    """An embedding that passes through further layers, on either way to it: nothing below it has a gradient."""
    n, features, classes = draw(size), draw(size), draw(size)
    encode = lambda: [Embedding(classes, 3, rng=rng), Dense(3, 2, rng=rng), Tanh()]
    below = Each(Dense(features, 2, rng=rng), Sequential())
    layer = Sequential(
        below, Fork(Sequential(Part(0), Tanh()), Sequential(Part(1), *encode())), Join(), Dense(4, 2, rng=rng)
    )
    if draw(st.booleans()):
        layer = Sequential(below, Each(Tanh(), Sequential(*encode())), Join(), Dense(4, 2, rng=rng))
    return layer, with_labels((n, features), classes, rng)


def labels_alone(draw, rng):
    """A network whose output does not depend on x at all."""
    n, features, classes = draw(size), draw(size), draw(size)
    encode = Sequential(Part(1), Embedding(classes, 2, rng=rng), Dense(2, 2, rng=rng), Tanh())
    layer = Sequential(Each(Dense(features, 2, rng=rng), Sequential()), encode, Dense(2, 2, rng=rng), Tanh())
    return layer, with_labels((n, features), classes, rng)


SMOOTH = {
    "LabelChannels": label_channels,
    "Projection": projection,
    "ConditionalAffine": affine,
    "ConditionalBatchNorm": batch_norm,
}
COMPOSED = {
    "Conditional": network,
    "a spectral projection critic": critic,
    "a label's encoder": label_encoder,
    "labels alone": labels_alone,
}
