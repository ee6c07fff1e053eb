"""Labels: what examples that use them descend, what their layers start as, and what they refuse."""

import copy
from functools import partial

import numpy as np
import pytest
from objectives import above_zero, follows, log_p, log_sigmoid, stretches, to_the_margin
from test_examples import start, told_to_D

from scratchgan import penalties
from scratchgan.data import to_signed
from scratchgan.layers import (
    BatchNorm,
    Concat,
    Conditional,
    ConditionalAffine,
    ConditionalBatchNorm,
    Dense,
    Embedding,
    LabelChannels,
    Layer,
    Part,
    Projection,
    Residual,
    Sequential,
    Tanh,
)
from scratchgan.tools import look

rng = np.random.default_rng(0)

# ---- the objectives, as in the papers --------------------------------------------------------------------


def saturating_pair(real, fake):
    return log_sigmoid(real).mean() + log_sigmoid(-fake).mean()


# What D and G descend, of D's outputs for real samples and fakes, and of the labels.
OBJECTIVES = {
    **{name: (lambda r, f, y: -saturating_pair(r, f), lambda f, y: -log_sigmoid(f).mean())
       for name in ("cgan", "cgan, perceptrons", "data_augmentation")},
    "acgan, classes of fakes": (
        lambda r, f, y: -saturating_pair(r[:, 0], f[:, 0]) - log_p(r[:, 1:], y).mean() - log_p(f[:, 1:], y).mean(),
        lambda f, y: -log_sigmoid(f[:, 0]).mean() - log_p(f[:, 1:], y).mean(),
    ),
    "acgan": (
        lambda r, f, y: -saturating_pair(r[:, 0], f[:, 0]) - log_p(r[:, 1:], y).mean(),
        lambda f, y: -log_sigmoid(f[:, 0]).mean() - log_p(f[:, 1:], y).mean(),
    ),
    **{name: (lambda r, f, y: above_zero(1 - r).mean() + above_zero(1 + f).mean(), lambda f, y: -f.mean())
       for name in ("projection", "retrieval")},
}  # fmt: skip
SHIFT = (1, -2)  # of data_augmentation, in place of random ones


def objective(name, player, G, D, draw, real, labels=None):
    """What a player descends, for networks of any dtype."""
    z = draw()
    moved = lambda x: np.roll(x, SHIFT, (1, 2)) if name == "data_augmentation" else x
    judge = lambda x: D.forward((moved(x), labels) if D.takes_pair else x)[0]
    D_descends, G_descends = OBJECTIVES[name]
    fake = G.forward((z, labels) if G.takes_pair else z)[0]
    if player == "D":
        return D_descends(judge(real), judge(fake), labels)
    return G_descends(judge(fake), labels)


def follows_its_objective(name, player, margin=None):
    model, batches = start(name)
    model.shift = lambda: SHIFT
    told = told_to_D(model, batches)
    if margin:
        to_the_margin(model, margin, *told)
    G_step = lambda real, *labels: model.generator_step(*(labels or [len(real)]))
    step = model.discriminator_step if player == "D" else G_step
    follows(model, player, step, told, partial(objective, name, player), printed=np.sum)


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_follows_the_gradient_of_the_objective(name, player):
    follows_its_objective(name, player)


@pytest.mark.parametrize("margin", ["real", "fake"])
@pytest.mark.parametrize("name", ["projection", "retrieval"])
def test_a_step_follows_its_hinges(name, margin):
    follows_its_objective(name, "D", margin)


@pytest.mark.parametrize("name", ["projection", "retrieval"])
def test_every_weight_of_D_is_divided_by_its_largest_singular_value(name):
    model, _ = start(name)
    np.testing.assert_allclose(stretches(model.D), 1, rtol=0.05)  # 30 steps of an iteration


def test_every_normalisation_of_the_projection_GAN_has_a_gain_for_each_class():
    gains = {path: param.value for path, param in start("projection")[0].G.named_params().items() if "gamma" in path}
    assert [gain.shape for gain in gains.values()] == [(10, 16), (10, 8)]
    assert not any(gain.any() for gain in gains.values())  # 1 + 0


