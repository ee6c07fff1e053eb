"""Plant known bugs one by one, and print what the checker says of each; then what it says of correct backwards.

    python tests/gradcheck_table.py

Each line names the operation, the gradients that are wrong, and the bug; then where its true cause stands among those
that are found: by the rules alone, and by rules and mutants together. docs/gradcheck.md holds what is printed.
"""

import gradcheck_bugs_layers as layers
import gradcheck_bugs_pointwise as pointwise
import gradcheck_bugs_second as second
import numpy


def bugs():
    """Return every planted bug, on the operations' own shapes."""
    found = [
        *layers.dense(),
        *layers.conv(),
        *layers.conv_transpose(),
        *layers.norm(),
        *layers.norm("batch norm of pictures", (0, 1, 2), shape=(3, 4, 2, 3))[:3],
        *layers.norm("layer norm", (1,), shape=(5, 6))[:3],
        *layers.norm("layer norm", (1,), shape=(5, 6))[-2:],
        *layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2))[:3],
        *layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2))[-3:],
    ]
    for name in pointwise.ACTIVATIONS:
        found += pointwise.activation(name)
    for family in (
        pointwise.softmax_layer,
        pointwise.cross_entropy,
        pointwise.binary_cross_entropy,
        pointwise.hinge,
        pointwise.squared_error,
        pointwise.embedding,
        pointwise.dropout,
        pointwise.pooling,
    ):
        found += family()
    found += pointwise.pooling("mean")
    for family in (
        second.spectral,
        second.weight_norm,
        second.residual,
        second.two_layers,
        second.double_tanh,
        second.double_dense,
        second.double_two_layers,
        second.penalty,
    ):
        found += family()
    return found + second.two_layers("ReLU")


# ---- the command -----------------------------------------------------------------------------------------


def plant(bug, seed=0):
    """Return (verdict, causes by the rules alone, causes by rules and mutants) of a check of a bug."""
    from scratchgan.gradcheck import WRONG, Context, check, check_second
    from scratchgan.gradcheck.causes.search import diagnose

    operation, upstream = bug.operation, []
    args = operation.make(numpy.random.default_rng([seed, 1]))
    names = operation.names[: len(args)]

    def backward(dy, *args):
        upstream.append(numpy.array(dy))
        return bug.backward(dy, *args)

    report = (check_second if operation.second_order else check)(
        operation.forward, backward, args, names=names, seed=seed
    )
    if WRONG not in report.verdict.values():
        return report.overall, [], []
    y = numpy.asarray(operation.forward(*args))
    functions = operation.forward, bug.backward, report.comparisons, None, operation.second_order
    return WRONG, diagnose(Context(args, names, upstream[0], y, *functions), bank=False), report.causes


def place(kind, causes):
    """Return where a kind stands among causes, from 1; "-" if it does not."""
    kinds = [cause.kind for cause in causes]
    return kinds.index(kind) + 1 if kind in kinds else "-"


def table():
    """Return the table of all bugs as lines of Markdown, and the counts (bugs, wrong, by rules, by both)."""
    lines = ["| operation | gradient | planted bug: it ... | cause | verdict | rules alone | rules and mutants |"]
    lines += ["|---|---|---|---|---|---|---|"]
    wrong = by_rules = together = 0
    every = bugs()
    for bug in every:
        verdict, alone, both = plant(bug)
        places = place(bug.kind, alone), place(bug.kind, both)
        wrong += verdict == "WRONG"
        by_rules, together = by_rules + (places[0] in (1, 2)), together + (places[1] in (1, 2))
        row = [bug.operation.name, ", ".join(bug.wrong), bug.text, bug.kind, verdict, *map(str, places)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
    return lines, (len(every), wrong, by_rules, together)


def tally():
    """Return {name: verdict} of the control group."""
    from gradcheck_controls import controls

    from scratchgan.gradcheck import check

    return {name: check(f, b, args, names=names).overall for name, f, b, args, names in controls()}


def summary(counts, verdicts):
    """Return the lines below the table."""
    count, wrong, by_rules, both = counts
    lines = [
        f"{count} planted bugs, {wrong} called WRONG. True cause among the first two:",
        f"{by_rules} ({by_rules / count:.0%}) by the rules alone, {both} ({both / count:.0%}) by rules and mutants.",
    ]
    each = ", ".join(f"{list(verdicts.values()).count(v)} {v}" for v in ("AGREE", "UNRESOLVED", "WRONG"))
    lines.append(f"Control group: {len(verdicts)} correct backwards, {each}.")
    return lines + [f"- {verdict}: {name}" for name, verdict in verdicts.items() if verdict != "AGREE"]


def main():
    lines, counts = table()
    print("\n".join([*lines, "", *summary(counts, tally())]))


if __name__ == "__main__":
    main()
