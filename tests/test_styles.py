"""Styles: modulated convolutions, noise, who gets which style, and the path-length penalty; and bugs of public code.

That all these layers obey every law, to second order, is in the law table (`rows_styles.py`).
"""

import copy

import laws
import numpy as np
import pytest
import rows_styles
from laws import close
from test_known_bugs import caught

from scratchgan.layers import (
    Constant,
    Demodulation,
    LeakyReLU,
    ModulatedConv2d,
    Noise,
    Row,
    Styled,
    Synthesis,
    Tanh,
    conv,
)

# ---- a modulated convolution is a convolution for each sample --------------------------------------------


def modulated(seed=0, **options):
    rng = np.random.default_rng(seed)
    layer = ModulatedConv2d(3, 4, 3, 5, padding=1, rng=rng, **options).astype(np.float64)
    for path, param in layer.named_params().items():
        if path.endswith("b"):
            param.value[...] += rng.standard_normal(param.value.shape)
    return layer


def a_pair(seed=1, n=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 4, 5, 3)), rng.standard_normal((n, 5))


def weights_of(layer, w, eps=1e-8):
    """W'' of one sample, number by number (Karras et al. 2020)."""
    W, s = layer.convolution.W.value, w @ layer.style.W.value + layer.style.b.value
    own = np.zeros_like(W)
    for k, l, i, o in np.ndindex(W.shape):
        own[k, l, i, o] = s[i] * W[k, l, i, o]
    for o in range(W.shape[-1]):
        own[..., o] /= ((own[..., o] ** 2).sum() + eps) ** 0.5
    return own


def is_a_convolution_for_each_sample(eps=1e-8):
    layer = modulated()
    demodulation = layer.layers[1].layers[1].layers[1]
    demodulation.eps = eps
    x, w = a_pair()
    y = layer((x, w))
    for n in range(len(x)):
        alone = conv.correlate(x[n : n + 1], weights_of(layer, w[n], eps), layer.convolution.geometry)
        close(y[n : n + 1], alone + layer.layers[-1].b.value, rtol=1e-12)


def test_a_modulated_convolution_is_one_for_each_sample():
    is_a_convolution_for_each_sample()
    is_a_convolution_for_each_sample(eps=0.5)


def test_without_demodulation():
    layer, (x, w) = modulated(demodulate=False), a_pair()
    s = w @ layer.style.W.value + layer.style.b.value
    close(layer((x, w)), layer.convolution(x * s[:, None, None]), rtol=1e-12)
    with pytest.raises(ValueError, match="gain 2.0 is a factor of d"):
        modulated(demodulate=False, gain=2.0)


def test_outputs_have_the_variance_of_the_inputs_whatever_the_style_says():
    rng = np.random.default_rng(0)
    layer = ModulatedConv2d(32, 64, 3, 8, bias=False, gain=2.0, rng=rng).astype(np.float64)
    x = rng.standard_normal((6, 12, 12, 32))
    y = layer((x, 5 * rng.standard_normal((6, 8))))
    np.testing.assert_allclose(y.var(axis=(1, 2, 3)), 4, rtol=0.15)


def passes_where_the_style_says_nothing():
    layer = ModulatedConv2d(3, 4, 3, 5, padding=1, bias=False, rng=np.random.default_rng(0)).astype(np.float64)
    x, w = a_pair()
    assert np.abs(layer((x, 0 * w))).max() > 0.1


def test_a_style_starts_as_one():
    passes_where_the_style_says_nothing()


def test_style_bias_zero_is_caught(monkeypatch):
    """What passes is then 0 on average, and nothing at w = 0."""
    right = ModulatedConv2d.__init__

    def without_bias(self, *arguments, **options):
        right(self, *arguments, **options)
        self.style.b.value[...] = 0

    monkeypatch.setattr(ModulatedConv2d, "__init__", without_bias)
    caught(passes_where_the_style_says_nothing)


def test_eps_outside_of_the_root_is_caught(monkeypatch):
    def outside(self, s, train=True):
        W = self.weights()
        q = (W * W).sum(0)
        r = 1 / (np.sqrt((s * s) @ q) + self.eps)
        return self.gain * r, (s, q, r)

    monkeypatch.setattr(Demodulation, "forward", outside)
    is_a_convolution_for_each_sample(eps=0)
    caught(is_a_convolution_for_each_sample, 0.5)
    caught(laws.adjoint_in_x, demodulation(), np.ones((2, 3)), np.random.default_rng(0))


def demodulation():
    W = rows_styles.Param(np.random.default_rng(0).standard_normal((3, 3, 3, 2)))
    return Demodulation(W, eps=0.5)


def test_demodulation_over_the_outputs_is_caught(monkeypatch):
    """The sum over k and o in the place of k and i: right for as many outputs as inputs, to a shape checker."""
    monkeypatch.setattr(Demodulation, "weights", lambda self: self.W.effective().reshape(9, 3, 4)[:, :, [0, 0, 1, 2]])
    caught(is_a_convolution_for_each_sample)


def test_a_demodulation_that_keeps_its_weight_constant_is_caught(monkeypatch):
    monkeypatch.setattr(Demodulation, "take_in", lambda self, dq: None)
    layer, pair = modulated(), a_pair()
    laws.adjoint_in_x(layer, pair, np.random.default_rng(0))
    caught(laws.adjoint_in_params, layer, pair, np.random.default_rng(0))


