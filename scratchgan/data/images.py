"""Sets of pictures: the type that every loader returns, its conversions, folders of pictures."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from scratchgan import xp
from scratchgan.data.checks import check_channels, check_room, check_whole
from scratchgan.data.folders import find, one_by_one, passed_over
from scratchgan.support.errors import DataError
from scratchgan.support.pictures import open_picture
from scratchgan.support.text import printable


class Images(NamedTuple):
    """A set of pictures with what is known about each of them."""

    images: np.ndarray  # (N, H, W, C), uint8, C is 1 (grey) or 3 (RGB)
    labels: np.ndarray | None = None  # (N,), int64
    factors: dict | None = None  # the true factors of variation: name -> (N,)
    names: tuple | None = None  # names[label] is the name of a class


def to_signed(images):
    """Map bytes to the range of a tanh: `x = u / 127.5 - 1`, uint8 [0, 255] to float32 [-1, 1], wherever they lie."""
    images = images if isinstance(images, xp.ndarray) else np.asarray(images)
    if images.dtype != np.uint8:
        raise DataError(f"to_signed needs uint8 pictures with values 0 to 255; these are {images.dtype}.")
    return images.astype(np.float32) / 127.5 - 1


def to_bytes(x):
    """Map [-1, 1] to bytes: `u = round((x + 1) 127.5)`, clipped to [0, 255]; a NaN becomes 0, black.

    The inverse of `to_signed`: `to_bytes(to_signed(u)) == u` for every byte.
    """
    x = np.clip(np.nan_to_num(np.asarray(x), nan=-1.0), -1, 1)
    return np.rint((x + 1) * 127.5).astype(np.uint8)


def resize(images, size):
    """Cut the centre square out of each picture and resize it: (N, H, W, C) to (N, size, size, C)."""
    check_whole("size of a picture", size)
    check_room(len(images), size, images.shape[-1])
    resized = np.empty((len(images), size, size, images.shape[-1]), np.uint8)
    for i in range(len(images)):
        picture = Image.fromarray(images[i, :, :, 0] if images.shape[-1] == 1 else images[i])
        resized[i] = fit(picture, size)
    return resized


def fit(picture, size):
    """Cut the centre square out of a Pillow picture, resize it (Lanczos): uint8 (size, size, C)."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)).reshape(size, size, -1)


# ---------------------------------------------------------------------------------------- folders of pictures

DEPTHS = ("1", "L", "P", "RGB", "RGBA", "RGBX", "LA", "PA", "La", "RGBa", "CMYK", "YCbCr", "HSV")  # 8 bits or fewer


def load_folder(path, *, size=28, channels=1):
    """Load every picture of a folder, with all its sub-folders, in the sorted order of their paths.

    Pictures are files that end as `support.pictures.ENDINGS` lists. Each is turned as its EXIF entry says, put on white
    where it is transparent, made grey (`channels=1`) or RGB (`channels=3`), cut to its centre square and resized to
    `size` x `size`. The sub-folders directly below `path` are the classes; where there are none, labels and names are
    None. What is passed over is said in a line on stderr; hidden files and folders (`.name`) are not looked at.
    Raises DataError, naming the file, for a missing or empty folder, for a class of which no picture is left, and for
    a picture that cannot be used, such as a truncated or an animated one.
    """
    check_whole("size of a picture", size)
    check_channels(channels)
    found = find(path)
    check_room(len(found.files), size, channels)
    passed_over(found)
    images = np.empty((len(found.files), size, size, channels), np.uint8)
    for i, file in enumerate(one_by_one(found, f"reading {printable(found.folder.name)}")):
        images[i] = read_picture(file, size, channels)
    return Images(images, found.labels, None, found.names)


def read_picture(file, size, channels):
    """Read the picture in a file as uint8 (size, size, channels); raise DataError if it cannot be used."""
    with open_picture(file, error=DataError) as picture:
        check_usable(file, picture)
        picture.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
        return fit(flatten(ImageOps.exif_transpose(picture), channels), size)


def check_usable(file, picture):
    """Raise DataError unless a file that was opened holds one picture, with pixels whose black and white are known."""
    # A JPEG file can hold a second view of the same scene (MPO); all others that hold several are animated, or pages.
    if picture.format not in ("JPEG", "MPO") and getattr(picture, "is_animated", False):
        what = "holds several pages" if picture.format == "TIFF" else "is animated"
        raise DataError(f"{file} {what} ({picture.n_frames} frames); save one frame of it.")
    # What is white in a picture of 32 bits or of floating-point numbers, only its maker knows.
    if picture.mode not in DEPTHS and not sixteen_bits(picture):
        raise DataError(f"{file} has pixels of a kind that has no fixed black and white (mode {picture.mode}); "
                        "save it with 8 bits a channel.")  # fmt: skip


def sixteen_bits(picture):
    """Whether a picture is grey, with 16 bits a pixel, which older versions of Pillow read from PNG files as 32."""
    return picture.mode.startswith("I;16") or (picture.mode, picture.format) == ("I", "PNG")


def flatten(picture, channels):
    """Return a usable Pillow picture as 8-bit grey or RGB, with transparent parts put on white."""
    if picture.mode.startswith("I"):  # 16 bits of grey
        grey = np.asarray(picture).astype(np.float32) / 257  # 65535 / 255 is 257
        picture = Image.fromarray(np.rint(np.clip(grey, 0, 255)).astype(np.uint8))
    elif "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("L" if channels == 1 else "RGB")
