"""What is measured pixel by pixel, and by order alone: closed forms, brute force, laws, bad input."""

import numpy as np
import pytest

from scratchgan.metrics import pixels
from scratchgan.metrics.roc import roc_auc


def pictures(n=5, side=16, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


# ---- PSNR, absolute error, sharpness ---------------------------------------------------------------------


def test_psnr_of_a_constant_difference():
    """Each pixel off by d: MSE d^2, PSNR 20 log10(255 / d)."""
    x = np.full((3, 8, 8, 1), 100, np.uint8)
    y = x + np.array([1, 5, 51], np.uint8)[:, None, None, None]
    np.testing.assert_allclose(pixels.psnr(x, y), 20 * np.log10(255 / np.array([1, 5, 51])), rtol=1e-14)
    assert pixels.psnr(x[2:], y[2:])[0] == pytest.approx(20 * np.log10(5))  # 13.98 dB
    np.testing.assert_array_equal(pixels.absolute_error(x, y), [1, 5, 51])


def test_black_against_white_is_zero_decibels():
    """Bytes are subtracted as numbers: as bytes, 0 - 255 would be 1, and the worst picture nearly perfect."""
    black, white = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 255, np.uint8)
    for x, y in ((black, white), (white, black)):
        assert pixels.psnr(x, y)[0] == 0
        assert pixels.absolute_error(x, y)[0] == 255


def test_psnr_is_infinite_for_equal_pictures_and_says_nothing(recwarn):
    x = pictures()
    assert np.isposinf(pixels.psnr(x, x)).all()
    assert not recwarn.list


def test_psnr_by_brute_force():
    x, y = pictures(seed=1), pictures(seed=2)
    for i, found in enumerate(pixels.psnr(x, y)):
        squares = [(int(a) - int(b)) ** 2 for a, b in zip(x[i].ravel(), y[i].ravel(), strict=True)]
        assert found == pytest.approx(10 * np.log10(255**2 * len(squares) / sum(squares)), rel=1e-14)


def test_psnr_is_of_each_picture():
    """Neither does one picture change another's, nor is the mean of PSNRs that of the mean error: Jensen."""
    x, y = pictures(seed=1), pictures(seed=2)
    np.testing.assert_array_equal(pixels.psnr(x, y)[2:3], pixels.psnr(x[2:3], y[2:3]))
    y[0] = x[0] ^ 1  # nearly the same
    mse = ((x.astype(float) - y) ** 2).mean()
    assert pixels.psnr(x, y).mean() > 10 * np.log10(255**2 / mse)


def test_sharpness_of_ramps():
    """Levels that rise by a to the right and by b downwards have the slope sqrt(a^2 + b^2) everywhere."""
    down, right = np.mgrid[0:10, 0:10]
    for a, b in ((3, 4), (0, 5), (12, 0), (0, 0)):
        ramp = (a * right + b * down).astype(np.uint8)[None, :, :, None]
        assert pixels.sharpness(ramp)[0] == pytest.approx(np.hypot(a, b))
    falling = (3 * (9 - right) + 4 * (9 - down)).astype(np.uint8)[None, :, :, None]  # differences below 0
    assert pixels.sharpness(falling)[0] == pytest.approx(5)


def test_blur_makes_less_sharp():
    x = pictures()
    blurred = ((x[:, 1:, 1:].astype(float) + x[:, :-1, 1:] + x[:, 1:, :-1] + x[:, :-1, :-1]) / 4).astype(np.uint8)
    assert (pixels.sharpness(blurred) < 0.7 * pixels.sharpness(x)).all()


def test_compared_with_itself():
    x = pictures(side=16)
    numbers = pixels.compared(x, x)
    assert numbers["L1, levels of 255"] == 0 and numbers["PSNR, dB"] == np.inf
    assert numbers["sharpness, 1: the truth's"] == pytest.approx(1) and numbers["MS-SSIM"] == pytest.approx(1)
    assert "MS-SSIM" not in pixels.compared(x[:, :8, :8], x[:, :8, :8])  # smaller than its window
    flat = np.zeros((1, 8, 8, 1), np.uint8)
    x = x[:1, :8, :8]
    assert "sharpness, 1: the truth's" not in pixels.compared(x, flat)  # there is nothing to be measured against
    assert pixels.compared(flat, x)["sharpness, 1: the truth's"] == 0
    pixel = x[:, :1, :1]
    assert pixels.compared(pixel, pixel).keys() == {"PSNR, dB", "L1, levels of 255"}
    with pytest.raises(ValueError, match="^sharpness: wanted images of 2 x 2 pixels or more, got"):
        pixels.sharpness(x[:, :1])


@pytest.mark.parametrize("measure", [pixels.psnr, pixels.absolute_error])
@pytest.mark.parametrize("bad", [lambda x: x[:3], lambda x: x / 255, lambda x: x[..., 0], lambda x: x[:, :8]])
def test_bad_pictures(measure, bad):
    x = pictures()
    with pytest.raises(ValueError, match=rf"^{measure.__name__}: wanted uint8 \(n, H, W, C\), alike"):
        measure(bad(x), x)
    with pytest.raises(ValueError, match="wanted uint8"):
        measure(x[:0], x[:0])


