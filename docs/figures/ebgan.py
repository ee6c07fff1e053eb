"""Samples of runs of `examples/relatives/ebgan.py` and `began.py` side by side; BEGAN's M beside what it stands for.

    python docs/figures/ebgan.py --runs runs/ebgan runs/ebgan-2 runs/began       # images/ebgan.png
    python docs/figures/ebgan.py --measure runs/began                            # images/began.png

The second takes a run that was trained with --evaluate-every: M, a mean over the lines of the log between two
evaluations, and FID-LeNet, each against steps. Printed: both, k, and the rank correlation of M and FID-LeNet.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots, training, xp
from scratchgan.examples.relatives import began, ebgan
from scratchgan.support.errors import UserError

IMAGES = Path(__file__).resolve().parents[1] / "images"
SAMPLES, COLUMNS, GAP = 64, 8, 8  # of each run; in a row; pixels between two runs


def samples(run):
    """Return a grid of samples of a run of either example."""
    try:
        model = training.load_model(ebgan.EBGAN, ebgan.Settings, run)
    except UserError:
        model = training.load_model(began.BEGAN, began.Settings, run)
    z = xp.to_device(model.latent(SAMPLES, np.random.default_rng(0)))
    return plots.grid(model.images(z), columns=COLUMNS)


def beside_each_other(grids):
    gap = np.full_like(grids[0][:, :GAP], 255)
    return np.concatenate([part for grid in grids for part in (gap, grid)][1:], axis=1)


def measured(log):
    """Return [(step, M, k, FID-LeNet)] of a log: M is the mean since the evaluation before."""
    rows, since = [], []
    for record in plots.read_log(log):
        since += [record["M"]] if "M" in record else []
        found = record.get("report", {}).get("FID-LeNet")
        if found is not None and since:
            rows.append((record["step"], np.mean(since), record["k"], found))
            since = []
    return rows


def rank_correlation(a, b):
    """Return Spearman's: the correlation of ranks."""
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def draw(rows):
    """Return a picture of M and of FID-LeNet against steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, M, _, fid = np.transpose(rows)
    canvas = FigureCanvasAgg(Figure(figsize=(8, 3), dpi=80, layout="constrained"))
    left, right = canvas.figure.subplots(1, 2)
    for axes, name, values in ((left, "M", M), (right, "FID-LeNet", fid)):
        axes.plot(steps, values, marker="o", color="tab:blue")
        axes.set(xlabel="step", title=name, ylim=(0, None))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="run directories of either example")
    parser.add_argument("--measure", type=Path, help="a run directory of began.py, trained with --evaluate-every")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of ebgan.png and began.png")
    options = parser.parse_args(argv)
    if not options.runs and not options.measure:
        parser.error("name --runs, or --measure RUN")
    try:
        if options.runs:
            plots.save(beside_each_other([samples(run) for run in options.runs]), options.out / "ebgan.png")
    except UserError as error:
        sys.exit(f"ebgan.py: error: {error}")
    if not options.measure:
        return
    rows = measured(options.measure / "log.jsonl") if (options.measure / "log.jsonl").exists() else []
    if len(rows) < 3:
        sys.exit(f"ebgan.py: error: {options.measure} has no three evaluations of a BEGAN: train with --evaluate-every")
    plots.save(draw(rows), options.out / "began.png")
    for step, M, k, fid in rows:
        print(f"step {step:6,}: M {M:.4f}, k {k:.3f}, FID-LeNet {fid:.1f}")
    print(f"rank correlation of M and FID-LeNet: {rank_correlation(*np.transpose(rows)[[1, 3]]):.2f}")


if __name__ == "__main__":
    main()
