"""Weights across to PyTorch and back: arrays with the names and layouts of a state dict. PyTorch is not needed.

PyTorch has channels as the second axis and the output of a weight as its first; here channels and outputs come last.
That moves the axes of each weight. It also changes the order of the numbers where a picture becomes a vector or the
other way round, and so the rows and columns of the Dense layers there: `Order` follows it. See docs/pytorch.md.
"""

import importlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy

from scratchgan import walk, xp
from scratchgan.layers import Dense, Embedding, Flatten, PReLU, Reshape
from scratchgan.layers.conv import Convolving
from scratchgan.layers.norm import Normalization
from scratchgan.param import Param
from scratchgan.support import npz
from scratchgan.support.errors import DataError
from scratchgan.support.files import reading, replacing
from scratchgan.tools.pytorch_order import Order, Sample, follow
from scratchgan.tools.pytorch_recurrent import Apart, both_ways, is_known
from scratchgan.tools.watching import computed, join, joins, watching

COUNTER = "num_batches_tracked"  # PyTorch's BatchNorm counts its batches; with a momentum nothing depends on it


def to_torch(net, shape=None, prefix=""):
    """Return {name: NumPy array}, copies of all weights and running statistics, as PyTorch's state_dict() has them.

    shape: that of one sample x, without N, as in `(28, 28, 1)`; needed where a network has a Flatten or Reshape.
    prefix: what every name shall begin with. Raises ValueError where a layer has no counterpart, where `shape` is
    missing, or where a vector's order cannot be put right by permuting weights.
    """
    state = {}
    for place in find(net, shape):
        state[prefix + place.name] = place.to_torch()
        if place.name.endswith("running_var"):
            state[prefix + counter(place)] = numpy.zeros((), dtype="int64")
    return state


def from_torch(net, state, shape=None, prefix=""):
    """Write a state dict of PyTorch, {name: array or tensor}, into a network of the same architecture.

    shape: as in `to_torch`. prefix: only names that begin with it are read, such as "module." of DataParallel.
    Numbers are rounded to the network's dtype; num_batches_tracked may be there or not.
    Raises ValueError, before anything is written, that lists what is missing, unknown, or of another shape.
    """
    places = find(net, shape)
    state = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
    optional = {counter(place) for place in places if place.name.endswith("running_var")}
    names = {place.name for place in places}
    faults = [f"missing {place}" for place in places if place.name not in state]
    faults += [f"unknown {name}" for name in state if name not in names | optional]
    arrays = {name: to_host(name, array) for name, array in state.items() if name in names}
    for place in places:
        if place.name in arrays and arrays[place.name].shape != place.shape():
            faults.append(f"{place}: {arrays[place.name].shape} in the state, wanted {place.shape()}")
    if faults:
        raise ValueError(f"the state does not fit the network: {'; '.join(faults)}{advice(names, state)}")
    written = {}  # a Param that stands in two places has two names, and must get the same numbers from both
    for place in places:
        name, array = written.setdefault(place.key, (place.name, place.from_torch(arrays[place.name])))
        if name != place.name and not numpy.array_equal(array, place.from_torch(arrays[place.name]), equal_nan=True):
            raise ValueError(f"{name} and {place.name} are one array in this network, and differ in the state")
    for place in places:
        place.array[...] = xp.asarray(written[place.key][1].astype(place.array.dtype))
    for apart in {id(place.apart): place.apart for place in places if place.apart}.values():
        apart.join()


def advice(names, state):
    """Return what to do where all names would fit but for something before them, such as "module."."""
    for name in state:
        for own in names:
            if name.endswith(f".{own}") and {name.removesuffix(own) + other for other in names} <= state.keys():
                return f". Perhaps prefix={name.removesuffix(own)!r} is meant"
    return ""


def to_host(name, array):
    """Return an array or tensor as a NumPy array of numbers; raise ValueError that names it where it is none."""
    try:
        array = array.detach().cpu().numpy() if hasattr(array, "detach") else numpy.asarray(xp.to_host(array))
    except (TypeError, ValueError) as error:  # bfloat16 is unknown to NumPy
        raise ValueError(f"{name} cannot be read as a NumPy array ({error}): convert it, as with .float()") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} is an array of {array.dtype}, wanted real numbers")
    return array


# ---- files -----------------------------------------------------------------------------------------------


