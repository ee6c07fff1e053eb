"""Growing: Blend, equalised weights, an optimizer that forgets; and bugs of public code.

That the layers obey every law, to second order, is in the law table (`rows_styles.py`).
"""

import copy

import laws
import numpy as np
import pytest
from laws import close
from test_known_bugs import caught

from scratchgan import penalties
from scratchgan.layers import AvgPool, Blend, Conv2d, Dense, Fade, Flatten, LeakyReLU, Sequential, Tanh, Upsample
from scratchgan.optim import EMA, Adam
from scratchgan.weights import Equalized, equalized, spectral_norm

# ---- Blend -----------------------------------------------------------------------------------------------


def generators(a, seed=0):
    """Return a generator at 4 x 4, and the same with a block to 8 x 8 that fades in: on one set of layers."""
    rng = np.random.default_rng(seed)
    block = Sequential(Dense(3, 2, rng=rng), Tanh())
    to_pixels, finer = Dense(2, 1, rng=rng), Sequential(Conv2d(2, 2, 3, padding=1, rng=rng), LeakyReLU(0.2))
    new = Sequential(Upsample(2), finer, Dense(2, 1, rng=rng))
    small = Sequential(block, to_pixels)
    return small, Sequential(block, Blend(Sequential(to_pixels, Upsample(2)), new, a))


def grows_from_what_it_was():
    """At a = 0 the picture of the level below, enlarged, exactly; at a = 1 nothing of it, and no gradient to it."""
    x = np.random.default_rng(1).standard_normal((3, 4, 4, 3), dtype="float32")
    small, large = generators(0.0)
    assert (large(x) == Upsample(2)(small(x))).all()
    large.layers[1].a[...] = 1
    y, tape = large.forward(x)
    large.accumulate(tape, np.ones_like(y))
    old, new = large.layers[1].old, large.layers[1].new
    assert not any(param.grad.any() for param in old.params())
    assert all(param.grad.any() for param in new.params())
    assert (y == new(large.layers[0](x))).all()
    large.layers[1].a[...] = 0.25
    close(large(x), 0.75 * old(large.layers[0](x)) + 0.25 * new(large.layers[0](x)), rtol=1e-5)


def test_a_network_grows_from_what_it_was():
    grows_from_what_it_was()


def test_the_other_way_round_is_caught(monkeypatch):
    def exchanged(self, pair, train=True):
        u, v = pair
        a = self.a.astype(u.dtype)
        return a * u + (1 - a) * v, (u.shape, a)

    monkeypatch.setattr(Fade, "forward", exchanged)
    caught(grows_from_what_it_was)


def test_a_share_that_never_moves_is_caught(monkeypatch):
    """alpha is 0 whatever it is set to (akanimax/pro_gan_pytorch, issue 2)."""
    right = Fade.forward

    def still(self, pair, train=True):
        other = copy.copy(self)
        other.a = np.zeros_like(self.a)
        return right(other, pair, train)

    monkeypatch.setattr(Fade, "forward", still)
    caught(grows_from_what_it_was)


def test_a_tape_remembers_its_share():
    """Set between a forward and its backward, as where D's step of another share comes between."""
    net = generators(0.25)[1]
    x = np.ones((2, 4, 4, 3), np.float32)
    y, tape = net.forward(x)
    before, _ = net.pull(tape, y)
    net.layers[1].a[...] = 0.75
    assert (net.pull(tape, y)[0] == before).all()


def test_the_share_is_saved_and_averages_follow_it():
    net = generators(0.25)[1]
    average = EMA(net)
    net.layers[1].a[...] = 0.5
    average.update()
    assert average.net.layers[1].a == np.float32(0.5)
    other = generators(0.0, seed=1)[1]
    other.load_state(net.state())
    assert other.layers[1].a == np.float32(0.5)


@pytest.mark.parametrize("a", [-0.1, 1.5, float("nan")])
def test_a_share_is_from_0_to_1(a):
    with pytest.raises(ValueError, match="Fade: a is"):
        Fade(a)


def test_wgan_gp_through_a_blend():
    """A critic that grows: the penalty's gradient by a complex step is a law; here, that each part gets one."""
    rng = np.random.default_rng(0)
    old = Sequential(AvgPool(2), Conv2d(1, 2, 1, rng=rng))
    new = Sequential(Conv2d(1, 2, 3, padding=1, rng=rng), Tanh(), AvgPool(2))
    D = Sequential(Blend(old, new, 0.5), Tanh(), Flatten(), Dense(8, 1, rng=rng))
    real, fake = rng.standard_normal((2, 3, 4, 4, 1), dtype="float32")
    penalties.wgan_gp(D, real, fake, rng=rng)
    assert all(param.grad.any() for path, param in D.named_params().items() if path.endswith("W"))


