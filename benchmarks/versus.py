"""Time this checkout beside another one, in turn in one process, so that a busy machine meets both alike.

    git worktree add ../before c76a7a0
    python benchmarks/versus.py ../before                       # one thread, 9 turns of each workload
    python benchmarks/versus.py ../before --only "DCGAN 28" --threads 2 --turns 20

Prints medians in ms, of the clock and of the processor, and the median ratio of this one to the other. With one thread,
the processor's time hardly knows what else runs.
"""

import argparse
import importlib
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def workloads_of(root, threads):
    """Return `speed.workloads` of a checkout and its module `threads`, all modules its own."""
    folders = [str(root), str(root / "benchmarks")]
    mine = {path.stem for path in (root / "benchmarks").glob("*.py")} | {"scratchgan"}
    for name in [name for name in sys.modules if name.split(".")[0] in mine]:
        del sys.modules[name]
    sys.path[:0] = folders
    try:
        speed = importlib.import_module("speed")
        speed.memory.keep()
        speed.mlp.set_threads(threads)
        return speed.workloads(threads), speed.threads
    finally:
        del sys.path[:2]


def measured(checkouts, workload, turns, count):
    """Return, for each checkout, [(seconds of the clock, of the processor)] of a call, turn by turn."""
    programs = []
    for table, threads in checkouts:
        make, blas, calls = table[workload]
        threads.use(count, blas=blas)
        programs.append((make("scratchgan"), calls, threads, blas))
    times = [[] for _ in programs]
    for turn in range(turns + 1):  # the first does not count
        for found, (program, calls, threads, blas) in zip(times, programs, strict=True):
            threads.use(count, blas=blas)
            program()  # unmeasured: the caches are this program's again
            clock, processor = time.perf_counter(), time.process_time()
            for _ in range(calls):
                program()
            if turn:
                found.append(((time.perf_counter() - clock) / calls, (time.process_time() - processor) / calls))
    return times


def main(argv=None):
    """Print a row for each workload."""
    parser = argparse.ArgumentParser("versus.py", description=__doc__.split("\n")[0])
    parser.add_argument("other", type=Path, help="the folder of the other checkout")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    checkouts = [workloads_of(root, options.threads) for root in (options.other.resolve(), HERE.parent)]
    print("| workload | clock: before, now | ratio | processor: before, now | ratio |\n|---|---|---|---|---|")
    for workload in options.only or list(checkouts[0][0]):
        before, now = measured(checkouts, workload, options.turns, options.threads)
        cells = [workload]
        for which in (0, 1):
            pairs = [(a[which], b[which]) for a, b in zip(before, now, strict=True)]
            medians = [f"{1e3 * statistics.median(column):.1f}" for column in zip(*pairs, strict=True)]
            cells += [", ".join(medians), f"{statistics.median(b / a for a, b in pairs):.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
