"""Write docs/reference.md, the reference: every layer in a table, losses, penalties, optimizers, metrics, commands.

All of it is read from docstrings and signatures. `python docs/site/reference.py` writes the page; a test compares.
"""

import functools
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scratchgan import divergences, fast, layers, losses, metrics, optim, penalties, unroll, weights  # noqa: E402
from scratchgan.layers import augment, base, compose, norm, pairs  # noqa: E402

PAGE = ROOT / "docs" / "reference.md"
SHAPE = r"\((?:[^()]|\([^()]*\))*\)"  # brackets, with one pair more inside at most
NAMES = r"(?:de )?(?:[A-Z][\w'-]+(?: [&,] | et al\. | )?)+\d{4}[a-z]?"
PLACE = r"(?:section|eq\.|algorithm|appendix|relation|lecture|figure)s? [\w.]+(?: (?:and|to) [\w.]+)?"
PAPER = re.compile(rf"\(?({NAMES}(?:, {PLACE})?)")
NAMED = re.compile(rf" ?\({PAPER.pattern[3:]}[^()]*\)")  # a paper that stands in brackets of its own
IN_PLACE = (base.Pointwise, norm.Normalization, augment.RandomLinear)  # y has the shape of x
SHAPES = {  # of layers whose docstrings speak of numbers, not of shapes
    "Dense": ("(N, ..., in_features)", "(N, ..., out_features)"),
    "Upsample": ("(N, *sides, C)", "(N, *(scale side), C)"),
    "AvgPool": ("(N, *sides, C)", "(N, *output sides, C)"),
    "MaxPool": ("(N, *sides, C)", "(N, *output sides, C)"),
    "GlobalAvgPool": ("(N, ..., C)", "(N, C)"),
    "Pad": ("(N, *sides, C)", "(N, *(before + side + after), C)"),
    "Crop": ("(N, *sides, C)", "(N, *(side - before - after), C)"),
    "Blur": ("(N, *sides, C)", "(N, *output sides, C)"),
    "Join": ("tuple of (N, ..., C_i)", "(N, ..., sum of C_i)"),
    "Add": ("tuple of (N, ..., C)", "(N, ..., C)"),
    "Part": ("tuple", "its part"),
    "Fork": ("any", "tuple"),
    "Each": ("tuple", "tuple"),
    "Fade": ("pair of one shape", "as each"),
    "Modulate": ("(N, ..., C), (N, C)", "(N, ..., C)"),
    "Scores": ("(N, I, F), (N, J, F)", "(N, I, J)"),
    "Mix": ("(N, I, J), (N, J, F)", "(N, I, F)"),
    "GaussianSample": ("pair of one shape", "as each"),
    "Softmax": ("(N, ..., C)", "as x"),
    "LogSoftmax": ("(N, ..., C)", "as x"),
    "LayerNorm": ("(N, ..., C)", "as x"),
    "InstanceNorm": ("(N, ..., C)", "as x"),
    "RNN": ("(N, C + S)", "(N, S)"),
    "LSTM": ("(N, C + S)", "(N, S)"),
    "GRU": ("(N, C + S)", "(N, S)"),
    "ConditionalBatchNorm": ("(N, ..., C), labels (N,)", "(N, ..., C)"),
    "ConditionalAffine": ("(N, ..., C), labels (N,)", "(N, ..., C)"),
    "LabelChannels": ("(N, ..., C), labels (N,)", "(N, ..., C + features)"),
    "Projection": ("(N, features), labels (N,)", "(N, 1)"),
    "FiLM": ("(N, ..., C), (N, features)", "(N, ..., C)"),
    "ModulatedConv2d": ("(N, H, W_, in_channels), (N, features)", "(N, *output sides, out_channels)"),
    "Constant": ("(N, ...)", "(N, *shape)"),
}
KINDS = {
    base.LinearMap: "ddy = A(W, ddx), dW = weight_grad(ddx, dy); no bend",
    base.FixedMap: "ddy = A ddx; no bend",
    base.Pointwise: "ddy = f'(x) ddx, bend = f''(x) dy ddx",
    pairs.Bilinear: "bends in both parts",
    compose.Container: "of its layers",
    compose.Sequential: "of its layers: three sweeps",
}
HEAD = """# Reference

Every layer, loss, penalty, optimizer and metric, as its docstring says. The page is written by
`python docs/site/reference.py`. [notation.md](notation.md) says what the signs mean, [protocol.md](protocol.md) what
each layer does, and the links lead to the code.
"""


def main():
    PAGE.write_text(page(), encoding="utf-8")


def page():
    """Return the page, as text."""
    with fast.plain():  # else a twin stands in the place of what is read
        return written()


def written():
    """Return the page, as text, of what stands in the modules now."""
    parts = [HEAD, "## Layers\n", layer_table()]
    for title, module in (("Losses", losses), ("f-divergences", divergences), ("Penalties", penalties),
                          ("Optimizers and schedules", optim), ("Weights that are functions of others", weights),
                          ("Unrolling", unroll)):  # fmt: skip
        parts += [f"## {title}\n", table(members(module))]
    parts += ["## Metrics\n"]
    for _, name, _ in pkgutil.iter_modules(metrics.__path__):
        module = importlib.import_module(f"scratchgan.metrics.{name}")
        about = escape(" ".join(inspect.getdoc(module).partition("\n\n")[0].split()))
        calls = members(module)
        parts += [f"**`metrics.{name}`** {about}\n", table(list(filter(asked, calls)) or calls)]
    command = [sys.executable, "-m", "scratchgan", "--help"]
    usage = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    parts += ["## Commands\n", f"```text\n{usage.strip()}\n```\n"]
    parts += ["Every example has its own: `python examples/gan.py --help`.\n"]
    return "\n".join(parts)


