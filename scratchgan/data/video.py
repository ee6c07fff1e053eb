"""Clips of moving pictures: a glyph that flies straight on and bounces off the borders, or a folder of animations.

A clip is grey, uint8 (T, H, W_, 1): T frames. Positions are pairs (row, column) in pixels, the row downwards, and
(0, 0) is the middle of the first pixel.
"""

from typing import NamedTuple

import numpy as np
from PIL import ImageSequence

from scratchgan.data import glyphs
from scratchgan.data.checks import check_split, check_whole
from scratchgan.data.folders import find, passed_over
from scratchgan.data.held_out import held_out
from scratchgan.data.images import fit, flatten
from scratchgan.support.costs import afford
from scratchgan.support.errors import DataError
from scratchgan.support.pictures import open_picture

FRAMES, SIZE = 16, 32  # lengths below are pixels of a frame of this size, and grow with it
GLYPH, REACH = 22, 9  # the side of a glyph's picture; its middle comes as near to a border as this
PLAIN = {"font": glyphs.FACES.index("DejaVuSans-Bold"), "angle": 0.0, "shear": 0.0, "scale": 1.0, "weight": 0.0}
SPEED = (0.5, 1.5)  # pixels a frame, uniform
DIRECTIONS = 8  # number d: at an angle of 45 d degrees, counter-clockwise from the right
TEXTURE, BRIGHTEST = 6, 0.5  # numbers along a side of a background, and the largest of them: 1 is ink
DRAWN = {"train": 4000, "test": 1000}  # clips of a split
PIECE = 2**20  # pixels that are drawn at once


class Clips(NamedTuple):
    """A set of clips with what is known about each of them."""

    images: np.ndarray  # (N, T, H, W_, 1), uint8
    labels: np.ndarray | None = None  # (N,), int64
    factors: dict | None = None  # name -> (N, ...)
    names: tuple | None = None  # names[label] is the name of a class


def load(n=0, *, split="train", background="black", varied=False, frames=FRAMES, size=SIZE, seed=0):
    """Draw n clips of digits that fly straight on, and bounce off the borders, light on black or on a still texture.

    n: 0 for as many as DRAWN says. The digits are ten pictures, of one face; `varied`: glyphs of all faces, turned,
    sheared, large and small. A frame is m + (1 - m) b, m the glyph and b the background.
    `labels` are the digits; `factors` holds the glyphs' own, and `direction` (N,), 0 to 7, `speed` (N,), in pixels a
    frame, and `tracks` (N, T, 2), the middle of the glyph's picture in each frame. The splits, train and test, have
    other clips. Raises DataError for frames below 1, a size below 16, another split or background.
    """
    check_split(split)
    n = n or DRAWN[split]
    check_whole("number of clips", n)
    check_whole("size of a clip's frames", size, least=16)
    check_whole("number of frames", frames)
    if background not in ("black", "still"):
        raise DataError(f"There is no background {background!r}; choose black or still.")
    check_memory(n, frames, size)
    rng = np.random.default_rng([seed, split == "test"])
    side = round(GLYPH * size / SIZE)
    factors = glyphs.draw_factors(n, size=side, seed=int(rng.integers(2**31)))
    fixed = {"shift_x": 0.0, "shift_y": 0.0} | ({} if varied else PLAIN)
    factors |= {name: np.full(n, value, factors[name].dtype) for name, value in fixed.items()}
    drawn = glyphs.redraw(factors, size=side)
    tracks, moves = fly(n, frames, size, rng)
    ones = np.ones((n, frames), np.float32)
    textures = BRIGHTEST * rng.random((n, TEXTURE, TEXTURE), dtype=np.float32)
    middle, enlarge = np.full((n, 1, 2), (size - 1) / 2), ones[:, :1] * size / (TEXTURE - 1)
    images = np.empty((n, frames, size, size, 1), np.uint8)
    for some in pieces(n, frames * size**2):
        placed = {"angle": 0 * ones[some], "scale": ones[some], "size": size}
        m = rendered(drawn.images[some], centre=tracks[some], **placed)
        if background == "still":
            b = rendered(textures[some], centre=middle[some], angle=0 * enlarge[some], scale=enlarge[some], size=size)
            m += (1 - m) * b
        images[some] = np.rint(255 * m)
    return Clips(images, drawn.labels, drawn.factors | moves | {"tracks": tracks}, drawn.names)


def fly(n, frames, size, rng):
    """Return tracks (n, frames, 2) of straight flights between the borders, and {"direction", "speed"}, each (n,)."""
    unit = size / SIZE
    low, room = REACH * unit - 0.5, size - 2 * REACH * unit
    start = rng.random((n, 2)) * room
    direction = rng.integers(DIRECTIONS, size=n)
    speed = rng.uniform(*SPEED, size=n) * unit
    angle = 2 * np.pi / DIRECTIONS * direction
    step = speed[:, None] * np.stack([-np.sin(angle), np.cos(angle)], axis=1)  # rows go downwards
    straight = start[:, None] + step[:, None] * np.arange(frames)[:, None]  # (n, frames, 2)
    bounced = room - np.abs(straight % (2 * room) - room)  # there, and back again
    return low + bounced, {"direction": direction, "speed": speed}


# ---- animations ------------------------------------------------------------------------------------------


