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
            ratio = numpy.abs(self.yours - self.numeric) / numpy.maximum(tolerance, 1e-300)
        return numpy.where(self.checked, numpy.where(numpy.isfinite(self.yours), ratio, numpy.inf), 0.0)

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


class Outcome:
    """What a Report on one call and a Sweep over many have in common; a subclass has `overall` and `as_dict`."""

    @property
    def ok(self):
        """Whether all agrees, and nothing else was found."""
        return self.overall == AGREE

    def __bool__(self):
        return self.ok

    def __repr__(self):
        return " ".join([f"<{self.overall}", *[cause.text for cause in self.causes[:1]], *self.findings[:1]]) + ">"

    def assert_ok(self):
        """Raise AssertionError with the explanation, unless `ok`."""
        __tracebackhide__ = True  # pytest then shows the explanation below the line of the test itself
        if not self.ok:
            raise AssertionError(f"\n{self}")

    def to_json(self, **options):
        """Return the outcome as JSON text; numbers that are not finite become strings."""
        return json.dumps(finite(self.as_dict()), **options)


@dataclass(repr=False)
class Report(Outcome):
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
    def overall(self):
        """WRONG if any argument is, or if there is a finding; else UNRESOLVED if any is; else AGREE."""
        verdicts = set(self.verdict.values())
        if WRONG in verdicts or self.findings:
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
        misshapen = comparison.yours.shape != comparison.checked.shape
        yours = comparison.numeric * numpy.nan if misshapen else comparison.yours
        values = [float(a[index]) for a in (yours, comparison.numeric, comparison.error)]
        return Worst(comparison.name, tuple(int(i) for i in index), *values)

    def __str__(self):
        from scratchgan.gradcheck.explain import explain

        return "\n".join(explain(self))

    def as_dict(self):
        """Return what `to_json` writes."""
        worst = self.worst
        return {
            "ok": self.ok, "overall": self.overall, "verdict": self.verdict, "title": self.title, "seed": self.seed,
            "worst": None if worst is None else vars(worst), "causes": [vars(cause) for cause in self.causes],
            "skipped": [s._asdict() for s in self.skipped], "findings": self.findings,
        }  # fmt: skip


@dataclass(repr=False)
class Sweep(Outcome):
    """The outcome of many cases, against the right arrays. reports: {CASE/DTYPE: Report}, on y, dx, dW, ..."""

    of: str
    reports: dict
    about: dict  # {case: what it is about}
    notes: list
    missing: list  # keys that the results lack

    @property
    def overall(self):
        """WRONG if any array is; else UNRESOLVED if one is missing; else AGREE."""
        verdicts = set(self.verdict.values())
        if WRONG in verdicts:
            return WRONG
        return UNRESOLVED if UNRESOLVED in verdicts or self.missing or not verdicts else AGREE

    @property
    def verdict(self):
        """{CASE/DTYPE: AGREE, WRONG or UNRESOLVED}."""
        return {key: report.overall for key, report in self.reports.items()}

    @property
    def causes(self):
        """The causes of all cases, the likeliest of the simplest case first."""
        return [cause for report in self.reports.values() for cause in report.causes]

    @property
    def findings(self):
        """The findings of all cases, each once."""
        return list(dict.fromkeys(text for report in self.reports.values() for text in report.findings))

    def wrong(self):
        """Return {name: [CASE/DTYPE, ...]}: where each array is wrong."""
        found = {}
        for key, report in self.reports.items():
            for name, verdict in report.verdict.items():
                found.setdefault(name, []).extend([key] if verdict == WRONG else [])
        return found

    def __str__(self):
        from scratchgan.gradcheck.explain import explain_sweep

        return "\n".join(explain_sweep(self))

    def as_dict(self):
        """Return what `to_json` writes."""
        return {
            "ok": self.ok, "overall": self.overall, "of": self.of, "notes": self.notes, "missing": self.missing,
            "verdict": {name: WRONG if keys else AGREE for name, keys in self.wrong().items()},
            "causes": [vars(cause) for cause in self.causes], "findings": self.findings,
            "cases": {key: report.as_dict() for key, report in self.reports.items()},
        }  # fmt: skip


def finite(value):
    """Return a structure in which floats that JSON cannot hold are replaced by "nan", "inf" or "-inf"."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    value = value.item() if isinstance(value, numpy.generic) else value
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
