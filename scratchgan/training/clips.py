"""Clips: what the training loop asks of a model of moving pictures."""

import io
import math

import numpy as np
from PIL import Image

from scratchgan import data, plots, xp
from scratchgan.data import video
from scratchgan.layers import BatchNorm, Conditional, Conv3d, Dense, FiLM, FixedMap, GaussianNoise, Pad
from scratchgan.layers.activations import LeakyReLU, ReLU, Softmax
from scratchgan.layers.compose import Add, Fork, Part, Sequential
from scratchgan.layers.pairs import Bilinear, Mix
from scratchgan.layers.shape import Columns, Flatten, Reshape
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
EACH_FRAME = {"kernel": (1, 4, 4), "stride": (1, 2, 2), "padding": (0, 1, 1)}  # by itself
SHARP = 6.0  # of a picture that is moved: between pixels, the weights are e^(-SHARP d^2 / 2), d the distance


def grown(Conv, features, width, start, channels, rng):
    """Return a network from vectors (N, features) to `start`, an eighth of the sides, and to twice, three times."""
    small, middle, large = width, 2 * width, 4 * width
    return Sequential(
        Dense(features, math.prod(start) * large, rng=rng), Reshape(*start, large), BatchNorm(large), ReLU(),
        Conv(large, middle, **BY_TWO, rng=rng), BatchNorm(middle), ReLU(),
        Conv(middle, small, **BY_TWO, rng=rng), BatchNorm(small), ReLU(),
        Conv(small, channels, **BY_TWO, rng=rng),
    )  # fmt: skip


def styled(Conv, features, style, width, start, channels, rng):
    """Return a network like `grown` from pairs of vectors.

    The first of a pair, (N, features), makes the map that is enlarged; the second, (N, style), scales and shifts all of
    its channels at each size, for all places and times alike.
    """
    small, middle, large = width, 2 * width, 4 * width

    def told(channels):
        film = FiLM(style, channels, rng=rng)
        for dense in (film.gain, film.shift):  # not zeros: a style says something from the start
            dense.W.value[...] = xp.to_device(rng.normal(0, 0.5 / math.sqrt(style), dense.W.value.shape))
        return BatchNorm(channels), film, ReLU()

    return Conditional(
        Dense(features, math.prod(start) * large, rng=rng), Reshape(*start, large), *told(large),
        Conv(large, middle, **BY_TWO, rng=rng), *told(middle),
        Conv(middle, small, **BY_TWO, rng=rng), *told(small),
        Conv(small, channels, **BY_TWO, rng=rng),
    )  # fmt: skip


class MatrixProduct(Bilinear):
    """y[n, t] = a[n, t] b[n, t]^T: matrices of each frame, (N, T, I, K) and (N, T, J, K) to (N, T, I, J)."""

    def output_shape(self, a_shape, b_shape):
        if len(a_shape) != 4 or a_shape[:2] + a_shape[3:] != b_shape[:2] + b_shape[3:]:
            raise ValueError(f"{self!r}: got {a_shape} and {b_shape}, wanted (N, T, I, K) and (N, T, J, K)")
        return (*a_shape[:3], b_shape[2])

    def apply(self, a, b):
        return a @ b.swapaxes(2, 3)

    def grad_a(self, dy, b, shape):
        return dy @ b

    def grad_b(self, a, dy, shape):
        return dy.swapaxes(2, 3) @ a


class Offsets(FixedMap):
    """y = gains x + constants, numbers x (N, T, 1) to (N, T, len(gains)): no Params, as nothing is to be learned."""

    def __init__(self, gains, constants):
        self.gains, self.constants = (xp.to_device(numbers, np.float32) for numbers in (gains, constants))

    def output_shape(self, shape):
        return (*shape[:-1], len(self.gains))

    def apply(self, x):
        return x * self.gains

    def adjoint(self, dy, shape):
        return (dy * self.gains).sum(axis=-1, keepdims=True)

    def forward(self, x, train=True):
        y, shape = super().forward(x, train)
        return y + self.constants, shape


def shift(frames, side):
    """Return a network from p_t (N, T, 1) to the rows, or columns, that a frame takes: (N, T, side, side + 2).

    The weights [i, j] are a softmax over j, from -1 to side, of -SHARP (i - j - q)^2 / 2: a shift by q = p side / 4
    pixels. q^2 is the same for all j and makes no difference to it; what is left is linear in p.
    """
    apart = (np.arange(side)[:, None] - np.arange(-1, side + 1)).ravel()  # i - j
    logits = Offsets(SHARP * side / 4 * apart, -SHARP / 2 * apart**2)
    return Sequential(logits, Reshape(frames, side, side + 2), Softmax())


def moved(shape):
    """Return a network from shifts p_t (N, T, 2) and two pictures f and b (N, H, W_, 2) to R(p_t) f C(p_t)^T + b.

    In a frame of (N, T, H, W_, 1) f is moved, down and to the right, as DRAW writes (Gregor et al. 2015). Around f
    there are zeros: what comes in from there is b.
    """
    T, H, W_, _ = shape
    rows = Sequential(Part(0), Columns(0, 1), shift(T, H), Reshape(T * H, H + 2))
    columns = Sequential(Part(0), Columns(1, 2), shift(T, W_))  # (N, T, W_, W_ + 2)
    f = Sequential(Part(1), Columns(0, 1), Pad(((1, 1), (1, 1))), Reshape(H + 2, W_ + 2))
    b = Sequential(Part(1), Columns(1, 2), Flatten())  # (N, H W_): one for all t
    down = Sequential(Fork(rows, f), Mix(), Reshape(T, H, W_ + 2))
    right = Sequential(Fork(down, columns), MatrixProduct(), Reshape(T, H * W_))
    return Sequential(Fork(right, b), Add(), Reshape(*shape))


def critic(settings, shape, first, others, hidden, rng):
    """Return a network from clips (N, T, H, W_, C) to half the sides, three times, and to logits (N, 1).

    first, others: kernel, stride and padding of its convolutions: BY_TWO halves the frames, too; `at_once(T)` makes one
    of all T, which EACH_FRAME then leaves. hidden: units of a dense layer that stands last but one, if any. In training
    it sees clips through normal noise, if any.
    """
    small, middle, large = settings.width, 2 * settings.width, 4 * settings.width
    T, H, W_, C = shape
    places = (T // 8 if others is BY_TWO else 1) * (H // 8) * (W_ // 8) * large
    seen = [GaussianNoise(settings.noise, rng=rng)] if settings.noise else []
    return Sequential(
        *seen, Conv3d(C, small, **first, rng=rng), LeakyReLU(0.2),
        Conv3d(small, middle, **others, rng=rng), BatchNorm(middle), LeakyReLU(0.2),
        Conv3d(middle, large, **others, rng=rng), BatchNorm(large), LeakyReLU(0.2),
        Flatten(), *([Dense(places, hidden, rng=rng), BatchNorm(hidden), LeakyReLU(0.2)] if hidden else []),
        Dense(hidden or places, 1, rng=rng),
    )  # fmt: skip


def at_once(T):
    """Return what a convolution of clips gets that sees all T frames at once, and makes one of them."""
    return EACH_FRAME | {"kernel": (T, 4, 4)}
