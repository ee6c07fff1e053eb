"""Phrases and what they become: number words translated, reports summarised. A source has one right answer.

Translation: English number words to German ones, 0 to 999,999, in which units come before tens: "seventy one" becomes
"ein und siebzig". Summary: three to six sentences, of which one or two are marked "urgent :"; who did what to what in
those is the answer. A pair is two tuples of words; a row is `[source, SEP, target, EOS]` in integers, and PAD after it.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchgan.data.checks import check_whole
from scratchgan.support.errors import DataError

TRAINED, TESTED = 20_000, 2000  # pairs
PAD, SEP, EOS = 0, 1, 2  # what stands in a row beside words, whose integers begin at 3
SPECIAL = ("_", "|", "$")  # how these are printed

# ---- number words ----------------------------------------------------------------------------------------

ENGLISH = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
ENGLISH_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
GERMAN = (
    "null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)  # fmt: skip
GERMAN_TENS = ("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
LARGEST = 999_999


def english(number):
    """Return the English words of a number from 0 to 999,999: 471 is ("four", "hundred", "seventy", "one")."""
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return english_below(rest) or ENGLISH[:1]
    return (*english_below(thousands), "thousand", *english_below(rest))


def english_below(number):
    """Return the English words of a number below 1000; none of 0."""
    hundreds, rest = divmod(number, 100)
    words = (ENGLISH[hundreds], "hundred") if hundreds else ()
    if rest < 20:
        return words + ENGLISH[rest : rest + 1] * (rest > 0)
    tens, units = divmod(rest, 10)
    return (*words, ENGLISH_TENS[tens - 2], *ENGLISH[units : units + 1] * (units > 0))


def german(number):
    """Return the German words of a number from 0 to 999,999: 471 is ("vier", "hundert", "ein", "und", "siebzig")."""
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return german_below(rest, "eins") or GERMAN[:1]
    return (*german_below(thousands, "ein"), "tausend", *german_below(rest, "eins"))


def german_below(number, one):
    """Return the German words of a number below 1000; none of 0. one: a 1 at the end, "ein" before "tausend"."""
    hundreds, rest = divmod(number, 100)
    words = (GERMAN[hundreds], "hundert") if hundreds else ()
    if rest < 20:
        return words + ((one,) if rest == 1 else GERMAN[rest : rest + 1] * (rest > 0))
    tens, units = divmod(rest, 10)
    ten = GERMAN_TENS[tens - 2]
    return (*words, GERMAN[units], "und", ten) if units else (*words, ten)


def read_german(words):
    """Return the number that German words say, or None where they say none."""
    words = tuple(words)
    if words == ("null",):
        return 0
    if "tausend" not in words:
        return read_below(words, "eins")
    cut = words.index("tausend")
    thousands, rest = read_below(words[:cut], "ein"), read_below(words[cut + 1 :], "eins") if words[cut + 1 :] else 0
    return None if thousands is None or rest is None else 1000 * thousands + rest


def read_below(words, one):
    """Return the number from 1 to 999 that German words say, or None."""
    hundreds = 0
    if words[1:2] == ("hundert",):
        if words[0] not in GERMAN[1:10]:
            return None
        hundreds, words = 100 * GERMAN.index(words[0]), words[2:]
        if not words:
            return hundreds
    if words == (one,):
        return hundreds + 1
    if len(words) == 1 and words[0] in GERMAN[2:]:
        return hundreds + GERMAN.index(words[0])
    units = 0
    if words[1:2] == ("und",) and words[0] in GERMAN[1:10]:
        units, words = GERMAN.index(words[0]), words[2:]
    if len(words) == 1 and words[0] in GERMAN_TENS:
        return hundreds + 20 + 10 * GERMAN_TENS.index(words[0]) + units
    return None


def draw_number(rng):
    """Draw a number, and return it in English and in German; its number of digits is 1, ..., 6, each as often."""
    digits = int(rng.integers(1, 7))
    number = int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))
    return english(number), german(number)


def word_by_word(source):
    """Return the German of each English word, in the order of the English ones."""
    return tuple(DICTIONARY[word] for word in source)


DICTIONARY = dict(zip(ENGLISH + ENGLISH_TENS, GERMAN + GERMAN_TENS, strict=True))
DICTIONARY |= {"hundred": "hundert", "thousand": "tausend"}

# ---- reports ---------------------------------------------------------------------------------------------

NAMES = ("anna", "ben", "clara", "david", "emma", "felix", "greta", "hugo", "ida", "jonas")
ADVERBS = ("quickly", "quietly", "gladly", "finally")
VERBS = ("sold", "bought", "found", "lost", "sent", "hid", "broke", "painted")
COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
NOUNS = ("apples", "books", "boats", "chairs", "clocks", "drums", "lamps", "maps", "plates", "stones")
PLACES = ("berlin", "lisbon", "oslo", "paris", "rome", "vienna")
PARTS = (NAMES, ADVERBS, VERBS, COUNTS, NOUNS, PLACES)
URGENT = ("urgent", ":")
LONGEST = 40  # words of a report


def draw_report(rng):
    """Draw a report of 3 to 6 sentences, and return it with its summary; one of more than 40 words is drawn anew."""
    while True:
        sentences = [draw_sentence(rng) for _ in range(rng.integers(3, 7))]
        marked = set(rng.choice(len(sentences), rng.integers(1, 3), replace=False).tolist())
        report = tuple(word for i, words in enumerate(sentences) for word in (*URGENT * (i in marked), *words))
        if len(report) <= LONGEST:
            return report, tuple(word for i in sorted(marked) for word in gist(sentences[i]))


def draw_sentence(rng):
    """Draw "NAME [ADVERB] VERB COUNT NOUN [in PLACE] .": a third of the sentences have an adverb, a third a place."""
    drawn = rng.integers([len(words) for words in PARTS])
    name, adverb, verb, count, noun, place = (words[i] for words, i in zip(PARTS, drawn, strict=True))
    how, where = (rng.random(2) < 1 / 3).tolist()
    return (name, *(adverb,) * how, verb, count, noun, *("in", place) * where, ".")


def gist(words):
    """Return the name, the verb and the noun of a sentence."""
    return tuple(word for word in words if word in NAMES + VERBS + NOUNS)


def is_summary(words):
    """Whether words are what a summary can be: name, verb and noun, once or twice."""
    kinds = (NAMES, VERBS, NOUNS)
    return len(words) in (3, 6) and all(word in kinds[i % 3] for i, word in enumerate(words))


def lead(source):
    """Return the name, the verb and the noun of the first sentence of a report."""
    return gist(source[: source.index(".")])


# ---- tasks -----------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """What is asked: sources, their answers, and what answers can be."""

    sources: tuple  # words of sources
    words: tuple  # of sources and answers
    longest: tuple  # words of a source, words of an answer
    draw: Callable  # draw(rng) -> source, answer
    valid: Callable  # valid(words): whether they are a phrase of the answers' grammar
    rule: Callable  # rule(source): the answer of a simple rule, beside which a network is measured
    rule_name: str

    @property
    def width(self):
        """How long a row is: the longest source, SEP, the longest answer, EOS."""
        return sum(self.longest) + 2


ENGLISH_WORDS = (*ENGLISH, *ENGLISH_TENS, "hundred", "thousand")
GERMAN_WORDS = (*GERMAN, "eins", *GERMAN_TENS, "und", "hundert", "tausend")
REPORT_WORDS = (*NAMES, *ADVERBS, *VERBS, *COUNTS, *NOUNS, "in", *PLACES, *URGENT, ".")
TASKS = {
    "translation": Task(
        sources=ENGLISH_WORDS, words=ENGLISH_WORDS + GERMAN_WORDS, longest=(9, 11),
        draw=draw_number, valid=lambda words: read_german(words) is not None, rule=word_by_word, rule_name="dictionary",
    ),
    "summary": Task(
        sources=REPORT_WORDS, words=REPORT_WORDS, longest=(LONGEST, 6),
        draw=draw_report, valid=is_summary, rule=lead, rule_name="lead",
    ),
}  # fmt: skip


def draw(task, n, rng):
    """Draw n pairs of a Task, no two with the same source: in an order that tells nothing."""
    check_whole("number of pairs", n)
    pairs = {}
    for _ in range(100 * n):
        pairs.setdefault(*task.draw(rng))
        if len(pairs) == n:
            break
    else:
        raise DataError(f"There are too few pairs: {n:,} were asked for, and {len(pairs):,} found.")
    found = list(pairs.items())
    return [found[i] for i in rng.permutation(n)]  # what is drawn last is rarer: short phrases come first


def split(task, n, seed):
    """Return (training pairs, test pairs): n, at most 20,000, and 2,000 pairs of a Task, no two with the same source.

    The test pairs are the same for every n, and 2,000 training pairs are the first of 20,000.
    """
    check_whole("number of pairs", n)
    if n > TRAINED:
        raise DataError(f"{n:,} pairs were asked for; there are {TRAINED:,} to train on.")
    pairs = drawn_once(task, seed)
    return pairs[TESTED : TESTED + n], pairs[:TESTED]


def others(task, n, seed):
    """Return the pairs that are neither among n training pairs nor among the test pairs; raise if there are none."""
    pairs = drawn_once(task, seed)[TESTED + n :]
    if not pairs:
        raise DataError(f"All {n:,} pairs are training pairs: there are no others; take fewer.")
    return pairs


@functools.lru_cache(maxsize=4)
def drawn_once(task, seed):
    return tuple(draw(task, TESTED + TRAINED, np.random.default_rng([seed, 2])))


# ---- rows of integers ------------------------------------------------------------------------------------


def words_of(task, text):
    """Return the words of a source that somebody types; hyphens are spaces.

    Raises DataError where there are none, or too many, or one that is unknown, with all that there are.
    """
    words = tuple(re.findall(r"\w+|[^\w\s-]", text.lower()))
    if not 0 < len(words) <= task.longest[0]:
        raise DataError(f"A phrase of {len(words)} words: wanted 1 to {task.longest[0]}.")
    unknown = [word for word in words if word not in task.sources]
    if unknown:
        raise DataError(f"Unknown words ({', '.join(unknown)}); the words are: {', '.join(sorted(task.sources))}.")
    return words


def numbers(task, words):
    """Return the integers of words."""
    known = {word: i for i, word in enumerate(task.words, len(SPECIAL))}
    return [known[word] for word in words]


def rows(task, pairs):
    """Return pairs as `[source, SEP, target, EOS, PAD, ...]`: int64 (n, task.width)."""
    table = np.full((len(pairs), task.width), PAD)
    for row, (source, target) in zip(table, pairs, strict=True):
        filled = [*numbers(task, source), SEP, *numbers(task, target), EOS]
        row[: len(filled)] = filled
    return table  # (n, L)


def pairs_of(task, table):
    """Return the pairs [(source, target)] of rows; a target ends before EOS, or where the row does."""
    words = (*SPECIAL, *task.words)
    found = []
    for row in table.tolist():
        middle = row.index(SEP)
        end = row.index(EOS, middle) if EOS in row[middle:] else len(row)
        found.append(tuple(tuple(words[i] for i in part) for part in (row[:middle], row[middle + 1 : end])))
    return found


# ---- what is measured ------------------------------------------------------------------------------------


def measures(task, targets, truths):
    """Return {measure: number} of targets, beside what they should have been.

    Exact: the share that is right, word for word. Valid: the share that is a phrase of the grammar. In place: the share
    of words that stand where the truth has them, of the longer of the two. F1: twice the words that both have, by the
    words of both; the order does not count.
    """
    both = list(zip(targets, truths, strict=True))
    longer = sum(max(len(target), len(truth)) for target, truth in both)
    place = sum(word == other for target, truth in both for word, other in zip(target, truth, strict=False))
    shared = [2 * sum((Counter(x) & Counter(y)).values()) / (len(x) + len(y)) for x, y in both]
    return {
        "exact match": float(np.mean([target == truth for target, truth in both])),
        "valid": float(np.mean([task.valid(target) for target in targets])),
        "words in place": place / longer,
        "F1 of words": float(np.mean(shared)),
    }


def nearest(task, pairs, sources):
    """Return, for each source, the target of the training pair whose source has the nearest words, of any order."""
    known, new = bags(task, [source for source, _ in pairs]), bags(task, sources)
    sizes = (known**2).sum(axis=1)
    found = np.concatenate([(sizes - 2 * some @ known.T).argmin(axis=1) for some in np.array_split(new, 20)])
    return [pairs[i][1] for i in found]


def bags(task, phrases):
    """Return how often each word occurs in each phrase: float32 (n, words)."""
    places = {word: i for i, word in enumerate(task.words)}
    table = np.zeros((len(phrases), len(places)), np.float32)
    for row, words in zip(table, phrases, strict=True):
        for word in words:
            row[places[word]] += 1
    return table
