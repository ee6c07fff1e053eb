"""training.Translation: what every model that makes a picture of a picture has, measured beside input and truth."""

import json

import numpy as np
import pytest
import translation_tiny
from PIL import Image
from test_training_cli import error_line
from translation_tiny import Both, Negative, Perfect, Settings

from scratchgan import training, xp
from scratchgan.data import to_bytes, to_signed
from scratchgan.metrics import classifier, pixels
from scratchgan.plots import read_log
from scratchgan.support.errors import DataError
from scratchgan.training import checkpoint, drawing, evaluate, verdict


def model(Model=Negative, **options):
    return Model(Settings(**options), (12, 12, options.get("channels", 1)), np.random.default_rng(0))


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """The path of a classifier of characters, which was not trained."""
    net = classifier.lenet((28, 28, 1), 62, rng=np.random.default_rng(0))
    path = tmp_path_factory.mktemp("classifiers") / "characters.npz"
    return classifier.save(classifier.Classifier(net, "characters", (28, 28, 1), 0.1), path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of thirty steps."""
    folder = tmp_path_factory.mktemp("trained")
    training.train(Negative, Settings(out=str(folder / "run"), sample_every=10))
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


# ---- what is drawn ---------------------------------------------------------------------------------------


def test_a_latent_vector_is_a_held_out_input_beside_its_truth():
    one = model(channels=3)
    pairs = one.held_out_pairs()
    for n, rows in ((15, 15), (40, 40), (100, 40)):  # all of them, before any comes again
        z = one.latent(n, np.random.default_rng(3))
        assert z.shape == (n, 12, 12, 6) and z.dtype == np.float32
        inputs, truths = (to_bytes(part) for part in one.split(z))
        np.testing.assert_array_equal(truths, 255 - inputs)
        known = {image.tobytes() for image in pairs.inputs}
        drawn = {image.tobytes() for image in inputs}
        assert drawn <= known and len(drawn) == rows or n == 100
    np.testing.assert_array_equal(one.latent(5, np.random.default_rng(3)), one.latent(5, np.random.default_rng(3)))


def test_training_sees_no_held_out_pair():
    truths, inputs = Negative.load_data(Settings())
    assert len(inputs) == 60 and (truths == 255 - inputs).all()
    held_out = {image.tobytes() for image in model().held_out_pairs().inputs}
    assert not held_out & {image.tobytes() for image in inputs}


@pytest.mark.parametrize("n", [1, 2, 3, 10, 64])
def test_inputs_outputs_and_truths_side_by_side(n):
    """Each sample's three stand in one row, and what a picture costs is known before it is drawn."""
    one = model(Perfect)
    z = one.latent(n, np.random.default_rng(0))
    rows, columns = one.layout(n)
    picture = one.picture(z)
    assert columns % 3 == 0 and rows * columns >= 3 * n and picture.dtype == np.uint8
    assert picture.shape == (rows * 14 + 2, columns * 14 + 2, 1)
    tiles = [picture[2 + 14 * r :, 2 + 14 * c :][:12, :12] for r in range(rows) for c in range(columns)][: 3 * n]
    inputs, outputs, truths = (np.stack(tiles[first::3]) for first in range(3))
    np.testing.assert_array_equal(inputs, to_bytes(z[..., :1]))
    np.testing.assert_array_equal(outputs, 255 - inputs)
    np.testing.assert_array_equal(truths, 255 - inputs)
    assert max(picture.shape) < 2.1 * min(picture.shape[:2]) or n < 4  # near a square
    assert max(rows, columns) < 3 * np.sqrt(3 * n)


def test_as_many_columns_as_a_model_shows():
    class Four(Perfect):
        shown = ("input", "output", "again", "truth")

        def columns(self, z):
            x, y, truth = super().columns(z)
            return x, y, y, truth

    one = model(Four)
    rows, columns = one.layout(10)
    assert columns % 4 == 0
    assert one.picture(one.latent(10, np.random.default_rng(0))).shape == (rows * 14 + 2, columns * 14 + 2, 1)


def test_pictures_of_two_sizes_need_a_latent_of_their_own():
    with pytest.raises(ValueError, match="latent: inputs .* and truths .*, wanted one shape"):
        model(enlarged=True).latent(3, np.random.default_rng(0))


def test_the_cost_of_a_picture_is_known(tmp_path):
    """Three tiles a sample: a WebP of so many samples would be too long."""
    with pytest.raises(training.command.UserError, match="larger than .webp can hold"):
        drawing.check(model(), 90_000, model().layout(90_000), 4, tmp_path / "a.webp", "--n")


# ---- what is measured ------------------------------------------------------------------------------------


def test_metrics_beside_those_of_inputs_and_truths(judge):
    one = model(Perfect)
    table = evaluate.prepare(one, 30, judge).table(one)
    pairs = one.held_out_pairs().rows(slice(0, 30))
    expected = 10 * np.log10(255**2 / ((pairs.inputs.astype(float) - pairs.truths) ** 2).mean(axis=(1, 2, 3))).mean()
    assert table["PSNR, dB"] == (np.inf, pytest.approx(expected), np.inf)
    away = np.abs(2 * pairs.inputs.astype(float) - 255).mean()
    assert table["L1, levels of 255"] == (0, pytest.approx(away), 0)
    assert table["sharpness, 1: the truth's"] == pytest.approx((1, 1, 1))
    assert table["MS-SSIM"][0] == table["MS-SSIM"][2] == pytest.approx(1) and table["MS-SSIM"][1] < 0.2
    knows = classifier.load("characters", judge)
    right = lambda images: knows.predict(evaluate.fitted(images, (28, 28, 1))) == pairs.labels
    assert table["class accuracy-LeNet"] == (*[right(pairs.truths).mean()] * 0, right(pairs.truths).mean(),
                                             right(pairs.inputs).mean(), right(pairs.truths).mean())  # fmt: skip


def test_digits_are_recognised_among_digits(judge):
    """O is no 0 among all characters, and the two look alike: of a digit, only the digits' logits count."""
    one = model()
    judged = evaluate.prepare(one, 40, judge)
    labels = np.array([0, 9, 40, 10, 3])
    logits = np.zeros((5, 62))
    logits[range(5), [0, 40, 40, 3, 50]] = 2
    logits[range(5), [1, 9, 9, 9, 3]] = 1
    judged.classifier.logits = lambda images: logits
    told = judged.recognised(np.zeros((5, 28, 28, 1), np.uint8), labels)
    assert told == {"class accuracy-LeNet": 2 / 5, "class accuracy-LeNet of digits": 1.0}
    told = judged.recognised(np.zeros((5, 28, 28, 1), np.uint8), labels + 20)
    assert set(told) == {"class accuracy-LeNet"}  # none of them is a digit


def test_each_direction_has_its_numbers():
    one = model(Both, labelled=False)
    judged = evaluate.prepare(one)
    table = judged.table(one)
    assert table["PSNR, dB, back"][0] == np.inf > table["PSNR, dB, there"][0]
    assert table["PSNR, dB, there"][1] == table["PSNR, dB, back"][1]
    assert set(one.report()) == {"PSNR there", "PSNR back"} and set(model().report()) == {"PSNR"}
    assert judged.n == 40  # all that there are, though 2,000 were asked for
    assert not judged.facts and not any("LeNet" in name for name in table)


def test_without_classes_no_classifier_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate.prepare(model(labelled=False))
    with pytest.raises(training.command.UserError, match="no classifier .*characters.npz"):
        evaluate.prepare(model())
    with pytest.raises(training.command.UserError, match="no classes that a.npz could recognise: leave out"):
        evaluate.prepare(model(labelled=False), 0, "a.npz")


@pytest.mark.parametrize("channels, side", [(1, 28), (3, 28), (1, 40), (3, 12)])
def test_pictures_of_any_shape_can_be_recognised(channels, side):
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, channels), np.uint8)
    fitted = evaluate.fitted(images, (28, 28, 1))
    assert fitted.shape == (3, 28, 28, 1) and fitted.dtype == np.uint8
    if side == 28:
        assert abs(fitted[..., 0] - images.mean(axis=-1)).max() <= 0.5


