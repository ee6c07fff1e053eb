"""Features of music: each against a plain count, note by note; the floor of the chorales; public bugs, planted."""

import collections
import inspect
import math
import textwrap

import numpy as np
import pytest
from test_data_music import needs_chorales

from scratchgan.data import music as data
from scratchgan.metrics import music
from scratchgan.metrics.wasserstein import distance_1d


def window(*steps):
    """Return one window of these steps, filled up with silence: bool (1, 16, 56)."""
    return data.windows([[*steps, *[()] * (16 - len(steps))]])


def drawn(n=12, share=0.06):
    """Return random windows, among them one that is empty, and one with a silent half."""
    rolls = np.random.default_rng(0).random((n, 16, 56)) < share
    rolls[0] = rolls[1, :8] = False
    return rolls


def feature(rolls, name):
    return music.features(rolls)[name]


# ---- each feature, longhand ------------------------------------------------------------------------------


def longhand(roll):
    """Return the ten features of one window by loops over its notes."""
    steps = [[pitch + 41 for pitch in range(56) if row[pitch]] for row in roll]
    sounding = [pitch for step in steps for pitch in step]
    classes = [pitch % 12 for pitch in sounding]
    majors = [{(root + step) % 12 for step in (0, 2, 4, 5, 7, 9, 11)} for root in range(12)]
    lengths = []
    for pitch in range(41, 97):
        row = "".join("x" if pitch in step else " " for step in steps)
        lengths += map(len, row.split())
    tops = [max(step) if step else None for step in steps]
    moves = [abs(b - a) for a, b in zip(tops, tops[1:], strict=False) if a is not None and b is not None]
    centroids = []
    for step in steps:
        points = [(math.sin(p * 7 * math.pi / 6), math.cos(p * 7 * math.pi / 6), math.sin(p * 3 * math.pi / 2),
                   math.cos(p * 3 * math.pi / 2), math.sin(p * 2 * math.pi / 3) / 2,
                   math.cos(p * 2 * math.pi / 3) / 2) for p in step]  # fmt: skip
        centroids.append(tuple(sum(axis) / len(points) for axis in zip(*points, strict=True)) if points else (0,) * 6)
    counts = collections.Counter(classes)
    shares = [count / len(classes) for count in counts.values()]
    return {
        "pitch classes a bar": sum(len({p % 12 for s in steps[i : i + 4] for p in s}) for i in (0, 4, 8, 12)) / 4,
        "pitch classes in all": len(counts),
        "beats of four notes": sum(len(step) == 4 for step in steps) / 16,
        "empty beats": sum(not step for step in steps) / 16,
        "scale consistency": max(sum(c in scale for c in classes) for scale in majors) / max(len(classes), 1),
        "entropy of pitch classes": -sum(p * math.log2(p) for p in shares),
        "span, semitones": max(sounding, default=0) - min(sounding, default=0),
        "notes of two beats": sum(length >= 2 for length in lengths) / max(len(lengths), 1),
        "tonal distance": sum(map(math.dist, centroids, centroids[1:])) / 15,
        "step of the soprano": sum(moves) / max(len(moves), 1),
    }


def each_feature_is_what_it_says():
    rolls = drawn()
    found = music.features(rolls)
    for i, roll in enumerate(rolls):
        for name, wanted in longhand(roll).items():
            assert found[name][i] == pytest.approx(wanted, abs=1e-12), (name, i)
    assert all(values.shape == (12,) and values.dtype == float for values in found.values())


def test_each_feature_is_what_it_says():
    each_feature_is_what_it_says()


def test_features_of_one_chord():
    """C major, four voices, held through a window: one tonal centroid, one scale or more, nothing moves."""
    rolls = data.windows([[(48, 64, 67, 72)] * 16])
    found = {name: float(values[0]) for name, values in music.features(rolls).items()}
    assert found == {
        "pitch classes a bar": 3, "pitch classes in all": 3, "beats of four notes": 1, "empty beats": 0,
        "scale consistency": 1, "entropy of pitch classes": 1.5, "span, semitones": 24, "notes of two beats": 1,
        "tonal distance": 0, "step of the soprano": 0,
    }  # fmt: skip


