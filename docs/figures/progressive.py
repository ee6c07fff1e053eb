"""Draw docs/images/progressive.png: the same samples at several steps of a run of `examples/styles/progressive.py`.

    python examples/styles/progressive.py --data mnist --sample-every 250
    python docs/figures/progressive.py runs/progressive

A row for each step, a column for each z: the first twelve samples of each picture that the run wrote.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from scratchgan import plots
from scratchgan.training.drawing import enlarge

OUT = Path(__file__).resolve().parents[1] / "images" / "progressive.png"
STEPS = (500, 1500, 1750, 3000, 3250, 4500)  # 7 x 7, its end, 14 x 14 half faded in, its end, the same of 28 x 28
SIDE, COLUMNS = 30, 12  # pixels of a sample in a picture, with its border


def cut(picture, n):
    """Return the first n samples of a grid: uint8 (n, 28, 28)."""
    inner = picture[2:, 2:]
    rows, columns = (side // SIDE for side in inner.shape)
    cells = inner.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2).reshape(-1, SIDE, SIDE)
    return cells[:n, : SIDE - 2, : SIDE - 2]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="a row for each")
    parser.add_argument("--out", type=Path, default=OUT, help="picture to write")
    options = parser.parse_args(argv)
    read = lambda step: np.asarray(Image.open(options.run / "samples" / f"step-{step:06}.png").convert("L"))
    rows = [cut(read(step), COLUMNS) for step in options.steps]
    picture = enlarge(plots.grid(np.concatenate(rows)[..., None], columns=COLUMNS), 2)
    Image.fromarray(np.squeeze(picture)).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
