"""Short sounds: WAV files, there and back; what is made here; folders; digits by a command; and what is refused."""

import inspect
import stat
import struct
import sys
import textwrap
import wave

import numpy as np
import pytest

from scratchgan import sounds
from scratchgan.data import audio
from scratchgan.metrics import audio as metrics
from scratchgan.metrics import pitch
from scratchgan.support.errors import DataError


def written(path, samples, rate=8000, channels=1, width=2):
    """Write bytes of samples as they are; return the path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return path


def noise(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, n)


# ---- WAV files -------------------------------------------------------------------------------------------


def there_and_back(path):
    """Every number that a file can hold comes back as it is; -32768, which is not written, as -32767."""
    every = np.arange(-32767, 32768, dtype="<i2")
    samples, rate = sounds.read_wav(written(path, every.tobytes(), rate=8000))
    assert samples.dtype == np.float32 and rate == 8000 and (samples[0], samples[-1], samples[32767]) == (-1, 1, 0)
    path.write_bytes(sounds.wav(samples, rate))
    with wave.open(str(path)) as file:
        np.testing.assert_array_equal(np.frombuffer(file.readframes(65535), "<i2"), every)
    again, _ = sounds.read_wav(path)
    np.testing.assert_array_equal(again, samples)
    lowest, _ = sounds.read_wav(written(path, np.array([-32768, -32767], "<i2").tobytes()))
    assert lowest.tolist() == [-1, -1]


def test_there_and_back(tmp_path):
    there_and_back(tmp_path / "all.wav")


def test_samples_come_back_to_half_a_step(tmp_path):
    x = noise(5000)
    (tmp_path / "x.wav").write_bytes(sounds.wav(x, 8000))
    samples, _ = sounds.read_wav(tmp_path / "x.wav")
    assert np.abs(samples - x).max() <= 0.5 / 32767 + 1e-7


def refusals(folder):
    """Return {file: (its line, how it is made)}."""
    good = sounds.wav(noise(3000), 8000)
    return {
        "stereo.wav": ("2 channels, wanted one: `sox", lambda path: written(path, bytes(8), channels=2)),
        "eight.wav": ("8 bits a sample, wanted 16", lambda path: written(path, bytes(8), width=1)),
        "wide.wav": ("24 bits a sample, wanted 16", lambda path: written(path, bytes(9), width=3)),
        "empty.wav": ("no samples", lambda path: written(path, b"")),
        "nothing.wav": ("cannot be read (it ends too soon)", lambda path: path.write_bytes(b"")),
        "text.wav": ("cannot be read (", lambda path: path.write_bytes(b"this is a text, and no sound at all")),
        "head.wav": ("cannot be read (", lambda path: path.write_bytes(good[:20])),
        "cut.wav": ("ends after 1,478 of 3,000 samples", lambda path: path.write_bytes(good[:3000])),
        "floats.wav": ("cannot be read (unknown format: 3): `sox", lambda path: path.write_bytes(as_floats(good))),
    }


def as_floats(good):
    """Return a WAV file whose format is 3, floating-point numbers."""
    return good[:20] + struct.pack("<H", 3) + good[22:]


@pytest.mark.parametrize("name", refusals(None))
def test_a_file_that_cannot_be_used_is_told_in_one_line(name, tmp_path):
    line, make = refusals(tmp_path)[name]
    make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        audio.load(str(tmp_path))
    assert line in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_in_a_file_s_place_is_refused(tmp_path):
    with pytest.raises(DataError, match="folder"):
        sounds.read_wav(tmp_path)


# ---- folders ---------------------------------------------------------------------------------------------


def test_a_folder_gives_as_many_clips_as_its_files_have(tmp_path):
    x = (noise(12 * 2048 + 700) * 32767).astype("<i2")
    (tmp_path / "more").mkdir()
    written(tmp_path / "long.WAV", x.tobytes())
    written(tmp_path / "more" / "one.wav", x[:2048].tobytes())
    (tmp_path / "notes.txt").write_text("not a sound")
    train, test = (audio.load(str(tmp_path), split) for split in ("train", "test"))
    assert train.labels is None and train.names == () and train.samples.dtype == np.float32
    assert train.samples.shape[1:] == (2048, 1) and (len(train.samples), len(test.samples)) == (11, 2)
    found = sorted(clip.tobytes() for clip in np.concatenate([train.samples, test.samples]))
    pieces = [*x[: 12 * 2048].reshape(12, 2048), x[:2048]]
    assert found == sorted((piece / np.float32(32767)).astype(np.float32).tobytes() for piece in pieces)


@pytest.mark.parametrize(
    "make, line",
    [
        (lambda folder: None, "holds no WAV files"),
        (lambda folder: written(folder / "a.wav", bytes(4096), rate=44100), "44,100 samples a second, wanted 8,000"),
        (lambda folder: written(folder / "a.wav", bytes(4094)), "2,047 samples, fewer than the 2,048"),
    ],
)
def test_a_folder_that_cannot_be_used(make, line, tmp_path):
    make(tmp_path)
    with pytest.raises(DataError, match=line):
        audio.load(str(tmp_path))


def test_a_name_that_is_no_data():
    with pytest.raises(DataError, match="There is no folder flutes: choose plucks, drums, digits"):
        audio.load("flutes")
    with pytest.raises(DataError, match="no split 'valid'"):
        audio.load("drums", "valid")


# ---- made here -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, classes", [("plucks", 13), ("drums", 5)])
def test_what_is_made_follows_from_the_seed(name, classes):
    one, same, other = (audio.load(name, seed=seed, count=50) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.samples, same.samples)
    np.testing.assert_array_equal(one.labels, same.labels)
    test = audio.load(name, "test", seed=3, count=50)
    for another in (other, test):
        assert not (np.abs(one.samples[:, None] - another.samples).max(axis=(2, 3)) == 0).any()
    assert one.samples.shape == (50, 2048, 1) and one.samples.dtype == np.float32 and len(one.names) == classes
    assert np.bincount(one.labels, minlength=classes).min() >= 50 // classes


def loudness_is_a_clip_s_own():
    for name in ("plucks", "drums"):
        largest = np.abs(audio.load(name, count=200).samples).max(axis=(1, 2))
        assert 0.29 < largest.min() < 0.36 and 0.9 < largest.max() < 0.951 and largest.std() > 0.15, name


def test_loudness_is_a_clip_s_own():
    loudness_is_a_clip_s_own()


def test_plucks_have_their_pitch():
    """999 of 1,000 at least, within 20 cents; the names say which."""
    test = audio.load("plucks", "test")
    hertz, clarity = pitch.pitch(test.samples[..., 0], audio.RATE)
    found = pitch.semitones(np.maximum(hertz, 1))
    assert (np.abs(found - 57 - test.labels) < 0.2).mean() >= 0.999 and (clarity > 0.8).mean() > 0.98
    assert test.names[0] == "A3" and test.names[3] == "C4" and test.names[12] == "A4"
    assert sounds.hertz(audio.PITCHES[0]) == 220 and sounds.hertz(audio.PITCHES[12]) == 440


def test_drums_are_five_kinds():
    """The nearest mean spectrogram of 100 clips tells all kinds; and each is what its name says."""
    train, test = audio.load("drums", count=500), audio.load("drums", "test", count=500)
    spectra = [np.clip(metrics.log_mel(clips.samples), -40, None).reshape(500, -1) for clips in (train, test)]
    means = np.stack([spectra[0][train.labels == label].mean(axis=0) for label in range(5)])
    nearest = ((spectra[1][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == test.labels).mean() > 0.97
    power = np.abs(np.fft.rfft(test.samples[..., 0], axis=1)) ** 2
    centre = (power * np.fft.rfftfreq(2048, 1 / 8000)).sum(axis=1) / power.sum(axis=1)
    kick, snare, hat, tom, clap = (np.median(centre[test.labels == label]) for label in range(5))
    assert kick < 130 < tom < 250 < snare and 800 < clap < 1400 and hat > 2500


def test_a_falling_sine_has_the_frequency_it_says():
    """Its phase is the integral of its frequency: at the end 100 Hz, at the start 300."""
    t = np.arange(8000) / 8000
    phase = np.unwrap(np.angle(np.fft.ifft(2 * np.fft.fft(audio.falling(t, 100, 2, 0.05)) * (np.arange(8000) < 4000))))
    hertz = np.diff(phase) * 8000 / (2 * np.pi)
    assert abs(np.median(hertz[4000:7000]) - 100) < 0.1
    assert abs(np.median(hertz[240:560]) - 100 * (1 + 2 * np.exp(-1))) < 6


# ---- digits ----------------------------------------------------------------------------------------------

SPEAKER = """#!{python}
import sys, wave
import numpy as np
voice, speed, pitch, path, word = (sys.argv[i] for i in (2, 4, 6, 8, 9))
if voice == {broken!r}:
    sys.exit("no such voice")
