"""Bugs of gradient penalties and normalised weights in public GAN code, planted as in `test_known_bugs.py`.

Most tests of penalties hold a law of `penalty_laws.py` against a critic and a penalty; so do these, and it must fail.
"""

import laws
import numpy as np
import penalty_laws
import pytest
import test_examples
import test_losses
import test_relativistic
import test_reparametrized
from penalty_laws import PENALTIES, case
from test_examples import dragan
from test_known_bugs import caught

from scratchgan import losses, penalties
from scratchgan.layers import BatchNorm, Sequential, Sigmoid, Tanh
from scratchgan.layers.norm import Normalization, group_mean
from scratchgan.optim import Optimizer
from scratchgan.weights import Spectral

WGAN_GP = PENALTIES["wgan_gp"]


# ---- where, and of what, the penalty is taken ------------------------------------------------------------


def interpolates(critic="cnn, tanh"):
    _, real, fake = case(critic)
    penalty_laws.one_weight_per_sample(real, fake, penalties.interpolate)


def test_interpolation_weight_drawn_per_pixel(monkeypatch):
    """x-hat is then on no line between two samples (PyTorch-GAN, hwalsuklee's collection)."""

    def per_pixel(real, fake, rng):
        return fake + rng.random(real.shape) * (real - fake)

    monkeypatch.setattr(penalties, "interpolate", per_pixel)
    caught(interpolates)
    caught(penalty_laws.value_by_loop, *case("cnn, tanh"), WGAN_GP)


def test_interpolation_weight_drawn_per_batch(monkeypatch):
    def per_batch(real, fake, rng):
        return fake + rng.random() * (real - fake)

    monkeypatch.setattr(penalties, "interpolate", per_batch)
    caught(interpolates)


@pytest.mark.parametrize("end", ["real", "fake"])
def test_interpolation_missing(monkeypatch, end):
    """A weight that is always 1, or 0 (labml)."""
    monkeypatch.setattr(penalties, "interpolate", lambda real, fake, rng: real if end == "real" else fake)
    caught(interpolates)
    caught(penalty_laws.value_by_loop, *case("mlp, tanh"), WGAN_GP)


def test_norm_over_one_axis(monkeypatch):
    """Right for vectors, wrong for images: each pixel is asked for a slope of 1 (hwalsuklee, PyTorch-GAN's dragan)."""

    def over_one_axis(g, target=1.0, *, one_sided=False):
        norm = np.sqrt((g * g).sum(-1, keepdims=True))
        distance = norm - target
        return (distance * distance).mean(), g * (distance * (2 / norm.size) / norm)

    monkeypatch.setattr(penalties, "norm_distance", over_one_axis)
    penalty_laws.value_by_loop(*case("mlp, tanh"), WGAN_GP)
    caught(penalty_laws.value_by_loop, *case("cnn, tanh"), WGAN_GP)


def test_penalty_on_the_output_of_a_sigmoid(monkeypatch):
    """The slope of sigmoid(D), which vanishes where D is sure (hwalsuklee's collection)."""
    right = penalties.penalize_gradient

    def of_probability(D, x, penalty, *, batch_statistics=False):
        return right(Sequential(D, Sigmoid()), x, penalty, batch_statistics=batch_statistics)

    monkeypatch.setattr(penalties, "penalize_gradient", of_probability)
    for name in PENALTIES.keys() - {"custom"}:
        caught(penalty_laws.value_by_loop, *case("mlp, leaky"), PENALTIES[name])


def test_batch_norm_in_a_penalised_critic(monkeypatch):
    """Without the guard it trains, towards something else (Keras-GAN)."""
    monkeypatch.setattr(BatchNorm, "mixes_samples", False)
    caught(penalty_laws.refuses_batch_statistics, *case("cnn, leaky, batch norm"), WGAN_GP)
    monkeypatch.undo()
    monkeypatch.setattr(penalties, "demand_separate_samples", lambda D: None)
    caught(penalty_laws.refuses_batch_statistics, *case("cnn, leaky, batch norm"), WGAN_GP)


