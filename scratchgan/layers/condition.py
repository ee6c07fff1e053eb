"""How a label enters a network: as further channels, in a normalisation, in a score; and a network given its labels.

Each layer but `Given` takes a pair (x, labels), labels integers (N,), and stands in a `Conditional`. Labels have no
gradient: dx is that of x. `docs/labels.md` derives the layers, and shows which family uses which.
"""

from functools import partial

from scratchgan import xp
from scratchgan.initializers import normal
from scratchgan.layers.base import Layer, check
from scratchgan.layers.compose import Conditional, unpair
from scratchgan.layers.dense import Dense, Embedding, check_labels, sum_by_class
from scratchgan.layers.norm import BatchNorm, row_sums
from scratchgan.param import Param


class Given(Layer):
    """y = f(x, labels) as a function of x alone: a network together with the labels of one batch.

    For what asks a network about x, such as penalties.wgan_gp(Given(D, labels), real, fake, rng=rng).
    """

    def __init__(self, layer, labels):
        self.layer = layer
        self.pair = lambda x: (x, labels)  # labels are no part of what the network is: they are not saved with it

    def __repr__(self):
        return f"Given({self.layer!r})"

    def forward(self, x, train=True):
        return self.layer.forward(self.pair(x), train)

    def backward(self, tape, dy, grads=True):
        return self.layer.backward(tape, dy, grads)

    def double_backward(self, tape, dy, ddx, grads=True):
        return self.layer.double_backward(tape, dy, ddx, grads)


class LabelChannels(Layer):
    """y = [x, W[label]]: an embedding of the label beside x, the same at every position (Mirza & Osindero 2014).

    x: (N, ..., C); y: (N, ..., C + features). W, (classes, features), starts as N(0, 1): as large as a latent vector.
    """

    takes_labels = True

    def __init__(self, classes, features, *, rng):
        self.classes, self.features = classes, features
        self.embedding = Embedding(classes, features, rng=rng, initialize=partial(normal, std=1.0))

    def __repr__(self):
        return f"LabelChannels({self.classes}, {self.features})"

    def forward(self, pair, train=True):
        x, labels = unpair(self, pair)
        check(self, "x", x, dtype=self.embedding.W.value.dtype)
        check_labels(self, "labels", labels, self.classes)
        codes, labels = self.embedding.forward(labels)  # (N, features)
        codes = xp.broadcast_to(across(codes, x.shape), (*x.shape[:-1], codes.shape[-1]))
        return xp.concatenate([x, codes], axis=-1), (labels, x.shape)

    def backward(self, tape, dy, grads=True):
        labels, shape = tape
        check(self, "dy", dy, (*shape[:-1], shape[-1] + self.features))
        if grads:
            self.embedding.backward(labels, sum_positions(dy[..., shape[-1] :]))
        return xp.ascontiguousarray(dy[..., : shape[-1]])

    def double_backward(self, tape, dy, ddx, grads=True):
        # dx is a part of dy, whatever x and W are.
        labels, shape = tape
        check(self, "ddx", ddx, shape)
        return xp.concatenate([ddx, xp.zeros((*shape[:-1], self.features), dtype=dy.dtype)], axis=-1), None


class Join(Layer):
    """y = [f(x), g(c)] for a pair (x, c): what g makes of a condition c beside f(x), the same at every position.

    f(x): (N, ..., F); g(c): (N, E); y: (N, ..., F + E). c is data, such as the words of a caption (Reed et al. 2016,
    section 4.1): it has no gradient, so that dx is of x alone. It stands at the bottom of a Sequential.
    """

    passes_directions = False  # g(c) does not depend on x, and is not asked

    def __init__(self, f, g):
        self.f, self.g = f, g

    def __repr__(self):
        return f"Join({self.f!r}, {self.g!r})"

    def forward(self, pair, train=True):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"{self!r}: the input is a {type(pair).__name__}, wanted a pair (x, condition)")
        y, f_tape = self.f.forward(pair[0], train)
        told, g_tape = self.g.forward(pair[1], train)  # (N, E)
        check(self, "g(condition)", told, (len(y), told.shape[-1]), y.dtype)
        told = xp.broadcast_to(across(told, y.shape), (*y.shape[:-1], told.shape[-1]))
        joined = xp.concatenate([y, told], axis=-1)
        return joined, (f_tape, g_tape, y.shape[-1], joined.shape)

    def backward(self, tape, dy, grads=True):
        f_tape, g_tape, features, shape = tape
        check(self, "dy", dy, shape)
        if grads:
            self.g.backward(g_tape, sum_positions(dy[..., features:]))
        return self.f.backward(f_tape, xp.ascontiguousarray(dy[..., :features]), grads)

    def double_backward(self, tape, dy, ddx, grads=True):
        # dx is what f makes of its part of dy; g(c) does not depend on x, so that its part of ddy is 0.
        f_tape, _, features, _ = tape
        ddy, bend = self.f.double_backward(f_tape, xp.ascontiguousarray(dy[..., :features]), ddx, grads)
        return xp.concatenate([ddy, xp.zeros_like(dy[..., features:])], axis=-1), bend


