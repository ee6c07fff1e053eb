"""Critics, gradient penalties, and what must hold of each pair: shared by the tests and by the planted bugs."""

import copy
from typing import NamedTuple

import numpy as np
from laws import close, in_complex
from rows_norm import drawn

from scratchgan import penalties
from scratchgan.data import to_signed
from scratchgan.gradcheck import complex_step, ridders
from scratchgan.layers import (
    AvgPool,
    BatchNorm,
    Concat,
    Conditional,
    ConditionalAffine,
    Conv2d,
    Dense,
    Flatten,
    GroupNorm,
    InstanceNorm,
    LabelChannels,
    Layer,
    LayerNorm,
    LeakyReLU,
    Projection,
    Residual,
    Sequential,
    Softplus,
    Tanh,
)
from scratchgan.weights import spectral_norm, weight_norm

# ---- critics: a small one of every kind that a penalty meets ---------------------------------------------


class Watched(LeakyReLU):
    """A LeakyReLU that remembers on which side of its kink each number was."""

    sides = b""

    def f(self, x):
        self.sides = (x > 0).tobytes()
        return super().f(x)


def sides(net):
    """Return where every number of the last forward was, seen from its kink."""
    return [layer.sides for _, layer in net.named_layers() if isinstance(layer, Watched)]


def mlp(f, rng, norm=None):
    between = [] if norm is None else [norm]
    layers = (Dense(3, 4, rng=rng), *between, f(), Dense(4, 3, rng=rng), f(), Dense(3, 1, rng=rng))
    return Sequential(*layers), (3,)


def cnn(f, rng, norm=None):
    between = [] if norm is None else [norm]
    layers = (
        Conv2d(2, 4, (3, 2), stride=2, padding=1, rng=rng), *between, f(),
        Conv2d(4, 2, 2, padding=1, rng=rng), f(), AvgPool(2), Flatten(), Dense(4, 1, rng=rng),
    )  # fmt: skip
    return Sequential(*layers), (5, 3, 2)


def branched(f, rng):
    """Both kinds of branches, one inside the other."""
    body = Sequential(Dense(3, 4, rng=rng), f(), Dense(4, 3, rng=rng))
    beside = Concat(Sequential(), Sequential(Residual(body), f()), Dense(3, 1, rng=rng))
    return Sequential(beside, Dense(7, 3, rng=rng), f(), Dense(3, 1, rng=rng)), (3,)


def patches(f, rng):
    """A score for every patch of the image, (N, 3, 2, 1)."""
    return Sequential(Conv2d(2, 2, 3, stride=2, padding=1, rng=rng), f(), Conv2d(2, 1, 1, rng=rng)), (5, 3, 2)


def projecting(f, rng):
    """A score of x, and one of x for its label (Miyato & Koyama 2018)."""
    return Conditional(Dense(3, 4, rng=rng), f(), Dense(4, 4, rng=rng), f(), Projection(4, CLASSES, rng=rng)), (3,)


def told(f, rng):
    """A label beside the picture, and in the gains."""
    layers = (
        LabelChannels(CLASSES, 2, rng=rng), Conv2d(4, 4, (3, 2), stride=2, padding=1, rng=rng), f(),
        ConditionalAffine(CLASSES, 4), Conv2d(4, 2, 2, padding=1, rng=rng), f(), AvgPool(2), Flatten(),
        Dense(4, 1, rng=rng),
    )  # fmt: skip
    return Conditional(*layers), (5, 3, 2)


def spectral(made, rng):
    net, shape = made
    return spectral_norm(net, rng=rng), shape


def weight_normed(made):
    net, shape = made
    return weight_norm(net), shape


