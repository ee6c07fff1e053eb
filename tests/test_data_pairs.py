"""Folders of pairs: every layout, who is whose partner, which split, and what is refused by name."""

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scratchgan.data import Pairs, pairs
from scratchgan.data.held_out import LEAST
from scratchgan.support.errors import DataError


def picture(path, *greys, size=(20, 20), mode="L", **options):
    """Write a picture of these greys side by side, each of this size (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.repeat(np.array(greys, np.uint8), width)[None].repeat(height, axis=0)
    Image.fromarray(pixels).convert(mode).save(path, **options)


def fill(folder, n=3, first=0, side=None):
    """Write n pictures, number i of grey 2 i: of A, of B (100 more), or of both side by side."""
    for i in range(first, first + n):
        greys = {"A": (2 * i,), "B": (100 + 2 * i,)}.get(side, (2 * i, 100 + 2 * i))
        picture(folder / f"{i:03}.png", *greys)


def greys(images):
    """Return the grey of each picture of one grey."""
    assert (images == images[:, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


def refused(words, call, *arguments, **keywords):
    with pytest.raises(DataError, match=words) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)


def lay_out(root, layout):
    """Write the pairs 0, 1, 2 to train on, and 10, 11 to test on where this layout has a place for them."""
    places = {
        "side by side": ((".",), None),
        "side by side, test": (("train",), ("test",)),
        "side by side, val": (("train",), ("val",)),
        "two folders": (("A", "B"), None),
        "two folders, testA": (("A", "B"), ("testA", "testB")),
        "trainA": (("trainA", "trainB"), ("testA", "testB")),
        "trainA, valA": (("trainA", "trainB"), ("valA", "valB")),
        "A/train": (("A/train", "B/train"), ("A/test", "B/test")),
        "A/train, A/val": (("A/train", "B/train"), ("A/val", "B/val")),
    }[layout]
    for names, n, first in zip(places, (3, 2), (0, 10), strict=True):
        for name, side in zip(names or (), ("A", "B") if places[0][1:] else (None,), strict=False):
            fill(root / name, n, first, side)
    return places[1] is not None


LAYOUTS = ("side by side", "side by side, test", "side by side, val", "two folders", "two folders, testA", "trainA",
           "trainA, valA", "A/train", "A/train, A/val")  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, layout):
    tested = lay_out(tmp_path, layout)
    found = pairs.load(tmp_path, size=16)
    assert isinstance(found, Pairs) and found.labels is None
    assert found.inputs.shape == found.truths.shape == (3, 16, 16, 1) and found.inputs.dtype == np.uint8
    assert greys(found.inputs) == [0, 2, 4] and greys(found.truths) == [100, 102, 104]
    back = pairs.load(tmp_path, direction="BtoA")
    assert greys(back.inputs) == [100, 102, 104] and greys(back.truths) == [0, 2, 4]
    A, B = pairs.load_unpaired(tmp_path, size=16)
    assert greys(A) == [0, 2, 4] and greys(B) == [100, 102, 104]
    if tested:
        found = pairs.load(tmp_path, split="test")
        assert greys(found.inputs) == [20, 22] and greys(found.truths) == [120, 122]
        assert greys(pairs.load_unpaired(tmp_path, split="test")[1]) == [120, 122]
        refused("has test pictures of its own, in .*: leave out --hold-out", pairs.load, tmp_path, hold_out=True)
    else:
        refused("has no test pictures: move some .*--hold-out", pairs.load, tmp_path, split="test")
        refused("has no test pictures", pairs.load_unpaired, tmp_path, split="test")


def test_colours_and_centre_squares(tmp_path):
    """Each half is cut to its own centre square; grey pictures become RGB beside coloured ones."""
    picture(tmp_path / "A" / "1.png", 7, 50, 7, size=(10, 30))  # a grey one, 30 x 30
    picture(tmp_path / "B" / "1.jpg", 90, size=(60, 60), mode="RGB")
    picture(tmp_path / "A" / "2.png", 8, size=(30, 30))
    picture(tmp_path / "B" / "2.webp", 91, size=(30, 30), mode="RGB")
    found = pairs.load(tmp_path, size=30, channels=3)
    assert found.inputs.shape == found.truths.shape == (2, 30, 30, 3)
    np.testing.assert_array_equal(found.inputs[0, 0, :, 0], np.repeat([7, 50, 7], 10))
    wide = tmp_path / "wide"
    for name in ("1.png", "2.png"):
        picture(wide / name, 1, 2, 1, 3, 4, 3, size=(10, 20))  # halves of 30 x 20, the squares' middles 5 to 25
    found = pairs.load(wide, size=20)
    np.testing.assert_array_equal(found.inputs[0, 0, :, 0], np.repeat([1, 2, 1], (5, 10, 5)))
    np.testing.assert_array_equal(found.truths[0, 0, :, 0], np.repeat([3, 4, 3], (5, 10, 5)))


def test_the_halves_of_a_picture_that_lies_on_its_side(tmp_path):
    """What is the left half is known once the picture is turned as its EXIF entry says."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    upright = np.repeat(np.array([10, 200], np.uint8), 20)[None].repeat(20, axis=0)
    for name in ("1.png", "2.png"):
        Image.fromarray(np.rot90(upright)).save(tmp_path / name, exif=exif)
    found = pairs.load(tmp_path)
    assert greys(found.inputs) == [10, 10] and greys(found.truths) == [200, 200]


