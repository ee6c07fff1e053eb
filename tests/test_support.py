"""The doors through which files, text and claims about memory come in."""

import os
import stat

import pytest
from PIL import Image

from scratchgan.support import costs
from scratchgan.support.errors import DataError, UserError
from scratchgan.support.files import leftovers, read_json, reading, replacing
from scratchgan.support.pictures import open_picture
from scratchgan.support.text import printable

posix = pytest.mark.skipif(os.name == "nt", reason="pipes, links and modes as POSIX has them")


def write(path, content):
    with replacing(path) as file:
        file.write(content)


# ---- writing ---------------------------------------------------------------------------------------------


@posix
def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "folder" / "link"
    target.write_bytes(b"old")
    link.parent.mkdir()
    link.symlink_to(target)
    write(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert leftovers(tmp_path) == leftovers(link.parent) == []


@posix
@pytest.mark.parametrize("mode", (0o600, 0o640, 0o444))
def test_a_mode_stays(tmp_path, mode):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(mode)
    with replacing(path) as file:
        during = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        assert during & ~mode == 0  # nobody else can read it meanwhile
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, what in ((tmp_path / "pipe", "a pipe"), (tmp_path / "folder", "a folder"), ("/dev/null", "a device")):
        with pytest.raises(UserError, match=f"it is {what}, not a file; nothing was changed"):
            write(path, b"")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


def test_leftovers_are_ours_alone(tmp_path):
    ours = tmp_path / ".log.jsonl.4711.scratchgan-tmp"
    for path in (ours, tmp_path / ".mine.tmp", tmp_path / ".log.jsonl.4711.tmp", tmp_path / "a.scratchgan-tmp"):
        path.touch()
    assert leftovers(tmp_path) == [ours]


def test_a_home_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write("~/note", b"here")
    with reading("~/note") as file:
        assert file.read() == b"here" == (tmp_path / "note").read_bytes()


# ---- reading ---------------------------------------------------------------------------------------------


@posix
def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    cases = {tmp_path / "pipe": "a pipe", tmp_path: "a folder", "/dev/zero": "a device", "/dev/null": "a device"}
    for path, what in cases.items():
        with pytest.raises(DataError, match=f"it is {what}, not a file"), reading(path, error=DataError):
            pass
    for path, what in ((tmp_path / "none", "There is no file"), ("a\0b", "null"), (tmp_path / "pipe" / "x", "Not a")):
        with pytest.raises(DataError, match=what), reading(path, error=DataError):
            pass


def test_a_file_is_as_large_as_it_may_be(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(40 * 10**9)
    with pytest.raises(UserError, match="holds 40,000,000,000 bytes, more than the 1,000"):
        with reading(tmp_path / "sparse", limit=1000):
            pass


@pytest.mark.parametrize(
    "content, problem",
    [
        ("[" * 100_000, "recursion"), ("[1e999]", "1e999"), ("9" * 400, "400 digits"), ("[NaN]", "NaN"),
        ("-Infinity", "Infinity"), ("{", "property name"), ("", "Expecting value"), (b"\xff\xfe", "decode|Expecting"),
    ],
)  # fmt: skip
def test_json_that_is_none(tmp_path, content, problem):
    (tmp_path / "x.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=f"x.json is no JSON file that can be read: .*({problem})"):
        read_json(tmp_path / "x.json")


def test_json_with_a_mark_at_its_beginning(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1.5}')
    assert read_json(tmp_path / "x.json") == {"a": 1.5}


# ---- pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"))
def test_pictures_that_are_read(tmp_path, kind):
    Image.new("RGB", (5, 4)).save(tmp_path / "x", format=kind)
    with open_picture(tmp_path / "x") as picture:
        assert picture.convert("RGB").size == (5, 4)


@pytest.mark.parametrize("kind", ("EPS", "PPM", "ICO"))
def test_pictures_that_are_not(tmp_path, kind):
    """PostScript would be given to another program, whatever the file is called."""
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", format=kind)
    with pytest.raises(DataError, match="x.png is no picture of a kind that is read"):
        with open_picture(tmp_path / "x.png", error=DataError) as picture:
            picture.load()


def test_pictures_that_are_damaged_or_claim_too_much(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="half.png is damaged"), open_picture(tmp_path / "half.png") as picture:
        picture.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UserError, match="announces more than 1,000 pixels"), open_picture(tmp_path / "x.png"):
        pass


# ---- text and costs --------------------------------------------------------------------------------------


def test_text_that_a_terminal_would_obey():
    assert printable("a\x1b[31m\n\tb\u202e\ud800 é\x9b漢") == "a\\x1b[31m b\\u202e\\ud800 é\\x9b漢"
    assert printable("word " * 1000, longest=20) == "word word word w ..."


def test_what_cannot_be_afforded_is_said_in_a_line():
    assert costs.available() is None or costs.available() > 10**7
    costs.afford(1, "A byte", "take none")
    if costs.available() is not None:
        with pytest.raises(UserError, match="A batch of 7 would need 1e.22 EB of memory, and .* are free: take less"):
            costs.afford(10**40, "A batch of 7", "take less")


def test_memory_of_a_container(tmp_path):
    assert costs.free_in_container(tmp_path) is None
    for name, text in (("memory.max", "1000"), ("memory.current", "900"), ("memory.stat", "anon 1\ninactive_file 50")):
        (tmp_path / name).write_text(text + "\n")
    assert costs.free_in_container(tmp_path) == 150
    (tmp_path / "memory.max").write_text("max\n")
    assert costs.free_in_container(tmp_path) is None
    assert [costs.in_words(size) for size in (12, 3.1e12, 47_040_000)] == ["12 bytes", "3.1 TB", "47 MB"]
