"""Causes from the structure of two matrices: what each output sends back by your backward, and what it should.

A backward is linear in dy. Called with a dy of 1 at one output, it gives this output's share of the gradient, which
should be the output's row of the Jacobian. Where the two differ, and by what, says what happened to any layer: a factor
for each output or entry, shares that are lost or go where nothing should, a path through a mean or a norm left over.
"""

import itertools
import math

import numpy

from scratchgan.gradcheck.causes.constants import (
    ALIKE,
    ASYMMETRIC,
    CALLS,
    CHANCE,
    CLOSE,
    DIGITS,
    DISTINCT,
    GROUP,
    RESIDUE,
    STEP,
    STEP_LEAST,
    SUPPORT,
)  # fmt: skip
from scratchgan.gradcheck.causes.evidence import largest
from scratchgan.gradcheck.causes.gradient import indices

RELATIONS = {  # between the indices of two axes
    "equals": numpy.equal, "is not": numpy.not_equal, "is below": numpy.less, "is above": numpy.greater,
    "is at most": numpy.less_equal, "is at least": numpy.greater_equal,
}  # fmt: skip


class Block:
    """Two matrices, your B and the right J, and where their rows stand in y, and their columns in x.

    axes: (array, axis, the places of rows or columns along it, its length) of all axes that are longer than 1.
    """

    def __init__(self, e):
        self.e, (self.B, self.J) = e, e.shares()
        self.supported = abs(self.J) > SUPPORT * largest(self.J)
        self.sent = abs(self.B) > ALIKE * max(largest(self.J), largest(self.B))
        self.extra, self.lost = self.sent & ~self.supported, self.supported & ~self.sent
        self.ratio = numpy.where(self.supported, self.B / self.J, numpy.nan)
        y_at, x_at = numpy.unravel_index(e.outputs(), e.y.shape), numpy.unravel_index(e.sample(), e.x.shape)
        axes = [("y", a, at[:, None], n) for a, (at, n) in enumerate(zip(y_at, e.y.shape, strict=True))]
        axes += [(e.name, a, at[None], n) for a, (at, n) in enumerate(zip(x_at, e.x.shape, strict=True))]
        self.axes = [axis for axis in axes if axis[3] > 1]

    def tables(self, values, where, chance=0.0):
        """Yield (axes, table) for sets of axes on which alone values depend; NaN where there are none.

        chance: so many values, at least, for each entry of a table.
        """
        whole = [[axis for axis in self.axes if axis[0] == of] for of in {axis[0]: 1 for axis in self.axes}]
        few = [list(c) for count in (1, 2, 3) for c in itertools.combinations(self.axes, count)]
        for axes in few + [axes for axes in whole if len(axes) > 3]:
            sizes = [size for _, _, _, size in axes]
            flat = numpy.ravel_multi_index(numpy.broadcast_arrays(*[at for _, _, at, _ in axes]), sizes)
            flat = numpy.broadcast_to(flat, values.shape)[where]
            low, high = numpy.full(math.prod(sizes), numpy.inf), numpy.full(math.prod(sizes), -numpy.inf)
            numpy.minimum.at(low, flat, values[where])
            numpy.maximum.at(high, flat, values[where])
            known = numpy.isfinite(low)
            same = numpy.all(high - low <= ALIKE * (1 + abs(high)), where=known)
            if same and known.sum() * chance <= len(flat):
                yield axes, numpy.where(known, (low + high) / 2, numpy.nan).reshape(sizes)


def of_outputs(e):
    """Your shares are the right ones times a factor with a pattern, or go where nothing should go."""
    if not e.by_output():
        return
    block = Block(e)
    off, J = block.B - block.J, block.J
    square = e.x.shape == e.y.shape and len(J) == J.shape[1]
    if square and numpy.all(abs(block.B - J.T) <= RESIDUE * largest(off)):
        yield "transposed", "is J dy instead of J^T dy: the Jacobian is not transposed (an order not undone)", True
    elif block.extra.any():
        yield superfluous(block)
    elif block.supported.any():
        if e.in_full() and numpy.all(abs(off.sum(1)) <= ALIKE * abs(J.sum(1))):
            text = "sends from each output the right amount, to wrong entries of those it depends on"
            yield "wrong-place", text, False
        yield from factors(block)


# ---- factors ---------------------------------------------------------------------------------------------


