"""The layers that code is compared with, each with the awkward shapes and numbers that wrong code fails on.

`cases("conv2d")` lists Cases, the simplest first; the layers are in float32 until `vectors.loaded` widens them.
"""

import difflib
from typing import NamedTuple

import numpy

from scratchgan import layers
from scratchgan.support.errors import SettingsError


class Case(NamedTuple):
    """A layer and its x. `about`: what code that fails here alone may have wrong."""

    name: str
    about: str
    layer: object
    x: numpy.ndarray


def arguments(case):
    """Return the names of what a case's layer has gradients of: x, and its parameters."""
    return ("x", *case.layer.named_params())


def rounded(array):
    """Return float64 numbers that float32 can hold: both dtypes then start from the same ones."""
    return array.astype("float32").astype("float64")


def normal(*shape, scale=1.0, offset=0.0):
    """Draw normal numbers."""
    return rounded(scale * numpy.random.default_rng(1).standard_normal(shape) + offset)


def distinct(*shape):
    """Return multiples of 1/4 in random order, none twice: no maximum is tied."""
    x = numpy.random.default_rng(1).permutation(int(numpy.prod(shape))).reshape(shape) / 4
    return x - x.mean().round()


def rng():
    return numpy.random.default_rng(0)


# ---- pointwise layers, dense, embedding ------------------------------------------------------------------


def pointwise(layer, kinked=False):
    """Cases for what acts on each number, or on each row; no x is at a kink, where implementations may differ."""
    rows = [
        ("plain", "the general case", (3, 4)), ("batch_1", "a batch of one", (1, 5)),
        ("one_feature", "one number for each sample", (4, 1)), ("picture", "four axes", (2, 3, 4, 2)),
    ]  # fmt: skip
    cases = [Case(name, about, layer, normal(*shape)) for name, about, shape in rows]
    if kinked:
        return [case._replace(x=distinct(*case.x.shape) + 0.125) for case in cases]
    about = "large x of both signs: exp(x) grows, and 1 - y cancels"
    return [*cases, Case("saturated", about, layer, normal(4, 5, scale=4.0))]


def prelu():
    """Cases for PReLU; each channel has a slope of its own, the second one a negative slope."""
    cases = pointwise(None, kinked=True)
    for i, case in enumerate(cases):
        channels = case.x.shape[-1]
        cases[i] = case._replace(layer=layers.PReLU(channels))
        cases[i].layer.a.value[:] = 0.25 - 0.75 * numpy.arange(channels) + numpy.arange(channels) ** 2 / 4
    return cases


def softmax(layer):
    """Cases for functions of rows."""
    about = "exp(x) overflows unless the maximum is taken away first"
    return [*pointwise(layer), Case("large_logits", about, layer, normal(2, 4, scale=2.0, offset=200.0))]


def dense():
    """Cases for y = x W + b."""
    rows = [
        ("plain", "the general case", 3, 4, 5), ("batch_1", "a batch of one", 1, 4, 3),
        ("one_input", "one number for each sample", 3, 1, 4), ("one_output", "one number out", 3, 4, 1),
        ("square", "W is as wide as high: a transpose goes unnoticed", 4, 4, 4),
    ]  # fmt: skip
    return [Case(name, about, layers.Dense(C, O, rng=rng()), normal(N, C)) for name, about, N, C, O in rows]


def embedding():
    """Cases for y = W[x]; x holds integers, some of them twice."""
    rows = [("repeated_rows", "a row that is used twice", 4, 3, 7), ("sequence", "two axes", 5, 2, (2, 3))]
    draw = lambda classes, shape: numpy.random.default_rng(1).integers(0, classes, shape)
    return [Case(n, about, layers.Embedding(K, C, rng=rng()), draw(K, shape)) for n, about, K, C, shape in rows]


# ---- convolutions ----------------------------------------------------------------------------------------

