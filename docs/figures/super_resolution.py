"""A part of the cat, enlarged in each way by a run of `examples/translation/srgan.py --data photos`: a picture.

    python docs/figures/super_resolution.py runs/srgan

It needs scikit-image's photographs, as the run did.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots, training
from scratchgan.data import photos, scales
from scratchgan.examples.translation import srgan
from scratchgan.support.errors import UserError
from scratchgan.training import enlarging

ROOT = Path(__file__).resolve().parents[2]
TOP, LEFT, SIDE = 76, 140, 108  # of chelsea.png: an eye, and fur
SHOWN = ("nearest", "bicubic", "SRResNet", "SRGAN")


def main(run, out):
    model = training.load_model(srgan.SRGAN, srgan.Settings, run)
    truth = scales.cut(photos.read("chelsea.png", channels=model.shape[-1])[None], enlarging.TIMES)
    inputs = scales.enlarge(scales.shrink(truth, enlarging.TIMES), enlarging.TIMES, "nearest")
    ways = enlarging.ways_of(model, inputs)
    beside = np.concatenate([ways[name] for name in SHOWN if name in ways] + [truth])
    plots.save(plots.grid(beside[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE], columns=len(beside)), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", metavar="RUN", help="run directory of examples/translation/srgan.py --data photos")
    parser.add_argument("--out", default=ROOT / "docs" / "images" / "super_resolution_cat.png", help="picture to write")
    options = parser.parse_args()
    try:
        main(options.run, options.out)
    except UserError as error:
        print(f"super_resolution.py: error: {error}", file=sys.stderr)
        sys.exit(2)
