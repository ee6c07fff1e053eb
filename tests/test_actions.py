"""Actions: what G and D descend, which clips and labels they see, and that D reads time; a run and its commands."""

import inspect
import json
import runpy
import sys
import textwrap

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import follows
from test_codes import semi_supervised_D, semi_supervised_G
from test_examples import PATHS

from scratchgan import data
from scratchgan.data import Batches, motions
from scratchgan.examples.labels import semi_supervised
from scratchgan.examples.media import actions
from scratchgan.layers import AvgPool, Sequential
from scratchgan.metrics.motions import by_hand
from scratchgan.support.errors import DataError, SettingsError

SMALL = {"width": 4, "clips": 400, "latent": 8, "batch_size": 10, "labels": 5}


def start(**more):
    """Return (model, batches) at the first step, with small batches, networks and data."""
    settings = actions.Settings(**SMALL | more)
    arrays = actions.Actions.load_data(settings)
    batches = Batches(*arrays, batch_size=settings.batch_size, rng=np.random.default_rng(1))
    return actions.Actions(settings, arrays[0].shape[1:], np.random.default_rng(0)), batches


# ---- the objectives --------------------------------------------------------------------------------------


def follows_its_objective(player):
    """The two of Salimans et al., longhand, as for pictures; dropout draws the same in both."""
    model, batches = start(batch_size=6)
    real = data.to_signed(batches.next()[0])
    images, labels = model.draw_labelled(batches, len(real))
    told = real, data.to_signed(images), labels
    formula = {"D": semi_supervised_D, "G": semi_supervised_G}[player]
    step = {"D": model.discriminator_step, "G": lambda real, *_: model.generator_step(real)}[player]
    follows(model, player, step, told, formula, printed=lambda said: said)


@pytest.mark.parametrize("player", ["D", "G"])
def test_a_step_follows_its_objective(player):
    follows_its_objective(player)


def lengths_are_held():
    model, batches = start()
    for _ in range(3):
        model.step(batches)
    weights = [param for path, param in model.D.named_params().items() if path.endswith("W")]
    held = [np.sqrt((weight.effective() ** 2).sum(tuple(range(weight.value.ndim - 1)))) for weight in weights]
    assert [len(lengths) for lengths in held] == [4, 8, 16, 8]
    for lengths in held[:3]:
        np.testing.assert_allclose(lengths, np.sqrt(2), rtol=1e-5)
    assert np.abs(held[3] - held[3].mean()).max() > 1e-3


def test_lengths_are_held_but_for_the_last_layer():
    lengths_are_held()


def test_supervised_alone():
    model, batches = start(supervised=True)
    before = [param.value.copy() for param in model.G.params()]
    assert model.step(batches).keys() == {"D"}
    for param, value in zip(model.G.params(), before, strict=True):
        np.testing.assert_array_equal(param.value, value)


# ---- which clips are seen --------------------------------------------------------------------------------


def labels_are_those_of_the_clips():
    """Of all that D is told, as the rule by hand reads it: a clip that was changed on its way would be another."""
    model, batches = start(clips=1600, labels=0)
    images, labels = model.draw_labelled(batches, 400)
    assert (by_hand(images) == labels).mean() > 0.95


def test_labels_are_those_of_the_clips():
    labels_are_those_of_the_clips()


def no_clip_is_on_both_sides():
    model, batches = start()
    known = {clip.tobytes() for clip in batches.arrays[0]}
    assert not any(clip.tobytes() in known for clip in model.held_out().images)
    assert len(known) == 400


def test_no_clip_is_on_both_sides():
    no_clip_is_on_both_sides()


def test_so_many_labels_are_told():
    _, batches = start()
    clips, told = motions.load(400), batches.arrays[1]
    np.testing.assert_array_equal(batches.arrays[0], clips.images)
    np.testing.assert_array_equal(told[told >= 0], clips.labels[told >= 0])
    assert np.bincount(told[told >= 0]).tolist() == [5] * 8
    np.testing.assert_array_equal(start(labels=0)[1].arrays[1], clips.labels)


def test_more_labels_than_clips():
    with pytest.raises(DataError, match="--labels 51 is more than the 50 pictures of class 0"):
        start(labels=51)


