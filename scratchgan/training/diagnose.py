"""Where did the first NaN come from? Replay the steps since all was well, and look at every number on its way.

Layers have no hooks for this: a hook would stand in the way of everyone who reads a layer, and looking at every
number would make every step wait for the GPU. Instead, `forward` and `backward` of each layer are wrapped, on the
instances and during the replay only. The replay meets the same numbers, since a state holds the random ones too.
"""

import contextlib

from scratchgan import xp
from scratchgan.optim import Optimizer
from scratchgan.param import Param
from scratchgan.training.state import find_all, find_layers, first_not_finite


class Found(Exception):
    """A number that is not finite; its text tells where."""


def replay(model, batches, start, stop):
    """Take the steps start + 1 to stop again; return (step, where) of the first number that is not finite.

    model and batches must be as they were after step `start`. Returns None if all numbers are finite this time.
    """
    step = start
    try:
        with watching(model):
            while step < stop:
                step += 1
                for name, loss in model.step(batches).items():
                    demand_finite(xp.asarray(loss), f"the loss {name}, in a step whose layers are finite")
                name = first_not_finite(model.state())
                if name:
                    raise Found(f"{name}, after a step whose layers and optimizers are finite")
    except Found as found:
        return step, str(found)
    return None


@contextlib.contextmanager
def watching(model):
    """Within the `with` block, every layer and optimizer of a model raises Found where a number is not finite."""
    layers = {id(layer): (f"{path} {layer!r}", layer) for path, layer in find_layers(model)}
    optimizers = list(find_all(model, Optimizer))
    names = {
        id(param): f"{name}, its {key}"
        for name, layer in layers.values()
        for key, param in vars(layer).items()
        if isinstance(param, Param)
    }
    try:
        for name, layer in layers.values():
            watch_layer(name, layer)
        for name, optimizer in optimizers:
            watch_optimizer(name, optimizer, names)
        yield
    finally:
        for _, layer in layers.values():
            for method in ("forward", "backward", "double_backward"):
                vars(layer).pop(method, None)
        for _, optimizer in optimizers:
            vars(optimizer).pop("step", None)


def watch_layer(name, layer):
    """Wrap the methods of one layer."""

    def watch(method, inputs, outputs):
        original = getattr(layer, method)

        def watched(*arrays, **keywords):
            # The first argument of the backward passes is a tape, which was looked at on its way there.
            demand_finite(arrays[0 if method == "forward" else 1 :], f"{inputs} {name} in {method}")
            result = original(*arrays, **keywords)
            demand_finite(result[0] if method == "forward" else result, f"{outputs} {name} in {method}")
            if method != "forward":
                for key, param in vars(layer).items():
                    if isinstance(param, Param):
                        demand_finite(param.grad, f"the gradient of {key} of {name} in {method}")
            return result

        setattr(layer, method, watched)

    watch("forward", "what goes into", "the output of")
    watch("backward", "the gradient that comes to", "the gradient dx of")
    watch("double_backward", "what goes into", "the result of")


def watch_optimizer(name, optimizer, names):
    """Wrap the step of one optimizer; names: what to call a Param, by its id."""
    original = optimizer.step

    def watched():
        demand_finite(optimizer.flat.grad, f"the gradient before the step of the optimizer {name}")
        original()
        for param in optimizer.flat.parts:
            where = names.get(id(param), repr(param))
            demand_finite(param.value, f"the weight of {where}, after the step of the optimizer {name}")
        bad = first_not_finite({f"{name}/{key}": array for key, array in optimizer.state().items()})
        if bad:
            raise Found(f"{bad}, after the step of the optimizer {name}")

    optimizer.step = watched


def demand_finite(value, where):
    """Raise Found if an array, or one in a list or tuple, holds a number that is not finite."""
    if isinstance(value, list | tuple):
        for part in value:
            demand_finite(part, where)
    elif isinstance(value, xp.ndarray) and value.dtype.kind in "fc" and not bool(xp.isfinite(value).all()):
        raise Found(where)