class Projection(Layer):
    """y = <x, V[label]> + x w + b: the score of features x, given the label (Miyato & Koyama 2018, section 3).

    x: (N, features); y: (N, 1). x w + b, a Dense layer: how real x looks; the scalar product: how much like its class.
    """

    takes_labels = True

    def __init__(self, features, classes, *, rng):
        self.features, self.classes = features, classes
        self.score = Dense(features, 1, rng=rng)
        self.embedding = Embedding(classes, features, rng=rng)

    def __repr__(self):
        return f"Projection({self.features}, {self.classes})"

    def forward(self, pair, train=True):
        x, labels = unpair(self, pair)
        check_labels(self, "labels", labels, self.classes)
        y, x_tape = self.score.forward(x, train)
        v, labels = self.embedding.forward(labels, train)  # (N, features)
        return y + (x * v).sum(1, keepdims=True), (x_tape, labels, v)

    def backward(self, tape, dy, grads=True):
        x, labels, v = tape
        dx = self.score.backward(x, dy, grads)
        if grads:
            self.embedding.backward(labels, dy * x)
        return dx + dy * v

    def double_backward(self, tape, dy, ddx, grads=True):
        # dx = dy w^T + dy v is linear in dy, w and v, and does not depend on x: there is no bend.
        x, labels, v = tape
        ddy, _ = self.score.double_backward(x, dy, ddx, grads)
        if grads:
            self.embedding.backward(labels, dy * ddx)
        return ddy + (ddx * v).sum(1, keepdims=True), None


class ConditionalAffine(Layer):
    """y = (1 + gamma[label]) x + beta[label], for x of shape (N, ..., C).

    gamma and beta, (classes, C), start as zeros: the identity.
    """

    takes_labels = True

    def __init__(self, classes, channels):
        self.classes, self.channels = classes, channels
        self.gamma = Param(xp.zeros((classes, channels), dtype="float32"))
        self.beta = Param(xp.zeros((classes, channels), dtype="float32"))

    def __repr__(self):
        return f"ConditionalAffine({self.classes}, {self.channels})"

    def forward(self, pair, train=True):
        x, labels = unpair(self, pair)
        check(self, "x", x, (*x.shape[:-1], self.channels), self.gamma.value.dtype)
        check_labels(self, "labels", labels, self.classes)
        gain = across(1 + self.gamma.value[labels], x.shape)  # (N, 1, ..., C)
        return x * gain + across(self.beta.value[labels], x.shape), (x, labels, gain)

    def backward(self, tape, dy, grads=True):
        x, labels, gain = tape
        check(self, "dy", dy, x.shape, x.dtype)
        if grads:
            self.gamma.grad += sum_by_class(labels, sum_positions(dy * x), self.classes)
            self.beta.grad += sum_by_class(labels, sum_positions(dy), self.classes)
        return dy * gain

    def double_backward(self, tape, dy, ddx, grads=True):
        # dx = gain dy is linear in dy and in gamma, and does not depend on x or beta: there is no bend.
        x, labels, gain = tape
        check(self, "ddx", ddx, x.shape, x.dtype)
        if grads:
            self.gamma.grad += sum_by_class(labels, sum_positions(ddx * dy), self.classes)
        return ddx * gain, None


class ConditionalBatchNorm(Conditional):
    """y = (1 + gamma[label]) xhat + beta[label], xhat as in BatchNorm (Dumoulin et al. 2017; de Vries et al. 2017).

    Only gain and shift are of the class: mean and variance are those of the whole batch. A batch norm at the start.
    """

    def __init__(self, classes, channels, *, eps=1e-5, momentum=0.1):
        normalize = BatchNorm(channels, eps=eps, momentum=momentum, affine=False)
        super().__init__(normalize, ConditionalAffine(classes, channels))


# ---- helpers ---------------------------------------------------------------------------------------------


def across(rows, shape):
    """Return (N, C) as (N, 1, ..., 1, C), to be spread over the positions of an x of this shape (N, ..., C)."""
    return rows.reshape(len(rows), *[1] * (len(shape) - 2), rows.shape[-1])


def sum_positions(x):
    """Return the sum over all positions: (N, ..., C) -> (N, C)."""
    return row_sums(x.reshape(len(x), -1, x.shape[-1]))
