"""Train every family of images on MNIST, measure it, and write the records and docs/results.md.

    python benchmarks/families.py                       # the quick budget: few steps, 2,000 samples
    python benchmarks/families.py --budget default      # each example at its own defaults, 10,000 samples
    python benchmarks/families.py --only gan dcgan --seeds 3

It runs the commands that a user would: train, `evaluate`, and for the first GAN `parzen`. Each family has a run
directory; called again, the script goes on where it stopped, and skips what has its record. It needs the classifier
that `python examples/classifier.py --data mnist` trains. A family that fails is named, and the others go on.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import results

from scratchgan.plots import read_log

EXAMPLES = results.ROOT / "examples"
QUICK = {"gan": 3000, "adversarial_nets": 2000}  # perceptrons, whose steps are cheap; 400 for the others
SAMPLES = {"quick": 2000, "default": 10_000}
MEASURED = ("FID-LeNet", "precision-LeNet", "recall-LeNet", "nearer to training data-LeNet", "coverage-LeNet",
            "LeNet score")  # fmt: skip
PAPER = {"nats": "225 ± 2", "steps": 125_000}  # the authors' run had no fixed end; their momentum grows for so long


def main(argv=None):
    """Measure every family that has no record yet, and write the page each time."""
    options = parse(argv)
    failed = []
    for seed in range(options.seeds):
        for name in options.only:
            try:
                measure(name, seed, options)
            except subprocess.CalledProcessError as error:
                print(f"---- {name} failed: {error}", flush=True)
                failed.append(name)
    if failed:
        sys.exit(f"families.py: error: without a record: {', '.join(failed)}")


def parse(argv):
    there = [name for name in (*results.FAMILIES, *results.LABELLED) if (EXAMPLES / f"{name}.py").exists()]
    parser = argparse.ArgumentParser("families.py", description=__doc__.split("\n")[0])
    parser.add_argument("--budget", choices=SAMPLES, default="quick", help="how many steps (default: quick)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each family, of seeds 0, 1, ... (default: 1)")
    parser.add_argument("--only", nargs="+", choices=there, default=there, metavar="NAME", help=", ".join(there))
    parser.add_argument("--threads", type=int, default=0, help="threads; 0: as many as there are processors")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--note", default="", help='what else to know about the machine, such as "shared"')
    parser.add_argument("--out", default="runs/families", help="folder of the runs (default: runs/families)")
    return parser.parse_args(argv)


def measure(name, seed, options):
    """Train a family, go on with it, or skip it; write its records."""
    steps = steps_of(name, options.budget)
    if measured(name, seed, steps):
        return
    print(f"---- {name}, seed {seed}", flush=True)
    run = Path(options.out, options.budget, name if seed == 0 else f"{name}-{seed}")
    if (run / "checkpoint.npz").exists():
        call(name, "--resume", run, "--steps", steps)
    else:
        call(name, "--data", "mnist", "--steps", steps, "--seed", seed, "--out", run, "--sample-every", steps,
             "--checkpoint-every", max(steps // 4, 1), "--threads", options.threads,
             "--device", options.device)  # fmt: skip
    found = ask(name, "evaluate", run / "metrics.json", SAMPLES[options.budget], options)
    steps = found["step"]  # of the checkpoint: a log can be ahead of it
    seconds = next(line["seconds"] for line in read_log(run / "log.jsonl") if line["step"] == steps)
    about = {"what": name, "budget": options.budget, "seed": seed, "steps": steps, "seconds": seconds,
             "command": f"python examples/{name}.py --data mnist --steps {steps} --seed {seed}",
             "full_steps": steps_of(name, "default"), "hardware": hardware(options)}  # fmt: skip
    if name == "adversarial_nets":
        results.save(about | parzen(ask(name, "parzen", run / "parzen.json", 10_000, options)))
    results.save(about | family(found))
    results.write_page(results.load())


def steps_of(name, budget):
    """Return the steps of a family at a budget; the example itself is asked for its default."""
    if budget == "quick":
        return QUICK.get(name, 400)
    if name == "adversarial_nets":
        return PAPER["steps"]
    sys.path.insert(0, str(EXAMPLES))
    return __import__(name).Settings().steps


def measured(name, seed, steps):
    """Whether there is a record of this many steps."""
    return any(
        (record["section"], record["what"], record["seed"], record["steps"]) == ("families", name, seed, steps)
        for record in results.load()
    )


def family(found):
    """Return the fields of a record that come from metrics.json."""
    metrics = {name: found["metrics"][name] for name in MEASURED}
    return {
        "section": "families",
        "protocol": f"MNIST: {found['n']:,} samples against as many test images; the classifier is right for "
        f"{found['accuracy on test images']:.2%} of the test images",
        "numbers": {name: metric["value"] for name, metric in metrics.items()},
        "floors": {name: metric["floor"] for name, metric in metrics.items() if metric["floor"] is not None},
    }


def parzen(found):
    """Return the fields of a record that come from parzen.json."""
    samples, train = found["samples"], found["training images"]
    return {
        "section": "parzen",
        "protocol": f"Goodfellow et al. 2014, section 5: {found['n']:,} samples, {found['test images']:,} test images, "
        "sigma from 1,000 others",
        "numbers": {"log-likelihood": samples["nats"], "sigma": samples["sigma"]},
        "errors": {"log-likelihood": samples["error"]},
        "floors": {"log-likelihood": train["nats"]}, "published": {"log-likelihood": PAPER["nats"]},
        "source": "Goodfellow et al. 2014, table 1; no steps are named there: after 125,000 the momentum of the "
        "authors' code is where it ends",
    }  # fmt: skip


def hardware(options):
    threads = f"{options.threads or os.cpu_count()} threads" if options.threads != 1 else "1 thread"
    where = "GPU" if options.device == "gpu" else f"{platform.machine()}, {os.cpu_count()} processors, {threads}"
    return f"{where}, NumPy {np.__version__}{', ' * bool(options.note)}{options.note}"


def ask(name, command, file, n, options):
    """Return what a command found about n samples of a run, from its file if that is newer than the checkpoint."""
    if file.exists() and file.stat().st_mtime > (file.parent / "checkpoint.npz").stat().st_mtime:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["n"] == n:
            return found
    call(name, command, file.parent, "--n", n, "--device", options.device)
    return json.loads(file.read_text(encoding="utf-8"))


def call(name, *arguments):
    """Run an example's command; raise CalledProcessError if it fails."""
    subprocess.run([sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
