"""The toy densities: their densities integrate to one, their samples follow them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgan.data import mixtures
from scratchgan.support.errors import DataError

EVERY_SET = (
    mixtures.ring,
    mixtures.grid,
    mixtures.swiss_roll,
    mixtures.two_moons,
    mixtures.checkerboard,
)
numbers = st.floats(-3, 3, allow_nan=False)
center_lists = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6)
widths = st.floats(0.1, 1.0)


def plane(half_width, n):
    """Return the middles (n^2, 2) of the cells of a square around the origin, and the area of a cell."""
    axis = (np.arange(n) + 0.5) / n * 2 * half_width - half_width
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return points, (2 * half_width / n) ** 2


@given(centers=center_lists, std=widths)
def test_a_mixture_integrates_to_one(centers, std):
    points, area = plane(3 + 8 * std, 200)  # cells of at most std / 1.8, where the middle rule errs by 1e-13
    mass = np.exp(mixtures.Mixture(centers, std).log_density(points)).sum() * area
    assert mass == pytest.approx(1, abs=1e-6)


@given(centers=center_lists, std=widths, x=st.tuples(numbers, numbers))
def test_a_mixture_has_the_density_of_its_formula(centers, std, x):
    terms = [np.exp(-((x[0] - a) ** 2 + (x[1] - b) ** 2) / (2 * std**2)) for a, b in centers]
    density = np.mean(terms) / (2 * np.pi * std**2)
    found = mixtures.Mixture(centers, std).log_density([x])[0]
    assert np.exp(found) == pytest.approx(density, rel=1e-9, abs=1e-300)


def test_the_log_density_is_finite_far_away():
    ring = mixtures.ring()
    log_density = ring.log_density([[1e4, 0.0]])
    assert log_density.dtype == np.float64
    expected = -((1e4 - 2) ** 2) / (2 * 0.02**2) - np.log(8 * 2 * np.pi * 0.02**2)
    assert log_density[0] == pytest.approx(expected, rel=1e-12)


def test_the_ring_has_eight_distinct_centres_on_its_circle():
    centers = mixtures.ring().centers
    distances = np.linalg.norm(centers[:, None] - centers, axis=-1)
    neighbour = 2 * 2.0 * np.sin(np.pi / 8)
    assert centers.shape == (8, 2)
    assert distances[~np.eye(8, dtype=bool)].min() == pytest.approx(neighbour)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 2.0)
    np.testing.assert_allclose(centers[:3], [[2, 0], [2**0.5, 2**0.5], [0, 2]], atol=1e-12)


def test_the_grid_has_the_centres_of_the_papers():
    grid = mixtures.grid()
    expected = {(-4.0 + 2 * i, -4.0 + 2 * j) for i in range(5) for j in range(5)}
    assert {tuple(center) for center in grid.centers} == expected
    assert grid.std == 0.05


@pytest.mark.parametrize("make", [mixtures.ring, mixtures.grid])
def test_the_samples_of_a_mixture_have_its_moments(make):
    mixture, n = make(), 40_000
    x = mixture.sample(n, np.random.default_rng(0)).astype(np.float64)
    nearest = np.linalg.norm(x[:, None] - mixture.centers, axis=-1).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(mixture.centers))
    expected = n / len(mixture.centers)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    freedom = len(counts) - 1
    assert chi_squared < freedom + 5 * np.sqrt(2 * freedom)
    rest = x - mixture.centers[nearest]
    assert np.abs(rest.mean(axis=0)).max() < 5 * mixture.std / np.sqrt(n)
    np.testing.assert_allclose(rest.std(axis=0), mixture.std, rtol=5 / np.sqrt(2 * n))
    assert abs(np.corrcoef(rest.T)[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("make", EVERY_SET)
def test_samples_are_reproducible_and_within_bounds(make):
    x = make().sample(5000, np.random.default_rng(3))
    assert x.shape == (5000, 2) and x.dtype == np.float32
    assert np.abs(x).max() < make().bounds < 3 * np.abs(x).max()
    np.testing.assert_array_equal(x, make().sample(5000, np.random.default_rng(3)))


@given(side=st.integers(1, 7), half_width=st.floats(0.5, 10))
def test_the_checkerboard_integrates_to_one_and_holds_its_samples(side, half_width):
    board = mixtures.Checkerboard(side, half_width)
    points, area = plane(half_width, 20 * side)
    assert np.exp(board.log_density(points)).sum() * area == pytest.approx(1)
    x = board.sample(500, np.random.default_rng(0))
    log_density = board.log_density(x)
    assert np.isfinite(log_density).all()
    assert len(np.unique(log_density)) == 1


def test_the_checkerboard_is_dark_and_light_by_turns():
    board = mixtures.checkerboard()  # squares of side 2
    dark = np.isfinite(board.log_density([[-3, -3], [-1, -3], [-1, -1], [3, 3], [3, 1], [5, 5], [-5, -3]]))
    np.testing.assert_array_equal(dark, [True, False, True, True, False, False, False])
    x = board.sample(32_000, np.random.default_rng(0))
    counts = np.histogram2d(*x.T, bins=4, range=[[-4, 4]] * 2)[0]
    assert (counts > 0).sum() == 8
    np.testing.assert_allclose(counts[counts > 0], 4000, atol=5 * np.sqrt(4000))


def test_the_swiss_roll_is_a_spiral():
    x = mixtures.swiss_roll(std=1e-6).sample(2000, np.random.default_rng(0)).astype(np.float64)
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    turns = (1.5 * np.pi * radius - angle) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-4)
    assert 1 <= radius.min() < 1.01 and 2.99 < radius.max() <= 3.0001


def test_the_two_moons_are_half_circles():
    x = mixtures.two_moons(std=1e-6).sample(2000, np.random.default_rng(0)).astype(np.float64)
    upper = np.hypot(x[:, 0] + 0.5, x[:, 1] + 0.25)
    lower = np.hypot(x[:, 0] - 0.5, x[:, 1] - 0.25)
    on_upper = np.abs(upper - 1) < 1e-4
    np.testing.assert_allclose(np.where(on_upper, upper, lower), 1, atol=1e-4)
    assert (x[on_upper, 1] > -0.2501).all() and (x[~on_upper, 1] < 0.2501).all()
    assert on_upper.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mixtures.Mixture(np.zeros((3, 3)), 1.0),
        lambda: mixtures.Mixture(np.zeros((0, 2)), 1.0),
        lambda: mixtures.Mixture([[0, 0]], 0.0),
        lambda: mixtures.Mixture([[0, 0]], float("nan")),
        lambda: mixtures.Mixture([[0, float("nan")]], 1.0),
        lambda: mixtures.ring(modes=0),
        lambda: mixtures.ring(radius=-1.0),
        lambda: mixtures.grid(side=2.5),
        lambda: mixtures.grid(spacing=0.0),
        lambda: mixtures.checkerboard(side=0),
        lambda: mixtures.swiss_roll(std=-1.0),
    ],
)
def test_a_density_that_cannot_be(make):
    with pytest.raises(DataError):
        make()
