"""From numeric slopes to verdicts: what is compared with what, and how far apart the two may be."""

import numpy

from scratchgan.gradcheck.causes.search import diagnose
from scratchgan.gradcheck.derivative import Probe, Slopes, rounding_noise, typical_scale
from scratchgan.gradcheck.manners import Runner, watch
from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG, Comparison, Context, Skipped
from scratchgan.gradcheck.report import Report

AT_A_TIME = 12  # entries that are looked at again before a gradient is called wrong


def examine(subject, args, names, only=None, seed=0, kinks="skip", directions=None, like=None):
    """Return the Report on a Subject at these arguments; `check` has the same options."""
    unknown = set(only or ()) - set(names)
    if unknown:
        raise ValueError(f"only names {', '.join(sorted(unknown))}: the arguments are {', '.join(names)}")
    runner = Runner(subject, args, names)
    y = runner.start(runner.args)[0]
    # dy has a stream of its own: x is often drawn from default_rng(seed) too, and dy = x would hide much.
    rng = numpy.random.default_rng([seed, 0x6479])
    dy = rng.standard_normal(y.shape) if subject.upstream else numpy.ones(y.shape)
    dy = dy.astype(y.dtype if y.dtype.kind == "f" else float)  # the same numbers in float32 and in float64
    yours, findings = watch(runner, dy, names)
    exam = Exam(runner, names, dy.astype(float), kinks, directions, seed)
    comparisons = {}
    for i in runner.floats:
        if only is None or names[i] in only:
            comparisons[names[i]] = exam.compare(i, yours)
    title = "gradcheck of second order" if subject.second_order else "gradcheck"
    report = Report(comparisons, [], exam.skipped, findings + exam.findings, title, seed)
    if WRONG in report.verdict.values():
        functions = runner.forward, runner.backward, comparisons, like, subject.second_order
        report.causes = diagnose(Context(exam.args, tuple(names), exam.dy, exam.y, *functions))
    return report


