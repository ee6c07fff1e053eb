"""Rows of the law table: layers of tuples, bilinear layers of pairs, and what is made of them."""

import numpy as np
from hypothesis import strategies as st
from rows_basic import body

from scratchgan import xp
from scratchgan.initializers import normal
from scratchgan.layers import (
    Add,
    Attention,
    Causal,
    Concat,
    Conditional,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dot,
    Each,
    Embedding,
    FiLM,
    Fork,
    GaussianSample,
    InstanceNorm,
    Join,
    LeakyReLU,
    Mix,
    Modulate,
    Part,
    PixelNorm,
    Residual,
    Scores,
    Sequential,
    Softmax,
    Softplus,
    Tanh,
)

size = st.integers(1, 4)
few = st.integers(1, 3)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)
positions = st.lists(few, min_size=1, max_size=2).map(tuple)  # (L,) or (H, W)


# ---- tuples ----------------------------------------------------------------------------------------------


def fork(draw, rng):
    """A tuple of what three layers make of one x, one of them a pair."""
    n, features = draw(size), draw(size)
    linear = Dense(features, draw(size), rng=rng)
    return Fork(linear, body(draw, features, rng), Fork(Tanh(), Softplus())), (n, features)


def each(draw, rng):
    n, features, other, classes = draw(size), draw(size), draw(size), draw(size)
    inner = Each(Tanh(), Embedding(classes, 2, rng=rng))
    layer = Each(body(draw, features, rng), Dense(other, 2, rng=rng), inner)
    return layer, ((n, features), (n, other), ((n, 2), rng.integers(0, classes, n)))


def handed_on(draw, rng):
    """Labels that stay beside x, so that y is such a pair, too."""
    n, features, classes = draw(size), draw(size), draw(size)
    layer = Sequential(Each(Dense(features, 2, rng=rng), Sequential()), Fork(Sequential(Part(0), Tanh()), Part(1)))
    return layer, ((n, features), rng.integers(0, classes, n))


def join(draw, rng):
    """Parts of the shape of the first but for channels, and vectors that are spread over its positions."""
    *places, channels = draw(shape)
    other = [(places[0] if draw(st.booleans()) else places, draw(size)) for _ in range(draw(few))]
    shapes = [(n, width) if isinstance(n, int) else (*n, width) for n, width in other]
    return Join(), ((*places, channels), *shapes)


def add(draw, rng):
    """Parts of one shape, and vectors that are added at all positions of the first."""
    places = draw(shape)
    return Add(), (places, *[draw(st.sampled_from([places, (places[0], places[-1])])) for _ in range(draw(few) - 1)])


def part(draw, rng):
    """One of two or three parts, the others being of any shape."""
    shapes = tuple(draw(st.lists(shape, min_size=2, max_size=3)))
    return Part(draw(st.integers(-len(shapes), len(shapes) - 1))), shapes


def parts_that_meet(draw, rng):
    """A tuple through all of them: each part bends, and one is used twice."""
    n, a, b = draw(size), draw(size), draw(size)
    layer = Sequential(
        Each(Sequential(Dense(a, 3, rng=rng), Tanh()), Dense(b, 3, rng=rng)),
        Fork(Add(), Sequential(Part(0), Softplus()), Sequential(Join(), Dense(6, 3, rng=rng), Tanh())),
        Each(Tanh(), Sequential(), Dense(3, 3, rng=rng)), Add(), Softplus(),
    )  # fmt: skip
    return layer, ((n, a), (n, b))


# ---- pairs -----------------------------------------------------------------------------------------------


def dot(draw, rng):
    return Dot(), (draw(st.tuples(size, size)),) * 2


def modulate(draw, rng):
    x_shape = draw(shape)
    return Modulate(), (x_shape, (x_shape[0], x_shape[-1]))


def scores(draw, rng):
    n, features = draw(few), draw(few)
    queries, keys = draw(positions), draw(positions)
    return Scores(draw(st.sampled_from([1.0, 0.5, -2.0]))), ((n, *queries, features), (n, *keys, features))


def mix(draw, rng):
    n, rows, places, features = draw(few), draw(few), draw(positions), draw(few)
    columns = places[0] * (places[1] if len(places) > 1 else 1)
    return Mix(), ((n, columns if draw(st.booleans()) else rows, columns), (n, *places, features))


# ---- what is made of them --------------------------------------------------------------------------------


def mild(shape, rng):
    """W ~ N(0, 1/4): scores of 10 and more would let float32 say little of what the softmax makes of them."""
    return normal(shape, rng, std=0.5)


def attention(draw, rng):
    """Self-attention of a sequence or a picture (Zhang et al. 2019, section 3), with a residual."""
    n, channels, places = draw(few), draw(few), draw(positions)
    query, key = (Dense(channels, 2, rng=rng, initialize=mild) for _ in range(2))
    weights = Sequential(Fork(query, key), Scores(0.5), Softmax())
    values, out = Dense(channels, 3, rng=rng), Dense(3, channels, rng=rng)
    return Residual(Sequential(Fork(weights, values), Mix(), out)), (n, *places, channels)