def load_folder(path, *, split="", frames=FRAMES, size=SIZE):
    """Load every animation of a folder as grey clips, with its sub-folders, which are the classes, if there are any.

    Animations are GIF, WebP, PNG and TIFF files of several frames. Each gives as many clips of `frames` frames as it
    holds one after the other; what is left at its end is not used. Frames are cut to their centre square and resized.
    split: "test", one file in ten, "train", the others; "", all of them.
    Raises DataError, naming the file, for a folder without such files, and for a picture of fewer frames.
    """
    check_whole("size of a clip's frames", size)
    check_whole("number of frames", frames)
    found = find(path)
    passed_over(found)
    rows = np.arange(len(found.files))
    if split:
        check_split(split)
        rows = np.flatnonzero(held_out(found.files) == (split == "test"))
    clips, labels = [], []
    for row in rows:
        here = read(found.files[row], frames, size)
        check_memory(sum(map(len, clips)) + len(here), frames, size)
        clips.append(here)
        labels += [found.labels[row]] * len(here) if found.names else []
    return Clips(np.concatenate(clips), np.array(labels) if found.names else None, None, found.names)


def read(file, frames, size):
    """Return the clips of an animation, uint8 (n, frames, size, size, 1); raise DataError if there is none."""
    with open_picture(file, error=DataError) as picture:
        count = getattr(picture, "n_frames", 1)
        if count < frames:
            fewer = ", or lower --frames" if frames > 8 else ""  # what the example has at the least
            frames_here = f"{count} frame{'s' * (count > 1)}"
            raise DataError(f"{file} has {frames_here}, and a clip has {frames}: leave it out{fewer}.")
        n = count // frames
        check_memory(n, frames, size)
        clips = np.empty((n * frames, size, size, 1), np.uint8)
        for number, frame in zip(range(n * frames), ImageSequence.Iterator(picture), strict=False):
            clips[number] = fit(flatten(frame, channels=1), size)
    return clips.reshape(n, frames, size, size, 1)


# ---- drawing ---------------------------------------------------------------------------------------------


def rendered(pictures, *, centre, angle, scale, size):
    """Return clips of moving pictures: ink from 0 to 1, float32 (N, T, size, size, 1).

    In frame t, picture n is turned by angle[n, t] and enlarged by scale[n, t] about its middle, which lies at
    centre[n, t]. What is around it is 0; between pixels, values are bilinear.

    pictures: (N, H, W_) or (N, H, W_, 1), bytes or floating-point numbers from 0 to 1; centre: (N, T, 2), pairs (row,
    column) in pixels; angle: (N, T), radians, counter-clockwise as one sees it; scale: (N, T), above 0.
    """
    n, H, W_ = pictures.shape[:3]
    ink = pictures.reshape(n, H, W_)
    ink = ink.astype(np.float32) / 255 if ink.dtype == np.uint8 else ink.astype(np.float32)
    ink = np.pad(ink, ((0, 0), (1, 1), (1, 1)))  # so that a border fades to 0 within a pixel
    turn = np.exp(1j * angle) / scale  # (N, T): from the frame back to the picture
    cos, sin = turn.real.astype(np.float32), turn.imag.astype(np.float32)
    clips = np.empty((n, angle.shape[1], size, size, 1), np.float32)
    for some in pieces(n, clips[0].size):
        rows, columns = (np.arange(size, dtype=np.float32) - centre[some, :, None, axis] for axis in (0, 1))
        r, c = rows.astype(np.float32)[..., :, None], columns.astype(np.float32)[..., None, :]
        cos_t, sin_t = cos[some, :, None, None], sin[some, :, None, None]  # rows go downwards: so turns R(-angle)
        row = cos_t * r + sin_t * c + np.float32((H + 1) / 2)  # (n, T, size, size), in the padded picture
        column = cos_t * c - sin_t * r + np.float32((W_ + 1) / 2)
        clips[some, ..., 0] = bilinear(ink[some], row, column)
    return clips


def bilinear(pictures, row, column):
    """Return pictures (n, H, W_) at places (n, T, ...), between four pixels; beyond the border, as at it."""
    n, H, W_ = pictures.shape
    row, column = np.clip(row, 0, H - 1), np.clip(column, 0, W_ - 1)
    top, left = np.minimum(row.astype(np.int32), H - 2), np.minimum(column.astype(np.int32), W_ - 2)
    down, right = row - top, column - left
    corner = np.arange(n, dtype=np.int32).reshape(n, *[1] * (row.ndim - 1)) * (H * W_) + top * W_ + left
    flat = pictures.reshape(-1)
    above = flat[corner] * (1 - right) + flat[corner + 1] * right
    below = flat[corner + W_] * (1 - right) + flat[corner + W_ + 1] * right
    return above * (1 - down) + below * down


def pieces(n, pixels):
    """Yield slices of n clips of so many pixels each, few enough to be drawn at once."""
    step = max(PIECE // pixels, 1)
    yield from (slice(start, start + step) for start in range(0, n, step))


def check_memory(n, frames, size):
    """Raise DataError unless there is memory for n clips."""
    what = f"{n:,} clips of {frames} frames of {size} x {size}"
    afford(n * frames * size**2, what, "draw fewer, or lower --frames or --size", DataError)
