"""Weights across to PyTorch and back: names, layouts, orders, errors. Files, and PyTorch itself, have their own."""

import copy
import math
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan import layers
from scratchgan.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Fork,
    GroupNorm,
    InstanceNorm,
    Join,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Tanh,
)
from scratchgan.param import Param
from scratchgan.tools.pytorch import from_torch, to_torch

RNG = np.random.default_rng(0)
EPS = 0.1  # for drawn normalisations: 1e-5 would let a few in a row multiply rounding errors by 1 / sqrt(eps) each


def random_state(net, rng):
    """Give all weights and running statistics random numbers, so that no two are alike; return the network."""
    for array in net.named_arrays().values():
        array[...] = rng.uniform(0.5, 2, array.shape)
    for param in net.params():
        param.value[...] = rng.standard_normal(param.value.shape) / math.sqrt(max(param.value.shape))
    return net


def same(a, b):
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a
    )


# ---- drawn networks --------------------------------------------------------------------------------------


def activation(draw):
    # No kink at 0: there, where a norm of equal numbers ends, rounding alone would choose the derivative.
    return draw(st.sampled_from([layers.Tanh, layers.Softplus, layers.ELU, layers.Sigmoid]))()


def vector_norm(draw, F):
    kinds = [lambda: BatchNorm(F, eps=EPS), lambda: LayerNorm(F, eps=EPS), lambda: GroupNorm(1, F, eps=EPS)]
    return draw(st.sampled_from(kinds))()


def picture_layers(draw, shape, rng):
    """Draw one layer for pictures (*sides, C) of 1, 2 or 3 axes."""
    axes, C = len(shape) - 1, shape[-1]
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if C % g == 0]))
    O = groups * draw(st.integers(1, 3))
    options = {"groups": groups, "bias": draw(st.booleans()), "padding": 1, "rng": rng}
    strides = draw(st.tuples(*[st.integers(1, 2)] * axes))
    kinds = {
        "conv": lambda: getattr(layers, f"Conv{axes}d")(C, O, draw(st.integers(1, 3)), stride=strides, **options),
        "transposed": lambda: getattr(layers, f"ConvTranspose{axes}d")(
            C, O, (3, 4, 3)[:axes], stride=strides, output_padding=tuple(s - 1 for s in strides), **options),
        "batch": lambda: BatchNorm(C, eps=EPS, momentum=0.3),
        "group": lambda: GroupNorm(groups, C, eps=EPS),
        "instance": lambda: InstanceNorm(C, eps=EPS, affine=draw(st.booleans())),
        "activation": lambda: activation(draw),
        "flatten": Flatten,
    }  # fmt: skip
    if min(shape[:-1]) == 1:
        del kinds["transposed"]  # padding could leave nothing
    if math.prod(shape[:-1]) == 1:
        del kinds["instance"]
    return [kinds[draw(st.sampled_from(list(kinds)))]()]


def vector_layers(draw, shape, rng):
    """Draw layers for vectors (F,): a Dense, or a Dense that makes a picture, with layers in between."""
    between = [vector_norm(draw, shape[0])] * draw(st.booleans()) + [activation(draw)] * draw(st.booleans())
    sides = draw(st.lists(st.integers(1, 3), min_size=0, max_size=3))
    picture = (*sides, draw(st.integers(1, 4)))
    F = math.prod(picture)
    grown = [Dense(shape[0], F, bias=draw(st.booleans()), rng=rng)]
    if draw(st.booleans()):
        grown += [vector_norm(draw, F), activation(draw)]
    return between + grown + ([Reshape(*picture)] if sides else [])


