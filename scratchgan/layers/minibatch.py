"""Layers by which D sees a whole batch, so that samples that are all alike give themselves away.

Each is a layer of its own, with mixes_samples = True; docs/minibatch.md derives them.
"""

from scratchgan import xp
from scratchgan.initializers import normal
from scratchgan.layers.base import FixedMap, Layer, check
from scratchgan.layers.compose import Concat, Sequential
from scratchgan.layers.dense import Dense


class Pack(FixedMap):
    """Put `pack` samples side by side: (N, ..., C) -> (N / pack, ..., pack C).

    D then judges them as one: a PacGAN (Lin et al. 2018, section 2). The rows n pack, ...,
    n pack + pack - 1 of x become row n of y. Raises ValueError where `pack` does not divide N.
    """

    def __init__(self, pack):
        if not (isinstance(pack, int) and pack > 0):
            raise ValueError(f"Pack: pack is {pack}, wanted a whole number from 1 on")
        self.pack = pack

    @property
    def mixes_samples(self):
        return self.pack > 1

    def __repr__(self):
        return f"Pack({self.pack})"

    def output_shape(self, shape):
        if len(shape) < 2 or shape[0] % self.pack:
            raise ValueError(f"{self!r}: x has shape {shape}, wanted N a multiple of {self.pack}")
        return (shape[0] // self.pack, *shape[1:-1], shape[-1] * self.pack)

    def apply(self, x):
        groups = x.reshape(-1, self.pack, *x.shape[1:])  # (N / pack, pack, ..., C)
        return xp.ascontiguousarray(xp.moveaxis(groups, 1, -2)).reshape(self.output_shape(x.shape))

    def adjoint(self, dy, shape):
        groups = dy.reshape(-1, *shape[1:-1], self.pack, shape[-1])  # (N / pack, ..., pack, C)
        return xp.ascontiguousarray(xp.moveaxis(groups, -2, 1)).reshape(shape)


class MinibatchStd(Layer):
    """Append to x how much the samples of a group differ: (N, ..., C) -> (N, ..., C + 1).

        s[m, p] = sqrt(variance over the group m of x[p] + eps),   t[m] = mean over p of s[m, p]

    p runs over all positions and channels; t[m] is appended everywhere to each sample of its group
    (Karras et al. 2018, section 3). A feature for D, and no normalisation: x itself stays. Groups
    have `group` samples, or N if there are fewer: with M groups, sample i is in group i mod M, as
    in the authors' code. Raises ValueError where N is no multiple of their size.
    """

    mixes_samples = True

    def __init__(self, group=4, *, eps=1e-8):
        if not (isinstance(group, int) and group > 0):
            raise ValueError(f"MinibatchStd: group is {group}, wanted a whole number from 1 on")
        self.group, self.eps = group, float(eps)

    def __repr__(self):
        return f"MinibatchStd({self.group})"

    def groups(self, x):
        """Return x as (samples of a group, M, positions and channels)."""
        size = min(self.group, len(x))
        if x.ndim < 2 or size == 0 or len(x) % size:
            wanted = f"(N, ..., C) with N a multiple of {size or self.group}"
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted {wanted}")
        return x.reshape(size, len(x) // size, -1)

    def append(self, x, t):
        """Return x with t, (M,), as one more channel."""
        column = xp.tile(t, len(x) // len(t)).reshape(-1, *[1] * (x.ndim - 1))
        return xp.concatenate([x, xp.broadcast_to(column, (*x.shape[:-1], 1))], axis=-1)

    def forward(self, x, train=True):
        check(self, "x", x)
        rows = self.groups(x)
        centred = rows - rows.mean(0)
        s = xp.sqrt((centred * centred).mean(0) + self.eps)  # (M, P)
        return self.append(x, s.mean(-1)), (centred, s, x.shape)

    def pull(self, tape, dy):
        # As x moves by u, s moves by <centred, u> / (size s): centred has the mean 0 over a group,
        # so that the mean of u, which is taken away, does not count.
        centred, s, shape = tape
        check(self, "dy", dy, (*shape[:-1], shape[-1] + 1), s.dtype)
        dx = self.slope(tape, dy) * (centred / s)
        return dy[..., :-1] + dx.reshape(shape), dy

    def slope(self, tape, dy):
        """Return dt / (size P), (M, 1), with dt the sum of dy over the places of t."""
        centred, s, _ = tape
        dt = dy[..., -1].reshape(*centred.shape[:2], -1).sum((0, 2))[:, None]
        return dt / (len(centred) * s.shape[-1])

    def double_backward(self, tape, dy, ddx):
        centred, s, shape = tape
        check(self, "ddx", ddx, shape, s.dtype)
        move = self.groups(ddx)
        move = move - move.mean(0)  # how centred moves
        s_move = (centred * move).mean(0) / s
        bend = self.slope(tape, dy) * (move - centred * (s_move / s)) / s
        return self.append(ddx, s_move.mean(-1)), bend.reshape(shape)


class Closeness(Layer):
    """How many samples of the batch are close to each: o[i, b] = sum_j exp(-|M[i, b] - M[j, b]|_1).

    x is (N, features size), seen as M (N, features, size); y is (N, features). Each sample counts
    itself, as 1 (Salimans et al. 2016, section 3.2). It takes memory for N^2 features size numbers.
    """

    mixes_samples = True

    def __init__(self, features):
        self.features = features

    def __repr__(self):
        return f"Closeness({self.features})"

    def forward(self, x, train=True):
        check(self, "x", x)
        if x.ndim != 2 or x.size == 0 or x.shape[1] % self.features:
            wanted = f"(N, C) with C a multiple of {self.features}"
            raise ValueError(f"{self!r}: x has shape {x.shape}, wanted {wanted}")
        M = x.reshape(len(x), self.features, -1)  # (N, features, size)
        difference = M[:, None] - M  # (N, N, features, size)
        # No xp.sign or xp.abs: the gradient checker's complex steps are to come through.
        sign = (difference.real > 0).astype(x.dtype) - (difference.real < 0).astype(x.dtype)
        close = xp.exp(-(sign * difference).sum(-1))  # (N, N, features)
        return close.sum(1), (sign, close, x.shape)

    def spread(self, sign, weight, shape):
        """Return -sum_j weight[i, j] sign[i, j], in x's shape."""
        return -(weight[..., None] * sign).sum(1).reshape(shape)

    def pull(self, tape, dy):
        # M[i] stands in o[i], beside every M[j], and in every o[j].
        sign, close, shape = tape
        check(self, "dy", dy, (shape[0], self.features), close.dtype)
        return self.spread(sign, (dy[:, None] + dy) * close, shape), dy

    def double_backward(self, tape, dy, ddx):
        # Along ddx, close moves, and sign does not.
        sign, close, shape = tape
        check(self, "ddx", ddx, shape, close.dtype)
        move = ddx.reshape(shape[0], self.features, -1)
        close_move = -close * (sign * (move[:, None] - move)).sum(-1)
        return close_move.sum(1), self.spread(sign, (dy[:, None] + dy) * close_move, shape)


class MinibatchDiscrimination(Concat):
    """Append to x how many samples of its batch resemble it, counted in `features` ways.

        M[i] = x[i] T,  o[i, b] = sum_j exp(-|M[i, b] - M[j, b]|_1),  y[i] = [x[i], o[i]]

    x is (N, in_features), T (in_features, features size), y (N, in_features + features). Of
    collapsed samples o is large (Salimans et al. 2016, section 3.2). The layers: x itself beside a
    Dense without bias, then `Closeness`.
    """

    mixes_samples = True

    def __init__(self, in_features, features, size=5, *, rng, initialize=normal):
        T = Dense(in_features, features * size, bias=False, rng=rng, initialize=initialize)
        super().__init__(Sequential(), Sequential(T, Closeness(features)))
        self.in_features, self.features, self.size = in_features, features, size

    def __repr__(self):
        return f"MinibatchDiscrimination({self.features})"
