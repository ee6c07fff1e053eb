"""pix2pix: its objective longhand, what each network is told, U-Net, patches, others' errors, one's own pairs."""

import copy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from objectives import follows, log_sigmoid
from PIL import Image

from scratchgan import data, losses
from scratchgan.examples.translation import pix2pix
from scratchgan.layers import BatchNorm, Concat, ConvTranspose2d, LeakyReLU, Sequential, Tanh
from scratchgan.support.errors import SettingsError

SCRIPT = Path(__file__).parent.parent / "examples" / "translation" / "pix2pix.py"


def small(**options):
    """Return a narrow model of pictures of 16 x 16, two channels, and inputs and truths for it."""
    settings = pix2pix.Settings(**({"size": 16, "width": 3} | options))
    rng = np.random.default_rng(0)
    model = pix2pix.Pix2Pix(settings, (16, 16, 2), np.random.default_rng(1))
    for net in (model.G, model.D):  # of N(0, 0.02^2), nearly nothing would come through
        for param in net.params():
            param.value[...] += rng.standard_normal(param.value.shape).astype("float32") * 0.1
    x, y = np.tanh(rng.standard_normal((2, 4, 16, 16, 2))).astype("float32")
    return model, x, y


def run(net, x):
    return net.forward(x)[0]


# ---- the objective ---------------------------------------------------------------------------------------


def objective_D(G, D, draw, x, y):
    return -0.5 * (log_sigmoid(run(D, (x, y))).mean() + log_sigmoid(-run(D, (x, run(G, x)))).mean())


def objective_G(l1, gan):
    def objective(G, D, draw, x, y):
        fake = run(G, x)
        away = (fake - y) * np.where((fake - y).real > 0, 1, -1)  # |y - G(x)|, for a complex step
        return l1 * away.mean() - gan * log_sigmoid(run(D, (x, fake))).mean()

    return objective


def follows_D(**options):
    model, x, y = small(**options)
    step = lambda x, y: model.discriminator_step(x, y, run(model.G, x))
    follows(model, "D", step, (x, y), objective_D, lambda said: said)


def follows_G(**options):
    model, x, y = small(**options)
    l1, gan = model.settings.l1, model.settings.gan
    step = lambda x, y: model.generator_step(x, y, *model.G.forward(x))
    follows(model, "G", step, (x, y), objective_G(l1, gan), lambda said: l1 * said["L1"] + said.get("G", 0))


OPTIONS = [{}, {"skip": False}, {"patch": 1}, {"patch": 3}]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_discriminators_step_follows_its_objective(options):
    follows_D(**options)


@pytest.mark.parametrize("options", [*OPTIONS, {"gan": False}, {"l1": 0}, {"l1": 3.5}])
def test_the_generators_step_follows_its_objective(options):
    follows_G(**options)


def the_generators_step_leaves_D_alone():
    model, x, y = small()
    before = [param.value.copy() for param in model.D.params()]
    model.generator_step(x, y, *model.G.forward(x))
    for param, value in zip(model.D.params(), before, strict=True):
        assert not param.grad.any() and (param.value == value).all()


def test_the_generators_step_leaves_D_alone():
    the_generators_step_leaves_D_alone()


def a_step_asks_D(monkeypatch):
    """Return what D was asked in a step, and its weights at each time."""
    model, x, y = small()
    asked, outputs, G_forward, D_forward = [], [], model.G.forward, model.D.forward

    def told(pair):
        asked.append((*pair, model.D.params()[0].value.copy()))
        return D_forward(pair)

    monkeypatch.setattr(model.D, "forward", told)
    monkeypatch.setattr(model.G, "forward", lambda x: outputs.append(G_forward(x)) or outputs[-1])
    bytes_of = [data.to_bytes(images) for images in (y, x)]
    losses_told = model.step(SimpleNamespace(next=lambda: bytes_of))
    assert set(losses_told) == {"D", "L1", "G"}
    return [data.to_signed(images) for images in bytes_of], asked, outputs


def test_one_output_serves_both_steps_and_G_hears_the_new_D(monkeypatch):
    """D is asked of (x, y), of (x, G(x)), and, once its weights have moved, of (x, G(x)) again, for G."""
    (y, x), asked, outputs = a_step_asks_D(monkeypatch)
    assert len(outputs) == 1 and len(asked) == 3
    fake = outputs[0][0]
    for (first, second, _), wanted in zip(asked, (y, fake, fake), strict=True):
        np.testing.assert_array_equal(first, x)
        np.testing.assert_array_equal(second, wanted)
    assert (asked[0][2] == asked[1][2]).all() and (asked[1][2] != asked[2][2]).any()


