"""Train the classifier of motions on 80 labels with and without a GAN, and on all labels; write the records.

    python benchmarks/actions.py --seeds 0 1 2
    python benchmarks/actions.py --only supervised

It runs the commands that a user would, train and `evaluate`, writes docs/results.md, and prints the table: what D gets
wrong beside a rule by hand, the best that single frames allow, and chance. Called again, it goes on where it stopped,
and skips what has its records.
"""

import argparse

import results
import trainings

SECTION = "actions"
ARMS = {
    "80 labels, GAN": (),
    "80 labels, supervised": ("--supervised",),
    "all labels, supervised": ("--supervised", "--labels", "0"),
}


def main(argv=None):
    """Measure every arm that has no record yet; write the page each time, and print the table."""
    parser = argparse.ArgumentParser("actions.py", description=__doc__.split("\n")[0])
    trainings.add_options(parser, list(ARMS), "runs/actions")
    options = parser.parse_args(argv)
    trainings.every(options.only, lambda arm, seed: measure(arm, seed, options), options)
    (section,) = [section for section in results.SECTIONS if section.name == SECTION]
    print("\n".join(results.table(section, [record for record in results.load() if record["section"] == SECTION])))


def measure(arm, seed, options):
    """Train D in one way and measure it, or go on with it, or skip it; write its record."""
    steps, script = trainings.settings("actions").steps, results.script("actions")
    if trainings.measured(SECTION, arm, seed, steps):
        return
    print(f"---- {arm}, seed {seed}", flush=True)
    run = trainings.directory(options, arm.replace(", ", "-").replace(" ", "-"), seed)
    given = (*ARMS[arm], "--seed", seed)
    trainings.train("actions", run, given, steps, options)
    metrics = trainings.result_of(run / "metrics.json", script, "evaluate", run, "--device", options.device)["metrics"]
    error = metrics["error"]
    results.save({
        "section": SECTION, "what": arm, "budget": "default", "seed": seed, "steps": steps,
        "seconds": trainings.at(run, steps)["seconds"], "hardware": trainings.hardware(options),
        "command": " ".join(map(str, ("python", script, *given))),
        "protocol": "2,000 held-out clips; 8,000 to train on; data, labels and weights are drawn with the seed",
        "numbers": {"error": error["value"]} | {name: error[name] for name in ("by hand", "single frames", "chance")},
    })  # fmt: skip
    results.write_page(results.load())


if __name__ == "__main__":
    main()
