"""SRGAN: what the three networks descend, its two phases, the ways to enlarge beside each other."""

import copy
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import held
from objectives import follows, log_sigmoid
from PIL import Image

from scratchgan import data, training, xp
from scratchgan.data import Batches, photos, scales
from scratchgan.examples.translation import srgan
from scratchgan.fast import threads
from scratchgan.layers import BatchNorm, Conv2d, Dropout, MaxPool, ReLU, Sequential
from scratchgan.metrics import classifier, pixels
from scratchgan.support.errors import DataError, UserError
from scratchgan.tools.strict import strict_xp
from scratchgan.training import enlarging, loop
from scratchgan.training.evaluate import prepare

SCRIPT = Path(__file__).parent.parent / "examples" / "translation" / "srgan.py"
RNG = np.random.default_rng(0)
LARGE = {
    "train": data.Images(RNG.integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)),
    "test": data.Images(RNG.integers(0, 256, (24, 16, 16, 1), dtype=np.uint8), np.arange(24) % 62),
}


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    monkeypatch.setattr(enlarging, "load_large", lambda settings, split: LARGE[split])
    training.translation.load_once.cache_clear()
    yield
    training.translation.load_once.cache_clear()


def start(**options):
    """Return (model, batches) at the first step; biases and gains are no longer zero and one."""
    threads.use(1)
    settings = srgan.Settings(batch_size=8, width=4, blocks=1, **{"pretraining": 2} | options)
    model = srgan.SRGAN(settings, (16, 16, 1), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for net in (model.SRResNet, model.G, model.D):
        for param in net.params():
            param.value[...] += xp.to_device(np.float32(0.1 * rng.standard_normal(param.value.shape)))
    arrays = [loop.on_device(array) for array in model.load_data(settings)]
    return model, Batches(*arrays, batch_size=8, rng=np.random.default_rng(2))


def told(batches):
    """Return a batch's low and large pictures, in [-1, 1]."""
    y, x = batches.next()
    return enlarging.low(data.to_signed(x)), data.to_signed(y)


def features(*more):
    """Return a stand-in for LeNet's two convolutions, (N, 16, 16, 1) to (N, 8, 8, 3)."""
    rng = np.random.default_rng(3)
    layers = Conv2d(1, 2, 3, padding=1, rng=rng), ReLU(), MaxPool(2), *more, Conv2d(2, 3, 3, padding=1, rng=rng), ReLU()
    return Sequential(*layers)


# ---- the objectives, as in the paper ---------------------------------------------------------------------


def square(a, b):
    """The mean over pictures of a content loss: squared differences, summed over positions, over their number."""
    return sum((a[:, row, column] - b[:, row, column]) ** 2 for row, column in np.ndindex(a.shape[1:3])).mean() / (
        a.shape[1] * a.shape[2]
    )


def follows_its_objective(player, content="pixels", weight=0.01):
    """Of SRResNet, too: it stands in G's place then."""
    model, batches = start(content=content, adversarial=weight)
    enlarged = lambda G, x: G.forward(x)[0]
    if player == "SRResNet":
        model.G, model.opt_G = model.SRResNet, model.opt_R

        def step(x, y):
            model.SRResNet = model.G
            return model.pretraining_step(x, y)

        formula = lambda G, D, draw, x, y: square(enlarged(G, x), y)
        follows(model, "G", step, told(batches), formula, lambda said: said)
    elif player == "D":
        step = lambda x, y: model.discriminator_step(y, model.G.forward(x)[0])
        formula = lambda G, D, draw, x, y: (
            -log_sigmoid(D.forward(y)[0]).mean() - log_sigmoid(-D.forward(enlarged(G, x))[0]).mean()
        )
        follows(model, player, step, told(batches), formula, lambda said: said)
    else:
        step = lambda x, y: model.generator_step(y, *model.G.forward(x))
        formula = lambda G, D, draw, x, y: G_descends(enlarged(G, x), y, D, content, weight)
        follows(model, player, step, told(batches), formula, lambda said: said["content"] + weight * said["G"])


def G_descends(fake, y, D, content, weight):
    if content == "lenet":
        f = copy.deepcopy(srgan.lenet_features()).astype(fake.dtype)
        game = -log_sigmoid(D.forward(fake)[0]).mean()
        return square(f(fake), f(y)) / 8 + weight * game
    return square(fake, y) - weight * log_sigmoid(D.forward(fake)[0]).mean()


@pytest.mark.parametrize("weight", [0.01, 1.0])
@pytest.mark.parametrize("player", ["SRResNet", "D", "G"])
def test_follows_its_objective(player, weight):
    follows_its_objective(player, weight=weight)


def test_features_follow_their_objective(monkeypatch):
    f = features().astype(np.float64)
    monkeypatch.setattr(srgan, "lenet_features", lambda: f)
    follows_its_objective("G", content="lenet")


def the_features_stay(content):
    """A content loss of features is that in inference, and neither their Params nor their statistics move."""
    rng = np.random.default_rng(4)
    f = features(BatchNorm(2), Dropout(0.5, rng=rng))
    srgan.lenet_features = lambda: f
    model, batches = start(content="lenet")
    x, y = told(batches)
    fake, _ = model.G.forward(x)
    before, expected = f.state(), ((f(fake) - f(y)) ** 2).mean() / 8
    loss, d_fake = content(model, y, fake)
    assert loss == pytest.approx(expected, rel=1e-5) and np.abs(d_fake).max() > 0
    assert not any(param.grad.any() for param in f.params())
    for path, array in f.state().items():
        np.testing.assert_array_equal(array, before[path])


def test_the_features_stay(monkeypatch):
    monkeypatch.setattr(srgan, "lenet_features", None)
    the_features_stay(srgan.SRGAN.content)


# ---- two phases ------------------------------------------------------------------------------------------


def nothing_moves(model):
    for optimizer in (model.opt_R, model.opt_G, model.opt_D):
        optimizer.step = lambda: None


def G_goes_on_where_SRResNet_stopped():
    """At the first step of the second phase, G is SRResNet, running statistics and all."""
    model, batches = start()
    said = [set(model.step(batches)) for _ in range(2)]
    assert said == [{"MSE"}] * 2
    nothing_moves(model)
    twin, rows = copy.deepcopy(model.SRResNet), copy.deepcopy(batches)
    x, _ = told(rows)
    twin.forward(x)  # which moves its running statistics, as G's forward does
    assert set(model.step(batches)) == {"D", "content", "G"}
    for path, array in twin.state().items():
        np.testing.assert_array_equal(model.G.state()[path], array, err_msg=path)


def test_G_goes_on_where_SRResNet_stopped():
    G_goes_on_where_SRResNet_stopped()


def test_each_phase_moves_its_own_networks():
    model, batches = start()
    for phase, moving in ((1, {"SRResNet"}), (2, {"G", "D"})):
        if phase == 2:
            model.step(batches)
            model.step(batches)
        before = {name: getattr(model, name).state() for name in ("SRResNet", "G", "D")}
        model.step(batches)
        for name, state in before.items():
            now = getattr(model, name).state()
            moved = [path for path in state if path.endswith(".W") and (state[path] != now[path]).any()]
            assert bool(moved) == (name in moving), name
        assert not any(param.grad.any() for param in model.D.params())


def test_going_on_is_exact_across_the_phases(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "closing_pictures", lambda run: None)
    small = {"batch_size": 8, "width": 4, "blocks": 1, "pretraining": 2, "threads": 1}

    def arrays_of(name, steps, **more):
        training.train(srgan.SRGAN, srgan.Settings(steps=steps, out=str(tmp_path / name), **small), **more)
        return held(tmp_path / name)

    straight = arrays_of("straight", 4)
    for steps in (1, 2, 3):
        name = f"stopped at {steps}"
        arrays_of(name, steps)
        resumed = arrays_of(name, 4, resume=tmp_path / name)
        assert resumed.keys() == straight.keys()
        for path, array in straight.items():
            np.testing.assert_array_equal(array, resumed[path], err_msg=path)


# ---- pictures --------------------------------------------------------------------------------------------


def low_pictures_are_made_alike(load_pairs):
    """Means of boxes, in training and in the test, shown as squares."""
    for split, large in LARGE.items():
        pairs = load_pairs(srgan.Settings(), split)
        np.testing.assert_array_equal(pairs.truths, large.images)
        low = enlarging.low(pairs.inputs)
        np.testing.assert_array_equal(low.repeat(4, axis=1).repeat(4, axis=2), pairs.inputs)
        means = large.images.reshape(-1, 4, 4, 4, 4, 1).mean(axis=(2, 4))
        np.testing.assert_allclose(low, means, atol=0.5)


def test_low_pictures_are_made_alike():
    low_pictures_are_made_alike(srgan.SRGAN.load_pairs)


def every_colour_can_be_reached(model):
    """Black and white, exactly; and what lies beyond them is cut off before it becomes a byte."""
    pairs = model.load_pairs(model.settings, "test")
    last = model.SRResNet.params()
    for value, byte in ((-1, 0), (1, 255), (-2.6, 0), (2.6, 255), (0.5, 191)):
        for param in last:
            param.value[...] = 0
        last[-1].value[...] = value  # the bias next to the picture
        assert (model.translated(pairs.inputs) == byte).all(), value


def test_every_colour_can_be_reached():
    every_colour_can_be_reached(start()[0])


def what_is_trained_on_are_the_pictures_in_their_range():
    model, batches = start()
    y, x = copy.deepcopy(batches).next()
    made = copy.deepcopy(model.SRResNet).forward((enlarging.low(x) / 127.5 - 1).astype(np.float32))[0]
    assert float(model.step(batches)["MSE"]) == pytest.approx(((made - (y / 127.5 - 1)) ** 2).mean(), rel=1e-5)


def test_what_is_trained_on_are_the_pictures_in_their_range():
    what_is_trained_on_are_the_pictures_in_their_range()


def test_a_picture_of_samples_shows_both_networks():
    model, batches = start()
    z = xp.to_device(model.latent(9, np.random.default_rng(0)))
    inputs, first, last, truths = model.columns(z)
    np.testing.assert_array_equal(first, last)  # SRResNet alone is trained as yet
    np.testing.assert_array_equal(scales.shrink(truths, 4), enlarging.low(inputs))
    for _ in range(3):
        model.step(batches)
    _, first, last, _ = model.columns(z)
    assert (first != last).any()
    wide = model.layout(9)[1]
    assert wide % 4 == 0 and model.picture(z).shape[1] == wide * 18 + 2
    assert set(model.report()) == {"PSNR SRResNet", "PSNR SRGAN"}


def test_a_network_takes_whole_pictures():
    model, _ = start()
    assert model.SRResNet(np.zeros((1, 5, 9, 1), np.float32)).shape == (1, 20, 36, 1)


def test_interpolating_is_refused():
    model, _ = start()
    with pytest.raises(UserError, match="has none"):
        model.walk(None, 3)


def test_a_step_never_waits_for_a_device():
    with xp.using(strict_xp):
        model, batches = start(pretraining=1)
        for _ in range(4):
            with strict_xp.counting() as counts:
                said = model.step(batches)
            assert counts.synchronisations == 0, counts
            assert all(loss.shape == () for loss in said.values())
        assert model.picture(xp.to_device(model.latent(4, np.random.default_rng(0)))).dtype == np.uint8


# ---- the table -------------------------------------------------------------------------------------------


@pytest.fixture
def judge(tmp_path):
    made = classifier.Classifier(
        classifier.lenet((28, 28, 1), 62, rng=np.random.default_rng(0)), "characters", (28, 28, 1)
    )
    return classifier.save(made, tmp_path / "characters.npz")


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as left:
        return left.code
    return 0


def test_the_command_line(tmp_path, monkeypatch, capsys, judge):
    monkeypatch.chdir(tmp_path)
    small = ("--batch-size", 8, "--width", 4, "--blocks", 1, "--pretraining", 2, "--threads", 1)
    assert call(monkeypatch, "--steps", 3, *small) == 0
    run = tmp_path / "runs" / "srgan"
    assert call(monkeypatch, "sample", run, "--n", 6) == 0
    assert call(monkeypatch, "interpolate", run) == 2 and "has none" in capsys.readouterr().err
    assert call(monkeypatch, "table", run) == 2
    assert "classifier.py --data characters" in capsys.readouterr().err
    assert call(monkeypatch, "evaluate", run, "--classifier", judge) == 0
    assert {"PSNR, dB, SRResNet", "PSNR, dB, SRGAN"} <= set(json.loads((run / "metrics.json").read_text())["metrics"])
    assert call(monkeypatch, "table", run, "--classifier", judge, "--n", 24) == 0
    ways = ["nearest", "bicubic", "Lanczos", "SRResNet", "SRGAN", "truth"]
    assert capsys.readouterr().out.split("nearest")[1].split("\n")[0].split() == ways[1:]
    numbers = json.loads((run / "table.json").read_text())
    assert list(numbers) == ["n", *ways] and numbers["n"] == 24
    assert numbers["truth"]["PSNR, dB"] is None and numbers["truth"]["FID-LeNet"] == pytest.approx(0, abs=1e-3)
    nearest = enlarging.pairs(LARGE["test"])
    assert numbers["nearest"]["PSNR, dB"] == pytest.approx(pixels.psnr(nearest.inputs, nearest.truths).mean())
    with Image.open(run / "table.png") as picture:
        assert picture.size == (6 * 18 + 2, 8 * 18 + 2)


def test_whole_photographs_stand_in_the_table(tmp_path, monkeypatch):
    for name in photos.TEST:
        Image.fromarray(RNG.integers(0, 256, (21, 30), dtype=np.uint8)).save(tmp_path / name)
    monkeypatch.setattr(photos, "folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    small = ("--batch-size", 8, "--width", 4, "--blocks", 1, "--threads", 1, "--out", "run")
    assert call(monkeypatch, "--steps", 1, "--data", "photos", *small) == 0
    assert call(monkeypatch, "table", "run") == 0  # without a classifier
    numbers = json.loads(Path("run", "table.json").read_text())
    whole = scales.cut(photos.read("camera.png")[None], 4)
    for kernel in scales.KERNELS:
        psnr = pixels.psnr(scales.enlarge(scales.shrink(whole, 4), 4, kernel), whole)[0]
        assert numbers[kernel]["PSNR, whole camera"] == pytest.approx(psnr)
    assert "SRGAN" not in numbers and "PSNR, whole chelsea" in numbers["SRResNet"]


def the_table_has_the_mean_of_the_PSNRs():
    """Not the PSNR of the mean square error of all pictures: a dark noise of 1 and one of 50 levels."""
    truths = np.full((2, 16, 16, 1), 100, np.uint8)
    images = truths + np.array([1, 50], np.uint8)[:, None, None, None]
    numbers = enlarging.measured(images, data.Pairs(truths, truths), None)
    each = [20 * np.log10(255 / 1), 20 * np.log10(255 / 50)]
    assert numbers["PSNR, dB"] == pytest.approx(np.mean(each))


def test_the_table_has_the_mean_of_the_PSNRs():
    the_table_has_the_mean_of_the_PSNRs()


# ---- bad input -------------------------------------------------------------------------------------------


def test_a_folder_with_too_few_pictures(tmp_path, monkeypatch):
    monkeypatch.undo()
    for i in range(3):
        Image.fromarray(RNG.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match="of 3 pictures"):
        srgan.SRGAN.load_data(srgan.Settings(data=str(tmp_path)))
    with pytest.raises(DataError, match="no data set or folder"):
        srgan.SRGAN.load_data(srgan.Settings(data="photographs"))


def test_where_there_is_no_classifier_a_line_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    srgan.lenet_features.cache_clear()
    model, batches = start(content="lenet", pretraining=1)
    model.step(batches)
    with pytest.raises(UserError, match="classifier.py --data characters"):
        model.step(batches)
    with pytest.raises(UserError, match="classifier.py --data characters"):
        prepare(start()[0])
