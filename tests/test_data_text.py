"""Texts: fables made by rule, tiny Shakespeare, files of one's own; the cut, windows, streams, and bad input."""

import re

import numpy as np
import pytest

from scratchgan.data import Batches, text
from scratchgan.support.errors import DataError

SENTENCE = "A hen and a fox went to the mill. "


@pytest.fixture(autouse=True)
def anew():
    text.load.cache_clear()
    yield
    text.load.cache_clear()


def written(tmp_path, content, name="own.txt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


# ---- the cut ---------------------------------------------------------------------------------------------


def test_numbers_and_letters_say_the_same(tmp_path):
    own = text.load(written(tmp_path, SENTENCE * 50))
    again = "".join(own.lines(own.train[None]) + own.lines(own.test[None]))
    assert again == SENTENCE * 50 and own.alphabet == "".join(sorted(set(SENTENCE)))
    assert (len(own.train), len(own.test)) == (1530, 170) and own.unknown == 0 and own.bits is None
    assert own.train.dtype == own.test.dtype == np.int64


def test_what_only_the_held_out_part_has_is_left_out_there_and_counted(tmp_path):
    own = text.load(written(tmp_path, "ab" * 45 + "aXbYbaaaZb"))
    assert own.alphabet == "ab" and own.unknown == 3
    assert own.lines(own.test[None]) == ["abbaaab"]


@pytest.mark.parametrize("letters", ["äöü€ß ", "あいうえお", "😀🙂🙃a", "а б в"])
def test_letters_of_all_kinds(letters, tmp_path):
    own = text.load(written(tmp_path, letters * 60))
    assert set(own.alphabet) == set(letters)
    assert own.lines(own.train[None, :50])[0] == (letters * 60)[:50]


def test_line_ends_and_a_byte_order_mark(tmp_path):
    own = text.load(written(tmp_path, b"\xef\xbb\xbf" + b"one\r\ntwo\rthree\n" * 20))
    assert "\r" not in own.alphabet and "\n" in own.alphabet and "\ufeff" not in own.alphabet


def test_windows_are_one_hot_and_all_of_their_part(tmp_path):
    own = text.load(written(tmp_path, SENTENCE * 50))
    windows = own.windows(32)
    assert windows.shape == (1530 - 31, 32, len(own.alphabet)) and len(windows) == 1499
    some = windows[np.array([0, 7, 1498])]
    assert some.dtype == np.float32 and (some.sum(axis=-1) == 1).all() and set(np.unique(some)) == {0, 1}
    said = own.lines(some.argmax(axis=-1))
    assert said == [(SENTENCE * 50)[i : i + 32] for i in (0, 7, 1498)]
    np.testing.assert_array_equal(windows[7], some[1])
    assert own.windows(32, "test").shape[0] == 170 - 31


def test_no_window_of_the_training_part_shows_a_held_out_character(tmp_path):
    own = text.load(written(tmp_path, "ab" * 450 + "ba" * 50))
    shown = own.windows(10)
    assert len(shown) + 9 == len(own.train) == 900
    assert own.lines(shown.rows[-1:])[0] == "ab" * 5


def test_batches_take_windows():
    batches = Batches(text.load().windows(32), batch_size=5, rng=np.random.default_rng(0))
    first, second = batches.next(), batches.next()
    assert first.shape == second.shape and first.shape[:2] == (5, 32) and first.dtype == np.float32
    assert not np.array_equal(first, second)


def test_streams_cut_the_text_among_readers(tmp_path):
    """Each reads on where it stopped: the last character of a window is the first of the next one."""
    own = text.load(written(tmp_path, SENTENCE * 50))
    windows = own.windows(17)  # 16 characters to tell
    streams = windows.streams(4)
    assert streams.shape == (1529 // 16 // 4, 4)
    for a, b in zip(streams, streams[1:], strict=False):
        assert (windows.rows[a, -1] == windows.rows[b, 0]).all()
    read = np.concatenate([windows.rows[streams[:, i], 1:].reshape(-1) for i in range(4)])
    np.testing.assert_array_equal(read, own.train[1 : 1 + len(read)])  # everything once
    assert streams.max() < len(windows)


@pytest.mark.parametrize("extra", range(5))
def test_streams_of_a_text_that_is_just_long_enough(extra):
    windows = text.Windows(np.arange(3 * 4 + 1 + extra) % 2, 5, 2)
    assert windows.streams(3).tolist() == [[0, 4, 8]]
    with pytest.raises(DataError, match="too short for 5 streams of 5 characters: lower --batch-size"):
        windows.streams(5)


# ---- fables ----------------------------------------------------------------------------------------------


def test_fables_are_always_the_same_and_read_well():
    made, bits = text.fables(50)
    assert (made, bits) == text.fables(50) and made != text.fables(50, seed=1)[0]
    assert made.count("\n\n") == 50 and 0.2 < bits < 0.3
    assert not re.search(r"\b[Aa] ([aeiou]|honest)", made) and not re.search(r"\b[Aa]n (?!honest)[^aeiou]", made)
    assert "{" not in made and all(line[:1].isupper() or line[:1] in ('"', "") for line in made.splitlines())


def test_the_bits_of_a_fable_are_its_choices():
    """A rule with three patterns and a slot of two words takes log2 6 bits."""
    choices = text.Slots(np.random.default_rng(0))
    choices.choose(["x", "y", "z"])
    assert choices["time"] in text.SLOTS["time"] and choices["time"] == choices["time"]
    assert choices.bits == pytest.approx(np.log2(3) + np.log2(len(text.SLOTS["time"])))


def test_no_word_stands_for_two_slots_of_one_fable():
    for seed in range(20):
        slots = text.Slots(np.random.default_rng(seed))
        names = [slots[name] for name in text.SLOTS]
        assert len(set(names)) == len(names)


def test_the_default_is_cut_and_has_its_bits():
    fables = text.load()
    assert len(fables.train) > 300_000 and fables.unknown == 0 and fables.bits == text.fables()[1]
    assert text.load() is fables


# ---- places ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["text", "."])
def test_tiny_shakespeare_is_found_by_data_dir(folder, tmp_path):
    (tmp_path / folder).mkdir(exist_ok=True)
    written(tmp_path / folder, SENTENCE * 50, text.SHAKESPEARE)
    assert len(text.load("shakespeare", str(tmp_path)).train) == 1530


def test_tiny_shakespeare_is_found_where_the_data_are(tmp_path, monkeypatch):
    (tmp_path / "text").mkdir()
    written(tmp_path / "text", SENTENCE * 50, text.SHAKESPEARE)
    monkeypatch.setenv("SCRATCHGAN_DATA", str(tmp_path))
    assert len(text.load("shakespeare").train) == 1530


def test_tiny_shakespeare_that_is_nowhere(tmp_path):
    with pytest.raises(DataError, match=r"There is no tinyshakespeare.txt in .* put it there, or take --data fables"):
        text.load("shakespeare", str(tmp_path))


# ---- bad input: a line each --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "shows 'a' alone in its training part"),
        (b"a" * 95 + b"b" * 5, "shows 'a' alone in its training part"),
        (b"x", "shows no character in its training part"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "is no text in UTF-8, from byte 0 on"),
        (b"text with a zero \0 in it" * 9, "is no text: it holds a zero byte"),
        ("Grüße".encode("latin-1") * 9, "is no text in UTF-8, from byte 2 on"),
    ],
)
def test_files_that_hold_no_text(content, message, tmp_path):
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        text.load(written(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(DataError, match="none.txt: it is none of fables, shakespeare, and no file"):
        text.load(str(tmp_path / "none.txt"))
    with pytest.raises(DataError, match="is a folder; a text is fables, shakespeare, or a file"):
        text.load(str(tmp_path))


def test_a_text_shorter_than_a_window(tmp_path):
    own = text.load(written(tmp_path, "abcdefghij" * 4))
    with pytest.raises(DataError, match="a training part of 36 characters, shorter than a window of 64"):
        own.windows(64)
    with pytest.raises(DataError, match="a held-out part of 4 characters, shorter than a window of 32"):
        own.windows(32, "test")
