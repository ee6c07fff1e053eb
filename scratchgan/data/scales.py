"""Pictures at other scales: how a low one is made, and how one enlarges it without having learned anything."""

import numpy as np
from PIL import Image

from scratchgan.data.checks import check_whole
from scratchgan.support.errors import DataError

KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,  # Keys 1981, with a = -1/2
    "Lanczos": Image.Resampling.LANCZOS,  # three lobes
}


def shrink(images, times):
    """Make images smaller, by the means of boxes of times x times pixels: uint8 (n, H, W_, C) to (n, h, w, C).

    Rows and columns that fill no box are cut off, at the bottom and on the right. Raises DataError for times below 1
    and for images that are smaller than a box.
    """
    check_whole("factor between two scales", times)
    images = cut(images, times)
    n, H, W_, C = images.shape
    boxes = images.reshape(n, H // times, times, W_ // times, times, C)
    return np.rint(boxes.mean(axis=(2, 4))).astype(np.uint8)


def enlarge(images, times, kernel):
    """Make images larger by one of KERNELS, as Pillow does: uint8 (n, h, w, C) to (n, times h, times w, C)."""
    check_whole("factor between two scales", times)
    if kernel not in KERNELS:
        raise DataError(f"There is no kernel {kernel!r}; choose one of {', '.join(KERNELS)}.")
    n, h, w, C = images.shape
    large = np.empty((n, times * h, times * w, C), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[:, :, 0] if C == 1 else image)
        larger = np.asarray(picture.resize((times * w, times * h), KERNELS[kernel]))
        large[i] = larger.reshape(large.shape[1:])
    return large


def cut(images, times):
    """Return images without the last rows and columns that fill no box of times x times pixels."""
    _, H, W_, _ = images.shape
    if min(H, W_) < times:
        raise DataError(f"Pictures of {H} x {W_} are smaller than a box of {times} x {times}.")
    return images[:, : H // times * times, : W_ // times * times]
