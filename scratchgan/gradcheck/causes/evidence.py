"""Evidence on one argument: your gradient and the right one, output by output, and at other arguments."""

import contextlib
import time

import numpy

from scratchgan.gradcheck.causes.constants import (
    ALIKE,
    FULL,
    LEAST,
    LOOKED_AT,
    MOVE,
    NEAR,
    RESIDUE,
    ROUNDING,
    SHARP,
    STEP,
    STEP_LEAST,
)
from scratchgan.gradcheck.derivative import analytic, ridders


class OutOfTime(Exception):
    """The rules have used up their time."""


class Clock:
    """How long may be searched: so many seconds of this thread, four times as many on the wall, within another's."""

    def __init__(self, seconds, other=None):
        self.thread, wall = time.thread_time() + seconds, time.monotonic() + 4 * seconds
        self.wall = min(wall, other.wall) if other else wall

    def over(self):
        return time.thread_time() > self.thread or time.monotonic() > self.wall


class Evidence:
    """Your gradient of one argument and the right one, and the means to test a guess at what went wrong.

    A guess is an array: what your gradient would be if that had gone wrong. `explains` compares it with yours.
    """

    def __init__(self, context, name, clock):
        self.context, self.name, self.clock = context, name, clock
        comparison = context.comparisons[name]
        self.index = context.names.index(name)
        self.args = [numpy.asarray(a) for a in context.args]
        self.x, self.dy, self.y = self.args[self.index], numpy.asarray(context.dy, float), numpy.asarray(context.y)
        self.named = [*zip(context.names, self.args, strict=True), ("y", self.y)]
        self.right = numpy.asarray(comparison.numeric, float)
        self.projected = self.right.shape != self.x.shape  # on random directions: no entries of x
        self.raw = self.returned(numpy.asarray(comparison.yours))
        self.yours = self.raw.astype(float)
        self.same_shape = self.yours.shape == self.right.shape
        self.error = numpy.broadcast_to(numpy.asarray(comparison.error, float), self.right.shape)
        self.allowed = 0.0 if comparison.tolerance is None else numpy.nan_to_num(comparison.tolerance)
        self.checked = comparison.checked & numpy.isfinite(self.right + self.error)
        self.scale = largest(self.right[self.checked])
        if self.same_shape:
            self.checked = self.checked & numpy.isfinite(self.yours)
            self.residual = numpy.where(self.checked, self.yours - self.right, 0.0)
            self.gain = numpy.max(numpy.abs(self.residual), initial=0)
            self.wrong = numpy.abs(self.residual) > numpy.maximum(self.tolerance(), RESIDUE * self.gain)
        self.known = {}

    def returned(self, yours):
        """Return your gradient in the shape and dtype that your backward gave it."""
        try:
            raw = numpy.asarray(self.context.backward(self.context.dy, *self.context.args)[self.index])
            raw.astype(float)
        except Exception:  # there may be none, or it may return None here: code under test may do anything
            return yours
        mismatch = yours.size and numpy.all(numpy.isnan(yours))
        same = raw.shape == yours.shape and numpy.allclose(raw, yours, rtol=ALIKE, equal_nan=True)
        return raw if mismatch or same else yours

    def again(self, shuffled):
        """Return Evidence from another dy, and other arguments: near these, or of the same numbers elsewhere."""
        rng, c, comparisons = numpy.random.default_rng(7), self.context, {}
        near = lambda a: a * (1 + MOVE * rng.uniform(-1, 1, a.shape))
        elsewhere = lambda a: rng.permutation(a.reshape(-1)).reshape(a.shape)
        error = max(SHARP, numpy.max(self.error[self.checked]) / self.scale)
        dy = rng.standard_normal(self.dy.shape) if c.upstream else self.dy
        args = [(elsewhere if shuffled else near)(a) if free(a) else a for a in self.args]
        for name, own in c.comparisons.items():
            if name == self.name or numpy.shape(own.yours) == self.x.shape:
                index = c.names.index(name)
                at = range(args[index].size) if args[index].size <= FULL else self.sample()
                right, checked = numpy.zeros(args[index].shape), numpy.zeros(args[index].shape, bool)
                checked.reshape(-1)[at] = True
                right.reshape(-1)[at] = [self.derivative(args, flat, index) @ dy.reshape(-1) for flat in at]
                yours = self.call_backward(dy, args) if name == self.name else right
                comparisons[name] = type(own)(name, yours, right, error * abs(right), checked, "WRONG")
        rest = c.forward, c.backward, comparisons, c.second_order, c.upstream
        moved = type(c)(tuple(args), c.names, dy, c.forward(*args), *rest)
        return Evidence(moved, self.name, self.clock)

    # ---- guesses ----

    def tolerance(self, guess=0.0):
        """Return how far a guess that is exactly right may lie from yours, for each entry."""
        rounding = ROUNDING.get(self.raw.dtype.itemsize if self.raw.dtype.kind == "f" else 8, SHARP)
        size = max(self.scale, numpy.max(numpy.abs(guess), initial=0))
        return numpy.maximum(8 * self.error + rounding * size, self.allowed)

    def explains(self, guess, where=True):
        """Return True if the guess is yours to within the numeric error, False if nearly, None if not."""
        guess = numpy.asarray(guess, float)
        if not self.same_shape or guess.shape != self.right.shape:
            return None
        where = self.checked & where
        return self.judge(guess, self.yours, self.residual, self.tolerance(guess[where]), where)

    def explains_sample(self, dy, args):
        """Return the same of the right gradient for another dy, or at other arguments, at the sampled entries."""
        guess = numpy.array([self.derivative(args, flat) @ dy.reshape(-1) for flat in self.sample()])
        yours, residual, tolerance = map(self.sampled, (self.yours, self.residual, self.tolerance(guess)))
        return self.judge(guess, yours, residual, tolerance, numpy.ones(len(guess), bool))

    def judge(self, guess, yours, residual, tolerance, where):
        gain, distance = numpy.max(numpy.abs(residual[where]), initial=0), numpy.abs(guess - yours)[where]
        if not gain > 0 or not numpy.all(distance <= NEAR * gain):  # a NaN is no explanation either
            return None
        return bool(numpy.all(distance <= numpy.maximum(tolerance[where], RESIDUE * gain)))

    # ---- derivatives, output by output ----

    def sample(self):
        """Return the flat indices of the entries that are looked at: all, or the most wrong and others."""
        order = numpy.argsort(-numpy.abs(self.residual), axis=None, kind="stable")
        order = order[self.checked.reshape(-1)[order]]
        if len(order) <= LOOKED_AT:
            return numpy.sort(order) if len(order) == self.x.size else order
        spread = order[numpy.linspace(0, len(order) - 1, LOOKED_AT // 2).astype(int)]
        return numpy.concatenate([order[: LOOKED_AT // 2], spread])

    def outputs(self):
        """Return the flat indices of the outputs whose shares are looked at."""
        return numpy.unique(numpy.linspace(0, self.y.size - 1, min(LOOKED_AT, self.y.size)).astype(int))

    def jacobian(self):
        """Return the right shares, d y / d x, (outputs, entries): of all outputs, at the sampled entries of x."""
        if "J" not in self.known:
            columns = [self.derivative(self.args, flat) for flat in self.sample()]
            self.known["J"] = numpy.array(columns).reshape(len(columns), self.y.size).T
        return self.known["J"]

    def shares(self):
        """Return (yours, right): what the sampled outputs send to the sampled entries, (outputs, entries).

        Yours is what your backward gives for a dy of 1 at one output, and 0 at the others.
        """
        if "B" not in self.known:
            units = numpy.zeros((len(self.outputs()), self.y.size))
            units[numpy.arange(len(units)), self.outputs()] = 1
            self.known["B"] = numpy.array([self.sampled(self.call_backward(u.reshape(self.dy.shape))) for u in units])
        return self.known["B"], self.jacobian()[self.outputs()]

    def by_output(self):
        """Whether shares can be told apart: there are several outputs, a dy, and a backward that takes another dy."""
        if "answers" not in self.known:
            with contextlib.suppress(Exception):  # as of results that were computed elsewhere
                self.call_backward(0.5 * self.dy)
                self.known["answers"] = True
        return self.y.size > 1 and self.context.upstream and self.known.setdefault("answers", False)

    def in_full(self):
        """Whether all entries of x are known output by output; `shares` are then in the order of x."""
        return self.by_output() and len(self.sample()) == self.x.size

    def sampled(self, gradient):
        return gradient.reshape(-1)[self.sample()]

    def derivative(self, args, flat, index=None):
        """Return the derivative of y by one entry of an argument, x: by a complex step where that is right."""
        self.hurry()
        index = self.index if index is None else index
        a = numpy.asarray(args[index], float)
        moved = lambda a: numpy.asarray(self.context.forward(*args[:index], a, *args[index + 1 :]))
        direction = numpy.zeros(a.shape)
        direction.reshape(-1)[flat] = 1
        exact = analytic(moved, a, direction) if self.takes_complex(index) else None
        best = self.differences(moved, a, direction) if exact is None else exact
        return best.reshape(-1)

    def takes_complex(self, index):
        """Whether a complex step along a direction of all entries of an argument agrees with differences."""
        if ("complex", index) not in self.known:
            a = numpy.asarray(self.args[index], float)
            moved = lambda a: numpy.asarray(self.context.forward(*self.args[:index], a, *self.args[index + 1 :]))
            direction = numpy.random.default_rng(5).uniform(0.5, 1, a.shape)
            exact, best = analytic(moved, a, direction), self.differences(moved, a, direction)
            agrees = exact is not None and numpy.shape(exact) == best.shape
            self.known["complex", index] = agrees and numpy.all(abs(exact - best) <= ALIKE * largest(best))
        return self.known["complex", index]

    def differences(self, f, a, direction):
        return ridders(f, a, direction, step=STEP * max(STEP_LEAST, largest(a)), shrink=2, rows=2)[0]

    def call_backward(self, dy, args=None):
        """Return what your backward gives for this argument with another dy or other arguments."""
        self.hurry()
        args = self.args if args is None else args
        returned = self.context.backward(numpy.asarray(dy, self.context.dy.dtype), *[numpy.array(a) for a in args])
        return numpy.asarray((returned if isinstance(returned, tuple | list) else (returned,))[self.index], float)

    def hurry(self):
        """Raise OutOfTime when the time for all rules is over."""
        if self.clock.over():
            raise OutOfTime


def free(a):
    """Whether an argument's numbers may be others: not those of a mask, of classes, or of probabilities."""
    fixed = a.size < 2 or numpy.all((a == 0) | (a == 1)) or numpy.allclose(a.sum(-1), 1)
    return a.dtype.kind == "f" and not fixed


def largest(a):
    """Return the largest absolute value in an array, and never 0, for others to be measured by."""
    return max(float(numpy.max(numpy.abs(a), initial=0)), LEAST)
