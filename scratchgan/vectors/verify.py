"""Judge results, arrays that were computed elsewhere, against test vectors: the verdict, and what may be wrong."""

import numpy

from scratchgan.gradcheck.causes.search import diagnose
from scratchgan.gradcheck.explain import listed
from scratchgan.gradcheck.plain import AGREE, WRONG, Comparison, Context
from scratchgan.gradcheck.protocol import of_layer
from scratchgan.gradcheck.report import Report, Sweep
from scratchgan.support.errors import DataError
from scratchgan.vectors import references
from scratchgan.vectors.layouts import LAYOUTS, axis_kinds, from_layout, to_layout
from scratchgan.vectors.make import TOLERANCE, loaded


def verify(results, expected, skip=()):
    """Compare results, `Vectors` without a manifest, with test vectors; return a Sweep.

    skip: parts of keys, such as "groups", "float64" or "y", that are not expected. One dtype is enough, and the second
    order may be left out as a whole; all else that is not there is missing. Raises DataError where nothing fits.
    """
    wanted = wanted_keys(results, expected, skip)
    of = expected.manifest["of"]
    cases = {case.name: case for case in references.cases(of)} if of in references.LAYERS else {}
    sweep = judge(results.arrays, expected, wanted, cases)
    sweep.notes = remarks(results, expected, wanted) + sweep.notes
    return sweep


def judge(results, expected, wanted, cases, backwards=None):
    """Return a Sweep on results, {key: array}, of which the keys `wanted` should be there.

    cases: {name: Case}, where a cause is looked for; backwards: {case: backward(dy, x, parameters...)}, where the code
    can still be called: then the results are in our layout.
    """
    manifest = expected.manifest
    pairs = {key: Pair(results[key], expected, key) for key in wanted if key in results}
    chosen = {} if backwards else choose_layouts({key: pair for key, pair in pairs.items() if pair.right.ndim > 1})
    reports = {}
    for key, pair in pairs.items():
        case, dtype, name = key.split("/")
        report = reports.setdefault(f"{case}/{dtype}", Report({}, title=f"{case}/{dtype} ({manifest['cases'][case]})"))
        layouts = LAYOUTS[:1] if backwards else (chosen.get(name, LAYOUTS[0]), *LAYOUTS)
        report.comparisons[name] = pair.compare(name, layouts)
        if report.comparisons[name].yours.shape != pair.right.shape:
            shape = to_layout(pair.right, pair.kind, manifest["layout"]).shape
            report.findings.append(f"{name} has shape {pair.yours.shape}, wanted {shape}")
    explain(reports, expected, cases, backwards or {})
    other = [name for name, layout in chosen.items() if layout != manifest["layout"]]
    notes = [f"{', '.join(other)}: recognised as {chosen[other[0]]}"] if other else []
    return Sweep(manifest["of"], reports, manifest["cases"], notes, [key for key in wanted if key not in results])


def wanted_keys(results, expected, skip):
    """Return the keys that the results should have; raise DataError unless they have one of them."""
    manifest = expected.manifest
    whole = {"of", "names", "cases", "dtypes", "layout"} <= manifest.keys()
    if not whole or not str(manifest.get("format", "")).startswith("scratchgan test vectors"):
        raise DataError("--against is no file of test vectors: make one with `python -m scratchgan vectors`.")
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
    names = {key.split("/")[2] for key in wanted}
    dtypes = {key.split("/")[1] for key in wanted}
    notes = [f"not checked: {dtype}" for dtype in expected.manifest["dtypes"] if dtype not in dtypes]
    for order in ("forward", "backward", "second order"):
        left_out = [n for n, kind in expected.manifest["names"].items() if kind == order and n not in names]
        if left_out:
            notes.append(f"not checked: {', '.join(left_out)} ({order})")
    unknown = [key for key in results.arrays if key not in expected.arrays]
    if unknown:
        notes.append(f"not judged, as the vectors have no such key: {listed(unknown)}")
    wide = [key for key in wanted if "/float32/" in key and getattr(results.arrays.get(key), "dtype", "") == "float64"]
    if wide:
        notes.append(f"judged as float32, though written as float64: {listed(wide, 3)}")
    return notes


