"""What codes tell about the true factors of samples: names for classes, mutual information, its gap.

All of this runs on the host. Codes and factors are arrays (N,): integers are taken as they are, other numbers are cut
into bins that hold equally many samples each.
"""

import numpy as np

from scratchgan.metrics.wasserstein import assignment


def matched_accuracy(codes, labels):
    """Return the share of samples whose code names their label, under the best one-to-one naming; and the names.

    names[code] is the label that a code stands for, -1 if it stands for none (as where there are more codes than
    labels). With K codes that say nothing about K labels the share is still somewhat above 1 / K: the naming is
    chosen on the same samples. Raises ValueError for arrays that are no integers (N,) from 0 upwards.
    """
    codes, labels = in_bins("codes", codes, len(codes), 1), in_bins("labels", labels, len(codes), 1)
    table = counts(codes, labels)
    size = max(table.shape)
    square = np.zeros((size, size))
    square[: table.shape[0], : table.shape[1]] = table
    match, _, _ = assignment(-square)
    names = np.where(match < table.shape[1], match, -1)[: table.shape[0]]
    return float(square[np.arange(size), match].sum() / len(codes)), names


def mutual_information(a, b, *, bins=20):
    """Return I(a; b) = sum p(a, b) log(p(a, b) / (p(a) p(b))), in nats, from the counts of a table.

    Biased upwards: for independent a and b of A and B values, by about (A - 1)(B - 1) / 2N.
    """
    a, b = in_bins("a", a, len(a), bins), in_bins("b", b, len(a), bins)
    p = counts(a, b) / len(a)
    independent = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / independent[seen])).sum())


def mutual_information_gap(codes, factors, *, bins=20):
    """Return the mean over factors of (I of the best code - I of the second best) / H(factor), and each factor's.

    1: each factor is known to one code and to no other. 0: no code tells anything, or two tell the same (Chen, Li,
    Grosse & Duvenaud 2018, section 4). codes, factors: dictionaries, name -> (N,). The second value is a dictionary,
    factor -> (gap, name of the best code). Raises ValueError for fewer than two codes, and a factor that never varies.
    """
    if len(codes) < 2:
        raise ValueError(f"mutual_information_gap: wanted two codes or more, got {sorted(codes)}")
    gaps = {}
    for name, factor in factors.items():
        entropy = mutual_information(factor, factor, bins=bins)  # H(v) = I(v; v)
        if entropy == 0:
            raise ValueError(f"mutual_information_gap: the factor {name} is the same in all samples: leave it out")
        told = {code: mutual_information(values, factor, bins=bins) for code, values in codes.items()}
        best, second = sorted(told, key=told.get, reverse=True)[:2]
        gaps[name] = ((told[best] - told[second]) / entropy, best)
    return float(np.mean([gap for gap, _ in gaps.values()])), gaps


# ---- helpers ---------------------------------------------------------------------------------------------


def in_bins(name, values, n, bins):
    """Return values as whole numbers from 0: integers as they are, others by which bin they fall into."""
    values = np.asarray(values)
    if values.shape != (n,) or n == 0:
        raise ValueError(f"{name} has shape {values.shape}, wanted ({n},) with at least one sample, as the other has")
    if values.dtype.kind in "iu":
        if values.min() < 0:
            raise ValueError(f"{name} holds {values.min()}: whole numbers must count from 0")
        return values
    if bins < 2:
        raise ValueError(f"bins is {bins}, wanted 2 or more")
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise ValueError(f"{name} is {values.dtype}: wanted finite numbers, and whole ones for classes")
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(edges, values, side="right")


def counts(a, b):
    """Return how often each pair of values occurs: (largest a + 1, largest b + 1)."""
    table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
    np.add.at(table, (a, b), 1)
    return table