@pytest.mark.parametrize("name", ["cgan", "cgan, perceptrons", "acgan", "projection", "data_augmentation"])
def test_samples_are_those_of_the_average_for_the_labels_that_are_asked_for(name):
    model, batches = start(name)
    for _ in range(3):
        model.step(batches)
    z, asked = model.latent(6, rng), np.array([0, 9, 2, 2, 5, 1])
    samples = model.sample(z, asked)
    np.testing.assert_array_equal(samples, model.G_average.net((z, asked)))
    assert not np.array_equal(samples, model.G((z, asked)))
    other = model.sample(z, np.array([0, 3, 2, 2, 5, 1]))
    assert np.array_equal(samples[2:], other[2:]) and not np.allclose(samples[1], other[1], atol=1e-6)


def class_loss_vanishes(make=lambda model: None):
    """D of ACGAN learns 16 samples by heart: E -log P(C = c | x) goes to 0, as it can for logits alone."""
    model, batches = start("acgan")
    make(model)
    model.opt_D.lr = 3e-3
    images, labels = batches.next()
    for _ in range(100):
        _, loss = model.discriminator_step(to_signed(images), labels)
    assert loss < 0.5


def test_the_auxiliary_loss_of_acgan_can_vanish():
    class_loss_vanishes()


# ---- layers ----------------------------------------------------------------------------------------------


def starts_as_a_batch_norm():
    x, labels = rng.standard_normal((6, 3, 3, 4), dtype=np.float32), np.array([0, 1, 2, 2, 0, 1])
    layer, plain = ConditionalBatchNorm(3, 4), BatchNorm(4)
    np.testing.assert_array_equal(layer.forward((x, labels))[0], plain.forward(x)[0])
    np.testing.assert_array_equal(layer((x, labels)), plain(x))


def test_a_conditional_batch_norm_starts_as_a_batch_norm():
    starts_as_a_batch_norm()


def test_a_conditional_batch_norm_has_no_gain_but_that_of_the_class():
    layer, plain = ConditionalBatchNorm(3, 4, eps=0.1, momentum=0.5), BatchNorm(4, eps=0.1, momentum=0.5)
    assert {path: param.value.shape for path, param in layer.named_params().items()} == {
        "1.gamma": (3, 4), "1.beta": (3, 4)}  # fmt: skip
    x, labels = rng.standard_normal((6, 4), dtype=np.float32), np.array([0, 1, 2, 2, 0, 1])
    layer.forward((x, labels)), plain.forward(x)
    np.testing.assert_array_equal(layer((x, labels)), plain(x))  # by the running statistics


def test_each_class_has_a_gain_and_a_shift_of_its_own():
    layer, x = ConditionalAffine(3, 2), rng.standard_normal((3, 5, 2), dtype=np.float32)
    layer.gamma.value[1], layer.beta.value[2] = 1, 7
    y = layer((x, np.array([0, 1, 2])))
    np.testing.assert_allclose(y, [x[0], 2 * x[1], x[2] + 7], rtol=1e-6)


def test_label_channels_are_the_same_at_every_position():
    layer, x = LabelChannels(3, 2, rng=rng), rng.standard_normal((2, 4, 5, 1), dtype=np.float32)
    y = layer((x, np.array([2, 0])))
    np.testing.assert_array_equal(y[..., :1], x)
    np.testing.assert_array_equal(y[0, ..., 1:], np.broadcast_to(layer.embedding.W.value[2], (4, 5, 2)))
    assert LabelChannels(100, 100, rng=rng).embedding.W.value.std() == pytest.approx(1, abs=0.03)


def test_a_projection_is_the_sum_of_two_scores():
    layer, x = Projection(4, 3, rng=rng), rng.standard_normal((2, 4), dtype=np.float32)
    products = [x[0] @ layer.embedding.W.value[2], x[1] @ layer.embedding.W.value[1]]
    np.testing.assert_allclose(layer((x, np.array([2, 1])))[:, 0], layer.score(x)[:, 0] + products, rtol=1e-5)


class Told(Layer):
    """A network of pairs (x, labels) as the function of x alone that it is for the labels of one batch."""

    def __init__(self, layer, labels):
        self.layer = layer
        self.pair = lambda x: (x, labels)

    def forward(self, x, train=True):
        return self.layer.forward(self.pair(x), train)

    def pull(self, tape, dy):
        (dx, d_labels), kept = self.layer.pull(tape, dy)
        assert d_labels is None
        return dx, kept

    def accumulate(self, tape, dy):
        self.layer.accumulate(tape, dy)

    def double_backward(self, tape, kept, ddx):
        ddy, bend = self.layer.double_backward(tape, kept, (ddx, None))
        return ddy, None if bend is None else bend[0]