class Pair:
    """One array of the results, and the right one with its tolerance; both of those with channels last, in float64."""

    def __init__(self, yours, expected, key):
        case, dtype, name = key.split("/")
        layout = expected.manifest["layout"]
        self.yours = yours
        self.kind = axis_kinds(expected.manifest["of"]).get(name)
        self.right = from_layout(expected.arrays[f"{case}/float64/{name}"], self.kind, layout)
        tolerance = expected.arrays[f"{case}/{dtype}/{TOLERANCE}{name}"].astype(float)
        self.tolerance = from_layout(tolerance, self.kind, layout)

    def arranged(self, layout):
        """Return yours with the channels last, if it is in this layout; None if its shape says that it is not."""
        shape = to_layout(self.right, self.kind, layout).shape
        flat = self.yours.ndim <= 1 and self.yours.size == self.right.size  # a list of numbers, in row-major order
        if self.yours.shape != shape and not flat:
            return None
        return from_layout(self.yours.reshape(shape), self.kind, layout)

    def compare(self, name, layouts):
        """Return a Comparison, in the first layout that fits; where none does, yours keeps its shape."""
        candidates = [self.arranged(layout) for layout in layouts]
        yours = next((array for array in candidates if array is not None), self.yours)
        checked = numpy.ones(self.right.shape, dtype=bool)
        comparison = Comparison(name, yours, self.right, self.tolerance, checked, AGREE, self.tolerance)
        comparison.verdict = WRONG if comparison.wrong().any() else AGREE
        return comparison


def choose_layouts(pairs):
    """Return {name: layout}: that in which most entries agree, over all cases; where they tie, as in most names."""
    votes = {}
    for key, pair in pairs.items():
        own = votes.setdefault(key.split("/")[2], dict.fromkeys(LAYOUTS, 0))
        for layout in LAYOUTS:
            if (yours := pair.arranged(layout)) is not None:
                with numpy.errstate(invalid="ignore"):
                    own[layout] += int((abs(yours - pair.right) <= pair.tolerance).sum())
    most = {layout: sum(own[layout] == max(own.values()) > 0 for own in votes.values()) for layout in LAYOUTS}
    return {name: max(LAYOUTS, key=lambda layout, own=own: (own[layout], most[layout])) for name, own in votes.items()}


def explain(reports, expected, cases, backwards):
    """Look for the causes of what is wrong: for each name in the first case in which it is."""
    seen = set()
    for key, report in reports.items():
        wrong, case = {name for name, verdict in report.verdict.items() if verdict == WRONG}, key.split("/")[0]
        if wrong <= seen or case not in cases:
            continue
        seen |= wrong
        for context in contexts(cases[case], report, expected):
            context.backward = backwards.get(case, context.backward) if not context.second_order else context.backward
            report.causes += diagnose(context)


def contexts(case, report, expected):
    """Yield the Contexts of the first and of the second order: the right forward, and your gradients by argument."""
    of, names = expected.manifest["of"], expected.manifest["names"]
    held = {name: arranged(expected, f"{case.name}/float64/{name}") for name in names}
    held = {name: array for name, array in held.items() if array is not None}
    given = [name for name in held if names[name] == "input" and name not in ("dy", "ddx")]
    given = tuple(name for name in given if not name.startswith("running_"))
    args = tuple(held[name] for name in given)
    gradients = [f"d{name}" for name in given]
    layer = loaded(case, held, "float64")
    first, second = of_layer(layer)[0], of_layer(layer, second_order=True)[0]
    yield context(report, given, gradients, args, held["dy"], held["y"], lambda *args: first.start(*args)[0], of)
    if "ddx" in held:
        gradients = ["ddy", "bend", *[f"bend_{name}" for name in given[1:]]]
        args = (held["dy"], *args)
        forward = lambda *args: second.start(*args)[0]
        yield context(report, ("dy", *given), gradients, args, held["ddx"], held["dx"], forward, of, True)


def arranged(vectors_, key):
    """Return an array of test vectors with its channels last; None if there is none."""
    kind = axis_kinds(vectors_.manifest["of"]).get(key.split("/")[-1])
    return from_layout(vectors_.arrays[key], kind, vectors_.manifest["layout"]) if key in vectors_.arrays else None


def context(report, names, results, args, dy, y, forward, of, second_order=False):
    """Return the Context of one call. Its backward knows one answer, yours, to the one question that was asked."""
    pairs = zip(names, results, strict=True)
    comparisons = {name: report.comparisons[result] for name, result in pairs if result in report.comparisons}

    def backward(dy_asked, *asked):
        if not all(map(numpy.array_equal, (dy_asked, *asked), (dy, *args))):
            raise ValueError("the code under test cannot be called from here")
        return tuple(comparisons[name].yours.copy() if name in comparisons else None for name in names)

    return Context(args, names, dy, y, forward, backward, comparisons, of, second_order)
