"""Looking into a network: `summary` counts what each layer makes and costs, `trace` measures what flows through it.

Layers have no hooks for this. The containers are taken apart here instead: `forward` and `backward` below do by hand
what those of Sequential, Residual and Concat do, and report on every layer as they go.
"""

import copy
import math
from typing import NamedTuple

from scratchgan import xp
from scratchgan.layers.base import add, check
from scratchgan.layers.compose import Concat, Conditional, Residual, Sequential, Tapes

# ---- what a network is made of ---------------------------------------------------------------------------


class Row(NamedTuple):
    """One layer of a summary. Multiply-adds and bytes are those of one sample."""

    path: str
    layer: str
    output_shape: tuple  # with N
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

    Zeros of this shape, (N, ...), are sent through the network, in inference, which changes nothing in it. dtype is
    that of x: by default that of the network's parameters; a network that begins with an Embedding needs "int64".
    A network that takes labels is given zeros for them, too.
    Multiply-adds are the products of weights and numbers that depend on x, which layers with a method
    `multiply_adds(shape)` count; activations, normalisations and pooling cost little beside them and count as 0.
    A layer of another kind that has layers inside is one row.
    """
    seen, rows = set(), []
    if dtype is None:
        dtype = next((param.value.dtype for param in net.params()), "float32")

    def visit(path, layer, x, y):
        new = [param for param in layer.params() if id(param) not in seen]
        seen.update(id(param) for param in new)
        products = layer.multiply_adds((1, *x.shape[1:])) if hasattr(layer, "multiply_adds") else 0
        parameters = sum(param.value.size for param in new)
        rows.append(Row(path, repr(layer), y.shape, parameters, products, math.prod(y.shape[1:]) * y.itemsize))

    x = xp.zeros(shape, dtype=dtype)
    forward(net, "", (x, xp.zeros(shape[:1], dtype="int64")) if net.takes_labels else x, False, visit)
    return rows


# ---- what flows through it -------------------------------------------------------------------------------


class Record(NamedTuple):
    """What one layer did to the signal on its way up, and to the gradient on its way down."""

    path: str
    layer: str
    mean: float  # of y, the layer's output, over all its elements
    spread: float  # standard deviation of y
    gradient_norm: float  # |dx|, dx being what the layer's backward returned; NaN where there is none (Embedding)
    gradient_spread: float  # standard deviation of dx


def trace(net, x, rng):
    """Return the `Record` of every layer, in the order of forward, for one forward and backward in training.

    x: a batch, or the pair (x, labels) of a network that takes labels. The gradient at the network's output is drawn
    from N(0, 1) by rng, so that a gradient_spread far above or below 1 tells how much the layers above have made of it.
    A copy of the network is used: parameters, grads, running statistics and generators of `net` stay as they are.
    """
    net, records = copy.deepcopy(net), {}

    def up(path, layer, x, y):
        records[path] = (path, repr(layer), float(y.mean()), float(y.std()))

    def down(path, dx):
        norm, spread = (float("nan"),) * 2 if dx is None else (float(xp.sqrt((dx * dx).sum())), float(dx.std()))
        records[path] = Record(*records[path], norm, spread)

    y, tape = forward(net, "", x, True, up)
    backward(net, "", tape, xp.to_device(rng.standard_normal(y.shape), y.dtype), down)
    return list(records.values())


# ---- the containers, by hand -----------------------------------------------------------------------------


def computes_as(layer, container):
    """Whether a layer is such a container; a subclass with a forward of its own is not."""
    return type(layer).forward is container.forward


def forward(layer, path, x, train, visit):
    """Return layer.forward(x, train), and call visit(path, layer, x, y) for every layer inside but Sequential."""
    if computes_as(layer, Sequential):
        tapes = Tapes()
        for name, part in layer.children():
            x, tape = forward(part, join(path, name), x, train, visit)
            tapes.append(tape)
        return x, tapes  # a row of its own would repeat its last layer's
    if computes_as(layer, Conditional):
        tapes, (x, labels) = Tapes(), x
        for name, part in layer.children():
            x, tape = forward(part, join(path, name), (x, labels) if part.takes_labels else x, train, visit)
            tapes.append(tape)
        return x, tapes
    if computes_as(layer, Residual):
        body, body_tape = forward(layer.body, join(path, "body"), x, train, visit)
        around, shortcut_tape = forward(layer.shortcut, join(path, "shortcut"), x, train, visit)
        y, tape = check(layer, "body(x)", body, around.shape) + around, (body_tape, shortcut_tape)
    elif computes_as(layer, Concat):
        parts = [forward(branch, join(path, name), x, train, visit) for name, branch in layer.children()]
        ys, tapes = zip(*parts, strict=True)
        y, tape = xp.concatenate(ys, axis=-1), (Tapes(tapes), [part.shape[-1] for part in ys])
    else:
        y, tape = layer.forward(x, train)
    visit(path, layer, x, y)
    return y, tape


def backward(layer, path, tape, dy, visit):
    """Return layer.backward(tape, dy, grads=False), and call visit(path, dx) for every layer inside but Sequential."""
    if computes_as(layer, Sequential) or computes_as(layer, Conditional):
        for (name, part), part_tape in zip(reversed(layer.children()), reversed(tape), strict=True):
            dy = backward(part, join(path, name), part_tape, dy, visit)
        return dy
    if computes_as(layer, Residual):
        parts = zip((("body", layer.body), ("shortcut", layer.shortcut)), tape, (dy, dy), strict=True)
    elif computes_as(layer, Concat):
        tapes, widths = tape
        parts = zip(layer.children(), tapes, layer.split(dy, widths), strict=True)
    else:
        dx = layer.backward(tape, dy, grads=False)
        visit(path, dx)
        return dx
    dx = None
    for (name, part), part_tape, part_dy in parts:
        dx = add(dx, backward(part, join(path, name), part_tape, part_dy, visit))
    visit(path, dx)
    return dx


def join(path, name):
    """Return the path of a layer inside another, as `named_layers` writes it."""
    return f"{path}.{name}".lstrip(".")
