"""Known-good code in the style of course assignments, written as such code is: loops, caches, channels first."""

import numpy as np
import pytest

from scratchgan.gradcheck import check, sweep

rng = np.random.default_rng(231)


def affine_forward(x, w, b):
    """x: (N, d_1, ..., d_k), w: (D, M), b: (M,)."""
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, D = x.shape
    mu = 1.0 / N * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu**2
    var = 1.0 / N * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    out = gamma * xhat + beta
    return out, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)


def batchnorm_backward(dout, cache):
    """The computational graph, node by node."""
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta


def batchnorm_backward_alt(dout, cache):
    """The same in one formula."""
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N = dout.shape[0]
    dxhat = dout * gamma
    dx = ivar / N * (N * dxhat - np.sum(dxhat, axis=0) - xhat * np.sum(dxhat * xhat, axis=0))
    return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


def conv_forward_naive(x, w, b, stride=1, pad=1):
    """x: (N, C, H, W), w: (F, C, HH, WW), b: (F,)."""
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out, W_out = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, F, H_out, W_out), dtype=np.result_type(x, w))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = xp[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out, (x, w, b, stride, pad)


def conv_backward_naive(dout, cache):
    x, w, b, stride, pad = cache
    N, F, H_out, W_out = dout.shape
    HH, WW = w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    rows, columns = slice(i * stride, i * stride + HH), slice(j * stride, j * stride + WW)
                    dw[f] += dout[n, f, i, j] * xp[n, :, rows, columns]
                    dxp[n, :, rows, columns] += dout[n, f, i, j] * w[f]
                    db[f] += dout[n, f, i, j]
    return dxp[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, db


draw = rng.standard_normal
CASES = {
    "affine": (affine_forward, affine_backward, (draw((4, 2, 3)), draw((6, 5)), np.ones(5))),
    "batch norm": (batchnorm_forward, batchnorm_backward, (5 * draw((8, 3)) + 12, np.ones(3), np.zeros(3))),
    "batch norm, alt": (batchnorm_forward, batchnorm_backward_alt, (draw((4, 5)), np.ones(5), np.ones(5))),
    "convolution": (conv_forward_naive, conv_backward_naive,
                    (rng.standard_normal((2, 2, 4, 4)), rng.standard_normal((2, 2, 3, 3)), rng.standard_normal(2))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_course_code_agrees(case, dtype):
    forward, backward, args = CASES[case]
    report = check(forward, backward, tuple(a.astype(dtype) for a in args))
    assert set(report.verdict.values()) == {"AGREE"}, str(report)
    promoted = (case, dtype) == ("batch norm", "float32")  # its np.ones((N, D)) are float64, and so is its dx
    assert report.findings == ["the gradient of x is float64, wanted float32"] * promoted


@pytest.mark.parametrize("case", CASES)
def test_course_code_with_one_gradient_halved_is_wrong(case):
    forward, backward, args = CASES[case]
    for which in range(len(args)):

        def halved(dout, cache, which=which):
            return tuple(g / 2 if i == which else g for i, g in enumerate(backward(dout, cache)))

        report = check(forward, halved, args)
        assert list(report.verdict.values()).index("WRONG") == which
        assert list(report.verdict.values()).count("WRONG") == 1, str(report)


class Conv:
    """The course's convolution as a class, as its later assignments have it."""

    def __init__(self, in_channels, num_filters, kernel_size, stride=1, pad=0):
        sides = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        self.params = {"W": rng.standard_normal((num_filters, in_channels, *sides)), "b": np.zeros(num_filters)}
        self.stride, self.pad, self.grads = stride, pad, {}

    def forward(self, x):
        out, self.cache = conv_forward_naive(x, self.params["W"], self.params["b"], self.stride, self.pad)
        return out

    def backward(self, dout):
        dx, self.grads["W"], self.grads["b"] = conv_backward_naive(dout, self.cache)
        return dx


def test_the_course_convolution_agrees_over_awkward_cases():
    outcome = sweep(Conv, like="conv2d")
    assert outcome.ok, str(outcome)
    assert "data channels-first, weights channels-first" in outcome.notes