def test_one_in_ten_is_held_out(tmp_path):
    """The bytes of the inputs' files decide, so that a pair stays a pair; each pair is in one split."""
    rng = np.random.default_rng(0)
    for i in range(300):
        for side in "AB":
            name = tmp_path / side / f"{i}.png"
            name.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 8), i % 128 + 128 * (side == "B"), np.uint8)).save(
                name, compress_level=int(rng.integers(10)), pnginfo=tagged(i)
            )
    train, test = (pairs.load(tmp_path, split=split, size=8, hold_out=True) for split in ("train", "test"))
    assert len(train.inputs) + len(test.inputs) == 300 and len(test.inputs) >= LEAST
    for part in (train, test):
        np.testing.assert_array_equal(part.inputs[:, 0, 0, 0] + 128, part.truths[:, 0, 0, 0])
    A, B = pairs.load_unpaired(tmp_path, split="test", size=8, hold_out=True)
    assert min(len(A), len(B)) >= LEAST
    every = [pairs.load_unpaired(tmp_path, split=split, size=8, hold_out=True)[1] for split in ("train", "test")]
    assert sum(map(len, every)) == 300


def tagged(i):
    """Return a text for a PNG file that makes its bytes its own."""
    text = PngInfo()
    text.add_text("number", str(i))
    return text


def test_unpaired_kinds_have_any_lengths_and_names(tmp_path):
    fill(tmp_path / "trainA", 5, side="A")
    fill(tmp_path / "trainB", 3, 20, side="B")
    picture(tmp_path / "trainB" / "x" / "tall.png", 9, size=(8, 31))
    refused("holds pictures both directly", pairs.load_unpaired, tmp_path)
    (tmp_path / "trainB" / "x" / "tall.png").rename(tmp_path / "trainB" / "tall.png")
    A, B = pairs.load_unpaired(tmp_path)
    assert len(A) == 5 and greys(B) == [140, 142, 144, 9]
    refused("has no partner", pairs.load, tmp_path)


# ---- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, words", [((41, 20), "41 x 20 pixels, and an odd width"),
                                         ((20, 20), "20 x 20 pixels, and two pictures side by side are wider"),
                                         ((20, 30), "20 x 30 pixels")])  # fmt: skip
def test_a_picture_that_is_no_pair(tmp_path, size, words):
    fill(tmp_path / "train")
    picture(tmp_path / "train" / "bad.png", 1, size=size)
    refused(f"bad.png is {words}", pairs.load, tmp_path)


def test_a_partner_that_is_missing(tmp_path):
    fill(tmp_path / "A", 5, side="A")
    fill(tmp_path / "B", 3, side="B")
    refused(r"A/003.png \(and 1 more\) has no partner of its name in .*B: add it", pairs.load, tmp_path)
    fill(tmp_path / "B", 6, side="B")
    refused("B/005.png has no partner of its name in .*A: add it", pairs.load, tmp_path)
    fill(tmp_path / "A", 6, side="A")
    picture(tmp_path / "A" / "002.jpg", 1)
    refused("002.jpg and 002.png have one name", pairs.load, tmp_path)


def test_a_name_is_the_same_however_its_letters_are_written(tmp_path):
    for i in range(2):
        picture(tmp_path / "A" / f"e\u0301{i}.png", 2 * i)
        picture(tmp_path / "B" / f"\u00e9{i}.jpg", 100 + 2 * i)
    found = pairs.load(tmp_path)
    assert greys(found.inputs) == [0, 2] and greys(found.truths) == [100, 102]


@pytest.mark.parametrize("names", [("a", "b"), ("train/A", "train/B"), ("testA", "testB"), ("Train_A", "Train_B")])
def test_two_folders_of_other_names_are_not_cut_in_halves(tmp_path, names):
    for name in names:
        for i in range(3):
            picture(tmp_path / name / f"{i}.png", 7, size=(40, 20))
    for load in (pairs.load, pairs.load_unpaired):
        refused("taken for pairs side by side, and has folders .* and .*: name two folders A and B", load, tmp_path)


def test_pairs_side_by_side_may_lie_in_folders_of_other_names(tmp_path):
    for name in ("a", "b", "c"):
        fill(tmp_path / name, 1)
    assert len(pairs.load(tmp_path).inputs) == 3


