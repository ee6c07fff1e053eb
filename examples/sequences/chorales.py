"""Bach's chorales, a step at a time: what a recurrent network expects next (Bai et al. 2018).

No GAN: a likelihood, by which the recurrent layers are held to published numbers. A step is a
quarter note, x_t a bit for each of a piano's 88 keys; a key sounds with p = sigmoid(a):

    descend  -E log p(x_t+1 | x_1, ..., x_t) = E sum over keys of softplus(a) - x_t+1 a

with a = s_t W + b, s_t = cell([x_t, s_t-1]), E over all steps of all pieces but the first of each,
which is given. Kept, and measured, is the average of the weights that does best on `valid`.

    python examples/sequences/chorales.py --data chorales --cell gru    # without --data: by rule
    python examples/sequences/chorales.py sample runs/chorales --out chorale.mid
"""

import copy
import functools
from dataclasses import dataclass

import numpy as np

from scratchgan import plots, sounds, training, xp
from scratchgan.data import music
from scratchgan.layers import GRU, LSTM, RNN, Dense, Recurrent, Sequential, functions
from scratchgan.optim import EMA, Adam, clip_norm
from scratchgan.training import option

KEYS, LOWEST = 88, 21  # of a piano, as MIDI counts pitches
TEMPO, RATE = 90, 22_050  # of a tune: quarter notes a minute, and numbers a second
CELLS = {"rnn": (RNN, 1), "lstm": (LSTM, 2), "gru": (GRU, 1)}  # and its state's size over H
PUBLISHED = {"rnn": 8.91, "lstm": 8.45, "gru": 8.43}  # on Bach's test pieces: table 1


@dataclass
class Settings(training.Settings):
    data: str = option("rule", "rule: made here; chorales: Bach's; or a FILE.json of such pieces")
    cell: str = option("lstm", "what is unrolled", choices=tuple(CELLS))
    features: int = option(200, "H, how many numbers of the state are seen", minimum=1)
    steps: int = option(1000, "training steps", minimum=1)
    batch_size: int = option(16, "pieces in a training step", minimum=1)
    lr: float = option(2e-3, "learning rate", minimum=1e-12)
    clip: float = option(1.0, "largest norm of a gradient", minimum=1e-12)
    average: float = option(0.98, "decay of the average of the weights", minimum=0, maximum=0.9999)
    valid_every: int = option(15, "steps from one look at held-out pieces to the next", minimum=1)
    opening: int = option(8, "steps of a test piece with which a sample begins", minimum=1)
    length: int = option(64, "steps of a sample, its opening included", minimum=2, maximum=1000)


