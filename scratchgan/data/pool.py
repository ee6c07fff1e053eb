"""A pool of past fakes, from which D is shown some, so that it does not forget what G did a while ago."""

import math

from scratchgan import xp
from scratchgan.data.checks import check_whole
from scratchgan.support.costs import afford
from scratchgan.support.errors import DataError


class Pool:
    """Fakes that were shown before: an array of `size` pictures, so that a checkpoint holds them, and how many are in.

    exchange(fakes) is what D is shown in place of G's newest fakes (Shrivastava et al. 2017, "Learning from Simulated
    and Unsupervised Images through Adversarial Training"; Zhu et al. 2017, "Unpaired Image-to-Image Translation using
    Cycle-Consistent Adversarial Networks"). A pool of size 0 shows the newest. Raises DataError for no whole number,
    and for more than the memory holds.
    """

    def __init__(self, size, shape):
        check_whole("size of a pool", size, least=0)
        if not xp.on_gpu():
            afford(4 * int(size) * math.prod(shape), f"A pool of {size:,} pictures", "choose a smaller one", DataError)
        self.images = xp.zeros((size, *shape), "float32")  # (size, H, W_, C), on the device
        self.held = 0

    def exchange(self, fakes, rng):
        """Return a picture for each of fakes (N, H, W_, C): itself, or, once the pool is full, every other time a past
        one, whose place it takes. It draws from rng, on the host. Nothing returned is a view of fakes or of the pool.
        """
        shown = fakes.copy()
        for i, fake in enumerate(fakes if len(self.images) else ()):
            if self.held < len(self.images):
                self.images[self.held] = fake  # copies its numbers: what becomes of fakes does not matter
                self.held += 1
            elif rng.random() < 0.5:
                place = int(rng.integers(len(self.images)))
                shown[i] = self.images[place]
                self.images[place] = fake
        return shown
