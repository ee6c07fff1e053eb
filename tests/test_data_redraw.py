"""The very same glyphs once more: in another face, as outlines, at another size; whole, and in the same place."""

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from scratchgan.data import glyphs
from scratchgan.support.errors import DataError

sizes = st.sampled_from([8, 9, 16, 28, 32, 56])
characters = st.sets(st.sampled_from("0123456789"), min_size=1, max_size=10).map(sorted).map("".join)
faces = st.integers(0, len(glyphs.FACES) - 1)
widths = st.floats(0.1, 3.0)


def same_factors(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@draws(20)
@given(sizes, characters, st.integers(0, 99))
def test_the_factors_of_a_picture_draw_it_again(size, characters, seed):
    loaded = glyphs.load(40, size=size, characters=characters, seed=seed)
    again = glyphs.redraw(loaded.factors, size=size, characters=characters)
    np.testing.assert_array_equal(again.images, loaded.images)
    np.testing.assert_array_equal(again.labels, loaded.labels)
    assert again.names == loaded.names
    same_factors(again.factors, loaded.factors)
    some = {name: values[5:9] for name, values in loaded.factors.items()}  # each picture by its own factors alone
    np.testing.assert_array_equal(glyphs.redraw(some, size=size, characters=characters).images, loaded.images[5:9])


def test_factors_that_are_given_stay_as_they_are():
    factors = glyphs.load(50, seed=1).factors
    before = {name: values.copy() for name, values in factors.items()}
    drawn = glyphs.redraw(factors, font=3, outline=2.0, softness=3.0)
    same_factors(factors, before)
    assert not np.array_equal(drawn.factors["scale"], before["scale"]) and (drawn.factors["font"] == 3).all()
    drawn.labels[0] += 1  # what comes out shares nothing with it, either
    assert drawn.factors["class"][0] == before["class"][0]


@draws(30)
@given(sizes, characters, st.integers(0, 99), faces, widths, st.floats(0.3, 3.0))
def test_no_stroke_is_cut_off(size, characters, seed, font, outline, softness):
    """Whatever face, line and edge are asked for of factors that have no room for them: they are made smaller."""
    factors = glyphs.load(40, size=size, characters=characters, seed=seed).factors
    for width in (None, outline * size / 28):
        options = {"size": size, "characters": characters, "font": font, "outline": width, "softness": softness}
        try:
            drawn = glyphs.redraw(factors, **options)
        except DataError as refused:  # what no margin has room for; at 28 x 28, three pixels of line and edge are fine
            assert "too far for" in str(refused) and size < 28
            continue
        images = drawn.images[..., 0]
        assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any()
        assert (drawn.factors["scale"] <= factors["scale"]).all() and (drawn.factors["scale"] > 0).all()


@draws(20)
@given(st.sampled_from([16, 28, 56]), characters, st.integers(0, 99), st.lists(faces, max_size=3), st.floats(0.1, 2.0))
def test_room_for_every_drawing(size, characters, seed, fonts, outline):
    """Factors that were drawn for some faces and a line serve all of them as they are: drawings lie on each other."""
    options = {"size": size, "characters": characters}
    line = outline * size / 28
    factors = glyphs.draw_factors(30, seed=seed, fonts=fonts, outline=line, **options)
    for font in (None, *fonts):
        for width in (None, line):
            drawn = glyphs.redraw(factors, font=font, outline=width, **options)
            own = factors if font is None else factors | {"font": np.full(30, font)}
            same_factors(drawn.factors, own)


def test_without_room_the_geometry_differs():
    """Why `draw_factors` is told what will be drawn: a wide face makes large glyphs smaller."""
    factors = glyphs.draw_factors(200, seed=0)
    wide = glyphs.FACES.index("DejaVuSansMono-Bold")
    assert not np.array_equal(glyphs.redraw(factors, font=wide, outline=2.0).factors["scale"], factors["scale"])


def test_draw_factors_without_more_is_what_load_draws():
    for seed in (0, [3, 1]):
        same_factors(glyphs.draw_factors(60, seed=seed), glyphs.load(60, seed=seed).factors)


@draws(20)
@given(st.integers(0, 99), st.floats(0.3, 2.5), st.floats(0.8, 2.0))
def test_an_outline_follows_the_distance_to_the_edge(seed, outline, softness):
    """Where a filled glyph is grey, its distance d to the edge is known: a line is 1/2 - (|d| - w / 2) / softness."""
    factors = glyphs.draw_factors(40, size=32, seed=seed, outline=outline + 2)
    filled, lined = (glyphs.redraw(factors, size=32, outline=width, softness=softness).images.astype(float) / 255
                     for width in (None, outline))  # fmt: skip
    grey = (filled > 0.02) & (filled < 0.98)
    assert grey.mean() > 0.05
    d = (0.5 - filled) * softness
    expected = np.clip(0.5 - (np.abs(d) - outline / 2) / softness, 0, 1)
    assert np.abs(lined - expected)[grey].max() < 2.1 / 255  # both are rounded
    # Far from the edge there is no line: in black and in white pixels that have no grey beside them.
    if softness > 1.5 and outline + softness < 3.9:
        far = np.pad(grey, ((0, 0), (2, 2), (2, 2), (0, 0)))
        near = np.any([far[:, i : i + 32, j : j + 32] for i in range(5) for j in range(5)], axis=0)
        assert lined[~near].max() == 0


def test_the_ink_of_a_line_grows_with_its_width():
    """It is the width times the length of the edge, as long as the two sides of a stroke do not meet."""
    factors = glyphs.draw_factors(100, size=112, characters="IOLTHZ", seed=2, outline=6)
    factors["font"][:] = glyphs.FACES.index("DejaVuSans-Bold")
    ink = [glyphs.redraw(factors, size=112, characters="IOLTHZ", outline=w).images.mean(axis=(1, 2, 3)) for w in (2, 4)]
    np.testing.assert_allclose(ink[1] / ink[0], 2, rtol=0.03)


@draws(10)
@given(characters, st.integers(0, 99), st.sampled_from([2, 3, 4]))
def test_enlarged_glyphs_are_the_same_glyphs(characters, seed, times):
    """A picture of so many times the size, averaged over squares, is the small picture, but for aliasing."""
    factors = glyphs.draw_factors(30, size=16, characters=characters, seed=seed)
    large = glyphs.enlarged(factors, times)
    options = {"size": 16 * times, "characters": characters}
    drawn = glyphs.redraw(large, **options)
    same_factors(drawn.factors, large)
    soft = glyphs.redraw(large, softness=glyphs.SOFTNESS * times, **options).images.astype(float)
    small = glyphs.redraw(factors, size=16, characters=characters).images.astype(float)
    averaged = soft.reshape(30, 16, times, 16, times, 1).mean(axis=(2, 4))
    assert np.corrcoef(averaged.ravel(), small.ravel())[0, 1] > 0.99
    sharp = drawn.images.astype(float)
    assert np.abs(np.diff(sharp, axis=2)).max() > np.abs(np.diff(soft, axis=2)).max()


def test_a_face_for_each_picture():
    factors = glyphs.draw_factors(20, seed=0, fonts=range(20))
    each = glyphs.redraw(factors, font=np.arange(20))
    for i in range(20):
        np.testing.assert_array_equal(each.images[i], glyphs.redraw(factors, font=i).images[i])


def test_another_weight_moves_the_edges():
    factors = glyphs.draw_factors(50, size=32, seed=0, outline=4)
    thin, bold = (glyphs.redraw(factors | {"weight": factors["weight"] + by}, size=32).images for by in (0, 0.5))
    assert (bold >= thin).all() and bold.mean() > 1.1 * thin.mean()


# ---- bad input -------------------------------------------------------------------------------------------


def without(*names):
    return lambda factors: {name: values for name, values in factors.items() if name not in names}


@pytest.mark.parametrize("change, words", [
    (without("font", "scale"), "lack font, scale"),
    (lambda factors: factors | {"shear": factors["shear"][:3]}, "of one length"),
    (lambda factors: {name: values[0] for name, values in factors.items()}, "arrays \\(n,\\)"),
    (lambda factors: {name: values[:0] for name, values in factors.items()}, "1 or more; it is 0"),
    (lambda factors: factors | {"class": factors["class"] + 5}, "of other characters than the 10"),
    (lambda factors: factors | {"font": factors["font"] + 15}, "index into FACES, from 0 to 19"),
    (lambda factors: factors | {"shift_x": factors["shift_x"] * np.nan}, "finite numbers, and shift_x has others"),
    (lambda factors: factors | {"angle": factors["angle"] + np.inf}, "finite numbers, and angle"),
    (lambda factors: factors | {"weight": ["bold"] * 40}, "finite numbers, and weight"),
    (lambda factors: factors | {"scale": factors["scale"] - 1}, "scale of a glyph is above 0"),
    (lambda factors: factors | {"weight": factors["weight"] + 20}, "too far for 28 x 28"),
])  # fmt: skip
def test_factors_that_cannot_be_drawn(change, words):
    with pytest.raises(DataError, match=words) as caught:
        glyphs.redraw(change(glyphs.draw_factors(40)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments, words", [
    ({"font": 20}, "from 0 to 19, not 20"), ({"font": -1}, "not -1"), ({"font": 0.5}, "not 0.5"),
    ({"outline": 0}, "width of an outline .*it is 0"), ({"outline": -1.0}, "it is -1"),
    ({"outline": float("nan")}, "it is nan"), ({"softness": 0}, "softness of an edge"),
    ({"softness": float("inf")}, "it is inf"), ({"outline": 12.0}, "reach 6[.]83 pixels .*too far for 28 x 28"),
    ({"font": [1, 2]}, "or one for each of the 20, not 2"), ({"font": []}, "not 0"), ({"font": "a"}, "index into"),
    ({"font": [[1]]}, "index into FACES"), ({"size": 7}, "8 or more"), ({"characters": "é"}, "not 'é'"),
    ({"characters": "01"}, "of other characters than the 2 of '01'"),
])  # fmt: skip
def test_drawings_that_cannot_be(arguments, words):
    with pytest.raises(DataError, match=words):
        glyphs.redraw(glyphs.draw_factors(20), **arguments)


@pytest.mark.parametrize("arguments, words", [({"n": 0}, "it is 0"), ({"fonts": (3, 20)}, "from 0 to 19"),
                                              ({"size": 5}, "8 or more"), ({"characters": ""}, "one"),
                                              ({"outline": -1}, "width of an outline"), ({"outline": 99}, "too far"),
                                              ({"outline": float("nan")}, "it is nan"),
                                              ({"fonts": [[1, 2]]}, "index into FACES")])  # fmt: skip
def test_factors_that_cannot_be(arguments, words):
    with pytest.raises(DataError, match=words):
        glyphs.draw_factors(**({"n": 5} | arguments))


@pytest.mark.parametrize("times", [0, -1, float("nan"), float("inf")])
def test_sizes_that_glyphs_cannot_be_enlarged_to(times):
    with pytest.raises(DataError, match="times that glyphs are enlarged must be a positive number"):
        glyphs.enlarged(glyphs.draw_factors(3), times)


def test_factors_of_whole_numbers_of_any_type():
    factors = glyphs.draw_factors(20)
    floats = {name: values.astype(np.float64) for name, values in factors.items()}
    drawn = glyphs.redraw(floats)
    np.testing.assert_array_equal(drawn.labels, factors["class"])
    assert drawn.labels.dtype == drawn.factors["font"].dtype == np.int64
    same_factors(glyphs.draw_factors(20, fonts=3), glyphs.draw_factors(20, fonts=[3]))
