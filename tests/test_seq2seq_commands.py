"""Sequence to sequence as a user has it: exact resumes, the control, the commands, and the comparison of its arms."""

import json
import runpy
import sys

import numpy as np
import pytest
from PIL import Image
from test_examples import PATHS, ROOT
from test_seq2seq import start

from scratchgan.data import phrases
from scratchgan.training import answering


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["seq2seq"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["seq2seq"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


SMALL = ("--width", "8", "--batch-size", "8", "--pretraining", "3", "--pairs", "200")


@pytest.fixture
def few(monkeypatch):
    """Answer fewer sources in a report."""
    monkeypatch.setattr(answering, "REPORTED", 5)


def test_resuming_is_exact_in_both_phases(few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 6, "--out", "whole", *SMALL) == 0
    assert call(monkeypatch, "--steps", 6, "--checkpoint-every", 2, "--out", "parts", *SMALL) == 0
    assert call(monkeypatch, "--steps", 2, "--out", "halves", *SMALL) == 0
    assert call(monkeypatch, "--resume", "halves", "--steps", 6) == 0
    with np.load("whole/checkpoint.npz") as whole:
        for other in ("parts", "halves"):
            with np.load(f"{other}/checkpoint.npz") as resumed:
                paths = [path for path in whole.files if path.startswith("arrays/")]
                assert any("/model/G/" in path for path in paths) and any("/batches/" in path for path in paths)
                for path in paths:
                    np.testing.assert_array_equal(whole[path], resumed[path], err_msg=path)


def test_the_control_has_the_same_first_phase(few, tmp_path, monkeypatch):
    """Up to the last step of --pretraining, all is the same with D and without; then D moves, or it does not."""
    monkeypatch.chdir(tmp_path)
    states = {}
    for name, more in (("with", ()), ("without", ("--no-adversary",))):
        for steps in (3, 5):
            out = f"{name}-{steps}"
            assert call(monkeypatch, "--steps", steps, "--out", out, *SMALL, *more) == 0
            with np.load(f"{out}/checkpoint.npz") as held:
                states[out] = {
                    path: held[path] for path in held.files if path.startswith(("arrays/model/G/", "arrays/model/D/"))
                }
    same = lambda one, other, net: all(
        (array == states[other][path]).all()
        for path, array in states[one].items()
        if path.startswith(f"arrays/model/{net}/")
    )
    assert same("with-3", "without-3", "G") and same("with-3", "without-3", "D")
    assert same("without-5", "without-3", "D") and not same("with-5", "with-3", "D")
    assert not same("with-5", "without-5", "G")


def test_commands(few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 4, "--out", "run", *SMALL) == 0
    lines = (tmp_path / "run" / "samples.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].split() == ["source", "answer", "truth"] and len(lines) == 65
    assert Image.open(tmp_path / "run" / "samples.png").size == (1076, 458)
    assert call(monkeypatch, "evaluate", "run", "--n", 50) == 0
    assert "floor" in capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert found.keys() == {"exact match", "valid", "words in place", "F1 of words"}
    assert all(numbers.keys() == {"value", "floor", "nearest", "dictionary"} for numbers in found.values())
    assert all(numbers["floor"] == 1 for numbers in found.values()) and found["exact match"]["dictionary"] < 0.3
    assert call(monkeypatch, "sample", "run", "--n", 3, "--out", "x.txt") == 0
    assert len((tmp_path / "x.txt").read_text(encoding="utf-8").splitlines()) == 4
    capsys.readouterr()
    assert call(monkeypatch, "translate", "run", "four hundred seventy-one") == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    assert all(word in (*phrases.SPECIAL, *phrases.TASKS["translation"].words) for word in printed.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "poem"), "must be one of translation, summary"),
        (("--pairs", "300"), "must be one of 200, 2000, 20000"),
        (("translate", "run", "fourty one"), "Unknown words (fourty); the words are: eight, "),
        (("translate", "run", ""), "A phrase of 0 words: wanted 1 to 9."),
        (("translate", "run"), "the following arguments are required: PHRASE"),
        (("translate", "nowhere", "one"), "nowhere"),
        (("interpolate", "run"), "has none: use sample"),
    ],
)
def test_what_is_wrong_is_a_line(arguments, message, few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments[1] == "run":
        assert call(monkeypatch, "--steps", 1, "--out", "run", *SMALL) == 0
    capsys.readouterr()
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_what_a_trained_model_answers(few):
    """G learns: after some steps, the answers to what it has seen are nearly right, those of its start are not."""
    model, batches = start(batch_size=64, width=48, clip=1.0, pretraining=10**6, lr=1e-2)
    known = model.pairs()[0]
    right = lambda: phrases.measures(model.task, model.answered(known), [truth for _, truth in known])["words in place"]
    assert right() < 0.2
    for _ in range(120):
        model.step(batches)
    assert right() > 0.6


def test_the_benchmark_goes_on_from_one_checkpoint(few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(ROOT / "benchmarks" / "seq2seq.py"))["main"]
    asked = ["--pairs", "200", "--seeds", "0", "--pretraining", "2", "--rounds", "1", "--n", "20", "--folder", "here"]
    main([*asked, "--out", "first.json"])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "first.json").read_text())["200"]["0"]
    arms = ["after 2 steps", "1 more, likelihood", "1 more, with D", "1 more, D, unpaired"]
    assert list(found) == [*arms, "floor", "nearest", "dictionary", "drawn for training pairs"]
    assert all(name in printed for name in found) and found["floor"]["exact match"] == 1
    with np.load("here/translation-200-0-2-1-with-D/checkpoint.npz") as one:
        with np.load("here/translation-200-0-2-1-likelihood/checkpoint.npz") as other:
            assert (one["arrays/model/opt_D/steps"], other["arrays/model/opt_D/steps"]) == (1, 0)
            assert one["arrays/model/opt_G/steps"] == other["arrays/model/opt_G/steps"] == 3
    main([*asked, "--out", "second.json"])
    assert "going on" not in capsys.readouterr().out  # nothing is trained again
    assert (tmp_path / "first.json").read_text() == (tmp_path / "second.json").read_text()
