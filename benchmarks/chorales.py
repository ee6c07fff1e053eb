"""Bach's chorales: every cell of examples/sequences/chorales.py with several seeds, beside what knows less.

    python benchmarks/chorales.py --threads 1                    # 3 cells, 3 seeds: 15 minutes of one core
    python benchmarks/chorales.py --cells gru --seeds 0 --steps 400

Printed are nats a step, -E log p(x_t+1 | x_1, ..., x_t) summed over 88 keys, as a table in Markdown; what is told of a
cell is the mean of its seeds, and their smallest and largest. A run that is there already goes on, or is measured.

"four notes" is the share of steps in which four keys sound, in what 64 samples of each model add to their openings.

"keys, how often" knows how often each key sounds, "each key alone" how often after itself and after its own silence,
both counted in the training pieces, with half a count added to each.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from scratchgan import training, xp
from scratchgan.data import music
from scratchgan.examples.sequences import chorales
from scratchgan.training import run as runs
from scratchgan.training.loop import load_model


def main(argv=None):
    """Print the table, a row as soon as it is known."""
    options = parse(argv)
    print("| | weights | valid | test | published | four notes |\n|---|---|---|---|---|---|")
    print(f"| the pieces `test` | | | | | {of_four(steps_of('test', options.data)[1]):.2f} |")
    for name, order in (("keys, how often", 0), ("each key alone", 1)):
        values = [of_keys(split, options.data, order) for split in music.SPLITS[1:]]
        print(f"| {name} | | {values[0]:.3f} | {values[1]:.3f} | | |", flush=True)
    for cell in options.cells:
        found = [measure(cell, seed, options) for seed in options.seeds]
        weights = sum(param.value.size for param in found[0].best.params())
        cells = [spread([chorales.likelihood(model.best, split, options.data) for model in found])
                 for split in music.SPLITS[1:]]  # fmt: skip
        published = chorales.PUBLISHED[cell] if options.data == "chorales" else ""
        four = np.mean([of_four(samples(model)) for model in found])
        print(f"| {cell} | {weights:,} | {cells[0]} | {cells[1]} | {published} | {four:.2f} |", flush=True)


def parse(argv=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", nargs="+", choices=tuple(chorales.CELLS), default=[*chorales.CELLS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", default="chorales", help="as the example's (default: chorales)")
    parser.add_argument("--steps", type=int, default=0, help="training steps; 0: the example's own")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    parser.add_argument("--out", default="runs/chorales-table", help="folder of the runs (default: %(default)s)")
    return parser.parse_args(argv)


def measure(cell, seed, options):
    """Return the trained model of a cell and a seed, trained if it is not there yet."""
    out = Path(options.out, f"{cell}-{seed}")
    steps = {"steps": options.steps} if options.steps else {}
    more = {"data": options.data, "threads": options.threads, "out": str(out), **steps}
    settings = chorales.Settings(cell=cell, seed=seed, **more)
    start = time.process_time()
    there = (out / "checkpoint.npz").exists()
    if not there or runs.read_checkpoint(out, chorales.Chorales)[1]["step"] < settings.steps:
        training.train(chorales.Chorales, settings, resume=out if there else None)
        print(f"{out}: {time.process_time() - start:.0f} seconds of a core", flush=True)
    return load_model(chorales.Chorales, chorales.Settings, out)


def spread(values):
    """Return the mean of numbers, with the smallest and the largest."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def samples(model):
    """Return the steps that 64 samples of a model add to their openings: (n, 88)."""
    z = xp.to_device(model.latent(64, np.random.default_rng(0)))
    return xp.to_host(model.generate(z))[:, model.settings.opening :].reshape(-1, chorales.KEYS)


def of_four(steps):
    """Return the share of steps (n, 88) in which four keys sound."""
    return float((steps.sum(1) == 4).mean())


def of_keys(split, data, order):
    """Return nats a step where a key's p depends on nothing (order 0), or on its own last step (1)."""
    last, new = steps_of("train", data)
    seen, x = steps_of(split, data)
    last, seen = last * order, seen * order
    p = [(((last == k) * new).sum(0) + 0.5) / ((last == k).sum(0) + 1) for k in (0, 1)]  # (88,) after 0, after 1
    p = np.where(seen == 1, p[1], p[0])
    return float(-np.log(np.where(x == 1, p, 1 - p)).sum(1).mean())


def steps_of(split, data):
    """Return x_t and x_t+1 of all steps of all pieces of a split: two arrays (n, 88)."""
    keys, lengths = chorales.pieces(split, data)
    there = np.arange(1, keys.shape[1]) < lengths[:, None]
    return keys[:, :-1][there], keys[:, 1:][there]


if __name__ == "__main__":
    main()
