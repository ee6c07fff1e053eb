"""Samplers that ask D, where the best D is known in closed form: their samples are the data's, and no bug's are."""

import functools
from unittest import mock

import numpy as np
import pytest

from scratchgan import samplers, xp
from scratchgan.data import Batches, mixtures
from scratchgan.layers import BatchNorm, Dense, Dropout, Layer, LeakyReLU, Pack, Sequential
from scratchgan.metrics import modes, wasserstein
from scratchgan.support.errors import UserError
from scratchgan.tools.strict import strict_xp

SPREAD = 2.0  # G(z) = 2 z
FAR = mixtures.grid(side=3, spacing=2.5, std=0.3)  # modes that no small step leads between
NEAR = mixtures.ring(modes=3, radius=1.2, std=0.7)  # one hill, nearly


class LogRatio(Layer):
    """The logit of the best D, log p(x) - log q(x), over a slope and less an intercept, to be calibrated."""

    def __init__(self, p, slope=1.0, intercept=0.0):
        self.p, self.slope, self.intercept = p, slope, intercept

    def forward(self, x, train=True):
        d = self.p.log_density(x) + 0.5 * (x**2).sum(axis=1) / SPREAD**2 + np.log(2 * np.pi * SPREAD**2)
        return ((d - self.intercept) / self.slope)[:, None].astype(x.dtype), x

    def pull(self, x, dy):
        near = np.exp(-((x[:, None] - self.p.centers) ** 2).sum(-1) / (2 * self.p.std**2))  # (n, K)
        near /= near.sum(axis=1, keepdims=True)
        dx = (near @ self.p.centers - x) / self.p.std**2 + x / SPREAD**2
        return (dx * dy / self.slope).astype(x.dtype), None


def exact(p, seed=0, dtype=np.float32, **line):
    """Return a `Judged` whose D is the best one for G(z) = 2 z."""
    G = Dense(2, 2, bias=False, rng=np.random.default_rng(0)).astype(dtype)
    G.W.value[...] = SPREAD * np.eye(2)
    rng = np.random.default_rng(seed)
    return samplers.Judged(G, LogRatio(p, **line), lambda n: rng.standard_normal((n, 2)).astype(dtype))


def chi(x, p):
    """Return chi^2 of how many points are nearest to each centre, over its degrees of freedom: 1 for p's own, about."""
    counts = modes.counts(x, p.centers)
    even = len(x) / len(counts)
    return ((counts - even) ** 2 / even).sum() / (len(counts) - 1)


def demand_samples_of(p, x):
    """Fail unless points are as p's are: at the floor of real points, by counts and by sliced distance."""
    assert np.isfinite(x).all()
    assert chi(x, p) < 3  # of perfect points, with 8 degrees of freedom, one set in 500 has more
    assert distance(p, x, np.random.default_rng(9)) < highest(p, len(x))


def distance(p, x, rng):
    return wasserstein.sliced(x, p.sample(6000, rng), rng=rng, directions=48)


@functools.cache
def highest(p, n):
    """Return which distance real points have hardly ever: four deviations above their mean."""
    floor = [distance(p, p.sample(n, rng), rng) for rng in map(np.random.default_rng, range(12))]
    return np.mean(floor) + 4 * np.std(floor)


# ---- without training: p and q are known -----------------------------------------------------------------------


def drs(judged, n=2000, **options):
    return samplers.rejection(judged, n, np.random.default_rng(1), **options)


def mh(judged, n=1500, steps=150):
    """All chains start in one mode: a sampler that does not move stays there."""
    start = np.tile(np.float32([[2.5, 2.5]]), (n, 1))
    return samplers.metropolis_hastings(judged, start, np.random.default_rng(1), steps=steps)


def ddls(judged, sampler=samplers.langevin, n=2000, steps=120, eps=0.02):
    z = judged.latent(n)
    z = sampler(judged, z, np.random.default_rng(1), steps=steps, eps=eps)
    return judged.G(z if sampler is samplers.langevin else z[0])


