"""Find out whether derivatives written by hand are right, and if not, where and why.

    from scratchgan.gradcheck import check
    report = check(forward, backward, (x, w))
    print(report)
"""

from scratchgan.gradcheck.check import check, check_second
from scratchgan.gradcheck.numeric import complex_step, ridders
from scratchgan.gradcheck.report import AGREE, UNRESOLVED, WRONG, Cause, Comparison, Context, Report, Sweep, Worst

__all__ = [
    "AGREE", "UNRESOLVED", "WRONG", "Cause", "Comparison", "Context", "Report", "Sweep", "Worst",
    "check", "check_second", "compare", "complex_step", "ridders", "sweep",
]  # fmt: skip


def __getattr__(name):
    """Import `compare` and `sweep` when they are asked for: they need scratchgan.layers, which takes its time."""
    if name not in ("compare", "sweep"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from scratchgan.gradcheck import against

    return getattr(against, name)
