"""SeqGAN: words are chosen, and no gradient goes through a choice (Yu et al. 2017, "SeqGAN").

    G ascends  J = E D(y), the mean over sequences y that G says                            (eq. 1)
    grad J = E sum over t of A_t grad log G(y_t | y_1 .. y_t-1),  A_t = Q_t - mean of Q_t   (eq. 7)

Q_t is the mean of D over sequences that G finishes anew after word t (eq. 4): rollouts. Its mean
over the batch, which is not the authors', takes noise away. The data are said by another network,
the oracle, whose weights are drawn: how far G is from it is known exactly, in both directions.
First G learns by maximum likelihood (MLE), then D alone, and then both: docs/seqgan.md.

    python examples/sequences/seqgan.py
    python examples/sequences/seqgan.py --generator gumbel      # soft words, which have a gradient
"""

from dataclasses import dataclass

from scratchgan import losses, training, xp
from scratchgan.layers import Concat, Conv1d, Dense, Dropout, Embedding, GlobalMaxPool, ReLU
from scratchgan.layers.compose import Sequential
from scratchgan.layers.functions import sigmoid
from scratchgan.optim import Adam, clip_norm
from scratchgan.training import option, speech

CLIP = 5.0  # the largest norm of G's gradient
KERNELS = (1, 2, 3, 4, 5, 8, 12)  # words that D looks at together
PAPER = {"vocabulary": 5000, "mle": 18_750, "lessons": 23_440, "D_steps": 2344, "rollouts": 16,
         "filters": 100, "lr_D": 1e-4, "steps": 42_390}  # fmt: skip


@dataclass
class Settings(training.Settings):
    steps: int = option(3435, "training steps: of MLE, of D, then rounds of both", minimum=1)
    mle: int = option(1875, "first steps, of MLE: 12 times all sequences", minimum=0)
    lessons: int = option(1500, "next steps, of D alone", minimum=0)
    D_steps: int = option(30, "steps of D in a round; G takes one", minimum=1)
    rollouts: int = option(8, "times that a sequence is finished after each word", minimum=1)
    lr: float = option(2e-3, "learning rate of G in a round", minimum=1e-12)
    lr_mle: float = option(1e-2, "learning rate of MLE", minimum=1e-12)
    lr_D: float = option(1e-3, "learning rate of D", minimum=1e-12)
    generator: str = option("policy", "how G hears of D", choices=("policy", "gumbel"))
    baseline: bool = option(True, "from Q, its mean over the batch is taken")
    constant_reward: bool = option(False, "a reward of 1 in D's place, whatever G says")
    data: str = option("oracle", "who says the data", choices=("oracle",))
    oracle: int = option(66, "seed of the oracle's weights, and of what it says", minimum=0)
    vocabulary: int = option(300, "how many words there are", minimum=2, maximum=100_000)
    length: int = option(20, "words of a sequence", minimum=2, maximum=1000)
    width: int = option(32, "numbers in an embedding, in h and in c", minimum=1)
    filters: int = option(24, "channels of each of D's convolutions", minimum=1)
    paper: bool = option(False, "sizes of the authors where none is given: for a night or two")

    def __post_init__(self):
        if self.paper:
            speech.fill(self, PAPER)
        super().__post_init__()


