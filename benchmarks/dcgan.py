"""Time one training iteration of DCGANs, and one convolution layer, beside PyTorch where it is installed.

    python benchmarks/dcgan.py                  # DCGAN 28 and 64, the layer: medians of interleaved turns
    python benchmarks/dcgan.py --case 28 --turns 40 --threads 1

An iteration is a step of D (on a real and a fake batch) and a step of G, Adam on both, batch 64, float32; the layer is
a 3 x 3 convolution of 64 to 64 channels on 64 pictures of 32 x 32, forward and backward. All programs run in one
process, turn by turn; figures are medians in ms and their ratio to PyTorch eager. Peak memory is measured in a process
of its own per program.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from mlp import measure, own_peak, set_threads

from scratchgan import memory, threads
from scratchgan.data import to_bytes
from scratchgan.layers import Conv2d

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))

import dcgan  # noqa: E402

BATCH = 64
CASES = ("28", "64", "layer")
NAMES = ("scratchgan", "PyTorch eager", "PyTorch at its best")


class RealBatch:
    """Batches that are one and the same: the time to draw them is not measured."""

    def __init__(self, side):
        self.images = to_bytes(np.random.default_rng(1).uniform(-1, 1, (BATCH, side, side, 1)))

    def next(self):
        return self.images


def ours(case):
    """Return a function that runs one iteration of this library."""
    rng = np.random.default_rng(0)
    if case == "layer":
        layer = Conv2d(64, 64, 3, padding=1, rng=rng)
        x = rng.standard_normal((BATCH, 32, 32, 64), dtype=np.float32)

        def iteration():
            y, tape = layer.forward(x)
            layer.backward(tape, y)

        return iteration
    side = int(case)
    # 64 to 512 channels at 64 x 64: the network of the usual PyTorch example
    model = dcgan.DCGAN(dcgan.Settings(size=side, batch_size=BATCH, width=64), (side, side, 1), rng)
    batches = RealBatch(side)
    return lambda: model.step(batches)


def program(case, name):
    """Return the iteration of a program by its name."""
    if name == "scratchgan":
        return ours(case)
    from dcgan_torch import torch_iteration

    return torch_iteration(case, RealBatch(28 if case == "layer" else int(case)).next(), tuned=name == NAMES[2])


def installed():
    """Return the names of the programs that can run here."""
    try:
        import torch  # noqa: F401
    except ImportError:
        print("PyTorch is not installed: no ratio (pip install torch)", file=sys.stderr)
        return NAMES[:1]
    return NAMES


def peak_memory(case, name, options):
    """Return the peak memory in MB of a process that runs only this program."""
    command = [sys.executable, __file__, "--memory-of", name, "--case", case, "--threads", str(options.threads or 0)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main():
    """Print a line for each case and program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--turns", type=int, default=20, help="turns of each program (default 20)")
    parser.add_argument("--threads", type=int, help="threads for all programs (default: the processors)")
    parser.add_argument("--return-memory", action="store_true", help="do not keep what is freed (`scratchgan.memory`)")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        set_threads(options.threads)
    threads.use(options.threads or 0, blas=False)
    if not options.return_memory:
        memory.keep()  # for all programs: they share one process
    if options.memory_of:
        iteration = program(options.case, options.memory_of)
        for _ in range(3):
            iteration()
        print(own_peak())
        return
    for case in CASES if options.case == "all" else [options.case]:
        print(f"\n{'3x3 layer' if case == 'layer' else 'DCGAN ' + case}, batch {BATCH}", flush=True)
        medians = measure({name: program(case, name) for name in installed()}, options.turns, repeats=1)
        base = medians.get("PyTorch eager")
        for name, seconds in medians.items():
            ratio = f"{seconds / base:6.2f}x" if base else ""
            peak = peak_memory(case, name, options)
            print(f"  {name:20} {seconds * 1e3:8.1f} ms {ratio}  peak memory {peak} MB", flush=True)


if __name__ == "__main__":
    main()
