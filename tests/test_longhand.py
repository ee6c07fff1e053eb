"""Twenty steps of a convolutional GAN against the same training longhand: loops, and nothing of the library.

The first is the loop of examples/course/04_images.py, whose appendix this is.
"""

import numpy as np

from scratchgan import losses
from scratchgan.layers import Conv2d, ConvTranspose2d, Dense, Flatten, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from scratchgan.optim import Adam

STEPS, N, LR = 20, 3, 0.02


def networks():
    rng = np.random.default_rng(0)
    G = Sequential(
        Dense(3, 8, rng=rng), Reshape(2, 2, 2), ReLU(), ConvTranspose2d(2, 1, 3, stride=2, rng=rng), Tanh(),
    )  # fmt: skip
    D = Sequential(Conv2d(1, 2, 3, stride=2, padding=1, rng=rng), LeakyReLU(0.2), Flatten(), Dense(18, 1, rng=rng))
    return G.astype(np.float64), D.astype(np.float64)


def numbers():
    """Return the real pictures (5 x 5) and the noise of every step."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((STEPS, N, 5, 5, 1)), rng.standard_normal((2, STEPS, N, 3))


def with_the_library():
    G, D = networks()
    opt_G, opt_D = Adam(G.params(), LR), Adam(D.params(), LR)
    history = []
    for real, z_D, z_G in zip(numbers()[0], *numbers()[1], strict=True):
        real_logits, real_tape = D.forward(real)
        fake_logits, fake_tape = D.forward(G.forward(z_D)[0])
        D_loss, d_real, d_fake = losses.nonsaturating_discriminator(real_logits, fake_logits)
        D.accumulate(real_tape, d_real)
        D.accumulate(fake_tape, d_fake)
        opt_D.step()
        fake, G_tape = G.forward(z_G)
        logits, D_tape = D.forward(fake)
        G_loss, d_logits = losses.nonsaturating_generator(logits)
        d_fake, _ = D.pull(D_tape, d_logits)
        G.accumulate(G_tape, d_fake)
        opt_G.step()
        history.append((float(D_loss), float(G_loss)))
    return np.array(history)


# ---- the same, longhand: one sample at a time, one product at a time -------------------------------------


def generate(p, z):
    """Return (picture 5 x 5, hidden 2 x 2 x 2) for one z."""
    h = np.maximum(z @ p["0.W"] + p["0.b"], 0).reshape(2, 2, 2)
    a = np.zeros((5, 5)) + p["3.b"][0]
    for i, j, u, v, c in np.ndindex(2, 2, 3, 3, 2):
        a[2 * i + u, 2 * j + v] += h[i, j, c] * p["3.W"][u, v, 0, c]
    return np.tanh(a), h


def generate_grads(p, z, d):
    """Return the gradients of <d, picture> with respect to G's parameters."""
    picture, h = generate(p, z)
    da = d * (1 - picture**2)
    g = {name: np.zeros_like(value) for name, value in p.items()}
    g["3.b"][0] = da.sum()
    dh = np.zeros((2, 2, 2))
    for i, j, u, v, c in np.ndindex(2, 2, 3, 3, 2):
        g["3.W"][u, v, 0, c] += h[i, j, c] * da[2 * i + u, 2 * j + v]
        dh[i, j, c] += p["3.W"][u, v, 0, c] * da[2 * i + u, 2 * j + v]
    dh = np.where(h > 0, dh, 0).ravel()
    g["0.W"][...], g["0.b"][...] = np.outer(z, dh), dh
    return g


def judge(p, x):
    """Return (logit, hidden 3 x 3 x 2 before its activation) for one picture 5 x 5."""
    a = np.zeros((3, 3, 2)) + p["0.b"]
    for i, j, u, v, o in np.ndindex(3, 3, 3, 3, 2):
        row, column = 2 * i + u - 1, 2 * j + v - 1
        if 0 <= row < 5 and 0 <= column < 5:
            a[i, j, o] += x[row, column] * p["0.W"][u, v, 0, o]
    return np.where(a > 0, a, 0.2 * a).ravel() @ p["3.W"][:, 0] + p["3.b"][0], a


def judge_grads(p, x, d):
    """Return the gradients of d * logit with respect to D's parameters, and with respect to x."""
    _, a = judge(p, x)
    g, dx = {name: np.zeros_like(value) for name, value in p.items()}, np.zeros((5, 5))
    g["3.b"][0], g["3.W"][:, 0] = d, d * np.where(a > 0, a, 0.2 * a).ravel()
    da = (d * p["3.W"][:, 0]).reshape(3, 3, 2) * np.where(a > 0, 1, 0.2)
    g["0.b"][...] = da.sum((0, 1))
    for i, j, u, v, o in np.ndindex(3, 3, 3, 3, 2):
        row, column = 2 * i + u - 1, 2 * j + v - 1
        if 0 <= row < 5 and 0 <= column < 5:
            g["0.W"][u, v, 0, o] += x[row, column] * da[i, j, o]
            dx[row, column] += p["0.W"][u, v, 0, o] * da[i, j, o]
    return g, dx


def adam(p, grads, memory, t):
    """Kingma & Ba 2015, algorithm 1, on sums of gradients."""
    for name in p:
        g = sum(each[name] for each in grads)
        m, v = memory.setdefault(name, (np.zeros_like(g), np.zeros_like(g)))
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
        memory[name] = m, v
        p[name] = p[name] - LR * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def longhand():
    G, D = [{name: param.value.copy() for name, param in net.named_params().items()} for net in networks()]
    G_memory, D_memory, history = {}, {}, []
    probability = lambda logit: 1 / (1 + np.exp(-logit))
    for t, (real, z_D, z_G) in enumerate(zip(numbers()[0], *numbers()[1], strict=True), start=1):
        D_loss, grads = 0.0, []
        for x, z in zip(real[..., 0], z_D, strict=True):
            fake = generate(G, z)[0]
            p_real, p_fake = probability(judge(D, x)[0]), probability(judge(D, fake)[0])
            D_loss -= (np.log(p_real) + np.log(1 - p_fake)) / N
            grads += [judge_grads(D, x, (p_real - 1) / N)[0], judge_grads(D, fake, p_fake / N)[0]]
        adam(D, grads, D_memory, t)
        G_loss, grads = 0.0, []
        for z in z_G:
            fake = generate(G, z)[0]
            p_fake = probability(judge(D, fake)[0])
            G_loss -= np.log(p_fake) / N
            grads.append(generate_grads(G, z, judge_grads(D, fake, (p_fake - 1) / N)[1]))
        adam(G, grads, G_memory, t)
        history.append((D_loss, G_loss))
    return np.array(history)


def test_twenty_steps():
    ours, theirs = with_the_library(), longhand()
    assert np.ptp(theirs, axis=0).min() > 0.1  # something was learned, not the same step twenty times
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
