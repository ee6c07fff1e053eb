"""The VAE of pictures: its objective, longhand; bounds below the exact likelihood; bits; commands; planted bugs."""

import copy
import importlib.util
import inspect
import json
import runpy
import sys
import textwrap
from unittest import mock

import numpy as np
import pytest
from test_examples import PATHS, ROOT

from scratchgan import data, losses
from scratchgan.data import Batches, glyphs
from scratchgan.examples.relatives import vae
from scratchgan.layers import GaussianSample
from scratchgan.optim import Adam

PICTURES = glyphs.load(40).images
SHAPE = (4, 4, 1)
SMALL = PICTURES[:, 6:22:4, 6:22:4]  # 4 x 4 pixels: for what is computed by loops


def start(dtype=np.float32, **options):
    """Return (model, batches) at the first step; no bias is zero, and no variance one."""
    settings = vae.Settings(**{"width": 6, "latent": 3, "batch_size": 8} | options)
    model = vae.VAE(settings, SHAPE, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for param in [*model.encoder.params(), *model.decoder.params()]:
        param.value[...] += 0.2 * rng.standard_normal(param.value.shape)
    model.encoder, model.decoder = (net.astype(dtype) for net in copy.deepcopy([model.encoder, model.decoder]))
    model.optimizer = Adam(model.encoder.params() + model.decoder.params(), 1e-3, betas=(0.9, 0.999))
    return model, Batches(SMALL, batch_size=settings.batch_size, rng=np.random.default_rng(2))


# ---- the objective, longhand -----------------------------------------------------------------------------


def longhand(encoder, decoder, x, noise):
    """-E log q(x | z) + KL, one picture after the other, one pixel, one latent; the mean over the batch alone."""
    (mean, log_var), _ = encoder.forward(2 * x - 1)
    total = 0
    for row, m, lv, n in zip(x, mean, log_var, noise, strict=True):
        p = 1 / (1 + np.exp(-decoder.forward((m + np.sqrt(np.exp(lv)) * n)[None])[0][0]))
        total -= sum(np.log(p[d]) if row[d] == 1 else np.log(1 - p[d]) for d in range(len(p)))
        total += sum((m[k] ** 2 + np.exp(lv[k]) - 1 - lv[k]) / 2 for k in range(len(m)))
    return total / len(x)


def told(model, batches):
    """Return bits, and the noise that the next step will draw if it is given them."""
    rng = copy.deepcopy(model.rng)
    x = vae.draw_bits(batches.next(), np.random.default_rng(4)).astype(np.float64)
    return x, rng.standard_normal((len(x), model.settings.latent), dtype=np.float32)


def follows_the_formula(**options):
    """The loss and the gradients handed to the optimizer are the formula's, by a complex step, in float64."""
    model, batches = start(np.float64, **options)
    x, noise = told(model, batches)
    model.optimizer.step = lambda: None
    with mock.patch.object(vae, "draw_bits", lambda *asked: x):
        said = model.step(batches)
    assert float(said["-log q(x|z)"] + said["KL"]) == pytest.approx(
        longhand(model.encoder, model.decoder, x, noise), rel=1e-10
    )
    rng = np.random.default_rng(3)
    for moves in ("encoder", "decoder"):
        twins = {name: copy.deepcopy(getattr(model, name)).astype(complex) for name in ("encoder", "decoder")}
        terms = []
        for param, moved in zip(getattr(model, moves).params(), twins[moves].params(), strict=True):
            v = rng.standard_normal(param.value.shape)
            moved.value[...] += 1e-20j * v
            terms.append((param.grad * v).sum())
        found = longhand(*twins.values(), x.astype(complex), noise).imag / 1e-20
        assert abs(found - sum(terms)) < 1e-10 * sum(map(abs, terms))


@pytest.mark.parametrize("options", [{}, {"latent": 1}, {"width": 0}])
def test_a_step_follows_the_formula(options):
    follows_the_formula(**options)


def both_networks_move():
    model, batches = start()
    before = {path: array for path, array in model.state().items() if path.endswith(".W")}
    assert {path.split("/")[0] for path in before} == {"encoder", "decoder"}
    model.step(batches)
    assert not any(np.array_equal(array, model.state()[path]) for path, array in before.items())


def test_both_networks_move():
    both_networks_move()


# ---- pixels as bits --------------------------------------------------------------------------------------


def bits_are_as_often_white_as_pixels_are_bright():
    rng = np.random.default_rng(0)
    images = np.array([0, 51, 128, 255], np.uint8).reshape(1, 2, 2, 1)
    x = np.stack([vae.draw_bits(images, rng)[0] for _ in range(4000)])
    assert x.dtype == np.float32 and set(np.unique(x)) == {0, 1}
    np.testing.assert_allclose(x.mean(axis=0), [0, 0.2, 128 / 255, 1], atol=0.03)
    assert not x[:, 0].any() and x[:, 3].all()


def test_bits_are_as_often_white_as_pixels_are_bright():
    bits_are_as_often_white_as_pixels_are_bright()


def bits_are_drawn_anew():
    model, _ = start()
    model.optimizer.step = lambda: None
    model.sample.forward = lambda pair: (pair[0], np.zeros_like(pair[0]))  # z without noise: bits alone are drawn
    same = Batches(SMALL, batch_size=len(SMALL), rng=np.random.default_rng(2))
    first = model.step(copy.deepcopy(same))
    assert first["-log q(x|z)"] != model.step(copy.deepcopy(same))["-log q(x|z)"]


def test_bits_are_drawn_anew():
    bits_are_drawn_anew()


# ---- bounds, and the exact likelihood below which they lie -----------------------------------------------


def exactly(model, x):
    """log q(x) of bits x (N, pixels) by the integral over two latents, on a grid from -7 to 7."""
    axis = np.linspace(-7, 7, 141)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_prior = -(z**2).sum(axis=1) / 2 - np.log(2 * np.pi) + 2 * np.log(axis[1] - axis[0])
    logits = model.decoder(z)  # log p = -softplus(-logit)
    log_x = -x @ np.logaddexp(0, -logits).T - (1 - x) @ np.logaddexp(0, logits).T
    return np.logaddexp.reduce(log_prior + log_x, axis=1)


def weights_are_of_the_densities():
    """Longhand, for each z: the logarithms of three densities, with their (2 pi)^-1/2."""
    model, _ = start(np.float64)
    x = vae.draw_bits(SMALL[:5], np.random.default_rng(0)).astype(np.float64)
    rng = copy.deepcopy(model.rng)
    found = model.log_weights(x, 4)
    mean, log_var = model.encoder(2 * x - 1)
    normal = lambda z, m, variance: -((z - m) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2
    for row in found:
        z = mean + np.sqrt(np.exp(log_var)) * rng.standard_normal(mean.shape, dtype=np.float32)
        p = 1 / (1 + np.exp(-model.decoder(z)))
        log_q = np.log(np.where(x == 1, p, 1 - p)).sum(axis=1)
        wanted = log_q + normal(z, 0, 1).sum(axis=1) - normal(z, mean, np.exp(log_var)).sum(axis=1)
        np.testing.assert_allclose(row, wanted, rtol=1e-10)


def test_weights_are_of_the_densities():
    weights_are_of_the_densities()


def test_more_draws_come_nearer_to_the_exact_likelihood_from_below():
    model, batches = start(latent=2, batch_size=40)
    model.optimizer.lr = 1e-2
    for _ in range(600):
        model.step(batches)
    model.encoder, model.decoder = (net.astype(np.float64) for net in copy.deepcopy([model.encoder, model.decoder]))
    x = vae.draw_bits(np.repeat(SMALL, 5, axis=0), np.random.default_rng(0)).astype(np.float64)
    w, log_q = model.log_weights(x, 1000), exactly(model, x)
    groups = [w.reshape(-1, k, len(x)) for k in (1, 10, 1000)]
    bounds = [np.mean(np.logaddexp.reduce(group, axis=1) - np.log(group.shape[1])) for group in groups]
    assert bounds[0] < bounds[1] - 0.005 and bounds[1] < bounds[2] < log_q.mean() + 0.005
    assert abs(bounds[2] - log_q.mean()) < 0.005
    mean, log_var = model.encoder(2 * x - 1)
    z = np.random.default_rng(0).standard_normal((1000, *mean.shape)) * np.exp(log_var / 2) + mean
    logits = np.stack([model.decoder(some) for some in z])
    of_x = -np.logaddexp(0, (1 - 2 * x) * logits).sum(axis=2).mean()
    assert abs(bounds[0] - (of_x - losses.gaussian_kl(mean, log_var)[0])) < 0.02  # the KL by its formula


def test_grey_as_a_probability_is_the_mean_over_bits():
    """The cross-entropy with greys, -E over bits of log q(bits | z): the same, less what is drawn."""
    rng = np.random.default_rng(0)
    logits, grey = rng.standard_normal((1, 16)), SMALL[:1].reshape(1, 16) / 255
    p = 1 / (1 + np.exp(-logits))
    drawn = [np.log(np.where(vae.draw_bits(SMALL[:1], rng) == 1, p, 1 - p)).sum() for _ in range(4000)]
    assert -16 * losses.binary_cross_entropy(logits, grey)[0] == pytest.approx(np.mean(drawn), abs=0.1)


# ---- pictures --------------------------------------------------------------------------------------------


def test_samples_and_reconstructions_are_brightnesses():
    model, _ = start()
    z = model.latent(5, np.random.default_rng(0))
    p = 1 / (1 + np.exp(-model.decoder(z)))
    images = model.images(z)
    assert images.shape == (5, *SHAPE) and images.dtype == np.uint8
    np.testing.assert_allclose(images.reshape(5, -1), 255 * p, atol=0.51)
    mean, _ = model.encoder(data.to_signed(SMALL).reshape(len(SMALL), -1))
    np.testing.assert_array_equal(model.reconstruct(SMALL), model.images(mean))


def call(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(PATHS["vae"]), *arguments])
        runpy.run_path(str(PATHS["vae"]), run_name="__main__")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of three steps, where the pictures to load are few."""
    load = data.glyphs.load
    few = lambda count, **options: load(30, **options)
    monkeypatch.setattr(data.glyphs, "load", few)
    monkeypatch.chdir(tmp_path)
    call("--steps", "3", "--out", "run", "--width", "5", "--latent", "2", "--threads", "1")
    return tmp_path / "run"


def the_command_prints_bounds(run):
    call("bound", "run", "--draws", "400")
    found = json.loads((run / "bound.json").read_text())
    model = vae.training.loop.load_model(vae.VAE, vae.Settings, run)
    test, known = (data.load_images("glyphs", split=split).images for split in ("test", "train"))
    x = vae.draw_bits(test, np.random.default_rng(0))
    w = model.log_weights(x, 400).astype(np.longdouble)  # for exp
    model.decoder = copy.deepcopy(model.decoder).astype(np.float64)
    assert found["the bound"] < found["of 400 draws"] < exactly(model, x.astype(np.float64)).mean()
    assert found["the bound"] == pytest.approx(float(w.mean()), rel=1e-6)
    assert found["of 400 draws"] == pytest.approx(float(np.log(np.exp(w).mean(axis=0)).mean()), rel=1e-6)
    p = [((known[:, i, j, 0] / 255).sum() + 0.5) / 31 for i in range(28) for j in range(28)]
    alone = [sum(np.log(q) if bit else np.log(1 - q) for bit, q in zip(row, p, strict=True)) for row in x]
    assert found["independent pixels"] == pytest.approx(np.mean(alone), rel=1e-6)


def test_the_command_prints_bounds(run, capsys):
    the_command_prints_bounds(run)
    assert "the bound: -" in capsys.readouterr().out


# ---- what it is measured beside --------------------------------------------------------------------------


@pytest.fixture
def simple(monkeypatch):
    """Return benchmarks/vae.py, with few components and kinds."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location("benchmark_of_vae", ROOT / "benchmarks" / "vae.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "KEPT", (2, 1e-3))
    monkeypatch.setattr(module, "KINDS", 4)
    return module


