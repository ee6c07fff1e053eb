"""Find out whether derivatives written by hand are right, and if not, where and why.

    from scratchgan.gradcheck import check
    report = check(forward, backward, (x, w))
    print(report)
"""

import importlib

from scratchgan.gradcheck.check import check, check_second
from scratchgan.gradcheck.derivative import complex_step, ridders
from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG, Cause, Comparison, Context, Worst
from scratchgan.gradcheck.report import Report, Sweep

__all__ = [
    "AGREE", "UNRESOLVED", "WRONG", "Cause", "Comparison", "Context", "Report", "Sweep", "Worst",
    "check", "check_second", "compare", "complex_step", "ridders", "sweep",
]  # fmt: skip


def __getattr__(name):
    """Return `compare` or `sweep` of scratchgan.vectors; the checker itself needs no layers of scratchgan."""
    if name not in ("compare", "sweep"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("scratchgan.vectors.against"), name)
