"""Sequence to sequence: objectives longhand, answers word by word, what G can see, and planted bugs."""

import copy
import inspect
import textwrap

import numpy as np
import pytest

from scratchgan import xp
from scratchgan.data import Batches, phrases
from scratchgan.data.phrases import EOS, PAD, SEP
from scratchgan.examples.sequences import seq2seq
from scratchgan.layers import activations, attention
from scratchgan.support.errors import DataError


def start(**more):
    """Return (model, batches) at the first step, with small batches and networks."""
    settings = seq2seq.Settings(**{"batch_size": 6, "width": 12, "pretraining": 3, "clip": 1e9, "pairs": 200, **more})
    rows = seq2seq.Seq2Seq.load_data(settings)
    batches = Batches(rows, batch_size=settings.batch_size, rng=np.random.default_rng(1))
    return seq2seq.Seq2Seq(settings, rows.shape[1:], np.random.default_rng(0)), batches


def alert(dtype=np.float64, **more):
    """Return (model, rows, drawn): networks of large weights in float64, so that nothing is near to its start.

    The drawn answers are to the sources of rows, or, where it is so set, to others.
    """
    model, batches = start(**more)
    rng = np.random.default_rng(5)
    for net, size in ((model.G, 0.3), (model.D, 0.1)):
        for param in net.params():
            param.value += size * rng.standard_normal(param.value.shape).astype(param.value.dtype)
    model.G, model.D = (copy.deepcopy(net).astype(dtype) for net in (model.G, model.D))
    for optimizer, net in ((model.opt_G, model.G), (model.opt_D, model.D)):
        optimizer.step = lambda: None
        optimizer.flat = Grads(net)
    rows = batches.next()
    asked = model.unpaired(len(rows)) if model.settings.unpaired else rows
    drawn = model.answer(asked, lambda logits: phrases_at_random(logits, rng))
    return model, rows, drawn


class Grads:
    """What clip_norm asks of an optimizer, of a network that has none."""

    def __init__(self, net):
        self.grad = np.zeros(1)
        self.params = net.params()


def phrases_at_random(logits, rng):
    """Return any words, and an EOS now and then: answers of many lengths."""
    words = rng.integers(EOS + 1, logits.shape[-1], len(logits))
    return np.where(rng.random(len(logits)) < 0.2, EOS, words)


# ---- the objectives, longhand ----------------------------------------------------------------------------


def log_likelihoods(G, rows):
    """Return, for each row, log p of each word of its answer, EOS included, given all that stands before."""
    found = []
    for row in rows:
        begin = list(row).index(SEP) + 1
        end = list(row).index(EOS) + 1 if EOS in row else len(row)
        logs = []
        for t in range(begin, end):
            logits = G.forward(row[None, :t])[0][0, -1]  # of a network that has read these words, and no more
            logs.append(np.log(np.exp(logits[row[t]]) / np.exp(logits).sum()))
        found.append(logs)
    return found


def of_likelihood(G, rows):
    logs = log_likelihoods(G, rows)
    return -sum(map(sum, logs)) / sum(map(len, logs))


def likeliest(G, rows):
    """Return the greedy answers, each word from a whole forward of what stands before."""
    found = np.full_like(rows, PAD)
    for answer, row in zip(found, rows, strict=True):
        t = list(row).index(SEP) + 1
        answer[:t] = row[:t]
        while t < len(row):
            answer[t] = G.forward(answer[None, :t])[0][0, -1].argmax()
            if answer[t] == EOS:
                break
            t += 1
    return found


def probability(D, rows):
    return 1 / (1 + np.exp(-D.forward(rows)[0][:, 0]))


def of_generator(G, D, rows, drawn, policy):
    """What G descends; the D and the likeliest answers of now are constants."""
    here = copy.deepcopy(G)
    for param in here.params():
        param.value = param.value.real.copy()
    advantage = probability(D, drawn) - probability(D, likeliest(here, drawn))
    logs = log_likelihoods(G, drawn)
    rewarded = sum(a * sum(row) for a, row in zip(advantage, logs, strict=True)) / sum(map(len, logs))
    return of_likelihood(G, rows) - policy * rewarded


def of_discriminator(D, rows, drawn):
    return -np.log(probability(D, rows)).mean() - np.log(1 - probability(D, drawn)).mean()


