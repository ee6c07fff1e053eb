"""The 4,096 cells: their exact probabilities, their three names, points in them, and how far a q is from p."""

import math

import numpy as np
import pytest

from scratchgan.data import cells, mixtures
from scratchgan.metrics import cells as metrics
from scratchgan.support.errors import DataError

EVERY = np.arange(cells.CELLS)
CENTERS = (cells.words(EVERY) + 0.5) * (2 * cells.HALF / cells.SIDE) - cells.HALF  # (4096, 2)

# ---- probabilities ---------------------------------------------------------------------------------------


def integral(cell, fine=24):
    """The density's integral over a cell by Gauss's nodes, which knows nothing of erf."""
    nodes, weights = np.polynomial.legendre.leggauss(fine)
    half = cells.HALF / cells.SIDE
    x, y = np.meshgrid(*(CENTERS[cell][:, None] + half * nodes))
    density = np.exp(cells.density().log_density(np.stack([x.ravel(), y.ravel()], axis=1)))
    return density @ np.outer(weights, weights).ravel() * half**2


def probabilities_are_integrals():
    """Also of a corner, where p is 1e-27, and a difference of erfs would be 0."""
    p = cells.probabilities()
    for cell in (0, 63, 64 * 32 + 53, 64 * 10 + 20, 2080, 4095):
        assert p[cell] == pytest.approx(integral(cell), rel=1e-5, abs=0)  # the square holds nearly all


def test_probabilities_are_integrals():
    probabilities_are_integrals()
    p = cells.probabilities()
    assert p.sum() == pytest.approx(1, abs=1e-14) and p.min() > 0
    assert -(p * np.log(p)).sum() == pytest.approx(6.4504, abs=1e-4)
    picture = p.reshape(64, 64)
    for turned in (np.rot90(picture), picture.T, picture[::-1]):  # as the ring is
        np.testing.assert_allclose(turned, picture, rtol=1e-9)


def test_points_fall_as_the_probabilities_say():
    counts = np.bincount(cells.numbers(cells.load(0)), minlength=cells.CELLS)
    wanted = cells.TRAINING * cells.probabilities()
    often = wanted > 5
    chi = ((counts - wanted) ** 2 / wanted)[often].sum()
    assert abs(chi - often.sum()) < 4 * math.sqrt(2 * often.sum())
    assert counts.sum() == cells.TRAINING
    np.testing.assert_array_equal(cells.load(3), cells.load(3))
    assert not np.array_equal(cells.load(3), cells.load(4))


def test_a_point_outside_is_drawn_again(monkeypatch):
    monkeypatch.setattr(cells, "density", lambda: mixtures.ring(std=3.0))
    assert (np.abs(cells.points(500, np.random.default_rng(0))) < cells.HALF).all()


# ---- names -----------------------------------------------------------------------------------------------


def test_all_names_name_one_cell():
    np.testing.assert_array_equal(cells.numbers(CENTERS), EVERY)
    np.testing.assert_array_equal(cells.from_words(cells.words(EVERY)), EVERY)
    np.testing.assert_array_equal(cells.from_bits(cells.bits(EVERY)), EVERY)
    assert cells.bits(EVERY).shape == (4096, 12) and cells.bits(EVERY).dtype == np.uint8


def test_bits_go_from_coarse_to_fine_the_column_first():
    bits = cells.bits(EVERY)
    np.testing.assert_array_equal(bits[:, 0], CENTERS[:, 0] > 0)
    np.testing.assert_array_equal(bits[:, 1], CENTERS[:, 1] > 0)
    np.testing.assert_array_equal(bits[:, 2], (CENTERS[:, 0] % 3) > 1.5)
    np.testing.assert_array_equal(bits[:, 10], EVERY % 2)


def test_points_outside_are_in_the_nearest_cell():
    points = np.array([[-9.0, -9.0], [3.0, 0.01], [0.01, 1e30]])
    np.testing.assert_array_equal(cells.numbers(points), [0, 64 * 32 + 63, 64 * 63 + 32])
    with pytest.raises(DataError, match="not finite is in no cell: lower the step"):
        cells.numbers(np.array([[0.0, np.nan]]))


