"""Unrolled GAN: a generator's gradient through the steps that the discriminator is about to take (Metz et al. 2017).

docs/unrolled.md derives it. All it needs besides `backward` is how D's gradients vary when D's weights move along a
direction v, which is the Hessian times v: `double_backward`, once each Param has its `direction`.
"""

import contextlib
import math

from scratchgan import xp
from scratchgan.layers.base import Pointwise
from scratchgan.layers.compose import Sequential
from scratchgan.layers.pointwise import softplus
from scratchgan.optim import SGD, Adam
from scratchgan.param import Param


class Surprise(Pointwise):
    """y = -log sigmoid(x) for truth = 1, -log (1 - sigmoid(x)) for truth = -1: cross-entropy as the last layer.

    y = softplus(-truth x), with f' = -truth (1 - exp(-y)) and f'' = (1 - exp(-y)) exp(-y). With its loss inside the
    network, one `double_backward` knows how the loss bends.
    """

    def __init__(self, truth):
        self.truth = truth

    def __repr__(self):
        return f"Surprise({self.truth})"

    def f(self, x):
        return softplus(-self.truth * x)

    def derivative(self, y):
        return self.truth * xp.expm1(-y)

    def second_derivative(self, y):
        return -xp.expm1(-y) * xp.exp(-y)


# ---- the generator's gradient ----------------------------------------------------------------------------


def unrolled_generator(D, optimizer, real, fake, steps, *, saturating=False):
    """Return G's loss and its gradient with respect to `fake`, after `steps` steps that D would take on this batch.

        theta_0 = theta,  theta_k+1 = theta_k - (a step of D's optimizer down its loss on real and fake)
        G descends -E log D(fake; theta_K), or if `saturating` E log D(real; theta_K) + E log(1 - D(fake; theta_K))

    The gradient is the total one: `fake` acts through D's input and through every theta_k. optimizer: an Adam or SGD
    of D's Params, without weight decay and Nesterov's momentum. D's weights and optimizer are left as they were; its
    grads must be clear, as they are after any step, and are clear again.
    Raises NotImplementedError for a Param whose motion `double_backward` does not follow, or another optimizer, and
    ValueError for the optimizer of another network.
    """
    follow = follower(optimizer)
    require_directions(D)
    flat = optimizer.flat
    if any(param.flat is not flat for param in D.params()):
        raise ValueError("unrolled_generator: the optimizer moves the Params of another network than D")
    real_side, fake_side = Sequential(D, Surprise(1)), Sequential(D, Surprise(-1))
    history = []
    with put_back(flat, history):
        for _ in range(steps):
            theta = flat.value.copy()
            passes = [descend(real_side, real), descend(fake_side, fake)]
            history.append((theta, passes, follow.forward(flat.value, take_grad(flat))))
        loss, d_fake = generator_loss(real_side, fake_side, real, fake, saturating)
        d_theta = take_grad(flat)
        for theta, passes, step in reversed(history):
            flat.value[...] = theta  # at last theta_0: D is back where it was
            flat.move(follow.backward(step, d_theta))
            bends = [net.double_backward(tape, dy, xp.zeros_like(x))[1] for net, x, tape, dy in passes]
            d_fake = d_fake + bends[1]
            d_theta = d_theta + take_grad(flat)
        flat.move(None)
    return loss, d_fake


@contextlib.contextmanager
def put_back(flat, history):
    """Leave D's weights, directions and grads as they were, where something is raised on the way."""
    try:
        yield
    except BaseException:
        if history:
            flat.value[...] = history[0][0]
        flat.move(None)
        flat.grad.fill(0)
        raise


def descend(net, x):
    """Add the gradient of the mean of net(x) to the grads; return what `double_backward` will need."""
    y, tape = net.forward(x)
    dy = xp.full_like(y, 1 / y.size)
    net.backward(tape, dy)
    return net, x, tape, dy


