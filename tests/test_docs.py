"""The documentation: its Python code runs, each page in one piece; its links lead somewhere; every page is reached."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "docs" / "README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def links(page):
    """Return [(file, heading)] for each relative link of a page; heading is "" where the link has none."""
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    parts = [target.partition("#") for target in targets if not re.match(r"\w+:", target)]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in parts]


def headings(page):
    """Return the names by which GitHub links to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "docs"})


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
