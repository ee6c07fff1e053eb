"""Clips: what the training loop asks of a model of moving pictures."""

import io
import math

import numpy as np
from PIL import Image

from scratchgan import data, plots, xp
from scratchgan.data import video
from scratchgan.layers import BatchNorm, Dense, Flatten, GaussianNoise, LeakyReLU, ReLU, Reshape, Sequential
from scratchgan.metrics import classifier
from scratchgan.metrics import video as metrics
from scratchgan.support.costs import afford
from scratchgan.support.errors import DataError
from scratchgan.training.drawing import enlarge
from scratchgan.training.sequences import Sequences

PIECE = 32  # clips that are drawn at once
SHOWN, SCALE = 100, 3  # milliseconds that a frame of a GIF is shown; times that its pixels are enlarged


class Clips(Sequences):
    """A model whose samples are grey clips (T, H, W_, 1); write `generate(z)`, from -1 to 1.

    Its settings say `data`, "straight" or a folder of animations, `background`, `varied`, `frames` and `size`. In a
    picture of samples a clip's frames stand in a row; a .gif shows the first 16 clips in motion.
    """

    exports, exported = (".gif",), 16

    @staticmethod
    def load_data(settings):
        return load(settings, "train")

    def images(self, z):
        """Return the clips G(z): uint8 (N, T, H, W_, 1), on the host."""
        afford(5 * len(z) * math.prod(self.shape), f"{len(z):,} clips", "lower --n")
        pieces = [self.generate(z[start : start + PIECE]) for start in range(0, len(z), PIECE)]
        return np.concatenate([data.to_bytes(xp.to_host(piece)) for piece in pieces])

    def layout(self, n):
        clips = math.ceil(math.sqrt(n / self.shape[0]))  # in a row, so that the picture is about as high as wide
        return math.ceil(n / clips), clips * self.shape[0]

    def picture(self, z):
        clips = self.images(z)
        return plots.grid(clips.reshape(-1, *self.shape[1:]), self.layout(len(z))[1])

    def walk(self, z, steps):
        """Return one uint8 picture of walks of so many steps, a clip a row."""
        return plots.grid(self.images(z).reshape(-1, *self.shape[1:]), self.shape[0])

    def export(self, z, suffix):
        """Return the bytes of a GIF of a near-square grid of clips."""
        frames = [enlarge(plots.grid(frame), SCALE)[..., 0] for frame in self.images(z).swapaxes(0, 1)]
        first, *others = map(Image.fromarray, frames)
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=others, duration=SHOWN, loop=0)
        return file.getvalue()

    # ---- what is measured ----

    def drawn(self, n):
        z = self.latent(n, np.random.default_rng([self.settings.seed, n]))
        return self.images(xp.to_device(z))

    def report(self):
        looks = metrics.look(self.drawn(64), self.settings.background)
        return {"off straight flight, px": looks.residual.mean(), "speed, px a frame": looks.speed.mean()}

    def measured(self, n):
        return metrics.compared(self.look(self.drawn(n)), self.look(load(self.settings, "test")))

    def baselines(self, n):
        return metrics.baselines(load(self.settings, "train"), load(self.settings, "test"), n, self.look)

    def look(self, clips):
        reader = classifier.load("glyphs") if self.settings.data == "straight" else None
        return metrics.look(clips, self.settings.background, reader)


def load(settings, split):
    """Return the clips of a split that settings ask for: uint8 (N, T, H, W_, 1).

    Without `hold_out`, a folder has training clips alone: then raises DataError for its test clips.
    """
    options = {"frames": settings.frames, "size": settings.size}
    if settings.data == "straight":
        options |= {"background": settings.background, "varied": settings.varied, "seed": settings.seed}
        return video.load(split=split, **options).images
    if split == "test" and not settings.hold_out:
        raise DataError(f"{settings.data} has no test clips: a run with --hold-out keeps one file in ten for them.")
    return video.load_folder(settings.data, split=split if settings.hold_out else "", **options).images


# ---- networks ----------------------------------------------------------------------------------------------

BY_TWO = {"kernel": 4, "stride": 2, "padding": 1}
EACH_FRAME = {"kernel": (1, 4, 4), "stride": (1, 2, 2), "padding": (0, 1, 1)}  # each by itself


def grown(Conv, features, width, start, channels, by_two, rng):
    """Return a network from vectors to an eighth of the sides, `start`, and to twice the sides, three times.

    The vectors are (N, features), or with EACH_FRAME (N, T, features), one for each frame.
    """
    small, middle, large = width, 2 * width, 4 * width
    places = math.prod(start[1:] if by_two is EACH_FRAME else start)  # that one vector is for
    return Sequential(
        Dense(features, places * large, rng=rng), Reshape(*start, large), BatchNorm(large), ReLU(),
        Conv(large, middle, **by_two, rng=rng), BatchNorm(middle), ReLU(),
        Conv(middle, small, **by_two, rng=rng), BatchNorm(small), ReLU(),
        Conv(small, channels, **by_two, rng=rng),
    )  # fmt: skip


def critic(Conv, shape, width, noise, rng):
    """Return a network from clips, or from frames, to half the sides, three times, and to logits (N, 1).

    In training it sees them through normal noise of this deviation, if any.
    """
    small, middle, large = width, 2 * width, 4 * width
    places = math.prod(side // 8 for side in shape[:-1])
    first = [GaussianNoise(noise, rng=rng)] if noise else []
    return Sequential(
        *first, Conv(shape[-1], small, **BY_TWO, rng=rng), LeakyReLU(0.2),
        Conv(small, middle, **BY_TWO, rng=rng), BatchNorm(middle), LeakyReLU(0.2),
        Conv(middle, large, **BY_TWO, rng=rng), BatchNorm(large), LeakyReLU(0.2),
        Flatten(), Dense(places * large, 1, rng=rng),
    )  # fmt: skip
