"""Time forward and backward of a recurrent layer, beside PyTorch where it is installed.

    python benchmarks/recurrent.py                     # one thread, float32, (N, L, C, H) = (64, 64, 65, 128)
    python benchmarks/recurrent.py --shape 16 100 88 200 --turns 50

Both programs run in one process, turn by turn, so that a change of the machine's speed meets each alike. Printed are
the fastest turns, in ms, as a table in Markdown: on a machine that does other things as well, these say most. With one
thread they are ms of the processor, in which nobody waits for others; with more, ms that pass.
"""

import argparse
import importlib.util
import time

import numpy as np

from scratchgan import fast
from scratchgan.fast import memory, threads
from scratchgan.layers import GRU, LSTM, RNN, Recurrent

CELLS = {"RNN": (RNN, 1), "LSTM": (LSTM, 2), "GRU": (GRU, 1)}  # and its state's size over H


def main(argv=None):
    """Print a row for each cell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=int, nargs=4, default=[64, 64, 65, 128], metavar=("N", "L", "C", "H"))
    parser.add_argument("--turns", type=int, default=20, help="turns of each program (default: 20)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each program (default: 1)")
    options = parser.parse_args(argv)
    threads.use(options.threads, blas=True)
    memory.keep()  # as in training; for all programs: they share one process
    torch = importlib.util.find_spec("torch") is not None
    print("| | scratchgan, ms | --plain, ms | PyTorch, ms | ratio |\n|---|---|---|---|---|")
    for name in CELLS:
        programs = {"ours": ours(name, *options.shape), "plain": plainly(ours(name, *options.shape))}
        if torch:
            programs["torch"] = pytorch(name, *options.shape, options.threads)
        best = fastest(programs, options.turns, time.process_time if options.threads == 1 else time.perf_counter)
        theirs = f"{best['torch']:.1f} | {best['ours'] / best['torch']:.2f}" if torch else "- | -"
        print(f"| {name} | {best['ours']:.1f} | {best['plain']:.1f} | {theirs} |", flush=True)


def fastest(programs, turns, clock=time.perf_counter):
    """Return {name: ms} of the fastest of so many turns of each program, after one that does not count."""
    times = {name: [] for name in programs}
    for _ in range(turns + 1):
        for name, program in programs.items():
            start = clock()
            program()
            times[name].append(1e3 * (clock() - start))
    return {name: min(found[1:]) for name, found in times.items()}


def ours(name, N, L, C, H):
    """Return a function that computes y, dx and every weight's gradient, with this library."""
    rng, (make, blocks) = np.random.default_rng(0), CELLS[name]
    net = Recurrent(make(C, H, rng=rng), H, blocks * H)
    x, dy = (rng.standard_normal((N, L, width), dtype=np.float32) for width in (C, H))

    def turn():
        _, tape = net.forward(x)
        net.backward(tape, dy)

    return turn


def plainly(program):
    """Return a program that computes with the plain code."""

    def turn():
        with fast.plain():
            program()

    return turn


def pytorch(name, N, L, C, H, count):
    """Return the same with PyTorch's own recurrent layer."""
    import torch

    torch.set_num_threads(count)
    net = getattr(torch.nn, name)(C, H, batch_first=True)
    x, dy = torch.randn(N, L, C, requires_grad=True), torch.randn(N, L, H)

    def turn():
        net(x)[0].backward(dy)

    return turn


if __name__ == "__main__":
    main()
