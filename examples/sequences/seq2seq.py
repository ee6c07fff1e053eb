"""Sequence to sequence, with an adversary (Sutskever et al. 2014; Wu et al. 2017).

G reads a row of words, [source, SEP, target, EOS], and says at each place what comes next: a GRU,
one causal attention (Vaswani et al. 2017), a Dense layer. From SEP on, that is an answer. First G
learns by likelihood. Then D judges whole rows, real ones against G's, and G is rewarded for words
by which D takes a drawn answer for more real than the likeliest one (Rennie et al. 2017).

    python examples/sequences/seq2seq.py                                # English numbers to German
    python examples/sequences/seq2seq.py --task summary --pairs 20000
    python examples/sequences/seq2seq.py --no-adversary                 # as many steps, no D
    python examples/sequences/seq2seq.py --pairs 200 --unpaired         # D sees other sources
    python examples/sequences/seq2seq.py translate runs/seq2seq "four hundred seventy-one"
"""

from dataclasses import dataclass

from scratchgan import losses, training, xp
from scratchgan.data import phrases
from scratchgan.data.phrases import EOS, PAD, SEP
from scratchgan.layers import GRU, Attention, Concat, Conv1d, Dense, Embedding, GlobalMaxPool
from scratchgan.layers.activations import LeakyReLU
from scratchgan.layers.compose import Residual, Sequential
from scratchgan.layers.functions import sample_categorical, sigmoid
from scratchgan.layers.recurrent import Recurrent
from scratchgan.optim import Adam, clip_norm
from scratchgan.training import answering, option


@dataclass
class Settings(training.Settings):
    steps: int = option(400, "training steps: --pretraining by likelihood, then rounds", minimum=1)
    pretraining: int = option(200, "steps before the first round with D", minimum=0)
    lr: float = option(2e-3, "learning rate of G", minimum=1e-12)
    lr_D: float = option(1e-3, "learning rate of D", minimum=1e-12)
    data: str = option("phrases", "data set", choices=("phrases",))
    task: str = option("translation", "what becomes of a phrase", choices=tuple(phrases.TASKS))
    pairs: int = option(2000, "training pairs", choices=(200, 2000, 20_000))
    width: int = option(128, "numbers of the recurrent state", minimum=1)
    policy: float = option(0.5, "weight of D's say, beside the likelihood", minimum=0)
    clip: float = option(1.0, "largest norm of G's gradient", minimum=1e-12)
    unpaired: bool = option(False, "in rounds, G answers sources whose targets nobody knows")
    adversary: bool = option(True, "rounds with D; --no-adversary: likelihood to the end")


