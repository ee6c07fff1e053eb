"""EBGAN: energies and the pulling-away term against their formulas, the game, and bugs that were published."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from objectives import follows
from test_examples import real_samples, start
from test_losses import assert_gradient

from scratchgan.examples.relatives import ebgan
from scratchgan.layers import BatchNorm, Sequential

pictures = arrays(np.float64, (3, 2, 2, 1), elements=st.floats(-1, 1), fill=st.nothing())
some = st.floats(0.1, 2) | st.floats(-2, -0.1)
codes = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(1, 4)), elements=some, fill=st.nothing())


def longhand_energy(x, drawn):
    return np.array([np.sqrt(((a - b) ** 2).sum()) for a, b in zip(drawn, x, strict=True)])


def longhand_pulling_away(s):
    """The mean over ordered pairs of the squared cosine, as in the paper: two loops."""
    n, total = len(s), 0.0
    for i in range(n):
        for j in range(n):
            if j != i:
                total += (s[i] @ s[j] / np.sqrt((s[i] @ s[i]) * (s[j] @ s[j]))) ** 2
    return total / (n * (n - 1))


# ---- the parts ---------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(x=pictures, drawn=pictures)
def test_the_energy_is_a_norm_and_has_a_slope_at_both_ends(x, drawn):
    drawn = drawn + 0.1 * np.where(drawn > x, 1, -1)  # a norm bends at 0
    size, slope = ebgan.energy(x, drawn)
    np.testing.assert_allclose(size, longhand_energy(x, drawn), rtol=1e-9)
    assert_gradient(lambda y: ebgan.energy(x, y)[0].sum(), drawn, slope)
    assert_gradient(lambda target: ebgan.energy(target, drawn)[0].sum(), x, -slope)


def demand_pulling_away(f, s):
    """Fail unless f is the mean squared cosine of codes, and its derivative."""
    value, ds = f(s)
    assert value == pytest.approx(longhand_pulling_away(s), abs=1e-9)
    assert_gradient(lambda s: f(s)[0], s, ds)


@settings(max_examples=30, deadline=None)
@given(s=codes)
def test_pulling_away(s):
    demand_pulling_away(ebgan.pulling_away, s)


def test_pulling_away_at_its_ends_and_where_a_code_is_0():
    one = np.array([[1.0, 2.0], [2.0, 4.0], [-3.0, -6.0]])  # a code and its opposite are alike, too
    assert ebgan.pulling_away(one)[0] == pytest.approx(1)
    value, ds = ebgan.pulling_away(np.eye(3))
    assert value == 0 and not ds.any()
    value, ds = ebgan.pulling_away(np.zeros((3, 2), np.float32))
    assert value == 0 and np.isfinite(ds).all() and ds.dtype == np.float32


def pulled(change):
    """Return the pulling-away term with one line of it changed: change(C, c, n) -> (value, dC / 2)."""

    def f(s):
        n, size = len(s), np.sqrt((s * s).sum(axis=1, keepdims=True))
        c = s / size
        value, slope = change(c @ c.T, c, n)
        dc = 2 * slope @ c
        return value, (dc - c * (c * dc).sum(axis=1, keepdims=True)) / size

    return f


def off(n):
    return 1 - np.eye(n)


PULLS = {
    "right": lambda C, c, n: ((C**2 * off(n)).sum() / (n * (n - 1)), 2 * C * off(n) / (n * (n - 1))),
    "no square, as in two public EBGANs": lambda C, c, n: (
        (C * off(n)).sum() / (n * (n - 1)), off(n) / (n * (n - 1))),
    "the diagonal is counted": lambda C, c, n: ((C**2).sum() / (n * (n - 1)), 2 * C / (n * (n - 1))),
    "a mean over N^2": lambda C, c, n: ((C**2 * off(n)).sum() / n**2, 2 * C * off(n) / n**2),
    "half of the derivative: C is symmetric": lambda C, c, n: (
        (C**2 * off(n)).sum() / (n * (n - 1)), C * off(n) / (n * (n - 1))),
}  # fmt: skip


def test_the_pulling_away_that_bugs_are_planted_in_is_right():
    demand_pulling_away(pulled(PULLS["right"]), np.random.default_rng(0).standard_normal((4, 3)))


@pytest.mark.parametrize("bug", [name for name in PULLS if name != "right"])
def test_a_planted_pulling_away_is_caught(bug):
    with pytest.raises(AssertionError):
        demand_pulling_away(pulled(PULLS[bug]), np.random.default_rng(0).standard_normal((4, 3)))


def test_codes_not_normalised_in_the_derivative_are_caught():
    """c is taken for constant in length: the derivative then points along the code, too."""

    def f(s):
        value, _ = ebgan.pulling_away(s)
        n, size = len(s), np.sqrt((s * s).sum(axis=1, keepdims=True))
        c = s / size
        return value, 4 * (c @ c.T * off(n)) @ c / (n * (n - 1)) / size

    with pytest.raises(AssertionError):
        demand_pulling_away(f, np.random.default_rng(0).standard_normal((4, 3)))


# ---- the games ---------------------------------------------------------------------------------------------


def energies(D, x):
    """|D(x) - x| of each sample, for arrays of any dtype."""
    gap = D.forward(x)[0] - x
    return np.sqrt((gap * gap).sum(axis=(1, 2, 3)))


def ebgan_D(m):
    def formula(G, D, draw, real):
        fake = energies(D, G.forward(draw())[0])
        assert 0 < (fake.real < m).mean() < 1  # some samples of each side of the margin
        return energies(D, real).mean() + np.where(fake.real < m, m - fake, 0).mean()

    return formula


def ebgan_G(weight):
    def formula(G, D, draw, real):
        fake, encoder = G.forward(draw())[0], D.layers[0]
        s = encoder.forward(fake)[0]
        return energies(D, fake).mean() + weight * longhand_pulling_away(s)

    return formula


def margin_among(model, n=6):
    """Return a margin that half of the energies of the next samples lie below."""
    held = copy.deepcopy(model)
    return float(np.median(energies(held.D, held.G.forward(held.noise(n))[0])))


def demand_ebgan(Model=ebgan.EBGAN):
    """Fail unless both steps of an EBGAN descend what the paper says: objective, value and gradient."""
    model, _ = start("ebgan")
    model.__class__ = Model
    real = real_samples(model, 6)
    model.settings.margin = m = margin_among(model)
    follows(model, "D", lambda real: model.discriminator_step(real), [real], ebgan_D(m), float)
    model.settings.pulling = 0.3
    G_step = lambda real: model.generator_step(len(real))
    follows(model, "G", G_step, [real], ebgan_G(0.3), lambda said: float(said[0] + 0.3 * said[1]))


def test_both_steps_of_ebgan_follow_its_paper():
    demand_ebgan()


def test_without_pulling_G_descends_the_energy_alone():
    model, _ = start("ebgan", pulling=0.0)
    G_step = lambda real: model.generator_step(len(real))
    follows(model, "G", G_step, [real_samples(model, 6)], ebgan_G(0.0), lambda said: float(said[0]))


class Detached(ebgan.EBGAN):
    """G's target is held: PyTorch's `.detach()` on it."""

    def generator_step(self, n):
        encoder, decoder = self.D.layers
        fake, G_tape = self.G.forward(self.noise(n))
        codes, encoder_tape = encoder.forward(fake)
        drawn, decoder_tape = decoder.forward(codes)
        fake_energy, slope = ebgan.energy(fake, drawn)
        pulling, d_pulling = ebgan.pulling_away(codes)
        d_codes, _ = decoder.pull(decoder_tape, slope / n)
        d_fake, _ = encoder.pull(encoder_tape, d_codes + self.settings.pulling * d_pulling)
        self.G.accumulate(G_tape, d_fake)
        self.opt_G.step()
        return fake_energy.mean(), pulling


class MarginOfTheMean(ebgan.EBGAN):
    """The margin is compared with the batch's mean energy."""

    def discriminator_step(self, real):
        m, n = self.settings.margin, len(real)
        fake, _ = self.G.forward(self.noise(n))
        real_drawn, real_tape = self.D.forward(real)
        fake_drawn, fake_tape = self.D.forward(fake)
        real_energy, d_real = ebgan.energy(real, real_drawn)
        fake_energy, d_fake = ebgan.energy(fake, fake_drawn)
        below = fake_energy.mean() < m
        self.D.accumulate(real_tape, d_real / n)
        self.D.accumulate(fake_tape, d_fake * (-float(below) / n))
        self.opt_D.step()
        return real_energy.mean() + max(0, m - fake_energy.mean())


