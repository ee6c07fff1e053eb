"""Texts by their n-grams: divergences in bits, words, copies, Markov chains and n-gram models, longhand."""

import inspect
import math
import textwrap
from collections import Counter

import numpy as np
import pytest

from scratchgan.data import text
from scratchgan.metrics import ngrams

SOME = "the cat sat on the mat, and the dog sat on the cat. "


def codes(string, alphabet):
    return np.array([alphabet.index(letter) for letter in string])


def counted(rows, n):
    """Return {n-gram: share}, by loops."""
    grams = Counter(tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1))
    total = sum(grams.values())
    return {gram: count / total for gram, count in grams.items()}


def longhand(p, q):
    """JS in bits, of two dictionaries of shares: the entropy of the mean less the mean of the entropies."""
    entropy = lambda shares: -sum(share * math.log2(share) for share in shares if share > 0)
    mean = [(p.get(gram, 0) + q.get(gram, 0)) / 2 for gram in p.keys() | q.keys()]
    return entropy(mean) - (entropy(p.values()) + entropy(q.values())) / 2


def drawn(seed=0, symbols=5):
    rng = np.random.default_rng(seed)
    return rng.integers(symbols, size=(40, 12)), rng.integers(symbols, size=(7, 30)) // 2


# ---- divergences -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", ngrams.ORDERS)
def test_the_divergence_longhand(n):
    """Two formulas: Kullback-Leibler to the mixture, and entropies; n-grams of base 5 against tuples."""
    a, b = drawn()
    found = ngrams.jensen_shannon(ngrams.shares(a, n, 5), ngrams.shares(b, n, 5))
    assert found == pytest.approx(longhand(counted(a, n), counted(b, n)), rel=1e-10)


def test_the_divergence_is_in_bits_from_0_to_1():
    a, b = drawn()
    p, q = ngrams.shares(a, 2, 5), ngrams.shares(b + 5, 2, 10)
    assert ngrams.jensen_shannon(p, p) == 0
    assert ngrams.jensen_shannon(ngrams.shares(a, 2, 10), q) == pytest.approx(1, abs=1e-12)  # nothing in common
    assert ngrams.jensen_shannon(p, q) == pytest.approx(ngrams.jensen_shannon(q, p), rel=1e-12)


def test_no_ngram_reaches_from_one_sample_into_the_next():
    rows = np.array([[0, 1], [2, 3]])
    assert ngrams.shares(rows, 2, 4).grams.tolist() == [0 * 4 + 1, 2 * 4 + 3]
    assert len(ngrams.shares(rows.reshape(-1), 2, 4).grams) == 3


@pytest.mark.parametrize("n", [1, 2, 3])
def test_ngrams_in_a_row_that_is_just_long_enough_and_in_one_that_is_too_short(n):
    row = np.arange(n)
    assert ngrams.encode(row, n, 10).tolist() == [int("".join(map(str, row)))]
    with pytest.raises(ValueError, match="have no"):
        ngrams.shares(row[None], n + 1, 10)


def test_ngrams_that_no_number_can_hold():
    with pytest.raises(ValueError, match="too many to be numbered"):
        ngrams.encode(np.zeros(10, int), 5, 10_000)


