"""Attention against its formula, the mask, soft words, a cross-entropy with weights, words that are drawn."""

import itertools

import numpy as np
import pytest

from scratchgan import losses, xp
from scratchgan.layers import Attention, Causal, Concat, Dense, Embedding, Mix, Scores, Sequential, Softmax
from scratchgan.layers import attention as module
from scratchgan.layers.functions import sample_categorical


def head(causal=False, seed=0):
    return Attention(6, 4, causal=causal, rng=np.random.default_rng(seed)).astype(np.float64)


def inputs(length=5):
    return np.random.default_rng(1).standard_normal((3, length, 6))


def longhand(attention, x, causal):
    """Vaswani et al. 2017, eq. 1, a query and a sample at a time."""
    W_q, W_k, W_v = (param.value for param in attention.params())
    y = np.zeros((*x.shape[:2], 4))
    for n, i in itertools.product(range(len(x)), range(x.shape[1])):
        seen = range(i + 1) if causal else range(x.shape[1])
        scores = np.array([(x[n, i] @ W_q) @ (x[n, j] @ W_k) / 4**0.5 for j in seen])
        p = np.exp(scores) / np.exp(scores).sum()
        y[n, i] = sum(weight * (x[n, j] @ W_v) for weight, j in zip(p, seen, strict=True))
    return y


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_formula(causal):
    attention, x = head(causal), inputs()
    np.testing.assert_allclose(attention(x), longhand(attention, x, causal), rtol=1e-12)


def leaks(attention):
    """Whether what comes after a position changes its y, or a row of weights does not sum to 1."""
    x = inputs()
    other = x.copy()
    other[:, 3:] = -other[:, 3:]
    rows = attention.weights(x).sum(-1)
    return not np.array_equal(attention(x)[:, :3], attention(other)[:, :3]) or not np.allclose(rows, 1)


def test_causal_attention_does_not_see_the_future():
    assert not leaks(head(causal=True)) and leaks(head())


def test_no_gradient_comes_from_the_past_to_the_future():
    attention, x = head(causal=True), inputs()
    _, tape = attention.forward(x)
    dy = np.random.default_rng(2).standard_normal((3, 5, 4))
    dy[:, 2:] = 0
    dx, _ = attention.pull(tape, dy)
    assert (dx[:, 2:] == 0).all() and (dx[:, :2] != 0).all()


def masked_after(x, train=True):
    """A mask that multiplies weights after the softmax, without dividing again."""
    return np.tril(np.ones(x.shape[1:])) * x, x.shape


def queries_hidden(x, train=True):
    """The mask along the other axis."""
    return np.where(np.triu(np.ones(x.shape[1:], dtype=bool)), x, module.HIDDEN), x.shape


def itself_hidden(x, train=True):
    """j < i: a query does not see its own position."""
    return np.where(np.tril(np.ones(x.shape[1:], dtype=bool), -1), x, module.HIDDEN), x.shape


def test_a_mask_after_the_softmax_is_caught():
    attention = head(causal=True)
    fork, scores, mask, softmax = attention.weights.layers
    mask.forward = masked_after
    attention.weights.layers = (fork, scores, softmax, mask)
    assert leaks(attention)
    assert not np.allclose(attention(inputs()), longhand(attention, inputs(), True))


@pytest.mark.parametrize("wrong", [queries_hidden, itself_hidden])
def test_a_mask_that_hides_others_is_caught(wrong):
    attention = head(causal=True)
    attention.weights.layers[2].forward = wrong
    assert not np.allclose(attention(inputs()), longhand(attention, inputs(), True))


@pytest.mark.parametrize("scale", [1.0, 5**-0.5], ids=["no root", "the root of L"])
def test_another_scale_is_caught(scale):
    attention = head()
    attention.weights.layers[1].scale = scale
    assert not np.allclose(attention(inputs()), longhand(attention, inputs(), False))


def test_scores_have_variance_one():
    """Of q and k with variance 1; without the root it would be F."""
    q, k = np.random.default_rng(0).standard_normal((2, 50, 40, 64))
    assert Scores(1 / 64**0.5)((q, k)).var() == pytest.approx(1, abs=0.05)


