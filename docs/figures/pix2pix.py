"""Held-out pairs, and what runs of pix2pix make of them, side by side: input, each run in turn, truth.

    python docs/figures/pix2pix.py runs/no_gan runs/pix2pix runs/no_skip

Of each run the metrics of all held-out pairs are printed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots, training
from scratchgan.examples.translation import pix2pix
from scratchgan.metrics.pixels import compared
from scratchgan.support.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 24  # pairs, three in a row


def main(runs, out):
    models = [training.load_model(pix2pix.Pix2Pix, pix2pix.Settings, run) for run in runs]
    asked = {(s.data, s.task, s.direction, s.seed, s.size, s.channels) for s in (model.settings for model in models)}
    if len(asked) > 1:
        raise UserError("These runs translate other pictures: give those of one data set, task, seed and size.")
    test = models[0].held_out_pairs()
    outputs = [model.translated(test.inputs) for model in models]
    for run, output in zip(runs, outputs, strict=True):
        print(run, ", ".join(f"{name} {number:.4g}" for name, number in compared(output, test.truths).items()))
    shown = np.stack([images[:SHOWN] for images in (test.inputs, *outputs, test.truths)], axis=1)
    plots.save(plots.grid(shown.reshape(-1, *shown.shape[2:]), columns=3 * shown.shape[1]), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directories of examples/translation/pix2pix.py")
    parser.add_argument("--out", default=ROOT / "docs" / "images" / "pix2pix.png", help="picture to write")
    options = parser.parse_args()
    try:
        main(options.runs, options.out)
    except UserError as error:
        print(f"pix2pix.py: error: {error}", file=sys.stderr)
        sys.exit(2)
