"""Reference layers by name, each with the awkward shapes and settings that wrong code fails on first.

A reference is a function that returns (make, cases): make(settings, rng) gives our layer in float64 with random
parameters; a case's shape is that of x, with channels last.
"""

from typing import NamedTuple


class Case(NamedTuple):
    """One configuration: a title for people, the constructor's keyword arguments, and the shape of x."""

    title: str
    settings: dict
    shape: tuple


def maker(name):
    """Return make(settings, rng) for the class of this name in scratchgan.layers."""

    def make(settings, rng):
        import inspect

        from scratchgan import layers

        kind = getattr(layers, name)
        random = {"rng": rng} if "rng" in inspect.signature(kind).parameters else {}
        layer = kind(**settings, **random).astype("float64")
        for param in layer.params():  # ones and zeros would hide what gamma, beta and b do
            param.value[...] = rng.standard_normal(param.value.shape)
        return layer

    return make


# ---- one number after the other --------------------------------------------------------------------------


def pointwise(name, **settings):
    """A function applied to each number."""
    shapes = {"batch": (3, 4), "batch 1": (1, 5), "one feature": (4, 1), "an image": (2, 3, 4, 2)}
    return maker(name), [Case(title, settings, shape) for title, shape in shapes.items()]


def dense():
    """y = x W + b."""
    sizes = {"batch": (3, 4, 5), "batch 1": (1, 4, 3), "one input": (3, 1, 4), "one output": (3, 4, 1), "wide": (2, 9, 7)}
    return maker("Dense"), [
        Case(title, {"in_features": inputs, "out_features": outputs}, (n, inputs))
        for title, (n, inputs, outputs) in sizes.items()
    ]


def embedding():
    """y = W[x]; x holds integers below `classes`, some of them twice."""
    return maker("Embedding"), [
        Case("repeated rows", {"classes": 4, "features": 3}, (7,)),
        Case("a sequence", {"classes": 5, "features": 2}, (2, 3)),
    ]


# ---- convolutions ----------------------------------------------------------------------------------------

# title: (batch, sides, in, out, kernel, the rest); sides and kernels are cut to the number of axes
CONVOLUTIONS = {
    "plain": (2, (6, 6, 5), 2, 3, (3, 3, 3), {}),
    "batch 1": (1, (5, 6, 4), 2, 3, (3, 3, 2), {}),
    "one channel": (2, (5, 5, 4), 1, 1, (3, 3, 2), {}),
    "more in than out": (2, (4, 5, 4), 4, 2, (2, 3, 2), {}),
    "non-square": (2, (4, 7, 3), 2, 2, (3, 2, 2), {}),
    "kernel 1": (2, (4, 3, 2), 3, 2, (1, 1, 1), {}),
    "padding": (2, (5, 4, 3), 2, 2, (3, 3, 3), {"padding": 1}),
    "padding >= kernel": (2, (3, 4, 2), 2, 2, (2, 2, 2), {"padding": 3}),
    "stride": (2, (6, 7, 4), 2, 3, (2, 3, 2), {"stride": 2}),
    "stride that does not divide": (2, (6, 8, 4), 2, 2, (3, 3, 2), {"stride": 2, "padding": 1}),
    "stride > kernel": (2, (7, 8, 5), 2, 2, (2, 2, 2), {"stride": 3}),
    "dilation": (2, (7, 6, 5), 2, 2, (3, 2, 2), {"dilation": 2}),
    "stride, padding, dilation": (1, (8, 7, 5), 2, 3, (2, 3, 2), {"stride": 2, "padding": 2, "dilation": 2}),
}


def convolution(name, axes):
    """Convolutions, or their transposes, with this many spatial axes."""
    cases = []
    for title, (n, sides, inputs, outputs, kernel, rest) in CONVOLUTIONS.items():
        if "Transpose" in name and title == "padding >= kernel":  # it would crop everything away
            rest = {"padding": 1}
        settings = {"in_channels": inputs, "out_channels": outputs, "kernel": kernel[:axes], **rest}
        cases.append(Case(title, settings, (n, *sides[:axes], inputs)))
    return maker(name), cases


# ---- normalisations, pools, resampling -------------------------------------------------------------------

# title: (shape, factor, offset)
BATCHES = {"vectors": (6, 3), "two samples": (2, 3), "images": (2, 3, 4, 3), "one channel": (3, 2, 2, 1), "batch 1": (1, 3, 5, 2)}


def normalization(name, groups=None):
    """Normalisations; where vectors have no positions, InstanceNorm has no such case."""
    cases = []
    for title, shape in BATCHES.items():
        if name == "InstanceNorm" and len(shape) == 2:
            continue
        channels = shape[-1] if groups is None or shape[-1] % groups == 0 else groups * shape[-1]
        settings = {"channels": channels, **({} if groups is None else {"groups": groups})}
        cases.append(Case(title, settings, (*shape[:-1], channels)))
    return maker(name), cases


def pool(name):
    """Pools over images."""
    return maker(name), [
        Case("plain", {"kernel": 2}, (2, 4, 4, 3)),
        Case("batch 1, one channel", {"kernel": 2}, (1, 4, 6, 1)),
        Case("non-square", {"kernel": (2, 3)}, (2, 4, 6, 2)),
        Case("overlapping", {"kernel": 3, "stride": 2}, (2, 7, 5, 2)),
        Case("stride that does not divide", {"kernel": 2, "stride": 2}, (2, 5, 7, 2)),
        Case("padding", {"kernel": 3, "stride": 2, "padding": 1}, (1, 5, 6, 2)),
    ]


def upsample():
    """Enlarge images by repetition."""
    return maker("Upsample"), [
        Case("by 2", {"scale": 2}, (2, 3, 3, 2)),
        Case("by 3, non-square, batch 1", {"scale": 3}, (1, 2, 4, 1)),
    ]


REFERENCES = {
    "relu": lambda: pointwise("ReLU"),
    "leaky_relu": lambda: pointwise("LeakyReLU", slope=0.2),
    "tanh": lambda: pointwise("Tanh"),
    "sigmoid": lambda: pointwise("Sigmoid"),
    "softplus": lambda: pointwise("Softplus"),
    "elu": lambda: pointwise("ELU"),
    "softmax": lambda: pointwise("Softmax"),
    "log_softmax": lambda: pointwise("LogSoftmax"),
    "dense": dense,
    "embedding": embedding,
    "conv1d": lambda: convolution("Conv1d", 1),
    "conv2d": lambda: convolution("Conv2d", 2),
    "conv3d": lambda: convolution("Conv3d", 3),
    "conv_transpose1d": lambda: convolution("ConvTranspose1d", 1),
    "conv_transpose2d": lambda: convolution("ConvTranspose2d", 2),
    "conv_transpose3d": lambda: convolution("ConvTranspose3d", 3),
    "pixel_norm": lambda: pointwise("PixelNorm"),
    "layer_norm": lambda: normalization("LayerNorm"),
    "group_norm": lambda: normalization("GroupNorm", groups=2),
    "instance_norm": lambda: normalization("InstanceNorm"),
    "batch_norm": lambda: normalization("BatchNorm"),
    "avg_pool": lambda: pool("AvgPool"),
    "max_pool": lambda: pool("MaxPool"),
    "upsample": upsample,
}
