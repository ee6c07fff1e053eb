"""Bugs of public code of SeqGAN and of soft words, planted: for each, a test must fail that passes without it."""

import inspect
import textwrap

import pytest
import test_seqgan as words
import test_seqgan_soft as soft

from scratchgan.examples.sequences import seqgan
from scratchgan.training import speech


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer words of the oracle than people take."""
    monkeypatch.setattr(speech, "LEARNED", 60)


def plant(monkeypatch, where, right, wrong):
    """Put other code into a function of speech.py, or into a method of SeqGAN."""
    owner = speech if hasattr(speech, where) else seqgan.SeqGAN
    module = speech if owner is speech else seqgan
    source = textwrap.dedent(inspect.getsource(getattr(owner, where)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(module), made)
    monkeypatch.setattr(owner, where, made[where])


ACCUMULATE, CLIP = "    self.G.accumulate(tape, d_logits)  # into G\n", "    clip_norm(self.opt_G, CLIP)\n"
BUGS = {
    "rewards (K, N) read as (N, K)": (
        "action_values", ".reshape(rollouts, n).mean(0)", ".reshape(n, rollouts).mean(1)",
        lambda _: words.test_a_sequence_has_its_own_reward(),
    ),
    "a reward one place off": (
        "action_values", "range(1, length)", "range(length - 1)", lambda _: words.test_rollouts_keep_the_words_so_far()
    ),
    "the last reward is that of a prefix": (
        "action_values", "reward(words)]", "Q[-1]]", lambda _: words.test_Q_is_the_expected_reward()
    ),
    "a word of the future": (
        "action_values", "words[:, :t], states[t]", "words[:, : t + 1], states[t]",
        lambda _: words.test_rollouts_keep_the_words_so_far(),
    ),
    "a state of the past": (
        "action_values", "states[t])", "states[t - 1])", lambda _: words.test_Q_is_the_expected_reward()
    ),
    "rewards in another order than words": (
        "policy_step", "(logits, words, A)", "(logits, words, A.T.reshape(A.shape))",
        words.test_a_policy_step_follows_its_objective,
    ),
    "one reward for all words": (
        "policy_step", "(logits, words, A)", "(logits, words, A.mean(1, keepdims=True) + 0 * A)",
        words.test_a_policy_step_follows_its_objective,
    ),
    "one reward for all words, in all of the step": (
        "policy_step", "(logits, words, A)", "(logits, words, A.mean(1, keepdims=True) + 0 * A)",
        words.test_a_policy_step_climbs_the_expected_reward,
    ),
    "the sign": (
        "policy_step", "(logits, words, A)", "(logits, words, -A)", lambda _: words.test_a_reward_is_taken_up()
    ),
    "constant rewards count": (
        "policy_step", "Q - Q.mean(0)", "Q", lambda _: words.test_a_constant_reward_teaches_nothing(6)
    ),
    "clipped before there is a gradient": (
        "policy_step", ACCUMULATE + CLIP, CLIP + ACCUMULATE,
        lambda patch: words.test_a_gradient_is_clipped_once_it_is_there("policy_step", patch),
    ),
    "noise at u = 0": (
        "gumbel_noise", "(rng.integers(2**52, size=shape) + 0.5) / 2**52", "rng.random(shape)",
        lambda _: soft.test_gumbel_noise_is_finite(),
    ),
    "a temperature of 0": (
        "soft_speaker", "Softmax(temperature)", "Softmax(temperature or 1e-9)",
        lambda _: soft.test_a_temperature_of_0_is_refused(),
    ),
    "noise is not divided by the temperature": (
        "soft_speaker", "Sequential(logits, Softmax(temperature)",
        "Sequential(Residual(Sequential(Columns(V, V + H), last, Sharpened(temperature)), g), Softmax()",
        soft.test_a_gumbel_step_follows_its_objective,
    ),
    "D learns in the step of G": (
        "gumbel_step", "dy, _ = D.pull(D_tape, d_logits)", "dy = D.backward(D_tape, d_logits)",
        soft.test_a_gumbel_step_follows_its_objective,
    ),
    "soft words begin without the start": (
        "first_state", "state[:, embedding.classes - 1] = 1", "",
        soft.test_a_gumbel_step_follows_its_objective,
    ),
}  # fmt: skip


class Sharpened(speech.Softmax):
    """Logits over a temperature, and no softmax."""

    def forward(self, x, train=True):
        return x / self.temperature, None

    def pull(self, tape, dy):
        return dy / self.temperature, None


@pytest.mark.filterwarnings("ignore:divide by zero")  # one of the bugs
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    where, right, wrong, test = BUGS[bug]
    monkeypatch.setattr(speech, "Sharpened", Sharpened, raising=False)
    with monkeypatch.context() as patch:
        test(patch)
    plant(monkeypatch, where, right, wrong)
    with pytest.raises((AssertionError, pytest.fail.Exception)):  # the other: nothing was raised
        test(monkeypatch)
