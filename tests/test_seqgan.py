"""SeqGAN: sequences and their likelihood, rollouts, and the policy's gradient against enumeration."""

import itertools

import numpy as np
import pytest
from speakers import every, handed_over, holds, log_likelihood, loud, start, table, worth

from scratchgan import xp
from scratchgan.examples.sequences import seqgan
from scratchgan.training import speech


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer words of the oracle than people take."""
    monkeypatch.setattr(speech, "LEARNED", 60)


# ---- what a speaker says -----------------------------------------------------------------------------------


def test_the_probability_of_a_sequence_is_the_product_of_its_steps():
    G, words = loud(V=3), every(3, 4)
    log_p = speech.log_probabilities(G, words)  # (81, 4, 3)
    own = np.take_along_axis(log_p, words[..., None], -1)[..., 0]
    np.testing.assert_allclose(own, log_likelihood(G, words), rtol=1e-12)
    assert np.exp(own.sum(1)).sum() == pytest.approx(1, abs=1e-12)
    assert np.exp(own).min() < 0.15 and np.exp(own).max() > 0.5  # it is no uniform one


def test_words_are_drawn_as_they_are_likely():
    G, all_of_them = loud(), every(2, 3)
    n = 40_000
    words, _ = speech.draw(G, n, 3, np.random.default_rng(0))
    p = np.exp(log_likelihood(G, all_of_them).sum(1))
    share = np.bincount(words @ [4, 2, 1], minlength=8) / n
    assert (abs(share - p) < 5 * np.sqrt(p / n)).all()


def test_states_are_those_after_the_words():
    G = loud(V=3)
    words, states = speech.draw(G, 7, 5, np.random.default_rng(0))
    log_p = speech.log_probabilities(G, words)
    for t, state in enumerate(states):
        np.testing.assert_allclose(speech.log_softmax(G.layers[2](state[:, :3])), log_p[:, t], rtol=1e-12)
    assert len(states) == 5


def test_words_follow_from_their_numbers():
    model, _ = start()
    z = model.latent(9, np.random.default_rng(0))
    words = model.generate(z)
    np.testing.assert_array_equal(words[3:5], model.generate(z[3:5]))  # of the others it does not depend
    drawn, _ = speech.draw(model.G, 9, 4, speech.Given(z))
    np.testing.assert_array_equal(words, drawn)
    assert len(np.unique(words)) > 1


def test_arrays_stay_where_they_are():
    """Words are drawn on the host, and told to the device: nothing else is of NumPy by accident."""
    model, _ = start()
    words, states = speech.draw(model.G, 3, 4, np.random.default_rng(0))
    assert isinstance(words, xp.ndarray) and words.dtype == int and states[0].dtype == np.float32


# ---- what a word was worth ---------------------------------------------------------------------------------


def test_Q_is_the_expected_reward():
    G, words = loud(), every(2, 3)
    _, states = speech.draw(G, 8, 3, speech.Given(np.zeros((8, 3))))
    states = [G.layers[1].run(G.layers[0](speech.before(G, words))[:, : t + 1])[1] for t in range(3)]
    K = 20_000
    Q = speech.action_values(G, words, states, table, K, np.random.default_rng(0))
    np.testing.assert_allclose(Q, worth(G, words, table), atol=5 * 0.5 / K**0.5)
    np.testing.assert_array_equal(Q[:, -1], table(words))  # nothing is drawn for the last


def test_rollouts_keep_the_words_so_far():
    """And nothing of what was said afterwards: a prefix of t words is finished anew, K times."""
    G, K = loud(V=3), 50
    words, states = speech.draw(G, 7, 5, np.random.default_rng(0))
    asked = []
    speech.action_values(G, words, states, lambda x: asked.append(x) or x[:, 0], K, np.random.default_rng(1))
    assert [len(x) for x in asked] == [7 * K] * 4 + [7]
    for t, finished in enumerate(asked[:-1], start=1):
        assert finished.shape[1] == 5
        np.testing.assert_array_equal(finished.reshape(K, 7, 5)[..., :t], np.broadcast_to(words[:, :t], (K, 7, t)))
        assert len(np.unique(finished.reshape(K, 7, 5)[:, 0, t])) > 1  # the next word is not always the same
    np.testing.assert_array_equal(asked[-1], words)


def test_no_prefix_is_read_again(monkeypatch):
    """After t of 5 words, 5 - t are drawn, and all of them but the last are read."""
    G, asked = loud(V=3), []
    words, states = speech.draw(G, 7, 5, np.random.default_rng(0))
    monkeypatch.setattr(speech, "read", lambda *told, read=speech.read: asked.append(len(told[1])) or read(*told))
    speech.action_values(G, words, states, lambda x: x[:, 0], 2, np.random.default_rng(1))
    assert asked == [2 * 7] * (3 + 2 + 1)


def test_a_sequence_has_its_own_reward():
    """A reward of the first word: all words of a sequence are worth that, whatever the others say."""
    G = loud(V=5)
    words, states = speech.draw(G, 7, 4, np.random.default_rng(0))
    Q = speech.action_values(G, words, states, lambda x: x[:, 0].astype(float), 6, np.random.default_rng(1))
    assert len(np.unique(words[:, 0])) > 1
    np.testing.assert_allclose(Q, np.repeat(words[:, :1], 4, axis=1))


# ---- the gradient ------------------------------------------------------------------------------------------


def test_a_policy_step_follows_its_objective(monkeypatch):
    """1/(N L) sum of (Q - its mean) log G(word), Q as it was estimated, to 1e-10."""
    model, _ = start()
    seen = {}

    def spy(G, words, *rest, original=speech.action_values):
        seen["words"], seen["Q"] = words, original(G, words, *rest)
        return seen["Q"]

    monkeypatch.setattr(speech, "action_values", spy)
    G, grads, said = handed_over(model, "G", lambda: model.policy_step(6))
    words, Q = seen["words"], seen["Q"]
    A = np.empty_like(Q)
    for n, t in itertools.product(range(6), range(4)):
        A[n, t] = Q[n, t] - sum(Q[m, t] for m in range(6)) / 6
    assert abs(A).min() > 0 and said["reward"] == pytest.approx(Q[:, -1].sum() / 6)
    holds(grads, G, lambda G: -(A * log_likelihood(G, words)).sum() / (6 * 4))


def test_the_expected_gradient_is_that_of_the_expected_reward():
    """E over all sequences, by enumeration, of the estimator: dJ, J the sum of p(words) reward(words); over L."""
    G, words = loud(), every(2, 3)
    p = np.exp(log_likelihood(G, words).sum(1))
    Q = worth(G, words, table)
    for baseline in (0.0, np.array([0.3, -1.0, 2.0])):  # a number for each place changes nothing
        A = 8 * p[:, None] * (Q - baseline)  # each sequence as often as it is said
        logits, tape = G.forward(speech.before(G, words))
        G.zero_grad()
        G.accumulate(tape, seqgan.losses.softmax_cross_entropy(logits, words, A)[1])
        grads = [3 * param.grad for param in G.params()]
        holds(grads, G, lambda G: -(np.exp(log_likelihood(G, words).sum(1)) * table(words)).sum())


def test_a_policy_step_climbs_the_expected_reward(monkeypatch):
    """All of the step, draws and rollouts too, on a batch so large that little is left to chance."""
    model, _ = start(vocabulary=2, length=3, width=3, rollouts=1)
    model.reward = table
    model.G = speech.drawn_speaker(2, 3, np.random.default_rng(0))
    G, grads, _ = handed_over(model, "G", lambda: model.policy_step(60_000))
    words, Q = every(2, 3), worth(G, every(2, 3), table)
    p = np.exp(log_likelihood(G, words).sum(1))
    logits, tape = G.forward(speech.before(G, words))
    G.zero_grad()
    G.accumulate(tape, seqgan.losses.softmax_cross_entropy(logits, words, 8 * p[:, None] * Q)[1])
    found, exact = (np.concatenate([g.ravel() for g in gs]) for gs in (grads, [param.grad for param in G.params()]))
    assert np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)


def test_a_reward_is_taken_up():
    """The sign: words that are rewarded are said more often."""
    model, _ = start(vocabulary=2, length=5, lr=1e-2, batch_size=64)
    model.reward = lambda words: (words == 1).mean(1).astype(np.float32)
    share = [float(model.policy_step(64)["reward"]) for _ in range(60)]
    assert np.mean(share[-5:]) > np.mean(share[:5]) + 0.3


@pytest.mark.parametrize("n", [6, 64, 37])
def test_a_constant_reward_teaches_nothing(n):
    model, _ = start(constant_reward=True)
    _, grads, said = handed_over(model, "G", lambda: model.policy_step(n))
    assert said["reward"] == 1 and not any(grad.any() for grad in grads)  # exactly 0
    model, _ = start(constant_reward=True, baseline=False)
    _, grads, _ = handed_over(model, "G", lambda: model.policy_step(n))
    assert any(grad.any() for grad in grads)  # noise alone


def test_likelihood_follows_its_objective():
    model, batches = start()
    real = batches.next()
    G, grads, loss = handed_over(model, "G", lambda: model.likelihood_step(real))
    assert float(loss) == pytest.approx(-log_likelihood(G, real).mean(), rel=1e-10)
    holds(grads, G, lambda G: -log_likelihood(G, real).mean())


@pytest.mark.parametrize("step", ["likelihood_step", "policy_step", "gumbel_step"])
def test_a_gradient_is_clipped_once_it_is_there(step, monkeypatch):
    model, batches = start()
    monkeypatch.setattr(seqgan, "CLIP", 1e-4)
    told = batches.next() if step == "likelihood_step" else 6
    _, grads, _ = handed_over(model, "G", lambda: getattr(model, step)(told))
    assert np.sqrt(sum((grad**2).sum() for grad in grads)) == pytest.approx(1e-4)
