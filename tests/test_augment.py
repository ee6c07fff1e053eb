"""Augmentations: each by its formula, drawn for each sample and each time, gradients through them; published bugs.

That the layers obey every law, to second order, is in the law table (`rows_augment.py`).
"""

import copy

import laws
import numpy as np
import pytest
from laws import close, in_complex
from test_known_bugs import caught

from scratchgan import penalties
from scratchgan.gradcheck import complex_step
from scratchgan.layers import (
    Brightness,
    Contrast,
    Conv2d,
    Cutout,
    Dense,
    Flatten,
    RandomLinear,
    Sequential,
    Shift,
    Tanh,
    Warp,
)

KINDS = {"brightness": Brightness, "contrast": Contrast, "shift": Shift, "cutout": Cutout, "warp": Warp}
each_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind, seed=0, **options):
    return KINDS[kind](rng=np.random.default_rng(seed), **options)


def pictures(n=6, sides=(8, 6), seed=1):
    return np.random.default_rng(seed).standard_normal((n, *sides, 2))


# ---- by their formulas -----------------------------------------------------------------------------------


def test_brightness_and_contrast():
    x = pictures(n=500)
    y, (_, c) = made("brightness").forward(x)
    close(y, x + c[:, :, None, None], rtol=1e-12)
    assert -0.5 <= c.min() < -0.45 and 0.45 < c.max() <= 0.5
    y, (_, c) = made("contrast").forward(x)
    mean = x.mean((1, 2, 3), keepdims=True)
    close(y, mean + c[:, :, None, None] * (x - mean), rtol=1e-12)
    close(y.mean((1, 2, 3)), mean[:, 0, 0, 0], rtol=1e-12)
    assert 0.5 <= c.min() < 0.55 and 1.45 < c.max() <= 1.5


def moves_and_lets_zeros_in():
    x = pictures(n=300)
    y, (_, moves) = made("shift", limit=0.25).forward(x)
    assert set(moves[:, 0]) == {-2, -1, 0, 1, 2} and set(moves[:, 1]) == {-2, -1, 0, 1, 2}  # 1.5 of 6 is 2
    for n, (i, j) in enumerate(moves):
        expected = np.zeros_like(x[n])
        for h, w in np.ndindex(8, 6):
            if 0 <= h - i < 8 and 0 <= w - j < 6:
                expected[h, w] = x[n, h - i, w - j]
        assert (y[n] == expected).all()


def test_a_shift_moves_and_lets_zeros_in():
    moves_and_lets_zeros_in()


def test_a_cutout_is_one_rectangle():
    x = np.ones((400, 8, 6, 2))
    y, (_, centres) = made("cutout").forward(x)
    assert set(np.unique(y)) == {0, 1}
    sizes = (1 - y[..., 0]).sum((1, 2))
    assert sizes.max() == 4 * 3 and sizes.min() >= 2 * 2 - 2  # half of each side; at a corner a part of it
    for n, (i, j) in enumerate(centres):
        expected = np.ones((8, 6))
        expected[max(i - 2, 0) : i + 2, max(j - 1, 0) : max(j + 2, 0)] = 0
        assert (y[n, ..., 0] == expected).all()
    assert set(centres[:, 0]) == set(range(9)) and set(centres[:, 1]) == set(range(6))


def test_a_warp_of_a_right_angle_and_of_nothing():
    x = pictures(sides=(7, 7))
    turned = made("warp").apply(np.array([[np.pi / 2, 0.0]] * 6), x)
    close(turned, np.rot90(x, axes=(1, 2)), rtol=1e-12)  # anticlockwise
    assert (made("warp").apply(np.zeros((6, 2)), x) == x).all()
    twice = made("warp").apply(np.array([[0.0, 1.0]] * 6), x)
    close(twice[:, 1, 3], (x[:, 2, 3]), rtol=1e-12)  # 2 from the centre was 1 from it
    close(twice[:, 2, 3], (x[:, 2, 3] + x[:, 3, 3]) / 2, rtol=1e-12)


