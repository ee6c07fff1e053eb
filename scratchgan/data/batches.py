"""Endless shuffled batches with an exact resume."""

import numpy as np

from scratchgan import xp
from scratchgan.data.checks import check_whole
from scratchgan.support.errors import CheckpointError, DataError
from scratchgan.support.rng import rng_state, set_rng_state


class Batches:
    """Endless shuffled batches of one or more arrays of the same length, on the host or on the device.

    Each epoch is a fresh permutation of the samples. A batch may span two epochs (or more, where `batch_size`
    exceeds the data set), so that no sample is dropped: each epoch holds each sample exactly once.

        images = Batches(x, batch_size=64, rng=rng).next()              # (64, H, W, C)
        images, labels = Batches(x, y, batch_size=64, rng=rng).next()   # (64, H, W, C), (64,)

    `epoch` counts the epochs that are over; `position` counts the samples taken from the present one. Raises
    DataError where there are no arrays or no samples, where lengths differ, or for a batch size below 1.
    """

    def __init__(self, *arrays, batch_size, rng):
        if not arrays:
            raise DataError("Batches needs at least one array.")
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise DataError(f"Batches needs arrays of one length; these hold {lengths} samples.")
        if lengths[0] == 0:
            raise DataError("Batches needs at least one sample; these arrays are empty.")
        check_whole("batch size", batch_size)
        self.arrays = arrays
        self.batch_size = batch_size
        self.rng = rng
        self.order = rng.permutation(lengths[0])
        self.epoch = 0
        self.position = 0

    def next(self):
        """Return the next `batch_size` samples: one array, or a tuple where there are several arrays."""
        rows = self._next_rows()
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
        whole = all(array.dtype.kind == "i" for array in (order, position, epoch))
        whole = whole and position.ndim == epoch.ndim == 0 and 0 <= position <= n and epoch >= 0
        if not whole or not np.array_equal(np.sort(order), np.arange(n)):
            raise CheckpointError("The stored state of the batches is damaged; use an older checkpoint.")
        set_rng_state(self.rng, state["rng"])
        self.order, self.position, self.epoch = order, int(position), int(epoch)


def gather(array, rows):
    """Return array[rows]; where the array lies on the device, only the numbers of the rows are copied there."""
    return array[rows if isinstance(array, np.ndarray) else xp.to_device(rows)]
