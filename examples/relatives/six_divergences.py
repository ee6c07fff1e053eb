"""All six divergences of `fgan.py`, several seeds each, beside the optimum that is known.

Trains what is missing, prints a table, and draws the fitted Gaussians of the first seed. Called
again, the command goes on where it stopped.

    python examples/relatives/six_divergences.py
    python examples/relatives/six_divergences.py --divergences kl pearson --seeds 0
"""

import argparse
from pathlib import Path

import numpy as np

from scratchgan import plots, training
from scratchgan.data import line
from scratchgan.examples.relatives import fgan
from scratchgan.support.errors import UserError
from scratchgan.support.files import replacing
from scratchgan.training import command


def main(argv=None):
    """Run what is missing, then write table.md and picture.png."""
    options = parse(argv)
    with command.in_a_line("six_divergences.py", lambda run: "the same command again", "--steps"):
        fits, out = {}, Path(options.out)
        for name in options.divergences:
            fits[name] = [fit(name, seed, options) for seed in options.seeds]
        lines = table(fits)
        with replacing(out / "table.md") as file:
            file.write(("\n".join(lines) + "\n").encode())
        print("\n".join(lines))
        first = {name: found[0] for name, found in fits.items()}
        plots.save(fgan.draw(first), out / "picture.png")


def parse(argv):
    parser = argparse.ArgumentParser("six_divergences.py", description=__doc__.split("\n")[0])
    add, names = parser.add_argument, list(fgan.DIVERGENCES)
    add("--divergences", nargs="+", choices=names, default=names, help="default: all six")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run of each (default: 0 1 2)")
    add("--steps", type=int, default=fgan.Settings.steps, help="training steps (default: fgan.py's)")
    add("--out", default="runs/six_divergences", help="folder of the runs, table and picture")
    return parser.parse_args(argv)


def fit(name, seed, options):
    """Return what a run ends with, {"mu": ..., "sigma": ...}; train it unless that is done."""
    run = Path(options.out) / f"{name}-{seed}"
    resume = run if (run / "checkpoint.npz").exists() else None
    settings = fgan.Settings(
        divergence=name, seed=seed, steps=options.steps, out=str(run), threads=1, device="cpu",
        sample_every=options.steps, checkpoint_every=options.steps,
    )  # fmt: skip
    model = training.train(fgan.FGAN, settings, resume=resume)
    *_, last = plots.read_log(run / "log.jsonl")
    if last["step"] != options.steps:
        raise UserError(f"{run} is at step {last['step']:,} already: remove it, or change --out")
    return model.report()


def table(fits):
    """Return the lines of the table: mu and sigma of each seed, and how far the worst is off.

    Beside it, how far off the data's own mean and deviation are: what needs no game.
    """
    lines = ["| divergence | best mu, sigma | fitted, a seed each | furthest | mean, deviation |"]
    lines += ["|---|---|---|---|---|"]
    x = line.sample(1_000_000, np.random.default_rng(0))
    for name, found in fits.items():
        best = fgan.optimum(name)
        off = lambda mu, sigma, best=best: max(abs(mu - best[0]), abs(sigma - best[1]))
        each = "; ".join("{mu:.3f}, {sigma:.3f}".format(**fit) for fit in found)
        numbers = f"{max(off(**fit) for fit in found):.3f} | {off(x.mean(), x.std()):.3f}"
        lines.append(f"| {name} | {best[0]:.3f}, {best[1]:.3f} | {each} | {numbers} |")
    return lines


if __name__ == "__main__":
    main()
