"""The pool of past fakes: what it returns, what it keeps, and that what it keeps is its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import xp
from scratchgan.data.pool import Pool
from scratchgan.support.errors import DataError


def numbered(start, n):
    """Return n pictures of 2 x 2 pixels whose pixels are their numbers."""
    return xp.asarray(np.arange(start, start + n, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 1), "f"))


def numbers(pictures):
    return xp.to_host(pictures)[:, 0, 0, 0].astype(int).tolist()


def test_until_it_is_full_it_shows_the_newest_and_keeps_them():
    pool, rng = Pool(6, (2, 2, 1)), np.random.default_rng(0)
    for start in (1, 4):
        assert numbers(pool.exchange(numbered(start, 3), rng)) == [start, start + 1, start + 2]
    assert numbers(pool.images) == [1, 2, 3, 4, 5, 6] and pool.held == 6
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state  # nothing was drawn


def test_then_every_other_one_is_a_past_one_whose_place_it_takes():
    pool, rng = Pool(50, (2, 2, 1)), np.random.default_rng(0)
    exchanged = 0
    pool.exchange(numbered(0, 50), rng)
    for start in range(50, 4050, 4):
        new = list(range(start, start + 4))
        before = set(numbers(pool.images))
        shown = numbers(pool.exchange(numbered(start, 4), rng))
        inside = set(numbers(pool.images))
        exchanged += sum(one != other for one, other in zip(shown, new, strict=True))
        assert before | set(new) == inside | set(shown)  # nothing is lost, and nothing is there twice
        assert len(inside) == 50 and not inside & set(shown)
    assert abs(exchanged - 2000) < 4 * np.sqrt(1000)  # a coin for each of 4,000


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 5), seed=st.integers(0, 99), batches=st.lists(st.integers(1, 7), max_size=8))
def test_by_another_way(size, seed, batches):
    """A list in place of an array, and pictures one by one."""
    pool, kept, start = Pool(size, (2, 2, 1)), [], 0
    rng, own = np.random.default_rng(seed), np.random.default_rng(seed)
    for n in batches:
        expected = []
        for number in range(start, start + n):
            if len(kept) < size:
                kept.append(number)
            elif own.random() < 0.5:
                place = own.integers(size)
                kept[place], number = number, kept[place]
            expected.append(number)
        assert numbers(pool.exchange(numbered(start, n), rng)) == expected
        start += n
    assert numbers(pool.images)[: pool.held] == kept


def test_a_pool_of_none_shows_the_newest():
    pool, rng = Pool(0, (2, 2, 1)), np.random.default_rng(0)
    for start in (0, 5):
        assert numbers(pool.exchange(numbered(start, 5), rng)) == list(range(start, start + 5))
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_it_holds_copies():
    """A step that writes into its pictures afterwards changes neither the pool nor what was shown."""
    pool, rng = Pool(4, (2, 2, 1)), np.random.default_rng(0)
    buffer = numbered(0, 4)
    first = pool.exchange(buffer, rng)
    for start in range(4, 40, 4):
        buffer[...] = numbered(start, 4)
        shown = pool.exchange(buffer, rng)
        before, inside = numbers(shown), numbers(pool.images)
        buffer[...] = -1
        assert numbers(shown) == before and numbers(pool.images) == inside
        shown[...] = -2  # nor is what was shown a view of the pool
        assert numbers(pool.images) == inside
    assert numbers(first) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [-1, 2.5, "many"])
def test_a_size_that_is_none(size):
    with pytest.raises(DataError, match="size of a pool must be a whole number, 0 or more"):
        Pool(size, (2, 2, 1))


def test_a_size_that_the_memory_does_not_hold():
    with pytest.raises(DataError, match="A pool of 1,000,000,000,000 pictures would need .*choose a smaller one"):
        Pool(10**12, (16, 16, 1))