def test_a_penalty_of_pairs_is_that_of_a_function_of_x_alone():
    """The labels stay as they are: what is penalised is the gradient with respect to x."""
    D = Conditional(Dense(3, 5, rng=rng), Tanh(), Projection(5, 4, rng=rng)).astype(np.float64)
    real, fake = rng.standard_normal((2, 6, 3))
    labels = rng.integers(0, 4, 6)
    told = Told(D, labels)
    draw = lambda: np.random.default_rng(1)
    for of_pairs, of_x in (
        (lambda: penalties.r1(D, real, labels=labels), lambda: penalties.r1(told, real)),
        (lambda: penalties.wgan_gp(D, real, fake, rng=draw(), labels=labels),
         lambda: penalties.wgan_gp(told, real, fake, rng=draw())),
    ):  # fmt: skip
        value = of_pairs()
        grads = [param.grad.copy() for param in D.params()]
        D.zero_grad()
        assert of_x() == value > 0
        for param, grad in zip(D.params(), grads, strict=True):
            np.testing.assert_array_equal(param.grad, grad)
        D.zero_grad()


x = rng.standard_normal((4, 3), dtype=np.float32)
labels = np.array([0, 1, 2, 0])
LAYERS = {
    "LabelChannels": LabelChannels(3, 2, rng=rng),
    "Projection": Projection(3, 3, rng=rng),
    "ConditionalAffine": ConditionalAffine(3, 3),
    "Conditional": Conditional(Dense(3, 3, rng=rng), ConditionalBatchNorm(3, 3)),
}  # fmt: skip
REFUSED = {
    "no pair": (x, TypeError, r"is one array, wanted a pair \(x, labels\)"),
    "a list": ([x, labels], TypeError, "is a list, wanted a pair"),
    "three": ((x, labels, labels), TypeError, "wanted a pair"),
    "floats": ((x, labels.astype(np.float32)), TypeError, "got float32 for labels, wanted an array of integers"),
    "a list of labels": ((x, labels.tolist()), ValueError, r"labels are a list, wanted \(4,\)"),
    "too many": ((x, np.append(labels, 1)), ValueError, r"labels are \(5,\), wanted \(4,\)"),
    "one-hot": ((x, np.eye(4, dtype=int)), ValueError, r"labels are \(4, 4\), wanted \(4,\)"),
    "above K - 1": ((x, labels + 1), ValueError, "got 1 to 3 for labels, wanted 0 to 2"),
    "negative": ((x, labels - 1), ValueError, "got -1 to 1 for labels, wanted 0 to 2"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_refuses(name, case):
    pair, error, message = REFUSED[case]
    with pytest.raises(error, match=f"^{name}.*{message}"):
        LAYERS[name].forward(pair)


def test_a_container_without_labels_takes_no_layer_that_wants_them():
    x = rng.standard_normal((4, 3), dtype=np.float32)
    with pytest.raises(TypeError, match=r"Projection\(3, 2\): the input is one array, wanted a pair"):
        Sequential(Dense(3, 3, rng=rng), Projection(3, 2, rng=rng))(x)
    for container, branches in ((Concat, (Tanh(), Projection(3, 2, rng=rng))), (Residual, (Tanh(), Conditional()))):
        with pytest.raises(ValueError, match="some branches take labels and some do not"):
            container(*branches)
    assert isinstance(Residual(Conditional(Tanh())).shortcut, Part)  # of the pair, x
    assert not Embedding(3, 2, rng=rng).takes_pair  # its input is the labels, and not a pair


def test_a_network_that_takes_labels_can_be_looked_into():
    model, _ = start("projection")
    for net, shape in ((model.G, (2, 100)), (model.D, (2, 28, 28, 1))):
        assert sum(row.parameters for row in look.count(net, shape)) == sum(p.value.size for p in net.params())
        pair = rng.standard_normal(shape, dtype=np.float32), np.array([3, 1])
        records = look.trace(net, pair, np.random.default_rng(0))
        y, tape = copy.deepcopy(net).forward(pair)
        (dx, _), _ = net.pull(tape, np.random.default_rng(0).standard_normal(y.shape).astype("float32"))
        assert np.isclose(records[-1].spread, y.std()) and np.isclose(records[0].gradient_spread, dx.std())