def layer_table():
    """Return the table of layers: one row for each class that scratchgan.layers exports."""
    lines = ["| layer | x | y | Params | equation | second order | paper |", "|---|---|---|---|---|---|---|"]
    for name in layers.__all__:
        layer = getattr(layers, name)
        text = inspect.getdoc(layer)
        x, y = shapes(layer, text)
        cells = [link(layer), code(x), code(y), params(layer), sentence(text), second(layer), paper(text)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shapes(layer, text):
    """Return the shapes of x and y, as far as a docstring tells; what it does not change has the shape of x."""
    if layer.__name__ in SHAPES:
        return SHAPES[layer.__name__]
    plain = " ".join(text.split())
    arrow = re.search(rf"((?:{SHAPE}(?:, )?)+) -> ({SHAPE})", plain)
    if arrow and arrow[1].startswith("(N"):
        return arrow[1], arrow[2]
    found = {}
    for name in "xy":
        shape = re.search(rf"\b{name}(?:,|:| is| of shape)? ?(?:and y are )?(\(N{SHAPE[2:]})", plain)
        found[name] = shape[1] if shape else ""
    if issubclass(layer, augment.RandomLinear):
        found["x"] = "(N, H, W_, C)"
    same = issubclass(layer, IN_PLACE) or re.search(r"= x |inference y = x|identity|mask x|gamma x|> 0", plain)
    return found["x"] or "any", found["y"] or ("as x" if same else "")


def params(layer):
    """Return the names of the Params that a layer makes itself."""
    if issubclass(layer, base.LinearMap):
        return "W, b"
    made = [re.findall(r"self\.(\w+) = Param\(", inspect.getsource(part)) for part in layer.__mro__[:-1]]
    names = list(dict.fromkeys(name for part in made for name in part))
    return ", ".join(names) or ("of its layers" if issubclass(layer, compose.Container) else "")


def second(layer):
    """Return what a layer's second order is, by the class that has its double_backward."""
    owner = next(part for part in layer.__mro__ if "double_backward" in vars(part))
    if layer in (layers.ReLU, layers.LeakyReLU):
        return "ddy = f'(x) ddx; no bend"
    return escape(KINDS.get(owner, "" if owner is base.Layer else "its own"))


def members(module):
    """Return the public functions and classes that a module defines and documents, in their order."""
    found = [thing for name, thing in vars(module).items() if not name.startswith("_")]
    own = [thing for thing in found if getattr(thing, "__module__", "") == module.__name__]
    return [thing for thing in own if callable(thing) and thing.__doc__ and not hasattr(thing, "_fields")]


def asked(thing):
    """Return whether other files of the package, or the examples, name a thing of a module: helpers they do not."""
    module = thing.__module__.rpartition(".")[2]
    name = re.compile(rf"\b{module}\.{thing.__name__}\b|metrics\.{module} import [^#\n]*\b{thing.__name__}\b")
    return any(name.search(text) for file, text in sources().items() if file.stem != module)


@functools.cache
def sources():
    """Return {file: text} of the package, the examples and the pages."""
    files = [*ROOT.glob("scratchgan/**/*.py"), *ROOT.glob("examples/**/*.py"), *ROOT.glob("docs/*.md")]
    return {file: file.read_text(encoding="utf-8") for file in files if file != PAGE}


def table(things):
    """Return the table of functions or classes."""
    lines = ["| call | what it is | paper |", "|---|---|---|"]
    for thing in things:
        text = inspect.getdoc(thing)
        lines.append(f"| {link(thing)} {code(signature(thing))} | {sentence(text)} | {paper(text)} |")
    return "\n".join(lines) + "\n"


def signature(thing):
    """Return the names of what a call takes, with the numbers that it takes unless told."""
    text = []
    for one in inspect.signature(thing).parameters.values():
        plain = isinstance(one.default, int | float | str | bool | None) or one.default in ((0.5, 0.999), (0.9, 0.999))
        text.append(f"{one.name}={one.default!r}" if one.default is not one.empty and plain else one.name)
    return f"({', '.join(text)})"


def link(thing):
    """Return the name of a thing as a link to its file."""
    return f"[{thing.__name__}](../{thing.__module__.replace('.', '/')}.py)"


def sentence(text):
    """Return the first sentence of a docstring, and the equation below it if that is where it stands."""
    head, _, rest = text.partition("\n\n")
    head = " ".join(head.split())
    head = NAMED.sub("", head)
    equation = re.match(r"((?:    .*\n?)+)", rest)
    return escape(head) + (f" {code(' '.join(equation[1].split()))}" if equation else "")


def paper(text):
    """Return the papers that a docstring names."""
    found = dict.fromkeys(" ".join(match.split()) for match in PAPER.findall(" ".join(text.split())))
    return "; ".join(found)


def code(text):
    """Return text as code in a table."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def escape(text):
    """Return text without signs that Markdown reads, for a table."""
    words = re.split(r"(`[^`]+`)", text)
    plain = lambda word: re.sub(r"([*_\[\]<>|$~^])", r"\\\1", word)
    return "".join(word.replace("|", "\\|") if word.startswith("`") else plain(word) for word in words)


if __name__ == "__main__":
    main()
