"""How many threads compute: as many as processors are idle, unless one says so."""

import os

import pytest
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.fast import threads
from scratchgan.training import checkpoint


@pytest.mark.parametrize(
    "running, machine, mine, idle",
    [(1, 2, 2, 2), (2, 2, 2, 1), (3, 2, 2, 1), (90, 2, 2, 1), (5, 9, 9, 5), (33, 64, 2, 1), (9, 64, 2, 2)],
)
def test_processors_that_others_keep_busy_are_left_to_them(tmp_path, monkeypatch, running, machine, mine, idle):
    """A container sees what runs on the whole machine: its own share of the processors has its share of that."""
    (tmp_path / "loadavg").write_text(f"9.99 9.99 9.99 {running}/700 4711\n")
    others = threads.others(pause=0, file=tmp_path / "loadavg")
    assert others == running - 1
    monkeypatch.setattr(threads, "others", lambda: others)
    monkeypatch.setattr(threads, "processors", lambda: mine)
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert threads.idle() == idle


@pytest.mark.parametrize("content", (None, "", "0.1 0.2", "a b c d/e f"))
def test_where_nobody_tells_all_are_idle(tmp_path, content):
    if content is not None:
        (tmp_path / "loadavg").write_text(content)
    assert threads.others(pause=0, file=tmp_path / "loadavg") == 0


def test_a_resumed_run_keeps_its_number_until_it_is_told_otherwise(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(threads, "processors", lambda: 3)
    monkeypatch.setattr(threads, "idle", lambda: 1)
    asked = []
    monkeypatch.setattr(threads, "use", lambda count, *, blas: asked.append(count))
    main = lambda *arguments: training.main(Tiny, Settings, [*map(str, arguments)])
    main("--out", tmp_path / "run", "--steps", 1)
    assert "the machine is busy: computing with --threads 1" in capsys.readouterr().out
    monkeypatch.setattr(threads, "idle", lambda: 3)
    main("--resume", tmp_path / "run", "--steps", 2)
    main("--resume", tmp_path / "run", "--steps", 3, "--threads", 0)
    assert "busy" not in capsys.readouterr().out
    assert asked == [1, 1, 3]
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["settings"]["threads"] == 3
    monkeypatch.setattr(threads, "processors", lambda: 2)  # another machine, on which 3 would wait for each other
    main("--resume", tmp_path / "run", "--steps", 4)
    assert "this machine has 2 processors for us: computing with --threads 2" in capsys.readouterr().out
