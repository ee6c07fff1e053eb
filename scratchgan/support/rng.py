"""The state of a random number generator as an array, for checkpoints that hold arrays only; and what is drawn."""

import json
import math

import numpy as np

from scratchgan.support.errors import CheckpointError
from scratchgan.support.files import parse_json


def rng_state(rng):
    """Return the state of `rng` as a 0-d unicode array of JSON, which `np.savez` stores without pickle.

    Any bit generator of NumPy will do. `set_rng_state` is the inverse.
    """
    return np.array(json.dumps(rng.bit_generator.state, default=np.ndarray.tolist))


def set_rng_state(rng, state):
    """Put `rng` into a state that `rng_state` returned: it then draws the same numbers again, exactly.

    Raises CheckpointError, and leaves `rng` as it was, when `state` is no such state or belongs to another
    kind of bit generator.
    """
    kind = type(rng.bit_generator).__name__
    try:
        state = parse_json(str(state))
        stored_kind = state["bit_generator"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CheckpointError(
            "This is not the state of a random number generator; use a state that rng_state returned."
        ) from None
    if stored_kind != kind:
        raise CheckpointError(
            f"The stored random state belongs to a {stored_kind} generator and this one is {kind}; "
            f"make it with np.random.Generator(np.random.{stored_kind}())."
        )
    before = rng.bit_generator.state
    try:
        rng.bit_generator.state = state
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        rng.bit_generator.state = before
        raise CheckpointError(
            f"The stored random state of the {kind} generator is damaged ({error}); use an older checkpoint."
        ) from None


class Metered(np.random.Generator):
    """A generator that tells how much is to be drawn, `demand(bytes in all)`, before it is: that may raise an error.

    A network is built of what a generator draws, so that a demand knows its size before it takes any memory.
    """

    def __init__(self, bit_generator, demand=None):
        super().__init__(bit_generator)
        self.demand, self.drawn = demand, 0

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        self.meter(size, dtype)
        return super().standard_normal(size, dtype, out)

    def uniform(self, low=0.0, high=1.0, size=None):
        self.meter(size, np.float64)
        return super().uniform(low, high, size)

    def meter(self, size, dtype):
        """Count an array that is about to be drawn, as long as there is a demand."""
        if self.demand is not None:
            self.drawn += math.prod(np.atleast_1d(size or 1).tolist()) * np.dtype(dtype).itemsize
            self.demand(self.drawn)
