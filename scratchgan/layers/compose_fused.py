"""Sequential's forward on a GPU: the same, but a bias and the ReLU or LeakyReLU after it are one kernel.

A reader can ignore this file: layer by layer, `Sequential.forward` gives the same y and the same tapes.
"""

from scratchgan import kernels, xp
from scratchgan.layers.base import Linear
from scratchgan.layers.pointwise import LeakyReLU, ReLU


def forward(layers, x, train):
    """Return y and the tape of each layer."""
    tapes, done = [], False
    for layer, after in zip(layers, (*layers, None)[1:], strict=True):
        if done:  # this activation, with the layer before it
            tape, done = x, False
        elif ends_in_bias(layer) and type(after) in (ReLU, LeakyReLU) and "forward" not in {*vars(layer), *vars(after)}:
            tape, done = x, True
            x = xp.ascontiguousarray(layer.product(x))  # a subclass may return a view
            kernels.bias_leaky_relu(x, layer.b.value, after.slope if isinstance(after, LeakyReLU) else 0.0)
        else:
            x, tape = layer.forward(x, train)
        tapes.append(tape)
    return x, tapes


def ends_in_bias(layer):
    """Whether the last thing that a layer's forward does is to add b: not where a subclass has one of its own."""
    return type(layer).forward is Linear.forward and layer.b is not None
