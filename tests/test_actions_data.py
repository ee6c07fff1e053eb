"""Clips of motions: what moves is what the label says, no single frame tells it, and a rule by hand reads it."""

import inspect
import textwrap

import numpy as np
import pytest

from scratchgan.data import motions
from scratchgan.metrics.motions import by_hand, by_single_frames, tracks
from scratchgan.support.errors import DataError

LABELS = np.arange(8).repeat(1000)
MIRRORED = np.array([1, 0, 2, 3, 5, 4, 6, 7])  # what a motion is in a mirror that swaps left and right


def clips(n=1000, split="test"):
    return motions.load(n, split=split, seed=3)


def bare(state):
    """Return the masks of one glyph in these states, (n, T, 4): no background, no noise."""
    drawn = motions.glyphs.load(1, size=motions.GLYPH, characters="4", seed=0).images
    n = len(state)
    return motions.shown(drawn.repeat(n, 0), state, np.ones(n, np.float32), np.zeros((n, 6, 6), np.float32))


# ---- the clips -------------------------------------------------------------------------------------------


def test_one_seed_one_set():
    first = clips(40)
    motions.load.cache_clear()
    again, other, train = clips(40), motions.load(40, split="test", seed=4), clips(40, "train")
    assert first.images.shape == (40, 8, 24, 24, 1) and first.images.dtype == np.uint8
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    for another in (other, train):
        assert not np.array_equal(first.images, another.images)
        assert not np.array_equal(first.factors["class"], another.factors["class"])
    assert np.bincount(first.labels).tolist() == [5] * 8 and len(first.names) == 8
    assert not first.images.flags.writeable


def test_factors_are_those_of_the_motion():
    """In each step one of four states moves, by the clip's speed, the way that its name says; the others rest."""
    found = clips()
    low, high = motions.SPEED
    assert low <= found.factors["speed"].min() and found.factors["speed"].max() <= high
    steps = (np.diff(found.factors["state"], axis=1) + 0.5) % 1 - 0.5  # (n, 7, 4)
    moves = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1), "turn left": (2, 1),
             "turn right": (2, -1), "grow": (3, 1), "shrink": (3, -1)}  # fmt: skip
    for label, speed, step in zip(found.labels, found.factors["speed"], steps, strict=True):
        circle, way = moves[found.names[label]]
        wanted = np.zeros((7, 4))
        wanted[:, circle] = way * speed
        np.testing.assert_allclose(step, wanted, atol=1e-12)


def test_a_state_is_what_is_drawn():
    """Columns to the right and rows down, in pixels around the frame; a quarter of a turn; areas, squares of sizes."""
    middle = [0.5, 0.5, 0.0, 0.4]
    state = np.array([[middle, [0.5, 0.75, 0, 0.4], [0.25, 0.5, 0, 0.4], [0.5, 0.5, 0.25, 0.4], [0.5, 0.5, 0, 0.9]]])
    start, right, up, turned, grown = bare(state)[0, ..., 0]
    np.testing.assert_allclose(right, np.roll(start, 6, 1), atol=1e-6)
    np.testing.assert_allclose(up, np.roll(start, -6, 0), atol=1e-6)
    around = np.rot90(np.pad(start, ((0, 1), (0, 1))))[:24, :24]  # about pixel (12, 12): counter-clockwise
    np.testing.assert_allclose(turned, around, atol=1e-5)
    ratio = (motions.SIZES[1] / motions.SIZES[0]) ** 0.5  # half a circle
    assert grown.sum() / start.sum() == pytest.approx(ratio**2, rel=0.03)


def test_the_circles_are_closed():
    state = np.random.default_rng(0).random((3, 2, 4))
    around = state.copy()
    around[..., :3] += 1
    np.testing.assert_allclose(bare(state), bare(around), atol=1e-5)


@pytest.mark.parametrize("n", [0, 2.5])
def test_no_number_of_clips(n):
    with pytest.raises(DataError, match="number of clips"):
        motions.load(n)


def test_no_such_split():
    with pytest.raises(DataError, match="no split 'valid'; choose train or test"):
        motions.load(8, split="valid")


# ---- what a frame tells, and what a clip tells -----------------------------------------------------------