class Chorales(training.Sequences):
    """One network: x (N, T, 88) -> logits a (N, T, 88) of the step after each."""

    exports, exported = (".mid", ".wav"), 1

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.given = min(settings.opening, int(pieces("test", settings.data)[1].min()))
        (make, blocks), H = CELLS[settings.cell], settings.features
        recurrent = Recurrent(make(KEYS, H, rng=rng), H, blocks * H)
        self.net = Sequential(recurrent, Dense(H, KEYS, rng=rng))
        self.optimizer = Adam(self.net.params(), settings.lr, betas=(0.9, 0.999))
        self.average, self.best = EMA(self.net, settings.average), copy.deepcopy(self.net)
        self.valid = self.best_valid = KEYS * float(np.log(2))  # of 88 fair coins

    @staticmethod
    def load_data(settings):
        return pieces("train", settings.data)

    def step(self, batches):
        if self.optimizer.steps % self.settings.valid_every == 0:
            self.valid = likelihood(self.average.net, "valid", self.settings.data)
            if self.valid < self.best_valid:
                self.best_valid = self.valid
                self.best.load_state(self.average.net.state())
        loss, da, tape = surprise(self.net, *batches.next())  # -E log p(x_t+1 | x_1, ..., x_t)
        self.net.accumulate(tape, da)
        clip_norm(self.optimizer, self.settings.clip)  # between the gradient and the step
        self.optimizer.step()
        self.average.update()
        return {"train": loss, "valid": self.valid}

    def latent(self, n, rng):
        """Return (n, T, 88): the steps that are given, and then a uniform number for each key."""
        keys, _ = pieces("test", self.settings.data)
        opening = keys[rng.integers(len(keys), size=n), : self.given]
        left = max(self.settings.length - opening.shape[1], 0)
        return np.concatenate([opening, rng.random((n, left, KEYS))], axis=1, dtype=np.float32)

    def generate(self, z):
        """Return keys (n, T, 88), 0 or 1: each step is drawn, and then heard by the network."""
        recurrent, head = self.best.layers
        state, steps = xp.zeros((len(z), recurrent.state_features), dtype=z.dtype), []
        for t in range(z.shape[1]):
            p = functions.sigmoid(head(state[:, : recurrent.features]))
            x = z[:, t] if t < self.given else (z[:, t] < p).astype(z.dtype)
            state = recurrent.cell(xp.concatenate([x, state], axis=-1))
            steps.append(x)
        return xp.stack(steps, axis=1)

    def picture(self, z):
        rolls = xp.to_host(self.generate(z)).transpose(0, 2, 1)[:, ::-1]  # (n, 88, T), low keys low
        shade = np.where(np.arange(z.shape[1]) < self.given, 110, 255)
        return plots.grid((rolls * shade).astype(np.uint8)[..., None])

    def export(self, z, suffix):
        """Return the first sample as MIDI or as plucked strings."""
        notes = music.notes(xp.to_host(self.generate(z[: self.exported]))[0] > 0)
        notes = [(start, beats, pitch - music.LOWEST + LOWEST) for start, beats, pitch in notes]
        if suffix == ".mid":
            return sounds.midi(notes, beats_per_minute=TEMPO)
        strings = sounds.plucks(notes, beats_per_minute=TEMPO, rate=RATE, rng=self.rng)
        return sounds.wav(strings, RATE)

    def measured(self, n):
        return {f"NLL, {s}": likelihood(self.best, s, self.settings.data, n) for s in music.SPLITS}

    def baselines(self, n):  # nobody knows the floor; of simple models: benchmarks/chorales.py
        bach = self.settings.data == "chorales"
        return {"published": {"NLL, test": PUBLISHED[self.settings.cell]}} if bach else {}


@functools.cache
def pieces(split, data):
    """Return keys, uint8 (N, T, 88), of pieces with silence behind them, and lengths (N,)."""
    found = music.load(split, data, least=2)  # one step to tell the other
    keys = np.zeros((len(found), max(map(len, found)), KEYS), np.uint8)
    for n, piece in enumerate(found):
        for t, pitches in enumerate(piece):
            keys[n, t, np.array(pitches, int) - LOWEST] = 1
    return keys, np.array([len(piece) for piece in found])


def surprise(net, keys, lengths, train=True):
    """Return -E log p(x_t+1 | x_1, ..., x_t), its gradient at the logits, and the tape."""
    x = xp.to_device(keys[:, : lengths.max()]).astype(net.layers[-1].W.value.dtype)
    there = np.arange(1, x.shape[1]) < lengths[:, None]  # a step t + 1 that belongs to the piece
    weight = xp.to_device(there[..., None] / there.sum(), x.dtype)  # (N, T - 1, 1)
    a, tape = net.forward(x[:, :-1], train)
    loss = (weight * (functions.softplus(a) - x[:, 1:] * a)).sum()
    return loss, weight * (functions.sigmoid(a) - x[:, 1:]), tape


def likelihood(net, split, data, n=None):
    """Return -E log p of the first n pieces of a split, or of all: a number on the host."""
    keys, lengths = (array[:n] for array in pieces(split, data))
    parts = [slice(i, i + 64) for i in range(0, len(keys), 64)]
    values = [float(surprise(net, keys[i], lengths[i], train=False)[0]) for i in parts]
    return float(np.average(values, weights=[(lengths[i] - 1).sum() for i in parts]))


if __name__ == "__main__":
    training.main(Chorales, Settings)