class NoMargin(ebgan.EBGAN):
    """D raises the energy of all samples, however high it is."""

    def discriminator_step(self, real):
        margin, self.settings.margin = self.settings.margin, 1e9
        loss = super().discriminator_step(real)
        self.settings.margin = margin
        return loss - 1e9 + margin


class WrongTarget(ebgan.EBGAN):
    """|D(G(z)) - x|: D shall draw a real sample where it was shown another."""

    def discriminator_step(self, real):
        held = ebgan.energy
        self.first = True

        def energy(x, drawn):
            x, self.first = (x if self.first else real), False
            return held(x, drawn)

        ebgan.energy = energy
        try:
            return super().discriminator_step(real)
        finally:
            ebgan.energy = held


@pytest.mark.parametrize("Model", [Detached, MarginOfTheMean, NoMargin, WrongTarget], ids=lambda Model: Model.__name__)
def test_a_planted_bug_of_ebgan_is_caught(Model):
    with pytest.raises(AssertionError):
        demand_ebgan(Model)


# ---- no batch shows through --------------------------------------------------------------------------------


def demand_energies_of_single_samples(D, x):
    """Fail unless a sample's energy is the same, in training, whatever else is in its batch."""
    both = [ebgan.energy(part, D.forward(part)[0])[0] for part in (x, x[:2], x[2:])]
    np.testing.assert_allclose(both[0], np.concatenate(both[1:]), rtol=1e-5)


