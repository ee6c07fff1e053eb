"""Looking into a network: `summary` counts what each layer makes and costs, `trace` measures what flows through it.

Layers have no hooks for this: `watching` puts itself in their place while the network computes.
"""

import copy
import math
from typing import NamedTuple

from scratchgan import xp
from scratchgan.tools.watching import watching

# ---- what a network is made of ---------------------------------------------------------------------------


class Row(NamedTuple):
    """One layer of a summary. Multiply-adds and bytes are those of one sample."""

    path: str
    layer: str
    output_shape: tuple  # with N; of a y that is a tuple, a tuple of shapes
    parameters: int  # those that no row above has counted: a layer in two places counts once
    multiply_adds: int
    output_bytes: int


def summary(net, shape, dtype=None):
    """Return a table of the layers of a network, for an x of this shape (N, ...), as text to print.

    Columns: the path of the layer, the layer, the shape of its output, its number of parameters, and per sample the
    multiply-adds of its forward and the memory of its output. See `count` for what is counted, and for dtype.
    """
    rows = count(net, shape, dtype)
    parameters, products, memory = (sum(row[column] for row in rows) for column in (3, 4, 5))
    lines = [("path", "layer", "output", "parameters", "multiply-adds", "output memory")]
    lines += [(row.path, row.layer, str(row.output_shape), *cells(*row[3:])) for row in rows]
    lines += [("", "total", "", *cells(parameters, products, memory))]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    table = []
    for line in lines:
        left = [cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
        table.append("  ".join(left + right).rstrip())
    rule = "-" * max(len(line) for line in table)
    return "\n".join([table[0], rule, *table[1:-1], rule, table[-1]])


def cells(parameters, products, memory):
    """Write three numbers as people do."""
    return f"{parameters:,}", f"{products:,}", f"{memory} B" if memory < 1024 else f"{memory / 1024:,.1f} KiB"


def count(net, shape, dtype=None):
    """Return the `Row` of every layer, in the order of computation; a container's follows those of its parts.

    Zeros of this shape, (N, ...), are sent through the network, in inference, which changes nothing in it. For a tuple
    x, give a tuple of shapes, in which one of labels is (N,); a network that takes a pair (x, labels) is given labels
    also where only the shape of x is told. dtype is that of x: by default that of the network's parameters; a network
    that begins with an Embedding needs "int64".
    Multiply-adds are the products of weights and numbers that depend on x, which layers with a method
    `multiply_adds(shape)` count; activations, normalisations and pooling cost little beside them and count as 0.
    Of containers, Residual and Concat have a row. A layer of another kind that has layers inside is one row.
    """
    seen, rows = set(), []
    if dtype is None:
        dtype = next((param.value.dtype for param in net.params()), "float32")

    def forward(path, layer, x, train):
        y, tape = type(layer).forward(layer, x, train)
        new = [param for param in layer.params() if id(param) not in seen]
        seen.update(id(param) for param in new)
        products = layer.multiply_adds(of_one(shapes(x))) if hasattr(layer, "multiply_adds") else 0
        parameters = sum(param.value.size for param in new)
        size = sum(math.prod(part.shape[1:]) * part.itemsize for part in arrays(y))
        rows.append(Row(path, repr(layer), shapes(y), parameters, products, size))
        return y, tape

    with watching(net, forward):
        net(zeros(net, shape, dtype))
    return rows


def zeros(net, shape, dtype):
    """Return an x of this shape, or of these shapes, as `count` says."""
    if isinstance(shape[0], tuple):
        return tuple(xp.zeros(part, dtype=dtype if len(part) > 1 else "int64") for part in shape)
    x = xp.zeros(shape, dtype=dtype)
    return (x, xp.zeros(shape[:1], dtype="int64")) if net.takes_pair else x


def arrays(x):
    """Return the arrays of x as a list: x itself, or what a tuple of tuples holds, without None."""
    if isinstance(x, tuple):
        return [array for part in x for array in arrays(part)]
    return [] if x is None else [x]


def of_one(shape):
    """Return the shape, or the shapes, of one sample: with N = 1."""
    return tuple(of_one(part) for part in shape) if isinstance(shape[0], tuple) else (1, *shape[1:])


def shapes(x):
    """Return the shape of an array, or those of a tuple of arrays."""
    return tuple(shapes(part) for part in x) if isinstance(x, tuple) else x.shape


# ---- what flows through it -------------------------------------------------------------------------------


class Record(NamedTuple):
    """What one layer did to the signal on its way up, and to the gradient on its way down."""

    path: str
    layer: str
    mean: float  # of y, the layer's output, over all its elements
    spread: float  # standard deviation of y
    gradient_norm: float  # |dx|, dx being what the layer's pull returned; NaN where there is none (Embedding)
    gradient_spread: float  # standard deviation of dx


def trace(net, x, rng):
    """Return the `Record` of every layer, in the order of computation, for one forward and one pull in training.

    x: a batch, or the tuple that the network takes, such as (x, labels). The gradient at the network's output is drawn
    from N(0, 1) by rng, so that a gradient_spread far above or below 1 tells how much the layers above have made of it.
    A copy of the network is used: parameters, grads, running statistics and generators of `net` stay as they are.
    """
    net, records = copy.deepcopy(net), []

    def forward(path, layer, x, train):
        y, tape = type(layer).forward(layer, x, train)
        numbers = flat(y)
        records.append(Record(path, repr(layer), float(numbers.mean()), float(numbers.std()), math.nan, math.nan))
        return y, (len(records) - 1, tape)

    def pull(layer, tape, dy):
        row, tape = tape
        dx, kept = type(layer).pull(layer, tape, dy)
        if arrays(dx):
            numbers = flat(dx)
            norm, spread = float(xp.sqrt((numbers * numbers).sum())), float(numbers.std())
            records[row] = records[row]._replace(gradient_norm=norm, gradient_spread=spread)
        return dx, kept

    with watching(net, forward, pull):
        y, tape = net.forward(x)
        net.pull(tape, drawn_like(y, rng))
    return records


def flat(x):
    """Return an array, or the numbers of all arrays of a tuple in one."""
    return xp.concatenate([array.ravel() for array in arrays(x)]) if isinstance(x, tuple) else x


def drawn_like(y, rng):
    """Return numbers from N(0, 1) in the place of those of an array, or of a tuple of arrays."""
    if isinstance(y, tuple):
        return tuple(drawn_like(part, rng) for part in y)
    return xp.to_device(rng.standard_normal(y.shape), y.dtype) if y.dtype.kind == "f" else None
