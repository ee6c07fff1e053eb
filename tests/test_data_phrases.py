"""Phrases: each source has one answer, answers are checked by a parser, and measures are what they say."""

import itertools
import re

import numpy as np
import pytest

from scratchgan.data import phrases
from scratchgan.data.phrases import EOS, PAD, SEP, TASKS
from scratchgan.support.errors import DataError

NUMBERS = {
    0: ("zero", "null"),
    1: ("one", "eins"),
    7: ("seven", "sieben"),
    10: ("ten", "zehn"),
    16: ("sixteen", "sechzehn"),
    20: ("twenty", "zwanzig"),
    21: ("twenty one", "ein und zwanzig"),
    30: ("thirty", "dreißig"),
    99: ("ninety nine", "neun und neunzig"),
    100: ("one hundred", "ein hundert"),
    101: ("one hundred one", "ein hundert eins"),
    112: ("one hundred twelve", "ein hundert zwölf"),
    471: ("four hundred seventy one", "vier hundert ein und siebzig"),
    1000: ("one thousand", "ein tausend"),
    1001: ("one thousand one", "ein tausend eins"),
    21_000: ("twenty one thousand", "ein und zwanzig tausend"),
    100_000: ("one hundred thousand", "ein hundert tausend"),
    101_000: ("one hundred one thousand", "ein hundert ein tausend"),
    110_021: ("one hundred ten thousand twenty one", "ein hundert zehn tausend ein und zwanzig"),
    999_999: (
        "nine hundred ninety nine thousand nine hundred ninety nine",
        "neun hundert neun und neunzig tausend neun hundert neun und neunzig",
    ),
}
SOME = sorted({*range(2000), *range(0, 10**6, 997), *(1000 * n for n in range(1000)), *(1001 * n for n in range(1000))})


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_in_two_languages(number):
    english, german = NUMBERS[number]
    assert " ".join(phrases.english(number)) == english
    assert " ".join(phrases.german(number)) == german


def test_german_words_are_read_again():
    for number in SOME:
        assert phrases.read_german(phrases.german(number)) == number


def test_what_is_no_number_is_not_read():
    """Of all rows of up to three words, the parser takes those that a number has, and no other."""
    for length in range(4):
        for words in itertools.product(phrases.GERMAN_WORDS, repeat=length):
            number = phrases.read_german(words)
            assert number is None or phrases.german(number) == words, words
    for text in (
        "vier hundert siebzig ein", "ein und zwanzig eins", "ein hundert eins tausend", "zwei und zehn", "tausend",
        "ein tausend null", "null tausend", "ein tausend ein tausend", "ein hundert ein", "eins und zwanzig",
        "zehn hundert", "hundert", "ein hundert ein hundert",
    ):  # fmt: skip
        assert phrases.read_german(text.split()) is None, text


def value(words):
    """Return what English words say, word for word."""
    thousands = total = 0
    for word in words:
        if word in phrases.ENGLISH:
            total += phrases.ENGLISH.index(word)
        elif word in phrases.ENGLISH_TENS:
            total += 20 + 10 * phrases.ENGLISH_TENS.index(word)
        elif word == "hundred":
            total *= 100
        else:
            thousands, total = 1000 * total, 0
    return thousands + total


def test_both_languages_say_the_same_number():
    for number in SOME:
        assert value(phrases.english(number)) == number
    for source, target in phrases.split(TASKS["translation"], 2000, 3)[0]:
        assert value(source) == phrases.read_german(target)


SENTENCE = "({NAMES}) (?:(?:{ADVERBS}) )?({VERBS}) (?:{COUNTS}) ({NOUNS})(?: in (?:{PLACES}))? \\."
KINDS = ("NAMES", "ADVERBS", "VERBS", "COUNTS", "NOUNS", "PLACES")
SENTENCE = SENTENCE.format(**{kind: "|".join(getattr(phrases, kind)) for kind in KINDS})


def test_a_summary_has_what_is_urgent():
    optional = {"adverb": 0, "place": 0}
    pairs = phrases.split(TASKS["summary"], 2000, 0)[0]
    for source, target in pairs:
        text = " ".join(source)
        marked = f"(urgent : )?{SENTENCE}"
        assert re.fullmatch(f"{marked}(?: {marked}){{2,5}}", text) and len(source) <= phrases.LONGEST
        urgent = [found for mark, *found in re.findall(marked, text) if mark]
        assert len(urgent) in (1, 2) and [word for found in urgent for word in found] == list(target)
        optional["place"] += text.count(" in ")
        optional["adverb"] += sum(word in phrases.ADVERBS for word in source)
    sentences = sum(source.count(".") for source, _ in pairs)
    # longer reports are left out, so a little below a third
    assert all(0.25 < count / sentences < 0.34 for count in optional.values()), optional