def save(path, state):
    """Write {name: array or tensor} to a file .npz (NumPy) or .safetensors, in full or not at all, without pickle.

    Raises DataError for another ending or where the package safetensors is missing, ValueError for an array of other
    things than numbers, and UserError where the file cannot be written.
    """
    package = safetensors(path) if suffix(path) == ".safetensors" else None
    # In C order: safetensors writes the memory as it lies.
    arrays = {name: numpy.array(to_host(name, array), order="C") for name, array in state.items()}
    with replacing(path) as file:
        if package:
            file.write(package.save(arrays))
        else:
            numpy.savez(file, **arrays)


def load(path):
    """Return {name: NumPy array} of a file .npz (not compressed) or .safetensors.

    The file is not trusted: nothing in it is run, and it cannot ask for more memory than its own size.
    Raises DataError, naming the file, where it is missing or damaged.
    """
    package = safetensors(path) if suffix(path) == ".safetensors" else None
    try:
        return load_safetensors(path, package) if package else npz.read(path, DataError)
    except DataError:
        raise
    except Exception as error:  # damaged bytes can raise nearly anything
        raise DataError(f"{path} is damaged or holds no plain arrays ({error}): write it anew.") from None


def load_safetensors(path, package):
    """Return what a file .safetensors holds; raise DataError for a type of number that NumPy does not know."""
    with reading(path, error=DataError) as file:
        content = file.read()
    try:
        return package.load(content)
    except KeyError as error:  # BF16, F8_E4M3, ...
        types = f"numbers of the type {error.args[0]}, which NumPy does not know"
        raise DataError(f"{path} holds {types}: convert it first, as with .float() in PyTorch") from None


def suffix(path):
    """Return the ending of a path; raise DataError if it is none that `save` and `load` know."""
    ending = Path(path).suffix
    if ending not in (".npz", ".safetensors"):
        raise DataError(f"{path}: name the file .npz or .safetensors")
    return ending


def safetensors(path):
    """Return the module safetensors.numpy, which is installed separately."""
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError:
        raise DataError(f"{path} needs the package safetensors: pip install safetensors (or use .npz)") from None


# ---- the walk through a network --------------------------------------------------------------------------


class Place(NamedTuple):
    """One array of the network, and how PyTorch has it."""

    name: str  # 0.weight
    ours: str  # 0.W
    owner: str  # Dense(2, 8)
    array: object  # the network's own array
    axes: tuple  # which of our axes is PyTorch's first, second, ...
    orders: tuple  # (axis, Order) for our axes whose elements PyTorch has in another order
    key: object  # the same for two places of the same numbers
    apart: Apart | None = None  # where `array` is one of these, made for PyTorch

    def __str__(self):
        return f"{self.name} (ours: {self.ours}, {self.array.shape}, of {self.owner})"

    def renamed(self, ways):
        """Return the Place in PyTorch's module for `both_ways`, if it is in one of these."""
        path, _, name = self.name.rpartition(".")
        module, ending = ways.get(path, (path, ""))
        return self._replace(name=join(module, name + ending))

    def shape(self):
        """Return PyTorch's shape."""
        return tuple(self.array.shape[axis] for axis in self.axes)

    def to_torch(self):
        """Return a copy on the host as PyTorch has it."""
        array = xp.to_host(self.array)
        for axis, order in self.orders:
            array = array.take(order.indices(), axis)
        return numpy.array(array.transpose(self.axes), order="C")

    def from_torch(self, array):
        """Return PyTorch's array as we have it: the inverse."""
        array = array.transpose(numpy.argsort(self.axes))
        for axis, order in self.orders:
            array = array.take(numpy.argsort(order.indices()), axis)
        return array


def counter(place):
    """Return the name of the counter beside a running_var."""
    return place.name.removesuffix("running_var") + COUNTER


def find(net, shape):
    """Return the Place of every array of the network; see `to_torch` for shape."""
    remedy = "give shape=, the shape of one sample x without N"
    places, ways = unordered("", net, remedy) if shape is None else followed(net, shape), both_ways(net)
    return [place.renamed(ways) for place in places]


def followed(net, shape):
    """Return the Places, with their Orders, that zeros of a shape meet on their way through a network."""
    if net.takes_pair:
        raise ValueError(f"{net!r} takes a tuple, whose parts cannot be followed: convert its parts one by one")
    first = next((layer for _, layer in computed(net)), net)
    dtype = "int64" if isinstance(first, Embedding) else next((p.value.dtype for p in net.params()), "float32")
    x, order = xp.zeros((1, *shape), dtype=dtype), Order(math.prod(shape))
    if x.ndim == 2:
        order.settle(x.shape[1:], "the input")
    everything = []

    def forward(path, layer, sample, train):
        owner = f"{path} {layer!r}".strip()
        if joins(layer):
            fork, joining = layer.layers
            return follow(joining, owner, fork(sample)), None
        y = follow(layer, owner, sample)
        if isinstance(y, Sample) and isinstance(sample, Sample):
            everything.extend(places_of(path, layer, owner, sample, y))
        return y, None

    with watching(net, forward):
        y = net(Sample(x, order))
    settle_output(y)
    if order.picture is None:
        order.settle(x.shape[1:], "the input")
    return everything


