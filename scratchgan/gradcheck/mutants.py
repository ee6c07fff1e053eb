"""The bank of known bugs, and a command that plants them one by one and prints what the checker says of each.

    python -m scratchgan.gradcheck.mutants

Each line names the operation, the gradients that are wrong, and the bug; then where its true cause stands among those
that are found: by the rules alone (the bank of which it is a part not being asked), and with the bank.
"""

import numpy

from scratchgan.gradcheck import mutants_layers as layers
from scratchgan.gradcheck import mutants_pointwise as pointwise
from scratchgan.gradcheck import mutants_second as second

EPSILONS = (1e-5, 1e-8, 1e-3, 1e-12, 1e-6, 1e-2)


def once(*choices):
    """Return a function of (args, y) that gives these options whatever the shapes."""
    return lambda args, y: choices


def strides(args, y):
    """Yield strides and paddings that are common."""
    return [{"s": s, "p": p} for s in (1, 2, 3) for p in (0, 1, 2, 3)] if args[0].ndim == 4 else []


def norms(args, y):
    """Yield the normalisations that x can have been through."""
    shape, rank = args[0].shape, args[0].ndim
    axes = {"batch norm": tuple(range(rank - 1)), "layer norm": (rank - 1,), "instance norm": tuple(range(1, rank - 1))}
    if rank == 4:
        axes["layer norm over space and channels"] = (1, 2, 3)
    return [{"name": n, "axes": a, "eps": e, "shape": shape} for n, a in axes.items() if a for e in EPSILONS]


FAMILIES = [  # (family of bugs, the options under which it may be what a user's forward computes)
    (layers.dense, once({})),
    (layers.conv, strides),
    (layers.conv_transpose, strides),
    (layers.norm, norms),
    *[(pointwise.activation, once({"name": name})) for name in pointwise.ACTIVATIONS],
    (pointwise.softmax_layer, once({})),
    (pointwise.cross_entropy, once({})),
    (pointwise.binary_cross_entropy, once({})),
    (pointwise.hinge, once({})),
    (pointwise.squared_error, once({})),
    (pointwise.embedding, once({})),
    (pointwise.dropout, once(*[{"keep": keep} for keep in (0.5, 0.75, 0.8, 0.9)])),
    (pointwise.pooling, once({"kind": "max"}, {"kind": "mean"})),
    (second.spectral, once({})),
    (second.weight_norm, once({})),
    (second.residual, once({})),
    (second.two_layers, once({"name": "tanh"}, {"name": "ReLU"})),
    (second.double_tanh, once({})),
    (second.double_dense, once({})),
    (second.double_two_layers, once({})),
    (second.penalty, once({})),
]


def bugs():
    """Return every bug of the bank, each once, on the operations' own shapes."""
    found = [
        *layers.dense(), *layers.conv(), *layers.conv_transpose(),
        *layers.norm(), *layers.norm("batch norm of pictures", (0, 1, 2), shape=(3, 4, 2, 3))[:3],
        *layers.norm("layer norm", (1,), shape=(5, 6))[:3], *layers.norm("layer norm", (1,), shape=(5, 6))[-2:],
        *layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2))[:3],
        *layers.norm("instance norm", (1, 2), shape=(3, 4, 3, 2))[-3:],
    ]  # fmt: skip
    for name in pointwise.ACTIVATIONS:
        found += pointwise.activation(name)
    for family in (pointwise.softmax_layer, pointwise.cross_entropy, pointwise.binary_cross_entropy, pointwise.hinge,
                   pointwise.squared_error, pointwise.embedding, pointwise.dropout, pointwise.pooling):  # fmt: skip
        found += family()
    found += pointwise.pooling("mean")
    for family in (second.spectral, second.weight_norm, second.residual, second.two_layers, second.double_tanh,
                   second.double_dense, second.double_two_layers, second.penalty):  # fmt: skip
        found += family()
    return found + second.two_layers("ReLU")


# ---- the command -----------------------------------------------------------------------------------------


def plant(bug, seed=0):
    """Return (verdict, causes by the rules alone, causes with the bank) of a check of a bug."""
    from scratchgan.gradcheck import WRONG, Context, check, check_second
    from scratchgan.gradcheck.causes import diagnose

    operation, upstream = bug.operation, []
    args = operation.make(numpy.random.default_rng([seed, 1]))
    names = operation.names[: len(args)]

    def backward(dy, *args):
        upstream.append(numpy.array(dy))
        return bug.backward(dy, *args)

    report = (check_second if operation.second_order else check)(operation.forward, backward, args, names=names, seed=seed)
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
    """Return the table of all bugs as lines of Markdown, and the counts (bugs, wrong, by rules, with the bank)."""
    lines = ["| operation | gradient | planted bug: it ... | cause | verdict | rules alone | with the bank |"]
    lines += ["|---|---|---|---|---|---|---|"]
    wrong = by_rules = with_bank = 0
    every = bugs()
    for bug in every:
        verdict, alone, both = plant(bug)
        places = place(bug.kind, alone), place(bug.kind, both)
        wrong += verdict == "WRONG"
        by_rules, with_bank = by_rules + (places[0] in (1, 2)), with_bank + (places[1] in (1, 2))
        row = [bug.operation.name, ", ".join(bug.wrong), bug.text, bug.kind, verdict, *map(str, places)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
    return lines, (len(every), wrong, by_rules, with_bank)


def main():
    """Print the table of bugs, its counts, and what the control group gives."""
    from scratchgan.gradcheck import check
    from scratchgan.gradcheck.controls import controls

    lines, (count, wrong, by_rules, with_bank) = table()
    print("\n".join(lines))
    print(f"\n{count} planted bugs, {wrong} called WRONG; true cause among the first two: ", end="")
    print(f"{by_rules} ({by_rules / count:.0%}) by the rules alone, {with_bank} ({with_bank / count:.0%}) with the bank.")
    verdicts = {name: check(f, b, args, names=names) for name, f, b, args, names in controls()}
    tally = {v: sum(report.overall == v for report in verdicts.values()) for v in ("AGREE", "UNRESOLVED", "WRONG")}
    print(f"Control group: {len(verdicts)} correct backwards, {', '.join(f'{n} {v}' for v, n in tally.items())}.")
    for name, report in verdicts.items():
        if report.overall != "AGREE":
            print(f"- {report.overall}: {name}")


if __name__ == "__main__":
    main()
