"""The command line of every example: train, sample, interpolate, evaluate, plot."""

import contextlib
import inspect
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgan import parallel, plots, xp
from scratchgan.latent import great_circle
from scratchgan.support.arguments import Parser
from scratchgan.support.errors import UserError
from scratchgan.support.files import write_bytes, write_json
from scratchgan.support.text import say_last
from scratchgan.training import drawing
from scratchgan.training import evaluate as evaluation
from scratchgan.training import run as runs
from scratchgan.training.loop import load_model, train
from scratchgan.training.progress import Stopped, say
from scratchgan.training.settings import add_options, option


def main(Model, Settings, argv=None, commands=()):
    """Run the command line of an example: train a Model, or draw from a trained one.

    commands: functions f(Model, Settings, program, argv) of the example's own, each a command by its name.

    Exits with 2 and one line on stderr for whatever a user can put right; with 130 after Ctrl-C, 143 after SIGTERM,
    129 after a terminal was closed.
    """
    script = runs.script(Model)
    argv = sys.argv[1:] if argv is None else list(argv)
    commands = {command.__name__: command for command in (sample, interpolate, evaluate, plot, *commands)}
    command = commands.get(argv[0]) if argv else None
    smaller = "--n" if command else "--batch-size" + " or --width" * hasattr(Settings, "width")
    with in_a_line(script.name, lambda run: quoted("python", script, "--resume", run.path), smaller):
        parallel.join()
        if command:
            parallel.first(command, Model, Settings, script.name, argv[1:])
        else:
            train_command(Model, Settings, script, argv, commands)


