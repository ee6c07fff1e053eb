"""How a label or a style enters a network: as channels, in a normalisation, in a score.

Each layer takes a pair, and stands at the bottom of a Sequential or in a Conditional. Labels are
integers (N,), and have no gradient: dx is (dx of x, None). A style (N, F) has one. `docs/labels.md`
shows which family uses which.
"""

from functools import partial

from scratchgan import xp
from scratchgan.initializers import normal
from scratchgan.layers import sums
from scratchgan.layers.base import Layer, check, check_labels
from scratchgan.layers.compose import Add, Each, Fork, Join, Part, Sequential, demand_tuple, kind
from scratchgan.layers.dense import Dense, Embedding, sum_by_class
from scratchgan.layers.norm import BatchNorm
from scratchgan.layers.pairs import Dot, Modulate
from scratchgan.param import Param


class Conditional(Sequential):
    """y = f_n(... f_1(x)) for a pair (x, condition): labels or a style travel along a Sequential.

    A layer that takes a pair, such as `LabelChannels`, is given what comes from below and the
    condition; every other layer is given what comes from below. dx is a pair, too: (dx, None) for
    labels; for a style, its second part is the sum of what all layers say. Raises TypeError where x
    is no pair, ValueError where the condition is not one for each sample.
    """

    takes_pair = True

    def __init__(self, *layers):
        # Each step maps (x, condition) to (f(x), condition) or (f(x, condition), condition).
        alone = lambda layer: Each(layer, Sequential())
        steps = [Fork(layer, Part(1)) if layer.takes_pair else alone(layer) for layer in layers]
        super().__init__(*steps, Part(0))

    def __repr__(self):
        return f"{type(self).__name__} of {len(self.layers) - 1} layers"

    def parts(self):
        return self.attributes() + self.inside()

    def inside(self):
        """Return [(name, layer)] of the layers that it was made of."""
        return [(str(index), step.layers[0]) for index, step in enumerate(self.layers[:-1])]

    def demand(self, pair):
        """Raise TypeError or ValueError unless x is a pair that this container can take."""
        demand_pair(self, pair)

    def forward(self, pair, train=True):
        self.demand(pair)
        return super().forward(pair, train)


class LabelChannels(Sequential):
    """y = [x, W[label]]: an embedding of the label beside x, everywhere (Mirza & Osindero 2014).

    x: (N, ..., C); y: (N, ..., C + features). W, (classes, features), starts as N(0, 1), like a z.
    """

    def __init__(self, classes, features, *, rng):
        self.classes, self.features = classes, features
        self.embedding = Embedding(classes, features, rng=rng, initialize=partial(normal, std=1.0))
        super().__init__(Each(Sequential(), self.embedding), Join())

    def __repr__(self):
        return f"LabelChannels({self.classes}, {self.features})"

    def forward(self, pair, train=True):
        demand_labels(self, pair)
        return super().forward(pair, train)


class Projection(Sequential):
    """y = <x, V[label]> + x w + b: a score, given the label (Miyato & Koyama 2018, section 3).

    x: (N, features); y: (N, 1). x w + b says how real x looks, <x, V[label]> how like its class.
    """

    def __init__(self, features, classes, *, rng):
        self.features, self.classes = features, classes
        self.score = Dense(features, 1, rng=rng)
        self.embedding = Embedding(classes, features, rng=rng)
        score = Sequential(Part(0), self.score)
        likeness = Sequential(Each(Sequential(), self.embedding), Dot())
        super().__init__(Fork(score, likeness), Add())

    def __repr__(self):
        return f"Projection({self.features}, {self.classes})"

    def forward(self, pair, train=True):
        demand_labels(self, pair)
        return super().forward(pair, train)


