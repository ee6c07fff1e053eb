"""A step of Adam and one of an average, over all weights of a network in one launch each."""

import numpy as np

from scratchgan.fast.kernels.cuda import launch, line

ADAM = """
extern "C" __global__ void adam(T* value, const T* grad, T* mean, T* square, double b1, double b2,
                                double rate, double shift, double keep, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T m = mean[i] = (T)b1 * mean[i] + (T)(1 - b1) * grad[i];
    T s = square[i] = (T)b2 * square[i] + (T)(1 - b2) * grad[i] * grad[i];
    value[i] = (T)keep * value[i] - (T)rate * m / (sqrt(s) + (T)shift);
}
"""


def adam(value, grad, mean, square, b1, b2, rate, shift, keep):
    """m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; w = keep w - rate m / (sqrt(s) + shift), in place.

    All are (n,). rate and shift hold Adam's corrections for the first steps, keep its weight decay (see `optim.Adam`).
    """
    if isinstance(value, np.ndarray):
        mean[...] = b1 * mean + (1 - b1) * grad
        square[...] = b2 * square + (1 - b2) * grad * grad
        value[...] = keep * value - rate * mean / (np.sqrt(square) + shift)
    else:
        launch(ADAM, line(value.size), value, grad, mean, square, b1, b2, rate, shift, keep, value.size)


EMA = """
extern "C" __global__ void ema(T* average, const T* value, double weight, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) average[i] += (T)weight * (value[i] - average[i]);
}
"""


def ema(average, value, weight):
    """average += weight (value - average), in place; both (n,)."""
    if isinstance(average, np.ndarray):
        average += weight * (value - average)
    else:
        launch(EMA, line(average.size), average, value, weight, average.size)
