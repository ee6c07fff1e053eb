"""Batches: every epoch is whole, and a resumed run draws the same batches; random states survive a file."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchgan.data import Batches
from scratchgan.support import costs
from scratchgan.support.errors import CheckpointError, DataError
from scratchgan.support.rng import rng_state, set_rng_state

sizes = st.integers(1, 40)
batch_sizes = st.integers(1, 100)  # also larger than the data set
BIT_GENERATORS = (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)


def through_a_file(arrays):
    """Write a dictionary of arrays and read it again without pickle, as a checkpoint does."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


@given(n=sizes, batch_size=batch_sizes, seed=st.integers(0, 9))
def test_each_epoch_holds_each_sample_once(n, batch_size, seed):
    batches = Batches(np.arange(n), batch_size=batch_size, rng=np.random.default_rng(seed))
    stream = np.concatenate([batches.next() for _ in range(3 * n // batch_size + 1)])
    epochs = stream[: len(stream) // n * n].reshape(-1, n)
    assert len(epochs) >= 3
    assert (np.sort(epochs, axis=1) == np.arange(n)).all()
    assert batches.epoch * n + batches.position == len(stream)


def test_epochs_are_shuffled_anew():
    batches = Batches(np.arange(50), batch_size=50, rng=np.random.default_rng(0))
    first, second = batches.next(), batches.next()
    assert not np.array_equal(first, np.arange(50))
    assert not np.array_equal(first, second)


@given(n=sizes, batch_size=batch_sizes, before=st.integers(0, 8), seed=st.integers(0, 9))
def test_a_resumed_run_draws_the_same_batches(n, batch_size, before, seed):
    batches = Batches(np.arange(n), batch_size=batch_size, rng=np.random.default_rng(seed))
    for _ in range(before):
        batches.next()
    state = through_a_file(batches.state())
    resumed = Batches(np.arange(n), batch_size=batch_size, rng=np.random.default_rng(seed + 1))
    resumed.next()
    resumed.load_state(state)
    for _ in range(5):
        np.testing.assert_array_equal(resumed.next(), batches.next())
    assert (resumed.epoch, resumed.position) == (batches.epoch, batches.position)


def test_a_state_is_not_changed_by_later_batches():
    batches = Batches(np.arange(7), batch_size=5, rng=np.random.default_rng(0))
    state = batches.state()
    expected = [batches.next() for _ in range(6)]
    batches.load_state(state)
    np.testing.assert_array_equal([batches.next() for _ in range(6)], expected)


def test_several_arrays_stay_together():
    x = np.arange(30.0).reshape(10, 3)
    images, labels = Batches(x, x[:, 0].astype(int), batch_size=4, rng=np.random.default_rng(0)).next()
    assert images.shape == (4, 3)
    np.testing.assert_array_equal(images[:, 0], labels)


def test_one_array_gives_one_array_and_leaves_the_data_alone():
    x = np.zeros((10, 2))
    batch = Batches(x, batch_size=4, rng=np.random.default_rng(0)).next()
    batch += 1
    assert batch.shape == (4, 2)
    assert (x == 0).all()


@pytest.mark.parametrize(
    ("arrays", "batch_size", "words"),
    [
        ((), 4, "at least one array"),
        ((np.zeros(0),), 4, "empty"),
        ((np.zeros(3), np.zeros(4)), 4, r"\[3, 4\]"),
        ((np.zeros(3),), 0, "1 or more; it is 0"),
        ((np.zeros(3),), 2.5, "it is 2.5"),
    ],
)
def test_batches_that_cannot_be(arrays, batch_size, words):
    with pytest.raises(DataError, match=words):
        Batches(*arrays, batch_size=batch_size, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"order": np.arange(6)}, "data set of 6 samples and this one holds 5"),
        ({"order": np.array([0, 0, 1, 2, 3])}, "damaged"),
        ({"order": np.arange(5.0)}, "damaged"),
        ({"position": np.array(6)}, "damaged"),
        ({"position": np.array([1, 2])}, "damaged"),
        ({"epoch": np.array(-1)}, "damaged"),
        ({"rng": np.array("{}")}, "not the state"),
    ],
)
def test_a_damaged_state_changes_nothing(change, words):
    batches = Batches(np.arange(5), batch_size=3, rng=np.random.default_rng(0))
    twin = Batches(np.arange(5), batch_size=3, rng=np.random.default_rng(0))
    with pytest.raises(CheckpointError, match=words):
        batches.load_state(batches.state() | change)
    for _ in range(4):
        np.testing.assert_array_equal(batches.next(), twin.next())


def test_an_incomplete_state_is_named():
    batches = Batches(np.arange(5), batch_size=3, rng=np.random.default_rng(0))
    with pytest.raises(CheckpointError, match="lacks position, rng"):
        batches.load_state({"order": np.arange(5), "epoch": np.array(0)})


# ----------------------------------------------------------------------------------- arrays of every kind


class Stored:
    """A data set in an HDF5 file: rows are given in increasing order, and each once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        if (np.diff(rows) <= 0).any():
            raise TypeError("Indexing elements must be in increasing order")
        return self.array[rows]

    def __array__(self, *arguments, **keywords):
        raise AssertionError("all of it would be read into memory")


class Table:
    """A table, as pandas has it: an index is the name of a column."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, name):
        raise KeyError(name)

    def to_numpy(self):
        return self.array


X = np.arange(20.0).reshape(10, 2)


@pytest.mark.parametrize("kind", [Stored, Table, list, tuple, lambda x: [list(row) for row in x], "a file"])
@pytest.mark.parametrize("batch_size", [4, 25])
def test_arrays_of_every_kind_give_the_same_batches(tmp_path, kind, batch_size):
    if kind == "a file":
        kind = lambda x: (np.save(tmp_path / "x.npy", x), np.load(tmp_path / "x.npy", mmap_mode="r"))[1]
    made = Batches(kind(X), X[:, 0], batch_size=batch_size, rng=np.random.default_rng(0))
    expected = Batches(X, X[:, 0], batch_size=batch_size, rng=np.random.default_rng(0))
    for _ in range(6):
        (x, first), (right, _) = made.next(), expected.next()
        assert type(x) is np.ndarray and x.flags.writeable
        np.testing.assert_array_equal(x, right)
        np.testing.assert_array_equal(x[:, 0], first)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("abc", "a str is none"), (b"abc", "a bytes is none"), ({"x": X}, "a dict is none"), ({1, 2}, "a set is none"),
        ((row for row in X), "a generator is none"), (None, "a NoneType is none"), (3, "a int is none"),
        (np.array(3.0), "has no axis"), (np.float32(3), "has no axis"), (["a", "b"], "this list holds <U1"),
        (np.array([X, None], dtype=object), "this ndarray holds object"), ([X, X[:3]], "no array of this list"),
        (Table(np.array([1, "a"], dtype=object)), "this Table holds object"), ([], "at least one sample"),
    ],
)  # fmt: skip
def test_what_is_no_array_is_said(wrong, words):
    with pytest.raises(DataError, match=words) as caught:
        Batches(wrong, batch_size=2, rng=np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_a_batch_that_no_memory_holds(monkeypatch):
    monkeypatch.setattr(costs, "available", lambda: 10**9)
    with pytest.raises(DataError, match="A batch of 1,000,000,000,000 samples would need 24 TB .*smaller --batch-size"):
        Batches(X, batch_size=10**12, rng=np.random.default_rng(0))


# ------------------------------------------------------------------------------------------- random states


@pytest.mark.parametrize("kind", BIT_GENERATORS)
@given(seed=st.integers(0, 2**32), drawn=st.integers(0, 5))
def test_a_random_state_goes_on_exactly(kind, seed, drawn):
    rng, other = np.random.Generator(kind(seed)), np.random.Generator(kind(0))
    rng.integers(2**31, size=drawn, dtype=np.uint32)  # leaves half of a 64-bit number behind
    rng.standard_normal(drawn)
    state = through_a_file({"rng": rng_state(rng)})["rng"]
    assert state.shape == () and state.dtype.kind == "U"
    set_rng_state(other, state)
    for draw in (lambda g: g.integers(2**31, size=3, dtype=np.uint32), lambda g: g.standard_normal(9)):
        np.testing.assert_array_equal(draw(other), draw(rng))


def damaged(rng):
    state = json.loads(str(rng_state(rng)))
    return np.array(json.dumps(state | {"state": {"state": "x"}}))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (np.array("no JSON"), "not the state"),
        (np.array("[1]"), "not the state"),
        (np.array("[" * 100_000), "not the state"),
        (np.array(3.0), "not the state"),
        (rng_state(np.random.Generator(np.random.MT19937(0))), "belongs to a MT19937 generator"),
        (damaged(np.random.default_rng(0)), "damaged"),
    ],
)
def test_a_random_state_of_something_else_changes_nothing(state, words):
    rng, twin = np.random.default_rng(5), np.random.default_rng(5)
    with pytest.raises(CheckpointError, match=words):
        set_rng_state(rng, state)
    np.testing.assert_array_equal(rng.random(5), twin.random(5))
