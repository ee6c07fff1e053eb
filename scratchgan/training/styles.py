"""StyleTransfer: a Translation of a glyph into a face that other glyphs tell of; and what classifiers make of it."""

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import data, xp
from scratchgan.data import faces
from scratchgan.metrics import classifier
from scratchgan.metrics.pixels import psnr
from scratchgan.support.errors import UserError
from scratchgan.training.command import load, parse_run, write_numbers
from scratchgan.training.settings import option
from scratchgan.training.translation import REPORTED, Comparison, Translation


class StyleTransfer(Translation):
    """A Translation whose input has a plain glyph in its first channel, and K style glyphs in the others.

    settings.styles is K, settings.glyphs the number to train on. Training data are (truths, inputs, faces); test
    glyphs are new pairs of a character and a face, new characters, and new faces: `data.faces` says which.
    """

    classes = "characters"

    @classmethod
    def load_data(cls, settings):
        return draw(settings, "train", settings.glyphs)[:3]

    @staticmethod
    def load_pairs(settings, split):
        tests = [draw(settings, name, REPORTED) for name in faces.SPLITS[1:]]
        truths, inputs, _, characters = (np.concatenate(part) for part in zip(*tests, strict=True))
        return data.Pairs(inputs, truths, characters)

    @staticmethod
    def given(x):
        """Return what x's channels hold: a plain glyph (N, H, W_, 1) and style glyphs (N, K, H, W_, 1)."""
        return x[..., :1], xp.ascontiguousarray(xp.moveaxis(x[..., 1:], -1, 1)[..., None])

    @property
    def shown(self):
        return ("content", *["style"] * self.settings.styles, "output", "truth")

    def latent(self, n, rng):
        """Return n inputs and their truths, of all three kinds of test glyphs: float32 (n, H, W_, 1 + K + 1)."""
        pairs = self.held_out_pairs()
        chosen = pairs.rows(rng.choice(len(pairs.inputs), n, replace=n > len(pairs.inputs)))
        return data.to_signed(np.concatenate([chosen.inputs, chosen.truths], axis=-1))

    def split(self, z):
        return z[..., :-1], z[..., -1:]

    def columns(self, z):
        inputs, outputs, truths = super().columns(z)
        return (*np.split(inputs, inputs.shape[-1], axis=-1), outputs, truths)

    def comparisons(self, n):
        """Return {kind of test glyphs: Comparison}; its inputs are the plain glyphs."""
        tests = {name: draw(self.settings, name, n) for name in faces.SPLITS[1:]}
        translated = {name: self.translated(test.inputs) for name, test in tests.items()}
        return {
            name: Comparison(test.inputs[..., :1], translated[name], test.truths, test.characters)
            for name, test in tests.items()
        }


def draw(settings, split, n):
    """Return n glyphs of a split."""
    return draw_once(split, n, settings.styles, settings.seed)


@functools.lru_cache(maxsize=8)
def draw_once(split, n, styles, seed):
    return faces.load(n, split=split, styles=styles, seed=seed)


# ---- the command `recognise` -----------------------------------------------------------------------------


@dataclass
class RecogniseOptions:
    n: int = option(2000, "glyphs of each kind", minimum=1)
    styles: int = option(0, "style glyphs of each; 0: as many as in training", minimum=0, maximum=16)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/recognised.json)")


def recognise(Model, Settings, program, argv):
    """Count how often classifiers name the right character and face of what a model draws; write recognised.json.

    The same is counted of the true glyphs, of the plain ones, and of the nearest training glyph of the wanted face.
    """
    run, options = parse_run(program, "recognise", recognise.__doc__, RecogniseOptions, argv)
    model = load(Model, Settings, run, options)
    judges = [classifier.load(name) for name in ("characters", "faces")]
    if model.shape != judges[0].shape:
        raise UserError(f"recognise takes pictures of the shape {judges[0].shape}, not {model.shape}.")
    settings = dataclasses.replace(model.settings, styles=options.styles or model.settings.styles)
    known, numbers = draw(model.settings, "train", settings.glyphs), {}
    for name in faces.SPLITS[1:]:
        tests = draw(settings, name, options.n)
        pictures = {"truth": tests.truths, "output": model.translated(tests.inputs),
                    "plain": tests.inputs[..., :1], "nearest": nearest(tests, known)}  # fmt: skip
        numbers[name] = {row: recognised(images, tests, *judges) for row, images in pictures.items()}
        print(f"{name:16}{'character':>12}{'face':>12}{'PSNR':>12}")
        for row, found in numbers[name].items():
            decibels = "-" if found["PSNR"] is None else f"{found['PSNR']:.2f} dB"
            print(f"  {row:14}{found['character']:12.1%}{found['face']:12.1%}{decibels:>12}")
    facts = {"n": options.n, "styles": settings.styles, **{f"hash of {judge.name}": judge.hash for judge in judges}}
    write_numbers(facts | numbers, options.out or run / "recognised.json")


def recognised(images, tests, by_character, by_face):
    """Return the shares of images with the right character and face, and the mean PSNR; None for the truths."""
    character, face = by_character.accuracy(images, tests.characters), by_face.accuracy(images, tests.faces)
    decibels = psnr(images, tests.truths)
    decibels = float(decibels.mean()) if np.isfinite(decibels).all() else None
    return {"character": character, "face": face, "PSNR": decibels}


def nearest(tests, known):
    """Return for each test the glyph of its face that is most like its plain form: one that is known, or is shown."""
    found = tests.truths.copy()
    for row, (plain, *shown) in enumerate(np.moveaxis(tests.inputs, -1, 1)):
        candidates = known.truths[known.faces == tests.faces[row]][..., 0]
        candidates = candidates if len(candidates) else np.stack(shown)
        distance = ((candidates.astype(np.float32) - plain) ** 2).sum(axis=(1, 2))
        found[row, :, :, 0] = candidates[distance.argmin()]
    return found