def generator_loss(real_side, fake_side, real, fake, saturating):
    """Return G's loss at D's present weights and its gradient with respect to fake; D's grads receive theirs."""
    sides = [(real_side, real, -1), (fake_side, fake, -1)] if saturating else [(real_side, fake, 1)]
    loss = 0
    for net, x, sign in sides:  # fake is last
        y, tape = net.forward(x)
        loss = loss + sign * y.mean()
        dx = net.backward(tape, xp.full_like(y, sign / y.size))
    return loss, dx


def take_grad(flat):
    """Return a copy of a flat gradient, and clear it."""
    grad = flat.grad.copy()
    flat.grad.fill(0)
    return grad


def require_directions(net):
    """Raise NotImplementedError unless `double_backward` follows every Param of a network along its direction."""
    for path, layer in net.named_layers():
        if not layer.passes_directions:
            raise NotImplementedError(f"{path or 'the network'}, {layer!r}: double_backward does not ask all its parts")
    for path, layer, _, param in net.attributes(Param):
        if type(param) is not Param or not layer.follows_directions:
            raise NotImplementedError(f"{path} of {layer!r}: double_backward does not follow it along a direction")


# ---- a step of an optimizer as a layer: forward, and backward --------------------------------------------


class FollowSGD:
    """v = momentum v + g; theta -= lr v."""

    def __init__(self, sgd):
        self.lr, self.momentum = sgd.lr, sgd.momentum
        self.velocity = sgd.memory["velocity"].copy()
        self.d_velocity = xp.zeros_like(self.velocity)

    def forward(self, theta, grad):
        self.velocity = self.momentum * self.velocity + grad
        theta -= self.lr * self.velocity

    def backward(self, tape, d_theta):
        """Return the gradient with respect to grad, given that with respect to theta after the step."""
        d_grad = self.d_velocity - self.lr * d_theta
        self.d_velocity = self.momentum * d_grad
        return d_grad


class FollowAdam:
    """m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; theta -= rate m / (sqrt(s) + shift), as `Adam.update` has it."""

    def __init__(self, adam):
        self.lr, (self.b1, self.b2), self.eps, self.steps = adam.lr, adam.betas, adam.eps, adam.steps
        self.mean, self.square = adam.memory["mean"].copy(), adam.memory["square"].copy()
        self.d_mean, self.d_square = xp.zeros_like(self.mean), xp.zeros_like(self.square)

    def forward(self, theta, grad):
        self.steps += 1
        self.mean = self.b1 * self.mean + (1 - self.b1) * grad
        self.square = self.b2 * self.square + (1 - self.b2) * grad * grad
        correction = math.sqrt(1 - self.b2**self.steps)
        rate = self.lr * correction / (1 - self.b1**self.steps)
        root = xp.sqrt(self.square)
        quotient = rate / (root + self.eps * correction)
        theta -= quotient * self.mean
        return grad, self.mean, root, quotient, rate

    def backward(self, tape, d_theta):
        """Return the gradient with respect to grad, given that with respect to theta after the step."""
        grad, mean, root, quotient, rate = tape
        self.d_mean -= quotient * d_theta
        # d quotient / d s = -quotient^2 / (2 rate sqrt(s)); where s is 0, all gradients were, and so is the mean
        self.d_square += d_theta * mean * quotient * quotient / (2 * rate * xp.maximum(root, 1e-30))
        d_grad = (1 - self.b1) * self.d_mean + 2 * (1 - self.b2) * grad * self.d_square
        self.d_mean *= self.b1
        self.d_square *= self.b2
        return d_grad


def follower(optimizer):
    """Return a `FollowAdam` or `FollowSGD` that starts where an optimizer stands."""
    if callable(optimizer.lr):
        raise NotImplementedError("unrolling takes a learning rate that is a number, not a schedule")
    if type(optimizer) is Adam and not optimizer.weight_decay:
        return FollowAdam(optimizer)
    if type(optimizer) is SGD and not optimizer.nesterov:
        return FollowSGD(optimizer)
    raise NotImplementedError(f"unrolling follows Adam and SGD, without decay and Nesterov, not this {optimizer!r}")
