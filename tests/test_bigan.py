"""BiGAN: its game longhand, its two halves' labels, what its codes are measured by; bugs of public code, planted."""

import copy
import inspect
import json
import runpy
import sys
import textwrap

import numpy as np
import pytest
from test_examples import PATHS

from scratchgan import data
from scratchgan.data import Batches, glyphs
from scratchgan.examples.relatives import bigan
from scratchgan.metrics import codes as metrics

SHAPE = (3, 2, 1)


def start(shape=SHAPE, **more):
    """Return a small BiGAN in float64, with its gradients kept where an optimizer would take them."""
    model = bigan.BiGAN(bigan.Settings(**{"width": 5, "latent": 3} | more), shape, np.random.default_rng(0))
    for name in "EGD":
        net = copy.deepcopy(getattr(model, name)).astype(np.float64)
        setattr(model, name, net)
        setattr(model, f"opt_{name}", Kept(net))
    return model


class Kept:
    """In the place of an optimizer: weights stay where they are."""

    def __init__(self, net):
        self.net, self.steps = net, 0

    def step(self):
        self.grads = [param.grad.copy() for param in self.net.params()]
        self.net.zero_grad()


def value(nets, x, z, signs):
    """Return -E log D(real pair) - E log (1 - D(fake pair)), a pair after the other; signs (-1, 1): both exchanged."""
    E, G, D = nets["E"], nets["G"], nets["D"]
    codes, pictures = E.forward(x)[0], G.forward(z)[0]
    real, fake = D.forward((x, codes))[0], D.forward((pictures, z))[0]
    total = 0
    for a, b in zip(real[:, 0], fake[:, 0], strict=True):
        total -= np.log(1 / (1 + np.exp(-signs[0] * a))) + np.log(1 / (1 + np.exp(-signs[1] * b)))
    return total / len(x)


def follows_the_formula(monkeypatch):
    """What D, E and G descend is the paper's, by a complex step; and the first noise drawn is in both places."""
    monkeypatch.setattr(bigan.data, "to_signed", lambda x: x)
    model, rng = start(), np.random.default_rng(1)
    x, *draws = rng.uniform(-1, 1, (3, 8, 6))
    x, draws = x.reshape(8, *SHAPE), [draw[:, :3] for draw in draws]
    left = iter(draws)
    model.noise = lambda n: next(left)
    batches = Batches(np.zeros((8, 1)), batch_size=8, rng=rng)
    batches.next = lambda: x
    nets = {name: copy.deepcopy(getattr(model, name)) for name in "EGD"}
    said = model.step(batches)
    assert float(said["D"]) == pytest.approx(value(nets, x, draws[0], (1, -1)), rel=1e-10)
    assert float(said["G and E"]) == pytest.approx(value(nets, x, draws[0], (-1, 1)), rel=1e-10)
    for name, signs in (("D", (1, -1)), ("E", (-1, 1)), ("G", (-1, 1))):
        twins = {other: copy.deepcopy(net).astype(complex) for other, net in nets.items()}
        expected = 0
        for param, grad in zip(twins[name].params(), getattr(model, f"opt_{name}").grads, strict=True):
            v = rng.standard_normal(param.value.shape)
            param.value[...] += 1e-20j * v
            expected += (grad * v).sum()
        slope = value(twins, x.astype(complex), draws[0].astype(complex), signs).imag / 1e-20
        assert abs(slope - expected) < 1e-10 * max(abs(expected), 0.1), name
    assert not any(param.grad.any() for param in model.D.params())


def test_a_step_follows_the_formula(monkeypatch):
    follows_the_formula(monkeypatch)


def test_the_losses_where_D_can_tell_nothing():
    model = start()
    for param in model.D.layers[-1].params():  # a logit of 0 for every pair
        param.value[...] = 0
    x, z = np.random.default_rng(0).uniform(-1, 1, (2, 8, 6))
    nets = {name: getattr(model, name) for name in "EGD"}
    for name, signs in (("D", (1, -1)), ("G and E", (-1, 1))):
        found = value(nets, x.reshape(8, *SHAPE), z[:, :3], signs)
        assert model.equilibrium()[name] == pytest.approx(found, rel=1e-12)


def codes_lie_where_z_does(monkeypatch):
    model, rng = start(), np.random.default_rng(0)
    z = model.latent(4000, rng)
    assert z.dtype == np.float32 and abs(z).max() <= 1
    assert z.mean() == pytest.approx(0, abs=0.03) and z.var() == pytest.approx(1 / 3, abs=0.01)
    assert abs(model.E(100 * rng.standard_normal((50, *SHAPE)))).max() <= 1


def test_codes_lie_where_z_does(monkeypatch):
    codes_lie_where_z_does(monkeypatch)


