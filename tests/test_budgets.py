"""Small is a feature: budgets of lines. Raise one only with a reason in the commit."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "scratchgan").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CODE = PACKAGE + EXAMPLES + sorted((ROOT / "tests").glob("*.py")) + sorted((ROOT / "benchmarks").glob("*.py"))
CORE = ("xp.py", "param.py", "initializers.py", "losses.py", "penalties.py", "optim.py")


def lines(paths):
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_the_core_stays_readable():
    core = [path for path in PACKAGE if path.parent.name == "layers" or path.name in CORE]
    for faster in ("conv_fast.py", "conv_winograd.py", "compose_fused.py"):  # the same as others, faster
        core.remove(ROOT / "scratchgan" / "layers" / faster)
    assert len(core) > 8
    assert lines(core) <= 3500  # 2,500 until penalties, reparametrised weights, and layers for labels joined it


def test_the_package_stays_small():
    rest = [path for path in PACKAGE if "gradcheck" not in path.parts]
    assert lines(rest) <= 10500  # 7,000 until penalties, Winograd, kernels, metrics and labels joined it


def test_the_gradient_checker_stays_small():
    """It is a product of its own: nothing else in the package imports it."""
    checker = [path for path in PACKAGE if "gradcheck" in path.parts]
    assert lines(checker) <= 4150  # causes 1,490; references, compare, vectors, verify 1,050
    for path in set(PACKAGE) - set(checker) - {ROOT / "scratchgan" / "__main__.py"}:
        assert "import gradcheck" not in path.read_text(encoding="utf-8"), path
        assert "scratchgan.gradcheck" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_one_short_file(path):
    assert lines([path]) <= 150


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    assert lines([path]) <= 400
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 40, f"{node.name} in {path.name}"
