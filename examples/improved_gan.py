"""Remedies that change a loss or an input, each a flag (Salimans et al. 2016, "Improved Techniques for Training GANs").

Without a flag it is the plain GAN of pacgan.py, on its ring or grid. With f the features of D's last hidden layer:

    --feature-matching        G descends |E f(x) - E f(G(z))|^2 in place of its own loss                   (section 3.1)
    --batch-layer NAME        D sees how alike a batch is: minibatch discrimination (section 3.2), or std, the minibatch
                              standard deviation of Karras et al. 2018 (section 3)
    --historical-averaging W  both players pay W |theta - mean of all past theta|^2                        (section 3.3)
    --real-target 0.9         one-sided label smoothing: D is asked for 0.9 on real samples, 0 on others   (section 3.4)
    --instance-noise S        what D sees gets normal noise, of deviation S at first and 0 from --noise-steps on
                              (Sønderby et al. 2017; Arjovsky & Bottou 2017): the two densities overlap

Two more are flags of every example with pacgan.py's Settings: --lr-D, a learning rate of D's own (two time scales,
Heusel et al. 2017), and --average, samples from an average of G's weights.

    python examples/improved_gan.py --feature-matching
    python examples/improved_gan.py --batch-layer discrimination --real-target 0.9 --data grid
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import pacgan  # noqa: E402

from scratchgan import losses, training, xp  # noqa: E402
from scratchgan.errors import UserError  # noqa: E402
from scratchgan.layers import MinibatchDiscrimination, MinibatchStd, Sequential  # noqa: E402
from scratchgan.optim import Adam  # noqa: E402
from scratchgan.training import option  # noqa: E402


@dataclass
class Settings(pacgan.Settings):
    """PacGAN's networks and protocol with packs of one."""

    pack: int = option(1, "not used here: samples that D judges as one", minimum=1, maximum=1)
    feature_matching: bool = option(False, "G matches the mean of D's features in place of its own loss")
    batch_layer: str = option("none", "how D sees a whole batch", choices=("none", "discrimination", "std"))
    historical_averaging: float = option(0.0, "price of being far from the mean of all past weights", minimum=0)
    real_target: float = option(1.0, "what D is asked for on real samples", minimum=0.5, maximum=1)
    instance_noise: float = option(0.0, "deviation of the noise on what D sees, at the start", minimum=0)
    noise_steps: int = option(5000, "steps after which that noise is gone", minimum=1)


class ImprovedGAN(pacgan.PacGAN):
    """G of `pacgan.py`; D in two parts: features, and what makes a logit of them."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        half = settings.width // 2
        *features, last = pacgan.discriminator(2, half, rng).layers
        if settings.batch_layer == "discrimination":
            head = Sequential(MinibatchDiscrimination(half, 16, rng=rng), pacgan.Dense(half + 16, 1, rng=rng))
        elif settings.batch_layer == "std":
            if settings.batch_size % 4:
                raise UserError(f"--batch-layer std takes a --batch-size that 4 divides, not {settings.batch_size}")
            head = Sequential(MinibatchStd(4), pacgan.Dense(half + 1, 1, rng=rng))
        else:
            head = last
        self.D = Sequential(Sequential(*features), head)
        self.opt_D = Adam(self.D.params(), settings.lr_D or settings.lr, betas=(settings.beta1, 0.999))
        self.means = [opt.flat.value.copy() for opt in (self.opt_G, self.opt_D)]  # of all past weights

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(real)}

    def discriminator_step(self, real):
        # D ascends t log D(x) + (1 - t) log(1 - D(x)) + log(1 - D(G(z))), t the target for real samples
        fake = self.G.forward(self.noise(len(real)))[0]
        real_logits, real_tape = self.D.forward(self.seen(real))
        fake_logits, fake_tape = self.D.forward(self.seen(fake))
        target = self.settings.real_target
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits, real_target=target)
        self.D.backward(real_tape, d_real)
        self.D.backward(fake_tape, d_fake)
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
            d_fake = self.D.backward(D_tape, d_logits, grads=False)
        self.G.backward(G_tape, d_fake)
        self.update(self.opt_G, self.means[0])
        self.G_average.update()
        return loss

    def match(self, real, fake):
        """Return |E f(x) - E f(G(z))|^2 and its gradient with respect to the generated samples."""
        features = self.D.layers[0]
        wanted = features.forward(real)[0]  # (N, features)
        found, tape = features.forward(fake)
        loss, d_found = losses.feature_matching(wanted, found)
        return loss, features.backward(tape, d_found, grads=False)

    def seen(self, x):
        """Return what D sees of x: x itself, or x and noise that fades."""
        spread = self.settings.instance_noise * max(1 - self.opt_D.steps / self.settings.noise_steps, 0.0)
        return x + spread * xp.to_device(self.rng.standard_normal(x.shape, dtype="float32")) if spread else x

    def surface(self, x):
        """Return D(x) at points of the plane, (n, 1); 1/2 everywhere where it depends on the batch that x is in."""
        return super().surface(x) if self.settings.batch_layer == "none" else np.full((len(x), 1), 0.5)

    def update(self, optimizer, mean):
        """Take a step of an optimizer, with the gradient of W |theta - mean|^2 if that is asked for."""
        if self.settings.historical_averaging:
            away = optimizer.flat.value - mean
            optimizer.flat.grad += 2 * self.settings.historical_averaging * away
            mean += away / (optimizer.steps + 1)  # from now on, these weights are past, too
        optimizer.step()


if __name__ == "__main__":
    training.main(ImprovedGAN, Settings)
