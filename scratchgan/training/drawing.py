"""Pictures of the samples of a trained model: what they cost is known before anything is drawn."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from scratchgan import plots, xp
from scratchgan.support.costs import afford
from scratchgan.support.errors import UserError
from scratchgan.support.files import TEMPORARY

MOST = 100_000  # samples in one picture
PIECE = 256  # samples that are drawn at once
LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}  # sides in pixels that a format can have


def check(model, n, layout, scale, out, options):
    """Raise UserError, naming the options to lower, unless n samples can be drawn and written as (rows, columns)."""
    if n > MOST:
        raise UserError(f"{n:,} samples are more than one picture can show, {MOST:,}: lower {options}.")
    memory = 3 * n * model.latent(1, np.random.default_rng(0)).nbytes
    if len(model.shape) == 3:
        (H, W, C), (rows, columns) = model.shape, layout
        height, width = scale * (rows * (H + 2) + 2), scale * (columns * (W + 2) + 2)
        longest = LONGEST.get(plots.file_format(out), 2**31 - 1)
        if max(height, width) > longest:
            too_long = f"a picture of {width:,} x {height:,} pixels is larger than {out.suffix} can hold, {longest:,}"
            raise UserError(f"--out {out}: {too_long}: write .png, or lower {options} or --scale.")
        memory += 2 * n * H * W * C + height * width * (2 if C == 1 else 2 * C + 4)  # Pillow has 4 bytes for RGB
    afford(memory, f"A picture of {n:,} samples", f"lower {options} or --scale")


def enlarge(picture, scale):
    """Return a picture (H, W_, C) whose pixels are squares of `scale` pixels."""
    return picture if scale == 1 else picture.repeat(scale, axis=0).repeat(scale, axis=1)


def new_folder(path):
    """Return the path of a folder to be made, links followed; raise UserError if something is there."""
    path = Path(os.path.realpath(path))
    if path.exists() and (not path.is_dir() or any(path.iterdir()) or path == Path.cwd()):
        raise UserError(f"{path} is there already: choose another --out, or remove it.")
    return path


def write_separately(model, n, scale, folder, latent):
    """Write n samples as the pictures 000000.png, 000001.png, ... of a new folder, which is there whole or not at all.

    latent(k) returns the next k latent vectors: only a few are in the memory at a time.
    """
    if len(model.shape) != 3:
        raise UserError(f"--separate needs images: samples of this model have the shape {model.shape}.")
    temporary = folder.with_name(TEMPORARY.format(name=folder.name, process=os.getpid()))
    try:
        temporary.mkdir()
        for first in range(0, n, PIECE):
            z = xp.to_device(latent(min(PIECE, n - first)))
            for number, image in enumerate(model.separate(z, first), first):
                picture = enlarge(image, scale)
                picture = picture[..., 0] if picture.shape[-1] == 1 else picture
                Image.fromarray(picture).save(temporary / f"{number:06}.png")
        if folder.exists():
            folder.rmdir()  # it is empty; Windows would not replace it
        temporary.rename(folder)
    except OSError as error:
        raise UserError(f"Cannot write the folder {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
