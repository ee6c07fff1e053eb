"""The inception-type score: are single samples clear to a classifier, and all of them together varied?"""

import math

from scratchgan import xp
from scratchgan.layers import functions
from scratchgan.metrics.points import on_device


def score(logits):
    """Return exp(E KL(p(label | x) || p(label))), p(label) the mean of p(label | x) over all samples.

    1 for a classifier that always says the same, up to the number of classes: where it is sure of each sample and
    names each class equally often (Salimans et al. 2016, section 4). Over all samples at once, without the ten parts of
    the paper, so that their order does not count. Real data are not looked at: one perfect image a class suffices.
    logits: (n, classes). Biased downwards: from n samples, p(label) seems to differ less from each p(label | x).
    Raises ValueError for fewer than two samples, other shapes, and numbers that are not finite.
    """
    (logits,) = on_device("score", 2, logits=logits)
    log_p = functions.log_softmax(logits)
    p = xp.exp(log_p)
    marginal = p.mean(axis=0)
    entropy = -float((marginal * xp.log(xp.maximum(marginal, 1e-300))).sum())
    conditional_entropy = -float((p * log_p).sum(axis=1).mean())
    return math.exp(max(entropy - conditional_entropy, 0.0))
