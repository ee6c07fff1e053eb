"""StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

    w = f(z),  picture = g(w, w, ..., w): each convolution of g is told w, as its style
    D ascends  E log D(x) + E log(1 - D(G(z))) - gamma / 2 E |grad s(x)|^2,   D = sigmoid(s)
    G ascends  E log D(G(z)) - weight E (|J^T y| - a)^2,   J that of g, y a random picture

No z enters g: it grows a constant picture, and styles scale its channels. Nine samples in ten have
two w, one for the coarse layers, one for the fine. Derivatives: docs/styles.md; what came out:
docs/stylegan2.md.

    python examples/styles/stylegan2.py                       # glyphs
    python examples/styles/stylegan2.py --path-weight 0       # paths as they come, better digits
    python examples/styles/stylegan2.py --size 64 --data FOLDER --channels 3 --width 32
    python examples/styles/stylegan2.py mix runs/stylegan2    # coarse styles of one, fine of another
    python examples/styles/stylegan2.py truncate runs/stylegan2
"""

import math
from dataclasses import dataclass

from scratchgan import data, losses, penalties, training, xp
from scratchgan.examples import dcgan
from scratchgan.optim import EMA, Adam
from scratchgan.training import option, styled
from scratchgan.weights import equalized

R1_EVERY, PATH_EVERY = 16, 4  # steps from one penalty to the next, as in the authors' code
W_DECAY = 0.995  # of the mean w


@dataclass
class Settings(training.Settings):
    """Numbers suit small pictures, and minutes of training: docs/stylegan2.md."""

    steps: int = option(7000, "training steps: one is a step of D and one of G", minimum=1)
    batch_size: int = option(16, "real samples in a training step; D compares up to four", minimum=2)
    lr: float = option(1e-2, "learning rate; a hundredth of it for f", minimum=1e-12)
    size: int = option(28, "side of a picture: 2 stages up from 7, or 4 from 4", choices=(28, 64))
    channels: int = option(1, "1 for grey pictures, 3 for RGB", choices=(1, 3))
    width: int = option(16, "channels next to the picture, twice as many a stage below", minimum=1)
    latent: int = option(64, "numbers of z, and of w", minimum=1)
    gamma: float = option(1.0, "weight of R1", minimum=0)
    path_weight: float = option(2.0, "weight of the penalty on path lengths", minimum=0)
    mixing: float = option(0.9, "share of the samples that have two w", minimum=0, maximum=1)
    average: float = option(0.998, "decay of G's averaged weights", minimum=0, maximum=0.99999)


class StyleGAN2(styled.StyledModel):
    """f: z to w, (N, latent); g: styles (N, styles, latent) to pictures; D: pictures to logits."""

    load_data = staticmethod(dcgan.DCGAN.load_data)

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        side, stages = {28: (7, 3), 64: (4, 5)}[settings.size]
        widths = [settings.width * 2**stage for stage in reversed(range(stages))]  # 64, 32, 16
        self.f = equalized(styled.mapping(settings.latent, rng))
        self.g = equalized(styled.synthesis(settings.latent, side, widths, shape[-1], rng))
        group = math.gcd(4, settings.batch_size)  # of samples that D compares
        self.D = equalized(styled.discriminator(side, widths, shape[-1], group, rng))
        self.styles = 2 * stages  # of 1 convolution, of 2 in each later stage, of the last pixels
        paths = PATH_EVERY if settings.path_weight else 0  # without weight no step
        self.opt_f = adam(self.f, settings.lr / 100, paths)
        self.opt_g = adam(self.g, settings.lr, paths)
        self.opt_D = adam(self.D, settings.lr, R1_EVERY if settings.gamma else 0)
        self.f_average, self.g_average = (EMA(net, settings.average) for net in (self.f, self.g))
        self.w_mean = xp.zeros(settings.latent, dtype="float32")
        self.path_length, self.taken = penalties.PathLength(), 0

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, H, W, C)
        printed = {"D": self.discriminator_step(real), "G": self.generator_step(len(real))}
        printed["R1"], printed["path"] = xp.zeros(()), xp.zeros(())
        if self.settings.gamma and (times := penalties.lazily(self.taken, R1_EVERY)):
            printed["R1"] = self.slope_step(real, times)
        if self.settings.path_weight and (times := penalties.lazily(self.taken, PATH_EVERY)):
            printed["path"] = self.path_step(len(real) // 2, times)
        self.taken += 1
        self.f_average.update()
        self.g_average.update()
        return printed

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(G(z)))
        fake, _ = self.g.forward(self.mixed(len(real))[0])
        real_logits, real_tape = self.D.forward(real)  # (N, 1)
        fake_logits, fake_tape = self.D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def slope_step(self, real, times):
        # D descends gamma / 2 |grad s(x)|^2
        weight = times * self.settings.gamma
        penalty = penalties.r1(self.D, real, weight=weight, batch_statistics=True)  # into D
        self.opt_D.step()
        return penalty

    def generator_step(self, n):
        # G ascends log D(G(z))
        styles, told = self.mixed(n)
        fake, g_tape = self.g.forward(styles)
        logits, D_tape = self.D.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = self.D.pull(D_tape, d_logits)  # through D, not into D
        self.learn(told, self.g.backward(g_tape, d_fake))  # into g, and on into f
        return loss

    def path_step(self, n, times):
        # G descends weight (|J^T y| - a)^2; half a batch is enough
        styles, told = self.mixed(n)
        weight = times * self.settings.path_weight
        penalty, d_styles = self.path_length(self.g, styles, rng=self.rng, weight=weight)  # into g
        self.learn(told, d_styles)  # on into f
        return penalty

    def mixed(self, n):
        """Return n samples' styles: from a layer on, of a second w; and what `learn` asks for."""
        w, f_tape = self.f.forward(self.noise(2 * n))
        self.w_mean += (1 - W_DECAY) * (w.mean(axis=0) - self.w_mean)
        cut = self.rng.integers(1, self.styles, n)
        cut[self.rng.random(n) >= self.settings.mixing] = self.styles  # a single w
        first = xp.arange(self.styles)[:, None] < xp.to_device(cut)[:, None, None]  # (n, styles, 1)
        return xp.where(first, w[:n, None], w[n:, None]), (f_tape, first)

    def learn(self, told, d_styles):
        """Take the gradient at styles into f: each w's is the sum over its layers. Take a step."""
        f_tape, first = told
        of_two = [xp.where(mine, d_styles, 0).sum(axis=1) for mine in (first, ~first)]
        self.f.accumulate(f_tape, xp.concatenate(of_two))
        self.opt_f.step()
        self.opt_g.step()

    def equilibrium(self):
        return {"D": 2 * math.log(2), "G": math.log(2)}  # D(x) = 1/2 everywhere


def adam(net, lr, every):
    """Return Adam for a game with a step more, of a penalty, in each `every` games; 0: never."""
    share = every / (every + 1) if every else 1  # so it moves and forgets as much in as many games
    return Adam(net.params(), lr * share, betas=(0.0, 0.99**share))


if __name__ == "__main__":
    training.main(StyleGAN2, Settings, commands=[styled.mix, styled.truncate])
