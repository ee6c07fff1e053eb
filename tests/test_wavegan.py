"""WaveGAN: what G and D descend, the shift of phases, what D hears, and the files that are written of it."""

import inspect
import io
import json
import runpy
import sys
import textwrap
import types
import wave
from functools import partial

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import follows, log_sigmoid
from test_examples import PATHS
from test_objectives import between, slope

from scratchgan import optim
from scratchgan.data import Batches, audio
from scratchgan.examples.media import wavegan
from scratchgan.layers import AvgPool, Conditional, Flatten, LeakyReLU, PhaseShuffle, Projection
from scratchgan.metrics import audio as metrics
from scratchgan.training.sounding import Sounds


def start(**more):
    """Return (model, batches) at the first step, with small batches and networks."""
    settings = wavegan.Settings(**{"batch_size": 6, "width": 2, "latent": 5, **more})
    arrays = wavegan.WaveGAN.load_data(settings)
    batches = Batches(*arrays, batch_size=6, rng=np.random.default_rng(1))
    return wavegan.WaveGAN(settings, arrays[0].shape[1:], np.random.default_rng(0)), batches


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Make few clips, and teach the classifier a few steps: what it says is not looked at here."""
    monkeypatch.setattr(audio, "COUNTS", {"train": 60, "test": 40})
    monkeypatch.setattr(metrics, "STEPS", 2)


# ---- the objectives --------------------------------------------------------------------------------------


def told(D, labels):
    """Return a D of sounds alone, whose labels are given."""
    alone = types.SimpleNamespace(forward=lambda x: D.forward((x, labels)))
    alone.pull = lambda tape, dy: (D.pull(tape, dy)[0][0], None)
    return alone


def objective(player, loss, G, D, draw, real, labels):
    """Those of the docstrings, longhand: R1 with gamma 3, in every second step; the paper's with lambda 7."""
    labels = labels.astype(int)
    fake, D = G.forward((draw()[:, :-5], labels))[0], told(D, labels)
    if player == "G":
        score = D.forward(fake)[0]
        return -score.mean() if loss == "wgan-gp" else -log_sigmoid(score).mean()
    real_score, fake_score = D.forward(real)[0], D.forward(fake)[0]
    if loss == "wgan-gp":
        penalty = 7 * ((slope(D, between(real, fake, draw.rng)) - 1) ** 2).mean()
        return fake_score.mean() - real_score.mean() + penalty
    penalty = 2 * 3 / 2 * (slope(D, real) ** 2).mean()
    return -log_sigmoid(real_score).mean() - log_sigmoid(-fake_score).mean() + penalty


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("loss", ["nonsaturating", "wgan-gp"])
def test_a_step_follows_its_objective(player, loss):
    """With phases shuffled: each call of D draws other shifts, and so does the penalty's."""
    model, batches = start(loss=loss, gamma=3.0, penalty=7.0, penalty_every=2)
    step = model.discriminator_step if player == "D" else lambda real, labels: model.generator_step(labels)
    follows(model, player, step, batches.next(), partial(objective, player, loss), printed=np.sum)


def test_D_s_penalty_comes_every_fourth_step():
    model, batches = start()
    assert [float(model.step(batches)["penalty"]) > 0 for _ in range(9)] == [True, False, False, False] * 2 + [True]


@pytest.mark.parametrize("loss, steps", [("nonsaturating", 1), ("wgan-gp", 5)])
def test_steps_of_D_for_one_of_G(loss, steps):
    model, batches = start(loss=loss)
    seen = []
    step = model.discriminator_step
    model.discriminator_step = lambda real, labels: (seen.append(real.tobytes()), step(real, labels))[1]
    model.step(batches)
    assert (model.opt_D.steps, model.opt_G.steps, len(set(seen))) == (steps, 1, steps)


