"""Judge results, arrays that were computed elsewhere, against test vectors: the verdict, and what may be wrong."""

import numpy

from scratchgan.gradcheck.causes.search import diagnose
from scratchgan.gradcheck.explain import listed
from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG, Comparison, Context
from scratchgan.gradcheck.protocol import of_layer
from scratchgan.gradcheck.report import Report, Sweep
from scratchgan.support.errors import DataError
from scratchgan.support.text import printable
from scratchgan.vectors import references
from scratchgan.vectors.layouts import LAYOUTS, TOLERANCE, axis_kinds, from_layout, to_layout
from scratchgan.vectors.make import FORMAT, loaded, make

STATUS = {AGREE: 0, WRONG: 1, UNRESOLVED: 2}  # of the commands
# Another machine adds in another order: its results are within the tolerances of ours. Its tolerances come from the
# rounding that one run had there, which luck makes small or large. They are never used: verdicts come from our own.
LOOSER = 100
INPUTS = 4  # eps of its largest entry, by which an input of another machine may differ


def verify(results, expected, skip=()):
    """Compare results, `Vectors` without a manifest, with test vectors; return a Sweep.

    skip: parts of keys, such as "groups", "float64" or "y", that are not expected. One dtype is enough, and the second
    order may be left out as a whole; all else that is not there is missing. Raises DataError where nothing fits, and
    where the vectors are not what `make` writes.
    """
    expected = whole(expected)
    wanted = wanted_keys(results, expected, skip)
    sweep = judge(results.arrays, expected, wanted, references.cases(expected.manifest["of"]))
    skipped = [f"skipped: {', '.join(skip)}"] if skip else []
    sweep.notes = skipped + remarks(results, expected, wanted) + sweep.notes
    return sweep


# ---- what the files hold ----------------------------------------------------------------------------------


def whole(given):
    """Return our own test vectors, channels last, for those of a file; raise DataError unless the file holds the same.

    It is ours that verdicts come from: nothing that is lacking, damaged or loosened in a file makes one milder.
    """
    of, layout = given.manifest.get("of"), given.manifest.get("layout")
    if given.manifest.get("format") != FORMAT or of not in [*references.LAYERS] or layout not in LAYOUTS:
        raise DataError("--against is no file of test vectors: make one with `python -m scratchgan vectors`.")
    own, kinds = make(of, layout), axis_kinds(of)
    told = {field: given.manifest.get(field) for field in ("dtypes", "names", "cases")}
    faults = [f"{field!r} in the manifest differs" for field, value in told.items() if value != own.manifest[field]]
    faults += [f"{key} is lacking" for key in own.arrays if key not in given.arrays]
    faults += [f"{key} is another" for key, array in given.arrays.items() if not same(key, array, own)]
    if faults:
        raise DataError(
            f"--against cannot be used: {listed(faults, 3)}, where this version writes something else. The file is "
            f"damaged or from another version: make it anew with `python -m scratchgan vectors {of}`."
        )
    return own._replace(
        arrays={key: from_layout(array, kinds.get(key.split("/")[2]), layout) for key, array in own.arrays.items()}
    )


def same(key, array, own):
    """Whether an array of test vectors is as in our own, up to what another machine may change."""
    right = own.arrays.get(key)
    if right is None or (array.dtype.name, array.shape) != (right.dtype.name, right.shape):
        return False
    case, dtype, name = key.split("/")
    eps = numpy.finfo(right.dtype if right.dtype.kind == "f" else float).eps
    slack = own.arrays.get(f"{case}/{dtype}/{TOLERANCE}{name}", INPUTS * eps * numpy.max(numpy.abs(right), initial=0))
    low, high = (0, LOOSER * right) if name.startswith(TOLERANCE) else (right - slack, right + slack)
    return bool(((low <= array) & (array <= high)).all())


def wanted_keys(results, expected, skip):
    """Return the keys that the results should have; raise DataError unless they have one of them."""
    manifest = expected.manifest
    if results.manifest.get("format") == manifest["format"]:
        raise DataError("the results are test vectors themselves: write a file with only the arrays that you compute.")
    order = {key: manifest["names"].get(key.split("/")[-1], "input") for key in expected.arrays}
    keys = [key for key in expected.arrays if order[key] != "input" and not set(key.split("/")) & set(skip)]
    given = [key for key in keys if key in results.arrays]
    if not given:
        wanted = f"wanted keys such as {keys[0]}" if keys else "and all that is wanted is skipped"
        raise DataError(f"the results hold {listed(list(results.arrays), 3) or 'nothing'}, {wanted}.")
    dtypes, orders = {key.split("/")[1] for key in given}, {order[key] for key in given}
    return [key for key in keys if key.split("/")[1] in dtypes and order[key] in orders | {"forward", "backward"}]


def remarks(results, expected, wanted):
    """Return what was left out of the results, and what in them means nothing here."""
    parts = {part for key in wanted for part in key.split("/")[1:]}
    notes = [f"not checked: {dtype}" for dtype in expected.manifest["dtypes"] if dtype not in parts]
    for order in ("forward", "backward", "second order"):
        left_out = [n for n, kind in expected.manifest["names"].items() if kind == order and n not in parts]
        notes += [f"not checked: {', '.join(left_out)} ({order})"] if left_out else []
    unknown = [printable(key) for key in results.arrays if key not in expected.arrays]
    return notes + ([f"not judged, as the vectors have no such key: {listed(unknown)}"] if unknown else [])


# ---- verdicts --------------------------------------------------------------------------------------------