def descends(net, formula):
    """The gradient in a network's Params, along random directions, is that of formula(net), by a complex step."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        moved = copy.deepcopy(net).astype(np.complex128)
        total, size = 0.0, 0.0
        for param, other in zip(net.params(), moved.params(), strict=True):
            v = rng.standard_normal(param.value.shape)
            other.value[...] += 1e-20j * v
            total, size = total + (param.grad * v).sum(), size + np.abs(param.grad * v).sum()
        assert abs(total - formula(moved).imag / 1e-20) < 1e-10 * size
    assert size > 0


@pytest.mark.parametrize("task", phrases.TASKS)
def test_a_step_of_likelihood_follows_its_objective(task):
    model, rows, _ = alert(task=task)
    said = model.likelihood_step(rows)
    assert float(said["likelihood"]) == pytest.approx(of_likelihood(model.G, rows), rel=1e-10)
    descends(model.G, lambda G: of_likelihood(G, rows))


@pytest.mark.parametrize("unpaired", [False, True])
@pytest.mark.parametrize("policy", [0.5, 3.0, 0.0])
def test_a_step_of_G_follows_its_objective(policy, unpaired):
    model, rows, drawn = alert(policy=policy, unpaired=unpaired)
    said = model.generator_step(rows, drawn)
    assert float(said["likelihood"]) == pytest.approx(of_likelihood(model.G, rows), rel=1e-10)
    advantage = probability(model.D, drawn) - probability(model.D, likeliest(model.G, drawn))
    assert float(said["advantage"]) == pytest.approx(advantage.mean(), rel=1e-10) and np.ptp(advantage) > 0.01
    descends(model.G, lambda G: of_generator(G, model.D, rows, drawn, policy))
    assert not any(param.grad.any() for param in model.D.params())  # through D: not even that


def test_a_reward_that_is_the_same_for_all_teaches_nothing():
    """With a baseline, G's gradient is then exactly that of the likelihood."""
    model, rows, drawn = alert()
    model.D.layers[-1].W.value[...] = 0
    model.D.layers[-1].b.value[...] = 1.5
    other = copy.deepcopy(model)
    model.generator_step(rows, drawn)
    other.likelihood_step(rows)
    for one, two in zip(model.G.params(), other.G.params(), strict=True):
        np.testing.assert_array_equal(one.grad, two.grad)


def test_a_step_of_D_follows_its_objective():
    model, rows, drawn = alert()
    loss = model.discriminator_step(rows, drawn)
    assert float(loss) == pytest.approx(of_discriminator(model.D, rows, drawn), rel=1e-10)
    descends(model.D, lambda D: of_discriminator(D, rows, drawn))
    assert not any(param.grad.any() for param in model.G.params())


def test_the_norm_is_clipped_between_backward_and_step():
    for clip, largest in ((1e-3, 1e-3), (1e9, np.inf)):
        model, batches = start(clip=clip, pretraining=0)
        norms = []
        model.opt_G.step = lambda model=model, norms=norms: norms.append(np.linalg.norm(model.opt_G.flat.grad))
        model.likelihood_step(batches.next())
        model.step(batches)
        assert all(0 < norm <= largest * 1.001 for norm in norms) and len(norms) == 2
        assert clip == 1e9 or norms[0] == pytest.approx(clip, rel=1e-4)


# ---- what is seen ----------------------------------------------------------------------------------------


def test_no_word_is_seen_before_its_place():
    """To change word t of the target changes no logit before t, and some from t on."""
    model, rows, _ = alert()
    before = model.G(rows)
    for t in range(1, rows.shape[1]):
        other = rows.copy()
        other[:, t] = (rows[:, t] + 7) % (len(phrases.SPECIAL) + len(model.task.words))
        after = model.G(other)
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert (after[:, t] != before[:, t]).any(axis=-1).all()


def test_padding_changes_no_answer():
    """What stands at the right of a row, and which rows stand beside it, is not seen: so no mask is needed."""
    model, rows, drawn = alert()
    wide = np.pad(drawn, ((0, 0), (0, 9)))
    np.testing.assert_allclose(model.G(wide)[:, : rows.shape[1]], model.G(drawn), rtol=1e-12, atol=1e-13)
    often_eos = lambda logits: EOS + (1e3 * logits[:, 5]).astype(int) % 3
    greedy = lambda rows: model.answer(rows, often_eos)
    ends = (greedy(rows) == EOS).argmax(axis=1)
    assert len(set(ends)) > 2
    np.testing.assert_array_equal(greedy(np.pad(rows, ((0, 0), (0, 9))))[:, : rows.shape[1]], greedy(rows))
    for i in range(len(rows)):
        np.testing.assert_array_equal(greedy(rows[i : i + 1]), greedy(rows)[i : i + 1])


