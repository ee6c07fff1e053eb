"""A model's state: everything that it holds, and nothing written unless all of it fits."""

import collections
import dataclasses
import enum
import functools
import random
import threading
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_tiny import Settings, Tiny

from scratchgan import losses, training, xp
from scratchgan.layers import Dense, Sequential
from scratchgan.optim import Adam
from scratchgan.training.model import load_held_out
from scratchgan.training.state import generators_kept

CODE = (losses.l1, len, xp, Dense, functools.partial(losses.l1), "text".join)
Pair = namedtuple("Pair", "first second")


def tiny(seed=0, **changes):
    return Tiny(Settings(seed=seed, **changes), (8, 8, 1), np.random.default_rng(seed))


def same(a, b):
    return a.keys() == b.keys() and all(
        a[name].dtype.kind == b[name].dtype.kind and np.array_equal(a[name], b[name]) for name in a
    )


class Holder(training.Model):
    """A model that holds whatever it is given."""

    def __init__(self, **attributes):
        super().__init__(Settings(), (8, 8, 1), np.random.default_rng(0))
        vars(self).update(attributes)


class Color(enum.Enum):
    RED = 1


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: float


class Helper:
    """Something that a user wrote, and that knows nothing of checkpoints."""

    def __init__(self, value):
        self.value = value
        self.inner = {"array": np.ones(3), "net": Sequential(Dense(2, 2, rng=np.random.default_rng(0)))}


# ---- nothing is forgotten ----


def test_every_attribute_is_part_of_the_state():
    model = tiny()
    names = {name.split("/")[0] for name in model.state()} - {"what has changed"}
    assert names == vars(model).keys() - {"settings", "shape", "losses"}  # losses: two functions


def test_every_array_and_number_comes_back():
    class NoBatches:
        def next(self):
            return Tiny.load_data(Settings())[:8]

    model, other = tiny(0), tiny(1)
    for _ in range(5):
        model.step(NoBatches())
    assert not any(np.array_equal(a, b) for a, b in zip(model.G.params(), other.G.params(), strict=True))
    other.load_state(model.state())
    assert same(model.state(), other.state())
    assert type(other.k) is type(model.k) is np.float32
    for _ in range(5):
        ours, theirs = model.step(NoBatches()), other.step(NoBatches())
        assert ours == theirs
    assert same(model.state(), other.state())


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=plain)
def test_plain_values_come_back_as_what_they_were(value):
    other = Holder(value="something else")
    other.load_state(Holder(value=value).state())
    assert other.value == value and type(other.value) is type(value) and repr(other.value) == repr(value)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_arrays_come_back_in_their_place(dtype, shape):
    value = (np.random.default_rng(0).random(shape) * 9).astype(dtype) if shape else np.array(7).astype(dtype)
    other = Holder(value=np.zeros(shape, dtype))
    alias = other.value
    other.load_state(Holder(value=value).state())
    assert other.value is alias and other.value.dtype == dtype and np.array_equal(other.value, value)


@pytest.mark.parametrize("fresh", [0.0, np.float32(0), np.zeros((), "float32")])
@pytest.mark.parametrize("saved", [0.25, 3, np.float32(0.25), np.float64(0.25), np.array(0.25, "float32")])
def test_a_number_may_have_become_another_kind_of_number(fresh, saved):
    other = Holder(k=fresh)
    other.load_state(Holder(k=saved).state())
    assert other.k == saved
    kept = np.array([1], "float32") * saved  # which dtype a product has depends on the kind of number
    assert (np.array([1], "float32") * other.k).dtype == kept.dtype


