"""Pictures of digits and letters made from fonts: a data set that needs no download and knows its factors.

The faces are the text fonts that matplotlib brings along, so the pictures are the same on every machine with
the same versions. Each character of each face is kept as a signed distance field (Green, "Improved
Alpha-Tested Magnification for Vector Textures and Special Effects", SIGGRAPH 2007 courses): for each point
the distance to the outline, negative inside. A pixel is then `clip(1/2 - distance / softness)`, which makes
smooth edges, and adding to the stroke weight is subtracting from the distance.
"""

import functools
import os

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scratchgan.data.checks import check_positive, check_room, check_whole
from scratchgan.data.images import Images
from scratchgan.support.errors import DataError

# The text faces among the files of matplotlib's own font directory, in every version since 3.8.
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# The ranges of the factors, each uniform. Pixels are those of a picture of 28 x 28 and grow with the size.
ANGLE = (-12.0, 12.0)  # degrees, anticlockwise
SHEAR = (-0.15, 0.25)  # a positive shear leans to the right, as an italic does
SCALE = (0.8, 1.05)  # 1: the character fills MNIST's box of 20 x 20 pixels
SHIFT = (-1.5, 1.5)  # pixels, to the right and downwards
WEIGHT = (-0.2, 0.3)  # pixels by which every edge of a stroke moves outwards

BOX = 20.0  # pixels of 28: the side of the box that a character of scale 1 fills, as in MNIST
CELL = 28.0  # pixels of 28: the side of a distance field; no stroke reaches across the margin
FIELD = 60  # samples along the side of a distance field
FINE = 5  # pixels of the drawing per sample; odd, so that a sample lies in the middle of a pixel
SOFTNESS = 1.1  # pixels, at any size, in which an edge goes from black to white, about as in MNIST
BLOCK = 256  # pictures that are drawn at once: few enough for the cache


def load(n=10_000, *, size=28, characters="0123456789", seed=0):
    """Draw `n` grey pictures of random characters in random faces, light on black, with their true factors.

    Each picture is rotated, sheared, scaled, shifted and made bolder or lighter at random. A glyph coordinate
    u (pixels from the middle of the character) goes to `scale R(angle) S(shear) u + shift`. A character is
    never cut off: where it would cross the border, scale and shift are made smaller, and `factors` hold what
    was used.

    `images` is (n, size, size, 1); `names` are the characters; `factors` holds, each (n,): `class` (the
    label), `font` (an index into FACES), `angle` (degrees, anticlockwise), `shear`, `scale`, `shift_x`,
    `shift_y` (pixels, right and down) and `weight` (pixels by which the strokes' edges are moved outwards).
    Picture i depends on `seed`, `size` and `characters`, not on `n`.

    Raises DataError for n < 1, size < 8, no characters, one given twice, or one other than A-Z, a-z, 0-9.
    """
    return redraw(draw_factors(n, size=size, characters=characters, seed=seed), size=size, characters=characters)


def redraw(factors, *, size=28, characters="0123456789", font=None, outline=None, softness=SOFTNESS):
    """Draw the very glyphs of these `factors`, as `load` would: in another face, as outlines, with softer edges.

    font: an index into FACES, or one for each picture, in the place of `factors["font"]`. outline: the width in
    pixels of a line along the strokes' edges, which is drawn in the place of the strokes. softness: pixels in which
    an edge goes from black to white. Lengths are pixels of a picture of `size`; see `enlarged` for another size.
    Where a character would cross the border, its scale and shift are made smaller: `draw_factors` can leave room
    for this beforehand, so that two drawings lie on top of each other. Returns Images with the factors that were used.

    Raises DataError as `load` does, for factors that are missing, for no font of FACES, and for lengths that are none,
    or so large that ink would reach beyond the distance fields.
    """
    factors = check_factors(factors, size, characters)
    if font is not None:
        factors["font"] = spread(check_fonts(font), len(factors["class"]))
    if outline is not None:
        check_positive("width of an outline", outline)
    check_positive("softness of an edge", softness)
    n = len(factors["class"])
    check_room(n, size, channels=1)
    fonts, place = np.unique(factors["font"], return_inverse=True)
    fields, extents = zip(*(glyph(FACES[f], c) for f in fonts for c in characters), strict=True)
    fields = np.stack(fields)  # (faces * characters, FIELD, FIELD)
    which = place * len(characters) + factors["class"]
    edge = ((outline or 0.0) + softness) / 2
    keep_inside(factors, np.array(extents)[which], size, edge)
    check_reach(fields, factors, size, edge)
    images = np.empty((n, size, size, 1), np.uint8)
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        block = {name: values[rows] for name, values in factors.items()}
        distance = distances(fields, which[rows], block, size)
        if outline is not None:
            distance = np.abs(distance) - np.float32(outline / 2)
        images[rows, :, :, 0] = np.rint(np.clip(0.5 - distance / np.float32(softness), 0, 1) * 255).astype(np.uint8)
    return Images(images, factors["class"].copy(), factors, tuple(characters))


