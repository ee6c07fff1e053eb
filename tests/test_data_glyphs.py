"""Glyphs: reproducible, whole, like MNIST, and really made with the factors that they come with."""

import os
import time

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from scratchgan.data import glyphs, mnist
from scratchgan.support.errors import DataError

FACTORS = {"class", "font", "angle", "shear", "scale", "shift_x", "shift_y", "weight"}


@pytest.fixture(scope="module")
def digits():
    return glyphs.load(6000, seed=1)


def test_what_comes_back(digits):
    assert digits.images.shape == (6000, 28, 28, 1) and digits.images.dtype == np.uint8
    assert digits.labels.shape == (6000,) and digits.labels.dtype == np.int64
    assert digits.names == tuple("0123456789")
    assert set(digits.factors) == FACTORS
    assert all(values.shape == (6000,) for values in digits.factors.values())
    np.testing.assert_array_equal(digits.factors["class"], digits.labels)
    assert len(glyphs.FACES) == 20


def test_a_seed_draws_the_same_pictures_whatever_their_number():
    few, many = glyphs.load(70, seed=4), glyphs.load(600, seed=4)
    np.testing.assert_array_equal(few.images, many.images[:70])
    for name in FACTORS:
        np.testing.assert_array_equal(few.factors[name], many.factors[name][:70])
    assert not np.array_equal(few.images, glyphs.load(70, seed=5).images)


def test_classes_and_faces_are_equally_frequent(digits):
    for name, kinds in (("class", 10), ("font", 20)):
        counts = np.bincount(digits.factors[name], minlength=kinds)
        np.testing.assert_allclose(counts, 6000 / kinds, atol=5 * np.sqrt(6000 / kinds))


@settings(max_examples=15, deadline=None)  # the first use of a character draws it
@given(
    size=st.sampled_from([8, 9, 16, 28, 32, 64]),
    characters=st.sets(st.sampled_from(glyphs.CHARACTERS), min_size=1, max_size=12).map(sorted).map("".join),
    seed=st.integers(0, 99),
)
def test_no_character_is_cut_off(size, characters, seed):
    images = glyphs.load(200, size=size, characters=characters, seed=seed).images[..., 0]
    assert images.shape == (200, size, size)
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert border.max() == 0
    assert images.max(axis=(1, 2)).min() > 60  # and the thinnest stroke is there


@pytest.mark.parametrize("face", glyphs.FACES)
def test_a_face_has_every_character(face):
    fields = [glyphs.glyph(face, c)[0] for c in glyphs.CHARACTERS]
    for field in fields:
        assert field.min() < 0  # some ink,
        edge = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
        reach = glyphs.WEIGHT[1] + glyphs.SOFTNESS / 2 * 28 / 8  # of a stroke, at the smallest size
        assert edge.min() > reach / 0.75  # so that nothing of it is cut off at the edge of the field
    # No two characters look alike, as the boxes that stand for missing ones do: only the bars I and l of a
    # sans face.
    drawings = [(field < 0).tobytes() for field, c in zip(fields, glyphs.CHARACTERS, strict=True) if c != "l"]
    assert len(set(drawings)) == len(drawings)


def test_a_distance_field_holds_distances():
    rng = np.random.default_rng(0)
    ink = rng.random((25, 25)) < 0.02
    y, x = np.nonzero(ink)
    at = np.arange(2, 25, 5)
    expected = np.sqrt((at[:, None, None] - y) ** 2 + (at[None, :, None] - x) ** 2).min(axis=-1) - 0.5
    np.testing.assert_allclose(glyphs.distance_to(ink), np.maximum(expected, 0), rtol=1e-6)


def picture_of(character, face, angle, shear, scale, shift_x, shift_y):
    """Draw a glyph by its factors with Pillow alone, eight times as large, and average: (28, 28)."""
    k, side = 8, 28 * 8
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", face + ".ttf")
    font = ImageFont.truetype(path, 100, layout_engine=ImageFont.Layout.BASIC)
    capital = -font.getbbox("H", anchor="ls")[1]
    left, top, right, bottom = font.getbbox(character)
    font = font.font_variant(size=100 * 20 * k / max(capital, right - left, bottom - top))
    left, top, right, bottom = font.getbbox(character)
    upright = Image.new("L", (2 * side, 2 * side))
    ImageDraw.Draw(upright).text((side - (left + right) / 2, side - (top + bottom) / 2), character, 255, font)
    a = np.deg2rad(angle)
    # The glyph's own axes go to these directions of the picture (x right, y down).
    across = scale * np.array([np.cos(a), -np.sin(a)])
    down = scale * (np.array([np.sin(a), np.cos(a)]) - shear * np.array([np.cos(a), -np.sin(a)]))
    inverse = np.linalg.inv(np.stack([across, down], axis=1))
    middle = np.array([side / 2 + k * shift_x, side / 2 + k * shift_y])
    offset = np.array([side, side]) - inverse @ middle
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    warped = upright.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(warped, np.float64).reshape(28, k, 28, k).mean(axis=(1, 3)) / 255


