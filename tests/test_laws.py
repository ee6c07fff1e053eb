"""The table of layers, and the laws of `laws.py` over drawn shapes for every row of it, plain and by the twins."""

import contextlib
import copy

import laws
import numpy as np
import pytest
import rows_augment
import rows_basic
import rows_codes
import rows_condition
import rows_conv
import rows_norm
import rows_pairs
import rows_param
import rows_recurrent
import rows_remedies
import rows_resample
import rows_styles
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from tuples import direction

from scratchgan import fast, layers
from scratchgan.layers import Concat, Conv2d, Dense, Embedding, Flatten, Fork, Layer, LeakyReLU, Residual, Sequential
from scratchgan.param import Param

FILES = (
    rows_basic, rows_conv, rows_norm, rows_resample, rows_param, rows_remedies, rows_condition, rows_codes, rows_pairs,
    rows_recurrent, rows_styles, rows_augment,
)  # fmt: skip


def gathered(name):
    """Return the rows that all files have under a name."""
    return {row: make for file in FILES for row, make in getattr(file, name, {}).items()}


# Extrapolated differences apply to smooth layers, and to kinked ones away from 0.
SMOOTH, KINKED = gathered("SMOOTH"), gathered("KINKED")
TABLE = SMOOTH | KINKED | gathered("COMPOSED")
WITHOUT_DEMANDS = {"Sequential()", "Part", "labels handed on"}  # they hand on what they get


def input_of(given, rng):
    """Return x for what a row says of it: arrays drawn for shapes, given ones as they are, in tuples."""
    if isinstance(given, np.ndarray):
        return given
    if all(isinstance(length, int) for length in given):
        return rng.standard_normal(given)
    return tuple(input_of(part, rng) for part in given)


def cases(make):
    """Draw (layer in float64, x, rng) for a row of the table."""

    @st.composite
    def draw_case(draw):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        layer, x = make(draw, rng)
        return layer.astype(np.float64), input_of(x, rng), rng

    return draw_case()


