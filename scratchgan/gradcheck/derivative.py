"""Derivatives without calculus: by a complex step, exact to rounding, and by differences with an error estimate.

`complex_step` and `ridders` are for everybody. A `Probe` differentiates <dy, f(x)> for the checker, entry by entry.
Each `Slope` has an estimate of its own error, and says whether there is a kink.
"""

import warnings
from typing import NamedTuple

import numpy

from scratchgan.gradcheck import constants as c


def complex_step(f, x, v):
    """Return the derivative of f at x along v, Im f(x + i h v) / h with h = 1e-20: exact to rounding.

    f must be analytic where it is used: built of arithmetic, exp, tanh, comparisons of the real part and the like,
    but not of abs or conj, which hide a wrong result (Squire & Trapp 1998; Martins et al. 2003, section 2.2).
    """
    return f(x + 1e-20j * v).imag / 1e-20


def analytic(f, x, v):
    """Return `complex_step`; None where f takes no complex numbers, or throws their imaginary parts away."""
    try:
        with numpy.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error")
            y = numpy.asarray(f(x + 1e-20j * v))
    except Exception:  # whatever the code under test raises, it only means: no complex step
        return None
    return y.imag / 1e-20 if y.dtype.kind == "c" else None


def ridders(f, x, v, *, step=0.1, shrink=1.4, rows=12):
    """Return the derivative of f at x along v, and an estimate of its error, both of f's shape.

    Central differences at steps that shrink are extrapolated to step 0 (Ridders 1982).
    """
    scheme = Extrapolation(shrink, 2, rows)
    for row in range(rows):
        h = step / shrink**row
        scheme.add((numpy.asarray(f(x + h * v)) - numpy.asarray(f(x - h * v))) / (2 * h))
    return scheme.value, scheme.error


class Extrapolation:
    """Differences at steps that shrink, extrapolated to step 0 by Neville's scheme.

    order: of the differences' error, 2 for central ones. `value` is, for each element, the entry of the scheme that
    agrees best with its two neighbours, `error` by how much they differ, `about` what the caller knew of its step.
    """

    def __init__(self, shrink, order, columns):
        self.shrink, self.order, self.columns, self.row = shrink, order, columns, []

    def add(self, difference, doubt=0.0, about=None):
        """Take in the difference at the next step, and what rounding noise makes of it."""
        if not self.row:
            self.value, self.error, self.about = difference, numpy.full(numpy.shape(difference), numpy.inf), about
        new = [difference]
        for column, left in enumerate(self.row[: self.columns], 1):
            new.append(new[-1] + (new[-1] - left) / (self.shrink ** (self.order * column) - 1))
            error = numpy.maximum(abs(new[-1] - new[-2]), abs(new[-1] - left)) + doubt
            better = error < self.error  # a NaN is never better
            self.value = numpy.where(better, new[-1], self.value)
            self.error = numpy.where(better, error, self.error)
            self.about = about if numpy.any(better) else self.about
        self.row = new


class Slope(NamedTuple):
    """The derivative of a number in one direction, and what is known about it."""

    value: float = numpy.nan
    error: float = numpy.inf  # of `value`, estimated
    rough: float = 0.0  # the part of this error that f's rounding noise makes
    terms: float = numpy.nan  # the sum of the absolute values of the terms of `value`
    exact: float = numpy.nan  # a complex step's value
    bend: float = 0.0  # by how much the slopes of the two sides differ, extrapolated from the last two steps
    kink: bool = False  # the slopes of the two sides differ, or there is a jump
    left: float = numpy.nan
    right: float = numpy.nan
    least: float = numpy.nan  # the least and the greatest slope that a choice of sides, for each output, can give
    most: float = numpy.nan

    def doubtful(self):
        """Whether other steps may do better: not where noise alone makes the error."""
        good = max(c.CLOSE * max(abs(self.value), self.terms), c.STANDS * self.rough)
        return self.kink or not self.error <= good < numpy.inf

    def relative(self):
        """Return the error by the size of the terms: a slope over too long a step is small, and so is its error."""
        known = self.error < numpy.inf
        return self.error / max(self.terms, abs(self.value), c.LEAST) if known else numpy.inf


def table(slopes, shape):
    """Return Slopes as a record array: `value`, `error`, ... are arrays of this shape."""
    kinds = list(Slope.__annotations__.items())
    return numpy.array([tuple(slope) for slope in slopes], kinds).reshape(shape).view(numpy.recarray)


