"""Baum-Welch: the likelihood never falls, rows sum to 1, all strings add up; and the program that draws q."""

import inspect
import itertools
import math
import os
import runpy
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image
from test_examples import PATHS, ROOT

from scratchgan.data import cells
from scratchgan.examples.relatives import hmm

STRINGS = np.array([*itertools.product([0, 1], repeat=6)])  # all 64


def made(states=3, letters=2, seed=0, sharp=2):
    return hmm.HMM(states, letters, np.random.default_rng(seed), sharp)


def longhand(model, x):
    """q(x): the sum over all ways through the states."""
    total = 0.0
    for s in itertools.product(range(len(model.pi)), repeat=len(x)):
        q = model.pi[s[0]] * model.B[s[0], x[0]]
        for t in range(1, len(x)):
            q *= model.A[s[t - 1], s[t]] * model.B[s[t], x[t]]
        total += q
    return total


def forward_sums_over_all_ways():
    model = made()
    found = model.probability(STRINGS)
    np.testing.assert_allclose(found, [longhand(model, x) for x in STRINGS], rtol=1e-12)
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_forward_sums_over_all_ways():
    forward_sums_over_all_ways()


def expected(model, strings, counts):
    """Return the next pi, A, B from their definitions: by all ways through the states, longhand."""
    S, V = model.B.shape
    pi, A, B = np.zeros(S), np.zeros((S, S)), np.zeros((S, V))
    for x, count in zip(strings, counts, strict=True):
        whole = longhand(model, x)
        for s in itertools.product(range(S), repeat=len(x)):
            q = model.pi[s[0]] * model.B[s[0], x[0]]
            for t in range(1, len(x)):
                q *= model.A[s[t - 1], s[t]] * model.B[s[t], x[t]]
            share = count * q / whole
            pi[s[0]] += share
            for t in range(len(x)):
                B[s[t], x[t]] += share
                if t:
                    A[s[t - 1], s[t]] += share
    return [table / table.sum(axis=-1, keepdims=True) for table in (pi, A, B)]


def an_iteration_takes_expected_counts():
    rng = np.random.default_rng(1)
    model, strings, counts = made(2, 3), rng.integers(0, 3, (5, 4)), rng.integers(1, 9, 5)
    wanted = expected(model, strings, counts)
    told = model.improve(strings, counts)
    for found, table in zip((model.pi, model.A, model.B), wanted, strict=True):
        np.testing.assert_allclose(found, table, rtol=1e-10)
    assert np.isfinite(told)


def test_an_iteration_takes_expected_counts():
    an_iteration_takes_expected_counts()


def the_likelihood_never_falls():
    """By one iteration after the other; it is what `improve` says, and rows go on to sum to 1."""
    rng = np.random.default_rng(0)
    for states, letters, length in ((3, 2, 6), (8, 5, 2), (4, 3, 12)):
        strings, counts = rng.integers(0, letters, (40, length)), rng.integers(1, 50, 40)
        model, seen = made(states, letters, states), []
        for _ in range(60):
            wanted = counts @ np.log(model.probability(strings)) / counts.sum()
            told = model.improve(strings, counts)
            assert told == pytest.approx(wanted, abs=1e-9)
            seen.append(told)
            for table in (model.pi, model.A, model.B):
                np.testing.assert_allclose(table.sum(axis=-1), 1, atol=1e-12)
                assert (table >= 0).all()
        assert (np.diff(seen) >= -1e-9).all() and seen[-1] > seen[0] + 0.01


def test_the_likelihood_never_falls():
    the_likelihood_never_falls()


def long_strings_do_not_underflow():
    """500 letters: their probability is 0 in any float, and its logarithm is not."""
    x = np.random.default_rng(0).integers(0, 30, (4, 500))
    model = made(5, 30, sharp=1)
    before = model.improve(x, np.ones(4))
    assert -500 * math.log(60) < before < -500 * math.log(15)
    assert all(np.isfinite(table).all() for table in (model.pi, model.A, model.B))
    assert model.improve(x, np.ones(4)) > before


def test_long_strings_do_not_underflow():
    long_strings_do_not_underflow()


def states_that_are_never_met_keep_rows():
    """A state that nothing leads to, and a letter that no string has."""
    model = made(3, 4)
    model.pi[:], model.A[:] = [1, 0, 0], [[0, 1, 0]] * 3
    model.improve(np.array([[0, 1], [1, 2]]), np.array([3.0, 4.0]))
    for table in (model.pi, model.A, model.B):
        np.testing.assert_allclose(table.sum(axis=-1), 1, atol=1e-12)
    assert model.probability(np.array([[3, 3]])) == 0  # without a NaN


