"""The command line: `python -m scratchgan COMMAND`. Each command's own module is imported only when it is asked for."""

import sys

from scratchgan.errors import UserError

USAGE = """\
usage: python -m scratchgan COMMAND [options]

commands:
  doctor                                      look at this machine: what is installed, and what would not work

`python -m scratchgan COMMAND --help` lists the options of a command.
The networks of this library are trained by the examples: python examples/gan.py --help
"""


def main(arguments=None):
    """Run a command; return its exit status."""
    command, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    try:
        if command == "doctor":
            from scratchgan import doctor

            return doctor.main(rest)
        raise UserError(f"there is no command {command!r}: doctor (see --help).")
    except UserError as error:
        print(f"scratchgan: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 3
    except BrokenPipeError:  # as in `python -m scratchgan doctor | head -1`
        sys.stderr.close()
        return 3
    except KeyboardInterrupt:
        print("Stopped at once.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
