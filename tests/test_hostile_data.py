"""Files that were not meant well, or that others made otherwise: used, or refused in one line and in little memory."""

import gzip
import io
import json
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from scratchgan.data import glyphs, images, load_images, mnist
from scratchgan.examples.collapse import mode_collapse
from scratchgan.metrics import classifier
from scratchgan.support import costs
from scratchgan.support.errors import UserError
from scratchgan.support.files import read_record, reading
from scratchgan.vectors import files

posix = pytest.mark.skipif(os.name == "nt", reason="pipes, links and names as POSIX has them")
MEMORY = 60 * 10**6  # bytes: far less than what the files of this page announce


@pytest.fixture
def little():
    """The most memory that a test takes at once stays small."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY, peak


def refused(words, call, *arguments, **keywords):
    """A call raises a UserError of one line, with these words."""
    with pytest.raises(UserError, match=words) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)


# ---- IDX files -------------------------------------------------------------------------------------------


def header(*shape, code=8):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def write_idx(folder, pictures, labels, prefix="train"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header(*pictures.shape) + pictures.tobytes())
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header(*labels.shape) + labels.tobytes())


def bomb(start, size):
    """Return a gzip file that begins with some bytes, and goes on with so many zeros."""
    file = io.BytesIO()
    with gzip.open(file, "wb", compresslevel=1) as packed:
        packed.write(start)
        for _ in range(size // 10**7):
            packed.write(bytes(10**7))
    return file.getvalue()


BOMB = bomb(header(2, 28, 28), 10**8)


@pytest.mark.parametrize(
    "content, words",
    [
        (BOMB, "announces 1,568 bytes of data and the file holds more"),
        (gzip.compress(header(10**9, 10**9)), "announces 1,000,000,000,000,000,000 bytes .* holds .* at most"),
        (header(*[2**32 - 1] * 200), r"announces 10\^1926 bytes"),
        (header(10**9, 10**9, 0), "holds pictures of 1000000000 x 0 pixels"),
    ],
)
def test_idx_files_that_announce_something_else(tmp_path, content, words, little):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(header(2) + bytes(2))
    refused(f"train-images-idx3-ubyte.*({words})", mnist.load, data_dir=tmp_path)


def test_an_idx_file_that_memory_does_not_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "available", lambda: 1000)
    (tmp_path / "x").write_bytes(header(2000) + bytes(2000))
    refused("x would need 2 kB of memory, and 1 kB are free", mnist.read_idx, tmp_path / "x")


@pytest.mark.parametrize(
    "shape, words",
    [((3, 0, 0), "pictures of 0 x 0"), ((3, 28, 0), "28 x 0"), ((0, 28, 28), "no pictures|0 pictures"),
     ((3, 28), r"uint8 \(3, 28\), not"), ((3, 28, 28, 1), "not uint8 pictures"), ((), "not uint8 pictures")],
)  # fmt: skip
def test_idx_files_of_other_pictures(tmp_path, shape, words):
    write_idx(tmp_path, np.zeros(shape, np.uint8), np.zeros(shape[:1], np.uint8))
    refused(f"train-images.*({words})", mnist.load, data_dir=tmp_path)


@posix
def test_idx_files_that_are_none(tmp_path):
    write_idx(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    path = tmp_path / "train-labels-idx1-ubyte"
    path.unlink()
    os.mkfifo(path)
    refused("it is a pipe", mnist.load, data_dir=tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    refused("it is a device", mnist.load, data_dir=tmp_path)
    path.unlink()
    with open(path, "wb") as file:
        file.write(header(2))
        file.truncate(40 << 30)
    refused("announces 2 bytes of data and the file holds more", mnist.load, data_dir=tmp_path)


@pytest.mark.parametrize("inner", ["train-images-idx3-ubyte", "train-images.idx3-ubyte"])
@pytest.mark.parametrize("outer", ["train-images-idx3-ubyte", "train-images.idx3-ubyte"])
def test_archives_that_unpack_into_folders_of_a_file_each(tmp_path, inner, outer):
    for kind, shape in (("images", (3, 28, 28)), ("labels", (3,))):
        above, name = (part.replace("images", kind).replace("idx3", f"idx{len(shape)}") for part in (outer, inner))
        (tmp_path / above).mkdir()
        (tmp_path / above / name).write_bytes(header(*shape) + bytes(int(np.prod(shape))))
    assert len(mnist.load(data_dir=tmp_path).images) == 3


@pytest.mark.parametrize("name, folder", mnist.TORCHVISION.items())
def test_the_folders_of_torchvision(tmp_path, monkeypatch, name, folder):
    for number, own in enumerate(mnist.TORCHVISION.values(), start=1):
        write_idx(tmp_path / own / "raw", np.zeros((number, 28, 28), np.uint8), np.zeros(number, np.uint8))
    expected = 1 + list(mnist.TORCHVISION.values()).index(folder)
    assert len(mnist.load(name=name, data_dir=tmp_path).images) == expected
    monkeypatch.setenv("SCRATCHGAN_DATA", str(tmp_path))
    assert len(mnist.load(name=name).images) == expected


def test_files_further_down_are_named(tmp_path):
    write_idx(tmp_path / "a" / "archive", np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    refused(r"further down, --data-dir .*archive\.$", mnist.load, data_dir=tmp_path)
    (tmp_path / "a").rename(tmp_path / "mnist")  # files of the same names, of another set
    refused("does not hold .* nor does its sub-folder kmnist", mnist.load, name="kmnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    "call",
    [
        lambda: glyphs.load(10**13), lambda: load_images("glyphs", count=10, size=10**7),
        lambda: images.resize(np.zeros((2, 9, 9, 1), np.uint8), 10**7),
    ],
)  # fmt: skip
def test_pictures_that_no_memory_holds(call, little, monkeypatch):
    monkeypatch.setattr(costs, "available", lambda: 10**10)
    refused("pictures of .* would need .* TB|pictures of .* would need .* PB", call)


def test_a_home_is_known(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    write_idx(tmp_path / "set", np.zeros((2, 28, 28), np.uint8), np.arange(2, dtype=np.uint8))
    assert len(load_images("mnist", data_dir="~/set").images) == 2
    monkeypatch.setenv("SCRATCHGAN_DATA", "~")
    (tmp_path / "set").rename(tmp_path / "mnist")
    assert len(load_images("mnist").images) == 2


# ---- classifiers, and results of others ------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights():
    net = classifier.lenet((8, 8, 1), 10, rng=np.random.default_rng(0))
    made = classifier.Classifier(net, "tiny", (8, 8, 1))
    return net.state(), {"data": "tiny", "shape": [8, 8, 1], "hash": made.hash, "accuracy_on_test": None}


def test_a_classifier_without_accuracy_is_one(weights, tmp_path):
    np.savez(tmp_path / "x.npz", **weights[0], facts=np.array(json.dumps(weights[1])))
    assert np.isnan(classifier.load("tiny", tmp_path / "x.npz").accuracy_on_test)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3000, 3000, 1]}, {"shape": [10**30, 4, 1]}, {"shape": [8, 8, 10**9]}, {"shape": [8, 8]},
        {"shape": [9, 8, 1]}, {"shape": [-8, -8, 1]}, {"shape": "881"}, {"shape": None}, {"data": ["tiny"]},
        {"hash": 3}, {"accuracy_on_test": "much"}, {"accuracy_on_test": float("nan")},
    ],
)  # fmt: skip
def test_facts_of_a_classifier_that_do_not_fit(weights, tmp_path, change, little):
    np.savez(tmp_path / "x.npz", **weights[0], facts=np.array(json.dumps(weights[1] | change)))
    refused("x.npz is damaged or holds no classifier", classifier.load, "tiny", tmp_path / "x.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"0.7.W": np.zeros((128, 128))}, {"1.b": np.zeros(0, np.float32)}, {"1.b": np.zeros((), np.float32)},
        {"more": np.zeros(3, np.float32)}, {"facts": np.array("[" * 10**5)}, {"facts": np.zeros(3)},
    ],
)  # fmt: skip
def test_weights_of_something_else(weights, tmp_path, change, little):
    state = weights[0] | {"facts": np.array(json.dumps(weights[1]))} | change
    np.savez(tmp_path / "x.npz", **state)
    refused("x.npz is damaged or holds no classifier", classifier.load, "tiny", tmp_path / "x.npz")


def npy(dtype, shape, data=b""):
    """Return the bytes of an array in a file, as its header says, whatever they are."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def zipped(content, compression, announced=None):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("plain/float64/y.npy", content)
    found = file.getvalue()
    if announced is not None:  # in the header of the part and in the list of parts
        size = struct.pack("<I", len(content))
        found = found.replace(size, struct.pack("<I", announced))
    return found


