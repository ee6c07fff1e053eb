"""Write docs/results.md, the numbers of this library beside published ones, from the records in docs/results/.

    python benchmarks/results.py

What examples/collapse/mode_collapse.py measured lies in docs/results/mode_collapse/, as it wrote it. All else are
records. A record is a JSON file of one run, written by a program and never by hand. Its fields:

    section    which table it belongs to: see SECTIONS
    what       the row, such as "ring, pacgan2" or "dcgan": runs of a budget that differ only in their seeds share it
    protocol   data, samples and what is measured, in a line
    budget     "quick", "default" or "paper"
    command    what trained it
    seed, steps, seconds, hardware     of this run
    numbers    {name: value} of the section's columns, at least one; shares and accuracies from 0 to 1
    errors     {name: standard error}, of a number that has one in a single run already; may be missing
    floors     {name: value}: of real data in the place of samples; may be missing
    published  {name: text}: what others report for it, printed as it is; may be missing
    full_steps, source                the steps of a whole run, and where the published number stands; may be missing

Of several seeds the table shows the mean and its standard error, the deviation over the root of their number.
`save` writes a record; benchmarks/families.py does so for all families of images, benchmarks/supervision.py for what
labels, codes and captions are for, benchmarks/translation.py for pictures that are made of pictures,
benchmarks/control.py for policies, and benchmarks/density.py for models whose probabilities are known.
"""

import argparse
import importlib
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchgan.support.errors import UserError
from scratchgan.support.files import replacing, write_json

ROOT = Path(__file__).parent.parent
RECORDS, PAGE = ROOT / "docs" / "results", ROOT / "docs" / "results.md"
GLANCE = RECORDS / "examples.md"  # a table that people write, of what the sections below have in full
EXAMPLES = (
    "Minutes as they were measured with the result, on x86_64 with two cores; where one core is said, the other "
    "trained something else. The pace of today is in [examples/README.md](../examples/README.md). FID-LeNet is the "
    "Fréchet distance of features of our own classifier, 5.2 for real images; precision is the share of samples that "
    "lie among real images, recall that of real images among samples. MNIST is here 15,604 of its 60,000 training "
    "pictures, in all of this page, and all of its test pictures."
)
KINDS = {"section": str, "what": str, "protocol": str, "budget": str, "command": str, "seed": int, "steps": int,
         "seconds": float, "hardware": str, "numbers": dict}  # fmt: skip


class Section(NamedTuple):
    """A table: its name in records, title, what to know about it, {number: digits, or "%"}, what it is ranked by."""

    name: str
    title: str
    about: str
    columns: dict
    ranked: str = ""