def test_without_the_game_D_is_never_asked():
    model, x, y = small(gan=False)
    model.D.forward = None
    before = copy.deepcopy(model.D.state())
    told = model.step(SimpleNamespace(next=lambda: [data.to_bytes(images) for images in (y, x)]))
    assert set(told) == {"L1"} and model.equilibrium() == {}
    assert all((model.D.state()[path] == array).all() for path, array in before.items())


def D_is_told_x():
    """With another input, the same output is another pair: its logits change, and what D learns of it."""
    model, x, y = small()
    assert np.abs(run(model.D, (x, y)) - run(model.D, (x[::-1], y))).max() > 1e-3
    grads = []
    for told in (x, x[::-1]):
        twin = small()[0]
        twin.opt_D.step = lambda: None
        twin.discriminator_step(told, y, y[::-1])
        grads.append(twin.D.params()[-2].grad)
    assert np.abs(grads[0] - grads[1]).max() > 1e-3 * np.abs(grads[0]).max()


def test_D_is_told_x():
    D_is_told_x()


# ---- the networks ----------------------------------------------------------------------------------------


def skips(net):
    """Return the skips of a U-Net, from the outside in."""
    found = []
    while (inner := [layer for layer in net.layers if isinstance(layer, Concat)]) != []:
        found.append(inner[0])
        net = inner[0].branches[1]
    return found


def a_skip_carries_what_came_down():
    """Before any activation, and untouched: an activation in place would change it."""
    model, x, _ = small()
    rest, (outer, inner) = model.G.layers[0], skips(model.G)
    down = run(rest, x)
    before = down.copy()
    up = run(outer, down)
    np.testing.assert_array_equal(up[..., : down.shape[-1]], before)
    np.testing.assert_array_equal(down, before)
    assert (before < 0).any() and up.shape[-1] == 2 * down.shape[-1]
    deep = np.random.default_rng(0).standard_normal((2, 8, 8, 6), dtype=np.float32)
    np.testing.assert_array_equal(run(inner, deep)[..., :6], deep)


def test_a_skip_carries_what_came_down():
    a_skip_carries_what_came_down()


def test_a_decoder_alone_has_no_skips():
    model, x, y = small(skip=False)
    assert skips(model.G) == [] and run(model.G, x).shape == y.shape
    assert len(skips(small()[0].G)) == 2


