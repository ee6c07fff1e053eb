"""Planted bugs of convolutions, pooling, unfolding, resampling and padding of several kinds."""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(165)
draw = lambda *shape: rng.standard_normal(shape)


# ---- convolutions ----------------------------------------------------------------------------------------


def volume(x, w):  # (N, D, H, W, C), (2, 2, 2, C, F)
    return sum(corner(x, t) @ w[t] for t in np.ndindex(2, 2, 2))


def corner(x, t):
    """Return the view of x that tap t of a 2 x 2 x 2 kernel sees."""
    return x[(slice(None), *(slice(i, n - 1 + i) for i, n in zip(t, x.shape[1:4], strict=True)))]


def volume_grads(dy, x, w, bug=""):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for t in np.ndindex(2, 2, 2):
        own = t
        if bug == "3-D convolution: taps turned over in depth alone":
            own = (1 - t[0], t[1], t[2])
        if bug == "3-D convolution: depth and width of the kernel exchanged":
            own = t[::-1]
        if bug == "3-D convolution: the last tap of dx forgotten" and t == (1, 1, 1):
            own = None
        if own is not None:
            corner(dx, t)[...] += dy @ w[own].T
        dw[t] = np.einsum("ndhwc,ndhwf->cf", corner(x, t), dy)
    return dx, dw[:, :, ::-1] if bug == "3-D convolution: rows of dw in reverse" else dw


def grouped(x, w):  # (N, 4, L), two groups: (2, 2 in, 3 out, 3 taps)
    v, n = x.reshape(len(x), 2, 2, -1), x.shape[2] - 2
    y = sum(np.einsum("ngil,gio->ngol", v[..., k : k + n], w[..., k]) for k in range(3))
    return y.reshape(len(x), 6, n)


def grouped_grads(dy, x, w, bug=""):
    v, n = x.reshape(len(x), 2, 2, -1), x.shape[2] - 2
    d = dy.reshape(len(x), 2, 3, n)
    if bug == "grouped convolution: outputs interleaved":
        d = dy.reshape(len(x), 3, 2, n).transpose(0, 2, 1, 3)
    own = w[::-1] if bug == "grouped convolution: dx by the other group's kernel" else w
    dv, dw = np.zeros_like(v), np.zeros_like(w)
    for k in range(3):
        dv[..., k : k + n] += np.einsum("ngol,gio->ngil", d, own[..., k])
        dw[..., k] = np.einsum("ngil,ngol->gio", v[..., k : k + n], d)
    if bug == "grouped convolution: dw halved by the groups":
        dw = dw / 2
    if bug == "grouped convolution: the second group's dx is not written":
        dv[:, 1] = 0
    return dv.reshape(x.shape), dw


def separable(x, w, p):  # depthwise, then pointwise: (N, C, L), (C, 3), (C, F)
    n = x.shape[2] - 2
    return np.einsum("ncl,cf->nfl", sum(x[:, :, k : k + n] * w[:, k, None] for k in range(3)), p)


def separable_grads(dy, x, w, p, bug=""):
    n = x.shape[2] - 2
    h = sum(x[:, :, k : k + n] * w[:, k, None] for k in range(3))
    dh = np.einsum("nfl,cf->ncl", dy, p)
    dx, own = np.zeros_like(x), w
    if bug == "depthwise: one channel's kernel for all":
        own = np.broadcast_to(w[:1], w.shape)
    for k in range(3):
        dx[:, :, k : k + n] += dh * own[:, k, None]
    dw = np.stack([(dh * x[:, :, k : k + n]).sum((0, 2)) for k in range(3)], 1)
    if bug == "depthwise: dw summed over channels, too":
        dw = np.broadcast_to(dw.sum(0), w.shape).copy()
    if bug == "separable: dp sees the input, not the depthwise output":
        h = x[:, :, 1 : 1 + n]
    return dx, dw, np.einsum("ncl,nfl->cf", h, dy)


