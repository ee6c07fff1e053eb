"""Tools that check derivatives written by hand."""

from scratchgan.gradcheck.numeric import complex_step, ridders

__all__ = ["complex_step", "ridders"]
