"""A model that depends on every number that a user may change, trained without the loop and resumed from a file."""

import functools
from collections import namedtuple
from dataclasses import dataclass
from enum import Enum

import numpy as np

from scratchgan import training, xp
from scratchgan.layers import BatchNorm, Dense, Dropout, GaussianNoise, Layer, LeakyReLU, Sequential
from scratchgan.optim import EMA, SGD, Adam
from scratchgan.training import checkpoint

STEPS, STOP = 6, 3


class Mode(Enum):
    SOFT = 1
    HARD = 2


Hyper = namedtuple("Hyper", "rate power")


class Weighted:
    """The weight of a loss in an object of a user's own, which no checkpoint knows."""

    def __init__(self, weight, inner=None):
        self.weight, self.inner = weight, inner


class Schedule:
    """A learning rate with numbers of its own."""

    def __init__(self, lr):
        self.lr, self.calls = lr, 0

    def __call__(self, step):
        return self.rate(step)

    def rate(self, step):
        self.calls += 1
        return self.lr / (1 + self.calls)


@dataclass
class Clip:
    """Something with a state of its own, which leaves out its numbers."""

    largest: float = 1.0

    def state(self):
        return {}

    def load_state(self, state):
        pass


class Scaled(Layer):
    """y = scale x, with a scale, and more, that nothing but the program knows."""

    def __init__(self):
        self.scale = 1.0
        self.loss = Weighted(1.0, [Weighted(2.0)])
        self.pair, self.table, self.mixed = (1.0, 2.0), {"a": 1.0}, [1.0, Weighted(3.0)]
        self.history, self.name, self.on, self.maybe, self.number = [], "soft", False, None, np.float32(1)
        self.fixed, self.mode, self.function, self.hyper = (1.0, Weighted(4.0)), Mode.SOFT, len, Hyper(1.0, 2)
        self.buffer = np.zeros(2, "float32")

    def factor(self):
        inner, fixed = self.loss.inner[0], self.fixed[1]
        numbers = [self.scale, self.loss.weight, inner.weight, *self.pair, self.table["a"], self.mixed[0]]
        numbers += [self.mixed[1].weight, len(self.history), len(self.name), self.on, self.maybe or 0, self.number]
        numbers += [fixed.weight, len(self.table), getattr(self, "late", 0), self.hyper.rate]
        return 1 + 0.01 * float(sum(numbers))

    def forward(self, x, train=True):
        return x * self.factor(), self.factor()

    def pull(self, factor, dy):
        return dy * factor, None


def critic(rng):
    return Sequential(
        Dense(3, 8, rng=rng), BatchNorm(8), LeakyReLU(0.2), GaussianNoise(0.5, rng=rng), Dropout(0.3, rng=rng),
        Scaled(), Dense(8, 1, rng=rng),
    )  # fmt: skip


class Small(training.Model):
    """A regression: all that it does depends on every number that is changed below."""

    make = {"opt_D": Adam}

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.D, self.nets = critic(rng), {"two": [Dense(3, 1, rng=rng)]}
        self.opt_D = self.make["opt_D"](self.D.params(), settings.lr)
        self.opts = [SGD(self.nets["two"][0].params(), settings.lr, momentum=0.5)]
        self.average, self.clip = EMA(self.D, 0.9), Clip()
        self.nothing, self.list, self.dict, self.array, self.k = None, [], {}, np.zeros(2), 0.0
        self.helper, self.loss, self.goes = Weighted(1.0), len, 1.0
        self.taken = 0

    def step(self, change):
        self.taken += 1
        for net, opt in ((self.D, self.opt_D), (self.nets["two"][0], self.opts[0])):
            y, tape = net.forward(xp.to_device(self.rng.standard_normal((5, 3), dtype=np.float32)))
            net.accumulate(tape, np.clip(y - 1, -self.clip.largest, self.clip.largest))
            opt.step()
        self.average.update()
        change(self)


def build(Model=Small, **changes):
    """Return a new model, as the loop builds it."""
    model = Model(training.Settings(**changes), (3,), np.random.default_rng(0))
    model.remember_as_built()
    return model


def trained(change, Model=Small, stop=None, path=None, **changes):
    """Return the state after all steps; `stop`: after so many, go on with a new model, from a file."""
    model = build(Model)
    for step in range(1, STEPS + 1):
        model.step(change)
        if step == stop:
            checkpoint.save(path, model.state(), {})
            model = build(Model, **changes)
            model.load_state(checkpoint.load(path)[0])
    return model.state()


@functools.cache
def unchanged():
    return trained(lambda model: None)


def demand_exact(change, tmp_path, Model=Small):
    """Whatever a step changes, 3 + 3 steps are 6, to the bit."""
    whole, parts = trained(change, Model), trained(change, Model, STOP, tmp_path / "checkpoint.npz")
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        same = array.dtype == parts[name].dtype and array.shape == parts[name].shape
        assert same and array.tobytes() == parts[name].tobytes(), name
    return whole


def but_once(change):
    """Change it in each step but the first after the stop: what was forgotten there would be missed."""
    return lambda model: change(model) if model.taken != STOP + 1 else None


def layer(model):
    return model.D.layers[5]


def setting(get, name, value):
    return lambda model: setattr(get(model), name, value(getattr(get(model), name, None)))


def in_tuple(value):
    return tuple(0.5 * part for part in value)
