"""Mode counts against cases worked out by hand and a closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scratchgan.data import mixtures
from scratchgan.metrics.modes import coverage, histogram, jensen_shannon, reverse_kl


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


# ---- divergences of mode histograms ----------------------------------------------------------------------


def test_histogram_counts_the_nearest():
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    np.testing.assert_array_equal(histogram(np.array([[4.9, 0.0], [5.1, 0.0], [9.0, 9.5]]), centers), [1, 1, 1])


def test_divergences_by_hand():
    assert reverse_kl([7, 7, 7, 7]) == 0
    assert reverse_kl([0, 9, 0, 0]) == pytest.approx(np.log(4))  # one of K modes: log K
    assert reverse_kl([2, 2, 0, 0]) == pytest.approx(np.log(2))  # half of them dropped: log 2
    assert reverse_kl([1, 3], [1, 1]) == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5))
    assert reverse_kl([1, 1], [1, 0]) == np.inf
    assert reverse_kl([1, 0], [1, 1]) == pytest.approx(np.log(2))
    assert jensen_shannon([1, 0], [0, 1]) == pytest.approx(np.log(2))  # disjoint
    assert jensen_shannon([3, 3], [5, 5]) == 0


@given(arrays(np.float64, st.tuples(st.just(2), st.integers(1, 6)), elements=st.floats(1e-3, 1e3)))
def test_divergences_as_they_must_be(histograms):
    q, p = histograms
    order = np.random.default_rng(0).permutation(len(q))
    assert reverse_kl(q, p) >= 0 and 0 <= jensen_shannon(q, p) <= np.log(2) + 1e-12
    assert jensen_shannon(q, p) == pytest.approx(jensen_shannon(p, q), abs=1e-12)
    assert reverse_kl(q, p) == pytest.approx(reverse_kl(q[order], 3 * p[order]), abs=1e-12)
    assert jensen_shannon(q, p) <= (reverse_kl(q, p) + reverse_kl(p, q)) / 4 + 1e-12  # Lin 1991: JS <= J / 4


def test_the_bias_of_perfect_samples():
    """About (K - 1) / 2n: for 25 modes and 2,500 samples 0.0048."""
    rng = np.random.default_rng(0)
    values = [reverse_kl(rng.multinomial(2500, [1 / 25] * 25)) for _ in range(400)]
    assert np.mean(values) == pytest.approx(24 / 5000, rel=0.1)


@pytest.mark.parametrize("counts, reference", [([0, 0], None), ([1, -1], None), ([1, 2], [1]), ([1, np.inf], None)])
def test_what_is_no_histogram(counts, reference):
    for divergence in (reverse_kl, jensen_shannon):
        with pytest.raises(ValueError, match="histograms"):
            divergence(counts, reference)
