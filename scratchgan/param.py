"""Param: a value and its gradient. flatten: many Params in two contiguous arrays, for whoever works on all at once.

Then weights that a layer computes with, but that an optimizer does not move directly: Spectral and WeightNorm.
"""

import copy

from scratchgan import xp


class Param:
    """A trainable array `value` and the gradient `grad` of a loss with respect to it: two arrays of one shape.

    Gradients ADD UP, over calls of `backward`, until an optimizer's step clears them. Write into the arrays
    (`param.value[...] = x`); do not replace them: an optimizer holds on to the arrays themselves.

    A layer computes with `effective()` and hands that array's gradient to `accumulate`: for a plain Param they are
    `value` and `grad`; `Spectral` and `WeightNorm` put a function between.

    `direction`, None as a rule, is how `value` moves while `double_backward` looks: see `Flat.move`.
    """

    direction = None

    def __init__(self, value):
        self.value = xp.asarray(value)
        self.grad = xp.zeros_like(self.value)
        self.flat = None  # the Flat whose arrays hold ours, once there is one

    def __repr__(self):
        return f"Param{self.value.shape} of {self.value.dtype}"

    def __deepcopy__(self, memo):
        twin = copy.copy(self)  # a copy lives in no Flat, and nothing has been added to its grad
        twin.value, twin.grad, twin.flat = self.value.copy(), xp.zeros_like(self.value), None
        for name, part in self.inner().items():
            setattr(twin, name, copy.deepcopy(part, memo))
        return twin

    def effective(self):
        """Return the array that a layer computes with."""
        return self.value

    def accumulate(self, gradient):
        """Add to `grad`, given the gradient with respect to `effective()`."""
        self.grad += gradient

    def stepped(self):
        """Take notice that an optimizer has moved `value`; each optimizer says so once in a step."""

    def inner(self):
        """Return {name: part}: Params and arrays besides value and grad; they are saved and copied with a network."""
        return {name: part for name, part in vars(self).items() if name not in ("value", "grad", "flat", "direction")}

    def astype(self, dtype):
        """Convert value and grad to another dtype."""
        if self.flat is not None:
            raise ValueError(f"{self!r} belongs to an optimizer or EMA: call astype before making those")
        self.value, self.grad = self.value.astype(dtype), self.grad.astype(dtype)


class Flat(Param):
    """The values of several Params in one contiguous array, and all their grads in another.

    Each Param's arrays become views into the two. An optimizer's step, clearing, clipping and an average are
    then a few operations on two arrays, however many layers a network has. Make it with `flatten`.
    """

    def __init__(self, parts):
        super().__init__(xp.concatenate([part.value.ravel() for part in parts]))
        self.grad[...] = xp.concatenate([part.grad.ravel() for part in parts])
        self.parts = parts
        start = 0
        for part in parts:
            stop = start + part.value.size
            shape = part.value.shape
            part.value = self.value[start:stop].reshape(shape)
            part.grad = self.grad[start:stop].reshape(shape)
            part.flat = self
            start = stop
        self.views = [(part.value, part.grad) for part in parts]

    def move(self, direction):
        """Give each part its share of a flat array as its direction; None takes the directions back."""
        start = 0
        for part in self.parts:
            stop = start + part.value.size
            part.direction = None if direction is None else direction[start:stop].reshape(part.value.shape)
            start = stop

    def check(self):
        """Raise if somebody has replaced an array of a part: changes of it would be lost in silence."""
        for part, (value, grad) in zip(self.parts, self.views, strict=True):
            if part.value is not value or part.grad is not grad:
                raise ValueError(
                    f"an array of {part!r} was replaced after the optimizer was made: "
                    "write into it instead (param.value[...] = x, param.grad[...] = g)"
                )


def flatten(params):
    """Return the Flat of these Params: the one they already form, or a new one.

    Raises ValueError where the Params are none, of several dtypes, or already part of a different Flat.
    """
    params = list(params)
    if not params:
        raise ValueError("there are no Params: a network without weights has nothing to optimize")
    flat = params[0].flat
    if flat is not None and len(flat.parts) == len(params):
        if all(one is other for one, other in zip(flat.parts, params, strict=True)):
            return flat
    for param in params:
        if param.flat is not None:
            raise ValueError(
                f"{param!r} already belongs to an optimizer with other Params: "
                "give one optimizer all Params that any of its steps shall move"
            )
        if param.value.dtype != params[0].value.dtype:
            raise ValueError(f"Params of two dtypes, {params[0].value.dtype} and {param.value.dtype}: use net.astype")
    if len({id(param) for param in params}) < len(params):
        raise ValueError("a Param is listed twice: it would be moved twice; net.params() lists each once")
    return Flat(params)


# ---- weights that are functions of others ----------------------------------------------------------------


