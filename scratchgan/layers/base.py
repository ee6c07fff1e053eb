"""Layer, the protocol of every layer; LinearMap, FixedMap, Pointwise, the kinds that most are.

Rule: what outlives a call lives on the layer; what belongs to a call is returned by it (its tape).
"""

import numpy

from scratchgan import walk, xp
from scratchgan.layers import sums
from scratchgan.param import Param
from scratchgan.support.rng import rng_state, set_rng_state


class Layer:
    """A map y = f(x) with its derivatives.

    `dy` is the gradient of some scalar with respect to y, `dx` that scalar's gradient with respect
    to x. A gradient can be let through a network, `pull`, or taken into its weights, `accumulate`;
    `backward` does both. x and y may be tuples of arrays; then so are their gradients, with None
    where there is no gradient.
    """

    mixes_samples = False  # whether, in training, a sample's y depends on the rest of its batch
    takes_pair = False  # whether x is a pair, such as (x, labels), for a `Conditional` to hand on

    def __call__(self, x):
        """Infer: y = f(x) with running statistics, without dropout, and without a tape."""
        return self.forward(x, train=False)[0]

    def forward(self, x, train=True):
        """Return y = f(x) and a tape: what the three below need to know of this call."""
        raise NotImplementedError(f"{self!r} has no forward")

    def pull(self, tape, dy):
        """Return dx = J^T dy, J the Jacobian of f at x, and what `double_backward` will need."""
        raise NotImplementedError(f"{self!r} has no pull")

    def accumulate(self, tape, dy):
        """Add dL/dW to every Param's grad. A layer without Params adds nothing, as here.

        Where a layer writes `backward` itself, because both at once is cheaper, this calls it.
        """
        if not holds_params(self):
            return
        if type(self).backward is Layer.backward:
            raise NotImplementedError(f"{self!r} has Params and no accumulate to train them")
        self.backward(tape, dy)

    def backward(self, tape, dy):
        """Do both: add to the grad of every Param, and return dx."""
        self.accumulate(tape, dy)
        return self.pull(tape, dy)[0]

    def double_backward(self, tape, kept, ddx):
        """Differentiate (dy, x, W) -> dx, which `pull` computes and of which it returned `kept`.

        ddx is the gradient of some scalar with respect to dx. Return that scalar's gradients with
        respect to dy, ddy = J ddx, and with respect to x, the bend, which is None where `pull` does
        not vary with x. Add its gradient with respect to W to the grad of every Param.
        """
        raise NotImplementedError(f"{self!r} has no double_backward")

    # ---- what a layer is made of: all that `walk` finds, wherever it is ----

    def parts(self):
        """Return [(name, part)] of what is directly inside: the attributes, unless overridden."""
        return list(vars(self).items())

    def named_layers(self):
        """Yield (path, layer) for this and every layer inside it, such as ("0.body.2", Dense)."""
        return walk.find(self, Layer)

    def named_params(self):
        """Return {path: Param} in a fixed order; a Param in two places is listed once."""
        return walk.by_path(self, Param)

    def params(self):
        """Return every Param, each once, in a fixed order."""
        return list(self.named_params().values())

    def named_arrays(self):
        """Return {path: array} of every array outside a Param, such as running statistics."""
        return walk.by_path(self, xp.is_array)

    def zero_grad(self):
        """Clear every Param's grad (an optimizer's step does so by itself)."""
        for param in self.params():
            param.grad.fill(0)

    def astype(self, dtype):
        """Convert Params and running statistics to `dtype`, before an optimizer; return the layer.

        Arrays of integers stay what they are: an index is no number to compute with.
        """
        converted = {}  # by the id of what was there: an array in two places stays one
        for _, holder, key, part in list(walk.places(self)):
            if isinstance(part, Param):
                part.astype(dtype)
            elif xp.is_array(part) and part.dtype.kind in "fc":
                new = converted.setdefault(id(part), part.astype(dtype))
                walk.put(holder, key, new)
        return self

    # ---- saving and restoring ----

    def state(self):
        """Return {path: NumPy array}, a copy: Params, running statistics, random generators."""
        arrays = {path: param.value for path, param in self.named_params().items()}
        arrays |= self.named_arrays()
        generators = walk.find(self, numpy.random.Generator)
        state = {path: numpy.array(xp.to_host(array)) for path, array in arrays.items()}
        return state | {path: rng_state(rng) for path, rng in generators}

    def load_state(self, state):
        """Write a `state()` of a network of the same architecture into this one.

        Raises ValueError, before anything is written, where names, shapes or kinds of number differ.
        """
        own = self.state()
        if own.keys() != state.keys():
            missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
            raise ValueError(f"another network's state: missing {missing}, unknown {unknown}")
        for path, array in own.items():
            if array.shape != state[path].shape:
                got = state[path].shape
                raise ValueError(f"{path} is {array.shape} in this network and {got} in the state")
            kinds = array.dtype.kind, state[path].dtype.kind  # floats of any width are numbers
            if array.dtype != state[path].dtype and kinds not in (("f", "f"), ("c", "c"), ("U", "U")):
                got = state[path].dtype
                raise ValueError(f"{path} is {array.dtype} in this network and {got} in the state")
        for path, param in self.named_params().items():
            param.value[...] = xp.asarray(state[path])
        for path, holder, key, old in list(walk.places(self)):
            if xp.is_array(old) and not getattr(old.flags, "writeable", True):
                walk.put(holder, key, state[path].astype(old.dtype))
            elif xp.is_array(old):
                old[...] = state[path] if isinstance(old, numpy.ndarray) else xp.asarray(state[path])
        for path, rng in walk.find(self, numpy.random.Generator):
            set_rng_state(rng, state[path])


