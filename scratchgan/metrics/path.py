"""Perceptual path length: how fast features change along a walk in latent space."""

from scratchgan import xp
from scratchgan.latent import great_circle

BATCH = 250


def path_length(f, latent, *, rng, n=2000, epsilon=1e-4):
    """Return E |f(z(t)) - f(z(t + epsilon))|^2 / epsilon^2, z(t) on the great circle from one random z to another.

    t is uniform from 0 to 1 - epsilon (Karras et al. 2019, section 4.1; their distance is that of another network's
    features). Low where a walk is smooth; lowest for a G that always draws the same. Without bias, in units of f
    squared per length of a whole walk squared; f must not round, as uint8 images do.
    f: points (n, D) from z, on the device; latent: z (n, L), on the host, from (n, rng), as `Model.latent` is.
    Raises ValueError for n below 1 or an epsilon not in (0, 1).
    """
    if n < 1 or not 0 < epsilon < 1:
        raise ValueError(f"path_length: n is {n} and epsilon {epsilon}, wanted n >= 1 and 0 < epsilon < 1")
    starts, ends = latent(n, rng), latent(n, rng)
    times = rng.uniform(0, 1 - epsilon, (n, *[1] * (starts.ndim - 1)))
    total = 0.0
    for i in range(0, n, BATCH):
        a, b, t = starts[i : i + BATCH], ends[i : i + BATCH], times[i : i + BATCH]
        here, there = (xp.to_device(great_circle(a, b, when)) for when in (t, t + epsilon))
        difference = (f(there) - f(here)) / epsilon
        total += float((difference * difference).sum())
    return total / n
