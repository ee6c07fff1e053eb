"""Layouts: channels last, as in all of scratchgan, or first, as in PyTorch."""

import numpy

LAYOUTS = ("channels-last", "channels-first")
TOLERANCE = "tolerance_"  # tolerance_dW: how far a correct dW may be from the one in the vectors, entry by entry
DATA = ("x", "dx", "ddx", "y", "dy", "ddy", "bend")
WEIGHTS = ("W", "dW", "bend_W")
SPATIAL = ("conv", "batch_norm", "instance_norm", "group_norm", "pixel_", "max_pool", "avg_pool", "global_",
           "upsample", "pad_")  # fmt: skip
MOVED = {"data": (-1, 1), "weight": ((-1, -2), (0, 1))}  # (N, ..., C) -> (N, C, ...); (..., in, out) -> (out, in, ...)


def axis_kinds(of):
    """Return {array name: "data" or "weight"} for the arrays of a layer that look otherwise with the channels first."""
    kinds = dict.fromkeys(DATA, "data") if of.startswith(SPATIAL) else {}
    kinds |= dict.fromkeys(WEIGHTS, "weight") if of.startswith(("conv", "dense")) else {}
    return kinds | {TOLERANCE + name: kind for name, kind in kinds.items()}


def to_layout(array, kind, layout):
    """Return an array that has its channels last in a layout; kind is as in `axis_kinds`, or None."""
    return array if kind is None or layout == LAYOUTS[0] else numpy.moveaxis(array, *MOVED[kind])


def from_layout(array, kind, layout):
    """Return an array in a layout with its channels last: undoes `to_layout`."""
    return array if kind is None or layout == LAYOUTS[0] else numpy.moveaxis(array, *MOVED[kind][::-1])
