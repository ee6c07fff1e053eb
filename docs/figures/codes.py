"""What the codes of a run of examples/infogan.py on glyphs know of the true factors of held-out pictures, in nats.

    python docs/figures/codes.py runs/infogan

Prints a row for each factor: its mutual information with each code, its entropy, and the gap between the best code and
the second best, as a share of the entropy; first, what the same codes would show if they knew nothing.
"""

import argparse
import sys

import numpy as np

from scratchgan import training
from scratchgan.examples import infogan
from scratchgan.metrics.disentangle import matched_accuracy, mutual_information, mutual_information_gap
from scratchgan.support.errors import UserError


def main(run):
    model = training.load_model(infogan.InfoGAN, infogan.Settings, run)
    held_out, K = model.held_out(), model.settings.categories
    if held_out is None or not held_out.factors:
        raise UserError(
            f"{run} was trained on {model.settings.data}, whose true factors are not known: only glyphs' are."
        )
    out = model.infer(model.D, held_out.images)
    codes = {"category": out[:, 1 : 1 + K].argmax(1)}
    codes |= {f"number {i}": out[:, 1 + K + i] for i in range(model.settings.numbers)}
    share, names = matched_accuracy(codes["category"], held_out.labels)
    print(f"error {1 - share:.1%}; the categories 0, 1, ... stand for {', '.join(map(str, names))}")
    gap, gaps = mutual_information_gap(codes, held_out.factors)
    print(f"{'factor':10}{''.join(f'{name:>10}' for name in codes)}{'entropy':>10}{'gap':>8}")
    shuffled = np.random.default_rng(0).permutation(len(out))
    print(row("(nothing)", {name: values[shuffled] for name, values in codes.items()}, held_out.factors["angle"]))
    for name, factor in held_out.factors.items():
        print(row(name, codes, factor, f"{gaps[name][0]:8.3f}"))
    print(f"gap: {gap:.3f}")


def row(name, codes, factor, gap=""):
    told = "".join(f"{mutual_information(values, factor):10.2f}" for values in codes.values())
    return f"{name:10}{told}{mutual_information(factor, factor):10.2f}{gap}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", metavar="RUN", help="run directory of examples/infogan.py")
    try:
        main(parser.parse_args().run)
    except UserError as error:
        print(f"codes.py: error: {error}", file=sys.stderr)
        sys.exit(2)
