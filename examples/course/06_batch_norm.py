"""Chapter 6: batch normalisation, and four ways to be wrong.

Every channel gets mean 0 and variance 1 over the batch, then a gain and a shift that are learned:

    y = gamma xhat + beta,   xhat = (x - mean) r,   r = 1 / sqrt(var + eps)         x, y: (N, C)
A sample's x now moves every y of its channel, along three paths: its own xhat, the mean, and the
variance. With g = gamma dy, the slope at xhat, and <.> the mean over the batch:

    dx = r (g  -  <g>  -  xhat <g xhat>)
          own    mean     variance

A network that has lost a path still trains. `check` knows no formula of this. It prints:

    right: {'x': 'AGREE', 'gamma': 'AGREE', 'beta': 'AGREE'}
    constants: {'x': 'WRONG', 'gamma': 'AGREE', 'beta': 'AGREE'}
        x: consistent with a gradient that lacks the mean path and the variance path, over axes 0
    mean_alone: {'x': 'WRONG', 'gamma': 'AGREE', 'beta': 'AGREE'}
        x is right once line 66 of backward has `gamma * dy - xhat * (gamma * dy * xhat).mean(0,
        keepdims=True)` for `gamma * dy`
    sum_for_mean: {'x': 'WRONG', 'gamma': 'AGREE', 'beta': 'AGREE'}
        x is right once line 57 of sum_for_mean has `r * (g - g.mean(0) - xhat * (g *
        xhat).mean(0))` for `r * (g - g.mean(0) - xhat * (g * xhat).sum(0))`
    all_axes: {'x': 'WRONG', 'gamma': 'AGREE', 'beta': 'AGREE'}
        x: consistent with a gradient that reaches entries that an output does not depend on where
        the index of axis 1 of y is not the index of axis 1 of x: summed over a wrong axis
"""

import textwrap

import numpy as np

from scratchgan.gradcheck import check


def normalise(x, eps=1e-5):
    r = 1 / np.sqrt(x.var(0) + eps)  # (C,)
    return (x - x.mean(0)) * r, r


def forward(x, gamma, beta):
    return gamma * normalise(x)[0] + beta  # (N, C)


def right(g, xhat, r):
    return r * (g - g.mean(0) - xhat * (g * xhat).mean(0))


def constants(g, xhat, r):  # mean and variance taken for numbers that x does not move
    return r * g


def mean_alone(g, xhat, r):  # the variance taken for a number
    return r * (g - g.mean(0))


def sum_for_mean(g, xhat, r):  # the variance is a mean, and its 1 / N is lost
    return r * (g - g.mean(0) - xhat * (g * xhat).sum(0))


def all_axes(g, xhat, r):  # one mean of all channels
    return r * (g - g.mean() - xhat * (g * xhat).mean())


def backward(dy, x, gamma, beta):
    xhat, r = normalise(x)
    g = gamma * dy  # (N, C), the slope at xhat
    return input_slope(g, xhat, r), (dy * xhat).sum(0), dy.sum(0)  # dx, dgamma, dbeta


rng = np.random.default_rng(0)
args = rng.standard_normal((8, 3)), rng.uniform(0.5, 2, 3), rng.standard_normal(3)  # x, gamma, beta
for input_slope in (right, constants, mean_alone, sum_for_mean, all_axes):  # `backward` calls it
    report = check(forward, backward, args, names=("x", "gamma", "beta"))
    print(f"{input_slope.__name__}: {report.verdict}")
    if report.causes:  # the likeliest first
        print(textwrap.indent(textwrap.fill(report.causes[0].text, 92), "    "))

# Exercises. The answers are in ANSWERS.md.
# 1. Line 66: write `g = dy`. What does check say of `right`?
# 2. Line 36: write `x.var(0, ddof=1)`, the unbiased variance. What does check say of `right` now?
