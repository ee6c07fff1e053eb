"""The adversarial autoencoder: three objectives longhand, who is real in its game, what its codes are measured by."""

import copy
import inspect
import json
import math
import runpy
import sys
import textwrap
from unittest import mock

import numpy as np
import pytest
from test_examples import PATHS

from scratchgan import data, losses
from scratchgan.data import Batches, glyphs
from scratchgan.examples.relatives import aae
from scratchgan.metrics import codes as metrics
from scratchgan.support.errors import UserError

SHAPE = (3, 2, 1)


class Kept:
    """In the place of an optimizer: weights stay where they are, unless it is given a way to move them."""

    def __init__(self, net, lr=0.0):
        self.net, self.lr = net, lr

    def step(self):
        self.grads = [param.grad.copy() for param in self.net.params()]
        for param in self.net.params():
            param.value[...] -= self.lr * param.grad
        self.net.zero_grad()


def start(lr=0.0, **more):
    """Return a small autoencoder in float64, without dropout, that keeps the gradients of its last step."""
    options = {"width": 5, "latent": 3, "dropout": 0.0} | more
    model = aae.AAE(aae.Settings(**options), SHAPE, np.random.default_rng(0))
    for name in "EGD":
        setattr(model, name, copy.deepcopy(getattr(model, name)).astype(np.float64))
        for param in getattr(model, name).params():  # biases, too: a unit that is exactly 0 has no slope
            param.value[...] += 0.1 * np.random.default_rng(3).standard_normal(param.value.shape)
    for name in ("opt_E", "opt_E_game", "opt_G", "opt_D"):
        setattr(model, name, Kept(getattr(model, name[4]), lr))
    return model


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def error(nets, x, z):
    """Return the mean of (x - G(E(x)))^2 over all pixels, a picture after the other."""
    return sum(((nets["G"].forward(nets["E"].forward(one[None])[0])[0] - one) ** 2).sum() for one in x) / x.size


def of_D(nets, x, z):
    """Return -E log D(z) - E log (1 - D(E(x)))."""
    real, fake = nets["D"].forward(z)[0], nets["D"].forward(nets["E"].forward(x)[0])[0]
    pairs = zip(real[:, 0], fake[:, 0], strict=True)
    return sum(-np.log(sigmoid(a)) - np.log(1 - sigmoid(b)) for a, b in pairs) / len(x)


def of_E(nets, x, z):
    """Return -E log D(E(x))."""
    fake = nets["D"].forward(nets["E"].forward(x)[0])[0]
    return sum(-np.log(sigmoid(a)) for a in fake[:, 0]) / len(x)


def follows_the_formulas():
    """What each optimizer is given is the slope of its objective, by a complex step; D hears nothing of E's step."""
    model, rng = start(), np.random.default_rng(1)
    bytes_, z = rng.integers(0, 256, (8, *SHAPE)), rng.standard_normal((8, 3))
    model.noise = lambda n: z
    batches = Batches(np.zeros((8, 1)), batch_size=8, rng=rng)
    batches.next = lambda: Pixels(bytes_)
    nets, x = {name: copy.deepcopy(getattr(model, name)) for name in "EGD"}, bytes_ / 255
    with mock.patch.object(aae.xp, "to_device", lambda x, *dtype: x):
        said = model.step(batches)
    parts = (("error", error, ("opt_E", "opt_G")), ("D", of_D, ("opt_D",)), ("E", of_E, ("opt_E_game",)))
    for name, objective, optimizers in parts:
        assert float(said[name]) == pytest.approx(objective(nets, x, z), rel=1e-10), name
        for optimizer in optimizers:
            twins = {other: copy.deepcopy(net).astype(complex) for other, net in nets.items()}
            expected = 0
            for param, grad in zip(twins[optimizer[4]].params(), getattr(model, optimizer).grads, strict=True):
                v = rng.standard_normal(param.value.shape)
                param.value[...] += 1e-20j * v
                expected += (grad * v).sum()
            slope = objective(twins, x.astype(complex), z.astype(complex)).imag / 1e-20
            assert abs(slope - expected) < 1e-10 * max(abs(expected), 0.01), optimizer
    assert not any(param.grad.any() for name in "EGD" for param in getattr(model, name).params())


class Pixels(np.ndarray):
    """Bytes that become float64 where the example asks for float32."""

    def __new__(cls, array):
        return np.asarray(array).view(cls)

    def astype(self, dtype):
        return np.asarray(self, np.float64)