CRITICS = {
    "mlp, leaky": lambda rng: mlp(Watched, rng),
    "mlp, tanh": lambda rng: mlp(Tanh, rng),
    "mlp, softplus": lambda rng: mlp(Softplus, rng),
    "mlp, leaky, layer norm": lambda rng: mlp(Watched, rng, LayerNorm(4, eps=0.1)),
    "mlp, softplus, group norm": lambda rng: mlp(Softplus, rng, GroupNorm(2, 4, eps=0.1)),
    "cnn, leaky": lambda rng: cnn(Watched, rng),
    "cnn, tanh": lambda rng: cnn(Tanh, rng),
    "cnn, softplus, instance norm": lambda rng: cnn(Softplus, rng, InstanceNorm(4)),
    "cnn, tanh, group norm": lambda rng: cnn(Tanh, rng, GroupNorm(2, 4)),
    "cnn, leaky, layer norm": lambda rng: cnn(Watched, rng, LayerNorm(4, eps=0.1)),
    "branches, leaky": lambda rng: branched(Watched, rng),
    "branches, tanh": lambda rng: branched(Tanh, rng),
    "patches, tanh": lambda rng: patches(Tanh, rng),
    "mlp, leaky, spectral": lambda rng: spectral(mlp(Watched, rng), rng),
    "mlp, tanh, spectral": lambda rng: spectral(mlp(Tanh, rng), rng),
    "cnn, softplus, spectral": lambda rng: spectral(cnn(Softplus, rng), rng),
    "mlp, softplus, weight norm": lambda rng: weight_normed(mlp(Softplus, rng)),
    "cnn, leaky, weight norm": lambda rng: weight_normed(cnn(Watched, rng)),
}
BATCH_NORMED = {
    "mlp, tanh, batch norm": lambda rng: mlp(Tanh, rng, BatchNorm(4, eps=0.1)),
    "cnn, leaky, batch norm": lambda rng: cnn(Watched, rng, BatchNorm(4, eps=0.1)),
}


# Critics of pairs (x, labels), with the labels of a batch of three.
CLASSES, LABELS = 4, np.array([2, 0, 2])
CONDITIONAL = {
    "projection, leaky": lambda rng: projecting(Watched, rng),
    "projection, tanh": lambda rng: projecting(Tanh, rng),
    "projection, softplus, spectral": lambda rng: spectral(projecting(Softplus, rng), rng),
    "told cnn, leaky": lambda rng: told(Watched, rng),
    "told cnn, softplus": lambda rng: told(Softplus, rng),
}


class Case(NamedTuple):
    """A critic in float64 with random biases, gains and lengths, and batches of real and of generated samples."""

    D: Sequential
    real: np.ndarray
    fake: np.ndarray


def case(name, seed=2, N=3):
    rng = np.random.default_rng(seed)
    D, shape = (CRITICS | BATCH_NORMED | CONDITIONAL)[name](rng)
    drawn(D.astype(np.float64), rng)
    for path, param in D.named_params().items():
        if path.endswith((".b", ".g")):
            param.value[...] += rng.uniform(-0.5, 0.5, param.value.shape)
        param.stepped()  # `drawn` has overwritten u and v, too
    return Case(D, rng.standard_normal((N, *shape)), rng.standard_normal((N, *shape)) + 1)


# ---- penalties: each with what its paper says of it, sample by sample ------------------------------------


def draws():
    """A fresh generator, the same each time: a penalty and its longhand form take the same numbers from it."""
    return np.random.default_rng(5)


def between(real, fake):
    t = draws().random(len(real))
    return np.array([t[n] * real[n] + (1 - t[n]) * fake[n] for n in range(len(real))])


def around(real, fake):
    return real + 0.5 * real.std() * draws().standard_normal(real.shape)


def fourth_power(g):
    """A penalty of a user's own: E sum g^4, and its gradient."""
    return (g**4).sum() / len(g), 4 * g**3 / len(g)


class Penalty(NamedTuple):
    call: object  # (D, real, fake, **options) -> value
    where: object  # (real, fake) -> the points at which the gradient is taken
    of: object  # what one sample's gradient, a vector, contributes to the mean


def norm(g):
    return sum(number**2 for number in g) ** 0.5


