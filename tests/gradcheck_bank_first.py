"""The first bank: bugs that the first rules were written from, for each operation and kind; and the control group."""

import gradcheck_bugs_layers as layers
import gradcheck_bugs_pointwise as pointwise
import gradcheck_bugs_second as second
import numpy
from gradcheck_controls import controls
from gradcheck_plant import Planted, Right


def bugs():
    """Return every planted bug, on the operations' own shapes."""
    found = [
        *layers.dense(),
        *layers.conv(),
        *layers.conv_transpose(),
        *layers.norm(),
        *layers.norm("batch norm of pictures", (0, 1, 2), shape=(3, 4, 2, 3))[:3],
        *layers.norm("layer norm", (1,), shape=(5, 6))[:3],
        *layers.norm("layer norm", (1,), shape=(5, 6))[-2:],
        *layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2))[:3],
        *layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2))[-3:],
    ]
    for name in pointwise.ACTIVATIONS:
        found += pointwise.activation(name)
    for family in (
        pointwise.softmax_layer,
        pointwise.cross_entropy,
        pointwise.binary_cross_entropy,
        pointwise.hinge,
        pointwise.squared_error,
        pointwise.embedding,
        pointwise.dropout,
        pointwise.pooling,
    ):
        found += family()
    found += pointwise.pooling("mean")
    for family in (
        second.spectral,
        second.weight_norm,
        second.residual,
        second.two_layers,
        second.double_tanh,
        second.double_dense,
        second.double_two_layers,
        second.penalty,
    ):
        found += family()
    return found + second.two_layers("ReLU")


PUT_TOGETHER = eval(  # text, so that nobody who reads the code of a bug sees the right backward beside it
    "lambda bug: lambda dy, *args: tuple(bug.wrong[name](dy, *args) if name in bug.wrong else gradient"
    " for name, gradient in zip(bug.operation.names, bug.operation.backward(dy, *args)))"
)
MADE = {}  # the arguments of each operation, made once


def planted(bug):
    """Return a bug as a Planted."""
    operation = bug.operation
    args = MADE.setdefault(id(operation), operation.make(numpy.random.default_rng([0, 1])))
    names = operation.names[: len(args)]
    fields = operation.forward, PUT_TOGETHER(bug), args, names, {bug.kind}, (), operation.backward
    return Planted(f"{operation.name}: {bug.text}", *fields, operation.second_order)


BUGS = bugs()  # kept: they are told apart by their places in memory
PLANTED = [planted(bug) for bug in BUGS]
RIGHT = [Right(*control) for control in controls()]
