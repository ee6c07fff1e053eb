"""The fixture `gradcheck`, as pytest runs it in a folder of a user's own, and the command `gradcheck`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchgan.__main__ import main

ROOT = Path(__file__).parent.parent

TESTS = """
import numpy as np

x = np.random.default_rng(0).standard_normal((4, 3))

def test_right(gradcheck):
    report = gradcheck(lambda x: x * x, lambda dy, x: 2 * x * dy, x)
    assert report.ok
    gradcheck.second(lambda dy, x: 2 * x * dy, lambda ddx, dy, x: (2 * x * ddx, 2 * dy * ddx), (x, x))

def test_wrong(gradcheck):
    gradcheck(lambda x: x * x, lambda dy, x: x * dy, x)

def test_plain_assert():
    from scratchgan.gradcheck import check
    assert check(lambda x: x * x, lambda dy, x: x * dy, x)

def test_sweep(gradcheck):
    from scratchgan.layers import Tanh
    gradcheck.sweep(Tanh, like="tanh")
    gradcheck.compare(Tanh(), "tanh")
"""


def test_the_fixture_fails_with_the_explanation(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "scratchgan.gradcheck.plugin", "-q", "test_mine.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "2 failed, 2 passed" in done.stdout, done.stdout
    assert "gradcheck: WRONG" in done.stdout and "E         cause: x " in done.stdout  # below the line of the test
    assert "assert <WRONG x " in done.stdout  # a plain assert has room for one line
    assert "plugin.py" not in done.stdout.split("short test summary")[0]  # the traceback ends in the user's test


def test_the_plugin_is_an_entry_point():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pytest11]\n"scratchgan.gradcheck.plugin" = "scratchgan.gradcheck.plugin"' in text


MINE = """
import numpy as np

class Affine:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.zeros((n_in, n_out)), np.zeros(n_out)
    def forward(self, x):
        print("forward")
        self.x = x
        return x @ self.W + self.b
    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy * FACTOR, dy.sum(0)
        return dy @ self.W.T

class Never:
    def forward(self, x):
        raise NotImplementedError("to do")
    def backward(self, dy):
        return dy
"""


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_what_is_wrong_and_exits_with_it(tmp_path, capsys, factor, as_json):
    (tmp_path / f"mine{factor}{as_json}.py").write_text(MINE.replace("FACTOR", str(factor)))
    code = f"{tmp_path}/mine{factor}{as_json}.py:Affine"
    status = main(["gradcheck", code, "--like", "dense", *(["--json"] if as_json else [])])
    out = capsys.readouterr().out
    assert status == factor - 1
    if as_json:
        found = json.loads(out)  # nothing that the code under test prints gets in between
        assert found["ok"] == (factor == 1) and found["verdict"]["dW"] == ("AGREE" if factor == 1 else "WRONG")
    else:
        assert ("WRONG: dense, 5 cases" if factor == 2 else "AGREE: dense, 5 cases") in out


def test_code_that_cannot_run_is_an_error(tmp_path, capsys):
    (tmp_path / "never.py").write_text(MINE)
    assert main(["gradcheck", f"{tmp_path}/never.py:Never", "--like", "tanh"]) == 3
    assert "could not run plain: NotImplementedError: to do" in capsys.readouterr().err
    assert main(["gradcheck", f"{tmp_path}/none.py:Never", "--like", "tanh"]) == 3
