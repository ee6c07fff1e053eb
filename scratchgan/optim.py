"""Optimizers, from the simplest up; then averages of weights, and learning rates that change with time.

Each takes a network's Params, works on them as one array (`param.flatten`), and clears the gradients after a step.
Apart from the state it keeps, a step works in a fixed workspace.
"""

import copy
import math

import numpy

from scratchgan import kernels, xp
from scratchgan.param import flatten

BLOCK = 2**16  # elements of a block on the CPU: Adam's five arrays of this length stay in a core's cache


class Optimizer:
    """What optimizers share: the flat arrays, the step count, the learning rate and what a checkpoint holds.

    lr is a number, or a function of the number of steps taken so far (see `linear_decay` and `cosine`).
    A subclass names the arrays that it keeps from step to step, and writes `update`.
    """

    def __init__(self, params, lr, memory=()):
        if not callable(lr) and not 0 < lr < math.inf:
            raise ValueError(f"{type(self).__name__}: lr is {lr}, wanted a number above 0 or a function of the step")
        self.flat = flatten(params)
        self.lr = lr
        self.steps = 0
        self.memory = {name: xp.zeros_like(self.flat.value) for name in memory}
        # Block by block, a step finds in the cache what its last operation left there; a GPU takes all at once.
        size = self.flat.value.size
        block = size if xp.on_gpu() else min(size, BLOCK)
        workspace = xp.empty(block, dtype=self.flat.value.dtype)
        arrays = (self.flat.value, self.flat.grad, *self.memory.values())
        self.blocks = []
        for start in range(0, size, block):
            views = [array[start : start + block] for array in arrays]
            self.blocks.append((*views, workspace[: len(views[0])]))

    def step(self):
        """Move every Param against its gradient, and clear the gradients."""
        self.flat.check()
        lr = float(self.lr(self.steps) if callable(self.lr) else self.lr)  # NumPy's would be another type for a kernel
        self.steps += 1
        for value, grad, *others in self.blocks:
            self.update(lr, value, grad, *others)
            grad.fill(0)
        for param in self.flat.parts:
            param.stepped()

    def update(self, lr, value, grad, *others):
        """Change `value` in place, and the memory that follows it; the last array is workspace.

        `grad` may be overwritten. Everything is element by element, so that blocks can be taken one by one.
        """
        raise NotImplementedError

    def state(self):
        """Return {name: NumPy array}: the step count and every array that outlives a step."""
        arrays = {name: numpy.array(xp.to_host(array)) for name, array in self.memory.items()}
        return {"steps": numpy.array(self.steps)} | arrays

    def load_state(self, state):
        """Take up where a `state()` left off; raise ValueError if it is of another optimizer or network."""
        if state.keys() != self.memory.keys() | {"steps"}:
            raise ValueError(f"the state holds {sorted(state)}, wanted {sorted(self.memory.keys() | {'steps'})}")
        for name, array in self.memory.items():
            if array.shape != state[name].shape:
                raise ValueError(f"{name} has {array.size} elements, in the state {state[name].size}")
        for name, array in self.memory.items():
            array[...] = xp.asarray(state[name])
        self.steps = int(state["steps"])


class SGD(Optimizer):
    """v = momentum v + g; w -= lr v. Nesterov: w -= lr (g + momentum v) (Sutskever et al. 2013, rewritten at w).

    Without momentum, w -= lr g.
    """

    def __init__(self, params, lr, *, momentum=0.0, nesterov=False):
        if not 0 <= momentum < 1 or (nesterov and momentum == 0):
            raise ValueError(f"SGD: momentum is {momentum}, wanted 0 <= momentum < 1, and above 0 with nesterov")
        super().__init__(params, lr, ["velocity"])
        self.momentum, self.nesterov = float(momentum), nesterov

    def update(self, lr, value, grad, velocity, workspace):
        velocity *= self.momentum
        velocity += grad
        if self.nesterov:
            grad += xp.multiply(velocity, self.momentum, out=workspace)
            value -= xp.multiply(grad, lr, out=workspace)
        else:
            value -= xp.multiply(velocity, lr, out=workspace)


