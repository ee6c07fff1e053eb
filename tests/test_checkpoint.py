"""Checkpoint files: what is written comes back; what is damaged or hostile is refused with a CheckpointError."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib import format as npy

from scratchgan.support.errors import CheckpointError
from scratchgan.training import checkpoint

ARRAYS = {
    "model/G/0.W": np.arange(6, dtype="float32").reshape(2, 3),
    "model/rng": np.array('{"text": "ä"}'),
    "batches/order": np.arange(5)[::-1],
    "k": np.array(0.5),
}
META = {"step": 3, "settings": {"lr": 1e-4}, "shape": [8, 8, 1]}


def same(a, b):
    return list(sorted(a)) == list(sorted(b)) and all(
        a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes()
        for name in a
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    checkpoint.save(path, ARRAYS, META)
    return path


names = st.text("abcWb019./_- é", min_size=1, max_size=12).map(lambda text: "n" + text.replace("..", "."))
contents = st.one_of(
    hnp.arrays(
        st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1", "<c8", ">f4", "<i4"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20).map(np.array),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(arrays=st.dictionaries(names, contents, max_size=5), meta=st.dictionaries(st.text(), json_values, max_size=3))
def test_what_is_saved_is_loaded(tmp_path_factory, arrays, meta):
    path = tmp_path_factory.getbasetemp() / "round.npz"
    checkpoint.save(path, arrays, meta)
    found, facts = checkpoint.load(path)
    assert same(found, arrays) and facts == meta


def test_no_pickle_is_written_and_numpy_alone_can_read_it(saved):
    with np.load(saved, allow_pickle=False) as archive:
        assert np.array_equal(archive["arrays/model/G/0.W"], ARRAYS["model/G/0.W"])
        assert json.loads(str(archive["meta"]))["format"] == checkpoint.FORMAT


def test_the_order_of_an_array_in_memory_does_not_matter(tmp_path):
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    checkpoint.save(tmp_path / "a.npz", {"a": array, "b": array[::2, ::-1]}, {})
    found, _ = checkpoint.load(tmp_path / "a.npz")
    assert np.array_equal(found["a"], array) and np.array_equal(found["b"], array[::2, ::-1])


@pytest.mark.parametrize("array", [np.array([None]), np.array([{}]), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f4")])])
def test_objects_are_not_saved(tmp_path, array):
    with pytest.raises(TypeError, match="thing is an array of"):
        checkpoint.save(tmp_path / "a.npz", {"thing": array}, {})
    assert list(tmp_path.iterdir()) == []


# ---- damage ----


def load_bytes(path, content):
    path.write_bytes(content)
    return checkpoint.load(path)


def test_truncated_at_any_byte(saved, tmp_path):
    content = saved.read_bytes()
    for length in range(len(content)):
        with pytest.raises(CheckpointError, match="checkpoint"):
            load_bytes(tmp_path / "checkpoint.npz", content[:length])


def test_any_byte_flipped_gives_the_same_or_an_error(saved, tmp_path):
    content = bytearray(saved.read_bytes())
    refused = 0
    for position in range(len(content)):
        flipped = content.copy()
        flipped[position] ^= 1 << (position % 8)
        try:
            arrays, meta = load_bytes(tmp_path / "checkpoint.npz", flipped)
        except CheckpointError:
            refused += 1
            continue
        assert same(arrays, ARRAYS) and meta == META, position
    assert refused > len(content) / 2


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_damage_gives_the_same_or_an_error(saved, tmp_path_factory, data):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(start + 8, len(content))))
        content[start:stop] = data.draw(st.binary(max_size=8))
    try:
        arrays, meta = load_bytes(tmp_path_factory.getbasetemp() / "damaged.npz", content)
    except CheckpointError:
        return
    assert same(arrays, ARRAYS) and meta == META


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory, content):
    with pytest.raises(CheckpointError):
        load_bytes(tmp_path_factory.getbasetemp() / "random.npz", content)


def test_missing_files_and_directories_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no file .*none.npz"):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="Cannot read"):
        checkpoint.load(tmp_path)


# ---- hostile files ----


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)


def npy_bytes(array, allow_pickle=False):
    file = io.BytesIO()
    npy.write_array(file, np.asanyarray(array), allow_pickle=allow_pickle)
    return file.getvalue()


def header(descr, shape, data=b""):
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def meta(names=("a",), **changes):
    return npy_bytes(np.array(json.dumps({"format": 1, "names": list(names), "meta": {}} | changes)))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


@pytest.mark.parametrize(
    "content",
    [
        npy_bytes(np.array([Bomb()], object), allow_pickle=True),
        pickle.dumps(Bomb()),
        header("<f4", (10**9, 10**9)),
        header("<f4", (2**62, 4)),
        header("<f4", (10**30,)),
        header("<f4", (-1, -1), b"1234"),
        header("<f4", (-1,)),
        header("<f4", (3,), b"12345678"),
        header("<f4", (1,), b"12345678"),
        header("<f4", (0, 10**30)),
        header("|V0", (10**15,)),
        header("<U0", (10**15,)),
        header("|O", (1,), b"12345678"),
        header([("a", "<f4")], (1,), b"1234"),
        header("<M8[s]", (1,), b"12345678"),
        header("<f4", (1,), b"1234").replace(b"\x93NUMPY\x01", b"\x93NUMPY\x03"),
        header("<f4", (1,), b"1234").replace(b"(1,)", b"1e0 "),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"",
    ],
)
def test_a_hostile_array_is_refused_without_taking_memory(tmp_path, content):
    write(tmp_path / "a.npz", [("arrays/a.npy", content), ("meta.npy", meta())])
    with pytest.raises(CheckpointError, match="a.npz"):
        checkpoint.load(tmp_path / "a.npz")


def test_a_compressed_file_is_refused_before_it_is_unpacked(tmp_path):
    members = [("arrays/a.npy", npy_bytes(np.zeros(10**6))), ("meta.npy", meta())]
    write(tmp_path / "a.npz", members, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="it is compressed"):
        checkpoint.load(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_appears_twice_is_refused(tmp_path):
    array = npy_bytes(np.zeros(3))
    write(tmp_path / "a.npz", [("arrays/a.npy", array), ("arrays/a.npy", array), ("meta.npy", meta())])
    with pytest.raises(CheckpointError, match="twice"):
        checkpoint.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "facts",
    [None, b"text", npy_bytes(np.array("no JSON")), npy_bytes(np.array("[]")), npy_bytes(np.array("{}")),
     npy_bytes(np.zeros(3)), meta(["a", "b"]), meta([]), meta(meta=[]), npy_bytes(np.array("[" * 100_000))],
)  # fmt: skip
def test_facts_that_are_missing_or_wrong_are_refused(tmp_path, facts):
    members = [("arrays/a.npy", npy_bytes(np.zeros(3)))] + ([("meta.npy", facts)] if facts is not None else [])
    write(tmp_path / "a.npz", members)
    with pytest.raises(CheckpointError, match="a.npz is damaged or is no checkpoint"):
        checkpoint.load(tmp_path / "a.npz")


def test_another_format_is_named(tmp_path):
    write(tmp_path / "a.npz", [("arrays/a.npy", npy_bytes(np.zeros(3))), ("meta.npy", meta(format=2))])
    with pytest.raises(CheckpointError, match="has format 2.*reads format 1"):
        checkpoint.load(tmp_path / "a.npz")
