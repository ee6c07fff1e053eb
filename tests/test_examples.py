"""What every example must do: train, move all its networks, let G hear D, resume exactly, and explain itself."""

import copy
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from checkpoints import demand_equal
from PIL import Image

from scratchgan import data, losses, training, xp
from scratchgan.data import Batches, captions
from scratchgan.examples import cgan, dcgan, gan, gan2d, infogan, wgan_gp
from scratchgan.examples.collapse import improved_gan, pacgan, unrolled, unrolled_ring, veegan
from scratchgan.examples.control import gail
from scratchgan.examples.labels import acgan, projection, semi_supervised, ssgan, text_to_image
from scratchgan.examples.media import actions, video_gan, wavegan
from scratchgan.examples.relatives import aae, began, bigan, ebgan, fgan, gan_cells, made, vae, vae_cells, vae_gan
from scratchgan.examples.sequences import chorales, music_gan, seq2seq, seqgan, text_gan, text_lstm
from scratchgan.examples.stability import adversarial_nets, dragan, r1gan, ragan, sngan, wgan, wgan_gp2d
from scratchgan.examples.styles import biggan, diffaugment, progressive, sagan, stylegan2
from scratchgan.examples.translation import cyclegan, font_style, inpainting, pix2pix, srgan
from scratchgan.examples.uses import anogan, data_augmentation, retrieval
from scratchgan.fast import threads
from scratchgan.training import loop

