"""Every gradient penalty through every kind of critic: values by loops, gradients by two oracles, and manners.

The critics, the penalties and the laws that hold for each pair of them stand in `penalty_laws.py`.
"""

import copy
from collections import Counter

import numpy as np
import penalty_laws as laws
import pytest
import test_examples
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from laws import close, in_complex
from penalty_laws import BATCH_NORMED, CRITICS, PENALTIES, case, value_and_grads

from scratchgan import fast, penalties
from scratchgan.gradcheck import complex_step
from scratchgan.layers import (
    Concat,
    Conv2d,
    Dense,
    Embedding,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Tanh,
)
from scratchgan.weights import weight_norm

FEW = ("mlp, leaky", "mlp, tanh", "cnn, leaky", "cnn, tanh, group norm", "branches, tanh", "patches, tanh")
# Differences of a convolutional critic take most of a second for each penalty.
BY_DIFFERENCES = [
    (critic, penalty) for critic in CRITICS for penalty in PENALTIES
    if not critic.startswith("cnn") or penalty in ("wgan_gp", "r1")
]  # fmt: skip

each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
each_critic = pytest.mark.parametrize("critic", CRITICS)
a_few_critics = pytest.mark.parametrize("critic", FEW)


# ---- values and gradients --------------------------------------------------------------------------------


@each_penalty
@each_critic
def test_value_by_a_loop_over_samples_and_pixels(critic, penalty):
    laws.value_by_loop(*case(critic), PENALTIES[penalty])


@each_penalty
@each_critic
def test_gradient_by_complex_step(critic, penalty):
    laws.agrees_with_complex_step(*case(critic), PENALTIES[penalty])


@each_critic
def test_the_plain_code_gives_that_gradient_too(critic):
    with fast.plain():
        laws.agrees_with_complex_step(*case(critic), PENALTIES["wgan_gp"])


@pytest.mark.parametrize("critic, penalty", BY_DIFFERENCES)
def test_gradient_by_differences(critic, penalty):
    laws.agrees_with_differences(*case(critic), PENALTIES[penalty])


def linear_critic(w):
    """D(x) = <w, x> + 1: its gradient is w everywhere."""
    D = Sequential(Dense(len(w), 1, rng=np.random.default_rng(0))).astype(np.float64)
    D.layers[0].W.value[...], D.layers[0].b.value[...] = np.reshape(w, (-1, 1)), 1
    return D


@pytest.mark.parametrize("penalty, value, slope", [  # of w = (3, 4), with |w| = 5 and w / |w| = (0.6, 0.8)
    ("wgan_gp", 10 * 16, 10 * 2 * 4), ("wgan_gp, target 0.4", 10 * 4.6**2, 10 * 2 * 4.6),
    ("wgan_gp, one-sided", 10 * 4.6**2, 10 * 2 * 4.6), ("lipschitz", 10 * 16, 10 * 2 * 4),
    ("dragan", 10 * 16, 10 * 2 * 4), ("r1", 5 * 25, 10 * 5), ("r2", 5 * 25, 10 * 5),
    ("zero_centered", 10 * 25, 10 * 2 * 5),
])  # fmt: skip
def test_a_linear_critic_worked_by_hand(penalty, value, slope):
    D = linear_critic([3.0, 4.0])
    real, fake = np.random.default_rng(0).standard_normal((2, 5, 2))
    assert PENALTIES[penalty].call(D, real, fake) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(D.layers[0].W.grad[:, 0], [0.6 * slope, 0.8 * slope], rtol=1e-12)
    assert D.layers[0].b.grad == 0


def test_one_sided_penalties_leave_a_small_slope_alone():
    real, fake = np.random.default_rng(0).standard_normal((2, 5, 2))
    for name in ("lipschitz", "wgan_gp, one-sided"):
        D = linear_critic([0.18, 0.24])  # |w| = 0.3
        assert PENALTIES[name].call(D, real, fake) == 0
        assert not D.layers[0].W.grad.any()
    value, v = penalties.norm_distance(np.diag([0.5, 1.0, 3.0]), one_sided=True)
    assert value == pytest.approx(4 / 3) and np.count_nonzero(v) == 1
    assert v[2, 2] == pytest.approx(2 * 2 / 3)


# ---- batch statistics ------------------------------------------------------------------------------------


@each_penalty
@pytest.mark.parametrize("critic", BATCH_NORMED)
def test_batch_statistics_are_refused(critic, penalty):
    laws.refuses_batch_statistics(*case(critic), PENALTIES[penalty])


