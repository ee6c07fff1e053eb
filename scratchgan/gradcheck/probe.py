"""The numeric gradient of one argument, each entry with an estimate of its own error, and with its kinks found."""

import math
import warnings
from dataclasses import dataclass

import numpy

EPSILON = 2.0**-52
COLUMNS = 6  # of the extrapolation: more only amplify rounding


@dataclass
class Slopes:
    """Derivatives of a number in several coordinates, and what is known about each; all of one shape."""

    value: numpy.ndarray
    error: numpy.ndarray  # of `value`, estimated
    rough: numpy.ndarray  # that part of it which f's rounding noise makes
    size: numpy.ndarray  # the sum of the absolute terms that `value` is the sum of
    kink: numpy.ndarray  # bool: the slopes of the two sides differ, or there is a jump
    left: numpy.ndarray
    right: numpy.ndarray
    least: numpy.ndarray  # the least and the greatest slope that a choice of sides, for each output, can give
    most: numpy.ndarray

    @classmethod
    def empty(cls, shape):
        """Return Slopes of which nothing is known yet."""
        value, size, left, right, least, most = (numpy.full(shape, numpy.nan) for _ in range(6))
        error, rough = numpy.full(shape, numpy.inf), numpy.full(shape, numpy.inf)
        return cls(value, error, rough, size, numpy.zeros(shape, dtype=bool), left, right, least, most)

    def put(self, index, other, where=True):
        """Take over another's entries at an index, where a mask says so."""
        for name, mine in vars(self).items():
            part = mine[index]
            mine[index] = numpy.where(where, getattr(other, name).reshape(part.shape), part)


def extrapolate(at, y, dy, noise, gather, step, rows, active, early=True):
    """Return the Slopes of <dy, f> in several coordinates at once, by Ridders' method (1982).

    at(h) is f with every coordinate moved by its h; gather sums f's elements for each coordinate. Central differences
    at steps that halve are extrapolated to step 0 by Neville's scheme. An estimate's error is how much it differs from
    its two neighbours in the scheme, plus what f's rounding noise, `noise`, makes of a difference at that step, in all
    elements that some step has changed: `active`, which is written to. early: whether to stop when that is all.
    """
    table, best, error, rough, kinks = [], numpy.nan, numpy.inf, numpy.inf, Kinks()
    for row in range(rows):
        h = step * 2.0**-row
        upper, lower = at(h) - y, y - at(-h)  # what a step to the right adds, and one to the left takes away
        active |= (upper != 0) | (lower != 0)
        doubt = gather(numpy.abs(dy) * noise * active) / h
        new = [gather(dy * (upper + lower)) / (2 * h)]
        for column in range(1, min(row, COLUMNS) + 1):
            new.append(new[-1] + (new[-1] - table[column - 1]) / (4**column - 1))
            spread = numpy.maximum(abs(new[-1] - new[-2]), abs(new[-1] - table[column - 1])) + 2 * doubt
            better = spread < error  # a value that is not finite is never better
            best, error = numpy.where(better, new[-1], best), numpy.where(better, spread, error)
            rough = numpy.where(better, 2 * doubt, rough)
        size, table = gather(numpy.abs(dy * (upper + lower))) / (2 * h), new
        bend = kinks.see(gather(numpy.abs(dy * (upper - lower))) / h, doubt, size)
        converged = row and numpy.all(error <= numpy.maximum(6 * doubt, 1e-10 * abs(best)))
        if early and converged and (row > 2 or numpy.all(bend <= 30 * doubt)):
            break
    right, left = dy * upper, dy * lower
    least, most = gather(numpy.minimum(left, right)) / h, gather(numpy.maximum(left, right)) / h
    return Slopes(best, error, rough, size, kinks.found(), gather(left) / h, gather(right) / h, least, most)


