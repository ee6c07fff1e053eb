"""What it costs that several processes train one network: bytes, sums and time of a training step.

    python benchmarks/parallel.py                        # the sums of a step, and to how many processes it scales
    mpiexec -n 2 python benchmarks/parallel.py           # and what they take between processes of this machine

A step is one of D and one of G (WGAN-GP: five of D), with 64 samples (the perceptrons: 128) that the processes share.
Computing is in ms of one processor, a median; the sums' time is on the clock, of the fastest turn, since all wait where
other programs run. How far a step scales is computed, not measured: in a ring, n processes send 2 (n - 1) / n times the
bytes of an array, and each sum waits 2 log2(n) times for a message.
"""

import argparse
import contextlib
import math
import statistics
import time

import mlp
import numpy as np
import wgan_gp
from dcgan import ours

from scratchgan import parallel
from scratchgan.data import to_bytes
from scratchgan.fast import memory, threads

BATCH = 64
NETS = {  # {10 Gb/s and TCP, 400 Gb/s and InfiniBand}: bytes in a second, seconds until a message has come
    "10 Gb/s": (10e9 / 8, 30e-6), "400 Gb/s": (400e9 / 8, 3e-6),
}  # fmt: skip
# 1024 x 1024 pixels, 32 pictures a step, 14.57 s for 1,000 on 8 A100s: the configurations of NVlabs/stylegan3
STYLEGAN2_SECONDS = 8 * 14.57 * 32 / 1000


def perceptrons(name):
    """Return the function that makes the iteration of an MLP GAN, given how many processes share a batch."""

    def make(share):
        mlp.BATCH = 128 // share  # as many fakes as real samples
        real = np.random.default_rng(1).uniform(-1, 1, (mlp.BATCH, 784)).astype(np.float32)
        return mlp.scratchgan_iteration(*mlp.NETWORKS[name], real)

    return make


def critic(share):
    """Return the iteration of WGAN-GP: five steps of the critic, one of G."""
    n = BATCH // share
    model = wgan_gp.make(n)
    images = to_bytes(np.random.default_rng(1).uniform(-1, 1, (n, 28, 28, 1)))
    batches = type("Same", (), {"next": lambda self: images})()
    return lambda: model.step(batches)


ITERATIONS = {
    "MLP, small": perceptrons("small"), "MLP, large": perceptrons("large"),
    "DCGAN 28": lambda share: ours("28", BATCH // share, False),
    "DCGAN 64": lambda share: ours("64", BATCH // share, False), "WGAN-GP": critic,
}  # fmt: skip


class Counting(parallel.Group):
    """A group of two whose sums are only noted down, by their bytes."""

    def __init__(self):
        super().__init__()
        self.size, self.bytes = 2, []

    def sum(self, array):
        self.bytes.append(array.nbytes)
        return array


@contextlib.contextmanager
def counting():
    """Within the `with` block, note down every sum; alone, or in the place of the true group."""
    before, parallel._group = parallel._group, Counting()
    try:
        yield parallel._group.bytes
    finally:
        parallel._group = before


def seconds(iteration, turns, clock=time.process_time, choose=statistics.median):
    """Return the time of an iteration, the median of so many turns unless told otherwise; two more do not count."""
    times = []
    for _ in range(turns + 2):
        start = clock()
        iteration()
        times.append(clock() - start)
    return choose(times[2:])


def sums(arrays):
    """Add up arrays of these bytes, as a step does."""
    for size in arrays:
        parallel.group().sum(np.ones(size // 4, np.float32))


def cost(arrays, n, rate, delay):
    """Return the seconds that sums over n processes take: a ring's share of the bytes, and the waiting."""
    return 2 * (n - 1) / n * sum(arrays) / rate + len(arrays) * 2 * math.log2(n) * delay


def most(arrays, alone, rate, delay):
    """Return up to how many processes the sums take no longer than the computing, of one step of `alone` seconds."""
    n = 1
    while n < 4096 and cost(arrays, n + 1, rate, delay) <= alone / (n + 1):
        n += 1
    return n


def stylegan2():
    """Return the bytes of the gradients of StyleGAN2, configuration F, for 1024 x 1024 pixels: D's and G's."""
    widths = [min(512, 32768 // 2**k) for k in range(2, 11)]  # of 4 x 4 to 1024 x 1024 pixels
    pairs = list(zip(widths, widths[1:], strict=False))
    affine = lambda c: 512 * c + c
    layer = lambda a, b: 9 * a * b + b + 1 + affine(a)  # weight, bias, strength of the noise, style
    G = 8 * affine(512) + 512 * 16 + layer(512, 512)
    G += sum(layer(a, b) + layer(b, b) for a, b in pairs) + sum(3 * c + 3 + affine(c) for c in widths)
    D = 3 * widths[-1] + widths[-1] + sum(9 * b * b + b + 9 * b * a + a + b * a for a, b in pairs)
    D += 9 * 513 * 512 + 512 + 512 * 16 * 512 + 512 + 513
    return [4 * D, 4 * G]


def show(name, arrays, alone, more=""):
    """Print a line about a network."""
    gradients = [size for size in arrays if size > 10**5]
    ends = ", ".join(f"{most(arrays, alone, *net)} at {speed}" for speed, net in NETS.items())
    rest = f"{len(arrays) - len(gradients):2} others, {(sum(arrays) - sum(gradients)) / 1e3:.0f} KB"
    flat = f"{len(gradients)} gradients, {sum(gradients) / 1e6:6.2f} MB"
    print(f"{name:11} {flat}; {rest}; {1000 * alone:.1f} ms{more}", end="")
    print(f"; up to {ends}", flush=True)


def read(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=10, help="measured iterations (default: 10)")
    parser.add_argument("--network", choices=tuple(ITERATIONS), help="one of them alone")
    parser.add_argument("--alone", type=float, help="ms of a step of one process, in place of measuring it")
    return parser.parse_args(arguments)


def main():
    options = read()
    group = parallel.join()
    memory.keep()
    for name in [options.network] if options.network else ITERATIONS:
        make = ITERATIONS[name]
        threads.use(1)
        with parallel.alone():
            whole = options.alone / 1000 if options.alone else seconds(make(1), options.turns)
        with counting() as arrays:
            make(group.size)()
        more = ""
        if group.size > 1:
            only = seconds(lambda arrays=arrays: sums(arrays), 20 * options.turns, time.perf_counter, min)
            more = f"; sums {1000 * only:.2f} ms"
        show(name, arrays, whole, more)
    if not options.network:
        show("StyleGAN2", stylegan2(), STYLEGAN2_SECONDS)


if __name__ == "__main__":
    main()