EVERY = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.float64)  # all strings of 8 bits


def test_a_mixture_is_a_distribution_that_fits_better_than_one_product(simple):
    rng = np.random.default_rng(0)
    kinds = np.array([[0.1] * 4 + [0.9] * 4, [0.9] * 4 + [0.1] * 4])[rng.integers(0, 2, 3000)]
    images = (255 * (rng.random(kinds.shape) < kinds)).astype(np.uint8)  # 0 or 255: nothing is left to draw
    log_q = simple.mixture(images, EVERY, rng)
    assert np.exp(log_q).sum() == pytest.approx(1, rel=1e-4)
    one = np.array([0.1] * 4 + [0.9] * 4)
    product = lambda p: np.where(EVERY == 1, p, 1 - p).prod(axis=1)
    true = (product(one) + product(1 - one)) / 2
    assert (true * (np.log(true) - log_q)).sum() < 0.02  # a KL; of independent bits it is 2.0
    assert (true * (np.log(true) + 8 * np.log(2))).sum() > 1.5


def test_the_bound_of_pca_is_below_what_it_bounds(simple):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3000, 2))
    bits = (rng.random((3000, 8)) < 1 / (1 + np.exp(-3 * z @ rng.standard_normal((2, 8))))).astype(np.float64)
    mean, spread, U = bits.mean(axis=0), *np.linalg.eigh(np.cov(bits.T))
    W = U[:, -2:] * np.sqrt(spread[-2:] - spread[:-2].mean())
    axis = np.linspace(-6, 6, 121)
    nodes = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    p = np.clip(mean + nodes @ W.T, 1e-3, 1 - 1e-3)
    prior = np.exp(-(nodes**2).sum(axis=1) / 2)
    q = np.exp(EVERY @ np.log(p).T + (1 - EVERY) @ np.log(1 - p).T) @ prior / prior.sum()
    assert q.sum() == pytest.approx(1, rel=1e-9)
    bound = np.mean([simple.principal(bits, EVERY, rng) for _ in range(500)], axis=0)
    gap = np.log(q) - bound
    assert 0.05 < gap.mean() < 1 and gap.min() > -0.05  # the means of draws


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

