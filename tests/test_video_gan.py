"""VGAN and MoCoGAN: what each player descends, what comes of a step, and the files."""

import copy
import inspect
import io
import json
import runpy
import sys
import textwrap

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import log_sigmoid
from PIL import Image
from test_examples import PATHS

from scratchgan.data import video
from scratchgan.examples.media import video_gan
from scratchgan.metrics import classifier
from scratchgan.training import clips as training_clips

SIZES = {"width": 4, "latent": 6, "motion": 3, "size": 16, "frames": 8}


def start(network, **more):
    """Return (model, batch of bytes) of small networks and clips."""
    settings = video_gan.Settings(network=network, batch_size=5, **SIZES | more)
    batch = video.load(5, frames=settings.frames, size=settings.size).images
    return video_gan.VideoGAN(settings, batch.shape[1:], np.random.default_rng(0)), batch


class Given:
    """In the place of `Batches`: one batch, again and again."""

    def __init__(self, batch):
        self.next = lambda: batch


# ---- the objectives --------------------------------------------------------------------------------------


def networks(model):
    return {name: getattr(model, name) for name in ("G", "D_V", "D_I") if getattr(model, name)}


def handed_over(model, batch):
    """Take a step in float64; return the grads that it leaves to each optimizer, and what it prints."""
    for name, net in networks(model).items():
        setattr(model, name, copy.deepcopy(net).astype(np.float64))
    model.noise = lambda n: model.latent(n, model.rng).astype(np.float64)
    for optimizer in (model.opt_G, model.opt_V, model.opt_I):
        if optimizer:
            optimizer.step = lambda: None
    model.G_average.update = lambda: None
    printed = model.step(Given(batch))
    return {name: [param.grad for param in net.params()] for name, net in networks(model).items()}, printed


def objective(player, settings, nets, latent, rng, real):
    """What a player descends, longhand, with networks of any dtype; rng draws as the step does."""
    (fake, *masks), _ = nets["G"].forward(latent(len(real), rng).astype(real.dtype))
    n = np.arange(len(real)).repeat(4)[:, None]
    log_p = lambda net, x: log_sigmoid(nets[net].forward(x)[0])
    log_not = lambda net, x: log_sigmoid(-nets[net].forward(x)[0])
    four = lambda: rng.random(real.shape[:2]).argsort(axis=1)[:, :4].reshape(-1, 1)
    seen = [four() for _ in range(3)] if "D_I" in nets else []
    if player == "D_V":
        return -log_p("D_V", real).mean() - log_not("D_V", fake).mean()
    if player == "D_I":
        return -log_p("D_I", real[n, seen[0]]).mean() - log_not("D_I", fake[n, seen[1]]).mean()
    value = -log_p("D_V", fake).mean() + settings.sparsity * sum(m.mean() for m in masks)
    return value - (log_p("D_I", fake[n, seen[2]]).mean() if seen else 0)


