"""Files are there in full or not at all, whoever else writes them."""

import os

import pytest

from scratchgan.support.errors import UserError
from scratchgan.support.files import replacing, write_json


def test_two_programs_that_write_one_file(tmp_path, monkeypatch):
    path, own = tmp_path / "page", os.getpid()
    with replacing(path) as first:
        first.write(b"the first, of which only a part")
        monkeypatch.setattr(os, "getpid", lambda: own + 1)
        with replacing(path) as second:
            second.write(b"the second")
        assert path.read_bytes() == b"the second"
        first.write(b" was there")
    assert path.read_bytes() == b"the first, of which only a part was there"
    assert [file.name for file in tmp_path.iterdir()] == ["page"]


def test_what_fails_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.json") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.json").read_text() == '{\n  "n": 1\n}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nothing was changed"):
        write_json(tmp_path / "nowhere" / "a.json", {})
