"""Parts of a layer are found wherever they are: in attributes, lists, tuples, dictionaries and objects, nested."""

import collections
import copy
import dataclasses
import enum
import functools
import random
import types

import laws
import numpy as np
import pytest

from scratchgan import walk
from scratchgan.layers import BatchNorm, Concat, Conditional, Dense, Dropout, Layer, Residual, Sequential, Tanh
from scratchgan.optim import EMA, SGD, Adam
from scratchgan.param import Param
from scratchgan.unroll import moving
from scratchgan.weights import Spectral, WeightNorm, spectral_norm, weight_norm


class Box:
    """An object that is no layer, and knows nothing of layers."""

    def __init__(self, **parts):
        vars(self).update(parts)


class Everywhere(Layer):
    """A Sequential whose layers are kept in every way that there is; the first is kept twice."""

    def __init__(self, seed=0):
        dense = lambda: Dense(3, 3, rng=np.random.default_rng([seed, next(count)]))
        count = iter(range(10))
        self.attribute = dense()
        self.list = [dense(), Tanh(), [dense()]]
        self.tuple = (dense(), {"deep": (dense(), "not a layer", None)})
        self.dictionary = {"norm": BatchNorm(3), 7: [Dropout(0.5, rng=np.random.default_rng(seed))]}
        self.box = Box(layer=dense(), box=Box(list=[dense()]), gains=[Param(np.ones(3, dtype="float32"))])
        self.again = {"first": self.attribute}
        self.index = [np.array([2, 0, 1])]

    def chain(self):
        box, norm, (dropout,) = self.box, self.dictionary["norm"], self.dictionary[7]
        first, (second, tanh, (third,)) = self.attribute, self.list
        fourth, (fifth, *_) = self.tuple[0], self.tuple[1]["deep"]
        scale = Scale(box.gains[0], self.index[0])
        layers = (first, tanh, second, norm, third, tanh, fourth, scale, fifth, dropout)
        return Sequential(*layers, box.layer, tanh, box.box.list[0], self.again["first"])

    def forward(self, x, train=True):
        return self.chain().forward(x, train)

    def pull(self, tape, dy):
        return self.chain().pull(tape, dy)

    def accumulate(self, tape, dy):
        self.chain().accumulate(tape, dy)

    def double_backward(self, tape, kept, ddx):
        return self.chain().double_backward(tape, kept, ddx)


class Scale(Layer):
    """y[:, i] = gain[i] x[:, index[i]]."""

    def __init__(self, gain, index):
        self.gain, self.index = gain, index

    def forward(self, x, train=True):
        return self.gain.value * x[:, self.index], x

    def pull(self, x, dy):
        dx = np.empty_like(dy)
        dx[:, self.index] = dy * self.gain.value
        return dx, dy

    def accumulate(self, x, dy):
        self.gain.grad += (dy * x[:, self.index]).sum(0)

    def double_backward(self, x, dy, ddx):
        self.accumulate(ddx, dy)
        return self.gain.value * ddx[:, self.index], None


DENSE = ["attribute", "list.0", "list.2.0", "tuple.0", "tuple.1.deep.0", "box.layer", "box.box.list.0"]
WEIGHTS = [f"{path}.W" for path in DENSE]
PARAMS = {*WEIGHTS, *[f"{path}.b" for path in DENSE]}
PARAMS |= {"dictionary.norm.gamma", "dictionary.norm.beta", "box.gains.0"}
ARRAYS = {"dictionary.norm.running_mean", "dictionary.norm.running_var", "index.0"}


def points():
    return np.random.default_rng(1).standard_normal((6, 3), dtype="float32")


def trained(net, steps=3, optimizer=None):
    """Return a network after some steps of an optimizer."""
    optimizer = optimizer or SGD(net.params(), 0.1)
    for _ in range(steps):
        y, tape = net.forward(points())
        net.accumulate(tape, y - 1)
        optimizer.step()
    return net