def causal(x, w):  # dilation 2, padded by 4 on the left: (N, C, L), (C, F, 3)
    p = np.pad(x, ((0, 0), (0, 0), (4, 0)))
    return sum(np.einsum("ncl,cf->nfl", p[:, :, 2 * k : 2 * k + x.shape[2]], w[:, :, k]) for k in range(3))


def causal_grads(dy, x, w, bug=""):
    n = x.shape[2]
    p = np.pad(x, ((0, 0), (0, 0), (2, 2) if bug == "causal convolution: dw as if padded at both sides" else (4, 0)))
    wide, dw = np.zeros_like(np.pad(x, ((0, 0), (0, 0), (4, 0)))), np.zeros_like(w)
    for k in range(3):
        dw[:, :, k] = np.einsum("ncl,nfl->cf", p[:, :, 2 * k : 2 * k + n], dy)
        place = k if bug == "causal convolution: dx without the dilation" else 2 * k
        wide[:, :, place : place + n] += np.einsum("nfl,cf->ncl", dy, w[:, :, k])
    return wide[:, :, :n] if bug == "causal convolution: cropped at the wrong end" else wide[:, :, 4:], dw


def transposed(x, w):  # stride 2, 3 taps that overlap: (N, C, L), (C, F, 3)
    y = np.zeros((len(x), w.shape[1], 2 * x.shape[2] + 1))
    for k in range(3):
        y[:, :, k : k + 2 * x.shape[2] : 2] += np.einsum("ncl,cf->nfl", x, w[:, :, k])
    return y


def transposed_grads(dy, x, w, bug=""):
    dx, dw, n = np.zeros_like(x), np.zeros_like(w), x.shape[2]
    for k in range(3):
        d = dy[:, :, k : k + 2 * n : 2]
        part = np.einsum("nfl,cf->ncl", d, w[:, :, k])
        dx = part if bug == "transposed convolution: dx of the last tap alone" else dx + part
        seen = dy[:, :, k : k + n] if bug == "transposed convolution: dw by stride 1" else d
        dw[:, :, k] = np.einsum("ncl,nfl->cf", x, seen)
    return dx, dw


def local(x, w):  # locally connected: a kernel for each of the positions (L - 1, 2)
    return x[:, :-1] * w[:, 0] + x[:, 1:] * w[:, 1]


def local_grads(dy, x, w, bug=""):
    dx, own = np.zeros_like(x), w
    if bug == "locally connected: weights of the neighbour":
        own = np.roll(w, 1, 0)
    dx[:, :-1] += dy * own[:, 0]
    dx[:, 1:] += dy * own[:, 1]
    dw = np.stack([(dy * x[:, :-1]).sum(0), (dy * x[:, 1:]).sum(0)], 1)
    return dx, np.broadcast_to(dw.sum(0), w.shape).copy() if bug == "locally connected: dw as if shared" else dw


def outer(x, u, v):  # a kernel u v^T: (N, H, W)
    return sum(x[:, i : i + 3, j : j + 3] * u[i] * v[j] for i in range(3) for j in range(3))


def outer_grads(dy, x, u, v, bug=""):
    seen = np.array([[(dy * x[:, i : i + 3, j : j + 3]).sum() for j in range(3)] for i in range(3)])
    dx = np.zeros_like(x)
    first, second = (v, u) if bug == "separable kernel: rows and columns exchanged" else (u, v)
    for i in range(3):
        for j in range(3):
            dx[:, i : i + 3, j : j + 3] += dy * first[i] * second[j]
    du = seen.sum(1) if bug == "separable kernel: du without v" else seen @ v
    return dx, du, seen @ u if bug == "separable kernel: dv over the wrong axis" else seen.T @ u


# ---- pooling ---------------------------------------------------------------------------------------------

SEEN = np.array([2.0, 3, 3, 2])  # places of a window of 3 that are no padding


def average(x):  # 3, stride 2, padded by 1, padding not counted: (N, 7) to (N, 4)
    p = np.pad(x, ((0, 0), (1, 1)))
    return sum(p[:, k : k + 7 : 2] for k in range(3)) / SEEN


