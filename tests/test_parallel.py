"""Several processes under mpiexec: the steps of one, one state, one voice, one end."""

import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import parallel_small
import pytest
from emulated import together as emulate

from scratchgan.fast import threads
from scratchgan.training import checkpoint

SCRIPT = Path(__file__).with_name("parallel_small.py")
PARTS = {"mpiexec": shutil.which("mpiexec"), "mpi4py": importlib.util.find_spec("mpi4py")}
MISSING = " and ".join(f"no {name}" for name, there in PARTS.items() if not there)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING}: pip install scratchgan[parallel]")
ROOT_MAY = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # Open MPI asks twice
FLOAT32, FLOAT64 = 2.0**-23, 2.0**-52  # the distance of 1 from the next number


def start(processes, *arguments, cwd):
    """Start processes that train together; of one, without a launcher."""
    launcher = ["mpiexec", "--oversubscribe", "-n", str(processes)] if processes > 1 else []
    return subprocess.Popen(
        [*launcher, sys.executable, str(SCRIPT), *map(str, arguments)], cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | ROOT_MAY,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # even if it is ignored here
    )  # fmt: skip


def run(processes, *arguments, cwd, status=0):
    """Return what processes print that train together, to stdout and to stderr."""
    process = start(processes, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, out + err
    return out, err


def held(run):
    """Return (arrays, step) of the checkpoint of a run."""
    arrays, meta = checkpoint.load(run / "checkpoint.npz")
    return arrays, meta["step"]


# ---- the same numbers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Return {(kind, dtype): the states of two processes after 20 steps}."""
    folder = tmp_path_factory.mktemp("computed")
    run(2, "compute", folder, cwd=folder)
    load = lambda kind, dtype, rank: dict(np.load(folder / f"{kind}-{dtype}-{rank}.npz"))
    return {each: [load(*each, rank) for rank in (0, 1)] for each in parallel_small.COMPUTED}


def demand_bits(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype and array.tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("kind, dtype", parallel_small.COMPUTED)
def test_two_processes_are_two_ranks_of_an_emulation_bit_for_bit(computed, monkeypatch, kind, dtype):
    threads.use(1)
    first, second = computed[kind, dtype]
    demand_bits(first, second)
    for state in emulate(2, lambda rank: parallel_small.trained(kind, dtype), monkeypatch):
        demand_bits(first, state)


def demand_near(state, whole, ulp):
    """Demand that weights and running statistics differ by no more than the last digit, generators not at all."""
    for name, array in whole.items():
        if array.dtype.kind == "U":
            assert str(array) == str(state[name]), name
        elif name.startswith(("G/", "D/")):
            np.testing.assert_allclose(state[name], array, rtol=4 * ulp, atol=ulp / 2, err_msg=name)


@pytest.mark.parametrize("kind, dtype", parallel_small.COMPUTED)
def test_two_processes_are_one_with_the_whole_batch_to_rounding(computed, kind, dtype):
    """After 20 steps of Adam on both networks."""
    threads.use(1)
    ulp = FLOAT32 if dtype == "float32" else FLOAT64
    demand_near(computed[kind, dtype][0], whole(kind, dtype), ulp)


@functools.cache
def whole(kind, dtype):
    return parallel_small.trained(kind, dtype)


# ---- one program -----------------------------------------------------------------------------------------


def test_resumed_with_other_numbers_of_processes(tmp_path):
    """2, then 1, then 3 processes: to rounding, what one does without a stop. The first alone prints and writes."""
    options = ("--kind", "dcgan", "--log-every", 4, "--sample-every", 10, "--checkpoint-every", 10)
    run(1, "--out", "whole", "--steps", 30, *options, cwd=tmp_path)
    out, err = run(2, "--out", "run", "--steps", 10, *options, cwd=tmp_path)
    assert "2 processes, 6 samples of a batch each" in out and not err
    assert out.count("run directory") == out.count("done:") == 1
    out, _ = run(1, "--resume", "run", "--steps", 20, cwd=tmp_path)
    assert "processes," not in out
    out, _ = run(3, "--resume", "run", "--steps", 30, cwd=tmp_path)
    assert "3 processes, 4 samples" in out and out.count("going on from step 20") == 1
    (arrays, step), (wanted, _) = held(tmp_path / "run"), held(tmp_path / "whole")
    assert step == 30 and arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        if array.dtype.kind == "f" and "opt" not in name:
            np.testing.assert_allclose(arrays[name], array, rtol=1e-6, atol=1e-6, err_msg=name)
        elif array.dtype.kind != "f" and "what has changed" not in name:
            np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    logs = [[json.loads(line) for line in open(tmp_path / name / "log.jsonl")] for name in ("run", "whole")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]
    for one, other in zip(*logs, strict=True):  # the mean of all processes' losses
        assert "D" not in other or abs(one["D"] - other["D"]) < 1e-5
    assert sorted(path.name for path in (tmp_path / "run" / "samples").iterdir()) == [
        f"step-{step:06}.png" for step in (0, 10, 20, 30)
    ]
    out, _ = run(2, "--resume", "run", "--steps", 30, cwd=tmp_path)
    assert "has reached step 30" in out


def test_a_process_that_computes_something_else_is_found(tmp_path):
    """One weight of one process moves a little after step 7: the next look, at step 8, names it."""
    out, err = run(2, "--out", "run", "--spoil", 7, "--log-every", 4, cwd=tmp_path, status=2)
    assert "At step 8, G/0.b of process 1 is not that of process 0" in err and "Traceback" not in err
    assert held(tmp_path / "run")[1] == 0


def test_a_process_that_is_killed_ends_the_others(tmp_path):
    options = ("--out", "run", "--steps", 400, "--checkpoint-every", 5, "--die", 12, "--sleep", 0.02)
    process = start(2, *options, cwd=tmp_path)
    wait_for(tmp_path / "run" / "checkpoint.npz", process)
    began = time.perf_counter()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL and "exited on" in err
    assert time.perf_counter() - began < 30
    assert held(tmp_path / "run")[1] == 10
    assert demand_ended(tmp_path)
    run(1, "--resume", "run", "--steps", 12, "--die", 0, "--sleep", 0, cwd=tmp_path)


def test_an_error_of_one_process_is_told_and_ends_the_others(tmp_path):
    _, err = run(2, "--out", "run", "--fail", 3, cwd=tmp_path, status=1)
    assert err.count("RuntimeError: something unforeseen") == 1
    assert demand_ended(tmp_path)


def test_a_number_of_one_process_that_is_not_finite_ends_all(tmp_path):
    """The first process repeats the steps with the whole batch, and finds nothing: it says so."""
    _, err = run(2, "--out", "run", "--nan", 3, "--log-every", 1, cwd=tmp_path, status=2)
    assert err.count("Not finite at step 3") == 1 and "but not when the steps after" in err


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path, rank):
    process = start(2, "--out", "run", "--steps", 4000, "--sleep", 0.01, "--log-every", 1, cwd=tmp_path)
    wait_for(tmp_path / "run" / "log.jsonl", process)
    time.sleep(0.5)
    os.kill(children(process.pid)[rank], signal.SIGINT)
    _, err = process.communicate(timeout=60)
    step = held(tmp_path / "run")[1]
    assert process.returncode == 130 and 0 < step < 4000
    assert err.count(f"Stopped at step {step:,}. To go on: python") == 1 and "Traceback" not in err
    assert demand_ended(tmp_path)


def test_a_signal_to_the_launcher_ends_all(tmp_path):
    """Open MPI gives its processes a quarter of a second: the last checkpoint, which is whole, has to do."""
    process = start(2, "--out", "run", "--steps", 4000, "--sleep", 0.01, "--checkpoint-every", 1, cwd=tmp_path)
    wait_for(tmp_path / "run" / "log.jsonl", process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in (1, 130) and held(tmp_path / "run")[1] >= 0
    assert demand_ended(tmp_path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--batch-size", 13], "--batch-size 13 is not for 2 processes: take 12 or 14"),
        (["--resume", "nowhere"], "There is no run directory nowhere"),
    ],
)
def test_what_cannot_be_is_told_once(tmp_path, arguments, message):
    _, err = run(2, *arguments, cwd=tmp_path, status=2)
    assert err.count(message) == 1


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, "".join(process.communicate())
        time.sleep(0.01)


def children(pid):
    """Return the processes that a launcher has started, in the order of their ranks."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            variables = dict(
                line.split("=", 1) for line in (folder / "environ").read_text().split("\0") if "=" in line
            )
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid and "OMPI_COMM_WORLD_RANK" in variables:
            found[int(variables["OMPI_COMM_WORLD_RANK"])] = int(folder.name)
    return found


def demand_ended(folder):
    """Whether no process works in a folder any more, within seconds."""
    for _ in range(100):
        if not any(os.path.realpath(path) == str(folder) for path in working_folders()):
            return True
        time.sleep(0.1)
    return False


def working_folders():
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                yield os.readlink(folder / "cwd")
            except OSError:
                continue
