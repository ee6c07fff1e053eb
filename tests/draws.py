"""How many examples Hypothesis draws for a law: all that it asks for in CI, a quarter of them elsewhere.

CI is where the environment says so: `CI=true pytest tests/test_laws.py`.
"""

import os

from hypothesis import settings

ALL = bool(os.environ.get("CI"))


def draws(examples):
    """Return settings for a law that wants so many examples; it gets at least 5, or all if it wants fewer."""
    few = max(examples // 4, min(examples, 5))
    return settings(max_examples=examples if ALL else few, deadline=None)
