"""Markov chains whose draws are a density's: nothing is learned, log p and its slope are known.

    Metropolis     y = x + step n;  take y with probability min(1, p(y) / p(x)), else stay
    Langevin       y = x + step grad log p(x) + sqrt(2 step) n, and always take it
    MALA           the same y, taken with min(1, p(y) r(x | y) / (p(x) r(y | x))), r its density
    HMC            a ball with a random push rolls for a while on -log p; take where it is with
                   min(1, exp(H before - H after)), H = -log p(x) + |v|^2 / 2

(Metropolis et al. 1953; Roberts & Tweedie 1996; Neal 2011.) 500 chains begin in one of eight
modes; of a million draws, the share of each cell is held against p. Who stays counts once more.

    python examples/relatives/mcmc.py
    python examples/relatives/mcmc.py --begin everywhere
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scratchgan import plots
from scratchgan.data import cells
from scratchgan.metrics import cells as metrics
from scratchgan.support.arguments import Parser
from scratchgan.training import command, option
from scratchgan.training.settings import add_options

RING = cells.density()
log_p = RING.log_density  # a constant in it would change nothing


@dataclass
class Settings:
    chains: int = option(500, "chains, side by side", minimum=1, maximum=100_000)
    draws: int = option(2000, "draws of each chain", minimum=1)
    begin: str = option("mode", "where: in one mode, or anywhere", choices=("mode", "everywhere"))
    small: float = option(0.3, "step of the first Metropolis", minimum=1e-6)
    large: float = option(1.5, "step of the second one", minimum=1e-6)
    langevin: float = option(0.02, "step of Langevin and of MALA", minimum=1e-9)
    hmc: float = option(0.1, "step of HMC", minimum=1e-6)
    leapfrog: int = option(10, "steps of HMC between two draws", minimum=1)
    seed: int = option(0, "all random numbers follow from it", minimum=0)
    out: str = option("runs/mcmc.png", "picture to write: p, and the q of each sampler")


def slope(x):
    """Return grad log p(x), (N, 2): towards the centres, each by its share in p(x)."""
    squares = ((x[:, None, :] - RING.centers) ** 2).sum(axis=-1)  # (N, K)
    share = np.exp((squares.min(axis=1, keepdims=True) - squares) / (2 * RING.std**2))
    share /= share.sum(axis=1, keepdims=True)
    return (share @ RING.centers - x) / RING.std**2


def acceptance(log_ratio):
    return np.exp(np.minimum(log_ratio, 0))  # min(1, ratio)


def choose(x, y, log_ratio, rng):
    """Return y where it is taken and x elsewhere, and the share that was taken."""
    taken = rng.random(len(x)) < acceptance(log_ratio)
    return np.where(taken[:, None], y, x), taken.mean()


def metropolis(x, step, rng):
    y = x + step * rng.standard_normal(x.shape)  # as probable as x from y
    return choose(x, y, log_p(y) - log_p(x), rng)


def langevin(x, step, rng):
    return x + step * slope(x) + np.sqrt(2 * step) * rng.standard_normal(x.shape), 1.0


def mala(x, step, rng):
    y, _ = langevin(x, step, rng)
    log_ratio = log_p(y) + log_proposal(x, y, step) - log_p(x) - log_proposal(y, x, step)
    return choose(x, y, log_ratio, rng)


def log_proposal(y, x, step):
    """Return log r(y | x) of a Langevin step, up to a constant: its variance is 2 step."""
    return -((y - x - step * slope(x)) ** 2).sum(axis=1) / (4 * step)


def hmc(x, step, leaps, rng):
    v = rng.standard_normal(x.shape)
    y, w = leapfrog(x, v, step, leaps)
    return choose(x, y, energy(x, v) - energy(y, w), rng)


def leapfrog(x, v, step, leaps):
    """Roll on: half a step of v, then x and v by turns, half a step of v (Neal 2011, eq. 5.18-20).

    Backwards from (x, -v) it returns to where it came from, and it keeps volumes.
    """
    v = v + 0.5 * step * slope(x)
    for leap in range(leaps):
        x = x + step * v
        v = v + (1.0 if leap < leaps - 1 else 0.5) * step * slope(x)
    return x, v


def energy(x, v):  # H
    return 0.5 * (v * v).sum(axis=1) - log_p(x)


def samplers(settings):
    """Return {name: move}, a move being x, rng -> the next x, and the share that was taken."""
    step, leaps = settings.langevin, settings.leapfrog
    return {
        f"Metropolis, step {settings.small:g}": lambda x, rng: metropolis(x, settings.small, rng),
        f"Metropolis, step {settings.large:g}": lambda x, rng: metropolis(x, settings.large, rng),
        f"Langevin, step {step:g}": lambda x, rng: langevin(x, step, rng),
        f"MALA, step {step:g}": lambda x, rng: mala(x, step, rng),
        f"HMC, {leaps} x {settings.hmc:g}": lambda x, rng: hmc(x, settings.hmc, leaps, rng),
    }


def run(move, settings):
    """Return q, the shares of the cells among all draws, and the share of moves taken."""
    rng = np.random.default_rng(settings.seed)
    anywhere = rng.uniform(-cells.HALF, cells.HALF, (settings.chains, 2))
    x = anywhere if settings.begin == "everywhere" else 0 * anywhere + RING.centers[0]
    numbers, taken = np.empty((settings.draws, settings.chains), int), 0.0
    for draw in range(settings.draws):
        x, share = move(x, rng)
        numbers[draw], taken = cells.numbers(x), taken + share / settings.draws
    return metrics.counted(numbers.ravel()), taken


def main(argv=None):
    """Run every sampler, print how far its q is from p, and draw them all."""
    parser = Parser("mcmc.py", "%(prog)s [options]", __doc__.split("\n")[0])
    add_options(parser, Settings)
    with command.in_a_line("mcmc.py", str, "--chains or --draws"), np.errstate(all="ignore"):
        settings = Settings(**vars(parser.parse_args(argv)))
        plots.file_format(settings.out)
        Path(settings.out).parent.mkdir(parents=True, exist_ok=True)
        found = {}
        for name, move in samplers(settings).items():
            found[name], taken = run(move, settings)
            print(f"{name}: {100 * taken:.0f} % taken", flush=True)
        rows = {name: metrics.compare(q) for name, q in found.items()}
        print(metrics.table(rows | metrics.baselines(settings.seed)))
        plots.save(metrics.picture(*found.values()), settings.out)
        print(f"wrote {settings.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