# ---- equalised weights -----------------------------------------------------------------------------------


def network(seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(Conv2d(1, 4, 3, rng=rng), LeakyReLU(0.2), Flatten(), Dense(16, 40, rng=rng), Tanh(),
                      Dense(40, 1, rng=rng))  # fmt: skip


def of_one_size():
    """Equalised, a network computes what it did, of weights of size 1; one step of Adam moves all W as much."""
    plain, x = network(), np.random.default_rng(1).standard_normal((5, 4, 4, 1), dtype="float32")
    net = equalized(network())
    close(net(x), plain(x), rtol=1e-5)
    weights = [param for param in net.params() if isinstance(param, Equalized)]
    before = [param.effective().copy() for param in weights]
    for param, whole in zip(weights, before, strict=True):
        assert (param.value**2).mean() == pytest.approx(1, rel=1e-5)
        assert param.c == pytest.approx((whole**2).mean() ** 0.5, rel=1e-5)
    optimizer = Adam(net.params(), lr=0.01)
    y, tape = net.forward(x)
    net.accumulate(tape, np.ones_like(y))
    optimizer.step()
    for param, whole in zip(weights, before, strict=True):
        step = np.abs(param.effective() - whole).max()  # Adam's first step is lr for each number
        assert step / (whole**2).mean() ** 0.5 == pytest.approx(0.01, rel=1e-2)
    biases = [param for path, param in net.named_params().items() if path.endswith("b")]
    assert len(weights) == len(biases) == 3 and all(type(param).__name__ == "Param" for param in biases)


def test_equalised_weights():
    of_one_size()


def test_a_gradient_without_its_constant_is_caught(monkeypatch):
    monkeypatch.setattr(Equalized, "accumulate", lambda self, gradient: self.grad.__iadd__(gradient))
    layer, rng = equalized(Sequential(Dense(3, 2, rng=np.random.default_rng(0)))).astype(np.float64), np.random
    caught(laws.adjoint_in_params, layer, np.ones((2, 3)), rng.default_rng(0))


def test_weights_that_only_start_smaller_are_caught(monkeypatch):
    """A constant at the start in the place of one at each step (lucidrains/stylegan2-pytorch, issue 112)."""
    right = Equalized.__init__

    def only_at_first(self, param):
        right(self, param)
        self.value, self.c = self.value * self.c, np.ones_like(self.c)

    monkeypatch.setattr(Equalized, "__init__", only_at_first)
    caught(of_one_size)


def test_equalised_twice_is_refused():
    net = equalized(network())
    for again in (equalized, lambda net: spectral_norm(net, rng=np.random.default_rng(0))):
        with pytest.raises(ValueError, match="is a Equalized already: normalise a weight once"):
            again(net)
    zeros = Dense(3, 2, rng=np.random.default_rng(0))
    zeros.W.value[...] = 0
    with pytest.raises(ValueError, match="is all zeros: it has no size to be divided by"):
        equalized(Sequential(zeros))


def test_the_constant_travels():
    """Of two networks with other constants: the state holds them."""
    x = np.ones((2, 4, 4, 1), np.float32)
    net, other = equalized(network()), equalized(network(seed=1))
    other.load_state(net.state())
    assert (net(x) == other(x)).all()


# ---- an optimizer that forgets ---------------------------------------------------------------------------


def first_step_after_growth(forget):
    """Return how far a late weight moves in its first step with a gradient: after 1,000 steps without one."""
    late = Dense(2, 1, bias=False, rng=np.random.default_rng(0))
    optimizer = Adam(late.params(), lr=0.01, betas=(0.0, 0.99))
    for _ in range(1000):
        optimizer.step()
    forget(optimizer)
    before = late.W.value.copy()
    late.W.grad[...] = 3
    optimizer.step()
    return np.abs(late.W.value - before).max()


def steps_are_as_at_the_start(forget):
    assert first_step_after_growth(forget) == pytest.approx(0.01, rel=1e-3)


def test_reset():
    steps_are_as_at_the_start(Adam.reset)
    optimizer = Adam(network().params())
    optimizer.flat.grad[...] = 1
    optimizer.step()
    optimizer.reset()
    assert optimizer.steps == 0 and not any(array.any() for array in optimizer.memory.values())


def test_adam_that_is_not_reset_is_caught():
    caught(steps_are_as_at_the_start, lambda optimizer: None)
    assert first_step_after_growth(lambda optimizer: None) == pytest.approx(0.1, rel=1e-2)  # 1 / sqrt(1 - b2) as far


def test_a_memory_without_its_count_is_caught():
    def half(optimizer):
        for array in optimizer.memory.values():
            array.fill(0)

    caught(steps_are_as_at_the_start, half)
