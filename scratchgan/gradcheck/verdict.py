"""From numeric slopes to verdicts: what is compared with what, and how far apart the two may be."""

from contextlib import suppress

import numpy

from scratchgan.gradcheck import constants as c
from scratchgan.gradcheck.advice import advise
from scratchgan.gradcheck.causes.search import diagnose
from scratchgan.gradcheck.derivative import Probe, Slope, analytic, rms, rounding_noise, table, typical_scale
from scratchgan.gradcheck.manners import Runner, require_real, watch
from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG, Comparison, Context
from scratchgan.gradcheck.report import Report


def examine(subject, only=None, seed=0, kinks="skip", directions=None):
    """Return the Report on a Subject; `check` has the same options."""
    names = subject.names
    unknown = set(only or ()) - set(names)
    if unknown:
        raise ValueError(f"only names {', '.join(sorted(unknown))}: the arguments are {', '.join(names)}")
    runner = Runner(subject)
    y = runner.start(runner.args)[0]
    require_real("what forward returns", y)
    # dy has a stream of its own: x is often drawn from default_rng(seed) too, and dy = x would hide much.
    rng = numpy.random.default_rng([seed, 0x6479])
    dy = rng.standard_normal(y.shape) if subject.upstream else numpy.ones(y.shape)
    dy = numpy.where(numpy.isfinite(y), dy, 0).astype(y.dtype if y.dtype.kind == "f" else float)
    yours, findings = watch(runner, dy, only)
    exam = Exam(runner, dy.astype(float), kinks, directions, seed)
    comparisons, notes = {}, list(subject.notes)
    for i in runner.floats:
        if only is None or names[i] in only:
            if i < len(yours) and yours[i] is None and not subject.none_is_zero:
                notes.append(f"not checked: {names[i]} (backward gives no gradient of it)")
            else:
                comparisons[names[i]] = exam.compare(i, yours)
    title = "gradcheck of second order" if subject.second_order else "gradcheck"
    report = Report(comparisons, [], exam.skipped, exam.findings + findings, title, seed, notes + exam.notes)
    wrong = {name: one for name, one in comparisons.items() if name not in exam.unread}
    if WRONG in [one.verdict for one in wrong.values()]:
        functions = runner.forward, runner.backward, wrong, subject.second_order, subject.upstream
        report.causes = diagnose(Context(exam.args, names, exam.dy, exam.y, *functions))
    return report


