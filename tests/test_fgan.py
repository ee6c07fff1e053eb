"""f-GAN: divergences against their formulas and integrals, the game's fixed points, and bugs that were published."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from test_examples import start
from test_losses import assert_gradient

from scratchgan import divergences, losses
from scratchgan.data import line
from scratchgan.examples.relatives import fgan, six_divergences
from scratchgan.layers import functions

NAMES = list(fgan.DIVERGENCES)
LINE, WIDTH = fgan.LINE, fgan.LINE[1] - fgan.LINE[0]
numbers = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(1)), elements=st.floats(-4, 4))


def lambert_w(x):
    """W e^W = x, by Newton's method."""
    w = np.log1p(x)
    for _ in range(50):
        w = w - (w * np.exp(w) - x) / (np.exp(w) * (w + 1))
    return w


# f(u), g_f(v), f*(t) as the paper has them, and V where the bound is reached, at u = p / q. Jeffrey's g_f is ours.
PAPER = {
    "kl": (lambda u: u * np.log(u), lambda v: v, lambda t: np.exp(t - 1), lambda u: 1 + np.log(u)),
    "reverse-kl": (lambda u: -np.log(u), lambda v: -np.exp(-v), lambda t: -1 - np.log(-t), np.log),
    "pearson": (lambda u: (u - 1) ** 2, lambda v: v, lambda t: t**2 / 4 + t, lambda u: 2 * (u - 1)),
    "hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda v: 1 - np.exp(-v), lambda t: t / (1 - t),
                  lambda u: np.log(u) / 2),
    "js": (lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2), lambda v: np.log(2) - np.log(1 + np.exp(-v)),
           lambda t: -np.log(2 - np.exp(t)), np.log),
    "jeffrey": (lambda u: (u - 1) * np.log(u), lambda v: v + 1 - np.exp(-v),
                lambda t: lambert_w(np.exp(1 - t)) + 1 / lambert_w(np.exp(1 - t)) + t - 2, np.log),
}  # fmt: skip
OPTIMA = {  # by another program
    "kl": (0.400, 1.886), "reverse-kl": (0.944, 1.711), "js": (0.532, 1.874), "pearson": (0.239, 1.925),
    "hellinger": (0.581, 1.833), "jeffrey": (0.694, 1.723),
}  # fmt: skip


# ---- what a divergence has to be; and bugs that are not ------------------------------------------------------


