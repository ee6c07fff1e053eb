"""The site: it builds without a warning, every link and anchor leads somewhere, and what is generated is up to date.

What needs Sphinx skips where it is not installed: `pip install -e ".[docs]"`.
"""

import ast
import importlib.util
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from scratchgan import layers

ROOT = Path(__file__).parent.parent
SITE = ROOT / "docs" / "site"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LAYERS = sorted((ROOT / "scratchgan" / "layers").glob("*.py"))
COMMANDS = set(  # of LaTeX, that our pages use: the site's MathJax knows them, and GitHub allows them (no operatorname)
    """
    Big Bigl Bigr Delta Longleftrightarrow Sigma Vert alpha approx arg ast bar begin beta big bigl bigr cdot
    cdots chi circ delta det dots ell end epsilon equiv eta exp forall frac gamma ge gt hat in inf infty int
    kappa lVert lambda langle lbrace ldots le left leftarrow lfloor lim limits log lt lvert mapsto mathbb mathbf
    mathcal mathrm max mid min mu nabla ne nu odot omega underset overline partial phi pi pm prime prod
    propto psi qquad quad rVert rangle rbrace rfloor rho right rightarrow rvert sigma sim sqrt star substack sum
    sup tag tanh tau text tfrac theta tilde times to top underbrace varepsilon vert widehat xi
    """.split()
)


def load(path):
    """Import a program that lies outside of the package."""
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(path.parent))


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """Build the site; return its folder. A warning of Sphinx is an error."""
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name)
    return load(SITE / "build.py").build(tmp_path_factory.mktemp("site"))


class Page(HTMLParser):
    """What a page links to, what it loads, and the names that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids, self.next, self.previous = [], [], set(), None, None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs["id"]} if "id" in attrs else set()
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])
        elif tag == "link" and attrs.get("rel") in ("next", "prev"):
            setattr(self, {"next": "next", "prev": "previous"}[attrs["rel"]], attrs["href"])
        elif tag in ("img", "script", "source", "iframe") and "src" in attrs:
            self.loads.append(attrs["src"])
        elif tag == "link" and attrs.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(attrs["href"])


@pytest.fixture(scope="module")
def pages(html):
    return {path.resolve(): Page(path) for path in html.rglob("*.html")}


def target(path, link):
    """Return the file and the name in it that a link of a page means."""
    file, _, name = link.partition("#")
    file = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
    return file, unquote(name)


def outside(link):
    return re.match(r"(https?|mailto):", link)


def test_every_link_and_every_anchor_leads_somewhere(pages):
    assert len(pages) > 150
    for path, page in pages.items():
        for link in page.links:
            if outside(link) or (path.name in ("search.html", "genindex.html") and link == "#"):
                continue
            file, name = target(path, link)
            assert file.is_file(), f"{path.name} links to {link}"
            if name and file.suffix == ".html":
                assert name in pages[file].ids, f"{path.name} links to {link}, and there is no {name}"


def test_nothing_is_loaded_over_the_network(html, pages):
    for path, page in pages.items():
        for link in page.loads:
            assert not outside(link) and not link.startswith("//"), f"{path.name} loads {link}"
            assert target(path, link)[0].is_file(), f"{path.name} loads {link}"
    for style in html.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_next_goes_through_all_pages_and_previous_back(html, pages):
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[.*?\]\((.*?)\)", index, re.MULTILINE)
    wanted = [ROOT / "README.md", ROOT / "docs" / "README.md", *((ROOT / "docs" / path).resolve() for path in listed)]
    path, walked = (html / "index.html").resolve(), []
    while True:
        walked.append(path.relative_to(html.resolve()).as_posix().removesuffix(".html").replace("index", "README", 1))
        if not pages[path].next:
            break
        below = target(path, pages[path].next)[0]
        assert target(below, pages[below].previous)[0] == path
        path = below
    assert walked == [page.relative_to(ROOT).as_posix().removesuffix(".md") for page in wanted]


def test_search_knows_where_a_layer_bends(html):
    text = (html / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[len("Search.setIndex(") :].rstrip().removesuffix(")"))
    names = {}
    for where in ("terms", "titleterms"):
        found = index[where]["bend"]
        names[where] = {index["docnames"][number] for number in ([found] if isinstance(found, int) else found)}
    assert {"docs/second-order", "docs/notation", "scratchgan/layers/norm.py"} <= names["terms"]
    assert names["titleterms"] == {"docs/protocol"}  # so that it is found first


def test_the_derivative_of_batch_norm_is_one_click_away(html, pages):
    start, norm = (html / "index.html").resolve(), (html / "docs" / "normalization.html").resolve()
    assert norm in {target(start, link)[0] for link in pages[start].links if not outside(link)}


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.name)
def test_no_line_of_code_is_lost_beside_what_is_said(path):
    """Each line has its own number, and stands on one side: docstrings and comments left, all else right."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    shown, said = {}, []
    for text, pieces in load(SITE / "beside.py").rows(source):
        said.append(" ".join(text.split()))
        for first, piece in pieces:
            shown |= dict(enumerate(piece, first))
    assert all(lines[number - 1] == line for number, line in shown.items())
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and not isinstance(getattr(node, "value", None), ast.Constant):
            assert node.lineno in shown, lines[node.lineno - 1]
    for line in lines:
        remark = line.strip().lstrip("#").strip() if line.lstrip().startswith("# ") else ""
        assert not remark or remark.startswith("--") or any(" ".join(remark.split()) in text for text in said), line


