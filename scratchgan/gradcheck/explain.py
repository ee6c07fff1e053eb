"""A Report or a Sweep as lines of text for people: at most 15 for a check."""

import numpy

from scratchgan.gradcheck.plain import AGREE, UNRESOLVED, WRONG

LINES, WIDTH = 15, 118
ROWS, COLUMNS = 4, 64  # of the map
CASES = 3  # of a sweep, that are explained in full


def explain(report):
    """Return the lines that say what a check found."""
    seed = "" if report.seed is None else f"   (dy random, seed {report.seed})"
    lines = [f"{report.title}: {report.overall}{seed}"]
    order = sorted(report.comparisons.values(), key=lambda c: [WRONG, UNRESOLVED, AGREE].index(c.verdict))
    width = max((len(c.name) for c in order), default=0)
    shown = order if len(order) <= 4 else order[:3]
    lines += [f"  {c.name:{width}}  {c.verdict:10} {outcome(c)}" for c in shown]
    if len(order) > len(shown):
        lines.append(f"  and {len(order) - len(shown)} more arguments, {count(order[len(shown) :])}")
    worst = report.worst
    if WRONG in report.verdict.values() and worst is not None:
        error = f"+- {worst.error:.1g}"
        lines.append(f"  worst: {place(worst)} is {worst.yours:.8g}, numerically {worst.numeric:.8g} {error}")
    lines += [f"  cause: {cause.text}" for cause in report.causes[:2]]
    lines += limited([f"  finding: {text}" for text in report.findings], 3)
    lines += skips(report)
    room = LINES - len(lines)
    wrong = [c for c in order if c.verdict == WRONG and c.checked.size > 1 and c.wrong().sum() < c.checked.size]
    if wrong and room >= 2:
        lines += character_map(wrong[0], min(ROWS, room - 1))
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines[:LINES]]


def explain_sweep(sweep):
    """Return the lines that say what was found over many cases: a table, and the first wrong cases in full."""
    lines = [f"{sweep.overall}: {sweep.of}, {len(sweep.about)} cases"]
    for name, keys in sweep.wrong().items():
        verdict = f"{WRONG} in {len(keys)} of {len(sweep.reports)}: {listed(keys)}" if keys else AGREE
        lines.append(f"  {name:15} {verdict}")
    lines += [f"  {note}" for note in sweep.notes]
    if sweep.missing:
        lines.append(f"  missing: {listed(sweep.missing)}")
    explained = [report for report in sweep.reports.values() if report.causes or report.findings]
    return lines + [text for report in explained[:CASES] for text in ("", str(report))]


def listed(items, most=5):
    """Return items as text, the first of them if there are many."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def outcome(c):
    """Return in words how many entries of a Comparison agree, and how sharply."""
    total, wrong = c.checked.size, int(c.wrong().sum())
    kinks = 0 if c.skipped is None else int(numpy.sum(c.skipped & ~c.checked))
    unresolved = total - int(c.checked.sum()) - kinks
    if wrong:
        words = f"{wrong} of {total} entries differ"
    else:
        words = f"{int(c.checked.sum())} of {total} entries agree"
        if c.tolerance is not None and c.checked.any() and numpy.abs(c.numeric[c.checked]).max() > 0:
            sharpness = c.tolerance[c.checked].max() / numpy.abs(c.numeric[c.checked]).max()
            words += f", to {sharpness:.0e} of the largest"
    words += f"; {kinks} at a kink" if kinks else ""
    return words + (f"; {unresolved} unresolved" if unresolved else "")


def count(comparisons):
    """Return how often each verdict was given."""
    verdicts = [c.verdict for c in comparisons]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in (WRONG, UNRESOLVED, AGREE) if v in verdicts)


def place(entry):
    """Return the entry of an argument as Python writes it."""
    return f"{entry.argument}[{', '.join(map(str, entry.index))}]" if entry.index else entry.argument


def limited(lines, most):
    """Return at most so many lines; the last one then says how many are left."""
    return lines if len(lines) <= most else [*lines[: most - 1], f"  and {len(lines) - most + 1} more findings"]


def skips(report):
    """Return a line about kinks, if any."""
    if not report.skipped:
        return []
    first = report.skipped[0]
    slopes = f"slopes {first.left:.4g} and {first.right:.4g}"
    return [f"  skipped: {len(report.skipped)} entries at a kink, such as {place(first)}, {slopes}"]


def character_map(c, rows):
    """Return a small map of where a Comparison's wrong entries are: a character stands for one entry or several."""
    marks = numpy.where(c.checked, 1, 2)  # 1 agrees, 2 was not judged, 3 is wrong: the worst of several is shown
    marks = numpy.where(c.wrong(), 3, marks)
    marks = marks.reshape(-1, marks.shape[-1] if marks.ndim > 1 else marks.size)
    height, width = marks.shape
    down, across = -(-height // rows), -(-width // COLUMNS)
    starts = range(0, height, down), range(0, width, across)
    cells = [[marks[i : i + down, j : j + across].max() for j in starts[1]] for i in starts[0]]
    scale = "" if down * across == 1 else f", {down} x {across} entries each"
    head = f"  {c.name} {c.checked.shape} as {height} x {width}: # wrong, . right, - not judged{scale}"
    return [head, *["    " + "".join(" .-#"[cell] for cell in row) for row in cells]]
