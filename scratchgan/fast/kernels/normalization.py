"""Batch normalisation of x (rows, columns) over its rows: three launches forward, three backward.

Sums are taken in two stages, in a fixed order and in double precision: first each block sums its part of the rows,
then one block for every 32 columns sums the parts.
"""

import numpy as np

from scratchgan import xp
from scratchgan.fast.kernels.cuda import HEIGHT, WIDTH, launch, plane

OVER_BLOCK = """
__device__ double over_block(double a) {  // the sum over the 8 threads of a column; each of them gets it
    __shared__ double rows[8][32];
    __syncthreads();  // until nobody reads the numbers of the last call
    rows[threadIdx.y][threadIdx.x] = a;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += rows[i][threadIdx.x];
    return sum;
}
"""

PART_SUMS = OVER_BLOCK + """
extern "C" __global__ void part_sums(const T* u, const T* v, long long shifted, double* parts,
                                     long long rows, long long columns) {
    long long c = blockIdx.x * 32 + threadIdx.x;
    double sum = 0, products = 0, origin = shifted && c < columns ? u[c] : 0;
    for (long long row = blockIdx.y * 8 + threadIdx.y; row < rows && c < columns; row += gridDim.y * 8) {
        double a = u[row * columns + c] - origin, b = v[row * columns + c] - origin;
        sum += a;
        products += a * b;
    }
    sum = over_block(sum);
    products = over_block(products);
    if (threadIdx.y > 0 || c >= columns) return;
    parts[2 * blockIdx.y * columns + c] = sum;
    parts[(2 * blockIdx.y + 1) * columns + c] = products;
}
"""


def part_sums(u, v, shifted):
    """Return sums over parts of the rows of u and of u v, (parts, 2, columns) in float64.

    shifted: of u - u[0] and (u - u[0]) (v - u[0]): numbers near zero, whose squares lose nothing by cancellation.
    """
    if isinstance(u, np.ndarray):
        origin = u[0] if shifted else 0.0
        a, b = u.astype(np.float64) - origin, v.astype(np.float64) - origin
        return np.stack([a.sum(0), (a * b).sum(0)])[None]
    rows, columns = u.shape
    blocks = plane(rows, columns)
    parts = xp.empty((blocks[0][1], 2, columns), dtype="float64")
    launch(PART_SUMS, blocks, u, v, int(shifted), parts, rows, columns)
    return parts


FOLD_SUMS = OVER_BLOCK + """
extern "C" __global__ void fold_sums(const double* parts, double* sums, long long count, long long columns) {
    long long c = blockIdx.x * 32 + threadIdx.x;
    double sum = 0, products = 0;
    for (long long part = threadIdx.y; part < count && c < columns; part += 8) {
        sum += parts[2 * part * columns + c];
        products += parts[(2 * part + 1) * columns + c];
    }
    sum = over_block(sum);
    products = over_block(products);
    if (threadIdx.y > 0 || c >= columns) return;
    sums[c] = sum;
    sums[columns + c] = products;
}
"""


