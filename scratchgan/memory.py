"""Memory that is freed and wanted again a moment later: a training step makes and drops the same arrays every time."""

import ctypes

# Parameters of glibc's mallopt(3), from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8


def keep():
    """Let the C library keep freed memory for the next array, instead of giving it back to the system each time.

    Memory fresh from the system comes in pages of 4 KB that must each be fetched and cleared at their first use: for an
    array of some MB that takes longer than the arithmetic on it. Returns whether it could be set: on Linux with glibc
    only; elsewhere nothing happens. It holds for the whole process, and uses more memory at rest, not at the peak.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another system, another C library
        return False
    gigabyte = 2**30
    settings = {M_MMAP_THRESHOLD: gigabyte, M_TRIM_THRESHOLD: 2 * gigabyte - 1, M_TOP_PAD: gigabyte // 16}
    settings[M_ARENA_MAX] = 1  # threads share what is kept
    return all([mallopt(parameter, value) for parameter, value in settings.items()])  # each, whatever one says
