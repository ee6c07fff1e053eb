"""Sets of pictures: the type that every loader returns, its conversions, folders of PNG and JPEG files."""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from scratchgan import xp
from scratchgan.data.checks import check_channels, check_whole
from scratchgan.support.errors import DataError


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


def load_folder(path, *, size=28, channels=1):
    """Load every PNG and JPEG file of a folder, with all its sub-folders, in the sorted order of their paths.

    Each picture is turned as its EXIF entry says, put on white where it is transparent, made grey
    (`channels=1`) or RGB (`channels=3`), cut to its centre square and resized to `size` x `size`.
    The sub-folders directly below `path` are the classes; where there are none, labels and names are None.
    Hidden files and folders (`.name`) and files with other endings are passed over.

    Raises DataError, naming the file, for a missing or empty folder and for a picture that cannot be used:
    corrupt, truncated, animated, or larger than Pillow's limit for decompression bombs.
    """
    check_whole("size of a picture", size)
    check_channels(channels)
    path = Path(path)
    files = find_pictures(path)
    labels, names = find_classes(path, files)
    images = np.empty((len(files), size, size, channels), np.uint8)
    hide = True if len(files) < 200 else None  # None: show the bar if this is a terminal
    for i, file in enumerate(tqdm(files, desc=f"reading {path.name}", unit=" pictures", disable=hide)):
        images[i] = read_picture(file, size, channels)
    return Images(images, labels, None, names)


def find_pictures(folder):
    """Return the PNG and JPEG files below a folder, sorted by path; raise DataError if there are none."""
    if not os.path.exists(folder):
        raise DataError(f"There is no folder {folder}; give the path of a folder of PNG or JPEG pictures.")
    if not os.path.isdir(folder):
        raise DataError(f"{folder} is a file; give the path of a folder of PNG or JPEG pictures.")

    def refuse(error):
        raise DataError(f"Cannot read the folder {error.filename}: {error.strerror}; check its permissions.")

    files, others, seen = [], set(), set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(parent)
        # A link back to a folder above would go round in circles.
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real in seen:
            continue
        seen.add(real)
        for name in names:
            ending = os.path.splitext(name)[1].lower()
            if ending in (".png", ".jpg", ".jpeg") and not name.startswith("."):
                files.append(Path(parent, name))
            elif ending:
                others.add(ending)
    if not files:
        endings = f" (it holds {', '.join(sorted(others)[:5])})" if others else ""
        raise DataError(f"The folder {folder} holds no .png, .jpg or .jpeg files{endings}.")
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def find_classes(folder, files):
    """Return (labels, names) from the sub-folders directly below `folder`; (None, None) if there are none."""
    parts = [file.relative_to(folder).parts for file in files]
    inside = [part[0] for part in parts if len(part) > 1]
    if not inside:
        return None, None
    if len(inside) < len(parts):
        outside = next(part[0] for part in parts if len(part) == 1)
        raise DataError(
            f"{folder} holds pictures both directly ({outside}) and in sub-folders ({inside[0]}). "
            "Sub-folders are classes: move every picture into one, or all of them out."
        )
    names = tuple(sorted(set(inside)))
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in inside], np.int64), names


def read_picture(file, size, channels):
    """Read one PNG or JPEG file as uint8 (size, size, channels); raise DataError if it cannot be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Two formats only: their decoders are the best tested ones, and none starts another program.
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                # A JPEG file can hold a second view of the same scene (MPO); only a PNG file can be animated.
                if picture.format == "PNG" and getattr(picture, "is_animated", False):
                    raise DataError(f"{file} is animated ({picture.n_frames} frames); save one frame of it.")
                picture.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
                return fit(flatten(ImageOps.exif_transpose(picture), channels), size)
    except DataError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DataError(
            f"{file} announces more than {Image.MAX_IMAGE_PIXELS:,} pixels, as a file made to fill the "
            "memory does; make it smaller or remove it."
        ) from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{file} is no PNG or JPEG picture, whatever its name; convert it.") from None
    except PermissionError:
        raise DataError(f"{file} may not be read; check its permissions.") from None
    except Exception as error:  # a decoder can raise nearly anything on damaged bytes
        raise DataError(f"{file} is damaged or truncated ({error}); replace or remove it.") from None


def flatten(picture, channels):
    """Return any Pillow picture as 8-bit grey or RGB, with transparent parts put on white."""
    if picture.mode.startswith("I"):  # 16 bits of grey
        grey = np.asarray(picture).astype(np.float32) / 257  # 65535 / 255 is 257
        picture = Image.fromarray(np.rint(np.clip(grey, 0, 255)).astype(np.uint8))
    elif "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("L" if channels == 1 else "RGB")
