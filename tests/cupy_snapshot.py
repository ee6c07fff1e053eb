"""Write down the names and signatures of the installed CuPy, for `scratchgan.tools.strict.strict_xp`; needs no GPU.

    python tests/cupy_snapshot.py        # writes scratchgan/tools/strict/cupy_signatures.json

A signature is text such as "a, axis=, out=, *, casting=": names only, with a = for each that may be left out.
"""

import importlib
import inspect
import json
import re
from pathlib import Path

import numpy

SNAPSHOT = Path(__file__).parent.parent / "scratchgan" / "tools" / "strict" / "cupy_signatures.json"
SPACES = ("", "linalg.", "fft.", "lib.stride_tricks.")
# These take any keyword, and raise for all but those here; their signatures do not tell.
BY_HAND = {"einsum": "*operands, dtype=, optimize=", "matmul": "x1, x2, /, out=, *, axes=, axis=, casting=, dtype="}


def take(cupy):
    """Return the snapshot: the version, what is NumPy's own, functions, and the members of arrays and generators."""
    functions, same = {}, []
    for space in SPACES:
        module = importlib.import_module(f"cupy.{space}".rstrip("."))
        for name, value in sorted(vars(module).items()):
            if name.startswith("_") or inspect.ismodule(value):
                continue
            if space == "" and value is getattr(numpy, name, "nothing"):
                same.append(name)
            elif callable(value) and not inspect.isclass(value):
                functions[space + name] = BY_HAND.get(name) or describe(value)
    functions["random.default_rng"] = describe(cupy.random.default_rng)
    methods, attributes = members(cupy.ndarray)
    generator, _ = members(cupy.random.Generator)
    return {
        "version": cupy.__version__, "same": same, "functions": functions,
        "methods": methods, "attributes": attributes, "generator": generator,
    }  # fmt: skip


def members(kind):
    """Return ({method: signature}, [attribute]) of a class."""
    public = [name for name in sorted(dir(kind)) if not name.startswith("_")]
    methods = {name: describe(getattr(kind, name)) for name in public if callable(getattr(kind, name))}
    return methods, [name for name in public if name not in methods]


def describe(f):
    """Return the signature of a function as text, without `self`."""
    parts, before = [], None
    for parameter in signature(f).parameters.values():
        kind = parameter.kind
        if before == parameter.POSITIONAL_ONLY != kind:
            parts.append("/")
        if kind == parameter.KEYWORD_ONLY and before not in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL):
            parts.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(kind, "")
        parts.append(stars + parameter.name + ("" if parameter.default is parameter.empty else "="))
        before = kind
    return ", ".join(part for part in parts if part != "self")


def signature(f):
    """Return the signature of a function; of a ufunc or a compiled one, from the first line of its docstring."""
    try:
        return inspect.signature(f)
    except (ValueError, TypeError):
        line = (f.__doc__ or "").split("\n")[0].replace("\\", "")
        text = line[line.find("(") + 1 : line.rfind(")")]
        text = re.sub(r"\[, out1.*?\], / \[, out=.*?\]", ", /, out=None", text)  # a ufunc with two results
        text = re.sub(r"\b(int|bool|_ndarray_base|Py_ssize_t) (?=\w)", "", text)
        scope = {"numpy": numpy}
        exec(f"def f({text}): ...", scope)
        return inspect.signature(scope["f"])


if __name__ == "__main__":
    import cupy

    SNAPSHOT.write_text(json.dumps(take(cupy), indent=0) + "\n", encoding="utf-8")
    print(f"wrote {SNAPSHOT.name} of CuPy {cupy.__version__}")
