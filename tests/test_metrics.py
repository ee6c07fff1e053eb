"""Mode counts against cases worked out by hand and a closed form."""

import numpy as np
import pytest

from scratchgan.data import mixtures
from scratchgan.metrics.modes import coverage


def test_perfect_samples_cover_all_modes():
    ring = mixtures.ring()
    found = coverage(ring.sample(20_000, np.random.default_rng(0)), ring.centers, ring.std)
    assert (found.covered, found.modes) == (8, 8)
    assert found.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.003)  # P(|x| < 3 std) in the plane


def test_by_hand():
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.array([[0.0, 2.9], [0.1, 0.0], [10.0, 3.1], [5.0, 5.0]])
    assert coverage(points, centers, std=1.0) == (1, 3, 0.5)


def test_collapse_is_seen():
    ring = mixtures.ring()
    assert coverage(np.repeat(ring.centers[3:4], 100, axis=0), ring.centers, ring.std) == (1, 8, 1.0)
    assert coverage(np.zeros((5, 2)), ring.centers, ring.std) == (0, 8, 0.0)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.array([[np.nan, 0.0]])])
def test_no_points(points):
    with pytest.raises(ValueError, match="finite points"):
        coverage(points, np.zeros((1, 2)), 1.0)
