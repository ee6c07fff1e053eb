"""Sounds: a model whose samples are clips of sound, of classes that are asked for in turn."""

import numpy as np

from scratchgan import plots, sounds, xp
from scratchgan.data import audio
from scratchgan.metrics import audio as metrics
from scratchgan.training.sequences import Sequences

SILENCE = 1024  # samples between two clips in a file


class Sounds(Sequences):
    """A model of clips, (N, 2048, 1) from -1 to 1, of one class or of several: `classes` is their number.

    Samples are of each class in turn. The data are those of `--data`; where `settings.labels` is False, or nobody
    knows classes, all are of class 0.
    """

    exports, exported = (".wav",), 16

    @staticmethod
    def load_data(settings):
        samples, labels, _ = audio.load(settings.data, seed=settings.seed)
        told = settings.labels and labels is not None
        return samples, labels if told else np.zeros(len(samples), int)

    @property
    def classes(self):
        return len(audio.NAMES.get(self.settings.data, ("a sound",))) if self.settings.labels else 1

    def clips(self, z):
        """Return the samples of z on the host: float32 (N, 2048, 1)."""
        return np.concatenate([xp.to_host(self.generate(z[i : i + 256])) for i in range(0, len(z), 256)])

    def drawn(self, n):
        return self.clips(xp.to_device(self.latent(n, np.random.default_rng([self.settings.seed, n]))))

    def layout(self, n):
        columns = self.classes * max(1, round(np.sqrt(n) / self.classes))  # a column is of one class
        return -(-n // columns), columns

    def picture(self, z, columns=None):
        return plots.grid(metrics.drawings(self.clips(z)), columns or self.layout(len(z))[1])

    walk = picture  # whose columns are its steps

    def export(self, z, suffix):
        """Return the first samples as a file, one after the other with silence between them."""
        apart = np.pad(self.clips(z[: self.exported])[..., 0], ((0, 0), (0, SILENCE)))
        return sounds.wav(apart.ravel()[:-SILENCE], audio.RATE)

    def held_out(self):
        return audio.load(self.settings.data, "test", seed=self.settings.seed)

    def report(self):
        return metrics.told(self.drawn(256), self.held_out())

    def measured(self, n):
        asked = np.arange(n) % self.classes if self.classes > 1 else None
        return metrics.measured(self.drawn(n), self.settings.data, self.held_out(), asked)

    def baselines(self, n):
        return metrics.baselines(self.settings.data, self.settings.seed, n)