def test_an_energy_is_that_of_one_sample():
    for name in ("ebgan", "began"):
        model, _ = start(name)
        demand_energies_of_single_samples(model.D, real_samples(model, 6))


def test_batch_norm_in_the_energy_is_caught():
    model, _ = start("ebgan")
    encoder, decoder = model.D.layers
    normed = Sequential(Sequential(*encoder.layers, BatchNorm(model.settings.code)), decoder)
    with pytest.raises(AssertionError):
        demand_energies_of_single_samples(normed, real_samples(model, 6))


def test_margin_0_leaves_D_an_autoencoder():
    model, _ = start("ebgan", margin=0.0)
    real = real_samples(model, 16)
    first = float(model.discriminator_step(real))
    assert first == pytest.approx(float(energies(start("ebgan")[0].D, real).mean()), rel=1e-4)
    for _ in range(30):
        last = float(model.discriminator_step(real))
    assert last < first


def test_a_D_that_has_learned_parts_real_from_fake_and_G_goes_where_D_draws_well():
    """At first D draws nothing, G next to nothing, and the energy of G's samples is near 0."""
    model, _ = start("ebgan", lr=1e-3, margin=20.0)
    real, z = real_samples(model, 64), model.noise(128)
    of_fakes = lambda: energies(model.D, model.G.forward(z)[0]).mean()
    apart = energies(model.D, real).mean() - of_fakes()
    for _ in range(60):
        model.discriminator_step(real)
    assert energies(model.D, real).mean() - of_fakes() < apart
    before = of_fakes()
    for _ in range(20):
        model.generator_step(64)
    assert of_fakes() < before
