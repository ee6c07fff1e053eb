"""Train every family of images on MNIST, measure it, and write the records and docs/results.md.

    python benchmarks/families.py                       # the quick budget: few steps
    python benchmarks/families.py --budget default      # each example at its own defaults
    python benchmarks/families.py --budget paper        # the one whose authors' steps are known: adversarial_nets
    python benchmarks/families.py --only gan dcgan --seeds 0 1 2

It runs the commands that a user would: train, `evaluate`, and for the first GAN `parzen`. Each family has a run
directory; called again, the script goes on where it stopped, and skips what has its record. It needs the classifier
that `python examples/uses/classifier.py --data mnist` trains. A family that fails is named, and the others go on.
"""

import argparse

import results
import trainings

QUICK = {"gan": 3000, "adversarial_nets": 5000}  # perceptrons, whose steps are cheap; 400 for the others
SAMPLES = 2000  # at either budget, so that all can be ranked together
MEASURED = ("FID-LeNet", "precision-LeNet", "recall-LeNet", "nearer to training data-LeNet", "coverage-LeNet",
            "LeNet score")  # fmt: skip
PAPER = {"adversarial_nets": 125_000}  # the authors' run had no fixed end; their momentum grows for so long
PUBLISHED = "225 ± 2"  # nats


def main(argv=None):
    """Measure every family that has no record yet, and write the page each time."""
    options = parse(argv)
    trainings.every(options.only, lambda name, seed: measure(name, seed, options), options)


def parse(argv):
    parser = argparse.ArgumentParser("families.py", description=__doc__.split("\n")[0])
    parser.add_argument("--budget", choices=("quick", "default", "paper"), default="quick", help="how many steps")
    trainings.add_options(parser, results.FAMILIES, "runs/families")
    options = parser.parse_args(argv)
    if options.budget == "paper" and options.only is results.FAMILIES:  # none was named
        options.only = list(PAPER)
    if options.budget == "paper" and not set(options.only) <= set(PAPER):
        parser.error(f"there is no paper's budget but for {', '.join(PAPER)}")
    return options


def measure(name, seed, options):
    """Train a family, go on with it, or skip it; write its records."""
    steps = steps_of(name, options.budget)
    if trainings.measured("families", name, seed, steps):
        return
    print(f"---- {name}, seed {seed}", flush=True)
    run = trainings.directory(options, f"{options.budget}/{name}", seed)
    trainings.train(name, run, ("--data", "mnist", "--seed", seed), steps, options)
    script, given = results.script(name), ("--device", options.device)
    result = trainings.result_of(run / "metrics.json", script, "evaluate", run, "--n", SAMPLES, *given)
    steps = result["step"]  # of the checkpoint: a log can be ahead of it
    about = {"what": name, "budget": options.budget, "seed": seed, "steps": steps,
             "seconds": trainings.at(run, steps)["seconds"],
             "command": f"python {script} --data mnist --steps {steps} --seed {seed}",
             "full_steps": PAPER.get(name) or steps_of(name, "default"),
             "hardware": trainings.hardware(options)}  # fmt: skip
    if name == "adversarial_nets":
        results.save(about | parzen(trainings.result_of(run / "parzen.json", script, "parzen", run, *given)))
    results.save(about | family(result))
    results.write_page(results.load())


def steps_of(name, budget):
    """Return the steps of a family at a budget; the example itself is asked for its default."""
    if budget == "quick":
        return QUICK.get(name, 400)
    return PAPER[name] if budget == "paper" else trainings.settings(name).steps


def family(result):
    """Return the fields of a record that come from metrics.json."""
    metrics = {name: result["metrics"][name] for name in MEASURED}
    return {
        "section": "families",
        "protocol": f"MNIST: {result['n']:,} samples against as many test images; the classifier is right for "
        f"{result['accuracy on test images']:.2%} of the test images",
        "numbers": {name: metric["value"] for name, metric in metrics.items()},
        "floors": {name: metric["floor"] for name, metric in metrics.items() if metric["floor"] is not None},
    }


def parzen(result):
    """Return the fields of a record that come from parzen.json."""
    samples, train = result["samples"], result["training images"]
    return {
        "section": "parzen",
        "protocol": f"Goodfellow et al. 2014, section 5: {result['n']:,} samples, "
        f"{result['test images']:,} test images, sigma from 1,000 others",
        "numbers": {"log-likelihood": samples["nats"], "sigma": samples["sigma"]},
        "errors": {"log-likelihood": samples["error"]},
        "floors": {"log-likelihood": train["nats"]}, "published": {"log-likelihood": PUBLISHED},
        "source": "Goodfellow et al. 2014, table 1; no steps are named there: after 125,000 the momentum of the "
        "authors' code is where it ends",
    }  # fmt: skip


if __name__ == "__main__":
    main()