@pytest.mark.parametrize("names", [("A", "B"), (".",)])
def test_grey_beside_colour_is_not_made_grey_in_silence(tmp_path, names):
    """A network that shall colour pictures would learn to copy."""
    halves = [np.full((20, 20, 3), colour, np.uint8) for colour in ([90, 90, 90], [200, 30, 30])]
    images = halves if len(names) == 2 else [np.hstack(halves)]
    for name, image in zip(names, images, strict=True):
        (tmp_path / name).mkdir(exist_ok=True)
        for i in range(3):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    for load in (pairs.load, pairs.load_unpaired):
        refused("A are grey, those of B in colour, and --channels 1", load, tmp_path, size=16)
    assert pairs.load(tmp_path, size=16, channels=3).truths[0, 0, 0].tolist() == [200, 30, 30]
    for file in tmp_path.rglob("*.png"):
        Image.open(file).convert("L").convert("RGB").save(file)  # grey, though there are three channels
    assert pairs.load(tmp_path, size=16).inputs.shape == (3, 16, 16, 1)


@pytest.mark.parametrize("size", [(7, 20), (14, 7), (2, 1)])
def test_pictures_that_are_too_small(tmp_path, size):
    for name in ("A/1", "A/2", "B/1", "B/2"):
        picture(tmp_path / f"{name}.png", 90, size=size)
    for load in (pairs.load, pairs.load_unpaired):
        refused(f"{size[0]} x {size[1]} pixels is too small, 8 x 8 is the least", load, tmp_path, size=16)


def test_partners_of_two_shapes(tmp_path):
    """Their centre squares would show different parts; half the size is fine, rounding included."""
    fill(tmp_path / "A", side="A")
    fill(tmp_path / "B", side="B")
    picture(tmp_path / "A" / "000.png", 1, size=(101, 67))
    picture(tmp_path / "B" / "000.png", 1, size=(50, 33))
    pairs.load(tmp_path)
    picture(tmp_path / "B" / "000.png", 1, size=(67, 101))
    refused("A/000.png has 101 x 67 pixels, and its partner in .*B 67 x 101", pairs.load, tmp_path)


def test_folders_that_are_missing_empty_or_of_one_picture(tmp_path):
    for load in (pairs.load, pairs.load_unpaired):
        refused("There is no folder .*nowhere", load, tmp_path / "nowhere")
        refused("holds no pictures", load, tmp_path)
    (tmp_path / "A").mkdir()
    refused("has a folder A, but no B", pairs.load, tmp_path)
    fill(tmp_path / "B", 2)
    refused("The folder .*A holds no pictures", pairs.load_unpaired, tmp_path)
    fill(tmp_path / "A", 1)
    refused("A holds 1 picture: 2 is the least", pairs.load_unpaired, tmp_path)
    (tmp_path / "trainB").mkdir()
    refused("has a folder trainB, but no trainA", pairs.load, tmp_path)
    (tmp_path / "file").touch()
    refused("is a file", pairs.load, tmp_path / "file")


@pytest.mark.parametrize("names", [("test",), ("A/test", "B/test"), ("A/val", "B/val")])
def test_test_pictures_alone_are_no_training_pictures(tmp_path, names):
    for name, side in zip(names, ("A", "B")[: len(names)], strict=True):
        fill(tmp_path / name, side=side if len(names) == 2 else None)
    refused(f"has a folder {names[0]}, but none for training: ", pairs.load, tmp_path)


def test_a_folder_that_is_too_small_to_hold_out(tmp_path):
    fill(tmp_path, 30)
    for load in (pairs.load, pairs.load_unpaired):
        refused("--hold-out would keep", load, tmp_path, hold_out=True)


def test_damage_is_named(tmp_path):
    fill(tmp_path)
    data = (tmp_path / "001.png").read_bytes()
    (tmp_path / "001.png").write_bytes(data[: len(data) // 2])
    refused("001.png is damaged or truncated", pairs.load, tmp_path)


@pytest.mark.parametrize("arguments, words", [({"size": 0}, "it is 0"), ({"channels": 2}, "1 channel .* not 2"),
                                              ({"split": "val"}, "no split 'val'"), ({"size": 10**6}, "memory"),
                                              ({"direction": "AB"}, "no direction .AB.; choose AtoB or")])  # fmt: skip
def test_arguments_that_cannot_be(tmp_path, arguments, words):
    fill(tmp_path)
    refused(words, pairs.load, tmp_path, **arguments)


def test_a_pair_keeps_its_label():
    some = Pairs(np.arange(3), np.arange(3) + 10, np.array([5, 6, 7])).rows(slice(1, 3))
    assert [part.tolist() for part in some] == [[1, 2], [11, 12], [6, 7]]
    assert Pairs(np.arange(3), np.arange(3)).rows([0]).labels is None
