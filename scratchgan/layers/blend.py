"""Blend, by which a network grows: a new branch takes over from an old one, little by little."""

from scratchgan import xp
from scratchgan.layers.base import Layer, add, check
from scratchgan.layers.compose import Fork, Sequential, demand_alike, demand_tuple


class Fade(Layer):
    """y = (1 - a) u + a v for a pair (u, v) of one shape; `fade.a[...] = 0.3` sets a, from 0 to 1.

    a is an array of no axes: it is saved with the network, and an average of weights copies it. A
    tape remembers the a of its forward.
    """

    takes_pair = True

    def __init__(self, a=0.0):
        if not 0 <= a <= 1:
            raise ValueError(f"Fade: a is {a}, wanted a number from 0 to 1")
        self.a = xp.full((), a, dtype="float32")

    def __repr__(self):
        return "Fade()"

    def forward(self, pair, train=True):
        demand_tuple(self, pair, 2, "a pair (u, v)")
        u, v = pair
        check(self, "u", u)
        check(self, "v", v, u.shape, u.dtype)
        a = self.a.astype(u.dtype)  # a copy
        return (1 - a) * u + a * v, (u.shape, a)

    def pull(self, tape, dy):
        shape, a = tape
        check(self, "dy", dy, shape, a.dtype)
        return ((1 - a) * dy, a * dy), None

    def double_backward(self, tape, kept, ddx):
        # y is linear in u and v, and a is no Param.
        shape, a = tape
        for part in ddx:
            if part is not None:
                check(self, "a part of ddx", part, shape, a.dtype)
        u, v = ddx
        return add(None if u is None else (1 - a) * u, None if v is None else a * v), None


class Blend(Sequential):
    """y = (1 - a) old(x) + a new(x): at a = 0 the old branch alone, at 1 the new one alone.

    A network that grows fades a larger block in beside the way that its smaller self took (Karras
    et al. 2018, section 2): `blend.a[...] = 0.3`. At 1, the old one gets no gradient.
    """

    def __init__(self, old, new, a=0.0):
        demand_alike("Blend", (old, new))
        self.old, self.new = old, new
        super().__init__(Fork(old, new), Fade(a))

    def __repr__(self):
        return f"Blend({self.old!r}, {self.new!r})"

    @property
    def a(self):
        return self.layers[1].a