def test_what_is_inside_lists_tuples_dictionaries_and_objects_comes_back():
    def holder(seed):
        def net():
            return Sequential(Dense(2, 3, rng=np.random.default_rng(seed)))

        nets = [net(), net()]
        return Holder(
            nets=nets, optimizers={"first": Adam(nets[0].params(), 1e-3)}, pair=Pair(np.full(2, seed), net()),
            helper=Helper(float(seed)), slots=Slots([float(seed)]), frozen=Frozen(float(seed)),
            generators=(np.random.default_rng(seed), *CODE),
        )  # fmt: skip

    model, other = holder(1), holder(2)
    assert not same(model.state(), other.state())
    net, helper, slots = other.nets[1], other.helper, other.slots
    other.load_state(model.state())
    assert same(model.state(), other.state())
    assert other.nets[1] is net and other.helper is helper and type(other.pair) is Pair
    assert other.slots is slots and slots.value == [1.0] and other.frozen == Frozen(1.0)
    assert other.helper.value == 1.0 and other.generators[0].random() == model.generators[0].random()
    assert other.generators[1:] == CODE


def test_what_cannot_be_looked_into_is_refused_not_forgotten():
    circle, lock = [], threading.Lock()
    circle.append((circle, np.zeros(1)))
    for value in (
        {1, 2}, object(), range(3), collections.deque([1]), random.Random(0), Color.RED, iter([1]), lock,
        Helper({1}), np.array([None]), np.array("2020", "M8[D]"), circle, [circle],
    ):  # fmt: skip
        with pytest.raises((TypeError, RecursionError)):
            Holder(part=value).state()
    with pytest.raises(TypeError, match="part is a set.*state\\(\\) and load_state"):
        Holder(part={1}).state()


# ---- all or nothing ----


@given(data=st.data())
def test_a_state_that_does_not_fit_changes_nothing(data):
    model = tiny()
    before, state = model.state(), tiny(1).state()
    name = data.draw(st.sampled_from(sorted(state.keys() - {"what has changed"})))
    kinds = ["missing", "unknown", "shape"] + (["dtype"] if "/" in name else [])
    damage = data.draw(st.sampled_from(kinds))
    if damage == "missing":
        del state[name]
    elif damage == "unknown":
        state[name + "2"] = state[name]
    elif damage == "shape":
        state[name] = np.stack([state[name], state[name]])
    else:
        state[name] = np.zeros(state[name].shape, "float16")
    with pytest.raises(ValueError, match=name.split("/")[0]):
        model.load_state(state)
    assert same(model.state(), before)


@pytest.mark.parametrize("name, value", [("rng", "{}"), ("noises/1", "no JSON"), ("taken", "[")])
def test_a_damaged_text_changes_nothing(name, value):
    model = tiny()
    before, state = model.state(), tiny(1).state()
    state[name] = np.array(value)
    with pytest.raises(Exception, match=".") as error:
        model.load_state(state)
    assert not isinstance(error.value, AssertionError)
    assert same(model.state(), before)


# ---- generators, latent vectors, pictures ----


class Box:
    def __init__(self, rng):
        self.rng = rng


def test_generators_are_kept():
    model = tiny()
    model.box = Box(np.random.default_rng(5))
    before = model.state()
    with generators_kept(model):
        model.rng.random(3)
        model.noises[0].random()
        model.box.rng.random()
        model.D.layers[3].rng.random()
        assert not same(model.state(), before)
    assert same(model.state(), before)


def test_latent_vectors_are_standard_normal_and_follow_from_the_generator():
    model = tiny(latent=7)
    z = model.latent(5000, np.random.default_rng(1))
    assert z.shape == (5000, 7) and z.dtype == np.float32
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.03
    assert np.array_equal(z, model.latent(5000, np.random.default_rng(1)))
    assert model.noise(3).shape == (3, 7)


def test_a_picture_is_a_grid_of_the_generated_images():
    model = tiny()
    z = model.latent(300, np.random.default_rng(1))
    images = model.images(z)
    assert images.shape == (300, 8, 8, 1) and images.dtype == np.uint8
    assert np.array_equal(images[256:], model.images(z[256:]))  # made in parts
    picture = model.picture(z[:4])
    assert picture.shape == (22, 22, 1) and np.array_equal(picture[2:10, 12:20], images[1])


def test_a_name_is_a_data_set_even_where_a_folder_has_it_too(tmp_path, monkeypatch):
    """As in the folder that holds mnist/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glyphs").mkdir()
    assert len(load_held_out.__wrapped__("glyphs", "", 0).images) == 2000
    assert load_held_out.__wrapped__(str(tmp_path / "glyphs"), "", 0) is None
