"""Unrolled GAN (Metz, Poole, Pfau, Sohl-Dickstein 2017, "Unrolled Generative Adversarial Networks").

    theta_0 = theta,  theta_k+1 = theta_k - (a step of D's Adam on this batch)
    G ascends  E log D(G(z); theta_K),  with its gradient taken through theta_K, which depends on G(z), too

G foresees how D will answer. Against the D of now, the best that G can do is to put all samples where D is highest;
after K steps, D will no longer be high there, and G knows. D itself takes one step at a time, as ever. The gradient is
exact, through Adam's averages and the Hessian of D's loss: docs/unrolled.md.

    python examples/unrolled.py                       # 5 steps ahead, on the ring
    python examples/unrolled.py --unroll 0            # the plain GAN
    python examples/unrolled.py --saturating          # G descends the value of the game, as in the paper
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import pacgan  # noqa: E402

from scratchgan import training, xp  # noqa: E402
from scratchgan.training import option  # noqa: E402
from scratchgan.unroll import unrolled_generator  # noqa: E402


@dataclass
class Settings(pacgan.Settings):
    """PacGAN's networks and protocol with packs of one, so that the table compares methods and nothing else."""

    pack: int = option(1, "not used here: samples that D judges as one", minimum=1, maximum=1)
    unroll: int = option(5, "steps of D that G looks ahead", minimum=0)
    saturating: bool = option(False, "G descends E log D(x) + E log(1 - D(G(z))) after the steps of D")


class UnrolledGAN(pacgan.PacGAN):
    """G and D of `pacgan.py`."""

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(real)}

    def generator_step(self, real):
        # G ascends log D(G(z); theta_K)
        fake, G_tape = self.G.forward(self.noise(len(real)))
        steps, saturating = self.settings.unroll, self.settings.saturating
        loss, d_fake = unrolled_generator(self.D, self.opt_D, real, fake, steps, saturating=saturating)
        self.G.backward(G_tape, d_fake)
        self.opt_G.step()
        self.G_average.update()
        return loss


if __name__ == "__main__":
    training.main(UnrolledGAN, Settings)
