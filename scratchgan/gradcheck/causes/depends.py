"""Causes from what a gradient depends on: how yours moves with each argument, and how the right one does."""

import numpy

from scratchgan.gradcheck.causes.constants import ALIKE, ASYMMETRIC, CALLS, SECOND, STEP, STEP_LEAST
from scratchgan.gradcheck.causes.evidence import largest
from scratchgan.gradcheck.causes.outputs import Block, superfluous
from scratchgan.gradcheck.causes.pathways import parallel


def moving(e):
    """Yield (i, name, how yours moves, how the right one does) for the arguments with which the two move apart.

    The two are derivatives by argument i, (its entries, entries of x), and exactly 0 where that is rounding.
    """
    for i, (name, a) in enumerate(e.named[:-1]):
        if a.dtype.kind != "f" or not 0 < 2 * a.size * len(e.sample()) <= CALLS:
            continue
        if ("motions", i) not in e.known:
            e.known["motions", i] = motions(e, i)
        yours, right = e.known["motions", i]
        size = max(largest(right), largest(yours))
        if numpy.any(abs(yours - right) > SECOND * size) and size > ALIKE * e.scale / largest(a):
            clean = [numpy.where(abs(M) > SECOND * size, M, 0) for M in (yours, right)]
            yield i, name, *clean


def motions(e, i):
    """Return the derivatives of your gradient and of the right one by argument i."""
    a, dy, yours, right = e.args[i], e.dy.reshape(-1), [], []
    h, at = STEP * max(STEP_LEAST, largest(a)), lambda changed: [*e.args[:i], changed, *e.args[i + 1 :]]
    for direction in numpy.eye(a.size).reshape(-1, *a.shape):
        yours.append(e.differences(lambda changed: e.sampled(e.call_backward(e.dy, at(changed))), a, direction))
        sides = [[e.derivative(at(a + s * direction), flat) @ dy for flat in e.sample()] for s in (h, -h)]
        right.append(numpy.subtract(*sides) / (2 * h))
    return numpy.array(yours), numpy.array(right)


def ignored(e):
    """Yours does not depend on an argument that the right gradient depends on, or depends on another."""
    for _, name, yours, right in moving(e):
        if not numpy.any(yours):
            yield "argument-ignored", f"does not depend on {name}, and the right one does", False
        elif not numpy.any(right):
            yield "extra-argument", f"depends on {name}, and the right one does not", False


def superfluities(e):
    """Yours follows an argument at entries where the right gradient does not."""
    for i, name, yours, right in moving(e):
        if numpy.any(yours) and numpy.any(right):
            own = name if i != e.index else f"{name} (moved)"
            block = Block(e, own, e.args[i].shape, numpy.arange(e.args[i].size), yours, right)
            for kind, _, _ in superfluous(block) if block.extra.any() else ():
                yield kind, f"follows {name} at entries that the right one does not follow it at", False


def integrable(e):
    """Whether yours is the gradient of any function: its derivative by x is then symmetric."""
    for i, name, H, right in moving(e):
        if i != e.index or len(H) != H.shape[1] or len(H) < 2:
            continue
        both = (H + H.T).reshape(-1)
        if numpy.max(abs(H - H.T)) > ASYMMETRIC * largest(H):
            if parallel(both, right.reshape(-1)):
                yield "uses", f"is, where {name} stands at two places, that of one of them alone", False
            text = "is not the gradient of any function: something in it that varies with"
            yield "detached", f"{text} {name} is taken for a constant, or a path is lost", False
        else:
            text = "is the gradient of another function: a term is missing, there twice, or has another constant"
            yield "branch", text, False