def average_grad(dy, x, bug=""):
    p = np.zeros((len(x), 9))
    for k in range(3):
        share = dy / (3 if bug == "average pool: padding counted in the backward" else SEEN)
        if bug == "average pool: windows overwritten":
            p[:, k : k + 7 : 2] = share
        else:
            p[:, k : k + 7 : 2] += share
    return p[:, 2:] if bug == "average pool: cropped by one too many" else p[:, 1:-1]


def overlapping(x):  # maximum of 3, stride 2: (N, 7) to (N, 3)
    return np.stack([x[:, k : k + 3].max(1) for k in (0, 2, 4)], 1)


def overlapping_grad(dy, x, bug=""):
    dx, rows = np.zeros_like(x), np.arange(len(x))
    for i, k in enumerate((0, 2, 4)):
        best = x[:, k : k + 3].argmax(1)
        if bug == "overlapping max pool: the place without its window's start":
            k = 0
        if bug == "overlapping max pool: the largest of absolute values":
            best = np.abs(x[:, k : k + 3]).argmax(1)
        if bug == "overlapping max pool: = where windows meet":
            dx[rows, k + best] = dy[:, i]
        else:
            dx[rows, k + best] += dy[:, i]
    return dx


def power_pool(x):  # sqrt of the sum of squares of pairs
    return np.sqrt((x.reshape(len(x), -1, 2) ** 2).sum(2))


def power_pool_grad(dy, x, bug=""):
    v, y = x.reshape(len(x), -1, 2), power_pool(x)[:, :, None]
    if bug == "L2 pool: not divided by the output":
        y = 1
    if bug == "L2 pool: divided by its square":
        y = y * y
    return (dy[:, :, None] * v / y).reshape(x.shape)


def squeezed(x, w):  # squeeze and excite: (N, C, L), (C, C)
    return x / (1 + np.exp(-x.mean(2) @ w))[:, :, None]


def squeezed_grads(dy, x, w, bug=""):
    m = x.mean(2)
    s = 1 / (1 + np.exp(-m @ w))
    ds = (dy * x).sum(2) * s * (1 - s)
    if bug == "squeeze and excite: the mean over positions, not the sum, for the gate":
        ds = ds / x.shape[2]
    dm = ds @ w.T / x.shape[2]
    if bug == "squeeze and excite: the gate is a constant for x":
        dm = 0 * dm
    return dy * s[:, :, None] + dm[:, :, None], m.T @ ds


# ---- unfolding, resampling, padding ----------------------------------------------------------------------


def unfold(x):  # (N, C, L) to (N, L - 2, C * 3)
    n = x.shape[2] - 2
    return np.stack([x[:, :, k : k + n] for k in range(3)], 3).transpose(0, 2, 1, 3).reshape(len(x), n, -1)


def unfold_grad(dy, x, bug=""):
    n, c = x.shape[2] - 2, x.shape[1]
    d, dx = dy.reshape(len(x), n, c, 3), np.zeros_like(x)
    if bug == "im2col: columns read as taps by channels":
        d = dy.reshape(len(x), n, 3, c).transpose(0, 1, 3, 2)
    for k in range(3):
        if bug == "im2col: overlaps overwritten":
            dx[:, :, k : k + n] = d[..., k].transpose(0, 2, 1)
        else:
            dx[:, :, k : k + n] += d[..., k].transpose(0, 2, 1)
    if bug == "im2col: divided by how often an entry is seen":
        dx /= np.minimum(np.minimum(np.arange(1, n + 3), 3), np.arange(n + 2, 0, -1))
    return dx


BLEND = np.zeros((4, 8))  # linear interpolation of 4 to 8, corners not aligned
for place in range(8):
    at = np.clip((place + 0.5) / 2 - 0.5, 0, 3)
    left = min(int(at), 2)
    BLEND[left, place] += 1 - (at - left)
    BLEND[left + 1, place] += at - left


def linear(x):
    return x @ BLEND


