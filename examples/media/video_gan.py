"""Clips of digits that fly: VGAN (Vondrick et al. 2016) and MoCoGAN (Tulyakov et al. 2018).

    mocogan   frame t is G_I(c, A s_t), s_t = GRU(e_t, s_t-1), a new e_t for each; D_I sees frames
              one by one, D_V all. Not the paper's: G_I moves one picture, R f(c) C^T + b(c)
    vgan      G(z) = m f + (1 - m) b, where f and the mask m move, and the background b does not
    each D ascends  E log D(x) + E log(1 - D(G(z)))
    G ascends  E log D_V(G(z)) + E log D_I(a frame of G(z)) - lambda E m      (vgan has no D_I)

    python examples/media/video_gan.py        # or --network vgan --lr 5e-4
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import data, losses, training, xp
from scratchgan.layers import ConvTranspose2d, ConvTranspose3d, Dense, Modulate, Pad, Softmax, Tanh
from scratchgan.layers.compose import Add, Concat, Each, Fork, Join, Part, Sequential
from scratchgan.layers.recurrent import GRU, Recurrent
from scratchgan.layers.shape import Columns, Flatten, Reshape
from scratchgan.optim import EMA, Adam
from scratchgan.training import option
from scratchgan.training.clips import BY_TWO, EACH_FRAME, Clips, at_once, critic, grown, moved, styled


@dataclass
class Settings(training.Settings):
    steps: int = option(8500, "training steps: one is a step of each D and one of G", minimum=1)
    batch_size: int = option(24, "clips in a training step", minimum=1)
    lr: float = option(1e-3, "learning rate of G", minimum=1e-12)
    lr_D: float = option(5e-4, "learning rate of each D", minimum=1e-12)
    data: str = option("straight", "straight: digits that fly; or a FOLDER of animations")
    network: str = option("mocogan", "which G, and which Ds", choices=("mocogan", "vgan"))
    background: str = option("black", "what stays behind what moves", choices=("black", "still"))
    varied: bool = option(False, "digits of all faces, turned and sheared, not ten pictures")
    frames: int = option(8, "frames of a clip", choices=(8, 16))
    size: int = option(24, "side of a frame", choices=(16, 24, 32, 40, 48, 64))
    latent: int = option(32, "vgan: numbers of z; mocogan: of c", minimum=2)
    motion: int = option(16, "mocogan: numbers of e_t, and of s_t", minimum=1)
    seen: int = option(4, "mocogan: frames of a clip that D_I sees", choices=(1, 2, 4, 8))
    width: int = option(16, "channels next to the clip, of D; of G, half as many more", minimum=2)
    sparsity: float = option(0.1, "vgan: weight of the mask's mean, lambda", minimum=0)
    noise: float = option(0.3, "deviation of the noise through which each D sees", minimum=0)
    average: float = option(0.995, "decay of G's averaged weights", minimum=0, maximum=0.99999)


class VideoGAN(Clips):
    """G(z) is a tuple: the clips, (N, T, H, W_, 1), and of vgan their masks, too."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        mocogan = settings.network == "mocogan"
        self.G = (frame_by_frame if mocogan else two_streams)(settings, shape, rng)
        layers = (at_once(shape[0]), EACH_FRAME, 256) if mocogan else (BY_TWO, BY_TWO, 0)
        self.D_V = critic(settings, shape, *layers, rng)
        layers = EACH_FRAME, EACH_FRAME, 256
        self.D_I = critic(settings, (1, *shape[1:]), *layers, rng) if mocogan else None
        adam = lambda net, lr: Adam(net.params(), lr, betas=(0.5, 0.999)) if net else None
        self.opt_G = adam(self.G, settings.lr)
        self.opt_V, self.opt_I = (adam(D, settings.lr_D) for D in (self.D_V, self.D_I))
        self.G_average = EMA(self.G, settings.average)

    def latent(self, n, rng):
        """Return [z], or [c, s_0, e_1, e_2, ...]: a walk of z changes both."""
        C, K = self.settings.latent, self.settings.latent // 2
        more = (self.shape[0] + 1) * self.settings.motion if self.D_I else 0
        z = rng.standard_normal((n, C + more), dtype=np.float32)
        if self.D_I:
            z[:, :K] = K**0.5 * np.eye(K)[rng.integers(K, size=n)]  # as long as K normal numbers
        return z

    def step(self, batches):
        real = xp.to_device(data.to_signed(batches.next()))  # (N, T, H, W_, 1)
        (fake, *masks), G_tape = self.G.forward(self.noise(len(real)))  # the same for D and G
        printed = {"D_V": self.critic_step(self.D_V, self.opt_V, real, fake)}
        if self.D_I:
            frames = real[self.places(real)], fake[self.places(fake)]  # (seen N, 1, H, W_, 1)
            printed["D_I"] = self.critic_step(self.D_I, self.opt_I, *frames)
        return printed | self.generator_step(fake, masks, G_tape)

    def critic_step(self, D, optimizer, real, fake):
        # D ascends log D(x) + log(1 - D(G(z)))
        real_logits, real_tape = D.forward(real)
        fake_logits, fake_tape = D.forward(fake)
        loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        D.accumulate(real_tape, d_real)  # into D
        D.accumulate(fake_tape, d_fake)
        optimizer.step()
        return loss

    def generator_step(self, fake, masks, G_tape):
        # G ascends log D_V(G(z)) + log D_I(a frame of G(z)) - lambda m
        logits, D_tape = self.D_V.forward(fake)
        loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = self.D_V.pull(D_tape, d_logits)  # through D, not into D
        printed = {"G_V": loss}
        if self.D_I:
            drawn = self.places(fake)
            logits, D_tape = self.D_I.forward(fake[drawn])
            printed["G_I"], d_logits = losses.nonsaturating_generator(logits)
            d_fake[drawn] += self.D_I.pull(D_tape, d_logits)[0]  # to the frames that D_I saw
        d_masks = [xp.full_like(m, self.settings.sparsity / m.size) for m in masks]
        self.G.accumulate(G_tape, (d_fake, *d_masks))  # into G
        self.opt_G.step()
        self.G_average.update()
        return printed

    def places(self, clips):
        """Draw frames of each clip, none twice; return where they are, n and t, (seen N, 1)."""
        t = self.rng.random(clips.shape[:2]).argsort(axis=1)[:, : self.settings.seen]
        return xp.arange(len(clips)).repeat(t.shape[1])[:, None], xp.to_device(t.reshape(-1, 1))

    def generate(self, z):
        return self.G_average.net(z)[0]


