"""What the parts of the checker hand to each other: plain types, which import nothing of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy

AGREE, WRONG, UNRESOLVED = "AGREE", "WRONG", "UNRESOLVED"


@dataclass
class Subject:
    """Code to be checked, and where: begin(own, args) -> y, tape; finish(dy, tape) -> gradients, one for each of args.

    All arrays are of the code's own kind.
    take: returns the object to work on, a copy for each call.
    upstream: whether there is a dy; a loss with its gradient has none, and its dy counts as 1.
    interleaves: whether a tape outlives the next forward; objects that keep their activations do not promise that.
    """

    take: Callable
    begin: Callable
    finish: Callable
    args: tuple
    names: tuple
    upstream: bool = True
    interleaves: bool = True
    second_order: bool = False
    none_is_zero: bool = False  # whether a gradient may be None
    inputs: int | None = None  # how many arguments belong to a call; the others, parameters, outlive it; None: all
    manners: Callable | None = None  # manners(tape, dy) -> findings that only this kind of code can give
    notes: tuple = ()  # what was not found or is not checked, as sentences for the report's first lines

    def start(self, *args):
        """Return y and a tape."""
        return self.begin(self.take(), args)

    def live(self):
        """Return a Subject that keeps using one object, as its owner would."""
        own = self.take()
        return replace(self, take=lambda: own)


@dataclass
class Worst:
    """The entry that is furthest from its numeric value; `error` is the numeric estimate's own."""

    argument: str
    index: tuple
    yours: float
    numeric: float
    error: float


@dataclass
class Cause:
    """What may be wrong. exact: the numbers match to rounding; else they are only consistent with it.

    kind: a short, stable word for the kind of bug, such as "scale", "sign" or "transposed".
    """

    text: str
    exact: bool
    kind: str


class Skipped(NamedTuple):
    """An entry that was not judged: a kink, or a jump (whose slopes have no limit), with its one-sided slopes."""

    argument: str
    index: tuple
    left: float
    right: float


@dataclass
class Comparison:
    """One argument's gradient: yours, the numeric one, and what is known of the difference, entry by entry.

    With `directions`, an entry is the gradient's projection on one random direction. `checked` says which entries
    could be judged, `tolerance` how large |yours - numeric| may be: the numeric estimate's error, and rounding. All
    arrays have one shape, but `yours` keeps a wrong one.
    """

    name: str
    yours: numpy.ndarray
    numeric: numpy.ndarray
    error: numpy.ndarray
    checked: numpy.ndarray
    verdict: str
    tolerance: numpy.ndarray | None = None
    skipped: numpy.ndarray | None = None  # bool: at a kink or a jump; other unchecked: unresolved
    outside: numpy.ndarray | None = None  # bool: skipped, and yours is not between the slopes

    def excess(self):
        """Return |yours - numeric| / tolerance, with inf for a yours that is not finite; 0 where not checked."""
        if numpy.shape(self.yours) != self.checked.shape:  # a gradient of the wrong shape
            return numpy.where(self.checked, numpy.inf, 0.0)
        tolerance = self.error if self.tolerance is None else self.tolerance
        with numpy.errstate(all="ignore"):
            ratio = numpy.abs(self.yours - self.numeric) / numpy.maximum(tolerance, 1e-300)
        return numpy.where(self.checked, numpy.where(numpy.isfinite(self.yours), ratio, numpy.inf), 0.0)

    def unresolved(self):
        """Return which entries could not be judged, though they are at no kink or jump."""
        return ~self.checked if self.skipped is None else ~self.checked & ~self.skipped

    def wrong(self):
        """Return which entries are wrong, as an array of bool."""
        return self.excess() > 1


@dataclass
class Context:
    """What the rules that look for causes may see, besides a Comparison. All arrays are NumPy's."""

    args: tuple  # the inputs, in order
    names: tuple
    dy: numpy.ndarray  # the upstream gradient
    y: numpy.ndarray
    forward: Callable  # forward(*args) -> y, without side effects
    backward: Callable  # backward(dy, *args) -> tuple of gradients, as the code under test returns them
    comparisons: dict  # {name: Comparison}
    second_order: bool = False
    upstream: bool = True  # whether backward takes a dy; the dy of a loss with its gradient counts as 1
