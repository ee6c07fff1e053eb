"""The training loop: steps, log, pictures of samples, checkpoints, and an exact resume."""

import contextlib
import dataclasses
import math
import os
import time

import numpy as np

from scratchgan import fast, plots, walk, xp
from scratchgan.data import Batches
from scratchgan.fast import memory, threads
from scratchgan.layers import Layer
from scratchgan.layers.conv import Convolving
from scratchgan.support.errors import CheckpointError, TrainingError
from scratchgan.support.files import replacing
from scratchgan.training import checkpoint, diagnose, evaluate
from scratchgan.training import run as runs
from scratchgan.training import state as states
from scratchgan.training.progress import Progress, Stop, Stopped

MODEL, PICTURES, BATCHES = 0, 1, 2  # streams of random numbers that follow from one seed
DEVICE_DATA = 2**30  # bytes of an array of real samples that may lie on the GPU: MNIST has 47 MB
EVALUATED = 2000  # samples that --evaluate-every looks at


def generator(seed, stream):
    """Return the random number generator of one of the streams."""
    return np.random.default_rng([seed, stream])


def train(Model, settings, *, resume=None):
    """Train a Model and return it; what is written lies in a run directory, as `docs/training.md` lists.

    Model: a subclass of `training.Model`; settings: a `Settings`. resume: a run directory to go on with, from its
    checkpoint: then `settings.out` does not count. Going on is exact: N steps, a stop and M steps give, on the CPU,
    bit for bit what N + M steps give. Raises UserError (and what it is subclassed to) for what a user can put
    right, TrainingError where a NaN appears, and `Stopped`, a KeyboardInterrupt, after a Ctrl-C or SIGTERM.
    """
    if settings.tf32:
        os.environ["CUPY_TF32"] = "1"  # which CuPy reads once, at its first product
    print(xp.use(settings.device), flush=True)
    memory.keep()
    run = runs.open_run(resume) if resume else runs.new_run(settings.out, runs.script(Model).stem)
    with contextlib.closing(run), computing_as(settings):
        stored = runs.read_checkpoint(run.path, Model) if resume else None
        if stored and stored[1]["step"] >= settings.steps:
            return already_trained(Model, settings, run, *stored)
        arrays = Model.load_data(settings)
        arrays = arrays if isinstance(arrays, tuple) else (arrays,)
        arrays = [on_device(array) for array in arrays]
        batches = Batches(*arrays, batch_size=settings.batch_size, rng=generator(settings.seed, BATCHES))
        model = build(Model, settings, arrays[0].shape[1:])
        describe(model, arrays, run)
        loop = Loop(model, batches, settings, run)
        if stored:
            loop.resume(*stored)
        loop.run_all()
    return model


def computing_as(settings):
    """Return a `with` block in which, with --plain, all is computed by the code that is read; else as before."""
    return fast.plain() if settings.plain else contextlib.nullcontext()


def build(Model, settings, shape):
    """Return a new model for samples of this shape, once a CPU's processors are given to what it computes most."""
    model = Model(settings, shape, generator(settings.seed, MODEL))
    convolutional = any(True for _ in walk.find(vars(model), Convolving))
    # A GPU takes a batch as one block, and the plain code knows no blocks: there, BLAS has the processors.
    threads.use(settings.threads, blas=xp.on_gpu() or settings.plain or not convolutional)
    return model


def on_device(array):
    """Return an array of real samples where batches are best taken from: on the GPU, unless it is too large.

    Labels, which are integers, stay on the host, which may want to choose by them.
    """
    return xp.to_device(array) if xp.on_gpu() and array.nbytes <= DEVICE_DATA and array.dtype.kind in "uf" else array


def describe(model, arrays, run):
    """Print what is about to be trained, and where."""
    print(f"data {model.settings.data}: {len(arrays[0]):,} samples of shape {model.shape}")
    for name, network in networks(model):
        print(f"{name}: {sum(param.value.size for param in network.params()):,} parameters")
    print(f"run directory: {run.path}", flush=True)


def networks(model):
    """Return [(path, network)]: the layers of a model that are not inside another layer."""
    outermost = []
    for path, layer in walk.find(vars(model), Layer):
        if not any(path.startswith(f"{other}.") for other, _ in outermost):
            outermost.append((path, layer))
    return outermost


def already_trained(Model, settings, run, arrays, meta):
    """Say so; draw the closing pictures if the run was stopped before it could; return the model."""
    print(f"{run.path} has reached step {meta['step']:,} already: nothing to do; --steps {2 * meta['step']} goes on.")
    drawn = run.animation.stat().st_mtime if run.animation.exists() else 0
    if drawn < run.checkpoint.stat().st_mtime:
        closing_pictures(run)
    model = build(Model, settings, meta["shape"])
    runs.load_into(run.path, model, arrays, "model/")
    model.finish()
    return model


def closing_pictures(run):
    """Draw what belongs to a run that has ended: its last samples, its losses, and its samples as an animation."""
    frames = list(run.frames().values())
    plots.losses(run.log, run.losses)
    plots.animation(frames, run.animation)
    with replacing(run.last_samples) as file:
        file.write(frames[-1].read_bytes())