def check_arguments(n, size, characters):
    check_whole("number of pictures", n)
    check_whole("size of a glyph's picture", size, least=8)
    if not characters:
        raise DataError("Glyphs need at least one character.")
    unknown = sorted(set(characters) - set(CHARACTERS))
    if unknown:
        raise DataError(f"Glyphs are A-Z, a-z and 0-9 only, not {' '.join(map(repr, unknown))}.")
    if len(set(characters)) < len(characters):
        twice = sorted(c for c in set(characters) if characters.count(c) > 1)
        raise DataError(f"Each character is one class; {' '.join(map(repr, twice))} is given more than once.")


def check_fonts(fonts):
    """Return indices into FACES as an array, () or (k,); raise DataError where one is none."""
    fonts = np.asarray(fonts)
    if fonts.ndim > 1 or not np.isin(fonts, np.arange(len(FACES))).all():
        raise DataError(f"A font is an index into FACES, from 0 to {len(FACES) - 1}, not {fonts.tolist()}.")
    return fonts.astype(np.int64)


def spread(fonts, n):
    """Return a face for each of n pictures, (n,), of one for all, or of one for each; raise DataError for others."""
    if fonts.shape not in ((), (1,), (n,)):
        raise DataError(f"There is one font for all pictures, or one for each of the {n}, not {fonts.size}.")
    return np.repeat(fonts, n) if fonts.size != n else fonts.reshape(n)


def check_factors(factors, size, characters):
    """Return a copy of factors that one can draw; raise DataError for a missing one, another length, and no numbers."""
    names = ("class", "font", "angle", "shear", "scale", "shift_x", "shift_y", "weight")
    missing = [name for name in names if name not in factors]
    if missing:
        raise DataError(f"The factors of glyphs lack {', '.join(missing)}.")
    factors = {name: np.array(factors[name]) for name in names}
    shapes = {values.shape for values in factors.values()}
    if len(shapes) > 1 or len(shapes.pop()) != 1:
        raise DataError("The factors of glyphs are arrays (n,) of one length.")
    check_arguments(len(factors["class"]), size, characters)
    factors["font"] = check_fonts(factors["font"])
    for name in names[2:]:
        if factors[name].dtype.kind not in "biuf" or not np.isfinite(factors[name]).all():
            raise DataError(f"The factors of glyphs are finite numbers, and {name} has others.")
    if not (factors["scale"] > 0).all():
        raise DataError(f"The scale of a glyph is above 0; the smallest here is {factors['scale'].min()}.")
    if not np.isin(factors["class"], np.arange(len(characters))).all():
        raise DataError(f"These factors are of other characters than the {len(characters)} of {characters!r}.")
    factors["class"] = factors["class"].astype(np.int64)
    return factors


def check_reach(fields, factors, size, edge):
    """Raise DataError where ink reaches farther from a character than its distance field does: it would be cut off."""
    margin = min(fields[:, [0, -1]].min(), fields[:, :, [0, -1]].min()) * size / 28 * factors["scale"]
    reach = factors["weight"] + edge
    if (reach > margin).any():
        raise DataError(too_far(reach, size))


def too_far(reach, size):
    """Return what is wrong with ink that reaches so far from characters, (n,), in words."""
    return (f"A line and its edges reach {reach.max():.3g} pixels from a character, too far for {size} x {size}: "
            "take a thinner outline, a smaller softness or weight, or a larger size.")  # fmt: skip


