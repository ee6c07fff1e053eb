"""`evaluate` and --evaluate-every: every example has them, real data reach the floor, and training is not disturbed."""

import functools
import json

import numpy as np
import pytest
from PIL import Image

from scratchgan import data, training, xp
from scratchgan.examples import cgan, dcgan, gan, gan2d
from scratchgan.examples.stability import adversarial_nets
from scratchgan.metrics import classifier
from scratchgan.metrics.parzen import log_likelihood
from scratchgan.metrics.similarity import similarity_of_pairs
from scratchgan.plots import read_log
from scratchgan.support.errors import UserError
from scratchgan.tools.strict import strict_xp
from scratchgan.training import checkpoint, evaluate

IMAGE_METRICS = {
    *(f"{name}-LeNet" for name in ("FID", "KID", "precision", "recall", "density", "coverage", "sliced Wasserstein")),
    "LeNet score", "classes covered", "reverse KL of classes", "Jensen-Shannon of classes", "MS-SSIM within a class",
    "Parzen log-likelihood, nats", "nearer to training data-LeNet", "path length-LeNet",
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_glyphs(monkeypatch):
    """Each split holds 1,000 glyphs in place of 10,000."""
    monkeypatch.setattr(data, "load_images", few)


@functools.cache
def few(name, *, count=1000, load=data.load_images, **options):
    return load(name, count=count, **options)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """The path of a classifier of glyphs, hardly trained."""
    net = classifier.lenet((28, 28, 1), 10, rng=np.random.default_rng(0))
    path = tmp_path_factory.mktemp("classifiers") / "glyphs.npz"
    return classifier.save(classifier.Classifier(net, "glyphs", (28, 28, 1), 0.1), path)


def small_gan(**options):
    settings = gan.Settings(batch_size=8, **options)
    return gan.GAN(settings, (28, 28, 1), np.random.default_rng(0))


class Copier:
    """A generator of images whose samples are other glyphs of the same fonts: a perfect one."""

    settings, shape = gan.Settings(), (28, 28, 1)
    load_data = staticmethod(gan.GAN.load_data)

    def latent(self, n, rng):
        return rng.standard_normal((n, 4))

    def images(self, z):
        return data.glyphs.load(len(z), seed=[5, 5]).images

    def generate(self, z):
        return xp.asarray(data.to_signed(self.images(z)))


def test_perfect_images_reach_the_floor(lenet):
    found = evaluate.prepare(Copier(), 600, lenet).table(Copier())
    assert set(found) >= IMAGE_METRICS and "transport-LeNet, 500 samples" in found
    assert found.pop("path length-LeNet")[1] is None
    del found["classes covered"], found["reverse KL of classes"]  # the classifier hardly uses some of its classes
    for name, (value, floor) in found.items():
        assert value == pytest.approx(floor, rel=0.35, abs=0.06), name


def test_an_untrained_generator_does_not(lenet):
    model = small_gan()
    found = evaluate.prepare(model, 300, lenet).table(model)
    for name in ("FID-LeNet", "KID-LeNet", "sliced Wasserstein-LeNet", "reverse KL of classes"):
        assert found[name][0] > 3 * abs(found[name][1]), name
    for name in ("recall-LeNet", "coverage-LeNet", "Parzen log-likelihood, nats"):
        assert found[name][0] < found[name][1], name


def test_copies_of_training_data_are_seen(lenet):
    """They are the floor of every metric but one."""
    copier = Copier()
    copier.images = lambda z: copier.load_data(copier.settings)[: len(z)]
    found = evaluate.prepare(copier, 400, lenet).table(copier)
    value, floor = found["nearer to training data-LeNet"]
    assert value > 0.99 and 0 < abs(floor - 0.5) < 0.1  # the floor is of other held-out images, so that it is not exact


def test_metrics_of_pixels_longhand(lenet):
    """Parzen windows take pixels from 0 to 1, a tenth of the test images for their width; MS-SSIM one class each."""
    against, images = evaluate.prepare(Copier(), 100, lenet), Copier().images(range(100))
    found = against.every(against.sample(images))
    x, test = (pictures.reshape(100, -1) / 255 for pictures in (images, against.held_out.data))
    assert found["Parzen log-likelihood, nats"] == pytest.approx(log_likelihood(x, test[:10], test[10:]).mean)
    labels, rng = against.classifier.predict(images), np.random.default_rng(0)
    classes = [images[labels == label] for label in range(10) if (labels == label).sum() > 1]
    expected = np.mean([similarity_of_pairs(pictures, rng=rng, pairs=200) for pictures in classes])
    assert len(classes) > 1 and found["MS-SSIM within a class"] == pytest.approx(expected)


def test_other_sizes_and_colours(lenet):
    class Large(Copier):
        shape = (32, 32, 3)
        load_data = staticmethod(lambda settings: data.load_images("glyphs", size=32, channels=3).images)
        images = lambda self, z: data.load_images("glyphs", size=32, channels=3, count=len(z), seed=9).images

    against = evaluate.prepare(Large(), 200, lenet)
    red = np.zeros((1, 28, 28, 3), np.uint8) + np.array([91, 0, 0], np.uint8)
    np.testing.assert_array_equal(against.sample(red).data, np.full((1, 28, 28, 1), 30))  # the mean of the colours
    found = against.table(Large())
    assert "path length-LeNet" not in found and found["coverage-LeNet"][0] > 0.8


def test_points(tmp_path):
    """The mixture itself in place of G covers all modes; in one mode, 7/8 of everything is missing."""
    model = gan2d.GAN2D(gan2d.Settings(), (2,), np.random.default_rng(0))
    real = model.mixture().sample(1000, np.random.default_rng(7))
    against = evaluate.prepare(model, 1000)
    assert not {*map(tuple, against.held_out.data)} & {*map(tuple, against.train)}  # others of the same distribution
    model.generate = lambda z: xp.asarray(real)
    found = against.table(model)
    assert found["modes covered"] == (8, 8)
    assert max(np.abs(found.pop("kernel distance"))) < 0.2  # 2.7 for a distribution in one of the modes
    for name, (value, floor) in found.items():
        assert value == pytest.approx(floor, rel=0.5, abs=0.06), name
    model.generate = lambda z: xp.asarray(0.02 * np.random.default_rng(1).standard_normal((1000, 2)) + [2, 0])
    found = against.table(model)
    assert found["modes covered"][0] == 1 and found["kernel distance"][0] > 2
    assert found["reverse KL of modes"][0] == pytest.approx(np.log(8))
    for name in ("recall", "coverage"):
        assert found[name][0] == pytest.approx(1 / 8, abs=0.03), name
    centers, std = model.mixture().centers, model.mixture().std
    for distance, share in ((2.5, 1), (3.5, 0)):  # in standard deviations
        points = np.repeat(centers, 125, axis=0) + [distance * std, 0]
        assert against.quick(against.sample(points))["high-quality share"] == share


def test_on_the_device(lenet):
    model = small_gan()
    expected = evaluate.prepare(model, 60, lenet).table(model)
    with xp.using(strict_xp):
        model = small_gan()
        found = evaluate.prepare(model, 60, lenet).table(model)
    for name, (value, floor) in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-3, abs=1e-3), name
        assert found[name][1] == (floor if floor is None else pytest.approx(floor, rel=1e-3, abs=1e-3)), name