class RMSprop(Optimizer):
    """s = decay s + (1 - decay) g^2; w -= lr g / (sqrt(s) + eps) (Tieleman & Hinton 2012, lecture 6.5)."""

    def __init__(self, params, lr=1e-3, *, decay=0.99, eps=1e-8):
        if not 0 <= decay < 1 or eps < 0:
            raise ValueError(f"RMSprop: decay is {decay} and eps {eps}, wanted 0 <= decay < 1 and eps from 0 on")
        super().__init__(params, lr, ["square"])
        self.decay, self.eps = float(decay), float(eps)

    def update(self, lr, value, grad, square, workspace):
        average_square(square, grad, self.decay, workspace)
        root = xp.sqrt(square, out=workspace)
        root += self.eps
        value -= scaled_quotient(grad, root, lr)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; w -= lr m' / (sqrt(s') + eps) (Kingma & Ba 2015, algorithm 1).

    m' = m / (1 - b1^t) and s' = s / (1 - b2^t) undo the pull towards the zeros that m and s start from.
    weight_decay also takes lr weight_decay w from w, past the averages (Loshchilov & Hutter 2019, algorithm 2).
    The betas default to what GANs use (Radford et al. 2016, section 4), not to the paper's (0.9, 0.999).
    """

    def __init__(self, params, lr=2e-4, *, betas=(0.5, 0.999), eps=1e-8, weight_decay=0.0):
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam: betas are {betas}, wanted two numbers from 0 to below 1")
        if eps < 0:
            raise ValueError(f"Adam: eps is {eps}, wanted a number from 0 on")
        super().__init__(params, lr, ["mean", "square"])
        self.betas = tuple(float(beta) for beta in betas)
        self.eps, self.weight_decay = float(eps), float(weight_decay)

    def update(self, lr, value, grad, mean, square, workspace):
        b1, b2 = self.betas
        # lr m' / (sqrt(s') + eps) = rate m / (sqrt(s) + shift): the corrections become two Python numbers
        root_correction = math.sqrt(1 - b2**self.steps)
        rate, shift = lr * root_correction / (1 - b1**self.steps), self.eps * root_correction
        if kernels.can_take(value):  # the rest of this function, in one pass on a GPU
            return kernels.adam(value, grad, mean, square, b1, b2, rate, shift, 1 - lr * self.weight_decay)
        average_square(square, grad, b2, workspace)
        mean *= b1
        grad *= 1 - b1
        mean += grad
        root = xp.sqrt(square, out=workspace)
        root += shift
        if self.weight_decay:
            value *= 1 - lr * self.weight_decay
        value -= scaled_quotient(mean, root, rate)


def average_square(square, grad, decay, workspace):
    """square = decay square + (1 - decay) grad^2, in place."""
    xp.multiply(grad, grad, out=workspace)
    workspace *= 1 - decay
    square *= decay
    square += workspace


def scaled_quotient(numerator, denominator, scale):
    """Return scale numerator / denominator, written over the denominator."""
    xp.divide(numerator, denominator, out=denominator)
    denominator *= scale
    return denominator


# ---- averages of weights ---------------------------------------------------------------------------------


class EMA:
    """An exponential moving average of a network's weights: `net` is a copy to draw samples from.

    w_ema = decay w_ema + (1 - decay) w after each step (Yazici et al. 2019, eq. 3). Running statistics are copied.
    """

    def __init__(self, net, decay=0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay is {decay}, wanted 0 <= decay < 1")
        self.decay = float(decay)
        self.net = copy.deepcopy(net)
        self.source = net
        self.source_flat, self.flat = flatten(net.params()), flatten(self.net.params())
        self.workspace = xp.empty_like(self.flat.value)

    def update(self):
        """Take the source's present weights into the average; call it after the optimizer's step."""
        self.source_flat.check()
        if self.decay == 0:
            self.flat.value[...] = self.source_flat.value  # a + (b - a) would round
        elif kernels.can_take(self.flat.value):
            kernels.ema(self.flat.value, self.source_flat.value, 1 - self.decay)
        else:
            difference = xp.subtract(self.source_flat.value, self.flat.value, out=self.workspace)
            difference *= 1 - self.decay
            self.flat.value += difference
        ours, theirs = self.net.arrays(), self.source.arrays()
        for (*_, statistic), (*_, source_statistic) in zip(ours, theirs, strict=True):
            statistic[...] = source_statistic

    def state(self):
        """Return the state of the averaged network."""
        return self.net.state()

    def load_state(self, state):
        """Take up where a `state()` left off."""
        self.net.load_state(state)


# ---- learning rates --------------------------------------------------------------------------------------


def linear_decay(lr, steps, *, start=0, end=0.0):
    """Return a schedule: lr until step `start`, then on a straight line to `end` at step `steps`."""
    return lambda step: lr + (end - lr) * progress(step, start, steps)


def cosine(lr, steps, *, start=0, end=0.0):
    """Return a schedule: lr until `start`, then half a cosine to `end` at `steps` (Loshchilov & Hutter 2017, eq. 5)."""
    return lambda step: end + (lr - end) * 0.5 * (1 + math.cos(math.pi * progress(step, start, steps)))


def constant(lr):
    """Return a schedule that stays at lr: the same as giving the number itself."""
    return lambda step: lr


def progress(step, start, stop):
    """Return which part of the way from start to stop is done at `step`, from 0 to 1."""
    if stop <= start:
        raise ValueError(f"a schedule runs from step {start} to step {stop}: it must end after it starts")
    return min(max((step - start) / (stop - start), 0.0), 1.0)
