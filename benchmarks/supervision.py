"""Train the families that use labels, codes, turns and captions, measure what these are for, and write the records.

    python benchmarks/supervision.py                        # each example at its own defaults
    python benchmarks/supervision.py --only cgan acgan --seeds 0 1 2

It runs the commands that a user would, and then writes docs/results.md. Each row has a run directory; called again, the
script goes on where it stopped, and skips what has its record. It needs the classifiers of
`python examples/uses/classifier.py` for glyphs and, with --data mnist, for MNIST. What fails is named, and the others
go on.
"""

import argparse

import results
import trainings


def main(argv=None):
    """Measure every row that has no record yet, and write the page each time."""
    options = parse(argv)
    chosen = [what for what in ROWS if what.split()[0] in options.only]
    trainings.every(chosen, lambda what, seed: measure(what, seed, options), options)


def parse(argv):
    parser = argparse.ArgumentParser("supervision.py", description=__doc__.split("\n")[0])
    trainings.add_options(parser, list(dict.fromkeys(what.split()[0] for what in ROWS)), "runs/supervision")
    return parser.parse_args(argv)


def measure(what, seed, options):
    """Train and measure a row, go on with it, or skip it; write its record."""
    section, find = ROWS[what]
    example, *given = what.split()
    steps = trainings.settings(example).steps
    if trainings.measured(section, what, seed, steps):
        return
    print(f"---- {what}, seed {seed}", flush=True)
    run = trainings.directory(options, what.replace(" --", "-").replace(" ", "-"), seed)
    trainings.train(example, run, (*given, "--seed", seed), steps, options)
    last = trainings.at(run, steps)
    script = results.script(example)
    command = " ".join(("python", script, *given, f"--seed {seed}"))
    about = {"section": section, "what": what, "budget": "default", "seed": seed, "steps": steps,
             "seconds": last["seconds"], "command": command, "hardware": trainings.hardware(options)}  # fmt: skip

    def ask(file, command):
        return trainings.result_of(run / file, script, command, run, "--device", options.device)

    results.save(about | find(run, last.get("report", {}), ask))
    results.write_page(results.load())


# ---- what a row's numbers are, and where they are found --------------------------------------------------


def class_accuracy(run, report, ask):
    result = ask("accuracy.json", "accuracy")
    return {
        "protocol": f"MNIST: {result['n']:,} samples; the classifier is right for "
        f"{result['accuracy on test images']:.2%} of the test images",
        "numbers": {"class accuracy": result["class accuracy"]},
    }


def codes(run, report, ask):
    numbers = {name: report[name] for name in ("error", "gap") if name in report}
    return {
        "protocol": "the pictures are held out; those of MNIST are its test set",
        "numbers": numbers,
        "published": {} if "gap" in numbers else {"error": "5 %"},
        "source": "Chen et al. 2016, section 7.2, on MNIST's 60,000 training pictures",
    }


def few_labels(run, report, ask):
    supervised = trainings.read(run / "settings.json")["supervised"]
    return {
        "protocol": "MNIST, 10 labels of each class, drawn with the seed; 10,000 test images; D's average weights",
        "numbers": {"errors": report["errors"]},
        "published": {} if supervised else {"errors": "93 ± 6.5"},
        "source": "Salimans et al. 2016, table 1, with 60,000 unlabelled pictures",
    }


def turns(run, report, ask):
    result = ask("metrics.json", "evaluate")
    distance = result["metrics"]["FID-LeNet"]
    return {
        "protocol": f"glyphs: 4 turns of 1,000 held-out ones; {result['n']:,} samples",
        "numbers": {"turn accuracy": report["turn accuracy"], "FID-LeNet": distance["value"]},
        "floors": {"FID-LeNet": distance["floor"]},
    }


def attributes(run, report, ask):
    result = trainings.result_of(run / "captions.json", "docs/figures/captions.py", run, "--out", run / "captions.png")
    shares = {name: share for name, share in result.items() if name != "n"}
    return {
        "protocol": f"{result['n']:,} samples of captions as they occur, and as many new glyphs",
        "numbers": {name: share["samples"] for name, share in shares.items()},
        "floors": {name: share["real glyphs"] for name, share in shares.items()},
    }


def augmentation(run, report, ask):
    result = ask("compare.json", "compare")
    return {
        "protocol": f"MNIST: 20 pictures a class, drawn with the seed; {result['n']:,} test pictures",
        "numbers": {name: result[name] for name in ("real pictures", "with samples added")},
    }


def precision(run, report, ask):
    result = ask("retrieval.json", "retrieve")
    return {
        "protocol": f"MNIST: {result['queries']:,} test pictures among {result['gallery']:,} training pictures; cosine",
        "numbers": {name: result[name] for name in ("D", "untrained D", "pixels")},
    }


ROWS = {
    "cgan --data mnist": ("labels", class_accuracy),
    "acgan --data mnist": ("labels", class_accuracy),
    "acgan --data mnist --fake-class": ("labels", class_accuracy),
    "projection --data mnist": ("labels", class_accuracy),
    "infogan": ("codes", codes),
    "infogan --data mnist": ("codes", codes),
    "semi_supervised --data mnist": ("semi-supervised", few_labels),
    "semi_supervised --data mnist --supervised": ("semi-supervised", few_labels),
    "ssgan": ("rotations", turns),
    "ssgan --alpha 0 --beta 0": ("rotations", turns),
    "text_to_image": ("text", attributes),
    "data_augmentation --data mnist": ("augmentation", augmentation),
    "retrieval --data mnist": ("retrieval", precision),
}


if __name__ == "__main__":
    main()
