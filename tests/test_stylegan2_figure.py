"""`docs/figures/stylegan2.py`: which factors follow which styles, and how long paths are."""

import runpy
from unittest import mock

import numpy as np
import pytest
from test_examples import PATHS, start

from scratchgan.layers import Dense, Flatten, Reshape, Sequential

FIGURE = runpy.run_path(str(PATHS["stylegan2"].parents[2] / "docs" / "figures" / "stylegan2.py"))


def test_factors_follow_the_styles_that_carry_them(monkeypatch):
    """Of pictures whose i-th factor is the i-th style, and whose class is told by the first."""
    monkeypatch.setitem(FIGURE["followed"].__globals__, "N", 800)
    model = mock.Mock(styles=6, latent=lambda n, rng: rng.standard_normal((n, 6, 9)), styles_of=lambda z: z)
    model.pictures = lambda styles: styles
    reader = mock.Mock(read=lambda styles: styles[:, :, 0])
    reader.net.predict = lambda styles: styles[:, 0].argmax(axis=1)
    found = FIGURE["followed"](model, reader, np.random.default_rng(0))
    expected = [[i < k for i in range(6)] + [1, 0] for k in range(1, 6)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_reader_knows_what_it_reads(monkeypatch):
    """Of the places of ink; what is read is what is true, for glyphs that it has not seen."""
    monkeypatch.setitem(FIGURE["Reader"].__init__.__globals__, "N", 500)
    sums = lambda images: np.concatenate([images.mean((2, 3)), images.mean((1, 3))], axis=1) / 50
    reader = FIGURE["Reader"](mock.Mock(features=sums))
    explained = dict(zip(FIGURE["FACTORS"], reader.explained, strict=True))
    assert explained["shift_x"] > 0.8 and explained["shift_y"] > 0.8 and explained["weight"] < 0.8


def test_paths_are_measured_in_both_spaces():
    """A straight line in w through a linear body: its length is the distance of its ends, whatever the steps."""
    model, _ = start("stylegan2")
    weights = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    model.drawn = lambda styles: styles[:, 0].astype(np.float64)
    net = mock.Mock(body=lambda w: w @ weights)
    in_z, in_w, least = FIGURE["lengths"](model, net)
    rng = np.random.default_rng(0)
    a, b = (model.f_average.net(model.latent(2000, rng)) @ weights for _ in range(2))
    assert in_w == pytest.approx(((a - b) ** 2).sum(1).mean(), rel=0.02)  # steps of 1e-4, in float32
    assert in_z > in_w == pytest.approx(least, rel=0.02)  # no path is shorter than a straight one
    net.body = lambda w: (w @ weights) ** 3  # the same line, bent
    _, in_w, least = FIGURE["lengths"](model, net)
    assert in_w > 1.2 * least


def test_what_the_penalty_sees():
    """|J^T y|, the root of the mean over styles, of a generator that is a matrix: longhand."""
    model, _ = start("stylegan2")
    dense = Dense(model.styles * 64, 16, rng=np.random.default_rng(1))
    model.g_average = mock.Mock(net=Sequential(Flatten(), dense, Reshape(4, 4, 1)))
    rng, lengths = np.random.default_rng(0), []
    for _ in range(20):
        model.latent(100, rng)
        g = rng.standard_normal((100, 4, 4, 1)).reshape(100, 16) / 4 @ dense.W.value.T
        lengths.append(np.sqrt((g.reshape(100, model.styles, 64) ** 2).sum(2).mean(1)))
    assert FIGURE["slopes"](model) == pytest.approx((np.mean(lengths), np.std(lengths)), rel=1e-4)
