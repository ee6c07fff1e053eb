"""The command line: `python -m scratchgan COMMAND`. Each command's own module is imported only when it is asked for."""

import sys

from scratchgan.support.errors import UserError

USAGE = """\
usage: python -m scratchgan COMMAND [options]

commands:
  doctor                                      look at this machine: what is installed, and what would not work
  gradcheck FILE.py:NAME --like REFERENCE     check a layer of your own against ours, over awkward shapes
  vectors NAME --out FILE                     write test vectors of a layer, for code in any language
  verify RESULTS --against FILE               judge results that were computed elsewhere against test vectors

`python -m scratchgan COMMAND --help` lists the options of a command.
gradcheck and verify exit with 0 where all agrees, 1 where something is wrong, 2 where that could not be told, and 3
where they could not run. The networks of this library are trained by the examples: python examples/gan.py --help
"""


def main(arguments=None):
    """Run a command; return its exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    try:
        if command == "doctor":
            from scratchgan.tools import doctor

            return doctor.main(rest)
        if command in ("gradcheck", "vectors", "verify"):
            from scratchgan.vectors.command import COMMANDS

            return COMMANDS[command](rest)
        raise UserError(f"there is no command {command!r}: doctor, gradcheck, vectors or verify (see --help).")
    except UserError as error:
        print(f"scratchgan: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 3
    except BrokenPipeError:  # as in `python -m scratchgan vectors --list | head`
        sys.stderr.close()
        return 3
    except KeyboardInterrupt:
        print("Stopped at once.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