PENALTIES = {
    "wgan_gp": Penalty(
        lambda D, real, fake, **options: penalties.wgan_gp(D, real, fake, rng=draws(), **options),
        between, lambda g: 10 * (norm(g) - 1) ** 2,
    ),
    "wgan_gp, target 0.4": Penalty(
        lambda D, real, fake, **options: penalties.wgan_gp(D, real, fake, rng=draws(), target=0.4, **options),
        between, lambda g: 10 * (norm(g) - 0.4) ** 2,
    ),
    "wgan_gp, one-sided": Penalty(
        lambda D, real, fake, **options: penalties.wgan_gp(
            D, real, fake, rng=draws(), target=0.4, one_sided=True, **options
        ),
        between, lambda g: 10 * max(0, norm(g) - 0.4) ** 2,
    ),
    "lipschitz": Penalty(
        lambda D, real, fake, **options: penalties.lipschitz_penalty(D, real, fake, rng=draws(), **options),
        between, lambda g: 10 * max(0, norm(g) - 1) ** 2,
    ),
    "dragan": Penalty(
        lambda D, real, fake, **options: penalties.dragan(D, real, rng=draws(), **options),
        around, lambda g: 10 * (norm(g) - 1) ** 2,
    ),
    "r1": Penalty(
        lambda D, real, fake, **options: penalties.r1(D, real, **options),
        lambda real, fake: real, lambda g: 5 * norm(g) ** 2,
    ),
    "r2": Penalty(
        lambda D, real, fake, **options: penalties.r2(D, fake, **options),
        lambda real, fake: fake, lambda g: 5 * norm(g) ** 2,
    ),
    "zero_centered": Penalty(
        lambda D, real, fake, **options: penalties.zero_centered(D, real, fake, rng=draws(), **options),
        between, lambda g: 10 * norm(g) ** 2,
    ),
    "custom": Penalty(
        lambda D, real, fake, labels=None, **options: penalties.penalize_gradient(
            D, penalties.told(real, labels), fourth_power, **options
        ),
        lambda real, fake: real, lambda g: sum(number**4 for number in g),
    ),
}  # fmt: skip


# ---- laws ------------------------------------------------------------------------------------------------


def value_and_grads(D, real, fake, penalty, **options):
    """Return a penalty's value and {path: what it adds to that grad}."""
    D = copy.deepcopy(D)
    value = penalty.call(D, real, fake, **options)
    return value, {path: param.grad for path, param in D.named_params().items()}


def value_by_loop(D, real, fake, penalty, labels=None):
    """The value is the mean over samples of what the paper says of each: its gradient taken alone, pixel by pixel."""
    wide, total = in_complex(D), 0.0
    for n, x in enumerate(penalty.where(real, fake)):
        own_label = None if labels is None else labels[n : n + 1]

        def score(x, own_label=own_label):
            return wide.forward(penalties.told(x[None], own_label))[0].sum()

        total += penalty.of([complex_step(score, x, unit(x.shape, i)) for i in np.ndindex(x.shape)]) / len(real)
    value, _ = value_and_grads(D, real, fake, penalty, **({} if labels is None else {"labels": labels}))
    assert abs(value - total) <= 1e-12 * total, f"{value}, by the loop {total}"


def unit(shape, index):
    """Return zeros with a one at an index."""
    v = np.zeros(shape)
    v[index] = 1
    return v


def agrees_with_complex_step(D, real, fake, penalty, **options):
    """The grad of every Param, along random directions, against a complex step of the penalty's value, to 1e-12."""
    _, grads = value_and_grads(D, real, fake, penalty, **options)
    rng = np.random.default_rng(1)
    for path, param in D.named_params().items():
        for _ in range(3):
            v = rng.standard_normal(param.value.shape)

            def value(W, path=path):
                wide = in_complex(D)
                wide.named_params()[path].value[...] = W
                return penalty.call(wide, real + 0j, fake + 0j, **options)

            expected = complex_step(value, param.value, v)
            scale = np.abs(grads[path] * v).sum() + 1e-3 * largest(grads)
            assert abs((grads[path] * v).sum() - expected) <= 1e-12 * scale, path


class ValueOnly(Layer):
    """A critic without the sweeps that add a penalty's gradient: differences take its value alone, and often."""

    def __init__(self, D):
        self.D = D

    def forward(self, x, train=True):
        return self.D.forward(x, train)

    def pull(self, tape, dy):
        return self.D.pull(tape, dy)

    def double_backward(self, tape, kept, ddx):
        return None, None


