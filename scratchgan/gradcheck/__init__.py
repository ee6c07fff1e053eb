"""Find out whether derivatives written by hand are right, and if not, where and why.

    from scratchgan.gradcheck import check
    report = check(forward, backward, (x, w))
    print(report)
"""

from scratchgan.gradcheck.check import check, check_second
from scratchgan.gradcheck.numeric import complex_step, ridders
from scratchgan.gradcheck.report import AGREE, UNRESOLVED, WRONG, Cause, Comparison, Context, Report, Worst

__all__ = [
    "AGREE", "UNRESOLVED", "WRONG", "Cause", "Comparison", "Context", "Report", "Worst",
    "check", "check_second", "complex_step", "ridders",
]  # fmt: skip
