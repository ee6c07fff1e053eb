"""Wasserstein distances against closed forms, brute force, the laws of a distance, and certificates of optimality."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchgan.metrics.wasserstein import assignment, distance_1d, sliced, transport

numbers = st.floats(-100, 100, width=32)
samples = st.lists(numbers, min_size=1, max_size=12).map(np.array)
orders = st.sampled_from([1, 1.5, 2])
ROUNDING = 1e-9  # of a mean of a dozen numbers up to 1000^2 in float64


@st.composite
def clouds(draw, count):
    """Draw `count` samples of points, (n, D) each."""
    n, D = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    values = draw(st.lists(numbers, min_size=count * n * D, max_size=count * n * D))
    return np.array(values).reshape(count, n, D)


def rounding(p):
    """What rounding may do to any of the distances here, between points up to 1000 apart.

    Rounding W_p^p by a share of 1e-14 of the largest |x - y|^p may make `transport` take another match. Where W_p is
    near 0 and the points are not, the root turns that into a share of 1e-14^(1/p) of the largest |x - y|.
    """
    return 1000 * 1e-14 ** (1 / p)


def directions():
    """The same directions at every call, so that sliced distances can be compared."""
    return {"rng": np.random.default_rng(0), "directions": 16}


DISTANCES = {
    "distance_1d": lambda x, y, p: distance_1d(x[:, 0], y[:, 0], p),
    "sliced": lambda x, y, p: sliced(x, y, p=p, **directions()),
    "transport": lambda x, y, p: transport(x, y, p)[0],
}
every_distance = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


# ---- the laws of a distance ------------------------------------------------------------------------------


@every_distance
@settings(deadline=None)
@given(clouds(3), orders)
def test_symmetry_and_triangle_inequality(distance, points, p):
    x, y, z = points
    assert distance(x, y, p) == pytest.approx(distance(y, x, p), abs=rounding(p))
    assert distance(x, z, p) <= distance(x, y, p) + distance(y, z, p) + rounding(p)


@every_distance
@settings(deadline=None)
@given(clouds(1), orders, st.randoms(use_true_random=False))
def test_zero_on_the_same_points_in_any_order(distance, points, p, random):
    x = points[0]
    order = random.sample(range(len(x)), len(x))
    assert distance(x, x[order], p) <= ROUNDING  # not 0: a projection may depend on the row in which a point stands


@every_distance
@settings(deadline=None)
@given(clouds(2), orders, st.floats(0.125, 8), st.floats(-10, 10))
def test_scaling_and_common_translation(distance, points, p, scale, shift):
    """W(a x + b, a y + b) = a W(x, y)."""
    x, y = points
    expected = scale * distance(x, y, p)
    assert distance(scale * x + shift, scale * y + shift, p) == pytest.approx(expected, abs=8 * rounding(p))


@every_distance
@settings(deadline=None)
@given(clouds(2))
def test_larger_p_is_never_smaller(distance, points):
    """W_p <= W_q for p <= q (Jensen)."""
    x, y = points
    assert distance(x, y, 1) <= distance(x, y, 2) + rounding(1)


# ---- closed forms ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(samples, st.floats(-50, 50), orders)
def test_translation_in_1d(x, shift, p):
    assert distance_1d(x, x + shift, p) == pytest.approx(abs(shift), abs=ROUNDING)


@settings(deadline=None)
@given(clouds(1), orders)
def test_translation_of_points(points, p):
    x = points[0]
    shift = np.array([3.0, -4.0, 12.0])[: x.shape[1]]
    assert transport(x, x + shift, p)[0] == pytest.approx(np.linalg.norm(shift), abs=ROUNDING)


@settings(deadline=None)
@given(samples, st.floats(0.125, 8), st.floats(-50, 50), orders)
def test_an_increasing_map_keeps_the_order(z, scale, shift, p):
    """The increasing map z -> scale z + shift moves nothing past anything else, so that it is the best one."""
    moved = np.mean(np.abs(scale * z + shift - z) ** p) ** (1 / p)
    assert distance_1d(z, scale * z + shift, p) == pytest.approx(moved, abs=ROUNDING)


def test_two_gaussians_w1():
    """W_1 of N(0, s) and N(2, s) is 2; of N(0, 1) and N(0, 3) it is (3 - 1) E|z| = 2 sqrt(2 / pi).

    Sampling error: |W(F_n, G_n) - W(F, G)| <= W(F_n, F) + W(G_n, G). For N(0, s), E W_1(F_n, F) is at most the
    integral of sqrt(F (1 - F) / n), which is 1.615 s / sqrt(n). Moving one number by d moves W_1 by d / n at most, so
    that W_1 is 1 / sqrt(n)-Lipschitz, and exceeds its mean by 4 s / sqrt(n) with a probability below e^-8.
    """
    rng, n = np.random.default_rng(0), 100_000
    error = lambda s: (1.615 + 4) * s / math.sqrt(n)
    x, y, wide = rng.normal(0, 1, n), rng.normal(2, 1, n), rng.normal(0, 3, n)
    assert distance_1d(x, y) == pytest.approx(2, abs=2 * error(1))
    assert distance_1d(x, wide) == pytest.approx(2 * math.sqrt(2 / math.pi), abs=error(1) + error(3))


def test_two_gaussians_w2():
    """W_2^2 of N(m1, s1) and N(m2, s2) is (m1 - m2)^2 + (s1 - s2)^2, here 1 + 4.

    For any two samples, W_2^2 is at least (difference of means)^2 + (difference of standard deviations)^2
    (Gelbrich 1990); what lies above is that the samples differ in shape, of order log log n / n for Gaussians.
    Mean and standard deviation have variances s^2 / n and s^2 / 2n: hence the standard error, to first order.
    """
    rng, n, m1, s1, m2, s2 = np.random.default_rng(1), 50_000, 0, 1, 1, 3
    x, y = rng.normal(m1, s1, n), rng.normal(m2, s2, n)
    square = distance_1d(x, y, p=2) ** 2
    bound = (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2
    assert bound <= square * (1 + ROUNDING)
    assert square - bound <= 20 * s1 * s2 * math.log(math.log(n)) / n
    standard_error = math.sqrt((s1**2 + s2**2) / n * (4 * (m1 - m2) ** 2 + 2 * (s1 - s2) ** 2))
    assert square == pytest.approx((m1 - m2) ** 2 + (s1 - s2) ** 2, abs=5 * standard_error)


@pytest.mark.parametrize(("p", "mean", "variance"), [(1, 1 / 2, 1 / 12), (2, 1 / 3, 4 / 45)])
def test_sliced_translation(p, mean, variance):
    """Projected on u, a shift of length L is L |<u, e>|; in three dimensions |<u, e>| is uniform on (0, 1)."""
    x, count = np.random.default_rng(2).normal(size=(5, 3)), 4000
    shift = np.array([3.0, -4.0, 12.0])  # of length 13
    found = sliced(x, x + shift, rng=np.random.default_rng(3), directions=count, p=p)
    assert (found / 13) ** p == pytest.approx(mean, abs=5 * math.sqrt(variance / count))


# ---- brute force -----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(samples, samples)
def test_unequal_sizes_against_the_integral_of_distribution_functions(x, y):
    """W_1 is also the integral over t of |F(t) - G(t)|: areas between two curves, summed sideways."""
    t = np.sort(np.concatenate([x, y]))
    F = np.searchsorted(np.sort(x), t[:-1], side="right") / len(x)
    G = np.searchsorted(np.sort(y), t[:-1], side="right") / len(y)
    assert distance_1d(x, y) == pytest.approx(np.sum(np.abs(F - G) * np.diff(t)), abs=ROUNDING)


@settings(deadline=None)
@given(samples, samples, orders)
def test_unequal_sizes_against_repeated_points(x, y, p):
    """Repeat each number until both samples have n m of them: the distributions stay what they are."""
    many_x, many_y = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
    expected = np.mean(np.abs(many_x - many_y) ** p) ** (1 / p)
    assert distance_1d(x, y, p) == pytest.approx(expected, abs=ROUNDING)


@settings(deadline=None)
@given(st.integers(1, 6), st.data())
def test_assignment_against_all_permutations(n, data):
    entries = data.draw(st.sampled_from([st.integers(-3, 3), numbers]))  # small integers: many ties
    cost = np.array(data.draw(st.lists(entries, min_size=n * n, max_size=n * n)), np.float64).reshape(n, n)
    match, _, _ = assignment(cost)
    best = min(cost[range(n), columns].sum() for columns in itertools.permutations(range(n)))
    assert sorted(match) == list(range(n))
    assert cost[range(n), match].sum() == pytest.approx(best, abs=ROUNDING)


MATRICES = {
    "random": lambda i, j: np.random.default_rng(0).standard_normal(i.shape),
    "many ties": lambda i, j: np.random.default_rng(1).integers(0, 4, i.shape).astype(np.float64),
    "all the same": lambda i, j: np.ones(i.shape),
    "longest paths": lambda i, j: i * j,
    "points on a circle": lambda i, j: np.abs(np.sin((i - j * 1.01) / 50)),
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_potentials_prove_the_assignment_optimal(matrix):
    """u_i + v_j <= c[i, j]: any permutation costs at least sum u + sum v; and the one found costs just that."""
    n = 150
    cost = matrix(*np.mgrid[:n, :n].astype(np.float64))
    match, u, v = assignment(cost)
    rounding = n * np.finfo(np.float64).eps * np.abs(cost).max()  # each potential is a sum of up to n differences
    assert np.array_equal(np.sort(match), np.arange(n))
    assert (cost - u[:, None] - v).min() >= -rounding
    assert cost[np.arange(n), match].sum() == pytest.approx(u.sum() + v.sum(), abs=2 * n * rounding)


# ---- one function against another ------------------------------------------------------------------------


@settings(deadline=None)
@given(clouds(2), orders)
def test_in_one_dimension_all_three_agree(points, p):
    x, y = points[..., :1]
    exact = distance_1d(x[:, 0], y[:, 0], p)
    assert sliced(x, y, p=p, **directions()) == pytest.approx(exact, abs=ROUNDING)
    assert transport(x, y, p)[0] == pytest.approx(exact, abs=rounding(p))


@settings(deadline=None)
@given(clouds(2), orders)
def test_sliced_is_at_most_transport(points, p):
    """A projection brings no two points further apart."""
    x, y = points
    assert sliced(x, y, p=p, **directions()) <= transport(x, y, p)[0] * (1 + ROUNDING) + ROUNDING


def test_the_match_gives_the_distance():
    x, y = np.random.default_rng(4).normal(size=(2, 40, 3))
    distance, match = transport(x, y, p=2)
    assert np.mean(np.sum((x - y[match]) ** 2, axis=1)) == pytest.approx(distance**2, rel=1e-12)


def test_potentials_are_a_best_critic():
    """Kantorovich-Rubinstein: f(x) = min_j |x - y_j| - v_j is 1-Lipschitz, and E f(x) - E f(y) is W_1 itself."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 60, 2)) + [[[0.0, 0.0]], [[2.0, 0.0]]]
    lengths = lambda a, b: np.linalg.norm(a[:, None] - b, axis=-1)
    _, _, v = assignment(lengths(x, y))
    f = lambda points: (lengths(points, y) - v).min(axis=1)
    assert f(x).mean() - f(y).mean() == pytest.approx(transport(x, y)[0], rel=1e-12)
    a, b = rng.normal(size=(2, 500, 2)) * 3
    assert np.all(np.abs(f(a) - f(b)) <= np.linalg.norm(a - b, axis=1) * (1 + ROUNDING))