class Kinks:
    """By how much the slopes of the two sides differ, seen with ever smaller steps.

    Their difference at a step h, the bend, is b + a h + ...: b is 0 unless there is a kink, and twice a bend less the
    one before it is b, but for h^2. It has to stay the same from step to step, and above the noise. A jump's bends grow.
    """

    def __init__(self):
        self.bend = self.intercept = None
        self.kink = 0.0

    def see(self, bend, doubt, size):
        """Take the bends at half the step before into account; return them."""
        if self.bend is not None:
            intercept = 2 * bend - self.bend
            if self.intercept is not None:
                steady = abs(intercept - self.intercept) < 0.3 * intercept
                grows = (bend > 1.6 * self.bend) & (self.bend > 1.6 * self.before)
                real = intercept > 30 * doubt + 1e-9 * size
                self.kink = numpy.where((steady | grows) & real, intercept, self.kink)
                self.kink = numpy.where(bend + 30 * doubt < 0.3 * self.kink, 0.0, self.kink)  # it was further away
            self.intercept, self.before = intercept, self.bend
        self.bend = bend
        return bend

    def found(self):
        """Return where there is a kink, or a jump."""
        return numpy.zeros(numpy.shape(self.bend), dtype=bool) | (self.kink > 0)


class Probe:
    """The numeric gradient of <dy, f(x)> with respect to x: `everywhere`, at one entry `again`, or `along` a direction.

    f: a function of one float64 array; y = f(x); noise: the size of y's rounding errors. Where slices of x act on
    different parts of y, such as the samples of a batch, one step in each of them is taken at the same time.
    """

    def __init__(self, f, x, y, dy, noise):
        self.f, self.x, self.y, self.dy, self.noise = f, x, y, dy, noise
        self.scale = typical_scale(x)
        self.step = 2.0 ** numpy.round(numpy.log2(self.scale) - 3)  # a power of 2, so that x + step is exact
        self.axes, self.owner = (), numpy.zeros(y.size, dtype=int)
        if y.size > 1 and x.size > 1:
            self.find_separate_axes()

    # ---- which slices act on different parts of y ----

    def find_separate_axes(self):
        """Set `axes` to those of x whose slices act on separate parts of y, and `owner` to who acts on each element."""
        for axis, length in enumerate(self.x.shape):
            owner = self.owner_along(axis) if length > 1 else None
            if owner is not None:
                self.axes += (axis,)
                self.owner = numpy.where(owner < 0, -1, self.owner * length + owner)

    def owner_along(self, axis):
        """Return which slice acts on each element of y, -1 for none; None if two slices act on the same element.

        For every binary digit, the slices that have a 1 there are moved, then those that have a 0: if nothing of y
        is moved by both, the digits of the owner of each element are known.
        """
        length = self.x.shape[axis]
        shape = [length if a == axis else 1 for a in range(self.x.ndim)]
        owner, touched = numpy.zeros(self.y.size, dtype=int), None
        for digit in range((length - 1).bit_length()):
            ones = ((numpy.arange(length) >> digit) & 1).reshape(shape)
            moved, unmoved = self.moved_by(ones), self.moved_by(1 - ones)
            if (moved & unmoved).any() or (touched is not None and (touched != (moved | unmoved)).any()):
                return None
            owner, touched = owner | (moved << digit), moved | unmoved
        return numpy.where(touched, owner, -1)

    def moved_by(self, mask):
        """Return which elements of y change when x moves at random where the mask is 1."""
        move = numpy.random.default_rng(0).uniform(0.5, 1, self.x.shape) * self.scale * mask
        return numpy.ravel((self.f(self.x + move) != self.y) | (self.f(self.x - 0.01 * move) != self.y))

    def groups(self):
        """Yield an index of x for every group of entries that are moved together: all of them along separate axes."""
        lengths = [1 if axis in self.axes else n for axis, n in enumerate(self.x.shape)]
        for index in numpy.ndindex(*lengths):
            yield tuple(slice(None) if axis in self.axes else i for axis, i in enumerate(index))

    # ---- slopes ----

    def slopes(self, index, steps, rows, active, early=True):
        """Return the Slopes at an index, of one entry or of a group, with steps of this many times `step`, halved."""

        def at(h):
            moved = self.x.copy()
            moved[index] += numpy.reshape(h, numpy.shape(moved[index]))
            return self.f(moved)

        count = numpy.size(self.x[index])
        step = numpy.full(count, steps * self.step)
        return extrapolate(at, self.y, self.dy, self.noise, self.gather(count), step, rows, active, early)

    def gather(self, count):
        """Return a function that sums the elements of y that belong to each of `count` coordinates."""
        if count == 1:
            return lambda terms: numpy.sum(terms).reshape(1)
        used, owner = self.owner >= 0, self.owner
        if used.all():
            return lambda terms: numpy.bincount(owner, numpy.ravel(terms), count)
        return lambda terms: numpy.bincount(owner[used], numpy.ravel(terms)[used], count)

    def everywhere(self):
        """Return the Slopes of all entries; where a first look leaves doubts, they are looked at with smaller steps."""
        found = Slopes.empty(self.x.shape)
        for index in self.groups():
            active = numpy.zeros(self.y.shape, dtype=bool)
            slopes = self.slopes(index, 1.0, 20, active)
            resolved = slopes.error <= 1e-7 * numpy.abs(slopes.value)
            doubtful = slopes.kink | ~(resolved | (slopes.error <= 1e-7 * slopes.size))
            if doubtful.any():
                closer = self.slopes(index, 0.75 * 2.0**-14, 14, active)
                finer = (closer.error < slopes.error) | (slopes.kink & ~closer.kink)
                mixed = Slopes.empty(slopes.value.shape)
                mixed.put(..., slopes)
                mixed.put(..., closer, doubtful & finer)
                slopes = mixed
            found.put(index, slopes)
        return found

    def again(self, index):
        """Return two more Slopes of one entry, on its own: with steps of other sizes, and with very small ones.

        Steps that are no powers of 2 tell a staircase, such as round, from the slope it climbs at.
        """
        active = numpy.zeros(self.y.shape, dtype=bool)
        return [self.slopes(index, 0.3731, 24, active, False), self.slopes(index, 2.0**-24, 8, active, False)]

    def along(self, v, steps=1.0):
        """Return the Slopes along a direction v, an array like x whose elements are of size 1."""
        at, active = lambda h: self.f(self.x + h * v), numpy.zeros(self.y.shape, dtype=bool)
        step = numpy.array([steps * self.step])
        return extrapolate(at, self.y, self.dy, self.noise, self.gather(1), step, 24, active)

    def floor(self):
        """Return for each entry how large a slope may be and yet drown in y's rounding over the typical scale of x."""
        lengths = [n if axis in self.axes else 1 for axis, n in enumerate(self.x.shape)]
        terms = numpy.abs(self.dy) * self.noise
        drowned = self.gather(math.prod(lengths))(terms) + numpy.sum(numpy.ravel(terms)[self.owner < 0])
        return numpy.broadcast_to(drowned.reshape(lengths) / self.scale, self.x.shape)

    def separate(self):
        """Move no two entries at the same time from now on."""
        self.axes, self.owner = (), numpy.zeros(self.y.size, dtype=int)

    # ---- a complex step, where it can be trusted ----

    def sharpen(self, found, rounding):
        """Replace values by those of a complex step, exact to rounding, if every one agrees with what was `found`.

        Alone, a complex step is silently wrong for abs, conj or real. rounding: the relative size of f's noise.
        """
        exact = numpy.full(self.x.shape, numpy.nan)
        for index in self.groups():
            moved = self.x.astype(complex)
            moved[index] += 1e-20j
            y = analytic(self.f, moved)
            if y is None:
                return
            values = self.gather(numpy.size(self.x[index]))(self.dy * y.imag / 1e-20)
            exact[index] = values.reshape(numpy.shape(exact[index]))
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
