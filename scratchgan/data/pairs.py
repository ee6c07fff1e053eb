"""Pictures in pairs: what goes in, and what shall come out; and folders of them, as they are usually laid out.

Side by side, a picture of an even width holds A on its left and B on its right:

    FOLDER/1.png    or, with pictures to test on,    FOLDER/train/1.png, FOLDER/test/2.png (or val)

In two folders, a picture of A and its partner of B have one name, but for the ending:

    FOLDER/A/1.png, FOLDER/B/1.png    or    FOLDER/trainA, trainB, testA, testB    or    FOLDER/A/train, B/train, ...
"""

import os
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageOps

from scratchgan.data import glyphs
from scratchgan.data.checks import check_channels, check_room, check_split, check_whole
from scratchgan.data.folders import find, one_by_one, passed_over
from scratchgan.data.held_out import held_out
from scratchgan.data.images import check_usable, fit, flatten
from scratchgan.support.errors import DataError
from scratchgan.support.pictures import open_picture
from scratchgan.support.text import printable

DIRECTIONS = ("AtoB", "BtoA")
TASKS = ("fill", "font", "weight", "hatch")  # of `draw`
DRAWN = {"train": 10_000, "test": 2000}  # pairs
LEAST = 2  # pictures of a split: of one, nothing can be learnt or told
LEAST_SIDE = 8  # pixels: what is smaller would be enlarged to a blur
COLOURED = 16  # levels by which a pixel's channels differ in a picture that is not grey
# Where the pictures of a split may lie, in the order in which they are looked for; "." is the folder itself.
PLACES = {
    "train": (("trainA", "trainB"), ("A/train", "B/train"), ("A", "B"), ("train",), (".",)),
    "test": (("testA", "testB"), ("valA", "valB"), ("A/test", "B/test"), ("A/val", "B/val"), ("test",), ("val",)),
}


class Pairs(NamedTuple):
    """Pictures to translate, what each of them shall become, and its class where that is known."""

    inputs: np.ndarray  # (N, H, W_, C), uint8
    truths: np.ndarray  # (N, H, W_, C), uint8
    labels: np.ndarray | None = None  # (N,), int64

    def rows(self, rows):
        """Return some of the pairs."""
        return Pairs(self.inputs[rows], self.truths[rows], None if self.labels is None else self.labels[rows])


def load(folder, *, split="train", size=28, channels=1, direction="AtoB", hold_out=False):
    """Load the pairs of a folder, side by side or in folders A and B: `Pairs` of (N, size, size, channels).

    direction: AtoB, or BtoA, where B is the input. Test pictures lie in folders of their own, or are, with `hold_out`,
    one in ten pairs. Each picture is read as `images.load_folder` reads it; of a pair side by side, each half is.
    Raises DataError, naming the file, for whatever cannot be used: an odd width, a missing partner, another shape.
    """
    if direction not in DIRECTIONS:
        raise DataError(f"There is no direction {direction!r}; choose {' or '.join(DIRECTIONS)}.")
    found = find_all(folder, split, hold_out)
    files = [(file,) for file in found[0].files] if len(found) == 1 else partners(*found)
    rows = chosen([names[0] for names in files], split, hold_out)
    pairs = read([files[row] for row in rows], found[0], size, channels)
    inputs, truths = (pairs[:, 0], pairs[:, 1]) if direction == "AtoB" else (pairs[:, 1], pairs[:, 0])
    return Pairs(inputs, truths)


def load_unpaired(folder, *, split="train", size=28, channels=1, hold_out=False):
    """Load pictures of two kinds, in folders A and B, that need no partners: arrays (A, B) of any two lengths.

    They lie as `load` wants them, but for the names; of pairs side by side, it is the halves. Raises DataError.
    """
    found = find_all(folder, split, hold_out)
    if len(found) == 1:
        pairs = load(folder, split=split, size=size, channels=channels, hold_out=hold_out)
        return pairs.inputs, pairs.truths
    if channels == 1:
        demand_alike([side.files[0] for side in found])
    kinds = []
    for side in found:
        rows = chosen(side.files, split, hold_out)
        kinds.append(read([(side.files[row],) for row in rows], side, size, channels, halves=False)[:, 0])
    return tuple(kinds)


