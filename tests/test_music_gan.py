"""Music: what G and D descend, what D sees of harmony, what is sung, and the files that are written of it."""

import inspect
import io
import json
import runpy
import sys
import textwrap
import wave
from functools import partial

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import follows
from test_data_music import needs_chorales
from test_examples import PATHS
from test_objectives import between, slope
from test_sounds import cents, frequency, parsed

from scratchgan import sounds
from scratchgan.data import Batches, music
from scratchgan.examples.sequences import music_gan
from scratchgan.metrics import music as metrics


def start(**more):
    """Return (model, batches) at the first step, with small batches and networks."""
    settings = music_gan.Settings(**{"batch_size": 12, "width": 8, "latent": 8, **more})
    rolls = music_gan.MusicGAN.load_data(settings)
    batches = Batches(rolls, batch_size=12, rng=np.random.default_rng(1))
    return music_gan.MusicGAN(settings, rolls.shape[1:], np.random.default_rng(0)), batches


# ---- the objectives --------------------------------------------------------------------------------------


def objective(player, weight, G, D, draw, real):
    """The two of the docstring, longhand."""
    fake = G.forward(draw())[0]
    if player == "G":
        return -D.forward(fake)[0].mean()
    distance = D.forward(fake)[0].mean() - D.forward(real)[0].mean()
    return distance + weight * ((slope(D, between(real, fake, draw.rng)) - 1) ** 2).mean()


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("weight", [10.0, 0.5])
def test_a_step_follows_its_objective(player, weight):
    model, batches = start(penalty=weight)
    step = model.discriminator_step if player == "D" else lambda real: model.generator_step(len(real))
    follows(model, player, step, (batches.next(),), partial(objective, player, weight), printed=np.sum)


def test_five_steps_of_D_see_other_windows_each():
    model, batches = start()
    seen = []
    step = model.discriminator_step
    model.discriminator_step = lambda real: (seen.append(real.copy()), step(real))[1]
    model.step(batches)
    assert (model.opt_D.steps, model.opt_G.steps, len(seen)) == (5, 1, 5)
    assert len({real.tobytes() for real in seen}) == 5


def test_samples_are_those_of_the_average():
    model, batches = start()
    for _ in range(2):
        model.step(batches)
    z = model.latent(5, np.random.default_rng(0))
    np.testing.assert_array_equal(model.generate(z), model.G_average.net(z))
    assert not np.array_equal(model.generate(z), model.G(z))
    with_own = model.windows(z)
    model.G_average.net = model.G
    assert model.windows(z).shape == with_own.shape


# ---- rolls, in and out -----------------------------------------------------------------------------------


def test_a_real_roll_is_the_share_of_the_voices():
    """A quarter where one of four sings, nothing elsewhere: in this, G's and the data's rolls are alike."""
    rolls = music_gan.MusicGAN.load_data(music_gan.Settings())
    assert rolls.shape[1:] == (16, 56, 1) and rolls.dtype == np.float32
    assert set(np.unique(rolls)) == {0, 0.25}
    np.testing.assert_array_equal(rolls.sum(axis=(2, 3)), 1)  # of music by rule, whose voices are never silent
    np.testing.assert_array_equal(rolls[..., 0] > 0, music.windows(music.load("train", "rule")))


def test_G_gives_each_voice_one_pitch_or_silence():
    model, _ = start()
    z = model.latent(3, np.random.default_rng(0)).astype(np.float32)
    p = model.G_average.net.layers[0](z)
    assert p.shape == (3, 16, 4, 57)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.generate(z)[..., 0], p.mean(axis=2)[..., :56], rtol=1e-5)


def chroma_sums_over_octaves():
    """Of each pitch class all octaves, and no neighbour; the first channel is C."""
    net = music_gan.chroma().astype(np.float64)
    roll = np.random.default_rng(0).standard_normal((2, 16, 56, 1))
    wanted = np.zeros((2, 16, 12))
    for pitch in range(41, 97):
        wanted[:, :, pitch % 12] += roll[:, :, pitch - 41, 0]
    np.testing.assert_allclose(6 * net(roll), wanted, atol=1e-12)  # six octaves: a mean in the place of a sum


def test_chroma_sums_over_octaves():
    chroma_sums_over_octaves()


def test_D_s_chroma_is_the_one_that_is_measured():
    windows = music.windows(music.load("test", "rule"))[:40]
    seen = 6 * music_gan.chroma()(windows[..., None].astype(np.float64))
    np.testing.assert_allclose(seen, metrics.chroma(windows), atol=1e-12)


