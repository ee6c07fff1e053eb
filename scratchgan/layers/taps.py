"""Which pixel meets which position: the index arithmetic of everything that slides a window over x.

Position i of y looks with tap k of the window at pixel stride i + dilation k - before of x, along
each axis. `before` pixels of a border lie before x. A tap that looks into the border meets nothing.
"""

import itertools


def taps(kernel, stride, dilation, before, x_sides, y_sides):
    """Yield (k, index of y, index of x) for each tap k: y there is where it meets x there.

    The indices are for arrays (N, *sides, C). All arguments are tuples, with an entry for each
    spatial axis, and so is k.
    """
    axes = [
        [along(k, *sizes) for k in range(size)]
        for size, *sizes in zip(kernel, stride, dilation, before, x_sides, y_sides, strict=True)
    ]
    for k in itertools.product(*map(range, kernel)):
        pairs = [axis[i] for axis, i in zip(axes, k, strict=True)]
        to, source = zip(*pairs, strict=True)
        yield k, (slice(None), *to), (slice(None), *source)


def along(k, stride, dilation, before, x_side, y_side):
    """Return (slice of y, slice of x) for tap k along one axis; both empty if it meets nothing."""
    offset = dilation * k - before
    first = max(0, -(offset // stride))  # the first position that looks at pixel 0 or later
    behind = (x_side - 1 - offset) // stride + 1  # the first that looks beyond x
    stop = max(first, min(y_side, behind))
    start = stride * first + offset
    end = max(start, start + stride * (stop - first - 1) + 1)
    return slice(first, stop), slice(start, end, stride)


def at(axis, piece):
    """Return the index that takes a slice along one axis and all of the others."""
    return (slice(None),) * axis + (piece,)
