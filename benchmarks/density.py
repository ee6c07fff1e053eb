"""One problem, models of six kinds: train them all on the 4,096 cells, print one table, draw one picture.

    python benchmarks/density.py --seeds 0 1 2 --out runs/density

Each row is what the example of its name does with its default options, or with those that the row names. Every q is
kept in --out: called again, the command skips what is there. It writes a record for each run of what was trained, and
then docs/results.md.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import results
import trainings

from scratchgan import plots, training
from scratchgan.examples.relatives import gan_cells, hmm, made, mcmc, vae_cells
from scratchgan.fast import threads
from scratchgan.metrics import cells as metrics
from scratchgan.support.errors import UserError
from scratchgan.support.files import replacing

SECTION = "density"
HARDWARE = trainings.hardware(argparse.Namespace(threads=1, device="cpu", note="seconds of one core"))
PROTOCOL = "20,000 points in 4,096 cells; q of all cells, exact, or a million samples for those marked"
DIGITS = {"KL(p, q)": 4, "KL(q, p)": 3, "JS": 4, "TV": 3}
SHOWN = ("MADE", "LSTM", "HMM of two words", "VAE", "GAN, samples", "Metropolis, step 1.5, samples",
         "HMC, 10 x 0.1, samples")  # fmt: skip


def trained(Model, Settings, seed, out, **options):
    """Return q of a model after its training, and how many steps that were."""
    settings = Settings(seed=seed, threads=1, device="cpu", sample_every=10**6, out=str(out), **options)
    resume = out if (out / "checkpoint.npz").exists() else None
    return training.train(Model, settings, resume=resume).q(), settings.steps


def fitted(seed, out, **options):
    settings = hmm.Settings(seed=seed, **options)
    return hmm.probabilities(hmm.fit(settings)[0], settings.words), settings.iterations


def chained(number, seed, out):
    settings = mcmc.Settings(seed=seed)
    move = [*mcmc.samplers(settings).values()][number]
    return mcmc.run(move, settings)[0], settings.draws


SAMPLERS = [f"{name}, samples" for name in mcmc.samplers(mcmc.Settings())]
ROWS = {
    "MADE": ("made", "", partial(trained, made.MADE, made.Settings)),
    "LSTM": ("made", " --network lstm --width 48", partial(
        trained, made.MADE, made.Settings, network="lstm", width=48)),
    "HMM of two words": ("hmm", "", fitted),
    "HMM of twelve bits": ("hmm", " --words bits --states 96", partial(fitted, words="bits", states=96)),
    "VAE": ("vae_cells", "", partial(trained, vae_cells.VAE, vae_cells.Settings)),
    "GAN, samples": ("gan_cells", "", partial(trained, gan_cells.CellsGAN, gan_cells.Settings)),
    **{name: ("mcmc", "", partial(chained, number)) for number, name in enumerate(SAMPLERS)},
}  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser("density.py", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run of each (default: 0 1 2)")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help="these alone")
    parser.add_argument("--out", default="runs/density", help="folder of what was found, and of the picture")
    parser.add_argument("--no-records", action="store_true", help="write no records, and not docs/results.md")
    options = parser.parse_args(argv)
    threads.use(1)
    try:
        found = {row: [measured(row, seed, Path(options.out)) for seed in options.seeds] for row in options.only}
    except UserError as error:
        sys.exit(f"density.py: error: {error}")
    print(table(found))
    if set(SHOWN) <= set(found):
        draw({row: found[row][0]["q"] for row in SHOWN}, Path(options.out) / "relatives.png")
    if not options.no_records:
        for row, runs in found.items():
            for run in runs:
                save(row, run)
        results.write_page(results.load())


def measured(row, seed, out):
    """Return {"q", "seconds", "steps", "seed"} of a row: from its file, or now; seconds are of one core."""
    name = "".join(letter if letter.isalnum() else "-" for letter in f"{row}-{seed}")
    file = out / f"{name}.npz"
    if not file.exists():
        print(f"---- {row}, seed {seed}", flush=True)
        out.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        q, steps = ROWS[row][2](seed, out / name)
        with replacing(file) as stream:
            np.savez(stream, q=q, seconds=time.process_time() - start, steps=steps, seed=seed)
    with np.load(file) as found:
        return {key: found[key] if key == "q" else found[key].item() for key in found.files}


def table(found):
    """Return lines of Markdown: means over the seeds, and the standard error of several; then what needs no model."""
    lines = ["| | " + " | ".join((*DIGITS, "seconds")) + " |", "|" + "---|" * (len(DIGITS) + 2)]
    for row, runs in found.items():
        distances = [metrics.compare(run["q"]) for run in runs]
        cells = [average([one[name] for one in distances], digits) for name, digits in DIGITS.items()]
        lines.append(f"| {row} | {' | '.join(cells)} | {np.mean([run['seconds'] for run in runs]):.1f} |")
    for who, of in metrics.baselines(0).items():
        cells = [average([of[name]], digits) for name, digits in DIGITS.items()]
        lines.append(f"| *{who}* | {' | '.join(cells)} | |")
    return "\n".join(lines)


def average(values, digits):
    error = f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{error}"


@plots.own_style()
def draw(found, path):
    """Draw p and each q, the darker the more probable."""
    from matplotlib.figure import Figure  # slow to load

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    shown = {"the true p": metrics.cells.probabilities()} | found
    for place, (name, q) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(2, 4, place)
        axes.imshow(np.sqrt(q).reshape(64, 64), origin="lower", cmap="gray_r", vmin=0,
                    vmax=np.sqrt(metrics.cells.probabilities().max()))  # fmt: skip
        axes.set(xticks=[], yticks=[])
        js = f"\nJS {metrics.compare(q)['JS']:.4f}" if place > 1 else "\n"
        axes.set_title(name.removesuffix(", samples") + js)
    plots.save_figure(figure, path)


def save(row, run):
    """Write the record of a run."""
    example, options, _ = ROWS[row]
    script = results.script(example)
    results.save({
        "section": SECTION, "what": row, "budget": "default", "seed": run["seed"], "steps": run["steps"],
        "seconds": round(run["seconds"], 3), "hardware": HARDWARE,
        "command": f"python {script}{options} --seed {run['seed']}", "protocol": PROTOCOL,
        "numbers": {name: round(value, 6) for name, value in metrics.compare(run["q"]).items()},
    })  # fmt: skip


if __name__ == "__main__":
    main()
