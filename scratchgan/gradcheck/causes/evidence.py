"""Evidence of one argument, for the rules: your gradient, the right one, those of changed calls."""

import itertools
import time

import numpy

from scratchgan.gradcheck.derivative import analytic, ridders

SAMPLE = 48  # so many entries of an argument are differentiated anew where a rule asks what a changed call would give
FIRST = 6  # so many before the rest, to reject most guesses early


class OutOfTime(Exception):
    """The rules have used up their time."""


class Evidence:
    """Your gradient of one argument and the right one, and the means to test a guess at what went wrong.

    A guess is an array: what your gradient would be if that had gone wrong. `explains` compares it with yours.
    """

    def __init__(self, context, name, deadline):
        self.context, self.name, self.deadline = context, name, deadline
        comparison = context.comparisons[name]
        self.index = context.names.index(name) if name in context.names else None
        self.x = None if self.index is None else numpy.asarray(context.args[self.index])
        self.dy, self.y = numpy.asarray(context.dy, float), numpy.asarray(context.y)
        self.right = numpy.asarray(comparison.numeric, float)
        self.raw = self.returned(comparison.yours)
        self.yours = self.raw.astype(float)
        self.projected = self.x is None or self.right.shape != self.x.shape  # on random directions: no entries of x
        self.same_shape = self.yours.shape == self.right.shape
        self.error = numpy.broadcast_to(numpy.asarray(comparison.error, float), self.right.shape)
        self.allowed = 0.0 if comparison.tolerance is None else numpy.nan_to_num(comparison.tolerance)
        self.checked = numpy.broadcast_to(comparison.checked, self.right.shape)
        self.checked = self.checked & numpy.isfinite(self.right + self.error)
        self.scale = max(numpy.max(numpy.abs(self.right[self.checked]), initial=0), 1e-300)
        if self.same_shape:
            self.checked = self.checked & numpy.isfinite(self.yours)
            self.residual = numpy.where(self.checked, self.yours - self.right, 0.0)
            self.gain = numpy.max(numpy.abs(self.residual), initial=0)
            self.wrong = self.checked & (numpy.abs(self.residual) > numpy.maximum(self.tolerance(), 1e-6 * self.gain))
        self.derivatives = {}

    def returned(self, yours):
        """Return your gradient in the shape and dtype that your backward gave it."""
        yours = numpy.asarray(yours)
        try:
            raw = numpy.asarray(self.context.backward(self.context.dy, *self.context.args)[self.index])
            raw.astype(float)
        except Exception:  # there may be none, or it may return None here: code under test may do anything
            return yours
        mismatch = yours.size and numpy.all(numpy.isnan(yours))
        same = raw.shape == yours.shape and numpy.allclose(raw, yours, rtol=1e-6, equal_nan=True)
        return raw if mismatch or same else yours

    def tolerance(self, guess=0.0):
        """Return how far a guess that is exactly right may lie from yours, for each entry."""
        rounding = {2: 4e-3, 4: 1e-5}.get(self.raw.dtype.itemsize if self.raw.dtype.kind == "f" else 8, 1e-10)
        size = max(self.scale, numpy.max(numpy.abs(guess), initial=0))
        return numpy.maximum(8 * self.error + rounding * size, self.allowed)

    def explains(self, guess, where=None):
        """Return True if the guess is yours to within the numeric error, False if nearly, None if not."""
        guess = numpy.asarray(guess, float)
        if not self.same_shape or guess.shape != self.right.shape:
            return None
        where = self.checked if where is None else self.checked & where
        return self.judge(guess, self.yours, self.residual, self.tolerance(guess[where]), where)

    def judge(self, guess, yours, residual, tolerance, where):
        gain, distance = numpy.max(numpy.abs(residual[where]), initial=0), numpy.abs(guess - yours)[where]
        if not gain > 0 or not numpy.all(distance <= 0.02 * gain):  # a NaN is no explanation either
            return None
        return bool(numpy.all(distance <= numpy.maximum(tolerance[where], 1e-6 * gain)))

    def first(self, guesses):
        """Yield, of (kind, text, guess), the first that is yours, as (kind, text, exact)."""
        for kind, text, guess in guesses:
            if (exact := self.explains(guess)) is not None:
                yield kind, text, exact
                return

    def explains_sample(self, guess):
        """As `explains`, for a guess that is known at the entries of `sample` only."""
        at, guess = self.sample()[: len(guess)], numpy.asarray(guess, float)
        pick = lambda a: a.reshape(-1)[at]
        tolerance = pick(self.tolerance(guess)) + 1e-8 * self.scale  # the guess has an error of its own
        return self.judge(guess, pick(self.yours), pick(self.residual), tolerance, numpy.ones(len(guess), bool))

    def sample(self):
        """Return the flat indices of the entries at which changed calls are differentiated: the most wrong first."""
        size = numpy.abs(self.residual).reshape(-1)
        order = numpy.argsort(-size, kind="stable")
        order = order[self.checked.reshape(-1)[order]]
        if len(order) <= SAMPLE:
            return order
        spread = order[numpy.linspace(0, len(order) - 1, SAMPLE - FIRST).astype(int)]
        return numpy.concatenate([order[:FIRST], spread])

    def hurry(self):
        """Raise OutOfTime when the time for all rules is over."""
        if time.monotonic() > self.deadline:
            raise OutOfTime

    def jacobian(self, args=None, count=None, key=None):
        """Return d y / d x at the sampled entries of x, (entries, *y.shape), with other args if given."""
        at = self.sample()[:count]
        key = (key, count)
        if key not in self.derivatives:
            args = self.context.args if args is None else args
            self.derivatives[key] = numpy.array([self.derivative(args, i) for i in at])
        return self.derivatives[key]

    def derivative(self, args, flat, index=None):
        """Return the derivative of y by one entry of an argument, x unless another index is given."""
        index = self.index if index is None else index
        direction = numpy.zeros(numpy.shape(args[index]))
        direction.reshape(-1)[flat] = 1
        return self.along(direction, args, index)

    def along(self, direction, args=None, index=None):
        """Return y's derivative along a direction: by differences if a complex step disagrees."""
        args, index = self.context.args if args is None else args, self.index if index is None else index
        a = numpy.asarray(args[index])

        def moved(a):
            self.hurry()
            return numpy.asarray(self.context.forward(*args[:index], a, *args[index + 1 :]))

        h = 6e-4 * max(1e-3, float(numpy.max(numpy.abs(a), initial=0))) / max(1, numpy.max(numpy.abs(direction)))
        best, exact = ridders(moved, a, direction, step=h, shrink=2, rows=2)[0], analytic(moved, a, direction)
        if exact is None or exact.shape != best.shape:
            return best
        size = numpy.max(numpy.abs(best), initial=0) + 1e-300
        return exact if numpy.all(numpy.abs(exact - best) <= 1e-6 * size) else best

    def backpropagate(self, dy):
        """Return, at the sampled entries, the right gradient for another upstream gradient."""
        return numpy.tensordot(self.jacobian(), dy, dy.ndim)

    def explains_call(self, args, dy=None, key=None):
        """As `explains`, for the guess "your gradient is the right one of other arguments", which costs calls."""
        dy = self.dy if dy is None else dy
        first = numpy.tensordot(self.jacobian(args, FIRST, key), dy, dy.ndim)
        if self.explains_sample(first) is None:
            return None
        return self.explains_sample(numpy.tensordot(self.jacobian(args, None, key), dy, dy.ndim))

    def call_backward(self, dy, args=None):
        """Return what your backward gives for this argument with another dy or other arguments."""
        self.hurry()
        args = self.context.args if args is None else args
        returned = self.context.backward(numpy.asarray(dy, self.context.dy.dtype), *[numpy.array(a) for a in args])
        returned = returned if isinstance(returned, tuple | list) else (returned,)
        return numpy.asarray(returned[self.index], float)


def groupings(shape):
    """Yield the shape, and shapes with the channels, last or second, split into groups."""
    yield shape
    for axis in {len(shape) - 1, 1} if len(shape) > 1 else ():
        for size in range(2, shape[axis]):
            if shape[axis] % size == 0:
                yield (*shape[:axis], shape[axis] // size, size, *shape[axis + 1 :])


def axes_of(shape, least):
    """Yield sets of axes along which there are at least so many entries, the largest sets first."""
    for count in range(len(shape), 0, -1):
        for axes in itertools.combinations(range(len(shape)), count):
            if numpy.prod([shape[a] for a in axes]) >= least:
                yield axes
