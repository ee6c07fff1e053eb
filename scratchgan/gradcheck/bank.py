"""What a known bug is: an operation with its right backward, and a backward of which one gradient is replaced.

`recognise` finds out which operation of the bank a user's forward computes, by comparing the outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy


@dataclass
class Operation:
    """y = forward(*args) with its right backward(dy, *args), a gradient for each of the differentiated `names`."""

    name: str
    names: tuple  # of all arguments; those that have a gradient come first
    make: Callable  # make(rng) -> args
    forward: Callable
    backward: Callable
    defaults: Callable = lambda args: ()  # the last arguments, where a call has none (a bias of zeros)
    infer: Callable | None = None  # infer(x, dy/dx, y) -> the last argument, where a closure hides it (a target)
    second_order: bool = False
    layouts: list = field(default_factory=list)  # (axes of each argument, axes of y) that bring others to this one


@dataclass
class Bug:
    """A broken backward: `wrong[name](dy, *args)` takes the place of the right gradient. text: "is ..." or "has ..."."""

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


@dataclass
class Match:
    """A context whose forward is an operation of the bank, and how to translate its arrays."""

    bugs: list
    args: tuple  # the context's arguments as the operation takes them
    dy: numpy.ndarray
    axes: tuple | None  # axes of each argument, where the layout is another
    factor: float  # the context's y is so many times the operation's

    def gradient(self, bug, index):
        """Return a bug's gradient of one argument, in the context's layout."""
        wrong = bug.wrong[bug.operation.names[index]](self.factor * self.dy, *self.args)
        return wrong if self.axes is None else wrong.transpose(numpy.argsort(self.axes[index]))


def recognise(context, families):
    """Return a `Match` for each operation of the bank that gives the context's y for the context's arguments."""
    found = []
    args = [numpy.array(a) for a in context.args]
    for family, options in families:
        try:
            for chosen in options(args, numpy.asarray(context.y)):
                found += matches(family(**chosen), args, context)
        except Exception:  # shapes that do not fit this family: any error means no match
            continue
    return found


def matches(bugs, args, context):
    """Yield a `Match` for each layout and factor in which the bugs' operation gives y."""
    operation, y, dy = bugs[0].operation, numpy.asarray(context.y), numpy.asarray(context.dy, float)
    if len(args) > len(operation.names):
        return
    for axes, y_axes in [(None, None), *operation.layouts]:
        try:
            own = args if axes is None else [a.transpose(order) for a, order in zip(args, axes, strict=False)]
            wanted, upstream = (y, dy) if y_axes is None else (y.transpose(y_axes), dy.transpose(y_axes))
            for factor in factors(args[0], y):
                full = completed(operation, own, factor, context)
                with numpy.errstate(all="ignore"):
                    found = factor * numpy.asarray(operation.forward(*full))
                if wanted.shape == found.shape and numpy.allclose(found, wanted, rtol=1e-9, atol=1e-12):
                    yield Match(bugs, full, upstream, axes, factor)
                    break
        except Exception:  # as above
            continue


def factors(x, y):
    """Return what a loss may be multiplied by: it may be a sum, a mean over samples or entries, or half of that."""
    if y.ndim or not x.ndim:
        return [1.0]
    sizes = [1, len(x), x.size, x.size // x.shape[-1]]
    return [c * k for n in sizes for c in (1, 0.5, 2) for k in (1 / n, n)]


def completed(operation, args, factor, context):
    """Return the arguments, with those that the context lacks filled in by the operation."""
    if len(args) == len(operation.names):
        return args
    if operation.infer is None:
        return [*args, *operation.defaults(args)[len(args) :]]
    slope = context.comparisons[context.names[0]].numeric / factor
    slope = slope / context.dy if numpy.ndim(context.y) == 0 else slope
    return [*args, operation.infer(args[0], slope, context.y)]


def explained(e, known):
    """Yield (kind, text, exact) of the known bugs that give your gradient."""
    for match in known:
        for bug in match.bugs:
            names = bug.operation.names
            if e.index is not None and e.index < len(names) and names[e.index] in bug.wrong:
                try:
                    guess = numpy.asarray(match.gradient(bug, e.index), float)
                except Exception:  # as above: not this bug
                    continue
                if guess.shape == e.yours.shape and e.same_shape:
                    exact = e.explains(guess)
                else:
                    exact = True if guess.shape == e.yours.shape and numpy.allclose(guess, e.yours) else None
                if exact is not None:
                    yield bug.kind, f"{bug.text} ({bug.operation.name})", exact
