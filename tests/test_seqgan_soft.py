"""SeqGAN: D's step, soft words, and the measures of how far a speaker is from the oracle."""

import copy

import numpy as np
import pytest
from objectives import log_sigmoid
from speakers import every, handed_over, holds, log_likelihood, loud, read_softly, softly, start

from scratchgan.training import speech


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer words of the oracle than people take."""
    monkeypatch.setattr(speech, "LEARNED", 60)


# ---- D, and soft words -------------------------------------------------------------------------------------


def of_D(D, real, fake):
    return -log_sigmoid(D.forward(real)[0]).mean() - log_sigmoid(-fake).mean()


@pytest.mark.parametrize("generator", ["policy", "gumbel"])
def test_a_step_of_D_follows_its_objective(generator, monkeypatch):
    model, batches = start(generator=generator)
    real, seen = batches.next(), []
    name = "draw" if generator == "policy" else "draw_softly"
    original = getattr(speech, name)
    monkeypatch.setattr(speech, name, lambda *told: seen.append(original(*told)) or seen[-1])
    D, grads, loss = handed_over(model, "D", lambda: model.discriminator_step(real))
    fake = seen[0][0] if generator == "policy" else seen[0][1]
    reads = (lambda D: D.forward(fake)[0]) if generator == "policy" else lambda D: read_softly(D, fake)
    assert float(loss) == pytest.approx(of_D(D, real, reads(D)), rel=1e-10)
    holds(grads, D, lambda D: of_D(D, real, reads(D)))
    assert not any(param.grad.any() for param in model.G.params())


def test_a_gumbel_step_follows_its_objective(monkeypatch):
    model, _ = start(generator="gumbel")
    model.G = speech.drawn_speaker(3, 4, np.random.default_rng(0))
    noise = speech.gumbel_noise((6, 4, 3), np.random.default_rng(0)).astype(np.float64)
    monkeypatch.setattr(speech, "gumbel_noise", lambda shape, rng: noise)
    G, grads, said = handed_over(model, "G", lambda: model.gumbel_step(6))
    D = copy.deepcopy(model.D).astype(np.complex128)
    formula = lambda G: -log_sigmoid(read_softly(D, softly(G, noise, 2.0))).mean()
    assert float(said["G"]) == pytest.approx(formula(G).real, rel=1e-10)
    holds(grads, G, formula)
    assert not any(param.grad.any() for param in model.D.params())  # through D, not into D


def test_soft_words_of_a_small_temperature_are_words():
    """And they are drawn as those of `draw`: argmax(logits + g) is a draw of the softmax."""
    G, n = loud(V=2).astype(np.float32), 20_000
    _, y, _ = speech.draw_softly(G, n, 3, 1e-3, np.random.default_rng(0))
    assert y.shape == (n, 3, 3) and not y[..., 2].any() and np.median(y.max(-1)) > 1 - 1e-6
    p = np.exp(log_likelihood(G.astype(np.float64), every(2, 3)).sum(1))
    share = np.bincount(y.argmax(-1) @ [4, 2, 1], minlength=8) / n
    assert (abs(share - p) < 5 * np.sqrt(p / n) + 1e-3).all()


def test_words_and_soft_words_mean_the_same_to_D():
    model, batches = start()
    real = batches.next()
    np.testing.assert_allclose(speech.soft_reader(model.D)(np.eye(4, dtype="float32")[real]), model.D(real), rtol=1e-5)


class Ends:
    """A generator of the least and of the largest numbers that there are."""

    def random(self, shape):
        return np.resize([0.0, 1 - 2.0**-53], shape)

    def integers(self, high, size):
        return np.resize([0, high - 1], size)


def test_gumbel_noise_is_finite():
    g = speech.gumbel_noise((3, 4), Ends())
    assert g.dtype == np.float32 and np.isfinite(g).all() and g.max() > 36 and g.min() < -3.5
    g = speech.gumbel_noise(100_000, np.random.default_rng(0))
    assert g.mean() == pytest.approx(0.5772, abs=0.02) and g.var() == pytest.approx(np.pi**2 / 6, rel=0.03)


def test_a_temperature_of_0_is_refused():
    for temperature in (0, -1, np.nan):
        with pytest.raises(ValueError, match="above 0"):
            speech.soft_speaker(loud(), temperature)


def test_soft_words_become_sharper():
    model, _ = start(generator="gumbel", mle=0, lessons=0, steps=9)
    found = []
    for model.opt_G.steps in (0, 4, 8, 20):
        found.append(model.softly()[1])
    assert found == [2, 1, 0.5, 0.5]


# ---- how far it is -----------------------------------------------------------------------------------------


def test_measures_are_exact():
    """Entropy, cross-entropy and both KLs a word, against all sequences that there are."""
    P, Q, words = loud(V=3), loud(V=3, seed=1), every(3, 3)
    log_p, log_q = log_likelihood(P, words).sum(1), log_likelihood(Q, words).sum(1)
    p = np.exp(log_p)
    own, cross = speech.entropies(P, Q, words)
    assert (p * own).sum() == pytest.approx(-(p * log_p).sum() / 3, rel=1e-10)
    assert (p * cross).sum() == pytest.approx(-(p * log_q).sum() / 3, rel=1e-10)
    assert (cross - own).min() > 0  # of each sequence


def test_measures_of_a_model():
    model, _ = start(vocabulary=5, length=6)
    found = model.measured(400)
    words, _ = speech.draw(model.G, 20_000, 6, np.random.default_rng(9))
    G, oracle = (copy.deepcopy(net).astype(np.float64) for net in (model.G, model.oracle))
    assert found["entropy of G"] == pytest.approx(-log_likelihood(G, words).mean(), abs=0.02)
    assert found["NLL_oracle"] == pytest.approx(-log_likelihood(oracle, words).mean(), abs=0.1)
    words, _ = speech.draw(model.oracle, 20_000, 6, np.random.default_rng(9))
    assert found["NLL_test"] == pytest.approx(-log_likelihood(G, words).mean(), abs=0.02)
    assert found["KL(G, oracle)"] == pytest.approx(found["NLL_oracle"] - found["entropy of G"])
    assert found["KL sum"] == pytest.approx(found["KL(G, oracle)"] + found["KL(oracle, G)"])
    assert found == model.measured(400) and found["different words"] == 5
    others = model.baselines(400)
    assert list(others) == ["floor", "MLE", "MLE, 0.9", "MLE, 0.8", "MLE, 0.7"]
    assert others["floor"]["KL sum"] == 0 and others["MLE"] == found  # nothing has been learned yet


def test_sharper_is_less_surprising_for_the_oracle_and_says_less():
    """Why NLL_oracle alone can be had for nothing."""
    model, batches = start(vocabulary=20, mle=200, width=8, batch_size=20)
    for _ in range(200):
        model.step(batches)
    found = model.baselines(500)
    fall = [found[who]["NLL_oracle"] for who in ("MLE", "MLE, 0.9", "MLE, 0.8", "MLE, 0.7")]
    entropy = [found[who]["entropy of G"] for who in ("MLE", "MLE, 0.9", "MLE, 0.8", "MLE, 0.7")]
    assert fall == sorted(fall, reverse=True) and entropy == sorted(entropy, reverse=True)


def test_a_sharpened_network_says_the_softmax_of_logits_over_the_temperature():
    G, words = loud(V=3), every(3, 2)
    wanted = speech.log_softmax(G(speech.before(G, words)) / 0.7)
    np.testing.assert_allclose(speech.log_probabilities(speech.sharpened(G, 0.7), words), wanted, rtol=1e-10)
