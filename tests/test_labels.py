"""Labels: what examples that use them descend, what their layers start as, and what is refused."""

import copy
from functools import partial

import numpy as np
import pytest
from objectives import above_zero, follows, log_p, log_sigmoid
from PIL import Image
from test_examples import cgan, data_augmentation, retrieval, start, told_to_D

from scratchgan import data, inspect, penalties, training
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
from scratchgan.metrics import classifier

rng = np.random.default_rng(0)

# ---- the objectives, as in the papers --------------------------------------------------------------------


def saturating_pair(real, fake):
    return log_sigmoid(real).mean() + log_sigmoid(-fake).mean()


# What D and G descend, of D's outputs for real samples and fakes, and of the labels.
OBJECTIVES = {
    **{name: (lambda r, f, y: -saturating_pair(r, f), lambda f, y: -log_sigmoid(f).mean())
       for name in ("cgan", "cgan, perceptrons", "data_augmentation")},
    "acgan": (
        lambda r, f, y: -saturating_pair(r[:, 0], f[:, 0]) - log_p(r[:, 1:], y).mean() - log_p(f[:, 1:], y).mean(),
        lambda f, y: -log_sigmoid(f[:, 0]).mean() - log_p(f[:, 1:], y).mean(),
    ),
    "acgan, classes of real samples": (
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
    judge = lambda x: D.forward((moved(x), labels) if D.takes_labels else x)[0]
    D_descends, G_descends = OBJECTIVES[name]
    fake = G.forward((z, labels) if G.takes_labels else z)[0]
    if player == "D":
        return D_descends(judge(real), judge(fake), labels)
    return G_descends(judge(fake), labels)


def follows_its_objective(name, player):
    model, batches = start(name)
    model.shift = lambda: SHIFT
    told = told_to_D(model, batches)
    G_step = lambda real, *labels: model.generator_step(*(labels or [len(real)]))
    step = model.discriminator_step if player == "D" else G_step
    follows(model, player, step, told, partial(objective, name, player))


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_follows_the_gradient_of_the_objective(name, player):
    follows_its_objective(name, player)


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


def test_a_network_that_takes_labels_can_be_looked_into():
    model, _ = start("projection")
    for net, shape in ((model.G, (2, 100)), (model.D, (2, 28, 28, 1))):
        assert sum(row.parameters for row in inspect.count(net, shape)) == sum(p.value.size for p in net.params())
        pair = rng.standard_normal(shape, dtype=np.float32), np.array([3, 1])
        records = inspect.trace(net, pair, np.random.default_rng(0))
        y, tape = copy.deepcopy(net).forward(pair)
        dx = net.backward(tape, np.random.default_rng(0).standard_normal(y.shape).astype("float32"), grads=False)
        assert np.isclose(records[-1].spread, y.std()) and np.isclose(records[0].gradient_spread, dx.std())


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


@pytest.mark.parametrize("more, message", [
    (["--classes", "5"], "The labels reach from 0 to 9; for 5 classes they must be 0 to 4. Is --classes 10 meant?"),
    (["--classes", "12"], "Of 12 classes, 10, 11 have no sample; set --classes to the number of classes."),
])  # fmt: skip
def test_classes_that_do_not_match_the_data(more, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        training.main(cgan.CGAN, cgan.Settings, ["--out", str(tmp_path / "run"), "--device", "cpu", *more])
    assert exit.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# ---- pictures, and the commands of the examples ----------------------------------------------------------


def test_a_picture_has_a_class_a_row_and_a_z_a_column():
    model, _ = start("cgan")
    asked = []
    model.sample = lambda z, labels: asked.append((z, labels)) or np.zeros((len(z), 28, 28, 1), np.float32)
    z = model.latent(64, rng)
    assert model.picture(z).shape == (10 * 30 + 2, 6 * 30 + 2, 1)
    np.testing.assert_array_equal(asked[0][1].reshape(10, 6), np.arange(10)[:, None].repeat(6, 1))
    np.testing.assert_array_equal(asked[0][0].reshape(10, 6, -1), np.broadcast_to(z[:6], (10, 6, 100)))
    model.walk(model.latent(12, rng), 4)
    np.testing.assert_array_equal(asked[1][1], [0] * 4 + [1] * 4 + [2] * 4)
    model.images(model.latent(300, rng))  # whoever names no class is given each in turn
    np.testing.assert_array_equal(np.concatenate([asked[2][1], asked[3][1]]), np.arange(300) % 10)
    model.generate(model.latent(3, rng))
    assert asked[4][1].tolist() == [0, 1, 2]


def trained(module, Model, tmp_path, monkeypatch, **options):
    """Train an example for two steps, in a directory of its own, and return its run."""
    monkeypatch.chdir(tmp_path)
    training.train(Model, module.Settings(steps=2, batch_size=4, width=2, device="cpu", out="run", **options))
    return "run"


def test_accuracy_counts_the_samples_that_the_classifier_recognises(tmp_path, monkeypatch, capsys):
    run, main = trained(cgan, cgan.CGAN, tmp_path, monkeypatch), (cgan.CGAN, cgan.Settings)
    with pytest.raises(SystemExit):
        training.main(*main, ["accuracy", run], commands=[training.accuracy])
    assert "examples/classifier.py --data glyphs" in capsys.readouterr().err
    net = classifier.lenet((28, 28, 1), 10, rng=rng)
    net.layers[1].W.value[...] = 0
    net.layers[1].b.value[7] = 1  # a classifier that sees sevens only
    classifier.save(classifier.Classifier(net, "glyphs", (28, 28, 1)))
    training.main(*main, ["accuracy", run, "--n", "3"], commands=[training.accuracy])
    said = capsys.readouterr().out
    assert "class 7: 100.0 %" in said and "class 6: 0.0 %" in said and "class accuracy: 10.00 % of 30 samples" in said


def test_both_classifiers_are_compared(tmp_path, monkeypatch, capsys):
    run = trained(data_augmentation, data_augmentation.DataAugmentation, tmp_path, monkeypatch, labels=2)
    main = (data_augmentation.DataAugmentation, data_augmentation.Settings)
    training.main(*main, ["compare", run, "--steps", "2"], commands=[data_augmentation.compare])
    said = capsys.readouterr().out
    assert "seed 0, real pictures: " in said and "seed 0, with samples added: " in said


def test_the_pictures_of_data_augmentation_are_as_many_of_each_class():
    images, labels = data_augmentation.DataAugmentation.load_data(data_augmentation.Settings(labels=3))
    assert len(images) == 30 and np.bincount(labels).tolist() == [3] * 10
    other, _ = data_augmentation.DataAugmentation.load_data(data_augmentation.Settings(labels=3, seed=1))
    assert not np.array_equal(images, other)


def test_retrieval(tmp_path, monkeypatch, capsys):
    run = trained(retrieval, retrieval.Retrieval, tmp_path, monkeypatch)
    main = (retrieval.Retrieval, retrieval.Settings)
    arguments = ["retrieve", run, "--queries", "5", "--gallery", "40"]
    training.main(*main, arguments, commands=[retrieval.retrieve])
    said = capsys.readouterr().out
    assert all(f"precision at 10, {name}: 0." in said for name in ("D", "untrained D", "pixels"))
    assert Image.open(tmp_path / "run" / "retrieval.png").size == (11 * 30 + 2, 10 * 30 + 2)


def test_the_nearest_have_the_largest_cosine():
    gallery = np.array([[1.0, 0], [5, 5], [0, 2], [-1, 0], [0, 0]])
    np.testing.assert_array_equal(retrieval.nearest(np.array([[3.0, 1], [-1, 4]]), gallery, 3), [[0, 1, 2], [2, 1, 3]])
