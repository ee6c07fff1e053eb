"""The first GAN as its authors trained it on MNIST (Goodfellow et al. 2014, section 5).

    D ascends  1/2 (E log D(x) + E log(1 - D(G(z))));   G ascends  E log D(G(z))         (section 3)

G is a perceptron of rectifiers and sigmoids; D one of maxout units, with dropout. What counts is
the authors' measure, the log-likelihood of test images under Parzen windows around 10,000 samples:
theirs is 225 +- 2 nats (table 1). What the paper leaves open is as in the authors' code, but for
the weights with which G begins. docs/adversarial_nets.md lists it, and shows what came out.

    python examples/stability/adversarial_nets.py                            # glyphs
    python examples/stability/adversarial_nets.py --data mnist
    python examples/stability/adversarial_nets.py --data mnist --bound 0.05  # all as the authors'
    python examples/stability/adversarial_nets.py parzen runs/adversarial_nets    # log-likelihood
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.examples import gan
from scratchgan.layers import Dense, Dropout, Flatten, Maxout, ReLU, Reshape, Sequential, Sigmoid
from scratchgan.metrics.parzen import log_likelihood
from scratchgan.optim import SGD
from scratchgan.training import command, option


@dataclass
class Settings(training.Settings):
    """The authors', but for steps, as their run had no fixed end, and for `bound`."""

    steps: int = option(10_000, "training steps: one is a step of D and a step of G", minimum=1)
    batch_size: int = option(100, "real images in a training step", minimum=1)
    lr: float = option(0.1, "learning rate at first; a step divides it by 1.000004", minimum=1e-12)
    latent: int = option(100, "length of the latent vector z", minimum=1)
    bound: float = option(0.15, "largest weight of G at first; the authors': 0.05", minimum=1e-12)
    average: float = option(0.0, "decay of G's average; 0: none", minimum=0, maximum=0.99999)


class AdversarialNets(gan.GAN):
    """Both steps are those of `gan.py`; networks, noise and optimizers are the authors'.

    G: 100-1200-1200-784; D: 784-240-240-1, maxout of 5 pieces; for images with pixels in [0, 1].
    D's dropout stays on in G's step.
    """

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.opt_G = SGD(self.G.params(), decaying(settings.lr), momentum=0.5)
        # D ascends 1/2 (log D(x) + log(1 - D(G(z)))): the 1/2 is in its learning rate
        self.opt_D = SGD(self.D.params(), decaying(settings.lr / 2), momentum=0.5)

    def networks(self, shape, rng):
        pixels, bound = int(np.prod(shape)), self.settings.bound
        G = Sequential(
            dense(self.settings.latent, 1200, bound, rng), ReLU(),
            dense(1200, 1200, bound, rng), ReLU(),
            dense(1200, pixels, bound, rng), Sigmoid(), Reshape(*shape),
        )  # fmt: skip
        D = Sequential(
            Flatten(),
            Dropout(0.2, rng=rng), dense(pixels, 5 * 240, 0.005, rng), Maxout(5),
            Dropout(0.5, rng=rng), dense(240, 5 * 240, 0.005, rng), Maxout(5),
            Dropout(0.5, rng=rng), dense(240, 1, 0.005, rng),
        )  # fmt: skip
        return G, D

    def objectives(self):
        return losses.nonsaturating_discriminator, losses.nonsaturating_generator

    @staticmethod
    def load_data(settings):
        return split(settings)[0]  # (N, H, W, C)

    def latent(self, n, rng):
        """Return n latent vectors, uniform with a variance of 1: float32, on the host."""
        return rng.uniform(-(3**0.5), 3**0.5, (n, self.settings.latent)).astype(np.float32)

    def step(self, batches):
        steps = self.opt_G.steps
        if steps == 0:
            self.begin_at_the_mean(batches.arrays[0])
        grown = min(0.5 + 0.2 * steps / 125_000, 0.7)  # 250 epochs of 50,000 pictures
        self.opt_G.momentum = self.opt_D.momentum = grown
        real = xp.to_device(batches.next()).astype("float32") / 255  # (N, H, W, C)
        return {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}

    def begin_at_the_mean(self, images):
        """Choose G's last bias b such that sigmoid(b) is the mean image."""
        mean = xp.asarray(images).mean(axis=0, dtype="float32").ravel() / 255
        mean = xp.clip(mean, 1e-7, 1 - 1e-7)
        self.G.layers[4].b.value[...] = xp.log(mean / (1 - mean))

    def generate(self, z):
        return 2 * self.G(z) - 1  # [-1, 1], as all models here


def dense(inputs, outputs, bound, rng):
    """Return a Dense layer with W ~ U(-bound, bound)."""
    uniform = lambda shape, rng: xp.to_device(rng.uniform(-bound, bound, shape), np.float32)
    return Dense(inputs, outputs, rng=rng, initialize=uniform)


def decaying(lr):
    """Return the authors' schedule: lr / 1.000004^step, but not below 1e-6."""
    return lambda step: max(lr * 1.000004**-step, 1e-6)


def split(settings):
    """Return the training images but their last sixth, and that sixth; of MNIST, 10,000."""
    options = {"data_dir": settings.data_dir or None, "hold_out": settings.hold_out}
    images = data.load_images(settings.data, seed=settings.seed, **options).images
    some = len(images) - len(images) // 6
    return images[:some], images[some:]


@dataclass
class ParzenOptions:
    n: int = option(10_000, "how many samples of G", minimum=1)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/parzen.json)")


def parzen(Model, Settings, program, argv):
    """Print the log-likelihood of test images, by Parzen windows around samples; write it down."""
    run, options = command.parse_run(program, "parzen", parzen.__doc__, ParzenOptions, argv)
    model = command.load(Model, Settings, run, options)
    settings, n = model.settings, options.n
    z = xp.to_device(model.latent(n, np.random.default_rng(0)))
    parts = [xp.to_host(model.G(z[i : i + 1000])) for i in range(0, n, 1000)]
    samples = np.concatenate(parts)  # in [0, 1]
    train, validation = split(settings)
    load = {"data_dir": settings.data_dir or None, "seed": settings.seed}
    test = data.load_images(settings.data, split="test", **load).images
    # 1,000 images choose sigma
    others = [images.reshape(len(images), -1) / 255 for images in (validation[:1000], test)]
    report = {"n": n, "test images": len(test)}
    for name, points in (("samples", samples), ("training images", train[:n] / 255)):
        mean, error, sigma = log_likelihood(points.reshape(len(points), -1), *others)
        nats = f"{mean:.1f} +- {error:.1f} nats, with a sigma of {sigma:.3g}"
        print(f"{len(points):,} {name}: {nats}")
        report[name] = {"nats": mean, "error": error, "sigma": sigma}
    command.write_numbers(report, options.out or run / "parzen.json")


if __name__ == "__main__":
    training.main(AdversarialNets, Settings, commands=[parzen])
