"""SeqGAN: its three phases, exact resume, and what the command line says."""

import json
import runpy
import sys

import numpy as np
import pytest
from checkpoints import demand_equal
from PIL import Image
from speakers import start
from test_examples import PATHS

from scratchgan import xp
from scratchgan.examples.sequences import seqgan
from scratchgan.tools.strict import strict_xp
from scratchgan.training import speech


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer words of the oracle than people take."""
    monkeypatch.setattr(speech, "LEARNED", 60)


# ---- phases ------------------------------------------------------------------------------------------------


def numbers(model, name):
    return {path: array.copy() for path, array in getattr(model, name).state().items()}


def alike(one, other):
    return all(np.array_equal(one[path], other[path]) for path in one)


@pytest.mark.parametrize("generator", ["policy", "gumbel"])
def test_three_phases(generator):
    model, batches = start(generator=generator)
    names, keys = ("oracle", "G", "D", "MLE"), model.state().keys()
    phases = [({"MLE"}, {"G"}), ({"MLE"}, {"G", "MLE"}), ({"D"}, {"D"}), ({"D"}, {"D"})]
    phases += [({"reward" if generator == "policy" else "G", "D"}, {"G", "D"})] * 2
    for told, moving in phases:
        before = {name: numbers(model, name) for name in names}
        assert model.step(batches).keys() == told
        assert {name for name in names if not alike(before[name], numbers(model, name))} == moving
    assert model.opt_D.steps == 2 + 2 * 2 and model.opt_G.steps == 2 and model.state().keys() == keys
    assert not any(param.grad.any() for net in (model.G, model.D) for param in net.params())


@pytest.mark.parametrize("generator", ["policy", "gumbel"])
def test_no_step_waits_for_a_device(generator):
    """On the strict stand-in for CuPy, and with the numbers of NumPy."""
    model, batches = start(generator=generator)
    wanted = [model.step(batches) for _ in range(5)]
    with xp.using(strict_xp):
        model, batches = start(generator=generator)
        with strict_xp.counting() as counts:
            found = [model.step(batches) for _ in range(5)]
        assert counts.operations > 0 and counts.synchronisations == 0, counts
        z = xp.to_device(model.latent(3, np.random.default_rng(0)))
        assert model.picture(z).dtype == np.uint8 and model.export(z, ".txt").count(b"\n") == 3
        assert np.isfinite(list(model.report().values())).all()
    for one, other in zip(wanted, found, strict=True):
        assert {name: float(loss) for name, loss in one.items()} == pytest.approx(
            {name: float(loss) for name, loss in other.items()}, rel=1e-5
        )


def test_the_oracle_is_not_of_the_run_s_seed():
    one, other = start(seed=0)[0], start(seed=1)[0]
    assert alike(numbers(one, "oracle"), numbers(other, "oracle"))
    np.testing.assert_array_equal(one.load_data(one.settings), other.load_data(other.settings))
    assert not alike(numbers(one, "oracle"), numbers(start(oracle=1)[0], "oracle"))
    spread = np.concatenate([param.value.ravel() for param in start(width=32)[0].oracle.params()])
    assert spread.std() == pytest.approx(1, abs=0.03)  # N(0, 1), biases too


# ---- as a user would ---------------------------------------------------------------------------------------


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["seqgan"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["seqgan"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


SMALL = ("--vocabulary", 9, "--length", 5, "--width", 4, "--filters", 3, "--batch-size", 8, "--rollouts", 2,
         "--D-steps", 2, "--mle", 3, "--lessons", 3, "--threads", 1)  # fmt: skip


@pytest.mark.parametrize("generator", ["policy", "gumbel"])
def test_resuming_is_exact_in_every_phase(generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = (*SMALL, "--generator", generator)
    assert call(monkeypatch, "--steps", 9, "--out", "whole", *told) == 0
    for stop in (2, 5, 8):  # tau of soft words follows from --steps: it is the same only where a run goes on as far
        assert call(monkeypatch, "--steps", stop, "--out", f"run{stop}", *told) == 0
        assert call(monkeypatch, "--resume", f"run{stop}", "--steps", 9) == 0
    stops = ("run2", "run5", "run8") if generator == "policy" else ("run2",)
    for stop in stops:
        demand_equal(tmp_path / "whole", tmp_path / stop)


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 8, "--out", "run", *SMALL) == 0
    assert call(monkeypatch, "evaluate", "run", "--n", 50) == 0
    out = capsys.readouterr().out
    assert "KL(oracle, G)" in out and "MLE, 0.7" in out and "floor" in out
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["metrics"]["KL sum"]["floor"] == 0 and found["metrics"]["KL sum"]["value"] > 0
    assert call(monkeypatch, "sample", "run", "--n", 7, "--out", "words.txt") == 0
    lines = (tmp_path / "words.txt").read_text().splitlines()
    assert len(lines) == 7 and all(len(line.split()) == 5 for line in lines)
    assert {int(word) for line in lines for word in line.split()} <= set(range(9))
    assert call(monkeypatch, "sample", "run", "--n", 7) == 0
    assert Image.open(tmp_path / "run" / "grid.png").size == (3 * (5 * 8 + 8), 16 + 7 * 5 + 8)
    assert (tmp_path / "run" / "samples.txt").read_text().count("\n") == 64
    assert call(monkeypatch, "interpolate", "run") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--generator", "lstm"), "must be one of policy, gumbel"),
        (("--vocabulary", "1"), "must be at least 2"),
        (("--length", "1"), "must be at least 2"),
        (("--rollouts", "0"), "must be at least 1"),
        (("--data", "text"), "must be one of oracle"),
        (("--lr", "0"), "must be at least"),
        (("evaluate", "nowhere"), "nowhere"),
    ],
)
def test_bad_arguments_are_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_another_oracle_is_refused_when_going_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 2, "--out", "run", *SMALL) == 0
    assert call(monkeypatch, "--resume", "run", "--steps", 3, "--oracle", 7) == 2
    assert "leave --oracle as it was" in capsys.readouterr().err


def test_paper_sizes_give_way_to_what_is_asked_for():
    settings = seqgan.Settings(paper=True, vocabulary=50, steps=7)
    assert (settings.vocabulary, settings.steps, settings.rollouts) == (50, 7, 16)
    assert seqgan.Settings().rollouts == 8 and seqgan.Settings(paper=True).vocabulary == 5000
