"""Rows of the law table: styles, what is put together from them, growing, attention for pictures, equalised weights."""

import numpy as np
import rows_basic
import rows_conv
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.initializers import normal
from scratchgan.layers import (
    Bias,
    Blend,
    Blur,
    Conditional,
    Constant,
    Demodulation,
    Dense,
    Fade,
    FiLM,
    Gain,
    LeakyReLU,
    ModulatedConv2d,
    Noise,
    Part,
    PictureAttention,
    Residual,
    Row,
    Sequential,
    Softplus,
    Styled,
    Synthesis,
    Tanh,
    Upsample,
)
from scratchgan.param import Param
from scratchgan.weights import equalized

size = st.integers(1, 4)
few = st.integers(1, 3)
shape = st.lists(size, min_size=2, max_size=4).map(tuple)  # (N, ..., C)


def drawn(layer, rng):
    """Give each Param that starts as zeros numbers: strengths, gains, biases and FiLMs say nothing at first."""
    for param in layer.params():
        if not param.value.any():
            param.value[...] = xp.to_device(rng.uniform(0.3, 1, param.value.shape))
    return layer


def own(draw):
    """Return a generator for a layer: not the laws' own, which moves on while they draw."""
    return np.random.default_rng(draw(size))


# ---- one by one ------------------------------------------------------------------------------------------


def row(draw, rng):
    n, rows, features = draw(size), draw(size), draw(size)
    return Row(draw(st.integers(0, rows - 1))), (n, rows, features)


def bias(draw, rng):
    x_shape = draw(shape)
    return drawn(Bias(x_shape[-1]), rng), x_shape


def constant(draw, rng):
    return Constant(*draw(st.tuples(few, few, few)), rng=rng), draw(shape)


def demodulation(draw, rng):
    n, inputs, outputs = draw(size), draw(few), draw(few)
    W = Param(normal((*draw(st.tuples(few, few)), inputs, outputs), rng, std=1.0))
    return Demodulation(W, gain=draw(st.sampled_from([1.0, 2.0**0.5])), eps=0.1), (n, inputs)


def noise(draw, rng):
    n, *sides, channels = draw(st.tuples(size, few, few, few))
    return drawn(Noise(*sides, rng=own(draw)), rng), (n, *sides, channels)


def fade(draw, rng):
    return Fade(draw(st.sampled_from([0.0, 0.3, 1.0]))), (draw(shape),) * 2


def gain(draw, rng):
    return drawn(Gain(), rng), draw(shape)


# ---- what is made of them --------------------------------------------------------------------------------


def modulated(channels, outputs, kernel, features, rng, **options):
    """A ModulatedConv2d that divides by nothing small: float32 could not follow."""
    layer = ModulatedConv2d(channels, outputs, kernel, features, padding=kernel // 2, rng=rng, **options)
    for _, part in layer.named_layers():
        if isinstance(part, Demodulation):
            part.eps = 0.3
    return drawn(layer, rng)


def modulated_conv(draw, rng):
    n, channels, features = draw(few), draw(few), draw(few)
    demodulate = draw(st.booleans())
    options = {"gain": 2.0**0.5} if demodulate and draw(st.booleans()) else {}
    kernel, with_bias = draw(st.sampled_from([1, 3])), draw(st.booleans())
    layer = modulated(channels, draw(few), kernel, features, rng, demodulate=demodulate, bias=with_bias, **options)
    return layer, ((n, *draw(st.tuples(few, few)), channels), (n, features))


def styled(draw, rng):
    """Two layers hear of styles, a FiLM and a convolution, and bend; one does not."""
    n, channels, features = draw(few), draw(few), draw(few)
    film = drawn(FiLM(features, channels, rng=rng), rng)
    layer = Styled(film, Tanh(), Dense(channels, 2, rng=rng), modulated(2, 2, 3, features, rng), Softplus())
    return layer, ((n, *draw(st.tuples(few, few)), channels), (n, 2, features))


def synthesis(draw, rng):
    """StyleGAN2's: a constant, what enlarges, noise, a picture; four numbers a style."""
    n, features = draw(few), draw(few)
    layers = [
        modulated(2, 3, 3, features, rng, gain=2.0**0.5), drawn(Noise(2, 2, rng=own(draw)), rng), LeakyReLU(0.2),
        Upsample(2), Blur((1, 2, 1)), modulated(3, 2, 3, features, rng), Tanh(),
        modulated(2, 1, 1, features, rng, demodulate=False),
    ]  # fmt: skip
    return Synthesis((2, 2, 2), *layers, rng=rng), (n, 3, features)


def skip_generator(draw, rng):
    """A sum of pictures of two sizes: containers among the layers, each with a style for all that it holds."""
    n, features = draw(few), draw(few)
    pixels = lambda channels: modulated(channels, 1, 1, features, rng, demodulate=False)
    larger = Conditional(Part(0), Upsample(2), Dense(2, 2, rng=rng), Softplus())
    body = Conditional(Part(0), Upsample(2), Tanh(), Dense(2, 1, rng=rng))
    fine = Residual(Conditional(modulated(2, 2, 3, features, rng), body), Conditional(pixels(2), Upsample(2)))
    layer = Styled(modulated(2, 2, 3, features, rng), fine)
    return Sequential(layer, larger.layers[1].layers[0]) if draw(st.booleans()) else layer, (
        (n, 2, 2, 2), (n, 2, features)
    )  # fmt: skip


def blend(draw, rng):
    """A network that grows: a small way and a longer one, both bending."""
    n, channels = draw(few), draw(few)
    old = Sequential(Dense(channels, 2, rng=rng), Tanh())
    new = Sequential(Dense(channels, 3, rng=rng), Softplus(), Dense(3, 2, rng=rng))
    return Sequential(Blend(old, new, draw(st.sampled_from([0.0, 0.25, 1.0]))), Softplus()), (n, 2, 2, channels)


def picture_attention(draw, rng):
    sides = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
    layer = drawn(PictureAttention(8, sides, rng=rng), rng)
    return layer, (draw(few), *sides, 8)


# ---- weights times a constant ----------------------------------------------------------------------------


def equalised(make):
    def made(draw, rng):
        layer, x_shape = make(draw, rng)
        return equalized(layer), x_shape

    return made


PAIRS = {"Fade": fade, "ModulatedConv2d": modulated_conv, "Styled": styled, "a picture of two sizes": skip_generator}
SMOOTH = {
    "Row": row,
    "Bias": bias,
    "Constant": constant,
    "Demodulation": demodulation,
    "Noise": noise,
    "Fade": fade,
    "Gain": gain,
    "ModulatedConv2d": modulated_conv,
    "Dense, equalised": equalised(rows_basic.dense),
    "Conv2d, equalised": equalised(rows_conv.SMOOTH["Conv2d"]),
    "ConvTranspose2d, equalised": equalised(rows_conv.SMOOTH["ConvTranspose2d"]),
}
COMPOSED = {
    "Styled": styled,
    "Synthesis": synthesis,
    "a picture of two sizes": skip_generator,
    "Blend": blend,
    "PictureAttention": picture_attention,
    "one layer three times, equalised": equalised(rows_basic.shared),
    "ModulatedConv2d, equalised": equalised(modulated_conv),
    "Synthesis, equalised": equalised(synthesis),
}
