"""Planted bugs are called WRONG and mostly get their cause; right code is never called WRONG, and judged sharply.

The floors are what `python tests/gradcheck_plant.py` printed when they were written, less a bug or two.
"""

import importlib

import gradcheck_plant
import pytest
from draws import ALL

from scratchgan.gradcheck.causes import search

NAMED = {  # bank: of its planted bugs, so many get their true cause among the first two, at least
    "held_out": 94,
    "bank_conv": 35,
    "bank_dense": 31,
    "bank_first": 112,
    "bank_fresh": 42,
    "bank_loss": 29,
    "bank_norm": 32,
    "bank_people": 37,
    "bank_point": 35,
    "bank_second": 37,
    "bank_time": 32,
    "sealed_attention": 18,
    "sealed_conv": 14,
    "sealed_dense": 13,
    "sealed_losses": 16,
    "sealed_norm": 21,
    "sealed_people": 41,
    "sealed_pointwise": 26,
    "sealed_recurrent": 19,
    "sealed_second": 17,
}


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """A machine with much else to do must not change what is found."""
    monkeypatch.setattr(search, "SECONDS", 4.0)


@pytest.mark.parametrize("bank", gradcheck_plant.every_bank())
def test_a_bank(bank):
    """Every eighth bug and every eighth right backward of it; in CI every second, the command in docs all."""
    said = []
    counts = gradcheck_plant.run(bank, said.append, every=2 if ALL else 8)
    assert counts["crashes"] == counts["rights_wrong"] == counts["beside_disagree"] == 0, said
    assert counts["flagged"] == counts["bugs"] > 0, said
    unnamed = len(importlib.import_module(bank).PLANTED) - NAMED[bank.removeprefix("gradcheck_")]  # at most
    assert counts["bugs"] - counts["named"] <= unnamed, (counts, said)