def test_a_text_of_too_many_different_characters_is_told_in_a_line(tmp_path):
    (tmp_path / "own.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 7000))) * 2, encoding="utf-8")
    with pytest.raises(text.DataError, match="a text of 7,000 different characters are too many to be counted"):
        ngrams.reference(str(tmp_path / "own.txt"))


def test_a_held_out_part_that_is_shorter_than_a_window(tmp_path):
    (tmp_path / "own.txt").write_text("abcdefgh" * 20, encoding="utf-8")
    reference = ngrams.reference(str(tmp_path / "own.txt"))
    with pytest.raises(text.DataError, match="a held-out part of 16 characters, shorter than a window of 32"):
        reference.baselines(30, 32, np.random.default_rng(0))


# ---- words and copies ------------------------------------------------------------------------------------


def test_words_that_a_window_may_cut_do_not_count():
    assert ngrams.whole_words("he cat sat on th") == ["cat", "sat", "on"]
    known = {"cat", "sat"}
    assert ngrams.known_words(["he cat sat on th", "x sat"], known) == pytest.approx(2 / 3)
    assert math.isnan(ngrams.known_words(["abc", ""], known))


def test_the_nearest_window():
    alphabet = sorted(set(SOME))
    known = codes(SOME * 3, alphabet)
    copy = codes("sat on the m", alphabet)
    changed = copy.copy()
    changed[[2, 7]] = (changed[[2, 7]] + 1) % len(alphabet)
    found = ngrams.nearest(np.array([copy, changed]), known)
    assert found.tolist() == [12, 10]
    by_loops = max(sum(changed[j] == known[i + j] for j in range(12)) for i in range(len(known) - 11))
    assert found[1] == by_loops
    with pytest.raises(ValueError, match="fewer than a row"):
        ngrams.nearest(np.zeros((1, 9), int), np.zeros(8, int))


@pytest.mark.parametrize("length", [3, 300])
def test_rows_of_more_characters_than_a_byte_counts(length):
    assert ngrams.nearest(np.zeros((1, length), int), np.zeros(400, int)) == [length]


# ---- Markov chains and n-gram models ---------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_a_chain_says_only_what_the_text_says(order):
    """Each n-gram of order + 1 characters is one of the text's, and as frequent."""
    alphabet = sorted(set(SOME))
    known = codes(SOME * 20, alphabet)
    rows = ngrams.Markov(known, order, len(alphabet)).sample(400, 30, np.random.default_rng(0))
    assert rows.shape == (400, 30)
    p, q = (ngrams.shares(x, order + 1, len(alphabet)) for x in (known, rows))
    assert set(q.grams) <= set(p.grams)
    assert ngrams.jensen_shannon(p, q) < 0.002
    longer = [ngrams.shares(x, order + 2, len(alphabet)) for x in (known, rows)]
    assert order == 3 or ngrams.jensen_shannon(*longer) > 0.01


def test_a_chain_that_comes_to_the_end_of_the_text():
    """The last context of a text may have no successor there: the text begins again."""
    known = codes("abcabcabd", "abcd")
    for order in (1, 2, 3):
        rows = ngrams.Markov(known, order, 4).sample(200, 9, np.random.default_rng(0))
        after = {row[i + 1] for row in rows for i in range(8) if row[i] == 3}
        assert after == {0}


def witten_bell(train, test, order, symbols):
    """Bits per character, by dictionaries and a recursion."""
    def p(context, x):
        lower = p(context[1:], x) if context else 1 / symbols
        after = [train[i + len(context)] for i in range(len(train) - len(context))
                 if tuple(train[i : i + len(context)]) == context]  # fmt: skip
        if not after:
            return lower
        return (after.count(x) + len(set(after)) * lower) / (len(after) + len(set(after)))

    each = [math.log2(p(tuple(test[i - order : i]), test[i])) for i in range(order, len(test))]
    return -sum(each) / len(each)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_bits_of_an_ngram_model_longhand(order):
    alphabet = sorted(set(SOME))
    train, test = codes(SOME[:40], alphabet).tolist(), codes(SOME[25:], alphabet).tolist()
    found = ngrams.bits_of_model(np.array(train), np.array(test), order, len(alphabet))
    assert found == pytest.approx(witten_bell(train, test, order, len(alphabet)), rel=1e-10)


def test_probabilities_of_an_ngram_model_add_up_to_1():
    train = np.random.default_rng(0).integers(3, size=30)
    for context in ([0, 1], [2, 2]):
        bits = [ngrams.bits_of_model(train, np.array([*context, x]), 2, 3) for x in range(3)]
        assert sum(2.0**-b for b in bits) == pytest.approx(1, rel=1e-10)


# ---- the numbers of tiny Shakespeare ---------------------------------------------------------------------


def test_tiny_shakespeare_has_the_numbers_of_the_page():
    """Of 2,000 windows: the floor, and chains of orders 0 to 3; bits of n-gram models."""
    try:
        shakespeare = text.load("shakespeare")
    except text.DataError as error:
        pytest.skip(str(error))
    symbols, rng = len(shakespeare.alphabet), np.random.default_rng(0)
    reference = {n: ngrams.shares(shakespeare.train, n, symbols) for n in ngrams.ORDERS}
    windows = np.lib.stride_tricks.sliding_window_view(shakespeare.test, 32)
    rows = {"floor": windows[rng.integers(len(windows), size=2000)]}
    rows |= {k: ngrams.Markov(shakespeare.train, k, symbols).sample(2000, 32, rng) for k in range(4)}
    wanted = {"floor": (0.003, 0.038, 0.110, 0.234), 0: (0.0, 0.305, 0.637, 0.900), 1: (0.0, 0.004, 0.230, 0.553),
              2: (0.0, 0.004, 0.031, 0.254), 3: (0.0, 0.004, 0.031, 0.112)}  # fmt: skip
    for who, divergences in wanted.items():
        found = [ngrams.jensen_shannon(ngrams.shares(rows[who], n, symbols), reference[n]) for n in ngrams.ORDERS]
        np.testing.assert_allclose(found, divergences, atol=0.006, err_msg=str(who))
    for order, bits in ((1, 3.59), (2, 2.96), (3, 2.56), (4, 2.41)):
        found = ngrams.bits_of_model(shakespeare.train, shakespeare.test, order, symbols)
        assert found == pytest.approx(bits, abs=0.006)


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------


BUGS = {
    "nats that are called bits": (
        "to_mixture", "np.log2", "np.log", lambda: test_the_divergence_longhand(2)
    ),
    "the mixture without its half": (
        "to_mixture", "np.log2(2 * p.shares", "np.log2(p.shares", lambda: test_the_divergence_longhand(2)
    ),
    "the other one in the place of the mixture": (
        "to_mixture", "(2 * p.shares / (p.shares + of_q))", "(p.shares / np.maximum(of_q, 1e-12))",
        lambda: test_the_divergence_longhand(2),
    ),
    "one direction alone": (
        "jensen_shannon", "0.5 * to_mixture(q, p)", "0.5 * to_mixture(p, q)",
        lambda: test_the_divergence_longhand(2),
    ),
    "n-grams across the borders of samples": (
        "shares", "encode(rows, n, symbols)", "encode(rows.reshape(-1), n, symbols)",
        test_no_ngram_reaches_from_one_sample_into_the_next,
    ),
    "an n-gram too few": (
        "encode", "rows.shape[-1] - n + 1", "rows.shape[-1] - n",
        lambda: test_ngrams_in_a_row_that_is_just_long_enough_and_in_one_that_is_too_short(2),
    ),
    "a base that is too small": (
        "encode", "codes * symbols", "codes * (symbols - 1)", lambda: test_the_divergence_longhand(2)
    ),
    "words that the window has cut": (
        "whole_words", "line.split()[1:-1]", "line.split()", test_words_that_a_window_may_cut_do_not_count
    ),
    "an n-gram model that forgets what it has not seen": (
        "bits_of_model", "np.maximum(total + novel, 1)", "np.maximum(total, 1)",
        lambda: test_bits_of_an_ngram_model_longhand(2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    function, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(ngrams, function)))
    assert source.count(right) == 1
    made = dict(vars(ngrams))
    exec(source.replace(right, wrong), made)
    for name in ("to_mixture", "encode"):  # which other functions call
        monkeypatch.setattr(ngrams, name, made[name])
    monkeypatch.setattr(ngrams, function, made[function])
    with pytest.raises((AssertionError, pytest.fail.Exception, ValueError)):
        test()
