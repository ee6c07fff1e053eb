"""A hidden Markov model of cells, by Baum-Welch: no gradient at all (Rabiner 1989).

    q(x) = sum over states s of pi(s_1) B(s_1, x_1) A(s_1, s_2) B(s_2, x_2) ...

A cell is two words x_1, x_2, its column and its row. An iteration asks how often, given the data,
each state would have been where (E), and takes these shares for the next probabilities (M). By it
log q of the data never falls, and there is no learning rate. alpha and beta are divided by their
sums at each word: a product of five hundred probabilities would be 0.

    python examples/relatives/hmm.py                                # a few seconds
    python examples/relatives/hmm.py --words bits --states 96       # twelve words of two letters
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgan import plots
from scratchgan.data import cells
from scratchgan.metrics import cells as metrics
from scratchgan.support.arguments import Parser
from scratchgan.training import command, option
from scratchgan.training.settings import add_options


@dataclass
class Settings:
    states: int = option(8, "hidden states", minimum=1)
    words: str = option("two", "what a cell is: two words, or twelve bits", choices=("two", "bits"))
    iterations: int = option(300, "of Baum-Welch, from each start", minimum=1)
    sharp: int = option(8, "how states differ at first; EM parts none that are alike", minimum=1)
    starts: int = option(3, "random beginnings; the likeliest end is kept", minimum=1)
    seed: int = option(0, "the data and the beginnings follow from it", minimum=0)
    out: str = option("runs/hmm.png", "picture to write: the true p, and q beside it")


class HMM:
    """pi (S,), A (S, S), B (S, V): how probable a first state is, a next one, and a letter."""

    def __init__(self, states, letters, rng, sharp=8):
        draw = lambda *shape: normalized(rng.random(shape) ** sharp)
        self.pi, self.A, self.B = draw(states), draw(states, states), draw(states, letters)

    def forward(self, x):
        """Return alpha (T, N, S), its scale (T, N), and B(s, x_t) (T, N, S), of strings x (N, T).

        alpha_t(s) = q(s_t = s | x_1 .. x_t); scale_t = q(x_t | x_1 .. x_t-1), whose product is
        q(x) (Rabiner 1989, eq. 19, 20 and 91 to 92).
        """
        said = self.B.T[x.T]  # (T, N, S)
        alpha, scale = np.empty_like(said), np.empty(said.shape[:2])
        for t in range(len(said)):
            joint = (alpha[t - 1] @ self.A if t else self.pi) * said[t]
            scale[t] = joint.sum(axis=1)
            alpha[t] = joint / np.where(scale[t] > 0, scale[t], 1)[:, None]
        return alpha, scale, said

    def improve(self, x, counts):
        """Take an iteration of Baum-Welch on strings x (N, T); return E log q(x) before it.

        counts (N,): how often each occurs. gamma_t(s) = q(s_t = s | x) (eq. 27) is alpha beta, and
        q(s_t-1 = r, s_t = s | x) (eq. 37) has A as a factor.
        """
        alpha, scale, said = self.forward(x)
        A, B, beta = np.zeros_like(self.A), np.zeros_like(self.B.T), np.ones_like(alpha[0])
        for t in reversed(range(len(said))):
            gamma = counts[:, None] * alpha[t] * beta  # (N, S)
            np.add.at(B, x[:, t], gamma)
            if t > 0:
                onwards = said[t] * beta / scale[t, :, None]
                A += self.A * ((counts[:, None] * alpha[t - 1]).T @ onwards)
                beta = onwards @ self.A.T  # (eq. 25)
        self.pi, self.A, self.B = normalized(gamma.sum(axis=0)), normalized(A), normalized(B.T)
        return counts @ np.log(scale).sum(axis=0) / counts.sum()

    def probability(self, x):
        """Return q(x) of each string, (N,)."""
        return self.forward(x)[1].prod(axis=0)


def normalized(shares):
    """Return shares over their sum, along the last axis; of a state that is never met, equal."""
    total = shares.sum(axis=-1, keepdims=True)
    return np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / shares.shape[-1])


def fit(settings):
    """Return the likeliest HMM of all starts, and E log q of the training cells."""
    rng = np.random.default_rng([settings.seed, settings.states])
    numbers, counts = np.unique(cells.numbers(cells.load(settings.seed)), return_counts=True)
    x, letters = strings(numbers, settings.words)
    found = []
    for start in range(settings.starts):
        model = HMM(settings.states, letters, rng, settings.sharp)
        for _ in range(settings.iterations):
            model.improve(x, counts)
        told = counts @ np.log(model.probability(x)) / counts.sum()
        print(f"start {start + 1} of {settings.starts}: -log q {-told:.4f} nats", flush=True)
        found.append((told, model))
    return max(found, key=lambda pair: pair[0])[::-1]


def strings(numbers, words):
    """Return cells as strings (N, T), and how many letters there are."""
    two = words == "two"
    return (cells.words if two else cells.bits)(numbers), (cells.SIDE if two else 2)


def probabilities(model, words):
    """Return q of all cells; where the data have no point, as if there were a thousandth of one."""
    x, _ = strings(np.arange(cells.CELLS), words)
    return metrics.smoothed(model.probability(x), cells.TRAINING)


def main(argv=None):
    """Fit, print how far q is from p, beside what needs no model, and draw both."""
    parser = Parser("hmm.py", "%(prog)s [options]", __doc__.split("\n")[0])
    add_options(parser, Settings)
    with command.in_a_line("hmm.py", str, "--states"):
        settings = Settings(**vars(parser.parse_args(argv)))
        plots.file_format(settings.out)
        Path(settings.out).parent.mkdir(parents=True, exist_ok=True)
        model, _ = fit(settings)
        q = probabilities(model, settings.words)
        row = {f"HMM, {settings.states} states": metrics.compare(q)}
        print(metrics.table(row | metrics.baselines(settings.seed)))
        plots.save(metrics.picture(q), settings.out)
        print(f"wrote {settings.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
