"""`scratchgan runs`: a table of what was trained, and curves of several runs; no folder makes it fail."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from scratchgan.__main__ import main
from scratchgan.support.errors import CheckpointError
from scratchgan.tools import runs
from scratchgan.training import checkpoint


def make(folder, step=500, age=0, script="gan.py", **settings):
    """Write a run as training leaves it, last changed `age` seconds ago."""
    folder.mkdir(parents=True)
    settings = {"steps": 1000, "data": "glyphs"} | settings
    meta = {"model": "GAN", "script": script, "step": step, "seconds": 90.0, "shape": [28, 28, 1], "settings": settings}
    checkpoint.save(folder / "checkpoint.npz", {"model/G/0.W": np.zeros((100, 100))}, meta)
    lines = [{"step": 25, "seconds": 1.0, "D": 9.0, "G": 9.0}, {"step": 500, "seconds": 2.0, "D": 1.386, "G": 0.7512}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "log.jsonl").write_text(text + json.dumps({"step": 500, "report": {"modes": 8}}) + '\n{"step": 525, "D"')
    moment = (folder / "checkpoint.npz").stat().st_mtime - age
    os.utime(folder / "checkpoint.npz", (moment, moment))
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(capsys, *arguments, status=0):
    assert main(["runs", *arguments]) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out.splitlines() if status == 0 else err


def test_a_row_tells_what_a_run_is_and_the_newest_is_first(here, capsys):
    make(here / "runs" / "old", age=100)
    new = make(here / "runs" / "new", step=1000, script="gan2d.py", data="ring")
    metrics = {"FID-LeNet": {"value": 96.351, "floor": 1.061}, "KID-LeNet": {"value": 1, "floor": 1}}
    (new / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    head, first, second = table(capsys)
    assert head.split() == ["run", "script", "data", "steps", "minutes", "losses", "metrics", "size"]
    assert first.split() == ("new gan2d.py ring 1,000 of 1,000 1.5 D 1.39, G 0.751 FID-LeNet 96.35 (floor 1.061)"
                             " 81.5 kB").split()  # fmt: skip
    assert second.split()[:6] == ["old", "gan.py", "glyphs", "500", "of", "1,000"]
    assert table(capsys, "runs/old")[1].split() == second.split()  # a run by itself


def test_no_array_is_read(here, capsys, monkeypatch):
    make(here / "runs" / "a")
    monkeypatch.setattr(checkpoint, "load", None)
    content = (here / "runs/a/checkpoint.npz").read_bytes()
    assert content.count(np.zeros(800).tobytes()) == 12
    broken = content.replace(np.zeros(800).tobytes(), np.ones(800).tobytes(), 1)  # the weights' checksum is wrong now
    (here / "runs/a/checkpoint.npz").write_bytes(broken)
    assert "500 of 1,000" in table(capsys)[1]


def test_what_is_no_run_gets_a_line_of_its_own(here, capsys):
    make(here / "runs" / "good")
    half = make(here / "runs" / "half")
    (half / "checkpoint.npz").write_bytes((half / "checkpoint.npz").read_bytes()[:300])
    bare = make(here / "runs" / "bare")
    checkpoint.save(bare / "checkpoint.npz", {}, {"step": "x"})
    (here / "runs" / "classifiers").mkdir()
    (here / "runs" / "a file").write_text("")
    (here / "runs" / "evil\x1b[2J\nname").mkdir()
    (here / "runs" / "folder").mkdir()
    (here / "runs" / "folder" / "checkpoint.npz").mkdir()
    if hasattr(os, "mkfifo"):
        (here / "runs" / "pipe").mkdir()
        os.mkfifo(here / "runs" / "pipe" / "checkpoint.npz")
    lines = table(capsys)
    assert len(lines) == 2 + len(list((here / "runs").iterdir())) - 2
    assert any(line.startswith("half: ") and "damaged" in line for line in lines)
    assert any(line.startswith("bare: ") and "does not tell its step" in line for line in lines)
    assert "classifiers: no run: it holds no checkpoint.npz" in lines
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("text", ["{", "[]", '{"metrics": {}}', '{"metrics": {"a": 3}}', '{"metrics": {"a": {}}}'])
def test_metrics_that_somebody_has_changed(here, text):
    (here / "metrics.json").write_text(text)
    assert runs.metrics(here / "metrics.json") == "damaged"


def test_metrics_without_a_number(here):
    (here / "metrics.json").write_text('{"metrics": {"a": {"value": null, "floor": 2}}}')
    assert runs.metrics(here / "metrics.json") == "a none (floor 2)"


@pytest.mark.parametrize("text, losses", [
    ("", {}), ("\0\0\0\n[1]\n", {}), ('{"step": 1, "D": 2}\n' + "x" * 100_000, {}), ("[" * 3000, {}),
    ("x" * 100_000 + '\n{"step": 1, "seconds": 3, "D": 2}\n', {"D": 2}),
])  # fmt: skip
def test_only_the_end_of_a_log_is_read(here, text, losses):
    (here / "log.jsonl").write_text(text)
    assert runs.last_losses(here / "log.jsonl") == losses


def test_the_facts_of_a_checkpoint_are_not_trusted(here):
    np.savez(here / "a.npz", meta=np.array("x" * 3_000_000))  # 12 MB
    np.savez_compressed(here / "b.npz", meta=np.array('{"meta": {}}'))
    np.savez(here / "c.npz", meta=np.array('{"meta": [1]}'))
    np.savez(here / "d.npz", other=np.zeros(3))
    for name in "abcd":
        with pytest.raises(CheckpointError, match="damaged or is no checkpoint"):
            checkpoint.load_meta(here / f"{name}.npz")


def test_curves_have_one_colour_per_run(here, capsys):
    for name in ("a", "b"):
        make(here / "runs" / name)
    assert table(capsys, "runs/a", "runs/b", "--out", "curves.png") == ["wrote curves.png"]
    picture = np.asarray(Image.open("curves.png").convert("RGB"))
    assert picture.shape == (700, 800, 3)  # a chart for D, and one for G
    for half in (picture[:350], picture[350:]):
        assert all((half == color).all(-1).any() for color in ([31, 119, 180], [255, 127, 14]))
        assert not (half == [44, 160, 44]).all(-1).any()


def test_what_cannot_be_drawn_or_found_is_told(here, capsys):
    make(here / "runs" / "a")
    (here / "runs" / "a" / "log.jsonl").write_text("")
    assert "holds no losses yet" in table(capsys, "runs/a", "--out", "c.png", status=3)
    assert "name must end with .png" in table(capsys, "runs/a", "--out", "c.jpg", status=3)
    assert "There is no folder none" in table(capsys, "none", status=3)
    (here / "many").mkdir()
    for number in range(11):
        (here / "many" / str(number)).mkdir()
    assert "name 1 to 10" in table(capsys, "many", "--out", "c.png", status=3)
    assert sorted(path.name for path in here.iterdir()) == ["many", "runs"]
    (here / "empty").mkdir()
    assert table(capsys, "empty") == ["no runs"]
