"""How many minutes the default run of each example takes on this machine, from the pace of its first steps.

    python benchmarks/minutes.py                 # the six classics; half a minute
    python benchmarks/minutes.py --rooms         # every example that trains; some minutes

An example trains for a few steps, then for four times as many, until they take seconds. The pace is that of the second
half, when all is warm; pictures of samples and checkpoints are not counted. Prints a table.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from scratchgan import examples

CLASSICS = ("gan", "gan2d", "dcgan", "wgan_gp", "cgan", "infogan")
OTHERWISE = ("classifier", "mode_collapse", "hmm", "mcmc")  # no GAN; a comparison of four; no training steps
OTHERWISE += ("samplers", "six_divergences")  # a tool on runs; six of `fgan.py`
ENOUGH = 1.5  # seconds of a second half


def rooms():
    """Return the names of all examples that train a GAN, such as "stability.r1gan", but for the classics."""
    paths = sorted(examples.FOLDER.glob("*/*.py"))
    named = [path for path in paths if path.parent.name != "course" and path.stem not in OTHERWISE]
    return [f"{path.parent.name}.{path.stem}" for path in named]


def minutes(name):
    """Return (steps of the default run, minutes that they take)."""
    module = importlib.import_module(f"scratchgan.examples.{name}")
    half, seconds = 4, 0.0
    while seconds < ENOUGH:
        half *= 4
        seconds = second_half(module, half)
    whole = module.Settings().steps
    return whole, whole * seconds / half / 60


def second_half(module, half):
    """Return the seconds that an example takes for so many steps, after as many."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        rare = ["--sample-every", "1000000", "--checkpoint-every", "1000000", "--log-every", str(half)]
        command = [sys.executable, module.__file__, "--steps", str(2 * half), "--out", str(out), *rare]
        subprocess.run(command, check=True, capture_output=True)
        log = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    at = {record["step"]: record["seconds"] for record in log}
    return at[2 * half] - at[half]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", action="store_true", help="the examples of the rooms, too")
    chosen = [*CLASSICS, *(rooms() if parser.parse_args().rooms else [])]
    print(f"{os.cpu_count()} cores, {platform.machine()}")
    print("| example | steps | minutes |\n|---|---|---|")
    for name in chosen:
        steps, time = minutes(name)
        print(f"| {name} | {steps:,} | {time:.1f} |", flush=True)


if __name__ == "__main__":
    main()