def law_test(law, table, examples):
    """Return a test that holds a law against every row of a table, with the twins, and by the plain code."""

    @pytest.mark.parametrize("code", ["twins", "plain"])
    @pytest.mark.parametrize("row", table)
    def test(row, code):
        @draws(examples if code == "twins" else max(examples // 4, 3))
        @given(cases(table[row]))
        def holds(case):
            law(*case)

        with fast.plain() if code == "plain" else contextlib.nullcontext():
            assert fast.is_on() == (code == "twins")
            holds()

    return test


test_adjoint_in_x = law_test(laws.adjoint_in_x, TABLE, 40)
test_adjoint_in_params = law_test(laws.adjoint_in_params, TABLE, 30)
test_backward_is_both = law_test(laws.backward_is_both, TABLE, 20)
test_pull_leaves_grads_alone = law_test(laws.pull_leaves_grads_alone, TABLE, 10)
test_second_order = law_test(laws.second_order, TABLE, 40)
test_agrees_with_differences = law_test(laws.agrees_with_differences, SMOOTH, 15)
test_second_order_agrees_with_differences = law_test(laws.second_order_agrees_with_differences, SMOOTH, 5)
test_leaves_inputs_alone = law_test(laws.leaves_inputs_alone, TABLE, 15)
test_one_tape_serves_twice = law_test(laws.one_tape_serves_twice, TABLE, 15)
test_interleaves = law_test(laws.interleaves, TABLE, 15)
test_keeps_float32 = law_test(laws.keeps_float32, TABLE, 15)
test_infers = law_test(laws.infers, TABLE, 10)
test_takes_no_samples = law_test(laws.takes_no_samples, TABLE, 5)
test_travels = law_test(laws.travels, TABLE, 10)
DEMANDING = {row: make for row, make in TABLE.items() if row not in WITHOUT_DEMANDS}
test_refuses = law_test(laws.refuses, DEMANDING, 5)

TUPLES = rows_condition.SMOOTH | rows_condition.COMPOSED | rows_codes.COMPOSED | rows_pairs.SMOOTH | rows_pairs.COMPOSED
TUPLES |= rows_styles.PAIRS
test_none_is_zero = law_test(laws.none_is_zero, TUPLES, 30)


@pytest.mark.parametrize("row", KINKED)
def test_kinked_layers_agree_with_differences_away_from_their_kink(row):
    @draws(15)
    @given(cases(KINKED[row]))
    def holds(case):
        layer, x, rng = case
        laws.agrees_with_differences(layer, x + np.sign(x), rng)  # |x| > 1, and the largest step is 0.1

    holds()


def test_the_table_names_every_layer():
    abstract = {"Layer", "LinearMap", "FixedMap", "Pointwise", "Bilinear", "RandomLinear"}
    assert set(layers.__all__) - abstract <= set(TABLE)


# ---- what nobody asks for is not computed ----------------------------------------------------------------


class Spy(Dense):
    """A Dense layer that counts how often it is asked for dx."""

    asked = 0

    def input_grad(self, W, dy, shape):
        self.asked += 1
        return super().input_grad(W, dy, shape)


def spied(below, rng):
    """Return networks of Spies, with the lowest of each: below is what stands under them, (N, 3) -> (N, 3)."""
    first, second, third = Spy(3, 3, rng=rng), Spy(3, 3, rng=rng), Spy(3, 3, rng=rng)
    above = [LeakyReLU(0.2), third]
    yield Sequential(*below, first, *above), [first]
    yield Sequential(Sequential(*below), Sequential(Sequential(first), LeakyReLU(0.2)), *above), [first]
    yield Sequential(*below, Concat(Sequential(), first, Sequential(LeakyReLU(0.2), second))), [first, second]
    yield Sequential(*below, Residual(Sequential(LeakyReLU(0.2), first, LeakyReLU(0.2), second)), third), [first]
    yield Sequential(*below, Fork(first, Sequential(second, third))), [first, second]


@pytest.mark.parametrize("below", [[], [LeakyReLU(0.2), Flatten()]], ids=["lowest", "above others"])
@pytest.mark.parametrize("network", range(5))
def test_the_lowest_layers_with_weights_are_not_asked_for_dx(network, below):
    """accumulate stops there, and leaves the very grads that backward does; backward asks every layer once."""
    rng = np.random.default_rng(0)
    net, lowest = list(spied(below, rng))[network]
    net.astype(np.float64)
    y, tape = net.forward(rng.standard_normal((4, 3)))
    dy = direction(y, rng)
    net.accumulate(tape, dy)
    grads = laws.grads(net)
    others = {layer for _, layer in net.named_layers() if isinstance(layer, Spy)} - set(lowest)
    assert [layer.asked for layer in lowest] == [0] * len(lowest)
    assert all(layer.asked == 1 for layer in others)
    net.zero_grad()
    net.backward(tape, dy)
    laws.all_close(grads, laws.grads(net), rtol=1e-12)
    assert all(grad.any() for grad in grads)
    assert [layer.asked for layer in lowest] == [1] * len(lowest)


def test_a_picture_without_weights_below_has_no_gradient():
    """The first convolution of a discriminator, whose input gradient costs as much as its forward."""
    rng = np.random.default_rng(0)
    first = Conv2d(1, 2, 3, rng=rng)
    first.input_grad = first.pull = first.backward = None  # whoever calls them fails
    net = Sequential(LeakyReLU(0.2), first, Flatten(), Dense(8, 1, rng=rng))
    y, tape = net.forward(rng.standard_normal((2, 4, 4, 1), dtype="float32"))
    net.accumulate(tape, y)
    assert all(param.grad.any() for param in net.params())


def test_a_layer_with_weights_says_how_they_are_trained():
    """A Layer with a Param, in whatever it holds, and no accumulate of its own."""

    class Scale(Layer):
        def __init__(self):
            self.held = [{"w": Param(np.ones(3))}]

        def forward(self, x, train=True):
            return x * self.held[0]["w"].value, x

        def pull(self, x, dy):
            return dy * self.held[0]["w"].value, None

    layer = Scale()
    y, tape = layer.forward(np.ones((2, 3)))
    np.testing.assert_array_equal(layer.pull(tape, y)[0], y)
    for call in (layer.accumulate, layer.backward):
        with pytest.raises(NotImplementedError, match="has Params and no accumulate"):
            call(tape, y)
    with pytest.raises(NotImplementedError, match="no double_backward"):
        layer.double_backward(tape, None, y)
    del layer.held
    layer.accumulate(tape, y)  # without Params there is nothing to add


# ---- Embedding -------------------------------------------------------------------------------------------


@draws(30)
@given(cases(rows_basic.embedding))
def test_an_embedding_is_a_dense_layer_on_one_hot_vectors(case):
    layer, x, rng = case
    laws.agrees_with_differences(layer, x, rng)
    one_hot = np.eye(layer.classes)[x]
    np.testing.assert_array_equal(layer(x), one_hot @ layer.W.value)
    y, tape = layer.forward(x)
    assert layer.backward(tape, y) is None  # integers have no gradient
    grad = np.tensordot(one_hot, y, axes=(range(x.ndim), range(x.ndim)))
    np.testing.assert_allclose(layer.W.grad, grad, rtol=1e-12, atol=1e-12)


def test_embedding_refuses_what_it_has_no_row_for():
    layer = Embedding(4, 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"Embedding\(4, 2\): got 0 to 4 for x, wanted 0 to 3"):
        layer.forward(np.array([0, 4]))
    with pytest.raises(ValueError, match="-1"):
        layer.forward(np.array([-1, 2]))
    with pytest.raises(TypeError, match="wanted an array of integers"):
        layer.forward(np.array([0.0, 1.0]))


# ---- tuples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer, x, message", [
    (layers.Add(), np.ones((2, 3)), r"Add\(\): the input is one array, wanted a tuple"),
    (layers.Join(), [np.ones((2, 3))] * 2, r"Join\(\): the input is a list, wanted a tuple"),
    (layers.Add(), (), r"Add\(\): the input is a tuple of 0, wanted a tuple of parts"),
    (layers.Part(1), np.ones((2, 3)), r"Part\(1\): the input is one array, wanted a tuple"),
    (layers.Each(layers.Tanh(), layers.Tanh()), (np.ones((2, 3)),), "a tuple of 1, wanted a tuple of 2, one for each"),
    (layers.Dot(), (np.ones((2, 3)),), r"Dot\(\): the input is a tuple of 1, wanted a pair \(a, b\)"),
    (layers.Scores(), np.ones((2, 3)), r"Scores\(\): the input is one array, wanted a pair \(a, b\)"),
    (layers.Conditional(layers.Tanh()), np.ones((2, 3)), r"the input is one array, wanted a pair \(x, labels\)"),
])  # fmt: skip
def test_what_is_no_tuple_is_refused(layer, x, message):
    with pytest.raises(TypeError, match=message):
        layer.forward(x)


