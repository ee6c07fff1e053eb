"""The command line of every example: train, sample, interpolate, evaluate, plot."""

import argparse
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

from scratchgan import plots, xp
from scratchgan.latent import great_circle
from scratchgan.support.errors import UserError
from scratchgan.support.files import write_json
from scratchgan.training import evaluate as evaluation
from scratchgan.training import run as runs
from scratchgan.training.loop import load_model, train
from scratchgan.training.progress import Stopped
from scratchgan.training.settings import add_options, option


def main(Model, Settings, argv=None, commands=()):
    """Run the command line of an example: train a Model, or draw from a trained one.

    commands: functions f(Model, Settings, program, argv) of the example's own, each a command by its name.

    Exits with 2 and one line on stderr for whatever a user can put right; with 130 after Ctrl-C, 143 after SIGTERM.
    """
    script = runs.script(Model)
    argv = sys.argv[1:] if argv is None else list(argv)
    commands = {command.__name__: command for command in (sample, interpolate, evaluate, plot, *commands)}
    command = commands.get(argv[0]) if argv else None
    smaller = "--n" if command else "--batch-size" + " or --width" * hasattr(Settings, "width")
    with in_a_line(script.name, lambda run: quoted("python", script, "--resume", run.path), smaller):
        if command:
            command(Model, Settings, script.name, argv[1:])
        else:
            train_command(Model, Settings, script.name, argv, commands)


