"""`benchmarks/recipes.py`: what each choice of a recipe is worth, at the same seconds of a core."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import families  # noqa: E402
import recipes  # noqa: E402
import results  # noqa: E402
import trainings  # noqa: E402


@pytest.fixture
def records(tmp_path, monkeypatch):
    """A folder of records in the place of docs/results/."""
    folder = tmp_path / "records"
    folder.mkdir()
    load, save = results.load, results.save
    monkeypatch.setattr(results, "load", lambda: load(folder))
    monkeypatch.setattr(results, "save", lambda found: save(found, folder))
    monkeypatch.setattr(results, "write_page", lambda records: None)
    return folder


@pytest.fixture
def calls(monkeypatch):
    """Commands that were called; a training leaves a checkpoint, `evaluate` metrics, and a step costs 0.05 seconds."""
    called, spent = [], [100.0]

    def call(script, *arguments):
        called.append((script, *map(str, arguments)))
        if "evaluate" in arguments:
            numbers = dict.fromkeys(families.MEASURED, {"value": 0.5, "floor": 0.25})
            found = {"n": 2000, "accuracy on test images": 0.99, "metrics": numbers}
            (arguments[arguments.index("evaluate") + 1] / "metrics.json").write_text(json.dumps(found))
        elif "--out" in arguments:
            given = dict(zip(arguments, arguments[1:], strict=False))
            given["--out"].mkdir(parents=True)
            (given["--out"] / "checkpoint.npz").touch()
            (given["--out"] / "settings.json").write_text(json.dumps({"steps": given["--steps"]}))
            spent[0] += 2 + 0.05 * given["--steps"]  # two seconds to start

    monkeypatch.setattr(trainings, "call", call)
    monkeypatch.setattr(recipes.os, "times", lambda: (0, 0, spent[0], 0, 0))
    return called


def trained(calls):
    """Return the steps of every training but pilots."""
    steps = [int(call[call.index("--steps") + 1]) for call in calls if "--out" in call]
    return [number for number in steps if number not in recipes.PILOT]


def options(tmp_path, *arguments):
    return recipes.parse(["--out", str(tmp_path / "runs"), *arguments])


def test_a_recipe_is_trained_for_its_seconds_measured_and_then_skipped(tmp_path, records, calls):
    given = options(tmp_path, "--seconds", "61")
    recipes.measure("r1gan --lr 2e-4", 0, given)
    assert trained(calls) == [1200]  # 61 / 0.05, at two digits
    (found,) = results.load()
    assert (found["section"], found["what"], found["budget"]) == ("recipes", "r1gan --lr 2e-4", "61 s")
    assert found["command"] == "python examples/stability/r1gan.py --data mnist --lr 2e-4 --steps 1200 --seed 0"
    assert found["numbers"]["FID-LeNet"] == 0.5 and found["floors"]["FID-LeNet"] == 0.25
    calls.clear()
    recipes.measure("r1gan --lr 2e-4", 0, given)
    assert calls == []


def test_another_seed_takes_as_many_steps_without_a_pilot(tmp_path, records, calls):
    given = options(tmp_path, "--seconds", "60")
    recipes.measure("gan", 0, given)
    calls.clear()
    recipes.measure("gan", 1, given)
    assert [call[1] for call in calls] == ["--data", "evaluate"] and trained(calls) == [1200]
    assert "1,200 | 2 |" in "\n".join(results.page(results.load()).splitlines())


def test_what_was_broken_off_goes_on_with_its_own_steps(tmp_path, records, calls):
    given = options(tmp_path, "--seconds", "60")
    recipes.measure("gan", 0, given)
    next(records.glob("*.json")).unlink()
    calls.clear()
    recipes.measure("gan", 0, given)
    assert [call[1] for call in calls] == ["--resume"] and results.load()[0]["steps"] == 1200


def test_every_recipe_has_an_example_and_options_that_are_there():
    for name, rows in recipes.RECIPES.items():
        settings = vars(trainings.settings(name))
        for recipe in rows:
            flags = {flag[2:].replace("-", "_") for flag in recipe.split() if flag.startswith("--")}
            assert flags <= settings.keys(), recipe
        assert (ROOT / results.script(name)).exists()


def test_wrong_options(capsys):
    for arguments in (["--seconds", "0"], ["--only", "nobody"]):
        with pytest.raises(SystemExit):
            recipes.parse(arguments)
    assert "--seconds is 0, wanted 1 or more" in capsys.readouterr().err
