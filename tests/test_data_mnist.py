"""IDX files, sound and damaged; where the MNIST files are looked for; the real MNIST if it is there."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchgan.data import load_images, mnist
from scratchgan.support.errors import DataError

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    """Return an array as the bytes of an IDX file, by the format's own description."""
    magic = bytes([0, 0, IDX_CODES[array.dtype.str[1:]], array.ndim])
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return magic + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file.idx"


arrays = st.sampled_from(sorted(IDX_CODES)).flatmap(
    lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5))
)


@given(array=arrays, zipped=st.booleans())
def test_an_array_survives_an_idx_file(file, array, zipped):
    data = idx_bytes(array)
    file.write_bytes(gzip.compress(data) if zipped else data)
    found = mnist.read_idx(file)
    assert found.dtype == array.dtype and found.dtype.isnative
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


@given(data=st.binary(max_size=60))
@example(data=b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x")  # more axes than NumPy has
@example(data=b"\0\0\x08\4" + b"\0\0\0\0" + b"\xff\xff\xff\xff" * 3)  # nothing, of an enormous shape
@example(data=b"\0\0\x0e\3" + b"\xff\xff\xff\xff" * 3)
@example(data=gzip.compress(b"\0\0\x08\1\0\0\0\3abcd"))
@example(data=b"\x1f\x8b\x08\x04")
def test_any_bytes_are_an_array_or_a_data_error(file, data):
    for content in (data, b"\0\0\x08" + data, gzip.compress(data), b"\x1f\x8b" + data):
        file.write_bytes(content)
        try:
            assert isinstance(mnist.read_idx(file), np.ndarray)
        except DataError as error:
            assert "file.idx" in str(error)


@given(cut=st.floats(0, 1, exclude_max=True), zipped=st.booleans())
def test_a_truncated_file_is_never_read(file, cut, zipped):
    data = idx_bytes(np.arange(200, dtype=np.int16).reshape(4, 50))
    data = gzip.compress(data) if zipped else data
    file.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(DataError, match="file.idx"):
        mnist.read_idx(file)


@given(place=st.integers(10, 10_000), flip=st.integers(1, 255))
def test_a_damaged_gzip_file_is_never_read_as_something_else(file, place, flip):
    array = np.random.default_rng(0).integers(0, 256, (10, 100), dtype=np.uint8)
    data = bytearray(gzip.compress(idx_bytes(array)))
    data[10 + place % (len(data) - 10)] ^= flip  # behind the header, whose time and name nothing checks
    file.write_bytes(data)
    try:
        np.testing.assert_array_equal(mnist.read_idx(file), array)  # a few bits of padding carry nothing
    except DataError as error:
        assert "file.idx" in str(error)


WHOLE = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))
HUGE = b"\0\0\x08\3" + struct.pack(">3I", 65536, 256, 256) + bytes(1024)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\0\0", "ends after 2 bytes"),
        (b"<html>no such file</html>", "is a text file: it begins with b'<htm'"),
        (b"\x89PNG\r\n", "is no IDX file"),
        (b"\0\0\x07\1\0\0\0\0", "is no IDX file"),
        (WHOLE[:9], "ends within its header of 2 axes"),
        (WHOLE[:-1], "announces 12 bytes of data and the file holds 11"),
        (WHOLE + b"\0", "announces 12 bytes of data and the file holds more"),
        (HUGE, "announces 4,294,967,296 bytes of data and the file holds 1,040 at most"),
        (gzip.compress(HUGE), "announces 4,294,967,296 bytes of data and the file holds [0-9,]{6} at most"),
        (gzip.compress(WHOLE)[:-9], "damaged or truncated gzip"),
        (gzip.compress(WHOLE)[:-8] + bytes(8), "damaged or truncated gzip.*CRC"),
        (gzip.compress(WHOLE) + b"more", "damaged or truncated gzip"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(file, data, words):
    file.write_bytes(data)
    with pytest.raises(DataError, match=f"file.idx.*{words}"):
        mnist.read_idx(file)


def test_a_header_takes_no_memory(file):
    tracemalloc = pytest.importorskip("tracemalloc", reason="this Python cannot measure its own memory")
    file.write_bytes(HUGE)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            mnist.read_idx(file)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="There is no file .*nowhere"):
        mnist.read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="Cannot read"):
        mnist.read_idx(tmp_path)


