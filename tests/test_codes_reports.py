"""What the examples of codes, few labels, rotations and captions print, draw and learn from, besides their losses."""

import json
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
from objectives import follows, log_p, stretches
from test_codes import run
from test_examples import ROOT, start, told_to_D

from scratchgan import data
from scratchgan.data import captions, glyphs
from scratchgan.examples.labels import text_to_image
from scratchgan.layers import Dense, Flatten
from scratchgan.metrics.disentangle import mutual_information_gap
from scratchgan.weights import WeightNorm

sys.path.append(str(ROOT / "docs" / "figures"))
import captions as figure  # noqa: E402

rng = np.random.default_rng(0)

# ---- InfoGAN ---------------------------------------------------------------------------------------------


def test_a_row_of_infogans_picture_is_a_category_with_samples_and_walks(monkeypatch):
    model, _ = start("infogan")
    drawn = []
    monkeypatch.setattr(model, "images", lambda z: drawn.append(z) or np.zeros((len(z), 28, 28, 1), np.uint8))
    model.picture(model.latent(64, rng))
    z = drawn[0].reshape(10, 30, 74)  # categories, columns, [noise, category, two numbers]
    np.testing.assert_array_equal(z[:, :, 62:72], np.eye(10)[:, None].repeat(30, 1))
    np.testing.assert_array_equal(z[..., :62], z[:1, ..., :62].repeat(10, 0))  # a column is one z
    for number in (0, 1):
        walk = z[0, 10 * (1 + number) : 10 * (2 + number)]
        np.testing.assert_array_equal(walk[:, :62], z[0, :1, :62].repeat(10, 0))
        np.testing.assert_allclose(walk[:, 72 + number], np.linspace(-1, 1, 10), rtol=1e-6)
        assert not walk[:, 73 - number].any()


def test_infogans_report_is_of_what_Q_says_of_held_out_pictures(monkeypatch):
    model, _ = start("infogan")
    found = glyphs.load(500, seed=5)
    angle, scale = found.factors["angle"], found.factors["scale"]
    category = 20.0 * ((found.labels[:, None] + 3) % 10 == np.arange(10))  # the digit by another name
    said = np.column_stack([rng.standard_normal(500), category, angle, scale])  # D's logit, then Q's head
    monkeypatch.setattr(model, "held_out", lambda: found)
    monkeypatch.setattr(model, "infer", lambda network, images: said)
    codes = {"category": found.labels, "number 0": angle, "number 1": scale}
    assert model.report() == {"error": 0, "gap": mutual_information_gap(codes, found.factors)[0]}
    monkeypatch.setattr(model, "held_out", lambda: found._replace(factors=None))  # as of MNIST
    assert model.report() == {"error": 0}
    monkeypatch.setattr(model, "held_out", lambda: None)  # as of a folder
    assert model.report() == {}


# ---- few labels ------------------------------------------------------------------------------------------


def test_labelled_pictures_keep_their_labels():
    model, batches = start("semi_supervised")
    images, labels = model.draw_labelled(batches, 200)
    of = {image.tobytes(): label for image, label in zip(*batches.arrays, strict=True) if label >= 0}
    assert [of[image.tobytes()] for image in images] == labels.tolist()


def supervised_alone():
    """-E log p(y | x), of labelled pictures; the step is told others, and does not look at them."""
    model, batches = start("semi_supervised", supervised=True)
    cross_entropy = lambda G, D, draw, real, labelled, labels: -log_p(run(D, labelled), labels).mean()
    follows(model, "D", model.discriminator_step, told_to_D(model, batches), cross_entropy, printed=lambda said: said)


def test_supervised_alone_descends_the_cross_entropy():
    supervised_alone()


def test_weights_of_D_are_normalised_and_lengths_are_learned_in_the_last_layer_only():
    model, batches = start("semi_supervised")
    model.step(batches)
    weights = [param for path, param in model.D.named_params().items() if path.endswith("W")]
    before = [weight.g.value.copy() for weight in weights]
    assert all(isinstance(weight, WeightNorm) for weight in weights) and len(weights) == 6
    for _ in range(3):
        model.step(batches)
    for index, (weight, length) in enumerate(zip(weights, before, strict=True)):
        np.testing.assert_allclose(np.linalg.norm(weight.effective(), axis=0), weight.g.value, rtol=1e-5)
        assert np.array_equal(weight.g.value, length) == (index < 5)


def test_layers_start_at_the_data():
    """Each dense layer's outputs have mean 0 and variance 1 for the pictures, noise included."""
    model, batches = start("semi_supervised")
    x = model.scaled(batches.arrays[0][:2000])
    model.start_at(x)
    for layer in (*model.D.layers[0].layers, *model.D.layers[1].layers):
        x, _ = layer.forward(x)  # the noise of layers is drawn anew
        if isinstance(layer, Dense):
            assert abs(x.mean(0)).max() < 0.15 and abs(x.std(0) - 1).max() < 0.15


