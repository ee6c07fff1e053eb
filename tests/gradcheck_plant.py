"""Plant bugs in layers, have them checked, and count what was noticed and what was named.

    python tests/gradcheck_plant.py                               # all banks
    python tests/gradcheck_plant.py gradcheck_bank_dense --each   # one, bug by bug

A bank is a module with two lists, PLANTED and RIGHT. `check` and `check_second` are all that is used of the checker.
"""

import contextlib
import functools
import importlib
import linecache
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy
from gradcheck_switch import without_switch

from scratchgan.gradcheck import AGREE, WRONG, check, check_second


class Planted(NamedTuple):
    """A wrong backward, and what would name the mistake.

    backward(dy, *args) returns a gradient for each argument of floats. kinds: the kinds of causes that name the
    mistake. words: regular expressions, any of which names it, in a cause's or a finding's text. right: the right
    backward; without it, an argument counts as wrong where the checker says so. loss: backward takes no dy.
    """

    name: str
    forward: object
    backward: object
    args: tuple
    names: tuple
    kinds: set
    words: tuple = ()
    right: object = None
    second_order: bool = False
    loss: bool = False


class Right(NamedTuple):
    """A right backward, hard to judge, or the right version of one that is planted wrong."""

    name: str
    forward: object
    backward: object
    args: tuple
    names: tuple
    second_order: bool = False
    loss: bool = False


class Outcome(NamedTuple):
    """What the checker said of one Planted."""

    flagged: bool = False
    named: bool = False
    false_exact: bool = False  # the first cause is marked exact, and is not the true one
    beside: int = 0  # arguments whose gradient is right
    beside_disagree: tuple = ()  # the names of those of them that do not AGREE
    causes: list = []


def judge(case, backward=None, seed=0):
    """Return (report or None, the exception as text, seconds) of a check of a Planted or Right."""
    checker = check_second if case.second_order else check
    backward, start = backward or case.backward, time.perf_counter()
    try:
        report, crash = checker(case.forward, backward, case.args, names=case.names, seed=seed), ""
    except Exception as error:
        report, crash = None, f"{type(error).__name__}: {error}"
    return report, crash, time.perf_counter() - start


def gradients(case, backward, args=None):
    """Return {name: gradient} of a backward, for a dy of its own."""
    args = case.args if args is None else args
    with numpy.errstate(all="ignore"):
        y = case.forward(*args)
        y = numpy.asarray(y[0] if isinstance(y, tuple) else y)
        dy = () if case.loss else (numpy.random.default_rng(99).standard_normal(y.shape),)
        found = backward(*dy, *args)
    found = found if isinstance(found, tuple | list) else (found,)
    return dict(zip(case.names, found, strict=False))


def wrong_names(case, report):
    """Return the arguments whose gradient is really wrong."""
    ours, right = gradients(case, case.backward), gradients(case, case.right or case.backward)
    told = {name for name, verdict in report.verdict.items() if verdict == WRONG}
    return {name for name in ours if not same(ours[name], right.get(name))} or told


def same(a, b):
    """Return whether two gradients are equal up to rounding; None stands for 0."""
    a, b = (numpy.asarray(0.0 if g is None else g, float) for g in (a, b))
    fits = a.shape == b.shape or not (a.ndim and b.ndim)
    return fits and numpy.allclose(a, b, rtol=1e-6, atol=1e-9 * numpy.abs(b).max(initial=1), equal_nan=True)


