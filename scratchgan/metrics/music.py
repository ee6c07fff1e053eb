"""Ten features of four bars of music, how far their distributions are from other windows', and copies.

A roll is bool (steps, pitches), a step a beat, the first column the pitch LOWEST; windows are (N, steps, pitches).
"""

import collections
import itertools

import numpy as np

from scratchgan.data.music import BAR, LOWEST, STEPS, notes, roll, windows
from scratchgan.metrics.wasserstein import distance_1d

MAJOR = (0, 2, 4, 5, 7, 9, 11)  # semitones above the root; a natural minor scale is that of another root
SCALES = np.array([[(pitch_class - root) % 12 in MAJOR for pitch_class in range(12)] for root in range(12)])  # (12, 12)
VOICES = 4


def features(rolls):
    """Return {feature: a number for each window, (N,)}, in the order of the table of docs/music.md.

    rolls: bool (N, steps, pitches). A share of nothing, as in a window without a note, is 0.
    """
    by_class = chroma(rolls)  # (N, steps, 12)
    bars = by_class.reshape(len(rolls), -1, BAR, 12)
    sounding = rolls.sum(axis=2)  # (N, steps): how many notes
    return {
        "pitch classes a bar": (bars.sum(axis=2) > 0).sum(axis=2).mean(axis=1),
        "pitch classes in all": (by_class.sum(axis=1) > 0).sum(axis=1).astype(float),
        "beats of four notes": (sounding == VOICES).mean(axis=1),
        "empty beats": (sounding == 0).mean(axis=1),
        "scale consistency": scale_consistency(by_class.sum(axis=1)),
        "entropy of pitch classes": entropy(by_class.sum(axis=1)),
        "span, semitones": span(rolls),
        "notes of two beats": np.array([long_notes(window) for window in rolls]),
        "tonal distance": tonal_distance(by_class),
        "step of the soprano": soprano_step(rolls),
    }


