"""Causes from formulas: an entry of a loss's gradient, or a share, as an expression of what stands beside it."""

import itertools

import numpy

from scratchgan.gradcheck.causes.constants import ALIKE, ENTRIES, FEW, RESIDUE, SLOPES
from scratchgan.gradcheck.causes.evidence import largest
from scratchgan.gradcheck.causes.outputs import named_factor
from scratchgan.gradcheck.causes.slopes import sigmoid, softmax


def entries(e):
    """Return what dy contributes to each entry of x of a loss, or of a loss per row; None for another forward."""
    if e.x.size < ENTRIES or not e.x.ndim or not numpy.all(e.dy) or not e.checked.all():
        return None
    if e.y.size == 1 or (e.y.shape == e.x.shape[: e.y.ndim] and e.y.ndim < e.x.ndim):
        dy = e.dy.reshape(-1) if e.y.size == 1 else e.dy.reshape(e.dy.shape + (1,) * (e.x.ndim - e.y.ndim))
        return numpy.broadcast_to(dy, e.x.shape)
    return None


def beside(e, dy):
    """Return {name: array} of what has a number for each entry of x, probabilities and targets among them."""
    x, name = e.x, e.name
    arrays = {name: x, f"softmax({name})": softmax(x), f"sigmoid({name})": sigmoid(x)}
    arrays |= {f"softmax(softmax({name}))": softmax(softmax(x)), f"sigmoid(sigmoid({name}))": sigmoid(sigmoid(x))}
    for other, a in e.named[:-1]:
        if a.dtype.kind in "iu" and a.shape == x.shape[:-1] and a.size and 0 <= a.min() and a.max() < x.shape[-1]:
            arrays[f"onehot({other})"] = numpy.eye(x.shape[-1])[a]
        elif a.shape == x.shape and a.dtype.kind == "f" and other != name:
            arrays |= {other: a, f"(1 - {other})": 1 - a, f"({name} - {other})": x - a, f"({name} {other})": x * a}
    for p, size in itertools.product((softmax(x), sigmoid(x)), (x.size, len(x), 1)):
        t = numpy.round(p - size * e.right / dy, 7)  # the targets of a cross-entropy of logits, no argument
        known = any(numpy.array_equal(t, a) for a in arrays.values())
        if numpy.all((t >= 0) & (t <= 1)) and numpy.ptp(t) and not known:
            arrays |= {"target": t, "(1 - target)": 1 - t}
            break
    return arrays | {"1": numpy.ones(x.shape)}


def of_losses(e):
    """An entry of a loss's gradient has a factor, or a term, too many, lacks one, or has another in its place."""
    dy = entries(e)
    if dy is None:
        return
    arrays, ratio = beside(e, dy), numpy.where(e.right == 0, numpy.nan, e.yours / e.right)
    for name, a in arrays.items():
        if name != "1" and (said := named_factor(ratio, name, a)):
            yield *said, True
            return
    singles = [((name,), a) for name, a in arrays.items()]
    swaps = [((s, t), a - b) for (s, a), (t, b) in itertools.permutations(arrays.items(), 2)]
    if best := best_fit(singles, e.residual / dy):
        yield *term(e, *best), True
    elif best := best_fit(swaps, e.residual / dy, positive=True):
        yield *swap(e, *best), True


def best_fit(guesses, target, positive=False):
    """Return (texts, constant) of the first guess that is the target but for a constant; None if none is."""
    target = target.reshape(-1)
    stack = numpy.array([v.reshape(-1) for _, v in guesses])  # (guesses, entries)
    constants = stack @ target / numpy.maximum((stack * stack).sum(1), numpy.finfo(float).tiny)
    distance = numpy.max(abs(constants[:, None] * stack - target), 1)
    fits = (distance <= ALIKE * largest(target)) & (constants > 0 if positive else constants != 0)
    at = int(numpy.argmax(fits))
    return (guesses[at][0], float(constants[at])) if numpy.any(target) and fits[at] else None


