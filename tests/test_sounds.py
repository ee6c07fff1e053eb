"""Sounds: what a MIDI file and a WAV file hold, read back by other code, and the pitch of a plucked string."""

import inspect
import io
import struct
import wave

import numpy as np
import pytest

from scratchgan import sounds

TUNE = [(0, 1, 60), (0, 4, 48), (1, 1, 64), (2, 0.5, 67), (2.5, 1.5, 67)]


# ---- MIDI ------------------------------------------------------------------------------------------------


def parsed(content):
    """Read a MIDI file of format 0 by the standard: return (ticks of a beat, microseconds of a beat, notes)."""
    magic, length, kind, tracks, ticks = struct.unpack(">4sIHHH", content[:14])
    assert (magic, length, kind, tracks) == (b"MThd", 6, 0, 1)
    magic, length = struct.unpack(">4sI", content[14:22])
    track, now, tempo, sounding, notes, i = content[22:], 0, None, {}, [], 0
    assert magic == b"MTrk" and len(track) == length
    while True:
        delta = 0
        while True:
            delta, more, i = delta << 7 | track[i] & 127, track[i] & 128, i + 1
            if not more:
                break
        now, status = now + delta, track[i]
        if status == 0xFF:
            kind, size = track[i + 1 : i + 3]
            value, i = track[i + 3 : i + 3 + size], i + 3 + size
            if kind == 0x2F:
                assert i == len(track) and not sounding
                return ticks, tempo, sorted(notes)
            assert kind == 0x51
            tempo = int.from_bytes(value, "big")
        else:
            pitch, velocity, i = track[i + 1], track[i + 2], i + 3
            if status == 0x90 and velocity:
                assert pitch not in sounding  # a pitch is struck again only once it has ended
                sounding[pitch] = now
            else:
                assert status in (0x80, 0x90)
                start = sounding.pop(pitch)
                notes.append((start / ticks, (now - start) / ticks, pitch))


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_midi_file_holds_the_notes(shuffled):
    tune = TUNE[::-1] if shuffled else TUNE
    ticks, tempo, notes = parsed(sounds.midi(tune, beats_per_minute=120))
    assert (ticks, tempo, notes) == (480, 500_000, sorted(TUNE))


def test_long_pauses_take_several_bytes():
    far = [(0, 1, 60), (10_000, 70_000, 61)]
    assert parsed(sounds.midi(far, beats_per_minute=60))[2] == far
    for number, written in ((0, "00"), (127, "7f"), (128, "8100"), (16383, "ff7f"), (16384, "818000")):
        assert sounds.variable_length(number).hex() == written


def test_no_notes_are_a_file_too():
    assert parsed(sounds.midi([], beats_per_minute=90))[2] == []


def test_mido_reads_the_same():
    mido = pytest.importorskip("mido")
    file = mido.MidiFile(file=io.BytesIO(sounds.midi(TUNE, beats_per_minute=75)))
    assert file.type == 0 and len(file.tracks) == 1
    now, sounding, notes, tempi = 0, {}, [], []
    for message in file.tracks[0]:
        now += message.time
        if message.type == "set_tempo":
            tempi.append(mido.tempo2bpm(message.tempo))
        elif message.type == "note_on" and message.velocity:
            sounding[message.note] = now
        elif message.type in ("note_on", "note_off"):
            start = sounding.pop(message.note)
            notes.append((start / file.ticks_per_beat, (now - start) / file.ticks_per_beat, message.note))
    assert sorted(notes) == sorted(TUNE) and tempi == [pytest.approx(75)]
    assert file.length == pytest.approx(4 * 60 / 75)


@pytest.mark.parametrize(
    "note", [(-1, 1, 60), (0, 0, 60), (0, -1, 60), (0, 1, 128), (0, 1, -1), (0, 1, 60.5), (0, float("nan"), 60)]
)
def test_what_is_no_note(note):
    for write in (sounds.midi, lambda notes, **given: sounds.plucks(notes, rng=np.random.default_rng(0), **given)):
        with pytest.raises(ValueError, match="wanted a start from 0"):
            write([note], beats_per_minute=60)


@pytest.mark.parametrize("tempo", [0, -60, 3, 1001, float("nan")])
def test_what_is_no_tempo(tempo):
    with pytest.raises(ValueError, match="wanted 4 to 1000"):
        sounds.midi(TUNE, beats_per_minute=tempo)


# ---- WAV -------------------------------------------------------------------------------------------------


def read_wav(content):
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wav_file_holds_the_samples(dtype):
    samples = np.array([0, 1, -1, 0.5, -0.25, 1e-6], dtype)
    whole, rate = read_wav(sounds.wav(samples, 8000))
    assert rate == 8000
    assert whole.tolist() == [0, 32767, -32767, 16384, -8192, 0]


@pytest.mark.parametrize("bad", [1.0001, -2.0, np.nan, np.inf])
def test_what_would_be_clipped_is_refused(bad):
    with pytest.raises(ValueError, match="divide by the largest first"):
        sounds.wav(np.array([0.0, bad]), 8000)


@pytest.mark.parametrize("samples", [np.zeros((2, 2)), np.zeros(3, int), np.float64(0)])
def test_samples_are_one_row_of_floats(samples):
    with pytest.raises(ValueError, match="wanted floats"):
        sounds.wav(samples, 8000)


# ---- strings ---------------------------------------------------------------------------------------------