SECTIONS = (
    Section(
        "modes", "Ring and grid",
        "Modes covered (of 8 and of 25), share of samples of high quality, reverse KL of the mode histogram. "
        "A run at the quick budget is a small part of the authors'; [mode_collapse.md](mode_collapse.md) says what the "
        "numbers mean.",
        {"modes": 1, "high quality": "%", "reverse KL": 3},
    ),
    Section(
        "parzen", "MNIST, Parzen windows",
        "15,604 training pictures of MNIST, of which 13,004 are trained on. "
        "Log-likelihood of test images in nats, larger is better; ± is the standard error over test images where there "
        "is one seed. The last row is what training images reach in the place of samples: a generator can be above "
        "it, and more is not always better (Theis, van den Oord & Bethge 2016). "
        "[adversarial_nets.md](adversarial_nets.md) has the protocol. The run at the paper's budget, here and among "
        "the families below, began with the authors' weights and seed 1: so begun, seeds 0 and 2 collapse.",
        {"log-likelihood": 1},
    ),
    Section(
        "families", "Families of images on MNIST",
        "15,604 training pictures. "
        "Ranked by FID-LeNet, the Fréchet distance of features of our own classifier: smaller is better, not to be "
        "compared with FID. `nearer` is the probability that a sample is nearer to the training data than a test image "
        "is: 0.5 is chance, 1 a copy. The last row is what training images reach in the place of samples: a floor for "
        "the distance, a ceiling for precision and recall. There is no published value: the features are ours. A "
        "step is one of G, with 2 of the critic for WGAN. [stability.md](stability.md#results) shows "
        "samples of the runs at the default budget; compare rows of one budget. By another classifier, another table.",
        {"FID-LeNet": 1, "precision-LeNet": 2, "recall-LeNet": 2, "nearer to training data-LeNet": 2},
        "FID-LeNet",
    ),
    Section(
        "recipes", "What each choice of a recipe is worth",
        "One thing changed at a time, each trained for the same seconds of a core: MNIST, measured as families are. "
        "`cut` leaves a layer out of the networks of `wgan_gp.py` ([recipes.md](recipes.md)).",
        {"FID-LeNet": 1, "precision-LeNet": 2, "recall-LeNet": 2},
    ),
    Section(
        "labels", "Conditional samples",
        "15,604 training pictures of MNIST. "
        "Share of 10,000 samples, 1,000 a class, that our classifier takes for the class that was asked for. It does "
        "not say whether the samples of a class differ: [labels.md](labels.md) shows them.",
        {"class accuracy": "%"},
    ),
    Section(
        "codes", "InfoGAN: codes that mean something",
        "10,000 glyphs, or 15,604 training pictures of MNIST. "
        "Error when the categorical code names the digits of held-out pictures, in the best one-to-one way; the gap in "
        "mutual information between the best and the second best code for each true factor, which only glyphs have: "
        "with three codes for eight factors it is at most 0.375 ([codes.md](codes.md)).",
        {"error": "%", "gap": 3},
    ),
    Section(
        "semi-supervised", "100 labels of MNIST",
        "Errors among 10,000 test images of a classifier that was told 10 labels of each class. Ours have 15,604 "
        "pictures in all, the authors' 60,000.",
        {"errors": 0},
    ),
    Section(
        "rotations", "SSGAN: which way is up",
        "How often D's second head tells by how much a held-out glyph was turned (chance is 25 %), and the Fréchet "
        "distance of the samples, with a classifier of glyphs: not MNIST's; networks of before ([codes.md](codes.md)).",
        {"turn accuracy": "%", "FID-LeNet": 1},
    ),
    Section(
        "text", "Text to image",
        "Share of samples in which a network sees what the caption says. The last row is what it sees in real glyphs: "
        "an italic and a sheared upright cannot always be told apart ([codes.md](codes.md)).",
        dict.fromkeys(("digit", "weight", "slant", "tilt", "size", "all five"), "%"),
    ),
    Section(
        "augmentation", "A classifier with 20 labels a class",
        "Test accuracy of a classifier that sees the real pictures alone, and of one that is shown samples too, of a "
        "GAN that saw the same pictures and no others.",
        {"real pictures": "%", "with samples added": "%"},
    ),
    Section(
        "retrieval", "Nearest pictures in D's features",
        "D has seen 15,604 training pictures. "
        "Precision at 10: the share of a test picture's 10 nearest training pictures that are of its class.",
        {"D": 3, "untrained D": 3, "pixels": 3},
    ),
    Section(
        "translation", "From picture to picture",
        "PSNR of held-out pictures beside their truths, the mean over pictures, and that of the inputs as they are; "
        "sharpness, 1 being the truths'; the share of pictures that a classifier takes for their class. A blur has the "
        "larger PSNR, and what an adversarial loss makes the larger sharpness.",
        {"PSNR, dB": 2, "of the input, dB": 2, "sharpness": 2, "class accuracy": "%"},
    ),
    Section(
        "control", "Imitation of an expert",
        "GAIL: mean return of 2,000 episodes, whose rewards no step of the training has seen; that of the expert; that "
        "of a policy which learned the expert's pairs by maximum likelihood. CartPole ends at 200; the two others cost "
        "1 a step. The authors' experts are others, and their Acrobot an older version ([gail.md](gail.md)).",
        {"return": 1, "of the expert": 1, "of cloning": 1},
    ),
    Section(
        "density", "Six kinds of models on 4,096 cells",
        "How far the q of a model is from the true p, which is known: KL and JS in nats, TV from 0 to 1, smaller is "
        "better, best by JS first. A q that knows nothing has 1.8674, 9.739, 0.4206 and 0.781; a million points of p "
        "itself 0.0018, 0.001, 0.0003 and 0.013. [relatives.md](relatives.md) says what the rows are.",
        {"KL(p, q)": 4, "KL(q, p)": 3, "JS": 4, "TV": 3}, "JS",
    ),
    Section(
        "autoencoders", "VAE and VAE-GAN on MNIST",
        "The bound on log q of test pictures as bits, in nats, and a tighter one of 100 draws. Independent pixels have "
        "-206.0, PCA of 20 components a bound of -141.4, a mixture of 200 products of Bernoullis -133.7, exactly. FID "
        "of samples, and of training pictures as they are given back; squared error of a pixel, from 0 to 1, of test "
        "pictures. Where the decoder gives no probability of bits, there are no nats ([vae.md](vae.md)).",
        {"bound, nats": 1, "of 100 draws": 1, "FID-LeNet": 1, "precision-LeNet": 2, "recall-LeNet": 2,
         "FID of reconstructions": 1, "squared error": 4},
    ),
    Section(
        "actions", "Which way does it move?",
        "Errors of a classifier of 8 motions in 2,000 held-out clips: with 10 labels of each motion, with the same and "
        "8,000 clips without a label, with all labels. Beside it a rule by hand, single frames with all labels, and "
        "chance ([actions.md](actions.md)).",
        dict.fromkeys(("error", "by hand", "single frames", "chance"), "%"),
    ),
)  # fmt: skip
FAMILIES = ("gan", "adversarial_nets", "dcgan", "wgan", "wgan_gp", "dragan", "sngan", "r1gan", "ragan", "cgan", "acgan",
            "projection", "infogan", "ssgan")  # fmt: skip


