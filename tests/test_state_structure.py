"""Attributes that become something else while a model is trained: a checkpoint makes them again."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_small import Small, Weighted, build, but_once, demand_exact

from scratchgan import training, xp
from scratchgan.tools.strict import strict_xp
from scratchgan.training.model import CHANGES


class Bare(training.Model):
    """A model without networks."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.nothing, self.k = None, 0.0


def own(name, value):
    return lambda model: setattr(model, name, value(model))


def grow(model):
    model.list.append(xp.to_device(model.rng.standard_normal(2)))


def replay(model):
    model.array = np.concatenate([model.array, model.rng.standard_normal(model.taken)])


GROWN = {
    "None to array": own("nothing", lambda model: model.rng.standard_normal((2, 3))),
    "None to number": own("nothing", lambda model: float(model.rng.random())),
    "None to NumPy number": own("nothing", lambda model: np.float32(model.rng.random())),
    "None to text": own("nothing", lambda model: "x" * model.taken),
    "None to list": own("nothing", lambda model: [model.rng.standard_normal(2), 1.0, [None, np.int8(3)]]),
    "None to tuple": own("nothing", lambda model: (model.rng.standard_normal(2), 1.0)),
    "number to array": own("k", lambda model: model.rng.standard_normal(3)),
    "number to 0-d array": own("k", lambda model: np.array(model.rng.random())),
    "array to None": own("array", lambda model: None),
    "missing to number": own("late", lambda model: model.taken),
    "missing to array": own("late", lambda model: np.arange(model.taken)),
    "attribute goes": lambda model: vars(model).pop("goes", None),
    "history of losses": lambda model: model.list.append(float(model.rng.random())),
    "list of arrays": grow,
    "list shrinks": lambda model: grow(model) if model.taken < 4 else model.list.clear(),
    "replay buffer": replay,
    "dtype": own("array", lambda model: model.array.astype("float32") + 1),
    "dictionary": lambda model: model.dict.update({model.taken: np.arange(model.taken), "best": 1.0, (1, "a"): [None]}),
    "in an object": lambda model: setattr(model.helper, "inner", [np.arange(model.taken)]),
    "object's new one": lambda model: setattr(model.helper, "late", np.arange(model.taken)),
    "object's number to array": lambda model: setattr(model.helper, "weight", np.arange(model.taken)),
}  # fmt: skip


def contents(model):
    names = ("nothing", "list", "dict", "array", "k", "late", "goes")
    return {name: value for name, value in vars(model).items() if name in names}


@pytest.mark.parametrize("change", GROWN.values(), ids=GROWN.keys())
def test_a_models_own_attribute_may_become_whatever_a_checkpoint_can_hold(tmp_path, change):
    demand_exact(but_once(change), tmp_path)
    model, other = build(), build()
    for _ in range(3):
        model.step(change)
    before = model.state()
    other.load_state(before)
    assert repr(contents(other)) == repr(contents(model)) and vars(other).keys() == vars(model).keys()
    assert repr(vars(other.helper)) == repr(vars(model.helper))
    model.step(change)  # back, to what is less, in the same process
    model.load_state(before)
    assert repr(contents(other)) == repr(contents(model))


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.floats(width=32).map(np.float32),
    st.builds(np.zeros, st.tuples(*[st.integers(0, 2)] * 2) | st.just(()), st.sampled_from(["f4", "i8", "?", "U3"])),
)  # fmt: skip
keys = st.integers(0, 3) | st.sampled_from(["a", "b.c", "", "Ü"]) | st.tuples(st.integers(0, 1), st.none())
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(keys, inner, max_size=3) | st.builds(Weighted, inner, inner),
    max_leaves=6,
)  # fmt: skip


def told(value):
    """A value as text that tells types, shapes, and the order of keys."""
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(told, value))})"
    if isinstance(value, dict | Weighted):
        inside = value if isinstance(value, dict) else vars(value)
        return f"{type(value).__name__}({', '.join(f'{key!r}: {told(part)}' for key, part in inside.items())})"
    return f"{type(value).__name__} {getattr(value, 'dtype', '')} {getattr(value, 'shape', '')} {value!r}"


@given(built=values, now=values)
def test_whatever_an_attribute_was_and_whatever_it_becomes(built, now):
    model, other = (build(Bare) for _ in range(2))
    for each in (model, other):
        each.nothing = copy.deepcopy(built)
        each.remember_as_built()
    model.nothing = now
    try:
        state = model.state()
    except TypeError as error:  # an object where none was
        assert " a Weighted" in str(error) and ": make it in __init__" in str(error)
        return
    other.load_state(state)
    assert told(other.nothing) == told(now)
    model.as_built = None  # as where a program uses a model without the loop
    other = build(Bare)
    if "Weighted" not in told(now):
        other.load_state(model.state())
        assert told(other.nothing) == told(now)