class Exam:
    """What the comparisons of all arguments share: the arguments in float64, y, dy, and y's rounding noise."""

    def __init__(self, runner, names, dy, kinks, directions, seed):
        self.runner, self.names, self.dy, self.kinks = runner, names, dy, kinks
        self.directions, self.seed = directions, seed
        self.args = runner.widened()
        self.y = runner.forward(*self.args)
        # A forward that changes from call to call has no derivative; on a GPU it may change by a rounding.
        self.noise = rounding_noise(runner.forward, self.args, self.y)
        self.noise += 3 * numpy.abs(runner.forward(*self.args) - self.y)
        self.terms = float(numpy.sum(numpy.abs(dy * self.y)))
        self.length = max([self.y.size, *[a.size for a in self.args]])
        self.wide = runner.backward(dy, *self.args) if runner.wide else None
        self.shaken, self.wide_shaken = self.shake(runner.args), self.shake(self.args) if runner.wide else None
        self.skipped, self.findings = [], []

    def shake(self, args):
        """Return gradients at arguments one rounding away: rounding may move yours by as much."""
        gradients, rng = [], numpy.random.default_rng(3)
        for _ in range(3):
            moved = list(args)
            for i in self.runner.floats:
                signs = rng.choice([-1, 1], args[i].shape)
                moved[i] = (args[i] * (1 + 2 * numpy.finfo(args[i].dtype).eps * signs)).astype(args[i].dtype)
            gradients.append(self.runner.backward(self.dy, *moved))
        return gradients

    def compare(self, i, yours):
        """Return the Comparison of the gradient of argument i; float32 code that runs in float64 too must pass both."""
        before, after = self.args[:i], self.args[i + 1 :]
        probe = Probe(lambda x: self.runner.forward(*before, x, *after), self.args[i], self.y, self.dy, self.noise)
        slopes = self.look(probe)
        comparison = None
        if self.runner.wide:
            wide = Candidate(self, i, self.wide, self.wide_shaken, numpy.dtype(float))
            comparison = self.confirm(wide, probe, slopes)
        if comparison is None or comparison.verdict != WRONG:
            own = Candidate(self, i, yours, self.shaken, self.runner.args[i].dtype)
            comparison = self.confirm(own, probe, slopes)
            if self.runner.wide and comparison.verdict == WRONG:
                text = f"the gradient of {comparison.name} agrees in float64, but its error in {self.runner.dtype} is"
                self.findings.append(f"{text} {comparison.excess().max():.0f} times what rounding explains")
        self.note_kinks(comparison, slopes)
        return comparison

    # ---- numeric slopes: of every entry, or along random directions ----

    def look(self, probe):
        """Return the numeric Slopes, in the shape of the argument or one for each direction."""
        if self.directions is not None:
            return Slopes([probe.along(self.direction(probe.x, k)) for k in range(self.directions)], (self.directions,))
        slopes = probe.everywhere()
        probe.sharpen(slopes, numpy.sum(numpy.abs(self.dy) * self.noise) / max(self.terms, 1e-300))
        return slopes

    def direction(self, x, k):
        """Return random direction number k: elements of size 0.5 to 1 with random signs."""
        rng = numpy.random.default_rng([self.seed, k])
        return rng.uniform(0.5, 1, x.shape) * rng.choice([-1, 1], x.shape)

    def project(self, gradient):
        """Return a gradient as it is, or its projections on the directions."""
        if self.directions is None:
            return gradient
        return numpy.array([numpy.sum(gradient * self.direction(gradient, k)) for k in range(self.directions)])

    # ---- verdicts ----

    def confirm(self, candidate, probe, slopes):
        """Return the Comparison with numeric slopes; look again at entries that seem wrong."""
        seen = numpy.zeros(slopes.value.shape, dtype=bool)
        while True:
            comparison = self.judge(candidate, probe, slopes)
            excess = numpy.where(seen | slopes.kink, 0, comparison.excess())
            worst = numpy.argsort(excess, axis=None)[::-1][:AT_A_TIME]
            worst = [numpy.unravel_index(k, seen.shape) for k in worst if excess.flat[k] > 1]
            for index in worst:
                seen[index] = True
                self.look_closer(candidate, probe, slopes, index)
            comparison = self.judge(candidate, probe, slopes)
            still = [i for i in worst if comparison.wrong()[i] and not slopes.kink[i]]
            if not worst or (still and not self.only_here(candidate, probe, slopes, still)):
                return comparison
            for index in still:  # right everywhere around, at a kink that moving a single entry does not meet
                slopes.kink[index] = True
                slopes.least[index], slopes.most[index] = -numpy.inf, numpy.inf

    def look_closer(self, candidate, probe, slopes, index):
        """Look at an entry again; note a kink, or a larger error, in `slopes`."""
        if self.directions is None:
            again = probe.again(index)
        else:
            again = [probe.along(self.direction(probe.x, index[0]), 0.3731)]
        apart = 0.0
        for other in again:
            gap = abs(other.value - slopes.value[index])
            if not gap <= 10 * (slopes.error[index] + other.error) + 1e-12 * slopes.size[index]:
                apart = numpy.nanmax([apart, gap])
            if other.kink and not slopes.kink[index]:
                slopes.put(index, other)
        # Float64 code that stands still under small steps is a staircase, such as round, and 0 its slope.
        if other.size == 0 == candidate.values[index] and self.runner.is_float64():
            apart = max(apart, gap)
        slopes.error[index] = max(slopes.error[index], apart)

    def only_here(self, candidate, probe, slopes, indices):
        """Whether f has slopes here, but no gradient, and yours is right nearby at these entries.

        The median of three equal numbers moves with all three, but not with any one of them.
        A gradient g gives the slope along any direction v as <g, v>.
        """
        if self.directions is not None:
            return False
        v = self.direction(probe.x, 0)
        slope, terms = probe.along(v, 2.0**-14), slopes.value * v
        error = 10 * (slope.error + numpy.sum(slopes.error)) + 1e-9 * numpy.sum(numpy.abs(terms))
        if not slope.kink and abs(slope.value - numpy.sum(terms)) <= error:
            return False
        moved = [a if a.dtype.kind != "f" else a + 1e-3 * typical_scale(a) * self.direction(a, 1) for a in self.args]
        i = self.names.index(candidate.name)
        f = lambda x: self.runner.forward(*moved[:i], x, *moved[i + 1 :])
        nearby = Probe(f, moved[i], self.runner.forward(*moved), self.dy, self.noise)
        yours = candidate.entry(self.runner.backward(self.dy, *moved), i)
        for index in indices:
            slope = nearby.again(index)[0]
            if not abs(yours[index] - slope.value) <= 10 * slope.error + 1e-5 * slope.size:
                return False
        return True

    def judge(self, candidate, probe, slopes):
        """Return the Comparison of a candidate with numeric slopes."""
        typical = rms(slopes.size)
        natural = 1e-9 * self.terms / probe.scale  # below this, a slope is as good as zero
        with numpy.errstate(all="ignore"):
            size = numpy.maximum(numpy.maximum(abs(slopes.value), typical), natural)
            resolved = slopes.error <= 1e-3 * size
        floor = numpy.fmax(probe.floor(), slopes.rough)
        tolerance = 10 * slopes.error + candidate.tolerance(slopes, floor)
        values, kink = candidate.values, slopes.kink
        inside = (values >= slopes.least - tolerance) & (values <= slopes.most + tolerance)
        checked = resolved & ~kink
        if self.kinks == "fail":
            checked |= kink & ~inside
        numbers = slopes.value, slopes.error, checked, AGREE, tolerance, kink, kink & ~inside
        comparison = Comparison(candidate.name, values, *numbers)
        if candidate.misshapen is not None and self.directions is None:
            comparison.yours = candidate.misshapen
        unresolved = ~checked & ~kink
        many = unresolved.sum() >= max(checked.sum(), 1) or (kink & ~checked).all()
        if comparison.wrong().any():
            comparison.verdict = WRONG
        elif checked.size and (many or (unresolved & ~inside).any()):
            comparison.verdict = UNRESOLVED
        return comparison

    def note_kinks(self, comparison, slopes):
        """List the skipped entries; if asked to, find fault with entries outside their slopes."""
        for place in map(tuple, numpy.argwhere(comparison.skipped).tolist()):
            left, right = float(slopes.left[place]), float(slopes.right[place])
            self.skipped.append(Skipped(comparison.name, place, left, right))
        outside = numpy.argwhere(comparison.outside).tolist()
        if self.kinks == "report" and outside and comparison.yours.shape == slopes.value.shape:
            place = tuple(outside[0])
            yours = f"{comparison.name}{outside[0]} = {comparison.yours[place]:.6g}"
            sides = f"{slopes.left[place]:.6g} and {slopes.right[place]:.6g}"
            text = f"{yours} is not between the slopes at its kink, {sides}"
            self.findings.append(f"{text} ({len(outside)} such entries)")


