"""Sequences: what the training loop asks of a model of texts, tunes or others that are no pictures."""

from scratchgan.support.errors import UserError
from scratchgan.training.model import Model


class Sequences(Model):
    """A model whose samples are sequences: it draws them, writes them to files, and measures them, each in its own way.

    Write `picture(z)` and `layout(n)`; `exports` and `export(z, suffix)`, for files beside each picture; `measured(n)`
    and `baselines(n)`, which the command `evaluate` prints side by side.
    """

    def measured(self, n):
        """Return {measure: number} of n samples of this model; one seed gives one answer."""
        raise NotImplementedError(f"{type(self).__name__} has no measured")

    def baselines(self, n):
        """Return {who: {measure: number}} of n samples each: "floor", held-out data, if known; simple models."""
        raise NotImplementedError(f"{type(self).__name__} has no baselines")

    def walk(self, z, steps):
        """Raise UserError: most sequences have nothing between two of them; replaced where there is."""
        raise UserError(f"interpolate walks through latent space, and {type(self).__name__} has none: use sample.")