LARGE = npy("<f8", (10**7,), bytes(8 * 10**7))


@pytest.mark.parametrize(
    "content",
    [
        zipped(LARGE, zipfile.ZIP_DEFLATED), zipped(LARGE, zipfile.ZIP_DEFLATED, announced=1000),
        zipped(npy("<U2000000000", (1,)), zipfile.ZIP_STORED), zipped(npy("<f8", (10**9,)), zipfile.ZIP_STORED),
        zipped(npy("<f8", (10**30,)), zipfile.ZIP_STORED), zipped(npy("<f8", (-1,), bytes(8)), zipfile.ZIP_STORED),
        zipped(npy("|O", (1,), b"cos\nsystem\n"), zipfile.ZIP_STORED), zlib.compress(b"x"),
    ],
    ids=["unpacks", "lies", "text", "long", "longer", "negative", "pickle", "no zip"],
)  # fmt: skip
def test_files_of_arrays_that_announce_too_much(tmp_path, content, monkeypatch):
    (tmp_path / "x.npz").write_bytes(content)
    tracemalloc.start()
    refused("x.npz", files.read, tmp_path / "x.npz")
    refused("x.npz", classifier.load, "glyphs", tmp_path / "x.npz")
    assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()


def test_compressed_results_are_read(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **{"plain/float64/y": np.arange(9.0)})
    np.testing.assert_array_equal(files.read(tmp_path / "x.npz").arrays["plain/float64/y"], np.arange(9.0))


