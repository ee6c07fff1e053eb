"""The floor of an iteration: its products at the speed of BLAS, its bytes at that of the memory, beside our time.

`python benchmarks/speed.py floor` calls it for the large perceptrons and DCGAN 28 and 64, and writes its table. Each
operation is timed where it stands, in whole iterations; and each call in one iteration is kept with its arguments, and
repeated alone, with what it needs in the caches. Its floor is the product of the same numbers of rows and columns, of
contiguous matrices that lie in the cache where they fit, and each byte that has to be read or written, once, at the
speed of a copy. Winograd's method needs fewer products, and may be below the floor. With one thread, all is time of the
processor, which hardly knows what else runs; with more, of the clock.
"""

import math
import statistics
import time
from pathlib import Path

import dcgan
import mlp
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

now = time.perf_counter  # or the processor's time
ORDERS = {"correlate": (0, 1, 2), "apply": (0, 1, 2), "input_grad": (0, 2, 1), "weight_grad": (1, 0, 2)}


def watch(iteration, note):
    """Run an iteration; call note(operation, function, arguments, result, seconds) after each outermost call."""
    depth = [0]
    before = [(owner, name, vars(owner)[name]) for own in WATCHED.values() for owner, name in own]

    def watched(operation, function):
        def call(*args, **options):
            depth[0] += 1
            start = now()
            result = function(*args, **options)
            seconds = now() - start
            depth[0] -= 1
            if not depth[0]:
                note(operation, function, args, result, seconds)
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


def calls_of(iteration):
    """Return [(operation, function, arguments, result)] of one iteration, the outermost of those that are watched."""
    found = []
    watch(iteration, lambda *call: found.append(call[:4]))
    return found


def in_place(iteration, turns):
    """Return {operation: median ms of all its calls in an iteration}."""
    found = []
    for _ in range(turns):
        own = dict.fromkeys(WATCHED, 0.0)
        watch(iteration, lambda operation, *call, own=own: own.update({operation: own[operation] + 1e3 * call[-1]}))
        found.append(own)
    return {operation: statistics.median(own[operation] for own in found) for operation in WATCHED}


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
        start = now()
        function()
        seconds.append(now() - start)
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
    """Measure all networks; write the record."""
    global now
    now = time.process_time if count == 1 else time.perf_counter
    networks, found = {"MLP large": mlp.program("large", "scratchgan")}, {}
    networks |= {f"DCGAN {case}": dcgan.program(case, "scratchgan", 64) for case in ("28", "64")}
    threads.use(count, blas=False)
    rate = copy_rate(turns)
    for network, iteration in networks.items():
        threads.use(count, blas=network.startswith("MLP"))
        iteration()
        whole, known, rows = median(iteration, turns), {}, {}
        there = in_place(iteration, turns)
        for operation, function, args, result in calls_of(iteration):
            shape = product_of(operation, function, args, result)
            key = function.__qualname__, shape, tuple(array.shape for array in arrays(args))
            if key not in known:
                size = sum(array.nbytes for array in arrays(args) + arrays(result))
                ours = median(lambda f=function, a=args: f(*a), turns)
                known[key] = ours, product_time(shape, turns) if shape else 0.0, size / rate
            rows.setdefault(operation, []).append(known[key])
        sums = {operation: [there[operation], *np.sum(own, 0).tolist()] for operation, own in rows.items()}
        table = {operation: [len(rows[operation]), *np.round(own, 3).tolist()] for operation, own in sums.items()}
        found[network] = {"ms": round(whole, 2), "operations": table}
    write_json(RECORD, {"threads": count, "GB/s": round(rate / 1e6, 1), "networks": found})


def table_of(found):
    """Return the record as a table in Markdown."""
    of_what = "one thread, ms of the processor" if found["threads"] == 1 else f"{found['threads']} threads, ms"
    lines = [f"{of_what[0].upper()}{of_what[1:]}; copies: {found['GB/s']} GB/s read and written.", ""]
    lines += ["| network | operation | calls | ms | alone | its products alone | its bytes alone | alone, over both |"]
    lines += [f"|{'---|' * 8}"]
    for network, own in found["networks"].items():
        for operation, (calls, *ms, products, size) in own["operations"].items():
            cells = [network, operation, calls, *(f"{value:.2f}" for value in (*ms, products, size))]
            lines.append(f"| {' | '.join(map(str, cells))} | {ms[-1] / (products + size):.2f} |")
        total = [sum(column) for column in zip(*own["operations"].values(), strict=True)]
        cells = [network, "all", total[0], *(f"{value:.1f}" for value in total[1:])]
        lines.append(f"| {' | '.join(map(str, cells))} | of an iteration's {own['ms']:.1f} ms |")
    return "\n".join(lines)
