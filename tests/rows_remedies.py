"""Rows of the law table: Maxout, and the layers that look at a whole batch."""

from hypothesis import strategies as st

from scratchgan.layers import Dense, Maxout, Pack, Sequential, Tanh

size = st.integers(1, 4)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)


def maxout(draw, rng):
    *rest, features = draw(shape)
    layer = Maxout(draw(size))
    return layer, (*rest, layer.pieces * features)


def between(draw, rng):
    """As a discriminator has it: Dense, Maxout, and a layer that bends."""
    n, inputs, features, pieces = draw(size), draw(size), draw(size), draw(size)
    return Sequential(
        Dense(inputs, pieces * features, rng=rng), Maxout(pieces), Tanh(), Dense(features, 1, rng=rng)
    ), (n, inputs)


def pack(draw, rng):
    n, *rest = draw(shape)
    layer = Pack(draw(size))
    return layer, (n * layer.pack, *rest)


SMOOTH = {"Pack": pack}
COMPOSED = {"Maxout": maxout, "Maxout between Dense and Tanh": between}