def test_D_hears_both_streams():
    """Each stream by itself moves the score: an octave higher, the chroma is the same and the roll is not."""
    model, batches = start()
    real = batches.next()
    score = lambda x: model.D(x)
    (of_roll, of_chroma) = model.D.layers[0].branches
    higher = np.roll(real, 12, axis=2)  # where nothing falls over the border
    real = np.where(real[:, :, 44:].any(axis=(1, 2, 3), keepdims=True), 0, real)
    higher = np.roll(real, 12, axis=2)
    np.testing.assert_allclose(of_chroma(real), of_chroma(higher), atol=1e-6)
    assert np.abs(of_roll(real) - of_roll(higher)).max() > 1e-4
    assert np.abs(score(real) - score(higher)).max() > 1e-6


def sung_is_the_likeliest():
    """The largest of a voice's numbers, silence among them; two voices of one pitch are one note."""
    p = np.full((1, 1, 4, 57), 0.001)
    for voice, pitch in enumerate((0, 20, 20, 56)):
        p[0, 0, voice, pitch], p[0, 0, 3, 30] = 0.9, 0.05
    assert np.flatnonzero(music.sung(p)[0, 0]).tolist() == [0, 20]
    p[0, 0, 3, 55] = 0.95
    assert np.flatnonzero(music.sung(p)[0, 0]).tolist() == [0, 20, 55]


def test_sung_is_the_likeliest():
    sung_is_the_likeliest()


def drawn_with_their_probabilities():
    """Also a pitch of probability 0 is never drawn, and the sum of float32 probabilities may be below 1."""
    p = np.zeros((5000, 1, 1, 57), np.float32)
    p[..., 3], p[..., 10], p[..., 56] = 0.5, 0.3, 0.2 - 1e-6
    windows = music.sung(p, np.random.default_rng(0))
    often = windows.mean(axis=(0, 1))
    assert often[3] == pytest.approx(0.5, abs=0.025) and often[10] == pytest.approx(0.3, abs=0.025)
    assert np.flatnonzero(often).tolist() == [3, 10]
    assert (~windows.any(axis=2)).mean() == pytest.approx(0.2, abs=0.025)


def test_drawn_with_their_probabilities():
    drawn_with_their_probabilities()


@pytest.mark.parametrize("notes", ["likeliest", "drawn"])
def test_one_z_one_tune(notes):
    """The picture, the notes and the sound are of the same windows."""
    model, _ = start(notes=notes)
    z = model.latent(4, np.random.default_rng(0))
    np.testing.assert_array_equal(model.windows(z), model.windows(z))
    np.testing.assert_array_equal(model.drawn(8), model.drawn(8))


# ---- files -----------------------------------------------------------------------------------------------


class Sings(music_gan.MusicGAN):
    """A model whose samples are windows of the test pieces, so that all is known of them."""

    def windows(self, z):
        return music.windows(music.load("test", "rule"))[: len(z)]


def singing():
    settings = music_gan.Settings(width=8, latent=8)
    return Sings(settings, (16, 56, 1), np.random.default_rng(0)), np.zeros((6, 8), np.float32)


def test_a_midi_file_plays_the_first_four():
    model, z = singing()
    _, tempo, notes = parsed(model.export(z, ".mid"))
    assert tempo == round(60e6 / music_gan.TEMPO)
    rolls = np.zeros((4 * 18, 56), bool)
    for start, beats, pitch in notes:
        rolls[int(start) : int(start + beats), pitch - 41] = True
    rolls = rolls.reshape(4, 18, 56)
    np.testing.assert_array_equal(rolls[:, :16], model.windows(z)[:4])
    assert not rolls[:, 16:].any()


def level(samples, rate, pitch):
    """Return how strong a pitch is in some samples, within 12 cents."""
    size = 1 << 17
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size))
    low, high = (int(sounds.hertz(pitch) * 2 ** (c / 1200) * size / rate) for c in (-12, 12))
    return spectrum[low : high + 1].max()


def test_a_wav_file_sounds_as_the_midi_file_says():
    """Each note that begins stands out of its beat, a hundred times above pitches that are in no chord's overtones."""
    model, z = singing()
    with wave.open(io.BytesIO(model.export(z, ".wav"))) as file:
        samples, rate = np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()
    beat = rate * 60 / music_gan.TEMPO
    assert rate == music_gan.RATE and len(samples) == round((3 * 18 + 16) * beat)
    assert np.abs(samples).max() == round(0.9 * 32767)
    assert not samples[round(16 * beat) : round(18 * beat)].any()
    (window,), (_, _, notes) = model.windows(z)[:1], parsed(model.export(z, ".mid"))
    for step in range(8):
        part = samples[round(step * beat) : round((step + 1) * beat)].astype(float)
        sounding = {41 + int(pitch) for pitch in np.flatnonzero(window[step])}
        overtones = {round(pitch + 12 * np.log2(k)) for pitch in sounding for k in range(1, 12)}
        others = [pitch for pitch in range(41, 97) if not {pitch - 1, pitch, pitch + 1} & (sounding | overtones)]
        quiet = np.median([level(part, rate, pitch) for pitch in others])
        begin = [pitch for start, _, pitch in notes if start == step]
        assert all(level(part, rate, pitch) > 100 * quiet for pitch in begin), step