BUGS = {
    "E is not trained": ("step", "self.E.accumulate(E_tape, d_code)", "pass"),
    "the label of E is not exchanged": (
        "step", "loss, d_fake, d_real = losses.nonsaturating_discriminator(fake_logits, real_logits)",
        "loss, d_fake = losses.nonsaturating_generator(fake_logits)",
    ),
    "the label of G is not exchanged": (
        "step", "loss, d_fake, d_real = losses.nonsaturating_discriminator(fake_logits, real_logits)",
        "loss, d_real = losses.binary_cross_entropy(real_logits, 0.0)",
    ),
    "labels of D exchanged": ("step", "D_loss, d_real, d_fake", "D_loss, d_fake, d_real"),
    "a step of G moves D": ("step", "(d_picture, _), _ = self.D.pull(fake_tape, d_fake)",
                            "d_picture, _ = self.D.backward(fake_tape, d_fake)"),
    "a step of E moves D": ("step", "(_, d_code), _ = self.D.pull(real_tape, d_real)",
                            "_, d_code = self.D.backward(real_tape, d_real)"),
    "D hears of fakes alone": ("step", "self.D.accumulate(real_tape, d_real)", "pass"),
    "x beside a z that is not its code": ("step", "(x, code)", "(x, z)"),
    "G(z) beside its code": ("step", "(fake, z)", "(fake, self.E(fake))"),
    "G(z) beside another z": ("step", "(fake, z)", "(fake, self.noise(len(x)))"),
    "z is normal": ("latent", "rng.uniform(-1, 1, (n, self.settings.latent))",
                    "rng.standard_normal((n, self.settings.latent))", codes_lie_where_z_does),
    "codes without bounds": ("__init__", "rng=rng), Tanh(),  # in", "rng=rng),  # in", codes_lie_where_z_does),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = (*BUGS[bug], follows_the_formula)[:4]
    source = textwrap.dedent(inspect.getsource(getattr(bigan.BiGAN, name))).replace("super()", "super(BiGAN, self)")
    assert source.count(right) == 1
    found = {}
    exec(source.replace(right, wrong), vars(bigan), found)
    monkeypatch.setattr(bigan.BiGAN, name, found[name])
    with pytest.raises(AssertionError):
        test(monkeypatch)


# ---- what codes are measured by --------------------------------------------------------------------------


def test_the_nearest_training_point_tells_the_class():
    train, labels = np.array([[0.0, 0], [1, 0], [5, 5]]), np.array([0, 1, 2])
    test = np.array([[0.1, 0.1], [0.9, 0], [4, 4], [0.6, 0]])
    assert metrics.nearest_accuracy(train, labels, test, np.array([0, 1, 2, 0])) == 0.75
    with pytest.raises(ValueError, match="nearest_accuracy: train has 3 numbers a sample, wanted 2"):
        metrics.nearest_accuracy(np.ones((2, 3)), labels[:2], test, labels)


def test_principal_components_are_the_best_of_their_number():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((200, 6)) * [5, 4, 3, 0.1, 0.1, 0.1] + 7
    points = points @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    pca = metrics.PCA(points, 3)
    codes = pca.encode(points)
    np.testing.assert_allclose(pca.V.T @ pca.V, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cov(codes.T) - np.diag(codes.var(axis=0, ddof=1)), 0, atol=1e-9)
    assert (np.diff(codes.var(axis=0)) < 0).all()  # the largest first
    left = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[3:]
    assert ((points - pca.decode(codes)) ** 2).sum() == pytest.approx((left**2).sum())


def test_pairs_lie_side_by_side():
    x, y = np.zeros((7, 4, 4, 1), np.uint8), np.full((7, 4, 4, 1), 200, np.uint8)
    picture = metrics.side_by_side(x, y)
    assert picture.shape == (2 * 6 + 2, 10 * 6 + 2, 1)
    assert picture[3, 3] == 0 and picture[3, 9] == 200 and picture[3, 15] == 0


# ---- as a user would -------------------------------------------------------------------------------------


def test_codes_prints_accuracies_beside_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = lambda count=200, load=glyphs.load, **more: load(min(count, 200), **more)
    monkeypatch.setattr(glyphs, "load", few)
    test = data.load_images("glyphs", count=100, split="test")
    monkeypatch.setattr("scratchgan.training.model.load_held_out", lambda *_: test)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["bigan"]), *arguments])
        runpy.run_path(str(PATHS["bigan"]), run_name="__main__")

    call("--steps", "3", "--out", "run", "--width", "16", "--latent", "4", "--threads", "1")
    call("codes", "run")
    printed = capsys.readouterr().out
    assert "1-NN accuracy, pixels " in printed and "|x - y|, y PCA 4 " in printed
    found = json.loads((tmp_path / "run" / "codes.json").read_text())
    train = data.load_images("glyphs")
    nearest = [((train.images / 255 - x / 255) ** 2).sum(axis=(1, 2, 3)).argmin() for x in test.images]
    assert found["1-NN accuracy, pixels"] == pytest.approx((train.labels[nearest] == test.labels).mean())
    assert 0 < found["|x - y|, y PCA 4"] < found["|x - y|, y G(E(x))"] and (tmp_path / "run" / "codes.png").exists()
