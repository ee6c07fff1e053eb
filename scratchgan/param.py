"""Param: a value and its gradient. flatten: many Params in two contiguous arrays, for whoever works on all at once."""

from scratchgan import xp


class Param:
    """A trainable array `value` and the gradient `grad` of a loss with respect to it: two arrays of one shape.

    Gradients ADD UP, over calls of `backward`, until an optimizer's step clears them. Write into the arrays
    (`param.value[...] = x`); do not replace them: an optimizer holds on to the arrays themselves.
    """

    def __init__(self, value):
        self.value = xp.asarray(value)
        self.grad = xp.zeros_like(self.value)
        self.flat = None  # the Flat whose arrays hold ours, once there is one

    def __repr__(self):
        return f"Param{self.value.shape} of {self.value.dtype}"

    def __deepcopy__(self, memo):
        return Param(self.value.copy())  # a copy lives in no Flat, and nothing has been added to its grad

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
