"""Endless shuffled batches with an exact resume."""

import math
from collections.abc import Sequence

import numpy as np

from scratchgan import parallel, xp
from scratchgan.data.checks import check_whole
from scratchgan.support.costs import afford
from scratchgan.support.errors import CheckpointError, DataError
from scratchgan.support.rng import rng_state, set_rng_state


class Batches:
    """Endless shuffled batches of one or more arrays of the same length, on the host or on the device.

    Each epoch is a fresh permutation of the samples. A batch may span two epochs (or more, where `batch_size`
    exceeds the data set), so that no sample is dropped: each epoch holds each sample exactly once.

        images = Batches(x, batch_size=64, rng=rng).next()              # (64, H, W, C)
        images, labels = Batches(x, y, batch_size=64, rng=rng).next()   # (64, H, W, C), (64,)

    What has the shape and dtype of an array and lies in a file (a memory map, an HDF5 data set) stays there, and a
    batch reads its own samples. Lists of arrays, tables (`to_numpy`) and tensors become arrays.

    `epoch` counts the epochs that are over; `position` counts the samples taken from the present one. Raises
    DataError for what holds no samples or no numbers, for lengths that differ, and for a batch size below 1.
    """

    def __init__(self, *arrays, batch_size, rng):
        if not arrays:
            raise DataError("Batches needs at least one array.")
        arrays = tuple(as_array(array) for array in arrays)
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise DataError(f"Batches needs arrays of one length; these hold {lengths} samples.")
        if lengths[0] == 0:
            raise DataError("Batches needs at least one sample; these arrays are empty.")
        check_whole("batch size", batch_size)
        sample = sum(math.prod(array.shape[1:]) * array.dtype.itemsize for array in arrays)
        what, index = f"A batch of {batch_size:,} samples", 8  # bytes of the number of a sample
        afford(batch_size * (sample + index), what, "choose a smaller --batch-size", DataError)
        self.arrays = arrays
        self.batch_size = self.built = batch_size
        self.rng = rng
        self.order = rng.permutation(lengths[0])
        self.epoch = 0
        self.position = 0

    def next(self):
        """Return the next `batch_size` samples: one array, or a tuple where there are several arrays.

        Of several processes that train together (docs/parallel.md), each gets its share of them.
        """
        rows = parallel.group().share(self._next_rows())
        batch = tuple(gather(array, rows) for array in self.arrays)
        return batch if len(batch) > 1 else batch[0]

    def _next_rows(self):
        parts, missing = [], self.batch_size
        while missing:
            if self.position == len(self.order):
                self.order = self.rng.permutation(len(self.order))
                self.epoch += 1
                self.position = 0
            part = self.order[self.position : self.position + missing]
            parts.append(part)
            self.position += len(part)
            missing -= len(part)
        return np.concatenate(parts)  # (batch_size,)

    def state(self):
        """Return all that `load_state` needs to go on exactly here, as a dictionary of arrays."""
        return {
            "order": self.order.copy(),
            "position": np.array(self.position),
            "epoch": np.array(self.epoch),
            "rng": rng_state(self.rng),
            "batch_size": np.array([self.built, self.batch_size], int),
        }

    def load_state(self, state):
        """Go on where `state` was taken: every later batch is the same, number by number.

        Raises CheckpointError, and changes nothing, when the state is incomplete or belongs to other data.
        """
        missing = [key for key in ("order", "position", "epoch", "rng") if key not in state]
        if missing:
            raise CheckpointError(f"The stored state of the batches lacks {', '.join(missing)}.")
        n = len(self.order)
        order, position, epoch = (np.array(state[key]) for key in ("order", "position", "epoch"))
        if order.shape != (n,):
            raise CheckpointError(
                f"The stored state belongs to a data set of {order.size:,} samples and this one holds {n:,}; "
                "resume with the same data."
            )
        sizes = np.array(state.get("batch_size", [self.built, self.batch_size]))
        whole = all(array.dtype.kind == "i" for array in (order, position, epoch, sizes)) and sizes.shape == (2,)
        whole = whole and position.ndim == epoch.ndim == 0 and 0 <= position <= n and epoch >= 0 and sizes.min() >= 1
        if not whole or not np.array_equal(np.sort(order), np.arange(n)):
            raise CheckpointError("The stored state of the batches is damaged; use an older checkpoint.")
        set_rng_state(self.rng, state["rng"])
        self.order, self.position, self.epoch = order, int(position), int(epoch)
        self.batch_size = int(sizes[1]) if sizes[0] == self.built else self.batch_size  # one that is given anew stays


# ---- arrays of any kind ----------------------------------------------------------------------------------


def as_array(given):
    """Return something that has a shape, a dtype of numbers, and samples along its first axis; else raise DataError."""
    kind = type(given).__name__
    converted = hasattr(given, "__array__") or hasattr(given, "to_numpy")  # tensors; tables
    known = isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray)
    if not (known or converted or is_indexed(given)):
        raise DataError(f"Batches needs arrays; a {kind} is none.")
    try:
        # A table's own indices are names of columns, so that it is taken as an array.
        array = given.to_numpy() if hasattr(given, "to_numpy") else given if is_indexed(given) else np.asarray(given)
    except Exception as error:  # samples of several shapes; tensors on a device
        raise DataError(f"Batches can make no array of this {kind}: {error}.") from None
    if array.dtype.kind not in "biufc":
        raise DataError(f"Batches needs arrays of numbers; this {kind} holds {array.dtype}.")
    if not array.shape:  # an HDF5 data set of nothing has None
        raise DataError(f"Batches needs arrays of samples; this {kind} has no axis.")
    return array


def is_indexed(given):
    """Whether something is an array of NumPy's kind, wherever its numbers lie: in memory, on a device, in a file."""
    return isinstance(getattr(given, "dtype", None), np.dtype) and hasattr(given, "shape") and hasattr(given, "__len__")


def gather(array, rows):
    """Return array[rows], in memory, or on the device where the array lies there: only the rows are copied there.

    Files of arrays such as HDF5 give rows in increasing order alone, and each once.
    """
    if isinstance(array, np.ndarray):
        return np.asarray(array[rows])
    if xp.is_array(array):
        return array[xp.to_device(rows)]
    increasing, places = np.unique(rows, return_inverse=True)
    return np.asarray(array[increasing])[places]
