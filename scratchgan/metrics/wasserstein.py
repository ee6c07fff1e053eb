"""Wasserstein distances between two samples: what it costs to move the points of one onto those of the other.

    W_p^p = inf over couplings of E |x - y|^p       (Villani 2009, definition 6.1)

A coupling says which mass goes where: it is a joint distribution of x and y that has the two given ones as marginals.
|.| is the Euclidean norm and W_p is in the units of x, for p of 1 or more. Between finite samples a distance above 0
does not show a difference: two samples of one distribution have one, too. `docs/wasserstein.md` shows how much.
All of this runs on the host, in float64; arrays of the GPU are copied.
"""

import math

import numpy as np

from scratchgan import xp


def distance_1d(x, y, p=1):
    """Return W_p between two samples of numbers, exactly: sort both, and move in order.

        W_p^p = integral over q from 0 to 1 of |F^-1(q) - G^-1(q)|^p

    with F and G the distribution functions of the samples (Peyré & Cuturi 2019, remark 2.30).
    x: (n,), y: (m,), of any sizes. It takes O(n log n). Biased upwards: for two samples of one distribution W_1 falls
    as n^-1/2. Raises ValueError for other shapes, an empty sample, a number that is not finite, or p below 1.
    """
    x, y = on_host("distance_1d", x, y, p, shape=("n",))
    return float(power_1d(x[:, None], y[:, None], p)[0] ** (1 / p))


def sliced(x, y, *, rng, directions=128, p=1):
    """Return the sliced Wasserstein distance: W_p of projections on a line, over random lines.

        SW_p^p = mean over unit vectors u of W_p^p(<u, x>, <u, y>)

    The mean is of p-th powers; the root is taken last (Rabin et al. 2011; Bonneel et al. 2015).
    x: (n, D), y: (m, D), of any n and m. It takes O(directions (n D + n log n)). SW_p never exceeds W_p, and is about
    sqrt(D) times smaller: compare it only with itself. Its bias is that of `distance_1d`, whatever D; drawing the
    directions adds noise of order directions^-1/2.
    Raises ValueError as `distance_1d` does, for different D, and for less than one direction.
    """
    x, y = on_host("sliced", x, y, p, shape=("n", "D"))
    if directions < 1:
        raise ValueError(f"sliced: directions is {directions}, wanted 1 or more")
    u = rng.standard_normal((x.shape[1], directions))  # a normal vector has no preferred direction
    u /= np.linalg.norm(u, axis=0)  # (D, directions)
    return float(power_1d(x @ u, y @ u, p).mean() ** (1 / p))


def transport(x, y, p=1):
    """Return W_p between two samples of one size, exactly, and which point goes where: x[i] to y[match[i]].

        W_p^p = min over permutations s of 1/n sum_i |x_i - y_s(i)|^p

    Between samples of one size no coupling beats the best permutation (Peyré & Cuturi 2019, proposition 2.1).
    x, y: (n, D); match: (n,) integers. It takes O(n^3) and n^2 numbers: seconds for n = 1000. Biased upwards:
    for two samples of one distribution it falls only as n^-1/D for D above 2 p (Fournier & Guillin 2015, theorem 1).
    Raises ValueError as `distance_1d` does, for different D, and for different sizes.
    """
    x, y = on_host("transport", x, y, p, shape=("n", "D"))
    if len(x) != len(y):
        raise ValueError(
            f"transport: x has {len(x)} points and y {len(y)}, wanted the same number: "
            "leave some of the larger sample out (rng.choice), or use sliced"
        )
    cost = np.stack([np.linalg.norm(point - y, axis=1) for point in x]) ** p  # (n, n)
    match, _, _ = assignment(cost)
    return float(cost[np.arange(len(x)), match].mean() ** (1 / p)), match


