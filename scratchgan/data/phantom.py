"""Phantoms: pictures of heads in the manner of a brain scan, with or without a lesion whose place is known.

A head is drawn of ellipses, as the phantom of Shepp and Logan is ("The Fourier Reconstruction of a Head Section",
1974): a bright skull, grey cortex, lighter white matter, two dark ventricles. No two heads are alike, and the factors
in which they differ are known. They are drawings, and say nothing about people.
"""

import numpy as np

from scratchgan.data.checks import check_room, check_whole
from scratchgan.data.images import Images
from scratchgan.support.errors import DataError

SIZE = 32  # the side of the picture of whose pixels all lengths below are
NAMES = ("healthy", "lesion")

# The ranges of the factors, each uniform.
TURN = (-15.0, 15.0)  # degrees, anticlockwise
SHIFT = (-1.2, 1.2)  # pixels, to the right and downwards
WIDTH = (9.5, 12.0)  # pixels: half of the head's width, with its skull
ASPECT = (1.1, 1.25)  # the head's height by its width
GREY = (0.42, 0.52)  # how bright the cortex is: 0 is black, 1 white
WHITER = (0.10, 0.16)  # by how much white matter is brighter
VENTRICLES = (0.8, 1.5)  # the size of both
ASYMMETRY = (0.7, 1.3)  # the right one's size by the mean of both
HEIGHT = (-2.0, 1.0)  # pixels from the middle of the head down to them
RADIUS = (1.2, 2.6)  # pixels: of a lesion
CONTRAST = (0.15, 0.35)  # by how much a lesion is brighter, or darker

AIR, BONE, FLUID = 0.06, 0.85, 0.15
SKULL, CORTEX = 1.6, 2.2  # pixels
VENTRICLE = (1.2, 2.9)  # pixels: half of the width and of the height of one, at size 1
APART, TILT = 2.3, 12.0  # pixels from the middle line; degrees by which their upper ends lean outwards
NOISE = 0.03  # standard deviation in every pixel
FACTORS = ("turn", "shift_x", "shift_y", "width", "aspect", "grey", "whiter", "ventricles", "asymmetry", "height")
LESION = ("lesion_x", "lesion_y", "radius", "contrast")
PLACES = 16  # tries for the middle of a lesion
BLOCK = 256  # pictures that are drawn at once: few enough for the cache


def load(n=6000, *, size=SIZE, lesions=False, seed=0):
    """Draw `n` grey pictures of random heads, light on black: healthy ones, or with `lesions` one in each.

    `images` is (n, size, size, 1); `labels` are 0, healthy, or 1; `factors` holds, each (n,), those of FACTORS and
    LESION: lengths in pixels, `turn` in degrees, the middle of a lesion to the right of and below the picture's,
    radius and contrast 0 where there is none. `masks` draws from them where the lesions are.
    Picture i depends on `seed` and `size`, not on `n`. With and without `lesions` the heads of a seed are the same, up
    to the noise in them: take two seeds for two groups of people.

    Raises DataError for n < 1 and for size < 16.
    """
    factors = draw_factors(n, size=size, lesions=lesions, seed=seed)
    noise = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    images = np.empty((n, size, size, 1), np.uint8)
    for rows, block in blocks(factors):
        shown = heads(block, size) + block["contrast"][:, None, None] * lesion_cover(block, size)
        shown += NOISE * noise.standard_normal(shown.shape, dtype=np.float32)
        images[rows, :, :, 0] = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return Images(images, np.full(n, int(lesions), np.int64), factors, NAMES)


def masks(factors, *, size=SIZE):
    """Return which pixels of each picture a lesion covers by half or more: bool (n, size, size), none if healthy.

    Raises DataError where a factor is missing.
    """
    check_whole("size of a head's picture", size, least=16)
    missing = [name for name in LESION if name not in factors]
    if missing:
        raise DataError(f"The factors of heads lack {', '.join(missing)}.")
    check_room(len(factors["radius"]), size, channels=1)
    covered = np.empty((len(factors["radius"]), size, size), bool)
    for rows, block in blocks(factors):
        covered[rows] = lesion_cover(block, size) >= 0.5
    return covered


