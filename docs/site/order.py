"""Write the last line of each page of docs/: what comes before it and after it, for readers on GitHub.

docs/README.md says the order. `python docs/site/order.py` writes the lines, and a test compares. The site has its own
way from page to page, so build.py leaves them out. Pages that other programs write have none.
"""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "README.md"
LINE = re.compile(r"\n+(?:Before: .*\. )?(?:Next: .*\. )?\[All pages\]\(README\.md\)\.\n\Z")
WRITTEN = ("results.md", "reference.md")  # by other programs


def main():
    for page in pages():
        if page.parent == INDEX.parent and page.name not in WRITTEN:
            text = LINE.sub("\n", page.read_text(encoding="utf-8"))
            page.write_text(text.rstrip("\n") + footer(page), encoding="utf-8")


def pages():
    """Return all pages that docs/README.md lists, in its order."""
    links = re.findall(r"^\| \[[^\]]*\]\(([^)\s#]+)\)", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    return [(INDEX.parent / link).resolve() for link in links]


def footer(page):
    """Return the last line of a page, with the empty line above it."""
    order = pages()
    place = order.index(page)
    words = [("Before", order[place - 1 : place] if place else []), ("Next", order[place + 1 : place + 2])]
    parts = [f"{word}: {link(page, others[0])}. " for word, others in words if others]
    return f"\n\n{''.join(parts)}[All pages](README.md).\n"


def link(page, other):
    """Return a link from one page to another by its title; code is named after its file."""
    title = other.name
    if other.suffix == ".md":
        title = re.search(r"^# (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)[1]
    return f"[{title}]({Path(os.path.relpath(other, page.parent)).as_posix()})"


if __name__ == "__main__":
    main()
