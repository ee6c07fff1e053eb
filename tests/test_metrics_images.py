"""Metrics of images: structural similarity, and the length of a walk through latent space."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.latent import great_circle
from scratchgan.metrics.path import path_length
from scratchgan.metrics.similarity import C1, WEIGHTS, ms_ssim, similarity_of_pairs
from scratchgan.tools.strict import strict_xp


def pictures(seed, n=6, side=28, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


# ---- multi-scale structural similarity -------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), side=st.sampled_from([11, 21, 28, 44]), channels=st.sampled_from([1, 3]))
def test_similarity_is_symmetric_and_1_for_equal_images(seed, side, channels):
    x, y = pictures(seed, 3, side, channels), pictures(seed + 1, 3, side, channels)
    np.testing.assert_allclose(ms_ssim(x, x), 1, rtol=1e-9)
    np.testing.assert_allclose(ms_ssim(x, y), ms_ssim(y, x), rtol=1e-9)
    assert (ms_ssim(x, y) < 0.5).all()
    order = np.random.default_rng(seed).permutation(3)
    np.testing.assert_allclose(ms_ssim(x[order], y[order]), ms_ssim(x, y)[order], rtol=1e-9)


def test_of_two_even_images_only_the_luminance_counts():
    """cs is 1 where nothing varies, and l = (2 a b + C1) / (a^2 + b^2 + C1), at the coarsest scale."""
    a, b = 50, 200
    x, y = np.full((1, 28, 28, 1), a, np.uint8), np.full((1, 28, 28, 1), b, np.uint8)
    luminance = (2 * a * b + C1) / (a**2 + b**2 + C1)
    assert ms_ssim(x, y)[0] == pytest.approx(luminance ** (WEIGHTS[1] / (WEIGHTS[0] + WEIGHTS[1])), rel=1e-9)
    large = np.full((1, 176, 176, 1), a, np.uint8)  # five scales: the side of the coarsest is 11
    expected = luminance ** (WEIGHTS[4] / sum(WEIGHTS))
    assert ms_ssim(large, large + np.uint8(b - a))[0] == pytest.approx(expected, rel=1e-9)


def of_windows(x, y):
    """Return the maps l and cs of two images (H, W), window by window, with the constants of Wang et al. 2004."""
    distance = np.arange(11) - 5
    window = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for i, j in np.ndindex(x.shape[0] - 10, x.shape[1] - 10):
        a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
        a_mean, b_mean = (window * a).sum(), (window * b).sum()
        a, b = a - a_mean, b - b_mean
        contrast = (2 * (window * a * b).sum() + 58.5225) / ((window * (a * a + b * b)).sum() + 58.5225)
        found.append([(2 * a_mean * b_mean + 6.5025) / (a_mean**2 + b_mean**2 + 6.5025), contrast])
    return np.array(found).T


@pytest.mark.parametrize("height, width, weights", [
    (15, 12, [1]), (28, 23, [0.0448 / 0.3304, 0.2856 / 0.3304]),
    (45, 50, [0.0448 / 0.6305, 0.2856 / 0.6305, 0.3001 / 0.6305]),
])  # fmt: skip
def test_similarity_longhand(height, width, weights):
    """Wang et al. 2003, equation 7: the luminance counts at the coarsest scale alone."""
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (height, width))
    x, y = (np.clip(clean + rng.normal(10 * i, 20, clean.shape), 0, 255).astype(np.uint8) for i in range(2))
    found, (a, b), expected = ms_ssim(x[None, :, :, None], y[None, :, :, None]), (x / 1.0, y / 1.0), 1.0
    for scale, weight in enumerate(weights, start=1):
        luminance, contrast = of_windows(a, b)
        expected *= np.mean(luminance * contrast if scale == len(weights) else contrast) ** weight
        height, width = height // 2, width // 2
        a, b = (c[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3)) for c in (a, b))
    assert found[0] == pytest.approx(expected, rel=1e-10)


def test_a_negative_has_no_similarity():
    x = pictures(0)
    assert (ms_ssim(x, 255 - x) == 0).all()


def test_less_noise_is_more_similar():
    x = pictures(0) // 2
    noise = np.random.default_rng(1).integers(0, 100, x.shape)
    values = [ms_ssim(x, (x + noise * share).astype(np.uint8)).mean() for share in (0, 0.3, 0.6, 1)]
    assert values[0] == pytest.approx(1) and (np.diff(values) < 0).all()


def test_similarity_on_the_device():
    x, y = pictures(0), pictures(1)
    expected = ms_ssim(x, y)
    with xp.using(strict_xp):
        np.testing.assert_allclose(ms_ssim(x, y), expected)
        np.testing.assert_allclose(ms_ssim(xp.to_device(x), xp.to_device(y)), expected)
        pairs = {"rng": np.random.default_rng(0), "pairs": 3}
        assert 0 <= similarity_of_pairs(xp.to_device(x), **pairs) < 0.5


def test_similarity_of_pairs():
    same = np.repeat(pictures(0, n=1), 5, axis=0)
    assert similarity_of_pairs(same, rng=np.random.default_rng(0), pairs=20) == pytest.approx(1)
    two = np.concatenate([same[:1], 255 - same[:1]])  # each pair is of different images
    assert similarity_of_pairs(two, rng=np.random.default_rng(0), pairs=20) == 0


def test_errors():
    x = pictures(0)
    for a, b in ((x, x[1:]), (x / 255, x / 255), (x[0], x[0]), (x[:0], x[:0])):
        with pytest.raises(ValueError, match="wanted uint8"):
            ms_ssim(a, b)
    with pytest.raises(ValueError, match="10 x 10 are smaller than its window of 11"):
        ms_ssim(pictures(0, side=10), pictures(1, side=10))
    with pytest.raises(ValueError, match="1 images"):
        similarity_of_pairs(x[:1], rng=np.random.default_rng(0))


# ---- perceptual path length ------------------------------------------------------------------------------


def normal(n, rng):
    return rng.standard_normal((n, 3))


def on_sphere(n, rng):
    z = rng.standard_normal((n, 3))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_path_length_on_the_sphere():
    """z moves along a great circle at the speed w, its length: E w^2 = pi^2 / 2 - 2 for random ends on a sphere."""
    found = path_length(lambda z: z, on_sphere, rng=np.random.default_rng(0), n=20_000)
    assert found == pytest.approx(np.pi**2 / 2 - 2, rel=0.03)  # the angle's density is sin(w) / 2
    twice = path_length(lambda z: 2 * z + 1, on_sphere, rng=np.random.default_rng(0), n=20_000)
    assert twice == pytest.approx(4 * found, rel=1e-5)


def test_path_length_of_a_collapsed_generator_is_0():
    assert path_length(lambda z: 0 * z + 3, normal, rng=np.random.default_rng(0), n=10) == 0


def test_path_length_on_the_device():
    f = lambda z: z @ z.T @ z
    small = {"n": 20, "epsilon": 1e-3}
    expected = path_length(f, normal, rng=np.random.default_rng(0), **small)
    with xp.using(strict_xp):
        assert path_length(f, normal, rng=np.random.default_rng(0), **small) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"epsilon": 0.0}, {"epsilon": 1.0}])
def test_path_length_errors(wrong):
    with pytest.raises(ValueError, match="path_length: n is"):
        path_length(lambda z: z, normal, rng=np.random.default_rng(0), **wrong)


def test_great_circle_takes_a_time_for_each_walk():
    a, b = normal(4, np.random.default_rng(0)), normal(4, np.random.default_rng(1))
    times = np.array([[0.0], [0.25], [0.7], [1.0]])
    expected = [great_circle(a[i : i + 1], b[i : i + 1], float(t)) for i, t in enumerate(times[:, 0])]
    np.testing.assert_allclose(great_circle(a, b, times), np.concatenate(expected))