def main(argv=None):
    """Write the page."""
    argparse.ArgumentParser("results.py", description=__doc__.split("\n")[0]).parse_args(argv)
    try:
        write_page(load())
    except UserError as error:
        sys.exit(f"results.py: error: {error}")


def write_page(records):
    """Write docs/results.md."""
    with replacing(PAGE) as file:
        file.write(page(records).encode())
    print(f"wrote {PAGE.relative_to(ROOT)} from {len(records)} records")


# ---- the examples ----------------------------------------------------------------------------------------


def script(name):
    """Return the path of an example as one types it at the root: examples/stability/r1gan.py for r1gan.

    Raises UserError if there is none of that name.
    """
    paths = list((ROOT / "examples").rglob(f"{name}.py"))
    if len(paths) != 1:
        raise UserError(f"there is no example {name}")
    return paths[0].relative_to(ROOT).as_posix()


def example(name):
    """Return an example as a module."""
    return importlib.import_module("scratchgan." + script(name).removesuffix(".py").replace("/", "."))


def in_its_room(command):
    """Return a command of a record as one types it today: in old records no example stands in a room."""
    return re.sub(r"examples/(\w+)\.py", lambda path: script(path[1]), command)


# ---- records ---------------------------------------------------------------------------------------------


def load(folder=RECORDS):
    """Return all records of a folder, in the order of their files; raise UserError, naming the file, for a bad one."""
    records = [from_cell(file) for file in sorted((Path(folder) / "mode_collapse").glob("*.json"))]
    for file in sorted(Path(folder).glob("*.json")):
        try:
            record = check(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:  # JSON's errors too
            raise UserError(f"{file} is no record: {error}") from None
        records.append(record | {"command": in_its_room(record["command"])})
    return records


def save(record, folder=RECORDS):
    """Write a record to SECTION-WHAT-BUDGET-SEED.json, in the place of an older one; return the path."""
    check(record)
    name = re.sub(r"[^\w.]+", "-", " ".join(str(record[field]) for field in ("section", "what", "budget", "seed")))
    path = Path(folder) / f"{name}.json"
    write_json(path, record)
    return path


def check(record):
    """Return a record; raise ValueError for one that lacks a field or has no number to show."""
    for field, kind in KINDS.items():
        if not isinstance(record.get(field), kind):
            raise ValueError(f"{field} is {record.get(field)!r}, wanted {kind.__name__}")
    columns = {section.name: section.columns for section in SECTIONS}
    if record["section"] not in columns:
        raise ValueError(f"section is {record['section']!r}, wanted one of {', '.join(columns)}")
    there = [name for name in columns[record["section"]] if name in record["numbers"]]
    if not there:
        raise ValueError(f"none of its numbers is one of {', '.join(columns[record['section']])}")
    for name in there:
        if not isinstance(record["numbers"][name], float | int):
            raise ValueError(f"the number {name!r} is {record['numbers'][name]!r}")
    return record


def from_cell(file):
    """Return the record of a cell of examples/collapse/mode_collapse.py."""
    mode_collapse = example("mode_collapse")
    cell = json.loads(Path(file).read_text(encoding="utf-8"))
    steps, key = cell["settings"]["steps"], (cell["data"], cell["method"])
    names = ("modes", "high quality", "reverse KL")
    published = mode_collapse.PUBLISHED.get(key)
    budgets = {length: name for name, length in mode_collapse.BUDGETS.items()}
    length = "" if budgets.get(steps) == "quick" else f" --steps {steps}"
    return {
        "section": "modes", "what": ", ".join(key),
        "protocol": "Lin et al. 2018, section 4.1: 100,000 points, 2,500 samples, high quality within 3 sigma",
        "budget": budgets.get(steps, f"{steps:,} steps"),
        "command": f"python {script('mode_collapse')} --data {key[0]} --methods {key[1]}{length}",
        "seed": cell["seed"], "steps": steps, "seconds": float(cell["seconds"]), "hardware": cell["hardware"],
        "numbers": {name: cell[name] for name in (*names, "Jensen-Shannon")},
        "published": dict(zip(names, published.split(", "), strict=True)) if published else {},
        "full_steps": mode_collapse.BUDGETS["paper"], "source": "Lin et al. 2018, table 1",
    }  # fmt: skip


# ---- the page --------------------------------------------------------------------------------------------


def page(records):
    """Return docs/results.md as text."""
    lines = ["# Results", "", *paragraph(
        "Written by `python benchmarks/results.py` from the records in `docs/results/`, one for each run; the script "
        "says what a record holds. Numbers that fall short stand here as they are; ± is the standard error over seeds. "
        "A quick budget is a stated fraction of a real training: it shows that everything runs and what is learned "
        "first, not what a family can do. Seeds are 0, 1, ... (--seed)."
    )]  # fmt: skip
    lines += ["## Every example at a glance", "", *paragraph(EXAMPLES)]
    lines += [*GLANCE.read_text(encoding="utf-8").splitlines(), ""]
    for section in SECTIONS:
        found = [record for record in records if record["section"] == section.name]
        if found:
            lines += [f"## {section.title}", "", *paragraph(section.about), *table(section, found), ""]
            lines += [*facts(found), ""]
    known = {record["section"] for record in records}
    missing = [section.title for section in SECTIONS if section.name not in known]
    families = {record["what"] for record in records if record["section"] == "families"}
    missing += [f"the family {name}" for name in FAMILIES if name not in families]
    if missing:
        lines += ["## Not measured yet", "", *paragraph(", ".join(missing) + ".")]
    return "\n".join(lines)


def paragraph(text):
    """Return the lines of a paragraph, and an empty one."""
    return [*textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False), ""]