def test_the_first_step_starts_at_the_data_and_no_later_one(monkeypatch):
    model, batches = start("semi_supervised")
    seen = []
    monkeypatch.setattr(model, "start_at", seen.append)
    for _ in range(3):
        model.step(batches)
    (x,) = seen
    np.testing.assert_array_equal(x, batches.arrays[0][:500] / np.float32(255))


def test_D_sees_pixels_from_0_to_1_and_samples_are_signed():
    model, _ = start("semi_supervised")
    assert (model.scaled(np.array([0, 255], np.uint8)) == [0, 1]).all()
    z = model.latent(4, np.random.default_rng(0))
    np.testing.assert_array_equal(model.generate(z), 2 * model.G(z) - 1)


def test_D_sees_pictures_moved_by_whole_pixels():
    model, _ = start("semi_supervised", shift=1)
    moved = model.D.layers[0].layers[0]
    x = np.zeros((200, 28, 28, 1), np.float32)
    x[:, 14, 14] = 1
    where = {tuple(place[1:3]) for place in np.argwhere(moved.forward(x)[0])}
    assert where == {(i, j) for i in (13, 14, 15) for j in (13, 14, 15)}
    np.testing.assert_array_equal(moved(x), x)
    bare, _ = start("semi_supervised", shift=0)
    assert isinstance(bare.D.layers[0].layers[0], Flatten)


def test_each_labelled_picture_comes_as_often_as_the_others():
    model, batches = start("semi_supervised")
    images, _ = model.draw_labelled(batches, 300)
    counts = Counter(image.tobytes() for image in images)
    assert len(counts) == 100 and set(counts.values()) == {3}


def test_the_learning_rate_falls_to_0_in_the_last_third():
    model, _ = start("semi_supervised", steps=300)
    for optimizer, lr in ((model.opt_G, 1e-3), (model.opt_D, 3e-3)):
        np.testing.assert_allclose([optimizer.lr(step) for step in (0, 199, 250, 300)], [lr, lr, lr / 2, 0])


def test_the_error_is_that_of_the_average_of_D():
    model, batches = start("semi_supervised")
    for _ in range(3):
        model.step(batches)
    held_out = model.held_out()
    x = held_out.images / np.float32(255)
    wrong = {name: (D(x).argmax(1) != held_out.labels).sum() for name, D in (
        ("average", model.D_average.net), ("last", model.D))}  # fmt: skip
    assert model.report() == {"error": wrong["average"] / 2000, "errors": wrong["average"]}
    assert wrong["average"] != wrong["last"]


# ---- rotations -------------------------------------------------------------------------------------------


def test_every_weight_of_ssgans_D_is_divided_by_its_largest_singular_value():
    np.testing.assert_allclose(stretches(start("ssgan")[0].D), 1, rtol=0.05)


def test_the_turn_accuracy_is_of_the_turns_that_Q_learns(monkeypatch):
    """A Q that sees by the place of one bright pixel how a picture lies, in the order that it is trained in."""
    model, _ = start("ssgan")
    images = np.zeros((8, 28, 28, 1), np.uint8)
    images[:, 0, 5] = 255
    bright = [model.rotations(images[:1].astype("float32"))[turn].argmax() for turn in range(4)]

    def infer(network, pictures):
        place = pictures.reshape(len(pictures), -1).argmax(1)
        return place[:, None] == bright

    monkeypatch.setattr(model, "held_out", lambda: data.Images(images))
    monkeypatch.setattr(model, "infer", infer)
    assert model.report() == {"turn accuracy": 1}


def test_without_weights_the_turns_play_no_part():
    model, batches = start("ssgan", alpha=0.0, beta=0.0)
    before = model.D.layers[1].branches[1].layers[-1].W.value.copy()
    model.step(batches)
    np.testing.assert_array_equal(model.D.layers[1].branches[1].layers[-1].W.value, before)


# ---- captions --------------------------------------------------------------------------------------------


def test_what_captions_say_can_be_seen():
    """Tilt and slant move the upper half of a picture, bold adds ink, size adds height."""
    found = glyphs.load(3000, seed=3)
    attributes = dict(zip(captions.ATTRIBUTES, captions.attributes(found.factors).T, strict=True))
    ink = found.images[..., 0].astype(float)  # (n, 28, 28)
    centre = lambda half: (half.sum(1) @ np.arange(28)) / half.sum((1, 2))
    lean = centre(ink[:, :14]) - centre(ink[:, 14:])  # to the right, from bottom to top
    even = np.isin(attributes["digit"], (0, 1, 8))  # whose halves are alike
    mean = lambda x, name, value, among=True: x[(attributes[name] == value) & among].mean()
    none, left, right = (mean(lean, "tilt", value, even & (attributes["slant"] == 0)) for value in range(3))
    assert left < none - 0.5 and right > none + 0.5
    assert mean(lean, "slant", 1, even) > mean(lean, "slant", 0, even) + 1
    assert mean(ink, "weight", 1) > 1.3 * mean(ink, "weight", 0)
    medium, small, large = (mean((ink.max(2) > 64).sum(1), "size", value) for value in range(3))
    assert small + 1 < medium < large - 1


