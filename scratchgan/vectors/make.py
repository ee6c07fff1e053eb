"""Test vectors: what a layer must compute, as numbers, for code in any language (docs/vectors.md)."""

import copy
import inspect
import math

import numpy

from scratchgan.vectors import references
from scratchgan.vectors.files import Vectors
from scratchgan.vectors.layouts import TOLERANCE, axis_kinds, to_layout
from scratchgan.vectors.references import rounded

DTYPES = {"float64": 2.0**-53, "float32": 2.0**-24}  # and u, the largest relative error of rounding to it
FORMAT = "scratchgan test vectors 1"

CONVENTIONS = """\
Keys: CASE/DTYPE/NAME of an array, such as batch_1/float32/dx, and CASE/settings/NAME of a setting. In the .npz file (a
zip file without compression) a key is a path, CASE/DTYPE/NAME.npy; manifest.json lists cases and names; arrays.txt has
a line for each array: KEY DTYPE RANK SIDES. Arrays are in row-major order (the last axis is contiguous), little-endian.

What is given: x, the parameters, and dy, the gradient of some scalar with respect to y (random, never ones).
What is to be computed: y; dx; dW, db, ... for W, b, ...: that scalar's gradients, summed over the batch, with no mean
taken and nothing accumulated from a call before.
Second order, which you may leave out: given ddx, the gradient of some other scalar S with respect to dx, compute
ddy = dS/d(dy), bend = dS/dx, bend_W = dS/dW, ...: the derivatives of the map (dy, x, W) -> dx. What is missing is zero.
tolerance_NAME: how far a correct result may be from NAME, entry by entry, for the rounding of the dtype.

The float32 arrays are the float64 ones, rounded; the inputs are the same numbers in both.
Results: write the arrays that you compute under the same keys, and run
python -m scratchgan verify RESULTS --against THIS_FILE

Layout: {}. The equation below has the channels last.
channels-last: sequences (N, L, C), pictures (N, H, W, C), video (N, T, H, W, C). Weights: dense (in, out); convolution
(*kernel, in / groups, out); transposed convolution (*kernel, out / groups, in).
channels-first: (N, C, L), (N, C, H, W), (N, C, T, H, W). Weights: dense (out, in); convolution (out, in / groups,
*kernel); transposed convolution (in, out / groups, *kernel).
Dense, softmax, layer normalisation and embedding work on the last axis in both. `verify` recognises either in results.
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
        written = [(dtype, key, array) for dtype in DTYPES for key, array in (given | results).items()]
        for dtype, key, array in (*written, *tolerances(case, given, results)):
            array = to_layout(array, kinds.get(key), layout)
            arrays[f"{case.name}/{dtype}/{key}"] = array if array.dtype.kind == "i" else array.astype(dtype)
        arrays |= {f"{case.name}/settings/{key}": array for key, array in settings(case.layer).items()}
        about[case.name] = case.about
        names |= {key: "input" for key in given} | {key: order(key) for key in results}
    manifest = {
        "format": FORMAT, "of": name, "layout": layout, "dtypes": list(DTYPES), "cases": about, "names": names,
        "conventions": f"{CONVENTIONS.format(layout)}\n{name}:\n{inspect.getdoc(type(cases[0].layer))}".splitlines(),
    }  # fmt: skip
    return Vectors(manifest, arrays)


def inputs(case):
    """Return {name: array}: all that is given in a case."""
    rng = numpy.random.default_rng(len(case.name))
    given = {"x": case.x}
    for name, array in case.layer.state().items():
        drawn = rng.standard_normal(array.shape)
        given[name] = rounded(rng.uniform(0.5, 2, array.shape) if name in ("gamma", "running_var") else drawn)
    y = copy.deepcopy(case.layer).astype("float64").forward(case.x)[0]
    given["dy"] = rounded(rng.standard_normal(y.shape))
    if case.x.dtype.kind == "f":
        given["ddx"] = rounded(rng.standard_normal(case.x.shape))
    return given


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
        noise = {n: step * rng.standard_normal(a.shape) for n, a in given.items() if a.dtype.kind == "f"}
        moved = evaluate(case, given | {name: given[name] * (1 + change) for name, change in noise.items()})
        for name in squares:
            squares[name] += ((moved[name] - results[name]) / step) ** 2
    return {name: numpy.sqrt(square / draws) for name, square in squares.items()}


def tolerances(case, given, results):
    """Yield (dtype, tolerance_NAME, t): t = 16 u (sqrt(n) s + max |result| + e), with u that of the dtype.

    n is the size of the case's largest array: no sum has more terms, and the rounding of n terms of random sign grows
    as sqrt(n). s is the `sensitivity`. e, in units of float32's u, is the error of our own run in float32: it shows
    where terms cancel inside, whatever the inputs.
    """
    slack = sensitivity(case, given, results)
    largest = max(array.size for array in (*given.values(), *results.values()))
    single = {name: array if array.dtype.kind == "i" else array.astype("float32") for name, array in given.items()}
    single = evaluate(case, single, "float32")
    for name, result in results.items():
        error = numpy.max(numpy.abs(single[name] - result), initial=0) / DTYPES["float32"]
        size = numpy.max(numpy.abs(result), initial=0) + error
        for dtype, unit in DTYPES.items():
            yield dtype, TOLERANCE + name, 16 * unit * (math.sqrt(largest) * slack[name] + size)


def order(name):
    """Return which part of the work a result belongs to."""
    orders = {"y": "forward", "new_": "forward", "ddy": "second order", "bend": "second order"}
    return next((orders[start] for start in orders if name.startswith(start)), "backward")


def settings(layer):
    """Return {name: array}: the sizes and constants that a layer was made with."""
    own = {name: value for name, value in vars(layer).items() if name != "geometry"}
    return {name: numpy.array(v) for name, v in own.items() if isinstance(v, int | float | tuple)}