def judge(results, expected, wanted, cases, backwards=None):
    """Return a Sweep on results, {key: array}, of which the keys `wanted` should be there.

    expected: Vectors, channels last; their manifest says which layout was asked for. backwards: {case: backward(dy, x,
    parameters...)}, where the code can still be called: then the results have their channels last.
    """
    manifest, reports = expected.manifest, {}
    pairs = {key: Pair(results[key], expected, key) for key in wanted if key in results}
    chosen = {} if backwards else choose_layouts([pair for pair in pairs.values() if pair.right.ndim > 1])
    for key, pair in pairs.items():
        place, name = key.rsplit("/", 1)
        about = manifest["cases"][place.split("/")[0]]
        report = reports.setdefault(place, Report({}, title=f"{place} ({about})"))
        report.comparisons[name] = pair.compare(LAYOUTS[:1] if backwards else (chosen.get(name, LAYOUTS[0]), *LAYOUTS))
        if report.comparisons[name].yours.shape != pair.right.shape:
            shape = pair.shape(manifest["layout"])
            report.findings.append(f"{name} has shape {pair.yours.shape}, wanted {shape}")
    explain(reports, expected, cases, backwards or {})
    other = [name for name, layout in chosen.items() if layout != manifest["layout"]]
    notes = [f"{', '.join(other)}: recognised as {chosen[other[0]]}"] if other else []
    return Sweep(manifest["of"], reports, manifest["cases"], notes, [key for key in wanted if key not in results])


class Pair:
    """One array of the results, and the right one with its tolerance; both of those have their channels last."""

    def __init__(self, yours, expected, key):
        case, dtype, self.name = key.split("/")
        self.yours, self.kind = yours, axis_kinds(expected.manifest["of"]).get(self.name)
        self.right = expected.arrays[f"{case}/float64/{self.name}"]
        self.tolerance = expected.arrays[f"{case}/{dtype}/{TOLERANCE}{self.name}"].astype(float)

    def shape(self, layout):
        """Return the shape that yours should have in a layout."""
        return to_layout(self.right, self.kind, layout).shape

    def arranged(self, layout):
        """Return yours with the channels last, if it is in this layout; None if its shape says that it is not."""
        flat = self.yours.ndim <= 1 and self.yours.size == self.right.size  # a list of numbers, in row-major order
        if self.yours.shape != self.shape(layout) and not flat:
            return None
        return from_layout(self.yours.reshape(self.shape(layout)), self.kind, layout)

    def compare(self, layouts):
        """Return a Comparison, in the first layout that fits; where none does, yours keeps its shape."""
        candidates = [self.arranged(layout) for layout in layouts]
        yours = next((array for array in candidates if array is not None), self.yours)
        checked = numpy.ones(self.right.shape, dtype=bool)
        comparison = Comparison(self.name, yours, self.right, self.tolerance, checked, AGREE, self.tolerance)
        comparison.verdict = WRONG if comparison.wrong().any() else AGREE
        return comparison


def choose_layouts(pairs):
    """Return {name: layout}: that in which most entries agree, over all cases; where they tie, as in most names."""
    votes = {}
    for pair in pairs:
        own = votes.setdefault(pair.name, dict.fromkeys(LAYOUTS, 0))
        for layout in LAYOUTS:
            if (yours := pair.arranged(layout)) is not None:
                own[layout] += int((abs(yours - pair.right) <= pair.tolerance).sum())
    most = {layout: sum(own[layout] == max(own.values()) > 0 for own in votes.values()) for layout in LAYOUTS}
    return {name: max(LAYOUTS, key=lambda layout, own=own: (own[layout], most[layout])) for name, own in votes.items()}


def explain(reports, expected, cases, backwards):
    """Look for the causes of what is wrong: for each name in the first case in which it is."""
    seen, by_name = set(), {case.name: case for case in cases}
    for key, report in reports.items():
        wrong, name = {name for name, verdict in report.verdict.items() if verdict == WRONG}, key.split("/")[0]
        if not wrong <= seen:
            seen |= wrong
            for context in contexts(by_name[name], report, expected, backwards.get(name)):
                report.causes += diagnose(context)


def contexts(case, report, expected, backward):
    """Yield the Contexts of the first and of the second order: the right forward, and your gradients by argument.

    backward: yours, where it can be called; it has no second order.
    """
    start = f"{case.name}/float64/"
    held = {key.removeprefix(start): array for key, array in expected.arrays.items() if key.startswith(start)}
    layer, names = loaded(case, held, "float64"), references.arguments(case)
    yield context(layer, report, held, {name: f"d{name}" for name in names}, "dy", "y", backward)
    if "ddx" in held and backward is None:
        bends = {"dy": "ddy", "x": "bend"} | {name: f"bend_{name}" for name in names[1:]}
        yield context(layer, report, held, bends, "ddx", "dx")


def context(layer, report, held, results, dy, y, backward=None):
    """Return the Context of one call: results are {argument: name of its gradient}, dy and y names.

    Without a backward, it knows yours, as the one answer to what was asked.
    """
    names, args, second_order = tuple(results), tuple(held[name] for name in results), dy == "ddx"
    comparisons = {n: report.comparisons[result] for n, result in results.items() if result in report.comparisons}
    subject = of_layer(layer, args[: 1 + second_order], names[: 1 + second_order], second_order)

    def answer(dy_asked, *asked):
        if not all(map(numpy.array_equal, (dy_asked, *asked), (held[dy], *args))):
            raise ValueError("the code under test cannot be called from here")
        return tuple(comparisons[name].yours.copy() if name in comparisons else None for name in names)

    forward = lambda *args: subject.start(*args)[0]
    return Context(args, names, held[dy], held[y], forward, backward or answer, comparisons, second_order)
