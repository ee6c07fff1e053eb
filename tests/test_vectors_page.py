"""docs/vectors.md: its commands run, and its outputs, keys and numbers are those of the programs, C's among them."""

import io
import json
import re
import shlex
import shutil
import subprocess
import zipfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from scratchgan.__main__ import main
from scratchgan.vectors import files, references
from scratchgan.vectors.layouts import TOLERANCE
from scratchgan.vectors.make import make

PAGE = (Path(__file__).parent.parent / "docs" / "vectors.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(text|c)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS, STEPS, RIGHT, WRONG, CHECKS = [block for language, block in BLOCKS if language == "text"]
(PROGRAM,) = [block for language, block in BLOCKS if language == "c"]
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler (cc, gcc or clang)")


@pytest.fixture(scope="module")
def conv2d():
    return make("conv2d")


@pytest.fixture(scope="module")
def batch_norm():
    return make("batch_norm")


def take(step):
    """Take a step of the page, a line of a shell, in this folder; return its exit status and what it prints."""
    match shlex.split(step, comments=True):
        case ["python", "-m", "scratchgan", *arguments]:
            with redirect_stdout(io.StringIO()) as out:
                return main(arguments), out.getvalue()
        case ["unzip", archive, "-d", folder]:
            zipfile.ZipFile(archive).extractall(folder)
        case ["cc", *arguments]:
            subprocess.run([COMPILER, *STRICT, *arguments], check=True)
        case [program, *arguments, ">", file]:
            Path(file).write_bytes(subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE).stdout)
        case words:
            raise AssertionError(f"the page has a command of a new kind: {words}")
    return 0, ""


def steady(text):
    """Return text without what is the compiler's: the size of rounding errors, and the last digits of a sum."""
    text = re.sub(r"\d(\.\d)?e-\d\d", "small", text)
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.5g}", text)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The folder in which all steps of the worked example were taken, and what the last one returned."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "conv.c").write_text(PROGRAM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, [take(step) for step in STEPS.splitlines()][-1]


@needs_compiler
def test_the_program_in_c_agrees_in_the_words_of_the_page(example):
    assert "and exits with 0." in PAGE
    status, printed = example[1]
    assert (status, steady(printed)) == (0, steady(RIGHT))


@needs_compiler
def test_the_bug_in_c_is_found_in_the_words_of_the_page(example, monkeypatch):
    monkeypatch.chdir(example[0])
    line, status = re.search(r"With `(.*?)`, .*? it exits with (\d) and\s+prints", PAGE, re.DOTALL).groups()
    right = line.removesuffix(" / N")
    assert PROGRAM.count(right) == 1
    (example[0] / "wrong.c").write_text(PROGRAM.replace(right, line))
    *_, compile, compute, judge = (re.sub(r"\bconv\b", "wrong", step) for step in STEPS.splitlines())
    for step in (compile, compute.replace("results", "wrong")):
        take(step)
    found, printed = take(judge.replace("results", "wrong"))
    assert (found, steady(printed)) == (int(status), steady(WRONG))


@needs_compiler
def test_the_program_in_c_finds_its_folder_without_being_told(example):
    alone = subprocess.run([example[0] / "conv"], cwd=example[0], check=True, capture_output=True)
    assert alone.stdout == (example[0] / "results.json").read_bytes()


@needs_compiler
def test_how_near_the_program_in_c_comes_to_the_bound(example, conv2d):
    shares = []
    for key, numbers in json.loads((example[0] / "results.json").read_text()).items():
        place, _, name = key.rpartition("/")
        error = np.abs(np.array(numbers) - conv2d.arrays[f"{place.replace('32', '64')}/{name}"].ravel())
        shares.append((error / conv2d.arrays[f"{place}/{TOLERANCE}{name}"].ravel()).max())
    assert 0 < max(shares) <= float(re.search(r"reaches at most (\S+) of the bound", PAGE)[1])


def test_the_commands_at_its_head_run(tmp_path, monkeypatch, conv2d):
    monkeypatch.chdir(tmp_path)
    results = {key: array for key, array in conv2d.arrays.items() if re.search(r"/float32/(y|dx|dW|db)$", key)}
    files.write("results.json", "json", conv2d._replace(manifest={}, arrays=results))
    taken = [take(command) for command in COMMANDS.splitlines()]
    assert [status for status, _ in taken] == [0, 0, 0]
    (_, listed), (_, wrote), (_, judged) = taken
    assert [line.split()[0] for line in listed.splitlines()] == list(references.LAYERS)
    assert f"{len(references.cases('conv2d'))} cases" in wrote
    assert judged == RIGHT


def test_the_commands_of_gradcheck_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = []
    monkeypatch.setattr("scratchgan.vectors.process.in_child", lambda *asked: jobs.append(asked) or (0, ""))
    commands = CHECKS.splitlines()
    for command in commands:
        Path(re.search(r"\w+\.py", command)[0]).touch()
        assert take(command)[0] == 0, command
    assert len(jobs) == len(commands) and f"`--timeout` seconds ({jobs[0][1]})" in PAGE


def test_the_keys_of_the_page_are_in_the_vectors(conv2d, batch_norm):
    keys = conv2d.arrays.keys() | batch_norm.arrays.keys()
    table = PAGE.split("| key | what it is |")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\S+?)`", row.split("|")[1]) for row in table.splitlines()[2:]]
    assert len(rows) == 8
    for first, *others in rows:
        assert first in conv2d.arrays
        for name in others:
            assert any(key.split("/")[1:] == [first.split("/")[1], name] for key in keys), name
    for name in re.search(r"Batch normalisation has (.*?)\.\n", PAGE, re.DOTALL)[1].split("`")[1::2]:
        assert any(key.endswith(f"/{name}") for key in batch_norm.arrays), name


def test_the_formats_are_as_the_page_says(tmp_path, conv2d):
    files.write(tmp_path / "conv2d.json", "json", conv2d)
    written = json.loads((tmp_path / "conv2d.json").read_text())["arrays"]
    key, dtype, shape = re.search(r'"(\S+)": \{"dtype": "(\w+)", "shape": (\[.*?\])', PAGE).groups()
    assert (written[key]["dtype"], written[key]["shape"]) == (dtype, json.loads(shape))
    files.write(tmp_path / "conv2d.npz", "npz", conv2d)
    with zipfile.ZipFile(tmp_path / "conv2d.npz") as archive:
        names = archive.namelist()
        assert f"{key}.npy" in names and all(part.compress_type == zipfile.ZIP_STORED for part in archive.infolist())
    for name in ("arrays.txt", "manifest.json", "README.txt"):
        assert name in names and f"`{name}`" in PAGE
    assert f"Files of more than {files.LARGEST >> 20} MiB" in PAGE


def test_the_cases_that_the_page_leaves_out_are_there():
    skipped = re.search(r"as in `--skip (\S+)`", PAGE)[1].split(",")
    assert set(skipped) < {case.name for case in references.cases("conv2d")}