def test_a_step_follows_the_formulas():
    follows_the_formulas()


def the_game_is_about_the_codes_of_now():
    """After the step of the autoencoder, codes are others: D and E play with those, and with weights that fit them."""
    model, rng = start(lr=0.5), np.random.default_rng(1)
    x = rng.integers(0, 256, (8, *SHAPE))
    batches = Batches(np.zeros((8, 1)), batch_size=8, rng=rng)
    batches.next = lambda: Pixels(x)
    before, seen = model.E(x / 255), []
    model.discriminator_step = lambda code: seen.append((code, model.E(x / 255)))
    model.encoder_step = lambda code, tape: seen.append((code, model.E(x / 255)))
    with mock.patch.object(aae.xp, "to_device", lambda x, *dtype: x):
        model.step(batches)
    assert len(seen) == 2
    for code, now in seen:
        np.testing.assert_allclose(code, now, rtol=1e-12)
        assert abs(code - before).max() > 1e-3


def test_the_game_is_about_the_codes_of_now():
    the_game_is_about_the_codes_of_now()


def test_D_sees_codes_and_no_pictures():
    model = start()
    assert model.D.params()[0].value.shape == (3, 5)
    with pytest.raises(ValueError, match="shape"):
        model.D(np.ones((2, 6)))


def test_exchanging_both_roles_is_only_a_name():
    """Codes as real and draws as fakes, and E's label with them: D becomes -D, and E hears the same."""
    model, rng = start(), np.random.default_rng(0)
    prior, codes = rng.standard_normal((2, 8, 1))  # D's logits
    loss, d_prior, d_codes = losses.nonsaturating_discriminator(prior, codes)
    other, o_codes, o_prior = losses.nonsaturating_discriminator(-codes, -prior)
    assert loss == pytest.approx(other)
    np.testing.assert_allclose(d_prior, -o_prior)
    np.testing.assert_allclose(d_codes, -o_codes)
    _, d_E = losses.nonsaturating_generator(codes)
    np.testing.assert_allclose(d_E, -losses.binary_cross_entropy(-codes, 0.0)[1])
    assert model.equilibrium() == pytest.approx({"D": math.log(4), "E": math.log(2)})


def test_codes_become_normal_and_pictures_come_back():
    """On pictures of one number each, black to white, in some hundred steps of Adam."""
    settings = aae.Settings(width=32, latent=1, dropout=0.0, lr_game=1e-3, steps=1000, batch_size=64)
    model = aae.AAE(settings, SHAPE, np.random.default_rng(0))
    shades = np.random.default_rng(1).integers(0, 256, 2000).astype(np.uint8)
    images = np.broadcast_to(shades[:, None, None, None], (2000, *SHAPE)).copy()
    batches = Batches(images, batch_size=64, rng=np.random.default_rng(2))
    before = metrics.distance_to_normal(model.encode(images))[0]
    for _ in range(600):
        said = model.step(batches)
    assert metrics.distance_to_normal(model.encode(images))[0] < 0.15 < before
    assert said["error"] < 0.003  # the variance of the shades is 0.083
    drawn = model.images(model.latent(500, np.random.default_rng(0)))
    assert abs(np.quantile(drawn, [0.1, 0.5, 0.9]) - np.quantile(images, [0.1, 0.5, 0.9])).max() < 40