def holds_params(layer):
    """Whether there is a Param in a layer or in one inside it."""
    return any(True for _ in walk.find(layer, Param))


class LinearMap(Layer):
    """y = A(W, x) + b, A linear in W and linear in x: dense layers and every convolution.

    Such a map is three functions. With <p, q> the sum of p q over all elements, they satisfy
    <dy, A(W, x)> = <input_grad(W, dy), x> = <weight_grad(x, dy), W>: two are A's adjoints.
    """

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
        check(self, "x", x, dtype=self.W.value.dtype)
        self.output_shape(x.shape)  # raises ValueError if there is none
        y = self.apply(self.W.effective(), x)
        if self.b is not None:
            y += self.b.value
        return y, x

    def pull(self, x, dy):
        check(self, "dy", dy, self.output_shape(x.shape), self.W.value.dtype)
        return self.input_grad(self.W.effective(), dy, x.shape), dy

    def accumulate(self, x, dy):
        check(self, "dy", dy, self.output_shape(x.shape), self.W.value.dtype)
        self.W.accumulate(self.weight_grad(x, dy))
        if self.b is not None:
            self.b.grad += sums.over_rows(dy)

    def double_backward(self, x, dy, ddx):
        # dx = input_grad(W, dy) is linear in W and dy, and does not depend on x: there is no bend.
        # L = <ddx, input_grad(W, dy)> = <A(W, ddx), dy>: the very form whose adjoints are known.
        check(self, "ddx", ddx, x.shape, self.W.value.dtype)
        self.W.accumulate(self.weight_grad(ddx, dy))
        return self.apply(self.W.effective(), ddx), None


class FixedMap(Layer):
    """y = A x, with A linear and without weights: a LinearMap without W and b."""

    def output_shape(self, shape):
        """Return the shape of y for an x of this shape; raise ValueError if there is none."""
        raise NotImplementedError

    def apply(self, x):
        """Return A x."""
        raise NotImplementedError

    def adjoint(self, dy, shape):
        """Return dx = A^T dy, of the given shape: <dy, A x> = <A^T dy, x>."""
        raise NotImplementedError

    def forward(self, x, train=True):
        check(self, "x", x)
        self.output_shape(x.shape)  # raises ValueError if there is none
        return self.apply(x), x.shape

    def pull(self, shape, dy):
        check(self, "dy", dy, self.output_shape(shape))
        return self.adjoint(dy, shape), None

    def double_backward(self, shape, kept, ddx):
        # dx = A^T dy does not depend on x: there is no bend. L = <ddx, A^T dy> = <A ddx, dy>.
        check(self, "ddx", ddx, shape)
        return self.apply(ddx), None


class Pointwise(Layer):
    """y = f(x), element by element: activations.

    Each activation here solves a differential equation f' = g(f), so that both derivatives follow
    from the output alone, and y is all that the tape has to keep.
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
        check(self, "x", x)
        y = self.f(x)
        return y, y

    def pull(self, y, dy):
        check(self, "dy", dy, y.shape, y.dtype)
        return dy * self.derivative(y), dy

    def double_backward(self, y, dy, ddx):
        # dx = f'(x) dy, so d dx / d dy = f'(x) and d dx / d x = f''(x) dy
        check(self, "ddx", ddx, y.shape, y.dtype)
        ddy = ddx * self.derivative(y)
        curvature = self.second_derivative(y)
        return ddy, None if curvature is None else curvature * dy * ddx


# ---- helpers -------------------------------------------------------------------------------------


def add(a, b):
    """Add two gradients of one structure, in which a None stands for zero."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, tuple):
        return tuple(add(*parts) for parts in zip(a, b, strict=True))
    return a + b


def check(owner, name, x, shape=None, dtype=None):
    """Demand a floating-point array of the chosen module, of this shape and dtype.

    Raises TypeError or ValueError that names the layer, what it got and what it wanted.
    """
    if not isinstance(x, xp.ndarray):
        wanted = f"an array of {'CuPy' if xp.on_gpu() else 'NumPy'}: xp.asarray(x) converts it"
        raise TypeError(f"{owner}: {name} is a {type(x).__name__}, wanted {wanted}")
    if x.dtype.kind not in "fc" or x.dtype.itemsize < 4 or (dtype is not None and x.dtype != dtype):
        want = "float32 or float64" if dtype is None else f"{xp.dtype(dtype)}"
        raise TypeError(f"{owner}: {name} is {x.dtype}, wanted {want}: {name}.astype converts it")
    if shape is not None and x.shape != shape:
        raise ValueError(f"{owner}: {name} has shape {x.shape}, wanted {shape}")


def check_labels(owner, name, labels, classes, shape=None):
    """Demand an array of integers from 0 to classes - 1, of this shape; raise as `check` does."""
    if not isinstance(labels, xp.ndarray) or labels.dtype.kind not in "iu":
        got = labels.dtype if isinstance(labels, xp.ndarray) else f"a {type(labels).__name__}"
        raise TypeError(f"{owner}: got {got} for {name}, wanted an array of integers")
    if shape is not None and labels.shape != shape:
        wanted = f"{shape}: one integer for each"
        raise ValueError(f"{owner}: {name} are {labels.shape}, wanted {wanted}")
    # The bounds are looked at on the CPU only: on a GPU the look would wait for the device.
    if not xp.on_gpu() and labels.size and not 0 <= labels.min() <= labels.max() < classes:
        got = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"{owner}: got {got} for {name}, wanted 0 to {classes - 1}")
