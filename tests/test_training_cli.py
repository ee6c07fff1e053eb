"""The command line that every example has: options, errors, --resume, sample, interpolate, plot."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.latent import great_circle
from scratchgan.training import checkpoint

SCRIPT = Path(__file__).with_name("training_tiny.py")


def main(*arguments, fails=None):
    """Run the command line; with `fails`, demand that exit code."""
    arguments = [str(argument) for argument in arguments]
    if fails is None:
        assert training.main(Tiny, Settings, arguments) is None
    else:
        with pytest.raises(SystemExit) as error:
            training.main(Tiny, Settings, arguments)
        assert error.value.code == fails


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of three steps in the present directory, by the name of "run"."""
    monkeypatch.chdir(tmp_path)
    main("--out", "run", "--steps", 3, "--batch-size", 5)
    return tmp_path / "run"


def error_line(capsys):
    """The one line that tells what is wrong."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if not line.startswith("usage:")]
    assert len(lines) == 1, err
    return lines[0]


def files(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


# ---- options ----


def test_help_tells_what_the_script_is_its_options_and_its_commands(capsys):
    main("--help", fails=0)
    script = os.path.relpath(SCRIPT)
    out = " ".join(capsys.readouterr().out.split())
    for text in ("usage: training_tiny.py [options]", "A tiny GAN on pictures of 8 x 8 pixels",
                 "--batch-size N samples (default: 8)", "--mirror, --no-mirror", "at most 100% of it (default: 4)",
                 "{nonsaturating,minimax} what is played for (default: nonsaturating)", "--resume RUN",
                 *(f"python {script} {rest}" for rest in ("sample runs/training_tiny", "plot runs/training_tiny",
                   "--resume runs/training_tiny", "interpolate runs/training_tiny"))):  # fmt: skip
        assert text in out, text
    assert "It holds state" not in out  # the first paragraph only


@pytest.mark.parametrize("command, text", [("sample", "--n N"), ("interpolate", "--steps N"), ("plot", "--out TEXT")])
def test_each_command_has_help(capsys, command, text):
    main(command, "--help", fails=0)
    out = capsys.readouterr().out
    assert f"usage: training_tiny.py {command} RUN [options]" in out and text in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--steps", 0], "argument --steps: must be at least 1, not 0"),
        (["--steps", "many"], "argument --steps: must be a whole number, not 'many'"),
        (["--steps", "1e3"], "argument --steps: must be a whole number, not '1e3'"),
        (["--lr", "nan"], "argument --lr: must be a finite number, not nan"),
        (["--lr=-1"], "argument --lr: must be at least 1e-12, not -1"),
        (["--lr", "inf"], "argument --lr: must be a finite number"),
        (["--lr", "fast"], "argument --lr: must be a number, not 'fast'"),
        (["--seed=-1"], "argument --seed: must be at least 0"),
        (["--loss", "winning"], "argument --loss: must be one of nonsaturating, minimax, not 'winning'"),
        (["--device", "tpu"], "argument --device: must be one of auto, cpu, gpu"),
        (["--batch-size"], "argument --batch-size: expected one argument"),
        (["--step", 3], "unrecognized arguments: --step 3: did you mean --steps?"),
        (["--bacth-size=3"], "unrecognized arguments: --bacth-size=3: did you mean --batch-size?"),
        (["--steps", 3, "sample", "runs/gan"], "unrecognized arguments: sample runs/gan: a command comes first"),
        (["smaple", "runs/gan"], "unrecognized arguments: smaple runs/gan: did you mean sample?"),
        (["sample", "none", "--scael", 3], "unrecognized arguments: --scael 3: did you mean --scale?"),
        (["run"], "unrecognized arguments: run"),
        (["--resume", "none"], "There is no run directory none"),
        (["sample"], "the following arguments are required: RUN"),
        (["sample", "none"], "There is no run directory none"),
        (["sample", "none", "--n", 0], "argument --n: must be at least 1"),
        (["sample", "none", "--out", "a.xyz"], "a.xyz"),
        (["interpolate", "none", "--steps", 1], "argument --steps: must be at least 2"),
        (["plot", "none"], "There is no run directory none"),
    ],
)
def test_what_a_user_gets_wrong_is_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    main(*arguments, fails=2)
    assert message in error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_settings(tmp_path):
    main("--out", tmp_path / "a", "--steps", 2, "--mirror", "--lr", "1e-3", "--latent", 3)
    settings = checkpoint.load(tmp_path / "a" / "checkpoint.npz")[1]["settings"]
    wanted = {"steps": 2, "mirror": True, "lr": 1e-3, "latent": 3, "batch_size": 8}
    assert {name: settings[name] for name in wanted} == wanted


def test_no_memory_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    def load_data(settings):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(Tiny, "load_data", load_data)
    main("--out", tmp_path / "a", fails=2)
    assert "not enough memory (Unable to allocate 1 TiB)" in error_line(capsys)


# ---- resume ----


def test_resume_takes_the_settings_of_the_run_but_for_what_is_given(run, capsys):
    main("--resume", "run", "--steps", 6)
    found, meta = checkpoint.load(run / "checkpoint.npz")
    assert meta["step"] == 6 and meta["settings"]["batch_size"] == 5
    main("--out", "whole", "--steps", 6, "--batch-size", 5)
    whole = checkpoint.load(run.parent / "whole" / "checkpoint.npz")[0]
    assert all(np.array_equal(found[name], whole[name]) for name in whole)
    capsys.readouterr()
    main("--resume", "run")
    assert "has reached step 6 already: nothing to do; --steps 12 goes on" in capsys.readouterr().out


def test_resume_with_a_new_number_of_steps_is_remembered_at_once(run, monkeypatch):
    def stop(model, batches):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "step", stop)
        main("--resume", "run", "--steps", 5, fails=130)
    main("--resume", "run")
    assert checkpoint.load(run / "checkpoint.npz")[1]["step"] == 5


def test_resume_works_from_another_place_and_after_a_move(run, monkeypatch):
    run.rename(run.parent / "moved")
    (run.parent / "elsewhere").mkdir()
    monkeypatch.chdir(run.parent / "elsewhere")
    main("--resume", "../moved", "--steps", 5)
    main("--resume", "../moved", "--steps", 6, "--out", "../elsewhere/../moved/")
    assert checkpoint.load("../moved/checkpoint.npz")[1]["step"] == 6
    assert list(Path(".").iterdir()) == []


def test_resume_with_another_out_and_out_with_an_old_run_are_errors(run, capsys):
    before = files(run.parent)
    main("--resume", "run", "--out", "other", "--steps", 5, fails=2)
    assert "two directories" in error_line(capsys)
    main("--out", "run", "--steps", 5, fails=2)
    assert "run already holds a run: continue it with --resume run" in capsys.readouterr().err
    assert files(run.parent) == before


def test_resume_keeps_the_seed(run, capsys):
    before = files(run)
    main("--resume", "run", "--seed", 7, "--steps", 5, fails=2)
    assert "run began with --seed 0, and goes on with it: leave --seed out" in error_line(capsys)
    assert files(run) == before
    main("--resume", "run", "--seed", 0, "--steps", 5)


def test_a_damaged_checkpoint_is_told_in_one_line_and_nothing_is_touched(run, capsys):
    content = (run / "checkpoint.npz").read_bytes()
    (run / "checkpoint.npz").write_bytes(content[:1000])
    before = files(run)
    for arguments in (["--resume", "run"], ["sample", "run"], ["interpolate", "run"]):
        capsys.readouterr()
        main(*arguments, fails=2)
        assert "checkpoint.npz is damaged" in error_line(capsys)
    assert files(run) == before


# ---- drawing ----


def test_sample_draws_what_the_model_generates_without_the_data(run, monkeypatch, capsys):
    monkeypatch.setattr(Tiny, "load_data", None)
    main("sample", "run", "--n", 6, "--seed", 3, "--out", "a.png")
    assert "wrote a.png" in capsys.readouterr().out
    model = training.load_model(Tiny, Settings, run)
    wanted = model.picture(model.latent(6, np.random.default_rng(3)))
    assert np.array_equal(np.asarray(Image.open("a.png")), wanted[..., 0])
    main("sample", "run")
    assert Image.open(run / "grid.png").size == (82, 82)


def test_interpolate_draws_a_row_for_each_walk(run):
    main("interpolate", "run", "--n", 3, "--steps", 5, "--seed", 2, "--out", "a.png")
    picture = np.asarray(Image.open("a.png"))
    assert picture.shape == (3 * 10 + 2, 5 * 10 + 2)
    model, rng = training.load_model(Tiny, Settings, run), np.random.default_rng(2)
    starts, ends = model.images(model.latent(3, rng)), model.images(model.latent(3, rng))
    for row in range(3):
        rows = slice(2 + 10 * row, 10 + 10 * row)
        # A product of other size may round otherwise: one grey level.
        assert abs(picture[rows, 2:10].astype(int) - starts[row, ..., 0]).max() <= 1
        assert abs(picture[rows, 42:50].astype(int) - ends[row, ..., 0]).max() <= 1


def test_interpolate_draws_other_samples_with_the_picture_of_the_model(tmp_path, monkeypatch):
    class Points(Tiny):
        @staticmethod
        def load_data(settings):
            return np.random.default_rng(0).integers(0, 256, (20, 2), dtype=np.uint8)

        def picture(self, z):
            return np.full((len(z), 4, 3), 9, np.uint8)

    monkeypatch.chdir(tmp_path)
    training.main(Points, Settings, ["--out", "run", "--steps", "2"])
    training.main(Points, Settings, ["interpolate", "run", "--n", "3", "--steps", "5", "--out", "a.png"])
    assert Image.open("a.png").size == (4, 15)


def test_plot_draws_a_run_that_still_grows(run, capsys):
    with open(run / "log.jsonl", "a") as file:
        file.write('{"step": 4, "sec')
    main("plot", "run", "--out", "a.png")
    assert Image.open("a.png").size[0] == 800
    before = (run / "losses.png").read_bytes()
    main("plot", "run")
    assert (run / "losses.png").read_bytes() == before


@given(
    n=st.integers(1, 3), size=st.integers(2, 6), seed=st.integers(0, 1000), t=st.floats(0, 1),
    kind=st.sampled_from(["other", "same", "opposite", "zero"]),
)  # fmt: skip
def test_great_circle(n, size, seed, t, kind):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, size), dtype=np.float32)
    b = {"other": rng.standard_normal((n, size), dtype=np.float32), "same": a, "opposite": -a, "zero": 0 * a}[kind]
    point = great_circle(a, b, t)
    assert point.dtype == np.float32 and point.shape == a.shape and np.isfinite(point).all()
    assert np.allclose(great_circle(a, b, 0.0), a, atol=1e-4) and np.allclose(great_circle(a, b, 1.0), b, atol=1e-4)
    assert np.allclose(point, great_circle(b, a, 1 - t), atol=1e-3)
    if kind == "same":
        assert np.allclose(point, a, atol=1e-5)


def test_great_circle_keeps_the_length_and_the_speed():
    a, b = np.array([[2.0, 0.0]]), np.array([[0.0, 2.0]])
    for t in (0.25, 0.5, 0.75):
        angle = t * np.pi / 2
        assert np.allclose(great_circle(a, b, t), [[2 * np.cos(angle), 2 * np.sin(angle)]])


# ---- as a script ----


def test_a_script_prints_errors_without_a_traceback_and_takes_its_name_for_the_run(tmp_path):
    def script(*arguments):
        command = [sys.executable, str(SCRIPT), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = script("--steps", "2")
    assert done.returncode == 0 and done.stderr == "" and (tmp_path / "runs" / "training_tiny" / "samples.png").exists()
    assert "run directory: runs/training_tiny" in done.stdout.replace(os.sep, "/")
    failed = script("--resume", "none")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == "training_tiny.py: error: There is no run directory none.\n"


# ---- where output goes ----


def as_a_program(*arguments, encoding="utf-8", stdout=subprocess.PIPE):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, stdout=stdout, stderr=subprocess.PIPE)


def test_a_terminal_that_lacks_a_letter_shows_the_rest():
    code = "from scratchgan.training.command import in_a_line\nwith in_a_line('a', str): print('Fr\\u00e9chet')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0 and done.stdout.strip() == b"Fr?chet"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_whoever_reads_the_output_may_leave(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = as_a_program("--out", tmp_path / "run", "--steps", 3, stdout=writing)
    os.close(writing)
    assert done.returncode == 2 and b"nobody reads" in done.stderr and b"Traceback" not in done.stderr


def test_a_folder_that_is_not_there_is_told_before_anything_is_done(run, capsys):
    main("sample", "run", "--out", "nowhere/a.png", fails=2)
    assert "there is no folder nowhere" in error_line(capsys)


def test_losses_are_drawn_as_png_alone(run, capsys):
    main("plot", "run", "--out", "losses.jpg", fails=2)
    assert "must end with .png" in error_line(capsys) and not Path("losses.jpg").exists()


def test_a_name_that_no_file_can_have(run, capsys):
    main("sample", 300 * "a", fails=2)
    assert "cannot use aaa" in error_line(capsys)


def test_what_is_too_large_names_the_option_that_makes_it_so(run, monkeypatch, capsys):
    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(Tiny, "generate", full)
    main("sample", "run", fails=2)
    assert error_line(capsys).endswith("error: not enough memory: lower --n")
