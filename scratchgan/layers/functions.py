"""Functions of numbers, safe for any finite x, that activations and losses share."""

from scratchgan import xp


def softplus(x):
    """Return log(1 + exp(x)) without overflow: max(x, 0) + log(1 + exp(-|x|))."""
    return xp.maximum(x, 0) + xp.log1p(xp.exp(xp.minimum(x, -x)))


def sigmoid(x):
    """Return 1 / (1 + exp(-x)) without overflow, and with full relative precision on both sides."""
    small = xp.exp(xp.minimum(x, -x))  # exp(-|x|)
    return xp.where(x > 0, 1, small) / (1 + small)


def log_softmax(x):
    """Return x - log sum exp(x) over the last axis, without overflow."""
    shifted = x - x.max(-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(-1, keepdims=True))


def softmax_pull(y, dy):
    """Return J dy (= J^T dy), J softmax's Jacobian at the output y: y_i (dy_i - sum_j y_j dy_j)."""
    return y * (dy - (y * dy).sum(-1, keepdims=True))


def sample_categorical(logits, rng):
    """Draw integers (N, ...) from softmax(logits), logits (N, ..., K): one host number for each.

    Never one whose probability is 0: the first k with u c_K < c_k, c the sums of p up to k.
    """
    p = xp.exp(logits - logits.max(-1, keepdims=True))
    c = xp.cumsum(p, axis=-1)
    total = c[..., -1:]
    u = xp.to_device(rng.random(logits.shape[:-1] + (1,)), c.dtype)
    last = (c < total).sum(-1)  # where u is so near to 1 that u c_K is rounded to c_K
    return xp.minimum((c <= u * total).sum(-1), last)