def test_a_melody_is_in_tune():
    """Beat by beat, by autocorrelation."""
    beat = music_gan.RATE * 60 / music_gan.TEMPO
    melody = [(step, 1, max(chord)) for step, chord in enumerate(music.load("test", "rule")[0][:16])]
    rng = np.random.default_rng(0)
    sound = sounds.plucks(melody, beats_per_minute=music_gan.TEMPO, rate=music_gan.RATE, rng=rng)
    for step, _, pitch in melody:
        part = sound[round(step * beat) + 200 : round((step + 1) * beat) - 300]
        assert abs(cents(frequency(part, music_gan.RATE, sounds.hertz(pitch)), sounds.hertz(pitch))) < 3


def test_pictures():
    model, z = singing()
    assert model.picture(z).shape == (2 * 170 + 2, 3 * 98 + 2, 1)
    assert model.walk(z, 2).shape == (3 * 170 + 2, 2 * 98 + 2, 1)


# ---- numbers ---------------------------------------------------------------------------------------------


def test_what_is_measured():
    """Of windows of the test pieces: each feature's distance to all of them is small, and none is a copy."""
    model, _ = singing()
    model.latent = lambda n, rng: np.zeros((n, 8), np.float32)
    found, baselines = model.measured(695), model.baselines(100)
    assert all(found[f"{name}, W1"] == 0 for name in metrics.features(model.windows(np.zeros((2, 8)))))
    assert found["copies"] == 0 and found["beats of four notes"] == 1
    assert found.keys() == baselines["floor"].keys() == baselines["chord chain"].keys()
    assert list(baselines)[0] == "floor"
    assert model.report() == {"beats of four notes": 1, "scale consistency": pytest.approx(0.97, abs=0.02)}


def test_G_learns_what_a_chord_is():
    """A hundred steps of a small game: from chance to most notes in one scale, and the distances fall."""
    model, batches = start(batch_size=12, width=32, latent=16, lr=2e-3, average=0.9)
    train, test = map(music.windows, model.pieces(model.settings))
    before = metrics.measured(model.drawn(200), train, test)
    for _ in range(100):
        model.step(batches)
    after = metrics.measured(model.drawn(200), train, test)
    assert after["scale consistency"] > before["scale consistency"] + 0.1
    for name in ("scale consistency", "entropy of pitch classes", "span, semitones"):
        assert after[f"{name}, W1"] < 0.7 * before[f"{name}, W1"], name


# ---- bugs of public code, planted: for each, a test above must fail ---------------------------------------

BUGS = {
    "chroma by reshape, of neighbouring pitches": (
        music_gan, "chroma", "Reshape(STEPS, octaves, 12)", "Reshape(STEPS, 12, octaves)", chroma_sums_over_octaves
    ),
    "chroma that begins at the roll's first pitch": (
        music_gan, "chroma", "(below, above)", "(0, below + above)", chroma_sums_over_octaves
    ),
    "the likeliest without silence": (
        music, "sung", "chosen = p.argmax(axis=-1)", "chosen = p[..., :-1].argmax(axis=-1)", sung_is_the_likeliest
    ),
    "a pitch of probability 0 is drawn": (
        music, "sung", "reached[..., :-1] <= rng", "reached[..., 1:] <= rng", drawn_with_their_probabilities
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    home, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(home, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(home), made)
    monkeypatch.setattr(home, name, made[name])
    with pytest.raises((AssertionError, ValueError)):
        test()


# ---- as a user would -------------------------------------------------------------------------------------

SMALL = ("--width", 8, "--latent", 8, "--batch-size", 8)


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["music_gan"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["music_gan"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


def test_a_run_and_its_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 3, "--out", "run", *SMALL) == 0
    for name in ("tune.mid", "tune.wav", "tune.png"):
        assert call(monkeypatch, "sample", "run", "--n", 4, "--out", name) == 0
        assert (tmp_path / name).stat().st_size > 100
    parsed((tmp_path / "tune.mid").read_bytes())
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "run", "--n", 60) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("floor", "independent", "chord chain", "scale consistency", "copies"))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_resuming_is_exact(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 4, "--out", "whole", *SMALL) == 0
    assert call(monkeypatch, "--steps", 2, "--out", "halves", *SMALL) == 0
    assert call(monkeypatch, "--resume", "halves", "--steps", 4) == 0
    demand_equal(tmp_path / "whole", tmp_path / "halves")


@needs_chorales
def test_chorales(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--data", "chorales", "--steps", 1, "--out", "run", *SMALL) == 0


def test_a_folder_of_midi_files_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tunes").mkdir()
    assert call(monkeypatch, "--data", "tunes", "--steps", 1, "--out", "run", *SMALL) == 2
    error = capsys.readouterr().err
    assert "tunes is a folder, and MIDI files are not read" in error and "Traceback" not in error