def kinked(bends, noises, terms):
    """Whether there is a kink or a jump, by how the slopes of the two sides differ with ever smaller steps.

    The slopes at a step h differ by the bend, b + a h + ...: twice a bend, less the bend before, is b, but for h^2. At
    a kink, b stays the same, above the noise; a jump's bends grow. Where they shrink again, the kink was further away.
    """
    kink = before = last = old = numpy.nan  # comparisons with NaN are false
    for bend, noise in zip(bends, noises, strict=True):
        intercept = 2 * bend - last
        steady = abs(intercept - old) < c.STEADY * intercept
        grows = bend > c.GROWS * last and last > c.GROWS * before
        if (steady or grows) and intercept > c.NOISE * noise + c.BEND * terms:
            kink = intercept
        if bend + c.NOISE * noise < c.STEADY * kink:
            kink = numpy.nan
        before, last, old = last, bend, intercept
    return kink > 0


class Probe:
    """The numeric gradient of <dy, f(x)> with respect to x, along one direction v of x after the other.

    f: a function of one float64 array, which gives NaN where it fails; y = f(x); noise: the size of y's rounding
    errors. A direction is an array like x: 1 for one entry and 0 elsewhere, or elements of size 1.
    """

    def __init__(self, f, x, y, dy, noise):
        self.f, self.x, self.y, self.dy, self.noise = f, x, y, dy, noise
        self.weight, self.unsure, self.takes_complex = numpy.abs(dy), numpy.abs(dy) * noise, True
        rounding = self.unsure.sum() / max((self.weight * numpy.abs(y)).sum(), c.LEAST)
        self.rounding = c.COMPLEX * (c.EPSILON + rounding)  # of a complex step, relative to its terms
        self.scale = typical_scale(x)
        self.step = c.STEP * 2.0 ** numpy.round(numpy.log2(self.scale))

    def slope(self, v, start, rows, active=None, early=True, side=0):
        """Return the Slope of <dy, f(x + h v)> at h = 0 by Ridders' method.

        The steps halve from start times `step`. An estimate's doubt is what f's rounding noise makes of a difference
        at its step, in all elements that some step has changed: `active`, which is written to. early: whether to stop
        once the estimate is good. side: 1 or -1 for differences to this side alone.
        """
        active = numpy.zeros(self.y.shape, dtype=bool) if active is None else active
        scheme, bends, noises = Extrapolation(2.0, 1 if side else 2, c.COLUMNS), [], []
        for row in range(rows):
            h = start * self.step * 2.0**-row
            right = self.f(self.x + h * v) - self.y if side >= 0 else None  # what a step to each side adds
            left = self.y - self.f(self.x - h * v) if side <= 0 else right
            right = left if right is None else right
            both = right + left
            active |= (right != 0) | (left != 0)
            noise = self.unsure[active] / h
            doubt, terms = float(numpy.sqrt(noise @ noise)), float((self.weight * numpy.abs(both)).sum()) / (2 * h)
            scheme.add(float((self.dy * both).sum()) / (2 * h), 2 * doubt, (2 * doubt, terms))
            bends.append(float((self.weight * numpy.abs(right - left)).sum()) / h)
            noises.append(float(noise.sum()))  # dy has random signs, a bend has none
            converged = row and scheme.error <= max(c.STANDS * doubt, c.GOOD * abs(scheme.value))
            if early and converged and (row > 2 or bends[-1] <= c.NOISE * noises[-1]):
                break
        left, right, bend = self.dy * left, self.dy * right, 2 * bends[-1] - bends[-2]
        ends = left, right, numpy.minimum(left, right), numpy.maximum(left, right)
        ends = [float(end.sum()) / h for end in ends]
        known = float(scheme.value), float(scheme.error), *scheme.about
        return Slope(*known, numpy.nan, bend, kinked(bends, noises, terms), *ends)

    def look(self, v):
        """Return the Slope along v: by a complex step that two differences and their bends confirm, or by differences.

        Alone, a complex step is silently wrong for abs, conj or real, and sees no kink. Where differences leave doubts,
        the steps are smaller, then one-sided. An entry that is very small, but not 0, is also moved by its own size.
        """
        active, best, exact = numpy.zeros(self.y.shape, dtype=bool), Slope(), numpy.nan
        slope = analytic(self.f, self.x, v) if self.takes_complex else None
        self.takes_complex = slope is not None
        if self.takes_complex:
            exact, near = float(numpy.sum(self.dy * slope)), self.slope(v, c.NEAR, 2, active)
            confirmed = near.error <= c.CLOSE_BY * near.terms and abs(exact - near.value) <= near.error
            if confirmed and near.bend <= near.error + c.NOISE * near.rough:
                error = min(near.error, self.rounding * near.terms)
                return near._replace(value=exact, exact=exact, error=error, rough=0.0)
        for side in (0, 1, -1):
            for start in dict.fromkeys((1.0, c.CLOSER, self.reach(v))):
                if not best.doubtful() or (side and best.error < numpy.inf):
                    return best
                slope = self.slope(v, start, c.ROWS if start == 1 else c.CLOSER_ROWS, active, side=side)
                if slope.relative() < best.relative() or (best.kink and not slope.kink):
                    best = slope._replace(exact=exact)
        return best

    def sharpen(self, slopes):
        """Take complex steps' values where differences are less good, if all that are good enough bear them out."""
        good = ~slopes.kink & (slopes.error <= c.CONFIRMS * slopes.terms)
        error = self.rounding * slopes.terms
        if (abs(slopes.exact - slopes.value) <= c.SAFE * slopes.error + error)[good].all():
            better = good & (error < slopes.error)
            slopes.value[better], slopes.error[better] = slopes.exact[better], error[better]

    def again(self, v):
        """Return two more Slopes, with very small steps, and others that are no powers of 2: round is a staircase."""
        active, reach = numpy.zeros(self.y.shape, dtype=bool), self.reach(v)
        sizes = (c.OTHER * reach, c.OTHER_ROWS), (c.TINY * reach, c.TINY_ROWS)
        return [self.slope(v, start, rows, active, early=False) for start, rows in sizes]

    def reach(self, v):
        """Return how far v may reach, in typical scales: by the own size of an entry that is very small, but not 0."""
        own = numpy.max(numpy.abs(self.x[v != 0]), initial=0) / self.scale
        return own if 0 < own < c.CLOSER else 1.0


