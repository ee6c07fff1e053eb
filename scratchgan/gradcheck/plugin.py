"""The pytest fixture `gradcheck`: pytest finds it where scratchgan is installed (an entry point in pyproject.toml)."""

import pytest


def asserting(function):
    """Return a function that calls another and fails with the explanation, unless the outcome is ok."""

    def checked(*args, **options):
        __tracebackhide__ = True  # pytest then shows the line of the test itself
        outcome = function(*args, **options)
        outcome.assert_ok()
        return outcome

    return checked


@pytest.fixture
def gradcheck():
    """`gradcheck(forward, backward, args)` fails the test, saying where and why, unless the gradients are right.

    Likewise gradcheck.second, gradcheck.compare and gradcheck.sweep; all take what `scratchgan.gradcheck` does.
    """
    from scratchgan.gradcheck import check, check_second, compare, sweep

    checked = asserting(check)
    checked.second, checked.compare, checked.sweep = asserting(check_second), asserting(compare), asserting(sweep)
    return checked
