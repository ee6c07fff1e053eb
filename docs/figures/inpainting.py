"""How well holes are filled: by the mean, by the training picture that fits best, by context encoders; and a picture.

    python docs/figures/inpainting.py runs/inpainting runs/no_gan

Of each way: PSNR in the hole, the mean over the test pictures; sharpness in the hole, 1 being the truth's; the share of
the filled pictures of which the data's own classifier names the class. The columns of the picture: what is seen, the
training picture that fits best, each run in turn, the truth.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots, training
from scratchgan.data.holes import middle
from scratchgan.examples.translation import inpainting
from scratchgan.metrics import classifier
from scratchgan.metrics.pixels import psnr, sharpness
from scratchgan.support.errors import UserError
from scratchgan.support.files import write_json

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 24  # pictures, two in a row


def fitting_best(train, inputs, hole):
    """Return for each input the number of the training picture whose context is nearest, in pixels."""
    around = np.ones(train.shape[1:], bool)
    around[middle(train.shape[1], hole)[1:]] = False
    known, asked = (images[:, around].astype(np.float32) for images in (train, inputs))
    squares = (known**2).sum(axis=1)
    return np.concatenate([(squares - 2 * some @ known.T).argmin(1) for some in np.array_split(asked, 20)])


def filled_by_rule(model, test):
    """Return {way: filled pictures} of what needs no network: a colour, the mean picture, the best training picture."""
    train, hole = model.load_pairs(model.settings, "train").truths, model.settings.hole
    inside = middle(train.shape[1], hole)
    contents = {
        "the mean picture": np.rint(train.mean(axis=0)).astype(np.uint8)[None],
        "the best training picture": train[fitting_best(train, test.inputs, hole)],
    }
    ways = {"one colour: the input": test.inputs}
    for way, content in contents.items():
        ways[way] = test.inputs.copy()
        ways[way][inside] = np.broadcast_to(content, test.inputs.shape)[inside]
    return ways


def measure(ways, test, hole, judge):
    """Print and return {way: {metric: number}} of filled pictures."""
    inside, found = middle(test.truths.shape[1], hole), {}
    print(f"{'filled by':34} {'PSNR, dB':>9} {'sharpness':>10} {'class':>7}")
    for way, filled in (ways | {"the truth": test.truths}).items():
        holes, truths = filled[inside], test.truths[inside]
        numbers = {"PSNR": float(psnr(holes, truths).mean())}
        numbers["sharpness"] = float(sharpness(holes).mean() / sharpness(truths).mean())
        numbers["class accuracy"] = judge.accuracy(filled, test.labels) if judge else float("nan")
        print("{:34} {:9.2f} {:10.3f} {:7.3f}".format(way, *numbers.values()))
        found[way] = numbers
    return found


def finite(found):
    """Return numbers as JSON knows them: None for the PSNR of the truth, which is infinite, and for no accuracy."""
    known = lambda number: number if np.isfinite(number) else None
    return {way: {metric: known(number) for metric, number in numbers.items()} for way, numbers in found.items()}


def main(runs, out, n):
    models = {run: training.load_model(inpainting.ContextEncoder, inpainting.Settings, run) for run in runs}
    first = models[runs[0]]
    asked = [(s.data, s.seed, s.size, s.hole) for s in (model.settings for model in models.values())]
    if len(set(asked)) > 1:
        raise UserError("These runs fill other holes, or in other pictures: give those of one data set, size and seed.")
    test = first.held_out_pairs().rows(slice(0, n))
    ways = filled_by_rule(first, test) | {run: model.translated(test.inputs) for run, model in models.items()}
    judge = classifier.load(first.classes) if first.classes else None
    found = measure(ways, test, first.settings.hole, judge)
    for run, model in models.items():
        facts = {"n": len(test.inputs), "settings": dataclasses.asdict(model.settings)}
        write_json(Path(run) / "inpainting.json", facts | {"ways": finite(found)})
    columns = [test.inputs, ways["the best training picture"], *(ways[run] for run in runs), test.truths]
    shown = np.stack([images[:SHOWN] for images in columns], axis=1)
    plots.save(plots.grid(shown.reshape(-1, *test.truths.shape[1:]), columns=2 * len(columns)), out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run directories of examples/translation/inpainting.py")
    parser.add_argument("--out", default=ROOT / "docs" / "images" / "inpainting.png", help="picture to write")
    parser.add_argument("--n", type=int, default=2000, help="test pictures (default: 2000)")
    options = parser.parse_args()
    try:
        main(options.runs, options.out, options.n)
    except UserError as error:
        print(f"inpainting.py: error: {error}", file=sys.stderr)
        sys.exit(2)
