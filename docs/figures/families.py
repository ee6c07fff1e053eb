"""Draw docs/images/families.png: samples of every family of images, trained on MNIST at its own defaults.

    python examples/uses/classifier.py --data mnist
    python benchmarks/families.py --budget default
    python docs/figures/families.py

36 samples of each run of seed 0, the best FID-LeNet first, as docs/results.md ranks them; the last panel is of real
images. Families that have not been trained yet are left out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import results  # noqa: E402

from scratchgan import data, plots, training, xp  # noqa: E402
from scratchgan.support.errors import UserError  # noqa: E402

COLUMNS, SAMPLES = 5, 36
PANEL, TITLE, GAP = 182, 22, 10  # pixels


def main(runs):
    ranks = sorted((record["numbers"]["FID-LeNet"], record["what"]) for record in records())
    panels = [(f"{name}: {rank:.0f}", samples(name, Path(runs, name))) for rank, name in ranks]
    if not panels:
        raise UserError("There is no record of the default budget: python benchmarks/families.py --budget default")
    panels.append(("real images", data.load_images("mnist").images[:SAMPLES]))
    rows = -(-len(panels) // COLUMNS)
    size = COLUMNS * (PANEL + GAP) - GAP, rows * (TITLE + PANEL + GAP) - GAP
    picture = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=15)
    for i, (title, images) in enumerate(panels):
        left, top = i % COLUMNS * (PANEL + GAP), i // COLUMNS * (TITLE + PANEL + GAP)
        draw.text((left + 2, top), title, fill=0, font=font)
        picture.paste(Image.fromarray(np.squeeze(plots.grid(images))), (left, top + TITLE))
    picture.save(ROOT / "docs" / "images" / "families.png", optimize=True)


def records():
    """Return the records of the default budget with seed 0, one for each family."""
    wanted = {"section": "families", "budget": "default", "seed": 0}
    return [record for record in results.load() if record | wanted == record]


def samples(name, run):
    """Return samples of a trained family, not picked out: uint8 (36, H, W_, C)."""
    module = results.example(name)
    (Model,) = (kind for kind in vars(module).values() if is_model(kind) and kind.__module__ == module.__name__)
    model = training.load_model(Model, module.Settings, run)
    z = xp.to_device(model.latent(SAMPLES, np.random.default_rng(0)))
    return data.to_bytes(xp.to_host(model.generate(z)))


def is_model(kind):
    return isinstance(kind, type) and issubclass(kind, training.Model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", default="runs/families/default", help="folder of the runs (default: %(default)s)")
    try:
        main(parser.parse_args().runs)
    except UserError as error:
        print(f"families.py: error: {error}", file=sys.stderr)
        sys.exit(2)
