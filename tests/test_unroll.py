"""The Hessian of a loss with respect to weights, and a generator's gradient through D's steps, against differences."""

import copy

import laws
import numpy as np
import pytest
import rows_condition
import rows_param
from draws import draws
from hypothesis import given
from test_laws import TABLE, cases
from tuples import direction, each, filled, moved, slope

from scratchgan import unroll
from scratchgan.gradcheck import complex_step, ridders
from scratchgan.layers import BatchNorm, Dense, Embedding, LeakyReLU, Maxout, Residual, Sequential, Surprise, Tanh
from scratchgan.layers.styles import Bias, Demodulation
from scratchgan.losses import nonsaturating_generator
from scratchgan.optim import SGD, Adam, RMSprop, linear_decay
from scratchgan.unroll import FollowAdam, MovingLinearMap, MovingNormalization, moving, unrolled_generator
from scratchgan.weights import spectral_norm

# ---- double_backward along directions of the Params ------------------------------------------------------


REFUSED = set(rows_param.SMOOTH) | set(rows_param.COMPOSED)  # weights that are functions of others
# Embeddings, gains and slopes.
REFUSED |= set(rows_condition.SMOOTH) | set(rows_condition.COMPOSED) | {"Embedding", "Each", "PReLU"}
# What styles are made of; and what holds it.
REFUSED |= {"Bias", "Constant", "Demodulation", "Gain", "Noise", "PictureAttention", "Styled"}
REFUSED |= {"Synthesis", "a picture of two sizes", *(name for name in TABLE if name.endswith(", equalised"))}


@pytest.mark.parametrize("row", TABLE)
def test_double_backward_follows_the_params(row):
    """With x moving along ddx and every Param along its direction, it is the derivative of (forward, pull, grads)."""

    @draws(20)
    @given(cases(TABLE[row]))
    def holds(case):
        layer, x, rng = case
        y, tape, own = laws.run(layer, x)
        way = {param: rng.standard_normal(param.value.shape) for param in own.params()}
        demodulated = any(isinstance(layer, Bias | Demodulation) for _, layer in own.named_layers())
        if row in REFUSED or demodulated:
            with pytest.raises(NotImplementedError):
                moving(own, way)
            return
        dy, ddx = direction(y, rng), direction(x, rng)
        _, kept = own.pull(tape, dy)
        ddy, bend = moving(own, way).double_backward(tape, kept, ddx)
        stepped = laws.in_complex(layer)
        for param, twin in zip(own.params(), stepped.params(), strict=True):
            twin.value[...] += 1e-20j * way[param]
        stepped_y, stepped_tape = stepped.forward(moved(x, ddx))
        stepped_dx = stepped.backward(stepped_tape, each(lambda a: None if a is None else a.astype(complex), dy))
        laws.all_close(filled(ddy, y), slope(stepped_y))
        laws.all_close(filled(bend, x), [array.imag / 1e-20 for array in filled(stepped_dx, x)])
        for param, twin in zip(own.params(), stepped.params(), strict=True):
            laws.close(param.grad, twin.grad.imag / 1e-20)

    holds()


def test_what_does_not_follow_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(NotImplementedError, match=r"the network, 0, Embedding\(3, 2\)"):
        moving(Sequential(Embedding(3, 2, rng=rng)), {})
    with pytest.raises(NotImplementedError, match=r"the network, 1, 0, Dense\(3, 2\)"):
        moving(Sequential(Tanh(), spectral_norm(Sequential(Dense(3, 2, rng=rng)), rng=rng)), {})


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