def test_states_that_are_never_met_keep_rows():
    states_that_are_never_met_keep_rows()


@pytest.mark.parametrize("words", ["two", "bits"])
def test_q_is_a_distribution_over_cells(words):
    _, letters = hmm.strings(np.arange(3), words)
    q = hmm.probabilities(made(4, letters), words)
    assert q.shape == (cells.CELLS,) and q.sum() == pytest.approx(1, abs=1e-12)


def test_states_that_are_alike_stay_alike():
    """EM begins at a saddle there, which is why states differ at first."""
    rng = np.random.default_rng(0)
    model, x = made(3, 4), rng.integers(0, 4, (50, 5))
    model.pi, model.A, model.B = np.ones(3) / 3, np.ones((3, 3)) / 3, np.repeat(model.B[:1], 3, axis=0)
    for _ in range(20):
        model.improve(x, np.ones(50))
    np.testing.assert_allclose(model.B, np.repeat(model.B[:1], 3, axis=0), atol=1e-12)


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

BUGS = {
    "small cells are not updated": (
        "improve", "onwards = said[t] * beta", "onwards = np.where(said[t] > 0.3, said[t], 0) * beta",
        an_iteration_takes_expected_counts,
    ),
    "transitions are not normalised": ("improve", "normalized(A)", "A", the_likelihood_never_falls),
    "transitions without A": ("improve", "self.A * (", "(", an_iteration_takes_expected_counts),
    "transitions transposed": ("improve", ".T @ onwards)", ".T @ onwards).T", an_iteration_takes_expected_counts),
    "no scale in the backward pass": ("improve", " / scale[t, :, None]", "", an_iteration_takes_expected_counts),
    "no scaling": (
        "forward", "alpha[t] = joint / np.where(scale[t] > 0, scale[t], 1)[:, None]", "alpha[t] = joint",
        long_strings_do_not_underflow,
    ),
    "each string once": ("improve", "gamma = counts[:, None] * ", "gamma = ", an_iteration_takes_expected_counts),
    "a letter counts once where it stands twice": (
        "improve", "np.add.at(B, x[:, t], gamma)", "B[x[:, t]] += gamma", an_iteration_takes_expected_counts,
    ),
    "the first word follows a state, too": (
        "forward", "if t else self.pi", "if t else self.pi @ self.A", forward_sums_over_all_ways,
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(hmm.HMM, name)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(hmm), made)
    monkeypatch.setattr(hmm.HMM, name, made[name])
    with np.errstate(all="ignore"), pytest.raises(AssertionError):
        test()


def test_rows_of_zeros_are_caught(monkeypatch):
    monkeypatch.setattr(hmm, "normalized", lambda shares: shares / np.maximum(
        shares.sum(axis=-1, keepdims=True), 1e-300))  # fmt: skip
    with pytest.raises(AssertionError):
        states_that_are_never_met_keep_rows()


# ---- as a user would -------------------------------------------------------------------------------------


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(PATHS["hmm"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["hmm"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--iterations", 2, "--starts", 2, "--states", 2)
    for words in ("two", "bits"):
        assert call(monkeypatch, *small, "--words", words) == 0
        printed = capsys.readouterr().out
        assert "HMM, 2 states" in printed and "independent bits" in printed and printed.count("start ") == 2
        assert min(Image.open(tmp_path / "runs" / "hmm.png").size) > 50
    assert call(monkeypatch, *small, "--out", "q.jpg") == 0
    one, two = (hmm.fit(hmm.Settings(states=2, iterations=2, starts=2))[0] for _ in range(2))
    np.testing.assert_array_equal(one.B, two.B)  # one seed, one answer


@pytest.mark.parametrize(("arguments", "message"), [
    (("--states", 0), "must be at least 1"), (("--words", "three"), "must be one of two, bits"),
    (("--out", "q.doc"), "use .png"), (("--stats", 3), "did you mean --states"),
])  # fmt: skip
def test_bad_arguments_are_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_benchmark_measures_once(tmp_path):
    """Two seeds and their mean; called again, it takes what is there."""
    table = ("--only", "HMM of two words", "--seeds", "0", "1", "--no-records", "--out", str(tmp_path))
    command = [sys.executable, str(ROOT / "benchmarks" / "density.py"), *table]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    first, second = (subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
                     for _ in range(2))  # fmt: skip
    assert first.count("---- HMM") == 2 and "---- HMM" not in second
    row = next(line for line in second.splitlines() if line.startswith("| HMM"))
    assert row in first and row.count("±") == 4 and second.count("| *") == 4
    q = np.load(tmp_path / "HMM-of-two-words-1.npz")["q"]
    assert q.sum() == pytest.approx(1, abs=1e-12)