@contextlib.contextmanager
def in_a_line(program, again, smaller="--width"):
    """Turn errors that a user can put right, and what stops a program, into a line on stderr and an exit status.

    again: from a run to the command that goes on with it; smaller: the options to lower where memory is short.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed at the start: the next file to be opened would get its number
            setattr(sys, name, open(os.devnull, "w"))
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="replace")  # a terminal may have no letter for an é
    try:
        yield
        sys.stdout.flush()  # a full disk shows here
    except UserError as error:
        leave(2, f"{program}: error: {error}")
    except MemoryError as error:  # of the host, or, as CuPy's is one too, of the GPU
        where, what = " on the GPU" * xp.on_gpu(), f" ({error})" if str(error) else ""
        leave(2, f"{program}: error: not enough memory{where}{what}: lower {smaller}")
    except BrokenPipeError:  # who read what is printed, such as `head`, has gone
        leave(2, f"{program}: error: stopped, as nobody reads what it prints")
    except OSError as error:
        leave(2, f"{program}: error: cannot use {error.filename or 'a file, or write here'}: {error.strerror or error}")
    except Stopped as stopped:
        leave(128 + stopped.number, f"Stopped at step {stopped.step:,}. To go on: {again(stopped.run)}")
    except KeyboardInterrupt:
        leave(130, "Stopped at once.")


def leave(status, text):
    """Exit with a line on stderr; of several processes that train together, all of them."""
    parallel.end(status, lambda: say_last(text))
    sys.exit(status)


def quoted(*command):
    """Return a command as one types it."""
    command = [str(part) for part in command]
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


# ---- training --------------------------------------------------------------------------------------------


def list_commands(script, commands):
    """Return the part of the help that lists the commands, as they can be pasted."""
    run = Path("runs", script.stem)
    lines = [("", "Train."), (f"--resume {quoted(run)}", "Go on with a run.")]
    lines += [(f"{name} {quoted(run)}", (inspect.getdoc(f) or "").partition("\n")[0]) for name, f in commands.items()]
    text = "".join(f"  {quoted('python', script)} {rest}".rstrip() + f"\n      {what}\n" for rest, what in lines)
    return f"commands, each with options of its own (such as `sample --help`):\n{text}"


def train_command(Model, Settings, script, argv, commands):
    """Train anew, or go on with a run: its own settings are then the defaults."""
    description = (inspect.getdoc(inspect.getmodule(Model)) or "").split("\n\n")[0]
    epilog = list_commands(script, commands)
    parser = Parser(script.name, "%(prog)s [options]", description, epilog, words=commands)
    parser.add_argument("--resume", metavar="RUN", type=os.path.expanduser,
                        help="go on with this run, whose settings are then the defaults")  # fmt: skip
    add_options(parser, Settings)
    given = vars(parser.parse_args(argv))
    resume = given.pop("resume")
    if resume is None:
        train(Model, Settings(**given))
        return
    out = given.pop("out", resume)
    if os.path.realpath(out) != os.path.realpath(resume):
        raise UserError(f"--out {out} and --resume {resume} are two directories: a run goes on where it is.")
    _, meta = parallel.group().broadcast(parallel.first(runs.read_checkpoint, resume, Model))
    train(Model, runs.stored_settings(resume, Settings, meta, given), resume=resume)


# ---- what can be done with a run -------------------------------------------------------------------------


@dataclass
class SampleOptions:
    n: int = option(64, "how many samples; examples with labels or codes draw whole rows", minimum=1, maximum=100_000)
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    separate: bool = option(False, "write each sample as a picture of its own, 000000.png and so on, into a folder")
    scale: int = option(1, "times that each pixel is drawn, in both directions", minimum=1, maximum=64)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/grid.png), or the folder (default: RUN/separate)")


@dataclass
class InterpolateOptions:
    n: int = option(8, "how many walks; each is a row", minimum=1, maximum=10_000)
    steps: int = option(10, "samples in a walk, its two ends included", minimum=2, maximum=10_000)
    seed: int = option(0, "the ends of the walks follow from it", minimum=0)
    scale: int = option(1, "times that each pixel is drawn, in both directions", minimum=1, maximum=64)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/walk.png)")


@dataclass
class EvaluateOptions:
    n: int = option(0, "how many samples; 0: 10,000 images, 2,500 points, 2,000 pairs or sequences", minimum=0)
    classifier: str = option("", "weights of examples/uses/classifier.py (default: runs/classifiers/DATA.npz)")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/metrics.json)")


@dataclass
class PlotOptions:
    out: str = option("", "picture to write (default: RUN/losses.png)")


def sample(Model, Settings, program, argv):
    """Draw a grid of samples of a trained model, each as a picture of its own, or a file of their texts or sounds."""
    run, options = parse_run(program, "sample", sample.__doc__, SampleOptions, argv)
    out = output(options, run, "grid.png", Model.exports)
    model = load(Model, Settings, run, options)
    draw_samples(model, options, out, model.latent)


def draw_samples(model, options, out, latent):
    """Draw samples as `SampleOptions` say; latent(n, rng) returns their latent vectors."""
    rng = np.random.default_rng(options.seed)
    if options.separate:
        drawing.write_separately(model, options.n, options.scale, out, lambda n: latent(n, rng))
        say(f"wrote {options.n:,} pictures to {out}")
        return
    if out.suffix.lower() in model.exports:
        n = min(options.n, model.exported)
        write_bytes(out, model.export(xp.to_device(latent(options.n, rng)[:n]), out.suffix.lower()))
        say(f"wrote {n:,} of {options.n:,} samples to {out}")
        return
    drawing.check(model, options.n, model.layout(options.n), options.scale, out, "--n")
    z = xp.to_device(latent(options.n, rng))
    write(drawing.enlarge(model.picture(z), options.scale), out)


def interpolate(Model, Settings, program, argv):
    """Walk from one latent vector to another on a great circle, and draw the samples along the way; a row per walk."""
    run, options = parse_run(program, "interpolate", interpolate.__doc__, InterpolateOptions, argv)
    out = output(options, run, "walk.png")
    model = load(Model, Settings, run, options)
    layout = options.n, options.steps
    drawing.check(model, options.n * options.steps, layout, options.scale, out, "--n or --steps")
    rng = np.random.default_rng(options.seed)
    starts, ends = model.latent(options.n, rng), model.latent(options.n, rng)
    times = np.linspace(0, 1, options.steps)
    walks = np.stack([great_circle(starts, ends, float(t)) for t in times], axis=1)  # (n, steps, latent)
    z = xp.to_device(walks.reshape(-1, *starts.shape[1:]))
    write(drawing.enlarge(model.walk(z, options.steps), options.scale), out)


def evaluate(Model, Settings, program, argv):
    """Measure samples of a trained model, and training data in their place; write metrics.json."""
    run, options = parse_run(program, "evaluate", evaluate.__doc__, EvaluateOptions, argv)
    model = load(Model, Settings, run, options)
    start = time.perf_counter()
    against = evaluation.prepare(model, options.n, options.classifier)
    table = against.table(model)
    _, meta = runs.read_checkpoint(run, Model)
    facts = {"run": str(run), "step": meta["step"], "data": model.settings.data, "n": against.n, **against.facts,
             "seconds": round(time.perf_counter() - start, 1)}  # fmt: skip
    out = options.out or run / "metrics.json"
    evaluation.write(table, facts, out, against.columns)
    print(evaluation.text(table, against.columns))
    say(f"{model.looked_at(against.n)}, {facts['seconds']:.0f} seconds; wrote {out}")


def plot(Model, Settings, program, argv):
    """Draw the losses of a run, also while it grows."""
    run, options = parse_run(program, "plot", plot.__doc__, PlotOptions, argv)
    out = output(options, run, "losses.png")
    if not run.is_dir():
        raise UserError(f"There is no run directory {run}.")
    plots.losses(run / "log.jsonl", out)
    say(f"wrote {out}")


# ---- helpers ---------------------------------------------------------------------------------------------


def parse_run(program, command, description, Options, argv):
    """Return (run directory, options) of a command."""
    parser = Parser(f"{program} {command}".strip(), "%(prog)s RUN [options]", description)
    parser.add_argument("run", metavar="RUN", type=os.path.expanduser, help="run directory, such as runs/gan")
    add_options(parser, Options)
    given = vars(parser.parse_args(argv))
    run, options = Path(given.pop("run")), Options(**given)
    if options.out and not Path(options.out).parent.is_dir():
        raise UserError(f"--out {options.out}: there is no folder {Path(options.out).parent}.")
    if Path(options.out).suffix in (".npz", ".jsonl") or Path(options.out).name == "settings.json":
        raise UserError(f"--out {options.out}: this may be a training's own file; choose another name.")
    return run, options


def output(options, run, name, exports=()):
    """Return where to write a picture, or a folder of them, once that is known to be fine: drawing may take a while.

    exports: the endings of files that are no pictures, and fine as well.
    """
    if getattr(options, "separate", False):
        return drawing.new_folder(options.out or run / "separate")
    out = Path(options.out or run / name)
    if out.suffix.lower() in exports:
        return out
    plots.file_format(out, exports)
    return out


def load(Model, Settings, run, options):
    """Choose the device and load the trained model of a run."""
    print(xp.use(options.device))
    return load_model(Model, Settings, run)


def write(picture, out):
    """Write a picture and say so."""
    plots.save(picture, out)
    say(f"wrote {out}")


def write_numbers(numbers, out):
    """Write {name: number} as JSON and say so."""
    write_json(out, numbers)
    say(f"wrote {out}")
