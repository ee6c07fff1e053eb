"""Time one training iteration of DCGANs, and one convolution layer, beside PyTorch and JAX where they are installed.

    python benchmarks/dcgan.py                  # DCGAN 28 and 64, the layer: medians of interleaved turns
    python benchmarks/dcgan.py --case 28 --turns 40 --threads 1
    python benchmarks/dcgan.py --device gpu --case 64 --batch 128 [--tf32]      # with PyTorch as a CUDA graph, too

An iteration is a step of D (on a real and a fake batch) and a step of G, Adam on both, batch 64, float32; the layer is
a 3 x 3 convolution of 64 to 64 channels on a batch of 32 x 32, forward and backward. All programs run in one
process, turn by turn; figures are medians in ms and their ratio to PyTorch eager. Peak memory is that of a process of
its own per program; on a GPU, of its allocator.
"""

import argparse
import functools
import sys

import device
import numpy as np
from mlp import installed, measure, set_threads

from scratchgan import xp
from scratchgan.data import to_bytes
from scratchgan.examples import dcgan
from scratchgan.fast import memory, threads
from scratchgan.layers import Conv2d

CASES = ("28", "64", "layer")


class RealBatch:
    """Batches that are one and the same: the time to draw them is not measured."""

    def __init__(self, batch, side):
        self.images = to_bytes(np.random.default_rng(1).uniform(-1, 1, (batch, side, side, 1)))

    def next(self):
        return self.images


def ours(case, batch, device_noise):
    """Return a function that runs one iteration of this library."""
    rng = np.random.default_rng(0)
    if case == "layer":
        layer = Conv2d(64, 64, 3, padding=1, rng=rng)
        x = xp.to_device(rng.standard_normal((batch, 32, 32, 64), dtype=np.float32))

        def iteration():
            y, tape = layer.forward(x)
            layer.backward(tape, y)

        return iteration
    side = int(case)
    # 64 to 512 channels at 64 x 64: the network of the usual PyTorch example
    settings = dcgan.Settings(
        size=side, batch_size=batch, width=64, hidden=0, average=0, device_noise=device_noise
    )
    model = dcgan.DCGAN(settings, (side, side, 1), rng)
    batches = RealBatch(batch, side)
    batches.images = xp.to_device(batches.images)
    return lambda: model.step(batches)


def program(case, name, batch):
    """Return the iteration of a program by its name, as `installed` lists them."""
    if name.startswith("scratchgan"):
        return ours(case, batch, "noise" in name)
    images = RealBatch(batch, 28 if case == "layer" else int(case)).next()
    if name == "JAX, jit":
        from dcgan_jax import jax_iteration

        return jax_iteration(case, images)
    from dcgan_torch import torch_iteration

    return torch_iteration(case, images, tuned=name != "PyTorch eager", graph="graph" in name)


def read(arguments=None):
    """Return the options of a command line."""
    parser = device.parser(__doc__)
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--batch", type=int, default=64, help="pictures in a batch (default 64)")
    parser.add_argument("--turns", type=int, default=20, help="turns of each program (default 20)")
    parser.add_argument("--threads", type=int, help="threads for all programs (default: the processors)")
    parser.add_argument(
        "--return-memory", action="store_true", help="do not keep what is freed (`scratchgan.fast.memory`)"
    )
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--iterations", type=int, default=3, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main():
    """Print a line for each case and program."""
    options = read()
    if options.threads:
        set_threads(options.threads)
    if not options.return_memory:
        memory.keep()  # for all programs: they share one process
    device.use(options)
    threads.use(options.threads or 0, blas=xp.on_gpu())
    if options.memory_of:
        iteration = program(options.case, options.memory_of, options.batch)
        for _ in range(options.iterations):
            iteration()
        device.wait()
        print(device.own_peak())
        return
    names = installed()
    for case in CASES if options.case == "all" else [options.case]:
        print(f"\n{'3x3 layer' if case == 'layer' else 'DCGAN ' + case}, batch {options.batch}", flush=True)
        fitting = [name for name in names if case != "layer" or "noise" not in name]
        programs, peaks = {}, {}
        for name in fitting:
            command = [sys.executable, __file__, "--memory-of", name, "--case", case, "--batch", str(options.batch)]
            command += ["--threads", str(options.threads or 0), *["--return-memory"] * options.return_memory]
            programs[name], peaks[name] = device.started(functools.partial(program, case, name, options.batch), command)
        medians = measure(programs, options.turns, repeats=5 if xp.on_gpu() else 1)
        base = medians.get("PyTorch eager")
        for name, seconds in medians.items():
            ratio = f"{seconds / base:6.2f}x" if base else ""
            print(f"  {name:24} {seconds * 1e3:8.1f} ms {ratio}  peak memory {peaks[name]} MB", flush=True)


if __name__ == "__main__":
    main()