@st.composite
def networks(draw):
    """Draw (a Sequential, the shape of a sample, rng), that ends in a picture or a Dense."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (*draw(st.lists(st.integers(2, 4), max_size=3)), draw(st.integers(1, 4)))
    chain = []
    if len(shape) < 3 and draw(st.booleans()):  # labels, alone or in rows: PyTorch's Embedding has channels last too
        shape = shape[:-1]
        F = draw(st.integers(1, 4))
        chain = [Embedding(5, F, rng=rng)]
        if shape:
            chain += [Dense(F, 3, rng=rng), LayerNorm(3), Tanh(), Flatten(), Dense(3 * shape[0], 4, rng=rng)]
    net = Sequential(*chain)
    for _ in range(draw(st.integers(1, 4))):
        here = net(zeros(net, (2, *shape))).shape[1:]
        chain = chain + (vector_layers if len(here) == 1 else picture_layers)(draw, here, rng)
        net = Sequential(*chain)
    here = net(zeros(net, (2, *shape))).shape[1:]
    if len(here) == 1:
        dropout = [Dropout(0.0, rng=np.random.default_rng(0))] * draw(st.booleans())
        net = Sequential(*chain, *dropout, Dense(here[0], 2, rng=rng))
    return random_state(net.astype(np.float64), rng), shape, rng


def zeros(net, shape):
    first = net.layers[0] if net.layers else None
    dtype = np.int64 if isinstance(first, Embedding) else net.params()[0].value.dtype if net.params() else "float32"
    return np.zeros(shape, dtype)


@settings(max_examples=150, deadline=None)
@given(networks())
def test_there_and_back_is_the_same_to_the_bit(case):
    net, shape, rng = case
    before, state = net.state(), to_torch(net, shape)
    other = random_state(copy.deepcopy(net), rng)
    from_torch(other, state, shape)
    assert same(other.state(), before) and same(net.state(), before)
    assert same(to_torch(other, shape), state)


# ---- layouts, by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer, shape, there",
    [
        (Dense(2, 3, rng=RNG), (3, 2), lambda W, o, i: W[i, o]),
        (layers.Conv1d(2, 3, 4, rng=RNG), (3, 2, 4), lambda W, o, c, k: W[k, c, o]),
        (Conv2d(4, 6, (2, 3), groups=2, rng=RNG), (6, 2, 2, 3), lambda W, o, c, h, w: W[h, w, c, o]),
        (layers.Conv3d(1, 2, (1, 2, 3), rng=RNG), (2, 1, 1, 2, 3), lambda W, o, c, t, h, w: W[t, h, w, c, o]),
        (ConvTranspose2d(4, 6, (2, 3), groups=2, rng=RNG), (4, 3, 2, 3), lambda W, c, o, h, w: W[h, w, o, c]),
        (Embedding(4, 3, rng=RNG), (4, 3), lambda W, k, f: W[k, f]),
    ],
    ids=lambda value: repr(value) if isinstance(value, layers.Layer) else None,  # a function's has its address
)
def test_layouts_of_weights(layer, shape, there):
    weight = to_torch(layer)["weight"]
    assert weight.shape == shape and weight.flags.c_contiguous
    for index in np.ndindex(*shape):
        assert weight[index] == there(layer.W.value, *index)


def test_names_are_those_of_a_sequential():
    net = Sequential(Conv2d(1, 2, 3, rng=RNG), LeakyReLU(0.2), Sequential(BatchNorm(2), Tanh()),
                     Residual(Sequential(Conv2d(2, 2, 1, bias=False, rng=RNG))), Concat(Sequential(), GroupNorm(1, 2)),
                     InstanceNorm(4, affine=False))  # fmt: skip
    statistics = ["running_mean", "running_var", "num_batches_tracked"]
    names = ["0.weight", "0.bias", *[f"2.0.{name}" for name in ("weight", "bias", *statistics)],
             "3.body.0.weight", "4.1.weight", "4.1.bias"]  # fmt: skip
    state = to_torch(net)
    assert list(state) == names and list(to_torch(net, (5, 5, 1))) == names
    assert state["2.0.num_batches_tracked"].shape == () and state["2.0.num_batches_tracked"].dtype == np.int64
    assert list(to_torch(net, prefix="module."))[0] == "module.0.weight"


def test_rows_after_a_flatten():
    net = Sequential(Flatten(), LeakyReLU(), Dense(6, 1, rng=RNG))
    net.layers[2].W.value[:, 0] = [111, 112, 121, 122, 131, 132]  # row 1, columns 1 to 3, channels 1 and 2
    assert to_torch(net, shape=(1, 3, 2))["2.weight"].tolist() == [[111, 121, 131, 112, 122, 132]]


def test_columns_biases_and_norms_before_a_reshape():
    net = Sequential(Dense(1, 6, rng=RNG), BatchNorm(6), ReLU(), Reshape(3, 1, 2))
    numbers = np.array([11, 12, 21, 22, 31, 32])
    for array in (net.layers[0].W.value[0], net.layers[0].b.value, net.layers[1].gamma.value, net.layers[1].beta.value,
                  net.layers[1].running_mean, net.layers[1].running_var):  # fmt: skip
        array[...] = numbers
    state = to_torch(net, shape=(1,))
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        assert state[name].ravel().tolist() == [11, 21, 31, 12, 22, 32], name


def test_a_copy_is_returned_and_the_network_and_its_generators_stay():
    net = Sequential(Dense(2, 2, rng=RNG), Dropout(0.5, rng=np.random.default_rng(3)))
    before = net.state()
    for array in to_torch(net, (2,)).values():
        array += 1
    assert same(net.state(), before)


def test_residuals_carry_an_order():
    net = Sequential(Flatten(), Residual(Sequential(Dense(6, 5, rng=RNG), Tanh(), Dense(5, 6, rng=RNG))),
                     Dense(6, 1, rng=RNG))  # fmt: skip
    order = [0, 2, 4, 1, 3, 5]
    state = to_torch(net, (1, 3, 2))
    assert np.array_equal(state["1.body.0.weight"], net.layers[1].body.layers[0].W.value[order].T)
    assert np.array_equal(state["1.body.2.weight"], net.layers[1].body.layers[2].W.value[:, order].T)
    assert np.array_equal(state["2.weight"], net.layers[2].W.value[order].T)


def test_forks_and_sums_are_followed():
    """What a Residual is, written out, and a skip that joins channels."""
    skip = Sequential(Fork(Sequential(), Conv2d(2, 3, 3, padding=1, rng=RNG)), Join(), Conv2d(5, 2, 1, rng=RNG))
    tail = Fork(Sequential(Dense(12, 12, rng=RNG), Tanh()), Sequential())
    net = Sequential(skip, Flatten(), tail, Add(), Dense(12, 1, rng=RNG))
    state = to_torch(net, (2, 3, 2))
    assert list(state) == [f"{path}.{name}" for path in ("0.0.1", "0.2", "2.0.0", "4") for name in ("weight", "bias")]
    order = np.arange(12).reshape(2, 3, 2).transpose(2, 0, 1).ravel()
    assert np.array_equal(state["4.weight"], net.layers[4].W.value[order].T)
    W = tail.layers[0].layers[0].W.value
    assert np.array_equal(state["2.0.0.weight"], W[order][:, order].T)
    body = Residual(Sequential(Dense(12, 12, rng=RNG), Tanh()))
    from_torch(Sequential(Flatten(), body), {"1.body.0.weight": W.T, "1.body.0.bias": np.zeros(12)}, (12,))
    x = np.random.default_rng(0).standard_normal((2, 12), dtype="float32")
    np.testing.assert_array_equal(body(x), np.tanh(x @ W) + x)


def test_layers_in_lists_and_dictionaries_of_a_layer():
    """An exported network lacks nothing, wherever a layer keeps its Params."""
    mine = Own(Tanh())
    mine.blocks = [Dense(2, 3, rng=RNG), {"more": [BatchNorm(3)]}]
    assert list(to_torch(mine))[:4] == ["blocks.0.weight", "blocks.0.bias", "blocks.1.more.0.weight",
                                        "blocks.1.more.0.bias"]  # fmt: skip
    mine.scales = [Param(np.ones(1))]
    with pytest.raises(ValueError, match=r"scales\.0 of .* has no counterpart"):
        to_torch(mine)


def test_training_is_not_imported():
    """Nor by looking into a network: a tool does not need what trains."""
    code = "import scratchgan.tools.pytorch, scratchgan.tools.look, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert "scratchgan.tools.pytorch" in imported
    assert [name for name in imported if name.startswith(("scratchgan.training", "scratchgan.data"))] == []


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [Flatten(), Reshape(2, 3, 1)])
def test_shape_is_asked_for(layer):
    net = Sequential(Sequential(ReLU(), layer), Dense(6, 1, rng=RNG))
    with pytest.raises(ValueError, match=r"0\.1, .* give shape="):
        to_torch(net)
    with pytest.raises(ValueError, match=r"0\.1, .* give shape="):
        from_torch(net, {})


@pytest.mark.parametrize(
    "net, shape",
    [
        (Sequential(Conv2d(1, 2, 1, rng=RNG), Flatten()), (3, 3, 1)),  # a vector out, in another order
        (Sequential(Reshape(3, 1, 2), Conv2d(2, 1, 1, rng=RNG)), (6,)),  # a vector in
        (Sequential(Conv2d(1, 2, 1, rng=RNG), Reshape(2, 3, 3), Conv2d(3, 1, 1, rng=RNG)), (3, 3, 1)),
        (Sequential(Flatten(), GroupNorm(2, 18), Dense(18, 1, rng=RNG)), (3, 3, 2)),  # groups of others
        (Sequential(Conv2d(1, 2, 1, rng=RNG), Dense(2, 3, rng=RNG)), (3, 3, 1)),  # Linear takes the last axis
        (Sequential(Flatten(), Concat(Sequential(), Dense(18, 1, rng=RNG))), (3, 3, 2)),
    ],
)
def test_what_no_permutation_of_weights_can_mend_is_refused(net, shape):
    with pytest.raises(ValueError, match="PyTorch orders them otherwise"):
        to_torch(net, shape)


def test_where_the_order_is_the_same_nothing_is_refused():
    patch = Sequential(Conv2d(1, 1, 3, rng=RNG), Flatten())
    assert list(to_torch(patch, (5, 5, 1))) == ["0.weight", "0.bias"]
    from_latent = Sequential(Reshape(1, 1, 6), ConvTranspose2d(6, 1, 4, rng=RNG))
    assert list(to_torch(from_latent, (6,))) == ["1.weight", "1.bias"]


class Own(layers.Layer):
    """A layer of somebody else's, with another inside."""

    def __init__(self, inner, scale=None):
        self.inner = inner
        self.scale = scale

    def forward(self, x, train=True):
        return self.inner.forward(x, train)


