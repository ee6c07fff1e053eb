"""Which pictures of a folder a training does not see, so that its samples can be measured against them."""

import hashlib

import numpy as np

from scratchgan.support.errors import DataError
from scratchgan.support.files import reading

SHARE = 10  # one in so many
LEAST = 20  # fewer tell nothing


def held_out(files):
    """Return which of these pictures are held out, bool (N,): about one in ten; raise DataError if they are too few.

    The bytes of a file decide alone. So a picture that is added, renamed or moved changes nothing for the others, and
    of two copies of one file, both are held out or none.
    """
    chosen = np.array([number_of(file) % SHARE == 0 for file in files])
    if chosen.sum() < LEAST:
        kept = f"--hold-out would keep {chosen.sum()} of {len(files)} pictures"
        raise DataError(f"{kept}, and {LEAST} is the least that tells something: it is for larger folders.")
    return chosen


def number_of(file):
    """Return a number that follows from the bytes of a file, and looks random."""
    with reading(file, error=DataError) as opened:
        digest = hashlib.blake2b(opened.read(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