# ---- how far q is from p ---------------------------------------------------------------------------------


def distances_longhand(p, q):
    kl = lambda a, b: sum(x * math.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)
    m = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    tv = sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2
    return [kl(p, q), kl(q, p), kl(p, m) / 2 + kl(q, m) / 2, tv]


def distances_are_what_they_say():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(7), 2)
    assert [*metrics.compare(q, p).values()] == pytest.approx(distances_longhand(p, q), rel=1e-12)
    with_zero = np.array([0.5, 0.5, 0])
    p = np.array([0.2, 0.5, 0.3])
    found = metrics.compare(with_zero, p)
    assert found["KL(p, q)"] == math.inf and found["KL(q, p)"] == pytest.approx(0.5 * math.log(2.5))


def test_distances_are_what_they_say():
    distances_are_what_they_say()
    p = cells.probabilities()
    assert all(abs(value) < 1e-12 for value in metrics.compare(p).values())
    apart = np.zeros(4096)
    apart[0] = 1
    assert metrics.compare(apart)["JS"] == pytest.approx(math.log(2)) and metrics.compare(apart)["TV"] <= 1


@pytest.mark.parametrize("q", [np.full(4096, 1 / 4095), np.ones(3) / 3, -cells.probabilities()])
def test_what_is_no_distribution_is_refused(q):
    with pytest.raises(ValueError, match="wanted"):
        metrics.compare(q)


def test_counts_and_independent_bits():
    q = metrics.counted(np.array([5, 5, 9]), 0.5)
    assert q[5] == 2.5 / (3 + 2048) and q[9] == 1.5 / (3 + 2048) and q[0] == 0.5 / (3 + 2048)
    assert q.sum() == pytest.approx(1, abs=1e-12)
    numbers = cells.numbers(cells.load(0))
    ones, q = cells.bits(numbers).mean(axis=0), metrics.independent_bits(numbers)
    assert q.sum() == pytest.approx(1, abs=1e-12)
    wanted = math.prod(one if bit else 1 - one for one, bit in zip(ones, cells.bits(EVERY)[1234], strict=True))
    assert q[1234] == pytest.approx(wanted, rel=1e-12)


def test_baselines():
    found = metrics.baselines(0)
    assert found["floor"]["JS"] < 0.001 < found["counts + 1/2"]["JS"] < found["uniform"]["JS"]
    assert found["independent bits"]["JS"] == pytest.approx(found["uniform"]["JS"], abs=0.01)  # they tell nothing
    assert found["uniform"]["KL(p, q)"] == pytest.approx(math.log(4096) - 6.4504, abs=1e-4)
    lines = metrics.table(found).splitlines()
    assert len(lines) == 5 and "KL(p, q)" in lines[0] and lines[1].startswith("floor")


def test_a_picture_shows_y_upwards_and_black_for_the_most():
    q = np.zeros(4096)
    q[64 * 63 + 63] = 1  # the corner at the upper right
    picture = metrics.picture(q)
    assert picture.shape == (196, 2 * 194 + 2, 1)
    panel = picture[2:-2, 196:-2, 0]
    assert (panel[:3, -3:] == 0).all() and (panel[3:] == 255).all()
    first = picture[2:-2, 2:194, 0]
    assert first.min() == 0 and first[96, 96] == 255


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------


def test_a_difference_of_erfs_is_caught(monkeypatch):
    """Numbers near 1 cancel, and far cells have no probability."""
    monkeypatch.setattr(cells, "between", lambda edges, centers, std: np.diff(
        1 - cells.tail((edges - centers[:, None]) / std)))  # fmt: skip
    cells.probabilities.cache_clear()
    with pytest.raises(AssertionError):
        probabilities_are_integrals()
    cells.probabilities.cache_clear()


def test_a_divergence_the_other_way_round_is_caught(monkeypatch):
    kl = metrics.kl
    monkeypatch.setattr(metrics, "kl", lambda p, q: kl(q, p))
    with pytest.raises(AssertionError):
        distances_are_what_they_say()
