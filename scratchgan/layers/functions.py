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
