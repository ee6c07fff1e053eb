"""The command line: `scratchgan COMMAND`, or `python -m scratchgan COMMAND`, whose modules are imported when needed."""

import contextlib
import os
import sys
import traceback

from scratchgan.support.arguments import meant
from scratchgan.support.errors import UserError
from scratchgan.support.text import say_last

USAGE = """\
usage: scratchgan COMMAND [options]          (or python -m scratchgan COMMAND [options])

commands:
  examples                                    list the examples: what each shows, and how long it takes
  runs [FOLDER]                               list what was trained; with RUN ... --out FILE.png, draw its losses
  data NAME_OR_FOLDER                         look at a data set before a training does
  doctor                                      look at this machine: what is installed, and what would not work
  gradcheck FILE.py:NAME [--like REFERENCE]   check gradients of your own, a layer's also against ours
  vectors NAME --out FILE                     write test vectors of a layer, for code in any language
  verify RESULTS --against FILE               judge results that were computed elsewhere against test vectors

`scratchgan COMMAND --help` lists the options of a command.
gradcheck and verify exit with 0 where all agrees, 1 where something is wrong, 2 where that could not be told, and 3
where there is no verdict; what happened is then one line on stderr, and SCRATCHGAN_TRACEBACK=1 shows where in the code.
The networks of this library are trained by the examples: python examples/gan.py --help
"""
NAMES = ("examples", "runs", "data", "doctor", "gradcheck", "vectors", "verify")
NO_VERDICT = 3


def main(arguments=None):
    """Run a command; return its exit status. No error of any kind may have that of a verdict, 0 to 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        status = run(*((sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]))
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk, or a reader that has left, shows here
        return status
    except KeyboardInterrupt:
        return failed("stopped at once", 130)
    except BrokenPipeError:  # as in `scratchgan vectors --list | head`: who reads has read enough
        return failed("")
    except UserError as error:
        return failed(str(error))
    except Exception as error:  # a full disk; a mistake of ours
        return failed(f"{type(error).__name__}: {error} (SCRATCHGAN_TRACEBACK=1 shows where)")


def run(command, *rest):
    """Run the command of this name; return its exit status."""
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command == "examples":
        from scratchgan.tools import catalogue

        return catalogue.main(rest)
    if command == "runs":
        from scratchgan.tools import runs

        return runs.main(rest)
    if command == "data":
        from scratchgan.data import command as data

        return data.main(rest)
    if command == "doctor":
        from scratchgan.tools import doctor

        return doctor.main(rest)
    if command in ("gradcheck", "vectors", "verify"):
        from scratchgan.vectors.command import COMMANDS

        return COMMANDS[command](rest)
    raise UserError(f"there is no command {command!r}{meant(command, NAMES)} (see --help)")


def failed(message, status=NO_VERDICT):
    """Say in one line why there is no verdict, if at all; return the exit status."""
    with contextlib.suppress(OSError):  # stderr may be closed
        if os.environ.get("SCRATCHGAN_TRACEBACK"):
            traceback.print_exc()
    say_last(message and f"scratchgan: error: {message}")
    return status


if __name__ == "__main__":
    sys.exit(main())
