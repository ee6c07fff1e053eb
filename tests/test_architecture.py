"""The house: imports point upward only, the walk of a gradient is short, and every part is in its room."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchgan import fast
from scratchgan.examples import dcgan
from scratchgan.layers import conv

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "scratchgan"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

# From the ground up: a room imports what stands before it, or beside it in the same room.
ROOMS = [
    "support", "parallel", "xp", "param", "walk", "weights", "initializers", "layers", "losses", "divergences",
    "penalties", "optim", "unroll", "fast", "latent", "samplers", "policy", "control", "sounds", "data", "plots",
    "metrics", "training", "gradcheck", "vectors", "tools", "examples", "__main__",
]  # fmt: skip
BOOK = ROOMS[2:13]  # what a learner reads


def modules():
    """Return {dotted name: path} of every module; a package stands for its __init__."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imports_of(path):
    """Return the modules of the package that a file imports, in functions too."""
    wanted = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names if alias.name in MODULES}
        if isinstance(node, ast.ImportFrom) and source(node, path).split(".")[0] == "scratchgan":
            for alias in node.names:
                inner = f"{source(node, path)}.{alias.name}"
                wanted.add(inner if inner in MODULES else source(node, path))
    return wanted - {"scratchgan"}


def source(node, path):
    """Return the module that a `from ... import` names, a relative one too."""
    if not node.level:
        return node.module
    folder = path.relative_to(ROOT).parent.parts
    return ".".join([*folder[: len(folder) - node.level + 1], *([node.module] if node.module else [])])


GRAPH = {name: imports_of(path) for name, path in MODULES.items() if name != "scratchgan"}  # but the front door


def room(name):
    return name.split(".")[1]


def test_every_room_has_its_place():
    assert {room(name) for name in GRAPH} == set(ROOMS)


@pytest.mark.parametrize("name", GRAPH)
def test_imports_point_upward(name):
    for other in GRAPH[name]:
        assert ROOMS.index(room(other)) <= ROOMS.index(room(name)), f"{name} imports {other}, which stands below it"


def test_no_imports_in_a_circle():
    done, path = set(), []

    def visit(name):
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for other in sorted(GRAPH[name]):
            visit(other)
        done.add(path.pop())

    for name in GRAPH:
        visit(name)


def test_the_book_does_not_know_that_anything_is_faster():
    """No file of it imports threads, kernels or twins, or asks for a device."""
    for name in GRAPH:
        if room(name) in BOOK and room(name) != "xp":
            text = MODULES[name].read_text(encoding="utf-8")
            for word in ("fast", "kernels", "threads", "on_gpu()"):
                code = ast.unparse(without_docstrings(ast.parse(text)))
                allowed = name in ALLOWED.get(word, ())
                assert allowed or word not in code, f"{name} says {word}"


# A message that names the module in use, and a look at labels that would wait for the device.
ALLOWED = {"on_gpu()": ("scratchgan.layers.base",)}


def without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda | ast.IfExp):
            continue  # their body is an expression
        for index, part in enumerate(getattr(node, "body", None) or []):
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                node.body[index] = ast.Pass()
    return tree


def test_the_page_names_every_room_in_this_order():
    places = [PAGE.find(f"\n  {name}/" if (PACKAGE / name).is_dir() else f"\n  {name}.py") for name in ROOMS]
    assert -1 not in places and places == sorted(places), dict(zip(ROOMS, places, strict=True))


# ---- the walk of a gradient ------------------------------------------------------------------------------


def walk_to(function, through, call):
    """Return the frames from `call` through one function to the first entry of another, as (file, name)."""
    stacks = []

    def look(frame, event, argument):
        if event == "call" and frame.f_code is function.__code__ and not stacks:
            stack = []
            while frame:
                stack.append((Path(frame.f_code.co_filename).name, frame.f_code.co_qualname))
                frame = frame.f_back
            if through in [name for _, name in stack]:
                stacks.append(stack[::-1])

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return stacks[0]


def test_the_walk_from_an_example_to_the_adjoint_of_a_convolution():
    """The docs print it: from the generator's step, through D, to the loop that is the adjoint."""
    settings = dcgan.Settings(width=4, batch_size=4)
    model = dcgan.DCGAN(settings, (28, 28, 1), np.random.default_rng(0))
    with fast.plain():
        stack = walk_to(conv.input_grad, "Sequential.pull", lambda: model.generator_step(4))
    start = next(i for i, (_, name) in enumerate(stack) if name.endswith("generator_step"))
    walk = stack[start:]
    assert len(walk) == 6 and len({file for file, _ in walk}) == 4, walk
    printed = "\n".join(f"{number}. `{file}`, `{name}`" for number, (file, name) in enumerate(walk, start=1))
    assert printed in PAGE, f"docs/architecture.md should print:\n{printed}"


def test_the_breakpoints_that_the_page_names_are_on_the_walk():
    places = re.findall(r"break ([\w/.]+):(\d+)", PAGE)
    lines = [(ROOT / file).read_text(encoding="utf-8").splitlines()[int(number) - 1] for file, number in places]
    assert "self.D.pull(" in lines[0] and "dx[pixels] += dy[i]" in lines[1]
