"""What code asks of a device: operations, copies between host and device, and synchronisations."""

import contextlib
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
XP = HERE.parent.parent / "xp.py"
_open = []  # the Counts of all `with` blocks that are open


class Counts:
    """Three numbers, and in `names` what they consist of: {"matmul": 6, "float() at mine.py:12": 1, ...}.

    operations: calls that compute or move numbers on the device. One that returns a view, such as a slice or a
    transpose, runs nothing there and is not counted.
    copies: arrays copied from the host to the device, or back.
    synchronisations: how often the host waited for the device; each name tells the line that did.
    """

    def __init__(self):
        self.operations = self.copies = self.synchronisations = 0
        self.names = Counter()

    def __repr__(self):
        total = f"{self.operations} operations, {self.copies} copies, {self.synchronisations} synchronisations"
        return "\n".join([total, *[f"{number:6} {name}" for name, number in self.names.most_common()]])


@contextlib.contextmanager
def counting():
    """Within the `with` block, count; yield the `Counts`, which print as a table. Blocks may lie inside each other."""
    counts = Counts()
    _open.append(counts)
    try:
        yield counts
    finally:
        _open.remove(counts)


def record(kind, name):
    """Count one of a kind: "operations", "copies" or "synchronisations"."""
    if kind == "synchronisations" and _open:
        name = f"{name} at {place()}"
    for counts in _open:
        setattr(counts, kind, getattr(counts, kind) + 1)
        counts.names[name] += 1


def place():
    """Return "file:line" of the nearest caller outside of this package and of `xp.to_host`."""
    frame = sys._getframe(1)
    path = Path(frame.f_code.co_filename)
    while path.parent == HERE or path == XP:
        frame = frame.f_back
        path = Path(frame.f_code.co_filename)
    return f"{path.name}:{frame.f_lineno}"