# ---- its gradient ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [penalty_laws.agrees_with_complex_step, penalty_laws.agrees_with_differences])
def test_penalty_without_a_backward(monkeypatch, law):
    """It is in the printed loss, and moves nothing (mlpack)."""
    monkeypatch.setattr(Sequential, "double_backward", lambda self, tapes, kept, ddx: (None, None))
    caught(law, *case("mlp, leaky"), WGAN_GP)


@pytest.mark.parametrize("law", [penalty_laws.agrees_with_complex_step, penalty_laws.agrees_with_differences])
def test_bend_dropped(monkeypatch, law):
    """Right for a piecewise linear critic, wrong for a smooth one (numpy-ml)."""
    monkeypatch.setattr(Tanh, "second_derivative", lambda self, y: None)
    law(*case("mlp, leaky"), WGAN_GP)
    caught(law, *case("mlp, tanh"), WGAN_GP)


def test_inverse_deviation_taken_for_a_constant(monkeypatch):
    """Second order through batch norm, without the path through 1 / sqrt(var + eps) (DeZero)."""
    right = Normalization.double_backward

    def double_backward(self, tape, kept, ddx):
        ddy, bend = right(self, tape, kept, ddx)
        xhat, r, _ = tape
        along = r * group_mean(self.grouped(ddx) * self.grouped(xhat))
        return ddy, bend + (along * self.grouped(kept[1])).reshape(xhat.shape)  # takes back that r moves by -r along

    D, real, fake = case("mlp, tanh, batch norm")
    insist = lambda: penalty_laws.agrees_with_complex_step(D, real, fake, WGAN_GP, batch_statistics=True)
    insist()
    monkeypatch.setattr(Normalization, "double_backward", double_backward)
    caught(insist)
    caught(laws.second_order, D, real, np.random.default_rng(0))
    caught(penalty_laws.agrees_with_complex_step, *case("mlp, leaky, layer norm"), WGAN_GP)


def test_nan_at_a_zero_gradient(monkeypatch):
    """The derivative of a square root at 0 (keras-io)."""
    monkeypatch.setattr(penalties, "TINY", 0.0)
    caught(penalty_laws.safe_at_zero_gradient, *case("mlp, leaky"), WGAN_GP)


def test_gradients_of_the_loss_cleared_before_the_penalty(monkeypatch):
    right = penalties.penalize_gradient

    def after_clearing(D, x, penalty, *, batch_statistics=False):
        D.zero_grad()
        return right(D, x, penalty, batch_statistics=batch_statistics)

    monkeypatch.setattr(penalties, "penalize_gradient", after_clearing)
    caught(penalty_laws.adds_to_what_is_there, *case("mlp, tanh"), WGAN_GP)
    caught(penalty_laws.loss_and_penalty_add_up, test_examples.start, "wgan_gp", "penalty")


# ---- weights that are functions of others ----------------------------------------------------------------


def test_u_moves_within_a_step(monkeypatch):
    """A power iteration in each forward: D(real) and D(fake) are then scores of two networks (tensorflow addons)."""
    right = Spectral.effective

    def effective(self):
        self.stepped()
        return right(self)

    monkeypatch.setattr(Spectral, "effective", effective)
    caught(test_reparametrized.u_and_v_stay_within_a_step, test_reparametrized.OPTIMIZERS["SGD"])


def test_u_never_moves(monkeypatch):
    step = Optimizer.step

    def step_alone(self):
        monkeypatch.setattr(Spectral, "stepped", lambda self: None)
        step(self)

    monkeypatch.setattr(Optimizer, "step", step_alone)
    caught(test_reparametrized.u_and_v_stay_within_a_step, test_reparametrized.OPTIMIZERS["Adam"])


