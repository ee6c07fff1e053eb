"""Remedies, each a flag (Salimans et al. 2016, "Improved Techniques for Training GANs").

Without a flag it is the plain GAN of pacgan.py, on its ring or grid. With f the features of D's
last hidden layer:

    --feature-matching        G descends |E f(x) - E f(G(z))|^2, not its own loss (section 3.1)
    --batch-layer NAME        D sees how alike a batch is: minibatch discrimination (section 3.2)
                              or std, its standard deviation (Karras et al. 2018, section 3)
    --historical-averaging W  both players pay W |theta - mean of all past theta|^2 (section 3.3)
    --real-target 0.9         label smoothing: what D is asked for on real samples (section 3.4)
    --instance-noise S        what D sees gets normal noise, of deviation S at first, which fades in
                              --noise-steps: the densities overlap (Arjovsky & Bottou 2017)

Two more are flags of every example of this folder: --lr-D, a learning rate of D's own (two time
scales, Heusel et al. 2017), and --average, samples from an average of G's weights.

    python examples/collapse/improved_gan.py --feature-matching
    python examples/collapse/improved_gan.py --batch-layer discrimination --data grid
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, training, xp
from scratchgan.examples.collapse import pacgan
from scratchgan.layers import MinibatchDiscrimination, MinibatchStd, Sequential
from scratchgan.optim import Adam
from scratchgan.support.errors import UserError
from scratchgan.training import option


@dataclass
class Settings(pacgan.Protocol):
    """PacGAN's networks and protocol."""

    feature_matching: bool = option(False, "G matches the mean of D's features instead")
    batch_layer: str = option("none", "layer of D", choices=("none", "discrimination", "std"))
    historical_averaging: float = option(0.0, "price of leaving past weights' mean", minimum=0)
    real_target: float = option(1.0, "what D is asked for on real samples", minimum=0.5, maximum=1)
    instance_noise: float = option(0.0, "deviation of noise on what D sees, at first", minimum=0)
    noise_steps: int = option(5000, "steps after which that noise is gone", minimum=1)


class ImprovedGAN(pacgan.PlainGAN):
    """G of `pacgan.py`; D in two parts: features, and what makes a logit of them."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        half = settings.width // 2
        *features, last = pacgan.discriminator(2, half, rng).layers
        self.D = Sequential(Sequential(*features), head(settings, half, last, rng))
        betas = settings.beta1, 0.999
        self.opt_D = Adam(self.D.params(), settings.lr_D or settings.lr, betas=betas)
        # of all past weights
        self.means = [optimizer.flat.value.copy() for optimizer in (self.opt_G, self.opt_D)]

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(real)}

    def equilibrium(self):
        other_game = self.settings.feature_matching or self.settings.real_target < 1
        return {} if other_game else super().equilibrium()

    def discriminator_step(self, real):
        # D ascends t log D(x) + (1 - t) log(1 - D(x)) + log(1 - D(G(z))), t the real target
        fake, _ = self.G.forward(self.noise(len(real)))
        real_logits, real_tape = self.D.forward(self.seen(real))
        fake_logits, fake_tape = self.D.forward(self.seen(fake))
        loss, d_real, d_fake = losses.nonsaturating_discriminator(
            real_logits, fake_logits, real_target=self.settings.real_target
        )
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.update(self.opt_D, self.means[1])
        return loss

    def generator_step(self, real):
        # G ascends log D(G(z)), or descends |E f(x) - E f(G(z))|^2
        fake, G_tape = self.G.forward(self.noise(len(real)))
        if self.settings.feature_matching:
            loss, d_fake = self.match(self.seen(real), self.seen(fake))
        else:
            logits, D_tape = self.D.forward(self.seen(fake))
            loss, d_logits = losses.nonsaturating_generator(logits)
            d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.update(self.opt_G, self.means[0])
        self.G_average.update()
        return loss

    def match(self, real, fake):
        """Return |E f(x) - E f(G(z))|^2 and its gradient with respect to the generated samples."""
        features = self.D.layers[0]
        real_features, _ = features.forward(real)  # (N, features)
        fake_features, tape = features.forward(fake)
        loss, d_features = losses.feature_matching(real_features, fake_features)
        d_fake, _ = features.pull(tape, d_features)  # through D, not into D
        return loss, d_fake

    def seen(self, x):
        """Return what D sees of x: x itself, or x and noise that fades."""
        fading = max(1 - self.opt_D.steps / self.settings.noise_steps, 0.0)
        spread = self.settings.instance_noise * fading
        if not spread:
            return x
        return x + spread * xp.to_device(self.rng.standard_normal(x.shape, dtype="float32"))

    def surface(self, x):
        """Return D(x) at points of the plane, (n, 1); 1/2 if it depends on a batch."""
        if self.settings.batch_layer != "none":
            return np.full((len(x), 1), 0.5)
        return super().surface(x)

    def update(self, optimizer, mean):
        """Take a step of an optimizer, with the gradient of W |theta - mean|^2 for W > 0."""
        if self.settings.historical_averaging:
            away = optimizer.flat.value - mean
            optimizer.flat.grad += 2 * self.settings.historical_averaging * away
            mean += away / (optimizer.steps + 1)  # from now on, these weights are past, too
        optimizer.step()


def head(settings, width, last, rng):
    """Return what makes a logit of D's features: `last`, or a layer that sees the whole batch."""
    if settings.batch_layer == "none":
        return last
    if settings.batch_layer == "discrimination":
        alike = MinibatchDiscrimination(width, 16, rng=rng)
        return Sequential(alike, pacgan.Dense(width + 16, 1, rng=rng))
    if settings.batch_size % 4:
        size = f"a --batch-size that 4 divides, not {settings.batch_size}"
        raise UserError(f"--batch-layer std takes {size}")
    return Sequential(MinibatchStd(4), pacgan.Dense(width + 1, 1, rng=rng))


if __name__ == "__main__":
    training.main(ImprovedGAN, Settings)
