"""The exam of `checkers.py`: every planted bug and every right backward of the tests, in one form.

`wrong` holds the names of the arguments whose gradient is wrong; it is empty where a bank has no right backward.
"""

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

TESTS = Path(__file__).parent.parent / "tests"
DIFFERS = 1e-6  # of the largest entry: rounding is below, every planted bug above


class Refused(Exception):
    """A gradient without its argument's shape: any checker notices."""


class Case(NamedTuple):
    """y = forward(*args), with backward(dy, *args), or backward(*args) of a loss."""

    name: str
    forward: object
    backward: object
    args: tuple
    names: tuple
    planted: bool
    wrong: frozenset = frozenset()
    second_order: bool = False
    loss: bool = False

    def y(self, *args):
        """Return the output alone, as an array."""
        y = self.forward(*args)
        return np.asarray(y[0] if isinstance(y, tuple) else y)

    def floats(self):
        """Return the names of the arguments that have a gradient."""
        return [name for name, a in zip(self.names, self.args, strict=True) if np.asarray(a).dtype.kind == "f"]

    def gradients(self, names, dy, *args):
        """Return the named arguments' gradients, in their arguments' types."""
        found = self.backward(*args) if self.loss else self.backward(dy, *args)
        found = found if isinstance(found, tuple | list) else (found,)
        found, gradients = dict(zip(self.names, found, strict=False)), []
        for name in names:
            a = np.asarray(args[self.names.index(name)])
            gradient = np.zeros_like(a) if found.get(name) is None else np.asarray(found[name])
            if gradient.shape != a.shape:
                raise Refused(f"{self.name}: the gradient of {name} has shape {gradient.shape}")
            gradients.append((gradient * dy if self.loss else gradient).astype(a.dtype))
        return gradients

    def located(self, right):
        """Return the case with `wrong` filled in, by comparison with a right backward."""
        dy = np.random.default_rng(17).standard_normal(self.y(*self.args).shape)

        def is_wrong(name):
            try:
                ours = self.gradients([name], dy, *self.args)[0]
            except Refused:
                return True
            true = self._replace(backward=right).gradients([name], dy, *self.args)[0]
            return np.abs(ours - true).max(initial=0) > DIFFERS * np.abs(true).max(initial=0)

        return self._replace(wrong=frozenset(filter(is_wrong, self.floats())))


def bank(module):
    """Yield the cases of one bank of the tests, planted and right."""
    from gradcheck_plant import rights

    module = importlib.import_module(module)
    for case in [*module.PLANTED, *rights(module.PLANTED, module.RIGHT)]:
        planted = hasattr(case, "kinds")
        fields = case.name, case.forward, case.backward, case.args, case.names, planted, frozenset()
        found = Case(*fields, case.second_order, case.loss)
        yield found.located(case.right) if planted and case.right else found


def exam(words=None):
    """Return {bank: its cases}; words: only banks whose name contains one of them."""
    sys.path.insert(0, str(TESTS))
    from gradcheck_plant import every_bank

    wanted = [name for name in every_bank() if not words or any(word in name for word in words)]
    with np.errstate(all="ignore"):
        return {name.removeprefix("gradcheck_"): list(bank(name)) for name in wanted}