# ------------------------------------------------------------------------------------------------ the factors


def draw_factors(n, *, size=SIZE, lesions=False, seed=0):
    """Draw the factors of `n` heads, none of which the border of its picture cuts off."""
    check_whole("number of pictures", n)
    check_whole("size of a head's picture", size, least=16)
    check_room(n, size, channels=1)
    u = np.random.default_rng(seed).random((n, len(FACTORS) + 3 + 2 * PLACES))  # row i belongs to picture i
    pixel = size / SIZE

    def between(column, limits, unit=1.0):
        low, high = limits
        return ((low + (high - low) * u[:, column]) * unit).astype(np.float32)

    factors = {
        "turn": between(0, TURN),
        "shift_x": between(1, SHIFT, pixel),
        "shift_y": between(2, SHIFT, pixel),
        "width": between(3, WIDTH, pixel),
        "aspect": between(4, ASPECT),
        "grey": between(5, GREY),
        "whiter": between(6, WHITER),
        "ventricles": between(7, VENTRICLES),
        "asymmetry": between(8, ASYMMETRY),
        "height": between(9, HEIGHT, pixel),
    }
    keep_inside(factors, size)
    if not lesions:
        return factors | {name: np.zeros(n, np.float32) for name in LESION}
    sign = np.where(u[:, 12] < 0.5, np.float32(-1), np.float32(1))
    factors |= {"radius": between(10, RADIUS, pixel), "contrast": between(11, CONTRAST) * sign}
    x, y = lesion_places(factors, u[:, 13:].reshape(n, PLACES, 2), pixel)
    return factors | {"lesion_x": x, "lesion_y": y}


def keep_inside(factors, size):
    """Make the width and the shift of a head smaller, in place, where the border would cut off its skull."""
    room = np.float32(size / 2 - 0.5)
    factors["width"] = np.minimum(factors["width"], room / factors["aspect"])
    play = room - factors["width"] * factors["aspect"]  # the height is the longer half-axis
    for name in ("shift_x", "shift_y"):
        factors[name] = np.clip(factors[name], -play, play)


def lesion_places(factors, u, pixel):
    """Return where the middles of lesions are, x and y (n,): the first of their places (n, PLACES, 2) that is free.

    Free is where a lesion lies in white matter alone, on none of the ventricles; if none is, the freest place.
    """
    inner = np.float32((SKULL + CORTEX) * pixel) + factors["radius"]
    half = np.stack([factors["width"], factors["width"] * factors["aspect"]]) - inner  # (2, n)
    angle, reach = np.float32(2 * np.pi) * u[..., 0].astype(np.float32), np.sqrt(u[..., 1].astype(np.float32))
    right, down = half[0, :, None] * reach * np.cos(angle), half[1, :, None] * reach * np.sin(angle)  # (n, PLACES)
    gap = np.minimum(*ventricle_distances(factors, right, down, pixel)) - factors["radius"][:, None]
    chosen = np.where((gap > 0).any(1), (gap > 0).argmax(1), gap.argmax(1))[:, None]
    right, down = (np.take_along_axis(along, chosen, 1)[:, 0] for along in (right, down))
    turn = np.deg2rad(factors["turn"])
    x = factors["shift_x"] + np.cos(turn) * right + np.sin(turn) * down
    y = factors["shift_y"] - np.sin(turn) * right + np.cos(turn) * down
    return x.astype(np.float32), y.astype(np.float32)


