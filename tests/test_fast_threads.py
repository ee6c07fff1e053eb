"""Twins on threads: shares of arrays, threads inside threads, and what each of them may overwrite."""

import contextlib
import threading

import numpy as np
import pytest
import test_fast
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from scratchgan import fast, optim
from scratchgan.fast import sums, threads
from scratchgan.layers import BatchNorm
from scratchgan.layers.base import Pointwise
from scratchgan.param import Param

CASES = [
    test_fast.layer_method("backward"), test_fast.batch_norm, test_fast.pointwise, test_fast.leaky_relu("f"),
    test_fast.relu,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_shares_of_an_array_on_threads_are_the_whole(case, monkeypatch):
    """With threads for the smallest arrays, of which some have less rows than there are threads."""
    monkeypatch.setattr(threads, "LEAST", 1)
    threads.use(3, blas=False)

    @draws(40)
    @given(st.data())
    def holds(data):
        rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
        call = case(data.draw, lambda *shape: rng.standard_normal(shape))
        ours = test_fast.arrays_of(call())
        with fast.plain():
            for one, other in zip(ours, test_fast.arrays_of(call()), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)

    try:
        holds()
    finally:
        threads.use()


def test_long_rows_are_the_same_numbers():
    """12,544 rows of 64 numbers make 98 of 8,192; of 7 rows there are too few, and 4,001 is a prime."""
    for n, C, long in ((12544, 64, (98, 8192)), (7, 8000, (7, 8000)), (4001, 64, (4001, 64)), (0, 3, (0, 3))):
        x, row = np.arange(n * C, dtype=np.float64).reshape(n, C), np.arange(C, dtype=np.float64)
        rows, wide = sums.long_rows(x, row)
        assert rows.shape == long and np.shares_memory(rows, x) == (n > 0)
        np.testing.assert_array_equal((rows + wide).reshape(n, C), x + row)


def test_batch_norm_of_arrays_in_any_order():
    """The long rows of what is written are views of it, however x and dy lie in memory."""
    x, dy = np.random.default_rng(0).standard_normal((2, 4096, 8))
    for order in (np.ascontiguousarray, np.asfortranarray, lambda array: np.repeat(array, 2, axis=1)[:, ::2]):
        layer, results = BatchNorm(8).astype(np.float64), []
        for place in (contextlib.nullcontext, fast.plain):
            with place():
                y, tape = layer.forward(order(x))
                results.append((y, layer.backward(tape, order(dy))))
        for ours, plain in zip(*results, strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-11, atol=1e-11)


def test_pull_leaves_alone_what_a_derivative_returns():
    """Where f' = y, the derivative is the tape itself, and must not be overwritten."""

    class Exp(Pointwise):
        f = staticmethod(np.exp)
        derivative = staticmethod(lambda y: y)

    y, tape = Exp().forward(np.ones((2, 3)))
    Exp().pull(tape, 2 * np.ones((2, 3)))
    np.testing.assert_array_equal(y, np.e)


def test_threads_inside_threads_do_not_wait_for_each_other():
    threads.use(2, blas=False)
    try:
        inner = lambda i: sum(threads.each(lambda j: i * j, [1, 2, 3]))
        assert threads.each(inner, range(8)) == [6 * i for i in range(8)]
        with pytest.raises(ZeroDivisionError):
            threads.each(lambda i: 1 // i, [2, 1, 0, 1])
    finally:
        threads.use()


def test_optimizers_step_in_threads_side_by_side():
    """The arrays that a step writes into belong to its thread."""

    def work(seed, weights):
        rng = np.random.default_rng(seed)
        param = Param(rng.standard_normal(100_000))
        optimizer = optim.Adam([param], 0.1)
        for _ in range(20):
            param.grad[...] = rng.standard_normal(param.value.shape)
            optimizer.step()
        weights[seed] = param.value

    alone, together = {}, {}
    for seed in range(4):
        work(seed, alone)
    workers = [threading.Thread(target=work, args=(seed, together)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed in range(4):
        np.testing.assert_array_equal(together[seed], alone[seed])