# ---- arguments -------------------------------------------------------------------------------------------


class OnDevice:
    """An array that, like CuPy's, comes to the host by `get` alone."""

    def __init__(self, array):
        self.array = array

    def get(self):
        return self.array


def test_arrays_of_the_device_are_fetched():
    x, y = np.random.default_rng(6).normal(size=(2, 8, 2)).astype(np.float32)
    assert distance_1d(OnDevice(x[:, 0]), OnDevice(y[:, 0])) == distance_1d(x[:, 0], y[:, 0])
    assert sliced(OnDevice(x), OnDevice(y), **directions()) == sliced(x, y, **directions())
    assert transport(OnDevice(x), OnDevice(y))[0] == transport(x, y)[0]
    assert assignment(OnDevice(np.eye(2)))[0].tolist() == [1, 0]


LINE, PLANE, IMAGES = np.zeros(3), np.zeros((3, 2)), np.zeros((3, 2, 2))
rng = np.random.default_rng(0)
ERRORS = {
    "empty": (lambda: distance_1d(LINE, []), r"distance_1d: y has shape \(0,\), wanted \(n,\) with at least one point"),
    "points": (lambda: distance_1d(PLANE, LINE), r"distance_1d: x has shape \(3, 2\), wanted \(n,\)"),
    "nan": (lambda: distance_1d(LINE, [math.nan]), "distance_1d: y holds a NaN"),
    "p": (lambda: distance_1d(LINE, LINE, p=0.5), "distance_1d: p is 0.5, wanted 1 or more"),
    "infinite p": (lambda: transport(PLANE, PLANE, p=math.inf), "transport: p is inf"),
    "images": (lambda: sliced(PLANE, IMAGES, rng=rng), r"sliced: y has shape \(3, 2, 2\), wanted \(n, D\)"),
    "no directions": (lambda: sliced(PLANE, PLANE, rng=rng, directions=0), "sliced: directions is 0"),
    "dimensions": (lambda: sliced(PLANE, np.zeros((3, 4)), rng=rng), "x has points of 2 numbers and y of 4"),
    "sizes": (lambda: transport(PLANE, np.zeros((4, 2))), "x has 3 points and y 4, wanted the same number: leave"),
    "not square": (lambda: assignment(PLANE), r"assignment: wanted a square matrix .* got shape \(3, 2\)"),
    "infinite cost": (lambda: assignment([[1.0, math.inf], [0.0, 1.0]]), "assignment: wanted .* or a NaN or inf"),
    "no cost": (lambda: assignment(np.zeros((0, 0))), r"assignment: wanted .* shape \(0, 0\)"),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
