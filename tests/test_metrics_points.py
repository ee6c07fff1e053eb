"""Metrics between sets of points: one table for their laws, then each against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.metrics import points
from scratchgan.metrics.frechet import between_gaussians, frechet, square_root
from scratchgan.metrics.kernel import kernel_distance
from scratchgan.metrics.neighbours import density_coverage, memorization, precision_recall
from scratchgan.metrics.parzen import SIGMAS, log_density, log_likelihood
from scratchgan.metrics.score import score
from scratchgan.metrics.wasserstein import sliced, transport
from scratchgan.tools.strict import strict_xp

# metric of two samples -> numbers that do not depend on the order of the samples; and the least number of points
METRICS = {
    "frechet": (lambda x, y: [frechet(x, y)], 2),
    "kernel_distance": (lambda x, y: [kernel_distance(x, y)], 2),
    "precision_recall": (lambda x, y: precision_recall(x, y, k=2), 3),
    "density_coverage": (lambda x, y: density_coverage(x, y, k=2), 3),
    "memorization": (lambda x, y: memorization(x, y[::2], y[1::2])[:2], 2),
    "log_likelihood": (lambda x, y: log_likelihood(x, y, y, sigmas=(0.5, 1.0)), 1),
    "score": (lambda x, y: [score(x), score(y)], 2),
    "sliced": (lambda x, y: [sliced(x, y, rng=np.random.default_rng(0), directions=8)], 1),
    "transport": (lambda x, y: [transport(x, y)[0]], 1),
}
every_metric = pytest.mark.parametrize("name", METRICS)


def clouds(seed, n=12, D=3):
    """Two samples that overlap in part."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, D)), 0.7 * rng.standard_normal((n, D)) + 0.5


@every_metric
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(6, 20), D=st.integers(1, 4))
def test_the_order_of_samples_does_not_count(name, seed, n, D):
    metric, _ = METRICS[name]
    x, y = clouds(seed, n, D)
    rng = np.random.default_rng(seed)
    again = y.copy()  # memorization takes every other one: shuffle those among themselves
    again[::2], again[1::2] = rng.permutation(y[::2]), rng.permutation(y[1::2])
    np.testing.assert_allclose(metric(rng.permutation(x), again), metric(x, y), rtol=1e-8, atol=1e-9)


