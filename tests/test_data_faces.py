"""Glyphs whose face other glyphs tell of: what is held out, what belongs together, and what is refused."""

import numpy as np
import pytest
from test_known_bugs import caught

from scratchgan.data import faces, glyphs
from scratchgan.support.errors import DataError

LAST = len(faces.SPLITS)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(glyphs, "CHARACTERS", "0123456789")


def test_no_two_splits_share_a_character_of_a_face():
    tables = np.array([faces.members(split) for split in faces.SPLITS])
    assert tables.shape == (4, 62, 20) and tables.sum(axis=0).max() == 1
    train, pairs, characters, others = tables
    new = [glyphs.CHARACTERS.index(character) for character in faces.NEW_CHARACTERS]
    assert len(new) == 10 and len(faces.NEW_FACES) == 4
    assert not train[new].any() and not pairs[new].any() and characters.any(axis=1).sum() == 10
    faces_of = lambda table: {glyphs.FACES[f] for f in np.flatnonzero(table.any(axis=0))}
    assert faces_of(others) == set(faces.NEW_FACES) and not faces_of(train) & faces_of(others)
    assert faces_of(pairs) == faces_of(characters) == faces_of(train) and len(faces_of(train)) == 15
    assert not tables[:, :, faces.PLAIN].any()  # its style would be the identity
    assert (train.sum(axis=1)[np.setdiff1d(np.arange(62), new)] > 0).all()  # each other character is seen
    assert pairs.sum() / (pairs | train).sum() == pytest.approx(1 / 8, abs=0.01)


@pytest.mark.parametrize("split", faces.SPLITS)
def test_glyphs_are_of_their_split(few, split):
    drawn = faces.load(60, split=split, styles=3, size=12)
    assert drawn.truths.shape == (60, 12, 12, 1) and drawn.inputs.shape == (60, 12, 12, 4)
    assert drawn.truths.dtype == drawn.inputs.dtype == np.uint8
    assert faces.members(split)[drawn.characters, drawn.faces].all()
    assert len(np.unique(drawn.faces)) > 2 and len(np.unique(drawn.characters)) >= 2


def style_glyphs_are_other_characters_of_the_face():
    """All different, none the character itself, and each known in this face: or content would leak through them."""
    rng = np.random.default_rng(0)
    for split in faces.SPLITS:
        pairs = np.argwhere(faces.members(split))
        characters, f = pairs[rng.integers(len(pairs), size=300)].T
        shown = faces.others(characters, f, 4, rng)
        assert shown.shape == (300, 4) and (shown != characters[:, None]).all()
        assert all(len(set(row)) == 4 for row in shown.tolist())
        known = faces.members("new faces" if split == "new faces" else "train")
        assert known[shown, f[:, None]].all()


def test_style_glyphs_are_other_characters_of_the_face():
    style_glyphs_are_other_characters_of_the_face()


def test_the_same_character_among_the_style_glyphs(monkeypatch):
    right = faces.others

    def leaking(characters, f, count, rng):
        return np.concatenate([right(characters, f, count - 1, rng), characters[:, None]], axis=1)

    monkeypatch.setattr(faces, "others", leaking)
    caught(style_glyphs_are_other_characters_of_the_face)


def test_a_glyph_and_its_plain_form_are_one_glyph(few, monkeypatch):
    """In the plain face, truth and content would be the same picture."""
    only = np.zeros((10, 20), bool)
    only[:, faces.PLAIN] = True
    monkeypatch.setattr(faces, "members", lambda split: only)
    drawn = faces.load(40, styles=2)
    np.testing.assert_array_equal(drawn.truths, drawn.inputs[..., :1])
    assert (drawn.inputs[..., 1] != drawn.inputs[..., 0]).any(axis=(1, 2)).all()


def test_style_glyphs_are_drawn_in_the_wanted_face(few, monkeypatch):
    """As `glyphs.redraw` was told, one call for each of them."""
    asked, redraw = [], glyphs.redraw

    def watched(factors, font=None, **options):
        asked.append((np.array(factors["class"]), np.broadcast_to(font, len(factors["class"]))))
        assert not factors["angle"].any() and not factors["shear"].any()  # all stand upright
        return redraw(factors, font=font, **options)

    monkeypatch.setattr(glyphs, "redraw", watched)
    drawn = faces.load(30, split="new characters", styles=3)
    (_, room), (character, face), (_, plain), *shown = asked
    assert (room == faces.PLAIN).all() and (plain == faces.PLAIN).all()
    assert (character == drawn.characters).all() and (face == drawn.faces).all()
    assert len(shown) == 3
    for other, font in shown:
        assert (font == drawn.faces).all() and (other != drawn.characters).all()


def test_the_same_seed_draws_the_same(few):
    first, again, other = (faces.load(8, styles=2, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.truths != other.truths).any()


@pytest.mark.parametrize("options, message", [
    ({"split": "test"}, "There is no split 'test' of glyphs in faces: train, new pairs, new characters, new faces."),
    ({"styles": 0}, "The number of style glyphs must be a whole number, 1 or more; it is 0."),
    ({"styles": 60}, "There are no 60 other characters of each face to tell of it."),
    ({"n": 0}, "The number of pictures must be a whole number, 1 or more; it is 0."),
    ({"size": 4}, "The size of a glyph's picture must be a whole number, 8 or more; it is 4."),
])  # fmt: skip
def test_what_cannot_be_drawn(few, options, message):
    with pytest.raises(DataError) as raised:
        faces.load(**{"n": 3, "styles": 1} | options)
    assert str(raised.value) == message
