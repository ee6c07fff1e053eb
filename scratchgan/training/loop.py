"""The training loop: steps, log, pictures of samples, checkpoints, and an exact resume."""

import contextlib
import dataclasses
import functools
import math
import os
import time

import numpy as np

from scratchgan import fast, parallel, plots, walk, xp
from scratchgan.data import Batches
from scratchgan.fast import memory, threads
from scratchgan.layers import Layer
from scratchgan.layers.conv import Convolving
from scratchgan.support.costs import afford, in_words
from scratchgan.support.errors import CheckpointError, TrainingError, UserError
from scratchgan.support.files import write_bytes
from scratchgan.training import checkpoint, diagnose, evaluate, together, verdict
from scratchgan.training import run as runs
from scratchgan.training import state as states
from scratchgan.training.progress import Progress, Stop, Stopped, as_line, demand_losses, demand_numbers, say, to_number
from scratchgan.training.settings import rates

MODEL, PICTURES, BATCHES = 0, 1, 2  # streams of random numbers that follow from one seed
DEVICE_DATA = 2**30  # bytes of an array of real samples that may lie on the GPU: MNIST has 47 MB
EVALUATED = 2000  # samples that --evaluate-every looks at
FIRST_PICTURE = 64  # a step; the next early ones are at 128, 256, ..., as long as --sample-every is farther


def generator(seed, stream):
    """Return the random number generator of one of the streams."""
    return np.random.default_rng([seed, stream])


