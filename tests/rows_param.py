"""Rows of the law table: layers whose weights are functions of others: spectral, weight-normed, masked.

W is drawn away from zero: of a layer with one input or one output, W / sigma or V / |V| is a sign, and near its jump
float32 and differences would say nothing.
"""

import rows_basic
import rows_conv
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.weights import Masked, replace_weights, spectral_norm, weight_norm


def away_from_zero(layer, rng):
    """Give each W numbers between 1/2 and 1, of either sign."""
    for path, param in layer.named_params().items():
        if path.rpartition(".")[2] == "W":
            drawn = rng.uniform(0.5, 1, param.value.shape) * rng.choice([-1, 1], param.value.shape)
            param.value[...] = xp.to_device(drawn)
    return layer


def spectral(row):
    def make(draw, rng):
        layer, x_shape = row(draw, rng)
        return spectral_norm(away_from_zero(layer, rng), rng=rng, exact=draw(st.booleans())), x_shape

    return make


def weight_normed(row):
    def make(draw, rng):
        layer, x_shape = row(draw, rng)
        weight_norm(away_from_zero(layer, rng))
        for path, param in layer.named_params().items():
            if path.endswith(".g"):  # at first g is |V|, and code that takes one for the other passes
                param.value[...] = xp.to_device(rng.uniform(0.5, 2, param.value.shape))
        return layer, x_shape

    return make


def masked(row):
    def make(draw, rng):
        layer, x_shape = row(draw, rng)
        mask = lambda shape: xp.to_device(rng.integers(0, 2, shape))
        for path, param in layer.named_params().items():
            if path.endswith("b"):  # else an output that hears nothing would stand at the kink of what is above it
                param.value[...] = xp.to_device(rng.standard_normal(param.value.shape))
        return replace_weights(layer, lambda param: Masked(param, mask(param.value.shape))), x_shape

    return make


def of_each_kind(rows):
    """Return the rows three times: spectral, weight-normed, and masked."""
    found = {f"{name}, spectral": spectral(row) for name, row in rows.items()}
    found |= {f"{name}, weight norm": weight_normed(row) for name, row in rows.items()}
    return found | {f"{name}, masked": masked(row) for name, row in rows.items()}


SMOOTH = of_each_kind({
    "Dense": rows_basic.dense,
    "Conv2d": rows_conv.SMOOTH["Conv2d"],
    "ConvTranspose2d": rows_conv.SMOOTH["ConvTranspose2d"],
    "one layer three times": rows_basic.shared,
})  # fmt: skip
COMPOSED = of_each_kind({"Sequential": rows_basic.sequential, "convolutional network": rows_conv.network})
