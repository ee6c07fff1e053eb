"""Why a gradient is wrong: rules, and a bank of known bugs, tried on the difference to the right one.

A rule guesses what your gradient would be if a certain thing had gone wrong, and compares. A finding is "exact" where
the numbers agree to within the numeric error ("W is ..."); else it says "W: consistent with a gradient that is ...".
"""

import contextlib
import time

import numpy

from scratchgan.gradcheck.causes import rules_call, rules_factor, rules_gradient, rules_residual
from scratchgan.gradcheck.causes.evidence import Evidence, OutOfTime
from scratchgan.gradcheck.causes.mutants import explained, mutants
from scratchgan.gradcheck.plain import WRONG, Cause

SECONDS = 5.0  # for all rules together
MOST = 6  # causes that are returned

PROJECTED = (rules_gradient.infinite, rules_gradient.zero, rules_gradient.scaled)  # hold for projections as well
MISSHAPEN = (rules_gradient.exchanged, rules_gradient.shaped)
RULES = (
    *PROJECTED, rules_gradient.exchanged, rules_gradient.rearranged, rules_gradient.summed,
    rules_factor.passed_on, rules_gradient.clipped, rules_call.upstream, rules_factor.hidden,
    rules_residual.second_order, rules_call.linear, rules_call.arguments, rules_factor.slopes,
    rules_factor.factors, rules_factor.terms, rules_call.cross_terms, rules_call.overwritten, rules_residual.statistics,
    rules_residual.another, rules_residual.singular, rules_residual.softmax_sum,
    rules_gradient.scaled_per_axis, rules_factor.two_sided, rules_residual.confined,
    rules_call.inactive, rules_call.shrunk,
)  # fmt: skip


def diagnose(context, bank=True):
    """Return the likely causes of a wrong gradient as a list of `Cause`, best first. Never raises.

    With bank=False the known bugs of `mutants.py` are not asked.
    """
    deadline = time.monotonic() + SECONDS
    known, by_argument = [], {}
    with contextlib.suppress(Exception):  # the arguments may be anything
        known = mutants(context) if bank else []
    for name, comparison in context.comparisons.items():
        if comparison.verdict == WRONG:
            try:
                by_argument[name] = findings(Evidence(context, name, deadline), known)
            except Exception:  # the code under test, and its arrays, may be anything
                by_argument[name] = [("location", "is wrong", False)]
    return ranked(by_argument)[:MOST]


def findings(e, known):
    """Return (kind, text, exact) of every rule that has something to say of one argument."""
    rules = PROJECTED if e.projected else (lambda e: explained(e, known), *RULES) if e.same_shape else MISSHAPEN
    explanations = []
    with numpy.errstate(all="ignore"):
        for rule in (*rules, rules_residual.located):
            if rule is not rules_residual.located and not numpy.any(e.yours) and explanations:
                continue  # a gradient of zeros fits many guesses
            try:
                explanations += list(rule(e))
            except OutOfTime:
                continue
            except Exception:  # as above: a rule that fails has nothing to say
                continue
    kinds = [kind for kind, _, _ in explanations]
    one_factor = any(kind in ("sign", "scale") and exact for kind, _, exact in explanations)
    implied = ("scale-per-axis", "side") if one_factor else ()
    first = [f for i, f in enumerate(explanations) if f[0] not in kinds[:i] and f[0] not in implied]
    return sorted(first, key=lambda finding: (finding[0] == "location", not finding[2]))


def ranked(by_argument):
    """Merge the findings of all arguments, the best of each first; equal findings are one cause."""
    merged = {}
    for rank in range(max(map(len, by_argument.values()), default=0)):
        for name, own in by_argument.items():
            if rank < len(own):
                kind, text, exact = own[rank]
                merged.setdefault((kind, text, exact), []).append((rank, name))
    order = sorted(merged.items(), key=lambda item: (item[0][0] == "location", item[1][0][0], not item[0][2]))
    causes = []
    for (kind, text, exact), places in order:
        names = ", ".join(name for _, name in places)
        if not exact and kind != "location":
            text = f"consistent with a gradient that {text}"
        one_sentence = len(places) == 1 and (exact or kind == "location")
        causes.append(Cause(f"{names}{' ' if one_sentence else ': '}{text}", bool(exact), kind))
    return causes
