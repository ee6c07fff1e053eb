"""Glyphs whose face is told by other glyphs: a character, its plain form, and K other characters of its face.

Ten characters, four faces, and one in eight of what is left (a character of a face) are in no training data. So it
can be asked what a network does with a pair that it has not seen, with a new character, and with a new face.
"""

from typing import NamedTuple

import numpy as np

from scratchgan.data import glyphs
from scratchgan.data.checks import check_whole
from scratchgan.support.errors import DataError

PLAIN = glyphs.FACES.index("DejaVuSans")  # the face of the content, which is nobody's style
NEW_CHARACTERS = glyphs.CHARACTERS[3::6]  # 3 9 F L R X d j p v
NEW_FACES = ("DejaVuSerif-Bold", "STIXGeneralItalic", "cmss10", "cmtt10")
SPLITS = ("train", "new pairs", "new characters", "new faces")


class Styled(NamedTuple):
    """Pictures of characters in a face, and what tells of each: uint8 on the host, K style glyphs in the channels."""

    truths: np.ndarray  # (n, size, size, 1): the character in the face
    inputs: np.ndarray  # (n, size, size, 1 + K): the very same glyph in the plain face, then the style glyphs
    faces: np.ndarray  # (n,), indices into glyphs.FACES
    characters: np.ndarray  # (n,), indices into glyphs.CHARACTERS


def load(n=10_000, *, split="train", styles=4, size=28, seed=0):
    """Draw n random glyphs of one of SPLITS, each with K = `styles` glyphs of other characters of its face.

    All stand upright: an upright face that is sheared and an oblique one could not be told apart. A glyph and its
    plain form have the same scale, place and weight, as `glyphs.redraw` makes them. Each style glyph has its own, and
    is a character which training data have in this face, or would have in a new face.
    Raises DataError for another split, and for numbers that are none.
    """
    if split not in SPLITS:
        raise DataError(f"There is no split {split!r} of glyphs in faces: {', '.join(SPLITS)}.")
    check_whole("number of pictures", n)
    check_whole("number of style glyphs", styles)
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    pairs = np.argwhere(members(split))
    characters, faces = pairs[rng.integers(len(pairs), size=n)].T
    letters = {"size": size, "characters": glyphs.CHARACTERS}

    def draw_factors(characters):
        factors = glyphs.draw_factors(n, seed=rng.integers(2**63), **letters) | {"class": characters}
        return factors | {name: np.zeros_like(factors[name]) for name in ("angle", "shear")}

    room = glyphs.redraw(draw_factors(characters), font=PLAIN, **letters).factors  # smaller where one would be cut off
    truth = glyphs.redraw(room, font=faces, **letters)
    plain = glyphs.redraw(truth.factors, font=PLAIN, **letters)
    shown = others(characters, faces, styles, rng)  # (n, K)
    telling = [glyphs.redraw(draw_factors(shown[:, k]), font=faces, **letters).images for k in range(styles)]
    return Styled(truth.images, np.concatenate([plain.images, *telling], axis=-1), faces, characters)


def members(split):
    """Return which characters of which faces belong to a split: a table of booleans, (characters, faces)."""
    return table() == SPLITS.index(split)


def table():
    """Return the number of each pair's split, (characters, faces); -1 where it belongs to none."""
    characters = np.arange(len(glyphs.CHARACTERS))[:, None]
    faces = np.arange(len(glyphs.FACES))[None, :]
    new_character = np.isin(list(glyphs.CHARACTERS), list(NEW_CHARACTERS))[:, None]
    new_face = np.isin(glyphs.FACES, NEW_FACES)[None, :]
    split = np.where((characters + faces) % 8 == 0, 1, 0)
    split = np.where(new_face, 3, split)
    split = np.where(new_character, np.where(new_face, -1, 2), split)
    return np.where(faces == PLAIN, -1, split)


def others(characters, faces, count, rng):
    """Return so many characters that tell of each face, all different, and none of them the one given: (n, count)."""
    telling = members("train") | members("new faces")  # (characters, faces)
    order = rng.random((len(characters), len(telling)))
    order[~telling[:, faces].T] = 2.0
    order[np.arange(len(characters)), characters] = 2.0
    if count > telling.sum(axis=0)[faces].min() - 1:
        raise DataError(f"There are no {count} other characters of each face to tell of it.")
    return np.argsort(order, axis=1)[:, :count]
