"""What benchmarks that train examples share: the commands that a user would call, and what these leave behind."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import results

from scratchgan.plots import read_log


def add_options(parser, names, out):
    """Add the options that these benchmarks have in common; names: what can be measured."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="a run of each with each seed (default: 0)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--threads", type=int, default=0, help="threads; 0: as many as there are processors")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--note", default="", help='what else to know about the machine, such as "shared"')
    parser.add_argument("--out", default=out, help=f"folder of the runs (default: {out})")


def every(names, measure, options):
    """Call measure(name, seed) for all names and seeds; name what failed, at the end, and exit with 1."""
    failed = []
    for seed in options.seeds:
        for name in names:
            try:
                measure(name, seed)
            except subprocess.CalledProcessError as error:
                print(f"---- {name} failed: {error}", flush=True)
                failed.append(name)
    if failed:
        sys.exit(f"error: without a record: {', '.join(failed)}")


def train(name, run, arguments, steps, options):
    """Train an example into a run directory, or go on with what is there."""
    script = results.script(name)
    if (run / "checkpoint.npz").exists():
        call(script, "--resume", run, "--steps", steps)
    else:
        call(script, *arguments, "--steps", steps, "--out", run, "--sample-every", steps, "--checkpoint-every",
             max(steps // 4, 1), "--threads", options.threads, "--device", options.device)  # fmt: skip


def result_of(file, script, *arguments):
    """Return what a command wrote to a file of a run; it is not called if the file is newer than the checkpoint."""
    if not file.exists() or file.stat().st_mtime < (file.parent / "checkpoint.npz").stat().st_mtime:
        call(script, *arguments)
    return read(file)


def call(script, *arguments):
    """Run a script of the repository; raise CalledProcessError if it fails."""
    subprocess.run([sys.executable, str(results.ROOT / script), *map(str, arguments)], check=True)


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def measured(section, what, seed, steps):
    """Whether there is a record of this many steps."""
    wanted = {"section": section, "what": what, "seed": seed, "steps": steps}
    return any(record | wanted == record for record in results.load())


def at(run, step):
    """Return the line of a run's log that is about a step."""
    return next(line for line in read_log(run / "log.jsonl") if line["step"] == step)


def directory(options, what, seed):
    return Path(options.out, what if seed == 0 else f"{what}-{seed}")


def hardware(options):
    threads = f"{options.threads or os.cpu_count()} threads" if options.threads != 1 else "1 thread"
    where = "GPU" if options.device == "gpu" else f"{platform.machine()}, {os.cpu_count()} processors, {threads}"
    return f"{where}, NumPy {np.__version__}{', ' * bool(options.note)}{options.note}"


def settings(name):
    """Return an example's default settings."""
    return results.example(name).Settings()
