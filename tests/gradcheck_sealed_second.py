"""A sealed bank: second order, and penalties on gradients.

The first order is dx = first(dy, x, ...), the second its gradients by dy, x, ... for an upstream ddx.
"""

import numpy as np
from gradcheck_plant import Right, family

rng = np.random.default_rng(7108)
draw = lambda *shape: rng.standard_normal(shape)
sigmoid = lambda z: 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# ---- pointwise -------------------------------------------------------------------------------------------


def sigmoid_first(dy, x):
    s = sigmoid(x)
    return dy * s * (1 - s)


def sigmoid_second(ddx, dy, x, bug=""):
    s = sigmoid(x)
    slope = s * (1 - s)
    bend = slope if bug == "sigmoid'': (1 - 2 s) left out" else slope * (1 - 2 * s)
    if bug == "sigmoid'': dy left out":
        return ddx * slope, ddx * bend
    if bug == "sigmoid'': ddx used twice":
        return ddx * slope, ddx * ddx * dy * bend
    return ddx * slope, ddx * dy * bend


def swish_first(dy, x):
    s = sigmoid(x)
    return dy * (s + x * s * (1 - s))


def swish_second(ddx, dy, x, bug=""):
    s = sigmoid(x)
    slope = s * (1 - s)
    bend = (1 if bug == "swish'': one of two equal terms" else 2) * slope + x * slope * (1 - 2 * s)
    return ddx * (s + x * slope), ddx * dy * bend


# ---- softmax ---------------------------------------------------------------------------------------------


def softmax_first(dy, x):
    p = softmax(x)
    return p * (dy - (p * dy).sum(-1, keepdims=True))


def softmax_second(ddx, dy, x, bug=""):
    p = softmax(x)
    m = (p * dy).sum(-1, keepdims=True)
    ddy = p * (ddx - (p * ddx).sum(-1, keepdims=True))
    dp = ddx * (dy - m)  # p as a factor
    if bug != "softmax'': p inside of the sum taken as constant":
        dp = dp - dy * (p * ddx).sum(-1, keepdims=True)
    if bug == "softmax'': softmax of dp left out":
        return ddy, dp
    return ddy, p * (dp - (p * dp).sum(-1, keepdims=True))


# ---- products of three arguments -------------------------------------------------------------------------


def squares_first(dy, x, W):  # y = (x W)^2
    return 2 * (dy * (x @ W)) @ W.T


def squares_second(ddx, dy, x, W, bug=""):
    z, v = x @ W, ddx @ W
    dW = 2 * ddx.T @ (dy * z)
    if bug != "squares'': W inside of the square taken as constant":
        dW = dW + 2 * x.T @ (dy * v)
    if bug == "squares'': W outside of the square taken as constant":
        dW = 2 * x.T @ (dy * v)
    dx = 2 * (dy * v) @ W.T
    if bug == "squares'': gradient of x missing":
        dx = np.zeros_like(x)
    return 2 * z * v, dx, dW


def scaled_first(dy, x, s):  # y = x * exp(s x): one s per column
    return dy * np.exp(s * x) * (1 + s * x)


def scaled_second(ddx, dy, x, s, bug=""):
    e = np.exp(s * x)
    ds = ddx * dy * e * (x + x * (1 + s * x))
    if bug == "x exp(s x)'': s in the exponent only":
        ds = ddx * dy * e * x * (1 + s * x)
    if bug == "x exp(s x)'': not summed over samples":
        return ddx * e * (1 + s * x), ddx * dy * e * s * (2 + s * x), ds
    if bug == "x exp(s x)'': s for 2 s":
        return ddx * e * (1 + s * x), ddx * dy * e * s * (1 + s * x), ds.sum(0)
    return ddx * e * (1 + s * x), ddx * dy * e * s * (2 + s * x), ds.sum(0)


# ---- a critic: tanh between two layers -------------------------------------------------------------------


def critic_first(dy, x, W, a):  # D(x) = tanh(x W) a, dy (N,)
    return dy[:, None] * ((1 - np.tanh(x @ W) ** 2) * a) @ W.T


def critic_second(ddx, dy, x, W, a, bug=""):
    t = np.tanh(x @ W)
    slope = 1 - t * t
    v, d = ddx @ W, dy[:, None]
    dz = v * d * a * -2 * t * slope
    dW = ddx.T @ (d * a * slope)
    if bug != "critic'': slope's share of dW":
        dW = dW + x.T @ dz
    if bug == "critic'': share of W^T in dW":
        dW = x.T @ dz
    da = (v * d * (1 - t if bug == "critic'': da with 1 - t" else slope)).sum(0)
    ddy = (v * slope * a).sum(1)
    if bug == "critic'': ddy without a":
        ddy = (v * slope).sum(1)
    return ddy, (-1 if bug == "critic'': sign of tanh''" else 1) * dz @ W.T, dW, da


# ---- a direction: y = x / |x| ----------------------------------------------------------------------------


