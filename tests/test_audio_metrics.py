"""What is measured of sounds, held to closed forms: pitch, spectrograms, the classifier of spectrograms, baselines."""

import inspect
import textwrap

import numpy as np
import pytest

from scratchgan.data import audio
from scratchgan.metrics import audio as metrics
from scratchgan.metrics import classifier, pitch
from scratchgan.support.errors import UserError

T = np.arange(2048) / audio.RATE


def sine(hertz, size=0.5):
    return size * np.sin(2 * np.pi * hertz * T)


def as_clips(*sounds):
    return np.stack(sounds).astype(np.float32)[..., None]


# ---- pitch -----------------------------------------------------------------------------------------------


def sines_have_their_pitch():
    """To a cent, at any loudness, beyond what whole periods could tell."""
    wanted = 220 * 2 ** (np.arange(0, 12.5, 0.37) / 12)
    for size in (1e-3, 0.9):
        hertz, clarity = pitch.pitch([sine(f, size) for f in wanted], audio.RATE)
        assert np.abs(1200 * np.log2(hertz / wanted)).max() < 1
        assert clarity.min() > 0.999


def test_sines_have_their_pitch():
    sines_have_their_pitch()


def overtones_do_not_count():
    """A tone of many sines has the pitch of the lowest, even of one that is missing; not that of an octave."""
    for f in (150, 233.1, 392):
        whole = sum(sine(k * f, 1 / k) for k in range(1, 8))
        without = sum(sine(k * f) for k in (2, 3, 4, 5))
        strong_second = sine(f, 0.2) + sine(2 * f)
        hertz, clarity = pitch.pitch([whole, without, strong_second], audio.RATE)
        assert np.abs(1200 * np.log2(hertz / f)).max() < 3 and clarity.min() > 0.95


def test_overtones_do_not_count():
    overtones_do_not_count()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_clarity_is_the_share_of_the_period(share):
    """Of a sine in white noise: the sine's power over all power."""
    rng = np.random.default_rng(0)
    std = 0.5 * np.sqrt(0.5 * share / (1 - share))
    sounds = [sine(200) + std * rng.standard_normal(2048) for _ in range(50)]
    assert pitch.pitch(sounds, audio.RATE)[1].mean() == pytest.approx(1 - share, abs=0.03)


def test_what_has_no_pitch():
    rng = np.random.default_rng(0)
    hertz, clarity = pitch.pitch(rng.standard_normal((200, 2048)), audio.RATE)
    assert clarity.max() < 0.3
    click = np.zeros(2048)
    click[100] = 1
    hertz, clarity = pitch.pitch([np.zeros(2048), click, np.ones(2048)], audio.RATE)
    assert hertz.tolist() == [0, 0, 0] and clarity.tolist() == [0, 0, 0]


def test_what_is_said_of_pitches():
    """Six clear sounds: 3 of A3, 2 of A4, one a third of a semitone too high; and two of noise."""
    rng = np.random.default_rng(0)
    sounds = [sine(220), sine(221), sine(219), sine(440), sine(441), sine(261.63 * 2 ** (1 / 36))]
    sounds += list(rng.standard_normal((2, 2048)))
    found = pitch.measured(sounds, audio.RATE, audio.PITCHES)
    shares = np.array([3, 2, 1]) / 6
    assert found["pitched"] == 6 / 8 and found["within 20 cents"] == 5 / 6 and found["pitches hit"] == 3
    assert found["pitches, as if alike"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    silent = pitch.measured(np.zeros((3, 2048)), audio.RATE, audio.PITCHES)
    assert set(silent.values()) == {0}


def test_semitones():
    np.testing.assert_allclose(pitch.semitones(np.array([440, 220, 466.1638])), [69, 57, 70], atol=1e-5)


# ---- spectrograms ----------------------------------------------------------------------------------------


def test_a_tone_is_loud_in_its_band_alone():
    """The band whose top is next to it; twice the size is 6.02 dB; all frames of a steady tone are alike."""
    tops = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([30, 4000]) / 700)), 42)[1:-1] / 2595) - 1)
    for f in (500, 1250, 3000):
        one, double = metrics.log_mel(as_clips(sine(f, 0.25), sine(f)))
        assert abs(one[8].argmax() - np.abs(tops - f).argmin()) <= 1
        np.testing.assert_allclose(double[:, one[8] > -20] - one[:, one[8] > -20], 20 * np.log10(2), atol=0.01)
        np.testing.assert_allclose(one[1:-1].max(axis=1), one[8].max(), atol=0.3)
    assert (metrics.log_mel(np.zeros((1, 2048, 1))) == -100).all()