def test_octaves_are_one_pitch_class():
    """And neighbours are two: a chroma by reshape adds those."""
    (counts,) = music.chroma(window((48, 60, 72), (48, 49), (41, 96)))
    assert counts[0].tolist() == [3, *[0] * 11]
    assert counts[1].tolist() == [1, 1, *[0] * 10]
    assert np.flatnonzero(counts[2]).tolist() == [0, 5]  # 41 is an F, 96 a C


def test_an_empty_beat_has_no_note():
    assert feature(window((60,), (60,), (60,), (60,)), "empty beats") == 12 / 16


def test_every_major_scale_is_a_scale_and_nothing_else():
    major = [0, 2, 4, 5, 7, 9, 11]
    for root in range(12):
        steps = [(60 + (root + step) % 12,) for step in major]
        assert feature(window(*steps), "scale consistency") == 1
        minor = [(60 + (root + step) % 12,) for step in (0, 2, 3, 5, 7, 8, 10)]
        assert feature(window(*minor), "scale consistency") == 1  # a natural minor scale is a major one elsewhere
        lydian = [(60 + (root + step) % 12,) for step in (0, 1, 2, 5, 7, 9, 11)]
        assert feature(window(*lydian), "scale consistency") < 1
    assert feature(data.windows([[tuple(range(60, 72))] * 16]), "scale consistency") == pytest.approx(7 / 12)
    assert [int(row.sum()) for row in music.SCALES] == [7] * 12
    assert np.flatnonzero(music.SCALES[7]).tolist() == [0, 2, 4, 6, 7, 9, 11]  # G major has an F sharp


def test_notes_are_held_by_their_own_pitch():
    """60 sounds for four beats, 62 for one meanwhile: k-th onset and k-th end across pitches would give 2 and 3."""
    assert feature(window((60,), (60, 62), (60,), (60,)), "notes of two beats") == 1 / 2
    assert feature(window((60,), (60,)), "notes of two beats") == 1  # two beats are enough
    assert feature(window((60,), (), (60,), (62,)), "notes of two beats") == 0
    assert feature(data.windows([[()] * 14 + [(60,)] * 2]), "notes of two beats") == 1  # at the window's end
    assert feature(data.windows([[(60,)] * 16]), "notes of two beats") == 1  # from border to border


def test_shares_are_shares():
    found = music.features(np.random.default_rng(1).random((30, 16, 56)) < np.linspace(0, 1, 30)[:, None, None])
    for name in ("beats of four notes", "empty beats", "scale consistency", "notes of two beats"):
        assert (found[name] >= 0).all() and (found[name] <= 1).all()


def test_four_notes_are_neither_three_nor_five():
    rolls = window((48, 55, 64, 72), (48, 55, 64), (48, 55, 60, 64, 72), (50, 57, 65, 74))
    assert feature(rolls, "beats of four notes") == 2 / 16


def test_tonal_distance_of_known_chords():
    """From C to its fifth G is a shorter way than to F sharp, as far away as a key can be."""
    to_G, to_F_sharp = (feature(window((60,), (pitch,)), "tonal distance")[0] for pitch in (67, 66))
    assert to_G < to_F_sharp
    silence = math.sqrt(2.25)  # a single note lies on all three circles: 1 + 1 + 1/4
    fifth = math.sqrt(4 * math.sin(math.pi / 12) ** 2 + 4 * math.sin(3 * math.pi / 4) ** 2 + math.sin(math.pi / 3) ** 2)
    assert to_G * 15 == pytest.approx(fifth + silence)


def test_no_note_no_trouble():
    """Nothing is divided by zero, and no number is a NaN."""
    found = music.features(np.zeros((2, 16, 56), bool))
    assert {name: float(values[0]) for name, values in found.items() if values[0]} == {"empty beats": 1.0}


# ---- against other windows -------------------------------------------------------------------------------


def test_measured_are_means_and_distances():
    rolls, train, test = drawn(12), drawn(20, 0.1), drawn(9, 0.05)
    found = music.measured(rolls, train, test)
    for name, values in music.features(rolls).items():
        assert found[name] == pytest.approx(values.mean())
        assert found[f"{name}, W1"] == pytest.approx(distance_1d(values, feature(test, name)))
    assert len(found) == 23


def test_nearest_counts_cells_that_differ():
    rolls, train = drawn(7), drawn(9, 0.2)[::-1]
    wanted = [min(int((roll != known).sum()) for known in train) for roll in rolls]
    assert music.nearest(rolls, train).tolist() == wanted


