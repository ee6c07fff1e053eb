"""Checks of arguments that several data sets share."""

import math
import numbers

from scratchgan.errors import DataError


def check_whole(what, value, least=1):
    """Raise DataError unless `value` is a whole number, `least` or more."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise DataError(f"The {what} must be a whole number, {least} or more; it is {value}.")


def check_positive(what, value):
    """Raise DataError unless `value` is a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"The {what} must be a positive number; it is {value}.")


def check_channels(channels):
    """Raise DataError unless `channels` is 1 (grey) or 3 (RGB)."""
    if channels not in (1, 3):
        raise DataError(f"Pictures have 1 channel (grey) or 3 (RGB), not {channels}.")
