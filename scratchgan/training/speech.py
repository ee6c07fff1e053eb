"""Speech: a network that says the next word, its sequences, and what each of their words was worth.

A speaker is Sequential(Embedding(V + 1, E), Recurrent(cell, H, S), Dense(H, V)), from words (N, L), integers, to the
logits (N, L, V) of the word that follows each. Word V is the start: a speaker reads it, and never says it. So
p(words) is the product of softmax(logits) at each word, given those before it.
"""

import copy

import numpy as np

from scratchgan import plots, xp
from scratchgan.initializers import normal
from scratchgan.layers import (
    LSTM,
    Columns,
    Concat,
    Dense,
    Embedding,
    Flatten,
    Pad,
    Recurrent,
    Reshape,
    Residual,
    Sequential,
    Softmax,
)
from scratchgan.layers.functions import log_softmax, sample_categorical
from scratchgan.training.sequences import Sequences

DATA, TEST = 1, 2  # streams of random numbers of the oracle's seed
LEARNED = 10_000  # sequences to learn from
PIECE = 200  # sequences that are looked at together
MOST_SURPRISING = 12  # nats at which a word of a picture is darkest


def speaker(vocabulary, width, rng):
    """Return a new speaker of an LSTM; all that does not come from the LSTM's gates starts small."""
    small = lambda shape, rng: normal(shape, rng, std=0.1)
    words = Embedding(vocabulary + 1, width, rng=rng, initialize=small)
    last = Dense(width, vocabulary, rng=rng, initialize=small)
    return Sequential(words, Recurrent(LSTM(width, width, rng=rng), width, 2 * width), last)


def drawn_speaker(vocabulary, width, rng):
    """Return a speaker whose every weight is N(0, 1): an oracle, that says what it was never taught."""
    network = speaker(vocabulary, width, rng)
    for param in network.params():
        param.value[...] = normal(param.value.shape, rng, std=1.0)
    return network


def before(G, words):
    """Return what G reads to say words (N, L): the start, and all of them but the last."""
    start = xp.full((len(words), 1), G.layers[0].classes - 1, dtype=words.dtype)
    return xp.concatenate([start, words[:, :-1]], axis=1)


# ---- word by word ------------------------------------------------------------------------------------------


def read(G, word, state):
    """Return the state after one more word (N,): all that the words so far mean for the next."""
    embedding, recurrent, _ = G.layers
    return recurrent.cell(xp.concatenate([embedding(word), state], axis=-1))


def draw(G, n, length, rng):
    """Return n sequences (n, length) that G says, and the states: states[t] is the one after the first t words.

    rng.random draws a number for each word, on the host; nothing waits for the device.
    """
    embedding, recurrent, last = G.layers
    start = xp.full(n, embedding.classes - 1, dtype=int)
    nothing = xp.zeros((n, recurrent.state_features), dtype=last.W.value.dtype)
    return finish(G, xp.zeros((n, 0), dtype=int), read(G, start, nothing), length, rng)


def finish(G, words, state, length, rng):
    """Return sequences (n, length) that begin with words (n, t), after which G is in a state; and all states since."""
    _, recurrent, last = G.layers
    columns, states = [words], [state]
    for t in range(words.shape[1], length):
        word = sample_categorical(last(states[-1][:, : recurrent.features]), rng)
        columns.append(word[:, None])
        if t + 1 < length:
            states.append(read(G, word, states[-1]))
    return xp.concatenate(columns, axis=1), states


class Given:
    """In the place of a generator: numbers z (N, L) that were drawn before, a column at each call."""

    def __init__(self, z):
        self.columns = iter(z.T)

    def random(self, shape):
        return next(self.columns).reshape(shape)


def action_values(G, words, states, reward, rollouts, rng):
    """Return Q (N, L): how much reward is to be expected once G has said the first t words (Yu et al. 2017, eq. 4).

        Q[n, t] = 1/K sum over k of reward(words[n, :t], and what G says after them, drawn anew)       K = rollouts

    The last is reward(words): nothing is left to be said. reward: words (M, L) -> (M,). No prefix is read again.
    """
    n, length = words.shape
    Q = []
    for t in range(1, length):
        prefix, state = (xp.concatenate([x] * rollouts) for x in (words[:, :t], states[t]))  # (K N, ...)
        finished, _ = finish(G, prefix, state, length, rng)
        Q.append(reward(finished).reshape(rollouts, n).mean(0))
    return xp.stack([*Q, reward(words)], axis=1)


# ---- softly ------------------------------------------------------------------------------------------------