def mala(judged, eps=0.2):
    return ddls(judged, samplers.adjusted_langevin, steps=60, eps=eps)


@pytest.mark.parametrize("name, sampler, p", [
    ("DRS", drs, FAR), ("DRS", drs, NEAR), ("MH-GAN", mh, FAR), ("DDLS", ddls, NEAR), ("DDLS, adjusted", mala, NEAR),
])  # fmt: skip
def test_with_the_best_D_samples_are_the_datas(name, sampler, p):
    demand_samples_of(p, sampler(exact(p)))
    with pytest.raises(AssertionError):  # G's own are not
        demand_samples_of(p, exact(p).draw(2000)[0])


def test_what_each_costs_is_counted():
    judged = exact(FAR)
    drs(judged, 500, burn_in=2000)
    assert judged.evaluations > 2000 + 500 and judged.evaluations % 1000 == 0
    before = judged.evaluations
    mh(judged, 100, steps=30)
    assert judged.evaluations >= before + 100 * 30
    before = judged.evaluations
    ddls(judged, n=50, steps=10)
    assert judged.evaluations == before + 50 * 10
    assert len(drs(judged, 10_000, budget=12_000)) < 10_000 and drs(judged, 10, budget=1).shape == (0, 2)


def test_gamma_buys_samples_with_exactness():
    cheap, dear = exact(FAR), exact(FAR)
    x, _ = drs(cheap, percentile=80), drs(dear)
    assert cheap.evaluations < dear.evaluations / 2
    assert modes.coverage(x, FAR.centers, FAR.std).high_quality > 0.5
    with pytest.raises(AssertionError):
        demand_samples_of(FAR, x)


