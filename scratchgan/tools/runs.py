"""`scratchgan runs`: a table of what was trained, and the losses of several runs in one picture."""

import contextlib
import os
from pathlib import Path

from scratchgan import plots
from scratchgan.support.arguments import Parser
from scratchgan.support.costs import in_words
from scratchgan.support.errors import CheckpointError, UserError
from scratchgan.support.files import read_json
from scratchgan.support.text import printable
from scratchgan.training import checkpoint
from scratchgan.training.run import check_facts

HEAD = ("run", "script", "data", "steps", "minutes", "losses", "metrics", "size")
TAIL = 2**16  # bytes at the end of a log in which its last losses are looked for
MOST = 10  # runs in one picture: colours that can be told apart


def main(arguments=()):
    """Print a table of runs, or draw the losses of some; return 0."""
    parser = Parser("scratchgan runs", "%(prog)s [FOLDER or RUN ...] [--out FILE.png]",
                    "Print what was trained, newest first; or draw the losses of runs in one picture.")  # fmt: skip
    parser.add_argument("paths", metavar="FOLDER", nargs="*", default=["runs"],
                        help="folder of runs (default: runs), or a run")  # fmt: skip
    parser.add_argument("--out", metavar="FILE.png", help="draw the losses of these runs, with one colour per run")
    options = parser.parse_args(list(arguments))
    folders = find(options.paths)
    if options.out:
        draw(folders, Path(options.out))
    else:
        print_table(folders)
    return 0


def find(paths):
    """Return the folders that may be runs: each path itself if it is one, else what folders it holds."""
    found = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise UserError(f"There is no folder {path}: `python examples/gan.py` makes runs/gan.")
        try:
            inside = sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
        except OSError as error:
            raise UserError(f"Cannot read the folder {path}: {error.strerror}.") from None
        found += [path] if (path / "checkpoint.npz").exists() or (path / "log.jsonl").exists() else inside
    return found


def draw(folders, out):
    """Draw the losses of runs."""
    if not 0 < len(folders) <= MOST:
        raise UserError(f"{len(folders)} runs in one picture: name 1 to {MOST} of them.")
    plots.compare({printable(folder, 60): folder / "log.jsonl" for folder in folders}, out)
    print(f"wrote {out}")


def print_table(folders):
    """Print a row for each run, newest first, then a line for each folder that is none."""
    rows, others = [], []
    for folder in folders:
        try:
            cells = row(folder)
            rows.append(((folder / "checkpoint.npz").stat().st_mtime, cells))
        except UserError as error:
            others.append(f"{folder.name}: {error}")
        except OSError as error:
            others.append(f"{folder.name}: cannot be read ({error.strerror})")
    table = [HEAD, *(cells for _, cells in sorted(rows, key=lambda pair: pair[0], reverse=True))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table if rows else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    for line in others:
        print(printable(line))
    if not folders:
        print("no runs")


def row(folder):
    """Return the cells of a run, text; raise CheckpointError where the folder holds none."""
    path = folder / "checkpoint.npz"
    if not path.exists():
        raise CheckpointError("no run: it holds no checkpoint.npz")
    meta = checkpoint.load_meta(path)
    check_facts(path, meta)
    step, settings, minutes = meta["step"], meta["settings"], meta["seconds"] / 60
    losses = ", ".join(f"{name} {value:.3g}" for name, value in last_losses(folder / "log.jsonl").items())
    cells = [folder.name, meta["script"], settings.get("data", "?"), f"{step:,} of {settings.get('steps', step):,}",
             f"{minutes:.1f}", losses, metrics(folder / "metrics.json"), in_words(size(folder))]  # fmt: skip
    return [printable(cell, 40) for cell in cells]


def last_losses(path):
    """Return {name: value} of the last losses in a log, of which only the end is read; {} where there are none."""
    losses = {}
    with contextlib.suppress(UserError):  # a run has no log before its first step
        for record in plots.read_log(path, last=TAIL):
            losses = plots.losses_in(record) or losses
    return losses


def metrics(path):
    """Return the first metric that `evaluate` wrote, with its floor, as text; "" where there is none."""
    if not path.exists():
        return ""
    try:
        name, found = next(iter(read_json(path)["metrics"].items()))
        value, floor = ("none" if number is None else f"{number:.4g}" for number in (found["value"], found["floor"]))
        return f"{name} {value} (floor {floor})"
    except Exception:  # whatever somebody has made of it
        return "damaged"


def size(folder):
    """Return the bytes of all files in a folder; what a link points to is not counted."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # it went meanwhile
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
