"""Unrolled GAN (Metz et al. 2017, "Unrolled Generative Adversarial Networks").

    theta_0 = theta,  theta_k+1 = theta_k - (a step of D's Adam on this batch)
    G ascends  E log D(G(z); theta_K),  with its gradient also through theta_K, a function of G(z)

G foresees how D will answer. Against the D of now, the best that G can do is to put all samples
where D is highest; after K steps, D will no longer be high there, and G knows. D itself takes one
step at a time, as ever. The gradient is exact, through Adam's averages and the Hessian of D's loss:
docs/unrolled.md.

    python examples/collapse/unrolled.py                       # 5 steps ahead, on the ring
    python examples/collapse/unrolled.py --unroll 0            # the plain GAN
    python examples/collapse/unrolled.py --saturating          # G descends the game's value
"""

from dataclasses import dataclass

from scratchgan import training, xp
from scratchgan.examples.collapse import pacgan
from scratchgan.training import option
from scratchgan.unroll import unrolled_generator


@dataclass
class Settings(pacgan.Protocol):
    """PacGAN's networks and protocol, so that the table compares methods and nothing else."""

    unroll: int = option(5, "steps of D that G looks ahead", minimum=0)
    saturating: bool = option(False, "G descends E log D(x) + E log(1 - D(G(z))) instead")


class UnrolledGAN(pacgan.PlainGAN):
    """The plain GAN of `pacgan.py`, with another step of G."""

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, 2)
        return {"D": self.discriminator_step(real), "G": self.generator_step(real)}

    def equilibrium(self):
        levels = super().equilibrium()
        return levels | {"G": -levels["D"]} if self.settings.saturating else levels

    def generator_step(self, real):
        # G ascends log D(G(z); theta_K)
        fake, G_tape = self.G.forward(self.noise(len(real)))
        steps = self.settings.unroll
        loss, d_fake = unrolled_generator(
            self.D, self.opt_D, real, fake, steps, saturating=self.settings.saturating
        )  # through D and its next steps, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        self.G_average.update()
        return loss


if __name__ == "__main__":
    training.main(UnrolledGAN, Settings)
