"""Layer: the protocol of every layer; Linear and Pointwise: the two kinds that most layers are.

Rule: what outlives a call lives on the layer; what belongs to one call is returned by that call (its tape).
"""

import functools

import numpy

from scratchgan import xp
from scratchgan.param import Param
from scratchgan.rng import rng_state, set_rng_state


class Layer:
    """A map y = f(x) with its derivatives: y, tape = forward(x); dx = backward(tape, dy).

    `dy` is the gradient of some scalar with respect to y, `dx` that scalar's gradient with respect to x.
    """

    mixes_samples = False  # whether, in training, y of one sample depends on the others of its batch
    follows_directions = False  # whether double_backward knows how the layer's own Params move: see docs/unrolled.md
    passes_directions = True  # whether it asks the double_backward of every layer inside
    takes_labels = False  # whether the input of `forward` is a pair (x, labels); dx, ddx and bend are of x alone

    def __call__(self, x):
        """Infer: y = f(x) with running statistics, without dropout, and without a tape."""
        return self.forward(x, train=False)[0]

    def forward(self, x, train=True):
        """Return y = f(x) and a tape: what `backward` needs to know of this call."""
        raise NotImplementedError(f"{self!r} has no forward")

    def backward(self, tape, dy, grads=True):
        """Return dx = J^T dy, J the Jacobian of f at the x of the tape; add to every Param's grad if `grads`."""
        raise NotImplementedError(f"{self!r} has no backward")

    def double_backward(self, tape, dy, ddx, grads=True):
        """Differentiate the map (dy, x, params) -> dx that `backward` computes.

        ddx is the gradient of some scalar with respect to dx. Return that scalar's gradients with respect to
        dy (`ddy` = J ddx) and to x (`bend`: how `backward` itself varies with x; None where it does not), and
        add its gradient with respect to every Param if `grads`.
        """
        raise NotImplementedError(f"{self!r} has no double_backward")

    # ---- what a layer is made of ----

    def children(self):
        """Return the layers directly inside this one as (name, layer), in a fixed order."""
        return [(name, part) for name, part in vars(self).items() if isinstance(part, Layer)]

    def named_layers(self, prefix=""):
        """Yield (path, layer) for this layer and every layer inside it, such as ("0.body.2", Dense(...))."""
        yield prefix.rstrip("."), self
        for name, child in self.children():
            yield from child.named_layers(f"{prefix}{name}.")

    def attributes(self, kind):
        """Yield (path, layer, name, part) for every attribute of a type, in this layer and all inside it."""
        for path, layer in self.named_layers():
            for name, part in vars(layer).items():
                if isinstance(part, kind):
                    yield f"{path}.{name}".lstrip("."), layer, name, part
                if isinstance(part, Param):  # one that is computed from others has parts of its own
                    for inner_name, inner in part.inner().items():
                        if isinstance(inner, kind):
                            yield f"{path}.{name}.{inner_name}".lstrip("."), part, inner_name, inner

    def arrays(self):
        """Yield what `attributes` does for every array that is not in a Param, such as running statistics."""
        return (found for found in self.attributes(object) if xp.is_array(found[-1]))

    def named_params(self):
        """Return {path: Param} in a fixed order; a Param that stands in two places is listed once."""
        found = {}
        for path, _, _, param in self.attributes(Param):
            if not any(param is other for other in found.values()):
                found[path] = param
        return found

    def params(self):
        """Return every Param, each once, in a fixed order."""
        return list(self.named_params().values())

    def zero_grad(self):
        """Clear every Param's grad (an optimizer's step does so by itself)."""
        for param in self.params():
            param.grad.fill(0)

    def astype(self, dtype):
        """Convert every Param and running statistic to `dtype`, before an optimizer is made; return the layer."""
        for param in self.params():
            param.astype(dtype)
        for _, layer, name, array in self.arrays():
            setattr(layer, name, array.astype(dtype))
        return self

    # ---- saving and restoring ----

    def state(self):
        """Return {path: NumPy array}, a copy of every Param, running statistic and random generator."""
        found = {path: numpy.array(xp.to_host(param.value)) for path, param in self.named_params().items()}
        for path, _, _, array in self.arrays():
            found[path] = numpy.array(xp.to_host(array))
        for path, _, _, rng in self.attributes(numpy.random.Generator):
            found[path] = rng_state(rng)
        return found

    def load_state(self, state):
        """Write a `state()` of a network of the same architecture into this one.

        Raises ValueError, before anything is written, where names or shapes differ.
        """
        own = self.state()
        if own.keys() != state.keys():
            missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ValueError(f"the state is of another network: missing {missing}, unknown {unknown}")
        for path, array in own.items():
            if array.shape != state[path].shape:
                raise ValueError(f"{path} is {array.shape} in this network and {state[path].shape} in the state")
        for path, param in self.named_params().items():
            param.value[...] = xp.asarray(state[path])
        for path, _, _, array in self.arrays():
            array[...] = state[path] if isinstance(array, numpy.ndarray) else xp.asarray(state[path])
        for path, _, _, rng in self.attributes(numpy.random.Generator):
            set_rng_state(rng, state[path])


