"""What would let a gradient be judged that could not be, in words."""

import numpy

from scratchgan.gradcheck import constants as c
from scratchgan.gradcheck.plain import AGREE, WRONG, Skipped


def advise(exam, comparison, probe, slopes):
    """Add to the notes and findings of an Exam what is to be known about a Comparison."""
    name, blank = comparison.name, int(numpy.sum(~numpy.isfinite(probe.x)))
    if not slopes.terms.any() and exam.is_unread(probe):
        exam.unread.add(name)
        if comparison.verdict == WRONG:
            exam.findings.insert(0, f"forward does not depend on {name}, and the gradient of {name} is not 0")
        elif not numpy.any(comparison.yours):
            comparison.checked[...], comparison.verdict = True, AGREE
            exam.notes += [] if exam.runner.subject.second_order else [f"forward does not depend on {name}"]
    if blank:
        exam.notes.append(f"{name}: {blank} of {probe.x.size} entries are not finite, and are not judged")
    if exam.directions is None:
        exam.notes += triangle(name, probe.x, slopes.terms)
    unresolved = comparison.unresolved() & exam.judged(probe.x)
    if unresolved.any():
        index = tuple(int(i) for i in numpy.argwhere(unresolved)[0])
        place = f"{name}{list(index) if index and exam.directions is None else ''}"
        exam.notes.append(f"{place}: {reason(exam, comparison, probe, slopes, index)}")
    elif comparison.skipped.any() and not comparison.checked.any():
        exam.notes.append(f"{name}: every entry is at a kink or a jump; other numbers can be judged")
    note_kinks(exam, comparison, slopes)


def note_kinks(exam, comparison, slopes):
    """List the skipped entries; if asked to, find fault with entries outside their slopes."""
    name, sides = comparison.name, numpy.stack([slopes.left, slopes.right], -1)
    places = [tuple(place) for place in numpy.argwhere(comparison.skipped).tolist()]
    exam.skipped += [Skipped(name, place, *map(float, sides[place])) for place in places]
    outside = numpy.argwhere(comparison.outside).tolist()
    if exam.kinks == "report" and outside and comparison.yours.shape == slopes.shape:
        place = tuple(outside[0])
        yours, (left, right) = f"{name}{outside[0]} = {comparison.yours[place]:.6g}", sides[place]
        text = f"{yours} is not between the slopes at its kink, {left:.6g} and {right:.6g}"
        exam.findings.append(f"{text} ({len(outside)} such entries)")


def reason(exam, comparison, probe, slopes, index):
    """Return why an entry is not resolved, and what to do."""
    exam.failure, v = None, exam.direction(probe.x, index)
    for h in (probe.step, probe.step * c.CLOSER, probe.reach(v) * probe.scale):
        probe.f(probe.x + h * v), probe.f(probe.x - h * v)
    if exam.failure:
        return f"forward {exam.failure} beside this point"
    yours = comparison.yours[index] if comparison.yours.shape == slopes.shape else 0.0
    moves = max(abs(slopes.value[index]), abs(yours)) * probe.scale
    drowns = not exam.narrow and exam.terms * exam.epsilon(float) * c.OFFSET > moves > 0
    if exam.terms > c.OFFSET * exam.spread or drowns:
        return f"the output is {exam.terms:.0e} while this gradient moves it by {moves:.0e}: subtract the offset"
    if exam.narrow:
        return f"forward computes in {exam.inside}, too roughly for this gradient: give the code float64"
    return "forward bends, jumps or is rough so close to this point that no slope is steady: try other numbers"


def triangle(name, x, size):
    """Return a note where x is symmetric, and only one of its triangles has slopes."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or not numpy.array_equal(x, numpy.swapaxes(x, -1, -2)):
        return []
    read = {"lower": numpy.tril(size, -1).any(), "upper": numpy.triu(size, 1).any()}
    if read["lower"] == read["upper"]:
        return []
    side = "lower" if read["lower"] else "upper"
    return [f"forward reads only the {side} triangle of {name}: a symmetrised gradient differs"]
