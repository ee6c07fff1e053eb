"""The cases of the test vectors: the shapes of `references.py`, and numbers that arithmetic fails on."""

import re
from typing import NamedTuple

import numpy

from scratchgan import layers, losses
from scratchgan.gradcheck.references import REFERENCES


class Case(NamedTuple):
    """A layer and its x, or a loss and its arguments. `about`: what code that fails here alone may have wrong."""

    name: str
    about: str
    layer: object  # None for a loss
    x: numpy.ndarray
    loss: object = None  # a function
    arguments: dict = {}  # never changed
    gradients: tuple = ()  # names of what the loss returns after its value


def names():
    """Return every name that there are cases of, in a fixed order."""
    return [*REFERENCES, *[name for name in more() if name not in REFERENCES], *loss_names()]


def cases(name):
    """Return the cases of a name: those of the reference, and more."""
    if name in loss_names():
        return loss_cases(name)
    found = []
    make, rows = REFERENCES[name]() if name in REFERENCES else (None, [])
    for title, settings, shape in rows:
        layer = make(settings, numpy.random.default_rng(0))
        found.append(Case(slug(title), title, layer, draw(name, shape, layer)))
    return found + more().get(name, list)()


def slug(title):
    """Return a title as part of a key: "stride > kernel" becomes stride_above_kernel."""
    return re.sub(r"\W+", "_", title.replace(">=", "at least").replace(">", "above"))


# ---- numbers ---------------------------------------------------------------------------------------------


def normal(*shape, scale=1.0, offset=0.0, seed=1):
    """Draw numbers that float32 can hold, as float64: both dtypes then start from the same x."""
    return (scale * numpy.random.default_rng(seed).standard_normal(shape) + offset).astype("float32").astype("float64")


def distinct(*shape):
    """Return multiples of 1/4 in random order, none twice: no maximum is tied."""
    x = numpy.random.default_rng(1).permutation(int(numpy.prod(shape))).reshape(shape) / 4
    return x - x.mean().round()


def draw(name, shape, layer):
    """Return an x for a layer: nowhere at a kink or a tie, where implementations may differ and both be right."""
    if name == "embedding":
        return numpy.random.default_rng(1).integers(0, layer.classes, shape)
    if name.endswith("max_pool"):
        return distinct(*shape)
    x = normal(*shape)
    if name in ("relu", "leaky_relu", "elu"):
        x = normal(*shape) + 0.125 * numpy.sign(x)
    return x.astype("float32").astype("float64")


# ---- more cases of layers --------------------------------------------------------------------------------


def more():
    """Return {name: function that returns further cases}."""
    found = {name: lambda layer=layer: saturated(layer) for name, layer in (
        ("tanh", layers.Tanh()), ("sigmoid", layers.Sigmoid()), ("softplus", layers.Softplus()), ("elu", layers.ELU()),
    )}  # fmt: skip
    for axes in (1, 2, 3):
        for name, kind in ((f"conv{axes}d", f"Conv{axes}d"), (f"conv_transpose{axes}d", f"ConvTranspose{axes}d")):
            found[name] = lambda kind=kind, axes=axes: convolution(getattr(layers, kind), axes)
    for name, make in {
        "batch_norm": lambda C, eps: layers.BatchNorm(C, eps=eps, momentum=0.3),
        "layer_norm": lambda C, eps: layers.LayerNorm(C, eps=eps),
        "instance_norm": lambda C, eps: layers.InstanceNorm(C, eps=eps),
        "group_norm": lambda C, eps: layers.GroupNorm(2, C, eps=eps),
        "pixel_norm": lambda C, eps: layers.PixelNorm(eps=eps),
    }.items():
        found[name] = lambda make=make: normalization(make)
    return found | {
        "softmax": lambda: large_logits(layers.Softmax()),
        "log_softmax": lambda: large_logits(layers.LogSoftmax()),
        "max_pool": lambda: below_zero(layers.MaxPool((2, 2), (2, 2), (1, 1))),
        "global_max_pool": lambda: pictures(lambda rank: layers.GlobalMaxPool()),
        "global_avg_pool": lambda: pictures(lambda rank: layers.GlobalAvgPool()),
        "upsample_bilinear": lambda: pictures(lambda rank: layers.Upsample(2, "bilinear")),
        "pixel_shuffle": lambda: pictures(lambda rank: layers.PixelShuffle(2)),
        "pad_reflect": lambda: pictures(lambda rank: layers.Pad(((2, 1),) * rank, "reflect")),
    }


def saturated(layer):
    x = normal(4, 5, scale=4.0)
    return [Case("saturated", "large x of both signs: exp(x) grows, and 1 - y cancels", layer, x)]


def large_logits(layer):
    about = "exp(x) overflows unless the maximum is taken away first"
    return [
        Case("large_logits", about, layer, normal(2, 4, scale=2.0, offset=200.0)),
        Case("one_class", "one class: y does not depend on x", layer, normal(3, 1)),
        Case("sequence", "three axes; the sum runs over the last", layer, normal(2, 3, 4)),
    ]


