"""The order in which PyTorch has the numbers of a sample, followed through a network.

Where a picture becomes a vector, or the other way round, PyTorch's channels come first and ours last. `follow` computes
with one layer, and settles which orders of its x and y go together.
"""

import copy
import math

import numpy

from scratchgan.layers import (
    Add,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Join,
    LayerNorm,
    LogSoftmax,
    Part,
    PixelNorm,
    Pointwise,
    PReLU,
    Recurrent,
    Reshape,
    Softmax,
)


class Order:
    """The order in which PyTorch has the numbers of one sample, at one point of the network, once they are flattened.

    It is said by a shape, `picture`: PyTorch's number j is our number j after the last axis of that shape has come
    first. (7, 7, 64) is a picture with its channels first, and (3136,) our own order. While `picture` is None, any
    order would do, as between two Dense layers.
    """

    def __init__(self, size):
        self.size, self.picture, self.owner = size, None, None

    def indices(self):
        """Return, for each of PyTorch's numbers, the index of ours."""
        return numpy.moveaxis(numpy.arange(self.size).reshape(self.picture or (self.size,)), -1, 0).ravel()

    def settle(self, picture, owner):
        """Demand an order; raise ValueError if another one is demanded elsewhere."""
        if self.picture is None:
            self.picture, self.owner = tuple(picture) or (1,), owner
        wanted = Order(self.size)
        wanted.picture = tuple(picture) or (1,)
        if wanted.picture != self.picture and not numpy.array_equal(wanted.indices(), self.indices()):
            raise ValueError(
                f"{owner} wants the numbers of a sample as {wanted}, {self.owner} has them as {self}: PyTorch orders "
                "them otherwise, and no weights in between can be permuted. Convert the parts of the network before "
                "and after this point one by one, and permute the numbers there"
            )

    def __str__(self):
        return f"{self.picture} with channels first" if len(self.picture) > 1 else "a plain vector"


def settled(shape, picture, owner):
    """Return the settled Order of an array (N, *shape)."""
    order = Order(math.prod(shape[1:]))
    order.settle(picture, owner)
    return order


class Sample:
    """What flows through a network while it is followed: an array for one sample, and the order of its numbers."""

    def __init__(self, x, order):
        self.x, self.order = x, order


def follow(layer, owner, sample):
    """Return the Sample y of a layer, and settle the orders that it demands of x and y."""
    if isinstance(layer, Part):
        return sample[layer.index]
    if isinstance(layer, Add | Join):
        y = layer(tuple(part.x for part in sample))
        return Sample(y, order_of_sum(owner, sample) if isinstance(layer, Add) else order_of_join(owner, sample, y))
    if isinstance(sample, tuple):
        raise ValueError(f"{owner} takes a tuple, whose parts cannot be followed: convert what is around it one by one")
    # A copy computes: a layer may draw random numbers.
    y, _ = type(layer).forward(copy.deepcopy(layer), sample.x, False)
    return Sample(y, pass_on(layer, owner, sample.x, y, sample.order))


def order_of_sum(owner, samples):
    """Return the Order that all the parts of a sum must have."""
    pictures = [part.order.picture for part in samples if part.order.picture]
    for part in samples:
        part.order.settle(pictures[0] if pictures else part.x.shape[1:], owner)
    return samples[0].order


def order_of_join(owner, samples, y):
    """Return the Order of parts side by side: sequences of rows, or else each of them with its channels first."""
    plain = lambda array: (math.prod(array.shape[1:]),)
    pictures = {part.order.picture and part.order.picture == plain(part.x) for part in samples}  # None: not yet said
    rows = y.ndim > 2 and True in pictures and False not in pictures
    for part in samples:
        part.order.settle(plain(part.x) if rows else part.x.shape[1:], owner)
    return settled(y.shape, plain(y) if rows else y.shape[1:], owner)


def pass_on(layer, owner, x, y, before):
    """Return the Order of a layer's y, given that of its x, and settle what the layer demands of either."""
    if isinstance(layer, Flatten | Reshape) and x.ndim > 2 and before.picture is None:
        before.settle(x.shape[1:], owner)  # nobody has said otherwise: a picture, channels first
    if isinstance(layer, Pointwise | Dropout | Flatten | Reshape | LayerNorm | PixelNorm | Softmax | LogSoftmax):
        return before
    if x.ndim == 2 and (isinstance(layer, BatchNorm | PReLU) or isinstance(layer, GroupNorm) and layer.groups == 1):
        return before
    if isinstance(layer, Dense | Embedding | Recurrent):  # they act on, or make, the last axis in PyTorch too
        if x.ndim > 2 or isinstance(layer, Embedding):
            before.settle((before.size,), owner)
        size = math.prod(y.shape[1:])
        return Order(size) if y.ndim == 2 else settled(y.shape, (size,), owner)
    before.settle(x.shape[1:], owner)
    return settled(y.shape, y.shape[1:], owner)
