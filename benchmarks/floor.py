"""The floor of an iteration: its products at the speed of BLAS, its bytes at that of the memory, beside our time.

`python benchmarks/speed.py floor` calls it for DCGAN 28 and 64, and writes its table. Each call of an operation in
one iteration is kept with its arguments, and repeated alone. Its floor is the product of the same numbers of rows and
columns, of contiguous matrices that lie in the cache where they fit, and each byte that has to be read or written,
once, at the speed of a copy. Winograd's method needs fewer products, and may be below the floor.
"""

import math
import statistics
import time
from pathlib import Path

import dcgan
import numpy as np

from scratchgan.fast import threads
from scratchgan.layers import conv
from scratchgan.layers.base import Pointwise
from scratchgan.layers.dense import Dense
from scratchgan.layers.norm import BatchNorm, Normalization
from scratchgan.optim import Optimizer
from scratchgan.support.files import write_json

RECORD = Path(__file__).resolve().parents[1] / "docs" / "results" / "speed" / "floor.json"
WATCHED = {  # operation: what computes it
    "convolution: y": [(conv, "correlate")],
    "convolution: dx": [(conv, "input_grad")],
    "convolution: dW": [(conv, "weight_grad")],
    "dense: y, dx, dW": [(Dense, name) for name in ("apply", "input_grad", "weight_grad")],
    "batch norm": [(BatchNorm, "forward"), (Normalization, "pull"), (Normalization, "backward")],
    "activations": [(Pointwise, "forward"), (Pointwise, "pull")],
    "Adam": [(Optimizer, "move")],
}

ORDERS = {"correlate": (0, 1, 2), "apply": (0, 1, 2), "input_grad": (0, 2, 1), "weight_grad": (1, 0, 2)}


def calls_of(iteration):
    """Return [(operation, function, arguments, result)] of one iteration, the innermost of those that are watched."""
    found, depth = [], [0]
    before = [(owner, name, vars(owner)[name]) for own in WATCHED.values() for owner, name in own]

    def watched(operation, function):
        def call(*args, **options):
            depth[0] += 1
            result = function(*args, **options)
            depth[0] -= 1
            if not depth[0]:
                found.append((operation, function, args, result))
            return result

        return call

    for operation, own in WATCHED.items():
        for owner, name in own:
            setattr(owner, name, watched(operation, vars(owner)[name]))
    try:
        iteration()
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
    return found


def product_of(operation, function, args, result):
    """Return (rows, inner, columns) of the matrix product that an operation is; None where it is none.

    Of a convolution, each position of y meets kernel x C numbers of x.
    """
    name = function.__name__
    if name not in ORDERS:
        return None
    if operation.startswith("dense"):  # methods
        args = args[1:]
    y, W = {"input_grad": (args[1], args[0]), "weight_grad": (args[1], result)}.get(name, (result, args[0]))
    W = args[1] if name == "correlate" else W
    shape = math.prod(y.shape[:-1]), math.prod(W.shape[:-1]), W.shape[-1]
    return tuple(shape[axis] for axis in ORDERS[name])


def arrays(value):
    """Return the arrays of arguments or of a result, each once."""
    if isinstance(value, Optimizer):
        return [value.flat.value, value.flat.grad, *value.memory.values()]
    if isinstance(value, np.ndarray):
        return [value]
    return [array for one in value for array in arrays(one)] if isinstance(value, tuple | list) else []


def median(function, turns):
    """Return the median time of a call in ms."""
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def product_time(shape, turns):
    """Return the ms of a product on our threads, each with its share of the rows."""
    rows, inner, columns = shape
    a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    y, edges = np.empty((rows, columns), np.float32), [rows * i // threads.count for i in range(threads.count + 1)]
    parts = [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]
    return median(lambda: threads.each(lambda at: np.matmul(a[at], b, out=y[at]), parts), turns)


def copy_rate(turns):
    """Return the bytes that a copy of 64 MB on our threads reads and writes in a ms."""
    a, b = np.ones(2**24, np.float32), np.empty(2**24, np.float32)
    edges = [a.size * i // threads.count for i in range(threads.count + 1)]
    parts = [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]
    return 2 * a.nbytes / median(lambda: threads.each(lambda at: np.copyto(b[at], a[at]), parts), turns)


def measure(turns, count):
    """Measure both networks; write the record."""
    threads.use(count, blas=False)
    rate, found = copy_rate(turns), {}
    for case in ("28", "64"):
        iteration = dcgan.program(case, "scratchgan", 64)
        iteration()
        whole, rows, known = median(iteration, turns), {}, {}
        for operation, function, args, result in calls_of(iteration):
            shape = product_of(operation, function, args, result)
            key = function.__qualname__, shape, tuple(array.shape for array in arrays(args))
            if key not in known:
                size = sum(array.nbytes for array in arrays(args) + arrays(result))
                ours = median(lambda f=function, a=args: f(*a), turns)
                known[key] = ours, product_time(shape, turns) if shape else 0.0, size / rate
            rows.setdefault(operation, []).append(known[key])
        table = {operation: [len(own), *np.sum(own, 0).round(3).tolist()] for operation, own in rows.items()}
        found[f"DCGAN {case}"] = {"ms": round(whole, 2), "operations": table}
    write_json(RECORD, {"threads": count, "GB/s": round(rate / 1e6, 1), "networks": found})


def table_of(found):
    """Return the record as a table in Markdown."""
    lines = [f"Copies: {found['GB/s']} GB/s read and written; {found['threads']} threads.", ""]
    lines += ["| network | operation | calls | ms | its products alone | its bytes alone | ms over both |"]
    lines += [f"|{'---|' * 7}"]
    for network, own in found["networks"].items():
        for operation, (calls, ours, products, size) in own["operations"].items():
            cells = [network, operation, calls, f"{ours:.2f}", f"{products:.2f}", f"{size:.2f}"]
            lines.append(f"| {' | '.join(map(str, cells))} | {ours / (products + size):.2f} |")
        total = [sum(column) for column in zip(*own["operations"].values(), strict=True)]
        cells = [network, "all", total[0], *(f"{value:.1f}" for value in total[1:])]
        lines.append(f"| {' | '.join(map(str, cells))} | of an iteration's {own['ms']:.1f} ms |")
    return "\n".join(lines)
