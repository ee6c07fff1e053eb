"""How far SeqGAN and MLE are from the oracle, over several runs: a table, and a picture of both KLs.

    for seed in 0 1 2; do python examples/sequences/seqgan.py --seed $seed --out runs/seqgan/$seed; done
    python benchmarks/seqgan.py runs/seqgan/0 runs/seqgan/1 runs/seqgan/2 --out kl.png

Every run is measured beside its own MLE at several temperatures, on the same number of sequences: means over the runs,
and in brackets the least and the largest. --others: runs that the picture shows beside these, by their folders' names.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from scratchgan import plots
from scratchgan.examples.sequences import seqgan
from scratchgan.support.errors import UserError
from scratchgan.training import load_model, speech

TEMPERATURES = (1.2, 1.1, 1.0, 0.9, 0.8, 0.7)
COLUMNS = ("NLL_oracle", "NLL_test", "entropy of G", "KL(G, oracle)", "KL(oracle, G)", "KL sum", "different words")


def measure(runs, n):
    """Return {who: [measures of each run]}: of the oracle, of MLE at each temperature, of G."""
    found = {}
    for run in runs:
        model = load_model(seqgan.SeqGAN, seqgan.Settings, run)
        networks = {"oracle": model.oracle}
        networks |= {f"MLE, temperature {T}": speech.sharpened(model.MLE, T) for T in TEMPERATURES}
        for who, network in (networks | {"G": model.G}).items():
            found.setdefault(who, []).append(model.measures(network, n))
    return found


def table(found):
    """Return lines of Markdown: the mean over runs, and the least and the largest of several."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for who, measures in found.items():
        cells = []
        for column in COLUMNS:
            values = [one[column] for one in measures]
            form = "{:.0f}" if column == "different words" else "{:.3f}"
            spread = f" ({form.format(min(values))} to {form.format(max(values))})" if min(values) < max(values) else ""
            cells.append(form.format(np.mean(values)) + spread)
        lines.append(f"| {who} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@plots.own_style()
def draw(found, others, path):
    """Draw KL(G, oracle) against KL(oracle, G): the line of MLE's temperatures, and where the games have led."""
    from matplotlib.figure import Figure  # slow to load

    place = lambda one: (one["KL(G, oracle)"], one["KL(oracle, G)"])
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    for number in range(len(found["G"])):
        sweep = np.array([place(found[f"MLE, temperature {T}"][number]) for T in TEMPERATURES])
        axes.plot(*sweep.T, ".-", color="0.6", label="MLE, temperatures 1.2 to 0.7" if not number else None)
        axes.plot(*place(found["MLE, temperature 1.0"][number]), "o", color="0.3", label=None if number else "MLE")
    for T in TEMPERATURES:
        axes.annotate(str(T), place(found[f"MLE, temperature {T}"][0]), (4, 4), textcoords="offset points", fontsize=8)
    points = np.array([place(one) for one in found["G"]])
    axes.plot(*points.T, "^", color="tab:red", label="SeqGAN")
    for number, (name, one) in enumerate(others.items()):
        axes.plot(*place(one), "s", color=f"C{number + 4}", label=name)
    axes.set(xlabel="KL(G, oracle), nats a word", ylabel="KL(oracle, G), nats a word")
    axes.grid(alpha=0.3)
    axes.legend()
    plots.save_figure(figure, path)


def main(argv=None):
    parser = argparse.ArgumentParser("seqgan.py", description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--others", nargs="*", default=[], type=Path, help="runs of other games, for the picture")
    parser.add_argument("--n", type=int, default=2000, help="sequences of each (default: 2000)")
    parser.add_argument("--out", default="", help="a picture of both KLs, as .png")
    options = parser.parse_args(argv)
    try:
        found = measure(options.runs, options.n)
        others = {run.name: measure([run], options.n)["G"] for run in options.others}
        print(table(found | others))
        if options.out:
            plots.demand_png(options.out)
            draw(found, {name: measures[0] for name, measures in others.items()}, options.out)
    except UserError as error:
        sys.exit(f"seqgan.py: error: {error}")


if __name__ == "__main__":
    main()