def test_detailed_balance_of_chains():
    """On six points: the flow p_i q_j a(i, j) is the same in both directions, to rounding."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), size=2)
    d = np.log(p / q)
    flow = p[:, None] * q * samplers.acceptance(d - d[:, None])
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12)
    D = p / (p + q)  # the paper's form: min(1, (1 / D - 1) / (1 / D' - 1))
    np.testing.assert_allclose(
        samplers.acceptance(d - d[:, None]), np.minimum(1, (1 / D[:, None] - 1) / (1 / D - 1)), rtol=1e-9)  # fmt: skip
    wrong = p[:, None] * q * np.minimum(1, D / D[:, None])  # probabilities in the place of odds
    assert np.abs(wrong - wrong.T).max() > 1e-3


def test_detailed_balance_of_adjusted_steps():
    judged, rng, eps = exact(NEAR, dtype=np.float64), np.random.default_rng(0), 0.3
    z, new = rng.standard_normal((2, 50, 2))
    (log_t, slope), (new_log_t, new_slope) = samplers.target(judged, z), samplers.target(judged, new)
    forth, back = samplers.log_transition(z, slope, new, eps), samplers.log_transition(new, new_slope, z, eps)
    ratio = new_log_t + back - log_t - forth
    there, and_back = samplers.acceptance(ratio), samplers.acceptance(-ratio)
    np.testing.assert_allclose(log_t + forth + np.log(there), new_log_t + back + np.log(and_back), rtol=1e-9)
    step = samplers.proposal(np.tile(z[:1], (200_000, 1)), np.tile(slope[:1], (200_000, 1)), eps, rng)
    np.testing.assert_allclose(step.mean(axis=0), z[0] + eps / 2 * slope[0], atol=0.01)
    np.testing.assert_allclose(step.std(axis=0), eps**0.5, atol=0.01)


def test_the_slope_in_latent_space_is_a_derivative():
    judged, h = exact(FAR, dtype=np.float64, slope=2.0), 1e-5
    judged.slope, judged.intercept = 2.0, 0.3
    z = np.random.default_rng(0).standard_normal((20, 2))
    _, slope = samplers.target(judged, z)
    for axis in np.eye(2):
        ahead, behind = samplers.target(judged, z + h * axis)[0], samplers.target(judged, z - h * axis)[0]
        np.testing.assert_allclose((ahead - behind) / (2 * h), slope @ axis, rtol=1e-5, atol=1e-5)


def test_acceptance_of_drs_is_the_density_ratio_and_finite_at_its_largest():
    d = np.linspace(-30, 4, 200)
    np.testing.assert_allclose(samplers.sigmoid(samplers.log_odds(d, 4.0)), np.exp(d - 4), atol=1e-5)
    assert np.isfinite(samplers.log_odds(np.array([4.0, -1000.0]), 4.0)).all()
    with np.errstate(divide="ignore"):
        assert not np.isfinite(samplers.log_odds(np.array([4.0]), 4.0, epsilon=0.0)).all()  # log(1 - exp 0)


# ---- bugs that were published, or lie near ---------------------------------------------------------------------


def wrong_acceptance(judged, rng):
    """The ratio of D itself, in the place of the ratio of its odds."""
    with mock.patch.object(samplers.Judged, "d", lambda self, x: np.log(samplers.sigmoid(self.D(x)[:, 0]))):
        return mh(judged)


def largest_of_probabilities(judged, rng):
    """M of DRS is the largest sigmoid(d): nearly all d are above it, and are accepted alike."""
    _, d = judged.draw(10_000)
    x, d = judged.draw(4000)
    return x[rng.random(4000) < np.exp(np.minimum(d - samplers.sigmoid(d).max(), 0))]


def burn_in_returned(judged, rng):
    """Chains are cut so short that they are where they started."""
    return mh(judged, steps=3)


def no_calibration(judged, rng):
    judged.D.slope = 3.0
    return drs(judged)


def patched(name, f, p_sampler):
    def sampler(judged, rng):
        with mock.patch.object(samplers, name, f):
            return p_sampler(judged)

    return sampler


def noise(z, rng):
    return rng.standard_normal(z.shape).astype(z.dtype)


log_t, steps_to = samplers.target, samplers.log_transition
BUGS = {
    "probabilities, not odds": (FAR, wrong_acceptance),
    "M of probabilities": (FAR, largest_of_probabilities),
    "no time to forget the start": (FAR, burn_in_returned),
    "logits of another slope": (FAR, no_calibration),
    "the larger d always wins": (FAR, patched("acceptance", lambda r: (r > 0) * 1.0, mh)),
    "the ratio turned round": (FAR, patched("acceptance", lambda r: np.exp(np.minimum(-r, 0)), mh)),
    "no 1/2 before the drift": (
        NEAR, patched("proposal", lambda z, s, eps, rng: z + eps * s + eps**0.5 * noise(z, rng), ddls)),
    "eps^2 before the drift": (
        NEAR, patched("proposal", lambda z, s, eps, rng: z + eps**2 / 2 * s + eps**0.5 * noise(z, rng), ddls)),
    "eps, not its root, before the noise": (
        NEAR, patched("proposal", lambda z, s, eps, rng: z + eps / 2 * s + eps * noise(z, rng), ddls)),
    "the prior forgotten": (
        NEAR, patched("target", lambda judged, z: (log_t(judged, z)[0], log_t(judged, z)[1] + z), ddls)),
    "downhill": (NEAR, patched("target", lambda judged, z: (log_t(judged, z)[0], -log_t(judged, z)[1] - 2 * z), ddls)),
    "a gradient at x taken for one at z": (
        NEAR, patched("target", lambda judged, z: (0, (log_t(judged, z)[1] + z) / SPREAD - z), ddls)),
    "steps not adjusted for": (NEAR, patched("log_transition", lambda *given: 0.0, mala)),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug):
    p, sampler = BUGS[bug]
    with pytest.raises(AssertionError), np.errstate(all="ignore"):  # where some lead, nothing is a number
        demand_samples_of(p, sampler(exact(p), np.random.default_rng(2)))


def test_large_steps_need_their_adjustment():
    with pytest.raises(AssertionError):
        demand_samples_of(NEAR, ddls(exact(NEAR), eps=0.5))
    demand_samples_of(NEAR, mala(exact(NEAR), eps=0.5))


def test_a_chain_that_never_moved_gives_no_real_sample():
    """It would look perfect: the authors' code starts it again from a sample of G."""
    judged = exact(FAR)
    judged.D.forward = lambda x, train=True: (np.where((x == 77).all(axis=1), 50.0, 0.0)[:, None], x)
    real = np.full((300, 2), 77, np.float32)
    x = samplers.metropolis_hastings(judged, real, np.random.default_rng(0), steps=20)
    assert not (x == 77).any() and (real == 77).all()


