"""Speakers longhand: an LSTM of loops, the probability of a sequence, what a word was worth; a small SeqGAN."""

import copy
import itertools

import numpy as np

from scratchgan.data import Batches
from scratchgan.examples.sequences import seqgan
from scratchgan.optim import Adam
from scratchgan.training import speech

TINY = {"vocabulary": 3, "length": 4, "width": 4, "filters": 3, "batch_size": 6, "rollouts": 2, "D_steps": 2}


def start(**more):
    """Return (model, batches) at the first step."""
    settings = seqgan.Settings(**TINY | {"mle": 2, "lessons": 2, "steps": 6} | more)
    words = seqgan.SeqGAN.load_data(settings)
    batches = Batches(words, batch_size=settings.batch_size, rng=np.random.default_rng(1))
    return seqgan.SeqGAN(settings, words.shape[1:], np.random.default_rng(0)), batches


def loud(V=2, H=3, seed=0):
    """Return a speaker in float64 that prefers some words to others."""
    return speech.drawn_speaker(V, H, np.random.default_rng(seed)).astype(np.float64)


def every(V, L):
    """Return all sequences there are, (V ** L, L)."""
    return np.array(list(itertools.product(range(V), repeat=L)))


# ---- longhand: an LSTM of loops, and the probability of a sequence -----------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_more(G, e, h, c):
    """Return (h, c) after the embedding e."""
    dense = G.layers[1].cell.dense
    a_i, a_f, a_g, a_o = np.split(np.concatenate([e, h], axis=1) @ dense.W.value + dense.b.value, 4, axis=1)
    c = sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g)
    return sigmoid(a_o) * np.tanh(c), c


def log_likelihood(G, words):
    """Return log p of each word given those before it, (N, L)."""
    embedding, recurrent, last = G.layers
    n, L = words.shape
    h = c = np.zeros((n, recurrent.features), last.W.value.dtype)
    word, found = np.full(n, embedding.classes - 1), []
    for t in range(L):
        h, c = one_more(G, embedding.W.value[word], h, c)
        logits = h @ last.W.value + last.b.value
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        word = words[:, t]
        found.append(np.log(p[np.arange(n), word]))
    return np.stack(found, axis=1)


def softly(G, g, tau):
    """Return soft words (N, L, V + 1) that answer to noise g (N, L, V)."""
    embedding, recurrent, last = G.layers
    n, L, V = g.shape
    h = c = np.zeros((n, recurrent.features), last.W.value.dtype)
    y, found = np.eye(V + 1)[np.full(n, V)], []
    for t in range(L):
        h, c = one_more(G, y @ embedding.W.value, h, c)
        e = np.exp((g[:, t] + h @ last.W.value + last.b.value) / tau)
        y = np.concatenate([e / e.sum(1, keepdims=True), np.zeros((n, 1))], axis=1)
        found.append(y)
    return np.stack(found, axis=1)


def holds(grads, net, formula):
    """Assert that grads are those of formula(net), along random directions, by a complex step."""
    rng = np.random.default_rng(5)
    for _ in range(3):
        moved = copy.deepcopy(net).astype(np.complex128)
        directions = [rng.standard_normal(grad.shape) for grad in grads]
        for param, v in zip(moved.params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        wanted = formula(moved).imag / 1e-20
        terms = [(grad * v).sum() for grad, v in zip(grads, directions, strict=True)]
        assert abs(sum(terms) - wanted) < 1e-10 * sum(map(abs, terms))


def handed_over(model, name, step):
    """Return (network before, grads that a step leaves to the optimizer of "G" or "D", what it returns), in float64."""
    model.D.layers[2].rate = 0.0  # no dropout: a longhand formula draws nothing
    model.G, model.D, model.oracle = (copy.deepcopy(net).astype(np.float64) for net in (model.G, model.D, model.oracle))
    model.opt_MLE, model.opt_G, model.opt_D = Adam(model.G.params()), Adam(model.G.params()), Adam(model.D.params())
    for optimizer in (model.opt_MLE, model.opt_G, model.opt_D):
        optimizer.step = lambda: None
    said = step()
    net = getattr(model, name)
    return net, [param.grad.copy() for param in net.params()], said


def worth(G, words, reward):
    """Return the exact Q (N, L): the expected reward of all that may follow, by enumeration."""
    V, (n, L) = G.layers[0].classes - 1, words.shape
    Q = np.empty((n, L))
    for i, t in itertools.product(range(n), range(1, L + 1)):
        ends = every(V, L - t)
        whole = np.concatenate([np.tile(words[i, :t], (len(ends), 1)), ends.astype(int)], axis=1)
        p = np.exp(log_likelihood(G, whole)[:, t:].sum(1))
        Q[i, t - 1] = (p * reward(whole)).sum()
    return Q


def table(words):
    """Return some reward of each sequence of two words, from 0 to 1."""
    return np.random.default_rng(3).random(2 ** words.shape[1])[words @ (2 ** np.arange(words.shape[1]))]


def read_softly(D, y):
    """Return D's logits of soft words, longhand: an embedding is a mixture of embeddings."""
    for layer in D.layers[1:]:
        y = layer.forward(y @ D.layers[0].W.value if layer is D.layers[1] else y, train=False)[0]
    return y