class SeqGAN(speech.Speech):
    """G and the oracle: embedding, LSTM, dense. D: the largest of several convolutions."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.D = judge(settings, rng)
        self.opt_MLE = Adam(self.G.params(), settings.lr_mle, betas=(0.9, 0.999))
        self.opt_G = Adam(self.G.params(), settings.lr, betas=(0.9, 0.999))
        self.opt_D = Adam(self.D.params(), settings.lr_D, betas=(0.9, 0.999))

    def step(self, batches):
        real = xp.to_device(batches.next())  # (N, L), integers
        if self.opt_MLE.steps < self.settings.mle:
            return {"MLE": self.likelihood_step(real)}
        if self.opt_D.steps < self.settings.lessons:
            return {"D": self.discriminator_step(real)}
        by_policy = self.settings.generator == "policy"
        told = self.policy_step(len(real)) if by_policy else self.gumbel_step(len(real))
        for _ in range(self.settings.D_steps - 1):
            self.discriminator_step(xp.to_device(batches.next()))
        return told | {"D": self.discriminator_step(real)}

    def likelihood_step(self, real):
        # G ascends the mean of log G(x_t | x_1 .. x_t-1)
        logits, tape = self.G.forward(speech.before(self.G, real))  # (N, L, V)
        loss, d_logits = losses.softmax_cross_entropy(logits, real)
        self.G.accumulate(tape, d_logits)  # into G
        clip_norm(self.opt_MLE, CLIP)
        self.opt_MLE.step()
        if self.opt_MLE.steps == self.settings.mle:
            self.keep_MLE()
        return loss

    def policy_step(self, n):
        # G ascends 1/(N L) sum of A log G(y_t | y_1 .. y_t-1); no gradient goes through y or A
        words, states = speech.draw(self.G, n, self.settings.length, self.rng)
        drawn = self.reward, self.settings.rollouts, self.rng
        Q = speech.action_values(self.G, words, states, *drawn)  # (N, L)
        A = Q - Q.mean(0) if self.settings.baseline else Q  # of each place, over the batch
        logits, tape = self.G.forward(speech.before(self.G, words))
        _, d_logits = losses.softmax_cross_entropy(logits, words, A)
        self.G.accumulate(tape, d_logits)  # into G
        clip_norm(self.opt_G, CLIP)
        self.opt_G.step()
        return {"reward": Q[:, -1].mean()}

    def reward(self, words):
        p = sigmoid(self.D(words))[:, 0]  # D's probability that the oracle has said them
        return xp.ones_like(p) if self.settings.constant_reward else p

    def gumbel_step(self, n):
        # G ascends log D(y), y its soft words
        G, y, G_tape = speech.draw_softly(self.G, n, *self.softly())  # (N, L, V + 1)
        D = speech.soft_reader(self.D)
        logits, D_tape = D.forward(y)
        loss, d_logits = losses.nonsaturating_generator(logits)
        dy, _ = D.pull(D_tape, d_logits)  # through D, not into D
        G.back(G_tape, dy, None)  # into self.G, whose layers these are
        clip_norm(self.opt_G, CLIP)
        self.opt_G.step()
        return {"G": loss}

    def softly(self):  # how soft words are drawn: of what length, from which tau, by whom
        rounds = self.settings.steps - self.settings.mle - self.settings.lessons
        part = min(self.opt_G.steps / max(rounds - 1, 1), 1)  # of the way from 2 to 1/2
        return self.settings.length, 2 * 0.25**part, self.rng

    def discriminator_step(self, real):
        # D ascends log D(x) + log(1 - D(y)), x the oracle's, y what G says
        if self.settings.generator == "policy":
            D, (fake, _) = self.D, speech.draw(self.G, len(real), self.settings.length, self.rng)
        else:
            D = speech.soft_reader(self.D)
            _, fake, _ = speech.draw_softly(self.G, len(real), *self.softly())
        real_logits, real_tape = self.D.forward(real)  # (N, 1)
        fake_logits, fake_tape = D.forward(fake)
        loss, d_real, d_fake = losses.minimax_discriminator(real_logits, fake_logits)
        self.D.accumulate(real_tape, d_real)  # into D
        D.accumulate(fake_tape, d_fake)
        self.opt_D.step()
        return loss


def judge(settings, rng):
    """Words (N, L) -> logits (N, 1): is there anywhere something of k words that looks so?"""
    V, E, F, L = settings.vocabulary, settings.width, settings.filters, settings.length
    looks = [Conv1d(E, F, k, rng=rng) for k in KERNELS if k <= L]
    views = Concat(*[Sequential(look, ReLU(), GlobalMaxPool()) for look in looks])
    words, last = Embedding(V + 1, E, rng=rng), Dense(F * len(looks), 1, rng=rng)
    return Sequential(words, views, Dropout(0.25, rng=rng), last)


if __name__ == "__main__":
    training.main(SeqGAN, Settings)