class ConditionalAffine(Layer):
    """y = (1 + gamma[label]) x + beta[label], for x of shape (N, ..., C).

    gamma and beta, (classes, C), start as zeros: the identity.
    """

    takes_pair = True

    def __init__(self, classes, channels):
        self.classes, self.channels = classes, channels
        self.gamma = Param(xp.zeros((classes, channels), dtype="float32"))
        self.beta = Param(xp.zeros((classes, channels), dtype="float32"))

    def __repr__(self):
        return f"ConditionalAffine({self.classes}, {self.channels})"

    def forward(self, pair, train=True):
        demand_labels(self, pair)
        x, labels = pair
        check(self, "x", x, (*x.shape[:-1], self.channels), self.gamma.value.dtype)
        gain = sums.across(1 + self.gamma.value[labels], x.shape)  # (N, 1, ..., C)
        return x * gain + sums.across(self.beta.value[labels], x.shape), (x, labels, gain)

    def pull(self, tape, dy):
        x, _, gain = tape
        check(self, "dy", dy, x.shape, x.dtype)
        return (dy * gain, None), dy

    def accumulate(self, tape, dy):
        x, labels, _ = tape
        check(self, "dy", dy, x.shape, x.dtype)
        self.gamma.grad += sum_by_class(labels, sums.over_positions(dy * x), self.classes)
        self.beta.grad += sum_by_class(labels, sums.over_positions(dy), self.classes)

    def double_backward(self, tape, dy, ddx):
        # dx = gain dy is linear in dy and gamma, and does not depend on x or beta: no bend.
        x, labels, gain = tape
        ddx, _ = ddx
        if ddx is None:
            return None, None
        check(self, "ddx", ddx, x.shape, x.dtype)
        self.gamma.grad += sum_by_class(labels, sums.over_positions(ddx * dy), self.classes)
        return ddx * gain, None


class FiLM(Sequential):
    """y = (1 + g(s)) x + h(s): a style s scales and shifts channels (Perez et al. 2018).

    g and h are Dense. x: (N, ..., C); s: (N, features), which has a gradient, other than a label. g and h start as
    zeros: the identity. After InstanceNorm(affine=False) it is AdaIN (Huang & Belongie 2017).
    """

    def __init__(self, features, channels, *, rng):
        self.features, self.channels = features, channels
        self.gain = Dense(features, channels, rng=rng, initialize=partial(normal, std=0.0))
        self.shift = Dense(features, channels, rng=rng, initialize=partial(normal, std=0.0))
        scaled = Sequential(Each(Sequential(), self.gain), Modulate())
        super().__init__(Fork(Part(0), scaled, Sequential(Part(1), self.shift)), Add())

    def __repr__(self):
        return f"FiLM({self.features}, {self.channels})"


class ConditionalBatchNorm(Conditional):
    """y = (1 + gamma[label]) xhat + beta[label], xhat as in BatchNorm (Dumoulin et al. 2017).

    Mean and variance are the whole batch's (de Vries et al. 2017). It starts as a batch norm.
    """

    def __init__(self, classes, channels, *, eps=1e-5, momentum=0.1):
        normalize = BatchNorm(channels, eps=eps, momentum=momentum, affine=False)
        super().__init__(normalize, ConditionalAffine(classes, channels))


def demand_pair(owner, pair):
    """Raise TypeError unless x is a pair, ValueError unless it holds a label for each sample."""
    demand_tuple(owner, pair, 2, "a pair (x, labels): inside a network, a Conditional hands it on")
    x, labels = pair
    check(owner, "x", x)
    if getattr(labels, "shape", ())[:1] != x.shape[:1]:
        got = getattr(labels, "shape", kind(labels))
        wanted = f"{x.shape[:1]}: one for each sample of x"
        raise ValueError(f"{owner!r}: labels are {got}, wanted {wanted}")


def demand_labels(layer, pair):
    """Raise TypeError or ValueError unless a layer's input is a pair, with a label per sample."""
    demand_pair(layer, pair)
    x, labels = pair
    check_labels(layer, "labels", labels, layer.classes, x.shape[:1])
