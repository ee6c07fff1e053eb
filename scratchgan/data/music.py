"""Four-part music, a step a quarter note: Bach's chorales from a file, or chords and voices made here by rule.

A piece is a list of steps, a step a tuple of the pitches that sound, ascending. A pitch is a MIDI number: 60 is middle
C, 12 are an octave. A piano roll is a window of a piece as an array, a row for each step, a column for each pitch.
"""

import functools
import itertools
import os
from pathlib import Path

import numpy as np

from scratchgan.data.mnist import cache_folder
from scratchgan.support.errors import DataError
from scratchgan.support.files import read_json

FILE = "jsb-chorales-quarter.json"
SOURCE = "github.com/czhuang/JSB-Chorales-dataset"
SPLITS = ("train", "valid", "test")
PIANO = (21, 108)  # the keys that a file may name
LOWEST, PITCHES = 41, 56  # of a roll: 41 to 96, all that the chorales use and some more
STEPS, HOP, BAR = 16, 4, 4  # steps of a window, from one to the next, and of a bar


def load(split="train", data="", least=1):
    """Load the pieces of a split, train, valid or test: a list of lists of tuples of pitches.

    data: "rule": made here, 229, 76 and 77 pieces; "" or "chorales": the file of 382 chorales by J. S. Bach, looked
    for in $SCRATCHGAN_DATA/music and in the cache, with the split of Boulanger-Lewandowski et al. (2012); or the path
    of a file of the same format, {"train": [[[60, 64, 67], ...], ...], "valid": ..., "test": ...}. Pieces of fewer than
    `least` steps are left out.
    Raises DataError where there is no such file, or a piece in it is none.
    """
    if split not in SPLITS:
        raise DataError(f"There is no split {split!r}; choose {', '.join(SPLITS)}.")
    pieces = by_rule(split) if data == "rule" else read(find(data))[split]
    found = [piece for piece in pieces if len(piece) >= least]
    if not found:
        raise DataError(f"--data {data}: no piece of the split {split!r} has {least} steps.")
    return found


# ---- the file --------------------------------------------------------------------------------------------


def find(data=""):
    """Return the path of the file that `load` reads; raise DataError, saying how to get it, where there is none."""
    if data not in ("", "chorales"):
        path = Path(os.path.expanduser(data))
        if os.path.isdir(path):
            raise DataError(f"{path} is a folder, and MIDI files are not read: give a file such as {FILE}.")
        return path
    places = [cache_folder() / FILE]
    if given := os.environ.get("SCRATCHGAN_DATA"):
        places.insert(0, Path(os.path.expanduser(given), "music", FILE))
    found = [path for path in places if os.path.exists(path)]
    if not found:
        looked = " nor ".join(map(str, places))
        raise DataError(f"The chorales are not here, neither {looked}: take {FILE} from {SOURCE}, or --data rule.")
    return found[0]


@functools.lru_cache(maxsize=2)
def read(path):
    """Return {split: pieces} of a file; raise DataError, which says where in it, for what is no piece."""
    found = read_json(path, error=DataError)
    if not isinstance(found, dict):
        raise DataError(f'{path} holds no music: wanted {{"train": pieces, "valid": pieces, "test": pieces}}.')
    for split in SPLITS:
        if not isinstance(found.get(split), list) or not found[split]:
            raise DataError(f"{path} has no pieces of the split {split!r}, a list of lists of steps.")
    return {split: [piece(path, split, *numbered) for numbered in enumerate(found[split])] for split in SPLITS}


def piece(path, split, number, steps):
    """Return a piece of a file as a list of tuples; raise DataError where it is none."""
    where = f"{path}: piece {number} of {split}"
    if not isinstance(steps, list) or not steps:
        raise DataError(f"{where} is no list of steps, or an empty one.")
    for i, step in enumerate(steps):
        if not isinstance(step, list) or any(type(pitch) is not int for pitch in step):
            raise DataError(f"{where}, step {i} is no list of whole numbers, such as [60, 64, 67, 72].")
        outside = [pitch for pitch in step if not PIANO[0] <= pitch <= PIANO[1]]
        if outside:
            raise DataError(f"{where}, step {i} has the pitch {outside[0]}; a piano has {PIANO[0]} to {PIANO[1]}.")
    if not any(steps):
        raise DataError(f"{where} has no note.")
    return [tuple(sorted(set(step))) for step in steps]