n = int(22050 * 60 / int(speed))
x = .5 * np.sin(2 * np.pi * (300 + 100 * len(word)) * np.arange(n) / 22050)
x[: n // 4] = x[3 * n // 4 :] = 0  # silence before and after
with wave.open(path, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(22050)
    file.writeframes((x * 32767).astype("<i2").tobytes())
"""


@pytest.fixture
def speaker(tmp_path, monkeypatch):
    """Make a command that speaks sines, in a folder of its own; return how."""

    def make(broken=""):
        command = tmp_path / "espeak-ng"
        command.write_text(SPEAKER.format(python=sys.executable, broken=broken))
        command.chmod(command.stat().st_mode | stat.S_IEXEC)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(audio, "VOICES", ("en-us",))
    monkeypatch.setattr(audio, "SPEEDS", (300, 420))
    monkeypatch.setattr(audio, "HEIGHTS", (50,))
    audio.spoken.cache_clear()
    yield make
    audio.spoken.cache_clear()


def test_digits_are_spoken_by_a_command(speaker):
    speaker()
    train, test = (audio.load("digits", split) for split in ("train", "test"))
    assert (len(train.samples), len(test.samples)) == (18, 2) and train.names[7] == "seven"
    hertz = np.fft.rfftfreq(2048, 1 / 8000)
    for x, label in zip(train.samples[..., 0], train.labels, strict=True):  # at 8,000 a second it is as high
        found = hertz[np.abs(np.fft.rfft(x)).argmax()]
        assert abs(found - (300 + 100 * len(train.names[label]))) < 8
        assert np.abs(x[:40]).max() > 0.1  # the silence before the word is gone


def test_digits_without_the_command(speaker):
    with pytest.raises(DataError, match="espeak-ng, which is not here: install it, or --data drums"):
        audio.load("digits")


def test_digits_where_the_command_fails(speaker):
    speaker(broken="en-us")
    with pytest.raises(DataError, match="espeak-ng failed at the voice en-us: no such voice"):
        audio.load("digits")


def test_another_rate_keeps_what_both_can_hold():
    """A sine of 1,000 Hz stays itself; one of 5,000, which 8,000 samples a second cannot hold, is gone."""
    t = np.arange(22050) / 22050
    low, high = (audio.resampled(np.sin(2 * np.pi * f * t), 22050) for f in (1000, 5000))
    assert len(low) == 8000 and np.abs(high).max() < 1e-9
    np.testing.assert_allclose(low, np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000), atol=1e-9)


# ---- bugs of public code, planted ------------------------------------------------------------------------

BUGS = {
    "32,768 to read, 32,767 to write": (
        sounds, "read_wav", "np.float32(FULL)", "np.float32(32768)", there_and_back
    ),
    "each clip as loud as another": (
        audio, "loud", "rng.uniform(*LOUD)", "0.9", lambda path: loudness_is_a_clip_s_own()
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch, tmp_path):
    home, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(home, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(home), made)
    monkeypatch.setattr(home, name, made[name])
    with pytest.raises(AssertionError):
        test(tmp_path / "x.wav")