# ---------------------------------------------------------------------------------------- where the files are


@pytest.fixture
def no_real_places(monkeypatch, tmp_path):
    """Keep a test away from the user's own data, cache and network."""
    monkeypatch.delenv("SCRATCHGAN_DATA", raising=False)
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(mnist, "download", lambda *_: pytest.fail("nothing may be downloaded here"))


isolated = pytest.mark.usefixtures("no_real_places")


def write_set(folder, n=5, split="train", first=0, ending=".gz", dash="-"):
    """Write a small set: n pictures of the grey level `first`, labels first, first + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "train" if split == "train" else "t10k"
    images, labels = np.full((n, 28, 28), first, np.uint8), (first + np.arange(n)).astype(np.uint8)
    for kind, array in (("images", images), ("labels", labels)):
        data = idx_bytes(array)
        path = folder / f"{prefix}-{kind}{dash}idx{array.ndim}-ubyte{ending}"
        path.write_bytes(gzip.compress(data) if ending else data)
    return folder


@isolated
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("dash", ["-", "."])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_every_file_name_is_found(tmp_path, ending, dash, below):
    write_set(tmp_path / below, ending=ending, dash=dash)
    found = mnist.load(data_dir=tmp_path)
    assert found.images.shape == (5, 28, 28, 1) and found.images.dtype == np.uint8
    np.testing.assert_array_equal(found.labels, [0, 1, 2, 3, 4])
    assert found.labels.dtype == np.int64 and found.names == tuple("0123456789") and found.factors is None


@isolated
def test_the_order_of_the_places(tmp_path, monkeypatch):
    write_set(tmp_path / "cache" / "kmnist", first=1)
    assert mnist.load(name="kmnist").images[0, 0, 0, 0] == 1
    monkeypatch.setenv("SCRATCHGAN_DATA", str(tmp_path / "mine"))
    assert mnist.load(name="kmnist").images[0, 0, 0, 0] == 1  # there is nothing of mine yet
    write_set(tmp_path / "mine" / "kmnist", first=2)
    assert mnist.load(name="kmnist").images[0, 0, 0, 0] == 2
    write_set(tmp_path / "chosen", first=3)
    assert mnist.load(name="kmnist", data_dir=tmp_path / "chosen").images[0, 0, 0, 0] == 3
    write_set(tmp_path / "chosen" / "kmnist", first=4)
    assert mnist.load(name="kmnist", data_dir=tmp_path / "chosen").images[0, 0, 0, 0] == 4
    assert mnist.load(name="kmnist").names[:2] == ("o", "ki")


@isolated
def test_an_explicit_folder_without_the_files_is_an_error(tmp_path):
    write_set(tmp_path / "cache" / "mnist")
    write_set(tmp_path / "mine")
    cases = ("nowhere", "train", "There is no folder"), ("mine", "test", "does not hold .*-images-")
    for folder, split, words in cases:
        with pytest.raises(DataError, match=f"{words}.*leave out"):
            mnist.load(split, data_dir=tmp_path / folder)


@isolated
def test_what_is_nowhere_is_downloaded_into_the_cache(tmp_path, monkeypatch):
    asked = []

    def download(urls, path, sha256):
        asked.append((urls, path, sha256))
        write_set(path.parent, split="test", first=7, n=3)
        return path

    monkeypatch.setattr(mnist, "download", download)
    np.testing.assert_array_equal(mnist.load("test").labels, [7, 8, 9])
    [(urls, path, sha256)] = asked  # once: the stand-in brings both files
    assert path == tmp_path / "cache" / "mnist" / "t10k-images-idx3-ubyte.gz"
    assert urls == [
        "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
        "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
    ]
    assert sha256 == mnist.SHA256["mnist"]["t10k-images-idx3-ubyte.gz"]


def test_every_set_has_ten_classes_mirrors_and_hashes():
    assert set(mnist.CLASSES) == {"mnist", "fashion_mnist", "kmnist"}
    assert set(mnist.MIRRORS) == set(mnist.SHA256) == set(mnist.CLASSES)
    hashes = [value for files in mnist.SHA256.values() for value in files.values()]
    assert len(set(hashes)) == 12
    assert all(len(bytes.fromhex(value)) == 32 for value in hashes)
    assert all(len(set(names)) == 10 for names in mnist.CLASSES.values())
    assert all(url.endswith("/") for urls in mnist.MIRRORS.values() for url in urls)


@isolated
def test_files_that_do_not_belong_together(tmp_path):
    def refused(words):
        with pytest.raises(DataError, match=words):
            mnist.load(data_dir=tmp_path)

    write_set(tmp_path, ending="")
    labels, pictures = tmp_path / "train-labels-idx1-ubyte", tmp_path / "train-images-idx3-ubyte"
    labels.write_bytes(idx_bytes(np.arange(4, dtype=np.uint8)))
    refused("holds 5 pictures and .* 4 labels")
    labels.write_bytes(idx_bytes(np.array([1, 2, 3, 4, 10], np.uint8)))
    refused("train-labels.* holds the label 10; labels are 0 to 9")
    labels.write_bytes(idx_bytes(np.zeros((5, 1), np.uint8)))
    refused(r"train-labels.* holds uint8 \(5, 1\)")
    pictures.write_bytes(idx_bytes(np.zeros((5, 28, 28), np.float32)))
    refused(r"train-images.* holds float32 \(5, 28, 28\)")
    pictures.write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    labels.write_bytes(idx_bytes(np.zeros(0, np.uint8)))
    refused("train-images.* holds no pictures")


@isolated
def test_pictures_of_another_size_are_read_and_resized(tmp_path):
    write_set(tmp_path, ending="")
    pictures = np.full((5, 20, 30), 9, np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(pictures))
    assert mnist.load(data_dir=tmp_path).images.shape == (5, 20, 30, 1)
    found = load_images("mnist", data_dir=tmp_path, size=32, channels=3)
    assert found.images.shape == (5, 32, 32, 3) and (found.images == 9).all()


@pytest.mark.parametrize(
    ("arguments", "words"), [({"name": "cifar"}, "'cifar'"), ({"split": "valid"}, "'valid'")]
)
def test_names_and_splits_that_are_not(arguments, words):
    with pytest.raises(DataError, match=words):
        mnist.load(**arguments)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "given/scratchgan"),
        ("win32", "LOCALAPPDATA", "given/scratchgan"),
        ("linux", None, "home/.cache/scratchgan"),
        ("darwin", None, "home/Library/Caches/scratchgan"),
        ("win32", None, "home/AppData/Local/scratchgan"),
    ],
)
def test_the_cache_follows_the_customs_of_each_system(monkeypatch, tmp_path, platform, variable, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "given"))
    monkeypatch.setattr(mnist.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert mnist.cache_folder() == tmp_path / expected


# ------------------------------------------------------------------------------------------- the real MNIST

needs_mnist = pytest.mark.skipif(
    not os.environ.get("SCRATCHGAN_DATA"), reason="set SCRATCHGAN_DATA to a folder that holds mnist/"
)


@needs_mnist
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_real_mnist(split):
    found = mnist.load(split)
    assert found.images.shape[1:] == (28, 28, 1) and len(found.images) >= 10_000
    assert found.images.mean() / 255 == pytest.approx(0.1307, abs=0.003)
    frequencies = np.bincount(found.labels, minlength=10) / len(found.labels)
    assert 0.08 < frequencies.min() and frequencies.max() < 0.12
    ones = found.images[found.labels == 1].mean()
    assert ones < 0.7 * found.images.mean()  # a one has the least ink: labels and pictures belong together


@needs_mnist
def test_the_real_test_set_has_the_hashes_of_the_table():
    folder = Path(os.environ["SCRATCHGAN_DATA"], "mnist")
    packed = list(folder.glob("t10k-*.gz"))
    if not packed:
        pytest.skip(f"the hashes are those of packed files, and {folder} holds none")
    for path in packed:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == mnist.SHA256["mnist"][path.name]
    assert load_images("mnist", size=14).images.shape[1:] == (14, 14, 1)
