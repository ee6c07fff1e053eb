"""The directory of a training run: where each file is, who may write there, and what a resumed run takes over."""

import contextlib
import dataclasses
import inspect
import itertools
import json
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from scratchgan.plots import read_log
from scratchgan.support.errors import CheckpointError, UserError
from scratchgan.support.files import replacing, write_json
from scratchgan.training import checkpoint

NAMES = ("settings.json", "log.jsonl", "checkpoint.npz", "samples", "samples.png", "losses.png", "training.gif")


class Run:
    """A run directory, locked for other processes until `close`. Make one with `new_run` or `open_run`."""

    def __init__(self, path):
        self.path = Path(path)
        self.settings, self.log, self.checkpoint, self.samples, self.last_samples, self.losses, self.animation = (
            self.path / name for name in NAMES
        )
        self.created = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UserError(f"{self.path} is a file, not a run directory: choose another --out.") from None
        except OSError as error:
            raise UserError(f"Cannot make the run directory {self.path}: {error.strerror}.") from None
        self.lock = lock(self.path)

    def occupied(self):
        """Whether the directory holds a run, or part of one."""
        return any((self.path / name).exists() for name in NAMES)

    def close(self):
        """Let other processes in; remove the directory if it was made for nothing."""
        if self.lock is not None:
            os.close(self.lock)
        if self.created:
            with contextlib.suppress(OSError):  # it holds files, as a rule
                self.path.rmdir()

    def frame(self, step):
        """Return the path of the picture of samples of a step."""
        return self.samples / f"step-{step:06}.png"

    def frames(self):
        """Return {step: path} of all pictures of samples, in the order of the steps."""
        frames = {}
        for path in self.samples.glob("step-*.png"):
            number = path.stem.removeprefix("step-")
            if number.isdecimal():
                frames[int(number)] = path
        return dict(sorted(frames.items()))

    def begin(self, settings):
        """Make the folder of samples; write the settings down, for people: a resumed run reads the checkpoint's."""
        try:
            self.samples.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot make the folder {self.samples}: {error.strerror}.") from error
        write_json(self.settings, dataclasses.asdict(settings))

    def write_log(self, record):
        """Add one line to the log."""
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(f"Cannot write {self.log}: {error.strerror}.") from error

    def forget_after(self, step):
        """Drop what a run wrote after its checkpoint of `step`: lines of the log, pictures, half-written files."""
        kept = step if step > 0 else -1  # what belongs to step 0 is written after its checkpoint
        if self.log.exists():
            with replacing(self.log) as file:
                for record in read_log(self.log):
                    if record["step"] <= kept:
                        file.write((json.dumps(record) + "\n").encode())
        late = [path for number, path in self.frames().items() if number > kept]
        for path in [*late, *self.path.glob(".*.tmp"), *self.samples.glob(".*.tmp")]:
            path.unlink()


def new_run(out, name):
    """Return the Run of a new directory: `out`, or if that is empty the first free one of runs/NAME, runs/NAME-2, ...

    Raises UserError if `out` already holds a run, or cannot be made.
    """
    if out:
        run = Run(out)
        if run.occupied():
            run.close()
            raise UserError(f"{out} already holds a run: continue it with --resume {out}, or choose another --out.")
        return run
    for number in itertools.count(1):
        path = Path("runs", name if number == 1 else f"{name}-{number}")
        if path.exists() and not path.is_dir():
            continue
        try:
            run = Run(path)
        except InUse:  # by a run that has just begun
            continue
        if not run.occupied():
            return run
        run.close()


def open_run(path):
    """Return the Run of a directory that holds one; raise CheckpointError if it does not, or is in use."""
    find_checkpoint(path)
    return Run(path)


def find_checkpoint(path):
    """Return the path of a run's checkpoint; raise CheckpointError if there is none."""
    path = Path(path)
    file = path / "checkpoint.npz"
    if not path.exists():
        raise CheckpointError(f"There is no run directory {path}.")
    if not path.is_dir():
        raise CheckpointError(f"{path} is a file; give the run directory, such as {path.parent}.")
    if not file.exists():
        raise CheckpointError(f"{path} holds no checkpoint.npz: it is no run directory, or its run never began.")
    return file


class InUse(CheckpointError):
    """Another process is writing to the run directory."""


def lock(path):
    """Lock a directory for this process; return the descriptor whose closing unlocks it, None where locks are unknown.

    The system takes the lock away when the process ends, however it ends. Raises InUse if another process has it.
    """
    if fcntl is None:
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InUse(f"{path} is in use by another process: wait until that has ended, or stop it.") from None
    except OSError:
        pass  # some network file systems have no locks
    return descriptor


# ---- the checkpoint of a run -----------------------------------------------------------------------------


def read_checkpoint(path, Model):
    """Return (arrays, meta) of the checkpoint in a run directory.

    meta: step, seconds, settings (a dictionary), shape (a tuple), model and script (names).
    Raises CheckpointError if it cannot be read, or is of another Model.
    """
    path = find_checkpoint(path)
    arrays, meta = checkpoint.load(path)
    kinds = {"step": int, "seconds": float, "settings": dict, "shape": list, "model": str, "script": str}
    for name, kind in kinds.items():
        if not isinstance(meta.get(name), kind):
            raise CheckpointError(f"{path} is damaged: it does not tell its {name}.")
    if not all(type(side) is int and side > 0 for side in meta["shape"]):
        raise CheckpointError(f"{path} is damaged: samples cannot have the shape {meta['shape']}.")
    if meta["model"] != Model.__name__:
        raise CheckpointError(
            f"{path} is of {meta['model']} ({meta['script']}), not of {Model.__name__} ({script(Model).name}): "
            f"use {meta['script']}."
        )
    return arrays, meta | {"shape": tuple(meta["shape"])}


def stored_settings(path, Settings, meta, changes):
    """Return the Settings of a checkpoint with some changes; raise CheckpointError if it has unknown ones."""
    known = {field.name for field in dataclasses.fields(Settings)}
    unknown = sorted(meta["settings"].keys() - known)
    if unknown:
        raise CheckpointError(f"{path} has settings that are unknown here ({', '.join(unknown)}): is the script older?")
    return Settings(**(meta["settings"] | changes))


def load_into(path, part, arrays, prefix):
    """Give a model or batches their arrays of a checkpoint; raise CheckpointError, naming the run, if they differ."""
    try:
        part.load_state({name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)})
    except (ValueError, CheckpointError) as error:
        raise CheckpointError(f"The checkpoint in {path} cannot be loaded: {error}") from None


def script(Model):
    """Return the path of the file in which a Model is written, as seen from here."""
    module = inspect.getmodule(Model)
    file = getattr(module, "__file__", None) or f"{Model.__name__.lower()}.py"  # a notebook has no file
    try:
        return Path(os.path.relpath(file))
    except ValueError:  # on another drive of Windows
        return Path(file)
