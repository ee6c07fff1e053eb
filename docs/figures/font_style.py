"""What runs of `examples/translation/font_style.py` make of the same test glyphs: a picture; and what leaks.

    python docs/figures/font_style.py runs/no_gan runs/font_style

From above: new pairs of a character and a face, new characters, new faces. In each row, twice: the content, the style
glyphs, each run in turn, the truth. Printed is how alike two outputs are whose style glyphs show the same face by other
characters, beside how near they come to the truth. Other numbers are those of the example's own command `recognise`.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots, training
from scratchgan.data import faces
from scratchgan.examples.translation import font_style
from scratchgan.metrics.pixels import psnr
from scratchgan.support.errors import UserError
from scratchgan.training import styles

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 10  # glyphs of each kind, two in a row
COMPARED = 1000


def alike(model, name):
    """Return the PSNR of one output against another, by other characters of the same face, and against the truth."""
    K = model.settings.styles
    tests = styles.draw(dataclasses.replace(model.settings, styles=2 * K), name, COMPARED)
    content, shown = tests.inputs[..., :1], tests.inputs[..., 1:]
    halves = (np.concatenate([content, half], axis=-1) for half in (shown[..., :K], shown[..., K:]))
    one, other = (model.translated(half) for half in halves)
    return psnr(one, other).mean(), psnr(one, tests.truths).mean()


def main(runs, out):
    models = [training.load_model(font_style.FontStyle, font_style.Settings, run) for run in runs]
    if len({(model.settings.seed, model.settings.styles) for model in models}) > 1:
        raise UserError("These runs have other test glyphs: give those of one seed and one number of style glyphs.")
    for run, model in zip(runs, models, strict=True):
        for name in faces.SPLITS[1:]:
            print("{}, {}: to another output {:.2f} dB, to the truth {:.2f} dB".format(run, name, *alike(model, name)))
    rows = []
    for name in faces.SPLITS[1:]:
        tests = styles.draw(models[0].settings, name, training.translation.REPORTED)
        tests = faces.Styled(*(part[:SHOWN] for part in tests))
        given = np.split(tests.inputs, tests.inputs.shape[-1], axis=-1)
        rows += [np.stack([*given, *(model.translated(tests.inputs) for model in models), tests.truths], axis=1)]
    shown = np.concatenate(rows)  # (3 SHOWN, columns, H, W, 1)
    plots.save(plots.grid(shown.reshape(-1, *shown.shape[2:]), columns=2 * shown.shape[1]), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directories of examples/translation/font_style.py")
    parser.add_argument("--out", default=ROOT / "docs" / "images" / "font_style.png", help="picture to write")
    options = parser.parse_args()
    try:
        main(options.runs, options.out)
    except UserError as error:
        print(f"font_style.py: error: {error}", file=sys.stderr)
        sys.exit(2)
