"""Derivatives without calculus: by a complex step, exact to rounding, and by differences with an error estimate.

`complex_step` and `ridders` are for everybody. A `Probe` differentiates <dy, f(x)> for the checker, entry by entry.
Each `Slope` has an estimate of its own error, and says whether there is a kink.
"""

import warnings
from typing import NamedTuple

import numpy

EPSILON = 2.0**-52
COLUMNS = 6  # of the scheme, for steps that halve: more only amplify rounding


def complex_step(f, x, v):
    """Return the derivative of f at x along v, Im f(x + i h v) / h with h = 1e-20: exact to rounding.

    f must be analytic where it is used: built of arithmetic, exp, tanh, comparisons of the real part and the like,
    but not of abs or conj, which hide a wrong result (Squire & Trapp 1998; Martins et al. 2003, section 2.2).
    """
    return f(x + 1e-20j * v).imag / 1e-20


def analytic(f, x, v):
    """Return `complex_step`; None where f takes no complex numbers, or throws their imaginary parts away."""

    def complex_only(z):
        y = f(z)
        if y.dtype.kind != "c":
            raise TypeError("the imaginary part is lost")
        return y

    try:
        with numpy.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error")
            return complex_step(complex_only, x, v)
    except Exception:  # whatever the code under test raises, it only means: no complex step
        return None


def ridders(f, x, v, *, step=0.1, shrink=1.4, rows=12):
    """Return the derivative of f at x along v, and an estimate of its error, both of f's shape.

    Central differences at steps that shrink are extrapolated to step 0 (Ridders 1982).
    """
    scheme = Extrapolation(shrink, rows)
    for row in range(rows):
        h = step / shrink**row
        scheme.add((numpy.asarray(f(x + h * v)) - numpy.asarray(f(x - h * v))) / (2 * h))
    return scheme.value, scheme.error


class Extrapolation:
    """Differences at steps that shrink, extrapolated to step 0 by Neville's scheme.

    `value` is, for each element, the entry of the scheme that agrees best with its two neighbours. `error` is by how
    much they differ, and `doubt`: what rounding noise makes of the difference that the entry stands on.
    """

    def __init__(self, shrink, columns):
        self.shrink, self.columns, self.row = shrink, columns, []

    def add(self, difference, doubt=0.0):
        """Take in the difference at the next step."""
        if not self.row:
            self.value, self.error, self.doubt = difference, numpy.full(numpy.shape(difference), numpy.inf), numpy.inf
        new = [difference]
        for column, left in enumerate(self.row[: self.columns], 1):
            new.append(new[-1] + (new[-1] - left) / (self.shrink ** (2 * column) - 1))
            error = numpy.maximum(abs(new[-1] - new[-2]), abs(new[-1] - left)) + doubt
            better = error < self.error  # a NaN is never better
            self.value = numpy.where(better, new[-1], self.value)
            self.error = numpy.where(better, error, self.error)
            self.doubt = numpy.where(better, doubt, self.doubt)
        self.row = new


# ---- slopes ----------------------------------------------------------------------------------------------


class Slope(NamedTuple):
    """The derivative of a number in one direction, and what is known about it."""

    value: float
    error: float  # of `value`, estimated
    rough: float  # the part of this error that f's rounding noise makes
    size: float  # the sum of the absolute values of the terms of `value`
    kink: bool  # the slopes of the two sides differ, or there is a jump
    left: float
    right: float
    least: float  # the least and the greatest slope that a choice of sides, for each output, can give
    most: float


class Slopes:
    """Slopes for every entry of an array: `value`, `error`, ... are arrays of its shape."""

    def __init__(self, slopes, shape):
        for name, values in zip(Slope._fields, zip(*slopes, strict=True), strict=True):
            setattr(self, name, numpy.array(values).reshape(shape))

    def put(self, index, slope):
        """Take over a Slope for one entry."""
        for name, value in slope._asdict().items():
            getattr(self, name)[index] = value


