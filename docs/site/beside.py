"""A file of Python as a page of two columns: docstrings and comments left, the code that they speak of right.

`python docs/site/beside.py scratchgan/layers/dense.py` prints the page, in Markdown for Sphinx.
"""

import ast
import re
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULE = re.compile(r"-{3,}")  # around the title of a part of a file


def page(path):
    """Return the page of a file, as text."""
    source = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    title = first.rstrip(".") if first.startswith("Chapter") else name.removeprefix("scratchgan/")
    parts = ["---\nhide-toc: true\norphan: true\n---", f"# {escape(title)}"]
    parts += [f"`{name}`: what it says of itself on the left, what it does on the right."]
    # Each chapter of the course speaks of lines by their numbers, so that a number is the one in the file.
    for text, pieces in rows(source):
        text = text.removeprefix(first) if first == title + "." else text  # the title is said once
        columns = [("said", prose(text)), ("code", "\n".join(code(*piece) for piece in pieces))]
        columns = [f":::{{container}} {name}\n{column}\n:::" for name, column in columns if column]
        parts.append("\n".join(["::::{container} beside", *columns, "::::"]))
    text = "\n\n".join(parts) + "\n"
    return text.replace("in ANSWERS.md", "in [](ANSWERS.md)") if path.parent.name == "course" else text


def rows(source):
    """Yield (text, [(number of a line, lines)]): what is said, and the runs of code that it is said of."""
    lines = source.splitlines()
    said, silent = remarks(source, lines)
    starts = sorted({1, *said})
    for start, stop in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        pieces, run = [], []
        for number in range(start, stop + 1):
            if number < stop and number not in silent:
                run.append(number)
            elif run:
                pieces.append(run)
                run = []
        runs = [trimmed([(number, lines[number - 1]) for number in run]) for run in pieces]
        runs = [(run[0][0], [line for _, line in run]) for run in runs if run]
        if runs or said.get(start):
            yield said.get(start, ""), runs


def remarks(source, lines):
    """Return {line: what is said from there on} and the lines that are said, not done."""
    said, silent = {}, set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            decorators = getattr(node, "decorator_list", [])
            start = min([getattr(node, "lineno", 1), *(part.lineno for part in decorators)])
            text = ast.get_docstring(node)
            if text:
                said[start] = text
                silent.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for first, last in comments(lines, silent):
        text = "\n".join(RULE.sub("", line.strip().removeprefix("#")).strip() for line in lines[first - 1 : last])
        silent.update(range(first, last + 1))
        below = said.pop(last + 1, "")  # a comment that stands right above a definition belongs to it
        said[first] = "\n\n".join(filter(None, (text.strip(), below)))
    return said, silent


def comments(lines, silent):
    """Yield (first line, last line) of every run of lines that are comments."""
    first = None
    for number, line in enumerate([*lines, ""], 1):
        stands = line.lstrip().startswith("#") and number not in silent
        if stands and first is None:
            first = number
        elif not stands and first is not None:
            yield first, number - 1
            first = None


def trimmed(run):
    """Return a run of (number, line) without empty lines at its ends."""
    while run and not run[0][1].strip():
        run = run[1:]
    while run and not run[-1][1].strip():
        run = run[:-1]
    return run


def code(first, lines):
    """Return lines of code as a block that begins with its own number."""
    text = "\n".join(lines)
    return f"```{{code-block}} python\n:lineno-start: {first}\n\n{text}\n```"


def prose(text):
    """Return plain text as Markdown: lines that are indented are an equation or a table, and stay as they are."""
    parts = []
    for indented, lines in groupby(text.splitlines(), key=lambda line: line.startswith("    ")):
        if indented:
            parts.append("```text\n" + "\n".join(line[4:] for line in lines) + "\n```")
        else:
            blocks = re.split(r"\n\s*\n|\n(?=\d\. )", "\n".join(lines))  # or a point of a list
            parts += [escape(" ".join(block.split())) for block in blocks]
    return "\n\n".join(filter(None, parts))


def escape(line):
    """Return a line whose signs Markdown does not read, but for code in backquotes and words between asterisks."""
    words = re.split(r"(`[^`]+`|(?<!\S)\*{1,2}\w[^*]*\S\*{1,2}(?!\w))", line)
    words[::2] = [re.sub(r"([\\*_\[\]<>$|#~^])", r"\\\1", word) for word in words[::2]]
    page = lambda match: f"[](/docs/{match[1]}.md)".replace("\\", "")  # a page that is named is a link to it
    return re.sub(r"\bdocs/([\w\\-]+)\.md", page, "".join(words))


if __name__ == "__main__":
    print(page(Path(sys.argv[1]).resolve()), end="")
