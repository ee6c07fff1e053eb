"""The relativistic losses against their formulas written longhand, and the properties that make them relativistic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import losses
from scratchgan.gradcheck import complex_step

PAIRED = ("relativistic", "relativistic_hinge")
AVERAGE = ("relativistic_average", "relativistic_average_hinge")
PLAYERS = ("discriminator", "generator")
AT_EQUAL_LOGITS = [
    ("relativistic", np.log(2)), ("relativistic_hinge", 1),
    ("relativistic_average", 2 * np.log(2)), ("relativistic_average_hinge", 2),
]  # fmt: skip


def loss_of(name, player):
    """Look a loss up when it is needed, so that a bug planted in the module is seen."""
    return getattr(losses, f"{name}_{player}")


def D(logit):
    return 1 / (1 + np.exp(-logit))


def longhand(name, r, f):
    """D's loss as the paper writes it, sample by sample; G's is the same with r and f exchanged."""
    r, f = r.ravel(), f.ravel()
    if name == "relativistic":
        return -sum(np.log(D(a - b)) for a, b in zip(r, f, strict=True)) / len(r)
    if name == "relativistic_hinge":
        return sum(max(0, 1 - (a - b)) for a, b in zip(r, f, strict=True)) / len(r)
    average_r, average_f = sum(r) / len(r), sum(f) / len(f)
    if name == "relativistic_average":
        on_real = sum(np.log(D(a - average_f)) for a in r) / len(r)
        return -on_real - sum(np.log(1 - D(b - average_r)) for b in f) / len(f)
    on_real = sum(max(0, 1 - (a - average_f)) for a in r) / len(r)
    return on_real + sum(max(0, 1 + (b - average_r)) for b in f) / len(f)


@st.composite
def batches(draw, name):
    """A batch of real and one of fake logits, of other sizes where the loss allows it, with no hinge near its kink."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = draw(st.sampled_from([(), (1,), (3, 2, 1)]))
    n_real = draw(st.integers(1, 6))
    n_fake = n_real if name in PAIRED else draw(st.integers(1, 6))
    scale = draw(st.sampled_from([0.3, 1.5, 4.0]))
    while True:
        r, f = scale * rng.standard_normal((n_real, *shape)), scale * rng.standard_normal((n_fake, *shape))
        margins = [r - f] if name in PAIRED else [r - f.mean(), f - r.mean()]
        if min(abs(abs(margin) - 1).min() for margin in margins) > 1e-3:
            return r, f


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", PAIRED + AVERAGE)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_value_and_gradients(name, player, data):
    r, f = data.draw(batches(name))
    loss, d_real, d_fake = loss_of(name, player)(r, f)
    roles = (r, f) if player == "discriminator" else (f, r)
    np.testing.assert_allclose(loss, longhand(name, *roles), rtol=1e-9, atol=1e-12)
    assert d_real.shape == r.shape and d_fake.shape == f.shape
    assert_gradient(lambda x: loss_of(name, player)(x, f + 0j)[0], r, d_real)
    assert_gradient(lambda x: loss_of(name, player)(r + 0j, x)[0], f, d_fake)


