"""Conversions between bytes and floats, folders of pictures, and the one entry `load_images`."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scratchgan.data import glyphs, images, load_images, to_bytes, to_signed
from scratchgan.support.errors import DataError
from scratchgan.support.pictures import FORMATS

# ------------------------------------------------------------------------------------------------ conversions


def test_every_byte_survives_the_conversions():
    u = np.arange(256, dtype=np.uint8)
    x = to_signed(u)
    assert x.dtype == np.float32 and x[0] == -1 and x[255] == 1
    np.testing.assert_array_equal(to_bytes(x), u)
    np.testing.assert_array_equal(to_bytes(x.astype(np.float64)), u)
    assert to_bytes(x).dtype == np.uint8


@given(x=st.floats(allow_nan=False, width=32))
def test_any_number_goes_to_the_nearest_byte(x):
    u = int(to_bytes(np.float32(x)))
    nearest = min(max((x + 1) * 127.5, 0.0), 255.0)
    assert abs(u - nearest) <= 0.5 + 1e-4


def test_not_a_number_is_black():
    np.testing.assert_array_equal(to_bytes(np.array([np.nan, np.inf, -np.inf])), [0, 255, 0])


def test_floats_are_not_taken_for_bytes():
    with pytest.raises(DataError, match="needs uint8.*float64"):
        to_signed(np.zeros(3))


# ---------------------------------------------------------------------------------------- folders of pictures


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


def flat(value, height=28, width=28, dtype=np.uint8):
    return np.full((height, width, *np.shape(value)), value, dtype)


def test_a_flat_folder_in_sorted_order(tmp_path):
    for name, value in (("b.png", 20), ("a.PNG", 10), ("c.jpeg", 30), ("d.jpg", 40)):
        save(tmp_path / name, flat(value))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_text("not a picture either")
    found = images.load_folder(tmp_path)
    assert found.images.shape == (4, 28, 28, 1) and found.images.dtype == np.uint8
    np.testing.assert_array_equal(found.images[:, 5, 5, 0], [10, 20, 30, 40])
    assert found.labels is None and found.names is None and found.factors is None


def test_sub_folders_are_classes(tmp_path):
    save(tmp_path / "dogs" / "1.png", flat(1))
    save(tmp_path / "cats" / "young" / "2.png", flat(2))
    save(tmp_path / "cats" / "3.png", flat(3))
    (tmp_path / "empty").mkdir()
    found = images.load_folder(tmp_path)
    assert found.names == ("cats", "dogs")
    np.testing.assert_array_equal(found.images[:, 0, 0, 0], [3, 2, 1])
    np.testing.assert_array_equal(found.labels, [0, 0, 1])
    assert found.labels.dtype == np.int64


def test_a_link_that_goes_round_in_circles(tmp_path):
    save(tmp_path / "cats" / "1.png", flat(1))
    try:
        os.symlink(tmp_path, tmp_path / "cats" / "back")
    except OSError:
        pytest.skip("this system does not let an ordinary user make links")
    assert len(images.load_folder(tmp_path).images) == 1


def test_pictures_both_in_and_beside_sub_folders(tmp_path):
    save(tmp_path / "1.png", flat(1))
    save(tmp_path / "cats" / "2.png", flat(2))
    with pytest.raises(DataError, match=r"directly \(1.png\) and in sub-folders \(cats\)"):
        images.load_folder(tmp_path)


def test_the_centre_square_is_cut_out_and_resized(tmp_path):
    wide = np.zeros((40, 100), np.uint8)
    wide[:, 30:70] = 200
    save(tmp_path / "a.png", wide)
    save(tmp_path / "b.png", wide.T)
    found = images.load_folder(tmp_path, size=10)
    np.testing.assert_array_equal(found.images, np.full((2, 10, 10, 1), 200))


@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40))
def test_a_flat_picture_stays_flat_at_any_size(height, width, size):
    resized = images.resize(flat([7, 80, 255], height, width)[None], size)
    np.testing.assert_array_equal(resized, np.broadcast_to([7, 80, 255], (1, size, size, 3)))


def test_colour_and_grey(tmp_path):
    save(tmp_path / "a.png", flat([255, 0, 0]))
    save(tmp_path / "b.png", flat(90))
    np.testing.assert_array_equal(
        images.load_folder(tmp_path, channels=3).images[:, 0, 0], [[255, 0, 0], [90, 90, 90]]
    )
    np.testing.assert_array_equal(images.load_folder(tmp_path, channels=1).images[:, 0, 0, 0], [76, 90])


@pytest.mark.parametrize(("value", "byte"), [(0, 0), (257 * 100, 100), (65535, 255), (128, 0), (129, 1)])
def test_sixteen_bits(tmp_path, value, byte):
    save(tmp_path / "a.png", flat(value, dtype=np.uint16))
    assert (images.load_folder(tmp_path).images == byte).all()


def test_transparent_parts_are_put_on_white(tmp_path):
    save(tmp_path / "a.png", flat([0, 0, 0, 0]))
    save(tmp_path / "b.png", flat([0, 0, 0, 255]))
    save(tmp_path / "c.png", flat([255, 0, 0, 51]))  # a fifth of red
    palette = Image.fromarray(flat([9, 9, 9])).quantize(4)
    palette.save(tmp_path / "d.png", transparency=palette.getpixel((0, 0)))
    Image.fromarray(flat(0)).save(tmp_path / "e.png", transparency=0)
    found = images.load_folder(tmp_path, channels=3).images[:, 3, 3]
    white = [255, 255, 255]
    np.testing.assert_array_equal(found, [white, [0, 0, 0], [255, 204, 204], white, white])


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "LA", "RGBA", "YCbCr"])
def test_every_kind_of_picture(tmp_path, mode):
    ending = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    Image.fromarray(flat([200, 200, 200])).convert("RGB").convert(mode).save(tmp_path / f"a.{ending}")
    found = images.load_folder(tmp_path, channels=3).images
    assert abs(found.astype(int).mean() - 200) < 4 if mode != "1" else found.mean() > 100


def test_the_exif_orientation_is_respected(tmp_path):
    picture = np.zeros((64, 64), np.uint8)
    picture[:32] = 255  # light above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    save(tmp_path / "a.jpg", picture, exif=exif, quality=95)
    found = images.load_folder(tmp_path, size=16).images[0, :, :, 0]
    assert found[:, :7].max() < 60 and found[:, 9:].min() > 195  # light on the right


def test_a_large_photograph_is_close_to_its_exact_reduction(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 16), dtype=np.uint8)).resize((1600, 1200))
    smooth.save(tmp_path / "a.jpg", quality=95)
    exact = images.fit(smooth, 28)
    found = images.load_folder(tmp_path).images[0]
    assert np.abs(found.astype(int) - exact).mean() < 2


def test_a_photograph_with_two_views_is_no_animation(tmp_path):
    first, second = Image.fromarray(flat(100)), Image.fromarray(flat(200))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert abs(images.load_folder(tmp_path).images.mean() - 100) < 2


def test_missing_empty_and_file(tmp_path):
    with pytest.raises(DataError, match="There is no folder.*nowhere"):
        images.load_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no pictures; they end in .png, .jpg"):
        images.load_folder(tmp_path)
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no pictures \(1 .heic\)"):
        images.load_folder(tmp_path)
    with pytest.raises(DataError, match="a.heic is a file"):
        images.load_folder(tmp_path / "a.heic")


def test_pictures_that_cannot_be_used(tmp_path, monkeypatch):
    def refused(words):
        with pytest.raises(DataError, match=words):
            images.load_folder(tmp_path)

    path = tmp_path / "a.png"
    frames = [Image.fromarray(flat(v)) for v in (1, 2, 3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    refused(r"a.png is animated \(3 frames\)")
    frames[0].save(path, format="PPM")
    refused("a.png is no picture of a kind that is read")
    path.write_bytes(b"")
    refused("a.png is no picture of a kind that is read")
    save(path, np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("a.png is damaged or truncated")
    path.write_bytes(whole[:1000] + bytes(300) + whole[1300:])
    refused("a.png is damaged or truncated")
    path.write_bytes(whole)
    for limit in (2000, 1000):  # Pillow warns above its limit and raises above twice its limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        refused("a.png announces more than .* pixels")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"size": 0}, "it is 0"), ({"size": 2.5}, "it is 2.5"), ({"channels": 2}, "not 2")],
)
def test_sizes_and_channels_that_cannot_be(tmp_path, arguments, words):
    save(tmp_path / "a.png", flat(1))
    with pytest.raises(DataError, match=words):
        images.load_folder(tmp_path, **arguments)


def encoded(kind):
    file = io.BytesIO()
    pattern = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pattern).save(file, format=kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def fuzzed_file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed") / "a.png"


@settings(max_examples=150)
@given(
    whole=st.sampled_from([encoded(kind) for kind in FORMATS]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0, 1),
)
def test_damaged_pictures_never_raise_anything_else(fuzzed_file, whole, changes, kept):
    data = bytearray(whole)
    for place, value in changes:
        data[int(place * len(data))] = value
    fuzzed_file.write_bytes(data[: int(kept * len(data)) + 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
        try:
            assert images.read_picture(fuzzed_file, 8, 3).shape == (8, 8, 3)
        except DataError as error:
            assert "a.png" in str(error)


# ------------------------------------------------------------------------------------------------ load_images


def test_glyphs_by_name():
    found = load_images("glyphs", count=20, seed=3, size=16, channels=3)
    expected = glyphs.load(20, size=16, seed=3)
    assert found.images.shape == (20, 16, 16, 3)
    np.testing.assert_array_equal(found.images[..., 1:2], expected.images)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.names == expected.names


def test_channels_that_cannot_be():
    with pytest.raises(DataError, match="not 2"):
        load_images("glyphs", channels=2)


def test_a_folder_by_path(tmp_path):
    save(tmp_path / "cats" / "a.png", flat([1, 2, 3]))
    for path in (tmp_path, str(tmp_path)):
        found = load_images(path, size=12, channels=3)
        assert found.images.shape == (1, 12, 12, 3)
        assert found.names == ("cats",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnits", "'mnits'. Did you mean mnist\\? Choose glyphs, mnist, fashion_mnist, kmnist, or"),
        ("Fashion-MNIST", "Did you mean fashion_mnist"),
        ("nothing/like/it", "'nothing/like/it'. Choose glyphs"),
        ("", "no data set or folder ''"),
        (Path(__file__), "test_data_images.py is a file"),
    ],
)
def test_a_name_that_is_nothing(name, words):
    with pytest.raises(DataError, match=words):
        load_images(name)
