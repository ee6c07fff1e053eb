"""Pairs of glyphs: each task's input and truth have one geometry, and the truth tells what the input does not."""

import numpy as np
import pytest

from scratchgan.data import glyphs, pairs
from scratchgan.support.errors import DataError


@pytest.fixture
def few(monkeypatch):
    """Let ten digits do, and 60 pairs: a face's characters take a while to be drawn for the first time."""
    monkeypatch.setattr(glyphs, "CHARACTERS", "0123456789")
    monkeypatch.setattr(pairs, "DRAWN", {"train": 60, "test": 20})


@pytest.mark.parametrize("task", pairs.TASKS)
def test_pairs_of_glyphs(few, task):
    drawn = {split: pairs.draw(task, split=split, size=32, seed=3) for split in ("train", "test")}
    again = pairs.draw(task, size=32, channels=3, seed=3)
    np.testing.assert_array_equal(drawn["train"].inputs.repeat(3, axis=-1), again.inputs)
    np.testing.assert_array_equal(drawn["train"].truths.repeat(3, axis=-1), again.truths)
    for split, n in (("train", 60), ("test", 20)):
        inputs, truths, labels = drawn[split]
        assert inputs.shape == truths.shape == (n, 32, 32, 1) and inputs.dtype == truths.dtype == np.uint8
        assert labels.shape == (n,) and 0 <= labels.min() <= labels.max() < 10
        for images in (inputs, truths):
            assert images.max(axis=(1, 2, 3)).min() > 60
            assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any()
    assert not np.array_equal(drawn["train"].inputs[:20], drawn["test"].inputs)


@pytest.mark.parametrize("task", ["fill", "hatch", "weight"])
def test_an_outline_lies_on_the_edge_of_its_glyph(few, task):
    """Nothing of the truth lies outside of the outline: the two were drawn with one geometry."""
    inputs, truths, _ = (part[..., 0] if part.ndim == 4 else part for part in pairs.draw(task, size=64))
    reach = inputs > 60
    for _ in range(3):  # the outline and what is within three pixels of it
        padded = np.pad(reach, ((0, 0), (1, 1), (1, 1)))
        reach = reach | padded[:, 2:, 1:-1] | padded[:, :-2, 1:-1] | padded[:, 1:-1, 2:] | padded[:, 1:-1, :-2]
    box = lambda ink: (ink.any(1).argmax(-1), ink.any(2).argmax(-1), ink.any(1)[:, ::-1].argmax(-1))
    for outside, inside in zip(box(reach), box(truths > 120), strict=True):
        assert (inside >= outside).all()


def test_the_weight_cannot_be_told_from_the_input(few):
    """Glyphs of another weight have the same inputs; their truths differ."""
    inputs, truths, _ = pairs.draw("weight", size=32, seed=1)
    narrow = glyphs.WEIGHT
    try:
        glyphs.WEIGHT = (narrow[0], narrow[0] + 1e-6)
        lightest = pairs.draw("weight", size=32, seed=1)
    finally:
        glyphs.WEIGHT = narrow
    near = np.abs(lightest.inputs.astype(int) - inputs).mean(axis=(1, 2, 3)) < 0.5
    assert near.mean() > 0.8  # but for a few that were made smaller, to fit when they are bold
    assert truths.mean() > 1.05 * lightest.truths.mean()


def test_stripes_have_any_place():
    white = np.full((200, 24, 24, 1), 255, np.uint8)
    stripes = pairs.hatched(white, 6, np.random.default_rng(0))
    assert (stripes == 0).mean() > 0.35 and (stripes == 255).mean() > 0.35
    np.testing.assert_array_equal(stripes[:, 1:, :-1], stripes[:, :-1, 1:])  # along a diagonal, nothing changes
    assert abs(stripes.mean(axis=0) / 255 - 0.5).max() < 0.15  # over all pictures, each pixel is white in half of them
    assert not pairs.hatched(0 * white, 6, np.random.default_rng(0)).any()


@pytest.mark.parametrize("arguments", [{"task": "erase"}, {"task": "fill", "split": "val"}])
def test_pairs_of_glyphs_that_cannot_be(arguments):
    with pytest.raises(DataError, match="There is no task .*choose fill, font"):
        pairs.draw(**arguments)


def test_channels_that_pictures_do_not_have():
    with pytest.raises(DataError, match="not 2"):
        pairs.draw("fill", channels=2)
