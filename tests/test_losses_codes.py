"""The losses of InfoGAN and of semi-supervised learning: formulas, gradients by differences, bounds, extremes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_losses import assert_gradient

from scratchgan import losses

shapes = st.tuples(st.integers(1, 5), st.integers(1, 4))
seeds = st.integers(0, 9999)
few = settings(max_examples=30, deadline=None)


def log_normal(c, mean, std):
    return -0.5 * ((c - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)


# ---- mutual information ----------------------------------------------------------------------------------


@few
@given(shapes, seeds)
def test_categorical_information(shape, seed):
    rng = np.random.default_rng(seed)
    x, c = 3 * rng.standard_normal(shape), rng.integers(0, shape[1], shape[0])
    loss, gradient = losses.categorical_information(x, c)
    q = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    np.testing.assert_allclose(-loss, np.log(shape[1]) + np.log(q[np.arange(len(x)), c]).mean(), atol=1e-12)
    assert_gradient(lambda x: losses.categorical_information(x, c)[0], x, gradient)


def no_more_than_the_entropy(logits, c):
    """I <= H(c), with equality for a Q that is sure and right; 0 for a Q that knows nothing."""
    K = logits.shape[1]
    for dtype in (np.float32, np.float64):  # not even by a rounding error
        for size in (1, 10, 1e4):
            assert -losses.categorical_information((size * logits).astype(dtype), c)[0] <= dtype(np.log(K))
    assert -losses.categorical_information(1e3 * np.eye(K)[c], c)[0] == pytest.approx(np.log(K))
    assert losses.categorical_information(0 * logits, c)[0] == pytest.approx(0, abs=1e-12)


@few
@given(shapes, seeds)
def test_the_bound_does_not_exceed_the_entropy(shape, seed):
    rng = np.random.default_rng(seed)
    no_more_than_the_entropy(rng.standard_normal(shape), rng.integers(0, shape[1], shape[0]))


@few
@given(shapes, seeds)
def test_gaussian_information(shape, seed):
    rng = np.random.default_rng(seed)
    c, mean, log_std = rng.uniform(-1, 1, shape), rng.standard_normal(shape), 0.5 * rng.standard_normal(shape)
    loss, d_mean, d_log_std = losses.gaussian_information(mean, log_std, c)
    longhand = np.log(2) * shape[1] + log_normal(c, mean, np.exp(log_std)).sum(1).mean()
    np.testing.assert_allclose(-loss, longhand, atol=1e-12)
    assert_gradient(lambda x: losses.gaussian_information(x, log_std, c)[0], mean, d_mean)
    assert_gradient(lambda x: losses.gaussian_information(mean, x, c)[0], log_std, d_log_std)


def test_the_gaussian_bound_is_a_bound():
    """x = c + uniform noise of width w: I(c; x) is known, and no Q may claim more."""
    rng = np.random.default_rng(0)
    for width in (0.05, 0.3, 1.0):
        c = rng.uniform(-1, 1, (20_000, 1))
        x = c + rng.uniform(-width / 2, width / 2, c.shape)
        true = np.log(2 / width) + width / 4  # h(x) - h(x | c): x is a trapezium of sides 2 and w
        bound = -losses.gaussian_information(x, np.full(c.shape, np.log(width / np.sqrt(12))), c)[0]
        assert bound <= true
        # What is missing: noise that is uniform, not normal, and Q's not knowing that codes end at -1 and 1.
        assert true - bound == pytest.approx(0.5 * np.log(2 * np.pi * np.e / 12) + width / 4, abs=0.01)


def test_no_code_is_told_more_exactly_than_exp_minus_5():
    c = np.array([[0.2, 0.2]])
    loss, _, d_log_std = losses.gaussian_information(c, np.array([[-6.0, -4.0]]), c)
    told = 2 * np.log(2) + log_normal(0, 0, np.exp(-5)) + log_normal(0, 0, np.exp(-4))
    assert -loss == pytest.approx(told)
    assert d_log_std.tolist() == [[0, 1]]


def test_gaussian_information_is_finite_at_extremes():
    c = np.zeros((1, 2), np.float32)
    for mean, log_std in ((1e4, -1e4), (1e4, 1e4), (0.0, -1e4)):
        found = losses.gaussian_information(c + np.float32(mean), c + np.float32(log_std), c)
        assert all(np.isfinite(part).all() and part.dtype == np.float32 for part in found)


# ---- K classes and a fake one ----------------------------------------------------------------------------


def with_fake_class(logits):
    """Probabilities of K + 1 classes, the logit of the last being 0."""
    x = np.hstack([logits, np.zeros((len(logits), 1))])
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def semi_supervised_is_the_game_of_K_plus_1_classes(labelled, labels, real, fake):
    loss, d_labelled, d_real, d_fake = losses.semi_supervised_discriminator(labelled, labels, real, fake)
    p = with_fake_class(labelled)
    p_class = p[np.arange(len(p)), labels] / (1 - p[:, -1])  # given that x is not fake
    longhand = -np.log(p_class).mean()
    longhand -= 0.5 * np.log(1 - with_fake_class(real)[:, -1]).mean()
    longhand -= 0.5 * np.log(with_fake_class(fake)[:, -1]).mean()
    np.testing.assert_allclose(loss, longhand, rtol=1e-9)
    f = losses.semi_supervised_discriminator
    assert_gradient(lambda x: f(x, labels, real, fake)[0], labelled, d_labelled)
    assert_gradient(lambda x: f(labelled, labels, x, fake)[0], real, d_real)
    assert_gradient(lambda x: f(labelled, labels, real, x)[0], fake, d_fake)


@few
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), seeds)
def test_semi_supervised(n, m, K, seed):
    rng = np.random.default_rng(seed)
    labelled, real, fake = (2 * rng.standard_normal((size, K)) for size in (n, m, n + m))
    semi_supervised_is_the_game_of_K_plus_1_classes(labelled, rng.integers(0, K, n), real, fake)


@few
@given(shapes, seeds)
def test_realness(shape, seed):
    x = 3 * np.random.default_rng(seed).standard_normal(shape)
    logit, gradient = losses.realness(x)
    np.testing.assert_allclose(logit, np.log(np.exp(x).sum(1, keepdims=True)), atol=1e-12)
    assert_gradient(lambda x: losses.realness(x)[0].sum(), x, gradient)


def test_semi_supervised_is_finite_at_huge_logits():
    big = np.array([[1e4, -1e4], [-1e4, -1e4]], dtype=np.float32)
    loss, *gradients = losses.semi_supervised_discriminator(big, np.array([1, 0]), big, big)
    assert np.isfinite(loss) and all(np.isfinite(g).all() and g.dtype == np.float32 for g in gradients)


# ---- feature matching ------------------------------------------------------------------------------------


@few
@given(shapes, st.integers(1, 5), seeds)
def test_feature_matching(shape, m, seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.standard_normal(shape), rng.standard_normal((m, shape[1]))
    loss, gradient = losses.feature_matching(real, fake)
    assert loss == pytest.approx(np.linalg.norm(real.mean(0) - fake.mean(0)) ** 2)
    assert_gradient(lambda x: losses.feature_matching(real, x)[0], fake, gradient)
    gradient[...] = 0  # it is an array of its own, and can be written to


def test_errors():
    x = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="got 0 to 2 for labels, wanted 0 to 1"):
        losses.categorical_information(x, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"gaussian_information: the target has shape \(3, 1\), wanted \(3, 2\)"):
        losses.gaussian_information(x, x, x[:, :1])
    with pytest.raises(ValueError, match=r"gaussian_information: log_std has shape \(1, 2\)"):
        losses.gaussian_information(x, x[:1], x)
    with pytest.raises(ValueError, match=r"features have shapes \(3, 2\) and \(3, 1\)"):
        losses.feature_matching(x, x[:, :1])
    with pytest.raises(TypeError, match="got float32 for labels"):
        losses.semi_supervised_discriminator(x, x[:, 0], x, x)
    with pytest.raises(TypeError, match="got a list for labels, wanted an array of integers"):
        losses.categorical_information(x, [0, 1, 1])
    labels = np.array([0, 1, 1])
    for real, fake, classes in ((x, x[:, :1], r"\[2, 2, 1\]"), (x[:, :1], x, r"\[2, 1, 2\]")):
        with pytest.raises(ValueError, match=f"logits of {classes} classes, wanted one K for all"):
            losses.semi_supervised_discriminator(x, labels, real, fake)
    with pytest.raises(ValueError, match=r"realness: logits have shape \(2,\), wanted \(N, K\)"):
        losses.realness(x[0])
