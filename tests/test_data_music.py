"""Music: the file of chorales and what is no such file, rolls and notes, and the pieces that are made by rule."""

import itertools
import json
import os

import numpy as np
import pytest

from scratchgan.data import music
from scratchgan.support.errors import DataError


def there():
    try:
        return music.find()
    except DataError:
        return None


needs_chorales = pytest.mark.skipif(there() is None, reason=f"the chorales, {music.FILE}, are not here")
PIECE = [[60, 64], [], [67, 60, 60]]


def written(tmp_path, content):
    path = tmp_path / "pieces.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


# ---- the file --------------------------------------------------------------------------------------------


@needs_chorales
def test_the_chorales():
    """229, 76 and 77 pieces, and as many windows as docs/music.md says."""
    pieces = {split: music.load(split) for split in music.SPLITS}
    assert [len(found) for found in pieces.values()] == [229, 76, 77]
    assert [len(music.windows(found)) for found in pieces.values()] == [2718, 906, 934]
    pitches = [pitch for found in pieces.values() for piece in found for step in piece for pitch in step]
    assert (min(pitches), max(pitches), len(pitches)) == (43, 96, 90_002)
    assert pieces["train"][0][:2] == [(60, 72, 79, 88), (72, 79, 88)]
    assert music.load("valid", "chorales") == pieces["valid"]