def test_the_thresholds_of_a_caption_are_those_stated():
    factors = {"class": np.zeros(6, int), "font": np.zeros(6, int), "angle": np.array([3.9, 4.1, -3.9, -4.1, 0, 0]),
               "scale": np.array([0.88, 0.86, 0.97, 0.99, 0.9, 0.9])}  # fmt: skip
    tilt, size = captions.attributes(factors)[:, 3:].T
    assert tilt.tolist() == [0, 1, 0, 2, 0, 0] and size.tolist() == [0, 1, 0, 2, 0, 0]


def test_a_step_shows_D_the_right_caption_and_a_wrong_one():
    model, batches = start("text_to_image")
    twin = start("text_to_image")[1]
    images, attributes = twin.next()
    told = []
    model.discriminator_step = lambda *arguments: told.extend(arguments) or 0.0
    model.step(batches)
    real, right, wrong = told
    np.testing.assert_array_equal(real, data.to_signed(images))
    np.testing.assert_array_equal(right, captions.bags_of(attributes))
    assert (np.abs(right - wrong).sum(1) > 0).all()


def test_a_caption_that_is_asked_for_is_the_one_that_is_drawn(tmp_path, monkeypatch):
    model, _ = start("text_to_image")
    drawn = []
    monkeypatch.setattr(model, "images", lambda z: drawn.append(z) or np.zeros((len(z), 28, 28, 1), np.uint8))
    monkeypatch.setattr(text_to_image.command, "load", lambda *_: model)
    main = (text_to_image.TextToImage, text_to_image.Settings, "text_to_image.py")
    out = ["--out", str(tmp_path / "grid.png")]
    text_to_image.sample(*main, ["run", "--n", "9", "--caption", "a large bold two", *out])
    text_to_image.sample(*main, ["run", "--n", "9", *out])
    asked, free = (np.split(z, [100], axis=1) for z in drawn)
    np.testing.assert_array_equal(asked[0], free[0])
    np.testing.assert_array_equal(asked[1], captions.bags(["a large bold two"]).repeat(9, 0))
    assert len(np.unique(free[1], axis=0)) > 5


def test_each_head_of_the_judge_is_held_to_its_own_attribute():
    asked = captions.draw(60, rng)
    said = np.concatenate([np.eye(values)[column] for values, column in zip(captions.VALUES, asked.T, strict=True)], 1)
    judge = lambda x: said
    images = np.zeros((60, 28, 28, 1), np.uint8)
    assert figure.right(judge, images, asked).all()
    for column in range(5):
        wrong = asked.copy()
        wrong[:, column] = (wrong[:, column] + 1) % captions.VALUES[column]
        assert figure.right(judge, images, wrong).mean(0).tolist() == [float(other != column) for other in range(5)]


def test_how_often_samples_match_what_was_asked_for(tmp_path, monkeypatch, capsys):
    """The judge sees samples of the captions that it compares with, and real glyphs with theirs."""
    own, drawn, asked = start("text_to_image")[0], [], []
    model = SimpleNamespace(settings=own.settings, latent=own.latent, images=lambda z: drawn.append(z) or len(drawn))

    def right(net, images, attributes):
        asked.append(attributes)
        share = 0.75 if len(asked) == 2 else 1.0  # of samples, of each attribute
        return np.arange(40)[:, None] % 4 < 4 * share * np.ones(5)

    monkeypatch.setattr(figure, "SAMPLES", 40)
    monkeypatch.setattr(figure, "draw", lambda model, path: None)
    monkeypatch.setattr(figure, "train_judge", lambda: None)
    monkeypatch.setattr(figure, "right", right)
    monkeypatch.setattr(figure.training, "load_model", lambda *_: model)
    figure.main(tmp_path, tmp_path / "captions.png")
    (z,) = drawn
    np.testing.assert_array_equal(z[:, 100:], captions.bags_of(asked[1]))
    found = json.loads((tmp_path / "captions.json").read_text())
    assert list(found) == ["n", *captions.ATTRIBUTES, "all five"] and found["n"] == 40
    said = capsys.readouterr().out
    for name in (*captions.ATTRIBUTES, "all five"):
        assert (found[name]["samples"], found[name]["real glyphs"]) == (0.75, 1)
        assert f"{name:10}    0.750    1.000" in said
    assert found["weight"]["always the commonest"] == max(np.bincount(asked[1][:, 1])) / 40
