"""Does a D help a translator that has learned by likelihood? As many steps with it and without, from one checkpoint.

    python benchmarks/seq2seq.py                                             # numbers, 200 and 2,000 pairs, three seeds
    python benchmarks/seq2seq.py --task summary --pairs 2000 --pretraining 400
    python benchmarks/seq2seq.py --pairs 200 --pretraining 600 --seeds 0      # when G knows its pairs by heart
    python benchmarks/seq2seq.py --pairs 20000 --pretraining 600 --rounds 0  # likelihood alone

A run of --pretraining steps is copied. One copy goes on with likelihood, one with rounds of
examples/sequences/seq2seq.py, one with rounds in which G answers sources without targets. All are measured on the 2,000
test pairs of the seed, beside the example's baselines. The last row says what D is shown after the first phase: answers
drawn for training pairs, as far as they are right. What is there already, in --folder, is not trained again.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from scratchgan import training, xp
from scratchgan.data import phrases
from scratchgan.examples.sequences import seq2seq
from scratchgan.layers import functions
from scratchgan.support.files import write_json

ARMS = {
    "likelihood": {"adversary": False},
    "with D": {"adversary": True},
    "D, unpaired": {"adversary": True, "unpaired": True},
}


def main(argv=None):
    """Print a table for each number of pairs: the mean over the seeds, and each seed's exact matches; write JSON."""
    options = parse(argv)
    found = {}
    for pairs in options.pairs:
        tables = [compare(pairs, seed, options) for seed in options.seeds]
        found[pairs] = dict(zip(map(str, options.seeds), tables, strict=True))
        print(
            f"\n{options.task}, {pairs:,} pairs, seeds {' '.join(map(str, options.seeds))}\n{text(tables)}", flush=True
        )
    if options.out:
        write_json(options.out, found)


def parse(argv):
    parser = argparse.ArgumentParser("seq2seq.py", description=__doc__.split("\n")[0])
    parser.add_argument("--task", choices=tuple(phrases.TASKS), default="translation", help="what is answered")
    parser.add_argument("--pairs", type=int, nargs="+", default=[200, 2000], help="training pairs, one by one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of all random numbers")
    parser.add_argument("--pretraining", type=int, default=200, help="steps before the copies")
    parser.add_argument("--rounds", type=int, default=200, help="steps after it; 0: none")
    parser.add_argument("--n", type=int, default=phrases.TESTED, help="test pairs")
    parser.add_argument("--folder", type=Path, default=Path("runs", "seq2seq-benchmark"), help="where the runs are")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--out", default="", help="file for the numbers, as JSON")
    return parser.parse_args(argv)


def compare(pairs, seed, options):
    """Return {who: measures} of one seed: after the first phase, after each of the arms, and of the baselines."""
    first = options.folder / f"{options.task}-{pairs}-{seed}-{options.pretraining}"
    given = {"task": options.task, "pairs": pairs, "seed": seed, "threads": options.threads}
    given["pretraining"] = options.pretraining
    model = trained(first, options.pretraining, given)
    found = {f"after {options.pretraining:,} steps": model.measured(options.n)}
    shown = drawn(model, options.n)
    apart = () if pairs < phrases.TRAINED else ("D, unpaired",)  # which needs other pairs
    for arm in [arm for arm in ARMS if options.rounds and arm not in apart]:
        path = first.with_name(f"{first.name}-{options.rounds}-{arm.replace(',', '').replace(' ', '-')}")
        if not path.exists():
            shutil.copytree(first, path)
        arm_model = trained(path, options.pretraining + options.rounds, given | ARMS[arm])
        found[f"{options.rounds:,} more, {arm}"] = arm_model.measured(options.n)
    return found | model.baselines(options.n) | {"drawn for training pairs": shown}


def drawn(model, n):
    """Return the measures of answers that are drawn for the first n training pairs."""
    pairs, rng = model.pairs()[0][:n], np.random.default_rng(model.settings.seed)
    rows = xp.to_device(phrases.rows(model.task, pairs))
    answers = model.answer(rows, lambda logits: functions.sample_categorical(logits, rng))
    found = [answer for _, answer in phrases.pairs_of(model.task, xp.to_host(answers))]
    return phrases.measures(model.task, found, [truth for _, truth in pairs])


def trained(path, steps, given):
    """Return the model of a run that has taken so many steps, once it has."""
    settings = seq2seq.Settings(steps=steps, out=str(path), **given)
    resume = path if (path / "checkpoint.npz").exists() else None
    return training.train(seq2seq.Seq2Seq, settings, resume=resume)


def text(tables):
    """Return the tables of several seeds as lines: the mean of each measure, and the exact matches of each seed."""
    measures = list(next(iter(tables[0].values())))
    lines = [f"{'%':32}" + "".join(f"{name:>15}" for name in measures) + "   exact match of each seed"]
    for who in tables[0]:
        means = [np.mean([100 * table[who][name] for table in tables]) for name in measures]
        each = "".join(f"{100 * table[who]['exact match']:8.2f}" for table in tables)
        lines.append(f"{who:32}" + "".join(f"{mean:15.2f}" for mean in means) + f"   {each}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