class Linear(Layer):
    """y = A(W, x) + b, with A linear in W and linear in x: dense layers and every kind of convolution.

    For such a map the three functions below are all there is. With <.,.> the sum over all elements,
    <dy, A(W, x)> = <input_grad(W, dy), x> = <weight_grad(x, dy), W>: the two are A's adjoints.
    """

    follows_directions = True

    def __init__(self, W, b=None):
        self.W = Param(W)
        self.b = None if b is None else Param(b)

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        raise NotImplementedError

    def apply(self, W, x):
        """Return A(W, x)."""
        raise NotImplementedError

    def input_grad(self, W, dy, shape):
        """Return dx, of the given shape: the adjoint of x -> A(W, x), applied to dy."""
        raise NotImplementedError

    def weight_grad(self, x, dy):
        """Return dW: the adjoint of W -> A(W, x), applied to dy."""
        raise NotImplementedError

    def forward(self, x, train=True):
        y = self.product(x)
        if self.b is not None:
            y += self.b.value
        return y, x

    def product(self, x):
        """Return A(W, x), once x is known to fit."""
        self.output_shape(check(self, "x", x, dtype=self.W.value.dtype).shape)
        return self.apply(self.W.effective(), x)

    def backward(self, x, dy, grads=True):
        check(self, "dy", dy, self.output_shape(x.shape), self.W.value.dtype)
        if grads:
            self.W.accumulate(self.weight_grad(x, dy))
            if self.b is not None:
                self.b.grad += sum_rows(dy)
        return self.input_grad(self.W.effective(), dy, x.shape)

    def double_backward(self, x, dy, ddx, grads=True):
        # dx = input_grad(W, dy) is linear in W and in dy, and does not depend on x: there is no bend.
        # L = <ddx, input_grad(W, dy)> = <A(W, ddx), dy>: the very form whose adjoints are known.
        check(self, "ddx", ddx, x.shape, self.W.value.dtype)
        if grads:
            self.W.accumulate(self.weight_grad(ddx, dy))
        ddy, bend = self.apply(self.W.effective(), ddx), None
        if self.W.direction is not None:  # W moves, too: A(W, x) and input_grad(W, dy) are linear in it
            ddy += self.apply(self.W.direction, x)
            bend = self.input_grad(self.W.direction, dy, x.shape)
        if self.b is not None and self.b.direction is not None:
            ddy += self.b.direction
        return ddy, bend


class Pointwise(Layer):
    """y = f(x), element by element: activations.

    Each activation here solves a differential equation f' = g(f), so that both derivatives follow from the
    output alone, and y is all that the tape has to keep.
    """

    def f(self, x):
        """Return y = f(x)."""
        raise NotImplementedError

    def derivative(self, y):
        """Return f'(x), as a function of y."""
        raise NotImplementedError

    def second_derivative(self, y):
        """Return f''(x), as a function of y; None where it is zero everywhere."""
        return None

    def forward(self, x, train=True):
        y = self.f(check(self, "x", x))
        return y, y

    def backward(self, y, dy, grads=True):
        return check(self, "dy", dy, y.shape, y.dtype) * self.derivative(y)

    def double_backward(self, y, dy, ddx, grads=True):
        # dx = f'(x) dy, so d dx / d dy = f'(x) and d dx / d x = f''(x) dy
        check(self, "ddx", ddx, y.shape, y.dtype)
        ddy = ddx * self.derivative(y)
        curvature = self.second_derivative(y)
        return ddy, None if curvature is None else curvature * dy * ddx


# ---- helpers ---------------------------------------------------------------------------------------------


def sum_rows(dy):
    """Sum over all axes but the last, as a product with ones: faster than `sum`, and more accurate."""
    rows = dy.reshape(-1, dy.shape[-1])  # (N * ..., C)
    return ones(len(rows), rows.dtype) @ rows


def ones(n, dtype):
    """Return n ones to multiply with: at each call the same array, so that none is made anew. Do not write into it."""
    return kept_ones(xp.ndarray, n, dtype)


@functools.lru_cache(64)
def kept_ones(kind, n, dtype):
    """Return n ones of the array module whose arrays are of this kind."""
    return xp.ones(n, dtype=dtype)


def add(a, b):
    """Add two gradients, either of which may be None, that is zero."""
    if a is None:
        return b
    return a if b is None else a + b


def check(owner, name, x, shape=None, dtype=None):
    """Return x if it is a floating-point array of the chosen module, of this shape and dtype; else raise.

    Raises TypeError or ValueError that names the layer, what it got and what it wanted.
    """
    if not isinstance(x, xp.ndarray):
        hint = "xp.to_device(x) converts it" if isinstance(x, numpy.ndarray) else "xp.asarray(x) converts it"
        raise TypeError(f"{owner}: {name} is a {type(x).__name__}, wanted an array of {wanted()}: {hint}")
    if x.dtype.kind not in "fc" or x.dtype.itemsize < 4 or (dtype is not None and x.dtype != dtype):
        want = "float32 or float64" if dtype is None else f"{xp.dtype(dtype)}"
        raise TypeError(f"{owner}: {name} is {x.dtype}, wanted {want}: {name}.astype(...), or net.astype(...)")
    if shape is not None and x.shape != shape:
        raise ValueError(f"{owner}: {name} has shape {x.shape}, wanted {shape}")
    return x


def wanted():
    """The array module that is in use, by name."""
    return "CuPy" if xp.on_gpu() else "NumPy"
