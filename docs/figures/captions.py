"""How often samples of `examples/labels/text_to_image.py` match each attribute of their captions, and a picture.

    python docs/figures/captions.py runs/text_to_image

A network with a head for each attribute is trained on new glyphs. Its accuracy on others bounds what can be seen:
between a light bold and a heavy regular face, or an italic and a sheared upright, pictures alone do not decide.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scratchgan import data, losses, plots, training
from scratchgan.data import Batches, captions, glyphs
from scratchgan.examples.labels import text_to_image
from scratchgan.layers import Conv2d, Dense, Flatten, MaxPool, ReLU, Sequential
from scratchgan.optim import Adam, cosine
from scratchgan.support.errors import UserError
from scratchgan.support.files import write_json

ROOT = Path(__file__).resolve().parents[2]
SHOWN = (
    "a zero", "a bold one", "an italic two", "a small three, tilted left", "a large four, tilted right",
    "a bold italic five", "a small bold six", "a bold italic seven, tilted left",
)  # fmt: skip
STEPS, SAMPLES, SEED = 1500, 2000, 7  # a seed of which no run's training pictures are drawn
ENDS = np.cumsum(captions.VALUES)[:-1]


def train_judge():
    """Return a network from pictures to logits, side by side, of the values of each attribute."""
    rng = np.random.default_rng(SEED)
    found = glyphs.load(20_000, seed=SEED)
    batches = Batches(found.images, captions.attributes(found.factors), batch_size=64, rng=rng)
    net = Sequential(
        Conv2d(1, 12, 5, padding=2, rng=rng), ReLU(), MaxPool(2), Conv2d(12, 24, 3, padding=1, rng=rng), ReLU(),
        MaxPool(2), Flatten(), Dense(7 * 7 * 24, 128, rng=rng), ReLU(), Dense(128, sum(captions.VALUES), rng=rng),
    )  # fmt: skip
    optimizer = Adam(net.params(), cosine(1e-3, STEPS), betas=(0.9, 0.999))
    for _ in range(STEPS):
        images, attributes = batches.next()
        logits, tape = net.forward(data.to_signed(images))
        heads = np.split(logits, ENDS, axis=1)
        parts = [losses.softmax_cross_entropy(head, a)[1] for head, a in zip(heads, attributes.T, strict=True)]
        net.accumulate(tape, np.concatenate(parts, axis=1))
        optimizer.step()
    return net


def right(net, images, attributes):
    """Return which attributes a network sees in each picture: booleans (n, 5)."""
    logits = np.concatenate([net(data.to_signed(images[i : i + 250])) for i in range(0, len(images), 250)])
    seen = np.stack([head.argmax(1) for head in np.split(logits, ENDS, axis=1)], axis=1)
    return seen == attributes


def draw(model, path):
    """Draw a row of 12 samples beside each caption."""
    z = np.tile(model.latent(12, np.random.default_rng(0)), (len(SHOWN), 1))
    z[:, model.settings.latent :] = captions.bags(SHOWN).repeat(12, axis=0)
    samples = plots.grid(model.images(z), columns=12)[..., 0]
    picture = Image.new("L", (samples.shape[1] + 200, samples.shape[0]), 255)
    picture.paste(Image.fromarray(samples), (200, 0))
    for row, text in enumerate(SHOWN):
        ImageDraw.Draw(picture).text((4, 10 + 30 * row), text, fill=0)
    picture.save(path)


def main(run, out):
    model = training.load_model(text_to_image.TextToImage, text_to_image.Settings, run)
    draw(model, out)
    net = train_judge()
    real = glyphs.load(SAMPLES, seed=SEED + 1)
    rng = np.random.default_rng(SEED)
    asked = captions.draw(SAMPLES, rng)
    z = np.hstack([model.latent(SAMPLES, rng)[:, : model.settings.latent], captions.bags_of(asked)])
    held_out, generated = right(net, real.images, captions.attributes(real.factors)), right(net, model.images(z), asked)
    found = {"n": SAMPLES}
    print(f"{'attribute':10} {'samples':>8} {'real':>8} {'always the commonest':>22}")
    for i, name in enumerate((*captions.ATTRIBUTES, "all five")):
        which = slice(i, i + 1) if name in captions.ATTRIBUTES else slice(None)
        shares = [float(seen[:, which].all(axis=1).mean()) for seen in (generated, held_out)]
        shares.append(commonest(asked[:, which]))
        print("{:10} {:8.3f} {:8.3f} {:22.3f}".format(name, *shares))
        found[name] = dict(zip(("samples", "real glyphs", "always the commonest"), shares, strict=True))
    write_json(Path(run) / "captions.json", found)


def commonest(attributes):
    """Return how often one is right who always says what is said most often."""
    return float(np.unique(attributes, axis=0, return_counts=True)[1].max() / len(attributes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", metavar="RUN", help="run directory of examples/labels/text_to_image.py")
    parser.add_argument("--out", default=ROOT / "docs" / "images" / "captions.png", help="picture to write")
    options = parser.parse_args()
    try:
        main(options.run, options.out)
    except UserError as error:
        print(f"captions.py: error: {error}", file=sys.stderr)
        sys.exit(2)
