"""Labels: what examples that use them descend, what their layers start as, and what is refused."""

import copy

import numpy as np
import pytest
from test_examples import start

from scratchgan import data, penalties
from scratchgan.data import to_signed
from scratchgan.errors import DataError
from scratchgan.layers import (
    BatchNorm,
    Concat,
    Conditional,
    ConditionalAffine,
    ConditionalBatchNorm,
    Dense,
    Embedding,
    Given,
    LabelChannels,
    Projection,
    Residual,
    Sequential,
    Tanh,
)

rng = np.random.default_rng(0)

# ---- the objectives, as in the papers --------------------------------------------------------------------


def log_sigmoid(x):
    return -np.log(1 + np.exp(-x))


def log_p(logits, labels):
    """The logarithm of the softmax's number of each sample's label, longhand."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.log(p[np.arange(len(labels)), labels])


def above_zero(x):
    return np.where(x.real > 0, x, 0)


def saturating_pair(real, fake):
    return log_sigmoid(real).mean() + log_sigmoid(-fake).mean()


# What D and G descend, of D's outputs for real samples and fakes, and of the labels.
OBJECTIVES = {
    "cgan": (lambda r, f, y: -saturating_pair(r, f), lambda f, y: -log_sigmoid(f).mean()),
    "cgan, perceptrons": (lambda r, f, y: -saturating_pair(r, f), lambda f, y: -log_sigmoid(f).mean()),
    "acgan": (
        lambda r, f, y: -saturating_pair(r[:, 0], f[:, 0]) - log_p(r[:, 1:], y).mean() - log_p(f[:, 1:], y).mean(),
        lambda f, y: -log_sigmoid(f[:, 0]).mean() - log_p(f[:, 1:], y).mean(),
    ),
    "acgan, classes of real samples": (
        lambda r, f, y: -saturating_pair(r[:, 0], f[:, 0]) - log_p(r[:, 1:], y).mean(),
        lambda f, y: -log_sigmoid(f[:, 0]).mean() - log_p(f[:, 1:], y).mean(),
    ),
    "projection": (
        lambda r, f, y: above_zero(1 - r).mean() + above_zero(1 + f).mean(),
        lambda f, y: -f.mean(),
    ),
}  # fmt: skip


def objective(name, player, G, D, real, z, labels):
    """What a player descends, for networks of any dtype."""
    judge = lambda x: D.forward((x, labels) if D.takes_labels else x)[0]
    D_descends, G_descends = OBJECTIVES[name]
    fake = G.forward((z, labels))[0]
    if player == "D":
        return D_descends(judge(real), judge(fake), labels)
    return G_descends(judge(fake), labels)


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_follows_the_gradient_of_the_objective(name, player):
    """The gradient handed to the optimizer, along random directions, against a complex step of the paper's formula."""
    model, batches = start(name)
    images, labels = batches.next()
    real = to_signed(images)
    held = copy.deepcopy({"G": model.G, "D": model.D, "rng": model.rng})  # dropout may share the generator of the noise
    optimizer = {"G": model.opt_G, "D": model.opt_D}[player]
    found = []
    optimizer.step = lambda: found.append([param.grad.copy() for param in optimizer.flat.parts])
    model.discriminator_step(real, labels) if player == "D" else model.generator_step(labels)
    for _ in range(3):
        stepped = copy.deepcopy(held)
        z = model.latent(len(labels), stepped.pop("rng"))
        stepped = {key: net.astype(np.complex128) for key, net in stepped.items()}
        directions = [rng.standard_normal(param.value.shape) for param in stepped[player].params()]
        for param, v in zip(stepped[player].params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        expected = objective(name, player, **stepped, real=real.astype(complex), z=z.astype(complex), labels=labels)
        terms = [(grad * v).sum() for grad, v in zip(found[0], directions, strict=True)]
        assert abs(sum(terms) - expected.imag / 1e-20) < 1e-4 * sum(map(abs, terms))


def class_loss_vanishes(make=lambda model: None):
    """D of ACGAN learns 16 samples by heart: E -log P(C = c | x) goes to 0, as it can for logits alone."""
    model, batches = start("acgan, classes of real samples")
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


def test_a_projection_is_the_sum_of_two_scores():
    layer, x = Projection(4, 3, rng=rng), rng.standard_normal((2, 4), dtype=np.float32)
    products = [x[0] @ layer.embedding.W.value[2], x[1] @ layer.embedding.W.value[1]]
    np.testing.assert_allclose(layer((x, np.array([2, 1])))[:, 0], layer.score(x)[:, 0] + products, rtol=1e-5)


def test_a_penalty_is_the_same_for_a_pair_and_for_what_is_given():
    D = Conditional(Dense(3, 5, rng=rng), Tanh(), Projection(5, 4, rng=rng)).astype(np.float64)
    x, labels = rng.standard_normal((6, 3)), rng.integers(0, 4, 6)
    value = penalties.r1(D, (x, labels))
    pair = [param.grad.copy() for param in D.params()]
    D.zero_grad()
    assert penalties.r1(Given(D, labels), x) == value > 0
    for param, grad in zip(D.params(), pair, strict=True):
        np.testing.assert_array_equal(param.grad, grad)
    assert Given(D, labels).state().keys() == {f"layer.{path}" for path in D.state()}  # labels are no part of it


x = rng.standard_normal((4, 3), dtype=np.float32)
labels = np.array([0, 1, 2, 0])
LAYERS = {
    "LabelChannels": LabelChannels(3, 2, rng=rng),
    "Projection": Projection(3, 3, rng=rng),
    "ConditionalAffine": ConditionalAffine(3, 3),
    "Conditional": Conditional(Dense(3, 3, rng=rng), ConditionalBatchNorm(3, 3)),
}  # fmt: skip
REFUSED = {
    "no pair": (x, TypeError, r"is a ndarray, wanted a pair \(x, labels\)"),
    "a list": ([x, labels], TypeError, "is a list, wanted a pair"),
    "three": ((x, labels, labels), TypeError, "wanted a pair"),
    "floats": ((x, labels.astype(np.float32)), TypeError, "float32, wanted an array of integers"),
    "a list of labels": ((x, labels.tolist()), ValueError, r"labels are list, wanted \(4,\)"),
    "too many": ((x, np.append(labels, 1)), ValueError, r"labels are \(5,\), wanted \(4,\)"),
    "one-hot": ((x, np.eye(4, dtype=int)), ValueError, r"labels are \(4, 4\), wanted \(4,\)"),
    "above K - 1": ((x, labels + 1), ValueError, "1 to 3, wanted 0 to 2"),
    "negative": ((x, labels - 1), ValueError, "-1 to 1, wanted 0 to 2"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_refuses(name, case):
    pair, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        LAYERS[name].forward(pair)


def test_a_container_without_labels_takes_no_layer_that_wants_them():
    with pytest.raises(ValueError, match=r"no labels for Projection\(3, 2\): write Conditional"):
        Sequential(Dense(3, 3, rng=rng), Projection(3, 2, rng=rng))
    for container, branches in ((Concat, (Tanh(), Projection(3, 2, rng=rng))), (Residual, (Tanh(), Conditional()))):
        with pytest.raises(ValueError, match="some branches take labels and some do not"):
            container(*branches)
    assert isinstance(Residual(Conditional(Tanh())).shortcut, Conditional)
    assert not Embedding(3, 2, rng=rng).takes_labels  # its input is the labels, and not a pair


# ---- data ------------------------------------------------------------------------------------------------


def test_labels_of_a_data_set_are_checked():
    data.check_labels(np.array([2, 0, 1, 1]), 3)
    for bad, classes, message in (
        (None, 3, "no labels; put those of each class into a sub-folder"),
        (np.array([0.0, 1.0]), 2, "whole numbers that count the classes from 0; these are float64"),
        (np.array([0, 1, 11]), 10, "0 to 11; for 10 classes they must be 0 to 9. Is --classes 12 meant"),
        (np.array([-1, 0, 1]), 2, "from -1 to 1"),
        (np.array([0, 2, 2]), 4, "Of 4 classes, 1, 3 have no sample"),
        (np.array([0]), 100, r"1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\. have no sample"),
    ):
        with pytest.raises(DataError, match=message):
            data.check_labels(bad, classes)
