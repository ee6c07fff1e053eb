"""`benchmarks/gpu.sh`: there is rarely a GPU at hand, and it must not fail at a mistyped option when there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
READ = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
for arguments in json.loads(sys.argv[2]):
    module.read(arguments)
"""


def gpu_sh(*arguments):
    environment = os.environ | {"PYTHON": sys.executable, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "benchmarks/gpu.sh", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def commands(*arguments):
    """Return [(seconds, [word, ...])]: what gpu.sh would run."""
    lines = [line.split() for line in gpu_sh("--list", *arguments).stdout.splitlines()]
    return [(int(seconds), words) for seconds, python, *words in lines]


def test_every_command_is_understood():
    found = [*commands(), *commands("--device", "cpu", "--quick")]
    scripts = [words for _, words in found if words[0].endswith(".py")]
    assert len(scripts) >= 16
    assert all(words[:2] in (["-m", "scratchgan"], ["-m", "pytest"]) for _, words in found if words not in scripts)
    for path in {script for script, *_ in scripts}:  # each in a process of its own: some have the names of examples
        asked = json.dumps([arguments for script, *arguments in scripts if script == path])
        subprocess.run([sys.executable, "-c", READ, Path(path).stem, asked], cwd=ROOT / "benchmarks", check=True)


def test_a_wrong_option_is_an_error():
    for arguments in (["--nonsense"], ["--device", "tpu"]):
        result = gpu_sh(*arguments)
        assert result.returncode == 2 and "gpu.sh: " in result.stderr


def test_the_times_of_metrics_need_a_classifier(tmp_path):
    script = ROOT / "benchmarks" / "metrics.py"
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("metrics.py: error: There is no classifier")
    assert done.stderr.count("\n") == 1 and "`python examples/uses/classifier.py --data mnist` trains it" in done.stderr


def test_the_checkers_sit_an_exam():
    script = [sys.executable, str(ROOT / "benchmarks" / "checkers.py"), "--sets"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    asked = dict(cwd=ROOT, env=environment, capture_output=True, text=True)
    done = subprocess.run([*script, "sealed_dense", "--checkers", "course", "course-random"], **asked)
    head, _, ones, drawn, *_ = done.stdout.splitlines()
    assert done.returncode == 0 and head.startswith("| checker | wrong flagged | right called wrong |")
    flagged = [int(line.split("|")[2].split()[0]) for line in (ones, drawn)]
    assert flagged[0] < flagged[1] == int(drawn.split("|")[2].split()[2])  # with dy = 1, some go unnoticed
    done = subprocess.run([*script, "no such set"], **asked)
    assert done.returncode == 1 and done.stderr == "checkers.py: error: no set of the exam has such a name\n"
