"""Train the families that make a picture of a picture, measure them on held-out pairs, and write the records.

    python benchmarks/translation.py                                   # each example at its own defaults
    python benchmarks/translation.py --only inpainting --seeds 0 1 2

It runs the commands that a user would: train, then `evaluate`; and then writes docs/results.md. Each row has a run
directory; called again, the script goes on where it stopped, and skips what has its records. It needs the classifiers
of `python examples/uses/classifier.py` for glyphs, and with --data characters and --data mnist. What fails is named,
and the others go on.
"""

import argparse

import results
import trainings

SECTION = "translation"
NUMBERS = {"PSNR, dB": "PSNR, dB", "sharpness": "sharpness, 1: the truth's", "MS-SSIM": "MS-SSIM",
           "class accuracy": "class accuracy-LeNet"}  # fmt: skip

# What is measured in each run, by the names that `evaluate` puts behind its metrics; "" for a run of one part.
ROWS = {
    "pix2pix": ("",),
    "pix2pix --no-gan": ("",),
    "pix2pix --no-skip": ("",),
    "cyclegan": ("A to B", "B to A"),
    "font_style": ("new pairs", "new characters", "new faces"),
    "font_style --no-gan": ("new pairs", "new characters", "new faces"),
    "srgan": ("SRResNet", "SRGAN"),
    "inpainting": ("hole",),
    "inpainting --no-gan": ("hole",),
    "inpainting --data mnist": ("hole",),
}


def main(argv=None):
    """Measure every row that has no record yet, and write the page each time."""
    options = parse(argv)
    chosen = [what for what in ROWS if what.split()[0] in options.only]
    trainings.every(chosen, lambda what, seed: measure(what, seed, options), options)


def parse(argv):
    parser = argparse.ArgumentParser("translation.py", description=__doc__.split("\n")[0])
    trainings.add_options(parser, list(dict.fromkeys(what.split()[0] for what in ROWS)), "runs/translation")
    return parser.parse_args(argv)


def measure(what, seed, options):
    """Train and measure a row, go on with it, or skip it; write a record of each of its parts."""
    example, *given = what.split()
    steps, parts = trainings.settings(example).steps, ROWS[what]
    if all(trainings.measured(SECTION, row_name(what, part), seed, steps) for part in parts):
        return
    print(f"---- {what}, seed {seed}", flush=True)
    run = trainings.directory(options, what.replace(" --", "-").replace(" ", "-"), seed)
    trainings.train(example, run, (*given, "--seed", seed), steps, options)
    script = results.script(example)
    result = trainings.result_of(run / "metrics.json", script, "evaluate", run, "--device", options.device)
    about = {"section": SECTION, "budget": "default", "seed": seed, "steps": steps,
             "seconds": trainings.at(run, steps)["seconds"], "hardware": trainings.hardware(options),
             "command": " ".join(("python", script, *given, f"--seed {seed}")),
             "protocol": f"{result['n']:,} held-out pairs; of a hole, its pixels alone but for the class"}  # fmt: skip
    for part in parts:
        results.save(about | {"what": row_name(what, part), "numbers": numbers_of(result["metrics"], part)})
    results.write_page(results.load())


def row_name(what, part):
    return f"{what}, {part}" if part else what


def numbers_of(metrics, part):
    """Return the columns of a row: of outputs, and the PSNR of the inputs beside it.

    What is not measured of a part, as the class of a hole is not, is that of the whole picture.
    """
    found = {}
    for column, name in NUMBERS.items():
        metric = metrics.get(f"{name}, {part}" if part else name, metrics.get(name))
        if metric is None or metric["value"] is None:
            continue
        found[column] = metric["value"]
        if column == "PSNR, dB" and metric["input"] is not None:
            found["of the input, dB"] = metric["input"]
    return found


if __name__ == "__main__":
    main()
