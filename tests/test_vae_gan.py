"""VAE-GAN: what each of three networks descends, longhand; what moves whom; its command; planted bugs."""

import copy
import json
import runpy
import sys

import numpy as np
import pytest
from objectives import log_sigmoid
from PIL import Image
from test_examples import PATHS
from test_vae import planted

from scratchgan import data
from scratchgan.data import Batches, glyphs
from scratchgan.examples.relatives import vae_gan
from scratchgan.fast import threads
from scratchgan.metrics.anomaly import principal
from scratchgan.training import loop

PICTURES = glyphs.load(40).images
PLAYERS = {"D": "opt_D", "G": "opt_G", "E": "opt_E"}


def start(dtype=np.float32, **options):
    """Return (model, batches) at the first step; biases and gains are no longer zero and one."""
    threads.use(1)
    settings = vae_gan.Settings(**{"batch_size": 5, "width": 3, "latent": 4, "gamma": 0.3} | options)
    model = vae_gan.VAEGAN(settings, (28, 28, 1), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for name in PLAYERS:
        net = getattr(model, name)
        for param in net.params():
            param.value[...] += 0.1 * rng.standard_normal(param.value.shape)
        if dtype != np.float32:
            setattr(model, name, copy.deepcopy(net).astype(dtype))
    return model, Batches(PICTURES, batch_size=settings.batch_size, rng=np.random.default_rng(2))


# ---- the objectives, longhand ----------------------------------------------------------------------------


def descends(player, E, G, D, x, noises, gamma):
    """What a player descends, as in algorithm 1: sums over latents and features, the mean over the batch alone."""
    mean, log_var = E.forward(x)[0]
    z = mean + np.sqrt(np.exp(log_var)) * noises[0]
    y, fake = G.forward(z)[0], G.forward(noises[1])[0]
    (f_x, of_x), (f_y, of_y), (_, of_fake) = (D.forward(pictures)[0] for pictures in (x, y, fake))
    L = sum(((f_x[i] - f_y[i]) ** 2).sum() / 2 for i in range(len(x))) / len(x)
    if player == "D":
        return -(log_sigmoid(of_x) + log_sigmoid(-of_y) + log_sigmoid(-of_fake)).mean()
    if player == "G":
        return gamma * L - (log_sigmoid(of_y) + log_sigmoid(of_fake)).mean()
    return L + sum((mean[i] ** 2 + np.exp(log_var[i]) - 1 - log_var[i]).sum() / 2 for i in range(len(x))) / len(x)


def pixels_descend(player, E, G, D, x, noises, gamma):
    """Without a game: KL and -log N(x; y, s^2), the sum over pixels, at the s^2 for which it is least."""
    mean, log_var = E.forward(x)[0]
    y = G.forward(mean + np.sqrt(np.exp(log_var)) * noises[0])[0]
    kl = (mean**2 + np.exp(log_var) - 1 - log_var).sum() / 2 / len(x)
    gaps, pixels = (x - y) ** 2, 28 * 28
    s2 = gaps.sum() / (len(x) * pixels)
    return kl + gaps.sum() / (2 * s2.real) / len(x) + pixels / 2 * np.log(s2.real)  # s2: its slope is zero there


def step_of(model, batches):
    """Return (grads handed over to each optimizer, what the step said, x, noises), in float64."""
    batch = batches.next()
    rng = copy.deepcopy(model.rng)
    batches.next = lambda: batch
    noises = [rng.standard_normal((len(batch), model.settings.latent), dtype=np.float32) for _ in range(2)]
    noises = [noise.astype(np.float64) for noise in noises]
    for optimizer in PLAYERS.values():
        getattr(model, optimizer).step = lambda: None
    x = data.to_signed(batch).astype(np.float64)
    noise = model.noise
    model.noise = lambda n: noise(n).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "to_signed", lambda images: x)
        said = model.step(batches)
    return {name: [param.grad for param in getattr(model, name).params()] for name in PLAYERS}, said, x, noises


