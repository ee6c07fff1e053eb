"""Draw docs/images/unrolled_ring.png: the samples of two runs of examples/collapse/unrolled_ring.py as they trained.

    python examples/collapse/unrolled_ring.py --unroll 0 --out runs/plain_ring
    python examples/collapse/unrolled_ring.py
    python docs/figures/unrolled_ring.py runs/plain_ring runs/unrolled_ring

A row for each run, a column for each of the steps below, from the pictures that the runs left.
"""

import argparse
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
STEPS = (250, 500, 1000, 2000, 3000)
SIZE = 210  # pixels of a panel


def main(*runs):
    picture = Image.new("RGB", (SIZE * len(STEPS), SIZE * len(runs)), "white")
    for row, run in enumerate(runs):
        for column, step in enumerate(STEPS):
            with Image.open(Path(run, "samples", f"step-{step:06}.png")) as frame:
                picture.paste(frame.resize((SIZE, SIZE), Image.Resampling.LANCZOS), (column * SIZE, row * SIZE))
    picture.save(ROOT / "docs" / "images" / "unrolled_ring.png", optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directory of examples/collapse/unrolled_ring.py")
    main(*parser.parse_args().runs)