def assignment(cost):
    """Give each row a column of its own, so that the costs sum to the least; return match, u, v: (n,) each.

        min over permutations s of sum_i c[i, s(i)]  =  max of sum_i u_i + sum_j v_j  where u_i + v_j <= c[i, j]

    Row i gets column match[i]. The potentials u and v prove that no other match costs less: check them, if in doubt.
    cost: (n, n), of any sign. Row by row, a shortest augmenting path makes room for one row more (Kuhn 1955;
    Jonker & Volgenant 1987): O(n^3), about a second for 500 rows.
    Raises ValueError for a matrix that is not square, is empty, or holds a number that is not finite.
    """
    cost = np.asarray(xp.to_host(cost), np.float64)
    if cost.ndim != 2 or cost.shape[0] != cost.shape[1] or cost.size == 0 or not np.isfinite(cost).all():
        raise ValueError(f"assignment: wanted a square matrix of finite costs, got shape {cost.shape} or a NaN or inf")
    n = len(cost)
    u, v = np.zeros(n), cost.min(axis=0)  # so that cost - u - v >= 0 holds from the start
    match, row_of = np.full(n, -1), np.full(n, -1)  # -1: none yet
    for row in range(n):
        length, came_from, visited, column = shortest_path(cost, u, v, row_of, row)
        slack = length[column] - length[visited]
        u[row] += length[column]
        u[row_of[visited]] += slack  # every edge of the path becomes tight, and none gets a negative cost
        v[visited] -= slack
        while column >= 0:  # back along the path: each row on it gives up its column for the next one
            row_of[column] = came_from[column]
            match[row_of[column]], column = column, match[row_of[column]]
    return match, u, v


def shortest_path(cost, u, v, row_of, row):
    """Find the shortest path from a row to a free column, by Dijkstra's algorithm with lengths cost - u - v >= 0.

    From a row one may go to any column; from a column that is taken, only to the row that holds it, for nothing.
    Return the length to each column, the row from which it was reached, the taken columns visited, the free column.
    """
    n = len(cost)
    length, came_from, visited = np.full(n, np.inf), np.full(n, -1), np.zeros(n, bool)
    reached = 0.0
    while True:
        through = reached + (cost[row] - u[row] - v)
        shorter = (through < length) & ~visited
        length[shorter], came_from[shorter] = through[shorter], row
        column = np.where(visited, np.inf, length).argmin()
        if row_of[column] < 0:
            return length, came_from, visited, column
        visited[column], reached, row = True, length[column], row_of[column]


# ---- helpers ---------------------------------------------------------------------------------------------


def power_1d(x, y, p):
    """Return W_p^p of each column of x, (n, K), and the same column of y, (m, K): (K,)."""
    n, m = len(x), len(y)
    # F^-1 takes a step at every 1/n, G^-1 at every 1/m. In units of 1/(n m) all of them are integers: no rounding.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # (at most n + m - 1,)
    widths = np.diff(ends, prepend=0) / (n * m)
    gaps = np.sort(x, axis=0)[(ends - 1) // m] - np.sort(y, axis=0)[(ends - 1) // n]
    return widths @ np.abs(gaps) ** p


def on_host(name, x, y, p, shape):
    """Return x and y as float64 host arrays, if both have this shape and are finite; `name` is for the error."""
    if not 1 <= p < math.inf:
        raise ValueError(f"{name}: p is {p}, wanted 1 or more, and finite")
    x, y = (np.asarray(xp.to_host(sample), np.float64) for sample in (x, y))
    wanted = f"({', '.join(shape)}{',' if len(shape) == 1 else ''})"
    for label, sample in (("x", x), ("y", y)):
        if sample.ndim != len(shape) or sample.size == 0:
            raise ValueError(f"{name}: {label} has shape {sample.shape}, wanted {wanted} with at least one point")
        if not np.isfinite(sample).all():
            raise ValueError(f"{name}: {label} holds a NaN or an infinite number: look at where the points come from")
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(f"{name}: x has points of {x.shape[1]} numbers and y of {y.shape[1]}: wanted the same")
    return x, y