# ------------------------------------------------------------------------------------------------ the factors


def draw_factors(n, *, size=28, characters="0123456789", seed=0, fonts=(), outline=0.0):
    """Draw the factors of `n` pictures, so that no character will cross the border of its picture.

    fonts: indices of other faces, outline: the width of a line, in which these glyphs will be drawn, too; 0: of none.
    Raises DataError as `load` does, for no font of FACES, and for a width that is none, or leaves no room for a glyph.
    """
    check_arguments(n, size, characters)
    check_room(n, size, channels=1)
    if outline != 0:
        check_positive("width of an outline", outline)
    fonts = np.atleast_1d(check_fonts(fonts))
    factors = uniform_factors(n, size, len(characters), np.random.default_rng(seed))
    for others in (factors["font"], *fonts):
        keep_inside(factors, extents_of(others, factors["class"], characters), size, (outline + SOFTNESS) / 2)
    return factors


def enlarged(factors, times):
    """Return the factors of the very same glyphs in pictures of so many `times` the size; raise DataError for none."""
    check_positive("number of times that glyphs are enlarged", times)
    lengths = ("shift_x", "shift_y", "weight")
    return factors | {name: factors[name] * np.float32(times) for name in lengths}


def uniform_factors(n, size, classes, rng):
    """Draw the factors of `n` pictures; row i of one table of uniform numbers belongs to picture i."""
    u = rng.random((n, 8))

    def between(column, limits, unit=1.0):
        low, high = limits
        return ((low + (high - low) * u[:, column]) * unit).astype(np.float32)

    pixel = size / 28
    return {
        "class": (u[:, 0] * classes).astype(np.int64),
        "font": (u[:, 1] * len(FACES)).astype(np.int64),
        "angle": between(2, ANGLE),
        "shear": between(3, SHEAR),
        "scale": between(4, SCALE),
        "shift_x": between(5, SHIFT, pixel),
        "shift_y": between(6, SHIFT, pixel),
        "weight": between(7, WEIGHT, pixel),
    }


def extents_of(fonts, classes, characters):
    """Return the extents of glyphs in these faces, (n, 2): half a width and a height."""
    fonts, place = np.unique(np.broadcast_to(fonts, len(classes)), return_inverse=True)
    table = np.array([[glyph(FACES[f], c)[1] for c in characters] for f in fonts])  # (faces, characters, 2)
    return table[place, classes]


def warp(factors):
    """Return the matrices `R(angle) S(shear)`, (n, 2, 2), in picture coordinates: x right, y down."""
    angle = np.deg2rad(factors["angle"])
    cos, sin, shear = np.cos(angle), np.sin(angle), factors["shear"]
    rows = [[cos, sin - shear * cos], [-sin, cos + shear * sin]]
    return np.moveaxis(np.array(rows, np.float32), -1, 0)  # (n, 2, 2)


def keep_inside(factors, extents, size, edge):
    """Make `scale` and `shift` smaller, in place, where a character would cross the border of its picture.

    edge: pixels that ink reaches beyond the character's outline, moved by `weight`. Raises DataError for no room.
    """
    pixel = size / 28
    half = np.abs(warp(factors)) @ extents[:, :, None].astype(np.float32) * pixel  # (n, 2, 1): at scale 1
    # What the strokes reach beyond the outline; a shear k lengthens it by its largest singular value at most.
    k = np.abs(factors["shear"]) / 2
    reach = np.maximum(factors["weight"] + edge, 0) * (k + np.sqrt(1 + k**2))
    room = size / 2 - 0.5 - reach  # (n,): the outermost pixels have their middles half a pixel inside
    if (room <= 0).any():
        raise DataError(too_far(factors["weight"] + edge, size))
    factors["scale"] = np.minimum(factors["scale"], room / half.max(axis=(1, 2)))
    for axis, name in enumerate(("shift_x", "shift_y")):
        play = np.maximum(room - factors["scale"] * half[:, axis, 0], 0)
        factors[name] = np.clip(factors[name], -play, play)


# --------------------------------------------------------------------------------------- drawing the pictures


