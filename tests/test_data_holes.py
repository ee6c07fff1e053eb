"""A hole in the middle of pictures: where it is, what it hides, and what is refused."""

import numpy as np
import pytest

from scratchgan.data.holes import hide, middle
from scratchgan.support.errors import DataError


@pytest.mark.parametrize(("side", "hole"), [(28, 14), (28, 16), (9, 3), (8, 8), (1, 1)])
def test_a_hole_is_in_the_middle(side, hole):
    mask = np.zeros((2, side, side, 1), bool)
    mask[middle(side, hole)] = True
    assert mask.sum() == 2 * hole**2
    for other in (mask[:, ::-1], mask[:, :, ::-1], mask.swapaxes(1, 2)):
        np.testing.assert_array_equal(other, mask)


def test_what_is_hidden_is_gone_and_the_rest_stays():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 10, 10, 3), dtype=np.uint8)
    before = images.copy()
    hidden = hide(images, 4, np.array([10.4, 20.6, 30.0]))
    np.testing.assert_array_equal(images, before)
    assert (hidden[:, 3:7, 3:7] == (10, 21, 30)).all()
    around = np.ones((10, 10), bool)
    around[3:7, 3:7] = False
    np.testing.assert_array_equal(hidden[:, around], images[:, around])
    assert hidden.dtype == np.uint8


@pytest.mark.parametrize(("side", "hole", "words"), [
    (28, 30, "no place in the middle"), (28, 13, "no place in the middle"), (28, 0, "side of a hole"),
])  # fmt: skip
def test_a_hole_that_does_not_fit(side, hole, words):
    with pytest.raises(DataError, match=words):
        middle(side, hole)


def test_pictures_that_are_not_square():
    with pytest.raises(DataError, match="square pictures"):
        hide(np.zeros((1, 8, 10, 1), np.uint8), 4, np.zeros(1))


@pytest.mark.parametrize("colour", [[1.0, 2.0], [0.0, 0.0, 256.0], [-1.0, 0.0, 0.0], [0.0, np.nan, 0.0], 3.0])
def test_a_colour_that_is_none(colour):
    with pytest.raises(DataError, match="A colour is 3 numbers from 0 to 255, not"):
        hide(np.zeros((1, 8, 8, 3), np.uint8), 4, colour)
