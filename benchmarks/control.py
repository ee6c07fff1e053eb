"""Train GAIL on its three problems, measure what its policies earn, and write the records.

    python benchmarks/control.py --seeds 0 1 2
    python benchmarks/control.py --only cartpole

It runs the commands that a user would, train and `evaluate`, and then writes docs/results.md. Called again, it goes on
where it stopped, and skips what has its records.
"""

import argparse

import results
import trainings

from scratchgan.training.imitation import PROBLEMS

SECTION = "control"
STEPS = {"cartpole": 100, "mountain_car": 120, "acrobot": 80}
PUBLISHED = {"cartpole": "200", "mountain_car": "-101.4", "acrobot": "-83.1 (v0)"}  # of the authors' GAIL


def main(argv=None):
    """Measure every problem that has no record yet, and write the page each time."""
    parser = argparse.ArgumentParser("control.py", description=__doc__.split("\n")[0])
    trainings.add_options(parser, list(PROBLEMS), "runs/control")
    options = parser.parse_args(argv)
    trainings.every(options.only, lambda task, seed: measure(task, seed, options), options)


def measure(task, seed, options):
    """Train a policy for a task and measure it, or go on with it, or skip it; write its record."""
    steps, script = STEPS[task], results.script("gail")
    if trainings.measured(SECTION, task, seed, steps):
        return
    print(f"---- {task}, seed {seed}", flush=True)
    run = trainings.directory(options, task, seed)
    given = ("--task", task, "--seed", seed)
    trainings.train("gail", run, given, steps, options)
    metrics = trainings.result_of(run / "metrics.json", script, "evaluate", run, "--device", options.device)["metrics"]
    earned = metrics["return"]
    results.save({
        "section": SECTION, "what": task, "budget": "default", "seed": seed, "steps": steps,
        "seconds": trainings.at(run, steps)["seconds"], "hardware": trainings.hardware(options),
        "command": f"python {script} --task {task} --steps {steps} --seed {seed}",
        "protocol": "the mean return of 2,000 episodes; the expert shows four, of CartPole 20 pairs of one",
        "numbers": {"return": earned["value"], "of the expert": earned["floor"], "of cloning": earned["cloning"]},
        "published": {"return": PUBLISHED[task]}, "source": "Ho & Ermon 2016, at as many episodes",
    })  # fmt: skip
    results.write_page(results.load())


if __name__ == "__main__":
    main()
