"""SAGAN: its game through attention, where attention stands and how it starts, what a pixel looks at; bugs, planted."""

import copy
import inspect
import runpy
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
import test_labels
from objectives import follows, stretches
from test_examples import PATHS, some_labels, start, told_to_D
from test_known_bugs import caught
from test_picture_attention import OverQueries

from scratchgan.examples.labels import projection
from scratchgan.examples.styles import sagan
from scratchgan.layers import PictureAttention

GAN = sagan.SAGAN
GAIN = 0.5  # of each layer of attention, which is 0 at first


def gains(net):
    """Return the gamma of each layer of attention."""
    return [layer.params()[-1] for layer in attention_of(net)]


def attention_of(net):
    return [layer for _, layer in net.inside() if isinstance(layer, PictureAttention)]


def begin(gain=GAIN, **more):
    model, batches = start("sagan", **more)
    for net in (model.G, model.D, model.G_average.net):
        for gamma in gains(net):
            gamma.value[...] = gain
    return model, batches


# ---- the game --------------------------------------------------------------------------------------------


def follows_the_formula(player, margin=None):
    """The gradient handed to the optimizer is that of the hinge losses, through both layers of attention."""
    model, batches = begin()
    told = told_to_D(model, batches)
    if margin:  # half of the real samples lie beyond 1, or half of the others beyond -1
        G, D, rng = copy.deepcopy((model.G, model.D, model.rng))
        x = told[0] if margin == "real" else G.forward((model.latent(len(told[0]), rng), told[1]))[0]
        middle = np.median(D.forward((x, told[1]))[0])
        model.D.inside()[-1][1].score.b.value += (1 if margin == "real" else -1) - middle
    step = model.discriminator_step if player == "D" else lambda real, labels: model.generator_step(labels)
    follows(model, player, step, told, partial(test_labels.objective, "projection", player), printed=np.sum)


@pytest.mark.parametrize("player", ["D", "G"])
def test_a_step_follows_the_formula(player):
    follows_the_formula(player)


@pytest.mark.parametrize("margin", ["real", "fake"])
def test_a_step_follows_its_hinges(margin):
    follows_the_formula("D", margin)


def D_is_bounded():
    """Each W of D, those of attention too, is divided by its largest singular value; none of G is."""
    model, _ = begin()
    assert len(stretches(model.D)) == 4 + 4 + 1  # convolutions and score, attention, classes
    np.testing.assert_allclose(stretches(model.D), 1, rtol=0.05)
    assert not any(abs(stretch - 1) < 0.1 for stretch in stretches(model.G)[:2])


def test_D_is_bounded():
    D_is_bounded()


# ---- attention -------------------------------------------------------------------------------------------


def attention_stands_in_both():
    model, _ = start("sagan")
    for net in (model.G, model.D):
        assert len(attention_of(net)) == 1 and [float(gamma.value[0]) for gamma in gains(net)] == [0]
    bare, _ = start("sagan, without attention")
    assert not attention_of(bare.G) and not attention_of(bare.D)


def test_attention_stands_in_both():
    attention_stands_in_both()


def a_pixel_hears_from_afar():
    """In G, a change in one corner of what attention sees moves a pixel in the other; without attention it does not."""
    for gain in (0, GAIN):
        model, _ = begin(gain)
        G = model.G_average.net
        (layer,) = attention_of(G)
        x = np.random.default_rng(0).standard_normal((2, 14, 14, 8), dtype=np.float32)
        other = x.copy()
        other[:, :2, :2] += 3
        assert np.array_equal(layer(x)[:, 10:, 10:], layer(other)[:, 10:, 10:]) == (gain == 0)


def test_a_pixel_hears_from_afar():
    a_pixel_hears_from_afar()


def the_first_steps():
    """gamma moves in step 1, and what asks and answers from step 2 on."""
    model, batches = start("sagan")
    layers = [attention_of(net)[0] for net in (model.G, model.D)]
    for step in (1, 2):
        before = [[param.value.copy() for param in layer.params()] for layer in layers]
        model.step(batches)
        for layer, values in zip(layers, before, strict=True):
            *weights, gamma = [
                not np.array_equal(param.value, value) for param, value in zip(layer.params(), values, strict=True)
            ]
            assert gamma and all(weights) == any(weights) == (step == 2)


def test_the_first_steps():
    the_first_steps()


def maps_are_of_samples():
    """Rows sum to 1; keys that are all alike are looked at alike; and it is the average that is looked into."""
    model, _ = begin()
    z, labels = model.latent(10, np.random.default_rng(0)), some_labels(10)
    seen = model.looked_at_by(z, labels)
    assert seen.shape == (10, 196, 49)
    np.testing.assert_allclose(seen.sum(-1), 1, rtol=1e-5)
    assert np.ptp(seen) > 1e-6 and not np.array_equal(seen[0], seen[1])
    other = model.looked_at_by(z, (labels + 1) % 10)
    assert seen.shape == other.shape
    for param in attention_of(model.G)[0].params():
        param.value[...] = 0
    np.testing.assert_array_equal(model.looked_at_by(z, labels), seen)
    (layer,) = attention_of(model.G_average.net)
    layer.params()[1].value[...] = 0  # W_k
    np.testing.assert_allclose(model.looked_at_by(z, labels), 1 / 49, rtol=1e-5)