def table(section, records):
    """Return the lines of a section's table: a row for all seeds of a thing and budget, the best first if ranked."""
    if section.ranked and len(protocols := distinct(records, "protocol")) > 1:  # each has a ranking of its own
        apart = ([record for record in records if record["protocol"] == protocol] for protocol in protocols)
        return [line for some in apart for line in (*paragraph(f"{facts(some)[0][2:]}:"), *table(section, some), "")]
    groups = {}
    for record in records:
        groups.setdefault((record["what"], record["budget"]), []).append(record)
    rows = list(groups.values())
    if section.ranked:
        rows.sort(key=lambda runs: np.mean([run["numbers"][section.ranked] for run in runs]))
    columns = [(name, any(name in run.get("published", {}) for run in records)) for name in section.columns]
    heads = [part for name, beside in columns for part in (name, "published")[: 1 + beside]]
    lines = [row_of(["", *heads, "budget", "steps", "seeds", "minutes"]), "|" + "---|" * (len(heads) + 5)]
    for runs in rows:
        cells = []
        for name, beside in columns:
            cells.append(number(runs, name, section.columns[name]))
            cells += [runs[0].get("published", {}).get(name, "")] if beside else []
        lines.append(row_of([runs[0]["what"], *cells, *about(runs)]))
    floors = [shown(floor(records, name), section.columns[name]) for name, _ in columns]
    if any(floors):
        cells = [part for text, (_, beside) in zip(floors, columns, strict=True) for part in (text, "")[: 1 + beside]]
        lines.append(row_of(["*real images*", *cells, "", "", "", ""]))
    return lines


def number(runs, name, digits):
    """Write the mean over seeds and its standard error; of one seed the error of the measurement itself, if any."""
    values = [run["numbers"][name] for run in runs if name in run["numbers"]]
    if not values:
        return ""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else runs[0].get("errors", {}).get(name)
    text = shown(np.mean(values), digits)
    return text if error is None else f"{text.removesuffix(' %')} ± {shown(error, digits)}"


def shown(value, digits):
    """Write a number with some digits after the point, or as a percentage; nothing for None."""
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if digits == "%" else f"{value:.{digits}f}"


def about(runs):
    """Return budget, steps (of a whole run's, if known), seeds and minutes of a row; raise UserError if they differ."""
    for field in ("steps", "protocol"):
        if len({run[field] for run in runs}) > 1:
            raise UserError(f"the records of {runs[0]['what']} differ in their {field}: their mean has no meaning")
    steps = f"{runs[0]['steps']:,}" + (f" of {runs[0]['full_steps']:,}" if runs[0].get("full_steps") else "")
    seconds = np.mean([run["seconds"] for run in runs])
    return runs[0]["budget"], steps, len(runs), f"{seconds / 60:.1f}"


def floor(records, name):
    """Return the mean of the records' floors, None if there are none."""
    found = [record["floors"][name] for record in records if name in record.get("floors", {})]
    return np.mean(found) if found else None


def facts(records):
    """Return lines with protocols, sources, hardware and commands, but for their seeds, of a table."""
    lines = [f"- protocol: {text}" for text in distinct(records, "protocol")]
    lines += [f"- published: {text}" for text in distinct(records, "source")]
    lines += [f"- hardware: {text}" for text in distinct(records, "hardware")]
    commands = [re.sub(r" --seed \d+$", "", command) for command in distinct(records, "command")]
    return lines + [f"- `{command}`" for command in dict.fromkeys(commands)]


def distinct(records, field):
    """Return the values that a field has in the records, each once."""
    return list(dict.fromkeys(record[field] for record in records if record.get(field)))


def row_of(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
