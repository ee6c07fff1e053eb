"""A character LSTM by maximum likelihood: what the game of `text_gan.py` is to be compared with.

    It descends  -E log p(x_t | x_1, ..., x_t-1)

Each row of a batch reads a stream of the text, 64 characters in a step. The state goes on to the
next step, its gradient does not (truncated back-propagation through time).

    python examples/sequences/text_lstm.py --data shakespeare      # or --data FILE
    python examples/sequences/text_lstm.py write runs/text_lstm --temperature 0.7
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, training, xp
from scratchgan.data import text
from scratchgan.layers import LSTM, Dense, Dropout, Recurrent, Sequential
from scratchgan.layers.functions import log_softmax, sample_categorical
from scratchgan.metrics import ngrams
from scratchgan.optim import Adam, clip_norm, cosine
from scratchgan.support.files import replacing
from scratchgan.training import command, option
from scratchgan.training.speech import Given
from scratchgan.training.texts import Texts

STREAMS, BLOCK = 16, 64  # in which a held-out text is read, and the characters read at once


@dataclass
class Settings(training.Settings):
    steps: int = option(8000, "training steps", minimum=1)
    batch_size: int = option(32, "streams that a step reads side by side", minimum=1)
    lr: float = option(4e-3, "learning rate of the first step; it falls to 0", minimum=1e-12)
    data: str = option("fables", "text: fables, shakespeare, or a file in UTF-8")
    data_dir: str = option("", "folder with tinyshakespeare.txt (default: where it is kept)")
    length: int = option(32, "characters of a sample", minimum=3)
    chunk: int = option(64, "characters that a step reads of each stream", minimum=1)
    width: int = option(256, "numbers in the hidden state of the LSTM", minimum=1)
    dropout: float = option(0.4, "share of h hidden from the last layer", minimum=0, maximum=0.99)
    clip: float = option(1.0, "largest norm of a gradient", minimum=1e-12)
    sample_every: int = option(1000, "steps from one picture of samples to the next", minimum=1)
    checkpoint_every: int = option(1000, "steps from one checkpoint to the next", minimum=1)


class TextLSTM(Texts):
    """A network: a one-hot character and a state, to logits of the next character."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        V, H = shape[-1], settings.width
        last = Sequential(Dropout(settings.dropout, rng=rng), Dense(H, V, rng=rng))
        self.net = Sequential(Recurrent(LSTM(V, H, rng=rng), H, 2 * H), last)
        lr = cosine(settings.lr, settings.steps)
        self.optimizer = Adam(self.net.params(), lr, betas=(0.9, 0.999))
        # Of each stream, where the last step left it: an array, so that a checkpoint holds it.
        self.carried = xp.zeros((settings.batch_size, 2 * H), dtype="float32")

    @staticmethod
    def load_data(settings):
        windows = text.asked_for(settings).windows(settings.chunk + 1)
        windows.streams(settings.batch_size)  # a text that is too short is told now
        return windows

    def latent(self, n, rng):
        """Return a number from 0 to 1 for each character, which chooses it."""
        return rng.random((n, 2 * self.settings.length), dtype=np.float32)

    def step(self, batches):
        # Not batches.next(), which shuffles: a state goes on only with its own stream.
        windows = batches.arrays[0]
        streams = windows.streams(self.settings.batch_size)  # (T, N)
        t = self.optimizer.steps % len(streams)
        if t == 0:
            self.carried.fill(0)  # at the start of the streams
        return {"loss": self.likelihood_step(xp.to_device(windows[streams[t]]))}

    def likelihood_step(self, x):
        # net descends -E log p(x_t+1 | x_1, ..., x_t), for the t of this chunk
        recurrent, last = self.net.layers
        h, state, tape = recurrent.run(x[:, :-1], self.carried)  # (N, L, H)
        logits, last_tape = last.forward(h)  # (N, L, V)
        loss, d_logits = losses.softmax_cross_entropy(logits, x[:, 1:].argmax(axis=-1))
        recurrent.back(tape, last.backward(last_tape, d_logits), None)  # of this chunk alone
        clip_norm(self.optimizer, self.settings.clip)
        self.optimizer.step()
        self.carried[...] = state  # a value: no gradient goes back through it
        return loss

    def generate(self, z):
        return self.spoken(z)[:, z.shape[1] // 2 :]  # as a window does, it begins anywhere

    def spoken(self, z, temperature=1.0):
        """Return what is said after a line break, one-hot (N, L, V); z (N, L) chooses."""
        recurrent, last = self.net.layers
        every = xp.arange(self.shape[-1])
        y = xp.zeros((len(z), self.shape[-1]), dtype="float32") + (every == self.start())
        state, said = xp.zeros((len(z), recurrent.state_features), dtype="float32"), []
        drawn = Given(z)
        for _ in range(z.shape[1]):
            state = recurrent.cell(xp.concatenate([y, state], axis=-1))
            logits = last(state[:, : recurrent.features]) * (1 / temperature)
            y = (sample_categorical(logits, drawn)[:, None] == every).astype("float32")
            said.append(y)
        return xp.stack(said, axis=1)

    def start(self):
        """Return the number of the line break, or of the first character in a text without."""
        return int((self.letters == ord("\n")).argmax())

    def bits(self, codes):
        """Return the bits per character of a text, in 16 streams, each from a state of zeros."""
        recurrent, last = self.net.layers
        block, nats, state = min(BLOCK, len(codes) - 1), 0.0, None
        windows = text.Windows(codes, block + 1, self.shape[-1])
        streams = windows.streams(min(STREAMS, (len(codes) - 1) // block))
        for first in streams:
            x = xp.to_device(windows[first])
            h, state, _ = recurrent.run(x[:, :-1], state, train=False)
            nats -= float((log_softmax(last(h)) * x[:, 1:]).sum())
        return nats / (streams.size * block) / np.log(2)

    def measured(self, n):
        return super().measured(n) | {ngrams.BITS: self.bits(text.asked_for(self.settings).test)}


@dataclass
class WriteOptions:
    n: int = option(1000, "characters", minimum=1, maximum=1_000_000)
    temperature: float = option(1.0, "below 1: more of what is probable", minimum=0.01)
    seed: int = option(0, "the characters follow from it", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write, too: what is printed")


def write(Model, Settings, program, argv):
    """Write a text of any length with a trained model, one character after the other."""
    run, options = command.parse_run(program, "write", write.__doc__, WriteOptions, argv)
    model = command.load(Model, Settings, run, options)
    z = xp.to_device(np.random.default_rng(options.seed).random((1, options.n), dtype=np.float32))
    said = model.spoken(z, options.temperature).argmax(axis=-1)
    (line,) = text.spelled(model.letters, xp.to_host(said))
    print(line)
    if options.out:
        with replacing(options.out) as file:
            file.write(line.encode())


if __name__ == "__main__":
    training.main(TextLSTM, Settings, commands=[write])
