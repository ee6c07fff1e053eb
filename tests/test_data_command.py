"""`scratchgan data`: what is here of each set, the download, and what a folder would give."""

import gzip

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import command, mnist
from scratchgan.support.errors import DataError


@pytest.fixture(autouse=True)
def no_real_places(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHGAN_DATA", str(tmp_path / "given"))
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache")


def write_set(folder, split, n):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, shape in zip(mnist.file_stems(split), ((n, 28, 28), (n,)), strict=True):
        start = bytes([0, 0, 8, len(shape)]) + b"".join(side.to_bytes(4, "big") for side in shape)
        (folder / f"{stem}.gz").write_bytes(gzip.compress(start + bytes(int(np.prod(shape)))))


def told(capsys, *arguments):
    """Return the exit status of the command, and its lines without the columns' spaces."""
    status = command.main(arguments)
    return status, [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_list(tmp_path, capsys):
    write_set(tmp_path / "given" / "mnist", "train", 5)
    write_set(tmp_path / "cache" / "kmnist", "train", 60_000)
    write_set(tmp_path / "cache" / "kmnist", "test", 10_000)
    status, lines = told(capsys)
    assert status == 0 and lines[0].startswith("glyphs made here")
    few = "of the 60,000 that were published"
    assert lines[1] == f"mnist train: 5 pictures of 28 x 28, {few}, in {tmp_path}/given/mnist"
    assert lines[2].startswith(f"mnist test: not here, looked for in {tmp_path}/given/mnist, ")
    assert f"{tmp_path}/cache/mnist; `scratchgan data mnist --fetch` downloads them" in lines[2]
    assert lines[3].startswith("fashion_mnist train and test: not here")
    assert lines[4:] == [
        f"kmnist {split}: {n} pictures of 28 x 28, in {tmp_path}/cache/kmnist"
        for split, n in (("train", "60,000"), ("test", "10,000"))
    ]


def test_a_set_by_name(tmp_path, capsys):
    write_set(tmp_path / "given" / "mnist", "train", 5)
    assert told(capsys, "mnist")[0] == 1  # a half is not here
    write_set(tmp_path / "given" / "mnist", "test", 5)
    assert told(capsys, "mnist")[0] == 0
    path = tmp_path / "given" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5])
    status, lines = told(capsys, "mnist")
    assert status == 1 and "test: cannot be used" in lines[1] and "truncated gzip" in lines[1]
    status, [line] = told(capsys, "mnist", "--data-dir", str(tmp_path))
    assert status == 1 and line.endswith(f"further down, --data-dir {tmp_path}/given/mnist.")
    assert told(capsys, "glyphs")[0] == 0


def test_a_download(tmp_path, capsys, monkeypatch):
    asked = []

    def download(urls, path, sha256):
        asked.append(path.name)
        write_set(path.parent, "train", 3)
        write_set(path.parent, "test", 3)

    monkeypatch.setattr(mnist, "download", download)
    status, lines = told(capsys, "mnist", "--fetch")
    assert status == 0 and len(lines) == 2 and asked == ["train-images-idx3-ubyte.gz"]

    def fail(*arguments):
        raise DataError("Could not download it")

    monkeypatch.setattr(mnist, "download", fail)
    assert told(capsys, "mnist", "--fetch")[0] == 0  # all is here
    with pytest.raises(DataError, match="Could not download"):
        command.main(["kmnist", "--fetch"])


@pytest.mark.parametrize("arguments, words", [
    (["--fetch"], "--fetch needs the name"), (["glyphs", "--fetch"], "--fetch needs the name"),
    (["mnist", "--fetch", "--data-dir", "x"], "leave out one"), (["mnits"], "Did you mean mnist"),
])  # fmt: skip
def test_what_cannot_be_asked_for(arguments, words):
    with pytest.raises(DataError, match=words):
        command.main(arguments)


def test_a_folder(tmp_path, capsys):
    for name, size in (("cats/1.png", (9, 8)), ("dogs/1.png", (30, 20)), ("dogs/2.webp", (9, 9))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", size).save(tmp_path / name)
    (tmp_path / "dogs" / "notes.txt").touch()
    status, lines = told(capsys, str(tmp_path))
    assert status == 0
    assert lines == [f"pictures 3, 9 x 8 pixels to 30 x 20, in {tmp_path}", "class 0 1 in cats", "class 1 2 in dogs"]
    for n in range(12):
        (tmp_path / "cats" / f"{n:02}.png").write_bytes(b"none")
    status, lines = told(capsys, str(tmp_path))
    assert status == 1 and lines[0].startswith("pictures 15,") and lines[1] == "class 0 13 in cats"
    assert lines[3].startswith(f"cannot be used {tmp_path}/cats/00.png is no picture")
    assert len(lines) == 14 and lines[-1] == "cannot be used 2 more"
