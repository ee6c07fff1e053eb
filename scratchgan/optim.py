"""Optimizers, from the simplest up; averages of weights; learning rates that change with time.

Each optimizer works on Params as one array (`flatten`), and clears the gradients after a step.
"""

import copy
import math

import numpy

from scratchgan import parallel, xp
from scratchgan.param import Param


class Optimizer:
    """What optimizers share: flat arrays, the step count, the learning rate, what is saved.

    lr is a number, or a function of the number of steps taken so far, such as `cosine`.
    A subclass names the arrays that it keeps from step to step, and writes `update`.
    """

    def __init__(self, params, lr, memory=()):
        if not callable(lr) and not 0 < lr < math.inf:
            raise ValueError(f"{type(self).__name__}: lr is {lr}, wanted above 0 or a function")
        self.flat = flatten(params)
        self.lr = lr
        self.steps = 0
        self.memory = {name: xp.zeros_like(self.flat.value) for name in memory}

    def step(self):
        """Move every Param against its gradient, and clear the gradients."""
        self.flat.check()
        parallel.group().mean(self.flat.grad)  # over all processes that train together
        # As Python's own number: NumPy's would widen float32.
        lr = float(self.lr(self.steps) if callable(self.lr) else self.lr)
        self.steps += 1
        self.move(lr)
        self.flat.grad.fill(0)
        for param in self.flat.params:
            param.stepped()

    def move(self, lr):
        """Change the values of all Params at once."""
        self.update(lr, self.flat.value, self.flat.grad, *self.memory.values())

    def update(self, lr, w, g, *memory):
        """Change weights w, given their gradient g, and the memory, in place; g may be overwritten.

        All are arrays (n,), and all that happens is element by element.
        """
        raise NotImplementedError

    def reset(self):
        """Forget all steps: averages become 0, and so does the count by which Adam corrects them.

        For a network that grows: a part that now begins to learn would else be taken for one that
        has had gradients of 0, and its first steps be up to 1 / sqrt(1 - b2) times too large.
        """
        for array in self.memory.values():
            array.fill(0)
        self.steps = 0

    def state(self):
        """Return {name: NumPy array}: the step count and every array that outlives a step."""
        arrays = {name: numpy.array(xp.to_host(array)) for name, array in self.memory.items()}
        return {"steps": numpy.array(self.steps)} | arrays

    def load_state(self, state):
        """Take up where a `state()` left off; raise ValueError if it is from something else."""
        if state.keys() != self.memory.keys() | {"steps"}:
            raise ValueError(f"the state holds {sorted(state)}, wanted {sorted(self.state())}")
        for name, array in self.memory.items():
            if array.shape != state[name].shape:
                size = state[name].size
                raise ValueError(f"{name} has {array.size} elements, in the state {size}")
            demand_finite(name, state[name])
        steps = state["steps"]
        if steps.dtype.kind not in "iu" or steps.ndim or not 0 <= steps < 2**53:
            raise ValueError(f"no optimizer has taken {steps!s:.30} steps: the state is damaged")
        for name, array in self.memory.items():
            array[...] = xp.asarray(state[name])
        self.steps = int(steps)


class SGD(Optimizer):
    """v = momentum v + g; w -= lr v; without momentum, w -= lr g.

    Nesterov: w -= lr (g + momentum v) (Sutskever et al. 2013, rewritten at w).
    """

    def __init__(self, params, lr, *, momentum=0.0, nesterov=False):
        if not 0 <= momentum < 1 or (nesterov and momentum == 0):
            raise ValueError(f"SGD: momentum is {momentum}, wanted 0 (nesterov: above) to below 1")
        super().__init__(params, lr, ["velocity"])
        self.momentum, self.nesterov = float(momentum), nesterov

    def update(self, lr, w, g, v):
        v[...] = self.momentum * v + g
        w -= lr * (g + self.momentum * v if self.nesterov else v)


