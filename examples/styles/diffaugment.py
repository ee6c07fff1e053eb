"""DiffAugment (Zhao et al. 2020) and ADA (Karras et al. 2020): a GAN of 100 pictures.

    D ascends  E log D(T x) + E log(1 - D(T G(z)));   G ascends  E log D(T G(z))

D soon knows 100 pictures by heart. T, a random map, shows it others: shifted, with a hole, and with
`--colour` brighter and of other contrast. T stands before D wherever D is asked, by real and
generated pictures, in D's step and in G's, whose gradient comes back through T. So G need not draw
what T does: docs/augmentation.md. `--augment reals` and `--augment D` leave T out in one place.
With `--ada` each part of T is applied with probability p, which rises while D calls more than 4 of
5 real pictures real (r > 0.6), and else falls.

    python examples/styles/diffaugment.py --data mnist                   # 7 minutes, one busy core
    python examples/styles/diffaugment.py --data mnist --augment none
    python examples/styles/diffaugment.py copies runs/diffaugment   # samples, and their nearest
"""

import copy
from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, parallel, training, xp
from scratchgan.examples import dcgan
from scratchgan.layers import Brightness, Contrast, Cutout, Sequential, Shift
from scratchgan.metrics.codes import side_by_side
from scratchgan.metrics.neighbours import memorization
from scratchgan.support.errors import SettingsError
from scratchgan.training import command, option

# Before which calls of D T stands: of real and of generated pictures in D's step, and in G's step.
AUGMENTED = {"none": "", "reals": "real", "D": "real fake", "everywhere": "real fake G"}


@dataclass
class Settings(dcgan.Settings):
    """Networks and rates of `dcgan.py`; T as the authors of DiffAugment draw it."""

    steps: int = option(4000, "training steps: one is a step of D and a step of G", minimum=1)
    pictures: int = option(100, "train on the first so many pictures alone", minimum=2)
    augment: str = option("everywhere", "where T stands before D", choices=tuple(AUGMENTED))
    colour: bool = option(False, "let T change brightness and contrast, too")
    ada: bool = option(False, "let p follow how far D overfits; else it is 1")
    target: float = option(0.6, "what r shall be, with --ada", minimum=-1, maximum=1)
    images: int = option(50_000, "real pictures in which p can go from 0 to 1", minimum=1)
    most: float = option(0.8, "p, at most, with --ada", minimum=0, maximum=1)

    def __post_init__(self):
        super().__post_init__()
        if self.ada and self.augment == "none":
            raise SettingsError("--ada moves T's p, and --augment none is without T: leave out one.")


class DiffAugment(dcgan.DCGAN):
    """The game of `dcgan.py`, of which D sees T x in the place of x."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.p = xp.asarray(0.0 if settings.ada else 1.0, dtype="float32")
        self.signs = xp.zeros(1, dtype="float32")  # r's sum over the steps since p last moved
        kinds = [Brightness, Contrast] * settings.colour + [Shift, Cutout]
        self.T = Sequential(*(Kind(p=self.p, rng=rng) for Kind in kinds))

    @staticmethod
    def load_data(settings):
        """Return the first pictures again and again, as many as there are in all."""
        whole = dcgan.DCGAN.load_data(settings)
        return np.resize(whole[: settings.pictures], whole.shape)

    def judge(self, where):
        """Return D, behind T if it stands there: a network as any other."""
        behind = where in AUGMENTED[self.settings.augment].split()
        return Sequential(self.T, self.D) if behind else self.D

    def discriminator_step(self, real):
        # D ascends log D(T x) + log(1 - D(T G(z))), T drawn anew for each picture
        fake, _ = self.G.forward(self.noise(len(real)))
        of_real, of_fake = self.judge("real"), self.judge("fake")
        real_logits, real_tape = of_real.forward(real)
        fake_logits, fake_tape = of_fake.forward(fake)  # (N, 1)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        of_real.accumulate(real_tape, d_real)  # into D
        of_fake.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        if self.settings.ada:
            self.move_p(real_logits)
        return loss

    def generator_step(self, n):
        # G ascends log D(T G(z)), through T
        fake, G_tape = self.G.forward(self.noise(n))
        judge = self.judge("G")
        logits, tape = judge.forward(fake)  # (N, 1)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = judge.pull(tape, d_logits)  # through D and T, not into D
        self.G.accumulate(G_tape, d_fake)  # into G
        self.opt_G.step()
        if self.G_average:
            self.G_average.update()
        return loss

    def move_p(self, real_logits):
        """Every fourth step, p += sign(r - target) 4 N / images, from 0 to `most`."""
        self.signs += parallel.group().mean(xp.sign(real_logits).mean(axis=0))
        if self.opt_D.steps % 4 == 0:
            step = xp.sign(self.signs[0] / 4 - self.settings.target) * 4 * self.settings.batch_size
            self.p[...] = xp.clip(self.p + step / self.settings.images, 0, self.settings.most)
            self.signs[...] = 0

    def report(self):
        """Return p, and r_v = (D(train) - D(held out)) / (D(train) - D(G(z))), means of logits."""
        held_out, n = self.held_out(), min(self.settings.pictures, 500)
        if held_out is None:
            return {}
        train = self.load_data(self.settings)[:n]
        fake = self.generate(xp.to_device(self.latent(n, np.random.default_rng(0))))
        parts = [xp.to_device(data.to_signed(x)) for x in (train, held_out.images[:n])]
        means = []
        for x, where in ((parts[0], "real"), (parts[1], "real"), (fake, "fake")):
            judge = copy.deepcopy(self.judge(where))  # a look moves no running mean
            means.append(float(judge.forward(x)[0].mean()))
        gap = means[0] - means[2]
        return {"p": float(self.p), "r_v": (means[0] - means[1]) / gap if gap else 0.0}


# ---- the command `copies` ------------------------------------------------------------------------


@dataclass
class CopiesOptions:
    n: int = option(2000, "how many samples", minimum=2)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/copies.png)")


def copies(Model, Settings, program, argv):
    """Draw samples beside their nearest training pictures; say how often unseen ones are farther."""
    run, options = command.parse_run(program, "copies", copies.__doc__, CopiesOptions, argv)
    out = command.output(options, run, "copies.png")
    model = command.load(Model, Settings, run, options)
    train = model.load_data(model.settings)[: model.settings.pictures]
    drawn = model.images(xp.to_device(model.latent(options.n, np.random.default_rng(0))))
    flat = [x.reshape(len(x), -1) / 255 for x in (train, model.held_out().images, drawn)]
    found = memorization(*flat)
    print(f"nearer to a training picture than an unseen one is: {found.nearer:.3f}")
    print(f"median distance, over that of unseen ones: {found.ratio:.3f}")
    command.write(side_by_side(drawn, train[found.nearest]), out)


if __name__ == "__main__":
    training.main(DiffAugment, Settings, commands=[dcgan.arithmetic, copies])