def factors(block):
    """Yield a finding on the factor between your shares and the right ones."""
    described = []
    for axes, table in block.tables(block.ratio, block.supported):
        known = table[numpy.isfinite(table)]
        if numpy.ptp(known) <= ALIKE * largest(known):
            return  # a constant, which another rule has found
        for name, a in block.e.named:
            if a.dtype.kind == "f" and tuple(n for n in a.shape if n > 1) == table.shape:
                for text, guess in ((f"lacks its factor {name}", 1 / a), (f"has a factor {name} too many", a)):
                    if is_multiple(table, guess.reshape(table.shape)):
                        yield "factor" if name == "y" else "argument-ignored", text, True
                        return
        if known.size * CHANCE <= block.supported.sum() and (said := describe(axes, table)):
            described.append((*said, False))
    apart = [said for said in described if said[0] in ("cross-terms", "diagonal")]
    yield from apart[:1] or list(overwritten(block)) or described[:1]


def is_multiple(table, guess):
    """Whether a table of factors is a guess, which is no constant."""
    known = numpy.isfinite(table)
    guess, values = guess[known], table[known]
    if not numpy.all(numpy.isfinite(guess)) or len(guess) < GROUP or numpy.ptp(guess) <= ALIKE * largest(guess):
        return False
    return bool(numpy.all(abs(values - guess) <= ALIKE * largest(values)))


def overwritten(block):
    """Yield a finding where, of the outputs that depend on an entry, only one along some axes counts."""
    along_y = [axis for axis in block.axes if axis[0] == "y"]
    for axes in itertools.chain(*(itertools.combinations(along_y, count) for count in (1, 2, 3))):
        order = sum(at * math.prod(n for *_, n in axes[i + 1 :]) for i, (_, _, at, _) in enumerate(axes))
        for word, sign in (("last", 1), ("first", -1)):
            best = numpy.max(numpy.where(block.supported, sign * order, -numpy.inf), 0)
            kept = (sign * order == best) & block.supported
            if numpy.allclose(block.ratio[block.supported], kept[block.supported], atol=ALIKE):
                where = " and ".join(str(a) for _, a, _, _ in axes)
                if len(numpy.unique(order[kept.any(1)])) == 1:
                    yield "first-sample", f"uses the {word} along axis {where} of dy only", False
                else:
                    text = f"keeps, of all outputs along axis {where} of y that an entry goes to, the {word} only"
                    yield "overwritten", f"{text}: overwritten, not added (= for +=, or use numpy.add.at)", False
                return


def describe(axes, table):
    """Return (kind, text) on a factor that depends on the places of outputs and entries; None if it has no pattern."""
    known = numpy.isfinite(table)
    found = numpy.unique(numpy.round(table[known], DIGITS)) + 0.0
    if len(found) > DISTINCT:
        values = ", ".join(f"{value:.4g}" for value in table.reshape(-1)[:8])
        text = f"is multiplied by a factor of its own for each index of axis {axes[0][1]} of {axes[0][0]}"
        text += f": {values}, ..."
        return ("scale-per-axis", text) if len(axes) == 1 else None
    places = {v: place(axes, known & (abs(table - v) < 10.0 ** (1 - DIGITS)), known) for v in found if v != 1}
    text = f"is {', '.join(f'{v:.6g} times the right one{where}' for v, (_, where) in places.items())}"
    if 0 not in found:
        return "scale-per-axis", text
    if len(axes) == 1:
        return "index" if axes[0][0] != "y" else "stride-tail" if axes[0][1] else "sample-dropped", text
    if {0.5, 2.0} & set(found):
        return "uses", text
    if "is not" in {relation for relation, _ in places.values()}:
        return "diagonal" if min(a for _, a, _, _ in axes) else "cross-terms", text
    return "branch", text


def place(axes, region, known):
    """Return (a relation, words) for a region of a table: indices along one axis, or how indices of two compare."""
    at = numpy.flatnonzero(region)
    if len(axes) == 1:
        return "", f" at {indices(at)} of axis {axes[0][1]} of {axes[0][0]}"
    grid, names = numpy.indices(region.shape), [f"the index of axis {a} of {of}" for of, a, _, _ in axes]
    for (i, j), (word, relation) in itertools.product(itertools.combinations(range(len(axes)), 2), RELATIONS.items()):
        if numpy.array_equal(relation(grid[i], grid[j]) & known, region):
            return word, f" where {names[i]} {word} {names[j]}"
    return "", f" at {len(at)} of {int(known.sum())} pairs of output and entry"


