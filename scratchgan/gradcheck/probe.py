"""Numeric slopes: each with an estimate of its own error, and with the kink found if there is one."""

import warnings
from typing import NamedTuple

import numpy

EPSILON = 2.0**-52
COLUMNS = 6  # of the extrapolation: more only amplify rounding


class Slope(NamedTuple):
    """The derivative of a number in one direction, and what is known about it."""

    value: float
    error: float  # of `value`, estimated
    rough: float  # that part of it which f's rounding noise makes
    size: float  # the sum of the absolute terms that `value` is the sum of
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
    """Return the Slope of <dy, at(h)> at h = 0 by Ridders' method (1982), where at(0) = y.

    Central differences at steps that halve are extrapolated to step 0 by Neville's scheme. An estimate's error is how
    much it differs from its two neighbours in the scheme, plus what f's rounding noise makes of a difference at that
    step, in all elements that some step has changed: `active`, which is written to. early: whether to stop there.
    """
    table, best, error, rough, kinks = [], numpy.nan, numpy.inf, numpy.inf, Kinks()
    weight = numpy.abs(dy)
    for row in range(rows):
        h = step * 2.0**-row
        upper, lower = at(h) - y, y - at(-h)  # what a step to the right adds, and one to the left takes away
        active |= (upper != 0) | (lower != 0)
        doubt = float(numpy.sum((weight * noise)[active])) / h
        new = [float(numpy.sum(dy * (upper + lower))) / (2 * h)]
        for column in range(1, min(row, COLUMNS) + 1):
            new.append(new[-1] + (new[-1] - table[column - 1]) / (4**column - 1))
            spread = max(abs(new[-1] - new[-2]), abs(new[-1] - table[column - 1])) + 2 * doubt
            if spread < error:  # a value that is not finite is never better
                best, error, rough = new[-1], spread, 2 * doubt
        size, table = float(numpy.sum(weight * numpy.abs(upper + lower))) / (2 * h), new
        bend = kinks.see(float(numpy.sum(weight * numpy.abs(upper - lower))) / h, doubt, size)
        converged = row and error <= max(6 * doubt, 1e-8 * abs(best))
        if early and converged and (row > 2 or bend <= 30 * doubt):
            break
    sides = [float(numpy.sum(part)) / h for part in (dy * lower, dy * upper)]
    bounds = [float(numpy.sum(pick(dy * lower, dy * upper))) / h for pick in (numpy.minimum, numpy.maximum)]
    return Slope(best, error, rough, size, kinks.kink > 0, *sides, *bounds)


class Kinks:
    """By how much the slopes of the two sides differ, seen with ever smaller steps.

    Their difference at a step h, the bend, is b + a h + ...: b is 0 unless there is a kink, and twice a bend less the
    one before is b, but for h^2. It has to stay the same from step to step, and above the noise. A jump's bends grow.
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
        found = self.slope(at, 1.0, 20, active)
        if found.kink or not found.error <= 1e-7 * max(abs(found.value), found.size):
            closer = self.slope(at, 0.75 * 2.0**-14, 14, active)
            if closer.error < found.error or (found.kink and not closer.kink):
                return closer
        return found

    def again(self, index):
        """Return two more Slopes of one entry: with steps of other sizes, and with very small ones.

        Steps that are no powers of 2 tell a staircase, such as round, from the slope it climbs at.
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

    def sharpen(self, found, rounding):
        """Replace values by those of a complex step, exact to rounding, if every one agrees with what was found.

        Alone, a complex step is silently wrong for abs, conj or real. rounding: the relative size of f's noise.
        """
        if (found.error <= 1e-11 * found.size).all():
            return
        exact = numpy.empty(self.x.shape)
        for index in numpy.ndindex(*self.x.shape):
            x = self.x.astype(complex)
            x[index] += 1e-20j
            y = analytic(self.f, x)
            if y is None:
                return
            exact[index] = numpy.sum(self.dy * y.imag) / 1e-20
        smooth = ~found.kink & (found.error <= 1e-3 * found.size)
        error = 4 * (EPSILON + rounding) * found.size
        agrees = numpy.abs(exact - found.value) <= 10 * found.error + error
        if agrees[smooth].all():
            better = smooth & (error < found.error)
            found.value, found.error = numpy.where(better, exact, found.value), numpy.where(better, error, found.error)


# ---- helpers ---------------------------------------------------------------------------------------------


def analytic(f, x):
    """Return f at a complex x; None where it cannot take one, or throws the imaginary part away."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = f(x)
    except Exception:  # whatever the code under test raises, it only means: no complex step
        return None
    return y if y.dtype.kind == "c" else None


def typical_scale(x):
    """Return how far numbers like those in x lie apart; of equal ones their size; of zeros 1."""
    largest = numpy.max(numpy.abs(x), initial=0)
    spread = numpy.std(x) if x.size else 0
    if not numpy.isfinite(spread) or spread <= 1e-9 * largest:
        spread = largest
    return float(spread) if numpy.isfinite(spread) and spread > 0 else 1.0


def rounding_noise(f, args, y):
    """Return the size of the rounding error of each element of y = f(*args), measured (Moré & Wild 2011, section 3).

    On nine points that lie a few units in the last place apart, a smooth function's fourth differences are nothing
    but rounding; their mean square is 70 times that of the errors. Elements that stay the same on all nine, as those
    of code that works in float32 inside, are measured on points 2^28 times as far apart. Never less than a rounding
    of y itself.
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
