"""Markov chains: detailed balance, a leapfrog that returns and keeps volumes, and draws that stay the density's."""

import inspect
import runpy
import sys

import numpy as np
import pytest
from PIL import Image
from test_examples import PATHS

from scratchgan.data import cells
from scratchgan.examples.relatives import mcmc
from scratchgan.metrics import cells as metrics

X = np.random.default_rng(0).normal(0, 1.5, (40, 2))
V = np.random.default_rng(1).standard_normal((40, 2))


class Told:
    """A generator whose normal numbers and uniform ones are told."""

    def __init__(self, normal, uniform=0.5):
        self.normal, self.uniform = normal, uniform

    def standard_normal(self, shape):
        return np.broadcast_to(self.normal, shape)

    def random(self, n):
        return np.full(n, self.uniform)


def test_the_slope_is_that_of_log_p():
    for axis in np.eye(2):
        h = 1e-5
        difference = (mcmc.log_p(X + h * axis) - mcmc.log_p(X - h * axis)) / (2 * h)
        np.testing.assert_allclose(mcmc.slope(X) @ axis, difference, rtol=1e-6, atol=1e-6)


# ---- detailed balance ------------------------------------------------------------------------------------


def metropolis_is_balanced_on_eight_cells():
    """p_i P_ij = p_j P_ji, as a matrix, of steps to the left or to the right on a ring of cells; p is stationary."""
    p = np.random.default_rng(0).dirichlet(np.ones(8))
    P = np.zeros((8, 8))
    for i in range(8):
        for j in ((i - 1) % 8, (i + 1) % 8):
            P[i, j] = 0.5 * mcmc.acceptance(np.log(p[j] / p[i]))
        P[i, i] = 1 - P[i].sum()
    flow = p[:, None] * P
    np.testing.assert_allclose(flow, flow.T, atol=1e-15)
    np.testing.assert_allclose(p @ P, p, atol=1e-15)


def test_metropolis_is_balanced_on_eight_cells():
    metropolis_is_balanced_on_eight_cells()


def who_is_taken(move, y_of, log_flow):
    """A move takes y just where u is below min(1, ratio), and its ratio is that of both ways' flow."""
    y = y_of(X)
    ratio = np.exp(log_flow(y, X) - log_flow(X, y))
    for u in (0.05, 0.3, 0.7, 0.95):
        found, share = move(Told(V, u))
        taken = u < np.minimum(ratio, 1)
        np.testing.assert_allclose(found, np.where(taken[:, None], y, X), atol=1e-12)
        assert share == pytest.approx(taken.mean())


def mala_is_balanced():
    """Flow from a to b: p(a) r(b | a), r normal about a Langevin step with variance 2 step, longhand."""
    step = 0.02
    mean = lambda a: a + step * mcmc.slope(a)
    log_flow = lambda a, b: mcmc.log_p(a) - ((b - mean(a)) ** 2).sum(axis=1) / (2 * 2 * step)
    y_of = lambda x: mean(x) + np.sqrt(2 * step) * V
    who_is_taken(lambda rng: mcmc.mala(X, step, rng), y_of, log_flow)


def test_mala_is_balanced():
    mala_is_balanced()


def test_metropolis_takes_by_the_ratio_of_densities():
    who_is_taken(lambda rng: mcmc.metropolis(X, 0.3, rng), lambda x: x + 0.3 * V, lambda a, b: mcmc.log_p(a))


def hmc_takes_by_energy():
    """The same with H, longhand; v's energy is added to that of x, and a fine path loses next to none of it."""
    y, w = mcmc.leapfrog(X, V, 0.1, 10)
    log_flow = lambda a, b: mcmc.log_p(a) - ((V if a is X else w) ** 2).sum(axis=1) / 2
    who_is_taken(lambda rng: mcmc.hmc(X, 0.1, 10, rng), lambda x: y, log_flow)
    _, share = mcmc.hmc(X, 1e-3, 100, np.random.default_rng(0))
    assert share > 0.99


def test_hmc_takes_by_energy():
    hmc_takes_by_energy()


# ---- the leapfrog ----------------------------------------------------------------------------------------


def a_leapfrog_returns():
    y, w = mcmc.leapfrog(X, V, 0.05, 7)
    x, v = mcmc.leapfrog(y, -w, 0.05, 7)
    np.testing.assert_allclose(x, X, atol=1e-12)
    np.testing.assert_allclose(-v, V, atol=1e-12)
    assert np.abs(y - X).max() > 0.1


def test_a_leapfrog_returns():
    a_leapfrog_returns()


def test_a_leapfrog_keeps_volumes():
    """The determinant of the Jacobian of (x, v) -> (y, w) is 1."""
    for x, v in zip(X[:5], V[:5], strict=True):
        columns, h = [], 1e-5
        for direction in np.eye(4):
            ends = [np.concatenate(mcmc.leapfrog(
                (x + sign * h * direction[:2])[None], (v + sign * h * direction[2:])[None], 0.1, 5
            ), axis=1)[0] for sign in (1, -1)]  # fmt: skip
            columns.append((ends[0] - ends[1]) / (2 * h))
        assert np.linalg.det(np.stack(columns)) == pytest.approx(1, abs=1e-5)


def energy_is_kept_to_second_order():
    """Over one stretch of time, the error of H falls as step^2."""
    errors = []
    for leaps in (100, 200, 400):
        y, w = mcmc.leapfrog(X, V, 0.8 / leaps, leaps)
        errors.append(np.abs(mcmc.energy(y, w) - mcmc.energy(X, V)).mean())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(rates - 2) < 0.1).all(), rates


def test_energy_is_kept_to_second_order():
    energy_is_kept_to_second_order()


