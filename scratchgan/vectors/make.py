"""Test vectors: what a layer must compute, as numbers, for code in any language (docs/vectors.md)."""

import copy
import inspect
import math

import numpy

from scratchgan.vectors import references
from scratchgan.vectors.files import Vectors
from scratchgan.vectors.layouts import LAYOUTS, axis_kinds, to_layout

DTYPES = ("float64", "float32")
SECOND_ORDER = ("ddy", "bend")  # and bend_W, bend_gamma, ...
TOLERANCE = "tolerance_"  # tolerance_dW: how far a correct dW may be from the one here, entry by entry

CONVENTIONS = """\
Keys. Every array has the key CASE/DTYPE/NAME, such as batch_1/float32/dx, and every setting the key
CASE/settings/NAME, such as batch_1/settings/stride. In the .npz file (a zip file without compression) a key is a path,
CASE/DTYPE/NAME.npy; manifest.json lists cases and names; arrays.txt has a line for each array: KEY DTYPE RANK SIDES.
All arrays are in row-major order (the last axis is contiguous), little-endian.

What is given: x, the parameters, and dy, the gradient of some scalar with respect to y (random, never ones).
What is to be computed: y; dx; dW, db, ... for W, b, ...: that scalar's gradients, summed over the batch, with no mean
taken and nothing accumulated from a call before.
Second order, which you may leave out: given ddx, the gradient of some other scalar S with respect to dx, compute
ddy = dS/d(dy), bend = dS/dx, bend_W = dS/dW, ...: the derivatives of the map (dy, x, W) -> dx. What is missing is zero.
tolerance_NAME: how far a correct result may be from NAME, entry by entry, for the rounding of the dtype.

The float32 arrays are the float64 ones, rounded; the inputs are the same numbers in both.
Results: write the arrays that you compute under the same keys, and run
python -m scratchgan verify RESULTS --against THIS_FILE
"""
LAST = """\
Layout: channels last. Sequences (N, L, C), pictures (N, H, W, C), video (N, T, H, W, C).
Weights: dense (in, out); convolution (*kernel, in / groups, out); transposed convolution (*kernel, out / groups, in).
`--layout channels-first` writes the other layout: (N, C, H, W), and weights (out, in), (out, in / groups, *kernel),
(in, out / groups, *kernel). `verify` recognises results in either.
"""
FIRST = """\
Layout: channels first. Sequences (N, C, L), pictures (N, C, H, W), video (N, C, T, H, W); the equation below has the
channels last, and moves them. Weights: dense (out, in); convolution (out, in / groups, *kernel); transposed convolution
(in, out / groups, *kernel). Dense, softmax, layer normalisation and embedding work on the last axis in either layout.
"""


def make(name, layout="channels-last", cases=None, absent=()):
    """Return the test vectors of a layer, such as "conv2d"; the same numbers each time.

    cases: Cases instead of the layer's in `references`; absent: parameters that are to do nothing.
    """
    arrays, about, names = {}, {}, {}
    cases, kinds = cases or references.cases(name), axis_kinds(name)
    for case in cases:
        given = inputs(case)
        given |= {key: numpy.full_like(given[key], key == "gamma") for key in absent}
        results = evaluate(case, given)
        numbers = given | results
        written = {(dtype, key): array for dtype in DTYPES for key, array in numbers.items()}
        for dtype, key, array in tolerances(case, given, results):
            written[dtype, TOLERANCE + key] = array
        for (dtype, key), array in written.items():
            array = to_layout(array, kinds.get(key.removeprefix(TOLERANCE)), layout)
            arrays[f"{case.name}/{dtype}/{key}"] = array if array.dtype.kind == "i" else array.astype(dtype)
        arrays |= {f"{case.name}/settings/{key}": array for key, array in settings(case).items()}
        about[case.name] = case.about
        names |= {key: "input" for key in given} | {key: order(key) for key in results}
    manifest = {
        "format": "scratchgan test vectors 1", "of": name, "layout": layout, "dtypes": list(DTYPES), "cases": about,
        "names": names, "conventions": (CONVENTIONS + (LAST if layout == LAYOUTS[0] else FIRST)).splitlines()
        + ["", f"{name}:", *inspect.getdoc(type(cases[0].layer)).splitlines()],
    }  # fmt: skip
    return Vectors(manifest, arrays)


