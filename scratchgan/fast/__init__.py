"""The same, faster. `layers/` and `optim.py` are the book; here are twins that compute the same.

    from scratchgan import fast
    fast.off()          # from now on, all is computed by the plain code that is read
    with fast.plain():  # or for a while

The twins are on from the start. `table.PAIRS` names each of them beside what it stands in for.
"""

from scratchgan.fast.table import is_on, off, on, plain

__all__ = ["is_on", "off", "on", "plain"]