def frequency(samples, rate, near):
    """Return the frequency of a sound by its autocorrelation: the best lag within a semitone or so of `near`.

    The peak is looked for many periods away, where a small error of the period has become a large one of the lag.
    """
    n = len(samples)
    spectrum = np.fft.rfft(samples, 2 * n)
    r = np.fft.irfft(np.abs(spectrum) ** 2)[:n] / np.arange(n, 0, -1)
    periods = 1
    period = rate / near
    while periods * 2 * period * 1.1 < n // 2:  # twice as far each time, near what is known by then
        lags = np.arange(int(periods * period * 0.97), int(periods * period * 1.03) + 2)
        if periods > 1:  # within a third of a period
            lags = np.arange(int((periods - 0.34) * period), int((periods + 0.34) * period) + 2)
        best = lags[r[lags].argmax()]
        before, at, after = r[best - 1 : best + 2]
        period = (best + (before - after) / (before - 2 * at + after) / 2) / periods
        periods *= 2
    return rate / period


def cents(found, wanted):
    return 1200 * np.log2(found / wanted)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("pitch", [41, 48, 53, 60, 65, 71, 76, 84, 91, 96])
def test_a_string_is_in_tune(pitch, rate):
    """Within three cents; without the all-pass, the highest would be off by half a semitone and more."""
    wanted = sounds.hertz(pitch)
    samples = sounds.pluck(wanted, rate // 2, rate=rate, rng=np.random.default_rng(pitch))
    assert abs(cents(frequency(samples[rate // 50 :], rate, wanted), wanted)) < 3


@pytest.mark.parametrize("bug", ["no all-pass", "half a sample forgotten", "the next whole number"])
def test_a_string_out_of_tune_is_caught(bug, monkeypatch):
    """The two that are published everywhere: a period of N samples, and of N + 1/2 without the rest."""
    right, wrong = {
        "no all-pass": ("allpass = np.array([C,", "C = 0; allpass = np.array([0,"),
        "half a sample forgotten": ("period - N - 0.5", "period - N"),
        "the next whole number": ("period = rate / frequency", "period = round(rate / frequency)"),
    }[bug]
    source = inspect.getsource(sounds.pluck)
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(sounds), made)
    monkeypatch.setattr(sounds, "pluck", made["pluck"])
    with pytest.raises(AssertionError):
        for pitch in (76, 84, 91):
            test_a_string_is_in_tune(pitch, 22_050)


def test_the_loop_is_the_equation():
    """Sample by sample, as the two lines stand there."""
    rate, f = 22_050, 659.2551
    found = sounds.pluck(f, 2000, rate=rate, rng=np.random.default_rng(0))
    N = int(np.floor(rate / f - 0.8))
    w, d = 2 * np.pi * f / rate, rate / f - N - 0.5
    C = np.sin((w - w * d) / 2) / np.sin((w + w * d) / 2)
    g = min(1.0, 10 ** (-3 / (f * 4)) / np.cos(w / 2))
    burst = np.random.default_rng(0).uniform(-1, 1, N)
    y, x, passed = [*(burst - burst.mean())], [0.0] * N, 0.0
    for t in range(N, 1700):
        x.append(g * (y[t - N] + (y[t - N - 1] if t > N else 0.0)) / 2)
        passed = C * x[t] + x[t - 1] - C * passed
        y.append(passed)
    np.testing.assert_allclose(found[:1700], y, atol=1e-9)


def test_a_string_fades():
    sound = sounds.pluck(220.0, 4 * 22_050, rate=22_050, rng=np.random.default_rng(0))
    loud = [np.sqrt((part**2).mean()) for part in sound.reshape(8, -1)]
    assert all(later < earlier for earlier, later in zip(loud, loud[1:], strict=False))
    assert 1e-4 < loud[6] / loud[0] < 0.05  # 60 dB in four seconds, and more of the overtones
    assert abs(sound[-1]) < 1e-3 * np.abs(sound).max()  # and no click at the end


def test_no_string_is_louder_without_end():
    """The loop takes from every frequency: also where g gives back what the low-pass took."""
    for pitch in (41, 60, 79, 96):
        sound = sounds.pluck(sounds.hertz(pitch), 22_050 * 6, rate=22_050, rng=np.random.default_rng(1))
        assert np.isfinite(sound).all()
        assert np.abs(sound[-22_050:]).max() < 0.1 * np.abs(sound[:2000]).max()


def test_a_tune_of_strings():
    rng = np.random.default_rng(0)
    samples = sounds.plucks([(0, 1, 57), (2, 2, 69)], beats_per_minute=120, rate=22_050, rng=rng)
    assert samples.shape == (2 * 22_050,) and samples.dtype == np.float64
    assert np.abs(samples).max() == pytest.approx(sounds.LOUDEST)
    assert not samples[11_025:22_050].any()  # a rest
    assert abs(cents(frequency(samples[500:11_000], 22_050, 220.0), 220)) < 3
    assert abs(cents(frequency(samples[22_550:44_000], 22_050, 440.0), 440)) < 3
    read_wav(sounds.wav(samples, 22_050))
    assert sounds.plucks([], beats_per_minute=120, rng=rng).shape == (0,)


def test_the_same_generator_gives_the_same_sound():
    once, again = (sounds.plucks(TUNE, beats_per_minute=90, rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_frequency_that_no_loop_has():
    with pytest.raises(ValueError, match="wanted 4 or more"):
        sounds.pluck(3000.0, 100, rate=8000, rng=np.random.default_rng(0))
