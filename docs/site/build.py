"""Build the site that docs/ is read as, and show it.

    python docs/site/build.py              # writes build/site/html/index.html; every warning is an error
    python docs/site/build.py --serve      # and shows it in a browser

The pages are laid out as in the repository, so that every link between them is right as it stands: README.md is the
first page, docs/README.md says which pages follow each other, and a file of Python that a page links to becomes a page
itself (beside.py).
"""

import argparse
import functools
import http.server
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

import beside
import order

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples/README.md", ROOT / "examples/course/ANSWERS.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"(?:(\[)[\w./-]+\.md)?\]\(([^)\s#]+)(#[^)\s]*)?\)")  # [its name](a page), or the end of another
FENCE = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description="Build the site of docs/.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="where it is written")
    parser.add_argument("--serve", action="store_true", help="show it in a browser")
    options = parser.parse_args()
    html = build(options.out.resolve())
    print(f"the site is {html / 'index.html'}")
    if options.serve:
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=html)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            address = f"http://127.0.0.1:{server.server_port}/"
            print(f"it is shown at {address}, until Ctrl-C")
            webbrowser.open(address)
            server.serve_forever()


def build(out):
    """Lay out the pages in out/pages and build out/html; return out/html."""
    pages, html = out / "pages", out / "html"
    for folder in (pages, html):
        shutil.rmtree(folder, ignore_errors=True)
    stage(pages)
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(out / "doctrees")]
    sphinx += ["-c", str(Path(__file__).parent), str(pages), str(html)]
    subprocess.run(sphinx, check=True, env=os.environ | {"PYTHONPYCACHEPREFIX": str(out / "cache")})
    shutil.copy(mathjax(), html / "_static" / "tex-svg.js")
    return html


def stage(folder):
    """Write every page, every file of Python that is linked to, and every picture below a folder."""
    linked = set()
    for page in PAGES:
        text = order.LINE.sub("\n", page.read_text(encoding="utf-8"))
        linked |= {target for target in targets(page, text) if target.is_file()}
        write(folder, page, outside_fences(text, functools.partial(relink, page)))
    for file in sorted(linked - set(PAGES)):
        if file.suffix == ".py":
            write(folder, file, beside.page(file))
        else:
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    with (folder / "index.md").open("a", encoding="utf-8") as index:
        index.write(contents())


def write(folder, file, text):
    """Write the page of a file of the repository."""
    path = folder / (name_of(file) + ".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def name_of(file):
    """Return a page's name: its path, without .md; of README.md it is index."""
    name = file.relative_to(ROOT).as_posix().removesuffix(".md")
    return "index" if name == "README" else name


def outside_fences(text, change):
    """Change a text, but not what stands in blocks of code."""
    return "".join(part if part.startswith("```") else change(part) for part in FENCE.split(text))


def targets(page, text):
    """Return the files and folders that a page links to."""
    found = FENCE.sub("", text)
    return {resolve(page, path) for _, path, _ in LINK.findall(found) if ":" not in path}


def resolve(page, path):
    """Return the file that a relative link means; of a folder, its README.md or the one above."""
    target = (page.parent / path).resolve()
    while target.is_dir():
        target = target / "README.md" if (target / "README.md").exists() else target.parent
    return target


def relink(page, text):
    """Return the text of a page with its links as the site has them: to pages of code, and by titles, not by files."""

    def link(match):
        path, heading = match[2], match[3] or ""
        if ":" in path:
            return match[0]
        target = resolve(page, path)
        if target in PAGES or target.suffix == ".py":
            here = (ROOT / name_of(page)).parent
            path = os.path.relpath(ROOT / (name_of(target) + ".md"), here).replace(os.sep, "/")
        return f"{match[1] or ''}]({path}{heading})"  # [](a page): Sphinx writes its title

    return LINK.sub(link, text)


def contents():
    """Return the chapters of docs/README.md, each heading with the pages of its tables, as Sphinx's contents."""
    trees, above = [], [name_of(order.INDEX)]
    for chapter in order.INDEX.read_text(encoding="utf-8").split("\n## ")[1:]:
        links = re.findall(r"^\| \[[^\]]*\]\(([^)\s#]+)\)", chapter, re.MULTILINE)
        names, above = above + [name_of(resolve(order.INDEX, path)) for path in links], []
        title = chapter.partition("\n")[0]
        trees.append(f":::{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(names) + "\n:::\n")
    return "\n" + "\n".join(trees)


def mathjax():
    """Return the file of MathJax that draws formulas, from the package that brings it along."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None:
        raise SystemExit("the site needs `pip install -e '.[docs]'`")
    return Path(package.origin).parent / "static" / "mathjax" / "tex-svg.js"


if __name__ == "__main__":
    main()
