"""Activations, each with both derivatives written in terms of its output y, and softmax."""

from scratchgan import kernels, xp
from scratchgan.layers.base import Layer, Pointwise, check


class ReLU(Pointwise):
    """y = max(x, 0). Its derivative at 0 is taken to be 0."""

    def __repr__(self):
        return "ReLU()"

    def f(self, x):
        return xp.maximum(x, 0)

    def derivative(self, y):
        return y > 0


class LeakyReLU(Pointwise):
    """y = x where x > 0, slope x elsewhere, with 0 <= slope <= 1 (Maas et al. 2013). Its derivative at 0 is slope."""

    def __init__(self, slope=0.2):
        if not 0 <= slope <= 1:
            raise ValueError(f"LeakyReLU: slope is {slope}, wanted a number from 0 to 1")
        self.slope = float(slope)

    def __repr__(self):
        return f"LeakyReLU({self.slope})"

    def f(self, x):
        if kernels.can_take(x):
            return kernels.leaky_relu(x, self.slope)
        y = self.slope * x
        return xp.maximum(x, y, out=y)  # in place: a new array costs more than the arithmetic on it

    def derivative(self, y):
        if kernels.can_take(y):
            return kernels.slopes(y, self.slope)
        positive = (y > 0).astype(y.dtype)
        return xp.maximum(positive, self.slope, out=positive)  # 1 or slope, without the cost of `where`


class Tanh(Pointwise):
    """y = tanh(x), with f' = 1 - y^2 and f'' = -2 y (1 - y^2)."""

    def __repr__(self):
        return "Tanh()"

    def f(self, x):
        return xp.tanh(x)

    def derivative(self, y):
        return 1 - y * y

    def second_derivative(self, y):
        return -2 * y * (1 - y * y)


class Sigmoid(Pointwise):
    """y = 1 / (1 + exp(-x)), with f' = y (1 - y) and f'' = y (1 - y) (1 - 2 y).

    No loss of this library wants it as a discriminator's last layer: losses take logits.
    """

    def __repr__(self):
        return "Sigmoid()"

    def f(self, x):
        return sigmoid(x)

    def derivative(self, y):
        return y * (1 - y)

    def second_derivative(self, y):
        return y * (1 - y) * (1 - 2 * y)


class Softplus(Pointwise):
    """y = log(1 + exp(x)), a smooth ReLU, with f' = sigmoid(x) = 1 - exp(-y) and f'' = (1 - exp(-y)) exp(-y)."""

    def __repr__(self):
        return "Softplus()"

    def f(self, x):
        return softplus(x)

    def derivative(self, y):
        return -xp.expm1(-y)

    def second_derivative(self, y):
        return -xp.expm1(-y) * xp.exp(-y)


class ELU(Pointwise):
    """y = x where x > 0, alpha (exp(x) - 1) elsewhere; there f' = f'' = y + alpha (Clevert et al. 2016, eq. 15).

    With alpha other than 1 the derivative jumps at 0, where it is taken to be alpha.
    """

    def __init__(self, alpha=1.0):
        if alpha <= 0:
            raise ValueError(f"ELU: alpha is {alpha}, wanted a number above 0")
        self.alpha = float(alpha)

    def __repr__(self):
        return f"ELU({self.alpha})"

    def f(self, x):
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.minimum(x, 0)))

    def derivative(self, y):
        return xp.where(y > 0, 1, y + self.alpha)

    def second_derivative(self, y):
        return xp.where(y > 0, 0, y + self.alpha)


class Softmax(Layer):
    """y_i = exp(x_i) / sum_j exp(x_j), over the last axis. A loss that takes logits needs it not."""

    def __repr__(self):
        return "Softmax()"

    def forward(self, x, train=True):
        y = xp.exp(log_softmax(check(self, "x", x)))
        return y, y

    def backward(self, y, dy, grads=True):
        # The Jacobian is symmetric: dx_i = y_i (dy_i - sum_j y_j dy_j).
        return softmax_backward(y, check(self, "dy", dy, y.shape, y.dtype))

    def double_backward(self, y, dy, ddx, grads=True):
        # L = sum_i ddx_i y_i (dy_i - <y, dy>). First dL/dy with dy held fixed, then back through y(x).
        check(self, "ddx", ddx, y.shape, y.dtype)
        along_dy = (y * dy).sum(-1, keepdims=True)
        along_ddx = (y * ddx).sum(-1, keepdims=True)
        at_y = ddx * (dy - along_dy) - dy * along_ddx
        return softmax_backward(y, ddx), softmax_backward(y, at_y)


class LogSoftmax(Layer):
    """y_i = x_i - log sum_j exp(x_j), over the last axis."""

    def __repr__(self):
        return "LogSoftmax()"

    def forward(self, x, train=True):
        y = log_softmax(check(self, "x", x))
        return y, y

    def backward(self, y, dy, grads=True):
        check(self, "dy", dy, y.shape, y.dtype)
        return dy - xp.exp(y) * dy.sum(-1, keepdims=True)

    def double_backward(self, y, dy, ddx, grads=True):
        # L = <ddx, dy> - <ddx, p> sum_i dy_i with p = exp(y), the softmax of x.
        check(self, "ddx", ddx, y.shape, y.dtype)
        p = xp.exp(y)
        ddy = ddx - (p * ddx).sum(-1, keepdims=True)
        return ddy, softmax_backward(p, -ddx * dy.sum(-1, keepdims=True))


# ---- the functions themselves, safe for any finite x, which the losses use too ---------------------------


def softplus(x):
    """Return log(1 + exp(x)) without overflow: max(x, 0) + log(1 + exp(-|x|))."""
    if kernels.can_take(x):
        return kernels.softplus(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(xp.minimum(x, -x)))


def sigmoid(x):
    """Return 1 / (1 + exp(-x)) without overflow, and with full relative precision on both sides."""
    if kernels.can_take(x):
        return kernels.sigmoid(x)
    small = xp.exp(xp.minimum(x, -x))  # exp(-|x|)
    return xp.where(x > 0, 1, small) / (1 + small)


def log_softmax(x):
    """Return x - log sum exp(x) over the last axis, without overflow."""
    shifted = x - x.max(-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(-1, keepdims=True))


def softmax_backward(y, dy):
    """Return J dy (= J^T dy), J the Jacobian of softmax at the output y."""
    return y * (dy - (y * dy).sum(-1, keepdims=True))
