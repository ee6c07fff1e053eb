"""A sealed bank: convolutions, pooling, resampling, padding; channels first."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7102)
draw = lambda *shape: rng.standard_normal(shape)


# ---- the convolution of a course: loops, padding 1, stride 2 ---------------------------------------------


def conv_forward_naive(x, w, b, stride=2, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho, Wo = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo), np.result_type(x, w))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    window = xp[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return out


def conv_backward_naive(dout, x, w, b, stride=2, pad=1, bug=""):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros_like(b)
    s = 1 if bug == "conv: dw from windows that move by 1" else stride
    for n in range(N):
        for f in range(F):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    d = dout[n, f, i, j]
                    db[f] += d
                    dw[f] += d * xp[n, :, i * s : i * s + HH, j * s : j * s + WW]
                    dxp[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW] += d * w[f]
    dx = dxp[:, :, pad : pad + H, pad : pad + W]
    if bug == "conv: padding cropped at one side":
        dx = dxp[:, :, 2 * pad :, 2 * pad :]
    if bug == "conv: db over samples and one axis":
        db = dout[:, :, :, 0].sum((0, 2))
    return dx, dw, db


# ---- grouped, in one dimension ---------------------------------------------------------------------------


def grouped(x, w):  # (N, 4, L), (4, 2, 3): two groups of two channels
    L = x.shape[2] - 2
    out = []
    for g in range(2):
        xg, wg = x[:, 2 * g : 2 * g + 2], w[2 * g : 2 * g + 2]
        out.append(sum(np.einsum("ncl,fc->nfl", xg[:, :, i : i + L], wg[:, :, i]) for i in range(3)))
    return np.concatenate(out, axis=1)


def grouped_grads(dy, x, w, bug=""):
    dx, dw, L = np.zeros_like(x), np.zeros_like(w), dy.shape[2]
    for g in range(2):
        own = slice(2 * g, 2 * g + 2)
        other = slice(2 - 2 * g, 4 - 2 * g) if bug == "grouped: weights of the other group" else own
        for i in range(3):
            dx[:, own, i : i + L] += np.einsum("nfl,fc->ncl", dy[:, own], w[other, :, i])
            dw[own, :, i] = np.einsum("nfl,ncl->fc", dy[:, own], x[:, own, i : i + L])
        if bug == "grouped: returns after the first group":
            break
    return dx, dw


# ---- transposed, in one dimension ------------------------------------------------------------------------


def transposed(x, w, b):  # (N, C, L), (C, F, 4), stride 2
    N, C, L = x.shape
    y = np.zeros((N, w.shape[1], 2 * L + 2), np.result_type(x, w)) + b[:, None]
    for l in range(L):
        y[:, :, 2 * l : 2 * l + 4] += np.einsum("nc,cfk->nfk", x[:, :, l], w)
    return y


def transposed_grads(dy, x, w, b, bug=""):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for l in range(x.shape[2]):
        window = dy[:, :, 2 * l : 2 * l + 4]
        dx[:, :, l] = np.einsum("nfk,cfk->nc", window[:, :, ::-1] if "reads dy" in bug else window, w)
        if bug == "transposed conv: dw of the last column":
            dw = np.einsum("nc,nfk->cfk", x[:, :, l], window)
        else:
            dw += np.einsum("nc,nfk->cfk", x[:, :, l], window)
    return dx, dw, dy.sum(axis=(0, 2))


# ---- pooling ---------------------------------------------------------------------------------------------


def max_pool(x):  # windows of 3, stride 2: they overlap
    n = (x.shape[2] - 3) // 2 + 1
    return np.stack([x[:, :, 2 * i : 2 * i + 3].max(axis=2) for i in range(n)], axis=2)


def max_pool_grad(dy, x, bug=""):
    dx = np.zeros_like(x)
    N, C, L = dy.shape
    for n in range(N):
        for c in range(C):
            for i in range(L):
                k = 2 * i + np.argmax(x[n, c, 2 * i : 2 * i + 3])
                dx[n, c, k] = dy[n, c, i] if bug else dx[n, c, k] + dy[n, c, i]
    return (dx,)


def bounds(i, size, out):
    return i * size // out, -(-(i + 1) * size // out)


def adaptive_pool(x, out=3):  # (N, C, 7) -> (N, C, 3): windows of different lengths
    return np.stack([x[:, :, slice(*bounds(i, x.shape[2], out))].mean(2) for i in range(out)], axis=2)


def adaptive_pool_grad(dy, x, out=3, bug=""):
    dx = np.zeros_like(x)
    for i in range(out):
        start, end = bounds(i, x.shape[2], out)
        length = x.shape[2] // out if bug == "adaptive pool: every window of length L // out" else end - start
        if bug == "adaptive pool: floor for ceil":
            end = (i + 1) * x.shape[2] // out
        dx[:, :, start:end] += dy[:, :, i : i + 1] / length
    return (dx,)


def average_pool(x):  # 2 x 2
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))


def average_pool_grad(dy, x, bug=""):
    return (np.repeat(np.repeat(dy, 2, axis=2), 2, axis=3) / (2 if bug else 4),)


# ---- resampling ------------------------------------------------------------------------------------------


def positions(size, out):
    at = np.arange(out) * (size - 1) / (out - 1)  # align_corners
    low = np.minimum(at.astype(int), size - 2)
    return low, at - low


def linear(x, out=8):  # (N, C, 5)
    low, t = positions(x.shape[2], out)
    return x[:, :, low] * (1 - t) + x[:, :, low + 1] * t


def linear_grad(dy, x, out=8, bug=""):
    low, t = positions(x.shape[2], out)
    dx = np.zeros_like(x)
    if bug == "linear resampling: fancy indices with +=":
        dx[:, :, low] += dy * (1 - t)
        dx[:, :, low + 1] += dy * t
        return (dx,)
    if bug == "linear resampling: weights exchanged":
        t = 1 - t
    for k, l in enumerate(low):
        dx[:, :, l] += dy[:, :, k] * (1 - t[k])
        dx[:, :, l + 1] += dy[:, :, k] * t[k]
    return (dx,)


def sample(image, u, v):  # bilinear samples of an image (H, W) at points (u, v) inside
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = u - i, v - j
    top = image[i, j] * (1 - b) + image[i, j + 1] * b
    bottom = image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b
    return top * (1 - a) + bottom * a


def sample_grads(dy, image, u, v, bug=""):
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = u - i, v - j
    d = np.zeros_like(image)
    np.add.at(d, (i, j), dy * (1 - a) * (1 - b))
    np.add.at(d, (i, j + 1), dy * (1 - a) * b)
    np.add.at(d, (i + 1, j), dy * a * (1 - b))
    np.add.at(d, (i + 1, j + 1), dy * a * b)
    du = dy * ((image[i + 1, j] - image[i, j]) * (1 - b) + (image[i + 1, j + 1] - image[i, j + 1]) * b)
    dv = dy * ((image[i, j + 1] - image[i, j]) * (1 - a) + (image[i + 1, j + 1] - image[i + 1, j]) * a)
    return (d, dv, du) if bug else (d, du, dv)


# ---- padding, Fourier, attention over channels -----------------------------------------------------------


def reflect(x):  # 2 at either end of the last axis
    return np.concatenate([x[..., 2:0:-1], x, x[..., -2:-4:-1]], axis=-1)


def reflect_grad(dy, x, bug=""):
    dx = dy[..., 2:-2].copy()
    if not bug:
        dx[..., 1:3] += dy[..., 1::-1]
        dx[..., -3:-1] += dy[..., :-3:-1]
    return (dx,)


def circular(x, w):  # a circular convolution, by the Fourier transform
    return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(w), n=len(w))


def circular_grads(dy, x, w, bug=""):
    DY, X, W, n = np.fft.rfft(dy), np.fft.rfft(x), np.fft.rfft(w), len(w)
    dx = np.fft.irfft(DY * (W if bug else W.conj()), n=n)
    return dx, np.fft.irfft(DY * X.conj(), n=n).sum(0)


def excite(x, W):  # squeeze and excitation (N, C, H, W)
    gate = 1 / (1 + np.exp(-x.mean(axis=(2, 3)) @ W))
    return x * gate[:, :, None, None]


def excite_grads(dy, x, W, bug=""):
    squeezed = x.mean(axis=(2, 3))
    gate = 1 / (1 + np.exp(-squeezed @ W))
    dz = (dy * x).sum(axis=(2, 3)) * gate * (1 - gate)
    dx = dy * gate[:, :, None, None]
    if bug != "squeeze-excite: gate taken as constant":
        size = 1 if bug == "squeeze-excite: 1 / (H W) of the mean" else x.shape[2] * x.shape[3]
        dx = dx + (dz @ W.T)[:, :, None, None] / size
    return dx, squeezed.T @ dz


def soft_argmax(x):  # (N, L) -> expected position
    p = np.exp(x - x.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True)
    return p @ np.linspace(-1, 1, x.shape[1])


def soft_argmax_grad(dy, x, bug=""):
    p = np.exp(x - x.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True)
    at = np.linspace(-1, 1, x.shape[1])
    return (dy[:, None] * p * (at if bug else at - (p @ at)[:, None]),)


PLANTED = [
    *family(
        conv_forward_naive, conv_backward_naive, (draw(2, 2, 5, 5), draw(2, 2, 3, 3), draw(2)), "x w b",
        ("conv: dw from windows that move by 1", "stride-tail wrong-place shifted", r"stride"),
        ("conv: padding cropped at one side", "shifted border"),
        ("conv: db over samples and one axis", "border sample-dropped wrong-axes", r"first column|dropped|part of dy"),
    ),
    *family(
        grouped, grouped_grads, (draw(2, 4, 6), draw(4, 2, 3)), "x w",
        ("grouped: weights of the other group", "wrong-place flipped exchanged",
              r"group|w (is )?(flipped|rolled|shift)"),
        ("grouped: returns after the first group", "index branch scale-per-axis", r"0 at|zero at"),
    ),
    *family(
        transposed, transposed_grads, (draw(2, 2, 3), draw(2, 3, 4), draw(3)), "x w b",
        ("transposed conv: dx reads dy backwards", "flipped"),
        ("transposed conv: dw of the last column", "overwritten steps stride-tail", r"last"),
    ),
    *family(max_pool, max_pool_grad, (draw(2, 2, 9),), "x",
            ("max pool: windows that overlap overwrite", "overwritten")),
    *family(
        adaptive_pool, adaptive_pool_grad, (draw(2, 2, 7),), "x",
        ("adaptive pool: every window of length L // out", "scale-per-axis constant"),
        ("adaptive pool: floor for ceil", "stride-tail border wrong-place", r"get(s)? nothing|dropped"),
    ),
    *family(average_pool, average_pool_grad, (draw(2, 2, 4, 4),), "x", ("average pool: 1 / k for 1 / k^2", "scale")),
    *family(
        linear, linear_grad, (draw(2, 2, 5),), "x",
        ("linear resampling: fancy indices with +=", "overwritten"),
        ("linear resampling: weights exchanged", "swapped-constants wrong-place flipped", r"exchang"),
    ),
    *family(
        sample, sample_grads, (draw(4, 5), rng.uniform(0.1, 2.9, 6), rng.uniform(0.1, 3.9, 6)), "image u v",
        ("sample: du and dv exchanged", "exchanged"),
    ),
    *family(reflect, reflect_grad, (draw(2, 6),), "x", ("reflect: dy is cropped", "border", r"mirror|reflect|pad")),
    *family(circular, circular_grads, (draw(3, 6), draw(6)), "x w",
            ("circular: no complex conjugate", "flipped transposed")),
    *family(
        excite, excite_grads, (draw(3, 2, 2, 3), draw(2, 2)), "x W",
        ("squeeze-excite: gate taken as constant", "detached mean-path branch", r"gate"),
        ("squeeze-excite: 1 / (H W) of the mean", "mean-path scale branch"),
    ),
    *family(soft_argmax, soft_argmax_grad, (draw(3, 5),), "x",
            ("soft-argmax: sum of exponentials constant", "sum-path diagonal detached")),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def median_pool(x):  # windows of 3
    return np.median(x.reshape(len(x), -1, 3), axis=2)


def median_pool_grad(dy, x):
    windows = x.reshape(len(x), -1, 3)
    mask = windows == np.median(windows, axis=2)[:, :, None]
    return ((mask * dy[:, :, None]).reshape(x.shape),)


def causal(x, w):  # dilation 2, three taps, only the past
    padded = np.pad(x, ((0, 0), (4, 0)))
    return sum(w[k] * padded[:, 2 * k : 2 * k + x.shape[1]] for k in range(3))


def causal_grads(dy, x, w):
    padded, d = np.pad(x, ((0, 0), (4, 0))), np.zeros((len(x), x.shape[1] + 4), x.dtype)
    for k in range(3):
        d[:, 2 * k : 2 * k + x.shape[1]] += w[k] * dy
    dw = np.array([(dy * padded[:, 2 * k : 2 * k + x.shape[1]]).sum() for k in range(3)], w.dtype)
    return d[:, 4:], dw


def as_float32(forward):
    """Return forward on arguments that are rounded to float32 first, as much code does without being asked."""
    return lambda *args: forward(*(np.asarray(a, np.float32) for a in args))


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
ties = np.array([[1.0, 1, 0, 2, 2, 2, 3, 0, 0]])
nearest = lambda x: x[:, np.array([0, 0, 1, 2, 2])]
RIGHT = [
    Right("median pool", median_pool, median_pool_grad, (draw(2, 9),), ("x",)),
    Right("causal, dilated", causal, causal_grads, (draw(2, 7), draw(3)), ("x", "w")),
    Right("causal, dilated, float32", causal, causal_grads, single(draw(2, 7), draw(3)), ("x", "w")),
    Right("max pool, ties and zeros", lambda x: max_pool(x[None])[0],
          lambda dy, x: (max_pool_grad(dy[None], x[None])[0][0],),
          (ties + np.arange(9) * 1e-3,), ("x",)),
    Right("nearest neighbours, given by indices", nearest,
          lambda dy, x: (np.stack([dy[:, 0] + dy[:, 1], dy[:, 2], dy[:, 3] + dy[:, 4]], 1),), (draw(3, 3),), ("x",)),
    Right("conv, float32, x of a picture's range", conv_forward_naive,
          lambda dy, x, w, b: conv_backward_naive(dy, x, w, b),
          single(rng.uniform(0, 255, (1, 2, 4, 4)), 0.1 * draw(2, 2, 3, 3), draw(2)), ("x", "w", "b")),
    Right("circular, odd length", circular, lambda dy, x, w: circular_grads(dy, x, w), (draw(2, 5), draw(5)),
          ("x", "w")),
    Right("crop and pad back", lambda x: np.pad(x[:, 1:-1], ((0, 0), (1, 1))),
          lambda dy, x: (np.pad(dy[:, 1:-1], ((0, 0), (1, 1))),), (draw(3, 5),), ("x",)),
    Right("sample on the grid's lines", sample, lambda dy, *a: sample_grads(dy, *a),
          (draw(4, 5), np.array([1.0, 1.5, 0.25]), np.array([0.5, 2.0, 3.5])), ("image", "u", "v")),
    Right("linear resampling to fewer", lambda x: linear(x, 3), lambda dy, x: linear_grad(dy, x, 3),
          (draw(2, 2, 6),), ("x",)),
    Right("grouped, weights 1e-7", grouped, lambda dy, *a: grouped_grads(dy, *a),
          (draw(2, 4, 5), 1e-7 * draw(4, 2, 3)), ("x", "w")),
    Right("excite, inside in float32", as_float32(excite), lambda dy, *a: excite_grads(dy, *a),
          single(draw(3, 2, 2, 3), draw(2, 2)), ("x", "W")),
]  # fmt: skip
