"""Clips of two trained runs of `examples/media/video_gan.py` beside each other: a picture, and a film.

    python docs/figures/video.py runs/vgan runs/mocogan

In the picture a clip's frames stand in a row, twelve clips of each run; the film shows sixteen of each in motion.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from scratchgan import plots, training, xp
from scratchgan.examples.media import video_gan
from scratchgan.support.errors import UserError
from scratchgan.training.clips import SHOWN
from scratchgan.training.drawing import enlarge

IMAGES = Path(__file__).resolve().parents[1] / "images"
ROWS, GRID, GAP = 12, 16, 6  # clips of a run in the picture, and in the film; pixels between the runs


def drawn(run):
    """Return 16 clips of a run, uint8 (16, T, H, W_, 1)."""
    model = training.load_model(video_gan.VideoGAN, video_gan.Settings, run)
    return model.images(xp.to_device(model.latent(GRID, np.random.default_rng(0))))


def beside(left, right):
    """Return two pictures of equal height (H, W_, 1) beside each other, white between them."""
    return np.concatenate([left, np.full_like(left[:, :GAP], 255), right], axis=1)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs=2, help="run directories")
    parser.add_argument("--out", type=Path, default=IMAGES / "video.png", help="picture; the film lies beside it")
    options = parser.parse_args(argv)
    try:
        clips = [drawn(run) for run in options.runs]
    except UserError as error:
        sys.exit(f"video.py: error: {error}")
    rows = [plots.grid(some[:ROWS].reshape(-1, *some.shape[2:]), columns=some.shape[1]) for some in clips]
    plots.save(enlarge(beside(*rows), 2), options.out)
    frames = [beside(*map(plots.grid, both)) for both in zip(*(some.swapaxes(0, 1) for some in clips), strict=True)]
    first, *others = [Image.fromarray(enlarge(frame, 3)[..., 0]) for frame in frames]
    first.save(options.out.with_suffix(".gif"), save_all=True, append_images=others, duration=SHOWN, loop=0)


if __name__ == "__main__":
    main()
