"""Rows of the law table: layers whose weights are functions of others, under spectral and under weight normalisation.

W is drawn away from zero: of a layer with one input or one output, W / sigma or V / |V| is a sign, and near its jump
float32 and differences would say nothing.
"""

import rows_basic
import rows_conv
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.weights import spectral_norm, weight_norm


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


def both(rows):
    """Return the rows twice: spectral, and weight-normed."""
    found = {f"{name}, spectral": spectral(row) for name, row in rows.items()}
    return found | {f"{name}, weight norm": weight_normed(row) for name, row in rows.items()}


SMOOTH = both({
    "Dense": rows_basic.dense,
    "Conv2d": rows_conv.SMOOTH["Conv2d"],
    "ConvTranspose2d": rows_conv.SMOOTH["ConvTranspose2d"],
    "one layer three times": rows_basic.shared,
})  # fmt: skip
COMPOSED = both({"Sequential": rows_basic.sequential, "convolutional network": rows_conv.network})
