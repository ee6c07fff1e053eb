"""The iteration of `mlp.py` in JAX, compiled as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import leaky_relu, relu, softplus


def mlp(params, x, activation):
    """A perceptron whose last layer has no activation."""
    for W, b in params[:-1]:
        x = activation(x @ W + b)
    return x @ params[-1][0] + params[-1][1]


def generate(G, z):
    return jnp.tanh(mlp(G, z, relu))


def score(D, x):
    return mlp(D, x, lambda x: leaky_relu(x, 0.2))


def D_loss(D, G, real, z):
    return softplus(-score(D, real)).mean() + softplus(score(D, generate(G, z))).mean()


def G_loss(G, D, z):
    return softplus(-score(D, generate(G, z))).mean()


def adam(params, grads, mean, square, t):
    """Return the next (params, mean, square)."""
    mean = jax.tree.map(lambda m, g: 0.5 * m + 0.5 * g, mean, grads)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, grads)
    rate = 2e-4 * jnp.sqrt(1 - 0.999**t) / (1 - 0.5**t)
    params = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), params, mean, square)
    return params, mean, square


@jax.jit
def step(G, D, real, t, key):
    """One step of D and one of G; each network is (params, mean, square)."""
    z1, z2 = jax.random.normal(key, (2, len(real), G[0][0][0].shape[0]))
    D = adam(D[0], jax.grad(D_loss)(D[0], G[0], real, z1), *D[1:], t)
    G = adam(G[0], jax.grad(G_loss)(G[0], D[0], z2), *G[1:], t)
    return G, D


def jax_iteration(G_sizes, D_sizes, real):
    """Return a function that runs one iteration and waits for its end."""
    rng = np.random.default_rng(0)

    def init(sizes):
        shapes = list(zip(sizes, sizes[1:], strict=False))
        draw = lambda shape: rng.standard_normal(shape, dtype=np.float32) * (2 / shape[0]) ** 0.5
        weights = [jnp.asarray(draw(shape)) for shape in shapes]
        params = [(W, jnp.zeros(W.shape[1])) for W in weights]
        zeros = jax.tree.map(jnp.zeros_like, params)
        return params, zeros, zeros

    G, D, t, real = init(G_sizes), init(D_sizes), 0, jnp.asarray(real)

    def iteration():
        nonlocal G, D, t
        t += 1
        G, D = step(G, D, real, float(t), jax.random.key(t))
        jax.block_until_ready(G)

    return iteration