def test_known_chords_are_whole_chords():
    """Three of its notes, or four notes and one more, are another chord."""
    train = window((48, 55, 64, 72), (50, 57))
    rolls = window((50, 57), (48, 55, 64), (48, 55, 64, 72), (48, 55, 60, 64, 72))
    assert music.known_chords(rolls, train) == 14 / 16  # and the silence


def test_copies_are_found():
    train, rolls = drawn(20, 0.1), drawn(10, 0.07)
    rolls[3], rolls[4] = train[15], train[16]
    rolls[4, 0, 0] ^= True  # one cell of 896
    found = music.measured(rolls, train, train)
    assert found["copies"] == 2 / 10  # the empty one, too
    assert music.nearest(rolls, train)[[3, 4]].tolist() == [0, 1]


@needs_chorales
def test_the_chorales_have_the_published_floor():
    """The values of docs/music.md, which a good generator would have."""
    train, test = (music.features(data.windows(data.load(split))) for split in ("train", "test"))
    wanted = {
        "pitch classes a bar": (6.30, 6.36), "pitch classes in all": (8.65, 8.63),
        "beats of four notes": (0.902, 0.895), "empty beats": (0.002, 0.004),
        "scale consistency": (0.948, 0.950), "entropy of pitch classes": (2.80, 2.80),
        "span, semitones": (31.1, 30.9), "notes of two beats": (0.331, 0.320), "tonal distance": (0.947, 0.977),
        "step of the soprano": (1.63, 1.66),
    }  # fmt: skip
    for name, (of_train, of_test) in wanted.items():
        digits = 3 if of_train < 1 else 1 if of_train > 20 else 2
        assert round(float(train[name].mean()), digits) == of_train, name
        assert round(float(test[name].mean()), digits) == of_test, name


def test_independent_notes_have_the_right_frequencies():
    pieces = [[(60, 64)] * 3 + [(60,)]] * 5
    rolls = music.independent(pieces, 500, np.random.default_rng(0))
    assert rolls.shape == (500, 16, 56) and rolls.dtype == bool
    often = rolls.mean(axis=(0, 1))
    assert often[60 - 41] == 1 and often[64 - 41] == pytest.approx(0.75, abs=0.02) and often.sum() < 1.8


def test_a_chord_follows_as_often_as_it_does():
    """a is followed by b or c, one to two; nothing follows d, where a window begins anew."""
    a, b, c, d = (60,), (62,), (64,), (65,)
    pieces = [[a, b, a, c, a, c, a, b, a, c, a, c, d]]
    rolls = music.chord_chain(pieces, 400, np.random.default_rng(0))
    chords = [[41 + int(step.argmax()) for step in roll] for roll in rolls]
    pairs = collections.Counter(pair for row in chords for pair in zip(row, row[1:], strict=False))
    assert {row[0] for row in chords} == {60}
    assert pairs.keys() == {(60, 62), (60, 64), (62, 60), (64, 60), (64, 65), (65, 60)}
    assert pairs[60, 62] / (pairs[60, 62] + pairs[60, 64]) == pytest.approx(1 / 3, abs=0.05)
    assert pairs[64, 65] / (pairs[64, 60] + pairs[64, 65]) == pytest.approx(1 / 4, abs=0.05)


def test_baselines():
    pieces = {split: data.load(split, "rule")[:20] for split in ("train", "test")}
    found = music.baselines(pieces["train"], pieces["test"], 60)
    assert list(found) == ["floor", "independent", "chord chain"]
    assert len({tuple(numbers) for numbers in found.values()}) == 1
    floor, independent, chain = found.values()
    assert floor["beats of four notes"] == chain["beats of four notes"] == 1 > independent["beats of four notes"]
    assert floor["copies"] == 0 and floor["nearest training window"] > 20  # of test windows, not of the training's own
    assert music.baselines(pieces["train"], pieces["test"], 60) == found


# ---- bugs of public code, planted: for each, a test above must fail ---------------------------------------