def demand_divergence(name, divergence):
    """Fail unless it is the paper's g_f and f*, with their derivatives, and the bound of an integral is reached."""
    f, g_f, conjugate, _ = PAPER[name]
    v = np.linspace(-2.5, 2.4, 41)
    g, dg, h, dh = divergence(v)
    np.testing.assert_allclose(g, g_f(v), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(h, conjugate(g_f(v)), rtol=1e-10, atol=1e-10)
    ahead, behind = divergence(v + 1e-5), divergence(v - 1e-5)
    np.testing.assert_allclose((ahead[0] - behind[0]) / 2e-5, dg, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose((ahead[2] - behind[2]) / 2e-5, dh, rtol=1e-7, atol=1e-8)
    u = np.exp(np.linspace(-12, 12, 100_001))  # f*(t) = sup u t - f(u)
    if name != "pearson":  # whose table has u of any sign
        least = [(u * t - f(u)).max() for t in g[10:30]]
        np.testing.assert_allclose(h[10:30], least, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_each_divergence_is_the_papers(name):
    demand_divergence(name, fgan.DIVERGENCES[name][0])


def changed(name, part, f):
    """Return a divergence of which one of the four results is another function of V."""

    def divergence(v):
        results = list(fgan.DIVERGENCES[name][0](v))
        results[part] = f(v)
        return results

    return divergence


BUGS = {
    "f* of JS as in Awesome-GANs": ("js", 2, lambda v: v + np.log1p(np.exp(-v)) + np.log(2)),
    "f* of Hellinger as there, of V and not of g_f(V)": ("hellinger", 2, lambda v: v / (1 - v)),
    "f* of KL without its -1": ("kl", 2, np.exp),
    "f* of V in the place of g_f(V)": ("reverse-kl", 2, lambda v: -1 - np.log(np.abs(v))),
    "g_f falls: D would say that fakes are real": ("reverse-kl", 0, lambda v: -np.exp(v)),
    "g_f of JS without log 2, which is GAN's": ("js", 0, lambda v: -np.log1p(np.exp(-v))),
    "a sigmoid, and g_f after it": ("js", 0, lambda v: np.log(2) - np.log1p(np.exp(-1 / (1 + np.exp(-v))))),
    "Pearson's t / 2": ("pearson", 2, lambda v: v**2 / 4 + v / 2),
    "a derivative by g_f(V), not by V": ("hellinger", 3, lambda v: np.exp(2 * v)),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_divergence_is_caught(bug):
    name, part, f = BUGS[bug]
    with pytest.raises(AssertionError):
        demand_divergence(name, changed(name, part, f))


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_the_divergence_where_V_is_best_and_lower_elsewhere(name):
    divergence, integrand = fgan.DIVERGENCES[name]
    p, q = line.density(LINE), line.normal(LINE, 0.3, 1.9)
    some = (p > 1e-12) & (q > 1e-12)  # where V is a number that exp can take
    p, q = p[some], q[some]

    def bound(v):
        g, _, h, _ = divergence(v)
        return (p * g - q * h).sum() * WIDTH

    best = PAPER[name][3](p / q)
    assert bound(best) == pytest.approx(integrand(p, q).sum() * WIDTH, rel=1e-9)
    for shift in (0.3 * np.sin(LINE[some]), np.full(some.sum(), 0.1), -0.2 * np.cos(3 * LINE[some])):
        assert bound(best + shift) < bound(best) - 1e-4


# ---- the two players -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(real=numbers, fake=numbers)
def test_losses_are_the_papers_and_their_gradients_are_derivatives(name, real, fake):
    divergence, (_, g_f, conjugate, _) = fgan.DIVERGENCES[name][0], PAPER[name]
    loss, d_real, d_fake = divergences.variational_discriminator(divergence, real, fake)
    np.testing.assert_allclose(-loss, g_f(real).mean() - conjugate(g_f(fake)).mean(), rtol=1e-10, atol=1e-10)
    assert_gradient(lambda x: divergences.variational_discriminator(divergence, x, fake)[0], real, d_real)
    assert_gradient(lambda x: divergences.variational_discriminator(divergence, real, x)[0], fake, d_fake)
    loss, d_fake = divergences.variational_generator(divergence, fake)
    np.testing.assert_allclose(loss, -conjugate(g_f(fake)).mean(), rtol=1e-10, atol=1e-10)
    assert_gradient(lambda x: divergences.variational_generator(divergence, x)[0], fake, d_fake)


def test_the_game_of_the_first_gan_is_js_but_for_a_constant():
    rng = np.random.default_rng(0)
    real, fake = rng.standard_normal((5, 1)), rng.standard_normal((7, 1))
    ours = divergences.variational_discriminator(divergences.jensen_shannon, real, fake)
    first = losses.minimax_discriminator(real, fake)
    assert ours[0] == pytest.approx(first[0] - 2 * np.log(2))
    for one, other in zip(ours[1:], first[1:], strict=True):
        np.testing.assert_allclose(one, other)
    for_G = divergences.variational_generator(divergences.jensen_shannon, fake)
    np.testing.assert_allclose(for_G[1], losses.minimax_generator(fake)[1])


@pytest.mark.parametrize("name", NAMES)
def test_losses_stay_in_float32_and_refuse_nothing_at_all(name):
    divergence, v = fgan.DIVERGENCES[name][0], np.array([[0.5], [-2.0]], np.float32)
    found = divergences.variational_discriminator(divergence, v, v)
    found += divergences.variational_generator(divergence, v)
    assert {part.dtype for part in found} == {np.dtype("float32")}
    with pytest.raises(ValueError, match="empty"):
        divergences.variational_discriminator(divergence, v, v[:0])
    with pytest.raises(ValueError, match="empty"):
        divergences.variational_generator(divergence, v[:0])


# ---- the optimum that each game has ----------------------------------------------------------------------------


def slopes(name, mu, sigma, heuristic=False):
    """Return the gradient of G's objective by mu and sigma where D is the best for this G, by an integral.

    heuristic: G ascends E g_f(V(G(z))), as section 3.2 of the paper proposes for a start.
    """
    p, q = line.density(LINE), line.normal(LINE, mu, sigma)
    some = (q > 1e-9) & (p > 1e-30)
    x, u = LINE[some], p[some] / q[some]
    v = PAPER[name][3](u)
    _, dg, _, dh = fgan.DIVERGENCES[name][0](v)
    d_x = np.gradient(v, x) * (-dg if heuristic else -dh)
    return (q[some] * d_x).sum() * WIDTH, (q[some] * d_x * (x - mu) / sigma).sum() * WIDTH


@pytest.mark.parametrize("name", NAMES)
def test_optima_are_those_of_another_program_and_the_game_rests_there(name):
    best = fgan.optimum(name)
    assert best == pytest.approx(OPTIMA[name], abs=1.5e-3)
    np.testing.assert_allclose(slopes(name, *best), 0, atol=2e-3)
    assert slopes(name, best[0] - 0.2, best[1])[0] < -0.01 and slopes(name, best[0], best[1] + 0.2)[1] > 0.01


def test_the_optimum_of_kl_has_the_moments_of_the_data():
    mean = line.WEIGHTS @ line.MEANS
    std = np.sqrt(line.WEIGHTS @ (line.STDS**2 + line.MEANS**2) - mean**2)
    assert fgan.optimum("kl") == pytest.approx((mean, std), abs=1e-4)
    x = line.sample(200_000, np.random.default_rng(0))
    assert (x.mean(), x.std()) == pytest.approx((mean, std), abs=0.02) and x.dtype == np.float32
    assert line.density(LINE).sum() * WIDTH == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["kl", "pearson", "hellinger", "js"])
def test_the_other_objective_for_G_does_not_rest_at_the_optimum(name):
    """G that ascends g_f(V(G(z))) finds another Gaussian: a published shortcut that these numbers show."""
    assert np.abs(slopes(name, *fgan.optimum(name), heuristic=True)).max() > 0.02


@pytest.mark.parametrize("name", ["kl", "hellinger"])
def test_a_short_game_goes_towards_its_optimum(name):
    model, _ = start("fgan", divergence=name, lr=3e-3, average=0.99)
    best, rng = fgan.optimum(name), np.random.default_rng(0)
    off = lambda: np.abs(np.subtract(list(model.report().values()), best)).max()
    before = off()
    for _ in range(1200):
        model.discriminator_step(line.sample(256, rng))
        model.generator_step(256)
    assert off() < 0.35 * before and off() < 0.2


def test_the_discriminator_comes_near_the_log_ratio():
    model, _ = start("fgan", divergence="js", lr=3e-3)
    rng = np.random.default_rng(0)
    for _ in range(800):
        model.discriminator_step(line.sample(512, rng))
    mu, sigma = model.report().values()
    x = np.linspace(-2, 2.5, 19)
    exact = np.log(line.density(x) / line.normal(x, mu, sigma))
    found = functions.sigmoid(model.D(x[:, None].astype(np.float32)))[:, 0]
    assert np.abs(found - 1 / (1 + np.exp(-exact))).max() < 0.12


# ---- all six -------------------------------------------------------------------------------------------------


def test_six_divergences_goes_on_and_prints_a_table(tmp_path, capsys):
    options = ["--divergences", "kl", "--seeds", "0", "1", "--out", str(tmp_path / "six")]
    six_divergences.main([*options, "--steps", "2"])
    table = (tmp_path / "six" / "table.md").read_text()
    assert table in capsys.readouterr().out and table.count("\n") == 3
    assert "| kl | 0.400, 1.886 |" in table and min(Image.open(tmp_path / "six" / "picture.png").size) > 100
    written = (tmp_path / "six" / "kl-0" / "checkpoint.npz").stat().st_mtime_ns
    six_divergences.main([*options, "--steps", "2"])
    assert (tmp_path / "six" / "kl-0" / "checkpoint.npz").stat().st_mtime_ns == written
    assert (tmp_path / "six" / "table.md").read_text() == table
    with pytest.raises(SystemExit) as stop:
        six_divergences.main([*options, "--steps", "1"])
    assert stop.value.code == 2 and "is at step 2 already" in capsys.readouterr().err