@contextlib.contextmanager
def in_a_line(program, again, smaller="--width"):
    """Turn errors that a user can put right, and what stops a program, into a line on stderr and an exit status.

    again: from a run to the command that goes on with it; smaller: the options to lower where memory is short.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may have no letter for what is printed, such as é
    try:
        yield
    except UserError as error:
        leave(2, f"{program}: error: {' '.join(str(error).split())}")
    except MemoryError as error:  # of the host, or, as CuPy's is one too, of the GPU
        where, what = " on the GPU" * xp.on_gpu(), f" ({error})" if str(error) else ""
        leave(2, f"{program}: error: not enough memory{where}{what}: lower {smaller}")
    except BrokenPipeError:  # who read what is printed, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        leave(2, f"{program}: error: stopped, as nobody reads what it prints")
    except OSError as error:
        leave(2, f"{program}: error: cannot use {error.filename or 'a file'}: {error.strerror or error}")
    except Stopped as stopped:
        leave(128 + stopped.number, f"Stopped at step {stopped.step:,}. To go on: {again(stopped.run)}")
    except KeyboardInterrupt:
        leave(130, "Stopped at once.")


def leave(status, text):
    print(text, file=sys.stderr)
    sys.exit(status)


def quoted(*command):
    """Return a command as one types it."""
    command = [str(part) for part in command]
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


# ---- training --------------------------------------------------------------------------------------------

COMMANDS = """commands:
  {0} [options]                  train
  {0} --resume RUN [options]     go on with a run
{1}
`{0} COMMAND --help` lists the options of a command."""


def list_commands(program, commands):
    """Return the part of the help that lists the commands."""
    lines = [f"  {program} {name} RUN [options]: {inspect.getdoc(f).splitlines()[0]}\n" for name, f in commands.items()]
    return COMMANDS.format(program, "".join(lines))


def train_command(Model, Settings, program, argv, commands):
    """Train anew, or go on with a run: its own settings are then the defaults."""
    description = (inspect.getdoc(inspect.getmodule(Model)) or "").split("\n\n")[0]
    parser = make_parser(program, "%(prog)s [options]", description, epilog=list_commands(program, commands))
    parser.add_argument("--resume", metavar="RUN", help="go on with this run, whose settings are then the defaults")
    add_options(parser, Settings)
    given = vars(parser.parse_args(argv))
    resume = given.pop("resume")
    if resume is None:
        train(Model, Settings(**given))
        return
    out = given.pop("out", resume)
    if os.path.realpath(out) != os.path.realpath(resume):
        raise UserError(f"--out {out} and --resume {resume} are two directories: a run goes on where it is.")
    _, meta = runs.read_checkpoint(resume, Model)
    train(Model, runs.stored_settings(resume, Settings, meta, given), resume=resume)


def make_parser(program, usage, description, epilog=None):
    """Return an argparse parser that takes no abbreviations."""
    return argparse.ArgumentParser(
        program, usage, description, epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip


# ---- what can be done with a run -------------------------------------------------------------------------


@dataclass
class SampleOptions:
    n: int = option(64, "how many samples; examples with labels or codes draw whole rows", minimum=1, maximum=100_000)
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/grid.png)")


@dataclass
class InterpolateOptions:
    n: int = option(8, "how many walks; each is a row", minimum=1, maximum=10_000)
    steps: int = option(10, "samples in a walk, its two ends included", minimum=2, maximum=10_000)
    seed: int = option(0, "the ends of the walks follow from it", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/walk.png)")


@dataclass
class EvaluateOptions:
    n: int = option(0, "how many samples; 0: 10,000 images or 2,500 points", minimum=0)
    classifier: str = option("", "weights of examples/uses/classifier.py (default: runs/classifiers/DATA.npz)")
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "file to write (default: RUN/metrics.json)")


@dataclass
class PlotOptions:
    out: str = option("", "picture to write (default: RUN/losses.png)")


def sample(Model, Settings, program, argv):
    """Draw a grid of samples of a trained model."""
    run, options = parse_run(program, "sample", sample.__doc__, SampleOptions, argv)
    out = output(options, run, "grid.png")
    model = load(Model, Settings, run, options)
    z = model.latent(options.n, np.random.default_rng(options.seed))
    write(model.picture(xp.to_device(z)), out)


def interpolate(Model, Settings, program, argv):
    """Walk from one latent vector to another on a great circle, and draw the samples along the way; a row per walk."""
    run, options = parse_run(program, "interpolate", interpolate.__doc__, InterpolateOptions, argv)
    out = output(options, run, "walk.png")
    model = load(Model, Settings, run, options)
    rng = np.random.default_rng(options.seed)
    starts, ends = model.latent(options.n, rng), model.latent(options.n, rng)
    times = np.linspace(0, 1, options.steps)
    walks = np.stack([great_circle(starts, ends, float(t)) for t in times], axis=1)  # (n, steps, latent)
    z = xp.to_device(walks.reshape(-1, *starts.shape[1:]))
    write(model.walk(z, options.steps), out)


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
    evaluation.write(table, facts, out)
    print(evaluation.text(table))
    print(f"{against.n:,} samples, {facts['seconds']:.0f} seconds; wrote {out}")


def plot(Model, Settings, program, argv):
    """Draw the losses of a run, also while it grows."""
    run, options = parse_run(program, "plot", plot.__doc__, PlotOptions, argv)
    out = output(options, run, "losses.png")
    if out.suffix.lower() != ".png":
        raise UserError(f"{out}: losses are drawn as PNG, so that --out must end with .png.")
    if not run.is_dir():
        raise UserError(f"There is no run directory {run}.")
    plots.losses(run / "log.jsonl", out)
    print(f"wrote {out}")


# ---- helpers ---------------------------------------------------------------------------------------------


def parse_run(program, command, description, Options, argv):
    """Return (run directory, options) of a command."""
    parser = make_parser(f"{program} {command}", "%(prog)s RUN [options]", description)
    parser.add_argument("run", metavar="RUN", help="run directory, such as runs/gan")
    add_options(parser, Options)
    given = vars(parser.parse_args(argv))
    if given.get("out") and not Path(given["out"]).parent.is_dir():
        raise UserError(f"--out {given['out']}: there is no folder {Path(given['out']).parent}.")
    return Path(given.pop("run")), Options(**given)


def output(options, run, name):
    """Return where to write a picture, once its ending is known to be fine: drawing may take a while."""
    out = Path(options.out or run / name)
    plots.file_format(out)
    return out


def load(Model, Settings, run, options):
    """Choose the device and load the trained model of a run."""
    print(xp.use(options.device))
    return load_model(Model, Settings, run)


def write(picture, out):
    """Write a picture and say so."""
    plots.save(picture, out)
    print(f"wrote {out}")


def write_numbers(numbers, out):
    """Write {name: number} as JSON and say so."""
    write_json(out, numbers)
    print(f"wrote {out}")