def test_inputs_of_another_size_have_no_metrics():
    class Enlarger(Negative):
        def translate(self, x):
            return -x.repeat(2, axis=1).repeat(2, axis=2)

    one = model(Enlarger, enlarged=True, labelled=False)
    for value, before, wanted in evaluate.prepare(one).table(one).values():
        assert value == wanted and before is None


def test_looking_changes_nothing():
    """A model whose outputs have noise draws next what it would have drawn without being looked at."""
    one, other = model(noise=0.5, labelled=False), model(noise=0.5, labelled=False)
    judged = evaluate.prepare(one)
    assert judged.follow(one) == judged.follow(one)
    assert one.rng.random() == other.rng.random()


def test_a_text_and_a_file_with_three_columns(tmp_path):
    table = {"PSNR, dB": (20.5, None, np.inf), "share": (0.5, 0.25, 1.0)}
    lines = evaluate.text(table, evaluate.PairEvaluation.columns).splitlines()
    assert lines[0].split() == ["output", "input", "truth"]
    assert lines[1].split() == ["PSNR,", "dB", "20.5", "-", "inf"]
    evaluate.write(table, {"n": 3}, tmp_path / "a.json", evaluate.PairEvaluation.columns)
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "n": 3,
        "metrics": {"PSNR, dB": {"value": 20.5, "input": None, "truth": None},
                    "share": {"value": 0.5, "input": 0.25, "truth": 1.0}},
    }  # fmt: skip
    assert evaluate.text({"FID": (1.0, 2.0)}).splitlines()[0].split() == ["samples", "floor"]


# ---- the loop and the command line -----------------------------------------------------------------------


def test_a_run_reports_and_says_that_all_is_well(here):
    records = list(read_log("run/log.jsonl"))
    reported = [record["report"]["PSNR"] for record in records if "report" in record]
    assert reported[-1] > reported[0] + 3
    assert Image.open("run/samples.png").size == (15 * 14 + 2, 13 * 14 + 2)


