"""Bring code to be checked into one form, whatever its own: start(*args) -> y, tape; finish(dy, tape) -> gradients."""

import inspect
import subprocess
import tempfile
from pathlib import Path

import numpy

from scratchgan.gradcheck.arrays import to_host
from scratchgan.gradcheck.objects import of_object
from scratchgan.gradcheck.plain import Subject
from scratchgan.gradcheck.protocol import of_layer


def subject_of(forward, backward, args, names):
    """Return (Subject, arguments, names) for what `check` was given; see there. Raises TypeError with advice."""
    if backward is not None and not callable(backward) and args is None:
        backward, args = None, backward  # check(layer, x)
    if args is None:
        raise TypeError("check(forward, backward, args) or check(layer, x): there are no arguments to check at")
    args = tuple(args) if isinstance(args, list | tuple) else (args,)
    if hasattr(forward, "forward") and hasattr(forward, "backward"):
        is_layer = hasattr(forward, "named_params")
        subject, parameters = of_layer(forward, len(args)) if is_layer else of_object(forward, args)
        names = tuple(names or input_names(len(args)))
        args, names = args + tuple(parameters.values()), names + tuple(parameters)
    else:
        subject = of_functions(forward, backward, args)
        names = tuple(names or parameter_names(forward, len(args)))
    if len(names) != len(args):
        raise TypeError(f"{len(names)} names, {names}, for {len(args)} arguments")
    return subject, args, names


def input_names(count):
    """Return the names of the arrays that an object is called with: x, x2, x3, ..."""
    return ("x", *[f"x{i}" for i in range(2, count + 1)])


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
        gradients = function(*args)
    except Exception:  # the code under test may refuse in any way
        return False
    gradients = gradients if isinstance(gradients, tuple | list) else (gradients,)
    return [numpy.shape(g) for g in gradients] == [numpy.shape(a) for a in args]


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
            with numpy.load(result) as archive:
                return {name: archive[name] for name in archive.files}

    def forward(*args):
        return run(dict(zip(names, args, strict=True)))["y"]

    def backward(dy, *args):
        gradients = run({**dict(zip(names, args, strict=True)), "dy": dy})
        return tuple(gradients.get(f"d{name}") for name in names)

    return forward, backward
