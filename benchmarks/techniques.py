"""Time what each technique of `docs/performance.md` is worth on this machine, and what the machine could do at most.

    python benchmarks/techniques.py                 # one to two minutes; medians in ms
    python benchmarks/techniques.py --threads 1     # what one thread can, in ms of the processor
    python benchmarks/techniques.py tiles           # Winograd's tiles at many sizes: which one is fastest, which chosen

Convolution: 64 pictures of 32 x 32, 64 to 64 channels, kernel 3, and 64 to 128 channels, kernel 4, stride 2, of 32 x 32
and of 14 x 14; float32. With one thread, the processor's time hardly knows what else runs.
"""

import argparse
import statistics
import time
import types

import numpy as np

from scratchgan import fast
from scratchgan.fast import convolution as fast_maps
from scratchgan.fast import memory, optimizers, sums, threads, winograd
from scratchgan.layers import BatchNorm, Conv2d, LeakyReLU, ReLU, conv
from scratchgan.optim import Adam
from scratchgan.param import Param

CASES = ((32, 64, 64, 3, 1), (32, 64, 128, 4, 2), (14, 64, 128, 4, 2))  # side, C, O, kernel, stride
CHANNELS = ((32, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 2), (32, 32, 3, 1), (64, 64, 3, 1), (128, 128, 3, 1))
now = time.perf_counter  # or the processor's time


def median(f, turns=9):
    """Return the median time of f() in ms, after two turns that are not counted."""
    times = []
    for _ in range(turns + 2):
        start = now()
        f()
        times.append(1e3 * (now() - start))
    return statistics.median(times[2:])


def tiles_of_2(taps, cells, outputs):
    """Stand for `winograd.best`, which chooses tiles of 2 x 2 outputs or of 4 x 4."""
    return 2, taps


def show(title, ms, flops=None):
    """Print a line; with flops, also the rate."""
    rate = f"{flops / ms / 1e6:8.0f} GFLOP/s" if flops else ""
    print(f"  {title:62} {ms:8.2f} ms {rate}", flush=True)


def machine(rng, one):
    """Print what the processor and the memory give at most; one: with one thread alone."""
    print("the machine")
    for blas, name in ((True, "BLAS's threads"), (False, "one thread"))[one:]:
        threads.use(blas=True) if blas else threads.use(1)
        a, b = rng.standard_normal((2, 2048, 2048), dtype=np.float32)
        show(f"product of two 2048 x 2048 matrices, {name}", median(lambda: a @ b), 2 * 2048**3)  # noqa: B023
    rows, W = rng.standard_normal((1024, 576), dtype=np.float32), rng.standard_normal((576, 64), dtype=np.float32)
    show("product of one block of the 3 x 3 layer, one thread", median(lambda: rows @ W, 50), 2 * 1024 * 576 * 64)
    x = rng.standard_normal(2**24, dtype=np.float32)
    y = np.empty_like(x)
    ms = median(lambda: np.copyto(y, x))
    show(f"copy of 64 MB: {2 * x.nbytes / ms / 1e6:.0f} GB/s", ms)


def convolution(rng, one):
    """Print what the fast maps gain over the plain ones, threads of ours over those of BLAS, and Winograd's method."""
    default, best, pays, plain_maps = winograd.CHANNELS, winograd.best, winograd.pays, maps_that_are_read()
    for side, C, O, k, stride in CASES:
        layer = Conv2d(C, O, k, stride=stride, padding=1, rng=rng)
        x, W = rng.standard_normal((64, side, side, C), dtype=np.float32), layer.W.value
        dy = rng.standard_normal(layer.output_shape(x.shape), dtype=np.float32)
        flops = 2 * layer.multiply_adds(x.shape)
        maps = [("correlate", (x, W)), ("input_grad", (W, dy, x.shape)), ("weight_grad", (x, dy))]
        for setting, module, options in [
            ("plain, BLAS's threads", plain_maps, {"blas": True}),
            ("fast, BLAS's threads", fast_maps, {"blas": True}),
            ("fast, threads of ours", fast_maps, {"blas": False}),
            ("Winograd, tiles of 2 x 2, threads of ours", fast_maps, {"blas": False}),
            ("Winograd, threads of ours", fast_maps, {"blas": False}),
            ("plain, one thread", plain_maps, {"threads": 1}),
            ("fast, one thread", fast_maps, {"threads": 1}),
            ("Winograd, tiles of 2 x 2, one thread", fast_maps, {"threads": 1}),
            ("Winograd, one thread", fast_maps, {"threads": 1}),
        ][5 * one :]:
            threads.use(**options)
            winograd.CHANNELS = default if "Winograd" in setting else 10**9
            winograd.best = tiles_of_2 if "2 x 2" in setting else best
            winograd.pays = (lambda *sizes: True) if "2 x 2" in setting else pays
            print(f"{k} x {k}, stride {stride}, of {side} x {side}: {setting}")
            for name, arguments in maps:
                f = getattr(module, name)
                show(name, median(lambda: f(*arguments, layer.geometry), 5), flops)  # noqa: B023
    winograd.CHANNELS, winograd.best, winograd.pays = default, best, pays


def maps_that_are_read():
    """Return the plain maps of a convolution, by their names: in the module, their twins stand in their place."""
    with fast.plain():
        return types.SimpleNamespace(**vars(conv))


