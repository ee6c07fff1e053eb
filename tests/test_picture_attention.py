"""Attention for pictures: its formula, its rows, a gain that starts at 0; and bugs of public code."""

import itertools

import laws
import numpy as np
import pytest
from test_known_bugs import caught

from scratchgan.layers import Gain, PictureAttention, Scores, Softmax
from scratchgan.optim import SGD
from scratchgan.param import Param


def block(seed=0, gamma=0.7, sides=(4, 6)):
    layer = PictureAttention(16, sides, rng=np.random.default_rng(seed)).astype(np.float64)
    for param in layer.params():
        param.value *= 2  # that some pixels count more than others
    layer.params()[-1].value[...] = gamma
    return layer


def picture(seed=1, n=3, sides=(4, 6)):
    return np.random.default_rng(seed).standard_normal((n, *sides, 16))


def largest_of_four(x):
    """(H, W, F) to (H / 2, W / 2, F), a window at a time."""
    y = np.zeros((x.shape[0] // 2, x.shape[1] // 2, x.shape[2]))
    for i, j, f in np.ndindex(y.shape):
        y[i, j, f] = max(x[2 * i + a, 2 * j + b, f] for a, b in itertools.product((0, 1), (0, 1)))
    return y.reshape(-1, x.shape[2])


def is_its_formula():
    """Zhang et al. 2019, as in their code: a sample and a pixel at a time."""
    layer, x = block(), picture()
    W_q, W_k, W_v, W_o, gamma = (param.value for param in layer.params())
    assert [W.shape[1] for W in (W_q, W_k, W_v, W_o)] == [2, 2, 8, 16] and gamma == 0.7
    y = x.copy()
    for n in range(len(x)):
        keys, values = largest_of_four(x[n] @ W_k), largest_of_four(x[n] @ W_v)
        for i, j in np.ndindex(x.shape[1:3]):
            p = np.exp([x[n, i, j] @ W_q @ key for key in keys])
            y[n, i, j] += gamma * ((p / p.sum()) @ values @ W_o)
    np.testing.assert_allclose(layer(x), y, rtol=1e-11, atol=1e-12)


def test_attention_is_its_formula():
    is_its_formula()


def rows_sum_to_one():
    layer, x = block(), picture()
    p = layer.weights(x)
    assert p.shape == (3, 24, 6)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-12)


def who_answers_where_does_not_matter():
    """Keys that change places, in blocks of 2 x 2, change nothing at a pixel that stays."""
    layer, x = block(), picture()
    other = x.copy()
    other[:, :2, :2], other[:, 2:, 4:] = x[:, 2:, 4:], x[:, :2, :2]
    np.testing.assert_allclose(layer(other)[:, :2, 2:], layer(x)[:, :2, 2:], rtol=1e-11)


def test_rows_and_places():
    rows_sum_to_one()
    who_answers_where_does_not_matter()


def takes_batches_of_any_size():
    layer = block()
    for n in (1, 4):
        assert layer(picture(n=n)).shape == (n, 4, 6, 16)
    assert layer.params()[-1].value.size == 1


def starts_as_the_identity():
    """gamma is 0: y = x. In step 1, only gamma has a gradient; from step 2 on, all have."""
    layer = PictureAttention(16, (4, 6), rng=np.random.default_rng(0)).astype(np.float64)
    x, optimizer = picture(), SGD(layer.params(), 0.1)
    *others, gamma = layer.params()
    for step in range(2):
        y, tape = layer.forward(x)
        assert (step > 0) or (y == x).all()
        layer.accumulate(tape, np.random.default_rng(2).standard_normal(y.shape))
        assert gamma.grad.any() and all(param.grad.any() == (step > 0) for param in others)
        optimizer.step()


def test_it_starts_as_the_identity():
    takes_batches_of_any_size()
    starts_as_the_identity()


class OverQueries(Softmax):
    """A softmax over the other axis: for each key, over the pixels that ask."""

    def forward(self, x, train=True):
        y, tape = super().forward(x.swapaxes(1, 2), train)
        return y.swapaxes(1, 2), tape


def test_a_softmax_over_queries_is_caught(monkeypatch):
    """FID does not tell (heykeetae/Self-Attention-GAN, issue 7; labml, issues 146 and 282)."""
    monkeypatch.setattr("scratchgan.layers.attention.Softmax", OverQueries)
    caught(is_its_formula)
    caught(rows_sum_to_one)


def test_scores_element_by_element_are_caught(monkeypatch):
    """q k at one place, number by number, where a product of matrices is meant (heykeetae, issue 7)."""

    def at_one_place(self, q, k):
        near = np.repeat(np.repeat(k, 2, axis=1), 2, axis=2)
        own = (q * near).sum(-1).reshape(len(q), -1, 1)
        return np.repeat(own, k.shape[1] * k.shape[2], axis=2)

    monkeypatch.setattr(Scores, "apply", at_one_place)
    rows_sum_to_one()  # they do: all places count the same
    caught(is_its_formula)


def test_scores_along_a_row_alone_are_caught(monkeypatch):
    """(H, W, W) in the place of (H W, H W) (taki0112/Self-Attention-GAN-Tensorflow, issue 3)."""
    right = Scores.apply

    def along_a_row(self, q, k):
        rows = np.arange(q.shape[1]).repeat(q.shape[2]) // 2  # of each pixel, as of keys
        return np.where(rows[:, None] == np.arange(k.shape[1]).repeat(k.shape[2]), right(self, q, k), -1e9)

    monkeypatch.setattr(Scores, "apply", along_a_row)
    caught(is_its_formula)
    caught(who_answers_where_does_not_matter)


def test_a_gain_for_each_sample_is_caught(monkeypatch):
    """Right for the batch it was made for (heykeetae/Self-Attention-GAN, issue 1)."""

    def of_each(self):
        self.gamma = Param(np.zeros((3, 1, 1, 1), dtype="float32"))

    monkeypatch.setattr(Gain, "__init__", of_each)
    with pytest.raises(ValueError, match="a part of x has shape"):
        takes_batches_of_any_size()


def test_a_gain_of_one_at_the_start_is_caught(monkeypatch):
    def one(self):
        self.gamma = Param(np.ones(1, dtype="float32"))

    monkeypatch.setattr(Gain, "__init__", one)
    caught(starts_as_the_identity)


def test_a_gain_that_is_not_learned_is_caught(monkeypatch):
    monkeypatch.setattr(Gain, "accumulate", lambda self, x, dy: None)
    caught(starts_as_the_identity)
    caught(laws.adjoint_in_params, block(), picture(), np.random.default_rng(0))


@pytest.mark.parametrize("channels, sides", [(4, (4, 4)), (16, (1, 4))])
def test_too_little_is_refused(channels, sides):
    with pytest.raises(ValueError, match="wanted 8 channels and sides of 2, or more"):
        PictureAttention(channels, sides, rng=np.random.default_rng(0))


def test_another_picture_is_refused():
    with pytest.raises(ValueError, match=r"Reshape\(4, 6, 16\)"):
        block()(picture(sides=(6, 6)))
