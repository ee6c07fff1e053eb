"""What comes from outside and cannot be used: a line says so, before the first step, and nothing is changed.

Each trial is a row: what is done to a run, the command, and the line. All of them run in this process, and all are held
to the same: exit status 2, one line that no terminal obeys, no memory to speak of, and every file as it was.
"""

import os
import shutil
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.support.errors import CheckpointError
from scratchgan.training import checkpoint

posix = pytest.mark.skipif(os.name == "nt", reason="pipes, sockets and devices as POSIX has them")
RESUME = ("--resume", "run", "--steps", 5)
MEMORY = 30e6  # bytes that a refusal may take: most of them are Python's own


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three steps."""
    path = tmp_path_factory.mktemp("hostile") / "run"
    training.train(Tiny, Settings(out=str(path), steps=3, sample_every=2, threads=1))
    return path


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it in the present directory, which is also the home, by the name of "run"."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return Path(shutil.copytree(trained, tmp_path / "run")).relative_to(tmp_path)


def main(*arguments, status=0):
    """Run the command line; demand this exit status; return the most memory that it took."""
    tracemalloc.start()
    try:
        training.main(Tiny, Settings, [str(argument) for argument in arguments])
        assert status == 0
    except SystemExit as left:
        assert left.code == status
    finally:
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return memory


def everything():
    """What lies in the present directory: names, kinds, sizes, and contents that are not huge."""
    found = {}
    for path in sorted(Path().rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and status.st_size < 10**6 and not path.is_symlink() else None
        found[path] = status.st_mode, None if path.is_dir() else status.st_size, content
    return found


def refused(capsys, *arguments):
    """Demand that a command is refused as all are; return its line."""
    before = everything()
    capsys.readouterr()
    memory = main(*arguments, status=2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("training_tiny.py: error: "), err
    assert err.strip().isprintable() and memory < MEMORY, (err, memory)
    assert everything() == before
    return err


# ---- things that are no files ----------------------------------------------------------------------------


def pipe(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def endless(path):
    path.symlink_to("/dev/zero")


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(40 * 10**9)


def postscript(path):
    Image.new("RGB", (16, 16)).save(path, format="EPS")


KINDS = {pipe: "it is a pipe", folder: "it is a folder", endless: "it is a device", listening: "it is a socket"}
WRITTEN = ("settings.json", "samples.png", "losses.png", "training.gif")
READ = ("checkpoint.npz", "log.jsonl", "samples/step-000002.png")
NO_FILES = [(name, kind, line) for name in WRITTEN + READ for kind, line in KINDS.items()]
NO_FILES += [
    ("checkpoint.npz", sparse, "checkpoint.npz"),
    ("log.jsonl", sparse, "more than the 4,294,967,296 that such a file can hold"),
    ("samples/step-000002.png", sparse, "is no picture of a kind that is read"),
    ("samples/step-000002.png", postscript, "is no picture of a kind that is read"),
    ("samples", pipe, "Cannot make the folder run/samples: something else has its name"),
]


@posix
@pytest.mark.parametrize("name, make, line", NO_FILES, ids=lambda value: getattr(value, "__name__", str(value)[:20]))
def test_what_is_no_file(run, capsys, name, make, line):
    if (run / name).is_dir():
        shutil.rmtree(run / name)
    else:
        (run / name).unlink()
    make(run / name)
    if make is listening and name in READ and not name.endswith("jsonl"):
        line = "No such device or address"  # nobody can open it
    assert line in refused(capsys, *RESUME)


@posix
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_log_that_becomes_no_file(run, capsys, monkeypatch, make):
    """To open a pipe to add a line would be to wait for whoever reads it."""
    step = Tiny.step

    def exchange(model, batches):
        (run / "log.jsonl").unlink()
        make(run / "log.jsonl")
        return step(model, batches)

    monkeypatch.setattr(Tiny, "step", exchange)
    main("--resume", "run", "--steps", 4, status=2)
    assert KINDS[make] in capsys.readouterr().err


# ---- numbers that are too large --------------------------------------------------------------------------

LARGE = [
    (("--batch-size", 10**12), "A batch of 1,000,000,000,000 samples would need"),
    (("--batch-size", 2 * 10**7), "A batch of 20,000,000 samples would need 20.9 GB of memory"),  # in its layers
    (("--batch-size", 10**30), "argument --batch-size: must be below 2^63"),
    (("--latent", 10**9), "The weights of this network, with their optimizer, would need 256 GB of memory"),
    (("--latent", 10**18), "The weights of this network, with their optimizer, would need 256 EB of memory"),
    (("--steps", 10**30), "argument --steps: must be below 2^63"),
    (("--steps", "9" * 5000), "argument --steps: must be a whole number"),
    (("--threads", 10**30), "argument --threads: must be below 2^63"),
    (("--threads", 10**6), "argument --threads: must be at most 1024"),
    (("--seed", 10**30), "argument --seed: must be below 2^63"),
    (("--log-every", -(10**30)), "argument --log-every: must be below 2^63"),
]


@pytest.mark.parametrize("options, line", LARGE, ids=lambda value: " ".join(map(str, value))[:30])
def test_numbers_that_are_too_large(run, capsys, monkeypatch, options, line):
    monkeypatch.setattr("scratchgan.support.costs.available", lambda: 16 * 10**9)
    monkeypatch.setattr("argparse.ArgumentParser.print_usage", lambda *arguments: None)
    assert line in refused(capsys, "--out", "new", *options)
    if "latent" not in options[0]:
        assert line in refused(capsys, *RESUME, *options)
    else:  # a file of a few kB is of no such network, on whatever machine
        monkeypatch.setattr("scratchgan.support.costs.available", lambda: None)
        assert "The checkpoint cannot be one of this model: it holds " in refused(capsys, *RESUME, *options)


# ---- checkpoints that cannot be --------------------------------------------------------------------------


def settings(**changes):
    return {"settings": lambda old: old | changes}


FACTS = [
    ({"step": -5}, "it cannot be of step -5 of 3"),
    ({"step": 4}, "it cannot be of step 4 of 3"),
    ({"step": 10**30}, "it cannot be of step 1000000000000000000000000000000 of 3"),
    ({"step": True}, "it does not tell its step"),
    ({"step": 1.0}, "it does not tell its step"),
    ({"seconds": float("nan")}, "cannot have taken nan seconds"),
    ({"seconds": float("inf")}, "cannot have taken inf seconds"),
    ({"seconds": -1.0}, "cannot have taken -1.0 seconds"),
    ({"shape": [8, 8, 0]}, "samples cannot have the shape [8, 8, 0]"),
    ({"shape": [8, 8, True]}, "samples cannot have the shape"),
    ({"shape": 10**4 * [1]}, "samples cannot have the shape"),
    ({"shape": [10**30]}, "samples cannot have the shape"),
    ({"shape": [3000, 3000, 100]}, "The checkpoint cannot be one of this model: it holds"),
    ({"shape": [3000, 3000, 1]}, "The checkpoint cannot be one of this model: it holds"),
    (settings(steps="3"), "it cannot be of step 3 of 3"),
    (settings(latent=10**7), "The checkpoint cannot be one of this model: it holds"),
    (settings(latent=10**30), "The settings in the checkpoint of run cannot be used: --latent must be below 2^63"),
    (settings(latent=[1]), "cannot be used: --latent must be a whole number, not [1]"),
    (settings(latent=None), "cannot be used: --latent must be a whole number, not None"),
    (settings(data=5), "cannot be used: --data must be text, not 5"),
    (settings(mirror="yes"), "cannot be used: --mirror must be True or False"),
    (settings(**{"\x1b[31mred": 1}), r"has settings that are unknown here (\x1b[31mred)"),
    ({"model": "\x1b]0;title\x07", "script": "rm -rf ~ #"}, "use the script 'rm -rf ~ #'"),
]


@pytest.mark.parametrize("changes, line", FACTS, ids=lambda value: str(value)[:40])
def test_facts_that_cannot_be(run, capsys, changes, line):
    arrays, meta = checkpoint.load(run / "checkpoint.npz")
    new = {name: value(meta[name]) if callable(value) else value for name, value in changes.items()}
    checkpoint.save(run / "checkpoint.npz", arrays, meta | new)
    assert line in refused(capsys, "sample", "run", "--out", "a.png")
    assert refused(capsys, "--resume", "run", "--steps", 9)


@posix
def test_a_checkpoint_takes_no_more_memory_than_its_size(tmp_path):
    """Nor does one that has a long list of members, of which each is nothing."""
    arrays = {f"model/{name}": np.zeros(10**6, "float32") for name in range(20)}
    checkpoint.save(tmp_path / "a.npz", arrays, {})
    tracemalloc.start()
    checkpoint.load(tmp_path / "a.npz")
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 80e6 < memory < 82e6
    arrays = {"text": np.array(3_000_000 * "[]")}  # of any length that a training may come to
    checkpoint.save(tmp_path / "a.npz", arrays, {})
    assert checkpoint.load(tmp_path / "a.npz")[0] == arrays

    member = b"PK\1\2" + bytes(24) + b"\1\0" + bytes(16) + b"a"  # 47 bytes of a list, of which zipfile makes 700
    content = member * 600_000
    end = b"PK\5\6" + bytes(8) + len(content).to_bytes(4, "little") + bytes(6)
    (tmp_path / "list.npz").write_bytes(content + end)
    tracemalloc.start()
    with pytest.raises(checkpoint.CheckpointError, match="a list of its members or a header is too long"):
        checkpoint.load(tmp_path / "list.npz")
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory < 12e6


# ---- names and places ------------------------------------------------------------------------------------


@posix
def test_names_that_a_terminal_would_obey(run, capsys):
    os.rename(run, "\x1b[31mred\n\udcff")
    assert r"\x1b[31mred \udcff" in refused(capsys, "--resume", "\x1b[31mred\n\udcff", "--steps", 5, "--out", "run")
    main("--resume", "\x1b[31mred\n\udcff", "--steps", 5, "--threads", 1)  # and it works
    out = capsys.readouterr().out
    main("sample", "\x1b[31mred\n\udcff", "run", "\x1b[32mgreen", status=2)
    assert r"unrecognized arguments: run \x1b[32mgreen" in capsys.readouterr().err
    assert r"run directory: \x1b[31mred \udcff" in out and "\x1b" not in out


def test_a_model_that_cannot_be_built_of_what_a_checkpoint_says(run):
    """What a network says to a shape or a setting that nobody checked."""

    class Picky(Tiny):
        def __init__(self, settings, shape, rng):
            height, width, channels = shape
            super().__init__(settings, shape, rng)

    arrays, meta = checkpoint.load(run / "checkpoint.npz")
    checkpoint.save(run / "checkpoint.npz", arrays, meta | {"shape": [64], "model": "Picky"})
    with pytest.raises(CheckpointError, match=r"No model for samples of shape \(64,\) can have these settings: not"):
        training.load_model(Picky, Settings, run)


@posix
def test_a_name_that_is_not_utf_8(run):
    main("--out", "a\udcff", "--steps", 1, "--data", "b\udcff", "--threads", 1)
    assert '"data": "b\\udcff"' in Path("a\udcff", "settings.json").read_text()
    main("--resume", "a\udcff", "--steps", 2)
    assert checkpoint.load("a\udcff/checkpoint.npz")[1]["settings"]["data"] == "b\udcff"


def test_a_home(run):
    main("--out=~/new", "--steps", 1, "--data=~/pictures", "--data-dir=~/files", "--threads", 1)
    stored = checkpoint.load("new/checkpoint.npz")[1]["settings"]
    assert [stored[name] for name in ("data", "data_dir")] == [os.path.abspath(name) for name in ("pictures", "files")]
    main("--resume=~/new", "--steps", 2)
    main("sample", "~/new", "--out=~/a.png")
    training.load_model(Tiny, Settings, "~/new")
    training.train(Tiny, Settings(steps=3, threads=1), resume="~/new")
    main("sample", "~/new", "--out=~nobody-of-this-name.png")  # then it is a name as any other
    assert {path.name for path in Path().iterdir()} == {"run", "new", "a.png", "~nobody-of-this-name.png"}


@pytest.mark.parametrize("name", ("checkpoint.npz", "log.jsonl", "settings.json"))
def test_no_command_writes_what_a_training_wrote(run, capsys, name):
    assert "this may be a training's own file" in refused(capsys, "evaluate", "run", "--out", run / name)


def test_the_present_folder_is_not_replaced(run, capsys, monkeypatch):
    Path("empty").mkdir()
    monkeypatch.chdir("empty")
    assert "is there already" in refused(capsys, "sample", "../run", "--separate", "--out", ".")


@posix
def test_links_to_where_pictures_shall_be(run):
    Path("there").mkdir()
    for name in ("there", "nowhere"):
        Path("link").unlink(missing_ok=True)
        Path("link").symlink_to(name)
        main("sample", "run", "--separate", "--n", 2, "--out", "link")
        assert Path("link").is_symlink() and len(list(Path(name).iterdir())) == 2


def test_what_killed_processes_left_keeps_nothing_from_being_done(run):
    for name in ("new", "run"):
        left = Path(name, ".separate.4711.scratchgan-tmp")
        left.mkdir(parents=True)
        (left / "000000.png").touch()
        main(*RESUME, "--threads", 1) if name == "run" else main("--out", "new", "--steps", 1, "--threads", 1)
        assert not left.exists()


def test_help_where_python_drops_what_is_written_above(run, monkeypatch):
    monkeypatch.setattr("inspect.getdoc", lambda thing: None)  # as with python -OO
    main("--help")


# ---- what a step returns ---------------------------------------------------------------------------------

RETURNED = [
    ({"step": 1.0}, "The loss 'step' needs another name"),
    ({"D": 1.0, "seconds": 1.0}, "The loss 'seconds' needs another name"),
    ({"report": 1.0}, "The loss 'report' needs another name"),
    ({"equilibrium": 1.0}, "The loss 'equilibrium' needs another name"),
    ({"D": np.zeros(2)}, "'D' of what a step returns must be a single number by a name, not float64 (2,)"),
    ({"D": np.complex64(1)}, "'D' of what a step returns must be a single number by a name, not complex64 ()"),
    ({"D": "low"}, "'D' of what a step returns must be a single number by a name, not str"),
    ({"D": None}, "'D' of what a step returns must be a single number by a name, not NoneType"),
    ({5: 1.0}, "5 of what a step returns must be a single number by a name"),
    ((1.0, 2.0), "what a step returns must be a dictionary, {name: number}, not a tuple"),
    (None, "what a step returns must be a dictionary, {name: number}, not a NoneType"),
]


@pytest.mark.parametrize("losses, line", RETURNED, ids=lambda value: str(value)[:30])
def test_losses_that_are_none(run, monkeypatch, capsys, losses, line):
    monkeypatch.setattr(Tiny, "step", lambda model, batches: losses)
    main("--out", "new", status=2)
    assert line in capsys.readouterr().err
    assert "samples/s" not in Path("new/log.jsonl").read_text()


@pytest.mark.parametrize("value", (np.zeros(3), None, "text"))
def test_a_report_that_is_none(run, monkeypatch, capsys, value):
    monkeypatch.setattr(Tiny, "report", lambda model: {"modes\x1b": value})
    main("--out", "new", status=2)
    assert "of the report must be a single number" in capsys.readouterr().err


# ---- pictures at the end ---------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ("samples.png", "losses.png", "training.gif"))
def test_a_closing_picture_that_is_missing_is_drawn_again(run, missing):
    before = (run / missing).read_bytes()
    (run / missing).unlink()
    others = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    main("--resume", "run")
    assert (run / missing).read_bytes() == before
    del others[run / "samples"]
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_a_closing_picture_that_cannot_be_drawn_keeps_nothing_from_being_done(run, monkeypatch, capsys):
    finished = []
    monkeypatch.setattr(Tiny, "finish", lambda model: finished.append(True))
    (run / "losses.png").unlink()
    (run / "log.jsonl").unlink()
    main("--resume", "run", status=2)
    assert "There is no file run/log.jsonl" in capsys.readouterr().err and finished
