"""Styles: a vector for each sample says how much each channel counts, as in StyleGAN2's synthesis.

ModulatedConv2d is put together from layers that are there; Demodulation alone has a derivative that
is new. Styled hands styles to its layers, Synthesis starts them from a constant. docs/styles.md
derives all, to second order.
"""

from functools import partial

from scratchgan import xp
from scratchgan.initializers import he, normal
from scratchgan.layers import sums
from scratchgan.layers.base import Layer, check
from scratchgan.layers.compose import Each, Fork, Part, Sequential
from scratchgan.layers.condition import Conditional, demand_pair
from scratchgan.layers.conv import Conv2d
from scratchgan.layers.dense import Dense
from scratchgan.layers.pairs import Modulate
from scratchgan.layers.shape import Row
from scratchgan.param import Param

# ---- a convolution for each sample ---------------------------------------------------------------


class Demodulation(Layer):
    """d[n, o] = gain / sqrt(sum over k, i of (s[n, i] W[k, i, o])^2 + eps): (N, I) -> (N, O).

    What the outputs of a convolution are multiplied by when s has scaled its inputs: if these have
    variance 1, then so have its outputs, times gain^2 (Karras et al. 2020, section 2.2). W is that
    convolution's own Param: both add to its gradient.
    """

    def __init__(self, W, *, gain=1.0, eps=1e-8):
        self.W, self.gain, self.eps = W, float(gain), float(eps)

    def __repr__(self):
        return f"Demodulation{self.W.value.shape[-2:]}"

    def forward(self, s, train=True):
        check(self, "s", s)
        check(self, "s", s, (*s.shape[:1], self.W.value.shape[-2]), self.W.value.dtype)
        W = self.weights()
        q = (W * W).sum(0)  # (I, O)
        r = 1 / xp.sqrt((s * s) @ q + self.eps)  # (N, O)
        return self.gain * r, (s, q, r)

    def weights(self):
        """Return W as (positions of the kernel, I, O)."""
        W = self.W.effective()
        return W.reshape(-1, *W.shape[-2:])

    # With v = s^2 q + eps and r = v^(-1/2), d = gain r: dd/dv = -gain r^3 / 2.

    def pull(self, tape, dy):
        s, q, r = tape
        check(self, "dy", dy, r.shape, r.dtype)
        dv = (-0.5 * self.gain) * r**3 * dy  # (N, O)
        return 2 * s * (dv @ q.T), dy

    def accumulate(self, tape, dy):
        s, _, r = tape
        check(self, "dy", dy, r.shape, r.dtype)
        dv = (-0.5 * self.gain) * r**3 * dy
        self.take_in((s * s).T @ dv)

    def take_in(self, dq):
        """Add to the gradient of W, given that of q, the sum of W^2 over the kernel."""
        W = self.weights()
        self.W.accumulate((2 * W * dq).reshape(self.W.value.shape))

    def double_backward(self, tape, dy, dds):
        # <dds, ds> = <dv, m>, with m = 2 (s dds) q, how v moves along dds; and dv varies with v.
        s, q, r = tape
        check(self, "dds", dds, s.shape, s.dtype)
        m = (2 * s * dds) @ q
        slope = (-0.5 * self.gain) * r**3
        dv, dv_moved = slope * dy, (0.75 * self.gain) * r**5 * dy * m
        self.take_in((2 * s * dds).T @ dv + (s * s).T @ dv_moved)
        return slope * m, 2 * dds * (dv @ q.T) + 2 * s * (dv_moved @ q.T)


class ModulatedConv2d(Sequential):
    """y = d(s) conv(W, s x) + b, s = w A + 1, for a pair (x, w): a style scales x's channels.

    The same as a convolution with weights for each sample, W'' = s_i W / sqrt(sum (s_i W)^2 + eps)
    (Karras et al. 2020, section 2.2), but as one large product, as their training code computes it.
    x: (N, H, W_, in_channels); w: (N, features). demodulate=False: y = conv(W, s x) + b, for the
    layer that makes pixels. gain: what d is multiplied by; sqrt(2) before a LeakyReLU keeps the
    variance. A starts as N(0, 1 / features), the style's bias as 1: with 0, no x would pass.
    """

    def __init__(
        self, in_channels, out_channels, kernel, features, *, padding=0, bias=True,
        demodulate=True, gain=1.0, rng, initialize=he,
    ):  # fmt: skip
        if not demodulate and gain != 1:
            wanted = "is a factor of d: demodulate, or take 1"
            raise ValueError(f"ModulatedConv2d: gain {gain} {wanted}")
        self.in_channels, self.out_channels = in_channels, out_channels
        narrow = partial(normal, std=features**-0.5)
        self.style = Dense(features, in_channels, rng=rng, initialize=narrow)
        self.style.b.value[...] = 1
        own_bias = bias and not demodulate
        options = {"padding": padding, "bias": own_bias, "rng": rng, "initialize": initialize}
        self.convolution = Conv2d(in_channels, out_channels, kernel, **options)
        layers = [Each(Sequential(), self.style), Modulate(), self.convolution]
        if demodulate:
            d = Sequential(Part(1), Demodulation(self.convolution.W, gain=gain))
            layers = [layers[0], Fork(Sequential(*layers[1:]), d), Modulate()]
            layers += [Bias(out_channels)] if bias else []
        super().__init__(*layers)

    def __repr__(self):
        kernel = self.convolution.kernel if hasattr(self, "convolution") else "?"
        return f"ModulatedConv2d({self.in_channels}, {self.out_channels}, {kernel})"


