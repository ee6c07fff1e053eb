"""Sequential's forward on a GPU: a bias and the ReLU or LeakyReLU after it are one kernel."""

from scratchgan import xp
from scratchgan.fast import kernels
from scratchgan.layers.activations import LeakyReLU, ReLU
from scratchgan.layers.base import LinearMap, check
from scratchgan.layers.compose import Sequential

plain_forward = Sequential.forward


def forward(self, x, train=True):
    """Return y and the tapes, the very ones that layer by layer would give."""
    if not kernels.can_take(x):
        return plain_forward(self, x, train)
    layers, tapes, done = self.layers, [], False
    for layer, after in zip(layers, (*layers, None)[1:], strict=True):
        if done:  # this activation, with the layer before it
            tape, done = x, False
        elif may_fuse(layer, after):
            check(layer, "x", x, dtype=layer.W.value.dtype)
            layer.output_shape(x.shape)
            tape, done = x, True
            y = layer.apply(layer.W.effective(), x)
            x = xp.ascontiguousarray(y)  # a subclass may return a view
            slope = after.slope if isinstance(after, LeakyReLU) else 0.0
            kernels.bias_leaky_relu(x, layer.b.value, slope)
        else:
            x, tape = layer.forward(x, train)
        tapes.append(tape)
    return x, tapes


def may_fuse(layer, after):
    """Whether a layer ends by adding b, and a ReLU follows; neither with a forward of its own."""
    if type(after) not in (ReLU, LeakyReLU) or type(layer).forward is not LinearMap.forward:
        return False
    return layer.b is not None and "forward" not in {*vars(layer), *vars(after)}
