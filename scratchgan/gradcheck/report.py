"""Report and Sweep: the outcome of one check and of many, as objects for programs and as text for people."""

import json
from dataclasses import dataclass, field

import numpy

from scratchgan.gradcheck.explain import explain
from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG, Cause, Skipped, Worst

NOT = "not checked: "  # so begin the notes on what was not


class Outcome:
    """What a Report on one call and a Sweep over many have in common."""

    missing = ()  # what should have been there to be judged

    @property
    def overall(self):
        """WRONG if any verdict is, or if there is a finding; else UNRESOLVED if any is, or something is missing."""
        verdicts = set(self.verdict.values())
        if WRONG in verdicts or self.findings:
            return WRONG
        return UNRESOLVED if UNRESOLVED in verdicts or self.missing or not verdicts else AGREE

    @property
    def ok(self):
        """Whether `overall` is AGREE."""
        return self.overall == AGREE

    def __bool__(self):
        return self.ok

    def __str__(self):
        return "\n".join(explain(self))

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

    def as_dict(self):
        """Return what `to_json` writes."""
        both = {"ok": self.ok, "overall": self.overall, "findings": self.findings, "notes": self.notes}
        return {**both, "causes": [vars(cause) for cause in self.causes], **self.details()}


@dataclass(repr=False)
class Report(Outcome):
    """The outcome of a check: truth value `ok`; `print(report)` explains it in at most 15 lines."""

    comparisons: dict  # {argument: Comparison}
    causes: list[Cause] = field(default_factory=list)  # the likeliest first
    skipped: list[Skipped] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)  # wrong shape or dtype, inputs modified, stale, NaN, ...
    title: str = "gradcheck"
    seed: int | None = None
    notes: list[str] = field(default_factory=list)  # what was not found or not checked

    @property
    def verdict(self):
        """{argument: AGREE, WRONG or UNRESOLVED}."""
        return {name: comparison.verdict for name, comparison in self.comparisons.items()}

    @property
    def unchecked(self):
        """The names of what is a float and was not checked, as the notes say."""
        lists = [note.removeprefix(NOT).split(" (")[0] for note in self.notes if note.startswith(NOT)]
        return [name for names in lists for name in names.split(", ")]

    @property
    def worst(self):
        """The entry furthest off, in units of its tolerance, as a `Worst`; None if nothing could be compared."""
        compared = [c for c in self.comparisons.values() if c.checked.any()]
        if not compared:
            return None
        comparison = max(compared, key=lambda c: c.excess().max())
        index = numpy.unravel_index(numpy.argmax(comparison.excess()), comparison.checked.shape)
        yours = comparison.yours if comparison.yours.shape == comparison.checked.shape else numpy.nan * comparison.error
        values = [float(a[index]) for a in (yours, comparison.numeric, comparison.error)]
        return Worst(comparison.name, tuple(int(i) for i in index), *values)

    def details(self):
        worst = self.worst
        return {
            "verdict": self.verdict, "title": self.title, "seed": self.seed,
            "worst": None if worst is None else vars(worst), "skipped": [s._asdict() for s in self.skipped],
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
        names = dict.fromkeys(name for report in self.reports.values() for name in report.verdict)
        return {n: [key for key, r in self.reports.items() if r.verdict.get(n) == WRONG] for n in names}

    def details(self):
        return {
            "of": self.of, "missing": self.missing,
            "verdict": {name: WRONG if keys else AGREE for name, keys in self.wrong().items()},
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