@pytest.mark.parametrize(
    "entry, words",
    [
        ({"data": ["a"], "dtype": "U500000000"}, "wanted real numbers"),
        ({"data": ["a"], "dtype": "U2000000000"}, "no array of numbers|wanted real numbers"),
        ({"data": [1], "dtype": "V2000000000"}, "wanted real numbers"),
        ({"data": [1], "dtype": "(100000000,)f8"}, "wanted real numbers"),
        ({"data": [1], "shape": [10**30]}, "no array of numbers"),
        ({"data": [], "shape": [0, 10**18, 10**18]}, "no array of numbers"),
        ({"data": {"a": 1}}, "no array of numbers"),
    ],
)  # fmt: skip
def test_json_that_announces_too_much(tmp_path, entry, words, little):
    (tmp_path / "x.json").write_text(json.dumps({"plain/float64/y": entry}))
    refused(f"x.json: plain/float64/y .*{words}", files.read, tmp_path / "x.json")


def test_json_that_memory_does_not_hold(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text('{"plain/float64/y": [' + "[]," * 1000 + "[]]}")
    monkeypatch.setattr(costs, "available", lambda: 10_000)
    refused("x.json would need .*write an .npz file", files.read, tmp_path / "x.json")


# ---- records, and names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{}", "[]", '{"n": true}', '{"n": "1"}', '{"n": NaN}', '{"n"', '{"n": 1e999}'])
def test_records_that_are_none(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    refused("x.json (is damaged, or something else: 'n'|is no JSON)", read_record, tmp_path / "x.json", {"n": float})


@pytest.mark.parametrize("text", ["{", "[1]", '{"settings": {}, "modes": "8"}', '{"settings": 3}'])
def test_a_cell_of_mode_collapse_that_is_none(tmp_path, capsys, text):
    (tmp_path / "ring-plain-0.json").write_text(text)
    with pytest.raises(SystemExit) as exit:
        mode_collapse.main(["--out", str(tmp_path), "--data", "ring", "--methods", "plain", "--seeds", "0"])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and "ring-plain-0.json is" in error and error.count("\n") == 1


def test_whole_numbers_are_numbers(tmp_path):
    (tmp_path / "x.json").write_text('{"n": 1, "more": []}')
    assert read_record(tmp_path / "x.json", {"n": float})["n"] == 1


def test_a_tilde_of_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~nobody.txt").write_text("here")
    with reading("~nobody.txt") as file:
        assert file.read() == b"here"


