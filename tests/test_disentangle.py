"""What codes tell about factors: names of codes by brute force, information of known channels, the gap's extremes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan.metrics.disentangle import in_bins, matched_accuracy, mutual_information, mutual_information_gap


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 30), st.integers(0, 9999))
def test_matched_accuracy_is_the_best_of_all_namings(K, L, n, seed):
    rng = np.random.default_rng(seed)
    codes, labels = rng.integers(0, K, n), rng.integers(0, L, n)
    share, names = matched_accuracy(codes, labels)
    everywhere = max(K, L)
    best = max((np.array(naming)[codes] == labels).mean() for naming in itertools.permutations(range(everywhere)))
    assert share == pytest.approx(best) == pytest.approx((names[codes] == labels).mean())
    named = names[names >= 0]
    assert len(set(named.tolist())) == len(named)


def test_matched_accuracy_of_renamed_labels():
    labels = np.random.default_rng(0).integers(0, 10, 500)
    renaming = np.random.default_rng(1).permutation(10)
    share, names = matched_accuracy(renaming[labels], labels)
    assert share == 1
    np.testing.assert_array_equal(names[renaming], np.arange(10))


def test_information_of_known_channels():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 8, 40_000)
    assert mutual_information(a, a) == pytest.approx(np.log(8), abs=1e-3)
    assert mutual_information(a, a // 4) == pytest.approx(np.log(2), abs=1e-3)
    flipped = np.where(rng.random(len(a)) < 0.1, 1 - a % 2, a % 2)  # a binary channel that errs in 1 of 10 cases
    expected = np.log(2) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    assert mutual_information(a % 2, flipped) == pytest.approx(expected, abs=0.01)
    x = rng.standard_normal(len(a))
    assert mutual_information(x, -(x**3)) == pytest.approx(np.log(20), abs=1e-3)  # bins of equal counts


def test_information_is_symmetric_and_biased_as_stated():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(2000), rng.integers(0, 10, 2000)
    assert mutual_information(a, b) == pytest.approx(mutual_information(b, a))
    assert mutual_information(a, b) == pytest.approx(19 * 9 / 4000, rel=0.3)


def test_gap():
    rng = np.random.default_rng(0)
    factors = {"class": rng.integers(0, 10, 20_000), "angle": rng.uniform(-1, 1, 20_000)}
    codes = {"a": 9 - factors["class"], "b": factors["angle"] ** 3, "noise": rng.standard_normal(20_000)}
    gap, each = mutual_information_gap(codes, factors)
    assert gap > 0.98 and {name: best for name, (_, best) in each.items()} == {"class": "a", "angle": "b"}
    gap, _ = mutual_information_gap(codes | {"a again": codes["a"], "b again": codes["b"]}, factors)
    assert gap == 0
    assert mutual_information_gap({"x": codes["noise"], "y": rng.standard_normal(20_000)}, factors)[0] < 0.02


def test_the_gap_is_a_share_of_the_factors_entropy():
    """One code knows a bit of three, another nothing: a third. One knows a bit, another two: a third again."""
    v = np.arange(8).repeat(10)
    one, two, none = v // 4, v // 2, np.tile(np.arange(10), 8)
    for codes, best in (({"one": one, "none": none}, "one"), ({"one": one, "two": two}, "two")):
        gap, each = mutual_information_gap(codes, {"v": v})
        assert gap == pytest.approx(1 / 3) and each["v"] == (gap, best)
    _, each = mutual_information_gap({"v": v, "none": none}, {"v": v, "bit": one})
    assert each["v"][0] == pytest.approx(1) and each["bit"][0] == pytest.approx(1)


def test_numbers_are_cut_into_bins_of_equally_many():
    x = np.random.default_rng(0).permutation(np.arange(40) / 7) ** 3
    assert np.bincount(in_bins("x", x, 40, 4)).tolist() == [10] * 4
    assert np.array_equal(np.argsort(in_bins("x", np.sort(x), 40, 8), kind="stable"), np.arange(40))


def test_errors():
    a = np.arange(4)
    with pytest.raises(ValueError, match=r"labels has shape \(3,\), wanted \(4,\)"):
        matched_accuracy(a, a[:3])
    with pytest.raises(ValueError, match="codes holds -1"):
        matched_accuracy(a - 1, a)
    with pytest.raises(ValueError, match="wanted finite numbers"):
        mutual_information(np.array([0.0, np.nan]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="bins is 1, wanted 2 or more"):
        mutual_information(a / 2, a, bins=1)
    with pytest.raises(ValueError, match="wanted two codes or more"):
        mutual_information_gap({"a": a}, {"class": a})
    with pytest.raises(ValueError, match="the factor class is the same in all samples"):
        mutual_information_gap({"a": a, "b": a}, {"class": 0 * a})
