"""Rows of the law table: augmentations, drawn for some samples, for all, or for none."""

import numpy as np
from hypothesis import strategies as st

from scratchgan.layers import Brightness, Contrast, Conv2d, Cutout, Flatten, Sequential, Shift, Tanh, Warp

size = st.integers(1, 4)
pictures = st.tuples(size, st.integers(1, 5), st.integers(1, 5), st.integers(1, 2))  # (N, H, W_, C)


def augmentation(kind, *arguments):
    def make(draw, rng):
        p = draw(st.sampled_from([0.0, 0.5, 1.0]))
        return kind(*arguments, p=p, rng=np.random.default_rng(draw(size))), draw(pictures)

    return make


def augmented(draw, rng):
    """All of them before a network that bends, one after the other."""
    own = np.random.default_rng(draw(size))
    kinds = [Brightness(0.5, rng=own), Contrast(0.5, rng=own), Shift(0.3, rng=own), Cutout(0.4, rng=own)]
    kinds += [Warp(40.0, 0.5, p=0.8, rng=own)]
    network = Conv2d(2, 2, 3, padding=1, rng=rng), Tanh(), Flatten()
    return Sequential(*kinds, *network), (*draw(st.tuples(size, size, size)), 2)


SMOOTH = {
    "Brightness": augmentation(Brightness),
    "Contrast": augmentation(Contrast),
    "Shift": augmentation(Shift, 0.4),
    "Cutout": augmentation(Cutout),
    "Warp": augmentation(Warp, 180.0, 0.7),
}
COMPOSED = {"an augmented network": augmented}
