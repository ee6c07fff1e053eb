"""How well one number tells two classes apart, at every threshold at once."""

import numpy as np


def roc_auc(scores, positive):
    """Return the area under the curve of (false positive rate, true positive rate) of all thresholds: 0 to 1.

        AUC = P(score of a positive > score of a negative) + 1/2 P(they are equal)     (Hanley & McNeil 1982)

    1: every positive has the larger score; 1/2: chance; below: the sign of the score is wrong. Only the order of the
    scores counts. scores: numbers; positive: booleans, or 0 and 1; of one shape. Raises ValueError for others, for a
    score that is NaN, and where one of the two classes is missing.
    """
    scores, positive = np.asarray(scores), np.asarray(positive)
    if scores.shape != positive.shape or not np.isin(positive, (0, 1)).all():
        raise ValueError(f"roc_auc: wanted a 0 or 1 for each score, got {scores.shape} and {positive.shape}")
    if scores.dtype.kind not in "biuf":  # complex numbers and texts have another order, or none
        raise ValueError(f"roc_auc: wanted scores that are real numbers, got {scores.dtype}")
    scores, positive = scores.ravel(), positive.ravel().astype(bool)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if np.isnan(scores).any() or not (n_positive and n_negative):
        raise ValueError(f"roc_auc: {n_positive} positives and {n_negative} negatives, or a score that is NaN")
    # Equal scores share the mean of their ranks. The rank sum of the positives counts the pairs they win.
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    wins = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * n_negative))
