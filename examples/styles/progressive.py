"""Progressive growing (Karras et al. 2018, "Progressive Growing of GANs").

    D descends  E D(G(z)) - E D(x) + 10 E (|grad D(xhat)| - 1)^2 + 0.001 E D(x)^2
    G ascends   E D(G(z)),  of pictures of 7 x 7, then of 14 x 14, then of 28 x 28

Coarse pictures are learned first, in cheap steps. Then G and D get a block each, which fades in:
y = (1 - a) old + a new, a rises to 1. At a = 0 both are what they were. Real pictures are means of
pixels, and fade, too, from blurred to sharp: docs/progressive.md.

    python examples/styles/progressive.py --data mnist
    python examples/styles/progressive.py --data mnist --first 28      # nothing grows
"""

from dataclasses import dataclass
from math import gcd

from scratchgan import losses, penalties, training
from scratchgan.examples import wgan_gp
from scratchgan.layers import AvgPool, Blend, Conv2d, Dense, Flatten, LeakyReLU, Reshape, Upsample
from scratchgan.layers.compose import Sequential
from scratchgan.layers.minibatch import MinibatchStd
from scratchgan.layers.norm import PixelNorm
from scratchgan.support.errors import SettingsError
from scratchgan.training import option
from scratchgan.weights import equalized

SIDES = (7, 14, 28)  # of the pictures of each level


@dataclass
class Settings(wgan_gp.Settings):
    """Weights of the authors' code, and a higher rate: it shows D millions of pictures."""

    steps: int = option(4500, "training steps: one is critic-steps of D and one of G", minimum=1)
    lr: float = option(5e-3, "learning rate", minimum=1e-12)
    critic_steps: int = option(1, "steps of the critic for a step of G", minimum=1)
    drift: float = option(0.001, "weight of E D(x)^2, which keeps scores near 0", minimum=0)
    first: int = option(7, "side of the first pictures; with 28 nothing grows", choices=SIDES)
    stay: int = option(1500, "steps at each side but the last", minimum=1)
    fade: int = option(500, "steps in which a new block fades in", minimum=1)
    width: int = option(12, "channels at 28 x 28; twice at 14, three times at 7", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        if self.fade > self.stay:
            raise SettingsError(f"--fade {self.fade} does not end within --stay {self.stay} steps.")


class Growing(Sequential):
    """The network of one level, of several that share layers; all are trained, saved, averaged."""

    def __init__(self, levels):
        self.levels, self.level = levels, 0

    @property
    def layers(self):
        return self.levels[self.level].layers

    def parts(self):
        return list(vars(self).items())


class Progressive(wgan_gp.WGANGP):
    """The game of `wgan_gp.py`, at the level and with the share that the number of steps says."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.opt_G.betas = self.opt_D.betas = 0.0, 0.99
        self.taken = 0  # steps

    def networks(self, shape, rng):
        """Return G, z -> 7 x 7 -> 14 x 14 -> 28 x 28, and D, its mirror: all levels of both."""
        w, channels, first = self.settings.width, shape[-1], SIDES.index(self.settings.first)
        group, act = gcd(4, self.settings.batch_size), LeakyReLU(0.2)
        conv = lambda i, o: (Conv2d(i, o, 3, padding=1, rng=rng), act)
        dense = PixelNorm(), Dense(self.settings.latent, 7 * 7 * 3 * w, rng=rng), act
        dense = *dense, Reshape(7, 7, 3 * w), PixelNorm()
        up = [Sequential(*dense, *conv(3 * w, 3 * w), PixelNorm())]
        score = Flatten(), Dense(7 * 7 * 3 * w, 3 * w, rng=rng), act, Dense(3 * w, 1, rng=rng)
        down = [Sequential(MinibatchStd(group), *conv(3 * w + 1, 3 * w), *score)]
        for i, o in ((3 * w, 2 * w), (2 * w, w)):
            up.append(Sequential(Upsample(2), *conv(i, o), PixelNorm(), *conv(o, o), PixelNorm()))
            down.append(Sequential(*conv(o, o), Conv2d(o, i, 4, stride=2, padding=1, rng=rng), act))
        leave = [Dense(times * w, channels, rng=rng) for times in (3, 2, 1)]
        enter = [Sequential(Dense(channels, times * w, rng=rng), act) for times in (3, 2, 1)]
        G = [Sequential(*up[: first + 1], leave[first])]
        D = [Sequential(enter[first], *down[first::-1])]
        for k in range(first + 1, len(SIDES)):
            old, new = Sequential(leave[k - 1], Upsample(2)), Sequential(up[k], leave[k])
            G.append(Sequential(*up[:k], Blend(old, new)))
            old, new = Sequential(AvgPool(2), enter[k - 1]), Sequential(enter[k], down[k])
            D.append(Sequential(Blend(old, new), *down[k - 1 :: -1]))
        return equalized(Growing(G)), equalized(Growing(D))

    def step(self, batches):
        self.grow()
        self.taken += 1
        return super().step(batches)

    def grow(self):
        """Set level and share; at a new level Adam forgets, and G's average all but forgets."""
        level = min(self.taken // self.settings.stay, len(self.G.levels) - 1)
        if level > self.G.level:
            self.opt_G.reset()
            self.opt_D.reset()
        since = self.taken - level * self.settings.stay
        self.G_average.decay = min(self.settings.average, (since + 1) / (since + 4))
        for net in (self.G, self.D, self.G_average.net):
            net.level = level
            for layer in net.layers:
                if isinstance(layer, Blend):
                    layer.a[...] = min((since + 1) / self.settings.fade, 1.0)

    def seen(self, real):
        """Return real pictures (N, 28, 28, C) at the side of this level, faded as those of G."""
        for _ in self.D.levels[self.D.level + 1 :]:
            real = AvgPool(2)(real)
        if self.D.level > 0:
            a = self.D.layers[0].a
            real = (1 - a) * Upsample(2)(AvgPool(2)(real)) + a * real
        return real

    def discriminator_step(self, real):
        # D descends D(G(z)) - D(x) + 10 (|grad D(xhat)| - 1)^2 + 0.001 D(x)^2
        real = self.seen(real)
        fake, _ = self.G.forward(self.noise(len(real)))
        real_score, real_tape = self.D.forward(real)  # (N, 1)
        fake_score, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.wasserstein_discriminator(real_score, fake_score)
        d_drift = 2 * self.settings.drift / len(real) * real_score
        self.D.accumulate(real_tape, d_real + d_drift)  # into D
        self.D.accumulate(fake_tape, d_fake)
        options = {"weight": self.settings.penalty, "one_sided": self.settings.one_sided}
        options |= {"rng": self.rng, "batch_statistics": True}  # of MinibatchStd
        penalty = penalties.wgan_gp(self.D, real, fake, **options)  # into D, too
        self.opt_D.step()
        return loss, penalty

    def generate(self, z):
        x = super().generate(z)
        return Upsample(SIDES[-1] // x.shape[1])(x)  # to 28 x 28


if __name__ == "__main__":
    training.main(Progressive, Settings)