@pytest.mark.parametrize("loss", ["nonsaturating", "wgan-gp"])
def test_both_rates_fall_with_the_last_step(loss):
    """D's, too, where it takes five steps for one of G: both are whole until half of the training, then fall to 0."""
    model, batches = start(loss=loss, steps=4, lr=1e-3)
    rates = []
    for _ in range(4):
        model.step(batches)
        rates.append([optimizer.lr(optimizer.steps - 1) for optimizer in (model.opt_G, model.opt_D)])
    rates = np.array(rates)
    assert rates[:2].tolist() == [[1e-3, 1e-3]] * 2
    assert (np.diff(rates, axis=0) <= 0).all() and 0 < rates[3].min() and rates[3].max() <= 5e-4


def test_samples_are_of_each_class_in_turn():
    """G is told the one-hot class behind z, whatever else is in z; without labels, all are of class 0."""
    model, _ = start()
    z = model.latent(7, np.random.default_rng(0))
    drawn, labels = model.split(z)
    assert drawn.shape == (7, 5) and labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    asked = z.copy()
    asked[:, 5:] = np.eye(5)[2]
    assert np.abs(model.generate(z) - model.generate(asked)).max(axis=(1, 2)).argmin() == 2
    np.testing.assert_array_equal(model.generate(z)[2], model.generate(asked)[2])
    plain, batches = start(labels=False)
    assert plain.latent(7, np.random.default_rng(0)).shape == (7, 6) and not batches.next()[1].any()
    assert all(np.isfinite(float(loss)) for loss in plain.step(batches).values())


def test_samples_are_those_of_the_average():
    model, batches = start()
    for _ in range(2):
        model.step(batches)
    z = model.latent(3, np.random.default_rng(0))
    np.testing.assert_array_equal(model.generate(z), model.G_average.net(model.split(z)))
    assert not np.array_equal(model.generate(z), model.G(model.split(z)))


# ---- phases ----------------------------------------------------------------------------------------------


def reflected(x, k):
    """Return y[t] = x[t + k], reflected at the ends, step by step."""
    L = len(x)
    steps = [abs(t + k) for t in range(L)]  # -1 is 1, -2 is 2
    return np.stack([x[t if t < L else 2 * (L - 1) - t] for t in steps])


def shifts(layer, N=400):
    """Return by how much each of N sequences was shifted, each of which is held to `reflected`."""
    x = np.random.default_rng(5).standard_normal((N, 9, 2))
    found = []
    for one, shifted in zip(x, layer.forward(x)[0], strict=True):
        fits = [k for k in range(-4, 5) if np.array_equal(shifted, reflected(one, k))]
        assert len(fits) == 1
        found += fits
    return np.array(found)


def each_sequence_has_its_own_shift():
    """All of -n, ..., n are as likely; and the next call draws others."""
    layer = PhaseShuffle(2, rng=np.random.default_rng(0))
    one, next_one = shifts(layer), shifts(layer)
    assert set(one) == {-2, -1, 0, 1, 2} and np.bincount(one + 2).min() > 50
    assert (one != next_one).mean() > 0.6


def test_each_sequence_has_its_own_shift():
    each_sequence_has_its_own_shift()


