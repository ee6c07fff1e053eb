"""Every loss against its formula written longhand, its gradient against differences, and its manners at extremes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scratchgan import losses, penalties
from scratchgan.gradcheck import ridders

logits = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(1)), elements=st.floats(-9, 9))
DISCRIMINATORS = {
    "minimax": losses.minimax_discriminator,
    "minimax, smoothed": lambda real, fake: losses.minimax_discriminator(real, fake, real_target=0.9),
    "nonsaturating": losses.nonsaturating_discriminator,
    "least squares": losses.least_squares_discriminator,
    "least squares, -1 and 1": lambda real, fake: losses.least_squares_discriminator(real, fake, fake_target=-1.0),
    "wasserstein": losses.wasserstein_discriminator,
    "hinge": losses.hinge_discriminator,
}
GENERATORS = {
    "minimax": losses.minimax_generator,
    "nonsaturating": losses.nonsaturating_generator,
    "least squares": losses.least_squares_generator,
    "least squares, 0": lambda fake: losses.least_squares_generator(fake, target=0.0),
    "wasserstein": losses.wasserstein_generator,
    "hinge": losses.hinge_generator,
}


def D(logit):
    """The probability that a logit stands for, as the papers write it."""
    return 1 / (1 + np.exp(-logit))


LONGHAND_DISCRIMINATOR = {
    "minimax": lambda r, f: -(np.log(D(r)).mean() + np.log(1 - D(f)).mean()),
    "minimax, smoothed": lambda r, f: -((0.9 * np.log(D(r)) + 0.1 * np.log(1 - D(r))).mean() + np.log(1 - D(f)).mean()),
    "nonsaturating": lambda r, f: -(np.log(D(r)).mean() + np.log(1 - D(f)).mean()),
    "least squares": lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
    "least squares, -1 and 1": lambda r, f: ((r - 1) ** 2).mean() / 2 + ((f + 1) ** 2).mean() / 2,
    "wasserstein": lambda r, f: f.mean() - r.mean(),
    "hinge": lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
}
LONGHAND_GENERATOR = {
    "minimax": lambda f: np.log(1 - D(f)).mean(),
    "nonsaturating": lambda f: -np.log(D(f)).mean(),
    "least squares": lambda f: ((f - 1) ** 2).mean() / 2,
    "least squares, 0": lambda f: (f**2).mean() / 2,
    "wasserstein": lambda f: -f.mean(),
    "hinge": lambda f: -f.mean(),
}


def assert_gradient(f, x, gradient):
    """Assert that every element of the gradient is the derivative of f, by differences that stay clear of kinks."""
    for index in np.ndindex(x.shape):
        v = np.zeros_like(x)
        v[index] = 1
        derivative, error = ridders(f, x, v, step=0.01)
        assert abs(derivative - gradient[index]) <= 10 * error + 1e-8


def away_from_kinks(x):
    """Move numbers that lie within 0.02 of -1, 0 or 1, where a loss may have a kink."""
    near = (np.abs(x - 1) < 0.02) | (np.abs(x + 1) < 0.02) | (np.abs(x) < 0.02)
    return np.where(near, x + 0.05, x)


@pytest.mark.parametrize("name", DISCRIMINATORS)
@settings(max_examples=30, deadline=None)
@given(real=logits, fake=logits)
def test_discriminator_loss_and_gradients(name, real, fake):
    real, fake = away_from_kinks(real), away_from_kinks(fake)
    f = DISCRIMINATORS[name]
    loss, d_real, d_fake = f(real, fake)
    np.testing.assert_allclose(loss, LONGHAND_DISCRIMINATOR[name](real, fake), rtol=1e-9, atol=1e-12)
    assert_gradient(lambda x: f(x, fake)[0], real, d_real)
    assert_gradient(lambda x: f(real, x)[0], fake, d_fake)


@pytest.mark.parametrize("name", GENERATORS)
@settings(max_examples=30, deadline=None)
@given(fake=logits)
def test_generator_loss_and_gradient(name, fake):
    fake = away_from_kinks(fake)
    loss, d_fake = GENERATORS[name](fake)
    np.testing.assert_allclose(loss, LONGHAND_GENERATOR[name](fake), rtol=1e-9, atol=1e-12)
    assert_gradient(lambda x: GENERATORS[name](x)[0], fake, d_fake)


@pytest.mark.parametrize("number", [np.float64, np.float32, np.int64])
def test_a_target_of_numpy_leaves_float32_as_it_is(number):
    logits, one = np.array([[0.5], [-2.0]], dtype=np.float32), number(1)
    found = [
        losses.minimax_discriminator(logits, logits, real_target=one),
        losses.least_squares_discriminator(logits, logits, real_target=one, fake_target=one),
        losses.least_squares_generator(logits, target=one),
        losses.l1(logits, one), losses.l2(logits, one), penalties.norm_distance(logits, one),
    ]  # fmt: skip
    assert {part.dtype for parts in found for part in parts} == {np.dtype("float32")}
    assert penalties.perturb(logits, np.random.default_rng(0), number(1)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_are_finite_and_exact_at_huge_logits(dtype):
    big = np.array([[1e4], [-1e4]], dtype=dtype)
    for f in DISCRIMINATORS.values():
        loss, d_real, d_fake = f(big, big)
        assert np.isfinite(loss) and np.isfinite(d_real).all() and np.isfinite(d_fake).all()
        assert d_real.dtype == d_fake.dtype == dtype
    for f in GENERATORS.values():
        loss, d_fake = f(big)
        assert np.isfinite(loss) and np.isfinite(d_fake).all() and d_fake.dtype == dtype
    loss, d_real, d_fake = losses.minimax_discriminator(big, big)
    assert loss == 1e4  # half of each term's logits are wrong by 1e4
    np.testing.assert_array_equal(d_real, [[0.0], [-0.5]])
    np.testing.assert_array_equal(d_fake, [[0.5], [0.0]])


def test_the_saturating_loss_saturates_and_the_other_does_not():
    sure_of_a_fake = np.array([[-20.0]])
    assert abs(losses.minimax_generator(sure_of_a_fake)[1].item()) < 1e-8
    assert losses.nonsaturating_generator(sure_of_a_fake)[1].item() == pytest.approx(-1.0)


def test_small_gradients_keep_their_relative_precision():
    logit = np.array([[-30.0]], dtype=np.float32)
    _, d_fake = losses.minimax_generator(logit)
    assert d_fake.item() == pytest.approx(-np.exp(-30.0), rel=1e-5, abs=0)  # 1 - 1 / (1 + exp(x)) would give 0


def test_label_smoothing_is_one_sided():
    """The optimum of D for smoothed targets: 0.9 on real samples, and exactly 0 is asked for on fake ones."""
    at_target = np.log(np.array([[0.9 / 0.1]]))
    _, d_real, d_fake = losses.minimax_discriminator(at_target, np.array([[-1e4]]), real_target=0.9)
    assert abs(d_real.item()) < 1e-15
    assert d_fake.item() == 0.0


@settings(max_examples=40, deadline=None)
@given(x=logits, data=st.data())
def test_binary_cross_entropy_with_soft_targets(x, data):
    targets = data.draw(arrays(np.float64, x.shape, elements=st.floats(0, 1)))
    loss, gradient = losses.binary_cross_entropy(x, targets)
    longhand = -(targets * np.log(D(x)) + (1 - targets) * np.log(1 - D(x))).mean()
    np.testing.assert_allclose(loss, longhand, rtol=1e-9, atol=1e-12)
    assert_gradient(lambda x: losses.binary_cross_entropy(x, targets)[0], x, gradient)


@settings(max_examples=40, deadline=None)
@given(shape=st.sampled_from([(1, 1), (3, 2), (2, 4, 3)]), seed=st.integers(0, 1000))
def test_softmax_cross_entropy(shape, seed):
    rng = np.random.default_rng(seed)
    x, labels = 3 * rng.standard_normal(shape), rng.integers(0, shape[-1], shape[:-1])
    loss, gradient = losses.softmax_cross_entropy(x, labels)
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    np.testing.assert_allclose(loss, -np.log(np.take_along_axis(p, labels[..., None], -1)).mean())
    assert_gradient(lambda x: losses.softmax_cross_entropy(x, labels)[0], x, gradient)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.0])])
def test_softmax_cross_entropy_where_a_class_cannot_be(weights):
    """A logit of -inf, as a mask sets it, is as if the class were not there; a label that is left out may be of it."""
    masked = np.random.default_rng(0).standard_normal((3, 4))
    masked[:, 3] = -np.inf
    labels = np.array([0, 2, 1 if weights is None else 3])
    loss, gradient = losses.softmax_cross_entropy(masked, labels, weights)
    fewer, of_fewer = losses.softmax_cross_entropy(masked[:, :3], np.minimum(labels, 2), weights)
    assert abs(loss - fewer) < 1e-12 and (gradient[:, 3] == 0).all()
    assert np.abs(gradient[:, :3] - of_fewer).max() < 1e-12


def test_a_row_that_is_left_out_says_nothing():
    logits = np.array([[0.0, 1.0], [-np.inf, -np.inf], [np.nan, 0.0]])
    with np.errstate(invalid="ignore"):
        loss, gradient = losses.softmax_cross_entropy(logits, np.array([1, 0, 1]), np.array([1.0, 0, 0]))
    alone, of_alone = losses.softmax_cross_entropy(logits[:1], np.array([1]))
    assert abs(loss - alone / 3) < 1e-15 and np.allclose(gradient, [of_alone[0] / 3, [0, 0], [0, 0]])


def test_realness_where_a_class_cannot_be():
    value, gradient = losses.realness(np.array([[-np.inf, 0.0, 1.0], [800.0, -np.inf, 0.0]]))
    assert np.allclose(value[:, 0], [np.log(1 + np.e), 800])
    assert np.allclose(gradient[0], [0, 1 / (1 + np.e), np.e / (1 + np.e)])


def test_softmax_cross_entropy_at_huge_logits():
    loss, gradient = losses.softmax_cross_entropy(np.array([[1e4, -1e4]], dtype=np.float32), np.array([1]))
    assert loss == 2e4
    np.testing.assert_array_equal(gradient, [[1.0, -1.0]])


@pytest.mark.parametrize("f, longhand", [(losses.l1, lambda d: abs(d).mean()), (losses.l2, lambda d: (d**2).mean())])
def test_distances(f, longhand):
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    loss, gradient = f(x, target)
    assert loss == pytest.approx(longhand(x - target))
    assert_gradient(lambda x: f(x, target)[0], x, gradient)


def test_minima():
    """At D = 1/2 the minimax loss is 2 log 2, the value at the game's equilibrium; hinge and least squares likewise."""
    zero = np.zeros((4, 1))
    assert losses.minimax_discriminator(zero, zero)[0] == pytest.approx(2 * np.log(2))
    assert losses.hinge_discriminator(zero, zero)[0] == pytest.approx(2)
    assert losses.least_squares_discriminator(zero + 0.5, zero + 0.5)[0] == pytest.approx(1 / 4)
    assert losses.wasserstein_discriminator(zero, zero)[0] == 0


def test_errors_name_the_loss_and_what_it_wanted():
    x = np.zeros((3, 1), dtype=np.float32)
    with pytest.raises(ValueError, match=r"binary_cross_entropy: the target has shape \(3,\), wanted \(3, 1\)"):
        losses.binary_cross_entropy(x, np.zeros(3, dtype=np.float32))
    with pytest.raises(TypeError, match="minimax_generator: the input is int64"):
        losses.minimax_generator(np.zeros((3, 1), dtype=np.int64))
    with pytest.raises(ValueError, match="empty"):
        losses.hinge_generator(np.zeros((0, 1), dtype=np.float32))
    with pytest.raises(ValueError, match=r"labels are \(3, 1\), wanted \(3,\): one integer for each"):
        losses.softmax_cross_entropy(x, np.zeros((3, 1), dtype=np.int64))
    with pytest.raises(ValueError, match="got 0 to 2 for labels, wanted 0 to 1"):
        losses.softmax_cross_entropy(np.zeros((2, 2)), np.array([0, 2]))
