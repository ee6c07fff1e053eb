"""A VAE of pictures (Kingma & Welling 2014, "Auto-Encoding Variational Bayes").

    x ~ q(x | z), z ~ N(0, 1):  log q(x) >= E log q(x | z) - KL(r(z | x), N(0, 1)),  z ~ r(z | x)

Both networks ascend the right side (eq. 10), whose KL is a formula: the encoder gives mean and log
variance of r, the decoder the logits of q(x | z), in which all pixels are independent. A pixel is
black or white: at each step it is drawn anew, white as often as it is bright. So q(x) is a
probability of bits, and the bound counts nats of a proper likelihood.

    python examples/relatives/vae.py                             # glyphs
    python examples/relatives/vae.py --data mnist
    python examples/relatives/vae.py bound runs/vae              # nats, beside independent pixels
    python examples/relatives/vae.py reconstruct runs/vae        # beside PCA
"""

import math
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, plots, training, xp
from scratchgan.layers import Dense, Fork, GaussianSample, ReLU, Sequential
from scratchgan.layers.functions import sigmoid, softplus
from scratchgan.metrics.anomaly import principal
from scratchgan.metrics.frechet import frechet
from scratchgan.optim import Adam
from scratchgan.training import command, evaluate, option


@dataclass
class Settings(training.Settings):
    steps: int = option(10_000, "training steps", minimum=1)
    batch_size: int = option(100, "pictures in a training step", minimum=1)
    lr: float = option(1e-3, "learning rate", minimum=1e-12)
    latent: int = option(20, "length of the latent vector z", minimum=1)
    width: int = option(400, "units of the hidden layers; 0: no such layers", minimum=0)


class VAE(training.Model):
    """Encoder: bits (N, 784) to (mean, log_var), (N, latent) each; decoder: z to 784 logits."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        pixels, latent, width = math.prod(shape), settings.latent, settings.width
        hidden = lambda n: [Dense(n, width, rng=rng), ReLU()] if width else []
        heads = Fork(*[Dense(width or pixels, latent, rng=rng) for _ in range(2)])
        self.encoder = Sequential(*hidden(pixels), heads)
        self.sample = GaussianSample(rng=rng)
        self.decoder = Sequential(*hidden(latent), Dense(width or latent, pixels, rng=rng))
        params = self.encoder.params() + self.decoder.params()
        self.optimizer = Adam(params, settings.lr, betas=(0.9, 0.999))

    def step(self, batches):
        # both descend -E log q(x | z) + KL(r(z | x), N(0, 1)), the sums over pixels and latents
        x = draw_bits(xp.to_device(batches.next()), self.rng)  # (N, 784)
        (mean, log_var), encoder_tape = self.encoder.forward(2 * x - 1)
        z, sample_tape = self.sample.forward((mean, log_var))
        logits, decoder_tape = self.decoder.forward(z)
        loss, d_logits = losses.binary_cross_entropy(logits, x)  # the mean over pixels, too
        kl, d_mean, d_log_var = losses.gaussian_kl(mean, log_var)
        dz = self.decoder.backward(decoder_tape, x.shape[1] * d_logits)  # into it, and through it
        (by_mean, by_log_var), _ = self.sample.pull(sample_tape, dz)
        self.encoder.accumulate(encoder_tape, (by_mean + d_mean, by_log_var + d_log_var))
        self.optimizer.step()
        return {"-log q(x|z)": x.shape[1] * loss, "KL": kl}

    def generate(self, z):
        """Return how bright each pixel is on average, given z: q(x | z), from -1 to 1."""
        return 2 * sigmoid(self.decoder(z)).reshape(-1, *self.shape) - 1

    def reconstruct(self, images):
        """Return what the decoder makes of r's means, of uint8 images (n, H, W, C), on the host."""
        draw = lambda x: self.generate(self.encoder(x.reshape(len(x), -1))[0])
        return data.to_bytes(self.infer(draw, images))

    def log_weights(self, x, draws):
        """Return log q(x, z) - log r(z | x) for bits x (N, 784) and so many z each: (draws, N).

        Their mean is the bound; log of the mean of their exp is a tighter one (Burda et al. 2016).
        """
        mean, log_var = self.encoder(2 * x - 1)
        rows = []
        for _ in range(draws):
            z, _ = self.sample.forward((mean, log_var))
            logits = self.decoder(z)
            of_x = -softplus((1 - 2 * x) * logits).sum(axis=1)  # log q(x | z)
            noise = (z - mean) * xp.exp(-0.5 * log_var)  # both normal densities have (2 pi)^-1/2
            rows.append(of_x + 0.5 * (noise * noise + log_var - z * z).sum(axis=1))
        return xp.stack(rows)


