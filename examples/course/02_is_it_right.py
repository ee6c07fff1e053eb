"""Chapter 2: is it right?

A wrong backward still runs, and often still trains, only worse. So each one is compared with
numbers that need no backward. The layer here is t = tanh(x W), y = t - (mean of t over the batch),
and its backward has three lines.

1. **dy is random.** The loss is L = <dy, y>. Many take L = y.sum(), which is a dy of ones. But here
   the columns of y sum to 0, whatever x is. All slopes are 0, and `hasty`, without tanh', is right.
2. **Differences**, (L(x + h v) - L(x - h v)) / 2h along a random v, should be <dx, v>. They err by
   h^2 as the curve bends, and by 1e-16 / h as L is rounded: a smaller h is not always better.
3. **A complex step**, the imaginary part of L(x + i h v) / h, subtracts nothing. h may be 1e-100.
   It needs a forward that takes complex numbers: no abs, no max.
4. **check** does all of this for each number, knows how exact it is, and says which line is wrong.

It prints:

    dy of ones:   the error of backward is 0.0, that of hasty is 0.0
    dy random:    the error of backward is 0.0, that of hasty is 1.6
    differences:  h = 1e-01: error 3e-03
    differences:  h = 1e-03: error 3e-07
    differences:  h = 1e-15: error above 1e-04: True
    complex step: h = 1e-100: error below 1e-14: True
    check of backward: {'x': 'AGREE', 'W': 'AGREE'}
    check of hasty: {'x': 'WRONG', 'W': 'WRONG'}
        x, W are right once line 49 of hasty has `(dy - dy.mean(0)) * (1 - np.tanh(x @ W) ** 2)` for
        `dy - dy.mean(0)`
"""

import textwrap

import numpy as np

from scratchgan.gradcheck import check


def forward(x, W):
    t = np.tanh(x @ W)  # (N, out)
    return t - t.mean(0)


def backward(dy, x, W):
    t = np.tanh(x @ W)
    dt = dy - dy.mean(0)  # taking the mean away is its own adjoint
    da = dt * (1 - t**2)  # (N, out), at x W
    return da @ W.T, x.T @ da  # dx, dW


def hasty(dy, x, W):
    dt = dy - dy.mean(0)
    return dt @ W.T, x.T @ dt  # tanh' is missing


def complex_step(dy):
    return (dy * forward(x + 1e-100j * v, W)).sum().imag / 1e-100


def difference(dy, h):
    return ((dy * forward(x + h * v, W)).sum() - (dy * forward(x - h * v, W)).sum()) / (2 * h)


rng = np.random.default_rng(0)
x, W, v, dy = (rng.standard_normal(shape) for shape in ((4, 3), (3, 2), (4, 3), (4, 2)))
for title, slopes in (("dy of ones:", np.ones_like(dy)), ("dy random:", dy)):
    errors = [abs((f(slopes, x, W)[0] * v).sum() - complex_step(slopes)) for f in (backward, hasty)]
    print(f"{title:13} the error of backward is {errors[0]:.1f}, that of hasty is {errors[1]:.1f}")

exact = (backward(dy, x, W)[0] * v).sum()  # <dx, v>
for h in (1e-1, 1e-3):
    print(f"differences:  h = {h:.0e}: error {abs(difference(dy, h) - exact):.0e}")
print(f"differences:  h = 1e-15: error above 1e-04: {abs(difference(dy, 1e-15) - exact) > 1e-4}")
print(f"complex step: h = 1e-100: error below 1e-14: {abs(complex_step(dy) - exact) < 1e-14}")
for f in (backward, hasty):
    report = check(forward, f, (x, W), names=("x", "W"))
    print(f"check of {f.__name__}: {report.verdict}")
    if report.causes:  # the likeliest first
        print(textwrap.indent(textwrap.fill(report.causes[0].text, 92), "    "))

# Exercises. The answers are in ANSWERS.md.
# 1. Line 45: return `x.T @ da / len(x)`, a mean in place of a sum. What does check say of W?
# 2. Line 37: write `np.tanh((x @ W).real)`. Who is misled, the complex step or check?