def is_about(cause, names, wrong):
    """Return whether the first argument that a cause's text mentions is a wrong one, or it mentions none."""
    places = {name: re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", cause.text) for name in names}
    found = [(place.start(), name) for name, place in places.items() if place]
    return not found or min(found)[1] in wrong


def true_cause(case, cause, wrong):
    """Return whether a cause is the mistake that was planted."""
    if cause.kind == "edit":
        return is_at(cause, case)
    by_words = any(re.search(word, cause.text) for word in case.words)
    return by_words or (cause.kind in case.kinds and is_about(cause, case.names, wrong))


EDIT = re.compile(r"(?:is|are) right once line (\d+) of (\w+) (?:is without `(.*)`|has `(.*)` for `(.*)`)$")


def is_at(cause, case):
    """Return whether an edit is of a line in which the mistake was planted, or makes it right in another line."""
    lines, said = getattr(case.backward, "planted_lines", None), EDIT.search(cause.text)
    at_line = lines is None or (said[2] == case.backward.__name__ and int(said[1]) in lines)
    return at_line or case.right is None or any(mends(case, version) for version in edited(case.backward, said))


def edited(backward, said):
    """Yield the functions that an edit may mean, wherever in its line the words stand."""
    source = linecache.getlines(backward.__code__.co_filename)
    after, before = (said[4], said[5]) if said[4] else ("pass", said[3])
    text, at = "".join(source), sum(map(len, source[: int(said[1]) - 1]))
    for place in re.finditer(re.escape(before), text[at:]):
        for new in (after, f"({after})"):
            with contextlib.suppress(SyntaxError):
                made, start = {}, at + place.start()
                exec(text[:start] + new + text[start + len(before) :], backward.__globals__, made)
                yield made[backward.__name__]


def mends(case, backward):
    """Return whether a backward is right, at other arguments, where the planted one is not."""
    rng = numpy.random.default_rng(12)
    moved = [a * rng.uniform(0.8, 1.2, numpy.shape(a)) if numpy.asarray(a).dtype.kind == "f" else a for a in case.args]
    with contextlib.suppress(Exception):
        wrong, new, right = (gradients(case, f, moved) for f in (case.backward, backward, case.right))
        return any(same(new[name], right[name]) and not same(wrong[name], right[name]) for name in right)
    return False


def outcome(case, seed=0):
    """Return (Outcome, the exception as text, seconds) of a check of a Planted."""
    report, crash, seconds = judge(case, seed=seed)
    if report is None:
        return Outcome(), crash, seconds
    wrong = wrong_names(case, report)
    causes = [cause for cause in report.causes if cause.kind != "location"]
    told = any(re.search(word, finding) for word in case.words for finding in report.findings)
    named = told or any(true_cause(case, cause, wrong) for cause in causes[:2])
    false = bool(causes) and causes[0].exact and not true_cause(case, causes[0], wrong)
    right = [name for name in report.verdict if name not in wrong]
    disagree = tuple(name for name in right if report.verdict[name] != AGREE)
    flagged = report.overall == WRONG
    return Outcome(flagged, flagged and named, false, len(right), disagree, causes), crash, seconds


def is_sharp(case, factor=1.01):
    """Return whether every gradient that is not 0 becomes WRONG once it is multiplied by the factor."""
    size = lambda gradient: None if gradient is None else gradient * factor

    @functools.wraps(case.backward)
    def scaled(*args):
        found = case.backward(*args)
        return tuple(map(size, found)) if isinstance(found, tuple | list) else size(found)

    report, _, _ = judge(case, scaled)
    own = gradients(case, case.backward)
    grown = [name for name in case.names if own.get(name) is not None and numpy.any(own[name])]
    return report is not None and all(report.verdict.get(name, WRONG) == WRONG for name in grown)


def family(forward, backward, args, names, *bugs, second_order=False, loss=False):
    """Return a Planted for each bug (text, kinds, *words); backward(..., bug=text) has it, backward(...) has none."""

    def planted(text, kinds, *words):
        wrong, lines = without_switch(backward, {"bug": text}, {"bug": ""})
        wrong.planted_lines, wrong.switched = lines, functools.partial(backward, bug=text)
        fields = forward, wrong, args, tuple(names.split()), set(kinds.split()), words, backward, second_order, loss
        return Planted(text, *fields)

    return [planted(*bug) for bug in bugs]


def rights(planted, right=()):
    """Return the Rights of a bank: its own, and each planted layer's right version, once."""
    versions = {}
    for case in planted:
        if case.right is not None:
            fields = case.name, case.forward, case.right, case.args, case.names, case.second_order, case.loss
            versions.setdefault((id(case.forward), id(case.right), id(case.args[0])), Right(*fields))
    return [*right, *versions.values()]


def figures(plants, rights, show=lambda line: None):
    """Return a Counter of what the checker made of bugs and of right code; `show` gets lines on each bug."""
    counts = Counter()
    for case in plants:
        got, crash, seconds = outcome(case)
        counts.update(bugs=1, flagged=got.flagged, named=got.named, false_exact=got.false_exact)
        counts.update(crashes=bool(crash), beside=got.beside, beside_disagree=len(got.beside_disagree), seconds=seconds)
        marks = "flagged" if got.flagged else "AGREES ", "named " if got.named else "missed"
        extra = f"  [beside: {', '.join(got.beside_disagree)}]" if got.beside_disagree else ""
        show(f"{marks[0]} {marks[1]} {case.name}{extra}  {crash}")
        for cause in got.causes[:2]:
            show(f"           {'=' if cause.exact else '~'} {cause.kind}: {cause.text}")
    for case in rights:
        report, crash, seconds = judge(case)
        verdict = "crash" if report is None else report.overall
        counts.update(rights=1, rights_agree=verdict == AGREE, rights_wrong=verdict == WRONG, crashes=bool(crash))
        counts.update(sharp=(sharp := is_sharp(case)), seconds=seconds)
        if verdict != AGREE or not sharp:
            told = [] if report is None else [*report.findings, *report.verdict.items()]
            show(f"right: {verdict}{'' if sharp else ', not sharp'}: {case.name}  {crash} {told}")
    return counts


def every_bank():
    """Return the names of all banks; no rule was written from the sealed ones."""
    paths = sorted(Path(__file__).parent.glob("gradcheck_*.py"))
    banks = [path.stem for path in paths if path.stem.startswith(("gradcheck_bank_", "gradcheck_sealed_"))]
    return ["gradcheck_held_out", *banks]


def run(name, show=lambda line: None, every=1):
    """Return the figures of a bank, or of every eighth, say, of its bugs and of its right backwards."""
    bank = importlib.import_module(name)
    return figures(bank.PLANTED[::every], rights(bank.PLANTED, bank.RIGHT)[::every], show)


COLUMNS = ("bugs", "flagged", "named", "false_exact", "beside", "beside_disagree", "rights", "rights_agree",
           "rights_wrong", "sharp", "crashes", "seconds")  # fmt: skip


def main(arguments):
    """Print the figures of banks, and of all, as a table; with --each also what is said of each bug."""
    names = [name for name in arguments if name != "--each"] or every_bank()
    counts = {name: run(name, print if "--each" in arguments else lambda line: None) for name in names}
    print(f"| bank | {' | '.join(column.replace('_', ' ') for column in COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for name, own in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"| {name.removeprefix('gradcheck_')} | {' | '.join(f'{own[column]:.0f}' for column in COLUMNS)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
