"""`scratchgan examples`: what examples there are, what each shows, and how long it takes, from examples/README.md."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from scratchgan.support.arguments import Parser
from scratchgan.support.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "examples"  # of a clone; an installed package has none


class Example(NamedTuple):
    """A row of examples/README.md: the script's path below examples/, and what the table says of it."""

    path: str
    shows: str
    minutes: str  # "" where the table has none


def main(arguments=()):
    """Print the list of examples; return 0."""
    Parser("scratchgan examples", description="List the examples, with what each shows.").parse_args(list(arguments))
    if not FOLDER.is_dir():
        where = "They stand in the folder examples/ of the repository, not in the installed package"
        raise UserError(f"{where}: git clone it, then pip install -e . there.")
    for heading, examples in read((FOLDER / "README.md").read_text(encoding="utf-8")).items():
        print(f"\n{heading}")
        for example in examples:
            time = f"{example.minutes} minutes" if example.minutes else "a minute at most"
            print(f"  {example.path:34}{time}")
            print(textwrap.fill(example.shows, 100, initial_indent=" " * 6, subsequent_indent=" " * 6))
    print(f"\nRun them from anywhere: python {FOLDER / 'gan.py'}; --help lists the options of each.")
    return 0


def read(page):
    """Return {heading: [Example]} of the tables in examples/README.md, whose first column links to a script."""
    found, heading, columns = {}, "", []
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        cells = [plain(cell) for cell in line.strip("|").split("|")] if line.startswith("|") else []
        link = re.match(r"\| \[[^]]+\]\(([\w/.]+\.(?:py|ipynb))\)", line)
        if link:
            minutes = cells[columns.index("minutes")] if "minutes" in columns else ""
            found.setdefault(heading, []).append(Example(link[1], cells[1], minutes))
        elif cells and not set(line) <= set("|- :"):
            columns = cells
    return found


def plain(cell):
    """Return a cell of a table without the marks of Markdown."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell).replace("`", "").strip()
