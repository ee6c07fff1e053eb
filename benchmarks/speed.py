"""Time every workload beside PyTorch and JAX, in turn in one process, and write docs/performance.md's first table.

    python benchmarks/speed.py                          # two threads, 20 turns of each program of each workload
    python benchmarks/speed.py --only "DCGAN 28" "LSTM" --turns 40
    python benchmarks/speed.py growth                   # time against work: batches, sides and widths; a table, a plot
    python benchmarks/speed.py floor                    # the operations beside the products and bytes they need
    python benchmarks/speed.py write                    # the page from the records, without measuring

A turn goes through all workloads and programs once, so that a change of the machine's speed meets each alike.
Records go to docs/results/speed/. A ratio below 1 is faster than PyTorch eager. JAX takes as many threads as there are
processors, and runs where it is installed.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import sys
import time
from pathlib import Path

import dcgan
import floor
import growth
import mlp
import recurrent
import wgan_gp

from scratchgan.fast import memory, threads
from scratchgan.support.files import write_bytes, write_json

ROOT = Path(__file__).resolve().parents[1]
PAGE, RECORD = ROOT / "docs" / "performance.md", ROOT / "docs" / "results" / "speed" / "workloads.json"
PROGRAMS = {"scratchgan": "", "PyTorch eager": "ratio", "PyTorch at its best": "of its best", "JAX, jit": "of JAX"}
WITH_JAX = ("MLP small", "MLP large", "DCGAN 28", "3x3 layer")  # of DCGAN 64 an iteration takes it many seconds
LSTM_SHAPE = 64, 64, 65, 128  # N, L, C, H


def wgan_gp_program(whole, name):
    """Return a critic's step, or a training step, of a program."""
    steps = wgan_gp.ours(False) if name == "scratchgan" else wgan_gp.pytorch(name != "PyTorch eager", False)
    return steps[whole]


def recurrent_program(count, name):
    """Return forward and backward of an LSTM; PyTorch knows one way."""
    if name == "scratchgan":
        return recurrent.ours("LSTM", *LSTM_SHAPE)
    return recurrent.pytorch("LSTM", *LSTM_SHAPE, count) if name == "PyTorch eager" else None


def workloads(count):
    """Return {name: (program of a name, whether BLAS has the threads, calls in a turn)}; count: threads."""
    by_batch = lambda case, batch: lambda name: dcgan.program(case, name, batch)
    return {
        "MLP small": (functools.partial(mlp.program, "small"), True, 10),
        "MLP large": (functools.partial(mlp.program, "large"), True, 3),
        "DCGAN 28": (by_batch("28", 64), False, 1),
        "DCGAN 64": (by_batch("64", 64), False, 1),
        "3x3 layer": (by_batch("layer", 64), False, 1),
        "WGAN-GP critic": (functools.partial(wgan_gp_program, False), False, 1),
        "WGAN-GP step": (functools.partial(wgan_gp_program, True), False, 1),
        "LSTM": (functools.partial(recurrent_program, count), True, 1),
    }


def measured(chosen, turns, count):
    """Return {workload: {program: [seconds of a call, turn by turn]}}."""
    table, programs = workloads(count), {}
    for workload in chosen:
        names = [name for name in mlp.installed() if name != "JAX, jit" or workload in WITH_JAX]
        made = {name: table[workload][0](name) for name in names}
        programs[workload] = {name: program for name, program in made.items() if program}
    times = {workload: {name: [] for name in own} for workload, own in programs.items()}
    for turn in range(turns + 1):  # the first does not count
        for workload, own in programs.items():
            threads.use(count, blas=table[workload][1])
            for name, program in own.items():
                program()  # unmeasured: the caches are this program's again
                start = time.perf_counter()
                for _ in range(table[workload][2]):
                    program()
                if turn:
                    times[workload][name].append((time.perf_counter() - start) / table[workload][2])
        print(f"turn {turn} of {turns}", file=sys.stderr, flush=True)
    return times


def record(times, turns, count):
    """Return what the page needs, for JSON: ms as the quartiles of all turns."""
    quartiles = lambda seconds: [round(1e3 * q, 3) for q in statistics.quantiles(seconds, n=4)]
    there = [name for name in ("numpy", "torch", "jax") if importlib.util.find_spec(name)]
    versions = {name: importlib.metadata.version(name) for name in there}
    return {
        "hardware": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": versions, "threads": count, "turns": turns,
        "ms": {workload: {name: quartiles(found) for name, found in own.items()} for workload, own in times.items()},
    }  # fmt: skip


def table_of(found):
    """Return the record as a table in Markdown: medians, half the distance of the quartiles, ratios."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    names = [name for name in PROGRAMS if any(name in own for own in found["ms"].values())]
    lines = [
        f"`python benchmarks/speed.py`, {found['hardware']}, {found['threads']} threads, {versions}: medians of",
        f"{found['turns']} turns in ms, ± half the distance of the quartiles, and the ratio to PyTorch eager.", "",
        f"| workload | {' | '.join(names + [PROGRAMS[name] for name in names[1:]])} |", f"|{'---|' * 2 * len(names)}",
    ]  # fmt: skip
    for workload, own in found["ms"].items():
        cells = [f"{q[1]:.3g} ± {(q[2] - q[0]) / 2:.2g}" if (q := own.get(name)) else "" for name in names]
        ratios = [f"{own['scratchgan'][1] / own[name][1]:.2f}" if name in own else "" for name in names[1:]]
        lines.append(f"| {workload} | {' | '.join(cells + ratios)} |")
    return "\n".join(lines)


def write_page(mark, text):
    """Put a text between two comments of the page, and keep all else."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    write_bytes(PAGE, pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page).encode())


def main(argv=None):
    """Measure, unless the page is only to be written; write the record and the page."""
    parser = argparse.ArgumentParser("speed.py", description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("workloads", "growth", "floor", "write"), default="workloads")
    parser.add_argument("--only", nargs="+", choices=list(workloads(1)), metavar="WORKLOAD")
    parser.add_argument("--turns", type=int, default=20, help="of each program (default: 20)")
    parser.add_argument("--threads", type=int, default=2, help="of each program (default: 2)")
    options = parser.parse_args(argv)
    memory.keep()  # for all programs: they share one process
    mlp.set_threads(options.threads)
    if options.what == "workloads":
        chosen = options.only or list(workloads(options.threads))
        found = record(measured(chosen, options.turns, options.threads), options.turns, options.threads)
        if options.only:  # a part is printed, and no record
            return print(table_of(found))
        write_json(RECORD, found)
    elif options.what == "growth":
        growth.measure(options.turns, options.threads)
    elif options.what == "floor":
        floor.measure(options.turns, options.threads)
    tables = {"workloads": (RECORD, table_of), "growth": (growth.RECORD, growth.table_of)}
    for mark, (path, table) in (tables | {"floor": (floor.RECORD, floor.table_of)}).items():
        if path.exists():
            write_page(mark, table(json.loads(path.read_text(encoding="utf-8"))))
    if growth.RECORD.exists():
        growth.draw(json.loads(growth.RECORD.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
