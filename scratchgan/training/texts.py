"""Texts: a model whose samples are windows of text, measured by their n-grams."""

import numpy as np

from scratchgan import plots, xp
from scratchgan.data import text
from scratchgan.metrics import ngrams
from scratchgan.support.errors import UserError
from scratchgan.training.sequences import Sequences

PIECE = 256  # samples that are drawn at once
REPORTED = 500  # samples of a report: so few are farther from the text than 2,000


class Texts(Sequences):
    """A model of windows of characters: `generate(z)` returns shares of characters, (N, L, V), or one-hot characters.

    shape is (L, V): L characters of an alphabet of V. A sample's character is the one with the largest share. The text
    is that of `--data`, and the settings tell the `length` of samples.
    """

    exports = (".txt",)

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.letters = text.letters(settings, shape[-1])  # code points, which a checkpoint holds

    @staticmethod
    def load_data(settings):
        return text.asked_for(settings).windows(settings.length)

    def rows(self, z):
        """Return samples as numbers of characters (n, L), on the host."""
        pieces = [self.generate(z[i : i + PIECE]).argmax(axis=-1) for i in range(0, len(z), PIECE)]
        return np.concatenate([xp.to_host(piece) for piece in pieces])

    def lines(self, z):
        """Return samples as strings."""
        return text.spelled(self.letters, self.rows(z))

    def picture(self, z):
        return plots.text(self.lines(z))

    def layout(self, n):
        return n, 1

    def export(self, z, suffix):
        """Return a line for each sample, in quotes: its own line breaks are written as \\n."""
        return "".join(f"{line!r}\n" for line in self.lines(z)).encode("utf-8", "backslashreplace")

    def report(self):
        """Return how far a few samples are from the text, by single characters and by four of them in a row."""
        z = xp.to_device(self.latent(REPORTED, np.random.default_rng(self.settings.seed)))
        found = self.grams().divergences(self.rows(z))
        return {name: found[name] for name in ("JS-1, bits", "JS-4, bits") if name in found}

    def measured(self, n):
        z = xp.to_device(self.latent(n, np.random.default_rng([self.settings.seed, n])))
        return self.grams().measured(self.rows(z))

    def baselines(self, n):
        """Return what is measured of held-out windows, of Markov chains, and of characters that are uniform."""
        rng = np.random.default_rng([self.settings.seed, n, 1])
        return self.grams().baselines(n, self.settings.length, rng)

    def grams(self):
        """Return the n-grams of the text of `--data`; raise UserError where it has other characters than the run's."""
        if not np.array_equal(self.letters, text.letters(self.settings, len(self.letters))):
            raise UserError(f"{self.settings.data} has other characters than the text of this run: begin a new run.")
        return ngrams.asked_for(self.settings)