def test_sigma_taken_for_a_constant(monkeypatch):
    """The gradient without its path through sigma (tensorflow addons)."""

    def accumulate(self, gradient):
        self.grad += gradient / self.sigma()

    monkeypatch.setattr(Spectral, "accumulate", accumulate)
    for law in (penalty_laws.agrees_with_complex_step, penalty_laws.agrees_with_differences):
        caught(law, *case("mlp, tanh, spectral"), WGAN_GP)
    caught(test_reparametrized.test_gradient_is_that_of_the_true_sigma, "Conv2d", True)
    caught(test_reparametrized.test_gradient_with_u_and_v_held, "Dense")


# ---- the players' objectives -----------------------------------------------------------------------------


def test_sign_of_the_generators_wasserstein_loss_reversed(monkeypatch):
    right = losses.wasserstein_generator

    def wrong(fake_logits):
        loss, d_fake = right(fake_logits)
        return -loss, -d_fake

    monkeypatch.setattr(losses, "wasserstein_generator", wrong)
    caught(test_examples.test_a_generator_step_raises_what_D_says_of_its_samples, "wgan_gp")
    monkeypatch.setitem(test_losses.GENERATORS, "wasserstein", wrong)
    caught(test_losses.test_generator_loss_and_gradient, "wasserstein")


def test_signs_of_the_critics_loss_reversed(monkeypatch):
    """E f(x) - E f(G(z)) descended instead of ascended, and set right elsewhere by another sign (numpy-ml)."""
    right = losses.wasserstein_discriminator

    def wrong(real_logits, fake_logits):
        loss, d_real, d_fake = right(real_logits, fake_logits)
        return -loss, -d_real, -d_fake

    monkeypatch.setitem(test_losses.DISCRIMINATORS, "wasserstein", wrong)
    caught(test_losses.test_discriminator_loss_and_gradients, "wasserstein")
    monkeypatch.setattr(losses, "wasserstein_discriminator", wrong)
    caught(test_examples.test_a_discriminator_step_parts_real_from_fake, "wgan_gp2d")


def test_generator_never_moves(monkeypatch):
    """G's gradients are flushed before the step that they were made for (numpy-ml)."""
    step = Optimizer.step

    def flushed(self):
        if any(param.value.shape[-1] > 1 for param in self.flat.params[-1:]):  # G: its output is no single score
            self.flat.grad.fill(0)
        step(self)

    monkeypatch.setattr(Optimizer, "step", flushed)
    caught(test_examples.test_two_steps, "wgan_gp2d")


def test_discriminators_loss_never_propagated(monkeypatch):
    """D learns from its penalty alone (PyTorch-GAN's dragan)."""

    def discriminator_step(self, real):
        fake = self.G.forward(self.noise(len(real)))[0]
        loss, _, _ = losses.nonsaturating_discriminator(self.D(real), self.D(fake))
        options = {"weight": self.settings.penalty, "rng": self.rng, "batch_statistics": True}
        penalty = penalties.dragan(self.D, real, **options)
        self.opt_D.step()
        return loss, penalty

    monkeypatch.setattr(dragan.DRAGAN, "discriminator_step", discriminator_step)
    caught(penalty_laws.loss_and_penalty_add_up, test_examples.start, "dragan", "penalty")


@pytest.mark.parametrize("name", test_relativistic.PAIRED + test_relativistic.AVERAGE)
def test_relativistic_loss_of_the_generator_overwritten(monkeypatch, name):
    """It is computed, and then replaced by one that does not look at real samples (PyTorch-GAN)."""

    right = getattr(losses, f"{name}_generator")

    def overwritten(real_logits, fake_logits):
        loss, d_real, d_fake = right(real_logits, fake_logits)
        loss, d_fake = losses.nonsaturating_generator(fake_logits)
        return loss, d_real, d_fake

    monkeypatch.setattr(losses, f"{name}_generator", overwritten)
    caught(test_relativistic.test_the_generators_gradient_depends_on_the_real_logits, name)
