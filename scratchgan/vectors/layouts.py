"""Layouts: channels last, as in all of scratchgan, or first, as in PyTorch."""

import numpy

LAYOUTS = ("channels-last", "channels-first")


def axis_kinds(name):
    """Return {array name: "data" or "weight"} for the arrays that look otherwise with the channels first."""
    weights = dict.fromkeys(("W", "dW", "bend_W"), "weight")
    data = dict.fromkeys(("x", "dx", "ddx", "y", "dy", "ddy", "bend"), "data")
    if name.startswith("conv"):
        return data | weights
    if name == "dense":
        return weights
    spatial = ("batch_norm", "instance_norm", "group_norm", "pixel_norm", "max_pool", "avg_pool", "global_", "upsample",
               "pixel_", "pad_")  # fmt: skip
    return data if name.startswith(spatial) else {}


def to_layout(array, kind, layout):
    """Return an array that has its channels last in a layout; kind is as in `axis_kinds`, or None."""
    if layout == "channels-last" or kind is None:
        return array
    if kind == "data":
        return numpy.moveaxis(array, -1, 1) if array.ndim > 2 else array
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))  # (*kernel, a, b) -> (b, a, *kernel)


def from_layout(array, kind, layout):
    """Return an array in a layout with its channels last: undoes `to_layout`."""
    if layout == "channels-last" or kind is None:
        return array
    if kind == "data":
        return numpy.moveaxis(array, 1, -1) if array.ndim > 2 else array
    return array.transpose(*range(2, array.ndim), 1, 0)