def gumbel_noise(shape, rng):
    """Draw g = -log(-log u), u uniform on (0, 1) without its ends, where g is infinite: float32, on the host.

    argmax(logits + g) is a word of softmax(logits) (Jang et al. 2017).
    """
    u = (rng.integers(2**52, size=shape) + 0.5) / 2**52
    return (-np.log(-np.log(u))).astype(np.float32)


def soft_speaker(G, temperature):
    """Return G as a Recurrent layer that reads its own soft words, driven by noise: g (N, L, V) -> y (N, L, V + 1).

        e = y W        [h, c] = cell([e, h, c])        y' = softmax((g + logits(h)) / temperature), and 0 for the start

    Its state is [y, h, c]; it starts from `first_state`. Its layers, and so their Params, are G's own: it is nothing
    to be kept. For a small temperature y is nearly one word, and one of G's (Kusner & Hernández-Lobato 2016).
    """
    embedding, recurrent, last = G.layers
    (W, E), V, H, S = embedding.W.value.shape, last.out_features, recurrent.features, recurrent.state_features
    g = Columns(0, V)
    look = Concat(g, Sequential(Columns(V, V + W), soft(embedding)), Columns(V + W, V + W + S))  # [g, e, h, c]
    move = Concat(g, Sequential(Columns(V, V + E + S), recurrent.cell))  # [g, h, c]
    logits = Residual(Sequential(Columns(V, V + H), last), g)
    word = Sequential(logits, Softmax(temperature), Reshape(V, 1), Pad(((0, 1),)), Flatten())
    say = Concat(word, Columns(V, V + S))  # [y, h, c]
    return Recurrent(Sequential(look, move, say), W, W + S)


def first_state(G, n):
    """Return the state (n, V + 1 + S) of a `soft_speaker` that has said the start, and nothing else."""
    embedding, recurrent, last = G.layers
    state = xp.zeros((n, embedding.classes + recurrent.state_features), dtype=last.W.value.dtype)
    state[:, embedding.classes - 1] = 1
    return state


def draw_softly(G, n, length, temperature, rng):
    """Return a `soft_speaker` of G, soft words (n, L, V + 1) that it says, and the tape, for its `back`."""
    layer, last = soft_speaker(G, temperature), G.layers[-1]
    g = xp.to_device(gumbel_noise((n, length, last.out_features), rng), last.W.value.dtype)
    y, _, tape = layer.run(g, first_state(G, n))
    return layer, y, tape


def soft_reader(D):
    """Return a D of words as one of soft words (N, L, V + 1). Its layers, and so their Params, are D's own."""
    return Sequential(soft(D.layers[0]), *D.layers[1:])


def soft(embedding):
    """Return a Dense layer for soft words, whose W is the Param of an embedding: of one word, both say the same."""
    dense = Dense(embedding.classes, embedding.features, bias=False, rng=None, initialize=lambda *_: embedding.W.value)
    dense.W = embedding.W
    return dense


# ---- how far one is from another ---------------------------------------------------------------------------


def sharpened(G, temperature):
    """Return a copy of G that says softmax(logits / temperature): below 1, what is likely becomes likelier."""
    G = copy.deepcopy(G)
    for param in (G.layers[-1].W, G.layers[-1].b):
        param.value[...] /= temperature
    return G


def log_probabilities(G, words):
    """Return log p(each word | the words before) at each place of words (N, L): (N, L, V)."""
    return log_softmax(G(before(G, words)))


def entropies(P, Q, words):
    """Return -sum p log p and -sum p log q a word, each (N,), for words (N, L) that P said: means over the places.

    At each place, the sum is over every word that could come next, and so exact: only what came before is drawn.
    The second less the first is KL(P, Q) a word: at no place is it below 0.
    """
    log_p, log_q = log_probabilities(P, words), log_probabilities(Q, words)  # (N, L, V)
    p = xp.exp(log_p)
    return -(p * log_p).sum(-1).mean(-1), -(p * log_q).sum(-1).mean(-1)


# ---- models of speech --------------------------------------------------------------------------------------