def test_the_refusal_names_a_layer_deep_inside():
    D, *batches = case("mlp, tanh, batch norm")
    with pytest.raises(ValueError, match=r"layer '0\.body\.1' of the critic"):
        PENALTIES["wgan_gp"].call(Sequential(Residual(D)), *batches)


@each_penalty
@pytest.mark.parametrize("critic", BATCH_NORMED)
def test_batch_statistics_insisted_on_are_exact(critic, penalty):
    laws.agrees_with_complex_step(*case(critic), PENALTIES[penalty], batch_statistics=True)


# ---- zero gradients --------------------------------------------------------------------------------------


@each_penalty
@a_few_critics
def test_a_zero_gradient_is_safe(critic, penalty):
    laws.safe_at_zero_gradient(*case(critic), PENALTIES[penalty])


def test_a_sample_with_a_zero_gradient_adds_nothing():
    """All units of a ReLU critic are off for one sample: the others count as they would without it."""
    D = Sequential(Dense(2, 3, rng=np.random.default_rng(0)), ReLU(), Dense(3, 1, rng=np.random.default_rng(1)))
    D.astype(np.float64).layers[0].W.value[...] = np.abs(D.layers[0].W.value)
    x = np.array([[1.0, 2.0], [-1.0, -2.0], [3.0, 1.0]])
    value, grads = value_and_grads(D, x, None, PENALTIES["dragan"]._replace(call=penalize_norm))
    alone, alone_grads = value_and_grads(D, x[::2], None, PENALTIES["dragan"]._replace(call=penalize_norm))
    assert value == pytest.approx((2 * alone + 1) / 3)  # (0 - 1)^2 = 1 for the sample whose slope is 0
    for path, grad in grads.items():
        close(grad, alone_grads[path] * 2 / 3, rtol=1e-12)


def penalize_norm(D, x, _):
    return penalties.penalize_gradient(D, x, penalties.norm_distance)


# ---- where the gradient is taken -------------------------------------------------------------------------