@pytest.mark.parametrize("name", TASKS)
def test_no_test_pair_is_trained_on(name):
    task = TASKS[name]
    few, test = phrases.split(task, 2000, 0)
    many, same = phrases.split(task, 20_000, 0)
    assert test == same and few == many[:2000] and len(test) == 2000 and len(many) == 20_000
    assert len({source for source, _ in many + test}) == 22_000
    assert all(task.valid(target) for _, target in many + test)
    for place, longest in enumerate(task.longest):
        assert max(len(pair[place]) for pair in many + test) == longest
    assert phrases.split(task, 2000, 1)[1] != test
    # an order that tells nothing: short phrases, which are all drawn early, are everywhere
    lengths = [np.mean([len(source) for source, _ in part]) for part in (test, few, many[-2000:])]
    assert np.ptp(lengths) < 0.05 * np.mean(lengths)


def test_too_many_pairs_are_refused():
    with pytest.raises(DataError, match="20,001 pairs were asked for; there are 20,000"):
        phrases.split(TASKS["translation"], 20_001, 0)
    ten = TASKS["translation"]._replace(draw=lambda rng: (("one",), ("eins",)))
    with pytest.raises(DataError, match="too few pairs: 5 were asked for, and 1 found"):
        phrases.draw(ten, 5, np.random.default_rng(0))


@pytest.mark.parametrize("name", TASKS)
def test_rows_and_back(name):
    task = TASKS[name]
    pairs = phrases.split(task, 2000, 0)[1]
    rows = phrases.rows(task, pairs)
    assert rows.shape == (2000, task.width) and rows.dtype.kind == "i"
    assert phrases.pairs_of(task, rows) == list(pairs)
    for row, (source, target) in zip(rows, pairs, strict=True):
        assert row[len(source)] == SEP and row[len(source) + 1 + len(target)] == EOS
        assert (row[len(source) + len(target) + 2 :] == PAD).all()
    assert np.count_nonzero(rows == SEP) == np.count_nonzero(rows == EOS) == 2000


def test_an_answer_without_an_end_ends_with_the_row():
    task = TASKS["translation"]
    row = phrases.rows(task, [(("one",), ("eins",))])
    row[0, 3:] = phrases.numbers(task, ["null"])
    (pair,) = phrases.pairs_of(task, row)
    assert pair == (("one",), ("eins", *["null"] * (task.width - 3)))
    row[0, 3] = SEP  # which G may say, too
    assert phrases.pairs_of(task, row)[0][1][1] == "|" and not task.valid(pair[1])


def test_what_somebody_types():
    task = TASKS["translation"]
    assert phrases.words_of(task, "Four hundred  seventy-one") == ("four", "hundred", "seventy", "one")
    assert phrases.words_of(TASKS["summary"], "urgent: anna lost two maps.")[:3] == ("urgent", ":", "anna")
    with pytest.raises(DataError, match=r"Unknown words \(fourty\); the words are: eight, .*, zero\.$") as error:
        phrases.words_of(task, "fourty one")
    assert "\n" not in str(error.value)
    for text, words in (("", 0), ("one " * 10, 10)):
        with pytest.raises(DataError, match=f"A phrase of {words} words: wanted 1 to 9"):
            phrases.words_of(task, text)


def test_measures_by_hand():
    task = TASKS["translation"]
    truths = [("ein", "und", "zwanzig"), ("eins",), ("zwei", "hundert")]
    targets = [("zwanzig", "und", "ein"), ("eins",), ("zwei", "hundert", "hundert", "acht")]
    found = phrases.measures(task, targets, truths)
    assert found["exact match"] == pytest.approx(1 / 3) and found["valid"] == pytest.approx(1 / 3)
    assert found["words in place"] == pytest.approx((1 + 1 + 2) / (3 + 1 + 4))
    assert found["F1 of words"] == pytest.approx((1 + 1 + 4 / 6) / 3)
    assert set(phrases.measures(task, truths, truths).values()) == {1.0}
    assert phrases.measures(task, [()] * 3, truths)["F1 of words"] == 0  # nothing said


def test_simple_rules():
    task = TASKS["translation"]
    assert task.rule(phrases.english(471)) == ("vier", "hundert", "siebzig", "ein")
    assert task.rule(phrases.english(4070)) == phrases.german(4070)
    report = "ben sold two maps in rome . urgent : anna quickly lost six books ."
    assert TASKS["summary"].rule(tuple(report.split())) == ("ben", "sold", "maps")


def test_the_nearest_pair_by_its_words():
    task = TASKS["summary"]
    known, test = phrases.split(task, 2000, 0)
    sources = [source for source, _ in test[:50]]
    found = phrases.nearest(task, known, sources)
    for source, answer in zip(sources, found, strict=True):
        gaps = [sum((source.count(w) - other.count(w)) ** 2 for w in task.words) for other, _ in known[:300]]
        near = [sum((source.count(w) - o.count(w)) ** 2 for w in task.words) for o, t in known if t == answer]
        assert min(near) <= min(gaps)
    assert phrases.nearest(task, known, [known[7][0]]) == [known[7][1]]
