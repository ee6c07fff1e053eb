"""Processes that train one model together: their random numbers, and whether they do what one alone would do."""

import contextlib
import functools
import importlib
import json
import os
import platform
import sys
import zlib

import numpy as np

from scratchgan import losses, parallel, penalties, walk, xp
from scratchgan.fast import threads
from scratchgan.layers import BatchNorm, Layer, Pack
from scratchgan.optim import Optimizer
from scratchgan.support.errors import TrainingError, UserError
from scratchgan.support.rng import Metered
from scratchgan.training.progress import say

SIZE_AT = {  # where a generator's method has the size among its arguments; `choice` calls `integers`
    "random": 0, "standard_normal": 0, "standard_exponential": 0, "exponential": 1, "integers": 2, "uniform": 2,
    "normal": 2, "gumbel": 2, "laplace": 2,
}  # fmt: skip
MIXING = (losses.against_average, losses.feature_matching, penalties.perturb)  # take means over a batch
CAUSES = "a mean over samples, a draw that is not one for each, or something kept from its own samples can be why"
TRIALS = 3  # since where a sum is 0 but for rounding, a ReLU of one may be on, and of the other off
TRIED = 12  # samples per process in a trial: a multiple of the groups that people take
ROUNDING = 1e-4  # of a gradient in float32: sums in another order stay far below it, other means do not


class Shared(Metered):
    """A generator that draws everybody's rows and keeps those of this process; while weights are drawn, it keeps all.

    So all processes are in one state, and together see the numbers that one would see.
    """


def shared(name, place):
    """Return the method of Shared that stands for one of Generator's, whose argument of this number is the size."""
    plain = getattr(Metered, name)

    def draw(self, *arguments, **keywords):
        group = parallel.group()
        size = keywords.get("size", arguments[place] if len(arguments) > place else None)
        rows = np.atleast_1d(() if size is None else size).tolist()
        if group.size == 1 or self.demand is not None or not rows:
            return plain(self, *arguments, **keywords)
        everybody = (group.size * rows[0], *rows[1:])
        if "size" in keywords:
            return group.share(plain(self, *arguments, **keywords | {"size": everybody}))
        return group.share(plain(self, *arguments[:place], everybody, *arguments[place + 1 :], **keywords))

    return functools.update_wrapper(draw, plain)


for _name, _place in SIZE_AT.items():
    setattr(Shared, _name, shared(_name, _place))