def follows(player, formula=descends, **options):
    """A player's gradient is the formula's along random directions of its own weights, and of no other's."""
    model, batches = start(np.float64, **options)
    held = {name: copy.deepcopy(getattr(model, name)) for name in "EGD"}
    grads, said, *drawn = step_of(model, batches)
    x, noises = drawn[0].astype(complex), [noise.astype(complex) for noise in drawn[1]]
    rng = np.random.default_rng(3)
    for _ in range(3):
        nets = {name: copy.deepcopy(net).astype(complex) for name, net in held.items()}
        terms = []
        for param, grad in zip(nets[player].params(), grads[player], strict=True):
            v = rng.standard_normal(grad.shape)
            param.value[...] += 1e-20j * v
            terms.append((grad * v).sum())
        wanted = formula(player, *nets.values(), x, noises, model.settings.gamma)
        assert abs(wanted.imag / 1e-20 - sum(terms)) < 1e-9 * sum(map(abs, terms))
    return said, wanted.real


@pytest.mark.parametrize("player", PLAYERS)
def test_each_player_follows_its_objective(player):
    said, wanted = follows(player)
    printed = {"D": said["D"], "G": 0.3 * said["L"] + said["G"], "E": said["L"] + said["KL"]}
    assert float(printed[player]) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("player", ["G", "E"])
def test_without_a_game_pixels_alone_count(player):
    said, _ = follows(player, pixels_descend, gan=False)
    assert set(said) == {"(x - y)^2", "KL"}


def test_without_a_game_nobody_moves_D():
    model, batches = start(gan=False)
    before = {path: array for path, array in model.state().items() if path.endswith(".W")}
    model.step(batches)
    after = model.state()
    moved = {path.split("/")[0] for path in before if not np.array_equal(before[path], after[path])}
    assert moved == {"E", "G"}


def test_equilibrium_is_where_D_says_a_third():
    """Of three pictures that D is shown, one is real."""
    model, _ = start()
    p = np.linspace(0.01, 0.99, 981)
    D_loss = -np.log(p) - 2 * np.log(1 - p)
    assert p[D_loss.argmin()] == pytest.approx(1 / 3, abs=1e-3)
    assert model.equilibrium()["D"] == pytest.approx(D_loss.min(), abs=1e-5)
    assert model.equilibrium()["G"] == pytest.approx(2 * np.log(3))


@pytest.mark.parametrize(("still", "falls"), [("D", "L"), ("EG", "D")])
def test_who_moves_gets_better_while_the_others_stand_still(still, falls):
    """The signs: E and G come nearer in the eyes of one D, and D tells the pictures of one E and G."""
    model, batches = start(batch_size=16, width=8)
    for player in still:
        getattr(model, PLAYERS[player]).step = lambda: None
    said = [float(model.step(batches)[falls]) for _ in range(40)]
    assert np.mean(said[-5:]) < 0.9 * np.mean(said[:5])


# ---- as a user would -------------------------------------------------------------------------------------


def test_reconstruct_prints_errors_beside_those_of_pca(tmp_path, monkeypatch, capsys):
    load = data.glyphs.load
    monkeypatch.setattr(data.glyphs, "load", lambda count, **options: load(60, **options))
    monkeypatch.setattr("scratchgan.training.evaluate.classifier.load", lambda *asked: Looker())
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["vae_gan"]), *arguments])
        runpy.run_path(str(PATHS["vae_gan"]), run_name="__main__")

    call("--steps", "2", "--out", "run", "--width", "2", "--latent", "3", "--threads", "1", "--batch-size", "8")
    call("reconstruct", "run", "--n", "30")
    assert "PCA: squared error of a pixel" in capsys.readouterr().out
    assert Image.open(tmp_path / "run" / "reconstruct.png").size == (10 * 30 + 2, 3 * 30 + 2)
    found = json.loads((tmp_path / "run" / "reconstruct.json").read_text())
    model = loop.load_model(vae_gan.VAEGAN, vae_gan.Settings, tmp_path / "run")
    rng = np.random.default_rng(0)
    known, test = rng.permutation(load(60).images), rng.permutation(load(60, seed=[0, 1]).images)[:30]
    for name, y in (("model", model.reconstruct(test)), ("PCA", principal(known, test, 3))):
        error = ((y / 255 - test / 255) ** 2).sum() / (30 * 784)
        assert found[name]["squared error of a pixel"] == pytest.approx(error, rel=1e-9)
        assert found[name]["FID-LeNet"] > 0
    assert found["PCA"]["squared error of a pixel"] < found["model"]["squared error of a pixel"]  # after two steps


