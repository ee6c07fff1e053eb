"""Why a gradient is wrong: rules, tried on what each output sends back and on the difference to the right gradient.

A rule guesses what your gradient would be if a certain thing had gone wrong, and compares. A cause is "exact" where
the numbers agree to rounding for two upstream gradients and two sets of arguments, independent of each other ("W is
..."); else it says "W: consistent with a gradient that is ...".
"""

import contextlib
import time

import numpy

from scratchgan.gradcheck.causes import depends, formulas, gradient, mistakes, outputs, pathways
from scratchgan.gradcheck.causes.constants import CAUSES, SECONDS
from scratchgan.gradcheck.causes.evidence import Evidence
from scratchgan.gradcheck.plain import WRONG, Cause

PROJECTED = (gradient.infinite, gradient.zero, gradient.scaled)  # hold for projections on directions as well
MISSHAPEN = (gradient.exchanged, gradient.shaped)
RULES = (  # from the surest to the vaguest
    *PROJECTED, gradient.exchanged, gradient.linear, gradient.branches, formulas.of_losses, gradient.clipped,
    mistakes.on_gradient, gradient.unmasked, outputs.of_outputs, mistakes.on_dy, formulas.shared_terms,
    formulas.few_values, pathways.statistics, pathways.ranks, pathways.through, mistakes.on_arguments,
    depends.ignored, pathways.products, depends.shares, pathways.switched_off, formulas.slopes,
    depends.superfluities, depends.integrable,
)  # fmt: skip


def diagnose(context):
    """Return the likely causes of a wrong gradient as a list of `Cause`, best first. Never raises."""
    wrong, by_argument = [name for name, c in context.comparisons.items() if c.verdict == WRONG], {}
    for name in wrong:
        try:
            by_argument[name] = findings(Evidence(context, name, time.monotonic() + SECONDS / len(wrong)))
        except Exception:  # the code under test, and its arrays, may be anything
            by_argument[name] = [("location", "is wrong", False)]
    return ranked(by_argument)[:CAUSES]


def findings(e):
    """Return (kind, text, exact) of every rule that has something to say of one argument, until one is exact."""
    rules = PROJECTED if e.projected else RULES if e.same_shape else MISSHAPEN
    said, second = [], None
    for rule in rules:
        found = said_by(rule, e)
        if any(exact for _, _, exact in found) and rules is RULES:
            second = second or look_again(e)
            found = confirm(found, said_by(rule, second) if second else None, e.right.size)
        said += found
        if any(exact for _, _, exact in found) or (said and not numpy.any(e.yours)):  # zeros fit many guesses
            break
    kinds = [kind for kind, _, _ in said]
    first = [finding for i, finding in enumerate(said) if finding[0] not in kinds[:i]]
    where = [] if any(exact for _, _, exact in first) else said_by(gradient.located, e)
    return [*sorted(first, key=lambda finding: not finding[2]), *where]


def look_again(e):
    """Return the second Evidence; None where your code cannot be called again."""
    with contextlib.suppress(Exception):  # whatever the code raises, it only means: no second look
        return e.again()


def confirm(found, second, size):
    """Return findings of which those that claim to be exact are so at a second look, too; others are dropped.

    second: the findings of the second look; None: there was none, and nothing is exact.
    """
    if second is None:
        return [(kind, text, False) for kind, text, _ in found]
    kept = [finding for finding in found if not finding[2] or finding in second]
    if not kept and size > 1 and "scale" in {kind for kind, _, _ in found} & {kind for kind, _, _ in second}:
        return [("scale", f"{found[0][1]}, and another number at other arguments", False)]
    return kept


def said_by(rule, e):
    """Return what a rule says, as a list; a rule that fails, or has no time, says nothing."""
    with contextlib.suppress(Exception), numpy.errstate(all="ignore"):  # code under test may do anything elsewhere
        return list(rule(e))
    return []


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
