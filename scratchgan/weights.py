"""Weights that are functions of others: Spectral, WeightNorm, Masked and Equalized.

A layer computes with `W.effective()` and reports to `W.accumulate(gradient)`, so that Dense and
Conv need not know what stands between the weight that they use and the numbers that are trained.
"""

from scratchgan import xp
from scratchgan.param import Param


class Spectral(Param):
    """A weight divided by its largest singular value, W / sigma (Miyato et al. 2018).

        sigma = u^T M v,  u <- M v / |M v|,  v <- M^T u / |M^T u|,  M = W as (inputs, outputs)

    So, as a matrix, it stretches no vector. There is one power iteration (algorithm 1) after each
    step of the optimizer, so that all forwards within a step agree, and 30 at the start. exact=True
    takes u and v from a full SVD at both times. Within a step u and v are constants, while sigma
    moves with W: with E the gradient at W / sigma, the gradient at W is (E - <E, W / sigma> u v^T)
    / sigma (eq. 12), which is also the exact derivative once u and v have converged. A
    ConvTranspose's M is the M of the convolution whose adjoint it is.
    Raises ValueError for a W of zeros.
    """

    def __init__(self, param, *, rng, exact=False):
        super().__init__(param.value)
        if not self.value.any():
            raise ValueError(f"{self!r} is all zeros: it has no singular value to be divided by")
        self.exact = exact
        M = self.matrix()  # (inputs, outputs)
        v = xp.to_device(rng.standard_normal(M.shape[1]), dtype=M.dtype)
        self.v = normalized(v)  # (outputs,)
        self.u = normalized(M @ self.v)  # (inputs,)
        for _ in range(1 if exact else 30):
            self.stepped()

    def matrix(self):
        """Return W as (inputs, outputs): its last axis against all others."""
        return self.value.reshape(-1, self.value.shape[-1])

    def stepped(self):
        M = self.matrix()
        if self.exact:
            U, _, Vh = xp.linalg.svd(M, full_matrices=False)
            self.u[...], self.v[...] = U[:, 0], Vh[0]  # the largest singular value comes first
        else:
            self.u[...] = normalized(M @ self.v)
            self.v[...] = normalized(M.T @ self.u)

    def sigma(self):
        """Return the estimate of the largest singular value, 0-d: never above the true one."""
        return self.u @ self.matrix() @ self.v

    def effective(self):
        return self.value / self.sigma()

    def accumulate(self, gradient):
        sigma = self.sigma()
        slope = (gradient * self.value).sum() / sigma  # <E, W / sigma>
        rank_one = xp.outer(self.u, self.v).reshape(self.value.shape)
        self.grad += (gradient - slope * rank_one) / sigma


class WeightNorm(Param):
    """A weight by lengths and directions, W = g V / |V| (Salimans & Kingma 2016, eq. 2).

    V is `value`; g, (outputs,), a Param of its own, is |V| at first. |V| is taken over all axes but
    the last, the outputs; in a ConvTranspose, the inputs. With E the gradient at W, the gradient at
    g is <E, V> / |V|, and the gradient at V is (g / |V|) (E - (<E, V> / |V|^2) V) (eq. 3). Raises
    ValueError where a vector of V is all zeros.
    """

    def __init__(self, param):
        super().__init__(param.value)
        if not self.length().all():
            raise ValueError(f"{self!r} has zeros for all weights of an output: no direction")
        self.g = Param(self.length())

    def length(self):
        """Return |V|, (outputs,)."""
        rows = self.value.reshape(-1, self.value.shape[-1])
        return xp.sqrt((rows * rows).sum(0))

    def effective(self):
        return self.value * (self.g.value / self.length())

    def accumulate(self, gradient):
        length = self.length()
        outputs = self.value.shape[-1]
        slope = (gradient * self.value).reshape(-1, outputs).sum(0) / length  # (outputs,)
        self.g.grad += slope
        self.grad += (gradient - self.value * (slope / length)) * (self.g.value / length)


class Masked(Param):
    """A weight of which some numbers are 0 and stay so: W = V mask, element by element, V `value`.

    Output j does not hear of input i where mask[i, j] is 0 (Germain et al. 2015, MADE). With E the
    gradient at W, the gradient at V is E mask. mask: an array of V's shape that says for each
    number whether it counts. Raises ValueError for another shape, and as `weight_norm` does.
    """

    def __init__(self, param, mask):
        demand_alone(param, "W")
        super().__init__(param.value)
        self.mask = xp.asarray(mask) != 0
        if self.mask.shape != self.value.shape:
            shape = self.value.shape
            raise ValueError(f"the mask has shape {self.mask.shape}, wanted that of W, {shape}")

    def effective(self):
        return self.value * self.mask

    def accumulate(self, gradient):
        self.grad += gradient * self.mask


class Equalized(Param):
    """A weight as a constant times what is trained, W = c V, with V `value` and c fixed.

    c is the root of the mean square of W's first values, He's constant but for chance, so that V
    has numbers of size 1 in every layer. Adam's steps have one size for all weights: so each layer
    learns as fast as the others, relative to its W (Karras et al. 2018, section 4.1). With E the
    gradient at W, the gradient at V is c E. Raises ValueError for a W of zeros.
    """

    def __init__(self, param):
        super().__init__(param.value)
        self.c = xp.asarray(xp.sqrt((self.value * self.value).mean()))  # saved with the network
        if not self.c.all():
            raise ValueError(f"{self!r} is all zeros: it has no size to be divided by")
        self.value = self.value / self.c

    def effective(self):
        return self.c * self.value

    def accumulate(self, gradient):
        self.grad += self.c * gradient


def normalized(x):
    """Return x / |x|; zeros stay zeros."""
    return x / (xp.sqrt((x * x).sum()) + 1e-30)


def spectral_norm(net, *, rng, exact=False):
    """Make every weight W in a network `Spectral`; return it. Biases and gains stay as they are."""
    return replace_weights(net, lambda param: Spectral(param, rng=rng, exact=exact))


def weight_norm(net):
    """Make every weight W in a network a `WeightNorm`; return it. It computes what it did."""
    return replace_weights(net, WeightNorm)


def equalized(net):
    """Make every weight W in a network `Equalized`; return it. It computes what it did."""
    return replace_weights(net, Equalized)


def replace_weights(net, make):
    """Put make(W) in the place of each Param W of a network; one in two places stays one."""
    weights = [
        (layer, layer.W)
        for _, layer in net.named_layers()
        if isinstance(getattr(layer, "W", None), Param)
    ]
    for layer, param in weights:
        demand_alone(param, f"the W of {layer!r}")
    made = {}
    for layer, param in weights:  # none of them, if one was refused
        if param not in made:
            made[param] = make(param)
        layer.W = made[param]
    return net


def demand_alone(param, name):
    """Raise ValueError for a weight that is a function already, or that an optimizer holds."""
    if type(param) is not Param:
        raise ValueError(f"{name} is a {type(param).__name__} already: normalise a weight once")
    if param.flat is not None:
        holder = "an optimizer or EMA: normalise it before making those"
        raise ValueError(f"{name} belongs to {holder}")
