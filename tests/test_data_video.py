"""Clips: their factors are what is seen, what is drawn stands where it should, and folders of animations."""

import inspect
import textwrap

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import video
from scratchgan.support.errors import DataError


def centroids(clips):
    """The centroid of each frame, (N, T, 2), longhand."""
    ink = clips[..., 0].astype(float)
    rows, columns = np.arange(ink.shape[2])[:, None], np.arange(ink.shape[3])
    return np.stack([(ink * place).sum((2, 3)) / ink.sum((2, 3)) for place in (rows, columns)], axis=-1)


# ---- drawing ---------------------------------------------------------------------------------------------


def still(n, angle=0.0, scale=1.0, centre=(10.0, 10.0)):
    """Return the options of `rendered` for n clips of one frame of 21 x 21."""
    ones = np.ones((n, 1))
    return {"centre": ones[..., None] * np.array(centre), "angle": angle * ones, "scale": scale * ones, "size": 21}


def stands_turned_and_enlarged():
    """At whole pixels a picture is itself, a quarter turn is rot90, twice the size has its pixels at every other."""
    x = np.random.default_rng(0).random((3, 7, 9))
    drawn = video.rendered(x, **still(3))[:, 0, :, :, 0]
    np.testing.assert_allclose(drawn[:, 7:14, 6:15], x, atol=1e-6)
    drawn[:, 7:14, 6:15] = 0
    assert not drawn.any()
    turned = video.rendered(x, **still(3, angle=np.pi / 2))[:, 0, :, :, 0]
    np.testing.assert_allclose(turned[:, 6:15, 7:14], np.rot90(x, axes=(1, 2)), atol=1e-6)
    large = video.rendered(x, **still(3, scale=2.0))[:, 0, :, :, 0]
    np.testing.assert_allclose(large[:, 4:17:2, 2:19:2], x, atol=1e-6)
    moved = video.rendered(x, **still(3, centre=(8.0, 12.5)))[:, 0, :, :, 0]
    np.testing.assert_allclose(moved[:, 5:12, 9:17], (x[:, :, 1:] + x[:, :, :-1]) / 2, atol=1e-6)


def test_stands_turned_and_enlarged():
    stands_turned_and_enlarged()


def test_each_frame_has_its_own_place_and_pieces_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    x, centre = rng.integers(0, 256, (5, 6, 6, 1)).astype(np.uint8), rng.uniform(3, 9, (5, 4, 2))
    angle, scale = rng.uniform(-1, 1, (5, 4)), rng.uniform(0.5, 2, (5, 4))
    drawn = video.rendered(x, centre=centre, angle=angle, scale=scale, size=12)
    assert drawn.dtype == np.float32 and drawn.shape == (5, 4, 12, 12, 1) and drawn.max() <= 1
    monkeypatch.setattr(video, "PIECE", 1)
    for n, t in np.ndindex(5, 4):
        one = {"centre": centre[n, t], "angle": angle[n, t], "scale": scale[n, t]}
        one = {name: np.array(value)[None, None] for name, value in one.items()}
        np.testing.assert_allclose(video.rendered(x[n : n + 1] / 255, **one, size=12)[0, 0], drawn[n, t], atol=1e-5)


# ---- flights ---------------------------------------------------------------------------------------------


def seen_as_the_factors_say():
    """Ink moves as the tracks do; between bounces by `speed` in `direction`; nothing leaves the frame."""
    clips = video.load(40, frames=12, size=32)
    tracks, speed = clips.factors["tracks"], clips.factors["speed"]
    offset = centroids(clips.images) - tracks  # of the glyph in its picture: the same in all frames
    assert np.abs(offset - offset.mean(axis=1, keepdims=True)).max() < 0.1 and np.abs(offset).max() < 3
    assert tracks.min() >= video.REACH - 0.5 and tracks.max() <= 32 - video.REACH - 0.5
    assert video.SPEED[0] <= speed.min() < speed.max() <= video.SPEED[1]
    steps = np.diff(tracks, axis=1)
    angle = np.pi / 4 * clips.factors["direction"]
    straight = speed[:, None] * np.stack([-np.sin(angle), np.cos(angle)], axis=1)  # up is a smaller row
    assert (np.abs(steps) < np.abs(straight)[:, None] + 1e-4).all()
    unreflected = np.isclose(np.abs(steps), np.abs(straight)[:, None], atol=1e-4)
    assert unreflected.mean() > 0.85  # but for the frames of a bounce
    assert np.allclose(steps[:, 0][unreflected[:, 0]], straight[unreflected[:, 0]], atol=1e-4)
    mass = clips.images.sum(axis=(2, 3, 4), dtype=float)
    assert (mass.min(axis=1) > 0.97 * mass.max(axis=1)).all()  # nothing is cut off


def test_seen_as_the_factors_say():
    seen_as_the_factors_say()


def test_a_background_stays_and_lies_behind():
    on_black, on_texture = (video.load(20, background=kind) for kind in ("black", "still"))
    m, clear = on_black.images / 255, on_black.images < 230
    b = (on_texture.images / 255 - m) / np.where(clear, 1 - m, 1)  # x = m + (1 - m) b
    spread = np.where(clear, b, 0).max(axis=1) - np.where(clear, b, 1).min(axis=1)
    assert spread.max() < 0.06  # of bytes, divided by a tenth at the least
    b = b[clear]
    assert 0.1 < b.mean() < 0.4 and b.std() > 0.05 and b.min() > -0.06 and b.max() < video.BRIGHTEST + 0.06
    np.testing.assert_array_equal(on_black.labels, on_texture.labels)


