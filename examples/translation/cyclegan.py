"""Pictures without pairs (Zhu et al. 2017, "Unpaired Image-to-Image Translation using ...").

There are pictures a of one kind and b of another, and nobody knows which b belongs to which a. G
makes b of a, F makes a of b, and D_B and D_A look at what they made. Many maps would fool both; so
what goes there and back shall come home:

    D_B descends  1/2 E (D_B(b) - 1)^2 + 1/2 E D_B(G(a))^2, and D_A likewise
    G, F descend  E (D_B(G(a)) - 1)^2 + E (D_A(F(b)) - 1)^2 + 5 (|F(G(a)) - a| + |G(F(b)) - b|)

The kinds are glyphs and outlines of other glyphs; of test pictures, the truth is known.

    python examples/translation/cyclegan.py
    python examples/translation/cyclegan.py confusion runs/cyclegan     # is a 7 still a 7?
    python examples/translation/cyclegan.py --data FOLDER --channels 3     # docs/cyclegan.md
"""

from dataclasses import dataclass

from scratchgan import data, losses, training, xp
from scratchgan.data.pool import Pool
from scratchgan.initializers import normal
from scratchgan.layers import Conv2d, ConvTranspose2d, InstanceNorm, Residual, Sequential
from scratchgan.layers.activations import LeakyReLU, ReLU, Tanh
from scratchgan.optim import Adam, linear_decay
from scratchgan.training import option
from scratchgan.training.unpaired import Unpaired, confusion


@dataclass
class Settings(training.Settings):
    """Batches of 4 pictures of 28 x 28 in place of the paper's 1 of 256 x 256."""

    steps: int = option(4000, "training steps: one is a step of each network", minimum=1)
    batch_size: int = option(4, "pictures of each kind in a training step", minimum=1)
    lr: float = option(5e-4, "G's and F's learning rate, which falls to 0", minimum=1e-12)
    lr_D: float = option(1e-3, "D's learning rate, which falls to 0", minimum=1e-12)
    data: str = option("glyphs", "glyphs: filled, outlined; mnist: MNIST, glyphs; or a folder")
    size: int = option(28, "side of a picture, an even number", minimum=16)
    channels: int = option(1, "1 for grey pictures, 3 for RGB", choices=(1, 3))
    width: int = option(32, "channels of the generators, and of D's first layer", minimum=1)
    blocks: int = option(3, "residual blocks of a generator", minimum=0, maximum=100)
    cycle: float = option(5.0, "weight of coming home; the paper: 10", minimum=0)
    noise: float = option(0.1, "noise on the way home, that nothing faint is told", minimum=0)
    identity: float = option(0.0, "weight of |G(b) - b| and |F(a) - a|; the paper: 5", minimum=0)
    pool: int = option(50, "past fakes that D is shown; 0: the newest alone", minimum=0)