def test_what_two_hold_on_to_stays_one():
    model, other = build(), build()
    for each in (model, other):
        each.shared = [1.0]
        each.box, each.D.layers[5].history, each.more = {"of": each.shared}, each.shared, [each.shared, np.ones(1)]
        each.remember_as_built()
    model.shared.append(2.0)
    other.load_state(model.state())
    assert other.shared == [1.0, 2.0]
    assert other.D.layers[5].history is other.shared is other.more[0]


def test_arrays_come_back_to_the_side_where_they_were():
    """The state of a GPU's model tells what lay on the device, and what on the host."""

    def change(model):
        model.nothing = [xp.ones(2), np.ones(3), np.float32(1)]
        model.k = xp.ones(())

    with xp.using(strict_xp):
        model, other = build(Bare), build(Bare)
        change(model)
        state = model.state()
        other.load_state(state)
        kinds = [type(value) for value in (*other.nothing, other.k)]
        assert kinds == [xp.ndarray, np.ndarray, np.float32, xp.ndarray] and xp.ndarray is not np.ndarray
    with xp.using("cpu"):  # and can be gone on with where there is none
        host = build(Bare)
        host.load_state(state)
        assert isinstance(host.k, np.ndarray) and isinstance(host.nothing[0], np.ndarray)


def test_what_was_built_otherwise_is_not_taken_over():
    class Other(Small):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.array, self.list = np.zeros(5), {}

    model, other = build(), build(Other)
    model.step(replay)
    before = other.state()
    with pytest.raises(ValueError, match=r"array was built as float64 \(2,\) there, and is float64 \(5,\) here"):
        other.load_state(model.state())
    assert all(np.array_equal(array, other.state()[name]) for name, array in before.items())


@pytest.mark.parametrize("text", [
    "", "[]", "[" * 100_000, '{"k": []}', '{"k": {"now": []}}',
    '{"k": {"now": ["array", "float32", [-1]]}}',
    '{"k": {"now": ["array", "float32", []]}}',
    '{"k": {"now": ["NumPy number", "float32", []]}}',
    '{"late": {"now": ["list", [0, 1, 2]]}}',
    '{"late": {"now": ["part", "Adam"]}}',
    '{"late": {"now": ["generator", "text", []]}}',
    '{"late": {"now": ["object", "Weighted", ["weight"]]}}',
    '{"k/a/b": {"now": ["plain", "text", []]}}',
    '{"opt_D/lr": {"now": ["number"]}}',
    '{"opt_D/lr": {"now": ["number", {"numpy": ["object", 1]}]}}',
    '{"opt_D/lr": {"now": ["number", {"numpy": ["V1", 99999999999]}]}}',
    '{"opt_D/lr": {"now": ["number", {"numpy": ["float32", [1, 2]]}]}}',
    '{"opt_D/lr": {"now": ["number", {"numpy": 1}]}}',
    '{"opt_X/lr": {"now": ["number", 1.0]}}',
    '{"opt_D/lr.x.y": {"now": ["number", 1.0]}}',
])  # fmt: skip
def test_damaged_or_hostile_changes_change_nothing(text):
    model = build()
    state = model.state()
    for name in ("D/0.W", "opt_D/mean"):
        state[name] = state[name] + 1
    before = model.state()
    with pytest.raises(ValueError) as error:
        model.load_state(state | {CHANGES: np.array(text)})
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
    after = model.state()
    assert before.keys() == after.keys() and all(np.array_equal(array, after[name]) for name, array in before.items())


def test_networks_stay_where_a_state_without_them_turns_out_to_be_damaged():
    model, other = build(), build()
    del model.nets, model.opts
    before, state, nets = other.state(), model.state(), other.nets
    with pytest.raises(Exception, match="not the state of a random number generator"):
        other.load_state(state | {"rng": np.array("{}")})
    after = other.state()
    assert other.nets is nets and before.keys() == after.keys()
    assert all(np.array_equal(array, after[name]) for name, array in before.items())


def test_two_keys_that_are_written_alike_are_refused():
    model = build()
    model.dict = {1: np.ones(1), "1": np.zeros(1)}
    with pytest.raises(TypeError, match="dict has two keys that are written 1"):
        model.state()
