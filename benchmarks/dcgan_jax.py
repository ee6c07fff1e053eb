"""The iteration of `dcgan.py` in JAX, compiled as a whole: channels last, as ours."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import leaky_relu, relu, softplus
from mlp_jax import adam

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x, W, stride):
    """A convolution of kernel 4, stride 2 or kernel 3, stride 1, with padding 1."""
    return lax.conv_general_dilated(x, W, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def conv_transpose(x, W):
    """Twice the side: kernel 4, stride 2, and padding 1 of the convolution that it is the adjoint of."""
    return lax.conv_transpose(x, W, (2, 2), ((2, 2), (2, 2)), dimension_numbers=LAYOUT)


def batch_norm(x, gamma, beta):
    """By the batch's own statistics; the running ones, which no gradient needs, are left out in JAX's favour."""
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) * lax.rsqrt(x.var(axes) + 1e-5) * gamma + beta


def generate(G, z):
    first, stages, last = G
    x = z @ first["W"]
    side = 7 if len(stages) == 1 else 4  # 28 x 28 has two stages, 64 x 64 four
    x = relu(batch_norm(x.reshape(len(z), side, side, -1), first["gamma"], first["beta"]))
    for stage in stages:
        x = relu(batch_norm(conv_transpose(x, stage["W"]), stage["gamma"], stage["beta"]))
    return jnp.tanh(conv_transpose(x, last["W"]) + last["b"])


def score(D, x):
    first, stages, last = D
    x = leaky_relu(conv(x, first["W"], 2) + first["b"], 0.2)
    for stage in stages:
        x = leaky_relu(batch_norm(conv(x, stage["W"], 2), stage["gamma"], stage["beta"]), 0.2)
    return x.reshape(len(x), -1) @ last["W"] + last["b"]


def D_loss(D, G, real, z):
    return softplus(-score(D, real)).mean() + softplus(score(D, generate(G, z))).mean()


def G_loss(G, D, z):
    return softplus(-score(D, generate(G, z))).mean()


@jax.jit
def step(G, D, images, t, key):
    """One step of D and one of G; each network is (params, mean, square)."""
    real = images.astype(jnp.float32) / 127.5 - 1
    z1, z2 = jax.random.normal(key, (2, len(real), 100))
    D = adam(D[0], jax.grad(D_loss)(D[0], G[0], real, z1), *D[1:], t)
    G = adam(G[0], jax.grad(G_loss)(G[0], D[0], z2), *G[1:], t)
    return G, D


def networks(side):
    """Return the weights of G and D of examples/dcgan.py of this side, width 64."""
    rng = np.random.default_rng(0)
    first, stages = (7, 2) if side == 28 else (4, 4)
    widths = [1] + [64 * 2**stage for stage in range(stages)]
    draw = lambda *shape: jnp.asarray(0.02 * rng.standard_normal(shape, dtype=np.float32))

    def normed(W, channels):
        return {"W": W, "gamma": jnp.ones(channels), "beta": jnp.zeros(channels)}

    pairs = list(zip(widths, widths[1:], strict=False))
    D = (
        {"W": draw(4, 4, 1, 64), "b": jnp.zeros(64)},
        [normed(draw(4, 4, small, large), large) for small, large in pairs[1:]],
        {"W": draw(first * first * widths[-1], 1), "b": jnp.zeros(1)},
    )
    G = (
        normed(draw(100, first * first * widths[-1]), widths[-1]),
        [normed(draw(4, 4, large, small), small) for small, large in pairs[:0:-1]],
        {"W": draw(4, 4, 64, 1), "b": jnp.zeros(1)},
    )
    return G, D


@jax.jit
def layer_step(W, b, x):
    """The 3 x 3 layer forward, and its three gradients for dy = y."""
    y, backward = jax.vjp(lambda W, b, x: conv(x, W, 1) + b, W, b, x)
    return backward(y)


def jax_iteration(case, images):
    """Return a function that runs one iteration and waits for its end."""
    if case == "layer":
        rng = np.random.default_rng(0)
        W, b = jnp.asarray(rng.standard_normal((3, 3, 64, 64), dtype=np.float32)), jnp.zeros(64)
        x = jnp.asarray(rng.standard_normal((len(images), 32, 32, 64), dtype=np.float32))
        return lambda: jax.block_until_ready(layer_step(W, b, x))
    G, D = ((net, *[jax.tree.map(jnp.zeros_like, net)] * 2) for net in networks(int(case)))
    t, images = 0, jnp.asarray(images)

    def iteration():
        nonlocal G, D, t
        t += 1
        G, D = step(G, D, images, float(t), jax.random.key(t))
        jax.block_until_ready(G)

    return iteration
