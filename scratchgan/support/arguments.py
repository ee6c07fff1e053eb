"""Command lines: what is mistyped names what may have been meant."""

import argparse
import difflib

from scratchgan.support.text import printable


class Parser(argparse.ArgumentParser):
    """An argparse parser that takes no abbreviations, keeps line breaks, and says what a mistyped word may mean.

    words: further words that may have been meant, such as the names of commands.
    """

    def __init__(self, *arguments, words=(), **keywords):
        keywords |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(*arguments, **keywords)
        self.words = tuple(words)

    def error(self, message):
        super().error(printable(message))  # a pattern such as * may stand for names of any kind

    def parse_args(self, args=None, namespace=None):
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = [option for option in self._option_string_actions if option.startswith("--")]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant(unknown[0], [*options, *self.words])}")
        return given


def meant(word, known):
    """Return ": did you mean ...?" with the known word that is nearest to a mistyped one, or "" if none is near."""
    word = word.partition("=")[0]  # --bacth-size=8
    near = difflib.get_close_matches(word, [other for other in known if other[0] == word[:1] == "-"] or known, n=1)
    return (": a command comes first" if word in near else f": did you mean {near[0]}?") if near else ""
