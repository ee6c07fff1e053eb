"""The documentation: each block of Python runs on its own; links lead somewhere; every page is reached."""

import linecache
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "docs" / "README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SHORTER = {"for step in range(3000):": "for step in range(30):"}  # the GAN of README.md, which learns for ten seconds


def blocks(page):
    """Return [(page, line, code, printed)] for the blocks of Python of a page.

    line: where the code begins. printed: the text below a block that prints, if no heading or other block is between.
    """
    text = page.read_text(encoding="utf-8")
    below = r"(?:(?:(?!#|```)[^\n]*\n)*```text\n(.*?)^```)?"
    found = re.finditer(rf"^```python\n(.*?)^```\n{below}", text, re.DOTALL | re.MULTILINE)
    return [
        (page, text.count("\n", 0, block.start(1)) + 1, block[1], block[2] if "print(" in block[1] else None)
        for block in found
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]


def links(page):
    """Return [(file, heading)] for each relative link of a page; heading is "" where the link has none."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)  # f[i](x)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    parts = [target.partition("#") for target in targets if not re.match(r"\w+:", target)]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in parts]


def headings(page):
    """Return the names by which GitHub links to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    ("page", "line", "code", "printed"), BLOCKS, ids=[f"{page.relative_to(ROOT)}:{line}" for page, line, *_ in BLOCKS]
)
def test_a_block_runs_when_it_is_pasted_alone(page, line, code, printed, tmp_path, monkeypatch, capsys):
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    monkeypatch.chdir(tmp_path)
    name = f"<{page.relative_to(ROOT)}>"  # no file of this name: else all of the page is shown with an error
    code = code if printed else "\n" * (line - 1) + code  # what is printed may name a line of what was pasted
    lines = code.splitlines(keepends=True)
    monkeypatch.setitem(linecache.cache, name, (len(code), None, lines, name))  # the checker reads it, as of a file
    exec(compile(code, name, "exec"), {"__name__": "docs"})
    out = capsys.readouterr().out
    assert printed is None or steady(out) == steady(printed)


def steady(text):
    """Return text without the sizes of rounding errors, which are the machine's."""
    return re.sub(r"to \de-\d\d of", "to about 0 of", text)


def test_outputs_and_long_loops_are_found_on_the_pages():
    assert all(sum(long in code for _, _, code, _ in BLOCKS) == 1 for long in SHORTER)
    assert sum(printed is not None for *_, printed in BLOCKS) == 12


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for path, heading in links(page):
        assert path.exists(), f"{page.name} links to {path}"
        if heading:
            assert heading in headings(path), f"{page.name} links to the heading {heading!r} of {path.name}"


def test_every_page_is_reached():
    listed = {path for path, _ in links(INDEX)}
    assert {page for page in PAGES if page.parent == INDEX.parent and page != INDEX} <= listed
    assert INDEX in {path for path, _ in links(ROOT / "README.md")}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paths_that_are_named_exist(page):
    """A path in backquotes, such as `scratchgan/losses.py`, and a script that a command runs."""
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:scratchgan|examples|tests|docs|benchmarks)/[\w/.-]+\.\w+)`", text)
    paths += re.findall(r"python ((?:examples|docs|benchmarks)/[\w/.-]+\.py)", text)
    for path in paths:
        assert (ROOT / path).exists(), f"{page.name} names {path}"