# ---- rolls -----------------------------------------------------------------------------------------------


def windows(pieces, steps=STEPS, hop=HOP):
    """Cut windows out of pieces, one every `hop` steps: bool (N, steps, PITCHES), whether a pitch sounds.

    What is left of a piece at its end, or of one that is shorter than a window, is not used. Raises DataError for a
    pitch that a roll has no column for, and where there is no window at all.
    """
    rolls = [roll(steps_of)[start : start + steps] for steps_of in pieces
             for start in range(0, len(steps_of) - steps + 1, hop)]  # fmt: skip
    if not rolls:
        raise DataError(f"No piece has {steps} steps, as many as a window.")
    return np.stack(rolls)


def roll(piece):
    """Return a whole piece as bool (steps, PITCHES); raise DataError for a pitch that has no column."""
    sounds = np.zeros((len(piece), PITCHES), bool)
    for row, step in zip(sounds, piece, strict=True):
        for pitch in step:
            if not LOWEST <= pitch < LOWEST + PITCHES:
                reach = f"{LOWEST} to {LOWEST + PITCHES - 1}"
                raise DataError(f"The pitch {pitch} lies outside of a roll, which has {reach}: transpose the piece.")
            row[pitch - LOWEST] = True
    return sounds


def notes(sounds):
    """Return the notes of a roll, bool (steps, PITCHES), as [(first step, steps, pitch)], in order of time.

    A pitch that sounds in steps one after another is one note: the file does not tell a repeated note from a held one.
    """
    silent = np.zeros((1, sounds.shape[1]), int)
    edges = np.diff(np.concatenate([silent, sounds, silent]).astype(int), axis=0)  # (steps + 1, PITCHES)
    # of each pitch by itself, in order of time: its k-th onset belongs to its k-th end
    pitches, onsets = np.nonzero(edges.T == 1)
    _, ends = np.nonzero(edges.T == -1)
    found = zip(onsets.tolist(), (ends - onsets).tolist(), (pitches + LOWEST).tolist(), strict=True)
    return sorted(found)


def sung(p, rng=None):
    """Return the windows that voices sing: bool (N, steps, PITCHES); each its likeliest pitch, or one that is drawn.

    p: (N, steps, voices, PITCHES + 1), the probabilities of a voice's pitches, and of silence at the end. With an
    `rng`, a pitch is drawn with its probability. Two voices of one pitch are one note.
    """
    chosen = p.argmax(axis=-1)
    if rng is not None:
        reached = p.cumsum(axis=-1)
        chosen = (reached[..., :-1] <= rng.random((*p.shape[:-1], 1)) * reached[..., -1:]).sum(axis=-1)
    return np.eye(PITCHES + 1, dtype=bool)[chosen].any(axis=2)[..., :PITCHES]


def in_a_row(windows, rest):
    """Return the notes of windows, one window after the other, with so many silent steps between two."""
    length = windows.shape[1] + rest
    return [(i * length + start, steps, pitch) for i, window in enumerate(windows)
            for start, steps, pitch in notes(window)]  # fmt: skip


def pictures(windows):
    """Draw rolls, bool (N, steps, PITCHES): time to the right, pitch upwards; uint8 (N, 3 PITCHES, 6 steps, 1).

    Notes are black. Where a bar begins there is a light line, and another at each C.
    """
    paper = np.full(windows.shape[1:], 255, np.uint8)
    paper[:, (np.arange(PITCHES) + LOWEST) % 12 == 0] = 215
    ink = np.where(windows, 0, paper)[:, :, ::-1].transpose(0, 2, 1)  # (N, PITCHES, steps)
    cells = ink.repeat(3, axis=1).repeat(6, axis=2)  # a beat is 6 pixels wide, a semitone 3 pixels high
    bars = cells[:, :, :: 6 * BAR]
    bars[bars == 255] = 215
    return cells[..., None]


# ---- music by rule ---------------------------------------------------------------------------------------