def test_pictures_and_sequences_are_the_same_to_it():
    attention, x = head(), inputs(6)
    np.testing.assert_array_equal(attention(x.reshape(3, 2, 3, 6)).reshape(3, 6, 4), attention(x))
    order = [3, 0, 5, 1, 4, 2]
    np.testing.assert_allclose(attention(x[:, order]), attention(x)[:, order], rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 3), (2, 3, 3, 1)])
def test_causal_wants_square_scores(shape):
    with pytest.raises(ValueError, match=r"Causal\(\): x has shape .*, wanted scores \(N, L, L\)"):
        Causal().forward(np.zeros(shape))


def test_heads_equal_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    heads = [Attention(6, 3, causal=True, rng=rng) for _ in range(2)]
    net = Sequential(Concat(*heads), Dense(6, 6, rng=rng)).astype(np.float64)
    theirs = torch.nn.MultiheadAttention(6, 2, bias=True, batch_first=True, dtype=torch.float64)
    stacked = np.concatenate([np.concatenate([h.params()[i].value for h in heads], axis=1) for i in range(3)], axis=1)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.tensor(stacked.T.copy()))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(torch.tensor(net.layers[1].W.value.T.copy()))
        theirs.out_proj.bias.zero_()
    x, dy = inputs(), rng.standard_normal((3, 5, 6))
    given = torch.tensor(x, requires_grad=True)
    future = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    y, _ = theirs(given, given, given, attn_mask=future)
    y.backward(torch.tensor(dy))
    ours, tape = net.forward(x)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(net.backward(tape, dy), given.grad.numpy(), rtol=1e-9, atol=1e-12)
    grads = theirs.in_proj_weight.grad.numpy().T[:, :3]
    np.testing.assert_allclose(heads[0].params()[0].grad, grads, rtol=1e-9, atol=1e-12)


# ---- temperature -----------------------------------------------------------------------------------------


def test_temperature_divides():
    x = np.random.default_rng(0).standard_normal((4, 5))
    np.testing.assert_allclose(Softmax(0.5)(x), Softmax()(x / 0.5), rtol=1e-12)
    assert (Softmax(0.5)(x).max(-1) > Softmax()(x).max(-1)).all()
    np.testing.assert_allclose(Softmax(1e-3)(x), np.eye(5)[x.argmax(-1)], atol=1e-12)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(ValueError, match="Softmax: temperature is .*, wanted a number above 0"):
        Softmax(temperature)


# ---- words -----------------------------------------------------------------------------------------------


def test_hard_and_soft_words_share_one_weight():
    rng = np.random.default_rng(0)
    hard, soft = Embedding(5, 3, rng=rng), Dense(5, 3, bias=False, rng=rng)
    soft.W = hard.W
    both = Sequential(hard).astype(np.float64), Sequential(soft).astype(np.float64)
    words, dy = rng.integers(0, 5, (4, 6)), rng.standard_normal((4, 6, 3))
    for net, x in zip(both, (words, np.eye(5)[words]), strict=True):
        y, tape = net.forward(x)
        net.accumulate(tape, dy)
        np.testing.assert_allclose(y, hard.W.value[words])
    expected = sum(np.outer(np.eye(5)[w], d) for w, d in zip(words.ravel(), dy.reshape(-1, 3), strict=True))
    np.testing.assert_allclose(hard.W.grad, 2 * expected)  # what both have added
    assert len(Sequential(hard, soft).params()) == 1


def test_the_cross_entropy_with_weights_is_its_formula():
    rng = np.random.default_rng(0)
    logits, labels, w = rng.standard_normal((3, 4, 5)), rng.integers(0, 5, (3, 4)), rng.standard_normal((3, 4))
    value, d = losses.softmax_cross_entropy(logits, labels, w)
    total, expected = 0.0, np.zeros_like(logits)
    for n, t in np.ndindex(3, 4):
        p = np.exp(logits[n, t]) / np.exp(logits[n, t]).sum()
        total -= w[n, t] * np.log(p[labels[n, t]]) / 12
        expected[n, t] = w[n, t] * (p - np.eye(5)[labels[n, t]]) / 12
    assert float(value) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(d, expected, rtol=1e-11, atol=1e-15)


