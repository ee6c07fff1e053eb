"""f-divergences: a game for each of them (Nowozin et al. 2016).

    D_f(P, Q) = E_Q f(p(x) / q(x)),  f convex, f(1) = 0;  P: the data, Q: G(z)

f(u) >= u t - f*(t) for all t, with equality at t = f'(u). So for every function T, D_f(P, Q) is at
least E_P T(x) - E_Q f*(T(x)) (section 2.2). T(x) = g_f(V(x)): D says V, any number, and g_f rises
and takes it to where f* is finite (table 2).

A divergence is a function here: of V it returns g_f(V) and its derivative, f*(g_f(V)) and its
derivative. Where exp(V) is beyond float32, at 88, it is infinite. docs/fgan.md derives all.
"""

import math

from scratchgan import xp
from scratchgan.layers import functions
from scratchgan.losses import count


def kullback_leibler(v):
    """KL(P, Q): f(u) = u log u, g_f(v) = v, f*(t) = exp(t - 1)."""
    conjugate = xp.exp(v - 1)
    return v, xp.ones_like(v), conjugate, conjugate


def reverse_kullback_leibler(v):
    """KL(Q, P): f(u) = -log u, g_f(v) = -exp(-v), f*(t) = -1 - log(-t)."""
    return -xp.exp(-v), xp.exp(-v), v - 1, xp.ones_like(v)


def pearson(v):
    """chi^2: f(u) = (u - 1)^2, g_f(v) = v, f*(t) = t^2 / 4 + t."""
    return v, xp.ones_like(v), 0.25 * v * v + v, 0.5 * v + 1


def squared_hellinger(v):
    """f(u) = (sqrt u - 1)^2, g_f(v) = 1 - exp(-v), f*(t) = t / (1 - t)."""
    return 1 - xp.exp(-v), xp.exp(-v), xp.exp(v) - 1, xp.exp(v)


def jensen_shannon(v):
    """2 JS(P, Q): g_f(v) = log 2 + log sigmoid(v), f*(t) = -log(2 - exp t). V is GAN's logit."""
    log_2, s = math.log(2), functions.softplus
    return log_2 - s(-v), functions.sigmoid(-v), s(v) - log_2, functions.sigmoid(v)


def jeffrey(v):
    """KL(P, Q) + KL(Q, P): f(u) = (u - 1) log u, g_f(v) = v + 1 - exp(-v).

    With g_f(v) = v, f* would need Lambert's W. Now V is log u at best, and f*(g_f(v)) is short:
    exp(v) - 1 + v.
    """
    return v + 1 - xp.exp(-v), 1 + xp.exp(-v), v - 1 + xp.exp(v), 1 + xp.exp(v)


def variational_discriminator(divergence, real_v, fake_v):
    """D ascends E g_f(V(x)) - E f*(g_f(V(G(z)))), at most D_f(P, Q); the loss is its negative."""
    n_real, n_fake = count("variational", real_v), count("variational", fake_v)
    (g, dg, _, _), (_, _, conjugate, d_conjugate) = divergence(real_v), divergence(fake_v)
    return conjugate.mean() - g.mean(), dg * (-1 / n_real), d_conjugate * (1 / n_fake)


def variational_generator(divergence, fake_v):
    """G descends the same number, of which it has a hand in -E f*(g_f(V(G(z)))) alone."""
    n = count("variational_generator", fake_v)
    _, _, conjugate, d_conjugate = divergence(fake_v)
    return -conjugate.mean(), d_conjugate * (-1 / n)
