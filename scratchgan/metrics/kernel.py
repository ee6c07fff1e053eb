"""The kernel distance: the squared maximum mean discrepancy with a cubic kernel, without bias."""

from scratchgan.metrics.points import blocks, on_device


def kernel_distance(x, y):
    """Return MMD^2 between two samples of points, over all pairs, with k(a, b) = (<a, b> / D + 1)^3.

        MMD^2 = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j)

    Unbiased (Gretton et al. 2012, lemma 6; Bińkowski et al. 2018 call it KID for Inception's features): for two
    samples of one distribution its mean is 0, so that it may be negative. The cubic sees three moments.
    x: (n, D), y: (m, D), of any sizes; O((n + m)^2 D) time. No unit: the numbers of x are compared with sqrt(D).
    Raises ValueError for fewer than two points, other shapes, and numbers that are not finite.
    """
    x, y = on_device("kernel_distance", 2, x=x, y=y)
    n, m = len(x), len(y)
    own_x = total(x, x) - float(cubic((x * x).sum(axis=1), x).sum())  # a point is no pair with itself
    own_y = total(y, y) - float(cubic((y * y).sum(axis=1), y).sum())
    return own_x / (n * (n - 1)) + own_y / (m * (m - 1)) - 2 * total(x, y) / (n * m)


def cubic(products, x):
    """Return k for inner products <a, b> of points that have as many numbers as those of x."""
    near = products / x.shape[1] + 1
    return near * near * near


def total(x, y):
    """Return the sum of k over all pairs of a point of x and a point of y."""
    return sum(float(cubic(x[rows] @ y.T, x).sum()) for rows in blocks(len(x)))