def distances(fields, which, factors, size):
    """Return the distance of each pixel to the edge of a stroke, (n, size, size), in pixels, negative inside.

    The distance fields are sampled through the inverse of each picture's map.
    """
    pixel = np.float32(size / 28)
    scale = factors["scale"][:, None, None]
    inverse = np.linalg.inv(warp(factors)) / scale[:, :1] * (FIELD / CELL / pixel)  # pixels -> samples
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    x = axis[None, None, :] - factors["shift_x"][:, None, None]  # (n, 1, size)
    y = axis[None, :, None] - factors["shift_y"][:, None, None]  # (n, size, 1)
    a = inverse[:, :, :, None, None]
    middle = np.float32((FIELD - 1) / 2)
    u = a[:, 0, 0] * x + a[:, 0, 1] * y + middle  # (n, size, size): the column in the field
    v = a[:, 1, 0] * x + a[:, 1, 1] * y + middle  # the row in the field
    return sample(fields, which, u, v) * scale * pixel - factors["weight"][:, None, None]


def sample(fields, which, u, v):
    """Return fields[which] at column u and row v, bilinear; a field goes on beyond its border as at it."""
    last = np.float32(FIELD - 1.001)
    u, v = np.clip(u, 0, last), np.clip(v, 0, last)
    column, row = u.astype(np.int32), v.astype(np.int32)
    u -= column
    v -= row
    corner = which.astype(np.int32)[:, None, None] * FIELD**2 + row * FIELD + column
    flat = fields.reshape(-1)
    top = flat[corner] * (1 - u) + flat[corner + 1] * u
    corner += FIELD
    bottom = flat[corner] * (1 - u) + flat[corner + 1] * u
    return top * (1 - v) + bottom * v


# --------------------------------------------------------------------------------------------- the glyphs


@functools.cache
def glyph(face, character):
    """Return the distance field (FIELD, FIELD) of a character and its extent: half a width and height.

    All lengths are pixels of a picture of 28 x 28. The middle of the character's bounding box is the middle
    of the field. Its size is such that the face's capital H is BOX pixels high, so that "o" stays smaller
    than "O"; what would be larger than the box then is fitted into it.
    """
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", face + ".ttf")
    box = round(FIELD * FINE * BOX / CELL)  # the box, in pixels of the drawing
    try:
        font = ImageFont.truetype(path, box, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise DataError(f"Cannot read the font {path} ({error}); install matplotlib again.") from None
    left, top, right, bottom = font.getbbox(character)
    largest = max(-font.getbbox("H", anchor="ls")[1], right - left, bottom - top)
    font = font.font_variant(size=round(box * box / largest))
    left, top, right, bottom = font.getbbox(character)
    side = FIELD * FINE
    drawing = Image.new("L", (side, side))
    corner = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(drawing).text(corner, character, fill=255, font=font)
    ink = np.asarray(drawing) >= 128
    field = distance_to(ink) - distance_to(~ink)
    unit = CELL / side
    extent = [np.abs(np.flatnonzero(ink.any(axis)) + 0.5 - side / 2).max() + 0.5 for axis in (0, 1)]
    return (field * unit).astype(np.float32), np.array(extent) * unit


def distance_to(ink):
    """Return the Euclidean distance of every FINE-th pixel to the nearest set pixel, less half a pixel.

    First along each column, then over all columns (Felzenszwalb and Huttenlocher, "Distance Transforms of
    Sampled Functions", 2012; the lower envelope is a plain minimum here):
    `d^2(x, y) = min_x' (x - x')^2 + column^2(x', y)`. It is 0 where a pixel is set.
    """
    height, width = ink.shape
    y = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(ink, y, -2 * height), axis=0)
    below = np.minimum.accumulate(np.where(ink, y, 3 * height)[::-1], axis=0)[::-1]
    column = np.minimum(y - above, below - y)[FINE // 2 :: FINE].astype(np.float32)  # (FIELD, width)
    x = np.arange(width, dtype=np.float32)
    across = (x[FINE // 2 :: FINE, None] - x) ** 2  # (FIELD, width)
    squared = (across[None] + (column**2)[:, None, :]).min(axis=-1)  # (FIELD, FIELD)
    return np.maximum(np.sqrt(squared) - 0.5, 0)