def test_what_is_said_is_short_to_make():
    assert len((SITE / "beside.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_reference_is_what_docstrings_say():
    """Else: `python docs/site/reference.py`."""
    reference = load(SITE / "reference.py")
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page()


def test_pages_of_families_show_the_code_and_the_results_of_now():
    """Else: `python docs/site/families.py`."""
    families = load(SITE / "families.py")
    text = "".join(page.read_text(encoding="utf-8") for page in families.PAGES)
    assert "".join(families.filled(page.read_text(encoding="utf-8")) for page in families.PAGES) == text
    commands = [row[2].partition(", ")[0] for row in families.rows("docs/results/examples.md")]
    assert len(commands) > 40 and [command for command in commands if command not in text] == []


def test_a_family_has_one_form():
    """Its game, code, what it fixed, what goes wrong, its pages, results and papers: each once, in this order."""
    parts = ["<!-- code", "<!-- end", "- **", "- **What goes wrong.**", "- **Pages.**", "<!-- measured", "<!-- end"]
    for page in load(SITE / "families.py").PAGES:
        for family in page.read_text(encoding="utf-8").split("\n## ")[1:]:
            title = family.partition("\n")[0]
            if title != "Relatives without a game":
                shape = r"^(<!-- (?:code|measured|end)|- \*\*(?:What goes wrong\.\*\*|Pages\.\*\*)?)"
                assert re.findall(shape, family, re.MULTILINE) == parts, title


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(layers.BatchNorm(3), (4, 3)), (layers.PReLU(3), (2, 5, 3)), (layers.Gain(), (2, 3)), (layers.Bias(3), (2, 3)),
     (layers.Softmax(), (2, 3)), (layers.PixelNorm(), (2, 3)), (layers.LayerNorm(3), (2, 3)),
     (layers.InstanceNorm(3), (2, 4, 3)), (layers.GroupNorm(1, 3), (2, 4, 3)),
     *((getattr(layers, name)(rng=np.random.default_rng(0)), (2, 6, 6, 3))
       for name in ("Brightness", "Contrast", "Shift", "Cutout", "Warp"))],
    ids=lambda case: type(case).__name__,
)  # fmt: skip
def test_y_has_the_shape_of_x_where_the_reference_says_so(layer, shape):
    row = re.search(rf"^\| \[{type(layer).__name__}\].*$", (ROOT / "docs" / "reference.md").read_text("utf-8"), re.M)
    assert row[0].split(" | ")[2].strip() == "`as x`"
    assert layer.forward(np.ones(shape, dtype="float32"))[0].shape == shape


def test_each_page_ends_with_the_next_one():
    """Else: `python docs/site/order.py`."""
    order = load(SITE / "order.py")
    for page in order.pages():
        if page.parent == order.INDEX.parent and page.name not in order.WRITTEN:
            assert page.read_text(encoding="utf-8").endswith(order.footer(page)), page.name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_github_and_the_site_read_the_same_mathematics(page):
    """GitHub's Markdown takes a backslash from a sign of punctuation before MathJax sees it, except in a block."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```math\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    text = re.sub(r"^```.*?^```$|^    .*?$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "$$" not in text, "write a block: ```math"
    assert text.count("$") % 2 == 0, "an odd number of $"
    for paragraph in re.split(r"\n\s*\n|\n(?=[|#-])", text):
        for formula in re.findall(r"\$([^$]*)\$", paragraph):
            assert not re.search(r"\\[^a-zA-Z\s]", formula), formula
            assert formula == formula.strip() and "|" not in formula, formula
            blocks.append(formula)
    for formula in blocks:
        assert set(re.findall(r"\\([a-zA-Z]+)", formula)) <= COMMANDS, formula
        assert formula.count("{") == formula.count("}"), formula
        assert "\\\\" not in formula or r"\tag" not in formula, "Sphinx lays several lines out, and then knows no tag"
        assert formula.count(r"\begin") == formula.count(r"\end"), formula
        assert formula.count(r"\left") - formula.count(r"\leftarrow") == len(re.findall(r"\\right(?!arrow)", formula))


def test_drawings_are_what_their_programs_draw():
    """Else: `python docs/figures/networks.py` and `python docs/figures/timeline.py`."""
    images = ROOT / "docs" / "images"
    networks, timeline = load(ROOT / "docs/figures/networks.py"), load(ROOT / "docs/figures/timeline.py")
    for name, drawing in networks.DRAWINGS.items():
        assert (images / f"wiring_{name}.svg").read_text(encoding="utf-8") == networks.draw(drawing), name
    assert (images / "timeline.svg").read_text(encoding="utf-8") == timeline.draw(timeline.families())
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [path.name for path in images.glob("*.svg") if path.name not in shown] == []