def test_bands_share_each_frequency():
    """Between the first top and the last, the weights of each frequency sum to 1."""
    sums = metrics.bands().sum(axis=0)
    np.testing.assert_allclose(sums[3:120], 1, atol=1e-12)
    assert metrics.bands().shape == (40, 129) and (metrics.bands() >= 0).all()


def test_a_click_is_in_its_frame():
    """Time goes on downwards, 128 samples a frame, and the sound lies between zeros."""
    for at in (0, 700, 2047):
        x = np.zeros(2048)
        x[at] = 1
        picture = metrics.pictures(as_clips(x))[0, :, :, 0]
        assert picture.shape == (16, 40) and abs(picture.sum(axis=1).argmax() - at / 128) <= 1


def test_pictures_go_from_30_dB_below_to_35_above():
    x = np.where(np.arange(2048) < 1024, sine(1000, 1.0), 0)
    picture, spectrum = metrics.pictures(as_clips(x))[0, :, :, 0], metrics.log_mel(as_clips(x))[0]
    inside = (spectrum > -29) & (spectrum < 34)
    np.testing.assert_allclose(picture[inside] * (65 / 255) - 30, spectrum[inside], atol=0.13)
    assert (picture[spectrum < -30.2] == 0).all() and inside.sum() > 100


def test_drawings_show_the_wave_and_the_spectrum():
    loud, low = metrics.drawings(as_clips(sine(3000, 1.0), sine(100, 0.1)))[..., 0]
    assert loud.shape == (129, 128) and (loud[:49, 2] == 255).all()  # from -1 to 1
    assert (low[:20] == 0).all() and (low[24] == 255).any() and set(np.unique(low[:49])) == {0, 255}
    assert loud[49:].sum(axis=1).argmax() < 20 and low[49:].sum(axis=1).argmax() > 70  # high above low


# ---- baselines -------------------------------------------------------------------------------------------


def test_random_phases_keep_the_spectrum_and_lose_the_beginning():
    kick = audio.load("drums", count=5)
    x = kick.samples[kick.labels == 0][0, :, 0]
    size = np.abs(np.fft.rfft(x))
    made = metrics.random_phase(size, np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(np.fft.rfft(made))[1:-1], size[1:-1], rtol=1e-4)
    assert (x[:512] ** 2).sum() > 0.75 * (x**2).sum() and (made[:512] ** 2).sum() < 0.5 * (made**2).sum()