def draw_bits(images, rng):
    """Return bits (N, pixels), float32: 1 with the probability grey / 255, for uint8 images."""
    grey = images.reshape(len(images), -1).astype("float32") / 255
    return (xp.to_device(rng.random(grey.shape, dtype="float32")) < grey).astype("float32")


@dataclass
class Options:
    draws: int = option(100, "z of each picture, for the tighter bound", minimum=1)
    n: int = option(10_000, "pictures", minimum=20)
    classifier: str = option("", "weights of examples/uses/classifier.py, as `evaluate` takes them")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: in RUN, named after the command)")


def bound(Model, Settings, program, argv):
    """Print bounds on log q of test pictures, in nats, beside independent pixels."""
    run, options = command.parse_run(program, "bound", bound.__doc__, Options, argv)
    model = command.load(Model, Settings, run, options)
    asked, known = model.settings, evaluate.load(model, model.settings)
    given = {"seed": asked.seed, "split": "test", "hold_out": asked.hold_out}
    test = data.load_images(asked.data, data_dir=asked.data_dir or None, **given).images
    test, rng = test[: options.n], np.random.default_rng(asked.seed)
    bits = [draw_bits(xp.to_device(test[i : i + 500]), rng) for i in range(0, len(test), 500)]
    weights = [xp.to_host(model.log_weights(x, options.draws)) for x in bits]
    w = np.concatenate(weights, axis=1).astype("float64")  # (draws, n)
    p = (known.reshape(len(known), -1).sum(axis=0) / 255 + 0.5) / (len(known) + 1)  # of a 1
    x = np.concatenate([xp.to_host(some) for some in bits])
    numbers = {
        "the bound": w.mean(),
        f"of {options.draws} draws": (np.logaddexp.reduce(w) - math.log(options.draws)).mean(),
        "independent pixels": (x @ np.log(p) + (1 - x) @ np.log(1 - p)).mean(),
    }
    print("\n".join(f"{name}: {value:.2f} nats" for name, value in numbers.items()))
    command.write_numbers(numbers, options.out or run / "bound.json")


def reconstruct(Model, Settings, program, argv):
    """Draw held-out pictures above their reconstructions; print errors and FID beside PCA's."""
    run, options = command.parse_run(program, "reconstruct", reconstruct.__doc__, Options, argv)
    out = command.output(options, run, "reconstruct.png")
    model = command.load(Model, Settings, run, options)
    against = evaluate.prepare(model, options.n, options.classifier)
    known, test = against.train, against.held_out.data
    pca = lambda images: principal(known, images, model.settings.latent)
    rows, numbers = [test[:10]], {}
    for name, way in (("model", model.reconstruct), ("PCA", pca)):
        y, seen = way(test), against.sample(way(known[: against.n]))  # seen: as of the floor
        error = ((y / 255 - test / 255) ** 2).mean()
        distance = frechet(seen.features, against.held_out.features)
        numbers[name] = {"squared error of a pixel": error, "FID-LeNet": distance}
        print(f"{name}: squared error of a pixel {error:.4f}, FID-LeNet {distance:.1f}")
        rows.append(y[:10])
    command.write(plots.grid(np.concatenate(rows), columns=10), out)
    command.write_numbers(numbers, out.with_suffix(".json"))


if __name__ == "__main__":
    training.main(VAE, Settings, commands=[bound, reconstruct])
