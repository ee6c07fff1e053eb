"""What each choice of a recipe is worth: a family trained with one thing changed, each for the same seconds of a core.

    python benchmarks/recipes.py --only r1gan                          # its rows of RECIPES, 120 seconds each
    python benchmarks/recipes.py --only r1gan --seconds 600 --seeds 0 1 2
    python benchmarks/recipes.py --only r1gan --recipes "" "--lr 5e-4" "--lr 5e-4 --width 32"      # others

A recipe is what stands behind an example's name on its command line: "" is the example as it is.

Seconds are those of the process, not of the clock: what else the machine does changes them little. A pilot run measures
how many a step takes, so that a record names steps, and its command can be repeated anywhere. Called again, the script
skips what has its record, and goes on with what has a checkpoint. It needs the classifier that
`python examples/uses/classifier.py --data mnist` trains.
"""

import argparse
import os
import tempfile
from pathlib import Path

import families
import results
import trainings

SECTION = "recipes"
PILOT = 10, 40  # steps: the longer run less the shorter one is without the start
RECIPES = {
    "r1gan": ("", "--lr 2e-4", "--width 64", "--average 0", "--gamma 10", "--penalty-every 1"),
    "wgan_gp": ("", "--lr 1e-4", "--width 64", "--average 0", "--critic-steps 5"),
    "dragan": ("", "--lr 2e-4", "--width 64", "--average 0", "--penalty 1"),
    "sngan": ("", "--lr 2e-3", "--lr-G 5e-4", "--width 64", "--average 0"),
    "ragan": ("", "--width 64", "--lr-G 2e-4", "--average 0"),
    "dcgan": ("", "--hidden 0", "--width 64", "--lr-G 2e-4", "--average 0", "--upsample nearest"),
    "gan": ("", "--lr 2e-4", "--average 0"),
}


def main(argv=None):
    """Measure every recipe that has no record yet, and write the page each time."""
    options = parse(argv)
    chosen = [f"{name} {recipe}".strip() for name in options.only for recipe in options.recipes or RECIPES[name]]
    trainings.every(chosen, lambda what, seed: measure(what, seed, options), options)


def parse(argv):
    parser = argparse.ArgumentParser("recipes.py", description=__doc__.split("\n")[0])
    trainings.add_options(parser, list(RECIPES), "runs/recipes")
    parser.add_argument("--seconds", type=int, default=120, help="of a core, for each training (default: 120)")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help='such as "" "--lr 5e-4" (default: RECIPES)')
    options = parser.parse_args(argv)
    options.threads = options.threads or 1  # of several, the seconds of a process would add up
    if options.seconds < 1:
        parser.error(f"--seconds is {options.seconds}, wanted 1 or more")
    return options


def measure(what, seed, options):
    """Train a recipe, go on with it, or skip it; write its record."""
    budget = f"{options.seconds} s"
    row = {"section": SECTION, "what": what, "budget": budget}
    alike = [record for record in results.load() if record | row == record]
    if any(record["seed"] == seed for record in alike):
        return
    print(f"---- {what}, seed {seed}", flush=True)
    name, *given = what.split()
    program = (results.script(name),)
    run = trainings.directory(options, f"{budget}/{what}".replace(" ", ""), seed)
    common = ("--data", "mnist", *given, "--seed", seed)
    if (run / "checkpoint.npz").exists():  # a training that was broken off knows its own steps
        steps = trainings.read(run / "settings.json")["steps"]
        trainings.call(*program, "--resume", run)
    else:
        steps = alike[0]["steps"] if alike else steps_for(options.seconds, program, common)  # of another seed
        trainings.call(*program, *common, *quietly(steps, run))
    result = trainings.result_of(run / "metrics.json", *program, "evaluate", run, "--n", families.SAMPLES)
    command = " ".join(map(str, ("python", *program, *common[:-2], "--steps", steps, *common[-2:])))
    about = {"seed": seed, "steps": steps, "seconds": float(options.seconds), "command": command,
             "hardware": trainings.hardware(options)}  # fmt: skip
    results.save(families.family(result) | row | about)
    results.write_page(results.load())


def quietly(steps, out):
    return ("--steps", steps, "--out", out, "--sample-every", steps, "--checkpoint-every", max(steps // 4, 1),
            "--threads", 1, "--device", "cpu")  # fmt: skip


def steps_for(seconds, program, common):
    """Return how many steps take so many seconds of a process, at two digits."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (cost(*program, *common, *quietly(steps, Path(folder, str(steps)))) for steps in PILOT)
    steps = max(int(seconds * (PILOT[1] - PILOT[0]) / max(long - short, 1e-3)), 1)
    return round(steps, 2 - len(str(steps)))


def cost(*command):
    """Return the seconds of processors that a command takes."""
    before = os.times()
    trainings.call(*command)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])  # of this process's children
