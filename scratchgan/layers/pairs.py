"""Bilinear maps of two inputs, as linear layers are bilinear maps of a weight and an input.

Attention and styles are made of them. From a map and its two adjoints all derivatives follow.
"""

import math

from scratchgan.layers import sums
from scratchgan.layers.base import Layer, add, check
from scratchgan.layers.compose import demand_tuple


class Bilinear(Layer):
    """y = B(a, b) for a pair x = (a, b), with B linear in a and linear in b.

    With <p, q> the sum of p q over all elements, B and its two adjoints satisfy
    <dy, B(a, b)> = <grad_a(dy, b), a> = <grad_b(a, dy), b>; shape is the shape that they return.
    """

    takes_pair = True

    def output_shape(self, a_shape, b_shape):
        """Return the shape of y for a and b of these shapes; raise ValueError if there is none."""
        raise NotImplementedError

    def apply(self, a, b):
        """Return B(a, b)."""
        raise NotImplementedError

    def grad_a(self, dy, b, shape):
        """Return da: the adjoint of a -> B(a, b), applied to dy."""
        raise NotImplementedError

    def grad_b(self, a, dy, shape):
        """Return db: the adjoint of b -> B(a, b), applied to dy."""
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}()"

    def forward(self, pair, train=True):
        demand_tuple(self, pair, 2, "a pair (a, b)")
        a, b = pair
        check(self, "a", a)
        check(self, "b", b, dtype=a.dtype)
        self.output_shape(a.shape, b.shape)  # raises ValueError if there is none
        return self.apply(a, b), (a, b)

    def pull(self, tape, dy):
        a, b = tape
        check(self, "dy", dy, self.output_shape(a.shape, b.shape), a.dtype)
        return (self.grad_a(dy, b, a.shape), self.grad_b(a, dy, b.shape)), dy

    def double_backward(self, tape, dy, ddx):
        # L = <dda, grad_a(dy, b)> + <ddb, grad_b(a, dy)> = <dy, B(dda, b)> + <dy, B(a, ddb)>
        a, b = tape
        dda, ddb = ddx
        ddy, bend_a, bend_b = None, None, None
        if dda is not None:
            check(self, "ddx[0]", dda, a.shape, a.dtype)
            ddy, bend_b = self.apply(dda, b), self.grad_b(dda, dy, b.shape)
        if ddb is not None:
            check(self, "ddx[1]", ddb, b.shape, b.dtype)
            ddy, bend_a = add(ddy, self.apply(a, ddb)), self.grad_a(dy, ddb, a.shape)
        return ddy, (bend_a, bend_b)


class Dot(Bilinear):
    """y[n] = sum over f of a[n, f] b[n, f]: a score for each sample, (N, F), (N, F) -> (N, 1)."""

    def output_shape(self, a_shape, b_shape):
        if len(a_shape) != 2 or a_shape != b_shape:
            raise ValueError(f"{self!r}: got {a_shape} and {b_shape}, wanted two of one shape")
        return (a_shape[0], 1)

    def apply(self, a, b):
        return (a * b).sum(1, keepdims=True)  # (N, 1)

    def grad_a(self, dy, b, shape):
        return dy * b  # (N, F)

    def grad_b(self, a, dy, shape):
        return dy * a


class Modulate(Bilinear):
    """y[n, ..., c] = x[n, ..., c] s[n, c]: a style s (N, C) scales the channels of x (N, ..., C).

    How a style enters a generator (Karras et al. 2020, section 2.2).
    """

    def output_shape(self, x_shape, s_shape):
        if len(x_shape) < 2 or s_shape != (x_shape[0], x_shape[-1]):
            raise ValueError(f"{self!r}: got {x_shape} and {s_shape}, wanted (N, ..., C), (N, C)")
        return x_shape

    def apply(self, x, s):
        return x * sums.across(s, x.shape)  # (N, ..., C)

    def grad_a(self, dy, s, shape):
        return dy * sums.across(s, dy.shape)

    def grad_b(self, x, dy, shape):
        return sums.over_positions(x * dy)  # (N, C)


class Scores(Bilinear):
    """y[n, i, j] = scale <q[n, i], k[n, j]>: how query i fits key j (Vaswani et al. 2017, eq. 1).

    q and k are (N, ..., F); positions count as one axis: y is (N, I, J). Eq. 1 has 1 / sqrt(F).
    """

    def __init__(self, scale=1.0):
        self.scale = float(scale)

    def output_shape(self, q_shape, k_shape):
        ends = [(shape[0], shape[-1]) for shape in (q_shape, k_shape)]  # (N, F) of each
        if min(len(q_shape), len(k_shape)) < 3 or ends[0] != ends[1]:
            raise ValueError(f"{self!r}: got {q_shape} and {k_shape}, wanted two (N, ..., F)")
        return (q_shape[0], math.prod(q_shape[1:-1]), math.prod(k_shape[1:-1]))

    def apply(self, q, k):
        return self.scale * (rows(q) @ rows(k).swapaxes(1, 2))  # (N, I, J)

    def grad_a(self, dy, k, shape):
        return self.scale * (dy @ rows(k)).reshape(shape)

    def grad_b(self, q, dy, shape):
        return self.scale * (dy.swapaxes(1, 2) @ rows(q)).reshape(shape)


class Mix(Bilinear):
    """y[n, i] = sum over j of p[n, i, j] v[n, j]: v mixed as p says (Vaswani et al. 2017, eq. 1).

    p is (N, I, J) and v (N, ..., F) with J positions; y is (N, I, F). Where I = J, as in
    self-attention, y has the shape of v: a picture stays one.
    """

    def output_shape(self, p_shape, v_shape):
        positions = math.prod(v_shape[1:-1])
        fits = len(p_shape) == 3 <= len(v_shape)
        if not fits or (p_shape[0], p_shape[2]) != (v_shape[0], positions):
            wanted = "(N, I, J) and (N, ..., F), J positions"
            raise ValueError(f"{self!r}: got {p_shape} and {v_shape}, wanted {wanted}")
        return v_shape if p_shape[1] == positions else (*p_shape[:2], v_shape[-1])

    def apply(self, p, v):
        return (p @ rows(v)).reshape(self.output_shape(p.shape, v.shape))

    def grad_a(self, dy, v, shape):
        return rows(dy) @ rows(v).swapaxes(1, 2)  # (N, I, J)

    def grad_b(self, p, dy, shape):
        return (p.swapaxes(1, 2) @ rows(dy)).reshape(shape)


def rows(x):
    """Return x (N, ..., F) with all its positions in one axis: (N, I, F)."""
    return x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])