CONVOLUTIONS = [  # name, about, batch, sides (cut to the number of axes), in, out, settings (cut likewise)
    ("plain", "the general case", 2, (6, 6, 5), 2, 3, {"kernel": (3, 3, 3)}),
    ("batch_1", "a batch of one", 1, (5, 6, 4), 2, 3, {"kernel": (3, 3, 2)}),
    ("one_channel", "one channel in, one out", 2, (5, 5, 4), 1, 1, {"kernel": (3, 3, 2)}),
    ("more_in_than_out", "fewer channels out than in", 2, (4, 5, 4), 4, 2, {"kernel": (2, 3, 2)}),
    ("non_square", "neither x nor the kernel is square", 2, (4, 7, 3), 2, 2, {"kernel": (3, 2, 2)}),
    ("kernel_1", "a kernel of one position", 2, (4, 3, 2), 3, 2, {"kernel": (1, 1, 1)}),
    ("padding", "padding", 2, (5, 4, 3), 2, 2, {"kernel": (3, 3, 3), "padding": 1}),
    ("padding_above_kernel", "more padding than kernel", 2, (3, 4, 2), 2, 2, {"kernel": (2, 2, 2), "padding": 3}),
    ("stride", "stride", 2, (6, 7, 4), 2, 3, {"kernel": (2, 3, 2), "stride": 2}),
    ("stride_tail", "a stride that does not divide", 2, (6, 8, 4), 2, 2,
     {"kernel": (3, 3, 2), "stride": 2, "padding": 1}),
    ("stride_above_kernel", "numbers that no window sees", 2, (7, 8, 5), 2, 2, {"kernel": (2, 2, 2), "stride": 3}),
    ("dilation", "dilation", 2, (7, 6, 5), 2, 2, {"kernel": (3, 2, 2), "dilation": 2}),
    ("groups", "channels in two groups", 2, (4, 3, 2), 4, 6, {"kernel": (3, 3, 3), "padding": 1, "groups": 2}),
    ("depthwise", "each channel has a group of its own", 2, (4, 3, 2), 3, 6, {"kernel": (2, 2, 2), "groups": 3}),
    ("everything", "all settings at once, none alike", 3, (7, 6, 5), 4, 2,
     {"kernel": (3, 2, 2), "stride": (2, 1, 3), "padding": (1, 2, 0), "dilation": (2, 1, 2), "groups": 2}),
]


def convolution(kind, axes):
    """Cases for a convolution, transposed or not, with this many spatial axes."""
    transposed = issubclass(kind, layers.ConvTranspose2d.__base__)
    cases = []
    for name, about, N, sides, C, O, settings in CONVOLUTIONS:
        if transposed and name == "padding_above_kernel":
            continue  # it would crop everything away
        cut = {key: value[:axes] if isinstance(value, tuple) else value for key, value in settings.items()}
        cases.append(Case(name, about, kind(C, O, rng=rng(), **cut), normal(N, *sides[:axes], C)))
    if transposed:
        layer = kind(2, 2, 3, stride=2, padding=1, output_padding=1, rng=rng())
        about = "y has a row and a column more"
        cases.append(Case("output_padding", about, layer, normal(2, *(3, 2, 2)[:axes], 2)))
    return cases


# ---- normalisations, pools, resampling -------------------------------------------------------------------


def normalization(make, vectors=True):
    """Cases for normalisations; make(channels, eps) returns the layer. vectors: whether x may lack positions."""
    rows = [
        ("vectors", "no positions", 1e-5, normal(6, 4)), ("two_samples", "two samples", 1e-5, normal(2, 4)),
        ("pictures", "the general case", 1e-5, normal(2, 3, 4, 4)),
        ("batch_1", "a batch of one", 1e-5, normal(1, 3, 5, 2)),
        ("large_eps", "an eps that counts: the mean of xhat^2 is not 1", 0.5, normal(2, 3, 2, 4)),
        ("small_x", "a variance not far above eps", 1e-5, normal(3, 3, 2, 4, scale=0.01)),
        ("offset", "a mean far from 0: mean(x^2) - mean(x)^2 cancels", 1e-5, normal(3, 4, 2, 4, offset=100.0)),
        ("sequence", "three axes", 1e-5, normal(3, 5, 2)), ("video", "five axes", 1e-5, normal(2, 2, 3, 2, 2)),
    ]  # fmt: skip
    return [Case(name, about, make(x.shape[-1], eps), x) for name, about, eps, x in rows if vectors or x.ndim > 2]