def causal(draw, rng):
    length = draw(size)
    return Causal(), (draw(few), length, length)


def head(draw, rng):
    """One head, over a sequence or a picture; of a sequence it may be causal."""
    places, channels = draw(positions), draw(few)
    hidden = len(places) == 1 and draw(st.booleans())
    return Attention(channels, draw(few), causal=hidden, rng=rng), (draw(few), *places, channels)


def two_heads(draw, rng):
    channels = draw(few)
    heads = Concat(*[Attention(channels, 2, causal=True, rng=rng) for _ in range(2)])
    return Residual(Sequential(heads, Dense(4, channels, rng=rng))), (draw(few), draw(size), channels)


def cross_attention(draw, rng):
    """A picture asks, a sequence answers."""
    n, channels, words, features = draw(few), draw(few), draw(few), draw(few)
    query, key = (Dense(size, 2, rng=rng, initialize=mild) for size in (channels, features))
    ask = Sequential(Each(query, key), Scores(0.5), Softmax())
    layer = Sequential(Fork(ask, Sequential(Part(1), Dense(features, 3, rng=rng))), Mix(), Tanh())
    return layer, ((n, *draw(positions), channels), (n, words, features))


def unet(draw, rng):
    """What comes down and up again beside what stayed (Ronneberger et al. 2015), twice."""
    n, channels = draw(st.integers(1, 2)), draw(st.integers(1, 2))

    def level(outer, inner):
        down, up = (
            kind(*sizes, 4, stride=2, padding=1, rng=rng)
            for kind, sizes in ((Conv2d, (outer, 2)), (ConvTranspose2d, (2, 1)))
        )
        return Concat(Sequential(), Sequential(down, Tanh(), *inner, up))

    lowest = level(2, [])  # 2 channels, and 1 that comes up
    middle = [lowest, Softplus(), Conv2d(3, 2, 1, rng=rng)]
    return Sequential(level(channels, middle), LeakyReLU(0.2), Conv2d(channels + 1, 1, 3, padding=1, rng=rng)), (
        n, 4, draw(st.sampled_from([4, 8])), channels
    )  # fmt: skip


def modulated_convolution(draw, rng):
    """A style times channels, a convolution, and the lengths of y's vectors set: a pair (x, w), w bending, too."""
    n, channels, latent = draw(st.integers(1, 2)), draw(few), draw(few)
    style = Sequential(Dense(latent, channels, rng=rng), Tanh())
    layer = Sequential(
        Each(Tanh(), style), Modulate(), Conv2d(channels, 2, 3, padding=1, rng=rng), PixelNorm(eps=0.3), Softplus()
    )
    return layer, ((n, *draw(st.tuples(few, few)), channels), (n, latent))


def filled(latent, channels, rng):
    """A FiLM that is not the identity that it starts as."""
    film = FiLM(latent, channels, rng=rng)
    for dense in (film.gain, film.shift):
        dense.W.value[...] = xp.to_device(rng.standard_normal(dense.W.value.shape))
    return film


def film(draw, rng):
    x_shape, latent = draw(shape), draw(size)
    return filled(latent, x_shape[-1], rng), (x_shape, (x_shape[0], latent))


def adaptive_norm(draw, rng):
    """AdaIN (Huang & Belongie 2017): channels get the mean and the deviation that a style asks for, a pair (x, s)."""
    n, channels, latent = draw(st.integers(1, 2)), draw(few), draw(few)
    layer = Conditional(InstanceNorm(channels, eps=0.3, affine=False), filled(latent, channels, rng), Tanh())
    return layer, ((n, *draw(st.tuples(few, st.integers(2, 3))), channels), (n, latent))


def gaussian_sample(draw, rng):
    x_shape = draw(shape)
    own_rng = np.random.default_rng(draw(size))  # not the laws' own, which moves on while they draw
    return GaussianSample(rng=own_rng), (x_shape, x_shape)


def autoencoder(draw, rng):
    """As in a VAE: an encoder with two heads, a sample between them, and a decoder that bends."""
    n, features, latent = draw(size), draw(few), draw(few)
    heads = Fork(Dense(features, latent, rng=rng), Dense(features, latent, rng=rng))
    sample = GaussianSample(rng=np.random.default_rng(0))
    decoder = Dense(latent, features, rng=rng), Tanh()
    return Sequential(Dense(features, features, rng=rng), Tanh(), heads, sample, *decoder), (n, features)


SMOOTH = {
    "Join": join,
    "Add": add,
    "Part": part,
    "Dot": dot,
    "Modulate": modulate,
    "Scores": scores,
    "Mix": mix,
    "Causal": causal,
    "FiLM": film,
    "GaussianSample": gaussian_sample,
}
COMPOSED = {
    "Fork": fork,
    "Each": each,
    "labels handed on": handed_on,
    "a tuple that meets": parts_that_meet,
    "self-attention": attention,
    "Attention": head,
    "two causal heads": two_heads,
    "attention between two": cross_attention,
    "a U-Net": unet,
    "an adaptive norm": adaptive_norm,
    "a sample between two networks": autoencoder,
    "a modulated convolution": modulated_convolution,
}
