"""Attention: each position of a sequence or a picture mixes what stands at the others.

There is no derivative here but a mask's and a gain's. Scores, Softmax and Mix have theirs.
docs/attention.md walks through both orders.
"""

import math

from scratchgan import xp
from scratchgan.initializers import glorot
from scratchgan.layers.activations import Softmax
from scratchgan.layers.base import Layer, check
from scratchgan.layers.compose import Fork, Residual, Sequential
from scratchgan.layers.dense import Dense
from scratchgan.layers.pairs import Mix, Scores
from scratchgan.layers.pool import MaxPool
from scratchgan.layers.shape import Reshape
from scratchgan.param import Param

HIDDEN = -1e9  # a score whose softmax is 0, in float32 too


class Causal(Layer):
    """y[n, i, j] = x[n, i, j] where j <= i, else -1e9: scores (N, L, L) that hide the future.

    It stands before the softmax, as in Vaswani et al. 2017: weights that are set to zero only
    after the softmax would no longer sum to 1.
    """

    def __repr__(self):
        return "Causal()"

    def visible(self, x, name):
        """Return where key j is no later than query i, (L, L); raise ValueError for another x."""
        check(self, name, x)
        if x.ndim != 3 or x.shape[1] != x.shape[2]:
            raise ValueError(f"{self!r}: {name} has shape {x.shape}, wanted scores (N, L, L)")
        positions = xp.arange(x.shape[1])
        return positions <= positions[:, None]

    def forward(self, x, train=True):
        visible = self.visible(x, "x")
        return xp.where(visible, x, xp.asarray(HIDDEN, dtype=x.dtype)), x.shape

    def pull(self, shape, dy):
        check(self, "dy", dy, shape)
        return dy * self.visible(dy, "dy"), None

    def double_backward(self, shape, kept, ddx):
        # dx is linear in dy, and does not depend on x.
        check(self, "ddx", ddx, shape)
        return ddx * self.visible(ddx, "ddx"), None


class Attention(Sequential):
    """y = softmax(q k^T / sqrt(F)) v with q = x W_q, k = x W_k, v = x W_v: one head of attention.

    x is (N, ..., in_features), y (N, ..., F), F = features (Vaswani et al. 2017, eq. 1). Causal: a
    position of x (N, L, C) sees itself and what stands before it. Several heads are a Concat of
    Attentions with a Dense behind it. `weights(x)` is the map, (N, I, J): a row for each query.
    """

    def __init__(self, in_features, features, *, causal=False, rng):
        self.in_features, self.features, self.causal = in_features, features, causal
        options = {"rng": rng, "bias": False, "initialize": glorot}
        q, k, v = (Dense(in_features, features, **options) for _ in range(3))
        mask = [Causal()] if causal else []
        scores = Scores(1 / math.sqrt(features))
        self.weights = Sequential(Fork(q, k), scores, *mask, Softmax())
        super().__init__(Fork(self.weights, v), Mix())

    def __repr__(self):
        return f"Attention({self.in_features}, {self.features})"


class Gain(Layer):
    """y = gamma x: gamma, one number for all of x, is learned and starts at 0."""

    def __init__(self):
        self.gamma = Param(xp.zeros(1, dtype="float32"))

    def __repr__(self):
        return "Gain()"

    def forward(self, x, train=True):
        check(self, "x", x, dtype=self.gamma.value.dtype)
        return self.gamma.value * x, x

    def pull(self, x, dy):
        check(self, "dy", dy, x.shape, x.dtype)
        return self.gamma.value * dy, dy

    def accumulate(self, x, dy):
        check(self, "dy", dy, x.shape, x.dtype)
        self.gamma.grad += (x * dy).sum()

    def double_backward(self, x, dy, ddx):
        # dx = gamma dy is linear in gamma and dy, and does not depend on x.
        check(self, "ddx", ddx, x.shape, x.dtype)
        self.gamma.grad += (ddx * dy).sum()
        return self.gamma.value * ddx, None


class PictureAttention(Residual):
    """y = x + gamma softmax(q k^T) v W_o: each pixel mixes what stands at the others (SAGAN).

    x and y are (N, H, W_, C), `sides` is (H, W_) and `channels` C. As in the authors' code (Zhang
    et al. 2019), q and k have C / 8 channels, v has C / 2, k and v are the largest of 2 x 2 pixels
    each, and there is no root; gamma starts at 0, and so y = x at first. `weights(x)` is the map,
    (N, H W_, places of k): a row for each pixel.
    """

    def __init__(self, channels, sides, *, rng):
        if channels < 8 or min(sides) < 2:
            wanted = "wanted 8 channels and sides of 2, or more"
            raise ValueError(f"PictureAttention: got {channels} and {sides}, {wanted}")
        options = {"rng": rng, "bias": False, "initialize": glorot}
        q, k, v = (Dense(channels, channels // part, **options) for part in (8, 8, 2))
        keys, values = Sequential(k, MaxPool(2)), Sequential(v, MaxPool(2))
        self.weights = Sequential(Fork(q, keys), Scores(), Softmax())
        out = Dense(channels // 2, channels, **options)
        mixed = Fork(self.weights, values), Mix(), out, Reshape(*sides, channels)
        super().__init__(Sequential(*mixed, Gain()))

    def __repr__(self):
        return f"PictureAttention({self.body.layers[2].out_features})"
