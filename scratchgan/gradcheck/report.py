"""What a check says: the types that its parts hand to each other, and the report that a person reads."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy

AGREE, WRONG, UNRESOLVED = "AGREE", "WRONG", "UNRESOLVED"


@dataclass
class Worst:
    """The entry that is furthest from its numeric value; `error` is the numeric estimate's own."""

    argument: str
    index: tuple
    yours: float
    numeric: float
    error: float


@dataclass
class Cause:
    """What may be wrong. exact: the numbers match to rounding; else they are only consistent with it.

    kind: a short, stable word for the kind of bug, such as "scale", "sign" or "transposed".
    """

    text: str
    exact: bool
    kind: str


class Skipped(NamedTuple):
    """An entry that was not judged: a kink, or a jump (whose slopes have no limit), with its one-sided slopes."""

    argument: str
    index: tuple
    left: float
    right: float


@dataclass
class Comparison:
    """One argument's gradient: yours, the numeric one, and what is known of the difference, entry by entry.

    With `directions`, an entry is the gradient's projection on one random direction. `checked` says which entries
    could be judged, `tolerance` how large |yours - numeric| may be: the numeric estimate's error, and rounding. All
    arrays have one shape, but `yours` keeps a wrong one.
    """

    name: str
    yours: numpy.ndarray
    numeric: numpy.ndarray
    error: numpy.ndarray
    checked: numpy.ndarray
    verdict: str
    tolerance: numpy.ndarray | None = None
    skipped: numpy.ndarray | None = None  # bool: entries at a kink or jump; the other unchecked ones are unresolved
    outside: numpy.ndarray | None = None  # bool: those of them where yours is not between the slopes of the sides

    def excess(self):
        """Return |yours - numeric| / tolerance, with inf for a yours that is not finite; 0 where not checked."""
        if numpy.shape(self.yours) != self.checked.shape:  # a gradient of the wrong shape
            return numpy.where(self.checked, numpy.inf, 0.0)
        tolerance = self.error if self.tolerance is None else self.tolerance
        with numpy.errstate(all="ignore"):
            difference = numpy.abs(self.yours - self.numeric)
            ratio = numpy.where(difference == 0, 0, difference / numpy.maximum(tolerance, 1e-300))
        ratio = numpy.where(numpy.isfinite(self.yours), ratio, numpy.inf)
        return numpy.where(self.checked, ratio, 0.0)

    def wrong(self):
        """Return which entries are wrong, as an array of bool."""
        return self.excess() > 1


@dataclass
class Context:
    """What the rules that look for causes may see, besides a Comparison. All arrays are NumPy's."""

    args: tuple  # the inputs, in order
    names: tuple
    dy: numpy.ndarray  # the upstream gradient
    y: numpy.ndarray
    forward: Callable  # forward(*args) -> y, without side effects
    backward: Callable  # backward(dy, *args) -> tuple of gradients, as the code under test returns them
    comparisons: dict  # {name: Comparison}
    like: str | None = None  # "conv2d", "batch_norm", ... where the caller said so
    second_order: bool = False


