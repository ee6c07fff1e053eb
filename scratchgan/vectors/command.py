"""The commands gradcheck, vectors and verify of `python -m scratchgan`. Each returns an exit status."""

import argparse
import os
import re

from scratchgan.support.errors import UserError
from scratchgan.vectors import files

COULD_NOT_RUN = 3
LONGEST = 10**6  # seconds that one can wait for: more is no time to wait, and some systems cannot
CODE = """with --like, a class, or a function that returns a layer, given the arguments of our constructor; without, a
class or a function: its backward is FORWARD,BACKWARD or called alike (affine_forward, affine_backward), or the function
returns (value, gradients...); default: forward and backward. What it is checked at is `args` in the file, or variables
of the arguments' names, or --shape"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose exit status for a wrong option is not 2, which means UNRESOLVED here."""

    def __init__(self, command, description):
        super().__init__(f"python -m scratchgan {command}", description=description, allow_abbrev=False)

    def error(self, message):
        self.exit(COULD_NOT_RUN, f"{self.prog}: error: {message} (see --help)\n")


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
    format = options.format or ("json" if (options.out or "").endswith(".json") else "npz")
    out = options.out or f"{options.name}.{format}"
    made = make(options.name, options.layout)
    files.write(out, format, made)
    cases, arrays = len(made.manifest["cases"]), len(made.arrays)
    print(f"wrote {out}: {options.name}, {cases} cases, {arrays} arrays, {options.layout}")
    return 0


def verify(arguments):
    """Judge results against test vectors."""
    from scratchgan.vectors.verify import STATUS, verify

    parser = Parser("verify", "Judge results that were computed elsewhere against test vectors (docs/vectors.md).")
    parser.add_argument("results", metavar="RESULTS", help="an .npz or .json file")
    parser.add_argument("--against", metavar="FILE", required=True, help="what `vectors` wrote")
    parser.add_argument("--skip", metavar="PARTS", default="", help="parts of keys to leave out: groups,y,float64")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    skip = [part for part in options.skip.split(",") if part]
    outcome = verify(files.read(options.results), files.read(options.against), skip)
    print(outcome.to_json(indent=1) if options.json else outcome)
    return STATUS[outcome.overall]


def gradcheck(arguments):
    """Check code in a Python file, on its own or against a reference."""
    from scratchgan.vectors.process import in_child
    from scratchgan.vectors.references import LAYERS, cases

    parser = Parser("gradcheck", "Check gradients in a Python file (docs/gradcheck.md), in a process of its own.")
    parser.add_argument("code", metavar="FILE.py[:NAME]", help=CODE)
    parser.add_argument("--like", metavar="REFERENCE", help=f"compare with a layer of ours: {', '.join(LAYERS)}")
    parser.add_argument("--case", action="append", default=[], help="run this case of the reference only; repeatable")
    parser.add_argument("--shape", action="append", default=[], metavar="x=4x3", type=shape,
                        help="draw this argument instead of taking the file's `args`; once for each")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=60, help="in seconds (default: %(default)s)")
    parser.add_argument("--prints", action="store_true", help="show what the code prints, on stderr")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    file, names = named(options.code)
    if not 0 < options.timeout <= LONGEST:
        parser.error(f"--timeout: wanted more than 0 and at most {LONGEST} seconds")
    if options.like is None and options.case:
        parser.error("--case needs --like")
    if options.like is not None:
        if len(names) != 1 or options.shape:
            parser.error("with --like, write FILE.py:NAME, a class or a function that returns a layer, and no --shape")
        known = [case.name for case in cases(options.like)]  # raises where there is no such reference
        for case in set(options.case) - set(known):
            raise UserError(f"{options.like} has no case {case!r}; it has {', '.join(known)}.")
    if not os.path.isfile(file):
        raise UserError(f"there is no file {file}.")
    if os.path.getsize(file) > files.LARGEST:
        raise UserError(f"{file} is too large to be code.")
    job = {"code": options.code, "file": file, "names": names, "like": options.like, "cases": options.case}
    job |= {"shapes": dict(options.shape), "json": options.json}
    status, text = in_child(job, options.timeout, options.prints)
    print(text)
    return status


def named(code):
    """Return (file, [names]) of FILE.py, FILE.py:NAME or FILE.py:FORWARD,BACKWARD; raise UserError for other text."""
    found = re.fullmatch(r"(.*\.py)(?::(\w+)(?:,(\w+))?)?", code, flags=re.DOTALL)
    if not found:
        raise UserError(f"{code!r} does not name code: write FILE.py:NAME, such as mylayers.py:MyConv.")
    return found[1], [name for name in found.groups()[1:] if name]


def shape(text):
    """Return (name, shape) of text such as x=4x3."""
    found = re.fullmatch(r"(\w+)=(\d+(?:x\d+)*)?", text)
    if not found:
        raise argparse.ArgumentTypeError(f"wanted a name and its sides, such as x=4x3, not {text!r}")
    return found[1], [int(side) for side in (found[2] or "").split("x") if side]


COMMANDS = {"gradcheck": gradcheck, "vectors": vectors, "verify": verify}
