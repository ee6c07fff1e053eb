"""Judged code in a process of its own: whatever it does to that, there is a verdict, or one line and status 3."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scratchgan.__main__ import main
from scratchgan.gradcheck import check
from scratchgan.support.errors import UserError
from scratchgan.vectors import child, process

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks")

LAYER = """
import ctypes, os, sys, threading, time
import numpy as np

class Dense:
    def __init__(self, in_features, out_features):
        self.W, self.b = np.ones((in_features, out_features)), np.zeros(out_features)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        self.dW, self.db = self.x.T @ dy, dy.sum(0)
        happen()
        return dy @ self.W.T

def happen():
"""


def layer(folder, what, name="mine.py"):
    """Write a file with a dense layer, in whose backward something happens; return its path."""
    lines = "".join(f"    {line}\n" for line in what.splitlines())
    (folder / name).write_text(LAYER + lines)
    return folder / name


def gradcheck(capfd, *arguments):
    """Return (status, stdout, lines of stderr) of the command, of all processes that write there."""
    status = main(["gradcheck", *map(str, arguments)])
    said = capfd.readouterr()
    return status, said.out, said.err.splitlines()


# ---- how code can end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("sys.exit(0)", "SystemExit: 0 (mine.py, line 19)"),
        ("quit()", "SystemExit"),
        ("os._exit(0)", "ended the process, with exit status 0"),
        ("os._exit(2)", "ended the process, with exit status 2"),
        ("class Own(BaseException): pass\nraise Own('AGREE')", "Own: AGREE"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MemoryError", "MemoryError"),
        ("np.zeros(10**15)", "MemoryError"),
        ("os.closerange(0, 256)", "ended the process"),
        ("raise BaseException('long ' * 10**6)", "BaseException: long long"),
    ],
)
def test_an_end_of_any_kind_is_one_line_and_no_verdict(tmp_path, capfd, what, said):
    path = layer(tmp_path, what)
    status, out, lines = gradcheck(capfd, f"{path}:Dense", "--like", "dense", "--case", "batch_1", "--json")
    assert (status, out, len(lines)) == (3, "", 1)
    assert said in lines[0] and lines[0].endswith("in case batch_1.") and len(lines[0]) < 1000


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("affine_forward", "affine_forward is a plain function: --like takes a class"),
        ("f", "f is a plain function: --like takes a class"),
        ("alone", "this layer fits no case of dense: could not run plain: "),
        ("Picky", "could not run one_input: ValueError: no ones; nothing was wrong in the other cases"),
    ],
)
def test_what_is_no_layer_or_raises_in_one_case_has_no_verdict(tmp_path, capfd, code, said):
    path = layer(tmp_path, "pass")
    with open(path, "a") as file:
        file.write("def affine_forward(x, w, b): return x @ w + b\ndef affine_backward(dy, x, w, b): return dy @ w.T\n")
        file.write("f, f_backward = affine_forward, affine_backward\ndef alone(x, w, b): return x @ w + b\n")
        file.write("class Picky(Dense):\n    def forward(self, x):\n        if x.shape[1] == 1:\n")
        file.write("            raise ValueError('no ones')\n        return super().forward(x)\n")
    status, out, lines = gradcheck(capfd, f"{path}:{code}", "--like", "dense")
    assert (status, out, len(lines)) == (3, "", 1) and said in lines[0], lines


@posix
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("ctypes.string_at(0)", f"signal {signal.SIGSEGV}"),
        ("os.abort()", f"signal {signal.SIGABRT}"),
        ("os.kill(os.getpid(), 9)", "signal 9 (perhaps as memory ran out)"),
        ("os.fork()", "the fork returns from it"),
    ],
)
def test_a_signal_or_a_fork_is_one_line_and_no_verdict(tmp_path, capfd, what, said):
    path = layer(tmp_path, what)
    status, out, lines = gradcheck(capfd, f"{path}:Dense", "--like", "dense", "--case", "plain")
    assert (status, out, len(lines)) == (3, "", 1)
    assert said in lines[0] and lines[0].endswith("in case plain.")


@pytest.mark.parametrize(
    "what",
    [
        "while True: pass",
        "lock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        "while True: print('AGREE: dense, 5 cases', flush=True)",
    ],
)
def test_a_hang_ends_with_the_timeout(tmp_path, capfd, what):
    path, start = layer(tmp_path, what), time.monotonic()
    status, out, lines = gradcheck(capfd, f"{path}:Dense", "--like", "dense", "--timeout", "2")
    assert (status, out, len(lines)) == (3, "", 1) and time.monotonic() - start < 20
    assert "gave no answer within 2 s (--timeout)" in lines[0]


@pytest.mark.parametrize(
    "what",
    [
        "print('AGREE', '[\"outcome\", 1, \"WRONG\"]'); sys.stderr.write('noise')",
        "sys.stdout.close() if not sys.stdout.closed else None",
        "import tempfile, shutil\nshutil.rmtree(tempfile.mkdtemp())\nos.chdir('/')",
        "import atexit\natexit.register(lambda: os._exit(5))",
        "threading.Thread(target=time.sleep, args=(600,)).start()",
        "os.fork() or os._exit(0)" if hasattr(os, "fork") else "pass",
        "sys.argv = sys.stdout = sys.stderr = os.write = os._exit = None",
    ],
)
def test_what_does_no_harm_leaves_the_verdict(tmp_path, capfd, what):
    path = layer(tmp_path, what)
    status, out, lines = gradcheck(capfd, f"{path}:Dense", "--like", "dense", "--case", "plain")
    assert (status, lines) == (0, []), out
    assert out.startswith("AGREE: dense, 1 cases")


def test_prints_are_shown_when_asked_for(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # then they are lost, if the child does not see to it
    path = layer(tmp_path, "print('the shape is', dy.shape)".replace("dy.shape", "(1, 2)"))
    status, out, lines = gradcheck(capfd, f"{path}:Dense", "--like", "dense", "--case", "plain", "--prints")
    assert status == 0 and "the shape is (1, 2)" in lines and "the shape" not in out


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_takes_all_with_it(tmp_path, number, status):
    started = "open('children', 'a').write(f'{os.getpid()} {os.spawnlp(os.P_NOWAIT, \"sleep\", \"sleep\", \"600\")} ')"
    path = layer(tmp_path, f"{started}\ntime.sleep(600)")
    command = [sys.executable, "-m", "scratchgan", "gradcheck", f"{path}:Dense", "--like", "dense"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    listens = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # which jobs in the background are born without
    running = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, preexec_fn=listens)
    children = []
    while len(children) < 2 and running.poll() is None:
        time.sleep(0.05)
        children = (tmp_path / "children").read_text().split() if (tmp_path / "children").exists() else []
    running.send_signal(number)
    err = running.communicate(timeout=20)[1].decode()
    assert running.returncode == status and len(err.splitlines()) <= 1
    for one in children:
        assert ended(int(one))


def ended(number):
    """Whether a process is gone, or is about to be: what nobody waits for stays a zombie for a while."""
    for _ in range(100):
        try:
            os.kill(number, 0)
            state = Path(f"/proc/{number}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("code", "said", "text"),
    [
        (0, [], "exit status 0, before it was imported"),
        (0, [["at", "in case a"]], "exit status 0, in case a"),
        (0, [["outcome", 0, "AGREE"], ["at", "in case b"]], "exit status 0, in case b"),  # something follows
        (1, [["outcome", 0, "AGREE"]], "exit status 1"),
        (-11, [["outcome", 0, "AGREE"]], "signal 11"),
        (None, [["outcome", 0, "AGREE"]], "no answer within 7 s"),
        (0, [["failed", "why"], ["outcome", 0, "AGREE"]], "why"),
        (0, [["at", "in case b"], ["raised", "E"], ["outcome", 0, "AGREE"]], "could not be checked: E, in case b."),
    ],
)
def test_only_a_process_that_ends_well_has_a_verdict(code, said, text):
    with pytest.raises(UserError, match=re.escape(text)):
        process.verdict(code, said, "mine.py", 7)
    assert process.verdict(0, [["at", "x"], ["outcome", 2, "UNRESOLVED"]], "mine.py", 7) == (2, "UNRESOLVED")


def test_messages_that_were_cut_off_are_none():
    content = b'noise["outcome", 0\n["at", "in case a"]\n\xff\n{"a": 1}\n3\n["outcome", 0, "AG'
    assert list(process.messages(content)) == [["at", "in case a"]]


# ---- neighbours ------------------------------------------------------------------------------------------

POINTWISE = """
import numpy, json, contextlib, helper
def forward(x): return x**2
def backward(dy, x): return (helper.two * x * dy,)
x = numpy.array([1.0, 2.0, 3.0])
"""
SCRIPT = "import sys; from scratchgan.__main__ import main; sys.exit(main())"  # what pip writes for [project.scripts]


@pytest.mark.parametrize("name", ["numpy", "json", "contextlib", "argparse", "scratchgan"])
@pytest.mark.parametrize("way", ["script", "module"])
def test_a_neighbour_is_not_run_instead_of_ours(tmp_path, name, way):
    if way == "module" and name == "scratchgan":
        pytest.skip("python -m takes it for the one that is meant")
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('the neighbour was run')")
    (tmp_path / "helper.py").write_text("two = 2")
    (tmp_path / "mine.py").write_text(POINTWISE)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scratchgan").write_text(SCRIPT)
    start = [str(tmp_path / "bin" / "scratchgan")] if way == "script" else ["-m", "scratchgan"]
    command = [sys.executable, *start, "gradcheck", "mine.py"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "AGREE" in done.stdout


def test_the_console_script_is_declared():
    assert 'scratchgan = "scratchgan.__main__:main"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["numpy.py", "json.py", "scratchgan.py", "string.py"])
def test_a_file_may_be_called_like_a_module(tmp_path, capfd, name):
    path = layer(tmp_path, "import dataclasses, copy\ncopy.deepcopy(Dense(1, 1))", name)
    status, out, lines = gradcheck(capfd, f"{path}:Dense", "--like", "dense", "--case", "plain")
    assert (status, lines) == (0, []), out


def test_a_file_of_a_package_imports_its_relatives(tmp_path, capfd):
    (tmp_path / "course" / "part").mkdir(parents=True)
    for folder in ("course", "course/part"):
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "course" / "tools.py").write_text("two = 2")
    text = POINTWISE.replace("json, contextlib, helper", "course.tools")
    (tmp_path / "course" / "part" / "mine.py").write_text(f"from .. import tools as helper\n{text}")
    status, out, lines = gradcheck(capfd, tmp_path / "course" / "part" / "mine.py")
    assert (status, lines) == (0, []), out


# ---- plain functions -------------------------------------------------------------------------------------


def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def square(x, power=2):
    return (x**power).sum(), power * x ** (power - 1)


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


ARRAYS = {"x": np.ones((4, 3)), "w": np.ones((3, 2)), "b": np.ones(2)}
SHAPES = {"x": [4, 3], "w": [3, 2], "b": [2]}


def module(**held):
    """Return a module that holds these, and our functions."""
    made = ModuleType("mine")
    ours = {thing.__name__: thing for thing in (affine_forward, affine_backward, square, Tanh)}
    vars(made).update({**ours, **held})
    return made


@pytest.mark.parametrize(
    ("held", "names", "shapes", "arguments"),
    [
        ({}, ["affine_forward", "affine_backward"], SHAPES, ["x", "w", "b"]),
        ({}, ["affine_forward"], SHAPES, ["x", "w", "b"]),
        ({"args": tuple(ARRAYS.values())}, ["affine_forward"], {}, ["x", "w", "b"]),
        ({"args": ARRAYS}, ["affine_forward"], {}, ["x", "w", "b"]),
        ({"args": lambda: ARRAYS}, ["affine_forward"], {}, ["x", "w", "b"]),
        (ARRAYS, ["affine_forward"], {}, ["x", "w", "b"]),
        ({"f": affine_forward, "g": affine_backward, **ARRAYS}, ["f", "g"], {}, ["x", "w", "b"]),
        ({"make": lambda: (affine_forward, affine_backward, ARRAYS)}, ["make"], {}, ["x", "w", "b"]),
        ({"make": lambda: (Tanh(), np.ones(3))}, ["make"], {}, ["x"]),
        ({"make": Tanh}, ["make"], {"x": [3, 2]}, ["x"]),
        ({"layer": Tanh(), "x": np.ones(3)}, ["layer"], {}, ["x"]),
        ({}, ["Tanh"], {"x": [3, 2]}, ["x"]),
        ({}, ["square"], {"x": [3, 2]}, ["x"]),
    ],
)
def test_plain_functions_are_taken_as_people_write_them(held, names, shapes, arguments):
    made = module(**held)
    forward, backward, args, named = child.call(made, *child.pair(made, names, "mine.py"), shapes)
    report = check(forward, backward, args, names=named)
    assert report.ok and list(report.comparisons) == arguments, str(report)


@pytest.mark.parametrize(
    ("names", "shapes", "message"),
    [
        (["affine_forward"], {}, "put args = (x, w, b,) into the file, or give --shape"),
        (["affine_forward"], {"x": [4, 3]}, "--shape says x; the arguments are x, w, b"),
        (["affine_forward"], {**SHAPES, "y": [2]}, "--shape says x, w, b, y; the arguments are x, w, b"),
        (["square"], {"power": []}, "--shape says power; the arguments are x, power"),
        (["Tanh"], {}, "put args = (x,) into the file"),
    ],
)
def test_arguments_that_are_lacking_are_named(names, shapes, message):
    made = module()
    with pytest.raises(UserError, match=re.escape(message)):
        child.call(made, *child.pair(made, names, "mine.py"), shapes)


@pytest.mark.parametrize(("bug", "status"), [("", 0), ("2 * ", 1)])
def test_a_file_of_functions_has_the_status_of_its_verdict(tmp_path, capfd, bug, status):
    (tmp_path / "mine.py").write_text(POINTWISE.replace("helper.two", f"{bug}2").replace(", helper", ""))
    found, out, lines = gradcheck(capfd, tmp_path / "mine.py")
    assert (found, lines) == (status, []) and ("WRONG" in out) == bool(status)