class Unrolling:
    """A small game, the gradient by `unrolled_generator`, and its value as a function of the generated samples."""

    def __init__(self, kind, activation, saturating, steps):
        self.rng = np.random.default_rng(steps)
        self.D, self.real, self.fake = players(activation, self.rng)
        self.optimizer = OPTIMIZERS[kind](self.D)
        for _ in range(3):  # the optimizer is on its way: it has a momentum
            self.D.accumulate(self.D.forward(self.real)[1], self.rng.standard_normal((5, 1)))
            self.optimizer.step()
        self.twin = copy.deepcopy(self.D).astype(complex)
        self.twin_optimizer = OPTIMIZERS[kind](self.twin)
        self.twin_optimizer.load_state(self.optimizer.state())
        self.options = {"steps": steps, "saturating": saturating}

    def gradient(self):
        return unrolled_generator(self.D, self.optimizer, self.real, self.fake, **self.options)[1]

    def loss(self, fake):
        return unrolled_generator(self.D, self.optimizer, self.real, fake, **self.options)[0]

    def complex_loss(self, fake):
        return unrolled_generator(self.twin, self.twin_optimizer, self.real.astype(complex), fake, **self.options)[0]

    def mismatch(self):
        """Return by how much <gradient, v> is not the derivative of the loss along v, against its size."""
        v = self.rng.standard_normal(self.fake.shape)
        slope = complex_step(self.complex_loss, self.fake, v)
        return abs(slope - np.sum(self.gradient() * v)) / (1 + abs(slope))


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("activation", [Tanh(), LeakyReLU(0.2), Maxout(3)], ids=repr)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_gradient_through_k_steps(kind, activation, saturating, steps):
    game = Unrolling(kind, activation, saturating, steps)
    state, kept = game.D.state(), game.optimizer.state()
    d_fake = game.gradient()
    for path, param in game.D.named_params().items():
        np.testing.assert_array_equal(param.value, state[path])
        assert not param.grad.any()
    for name, array in game.optimizer.state().items():
        np.testing.assert_array_equal(array, kept[name])
    assert game.mismatch() < 1e-10
    if isinstance(activation, Tanh):
        v = game.rng.standard_normal(game.fake.shape)
        slope, error = ridders(game.loss, game.fake, v, step=1e-2)
        assert error < 1e-8 and abs(slope - np.sum(d_fake * v)) < 1e-8 + 10 * error


def no_square(self, tape, d_theta):
    """Adam's step as if its denominator did not depend on the gradient."""
    self.d_mean -= tape[3] * d_theta
    d_grad = (1 - self.b1) * self.d_mean
    self.d_mean *= self.b1
    return d_grad


def input_only(self, tape, kept, ddx):
    """What a layer does as its input moves: its own weights held fixed."""
    return self.layer.double_backward(tape, kept, ddx)


BUGS = {  # what one could leave out
    "D's steps held fixed: the gradient is that of the last D alone":
        (unroll, "how_the_gradient_moves", lambda net, x, tape, dy, direction: np.zeros_like(x)),
    "dy held fixed in the Hessian": (Surprise, "second_derivative", lambda self, y: None),
    "W held fixed in the Hessian": (MovingLinearMap, "double_backward", input_only),
    "gains held fixed in the Hessian": (MovingNormalization, "double_backward", input_only),
    "Adam's second average held fixed": (FollowAdam, "backward", no_square),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug, monkeypatch):
    monkeypatch.setattr(*BUGS[bug])
    assert Unrolling("Adam", Tanh(), False, 3).mismatch() > 1e-7


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
    """After K steps of D's own, G's loss is what unrolling foresaw; the saturating one is the value of the game."""
    for kind, make in OPTIMIZERS.items():
        D, real, fake = players(Maxout(2), np.random.default_rng(0))
        optimizer = make(D)
        foreseen, _ = unrolled_generator(D, optimizer, real, fake, 3)
        value, _ = unrolled_generator(D, optimizer, real, fake, 3, saturating=True)
        for _ in range(3):
            for x, truth in ((real, 1), (fake, -1)):
                side = Sequential(D, Surprise(truth))
                y, tape = side.forward(x)
                side.accumulate(tape, np.full_like(y, 1 / len(y)))
            optimizer.step()
        loss, _ = nonsaturating_generator(D.forward(fake)[0])
        assert abs(loss - foreseen) < 1e-12, kind
        log_sigmoid = lambda logits: -np.log1p(np.exp(-logits))
        game = log_sigmoid(D.forward(real)[0]).mean() + log_sigmoid(-D.forward(fake)[0]).mean()
        assert abs(game - value) < 1e-12, kind


class Deaf(Tanh):
    """Is asked how it moves when D has taken its steps, and fails."""

    def double_backward(self, tape, kept, ddx):
        raise FloatingPointError("nobody is here")


def test_D_is_as_it_was_where_unrolling_fails():
    rng = np.random.default_rng(0)
    D = Sequential(Dense(2, 3, rng=rng), Deaf(), Dense(3, 1, rng=rng))
    optimizer, before = SGD(D.params(), 0.1), D.state()
    real, fake = rng.standard_normal((2, 4, 2), dtype=np.float32)
    with pytest.raises(FloatingPointError):
        unrolled_generator(D, optimizer, real, fake, 2)
    for path, param in D.named_params().items():
        np.testing.assert_array_equal(param.value, before[path])
        assert not param.grad.any()


def test_the_optimizer_of_another_network_is_refused():
    rng = np.random.default_rng(0)
    D, other = (Sequential(Dense(2, 1, rng=rng)) for _ in range(2))
    real, fake = rng.standard_normal((2, 4, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="another network"):
        unrolled_generator(D, SGD(other.params(), 0.1), real, fake, 1)