class CycleGAN(Unpaired):
    """G: A to B; F: B to A; D_A and D_B: of each patch of 22 x 22, whether it is real."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        sizes, n = (shape[-1], settings.width), settings.steps
        self.G, self.F = (generator(*sizes, settings.blocks, rng) for _ in range(2))
        self.D_A, self.D_B = (patches(*sizes, rng) for _ in range(2))
        self.pool_A, self.pool_B = (Pool(settings.pool, shape) for _ in range(2))
        lr, lr_D = (linear_decay(r, n, start=n // 2) for r in (settings.lr, settings.lr_D))
        self.opt_G, self.opt_F = (Adam(net.params(), lr) for net in (self.G, self.F))
        self.opt_D_A, self.opt_D_B = (Adam(net.params(), lr_D) for net in (self.D_A, self.D_B))

    def step(self, batches):
        a, b = (xp.to_device(data.to_signed(images)) for images in batches.next())
        fake_a, fake_b, told = self.generator_step(a, b)
        past_a = self.pool_A.exchange(fake_a, self.rng)
        past_b = self.pool_B.exchange(fake_b, self.rng)
        told["D_A"] = discriminator_step(self.D_A, self.opt_D_A, a, past_a)
        told["D_B"] = discriminator_step(self.D_B, self.opt_D_B, b, past_b)
        return told

    def generator_step(self, a, b):
        # G, F descend E (D_B(G(a)) - 1)^2 + E (D_A(F(b)) - 1)^2 + 5 (|F(G(a)) - a| + ...)
        fake_b, G_tape = self.G.forward(a)
        fake_a, F_tape = self.F.forward(b)
        home_a, F_home_tape = self.F.forward(self.disturbed(fake_b))  # two tapes of F, and of G
        home_b, G_home_tape = self.G.forward(self.disturbed(fake_a))
        G_loss, d_fooled_b = fooled(self.D_B, fake_b)
        F_loss, d_fooled_a = fooled(self.D_A, fake_a)
        a_loss, d_home_a = losses.l1(home_a, a)
        b_loss, d_home_b = losses.l1(home_b, b)
        # D_B and F both look at G(a): its gradient is the sum of what they say
        d_fake_b = d_fooled_b + self.F.backward(F_home_tape, self.settings.cycle * d_home_a)
        d_fake_a = d_fooled_a + self.G.backward(G_home_tape, self.settings.cycle * d_home_b)
        self.G.accumulate(G_tape, d_fake_b)  # G has its other call's gradient already
        self.F.accumulate(F_tape, d_fake_a)
        told = {"G": G_loss, "F": F_loss, "cycle": a_loss + b_loss}
        if self.settings.identity:
            told["identity"] = self.stay(self.G, b) + self.stay(self.F, a)
        self.opt_G.step()
        self.opt_F.step()
        return fake_a, fake_b, told

    def disturbed(self, fake):
        noise = self.rng.standard_normal(fake.shape, dtype="float32")
        return fake + xp.to_device(self.settings.noise * noise)

    def stay(self, net, x):
        # G descends |G(b) - b|, F |F(a) - a|: what is of its kind already shall stay
        same, tape = net.forward(x)
        loss, d_same = losses.l1(same, x)
        net.accumulate(tape, self.settings.identity * d_same)
        return loss

    def translate(self, x):
        return self.G(x)

    def translate_back(self, x):
        return self.F(x)


def fooled(D, fake):
    """Return E (D(fake) - 1)^2 and its gradient with respect to fake."""
    logits, tape = D.forward(fake)
    loss, d_logits = losses.l2(logits, 1.0)
    return loss, D.pull(tape, d_logits)[0]  # through D, not into D


def discriminator_step(D, optimizer, real, fake):
    # D descends 1/2 E (D(x) - 1)^2 + 1/2 E D(fake)^2
    real_logits, real_tape = D.forward(real)
    fake_logits, fake_tape = D.forward(fake)
    loss, d_real, d_fake = losses.least_squares_discriminator(real_logits, fake_logits)
    D.accumulate(real_tape, d_real)  # into D
    D.accumulate(fake_tape, d_fake)
    optimizer.step()
    return loss


def generator(channels, width, blocks, rng):
    """Return a generator: half the side, residual blocks, the side again."""
    drawn = {"padding": 1, "rng": rng, "initialize": normal}
    layers = [Conv2d(channels, width, 4, stride=2, **drawn), ReLU()]
    for _ in range(blocks):
        one, two = (Conv2d(width, width, 3, **drawn) for _ in range(2))
        body = Sequential(one, InstanceNorm(width), ReLU(), two, InstanceNorm(width))
        layers.append(Residual(body))
    return Sequential(*layers, ConvTranspose2d(width, channels, 4, stride=2, **drawn), Tanh())


def patches(channels, width, rng):
    """Return a PatchGAN: pictures to logits (N, h, w, 1), each of which sees 22 x 22 pixels."""
    drawn, wide = {"padding": 1, "rng": rng, "initialize": normal}, 2 * width
    return Sequential(
        Conv2d(channels, width, 4, stride=2, **drawn), LeakyReLU(0.2),
        Conv2d(width, wide, 4, stride=2, **drawn), InstanceNorm(wide), LeakyReLU(0.2),
        Conv2d(wide, 1, 4, **drawn),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(CycleGAN, Settings, commands=[confusion])
