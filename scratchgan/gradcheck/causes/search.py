"""Why a gradient is wrong: rules, tried on what each output sends back and on the difference to the right gradient.

A rule guesses what your gradient would be if a certain thing had gone wrong, and compares. A cause is "exact" where
the numbers agree to rounding for other upstream gradients and other arguments, near by and shuffled ("W is ..."); else
it says "W: consistent with a gradient that is ...".
"""

import contextlib
import time

import numpy

from scratchgan.gradcheck.causes import depends, formulas, gradient, mistakes, outputs, pathways
from scratchgan.gradcheck.causes.constants import CAUSES, SECONDS, SUPPORT
from scratchgan.gradcheck.causes.evidence import Evidence, largest
from scratchgan.gradcheck.plain import WRONG, Cause

PROJECTED = (gradient.infinite, gradient.zero, gradient.scaled)  # hold for projections on directions as well
MISSHAPEN = (gradient.exchanged, gradient.shaped)
RULES = (  # from the surest to the vaguest
    *PROJECTED, gradient.exchanged, gradient.linear, gradient.branches, formulas.of_losses, gradient.rounded,
    mistakes.on_gradient, gradient.unmasked, outputs.of_outputs, mistakes.on_dy, formulas.shared_terms,
    formulas.few_values, pathways.statistics, pathways.ranks, mistakes.on_arguments, depends.ignored,
    pathways.products, pathways.switched_off, formulas.slopes, depends.superfluities, depends.integrable,
)  # fmt: skip


def diagnose(context):
    """Return the likely causes of a wrong gradient as a list of `Cause`, best first. Never raises."""
    wrong, by_argument = [name for name, c in context.comparisons.items() if c.verdict == WRONG], {}
    for name in wrong:
        try:
            by_argument[name] = findings(Evidence(context, name, time.monotonic() + SECONDS / len(wrong)))
        except Exception:  # the code under test, and its arrays, may be anything
            by_argument[name] = [("location", "is wrong", False, 0)]
    return ranked(by_argument)[:CAUSES]


def findings(e):
    """Return (kind, text, exact, place of the rule) of what rules say of one argument, until one is exact."""
    rules = PROJECTED if e.projected else RULES if e.same_shape else MISSHAPEN
    said, looks = [], None
    for order, rule in enumerate(rules):
        found = said_by(rule, e)
        if any(exact for _, _, exact in found) and rules is RULES:
            looks = look_again(e) if looks is None else looks
            found = confirm(found, [said_by(rule, look) for look in looks], e.right.size)
        said += [(*finding, order) for finding in found]
        if any(exact for _, _, exact in found) or (said and largest(e.yours) <= SUPPORT * e.scale):
            break  # zeros fit many guesses
    kinds = [kind for kind, *_ in said]
    first = [finding for i, finding in enumerate(said) if finding[0] not in kinds[:i]]
    where = [] if any(finding[2] for finding in first) else said_by(gradient.located, e)
    return [*sorted(first, key=lambda finding: not finding[2]), *((*finding, len(rules)) for finding in where)]


def look_again(e):
    """Return Evidence from near by, and from elsewhere where your gradient is wrong and finite there, too."""
    looks = []
    with contextlib.suppress(Exception), numpy.errstate(all="ignore"):  # whatever the code raises: no such look
        looks.append(e.again(shuffled=False))
        look = e.again(shuffled=True)
        looks += [look] if look.checked.sum() == e.checked.sum() and look.wrong.any() else []
    return looks


def confirm(found, looks, size):
    """Return findings of which those that claim to be exact are so at every other look, too; others are dropped.

    looks: the findings of other looks; without any, nothing is exact.
    """
    if not looks:
        return [(kind, text, False) for kind, text, _ in found]
    kept = [finding for finding in found if not finding[2] or all(finding in look for look in looks)]
    if not kept and size > 1 and "scale" in {kind for kind, _, _ in found} & {kind for kind, _, _ in looks[0]}:
        return [("scale", f"{found[0][1]}, and another number at other arguments", False)]
    return kept


def said_by(rule, e):
    """Return what a rule says, as a list; a rule that fails, or has no time, says nothing."""
    with contextlib.suppress(Exception), numpy.errstate(all="ignore"):  # code under test may do anything elsewhere
        return list(rule(e))
    return []


def ranked(by_argument):
    """Merge the findings of all arguments, the best of each and the surest first; equal findings are one cause."""
    merged = {}
    for rank in range(max(map(len, by_argument.values()), default=0)):
        for name, own in by_argument.items():
            if rank < len(own):
                *finding, order = own[rank]
                merged.setdefault(tuple(finding), []).append((rank, name, order))
    vague = lambda item: (item[0][0] == "location", item[1][0][0], not item[0][2], item[1][0][2])
    order = sorted(merged.items(), key=vague)
    causes = []
    for (kind, text, exact), places in order:
        names = ", ".join(name for _, name, _ in places)
        if not exact and kind != "location":
            text = f"consistent with a gradient that {text}"
        one_sentence = len(places) == 1 and (exact or kind == "location")
        causes.append(Cause(f"{names}{' ' if one_sentence else ': '}{text}", bool(exact), kind))
    return causes