def each_frame_is_uniform():
    """Kolmogorov and Smirnov's distance of each state in each frame of each motion: 256 tests, 1,000 clips each.

    sqrt(n) D exceeds 2.2 with the probability 2 exp(-2 2.2^2) = 1.3e-4, in any of them with 0.03 at most.
    """
    rng = np.random.default_rng(1)
    states = motions.walk(LABELS, rng.uniform(*motions.SPEED, len(LABELS)), rng)
    ordered = np.sort(states.reshape(8, 1000, 8, 4), axis=1)
    steps = np.arange(1000).reshape(1, -1, 1, 1) / 1000
    distance = np.maximum(ordered - steps, steps + 1e-3 - ordered).max(1)  # (8 motions, 8 frames, 4)
    assert 1000**0.5 * distance.max() < 2.2


def test_each_frame_is_uniform():
    each_frame_is_uniform()


STARTS = "rng.random((len(labels), 1, 4))"
BUGS = {
    "starts in the middle, so that where it stands tells": (STARTS, f"0.25 + {STARTS} / 2"),
    "one start for all motions of a class": (STARTS, "rng.random((8, 1, 4))[labels]"),
    "a motion that ends at the border": (") % 1", ").clip(0, 1)"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_start_that_tells_is_caught(bug, monkeypatch):
    right, wrong = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(motions.walk))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(motions), made)
    monkeypatch.setattr(motions, "walk", made["walk"])
    with pytest.raises(AssertionError):
        each_frame_is_uniform()


def errors_of_frames(train, test):
    """Return the error of the classifier of single frames, and its standard error, were it chance."""
    said = by_single_frames(train.images, train.labels, test.images)
    return (said != test.labels[:, None]).mean(), np.sqrt(7 / 64 / len(test.labels))


def test_single_frames_are_at_chance():
    """Pixels and spectra of one frame, and 2,000 labels: within three standard errors of 7/8."""
    error, deviation = errors_of_frames(clips(2000, "train"), clips())
    assert abs(error - 7 / 8) < 3 * deviation


def test_the_classifier_of_frames_would_see_a_leak():
    """Of the label, by where a glyph stands in half of the clips: it is found out, so that chance means something."""

    def leaking(found, rng):
        images = found.images.copy()
        for i in np.flatnonzero(rng.random(len(images)) < 0.5):
            images[i] = np.roll(found.images[i], 3 * int(found.labels[i]), axis=2) // 2
            images[i, :, :, 3 * int(found.labels[i])] = 200
        return found._replace(images=images)

    rng = np.random.default_rng(0)
    error, deviation = errors_of_frames(leaking(clips(2000, "train"), rng), leaking(clips(), rng))
    assert error < 7 / 8 - 20 * deviation


def test_a_rule_by_hand_reads_clips():
    found = clips()
    wrong = by_hand(found.images) != found.labels
    assert wrong.mean() < 0.04
    assert max(wrong[found.labels == label].mean() for label in range(8)) < 0.1


def test_tracks_are_the_states():
    """Of the three that close: their steps, and what rests."""
    found = clips()
    steps = np.diff(tracks(found.images), axis=1)[..., :3]
    steps -= np.array([1, 1, 0.5]) * np.rint(steps / np.array([1, 1, 0.5]))
    for label in range(6):
        some = found.labels == label
        circle = motions.CIRCLE[label]
        said = motions.WAY[label] * np.median(steps[some], axis=1)[:, circle]
        assert np.median(np.abs(said - found.factors["speed"][some])) < 0.01


def test_a_clip_backwards_is_one_of_the_opposite_motion():
    found = clips()
    assert (by_hand(found.images[:, ::-1]) == found.labels ^ 1).mean() > 0.96


def test_a_flip_is_another_motion():
    """What is harmless for digits is a wrong label here: left for right, and a turn for its opposite."""
    found = clips()
    said = by_hand(found.images[:, :, :, ::-1])
    assert (said == MIRRORED[found.labels]).mean() > 0.96
    assert (said == found.labels).mean() < 0.54


def test_the_mean_over_time_tells_no_direction():
    """A clip and its reverse have one mean: who names motions from it is right for one of the two at most."""
    found = clips()
    np.testing.assert_array_equal(found.images.mean(1), found.images[:, ::-1].mean(1))
