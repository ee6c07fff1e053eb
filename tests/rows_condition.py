"""Rows of the law table: layers that take labels, each given the labels of a batch, so that they are functions of x."""

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
    Given,
    LabelChannels,
    Projection,
    Residual,
    Softplus,
    Tanh,
)
from scratchgan.param import spectral_norm

size = st.integers(1, 4)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)


def given_labels(layer, n, classes, rng):
    """Give a layer labels, among which there may be each class more than once, or not at all."""
    labels = rng.integers(0, classes, n)
    given = Given(layer, labels)
    given.pair = lambda x: (x, xp.to_device(labels))  # to whichever device a law computes on
    return given


def label_channels(draw, rng):
    x_shape, classes = draw(shape), draw(size)
    return given_labels(LabelChannels(classes, draw(size), rng=rng), x_shape[0], classes, rng), x_shape


def projection(draw, rng):
    n, features, classes = draw(size), draw(size), draw(size)
    layer = Projection(features, classes, rng=rng)
    layer.embedding.W.value[...] = xp.asarray(rng.standard_normal((classes, features)))
    return given_labels(layer, n, classes, rng), (n, features)


def affine(draw, rng):
    x_shape, classes = draw(shape), draw(size)
    return given_labels(drawn(ConditionalAffine(classes, x_shape[-1]), rng), x_shape[0], classes, rng), x_shape


def batch_norm(draw, rng):
    x_shape, classes = batch_shape(draw), draw(size)
    layer = drawn(ConditionalBatchNorm(classes, x_shape[-1], eps=draw(eps)), rng)
    return given_labels(layer, x_shape[0], classes, rng), x_shape


def network(draw, rng):
    """Each way for a label to enter, between layers that bend, and inside of branches."""
    n, features, hidden, classes = draw(st.integers(2, 4)), draw(size), draw(size), draw(size)
    norm = drawn(ConditionalBatchNorm(classes, hidden, eps=0.3), rng)
    body = Conditional(Dense(hidden, hidden, rng=rng), norm, Tanh())
    layer = Conditional(
        LabelChannels(classes, 2, rng=rng), Dense(features + 2, hidden, rng=rng), Softplus(),
        Residual(body), Concat(Conditional(Tanh()), Projection(hidden, classes, rng=rng)), Tanh(),
    )  # fmt: skip
    return given_labels(layer, n, classes, rng), (n, features)


def critic(draw, rng):
    """A projection critic under spectral normalisation, its embedding included."""
    n, features, hidden, classes = draw(size), draw(size), draw(st.integers(2, 4)), draw(st.integers(2, 4))
    layer = Conditional(Dense(features, hidden, rng=rng), Tanh(), Projection(hidden, classes, rng=rng))
    spectral_norm(away_from_zero(layer, rng), rng=rng, exact=True)
    return given_labels(layer, n, classes, rng), (n, features)


SMOOTH = {
    "LabelChannels": label_channels,
    "Projection": projection,
    "ConditionalAffine": affine,
    "ConditionalBatchNorm": batch_norm,
}
COMPOSED = {"Conditional": network, "Given": critic}
