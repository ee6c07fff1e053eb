"""An object with forward, backward and parameters, which it keeps in a way of its own, as a Subject."""

import copy
from dataclasses import dataclass

import numpy

from scratchgan.gradcheck.plain import Subject


def of_owner(owner, functions, **about):
    """Return a Subject whose calls work on copies of an object; functions(take) gives start and finish on take()."""

    def live():
        own = copy.deepcopy(owner)
        return subject(lambda: own)

    def subject(take):
        return Subject(*functions(take), live, **about)

    return subject(lambda: copy.deepcopy(owner))


def of_object(owner, args):
    """Adapt an object with y = forward(x) or (y, cache), backward(dy) or backward(dy, cache), and parameters.

    Parameters are found as `params` or `parameters` (an attribute or a method): a dict of arrays with its gradients
    in `grads`, or objects with a value (data) and a grad; else as attributes such as W that have a dW, or a W_grad.
    """
    trial = copy.deepcopy(owner)
    y, cache = pair(trial.forward(*args))
    try:
        trial.backward(numpy.ones_like(y), *([] if cache is None else [cache]))
        slots = find_parameters(trial)
    except Exception:  # it will be raised again where it is looked for
        slots = find_parameters(owner, array_names(owner))
    names, count = tuple(slots), len(args)

    def functions(take):
        def start(*values):
            own = take()
            own_slots = find_parameters(own, names)
            for name, value in zip(names, values[count:], strict=True):
                own_slots[name].write(value.copy())
            y, cache = pair(own.forward(*values[:count]))
            return y, (own, cache)

        def finish(dy, tape):
            own, cache = tape
            if hasattr(own, "zero_grad"):
                own.zero_grad()
            dx = own.backward(dy) if cache is None else own.backward(dy, cache)
            dx = dx if isinstance(dx, tuple | list) else (dx,)
            return (*dx[:count], *[slot.gradient() for slot in find_parameters(own, names).values()])

        return start, finish

    values = {name: numpy.array(slot.read()) for name, slot in slots.items()}
    return of_owner(owner, functions, interleaves=cache is not None, inputs=count), values


@dataclass
class Slot:
    """Where an object keeps a parameter: holder[key] in a dict, holder.key in another object, or owner.key."""

    owner: object
    holder: object
    key: str

    def read(self):
        return self.holder[self.key] if isinstance(self.holder, dict) else getattr(self.holder, self.key)

    def write(self, value):
        if isinstance(self.holder, dict):
            self.holder[self.key] = value
        else:
            setattr(self.holder, self.key, value)

    def gradient(self):
        """Return grads[key], holder.grad, or owner.dkey as people call it; None if there is none."""
        if isinstance(self.holder, dict):
            names = [name for name in ("grads", "gradients", "grad") if hasattr(self.owner, name)]
            if not names:
                raise TypeError("params is a dict of arrays: there must be a dict grads with the same keys")
            grads = getattr(self.owner, names[0])
            grads = grads() if callable(grads) else grads
            return grads.get(self.key, grads.get(f"d{self.key}"))
        names = GRADIENTS if self.holder is self.owner else ("grad",)
        return next((g for name in names if (g := getattr(self.holder, name.format(self.key), None)) is not None), None)


GRADIENTS = ("d{}", "{}_grad", "grad_{}", "d_{}")  # how people call the gradient of an attribute


def find_parameters(owner, names=None):
    """Return {name: Slot} for an object's parameters; `names` says which, where a gradient may not be there yet."""
    held = next((getattr(owner, name) for name in ("params", "parameters") if hasattr(owner, name)), None)
    held = held() if callable(held) else held
    if isinstance(held, dict) and all(hasattr(value, "dtype") for value in held.values()):
        return {name: Slot(owner, held, name) for name in held}
    if held:
        parts = list(held.items() if isinstance(held, dict) else ((f"p{i}", part) for i, part in enumerate(held)))
        if not all(hasattr(part, "value") or hasattr(part, "data") for _, part in parts):
            raise TypeError("params holds neither arrays, beside a dict grads, nor objects with a value and a grad")
        kind = lambda part: "value" if hasattr(part, "value") else "data"
        own = [getattr(part, "name", None) for _, part in parts]
        names = [one if one and own.count(one) == 1 else name for one, (name, _) in zip(own, parts, strict=True)]
        return {name: Slot(owner, part, kind(part)) for name, (_, part) in zip(names, parts, strict=True)}
    if names is None:
        names = [name for name in array_names(owner) if Slot(owner, owner, name).gradient() is not None]
    return {name: Slot(owner, owner, name) for name in names}


def array_names(owner):
    return [name for name, value in getattr(owner, "__dict__", {}).items() if hasattr(value, "dtype")]


def pair(result):
    """Return (y, cache) of what a forward returned."""
    return result if isinstance(result, tuple) else (result, None)