def test_a_warp_equals_pytorch():
    torch = pytest.importorskip("torch")
    x, layer = pictures(sides=(9, 7)), made("warp", limit=180.0, octaves=0.6)
    y, tape = layer.forward(x)
    angle, octaves = tape[1].T
    cos, sin = np.cos(angle) * 2.0**-octaves, np.sin(angle) * 2.0**-octaves
    zero, ratio = np.zeros_like(cos), 8 / 6  # grid_sample counts from -1 to 1 along each side
    theta = np.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], axis=1).reshape(-1, 2, 3)
    given = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    places = torch.nn.functional.affine_grid(torch.tensor(theta), given.shape, align_corners=True)
    theirs = torch.nn.functional.grid_sample(given, places, align_corners=True)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    theirs.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(y, theirs.detach().numpy().transpose(0, 2, 3, 1), atol=1e-12)
    np.testing.assert_allclose(layer.pull(tape, dy)[0], given.grad.numpy().transpose(0, 2, 3, 1), atol=1e-12)


# ---- who is augmented, and when --------------------------------------------------------------------------


def each_sample_has_its_own():
    """Of equal pictures come different ones; and others the next time, as for real and generated ones."""
    x = np.repeat(pictures(n=1, sides=(16, 16)), 40, axis=0)
    for kind in KINDS:
        layer = made(kind)
        y, again = layer.forward(x)[0], layer.forward(x)[0]
        assert len(np.unique(y.round(9), axis=0)) > 20, kind
        assert np.abs(y - again).max() > 0.01, kind


def test_each_sample_has_its_own():
    each_sample_has_its_own()


@each_kind
def test_some_of_the_samples(kind):
    x = pictures(n=1000, sides=(8, 8))
    layer = made(kind, p=0.3)

    def changed():
        y = layer.forward(x)[0]
        same = (y == x).all((1, 2, 3))
        return 1 - same.mean()

    few = 0.3 * made_share(kind)
    assert changed() == pytest.approx(few, abs=0.06)
    layer.p[...] = 0  # while a training runs
    assert changed() == 0
    layer.p[...] = 1
    assert changed() == pytest.approx(made_share(kind), abs=0.04)


def made_share(kind):
    """How many are changed where all are augmented: a shift by (0, 0) is one of nine."""
    return 8 / 9 if kind == "shift" else 1.0


@each_kind
def test_inference_is_the_identity(kind):
    layer, x = made(kind), pictures()
    before = layer.state()
    assert (layer(x) == x).all() and (layer.pull(layer.forward(x, train=False)[1], x)[0] == x).all()
    assert all((array == before[path]).all() for path, array in layer.state().items())


def test_one_probability_for_several_layers():
    """ADA moves one number, and a checkpoint holds it."""
    rng, p = np.random.default_rng(0), np.zeros((), dtype="float32")
    T = Sequential(Brightness(p=p, rng=rng), Shift(p=p, rng=rng))
    x = pictures().astype(np.float32)
    assert (T.forward(x)[0] == x).all()
    T.layers[0].p[...] = 1
    assert T.layers[1].p == 1 and "1.p" in T.state()
    assert not (T.forward(x)[0] == x).any()


def test_wrong_settings_are_refused():
    rng = np.random.default_rng(0)
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="Shift: p is .*, wanted a number from 0 to 1"):
            Shift(p=p, rng=rng)
    for kind in (Brightness, Contrast, Shift, Cutout, Warp):
        with pytest.raises(ValueError, match=f"{kind.__name__}: got -1, wanted a number above 0"):
            kind(-1, rng=rng)
    with pytest.raises(ValueError, match=r"Shift\(\): x has shape \(2, 3\), wanted pictures \(N, H, W, C\)"):
        Shift(rng=rng).forward(np.zeros((2, 3)))


# ---- gradients through them ------------------------------------------------------------------------------


def critic(*augmentations):
    rng = np.random.default_rng(3)
    D = Conv2d(2, 3, 3, rng=rng), Tanh(), Flatten(), Dense(3 * 6 * 4, 1, rng=rng)
    return Sequential(*augmentations, *D).astype(np.float64)