def inference_shifts_nothing():
    layer = PhaseShuffle(3, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((20, 8, 2))
    np.testing.assert_array_equal(layer(x), x)
    model, batches = start()
    told = batches.next()
    np.testing.assert_array_equal(model.D(told), model.D(told))
    assert not np.array_equal(model.D.forward(told)[0], model.D.forward(told)[0])


def test_inference_shifts_nothing():
    inference_shifts_nothing()


def real_and_fake_are_shifted_by_other_steps():
    """Of one batch, seen as real and as fake in one step, D's two scores differ: no generator begins anew."""
    model, batches = start(gamma=0.0)
    real, labels = batches.next()
    model.G.forward, heard = lambda z: (real, None), []
    forward = model.D.forward
    model.D.forward = lambda x: (heard.append(forward(x)), heard[-1])[1]
    model.discriminator_step(real, labels)
    assert (heard[0][0] != heard[1][0]).mean() > 0.5


def test_real_and_fake_are_shifted_by_other_steps():
    real_and_fake_are_shifted_by_other_steps()


def test_what_a_shuffle_refuses():
    for radius in (-1, 1.5):
        with pytest.raises(ValueError, match="wanted a whole number from 0"):
            PhaseShuffle(radius, rng=None)
    layer = PhaseShuffle(3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="L above 3"):
        layer.forward(np.zeros((2, 3, 1)))
    with pytest.raises(ValueError, match=r"\(N, L, C\)"):
        layer.forward(np.zeros((2, 8, 8, 1)))
    assert repr(layer) == "PhaseShuffle(3)"


# ---- the networks ----------------------------------------------------------------------------------------


def test_each_stage_is_four_times_as_fine():
    """G's outputs have the size that tanh is made for from the start on, and D is G's mirror."""
    model, batches = start(width=16, latent=100)
    sides, x = [], model.split(model.latent(64, np.random.default_rng(0)))[0]
    x = np.concatenate([x, np.zeros((64, wavegan.TOLD), np.float32)], axis=1)
    for _, layer in model.G.inside()[1:]:  # behind the label's channels
        x = layer(x)
        sides.append(x.shape[1:])
    assert [side for side in dict.fromkeys(sides) if len(side) == 2] == [
        (8, 128), (32, 64), (128, 32), (512, 16), (2048, 1),
    ]  # fmt: skip
    assert 0.2 < np.arctanh(x).std() < 2
    kinds = [type(layer) for _, layer in model.D.inside()]
    assert kinds.count(PhaseShuffle) == 3 and kinds.count(LeakyReLU) == 4
    assert kinds[-3:] == [LeakyReLU, Flatten, Projection]  # no shuffle after the last stage


def D_hears_when():
    """Its features in another order of time have another score: D judges the whole, and not pieces of it."""
    model, batches = start(width=4)
    features, labels = batches.next()
    layers = [layer for _, layer in model.D.inside()]
    for layer in layers[:10]:
        features = layer(features)
    one, other = (Conditional(*layers[10:])((x, labels)) for x in (features, features[:, ::-1].copy()))
    assert np.abs(one - other).max() > 1e-3 * np.abs(one).max()


def test_D_hears_when():
    D_hears_when()


# ---- files -----------------------------------------------------------------------------------------------


class Plays(wavegan.WaveGAN):
    """A model whose samples are test clips, so that all is known of them."""

    def generate(self, z):
        return audio.load("drums", "test").samples[: len(z)]


def a_file_is_the_samples_with_silence_between():
    model = Plays(wavegan.Settings(width=2), (2048, 1), np.random.default_rng(0))
    z = np.zeros((20, 105), np.float32)
    with wave.open(io.BytesIO(model.export(z, ".wav"))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        content = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(content) == 16 * 2048 + 15 * 1024
    parts = np.pad(content, (0, 1024)).reshape(16, 3072)
    np.testing.assert_array_equal(parts[:, :2048], np.rint(model.generate(z[:16])[..., 0] * 32767))
    assert not parts[:, 2048:].any()


def test_a_file_is_the_samples_with_silence_between():
    a_file_is_the_samples_with_silence_between()


def test_pictures():
    model = Plays(wavegan.Settings(width=2), (2048, 1), np.random.default_rng(0))
    z = np.zeros((6, 105), np.float32)
    assert model.picture(z).shape == (2 * 131 + 2, 5 * 130 + 2, 1) and model.layout(6) == (2, 5)
    assert model.layout(64) == (7, 10)
    assert model.walk(z, 2).shape == (3 * 131 + 2, 2 * 130 + 2, 1)
    np.testing.assert_array_equal(model.picture(z)[2:131, 2:130], metrics.drawings(model.generate(z))[0])


# ---- bugs of public code, planted ------------------------------------------------------------------------

BUGS = {
    "shuffled in inference, too": (
        PhaseShuffle, "forward", "if train:", "if True:", inference_shifts_nothing
    ),
    "one shift for a batch": (
        PhaseShuffle, "forward", "self.radius + 1, N)", "self.radius + 1, 1).repeat(N)",
        each_sequence_has_its_own_shift,
    ),
    "never the radius itself": (
        PhaseShuffle, "forward", "self.radius + 1, N)", "self.radius, N)", each_sequence_has_its_own_shift
    ),
    "zeros beyond the ends": (PhaseShuffle, "pad", '"reflect"', '"zero"', each_sequence_has_its_own_shift),
    "the same shifts in each call": (
        PhaseShuffle, "forward", "self.rng.integers", "np.random.default_rng(0).integers",
        real_and_fake_are_shifted_by_other_steps,
    ),
    "a D that judges pieces": (
        wavegan.WaveGAN, "networks", "[Flatten(), Projection(size, self.classes, rng=rng)]",
        "[AvgPool(steps), Flatten(), Projection(widths[-1], self.classes, rng=rng)]", D_hears_when,
    ),
    "clips made equally loud on their way to a file": (
        Sounds, "export", "[..., 0]", "[..., 0] / abs(self.clips(z[:16])[..., 0]).max(axis=1)[:, None]",
        a_file_is_the_samples_with_silence_between,
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    home, name, right, wrong, test = BUGS[bug]
    found = vars(home)[name]
    source = textwrap.dedent(inspect.getsource(found.fget if isinstance(found, property) else found))
    assert source.count(right) == 1
    made = {}
    names = vars(sys.modules[home.__module__]) | {"AvgPool": AvgPool, "np": np}
    exec(source.replace(right, wrong), names, made)
    monkeypatch.setattr(home, name, made[name])
    with pytest.raises(AssertionError):
        test()


# ---- as a user would -------------------------------------------------------------------------------------

SMALL = ("--width", 2, "--latent", 8, "--batch-size", 8)


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["wavegan"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["wavegan"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


def test_a_run_and_its_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 3, "--out", "run", *SMALL) == 0
    for name in ("x.wav", "x.png"):
        assert call(monkeypatch, "sample", "run", "--n", 4, "--out", name) == 0
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert file.getnframes() == 4 * 2048 + 3 * 1024
    assert list((tmp_path / "run").rglob("*.wav"))
    assert call(monkeypatch, "interpolate", "run", "--n", 2, "--steps", 3, "--out", "walk.png") == 0
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "run", "--n", 40) == 0
    out = capsys.readouterr().out
    words = ("floor", "mean spectrum", "FD-mel", "clear", "as asked for", "pitches hit", "level, W1")
    assert all(word in out for word in words)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n"] == 40


@pytest.mark.parametrize("loss", ["nonsaturating", "wgan-gp"])
def test_resuming_is_exact(loss, tmp_path, monkeypatch):
    """Shifts of phases among it: their generator is in the checkpoint. The rate does not fall to the last step here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(optim, "linear_decay", lambda lr, steps, start: optim.constant(lr))
    assert call(monkeypatch, "--steps", 4, "--out", "whole", "--loss", loss, *SMALL) == 0
    assert call(monkeypatch, "--steps", 2, "--out", "halves", "--loss", loss, *SMALL) == 0
    assert call(monkeypatch, "--resume", "halves", "--steps", 4) == 0
    demand_equal(tmp_path / "whole", tmp_path / "halves")


def test_a_folder_of_sounds(tmp_path, monkeypatch, capsys):
    """No classifier is needed where nobody knows classes; a folder without sounds is refused in one line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sounds").mkdir()
    assert call(monkeypatch, "--data", "sounds", "--steps", 1, "--out", "none", *SMALL) == 2
    assert "holds no WAV files" in capsys.readouterr().err
    model = Plays(wavegan.Settings(width=2), (2048, 1), np.random.default_rng(0))
    for number in range(3):
        z = np.zeros((number * 10 + 9, 105), np.float32)
        (tmp_path / "sounds" / f"{number}.wav").write_bytes(model.export(z, ".wav"))
    assert call(monkeypatch, "--data", "sounds", "--steps", 2, "--out", "run", *SMALL) == 0
    assert call(monkeypatch, "evaluate", "run", "--n", 30) == 0
    out = capsys.readouterr().out
    assert "clarity" in out and "FD-mel" not in out and not (tmp_path / "runs").exists()