ROOT = Path(__file__).parent.parent
SPEECH = {"vocabulary": 9, "length": 5, "width": 4, "mle": 1, "lessons": 0, "D_steps": 2, "rollouts": 2}
EXAMPLES = {
    "adversarial_nets": (adversarial_nets.AdversarialNets, adversarial_nets.Settings, {}),
    "gan": (gan.GAN, gan.Settings, {}),
    **{f"gan {loss}": (gan.GAN, gan.Settings, {"loss": loss}) for loss in ("minimax", "least-squares", "hinge")},
    "gan wasserstein": (gan.GAN, gan.Settings, {"loss": "wasserstein"}),
    "dcgan": (dcgan.DCGAN, dcgan.Settings, {"width": 4}),
    "dcgan, average": (dcgan.DCGAN, dcgan.Settings, {"width": 4, "average": 0.9}),
    "dcgan, nearest": (dcgan.DCGAN, dcgan.Settings, {"width": 4, "upsample": "nearest"}),
    "dcgan, 64 RGB": (dcgan.DCGAN, dcgan.Settings, {"width": 2, "size": 64, "channels": 3}),
    "diffaugment": (diffaugment.DiffAugment, diffaugment.Settings, {"width": 4}),
    "diffaugment, ada": (diffaugment.DiffAugment, diffaugment.Settings, {"width": 4, "ada": True}),
    "gan2d": (gan2d.GAN2D, gan2d.Settings, {}),
    **{f"gan2d {name}": (gan2d.GAN2D, gan2d.Settings, {"data": name}) for name in gan2d.SETS[1:]},
    "wgan": (wgan.WGAN, wgan.Settings, {"width": 8}),
    "wgan_gp": (wgan_gp.WGANGP, wgan_gp.Settings, {"width": 8}),
    "wgan_gp, one-sided": (wgan_gp.WGANGP, wgan_gp.Settings, {"width": 8, "one_sided": True}),
    "wgan_gp2d": (wgan_gp2d.WGANGP2D, wgan_gp2d.Settings, {"width": 32}),
    "wgan_gp2d swiss_roll": (wgan_gp2d.WGANGP2D, wgan_gp2d.Settings, {"width": 32, "data": "swiss_roll"}),
    "wgan_gp2d, clipped": (wgan_gp2d.WGANGP2D, wgan_gp2d.Settings, {"width": 32, "clip": 0.01}),
    "dragan": (dragan.DRAGAN, dragan.Settings, {"width": 8}),
    "sngan": (sngan.SNGAN, sngan.Settings, {"width": 8}),
    "ragan": (ragan.RaGAN, ragan.Settings, {"width": 8}),
    **{f"ragan {loss}": (ragan.RaGAN, ragan.Settings, {"width": 8, "loss": loss}) for loss in ("paired", "hinge")},
    "r1gan": (r1gan.R1GAN, r1gan.Settings, {"width": 8}),
    "r1gan, lazy": (r1gan.R1GAN, r1gan.Settings, {"width": 8, "penalty_every": 2}),
    "pacgan": (pacgan.PacGAN, pacgan.Settings, {"width": 32}),
    "pacgan, average, two time scales": (pacgan.PacGAN, pacgan.Settings, {"width": 32, "average": 0.9, "lr_D": 4e-4}),
    "unrolled": (unrolled.UnrolledGAN, unrolled.Settings, {"width": 32}),
    "unrolled, saturating": (unrolled.UnrolledGAN, unrolled.Settings, {"width": 32, "unroll": 2, "saturating": True}),
    "unrolled_ring": (unrolled_ring.UnrolledRing, unrolled_ring.Settings, {"width": 16, "unroll": 2}),
    "veegan": (veegan.VEEGAN, veegan.Settings, {"width": 32}),
    "improved_gan": (improved_gan.ImprovedGAN, improved_gan.Settings, {"width": 32}),
    **{
        f"improved_gan {name} {value}": (improved_gan.ImprovedGAN, improved_gan.Settings, {"width": 32, name: value})
        for name, value in (
            ("feature_matching", True), ("batch_layer", "discrimination"), ("batch_layer", "std"),
            ("historical_averaging", 0.1), ("real_target", 0.9), ("instance_noise", 0.1),
        )
    },
    "cgan": (cgan.CGAN, cgan.Settings, {"width": 8}),
    "cgan, perceptrons": (cgan.CGAN, cgan.Settings, {"network": "mlp"}),
    "acgan": (acgan.ACGAN, acgan.Settings, {"width": 8}),
    "acgan, classes of fakes": (acgan.ACGAN, acgan.Settings, {"width": 8, "fake_class": True}),
    "data_augmentation": (data_augmentation.DataAugmentation, data_augmentation.Settings, {"width": 32}),
    "anogan": (anogan.AnoGAN, anogan.Settings, {"width": 4, "game": 1}),  # the second step is E's
    "retrieval": (retrieval.Retrieval, retrieval.Settings, {"width": 8}),
    "projection": (projection.ProjectionGAN, projection.Settings, {"width": 8}),
    "sagan": (sagan.SAGAN, sagan.Settings, {"width": 8}),
    "sagan, without attention": (sagan.SAGAN, sagan.Settings, {"width": 8, "attention": False}),
    "biggan": (biggan.BigGAN, biggan.Settings, {"width": 8}),
    "progressive": (progressive.Progressive, progressive.Settings, {"width": 4, "first": 28}),
    "progressive, growing": (
        progressive.Progressive, progressive.Settings, {"width": 4, "first": 14, "stay": 1, "fade": 1}
    ),
    "stylegan2": (stylegan2.StyleGAN2, stylegan2.Settings, {"width": 4}),
    "infogan": (infogan.InfoGAN, infogan.Settings, {"width": 8}),
    "infogan, other codes": (infogan.InfoGAN, infogan.Settings, {"width": 8, "categories": 3, "numbers": 1}),
    "semi_supervised": (semi_supervised.SemiSupervisedGAN, semi_supervised.Settings, {"width": 32}),
    "ssgan": (ssgan.SSGAN, ssgan.Settings, {"width": 8}),
    "text_to_image": (text_to_image.TextToImage, text_to_image.Settings, {"width": 8}),
    "pix2pix": (pix2pix.Pix2Pix, pix2pix.Settings, {"width": 4}),
    "cyclegan": (cyclegan.CycleGAN, cyclegan.Settings, {"width": 4, "blocks": 1}),
    "cyclegan, identity": (cyclegan.CycleGAN, cyclegan.Settings, {"width": 4, "blocks": 1, "identity": 5.0}),
    "font_style": (font_style.FontStyle, font_style.Settings, {"width": 4, "glyphs": 200}),
    "srgan": (srgan.SRGAN, srgan.Settings, {"width": 4, "pretraining": 1}),
    "inpainting": (inpainting.ContextEncoder, inpainting.Settings, {"width": 4}),
    "chorales": (chorales.Chorales, chorales.Settings, {"features": 8, "length": 10}),
    "wavegan": (wavegan.WaveGAN, wavegan.Settings, {"width": 2}),
    "wavegan, wgan-gp": (wavegan.WaveGAN, wavegan.Settings, {"width": 2, "loss": "wgan-gp"}),
    "music_gan": (music_gan.MusicGAN, music_gan.Settings, {"width": 8}),
    "seqgan": (seqgan.SeqGAN, seqgan.Settings, SPEECH),  # the second step is a round
    "seqgan, gumbel": (seqgan.SeqGAN, seqgan.Settings, SPEECH | {"generator": "gumbel"}),
    "seq2seq": (seq2seq.Seq2Seq, seq2seq.Settings, {"width": 8, "pretraining": 1, "pairs": 200}),
    "seq2seq, unpaired": (
        seq2seq.Seq2Seq, seq2seq.Settings, {"width": 8, "pretraining": 1, "pairs": 200, "unpaired": True}
    ),
    "text_gan": (text_gan.TextGAN, text_gan.Settings, {"width": 4, "length": 12}),
    "text_lstm": (text_lstm.TextLSTM, text_lstm.Settings, {"width": 4, "chunk": 12, "length": 12}),
    "made": (made.MADE, made.Settings, {"width": 24}),
    "made, lstm": (made.MADE, made.Settings, {"width": 4, "network": "lstm"}),
    "vae_cells": (vae_cells.VAE, vae_cells.Settings, {"width": 8}),
    "vae": (vae.VAE, vae.Settings, {"width": 8}),
    "vae_gan": (vae_gan.VAEGAN, vae_gan.Settings, {"width": 4}),
    "gan_cells": (gan_cells.CellsGAN, gan_cells.Settings, {"width": 8}),
    "fgan": (fgan.FGAN, fgan.Settings, {"width": 8}),
    "ebgan": (ebgan.EBGAN, ebgan.Settings, {"width": 4}),
    "began": (began.BEGAN, began.Settings, {"width": 4}),
    "aae": (aae.AAE, aae.Settings, {"width": 8}),
    "bigan": (bigan.BiGAN, bigan.Settings, {"width": 8}),
    "bigan, batch norm in D": (bigan.BiGAN, bigan.Settings, {"width": 8, "norm_D": True}),
    "gail": (gail.GAIL, gail.Settings, {"width": 8}),
    "actions": (actions.Actions, actions.Settings, {"width": 4, "clips": 200}),
    "video_gan": (video_gan.VideoGAN, video_gan.Settings, {"width": 4}),
    "video_gan, vgan": (video_gan.VideoGAN, video_gan.Settings, {"width": 4, "network": "vgan"}),
    "pix2pix, RGB without skips": (pix2pix.Pix2Pix, pix2pix.Settings, {"width": 4, "channels": 3, "skip": False}),
}  # fmt: skip
# All but those that make a picture of a picture, or a sequence, of which each has tests of its own: they have no noise.
OTHERS = (training.Translation, training.Sequences)
# No GANs, and how their networks' names begin: `net`; `encoder` and `decoder`.
LIKELIHOODS = {"chorales": "n", "text_lstm": "n", "made": "n", "made, lstm": "n", "vae_cells": "ed", "vae": "ed"}
# All players step in one pass, or play about codes, or G is two networks, with tests of their own: test_vae_gan,
# test_bigan, test_aae, test_stylegan2.
ALONE = {*LIKELIHOODS, "vae_gan", "bigan", "bigan, batch norm in D", "aae", "stylegan2"}
GAMES = [name for name, (Model, *_) in EXAMPLES.items() if not (issubclass(Model, OTHERS) or name in ALONE)]
FEW_PAIRS = {"train": 500, "test": 100}  # of glyphs, in place of 10,000 and 2,000
# Rates that fall to 0 at the last step (tests/test_classifier.py, tests/test_cyclegan.py,
# tests/test_font_style_commands.py, tests/test_text_lstm.py); a comparison of four; no training step
# (tests/test_hmm.py, tests/test_mcmc.py).
NOT_GANS = {"classifier", "cyclegan", "font_style", "text_lstm", "mode_collapse", "hmm", "mcmc"}
NOT_GANS |= {"samplers", "six_divergences"}  # a tool on runs (tests/test_samplers_command.py); six of `fgan.py`
# Of these, D has a batch norm behind its dense layer; G's step looks at real samples, too.
ONE_KIND = (wgan.WGAN, infogan.InfoGAN, dcgan.DCGAN, ragan.RaGAN, acgan.ACGAN)
WITH_REAL = (ragan.RaGAN, unrolled.UnrolledGAN, improved_gan.ImprovedGAN, semi_supervised.SemiSupervisedGAN)
# Too small at first, or too near to a D that draws nothing yet: test_remedies, test_fgan, test_ebgan. Or G hears D
# through a T that is drawn anew: test_diffaugment.
SMALL = {"pacgan", "improved_gan", "unrolled", "veegan", "fgan", "ebgan", "diffaugment"}
FILES = [path for path in sorted((ROOT / "examples").rglob("*.py")) if path.parent.name != "course"]  # tested apart
PATHS = {path.stem: path for path in FILES}
SCRIPTS = sorted(PATHS.keys() - NOT_GANS)