def all_kinds():
    return [made(kind, seed=index) for index, kind in enumerate(KINDS)]


def r1_through_them_is_exact():
    """R1 at x of D(T(x)): the gradient of every Param, against a complex step with the same draws."""
    D, x = critic(*all_kinds()), pictures()
    own = copy.deepcopy(D)
    penalties.r1(own, x)
    for path, param in own.named_params().items():
        v = np.random.default_rng(0).standard_normal(param.value.shape)

        def value(W, path=path):
            wide = in_complex(D)
            wide.named_params()[path].value[...] = W
            return penalties.r1(wide, x + 0j)

        expected = complex_step(value, param.value, v)
        scale = np.abs(param.grad * v).sum() + 1e-12
        assert abs((param.grad * v).sum() - expected) <= 1e-11 * scale, path


def test_r1_through_augmentations():
    r1_through_them_is_exact()


def test_the_gradient_of_a_generator_comes_through_them():
    D, x = critic(*all_kinds()), pictures()
    laws.agrees_with_differences(D, x, np.random.default_rng(0))


# ---- bugs ------------------------------------------------------------------------------------------------


def test_one_draw_for_a_whole_batch_is_caught(monkeypatch):
    right = RandomLinear.numbers
    one = lambda self, shape: np.repeat(right(self, (1, *shape[1:])), shape[0], axis=0)
    monkeypatch.setattr(RandomLinear, "numbers", one)
    caught(each_sample_has_its_own)


@each_kind
def test_drawn_again_in_backward_is_caught(monkeypatch, kind):
    def again(self, tape, dy):
        return self.adjoint(self.numbers(tape[0]), dy), None

    monkeypatch.setattr(RandomLinear, "pull", again)
    arguments = made(kind).astype(np.float64), pictures(), np.random.default_rng(0)
    if kind == "brightness":  # whose adjoint is the identity, whatever is drawn
        laws.adjoint_in_x(*arguments)
    else:
        caught(laws.adjoint_in_x, *arguments)
        caught(laws.one_tape_serves_twice, *arguments)


def test_a_shift_that_wraps_around_is_caught(monkeypatch):
    def rolled(self, numbers, x):
        return np.stack([np.roll(one, tuple(move), axis=(0, 1)) for one, move in zip(x, numbers, strict=True)])

    monkeypatch.setattr(Shift, "apply", rolled)
    laws.adjoint_in_x(made("shift"), pictures(), np.random.default_rng(0))  # a permutation, and a right gradient
    caught(moves_and_lets_zeros_in)


def test_a_gradient_that_does_not_come_back_through_them_is_caught(monkeypatch):
    monkeypatch.setattr(RandomLinear, "pull", lambda self, tape, dy: (dy, None))
    caught(test_the_gradient_of_a_generator_comes_through_them)


def test_a_second_order_that_forgets_them_is_caught(monkeypatch):
    monkeypatch.setattr(RandomLinear, "double_backward", lambda self, tape, kept, ddx: (ddx, None))
    caught(r1_through_them_is_exact)


def test_a_constant_in_the_second_order_is_caught(monkeypatch):
    """ddy = A ddx + c: the derivative of y, not of its linear part."""
    right = RandomLinear.double_backward

    def with_constant(self, tape, kept, ddx):
        ddy, bend = right(self, tape, kept, ddx)
        c = self.constant(tape[1])
        return ddy if c is None else ddy + c, bend

    monkeypatch.setattr(RandomLinear, "double_backward", with_constant)
    caught(r1_through_them_is_exact)


def test_augmented_in_inference_is_caught(monkeypatch):
    right = RandomLinear.forward
    monkeypatch.setattr(RandomLinear, "forward", lambda self, x, train=True: right(self, x, True))
    caught(test_inference_is_the_identity, "shift")


def test_a_probability_for_a_whole_batch_is_caught(monkeypatch):
    def all_or_none(self, shape):
        chosen = self.rng.random() < self.p
        return np.where(chosen, self.draw(shape), self.neutral)

    monkeypatch.setattr(RandomLinear, "numbers", all_or_none)
    caught(test_some_of_the_samples, "contrast")
