"""The classifier of the metrics: it learns, its file is whole or refused, its outputs do not depend on the batch."""

from pathlib import Path

import numpy as np
import pytest

from scratchgan import data, plots, training, xp
from scratchgan.examples.uses import classifier as example
from scratchgan.layers import Sequential
from scratchgan.metrics import classifier
from scratchgan.support.errors import DataError, UserError
from scratchgan.tools.strict import strict_xp


@pytest.fixture(scope="module")
def untrained():
    return classifier.Classifier(classifier.lenet((8, 8, 1), 10, rng=np.random.default_rng(0)), "tiny", (8, 8, 1), 0.5)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (260, 8, 8, 1), dtype=np.uint8)


def test_outputs(untrained, images):
    features, logits = untrained.features(images), untrained.logits(images)
    assert features.shape == (260, 128) and features.dtype == logits.dtype == np.float32 and features.min() == 0
    head = untrained.net.layers[1]
    np.testing.assert_allclose(logits, features @ head.W.value + head.b.value, rtol=1e-4, atol=1e-5)
    assert untrained.accuracy(images, untrained.predict(images)) == 1
    assert untrained.accuracy(images, logits.argmin(1)) == 0
    np.testing.assert_allclose(untrained.features(images[255:]), features[255:], rtol=1e-4, atol=1e-5)


def test_the_device_computes_the_same(untrained, images, tmp_path):
    path = classifier.save(untrained, tmp_path / "tiny.npz")
    expected = untrained.features(images)
    with xp.using(strict_xp):
        found = classifier.load("tiny", path)
        assert isinstance(found.head.W.value, xp.ndarray)
        assert found.hash == untrained.hash
        np.testing.assert_allclose(found.features(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 9, 8, 1), np.uint8),
                                   np.zeros((2, 8, 8, 1)), np.zeros((0, 8, 8, 1), np.uint8)])  # fmt: skip
def test_images_that_do_not_fit(untrained, wrong):
    with pytest.raises(ValueError, match=r"LeNet-tiny: images are .*, wanted uint8 \(n, 8, 8, 1\)"):
        untrained.features(wrong)


# ---- files ----


def test_a_file_returns_what_was_saved(untrained, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert classifier.save(untrained) == Path("runs/classifiers/tiny.npz")
    found = classifier.load("tiny")
    assert (found.name, found.shape, found.accuracy_on_test) == ("LeNet-tiny", (8, 8, 1), 0.5)
    np.testing.assert_array_equal(found.logits(images), untrained.logits(images))


def test_a_missing_file_tells_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="`python examples/uses/classifier.py --data mnist` trains it"):
        classifier.load("mnist")
    (tmp_path / "faces").mkdir()
    with pytest.raises(UserError, match="no classifier for the folder faces: `evaluate --classifier FILE` takes that"):
        classifier.load("faces")


def test_weights_of_another_hash_are_refused(untrained, tmp_path):
    path = classifier.save(untrained, tmp_path / "tiny.npz")
    with np.load(path) as file:
        arrays = dict(file)
    arrays["1.W"][3, 4] += 1e-3
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="tiny.npz holds weights of hash"):
        classifier.load("tiny", path)


def test_other_files_are_refused(untrained, tmp_path):
    path = classifier.save(untrained, tmp_path / "tiny.npz")
    with pytest.raises(UserError, match="was trained on tiny, not on mnist"):
        classifier.load("mnist", path)
    whole = path.read_bytes()
    for content in (b"", b"no file of arrays", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged or holds no classifier"):
            classifier.load("tiny", path)


# ---- the data and the example ----


def test_the_test_split_is_another_one(tmp_path):
    train, test = (data.load_images("glyphs", count=50, seed=3, split=split) for split in ("train", "test"))
    assert train.names == test.names and not np.array_equal(train.images, test.images)
    with pytest.raises(DataError, match="is a folder, which has no test pictures"):
        data.load_images(tmp_path, split="test")
    with pytest.raises(DataError, match="no split 'validation'"):
        data.load_images("glyphs", split="validation")


def test_shifts():
    images = np.zeros((200, 7, 6, 1), np.uint8)
    images[:, 3, 2] = 9
    moved = example.shifted(images, 1, np.random.default_rng(0))
    assert moved.shape == images.shape and (moved.sum((1, 2, 3)) == 9).all()
    places = {tuple(place) for place in np.argwhere(moved[..., 0])[:, 1:].tolist()}
    assert places == {(row, column) for row in (2, 3, 4) for column in (1, 2, 3)}
    np.testing.assert_array_equal(example.shifted(images, 0, np.random.default_rng(0)), images)


def test_the_picture_begins_with_the_hardest_image(monkeypatch):
    """The probability of the right class is what counts, and not the largest logit."""
    test = data.load_images("glyphs", count=30, seed=0, split="test")
    model = example.LeNet(example.Settings(), (28, 28, 1), np.random.default_rng(0))
    expected = data.load_images("glyphs", seed=0, split="test").images[:50]
    np.testing.assert_array_equal(model.test().images[:50], expected)  # on which it is not trained
    model.test = lambda: test
    logits = np.random.default_rng(0).standard_normal((30, 10)) + 100 * np.arange(30)[:, None]
    monkeypatch.setattr(classifier.Classifier, "logits", lambda self, images: logits)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p = (p / p.sum(1, keepdims=True))[np.arange(30), test.labels]
    np.testing.assert_array_equal(model.picture(np.zeros((9, 1))), plots.grid(test.images[np.argsort(p)[:9]]))


def test_the_example_learns_glyphs_and_writes_the_weights(tmp_path, monkeypatch, capsys):
    """60 steps suffice for 85 % of the glyphs; guessing has 10 %."""
    monkeypatch.chdir(tmp_path)
    fewer = lambda name, data_dir, seed, split: data.load_images(name, count=1000, seed=seed, split=split)
    monkeypatch.setattr(example, "images", fewer)
    training.main(example.LeNet, example.Settings, ["--steps", "60", "--device", "cpu", "--log-every", "20"])
    found = classifier.load("glyphs", tmp_path / "runs" / "classifiers" / "glyphs.npz")
    test = data.load_images("glyphs", count=500, seed=0, split="test")
    assert found.accuracy(test.images, test.labels) > 0.85
    right = f"LeNet-glyphs: {100 * found.accuracy_on_test:.2f} % of the test images are right"
    assert right in capsys.readouterr().out
    assert isinstance(found.net, Sequential) and found.shape == (28, 28, 1)


def test_a_worse_classifier_does_not_replace_a_better_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = classifier.lenet((28, 28, 1), 10, rng=np.random.default_rng(0))
    made = lambda accuracy: classifier.Classifier(net, "glyphs", (28, 28, 1), accuracy)
    keep = lambda accuracy: example.keep(made(accuracy))
    assert keep(0.8).startswith("wrote") and classifier.load("glyphs").accuracy_on_test == 0.8
    assert "stays, with 80.00 %" in keep(0.7) and classifier.load("glyphs").accuracy_on_test == 0.8
    assert keep(0.9).startswith("wrote") and classifier.load("glyphs").accuracy_on_test == 0.9
    path = Path("runs/classifiers/glyphs.npz")
    path.write_bytes(b"no classifier")
    assert keep(0.5) == f"wrote {path}; what was there, and is of no use, is {path}.unusable"
    assert classifier.load("glyphs").accuracy_on_test == 0.5 and path.with_name("glyphs.npz.unusable").exists()