def agrees_with_differences(D, real, fake, penalty, *, step=3e-4, **options):
    """Every element of every grad against extrapolated differences of the value, to 1e-7 of that grad's largest.

    The estimate of the differences' own error must be ten times smaller, and no number may cross a kink.
    """
    _, grads = value_and_grads(D, real, fake, penalty, **options)
    moved = ValueOnly(copy.deepcopy(D))
    penalty.call(moved, real, fake, **options)
    at_home = sides(moved)
    for path, param in moved.D.named_params().items():
        base = param.value.copy()

        def values(h, param=param, base=base):
            found = []
            for index in np.ndindex(base.shape):
                param.value[...] = base + h * unit(base.shape, index)
                found.append(penalty.call(moved, real, fake, **options))
                assert sides(moved) == at_home, "a number crossed its kink: take a smaller step"
            param.value[...] = base
            return np.array(found)

        expected, error = ridders(values, 0.0, 1.0, step=step, rows=4)
        scale = max(np.abs(grads[path]).max(), np.abs(expected).max(), 1e-3 * largest(grads))
        assert error.max() <= 1e-8 * scale, f"{path}: differences are sure to {error.max():.2g} of {scale:.2g} only"
        close(grads[path].ravel(), expected, rtol=1e-7, scale=scale)


def largest(grads):
    return max(np.abs(grad).max() for grad in grads.values())


def one_weight_per_sample(real, fake, interpolate):
    """x-hat lies between its own two samples, at a place t of its own that all pixels share."""
    t = (interpolate(real, fake, np.random.default_rng(0)) - fake) / (real - fake)  # (N, H, W, C)
    assert t.shape == real.shape
    for own in t:
        assert 0 < own.min() and own.max() < 1
        np.testing.assert_allclose(own, own.flat[0], rtol=1e-9)
    assert len(np.unique(t[(slice(None), *[0] * (t.ndim - 1))].round(6))) == len(t)


def adds_to_what_is_there(D, real, fake, penalty):
    """The critic's loss is propagated first, its penalty then: the grads are the sum of both."""
    both, alone = copy.deepcopy(D), copy.deepcopy(D)
    for net in (both, alone):
        score, tape = net.forward(real)
        net.accumulate(tape, np.ones_like(score))
    penalty.call(both, real, fake)
    _, grads = value_and_grads(D, real, fake, penalty)
    for path, param in both.named_params().items():
        close(param.grad, alone.named_params()[path].grad + grads[path], rtol=1e-12)
    assert all(param.grad.any() for param in alone.params()), "the loss says nothing"


def loss_and_penalty_add_up(start, name, option):
    """What an example's discriminator_step hands to its optimizer: the loss's gradient plus weight x the penalty's."""
    grads = []
    for weight in (0.0, 1.0, 2.0):
        model, batches = start(name)
        setattr(model.settings, option, weight)
        model.opt_D.step = lambda model=model: grads.append(model.opt_D.flat.grad.copy())
        real = batches.next()
        model.discriminator_step(to_signed(real) if real.dtype == np.uint8 else real)
    loss, penalty = grads[0], grads[1] - grads[0]
    assert loss.any() and np.abs(penalty).max() > 1e-3 * np.abs(loss).max()
    close(grads[2], loss + 2 * penalty, rtol=1e-4)


def safe_at_zero_gradient(D, real, fake, penalty):
    """With all weights zero, g is 0 in every sample: no NaN, no division by zero, and nothing to be learnt from it."""
    for param in D.params():
        param.value[...] = 0
    with np.errstate(all="raise"):
        value, grads = value_and_grads(D, real, fake, penalty)
    assert np.isfinite(value)
    assert not any(grad.any() for grad in grads.values())


def refuses_batch_statistics(D, real, fake, penalty):
    """The error names the layer and where it stands; nothing has been added by then."""
    message = None
    try:
        penalty.call(D, real, fake)
    except ValueError as error:
        message = str(error)
    assert message is not None, "accepted"
    assert "BatchNorm(4) (layer '1' of the critic) mixes the samples" in message and "LayerNorm" in message
    assert not any(param.grad.any() for param in D.params())
