"""Mode collapse and three remedies on one protocol: plain GAN, PacGAN, unrolled GAN, VEEGAN.

Trains each on a ring and on a grid of Gaussians, several seeds each, and writes a table (beside Lin
et al. 2018, table 1) and a picture. Called again, the command goes on where it stopped.

    python examples/collapse/mode_collapse.py                    # 5,000 iterations
    python examples/collapse/mode_collapse.py --budget paper     # the paper's 400,000 iterations
"""

import argparse
import dataclasses
import itertools
import os
import platform
from pathlib import Path

import numpy as np

from scratchgan import plots, training, xp
from scratchgan.examples.collapse import pacgan, unrolled, veegan
from scratchgan.metrics import modes
from scratchgan.support.errors import UserError
from scratchgan.support.files import read_record, replacing, write_json
from scratchgan.training import command

CELL = {"settings": dict} | dict.fromkeys(("modes", "high quality", "reverse KL", "seconds"), float)
BUDGETS = {"quick": 5000, "paper": 400_000}  # iterations
METHODS = {
    "plain": (pacgan.PacGAN, pacgan.Settings, {"pack": 1}),
    "pacgan2": (pacgan.PacGAN, pacgan.Settings, {"pack": 2}),
    "unrolled": (unrolled.UnrolledGAN, unrolled.Settings, {"unroll": 3}),
    "veegan": (veegan.VEEGAN, veegan.Settings, {}),
}
PUBLISHED = {("ring", "plain"): "6.3, 98.2 %, 0.45", ("ring", "pacgan2"): "7.9, 95.6 %, 0.07"}
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
    add = parser.add_argument
    add("--budget", choices=BUDGETS, default="quick", help="how many iterations (default: quick)")
    add("--steps", type=int, default=0, help="as many iterations instead")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run of each (default: 0 1 2)")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all four")
    add("--data", nargs="+", choices=("ring", "grid"), default=["ring", "grid"], help="or one")
    add("--width", type=int, default=400, help="features of G's hidden layers (default: 400)")
    add("--plain", action="store_true", help="compute with the code that is read")
    add("--out", default="runs/mode_collapse", help="folder of the cells, table and picture")
    return parser.parse_args(argv)


def settings_of(data, method, seed, options):
    """Return the Settings of a cell; its checkpoints are there for whoever stops it."""
    _, Settings, changes = METHODS[method]
    steps = options.steps or BUDGETS[options.budget]
    return Settings(
        data=data, seed=seed, steps=steps, width=options.width, plain=options.plain, **changes,
        sample_every=steps, checkpoint_every=max(steps // 4, 1),
        threads=1, device="cpu", out=str(cell(data, method, seed, options)),
    )  # fmt: skip


def cell(data, method, seed, options):
    """Return the run directory of a cell; its JSON file lies beside it."""
    return Path(options.out) / f"{data}-{method}-{seed}"


def run_cell(data, method, seed, options):
    """Train and measure unless that is done; raise UserError if it was with other settings."""
    settings, run = settings_of(data, method, seed, options), cell(data, method, seed, options)
    file, record = run.with_suffix(".json"), dataclasses.asdict(settings) | {"out": ""}
    if file.exists():
        before = read_record(file, CELL)["settings"]
        if any(before.get(name, value) != value for name, value in record.items()):
            raise UserError(f"{file} has other settings: choose another --out, or remove it")
        return
    print(f"---- {run.name}", flush=True)
    resume = run if (run / "checkpoint.npz").exists() else None
    model = training.train(METHODS[method][0], settings, resume=resume)
    *_, last = plots.read_log(run / "log.jsonl")
    if last["step"] != settings.steps:
        raise UserError(f"{run} is at step {last['step']:,} already: remove it, or change --out")
    counts = modes.counts(points(model), pacgan.mixture(data).centers)
    numbers = {name: float(value) for name, value in model.report().items()}
    numbers |= {"Jensen-Shannon": modes.divergences(counts).jensen_shannon, "hardware": HARDWARE}
    about = {"method": method, "data": data, "seed": seed, "seconds": last["seconds"]}
    write_json(file, about | numbers | {"histogram": counts.tolist(), "settings": record})


def points(model):  # the 2,500 samples that the protocol measures
    return xp.to_host(model.generate(xp.to_device(model.latent(2500, np.random.default_rng(0)))))


def write_table(options):
    """Write and print the table of all cells that are there: mean and standard error over seeds."""
    titles = "| data | method | seeds | modes | high quality | reverse KL | minutes | published |"
    lines = [titles, "|" + "---|" * 8]
    for data, method in itertools.product(options.data, options.methods):
        files = [cell(data, method, seed, options).with_suffix(".json") for seed in options.seeds]
        runs = [read_record(file, CELL) for file in files if file.exists()]
        numbers = [data, method, f"{len(runs)}", average(runs, "modes", 1)]
        numbers += [average(runs, "high quality", 1, 100) + " %", average(runs, "reverse KL", 3)]
        numbers += [average(runs, "seconds", 1, 1 / 60), PUBLISHED.get((data, method), "")]
        lines.append(f"| {' | '.join(numbers)} |")
    with replacing(Path(options.out) / "table.md") as file:
        file.write(("\n".join(lines) + "\n").encode())
    print("\n".join(lines), flush=True)


def average(runs, name, digits, scale=1):
    """Write the mean over runs and its standard error, the deviation over the root of n."""
    values = [scale * run[name] for run in runs]
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    return f"{np.mean(values):.{digits}f}" + (f" ± {error:.{digits}f}" if len(values) > 1 else "")


def draw(options):
    """Draw the samples of the first seed: a row per data set, a column per method."""
    from matplotlib.figure import Figure

    rows, columns = len(options.data), len(options.methods)
    figure = Figure(figsize=(3 * columns, 3.2 * rows), layout="constrained")
    for index, (data, method) in enumerate(itertools.product(options.data, options.methods), 1):
        axes = figure.add_subplot(rows, columns, index)
        real, run = pacgan.mixture(data), cell(data, method, options.seeds[0], options)
        model = training.load_model(*METHODS[method][:2], run)
        it = read_record(run.with_suffix(".json"), CELL)
        axes.scatter(*real.sample(1000, np.random.default_rng(1)).T, s=4, color="tab:orange")
        axes.scatter(*points(model).T, s=1, color="tab:blue", alpha=0.4)
        axes.set(xlim=(-real.bounds, real.bounds), ylim=(-real.bounds, real.bounds), aspect="equal")
        axes.set_title(f"{data}, {method}: {it['modes']:.0f} modes, {it['high quality']:.0%}", fontsize=9)
    with replacing(Path(options.out) / "picture.png") as file:
        figure.savefig(file, format="png", dpi=80)


if __name__ == "__main__":
    main()
