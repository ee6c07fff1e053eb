"""Folders of pictures: which files are read, which classes they are, and what is passed over."""

import collections
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from scratchgan.support.errors import DataError
from scratchgan.support.pictures import ENDINGS
from scratchgan.support.text import printable

LISTED = 5  # endings, or folders, that a line names


class Folder(NamedTuple):
    """What a folder of pictures holds."""

    folder: Path
    files: list  # paths of pictures, sorted
    labels: np.ndarray | None  # (N,), int64
    names: tuple | None  # names[label] is the name of a class
    others: collections.Counter  # how many files of each ending are no pictures
    empty: list  # names of sub-folders that would be classes, and hold no file that was not read elsewhere


def find(folder):
    """Return the `Folder` of a path; raise DataError where there are no pictures, or a class has none."""
    folder = Path(os.path.expanduser(folder))
    if not os.path.exists(folder):
        raise DataError(f"There is no folder {folder}; give the path of a folder of pictures.")
    if not os.path.isdir(folder):
        raise DataError(f"{folder} is a file; give the path of a folder of pictures.")
    files, others = [], []
    for file in walk(folder):
        (files if file.suffix.lower() in ENDINGS else others).append(file)
    endings = collections.Counter(file.suffix.lower() or "without an ending" for file in others)
    if not files:
        raise DataError(f"The folder {folder} holds no pictures{told(endings)}; they end in {', '.join(ENDINGS)}.")
    files.sort(key=lambda file: file.relative_to(folder).as_posix())
    labels, names = classes(folder, files)
    return Folder(folder, files, labels, names, endings, empty_classes(folder, names, others) if names else [])


def empty_classes(folder, names, others):
    """Return the names of sub-folders that hold no file; raise DataError where one holds files, but no pictures."""
    inside = collections.Counter(file.relative_to(folder).parts[0] for file in others)
    below = [name for name in sorted(os.listdir(folder)) if os.path.isdir(folder / name) and not name.startswith(".")]
    for name in below:
        if name not in names and inside[name]:
            raise DataError(
                f"{folder / name} holds no pictures, but {inside[name]:,} other files: its class would be missing. "
                f"Pictures end in {', '.join(ENDINGS)}: convert them, or remove the folder."
            )
    return [name for name in below if name not in names]


def walk(folder):
    """Yield the files below a folder, without hidden ones, each once though links may lead to it again and again."""

    def refuse(error):
        raise DataError(f"Cannot read the folder {error.filename}: {error.strerror}; check its permissions.")

    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(parent)
        # A link back to a folder above would go round in circles.
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            seen.add(real)
            yield from (Path(parent, name) for name in names if not name.startswith("."))


def classes(folder, files):
    """Return (labels, names) from the sub-folders directly below `folder`; (None, None) if there are none."""
    parts = [file.relative_to(folder).parts for file in files]
    inside = [part[0] for part in parts if len(part) > 1]
    if not inside:
        return None, None
    if len(inside) < len(parts):
        outside = next(part[0] for part in parts if len(part) == 1)
        raise DataError(
            f"{folder} holds pictures both directly ({outside}) and in sub-folders ({inside[0]}). "
            "Sub-folders are classes: move every picture into one, or all of them out."
        )
    names = tuple(sorted(set(inside)))
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in inside], np.int64), names


def one_by_one(found, doing):
    """Return the pictures of a folder to go through, with a bar on a terminal where there are many."""
    return tqdm(found.files, desc=doing, unit=" pictures", disable=True if len(found.files) < 200 else None)


def passed_over(found):
    """Say in one line on stderr what of a folder is not read, if anything."""
    parts = [f"{found.others.total():,} files that are no pictures{told(found.others)}"] if found.others else []
    parts += [f"folders without files of their own ({listed(found.empty)})"] if found.empty else []
    if parts:
        print(printable(f"{found.folder}: passed over {' and '.join(parts)}"), file=sys.stderr)


def told(others):
    """Return the endings of files that are no pictures, the most frequent first, in brackets; of none, nothing."""
    return f" ({listed([f'{number:,} {ending}' for ending, number in others.most_common()])})" if others else ""


def listed(names):
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