# ---- the command line ----


def main(example, *arguments):
    Model, Settings = (gan.GAN, gan.Settings) if example is gan else (gan2d.GAN2D, gan2d.Settings)
    training.main(Model, Settings, [str(argument) for argument in arguments])


def test_the_command(lenet, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(gan, "--steps", 2, "--batch-size", 8, "--out", "run")
    main(gan, "evaluate", "run", "--n", 100, "--classifier", lenet)
    out = capsys.readouterr().out.replace("\\", "/")
    assert "FID-LeNet" in out and "floor" in out and "wrote run/metrics.json" in out
    found = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert set(found["metrics"]) >= IMAGE_METRICS
    assert (found["step"], found["n"], found["data"], found["classifier"]) == (2, 100, "glyphs", "LeNet-glyphs")
    assert found["hash"] == classifier.load("glyphs", lenet).hash
    assert all(set(row) == {"value", "floor"} for row in found["metrics"].values())
    before = found["metrics"]
    main(gan, "evaluate", "run", "--n", 100, "--classifier", lenet, "--out", "again.json")
    again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))["metrics"]
    assert again == before  # the numbers follow from the run alone


def test_the_command_without_a_classifier(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(gan, "--steps", 1, "--batch-size", 8, "--out", "run")
    with pytest.raises(SystemExit, match="2"):
        main(gan, "evaluate", "run")
    assert "`python examples/uses/classifier.py --data glyphs` trains it" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(gan, "--steps", 1, "--batch-size", 8, "--out", "other", "--evaluate-every", 1)
    assert not (tmp_path / "other").exists()


def test_a_folder_of_pictures_has_no_test_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i, picture in enumerate(data.load_images("glyphs").images[:8, :, :, 0]):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{i}.png")
    main(gan, "--data", "photos", "--steps", 1, "--batch-size", 8, "--out", "run")
    with pytest.raises(SystemExit, match="2"):
        main(gan, "evaluate", "run")
    assert "photos is a folder, which has no test pictures" in capsys.readouterr().err


def test_following_a_training_does_not_disturb_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training.loop, "EVALUATED", 200)
    common = ("--steps", 4, "--batch-size", 8, "--log-every", 1, "--sample-every", 4)
    main(gan2d, *common, "--out", "plain")
    capsys.readouterr()
    main(gan2d, *common, "--out", "followed", "--evaluate-every", 3)
    assert "floor of the evaluations: Fréchet distance 0.0" in capsys.readouterr().out
    plain, followed = (checkpoint.load(tmp_path / name / "checkpoint.npz")[0] for name in ("plain", "followed"))
    for name, array in plain.items():
        np.testing.assert_array_equal(array, followed[name], err_msg=name)
    reports = {line["step"]: line.get("report", {}) for line in read_log(tmp_path / "followed" / "log.jsonl")}
    assert [step for step, report in reports.items() if "recall" in report] == [3, 4]
    assert {"modes covered", "Fréchet distance", "reverse KL of modes"} <= set(reports[4])


