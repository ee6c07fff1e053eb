"""Captions of glyphs, made from their true factors: "a large bold italic seven, tilted left"; and bags of their words.

A caption tells five attributes, each a column of an integer array (n, 5): digit, weight, slant, tilt, size. An empty
word, as for an upright seven of regular weight, is not mentioned.
"""

import re

import numpy as np

from scratchgan.data.glyphs import FACES, uniform_factors
from scratchgan.support.errors import DataError

ATTRIBUTES = {
    "digit": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "weight": ("", "bold"),
    "slant": ("", "italic"),
    "tilt": ("", "tilted left", "tilted right"),
    "size": ("", "small", "large"),
}
VALUES = tuple(len(words) for words in ATTRIBUTES.values())  # how many values each attribute has
VOCABULARY = (
    "a", "an", *ATTRIBUTES["digit"], "bold", "italic", "tilted", "left", "right", "small", "large",
)  # fmt: skip
BOLD = np.array([any(part in face for part in ("Bold", "Bol", "cmb")) for face in FACES])
ITALIC = np.array([any(part in face for part in ("Oblique", "Ital", "Ita")) for face in FACES])
TILTED = 4.0  # degrees from which a glyph counts as tilted; angles are within 12
SMALL, LARGE = 0.87, 0.98  # scales below and above which it counts as small and large; they reach from 0.8 to 1.05


def attributes(factors):
    """Return the attributes of glyphs with these true factors: integers (n, 5), in the order of ATTRIBUTES."""
    angle, scale = factors["angle"], factors["scale"]
    tilt = np.where(angle > TILTED, 1, np.where(angle < -TILTED, 2, 0))  # anticlockwise is to the left
    size = np.where(scale < SMALL, 1, np.where(scale > LARGE, 2, 0))
    return np.stack([factors["class"], BOLD[factors["font"]], ITALIC[factors["font"]], tilt, size], axis=1).astype(int)


def draw(n, rng):
    """Draw the attributes of n glyphs as they occur in the data, before any is made smaller to fit."""
    return attributes(uniform_factors(n, 28, 10, rng))


def mistaken(attributes, rng):
    """Return attributes that differ from the given ones in exactly one column, drawn at random, in each row."""
    wrong, rows = attributes.copy(), np.arange(len(attributes))
    column = rng.integers(0, len(VALUES), len(attributes))
    values = np.array(VALUES)[column]
    wrong[rows, column] = (wrong[rows, column] + 1 + rng.integers(0, values - 1)) % values  # never the same value
    return wrong


def caption(attributes):
    """Return the caption of one glyph: (5,) to text."""
    digit, weight, slant, tilt, size = (words[i] for words, i in zip(ATTRIBUTES.values(), attributes, strict=True))
    phrase = " ".join(word for word in (size, weight, slant, digit) if word)
    article = "an" if phrase[0] in "aei" else "a"  # an eight, an italic two; but a one, as if it began with w
    return f"{article} {phrase}" + (f", {tilt}" if tilt else "")


def bags(captions):
    """Return how often each word of VOCABULARY occurs in each caption: float32 (n, words). Order is not told.

    Raises DataError for a caption that has a word which is not in the vocabulary, or no word at all.
    """
    counts = np.zeros((len(captions), len(VOCABULARY)), np.float32)
    for row, text in zip(counts, captions, strict=True):
        words = re.findall(r"[^\s,.;]+", text.lower())
        unknown = [word for word in words if word not in VOCABULARY]
        if unknown or not words:
            what = f"has unknown words ({', '.join(unknown)})" if unknown else "is empty"
            raise DataError(f"The caption {text!r} {what}; the words are: {', '.join(VOCABULARY)}.")
        for word in words:
            row[VOCABULARY.index(word)] += 1
    return counts


def bags_of(attributes):
    """Return the bags of words of the captions of these attributes, (n, 5) to float32 (n, words)."""
    return bags([caption(row) for row in attributes])