@every_metric
def test_a_gpu_would_compute_the_same(name):
    """On the stand-in for CuPy, from arrays of the host and of the device."""
    metric, _ = METRICS[name]
    x, y = clouds(0, n=30)
    expected = metric(x, y)
    assert all(type(number) is float for number in expected)
    with xp.using(strict_xp):
        np.testing.assert_allclose(metric(xp.to_device(x), xp.to_device(y)), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(metric(x, y), expected, rtol=1e-9, atol=1e-12)


@every_metric
def test_blocks_of_rows_make_no_difference(name, monkeypatch):
    metric, _ = METRICS[name]
    expected = metric(*clouds(1, n=23, D=2))
    monkeypatch.setattr(points, "BLOCK", 5)
    np.testing.assert_allclose(metric(*clouds(1, n=23, D=2)), expected, rtol=1e-9, atol=1e-12)


@every_metric
def test_inputs_are_left_alone(name):
    metric, _ = METRICS[name]
    x, y = clouds(2)
    metric(x, y)
    np.testing.assert_array_equal(np.stack([x, y]), np.stack(clouds(2)))


@every_metric
def test_errors(name):
    metric, least = METRICS[name]
    x, y = clouds(3)
    word = name.split("_")[0]
    with pytest.raises(ValueError, match=word):
        metric(x[: least - 1], y[: least - 1])
    with pytest.raises(ValueError, match=word):
        metric(x[:, 0], y[:, 0])
    with pytest.raises(ValueError, match=word):
        metric(x, np.where(y == y[1, 1], np.nan, y))
    if name != "score":  # which looks at one sample
        with pytest.raises(ValueError, match=word):
            metric(x, y[:, :2])


def test_errors_name_what_is_wrong():
    x = np.zeros((5, 2))
    with pytest.raises(ValueError, match="precision_recall: fake has 3 samples, wanted at least 4"):
        precision_recall(x, x[:3])
    with pytest.raises(ValueError, match="density_coverage: k is 0, wanted 1 or more"):
        density_coverage(x, x, k=0)
    with pytest.raises(ValueError, match="frechet: y has 3 numbers a sample, wanted 2"):
        frechet(x, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="sigmas"):
        log_likelihood(x, x, x, sigmas=(0.1, 0.0))
    with pytest.raises(ValueError, match="sigmas"):
        log_likelihood(x, x, x, sigmas=(0.1, float("nan")))
    assert log_likelihood(x, x, x, sigmas=np.array([0.5, 1.0])).sigma == 0.5


# ---- Frechet ---------------------------------------------------------------------------------------------


def with_moments(n, mean, covariance, seed=0):
    """Return n points whose mean and unbiased covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T).reshape(len(mean), -1))).T
    return x @ square_root(np.array(covariance, float)) + mean


def test_frechet_of_two_gaussians_with_commuting_covariances():
    """Then d^2 = |m_1 - m_2|^2 + sum of (std_1 - std_2)^2 along the common axes."""
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    C1, C2 = (turn @ np.diag(np.square(std)) @ turn.T for std in ([1.0, 2.0, 3.0], [2.0, 2.0, 0.5]))
    x, y = with_moments(50, [0.0, 0, 0], C1), with_moments(70, [1.0, 0, 2], C2, seed=2)
    assert frechet(x, y) == pytest.approx(5 + 1 + 0 + 2.5**2)


def test_frechet_with_covariances_that_do_not_commute():
    """Two lines at an angle: tr (C_1 C_2)^1/2 = |cos|, so d^2 = 2 - 2 |cos|; both covariances are degenerate."""
    for angle in (0.0, 0.3, math.pi / 2):
        u, v = np.array([1.0, 0]), np.array([math.cos(angle), math.sin(angle)])
        found = between_gaussians(np.zeros(2), np.outer(u, u), np.zeros(2), np.outer(v, v))
        assert found == pytest.approx(2 - 2 * abs(math.cos(angle)), abs=1e-12)


def test_frechet_of_fewer_points_than_numbers_is_exact():
    """Rank 4 in 40 dimensions: the distance is that within the 4 dimensions."""
    x, y = clouds(5, n=6, D=4)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 4)))[0]
    assert frechet(x @ basis.T, y @ basis.T) == pytest.approx(frechet(x, y), rel=1e-7)
    assert frechet(x @ basis.T, x @ basis.T) == pytest.approx(0, abs=1e-12)


def test_frechet_of_one_distribution_is_biased_upwards():
    """For D normal numbers the bias is about D (1/n + 1/m) for the mean, and positive for the covariance."""
    rng = np.random.default_rng(0)
    found = [frechet(rng.standard_normal((200, 5)), rng.standard_normal((200, 5))) for _ in range(20)]
    assert min(found) > 0 and np.mean(found) > 5 * 2 / 200


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), D=st.integers(1, 6), rank=st.integers(0, 6))
def test_square_root(seed, D, rank):
    A = np.random.default_rng(seed).standard_normal((min(rank, D), D))
    R = square_root(A.T @ A)
    np.testing.assert_allclose(R @ R, A.T @ A, atol=1e-12 * (1 + (A * A).sum()))
    np.testing.assert_allclose(R, R.T, atol=1e-12)
    assert np.linalg.matrix_rank(R, tol=1e-9) <= rank


# ---- kernel distance -------------------------------------------------------------------------------------


def test_kernel_distance_longhand():
    x, y = clouds(0, n=4)[0], clouds(0, n=6)[1]
    k = lambda a, b: (a @ b / 3 + 1) ** 3
    own = lambda z: np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    expected = own(x) + own(y) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_is_unbiased():
    """Its mean over samples of one distribution is 0 within its own error; between N(0, 1) and N(m, 1) it is known.

    With D = 1: E (a b + 1)^3 = E a^3 E b^3 + 3 E a^2 E b^2 + 3 E a E b + 1, so MMD^2 is the squared distance of
    the moments: (E a^3 - E b^3)^2 + 3 (E a^2 - E b^2)^2 + 3 (E a - E b)^2 = (m^3 + 3 m)^2 + 3 m^4 + 3 m^2.
    """
    rng, m = np.random.default_rng(0), 0.5
    for shift, expected in ((0.0, 0.0), (m, (m**3 + 3 * m) ** 2 + 3 * m**4 + 3 * m**2)):
        found = [kernel_distance(rng.standard_normal((40, 1)), rng.standard_normal((40, 1)) + shift)
                 for _ in range(400)]  # fmt: skip
        assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / 20)
        assert shift > 0 or min(found) < 0


# ---- the score -------------------------------------------------------------------------------------------


def test_score():
    sure = 1000 * np.eye(10)
    assert score(np.tile(sure, (3, 1))) == pytest.approx(10)  # one clear image of each class, three times
    assert score(sure[[0, 1, 2, 3] * 5]) == pytest.approx(4)  # six classes dropped
    assert score(sure[[7] * 5]) == 1  # collapse to one class
    assert score(np.zeros((5, 10))) == 1  # never sure
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    kl = (p * np.log(p / p.mean(0))).sum(1).mean()
    assert score(np.log(p)) == pytest.approx(math.exp(kl))


# ---- precision and recall, density and coverage ----------------------------------------------------------

MODES = np.array([[0.0, 0], [100, 0], [0, 100], [100, 100]])


def mixture(counts, seed=0):
    """Points around each of the four modes, so many around each."""
    rng = np.random.default_rng(seed)
    return np.concatenate([mode + rng.standard_normal((n, 2)) for mode, n in zip(MODES, counts, strict=True)])


def test_identical_sets():
    x = mixture([20, 20, 20, 20])
    assert precision_recall(x, x) == (1, 1)
    density, coverage = density_coverage(x, x)
    assert coverage == 1 and density == pytest.approx(6 / 5)  # each ball holds 5 neighbours and its own centre


def test_disjoint_sets():
    x = mixture([20, 20, 20, 20])
    assert precision_recall(x, x + [1e4, 0]) == (0, 0)
    assert density_coverage(x, x + [1e4, 0]) == (0, 0)


@pytest.mark.parametrize("offset", [0, 100])
def test_points_that_stand_in_one_place_hold_themselves(offset):
    """Balls of radius 0, where rounding must not decide: far from 0 it is larger."""
    x = offset + np.repeat(np.random.default_rng(0).standard_normal((3, 50)), 8, axis=0)
    assert precision_recall(x, x[::-1].copy()) == (1, 1)
    assert density_coverage(x, x[::-1].copy()).coverage == 1
    assert precision_recall(x, x + 1e-3) == (0, 0)


def test_a_dropped_mode_costs_just_its_share():
    """The fake sample is the real one without the mode that has 1/5 of the points: precision stays."""
    real = mixture([20, 40, 20, 20])
    precision, recall = precision_recall(real, real[:80])
    assert (precision, recall) == (1, 0.8)
    density, coverage = density_coverage(real, real[:80])
    assert coverage == 0.8 and density == pytest.approx(6 / 5)


def test_an_invented_mode_costs_just_its_share():
    real, fake = mixture([20, 40, 20, 0]), mixture([20, 40, 20, 20])
    assert precision_recall(real, fake) == (0.8, 1)
    density, coverage = density_coverage(real, fake)
    assert coverage == 1 and density == pytest.approx(0.8 * 6 / 5)


def test_an_outlier_fools_precision_and_not_coverage():
    """One far real point has a ball that holds everything up to there (Naeem et al. 2020, figure 1)."""
    real = np.concatenate([mixture([50, 0, 0, 0]), [[1000.0, 0]]])
    fake = mixture([0, 50, 0, 0])
    assert precision_recall(real, fake).precision == 1
    density, coverage = density_coverage(real, fake)
    assert coverage == 1 / 51 and density == 1 / 5


def test_density_and_coverage_of_one_distribution():
    """1 and 1 - prod (n - i) / (n + m - i), whatever the distribution."""
    rng = np.random.default_rng(0)
    n, m, k = 60, 40, 3
    draw = lambda size: rng.standard_normal((size, 4))
    found = np.array([density_coverage(draw(n), draw(m), k) for _ in range(300)])
    expected = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    for values, value in zip(found.T, (1, expected), strict=True):
        assert values.mean() == pytest.approx(value, abs=4 * values.std() / math.sqrt(300))


# ---- copies of training data -----------------------------------------------------------------------------


def test_memorization():
    rng = np.random.default_rng(0)
    train, held_out, fresh = (rng.standard_normal((n, 3)) for n in (300, 200, 250))
    same = memorization(train, held_out, fresh)
    assert same.nearer == pytest.approx(0.5, abs=4 * math.sqrt((200 + 250) / (12 * 200 * 250)))  # of the U statistic
    assert same.ratio == pytest.approx(1, abs=0.25)
    copies = memorization(train, held_out, train[40:90])
    assert (copies.nearer, copies.ratio) == (1, 0)
    np.testing.assert_array_equal(copies.nearest, np.arange(40, 90))
    far = memorization(train, held_out, fresh + 100)
    assert far.nearer == 0 and far.ratio > 100
    half = memorization(train, held_out, np.concatenate([train[:100], fresh[:100] + 100]))
    assert half.nearer == 0.5  # samples that are far from all data make up for copies
    assert memorization(train, held_out, held_out).nearer == 0.5


def test_memorization_by_hand():
    """Distances 1, 2, 3 of held-out points and 0, 1, 2, 30 of fake ones, which win 3, 2.5, 1.5 and 0 of 3 each."""
    column = lambda *numbers: np.array(numbers, float)[:, None]
    found = memorization(column(0, 1000), column(1, -2, 3), column(0, -1, 1002, 30))
    assert found.nearer == pytest.approx((3 + 2.5 + 1.5 + 0) / 12)
    assert found.ratio == pytest.approx(1.5 / 2)  # of medians: one far point does not count
    np.testing.assert_array_equal(found.nearest, [0, 0, 1, 0])


# ---- Parzen windows --------------------------------------------------------------------------------------


def test_log_density_of_one_sample_is_a_gaussian():
    sample, x = np.array([[0.5, -1.0]]), np.array([[0.5, -1.0], [1.5, 1.0]])
    found = log_density(sample, x, [0.5, 2.0])
    for row, s in zip(found, (0.5, 2.0), strict=True):
        expected = -np.array([0.0, 5.0]) / (2 * s**2) - np.log(2 * np.pi * s**2)
        np.testing.assert_allclose(row, expected)


def test_log_density_longhand_and_far_from_all_samples():
    samples, x = clouds(0)
    squares = ((x[:, None] - samples) ** 2).sum(-1)
    expected = np.log(np.exp(-squares / 2).mean(1)) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_density(samples, x, [1.0])[0], expected)
    assert np.isfinite(log_density(samples, x + 1e6, [0.1])).all()


def test_the_sigma_is_the_best_one_for_the_validation_data():
    """Around a single sample at 0, the best sigma for validation data of length s in each dimension is s."""
    sigmas = [0.1, 0.3, 1.0, 3.0]
    validation, test = np.full((5, 4), 0.3), np.full((3, 4), 1.0)
    found = log_likelihood(np.zeros((1, 4)), validation, test, sigmas)
    assert found.sigma == 0.3 and found.error == 0
    assert found.mean == pytest.approx(4 * (-1 / (2 * 0.09) - np.log(0.3 * np.sqrt(2 * np.pi))))


def test_the_protocol_longhand():
    """Ten sigmas, 10^(-1 + i/9); the error is that of a mean over test points, however many samples there are."""
    rng = np.random.default_rng(0)
    samples, validation, test = (rng.random((n, 3)) for n in (20, 9, 11))
    normal = lambda x, s: math.exp(-(x @ x) / (2 * s**2)) / (2 * math.pi * s**2) ** 1.5
    log_p = lambda points, s: [math.log(np.mean([normal(x - sample, s) for sample in samples])) for x in points]
    best = max((10 ** (-1 + i / 9) for i in range(10)), key=lambda s: np.mean(log_p(validation, s)))
    expected = np.mean(log_p(test, best)), np.std(log_p(test, best)) / math.sqrt(11), best
    assert log_likelihood(samples, validation, test) == pytest.approx(expected)
    assert np.allclose(SIGMAS, 10 ** np.linspace(-1, 0, 10))


def test_log_likelihood_of_many_normal_samples_nears_the_entropy():
    """E log p = -1/2 log(2 pi e) for N(0, 1); a window adds its variance to the samples', which costs a little."""
    rng = np.random.default_rng(0)
    found = log_likelihood(*(rng.standard_normal((n, 1)) for n in (4000, 1000, 4000)))
    entropy = 0.5 * np.log(2 * np.pi * np.e)
    assert -entropy - 0.03 < found.mean < -entropy + 4 * found.error
    assert found.error == pytest.approx(math.sqrt(0.5 / 4000), rel=0.2)  # log p varies by 1/2