def values(net):
    return {path: param.value.copy() for path, param in net.named_params().items()}


# ---- every part, once ------------------------------------------------------------------------------------


def test_all_params_layers_and_arrays_are_found_each_once():
    net = Everywhere()
    assert set(net.named_params()) == PARAMS
    assert len({id(param) for param in net.params()}) == len(net.params()) == len(PARAMS)
    assert set(net.named_arrays()) == ARRAYS
    paths = {path for path, _ in net.named_layers()}
    assert paths == {"", *DENSE, "list.1", "dictionary.norm", "dictionary.7.0"}
    assert set(net.state()) == PARAMS | ARRAYS | {"dictionary.7.0.rng"}
    assert list(net.named_params()) == list(Everywhere(seed=1).named_params())  # in a fixed order


@pytest.mark.parametrize("law", [
    laws.adjoint_in_x, laws.adjoint_in_params, laws.second_order, laws.backward_is_both, laws.pull_leaves_grads_alone,
    laws.one_tape_serves_twice, laws.interleaves, laws.leaves_inputs_alone, laws.keeps_float32, laws.infers,
    laws.travels,
], ids=lambda law: law.__name__)  # fmt: skip
def test_the_laws_hold(law):
    rng = np.random.default_rng(0)
    law(Everywhere().astype(np.float64), rng.standard_normal((5, 3)), rng)


def test_an_optimizer_moves_every_weight():
    net = Everywhere()
    before, after = values(net), values(trained(net))
    for path, value in before.items():
        assert not np.array_equal(value, after[path]), path
    net.accumulate(net.forward(points())[1], points())
    assert all(param.grad.any() for param in net.params())
    net.zero_grad()
    assert not any(param.grad.any() for param in net.params())


def test_a_shared_layer_counts_once():
    twice = Dense(3, 3, rng=np.random.default_rng(0))
    net = Sequential(twice, Tanh(), twice)
    box = Box(one=[twice], other={"a": twice})
    assert list(net.named_params()) == ["0.W", "0.b"]
    assert [path for path, _ in walk.find(box, Param)] == ["one.0.W", "one.0.b"]
    other = Dense(3, 3, rng=np.random.default_rng(1))
    other.W = twice.W
    assert list(Sequential(twice, other).named_params()) == ["0.W", "0.b", "1.b"]


# ---- saved, copied, converted ----------------------------------------------------------------------------


def test_a_state_travels():
    """Weights, running statistics, and what Dropout will draw next."""
    net, other = trained(Everywhere()), Everywhere(seed=1)
    assert not np.array_equal(net(points()), other(points()))
    other.load_state(net.state())
    np.testing.assert_array_equal(net(points()), other(points()))
    np.testing.assert_array_equal(net.forward(points())[0], other.forward(points())[0])
    for path, array in net.state().items():
        np.testing.assert_array_equal(array, other.state()[path], err_msg=path)


def test_a_state_of_another_architecture_is_refused_before_anything_is_written():
    net, before = Everywhere(), Everywhere().state()
    lacking = {path: np.zeros_like(array) for path, array in before.items() if path != "box.gains.0"}
    with pytest.raises(ValueError, match=r"missing \['box.gains.0'\], unknown \[\]"):
        net.load_state(lacking)
    with pytest.raises(ValueError, match=r"box.gains.0 is \(3,\) in this network and \(4,\) in the state"):
        net.load_state({**lacking, "box.gains.0": np.ones(4)})
    for path, array in net.state().items():
        np.testing.assert_array_equal(array, before[path])


def test_a_copy_stands_alone_and_keeps_what_is_shared():
    net = Everywhere()
    twin = copy.deepcopy(net)
    assert twin.again["first"] is twin.attribute is not net.attribute
    before = net.state()
    trained(twin)
    for path, array in net.state().items():
        np.testing.assert_array_equal(array, before[path])
    assert set(twin.named_params()) == PARAMS


