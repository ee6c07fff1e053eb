"""G's samples, of which D picks: three samplers on a run in the plane, and what they cost.

    d(x) = a logit(x) + b,  near log p(x) / q(x)        p: the data, q: what G draws
    DRS (Azadi et al. 2019): keep x with a probability that rises with exp(d(x))
    MH-GAN (Turner et al. 2019): go from x to x' with min(1, exp(d(x') - d(x)))
    DDLS (Che et al. 2020): z goes up log p_0(z) + d(G(z)), with noise

D is trained on, with G fixed, then calibrated on fresh points. A critic is first given a logit.

    python examples/gan2d.py --data grid --lr 1e-3 --steps 13000
    python examples/relatives/samplers.py runs/gan2d          # --tune 0: D is not trained on
"""

import time
from dataclasses import dataclass

import numpy as np

from scratchgan import samplers, xp
from scratchgan.data import Batches
from scratchgan.examples import gan2d
from scratchgan.examples.collapse import pacgan
from scratchgan.examples.stability import wgan_gp2d
from scratchgan.metrics import modes, wasserstein
from scratchgan.support.errors import UserError
from scratchgan.training import checkpoint, command, option
from scratchgan.training import run as runs

GAMES = {"GAN2D": (gan2d.GAN2D, gan2d.Settings), "PacGAN": (pacgan.PacGAN, pacgan.Settings)}
GAMES["WGANGP2D"] = wgan_gp2d.WGANGP2D, wgan_gp2d.Settings


@dataclass
class Options:
    n: int = option(2500, "samples of each", minimum=10)
    tune: int = option(6000, "steps that D is trained on, G fixed", minimum=0)
    percentile: float = option(95.0, "DRS's gamma, a percentile of F", minimum=0, maximum=100)
    chain: int = option(640, "steps of each Markov chain", minimum=1)
    steps: int = option(500, "steps of Langevin's dynamics", minimum=1)
    eps: float = option(1e-3, "size of such a step", minimum=1e-12)
    seed: int = option(0, "all random numbers follow from it", minimum=0)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "gpu"))
    out: str = option("", "picture (default: RUN/samplers.png); numbers lie beside it")


def main(argv=None):
    """Print the table of all samplers on a run, and draw what they gave."""
    with command.in_a_line("samplers.py", lambda run: "the same command again", "--n"):
        run, options = command.parse_run("samplers.py", "", __doc__, Options, argv)
        out = command.output(options, run, "samplers.png")
        model = load(run, options)
        judged, facts = prepare(model, options)
        rows, points = compare(model.mixture(), judged, options)
        print("\n".join(table(rows)))
        command.write(draw(points, rows, model.mixture()), out)
        command.write_numbers({"run": str(run)} | facts | rows, out.with_suffix(".json"))


def load(run, options):
    """Return the model of a run in the plane; raise UserError for another."""
    _, meta = checkpoint.load(runs.find_checkpoint(run))
    if (name := meta.get("model")) not in GAMES:
        raise UserError(f"{run} is of {name}, not of gan2d.py, wgan_gp2d.py or pacgan.py --pack 1")
    model = command.load(*GAMES[name], run, options)
    if getattr(model.mixture(), "centers", None) is None:
        raise UserError(f"{run}: its data have no modes to be counted; take --data ring or grid")
    return model


def prepare(model, options):
    """Return a `Judged`, its D trained on and calibrated, and how far it can be believed."""
    rng = np.random.default_rng([options.seed, 1])
    latent = lambda n: xp.to_device(model.latent(n, rng))
    judged, real = samplers.Judged(model.G_average.net, model.D, latent), model.mixture()
    points = lambda: xp.to_device(real.sample(10_000, rng))
    fresh = lambda: (judged.d(points()), judged.draw(10_000)[1])
    facts = {}
    if isinstance(model, wgan_gp2d.WGANGP2D):  # its score is no logit yet
        facts["Z of the critic"] = samplers.z_statistic(*fresh())
        samplers.refit(judged, points(), judged.draw(10_000)[0])
    batches = Batches(model.load_data(model.settings), batch_size=512, rng=rng)
    samplers.tune(judged, batches, options.tune)
    facts["Z before"] = samplers.z_statistic(*fresh())
    judged.slope, judged.intercept = samplers.calibration(*fresh())
    facts |= {"slope": judged.slope, "intercept": judged.intercept}
    facts |= {"Z after": samplers.z_statistic(*fresh())}
    print(", ".join(f"{name} {value:.3g}" for name, value in facts.items()))
    return judged, facts


def compare(real, judged, options):
    """Return {sampler: numbers} and {sampler: points}; a sampler that gave nothing is left out."""
    rng, n = np.random.default_rng([options.seed, 2]), options.n
    dynamics = {"rng": rng, "steps": options.steps, "eps": options.eps}
    best = lambda n, x, d: x[xp.to_device(np.argsort(-d)[:n])]
    ways = {
        "G": lambda: judged.draw(n)[0],
        "the best tenth by D": lambda: best(n, *judged.draw(10 * n)),
        "DRS": lambda: samplers.rejection(judged, n, rng, percentile=options.percentile),
        "DRS, gamma 0": lambda: samplers.rejection(judged, n, rng),
        "MH-GAN": lambda: samplers.metropolis_hastings(
            judged, xp.to_device(real.sample(n, rng)), rng, steps=options.chain),
        "DDLS": lambda: judged.G(samplers.langevin(judged, judged.latent(n), **dynamics)),
        "DDLS, adjusted": lambda: judged.G(
            samplers.adjusted_langevin(judged, judged.latent(n), **dynamics)[0]),
        "real points": lambda: real.sample(n, rng),
    }  # fmt: skip
    rows, points = {}, {}
    for name, way in ways.items():
        begun, before = time.perf_counter(), judged.evaluations
        x = xp.to_host(way())
        cost = {"G a sample": (judged.evaluations - before) / max(len(x), 1)}
        cost |= {"seconds": time.perf_counter() - begun}
        if len(x):
            points[name], rows[name] = x, measure(x, real) | cost
    return rows, points


def measure(x, real):
    """Return the numbers of samples (n, 2). chi^2 is of the counts by nearest centre."""
    near, counts = modes.coverage(x, real.centers, real.std), modes.counts(x, real.centers)
    even, rng = len(x) / len(counts), np.random.default_rng(0)
    return {"samples": len(x), "high quality": near.high_quality, "modes": near.covered,
            "chi^2": float(((counts - even) ** 2 / even).sum()),
            "sliced W": wasserstein.sliced(x, real.sample(10_000, rng), rng=rng)}  # fmt: skip


def table(rows):
    """Return the lines of a table of rows."""
    lines = [["sampler", *rows["G"]], ["---"] * (1 + len(rows["G"]))]
    lines += [[name, *(f"{value:,.4g}" for value in row.values())] for name, row in rows.items()]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def draw(points, rows, real):
    """Return a picture of the samples of all samplers, four in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(12, 6.4), dpi=80, layout="constrained"))
    for axes, (name, x) in zip(canvas.figure.subplots(2, 4).flat, points.items(), strict=False):
        axes.scatter(*x.T, s=1, color="tab:orange" if name == "real points" else "tab:blue")
        axes.axis([-real.bounds, real.bounds, -real.bounds, real.bounds])
        axes.set_title(f"{name}: {rows[name]['high quality']:.0%} high quality", fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


if __name__ == "__main__":
    main()
