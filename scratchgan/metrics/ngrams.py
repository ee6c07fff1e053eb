"""Texts by their n-grams: how far samples are from a text, Markov chains and n-gram models to compare with, copies.

A text is numbers (L,), samples are (n, L): one number for each character, from 0 to symbols - 1. No n-gram reaches from
one sample into the next.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from scratchgan.data import text as texts
from scratchgan.support.errors import DataError

ORDERS = (1, 2, 3, 4)  # of the n-grams that are compared
CHAINS = (0, 1, 2, 3, 4)  # characters that the Markov chains to compare with remember
BITS = "bits per character"
COMPARED = 100  # samples whose nearest windows are sought: each takes as many passes over the text as it has characters


class Shares(NamedTuple):
    """How often each n-gram occurs, as a share of all."""

    grams: np.ndarray  # (K,), sorted: n-grams as whole numbers
    shares: np.ndarray  # (K,), whose sum is 1


def encode(rows, n, symbols):
    """Return the n-grams of rows (..., L) as whole numbers in base `symbols`: (..., L - n + 1), none for a shorter row.

    Raises ValueError where the numbers of so long n-grams would not fit into 63 bits.
    """
    if symbols**n >= 2**63:
        raise ValueError(f"encode: {n}-grams of {symbols} characters are too many to be numbered")
    count = max(rows.shape[-1] - n + 1, 0)
    codes = np.zeros((*rows.shape[:-1], count), np.int64)
    for i in range(n):
        codes = codes * symbols + rows[..., i : i + count]
    return codes


def shares(rows, n, symbols):
    """Return the `Shares` of the n-grams of rows (..., L)."""
    grams, counts = np.unique(encode(rows, n, symbols), return_counts=True)
    if not len(grams):
        raise ValueError(f"shares: rows of {rows.shape[-1]} characters have no {n}-gram")
    return Shares(grams, counts / counts.sum())


def jensen_shannon(p, q):
    """Return JS(p, q) in bits, from 0 (equal) to 1 (nothing in common), of two `Shares`.

        JS = 1/2 KL(p, m) + 1/2 KL(q, m),    m = (p + q) / 2,    KL(p, m) = sum p log2(p / m)       (Lin 1991)
    """
    return 0.5 * to_mixture(p, q) + 0.5 * to_mixture(q, p)


def to_mixture(p, q):
    """Return KL(p, (p + q) / 2) in bits, of two `Shares`."""
    place = np.searchsorted(q.grams, p.grams).clip(max=len(q.grams) - 1)
    of_q = np.where(q.grams[place] == p.grams, q.shares[place], 0.0)
    return float((p.shares * np.log2(2 * p.shares / (p.shares + of_q))).sum())


# ---- words and copies --------------------------------------------------------------------------------------


def whole_words(line):
    """Return what stands between spaces in a window of text, but for its first and last word, which may be cut."""
    return line.split()[1:-1]


def known_words(lines, vocabulary):
    """Return the share of the whole words of some lines that are in a set of words; nan where there are none."""
    words = [word for line in lines for word in whole_words(line)]
    return sum(word in vocabulary for word in words) / len(words) if words else float("nan")


def nearest(rows, text):
    """Return for each row (n, L) the most characters that it has in common, place by place, with a window of a text."""
    count = len(text) - rows.shape[1] + 1
    if count < 1:
        raise ValueError(f"nearest: the text has {len(text)} characters, fewer than a row, {rows.shape[1]}")
    small = text.astype(np.min_scalar_type(int(text.max())))  # of which more are compared at once
    best, same = np.empty(len(rows), int), np.empty(count, bool)
    equal = np.empty(count, np.min_scalar_type(rows.shape[1]))
    for i, row in enumerate(rows):
        equal.fill(0)
        for j, symbol in enumerate(row):
            np.equal(small[j : j + count], symbol, out=same)
            equal += same.view(np.uint8)
        best[i] = equal.max()
    return best


# ---- samples beside a text -----------------------------------------------------------------------------------


class Reference:
    """A text, `data.text.Text`, that samples are compared with; what it takes is counted once.

    Raises DataError for an alphabet of so many characters that n-grams cannot be numbered: above 6,000.
    """

    def __init__(self, text):
        self.text, self.symbols = text, len(text.alphabet)
        if self.symbols ** (CHAINS[-1] + 1) >= 2**63:
            what = f"a text of {self.symbols:,} different characters"
            raise DataError(f"n-grams of {what} are too many to be counted: take a text with fewer of them.")
        self.shares = {n: shares(text.train, n, self.symbols) for n in ORDERS}
        self.vocabulary = set(text.lines(text.train[None])[0].split())

    def divergences(self, rows):
        """Return {"JS-1, bits": number, ...} of samples (n, L), against the training part."""
        divergence = lambda n: jensen_shannon(shares(rows, n, self.symbols), self.shares[n])
        return {f"JS-{n}, bits": divergence(n) for n in ORDERS if n <= rows.shape[1]}

    def measured(self, rows):
        """Return {measure: number} of samples (n, L): divergences, words, how near they are to training windows."""
        near = nearest(rows[:COMPARED], self.text.train)
        return self.divergences(rows) | {
            "known words": known_words(self.text.lines(rows), self.vocabulary),
            "nearest training window": float(near.mean() / rows.shape[1]),
            "copies": float((near == rows.shape[1]).mean()),
            "distinct samples": len(np.unique(rows, axis=0)) / len(rows),
        }

    def baselines(self, n, length, rng):
        """Return {who: {measure: number}} of n rows each: held-out windows, Markov chains, uniform characters.

        Bits per character are those of n-gram models of the same orders. Whoever knows the rules of a text that was
        made by rule needs those of the floor.
        """
        windows = self.text.windows(length, "test").rows
        found = {"floor": self.measured(windows[rng.integers(len(windows), size=n)])}
        if self.text.bits is not None:
            found["floor"][BITS] = self.text.bits
        for k in CHAINS:
            rows = Markov(self.text.train, k, self.symbols).sample(n, length, rng)
            bits = bits_of_model(self.text.train, self.text.test, k, self.symbols)
            found[f"Markov {k}"] = self.measured(rows) | {BITS: bits}
        uniform = self.measured(rng.integers(self.symbols, size=(n, length)))
        return found | {"uniform": uniform | {BITS: math.log2(self.symbols)}}


def asked_for(settings):
    """Return the Reference of the text that `--data` and `--data-dir` name."""
    return reference(settings.data, settings.data_dir or None)


@functools.lru_cache(maxsize=4)
def reference(name, data_dir=None):
    """Return the Reference of a text, which is counted once."""
    return Reference(texts.load(name, data_dir))


# ---- Markov chains and n-gram models -------------------------------------------------------------------------


class Markov:
    """A chain in which a character depends on the k before it, as often as in a text; after its end it begins again."""

    def __init__(self, text, order, symbols):
        self.order, self.symbols = order, symbols
        self.ring = np.concatenate([text, text[:order]])  # so that every context goes on
        contexts = encode(self.ring[:-1], order, symbols)  # (N,)
        self.places = np.argsort(contexts, kind="stable")  # where each context starts, equal ones side by side
        self.contexts = contexts[self.places]

    def sample(self, n, length, rng):
        """Return n samples (n, length): k characters from anywhere in the text, and then one after the other.

        The next character is the one that follows the context at some place of the text, each place as probable.
        """
        start = rng.integers(len(self.places), size=n)
        rows = np.empty((n, length), np.int64)
        for t in range(length):
            if t < self.order:
                rows[:, t] = self.ring[start + t]
                continue
            context = encode(rows[:, t - self.order : t], self.order, self.symbols)[:, 0]
            first, last = (np.searchsorted(self.contexts, context, side) for side in ("left", "right"))
            place = self.places[first + (rng.random(n) * (last - first)).astype(int)]
            rows[:, t] = self.ring[place + self.order]
        return rows


def bits_of_model(train, test, order, symbols):
    """Return the bits per character of a test text by an n-gram model of so many characters before.

        p_k(x | c) = (count(c x) + D(c) p_k-1(x | c')) / (count(c) + D(c)),    p_-1 = 1 / symbols

    c' is c without its first character, D(c) how many different characters follow c (Witten & Bell 1991). The first k
    characters of the test text are told.
    """
    p = np.full(len(test) - order, 1 / symbols)
    for k in range(order + 1):
        start = order - k
        seen, counts = np.unique(encode(train, k + 1, symbols), return_counts=True)
        contexts, first = np.unique(seen // symbols, return_index=True)
        totals, different = np.add.reduceat(counts, first), np.diff([*first, len(seen)])
        grams = encode(test[start:], k + 1, symbols)
        count = looked_up(grams, seen, counts)
        total, novel = (looked_up(grams // symbols, contexts, numbers) for numbers in (totals, different))
        p = (count + novel * p) / np.maximum(total + novel, 1) + (total == 0) * p
    return float(-np.log2(p).mean())


def looked_up(wanted, keys, values):
    """Return the value of each wanted key, 0 where it is not among the sorted keys."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
