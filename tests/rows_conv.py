"""Rows of the law table: convolutions and transposed convolutions in one, two and three dimensions."""

from hypothesis import strategies as st

from scratchgan.layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    LeakyReLU,
    Sequential,
    Tanh,
)


def sizes(draw, axes):
    """Draw what a convolution and its transpose have in common: kernel, stride, padding, dilation, groups, channels."""
    per_axis = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * axes))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    options = {
        "kernel": per_axis(1, 4 if axes < 3 else 3), "stride": per_axis(1, 3), "padding": per_axis(0, 3),
        "dilation": per_axis(1, 2), "groups": groups, "bias": draw(st.booleans()),
    }  # fmt: skip
    return groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), options


def conv(Layer, axes, padding_mode="zero"):
    def make(draw, rng):
        C, O, options = sizes(draw, axes)
        spans = [d * (k - 1) + 1 for k, d in zip(options["kernel"], options["dilation"], strict=True)]
        sides = [
            draw(st.integers(max(span - 2 * p, 1), max(span - 2 * p, 1) + 3))
            for span, p in zip(spans, options["padding"], strict=True)
        ]
        if padding_mode == "reflect":  # a mirror needs more pixels than it adds
            sides = [max(side, p + 1) for side, p in zip(sides, options["padding"], strict=True)]
        layer = Layer(C, O, rng=rng, padding_mode=padding_mode, **options)
        return layer, (draw(st.integers(1, 2)), *sides, C)

    return make


def transposed(Layer, axes):
    def make(draw, rng):
        C, O, options = sizes(draw, axes)
        options["output_padding"] = tuple(draw(st.integers(0, s - 1)) for s in options["stride"])
        sides = []
        for k, s, p, d, extra in zip(
            options["kernel"], options["stride"], options["padding"], options["dilation"], options["output_padding"],
            strict=True,
        ):  # fmt: skip
            least = -(-(2 * p - d * (k - 1) - extra) // s) + 1  # y has at least one pixel
            sides.append(draw(st.integers(max(least, 1), max(least, 1) + 2)))
        return Layer(C, O, rng=rng, **options), (draw(st.integers(1, 2)), *sides, C)

    return make


def network(draw, rng):
    C = draw(st.integers(1, 2))
    net = Sequential(
        Conv2d(C, 3, 4, stride=2, padding=1, rng=rng), Tanh(),
        Conv2d(3, 2, 3, padding=1, rng=rng), LeakyReLU(0.2),
        ConvTranspose2d(2, C, 4, stride=2, padding=1, rng=rng), Tanh(),
    )  # fmt: skip
    return net, (draw(st.integers(1, 2)), draw(st.sampled_from([4, 6])), draw(st.sampled_from([2, 4])), C)


SMOOTH = {
    "Conv1d": conv(Conv1d, 1),
    "Conv2d": conv(Conv2d, 2),
    "Conv3d": conv(Conv3d, 3),
    "Conv1d, reflect": conv(Conv1d, 1, "reflect"),
    "Conv2d, reflect": conv(Conv2d, 2, "reflect"),
    "ConvTranspose1d": transposed(ConvTranspose1d, 1),
    "ConvTranspose2d": transposed(ConvTranspose2d, 2),
    "ConvTranspose3d": transposed(ConvTranspose3d, 3),
}
COMPOSED = {"convolutional network": network}
