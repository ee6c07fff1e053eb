"""Labels: data that do not fit, pictures with a class a row, and the commands of the examples that use labels."""

import json

import numpy as np
import pytest
from PIL import Image
from test_examples import EXAMPLES, start

from scratchgan import data, training
from scratchgan.examples import cgan
from scratchgan.examples.uses import data_augmentation, retrieval
from scratchgan.metrics import classifier
from scratchgan.support.errors import DataError

rng = np.random.default_rng(0)

# ---- data ------------------------------------------------------------------------------------------------


def test_labels_of_a_data_set_are_checked():
    data.check_labels(np.array([2, 0, 1, 1]), 3)
    for bad, classes, message in (
        (None, 3, "no labels; put those of each class into a sub-folder"),
        (np.array([0.0, 1.0]), 2, r"that count the classes from 0, \(N,\); these are float64 of shape \(2,\)"),
        (np.array([0, 1, 11]), 10, "0 to 11; for 10 classes they must be 0 to 9. Is --classes 12 meant"),
        (np.array([-1, 0, 1]), 2, "from -1 to 1"),
        (np.eye(3, dtype=int), 3, r"these are int64 of shape \(3, 3\)"),
        ([0.5, 1.0], 2, "these are float64"),
        (np.array([0, 2, 2]), 4, "Classes 1, 3 have no sample: 4 classes count from 0 to 3; number the classes"),
        ([0, 2, 1], 4, "Class 3 has no sample: 4 classes count from 0 to 3; is --classes 3 meant"),
        (np.array([], int), 2, "Classes 0, 1 have no sample"),
        (np.array([0]), 10**12, r"Classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\. have no sample"),
    ):
        with pytest.raises(DataError, match=message):
            data.check_labels(bad, classes)


@pytest.mark.parametrize("more, message", [
    (["--classes", "5"], "The labels reach from 0 to 9; for 5 classes they must be 0 to 4. Is --classes 10 meant?"),
    (["--classes", "12"], "Classes 10, 11 have no sample: 12 classes count from 0 to 11; is --classes 10 meant?"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["cgan", "acgan", "projection", "data_augmentation", "semi_supervised"])
def test_classes_that_do_not_match_the_data(name, more, message, tmp_path, capsys):
    refused(name, more, message, tmp_path, capsys)


def refused(name, arguments, message, tmp_path, capsys):
    """An example's command line answers with one line, and leaves nothing behind."""
    Model, Settings, _ = EXAMPLES[name]
    with pytest.raises(SystemExit) as exit:
        training.main(Model, Settings, ["--out", str(tmp_path / "run"), "--device", "cpu", "--steps", "1", *arguments])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.endswith(f"error: {message}\n") and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.fixture
def folder(tmp_path):
    """A folder of pictures: two of each of three classes, and none of them directly in it."""
    for number in range(6):
        path = tmp_path / "pictures" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 30), 40 * number, np.uint8)).save(path)
    return tmp_path / "pictures"


@pytest.mark.parametrize("name", ["cgan", "acgan", "projection", "data_augmentation", "semi_supervised"])
def test_folders_of_pictures(name, folder, tmp_path, capsys):
    Model, Settings, options = EXAMPLES[name]
    missing = "Classes 3, 4, 5, 6, 7, 8, 9 have no sample: 10 classes count from 0 to 9; is --classes 3 meant?"
    refused(name, ["--data", str(folder)], missing, tmp_path, capsys)
    no_labels = "These pictures have no labels; put those of each class into a sub-folder of its own."
    refused(name, ["--data", str(folder / "a")], no_labels, tmp_path, capsys)
    more = {"labels": 2} if hasattr(Settings, "labels") else {}
    settings = Settings(
        data=str(folder), classes=3, steps=1, batch_size=4, device="cpu", out=str(tmp_path / "run"), **options | more
    )
    training.train(Model, settings)
    assert (tmp_path / "run" / "samples.png").exists()


@pytest.mark.parametrize("name", ["data_augmentation", "semi_supervised"])
def test_more_labels_than_there_are_pictures(name, folder, tmp_path, capsys):
    arguments = ["--data", str(folder), "--classes", "3", "--labels", "3"]
    refused(name, arguments, "--labels 3 is more than the 2 pictures of class 0.", tmp_path, capsys)


