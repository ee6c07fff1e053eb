"""Initial weights: the variances and orthogonality that the papers promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import layers
from scratchgan.initializers import glorot, he, normal, orthogonal

RNG = np.random.default_rng


@pytest.mark.parametrize("shape, fan_in, fan_out", [((400, 300), 400, 300), ((3, 3, 40, 50), 360, 450)])
def test_variances(shape, fan_in, fan_out):
    def deviation(initialize):
        W = initialize(shape, RNG(0))
        assert W.dtype == np.float32 and W.shape == shape
        assert abs(W.mean()) < 0.02 * W.std()
        return W.std()

    assert deviation(he) == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    assert deviation(glorot) == pytest.approx((2 / (fan_in + fan_out)) ** 0.5, rel=0.02)
    assert deviation(normal) == pytest.approx(0.02, rel=0.02)


def test_glorot_is_bounded():
    assert np.abs(glorot((20, 30), RNG(0))).max() <= (6 / 50) ** 0.5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple))
def test_orthogonal(shape):
    W = orthogonal(shape, RNG(0), gain=2.0).reshape(-1, shape[-1]).astype(np.float64) / 2
    gram = W.T @ W if W.shape[0] >= W.shape[1] else W @ W.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6)


def test_he_keeps_the_variance_through_relu_layers():
    rng = RNG(0)
    x = rng.standard_normal((200, 256))
    for _ in range(10):
        x = np.maximum(x @ he((256, 256), rng), 0)
    assert 0.5 < 2 * x.var() / 1 < 4  # 10 layers; a factor of sqrt(2) too little would leave 1/1024


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (2, -1), (3, 2.5)])
@pytest.mark.parametrize("initialize", [he, glorot])
def test_sides_are_whole_numbers_from_one(initialize, shape):
    with pytest.raises(ValueError, match=r"a weight of shape .* whole numbers from 1"):
        initialize(shape, np.random.default_rng(0))


@pytest.mark.parametrize("make", [
    lambda rng: layers.BatchNorm(0), lambda rng: layers.LayerNorm(0), lambda rng: layers.InstanceNorm(0),
    lambda rng: layers.GroupNorm(4, 0), lambda rng: layers.PReLU(0), lambda rng: layers.Embedding(0, 4, rng=rng),
    lambda rng: layers.Embedding(4, 0, rng=rng), lambda rng: layers.ConditionalAffine(0, 3),
    lambda rng: layers.ConditionalAffine(3, 0), lambda rng: layers.ConditionalBatchNorm(0, 3),
    lambda rng: layers.FiLM(0, 3, rng=rng), lambda rng: layers.Projection(3, 0, rng=rng),
    lambda rng: layers.LabelChannels(0, 3, rng=rng), lambda rng: layers.MinibatchDiscrimination(0, 3, rng=rng),
    lambda rng: layers.MinibatchDiscrimination(3, 0, rng=rng), lambda rng: layers.Bias(0),
    lambda rng: layers.RNN(0, 3, rng=rng), lambda rng: layers.RNN(3, 0, rng=rng),
    lambda rng: layers.RNN(-2, 3, rng=rng), lambda rng: layers.LSTM(0, 3, rng=rng),
    lambda rng: layers.LSTM(3, 0, rng=rng), lambda rng: layers.LSTM(-1, 3, rng=rng),
    lambda rng: layers.LSTM(1.5, 3, rng=rng), lambda rng: layers.GRU(0, 3, rng=rng),
    lambda rng: layers.GRU(3, 0, rng=rng),
])  # fmt: skip
def test_no_layer_has_a_weight_without_numbers(make):
    """Without an error here, NumPy's own would come later, from within a step."""
    with pytest.raises(ValueError, match=r"a weight of shape .*: its sides must be"):
        make(np.random.default_rng(0))