def two_streams(settings, shape, rng):
    """z (N, latent) -> the clip m f + (1 - m) b and its mask m, each (N, T, H, W_, 1)."""
    T, H, W_, _ = shape
    sizes, eighth = (settings.latent, 3 * settings.width // 2), (T // 8, H // 8, W_ // 8)
    moving = grown(ConvTranspose3d, *sizes, eighth, 3, rng)
    moving.layers[-1].b.value[1:] = xp.asarray([1, -1])  # at the start, m is 0.88: f learns first
    still = grown(ConvTranspose2d, *sizes, eighth[1:], 1, rng)
    masks = Sequential(Columns(1, 3), Softmax())  # at each place m and 1 - m
    m, rest = Sequential(masks, Columns(0, 1)), Sequential(masks, Columns(1, 2), Reshape(T, H * W_))
    f, b = Sequential(Columns(0, 1), Tanh(), Flatten()), Sequential(Tanh(), Flatten())
    front = Sequential(Part(0), Fork(f, Sequential(m, Flatten())), Modulate(), Reshape(T, H * W_))
    behind = Sequential(Each(rest, b), Modulate())  # b is a style: one for all t
    clip = Sequential(Fork(front, behind), Add(), Reshape(*shape))
    return Sequential(Fork(moving, still), Fork(clip, Sequential(Part(0), m)))


def frame_by_frame(settings, shape, rng):
    """[c, s_0, e_1, e_2, ...] (N, C + M + T M) -> the clip (N, T, H, W_, 1), alone in a tuple."""
    (T, H, W_, _), C, M = shape, settings.latent, settings.motion
    e = Sequential(Columns(C + M, C + M + T * M), Reshape(T, M))
    s_0 = Sequential(Columns(C, C + M), Reshape(1, M), Pad(((0, T - 1),)))  # 0 after the first step
    gru = GRU(M, M, rng=rng)
    gru.gates.b.value[M:] = 3  # of u, which then is near 1: at the start, s_t changes slowly
    heard = Sequential(Concat(Columns(0, M), Columns(2 * M, 3 * M)), gru)  # of [e_t, s_0, s_t-1]
    cell = Sequential(Fork(heard, Columns(M, 2 * M)), Add())
    p = Sequential(Fork(e, s_0), Join(), Recurrent(cell, M), Dense(M, 2, rng=rng), Tanh())
    c = Fork(Columns(0, C), Columns(0, C))  # it makes the map, and scales its channels
    sizes, eighth = (C, C, 3 * settings.width // 2), (H // 8, W_ // 8)
    drawn = Sequential(c, styled(ConvTranspose2d, *sizes, eighth, 2, rng))  # f and b, (N, H, W_, 2)
    return Sequential(Fork(p, drawn), moved(shape), Tanh(), Fork(Sequential()))


if __name__ == "__main__":
    training.main(VideoGAN, Settings)