def test_a_folder_has_no_test_pictures_to_compare_or_to_look_for(folder, tmp_path, monkeypatch, capsys):
    common = {"data": str(folder), "tmp_path": tmp_path, "monkeypatch": monkeypatch}
    for module, Model, more in (
        (data_augmentation, data_augmentation.DataAugmentation, {"classes": 3, "labels": 2}),
        (retrieval, retrieval.Retrieval, {}),
    ):
        run = trained(module, Model, out=Model.__name__, **common, **more)
        command = module.compare if module is data_augmentation else module.retrieve
        with pytest.raises(SystemExit) as exit:
            training.main(Model, module.Settings, [command.__name__, run], commands=[command])
        assert exit.value.code == 2 and "is a folder, which has no test pictures" in capsys.readouterr().err
        left = {file.name for file in (tmp_path / run).iterdir()}
        assert not {"compare.json", "retrieval.json", "retrieval.png"} & left


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


def trained(module, Model, tmp_path, monkeypatch, out="run", **options):
    """Train an example for two steps, in a directory of its own, and return its run."""
    monkeypatch.chdir(tmp_path)
    training.train(Model, module.Settings(steps=2, batch_size=4, width=2, device="cpu", out=out, **options))
    return out


def test_accuracy_counts_the_samples_that_the_classifier_recognises(tmp_path, monkeypatch, capsys):
    run, main = trained(cgan, cgan.CGAN, tmp_path, monkeypatch), (cgan.CGAN, cgan.Settings)
    with pytest.raises(SystemExit):
        training.main(*main, ["accuracy", run], commands=[training.accuracy])
    assert "examples/uses/classifier.py --data glyphs" in capsys.readouterr().err
    net = classifier.lenet((28, 28, 1), 10, rng=rng)
    net.layers[1].W.value[...] = 0
    net.layers[1].b.value[7] = 1  # a classifier that sees sevens only
    classifier.save(classifier.Classifier(net, "glyphs", (28, 28, 1)))
    training.main(*main, ["accuracy", run, "--n", "3"], commands=[training.accuracy])
    said = capsys.readouterr().out
    assert "class 7: 100.0 %" in said and "class 6: 0.0 %" in said and "class accuracy: 10.00 % of 30 samples" in said
    found = json.loads((tmp_path / run / "accuracy.json").read_text())
    assert found["n"] == 30 and found["class accuracy"] == 0.1 and found["of each class"] == [0] * 7 + [1, 0, 0]