def pool(kind):
    """Cases for pools over pictures."""
    rows = [
        ("plain", "the general case", {"kernel": 2}, (2, 4, 4, 3)),
        ("batch_1", "a batch of one", {"kernel": 2}, (1, 4, 6, 1)),
        ("non_square", "neither x nor the kernel is square", {"kernel": (2, 3)}, (2, 4, 6, 2)),
        ("overlapping", "windows that overlap", {"kernel": 3, "stride": 2}, (2, 7, 5, 2)),
        ("stride_tail", "a stride that does not divide", {"kernel": 2, "stride": 2}, (2, 5, 7, 2)),
        ("padding", "padding", {"kernel": 3, "stride": 2, "padding": 1}, (1, 5, 6, 2)),
        ("below_zero", "all x are below 0, and padding must not win", {"kernel": 2, "padding": 1}, (2, 4, 4, 2)),
    ]  # fmt: skip
    return [Case(n, about, kind(**own), distinct(*s) - 20 * (n == "below_zero")) for n, about, own, s in rows]


def pictures(make):
    """Cases for what resamples sequences, pictures and video; make(rank) returns the layer."""
    rows = [("plain", "the general case", (2, 3, 4)), ("batch_1", "a batch of one, not square", (1, 5, 3))]
    rows += [("sequence", "one spatial axis", (2, 4)), ("video", "three spatial axes", (1, 3, 4, 3))]
    return [Case(n, about, make(len(s) - 1), distinct(*s, 2 ** (len(s) - 1))) for n, about, s in rows]


# ---- by name ---------------------------------------------------------------------------------------------

LAYERS = {
    "relu": lambda: pointwise(layers.ReLU(), kinked=True),
    "leaky_relu": lambda: pointwise(layers.LeakyReLU(0.2), kinked=True),
    "prelu": prelu,
    "elu": lambda: pointwise(layers.ELU(), kinked=True),
    "tanh": lambda: pointwise(layers.Tanh()),
    "sigmoid": lambda: pointwise(layers.Sigmoid()),
    "softplus": lambda: pointwise(layers.Softplus()),
    "softmax": lambda: softmax(layers.Softmax()),
    "log_softmax": lambda: softmax(layers.LogSoftmax()),
    "dense": dense,
    "embedding": embedding,
    "conv1d": lambda: convolution(layers.Conv1d, 1),
    "conv2d": lambda: convolution(layers.Conv2d, 2),
    "conv3d": lambda: convolution(layers.Conv3d, 3),
    "conv_transpose1d": lambda: convolution(layers.ConvTranspose1d, 1),
    "conv_transpose2d": lambda: convolution(layers.ConvTranspose2d, 2),
    "conv_transpose3d": lambda: convolution(layers.ConvTranspose3d, 3),
    "batch_norm": lambda: normalization(lambda C, eps: layers.BatchNorm(C, eps=eps, momentum=0.3)),
    "layer_norm": lambda: normalization(lambda C, eps: layers.LayerNorm(C, eps=eps)),
    "instance_norm": lambda: normalization(lambda C, eps: layers.InstanceNorm(C, eps=eps), vectors=False),
    "group_norm": lambda: normalization(lambda C, eps: layers.GroupNorm(2, C, eps=eps)),
    "pixel_norm": lambda: normalization(lambda C, eps: layers.PixelNorm(eps=eps)),
    "avg_pool": lambda: pool(layers.AvgPool),
    "max_pool": lambda: pool(layers.MaxPool),
    "global_avg_pool": lambda: pictures(lambda rank: layers.GlobalAvgPool()),
    "global_max_pool": lambda: pictures(lambda rank: layers.GlobalMaxPool()),
    "upsample": lambda: pictures(lambda rank: layers.Upsample(2)),
    "upsample_bilinear": lambda: pictures(lambda rank: layers.Upsample(2, "bilinear")),
    "pixel_shuffle": lambda: pictures(lambda rank: layers.PixelShuffle(2)),
    "pad_reflect": lambda: pictures(lambda rank: layers.Pad(((2, 1),) * rank, "reflect")),
}


def cases(name):
    """Return the cases of a name; raise SettingsError, with a proposal, where it is unknown."""
    if name not in LAYERS:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), LAYERS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`python -m scratchgan vectors --list` lists the names."
        raise SettingsError(f"there is no reference {name!r}: {hint}")
    return LAYERS[name]()
