"""Time forward and backward of convolutions along one and three axes, beside PyTorch where it is installed.

    python benchmarks/convolutions.py                  # one thread, float32, the sizes of the sounds and of the films
    python benchmarks/convolutions.py --threads 2 --turns 50

All programs run in one process, turn by turn, as in `benchmarks/recurrent.py`. Printed are the fastest turns, in ms of
the processor with one thread, for y, dx and the gradients of W and b.
"""

import argparse
import importlib.util
import time

import numpy as np
from recurrent import fastest, plainly

from scratchgan.fast import memory, threads
from scratchgan.layers import Conv1d, Conv3d, ConvTranspose1d, ConvTranspose3d

LONG = {"kernel": 25, "stride": 4, "padding": 11}
LONGER = LONG | {"output_padding": 1}
HALF = {"kernel": 4, "stride": 2, "padding": 1}
CASES = [  # the layer, its channels, its sizes, and the shape of x
    (Conv1d, 1, 16, LONG, (64, 2048, 1)),
    (Conv1d, 16, 32, LONG, (64, 512, 16)),
    (Conv1d, 32, 64, LONG, (64, 128, 32)),
    (ConvTranspose1d, 128, 64, LONGER, (64, 8, 128)),
    (ConvTranspose1d, 64, 32, LONGER, (64, 32, 64)),
    (ConvTranspose1d, 16, 1, LONGER, (64, 512, 16)),
    (Conv3d, 1, 16, HALF, (32, 16, 32, 32, 1)),
    (Conv3d, 16, 32, HALF, (32, 8, 16, 16, 16)),
    (Conv3d, 32, 64, HALF, (32, 4, 8, 8, 32)),
    (ConvTranspose3d, 64, 32, HALF, (32, 2, 4, 4, 64)),
    (ConvTranspose3d, 32, 16, HALF, (32, 4, 8, 8, 32)),
    (ConvTranspose3d, 16, 1, HALF, (32, 8, 16, 16, 16)),
]


def main(argv=None):
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=20, help="turns of each program (default: 20)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each program (default: 1)")
    options = parser.parse_args(argv)
    threads.use(options.threads, blas=True)
    memory.keep()  # as in training; for all programs: they share one process
    torch = importlib.util.find_spec("torch") is not None
    print("| | scratchgan, ms | --plain, ms | PyTorch, ms | ratio |\n|---|---|---|---|---|")
    for case in CASES:
        programs = {"ours": ours(*case), "plain": plainly(ours(*case))}
        if torch:
            programs["torch"] = pytorch(*case, options.threads)
        best = fastest(programs, options.turns, time.process_time if options.threads == 1 else time.perf_counter)
        theirs = f"{best['torch']:.1f} | {best['ours'] / best['torch']:.2f}" if torch else "- | -"
        make, C, O, sizes, shape = case
        label = f"`{make.__name__}({C}, {O}, {sizes['kernel']}, stride={sizes['stride']})` of {shape}"
        print(f"| {label} | {best['ours']:.1f} | {best['plain']:.1f} | {theirs} |", flush=True)


def ours(make, C, O, sizes, shape):
    """Return a function that computes y, dx and both gradients, with this library."""
    rng = np.random.default_rng(0)
    net = make(C, O, rng=rng, **sizes)
    x = rng.standard_normal(shape, dtype=np.float32)
    dy = rng.standard_normal(net.output_shape(shape), dtype=np.float32)

    def turn():
        _, tape = net.forward(x)
        net.backward(tape, dy)

    return turn


def pytorch(make, C, O, sizes, shape, count):
    """Return a function that computes the same with PyTorch."""
    import torch

    torch.set_num_threads(count)
    given = {"kernel_size" if name == "kernel" else name: value for name, value in sizes.items()}
    net = getattr(torch.nn, make.__name__)(C, O, **given)
    x = torch.randn(shape[0], C, *shape[1:-1], requires_grad=True)
    dy = torch.randn_like(net(x))

    def turn():
        net.zero_grad()
        x.grad = None
        net(x).backward(dy)

    return turn


if __name__ == "__main__":
    main()