def test_a_generator_that_draws_goes_on_where_it_was():
    model = gan2d.GAN2D(gan2d.Settings(), (2,), np.random.default_rng(0))
    model.generate = lambda z: xp.asarray(model.rng.standard_normal((len(z), 2)))
    before = model.rng.bit_generator.state
    evaluate.prepare(model, 50).follow(model)
    assert model.rng.bit_generator.state == before


def test_too_few(lenet):
    with pytest.raises(UserError, match="would compare 10 samples: 20 is the least"):
        evaluate.prepare(small_gan(), 10, lenet)


# ---- a folder of pictures ----


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 320 pictures, no two alike."""
    folder = tmp_path_factory.mktemp("pictures") / "photos"
    folder.mkdir()
    for i, picture in enumerate(data.glyphs.load(320).images[:, :, :, 0]):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return folder


def splits(folder):
    """Return the training pictures and the others, as sets of bytes."""
    loaded = (data.load_images(folder, split=split, hold_out=True).images for split in ("train", "test"))
    return [{image.tobytes() for image in images} for images in loaded]


def test_some_pictures_of_a_folder_are_held_out_and_not_trained_on(photos):
    train, test = splits(photos)
    assert not train & test and len(train) + len(test) == 320 and 20 <= len(test) <= 50
    everything = data.load_images(photos).images
    assert {image.tobytes() for image in everything} == train | test
    for Model, Settings in ((gan.GAN, gan.Settings), (dcgan.DCGAN, dcgan.Settings)):
        assert len(Model.load_data(Settings(data=str(photos), hold_out=True))) == len(train)
        assert len(Model.load_data(Settings(data=str(photos)))) == 320
    split = adversarial_nets.split(adversarial_nets.Settings(data=str(photos), hold_out=True))
    assert sum(map(len, split)) == len(train)


def test_which_ones_does_not_depend_on_names_or_on_other_pictures(photos, tmp_path):
    before = splits(photos)
    for number, path in enumerate(sorted(photos.iterdir())):
        if number % 20:
            folder = tmp_path / "others" / ("a" if number % 2 else "b")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{1000 - number}.png").write_bytes(path.read_bytes())
    after = splits(tmp_path / "others")
    assert after[0] < before[0] and after[1] <= before[1]
    labelled = data.load_images(tmp_path / "others", split="test", hold_out=True)
    assert len(labelled.labels) == len(labelled.images)
    assert len(cgan.CGAN.load_data(cgan.Settings(data=str(tmp_path / "others"), classes=2, hold_out=True))[0]) < 300


def test_a_folder_that_is_too_small_is_refused_before_the_training(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="--hold-out would keep [01] of 1 pictures, and 20 is the least"):
        data.load_images(tmp_path, hold_out=True)


def test_evaluate_of_a_folder(photos, lenet, tmp_path, monkeypatch, capsys):
    """It needs a run that held pictures out, and a classifier that is named; a run of all pictures is refused."""
    monkeypatch.chdir(tmp_path)
    train = ("--data", photos, "--steps", 1, "--batch-size", 8)
    main(gan, *train, "--hold-out", "--out", "run")
    for arguments, message in (
        (("evaluate", "run"), "no classifier for the folder"),
        (("--resume", "run", "--no-hold-out", "--steps", 2), "data set of 277 samples and this one holds 320"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            main(gan, *arguments)
        assert message in capsys.readouterr().err
    main(gan, "evaluate", "run", "--classifier", lenet)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert found["n"] == len(splits(photos)[1]) and found["classifier"] == "LeNet-glyphs"
    main(gan, *train, "--out", "all")
    with pytest.raises(SystemExit, match="2"):
        main(gan, "evaluate", "all", "--classifier", lenet)
    assert "no test pictures: a run with --hold-out keeps some" in capsys.readouterr().err
    arrays, meta = checkpoint.load("run/checkpoint.npz")
    del meta["settings"]["hold_out"]  # as of a run from before there was this option
    checkpoint.save("run/checkpoint.npz", arrays, meta)
    with pytest.raises(SystemExit, match="2"):
        main(gan, "evaluate", "run", "--classifier", lenet)
