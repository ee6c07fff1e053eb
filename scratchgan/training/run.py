"""The directory of a training run: where each file is, who may write there, and what a resumed run takes over."""

import contextlib
import dataclasses
import inspect
import itertools
import json
import math
import os
import shutil
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from scratchgan import parallel
from scratchgan.plots import read_log
from scratchgan.support.errors import CheckpointError, SettingsError, UserError
from scratchgan.support.files import append, leftovers, mode_of, reading, replacing, write_json
from scratchgan.support.pictures import open_picture
from scratchgan.support.text import printable
from scratchgan.training import checkpoint

LARGEST_SAMPLE = 2**31  # numbers of a sample, and bytes of a picture of samples
NAMES = ("settings.json", "log.jsonl", "checkpoint.npz", "samples", "samples.png", "losses.png", "training.gif")


class Run:
    """A run directory, locked for other processes until `close`. Make one with `new_run` or `open_run`."""

    def __init__(self, path):
        self.path = Path(os.path.expanduser(path))
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
        return any(os.path.lexists(self.path / name) for name in NAMES)

    def close(self):
        """Let other processes in; remove the directory if it was made for nothing."""
        if self.lock is not None:
            os.close(self.lock)
        if self.created:
            with contextlib.suppress(OSError):  # it holds files, as a rule
                self.path.rmdir()

    def demand_files(self, step):
        """Raise UserError unless all files can be used when they are due, which may be after days of training."""
        if os.path.lexists(self.samples) and not self.samples.is_dir():
            raise UserError(f"Cannot make the folder {self.samples}: something else has its name.")
        for number, path in self.frames().items():
            if number <= step:
                with open_picture(path):  # what is later will be drawn anew
                    pass
        for path in (self.settings, self.log, self.checkpoint, self.last_samples, self.losses, self.animation):
            mode_of(path, path)
            folder = Path(os.path.realpath(path)).parent
            if not os.access(folder, os.W_OK) or path == self.log and path.exists() and not os.access(path, os.W_OK):
                raise UserError(f"Cannot write {path}: permission is missing, or the folder {folder}.")

    def frame(self, step):
        """Return the path of the picture of samples of a step."""
        return self.samples / f"step-{step:06}.png"

    def frames(self):
        """Return {step: path} of all pictures of samples, in the order of the steps."""
        frames = {}
        for path in self.samples.glob("step-*.png"):
            number = path.stem.removeprefix("step-")
            if number.isdecimal() and path == self.frame(int(number)):  # not a picture of somebody else
                frames[int(number)] = path
        return dict(sorted(frames.items()))

    def outdated(self, picture):
        """Whether a closing picture is missing, or older than the checkpoint."""
        return not picture.exists() or picture.stat().st_mtime_ns <= self.checkpoint.stat().st_mtime_ns

    def beside(self, frame):
        """Return the paths of a picture of samples and of the files of the same samples, such as step-000500.mid."""
        return sorted(path for path in self.samples.iterdir() if path.stem == frame.stem)

    def show(self, frame):
        """Let samples.png be this picture of samples, and samples.mid, say, the file beside it."""
        for path in self.beside(frame):
            last = self.last_samples.with_suffix(path.suffix)
            with reading(path, limit=LARGEST_SAMPLE) as drawn, replacing(last) as file:
                file.write(drawn.read())

    def begin(self, settings):
        """Make the folder of samples; write the settings down, for people; remove what killed processes left."""
        self.samples.mkdir(exist_ok=True)  # `demand_files` has seen that this is possible
        for path in leftovers(self.path) + leftovers(self.samples):
            shutil.rmtree(path) if path.is_dir() else path.unlink()  # a folder is of `sample --separate`
        write_json(self.settings, dataclasses.asdict(settings))

    def write_log(self, record):
        """Add one line to the log."""
        append(self.log, (json.dumps(record) + "\n").encode())

    def forget_after(self, step):
        """Drop what a run wrote after its checkpoint of `step`: lines of the log, and pictures."""
        kept = step if step > 0 else -1  # what belongs to step 0 is written after its checkpoint
        if self.log.exists():
            with replacing(self.log) as file:
                for record in read_log(self.log):
                    if record["step"] <= kept:
                        file.write((json.dumps(record) + "\n").encode())
        for number, frame in self.frames().items():
            for path in self.beside(frame) if number > kept else []:
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


class Elsewhere:
    """The run directory for a process that neither reads nor writes there: the first one does."""

    def __init__(self, path):
        self.path = path

    def close(self):
        pass


def shared(open, *arguments):
    """Return the Run that `open` opens, in the first of the processes that train together; else an Elsewhere."""
    run = parallel.first(open, *arguments)
    path = parallel.group().broadcast(run and run.path)
    return run or Elsewhere(path)


def find_checkpoint(path):
    """Return the path of a run's checkpoint; raise CheckpointError if there is none."""
    path = Path(os.path.expanduser(path))
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
    check_facts(path, meta)
    if meta["model"] != Model.__name__:
        raise CheckpointError(
            f"{path} is of {meta['model']}, not of {Model.__name__}, which {script(Model).name!r} trains: "
            f"use the script {meta['script']!r}."
        )
    return arrays, meta | {"shape": tuple(meta["shape"])}


def check_facts(path, meta):
    """Raise CheckpointError unless these are facts that a training can have written."""
    kinds = {"step": int, "seconds": float, "settings": dict, "shape": list, "model": str, "script": str}
    for name, kind in kinds.items():
        if type(meta.get(name)) is not kind:
            raise CheckpointError(f"{path} is damaged: it does not tell its {name}.")
    shape, steps = meta["shape"], meta["settings"].get("steps", meta["step"])
    sane = len(shape) <= 8 and all(type(side) is int and side > 0 for side in shape)
    if not sane or math.prod(shape) > LARGEST_SAMPLE:
        raise CheckpointError(f"{path} is damaged: samples cannot have the shape {printable(shape, 60)}.")
    if not (type(steps) is int and 0 <= meta["step"] <= steps):
        raise CheckpointError(f"{path} is damaged: it cannot be of step {meta['step']} of {steps}.")
    if not 0 <= meta["seconds"] < math.inf:
        raise CheckpointError(f"{path} is damaged: training cannot have taken {meta['seconds']} seconds.")


def stored_settings(path, Settings, meta, changes):
    """Return the Settings of a checkpoint with some changes; raise CheckpointError if it has unknown ones.

    Raises UserError for another seed: generators would go on, but data would be drawn anew.
    """
    seed = meta["settings"].get("seed")
    if changes.get("seed", seed) != seed:
        raise UserError(f"{path} began with --seed {seed}, and goes on with it: leave --seed out, or begin a new run.")
    known = {field.name for field in dataclasses.fields(Settings)}
    unknown = sorted(meta["settings"].keys() - known)
    if unknown:
        raise CheckpointError(f"{path} has settings that are unknown here ({', '.join(unknown)}): is the script older?")
    try:
        return Settings(**(meta["settings"] | changes))
    except SettingsError as error:
        raise CheckpointError(f"The settings in the checkpoint of {path} cannot be used: {error}") from None


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
    except (OSError, ValueError):  # the present folder was deleted, or is on another drive of Windows
        return Path(file)