@pytest.mark.parametrize("wrong", [{"data": "glyphs"}, {"classes": 9}, {"clips": 7}, {"labels": -1}, {"width": 0}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(SettingsError, match=f"--{next(iter(wrong))} must be"):
        actions.Settings(**wrong)


# ---- time ------------------------------------------------------------------------------------------------


def D_reads_time():
    """Of each clip and its reverse, which is one of the opposite motion, D says something else."""
    model, batches = start()
    clips = data.to_signed(batches.arrays[0][:50])
    forth, back = model.D(clips), model.D(clips[:, ::-1])
    assert np.abs(forth - back).max(1).min() > 1e-3 * np.abs(forth).mean()


def test_D_reads_time():
    D_reads_time()


def networks_of_the_mean(self, shape, rng, right=actions.Actions.networks):
    """Return the networks, with the mean over time before D's first convolution."""
    G, D = right(self, shape, rng)
    first, *others = D.layers[0].layers
    D.layers[0].layers = (Sequential(AvgPool((motions.FRAMES, 1, 1)), first), *others)
    return G, D


def test_without_time_a_motion_and_its_reverse_are_at_chance(monkeypatch):
    """Of two logits, the right one is the larger for exactly one of a clip and its reverse, however D is trained."""
    monkeypatch.setattr(actions.Actions, "networks", networks_of_the_mean)
    model, batches = start(labels=0, supervised=True)
    for _ in range(10):
        model.step(batches)
    clips, labels = batches.arrays
    rows = np.arange(len(clips))
    right = []
    for some, told in ((clips, labels), (clips[:, ::-1], labels ^ 1)):
        logits = model.infer(model.D, some)
        right.append(logits[rows, told] > logits[rows, told ^ 1])
    assert np.concatenate(right).mean() == 0.5
    with pytest.raises(AssertionError):
        D_reads_time()


# ---- bugs of public code, planted: for each, a test above must fail --------------------------------------

GAN = semi_supervised.SemiSupervisedGAN
BUGS = {
    "features of real clips without dropout, of fakes with it": (
        GAN, "generator_step", "f.forward(real)", "f.forward(real, False)", lambda: follows_its_objective("G")
    ),
    "features of fakes without dropout, of real clips with it": (
        GAN, "generator_step", "f.forward(fake)", "f.forward(fake, False)", lambda: follows_its_objective("G")
    ),
    "the mirror as augmentation": (
        GAN, "draw_labelled", "gather(images, rows)", "gather(images, rows)[:, :, :, ::-1]",
        labels_are_those_of_the_clips,
    ),
    "time backwards as augmentation": (
        GAN, "draw_labelled", "gather(images, rows)", "gather(images, rows)[:, ::-1]", labels_are_those_of_the_clips
    ),
    "held-out clips among those of the training": (
        actions.Actions, "held_out", '2000, split="test"', "self.settings.clips", no_clip_is_on_both_sides
    ),
    "lengths that are learned": (
        GAN, "discriminator_step", "g[...] = length", "pass", lengths_are_held
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    home, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(home, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(sys.modules[home.__module__]), made)
    monkeypatch.setattr(home, name, made[name])
    with pytest.raises((AssertionError, ValueError)):
        test()


# ---- as a user would -------------------------------------------------------------------------------------


def test_what_is_measured():
    """The error is that of D's average; beside it the rule by hand, single frames and chance."""
    model, batches = start()
    for _ in range(2):
        model.step(batches)
    clips = motions.load(300, split="test")
    networks = {"average": model.D_average.net, "last": model.D}
    said = {name: model.infer(D, clips.images).argmax(1) for name, D in networks.items()}
    assert (said["average"] != said["last"]).any()
    assert model.measured(300) == {"error": (said["average"] != clips.labels).mean()}
    held_out = model.held_out()
    wrong = model.infer(model.D_average.net, held_out.images).argmax(1) != held_out.labels
    assert model.report() == {"error": wrong.mean(), "errors": wrong.sum()} and len(wrong) == 2000
    found = model.baselines(300)
    assert list(found) == ["by hand", "single frames", "chance"] and found["chance"] == {"error": 7 / 8}
    assert found["by hand"]["error"] == (by_hand(clips.images) != clips.labels).mean()
    assert abs(found["single frames"]["error"] - 7 / 8) < 3 * np.sqrt(7 / 64 / 300)


def test_pictures_have_the_frames_of_a_clip_in_a_row():
    model, _ = start()
    z = model.latent(5, np.random.default_rng(0))
    clips = model.images(z)
    assert clips.shape == (5, 8, 24, 24, 1) and model.layout(5) == (2, 4)
    picture, walk = model.picture(z), model.walk(z, 5)
    assert picture.shape == (2 * 26 + 2, 32 * 26 + 2, 1) and walk.shape == (5 * 26 + 2, 8 * 26 + 2, 1)
    np.testing.assert_array_equal(picture[2:26, 10 * 26 + 2 : 11 * 26], clips[1, 2])  # the third frame of the second
    np.testing.assert_array_equal(walk[3 * 26 + 2 : 4 * 26, 7 * 26 + 2 : 8 * 26], clips[3, 7])


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["actions"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["actions"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


def test_a_run_that_goes_on_and_its_evaluation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), value)]
    assert call(monkeypatch, "--steps", 4, "--out", "whole", *small) == 0
    assert call(monkeypatch, "--steps", 2, "--out", "halves", *small) == 0
    assert call(monkeypatch, "--resume", "halves", "--steps", 4) == 0
    demand_equal(tmp_path / "whole", tmp_path / "halves")
    capsys.readouterr()
    assert call(monkeypatch, "evaluate", "whole", "--n", 200) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("error", "by hand", "single frames", "chance"))
    error = json.loads((tmp_path / "whole" / "metrics.json").read_text())["metrics"]["error"]
    assert error["chance"] == 0.875 and error["by hand"] < 0.06
    assert call(monkeypatch, "--labels", 51, "--out", "run", "--clips", 400) == 2
    assert "--labels 51 is more than the 50 pictures" in capsys.readouterr().err


def test_what_is_learned_in_a_hundred_steps():
    """With all labels: far from chance, which single frames do not leave."""
    model, batches = start(width=8, clips=2000, labels=0, supervised=True, batch_size=32)
    for _ in range(100):
        model.step(batches)
    clips = motions.load(1000, split="test")
    assert (model.infer(model.D, clips.images).argmax(1) != clips.labels).mean() < 0.6