class Exam:
    """What the comparisons of all arguments share: the arguments in float64, y, dy, and y's rounding noise."""

    def __init__(self, runner, dy, kinks, directions, seed):
        self.runner, self.names, self.dy, self.kinks = runner, runner.names, dy, kinks
        self.directions, self.seed, self.failure = directions, seed, None
        self.skipped, self.findings, self.notes, self.unread = [], [], [], set()
        self.args = runner.widened()
        y = runner.start(runner.narrowed(self.args))[0]
        self.finite = numpy.isfinite(y)
        self.y = numpy.where(self.finite, y, 0).astype(float)
        # A forward that changes from call to call has no derivative; on a GPU it may change by a rounding.
        narrow = y.dtype if y.dtype.kind == "f" else numpy.dtype(float)
        self.noise, self.inside = rounding_noise(self.forward, self.args, self.y, narrow)
        self.noise += 3 * numpy.abs(self.forward(*self.args) - self.y)
        least = float(numpy.finfo(self.inside).smallest_subnormal)
        self.drowned = float(numpy.linalg.norm(dy * (self.epsilon(float) * numpy.abs(self.y) + least)))
        self.narrow = self.inside.itemsize < 8
        self.terms = float(numpy.sum(numpy.abs(dy * self.y)))
        changes = [float(numpy.sum(numpy.abs(dy * (self.forward(*self.moved(h)) - self.y)))) / h for h in c.MOVES]
        self.spread = next(filter(numpy.isfinite, changes), 0.0)  # of the terms, where all arguments move

    def forward(self, *args):
        """Return y, with NaN where the code fails, and 0 where y is not finite at the arguments themselves."""
        try:
            y = self.runner.forward(*args)
        except Exception as error:  # the code under test may raise anything beside a point
            self.failure = f"raises {type(error).__name__}"
            return numpy.full(self.y.shape, numpy.nan)
        if y.shape != self.y.shape:
            self.failure = f"returns shape {y.shape}, not {self.y.shape},"
            return numpy.full(self.y.shape, numpy.nan)
        y = numpy.where(self.finite, y, 0)
        if not numpy.isfinite(y).all():
            self.failure = "returns numbers that are not finite"
        return y

    def moved(self, size):
        """Return the arguments, each moved at random by so many times its typical scale."""
        return [a + size * typical_scale(a) * self.random(a, 1) if a.dtype.kind == "f" else a for a in self.args]

    def epsilon(self, dtype):
        """Return a rounding of a dtype, or of what the code computes in, if that is coarser."""
        return max(float(numpy.finfo(d).eps) for d in (dtype, self.inside, float))

    def shaken(self, args):
        """Return gradients with args and dy one rounding away."""
        gradients, rng = [], numpy.random.default_rng(3)
        shake = lambda a: a * (1 + c.SHAKE * self.epsilon(a.dtype) * rng.choice([-1, 1], a.shape))
        for _ in range(c.TRIALS):
            moved = [shake(a).astype(a.dtype) if a.dtype.kind == "f" else a for a in args]
            dy = shake(self.dy) if self.runner.subject.upstream else self.dy
            with suppress(Exception):  # the edge of forward's domain
                gradients.append(self.runner.backward(dy, *moved))
        return gradients

    def random(self, x, k):
        """Return random direction number k: elements of size 0.5 to 1 with random signs, 0 where x is not finite."""
        rng = numpy.random.default_rng([self.seed, k])
        return rng.uniform(0.5, 1, x.shape) * rng.choice([-1, 1], x.shape) * numpy.isfinite(x)

    def direction(self, x, index):
        """Return the direction in which the entry of a Comparison at this index is the slope."""
        if self.directions is not None:
            return self.random(x, index[0])
        v = numpy.zeros(x.shape)
        v[index] = 1
        return v

    def project(self, gradient, x):
        """Return a gradient as it is, or its projections on the directions."""
        if self.directions is None:
            return gradient
        gradient = numpy.where(numpy.isfinite(x), gradient, 0)
        return numpy.array([numpy.sum(gradient * self.random(x, k)) for k in range(self.directions)])

    def judged(self, x):
        """Return which entries of a Comparison can be judged at all: those of x that are finite, or all directions."""
        return numpy.isfinite(x) if self.directions is None else numpy.ones(self.directions, dtype=bool)

    def probe(self, i, args, y):
        """Return the Probe of argument i; y = forward(*args)."""
        return Probe(lambda x: self.forward(*args[:i], x, *args[i + 1 :]), args[i], y, self.dy, self.noise)

    def compare(self, i, yours):
        """Return the Comparison of the gradient of argument i; float32 code that runs in float64 too must pass both."""
        x, probe = self.args[i], self.probe(i, self.args, self.y)
        own = Candidate(self, i, yours, self.runner.args)
        if not (x.size and self.y.size):
            what = own.name if not x.size else "what forward returns"
            self.notes.append(f"{what} is empty: there is nothing to judge {own.name} by")
            none = numpy.zeros(own.values.shape)
            return Comparison(own.name, own.values, none, none, none > 0, UNRESOLVED, none, none > 0, none > 0)
        judged = self.judged(x)
        looks = [probe.look(self.direction(x, k)) if judged[k] else Slope() for k in numpy.ndindex(judged.shape)]
        slopes = table(looks, judged.shape)
        probe.sharpen(slopes)
        if self.runner.wide:
            wide = Candidate(self, i, self.runner.backward(self.dy, *self.args), self.args)
            comparison = self.confirm(wide, probe, slopes)
            own.backed = comparison.verdict == AGREE
        if not self.runner.wide or comparison.verdict != WRONG:
            comparison = self.confirm(own, probe, slopes)
            if self.runner.wide and comparison.verdict == WRONG:
                text = f"the gradient of {own.name} agrees in float64, but its error in {self.runner.dtype} is"
                self.findings.append(f"{text} {comparison.excess().max():.0f} times what rounding explains")
        advise(self, comparison, probe, slopes)
        return comparison

    def confirm(self, candidate, probe, slopes):
        """Return the Comparison with numeric slopes; look again at entries that seem wrong."""
        seen = numpy.zeros(slopes.shape, dtype=bool)
        while True:
            excess = numpy.where(seen | slopes.kink, 0, self.judge(candidate, probe, slopes).excess())
            worst = numpy.argsort(excess, axis=None)[::-1][: c.AT_A_TIME]
            worst = [numpy.unravel_index(k, seen.shape) for k in worst if excess.flat[k] > 1]
            for index in worst:
                seen[index] = True
                self.look_closer(candidate, probe, slopes, index)
            comparison = self.judge(candidate, probe, slopes)
            still = [i for i in worst if comparison.wrong()[i] and not slopes.kink[i]]
            if not worst or (still and not self.only_here(candidate, probe, slopes, still)):
                return comparison
            for index in still:  # right everywhere around, at a kink that moving a single entry does not meet
                slopes.kink[index], slopes.least[index], slopes.most[index] = True, -numpy.inf, numpy.inf

    def look_closer(self, candidate, probe, slopes, index):
        """Look at an entry again; note a kink, or a larger error, in `slopes`."""
        apart = 0.0
        for other in probe.again(self.direction(probe.x, index)):
            gap = abs(other.value - slopes.value[index])
            if not gap <= c.SAFE * (slopes.error[index] + other.error) + c.TERMS * slopes.terms[index]:
                apart = numpy.nanmax([apart, gap])
            if other.kink and not slopes.kink[index]:
                slopes[index] = tuple(other)
        # Float64 code that stands still under small steps is a staircase, such as round, and 0 its slope.
        if other.terms == 0 == candidate.values[index] and not self.narrow:
            apart = max(apart, gap)
        slopes.error[index] = max(slopes.error[index], apart)

    def only_here(self, candidate, probe, slopes, indices):
        """Whether f has slopes here, but no gradient, and yours is right nearby at these entries.

        The median of three equal numbers moves with all three, but not with any one of them.
        A gradient g gives the slope along any direction v as <g, v>.
        """
        if self.directions is not None:
            return False
        v, probed = self.random(probe.x, 0), numpy.isfinite(slopes.error)
        slope, terms = probe.slope(v, c.CLOSER, c.OTHER_ROWS), (slopes.value * v)[probed]
        error = c.SAFE * (slope.error + numpy.sum(slopes.error[probed])) + c.BEND * numpy.sum(numpy.abs(terms))
        if not slope.kink and abs(slope.value - numpy.sum(terms)) <= error:
            return False
        moved = self.moved(c.NEARBY)
        nearby = self.probe(candidate.i, moved, self.forward(*moved))
        with suppress(Exception):  # out of forward's domain
            yours = candidate.entry(self.runner.backward(self.dy, *moved))
            looks = [(yours[index], nearby.again(self.direction(probe.x, index))[0]) for index in indices]
            return all(abs(own - one.value) <= c.SAFE * one.error + c.THERE * one.terms for own, one in looks)
        return False

    def judge(self, candidate, probe, slopes):
        """Return the Comparison of a candidate with numeric slopes."""
        values, kink, size, terms = candidate.values, slopes.kink, abs(slopes.value), slopes.terms
        floor = numpy.fmax(2 * self.drowned / probe.scale, slopes.rough)
        tolerance = c.SAFE * slopes.error + candidate.tolerance(terms, floor)
        away, as_zero = abs(values - slopes.value), c.AS_ZERO * self.spread / probe.scale
        with numpy.errstate(all="ignore"):
            known = slopes.error <= c.KNOWN * numpy.maximum(size, max(rms(terms), as_zero))
            if self.narrow:  # noise alone makes the error, and it was measured
                known |= (slopes.error <= c.STANDS * slopes.rough) & (tolerance <= size)
            sharp = tolerance <= c.SHARP * numpy.maximum(size, c.SLIGHT * rms(size))
            sharp |= (away + c.SAFE * slopes.error <= c.SHARP * size) & (size > 0)  # close, whatever is tolerated
            still = terms == 0  # nothing moves
            sharp |= still & (values == 0)
            drowns = abs(values) * probe.scale <= c.HIDDEN * self.terms  # float32 inside may hide so much
            hidden = still & drowns & (not self.is_flat(probe))
            nought = numpy.maximum(size, abs(values)) <= numpy.minimum(tolerance, c.NOUGHT * as_zero / c.AS_ZERO)
            nought &= tolerance <= as_zero
            inside = (values >= slopes.least - tolerance) & (values <= slopes.most + tolerance)
            checked = known & (sharp | candidate.backed | ~(away <= tolerance)) & ~hidden | nought
        checked = checked & ~kink | (kink & ~inside if self.kinks == "fail" else False)
        comparison = Comparison(candidate.name, values, slopes.value, slopes.error, checked, AGREE, tolerance, kink)
        comparison.outside = kink & ~inside
        if candidate.misshapen is not None and self.directions is None:
            comparison.yours = candidate.misshapen
        open_ = comparison.unresolved() & self.judged(probe.x)
        many = open_.sum() >= max(checked.sum(), 1) or not checked.any()
        if comparison.wrong().any():
            comparison.verdict = WRONG
        elif checked.size and (many or (open_ & (~inside | (abs(values) > c.VITAL * rms(values)))).any()):
            comparison.verdict = UNRESOLVED
        return comparison

    def is_flat(self, probe):
        """Whether slopes that are all 0 are 0, not hidden by an offset: larger moves are seen, or a complex step."""
        if max(c.HIDDEN, c.COMPLEX * self.epsilon(float)) * self.terms <= c.SHARP * self.spread:
            return True
        slope = analytic(probe.f, probe.x, self.random(probe.x, 1))
        return slope is not None and not slope.any()

    def is_unread(self, probe):
        """Whether nothing changes where all of x moves by its typical scale, or very far."""
        moves = [move * probe.scale * self.random(probe.x, 1) for move in (1.0, -1.0, c.FAR, -c.FAR)]
        return all(numpy.array_equal(probe.f(probe.x + move), self.y) for move in moves) and self.is_flat(probe)