def convolution(Layer, axes):
    """Cases with groups, for one, two and three axes alike."""
    settings = {"kernel": (3, 2, 2), "stride": (2, 1, 3), "padding": (1, 2, 0), "dilation": (1, 2, 1)}
    unlike = {name: values[:axes] for name, values in settings.items()}
    rows = [
        ("groups", "channels in two groups", 4, 6, (2, 4, 3, 2), {"kernel": 3, "padding": 1, "groups": 2}),
        ("depthwise", "each channel has a group of its own", 3, 6, (2, 4, 3, 2), {"kernel": 2, "groups": 3}),
        ("everything", "all settings at once, none alike", 4, 2, (3, 7, 6, 5), {**unlike, "groups": 2}),
    ]
    if "Transpose" in Layer.__name__:
        options = {"kernel": 3, "stride": 2, "padding": 1, "output_padding": 1}
        rows.append(("output_padding", "y has a row and a column more", 2, 2, (2, 3, 2, 2), options))
    return [
        Case(name, about, Layer(C, O, rng=numpy.random.default_rng(0), **options), normal(N, *sides[:axes], C))
        for name, about, C, O, (N, *sides), options in rows
    ]


def normalization(make):
    """Cases for batch, layer, instance, group and pixel normalisation; make(channels, eps) returns the layer."""
    rows = [
        ("large_eps", "an eps that counts: the mean of xhat^2 is not 1", 0.5, normal(2, 3, 2, 4)),
        ("small_x", "a variance not far above eps", 1e-5, normal(3, 3, 2, 4, scale=0.01)),
        ("offset", "a mean far from 0: mean(x^2) - mean(x)^2 cancels", 1e-5, normal(3, 4, 2, 4, offset=100.0)),
        ("sequence", "three axes", 1e-5, normal(3, 5, 2)),
        ("video", "five axes", 1e-5, normal(2, 2, 3, 2, 2)),
    ]
    return [Case(name, about, make(x.shape[-1], eps), x) for name, about, eps, x in rows]


def below_zero(layer):
    return [Case("below_zero", "all x are below 0, and padding must not win", layer, distinct(2, 4, 4, 2) - 20)]


def pictures(make):
    """Cases for what resamples sequences, pictures and video; make(rank) returns the layer."""
    rows = [("plain", "the general case", (2, 3, 4)), ("batch_1", "a batch of one, not square", (1, 5, 3))]
    rows += [("sequence", "one spatial axis", (2, 4)), ("video", "three spatial axes", (1, 3, 4, 3))]
    return [Case(n, about, make(len(s) - 1), distinct(*s, 2 ** (len(s) - 1))) for n, about, s in rows]


# ---- losses ----------------------------------------------------------------------------------------------


def loss_names():
    """Return the names of all losses."""
    players = [name for name in vars(losses) if name.endswith(("_discriminator", "_generator"))]
    return ["binary_cross_entropy", "softmax_cross_entropy", "l1", "l2", *players]


def loss_cases(name):
    """Return the cases of a loss: one number, many axes, logits that overflow."""
    function = getattr(losses, name)
    found = []
    for case, about, shape, scale in (
        ("plain", "the general case", (4, 3), 1.0),
        ("one_sample", "a batch of one", (1, 2), 1.0),
        ("patches", "many axes: the mean runs over all of them", (2, 3, 2, 2), 1.0),
        ("large", "exp(logit) overflows in float32", (3, 4), 100.0),
    ):
        first, second = normal(*shape, scale=scale), normal(*shape, scale=scale, seed=2)
        if name in ("l1", "l2"):
            arguments, gradients = {"x": first, "target": second}, ("dx",)
        elif name == "binary_cross_entropy":
            targets = numpy.random.default_rng(3).choice([0, 0.125, 1], shape)
            arguments, gradients = {"logits": first, "targets": targets}, ("d_logits",)
        elif name == "softmax_cross_entropy":
            labels = numpy.random.default_rng(3).integers(0, shape[-1], shape[:-1])
            arguments, gradients = {"logits": first, "labels": labels}, ("d_logits",)
        elif name.endswith("_discriminator") or name.startswith("relativistic"):
            fake = second[1:] if name in UNPAIRED and len(second) > 1 else second  # the batches may differ in size
            arguments, gradients = {"real_logits": first, "fake_logits": fake}, ("d_real", "d_fake")
        else:
            arguments, gradients = {"fake_logits": first}, ("d_fake",)
        found.append(Case(case, about, None, None, function, arguments, gradients))
    return found


UNPAIRED = ("minimax_discriminator", "nonsaturating_discriminator", "least_squares_discriminator",
            "wasserstein_discriminator", "hinge_discriminator", "relativistic_average_discriminator",
            "relativistic_average_generator", "relativistic_average_hinge_discriminator",
            "relativistic_average_hinge_generator")  # fmt: skip
