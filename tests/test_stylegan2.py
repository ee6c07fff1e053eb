"""StyleGAN2: its games by the formulas, through g and into f; which style goes where; its commands; bugs, planted."""

import copy
import runpy
import sys
from functools import partial

import numpy as np
import pytest
from objectives import log_sigmoid
from PIL import Image
from test_examples import EXAMPLES, PATHS, start, told_to_D
from test_known_bugs import caught
from test_sagan import plant

from scratchgan import penalties
from scratchgan.examples.styles import stylegan2
from scratchgan.layers import Blur, MinibatchStd, ModulatedConv2d, Residual, Sequential, Tanh, Upsample
from scratchgan.training import styled
from scratchgan.weights import Equalized

GAN = stylegan2.StyleGAN2
NETS = ("f", "g", "D")
A = 0.1  # the mean of earlier path lengths


def begin(**more):
    """Return a model and its real samples; noise has a strength, so that its gradient is not forgotten."""
    model, batches = start("stylegan2", **more)
    for path, param in model.g.named_params().items():
        if path.endswith("strength"):
            param.value[...] = 0.3
    model.path_length.mean[...], model.path_length.calls = A, 10**6
    return model, told_to_D(model, batches)[0]


# ---- the games -------------------------------------------------------------------------------------------


def copies(model, dtype):
    """Return copies of the three networks in a dtype, and of the generator that their noise shares with z."""
    nets = copy.deepcopy({name: getattr(model, name) for name in NETS} | {"rng": model.rng})
    return {name: net.astype(dtype) if name in NETS else net for name, net in nets.items()}


def handed_over(model, step, *told):
    """Return what a step leaves to the three optimizers, {net: grads}, and what it returns, in float64."""
    nets = copies(model, np.float64)
    for name, net in nets.items():
        setattr(model, name, net)
    model.noise = lambda n: model.latent(n, model.rng).astype(np.float64)
    for optimizer in (model.opt_f, model.opt_g, model.opt_D):
        optimizer.step = lambda: None
    said = getattr(model, step)(*told)
    return {name: [param.grad for param in nets[name].params()] for name in NETS}, said


def styles(model, f, n, rng):
    """Two w a sample; style by style, which of the two it is."""
    w = f.forward(model.latent(2 * n, rng).astype(complex))[0]
    cut, single = rng.integers(1, 6, n), rng.random(n) >= model.settings.mixing
    return np.stack([
        np.stack([w[k] if single[k] or i < cut[k] else w[n + k] for i in range(6)]) for k in range(n)
    ])  # fmt: skip


def discriminator(model, f, g, D, rng, real):
    fake = g.forward(styles(model, f, len(real), rng))[0]
    return -(log_sigmoid(D.forward(real)[0]).mean() + log_sigmoid(-D.forward(fake)[0]).mean())


def generator(model, f, g, D, rng, n):
    return -log_sigmoid(D.forward(g.forward(styles(model, f, n, rng))[0])[0]).mean()


def slope(model, f, g, D, rng, real, times):
    score, tape = D.forward(real)
    gradient, _ = D.pull(tape, np.ones_like(score))
    return times * 1.0 / 2 * (gradient**2).sum() / len(real)


def path(model, f, g, D, rng, n, times):
    pictures, tape = g.forward(styles(model, f, n, rng))
    y = rng.standard_normal(pictures.shape) / 28
    gradient, _ = g.pull(tape, y.astype(complex))  # (N, 6, latent)
    lengths = np.sqrt((gradient**2).sum((1, 2)) / 6)
    before = float(np.float32(A))
    a = np.float32(before + 0.01 * (lengths.real.mean() - before))  # a number, as far as the gradient knows
    return times * 2.0 * ((lengths - float(a)) ** 2).mean()


STEPS = {  # what learns, and the formula that it descends
    "discriminator_step": (("D",), discriminator), "slope_step": (("D",), slope),
    "generator_step": (("f", "g"), generator), "path_step": (("f", "g"), path),
}  # fmt: skip


