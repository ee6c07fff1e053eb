"""Samples of runs of `examples/styles/diffaugment.py`, and what 100 pictures are worth without a GAN.

    python docs/figures/diffaugment.py --runs runs/none runs/reals runs/everywhere

Draws a block of samples for each run, below each sample the training picture nearest to it, in pixels. Prints the
FID-LeNet of simple ways to have 10,000 pictures of the first run's few: the few again and again; each turned, scaled
and moved by chance; draws of a Gaussian with their mean and covariance.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from scratchgan import data, plots, training, xp
from scratchgan.examples.styles import diffaugment
from scratchgan.layers import Sequential, Shift, Warp
from scratchgan.metrics.neighbours import memorization
from scratchgan.support.errors import UserError
from scratchgan.training import evaluate
from scratchgan.training.drawing import enlarge

IMAGES = Path(__file__).resolve().parents[1] / "images"
ROWS, COLUMNS, GAP = 5, 8, 8  # of samples, in a block; pixels between two blocks


def rows(images):
    return images.reshape(len(images), -1) / 255


def few(model):
    return model.load_data(model.settings)[: model.settings.pictures]


def block(model):
    """Return one picture: samples of a run, each above its nearest training picture."""
    known = few(model)
    drawn = model.images(xp.to_device(model.latent(ROWS * COLUMNS, np.random.default_rng(0))))
    nearest = known[memorization(rows(known), rows(known), rows(drawn)).nearest]
    both = np.stack([part.reshape(ROWS, COLUMNS, *drawn.shape[1:]) for part in (drawn, nearest)], axis=1)
    return plots.grid(both.reshape(-1, *drawn.shape[1:]), columns=COLUMNS)


def without_a_gan(known, n, rng):
    """Return {name: pictures} of so many pictures that cost no training."""
    again = np.resize(known, (n, *known.shape[1:]))
    T = Sequential(Warp(10.0, 0.2, rng=rng), Shift(1 / known.shape[1], rng=rng))
    moved = T.forward(data.to_signed(again) + 1)[0] - 1  # black comes in, where T has zeros
    flat = rows(known)
    drawn = flat.mean(0) + rng.standard_normal((n, len(flat))) @ (flat - flat.mean(0)) / np.sqrt(len(flat))
    return {"again and again": again, "turned, scaled, moved": data.to_bytes(moved),
            "a Gaussian": data.to_bytes(2 * drawn.reshape(again.shape) - 1)}  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", nargs="+", required=True, help="run directories")
    parser.add_argument("--n", type=int, default=10_000, help="how many pictures are compared")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of diffaugment.png")
    options = parser.parse_args(argv)
    try:
        models = [training.load_model(diffaugment.DiffAugment, diffaugment.Settings, run) for run in options.runs]
        blocks = [block(model) for model in models]
        white = np.full_like(blocks[0][:, :GAP], 255)
        picture = np.concatenate([part for found in blocks for part in (white, found)][1:], axis=1)
        plots.save(enlarge(picture, 2), options.out / "diffaugment.png")
        against = evaluate.prepare(models[0], options.n)
        for name, images in without_a_gan(few(models[0]), against.n, np.random.default_rng(0)).items():
            found = against.quick(against.sample(images))
            numbers = (f"{metric} {found[f'{metric}-LeNet']:.3g}" for metric in ("FID", "precision", "recall"))
            print(f"{name}: {', '.join(numbers)}")
    except UserError as error:
        sys.exit(f"diffaugment.py: error: {error}")


if __name__ == "__main__":
    main()
