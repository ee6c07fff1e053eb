"""Sequential on a GPU, where a bias and the activation after it are one kernel: the same numbers and calls."""

import itertools

import numpy as np

from scratchgan import xp
from scratchgan.layers import Dense, LeakyReLU, ReLU, Sequential, Tanh
from scratchgan.tools.strict import strict_xp


class Doubled(Dense):
    """A layer whose forward is its own: no kernel may take its place."""

    def forward(self, x, train=True):
        y, tape = super().forward(x, train)
        return 2 * y, tape


class Bent(ReLU):
    def f(self, x):
        return x * x


def test_a_sequential_gives_the_y_and_the_tapes_of_its_layers(on_cpu):
    own = np.random.default_rng(0)
    with xp.using(strict_xp):
        dense = [kind(5, 5, rng=own, bias=bias) for kind in (Dense, Doubled) for bias in (True, False)]
        for layer in (dense[0], dense[2]):
            layer.b.value[...] = xp.to_device(own.standard_normal(5, dtype=np.float32))
        pairs = itertools.product(dense, [ReLU(), LeakyReLU(0.1), Tanh(), Bent()])
        layers = [ReLU(), *[layer for pair in pairs for layer in pair], dense[0]]
        x = xp.to_device(own.standard_normal((3, 5), dtype=np.float32))
        with strict_xp.counting() as counts:
            y, tapes = Sequential(*layers).forward(x)
        assert counts.names["bias_leaky_relu"] == 2
        for layer, tape in zip(layers, tapes, strict=True):
            x, expected = layer.forward(x)
            np.testing.assert_allclose(tape.get(), expected.get(), rtol=1e-6)
        np.testing.assert_allclose(y.get(), x.get(), rtol=1e-6)


class Turned(Dense):
    def apply(self, W, x):
        return xp.ascontiguousarray((x @ W).T).T


def test_a_product_that_is_a_view_gets_its_bias_in_the_right_places(on_cpu):
    own = np.random.default_rng(0)
    with xp.using(strict_xp):
        layer = Turned(3, 4, rng=own)
        layer.b.value[...] = xp.to_device(own.standard_normal(4, dtype=np.float32))
        x = xp.to_device(own.standard_normal((5, 3), dtype=np.float32))
        expected = ReLU()(layer(x)).get()
        np.testing.assert_allclose(Sequential(layer, ReLU())(x).get(), expected, rtol=1e-6)


def test_a_forward_that_is_replaced_on_a_layer_is_called(on_cpu):
    """Whoever looks for a NaN replaces `forward` of every layer for a moment."""
    own = np.random.default_rng(0)
    with xp.using(strict_xp):
        net, seen = Sequential(Dense(3, 3, rng=own), ReLU(), Dense(3, 3, rng=own), ReLU()), []
        for index in (0, 3):
            forward = net.layers[index].forward
            net.layers[index].forward = lambda x, train, i=index, f=forward: (seen.append(i), f(x, train))[1]
        net(xp.to_device(own.standard_normal((2, 3), dtype=np.float32)))
    assert seen == [0, 3]