class Blank(data_augmentation.DataAugmentation):
    """A GAN whose samples are black, and which remembers what it was asked for."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = []

    def images(self, z, labels=None):
        self.asked.append(labels)
        return np.zeros((len(z), 28, 28, 1), np.uint8)


def test_both_classifiers_are_compared(tmp_path, monkeypatch, capsys):
    """The first learns from 32 real pictures a step, the second from 32 samples more, of the labels asked for."""
    run = trained(data_augmentation, data_augmentation.DataAugmentation, tmp_path, monkeypatch, labels=2)
    few = lambda name, **options: data.glyphs.load(100 if options["split"] == "test" else 20, seed=1)
    real, labels = few("", split="train")[:2]
    model = Blank(data_augmentation.Settings(labels=2, width=2), (28, 28, 1), rng)
    model.load_data = lambda settings: (real, labels)
    monkeypatch.setattr(data_augmentation.command, "load", lambda *_: model)
    monkeypatch.setattr(data_augmentation.data, "load_images", few)
    told, cross_entropy = [], data_augmentation.losses.softmax_cross_entropy
    watch = lambda logits, labels: told.append(labels) or cross_entropy(logits, labels)
    monkeypatch.setattr(data_augmentation.losses, "softmax_cross_entropy", watch)
    shown, to_signed = [], data.to_signed
    monkeypatch.setattr(data_augmentation.data, "to_signed", lambda images: shown.append(images) or to_signed(images))
    Model, Settings = data_augmentation.DataAugmentation, data_augmentation.Settings
    data_augmentation.compare(Model, Settings, "data_augmentation.py", [run, "--steps", "2"])
    assert [len(labels) for labels in told] == [32, 32, 64, 64]
    np.testing.assert_array_equal(told[0][:20], told[2][:20])  # as in the first round of the first
    for labels, asked in zip(told[2:], model.asked, strict=True):
        np.testing.assert_array_equal(labels[32:], asked)
    batches = [images for images in shown if len(images) in (32, 64)]
    assert [images[32:].any() for images in batches if len(images) == 64] == [False, False]
    assert all(images.any(axis=(1, 2, 3))[:32].all() for images in batches)
    said, found = capsys.readouterr().out, json.loads((tmp_path / run / "compare.json").read_text())
    assert found.keys() == {"n", "real pictures", "with samples added"} and found["n"] == 100
    for name in ("real pictures", "with samples added"):
        assert f"seed 0, {name}: {100 * found[name]:.2f} % of 100 test pictures" in said


def test_the_pictures_of_data_augmentation_are_as_many_of_each_class():
    images, labels = data_augmentation.DataAugmentation.load_data(data_augmentation.Settings(labels=3))
    assert len(images) == 30 and np.bincount(labels).tolist() == [3] * 10
    other, _ = data_augmentation.DataAugmentation.load_data(data_augmentation.Settings(labels=3, seed=1))
    assert not np.array_equal(images, other)


def test_pictures_are_moved_by_up_to_2_pixels_each_way():
    model, _ = start("data_augmentation")
    shifts = {model.shift() for _ in range(1000)}
    assert shifts == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_the_seed_chooses_among_the_pictures_of_a_data_set(monkeypatch):
    same = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1), np.arange(60) % 10
    monkeypatch.setattr(training.LabelledModel, "load_data", staticmethod(lambda settings: same))
    load = data_augmentation.DataAugmentation.load_data
    chosen = [load(data_augmentation.Settings(labels=3, seed=seed)) for seed in (0, 1)]
    assert all((images.ravel() % 10 == labels).all() for images, labels in chosen)
    assert set(chosen[0][0].ravel()) != set(chosen[1][0].ravel())


def test_retrieval(tmp_path, monkeypatch, capsys):
    run = trained(retrieval, retrieval.Retrieval, tmp_path, monkeypatch, lr=0.1)
    main = (retrieval.Retrieval, retrieval.Settings)
    arguments = ["retrieve", run, "--queries", "5", "--gallery", "40"]
    training.main(*main, arguments, commands=[retrieval.retrieve])
    said = capsys.readouterr().out
    assert all(f"precision at 10, {name}: 0." in said for name in ("D", "untrained D", "pixels"))
    picture = Image.open(tmp_path / "run" / "retrieval.png")
    assert picture.size == (11 * 30 + 2, 10 * 30 + 2)
    found = json.loads((tmp_path / "run" / "retrieval.json").read_text())
    test, train = (data.load_images("glyphs", split=split) for split in ("test", "train"))
    queries, gallery = test.images[:5], train.images[:40]
    near = retrieval.nearest(*[images.reshape(len(images), -1).astype(np.float32) for images in (queries, gallery)])
    same = train.labels[near] == test.labels[:5, None]
    assert found["pixels"] == same.mean() > 0 and len(set(found.values())) == 5
    rows = np.asarray(picture)[2:].reshape(10, 30, -1)[1::2, :28, 2:].reshape(5, 28, 11, 30)[..., :28].swapaxes(1, 2)
    shown = np.where(same[..., None, None], gallery[near][..., 0], 255 - gallery[near][..., 0])
    np.testing.assert_array_equal(rows, np.concatenate([queries[:, None, ..., 0], shown], axis=1))


def test_features_are_what_Ds_last_layer_looks_at():
    model, batches = start("retrieval")
    images = batches.next()
    features = model.features(images)
    assert features.shape == (16, 7 * 7 * 16)
    np.testing.assert_allclose(model.D.layers[-1](features), model.D(data.to_signed(images)), rtol=1e-5)


def test_the_nearest_have_the_largest_cosine():
    gallery = np.array([[1.0, 0], [5, 5], [0, 2], [-1, 0], [0, 0]])
    np.testing.assert_array_equal(retrieval.nearest(np.array([[3.0, 1], [-1, 4]]), gallery, 3), [[0, 1, 2], [2, 1, 3]])