def extrapolate(at, y, dy, noise, step, rows, active, early=True):
    """Return the Slope of <dy, at(h)> at h = 0 by Ridders' method, where at(0) = y.

    The steps halve. An estimate's doubt is what f's rounding noise makes of a difference at its step, in all elements
    that some step has changed: `active`, which is written to. early: whether to stop once the estimate is good.
    """
    scheme, kinks, weight = Extrapolation(2.0, COLUMNS), Kinks(), numpy.abs(dy)
    for row in range(rows):
        h = step * 2.0**-row
        upper, lower = at(h) - y, y - at(-h)  # what a step to the right adds, and one to the left takes away
        active |= (upper != 0) | (lower != 0)
        doubt = float(numpy.sum((weight * noise)[active])) / h
        scheme.add(float(numpy.sum(dy * (upper + lower))) / (2 * h), 2 * doubt)
        size = float(numpy.sum(weight * numpy.abs(upper + lower))) / (2 * h)
        bend = kinks.see(float(numpy.sum(weight * numpy.abs(upper - lower))) / h, doubt, size)
        converged = row and scheme.error <= max(6 * doubt, 1e-8 * abs(scheme.value))
        if early and converged and (row > 2 or bend <= 30 * doubt):
            break
    sides = [float(numpy.sum(part)) / h for part in (dy * lower, dy * upper)]
    bounds = [float(numpy.sum(pick(dy * lower, dy * upper))) / h for pick in (numpy.minimum, numpy.maximum)]
    best = float(scheme.value), float(scheme.error), float(scheme.doubt)
    return Slope(*best, size, kinks.kink > 0, *sides, *bounds)


class Kinks:
    """By how much the slopes of the two sides differ, seen with ever smaller steps.

    The slopes at a step h differ by the bend, b + a h + ...: b is 0 unless there is a kink. Twice a
    bend, less the bend before, is b, but for h^2. At a kink, b stays the same from step to step,
    and above the noise. A jump's bends grow.
    """

    def __init__(self):
        self.bend = self.before = self.intercept = numpy.nan  # comparisons with NaN are false
        self.kink = 0.0

    def see(self, bend, doubt, size):
        """Take the bend at half the step before into account; return it."""
        intercept = 2 * bend - self.bend
        steady = abs(intercept - self.intercept) < 0.3 * intercept
        grows = bend > 1.6 * self.bend and self.bend > 1.6 * self.before
        if (steady or grows) and intercept > 30 * doubt + 1e-9 * size:
            self.kink = intercept
        if bend + 30 * doubt < 0.3 * self.kink:  # it was further away
            self.kink = 0.0
        self.bend, self.before, self.intercept = bend, self.bend, intercept
        return bend