def test_a_word_at_a_time_is_the_whole_row_at_once():
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-4)):
        model, rows, _ = alert(dtype)
        seen = []
        found = model.answer(rows, lambda logits, seen=seen: seen.append(logits) or logits.argmax(-1))
        whole = model.G(found[:, :-1])
        np.testing.assert_allclose(np.stack(seen, axis=1), whole, atol=tolerance * np.abs(whole).max())
        assert seen[0].dtype == dtype
        np.testing.assert_array_equal(found, likeliest(model.G, rows))


def test_an_answer_keeps_its_source_and_sees_no_truth():
    model, rows, drawn = alert(task="summary")
    for row, found in zip(rows, drawn, strict=True):
        cut = list(row).index(SEP) + 1
        np.testing.assert_array_equal(found[:cut], row[:cut])
        end = list(found).index(EOS) + 1 if EOS in found else len(found)
        assert (found[end:] == PAD).all() and (found[cut:end] != PAD).all()
    held = rows.copy()
    blank = np.where(np.cumsum(rows == SEP, axis=1) - (rows == SEP) > 0, PAD, rows)
    greedy = lambda rows: model.answer(rows, lambda logits: logits.argmax(-1))
    np.testing.assert_array_equal(greedy(rows), greedy(blank))
    np.testing.assert_array_equal(rows, held)  # and the batch is as it was


def test_a_map_sums_to_1_and_sees_no_future():
    model, rows, _ = alert()
    p = model.map(rows)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)
    assert (p >= 0).all() and not np.triu(p, 1).any()


def test_what_D_is_shown():
    """Each drawn row has its own source; it is drawn, not the likeliest; both steps see the same one."""
    model, batches = start(pretraining=0, batch_size=16)
    rows, rng = copy.deepcopy(batches).next(), copy.deepcopy(model.rng)
    wanted = model.answer(rows, lambda logits: seq2seq.sample_categorical(logits, rng))
    told = {}
    for name in ("discriminator_step", "generator_step"):
        step = getattr(model, name)
        setattr(model, name, lambda *given, name=name, step=step: told.update({name: given}) or step(*given))
    losses = model.step(batches)
    assert losses.keys() == {"D", "likelihood", "advantage"}
    for given in told.values():
        np.testing.assert_array_equal(given[0], rows)
        np.testing.assert_array_equal(given[1], wanted)
    assert (wanted != likeliest(model.G, rows)).any()


def test_sources_without_targets():
    """They are in no training pair and in no test pair, and G's answers to them are what D and G's step are shown."""
    model, batches = start(pretraining=0, batch_size=64, unpaired=True)
    known = {source for part in model.pairs() for source, _ in part}
    told = {}
    model.discriminator_step = lambda rows, drawn: told.update(rows=rows, drawn=drawn)
    rows = copy.deepcopy(batches).next()
    model.step(batches)
    np.testing.assert_array_equal(told["rows"], rows)
    asked = {source for source, _ in phrases.pairs_of(model.task, told["drawn"])}
    assert len(asked) > 50 and not asked & known
    with pytest.raises(DataError, match="All 20,000 pairs are training pairs"):
        start(pairs=20_000)[0].unpaired(3)


# ---- bugs of public code, planted: for each, a test above must fail ---------------------------------------


def plant(monkeypatch, name, right, wrong):
    """Put other code into a method of Seq2Seq, or into a function of its module."""
    owner = seq2seq.Seq2Seq if hasattr(seq2seq.Seq2Seq, name) else seq2seq
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(right) == 1, source.count(right)
    made = {}
    exec(source.replace(right, wrong), vars(seq2seq), made)
    monkeypatch.setattr(owner, name, made[name])


def objective_of_likelihood():
    test_a_step_of_likelihood_follows_its_objective("translation")


def objective_of_G(unpaired=False):
    test_a_step_of_G_follows_its_objective(3.0, unpaired)