MADE = {}  # what was loaded or drawn, by what was asked for


def loaded(Model, settings):
    """Return the arrays of Model.load_data(settings), which equal settings load once; nobody can write to them."""
    asked = f"{Model} {settings}"
    if asked not in MADE:
        # Settings that differ may want the same glyphs.
        with mock.patch.object(data.glyphs, "load", drawn_once), mock.patch.object(data.pairs, "DRAWN", FEW_PAIRS):
            arrays = Model.load_data(settings)
        MADE[asked] = arrays if isinstance(arrays, tuple) else (arrays,)
        for array in MADE[asked]:
            if isinstance(array, np.ndarray):  # windows of a text are made when they are asked for
                array.flags.writeable = False
    return MADE[asked]


def drawn_once(*args, load=data.glyphs.load, **options):
    """Return glyphs as data.glyphs.load does, which draws what is asked for again only once."""
    asked = f"{args} {options}"
    if asked not in MADE:
        MADE[asked] = load(*args, **options)
    return copy.deepcopy(MADE[asked])


def start(name, **more):
    """Return (model, batches) of an example at its first step, with small batches of its default data."""
    Model, Settings, options = EXAMPLES[name]
    settings = Settings(batch_size=16, **options, **more)
    threads.use(1)
    arrays = [loop.on_device(array) for array in loaded(Model, settings)]
    batches = Batches(*arrays, batch_size=16, rng=np.random.default_rng(1))
    return Model(settings, arrays[0].shape[1:], np.random.default_rng(0)), batches