@pytest.mark.parametrize("layer, shapes, message", [
    (layers.Add(), ((2, 3), (2, 4)), r"Add\(\): a part of x has shape \(2, 4\), wanted \(2, 3\)"),
    (layers.Join(), ((2, 3, 1), (2, 4, 1)), r"Join\(\): a part of x has shape \(2, 4, 1\), wanted \(2, 3, 1\)"),
    (layers.Join(), ((2, 3, 1), (3, 1)), r"Join\(\): a part of x has shape \(3, 1\)"),
    (layers.Dot(), ((2, 3), (2, 4)), r"Dot\(\): got \(2, 3\) and \(2, 4\), wanted two of one shape"),
    (layers.Modulate(), ((2, 5, 3), (2, 4)), r"Modulate\(\): got \(2, 5, 3\) and \(2, 4\)"),
    (layers.Scores(), ((2, 5, 3), (2, 4, 4)), r"Scores\(\): got \(2, 5, 3\) and \(2, 4, 4\)"),
    (layers.Mix(), ((2, 5, 3), (2, 4, 4)), r"Mix\(\): got \(2, 5, 3\) and \(2, 4, 4\)"),
])  # fmt: skip
def test_parts_that_do_not_fit_are_refused(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(tuple(np.ones(shape) for shape in shapes))


def test_a_copy_of_a_network_of_tuples_stands_alone():
    rng = np.random.default_rng(0)
    net = Sequential(Fork(Dense(3, 2, rng=rng), Dense(3, 2, rng=rng)), layers.Add())
    x, before = rng.standard_normal((4, 3), dtype="float32"), net.state()
    twin = copy.deepcopy(net)
    y, tape = twin.forward(x)
    twin.accumulate(tape, y)
    assert not any(param.grad.any() for param in net.params())
    for path, array in net.state().items():
        np.testing.assert_array_equal(array, before[path])


def test_what_pull_kept_cannot_be_taken_for_dy():
    """The mistake of somebody who gives double_backward the gradient itself."""
    rng = np.random.default_rng(0)
    net = layers.Sequential(layers.Dense(3, 2, rng=rng), layers.Tanh())
    x = np.ones((2, 3), np.float32)  # as many samples as layers
    y, tape = net.forward(x)
    with pytest.raises(TypeError, match="kept is one array, wanted what pull returned beside dx"):
        net.double_backward(tape, y, x)