def term(e, texts, constant):
    """Return (kind, text) for a term that is missing, or should not be there."""
    kind = "branch" if texts == ("1",) or e.name in texts[0] else "argument-ignored"
    kind = "target-flipped" if texts[0].startswith("(1 - ") else "decay" if texts == (e.name,) else kind
    how, what = "small" if constant < 0 else "large", times(abs(constant), texts[0])
    return kind, f"is too {how} by dy times {what}: a term that is missing, there twice, or has the wrong constant"


def swap(e, texts, constant):
    """Return (kind, text) for an expression where another should stand."""
    kind = "derivative-wrong"
    for name in ("softmax", "sigmoid"):
        if texts[1] == f"{name}({e.name})":
            kind = f"{name}-missing" if texts[0] == e.name else f"{name}-twice" if name in texts[0] else kind
    mine, right = (times(constant, text) for text in texts)
    return kind, f"has a term {mine} where {right} should stand"


def times(constant, text):
    """Return an expression with its factor, where that is not 1."""
    return text if abs(constant - 1) < ALIKE else f"{constant:.6g} {text}"


def few_values(e):
    """What is left over, or yours as a multiple of the right one, has few distinct values: a constant is another."""
    dy = entries(e)
    for what, table in (("multiplied by", e.yours / e.right), ("off by", e.residual / dy)) if dy is not None else ():
        known = table[numpy.isfinite(table)]
        values, counts = numpy.unique(numpy.round(known / largest(known), 6), return_counts=True)
        if 1 < len(values) <= FEW:
            texts = [f"{v * largest(known) + 0.0:.6g} at {n} entries" for v, n in zip(values, counts, strict=True)]
            kind = "constant" if what == "off by" else "sign" if set(values) == {-1, 1} else "side"
            yield kind, f"is {what} {' and '.join(texts)}: a wrong constant, or a case that is missing", False
            return


def shared_terms(e):
    """What each output sends to a parameter is another array that has an entry for each output."""
    if not e.by_output() or not ENTRIES <= e.y.size >= e.x.size:
        return
    B, J = e.shares()
    at = abs(J) > RESIDUE * largest(J)
    if at.sum() > 4 * len(J) or numpy.any(abs(B[~at]) > RESIDUE * largest(B)):
        return
    arrays = [(name, a) for name, a in e.named if a.shape == e.y.shape and a.dtype.kind == "f"]
    arrays += [("1", numpy.ones(e.y.shape)), *((f"{name}^2", a * a) for name, a in arrays)]
    guesses = [(name, a.reshape(-1)[e.outputs()][numpy.nonzero(at)[0]]) for name, a in arrays]
    if best := best_fit(guesses, B[at]):
        own = "derivative-wrong" if best[0].removesuffix("^2") in (e.name, "y") else "not-normalised"
        kind = "argument-ignored" if best[0] == "1" else own
        yield kind, f"sends, from each output, dy times {times(best[1], best[0])}, which is not the derivative", True
    elif best := best_fit(guesses, (B - J)[at]):
        yield "branch", f"is off, for each output, by dy times {times(best[1], best[0])}", True


def slopes(e):
    """Another slope of a pointwise function: an expression, or both slopes at some entries."""
    if not e.pointwise() or not numpy.all(e.dy):
        return
    ratio = numpy.where(e.right == 0, numpy.nan, e.yours / e.right)
    for name, a in ((e.name, e.x), ("y", e.y)):
        if said := named_factor(ratio, name, a):
            yield *said, True
            return
    at = numpy.argsort(-numpy.abs(e.residual / e.dy), axis=None)
    at = at[numpy.linspace(0, max(numpy.count_nonzero(e.wrong) - 1, 0), SLOPES).astype(int)]
    pick = lambda a: ", ".join(f"{v:.4g}" for v in a.reshape(-1)[at])
    text = f"has another slope: at {e.name} = {pick(e.x)} it is {pick(e.yours / e.dy)}"
    yield "derivative-wrong", f"{text}, not {pick(e.right / e.dy)}", False
