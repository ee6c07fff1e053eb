"""What a planted bug is: an operation with its right backward, and a backward of which one gradient is replaced."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Operation:
    """y = forward(*args) with its right backward(dy, *args), a gradient for each of the differentiated `names`."""

    name: str
    names: tuple  # of all arguments; those that have a gradient come first
    make: Callable  # make(rng) -> args
    forward: Callable
    backward: Callable
    second_order: bool = False


@dataclass
class Bug:
    """A broken backward: `wrong[name](dy, *args)` takes the place of the right gradient. text: "is ..." or so."""

    operation: Operation
    kind: str
    text: str
    wrong: dict

    def backward(self, dy, *args):
        """Return the gradients, the wrong ones among them."""
        right = self.operation.backward(dy, *args)
        return tuple(
            self.wrong[name](dy, *args) if name in self.wrong else gradient
            for name, gradient in zip(self.operation.names, right, strict=False)
        )
