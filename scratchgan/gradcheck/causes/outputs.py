"""Causes from the structure of two matrices: what each output sends back by your backward, and what it should.

A backward is linear in dy. Called with a dy of 1 at one output, it gives this output's share of the gradient, which
should be the output's row of the Jacobian. Where the two differ, and by what, says what happened to any layer.
"""

import itertools
import math

import numpy

from scratchgan.gradcheck.causes.constants import ALIKE, CHANCE, DIGITS, DISTINCT, PLACES, RESIDUE, SUPPORT, UNLIKELY
from scratchgan.gradcheck.causes.evidence import largest
from scratchgan.gradcheck.causes.gradient import indices
from scratchgan.gradcheck.causes.slopes import factors_at


class Block:
    """Two matrices, your B and the right J, and where their rows stand in an array `of`, and their columns in x.

    axes: (array, axis, the places of rows or columns along it, its length) of all axes that are longer than 1.
    """

    def __init__(self, e, of, shape, rows, B, J):
        self.e, self.B, self.J = e, B, J
        self.supported = abs(J) > SUPPORT * largest(J)
        self.sent = abs(B) > ALIKE * max(largest(J), largest(B))
        self.extra = self.sent & ~self.supported
        self.ratio = numpy.where(self.supported, B / J, numpy.nan)
        row_at, x_at = numpy.unravel_index(rows, shape), numpy.unravel_index(e.sample(), e.x.shape)
        axes = [(of, a, at[:, None], n) for a, (at, n) in enumerate(zip(row_at, shape, strict=True))]
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
        if e.y.size == 1:  # a loss has one share, the gradient
            rows = [e.sampled(a)[None] for a in (e.yours, e.right)]
            yield from factors(Block(e, "y", (1,), numpy.zeros(1, int), *rows))
        return
    block = Block(e, "y", e.y.shape, e.outputs(), *e.shares())
    off, J = block.B - block.J, block.J
    square = e.x.shape == e.y.shape and len(J) == J.shape[1]
    if square and numpy.all(abs(block.B - J.T) <= RESIDUE * largest(off)):
        yield "transposed", "is J dy instead of J^T dy: the Jacobian is not transposed (an order not undone)", True
    elif block.extra.any():
        yield from (*superfluous(block), *carried(block))
    elif block.supported.any():
        if e.in_full() and numpy.all(abs(off.sum(1)) <= ALIKE * abs(J.sum(1))):
            text = "sends from each output the right amount, to wrong entries of those it depends on"
            yield "wrong-place", text, False
        yield from list(factors(block)) or list(carried(block))


def carried(block):
    """Yield a finding where what outputs of the first step send is right, and what others send is not."""
    if block.e.in_sequence():
        at = next(at for of, axis, at, _ in block.axes if (of, axis) == ("y", 0))
        if not numpy.any((abs(block.B - block.J) > ALIKE * largest(block.J)) & (at == 0)):
            yield "steps", "is right for the first step: what is carried from one step to the next is wrong", False


def lost_slopes(ratio):
    """Yield a finding where all factors are such as a slope between 0 and 1 leaves that is lost, or there twice."""
    ratio = ratio[numpy.isfinite(ratio)]
    if 2 ** min(len(ratio), 60) > UNLIKELY and numpy.ptp(ratio) > ALIKE and numpy.all(ratio > 0):
        if numpy.all(ratio > 1 + ALIKE):
            yield "derivative-missing", f"{of_all(ratio)}: the derivative of an activation is missing", False
        elif numpy.all(ratio < 1 - ALIKE):
            yield "derivative-twice", f"{of_all(ratio)}: a slope, or another factor below 1, is there twice", False


def of_all(ratio):
    return f"is {ratio.min():.4g} to {ratio.max():.4g} times the right one wherever it is wrong"


# ---- factors ---------------------------------------------------------------------------------------------


def factors(block):
    """Yield findings on the factor between your shares and the right ones."""
    described = []
    for axes, table in block.tables(block.ratio, block.supported):
        known = table[numpy.isfinite(table)]
        if numpy.ptp(known) <= ALIKE * largest(known):
            return  # a constant, which other rules have found
        for name, array in arrays_on(block.e, table.shape):
            if said := named_factor(table, name, array):
                yield *said, True
                return
        if known.size * CHANCE <= block.supported.sum() and (said := describe(block.e, axes, table)):
            described.append((*said, False))
    apart = [said for said in described if said[0] in ("cross-terms", "diagonal", "steps")]
    yield from apart[:1] or list(overwritten(block)) or described[:1]


