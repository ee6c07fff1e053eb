"""Fill the pages of families with what stands elsewhere: code that takes an equation, pictures, results, papers.

    <!-- code examples/gan.py generator_step -->       a function, or more of them, of a file
    <!-- measured examples/gan.py ... -->              what came out of examples: picture, results, papers
    <!-- end -->

`python docs/site/families.py` writes between two such lines, and a test compares. Results are those of
docs/results/examples.md, pictures those of examples/README.md, papers those of docs/history.md.
"""

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / f"families{name}.md" for name in ("", "_collapse", "_labels", "_pictures", "_beside")]
BLOCK = re.compile(r"(<!-- (code|measured) (.*?) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def main():
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def filled(text):
    """Return the text of a page with all that is written by this program as it is now."""
    written = {"code": code, "measured": measured}
    return BLOCK.sub(lambda block: block[1] + written[block[2]](*block[3].split()) + block[4], text)


def code(file, *names):
    """Return functions of a file as a block of code; without their docstrings, since the page says what they do."""
    source = (ROOT / file).read_text(encoding="utf-8")
    return "```py\n" + "\n\n".join(function(source, name) for name in names) + "\n```\n"


def function(source, name):
    """Return the code of a function, or of a method as `Class.method`, with a docstring left out."""
    found = ast.parse(source)
    for part in name.split("."):
        defined = (node for node in ast.walk(found) if isinstance(node, ast.ClassDef | ast.FunctionDef))
        found = next(node for node in defined if node.name == part)
    lines = source.splitlines()
    if ast.get_docstring(found):
        said = found.body[0]
        lines[said.lineno - 1 : said.end_lineno] = [None] * (said.end_lineno - said.lineno + 1)
    kept = [line for line in lines[found.lineno - 1 : found.end_lineno] if line is not None]
    return textwrap.dedent("\n".join(kept)).strip()


def measured(*files):
    """Return the picture of the first of the examples that has one, a table of their results, and their papers."""
    parts = [shown for shown in map(picture, files) if shown][:1]
    rows = [f"| `{command}` | {result} | {time} |" for file in files for command, result, time in results(file)]
    parts += ["\n".join(["| command | result | minutes, cores |", "|---|---|---|", *rows])] if rows else []
    found = list(dict.fromkeys(paper for file in files for paper in papers(file)))
    parts += ["**Papers.** " + "; ".join(found) + "."] if found else []
    return "\n\n".join(parts) + "\n"


def picture(file):
    """Return the first picture of an example, that of examples/README.md, with a caption; "" if there is none."""
    row = re.search(rf"^\| \[[\w.]+\]\({file.removeprefix('examples/')}\).*$", read("examples/README.md"), re.MULTILINE)
    shown = re.search(r"\[([^\]]*)\]\(\.\./docs/(images/[\w.]+)\)", row[0]) if row else None
    return f"![{Path(file).name}: {shown[1]}]({shown[2]})" if shown else ""


def results(file):
    """Yield (command, what came out, minutes and cores) of an example."""
    for row in rows("docs/results/examples.md"):
        if row[2].startswith(f"`python {file}"):
            yield re.search(r"`([^`]*)`", row[2])[1], row[5], f"{row[3]}, {row[4]}"


def papers(file):
    """Yield the papers of an example, each with the month in which it became public."""
    history = rows("docs/history.md")
    of_file = [row for row in history if f"`{file}`" in row[3]]
    of_file += [row for row in history if f"`{file} " in row[3]]  # and then those of its options
    yield from (f"{row[1]}, {row[0]}" for row in of_file)
    for row in rows("docs/results/examples.md"):  # of what is no GAN, which that history leaves out
        if f"`python {file}" in row[2] and row[1] and not of_file:
            author = re.match(r"[\w-]+", row[1])[0]
            yield from [] if any(other[1].startswith(author) for other in history) else [row[1]]


def rows(file):
    """Return the rows of the tables of a page, as lists of cells."""
    return [re.split(r" ?\| ?", line)[1:-1] for line in read(file).splitlines() if line.startswith("| ")]


def read(file):
    return (ROOT / file).read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