def superfluous(block):
    """Return a finding on shares of outputs that do not depend on the entries."""
    extra, relation, where = block.extra, "", ""
    everywhere = numpy.array_equal(extra, ~block.supported)
    region, among = (~block.supported, extra | True) if everywhere else (extra, ~block.supported)
    for axes, table in block.tables(region.astype(float), among, CHANCE):
        relation, where = place(axes, table > 0.5, numpy.isfinite(table))
        break
    what = f"reaches entries that an output does not depend on{where}"
    if relation in ("is not", "equals"):
        return "wrong-axes", f"{what}: summed over a wrong axis", False
    if block.lost.any():
        count = f"({int(extra.sum())} pairs too many, {int(block.lost.sum())} missing)"
        return "wrong-place", f"{what}, and misses some that it does depend on {count}", False
    return "mask-missing", f"{what}: a mask, or an index, is missing, or a sum is broadcast back", False


# ---- what is left over -----------------------------------------------------------------------------------


def statistics(e):
    """A path through a mean, a variance, a norm or a sum is missing: what is left over follows its derivative."""
    if not e.checked.all() or not e.right.ndim:
        return
    rows = e.residual[None]
    if e.in_full():
        rows = e.shares()[0] - e.shares()[1]
        rows = rows[numpy.max(abs(rows), 1) > ALIKE * largest(rows)]
    for shape in groupings(e.right.shape):
        for count in range(len(shape), 0, -1):  # the largest sets of axes first, which leave the fewest multiples
            for axes in itertools.combinations(range(len(shape)), count):
                enough = numpy.prod([shape[a] for a in axes]) >= GROUP
                if enough and (e.y.ndim or count < len(shape)):  # a loss has terms that are constants
                    if found := list(paths(e, rows.reshape(-1, *shape), shape, axes)):
                        yield from ((kind, text, False) for kind, text in found)
                        return


def groupings(shape):
    """Yield the shape, and shapes with the channels, last or second, split into groups."""
    yield shape
    for axis in {len(shape) - 1, 1} if len(shape) > 1 else ():
        for size in range(2, shape[axis]):
            if shape[axis] % size == 0:
                yield (*shape[:axis], shape[axis] // size, size, *shape[axis + 1 :])


def paths(e, rows, shape, axes):
    """Yield (kind, text) for statistics over some axes of x in a shape: the bases that the rows may follow."""
    x, along = e.x.reshape(1, *shape), tuple(a + 1 for a in axes)
    centred, ones = x - x.mean(along, keepdims=True), numpy.ones((1, *shape))
    over = f"over axes {', '.join(map(str, axes))}" + (f" of {shape}" if shape != e.right.shape else "")
    bases = [
        ("mean-path", f"lacks the mean path, or has it wrong: the mean {over} depends on it", ones),
        ("variance-path", f"lacks the variance path, or has it wrong, {over}", centred),
        ("norm-path", f"is off by a multiple of {e.name} {over}: path through its norm, or a decay", x),
    ]
    if e.y.shape == e.right.shape:
        text = f"is off by a multiple of y {over}: the path through a sum, as in softmax"
        bases.append(("sum-path", text, e.y.reshape(1, *shape)))
    follows = lambda fit: numpy.all(abs(fit - rows) <= CLOSE * largest(rows))
    yield from ((kind, text) for kind, text, basis in bases if follows(multiple(rows, basis, along)))
    if numpy.prod([shape[a] for a in axes]) >= GROUP + 2:
        if follows(multiple(rows, ones, along) + multiple(rows, centred, along)):
            yield "statistics", f"lacks the mean path and the variance path, {over}"


def multiple(rows, basis, axes):
    """Return the multiples of a basis along some axes that come closest to rows."""
    size = (basis**2).sum(axes, keepdims=True)
    return basis * (rows * basis).sum(axes, keepdims=True) / numpy.where(size > 0, size, 1)


def integrable(e):
    """Whether yours is the gradient of any function: its derivative by x is then symmetric."""
    if not 1 < e.x.size == len(e.sample()) <= CALLS:
        return
    step = STEP * max(STEP_LEAST, largest(e.x))
    at = lambda x: e.call_backward(e.dy, [*e.args[: e.index], x, *e.args[e.index + 1 :]]).reshape(-1)
    units = step * numpy.eye(e.x.size).reshape(-1, *e.x.shape)
    H = numpy.array([at(e.x + unit) - at(e.x - unit) for unit in units])
    if numpy.max(abs(H - H.T)) > ASYMMETRIC * largest(H):
        text = "is not the gradient of any function: something in it that varies with"
        yield "detached", f"{text} {e.name} is taken for a constant, or a path is lost", False
    else:
        text = "is the gradient of another function: a term is missing, there twice, or has another constant"
        yield "branch", text, False


RULES = (of_outputs, statistics, integrable)