class Candidate:
    """Your gradient of one argument, and what rounding may have done to it."""

    def __init__(self, exam, i, gradients, shaken, dtype):
        self.exam, self.name, self.dtype = exam, exam.names[i], dtype
        self.shape, self.misshapen = exam.args[i].shape, None
        gradient = self.entry(gradients, i)
        self.values = exam.project(gradient)
        moved = [numpy.abs(exam.project(self.entry(other, i) - gradient)) for other in shaken]
        self.wobble = numpy.nan_to_num(numpy.max(moved, axis=0), nan=0.0, posinf=0.0)
        self.own_size = numpy.nan_to_num(rms(gradient)) * gradient.size**0.5 if exam.directions else 0

    def entry(self, gradients, i):
        """Return a gradient in float64 and its argument's shape: None is 0, a wrong shape NaN."""
        gradient = gradients[i] if i < len(gradients) else None
        if gradient is None:
            return numpy.zeros(self.shape)
        if gradient.shape != self.shape or gradient.dtype.kind not in "fiub":
            self.misshapen = gradient
            return numpy.full(self.shape, numpy.nan)
        return gradient.astype(float)

    def tolerance(self, slopes, floor):
        """Return what rounding explains, by the terms' sizes and number and by shaken arguments."""
        size = numpy.maximum(slopes.size, self.own_size)
        typical_wobble = numpy.median(self.wobble) if self.wobble.size else 0.0  # a tie that flips is not typical
        drowned = floor * numpy.finfo(self.dtype).eps / numpy.finfo(float).eps
        if self.exam.runner.wide and self.dtype != numpy.float64:  # the float64 run was judged sharply: terms may
            drowned = numpy.minimum(drowned, 5e-4 * (size + rms(size)))  # cancel, as in 1 - y^2, but not all drowns
        return rounding(size, self.dtype, self.exam.length) + 8 * self.wobble + 4 * typical_wobble + 8 * drowned


def rms(x):
    """Return the root of the mean square of the finite numbers in an array."""
    x = x[numpy.isfinite(x)]
    return float(numpy.sqrt(numpy.mean(x * x))) if x.size else 0.0


def rounding(size, dtype, length):
    """Return how large the rounding errors of sums can be, for each entry of a gradient.

    size: for each entry, about the sum of its absolute terms; length: how many numbers are added.
    Errors of n additions grow with sqrt(n) (Higham 2002, section 2.8), and are alike in neighbours.
    """
    size = numpy.where(numpy.isfinite(size), size, 0.0)
    typical = numpy.sqrt(numpy.mean(size**2)) if size.size else 0.0
    return numpy.finfo(dtype).eps * (8 + 4 * numpy.sqrt(length)) * (size + typical)
