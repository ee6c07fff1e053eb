"""How much faster each twin of `scratchgan/fast/table.py` is than the plain code, at the sizes of the examples.

    python benchmarks/twins.py                # about a minute; all of it on the CPU
    python benchmarks/twins.py --threads 1    # in ms of the processor, which hardly knows what else runs

Plain code and twin take turns; the figures are the medians of their times, and the ratio. Twins for a GPU alone, which
on a CPU are the plain code, are not listed. A twin that is slower at every size has no place in the table.
"""

import argparse
import contextlib
import statistics
import time

import numpy as np

from scratchgan import fast, optim
from scratchgan.fast import memory, threads
from scratchgan.layers import (
    GRU,
    LSTM,
    BatchNorm,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Recurrent,
    ReLU,
    Upsample,
    conv,
    sums,
)
from scratchgan.param import Param

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape, dtype=np.float32)


def convolution(name, N, side, C, O, kernel, stride, padding):
    """Return a label and a call of one of a convolution's maps."""
    geometry = conv.Geometry((kernel,) * 2, (stride,) * 2, (padding,) * 2, (1, 1))
    x, W = normal(N, side, side, C), normal(kernel, kernel, C, O)
    dy = normal(N, *geometry.output_sides((side, side)), O)
    arguments = {"correlate": (x, W), "input_grad": (W, dy, x.shape), "weight_grad": (x, dy)}[name]
    label = f"conv.{name}, {N} x {side} x {side} x {C} to {O}, kernel {kernel}, stride {stride}"
    return label, lambda: getattr(conv, name)(*arguments, geometry)


def normalization(layer, name, *shape):
    """Return a label and a call of a normalisation's method."""
    x, dy = normal(*shape), normal(*shape)
    _, tape = layer.forward(x)
    calls = {"forward": lambda: layer.forward(x), "pull": lambda: layer.pull(tape, dy)}
    calls["backward"] = lambda: layer.backward(tape, dy)
    return f"{type(layer).__name__}.{name}, {' x '.join(map(str, shape))}", calls[name]


def optimizer(Optimizer, n):
    """Return a label and a call of an optimizer's step."""
    own = Optimizer([Param(normal(n))], 1e-3)
    own.flat.grad[...] = 1e-3
    return f"{Optimizer.__name__}.step, {n:,} weights", own.step


def recurrent(cell, blocks, N, L, C, H):
    """Return a label and a call of a Recurrent's run and back."""
    net = Recurrent(cell(C, H, rng=rng), H, blocks * H)
    x, dy = normal(N, L, C), normal(N, L, H)
    label = f"Recurrent.run and back, {cell.__name__} of {C} to {H}, {N} x {L}"
    return label, lambda: net.back(net.run(x)[2], dy, None)


def average(n):
    own, average, w = optim.EMA.__new__(optim.EMA), normal(n), normal(n)
    own.decay = 0.999
    return f"EMA.follow, {n:,} weights", lambda: own.follow(average, w)


def cases():
    """Yield (label, call) for every pair of the CPU, at sizes that examples use."""
    for name in ("correlate", "input_grad", "weight_grad"):
        yield convolution(name, 64, 28, 1, 64, 4, 2, 1)  # DCGAN 28, D's first layer
        yield convolution(name, 64, 14, 64, 128, 4, 2, 1)  # and its second
        yield convolution(name, 64, 32, 64, 64, 3, 1, 1)
    for name in ("forward", "pull", "backward"):
        yield normalization(BatchNorm(128), name, 64, 7, 7, 128)
        yield normalization(BatchNorm(400), name, 100, 400)
        yield normalization(LayerNorm(128), name, 128, 128)
        yield normalization(GroupNorm(8, 64), name, 16, 14, 14, 64)
    for shape in ((64, 14, 14, 64), (128, 784)):
        x, layer, relu = normal(*shape), LeakyReLU(0.2), ReLU()
        label = " x ".join(map(str, shape))
        yield f"LeakyReLU.f, {label}", lambda x=x, layer=layer: layer.f(x)
        yield f"LeakyReLU.derivative, {label}", lambda x=x, layer=layer: layer.derivative(x)
        yield f"LeakyReLU.pull, {label}", lambda x=x, layer=layer: layer.pull(x, x)
        yield f"ReLU.f, {label}", lambda x=x, layer=relu: layer.f(x)
        yield f"sums.over_rows, {label}", lambda x=x: sums.over_rows(x)
        yield f"sums.channel_mean, {label}", lambda x=x: sums.channel_mean(x)
    x = normal(64, 14, 14, 64)
    yield "sums.over_positions, 64 x 14 x 14 x 64", lambda: sums.over_positions(x)
    yield "Upsample.apply, 64 x 14 x 14 x 64", lambda: Upsample(2).apply(x)
    for cell, blocks in ((LSTM, 2), (GRU, 1)):
        yield recurrent(cell, blocks, 64, 64, 65, 128)
        yield recurrent(cell, blocks, 32, 64, 65, 256)  # text_lstm.py
        yield recurrent(cell, blocks, 8, 16, 8, 16)
    for n in (10_000, 200_000, 1_500_000):
        for Optimizer in (optim.SGD, optim.RMSprop, optim.Adam):
            yield optimizer(Optimizer, n)
        yield average(n)


def seconds(call, now):
    start = now()
    call()
    return now() - start


def compare(call, now, turns=15):
    """Return the median times of the plain code and of the twin, in ms; now: a clock."""
    times = {True: [], False: []}
    for _ in range(turns):
        for plain in (True, False):
            with fast.plain() if plain else contextlib.nullcontext():
                call()
                times[plain].append(seconds(call, now))
    return 1e3 * statistics.median(times[True]), 1e3 * statistics.median(times[False])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="threads; 0: as many as there are processors")
    options = parser.parse_args()
    memory.keep()  # as in training
    threads.use(options.threads, blas=False)
    print("| what | plain, ms | twin, ms | ratio |\n|---|---|---|---|")
    for label, call in cases():
        plain, twin = compare(call, time.process_time if options.threads == 1 else time.perf_counter)
        print(f"| {label} | {plain:.3f} | {twin:.3f} | {twin / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