def test_layers_of_ones_own():
    net = Sequential(Own(Sequential(Dense(2, 3, rng=RNG))), Tanh())
    assert list(to_torch(net)) == list(to_torch(net, (2,))) == ["0.inner.0.weight", "0.inner.0.bias"]
    with pytest.raises(ValueError, match="0.inner.0, Flatten.* convert its parts one by one"):
        to_torch(Sequential(Own(Sequential(Flatten()))), (2, 2))
    with pytest.raises(ValueError, match="0.scale of .* has no counterpart"):
        to_torch(Sequential(Own(Tanh(), Param(np.ones(1)))))


@pytest.mark.parametrize(
    "net, message",
    [
        (Sequential(layers.LabelChannels(3, 2, rng=RNG), Dense(4, 1, rng=RNG)), "takes a tuple"),
        (Sequential(Fork(Dense(2, 2, rng=RNG), Dense(2, 2, rng=RNG)), layers.Dot()), r"1 Dot\(\) takes a tuple"),
    ],
)
def test_where_x_is_a_tuple_it_cannot_be_followed(net, message):
    with pytest.raises(ValueError, match=message):
        to_torch(net, (2,))
    assert "0.embedding.weight" in to_torch(net) or "0.0.weight" in to_torch(net)


def refused(net, state, *messages, **options):
    before = net.state()
    with pytest.raises(ValueError) as error:
        from_torch(net, state, **options)
    for message in messages:
        assert message in str(error.value)
    assert same(net.state(), before)


