"""Mode collapse and three remedies on one protocol: plain GAN, PacGAN with pairs, unrolled GAN, VEEGAN.

Trains each on the ring of 8 Gaussians and on the grid of 25, several seeds each, and writes a table (mean and standard
error over seeds, beside the numbers of Lin et al. 2018, table 1) and one picture. Each run is a cell: a run directory
and a JSON file with its seed, settings, hardware, time and numbers. Called again, the command goes on where it stopped.

    python examples/mode_collapse.py                       # 5,000 iterations, 1/80 of the paper's
    python examples/mode_collapse.py --budget paper        # 400,000 iterations
"""

import argparse
import dataclasses
import itertools
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import pacgan  # noqa: E402
import unrolled  # noqa: E402
import veegan  # noqa: E402

from scratchgan import plots, training, xp  # noqa: E402
from scratchgan.errors import UserError  # noqa: E402
from scratchgan.files import replacing, write_json  # noqa: E402
from scratchgan.metrics import modes  # noqa: E402
from scratchgan.training import command  # noqa: E402

BUDGETS = {"quick": 5000, "paper": 400_000}  # iterations
METHODS = {
    "plain": (pacgan.PacGAN, pacgan.Settings, {"pack": 1}),
    "pacgan2": (pacgan.PacGAN, pacgan.Settings, {"pack": 2}),
    "unrolled": (unrolled.UnrolledGAN, unrolled.Settings, {"unroll": 3}),
    "veegan": (veegan.VEEGAN, veegan.Settings, {}),
}
PUBLISHED = {("ring", "plain"): "6.3, 98.2 %, 0.45", ("ring", "pacgan2"): "7.9, 95.6 %, 0.07"}  # Lin et al., table 1
PUBLISHED |= {("grid", "plain"): "17.3, 94.8 %, 0.70", ("grid", "pacgan2"): "23.8, 91.3 %, 0.13"}
HARDWARE = f"{platform.machine()}, {os.cpu_count()} processors, NumPy {np.__version__}"


def main(argv=None):
    """Run every cell that is missing, then write table.md and picture.png."""
    options = parse(argv)
    with command.in_a_line("mode_collapse.py", lambda run: "the same command again"):
        for seed in options.seeds:  # a whole table after each seed
            for data, method in itertools.product(options.data, options.methods):
                run_cell(data, method, seed, options)
            write_table(options)
        draw(options)


def parse(argv):
    parser = argparse.ArgumentParser("mode_collapse.py", description=__doc__.split("\n")[0])
    parser.add_argument("--budget", choices=BUDGETS, default="quick", help="how many iterations (default: quick)")
    parser.add_argument("--steps", type=int, default=0, help="as many iterations instead")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run of each (default: 0 1 2)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all four")
    parser.add_argument("--data", nargs="+", choices=("ring", "grid"), default=["ring", "grid"], help="default: both")
    parser.add_argument("--width", type=int, default=400, help="features of G's hidden layers (default: 400)")
    parser.add_argument("--out", default="runs/mode_collapse", help="folder of the cells, the table and the picture")
    return parser.parse_args(argv)


def settings_of(data, method, seed, options):
    """Return the Settings of a cell; its checkpoints are there for whoever stops it."""
    _, Settings, changes = METHODS[method]
    steps = options.steps or BUDGETS[options.budget]
    return Settings(
        data=data, seed=seed, steps=steps, sample_every=steps, checkpoint_every=max(steps // 4, 1), width=options.width,
        threads=1, device="cpu", out=str(cell(data, method, seed, options)), **changes,
    )  # fmt: skip


def cell(data, method, seed, options):
    return Path(options.out) / f"{data}-{method}-{seed}"  # the run directory; its JSON file lies beside it


def run_cell(data, method, seed, options):
    """Train and measure, unless that is done already; raise UserError where it was done with other settings."""
    settings, run = settings_of(data, method, seed, options), cell(data, method, seed, options)
    file, record = run.with_suffix(".json"), dataclasses.asdict(settings) | {"out": ""}
    if file.exists():
        if record | json.loads(file.read_text(encoding="utf-8"))["settings"] != record:  # new ones do not count
            raise UserError(f"{file} is of a run with other settings: choose another --out, or remove it")
        return
    print(f"---- {run.name}", flush=True)
    resume = run if (run / "checkpoint.npz").exists() else None
    model = training.train(METHODS[method][0], settings, resume=resume)
    *_, last = plots.read_log(run / "log.jsonl")
    if last["step"] != settings.steps:
        raise UserError(f"{run} is at step {last['step']:,} already: choose another --out, or remove it")
    counts = modes.counts(points(model), pacgan.mixture(data).centers)
    numbers = {name: float(value) for name, value in model.report().items()}
    numbers |= {"Jensen-Shannon": modes.divergences(counts).jensen_shannon, "histogram": counts.tolist()}
    about = {"method": method, "data": data, "seed": seed, "seconds": last["seconds"], "hardware": HARDWARE}
    write_json(file, about | numbers | {"settings": record})


def points(model):
    """Return the 2,500 samples that the protocol measures."""
    return xp.to_host(model.generate(xp.to_device(model.latent(2500, np.random.default_rng(0)))))


def write_table(options):
    """Write and print the table of all cells that are there: mean and standard error over seeds."""
    lines = ["| data | method | seeds | modes | high quality | reverse KL | minutes | published |", "|" + "---|" * 8]
    for data, method in itertools.product(options.data, options.methods):
        files = [cell(data, method, seed, options).with_suffix(".json") for seed in options.seeds]
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
        numbers = [data, method, f"{len(found)}", mean_and_error([run["modes"] for run in found], 1)]
        numbers += [mean_and_error([100 * run["high quality"] for run in found], 1) + " %"]
        numbers += [mean_and_error([run["reverse KL"] for run in found], 3)]
        numbers += [mean_and_error([run["seconds"] / 60 for run in found], 1), PUBLISHED.get((data, method), "")]
        lines.append(f"| {' | '.join(numbers)} |")
    with replacing(Path(options.out) / "table.md") as file:
        file.write(("\n".join(lines) + "\n").encode())
    print("\n".join(lines), flush=True)


def mean_and_error(values, digits):
    """Write the mean and its standard error, the deviation over the root of n."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}"


def draw(options):
    """Draw the samples of the first seed: a row per data set, a column per method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(options.methods), 3.2 * len(options.data)), layout="constrained")
    panels = figure.subplots(len(options.data), len(options.methods), squeeze=False)
    for row, data in zip(panels, options.data, strict=True):
        for axes, method in zip(row, options.methods, strict=True):
            real, run = pacgan.mixture(data), cell(data, method, options.seeds[0], options)
            model = training.load_model(*METHODS[method][:2], run)
            numbers = json.loads(run.with_suffix(".json").read_text(encoding="utf-8"))
            axes.scatter(*real.sample(1000, np.random.default_rng(1)).T, s=4, color="tab:orange")
            axes.scatter(*points(model).T, s=1, color="tab:blue", alpha=0.4)
            axes.set(xlim=(-real.bounds, real.bounds), ylim=(-real.bounds, real.bounds), aspect="equal")
            axes.set_title(f"{data}, {method}: {numbers['modes']:.0f} modes, {numbers['high quality']:.0%}", fontsize=9)
    with replacing(Path(options.out) / "picture.png") as file:
        figure.savefig(file, format="png", dpi=80)


if __name__ == "__main__":
    main()