class Looker:
    """A stand-in for the classifier: its features are the means of four parts of a picture."""

    name, hash, accuracy_on_test, shape = "looker", "", 1.0, (28, 28, 1)

    def features(self, images):
        return images.reshape(len(images), 2, 14, 2, 14).mean(axis=(2, 4)).reshape(len(images), 4) / 255

    def head(self, features):
        return features


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

STEP = vae_gan.VAEGAN, "game_step"
GAME = {
    "D moved by the error of its features": (*STEP, "by_L, _ = self.D.pull(D_y, (d_f, None))",
                                             "by_L = self.D.backward(D_y, (d_f, None))", "D"),
    "D moved by what it says for G": (*STEP, "by_D, _ = self.D.pull(", "by_D = self.D.backward(", "D"),
    "D is not shown reconstructions": (*STEP, "(of_y, D_y, 0.0), ", "", "D"),
    "D is not shown samples": (*STEP, ", (of_fake, D_fake, 0.0)", "", "D"),
    "D told that reconstructions are real": (*STEP, "(of_y, D_y, 0.0)", "(of_y, D_y, 1.0)", "D"),
    "G not told what D says of reconstructions": (*STEP, "* by_L + by_D", "* by_L", "G"),
    "G not told what D says of samples": (*STEP, "self.D.pull(D_fake, (None, d_logits))[0]", "0 * fake", "G"),
    "G by the error of E, without gamma": (*STEP, "self.settings.gamma * by_L", "by_L", "G"),
    "G's error of the other sign": (*STEP, "gamma * by_L", "gamma * -by_L", "G"),
    "E's way back moves G": (*STEP, "dz, _ = self.G.pull(", "dz = self.G.backward(", "G"),
    "gamma for E, too": (*STEP, "self.G.pull(y_tape, by_L)", "self.G.pull(y_tape, self.settings.gamma * by_L)", "E"),
    "E moved by what D says": (*STEP, "self.G.pull(y_tape, by_L)", "self.G.pull(y_tape, by_L + by_D)", "E"),
    "the mean over features": (vae_gan, "half_squares", "gap / len(gap)", "gap / gap.size", "E"),
    "no half": (vae_gan, "half_squares", ", gap / len", ", 2 * gap / len", "E"),
    "no KL": (vae_gan.VAEGAN, "into_encoder", "by_mean + d_mean", "by_mean", "E"),
    "KL: the mean over latents": (vae_gan.VAEGAN, "into_encoder", "by_log_var + d_log_var",
                                  "by_log_var + d_log_var / r[0].shape[1]", "E"),
}  # fmt: skip


@pytest.mark.parametrize("bug", GAME)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    *where, player = GAME[bug]
    planted(*where, monkeypatch)
    with pytest.raises(AssertionError):
        follows(player)


@pytest.mark.parametrize(("right", "wrong"), [
    ("math.prod(self.shape) / 2 / error", "1.0"),  # the mean over pixels, beside a KL that is a sum
    ("math.prod(self.shape) / 2 / error", "math.prod(self.shape) / 2"),  # a variance of 1, not the pixels' own
])  # fmt: skip
def test_a_bug_planted_without_a_game_is_caught(right, wrong, monkeypatch):
    planted(vae_gan.VAEGAN, "pixel_step", right, wrong, monkeypatch)
    with pytest.raises(AssertionError):
        follows("E", pixels_descend, gan=False)
