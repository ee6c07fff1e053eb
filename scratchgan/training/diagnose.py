"""Where did the first NaN come from? Replay the steps since all was well, and look at every number on its way.

Layers have no hooks for this: a hook would stand in the way of everyone who reads a layer, and looking at every
number would make every step wait for the GPU. Instead, the methods of each layer are wrapped, on the instances and
during the replay only. The replay meets the same numbers, since a state holds the random ones too.
"""

import contextlib

from scratchgan import walk, xp
from scratchgan.layers import Layer
from scratchgan.optim import Optimizer
from scratchgan.training.state import first_not_finite

METHODS = ("forward", "pull", "accumulate", "backward", "double_backward")


class NotFinite(Exception):
    """A number is not finite; the text tells where."""


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
                name = first_not_finite(model.state(), model.as_built)
                if name:
                    raise NotFinite(f"{name}, after a step whose layers and optimizers are finite")
    except NotFinite as error:
        return step, str(error)
    return None


@contextlib.contextmanager
def watching(model):
    """Within the `with` block, every layer and optimizer of a model raises NotFinite where a number is not finite."""
    layers = [(f"{path} {layer!r}", layer) for path, layer in walk.find(vars(model), Layer)]
    optimizers = list(walk.find(vars(model), Optimizer))
    # A Param is named after the innermost layer that has it, which comes after those around it.
    fine = not_nan if model.as_built and model.as_built.infinite else all_finite
    names = {id(param): f"{name}, its {key}" for name, layer in layers for key, param in layer.named_params().items()}
    try:
        for name, layer in layers:
            watch_layer(name, layer, fine)
        for name, optimizer in optimizers:
            watch_optimizer(name, optimizer, names)
        yield
    finally:
        for _, layer in layers:
            for method in METHODS:
                vars(layer).pop(method, None)
        for _, optimizer in optimizers:
            vars(optimizer).pop("step", None)


def watch_layer(name, layer, fine):
    """Wrap the methods of one layer; fine: what arrays on the way up must be, which a mask of -inf may go through."""

    def watch(method, inputs, outputs=None):
        original = getattr(layer, method)
        position = 0 if method == "forward" else -1  # of x; of dy or ddx, which come after a tape
        wanted = fine if method == "forward" else all_finite

        def watched(*arguments, **keywords):
            demand_finite(arguments[position], f"{inputs} {name} in {method}", wanted)
            result = original(*arguments, **keywords)
            if outputs:
                # Of a tape, and of what `pull` keeps, the numbers are those that were looked at.
                result_alone = result[0] if method in ("forward", "pull") else result
                demand_finite(result_alone, f"{outputs} {name} in {method}", wanted)
            if method in ("accumulate", "backward", "double_backward"):
                for key, param in layer.named_params().items():
                    demand_finite(param.grad, f"the gradient of {key} of {name} in {method}")
            return result

        setattr(layer, method, watched)

    watch("forward", "what goes into", "the output of")
    watch("pull", "the gradient that comes to", "the gradient dx of")
    watch("accumulate", "the gradient that comes to")
    watch("backward", "the gradient that comes to", "the gradient dx of")
    watch("double_backward", "what goes into", "the result of")


def watch_optimizer(name, optimizer, names):
    """Wrap the step of one optimizer; names: what to call a Param, by its id."""
    original = optimizer.step

    def watched():
        demand_finite(optimizer.flat.grad, f"the gradient before the step of the optimizer {name}")
        original()
        for param in optimizer.flat.params:
            where = names.get(id(param), repr(param))
            demand_finite(param.value, f"the weight of {where}, after the step of the optimizer {name}")
        bad = first_not_finite({f"{name}/{key}": array for key, array in optimizer.state().items()})
        if bad:
            raise NotFinite(f"{bad}, after the step of the optimizer {name}")

    optimizer.step = watched


def all_finite(array):
    """Whether no number of an array is a NaN or an infinity."""
    return bool(xp.isfinite(array).all())


def not_nan(array):
    """Whether no number of an array is a NaN."""
    return not bool(xp.isnan(array).any())


def demand_finite(value, where, fine=all_finite):
    """Raise NotFinite if an array, or one in a list or tuple, holds a number that is not finite."""
    if isinstance(value, list | tuple):
        for part in value:
            demand_finite(part, where, fine)
    elif isinstance(value, xp.ndarray) and value.dtype.kind in "fc" and not fine(value):
        raise NotFinite(where)
