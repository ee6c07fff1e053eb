"""The child's side of `process`: find the code to be judged in a file of others, and judge it."""

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import sys
import traceback
from functools import partial
from pathlib import Path

import numpy

from scratchgan.gradcheck.calls import parameters
from scratchgan.gradcheck.check import check
from scratchgan.gradcheck.plain import UNRESOLVED
from scratchgan.support.errors import UserError
from scratchgan.vectors.against import COULD_NOT_RUN, sweep
from scratchgan.vectors.process import behind_library
from scratchgan.vectors.verify import STATUS

HOW = "a function forward with a function backward, as in FILE.py:forward,backward, or a class that has both"
LONGEST = 300  # characters of an error of others that are shown: a message may hold a whole array
GRACE = 5  # seconds after which the child ends itself, should its parent be gone


def main():
    """Do the job that argv names, and say what came of it; the process then ends at once, whatever is left running."""
    leave, job, channel = os._exit, json.loads(sys.argv[1]), os.dup(1)
    os.dup2(2, 1)
    faulthandler.dump_traceback_later(job["timeout"] + GRACE, exit=True, file=open(os.devnull, "w"))

    def say(*message, write=os.write, dumps=json.dumps):
        write(channel, f"\n{dumps(message)}\n".encode())

    watch_forks(lambda: say("raised", "it forks, and the fork returns from it"))
    try:
        outcome = judge(job, partial(say, "at"))
        say("outcome", STATUS[outcome.overall], outcome.to_json(indent=1) if job["json"] else str(outcome))
    except BaseException as error:  # the judged code may raise anything, SystemExit too
        if os.environ.get("SCRATCHGAN_TRACEBACK"):
            traceback.print_exc()
        ours = isinstance(error, UserError)
        say("failed" if ours else "raised", str(error) if ours else described(error, job["file"]))
    finally:
        leave(0)


def watch_forks(say):
    """Let a forked process say so, and end all, once the judged code returns to ours in it: it would go on twice."""
    ours = Path(__file__).parents[1]
    rooms = (str(ours / "vectors"), str(ours / "gradcheck"))

    def came_back(frame, event, _):
        if event == "return" and frame.f_back and frame.f_back.f_code.co_filename.startswith(rooms):
            say()
            os.killpg(0, signal.SIGKILL)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: sys.setprofile(came_back))


def described(error, file):
    """Return an error in one line, with the last line of the user's file that it passed through."""
    name, text = Path(file).name, type(error).__name__
    with contextlib.suppress(Exception):  # its own __str__ may raise
        text = f"{text}: {' '.join(str(error).split())}".removesuffix(": ")
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    lines = [at.lineno for at in traceback.extract_tb(error.__traceback__) if Path(at.filename).name == name]
    return f"{text} ({name}, line {lines[-1]})" if lines else text


# ---- the code --------------------------------------------------------------------------------------------


def judge(job, at):
    """Return the outcome of a job: {"file", "names", "like", "cases", "shapes"}; at is told where the work stands.

    Raises UserError where the code is not what the job says, and where it raised and nothing is wrong otherwise.
    """
    at("while it was imported")
    module, names = load(Path(job["file"])), job["names"] or ["forward", "backward"]
    first, backward = pair(module, names, Path(job["file"]).name)
    if not job["like"]:
        at("in the check")
        forward, backward, args, argument_names = call(module, first, backward, job["shapes"])
        return check(forward, backward, args, names=argument_names)
    if backward is not None and not is_layer(first):
        raise UserError(f"{names[0]} is a plain function: --like takes a class, or a function that returns a layer.")
    outcome = sweep(first, job["like"], job["cases"], lambda case: at(f"in case {case}"))
    raised = [note for note in outcome.notes if note.startswith(COULD_NOT_RUN)]
    if raised and outcome.overall == UNRESOLVED:  # what raises has no verdict
        raise UserError(f"{job['code']} {raised[0]}; nothing was wrong in the other cases, see --case.")
    return outcome


def load(path):
    """Return the module in a file, which may import its neighbours; a file of a package is imported as its member."""
    path = path.resolve()
    folder, parts = path.parent, [path.stem]
    while (folder / "__init__.py").is_file():
        folder, parts = folder.parent, [folder.name, *parts]
    taken = parts[0] in sys.modules or parts[0] in sys.stdlib_module_names
    name = f"judged_{path.stem}" if taken else ".".join(parts)
    for own in {path.parent: 0, folder: 0}:
        sys.path[:] = behind_library(sys.path, str(own))
    sys.path.append(str(Path.cwd()))
    sys.argv[:] = [str(path)]
    try:
        if len(parts) > 1 and not taken:
            importlib.import_module(name.rpartition(".")[0])
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # copies of objects look it up there
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path.name} cannot be imported: {described(error, path)}.") from error
    return module


def pair(module, names, file):
    """Return (forward or a layer, backward or None) by their names; raise UserError where one stands for no code."""
    for name in names:
        thing = getattr(module, name, None)
        if not (callable(thing) or is_layer(thing)):
            here = lambda thing: callable(thing) and getattr(thing, "__module__", None) == module.__name__
            own = ", ".join(n for n, thing in vars(module).items() if here(thing)) or "none"
            raise UserError(f"{file} has no class or function {name}; it has {own}. Name {HOW}.")
    alike = names[0].replace("forward", "backward") if "forward" in names[0] else f"{names[0]}_backward"
    return getattr(module, names[0]), getattr(module, names[1] if len(names) == 2 else alike, None)


def is_layer(thing):
    return hasattr(thing, "forward") and hasattr(thing, "backward")


def call(module, first, backward, shapes):
    """Return (forward, backward, args, names) for `check`: of a pair of functions, a layer, or one function."""
    needed, taken, most = parameters(first)
    makes = not is_layer(first) and backward is None and most == 0  # a function that makes what is to be checked
    made = first() if makes or (is_layer(first) and isinstance(first, type)) else first
    if makes and isinstance(made, tuple) and len(made) in (2, 3) and not shapes:
        forward, *rest, held = made  # (forward, backward, args), or (layer, x)
        return forward, *(rest or [None]), *by_name(held)
    if made is not first or is_layer(first):
        needed = taken = ["x"]
    return made, backward if made is first else None, *arguments(module, taken, needed, shapes)


def arguments(module, taken, needed, shapes):
    """Return (args, names): normal numbers of the given shapes; else what the file has, as `args` or by their names."""
    if shapes:
        names = [n for n in taken if n in shapes]
        if len(names) < len(shapes) or names != taken[: len(names)] or len(names) < len(needed):
            raise UserError(f"--shape says {', '.join(shapes)}; the arguments are {', '.join(taken)}.")
        rng = numpy.random.default_rng(0)
        return tuple(numpy.array(rng.standard_normal(shapes[n])) for n in names), names
    held = getattr(module, "args", None)
    if held is None and needed and all(hasattr(module, n) for n in needed):
        held = {n: getattr(module, n) for n in needed}
    if held is None:
        names = ", ".join(needed or ["x"])
        raise UserError(f"there is nothing to check it at: put args = ({names},) into the file, or give --shape x=4x3.")
    return by_name(held() if callable(held) else held)


def by_name(held):
    """Return (args, names) of arguments that are a dictionary by name; of others, names that are not known."""
    return (tuple(held.values()), list(held)) if isinstance(held, dict) else (held, None)