class Probe:
    """The numeric gradient of <dy, f(x)> with respect to x: `everywhere`, at one entry `again`, or `along` a direction.

    f: a function of one float64 array; y = f(x); noise: the size of y's rounding errors.
    """

    def __init__(self, f, x, y, dy, noise):
        self.f, self.x, self.y, self.dy, self.noise = f, x, y, dy, noise
        self.scale = typical_scale(x)
        # Few bits, so that x + step is exact, and no power of 2: f may repeat itself after one, and would look flat.
        self.step = 848317 / 2**20 * 2.0 ** numpy.round(numpy.log2(self.scale) - 3)

    def at(self, index):
        """Return the function of h that is f with one entry of x moved by h."""

        def moved(h):
            x = self.x.copy()
            x[index] += h
            return self.f(x)

        return moved

    def slope(self, at, steps, rows, active, early=True):
        """Return the Slope of a function of h, with steps of this many times `step`, halved."""
        return extrapolate(at, self.y, self.dy, self.noise, steps * self.step, rows, active, early)

    def unmoved(self):
        return numpy.zeros(self.y.shape, dtype=bool)

    def everywhere(self):
        """Return the Slopes of all entries."""
        return Slopes([self.first_look(self.at(index)) for index in numpy.ndindex(*self.x.shape)], self.x.shape)

    def first_look(self, at):
        """Return the Slope of a function of h; where there are doubts, smaller steps are taken as well."""
        active = self.unmoved()
        slope = self.slope(at, 1.0, 20, active)
        if slope.kink or not slope.error <= 1e-7 * max(abs(slope.value), slope.size):
            closer = self.slope(at, 0.75 * 2.0**-14, 14, active)
            if closer.error < slope.error or (slope.kink and not closer.kink):
                return closer
        return slope

    def again(self, index):
        """Return two more Slopes of one entry: with steps of other sizes, and very small steps.

        Steps that are no powers of 2 tell a staircase, such as round, from the slope of its climb.
        """
        at, active = self.at(index), self.unmoved()
        return [self.slope(at, 0.3731, 24, active, False), self.slope(at, 2.0**-24, 8, active, False)]

    def along(self, v, steps=1.0):
        """Return the Slope along a direction v, an array like x whose elements are of size 1."""
        return self.slope(lambda h: self.f(self.x + h * v), steps, 24, self.unmoved())

    def floor(self):
        """Return how large a slope may be and yet drown in y's rounding over the typical scale of x."""
        move = numpy.random.default_rng(0).uniform(0.5, 1, self.x.shape) * self.scale
        still = (self.f(self.x + move) == self.y) & (self.f(self.x - move) == self.y)
        drowned = numpy.where(still, self.noise, EPSILON * numpy.abs(self.y))
        return 2 * float(numpy.sqrt(numpy.sum((self.dy * drowned) ** 2))) / self.scale

    def sharpen(self, slopes, rounding):
        """Replace values by a complex step's, exact to rounding, if all smooth entries agree.

        Alone, a complex step is silently wrong for abs, conj or real. rounding: the relative size of f's noise.
        """
        if (slopes.error <= 1e-11 * slopes.size).all():
            return
        exact = numpy.empty(self.x.shape)
        for index in numpy.ndindex(*self.x.shape):
            entry = numpy.zeros(self.x.shape)
            entry[index] = 1
            slope = analytic(self.f, self.x, entry)
            if slope is None:
                return
            exact[index] = numpy.sum(self.dy * slope)
        smooth = ~slopes.kink & (slopes.error <= 1e-3 * slopes.size)
        error = 4 * (EPSILON + rounding) * slopes.size
        agrees = numpy.abs(exact - slopes.value) <= 10 * slopes.error + error
        if agrees[smooth].all():
            better = smooth & (error < slopes.error)
            slopes.value = numpy.where(better, exact, slopes.value)
            slopes.error = numpy.where(better, error, slopes.error)


# ---- helpers ---------------------------------------------------------------------------------------------


def typical_scale(x):
    """Return how far the numbers in x lie apart; for equal numbers their size; for zeros 1."""
    largest = numpy.max(numpy.abs(x), initial=0)
    spread = numpy.std(x) if x.size else 0
    if not numpy.isfinite(spread) or spread <= 1e-9 * largest:
        spread = largest
    return float(spread) if numpy.isfinite(spread) and spread > 0 else 1.0


def rounding_noise(f, args, y):
    """Return the size of the rounding error of each element of y = f(*args), measured (Moré & Wild 2011, section 3).

    On nine points a few units in the last place apart, a smooth function's fourth differences are
    rounding alone: their mean square is 70 times the mean square of the errors. Elements that stay
    the same on all nine points, as in code that works in float32 inside, are measured on points
    2^28 times as far apart. The noise is never less than a rounding of y itself.
    """
    noise, same = fourth_differences(f, args, 2.0**-48)
    if same.any():
        coarse, _ = fourth_differences(f, args, 2.0**-20)
        noise = numpy.where(same, coarse, noise)
    noise = noise + EPSILON * numpy.abs(y)
    return numpy.where(numpy.isfinite(noise), noise, numpy.inf)


def fourth_differences(f, args, spacing):
    """Return three standard deviations of f's rounding errors, and which elements are equal on all nine points."""
    rng = numpy.random.default_rng(1)
    steps = []
    for x in args:
        if x.dtype.kind == "f":
            size = numpy.maximum(numpy.abs(x), 1e-3 * typical_scale(x))
            steps.append(rng.choice([-1, 1], x.shape) * rng.uniform(0.6, 1, x.shape) * size * spacing)
        else:
            steps.append(numpy.zeros_like(x))
    values = [f(*[x + point * step for x, step in zip(args, steps, strict=True)]) for point in range(-4, 5)]
    differences = numpy.diff(values, n=4, axis=0)  # (5, *y.shape)
    return 3 * numpy.sqrt(numpy.mean(differences**2, axis=0) / 70), numpy.ptp(values, axis=0) == 0
