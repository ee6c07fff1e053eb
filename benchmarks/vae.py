"""Train the VAE and VAE-GAN on MNIST, measure both beside simple models, and write the records.

    python benchmarks/vae.py                                   # seed 0 of each row
    python benchmarks/vae.py --only vae --seeds 0 1 2
    python benchmarks/vae.py --only baselines                  # no training: a minute

It runs the commands that a user would: train, `evaluate`, `reconstruct`, and of the VAE `bound`; and then writes
docs/results.md. Each row has a run directory; called again, the script goes on where it stopped, and skips what has
its record. It needs the classifier of `python examples/uses/classifier.py --data mnist`.

The baselines are of the same bits: pixels that are independent; PCA as an encoder and a decoder, whose bound is a
bound as the VAE's; a mixture of products of Bernoullis, whose likelihood is exact.
"""

import argparse

import numpy as np
import results
import trainings

from scratchgan import data
from scratchgan.examples.relatives.vae import draw_bits
from scratchgan.fast import threads

SECTION = "autoencoders"
ROWS = ("vae", "vae --width 0", "vae --latent 2", "vae_gan", "vae_gan --no-gan")
KEPT = 20, 1e-3  # components of PCA, as many as the VAE has latents; the least probability of a pixel
KINDS, PASSES = 200, 30  # of the mixture; passes of EM


def main(argv=None):
    """Measure every row that has no record yet, and write the page each time."""
    options = parse(argv)
    if "baselines" in options.only:
        threads.use(options.threads or 1)
        for name, nats in baselines(options.seeds[0]).items():
            print(f"{name}: {nats:.2f} nats")
    chosen = [what for what in ROWS if what in options.only]
    trainings.every(chosen, lambda what, seed: measure(what, seed, options), options)


def parse(argv):
    parser = argparse.ArgumentParser("vae.py", description=__doc__.split("\n")[0])
    trainings.add_options(parser, ["baselines", *ROWS], "runs/vae")
    return parser.parse_args(argv)


def measure(what, seed, options):
    """Train and measure a row, go on with it, or skip it; write its record."""
    example, *given = what.split()
    given += ["--data", "mnist"]
    steps = trainings.settings(example).steps
    if trainings.measured(SECTION, what, seed, steps):
        return
    print(f"---- {what}, seed {seed}", flush=True)
    run = trainings.directory(options, what.replace(" --", "-").replace(" ", "-"), seed)
    trainings.train(example, run, (*given, "--seed", seed), steps, options)
    script = results.script(example)
    result = trainings.result_of(run / "metrics.json", script, "evaluate", run)["metrics"]
    drawn = trainings.result_of(run / "reconstruct.json", script, "reconstruct", run)["model"]
    numbers = {name: result[name]["value"] for name in ("FID-LeNet", "precision-LeNet", "recall-LeNet")}
    numbers |= {"FID of reconstructions": drawn["FID-LeNet"], "squared error": drawn["squared error of a pixel"]}
    if example == "vae":
        bounds = trainings.result_of(run / "bound.json", script, "bound", run)
        numbers |= {"bound, nats": bounds["the bound"], "of 100 draws": bounds["of 100 draws"]}
    about = {"section": SECTION, "what": what, "budget": "default", "seed": seed, "steps": steps,
             "seconds": trainings.at(run, steps)["seconds"], "hardware": trainings.hardware(options),
             "command": " ".join(("python", script, *given, f"--seed {seed}")),
             "protocol": "10,000 test pictures; FIDs of 10,000 samples, and of as many training pictures reconstructed",
             "numbers": numbers, "floors": {"FID-LeNet": result["FID-LeNet"]["floor"]}}  # fmt: skip
    results.save(about)
    results.write_page(results.load())


# ---- models without a network ----------------------------------------------------------------------------


def baselines(seed):
    """Return {name: nats} of the bits of MNIST's test pictures, drawn by a seed."""
    rng = np.random.default_rng(seed)
    train, test = (data.load_images("mnist", split=split).images.reshape(-1, 784) for split in ("train", "test"))
    x, bits = draw_bits(test, rng), draw_bits(train, rng)
    p = (train.sum(axis=0) / 255 + 0.5) / (len(train) + 1)
    return {
        "independent pixels": (x @ np.log(p) + (1 - x) @ np.log(1 - p)).mean(),
        f"PCA, {KEPT[0]} components, a bound": principal(bits, x, rng).mean(),
        f"mixture of {KINDS} products": mixture(train, x, rng).mean(),
    }


def principal(bits, x, rng):
    """Return the bound on log q(x) of PCA as an encoder and a decoder, of bits x (N, 784), fitted to others: (N,).

    The encoder is the posterior of probabilistic PCA (Tipping & Bishop 1999), fitted to the bits: x = m + W z + noise.
    The decoder says that pixel d is 1 with the probability (m + W z)_d, kept within [0.001, 0.999]. One z a picture.
    """
    (k, least), mean = KEPT, bits.mean(axis=0)
    spread, U = np.linalg.eigh(np.cov(bits.T))
    spread, U, noise = spread[: -k - 1 : -1], U[:, : -k - 1 : -1], spread[:-k].mean()  # the largest k first
    W = U * np.sqrt(spread - noise)
    means, variances = (x - mean) @ W / spread, noise / spread
    z = means + np.sqrt(variances) * rng.standard_normal(means.shape)
    p = np.clip(mean + z @ W.T, least, 1 - least)
    kl = 0.5 * (means**2 + variances - 1 - np.log(variances)).sum(axis=1)
    return np.log(np.where(x == 1, p, 1 - p)).sum(axis=1) - kl


def mixture(images, x, rng):
    """Return log q(x), (N,), q a mixture of products of Bernoullis, fitted by EM: bits are drawn anew in each pass."""
    grey = images / np.float32(255)
    p = 0.25 + 0.5 * grey[rng.permutation(len(grey))[:KINDS]]  # (KINDS, 784): begun at pictures
    share, everywhere = np.full(KINDS, 1 / KINDS), grey.mean(axis=0)

    def log_joint(bits):
        return bits @ np.log(p / (1 - p)).T + np.log(1 - p).sum(axis=1) + np.log(share)  # (N, KINDS)

    for _ in range(PASSES):
        bits = draw_bits(images, rng)
        joint = log_joint(bits)
        whose = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]).astype("float32")
        count = whose.sum(axis=0)
        p = np.clip((whose.T @ bits + everywhere) / (count + 1)[:, None], 1e-3, 1 - 1e-3)  # one more: the mean picture
        share = (count + 1) / (count + 1).sum()
    return np.logaddexp.reduce(log_joint(x), axis=1)


if __name__ == "__main__":
    main()
