"""Phantoms of heads: what is drawn is what the factors say, and a lesion lies where its mask is."""

import numpy as np
import pytest

from scratchgan.data import phantom
from scratchgan.support.errors import DataError


def drawn(factors, size=32):
    """Return heads without noise, lesions included."""
    return phantom.heads(factors, size) + factors["contrast"][:, None, None] * phantom.lesion_cover(factors, size)


def test_what_is_loaded():
    healthy = phantom.load(40)
    assert healthy.images.shape == (40, 32, 32, 1) and healthy.images.dtype == np.uint8
    assert healthy.names == ("healthy", "lesion")
    np.testing.assert_array_equal(healthy.labels, np.zeros(40))
    assert not phantom.masks(healthy.factors).any()
    ill = phantom.load(40, lesions=True)
    np.testing.assert_array_equal(ill.labels, np.ones(40))
    assert phantom.masks(ill.factors).any(axis=(1, 2)).all()
    assert {values.shape for values in ill.factors.values()} == {(40,)}
    assert set(ill.factors) == {*phantom.FACTORS, *phantom.LESION} == set(healthy.factors)


@pytest.mark.parametrize("lesions", [False, True])
def test_a_picture_depends_on_the_seed_and_not_on_the_number(lesions):
    few, many = (phantom.load(n, lesions=lesions, seed=3) for n in (7, 300))  # more than are drawn at once
    np.testing.assert_array_equal(few.images, many.images[:7])
    for name, values in few.factors.items():
        np.testing.assert_array_equal(values, many.factors[name][:7])
    assert (phantom.load(7, lesions=lesions, seed=4).images != few.images).any()
    assert (phantom.load(7, lesions=lesions, seed=[3, 1]).images != few.images).any()


def test_factors_are_uniform_in_their_ranges():
    factors = phantom.draw_factors(4000, lesions=True)
    for name, limits in {
        "turn": phantom.TURN, "grey": phantom.GREY, "whiter": phantom.WHITER, "aspect": phantom.ASPECT,
        "ventricles": phantom.VENTRICLES, "asymmetry": phantom.ASYMMETRY, "height": phantom.HEIGHT,
        "radius": phantom.RADIUS, "width": phantom.WIDTH, "shift_x": phantom.SHIFT,
    }.items():  # fmt: skip
        low, high = limits
        at = (factors[name] - low) / (high - low)
        assert -1e-6 <= at.min() < 0.01 and 0.99 < at.max() <= 1 + 1e-6, name
        assert abs(at.mean() - 0.5) < 0.03, name
    size = np.abs(factors["contrast"])
    assert phantom.CONTRAST[0] <= size.min() and size.max() <= phantom.CONTRAST[1]
    assert abs((factors["contrast"] > 0).mean() - 0.5) < 0.05
    names = list(phantom.FACTORS)
    correlated = np.abs(np.corrcoef([factors[name] for name in names]) - np.eye(len(names)))
    assert correlated.max() < 0.1  # each column of random numbers is one factor's


def test_the_same_heads_with_and_without_lesions():
    """What a lesion changes is what its disc covers, by its contrast."""
    healthy, ill = (phantom.load(200, lesions=lesions, seed=1) for lesions in (False, True))
    for name in phantom.FACTORS:
        np.testing.assert_array_equal(healthy.factors[name], ill.factors[name])
    changed = ill.images[..., 0].astype(float) - healthy.images[..., 0]
    covered = phantom.lesion_cover(ill.factors, 32)
    np.testing.assert_array_equal(changed[covered == 0], 0)
    white = (ill.factors["grey"] + ill.factors["whiter"])[:, None, None]
    whole = (covered == 1) & (np.abs(phantom.heads(ill.factors, 32) - white) < 0.01)
    whole &= ill.images[..., 0] < 255  # nothing gets whiter than white
    assert whole.any(axis=(1, 2)).mean() > 0.9
    wanted = np.broadcast_to(255 * ill.factors["contrast"][:, None, None], whole.shape)[whole]
    assert np.abs(changed[whole] - wanted).max() <= 1.001  # two roundings to bytes


def test_a_mask_is_the_disc():
    """The pixels whose middle is in the disc; their number grows as its area."""
    ill = phantom.load(500, lesions=True, seed=2)
    masks, f = phantom.masks(ill.factors), ill.factors
    axis = np.arange(32) - 15.5
    right, down = axis[None, None, :] - f["lesion_x"][:, None, None], axis[None, :, None] - f["lesion_y"][:, None, None]
    inside = right**2 + down**2 - f["radius"][:, None, None] ** 2
    np.testing.assert_array_equal(masks[np.abs(inside) > 1e-3], inside[np.abs(inside) > 1e-3] < 0)
    assert masks.sum(axis=(1, 2)).min() >= 3
    assert masks.sum() / (np.pi * (f["radius"] ** 2).sum()) == pytest.approx(1, abs=0.03)


def test_lesions_lie_in_white_matter():
    """The head that a lesion covers is of the grey of white matter, but where all tries were in vain: 1 in 16."""
    ill = phantom.load(2000, lesions=True, seed=5)
    f, covered = ill.factors, phantom.lesion_cover(ill.factors, 32) == 1
    white = (f["grey"] + f["whiter"])[:, None, None]
    elsewhere = (covered & (np.abs(phantom.heads(f, 32) - white) > 0.02)).any(axis=(1, 2))
    assert elsewhere.mean() < 0.08
    middle = np.hypot(f["lesion_x"] - f["shift_x"], f["lesion_y"] - f["shift_y"])
    assert middle.max() < 12 * 1.25 and middle.std() > 1  # all over it