def follows(step):
    """All grads that a step hands over, along random directions of all that learns at once."""
    model, real = begin()
    told = {"discriminator_step": [real], "slope_step": [real, 16]}.get(step, [8, 4][: 1 + (step == "path_step")])
    wide = lambda part, dtype: part.astype(dtype) if isinstance(part, np.ndarray) else part
    players, formula = STEPS[step]
    held, untouched = copies(model, complex), copy.deepcopy(model.path_length)
    grads, said = handed_over(model, step, *[wide(part, np.float64) for part in told])
    assert not any(grad.any() for name in set(NETS) - {*players} for grad in grads[name])
    assert untouched.mean == np.float32(A)
    rng = np.random.default_rng(0)
    for _ in range(2):
        nets, terms = copy.deepcopy(held), []
        for name in players:
            for param, grad in zip(nets[name].params(), grads[name], strict=True):
                v = rng.standard_normal(param.value.shape)
                param.value[...] += 1e-20j * v
                terms.append((grad * v).sum())
        loss = formula(model, *[nets[name] for name in NETS], nets["rng"], *[wide(part, complex) for part in told])
        assert abs(said - loss.real) < 1e-9 * abs(loss)
        assert abs(sum(terms) - loss.imag / 1e-20) < 1e-9 * sum(map(abs, terms))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_follows_the_formula(step):
    follows(step)


def penalties_are_taken_in_turn():
    """R1 in steps 0, 16 and 32, path lengths in every fourth step; as many times as strong; and all nets learn."""
    model, batches = start("stylegan2")
    taken = {"slope_step": [], "path_step": []}
    for name, calls in taken.items():
        own = getattr(model, name)
        setattr(model, name, lambda x, times, own=own, calls=calls: calls.append((model.taken, times)) or own(x, times))
    for _ in range(33):
        printed = model.step(batches)
    assert taken["slope_step"] == [(step, 16) for step in (0, 16, 32)]
    assert taken["path_step"] == [(step, 4) for step in range(0, 33, 4)]
    assert (model.opt_D.steps, model.opt_f.steps, model.opt_g.steps) == (36, 42, 42)
    assert all(np.isfinite(float(value)) for value in printed.values()) and set(printed) == {"D", "G", "R1", "path"}


def test_penalties_are_taken_in_turn():
    penalties_are_taken_in_turn()


def adam_is_corrected():
    """n steps of which each is n / (n + 1) as long, and forgets so much less, are one step: the authors' code."""
    model, _ = start("stylegan2")
    for optimizer, lr, every in ((model.opt_f, 1e-4, 4), (model.opt_g, 1e-2, 4), (model.opt_D, 1e-2, 16)):
        assert optimizer.lr * (every + 1) / every == pytest.approx(lr)
        assert optimizer.betas[0] == 0 and optimizer.betas[1] ** ((every + 1) / every) == pytest.approx(0.99)


def test_adam_is_corrected():
    adam_is_corrected()


def test_a_penalty_without_weight_takes_no_step():
    model, batches = start("stylegan2", gamma=0.0, path_weight=0.0)
    for optimizer, lr in ((model.opt_f, 1e-4), (model.opt_g, 1e-2), (model.opt_D, 1e-2)):
        assert (optimizer.lr, optimizer.betas) == (lr, (0.0, 0.99))
    for _ in range(3):  # the first would have both
        model.step(batches)
    assert model.opt_f.steps == model.opt_g.steps == model.opt_D.steps == 3 and model.path_length.calls == 0


def the_mean_is_of_what_trains():
    model, _ = start("stylegan2")
    for param in model.f_average.net.params():
        param.value[...] = 0
    z = model.latent(32, copy.deepcopy(model.rng))
    expected = 0.005 * model.f(z).mean(0)
    model.mixed(16)
    np.testing.assert_allclose(model.w_mean, expected, rtol=1e-5)


def test_the_mean_is_of_what_trains():
    the_mean_is_of_what_trains()


# ---- networks --------------------------------------------------------------------------------------------


def test_every_weight_is_equalized():
    model, _ = start("stylegan2")
    for name in NETS:
        weights = [param for path, param in getattr(model, name).named_params().items() if path.endswith(".W")]
        assert len(weights) > 1 and all(isinstance(param, Equalized) for param in weights)


def pixels_of(g):
    """Return the layers that make pixels, from the last stage to the first, or the other way round."""
    made = [layer for _, layer in g.named_layers() if isinstance(layer, ModulatedConv2d) and layer.out_channels == 1]
    return sorted(made, key=lambda layer: -layer.in_channels)