def train(Model, settings, *, resume=None):
    """Train a Model and return it; what is written lies in a run directory, as `docs/training.md` lists.

    Model: a subclass of `training.Model`; settings: a `Settings`. resume: a run directory to go on with, from its
    checkpoint: then `settings.out` does not count. Going on is exact: N steps, a stop and M steps give, on the CPU,
    bit for bit what N + M steps give. Raises UserError (and what it is subclassed to) for what a user can put
    right, TrainingError where a NaN appears, and `Stopped`, a KeyboardInterrupt, after a Ctrl-C, SIGTERM or SIGHUP.
    """
    if settings.tf32:
        os.environ["CUPY_TF32"] = "1"  # which CuPy reads once, at its first product
    group = parallel.join()
    say(xp.use(settings.device))
    together.demand_possible(settings)
    settings = with_threads(settings)
    memory.keep()
    how = (runs.open_run, resume) if resume else (runs.new_run, settings.out, runs.script(Model).stem)
    run = runs.shared(*how)
    with contextlib.closing(run), fast.plain() if settings.plain else contextlib.nullcontext():
        stored = group.broadcast(parallel.first(runs.read_checkpoint, run.path, Model) if resume else None)
        parallel.first(lambda: run.demand_files(stored[1]["step"] if stored else 0))
        if stored and stored[1]["step"] >= settings.steps:
            return already_trained(Model, settings, run, *stored)
        arrays = Model.load_data(settings)
        arrays = arrays if isinstance(arrays, tuple) else (arrays,)
        arrays = [on_device(array) for array in arrays]
        batches = Batches(*arrays, batch_size=settings.batch_size, rng=generator(settings.seed, BATCHES))
        shape = arrays[0].shape[1:]
        if stored and stored[1]["shape"] != shape:
            there = stored[1]["shape"]
            raise CheckpointError(f"{run.path} was trained on samples of shape {there}, the data has {shape}.")
        model = build(Model, settings, shape, stored and stored[0])
        demand_memory(model, settings.batch_size // group.size)
        describe(model, arrays, run)
        loop = Loop(model, batches, settings, run)
        if stored:
            loop.resume(*stored)
        loop.run_all()
    return model


def with_threads(settings):
    """Return settings that tell how many threads compute: sums depend on it, and a resumed run shall be exact."""
    processors = together.processors()
    count = min(settings.threads or threads.idle(), processors)
    if count < settings.threads:
        say(f"this machine has {processors} processors for us: computing with --threads {count}")
    elif count < processors and not settings.threads:
        say(f"the machine is busy: computing with --threads {count}, which is faster then than all {processors}")
    return dataclasses.replace(settings, threads=count)


def build(Model, settings, shape, stored=None):
    """Return a new model for samples of this shape, once a CPU's processors are given to what it computes most.

    stored: the arrays of the checkpoint, if any, that it shall take over.
    """
    model = new_model(Model, settings, shape, stored)
    convolutional = any(True for _ in walk.find(vars(model), Convolving))
    # A GPU takes a batch as one block, and the plain code knows no blocks: there, BLAS has the processors.
    threads.use(settings.threads, blas=xp.on_gpu() or settings.plain or not convolutional)
    return model


def new_model(Model, settings, shape, stored=None):
    """Return a new model, whose weights are drawn if this machine, and the arrays of its checkpoint, can hold them."""
    rng = together.Shared(generator(settings.seed, MODEL).bit_generator, functools.partial(demand_weights, stored))
    try:
        model = Model(settings, shape, rng)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        if stored is None:
            raise
        raise CheckpointError(f"No model for samples of shape {shape} can have these settings: {error}") from error
    rng.demand = None
    model.remember_as_built()
    return model


def demand_weights(stored, size):
    """Raise UserError if so many bytes of weights are too many, also beside the arrays of a checkpoint."""
    held = sum(array.nbytes for array in stored.values()) if stored is not None else math.inf
    if size > 4 * held + 10**7:  # weights may be drawn as float64, and some of them may not be kept
        raise CheckpointError(
            f"The checkpoint cannot be one of this model: it holds {in_words(held)}, and a model of its settings, for "
            f"its samples, has more than {in_words(size)}."
        )
    copies = 1 if xp.on_gpu() else 4  # with a gradient, and what Adam remembers
    afford(copies * size, "The weights of this network, with their optimizer,", "choose smaller networks")


def demand_memory(model, batch_size):
    """Raise UserError if a batch is certain not to fit in the memory: it, and what goes through each layer."""
    params = [param for _, network in networks(model) for param in network.params() if param.value.ndim > 1]
    numbers = math.prod(model.shape) + sum(sum(param.value.shape[-2:]) for param in params)
    if not xp.on_gpu():
        afford(4 * batch_size * numbers, f"A batch of {batch_size:,} samples", "lower --batch-size")


def on_device(array):
    """Return an array of real samples where batches are best taken from: on the GPU, unless it is too large.

    Labels, which are integers, stay on the host, which may want to choose by them.
    """
    return xp.to_device(array) if xp.on_gpu() and array.nbytes <= DEVICE_DATA and array.dtype.kind in "uf" else array


def describe(model, arrays, run):
    """Print what is about to be trained, and where."""
    say(f"data {model.settings.data}: {len(arrays[0]):,} samples of shape {model.shape}")
    for name, network in networks(model):
        say(f"{name}: {sum(param.value.size for param in network.params()):,} parameters")
    say(f"run directory: {run.path}")


def networks(model):
    """Return [(path, network)]: the layers of a model that are not inside another layer."""
    outermost = []
    for path, layer in walk.find(vars(model), Layer):
        if not any(path.startswith(f"{other}.") for other, _ in outermost):
            outermost.append((path, layer))
    return outermost


def already_trained(Model, settings, run, arrays, meta):
    """Say so; draw the closing pictures if the run was stopped before it could; return the model."""
    say(f"{run.path} has reached step {meta['step']:,} already: nothing to do; --steps {2 * meta['step']} goes on.")
    model = build(Model, settings, meta["shape"], arrays)
    runs.load_into(run.path, model, arrays, "model/")
    parallel.first(finish, run, model)
    return model


def finish(run, model):
    """Do what a run ends with; a picture that cannot be drawn is told when all else is done."""
    try:
        closing_pictures(run)
    except UserError:
        model.finish()
        raise
    model.finish()


def closing_pictures(run):
    """Draw those that are not newer than the checkpoint: the losses, an animation of the samples, the last samples."""
    frames = list(run.frames().values())
    if run.outdated(run.losses):
        plots.losses(run.log, run.losses)
    if run.outdated(run.animation):
        plots.animation(frames, run.animation)
    if run.outdated(run.last_samples):
        run.show(frames[-1])


def load_model(Model, Settings, run):
    """Return the trained model of a run directory, to draw samples from; no data set is needed.

    Raises CheckpointError where the directory holds no checkpoint of this Model.
    """
    arrays, meta = runs.read_checkpoint(run, Model)
    settings = runs.stored_settings(run, Settings, meta, {})
    model = new_model(Model, settings, meta["shape"], arrays)
    runs.load_into(run, model, arrays, "model/")
    return model


class Loop:
    """One training run on its way: the model, its batches, and how far they are."""

    def __init__(self, model, batches, settings, run):
        self.model, self.batches, self.settings, self.run = model, batches, settings, run
        self.step = 0
        self.seconds = 0.0  # of all processes that worked on this run
        self.good = None  # (step, arrays) of when all numbers were last known to be finite
        self.good_until = 0.0  # before that second, no new one is taken without need
        self.losses_until = 0.0  # before that second, losses.png is not renewed
        self.evaluation = parallel.first(evaluate.prepare, model, EVALUATED) if settings.evaluate_every else None

    def resume(self, arrays, meta):
        """Go on from a checkpoint; raise CheckpointError, and change nothing on the disk, if it does not fit."""
        self.load(arrays)
        self.step, self.seconds = meta["step"], meta["seconds"]
        parallel.first(lambda: self.run.forget_after(self.step))
        say(f"going on from step {self.step:,}")

    def run_all(self):
        """Take all steps that are left, and draw the closing pictures."""
        self.progress = Progress(self.step, self.settings.steps, self.settings.batch_size)
        self.started = time.perf_counter() - self.seconds
        first = self.step + 1
        together.start(self.model, self.batches)
        try:
            with Stop() as stop:
                parallel.first(self.begin)
                while self.step < self.settings.steps:
                    losses = self.model.step(self.batches)
                    self.step += 1
                    self.progress.advance()
                    if self.step == first:
                        demand_losses(losses)
                    # A signal that comes while we look is for the next step; to one process, it is for all.
                    number = max(parallel.group().gather(stop.number or 0))
                    self.look(losses, number > 0)
                    if number:
                        parallel.group().gather(parallel.first(self.judge))  # all wait for the first
                        raise Stopped(number, self.run, self.step)
            parallel.first(finish, self.run, self.model)
            parallel.first(self.judge)
        finally:
            self.progress.close()
        self.progress.say(f"done: {self.run.path} holds the samples, the losses and the checkpoint")

    def judge(self):
        """Say so if the training looks as if it had failed, though all its numbers are finite."""
        untrained = functools.partial(new_model, type(self.model), self.settings, self.model.shape)
        with contextlib.suppress(Exception):  # a remark is no reason to fail: a model may draw otherwise than others
            looks = verdict.look(self.model, untrained, self.batches, list(plots.read_log(self.run.log)))
            if looks:
                self.progress.say(looks)

    def begin(self):
        """Write what a run starts with: at once a checkpoint, so that it can be resumed whatever comes."""
        self.save()
        self.run.begin(self.settings)
        floor = self.evaluation.floor() if self.evaluation else {}
        if floor:
            self.progress.say(f"floor of the evaluations: {as_line(floor)}")
        if self.step == 0:
            self.log({}, self.sample(), True)

    def look(self, losses, stopping):
        """After a step, do what is due: log, picture, checkpoint. Otherwise, do not wait for the device."""
        sample = self.due(self.settings.sample_every) or self.early()
        save = self.due(self.settings.checkpoint_every) or stopping
        measure = self.settings.evaluate_every > 0 and self.due(self.settings.evaluate_every)
        log = self.due(self.settings.log_every)
        if sample or save or measure or log:
            losses = self.fetch(losses)
            if log or save:
                together.demand_same(self.model, self.batches, self.step)
            if save:
                together.demand_as_one(self.model, self.batches)  # it may have come to other steps than before
            parallel.first(self.write, losses, sample, save, measure, log)

    def write(self, losses, sample, save, measure, log):
        """Write and draw what is due."""
        if sample or measure or log:
            report = self.sample() if sample else {}
            self.log(losses, report | (self.evaluation.follow(self.model) if measure else {}), sample)
        if sample and losses and self.now() > self.losses_until and self.step < self.settings.steps:
            self.draw_losses()
        if save:
            self.save()
        elif self.now() > self.good_until:
            self.remember()

    def due(self, every):
        return self.step % every == 0 or self.step == self.settings.steps

    def early(self):
        """Whether a picture is due before the first regular one: whoever waits for it sees how it begins."""
        power_of_two = self.step & (self.step - 1) == 0
        return FIRST_PICTURE <= self.step < self.settings.sample_every and power_of_two

    def now(self):
        return time.perf_counter() - self.started

    # ---- what is written ----

    def fetch(self, losses):
        """Bring the losses to the host, their means over processes; raise TrainingError if one is not finite."""
        losses = together.mean({name: float(loss) for name, loss in losses.items()})
        for name, loss in losses.items():
            if not math.isfinite(loss):
                parallel.group().gather(parallel.first(self.fail, f"the loss {name}"))  # which ends all
        return losses

    def log(self, losses, report, sample):
        """Write a line of the log, with what it takes to draw the losses if samples are drawn; show the numbers."""
        record = {"step": self.step, "seconds": round(self.now(), 3), **losses}
        equilibrium = self.model.equilibrium() if sample else {}
        if equilibrium:
            record["equilibrium"] = equilibrium
        if report:
            demand_numbers(report, "the report")
            report = {name: to_number(value) for name, value in report.items()}
            self.progress.say(f"step {self.step:,}: {as_line(report)}")
            # JSON knows no NaN and no infinity
            record["report"] = {name: value if math.isfinite(value) else None for name, value in report.items()}
        if losses or report or equilibrium:
            self.run.write_log(record)
        if losses:
            self.progress.show(self.step, losses)

    def sample(self):
        """Draw the picture of samples, always from the same latent vectors, and return the model's report."""
        frame = self.run.frame(self.step)
        with states.generators_kept(self.model):  # looking at a model must not change what it does next
            z = xp.to_device(self.model.latent(64, generator(self.settings.seed, PICTURES)))
            for suffix in self.model.exports:
                write_bytes(frame.with_suffix(suffix), self.model.export(z, suffix))
            plots.save(self.model.picture(z), frame)  # last: a run knows its frames by their pictures
            self.run.show(frame)
            return self.model.report()

    def draw_losses(self):
        """Renew the picture of the losses, so seldom that it takes 1 % of the time."""
        plots.load()  # which takes longer, and is due at the end at any rate
        start = self.now()
        plots.losses(self.run.log, self.run.losses)
        self.losses_until = self.now() + 100 * (self.now() - start)

    def save(self):
        """Write a checkpoint, unless a number in it is not finite: then raise TrainingError."""
        arrays = self.remember()
        meta = {
            "model": type(self.model).__name__, "script": runs.script(type(self.model)).name,
            "step": self.step, "seconds": self.now(), "shape": self.model.shape,
            "settings": dataclasses.asdict(self.settings),
        }  # fmt: skip
        checkpoint.save(self.run.checkpoint, arrays, meta)

    # ---- states ----

    def remember(self):
        """Copy the state to the host, for a checkpoint or a replay; raise TrainingError if it is not finite."""
        start = self.now()
        state = self.model.state()
        bad = states.first_not_finite(state, self.model.as_built)
        if bad:
            self.fail(bad)
        arrays = {f"model/{name}": array for name, array in state.items()}
        arrays |= {f"batches/{name}": array for name, array in self.batches.state().items()}
        self.good = self.step, arrays
        self.good_until = self.now() + 50 * (self.now() - start)  # so that this takes 2 % of the time at most
        return arrays

    def load(self, arrays):
        """Put model and batches into the state of `remember` or of a checkpoint."""
        runs.load_into(self.run.path, self.batches, arrays, "batches/")
        runs.load_into(self.run.path, self.model, arrays, "model/")

    def fail(self, symptom):
        """Find out where a number that is not finite came from, and raise TrainingError."""
        if self.good is None:
            raise TrainingError(f"Not finite before the first step: {symptom}. Look at how the weights are drawn.")
        self.progress.say(f"{symptom} is not finite at step {self.step:,}: looking for the cause ...")
        since, arrays = self.good
        self.load(arrays)
        cause = diagnose.replay(self.model, self.batches, since, self.step)
        step, where = cause or (self.step, f"{symptom}, but not when the steps after {since:,} are repeated")
        now = " or ".join(f"{name} (it is {rate})" for name, rate in rates(self.settings).items())
        lower = " ".join(f"{name} {rate / 2:g}" for name, rate in rates(self.settings).items())
        raise TrainingError(
            f"Not finite at step {step:,}: {where}. Try a lower {now}. "
            f"The last checkpoint is whole: --resume {self.run.path} {lower} goes on from it."
        )