def test_an_average_follows_every_part():
    net = Everywhere()
    average, before = EMA(net, 0.5), values(net)
    trained(net, 1)
    average.update()
    for path, value in values(average.net).items():
        np.testing.assert_allclose(value, (before[path] + values(net)[path]) / 2, rtol=1e-6, atol=1e-7)
    for path, array in average.net.named_arrays().items():
        np.testing.assert_array_equal(array, net.named_arrays()[path])
    assert average.net.dictionary["norm"].running_mean.any()


def test_astype_converts_every_part_but_integers():
    net = Everywhere().astype(np.float64)
    kinds = {path: array.dtype for path, array in net.named_arrays().items()}
    assert kinds.pop("index.0") == np.int64
    kinds |= {path: param.value.dtype for path, param in net.named_params().items()}
    assert set(kinds.values()) == {np.dtype("float64")}
    assert net(points().astype(np.float64)).dtype == np.float64


def test_an_array_in_a_tuple_cannot_be_converted():
    net = Sequential(Tanh())
    net.statistics = (np.ones(3, dtype="float32"),)
    with pytest.raises(TypeError, match="a ndarray stands in a tuple, and cannot be replaced there: keep it in a list"):
        net.astype(np.float64)
    net.statistics = (Param(np.ones(3, dtype="float32")),)  # a Param stays where it is
    assert net.astype(np.float64).statistics[0].value.dtype == np.float64


@pytest.mark.parametrize("normalise, kind", [
    (lambda net: spectral_norm(net, rng=np.random.default_rng(0)), Spectral), (weight_norm, WeightNorm),
])  # fmt: skip
def test_every_weight_is_normalised(normalise, kind):
    net = normalise(Everywhere())
    assert sorted(path for path, param in net.named_params().items() if isinstance(param, kind)) == sorted(WEIGHTS)
    assert net.again["first"].W is net.attribute.W
    trained(net, optimizer=Adam(net.params()))
    other = normalise(Everywhere(seed=1))
    other.load_state(net.state())
    np.testing.assert_array_equal(net(points()), other(points()))


def test_what_holds_its_weights_in_a_way_of_its_own_is_not_unrolled():
    net = Everywhere()
    with pytest.raises(NotImplementedError, match="it is not known how it moves"):
        moving(net, {})


# ---- where a walk ends -----------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = Param(np.ones(1))


def test_what_is_looked_into_and_what_is_not():
    param = lambda: Param(np.ones(1))
    held = Box(
        yes=[param(), collections.OrderedDict(a=param()), Box(deep=param())],
        no=[Colour.RED, {1, 2}, collections.deque([param()]), random.Random(0), functools.partial(abs, param()), Param,
            SGD([param()], 0.1), iter([param()])],
    )  # fmt: skip
    assert [path for path, _ in walk.find(held, Param)] == ["yes.0", "yes.1.a", "yes.2.deep"]


@dataclasses.dataclass(frozen=True)
class Frozen:
    mean: np.ndarray


@dataclasses.dataclass(slots=True)
class Slots:
    layer: Layer
    more: list


def test_objects_with_slots_namespaces_and_frozen_ones_are_looked_into():
    dense = lambda: Dense(3, 3, bias=False, rng=np.random.default_rng(0))
    net = Sequential()
    net.held = Slots(dense(), [dense(), np.ones(3, dtype="float32")])
    net.space = types.SimpleNamespace(layer=dense(), mean=np.ones(3, dtype="float32"))
    assert list(net.named_params()) == ["held.layer.W", "held.more.0.W", "space.layer.W"]
    net.frozen = Frozen(np.ones(3, dtype="float32"))
    net.astype(np.float64)
    arrays = (net.frozen.mean, net.space.mean, net.held.more[1], net.held.layer.W.value)
    assert {array.dtype for array in arrays} == {np.dtype("float64")}