def test_what_does_not_fit_is_named_and_nothing_is_written():
    net = Sequential(Dense(2, 3, rng=RNG), BatchNorm(3))
    state = to_torch(net)
    refused(net, {}, "missing 0.weight (ours: 0.W, (2, 3), of Dense(2, 3))", "missing 1.running_var (ours: 1.runn")
    refused(net, state | {"2.weight": np.zeros(1)}, "unknown 2.weight")
    refused(net, state | {"0.weight": np.zeros((2, 3))}, "0.weight (ours: 0.W", "(2, 3) in the state, wanted (3, 2)")
    refused(net, state | {"0.bias": np.array(["a"] * 3)}, "0.bias is an array of <U1")
    refused(net, state | {"0.bias": np.array([None] * 3)}, "0.bias is an array of object")
    refused(net, {f"module.{name}": array for name, array in state.items()}, "Perhaps prefix='module.' is meant")
    refused(net, state, "missing 0.weight", prefix="module.")


def test_prefix_and_optional_counters():
    net = random_state(Sequential(Dense(2, 3, rng=RNG), BatchNorm(3)), RNG)
    other = Sequential(Dense(2, 3, rng=RNG), BatchNorm(3))
    state = {name: array for name, array in to_torch(net, prefix="G.").items() if "tracked" not in name}
    from_torch(other, state | {"D.weight": np.zeros(7)}, prefix="G.")
    assert same(other.state(), net.state())


def test_a_param_in_two_places():
    dense = Dense(2, 2, rng=RNG)
    net = Sequential(dense, Tanh(), dense)
    state = to_torch(net)
    assert list(state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    from_torch(net, state)
    refused(net, state | {"2.bias": np.ones(2)}, "0.bias and 2.bias are one array")


def test_tensors_and_other_dtypes():
    tensor = lambda array: types.SimpleNamespace(detach=lambda: types.SimpleNamespace(
        cpu=lambda: types.SimpleNamespace(numpy=lambda: array)))  # fmt: skip
    net = Dense(2, 1, rng=RNG)
    from_torch(net, {"weight": tensor(np.array([[0.5, 0.25]])), "bias": [3]})
    assert net.W.value.tolist() == [[0.5], [0.25]] and net.b.value.tolist() == [3] and net.b.value.dtype == np.float32