COUNTS = {"train": 229, "valid": 76, "test": 77}  # as many as there are chorales
CHORDS = {  # pitch classes, the root first
    "C": (0, 4, 7), "Dm": (2, 5, 9), "E": (4, 8, 11), "F": (5, 9, 0), "G": (7, 11, 2), "Am": (9, 0, 4),
}  # fmt: skip
FOLLOWS = {  # in C major and in A minor: what may come after a chord, as often as it stands there
    "major": {
        "C": ("F", "G", "Am", "Dm", "C"), "Dm": ("G", "G", "F"), "F": ("G", "C", "Dm"), "G": ("C", "C", "Am"),
        "Am": ("F", "Dm", "G"),
    },
    "minor": {
        "Am": ("Dm", "E", "F", "C", "Am"), "Dm": ("E", "E", "Am"), "F": ("Dm", "E", "C"), "E": ("Am", "Am", "F"),
        "C": ("F", "G"), "G": ("C", "Am"),
    },
}  # fmt: skip
CADENCES = {"major": ("F", "G", "C"), "minor": ("Dm", "E", "Am")}  # the end of a phrase, which is held for a step more
PHRASE = 8  # steps
RANGES = ((43, 60), (48, 67), (55, 74), (60, 81))  # bass, tenor, alto, soprano
INVERTED, PARALLEL, WARMTH = 6.0, 40.0, 1.5  # costs of a third in the bass, of parallel fifths; softness of a choice


@functools.lru_cache(maxsize=3)
def by_rule(split):
    """Make the pieces of a split: phrases of chords, whose four voices move as little as they can."""
    rng = np.random.default_rng([SPLITS.index(split), 1685])
    return tuple(make_piece(rng) for _ in range(COUNTS[split]))


def make_piece(rng):
    """Return one piece of four to eight phrases: a list of tuples of four pitches."""
    key = ("major", "minor")[rng.integers(2)]
    steps, voices = [], None
    for _ in range(rng.integers(4, 9)):
        for chord in phrase(key, rng):
            if voices is None or set(CHORDS[chord]) != {int(pitch) % 12 for pitch in voices} or rng.random() < 0.3:
                voices = move(voices, chord, rng)  # else the chord is held
            steps.append(tuple(voices.tolist()))
    return steps


def phrase(key, rng):
    """Return the chords of a phrase, a step each: a walk through FOLLOWS, and a cadence."""
    end = CADENCES[key]
    chords = [end[-1]]
    while len(chords) < PHRASE - len(end) - 1:
        follow = FOLLOWS[key][chords[-1]]
        chords.append(follow[rng.integers(len(follow))])
    return [*chords, *end, end[-1]]


def move(voices, chord, rng):
    """Return the pitches of the next chord, (4,): the nearer, the likelier; parallel fifths and octaves are not."""
    choices = voicings(chord)  # (V, 4)
    cost = INVERTED * (choices[:, 0] % 12 != CHORDS[chord][0])
    if voices is not None:
        cost = cost + np.abs(choices - voices).sum(axis=1)
        for low, high in itertools.combinations(range(4), 2):
            before, after = voices[high] - voices[low], choices[:, high] - choices[:, low]
            hollow = (before % 12 == after % 12) & (before % 12 in (0, 7)) & (choices[:, low] != voices[low])
            cost = cost + PARALLEL * hollow
    weights = np.exp(-(cost - cost.min()) / WARMTH)
    return choices[rng.choice(len(choices), p=weights / weights.sum())]


@functools.cache
def voicings(chord):
    """Return all ways to give a chord to four voices, ascending, the upper three within octaves: (V, 4)."""
    root, third, _ = classes = CHORDS[chord]
    tones = [[pitch for pitch in range(low, high + 1) if pitch % 12 in classes] for low, high in RANGES]
    found = [four for four in itertools.product(*tones) if four[0] % 12 in (root, third)
             and {pitch % 12 for pitch in four} == set(classes) and four[0] < four[1] < four[2] < four[3]
             and four[2] - four[1] <= 12 and four[3] - four[2] <= 12]  # fmt: skip
    return np.array(found)
