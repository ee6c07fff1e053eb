"""A training whose output cannot be written, whose terminal is closed, or whose folder is gone.

Each trial is a row: a command of the shell, the exit status, what it says, and whether it trained to the end. All of
them start at once, as most of the time goes into loading Python.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.training import checkpoint
from scratchgan.training.progress import Stop

SCRIPT = Path(__file__).with_name("training_tiny.py").resolve()
TRAIN = f"{sys.executable} {SCRIPT} --steps 3 --threads 1"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="streams and signals as POSIX has them")

TRIALS = {  # name: command, exit status, text on stderr (None: none can be seen), trained
    "stdout closed": (f"{TRAIN} >&-", 0, "", True),
    "stderr closed": (f"{TRAIN} 2>&-", 0, None, True),
    "all closed": (f"{TRAIN} <&- >&- 2>&-", 0, None, True),
    "stderr full": (f"{TRAIN} 2>/dev/full", 0, None, True),
    "an error that nobody sees": (f"{TRAIN} --steps 0 2>&-", 2, None, False),
    "stdout full": (f"{TRAIN} >/dev/full", 2, "cannot use a file, or write here: No space left on device\n", False),
    "read by nobody": (f"{TRAIN} | true; exit ${{PIPESTATUS[0]}}", None, "", None),
    "folder deleted": (f"mkdir gone && cd gone && rmdir ../gone && {TRAIN}", 2, "Cannot make the run directory", False),
}  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """{name: (folder, exit status, stdout, stderr)} of all trials."""
    running = {}
    for name, (command, *_) in TRIALS.items():
        folder = tmp_path_factory.mktemp("streams")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        running[name] = folder, subprocess.Popen(["bash", "-c", command], cwd=folder, text=True, **pipes)
    return {name: (folder, *outputs(process)) for name, (folder, process) in running.items()}


def outputs(process):
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout, stderr


@pytest.mark.parametrize("name", TRIALS)
def test_streams(done, name):
    folder, status, stdout, stderr = done[name]
    _, wanted, text, trained = TRIALS[name]
    assert "Traceback" not in stderr and "Exception" not in stderr, stderr
    assert wanted in (None, status), stderr
    assert stderr.count("\n") <= 1 and (text or "") in stderr
    runs = list(folder.rglob("checkpoint.npz"))
    if trained is not None:
        assert len(runs) == trained
    for path in runs:  # whoever began to train came to the end
        assert checkpoint.load(path)[1]["step"] == 3 and (path.parent / "training.gif").exists()


# ---- while it trains -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", (BrokenPipeError(32, "Broken pipe"), OSError(5, "Input/output error")))
def test_training_goes_on_where_nobody_reads_any_more(tmp_path, monkeypatch, error):
    """A `head` that has read enough, or a terminal that was closed, costs nobody a night of training."""

    def fail(text):
        raise error

    hushed = []
    monkeypatch.setattr("scratchgan.training.progress.say", fail)
    monkeypatch.setattr("scratchgan.training.progress.hush", hushed.append)
    training.train(Tiny, Settings(steps=3, out=str(tmp_path / "run"), threads=1))
    assert hushed and (tmp_path / "run" / "training.gif").exists()


def raising(*numbers):
    """Return Tiny, raising these signals in the second step."""

    class Signalled(Tiny):
        def step(self, batches):
            if self.taken == 1:
                for number in numbers:
                    signal.raise_signal(number)
            return super().step(batches)

    return Signalled


SIGNALS = ("SIGHUP",), ("SIGHUP", "SIGHUP"), ("SIGTERM", "SIGHUP"), ("SIGHUP", "SIGTERM")


@pytest.mark.parametrize("names", SIGNALS, ids="-".join)
def test_a_closed_terminal_ends_a_training_as_a_polite_signal_does(tmp_path, capsys, names):
    numbers = [getattr(signal, name) for name in names]
    with pytest.raises(SystemExit) as left:
        training.main(raising(*numbers), Settings, ["--out", str(tmp_path / "run"), "--threads", "1"])
    assert left.value.code == 128 + numbers[-1]
    assert "Stopped at step 2. To go on: python" in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["step"] == 2


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed(tmp_path):
    """The checkpoint is there though stdout and stderr fail, as they do with the terminal."""
    master, slave = os.openpty()
    command = [sys.executable, str(SCRIPT), "--out", "run", "--sleep", "0.05", "--threads", "1", "--log-every", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    for _ in range(2000):
        if (tmp_path / "run" / "log.jsonl").exists():
            break
        time.sleep(0.01)
    os.close(master)
    time.sleep(0.2)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 129
    assert 0 < checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["step"] < 30