def test_level():
    """A sine of size 1 is at -3.01 dB, white noise of std 0.1 at -20, silence at -100."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(2048)
    found = metrics.level(as_clips(sine(500, 1.0), noise, np.zeros(2048)))
    np.testing.assert_allclose(found, [-3.01, -20, -100], atol=0.2)


# ---- the classifier --------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Train on few clips, for few steps, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(audio, "COUNTS", {"train": 400, "test": 100})
    monkeypatch.setattr(metrics, "STEPS", 60)
    monkeypatch.setattr(metrics, "BATCH", 32)
    return tmp_path


def test_the_classifier_knows_drums_and_what_is_none(small):
    judge = metrics.judge("drums")
    test = audio.load("drums", "test", seed=5)
    clear, labels = metrics.clear_and_labels(judge.logits(metrics.pictures(test.samples)))
    assert judge.accuracy_on_test > 0.95 and (clear & (labels == test.labels)).mean() > 0.85
    rng = np.random.default_rng(0)
    for junk in (
        0.1 * rng.standard_normal((60, 2048, 1)), np.zeros((1, 2048, 1)), metrics.nothing(test, rng)[::3],
    ):  # fmt: skip
        clear, labels = metrics.clear_and_labels(judge.logits(metrics.pictures(junk)))
        assert (clear & (labels < 5)).mean() < 0.1
    path = classifier.default_path("drums")
    assert path.exists()
    before = path.read_bytes()
    assert metrics.judge("drums").hash == judge.hash and path.read_bytes() == before  # made once
    path.write_bytes(before[:1000])
    with pytest.raises(UserError, match="remove it, and it is made again"):
        metrics.judge("drums")


def test_what_is_measured(small):
    """Real clips reach the floor; noise of the same colour is no drum; a single kind is told by the counts."""
    floor, noise = metrics.baselines("drums", 0, 100).values()
    assert floor["clear, or none"] > 0.85 and floor["classes"] == 5 and floor["score"] > 3.5
    assert noise["clear, or none"] < 0.1 and floor["clear"] >= floor["clear, or none"]
    assert noise["FD-mel"] > 20 * floor["FD-mel"] and noise["level, W1"] > floor["level, W1"]
    test = audio.load("drums", "test")
    toms = test.samples[test.labels == 3]
    one = metrics.measured(toms, "drums", test, np.full(len(toms), 3))
    assert one["classes"] <= 2 and one["classes, as if alike"] < 1.7 and one["score"] < 1.5 and one["pitched"] > 0.8
    assert one.keys() == floor.keys() and floor["as asked for"] == floor["clear"] and one["as asked for"] > 0.8
    wrong = metrics.of_classes(toms, "drums", test, np.zeros(len(toms), int))
    assert wrong["as asked for"] == 0 and wrong["clear"] == one["clear"]
    assert floor.items() >= metrics.told(audio.load("drums").samples[:100], test).items()


def test_spread_within_a_class():
    """0 for copies, 1 for white noise; x and 3 x have mean 2 x, variance x^2 and mean square 5 x^2."""
    x, noise = sine(300), np.random.default_rng(0).standard_normal((200, 2048))
    assert metrics.spread(as_clips(x, x, sine(500), sine(500)), np.array([0, 0, 1, 1])) == 0
    assert metrics.spread(as_clips(x, 3 * x), np.zeros(2)) == pytest.approx(1 / 5)
    assert metrics.spread(as_clips(*noise), np.zeros(200)) == pytest.approx(1, abs=0.02)


def test_a_folder_has_no_classes():
    test = audio.Clips(as_clips(sine(300), sine(400)), None)
    assert "clear" not in metrics.measured(test.samples, "some/folder", test)
    assert metrics.told(test.samples, test) == {"clarity": pytest.approx(1, abs=1e-3), "level, W1": 0, "log-mel, dB": 0}


def nothing_is_none_of_the_classes():
    """Of every third kind: no beginning; two clips at once; no first piece at the start."""
    known = audio.load("drums", count=30)
    made = metrics.nothing(known, np.random.default_rng(0))[..., 0]
    original = known.samples[..., 0]
    assert made.shape == original.shape
    for i in range(0, 30, 3):
        assert (made[i][:512] ** 2).sum() < 0.6 * (made[i] ** 2).sum()
        assert made[i + 1].std() > 1.1 * original[i + 1].std()
        pieces = [piece.tobytes() for piece in original[i + 2].reshape(8, -1)]
        assert sorted(piece.tobytes() for piece in made[i + 2].reshape(8, -1)) == sorted(pieces)
        assert made[i + 2][:256].tobytes() != pieces[0]


def test_nothing_is_none_of_the_classes():
    nothing_is_none_of_the_classes()


# ---- bugs, planted ---------------------------------------------------------------------------------------

BUGS = {
    "sums of products that fall with the lag": (
        pitch, "pitch", "2 * products / np.maximum(both, 1e-9)", "products / products[:, :1]", sines_have_their_pitch,
    ),
    "the highest peak, an octave or two too low": (
        pitch, "first_peak", "np.argmax(f[peaks] >= NEARLY * f[peaks].max())", "f[peaks].argmax()",
        overtones_do_not_count,
    ),
    "periods of whole samples": (pitch, "first_peak", "return k + shift,", "return k,", sines_have_their_pitch),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    home, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(home, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(home), made)
    monkeypatch.setattr(home, name, made[name])
    with pytest.raises(AssertionError):
        test()
