"""What makes of D's score a log ratio: calibration, a critic's last layer, and D trained on."""

import numpy as np
import pytest
from test_samplers import NEAR, demand_samples_of, drs, exact

from scratchgan import samplers
from scratchgan.data import Batches
from scratchgan.layers import Dense, LeakyReLU, Sequential
from scratchgan.support.errors import UserError


def test_calibration_finds_the_line_and_its_scores_say_so():
    judged, rng = exact(NEAR, slope=0.4, intercept=-0.8), np.random.default_rng(0)
    fresh = lambda n: (judged.d(NEAR.sample(n, rng)), judged.draw(n)[1])
    assert abs(samplers.z_statistic(*fresh(5000))) > 5
    line = samplers.calibration(*fresh(20_000))
    assert line == pytest.approx((0.4, -0.8), abs=0.05)
    judged.slope, judged.intercept = line
    assert abs(samplers.z_statistic(*fresh(5000))) < 3
    demand_samples_of(NEAR, drs(judged))


def test_calibration_does_not_depend_on_how_many_are_real():
    judged, rng = exact(NEAR), np.random.default_rng(0)
    line = samplers.calibration(judged.d(NEAR.sample(4000, rng)), judged.draw(40_000)[1])
    assert line == pytest.approx((1, 0), abs=0.1)


@pytest.mark.parametrize("sign", [0, -1])
def test_a_D_that_knows_nothing_cannot_be_calibrated(sign):
    rng = np.random.default_rng(0)
    real, fake = sign * rng.standard_normal(500), sign * (rng.standard_normal(500) - 1)
    with pytest.raises(UserError, match="cannot be calibrated"):
        samplers.calibration(real, fake)
    with pytest.raises(UserError, match="or wholly"):  # no line is the likeliest: the steeper, the likelier
        samplers.calibration(np.ones(5) + np.arange(5), -np.ones(5))


def overlapping(n=4000, seed=0):
    """Return logits of real samples, N(1, 1), and fakes, N(-1, 1), whose log ratio is 2 x."""
    rng = np.random.default_rng(seed)
    return rng.normal(1, 1, n), rng.normal(-1, 1, n)


@pytest.mark.parametrize("outliers", [[-1e6], [1e6], [-1e6, 1e6, 1e9], [-1e30]])
@pytest.mark.parametrize("n, off", [(4000, 0.05), (300, 0.4)])  # what says the contrary is to be heard, too
def test_a_logit_far_from_all_others_does_not_decide(outliers, n, off):
    """Of either kind: a real point that D is wholly sure to be none costs a likelihood 1e6 times the slope."""
    real, fake = overlapping(n)
    best = np.array(samplers.calibration(real, fake))
    for more_real, more_fake in ((outliers, []), ([], outliers)):
        line = samplers.calibration(np.r_[real, more_real], np.r_[fake, more_fake])
        assert line == pytest.approx(best, abs=off * best[0])


def test_few_real_points_beyond_most_fakes_are_no_outliers():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(2, 1, 500), np.r_[rng.normal(-1, 0.1, 20_000), rng.normal(2, 1, 200)]
    slope, intercept = samplers.calibration(real, fake)
    assert slope > 1 and 0 < slope * 2 + intercept


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("shift", [-1000.0, 0.0, 3.0])
def test_calibration_does_not_depend_on_units(scale, shift):
    real, fake = overlapping()
    slope, intercept = samplers.calibration(real, fake)
    line = samplers.calibration((real + shift) * scale, (fake + shift) * scale)
    assert line == pytest.approx((slope / scale, intercept - slope * shift), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_named(bad):
    real, fake = overlapping(50)
    fake[3] = bad
    with pytest.raises(UserError, match="not all of its logits are finite"):
        samplers.calibration(real, fake)


def test_nearly_parted_logits_have_their_steep_line():
    """Newton's whole steps run away here; a gradient that is small is not yet one that is 0."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(6, 1, 2000), np.r_[rng.normal(-6, 1, 2000), 5.0]
    slope, intercept = samplers.calibration(real, fake)
    loss = lambda a, b: (np.logaddexp(0, -a * real - b).mean() + np.logaddexp(0, a * fake + b).mean()) / 2
    best = loss(slope, intercept)
    for step in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert loss(slope + step[0], intercept + step[1]) > best


def test_logistic_regression_on_several_features_finds_their_weights():
    """p = N(m, 1), q = N(0, 1): log p / q = m x - |m|^2 / 2; a feature that is always 0 gets no weight."""
    rng, m = np.random.default_rng(0), np.array([1.0, -0.5, 0.0])
    real, fake = rng.normal(size=(20_000, 3)) + m, rng.normal(size=(20_000, 3))
    real[:, 2] = fake[:, 2] = 0
    line = samplers.logistic(real, fake, ridge=1e-6)
    assert line[:3] == pytest.approx(m, abs=0.05) and line[3] == pytest.approx(-(m @ m) / 2, abs=0.05)


def test_a_critic_becomes_a_D_by_its_last_layer_alone():
    """Its features know the log ratio, its score is of another scale and sign: wrong by all, and then right."""
    judged, rng = exact(NEAR), np.random.default_rng(0)
    best = judged.D
    last = Dense(1, 1, rng=rng)
    last.W.value[...], last.b.value[...] = -30.0, 700.0
    judged.D = Sequential(best, last)
    off = lambda: np.abs(judged.d(x) - best(x)[:, 0]).mean()
    x = NEAR.sample(500, rng)
    fresh = lambda: (judged.d(NEAR.sample(5000, rng)), judged.draw(5000)[1])
    assert off() > 100
    samplers.refit(judged, NEAR.sample(5000, rng), judged.draw(5000)[0])
    assert off() < 0.2 and abs(samplers.z_statistic(*fresh())) < 4
    assert not last.W.grad.any() and last.W.value.dtype == np.float32
    demand_samples_of(NEAR, drs(judged))


def test_tuning_brings_D_to_the_log_ratio_and_leaves_G():
    judged, rng = exact(NEAR), np.random.default_rng(0)
    best, before = judged.D, judged.G.W.value.copy()
    judged.D = Sequential(Dense(2, 32, rng=rng), LeakyReLU(0.2), Dense(32, 1, rng=rng))
    batches = Batches(NEAR.sample(20_000, rng), batch_size=256, rng=rng)
    x = NEAR.sample(500, rng)
    off = lambda: np.abs(judged.d(x) - best(x)[:, 0]).mean()
    start = off()
    samplers.tune(judged, batches, 500, lr=1e-2)
    assert off() < 0.35 and off() < start / 3
    np.testing.assert_array_equal(judged.G.W.value, before)
    samplers.tune(judged, batches, 0)
