"""Convolution of images as a product: a row for each position of y, with the pixels that it looks at.

32 threads take a row, neighbouring ones neighbouring channels; only the first line of a thread divides.
"""

import numpy as np

from scratchgan import xp
from scratchgan.fast.kernels.cuda import HEIGHT, WIDTH, launch
from scratchgan.layers.taps import taps

IM2COL = """
extern "C" __global__ void im2col(const T* x, T* columns, long long rows, long long C, long long H, long long W,
                                  long long out_H, long long out_W, long long k_H, long long k_W, long long s_H,
                                  long long s_W, long long p_H, long long p_W, long long d_H, long long d_W) {
    long long row = blockIdx.x * 8 + threadIdx.y;
    if (row >= rows) return;
    long long n = row / (out_H * out_W), i = row / out_W % out_H, j = row % out_W;
    T* to = columns + row * k_H * k_W * C;
    for (int a = 0; a < k_H; a++)
        for (int b = 0; b < k_W; b++, to += C) {
            long long h = i * s_H + a * d_H - p_H, w = j * s_W + b * d_W - p_W;
            bool inside = 0 <= h && h < H && 0 <= w && w < W;
            const T* from = x + ((n * H + h) * W + w) * C;
            for (int c = threadIdx.x; c < C; c += 32) to[c] = inside ? from[c] : (T)0;
        }
}
"""


def im2col(x, kernel, sides, stride, before, dilation):
    """Return the windows of x (N, H, W_, C) as a matrix: (N * sides of y, kernel * C).

    Position i of y looks at the pixels stride i + dilation k - before along each axis; outside of x are zeros.
    """
    N, H, W_, C = x.shape
    sizes = N * sides[0] * sides[1], kernel[0] * kernel[1] * C
    if isinstance(x, np.ndarray):
        columns = np.zeros((N, *sides, *kernel, C), dtype=x.dtype)
        for k, i, pixels in taps(kernel, stride, dilation, before, (H, W_), sides):
            columns[(*i, *k)] = x[pixels]
        return columns.reshape(sizes)
    columns = xp.empty(sizes, dtype=x.dtype)
    launch(IM2COL, ((-(-sizes[0] // HEIGHT),), (WIDTH, HEIGHT)), x, columns, sizes[0], C, H, W_,
           *sides, *kernel, *stride, *before, *dilation)  # fmt: skip
    return columns


COL2IM = """
extern "C" __global__ void col2im(const T* columns, T* dx, long long pixels, long long C, long long H, long long W,
                                  long long out_H, long long out_W, long long k_H, long long k_W, long long s_H,
                                  long long s_W, long long p_H, long long p_W, long long d_H, long long d_W) {
    long long pixel = blockIdx.x * 8 + threadIdx.y;
    if (pixel >= pixels) return;
    int h = pixel / W % H + p_H, w = pixel % W + p_W, sh = s_H, sw = s_W, dh = d_H, dw = d_W;
    long long n = pixel / (H * W);
    int first_i = max(0, (h - (int)(k_H - 1) * dh + sh - 1) / sh), last_i = min((int)out_H - 1, h / sh);
    int first_j = max(0, (w - (int)(k_W - 1) * dw + sw - 1) / sw), last_j = min((int)out_W - 1, w / sw);
    for (int c = threadIdx.x; c < C; c += 32) {
        T sum = 0;
        for (int i = first_i; i <= last_i; i++)
            for (int j = first_j; j <= last_j; j++) {
                int a = h - i * sh, b = w - j * sw;  // dilation times the tap that looks from (i, j) at this pixel
                if (a % dh || b % dw) continue;
                sum += columns[(((n * out_H + i) * out_W + j) * k_H * k_W + a / dh * k_W + b / dw) * C + c];
            }
        dx[pixel * C + c] = sum;
    }
}
"""


def col2im(columns, dx, kernel, sides, stride, before, dilation):
    """Write into dx (N, H, W_, C) the adjoint of `im2col`: each pixel's sum over all windows that hold it."""
    N, H, W_, C = dx.shape
    if isinstance(columns, np.ndarray):
        windows = columns.reshape(N, *sides, *kernel, C)
        dx[...] = 0
        for k, i, pixels in taps(kernel, stride, dilation, before, (H, W_), sides):
            dx[pixels] += windows[(*i, *k)]
    else:
        launch(COL2IM, ((-(-N * H * W_ // HEIGHT),), (WIDTH, HEIGHT)), columns, dx, N * H * W_, C, H, W_,
               *sides, *kernel, *stride, *before, *dilation)  # fmt: skip
