"""Hold scratchgan.gradcheck beside other checkers of gradients, on every planted bug and right backward of the tests.

    pip install torch jax autograd          # each is optional: a line says which is not there
    python benchmarks/checkers.py           # ten minutes at most; the table in Markdown
    python benchmarks/checkers.py --checkers scratchgan course --sets sealed

A backward in NumPy is handed to PyTorch as an `autograd.Function`, to JAX as a `custom_vjp` of `pure_callback`s (with
64 bits, or none of it could pass), to autograd as a primitive. Every checker keeps its own steps and tolerances. Of
JAX's and autograd's, the first order in reverse mode is all that such a function has. A checker is asked for all
arguments at once, as people do; to see whether it clears the right arguments beside a wrong one, for each alone.
A gradient of a wrong shape counts as noticed; any other exception that is no verdict is a crash.
"""

import argparse
import importlib.util
import logging
import sys
import time
import warnings
from collections import Counter

import numpy as np
from exam import Refused, exam

STEP = 1e-5  # of the course loop


def fill(case, names, arrays):
    """Return all arguments of a case: arrays for the named ones, copies of the case's own for the others."""
    given = dict(zip(names, arrays, strict=True))
    return [np.array(given.get(name, a)) for name, a in zip(case.names, case.args, strict=True)]


def chosen(case, names):
    """Return the named arguments, copied."""
    return [np.array(a) for name, a in zip(case.names, case.args, strict=True) if name in names]


# ---- the checkers: each returns whether the gradients of the named arguments pass ------------------------


def scratchgan():
    """Make ours."""
    from scratchgan.gradcheck import AGREE, WRONG, check, check_second

    def passes(case, names):
        function = check_second if case.second_order else check
        report = function(case.forward, case.backward, case.args, names=case.names, only=names)
        return {AGREE: True, WRONG: False}.get(report.overall)

    return passes


def pytorch():
    """Make torch.autograd.gradcheck."""
    import torch
    from torch.autograd.gradcheck import GradcheckError, gradcheck

    numbers = lambda case, names, tensors: fill(case, names, [t.detach().numpy() for t in tensors])
    tensor = lambda array: torch.from_numpy(np.array(array))

    def passes(case, names):
        class Layer(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *tensors):
                ctx.save_for_backward(*tensors)
                return tensor(case.y(*numbers(case, names, tensors)))

            @staticmethod
            def backward(ctx, dy):
                args = numbers(case, names, ctx.saved_tensors)
                return tuple(map(tensor, case.gradients(names, dy.numpy(), *args)))

        torch.manual_seed(0)
        try:
            return gradcheck(Layer.apply, [tensor(a).requires_grad_() for a in chosen(case, names)])
        except GradcheckError:
            return False

    return passes


def jax():
    """Make jax.test_util.check_grads."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # else it prints what a callback raises

    def passes(case, names):
        own, y = chosen(case, names), case.y(*case.args)
        like, *like_own = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (y, *own))
        value = lambda *arrays: case.y(*fill(case, names, arrays)).astype(y.dtype)
        pull = lambda dy, *arrays: tuple(case.gradients(names, np.array(dy), *fill(case, names, arrays)))
        layer = jax.custom_vjp(lambda *arrays: jax.pure_callback(value, like, *arrays))
        back = lambda arrays, dy: jax.pure_callback(pull, tuple(like_own), dy, *arrays)
        layer.defvjp(lambda *arrays: (layer(*arrays), arrays), back)
        try:
            check_grads(layer, tuple(own), order=1, modes=["rev"])
        except AssertionError:
            return False
        return True

    return passes


def autograd():
    """Make autograd.test_util.check_grads."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    def passes(case, names):
        layer = primitive(lambda *arrays: case.y(*fill(case, names, arrays))[()])
        pull = lambda name, dy, arrays: case.gradients([name], np.asarray(dy), *fill(case, names, arrays))[0]
        defvjp(layer, *[lambda y, *arrays, name=name: lambda dy: pull(name, dy, arrays) for name in names])
        np.random.seed(0)
        try:
            check_grads(layer, tuple(range(len(names))), modes=["rev"], order=1)(*chosen(case, names))
        except AssertionError:
            return False
        return True

    return passes


