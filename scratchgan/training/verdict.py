"""What a training looks like that has failed with finite numbers: one sentence, or none.

Samples are judged beside real ones: the loss of a critic may have any size and be right. Only whether D has won is read
from its loss, too, where that is known at the equilibrium. Thresholds are far from all good runs that were tried, since
it does more harm to see a failure that is none than to pass over one. `docs/failures.md` says more.
"""

from typing import NamedTuple

import numpy as np

from scratchgan import xp
from scratchgan.data.batches import gather
from scratchgan.metrics.modes import nearest_center
from scratchgan.training import state as states

LEAST_STEPS = 200  # before that, a slow start and a failure look the same
PICTURES, POINTS = 64, 1000  # samples that are judged, in less than a second
D_HAS_WON = "as if D has won: its loss is {D:.2g}, at the equilibrium {equilibrium:.2f}, and samples are far from real"
SATURATED = "like a blow-up: nearly all pixels of the samples are black or white, and those of real pictures are not"
BLOWN_UP = "like a blow-up: the samples have sizes that no real ones have"
ONE = "like a collapse: samples are {spread:.2g} times as far from each other as real ones"
FEW = "like a collapse: most samples have another one that is nearly the same"
MODES = "like a collapse: nearly all samples lie in {covered} of {modes} modes"
NOTHING = "as if nothing was learned: the samples are those of step 0"


class Samples(NamedTuple):
    """What is judged, an array of rows each: fake and untrained come from the same latent vectors."""

    fake: np.ndarray  # (n, D)
    untrained: np.ndarray  # (n, D), of the same G at step 0
    real: np.ndarray  # (n, D)


def look(model, untrained, batches, records):
    """Return a sentence about a model that looks as if its training had failed, or None.

    untrained: a function that returns the model as it was at step 0; records: of the log. None, too, where samples
    are neither uint8 pictures nor points, and where a training is too young. Nothing random is drawn from the model.
    """
    steps = [record for record in records if record["step"] > 0]
    if not steps or steps[-1]["step"] < LEAST_STEPS:
        return None
    with states.generators_kept(model):
        samples = draw(model, untrained(), batches.arrays[0])
    if samples is None:
        return None
    won = d_has_won(samples, steps, model.equilibrium())
    looks = won or (of_pictures if len(model.shape) == 3 else of_points)(samples, model.mixture())
    return looks and f"It looks {looks} (docs/failures.md)."


def draw(model, untrained, data):
    """Return the Samples of a model and of data, an array of any kind; None if they are no pictures and no points."""
    pictures = len(model.shape) == 3 and data.dtype == np.uint8
    if not pictures and not (len(model.shape) == 1 and data.dtype.kind == "f"):
        return None
    n = PICTURES if pictures else POINTS
    rng = np.random.default_rng(0)
    z = model.latent(n, rng)
    z = xp.to_device(z[once(z)])
    rows = rng.permutation(len(data))[: len(z)]
    made = [each.images(z) if pictures else xp.to_host(each.generate(z)) for each in (model, untrained)]
    if any(samples.shape != (len(z), *model.shape) for samples in made) or len(rows) < 2:  # a distance takes two
        return None
    arrays = (*made, xp.to_host(gather(data, rows)))
    return Samples(*(array.reshape(len(array), -1).astype(np.float64) for array in arrays))


def once(z):
    """Return the rows of z without those that come again: of a few pictures to translate, one may be drawn twice."""
    return np.sort(np.unique(z.reshape(len(z), -1), axis=0, return_index=True)[1])


def d_has_won(samples, steps, equilibrium):
    """Return what tells that D's loss stays near 0 while G brings its samples no nearer to the real ones, or None."""
    wanted = equilibrium.get("D", 0)  # a critic's, 0, tells nothing
    late = [record["D"] for record in steps[-max(len(steps) // 2, 1) :] if "D" in record]
    if not late or not wanted > 0:
        return None
    # Good runs begin with an easy win of D, too, which lasts less than half of them, or has G come nearer meanwhile.
    D = float(np.median(late))
    return D_HAS_WON.format(D=D, equilibrium=wanted) if D < 1e-3 * wanted and gap(samples) > 0.8 else None


def of_pictures(samples, _):
    """Return what rows of bytes look like, if G has failed; else None."""
    if stands_still(samples):
        return NOTHING
    # Glyphs and MNIST are black or white in 8 of 9 pixels, and a good tanh comes near to both, but not ten times so.
    grey = [((rows > 0) & (rows < 255)).mean() for rows in (samples.fake, samples.real)]
    if grey[0] < 0.1 * grey[1] and gap(samples) > 0.5:
        return SATURATED
    # Half of the samples have another one that near. Young good runs, whose samples differ little, have 0.2 and more.
    few = nearest_distance(samples.fake) < 0.05 * nearest_distance(samples.real)
    differ = mean_distance(samples.fake) > 0.2 * mean_distance(samples.real)
    return nearly_one(samples) or (FEW if few and differ else None)


def of_points(samples, mixture):
    """Return what points look like, if G has failed; else None."""
    if stands_still(samples):
        return NOTHING
    size = lambda points: np.sqrt(((points - samples.real.mean(axis=0)) ** 2).sum(axis=1).mean())
    if not np.isfinite(samples.fake).all() or size(samples.fake) > 10 * size(samples.real):
        return BLOWN_UP
    missing = mixture is not None and mixture.centers is not None and of_modes(samples, mixture)
    return missing or nearly_one(samples)


def of_modes(samples, mixture):
    """Return what tells that samples lie in a few modes, and came there, or None."""
    nearest, far = nearest_center(samples.fake, mixture.centers)
    shares = np.sort(np.bincount(nearest, minlength=len(mixture.centers)))[::-1].cumsum() / len(nearest)
    covered = int(np.searchsorted(shares, 0.95)) + 1
    settled = (far < 3 * mixture.std).mean() > 0.5  # else they are on their way
    came = (nearest != nearest_center(samples.untrained, mixture.centers)[0]).mean() > 0.5  # a grid has one at 0
    return MODES.format(covered=covered, modes=len(shares)) if settled and came and covered <= len(shares) / 4 else None


def nearly_one(samples):
    """Return what tells that samples hardly differ, far less than at step 0, or None: small weights begin so."""
    fake, untrained, real = (mean_distance(rows) for rows in samples)
    return ONE.format(spread=fake / real) if fake < min(0.1 * real, untrained / 5) else None


def gap(samples):
    """Return 2 E|x - y| - E|x - x'| - E|y - y'|, the energy distance from real samples; 1 is what it was at step 0."""
    fake, untrained, real = samples
    energy = lambda made: 2 * distances(made, real).mean() - mean_distance(made) - mean_distance(real)
    return energy(fake) / max(energy(untrained), 1e-9)


def stands_still(samples):
    """Whether each sample is where it was at step 0: a hundredth of its way to the real ones away from there."""
    way = np.linalg.norm(samples.fake - samples.untrained, axis=1).mean()
    return way < 0.01 * distances(samples.untrained, samples.real).mean()


def mean_distance(rows):
    """Return how far two different rows are from each other, the mean."""
    return distances(rows, rows).sum() / (len(rows) * (len(rows) - 1))


def nearest_distance(rows):
    """Return how far a row is from the nearest other one, the median."""
    between = distances(rows, rows)
    np.fill_diagonal(between, np.inf)
    return np.median(between.min(axis=1))


def distances(x, y):
    """Return |x_i - y_j| for all pairs, (n, m)."""
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0))