def rounding(rng):
    """Print the float32 errors beside float64: root of the mean square of the error over that of the numbers."""
    print("rounding in float32, without Winograd, with tiles of 2 x 2, and as it is")
    plain_maps = maps_that_are_read()
    default, best, pays = winograd.CHANNELS, winograd.best, winograd.pays
    root = lambda array: np.sqrt(np.mean(array**2))
    for side, C, O, k, stride in CASES:
        layer = Conv2d(C, O, k, stride=stride, padding=1, rng=rng)
        x, W = rng.standard_normal((64, side, side, C), dtype=np.float32), layer.W.value
        dy = rng.standard_normal(layer.output_shape(x.shape), dtype=np.float32)
        maps = [("correlate", (x, W)), ("input_grad", (W, dy, x.shape)), ("weight_grad", (x, dy))]
        for name, arguments in maps:
            wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
            exact, errors = getattr(plain_maps, name)(*wide, layer.geometry), []
            for winograd.CHANNELS, winograd.best in ((10**9, best), (default, tiles_of_2), (default, best)):
                winograd.pays = (lambda *sizes: True) if winograd.best is tiles_of_2 else pays
                errors.append(root(getattr(fast_maps, name)(*arguments, layer.geometry) - exact) / root(exact))
            title = f"{k} x {k}, stride {stride}, of {side} x {side}: {name}"
            print(f"  {title:62} {' '.join(f'{error:8.1e}' for error in errors)}", flush=True)
    winograd.CHANNELS, winograd.best, winograd.pays = default, best, pays


def tiles(rng):
    """Print the ms of y, dx and dW together, written out and with each tile; the chosen one is marked."""
    pays, best = winograd.pays, winograd.best
    print("| kernel, channels, outputs | written out | 2 x 2 | 4 x 4 | 7 x 7 | lost |\n|---|---|---|---|---|---|")
    for C, O, k, s in CHANNELS:
        for side in (4, 7, 8, 14, 16):
            geometry, taps = conv.Geometry((k, k), (s, s), (1, 1), (1, 1)), k // s
            x, W, dy = (
                rng.standard_normal(shape, dtype=np.float32)
                for shape in ((64, side * s, side * s, C), (k, k, C, O), (64, side, side, O))
            )
            maps = [("correlate", (x, W)), ("input_grad", (W, dy, x.shape)), ("weight_grad", (x, dy))]
            chosen = best(taps, s * s * C, dy.shape) if pays((k, k), (s, s), (1, 1), C, dy.shape) else None
            ms = {F: [] for F in (None, (2, taps), (4, taps), (7, taps)) if F is None or F in winograd.PLACES}
            for _ in range(7):
                for F, found in ms.items():
                    winograd.pays, winograd.best = (lambda *sizes: F is not None), (lambda *sizes: F)  # noqa: B023
                    start = now()
                    for name, own in maps:
                        getattr(fast_maps, name)(*own, geometry)
                    found.append(1e3 * (now() - start))
            winograd.pays, winograd.best = pays, best
            least = {F: min(found) for F, found in ms.items()}
            cells = [f"{'**' * (F == chosen)}{value:.1f}{'**' * (F == chosen)}" for F, value in least.items()]
            cells += [""] * (4 - len(cells)) + [f"{100 * (least[chosen] / min(least.values()) - 1):.0f} %"]
            print(f"| {k} x {k}, {C} to {O}, {side} x {side} | {' | '.join(cells)} |", flush=True)


def whole_arrays(rng):
    """Print what it costs to touch every number once."""
    print("whole arrays")
    x = rng.standard_normal((64 * 14 * 14, 128), dtype=np.float32)
    show("sum of 12,544 rows of 128, x.sum(0)", median(lambda: x.sum(0), 50))
    show("the same as ones @ x", median(lambda: sums.over_rows(x), 50))
    layer = LeakyReLU(0.2)
    show("LeakyReLU of the same, max(x, 0.2 x) in place", median(lambda: layer.f(x), 50))
    show("the same with where", median(lambda: np.where(x > 0, x, np.float32(0.2) * x), 50))
    show("ReLU of the same, maximum(x, 0)", median(lambda: np.maximum(x, 0), 50))
    show("ReLU of the same, clip(x, 0, inf)", median(lambda: ReLU().f(x), 50))
    row, y = np.ones(128, dtype=np.float32), np.empty_like(x)
    show("the same times a row of 128 numbers", median(lambda: np.multiply(x, row, out=y), 50))
    long, wide = sums.long_rows(x, row)
    out, title = y.reshape(long.shape), f"the same as {len(long)} rows of {len(wide)}"
    show(title, median(lambda: np.multiply(long, wide, out=out), 50))
    norm, picture = BatchNorm(128), x.reshape(64, 14, 14, 128)
    tape = norm.forward(picture)[1]
    show("BatchNorm of the same, forward", median(lambda: norm.forward(picture), 50))
    show("BatchNorm of the same, backward", median(lambda: norm.backward(tape, picture), 50))
    default = optimizers.BLOCK
    for block, name in ((2**30, "in one piece"), (default, "in blocks of 65,536")):
        optimizers.BLOCK = block
        optimizer = Adam([Param(np.zeros(1_480_000, dtype=np.float32))])
        show(f"Adam's step on 1,480,000 weights, {name}", median(optimizer.step, 30))
    optimizers.BLOCK = default


def main(argv=None):
    """Print all, or what is asked for."""
    global now
    parser = argparse.ArgumentParser("techniques.py", description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="?", choices=("all", "tiles"), default="all")
    parser.add_argument("--threads", type=int, choices=(1,), help="one thread alone, and the processor's time")
    options = parser.parse_args(argv)
    one, rng = options.threads == 1 or options.what == "tiles", np.random.default_rng(0)
    now = time.process_time if one else time.perf_counter
    memory.keep()
    threads.use(int(one))
    if options.what == "tiles":
        return tiles(rng)
    machine(rng, one)
    convolution(rng, one)
    rounding(rng)
    threads.use(int(one))
    whole_arrays(rng)


if __name__ == "__main__":
    main()
