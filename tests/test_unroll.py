"""The Hessian of a loss with respect to weights, and a generator's gradient through D's steps, against differences."""

import copy

import laws
import numpy as np
import pytest
import rows_param
from hypothesis import given, settings
from test_laws import TABLE, cases

from scratchgan.gradcheck import complex_step, ridders
from scratchgan.layers import BatchNorm, Dense, Embedding, LeakyReLU, Maxout, Residual, Sequential, Tanh
from scratchgan.losses import nonsaturating_generator
from scratchgan.optim import SGD, Adam, RMSprop, linear_decay
from scratchgan.param import spectral_norm
from scratchgan.unroll import Surprise, require_directions, unrolled_generator

# ---- double_backward along directions of the Params ------------------------------------------------------


REFUSED = set(rows_param.SMOOTH) | set(rows_param.COMPOSED)  # weights that are functions of others


@pytest.mark.parametrize("row", TABLE)
def test_double_backward_follows_the_params(row):
    """With x moving along ddx and every Param along its direction, it is the derivative of (forward, backward)."""

    @settings(max_examples=20, deadline=None)
    @given(cases(TABLE[row]))
    def holds(case):
        layer, x, rng = case
        if row in REFUSED:
            with pytest.raises(NotImplementedError):
                require_directions(layer)
            return
        require_directions(layer)
        y, tape, own = laws.run(layer, x)
        dy, ddx = rng.standard_normal(y.shape), rng.standard_normal(x.shape)
        stepped = laws.in_complex(layer)
        for param, moving in zip(own.params(), stepped.params(), strict=True):
            param.direction = rng.standard_normal(param.value.shape)
            moving.value[...] += 1e-20j * param.direction
        ddy, bend = own.double_backward(tape, dy, ddx)
        stepped_y, stepped_tape = stepped.forward(x + 1e-20j * ddx)
        stepped_dx = stepped.backward(stepped_tape, dy.astype(complex))
        laws.close(ddy, stepped_y.imag / 1e-20)
        laws.close(np.zeros_like(x) if bend is None else bend, stepped_dx.imag / 1e-20)
        for param, moving in zip(own.params(), stepped.params(), strict=True):
            laws.close(param.grad, moving.grad.imag / 1e-20)

    holds()


def test_what_does_not_follow_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(NotImplementedError, match="W of Embedding"):
        require_directions(Sequential(Embedding(3, 2, rng=rng)))
    with pytest.raises(NotImplementedError, match=r"0\.W of Dense"):
        require_directions(spectral_norm(Sequential(Dense(3, 2, rng=rng)), rng=rng))


# ---- the whole unrolling ---------------------------------------------------------------------------------


def players(activation, rng):
    """Return a small D in float64 and batches of points; the fakes are close to the reals, so that D is unsure."""
    pieces = activation.pieces if isinstance(activation, Maxout) else 1
    D = Sequential(
        Dense(2, 6 * pieces, rng=rng), copy.deepcopy(activation), BatchNorm(6),
        Residual(Sequential(Dense(6, 6 * pieces, rng=rng), activation)), Dense(6, 1, rng=rng),
    ).astype(np.float64)  # fmt: skip
    return D, rng.standard_normal((5, 2)), rng.standard_normal((4, 2)) + 0.5


OPTIMIZERS = {
    "SGD": lambda D: SGD(D.params(), 0.5),
    "momentum": lambda D: SGD(D.params(), 0.2, momentum=0.9),
    "Adam": lambda D: Adam(D.params(), 1e-2, betas=(0.8, 0.999), eps=1e-3),
}


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("activation", [Tanh(), LeakyReLU(0.2), Maxout(3)], ids=repr)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_gradient_through_k_steps(kind, activation, saturating, steps):
    rng = np.random.default_rng(steps)
    D, real, fake = players(activation, rng)
    optimizer = OPTIMIZERS[kind](D)
    for _ in range(3):  # the optimizer is on its way: it has a momentum
        D.backward(D.forward(real)[1], rng.standard_normal((5, 1)))
        optimizer.step()
    twin = copy.deepcopy(D).astype(complex)
    twin_optimizer = OPTIMIZERS[kind](twin)
    twin_optimizer.load_state(optimizer.state())
    before = D.state(), optimizer.state()

    def loss(fake, D=twin, optimizer=twin_optimizer, real=real):
        return unrolled_generator(D, optimizer, real.astype(fake.dtype), fake, steps, saturating=saturating)[0]

    _, d_fake = unrolled_generator(D, optimizer, real, fake, steps, saturating=saturating)
    for path, param in D.named_params().items():
        np.testing.assert_array_equal(param.value, before[0][path])
        assert not param.grad.any() and param.direction is None
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(array, before[1][name])
    v = rng.standard_normal(fake.shape)
    slope = complex_step(loss, fake, v)
    assert abs(slope - np.sum(d_fake * v)) < 1e-10 * (1 + abs(slope))
    if isinstance(activation, Tanh):
        slope, error = ridders(lambda fake: loss(fake, D, optimizer, real), fake, v, step=1e-2)
        assert error < 1e-8 and abs(slope - np.sum(d_fake * v)) < 1e-8 + 10 * error


def test_an_optimizer_that_is_not_followed_is_refused():
    rng = np.random.default_rng(0)
    for make in (
        lambda params: RMSprop(params),
        lambda params: Adam(params, weight_decay=0.1),
        lambda params: SGD(params, 0.1, momentum=0.9, nesterov=True),
        lambda params: SGD(params, linear_decay(0.1, 10)),
    ):
        D, real, fake = players(Tanh(), rng)
        with pytest.raises(NotImplementedError, match="unrolling"):
            unrolled_generator(D, make(D.params()), real, fake, 1)


def test_the_steps_are_those_that_the_optimizer_takes():
    """After K steps of D's own, G's loss is what unrolling foresaw."""
    for kind, make in OPTIMIZERS.items():
        D, real, fake = players(Maxout(2), np.random.default_rng(0))
        optimizer = make(D)
        foreseen, _ = unrolled_generator(D, optimizer, real, fake, 3)
        for _ in range(3):
            for x, truth in ((real, 1), (fake, -1)):
                y, tape = Sequential(D, Surprise(truth)).forward(x)
                D.backward(tape[0], Surprise(truth).backward(y, np.full_like(y, 1 / len(y))))
            optimizer.step()
        loss, _ = nonsaturating_generator(D.forward(fake)[0])
        assert abs(loss - foreseen) < 1e-12, kind
