"""The command line of the gradient checker, and code in C taken through test vectors and `verify`."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scratchgan.__main__ import main

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
PAGE = Path(__file__).parent.parent / "docs" / "vectors.md"


def run(capsys, *arguments):
    """Return (exit status, stdout, stderr) of `python -m scratchgan ...`; argparse leaves by SystemExit."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    out = capsys.readouterr()
    return status, out.out, out.err


# ---- C ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    assert main(["vectors", "conv2d", "--out", str(folder / "conv2d.npz")]) == 0
    with zipfile.ZipFile(folder / "conv2d.npz") as archive:
        archive.extractall(folder / "conv2d")
    return folder / "conv2d"


def compile_and_run(folder, raw, replaced="", by=""):
    """Compile the program of docs/vectors.md, with one piece of it replaced; return the file of its results."""
    source = re.search(r"^```c\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)[1]
    assert not replaced or source.count(replaced) == 1
    (folder / "conv.c").write_text(source.replace(replaced, by) if replaced else source)
    command = [COMPILER, "-std=c99", "-O1", "-Wall", "-Werror", "conv.c", "-o", "conv", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    results = folder / "results.json"
    with open(results, "wb") as file:
        subprocess.run([str(folder / "conv"), str(raw)], stdout=file, check=True)
    return results


needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler (cc, gcc or clang)")


@needs_compiler
def test_a_convolution_in_c_agrees(tmp_path, raw, capsys):
    status, out, err = run(capsys, "verify", compile_and_run(tmp_path, raw), "--against", f"{raw}.npz")
    assert (status, err) == (0, ""), out
    assert "AGREE: conv2d" in out and "not checked: ddy, bend_W (second order)" in out


@needs_compiler
@pytest.mark.parametrize(
    ("replaced", "by", "name", "kind"),
    [
        ("dW[r] += dy[p] * x[q]", "dW[r] += dy[p] * x[q] / N", "dW", "scale"),
        ("dW[r] += dy[p] * x[q]", "dW[r] += x[q]", "dW", "upstream-ignored"),
        ("dx[q] += dy[p] * W[r]", "dx[q] -= dy[p] * W[r]", "dx", "sign"),
        ("dx[q] += dy[p] * W[r]", "dx[q] += dy[p] * W[(((K-1-k) * L + L-1-l) * width + c) * O + o]", "dx", "flipped"),
        ("db[o] += dy[p]", "db[o] = dy[p]", "db", "location"),  # what overwrites is not known: where, at least
    ],
)
def test_a_planted_bug_in_c_is_wrong_with_its_cause(tmp_path, raw, capsys, replaced, by, name, kind):
    results = compile_and_run(tmp_path, raw, replaced, by)
    status, out, _ = run(capsys, "verify", results, "--against", f"{raw}.npz", "--json")
    outcome = json.loads(out)
    assert status == 1
    assert outcome["verdict"] == {n: "WRONG" if n == name else "AGREE" for n in ("y", "dx", "dW", "db")}
    explained = [report for report in outcome["cases"].values() if report["causes"]]
    assert kind in [cause["kind"] for cause in explained[0]["causes"][:2]]


@needs_compiler
def test_a_bug_that_needs_a_dilation_is_wrong_in_those_cases_alone(tmp_path, raw, capsys):
    results = compile_and_run(tmp_path, raw, "h = i * stride[0] + k * dilation[0]", "h = i * stride[0] + k")
    status, out, _ = run(capsys, "verify", results, "--against", f"{raw}.npz", "--json")
    wrong = [key for key, report in json.loads(out)["cases"].items() if not report["ok"]]
    assert status == 1
    assert wrong == ["dilation/float32", "everything/float32"]


# ---- the command line ------------------------------------------------------------------------------------


def test_help_names_every_command(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0 and run(capsys)[1] == out
    for command in ("gradcheck", "vectors", "verify"):
        assert command in out
        assert "usage: python -m scratchgan" in run(capsys, command, "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "there is no command 'train'"),
        (["vectors"], "give a name, such as conv2d, or --list"),
        (["vectors", "conv2"], "did you mean conv2d?"),
        (["vectors", "dense", "--out", "no/such/folder/dense.npz"], "Cannot write no/such/folder/dense.npz"),
        (["vectors", "dense", "--layout", "rows"], "invalid choice"),
        (["verify", "none.npz", "--against", "none.npz"], "There is no file none.npz"),
        (["verify", ".", "--against", "none.npz"], "Cannot read .: it is a folder, not a file"),
        (["verify", "deep.json", "--against", "none.npz"], "deep.json cannot be read as JSON"),
        (["verify", "results.npz"], "--against"),
        (["vectors", "dense", "--out", "."], "Cannot write .: it is no file"),
        (["gradcheck", "empty.py:Other", "--like", "dense", "--case", "stride"], "no case 'stride'; it has plain, "),
        (["gradcheck", "empty.py:Other", "--case", "plain"], "--case needs --like"),
        (["gradcheck", "empty.py:Other", "--like", "dense", "--shape", "x=3"], "and no --shape"),
        (["gradcheck", "empty.py:Other", "--shape", "x=3x"], "such as x=4x3, not 'x=3x'"),
        (["gradcheck", "empty.py:Other", "--timeout", "0"], "wanted more than 0"),
        (["gradcheck", "empty.py:Other", "--timeout", "nan"], "wanted more than 0"),
        (["gradcheck", "empty.py:a,b,c"], "write FILE.py:NAME"),
        (["gradcheck", "empty.txt:Other"], "write FILE.py:NAME"),
        (["gradcheck", "empty.py"], "no class or function forward; it has Other"),
        (["gradcheck", "broken\udcff.py:a"], "there is no file broken\\udcff.py"),
        (["gradcheck", "exits.py:a"], "exits.py cannot be imported: SystemExit: 0 (exits.py, line 2)"),
        (["gradcheck", "empty.py:Other", "--like", "dense"], "this layer fits no case of dense: could not run"),
        (["gradcheck", "mylayers.py", "--like", "dense"], "write FILE.py:NAME"),
        (["gradcheck", "none.py:MyDense", "--like", "dense"], "there is no file none.py"),
        (["gradcheck", "broken.py:MyDense", "--like", "dense"], "division by zero (broken.py, line 2)"),
        (["gradcheck", "empty.py:MyDense", "--like", "dense"], "no class or function MyDense; it has Other"),
        (["gradcheck", "empty.py:Other", "--like", "densee"], "there is no reference 'densee'"),
    ],
)
def test_what_a_user_can_put_right_is_one_line_and_status_3(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken.py").write_text("x = 1\nx / 0\n")
    (tmp_path / "empty.py").write_text("from math import sin\nx = 1\nclass Other: pass\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "deep.json").write_text('{"a": ' + 99999 * "[")
    before = sorted(path.name for path in tmp_path.iterdir())
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (3, "")
    assert message in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before


def test_formats_follow_the_ending_and_every_format_verifies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for options in (["a.npz"], ["a", "--format", "json"], ["b.npz", "--layout", "channels-first"]):
        assert run(capsys, "vectors", "dense", "--out", *options)[0] == 0
    with np.load("a.npz") as archive:
        found = {key: archive[key] for key in archive.files if key.split("/")[-1] in ("y", "dx", "dW", "db")}
    np.savez("results.npz", **found)
    for out in ("a.npz", "a", "b.npz"):
        status, text, _ = run(capsys, "verify", "results.npz", "--against", out)
        assert status == 0, text
    assert "dW: recognised as channels-last" in text
    del found["plain/float32/dW"]
    np.savez_compressed("results.npz", **found)
    assert run(capsys, "verify", "results.npz", "--against", "a.npz")[0] == 2
    status, text, _ = run(capsys, "verify", "results.npz", "--against", "a.npz", "--skip", "dW,y")
    assert status == 0 and "skipped: dW, y" in text


@pytest.mark.parametrize("error", [RuntimeError("of ours"), MemoryError(), RecursionError("deep"), OSError(28, "full")])
def test_a_mistake_of_ours_is_no_verdict(monkeypatch, capsys, error):
    monkeypatch.setattr("scratchgan.vectors.files.read", lambda path: (_ for _ in ()).throw(error))
    monkeypatch.delenv("SCRATCHGAN_TRACEBACK", raising=False)
    status, out, err = run(capsys, "verify", "a", "--against", "b")
    assert (status, out, len(err.splitlines())) == (3, "", 1)
    assert type(error).__name__ in err and "SCRATCHGAN_TRACEBACK=1" in err
    monkeypatch.setenv("SCRATCHGAN_TRACEBACK", "1")
    status, _, err = run(capsys, "verify", "a", "--against", "b")
    assert status == 3 and "Traceback" in err


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipes and devices")
@pytest.mark.parametrize("where", ["> /dev/full", "| true", "2> /dev/full >&2", "2>&1 | true", "2>&- > /dev/full"])
def test_what_cannot_be_printed_is_no_verdict(tmp_path, where):
    (tmp_path / "mine.py").write_text("def forward(x): return x**2\ndef backward(dy, x): return (2 * x * dy,)\n")
    command = f"{sys.executable} -m scratchgan gradcheck {tmp_path}/mine.py --shape x=3"
    piped, rest = where.split("|") if "|" in where else (where, "cat")
    shell = f"({command} {piped}; echo $? > status) | {rest}"
    env = os.environ | {"PYTHONPATH": str(PAGE.parent.parent)}
    done = subprocess.run(["sh", "-c", shell], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (tmp_path / "status").read_text() == "3\n"
    assert len(done.stderr.splitlines()) <= 1


def test_the_list_names_cases(capsys):
    out = run(capsys, "vectors", "--list")[1]
    assert any(line.startswith("conv2d ") and "depthwise" in line for line in out.splitlines())