def test_splits_and_seeds():
    clips = {key: video.load(6, split=key[0], seed=key[1]) for key in (("train", 0), ("train", 1), ("test", 0))}
    again = video.load(6)
    np.testing.assert_array_equal(again.images, clips["train", 0].images)
    assert len({one.images.tobytes() for one in clips.values()}) == 3
    assert again.images.dtype == np.uint8 and again.images.shape == (6, 16, 32, 32, 1) and again.names[3] == "3"
    assert len(set(video.load(400, frames=1, size=16).labels)) == 10


@pytest.mark.parametrize("options, words", [
    ({"split": "valid"}, "split 'valid'"), ({"background": "grey"}, "black or still"), ({"size": 8}, "16 or more"),
    ({"frames": 0}, "1 or more"), ({"n": -1}, "number of clips"), ({"n": 10**9}, "memory"),
])  # fmt: skip
def test_clips_that_cannot_be_drawn(options, words):
    with pytest.raises(DataError, match=words):
        video.load(**options)


# ---- folders ---------------------------------------------------------------------------------------------


def write(path, frames):
    first, *others = [Image.fromarray(frame) for frame in frames]
    path.parent.mkdir(exist_ok=True)
    first.save(path, save_all=True, append_images=others, duration=100)


def film(count, side=20, value=0):
    """A film whose frame t has a bright row t."""
    frames = np.full((count, side, side), value, np.uint8)
    frames[np.arange(count), np.arange(count) % side] = 255
    return frames


def test_a_folder_of_animations(tmp_path):
    """Frames in order, one clip after the other, what is left over is not used; sub-folders are classes."""
    write(tmp_path / "a" / "one.gif", film(11))
    write(tmp_path / "b" / "two.png", film(4))
    clips = video.load_folder(tmp_path, frames=4, size=20)
    assert clips.names == ("a", "b") and clips.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(clips.images[:2, ..., 0].reshape(8, 20, 20), film(8))
    np.testing.assert_array_equal(clips.images[2, ..., 0], film(4))
    assert video.load_folder(tmp_path / "a", frames=4, size=10).images.shape == (2, 4, 10, 10, 1)
    assert video.load_folder(tmp_path / "a", frames=4, size=10).labels is None


def test_one_file_in_ten_is_held_out(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (260, 8, 6, 6)).astype(np.uint8)
    for number, frames in enumerate(noise):
        write(tmp_path / f"{number:03}.gif", frames)
    splits = [video.load_folder(tmp_path, split=split, frames=8, size=6).images for split in ("", "train", "test")]
    assert len(splits[0]) == 260 == len(splits[1]) + len(splits[2]) and 20 <= len(splits[2]) < 45
    assert not {clip.tobytes() for clip in splits[1]} & {clip.tobytes() for clip in splits[2]}


def test_folders_that_hold_no_clips(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        video.load_folder(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no pictures"):
        video.load_folder(tmp_path)
    Image.fromarray(film(1)[0]).save(tmp_path / "one.png")
    with pytest.raises(DataError, match=r"one.png has 1 frame, and a clip has 16: .*--frames"):
        video.load_folder(tmp_path)
    (tmp_path / "one.png").unlink()
    write(tmp_path / "short.gif", film(5))
    with pytest.raises(DataError, match="short.gif has 5 frames"):
        video.load_folder(tmp_path)
    (tmp_path / "short.gif").write_bytes((tmp_path / "short.gif").read_bytes()[:60])
    with pytest.raises(DataError, match="short.gif"):
        video.load_folder(tmp_path, frames=4)


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------

BUGS = {
    "turned clockwise": ("rendered", "np.exp(1j * angle)", "np.exp(-1j * angle)", stands_turned_and_enlarged),
    "made smaller": ("rendered", "angle) / scale", "angle) * scale", stands_turned_and_enlarged),
    "half a pixel off": ("rendered", "(H + 1) / 2", "H / 2", stands_turned_and_enlarged),
    "rows and columns exchanged": ("fly", "[-np.sin(angle), np.cos(angle)]", "[np.cos(angle), -np.sin(angle)]",
                                   seen_as_the_factors_say),
    "diagonals are faster": ("fly", "np.stack([-np.sin(angle), np.cos(angle)], axis=1)",
                             "np.sign(np.stack([-np.sin(angle), np.cos(angle)], axis=1).round(6))",
                             seen_as_the_factors_say),
    "flies out": ("fly", "bounced = room - np.abs(straight % (2 * room) - room)", "bounced = straight",
                  seen_as_the_factors_say),
    "jumps to the other side": ("fly", "bounced = room - np.abs(straight % (2 * room) - room)",
                                "bounced = straight % room", seen_as_the_factors_say),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(video, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(video), made)
    monkeypatch.setattr(video, name, made[name])
    with pytest.raises((AssertionError, IndexError, ValueError)):
        test()
