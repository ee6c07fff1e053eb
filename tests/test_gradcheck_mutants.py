"""Planted bugs are called WRONG and get their cause; other bugs mostly do, too; correct code is never called WRONG."""

import re
from pathlib import Path

import pytest
from gradcheck_held_out import COURSE, FRESH, HELD_OUT, outcome
from gradcheck_table import bugs, summary, table, tally

from scratchgan.gradcheck.causes import search

PAGE = Path(__file__).parent.parent / "docs" / "gradcheck.md"


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """A machine with much else to do must not change what is found."""
    monkeypatch.setattr(search, "SECONDS", 120.0)


def test_planted_bugs_get_their_cause_and_correct_code_is_never_called_wrong():
    lines, counts = table()
    count, wrong, by_rules, together = counts
    assert count >= 40 and wrong == count
    assert together >= 0.85 * count and by_rules >= 0.75 * count
    verdicts = tally()
    assert len(verdicts) >= 40
    assert [name for name, verdict in verdicts.items() if verdict == "WRONG"] == []
    assert list(verdicts.values()).count("AGREE") >= 0.95 * len(verdicts)
    page = PAGE.read_text(encoding="utf-8").splitlines()
    columns = lambda rows: [re.split(r"(?<!\\)\|", row)[1:6] for row in rows]
    start = page.index(lines[0])
    assert columns(page[start : start + len(lines)]) == columns(lines)  # run the command again if it does not
    for line in summary(counts, verdicts):
        assert line in page, f"docs/gradcheck.md does not say: {line}"


def test_the_causes_that_were_promised_are_planted():
    """Each kind of bug that the checker promises to name is planted at least once."""
    promised = {
        "sign", "scale", "transposed", "flipped", "not-summed", "over-summed", "mean-path", "variance-path", "shifted",
        "derivative-missing", "derivative-at-output", "stride-tail", "branch", "softmax-twice", "detached",
        "swapped-constants", "exchanged", "bend", "parameter-term", "mask-missing", "overwritten", "norm-path",
    }  # fmt: skip
    assert promised <= {bug.kind for bug in bugs()}  # "accumulated" needs a layer with a memory: see the held-out ones
    assert "accumulated" in set().union(*(case[-1] for case in HELD_OUT))


def test_held_out_bugs():
    cases = [*HELD_OUT, *COURSE, *FRESH]
    outcomes = {case[0]: outcome(case) for case in cases}
    assert [name for name, (report, _) in outcomes.items() if report.overall != "WRONG"] == []
    missed = [name for name, (_, right) in outcomes.items() if not right]
    assert len(missed) <= 0.1 * len(cases), missed
