"""FiLM and the adaptive norm that is made of it: their derivatives as docs/font_style.md has them, and bugs planted."""

import numpy as np
from test_known_bugs import caught

from scratchgan.layers import Conditional, FiLM, InstanceNorm


def adaptive(channels=3, features=2, eps=1e-12):
    rng = np.random.default_rng(0)
    film = FiLM(features, channels, rng=rng)
    for dense in (film.gain, film.shift):
        dense.W.value[...] = rng.standard_normal(dense.W.value.shape)
        dense.b.value[...] = rng.standard_normal(channels)
    layer = Conditional(InstanceNorm(channels, eps=eps, affine=False), film).astype(np.float64)
    return layer, film, rng.standard_normal((2, 4, 5, channels)), rng.standard_normal((2, features))


def statistics_are_the_styles():
    """The mean over the positions is h(s), the deviation |1 + g(s)|; both divide by n."""
    layer, film, x, s = adaptive()
    y = layer((x, s))
    gain, shift = (s @ dense.W.value + dense.b.value for dense in (film.gain, film.shift))
    np.testing.assert_allclose(y.mean(axis=(1, 2)), shift, atol=1e-10)
    np.testing.assert_allclose(y.std(axis=(1, 2)), np.abs(1 + gain), rtol=1e-10)


def test_statistics_are_the_styles():
    statistics_are_the_styles()


def starts_as_the_identity():
    film = FiLM(2, 3, rng=np.random.default_rng(0))
    x, s = np.random.default_rng(1).standard_normal((4, 5, 3)), np.ones((4, 2))
    np.testing.assert_array_equal(film.astype(np.float64)((x, s)), x)


def test_starts_as_the_identity():
    starts_as_the_identity()


def the_derivatives_are_those_of_the_page():
    """First and second order of FiLM, as docs/font_style.md has them."""
    rng = np.random.default_rng(0)
    _, film, x, s = adaptive()
    A, B = film.gain.W.value.astype(float), film.shift.W.value.astype(float)
    a = film.gain.b.value.astype(float)
    film.astype(np.float64)
    dy, ddx, dds = (rng.standard_normal(shape) for shape in (x.shape, x.shape, s.shape))
    gain = 1 + s @ A + a  # (N, C)
    over = lambda part: part.sum(axis=(1, 2))
    at = lambda part: part[:, None, None, :]
    _, tape = film.forward((x, s))
    (dx, ds), kept = film.pull(tape, dy)
    close = lambda got, wanted: np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)
    close(dx, at(gain) * dy)
    close(ds, over(x * dy) @ A.T + over(dy) @ B.T)
    film.accumulate(tape, dy)
    close(film.gain.W.grad, s.T @ over(x * dy))
    close(film.gain.b.grad, over(x * dy).sum(0))
    close(film.shift.W.grad, s.T @ over(dy))
    for param in film.params():
        param.grad[...] = 0
    ddy, (bend_x, bend_s) = film.double_backward(tape, kept, (ddx, dds))
    close(ddy, at(gain) * ddx + at(dds @ A) * x + at(dds @ B))
    close(bend_x, at(dds @ A) * dy)
    close(bend_s, over(ddx * dy) @ A.T)
    close(film.gain.W.grad, dds.T @ over(x * dy) + s.T @ over(ddx * dy))
    close(film.gain.b.grad, over(ddx * dy).sum(0))
    close(film.shift.W.grad, dds.T @ over(dy))


def test_the_derivatives_are_those_of_the_page():
    the_derivatives_are_those_of_the_page()


# ---- errors that others have made ------------------------------------------------------------------------


def test_a_variance_with_one_less(monkeypatch):
    """Variance divided by n - 1 in one place, by n in the other."""
    forward = InstanceNorm.forward

    def unbiased(self, x, train=True):
        y, tape = forward(self, x, train)
        n = x.shape[1] * x.shape[2]
        return y * np.sqrt((n - 1) / n), tape

    monkeypatch.setattr(InstanceNorm, "forward", unbiased)
    caught(statistics_are_the_styles)


def test_a_gain_without_its_one(monkeypatch):
    """g(s) x + h(s): with g and h of zeros, nothing comes through."""
    forward = FiLM.forward

    def without(self, pair, train=True):
        y, tape = forward(self, pair, train)
        return y - pair[0], tape

    monkeypatch.setattr(FiLM, "forward", without)
    caught(starts_as_the_identity)
    caught(statistics_are_the_styles)