class RMSprop(Optimizer):
    """s = decay s + (1 - decay) g^2; w -= lr g / (sqrt(s) + eps).

    From lecture 6.5 of Tieleman & Hinton 2012.
    """

    def __init__(self, params, lr=1e-3, *, decay=0.99, eps=1e-8):
        if not 0 <= decay < 1 or eps < 0:
            raise ValueError(f"RMSprop: decay {decay}, eps {eps}, wanted 0 <= decay < 1, 0 <= eps")
        super().__init__(params, lr, ["square"])
        self.decay, self.eps = float(decay), float(eps)

    def update(self, lr, w, g, s):
        s[...] = self.decay * s + (1 - self.decay) * g**2
        w -= lr * g / (xp.sqrt(s) + self.eps)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; w -= lr m' / (sqrt(s') + eps).

    m' = m / (1 - b1^t) and s' = s / (1 - b2^t) undo the pull towards the zeros that m and s start
    from (Kingma & Ba 2015, algorithm 1). weight_decay also takes lr weight_decay w from w, past the
    averages (Loshchilov & Hutter 2019, algorithm 2). The betas default to what GANs use (Radford et
    al. 2016, section 4), not to the paper's (0.9, 0.999).
    """

    def __init__(self, params, lr=2e-4, *, betas=(0.5, 0.999), eps=1e-8, weight_decay=0.0):
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam: betas are {betas}, wanted two numbers from 0 to below 1")
        if eps < 0:
            raise ValueError(f"Adam: eps is {eps}, wanted a number from 0 on")
        super().__init__(params, lr, ["mean", "square"])
        self.betas = tuple(float(beta) for beta in betas)
        self.eps, self.weight_decay = float(eps), float(weight_decay)

    def update(self, lr, w, g, m, s):
        (b1, b2), t = self.betas, self.steps
        m[...] = b1 * m + (1 - b1) * g
        s[...] = b2 * s + (1 - b2) * g**2
        m_hat, s_hat = m / (1 - b1**t), s / (1 - b2**t)
        w -= lr * (m_hat / (xp.sqrt(s_hat) + self.eps) + self.weight_decay * w)


# ---- many Params as one array --------------------------------------------------------------------


class Flat(Param):
    """The values of several Params in one contiguous array, and all their grads in another.

    Each Param's arrays become views into the two. An optimizer's step, clearing and an average are
    then a few operations on two arrays, however many layers there are. `flatten` makes it.
    """

    def __init__(self, params):
        super().__init__(xp.concatenate([param.value.ravel() for param in params]))
        self.grad[...] = xp.concatenate([param.grad.ravel() for param in params])
        self.params = params
        values, grads = self.cut(self.value), self.cut(self.grad)
        for param in params:
            param.value, param.grad, param.flat = values[param], grads[param], self
        self.views = [(param.value, param.grad) for param in params]

    def __reduce__(self):  # for pickle: made anew, of the Params that come with it
        return Flat, (self.params,)

    def __deepcopy__(self, memo):
        return Flat(copy.deepcopy(self.params, memo))

    def cut(self, array):
        """Return {Param: its share}, in its own shape, of an array such as `value` or `grad`."""
        shares, start = {}, 0
        for param in self.params:
            stop = start + param.value.size
            shares[param] = array[start:stop].reshape(param.value.shape)
            start = stop
        return shares

    def check(self):
        """Raise if an array of a Param was replaced: changes of it would be lost in silence."""
        for param, (value, grad) in zip(self.params, self.views, strict=True):
            if param.value is not value or param.grad is not grad:
                raise ValueError(
                    f"an array of {param!r} was replaced after the optimizer was made: "
                    "write into it instead (param.value[...] = x, param.grad[...] = g)"
                )


def flatten(params):
    """Return the Flat of these Params: the one they already form, or a new one.

    Raises ValueError where there are no Params, several dtypes, or Params of a different Flat.
    """
    params = list(params)
    if not params:
        raise ValueError("there are no Params: a network without weights has nothing to optimize")
    flat = params[0].flat
    if flat is not None and len(flat.params) == len(params):
        if all(one is other for one, other in zip(flat.params, params, strict=True)):
            return flat
    for param in params:
        if param.flat is not None:
            raise ValueError(
                f"{param!r} already belongs to an optimizer with other Params: "
                "give one optimizer all Params that any of its steps shall move"
            )
        if param.value.dtype != params[0].value.dtype:
            dtypes = f"{params[0].value.dtype} and {param.value.dtype}"
            raise ValueError(f"Params of two dtypes, {dtypes}: use net.astype")
    if len({id(param) for param in params}) < len(params):
        raise ValueError("a Param is listed twice, and would move twice: net.params() has it once")
    return Flat(params)


# ---- gradients that are too long -----------------------------------------------------------------


def clip_norm(optimizer, largest):
    """Scale the gradient g of all Params together down to the norm `largest`; return |g| as it was.

        g *= largest / max(|g|, largest)          (Pascanu et al. 2013)

    Call it between the backward passes and the optimizer's step, which clears the gradient. The
    norm stays on the device, as losses do. Raises ValueError unless `largest` is above 0.
    """
    if not 0 < largest < math.inf:
        raise ValueError(f"clip_norm: largest is {largest}, wanted a number above 0")
    g = parallel.group().mean(optimizer.flat.grad)  # the length is that of all processes' mean
    norm = xp.sqrt((g * g).sum())
    g *= largest / xp.maximum(norm, largest)
    return norm


# ---- averages of weights -------------------------------------------------------------------------


class EMA:
    """An exponential moving average of a network's weights: `net` is a copy to draw samples from.

    w_ema = decay w_ema + (1 - decay) w (Yazici et al. 2019, eq. 3); running statistics are copied.
    """

    def __init__(self, net, decay=0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay is {decay}, wanted 0 <= decay < 1")
        self.decay = float(decay)
        self.net = copy.deepcopy(net)
        self.source = net
        self.source_flat, self.flat = flatten(net.params()), flatten(self.net.params())

    def update(self):
        """Take the source's weights into the average; call it after the optimizer's step."""
        self.source_flat.check()
        self.follow(self.flat.value, self.source_flat.value)
        statistics = self.source.named_arrays()
        for path, array in self.net.named_arrays().items():
            array[...] = statistics[path]

    def follow(self, average, w):
        """average = decay average + (1 - decay) w, in place."""
        average[...] = self.decay * average + (1 - self.decay) * w

    def state(self):
        """Return the state of the averaged network."""
        return self.net.state()

    def load_state(self, state):
        """Take up where a `state()` left off; raise ValueError if it cannot be one."""
        for path in self.net.named_params().keys() & state.keys():
            demand_finite(path, state[path])
        self.net.load_state(state)


def demand_finite(name, array):
    """Raise ValueError for an array of a state that holds anything else than numbers."""
    if array.dtype.kind not in "fc" or not numpy.isfinite(xp.to_host(array)).all():
        raise ValueError(f"{name} holds a NaN or an infinity: the state is damaged")


# ---- learning rates ------------------------------------------------------------------------------


def linear_decay(lr, steps, *, start=0, end=0.0):
    """Return a schedule: lr until step `start`, then a straight line to `end` at step `steps`."""
    return lambda step: lr + (end - lr) * progress(step, start, steps)


def cosine(lr, steps, *, start=0, end=0.0):
    """Return a schedule: lr, then half a cosine to `end` (Loshchilov & Hutter 2017, eq. 5)."""
    wave = lambda step: 0.5 * (1 + math.cos(math.pi * progress(step, start, steps)))
    return lambda step: end + (lr - end) * wave(step)


def constant(lr):
    """Return a schedule that stays at lr: the same as giving the number itself."""
    return lambda step: lr


def progress(step, start, stop):
    """Return which part of the way from start to stop is done at `step`, from 0 to 1."""
    if stop <= start:
        raise ValueError(f"a schedule from step {start} to step {stop} must end after it starts")
    return min(max((step - start) / (stop - start), 0.0), 1.0)
