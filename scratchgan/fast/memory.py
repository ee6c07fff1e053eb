"""Memory that is freed and wanted again at once: each training step makes the same arrays."""

import ctypes

# Parameters of glibc's mallopt(3), from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8


def keep():
    """Let the C library keep freed memory for the next array, and not return it to the system.

    Memory fresh from the system comes in pages of 4 KB, each fetched and cleared at its first use:
    for an array of some MB that takes longer than the arithmetic on it. Returns whether it could be
    set: only on Linux with glibc. For the whole process; at rest it uses more memory, not at peak.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another system, another C library
        return False
    settings = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}  # bytes
    settings[M_ARENA_MAX] = 1  # threads share what is kept
    return all([mallopt(parameter, value) for parameter, value in settings.items()])  # sets each