def fold_sums(parts):
    """Return the sums over all parts: (parts, 2, columns) -> (2, columns)."""
    if isinstance(parts, np.ndarray):
        return parts.sum(0)
    count, _, columns = parts.shape
    sums = xp.empty((2, columns), dtype="float64")
    launch(FOLD_SUMS, ((-(-columns // WIDTH),), (WIDTH, HEIGHT)), parts, sums, count, columns)
    return sums


NORMALIZE = """
extern "C" __global__ void normalize(const T* x, const double* sums, const T* gamma, const T* beta, T* running_mean,
                                     T* running_var, double momentum, double eps, T* y, T* xhat, T* r,
                                     long long rows, long long columns) {
    long long c = blockIdx.x * 32 + threadIdx.x;
    if (c >= columns) return;
    double shift = sums[c] / rows;  // of the mean, from the first row
    double mean = x[c] + shift, var = sums[columns + c] / rows - shift * shift;
    if (var < 0) var = 0;  // by rounding; not fmax, which would make 0 of NaN
    T own_mean = mean, own_r = 1 / sqrt(var + eps);
    if (blockIdx.y == 0 && threadIdx.y == 0) {
        r[c] = own_r;
        running_mean[c] = (T)(1 - momentum) * running_mean[c] + (T)momentum * own_mean;
        running_var[c] = (T)(1 - momentum) * running_var[c] + (T)(momentum * rows / (rows - 1) * var);
    }
    for (long long row = blockIdx.y * 8 + threadIdx.y; row < rows; row += gridDim.y * 8) {
        T normal = (x[row * columns + c] - own_mean) * own_r;
        xhat[row * columns + c] = normal;
        y[row * columns + c] = normal * gamma[c] + beta[c];
    }
}
"""


def normalize(x, sums, gamma, beta, running_mean, running_var, momentum, eps):
    """Return (y, xhat, r), given the shifted sums of x and x^2, and move the running statistics."""
    rows, columns = x.shape
    if isinstance(x, np.ndarray):
        mean, var = x[0] + sums[0] / rows, sums[1] / rows - (sums[0] / rows) ** 2
        r = (1 / np.sqrt(np.maximum(var, 0) + eps)).astype(x.dtype)
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * rows / (rows - 1) - running_var)
        xhat = (x - mean.astype(x.dtype)) * r
        return xhat * gamma + beta, xhat, r
    y, xhat, r = xp.empty_like(x), xp.empty_like(x), xp.empty_like(gamma)
    scalars = momentum, eps
    launch(NORMALIZE, plane(rows, columns), x, sums, gamma, beta, running_mean, running_var, *scalars, y, xhat, r,
           rows, columns)  # fmt: skip
    return y, xhat, r


NORMALIZE_BACKWARD = """
extern "C" __global__ void normalize_backward(const T* dy, const T* xhat, const T* r, const T* gamma,
                                              const double* sums, T* gamma_grad, T* beta_grad, long long grads, T* dx,
                                              long long rows, long long columns) {
    long long c = blockIdx.x * 32 + threadIdx.x;
    if (c >= columns) return;
    if (grads && blockIdx.y == 0 && threadIdx.y == 0) {
        beta_grad[c] += (T)sums[c];
        gamma_grad[c] += (T)sums[columns + c];
    }
    T mean = sums[c] / rows, tilt = sums[columns + c] / rows, gain = gamma[c] * r[c];
    for (long long row = blockIdx.y * 8 + threadIdx.y; row < rows; row += gridDim.y * 8) {
        long long i = row * columns + c;
        dx[i] = gain * (dy[i] - mean - xhat[i] * tilt);
    }
}
"""


def normalize_backward(dy, xhat, r, gamma, sums, gamma_grad, beta_grad, grads):
    """Return dx = gamma r (dy - <dy> - xhat <dy xhat>), given the sums of dy and dy xhat; add these to the grads."""
    rows, columns = dy.shape
    if isinstance(dy, np.ndarray):
        if grads:
            beta_grad += sums[0]
            gamma_grad += sums[1]
        mean, tilt = (sums / rows).astype(dy.dtype)
        return gamma * r * (dy - mean - xhat * tilt)
    dx = xp.empty_like(dy)
    launch(NORMALIZE_BACKWARD, plane(rows, columns), dy, xhat, r, gamma, sums, gamma_grad, beta_grad, int(grads), dx,
           rows, columns)  # fmt: skip
    return dx


def batch_norm(x, gamma, beta, running_mean, running_var, momentum, eps):
    """Return (y, xhat, r) of a batch normalisation in training: three launches. It moves the running statistics."""
    sums = fold_sums(part_sums(x, x, shifted=True))
    return normalize(x, sums, gamma, beta, running_mean, running_var, momentum, eps)


def batch_norm_backward(dy, xhat, r, gamma, gamma_grad, beta_grad, grads):
    """Return dx of a batch normalisation, and add to its grads if `grads`: three launches."""
    sums = fold_sums(part_sums(dy, xhat, shifted=False))
    return normalize_backward(dy, xhat, r, gamma, sums, gamma_grad, beta_grad, grads)
