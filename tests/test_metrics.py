"""Mode counts against cases worked out by hand and a closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.data import mixtures
from scratchgan.metrics.modes import class_counts, counts, coverage, divergences
from scratchgan.tools.strict import strict_xp


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


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_the_order_of_points_does_not_count(seed, n):
    rng, ring = np.random.default_rng(seed), mixtures.ring(std=0.3)
    points = ring.sample(n, rng)
    again = rng.permutation(points)
    assert coverage(again, ring.centers, ring.std) == pytest.approx(coverage(points, ring.centers, ring.std))
    np.testing.assert_array_equal(counts(again, ring.centers), counts(points, ring.centers))
    labels = rng.integers(0, 4, n)
    np.testing.assert_array_equal(class_counts(rng.permutation(labels), 4), class_counts(labels, 4))


def test_points_on_the_device():
    ring = mixtures.ring()
    points = ring.sample(100, np.random.default_rng(0))
    with xp.using(strict_xp):
        found = coverage(xp.to_device(points), xp.to_device(ring.centers), ring.std)
    assert found == coverage(points, ring.centers, ring.std)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.array([[np.nan, 0.0]]), np.zeros((4, 3)), np.zeros(2)])
def test_no_points(points):
    for metric in (lambda: coverage(points, np.zeros((1, 2)), 1.0), lambda: counts(points, np.zeros((1, 2)))):
        with pytest.raises(ValueError, match=r"modes: points have the shape .*, wanted \(n, 2\)"):
            metric()


# ---- divergences between histograms of modes -------------------------------------------------------------


def test_counts_by_hand():
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.array([[0.0, 2.9], [0.1, 0.0], [10.0, 3.1], [4.0, 3.0]])
    assert counts(points, centers).tolist() == [3, 1, 0]
    assert class_counts([2, 0, 2], 4).tolist() == [1, 0, 2, 0]
    with xp.using(strict_xp):
        assert counts(xp.asarray(points), xp.asarray(centers)).tolist() == [3, 1, 0]
        assert class_counts(xp.asarray([2, 0, 2]), 4).tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize("K, kept", [(8, 8), (8, 4), (25, 1), (10, 9)])
def test_dropped_modes(K, kept):
    """With r of K even modes: KL(q || p) = log(K / r), and JS has the closed form below."""
    q = np.zeros(K)
    q[:kept] = 7
    share = kept / K
    js = 0.5 * (share * np.log(2 * share / (share + 1)) + (1 - share) * np.log(2)) + 0.5 * np.log(2 / (share + 1))
    assert divergences(q) == pytest.approx((np.log(K / kept), js))


def test_disjoint_modes():
    assert divergences([1, 0], [0, 1]) == (float("inf"), pytest.approx(np.log(2)))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any), st.randoms(use_true_random=False))
def test_laws_of_divergences(numbers, random):
    order = random.sample(range(len(numbers)), len(numbers))
    q, p = np.array(numbers), np.array(numbers[::-1])
    assert divergences(q, q) == (0, 0)
    found = divergences(q, p)
    assert found.reverse_kl >= 0 and 0 <= found.jensen_shannon <= np.log(2) + 1e-12
    assert divergences(p, q).jensen_shannon == pytest.approx(found.jensen_shannon)
    assert divergences(q[order], p[order]) == pytest.approx(found)


def test_the_bias_of_reverse_kl():
    """Of n perfect samples it is (K - 1) / (2 n) on average, nearly."""
    rng = np.random.default_rng(0)
    found = [divergences(rng.multinomial(2500, [1 / 8] * 8)).reverse_kl for _ in range(2000)]
    assert np.mean(found) == pytest.approx(7 / 5000, rel=0.1)


@pytest.mark.parametrize("wrong", [([0, 0], None), ([1, -1], None), ([1, 2], [1, 2, 3]), ([[1]], None), ([], None)])
def test_no_histograms(wrong):
    with pytest.raises(ValueError, match="divergences: "):
        divergences(*wrong)


@pytest.mark.parametrize("wrong", [[], [0.5], [-1], [4], [[1]]])
def test_no_labels(wrong):
    with pytest.raises(ValueError, match="class_counts: labels are"):
        class_counts(wrong, 4)
