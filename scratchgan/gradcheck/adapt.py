"""Bring code to be checked into one form, whatever its own: start(*args) -> y, tape; finish(dy, tape) -> gradients."""

import copy
import inspect
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy


@dataclass
class Subject:
    """Code to be checked. Both functions take and return arrays of the code's own kind.

    live: returns a Subject that keeps using one object, as its owner would; for plain functions, the same again.
    upstream: whether there is a dy; a loss with its gradient has none, and its dy counts as 1.
    interleaves: whether a tape outlives the next forward; objects that keep their activations do not promise that.
    """

    start: Callable
    finish: Callable
    live: Callable
    upstream: bool = True
    interleaves: bool = True
    second_order: bool = False  # where None means zero
    inputs: int | None = None  # how many arguments belong to a call; the others, parameters, outlive it; None: all


def subject_of(forward, backward, args, names):
    """Return (Subject, arguments, names) for what `check` was given; see there. Raises TypeError with advice."""
    if backward is not None and not callable(backward) and args is None:
        backward, args = None, backward  # check(layer, x)
    if args is None:
        raise TypeError("check(forward, backward, args) or check(layer, x): there are no arguments to check at")
    args = tuple(args) if isinstance(args, list | tuple) else (args,)
    if hasattr(forward, "forward") and hasattr(forward, "backward"):
        subject, parameters = of_layer(forward) if hasattr(forward, "named_params") else of_object(forward, args)
        names = tuple(names or ("x", *[f"x{i}" for i in range(2, len(args) + 1)]))
        args, names = args + tuple(parameters.values()), names + tuple(parameters)
    else:
        subject = of_functions(forward, backward, args)
        names = tuple(names or parameter_names(forward, len(args)))
    if len(names) != len(args):
        raise TypeError(f"{len(names)} names, {names}, for {len(args)} arguments")
    return subject, args, names


# ---- functions -------------------------------------------------------------------------------------------


def of_functions(forward, backward, args):
    """Adapt forward -> y, backward(dy, *args); forward -> (y, cache), backward(dy, cache); loss, grad(*args).

    Without a backward, forward returns (value, gradients...), as the functions of scratchgan.losses do.
    """
    result = forward(*args)
    caches, y = isinstance(result, tuple), result[0] if isinstance(result, tuple) else result
    if backward is None and not caches:
        raise TypeError("there is no backward, and forward does not return (value, gradients...)")
    if backward is not None and caches and len(result) != 2:
        raise TypeError(f"forward returned {len(result)} things, wanted y, or (y, cache)")
    upstream = caches or numpy.size(to_host(y)) != 1 or not is_gradient(backward, args)

    def start(*args):
        result = forward(*args)
        return (result[0], result[1:]) if caches else (result, args)

    def finish(dy, tape):
        if backward is None:
            return tape
        return backward(dy, *tape) if upstream else backward(*tape)

    subject = Subject(start, finish, lambda: subject, upstream and backward is not None)
    return subject


def is_gradient(function, args):
    """Whether a function takes the arguments alone, and no dy: the gradient of a loss."""
    parameters = positional(function)
    if parameters is not None:
        return sum(p.default is p.empty for p in parameters) == len(args)
    try:  # it takes any number
        found = function(*args)
    except Exception:  # the code under test may refuse in any way
        return False
    found = found if isinstance(found, tuple | list) else (found,)
    return [numpy.shape(g) for g in found] == [numpy.shape(a) for a in args]


def positional(function):
    """Return the parameters that a function takes by position; None if that cannot be known, or is any number."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return None
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def parameter_names(function, count):
    """Return the names of a function's first arguments; where they cannot be known, x0, x1, ..."""
    named = [p.name for p in positional(function) or []]
    return named[:count] if len(named) >= count else [f"x{i}" for i in range(count)]


# ---- objects ---------------------------------------------------------------------------------------------


def of_owner(owner, functions, **about):
    """Return a Subject whose calls work on copies of an object; functions(take) gives start and finish on take()."""

    def live():
        own = copy.deepcopy(owner)
        return subject(lambda: own)

    def subject(take):
        return Subject(*functions(take), live, **about)

    return subject(lambda: copy.deepcopy(owner))