def test_samples_of_the_burn_in_are_not_returned():
    judged, given = exact(NEAR), []
    latent = judged.latent
    judged.latent = lambda n: given.append(latent(n)) or given[-1]
    x = drs(judged, 300, burn_in=3000)
    first = {tuple(row) for row in judged.G(given[0])}
    assert len(given[0]) == 3000 and not first & {tuple(row) for row in x}


def test_networks_are_asked_in_inference():
    rng = np.random.default_rng(0)
    G = Sequential(Dense(2, 8, rng=rng), BatchNorm(8), Dense(8, 2, rng=rng))
    D = Sequential(Dense(2, 8, rng=rng), Dropout(0.5, rng=rng), Dense(8, 1, rng=rng))
    z = rng.standard_normal((40, 2)).astype(np.float32)
    judged = samplers.Judged(G, D, lambda n: z[:n])
    state = {name: array.copy() for name, array in G.state().items()}
    x, d = judged.draw(40)
    np.testing.assert_allclose(judged.draw(5)[0], x[:5], rtol=1e-5)
    np.testing.assert_allclose(judged.draw(40)[1], d)
    np.testing.assert_allclose(judged.d_and_gradient(z)[0], d, rtol=1e-5)
    np.testing.assert_allclose(judged.d_and_gradient(z[:1])[1], judged.d_and_gradient(z)[1][:1], rtol=1e-4, atol=1e-6)
    assert all(np.array_equal(array, state[name]) for name, array in G.state().items())
    assert not any(param.grad.any() for net in (G, D) for param in net.params())


def test_samplers_on_a_device_give_what_they_give_on_the_host():
    def sampled():
        rng, noise = np.random.default_rng(0), np.random.default_rng(1)
        G = Sequential(Dense(2, 8, rng=rng), LeakyReLU(0.2), Dense(8, 2, rng=rng))
        D = Sequential(Dense(2, 8, rng=rng), LeakyReLU(0.2), Dense(8, 1, rng=rng))
        judged = samplers.Judged(G, D, lambda n: xp.to_device(rng.standard_normal((n, 2)).astype(np.float32)), 0.5)
        samplers.tune(judged, Batches(NEAR.sample(100, noise), batch_size=8, rng=rng), 3)
        real = xp.to_device(NEAR.sample(20, noise))
        x = [
            samplers.rejection(judged, 20, noise, burn_in=50),
            samplers.metropolis_hastings(judged, real, noise, steps=3),
        ]
        x += [samplers.langevin(judged, judged.latent(20), noise, steps=3, eps=0.1)]
        x += [samplers.adjusted_langevin(judged, judged.latent(20), noise, steps=3, eps=0.1)[0]]
        assert all(isinstance(part, xp.ndarray) and part.dtype == np.float32 for part in x)
        return [xp.to_host(part) for part in x]

    on_host = sampled()
    with xp.using(strict_xp):
        on_device = sampled()
    for one, other in zip(on_host, on_device, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_D_of_pairs_is_refused():
    D = Sequential(Pack(2), Dense(4, 1, rng=np.random.default_rng(0)))
    with pytest.raises(UserError, match="several samples as one"):
        samplers.Judged(None, D, None)