REDRAWN = "0.5 * shift * dy * xp.to_device(self.rng.standard_normal(shift.shape), shift.dtype)"
BUGS = {
    "KL: the mean over latents": (losses, "gaussian_kl", "kl.sum() * (1 / n)", "kl.mean()", follows_the_formula),
    "KL: its gradient a mean over latents": (
        losses, "gaussian_kl", "mean * (1 / n)", "mean * (1 / mean.size)", follows_the_formula),
    "KL: the deviation for the variance": (
        losses, "gaussian_kl", "xp.exp(log_var)", "xp.exp(2 * log_var)", follows_the_formula),
    "KL: divided by the pixels": (vae.VAE, "step", "by_mean + d_mean", "by_mean + d_mean / 16", follows_the_formula),
    "pixels: their mean beside a KL that is a sum": (
        vae.VAE, "step", "x.shape[1] * d_logits", "d_logits", follows_the_formula),
    "pixels: their mean is printed": (vae.VAE, "step", "x.shape[1] * loss", "loss", follows_the_formula),
    "the log variance for a log deviation": (
        GaussianSample, "forward", "0.5 * log_var", "log_var", follows_the_formula),
    "noise drawn again on the way back": (GaussianSample, "pull", "0.5 * shift * dy", REDRAWN, follows_the_formula),
    "no gradient goes through the sample": (
        vae.VAE, "step", "(by_mean + d_mean, by_log_var + d_log_var)", "(d_mean, d_log_var)", follows_the_formula),
    "the encoder is not trained": (
        vae.VAE, "step", "self.encoder.accumulate(encoder_tape, (by_mean + d_mean, by_log_var + d_log_var))", "pass",
        both_networks_move),
    "greys for bits": (vae, "draw_bits",
                       '(xp.to_device(rng.random(grey.shape, dtype="float32")) < grey).astype("float32")', "grey",
                       bits_are_as_often_white_as_pixels_are_bright),
    "bits drawn once": (vae.VAE, "step", "self.rng)", "np.random.default_rng(0))", bits_are_drawn_anew),
    "weights without the prior": (vae.VAE, "log_weights", " - z * z", "", weights_are_of_the_densities),
    "weights without the deviation": (vae.VAE, "log_weights", " + log_var - z", " - z", weights_are_of_the_densities),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    owner, name, right, wrong, test = BUGS[bug]
    planted(owner, name, right, wrong, monkeypatch)
    with pytest.raises(AssertionError):
        test()


@pytest.mark.parametrize(("right", "wrong"), [
    (" - math.log(options.draws)", ""),  # the sum over draws for their mean
    ("np.logaddexp.reduce(w) - math.log(options.draws)", "w"),  # the mean of the logarithms
    ("w.mean()", "np.logaddexp.reduce(w).mean()"),
])  # fmt: skip
def test_a_bug_planted_in_the_command_is_caught(run, right, wrong, monkeypatch):
    """The file that runs is another one: its text is changed on the way."""
    source = PATHS["vae"].read_text(encoding="utf-8")
    assert source.count(right) == 1
    other = run.parent / "vae.py"
    other.write_text(source.replace(right, wrong), encoding="utf-8")
    monkeypatch.setitem(PATHS, "vae", other)
    with pytest.raises(AssertionError):
        the_command_prints_bounds(run)


def planted(owner, name, right, wrong, monkeypatch):
    """Put a function, or a method, with a line changed in the place of the right one."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(right) == 1
    found = {}
    module = owner if inspect.ismodule(owner) else sys.modules[owner.__module__]
    exec(source.replace(right, wrong), vars(module), found)
    monkeypatch.setattr(owner, name, found[name])