class Spectral(Param):
    """A weight divided by its largest singular value, so that its layer cannot stretch: W / sigma (Miyato et al. 2018).

        sigma = u^T M v,  u <- M v / |M v|,  v <- M^T u / |M^T u|        (algorithm 1), M = W as (inputs, outputs)

    One power iteration after each step of the optimizer, so that all forwards within a step agree; 30 at the start.
    exact=True takes u and v from a full SVD at both times. Within a step they are constants, while sigma moves with W:
    with E the gradient at W / sigma, that at W is (E - <E, W / sigma> u v^T) / sigma (eq. 12), which is also the exact
    derivative once u and v have converged. A ConvTranspose's M is that of the convolution it is the adjoint of.
    Raises ValueError for a W of zeros.
    """

    def __init__(self, param, *, rng, exact=False):
        super().__init__(param.value)
        if not self.value.any():
            raise ValueError(f"{self!r} is all zeros: it has no largest singular value to be divided by")
        self.exact = exact
        M = self.matrix()
        self.v = normalized(xp.to_device(rng.standard_normal(M.shape[1]), dtype=M.dtype))  # (outputs,)
        self.u = normalized(M @ self.v)  # (inputs,)
        for _ in range(1 if exact else 30):
            self.stepped()

    def matrix(self):
        """Return W as (inputs, outputs): its last axis against all others."""
        return self.value.reshape(-1, self.value.shape[-1])

    def stepped(self):
        M = self.matrix()
        if self.exact:
            U, _, Vh = xp.linalg.svd(M, full_matrices=False)
            self.u[...], self.v[...] = U[:, 0], Vh[0]
        else:
            self.u[...] = normalized(M @ self.v)
            self.v[...] = normalized(M.T @ self.u)

    def sigma(self):
        """Return the estimate of the largest singular value, a 0-d array: never above the true one."""
        return self.u @ self.matrix() @ self.v

    def effective(self):
        return self.value / self.sigma()

    def accumulate(self, gradient):
        sigma = self.sigma()
        slope = (gradient * self.value).sum() / sigma  # <E, W / sigma>
        rank_one = xp.outer(self.u, self.v).reshape(self.value.shape)
        self.grad += (gradient - slope * rank_one) / sigma


class WeightNorm(Param):
    """A weight by its lengths and directions: W = g V / |V|, a length for each output (Salimans & Kingma 2016, eq. 2).

    V is `value`; g, (outputs,), a Param of its own, is |V| at first. |V| is taken over all axes but the last, which is
    that of the inputs in a ConvTranspose. With E the gradient at W, that at g is <E, V> / |V|, and that at V is
    (g / |V|) (E - (<E, V> / |V|^2) V) (eq. 3). Raises ValueError where a vector of V is all zeros.
    """

    def __init__(self, param):
        super().__init__(param.value)
        if not self.length().all():
            raise ValueError(f"{self!r} has zeros for all weights of an output: they have no direction to be kept")
        self.g = Param(self.length())

    def length(self):
        """Return |V|, (outputs,)."""
        rows = self.value.reshape(-1, self.value.shape[-1])
        return xp.sqrt((rows * rows).sum(0))

    def effective(self):
        return self.value * (self.g.value / self.length())

    def accumulate(self, gradient):
        length = self.length()
        outputs = self.value.shape[-1]
        slope = (gradient * self.value).reshape(-1, outputs).sum(0) / length
        self.g.grad += slope
        self.grad += (gradient - self.value * (slope / length)) * (self.g.value / length)


def normalized(x):
    """Return x / |x|; zeros stay zeros."""
    return x / (xp.sqrt((x * x).sum()) + 1e-30)


def spectral_norm(net, *, rng, exact=False):
    """Make every weight W in a layer, or a network, `Spectral`; return it. Biases and gains stay as they are."""
    return replace_weights(net, lambda param: Spectral(param, rng=rng, exact=exact))


def weight_norm(net):
    """Make every weight W in a layer, or a network, a `WeightNorm`; return the network. It computes what it did."""
    return replace_weights(net, WeightNorm)


def replace_weights(net, make):
    """Put make(W) in the place of each Param W in a network; one that stands in two places stays one."""
    made = {}
    places = [(layer, param) for _, layer, name, param in net.attributes(Param) if name == "W"]
    for layer, param in places:
        if type(param) is not Param:
            raise ValueError(f"the W of {layer!r} is a {type(param).__name__} already: normalise a weight once")
        if param.flat is not None:
            raise ValueError(f"the W of {layer!r} belongs to an optimizer or EMA: normalise it before making those")
        if param not in made:
            made[param] = make(param)
    for layer, param in places:  # none of them, if one was refused
        layer.W = made[param]
    return net


def clip(net, limit):
    """Clip every Param of a network to [-limit, limit], in place (Arjovsky et al. 2017, algorithm 1, line 7)."""
    if not limit > 0:
        raise ValueError(f"clip: limit is {limit}, wanted a number above 0")
    for param in net.params():
        xp.clip(param.value, -limit, limit, out=param.value)