def test_pictures_agree_with_their_factors(digits):
    f = digits.factors
    rows = np.flatnonzero((np.abs(f["weight"]) < 0.05) & (np.abs(f["angle"]) > 6))[:60]
    assert len(rows) == 60
    names = ("angle", "shear", "scale", "shift_x", "shift_y")
    for i in rows:
        character, face = digits.names[f["class"][i]], glyphs.FACES[f["font"][i]]
        true = {name: float(f[name][i]) for name in names}
        error = np.abs(picture_of(character, face, **true) - digits.images[i, :, :, 0] / 255).mean()
        assert error < 0.02
        steps = {"angle": -2 * true["angle"], "shear": 0.2, "scale": -0.1, "shift_x": 1.0, "shift_y": -1.0}
        for name, step in steps.items():
            other = picture_of(character, face, **(true | {name: true[name] + step}))
            assert np.abs(other - digits.images[i, :, :, 0] / 255).mean() > 1.2 * error


def test_weight_is_how_far_the_edges_move(digits):
    """The ink of a glyph grows by the length of its outline times the weight."""
    f = digits.factors
    ink = digits.images.mean(axis=(1, 2, 3)) / f["scale"] ** 2
    group = f["font"] * 10 + f["class"]
    total = np.bincount(group, minlength=200)

    def without_group(values):
        return values - (np.bincount(group, values, minlength=200) / total)[group]

    assert np.corrcoef(without_group(ink), without_group(f["weight"]))[0, 1] > 0.9
    bold = [glyphs.FACES.index("DejaVuSans-Bold"), glyphs.FACES.index("cmb10")]
    assert ink[np.isin(f["font"], bold)].mean() > 1.2 * ink.mean()


def test_factors_stay_in_their_ranges_and_grow_with_the_size():
    small, large = glyphs.load(500).factors, glyphs.load(500, size=56).factors
    for name, limits in (
        ("angle", glyphs.ANGLE),
        ("shear", glyphs.SHEAR),
        ("scale", glyphs.SCALE),
        ("shift_x", glyphs.SHIFT),
        ("shift_y", glyphs.SHIFT),
        ("weight", glyphs.WEIGHT),
    ):
        assert limits[0] - 1e-6 <= small[name].min() and small[name].max() <= limits[1] + 1e-6
        spread = small[name].max() - small[name].min()
        assert spread > 0.9 * (limits[1] - limits[0])
    np.testing.assert_allclose(large["weight"], 2 * small["weight"], atol=1e-6)
    np.testing.assert_array_equal(large["angle"], small["angle"])


def extents(images):
    """Return the mean height and width of the ink of pictures (N, 28, 28)."""
    ink = images > 25
    return ink.any(axis=2).sum(axis=1).mean(), ink.any(axis=1).sum(axis=1).mean()


def test_glyphs_are_like_mnist(digits):
    assert digits.images.mean() / 255 == pytest.approx(0.13, abs=0.01)
    assert extents(digits.images[..., 0])[0] == pytest.approx(20, abs=1)


@pytest.mark.skipif(
    not os.environ.get("SCRATCHGAN_DATA"), reason="set SCRATCHGAN_DATA to a folder that holds mnist/"
)
def test_glyphs_are_like_the_real_mnist(digits):
    real = mnist.load("test").images
    assert digits.images.mean() == pytest.approx(real.mean(), abs=0.02 * 255)
    np.testing.assert_allclose(extents(digits.images[..., 0]), extents(real[..., 0]), atol=1.5)


def test_ten_thousand_are_drawn_quickly():
    glyphs.glyph.cache_clear()
    start = time.perf_counter()
    glyphs.load(10_000)
    assert time.perf_counter() - start < 6  # about one second on one core of a laptop


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "1 or more; it is 0"),
        ({"n": 2.5}, "it is 2.5"),
        ({"size": 7}, "8 or more; it is 7"),
        ({"size": 28.0}, "it is 28.0"),
        ({"characters": ""}, "at least one character"),
        ({"characters": "01é "}, "not ' ' 'é'"),
        ({"characters": "0120"}, "'0' is given more than once"),
    ],
)
def test_glyphs_that_cannot_be(arguments, words):
    with pytest.raises(DataError, match=words):
        glyphs.load(**arguments)
