"""Unrolled GAN: a generator's gradient through the next steps of D (Metz et al. 2017).

docs/unrolled.md derives it. Beyond first-order code it needs how D's gradients vary when D's
weights move along v: the Hessian times v. `moving` makes it of a network's `double_backward`.
"""

import contextlib
import math

from scratchgan import xp
from scratchgan.layers.activations import Surprise
from scratchgan.layers.base import Layer, LinearMap, add, holds_params
from scratchgan.layers.compose import Each, Fork, Sequential
from scratchgan.layers.norm import Normalization
from scratchgan.layers.recurrent import Recurrent
from scratchgan.optim import SGD, Adam
from scratchgan.param import Param

# ---- the generator's gradient --------------------------------------------------------------------


def unrolled_generator(D, optimizer, real, fake, steps, *, saturating=False):
    """Return G's loss and its gradient at `fake`, after `steps` steps of D on this batch.

        theta_0 = theta,  theta_k+1 = theta_k - (a step of D's optimizer down its loss)
        G descends -E log D(fake; theta_K), or if `saturating`
                   E log D(real; theta_K) + E log(1 - D(fake; theta_K))

    The gradient is the total one: `fake` acts through D's input and through every theta_k.
    optimizer: an Adam or SGD of D's Params, without weight decay and Nesterov's momentum. D's
    weights and optimizer are left as they were; its grads must be clear, as they are after any
    step, and are clear again. Raises NotImplementedError for a Param whose motion `moving` does not
    know, or another optimizer, and ValueError for the optimizer of another network.
    """
    follow, flat = follower(optimizer), optimizer.flat
    if any(param.flat is not flat for param in D.params()):
        raise ValueError("unrolled_generator: the optimizer moves Params of another network than D")
    moving(D, flat.cut(flat.value))  # raises here, before anything has moved
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
            direction = flat.cut(follow.backward(step, d_theta))
            bends = [how_the_gradient_moves(*one, direction) for one in passes]
            d_fake = d_fake + bends[1]
            d_theta = d_theta + take_grad(flat)
    return loss, d_fake


@contextlib.contextmanager
def put_back(flat, history):
    """Leave D's weights and grads as they were, where something is raised on the way."""
    try:
        yield
    except BaseException:
        if history:
            flat.value[...] = history[0][0]
        flat.grad.fill(0)
        raise


def descend(net, x):
    """Add the gradient of the mean of net(x) to the grads; return what is needed to bend it."""
    y, tape = net.forward(x)
    dy = xp.full_like(y, 1 / y.size)
    net.accumulate(tape, dy)
    return net, x, tape, dy


def how_the_gradient_moves(net, x, tape, dy, direction):
    """Return the bend at x, and add the bend at the weights to the grads, along a direction."""
    _, kept = net.pull(tape, dy)
    _, bend = moving(net, direction).double_backward(tape, kept, xp.zeros_like(x))
    return bend


def generator_loss(real_side, fake_side, real, fake, saturating):
    """Return G's loss at D's present weights and its gradient at fake; D's grads receive theirs."""
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


# ---- weights that move ---------------------------------------------------------------------------


def moving(net, direction, path="the network"):
    """Return a network for the tapes of `net` whose `double_backward` also moves the weights.

    direction: {Param: array}. With ddx = 0, ddy is how y moves as the weights do; the bend and the
    grads are how dx and dW move: the Hessian of <dy, y>, times the direction.
    Raises NotImplementedError for a Param whose motion is not known here.
    """
    for container in (Sequential, Fork, Each):
        if type(net).double_backward is container.double_backward:
            parts = enumerate(net.layers)
            moved = [moving(part, direction, f"{path}, {index}") for index, part in parts]
            return container(*moved)
    if type(net).double_backward is Recurrent.double_backward:
        cell = moving(net.cell, direction, f"{path}, cell")
        return Recurrent(cell, net.features, net.state_features, reverse=net.reverse)
    if not holds_params(net):
        return net
    own = [part for part in vars(net).values() if isinstance(part, Param)]
    if all(type(param) is Param for param in own):
        if type(net).double_backward is LinearMap.double_backward:
            return MovingLinearMap(net, direction)
        if type(net).double_backward is Normalization.double_backward:
            return MovingNormalization(net, direction)
    raise NotImplementedError(f"{path}, {net!r}: it is not known how it moves as its weights do")


class Moving(Layer):
    """A layer whose weights move along a direction, while `double_backward` looks."""

    def __init__(self, layer, direction):
        self.layer, self.direction = layer, direction

    def __repr__(self):
        return f"Moving({self.layer!r})"

    def backward(self, tape, dy):
        return self.layer.backward(tape, dy)


class MovingLinearMap(Moving):
    """y = A(W, x) + b and dx = input_grad(W, dy) move along v by A(v, x) and input_grad(v, dy)."""

    def double_backward(self, x, dy, ddx):
        layer, v = self.layer, self.direction[self.layer.W]
        ddy, _ = layer.double_backward(x, dy, ddx)
        ddy += layer.apply(v, x)
        if layer.b is not None:
            ddy += self.direction[layer.b]
        return ddy, layer.input_grad(v, dy, x.shape)


class MovingNormalization(Moving):
    """y = gamma xhat + beta and dx, which is linear in gamma dy: both move as gamma and beta do."""

    def double_backward(self, tape, kept, ddx):
        layer = self.layer
        ddy, bend = layer.double_backward(tape, kept, ddx)
        if layer.gamma is None:
            return ddy, bend
        xhat, dy = tape[0], kept[0]
        v = self.direction[layer.gamma]
        return ddy + v * xhat + self.direction[layer.beta], add(bend, layer.change(tape, v * dy))


# ---- a step of an optimizer as a layer: forward, and backward ------------------------------------


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
        """Return the gradient at grad, given the gradient at theta after the step."""
        d_grad = self.d_velocity - self.lr * d_theta
        self.d_velocity = self.momentum * d_grad
        return d_grad


class FollowAdam:
    """m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2; theta -= rate m / (sqrt(s) + shift).

    It is Adam's step: rate = lr c / (1 - b1^t) and shift = eps c, with c = sqrt(1 - b2^t).
    """

    def __init__(self, adam):
        self.lr, self.eps, self.steps = adam.lr, adam.eps, adam.steps
        self.b1, self.b2 = adam.betas
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
        """Return the gradient at grad, given the gradient at theta after the step."""
        grad, mean, root, quotient, rate = tape
        self.d_mean -= quotient * d_theta
        # d quotient / d s = -quotient^2 / (2 rate sqrt(s)); where s is 0, so is the mean
        self.d_square += d_theta * mean * quotient * quotient / (2 * rate * xp.maximum(root, 1e-30))
        d_grad = (1 - self.b1) * self.d_mean + 2 * (1 - self.b2) * grad * self.d_square
        self.d_mean *= self.b1
        self.d_square *= self.b2
        return d_grad


def follower(optimizer):
    """Return a `FollowAdam` or `FollowSGD` that starts where an optimizer stands."""
    if callable(optimizer.lr):
        raise NotImplementedError("unrolling takes a learning rate that is a number, no schedule")
    if type(optimizer) is Adam and not optimizer.weight_decay:
        return FollowAdam(optimizer)
    if type(optimizer) is SGD and not optimizer.nesterov:
        return FollowSGD(optimizer)
    wanted = "Adam and SGD, without decay and Nesterov"
    raise NotImplementedError(f"unrolling follows {wanted}, not this {optimizer!r}")
