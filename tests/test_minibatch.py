"""Layers that look at a whole batch, against loops written from the papers; their laws are in rows_remedies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgan import penalties
from scratchgan.layers import Closeness, Dense, Maxout, MinibatchDiscrimination, MinibatchStd, Pack, Sequential

side = st.integers(1, 4)


@given(st.integers(1, 5), side, side, st.integers(0, 9))
def test_minibatch_std_is_the_mean_deviation_of_each_group(group, groups, channels, seed):
    x = np.random.default_rng(seed).standard_normal((group * groups, 2, 3, channels))
    y = MinibatchStd(group, eps=1e-8)(x)
    np.testing.assert_array_equal(y[..., :-1], x)
    for sample in range(len(x)):
        members = [x[other] for other in range(len(x)) if other % groups == sample % groups]
        assert len(members) == group
        deviations = [
            np.sqrt(np.var([member[place] for member in members]) + 1e-8) for place in np.ndindex(2, 3, channels)
        ]
        np.testing.assert_allclose(y[sample, ..., -1], np.mean(deviations), rtol=1e-12)


def test_defaults_are_those_of_the_authors():
    assert MinibatchStd().group == 4
    layer = MinibatchDiscrimination(3, 2, rng=np.random.default_rng(0))
    assert layer.params()[0].value.shape == (3, 2 * 5)


def test_minibatch_std_sees_a_collapsed_batch():
    x = np.random.default_rng(0).standard_normal((8, 3))
    assert (MinibatchStd(4)(x)[:, -1] > 0.1).all()
    np.testing.assert_allclose(MinibatchStd(4)(np.tile(x[:1], (8, 1)))[:, -1], 1e-4)  # the root of eps
    assert MinibatchStd(4)(x[:3]).shape == (3, 4)  # fewer than a group: one group


@given(side, side, side, side, st.integers(0, 9))
def test_minibatch_discrimination_counts_who_is_close(N, inputs, features, size, seed):
    rng = np.random.default_rng(seed)
    layer = MinibatchDiscrimination(inputs, features, size, rng=rng).astype(np.float64)
    x, T = rng.standard_normal((N, inputs)), layer.params()[0].value.reshape(inputs, features, size)
    y = layer(x)
    np.testing.assert_array_equal(y[:, :inputs], x)
    M = np.einsum("na,abc->nbc", x, T)
    for i in range(N):
        for b in range(features):
            o = sum(np.exp(-np.abs(M[i, b] - M[j, b]).sum()) for j in range(N))
            assert y[i, inputs + b] == pytest.approx(o, rel=1e-12)


def test_closeness_of_equal_samples_is_their_number():
    np.testing.assert_array_equal(Closeness(2)(np.ones((5, 6))), np.full((5, 2), 5.0))


@given(st.integers(1, 4), side, side, st.integers(0, 9))
def test_pack_puts_samples_side_by_side(pack, n, channels, seed):
    x = np.random.default_rng(seed).standard_normal((n * pack, 2, channels))
    y = Pack(pack)(x)
    for row in range(n):
        for place in range(2):
            expected = np.concatenate([x[row * pack + k, place] for k in range(pack)])
            np.testing.assert_array_equal(y[row, place], expected)


@given(side, side, side, st.integers(0, 9))
def test_maxout_takes_the_largest_candidate(N, features, pieces, seed):
    x = np.random.default_rng(seed).integers(-2, 3, (N, pieces * features)).astype(float)  # with ties
    layer = Maxout(pieces)
    y, tape = layer.forward(x)
    dx = layer.backward(tape, np.ones_like(y))
    for n in range(N):
        for f in range(features):
            candidates = x[n, f::features]
            assert y[n, f] == candidates.max()
            one_hot = np.eye(pieces)[candidates.argmax()]  # the first of equals
            np.testing.assert_array_equal(dx[n, f::features], one_hot)


@pytest.mark.parametrize(
    "make, x, message",
    [
        (lambda: Pack(2), (3, 4), "multiple of 2"),
        (lambda: Pack(0), None, "pack is 0"),
        (lambda: MinibatchStd(4), (6, 4), "multiple of 4"),
        (lambda: MinibatchStd(0), None, "group is 0"),
        (lambda: Maxout(3), (2, 4), "multiple of 3"),
        (lambda: Maxout(0), None, "pieces is 0"),
        (lambda: Closeness(3), (2, 4), "multiple of 3"),
        (lambda: MinibatchStd(4), (0, 4), "multiple of 4"),
        (lambda: Closeness(2), (0, 4), "multiple of 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(make, x, message):
    with pytest.raises(ValueError, match=message):
        make()(np.ones(x))


@pytest.mark.parametrize("make", [lambda rng: Pack(2), lambda rng: MinibatchStd(2),
                                  lambda rng: MinibatchDiscrimination(3, 2, rng=rng)])  # fmt: skip
def test_a_penalty_on_each_samples_gradient_refuses_them(make):
    """Where D mixes samples, the gradient at a sample is that of all scores, not of its own."""
    rng = np.random.default_rng(0)
    layer = make(rng)
    width = layer(np.ones((2, 3), "float32")).shape[-1]
    D = Sequential(layer, Dense(width, 1, rng=rng))
    with pytest.raises(ValueError):
        penalties.r1(D, rng.standard_normal((4, 3), dtype="float32"))