def settle_output(y):
    """Demand that the numbers of y, or of each part of it, are in PyTorch's order of a picture or vector."""
    if isinstance(y, tuple):
        for part in y:
            settle_output(part)
    elif y.x.ndim == 2 or y.order.picture is None:
        y.order.settle(y.x.shape[1:], "the output")


def places_of(path, layer, owner, sample, y):
    """Return the Places of a layer that has computed y of a sample."""
    if any(path for path, _ in layer.named_layers()) and not is_known(layer):
        return unordered(path, layer, f"x cannot be followed through {owner}; convert its parts one by one")
    return places(path, layer, sample.order if sample.x.ndim == 2 else None, y.order if y.x.ndim == 2 else None)


def unordered(path, net, remedy):
    """Return the Places of a network in which no order of numbers changes; raise ValueError where one might."""
    layers = [(join(outer, inner).rstrip("."), layer)
              for outer, part in computed(net, path) if not joins(part)
              for inner, layer in part.named_layers()]  # fmt: skip
    cells = tuple(join(path, "cell.") for path, layer in layers if is_known(layer))
    layers = [(path, layer) for path, layer in layers if not f"{path}.".startswith(cells)]
    for inner, layer in layers:
        if isinstance(layer, Flatten | Reshape):
            raise ValueError(f"{inner or 'net'}, {layer!r}, may change the order of numbers in PyTorch: {remedy}")
    return [place for inner, layer in layers for place in places(inner, layer)]


def places(path, layer, before=None, after=None):
    """Return the Places of one layer, with the Orders of its x and y where those are vectors."""
    if is_known(layer):
        return places_of_recurrent(path, layer)
    before, after = [(0, before)] if before else [], [(0, after)] if after else []
    known = {}
    if isinstance(layer, Dense | Convolving):  # (*kernel, a, b) -> (b, a, *kernel)
        n = layer.W.value.ndim
        columns = [(1, order) for _, order in after]
        known = {"W": ("weight", (n - 1, n - 2, *range(n - 2)), before + columns), "b": ("bias", (0,), after)}
    elif isinstance(layer, Embedding):
        known = {"W": ("weight", (0, 1), [(1, order) for _, order in after])}
    elif isinstance(layer, PReLU):
        known = {"a": ("weight", (0,), after)}
    elif isinstance(layer, Normalization):
        names = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
        known = {ours: (name, (0,), after) for ours, name in names.items()}
    return [place_of(path, layer, ours, part, known) for ours, part in own_arrays(layer)]


def place_of(path, layer, ours, part, known):
    """Return the Place of one Param or array of a layer; raise ValueError where it is not among the known ones."""
    if ours not in known or isinstance(part, Param) and type(part) is not Param:
        raise no_counterpart(join(path, ours), layer)
    name, axes, orders = known[ours]
    array = part.value if isinstance(part, Param) else part
    return Place(join(path, name), join(path, ours), repr(layer), array, axes, tuple(orders), id(array))


def places_of_recurrent(path, layer):
    """Return the Places of a Recurrent that `is_known`: of arrays made for PyTorch, to be joined when they are read."""
    for ours, param in layer.named_params().items():
        if type(param) is not Param:
            raise no_counterpart(join(path, ours), layer)
    where, apart = (join(path, "cell"), repr(layer)), Apart(layer.cell)
    return [Place(join(path, name), *where, array, (1, 0)[-array.ndim :], (), (id(layer.cell), name), apart)
            for name, array in apart.arrays.items()]  # fmt: skip


def no_counterpart(ours, layer):
    """Return the error for a Param or array of a layer that PyTorch does not have."""
    return ValueError(f"{ours} of {layer!r} has no counterpart in PyTorch that is known here")


def own_arrays(layer):
    """Return [(path, part)] of the Params and arrays of a layer that belong to no layer inside it."""
    inside = tuple(f"{path}." for path, _ in layer.named_layers() if path)
    wanted = lambda part: isinstance(part, Param) or xp.is_array(part)
    return [(path, part) for path, part in walk.find(layer, wanted) if not path.startswith(inside)]
