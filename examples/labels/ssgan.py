"""Self-supervision (Chen et al. 2019, "Self-Supervised GANs via Auxiliary Rotation Loss").

D has a second head: by how much was a picture turned, 0, 90, 180 or 270 degrees? No label is needed
for that, and to answer D must know what the pictures show, at any time of the game: a D that
forgets makes G forget.

    D descends  V_D - beta  E log Q(turn | turned x)            beta = 1                (section 3)
    G descends  V_G - alpha E log Q(turn | turned G(z))         alpha = 0.2

V is the hinge game under spectral normalisation, as in sngan.py. `turn accuracy` is Q's on held-out
pictures: a 0, an 8 and some others look the same upside down, so that it cannot reach 1.

    python examples/labels/ssgan.py                       # glyphs
    python examples/labels/ssgan.py --data mnist
    python examples/labels/ssgan.py --beta 0 --alpha 0    # without self-supervision
"""

import math
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.examples import wgan_gp
from scratchgan.examples.stability import sngan
from scratchgan.initializers import normal
from scratchgan.layers import (
    Concat,
    Conv2d,
    Dense,
    Flatten,
    LeakyReLU,
    MinibatchStd,
    Rotations,
    Sequential,
)
from scratchgan.training import option
from scratchgan.weights import spectral_norm


@dataclass
class Settings(sngan.Settings):
    """The paper's weights of the rotation losses; the rest is as in `sngan.py`: docs/recipes.md."""

    alpha: float = option(0.2, "weight of the rotation loss for G", minimum=0)
    beta: float = option(1.0, "weight of the rotation loss for D", minimum=0)


class SSGAN(sngan.SNGAN):
    """The game of `sngan.py`. D: a trunk and two heads, the score and 4 logits of turns."""

    rotations = Rotations()

    def networks(self, shape, rng):
        G = wgan_gp.generator(self.settings, shape, rng, initialize=normal, hidden=512)
        return G, spectral_norm(discriminator(self.settings, shape, rng), rng=rng)

    def equilibrium(self):
        return {}  # where D tells turns, G's best samples need not be as the data are

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, 28, 28, C)
        D, turn = self.discriminator_step(real)
        return {"D": D, "G": self.generator_step(len(real)), "turn": turn}

    def judges(self):
        """Return the network that judges pictures, and Q: D's trunk with one head or the other."""
        trunk, heads = self.D.layers
        return [Sequential(trunk, head) for head in heads.branches]

    def discriminator_step(self, real):
        # D descends max(0, 1 - D(x)) + max(0, 1 + D(G(z))) - beta log Q(turn | turned x)
        fake, _ = self.G.forward(self.noise(len(real)))
        D, Q = self.judges()
        real_score, real_tape = D.forward(real)
        fake_score, fake_tape = D.forward(fake)
        turn_loss, turned_tape, d_turned, _ = self.tell_turns(Q, real, self.settings.beta)
        loss, d_real, d_fake = losses.hinge_discriminator(real_score, fake_score)
        D.accumulate(real_tape, d_real)  # into D
        D.accumulate(fake_tape, d_fake)
        Q.accumulate(turned_tape, d_turned)
        self.opt_D.step()
        return loss, turn_loss

    def generator_step(self, n):
        # G ascends D(G(z)) + alpha log Q(turn | turned G(z))
        fake, G_tape = self.G.forward(self.noise(n))
        D, Q = self.judges()
        score, D_tape = D.forward(fake)
        _, turned_tape, d_turned, rotations_tape = self.tell_turns(Q, fake, self.settings.alpha)
        loss, d_score = losses.hinge_generator(score)
        d_fake, _ = D.pull(D_tape, d_score)  # through D, not into D
        d_turned, _ = Q.pull(turned_tape, d_turned)  # the same
        d_some, _ = self.rotations.pull(rotations_tape, d_turned)  # each turned back
        d_fake[: quarter(n)] += d_some
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss

    def tell_turns(self, Q, x, weight):
        """Return -E log Q(turn), Q's tape, weight times the gradient, and the rotations' tape.

        A quarter of the batch is turned by all four angles: as many as the batch (section 3).
        """
        turned, rotations_tape = self.rotations.forward(x[: quarter(len(x))])
        logits, Q_tape = Q.forward(turned)
        turns = xp.to_device(np.arange(4).repeat(quarter(len(x))))
        loss, d_logits = losses.softmax_cross_entropy(logits, turns)
        return loss, Q_tape, weight * d_logits, rotations_tape

    def report(self):
        """Let Q tell the turns of held-out pictures."""
        held_out = self.held_out()
        if held_out is None:
            return {}
        images = held_out.images[:1000]
        turned = [np.rot90(images, turn, axes=(1, 2)) for turn in range(4)]
        Q = self.judges()[1]
        turns = np.array([self.infer(Q, x).argmax(1) for x in turned])
        return {"turn accuracy": float((turns == np.arange(4)[:, None]).mean())}


def discriminator(settings, shape, rng):
    """Pictures (N, 28, 28, C) -> 14 x 14 -> 7 x 7 -> [score, 4 logits], (N, 5).

    The score is that of `sngan.py`, and compares the samples of a group; Q looks at each alone.
    """
    small, large = settings.width, 2 * settings.width
    trunk = Sequential(
        Conv2d(shape[-1], small, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
        Conv2d(small, large, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1),
    )  # fmt: skip

    def head(channels, outputs):
        first = Conv2d(channels, large, 3, padding=1, rng=rng), LeakyReLU(0.1)
        return *first, Flatten(), Dense(7 * 7 * large, outputs, rng=rng)

    score = Sequential(MinibatchStd(math.gcd(4, settings.batch_size)), *head(large + 1, 1))
    return Sequential(trunk, Concat(score, Sequential(*head(large, 4))))


def quarter(n):
    """Return how many pictures of a batch of n are turned."""
    return max(1, n // 4)


if __name__ == "__main__":
    training.main(SSGAN, Settings)
