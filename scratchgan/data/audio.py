"""Short sounds: plucked strings and drums made here, digits spoken by a program, or a folder of WAV files.

A clip is 2,048 samples at 8,000 a second, a quarter of a second. How loud it is belongs to it: no clip is scaled to a
loudness of its own.
"""

import functools
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchgan import sounds
from scratchgan.data import folders
from scratchgan.support.errors import DataError

RATE, LENGTH = 8000, 2048  # samples in a second, and of a clip
PITCHES = tuple(range(57, 70))  # of plucks, as MIDI numbers: A3 to A4
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAMES = {  # of the classes of what has some
    "plucks": ("A3", "A#3", "B3", "C4", "C#4", "D4", "D#4", "E4", "F4", "F#4", "G4", "G#4", "A4"),
    "drums": ("kick", "snare", "hat", "tom", "clap"),
    "digits": DIGITS,
}
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-us+f2", "en-us+f4", "en-us+m3", "en-us+m7")  # who speaks digits,
SPEEDS, HEIGHTS = (300, 360, 420), (30, 45, 60, 75)  # how many words a minute, and how high
LOUD = (0.3, 0.95)  # the largest sample of a clip that is made here is drawn between these
COUNTS = {"train": 4000, "test": 1000}  # clips of a split that are made here


class Clips(NamedTuple):
    """Sounds with what they are: labels are None, and names empty, where nobody knows."""

    samples: np.ndarray  # float32 (N, 2048, 1), from -1 to 1
    labels: np.ndarray | None  # int64 (N,), numbers of names
    names: tuple = ()


def load(name, split="train", *, seed=0, count=None):
    """Load clips of a split, train or test: `Clips`.

    name: "plucks", strings of 13 pitches; "drums", five kinds; "digits", ten words, spoken by the command espeak-ng;
    or a folder of WAV files. What is made here follows from the seed, and each split has a seed of its own; of a
    folder's clips, and of digits, one in ten is a test clip. count: how many clips are made of plucks and drums.
    Raises DataError where there is no such folder, or a file in it cannot be used.
    """
    if split not in COUNTS:
        raise DataError(f"There is no split {split!r}; choose {', '.join(COUNTS)}.")
    names = NAMES.get(name, ())
    if name in ("plucks", "drums"):
        kind = plucked if name == "plucks" else drum
        rng = np.random.default_rng([seed, list(COUNTS).index(split)])
        labels = rng.permutation(np.arange(count or COUNTS[split]) % len(names))
        return Clips(clips([loud(kind(label, rng), rng) for label in labels]), labels, names)
    samples, labels = spoken() if name == "digits" else (from_folder(name), None)
    if len(samples) < 2:
        raise DataError(f"{name} has one clip: two are needed, of which one is held out.")
    own = (np.random.default_rng(0).permutation(len(samples)) % 10 == 0) == (split == "test")
    return Clips(samples[own], None if labels is None else labels[own], names)


def clips(sounding):
    """Return a list of sounds of 2,048 samples as float32 (N, 2048, 1)."""
    return np.stack(sounding).astype(np.float32)[..., None]


def loud(sound, rng):
    """Return a sound whose largest sample, by its size, is drawn."""
    return sound * (rng.uniform(*LOUD) / np.abs(sound).max())


# ---- made here -------------------------------------------------------------------------------------------


def plucked(label, rng):
    """Return a plucked string of one of 13 pitches."""
    return sounds.pluck(sounds.hertz(PITCHES[label]), LENGTH, rate=RATE, rng=rng, decay=rng.uniform(1, 4))


def drum(label, rng):
    """Return one of five drums; lengths, pitches and noise are drawn."""
    return (kick, snare, hat, tom, clap)[label](np.arange(LENGTH) / RATE, rng)


def kick(t, rng):
    """A sine that falls from some 200 Hz to some 50."""
    return falling(t, rng.uniform(42, 60), rng.uniform(2, 4), 0.03) * decaying(t, rng.uniform(0.06, 0.12))


def tom(t, rng):
    """A sine that hardly falls, of 110 to 220 Hz."""
    return falling(t, rng.uniform(110, 220), rng.uniform(0.2, 0.5), 0.05) * decaying(t, rng.uniform(0.05, 0.1))


