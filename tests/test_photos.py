"""Photographs of scikit-image, and pictures at other scales: what is cut out of them, and what is told where they are
missing. Where it is not installed, pictures of ours stand in for them, and the published numbers are not compared.
"""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scratchgan.data import photos, scales
from scratchgan.metrics.pixels import psnr
from scratchgan.support.errors import DataError

installed = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed")
TRAIN, TEST = photos.TRAIN, photos.TEST


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Let pictures in which each pixel tells its file, row and column stand where scikit-image's do."""
    monkeypatch.setattr(photos, "TRAIN", tuple(name.replace(".jpg", ".png") for name in TRAIN))  # JPEG is not exact
    for number, name in enumerate((*photos.TRAIN, *TEST)):
        rows, columns = np.mgrid[0 : 40 + number, 0:60]
        pixels = np.stack([0 * rows + 20 * number, 3 * rows, 4 * columns], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.setattr(photos, "folder", lambda: tmp_path)
    return tmp_path


# ---- photographs -----------------------------------------------------------------------------------------


def test_where_it_is_not_installed_a_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for ask in (photos.load, photos.retina, photos.microaneurysms):
        with pytest.raises(DataError, match="pip install --no-deps scikit-image") as error:
            ask()
        assert "\n" not in str(error.value)


@installed
def test_scikit_image_is_found_without_being_imported():
    code = "import sys; from scratchgan.data import photos; photos.load(2); assert 'skimage' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_file_that_is_missing_or_damaged(stand_ins):
    (stand_ins / TEST[0]).write_bytes(b"no picture")
    with pytest.raises(DataError, match=TEST[0]):
        photos.load(4, split="test")
    (stand_ins / TEST[0]).unlink()
    with pytest.raises(DataError, match=TEST[0]):
        photos.load(4, split="test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_patches_are_windows_of_each_photograph_in_turn(stand_ins, split):
    names = photos.TRAIN if split == "train" else TEST
    cut = photos.load(60, size=9, channels=3, seed=3, split=split)
    assert cut.shape == (60, 9, 9, 3) and cut.dtype == np.uint8
    mirrored = 0
    for i, patch in enumerate(cut):
        whole = photos.read(names[i % len(names)], channels=3)
        if patch[0, 0, 2] > patch[0, -1, 2]:
            patch, mirrored = patch[:, ::-1], mirrored + 1
        top, left = patch[0, 0, 1] // 3, patch[0, 0, 2] // 4
        np.testing.assert_array_equal(patch, whole[top : top + 9, left : left + 9])
    assert 15 < mirrored < 45


def test_patches_follow_from_the_seed(stand_ins):
    many = photos.load(24, size=8, seed=5)
    assert many.shape == (24, 8, 8, 1)
    np.testing.assert_array_equal(photos.load(12, size=8, seed=5), many[:12])
    assert (photos.load(24, size=8, seed=6) != many).any()
    assert photos.load(8, size=40, channels=3).shape == (8, 40, 40, 3)  # the smallest of them as a whole


@pytest.mark.parametrize("options, words", [
    ({"n": 0}, "number of patches"), ({"size": 0}, "size of a patch"), ({"size": 41}, "larger than a photograph"),
    ({"channels": 2}, "not 2"), ({"split": "validation"}, "no split 'validation'"),
])  # fmt: skip
def test_what_cannot_be_asked_for(stand_ins, options, words):
    with pytest.raises(DataError, match=words):
        photos.load(**{"n": 4, "size": 8} | options)


def test_a_retina_is_split_by_rows_and_without_its_black_border(stand_ins):
    rows, columns = np.mgrid[0:320, 0:320]
    inside = np.hypot(rows - 160, columns - 160) < 156
    pixels = np.stack([0 * rows, np.where(inside, 40 + rows // 2, 0), 0 * rows + 255], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(stand_ins / "retina.jpg", quality=100, subsampling=0)
    train, test = (photos.retina(200, size=16, split=split) for split in ("train", "test"))
    assert train.shape == test.shape == (200, 16, 16, 1) and min(train.min(), test.min()) > 38
    middle = 40 + 240 // 2  # the green of the row that parts the two
    assert train.max() <= middle + 2 and test.min() >= middle - 2
    with pytest.raises(DataError, match="no split"):
        photos.retina(4, split="all")
    with pytest.raises(DataError, match="larger than a photograph"):
        photos.retina(4, size=64, split="test")


@installed
def test_the_real_ones():
    assert photos.load(12, split="train").shape == (12, 32, 32, 1)
    assert photos.retina(300).min() > 25  # the darkest vessel; around the disc it is 0
    assert photos.microaneurysms().shape == (102, 102, 1)
    assert all(photos.read(name, channels=3).shape[-1] == 3 for name in (*TRAIN, *TEST))


# ---- scales ----------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]), st.integers(0, 99))
def test_a_low_pixel_is_the_mean_of_its_box(times, h, w, C, seed):
    large = np.random.default_rng(seed).integers(0, 256, (2, h * times + times - 1, w * times, C), dtype=np.uint8)
    low = scales.shrink(large, times)
    assert low.shape == (2, h, w, C)
    for row, column in np.ndindex(h, w):
        box = large[:, row * times : (row + 1) * times, column * times : (column + 1) * times]
        np.testing.assert_allclose(low[:, row, column], box.astype(float).mean(axis=(1, 2)), atol=0.5)
    np.testing.assert_array_equal(scales.shrink(scales.enlarge(low, times, "nearest"), times), low)


@pytest.mark.parametrize("kernel", scales.KERNELS)
@pytest.mark.parametrize("C", [1, 3])
def test_enlarging_keeps_what_has_no_details(kernel, C):
    flat = np.full((2, 5, 7, C), 77, np.uint8)
    assert (scales.enlarge(flat, 4, kernel) == 77).all() and scales.enlarge(flat, 4, kernel).shape == (2, 20, 28, C)
    slope = np.tile(np.arange(0, 220, 20, dtype=np.uint8)[None, None, :, None], (1, 6, 1, C))
    large = scales.enlarge(slope, 4, kernel)[0, 12, 16:-16, 0].astype(float)  # away from the border
    exact = 20 * ((np.arange(16, 28) + 0.5) / 4 - 0.5)
    assert np.abs(large - exact).max() <= {"nearest": 7.5, "bicubic": 1.3, "Lanczos": 1.5}[kernel]


def test_what_cannot_be_scaled():
    picture = np.zeros((1, 8, 3, 1), np.uint8)
    with pytest.raises(DataError, match="8 x 3 are smaller than a box of 4 x 4"):
        scales.shrink(picture, 4)
    with pytest.raises(DataError, match="no kernel 'bilinear'"):
        scales.enlarge(picture, 4, "bilinear")
    with pytest.raises(DataError, match="factor between two scales"):
        scales.shrink(picture, 0)


@installed
@pytest.mark.parametrize("name, expected", [("chelsea.png", 30.23), ("camera.png", 26.28)])
def test_bicubic_on_whole_photographs(name, expected):
    whole = scales.cut(photos.read(name)[None], 4)
    assert psnr(scales.enlarge(scales.shrink(whole, 4), 4, "bicubic"), whole)[0] == pytest.approx(expected, abs=0.01)
