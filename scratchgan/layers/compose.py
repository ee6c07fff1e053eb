"""Layers made of layers: Sequential, Conditional, Residual, Concat."""

from scratchgan import kernels, xp
from scratchgan.layers import compose_fused
from scratchgan.layers.base import Layer, add, check


class Tapes(list):
    """The tapes of the layers inside; dys: what the last `backward` of this dy with grads=False gave to each."""

    dy, dys = None, ()


class Sequential(Layer):
    """y = f_n(... f_2(f_1(x))): one layer after the other. With no layers it is the identity."""

    def __init__(self, *layers):
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential takes layers, and got {layer!r}: write Sequential(a, b, ...)")
            if layer.takes_labels and not self.takes_labels:
                raise ValueError(f"Sequential has no labels for {layer!r}: write Conditional(a, b, ...)")
        self.layers = layers

    def __repr__(self):
        return f"{type(self).__name__} of {len(self.layers)} layers"

    def children(self):
        return [(str(index), layer) for index, layer in enumerate(self.layers)]

    def forward(self, x, train=True):
        if kernels.can_take(x):  # the same on a GPU, with fewer kernels
            y, tapes = compose_fused.forward(self.layers, x, train)
            return y, Tapes(tapes)
        tapes = Tapes()
        for layer in self.layers:
            x, tape = layer.forward(x, train)
            tapes.append(tape)
        return x, tapes

    def backward(self, tapes, dy, grads=True):
        dys = [dy]
        for layer, tape in zip(reversed(self.layers), reversed(tapes), strict=True):
            dys.append(layer.backward(tape, dys[-1], grads))
        if not grads:
            tapes.dy, tapes.dys = dy, dys[-2::-1]  # a gradient penalty comes back for these
        return dys[-1]

    def double_backward(self, tapes, dy, ddx, grads=True):
        # 1. Down: the upstream gradient that each layer's backward was given; on the tape, if it was this dy.
        if tapes.dy is not dy:
            self.backward(tapes, dy, grads=False)
        # 2. Up: carry ddx to the output, and collect how each layer's backward bends with its input.
        bends = []
        for layer, tape, layer_dy in zip(self.layers, tapes, tapes.dys, strict=True):
            ddx, bend = layer.double_backward(tape, layer_dy, ddx, grads)
            bends.append(bend)
        # 3. Down: a bend is a gradient at an inner activation, and goes back to x as any gradient does.
        bend = None
        for layer, tape, layer_bend in zip(reversed(self.layers), reversed(tapes), reversed(bends), strict=True):
            if bend is not None:
                bend = layer.backward(tape, bend, grads)
            bend = add(bend, layer_bend)
        return ddx, bend


class Conditional(Sequential):
    """y = f_n(... f_1(x)), given labels: a Sequential whose input is a pair (x, labels), labels integers, (N,).

    A layer with `takes_labels` gets the pair of what comes from below and the labels; every other one, the former.
    Labels have no gradient: dx is that of x, so that backward and double_backward are those of Sequential.
    Raises TypeError where the input is no pair, ValueError where there is not one label for each sample.
    """

    takes_labels = True

    def forward(self, pair, train=True):
        x, labels = unpair(self, pair)
        tapes = Tapes()
        for layer in self.layers:
            x, tape = layer.forward((x, labels) if layer.takes_labels else x, train)
            tapes.append(tape)
        return x, tapes