def inputs(case):
    """Return {name: array}: all that is given in a case."""
    rng = numpy.random.default_rng(len(case.name))
    given = {"x": case.x}
    for name, array in case.layer.state().items():
        drawn = rng.standard_normal(array.shape)
        if name in ("gamma", "running_var"):
            drawn = rng.uniform(0.5, 2, array.shape)
        given[name] = rounded(drawn)
    y = copy.deepcopy(case.layer).astype("float64").forward(case.x)[0]
    given["dy"] = rounded(rng.standard_normal(y.shape))
    if case.x.dtype.kind == "f":
        given["ddx"] = rounded(rng.standard_normal(case.x.shape))
    return given


def rounded(array):
    """Return float64 numbers that float32 can hold."""
    return array.astype("float32").astype("float64")


def evaluate(case, given, dtype="float64"):
    """Return {name: array}: all that is to be computed in a case, from the inputs `given`."""
    layer = loaded(case, given, dtype)
    y, tape = layer.forward(given["x"])
    results = {"y": y, "dx": layer.backward(tape, given["dy"])}
    params, state = layer.named_params().items(), layer.state().items()
    results |= {f"d{name}": param.grad.copy() for name, param in params}
    results |= {f"new_{name}": array for name, array in state if name.startswith("running_")}
    if "ddx" in given:
        layer.zero_grad()
        _, kept = layer.pull(tape, given["dy"])
        results["ddy"], results["bend"] = layer.double_backward(tape, kept, given["ddx"])
        bends = {f"bend_{name}": param.grad for name, param in params}
        results |= {name: array for name, array in bends.items() if array.any()}
    return {name: numpy.array(array) for name, array in results.items() if array is not None}


def loaded(case, given, dtype):
    """Return a copy of a case's layer with the parameters and running statistics of `given`."""
    layer = copy.deepcopy(case.layer).astype(dtype)
    layer.load_state({name: given[name] for name in layer.state()})
    return layer


def sensitivity(case, given, results, step=1e-7, draws=8):
    """Return {name: array}: by how much results change where all inputs change by normal relative errors of size 1.

    This is what separates rounding from bugs: in float32 a small result of large cancelling terms is uncertain by
    their size, not by its own.
    """
    rng = numpy.random.default_rng(0)
    squares = {name: numpy.zeros(array.shape) for name, array in results.items()}
    for _ in range(draws):
        noisy = {
            name: array if array.dtype.kind == "i" else array * (1 + step * rng.standard_normal(array.shape))
            for name, array in given.items()
        }
        moved = evaluate(case, noisy)
        for name in squares:
            squares[name] += ((moved[name] - results[name]) / step) ** 2
    return {name: numpy.sqrt(square / draws) for name, square in squares.items()}


def tolerances(case, given, results):
    """Yield (dtype, name, t): t = 16 u (sqrt(n) s + max |result| + e), with u half the eps of the dtype.

    n is the size of the case's largest array: no sum has more terms, and the rounding of n terms of random sign grows
    as sqrt(n). s is the `sensitivity`. e, in units of float32's u, is the error of our own run in float32: it shows
    where terms cancel inside, whatever the inputs.
    """
    slack = sensitivity(case, given, results)
    largest = max(array.size for array in (*given.values(), *results.values()))
    single = {name: array if array.dtype.kind == "i" else array.astype("float32") for name, array in given.items()}
    single = evaluate(case, single, "float32")
    for name, result in results.items():
        error = numpy.max(numpy.abs(single[name] - result), initial=0) / unit("float32")
        size = numpy.max(numpy.abs(result), initial=0) + error
        for dtype in DTYPES:
            yield dtype, name, 16 * unit(dtype) * (math.sqrt(largest) * slack[name] + size)


def unit(dtype):
    """Return the largest relative error of rounding a number to a dtype."""
    return float(numpy.finfo(dtype).eps) / 2


def order(name):
    """Return which part of the work a result belongs to: "forward", "backward" or "second order"."""
    if name == "y" or name.startswith("new_"):
        return "forward"
    return "second order" if name.startswith(SECOND_ORDER) else "backward"


def settings(case):
    """Return {name: array}: the sizes and constants that a layer was made with."""
    own = {name: value for name, value in vars(case.layer).items() if name != "geometry"}
    return {name: numpy.array(v) for name, v in own.items() if isinstance(v, int | float | tuple)}
