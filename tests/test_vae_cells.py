"""The VAE of cells: its bound, longhand, and below the exact likelihood; the KL of Gaussians; a sample with a slope."""

import copy
import inspect
import json
import runpy
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_examples import PATHS
from test_losses import assert_gradient

from scratchgan import losses
from scratchgan.data import Batches, cells
from scratchgan.examples.relatives import vae_cells
from scratchgan.layers import GaussianSample
from scratchgan.optim import Adam

EVERY = cells.bits(np.arange(cells.CELLS))


def start(width=16, **more):
    options = vae_cells.Settings(**{"width": width, "batch_size": 32} | more)
    bits = vae_cells.VAE.load_data(options)
    batches = Batches(bits, batch_size=options.batch_size, rng=np.random.default_rng(1))
    return vae_cells.VAE(options, bits.shape[1:], np.random.default_rng(0)), batches


# ---- KL(N(mean, var), N(0, 1)) ---------------------------------------------------------------------------


def kl_by_quadrature(mean, log_var):
    """The integral of N(z; mean, var) log (N(z; mean, var) / N(z; 0, 1)), by Hermite's nodes, summed over latents."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    total = 0.0
    for m, lv in zip(mean.ravel(), log_var.ravel(), strict=True):
        z = m + np.exp(lv / 2) * nodes
        log_ratio = -(nodes**2) / 2 - lv / 2 + z**2 / 2
        total += weights @ log_ratio / weights.sum()
    return total / len(mean)


def kl_is_the_integral(mean, log_var):
    value, d_mean, d_log_var = losses.gaussian_kl(mean, log_var)
    np.testing.assert_allclose(value, kl_by_quadrature(mean, log_var), rtol=1e-10, atol=1e-12)
    assert_gradient(lambda x: losses.gaussian_kl(x, log_var)[0], mean, d_mean)
    assert_gradient(lambda x: losses.gaussian_kl(mean, x)[0], log_var, d_log_var)


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.integers(1, 5), st.integers(1, 4)), st.integers(0, 9999))
def test_kl_is_the_integral(shape, seed):
    rng = np.random.default_rng(seed)
    kl_is_the_integral(rng.standard_normal(shape), rng.standard_normal(shape))


def test_kl_is_zero_for_a_standard_normal_alone_and_keeps_float32():
    zeros = np.zeros((3, 2), np.float32)
    found = losses.gaussian_kl(zeros, zeros)
    assert found[0] == 0 and not found[1].any() and not found[2].any()
    assert {part.dtype for part in found} == {np.dtype("float32")}
    with pytest.raises(ValueError, match=r"gaussian_kl: log_var has shape \(3, 1\), wanted \(3, 2\)"):
        losses.gaussian_kl(zeros, zeros[:, :1])
    with pytest.raises(ValueError, match="gaussian_kl: the input is empty"):
        losses.gaussian_kl(zeros[:0], zeros[:0])


# ---- a sample with a slope -------------------------------------------------------------------------------


def samples_are_normal():
    layer = GaussianSample(rng=np.random.default_rng(0))
    mean, log_var = np.full((50_000, 2), [3.0, -1.0]), np.full((50_000, 2), [np.log(4.0), np.log(0.25)])
    y, _ = layer.forward((mean, log_var))
    np.testing.assert_allclose(y.mean(axis=0), [3, -1], atol=0.03)
    np.testing.assert_allclose(y.var(axis=0), [4, 0.25], rtol=0.03)
    np.testing.assert_array_equal(layer((mean, log_var)), mean)  # in inference


def test_samples_are_normal():
    samples_are_normal()


def test_what_is_no_pair_of_equals_is_refused():
    layer, x = GaussianSample(rng=np.random.default_rng(0)), np.ones((3, 2))
    with pytest.raises(TypeError, match=r"GaussianSample\(\): the input is one array, wanted a pair \(mean, log_var\)"):
        layer.forward(x)
    with pytest.raises(ValueError, match=r"log_var has shape \(3, 1\), wanted \(3, 2\)"):
        layer.forward((x, x[:, :1]))


# ---- the bound -------------------------------------------------------------------------------------------


def longhand(encoder, decoder, x, noise):
    """-E log q(x | z) + KL: sums over bits and latents, one cell after the other."""
    (mean, log_var), _ = encoder.forward(2 * x - 1)
    total = 0
    for row, m, lv, n in zip(x, mean, log_var, noise, strict=True):
        a = decoder.forward((m + np.sqrt(np.exp(lv)) * n)[None])[0][0]
        p = 1 / (1 + np.exp(-a))
        total -= sum(np.log(p[d]) if row[d] == 1 else np.log(1 - p[d]) for d in range(12))
        total += sum((m[k] ** 2 + np.exp(lv[k]) - 1 - lv[k]) / 2 for k in range(2))
    return total / len(x)


def follows_the_formula():
    """The loss and the gradients handed to the optimizer are the formula's, by a complex step, in float64."""
    model, batches = start()
    x = batches.next().astype(np.float64)
    networks = copy.deepcopy([model.encoder, model.decoder])
    model.encoder, model.decoder = (net.astype(np.float64) for net in networks)
    model.optimizer = Adam(model.encoder.params() + model.decoder.params(), 1e-3)
    model.optimizer.step = lambda: None
    batches.next = lambda: x
    noise = copy.deepcopy(model.sample.rng).standard_normal((len(x), 2), dtype=np.float32)
    said = model.step(batches)
    loss = float(said["-log q(x|z)"] + said["KL"])
    assert loss == pytest.approx(longhand(model.encoder, model.decoder, x, noise), rel=1e-10)
    rng = np.random.default_rng(2)
    for moves in ("encoder", "decoder"):
        twins = {name: copy.deepcopy(getattr(model, name)).astype(complex) for name in ("encoder", "decoder")}
        expected = 0
        for param, moved in zip(getattr(model, moves).params(), twins[moves].params(), strict=True):
            v = rng.standard_normal(param.value.shape)
            moved.value[...] += 1e-20j * v
            expected += (param.grad * v).sum()
        found = longhand(*twins.values(), x.astype(complex), noise).imag / 1e-20
        assert abs(found - expected) < 1e-10 * max(abs(expected), 1)


