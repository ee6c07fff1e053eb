"""Settings: the options of an example as a dataclass, and the command line that is built from it."""

import argparse
import dataclasses
import inspect
import math
import os
import typing
from dataclasses import dataclass

from scratchgan.support.errors import SettingsError


def option(default, help, *, choices=None, minimum=None, maximum=None):
    """Return a dataclass field with a default, a line of help, and what its values may be (bounds included).

    steps: int = option(6000, "training steps", minimum=1)      # on the command line: --steps 6000
    """
    bounds = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=bounds)


@dataclass
class Settings:
    """The options that every training run has. Subclass it, with @dataclass again, to add more or change defaults.

    Each field is an int, a float, a str or a bool: --x or --no-x; of a bool no_x, --no-x, and --x takes it back.
    Raises SettingsError for a value that a field cannot have.
    """

    steps: int = option(10_000, "training steps", minimum=1)
    batch_size: int = option(64, "real samples in a training step", minimum=1)
    lr: float = option(2e-4, "learning rate", minimum=1e-12)
    seed: int = option(0, "all random numbers follow from it: weights, batches, noise, pictures", minimum=0)
    device: str = option("auto", "where to compute; auto: on the GPU if one works", choices=("auto", "cpu", "gpu"))
    tf32: bool = option(False, "on a GPU, multiply with 10 bits of each number's 23: faster, and less exact")
    device_noise: bool = option(False, "on a GPU, draw noise there: faster, but other numbers than a CPU's, and no "
                                "exact resume")  # fmt: skip
    threads: int = option(0, "threads on a CPU, ours and BLAS's; 0: as many as processors are idle at the "
                          "start", minimum=0, maximum=1024)  # fmt: skip
    plain: bool = option(False, "compute with the plain code that is read, not with its faster twins: slow, for a "
                         "debugger")  # fmt: skip
    data: str = option("glyphs", "data set: glyphs, mnist, fashion_mnist, kmnist, or a folder of pictures")
    data_dir: str = option("", "folder with the files of MNIST and its relatives (default: where they are kept)")
    hold_out: bool = option(False, "do not train on one in ten pictures of a folder, against which `evaluate` then "
                            "measures")  # fmt: skip
    out: str = option("", "run directory, a new one (default: runs/NAME-OF-THE-SCRIPT, or with -2, -3, ...)")
    sample_every: int = option(500, "steps from one picture of samples to the next", minimum=1)
    checkpoint_every: int = option(500, "steps from one checkpoint to the next", minimum=1)
    evaluate_every: int = option(0, "steps from one measurement of 2,000 samples to the next; 0: none", minimum=0)
    log_every: int = option(25, "steps from one line of the log to the next", minimum=1)

    def __post_init__(self):
        if "__dataclass_fields__" not in vars(type(self)) and inspect.get_annotations(type(self)):
            raise TypeError(f"{type(self).__name__} adds options: write @dataclass above the class")
        check_all(self)


def check_all(settings):
    """Check every field of a dataclass of options, and convert it to its type; raise SettingsError."""
    for field, kind in options(type(settings)):
        try:
            setattr(settings, field.name, check(field, kind, getattr(settings, field.name)))
        except ValueError as error:
            raise SettingsError(f"{flag(field)} {error}.") from None


def options(Options):
    """Return (field, type) for every field of a dataclass; raise TypeError for a type that no option can have."""
    kinds = typing.get_type_hints(Options)  # unlike field.type, never a string
    for field in dataclasses.fields(Options):
        if kinds[field.name] not in (int, float, str, bool):
            raise TypeError(f"the option {field.name} is {kinds[field.name]}, wanted int, float, str or bool")
    return [(field, kinds[field.name]) for field in dataclasses.fields(Options)]


def flag(field):
    """Return how a field is written on the command line."""
    return "--" + field.name.replace("_", "-")


def rates(settings):
    """Return {how it is written on the command line: number} of every learning rate, of those above 0."""
    found = {flag(field): getattr(settings, field.name) for field, kind in options(type(settings)) if kind is float}
    return {name: rate for name, rate in found.items() if name.split("-")[2] == "lr" and rate > 0}


def check(field, kind, value):
    """Return `value` as the field's type; raise ValueError that says what is wrong, as in "must be ..."."""
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be True or False, not {value!r}")
        return value
    if kind is str:
        if not isinstance(value, str | os.PathLike):
            raise ValueError(f"must be text, not {value!r}")
        value = os.path.expanduser(os.fsdecode(value))  # a shell leaves the ~ of --out=~/run alone
    else:
        value = check_number(field, kind, value)
    choices = field.metadata.get("choices")
    if choices is not None and value not in choices:
        raise ValueError(f"must be one of {', '.join(map(str, choices))}, not {value!r}")
    return value


def check_number(field, kind, value):
    """Return `value`, a number or its text, as an int or a float within the field's bounds; raise ValueError."""
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    rounded = isinstance(value, float) and kind is int and number != value
    if number is None or rounded:
        raise ValueError(f"must be a {'whole ' if kind is int else ''}number, not {value!r}")
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number, not {value}")
    if kind is int and abs(number) >= 2**63:
        raise ValueError(f"must be below 2^63, not {value}")
    minimum, maximum = field.metadata.get("minimum"), field.metadata.get("maximum")
    if minimum is not None and number < minimum:
        raise ValueError(f"must be at least {minimum}, not {value}")
    if maximum is not None and number > maximum:
        raise ValueError(f"must be at most {maximum}, not {value}")
    return number


# ---- the command line ------------------------------------------------------------------------------------


def add_options(parser, Options):
    """Give an argparse parser one option for every field of a dataclass.

    An option that is not given leaves no trace in what the parser returns: its default may come from elsewhere.
    """
    for field, kind in options(Options):
        help = field.metadata.get("help", "").replace("%", "%%")
        if field.default != "":
            help += f" (default: {field.default})"
        choices = field.metadata.get("choices")
        keywords = {"dest": field.name, "default": argparse.SUPPRESS, "help": help}
        if kind is bool and field.name.startswith("no_"):
            # BooleanOptionalAction would take the --no-gan of a field no_gan for a no.
            parser.add_argument(flag(field), action="store_true", **keywords)
            taken_back = {"dest": field.name, "default": argparse.SUPPRESS, "help": f"not {flag(field)}"}
            parser.add_argument(flag(field).replace("--no-", "--", 1), action="store_false", **taken_back)
        elif kind is bool:
            parser.add_argument(flag(field), action=argparse.BooleanOptionalAction, **keywords)
        else:
            metavar = "{" + ",".join(map(str, choices)) + "}" if choices else METAVARS[kind]
            parser.add_argument(flag(field), type=reader(field, kind), metavar=metavar, **keywords)


METAVARS = {int: "N", float: "X", str: "TEXT"}


def reader(field, kind):
    """Return the function that reads a field's text from the command line."""

    def read(text):
        try:
            return check(field, kind, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
