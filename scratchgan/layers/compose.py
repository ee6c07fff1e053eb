"""Layers made of layers. Sequential, Fork and Each have derivatives; the others are built of these.

Fork(f, g) makes a pair of x, Each(f, g) maps a pair, Join and Add make one array of it again, Part
takes one of it. Residual and Concat combine them. docs/protocol.md derives the three.
"""

from scratchgan import xp
from scratchgan.layers import sums
from scratchgan.layers.base import Layer, add, check, holds_params


class Container(Layer):
    """What Sequential, Fork and Each share: layers, which are named by their numbers."""

    def __init__(self, *layers):
        for layer in layers:
            if not isinstance(layer, Layer):
                name = type(self).__name__
                raise TypeError(f"{name} takes layers, and got {layer!r}: write {name}(a, b, ...)")
        self.layers = layers

    def __repr__(self):
        return f"{type(self).__name__} of {len(self.layers)} layers"

    def parts(self):
        numbered = [(str(index), layer) for index, layer in enumerate(self.layers)]
        return self.attributes() + numbered

    def attributes(self):
        """Return [(name, part)] of what a subclass keeps beside its layers."""
        return [(name, part) for name, part in vars(self).items() if name != "layers"]

    def demand_kept(self, kept):
        """Raise TypeError unless `kept` is what `pull` returned: a list with an entry per layer."""
        if not isinstance(kept, list) or len(kept) != len(self.layers):
            raise TypeError(f"{self!r}: kept is {kind(kept)}, wanted what pull returned beside dx")


class Sequential(Container):
    """y = f_n(... f_2(f_1(x))): one layer after the other. With no layers it is the identity."""

    @property
    def takes_pair(self):
        return bool(self.layers) and self.layers[0].takes_pair

    def forward(self, x, train=True):
        tapes = []
        for layer in self.layers:
            x, tape = layer.forward(x, train)
            tapes.append(tape)
        return x, tapes

    def pull(self, tapes, dy):
        kept = []
        for layer, tape in reversed(list(zip(self.layers, tapes, strict=True))):
            dy, layer_kept = layer.pull(tape, dy)
            kept.append(layer_kept)
        return dy, kept[::-1]

    def accumulate(self, tapes, dy):
        # Down to the lowest layer that has Params: nobody asks for the gradient of its input.
        lowest = next((i for i, layer in enumerate(self.layers) if holds_params(layer)), None)
        if lowest is None:
            return
        for layer, tape in reversed(list(zip(self.layers, tapes, strict=True))[lowest + 1 :]):
            dy = layer.backward(tape, dy)
        self.layers[lowest].accumulate(tapes[lowest], dy)

    def backward(self, tapes, dy):
        for layer, tape in reversed(list(zip(self.layers, tapes, strict=True))):
            dy = layer.backward(tape, dy)
        return dy

    def double_backward(self, tapes, kept, ddx):
        self.demand_kept(kept)
        # 1. Up: carry ddx to the output, and collect how each layer's pull bends with its input.
        bends = []
        for layer, tape, layer_kept in zip(self.layers, tapes, kept, strict=True):
            bend = None
            if ddx is not None:
                ddx, bend = layer.double_backward(tape, layer_kept, ddx)
            bends.append(bend)
        # 2. Down: a bend is a gradient at an inner activation, and goes back as any gradient does.
        bend = None
        for layer, tape, layer_bend in reversed(list(zip(self.layers, tapes, bends, strict=True))):
            if bend is not None:
                bend = layer.backward(tape, bend)
            bend = add(bend, layer_bend)
        return ddx, bend


class Fork(Container):
    """y = (f_1(x), f_2(x), ...): several layers on one input. dx is the sum of their dx."""

    @property
    def takes_pair(self):
        return any(layer.takes_pair for layer in self.layers)

    def forward(self, x, train=True):
        pairs = [layer.forward(x, train) for layer in self.layers]
        return tuple(y for y, _ in pairs), [tape for _, tape in pairs]

    def pull(self, tapes, dys):
        dx, kept = None, []
        for layer, tape, dy in zip(self.layers, tapes, dys, strict=True):
            part, part_kept = pull_if_asked(layer, tape, dy)
            dx = add(dx, part)
            kept.append(part_kept)
        return dx, kept

    def accumulate(self, tapes, dys):
        for layer, tape, dy in zip(self.layers, tapes, dys, strict=True):
            if dy is not None:
                layer.accumulate(tape, dy)

    def backward(self, tapes, dys):
        dx = None
        for layer, tape, dy in zip(self.layers, tapes, dys, strict=True):
            dx = add(dx, backward_if_asked(layer, tape, dy))
        return dx

    def double_backward(self, tapes, kept, ddx):
        self.demand_kept(kept)
        ddys, bend = [], None
        for layer, tape, part_kept in zip(self.layers, tapes, kept, strict=True):
            ddy, part_bend = double_backward_if_asked(layer, tape, part_kept, ddx)
            ddys.append(ddy)
            bend = add(bend, part_bend)
        return tuple(ddys), bend


