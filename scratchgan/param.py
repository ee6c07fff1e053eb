"""Param: a value and its gradient."""

import copy

from scratchgan import xp


class Param:
    """A trainable array `value`, and the gradient `grad` of a loss at it: two arrays of one shape.

    Gradients ADD UP, over calls of `accumulate`, until an optimizer's step clears them. Write into
    the arrays (`param.value[...] = x`); an optimizer holds on to them, so do not replace them.

    A layer computes with `effective()` and hands that array's gradient to `accumulate`. For a plain
    Param they are `value` and `grad`; the Params of `weights.py` put a function between.
    Raises ValueError for an array without numbers.
    """

    def __init__(self, value):
        self.value = xp.asarray(value)
        if self.value.size == 0:
            raise ValueError(f"a weight of shape {self.value.shape}: its sides must be 1 or more")
        self.grad = xp.zeros_like(self.value)
        self.flat = None  # the optim.Flat whose arrays hold ours, once there is one

    def __repr__(self):
        return f"{type(self).__name__}{self.value.shape} of {self.value.dtype}"

    def __deepcopy__(self, memo):
        twin = memo[id(self)] = copy.copy(self)  # which lives in no Flat, with a grad of zeros
        twin.value, twin.grad, twin.flat = self.value.copy(), xp.zeros_like(self.value), None
        for name, part in self.parts():
            setattr(twin, name, copy.deepcopy(part, memo))
        return twin

    def __getstate__(self):
        return vars(self) | {"flat": None}  # what is pickled lives in no Flat

    def effective(self):
        """Return the array that a layer computes with."""
        return self.value

    def accumulate(self, gradient):
        """Add to `grad`, given the gradient with respect to `effective()`."""
        self.grad += gradient

    def stepped(self):
        """Take notice that an optimizer has moved `value`; each step of one says so once."""

    def parts(self):
        """Return [(name, part)] of all but value and grad: saved and copied with a network."""
        return [item for item in vars(self).items() if item[0] not in ("value", "grad", "flat")]

    def astype(self, dtype):
        """Convert value and grad to another dtype."""
        if self.flat is not None:
            raise ValueError(f"{self!r} belongs to an optimizer or EMA: call astype before that")
        self.value, self.grad = self.value.astype(dtype), self.grad.astype(dtype)