def overwritten(block):
    """Yield a finding where, of the outputs that depend on an entry, only one along some axes counts."""
    along_y = [axis for axis in block.axes if axis[0] == "y"]
    for axes in itertools.chain(*(itertools.combinations(along_y, count) for count in (1, 2, 3))):
        order = sum(at * math.prod(n for *_, n in axes[i + 1 :]) for i, (_, _, at, _) in enumerate(axes))
        for word, sign in (("last", 1), ("first", -1)):
            best = numpy.max(numpy.where(block.supported, sign * order, -numpy.inf), 0)
            kept = (sign * order == best) & block.supported
            if not numpy.allclose(block.ratio[block.supported], kept[block.supported], atol=ALIKE):
                continue
            where = " and ".join(str(a) for _, a, _, _ in axes)
            if len(numpy.unique(order[kept.any(1)])) == 1:
                kind = "steps" if block.e.in_sequence() else "first-sample"
                yield kind, f"uses the {word} along axis {where} of dy only", True
            else:
                text = f"keeps, of all outputs along axis {where} of y that an entry goes to, the {word} only"
                yield "overwritten", f"{text}: overwritten, not added (= for +=, or use numpy.add.at)", True
            return


def arrays_on(e, shape):
    """Yield (name, array) of what may be a factor in a table of a shape: arguments, y, and products of two."""
    floats = [(name, a) for name, a in e.named if a.dtype.kind == "f" and a.size > 1]
    for name, a in floats:
        if tuple(n for n in a.shape if n > 1) == shape:
            yield name, a.reshape(shape)
    for (one, a), (two, b) in itertools.permutations(floats, 2):
        if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] and (len(a), b.shape[1]) == shape:
            yield f"{one} @ {two}", a @ b
            yield from ((f"{one} @ {two} + {bias}", a @ b + c) for bias, c in floats if c.shape == shape[1:])


def named_factor(table, name, a):
    """Return (kind, text) where a factor is an expression of an array; None where it is none."""
    if "@" not in name and (said := two_sided(table, name, a)):
        return said
    guesses = [
        ("factor" if name == "y" else "argument-ignored", f"lacks its factor {name}", 1 / a),
        ("factor", f"has a factor {name} too many", a),
        *factors_at(a, name),
    ]  # fmt: skip
    constants = [multiple_of(table, guess) for _, _, guess in guesses]
    fits = [(c, kind, text) for c, (kind, text, _) in zip(constants, guesses, strict=True) if c is not None]
    if not fits:
        return None
    plain = lambda fit: (abs(fit[0] - 1) > ALIKE, fit[1] in ("derivative-wrong", "derivative-twice"))
    constant, kind, text = min(fits, key=plain)
    return kind, text if abs(constant - 1) <= ALIKE else f"{text}, and is {constant:.6g} times that"


def multiple_of(table, guess):
    """Return the constant that makes a guess a table of factors; None if none does."""
    known = numpy.isfinite(table)
    guess, values = guess[known], table[known]
    if not numpy.all(numpy.isfinite(guess)) or len(guess) < 3 or numpy.ptp(guess) <= ALIKE * largest(guess):
        return None
    constant = guess @ values / (guess @ guess)
    return constant if constant and numpy.all(abs(values - constant * guess) <= ALIKE * largest(values)) else None


def two_sided(table, name, a):
    """Return (kind, text) where a factor is one constant below a bound of an array, another above; else None."""
    known = numpy.isfinite(table) & numpy.isfinite(a)
    values, at = numpy.unique(numpy.round(table[known], DIGITS), return_inverse=True)
    if len(values) != 2 or math.comb(len(at), int(at.sum())) < UNLIKELY:
        return None
    for word, v in ((name, a[known]), (f"|{name}|", abs(a[known]))):
        order = numpy.argsort(v)
        change = numpy.flatnonzero(numpy.diff(at[order]))
        if len(change) == 1:
            below, above = v[order][change[0]], v[order][change[0] + 1]
            middle = (below + above) / 2
            simple = (0.0, 1.0, -1.0, *(round(middle, digits) for digits in range(DIGITS)), middle)
            bound = next(b for b in simple if below <= b <= above)
            first, last = values[at[order][0]] + 0.0, values[at[order][-1]] + 0.0
            kind = "sign" if {first, last} == {-1, 1} else "margin" if bound and 0 in (first, last) else "side"
            text = f"is {first:.6g} times the right one where {word} is below {bound:.4g}"
            return kind, f"{text}, {last:.6g} times above"
    return None


# ---- patterns --------------------------------------------------------------------------------------------


