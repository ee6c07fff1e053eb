"""WaveGAN (Donahue et al. 2019, "Adversarial Audio Synthesis"): sounds, sample by sample.

    D descends  -E log D(x | y) - E log(1 - D(G(z | y) | y)) + gamma / 2 E |grad s(x | y)|^2
    G ascends  E log D(G(z | y) | y)                                            D = sigmoid(s)

G and D are those of DCGAN along a line: kernels of 25 samples in place of 5 x 5 pixels, strides of
4 in place of 2 x 2, and no batch norm. A transposed convolution leaves a hum of its own at certain
phases; D shuffles phases, so that it cannot tell G's sounds by them. The paper has no labels y,
--no-labels, and the game of `wgan_gp.py`, --loss wgan-gp: both take far longer.

    python examples/media/wavegan.py                         # five drums, made here
    python examples/media/wavegan.py --data plucks --steps 12000      # strings of 13 pitches
    python examples/media/wavegan.py --data FOLDER           # WAV files of 16 bits at 8,000 Hz
    python examples/media/wavegan.py sample runs/wavegan --n 16 --out drums.wav
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import penalties, training, xp
from scratchgan.examples import gan
from scratchgan.initializers import he
from scratchgan.layers import (
    Conditional,
    Conv1d,
    ConvTranspose1d,
    Dense,
    Flatten,
    LabelChannels,
    LeakyReLU,
    PhaseShuffle,
    Projection,
    ReLU,
    Reshape,
    Tanh,
)
from scratchgan.optim import Adam, linear_decay
from scratchgan.training import option
from scratchgan.training.sounding import Sounds

LOSSES = {"nonsaturating": gan.LOSSES["nonsaturating"], "wgan-gp": gan.LOSSES["wasserstein"]}
STAGES, TOLD = 4, 16  # each of stride 4; numbers that tell G a label


@dataclass
class Settings(gan.Settings):
    steps: int = option(4000, "training steps: one of G, and one of D or critic-steps", minimum=1)
    batch_size: int = option(32, "real sounds in a training step", minimum=1)
    lr: float = option(1e-3, "learning rate, in the second half falling to 0", minimum=1e-12)
    data: str = option("drums", "drums, plucks, digits (by espeak-ng), or a FOLDER of WAV files")
    labels: bool = option(True, "tell G and D what a sound is; a folder's sounds are of one kind")
    loss: str = option("nonsaturating", "the game", choices=tuple(LOSSES))
    gamma: float = option(0.5, "weight of R1, the penalty of the nonsaturating game", minimum=0)
    penalty_every: int = option(4, "steps of D from one R1 penalty to the next", minimum=1)
    critic_steps: int = option(5, "steps of D for one of G, in the game of wgan-gp", minimum=1)
    penalty: float = option(10.0, "weight of the penalty of wgan-gp, lambda", minimum=0)
    width: int = option(16, "channels next to the sound: the paper's d, there 64", minimum=1)
    shuffle: int = option(2, "steps by which D shifts its features; 0: none", minimum=0, maximum=31)
    average: float = option(0.995, "decay of G's averaged weights", minimum=0, maximum=0.99999)


class WaveGAN(Sounds, gan.GAN):
    """G: z to 8 steps to 32 to 128 to 512 to 2,048 samples in [-1, 1]; D: its mirror, a logit."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        falling = lambda steps: linear_decay(settings.lr, steps, start=steps // 2)
        rates = falling(settings.steps), falling(settings.steps * self.D_steps)
        self.opt_G = Adam(self.G.params(), rates[0], betas=(0.5, 0.9))
        self.opt_D = Adam(self.D.params(), rates[1], betas=(0.5, 0.9))

    def networks(self, shape, rng):
        steps, width = shape[0] // 4**STAGES, self.settings.width
        widths = [1, *[width * 2**stage for stage in range(STAGES)]]  # 1, 16, 32, 64, 128
        size = steps * widths[-1]
        same = {"kernel": 25, "stride": 4, "padding": 11, "rng": rng}  # a quarter, or four times
        # an output of a transposed convolution sees one in four taps: twice the weights
        grown = same | {"output_padding": 1, "initialize": lambda shape, rng: 2 * he(shape, rng)}
        G, D = [Tanh()], []  # from the sound to z, and to the score
        for fine, coarse in zip(widths, widths[1:], strict=False):
            G += [ConvTranspose1d(coarse, fine, **grown), ReLU()]
            D += [Conv1d(fine, coarse, **same), LeakyReLU(0.2)]
            D += [PhaseShuffle(self.settings.shuffle, rng=rng)]
        G += [Reshape(steps, widths[-1]), Dense(self.settings.latent + TOLD, size, rng=rng)]
        G += [LabelChannels(self.classes, TOLD, rng=rng)]
        D[-1:] = [Flatten(), Projection(size, self.classes, rng=rng)]  # in the last shuffle's place
        return Conditional(*G[::-1]), Conditional(*D)

    @property
    def D_steps(self):
        """Steps of D for one of G."""
        return self.settings.critic_steps if self.settings.loss == "wgan-gp" else 1

    def objectives(self):
        return LOSSES[self.settings.loss]

    def latent(self, n, rng):
        """Return z, numbers that are drawn and a one-hot class behind them: each class in turn."""
        in_turn = np.eye(self.classes, dtype=np.float32)[np.arange(n) % self.classes]
        return np.concatenate([super().latent(n, rng), in_turn], axis=1)

    def split(self, z):
        """Return the numbers that are drawn, and the classes (N,) that are asked for."""
        return z[:, : -self.classes], z[:, -self.classes :].argmax(axis=1)

    def step(self, batches):
        for _ in range(self.D_steps):
            real, labels = map(xp.to_device, batches.next())
            D_loss, penalty = self.discriminator_step(real, labels)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(labels)}

    def discriminator_step(self, real, labels):
        # D ascends log D(x | y) + log(1 - D(G(z | y) | y)), or D(x | y) - D(G(z | y) | y)
        z, _ = self.split(self.noise(len(real)))
        fake, _ = self.G.forward((z, labels))
        real_logits, real_tape = self.D.forward((real, labels))  # each call shuffles anew
        fake_logits, fake_tape = self.D.forward((fake, labels))
        loss, d_real, d_fake = self.discriminator_loss(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        penalty, due = xp.zeros(()), penalties.lazily(self.opt_D.steps, self.settings.penalty_every)
        if self.settings.loss == "wgan-gp":
            options = {"weight": self.settings.penalty, "rng": self.rng, "labels": labels}
            penalty = penalties.wgan_gp(self.D, real, fake, **options)  # into D, too
        elif due:
            penalty = penalties.r1(self.D, real, weight=due * self.settings.gamma, labels=labels)
        self.opt_D.step()
        return loss, penalty

    def generator_step(self, labels):
        # G ascends log D(G(z | y) | y), or D(G(z | y) | y)
        z, _ = self.split(self.noise(len(labels)))
        fake, G_tape = self.G.forward((z, labels))
        logits, D_tape = self.D.forward((fake, labels))
        loss, d_logits = self.generator_loss(logits)
        (d_fake, _), _ = self.D.pull(D_tape, d_logits)  # through D, not into D; y has no gradient
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def generate(self, z):
        return self.G_average.net(self.split(z))


if __name__ == "__main__":
    training.main(WaveGAN, Settings)
