"""The command `arithmetic`, which an example may add to those that every one has: vectors in latent space add up."""

from dataclasses import dataclass

import numpy as np

from scratchgan import plots, xp
from scratchgan.support.errors import UserError
from scratchgan.training.command import load, output, parse_run, write
from scratchgan.training.settings import option


@dataclass
class ArithmeticOptions:
    a: str = option("0,1,2", "numbers of the samples whose mean is A, as `sample` with this seed draws them, from 0")
    b: str = option("3,4,5", "numbers of the samples whose mean is B")
    c: str = option("6,7,8", "numbers of the samples whose mean is C")
    seed: int = option(0, "the latent vectors follow from it", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture to write (default: RUN/arithmetic.png)")


def arithmetic(Model, Settings, program, argv):
    """Draw A - B + C in latent space, each the mean of a few samples (Radford et al. 2016, figure 7).

    Rows: the samples of A and their mean, of B, of C; then A - B + C, and the same with some noise added.
    """
    run, options = parse_run(program, "arithmetic", arithmetic.__doc__, ArithmeticOptions, argv)
    out = output(options, run, "arithmetic.png")
    groups = [numbers("--a", options.a), numbers("--b", options.b), numbers("--c", options.c)]
    if len({len(group) for group in groups}) > 1:
        raise UserError("--a, --b and --c must name equally many samples: each is a row of the picture.")
    model = load(Model, Settings, run, options)
    rng = np.random.default_rng(options.seed)
    latent = model.latent(1 + max(max(group) for group in groups), rng)
    rows = [np.concatenate([latent[group], latent[group].mean(0, keepdims=True)]) for group in groups]
    A, B, C = [row[-1] for row in rows]
    noise = rng.uniform(-0.25, 0.25, rows[0].shape).astype(latent.dtype)  # as much as in the paper
    noise[0] = 0
    z = xp.to_device(np.concatenate([*rows, A - B + C + noise]))
    write(plots.grid(model.images(z), columns=len(rows[0])), out)


def numbers(flag, text):
    """Return the list of whole numbers in a text such as 0,1,2; raise UserError if it is none."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) <= 6 for part in parts):
        raise UserError(f"{flag} is {text!r}: give numbers of samples, such as 0,1,2.")
    return [int(part) for part in parts]