class Each(Container):
    """y = (f_1(x_1), f_2(x_2), ...) for a tuple x = (x_1, x_2, ...): a layer for each part."""

    takes_pair = True

    def forward(self, x, train=True):
        count = len(self.layers)
        demand_tuple(self, x, count, f"a tuple of {count}, one for each layer")
        pairs = [layer.forward(part, train) for layer, part in zip(self.layers, x, strict=True)]
        return tuple(y for y, _ in pairs), [tape for _, tape in pairs]

    def pull(self, tapes, dys):
        pairs = [pull_if_asked(*part) for part in zip(self.layers, tapes, dys, strict=True)]
        return tuple(dx for dx, _ in pairs), [kept for _, kept in pairs]

    def accumulate(self, tapes, dys):
        for layer, tape, dy in zip(self.layers, tapes, dys, strict=True):
            if dy is not None:
                layer.accumulate(tape, dy)

    def backward(self, tapes, dys):
        return tuple(backward_if_asked(*part) for part in zip(self.layers, tapes, dys, strict=True))

    def double_backward(self, tapes, kept, ddx):
        self.demand_kept(kept)
        parts = zip(self.layers, tapes, kept, ddx, strict=True)
        pairs = [double_backward_if_asked(*part) for part in parts]
        return tuple(ddy for ddy, _ in pairs), tuple(bend for _, bend in pairs)


# A branch whose y has no gradient, None, is passed by: such as one that only labels reach.


def pull_if_asked(layer, tape, dy):
    """Return dx and a tuple of what the layer keeps; twice None where its y has no gradient."""
    if dy is None:
        return None, None
    dx, kept = layer.pull(tape, dy)
    return dx, (kept,)


def backward_if_asked(layer, tape, dy):
    """Return dx; None where there is no gradient at the layer's y."""
    return None if dy is None else layer.backward(tape, dy)


def double_backward_if_asked(layer, tape, kept, ddx):
    """Return ddy and the bend; None and None where nothing was pulled, or where ddx is zero."""
    if kept is None or ddx is None:
        return None, None
    return layer.double_backward(tape, *kept, ddx)


# ---- from a tuple to one array -------------------------------------------------------------------


class Part(Layer):
    """y = x[index]: one part of a tuple. No gradient goes to the others."""

    takes_pair = True

    def __init__(self, index):
        self.index = index

    def __repr__(self):
        return f"Part({self.index})"

    def forward(self, x, train=True):
        demand_tuple(self, x)
        return x[self.index], len(x)

    def pull(self, count, dy):
        chosen = self.index % count  # -1 is the last
        return tuple(dy if index == chosen else None for index in range(count)), None

    def double_backward(self, count, kept, ddx):
        return ddx[self.index], None


class Add(Layer):
    """y = x_1 + x_2 + ..., for a tuple of arrays of one shape.

    A part (N, C) beside a first one (N, ..., C) is added at all positions, as a bias is.
    """

    def __repr__(self):
        return "Add()"

    def forward(self, x, train=True):
        demand_tuple(self, x)
        check(self, "the first part of x", x[0])
        per_sample = (len(x[0]), x[0].shape[-1])  # to be spread
        for part in x:
            check(self, "a part of x", part, dtype=x[0].dtype)
            if part.shape != per_sample:
                check(self, "a part of x", part, x[0].shape)
        shapes = [part.shape for part in x]
        return self.add(x, shapes), shapes

    def add(self, x, shapes):
        """Return the sum of the parts, or None of none; a part that is None counts as zeros."""
        y = None
        for part in x:
            y = add(y, spread(part, shapes[0]))
        return y

    def pull(self, shapes, dy):
        check(self, "dy", dy, shapes[0])
        spread = [len(shape) < dy.ndim for shape in shapes]
        return tuple(sums.over_positions(dy) if part else dy for part in spread), None

    def double_backward(self, shapes, kept, ddx):
        return self.add(ddx, shapes), None