def test_maps_are_of_samples():
    maps_are_of_samples()


def test_the_pairs_of_a_picture():
    image = np.zeros((28, 28, 1), dtype=np.uint8)
    image[4:6, 8:10], image[20:22, 24:26] = 200, 100
    seen = np.full((196, 49), 0.01, dtype=np.float32)
    seen[2 * 14 + 4, 8] = 0.52
    marked, looks, _, _, dark, even = sagan.pairs(image, seen)
    assert (marked[4:6, 8:10] == (230, 40, 40)).all() and (marked[20:22, 24:26] == 100).all()
    assert (looks[4:8, 4:8] == 255).all() and looks[0, 0, 0] == round(255 * 0.01 / 0.52)
    assert (dark[:2, :2] == (230, 40, 40)).all() and (even == 255).all()


def test_the_command_attention(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["sagan"]), *arguments])
        try:
            runpy.run_path(str(PATHS["sagan"]), run_name="__main__")
        except SystemExit as left:
            return left.code

    small = "--steps", "2", "--batch-size", "8", "--width", "8"
    assert not call(*small, "--out", "run") and not call(*small, "--out", "bare", "--no-attention")
    assert not call("attention", "run") and (tmp_path / "run" / "attention.png").exists()
    assert call("attention", "bare") == 2
    assert "bare was trained with --no-attention" in capsys.readouterr().err


# ---- bugs ------------------------------------------------------------------------------------------------


def plant(monkeypatch, Model, method, right, wrong):
    """Replace a piece of the source of a method."""
    source = textwrap.dedent(inspect.getsource(vars(Model)[method]))
    assert source.count(right) == 1
    names = dict(vars(sys.modules[Model.__module__]))
    source = source.replace("super()", f"super({Model.__name__}, self)")  # it stands in no class here
    exec(source.replace(right, wrong), names)
    monkeypatch.setattr(Model, method, names[method])


@pytest.mark.parametrize(
    ("method", "right", "wrong", "test"),
    [
        ("networks", "return G, spectral_norm(D, rng=rng)", "return G, D", D_is_bounded),
        ("networks", "LeakyReLU(0.1), *look()", "LeakyReLU(0.1)", attention_stands_in_both),
        ("networks", " ReLU(), *look(),", " ReLU(),", attention_stands_in_both),
        ("looked_at_by", "self.G_average.net", "self.G", maps_are_of_samples),
    ],
)
def test_a_wrong_network_is_caught(monkeypatch, method, right, wrong, test):
    plant(monkeypatch, GAN, method, right, wrong)
    caught(test)


def test_a_softmax_over_queries_is_caught(monkeypatch):
    """FID does not tell: of public code, three cases in docs/attention.md."""
    monkeypatch.setattr("scratchgan.layers.attention.Softmax", OverQueries)
    caught(maps_are_of_samples)


def test_a_gain_that_starts_at_one_is_caught(monkeypatch):
    right = sagan.PictureAttention.__init__

    def loud(self, *args, **options):
        right(self, *args, **options)
        self.params()[-1].value[...] = 1

    monkeypatch.setattr(sagan.PictureAttention, "__init__", loud)
    caught(attention_stands_in_both)
    caught(the_first_steps)


def test_a_gain_that_never_moves_is_caught(monkeypatch):
    monkeypatch.setattr("scratchgan.layers.attention.Gain.accumulate", lambda self, x, dy: None)
    caught(the_first_steps)
    caught(follows_the_formula, "D")


@pytest.mark.parametrize(
    ("player", "method", "right", "wrong"),
    [
        ("D", "discriminator_step", "self.D.forward((fake, labels))", "self.D.forward((fake, 0 * labels))"),
        ("D", "discriminator_step", "losses.hinge_discriminator", "losses.nonsaturating_discriminator"),
        ("G", "generator_step", "self.D.pull(D_tape, d_logits)", "self.D.pull(D_tape, -d_logits)"),
        ("G", "generator_step", "(self.noise(len(labels)), labels)", "(self.noise(len(labels)), 0 * labels)"),
    ],
)
def test_a_wrong_game_is_caught(monkeypatch, player, method, right, wrong):
    """Always class 0 in G is what an argmax over one column gives, as in a published SAGAN."""
    plant(monkeypatch, projection.ProjectionGAN, method, right, wrong)
    caught(follows_the_formula, player)
