"""Bugs of conditional GANs, planted here one by one: for each, a test of this suite must fail."""

import laws
import numpy as np
import pytest
import test_labels
from test_known_bugs import caught

from scratchgan import losses
from scratchgan.layers import ConditionalAffine, Dot, Projection, Sequential, Softmax


def test_softmax_taken_twice():
    """A Softmax at the end of ACGAN's class head, before a cross-entropy of logits (a popular collection)."""
    test_labels.class_loss_vanishes()

    def plant(model):
        fork, _ = model.D.layers[-1].layers
        real, classes = fork.layers
        fork.layers = (real, Sequential(classes, Softmax()))

    caught(test_labels.class_loss_vanishes, plant)


def test_gain_drawn_around_zero(monkeypatch):
    """Conditional batch norm with gamma[label] for a gain in place of 1 + gamma[label]: it starts as zero."""
    forward = ConditionalAffine.forward

    def without_one(self, pair, train=True):
        y, tape = forward(self, pair, train)
        return y - pair[0], tape

    monkeypatch.setattr(ConditionalAffine, "forward", without_one)
    caught(test_labels.starts_as_a_batch_norm)


def test_hinges_without_a_margin(monkeypatch):
    """E D(G(z)) - E D(x) taken for the hinge losses: the same as long as all scores lie between -1 and 1."""
    monkeypatch.setattr(losses, "hinge_discriminator", losses.wasserstein_discriminator)
    for margin in ("real", "fake"):
        caught(test_labels.follows_its_objective, "projection", "D", margin)


def test_class_of_fakes_left_out():
    """ACGAN without the second term of L_C where the paper's is asked for: the gradient is another one."""
    with pytest.MonkeyPatch.context() as patch:
        original, calls = losses.softmax_cross_entropy, []

        def first_only(logits, labels):
            calls.append(labels)
            loss, d_logits = original(logits, labels)
            return (loss, d_logits) if len(calls) == 1 else (loss, np.zeros_like(d_logits))

        patch.setattr(losses, "softmax_cross_entropy", first_only)
        caught(test_labels.follows_its_objective, "acgan, classes of fakes", "D")


def test_projection_forgotten_in_backward(monkeypatch):
    """Only the unconditional score hands its gradient down: G never hears of the class."""
    rng = np.random.default_rng(0)
    layer = Projection(3, 2, rng=rng).astype(np.float64)
    layer.embedding.W.value[...] = rng.standard_normal((2, 3))
    pair = rng.standard_normal((3, 3)), np.array([0, 1, 1])
    laws.adjoint_in_x(layer, pair, rng)
    monkeypatch.setattr(Dot, "grad_a", lambda self, dy, b, shape: np.zeros(shape))
    caught(laws.adjoint_in_x, layer, pair, rng)
