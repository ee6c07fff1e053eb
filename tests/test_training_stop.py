"""What happens to a training that is stopped: by Ctrl-C, by SIGTERM, by SIGKILL at any moment, by a full disk."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.support.errors import UserError
from scratchgan.training import checkpoint

SCRIPT = Path(__file__).with_name("training_tiny.py")
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither SIGKILL nor SIGINT for one process")


def start(*arguments, cwd):
    """Start the tiny GAN as a script."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, arguments)], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # even if it is ignored here
    )  # fmt: skip


def wait_for(path):
    for _ in range(2000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear")


def assert_same_checkpoints(path, other):
    (a, a_meta), (b, b_meta) = checkpoint.load(path / "checkpoint.npz"), checkpoint.load(other / "checkpoint.npz")
    assert a_meta["step"] == b_meta["step"] and a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name


@posix
def test_killed_at_random_moments_and_resumed_gives_the_same_weights(tmp_path):
    options = {"steps": 200, "checkpoint_every": 1, "sample_every": 50, "log_every": 10, "sleep": 0.01}
    training.train(Tiny, Settings(out=str(tmp_path / "whole"), **options | {"checkpoint_every": 100, "sleep": 0.0}))
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    process = start("--out", "run", *flags, cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint.npz")
    moments = random.Random(0)
    kills = 0
    while True:
        try:
            assert process.wait(timeout=moments.uniform(0.2, 0.7) if kills < 6 else 60) == 0, process.stderr.read()
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        process = start("--resume", "run", cwd=tmp_path)
    process.communicate()
    assert kills >= 2
    assert_same_checkpoints(tmp_path / "run", tmp_path / "whole")
    assert not list((tmp_path / "run").rglob(".*"))
    logs = [[line.split('"seconds"')[0] for line in open(tmp_path / name / "log.jsonl")] for name in ("run", "whole")]
    assert logs[0] == logs[1]


@posix
def test_a_signal_that_comes_while_samples_are_drawn_loses_no_step(tmp_path):
    class Interrupted(Tiny):
        def report(self):
            if drawn.append(self) or len(drawn) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().report()

    drawn, settings = [], Settings(out=str(tmp_path), steps=100, sample_every=10, checkpoint_every=100)
    with pytest.raises(training.Stopped) as stopped:
        training.train(Interrupted, settings)
    assert checkpoint.load_meta(tmp_path / "checkpoint.npz")["step"] == stopped.value.step == 11


@posix
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_writes_a_checkpoint_and_says_how_to_go_on(tmp_path, number, code):
    training.train(Tiny, Settings(out=str(tmp_path / "whole"), steps=60))
    process = start("--steps", 60, "--sleep", 0.03, cwd=tmp_path)
    path = tmp_path / "runs" / "training_tiny"
    wait_for(path / "log.jsonl")
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    step = checkpoint.load(path / "checkpoint.npz")[1]["step"]
    assert 0 < step < 60
    assert f"Stopped at step {step}" in err and "Traceback" not in err
    command = err.split("To go on: ")[1].split()
    assert command[0] == "python" and command[2:] == ["--resume", "runs/training_tiny"]
    assert subprocess.run([sys.executable, *command[1:], "--sleep", "0"], cwd=tmp_path).returncode == 0
    assert_same_checkpoints(path, tmp_path / "whole")


@posix
def test_a_second_signal_stops_at_once(tmp_path):
    process = start("--sleep", 60, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "log.jsonl")
    time.sleep(0.2)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in err
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["step"] == 0


def test_handlers_are_restored_and_a_program_sees_a_keyboard_interrupt(tmp_path):
    class Interrupted(Tiny):
        def step(self, batches):
            if self.taken == 2:
                signal.raise_signal(signal.SIGINT)
            return super().step(batches)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match="stopped at step 3"):
            training.train(Interrupted, Settings(out=str(tmp_path / "a")))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(training.Stopped) as stopped:
            training.train(Interrupted, Settings(out=str(tmp_path / "b")))
        assert stopped.value.step == 3 and stopped.value.run.path == tmp_path / "b"
    finally:
        signal.signal(signal.SIGINT, before)
    assert checkpoint.load(tmp_path / "a" / "checkpoint.npz")[1]["step"] == 3


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_the_former_checkpoint(tmp_path, monkeypatch, error):
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, {"a": np.arange(3)}, {"step": 1})

    def break_off(file, **arrays):
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(np, "savez", break_off)
    with pytest.raises(UserError if isinstance(error, OSError) else KeyboardInterrupt) as raised:
        checkpoint.save(path, {"a": np.arange(4)}, {"step": 2})
    if isinstance(error, OSError):
        assert "checkpoint.npz: No space left" in str(raised.value)
    assert checkpoint.load(path)[1] == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.npz"]
