"""Rows of the law table: Maxout, and the layers that look at a whole batch."""

from hypothesis import strategies as st

from scratchgan.initializers import glorot
from scratchgan.layers import Closeness, Dense, Maxout, MinibatchDiscrimination, MinibatchStd, Pack, Sequential, Tanh

size = st.integers(1, 4)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)


def maxout(draw, rng):
    *rest, features = draw(shape)
    layer = Maxout(draw(size))
    return layer, (*rest, layer.pieces * features)


def between(draw, rng):
    """As a discriminator has it: Dense, Maxout, and a layer that bends."""
    n, inputs, features, pieces = draw(size), draw(size), draw(size), draw(size)
    layer = Sequential(
        Dense(inputs, pieces * features, rng=rng), Maxout(pieces), Tanh(), Dense(features, 1, rng=rng)
    )  # fmt: skip
    return layer, (n, inputs)


def pack(draw, rng):
    n, *rest = draw(shape)
    layer = Pack(draw(size))
    return layer, (n * layer.pack, *rest)


def minibatch_std(draw, rng):
    n, *rest = draw(shape)
    layer = MinibatchStd(draw(size), eps=draw(st.sampled_from([0.3, 1.0])))  # smaller: too steep for differences
    return layer, (n * layer.group if draw(st.booleans()) else min(n, layer.group), *rest)


def judged_together(draw, rng):
    """As at the end of a discriminator for images: the statistic goes through layers that bend."""
    n, inputs, features = draw(size), draw(size), draw(size)
    return Sequential(
        Dense(inputs, features, rng=rng), Tanh(), MinibatchStd(2, eps=0.3), Dense(features + 1, 1, rng=rng), Tanh()
    ), (2 * n, inputs)


def closeness(draw, rng):
    layer = Closeness(draw(size))
    return layer, (draw(size), layer.features * draw(size))


def discrimination(draw, rng):
    inputs, features = draw(size), draw(size)
    layer = MinibatchDiscrimination(inputs, features, draw(size), rng=rng, initialize=glorot)
    return Sequential(Dense(inputs, inputs, rng=rng), Tanh(), layer, Dense(inputs + features, 1, rng=rng)), (
        draw(size), inputs
    )  # fmt: skip


def discrimination_alone(draw, rng):
    inputs = draw(size)
    return MinibatchDiscrimination(inputs, draw(size), draw(size), rng=rng, initialize=glorot), (draw(size), inputs)


SMOOTH = {"Pack": pack, "MinibatchStd": minibatch_std, "MinibatchStd between Dense and Tanh": judged_together}
COMPOSED = {
    "Maxout": maxout,
    "Maxout between Dense and Tanh": between,
    "Closeness": closeness,
    "MinibatchDiscrimination": discrimination_alone,
    "MinibatchDiscrimination behind Tanh": discrimination,
}
