"""Gradient penalties of a D that is told labels: they are asked with them, and taken of x alone."""

import numpy as np
import penalty_laws as laws
import pytest
from penalty_laws import CONDITIONAL, LABELS, PENALTIES, case, value_and_grads

from scratchgan import penalties
from scratchgan.layers import Conditional, ConditionalBatchNorm, Dense

each_penalty = pytest.mark.parametrize("penalty", PENALTIES)


@each_penalty
@pytest.mark.parametrize("critic", CONDITIONAL)
def test_with_labels_value_and_gradient_are_exact(critic, penalty):
    """By the loop over samples, each with its own label, and by a complex step; embeddings and gains included."""
    laws.value_by_loop(*case(critic), PENALTIES[penalty], labels=LABELS)
    laws.agrees_with_complex_step(*case(critic), PENALTIES[penalty], labels=LABELS)


@pytest.mark.parametrize("penalty", ["wgan_gp", "r1"])
@pytest.mark.parametrize("critic", CONDITIONAL)
def test_with_labels_the_gradient_agrees_with_differences(critic, penalty):
    laws.agrees_with_differences(*case(critic), PENALTIES[penalty], labels=LABELS)


@each_penalty
def test_labels_count(penalty):
    """Other labels, another value; a class that is not in the batch learns nothing."""
    D, real, fake = case("projection, tanh")
    value, grads = value_and_grads(D, real, fake, PENALTIES[penalty], labels=LABELS)
    other, _ = value_and_grads(D, real, fake, PENALTIES[penalty], labels=LABELS[::-1].copy() + 1)
    assert abs(value - other) > 1e-3 * value
    (embedding,) = [grad for path, grad in grads.items() if len(grad) == laws.CLASSES and path.endswith("embedding.W")]
    assert embedding.any(1).tolist() == [True, False, True, False]


def test_a_conditional_batch_norm_is_refused_in_a_critic():
    rng = np.random.default_rng(0)
    D = Conditional(Dense(3, 4, rng=rng), ConditionalBatchNorm(4, 4), Dense(4, 1, rng=rng)).astype(np.float64)
    real = rng.standard_normal((3, 3))
    with pytest.raises(ValueError, match=r"BatchNorm\(4\) \(layer '1\.0' of the critic\) mixes the samples"):
        penalties.r1(D, real, labels=LABELS)
    penalties.r1(D, real, labels=LABELS, batch_statistics=True)
