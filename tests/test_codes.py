"""Codes, few labels, rotations, captions: what the examples descend, the layers that they need, and errors."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objectives import above_zero, follows, log_p, log_sigmoid, to_the_margin
from test_examples import PATHS, start, told_to_D

from scratchgan.data import captions, glyphs
from scratchgan.examples.labels import semi_supervised
from scratchgan.layers import Dense, Each, GaussianNoise, Join, Rotations, Sequential
from scratchgan.support.errors import DataError

# ---- the objectives, as in the papers --------------------------------------------------------------------
#
# Each takes the networks, in any dtype, a function that draws z as the step does, and what the step is told.


def run(net, x):
    return net.forward(x)[0]


def information(out, z):
    """The bound on I of 10 categories and two numbers: I of the category + 0.1 I of the numbers, as it is weighted."""
    code, numbers = z[:, 62:72].real.argmax(1), z[:, 72:]
    std = 1 / np.sqrt(3)
    log_q = -0.5 * ((numbers - out[:, 11:]) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    return np.log(10) + log_p(out[:, 1:11], code).mean() + 0.1 * (2 * np.log(2) + log_q.sum(1).mean())


def infogan_D(G, D, draw, real):
    z = draw()
    r, f = run(D, real), run(D, run(G, z))
    return -log_sigmoid(r[:, 0]).mean() - log_sigmoid(-f[:, 0]).mean() - information(f, z)


def infogan_G(G, D, draw, real):
    z = draw()
    f = run(D, run(G, z))
    return -log_sigmoid(f[:, 0]).mean() - information(f, z)


def semi_supervised_D(G, D, draw, real, labelled, labels):
    fake = run(G, draw())
    of_labelled, of_real, of_fake = np.split(run(D, np.concatenate([labelled, real, fake])), 3)  # noise as in the step
    supervised = -log_p(of_labelled, labels).mean()
    Z_real, Z_fake = np.exp(of_real).sum(1), np.exp(of_fake).sum(1)
    return supervised - 0.5 * np.log(Z_real / (Z_real + 1)).mean() - 0.5 * np.log(1 / (Z_fake + 1)).mean()


def semi_supervised_G(G, D, draw, real, labelled, labels):
    fake, f = run(G, draw()), D.layers[0]
    gap = run(f, real).mean(0) - run(f, fake).mean(0)
    return (gap**2).sum()


def turned(x):
    """The first quarter of a batch, turned, and by how much."""
    some = x[: len(x) // 4]
    return np.concatenate([np.rot90(some, k, (1, 2)) for k in range(4)]), np.arange(4).repeat(len(some))


def ssgan_D(G, D, draw, real):
    fake, (some, turns) = run(G, draw()), turned(real)
    hinges = above_zero(1 - run(D, real)[:, 0]).mean() + above_zero(1 + run(D, fake)[:, 0]).mean()
    return hinges - log_p(run(D, some)[:, 1:], turns).mean()


def ssgan_G(G, D, draw, real):
    fake = run(G, draw())
    some, turns = turned(fake)
    return -run(D, fake)[:, 0].mean() - 0.2 * log_p(run(D, some)[:, 1:], turns).mean()


def text_to_image_D(G, D, draw, real, right, wrong):
    z, text = np.split(draw(), [100], axis=1)
    fake = run(G, (z, text))
    wrong_pair, fake_pair = run(D, (real, wrong)), run(D, (fake, text))
    return -(log_sigmoid(run(D, (real, right))) + 0.5 * (log_sigmoid(-wrong_pair) + log_sigmoid(-fake_pair))).mean()


def text_to_image_G(G, D, draw, real, right, wrong):
    z, text = np.split(draw(), [100], axis=1)
    return -log_sigmoid(run(D, (run(G, (z, text)), text))).mean()


OBJECTIVES = {
    "infogan": (infogan_D, infogan_G),
    "semi_supervised": (semi_supervised_D, semi_supervised_G),
    "ssgan": (ssgan_D, ssgan_G),
    "text_to_image": (text_to_image_D, text_to_image_G),
}


# The value of the objective, from what a step returns to be printed; a G that returns a part of it is not listed.
PRINTED = {
    ("infogan", "D"): lambda said: said[0] - said[1] - 0.1 * said[2],
    ("semi_supervised", "D"): lambda said: said,
    ("semi_supervised", "G"): lambda said: said,
    ("ssgan", "D"): lambda said: said[0] + said[1],
    ("text_to_image", "D"): lambda said: said,
    ("text_to_image", "G"): lambda said: said,
}


def follows_its_objective(name, player, margin=None):
    model, batches = start(name)
    told = told_to_D(model, batches)
    if margin:
        to_the_margin(model, margin, *told)
    G_step = lambda real, *_: model.generator_step(real if name == "semi_supervised" else len(real))
    step = model.discriminator_step if player == "D" else G_step
    follows(model, player, step, told, OBJECTIVES[name][player == "G"], PRINTED.get((name, player)))


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_follows_the_gradient_of_the_objective(name, player):
    follows_its_objective(name, player)


@pytest.mark.parametrize("margin", ["real", "fake"])
def test_ssgan_follows_its_hinges(margin):
    follows_its_objective("ssgan", "D", margin)


# ---- codes -----------------------------------------------------------------------------------------------


def codes_are_what_their_entropies_say():
    """One-hot categories, all equally likely, and numbers that are uniform on [-1, 1]: H(c) is taken for granted."""
    model, _ = start("infogan")
    z = model.latent(20_000, np.random.default_rng(0))
    category, numbers = z[:, 62:72], z[:, 72:]
    assert set(np.unique(category)) == {0, 1} and (category.sum(1) == 1).all()
    np.testing.assert_allclose(category.mean(0), 0.1, atol=0.01)
    assert np.abs(numbers).max() <= 1
    quartiles = np.quantile(numbers, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(quartiles, [[-0.5] * 2, [0] * 2, [0.5] * 2], atol=0.03)


def test_codes_are_what_their_entropies_say():
    codes_are_what_their_entropies_say()


def test_the_printed_information_of_the_category_is_below_its_entropy():
    model, batches = start("infogan")
    for _ in range(5):
        assert model.step(batches)["I category"] <= np.log(10)
    report = model.report()
    assert 0 <= report["error"] <= 0.9 and 0 <= report["gap"] <= 1
    picture = model.picture(model.latent(64, np.random.default_rng(0)))
    assert picture.shape == (10 * 30 + 2, 30 * 30 + 2, 1)  # 10 categories; 10 samples and two walks of 10


# ---- few labels ------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_so_many_labels_of_each_class_are_told(classes, each, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(classes).repeat(each + rng.integers(0, 3)))
    told = semi_supervised.hide_labels(labels, each, rng)
    known = told >= 0
    np.testing.assert_array_equal(told[known], labels[known])
    np.testing.assert_array_equal(np.bincount(told[known]), [each] * classes)


def test_more_labels_than_there_are():
    with pytest.raises(DataError, match="--labels 3 is more than the 2 pictures of class 1"):
        semi_supervised.hide_labels(np.array([0, 0, 0, 1, 1]), 3, np.random.default_rng(0))


def test_only_told_labels_are_trained_on():
    model, batches = start("semi_supervised")
    told = batches.arrays[1]
    assert (told >= 0).sum() == 100 and len(told) == 10_000
    images, labels = model.draw_labelled(batches, 500)
    rows = {image.tobytes() for image in batches.arrays[0][told >= 0]}
    assert labels.min() >= 0 and {image.tobytes() for image in images} <= rows


def test_supervised_alone():
    settings = semi_supervised.Settings(batch_size=16, width=32, supervised=True)
    model, batches = start("semi_supervised")
    model = semi_supervised.SemiSupervisedGAN(settings, (28, 28, 1), np.random.default_rng(0))
    before = {path: array for path, array in model.G.state().items() if path.endswith("W")}
    assert model.step(batches).keys() == {"D"}
    for path, array in before.items():
        np.testing.assert_array_equal(array, model.G.state()[path])


def test_classes_that_do_not_match():
    with pytest.raises(DataError, match="--classes 10 meant"):
        semi_supervised.SemiSupervisedGAN.load_data(semi_supervised.Settings(classes=4))


# ---- layers ----------------------------------------------------------------------------------------------


def turns_are_in_order():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 1)).astype(np.float32)
    y = Rotations()(x).reshape(4, 2, 3, 3)
    for turn in range(4):
        for picture, own in zip(y[turn], x[..., 0], strict=True):
            np.testing.assert_array_equal(picture, np.rot90(own, turn))


def test_rotations():
    turns_are_in_order()
    with pytest.raises(ValueError, match=r"Rotations\(\): x has shape \(2, 3, 4, 1\), wanted square pictures"):
        Rotations().forward(np.zeros((2, 3, 4, 1), np.float32))


def test_gaussian_noise():
    layer, x = GaussianNoise(0.5, rng=np.random.default_rng(0)), np.zeros((200, 100), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    y, _ = layer.forward(x)
    assert y.dtype == np.float32 and y.std() == pytest.approx(0.5, rel=0.02) and abs(y.mean()) < 0.02
    assert not np.array_equal(y, layer.forward(x)[0])
    with pytest.raises(ValueError, match="std is -1, wanted a number from 0 upwards"):
        GaussianNoise(-1, rng=None)


def test_join_puts_the_condition_beside_every_position():
    encoder = Dense(2, 3, rng=np.random.default_rng(0))
    layer = Sequential(Each(Sequential(), encoder), Join())
    x, c = np.ones((2, 4, 5, 1), np.float32), np.array([[1, 0], [0, 1]], np.float32)
    y = layer((x, c))
    assert y.shape == (2, 4, 5, 4)
    np.testing.assert_array_equal(y[..., 1:], np.broadcast_to(encoder.W.value[:, None, None], (2, 4, 5, 3)))
    with pytest.raises(TypeError, match="the input is one array, wanted a tuple of 2"):
        layer(x)
    with pytest.raises(ValueError, match=r"Join\(\): a part of x has shape \(1, 3\), wanted \(2, 4, 5, 3\)"):
        layer((x, c[:1]))


# ---- captions --------------------------------------------------------------------------------------------

each_attribute = st.tuples(*[st.integers(0, values - 1) for values in captions.VALUES])


def test_captions_read_as_english():
    assert captions.caption((7, 1, 1, 1, 2)) == "a large bold italic seven, tilted left"
    assert captions.caption((8, 0, 0, 2, 0)) == "an eight, tilted right"
    assert captions.caption((3, 0, 1, 0, 0)) == "an italic three"
    assert captions.caption((1, 0, 0, 1, 0)) == "a one, tilted left"


@settings(max_examples=60, deadline=None)
@given(each_attribute, each_attribute)
def test_two_captions_have_one_bag_only_if_they_say_the_same(a, b):
    bags = captions.bags([captions.caption(a), captions.caption(b)])
    mentioned = [name for name in captions.VOCABULARY if name not in ("a", "an")]
    columns = [captions.VOCABULARY.index(name) for name in mentioned]
    assert (a == b) == np.array_equal(bags[0, columns], bags[1, columns])


def mistakes_are_mistakes():
    rng = np.random.default_rng(0)
    right = captions.draw(2000, rng)
    wrong = captions.mistaken(right, rng)
    assert ((right != wrong).sum(1) == 1).all()
    assert ((wrong >= 0) & (wrong < captions.VALUES)).all()
    assert ((right != wrong).mean(0) > 0.15).all()  # each attribute in a fifth of the cases
    for column, values in enumerate(captions.VALUES):  # and each of its other values
        assert set((wrong - right)[:, column] % values) == set(range(values))


def test_mistakes_are_mistakes():
    mistakes_are_mistakes()


def test_attributes_are_those_of_the_factors():
    pictures = glyphs.load(500)
    attributes = captions.attributes(pictures.factors)
    np.testing.assert_array_equal(attributes[:, 0], pictures.labels)
    faces = np.array(glyphs.FACES)[pictures.factors["font"]]
    assert set(faces[attributes[:, 1] == 1]) == {
        "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique",
        "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "STIXGeneralBol", "STIXGeneralBolIta", "cmb10"}  # fmt: skip
    assert set(faces[attributes[:, 2] == 1]) == {face for face in glyphs.FACES if "Ita" in face or "Obl" in face}
    assert (pictures.factors["angle"][attributes[:, 3] == 1] > 0).all()  # anticlockwise: the top goes to the left
    assert np.bincount(attributes[:, 4]).min() > 50


def test_unknown_words_are_answered_with_the_vocabulary():
    for text, words in (("a purple seven", r"unknown words \(purple\)"), ("", "is empty"), (" , ", "is empty")):
        with pytest.raises(DataError, match=f"{words}.*a, an, zero, one, .*large"):
            captions.bags(["a seven", text])
    np.testing.assert_array_equal(*captions.bags(["A bold SEVEN, tilted left.", "a bold seven tilted left"]))


def test_a_caption_on_the_command_line(tmp_path):

    def call(*arguments):
        command = [sys.executable, PATHS["text_to_image"], *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert call("--steps", "1", "--batch-size", "2", "--width", "2", "--out", "run").returncode == 0
    done = call("sample", "run", "--caption", "a bold seven, tilted left", "--n", "4")
    assert done.returncode == 0 and (tmp_path / "run" / "grid.png").exists(), done.stderr
    refused = call("sample", "run", "--caption", "a bold dragon", "--out", "dragon.png")
    assert refused.returncode == 2 and "unknown words (dragon)" in refused.stderr and "tilted" in refused.stderr
    assert refused.stderr.count("\n") == 1 and not (tmp_path / "dragon.png").exists()


def test_held_out_pictures_are_others_than_those_trained_on():
    model, batches = start("infogan")
    held_out = model.held_out()
    own = {image.tobytes() for image in batches.arrays[0]}
    assert len(held_out.images) == 2000 and not any(image.tobytes() in own for image in held_out.images)
