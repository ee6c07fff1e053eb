"""Optimizers block by block, so that a step finds its arrays in the cache. On a GPU, one kernel."""

import functools
import math
import threading

import numpy

from scratchgan import xp
from scratchgan.fast import kernels

BLOCK = 2**16  # elements of a block on the CPU: five such arrays, Adam's, stay in a core's cache


def move(self, lr):
    """Do what `Optimizer.move` does, a block at a time; a GPU takes all at once."""
    arrays = (self.flat.value, self.flat.grad, *self.memory.values())
    block = arrays[0].size if xp.on_gpu() else BLOCK
    for start in range(0, arrays[0].size, block):
        self.update(lr, *[array[start : start + block] for array in arrays])


def sgd(self, lr, w, g, v):
    v *= self.momentum
    v += g
    if self.nesterov:
        g += xp.multiply(v, self.momentum, out=workspace(w))
    w -= xp.multiply(g if self.nesterov else v, lr, out=workspace(w))


def rmsprop(self, lr, w, g, s):
    average_square(s, g, self.decay)
    root = xp.sqrt(s, out=workspace(w))
    root += self.eps
    w -= scaled_quotient(g, root, lr)


def adam(self, lr, w, g, m, s):
    b1, b2 = self.betas
    # lr m' / (sqrt(s') + eps) = rate m / (sqrt(s) + shift): the corrections become two numbers.
    root_correction = math.sqrt(1 - b2**self.steps)
    rate, shift = lr * root_correction / (1 - b1**self.steps), self.eps * root_correction
    if kernels.can_take(w):
        return kernels.adam(w, g, m, s, b1, b2, rate, shift, 1 - lr * self.weight_decay)
    average_square(s, g, b2)
    m *= b1
    g *= 1 - b1
    m += g
    root = xp.sqrt(s, out=workspace(w))
    root += shift
    if self.weight_decay:
        w *= 1 - lr * self.weight_decay
    w -= scaled_quotient(m, root, rate)


def ema(self, average, w):
    if self.decay == 0:
        average[...] = w  # a + (b - a) would round
    elif kernels.can_take(average):
        kernels.ema(average, w, 1 - self.decay)
    else:
        difference = w - average
        difference *= 1 - self.decay
        average += difference


# ---- helpers -------------------------------------------------------------------------------------


def average_square(square, grad, decay):
    """square = decay square + (1 - decay) grad^2, in place."""
    new = xp.multiply(grad, grad, out=workspace(grad))
    new *= 1 - decay
    square *= decay
    square += new


def scaled_quotient(numerator, denominator, scale):
    """Return scale numerator / denominator, written over the denominator."""
    xp.divide(numerator, denominator, out=denominator)
    denominator *= scale
    return denominator


def workspace(like):
    """Return an array like another one, to write into; on a CPU's thread always the same."""
    if xp.on_gpu() or like.size > BLOCK:
        return xp.empty_like(like)
    return kept_workspace(like.dtype, threading.get_ident())[: like.size]


@functools.lru_cache(8)
def kept_workspace(dtype, thread):
    """Return an array of one block, into which no other thread writes."""
    return numpy.empty(BLOCK, dtype=dtype)
