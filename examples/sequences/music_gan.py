"""Four bars of four-part music as piano rolls, by WGAN-GP (after MuseGAN, Dong et al. 2018).

    D descends  E D(G(z)) - E D(x) + lambda E (|grad D(xhat)| - 1)^2        (Gulrajani et al. 2017)
    xhat = t x + (1 - t) G(z),  t ~ U(0, 1);   G ascends  E D(G(z))

x is a roll: for each of 16 beats and 56 pitches, the share of four voices that sings it, 1/4 or 0.
In each beat, each of G's voices has a softmax over the pitches and silence; G(z) is their mean. D
also looks at the chroma, the sum over octaves, where a chord is the same whatever voices sing it.
All pieces are in one key, so that each pitch has a role of its own: no layer goes along pitches.

    python examples/sequences/music_gan.py                        # chords and voices made by rule
    python examples/sequences/music_gan.py --data chorales        # Bach's: docs/music.md
    python examples/sequences/music_gan.py sample runs/music_gan --n 4 --out tune.wav
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import plots, sounds, training, xp
from scratchgan.data import music
from scratchgan.examples import wgan_gp
from scratchgan.initializers import he
from scratchgan.layers import AvgPool, BatchNorm, ConvTranspose1d, Crop, Dense, Pad
from scratchgan.layers.activations import LeakyReLU, ReLU, Softmax
from scratchgan.layers.compose import Concat, Sequential
from scratchgan.layers.shape import Flatten, Reshape
from scratchgan.metrics import music as metrics
from scratchgan.training import option

STEPS, PITCHES, VOICES, BARS = music.STEPS, music.PITCHES, 4, music.STEPS // music.BAR
HEARD, TEMPO, RATE = 4, 90, 22_050  # samples in a file, beats in a minute, numbers in a second


@dataclass
class Settings(wgan_gp.Settings):
    steps: int = option(2000, "training steps: one is critic-steps of D and one of G", minimum=1)
    batch_size: int = option(64, "real windows in a training step", minimum=1)
    critic_steps: int = option(5, "steps of the critic for a step of G", minimum=1)
    data: str = option("rule", "rule: music made here; chorales: Bach's; or a FILE of pieces")
    latent: int = option(64, "length of the latent vector z", minimum=1)
    width: int = option(128, "features of a stage of G, and of D's; of its chroma half", minimum=2)
    average: float = option(0.99, "decay of G's averaged weights", minimum=0, maximum=0.99999)
    notes: str = option("likeliest", "what a voice sings", choices=("likeliest", "drawn"))


class MusicGAN(training.Sequences, wgan_gp.WGANGP):
    """G: z to 4 bars to 8 half bars to 16 beats; D: beats to bars to a score."""

    exports, exported = (".mid", ".wav"), HEARD

    def networks(self, shape, rng):
        width = self.settings.width
        drawn, by_two = {"rng": rng, "initialize": he}, {"kernel": 4, "stride": 2, "padding": 1}
        voices = Sequential(
            Dense(self.settings.latent, BARS * width, **drawn),
            Reshape(BARS, width), BatchNorm(width), ReLU(),
            ConvTranspose1d(width, width, **by_two, **drawn), BatchNorm(width), ReLU(),
            ConvTranspose1d(width, width, **by_two, **drawn), BatchNorm(width), ReLU(),
            Dense(width, VOICES * (PITCHES + 1), **drawn),
            Reshape(STEPS, VOICES, PITCHES + 1), Softmax(),
        )  # fmt: skip
        of_all = AvgPool((1, VOICES)), Reshape(STEPS, PITCHES + 1, 1)
        together = Sequential(*of_all, Crop(((0, 0), (0, 1))))  # without silence
        of_roll = Sequential(Reshape(STEPS, PITCHES), stream(PITCHES, width, rng))
        of_chroma = Sequential(chroma(), stream(12, width // 2, rng))
        hidden = Dense(BARS * (width + width // 2), width, rng=rng), LeakyReLU(0.2)
        D = Sequential(Concat(of_roll, of_chroma), *hidden, Dense(width, 1, rng=rng))
        return Sequential(voices, together), D

    @staticmethod
    def load_data(settings):
        windows, _ = map(music.windows, MusicGAN.pieces(settings))  # (N, 16, 56)
        return windows[..., None].astype(np.float32) / VOICES

    def step(self, batches):
        for _ in range(self.settings.critic_steps):
            real = xp.to_device(batches.next())  # (N, 16, 56, 1)
            D_loss, penalty = self.discriminator_step(real)
        return {"D": D_loss, "penalty": penalty, "G": self.generator_step(len(real))}

    def windows(self, z):
        """Return which notes the voices sing for z: bool (N, 16, 56), on the host."""
        p = xp.to_host(self.G_average.net.layers[0](z))  # (N, 16, 4, 57)
        rng = np.random.default_rng(self.settings.seed) if self.settings.notes == "drawn" else None
        return music.sung(p, rng)

    def drawn(self, n):
        z = self.latent(n, np.random.default_rng([self.settings.seed, n]))
        return self.windows(xp.to_device(z))

    def picture(self, z, columns=None):
        return plots.grid(music.pictures(self.windows(z)), columns)

    walk = picture  # whose columns are its steps

    def export(self, z, suffix):
        """Return the first samples, one after the other, as a file of notes or of sound."""
        notes = music.in_a_row(self.windows(z[: self.exported]), rest=2)
        if suffix == ".mid":
            return sounds.midi(notes, beats_per_minute=TEMPO)
        rng = np.random.default_rng(self.settings.seed)
        return sounds.wav(sounds.plucks(notes, beats_per_minute=TEMPO, rate=RATE, rng=rng), RATE)

    def report(self):
        return metrics.told(self.drawn(256))

    def measured(self, n):
        return metrics.measured(self.drawn(n), *map(music.windows, self.pieces(self.settings)))

    def baselines(self, n):
        return metrics.baselines(*self.pieces(self.settings), n)

    @staticmethod
    def pieces(settings):
        return [music.load(split, settings.data) for split in ("train", "test")]


def chroma():
    """Rolls (N, 16, 56, 1) -> (N, 16, 12): the mean over octaves, the sum but for a factor."""
    below, above = music.LOWEST % 12, -(music.LOWEST + PITCHES) % 12  # silence, from a C to a B
    octaves = (below + PITCHES + above) // 12
    return Sequential(
        Pad(((0, 0), (below, above))), Reshape(STEPS, octaves, 12),  # pitch classes are channels
        AvgPool((1, octaves)), Reshape(STEPS, 12),
    )  # fmt: skip


def stream(features, width, rng):
    """Beats (N, 16, F) -> each by itself -> bars (N, 4, 4 width) -> (N, 4 width)."""
    return Sequential(
        Dense(features, width, rng=rng), LeakyReLU(0.2), Reshape(BARS, music.BAR * width),
        Dense(music.BAR * width, width, rng=rng), LeakyReLU(0.2), Flatten(),
    )  # fmt: skip


if __name__ == "__main__":
    training.main(MusicGAN, Settings)