def test_a_step_follows_the_formula():
    follows_the_formula()


def q_is_the_integral():
    """Of the bits' product, cell by cell, over the same nodes; and so a distribution."""
    model, _ = start()
    model.decoder.layers[-1].b.value[...] = np.random.default_rng(0).normal(0, 1, 12)  # no two bits alike
    q = model.q()
    assert q.shape == (cells.CELLS,) and abs(q.sum() - 1) < 1e-12
    axis = np.linspace(-vae_cells.REACH, vae_cells.REACH, vae_cells.NODES)
    z = np.array([(a, b) for b in axis for a in axis])
    weight = np.exp(-(z**2).sum(axis=1) / 2)
    p = 1 / (1 + np.exp(-copy.deepcopy(model.decoder).astype(np.float64)(z)))
    for cell in (0, 1, 100, 2500, 4095):
        product = np.where(EVERY[cell] == 1, p, 1 - p).prod(axis=1)
        assert q[cell] == pytest.approx(weight @ product / weight.sum(), rel=1e-10, abs=0)


def test_q_is_the_integral():
    q_is_the_integral()


def the_bound_is_below():
    """Before any training, and after some, when it has come near."""
    model, batches = start(batch_size=128)
    x = batches.arrays[0]
    gaps = []
    for _ in range(2):
        log_q, bounds = np.log(model.q())[cells.from_bits(x)].mean(), [model.bound(x) for _ in range(3)]
        gaps.append(log_q - np.mean(bounds))
        assert gaps[-1] > 3 * np.std(bounds)
        for _ in range(300):
            model.step(batches)
    assert gaps[1] < 1 < gaps[0]


def test_the_bound_is_below_the_exact_likelihood():
    the_bound_is_below()


def test_samples_follow_q():
    model, _ = start()
    model.decoder.layers[-1].b.value[...] = np.random.default_rng(0).normal(0, 1.5, 12)
    x = model.generate(model.latent(40_000, np.random.default_rng(0)))
    assert set(np.unique(x)) == {0, 1}
    wanted = model.q() @ EVERY
    np.testing.assert_allclose(x.mean(axis=0), wanted, atol=0.012)


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

BUGS = {
    "KL: the mean over latents": (losses, "gaussian_kl", "kl.sum() * (1 / n)", "kl.mean()",
                                  lambda: kl_is_the_integral(np.ones((3, 2)), np.ones((3, 2)))),
    "KL: the deviation for the variance": (losses, "gaussian_kl", "xp.exp(log_var)", "xp.exp(0.5 * log_var)",
                                           lambda: kl_is_the_integral(np.ones((3, 2)), np.ones((3, 2)))),
    "KL: the other sign": (losses, "gaussian_kl", "0.5 * (mean * mean", "-0.5 * (mean * mean",
                           lambda: kl_is_the_integral(np.ones((3, 2)), np.ones((3, 2)))),
    "KL: its gradient of the other sign": (losses, "gaussian_kl", "(var - 1)", "(1 - var)", follows_the_formula),
    "KL: over pixels": (vae_cells.VAE, "step", "by_mean + d_mean", "by_mean + d_mean / BITS", follows_the_formula),
    "the mean over bits": (vae_cells.VAE, "step", "BITS * d_logits", "d_logits", follows_the_formula),
    "the variance for the deviation": (GaussianSample, "forward", "0.5 * log_var", "log_var", samples_are_normal),
    "a sample's slope at the deviation": (GaussianSample, "pull", "0.5 * shift", "shift", follows_the_formula),
    "no gradient goes through the sample": (vae_cells.VAE, "step", "(by_mean + d_mean, ", "(d_mean, ",
                                            follows_the_formula),
    "a bound without KL": (vae_cells.VAE, "bound", " + losses.gaussian_kl(mean, log_var)[0]", "", the_bound_is_below),
    "q at the prior's mean": (vae_cells.VAE, "q", "np.exp(-0.5 * (z * z).sum(axis=1))",
                              "((z * z).sum(axis=1) < 1e-9) * 1.0", q_is_the_integral),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    owner, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(right) == 1
    found = {}
    module = owner if inspect.ismodule(owner) else sys.modules[owner.__module__]
    exec(source.replace(right, wrong), vars(module), found)
    monkeypatch.setattr(owner, name, found[name])
    with pytest.raises(AssertionError):
        test()


# ---- as a user would -------------------------------------------------------------------------------------


def test_evaluate_prints_the_bound_beside_the_likelihood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["vae_cells"]), *arguments])
        runpy.run_path(str(PATHS["vae_cells"]), run_name="__main__")

    call("--steps", "3", "--out", "run", "--width", "4", "--threads", "1")
    call("evaluate", "run")
    assert "-log q, bound" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert metrics["-log q, bound"]["value"] > metrics["-log q"]["value"] > 6
    assert metrics["-log q"]["uniform"] is None and metrics["TV"]["uniform"] == pytest.approx(0.781, abs=0.001)
