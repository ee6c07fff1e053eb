"""A Report or a Sweep as lines of text for people: at most 15 for a check."""

import numpy

from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG

LINES, WIDTH = 15, 118
ROWS, COLUMNS = 4, 64  # of the map
CASES = 3  # of a sweep, that are explained in full


def explain(outcome):
    """Return the lines that say what a check, or a sweep over many cases, found."""
    lines = explain_sweep(outcome) if hasattr(outcome, "reports") else explain_check(outcome)
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines]


def explain_check(report):
    """Return at most 15 lines."""
    seed = "" if report.seed is None else f"   (dy random, seed {report.seed})"
    lines = [f"{report.title}: {headline(report)}{seed}", *limited([f"  note: {note}" for note in report.notes], 4)]
    order = sorted(report.comparisons.values(), key=lambda c: [WRONG, UNRESOLVED, AGREE].index(c.verdict))
    width = max((len(c.name) for c in order), default=0)
    shown = order if len(order) <= 4 else order[:3]
    lines += [f"  {c.name:{width}}  {c.verdict:10} {agreement(c)}" for c in shown]
    if len(order) > len(shown):
        verdicts = [c.verdict for c in order[len(shown) :]]
        counts = [f"{verdicts.count(v)} {v}" for v in (WRONG, UNRESOLVED, AGREE) if v in verdicts]
        lines.append(f"  and {len(verdicts)} more arguments, {', '.join(counts)}")
    worst = report.worst
    if WRONG in report.verdict.values() and worst is not None:
        numeric = f"{worst.numeric:.8g} +- {worst.error:.1g}"
        lines.append(f"  worst: {place(worst)} is {worst.yours:.8g}, numerically {numeric}")
    lines += [f"  cause: {cause.text}" for cause in report.causes[:2]]
    lines += limited([f"  finding: {text}" for text in report.findings], 3)
    if report.skipped:
        first = report.skipped[0]
        said = f"{len(report.skipped)} entries at a kink, such as {place(first)}"
        lines.append(f"  skipped: {said}, slopes {first.left:.4g} and {first.right:.4g}")
    room = LINES - len(lines)
    wrong = [c for c in order if c.verdict == WRONG and c.checked.size > 1 and c.wrong().sum() < c.checked.size]
    if wrong and room >= 2:
        lines += character_map(wrong[0], min(ROWS, room - 1))
    return lines[:LINES]


def headline(report):
    """Return the overall verdict, and what it does not speak of: AGREE never stands for what was not judged."""
    agree = [name for name, verdict in report.verdict.items() if verdict == AGREE]
    of = f" for {listed(agree)}" if report.overall == AGREE and report.unchecked else ""
    some = sum(c.unresolved().sum() for c in report.comparisons.values()) if report.overall == AGREE else 0
    some = f", {some} entries unresolved" if some else ""
    return f"{report.overall}{of}{some}" + (f"; not checked: {listed(report.unchecked)}" if report.unchecked else "")


def explain_sweep(sweep):
    """Return a table, and the first wrong cases in full."""
    lines = [f"{sweep.overall}: {sweep.of}, {len(sweep.about)} cases"]
    for name, keys in sweep.wrong().items():
        verdict = f"{WRONG} in {len(keys)} of {len(sweep.reports)}: {listed(keys)}" if keys else AGREE
        lines.append(f"  {name:15} {verdict}")
    lines += [f"  {note}" for note in sweep.notes]
    if sweep.missing:
        lines.append(f"  missing: {listed(sweep.missing)}")
    explained = [report for report in sweep.reports.values() if report.causes or report.findings]
    return lines + [text for report in explained[:CASES] for text in ("", *explain(report))]


def listed(items, most=5):
    """Return items as text, the first of them if there are many."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def agreement(c):
    """Return in words how many entries of a Comparison agree, and how sharply."""
    total, wrong, right, blank = c.checked.size, c.wrong().sum(), c.checked.sum(), c.unresolved().sum()
    words, kinks = f"{wrong} of {total} entries differ", total - right - blank
    if not wrong:
        words, largest = f"{right} of {total} entries agree", numpy.abs(c.numeric[c.checked]).max(initial=0)
        if c.tolerance is not None and largest > 0:
            words += f", to {c.tolerance[c.checked].max() / largest:.0e} of the largest"
    return words + (f"; {kinks} at a kink" if kinks else "") + (f"; {blank} unresolved" if blank else "")


def place(entry):
    """Return the entry of an argument as Python writes it."""
    return f"{entry.argument}[{', '.join(map(str, entry.index))}]" if entry.index else entry.argument


def limited(lines, most):
    """Return at most so many lines; the last one then says how many are left."""
    return lines if len(lines) <= most else [*lines[: most - 1], f"  and {len(lines) - most + 1} more"]


def character_map(c, rows):
    """Return a small map of where a Comparison's wrong entries are: a character stands for one entry or several."""
    marks = numpy.where(c.wrong(), 3, 2 - c.checked)  # 1 agrees, 2 was not judged: the worst of several is shown
    marks = marks.reshape(-1, marks.shape[-1] if marks.ndim > 1 else marks.size)
    height, width = marks.shape
    down, across = -(-height // rows), -(-width // COLUMNS)
    starts = range(0, height, down), range(0, width, across)
    cells = [[marks[i : i + down, j : j + across].max() for j in starts[1]] for i in starts[0]]
    scale = "" if down * across == 1 else f", {down} x {across} entries each"
    head = f"  {c.name} {c.checked.shape} as {height} x {width}: # wrong, . right, - not judged{scale}"
    return [head, *["    " + "".join(" .-#"[cell] for cell in row) for row in cells]]