def test_a_head_by_its_factors():
    """On the middle line: skull, cortex and white matter in the widths and greys that the factors name."""
    f = {"turn": 0, "shift_x": 0.5, "shift_y": 0.5, "width": 12, "aspect": 1.2, "grey": 0.45, "whiter": 0.15,
         "ventricles": 1, "asymmetry": 1, "height": 0}  # fmt: skip
    head = phantom.heads({name: np.array([value], np.float32) for name, value in f.items()}, 32)[0]
    row = head[16]  # through the middle, which is pixel 16's
    np.testing.assert_allclose(row[[0, 3]], phantom.AIR, atol=1e-5)
    assert row[16 - 12 + 1] == pytest.approx(phantom.BONE, abs=0.05)  # the outermost 1.6 pixels
    np.testing.assert_allclose(row[[7, 25]], 0.45, atol=1e-3)
    np.testing.assert_allclose(row[[10, 16, 22]], 0.6, atol=1e-3)
    np.testing.assert_allclose(row[[14, 18]], phantom.FLUID, atol=0.15)
    np.testing.assert_allclose(row[5:28], row[5:28][::-1], atol=1e-4)  # symmetric
    column = head[:, 16]
    assert column[16 - 14] == pytest.approx(phantom.BONE, abs=0.1)  # 14.4 pixels high
    assert column[0] == pytest.approx(phantom.AIR)


def one(**changed):
    """Return the factors of one head."""
    plain = {"turn": 0, "shift_x": 0, "shift_y": 0, "width": 11, "aspect": 1.2, "grey": 0.45, "whiter": 0.15,
             "ventricles": 1, "asymmetry": 1, "height": 0}  # fmt: skip
    return {name: np.array([value], np.float32) for name, value in (plain | changed).items()}


def middle_of(weights):
    """Return the middle of mass of a picture, to the right and down from its own middle."""
    down, right = np.indices(weights.shape) - (np.array(weights.shape)[:, None, None] - 1) / 2
    return float((weights * right).sum() / weights.sum()), float((weights * down).sum() / weights.sum())


def test_shift_turn_and_height_point_where_they_say():
    moved = phantom.heads(one(shift_x=1, shift_y=-0.5), 32)[0] - phantom.AIR
    np.testing.assert_allclose(middle_of(moved), (1, -0.5), atol=0.02)
    turned = phantom.heads(one(turn=15), 32)[0] - phantom.AIR
    upper = turned.copy()
    upper[16:] = 0
    assert middle_of(upper)[0] < -0.4  # anticlockwise: the top goes to the left
    dark = lambda head: np.clip(0.45 - head, 0, None)[8:24, 11:21]  # around the ventricles
    low, high = (middle_of(dark(phantom.heads(one(height=height), 32)[0]))[1] for height in (1, -2))
    assert low - high == pytest.approx(3, abs=0.3)


def test_ventricles_grow_and_differ():
    dark = lambda **changed: np.clip(0.45 - phantom.heads(one(**changed), 32)[0], 0, None)[8:24, 11:21]
    assert dark(ventricles=1.5).sum() > 1.5 * dark(ventricles=1).sum()
    uneven = dark(asymmetry=1.3)
    assert uneven[:, 5:].sum() > 1.5 * uneven[:, :5].sum()
    assert uneven[:, 5:].sum() == pytest.approx(dark(asymmetry=0.7)[:, :5].sum(), rel=1e-3)


@pytest.mark.parametrize("size", [16, 32, 48])
def test_no_head_is_cut_off(size):
    """The border is air, whatever the size; the picture is that of 32 pixels, finer or coarser."""
    head = drawn(phantom.draw_factors(1000, size=size, lesions=True, seed=9), size)
    border = np.concatenate([head[:, [0, -1]].ravel(), head[:, :, [0, -1]].ravel()])
    assert border.max() < (phantom.AIR + phantom.BONE) / 2 + 0.2
    assert (border > phantom.AIR + 0.01).mean() < 0.02
    assert phantom.load(3, size=size).images.shape == (3, size, size, 1)
    assert phantom.masks(phantom.load(3, size=size, lesions=True).factors, size=size).any(axis=(1, 2)).all()


def test_another_size_shows_the_same_heads():
    small, large = (drawn(phantom.draw_factors(20, size=size, lesions=True, seed=1), size) for size in (32, 64))
    halved = large.reshape(20, 32, 2, 32, 2).mean(axis=(2, 4))
    assert np.abs(halved - small).mean() < 0.02


def test_noise_is_of_its_deviation_and_no_two_are_alike():
    pictures = phantom.load(500)
    noise = pictures.images[..., 0] / 255 - drawn(pictures.factors)
    inner = noise[:, 12:20, 4:8]  # cortex and white matter, far from black and white
    assert inner.std() == pytest.approx(phantom.NOISE, rel=0.05) and abs(inner.mean()) < 0.002
    assert np.abs(np.corrcoef(noise[:300].reshape(300, -1)) - np.eye(300)).max() < 0.25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "The number of pictures must be a whole number, 1 or more; it is 0."),
        ({"n": 2.5}, "The number of pictures must be a whole number"),
        ({"n": 3, "size": 15}, "The size of a head's picture must be a whole number, 16 or more; it is 15."),
        ({"n": 10**9, "size": 4096}, "choose smaller pictures, or fewer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        phantom.load(**arguments)


def test_masks_of_other_factors():
    with pytest.raises(DataError, match="^The factors of heads lack lesion_y, radius.$"):
        phantom.masks({"lesion_x": np.zeros(3), "contrast": np.zeros(3)})