@dataclass
class Report:
    """The outcome of a check: truth value `ok`; `print(report)` explains it in at most 15 lines."""

    comparisons: dict  # {argument: Comparison}
    causes: list[Cause] = field(default_factory=list)  # the likeliest first
    skipped: list[Skipped] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)  # wrong shape or dtype, inputs modified, stale, NaN, ...
    title: str = "gradcheck"
    seed: int | None = None

    @property
    def verdict(self):
        """{argument: AGREE, WRONG or UNRESOLVED}."""
        return {name: comparison.verdict for name, comparison in self.comparisons.items()}

    @property
    def ok(self):
        """Whether every argument agrees, and there are no findings."""
        return not self.findings and all(verdict == AGREE for verdict in self.verdict.values())

    @property
    def overall(self):
        """WRONG if any argument is, or if there is a finding; else UNRESOLVED if any is; else AGREE."""
        verdicts = set(self.verdict.values())
        if WRONG in verdicts or (self.findings and UNRESOLVED not in verdicts):
            return WRONG
        return UNRESOLVED if UNRESOLVED in verdicts or not verdicts else AGREE

    @property
    def worst(self):
        """The entry furthest off, in units of its tolerance, as a `Worst`; None if nothing could be compared."""
        found = [c for c in self.comparisons.values() if c.checked.any()]
        if not found:
            return None
        comparison = max(found, key=lambda c: c.excess().max())
        index = numpy.unravel_index(numpy.argmax(comparison.excess()), comparison.checked.shape)
        yours = comparison.yours if comparison.yours.shape == comparison.checked.shape else comparison.numeric * numpy.nan
        values = [float(a[index]) for a in (yours, comparison.numeric, comparison.error)]
        return Worst(comparison.name, tuple(int(i) for i in index), *values)

    def __bool__(self):
        return self.ok

    def __str__(self):
        from scratchgan.gradcheck.explain import explain

        return "\n".join(explain(self))

    def assert_ok(self):
        """Raise AssertionError with the explanation, unless `ok`."""
        __tracebackhide__ = True  # pytest then shows the explanation below the line of the test itself
        if not self.ok:
            raise AssertionError(f"\n{self}")

    def as_dict(self):
        """Return what `to_json` writes."""
        worst = self.worst
        return {
            "ok": self.ok,
            "overall": self.overall,
            "verdict": self.verdict,
            "worst": None if worst is None else {**vars(worst), "index": list(worst.index)},
            "causes": [vars(cause) for cause in self.causes],
            "skipped": [{**s._asdict(), "index": list(s.index)} for s in self.skipped],
            "findings": self.findings,
            "title": self.title,
            "seed": self.seed,
        }

    def to_json(self, **options):
        """Return the outcome as JSON text; numbers that are not finite become strings."""
        return json.dumps(finite(self.as_dict()), **options)


def finite(value):
    """Return a structure in which floats that JSON cannot hold are replaced by "nan", "inf" or "-inf"."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not numpy.isfinite(value) else value


# ---- what rounding explains ------------------------------------------------------------------------------


def rounding(size, dtype, length):
    """Return how large the rounding errors of sums can be, for each entry of a gradient.

    size: for each entry the sum of its absolute terms, or about that; length: how many numbers are summed up. Errors
    of n additions grow with sqrt(n) (Higham 2002, section 2.8); those of neighbours in an array are of a kind.
    """
    size = numpy.where(numpy.isfinite(size), size, 0.0)
    typical = numpy.sqrt(numpy.mean(size**2)) if size.size else 0.0
    return numpy.finfo(dtype).eps * (8 + 4 * numpy.sqrt(length)) * (size + typical)


def compare_arrays(names, yours, expected, context=None, length=None):
    """Return a Report on finished arrays: {name: yours} against {name: expected}.

    length: how many numbers were summed up for each, at most; if not given, the largest array's size.
    context: what the search for causes may look at.
    """
    comparisons, findings = {}, []
    length = length or max([numpy.size(expected[name]) for name in names], default=1)
    for name in names:
        reference = numpy.asarray(expected[name], dtype=float)
        given = yours.get(name)
        if given is None or numpy.shape(given) != reference.shape:
            shape = "missing" if given is None else f"of shape {numpy.shape(given)}"
            findings.append(f"{name} is {shape}, wanted {reference.shape}")
            given = numpy.full(reference.shape, numpy.nan)
        given = numpy.asarray(given)
        dtypes = [a.dtype for a in (given, numpy.asarray(expected[name])) if a.dtype.kind == "f"]
        coarsest = max(dtypes, key=lambda dtype: numpy.finfo(dtype).eps, default=numpy.dtype(float))
        tolerance = rounding(numpy.abs(reference), coarsest, length)
        checked = numpy.isfinite(reference)
        error = numpy.finfo(coarsest).eps * numpy.abs(reference)
        comparison = Comparison(name, given.astype(float), reference, error, checked, AGREE, tolerance)
        comparison.verdict = WRONG if comparison.wrong().any() else AGREE if checked.all() else UNRESOLVED
        comparisons[name] = comparison
    report = Report(comparisons, findings=findings, title="comparison")
    if context is not None and WRONG in report.verdict.values():
        from scratchgan.gradcheck.causes import diagnose

        context.comparisons = comparisons
        report.causes = diagnose(context)
    return report