def linear_grad(dy, x, bug=""):
    if bug == "linear upsampling: nearest on the way back":
        return dy.reshape(len(dy), 4, 2).sum(2)
    dx = dy @ BLEND.T
    if bug == "linear upsampling: averaged over the factor":
        dx = dx / 2
    if bug == "linear upsampling: the clamped ends lose a share":
        dx[:, 0] -= 0.25 * dy[:, 0]
        dx[:, -1] -= 0.25 * dy[:, -1]
    return dx


def padded(x, mode):
    return np.pad(x, ((0, 0), (2, 2)), mode=mode)


def padded_grad(dy, x, mode, bug=""):
    dx = dy[:, 2:-2].copy()
    n = x.shape[1]
    if bug.endswith("the border is cut off"):
        return dx
    sources = np.pad(np.arange(n), 2, mode="edge" if bug.endswith("as if replicated") else mode)
    for i in (0, 1, n + 2, n + 3):
        if bug.endswith("= for +="):
            dx[:, sources[i]] = dy[:, i]
        else:
            dx[:, sources[i]] += dy[:, i]
    return dx


def blurred(x):  # 1 2 1, then every second: (N, 7) to (N, 3)
    return (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:])[:, ::2] / 4


def blurred_grad(dy, x, bug=""):
    wide = np.repeat(dy, 2, 1)[:, :5]
    if bug != "blur pool: repeated, not spread with zeros":
        wide = np.zeros((len(x), 5))
        wide[:, ::2] = dy
    centre = 1 if bug == "blur pool: a box for the way back" else 2
    p = np.pad(wide, ((0, 0), (2, 2)))
    return (p[:, :-2] + centre * p[:, 1:-1] + p[:, 2:]) / 4


# ---- lists -----------------------------------------------------------------------------------------------

WRAP, MIRROR = (lambda x: padded(x, "wrap")), (lambda x: padded(x, "reflect"))
wrap_grad = lambda dy, x, bug="": padded_grad(dy, x, "wrap", bug)
mirror_grad = lambda dy, x, bug="": padded_grad(dy, x, "reflect", bug)
LEFT = lambda x: x[:, :6].reshape(len(x), 3, 2).max(2)  # a maximum of pairs that never sees the last of 7
left_grad = lambda dy, x: np.pad((dy[:, :, None] * (x[:, :6].reshape(-1, 3, 2) == LEFT(x)[..., None])).reshape(-1, 6),
    ((0, 0), (0, 1)))  # fmt: skip
