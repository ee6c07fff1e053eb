"""Answering: a model that makes a phrase of a phrase, measured on pairs that it has not seen."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgan import plots, xp
from scratchgan.data import phrases
from scratchgan.support.arguments import Parser
from scratchgan.training.command import load
from scratchgan.training.sequences import Sequences
from scratchgan.training.settings import add_options, option

REPORTED = 500  # held-out pairs that a report looks at
SHOWN = 6  # maps in a picture
PIECE = 250  # sources that are answered at once


class Answering(Sequences):
    """A model whose z is a source with its truth, as a row of integers, and whose samples are rows with its answers.

    Write `step`, `answer(rows, choose)` and `map(rows)`. settings.task names a `phrases.Task`.
    """

    exports = (".txt",)

    # ---- to be written for each model ----

    def answer(self, rows, choose):
        """Return rows (N, L) with choose(logits) at each place that a source leaves; of a truth, nothing is seen."""
        raise NotImplementedError(f"{type(self).__name__} has no answer")

    def map(self, rows):
        """Return how much each place of rows (N, L) looks at each other one: (N, L, L)."""
        raise NotImplementedError(f"{type(self).__name__} has no map")

    # ---- what follows from these ----

    @property
    def task(self):
        return phrases.TASKS[self.settings.task]

    @staticmethod
    def load_data(settings):
        task = phrases.TASKS[settings.task]
        return phrases.rows(task, phrases.split(task, settings.pairs, settings.seed)[0])

    def pairs(self):
        """Return the training pairs and the test pairs."""
        return phrases.split(self.task, self.settings.pairs, self.settings.seed)

    def unpaired(self, n):
        """Return n rows whose sources are in no training and no test pair, without their targets: int64 (n, L)."""
        others = phrases.others(self.task, self.settings.pairs, self.settings.seed)
        chosen = self.rng.integers(0, len(others), n)
        return xp.to_device(phrases.rows(self.task, [(others[i][0], ()) for i in chosen]))

    def latent(self, n, rng):
        """Return n held-out pairs that rng chooses: int64 (n, L)."""
        _, held_out = self.pairs()
        chosen = rng.choice(len(held_out), n, replace=n > len(held_out))
        return phrases.rows(self.task, [held_out[i] for i in chosen])

    def generate(self, z):
        """Return z with the likeliest answers, word by word, in the place of the truths: (N, L)."""
        pieces = [z[i : i + PIECE] for i in range(0, len(z), PIECE)]
        return xp.concatenate([self.answer(rows, lambda logits: logits.argmax(-1)) for rows in pieces])

    def answered(self, pairs):
        """Return the answers to the sources of pairs, each a tuple of words."""
        rows = self.generate(xp.to_device(phrases.rows(self.task, pairs)))
        return [answer for _, answer in phrases.pairs_of(self.task, xp.to_host(rows))]

    def export(self, z, suffix):
        """Return a table as text: source, answer and truth, and a sign where the last two differ."""
        truths = phrases.pairs_of(self.task, xp.to_host(z))
        found = phrases.pairs_of(self.task, xp.to_host(self.generate(z)))
        lines = [("source", "answer", "truth", "")]
        for (source, truth), (_, answer) in zip(truths, found, strict=True):
            lines.append((*(" ".join(words) for words in (source, answer, truth)), "x" * (answer != truth)))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["   ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return ("\n".join(table) + "\n").encode()

    def picture(self, z):
        """Return the first maps of attention: how much each word of an answer looks at each one of its source."""
        rows = self.generate(z[:SHOWN])
        maps = xp.to_host(self.map(rows))
        found = phrases.pairs_of(self.task, xp.to_host(rows))
        return plots.grid(np.stack([drawn(self.task, p, *pair) for p, pair in zip(maps, found, strict=True)]))

    def layout(self, n):
        return 2, 3

    def report(self):
        return {"exact match": self.measured(REPORTED)["exact match"]}

    def measured(self, n):
        """Return `phrases.measures` of the likeliest answers to the first n test sources."""
        _, test = self.pairs()
        return phrases.measures(self.task, self.answered(test[:n]), [truth for _, truth in test[:n]])

    def baselines(self, n):
        """Return the same of the truths, of the nearest training pair's answer, and of a simple rule."""
        known, test = self.pairs()
        sources, truths = zip(*test[:n], strict=True)
        answers = {
            "floor": truths,
            "nearest": phrases.nearest(self.task, known, sources),
            self.task.rule_name: [self.task.rule(source) for source in sources],
        }
        return {who: phrases.measures(self.task, found, truths) for who, found in answers.items()}


# ---- a map of attention ----------------------------------------------------------------------------------


def drawn(task, p, source, answer):
    """Return a map p (L, L) of one pair as a picture: a row for each word that is said, EOS included.

    Above stand the words of the row that it can look at; white is 1. All pictures of a Task have one size.
    """
    longest, most = task.width, max(map(len, task.words))
    seen = (*source, phrases.SPECIAL[phrases.SEP], *answer)
    said = (*answer, phrases.SPECIAL[phrases.EOS])[: task.longest[1] + 1]
    rows = [word.rjust(most) for word in said] + [" " * most] * (task.longest[1] + 1 - len(said))
    left = plots.text(rows)[..., 0]  # (12 I + 8, w): 4 pixels at each side
    above = np.rot90(plots.text([word.ljust(most) for word in seen] + [" " * most] * (longest - len(seen)))[..., 0])
    cell = (len(left) - 8) // len(rows)
    inside = np.zeros((len(rows), longest))
    inside[: len(said), : len(seen)] = p[len(source) : len(source) + len(said), : len(seen)]
    squares = np.kron(np.rint(255 * inside), np.ones((cell, cell))).astype(np.uint8)
    picture = np.zeros((len(above) + len(left), left.shape[1] + above.shape[1]), np.uint8)
    picture[: len(above), left.shape[1] :] = above
    picture[len(above) :, : left.shape[1]] = left
    picture[len(above) + 4 : -4, left.shape[1] + 4 : -4] = squares
    return picture[..., None]


# ---- the command `translate` -----------------------------------------------------------------------------


@dataclass
class TranslateOptions:
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))


def translate(Model, Settings, program, argv):
    """Print the answer to a phrase, such as "four hundred seventy-one"."""
    parser = Parser(f"{program} translate", "%(prog)s RUN PHRASE [options]", translate.__doc__)
    parser.add_argument("run", metavar="RUN", type=os.path.expanduser, help="run directory, such as runs/seq2seq")
    parser.add_argument("phrase", metavar="PHRASE", help="what to answer, in quotes")
    add_options(parser, TranslateOptions)
    given = vars(parser.parse_args(argv))
    run, phrase = Path(given.pop("run")), given.pop("phrase")
    model = load(Model, Settings, run, TranslateOptions(**given))
    (answer,) = model.answered([(phrases.words_of(model.task, phrase), ())])
    print(" ".join(answer))