class Bias(Layer):
    """y = x + b, b (C,), for x (N, ..., C): the bias of a layer that another one follows first."""

    def __init__(self, channels):
        self.b = Param(xp.zeros(channels, dtype="float32"))

    def __repr__(self):
        return f"Bias({self.b.value.size})"

    def forward(self, x, train=True):
        check(self, "x", x)
        check(self, "x", x, (*x.shape[:-1], self.b.value.size), self.b.value.dtype)
        return x + self.b.value, x.shape

    def pull(self, shape, dy):
        check(self, "dy", dy, shape, self.b.value.dtype)
        return dy, None

    def accumulate(self, shape, dy):
        check(self, "dy", dy, shape, self.b.value.dtype)
        self.b.grad += sums.over_rows(dy)

    def double_backward(self, shape, kept, ddx):
        check(self, "ddx", ddx, shape, self.b.value.dtype)
        return ddx, None  # dx = dy, whatever x and b are


class Noise(Layer):
    """y = x + strength n, n ~ N(0, 1) for each sample and pixel, the same for all of its channels.

    What chance decides in a picture, hair by hair (Karras et al. 2019, section 3.2). strength, one
    number, starts at 0. n is drawn on the host at each forward in training, and kept on the tape;
    in inference it is `fixed`, (1, *sides, 1), so that a picture repeats, as in the authors' code:
    `noise.fixed[...] = 0` turns it off. x: (N, *sides, C).
    """

    def __init__(self, *sides, rng):
        self.rng = rng
        self.strength = Param(xp.zeros(1, dtype="float32"))
        self.fixed = self.draw((1, *sides, 1), "float32")

    def __repr__(self):
        return f"Noise{self.fixed.shape[1:-1]}"

    def draw(self, shape, dtype):
        """Return numbers from N(0, 1) of a shape, drawn on the host."""
        return xp.to_device(self.rng.standard_normal(shape, dtype="float32"), dtype)

    def forward(self, x, train=True):
        sides = self.fixed.shape[1:-1]
        check(self, "x", x)
        check(self, "x", x, (*x.shape[:1], *sides, *x.shape[-1:]), self.strength.value.dtype)
        n = self.draw((len(x), *sides, 1), x.dtype) if train else self.fixed
        return x + self.strength.value * n, (x.shape, n)

    def pull(self, tape, dy):
        check(self, "dy", dy, tape[0], self.strength.value.dtype)
        return dy, None

    def accumulate(self, tape, dy):
        shape, n = tape
        check(self, "dy", dy, shape, self.strength.value.dtype)
        self.strength.grad += (dy * n).sum()

    def double_backward(self, tape, kept, ddx):
        check(self, "ddx", ddx, tape[0], self.strength.value.dtype)
        return ddx, None  # dx = dy, whatever x and the strength are


# ---- who gets which style ------------------------------------------------------------------------


class Styled(Conditional):
    """y = f_n(... f_1(x)) for a pair (x, styles): the i-th layer of pairs gets styles[:, i].

    styles: (N, styles of this network, F), each with a gradient, other than labels. `styles` says
    how many. A container among the layers is one of them, and hands its style to all inside.
    Raises ValueError for another number of styles.
    """

    def __init__(self, *layers):
        self.styles, told = 0, []
        for layer in layers:
            if layer.takes_pair:
                own = Each(Sequential(), Row(self.styles))
                layer, self.styles = Sequential(own, layer), self.styles + 1
            told.append(layer)
        super().__init__(*told)

    def demand(self, pair):
        demand_pair(self, pair)
        shape = pair[1].shape
        if len(shape) != 3 or shape[1] != self.styles:
            wanted = f"(N, {self.styles}, F): one for each layer that takes a pair"
            raise ValueError(f"{self!r}: styles have shape {shape}, wanted {wanted}")


class Constant(Layer):
    """y[n] = start, a Param (*shape), for each sample of an x (N, ...), whatever x says.

    Where a StyleGAN's picture begins (Karras et al. 2019, section 2). start is drawn from N(0, 1).
    """

    def __init__(self, *shape, rng):
        self.start = Param(normal(shape, rng, std=1.0))

    def __repr__(self):
        return f"Constant{self.start.value.shape}"

    def forward(self, x, train=True):
        check(self, "x", x, dtype=self.start.value.dtype)
        return xp.repeat(self.start.value[None], len(x), axis=0), x.shape

    def pull(self, shape, dy):
        check(self, "dy", dy, (shape[0], *self.start.value.shape), self.start.value.dtype)
        return xp.zeros(shape, dtype=dy.dtype), None

    def accumulate(self, shape, dy):
        check(self, "dy", dy, (shape[0], *self.start.value.shape), self.start.value.dtype)
        self.start.grad += dy.sum(0)

    def double_backward(self, shape, kept, ddx):
        check(self, "ddx", ddx, shape, self.start.value.dtype)
        return None, None  # dx is 0, whatever is varied


class Synthesis(Sequential):
    """A picture of styles alone, (N, styles of this network, F): a learned constant, then `Styled`.

    shape: that of the constant, such as (7, 7, 48). StyleGAN's synthesis network: noise, nonlinear
    functions and what enlarges stand among the layers, which else take the styles one by one.
    """

    def __init__(self, shape, *layers, rng):
        self.styled = Styled(*layers)
        super().__init__(Fork(Constant(*shape, rng=rng), Sequential()), self.styled)

    def __repr__(self):
        return f"Synthesis of {self.styled.styles} styles"

    @property
    def styles(self):
        return self.styled.styles
