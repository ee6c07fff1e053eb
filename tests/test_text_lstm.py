"""The character LSTM: what it descends, a chunk at a time; what it says, a character at a time."""

import copy
from pathlib import Path

import numpy as np
import pytest
from test_text_gan import SENTENCES, SMALL, call, plant, start

from scratchgan.data import text
from scratchgan.examples.sequences import text_lstm
from scratchgan.metrics import ngrams
from scratchgan.optim import SGD


@pytest.fixture(autouse=True)
def anew():
    """The same name is another file in another folder."""
    text.load.cache_clear()
    ngrams.reference.cache_clear()


@pytest.fixture
def own(tmp_path):
    """A text of one's own, of 4,680 characters."""
    path = tmp_path / "own.txt"
    path.write_text(SENTENCES * 60)
    return str(path)


# ---- its objective -------------------------------------------------------------------------------


def longhand(cell_W, cell_b, W, b, x, state):
    """-E log p(x_t+1 | ...) of a chunk (N, L + 1, V), gate by gate, from a state that is told."""
    H, sigmoid, total = len(W), lambda a: 1 / (1 + np.exp(-a)), 0.0
    h, c = state[:, :H], state[:, H:]
    for t in range(x.shape[1] - 1):
        i, f, g, o = np.split(np.concatenate([x[:, t], h], axis=1) @ cell_W + cell_b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        p = np.exp(h @ W + b)
        total = total - np.log((p / p.sum(1, keepdims=True) * x[:, t + 1]).sum(1)).sum()
    return total / (len(x) * (x.shape[1] - 1)), np.concatenate([h, c], axis=1)


def told(model):
    """Return the arrays of the LSTM's weights, in float64."""
    cell, (_, dense) = model.net.layers[0].cell, model.net.layers[1].layers
    return [param.value for param in (cell.dense.W, cell.dense.b, dense.W, dense.b)]


def in_float64(**more):
    """Return an LSTM in float64 in the middle of its streams, and what its next step is told."""
    model, batches = start(text_lstm.TextLSTM, chunk=7, clip=1e6, dropout=0.0, **more)
    for _ in range(3):
        model.step(batches)
    model.net = copy.deepcopy(model.net).astype(np.float64)
    model.optimizer = SGD(model.net.params(), 1.0)
    model.carried = model.carried.astype(np.float64)
    windows = batches.arrays[0]
    return model, windows[windows.streams(8)[3]].astype(np.float64)


def likelihood_follows():
    model, x = in_float64()
    carried, weights = model.carried.copy(), [w.copy() for w in told(model)]
    assert np.abs(carried).max() > 0.01  # a state that says something
    grads = []
    model.optimizer.step = lambda: grads.extend(param.grad.copy() for param in model.net.params())
    loss = model.likelihood_step(x)
    value, last = longhand(*weights, x, carried)
    assert float(loss) == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(model.carried, last, rtol=1e-10)
    order = [next(i for i, own in enumerate(model.net.params()) if own.value is w) for w in told(model)]
    rng = np.random.default_rng(0)
    for _ in range(3):
        moves = [rng.standard_normal(w.shape) for w in weights]
        moved = [w + 1e-20j * v for w, v in zip(weights, moves, strict=True)]
        wanted = longhand(*moved, x, carried)[0].imag / 1e-20
        terms = [(grads[i] * v).sum() for i, v in zip(order, moves, strict=True)]
        assert abs(sum(terms) - wanted) < 1e-10 * sum(map(abs, terms))


def test_a_step_of_the_LSTM_follows_the_likelihood_of_its_chunk():
    """The state that comes in is a number: the gradient ends at the chunk's first character."""
    likelihood_follows()


def test_a_stream_is_read_in_order_and_its_state_goes_on():
    """What the LSTM says of a chunk in the middle is what it says of all of the stream up to there."""
    model, batches = start(text_lstm.TextLSTM, chunk=7, lr=1e-12)  # it stands still
    for _ in range(4):
        model.step(batches)
    windows = batches.arrays[0]
    streams = windows.streams(8)
    text_so_far = np.stack([text.load().train[i : i + 4 * 7] for i in streams[0]])
    whole = text.one_hot(text_so_far, model.shape[-1])
    np.testing.assert_allclose(model.carried, model.net.layers[0].run(whole)[1], rtol=1e-4, atol=1e-6)


def test_at_the_start_of_the_streams_the_state_is_zero(own):
    model, batches = start(text_lstm.TextLSTM, chunk=100, lr=1e-12, dropout=0.0, data=own)
    steps = len(batches.arrays[0].streams(8))
    assert steps == 5
    losses = [float(model.step(batches)["loss"]) for _ in range(2 * steps)]
    np.testing.assert_allclose(losses[:steps], losses[steps:], rtol=1e-5)


def test_the_gradient_is_clipped():
    model, batches = start(text_lstm.TextLSTM, chunk=7, clip=0.01)
    norms = []
    step = model.optimizer.step
    model.optimizer.step = lambda: (norms.append(float(np.sqrt((model.optimizer.flat.grad ** 2).sum()))), step())
    model.step(batches)
    assert norms == [pytest.approx(0.01, rel=1e-4)]


def test_what_is_dropped_in_training_is_there_in_bits_and_in_speech():
    model, batches = start(text_lstm.TextLSTM, chunk=7, dropout=0.9)
    windows = batches.arrays[0]
    x = windows[windows.streams(8)[0]]
    losses = []
    for _ in range(2):
        twin = copy.deepcopy(model)
        twin.net.layers[1].layers[0].rng = np.random.default_rng(len(losses))
        losses.append(float(twin.likelihood_step(x)))
    assert losses[0] != losses[1]
    codes, z = text.load().test[:200], np.full((1, 20), 0.5, np.float32)
    assert model.bits(codes) == model.bits(codes)
    np.testing.assert_array_equal(model.spoken(z), model.spoken(z))


def test_bits_per_character_longhand(own):
    model, batches = start(text_lstm.TextLSTM, chunk=7, data=own)
    for _ in range(5):
        model.step(batches)
    whole, model.net = model.net, copy.deepcopy(model.net).astype(np.float64)
    codes = text.asked_for(model.settings).test
    x = text.one_hot(codes, model.shape[-1]).astype(np.float64)
    L = 64  # 468 characters: 7 streams of one block
    nats = [longhand(*told(model), x[None, i * L : (i + 1) * L + 1], np.zeros((1, 8)))[0] for i in range(7)]
    model.net = whole
    assert model.bits(codes) == pytest.approx(np.mean(nats) / np.log(2), rel=1e-5)
    short = model.bits(codes[:9])
    assert short == pytest.approx(longhand(*told(model), x[None, :9], np.zeros((1, 8)))[0] / np.log(2), rel=1e-5)


# ---- what it says ----------------------------------------------------------------------------------------


def test_each_character_is_drawn_from_what_the_LSTM_says():
    """z chooses by the cumulative sum; the next step sees the character that was drawn."""
    model, batches = start(text_lstm.TextLSTM, chunk=7, lr=0.05)
    for _ in range(20):
        model.step(batches)
    z = np.random.default_rng(0).random((5, 6), dtype=np.float32)
    for temperature in (1.0, 0.5):
        said = model.spoken(z, temperature)
        assert said.shape == (5, 6, model.shape[-1]) and (said.sum(axis=-1) == 1).all()
        first = np.zeros((5, 1, model.shape[-1]), np.float32)
        first[:, 0, text.load().alphabet.index("\n")] = 1
        h, *_ = model.net.layers[0].run(np.concatenate([first, said[:, :-1]], axis=1))
        p = np.exp(model.net.layers[1](h) / temperature)
        c = np.cumsum(p / p.sum(axis=-1, keepdims=True), axis=-1)
        np.testing.assert_array_equal(said.argmax(axis=-1), (c < z[..., None]).sum(axis=-1))


def test_z_of_0_and_of_nearly_1_choose_characters():
    model, _ = start(text_lstm.TextLSTM, chunk=7)
    z = np.array([[0.0, 0.0], [1 - 2.0**-24, 1 - 2.0**-24]], np.float32)
    assert model.spoken(z).argmax(axis=-1).tolist() == [[0, 0], [model.shape[-1] - 1] * 2]


def test_a_sample_of_the_LSTM_begins_anywhere():
    model, _ = start(text_lstm.TextLSTM, chunk=7, length=5)
    z = model.latent(3, np.random.default_rng(0))
    assert z.shape == (3, 10)
    np.testing.assert_array_equal(model.generate(z), model.spoken(z)[:, 5:])


def test_an_LSTM_goes_on_exactly_in_the_middle_of_its_streams():
    model, batches = start(text_lstm.TextLSTM, chunk=7)
    model.remember_as_built()
    for _ in range(4):
        model.step(batches)
    state = copy.deepcopy(model.state())
    again, others = start(text_lstm.TextLSTM, chunk=7)
    again.remember_as_built()
    again.load_state(state)
    assert "carried" in state and state["carried"].any()
    for _ in range(3):
        assert float(model.step(batches)["loss"]) == float(again.step(others)["loss"])
    np.testing.assert_array_equal(model.carried, again.carried)


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------


BUGS = {
    "the state goes into a step as zeros": (
        "likelihood_step", "recurrent.run(x[:, :-1], self.carried)", "recurrent.run(x[:, :-1])",
        likelihood_follows,
    ),
    "the state stays where it was": (
        "likelihood_step", "self.carried[...] = state", "self.carried[...] = self.carried", likelihood_follows
    ),
    "the gradient does not end with the chunk": (
        "likelihood_step", "last.backward(last_tape, d_logits), None)",
        "last.backward(last_tape, d_logits), 0.01 * xp.ones_like(state))", likelihood_follows,
    ),
    "the character itself in the place of the next one": (
        "likelihood_step", "x[:, 1:].argmax", "x[:, :-1].argmax", likelihood_follows
    ),
    "the state goes on into shuffled windows": (
        "step", "xp.to_device(windows[streams[t]])", "xp.to_device(batches.next())",
        test_a_stream_is_read_in_order_and_its_state_goes_on,
    ),
    "clipped before the gradient is there": (
        "likelihood_step", "    clip_norm(self.optimizer, self.settings.clip)\n", "",
        test_the_gradient_is_clipped,
    ),
    "the character that was probable, not the one that was drawn, is told": (
        "spoken", "sample_categorical(logits, drawn)[:, None]", "logits.argmax(axis=-1)[:, None]",
        test_each_character_is_drawn_from_what_the_LSTM_says,
    ),
    "temperature multiplied": (
        "spoken", "* (1 / temperature)", "* temperature", test_each_character_is_drawn_from_what_the_LSTM_says
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    plant(monkeypatch, text_lstm.TextLSTM, *BUGS[bug])


def test_a_state_that_goes_on_from_the_end_to_the_start_is_caught(own, monkeypatch):
    test = lambda: test_at_the_start_of_the_streams_the_state_is_zero(own)
    plant(monkeypatch, text_lstm.TextLSTM, "step", "self.carried.fill(0)", "pass", test)


# ---- as a user would -------------------------------------------------------------------------------------


def test_the_LSTM_writes_a_text_of_any_length(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "text_lstm", "--steps", 2, "--out", "run", "--data", own, *SMALL["text_lstm"]) == 0
    capsys.readouterr()
    options = ("--n", 70, "--temperature", 0.7, "--out", "said.txt")
    assert call(monkeypatch, "text_lstm", "write", "run", *options) == 0
    assert len((tmp_path / "said.txt").read_text()) == 70
    assert (tmp_path / "said.txt").read_text() in capsys.readouterr().out


def test_another_text_with_as_many_characters_is_refused(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "text_lstm", "--steps", 2, "--out", "run", "--data", own, *SMALL["text_lstm"]) == 0
    said = Path(own).read_text(encoding="utf-8")
    Path(own).write_text(said.replace("a", "\N{SNOWMAN}"), encoding="utf-8")
    text.load.cache_clear()
    assert call(monkeypatch, "text_lstm", "evaluate", "run", "--n", 20) == 2
    assert "has other characters than the text of this run" in capsys.readouterr().err
    assert call(monkeypatch, "text_lstm", "sample", "run", "--n", 2, "--out", "said.txt") == 0