class Candidate:
    """Your gradient of one argument, and what rounding may have done to it.

    Backward is called again with args and dy one rounding away: each product and each sum is rounded anew.
    """

    def __init__(self, exam, i, gradients, args):
        self.exam, self.name, self.i, self.backed = exam, exam.names[i], i, False
        self.x, self.dtype, self.misshapen = exam.args[i], args[i].dtype, None
        gradient = self.entry(gradients)
        self.values = exam.project(gradient, self.x)
        narrow, fits = exam.runner.dtype, lambda kind: numpy.array_equal(gradient, gradient.astype(kind))
        with numpy.errstate(over="ignore"):
            buffered = fits(narrow) and (narrow == numpy.float16 or not fits(numpy.float16))
        self.buffer = narrow if buffered else self.dtype  # even in a float64 run, of float32 code
        with numpy.errstate(invalid="ignore"):
            away = [abs(exam.project(self.entry(g) - gradient, self.x)) for g in exam.shaken(args)]
            self.wobble = numpy.nan_to_num(numpy.max([0 * self.values, *away], axis=0), nan=0.0, posinf=0.0)

    def entry(self, gradients):
        """Return the gradient in float64 and its argument's shape: None is 0, a wrong shape NaN."""
        gradient = gradients[self.i] if self.i < len(gradients) else None
        if gradient is None:
            return numpy.zeros(self.x.shape)
        if gradient.shape != self.x.shape or gradient.dtype.kind not in "fiub":
            self.misshapen = gradient
            return numpy.full(self.x.shape, numpy.nan)
        return gradient.astype(float)

    def tolerance(self, terms, floor):
        """Return what rounding explains: a few roundings of the terms, what shaking did, and what drowns in y's own."""
        size, epsilon = numpy.nan_to_num(terms, nan=0.0, posinf=0.0), self.exam.epsilon
        size = size + rms(size)  # rounding errors are alike in neighbours
        drowned = c.DROWNED * floor * epsilon(self.dtype) / epsilon(float)  # the floor is that of what was measured
        least = float(numpy.finfo(self.buffer).smallest_subnormal)
        wobble = c.WOBBLE * self.wobble + c.TYPICAL_WOBBLE * numpy.median(self.wobble) if self.wobble.size else 0.0
        return c.SUM * (epsilon(self.buffer) * size + least) + wobble + drowned