def draw(task, *, split="train", size=28, channels=1, seed=0):
    """Draw pairs of glyphs of one geometry, of all 62 characters, with their class: `Pairs`, as many as DRAWN says.

    What becomes of the input, by the task: fill: of a thin outline, the glyph; font: of DejaVu Sans, STIX italic;
    weight: of a thin outline of regular strokes, a glyph of any weight, which the input does not tell; hatch: of a thin
    outline, a glyph of diagonal stripes, which the input does not tell either. Raises DataError.
    """
    if task not in TASKS or split not in DRAWN:
        raise DataError(f"There is no task {task!r} of split {split!r}; choose {', '.join(TASKS)}, and train or test.")
    check_channels(channels)
    seed = seed if split == "train" else [seed, 1]
    drawn, unit = {"size": size, "characters": glyphs.CHARACTERS}, size / 32
    line, fonts = 0.8 * unit, [glyphs.FACES.index(face) for face in ("DejaVuSans", "STIXGeneralItalic")]
    # Room for both drawings, so that neither is made smaller; around a light glyph, regular strokes reach farther.
    rooms = {"font": {"fonts": fonts}, "weight": {"outline": line + unit}}
    factors = glyphs.draw_factors(DRAWN[split], seed=seed, **drawn, **rooms.get(task, {"outline": line}))
    if task == "font":
        inputs, truths = (glyphs.redraw(factors, font=font, **drawn).images for font in fonts)
    else:
        told = factors | {"weight": np.zeros_like(factors["weight"])} if task == "weight" else factors
        inputs = glyphs.redraw(told, outline=line, **drawn).images
        truths = glyphs.redraw(factors, **drawn).images
    if task == "hatch":
        truths = hatched(truths, 5 * unit, np.random.default_rng(seed))
    return Pairs(inputs.repeat(channels, axis=-1), truths.repeat(channels, axis=-1), factors["class"])


def hatched(images, period, rng):
    """Return images that are black in every other diagonal stripe, of which rng chooses the place in each image."""
    n, H, W_, _ = images.shape
    along = np.add.outer(np.arange(H), np.arange(W_))[:, :, None] / np.sqrt(2)  # pixels across the stripes
    phase = rng.random((n, 1, 1, 1), dtype=np.float32)
    wave = np.sin(2 * np.pi * (along.astype(np.float32) / np.float32(period) + phase))
    return np.rint(images * np.clip(0.5 + 2 * wave, 0, 1)).astype(np.uint8)


# ---- which files -----------------------------------------------------------------------------------------


def find_all(folder, split, hold_out):
    """Return a `folders.Folder` of pairs side by side, or one of A and one of B, in which this split lies."""
    check_split(split)
    folder = Path(os.path.expanduser(folder))
    if not folder.is_dir():
        find(folder)  # which says what is wrong
    train, test = (first_place(folder, PLACES[name]) for name in ("train", "test"))
    test = test if test and len(test) == len(train) else None
    if test and train == (".",) or test and test[0].startswith(train[0] + "/"):
        raise DataError(f"{folder} has a folder {test[0]}, but none for training: {test[0].replace('test', 'train')}.")
    if test and hold_out:
        raise DataError(f"{folder} has test pictures of its own, in {test[0]}: leave out --hold-out.")
    if not test and not hold_out and split == "test":
        raise DataError(f"{folder} has no test pictures: move some pairs into {told_places(train)}, or keep one in ten "
                        "with --hold-out.")  # fmt: skip
    found = [find(folder / name) for name in (test if test and split == "test" else train)]
    for side in found:
        if len(found) == 1:
            demand_no_kinds(side)
        if len(side.files) < LEAST:
            raise DataError(f"{side.folder} holds {len(side.files)} picture: {LEAST} is the least.")
        passed_over(side)
    return found


def demand_no_kinds(side):
    """Raise DataError where pictures lie in folders of an A and of a B, each of which would be cut in two halves."""
    inside = {part for file in side.files for part in file.relative_to(side.folder).parts[:-1]}
    kinds = {re.sub("^(train|test|val)[ _-]?", "", name.casefold()): name for name in sorted(inside)}
    if kinds.keys() - {""} == {"a", "b"}:
        raise DataError(f"{side.folder} was taken for pairs side by side, and has folders {kinds['a']} and {kinds['b']}"
                        ": name two folders A and B, or trainA and trainB, in the folder that is given.")  # fmt: skip


def first_place(folder, places):
    """Return the names of the first place of which a folder is there; raise DataError if its other one is missing."""
    for names in places:
        there = [name for name in names if (folder / name).is_dir()]
        if there:
            missing = [name for name in names if name not in there]
            if missing:
                raise DataError(f"{folder} has a folder {there[0]}, but no {missing[0]}.")
            return names
    return None