def unit_first(dy, x):
    n = np.sqrt((x * x).sum(1, keepdims=True))
    u = x / n
    return (dy - u * (u * dy).sum(1, keepdims=True)) / n


def unit_second(ddx, dy, x, bug=""):
    n = np.sqrt((x * x).sum(1, keepdims=True))
    u = x / n
    dot = lambda a, b: (a * b).sum(1, keepdims=True)
    ddy = (ddx - u * dot(u, ddx)) / n
    du = -(ddx * dot(u, dy) + dy * dot(u, ddx)) / n
    if bug == "unit'': u as a factor only":
        du = -ddx * dot(u, dy) / n
    dn = -dot(ddx, dy - u * dot(u, dy)) / n**2
    if bug == "unit'': 1 / n taken as constant":
        dn = 0 * dn
    return ddy, (du - u * dot(u, du)) / n + dn * u


# ---- a convolution in one dimension ----------------------------------------------------------------------


def conv_first(dy, x, w):  # y_i = tanh(sum_k w_k x_{i + k})
    z = sum(w[k] * x[:, k : k + dy.shape[1]] for k in range(3))
    d, dx = dy * (1 - np.tanh(z) ** 2), np.zeros_like(x) + 0 * w[0]
    for k in range(3):
        dx[:, k : k + dy.shape[1]] += w[k] * d
    return dx


def conv_second(ddx, dy, x, w, bug=""):
    L = dy.shape[1]
    t = np.tanh(sum(w[k] * x[:, k : k + L] for k in range(3)))
    d, v = dy * (1 - t * t), sum(w[k] * ddx[:, k : k + L] for k in range(3))
    dz = v * dy * -2 * t * (1 - t * t)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(3):
        dx[:, k : k + L] += w[2 - k if bug == "conv'': kernel flipped in dx" else k] * dz
        dw[k] = (ddx[:, k : k + L] * d).sum()
        if bug != "conv'': dw of the outer convolution only":
            dw[k] += (x[:, k : k + L] * dz).sum()
    return v * (1 - t * t), dx, dw


# ---- penalties, as losses of the weights -----------------------------------------------------------------


def gradient_norms(x, W, a):
    g = ((1 - np.tanh(x @ W) ** 2) * a) @ W.T
    return g, np.sqrt((g * g).sum(1))


def penalty(x, W, a, weight=10.0):
    return weight * ((gradient_norms(x, W, a)[1] - 1) ** 2).mean()


def penalty_grads(x, W, a, weight=10.0, bug=""):
    g, n = gradient_norms(x, W, a)
    dn = 2 * weight * (n - 1) / len(x)
    if bug == "penalty: 1/2 of the square":
        dn = dn / 2
    if bug == "penalty: n for n - 1":
        dn = 2 * weight * n / len(x)
    dg = dn[:, None] * (g if bug == "penalty: g not divided by its norm" else g / n[:, None])
    _, dx, dW, da = critic_second(dg, np.ones_like(x[:, 0]), x, W, a)
    if bug == "penalty: dx taken as zero":
        dx = np.zeros_like(x)
    return dx, dW, da


def zero_centred(x, W, a):  # R1
    g, _ = gradient_norms(x, W, a)
    return 0.5 * (g * g).sum(1).mean()


def zero_centred_grads(x, W, a, bug=""):
    g, _ = gradient_norms(x, W, a)
    _, dx, dW, da = critic_second(g / (1 if bug else len(x)), np.ones_like(x[:, 0]), x, W, a)
    return dx, dW, da


def hessian_product(w, v, X):  # of the logistic loss, times v
    s = sigmoid(X @ w)
    return X.T @ (s * (1 - s) * (X @ v))


def hessian_product_grads(dy, w, v, X, bug=""):
    s, q, u = sigmoid(X @ w), X @ v, X @ dy
    slope = s * (1 - s)
    dw = X.T @ (u * q * slope * (1 - 2 * s))
    dX = np.outer(slope * q, dy) + np.outer(slope * u, v)
    if bug == "Hessian times v: X as X^T only":
        dX = np.outer(slope * q, dy)
    dX = dX + np.outer(u * q * slope * (1 - 2 * s), 0 * w if bug == "Hessian times v: X in the sigmoid" else w)
    return dw, X.T @ (slope * u), dX


def second(first, double, args, names, *bugs):
    return family(first, double, args, names, *bugs, second_order=True)


