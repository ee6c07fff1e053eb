"""The training loop: exact resume, the run directory, pictures, log, memory."""

import dataclasses
import gc
import json
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.plots import read_log
from scratchgan.support.errors import CheckpointError, SettingsError, UserError
from scratchgan.training import checkpoint
from scratchgan.training.run import Run


def run(tmp_path, name, **changes):
    """Train in tmp_path / name; return that path."""
    training.train(Tiny, Settings(**{"out": str(tmp_path / name), **changes}))
    return tmp_path / name


def go_on(path, **changes):
    """Resume a run with changed settings, as the command line does; return the model."""
    _, meta = checkpoint.load(path / "checkpoint.npz")
    return training.train(Tiny, Settings(**(meta["settings"] | changes)), resume=path)


def arrays(path):
    return checkpoint.load(path / "checkpoint.npz")[0]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name


def files(path):
    """The names and contents of all files below a directory."""
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def log(path):
    """The log without the seconds."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_log(path / "log.jsonl")]


# ---- exact resume ----


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.integers(1, 12), second=st.integers(1, 12), batch_size=st.sampled_from([1, 7, 20, 45]),
    every=st.sampled_from([2, 5, 100]), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_resumed_run_equals_run_without_a_stop(tmp_path_factory, first, second, batch_size, every, seed):
    tmp_path = tmp_path_factory.mktemp("resume")
    same = {"batch_size": batch_size, "seed": seed, "sample_every": every, "checkpoint_every": every, "log_every": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.loop, "closing_pictures", lambda run: None)  # they take most of the time
        whole = run(tmp_path, "whole", steps=first + second, **same)
        parts = run(tmp_path, "parts", steps=first, **same)
        go_on(parts, steps=first + second)
    assert_same(arrays(whole), arrays(parts))


def crash(monkeypatch, path, step, **changes):
    """Train in `path` until step `step` is about to begin, and leave everything as if the process were killed then."""

    class Crash(Exception):
        pass

    def step_or_crash(model, batches):
        if model.taken == step - 1:
            raise Crash
        return original(model, batches)

    original = Tiny.step
    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "step", step_or_crash)
        with pytest.raises(Crash):
            training.train(Tiny, Settings(out=str(path), **changes))


def assert_same_files(whole, parts):
    assert log(parts) == log(whole)
    theirs, ours = files(whole), files(parts)
    assert theirs.keys() == ours.keys()
    pictures = [name for name in theirs if name.suffix in (".png", ".gif") and name.name != "losses.png"]
    assert len(pictures) > 4 and all(theirs[name] == ours[name] for name in pictures)


@pytest.mark.parametrize("step, checkpoint_step", [(1, 0), (8, 0), (20, 16)])
def test_what_was_written_after_the_checkpoint_is_written_again(tmp_path, monkeypatch, step, checkpoint_step):
    same = {"steps": 20, "sample_every": 3, "checkpoint_every": 8, "log_every": 2}
    whole, parts = run(tmp_path, "whole", **same), tmp_path / "parts"
    crash(monkeypatch, parts, step, **same)
    assert checkpoint.load(parts / "checkpoint.npz")[1]["step"] == (step - 1) // 8 * 8 == checkpoint_step
    with open(parts / "log.jsonl", "a") as file:
        file.write('{"step": 19, "secon')
    (parts / ".checkpoint.npz.4711.scratchgan-tmp").write_bytes(b"half")
    (parts / "samples" / ".step-000019.png.4711.scratchgan-tmp").write_bytes(b"half")
    (parts / "samples" / "step-000021.png").write_bytes(b"late")
    mine = [parts / ".mine.tmp", *(parts / "samples" / name for name in (".mine.tmp", "step-mine.png", "step-21.png"))]
    for path in mine:
        path.write_bytes(b"of the user")
    go_on(parts)
    for path in mine:
        assert path.read_bytes() == b"of the user"
        path.unlink()
    assert_same_files(whole, parts)
    assert_same(arrays(whole), arrays(parts))


def test_nothing_is_done_when_the_steps_are_reached(tmp_path, capsys):
    path = run(tmp_path, "a", steps=5)
    before = files(path)
    model = go_on(path)
    assert "nothing to do" in capsys.readouterr().out
    assert files(path) == before
    assert model.taken == 5


def test_closing_pictures_are_drawn_if_the_run_was_stopped_before_them(tmp_path):
    path = run(tmp_path, "a", steps=5)
    pictures = [path / name for name in ("samples.png", "losses.png", "training.gif")]
    before = [picture.read_bytes() for picture in pictures]
    for picture in pictures:
        picture.unlink()
    go_on(path)
    assert [picture.read_bytes() for picture in pictures] == before


def test_seconds_go_on_from_the_checkpoint(tmp_path):
    path = run(tmp_path, "a", steps=2)
    found, meta = checkpoint.load(path / "checkpoint.npz")
    checkpoint.save(path / "checkpoint.npz", found, meta | {"seconds": 1000.0})
    go_on(path, steps=4)
    seconds = [line["seconds"] for line in read_log(path / "log.jsonl")]
    assert 1000 <= seconds[-1] < 1010


def test_looking_does_not_change_the_training(tmp_path):
    """Pictures and reports draw random numbers; how often they do must not matter."""
    often = run(tmp_path, "often", steps=12, sample_every=1, log_every=1, checkpoint_every=1)
    seldom = run(tmp_path, "seldom", steps=12, sample_every=100, log_every=100, checkpoint_every=100)
    assert_same(arrays(often), arrays(seldom))


# ---- the run directory ----


def test_run_directory_holds_what_the_documentation_says(tmp_path, capsys):
    path = run(tmp_path, "a", steps=10, sample_every=4, log_every=5)
    assert {str(name) for name in files(path)} == {
        "settings.json", "log.jsonl", "checkpoint.npz", "samples.png", "losses.png", "training.gif",
        *(f"samples/step-{step:06}.png" for step in (0, 4, 8, 10)),
    }  # fmt: skip
    assert json.loads((path / "settings.json").read_text())["steps"] == 10
    lines = log(path)
    assert [line["step"] for line in lines] == [0, 4, 5, 8, 10]
    assert "D" not in lines[0] and all(np.isfinite([line["D"], line["G"]]).all() for line in lines[1:])
    assert [line["step"] for line in lines if "report" in line] == [0, 4, 8, 10]
    assert lines[0]["report"]["undefined"] is None  # JSON has no NaN
    assert (path / "samples.png").read_bytes() == (path / "samples/step-000010.png").read_bytes()
    assert Image.open(path / "training.gif").n_frames == 4
    out = capsys.readouterr().out
    for text in ("20 samples of shape (8, 8, 1)", "G: 1,168 parameters", "D: 1,057 parameters", str(path), "NumPy"):
        assert text in out


def test_the_same_seed_gives_the_same_pictures_and_another_does_not(tmp_path):
    one, same, other = (run(tmp_path, name, steps=6, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert (one / "samples.png").read_bytes() == (same / "samples.png").read_bytes()
    assert (one / "samples.png").read_bytes() != (other / "samples.png").read_bytes()
    assert_same(arrays(one), arrays(same))


def test_a_directory_that_holds_a_run_is_never_written_to(tmp_path):
    path = run(tmp_path, "a", steps=2)
    before = files(path)
    with pytest.raises(UserError, match="already holds a run.*--resume"):
        run(tmp_path, "a", steps=3)
    assert files(path) == before


def test_without_out_the_first_free_name_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "training_tiny-2").write_text("a file")
    for _ in range(3):
        training.train(Tiny, Settings(steps=1))
    assert sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()) == [
        "training_tiny", "training_tiny-3", "training_tiny-4",
    ]  # fmt: skip


def test_out_that_cannot_be_a_directory_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("text")
    for out in ("file", "file/below"):
        with pytest.raises(UserError, match="file"):
            run(tmp_path, out)


def test_a_failure_before_the_training_leaves_no_directory(tmp_path):
    class NoData(Tiny):
        @staticmethod
        def load_data(settings):
            raise UserError("there is none")

    with pytest.raises(UserError, match="there is none"):
        training.train(NoData, Settings(out=str(tmp_path / "a")))
    assert list(tmp_path.iterdir()) == []


def test_a_run_directory_in_use_is_refused(tmp_path):
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    path = run(tmp_path, "a", steps=2)
    before = files(path)
    other = Run(path)
    with pytest.raises(CheckpointError, match="in use by another process"):
        go_on(path, steps=4)
    other.close()
    assert files(path) == before
    go_on(path, steps=4)


# ---- checkpoints that do not fit ----


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"latent": 5}, r"G/0\.W is \(5, 16\) here, \(4, 16\) in the checkpoint"),
        ({"n": 21}, "20 samples"),
    ],
)
def test_a_checkpoint_of_another_architecture_or_other_data_changes_nothing(tmp_path, changes, message):
    path = run(tmp_path, "a", steps=2)
    before = files(path)
    with pytest.raises(CheckpointError, match=message) as error:
        go_on(path, steps=4, **changes)
    assert str(path) in str(error.value)
    assert files(path) == before


def test_a_checkpoint_of_another_model_or_with_unknown_settings_is_refused(tmp_path):
    class Other(Tiny):
        pass

    path = run(tmp_path, "a", steps=2)
    with pytest.raises(CheckpointError, match="is of Tiny.*not of Other"):
        training.train(Other, Settings(steps=4), resume=path)
    found, meta = checkpoint.load(path / "checkpoint.npz")
    checkpoint.save(path / "checkpoint.npz", found, meta | {"settings": meta["settings"] | {"colour": "red"}})
    with pytest.raises(CheckpointError, match="colour"):
        training.load_model(Tiny, Settings, path)


@pytest.mark.parametrize("meta", [{"step": "2"}, {"shape": [8, -8]}, {"shape": 8}, {"settings": []}, {"model": None}])
def test_a_checkpoint_with_damaged_facts_is_refused(tmp_path, meta):
    path = run(tmp_path, "a", steps=2)
    found, facts = checkpoint.load(path / "checkpoint.npz")
    checkpoint.save(path / "checkpoint.npz", found, facts | meta)
    with pytest.raises(CheckpointError, match="checkpoint.npz"):
        training.load_model(Tiny, Settings, path)


def test_a_directory_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    for name in (".", "none", "file"):
        with pytest.raises(CheckpointError):
            training.train(Tiny, Settings(), resume=tmp_path / name)
        with pytest.raises(CheckpointError):
            training.load_model(Tiny, Settings, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_load_model_needs_no_data_and_gives_the_trained_weights(tmp_path, monkeypatch):
    path = run(tmp_path, "a", steps=3)
    monkeypatch.setattr(Tiny, "load_data", None)
    model = training.load_model(Tiny, Settings, path)
    found = arrays(path)
    assert_same({f"model/{name}": array for name, array in model.state().items()},
                {name: array for name, array in found.items() if name.startswith("model/")})  # fmt: skip


# ---- other ----


def test_training_runs_in_a_thread(tmp_path):
    thread = threading.Thread(target=run, args=(tmp_path, "a"), kwargs={"steps": 3})
    thread.start()
    thread.join()
    assert (tmp_path / "a" / "training.gif").exists()


def test_a_file_gets_a_line_now_and_then_instead_of_a_bar(tmp_path, capsys):
    run(tmp_path, "a", steps=100, log_every=1)
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("step") and "samples/s" in line] == [
        "step 100 of 100"
    ]


def test_memory_does_not_grow_with_the_steps(tmp_path):
    sizes = {}

    class Measured(Tiny):
        def step(self, batches):
            if self.taken in (100, 400):
                gc.collect()
                sizes[self.taken] = tracemalloc.get_traced_memory()[0]
            return super().step(batches)

    tracemalloc.start()
    try:
        out = str(tmp_path / "a")
        training.train(Measured, Settings(steps=401, log_every=1, sample_every=20, checkpoint_every=20, out=out))
    finally:
        tracemalloc.stop()
    assert sizes[400] - sizes[100] < 20_000  # 67 bytes a step: not even its line of the log


def test_settings_of_a_program_are_checked_too():
    for name, value in [("steps", 0), ("steps", 2.5), ("steps", "x"), ("lr", float("nan")), ("lr", -1), ("lr", None),
                        ("lr", float("inf")), ("seed", -1), ("loss", "x"), ("mirror", 1), ("data", 3)]:  # fmt: skip
        with pytest.raises(SettingsError, match=f"--{name} must be"):
            Settings(**{name: value})
    assert Settings(lr=1).lr == 1.0 and Settings(steps=3.0).steps == 3


def test_settings_without_the_decorator_are_refused():
    class Forgotten(training.Settings):
        depth: int = training.option(3, "layers")

    with pytest.raises(TypeError, match="@dataclass"):
        Forgotten()

    @dataclasses.dataclass
    class Odd(training.Settings):
        sizes: list = training.option(None, "sizes")

    with pytest.raises(TypeError, match="sizes"):
        Odd()


def test_the_progress_bar_shows_losses_on_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(tmp_path, "a", steps=20, log_every=5)
    assert "samples/s" in capsys.readouterr().err