@pytest.mark.parametrize("size", [16, 32, 64])
def test_outputs_are_as_large_as_inputs(size):
    model, _, _ = small()
    x = np.zeros((1, size, size, 2), np.float32)
    assert run(model.G, x).shape == x.shape
    assert run(model.D, (x, x)).shape == (1, size // 4 - 1, size // 4 - 1, 1)


@pytest.mark.parametrize("halvings, seen", [(1, 10), (2, 22), (3, 46)])
def test_a_logit_sees_a_patch(halvings, seen):
    """Its gradient reaches so many pixels, and each of these, of both pictures."""
    D = pix2pix.patches(1, 3, halvings, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 1, 96, 96, 1), dtype=np.float32)
    logits, tape = D.forward((x[0], x[1]), False)
    dy = np.zeros_like(logits)
    dy[0, logits.shape[1] // 2, logits.shape[2] // 2] = 1
    for part in D.pull(tape, dy)[0]:
        rows, columns = (np.flatnonzero(part[0, :, :, 0].any(axis)) for axis in (1, 0))
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == seen == len(rows) == len(columns)


def nothing_is_normalised_before_the_tanh():
    """A bias of the last layer shifts all outputs: a norm after it would take that away."""
    model, x, _ = small()
    before = run(model.G, x)
    last = [layer for layer in model.G.layers if isinstance(layer, ConvTranspose2d)][-1]
    last.b.value += 0.5
    assert np.abs(np.arctanh(run(model.G, x)) - np.arctanh(before) - 0.5).max() < 1e-3
    assert isinstance(model.G.layers[-1], Tanh) and model.G.layers[-2] is last


def test_nothing_is_normalised_before_the_tanh():
    nothing_is_normalised_before_the_tanh()


def an_answer_does_not_depend_on_the_other_pictures():
    model, x, y = small()
    for _ in range(3):
        model.step(SimpleNamespace(next=lambda: [data.to_bytes(images) for images in (y, x)]))
    alone = np.concatenate([model.translate(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(model.translate(x), alone, atol=1e-5)
    before = model.G.state()
    model.translate(x)
    assert all((model.G.state()[path] == array).all() for path, array in before.items())


def test_an_answer_does_not_depend_on_the_other_pictures():
    an_answer_does_not_depend_on_the_other_pictures()


# ---- errors that others have made ------------------------------------------------------------------------


def caught(law, *arguments, **keywords):
    with pytest.raises(AssertionError):
        law(*arguments, **keywords)


def test_a_D_that_is_not_told_x(monkeypatch):
    patches = pix2pix.patches

    def forgetful(*arguments):
        D = patches(*arguments)
        forward = D.forward
        D.forward = lambda pair, train=True: forward((np.zeros_like(pair[0]), pair[1]), train)
        return D

    monkeypatch.setattr(pix2pix, "patches", forgetful)
    caught(D_is_told_x)


def test_pairs_in_two_orders(monkeypatch):
    """D is told [x, y] of real pairs, and [G(x), x] of the others, so that the order tells them apart."""
    step = pix2pix.Pix2Pix.discriminator_step

    def exchanged(model, x, y, fake):
        D, orders = copy.copy(model.D), [1, -1]  # of the same layers
        model.D.forward = lambda pair: D.forward(pair[:: orders.pop(0)])
        return step(model, x, y, fake)

    monkeypatch.setattr(pix2pix.Pix2Pix, "discriminator_step", exchanged)
    caught(follows_D)


def test_a_gradient_of_Gs_step_that_is_left_in_D(monkeypatch):
    step = pix2pix.Pix2Pix.generator_step

    def left(model, *arguments):
        D = copy.copy(model.D)  # of the same layers
        model.D.pull = lambda tape, dy: (D.backward(tape, dy), None)
        return step(model, *arguments)

    monkeypatch.setattr(pix2pix.Pix2Pix, "generator_step", left)
    caught(the_generators_step_leaves_D_alone)


def test_an_activation_in_place(monkeypatch):
    """What the skip of a U-Net then carries is what the way down has made of it."""

    def in_place(layer, x, train=True):
        np.copyto(x, np.where(x > 0, x, np.float32(layer.slope) * x))
        return x, x

    monkeypatch.setattr(LeakyReLU, "forward", in_place)
    caught(a_skip_carries_what_came_down)


def test_a_norm_before_the_tanh(monkeypatch):
    unet = pix2pix.unet

    def normalised(channels, *arguments):
        net = unet(channels, *arguments)
        return Sequential(*net.layers[:-1], BatchNorm(channels), net.layers[-1])

    monkeypatch.setattr(pix2pix, "unet", normalised)
    caught(nothing_is_normalised_before_the_tanh)


def test_statistics_of_the_batch_at_test_time(monkeypatch):
    """They are the paper's choice, whose batches hold one picture: here, other pictures would change the answer."""
    monkeypatch.setattr(pix2pix.Pix2Pix, "translate", lambda model, x: run(copy.deepcopy(model.G), x))
    caught(an_answer_does_not_depend_on_the_other_pictures)


def test_a_loss_of_D_that_is_not_halved(monkeypatch):
    right = losses.nonsaturating_discriminator
    doubled = lambda *logits: tuple(2 * part for part in right(*logits))
    monkeypatch.setattr(pix2pix.losses, "nonsaturating_discriminator", doubled)
    caught(follows_D)


def test_an_L1_loss_that_is_a_sum(monkeypatch):
    right = losses.l1
    monkeypatch.setattr(pix2pix.losses, "l1", lambda x, y: tuple(x.size * part for part in right(x, y)))
    caught(follows_G)


# ---- the command line, with one's own pairs --------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 8, 36, 100])
def test_sizes_that_cannot_be_halved(size):
    with pytest.raises(SettingsError, match="--size must be one of 16, 32, 64, 128"):
        pix2pix.Settings(size=size)


def test_a_training_that_would_learn_nothing():
    with pytest.raises(SettingsError, match="--no-gan and --l1 0 leave nothing to learn"):
        pix2pix.Settings(gan=False, l1=0)
    pix2pix.Settings(l1=0)


def call(folder, *arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], cwd=folder, capture_output=True, text=True)


def write_pairs(folder, n, size=(40, 20)):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(n)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(folder / f"{i}.png")


def test_ones_own_pairs(tmp_path):
    """Train, draw, measure and go on, in colour, from B to A; the held-out pairs alone are drawn and measured."""
    write_pairs(tmp_path / "own" / "train", 6)
    write_pairs(tmp_path / "own" / "val", 3)
    small = ("--size", "16", "--width", "2", "--batch-size", "2", "--channels", "3", "--direction", "BtoA")
    done = call(tmp_path, "--data", "own", *small, "--steps", "2", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "6 samples of shape (16, 16, 3)" in done.stdout
    done = call(tmp_path, "evaluate", "run")
    assert done.returncode == 0 and "PSNR, dB" in done.stdout and "3 samples" in done.stdout, done.stderr
    assert "accuracy" not in done.stdout  # nobody knows classes, and no classifier is asked for


def test_a_folder_without_test_pairs_leaves_no_run(tmp_path):
    write_pairs(tmp_path / "own", 6)
    done = call(tmp_path, "--data", "own", "--out", "run", "--size", "16", "--width", "2")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "own has no test pictures: move some" in done.stderr and not (tmp_path / "run").exists()