def some_labels(n):
    """Return n labels, from 0 to 9 and again."""
    return xp.asarray(np.arange(n) % 10)


def drawn(model, z, train=False):
    """Return what G itself, and not an average of it, draws for z."""
    G = copy.deepcopy(model.G)  # in training a forward moves running statistics
    if isinstance(model, text_to_image.TextToImage):
        return G.forward(model.split(z), train)[0]
    return G.forward((z, some_labels(len(z))) if G.takes_pair else z, train)[0]


def scores(model, x, *told, train=False):
    """Return D's logits of "real" for x, which are of `some_labels` unless D is told something else."""
    D = copy.deepcopy(model.D)  # in training a forward moves running statistics
    train = train or isinstance(model, ONE_KIND)  # whose batch norms see one kind of samples, no average of both
    out = D.forward((x, told[0] if told else some_labels(len(x))) if D.takes_pair else x, train)[0]
    if isinstance(model, semi_supervised.SemiSupervisedGAN):
        return losses.realness(out)[0]
    if isinstance(model, ebgan.EBGAN):  # a sample looks real to an autoencoder that draws it well
        return -ebgan.energy(x, out)[0][:, None]
    return out[:, :1]  # beside it there may be logits of classes, or codes


def scores_of_samples(model, z, train=False):
    """Return D's logits of G's samples, whose captions, if any, are part of z."""
    text = model.split(z)[1:] if isinstance(model, text_to_image.TextToImage) else ()
    return scores(model, drawn(model, z, train), *text, train=train)