def rms(x):
    """Return the root of the mean square of the finite numbers in an array."""
    x = x[numpy.isfinite(x)]
    return float(numpy.sqrt(numpy.mean(x * x))) if x.size else 0.0


def typical_scale(x):
    """Return how far the finite numbers in x lie apart; for equal numbers their size; for zeros 1."""
    x = x[numpy.isfinite(x)]
    largest, spread = numpy.max(numpy.abs(x), initial=0), numpy.std(x) if x.size else 0
    spread = spread if c.EQUAL * largest < spread < numpy.inf else largest
    return float(spread) if spread > 0 else 1.0


def rounding_noise(f, args, y, inside):
    """Return the size of the rounding error of each element of y = f(*args), and the dtype that shows in it.

    It is measured (Moré & Wild 2011, section 3): on nine points a few units in the last place apart, a smooth
    function's fourth differences are rounding alone, and their mean square is 70 times the mean square of the errors.
    Elements that stay the same on all nine points, as in code that works in float32 or float16 inside, are measured
    on points further apart. The noise is never less than a rounding of y itself, whose own dtype is `inside`.
    """
    noise, late, first = numpy.zeros(y.shape), numpy.zeros(y.shape, dtype=bool), None
    for spacing, most in c.SPACINGS:
        values = nine_points(f, args, spacing)
        level = 3 * numpy.sqrt(numpy.mean(numpy.diff(values, n=4, axis=0) ** 2, axis=0) / 70)
        noise = numpy.where(late, noise, numpy.minimum(level, most * numpy.abs(y)) if most else level)
        late = late | (numpy.ptp(values, axis=0) != 0)
        first = late if first is None else first
        if late.all():
            break
    noise, total = noise + max(float(numpy.finfo(inside).eps), c.EPSILON) * numpy.abs(y), late.sum()
    late = late & ~first & (y != 0)
    relative = numpy.median(noise[late] / numpy.abs(y[late])) if 2 * late.sum() > total else 0.0
    for dtype in (numpy.float32, numpy.float16):
        if relative > c.INSIDE * numpy.finfo(dtype).eps > c.INSIDE * numpy.finfo(inside).eps:
            inside = numpy.dtype(dtype)
    return numpy.where(numpy.isfinite(noise), noise, numpy.inf), inside


def nine_points(f, args, spacing):
    """Return f at nine points, around args; if it fails there, to one side of them: towards 0, or away from it."""
    for side in (0, -1, 1):
        rng, steps = numpy.random.default_rng(1), []
        for x in args:
            if x.dtype.kind != "f":
                steps.append(None)
                continue
            signs = side * numpy.sign(x) if side else rng.choice([-1, 1], x.shape)
            size = numpy.where(x == 0, c.SMALL_ENTRY * typical_scale(x), numpy.abs(x))
            steps.append(numpy.where(numpy.isfinite(x), size * signs * rng.uniform(0.6, 1, x.shape) * spacing, 0))
        points = range(9) if side else range(-4, 5)
        pairs = list(zip(args, steps, strict=True))
        values = numpy.array([f(*[x if step is None else x + p * step for x, step in pairs]) for p in points])
        if numpy.isfinite(values).all():
            break
    return values