critic = draw(4, 3), draw(3, 5), draw(5)
PLANTED = [
    *second(sigmoid_first, sigmoid_second, (draw(4, 3), 2 * draw(4, 3)), "dy x",
            ("sigmoid'': (1 - 2 s) left out", "derivative-missing derivative-wrong bend"),
            ("sigmoid'': dy left out", "argument-ignored upstream-ignored factor",
                  r"x does not depend on dy|without dy"),
            ("sigmoid'': ddx used twice", "upstream-power nonlinear")),
    *second(swish_first, swish_second, (draw(4, 3), draw(4, 3)), "dy x",
            ("swish'': one of two equal terms", "derivative-wrong branch bend")),
    *second(softmax_first, softmax_second, (draw(3, 4), draw(3, 4)), "dy x",
            ("softmax'': p inside of the sum taken as constant", "detached sum-path branch", r"uses|product"),
            ("softmax'': softmax of dp left out", "softmax-missing derivative-missing sum-path")),
    *second(squares_first, squares_second, (draw(4, 2), draw(4, 3), draw(3, 2)), "dy x W",
            ("squares'': W inside of the square taken as constant", "parameter-term uses bend"),
            ("squares'': W outside of the square taken as constant", "parameter-term uses branch"),
            ("squares'': gradient of x missing", "bend detached")),
    *second(scaled_first, scaled_second, (draw(4, 3), draw(4, 3), draw(3) / 2), "dy x s",
            ("x exp(s x)'': s in the exponent only", "uses branch parameter-term"),
            ("x exp(s x)'': not summed over samples", "not-summed shape"),
            ("x exp(s x)'': s for 2 s", "derivative-wrong branch uses")),
    *second(critic_first, critic_second, (draw(4), *critic), "dy x W a",
            ("critic'': slope's share of dW", "parameter-term uses bend"),
            ("critic'': share of W^T in dW", "parameter-term uses branch"),
            ("critic'': da with 1 - t", "derivative-wrong"),
            ("critic'': ddy without a", "argument-ignored factor", r"dy does not depend on a"),
            ("critic'': sign of tanh''", "sign bend")),
    *second(unit_first, unit_second, (draw(4, 3), draw(4, 3)), "dy x",
            ("unit'': u as a factor only", "norm-path uses branch"),
            ("unit'': 1 / n taken as constant", "norm-path detached")),
    *second(conv_first, conv_second, (draw(2, 4), draw(2, 6), draw(3)), "dy x w",
            ("conv'': kernel flipped in dx", "flipped"),
            ("conv'': dw of the outer convolution only", "parameter-term uses bend")),
    *family(penalty, penalty_grads, critic, "x W a",
            ("penalty: 1/2 of the square", "scale"),
            ("penalty: n for n - 1", "constant scale-per-axis"),
            ("penalty: g not divided by its norm", "norm-path scale-per-axis not-normalised", r"norm"),
            ("penalty: dx taken as zero", "detached bend"), loss=True),
    *family(zero_centred, zero_centred_grads, critic, "x W a", ("R1: sum over samples", "scale"), loss=True),
    *family(hessian_product, hessian_product_grads, (draw(3), draw(3), draw(4, 3)), "w v X",
            ("Hessian times v: X as X^T only", "uses branch"),
            ("Hessian times v: X in the sigmoid", "bend uses branch")),
]  # fmt: skip


# ---- right code that is hard to judge --------------------------------------------------------------------


def relu_first(dy, x, W):
    return (dy * (x @ W > 0)) @ W.T


def relu_second(ddx, dy, x, W):
    mask = x @ W > 0
    return (ddx @ W) * mask, np.zeros_like(x), ddx.T @ (dy * mask)


def leaky_first(dy, x):
    return dy * np.where(x > 0, 1, 0.2)


single = lambda *arrays: tuple(np.asarray(a, np.float32) for a in arrays)
twice = lambda name, first, double, args, names: Right(name, first, double, args, tuple(names.split()), True)
RIGHT = [
    twice("ReLU layer twice", relu_first, relu_second, (draw(4, 2), draw(4, 3), draw(3, 2)), "dy x W"),
    twice("ReLU layer twice, None for x", relu_first, lambda *a: (relu_second(*a)[0], None, relu_second(*a)[2]),
         (draw(4, 2), draw(4, 3), draw(3, 2)), "dy x W"),
    twice("LeakyReLU twice", leaky_first, lambda ddx, dy, x: (leaky_first(ddx, x), None),
          (draw(4, 3), draw(4, 3)), "dy x"),
    twice("sigmoid twice, float32", sigmoid_first, lambda *a: sigmoid_second(*a),
          single(draw(4, 3), draw(4, 3)), "dy x"),
    twice("sigmoid twice, saturated", sigmoid_first, lambda *a: sigmoid_second(*a),
          (draw(3), np.array([-20.0, 20, 0])), "dy x"),
    twice("softmax twice, float32", softmax_first, lambda *a: softmax_second(*a),
          single(draw(3, 4), draw(3, 4)), "dy x"),
    twice("unit vector twice, tiny", unit_first, lambda *a: unit_second(*a), (draw(4, 3), 1e-4 * draw(4, 3)), "dy x"),
    Right("penalty of a flat critic", penalty, lambda *a: penalty_grads(*a), (draw(4, 3), 1e-3 * draw(3, 5), draw(5)),
          ("x", "W", "a"), loss=True),
    Right("penalty, float32", penalty, lambda *a: penalty_grads(*a), single(*critic), ("x", "W", "a"), loss=True),
]  # fmt: skip
