"""What something will need of the memory, known before it is begun."""

import contextlib
import os
from pathlib import Path

from scratchgan.support.errors import UserError

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def afford(size, what, remedy, error=UserError):
    """Raise `error` if `size` bytes are more than what is free: "WHAT would need 3.1 TB of memory, ...: REMEDY."

    Without it, the system would kill the program in the middle, without a word. Where nobody knows what is free,
    anything goes.
    """
    free = available()
    if free is not None and size > free:
        raise error(f"{what} would need {in_words(size)} of memory, and {in_words(free)} are free: {remedy}.")


def available():
    """Return how many bytes of memory this process may still use, as its system or its container says, or None."""
    limits = [limit for limit in (free_in_container(), free_on_machine()) if limit is not None]
    return min(limits, default=None)


def free_on_machine():
    """Return the bytes that Linux could give to programs without swapping; of other systems, all memory, or None."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def free_in_container(root=Path("/sys/fs/cgroup")):
    """Return what a container's limit leaves, in bytes; None where there is no limit."""
    try:
        limit, used = (int((root / name).read_text()) for name in ("memory.max", "memory.current"))
        cache = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        return max(limit - used + int(cache.get("inactive_file", 0)), 0)
    except (OSError, ValueError):  # no container, or "max"
        return None


def in_words(size):
    """Return a number of bytes as people say it: 3.1 TB."""
    size, unit = float(size), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {UNITS[unit]}" if size < 1e6 else f"{size:.0e} {UNITS[unit]}"