def stages_are_summed():
    """What a stage draws depends on the styles up to its own, and is enlarged; a picture is the tanh of their sum."""
    model, _ = start("stylegan2")
    assert isinstance(model.g.layers[-1], Tanh)
    model.g = Sequential(*model.g.layers[:-1])
    given = np.random.default_rng(0).standard_normal((2, 6, 64), dtype=np.float32)
    whole, parts = model.g(given), []
    for stage in range(3):
        g = copy.deepcopy(model.g)
        for k, layer in enumerate(pixels_of(g)):
            if k != stage:
                layer.convolution.W.value[...] = 0
        parts.append(g(given))
        for i in range(6):
            moved = given.copy()
            moved[:, i] += 1
            assert np.array_equal(g(moved), parts[-1]) == (i > 2 * stage + 1), (stage, i)
    np.testing.assert_allclose(sum(parts), whole, atol=1e-4)
    enlarged = lambda x: Blur()(Upsample(2)(x))
    for side, enlarge, part in ((7, lambda x: enlarged(enlarged(x)), parts[0]), (14, enlarged, parts[1])):
        pixels = np.eye(side**2, dtype=np.float32).reshape(-1, side, side, 1)
        columns = enlarge(pixels).reshape(side**2, -1).T  # what each small pixel becomes
        assert np.linalg.matrix_rank(columns) == side**2
        apart = columns @ np.linalg.lstsq(columns, part.reshape(2, -1).T)[0] - part.reshape(2, -1).T
        assert np.abs(apart).max() < 1e-3 * np.abs(part).max()


def test_stages_are_summed():
    stages_are_summed()


def a_block_keeps_the_size():
    """Both branches of D's blocks have half of the variance of their input, and so the sum has all of it."""
    rng = np.random.default_rng(0)
    block = styled.halved(64, 64, rng)
    x = rng.standard_normal((16, 16, 16, 64), dtype=np.float32)
    smooth = Upsample(2)(Blur()(x))  # a blur takes much from noise, and little from a picture
    body, shortcut = (np.mean(branch(smooth) ** 2) / np.mean(smooth**2) for branch in (block.body, block.shortcut))
    assert 0.25 < body < 0.6 and 0.25 < shortcut < 0.6
    assert block(smooth).shape == (16, 16, 16, 64)


def test_a_block_keeps_the_size():
    a_block_keeps_the_size()


@pytest.mark.parametrize(("batch", "group"), [(16, 4), (6, 2), (5, 1)])
@pytest.mark.parametrize("name", ["stylegan2", "sngan"])
def test_any_batch_can_be_compared(name, batch, group):
    Model, Settings, options = EXAMPLES[name]
    model = Model(Settings(batch_size=batch, **options), (28, 28, 1), np.random.default_rng(0))
    (layer,) = [layer for _, layer in model.D.named_layers() if isinstance(layer, MinibatchStd)]
    assert layer.group == group
    assert model.D.forward(np.zeros((batch, 28, 28, 1), np.float32))[0].shape == (batch, 1)


def test_larger_pictures_in_colour():
    model = GAN(stylegan2.Settings(size=64, channels=3, width=2), (64, 64, 3), np.random.default_rng(0))
    z = model.latent(4, np.random.default_rng(0))
    assert model.styles == 10 and model.images(z).shape == (4, 64, 64, 3)
    assert model.D(model.generate(z)).shape == (4, 1)
    assert sum(isinstance(layer, Residual) for _, layer in model.D.named_layers()) == 4


# ---- what is done with a trained one ---------------------------------------------------------------------


def samples_are_truncated():
    """By the averages, with the same noise each time; psi = 0 is the mean w for all, 1 leaves w alone."""
    model, _ = start("stylegan2")
    z = model.latent(4, np.random.default_rng(0))
    model.w_mean[...] = np.random.default_rng(1).standard_normal(64)
    np.testing.assert_allclose(model.styles_of(z)[:, 3], model.f_average.net(z), atol=1e-6)
    np.testing.assert_allclose(model.styles_of(z, 0), np.broadcast_to(model.w_mean, (4, 6, 64)))
    half = (model.f_average.net(z) + model.w_mean) / 2
    np.testing.assert_allclose(model.styles_of(z, 0.5)[:, 0], half, atol=1e-6)
    expected = model.generate(z)
    for param in [*model.f.params(), *model.g.params()]:
        param.value[...] = 0
    np.testing.assert_array_equal(model.generate(z), expected)
    assert np.abs(expected).max() <= 1