def test_one_weight_in_two_places():
    layer = modulated()
    assert layer.layers[1].layers[1].layers[1].W is layer.convolution.W
    assert [path for path in layer.named_params() if path.endswith("W")] == ["style.W", "convolution.W"]
    assert copy.deepcopy(layer).layers[1].layers[1].layers[1].W is not layer.convolution.W


# ---- noise -----------------------------------------------------------------------------------------------


def noisy():
    layer = Noise(4, 5, rng=np.random.default_rng(0)).astype(np.float64)
    layer.strength.value[...] = 2
    return layer


def noise_is_each_samples_and_pixels_own():
    layer, x = noisy(), np.zeros((6, 4, 5, 3))
    n = layer.forward(x)[0] / 2
    assert len(np.unique(n[..., 0])) == 6 * 4 * 5  # each sample and pixel
    assert (n == n[..., :1]).all()  # and all of its channels
    assert not np.array_equal(n, layer.forward(x)[0] / 2)  # another one each time
    assert abs(n.std() - 1) < 0.3


def test_noise():
    noise_is_each_samples_and_pixels_own()
    layer, x = noisy(), np.ones((6, 4, 5, 3))
    assert (layer(x) == x + 2 * layer.fixed).all()  # in inference a picture repeats
    layer.fixed[...] = 0
    assert (layer(x) == x).all()
    assert not Noise(4, 5, rng=np.random.default_rng(0)).strength.value.any()


def test_noise_that_all_samples_share_is_caught(monkeypatch):
    right = Noise.draw
    shared = lambda self, shape, dtype: np.repeat(right(self, (1, *shape[1:]), dtype), shape[0], axis=0)
    monkeypatch.setattr(Noise, "draw", shared)
    caught(noise_is_each_samples_and_pixels_own)


def test_noise_drawn_again_in_backward_is_caught(monkeypatch):
    def redrawn(self, tape, dy):
        self.strength.grad += (dy * self.draw(tape[1].shape, dy.dtype)).sum()

    monkeypatch.setattr(Noise, "accumulate", redrawn)
    x, rng = np.ones((2, 4, 5, 3)), np.random.default_rng(0)
    caught(laws.adjoint_in_params, noisy(), x, rng)
    caught(laws.one_tape_serves_twice, noisy(), x, rng)


# ---- who gets which style --------------------------------------------------------------------------------


def each_layer_hears_its_own_style():
    """dL/dstyles[:, i] is what layer i alone, given that style, says of it."""
    rng = np.random.default_rng(0)
    first, second = (rows_styles.modulated(3, 3, 1, 2, rng).astype(np.float64) for _ in range(2))
    net, x, styles = Styled(first, Tanh(), second), rng.standard_normal((2, 3, 3, 3)), rng.standard_normal((2, 2, 2))
    y, tape = net.forward((x, styles))
    close(y, second((np.tanh(first((x, styles[:, 0]))), styles[:, 1])), rtol=1e-12)
    dy = rng.standard_normal(y.shape)
    (_, d_styles), _ = net.pull(tape, dy)
    h = Tanh()(first((x, styles[:, 0])))
    (_, d_second), _ = second.pull(second.forward((h, styles[:, 1]))[1], dy)
    close(d_styles[:, 1], d_second, rtol=1e-12)


def test_each_layer_hears_its_own_style():
    each_layer_hears_its_own_style()


def test_one_style_for_all_layers_is_caught(monkeypatch):
    monkeypatch.setattr(Row, "apply", lambda self, x: x[:, 0])
    caught(each_layer_hears_its_own_style)


def test_styles_are_counted_and_another_number_is_refused():
    rng = np.random.default_rng(0)
    layers = [ModulatedConv2d(2, 2, 1, 4, rng=rng), LeakyReLU(0.2), Noise(3, 3, rng=rng)]
    net = Synthesis((3, 3, 2), *layers, ModulatedConv2d(2, 1, 1, 4, demodulate=False, rng=rng), rng=rng)
    assert net.styles == 2 and repr(net) == "Synthesis of 2 styles"
    assert net(np.zeros((5, 2, 4), np.float32)).shape == (5, 3, 3, 1)
    for shape in ((5, 1, 4), (5, 3, 4), (5, 4)):
        with pytest.raises(ValueError, match=r"Styled of 4 layers: styles have shape .*, wanted \(N, 2, F\): one"):
            net(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"Row\(1\): x has shape \(5, 1, 4\), wanted \(N, n, F\) with n at least 2"):
        Row(1)(np.zeros((5, 1, 4), np.float32))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="Row: index is -1"):
        Row(-1)
    with pytest.raises(ValueError, match=r"Noise\(4, 5\): x has shape \(2, 3, 5, 1\), wanted \(2, 4, 5, 1\)"):
        noisy().forward(np.zeros((2, 3, 5, 1)))


def test_a_constant_says_nothing_of_its_input():
    layer = Constant(2, 2, 3, rng=np.random.default_rng(0))
    y, tape = layer.forward(np.ones((4, 5), np.float32))
    assert (y == layer.start.value).all() and y.shape == (4, 2, 2, 3)
    assert not layer.pull(tape, y)[0].any()