class Speech(Sequences):
    """A model whose G learns to speak from an oracle's words: how far it is from the oracle is known exactly.

    A subclass trains `G`, and calls `keep_MLE` once maximum likelihood alone has taught it. Settings: `vocabulary`,
    `length`, `width`, and `oracle`, the seed of the oracle's weights and words.
    """

    exports = (".txt",)

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.oracle = oracle(settings)
        self.G = speaker(settings.vocabulary, settings.width, rng)
        self.MLE = copy.deepcopy(self.G)

    def load_state(self, state):
        for path, array in self.oracle.state().items():
            if not np.array_equal(state.get(f"oracle/{path}", array), array):
                raise ValueError("its oracle is another one: leave --oracle as it was")
        super().load_state(state)

    @staticmethod
    def load_data(settings):
        return said(oracle(settings), LEARNED, settings.length, np.random.default_rng([settings.oracle, DATA]))

    def keep_MLE(self):
        """Let MLE be what G is now."""
        for kept, learned in zip(self.MLE.params(), self.G.params(), strict=True):
            kept.value[...] = learned.value

    def latent(self, n, rng):
        """Return a number from 0 to 1 for each word of n sequences, which chooses it: (n, L), on the host."""
        return rng.random((n, self.settings.length))

    def generate(self, z):
        return draw(self.G, *z.shape, Given(z))[0]

    def export(self, z, suffix):
        """Return a line of numbers of words for each sequence."""
        return "".join(" ".join(map(str, words)) + "\n" for words in xp.to_host(self.generate(z))).encode()

    def layout(self, n):
        return n, 3

    def picture(self, z):
        """Return sequences as rows of words, the less likely for the oracle the darker: its own, MLE's, and G's."""
        columns = {"oracle": self.oracle, "MLE alone": self.MLE, "G": self.G}
        return np.concatenate([self.panel(name, G, z) for name, G in columns.items()], axis=1)

    def panel(self, name, G, z):
        words = draw(G, *z.shape, Given(z))[0]
        surprise = -xp.to_host(xp.take_along_axis(log_probabilities(self.oracle, words), words[..., None], -1)[..., 0])
        surprise = surprise[np.argsort(surprise.mean(1))]  # the likeliest sequence at the top
        dark = np.minimum(surprise / MOST_SURPRISING, 1).repeat(5, axis=0).repeat(8, axis=1)[..., None]
        cells = 255 - np.rint(dark * [100, 235, 255]).astype(np.uint8)
        title = np.full((16, cells.shape[1], 1), 255, np.uint8)
        letters = 255 - plots.text([name])[:16, : cells.shape[1]]
        title[: len(letters), : letters.shape[1]] = letters
        panel = np.concatenate([title.repeat(3, axis=2), cells])
        return np.pad(panel, ((4, 4), (4, 4), (0, 0)), constant_values=255)

    def measured(self, n):
        return self.measures(self.G, n)

    def baselines(self, n):
        sharper = {f"MLE, {T}": sharpened(self.MLE, T) for T in (0.9, 0.8, 0.7)}
        others = {"floor": self.oracle, "MLE": self.MLE} | sharper
        return {name: self.measures(G, n) for name, G in others.items()}

    def measures(self, G, n):
        """Return how far G is from the oracle, by n sequences of each: nats a word, but for the last."""
        own = said(G, n, self.settings.length, np.random.default_rng([self.settings.seed, n]))
        test = said(self.oracle, n, self.settings.length, np.random.default_rng([self.settings.oracle, TEST]))
        (H_G, NLL_oracle), (H_oracle, NLL_test) = far(G, self.oracle, own), far(self.oracle, G, test)
        there, back = NLL_oracle - H_G, NLL_test - H_oracle
        return {"NLL_oracle": NLL_oracle, "NLL_test": NLL_test, "entropy of G": H_G, "KL(G, oracle)": there,
                "KL(oracle, G)": back, "KL sum": there + back, "different words": len(np.unique(own))}  # fmt: skip

    def report(self):
        measures = self.measures(self.G, 500)
        return {name: measures[name] for name in ("NLL_oracle", "NLL_test", "KL sum")}


def fill(settings, values):
    """Give settings these values where they are still their defaults."""
    for name, value in values.items():
        if getattr(settings, name) == getattr(type(settings), name):
            setattr(settings, name, value)


def oracle(settings):
    """Return the network that says the data, by `settings.oracle`."""
    return drawn_speaker(settings.vocabulary, settings.width, np.random.default_rng(settings.oracle))


def said(G, n, length, rng):
    """Return n sequences (n, L) that G says, on the host."""
    sizes = [min(PIECE, n - i) for i in range(0, n, PIECE)]
    return np.concatenate([xp.to_host(draw(G, size, length, rng)[0]) for size in sizes])


def far(P, Q, words):
    """Return the means of both `entropies` over sequences (n, L) that P said, which lie on the host."""
    pieces = [xp.to_device(words[i : i + PIECE]) for i in range(0, len(words), PIECE)]
    both = [np.stack([xp.to_host(numbers) for numbers in entropies(P, Q, piece)]) for piece in pieces]
    return [float(mean) for mean in np.concatenate(both, axis=1).astype(np.float64).mean(1)]