def test_weights_of_one_change_nothing_and_of_zero_leave_out():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((6, 5)), rng.integers(0, 5, 6)
    plain = losses.softmax_cross_entropy(logits, labels)
    for a, b in zip(plain, losses.softmax_cross_entropy(logits, labels, np.ones(6)), strict=True):
        np.testing.assert_allclose(a, b)
    counted = np.array([1.0, 1, 1, 0, 0, 0]) * 6 / 3
    value, d = losses.softmax_cross_entropy(logits, labels, counted)
    alone, d_alone = losses.softmax_cross_entropy(logits[:3], labels[:3])
    np.testing.assert_allclose(value, alone)
    np.testing.assert_allclose(d, np.concatenate([d_alone, np.zeros((3, 5))]))


def test_rewards_as_weights_give_the_gradient_of_their_mean():
    """The mean over all words, each as often as it is drawn, is the derivative of sum_k p_k R_k; so with a baseline."""
    rng = np.random.default_rng(0)
    logits, rewards = rng.standard_normal((1, 4)), rng.standard_normal(4)
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    exact = p * (rewards - p @ rewards)
    for baseline in (0.0, 3.0):
        drawn = [losses.softmax_cross_entropy(logits, np.array([k]), rewards[[k]] - baseline)[1] for k in range(4)]
        np.testing.assert_allclose(-sum(p[k] * drawn[k][0] for k in range(4)), exact, rtol=1e-12)


@pytest.mark.parametrize("weights", [np.ones(3), np.ones((2, 1)), np.ones(2, dtype="float32"), [1.0, 1.0]])
def test_other_weights_are_refused(weights):
    with pytest.raises((TypeError, ValueError), match="softmax_cross_entropy: weights"):
        losses.softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 1]), weights)


# ---- drawing ---------------------------------------------------------------------------------------------


class Fixed:
    """A generator that draws what it is told."""

    def __init__(self, u):
        self.u = u

    def random(self, shape):
        return np.broadcast_to(np.asarray(self.u), shape)


def test_words_are_drawn_as_often_as_they_are_likely():
    logits = np.log(np.array([[0.1, 0.0, 0.6, 0.3]]) + 1e-300).astype(np.float32)
    drawn = sample_categorical(np.repeat(logits, 40_000, axis=0), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 40_000, [0.1, 0, 0.6, 0.3], atol=0.01)


def test_axes_and_one_number_for_each_word():
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    drawn = sample_categorical(np.zeros((2, 3, 5), dtype=np.float32), rng)
    np.testing.assert_array_equal(drawn, (other.random((2, 3)) * 5).astype(int))
    assert rng.bit_generator.state == other.bit_generator.state and drawn.dtype.kind == "i"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("u", [0.0, 1 - 2**-53, 0.5])
def test_what_cannot_be_is_never_drawn(u, dtype):
    """Not at the ends, where u c_K is rounded to 0 or to c_K."""
    for p in ([0, 0, 1, 0, 0], [0, 0.3, 0, 0.7, 0], [0.5, 0, 0, 0, 0.5], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]):
        with np.errstate(divide="ignore"):
            logits = np.log(np.array([p], dtype=dtype))
        word = int(sample_categorical(logits, Fixed(u))[0])
        assert p[word] > 0, (p, word)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, 0.0, -1e4]], dtype=np.float32)
    assert sample_categorical(logits, np.random.default_rng(0)) == 0


def test_attention_is_made_of_parts():
    """Nothing in it has a derivative of its own but the mask."""
    attention = head(causal=True)
    kinds = {type(layer) for _, layer in attention.named_layers()}
    assert {Scores, Causal, Softmax, Mix, Dense} <= kinds
    assert "pull" not in vars(Attention) and xp.is_array(attention(inputs()))
