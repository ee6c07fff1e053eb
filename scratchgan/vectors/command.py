"""The commands gradcheck, vectors and verify of `python -m scratchgan`. Each returns an exit status."""

import argparse
import contextlib
import importlib.util
import io
import sys
import traceback
from pathlib import Path

from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG
from scratchgan.support.errors import UserError
from scratchgan.vectors import files

STATUS = {AGREE: 0, WRONG: 1, UNRESOLVED: 2}
COULD_NOT_RUN = 3


class Parser(argparse.ArgumentParser):
    """An argument parser whose exit status for a wrong option is not 2, which means UNRESOLVED here."""

    def __init__(self, command, description):
        super().__init__(f"python -m scratchgan {command}", description=description, allow_abbrev=False)

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(COULD_NOT_RUN, f"{self.prog}: error: {message}\n")


def vectors(arguments):
    """Write test vectors of a layer."""
    from scratchgan.vectors import references
    from scratchgan.vectors.layouts import LAYOUTS
    from scratchgan.vectors.make import make

    parser = Parser("vectors", "Write test vectors: what a layer must compute, as numbers (docs/vectors.md).")
    parser.add_argument("name", nargs="?", help="the layer, such as conv2d")
    parser.add_argument("--list", action="store_true", help="list the names, and the cases of each")
    parser.add_argument("--out", metavar="FILE", help="what to write (default: NAME.npz or NAME.json)")
    parser.add_argument("--format", choices=files.FORMATS, help="default: that of FILE's ending, or npz")
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0], help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.list:
        for name in [options.name] if options.name else references.LAYERS:
            print(f"{name:22} {', '.join(case.name for case in references.cases(name))}")
        return 0
    if options.name is None:
        parser.error("give a name, such as conv2d, or --list")
    ending = Path(options.out or "").suffix.removeprefix(".")
    format = options.format or (ending if ending in files.FORMATS else "npz")
    out = options.out or f"{options.name}.{format}"
    made = make(options.name, options.layout)
    files.write(out, format, made)
    counts = f"{len(made.manifest['cases'])} cases, {len(made.arrays)} arrays"
    print(f"wrote {out}: {options.name}, {counts}, {options.layout}")
    return 0


def verify(arguments):
    """Judge results against test vectors."""
    from scratchgan.vectors.verify import verify

    parser = Parser("verify", "Judge results that were computed elsewhere against test vectors (docs/vectors.md).")
    parser.add_argument("results", metavar="RESULTS", help="an .npz or .json file")
    parser.add_argument("--against", metavar="FILE", required=True, help="what `vectors` wrote")
    parser.add_argument("--skip", metavar="PARTS", default="", help="parts of keys to leave out: groups,y,float64")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    skip = [part for part in options.skip.split(",") if part]
    outcome = verify(files.read(options.results), files.read(options.against), skip)
    return say(outcome, options.json)


def say(outcome, as_json):
    """Print an outcome; return its exit status."""
    print(outcome.to_json(indent=1) if as_json else outcome)
    return STATUS[outcome.overall]


def gradcheck(arguments):
    """Check code in a Python file against a reference."""
    from scratchgan.vectors.references import LAYERS, cases

    parser = Parser("gradcheck", "Check a layer of your own against ours, over awkward shapes (docs/gradcheck.md).")
    parser.add_argument("code", metavar="FILE.py:NAME", help="a class; or a function that returns a layer")
    parser.add_argument("--like", metavar="REFERENCE", required=True, help=", ".join(LAYERS))
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    cases(options.like)  # raises where there is no such reference
    thing, path = load(options.code)
    from scratchgan.vectors.against import sweep

    try:
        with contextlib.redirect_stdout(io.StringIO() if options.json else sys.stdout):
            outcome = sweep(thing, like=options.like)
    except UserError:
        raise
    except Exception as error:  # the code under test may raise anything
        raise UserError(f"{options.code} could not be checked: {described(error, path)}.") from error
    if not outcome.reports:
        first = next((note for note in outcome.notes if note.startswith("could not run")), "no case fits")
        raise UserError(f"{options.code}: none of the cases could be run; {first}.")
    return say(outcome, options.json)


def load(code):
    """Return what FILE.py:NAME names, and the file's path; raise UserError where there is no such thing."""
    file, _, name = code.rpartition(":")
    path = Path(file)
    if not file or not name.isidentifier():
        raise UserError(f"{code!r} does not name code: write FILE.py:NAME, such as mylayers.py:MyConv.")
    if not path.is_file():
        raise UserError(f"there is no file {path}.")
    sys.path.insert(0, str(path.resolve().parent))  # so that the file can import its neighbours
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None:
        raise UserError(f"{path} is no Python file: its name must end with .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # copies of its objects, and dataclasses, look it up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} cannot be imported: {described(error, path)}.") from error
    if not callable(getattr(module, name, None)):
        own = [n for n, thing in vars(module).items() if callable(thing) and thing.__module__ == path.stem]
        raise UserError(f"{path} has no class or function {name}; it has {', '.join(own) or 'none'}.")
    return getattr(module, name), path


def described(error, path):
    """Return an error in one line, with the last line of the user's file that it passed through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == path.name]
    line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
    place = "" if line is None else f" ({path.name}, line {line})"
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}{place}"


COMMANDS = {"gradcheck": gradcheck, "vectors": vectors, "verify": verify}
