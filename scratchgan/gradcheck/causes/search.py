"""Why a gradient is wrong: what it is by its numbers, where in the code it goes wrong, and what each output sends back.

A cause is exact where it holds for other upstream gradients and other arguments, near by and shuffled, too: the
gradient is the right one, changed in a certain way ("W has the wrong sign"), or a change of the code makes it right.
Else it says "W: consistent with a gradient that is ...".
"""

import contextlib

import numpy

from scratchgan.gradcheck.causes import gradient, repairs, structure
from scratchgan.gradcheck.causes.constants import CAUSES, EDITS, SECONDS, SUPPORT
from scratchgan.gradcheck.causes.evidence import Clock, Evidence, largest
from scratchgan.gradcheck.plain import WRONG, Cause


def diagnose(context):
    """Return the likely causes of a wrong gradient as a list of `Cause`, best first. Never raises."""
    wrong, clock, evidence = [n for n, c in context.comparisons.items() if c.verdict == WRONG], Clock(SECONDS), {}
    for name in wrong:
        with contextlib.suppress(Exception):  # the code under test, and its arrays, may be anything
            evidence[name] = Evidence(context, name, clock)
    plain = {name: findings(e, gradient.rules_for(e)) for name, e in evidence.items()}
    edits = repairs.edits_of(context, evidence, EDITS * SECONDS, clock)
    mended = {name for names, _ in edits for name in names}
    for name, e in evidence.items():
        if name not in mended and not any(exact for _, _, exact in plain[name]) and not e.projected:
            plain[name] += findings(e, structure.RULES) if e.same_shape else []
            plain[name] += said_by(gradient.located, e)
    plain |= {name: [("location", "is wrong", False)] for name in wrong if name not in evidence}
    said = ranked(plain)
    exact = [cause for cause in said if cause.exact]
    verbs = {True: "is", False: "are"}
    found = [Cause(f"{', '.join(names)} {verbs[len(names) == 1]} {text}", True, "edit") for names, text in edits]
    return [*exact, *found, *[cause for cause in said if not cause.exact]][:CAUSES]


def findings(e, rules):
    """Return (kind, text, exact) of what rules say of one argument, until one is exact."""
    said, looks = [], None
    for rule in rules:
        found = said_by(rule, e)
        if any(exact for _, _, exact in found) and e.same_shape and not e.projected:
            looks = look_again(e) if looks is None else looks
            found = confirm(found, [said_by(rule, look) for look in looks], e.right.size)
        said += [finding for finding in found if finding[0] not in [kind for kind, *_ in said]]
        if any(exact for _, _, exact in found) or (said and largest(e.yours) <= SUPPORT * e.scale):
            break  # zeros fit many guesses
    return sorted(said, key=lambda finding: not finding[2])


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
                merged.setdefault(own[rank], []).append((rank, name))
    order = sorted(merged.items(), key=lambda item: (item[0][0] == "location", item[1][0][0], not item[0][2]))
    causes = []
    for (kind, text, exact), places in order:
        names = ", ".join(name for _, name in places)
        if not exact and kind != "location":
            text = f"consistent with a gradient that {text}"
        one_sentence = len(places) == 1 and (exact or kind == "location")
        causes.append(Cause(f"{names}{' ' if one_sentence else ': '}{text}", bool(exact), kind))
    return causes
