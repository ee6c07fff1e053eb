"""Functions of one number that are several operations of CuPy, and a bias with the activation after it."""

import numpy as np

from scratchgan import xp
from scratchgan.fast.kernels.cuda import launch, line

LEAKY_RELU = """
extern "C" __global__ void leaky_relu(const T* x, T* y, double slope, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0 ? x[i] : (T)slope * x[i];
}
"""


def leaky_relu(x, slope):
    """Return y = x where x > 0, slope x elsewhere."""
    if isinstance(x, np.ndarray):
        return np.maximum(x, slope * x)
    y = xp.empty_like(x)
    launch(LEAKY_RELU, line(x.size), x, y, slope, x.size)
    return y


SLOPES = """
extern "C" __global__ void slopes(const T* y, T* derivative, double slope, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) derivative[i] = y[i] > 0 ? (T)1 : (T)slope;
}
"""


def slopes(y, slope):
    """Return the derivative of a leaky ReLU from its output y: 1 where y > 0, slope elsewhere."""
    if isinstance(y, np.ndarray):
        return np.maximum((y > 0).astype(y.dtype), slope)
    derivative = xp.empty_like(y)
    launch(SLOPES, line(y.size), y, derivative, slope, y.size)
    return derivative


BIAS_LEAKY_RELU = """
extern "C" __global__ void bias_leaky_relu(T* x, const T* b, double slope, long long channels, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T sum = x[i] + b[i % channels];
    x[i] = sum <= 0 ? (slope == 0 ? (T)0 : (T)slope * sum) : sum;  // 0 times an infinity is no number; NaN stays
}
"""


def bias_leaky_relu(x, b, slope):
    """x = leaky_relu(x + b), in place, for x (N, ..., C) and b (C,); with slope 0 it is a ReLU."""
    if isinstance(x, np.ndarray):
        x += b
        np.maximum(x, slope * x if slope else 0, out=x)
    else:
        launch(BIAS_LEAKY_RELU, line(x.size), x, b, slope, b.size, x.size)


SOFTPLUS = """
extern "C" __global__ void softplus(const T* x, T* y, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = (x[i] > 0 ? x[i] : (T)0) + log1p(exp(-fabs(x[i])));
}
"""


def softplus(x):
    """Return log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))."""
    if isinstance(x, np.ndarray):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    y = xp.empty_like(x)
    launch(SOFTPLUS, line(x.size), x, y, x.size)
    return y


SIGMOID = """
extern "C" __global__ void sigmoid(const T* x, T* y, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T small = exp(-fabs(x[i]));
    y[i] = (x[i] > 0 ? (T)1 : small) / (1 + small);
}
"""


def sigmoid(x):
    """Return 1 / (1 + exp(-x)), from exp(-|x|), which does not overflow."""
    if isinstance(x, np.ndarray):
        small = np.exp(-np.abs(x))
        return np.where(x > 0, 1, small) / (1 + small)
    y = xp.empty_like(x)
    launch(SIGMOID, line(x.size), x, y, x.size)
    return y
