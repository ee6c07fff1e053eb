"""What short sounds are like: their spectrograms, a classifier of these, pitches, loudness, and baselines.

FD-mel is the Fréchet distance between features of our own classifier of log-mel spectrograms. It is no FAD, whose
network was trained on other sounds, and its numbers can be compared with each other only.
"""

import functools

import numpy as np

from scratchgan import losses, xp
from scratchgan.data import audio, to_signed
from scratchgan.metrics import classifier, pitch
from scratchgan.metrics.frechet import frechet
from scratchgan.metrics.score import score
from scratchgan.metrics.wasserstein import distance_1d
from scratchgan.optim import Adam, cosine
from scratchgan.support.errors import UserError

WINDOW, HOP, BANDS = 256, 128, 40  # samples of a frame, and from one to the next; bands of a frame
QUIET, LOUD = -30.0, 35.0  # decibels that are 0 and 255 of a picture
SURE = 0.9  # of a class: what is above is clear
STEPS, BATCH = 300, 64  # of a classifier's training

# ---- spectrograms ----------------------------------------------------------------------------------------


def log_mel(samples):
    """Return how loud 40 bands of frequencies are in each of 16 frames, in decibels: (N, 16, 40) of (N, 2048, 1).

    A frame has 256 samples under a Hann window, the next is 128 later; the sound lies between zeros. Below 1e-10,
    -100 dB, power counts as that much.
    """
    x = np.pad(np.asarray(samples, np.float32)[..., 0], ((0, 0), (HOP // 2, HOP // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=1)[:, ::HOP]  # (N, 16, 256)
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=2)) ** 2
    return 10 * np.log10(np.maximum(power @ bands().T, 1e-10))


@functools.cache
def bands():
    """Return the weights of 40 bands, triangles as wide as their neighbours' tops are apart: (40, 129).

    The tops are evenly apart on the mel scale, 2595 log10(1 + f / 700), between 30 and 4,000 Hz.
    """
    mel = np.linspace(*(2595 * np.log10(1 + np.array([30, audio.RATE / 2]) / 700)), BANDS + 2)
    low, top, high = (700 * (10 ** (mel[i : BANDS + i, None] / 2595) - 1) for i in range(3))
    hertz = np.fft.rfftfreq(WINDOW, 1 / audio.RATE)
    return np.maximum(0, np.minimum((hertz - low) / (top - low), (high - hertz) / (high - top)))


def pictures(samples):
    """Return spectrograms as pictures, time downwards: uint8 (N, 16, 40, 1), -30 dB and less 0, 35 dB and more 255."""
    scaled = (log_mel(samples) - QUIET) * (255 / (LOUD - QUIET))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[..., None]


def drawings(samples):
    """Return sounds as pictures, a waveform over a spectrogram, low below: uint8 (N, 129, 128, 1) of (N, 2048, 1).

    A column is 16 samples, from the lowest to the highest; a frame of the spectrogram is 8 columns, a band 2 rows.
    """
    parts = np.asarray(samples, np.float32).reshape(len(samples), 1, 128, -1)
    height = np.linspace(1, -1, 49)[:, None]  # of a row, which reaches as far as half the way to the next
    wave = (parts.min(axis=3) <= height + 1 / 48) & (parts.max(axis=3) >= height - 1 / 48)  # (N, 49, 128)
    spectrum = pictures(samples)[..., 0].transpose(0, 2, 1)[:, ::-1]  # (N, 40, 16)
    spectrum = spectrum.repeat(2, axis=1).repeat(8, axis=2)
    return np.concatenate([wave.astype(np.uint8) * 255, spectrum], axis=1)[..., None]


# ---- the classifier --------------------------------------------------------------------------------------


def judge(name):
    """Return the Classifier of plucks, drums or digits, whose last class is "none of them".

    It is read from runs/classifiers/NAME.npz, and made and written where that is not there: half a minute. Raises
    UserError where the file cannot be used.
    """
    path = classifier.default_path(name)
    if not path.exists():
        classifier.save(trained(name))
    try:
        return classifier.load(name, path)  # with its path, for a folder may have this name, too
    except UserError:
        raise UserError(f"{path} cannot be used: remove it, and it is made again.") from None


def trained(name):
    """Return a Classifier trained on clips, half of them with a faint noise, and on what is no such sound."""
    rng = np.random.default_rng(0)
    known = audio.load(name)
    count, classes = len(known.samples), len(known.names)
    noise = rng.standard_normal(known.samples.shape, dtype=np.float32) * 10 ** rng.uniform(-4, -2, (count, 1, 1))
    samples = np.concatenate([known.samples + noise * (np.arange(count) % 2)[:, None, None], nothing(known, rng)])
    labels = np.concatenate([known.labels, np.full(len(samples) - count, classes)])
    images = pictures(samples)
    net = classifier.lenet(images.shape[1:], classes + 1, rng=rng)
    optimizer = Adam(net.params(), cosine(2e-3, STEPS), betas=(0.9, 0.999))
    for _ in range(STEPS):
        # as many of nothing as of another class
        some = rng.choice(len(images), BATCH, p=np.where(labels < classes, 1, 1 / classes) / (count + count / classes))
        logits, tape = net.forward(xp.to_device(to_signed(images[some])))
        _, d_logits = losses.softmax_cross_entropy(logits, xp.to_device(labels[some]))
        net.accumulate(tape, d_logits)
        optimizer.step()
    made = classifier.Classifier(net, name, images.shape[1:])
    test = audio.load(name, "test")
    made.accuracy_on_test = made.accuracy(pictures(test.samples), test.labels)
    return made


def nothing(known, rng):
    """Return as many sounds that are none of the classes, though they have the right spectra: (N, 2048, 1).

    In turn: a clip's spectrum with random phases, as loud or fainter; two clips of different classes at once; a clip
    in eight pieces, the first of which is elsewhere.
    """
    made = []
    for i, x in enumerate(known.samples[..., 0]):
        if i % 3 == 0:
            sound = random_phase(np.abs(np.fft.rfft(x)), rng) * 10 ** rng.uniform(-2.5, 0)
        elif i % 3 == 1:
            other = known.samples[rng.choice(np.flatnonzero(known.labels != known.labels[i])), :, 0]
            sound = x + other * (x.std() / other.std())
        else:
            order = np.concatenate([[first := rng.integers(1, 8)], rng.permutation(np.delete(np.arange(8), first))])
            sound = x.reshape(8, -1)[order].ravel()
        made.append(sound)
    return audio.clips(made)


def random_phase(size, rng):
    """Return a sound whose spectrum has these sizes, (1025,), and phases that are drawn: 2,048 samples."""
    return np.fft.irfft(size * np.exp(2j * np.pi * rng.random(len(size))), audio.LENGTH)


# ---- what is measured ------------------------------------------------------------------------------------


def measured(samples, name, test, asked=None):
    """Return {measure: number} of sounds (N, 2048, 1), against held-out ones of the data `name`, `Clips`.

    asked: the class that each was asked for, (N,), if any. "clear" is the share that belongs to one of the classes
    with a probability above 0.9, "as asked for" to the right one; "clear, or none" the share that does so where "none
    of them" is an answer, too. "classes" is how many of them a hundredth of all sounds is clearly of, and "as if
    alike" e to the entropy of the clear ones' shares. "level, W1" is the Wasserstein distance between loudnesses;
    "log-mel" the mean distance between the mean spectrograms, both in decibels.
    """
    table = of_classes(samples, name, test, asked) if name in audio.NAMES else {}
    table |= pitch.measured(samples[..., 0], audio.RATE, audio.PITCHES)
    return table | {"level, dB": float(level(samples).mean())} | told(samples, test)


def of_classes(samples, name, test, asked):
    """Return {measure: number} of what the classifier says of sounds, and FD-mel."""
    judging = judge(name)
    images, classes = pictures(samples), len(test.names)
    logits = judging.logits(images)
    clear, labels = clear_and_labels(logits[:, :classes])
    strictly, all_labels = clear_and_labels(logits)
    told = {}
    if asked is not None:
        right = float((clear & (labels == asked)).mean())
        told = {"as asked for": right, "spread within a class": spread(samples, asked)}
    counts = np.bincount(labels[clear], minlength=classes)
    shares = counts / max(counts.sum(), 1)
    features = judging.features(images), judging.features(pictures(test.samples))
    return told | {
        "clear": float(clear.mean()),
        "clear, or none": float((strictly & (all_labels < classes)).mean()),
        "classes": int((counts >= 0.01 * len(images)).sum()),
        "classes, as if alike": float(np.exp(-(shares * np.log(np.maximum(shares, 1e-300))).sum())),
        "score": score(xp.to_device(logits[:, :classes])),
        "FD-mel": frechet(*map(xp.to_device, features)),
    }


def spread(samples, labels):
    """Return how much sounds of one class differ: their variance over their mean square, the mean over classes.

    0 for copies of one sound, 1 for sounds that have nothing in common.
    """
    each = [samples[labels == label] for label in np.unique(labels)]
    return float(np.mean([sounds.var(axis=0).mean() / max((sounds**2).mean(), 1e-10) for sounds in each]))


def clear_and_labels(logits):
    """Return whether each sound is clearly of one class, and of which: (N,) each, of logits (N, classes)."""
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    return p.max(axis=1) > SURE, p.argmax(axis=1)


def level(samples):
    """Return how loud each sound is, in decibels: 0 for one that is 1 or -1 all the time; silence is -100."""
    return 10 * np.log10(np.maximum((np.asarray(samples, float)[..., 0] ** 2).mean(axis=1), 1e-10))


def told(samples, test):
    """Return {measure: number} of what tells a training's progress, without a classifier, as `measured` does."""
    found, wanted = (log_mel(some).mean(axis=0) for some in (samples, test.samples))
    return {
        "clarity": float(pitch.pitch(samples[..., 0], audio.RATE)[1].mean()),
        "level, W1": distance_1d(level(samples), level(test.samples)),
        "log-mel, dB": float(np.abs(found - wanted).mean()),
    }


def baselines(name, seed, n):
    """Return {who: `measured`} of as many sounds each.

    "floor" is training clips in the place of samples. "mean spectrum" is what has the mean power of all clips at each
    frequency, and random phases: noise of the right colour, which has no beginning.
    """
    known, test = audio.load(name, seed=seed), audio.load(name, "test", seed=seed)
    rng = np.random.default_rng(0)
    size = np.sqrt((np.abs(np.fft.rfft(known.samples[..., 0], axis=1)) ** 2).mean(axis=0))
    noise = audio.clips([random_phase(size, rng) for _ in range(n)])
    own = None if known.labels is None else known.labels[:n]
    floor = measured(known.samples[:n], name, test, own)
    return {"floor": floor, "mean spectrum": measured(noise, name, test)}