@pytest.mark.parametrize("name", ["parts", "layers", "find", "branches"])
def test_an_attribute_may_have_any_name(name):
    for net in (Layer(), Box()):
        setattr(net, name, [Param(np.ones(1))])
        assert [path for path, _ in walk.find(net, Param)] == [f"{name}.0"]
        setattr(net, name, Dense(2, 2, rng=np.random.default_rng(0)))
        assert [path for path, _ in walk.find(net, Param)] == [f"{name}.W", f"{name}.b"]


@pytest.mark.parametrize("kind", [Sequential, Residual, Concat, Conditional])
def test_what_a_subclass_of_a_container_keeps_is_found(kind):
    net = type("Mine", (kind,), {})(Dense(2, 2, rng=np.random.default_rng(0)))
    before = list(net.named_params())
    net.gains = [Param(np.ones(1))]
    assert sorted(net.named_params()) == sorted([*before, "gains.0"]) and len(before) == 2


class MadeAnew(Layer):
    """A layer whose parts are lists made at each look."""

    def __init__(self, count):
        self.layers = [Dense(2, 2, bias=False, rng=np.random.default_rng(0)) for _ in range(count)]

    def parts(self):
        return [(str(index), [[layer]]) for index, layer in enumerate(self.layers)]


def test_parts_that_are_made_at_each_look_are_told_apart():
    assert len(MadeAnew(50).params()) == 50


def test_an_array_in_two_places_stays_one():
    net = Sequential()
    net.one = net.other = np.ones(3, dtype="float32")
    assert net.astype(np.float64).one is net.other and net.one.dtype == np.float64


def test_a_walk_ends_where_things_hold_each_other():
    one, other = Box(param=Param(np.ones(1))), Box()
    one.other, other.one, one.self, other.list = other, one, one, [one]
    other.list.append(other.list)
    assert [path for path, _ in walk.find(one, Param)] == ["param"]
    assert [path for path, _ in walk.find(other, Param)] == ["one.param"]
    net = Sequential(Dense(2, 2, rng=np.random.default_rng(0)))
    net.layers[0].parent = net
    assert list(net.named_params()) == ["0.W", "0.b"]
    assert set(copy.deepcopy(net).state()) == {"0.W", "0.b"}


class Both(Layer):
    """y = w x, of which `backward` does both at once, and the rest follows."""

    def __init__(self):
        self.w = Param(np.full(1, 3.0))

    def forward(self, x, train=True):
        return self.w.value * x, x

    def pull(self, x, dy):
        return self.w.value * dy, dy

    def backward(self, x, dy):
        self.w.grad += (x * dy).sum()
        return self.w.value * dy


def test_a_layer_that_writes_backward_accumulates_by_it():
    layer = Both()
    _, tape = layer.forward(np.arange(4.0))
    layer.accumulate(tape, np.ones(4))
    assert layer.w.grad == 6
    net = Sequential(layer, Both())
    _, tape = net.forward(np.arange(4.0))
    layer.w.grad[...] = 0
    net.accumulate(tape, np.ones(4))
    assert layer.w.grad == 18 and net.layers[1].w.grad == 18


class Counted(Tanh):
    """A layer without Params that looks at what passes by."""

    calls = 0

    def backward(self, tape, dy):
        self.calls += 1
        return super().backward(tape, dy)


def test_a_backward_may_call_the_one_that_it_stands_for():
    layer = Counted()
    y, tape = layer.forward(points())
    np.testing.assert_array_equal(layer.backward(tape, y), layer.pull(tape, y)[0])
    layer.accumulate(tape, y)
    assert layer.calls == 1


def test_two_parts_of_one_path_are_refused():
    """One of them would be lost: neither trained nor saved."""
    net = Sequential(Dense(2, 2, rng=np.random.default_rng(0)))
    net.more = {1: Dense(2, 2, rng=np.random.default_rng(0)), "1": Dense(2, 2, rng=np.random.default_rng(0))}
    with pytest.raises(ValueError, match="two parts are called 'more.1.W': rename a key"):
        net.params()