class Seq2Seq(answering.Answering):
    """G: words - 48 - GRU 128 + attention - words. D: words - 48 - 4 convolutions - 64 - 1."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        words, H = len(phrases.SPECIAL) + len(self.task.words), settings.width
        attention = Attention(H, H, causal=True, rng=rng)
        self.G = Sequential(
            Embedding(words, 48, rng=rng), Recurrent(GRU(48, H, rng=rng), H),
            Residual(Sequential(attention, Dense(H, H, rng=rng))),
            Dense(H, words, rng=rng),
        )  # fmt: skip
        seen = lambda k: Sequential(Conv1d(48, 32, k, rng=rng), LeakyReLU(0.2), GlobalMaxPool())
        self.D = Sequential(
            Embedding(words, 48, rng=rng), Concat(*[seen(k) for k in (1, 2, 3, 5)]),
            Dense(128, 64, rng=rng), LeakyReLU(0.2), Dense(64, 1, rng=rng),
        )  # fmt: skip
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.9, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr_D)

    def step(self, batches):
        rows = xp.to_device(batches.next())  # (N, L)
        if self.opt_G.steps < self.settings.pretraining or not self.settings.adversary:
            return self.likelihood_step(rows)
        asked = self.unpaired(len(rows)) if self.settings.unpaired else rows
        # The numbers of the draws come from the host.
        drawn = self.answer(asked, lambda logits: sample_categorical(logits, self.rng))
        return {"D": self.discriminator_step(rows, drawn)} | self.generator_step(rows, drawn)

    def likelihood_step(self, rows):
        # G descends -1/T sum log p(y_t | what stands before), over all T words of the answers
        loss = self.likelihood(rows)
        clip_norm(self.opt_G, self.settings.clip)
        self.opt_G.step()
        return {"likelihood": loss}

    def discriminator_step(self, rows, drawn):
        # D ascends log D(source, target) + log(1 - D(source, G's answer))
        real_logits, real_tape = self.D.forward(rows)  # (N, 1)
        fake_logits, fake_tape = self.D.forward(drawn)
        loss, d_real, d_fake = losses.minimax_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        self.D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss

    def generator_step(self, rows, drawn):
        # G descends -1/T sum log p(y_t) - policy 1/S sum (D(drawn) - D(likeliest)) log p(drawn_t),
        # over all T words of the targets and all S of the answers; D's numbers are constants
        likeliest = self.answer(drawn, lambda logits: logits.argmax(-1))
        advantage = sigmoid(self.D(drawn)) - sigmoid(self.D(likeliest))  # (N, 1)
        loss = self.likelihood(rows)
        self.likelihood(drawn, self.settings.policy * advantage)
        clip_norm(self.opt_G, self.settings.clip)
        self.opt_G.step()
        return {"likelihood": loss, "advantage": advantage.mean()}

    def likelihood(self, rows, weights=1):
        """Return -1/T sum w log p(y_t), and let G learn of it; w, 1 or (N, 1), for each row."""
        logits, tape = self.G.forward(rows[:, :-1])  # (N, L - 1, words)
        asked = answers(rows).astype(logits.dtype)  # (N, L - 1)
        mean = asked.size / asked.sum()  # of what is asked for, in the place of all
        loss, d_logits = losses.softmax_cross_entropy(logits, rows[:, 1:], weights * mean * asked)
        self.G.accumulate(tape, d_logits)  # into G
        return loss

    def answer(self, rows, choose):
        """Return the rows, (N, L), with an answer in the place of each target.

        A place where the row has a word of its source, or SEP, stays. At every other one stands
        choose(logits), (N, words) to (N,), until EOS. What G has read is its state and the keys
        and values of all places: so a word costs one step of the GRU, and one query.
        """
        embed, recurrent, mixed, head = self.G.layers
        (look, mix), out = mixed.body.layers[0].layers, mixed.body.layers[1]
        fork, scores, _, softmax = mixed.body.layers[0].weights.layers  # and no mask: no future
        (q, k), v = fork.layers, look.layers[1]
        given = xp.cumsum(rows == SEP, axis=1) - (rows == SEP) == 0  # (N, L)
        rows, (N, L), H = xp.where(given, rows, PAD), rows.shape, self.settings.width
        h = xp.zeros((N, H), dtype=head.W.value.dtype)
        keys, values = (xp.zeros((N, L, H), dtype=h.dtype) for _ in range(2))
        ended = xp.zeros(N, dtype=bool)
        for t in range(L - 1):
            h = recurrent.cell(xp.concatenate([embed(rows[:, t]), h], axis=-1))
            keys[:, t], values[:, t] = k(h), v(h)
            p = softmax(scores((q(h)[:, None], keys[:, : t + 1])))  # (N, 1, t + 1)
            word = choose(head(h + out(mix((p, values[:, : t + 1]))[:, 0])))
            word = xp.where(ended, PAD, word)
            rows[:, t + 1] = xp.where(given[:, t + 1], rows[:, t + 1], word)
            ended = ended | (rows[:, t + 1] == EOS)
        return rows

    def map(self, rows):
        """Return how much each place looks at each one before it, (N, L, L)."""
        embed, recurrent, mixed, _ = self.G.layers
        return mixed.body.layers[0].weights(recurrent(embed(rows)))


def answers(rows):
    """Return where the next word of rows (N, L) is one of an answer, EOS included: (N, L - 1)."""
    begun, ended = (xp.cumsum(rows == word, axis=1)[:, :-1] > 0 for word in (SEP, EOS))
    return begun & ~ended


if __name__ == "__main__":
    training.main(Seq2Seq, Settings, commands=[answering.translate])
