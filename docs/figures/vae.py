"""Pictures of trained runs of `examples/relatives/vae.py` and `vae_gan.py`, beside each other and beside PCA.

    python docs/figures/vae.py --runs runs/vae runs/vae_gan-no-gan runs/vae_gan
    python docs/figures/vae.py --manifold runs/vae-latent-2               # figure 4 of Kingma & Welling 2014

First: a row of test pictures, below it what PCA of 20 numbers makes of them, then each run; beside it, in the rows of
the runs, samples. Second: what the decoder makes of a grid of two latents, at equal steps of their probability.
"""

import argparse
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np

from scratchgan import data, plots, training, xp
from scratchgan.examples.relatives import vae, vae_gan
from scratchgan.metrics.anomaly import principal
from scratchgan.support.errors import UserError
from scratchgan.training.drawing import enlarge

IMAGES = Path(__file__).resolve().parents[1] / "images"
COLUMNS, SIDE, GAP = 12, 20, 8  # pictures in a row; in a row of the manifold; pixels between the two halves


def load(run):
    """Return the trained model of a run of either example."""
    try:
        return training.load_model(vae.VAE, vae.Settings, run)
    except UserError:
        return training.load_model(vae_gan.VAEGAN, vae_gan.Settings, run)


def compared(models):
    """Return one picture: test pictures, PCA's reconstructions, those of each model, and samples beside them."""
    asked = models[0].settings
    known, test = (data.load_images(asked.data, data_dir=asked.data_dir or None, seed=asked.seed, split=split).images
                   for split in ("train", "test"))  # fmt: skip
    test = test[:COLUMNS]
    left = [test, principal(known, test, asked.latent), *(model.reconstruct(test) for model in models)]
    drawn = [model.images(xp.to_device(model.latent(COLUMNS, np.random.default_rng(0)))) for model in models]
    right = [known[:COLUMNS], np.full_like(test, 255), *drawn]
    halves = [plots.grid(np.concatenate(rows), columns=COLUMNS) for rows in (left, right)]
    return np.concatenate([halves[0], np.full_like(halves[0][:, :GAP], 255), halves[1]], axis=1)


def manifold(model):
    """Return one picture of what a decoder of two latents makes of the quantiles of a normal distribution."""
    axis = [NormalDist().inv_cdf((i + 0.5) / SIDE) for i in range(SIDE)]
    z = np.array([(x, -y) for y in axis for x in axis], np.float32)
    return plots.grid(model.images(xp.to_device(z)), columns=SIDE)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="run directories of either example")
    parser.add_argument("--manifold", type=Path, help="a run directory of vae.py with --latent 2")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of vae.png and vae_manifold.png")
    options = parser.parse_args(argv)
    try:
        if options.runs:
            plots.save(enlarge(compared([load(run) for run in options.runs]), 2), options.out / "vae.png")
        if options.manifold:
            model = load(options.manifold)
            if model.settings.latent != 2:
                raise UserError(f"{options.manifold} has {model.settings.latent} latents: train with --latent 2.")
            plots.save(manifold(model), options.out / "vae_manifold.png")
    except UserError as error:
        sys.exit(f"vae.py: error: {error}")


if __name__ == "__main__":
    main()