def test_samples_are_truncated():
    samples_are_truncated()


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(PATHS["stylegan2"]), *arguments])
    try:
        runpy.run_path(str(PATHS["stylegan2"]), run_name="__main__")
    except SystemExit as left:
        return left.code


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert not call(monkeypatch, "--steps", "2", "--batch-size", "8", "--width", "4", "--out", "run")
    for layers, same in ((0, 0), (6, 1)):  # all styles of the one above; all of the one on the left
        out = f"{layers}.png"
        told = ("--n", "2", "--scale", "1", "--layers", str(layers), "--out", out)
        assert not call(monkeypatch, "mix", "run", *told)
        picture = np.asarray(Image.open(out))
        assert picture.shape[:2] == (3 * 30 + 2, 3 * 30 + 2)
        cell = lambda row, column, picture=picture: picture[2 + 30 * row :, 2 + 30 * column :][:28, :28]
        for row, column in ((1, 1), (1, 2), (2, 1)):
            own = ((0, column), (row, 0))
            np.testing.assert_array_equal(cell(row, column), cell(*own[same]))
            assert not np.array_equal(cell(row, column), cell(*own[1 - same]))
        assert not cell(0, 0).any()
    assert not call(monkeypatch, "truncate", "run", "--n", "3", "--scale", "1")
    rows = np.asarray(Image.open("run/truncate.png"))[62 + 2 * 15 :]
    assert Image.open("run/truncate.png").size == (3 * 30 + 2, 5 * 30 + 2) and rows.any()
    assert call(monkeypatch, "mix", "run", "--n", "0") == 2 and "--n" in capsys.readouterr().err


# ---- bugs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "right", "wrong", "test"),
    [
        # a second w that is never heard; or has no gradient; or that all samples of a batch change at once
        ("mixed", "w[n:, None])", "w[:n, None])", partial(follows, "generator_step")),
        ("learn", "(first, ~first)", "(first, first)", partial(follows, "generator_step")),
        ("mixed", "self.rng.integers(1, self.styles, n)", "np.repeat(self.rng.integers(1, self.styles), n)",
         partial(follows, "discriminator_step")),
        # the gradient at the styles left out: f never hears of path lengths
        ("path_step", "self.learn(told, d_styles)", "self.learn(told, 0 * d_styles)", partial(follows, "path_step")),
        ("path_step", "times * self.settings.path_weight", "self.settings.path_weight", partial(follows, "path_step")),
        ("slope_step", "times * self.settings.gamma", "self.settings.gamma", partial(follows, "slope_step")),
        ("generator_step", "losses.nonsaturating_generator", "losses.minimax_generator",
         partial(follows, "generator_step")),
        ("step", "self.taken += 1", "self.taken += 0", penalties_are_taken_in_turn),
        # the mean of another network's w
        ("mixed", "(w.mean(axis=0)", "(self.f_average.net(self.noise(1)).mean(axis=0)", the_mean_is_of_what_trains),
    ],
)  # fmt: skip
def test_a_wrong_game_is_caught(monkeypatch, method, right, wrong, test):
    monkeypatch.setattr(stylegan2, "np", np, raising=False)
    plant(monkeypatch, GAN, method, right, wrong)
    caught(test)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("self.f_average.net(z) - self.w_mean", "self.f(z) - self.w_mean"), ("self.w_mean + psi", "psi")],
)
def test_a_wrong_truncation_is_caught(monkeypatch, right, wrong):
    plant(monkeypatch, styled.StyledModel, "styles_of", right, wrong)
    caught(samples_are_truncated)


def test_lengths_averaged_over_the_batch_are_caught(monkeypatch):
    """Of a public port, whose styles stand first: the mean over axis 1 is the batch's there."""
    right = penalties.PathLength.__call__

    def turned(self, G, styles, *, rng, weight=2.0):
        return right(self, G, styles, rng=rng, weight=weight * len(styles) / styles.shape[1])

    monkeypatch.setattr(penalties.PathLength, "__call__", turned)
    caught(partial(follows, "path_step"))


def test_pixels_that_become_squares_are_caught(monkeypatch):
    monkeypatch.setattr(styled, "enlarged", lambda times: [Upsample(2**times)] if times else [])
    caught(stages_are_summed)


def test_an_uncorrected_adam_is_caught(monkeypatch):
    monkeypatch.setattr(stylegan2, "adam", lambda net, lr, every: stylegan2.Adam(net.params(), lr, betas=(0.0, 0.99)))
    caught(adam_is_corrected)


def test_a_block_that_grows_is_caught(monkeypatch):
    monkeypatch.setattr(styled, "he", lambda shape, rng, he=styled.he: 2**0.5 * he(shape, rng))
    caught(a_block_keeps_the_size)