def what_G_wants(model, z):
    """Return the number that G's steps shall raise, for samples of these z."""
    if isinstance(model, semi_supervised.SemiSupervisedGAN):
        f = model.D.layers[0]
        return -losses.feature_matching(f(real_samples(model, 256)), f(drawn(model, z)))[0]
    if isinstance(model, infogan.InfoGAN):
        out = model.D.forward(model.G.forward(z)[0])[0]
        (category, numbers), _ = model.information(out, z)
        return category + 0.1 * numbers - losses.nonsaturating_generator(out[:, :1])[0]
    dropout = isinstance(model, adversarial_nets.AdversarialNets)  # which would draw other features each time
    return scores_of_samples(model, z, train=not dropout).mean()  # as G's step sees it: by the batch's statistics


def real_samples(model, n):
    """Return the first n real samples, pictures in [-1, 1], or as a model scales them."""
    real = loaded(type(model), model.settings)[0][:n]
    if isinstance(model, semi_supervised.SemiSupervisedGAN):
        return model.scaled(real)
    return xp.asarray(data.to_signed(real) if real.dtype == np.uint8 else real)


def told_to_D(model, batches):
    """Return what a step of D takes: real samples, and what else it wants to know of them."""
    batch = batches.next()
    real, *labels = batch if isinstance(batch, tuple) else (batch,)
    real = real.astype("float32") / 127.5 - 1 if real.dtype == np.uint8 else real
    if isinstance(model, text_to_image.TextToImage):
        return real, captions.bags_of(labels[0]), captions.bags_of(captions.mistaken(labels[0], model.rng))
    if isinstance(model, semi_supervised.SemiSupervisedGAN):
        images, labels = model.draw_labelled(batches, len(real))
        return real, data.to_signed(images), labels
    return real, *labels


def generator_step(model, n):
    """Take a step of G with n samples; some ask for as many real samples, a labelled one for labels."""
    if isinstance(model, training.LabelledModel):
        model.generator_step(some_labels(n))
    elif isinstance(model, WITH_REAL):
        model.generator_step(real_samples(model, n))
    else:
        model.generator_step(n)


def test_the_table_names_every_example():
    assert set(SCRIPTS) <= set(EXAMPLES)