def test_a_resumed_run_is_exact(tmp_path):
    options = {"evaluate_every": 2, "noise": 0.1, "labelled": False}
    straight, halves = (str(tmp_path / name) for name in ("straight", "halves"))
    training.train(Negative, Settings(steps=4, out=straight, **options))
    training.train(Negative, Settings(steps=2, out=halves, **options))
    training.train(Negative, Settings(steps=4, **options), resume=halves)
    one, other = (checkpoint.load(tmp_path / name / "checkpoint.npz")[0] for name in ("straight", "halves"))
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_nothing_of_the_data_is_in_a_checkpoint(here):
    arrays, _ = checkpoint.load(here / "run" / "checkpoint.npz")
    assert sum(array.nbytes for name, array in arrays.items() if name.startswith("model/")) < 20_000


def test_the_commands_of_a_run(here, judge, capsys):
    training.main(Negative, Settings, ["sample", "run", "--n", "9", "--out", "grid.png"])
    training.main(Negative, Settings, ["sample", "run", "--n", "5", "--separate", "--out", "apart"])
    rng = np.random.default_rng(0)
    one = training.load_model(Negative, Settings, here / "run")
    outputs = one.images(xp.to_device(one.latent(5, rng)))
    for i, output in enumerate(outputs):
        np.testing.assert_array_equal(np.asarray(Image.open(f"apart/{i:06}.png")), output[..., 0])
    capsys.readouterr()
    training.main(Negative, Settings, ["evaluate", "run", "--classifier", str(judge)])
    said = capsys.readouterr().out
    assert "output     input     truth" in said and "40 samples" in said
    metrics = json.loads((here / "run" / "metrics.json").read_text())
    assert metrics["n"] == 40 and metrics["classifier"] == "LeNet-characters"
    psnr = pixels.psnr(one.translated(one.held_out_pairs().inputs), one.held_out_pairs().truths).mean()
    assert metrics["metrics"]["PSNR, dB"]["value"] == pytest.approx(psnr)


def test_an_option_that_says_no(tmp_path, monkeypatch):
    """--no-step sets no_step, though argparse takes what begins with --no- for a no; --step takes it back."""
    monkeypatch.chdir(tmp_path)
    training.main(Negative, Settings, ["--no-step", "--steps", "2", "--out", "run"])
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    reports = [record["report"]["PSNR"] for record in read_log("run/log.jsonl") if "report" in record]
    assert settings["no_step"] is True and len(set(reports)) == 1
    training.main(Negative, Settings, ["--resume", "run", "--steps", "4", "--step"])
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["no_step"] is False
    assert [record["report"]["PSNR"] for record in read_log("run/log.jsonl")][-1] != reports[0]
    training.main(Negative, Settings, ["--steps", "1", "--out", "other"])
    assert json.loads((tmp_path / "other" / "settings.json").read_text())["no_step"] is False


def test_interpolate_is_refused_in_a_line(here, capsys):
    with pytest.raises(SystemExit) as left:
        training.main(Negative, Settings, ["interpolate", "run"])
    assert left.value.code == 2
    assert "interpolate walks through latent space, and Negative has none: use sample" in error_line(capsys)


def test_test_pairs_that_are_missing_are_told_before_a_run_begins(tmp_path):
    with pytest.raises(DataError, match="no test pairs"):
        training.train(Negative, Settings(missing=True, out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_test_pairs_are_loaded_once():
    one = model(seed=12_345)
    translation_tiny.LOADED.clear()
    for _ in range(3):
        one.held_out_pairs()
    model(seed=12_345).latent(2, np.random.default_rng(0))
    assert translation_tiny.LOADED == ["test"]
    model(seed=12_346).held_out_pairs()
    assert translation_tiny.LOADED == ["test", "test"]


def test_what_a_model_must_write():
    class Bare(training.Translation):
        pass

    bare = Bare(Settings(), (12, 12, 1), np.random.default_rng(0))
    with pytest.raises(NotImplementedError):
        Bare.load_data(Settings())
    with pytest.raises(NotImplementedError, match="Bare has no translate"):
        bare.translate(None)


# ---- the verdict -----------------------------------------------------------------------------------------


def verdict_of(fake):
    """Return what is said of a model whose outputs are those that fake(truths) returns."""

    class Drawn(Negative):
        def generate(self, z):
            return fake(self.split(z)[1])

    one = model(Drawn)
    untrained = lambda: model(Negative)
    batches = type("Batches", (), {"arrays": Negative.load_data(Settings())})
    return verdict.look(one, untrained, batches, [{"step": 500, "G": 1.0}])


def test_good_and_failed_translations():
    """There are fewer test pairs than the verdict looks at: an input that comes twice has one output, and no more."""
    assert verdict_of(lambda truths: truths) is None
    assert verdict_of(lambda truths: 0.8 * truths) is None
    assert "collapse" in verdict_of(lambda truths: 0 * truths + to_signed(np.uint8(100)))