def test_a_file_of_ones_own(tmp_path):
    path = written(tmp_path, {"train": [PIECE], "valid": [PIECE], "test": [PIECE, PIECE]})
    assert music.load("train", path) == [[(60, 64), (), (60, 67)]]  # ascending, each pitch once
    assert len(music.load("test", path)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON file"),
        ("MThd", "is no JSON file"),
        ([1, 2], "holds no music"),
        ({}, "has no pieces of the split 'train'"),
        ({"train": [], "valid": [PIECE], "test": [PIECE]}, "has no pieces of the split 'train'"),
        ({"train": [PIECE], "valid": [PIECE]}, "has no pieces of the split 'test'"),
        ({"train": [PIECE], "valid": [PIECE, []], "test": [PIECE]}, "piece 1 of valid is no list of steps"),
        ({"train": [60], "valid": [PIECE], "test": [PIECE]}, "piece 0 of train is no list of steps"),
        ({"train": [[60]], "valid": [PIECE], "test": [PIECE]}, "piece 0 of train, step 0 is no list of whole numbers"),
        ({"train": [[["C4"]]], "valid": [PIECE], "test": [PIECE]}, "step 0 is no list of whole numbers"),
        ({"train": [[[60], [60.5]]], "valid": [PIECE], "test": [PIECE]}, "step 1 is no list of whole numbers"),
        ({"train": [[[True]]], "valid": [PIECE], "test": [PIECE]}, "step 0 is no list of whole numbers"),
        ({"train": [[[60], [109]]], "valid": [PIECE], "test": [PIECE]}, "step 1 has the pitch 109; a piano has 21"),
        ({"train": [[[-1]]], "valid": [PIECE], "test": [PIECE]}, "has the pitch -1"),
        ({"train": [[[], []]], "valid": [PIECE], "test": [PIECE]}, "piece 0 of train has no note"),
    ],
)
def test_a_file_that_is_no_music(tmp_path, content, message):
    with pytest.raises(DataError) as error:
        music.load("train", written(tmp_path, content))
    assert message in str(error.value) and "pieces.json" in str(error.value) and "\n" not in str(error.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "tune.mid").write_bytes(b"MThd")
    with pytest.raises(DataError, match="is a folder, and MIDI files are not read: give a file such as jsb"):
        music.load("train", str(tmp_path))


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="There is no file nowhere.json"):
        music.load("train", "nowhere.json")
    monkeypatch.setenv("SCRATCHGAN_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match="take jsb-chorales-quarter.json from github.com/czhuang/JSB-Chorales-dataset"):
        music.load("train")
    os.mkdir(tmp_path / "music")
    (tmp_path / "music" / music.FILE).write_text(json.dumps({split: [PIECE] for split in music.SPLITS}))
    assert music.load("test") == [[(60, 64), (), (60, 67)]]


def test_a_split_that_is_not_there():
    with pytest.raises(DataError, match="There is no split 'validation'; choose train, valid, test"):
        music.load("validation", "rule")


def test_who_changes_a_list_changes_nobody_elses():
    music.load("test", "rule").clear()
    assert len(music.load("test", "rule")) == 77


# ---- rolls and notes -------------------------------------------------------------------------------------


def test_windows_begin_with_bars():
    """One every four steps; what is left at the end is not used, and nothing is padded."""
    piece = [(41 + step,) for step in range(27)]
    windows = music.windows([piece, piece[:15]])
    assert windows.shape == (3, 16, 56) and windows.dtype == bool
    for i, window in enumerate(windows):
        assert np.argwhere(window).tolist() == [[step, 4 * i + step] for step in range(16)]


def test_pieces_that_have_no_window():
    with pytest.raises(DataError, match="No piece has 16 steps"):
        music.windows([[(60,)] * 15])
    for pitch in (40, 97):
        with pytest.raises(DataError, match=f"The pitch {pitch} lies outside of a roll, which has 41 to 96"):
            music.windows([[(pitch,)] * 16])
    assert music.windows([[(41, 96)] * 16])[0, :, [0, 55]].all()


def test_notes_of_a_roll():
    """A note at the window's first and last step, one that is held, one that comes again after a rest; two at once."""
    piece = [(60, 72), (60,), (), (60,), (60, 64), (60, 64)]
    found = music.notes(music.roll(piece))
    assert found == [(0, 1, 72), (0, 2, 60), (3, 3, 60), (4, 2, 64)]
    assert music.notes(np.ones((5, 56), bool)) == [(0, 5, pitch) for pitch in range(41, 97)]
    assert music.notes(np.zeros((5, 56), bool)) == []


def test_notes_make_their_roll_again():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sounds, again = rng.random((16, 56)) < 0.4, np.zeros((16, 56), int)
        for start, steps, pitch in music.notes(sounds):
            again[start : start + steps, pitch - 41] += 1
        np.testing.assert_array_equal(again, sounds)


def test_windows_in_a_row():
    windows = music.windows([[(60,)] * 16, [(62,)] * 16])
    assert music.in_a_row(windows, rest=2) == [(0, 16, 60), (18, 16, 62)]


def test_a_picture_of_a_roll():
    """Time goes to the right, pitch upwards."""
    windows = np.zeros((1, 16, 56), bool)
    windows[0, 3, 0] = windows[0, 15, 55] = True
    (picture,) = music.pictures(windows)
    assert picture.shape == (168, 96, 1) and picture.dtype == np.uint8
    black = np.argwhere(picture[..., 0] == 0)
    assert {tuple(cell) for cell in black // [3, 6]} == {(55, 3), (0, 15)} and len(black) == 2 * 18


# ---- music by rule ---------------------------------------------------------------------------------------


def test_pieces_by_rule_keep_the_rules():
    """Four voices in their ranges that never cross, chords of three notes, root or third in the bass."""
    pieces = music.load("train", "rule")
    chords = {frozenset(notes): name for name, notes in music.CHORDS.items()}
    assert len(pieces) == 229
    for piece in pieces:
        assert len(piece) % music.PHRASE == 0
        for step in piece:
            assert len(step) == 4 and list(step) == sorted(set(step))
            assert all(low <= pitch <= high for pitch, (low, high) in zip(step, music.RANGES, strict=True))
            classes = music.CHORDS[chords[frozenset(pitch % 12 for pitch in step)]]
            assert step[0] % 12 in classes[:2]
        for end in range(music.PHRASE - 1, len(piece), music.PHRASE):
            assert {pitch % 12 for pitch in piece[end]} in ({0, 4, 7}, {9, 0, 4})


def test_parallel_fifths_and_octaves_are_rare():
    """Voices that move together in octaves sound as one; of chords that are drawn at random, many more have some."""

    def share(pairs):
        parallel = [any(before[j] != after[j] and (before[j] - before[i]) % 12 == (after[j] - after[i]) % 12 in (0, 7)
                        for i, j in itertools.combinations(range(4), 2)) for before, after in pairs]  # fmt: skip
        return np.mean(parallel)

    pieces = music.load("train", "rule")
    steps = [step for piece in pieces for step in piece]
    shuffled = [steps[i] for i in np.random.default_rng(0).permutation(len(steps))]
    assert share(pair for piece in pieces for pair in itertools.pairwise(piece)) < 0.01 < 0.1
    assert share(itertools.pairwise(shuffled)) > 0.15


def test_splits_by_rule_differ_and_stay():
    splits = {split: music.load(split, "rule") for split in music.SPLITS}
    assert [len(pieces) for pieces in splits.values()] == [229, 76, 77]
    rolls = {split: {window.tobytes() for window in music.windows(pieces)} for split, pieces in splits.items()}
    assert not rolls["train"] & rolls["test"] and not rolls["train"] & rolls["valid"]
    music.by_rule.cache_clear()
    assert music.load("valid", "rule") == splits["valid"]