def test_every_name_stands_in_one_room():
    """A run directory is named after the script, and a record after it, too."""
    assert len(PATHS) == len(FILES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_two_steps(name):
    """Losses are finite, and every weight of both networks moves.

    Not every bias: the Wasserstein loss is a difference of scores, in which the critic's last bias cancels.
    """
    model, batches = start(name)
    # The oracle says the data, and the best weights wait for better ones.
    own = lambda path: path.endswith(".W") and not path.startswith(("oracle/", "best/"))
    before = {path: array for path, array in model.state().items() if own(path)}
    assert {path[0] for path in before} >= set((LIKELIHOODS | {"stylegan2": "fgD"}).get(name, "GD"))
    for _ in range(2):
        printed = model.step(batches)
        assert all(np.isfinite(float(loss)) for loss in printed.values())
    after = model.state()
    for path, array in before.items():
        assert not np.array_equal(array, after[path]), f"{path} did not move"


@pytest.mark.parametrize("name", GAMES)
def test_the_generator_hears_the_discriminator(name):
    """G's step is another one if D is another one, and it does not touch D's weights."""
    one, _ = start(name)
    other, _ = start(name)
    for param in other.D.params():
        param.value[...] += 0.01
    before = [param.value.copy() for param in other.D.params()]
    generator_step(one, 16)
    generator_step(other, 16)
    pairs = zip(one.G.params(), other.G.params(), strict=True)
    assert any(not np.array_equal(param.value, twin.value) for param, twin in pairs)
    for param, value in zip(other.D.params(), before, strict=True):
        np.testing.assert_array_equal(param.value, value)
    assert not any(param.grad.any() for param in other.D.params())


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) & set(GAMES) - SMALL))
def test_a_generator_step_raises_what_D_says_of_its_samples(name):
    """The sign of G's objective: with D held fixed, G's samples come to look more real to it."""
    model, _ = start(name)
    n = 64 if isinstance(model, ONE_KIND) else 256
    z = xp.to_device(model.latent(n, np.random.default_rng(2)))
    if isinstance(model, ONE_KIND):  # a batch norm near D's end takes away what all samples of a batch have in common
        model.noise = lambda n: z  # so that D's mean hardly moves but at the very samples that G's steps are about
    before = what_G_wants(model, z)
    for _ in range(20):
        generator_step(model, 64)
    assert what_G_wants(model, z) > before


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) & set(GAMES) - SMALL))
def test_a_discriminator_step_parts_real_from_fake(name):
    """The sign of D's objective: with G held fixed, the scores of real and fake samples move apart."""
    model, batches = start(name)
    real, *told = told_to_D(model, batches)
    z = model.noise(256)
    before = scores(model, real, *told).mean() - scores_of_samples(model, z).mean()
    for _ in range(50):
        model.discriminator_step(real, *told)
    assert scores(model, real, *told).mean() - scores_of_samples(model, z).mean() > before


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_command_line(name, tmp_path, monkeypatch, capsys):
    """Train, sample, walk, resume: as a user would, in an empty directory.

    The help is a process of its own, as it is for a user. What follows runs here, where all is imported already.
    """
    done = subprocess.run([sys.executable, PATHS[name], "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "(default: " in done.stdout, done.stderr
    assert "--latent" in done.stdout or name not in GAMES
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data.glyphs, "load", drawn_once)
    monkeypatch.setattr(data.pairs, "DRAWN", FEW_PAIRS)
    monkeypatch.setattr("scratchgan.data.audio.COUNTS", FEW_PAIRS)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS[name]), *arguments])
        try:
            runpy.run_path(str(PATHS[name]), run_name="__main__")
        except SystemExit as left:
            assert not left.code, capsys.readouterr().err

    width = EXAMPLES[name][2].get("width")
    # One thread: else as many as are idle, and with another number of them sums are rounded otherwise.
    small = ("--batch-size", "8", "--threads", "1", *(("--width", str(width)) if width else ()))
    call("--steps", "4", "--sample-every", "2", *small)
    call("--steps", "2", "--out", "halves", *small)
    call("--resume", "halves", "--steps", "4", "--sample-every", "2")
    run = tmp_path / "runs" / name
    demand_equal(run, tmp_path / "halves")
    call("sample", f"runs/{name}", "--n", "20", "--out", "grid.png")
    if EXAMPLES[name][0].walk not in [kind.walk for kind in OTHERS]:  # which refuse
        call("interpolate", f"runs/{name}", "--out", "walk.png")
    if name == "dcgan":
        call("arithmetic", "runs/dcgan", "--a", "0,1", "--b", "2,3", "--c", "4,5")
        assert Image.open(run / "arithmetic.png").size == (3 * 30 + 2, 4 * 30 + 2)
    for picture in (run / "samples.png", run / "losses.png", run / "training.gif", tmp_path / "grid.png"):
        assert min(Image.open(picture).size) > 50


def test_the_command_line_at_the_root_of_a_clone(tmp_path):
    """By a relative path, as the docs write it; an example in a room finds the one that it starts from."""
    command = [sys.executable, "examples/stability/r1gan.py", "--steps", "2", "--batch-size", "8"]
    done = subprocess.run([*command, "--out", tmp_path / "run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "samples.png").exists()