class Residual(Layer):
    """y = body(x) + shortcut(x), the shortcut being x itself unless it is given (He et al. 2016, eq. 1 and 2).

    Of a `Conditional` body, y = body(x, labels) + shortcut(x, labels).
    """

    def __init__(self, body, shortcut=None):
        self.body = body
        self.shortcut = (Conditional() if body.takes_labels else Sequential()) if shortcut is None else shortcut
        self.takes_labels = alike("Residual", (self.body, self.shortcut))

    def __repr__(self):
        return f"Residual({self.body!r})"

    def forward(self, x, train=True):
        y, body_tape = self.body.forward(x, train)
        around, shortcut_tape = self.shortcut.forward(x, train)
        return check(self, "body(x)", y, around.shape) + around, (body_tape, shortcut_tape)

    def backward(self, tape, dy, grads=True):
        body_tape, shortcut_tape = tape
        return self.body.backward(body_tape, dy, grads) + self.shortcut.backward(shortcut_tape, dy, grads)

    def double_backward(self, tape, dy, ddx, grads=True):
        body_tape, shortcut_tape = tape
        body_ddy, body_bend = self.body.double_backward(body_tape, dy, ddx, grads)
        shortcut_ddy, shortcut_bend = self.shortcut.double_backward(shortcut_tape, dy, ddx, grads)
        return body_ddy + shortcut_ddy, add(body_bend, shortcut_bend)


class Concat(Layer):
    """y = [f_1(x), f_2(x), ...]: several layers on one input, their outputs side by side along the last axis.

    `Concat(Sequential(), f)` keeps x beside f(x).
    """

    def __init__(self, *branches):
        if not branches:
            raise ValueError("Concat needs at least one branch")
        self.branches = branches
        self.takes_labels = alike("Concat", branches)

    def __repr__(self):
        return f"Concat of {len(self.branches)} branches"

    def children(self):
        return [(str(index), branch) for index, branch in enumerate(self.branches)]

    def forward(self, x, train=True):
        ys, tapes = zip(*[branch.forward(x, train) for branch in self.branches], strict=True)
        for y in ys:
            check(self, "a branch's output", y, ys[0].shape[:-1] + y.shape[-1:], ys[0].dtype)
        return xp.concatenate(ys, axis=-1), (Tapes(tapes), [y.shape[-1] for y in ys])

    def split(self, dy, widths):
        """Cut dy along its last axis into one piece per branch."""
        check(self, "dy", dy, dy.shape[:-1] + (sum(widths),))
        pieces, start = [], 0
        for width in widths:
            pieces.append(xp.ascontiguousarray(dy[..., start : start + width]))
            start += width
        return pieces

    def backward(self, tape, dy, grads=True):
        tapes, widths = tape
        pieces, dx = self.split(dy, widths), None
        if not grads:
            tapes.dy, tapes.dys = dy, pieces
        for branch, branch_tape, piece in zip(self.branches, tapes, pieces, strict=True):
            dx = add(dx, branch.backward(branch_tape, piece, grads))
        return dx

    def double_backward(self, tape, dy, ddx, grads=True):
        tapes, widths = tape
        pieces = tapes.dys if tapes.dy is dy else self.split(dy, widths)
        ddys, bend = [], None
        for branch, branch_tape, piece in zip(self.branches, tapes, pieces, strict=True):
            ddy, branch_bend = branch.double_backward(branch_tape, piece, ddx, grads)
            ddys.append(ddy)
            bend = add(bend, branch_bend)
        return xp.concatenate(ddys, axis=-1), bend


# ---- helpers ---------------------------------------------------------------------------------------------


def unpair(owner, pair):
    """Return x and labels, once they are a pair, with one label for each sample."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"{owner!r}: the input is a {type(pair).__name__}, wanted a pair (x, labels)")
    x, labels = pair
    check(owner, "x", x)
    if getattr(labels, "shape", None) != x.shape[:1]:
        got = getattr(labels, "shape", type(labels).__name__)
        raise ValueError(f"{owner!r}: labels are {got}, wanted {x.shape[:1]}: an integer for each sample of x")
    return x, labels


def alike(name, branches):
    """Return whether the branches take labels: all of them, or none."""
    takes_labels = {branch.takes_labels for branch in branches}
    if len(takes_labels) > 1:
        raise ValueError(f"{name}: some branches take labels and some do not: put those into a Conditional(...)")
    return takes_labels.pop()