def snare(t, rng):
    """A short tone of two sines, and noise."""
    pitch = rng.uniform(180, 240)
    tone = falling(t, pitch, 0.2, 0.02) + 0.5 * falling(t, 1.6 * pitch, 0.2, 0.02)
    noise = rng.standard_normal(len(t)) * decaying(t, rng.uniform(0.03, 0.06))
    return tone * decaying(t, 0.03) + 0.4 * noise


def hat(t, rng):
    """Noise without low frequencies, short or shorter: its third differences."""
    noise = np.diff(rng.standard_normal(len(t) + 3), n=3)
    return noise * decaying(t, rng.uniform(0.008, 0.03))


def clap(t, rng):
    """Noise around 1,100 Hz in three bursts of 10 ms, and a tail."""
    noise = band(rng.standard_normal(len(t)), 700, 1500)
    gap = rng.uniform(0.009, 0.012)
    bursts = sum(decaying(t - start, 0.003) for start in (0, gap, 2 * gap))
    return noise * (bursts + decaying(t - 3 * gap, rng.uniform(0.02, 0.04)))


def falling(t, hertz, more, seconds):
    """Return a sine whose frequency is hertz (1 + more e^(-t / seconds)); its phase is that, integrated."""
    return np.sin(2 * np.pi * hertz * (t + more * seconds * (1 - np.exp(-t / seconds))))


def decaying(t, seconds):
    """Return e^(-t / seconds) from t = 0 on, and 0 before."""
    return np.where(t >= 0, np.exp(-np.maximum(t, 0) / seconds), 0)


def band(sound, low, high):
    """Return a sound without the frequencies below `low` and above `high`, in Hz."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    return np.fft.irfft(spectrum * ((low <= hertz) & (hertz <= high)), len(sound))


# ---- files -----------------------------------------------------------------------------------------------


def from_folder(folder):
    """Return the clips of all WAV files below a folder: of each file as many as it has, one after the other.

    Raises DataError where there is no WAV file, or one cannot be used: of another rate, or shorter than a clip.
    """
    folder = Path(os.path.expanduser(folder))
    if not os.path.isdir(folder):
        raise DataError(f"There is no folder {folder}: choose plucks, drums, digits or a folder of WAV files.")
    files = sorted(file for file in folders.walk(folder) if file.suffix.lower() == ".wav")
    if not files:
        raise DataError(f"The folder {folder} holds no WAV files; they end in .wav.")
    sounding = []
    for file in files:
        samples, rate = sounds.read_wav(file)
        if rate != RATE:
            remedy = f"`sox IN.wav -r {RATE} OUT.wav` converts it"
            raise DataError(f"{file} has {rate:,} samples a second, wanted {RATE:,}: {remedy}.")
        if len(samples) < LENGTH:
            raise DataError(f"{file} has {len(samples):,} samples, fewer than the {LENGTH:,} of a clip: remove it.")
        sounding += [samples[i : i + LENGTH] for i in range(0, len(samples) - LENGTH + 1, LENGTH)]
    return clips(sounding)


@functools.cache
def spoken():
    """Return the clips of ten words, and which word each is, as the command espeak-ng speaks them, fast.

    Raises DataError where there is no such command, or it fails.
    """
    command = shutil.which("espeak-ng")
    if not command:
        raise DataError("digits are spoken by the command espeak-ng, which is not here: install it, or --data drums.")
    sounding, labels = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "word.wav")
        for voice, speed, pitch, label in itertools.product(VOICES, SPEEDS, HEIGHTS, range(10)):
            options = ["-v", voice, "-s", str(speed), "-p", str(pitch), "-w", file]
            done = subprocess.run([command, *options, DIGITS[label]], capture_output=True, text=True)
            if done.returncode:
                said = done.stderr.strip().splitlines() or ["without a word"]
                raise DataError(f"espeak-ng failed at the voice {voice}: {said[-1]}")
            sounding.append(fitted(resampled(*sounds.read_wav(file))))
            labels.append(label)
    return clips(sounding), np.array(labels)


def resampled(samples, rate):
    """Return a sound that begins and ends in silence at RATE samples a second: its spectrum, up to what that holds."""
    n = round(len(samples) * RATE / rate)
    return np.fft.irfft(np.fft.rfft(samples)[: n // 2 + 1], n) * (n / len(samples))


def fitted(sound):
    """Return 2,048 samples of a sound, from where it first is a fiftieth as loud as at its loudest; then silence."""
    size = np.abs(sound)
    begun = sound[np.argmax(size > size.max() / 50) :][:LENGTH]
    return np.pad(begun, (0, LENGTH - len(begun)))