# ---- ROC -------------------------------------------------------------------------------------------------


def by_pairs(scores, positive):
    """AUC as it is defined: the share of pairs that are in order, a tie counting half."""
    ours, others = scores[positive == 1][:, None], scores[positive == 0][None, :]
    return float(((ours > others) + 0.5 * (ours == others)).mean())


@pytest.mark.parametrize("levels", [2, 5, 1000])  # few levels: many ties
def test_auc_by_brute_force(levels):
    rng = np.random.default_rng(levels)
    for n in (2, 3, 10, 200):
        scores, positive = rng.integers(0, levels, n).astype(float), rng.integers(0, 2, n)
        positive[:2] = 0, 1
        assert roc_auc(scores, positive) == pytest.approx(by_pairs(scores, positive), abs=1e-12)


def test_auc_by_hand():
    """Of the four pairs, three are in order (0.8 > 0.4, 0.8 > 0.1, 0.35 > 0.1)."""
    assert roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert roc_auc([1, 2, 3, 4], [0, 0, 1, 1]) == 1
    assert roc_auc([1, 2, 3, 4], [1, 1, 0, 0]) == 0
    assert roc_auc([7, 7, 7], [0, 1, 1]) == 0.5  # a constant tells nothing, whatever the order of the rows
    assert roc_auc([7, 7, 7], [1, 1, 0]) == 0.5


def test_auc_is_the_area_under_the_curve():
    rng = np.random.default_rng(3)
    positive = rng.integers(0, 2, 300)
    scores = rng.normal(size=300).round(1) + positive
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    hit = [(scores[positive == 1] >= t).mean() for t in thresholds]
    false = [(scores[positive == 0] >= t).mean() for t in thresholds]
    assert roc_auc(scores, positive) == pytest.approx(np.trapezoid(hit, false), abs=1e-12)


def test_auc_of_two_gaussians():
    """N(d, 1) against N(0, 1): AUC = Phi(d / sqrt 2) = 0.7602 for d = 1."""
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(size=100_000), rng.normal(size=100_000) + 1])
    assert roc_auc(scores, np.repeat([0, 1], 100_000)) == pytest.approx(0.76025, abs=0.003)


def test_only_the_order_counts():
    """No scaling by the test set's own minimum and maximum can change it; rows may come in any order."""
    rng = np.random.default_rng(1)
    scores, positive = rng.normal(size=100), rng.integers(0, 2, 100)
    found = roc_auc(scores, positive)
    for same in (3 * scores - 7, np.exp(scores), (scores - scores.min()) / (scores.max() - scores.min())):
        assert roc_auc(same, positive) == found
    mixed = rng.permutation(100)
    assert roc_auc(scores[mixed], positive[mixed]) == pytest.approx(found, abs=1e-12)


def test_the_sign_and_the_classes_mirror():
    rng = np.random.default_rng(2)
    scores, positive = rng.normal(size=100), rng.integers(0, 2, 100)
    found = roc_auc(scores, positive)
    assert roc_auc(-scores, positive) == pytest.approx(1 - found)
    assert roc_auc(scores, 1 - positive) == pytest.approx(1 - found)


def test_pixels_of_pictures_count_one_by_one():
    rng = np.random.default_rng(4)
    maps, masks = rng.normal(size=(3, 8, 8)), rng.random((3, 8, 8)) < 0.2
    assert roc_auc(maps, masks) == roc_auc(maps.ravel(), masks.ravel())


def test_scores_of_any_kind_of_number():
    assert roc_auc([False, True], [False, True]) == 1
    assert roc_auc(np.array([3, 1, 2], np.uint8), [1, 0, 0]) == 1
    assert roc_auc([2**62, 2**62 + 1], [0, 1]) == 1  # alike as floats


def test_infinite_scores_are_the_ends_of_the_order():
    assert roc_auc([-np.inf, 0.0, np.inf], [0, 0, 1]) == 1


@pytest.mark.parametrize(
    ("scores", "positive", "message"),
    [
        ([1.0, 2.0], [1, 1], "2 positives and 0 negatives"),
        ([1.0, 2.0], [0, 0], "0 positives and 2 negatives"),
        ([1.0, np.nan], [0, 1], "a score that is NaN"),
        ([], [], "0 positives and 0 negatives"),
        ([1.0, 2.0], [0, 2], "a 0 or 1 for each score"),
        (["a", "b"], [0, 1], "real numbers"),
        ([1j, 2.0], [0, 1], "real numbers"),
        ([None, 1.0], [0, 1], "real numbers"),
        ([1.0, 2.0, 3.0], [0, 1], r"a 0 or 1 for each score, got \(3,\) and \(2,\)"),
        (np.zeros((2, 1)), np.array([0, 1]), "a 0 or 1 for each score"),  # would broadcast to (2, 2)
    ],
)
def test_bad_scores(scores, positive, message):
    with pytest.raises(ValueError, match=f"^roc_auc: .*{message}"):
        roc_auc(scores, positive)