def processors():
    """Return how many processors this process may use, beside the others that train on this machine."""
    group, own = parallel.group(), threads.processors()
    return own if group.size == 1 else max(1, min(own, (os.cpu_count() or 1) // group.neighbours))


def mean(losses):
    """Return the means over all processes of {name: number}."""
    every = parallel.group().gather(losses)
    return {name: sum(each[name] for each in every) / len(every) for name in losses}


# ---- before the first step -------------------------------------------------------------------------------


def demand_possible(settings):
    """Raise UserError unless these processes can share batches, and have a device each; choose it."""
    group = parallel.group()
    if group.size == 1:
        return
    n, rest = divmod(settings.batch_size, group.size)
    if rest:
        wanted = " or ".join(str(group.size * share) for share in (n, n + 1) if share)
        raise UserError(f"--batch-size {settings.batch_size} is not for {group.size} processes: take {wanted}.")
    if settings.device_noise:
        raise UserError("--device-noise is for one process: of several, all would draw the same noise.")
    if len(set(group.gather(xp.on_gpu()))) > 1:
        raise UserError("Some processes have found a GPU, and some have not: choose --device cpu or --device gpu.")
    if xp.on_gpu():
        take_gpu(group, xp.cuda, importlib.import_module("cupy.cuda.nccl"))
    here = f"kill -INT {os.getpid()} on {platform.node()}"
    say(f"{group.size} processes, {n} samples of a batch each; {here} stops all, and keeps the last step")


def take_gpu(group, cuda, nccl):
    """Let this process compute on a GPU of its own; cuda, nccl: CuPy's. Raises UserError where that cannot be."""
    count = cuda.runtime.getDeviceCount()
    if group.neighbours > count:
        raise UserError(f"{group.neighbours} processes cannot share {count} GPU{'s' * (count > 1)}: each needs one.")
    if not nccl.available:
        raise UserError("CuPy finds no NCCL, with which GPUs add up: `python -m scratchgan doctor` says what to do.")
    cuda.Device(group.place).use()


def start(model, batches):
    """Let all processes start from the state of the first one; raise UserError where `demand_as_one` does."""
    if parallel.group().size > 1:
        model.load_state(parallel.group().broadcast(model.state()))  # machines may draw other last digits
        demand_as_one(model, batches)


def demand_as_one(model, batches):
    """Raise UserError unless these processes take the step that one alone takes with the whole batch, to rounding.

    Both are tried, with a few samples, and compared: each gradient that comes to an optimizer, which moves nothing, and
    all else that a step changes. Where they differ, others are tried, and one more difference is refused. Then model
    and batches are as before.
    """
    group = parallel.group()
    if group.size == 1:
        return
    for path, layer in walk.find(vars(model), Layer):
        if layer.mixes_samples and not isinstance(layer, BatchNorm | Pack):
            refuse(f"{path}, {layer!r}, compares the samples of a batch", group)
    before, found = (model.state(), batches.state()), []
    while not found or (any(found) and len(found) < TRIALS):
        found.append(max(group.gather(difference(model, batches))))
        batches.next(), model.rng.random()  # other samples, and other noise
    model.load_state(before[0])
    batches.load_state(before[1])
    if sum(map(bool, found)) > 1:
        refuse(found[0], group)


def difference(model, batches):
    """Return what differs in a trial between these processes and one with the whole batch, "" if nothing does."""
    group = parallel.group()
    before, n = (model.state(), batches.state()), min(batches.batch_size // group.size, TRIED) * group.size
    with parallel.alone(), called() as codes:
        whole, _ = trial(model, batches, n, before)
    for function in MIXING:
        if function.__code__ in codes:
            refuse(f"{function.__module__}.{function.__name__} takes a mean over a batch", group)
    parts, own = trial(model, batches, n, before)
    if len(set(group.gather(own))) == 1:
        return "a step takes the same samples in each"
    differ = (name for name, array in whole.items() if name not in parts or not near(array, parts[name]))
    name = next(differ, "")
    return name and f"{name} is not what one process has for the whole batch: {CAUSES}"


def refuse(reason, group):
    text = f"{group.size} processes would not train this model as one does: {reason}. Start one process."
    raise UserError(text)


@contextlib.contextmanager
def called():
    """Give the set of the codes of all functions that this thread calls within the `with` block."""
    codes, before = set(), sys.getprofile()
    sys.setprofile(lambda frame, event, argument: codes.add(frame.f_code))
    try:
        yield codes
    finally:
        sys.setprofile(before)


def trial(model, batches, n, before):
    """Return {name: array} of the gradients and the state after a step that moves nothing; and a text of what is own.

    n: samples of all processes; before: the states of model and batches, which are put back.
    """
    optimizers = list(walk.find(vars(model), Optimizer))
    found, own = {}, []

    def recorded(path, optimizer):
        def step():
            flat = optimizer.flat
            own.append(zlib.crc32(xp.to_host(flat.grad).tobytes()))
            mean = np.array(xp.to_host(parallel.group().mean(flat.grad)))
            found[f"the gradient in step {len(own)}, that of {path},"] = mean
            flat.grad.fill(0)

        return step

    batches.batch_size = n
    try:
        for path, optimizer in optimizers:
            optimizer.step = recorded(path, optimizer)
        losses = model.step(batches)
    finally:
        for _, optimizer in optimizers:
            vars(optimizer).pop("step", None)
    found |= model.state()
    model.load_state(before[0])
    batches.load_state(before[1])
    return found, repr((own, sorted((name, float(loss)) for name, loss in losses.items())))


def near(one, other):
    """Whether two arrays of a state are equal, but for rounding."""
    if one.dtype.kind == "U" and str(one) != str(other):
        try:
            one, other = (np.asarray(json.loads(str(array))) for array in (one, other))
        except ValueError:
            return False
    if one.shape != other.shape or one.dtype.kind not in "fc" or other.dtype.kind not in "fc":
        return np.array_equal(one, other)
    one, other = one.astype(np.float64), other.astype(np.float64)
    return bool(np.linalg.norm(one - other) <= ROUNDING * np.linalg.norm(one)) or np.array_equal(one, other)


# ---- while they train ------------------------------------------------------------------------------------


def demand_same(model, batches, step):
    """Raise TrainingError, naming the first array that differs, unless all processes are in one state, to the bit."""
    group = parallel.group()
    if group.size == 1:
        return
    state = model.state() | {f"batches/{name}": array for name, array in batches.state().items()}
    every = group.gather({name: zlib.crc32(np.ascontiguousarray(array).tobytes()) for name, array in state.items()})
    for name in state:
        for rank, sums in enumerate(every):
            if sums.get(name) != every[0][name]:
                raise TrainingError(
                    f"At step {step:,}, {name} of process {rank} is not that of process 0: something that they compute "
                    "differs. The last checkpoint is whole, and a run of one process can go on from it."
                )
