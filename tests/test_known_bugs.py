"""Bugs that were found in public GAN code, planted here one by one: for each, a test of this suite must fail.

Each case breaks the library as the bug did, then runs the law or the test that is there to catch it.
"""

import sys

import laws
import numpy as np
import pytest
import test_data_batches
import test_data_mixtures
import test_examples
import test_losses
import test_optim

from scratchgan import losses
from scratchgan.data import Batches, mixtures
from scratchgan.examples import gan
from scratchgan.layers import Dense, Layer, LeakyReLU, Sequential, Tanh, functions
from scratchgan.optim import Optimizer

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup  # comes with hypothesis

FAILURES = (AssertionError, FloatingPointError, ExceptionGroup)  # hypothesis groups several failures of one test


def caught(test, *arguments):
    """Assert that a test fails."""
    with pytest.raises(FAILURES):
        test(*arguments)


def smooth_network():
    rng = np.random.default_rng(0)
    net = Sequential(Dense(3, 4, rng=rng), Tanh(), Dense(4, 2, rng=rng)).astype(np.float64)
    return net, rng.standard_normal((5, 3)), rng


def test_two_forwards_and_one_cache():
    """An activation kept on the layer: D(real) is lost when D(fake) is computed."""

    class Cached(Layer):
        def forward(self, x, train=True):
            self.x = x
            return x**2, None

        def pull(self, tape, dy):
            return 2 * self.x * dy, None

    rng = np.random.default_rng(0)
    caught(laws.interleaves, Cached(), rng.standard_normal((4, 2)), rng)


def test_dy_kept_on_the_layer():
    """What double_backward needs of a pull, overwritten by the next one: a penalty's derivative at another dy."""

    class Kept(Tanh):
        def pull(self, y, dy):
            self.dy = dy
            return super().pull(y, dy)[0], None

        def double_backward(self, y, kept, ddx):
            return super().double_backward(y, self.dy, ddx)

    rng = np.random.default_rng(0)
    laws.second_order(Kept(), rng.standard_normal((4, 2)), rng)  # with one pull there is nothing wrong
    caught(laws.one_tape_serves_twice, Kept(), rng.standard_normal((4, 2)), rng)


def test_curvature_dropped(monkeypatch):
    """The second order of a tanh without its f'': right for ReLU only (a published WGAN-GP)."""
    laws.second_order(*smooth_network())
    monkeypatch.setattr(Tanh, "second_derivative", lambda self, y: None)
    caught(laws.second_order, *smooth_network())


def test_last_sweep_forgotten(monkeypatch):
    """Bends that are collected and never sent down into the weights below."""

    def one_sweep(self, tapes, kept, ddx):
        for layer, tape, layer_kept in zip(self.layers, tapes, kept, strict=True):
            ddx, _ = layer.double_backward(tape, layer_kept, ddx)
        return ddx, None

    monkeypatch.setattr(Sequential, "double_backward", one_sweep)
    caught(laws.second_order, *smooth_network())


def test_gradients_overwritten_instead_of_added(monkeypatch):
    """The loss of D(real) is lost when that of D(fake) is propagated."""

    def accumulate(self, x, dy):
        self.W.grad[...] = self.weight_grad(x, dy)

    monkeypatch.setattr(Dense, "accumulate", accumulate)
    caught(laws.interleaves, *smooth_network())


def test_gradients_of_the_generators_step_left_in_the_discriminator(monkeypatch):
    """G's gradient comes through D, and into D's weights as well: D's next step takes what was G's (many tutorials)."""

    def pull(self, x, dy):
        self.accumulate(x, dy)
        return self.input_grad(self.W.value, dy, x.shape), dy

    laws.pull_leaves_grads_alone(*smooth_network())
    monkeypatch.setattr(Dense, "pull", pull)
    caught(laws.pull_leaves_grads_alone, *smooth_network())


def test_slope_taken_for_its_mirror(monkeypatch):
    """LeakyReLU's slope on the wrong side."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(LeakyReLU, "derivative", lambda self, y: np.where(y > 0, self.slope, 1.0))
    caught(laws.adjoint_in_x, LeakyReLU(0.2), rng.standard_normal((5, 3)), rng)


def test_generator_never_moves(monkeypatch):
    """Gradients flushed before the optimizer's step (a published WGAN-GP whose G stands still)."""
    step = Optimizer.step

    def flushed(self):
        self.flat.grad.fill(0)
        step(self)

    monkeypatch.setattr(Optimizer, "step", flushed)
    caught(test_examples.test_two_steps, "gan")


def test_generator_loss_with_the_wrong_sign(monkeypatch):
    """G descends where it should ascend."""
    discriminator, generator = gan.LOSSES["nonsaturating"]

    def wrong(fake_logits):
        loss, d_fake = generator(fake_logits)
        return loss, -d_fake

    monkeypatch.setitem(gan.LOSSES, "nonsaturating", (discriminator, wrong))
    caught(test_examples.test_a_generator_step_raises_what_D_says_of_its_samples, "gan")


def test_label_smoothing_on_both_sides(monkeypatch):
    def two_sided(real_logits, fake_logits, *, real_target=1.0):
        real_loss, d_real = losses.binary_cross_entropy(real_logits, real_target)
        fake_loss, d_fake = losses.binary_cross_entropy(fake_logits, 1 - real_target)
        return real_loss + fake_loss, d_real, d_fake

    monkeypatch.setattr(losses, "minimax_discriminator", two_sided)
    caught(test_losses.test_label_smoothing_is_one_sided)


def test_softmax_taken_twice(monkeypatch):
    """A softmax before a cross-entropy that takes logits (a popular ACGAN)."""
    right = losses.softmax_cross_entropy

    def twice(logits, labels):
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        return right(p, labels)

    monkeypatch.setattr(losses, "softmax_cross_entropy", twice)
    caught(test_losses.test_softmax_cross_entropy)


def test_sigmoid_computed_as_it_is_written(monkeypatch):
    """1 - 1 / (1 + exp(x)): the small gradients that the saturating loss is about become 0."""
    monkeypatch.setattr(functions, "sigmoid", lambda x: 1 - 1 / (1 + np.exp(x)))
    caught(test_losses.test_small_gradients_keep_their_relative_precision)


def test_optimizer_state_not_restored(monkeypatch):
    """A resumed run whose Adam starts anew."""

    def load_state(self, state):
        self.steps = int(state["steps"])

    monkeypatch.setattr(Optimizer, "load_state", load_state)
    for make in (lambda params: test_optim.SGD(params, 0.1, momentum=0.9), test_optim.Adam):
        caught(test_optim.test_state_resumes_exactly, make)


def test_ring_with_its_ends_in_one_place(monkeypatch):
    """linspace(0, 2 pi, 8) names one angle twice: a ring of 8 with 7 modes (a published notebook)."""

    def ring(modes=8, radius=2.0, std=0.02):
        angles = np.linspace(0, 2 * np.pi, modes)
        return mixtures.Mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)

    monkeypatch.setattr(mixtures, "ring", ring)
    caught(test_data_mixtures.test_the_ring_has_eight_distinct_centres_on_its_circle)


def test_the_same_first_batches_again_and_again(monkeypatch):
    """An iterator that is made anew for every step sees the head of the data only."""
    following = Batches.next

    def first_again(self):
        self.position = 0
        return following(self)

    monkeypatch.setattr(Batches, "next", first_again)
    caught(test_data_batches.test_each_epoch_holds_each_sample_once)