# ---- draws -----------------------------------------------------------------------------------------------


def a_langevin_step_is_of_variance_two_steps():
    step = 0.03
    y, taken = mcmc.langevin(X, step, Told(np.ones(2)))
    np.testing.assert_allclose(y, X + step * mcmc.slope(X) + np.sqrt(2 * step), rtol=1e-12)
    assert taken == 1


def test_a_langevin_step_is_of_variance_two_steps():
    a_langevin_step_is_of_variance_two_steps()


@pytest.mark.parametrize("move, exact", [
    (lambda x, rng: mcmc.metropolis(x, 0.3, rng), True), (lambda x, rng: mcmc.mala(x, 0.02, rng), True),
    (lambda x, rng: mcmc.hmc(x, 0.1, 10, rng), True), (lambda x, rng: mcmc.langevin(x, 0.02, rng), False),
], ids=["Metropolis", "MALA", "HMC", "Langevin"])  # fmt: skip
def test_draws_of_p_stay_draws_of_p(move, exact):
    """Chains that begin as draws of p; unadjusted Langevin spreads each mode, to std^2 / (1 - step / (2 std^2))."""
    rng = np.random.default_rng(0)
    x = cells.points(4000, rng).astype(np.float64)
    for _ in range(25):
        x, _ = move(x, rng)
    nearest = np.linalg.norm(x[:, None] - mcmc.RING.centers, axis=2).argmin(axis=1)
    variance = (x - mcmc.RING.centers[nearest]).var()
    wanted = 0.04 if exact else 0.04 / (1 - 0.02 / 0.08)
    assert variance == pytest.approx(wanted, rel=0.06)


def who_stays_counts_again():
    """Of 60 draws of 20 chains 1,200 count, whether they were taken or not."""
    settings = mcmc.Settings(chains=20, draws=60)
    visits = []

    def move(x, rng):
        stays = len(visits) % 3 > 0
        x = x if stays else np.roll(x, 1, axis=1) + 0.1
        visits.append(cells.numbers(x))
        return x, float(not stays)

    q, taken = mcmc.run(move, settings)
    np.testing.assert_array_equal(q, metrics.counted(np.concatenate(visits)))
    assert taken == pytest.approx(20 / 60)


def test_who_stays_counts_again():
    who_stays_counts_again()


def test_where_chains_begin():
    seen = []
    move = lambda x, rng: (seen.append(x), (x, 1.0))[1]
    for begin in ("mode", "everywhere"):
        mcmc.run(move, mcmc.Settings(chains=400, draws=1, begin=begin))
    np.testing.assert_array_equal(seen[0], np.repeat([[2.0, 0.0]], 400, axis=0))
    assert np.abs(seen[1]).max() <= 3 and seen[1].std() == pytest.approx(np.sqrt(3), rel=0.1)


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

BUGS = {
    "noise of sqrt(step)": ("langevin", "np.sqrt(2 * step)", "np.sqrt(step)", a_langevin_step_is_of_variance_two_steps),
    "no last half step": ("leapfrog", "else 0.5", "else 1.0", a_leapfrog_returns),
    "no last half step: the energy": ("leapfrog", "else 0.5", "else 1.0", energy_is_kept_to_second_order),
    "no first half step": ("leapfrog", "v = v + 0.5 * step * slope(x)\n", "pass\n", a_leapfrog_returns),
    "uphill": ("leapfrog", "v = v + (1.0", "v = v - (1.0", energy_is_kept_to_second_order),
    "who stays is forgotten": (
        "run", "numbers[draw], taken = cells.numbers(x)", "numbers[draw], taken = cells.numbers(x) * (share > 0)",
        who_stays_counts_again,
    ),
    "kinetic energy with the other sign": ("energy", "return 0.5", "return -0.5", hmc_takes_by_energy),
    "energies the other way round": (
        "hmc", "energy(x, v) - energy(y, w)", "energy(y, w) - energy(x, v)", hmc_takes_by_energy,
    ),
    "MALA takes as Metropolis does": ("mala", " + log_proposal(x, y, step)", "", mala_is_balanced),
    "MALA's proposals exchanged": ("mala", "log_proposal(x, y, step)", "log_proposal(y, x, step)", mala_is_balanced),
    "MALA's proposal has variance step": ("log_proposal", "(4 * step)", "(2 * step)", mala_is_balanced),
    "a ratio above 1 stays above": ("acceptance", "np.minimum(log_ratio, 0)", "log_ratio",
                                    metropolis_is_balanced_on_eight_cells),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    source = inspect.getsource(getattr(mcmc, name))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(mcmc), made)
    monkeypatch.setattr(mcmc, name, made[name])
    with np.errstate(all="ignore"), pytest.raises(AssertionError):
        test()


# ---- as a user would -------------------------------------------------------------------------------------


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(PATHS["mcmc"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["mcmc"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--chains", 20, "--draws", 20) == 0
    printed = capsys.readouterr().out
    assert printed.count("% taken") == 5 and "HMC, 10 x 0.1" in printed and "floor" in printed
    assert Image.open(tmp_path / "runs" / "mcmc.png").size == (3 * 194 + 2, 2 * 194 + 2)


@pytest.mark.parametrize(("arguments", "message"), [
    (("--chains", 0), "must be at least 1"), (("--begin", "there"), "must be one of mode, everywhere"),
    (("--out", "q"), "use .png"), (("--chains", 10**6), "must be at most"),
    (("--chains", 100_000, "--draws", 10**10), "not enough memory"),
    (("--chains", 5, "--draws", 50, "--langevin", 1e9), "is in no cell: lower the step"),
])  # fmt: skip
def test_bad_arguments_are_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