def told_places(train):
    """Return where test pictures would lie, as text."""
    if len(train) == 1:
        return "a folder test, and the others into train"
    return " and ".join(name.replace("train", "test") if "train" in name else f"test{name}" for name in train)


def partners(A, B):
    """Return [(file of A, file of B)], by their names without endings; raise DataError where one has no partner."""
    named = [{}, {}]
    for side, names in zip((A, B), named, strict=True):
        for file in side.files:
            name = file.relative_to(side.folder).with_suffix("").as_posix()
            name = unicodedata.normalize("NFC", name)  # an é can be written as one letter or as two
            if name in names:
                raise DataError(f"{names[name]} and {file.name} have one name: which of them is meant? Remove one.")
            names[name] = file
    for own, other, place in ((*named, B.folder), (*named[::-1], A.folder)):
        lonely = [name for name in own if name not in other]
        if lonely:
            more = f" (and {len(lonely) - 1:,} more)" if len(lonely) > 1 else ""
            raise DataError(f"{own[lonely[0]]}{more} has no partner of its name in {place}: add it, or remove this.")
    return [(named[0][name], named[1][name]) for name in named[0]]


def chosen(files, split, hold_out):
    """Return which of these files belong to a split, as rows: all, or, with hold_out, what their bytes say."""
    return np.flatnonzero(held_out(files) == (split == "test")) if hold_out else np.arange(len(files))


# ---- the pictures ----------------------------------------------------------------------------------------


def read(files, found, size, channels, halves=True):
    """Read [(file of A, file of B)], or [(file of both,)], or, without halves, [(file,)]: uint8 (N, 2 or 1, ...)."""
    check_whole("size of a picture", size)
    check_channels(channels)
    sides = 2 if halves else 1
    check_room(sides * len(files), size, channels)
    if channels == 1 and halves:
        demand_alike(files[0])
    images = np.empty((len(files), sides, size, size, channels), np.uint8)
    doing = f"reading {printable(found.folder.name)}"
    for i, names in enumerate(one_by_one(found._replace(files=files), doing)):
        pictures = [opened(file, channels) for file in names]
        if len(names) == 2:
            demand_one_shape(names, pictures)
        elif halves:
            pictures = cut(names[0], pictures[0])
        for picture in pictures:
            demand_size(names, picture)
        images[i] = [fit(picture, size) for picture in pictures]
    return images


def opened(file, channels):
    """Return the picture in a file with Pillow, upright, grey or RGB; raise DataError if it cannot be used."""
    with open_picture(file, error=DataError) as picture:
        check_usable(file, picture)
        return flatten(ImageOps.exif_transpose(picture), channels)


def cut(file, picture):
    """Return the left and the right half of a picture; raise DataError where these are no two pictures side by side."""
    width, height = picture.size
    if width % 2 or width <= height:
        what = "an odd width has no two halves" if width % 2 else "two pictures side by side are wider than high"
        raise DataError(f"{file} is {width} x {height} pixels, and {what}; other pairs lie in folders A and B.")
    return [picture.crop((left, 0, left + width // 2, height)) for left in (0, width // 2)]


def demand_one_shape(files, pictures):
    """Raise DataError unless two pictures have one shape, but for rounding: else their centre squares do not match."""
    (a, b), (c, d) = (picture.size for picture in pictures)
    if abs(a * d - b * c) > max(a, b, c, d):
        raise DataError(f"{files[0]} has {a} x {b} pixels, and its partner in {files[1].parent} {c} x {d}: "
                        "cut them to one shape.")  # fmt: skip


def demand_size(files, picture):
    """Raise DataError for a picture that is too small to show something."""
    if min(picture.size) < LEAST_SIDE:
        width, height = picture.size
        which = " and ".join(map(str, files))
        raise DataError(f"{which}: a picture of {width} x {height} pixels is too small, {LEAST_SIDE} x {LEAST_SIDE} is "
                        "the least.")  # fmt: skip


def demand_alike(files):
    """Raise DataError where the first picture of A is grey and that of B is not, or the reverse: both become grey."""
    pictures = [opened(file, 3) for file in files]
    pictures = pictures if len(files) == 2 else cut(files[0], pictures[0])
    grey = [np.ptp(np.asarray(picture), axis=-1).max() < COLOURED for picture in pictures]
    if grey[0] != grey[1]:
        A, B = ("grey" if each else "in colour" for each in grey)
        raise DataError(f"{files[0]}: pictures of A are {A}, those of B {B}, and --channels 1 makes all of them grey: "
                        "take --channels 3, or make them grey yourself.")  # fmt: skip