def course(ones):
    """Make the loop of a course: with dy = 1 and norms below 1e-7, or with a random dy and every entry below 1e-6."""

    def passes(case, names):
        args = fill(case, (), ())
        shape = case.y(*args).shape
        dy = np.ones(shape) if ones else np.random.default_rng(0).standard_normal(shape)
        numeric = [central_differences(case, args, name, dy) for name in names]
        return all(map(close, case.gradients(names, dy, *args), numeric))

    def close(a, b):
        if ones:
            return not np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b)) > 1e-7
        return not (np.abs(a - b) / np.maximum(1e-8, np.abs(a) + np.abs(b))).max(initial=0) > 1e-6

    return passes


def central_differences(case, args, name, dy):
    """Return the numeric gradient, entry by entry, with steps in the argument itself."""
    x = args[case.names.index(name)]
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        old = x[index].copy()
        x[index] = old + STEP
        up = (case.y(*args) * dy).sum()
        x[index] = old - STEP
        gradient[index] = (up - (case.y(*args) * dy).sum()) / (2 * STEP)
        x[index] = old
    return gradient


CHECKERS = {  # word: (name in the table, package, maker)
    "scratchgan": ("`scratchgan.gradcheck`", "scratchgan", scratchgan),
    "torch": ("`torch.autograd.gradcheck`", "torch", pytorch),
    "jax": ("`jax.test_util.check_grads`", "jax", jax),
    "autograd": ("`autograd.test_util.check_grads`", "autograd", autograd),
    "course": ("course loop, dy = 1, norms to 1e-7", "numpy", lambda: course(ones=True)),
    "course-random": ("course loop, dy random, entries to 1e-6", "numpy", lambda: course(ones=False)),
}


# ---- the exam --------------------------------------------------------------------------------------------


def ask(passes, case, names):
    """Return what a checker says: True, False, None for no verdict, or "crash"."""
    try:
        return passes(case, names)
    except Exception as error:  # JAX wraps what a callback raised, and keeps its text
        return False if isinstance(error, Refused) or "Refused" in str(error) else "crash"


def sit(passes, cases):
    """Return a Counter of what a checker made of the cases."""
    counts = Counter(planted=sum(case.planted for case in cases), cases=len(cases))
    for case in cases:
        names, start = case.floats(), time.perf_counter()
        said = ask(passes, case, names)
        counts["seconds"] += time.perf_counter() - start
        counts.update({"flagged" if case.planted else "alarms": said is False}, unresolved=said is None)
        counts["crashes"] += said == "crash"
        for name in [name for name in names if case.wrong and name not in case.wrong]:
            counts.update(beside=1, cleared=ask(passes, case, [name]) is True)
    return counts


def row(name, counts):
    """Return a line of the table."""
    right, seconds = counts["cases"] - counts["planted"], f"{counts['seconds']:.0f}"
    parts = ("flagged", counts["planted"]), ("alarms", right), ("cleared", counts["beside"])
    cells = [f"{counts[key]} of {all_}" for key, all_ in parts]
    return f"| {' | '.join([name, *cells, str(counts['unresolved']), str(counts['crashes']), seconds])} |"


def read(arguments=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkers", nargs="+", choices=CHECKERS, default=list(CHECKERS), help="default: all")
    parser.add_argument("--sets", nargs="+", metavar="WORD", help="only sets whose name has one of these words")
    return parser.parse_args(arguments)


def main():
    """Print the table, a row as soon as a checker is through."""
    options = read()
    warnings.simplefilter("ignore")
    sets = exam(options.sets)
    if not sets:
        sys.exit("checkers.py: error: no set of the exam has such a name")
    print("| checker | wrong flagged | right called wrong | right beside a wrong one cleared |", end="")
    print(" no verdict | crashes | seconds |\n|---|---|---|---|---|---|---|", flush=True)
    for name, package, make in (CHECKERS[word] for word in options.checkers):
        if importlib.util.find_spec(package) is None:
            print(f"| {name} | {package} is not installed | | | | | |")
            continue
        with np.errstate(all="ignore"):
            print(row(name, sit(make(), [case for cases in sets.values() for case in cases])), flush=True)
    print("\nOf " + ", ".join(f"{name} ({len(cases)})" for name, cases in sets.items()))


if __name__ == "__main__":
    main()
