"""The suite is shared out once, and where nobody chose; laws draw all that they ask for in CI."""

from pathlib import Path
from types import SimpleNamespace

import conftest
import draws
import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("change, whole", [
    ({}, True), ({"usepdb": True}, False), ({"capture": "no"}, False), ({"collectonly": True}, False),
    ({"args": [str(HERE / "test_draws.py")]}, False), ({"args": [f"{HERE}/test_draws.py::test_x"]}, False),
])  # fmt: skip
def test_folders_are_shared_out_and_what_is_chosen_is_not(monkeypatch, change, whole):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    option = {"usepdb": False, "capture": "fd", "collectonly": False} | change
    config = SimpleNamespace(args=option.pop("args", [str(HERE)]), option=SimpleNamespace(**option))
    assert conftest.is_whole(config) == whole
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")  # else each would start others, and these others, and so on
    assert not conftest.is_whole(config)


def test_every_process_names_bytes_alike():
    assert conftest.pytest_make_parametrize_id(b"\0\1", "content") == "2 bytes of content"
    assert conftest.pytest_make_parametrize_id("text", "content") is None


@pytest.mark.parametrize("wanted, few", [(100, 25), (40, 10), (15, 5), (3, 3)])
def test_examples(monkeypatch, wanted, few):
    monkeypatch.setattr(draws, "ALL", False)
    assert draws.draws(wanted).max_examples == few
    monkeypatch.setattr(draws, "ALL", True)
    assert draws.draws(wanted).max_examples == wanted
