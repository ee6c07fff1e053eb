"""Clips of eight motions of which no single frame tells which: a glyph whose state walks around one of four circles.

The state of a glyph is a row, a column, an angle and a size, each a share of a circle from 0 to 1: what leaves the
frame at the left enters it at the right, a turn ends where it began, and a glyph that has grown to the largest size is
the smallest again. Where a motion starts is uniform on all four. So is the state in each single frame, whatever the
motion, its direction and its speed: a uniform number on a circle, plus any number, is uniform on the circle.
"""

import functools

import numpy as np

from scratchgan.data import glyphs
from scratchgan.data.checks import check_split, check_whole
from scratchgan.data.video import TEXTURE, Clips, check_memory, pieces, rendered

NAMES = ("left", "right", "up", "down", "turn left", "turn right", "grow", "shrink")  # 2 k and 2 k + 1: there and back
CIRCLE = (1, 1, 0, 0, 2, 2, 3, 3)  # the place in (row, column, angle, size) that a motion moves,
WAY = (-1, 1, -1, 1, 1, -1, 1, -1)  # and which way around
FRAMES, SIZE, GLYPH = 8, 24, 18  # GLYPH: the side of a glyph's picture at size 1
DIGITS = "023456789"  # a 1 is a bar of which little can be seen
SIZES = (0.7, 1.6)  # of a glyph, the first to the last of its circle
SPEED = (0.05, 0.08)  # shares of a circle in a frame: 1.2 to 1.9 pixels, 18 to 29 degrees, 4 to 7 % of a size
INK, BRIGHTEST = (0.8, 1.0), 0.2  # how bright a glyph is; its background is between 0 and BRIGHTEST
NOISE = 0.1  # standard deviation of what is added to each pixel of each frame


@functools.lru_cache(maxsize=3)
def load(n=8000, *, split="train", seed=0):
    """Draw n clips of moving digits: uint8 (n, 8, 24, 24, 1); labels, (n,), count NAMES, and are as often as can be.

    A digit's mask m and brightness c, of a still background b, are shown as c m + (1 - m) b, plus noise. `factors` are
    `state` (n, 8, 4), the shares of the four circles in each frame, `speed` (n,), in shares a frame, `contrast` c
    (n,), and those of the glyphs, `class` and `font` (n,) among them. The splits, train and test, have other clips
    of the same fonts. Asked again, it returns the same arrays: images and labels, which cannot be written to.
    Raises DataError for an n below 1 and another split.
    """
    check_split(split)
    check_whole("number of clips", n)
    check_memory(n, FRAMES, SIZE)
    rng = np.random.default_rng([seed, split == "test"])
    centred = {"shift_x": np.zeros(n, np.float32), "shift_y": np.zeros(n, np.float32)}
    of_glyphs = glyphs.draw_factors(n, size=GLYPH, characters=DIGITS, seed=int(rng.integers(2**31))) | centred
    labels = rng.permutation(np.arange(n) % len(NAMES))
    speed, contrast = rng.uniform(*SPEED, n), rng.uniform(*INK, n).astype(np.float32)
    moved = {"state": walk(labels, speed, rng), "speed": speed, "contrast": contrast}
    textures = BRIGHTEST * rng.random((n, TEXTURE, TEXTURE), dtype=np.float32)
    pictures = glyphs.redraw(of_glyphs, size=GLYPH, characters=DIGITS).images
    images = np.empty((n, FRAMES, SIZE, SIZE, 1), np.uint8)
    for some in pieces(n, FRAMES * SIZE**2):
        clips = shown(pictures[some], moved["state"][some], contrast[some], textures[some])
        clips += NOISE * rng.standard_normal(clips.shape, dtype=np.float32)
        images[some] = np.rint(255 * np.clip(clips, 0, 1))
    factors = of_glyphs | moved
    for array in (images, labels, *factors.values()):  # which others will be given, too
        array.flags.writeable = False
    return Clips(images, labels, factors, NAMES)


def walk(labels, speed, rng):
    """Return the states of motions, (n, FRAMES, 4), from 0 to 1: uniform in each frame."""
    steps = np.zeros((len(labels), 1, 4))
    steps[np.arange(len(labels)), 0, np.take(CIRCLE, labels)] = speed * np.take(WAY, labels)
    start = rng.random((len(labels), 1, 4))
    return (start + steps * np.arange(FRAMES)[:, None]) % 1


def shown(pictures, state, contrast, textures):
    """Return clips without noise, float32 (n, FRAMES, SIZE, SIZE, 1), of states (n, FRAMES, 4)."""
    n, frames = state.shape[:2]
    whole, part = np.divmod(SIZE * state[..., :2], 1)  # pixels: drawn in the middle, and rolled to their place
    low, high = np.log(SIZES)
    turned = {"angle": 2 * np.pi * state[..., 2], "scale": np.exp(low + (high - low) * state[..., 3])}
    m = rendered(pictures, centre=part + SIZE // 2, **turned, size=SIZE)
    row, column = ((np.arange(SIZE) + SIZE // 2 - whole.astype(int)[..., [axis]]) % SIZE for axis in (0, 1))
    m = np.take_along_axis(m, row[..., None, None], 2)
    m = np.take_along_axis(m, column[..., None, :, None], 3)
    still = np.ones((n, 1))
    placed = {"centre": np.full((n, 1, 2), (SIZE - 1) / 2), "angle": 0 * still, "scale": still * SIZE / (TEXTURE - 1)}
    b = rendered(textures, **placed, size=SIZE)  # (n, 1, SIZE, SIZE, 1)
    return m * (contrast[:, None, None, None, None] - b) + b