def painted(images, *, seed=0):
    """Return grey pictures with a lesion painted into each, at any place, and its mask: uint8 (n, H, H, 1), bool.

    The lesions are those of heads: discs that are darker or brighter. Raises DataError where one would not fit.
    """
    n, size = len(images), images.shape[1]
    factors = draw_factors(n, size=size, lesions=True, seed=seed)
    reach = size / 2 - factors["radius"] - np.float32(1)  # a lesion is whole
    u = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]).random((n, 2), dtype=np.float32)
    factors |= {name: reach * (2 * u[:, axis] - 1) for axis, name in enumerate(("lesion_x", "lesion_y"))}
    paint = 255 * factors["contrast"][:, None, None, None] * lesion_cover(factors, size)[..., None]
    return np.rint(np.clip(images + paint, 0, 255)).astype(np.uint8), masks(factors, size=size)


# --------------------------------------------------------------------------------------- drawing the pictures


def heads(factors, size):
    """Return heads without noise and without lesions, (n, size, size), from 0 to 1."""
    pixel = size / SIZE
    columns = {name: factors[name][:, None, None] for name in FACTORS}  # (n, 1, 1)
    right, down = turned(*grid(size, columns["shift_x"], columns["shift_y"]), np.deg2rad(columns["turn"]))
    outer = ellipse_distance(right, down, columns["width"], columns["width"] * columns["aspect"])
    shown = np.full_like(outer, AIR)
    for depth, grey in ((0, BONE), (SKULL, columns["grey"]), (SKULL + CORTEX, columns["grey"] + columns["whiter"])):
        shown += cover(outer + np.float32(depth * pixel)) * (grey - shown)
    for distance in ventricle_distances(columns, right, down, pixel):
        shown += cover(distance) * (np.float32(FLUID) - shown)
    return shown


def ventricle_distances(factors, right, down, pixel):
    """Return the distance of points to each ventricle's edge, the left one's and the right one's, negative inside.

    right, down: pixels from the middle of the head, in its own directions; (n, ...), as the factors spread to.
    """
    spread = lambda name: factors[name].reshape(-1, *[1] * (right.ndim - 1))
    distances = []
    for side in (-1, 1):
        factor = spread("asymmetry") if side == 1 else 2 - spread("asymmetry")
        times = np.float32(pixel) * spread("ventricles") * factor
        u, v = right - np.float32(side * APART * pixel), down - spread("height")
        u, v = turned(u, v, np.float32(np.deg2rad(-side * TILT)))
        distances.append(ellipse_distance(u, v, VENTRICLE[0] * times, VENTRICLE[1] * times))
    return distances


def lesion_cover(factors, size):
    """Return which part of each pixel a lesion covers, (n, size, size), from 0 to 1."""
    x, y = grid(size, factors["lesion_x"][:, None, None], factors["lesion_y"][:, None, None])
    return cover(np.hypot(x, y) - factors["radius"][:, None, None]) * (factors["radius"] > 0)[:, None, None]


def grid(size, x, y):
    """Return how far each pixel is to the right of x and below y, as arrays that broadcast to (n, size, size)."""
    axis = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    return axis[None, None, :] - x, axis[None, :, None] - y


def turned(x, y, angle):
    """Return x and y in axes that are turned by an angle, anticlockwise, as y points down."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x - sin * y, sin * x + cos * y


def ellipse_distance(x, y, a, b):
    """Return nearly the distance to the edge of an ellipse of half-axes a and b: (f - 1) / |grad f|, negative inside.

    f^2 = (x / a)^2 + (y / b)^2, f = 1 on the edge: first order in the distance (Taubin 1991).
    """
    tiny = np.float32(1e-9)  # in the middle, where both roots are 0, the distance is -a
    f = np.sqrt((x / a) ** 2 + (y / b) ** 2 + tiny)
    return (f - 1) * f / np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2 + tiny / a**2)


def cover(distance):
    """Return which part of a pixel an edge leaves inside, at this distance to the pixel's middle: 0 to 1."""
    return np.clip(0.5 - distance, 0, 1)


def blocks(factors):
    """Yield (rows, factors) of a few pictures at a time."""
    for start in range(0, len(next(iter(factors.values()))), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, {name: values[rows] for name, values in factors.items()}