BUGS = {
    "the decoder sees its own target": ("likelihood", "rows[:, :-1]", "rows[:, 1:]", objective_of_likelihood),
    "EOS is masked": ("answers", "[:, :-1] > 0 for", "[:, 1:] > 0 for", objective_of_likelihood),
    "the source is to be said, too": ("answers", "begun & ~ended", "~ended", objective_of_likelihood),
    "padding is to be said, too": ("answers", "begun & ~ended", "begun", objective_of_likelihood),
    "the mean over all places": ("likelihood", "weights * mean * asked", "weights * asked", objective_of_likelihood),
    "the sign of the advantage": (
        "generator_step", "sigmoid(self.D(drawn)) - sigmoid(self.D(likeliest))",
        "sigmoid(self.D(likeliest)) - sigmoid(self.D(drawn))", objective_of_G,
    ),
    "the baseline of another row": (
        "generator_step", "sigmoid(self.D(likeliest))", "xp.roll(sigmoid(self.D(likeliest)), 1, axis=0)",
        objective_of_G,
    ),
    "the baseline of the training pairs' sources": (
        "generator_step", "self.answer(drawn,", "self.answer(rows,", lambda: objective_of_G(True)
    ),
    "no baseline": (
        "generator_step", " - sigmoid(self.D(likeliest))", "", test_a_reward_that_is_the_same_for_all_teaches_nothing
    ),
    "logits for probabilities": (
        "generator_step", "sigmoid(self.D(drawn)) - sigmoid(self.D(likeliest))",
        "self.D(drawn) - self.D(likeliest)", objective_of_G,
    ),
    "the truth is rewarded": (
        "generator_step", "self.likelihood(drawn,", "self.likelihood(rows,", objective_of_G
    ),
    "D is given the source of another row": (
        "discriminator_step", "self.D.forward(drawn)",
        "self.D.forward(xp.where(xp.cumsum(drawn == SEP, axis=1) == 0, xp.roll(drawn, 1, axis=0), drawn))",
        test_a_step_of_D_follows_its_objective,
    ),
    "real and generated rows exchanged": (
        "discriminator_step", "minimax_discriminator(real_logits, fake_logits)",
        "minimax_discriminator(fake_logits, real_logits)", test_a_step_of_D_follows_its_objective,
    ),
    "D learns in G's step": (
        "generator_step", "sigmoid(self.D(drawn)) -",
        "self.D.accumulate(self.D.forward(drawn)[1], xp.ones((len(drawn), 1))) or sigmoid(self.D(drawn)) -",
        objective_of_G,
    ),
    "clipped after the step": (
        "likelihood_step", "clip_norm(self.opt_G, self.settings.clip)\n    self.opt_G.step()",
        "self.opt_G.step()\n    clip_norm(self.opt_G, self.settings.clip)",
        test_the_norm_is_clipped_between_backward_and_step,
    ),
    "an answer begins from the state at the end of the padding": (
        "answer", "h = xp.zeros((N, H), dtype=head.W.value.dtype)",
        "h = recurrent.run(embed(rows))[1]", test_a_word_at_a_time_is_the_whole_row_at_once,
    ),
    "an answer sees its truth": (
        "answer", "xp.cumsum(rows == SEP, axis=1) - (rows == SEP) == 0", "rows != PAD",
        test_an_answer_keeps_its_source_and_sees_no_truth,
    ),
    "an answer goes on after EOS": (
        "answer", "ended = ended | (rows[:, t + 1] == EOS)", "pass",
        test_an_answer_keeps_its_source_and_sees_no_truth,
    ),
    "EOS of a row ends all rows": (
        "answer", "ended = ended | (rows[:, t + 1] == EOS)", "ended = ended | (rows[:, t + 1] == EOS).any()",
        test_padding_changes_no_answer,
    ),
    "a query sees the keys of this place alone": (
        "answer", "keys[:, : t + 1]", "keys[:, t : t + 1] + 0 * keys[:, : t + 1]",
        test_a_word_at_a_time_is_the_whole_row_at_once,
    ),
    "the likeliest is taken for drawn": (
        "step", "sample_categorical(logits, self.rng)", "logits.argmax(-1)", test_what_D_is_shown
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    plant(monkeypatch, name, right, wrong)
    with pytest.raises(AssertionError):
        test()


def no_mask(self, x, train=True):
    return x, x.shape


def masked_after(self, x, train=True):
    y = xp.exp(x - x.max(-1, keepdims=True))
    y = y / y.sum(-1, keepdims=True) * xp.tril(xp.ones(x.shape[-2:], dtype=x.dtype))
    return y, y


MASKS = {"no mask": {}, "a mask after the softmax": {"softmax": masked_after}}


@pytest.mark.parametrize("bug", MASKS)
def test_a_mask_in_the_wrong_place_is_caught(bug, monkeypatch):
    """Nothing of the future is seen behind the softmax either; but then the weights do not sum to 1."""
    monkeypatch.setattr(attention.Causal, "forward", no_mask)
    if MASKS[bug]:
        monkeypatch.setattr(activations.Softmax, "forward", masked_after)
    with pytest.raises(AssertionError):
        test_a_map_sums_to_1_and_sees_no_future()
    with pytest.raises(AssertionError):
        (objective_of_likelihood if MASKS[bug] else test_no_word_is_seen_before_its_place)()