BUGS = {
    "chroma by reshape, of neighbouring pitches": (
        music, "chroma", "octaves.reshape(N, steps, -1, 12).sum(axis=2)",
        "octaves.reshape(N, steps, 12, -1).sum(axis=3)", test_octaves_are_one_pitch_class,
    ),
    "chroma from the roll's first pitch, as if it were a C": (
        music, "chroma", "octaves[:, :, LOWEST % 12 : LOWEST % 12 + pitches]", "octaves[:, :, :pitches]",
        test_octaves_are_one_pitch_class,
    ),
    "the share of beats that are not empty": (
        music, "features", "(sounding == 0).mean", "(sounding > 0).mean", test_an_empty_beat_has_no_note,
    ),
    "polyphony counts whole rows": (
        music, "features", "sounding = rolls.sum(axis=2)",
        "sounding = rolls.any(axis=2, keepdims=True).repeat(rolls.shape[2], axis=2).sum(axis=2)",
        test_four_notes_are_neither_three_nor_five,
    ),
    "polyphony counts every note twice": (
        music, "features", "sounding = rolls.sum(axis=2)", "sounding = 2 * rolls.sum(axis=2)",
        test_four_notes_are_neither_three_nor_five,
    ),
    "four notes or more": (
        music, "features", "(sounding == VOICES)", "(sounding >= VOICES)", test_four_notes_are_neither_three_nor_five,
    ),
    "more than two beats": (
        music, "long_notes", "lengths >= least", "lengths > least", test_notes_are_held_by_their_own_pitch,
    ),
    "long notes over steps that sound": (
        music, "long_notes", "(lengths >= least).mean()", "(lengths >= least).sum() / window.any(1).sum()",
        test_notes_are_held_by_their_own_pitch,
    ),
    "onsets counted by their steps: a ratio above 1": (
        music, "long_notes", "float((lengths >= least).mean())",
        "float((lengths >= least).sum() / len({start for start, _, _ in notes(window)}))", test_shares_are_shares,
    ),
    "k-th onset and k-th end across pitches": (
        data, "notes", "pitches, onsets = np.nonzero(edges.T == 1)\n    _, ends = np.nonzero(edges.T == -1)",
        "onsets, pitches = np.nonzero(edges == 1)\n    ends, _ = np.nonzero(edges == -1)",
        test_notes_are_held_by_their_own_pitch,
    ),
    "the window's borders are no edges": (
        data, "notes", "np.concatenate([silent, sounds, silent])", "np.concatenate([sounds[:1], sounds, sounds[-1:]])",
        each_feature_is_what_it_says,
    ),
    "the soprano is the lowest voice": (
        music, "soprano_step", "rolls.shape[2] - 1 - rolls[:, :, ::-1].argmax(axis=2)", "rolls.argmax(axis=2)",
        each_feature_is_what_it_says,
    ),
    "silence is a leap of the soprano": (
        music, "soprano_step", "sounds[:, 1:] & sounds[:, :-1]", "sounds[:, 1:] | sounds[:, :-1]",
        each_feature_is_what_it_says,
    ),
    "an entropy in nats": (music, "entropy", "np.log2", "np.log", test_features_of_one_chord),
    "copies of the test windows": (music, "measured", "nearest(rolls, train)", "nearest(rolls, test)",
                                   lambda: measured_by_longhand()),
    "the floor's copies are the training's own": (
        music, "baselines", "floor | {name: fresh[name] for name in copies}", "floor", test_baselines,
    ),
}  # fmt: skip


def measured_by_longhand():
    train, test = drawn(20, 0.1), drawn(9, 0.05)
    assert music.measured(train, train, test)["copies"] == 1


def test_copies_are_those_of_training_windows():
    measured_by_longhand()


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    home, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(home, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(home), made)
    monkeypatch.setattr(home, name, made[name])
    if hasattr(music, name):
        monkeypatch.setattr(music, name, made[name])
    with pytest.raises((AssertionError, ValueError)):
        test()


def test_a_major_scale_at_the_wrong_root_is_caught(monkeypatch):
    """A mask whose ones are those of another scale, as one library had it: 0 2 4 6 7 9 11, or one that turns back."""
    for wrong in ((0, 2, 4, 5, 7, 9, 10), (0, 2, 4, 6, 7, 9, 11)):
        masks = [[(c - root) % 12 in wrong for c in range(12)] for root in range(12)]
        monkeypatch.setattr(music, "SCALES", np.array(masks))
        with pytest.raises(AssertionError):  # a rotation of the right one finds the same best scale: see the last line
            test_every_major_scale_is_a_scale_and_nothing_else()
    monkeypatch.setattr(music, "SCALES", np.roll(music.SCALES, 1, axis=0))
    with pytest.raises(AssertionError):
        test_every_major_scale_is_a_scale_and_nothing_else()
