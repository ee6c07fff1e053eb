"""Text that came from a file or from the name of one, made safe to print; and streams that nobody reads any more."""

import contextlib
import os
import sys
import unicodedata


def printable(text, longest=1000):
    """Return text on one line, at most so long, without what a terminal would obey: an escape code becomes `\\x1b`.

    So do marks of direction and halves of a surrogate pair; line breaks and runs of spaces become one space.
    """
    words = " ".join(str(text).split())
    if len(words) > longest:
        words = f"{words[: longest - 4]} ..."
    return "".join(letter if shown(letter) else escaped(letter) for letter in words)


def shown(letter):
    """Whether a terminal shows a letter, and does nothing else with it."""
    return letter == " " or unicodedata.category(letter)[0] not in "CZ"


def say_last(text):
    """Print a line on stderr, if there is any to print, before a program ends; whoever reads it may have left."""
    with contextlib.suppress(OSError):
        if text:
            print(printable(text), file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed before Python began
                stream.flush()
        except OSError:
            hush(stream)


def hush(stream):
    """Let all that is printed go nowhere from now on: at its exit, Python would try to print it again, and fail."""
    with contextlib.suppress(OSError, ValueError):  # it is no file, as in a notebook
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def escaped(letter):
    """Return a letter as Python would write it."""
    return letter.encode("unicode_escape", "backslashreplace").decode() if letter.isascii() else ascii(letter)[1:-1]
