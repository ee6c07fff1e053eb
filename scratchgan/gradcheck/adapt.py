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
        args, names = args + tuple(parameters.values()), names + tuple(parameters)[: len(parameters)]
    else:
        subject = of_functions(forward, backward, args)
        names = tuple(names or parameter_names(forward, len(args)))
    if len(names) != len(args):
        raise TypeError(f"{len(names)} names, {names}, for {len(args)} arguments")
    return subject, args, names


# ---- functions -------------------------------------------------------------------------------------------


def of_functions(forward, backward, args):
    """Adapt forward -> y with backward(dy, *args); forward -> (y, cache) with backward(dy, cache); loss with grad(*args).

    Without a backward, forward returns (value, gradients...), as the functions of scratchgan.losses do.
    """
    result = forward(*args)
    caches, size = isinstance(result, tuple), numpy.size(to_host(result[0] if isinstance(result, tuple) else result))
    if backward is None and not caches:
        raise TypeError("there is no backward, and forward does not return (value, gradients...)")
    if backward is not None and caches and len(result) != 2:
        raise TypeError(f"forward returned {len(result)} things, wanted y, or (y, cache)")
    upstream = caches or size != 1 or not is_gradient(backward, args)

    def start(*args):
        result = forward(*args)
        return (result[0], result[1:]) if caches else (result, args)

    def finish(dy, tape):
        if backward is None:
            return tape[0] if len(tape) == 1 else tape
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


def of_layer(layer, second_order=False):
    """Adapt a layer of scratchgan: (Subject, {name: parameter}); every call works on a copy of the layer."""
    functions = second_order_functions if second_order else first_order_functions

    def live():
        own = copy.deepcopy(layer)
        return subject(lambda: own)

    def subject(take):
        return Subject(*functions(take), live, second_order=second_order, inputs=1 + second_order)

    parameters = {name: param.value for name, param in layer.named_params().items()}
    return subject(lambda: copy.deepcopy(layer)), parameters


def first_order_functions(take):
    """Return start and finish for the layer that take() returns: (x, parameters...) -> y."""

    def start(x, *values):
        own, x = prepared(take(), x, values)
        y, tape = own.forward(x)
        return y, (own, tape)

    def finish(dy, tape):
        own, inner = tape
        own.zero_grad()
        dx = own.backward(inner, dy)
        return (dx, *[param.grad.copy() for param in own.params()])

    return start, finish


def second_order_functions(take):
    """Return start and finish for the layer that take() returns: (dy, x, parameters...) -> dx."""

    def start(dy, x, *values):
        own, x = prepared(take(), x, values)
        dy = dy.astype(x.dtype)
        tape = own.forward(x)[1]
        return own.backward(tape, dy, grads=False), (own, tape, dy)

    def finish(ddx, tape):
        own, inner, dy = tape
        own.zero_grad()
        ddy, bend = own.double_backward(inner, dy, ddx)
        return (ddy, bend, *[param.grad.copy() for param in own.params()])

    return start, finish


def prepared(layer, x, values):
    """Write values into a layer's parameters; return it and x, all of the widest of their dtypes."""
    kinds = [v.dtype for v in (x, *values) if v.dtype.kind in "fc"]
    dtype = numpy.result_type(*kinds) if kinds else x.dtype
    if any(param.value.dtype != dtype for param in layer.params()):
        layer.astype(dtype)
    for param, value in zip(layer.params(), values, strict=True):
        param.value[...] = value
    return layer, x.astype(dtype) if x.dtype.kind in "fc" else x


def of_object(owner, args):
    """Adapt an object with y = forward(x) or (y, cache), backward(dy) or backward(dy, cache), and parameters.

    Parameters are found as `params` or `parameters` (an attribute or a method): a dict of arrays with its gradients
    in `grads`, or objects with a value (data) and a grad; else as attributes such as W that have a dW, or a W_grad.
    """
    trial = copy.deepcopy(owner)
    y, cache = pair(trial.forward(*args))
    caches = cache is not None
    try:
        trial.backward(numpy.ones_like(y), *([cache] if caches else []))
        slots = find_parameters(trial)
    except Exception:  # it will be raised again where it is looked for
        slots = find_parameters(owner, [n for n, value in vars(owner).items() if hasattr(value, "dtype")])
    values = {name: numpy.array(slot.value) for name, slot in slots.items()}

    def subject(take):
        functions = object_functions(take, len(args), tuple(slots), caches)
        return Subject(*functions, live, interleaves=caches, inputs=len(args))

    def live():
        own = copy.deepcopy(owner)
        return subject(lambda: own)

    return subject(lambda: copy.deepcopy(owner)), values


def object_functions(take, count, names, caches):
    """Return start and finish for the object that take() returns: (inputs, parameters...) -> y."""

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
        dx = own.backward(dy, cache) if caches else own.backward(dy)
        dx = dx if isinstance(dx, tuple | list) else (dx,)
        return (*dx[:count], *[slot.gradient() for slot in find_parameters(own, names).values()])

    return start, finish


@dataclass
class Slot:
    """Where an object keeps a parameter: its value, how to write one, and how to get its gradient."""

    value: numpy.ndarray
    write: Callable
    gradient: Callable


def find_parameters(owner, names=None):
    """Return {name: Slot} for the parameters of an object; `names` says which, where a gradient may not be there yet."""
    held = next((getattr(owner, name) for name in ("params", "parameters") if hasattr(owner, name)), None)
    held = held() if callable(held) else held
    if isinstance(held, dict) and all(hasattr(value, "dtype") for value in held.values()):
        return {name: in_dict(owner, held, name) for name in held}
    if held:
        parts = held.items() if isinstance(held, dict) else [(f"p{i}", part) for i, part in enumerate(held)]
        kinds = [("value" if hasattr(part, "value") else "data", name, part) for name, part in parts]
        if all(hasattr(part, kind) and hasattr(part, "grad") for kind, _, part in kinds):
            return {getattr(part, "name", None) or name: in_part(part, kind) for kind, name, part in kinds}
    arrays = {name: value for name, value in getattr(owner, "__dict__", {}).items() if hasattr(value, "dtype")}
    if names is None:
        names = [name for name in arrays if any(hasattr(owner, gradient) for gradient in gradient_names(name))]
    return {name: in_attributes(owner, name) for name in names}


def gradient_names(name):
    """Return how people call the gradient of an attribute."""
    return f"d{name}", f"{name}_grad", f"grad_{name}", f"d_{name}"


def in_dict(owner, values, name):
    def gradient():
        grads = next(getattr(owner, g) for g in ("grads", "gradients", "grad") if hasattr(owner, g))
        grads = grads() if callable(grads) else grads
        return grads.get(name, grads.get(f"d{name}"))

    return Slot(values[name], lambda value: values.__setitem__(name, value), gradient)


def in_part(part, kind):
    return Slot(getattr(part, kind), lambda value: setattr(part, kind, value), lambda: part.grad)


def in_attributes(owner, name):
    def gradient():
        return next((getattr(owner, g) for g in gradient_names(name) if hasattr(owner, g)), None)

    return Slot(getattr(owner, name), lambda value: setattr(owner, name, value), gradient)


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
