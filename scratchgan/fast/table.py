"""The one table of pairs: where the book has a function, its name there, the faster twin.

`on` and `off` exchange the two. A twin takes and returns what the plain one does, tapes included:
tests/test_fast.py holds it to that. The book knows no twins, and calls functions through modules.
"""

import contextlib
from typing import NamedTuple

from scratchgan import optim
from scratchgan.fast import activations, compose, convolution, normalization, optimizers, resample
from scratchgan.fast import recurrent as fast_recurrent
from scratchgan.fast import sums as fast_sums
from scratchgan.layers import conv, functions, sums
from scratchgan.layers.activations import LeakyReLU, ReLU
from scratchgan.layers.base import Pointwise
from scratchgan.layers.compose import Sequential
from scratchgan.layers.norm import BatchNorm, Normalization
from scratchgan.layers.recurrent import Recurrent
from scratchgan.layers.resample import Upsample


class Pair(NamedTuple):
    """A function or method of the book, and its twin."""

    owner: object  # the module or class that has it
    name: str
    faster: object
    plain: object  # what stands there while the twins are off; None where it is inherited


def pair(owner, name, faster):
    """Return the Pair of a twin and of what stands in the book."""
    return Pair(owner, name, faster, vars(owner).get(name))


PAIRS = [
    pair(conv, "correlate", convolution.correlate),
    pair(conv, "input_grad", convolution.input_grad),
    pair(conv, "weight_grad", convolution.weight_grad),
    pair(sums, "over_rows", fast_sums.over_rows),
    pair(sums, "over_positions", fast_sums.over_positions),
    pair(sums, "channel_mean", fast_sums.channel_mean),
    pair(Normalization, "forward", normalization.forward),
    pair(Normalization, "pull", normalization.pull),
    pair(Normalization, "backward", normalization.backward),
    pair(BatchNorm, "forward", normalization.batch_norm_forward),
    pair(Pointwise, "pull", activations.pull),
    pair(ReLU, "f", activations.relu),
    pair(LeakyReLU, "f", activations.leaky_relu),
    pair(LeakyReLU, "derivative", activations.leaky_relu_derivative),
    pair(functions, "softplus", activations.softplus),
    pair(functions, "sigmoid", activations.sigmoid),
    pair(Sequential, "forward", compose.forward),
    pair(Upsample, "apply", resample.upsample),
    pair(Recurrent, "run", fast_recurrent.run),
    pair(Recurrent, "back", fast_recurrent.back),
    pair(optim.Optimizer, "move", optimizers.move),
    pair(optim.SGD, "update", optimizers.sgd),
    pair(optim.RMSprop, "update", optimizers.rmsprop),
    pair(optim.Adam, "update", optimizers.adam),
    pair(optim.EMA, "follow", optimizers.ema),
]


def on():
    """Put every twin in the place of what it stands in for; what somebody else put there stays."""
    for owner, name, faster, plain_one in PAIRS:
        if vars(owner).get(name) is plain_one:
            setattr(owner, name, faster)


def off():
    """Put the plain code back, so that a debugger stops in what is read."""
    for owner, name, faster, plain_one in PAIRS:
        if vars(owner).get(name) is not faster:
            continue
        if plain_one is None:
            delattr(owner, name)
        else:
            setattr(owner, name, plain_one)


def is_on():
    """Whether the twins are in place."""
    return any(vars(owner).get(name) is faster for owner, name, faster, _ in PAIRS)


@contextlib.contextmanager
def plain():
    """Compute plainly within a `with` block, in all threads; afterwards as before."""
    before = is_on()
    off()
    try:
        yield
    finally:
        if before:
            on()
