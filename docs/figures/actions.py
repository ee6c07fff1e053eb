"""A held-out clip of each motion beside a sample of a trained `examples/media/actions.py`: a picture.

    python docs/figures/actions.py runs/actions

A row for each motion, its frames from left to right: a held-out clip; that of 1,000 samples of G to which D gives this
motion with the largest probability. Printed: how often D is wrong about a motion, and takes a sample for it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots, training, xp
from scratchgan.data import motions
from scratchgan.examples.media import actions
from scratchgan.support.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SAMPLES, ENLARGED = 1000, 2


def draw(model):
    """Return the picture, uint8 (H, W_, 1), the errors of all motions, and D's count of samples for each."""
    held_out = model.held_out()
    wrong = model.infer(model.D_average.net, held_out.images).argmax(1) != held_out.labels
    samples = model.images(xp.to_device(model.latent(SAMPLES, np.random.default_rng(0))))
    logits = model.infer(model.D_average.net, samples)
    surest = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).argmax(0)  # (K,)
    first = [np.flatnonzero(held_out.labels == label)[0] for label in range(actions.K)]
    halves = [plots.grid(clips.reshape(-1, *clips.shape[2:]), motions.FRAMES) for clips in (
        held_out.images[first], samples[surest])]  # fmt: skip
    picture = np.concatenate([halves[0], np.full_like(halves[0][:, :6], 255), halves[1]], axis=1)
    errors = [wrong[held_out.labels == label].mean() for label in range(actions.K)]
    often = np.bincount(logits.argmax(1), minlength=actions.K)
    return picture.repeat(ENLARGED, 0).repeat(ENLARGED, 1), errors, often


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "actions.png", help="picture to write")
    options = parser.parse_args(argv)
    try:
        picture, errors, often = draw(training.load_model(actions.Actions, actions.Settings, options.run))
    except UserError as error:
        sys.exit(f"actions.py: error: {error}")
    plots.save(picture, options.out)
    for name, error, n in zip(motions.NAMES, errors, often, strict=True):
        print(f"{name:10} {error:6.1%} of its clips wrong; D takes {n} of {SAMPLES:,} samples for it")


if __name__ == "__main__":
    main()