def describe(e, axes, table):
    """Return (kind, text) on a factor that depends on the places of outputs and entries; None if it has no pattern."""
    known = numpy.isfinite(table)
    found = numpy.unique(numpy.round(table[known], DIGITS)) + 0.0
    if len(found) > DISTINCT:
        if len(axes) > 1:
            return None
        values = ", ".join(f"{value:.4g}" for value in table[:8]) + (", ..." if len(table) > 8 else "")
        of = f"axis {axes[0][1]} of {axes[0][0]}: {values}"
        return "scale-per-axis", f"is multiplied by a factor of its own for each index of {of}"
    places = {v: place(axes, known & (abs(table - v) < 10.0 ** (1 - DIGITS)), known) for v in found if v != 1}
    text = f"is {', '.join(f'{v:.6g} times the right one{where}' for v, (_, where) in places.items())}"
    relations, (of, axis, _, _), in_time = {relation for relation, _ in places.values()}, axes[0], e.in_sequence()
    if 0 not in found:
        kind = "border" if "ends" in relations and axis else "scale-per-axis"
    elif len(axes) == 1:
        kind = "index" if of != "y" else "stride-tail" if axis else "steps" if in_time else "sample-dropped"
    elif {0.5, 2.0} & set(found):
        kind = "uses"
    elif in_time:
        kind = "steps"
    elif "is not" in relations:
        kind = "diagonal" if min(a for _, a, _, _ in axes) else "cross-terms"
    else:
        kind = "branch"
    return kind, text


RELATIONS = (  # between the indices of two axes
    ("equals", numpy.equal), ("is not", numpy.not_equal), ("is below", numpy.less), ("is above", numpy.greater),
    ("is at most", numpy.less_equal), ("is at least", numpy.greater_equal),
    ("is one below", lambda i, j: i == j - 1), ("is one above", lambda i, j: i == j + 1),
    ("is next to", lambda i, j: abs(i - j) == 1), ("is far from", lambda i, j: abs(i - j) > 1),
    ("is, counted from the end,", lambda i, j: i == numpy.max(j) - j),
)  # fmt: skip


def place(axes, region, known):
    """Return (a relation, words) for a region of a table: indices along one axis, or how indices of two compare."""
    at = numpy.flatnonzero(region)
    if len(axes) == 1:
        ends = "ends" if len(region) > 2 and set(at.tolist()) == {0, len(region) - 1} else ""
        return ends, f" at {indices(at)} of axis {axes[0][1]} of {axes[0][0]}"
    grid, names = numpy.indices(region.shape), [f"the index of axis {a} of {of}" for of, a, _, _ in axes]
    atoms = [
        (word, f"{names[i]} {word} {names[j]}", relation(grid[i], grid[j]))
        for i, j in itertools.combinations(range(len(axes)), 2) for word, relation in RELATIONS
    ]  # fmt: skip
    for i, name in enumerate(names):
        atoms += [("", f"{name} is {k}", grid[i] == k) for k in range(min(axes[i][3], PLACES))]
        atoms += [("", f"{name} is {word}", grid[i] % 2 == odd) for word, odd in (("even", 0), ("odd", 1))]
    pairs = ((w, f"{s} and {t}", p & q) for (w, s, p), (_, t, q) in itertools.permutations(atoms, 2))
    for word, text, relation in itertools.chain(atoms, pairs):
        if numpy.array_equal(relation & known, region):
            return word, f" where {text}"
    return "", f" at {len(at)} of {int(known.sum())} pairs of output and entry"


def superfluous(block):
    """Yield findings on shares of outputs that do not depend on the entries."""
    extra, lost, relation, where = block.extra, block.supported & ~block.sent, "", ""
    everywhere = numpy.array_equal(extra, ~block.supported)
    region, among = (~block.supported, extra | True) if everywhere else (extra, ~block.supported)
    for axes, table in block.tables(region.astype(float), among, CHANCE):
        relation, where = place(axes, table > 0.5, numpy.isfinite(table))
        break
    what = f"reaches entries that an output does not depend on{where}"
    if relation in ("is not", "equals") and not block.e.in_sequence():
        yield "wrong-axes", f"{what}: summed over a wrong axis", False
    elif lost.any():
        count = f"({int(extra.sum())} pairs too many, {int(lost.sum())} missing)"
        yield "wrong-place", f"{what}, and misses some that it does depend on {count}", False
    else:
        same = numpy.all(abs(block.B - block.J)[block.supported] <= ALIKE * largest(block.J))
        nearest = abs(block.B[:, :, None] - numpy.where(block.supported, block.J, numpy.inf)[:, None]).min(2)
        if same and numpy.all(nearest[extra] <= ALIKE * largest(block.J)):
            yield "over-summed", f"{what}, with the shares of others: a sum that is broadcast back, or no mask", False
        else:
            yield "mask-missing", f"{what}: a mask, or an index, is missing", bool(same)