@draws(20)
@given(st.integers(1, 5), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 99))
def test_interpolation_has_one_weight_for_each_sample(N, shape, seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.standard_normal((2, N, *shape))
    real += 5  # apart, so that the weight can be told
    before = real.copy(), fake.copy()
    laws.one_weight_per_sample(real, fake, penalties.interpolate)
    np.testing.assert_array_equal((real, fake), before)


def test_interpolation_covers_the_segment_evenly():
    t = penalties.interpolate(np.ones((4000, 1)), np.zeros((4000, 1)), np.random.default_rng(0))
    assert np.histogram(t, 4, (0, 1))[0] == pytest.approx([1000] * 4, abs=100)  # 3.7 standard deviations


def test_interpolation_wants_pairs():
    with pytest.raises(ValueError, match=r"real is \(4, 3\) and fake \(5, 3\): wanted pairs of one shape"):
        penalties.interpolate(np.zeros((4, 3)), np.zeros((5, 3)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="wanted pairs"):  # would broadcast
        penalties.wgan_gp(case("mlp, tanh").D, np.zeros((4, 3)), np.zeros((1, 3)), rng=np.random.default_rng(0))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_perturbation_spreads_in_units_of_the_data(scale):
    real = 3 + 7 * np.random.default_rng(0).standard_normal((500, 4, 5))
    delta = penalties.perturb(real, np.random.default_rng(1), scale) - real
    assert delta.std() == pytest.approx(scale * real.std(), rel=0.02)  # 10,000 numbers: 0.7% is one deviation
    assert abs(delta.mean()) < 0.04 * delta.std()
    assert len(np.unique(delta)) == delta.size  # one draw for each number
    assert abs(np.corrcoef(delta.ravel(), real.ravel())[0, 1]) < 0.04


# ---- manners ---------------------------------------------------------------------------------------------


@each_penalty
@a_few_critics
def test_gradients_add_to_what_is_there(critic, penalty):
    laws.adds_to_what_is_there(*case(critic), PENALTIES[penalty])


@pytest.mark.parametrize("example, option", [
    ("wgan_gp", "penalty"), ("wgan_gp2d", "penalty"), ("dragan", "penalty"), ("r1gan", "gamma"),
])  # fmt: skip
def test_a_step_of_an_example_follows_loss_and_penalty(example, option):
    laws.loss_and_penalty_add_up(test_examples.start, example, option)


@each_penalty
@a_few_critics
def test_inputs_and_weights_are_left_alone(critic, penalty):
    D, real, fake = case(critic)
    held = [real, fake, *[param.value for param in D.params()]]
    before = [array.copy() for array in held]
    PENALTIES[penalty].call(D, real, fake)
    for array, copy_ in zip(held, before, strict=True):
        np.testing.assert_array_equal(array, copy_)


@each_penalty
@a_few_critics
def test_float32_stays_float32(critic, penalty):
    D, real, fake = case(critic)
    value, grads = value_and_grads(D, real, fake, PENALTIES[penalty])
    narrow = D.astype(np.float32), real.astype(np.float32), fake.astype(np.float32)
    value32, grads32 = value_and_grads(*narrow, PENALTIES[penalty])
    assert value32.dtype == np.float32 and value32 == pytest.approx(value, rel=1e-4)
    for path, grad in grads.items():
        assert grads32[path].dtype == np.float32
        close(grads32[path], grad, rtol=1e-4, scale=laws.largest(grads))


@pytest.mark.parametrize("penalty", [name for name in PENALTIES if name != "custom"])
def test_the_weight_scales_value_and_gradient(penalty):
    value, grads = value_and_grads(*case("cnn, tanh"), PENALTIES[penalty])  # weight = 10
    scaled_value, scaled = value_and_grads(*case("cnn, tanh"), PENALTIES[penalty], weight=2.5)
    assert scaled_value == pytest.approx(value / 4, rel=1e-12)
    for path, grad in grads.items():
        close(scaled[path], grad / 4, rtol=1e-12)


def test_r2_is_r1_at_the_fakes():
    D, real, fake = case("cnn, tanh")
    value, grads = value_and_grads(D, real, fake, PENALTIES["r2"])
    same, same_grads = value_and_grads(D, fake, real, PENALTIES["r1"])
    assert value == same
    for path, grad in grads.items():
        np.testing.assert_array_equal(grad, same_grads[path])


@each_penalty
def test_a_score_without_its_last_axis_is_the_same_score(penalty):
    D, real, fake = case("mlp, tanh")  # (N, 1)
    flat = Sequential(*D.layers, Reshape())  # (N,)
    assert flat(real).shape == (3,)
    assert_equal_penalties(D, flat, real, fake, penalty)


@each_penalty
def test_scores_of_patches_count_as_their_sum(penalty):
    D, real, fake = case("patches, tanh")
    assert D(real).shape == (3, 3, 2, 1)
    summing = Dense(6, 1, bias=False, rng=np.random.default_rng(0)).astype(np.float64)
    summing.W.value[...] = 1
    assert_equal_penalties(D, Sequential(*D.layers, Flatten(), summing), real, fake, penalty)


def assert_equal_penalties(D, other, real, fake, penalty):
    value, grads = value_and_grads(D, real, fake, PENALTIES[penalty])
    same, same_grads = value_and_grads(other, real, fake, PENALTIES[penalty])
    assert value == pytest.approx(same, rel=1e-12)
    for path, grad in grads.items():
        close(grad, same_grads[path], rtol=1e-12)


def test_lazily():
    assert [penalties.lazily(step, 4) for step in range(9)] == [4, 0, 0, 0, 4, 0, 0, 0, 4]
    assert [penalties.lazily(step, 1) for step in range(3)] == [1, 1, 1]
    assert sum(penalties.lazily(step, 16) for step in range(160)) == 160  # the same mean
    with pytest.raises(ValueError, match="every is 0, wanted 1 or more"):
        penalties.lazily(3, 0)


# ---- nothing is computed twice ---------------------------------------------------------------------------


class Counted(Dense):
    """A Dense layer that counts how often each of its three products is taken."""

    def __init__(self, *sizes, rng):
        super().__init__(*sizes, rng=rng)
        self.calls = Counter()

    def apply(self, W, x):
        self.calls["apply"] += 1
        return super().apply(W, x)

    def input_grad(self, W, dy, shape):
        self.calls["input_grad"] += 1
        return super().input_grad(W, dy, shape)

    def weight_grad(self, x, dy):
        self.calls["weight_grad"] += 1
        return super().weight_grad(x, dy)


def count(f, wrap=lambda body: body):
    """Return the calls of each Dense layer of a critic during one penalty."""
    rng = np.random.default_rng(0)
    a, b, c = Counted(3, 3, rng=rng), Counted(3, 3, rng=rng), Counted(3, 1, rng=rng)
    D = Sequential(a, f, wrap(Sequential(b, f)), c)
    penalties.r1(D, rng.standard_normal((5, 3)).astype("float32"))
    return [layer.calls for layer in (a, b, c)]


@pytest.mark.parametrize("wrap", [lambda body: body, Residual, Concat], ids=["alone", "Residual", "Concat"])
def test_a_piecewise_linear_critic_is_swept_three_times(wrap):
    """Forward, down for g, up with v: one product more than the three a loss takes, and no sweep for bends of zero."""
    once = {"apply": 2, "input_grad": 1, "weight_grad": 1}
    assert count(LeakyReLU(0.2), wrap) == [once, once, once]


def test_a_smooth_critic_sends_its_bends_down_once():
    below = {"apply": 2, "input_grad": 2, "weight_grad": 2}
    assert count(Tanh()) == [below, below, {"apply": 2, "input_grad": 1, "weight_grad": 1}]


def test_what_a_pull_keeps_serves_its_own_dy_only():
    """double_backward after pulls with the same dy, with another, and with an equal one, and after other passes."""
    D, x, _ = case("branches, tanh")
    rng = np.random.default_rng(0)
    dy, other, ddx = rng.standard_normal((3, 1)), rng.standard_normal((3, 1)), rng.standard_normal((3, 3))
    between = {
        "nothing": lambda net, tape: None,
        "the same": lambda net, tape: net.pull(tape, dy),
        "another": lambda net, tape: net.pull(tape, other),
        "an equal one": lambda net, tape: net.pull(tape, dy.copy()),
        "into the weights": lambda net, tape: (net.accumulate(tape, other), net.backward(tape, other)),
        "another x": lambda net, tape: net.pull(net.forward(x + 1)[1], other),
    }
    results = {}
    for name, act in between.items():
        own = copy.deepcopy(D)
        _, tape = own.forward(x)
        _, kept = own.pull(tape, dy)
        act(own, tape)
        own.zero_grad()
        results[name] = [*own.double_backward(tape, kept, ddx), *[param.grad for param in own.params()]]
    for arrays in results.values():
        for array, expected in zip(arrays, results["nothing"], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_a_critic_of_one_layer_needs_no_sequential():
    D = Conv2d(2, 1, 3, rng=np.random.default_rng(0)).astype(np.float64)
    x = np.random.default_rng(1).standard_normal((2, 4, 4, 2))
    laws.agrees_with_complex_step(D, x, x, PENALTIES["r1"])


# ---- of weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [False, True])
def test_orthogonal(diagonal):
    """The value by loops over pairs of outputs; the gradient by a complex step; a shared weight counts once."""
    rng = np.random.default_rng(0)
    shared = Dense(4, 4, rng=rng)
    net = Sequential(Conv2d(2, 4, 3, rng=rng), shared, Tanh(), shared, Embedding(3, 2, rng=rng)).astype(np.float64)
    expected = 0.0
    for layer in (net.layers[0], shared, net.layers[4]):
        outputs = layer.W.value.reshape(-1, layer.W.value.shape[-1]).T
        for i, one in enumerate(outputs):
            for j, other in enumerate(outputs):
                if i != j or diagonal:
                    expected += 0.3 * (np.dot(one, other) - (i == j)) ** 2
    for param in net.params():
        param.grad[...] = 1  # it adds
    assert penalties.orthogonal(net, weight=0.3, diagonal=diagonal) == pytest.approx(expected, rel=1e-12)
    for path, param in net.named_params().items():
        v = rng.standard_normal(param.value.shape)

        def value(W, path=path):
            wide = in_complex(net)
            wide.named_params()[path].value[...] = W
            return penalties.orthogonal(wide, weight=0.3, diagonal=diagonal) + 0j

        slope = complex_step(value, param.value, v)
        assert ((param.grad - 1) * v).sum() == pytest.approx(slope, rel=1e-12, abs=1e-13), path


def test_orthogonal_weights_cost_nothing():
    net = Sequential(Dense(5, 3, rng=np.random.default_rng(0))).astype(np.float64)
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 3)))[0]
    net.layers[0].W.value[...] = Q * [1, 2, 3]  # of any length
    assert penalties.orthogonal(net) < 1e-30
    assert penalties.orthogonal(net, diagonal=True) == pytest.approx(1e-4 * (3**2 + 8**2))
    net.layers[0].W.value[...] = Q
    assert penalties.orthogonal(net, diagonal=True) < 1e-30


def test_orthogonal_reaches_through_a_weight_norm():
    net = weight_norm(Dense(4, 3, rng=np.random.default_rng(0)).astype(np.float64))
    penalties.orthogonal(net, weight=0.3)
    assert net.W.grad.any()
    assert abs((net.W.grad * net.W.value).sum(0)).max() < 1e-15  # at right angles to V: lengths are g's business
