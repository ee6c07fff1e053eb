"""Time layers beside those of other NumPy code: DeZero's and numpy-ml's, where they are installed.

    pip install dezero numpy-ml
    python benchmarks/others.py                 # one thread, float32, the fastest of 10 turns
    python benchmarks/others.py --turns 50

A turn is y, dx, and the gradients of W and b. Printed are ms of the processor, and a time over ours. Both packages are
older than NumPy 2 and Python 3.10; two names that are gone are put back before they are imported.
"""

import argparse
import collections
import collections.abc
import time
import warnings

import numpy as np
from recurrent import fastest, plainly

from scratchgan.fast import memory, threads
from scratchgan.layers import Conv2d, Dense, LeakyReLU, Sequential

CONVOLUTIONS = [  # channels, kernel, stride, padding, and the shape of x
    (1, 32, 4, 2, 1, (64, 28, 28, 1)),
    (32, 64, 4, 2, 1, (64, 14, 14, 32)),
    (64, 64, 3, 1, 1, (16, 32, 32, 64)),
]
UNITS = [(784, 512), (512, 256), (256, 1)]  # of a perceptron, batches of 128


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=10, help="turns of each program (default: 10)")
    options = parser.parse_args(argv)
    threads.use(1)
    memory.keep()  # for all programs: they share one process
    found = {"DeZero": dezero(), "numpy-ml": numpy_ml()}
    columns = [name for name, makers in found.items() if makers]
    print(f"| | scratchgan | --plain |{''.join(f' {name} | over ours |' for name in columns)}")
    print(f"|---|---|---|{'---|---|' * len(columns)}")
    cases = [(f"`Conv2d({C}, {O}, {k}, stride={s})` of {shape}", 0, (C, O, k, s, p, shape))
             for C, O, k, s, p, shape in CONVOLUTIONS]  # fmt: skip
    for label, kind, case in [*cases, ("a perceptron 784-512-256-1 of (128, 784)", 1, ())]:
        own = (convolution, perceptron)[kind]
        programs = {"ours": own(*case), "plain": plainly(own(*case))}
        programs |= {name: found[name][kind](*case) for name in columns}
        best = fastest(programs, options.turns, time.process_time)
        theirs = "".join(f" {best[name]:.1f} | {best[name] / best['ours']:.1f} |" for name in columns)
        print(f"| {label} | {best['ours']:.1f} | {best['plain']:.1f} |{theirs}", flush=True)


# ---- ours ------------------------------------------------------------------------------------------------


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def turn(net, x):
    """Return a program: forward, and backward with a gradient of ones."""

    def run():
        y, tape = net.forward(x)
        net.backward(tape, np.ones_like(y))

    return run


def convolution(C, O, kernel, stride, padding, shape):
    return turn(Conv2d(C, O, kernel, stride=stride, padding=padding, rng=np.random.default_rng(0)), normal(*shape))


def perceptron():
    layers = [part for sizes in UNITS for part in (Dense(*sizes, rng=np.random.default_rng(0)), LeakyReLU(0.2))]
    return turn(Sequential(*layers[:-1]), normal(128, 784))


# ---- theirs ----------------------------------------------------------------------------------------------


def dezero():
    """Return the makers of DeZero's programs, for pictures (N, C, H, W_); None where it is not installed."""
    np.int = int
    try:
        import dezero
        import dezero.functions as F
    except ImportError:
        return None

    def learned(*shape):
        return dezero.Variable(normal(*shape)), dezero.Variable(np.zeros(shape[0 if len(shape) > 2 else 1], np.float32))

    def back(y, leaves):
        y.grad = dezero.Variable(np.ones_like(y.data))
        y.backward()
        for leaf in leaves:
            leaf.cleargrad()

    def convolution(C, O, kernel, stride, padding, shape):
        x = dezero.Variable(np.ascontiguousarray(np.moveaxis(normal(*shape), -1, 1)))
        W, b = learned(O, C, kernel, kernel)
        return lambda: back(F.conv2d(x, W, b, stride, padding), (x, W, b))

    def perceptron():
        x, weights = dezero.Variable(normal(128, 784)), [learned(*sizes) for sizes in UNITS]

        def run():
            y = x
            for place, (W, b) in enumerate(weights):
                y = F.linear(y, W, b)
                y = F.leaky_relu(y, 0.2) if place < len(weights) - 1 else y
            back(y, [x, *(part for pair in weights for part in pair)])

        return run

    return convolution, perceptron


def numpy_ml():
    """Return the makers of numpy-ml's programs; None where it is not installed."""
    collections.Hashable = collections.abc.Hashable
    warnings.filterwarnings("ignore", module="numpy_ml")  # of packages for reinforcement learning
    try:
        from numpy_ml.neural_nets.activations import LeakyReLU as Leaky
        from numpy_ml.neural_nets.layers import Conv2D, FullyConnected
    except ImportError:
        return None

    def turn(layers, x):
        def run():
            y = x
            for layer in layers:
                y = layer.forward(y)
            dy = np.ones_like(y)
            for layer in layers[::-1]:
                dy = layer.backward(dy)
                layer.flush_gradients()

        return run

    def convolution(C, O, kernel, stride, padding, shape):
        return turn([Conv2D(O, (kernel, kernel), pad=padding, stride=stride)], normal(*shape))

    def perceptron():
        units = [sizes[1] for sizes in UNITS]
        return turn([FullyConnected(n, act_fn=Leaky(0.2) if n > 1 else None) for n in units], normal(128, 784))

    return convolution, perceptron


if __name__ == "__main__":
    main()
