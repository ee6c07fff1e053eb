"""`scratchgan data`: which data sets are here, what a folder of pictures holds, and the download of a set."""

import math
import os

import numpy as np

from scratchgan.data import NAMES, folders, mnist, unknown
from scratchgan.data.images import check_usable
from scratchgan.support.arguments import Parser
from scratchgan.support.errors import DataError
from scratchgan.support.pictures import open_picture
from scratchgan.support.text import printable

UNUSABLE = 1  # exit status
NAMED = 10  # pictures that are told one by one
DESCRIPTION = """Without WHAT: list the data sets, and where their files are. With the name of one: the same of it
alone, or its download. With a folder: what `--data FOLDER` would read of it."""


def main(arguments=()):
    """Print what --data would read; return 0, or 1 where what was asked for cannot be used."""
    parser = Parser("scratchgan data", description=DESCRIPTION)
    parser.add_argument("what", nargs="?", metavar="WHAT", help=f"{', '.join(NAMES)}, or a folder of pictures")
    parser.add_argument("--fetch", action="store_true", help="download the files of the set that are not here")
    parser.add_argument("--data-dir", metavar="DIR", help="look for MNIST and its relatives here, as --data-dir does")
    options = parser.parse_args(list(arguments))
    what = options.what and os.path.expanduser(options.what)
    if options.fetch and what not in mnist.CLASSES:
        raise DataError(f"--fetch needs the name of a set that is downloaded: {', '.join(mnist.CLASSES)}.")
    if options.fetch and options.data_dir:
        raise DataError("--fetch downloads into the cache, and not into --data-dir: leave out one of them.")
    if what is None or what in NAMES:
        usable = [tell_set(name, options) for name in NAMES if what in (None, name)]
        return 0 if all(usable) or what is None else UNUSABLE
    if not os.path.isdir(what):
        raise unknown(what)
    return 0 if tell_folder(what) else UNUSABLE


# ---- sets by name ----------------------------------------------------------------------------------------


def tell_set(name, options):
    """Print what is here of a set; return whether all of it can be used."""
    if name == "glyphs":
        say(name, "made here, of fonts: as many as are asked for, 10,000 unless told otherwise")
        return True
    if options.fetch:
        for split in mnist.PUBLISHED:
            mnist.find_files(split, name, None)
    found = {split: mnist.find_pair(split, name, options.data_dir) for split in mnist.PUBLISHED}
    usable = [tell_split(name, split, paths) for split, paths in found.items() if paths]
    missing = [split for split, paths in found.items() if not paths]
    if missing and options.data_dir:
        say(name, mnist.not_there(mnist.file_stems(missing[0]), name, options.data_dir))
    elif missing:
        looked = ", ".join(map(str, mnist.places(name)))
        what = " and ".join(missing)
        say(name, f"{what}: not here, looked for in {looked}; `scratchgan data {name} --fetch` downloads them")
    return all(usable) and not missing


def tell_split(name, split, paths):
    """Print whether two files are those of a split of a set, and whole; return it."""
    try:
        images = mnist.read_pair(name, *paths).images
    except DataError as error:
        say(name, f"{split}: cannot be used: {error}")
        return False
    few = "" if len(images) == mnist.PUBLISHED[split] else f", of the {mnist.PUBLISHED[split]:,} that were published"
    size = " x ".join(map(str, images.shape[1:3]))
    say(name, f"{split}: {len(images):,} pictures of {size}{few}, in {paths[0].parent}")
    return True


def say(title, text):
    print(f"{title:15} {printable(text)}")


# ---- folders ---------------------------------------------------------------------------------------------


def tell_folder(folder):
    """Print which pictures and classes a folder holds, and what is wrong with them; return whether all can be used."""
    found = folders.find(folder)
    sizes, problems = [], []
    for file in folders.one_by_one(found, "looking at each"):
        try:
            with open_picture(file, error=DataError) as picture:
                check_usable(file, picture)
                sizes.append(picture.size)
                picture.load()
        except DataError as error:
            problems.append(error)
    say("pictures", f"{len(found.files):,}{measured(sizes)}, in {found.folder}")
    for label, name in enumerate(found.names or ()):
        say(f"class {label}", f"{np.count_nonzero(found.labels == label):,} in {name}")
    if not found.names:
        say("classes", "none: sub-folders would be classes")
    folders.passed_over(found)
    for error in problems[:NAMED]:
        say("cannot be used", error)
    if len(problems) > NAMED:
        say("cannot be used", f"{len(problems) - NAMED:,} more")
    return not problems


def measured(sizes):
    """Return the smallest and the largest of some sizes, as text."""
    if not sizes:
        return ""
    (width, height), (most, highest) = min(sizes, key=math.prod), max(sizes, key=math.prod)
    return f", {width} x {height} pixels" + ("" if len(set(sizes)) == 1 else f" to {most} x {highest}")