def load_model(Model, Settings, run):
    """Return the trained model of a run directory, to draw samples from; no data set is needed.

    Raises CheckpointError where the directory holds no checkpoint of this Model.
    """
    arrays, meta = runs.read_checkpoint(run, Model)
    settings = runs.stored_settings(run, Settings, meta, {})
    model = Model(settings, meta["shape"], generator(settings.seed, MODEL))
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
        self.evaluation = evaluate.prepare(model, EVALUATED) if settings.evaluate_every else None

    def resume(self, arrays, meta):
        """Go on from a checkpoint; raise CheckpointError, and change nothing on the disk, if it does not fit."""
        if self.model.shape != meta["shape"]:
            raise CheckpointError(
                f"{self.run.path} was trained on samples of shape {meta['shape']}, the data has {self.model.shape}."
            )
        self.load(arrays)
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.run.forget_after(self.step)
        print(f"going on from step {self.step:,}", flush=True)

    def run_all(self):
        """Take all steps that are left, and draw the closing pictures."""
        self.progress = Progress(self.step, self.settings.steps, self.settings.batch_size)
        self.started = time.perf_counter() - self.seconds
        try:
            with Stop() as stop:
                self.begin()
                while self.step < self.settings.steps:
                    losses = self.model.step(self.batches)
                    self.step += 1
                    self.progress.advance()
                    self.look(losses, stop.number is not None)
                    if stop.number is not None:
                        raise Stopped(stop.number, self.run, self.step)
            closing_pictures(self.run)
            self.model.finish()
        finally:
            self.progress.close()
        print(f"done: {self.run.path} holds the samples, the losses and the checkpoint")

    def begin(self):
        """Write what a run starts with: at once a checkpoint, so that it can be resumed whatever comes."""
        self.save()
        self.run.begin(self.settings)
        if self.evaluation:
            self.progress.say(f"floor of the evaluations: {in_words(self.evaluation.floor())}")
        if self.step == 0:
            self.log({}, self.sample())

    def look(self, losses, stopping):
        """After a step, do what is due: log, picture, checkpoint. Otherwise, do not wait for the device."""
        sample = self.due(self.settings.sample_every)
        save = self.due(self.settings.checkpoint_every) or stopping
        measure = self.evaluation is not None and self.due(self.settings.evaluate_every)
        log = self.due(self.settings.log_every)
        if not (sample or save or measure or log):
            return
        losses = self.fetch(losses)
        if sample or measure or log:
            report = self.sample() if sample else {}
            self.log(losses, report | (self.evaluation.follow(self.model) if measure else {}))
        if save:
            self.save()
        elif self.now() > self.good_until:
            self.remember()

    def due(self, every):
        return self.step % every == 0 or self.step == self.settings.steps

    def now(self):
        return time.perf_counter() - self.started

    # ---- what is written ----

    def fetch(self, losses):
        """Bring the losses to the host; raise TrainingError if one is not finite."""
        losses = {name: float(loss) for name, loss in losses.items()}
        for name, loss in losses.items():
            if not math.isfinite(loss):
                self.fail(f"the loss {name}")
        return losses

    def log(self, losses, report):
        """Write a line of the log, and show the numbers."""
        record = {"step": self.step, "seconds": round(self.now(), 3), **losses}
        if report:
            report = {name: to_number(value) for name, value in report.items()}
            self.progress.say(f"step {self.step:,}: {in_words(report)}")
            # JSON knows no NaN and no infinity
            record["report"] = {name: value if math.isfinite(value) else None for name, value in report.items()}
        if losses or report:
            self.run.write_log(record)
        if losses:
            self.progress.show(self.step, losses)

    def sample(self):
        """Draw the picture of samples, always from the same latent vectors, and return the model's report."""
        with states.generators_kept(self.model):  # looking at a model must not change what it does next
            z = self.model.latent(64, generator(self.settings.seed, PICTURES))
            plots.save(self.model.picture(xp.to_device(z)), self.run.frame(self.step))
            return self.model.report()

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
        bad = states.first_not_finite(state)
        if bad:
            self.fail(bad)
        arrays = {f"model/{name}": array for name, array in state.items()}
        arrays |= {f"batches/{name}": array for name, array in self.batches.state().items()}
        if self.good and self.good[1].keys() != arrays.keys():
            late = sorted(self.good[1].keys() ^ arrays.keys())
            raise TypeError(f"{late[0]} came or went during training: set it in __init__, or no run can be resumed")
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
        raise TrainingError(
            f"Not finite at step {step:,}: {where}. Try a lower --lr (it is {self.settings.lr}). "
            f"The last checkpoint is whole: --resume {self.run.path} --lr {self.settings.lr / 2:g} goes on from it."
        )


def in_words(report):
    """Return the numbers of a report as one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in report.items())


def to_number(value):
    """Return a number of a report, which may be NumPy's or a 0-d array, as Python's."""
    return value.item() if hasattr(value, "item") else value