RIGHT = [
    Right("max pool that drops a column", LEFT, left_grad, (draw(3, 7),), ("x",)),
    Right("replicated border", lambda x: padded(x, "edge"), lambda dy, x: padded_grad(dy, x, "edge"), (draw(2, 4),),
        ("x",)),
    Right("ReLU of a max pool with ties at 0", lambda x: np.maximum(overlapping(x), 0), lambda dy, x: overlapping_grad(
        dy * (overlapping(x) > 0), x), (np.maximum(draw(3, 7), -0.2),), ("x",)),
    Right("a kernel as wide as its input", causal, causal_grads, (draw(2, 2, 5), draw(2, 3, 3)), ("x", "w")),
]  # fmt: skip
PLANTED = [
    *family(volume, volume_grads, (draw(2, 3, 2, 3, 2), draw(2, 2, 2, 2, 2)), "x w",
        ("3-D convolution: taps turned over in depth alone", "flipped"),
        ("3-D convolution: depth and width of the kernel exchanged", "transposed"),
        ("3-D convolution: the last tap of dx forgotten", "branch index argument-ignored", r"does not depend on w"),
        ("3-D convolution: rows of dw in reverse", "flipped")),
    *family(grouped, grouped_grads, (draw(2, 4, 5), draw(2, 2, 3, 3)), "x w",
        ("grouped convolution: outputs interleaved", "wrong-place transposed"),
        ("grouped convolution: dx by the other group's kernel", "flipped exchanged wrong-place"),
        ("grouped convolution: dw halved by the groups", "scale"),
        ("grouped convolution: the second group's dx is not written",
            "index detached branch stride-tail scale-per-axis")),
    *family(separable, separable_grads, (draw(2, 3, 5), draw(3, 3), draw(3, 2)), "x w p",
        ("depthwise: one channel's kernel for all", "index wrong-place argument-ignored", r"does not depend on w"),
        ("depthwise: dw summed over channels, too", "over-summed mixed"),
        ("separable: dp sees the input, not the depthwise output", "pre-activation argument-ignored",
            r"does not depend on w")),
    *family(causal, causal_grads, (draw(2, 2, 8), draw(2, 2, 3)), "x w",
        ("causal convolution: dw as if padded at both sides", "shifted"),
        ("causal convolution: dx without the dilation", "shifted wrong-place"),
        ("causal convolution: cropped at the wrong end", "shifted")),
    *family(transposed, transposed_grads, (draw(2, 3, 3), draw(3, 2, 3)), "x w",
        ("transposed convolution: dx of the last tap alone", "overwritten branch uses"),
        ("transposed convolution: dw by stride 1", "shifted wrong-place")),
    *family(local, local_grads, (draw(3, 5), draw(4, 2)), "x w",
        ("locally connected: weights of the neighbour", "shifted wrong-place mixed"),
        ("locally connected: dw as if shared", "over-summed")),
    *family(outer, outer_grads, (draw(2, 5, 5), draw(3), draw(3)), "x u v",
        ("separable kernel: rows and columns exchanged", "transposed exchanged roles"),
        ("separable kernel: du without v", "argument-ignored", r"does not depend on v"),
        ("separable kernel: dv over the wrong axis", "wrong-axes transposed")),
    *family(average, average_grad, (draw(3, 7),), "x",
        ("average pool: padding counted in the backward", "border scale-per-axis"),
        ("average pool: windows overwritten", "overwritten"),
        ("average pool: cropped by one too many", "shifted")),
    *family(overlapping, overlapping_grad, (draw(4, 7),), "x",
        ("overlapping max pool: the place without its window's start", "wrong-place shifted"),
        ("overlapping max pool: the largest of absolute values", "wrong-place abs"),
        ("overlapping max pool: = where windows meet", "overwritten")),
    *family(power_pool, power_pool_grad, (draw(3, 6),), "x",
        ("L2 pool: not divided by the output", "scale-per-axis norm-path factor upstream-times-output"),
        ("L2 pool: divided by its square", "scale-per-axis norm-path square factor")),
    *family(squeezed, squeezed_grads, (draw(3, 2, 4), draw(2, 2)), "x w",
        ("squeeze and excite: the mean over positions, not the sum, for the gate", "scale branch"),
        ("squeeze and excite: the gate is a constant for x", "detached branch uses mean-path")),
    *family(unfold, unfold_grad, (draw(2, 2, 5),), "x",
        ("im2col: columns read as taps by channels", "wrong-place transposed"),
        ("im2col: overlaps overwritten", "overwritten"),
        ("im2col: divided by how often an entry is seen", "scale-per-axis")),
    *family(linear, linear_grad, (draw(3, 4),), "x",
        ("linear upsampling: nearest on the way back", "wrong-place cross-terms diagonal"),
        ("linear upsampling: averaged over the factor", "scale"),
        ("linear upsampling: the clamped ends lose a share", "border")),
    *family(MIRROR, mirror_grad, (draw(2, 5),), "x",
        ("reflected border: the border is cut off", "border branch uses"),
        ("reflected border: as if replicated", "border wrong-place"),
        ("reflected border: = for +=", "overwritten")),
    *family(WRAP, wrap_grad, (draw(2, 5),), "x",
        ("circular border: the border is cut off", "border branch uses")),
    *family(blurred, blurred_grad, (draw(3, 7),), "x",
        ("blur pool: repeated, not spread with zeros", "wrong-place"),
        ("blur pool: a box for the way back", "constant index scale-per-axis")),
]  # fmt: skip