def assert_gradient(f, x, gradient):
    """Assert that every element of the gradient is the derivative of f, by a complex step."""
    for index in np.ndindex(x.shape):
        v = np.zeros_like(x)
        v[index] = 1
        np.testing.assert_allclose(gradient[index], complex_step(f, x, v), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", PAIRED + AVERAGE)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), shift=st.floats(-50, 50))
def test_only_differences_count(name, player, data, shift):
    """A number added to all logits changes nothing, and so the gradient along that direction is 0."""
    r, f = data.draw(batches(name))
    here, there = loss_of(name, player)(r, f), loss_of(name, player)(r + shift, f + shift)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert abs(here[1].sum() + here[2].sum()) < 1e-14


@pytest.mark.parametrize("name", PAIRED + AVERAGE)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_generators_loss_is_the_discriminators_with_the_roles_exchanged(name, data):
    r, f = data.draw(batches(name))
    loss, d_real, d_fake = loss_of(name, "generator")(r, f)
    other_loss, other_d_fake, other_d_real = loss_of(name, "discriminator")(f, r)
    np.testing.assert_allclose(loss, other_loss, rtol=1e-12)
    np.testing.assert_allclose(d_real, other_d_real, atol=1e-15)
    np.testing.assert_allclose(d_fake, other_d_fake, atol=1e-15)


@pytest.mark.parametrize("name", PAIRED + AVERAGE)
def test_the_generators_gradient_depends_on_the_real_logits(name):
    """A published relativistic GAN computes this loss for G and then overwrites it with one of the fake logits only."""
    f = np.array([[0.2], [-0.4], [0.9]])
    _, d_real, near = loss_of(name, "generator")(f + 0.5, f)
    _, _, far = loss_of(name, "generator")(f - 1.7, f)
    assert (d_real > 0).any()  # the loss falls where real samples look less real
    assert abs(near).sum() > 1.2 * abs(far).sum()  # the more real the real ones are, the harder G is pushed


@pytest.mark.parametrize("name", PAIRED + AVERAGE)
def test_the_signs(name):
    """Descent of D's loss raises real logits and lowers fake ones; descent of G's does the opposite."""
    rng = np.random.default_rng(0)
    r, f = 0.1 * rng.standard_normal((5, 1)), 0.1 * rng.standard_normal((5, 1))
    _, d_real, d_fake = loss_of(name, "discriminator")(r, f)
    assert (d_real < 0).all() and (d_fake > 0).all()
    _, d_real, d_fake = loss_of(name, "generator")(r, f)
    assert (d_real > 0).all() and (d_fake < 0).all()


@pytest.mark.parametrize("name, value", AT_EQUAL_LOGITS)
def test_the_value_where_real_and_fake_look_alike(name, value):
    """Equal logits give the value of the equilibrium, and no step of D helps: the gradients cancel sample by sample."""
    logits = np.full((4, 1), 3.7)
    for player in PLAYERS:
        loss, d_real, d_fake = loss_of(name, player)(logits, logits)
        assert loss == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(d_real, -d_fake, atol=1e-16)


@pytest.mark.parametrize("name, value", AT_EQUAL_LOGITS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_no_discriminator_gets_below_it_on_equal_samples(name, value, seed, scale):
    """With the same samples on both sides (all pairs of them, for the paired losses), equal logits are the best."""
    logits = scale * np.random.default_rng(seed).standard_normal(5)
    r, f = (np.repeat(logits, 5), np.tile(logits, 5)) if name in PAIRED else (logits, logits)
    assert loss_of(name, "discriminator")(r, f)[0] >= value - 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", PAIRED + AVERAGE)
def test_huge_logits(name, player, dtype):
    for r, f in (([1e4, -1e4], [-1e4, 1e4]), ([1e4, 1e4], [-1e4, -1e4]), ([-1e4, -1e4], [1e4, 1e4])):
        r, f = np.array(r, dtype)[:, None], np.array(f, dtype)[:, None]
        loss, d_real, d_fake = loss_of(name, player)(r, f)
        assert np.isfinite(loss) and np.isfinite(d_real).all() and np.isfinite(d_fake).all()
        assert loss.dtype == d_real.dtype == d_fake.dtype == dtype
        np.testing.assert_allclose(loss, exact_at_huge_logits(name, player, r, f), rtol=1e-6)


def exact_at_huge_logits(name, player, r, f):
    """softplus(x) and max(0, 1 + x) are max(0, x) there, but for the hinge's 1."""
    a, b = (r, f) if player == "discriminator" else (f, r)
    margin = 1.0 if "hinge" in name else 0.0
    if name in PAIRED:
        return np.where(a > b, 0, margin + b - a).mean()
    wrong = np.maximum(0, margin - (a - b.mean())).mean()
    return wrong + np.maximum(0, margin + (b - a.mean())).mean()


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", PAIRED + AVERAGE)
def test_errors(name, player):
    f = loss_of(name, player)
    x = np.zeros((3, 1), dtype=np.float32)
    with pytest.raises(ValueError, match="empty"):
        f(x[:0], x[:0])
    with pytest.raises(TypeError, match=f"{name.removesuffix('_hinge')}.* is float"):
        f(x, x.astype(np.float64))  # the difference would be float64
    if name in PAIRED:
        message = rf"{name}: real_logits \(3, 1\) and fake_logits \(3,\) are no pairs"
        with pytest.raises(ValueError, match=message):
            f(x, x[:, 0])  # would broadcast to (3, 3)
