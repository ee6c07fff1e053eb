"""CUDA kernels: what would take a GPU many small operations, in one or two; each beside the same thing in NumPy.

A function here takes arrays of either kind. Given NumPy's, it is the twin: a few plain lines. Given CuPy's, it launches
the kernel of the same name, whose CUDA text stands above it. Tests compare the two, and each with the layers' own code,
which a CPU uses, and which any reader can follow in place of these files. docs/gpu.md says why these.
"""

from scratchgan.fast.kernels.convolution import col2im, im2col
from scratchgan.fast.kernels.cuda import can_take
from scratchgan.fast.kernels.normalization import batch_norm, batch_norm_backward
from scratchgan.fast.kernels.optimizers import adam, ema
from scratchgan.fast.kernels.pointwise import bias_leaky_relu, leaky_relu, sigmoid, slopes, softplus

__all__ = [
    "adam", "batch_norm", "batch_norm_backward", "bias_leaky_relu", "can_take", "col2im", "ema", "im2col", "leaky_relu",
    "sigmoid", "slopes", "softplus",
]  # fmt: skip