def a_step_follows_its_objectives(network, monkeypatch):
    model, batch = start(network, sparsity=3.0, noise=0)
    real = batch / 127.5 - 1
    monkeypatch.setattr(video_gan.data, "to_signed", lambda images: images / 127.5 - 1)  # in float64
    held = copy.deepcopy((networks(model), model.rng))
    grads, printed = handed_over(model, batch)
    rng = np.random.default_rng(1)
    for player in grads:
        nets, own_rng = copy.deepcopy(held)
        nets = {name: net.astype(np.complex128) for name, net in nets.items()}
        directions = [rng.standard_normal(param.value.shape) for param in nets[player].params()]
        for param, v in zip(nets[player].params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        loss = objective(player, model.settings, nets, model.latent, own_rng, real.astype(complex))
        terms = [(grad * v).sum() for grad, v in zip(grads[player], directions, strict=True)]
        assert abs(sum(terms) - loss.imag / 1e-20) < 1e-10 * sum(map(abs, terms)), player
    assert printed.keys() == ({"D_V", "G_V"} if network == "vgan" else {"D_V", "D_I", "G_V", "G_I"})


@pytest.mark.parametrize("network", ["vgan", "mocogan"])
def test_a_step_follows_its_objectives(network, monkeypatch):
    a_step_follows_its_objectives(network, monkeypatch)


# ---- samples -----------------------------------------------------------------------------------------------


def one_clip_is_as_in_a_batch(network):
    """In inference, batch norm over clips and frames is one of running statistics: no clip hears of another."""
    model, batch = start(network)
    for _ in range(3):
        model.step(Given(batch))
    z = model.latent(4, np.random.default_rng(0))
    together = model.generate(z)
    np.testing.assert_array_equal(model.images(z), np.rint((np.clip(together, -1, 1) + 1) * 127.5).astype(np.uint8))
    for n in range(4):
        np.testing.assert_allclose(model.generate(z[n : n + 1])[0], together[n], atol=1e-5)


@pytest.mark.parametrize("network", ["vgan", "mocogan"])
def test_one_clip_is_as_in_a_batch(network):
    one_clip_is_as_in_a_batch(network)


def test_d_i_sees_frames_of_every_clip_and_none_twice():
    model, batch = start("mocogan")
    count = np.zeros(8)
    for _ in range(300):
        n, t = model.places(batch)
        assert n.shape == t.shape == (20, 1) and len(set(zip(n[:, 0], t[:, 0], strict=True))) == 20
        np.testing.assert_array_equal(np.bincount(n[:, 0]), 4)
        count += np.bincount(t[:, 0], minlength=8)
    np.testing.assert_allclose(count / count.sum(), 1 / 8, atol=0.01)


def test_samples_are_those_of_the_average():
    model, batch = start("mocogan")
    for _ in range(2):
        model.step(Given(batch))
    z = model.latent(3, np.random.default_rng(0))
    np.testing.assert_array_equal(model.generate(z), model.G_average.net(z)[0])
    assert not np.array_equal(model.generate(z), model.G(z)[0])


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------

OBJECTIVES = {network: lambda patch, network=network: a_step_follows_its_objectives(network, patch)
              for network in ("vgan", "mocogan")}  # fmt: skip
PLAIN = lambda test, *given: lambda patch: test(*given)
BUGS = {
    "D_I's gradient goes to the first frame": (
        "generator_step", "d_fake[drawn] +=", "d_fake[drawn[0], 0 * drawn[1]] +=", OBJECTIVES["mocogan"]
    ),
    "D_I's gradient goes to frames drawn anew": (
        "generator_step", "d_fake[drawn] +=", "d_fake[self.places(fake)] +=", OBJECTIVES["mocogan"]
    ),
    "D_I's gradient in the place of D_V's": (
        "generator_step", "d_fake[drawn] +=", "d_fake[drawn] =", OBJECTIVES["mocogan"]
    ),
    "real frames all from the first clip": ("step", "real[self.places(real)]", "real[0, self.places(real)[1]]",
                                            OBJECTIVES["mocogan"]),
    "the mask is made large": ("generator_step", "self.settings.sparsity / m.size", "-self.settings.sparsity / m.size",
                               OBJECTIVES["vgan"]),
    "the sum of the mask": ("generator_step", "self.settings.sparsity / m.size", "self.settings.sparsity",
                            OBJECTIVES["vgan"]),
    "G's step moves D": ("generator_step", "d_fake, _ = self.D_V.pull(D_tape, d_logits)",
                         "d_fake = self.D_V.backward(D_tape, d_logits)", OBJECTIVES["vgan"]),
    "real and fake clips in one batch norm": (
        "critic_step", "fake_logits, fake_tape = D.forward(fake)",
        "fake_logits, fake_tape = D.forward(np.concatenate([fake, real])); fake_logits = fake_logits[:len(fake)]; "
        "fake_tape = D.forward(fake)[1]", OBJECTIVES["vgan"],
    ),
    "the batch's statistics in inference": ("generate", "self.G_average.net(z)", "self.G_average.net.forward(z)[0]",
                                            PLAIN(one_clip_is_as_in_a_batch, "mocogan")),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(video_gan.VideoGAN, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(video_gan), made)
    monkeypatch.setattr(video_gan.VideoGAN, name, made[name])
    with pytest.raises((AssertionError, ValueError)):
        test(monkeypatch)


# ---- learning, and files -----------------------------------------------------------------------------------


def test_pictures_and_films():
    model, _ = start("mocogan")
    z = model.latent(16, np.random.default_rng(0))
    assert model.layout(16) == (8, 16) and model.layout(20) == (10, 16) and model.layout(64) == (22, 24)
    assert model.picture(z).shape == (8 * 18 + 2, 16 * 18 + 2, 1)
    assert model.walk(z, 5).shape == (16 * 18 + 2, 8 * 18 + 2, 1)
    film = Image.open(io.BytesIO(model.export(z, ".gif")))
    side = training_clips.SCALE * (4 * 18 + 2)
    assert film.n_frames == 8 and film.size == (side, side) and film.info["duration"] == 100
    clip = model.images(z[:1])[0, :, :, :, 0]
    for t in range(8):
        film.seek(t)
        seen = np.asarray(film.convert("L"))[6:54:3, 6:54:3]
        assert np.abs(seen.astype(int) - clip[t]).max() < 8  # a palette of 256


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["video_gan"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["video_gan"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


SMALL = ("--width", 4, "--latent", 8, "--batch-size", 4, "--size", 16, "--frames", 8)


@pytest.fixture
def few(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(video, "DRAWN", {"train": 60, "test": 30})


def test_a_run_and_its_commands(few, tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "--steps", 2, "--out", "run", "--background", "still", *SMALL) == 0
    assert call(monkeypatch, "sample", "run", "--n", 9, "--out", "clips.gif") == 0
    assert Image.open(tmp_path / "clips.gif").n_frames == 8
    assert call(monkeypatch, "evaluate", "run", "--n", 20) == 2
    assert "examples/uses/classifier.py --data glyphs" in capsys.readouterr().err
    net = classifier.lenet((28, 28, 1), 10, rng=np.random.default_rng(0))
    classifier.save(classifier.Classifier(net, "glyphs", (28, 28, 1)))
    assert call(monkeypatch, "evaluate", "run", "--n", 20) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("floor", "frozen", "independent", "shuffled", "one label in all frames"))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]


def test_resuming_mocogan_is_exact(few, tmp_path, monkeypatch):
    options = ("--network", "mocogan", *SMALL)
    assert call(monkeypatch, "--steps", 4, "--out", "whole", *options) == 0
    assert call(monkeypatch, "--steps", 2, "--out", "halves", *options) == 0
    assert call(monkeypatch, "--resume", "halves", "--steps", 4) == 0
    demand_equal(tmp_path / "whole", tmp_path / "halves")


def test_clips_of_one_s_own(few, tmp_path, monkeypatch, capsys):
    """A GIF that `sample` wrote is a clip of a folder; what it is measured against has to be held out."""
    frames = [Image.fromarray(frame[..., 0]) for frame in video.load(1, frames=12, size=16).images[0]]
    (tmp_path / "mine").mkdir()
    frames[0].save(tmp_path / "mine" / "one.gif", save_all=True, append_images=frames[1:])
    assert call(monkeypatch, "--data", "mine", "--steps", 1, "--out", "run", *SMALL) == 0
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "run") == 2
    assert "mine has no test clips" in capsys.readouterr().err
    assert call(monkeypatch, "--data", "mine", "--steps", 1, "--out", "other", *SMALL, "--frames", 16) == 2
    assert "one.gif has 12 frames, and a clip has 16" in (error := capsys.readouterr().err) and "Traceback" not in error
    assert call(monkeypatch, "--data", "missing", "--steps", 1, "--out", "other") == 2
    assert "There is no folder missing" in capsys.readouterr().err
    assert call(monkeypatch, "--frames", 10) == 2


def test_more_clips_than_the_memory_holds_are_refused(monkeypatch, few, capsys):
    assert call(monkeypatch, "--steps", 1, "--out", "run", *SMALL) == 0
    monkeypatch.setattr("scratchgan.support.costs.available", lambda: 10**7)
    assert call(monkeypatch, "sample", "run", "--n", 3000, "--out", "grid.png") == 2
    assert "3,000 clips would need" in capsys.readouterr().err