class Join(Layer):
    """y = [x_1, x_2, ...]: the parts of a tuple side by side along the last axis.

    A part (N, E) beside a first one (N, ..., C), such as an embedded label or caption (Reed et al.
    2016, section 4.1), is spread over all positions. Its gradient is the sum over the positions.
    """

    def __repr__(self):
        return "Join()"

    def forward(self, x, train=True):
        demand_tuple(self, x)
        check(self, "the first part of x", x[0])
        for part in x:
            check(self, "a part of x", part, dtype=x[0].dtype)
            if part.ndim != 2 or len(part) != len(x[0]):  # not to be spread
                check(self, "a part of x", part, (*x[0].shape[:-1], part.shape[-1]))
        shapes = [part.shape for part in x]
        return self.join(x, shapes), shapes

    def join(self, x, shapes):
        """Return the parts side by side; a part that is None is zeros of its shape."""
        dtype = next(part.dtype for part in x if part is not None)
        pairs = zip(x, shapes, strict=True)
        whole = [xp.zeros(shape, dtype=dtype) if part is None else part for part, shape in pairs]
        return xp.concatenate([spread(part, shapes[0]) for part in whole], axis=-1)

    def pull(self, shapes, dy):
        check(self, "dy", dy, (*shapes[0][:-1], sum(shape[-1] for shape in shapes)))
        parts, start = [], 0
        for shape in shapes:
            part = xp.ascontiguousarray(dy[..., start : start + shape[-1]])
            parts.append(part if len(shape) == dy.ndim else sums.over_positions(part))
            start += shape[-1]
        return tuple(parts), None

    def double_backward(self, shapes, kept, ddx):
        # Join is linear, and has no weights.
        asked = any(part is not None for part in ddx)
        return self.join(ddx, shapes) if asked else None, None


def spread(part, shape):
    """Return (N, F) at all positions of a shape (N, ..., C): (N, ..., F); all else as it is."""
    if part is None or part.ndim == len(shape):
        return part
    return xp.broadcast_to(sums.across(part, shape), (*shape[:-1], part.shape[-1]))


# ---- put together --------------------------------------------------------------------------------


class Residual(Sequential):
    """y = body(x) + shortcut(x); the shortcut is x unless given (He et al. 2016, eq. 1 and 2).

    For a body that takes a pair (x, labels), the shortcut is x alone.
    """

    def __init__(self, body, shortcut=None):
        if shortcut is None:
            shortcut = Part(0) if body.takes_pair else Sequential()
        demand_alike("Residual", (body, shortcut))
        self.body, self.shortcut = body, shortcut
        super().__init__(Fork(body, shortcut), Add())

    def __repr__(self):
        return f"Residual({self.body!r})"


class Concat(Sequential):
    """y = [f_1(x), f_2(x), ...]: layers on one input, their outputs joined along the last axis.

    `Concat(Sequential(), f)` keeps x beside f(x).
    """

    def __init__(self, *branches):
        if not branches:
            raise ValueError("Concat needs at least one branch")
        demand_alike("Concat", branches)
        super().__init__(Fork(*branches), Join())

    def __repr__(self):
        return f"Concat of {len(self.branches)} branches"

    @property
    def branches(self):
        return self.layers[0].layers

    def parts(self):
        fork, join = self.layers
        return [*self.attributes(), *fork.parts(), ("join", join)]


# ---- what they demand ----------------------------------------------------------------------------


def demand_tuple(owner, x, count=None, wanted="a tuple of parts"):
    """Raise TypeError unless a layer's input is a tuple, of so many parts if that is said, else of one or more."""
    if not isinstance(x, tuple) or (len(x) != count if count is not None else not x):
        raise TypeError(f"{owner!r}: the input is {kind(x)}, wanted {wanted}")


def demand_alike(name, branches):
    """Raise ValueError where some branches take a pair and some do not."""
    if len({branch.takes_pair for branch in branches}) > 1:
        some = "some branches take labels and some do not"
        raise ValueError(f"{name}: {some}: put those into a Conditional(...)")


def kind(x):
    """Return what x is, in words for an error."""
    if xp.is_array(x):
        return "one array"
    return f"a tuple of {len(x)}" if isinstance(x, tuple) else f"a {type(x).__name__}"