def chroma(rolls):
    """Return how many notes of each pitch class sound, C first: integers (N, steps, 12), summed over octaves."""
    N, steps, pitches = rolls.shape
    octaves = np.zeros((N, steps, 12 * -(-(LOWEST % 12 + pitches) // 12)), int)
    octaves[:, :, LOWEST % 12 : LOWEST % 12 + pitches] = rolls
    return octaves.reshape(N, steps, -1, 12).sum(axis=2)


def scale_consistency(counts):
    """Return the share of sounding notes that lie in the best of the twelve major scales; counts: (N, 12)."""
    return share((counts @ SCALES.T).max(axis=1), counts.sum(axis=1))


def entropy(counts):
    """Return the entropy of the pitch classes, in bits: at most log2 12 = 3.58."""
    p = share(counts, counts.sum(axis=1, keepdims=True))
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=1)


def span(rolls):
    """Return how many semitones lie between the lowest and the highest note."""
    used = rolls.any(axis=1)  # (N, pitches)
    lowest, highest = used.argmax(axis=1), used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
    return np.where(used.any(axis=1), highest - lowest, 0).astype(float)


def long_notes(window, least=2):
    """Return the share of notes that last for `least` beats or more: "qualified" notes, there of another length.

    A note that the window cuts counts with the length that it has inside.
    """
    lengths = np.array([beats for _, beats, _ in notes(window)])
    return float((lengths >= least).mean()) if len(lengths) else 0.0


def tonal_distance(by_class):
    """Return the mean distance from beat to beat between tonal centroids (Harte et al. 2006).

    A centroid is the mean of the beat's notes as points on three circles: of fifths, of minor and of major thirds,
    with radii 1, 1 and 1/2. A beat without a note is at the middle. by_class: (N, steps, 12).
    """
    angles = np.outer(np.arange(12), 2 * np.pi / 12 * np.array([7, 9, 4]))
    points = np.concatenate([np.sin(angles), np.cos(angles)], axis=1) * [1, 1, 0.5, 1, 1, 0.5]  # (12, 6)
    centroids = share(by_class, by_class.sum(axis=2, keepdims=True)) @ points  # (N, steps, 6)
    return np.linalg.norm(np.diff(centroids, axis=1), axis=2).mean(axis=1)


def soprano_step(rolls):
    """Return by how many semitones the highest note moves from beat to beat, the mean where both have one."""
    top = rolls.shape[2] - 1 - rolls[:, :, ::-1].argmax(axis=2)  # (N, steps)
    sounds = rolls.any(axis=2)
    both = sounds[:, 1:] & sounds[:, :-1]
    return share((np.abs(np.diff(top, axis=1)) * both).sum(axis=1), both.sum(axis=1))


def share(part, whole):
    """Return part / whole, and 0 where the whole is 0."""
    return part / np.maximum(whole, 1)


# ---- against other windows -------------------------------------------------------------------------------


def measured(rolls, train, test):
    """Return {measure: number} of windows: each feature's mean and its W_1 to that of test windows; copies.

    W_1 is the exact Wasserstein distance between the features' values, in the feature's own units. "known chords" is
    the share of beats whose notes, all together, are those of a beat in training; "nearest training window" the mean
    number of cells in which a window differs from the one nearest to it.
    """
    table, wanted = {}, features(test)
    for name, values in features(rolls).items():
        table[name] = float(values.mean())
        table[f"{name}, W1"] = distance_1d(values, wanted[name])
    differ = nearest(rolls, train)
    table |= {"known chords": known_chords(rolls, train), "nearest training window": float(differ.mean())}
    return table | {"copies": float((differ == 0).mean())}


def known_chords(rolls, train):
    """Return the share of beats whose chord, silence among them, occurs in a beat of `train`."""
    known = {chord.tobytes() for chord in train.reshape(-1, train.shape[2])}
    return float(np.mean([chord.tobytes() in known for chord in rolls.reshape(-1, rolls.shape[2])]))


def nearest(rolls, train):
    """Return in how many cells each window differs from the nearest of `train`, its Hamming distance: (N,)."""
    x, y = (sounds.reshape(len(sounds), -1).astype(np.float32) for sounds in (rolls, train))
    # where a cell is 0 or 1, x + y - 2 x y counts those that differ; all sums are whole, and exact in float32
    differ = x.sum(axis=1)[:, None] + y.sum(axis=1) - 2 * x @ y.T
    return differ.min(axis=1).astype(int)


def told(rolls):
    """Return {feature: mean} of two features that tell a training's progress at a glance."""
    found = features(rolls)
    return {name: float(found[name].mean()) for name in ("beats of four notes", "scale consistency")}


# ---- baselines -------------------------------------------------------------------------------------------


def baselines(train, test, n):
    """Return {who: `measured`} of the pieces of two splits: the floor, and two models that are easily beaten.

    "floor" is what perfect windows would have: the features of training windows, and of copies those of test windows.
    n: windows to draw of each model, of `independent` and of `chord_chain`.
    """
    known, wanted = windows(train), windows(test)
    copies = ("known chords", "nearest training window", "copies")
    floor, fresh = measured(known, known, wanted), measured(wanted, known, wanted)
    drawn = {"independent": independent, "chord chain": chord_chain}
    rng = np.random.default_rng(0)
    models = {who: measured(draw(train, n, rng), known, wanted) for who, draw in drawn.items()}
    return {"floor": floor | {name: fresh[name] for name in copies}} | models


def independent(pieces, n, rng, steps=STEPS):
    """Draw n windows in which each pitch sounds as often as in the pieces, whatever else sounds: bool (n, steps, ...).

    pieces: lists of tuples of pitches, as `data.music.load` gives them.
    """
    often = np.concatenate([roll(piece) for piece in pieces]).mean(axis=0)  # (pitches,)
    return rng.random((n, steps, len(often))) < often


def chord_chain(pieces, n, rng, steps=STEPS):
    """Draw n windows from a Markov chain of whole chords: each follows the last as often as it does in the pieces.

    It begins with the first chord of some piece, and begins anew after a chord that nothing follows.
    """
    follows = collections.defaultdict(list)
    for piece in pieces:
        for chord, following in itertools.pairwise(piece):
            follows[chord].append(following)
    firsts = [piece[0] for piece in pieces]
    drawn = []
    for _ in range(n):
        chords = [firsts[rng.integers(len(firsts))]]
        while len(chords) < steps:
            choices = follows.get(chords[-1], firsts)
            chords.append(choices[rng.integers(len(choices))])
        drawn.append(roll(chords))
    return np.stack(drawn)