BUGS = {
    "the error does not reach E": ("reconstruction_step", "self.E.accumulate(E_tape, self.G.backward(G_tape, dy))",
                                   "self.G.accumulate(G_tape, dy)"),
    "the error does not reach G": ("reconstruction_step", "self.G.backward(G_tape, dy)", "self.G.pull(G_tape, dy)[0]"),
    "the reconstruction of other pictures": ("reconstruction_step", "losses.l2(y, x)", "losses.l2(y, x[::-1])"),
    "roles exchanged for D alone": ("discriminator_step", "loss, d_real, d_fake = ", "loss, d_fake, d_real = "),
    "roles exchanged for E alone": ("encoder_step", "losses.nonsaturating_generator(logits)",
                                    "losses.binary_cross_entropy(logits, 0.0)"),
    "D sees codes of samples": ("discriminator_step", "self.D.forward(code)",
                                "self.D.forward(self.E(self.G(self.noise(len(code)))))"),
    "D is shown the prior twice": ("discriminator_step", "self.D.forward(code)",
                                   "self.D.forward(self.noise(len(code)))"),
    "E's step moves D": ("encoder_step", "self.D.pull(D_tape, d_logits)", "self.D.backward(D_tape, d_logits), None"),
    "E is not trained in the game": ("encoder_step", "self.E.accumulate(E_tape, d_code)", "pass"),
    "the codes of before": ("step", "code, tape = self.E.forward(x)", "code, tape = stale",
                            the_game_is_about_the_codes_of_now),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = (*BUGS[bug], follows_the_formulas)[:4]
    source = textwrap.dedent(inspect.getsource(getattr(aae.AAE, name)))
    assert source.count(right) == 1
    source = source.replace(right, wrong)
    source = source.replace("    error = self.rec", "    stale = self.E.forward(x)\n    error = self.rec")
    found = {}
    exec(source, vars(aae), found)
    monkeypatch.setattr(aae.AAE, name, found[name])
    with pytest.raises(AssertionError):
        test()


# ---- what codes are measured by --------------------------------------------------------------------------


def test_the_distance_to_a_normal_distribution():
    """As the supremum over a fine grid says; small for draws, and near its floor; large for another scale or place."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((2000, 3)) * [1, 2, 1] + [0, 0, 1]
    found = metrics.distance_to_normal(codes)
    t = np.sort(np.concatenate([codes.ravel(), codes.ravel() - 1e-9]))  # left and right of every jump
    phi = np.array([0.5 * math.erfc(-u / math.sqrt(2)) for u in t])
    for k in range(3):
        share = np.searchsorted(np.sort(codes[:, k]), t, side="right") / 2000
        assert found[k] == pytest.approx(abs(share - phi).max(), abs=1e-6)
    assert found[0] < 0.04 and found[1] > 0.1 and found[2] > 0.3
    floors = [metrics.distance_to_normal(rng.standard_normal((400, 1)))[0] for _ in range(200)]
    assert np.mean(floors) == pytest.approx(0.87 / 20, rel=0.06)


def test_smoothed_points_are_means_of_neighbours():
    points = np.random.default_rng(0).standard_normal((30, 4))
    for x, y in zip(points, metrics.smoothed(points, 12, 5), strict=False):
        near = np.argsort(((points - x) ** 2).sum(axis=1))[:5]
        np.testing.assert_allclose(y, points[near].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(metrics.smoothed(points, 100, 1), points)
    with pytest.raises(ValueError, match="smoothed: points has 3 samples, wanted at least 5"):
        metrics.smoothed(points[:3], 3, 5)


def test_codes_in_the_plane():
    picture = metrics.plane(np.array([[0.0, 0], [3, 3], [9, 0], [-3.4, 0]]), np.array([0, 1, 2, 13]))
    assert picture.shape == (601, 601, 3)
    places = np.argwhere((picture != 255).any(axis=2))
    assert len(places) == 3 * 4  # one is too far away
    assert (picture[300, 300] == metrics.COLOURS[0]).all() and (picture[300, 9] == metrics.COLOURS[3]).all()
    assert (picture[43, 557] == metrics.COLOURS[1]).all()  # to the right and above


def test_a_folder_of_pictures_is_refused():
    model = start()
    model.settings.data = "holidays"
    with pytest.raises(UserError, match="The folder holidays has no test pictures with labels: train on a data set"):
        metrics.held_out(model)


# ---- as a user would -------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", [2, 4])
def test_codes_prints_baselines_beside_it(latent, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = lambda count=200, load=glyphs.load, **more: load(min(count, 200), **more)
    monkeypatch.setattr(glyphs, "load", few)
    test = data.load_images("glyphs", count=100, split="test")
    monkeypatch.setattr("scratchgan.training.model.load_held_out", lambda *_: test)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["aae"]), *arguments])
        runpy.run_path(str(PATHS["aae"]), run_name="__main__")

    call("--steps", "3", "--out", "run", "--width", "16", "--latent", str(latent), "--threads", "1")
    call("codes", "run", "--n", "50")
    printed = capsys.readouterr().out
    assert "samples, mean" in printed and "|x - y|, y PCA" in printed
    found = json.loads((tmp_path / "run" / "codes.json").read_text())
    assert 0 < found[f"|x - y|, y PCA {latent}"] < found["|x - y|, y G(E(x))"]
    assert sum(name.startswith("distance to N(0, 1)") for name in found) == latent
    assert found["means of 16 of them, mean"] > found["training pictures, mean"]  # smoothing, and no model
    assert (tmp_path / "run" / "codes.png").exists()
