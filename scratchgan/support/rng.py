"""The state of a random number generator as an array, for checkpoints that hold arrays only."""

import json

import numpy as np

from scratchgan.support.errors import CheckpointError


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
        state = json.loads(str(state))
        stored_kind = state["bit_generator"]
    except (ValueError, TypeError, KeyError):
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