def of_layer(layer, second_order=False):
    """Adapt a layer of scratchgan: (Subject, {name: parameter}); its second order is the map (dy, x, W) -> dx."""

    def functions(take):
        def start(*args):
            own, given = prepared(take(), args)
            y, tape = own.forward(given[-1])
            if second_order:
                y = own.backward(tape, given[0], grads=False)
            return y, (own, tape, given, [a.dtype for a in args])

        def finish(dy, tape):
            own, inner, (*given, x), kinds = tape
            own.zero_grad()
            found = own.double_backward(inner, *given, dy) if second_order else (own.backward(inner, dy),)
            found = (*found, *[param.grad.copy() for param in own.params()])
            fit = lambda g, kind: g.astype(kind) if g is not None and g.dtype == x.dtype and kind.kind == "f" else g
            return tuple(fit(g, kind) for g, kind in zip(found, kinds, strict=True))  # `prepared` widens some

        return start, finish

    parameters = {name: param.value for name, param in layer.named_params().items()}
    return of_owner(layer, functions, second_order=second_order, inputs=1 + second_order), parameters


def prepared(layer, args):
    """Write the last of args into a layer's parameters; return it and the others, in the widest of their dtypes."""
    kinds = [a.dtype for a in args if a.dtype.kind in "fc"]
    dtype = numpy.result_type(*kinds)
    if any(param.value.dtype != dtype for param in layer.params()):
        layer.astype(dtype)
    count = len(args) - len(layer.params())
    for param, value in zip(layer.params(), args[count:], strict=True):
        param.value[...] = value
    return layer, [a.astype(dtype) if a.dtype.kind in "fc" else a for a in args[:count]]


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
            found = find_parameters(own, names)
            for name, value in zip(names, values[count:], strict=True):
                found[name].write(value.copy())
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


# ---- code that is not NumPy's ----------------------------------------------------------------------------


def torch_module(module, *inputs):
    """Return (forward, backward, args, names) of a PyTorch module, for `check`: inputs, then its parameters.

    Its autograd, or the backward of an autograd.Function inside, is what is checked.
    """
    import torch

    parameters = dict(module.named_parameters())

    def tensors(args, grad):
        made = [torch.from_numpy(numpy.array(a)) for a in args]
        made = [t.requires_grad_(grad) if t.is_floating_point() else t for t in made]
        values = dict(zip(parameters, made[len(inputs) :], strict=True))
        return made, torch.func.functional_call(module, values, tuple(made[: len(inputs)]))

    def forward(*args):
        with torch.no_grad():
            return tensors(args, False)[1].numpy()

    def backward(dy, *args):
        made, y = tensors(args, True)
        y.backward(torch.from_numpy(numpy.array(dy)).to(y.dtype))
        return tuple(None if t.grad is None else t.grad.numpy() for t in made)

    args = [t.detach().cpu().numpy() for t in (*inputs, *parameters.values())]
    return forward, backward, args, [*(f"x{i}" for i in range(len(inputs))), *parameters]


def program(command, names):
    """Return (forward, backward) of a program that is run as `command in.npz out.npz`.

    It reads the arguments by these names, and dy where gradients are wanted; it writes y, or dx for an argument x.
    """

    def run(arrays):
        with tempfile.TemporaryDirectory() as folder:
            given, result = Path(folder, "in.npz"), Path(folder, "out.npz")
            numpy.savez(given, **arrays)
            done = subprocess.run([*command, str(given), str(result)], capture_output=True, text=True)
            if done.returncode or not result.exists():
                raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
            with numpy.load(result) as found:
                return {name: found[name] for name in found.files}

    def forward(*args):
        return run(dict(zip(names, args, strict=True)))["y"]

    def backward(dy, *args):
        found = run({**dict(zip(names, args, strict=True)), "dy": dy})
        return tuple(found.get(f"d{name}") for name in names)

    return forward, backward


def to_host(x):
    """Return an array of any kind as NumPy's; from a GPU, copied."""
    return x.get() if hasattr(x, "get") and not isinstance(x, numpy.ndarray | dict) else numpy.asarray(x)


def to_kind_of(example):
    """Return a function that turns NumPy's arrays into arrays of the example's kind: CuPy's or NumPy's."""
    if isinstance(example, numpy.ndarray) or not hasattr(example, "get"):
        return lambda x: x
    if type(example).__module__.startswith("cupy"):
        return sys.modules["cupy"].asarray
    from scratchgan import xp  # the array module that is in use stands for the device

    return xp.asarray
