"""Folders of pictures: every kind that is read, what is passed over, and what is refused by name."""

import os

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import command, images, load_images
from scratchgan.support import costs
from scratchgan.support.errors import DataError
from scratchgan.support.files import read_record, write_json

posix = pytest.mark.skipif(os.name == "nt", reason="pipes, links and names as POSIX has them")


def refused(words, call, *arguments, **keywords):
    with pytest.raises(DataError, match=words) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)


def picture(path, value=100, kind=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((30, 30), value, np.uint8)).save(path, format=kind, **options)


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif", "WEBP"])
def test_every_kind_of_picture_is_read(tmp_path, ending):
    for name, value in (("cats", 40), ("dogs", 200)):
        picture(tmp_path / name / f"a.{ending}", value)
    found = images.load_folder(tmp_path)
    assert found.names == ("cats", "dogs")
    assert abs(found.images[:, 9, 9, 0].astype(int) - [40, 200]).max() <= 3


@pytest.mark.parametrize("kind, what", [("WEBP", "is animated"), ("GIF", "is animated"), ("TIFF", "several pages")])
def test_several_frames_are_refused_by_name(tmp_path, kind, what):
    frames = [Image.fromarray(np.full((30, 30), value, np.uint8)) for value in (1, 100)]
    frames[0].save(tmp_path / "a.png", format=kind, save_all=True, append_images=frames[1:])
    refused(f"a.png .*{what} \\(2 frames\\); save one frame", images.load_folder, tmp_path)


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixels_without_black_and_white(tmp_path, mode):
    """A picture of floating-point numbers from 0 to 1 would be all black."""
    Image.new(mode, (9, 9)).save(tmp_path / "a.tif")
    refused(f"a.tif has pixels .*mode {mode}.*save it with 8 bits", images.load_folder, tmp_path)


def test_what_is_passed_over_is_said(tmp_path, capsys):
    for name in ("cats/1.png", "dogs/1.png"):
        picture(tmp_path / name)
    for name in ("cats/a.heic", "cats/b.HEIC", "dogs/notes", "c.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    assert images.load_folder(tmp_path).names == ("cats", "dogs")
    said = capsys.readouterr().err.strip()
    assert "passed over 4 files that are no pictures (2 .heic, 1 " in said and "\n" not in said
    assert "1 .txt" in said and "1 without an ending" in said and "folders without files of their own (empty)" in said


def test_a_class_does_not_vanish(tmp_path):
    picture(tmp_path / "cats" / "1.png")
    (tmp_path / "dogs" / "young").mkdir(parents=True)
    for n in range(2):
        (tmp_path / "dogs" / "young" / f"{n}.heic").touch()
    refused("dogs holds no pictures, but 2 other files: its class", images.load_folder, tmp_path)


@posix
def test_links(tmp_path, capsys):
    picture(tmp_path / "cats" / "1.png")
    for name, target in (("cats/loop", "loop"), ("cats/up", tmp_path), ("kittens", tmp_path / "cats")):
        os.symlink(target, tmp_path / name)
    found = images.load_folder(tmp_path)  # in a sorted order, so that it is the same on every file system
    assert found.names == ("cats",) and len(found.images) == 1
    assert "(kittens)" in capsys.readouterr().err
    os.symlink("nowhere", tmp_path / "cats" / "2.png")
    refused("no file .*2.png", images.load_folder, tmp_path)
    (tmp_path / "cats" / "2.png").unlink()
    os.symlink("2.png", tmp_path / "cats" / "2.png")
    refused("Cannot read .*2.png: .*links", images.load_folder, tmp_path)


@posix
def test_what_may_not_be_read_or_is_no_file(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    refused("b.png: it is a pipe", images.load_folder, tmp_path)
    (tmp_path / "b.png").unlink()

    def may_not(*arguments, **keywords):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", may_not)
        refused("Cannot read .*a.png: Permission denied", images.load_folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", may_not)
        refused("Cannot read the folder .*Permission denied; check its permissions", images.load_folder, tmp_path)


@posix
def test_names_that_are_no_text_or_that_a_terminal_obeys(tmp_path, capsys):
    for name in (b"\xff\xfe", b"\x1b[2J", b"Cats", b"cats"):
        folder = os.path.join(os.fsencode(tmp_path), b"p\xfd", name)
        os.makedirs(folder)
        with open(os.path.join(folder, b"1.png"), "wb") as file:
            Image.new("L", (9, 9)).save(file, "PNG")
        open(os.path.join(folder, b"notes.\x1b[31m"), "wb").close()
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"p\xfd"))
    found = load_images(path)
    assert len(found.names) == 4 and len(load_images(os.fsencode(path)).images) == 4
    assert command.main([path]) == 0
    out, error = capsys.readouterr()
    assert "\x1b" not in out + error and "1 in \\x1b[2J" in out and "4 .\\x1b[31m" in error
    write_json(tmp_path / "x.json", {"data": path})  # as a run does with its settings
    assert read_record(tmp_path / "x.json", {"data": str}) == {"data": path}


def test_a_home_is_known(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    picture(tmp_path / "mine" / "1.png")
    assert len(load_images("~/mine").images) == 1
    monkeypatch.chdir(tmp_path)  # and where nobody is called that, ~ is a letter
    picture(tmp_path / "here" / "~nobody.png")
    monkeypatch.chdir(tmp_path / "here")
    assert len(load_images(".").images) == 1


def test_pictures_that_no_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "available", lambda: 10**10)
    picture(tmp_path / "1.png")
    refused("1 pictures of 10000000 x 10000000 would need 100 TB of memory", load_images, tmp_path, size=10**7)


def test_a_folder_of_one_picture_and_a_class_of_one(tmp_path):
    picture(tmp_path / "a" / "1.png")
    assert images.load_folder(tmp_path / "a").labels is None
    picture(tmp_path / "b" / "1.png")
    picture(tmp_path / "b" / "2.png")
    assert images.load_folder(tmp_path).labels.tolist() == [0, 1, 1]
