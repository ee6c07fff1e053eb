"""The table of layers, and the laws of `laws.py` over drawn shapes for every row of it."""

import laws
import numpy as np
import pytest
import rows_basic
import rows_codes
import rows_condition
import rows_conv
import rows_norm
import rows_param
import rows_remedies
import rows_resample
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan.layers import Embedding

# Extrapolated differences apply to smooth layers, and to kinked ones away from 0.
SMOOTH = rows_basic.SMOOTH | rows_conv.SMOOTH | rows_norm.SMOOTH | rows_resample.SMOOTH | rows_param.SMOOTH
SMOOTH |= rows_remedies.SMOOTH | rows_condition.SMOOTH | rows_codes.SMOOTH
KINKED = rows_basic.KINKED | rows_norm.KINKED | rows_resample.KINKED
TABLE = SMOOTH | KINKED | rows_basic.COMPOSED | rows_conv.COMPOSED | rows_param.COMPOSED | rows_remedies.COMPOSED
TABLE |= rows_condition.COMPOSED | rows_codes.COMPOSED


def cases(make):
    """Draw (layer in float64, x, rng) for a row of the table."""

    @st.composite
    def draw_case(draw):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        layer, x_shape = make(draw, rng)
        return layer.astype(np.float64), rng.standard_normal(x_shape), rng

    return draw_case()


def law_test(law, table, examples):
    """Return a test that holds a law against every row of a table."""

    @pytest.mark.parametrize("row", table)
    def test(row):
        @settings(max_examples=examples, deadline=None)
        @given(cases(table[row]))
        def holds(case):
            law(*case)

        holds()

    return test


test_adjoint_in_x = law_test(laws.adjoint_in_x, TABLE, 40)
test_adjoint_in_params = law_test(laws.adjoint_in_params, TABLE, 30)
test_second_order = law_test(laws.second_order, TABLE, 40)
test_agrees_with_differences = law_test(laws.agrees_with_differences, SMOOTH, 15)
test_second_order_agrees_with_differences = law_test(laws.second_order_agrees_with_differences, SMOOTH, 5)
test_leaves_inputs_alone = law_test(laws.leaves_inputs_alone, TABLE, 15)
test_interleaves = law_test(laws.interleaves, TABLE, 15)
test_grads_flag = law_test(laws.grads_flag, TABLE, 15)
test_keeps_float32 = law_test(laws.keeps_float32, TABLE, 15)
test_infers = law_test(laws.infers, TABLE, 10)
test_travels = law_test(laws.travels, TABLE, 10)
test_refuses = law_test(laws.refuses, {name: row for name, row in TABLE.items() if name != "Sequential()"}, 5)


@pytest.mark.parametrize("row", KINKED)
def test_kinked_layers_agree_with_differences_away_from_their_kink(row):
    @settings(max_examples=15, deadline=None)
    @given(cases(KINKED[row]))
    def holds(case):
        layer, x, rng = case
        laws.agrees_with_differences(layer, x + np.sign(x), rng)  # |x| > 1, and the largest step is 0.1

    holds()


# ---- Embedding: its input is integers, so only its own laws apply ----------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_embedding(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    classes = data.draw(rows_basic.size)
    layer = Embedding(classes, data.draw(rows_basic.size), rng=rng).astype(np.float64)
    x = rng.integers(0, classes, data.draw(rows_basic.shape))
    laws.adjoint_in_params(layer, x, rng)
    laws.interleaves(layer, x, rng)
    laws.grads_flag(layer, x, rng)
    laws.keeps_float32(layer, x, rng)
    one_hot = np.eye(classes)[x]
    np.testing.assert_array_equal(layer(x), one_hot @ layer.W.value)
    y, tape = layer.forward(x)
    assert layer.backward(tape, y) is None  # integers have no gradient


def test_embedding_refuses_what_it_has_no_row_for():
    layer = Embedding(4, 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"Embedding\(4, 2\): got 0 to 4 for x, wanted 0 to 3"):
        layer.forward(np.array([0, 4]))
    with pytest.raises(ValueError, match="-1"):
        layer.forward(np.array([-1, 2]))
    with pytest.raises(TypeError, match="wanted an array of integers"):
        layer.forward(np.array([0.0, 1.0]))


def test_the_table_names_every_layer():
    import scratchgan.layers as layers

    abstract = {"Layer", "Linear", "Pointwise", "Embedding"}  # Embedding has its own test above
    assert set(layers.__all__) - abstract <= set(TABLE)
