"""The walk through a network's containers that `look` and `pytorch` share: which layer is computed, when, on what.

Layers have no hooks for this. Instead, methods of layers are replaced, on the instances and within a `with` block. Then
the network is asked to compute, and its containers hand things on as they always do.
"""

import contextlib

from scratchgan.layers import Concat, Conditional, Each, Fork, Residual, Sequential

CONTAINERS = (Sequential, Fork, Each, Conditional)


def is_container(layer):
    """Whether all that a layer does is done by the layers inside: not where a subclass has a forward of its own."""
    return any(type(layer).forward is container.forward for container in CONTAINERS)


def joins(layer):
    """Whether a container makes one array of what its branches return: then it has a row beside theirs."""
    return isinstance(layer, Residual | Concat) and is_container(layer)


def computed(net, path=""):
    """Yield (path, layer) for every layer that is computed, in that order: one in two places is listed at both.

    Paths are those of `named_params`. Of containers only Residual and Concat are listed, after what is inside, in the
    place of their last layer. A layer of another kind is listed, and what is inside it is not.
    """
    if is_container(net):
        for name, layer in branches(net):
            yield from computed(layer, join(path, name))
    if not is_container(net) or joins(net):
        yield path, net


def branches(container):
    """Return [(name, layer)] of what a container computes, in that order, under the names of `named_params`."""
    if isinstance(container, Residual):
        return [("body", container.body), ("shortcut", container.shortcut)]
    if isinstance(container, Concat):
        return container.layers[0].parts()
    if isinstance(container, Conditional):
        return container.inside()
    attributes = {id(part): name for name, part in vars(container).items()}
    return [(attributes.get(id(layer), str(index)), layer) for index, layer in enumerate(container.layers)]


def join(path, name):
    """Return the path of a layer inside another, as `named_layers` writes it."""
    return f"{path}.{name}".lstrip(".")


@contextlib.contextmanager
def watching(net, forward, pull=None):
    """Within a `with` block, let functions stand in for methods of the layers that `computed` lists.

    forward(path, layer, x, train) returns (y, tape), pull(layer, tape, dy) returns (dx, kept): what
    `type(layer).forward(layer, x, train)` would, as a rule. What a layer asks of layers inside is not watched. The
    network shall compute once: where a layer stands in two places, its first call is taken to be at the first.
    """
    watched, inside = {}, []
    for path, layer in computed(net):
        watched.setdefault(id(layer), (layer, []))[1].append(path)
    try:
        for layer, paths in watched.values():
            layer.forward = watched_forward(layer, paths, forward, inside)
            if pull is not None:
                layer.pull = watched_pull(layer, pull, inside)
        yield
    finally:
        for layer, _ in watched.values():
            vars(layer).pop("forward", None)
            vars(layer).pop("pull", None)


def watched_forward(layer, paths, forward, inside):
    """Return what stands in for a layer's forward; `inside` holds the layers whose own layers are not watched now."""

    def watched(x, train=True):
        if inside:
            return type(layer).forward(layer, x, train)
        with entered(layer, inside):
            return forward(paths.pop(0), layer, x, train)

    return watched


def watched_pull(layer, pull, inside):
    """Return what stands in for a layer's pull."""

    def watched(tape, dy):
        if inside:
            return type(layer).pull(layer, tape, dy)
        with entered(layer, inside):
            return pull(layer, tape, dy)

    return watched


@contextlib.contextmanager
def entered(layer, inside):
    """Note down that a layer computes; not so a container, the layers of which are watched themselves."""
    if joins(layer):
        yield
        return
    inside.append(layer)
    try:
        yield
    finally:
        inside.pop()
