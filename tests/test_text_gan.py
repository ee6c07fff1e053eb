"""Texts: what the game of windows and the LSTM descend, what a sample is, exact resume, and the command line."""

import inspect
import json
import runpy
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import follows

from scratchgan import fast, xp
from scratchgan.data import Batches, text
from scratchgan.examples.sequences import text_gan, text_lstm
from scratchgan.metrics import ngrams
from scratchgan.tools.strict import strict_xp

PATHS = {name: Path(__file__).parent.parent / "examples" / "sequences" / f"{name}.py"
         for name in ("text_gan", "text_lstm")}  # fmt: skip
SENTENCES = "A hen and a fox went to the mill. The fox had an old bell, and the hen a net.\n"


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


def start(Model=text_gan.TextGAN, **more):
    """Return (model, batches) at the first step, with small batches and networks."""
    settings = inspect.getmodule(Model).Settings(batch_size=8, width=4, **more)
    windows = Model.load_data(settings)
    batches = Batches(windows, batch_size=8, rng=np.random.default_rng(1))
    return Model(settings, windows.shape[1:], np.random.default_rng(0)), batches


def plant(monkeypatch, Model, method, right, wrong, test, error=AssertionError):
    """Put other code into a method: the test must fail."""
    source = textwrap.dedent(inspect.getsource(getattr(Model, method)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(inspect.getmodule(Model)), made)
    monkeypatch.setattr(Model, method, made[method])
    with pytest.raises(error):
        test()


# ---- the game: its objective -----------------------------------------------------------------------------


def of_the_game(player, G, D, draw, real):
    """What a player descends: the paper's formula, one t a window, the slope over all characters of a window."""
    fake = G.forward(draw())[0]
    if player == "G":
        return -D.forward(fake)[0].mean()
    t = draw.rng.random((len(real), 1, 1))
    scores, tape = D.forward(t * real + (1 - t) * fake)
    g, _ = D.pull(tape, np.ones_like(scores))
    slopes = np.sqrt((g * g).sum(axis=(1, 2)))
    return D.forward(fake)[0].mean() - D.forward(real)[0].mean() + 10 * ((slopes - 1) ** 2).mean()


@pytest.mark.parametrize("player", ["D", "G"])
def test_a_step_follows_its_objective(player):
    model, batches = start(blocks=2)
    step = model.discriminator_step if player == "D" else lambda real: model.generator_step(len(real))
    follows(model, player, step, [batches.next()], lambda *told: of_the_game(player, *told), printed=np.sum)


def test_what_D_sees_is_shares_of_characters():
    """Real: one-hot. Of G's: one softmax, so that a share may be any; both add up to 1 at every place."""
    model, batches = start()
    seen, forward = [], model.D.forward
    model.D.forward = lambda x, train=True: (seen.append(x), forward(x, train))[1]
    model.G.layers[-2].W.value *= 20  # logits so different that a softmax of a softmax shows
    model.step(batches)
    V = model.shape[-1]
    assert all(x.shape == (8, 32, V) and x.dtype == np.float32 for x in seen)
    for x in seen:
        np.testing.assert_allclose(x.sum(axis=-1), 1, rtol=1e-5)
    real, fake = seen[:2]
    assert set(np.unique(real)) == {0, 1}
    assert fake.max() > 0.9  # of a softmax taken twice, no share is above e / (e + V - 1)


def test_a_step_is_five_of_the_critic_each_with_fresh_windows():
    model, batches = start()
    before = batches.position
    assert model.step(batches).keys() == {"D", "penalty", "G"}
    assert (model.opt_D.steps, model.opt_G.steps, batches.position - before) == (5, 1, 40)


def test_G_learns_which_characters_are_common():
    model, batches = start(blocks=1, lr=3e-3, length=8, average=0.0)
    reference = ngrams.asked_for(model.settings)
    divergence = lambda: reference.divergences(model.rows(model.latent(500, np.random.default_rng(3))))["JS-1, bits"]
    before = divergence()
    for _ in range(60):
        model.step(batches)
    assert divergence() < 0.7 * before


def test_a_residual_block_is_what_it_says():
    """x + 0.3 conv(relu(conv(relu(x))))."""
    model, _ = start()
    block = model.G.layers[2]
    x = np.random.default_rng(0).standard_normal((3, 32, 4)).astype("float32")
    first, second = block.body.layers[1], block.body.layers[3]
    relu = lambda y: np.maximum(y, 0)
    np.testing.assert_allclose(block(x), x + 0.3 * second(relu(first(relu(x)))), rtol=1e-5, atol=1e-6)


# ---- samples ---------------------------------------------------------------------------------------------


def test_a_sample_is_the_most_probable_character_of_each_place():
    model, _ = start()
    z = model.latent(300, np.random.default_rng(0))  # in two pieces
    rows = model.rows(z)
    assert rows.shape == (300, 32)
    np.testing.assert_array_equal(rows, model.G_average.net(z).argmax(axis=-1))
    alphabet = text.load().alphabet
    assert model.lines(z)[7] == "".join(alphabet[code] for code in rows[7])
    exported = model.export(z, ".txt").decode().splitlines()
    assert len(exported) == 300 and exported[7] == repr(model.lines(z)[7])
    assert model.picture(z[:5]).dtype == np.uint8


def test_a_model_whose_text_is_gone_brings_its_letters(own):
    model, _ = start(data=own)
    state = model.state()
    Path(own).unlink()
    text.load.cache_clear()
    again = text_gan.TextGAN(model.settings, model.shape, np.random.default_rng(5))
    assert not again.letters.any()
    again.load_state(state)
    z = model.latent(4, np.random.default_rng(0))
    assert again.lines(z) == model.lines(z)


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------

def game_of(player):
    return lambda: test_a_step_follows_its_objective(player)


BUGS = {
    "the penalty interpolates per character": (
        "discriminator_step", "penalties.wgan_gp(self.D, real, fake, rng=self.rng, weight=weight)",
        "penalties.wgan_gp(self.D, real, real + self.rng.random(real.shape[:2])[..., None] * (fake - real),"
        " rng=self.rng, weight=weight)", game_of("D"),
    ),
    "a softmax taken twice": (
        "discriminator_step", "fake, _ = self.G.forward(self.noise(len(real)))",
        "fake = Softmax()(self.G.forward(self.noise(len(real)))[0])", test_what_D_sees_is_shares_of_characters,
    ),
    "D sees integers": (
        "step", "xp.to_device(batches.next())", "xp.to_device(batches.next()).argmax(axis=-1)",
        test_what_D_sees_is_shares_of_characters, TypeError,
    ),
    "D sees rounded samples, and G hears nothing": (
        "generator_step", "self.D.forward(fake)", "self.D.forward(xp.rint(fake))", game_of("G"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    plant(monkeypatch, text_gan.TextGAN, *BUGS[bug])


def test_a_held_out_window_in_training_is_seen(monkeypatch):
    """The planted bug: windows of the whole text."""
    fables = text.load()
    shown = lambda: text_gan.TextGAN.load_data(text_gan.Settings()).rows
    assert len(shown()) + 31 == len(fables.train) and shown()[-1].tolist() == fables.train[-32:].tolist()
    whole = fables._replace(train=np.concatenate([fables.train, fables.test]))
    monkeypatch.setattr(text, "load", lambda *_: whole)
    assert shown()[-1].tolist() != fables.train[-32:].tolist()


# ---- as a user would -------------------------------------------------------------------------------------


def call(monkeypatch, script, *arguments):
    """Run a script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS[script]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS[script]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


SMALL = {"text_gan": ("--width", 4, "--batch-size", 8, "--length", 12),
         "text_lstm": ("--width", 4, "--batch-size", 8, "--length", 12)}  # fmt: skip


@pytest.mark.parametrize("script", PATHS)
def test_resuming_is_exact(script, own, tmp_path, monkeypatch):
    """The LSTM's rate falls to 0 at the last step: its halves are told the same steps, and stopped by hand."""
    monkeypatch.chdir(tmp_path)
    options = (*SMALL[script], "--data", own)
    assert call(monkeypatch, script, "--steps", 9, "--out", "whole", *options) == 0
    assert call(monkeypatch, script, "--steps", 9, "--checkpoint-every", 2, "--out", "parts", *options) == 0
    demand_equal(tmp_path / "whole", tmp_path / "parts")
    if script == "text_gan":
        assert call(monkeypatch, script, "--steps", 4, "--out", "halves", *options) == 0
        assert call(monkeypatch, script, "--resume", "halves", "--steps", 9) == 0
        demand_equal(tmp_path / "whole", tmp_path / "halves")


@pytest.mark.parametrize("script", PATHS)
def test_samples_and_numbers(script, own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, script, "--steps", 2, "--out", "run", "--data", own, *SMALL[script]) == 0
    lines = (tmp_path / "run" / "samples.txt").read_text().splitlines()
    assert len(lines) == 64 and all(line[0] in "\"'" for line in lines)
    assert call(monkeypatch, script, "sample", "run", "--n", 3, "--out", "x.txt") == 0
    assert len((tmp_path / "x.txt").read_text().splitlines()) == 3
    assert call(monkeypatch, script, "evaluate", "run", "--n", 50) == 0
    out = capsys.readouterr().out
    assert "JS-4, bits" in out and "floor" in out and "Markov 4" in out and "uniform" in out
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert ("bits per character" in found) == (script == "text_lstm")
    assert 0 <= found["JS-1, bits"]["floor"] < found["JS-1, bits"]["uniform"] <= 1
    interpolated = call(monkeypatch, script, "interpolate", "run", "--n", 2, "--steps", 3, "--out", "walk.png")
    assert interpolated == (0 if script == "text_gan" else 2)


@pytest.mark.parametrize("Model", [text_gan.TextGAN, text_lstm.TextLSTM])
def test_no_step_waits_for_a_GPU(Model):
    """On the stand-in for CuPy: a step copies windows to the device, and nothing back."""
    with xp.using(strict_xp):
        model, batches = start(Model)
        with strict_xp.counting() as counts:
            model.step(batches)
        assert counts.operations > 0 and counts.synchronisations == 0
        z = xp.to_device(model.latent(3, np.random.default_rng(0)))
        assert [len(line) for line in model.lines(z)] == [32] * 3


def test_the_plain_code_computes_the_same():
    model, batches = start(blocks=1)
    other, same = start(blocks=1)
    with fast.plain():
        plain = model.step(batches)
    quick = other.step(same)
    assert {name: float(loss) for name, loss in plain.items()} == pytest.approx(
        {name: float(loss) for name, loss in quick.items()}, rel=1e-3, abs=1e-5
    )


@pytest.mark.parametrize(
    ("script", "content", "arguments", "message"),
    [
        ("text_gan", None, ("--data", "none.txt"), "no text none.txt: it is none of fables, shakespeare, and no file."),
        ("text_gan", "", (), "own.txt is empty; a text has two characters at least."),
        ("text_gan", "aaaa" * 50, (), "shows 'a' alone in its training part: there is nothing to learn."),
        ("text_gan", "\0\1" * 50, (), "is no text: it holds a zero byte, as programs and pictures do."),
        ("text_gan", "abcdefgh" * 4, (), "characters, shorter than a window of 32: take a longer text."),
        ("text_lstm", "abcdefgh" * 40, (), "too short for 32 streams of 65 characters: lower --batch-size"),
        ("text_gan", None, ("--length", "2"), "must be at least 3"),
    ],
)
def test_bad_input_is_a_line(script, content, arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "own.txt").write_text(content)
        arguments = ("--data", "own.txt", *arguments)
    assert call(monkeypatch, script, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
