"""Every optimizer against its paper's formulas written out longhand, and the flat buffer that they work on."""

import contextlib
import copy
import math
import pickle
import tracemalloc

import numpy as np
import pytest

from scratchgan import fast
from scratchgan.layers import Dense, Sequential, Tanh
from scratchgan.optim import EMA, SGD, Adam, RMSprop, constant, cosine, flatten, linear_decay
from scratchgan.param import Param


@pytest.fixture(params=["twins", "plain"])
def code(request):
    """Compute with the twins, and by the plain code."""
    with fast.plain() if request.param == "plain" else contextlib.nullcontext():
        yield


by_either_code = pytest.mark.usefixtures("code")


def network(seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return Sequential(Dense(3, 4, rng=rng), Tanh(), Dense(4, 2, rng=rng)).astype(dtype)


def run(make, steps=7, dtype=np.float64):
    """Return the weights after some steps with drawn gradients, and the first weights and gradients, as vectors."""
    net = network(dtype=dtype)
    start = np.concatenate([param.value.ravel() for param in net.params()])
    optimizer = make(net.params())
    grads = np.random.default_rng(1).standard_normal((steps, start.size)).astype(dtype)
    for grad in grads:
        optimizer.flat.grad[...] = grad
        optimizer.step()
        assert not optimizer.flat.grad.any()  # a step clears
    return np.concatenate([param.value.ravel() for param in net.params()]), start, grads


# ---- formulas --------------------------------------------------------------------------------------------


@by_either_code
def test_sgd():
    w_end, w, grads = run(lambda params: SGD(params, 0.1))
    for g in grads:
        w = w - 0.1 * g
    np.testing.assert_allclose(w_end, w, rtol=1e-13)


@by_either_code
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum(nesterov):
    w_end, w, grads = run(lambda params: SGD(params, 0.1, momentum=0.9, nesterov=nesterov))
    v = np.zeros_like(w)
    for g in grads:
        v = 0.9 * v + g
        w = w - 0.1 * (g + 0.9 * v if nesterov else v)
    np.testing.assert_allclose(w_end, w, rtol=1e-13)


@by_either_code
def test_nesterov_is_sutskevers_rule_seen_from_the_look_ahead_point():
    """Sutskever et al. 2013, eq. 3 and 4, with a gradient that depends on w: v' = m v - lr g(w + m v); w' = w + v'."""
    optimizer = SGD([param := Param(np.array([2.0]))], 0.1, momentum=0.9, nesterov=True)
    w, v = param.value.copy(), np.zeros(1)
    for _ in range(20):
        optimizer.flat.grad[...] = param.value**3
        optimizer.step()
        v = 0.9 * v - 0.1 * (w + 0.9 * v) ** 3
        w = w + v
        np.testing.assert_allclose(param.value, w + 0.9 * v, rtol=1e-12)  # ours is kept at w + m v


@by_either_code
def test_rmsprop():
    w_end, w, grads = run(lambda params: RMSprop(params, 0.01, decay=0.9, eps=1e-6))
    s = np.zeros_like(w)
    for g in grads:
        s = 0.9 * s + 0.1 * g**2
        w = w - 0.01 * g / (np.sqrt(s) + 1e-6)
    np.testing.assert_allclose(w_end, w, rtol=1e-12)


@by_either_code
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam(decay):
    w_end, w, grads = run(lambda params: Adam(params, 0.01, betas=(0.5, 0.9), eps=1e-3, weight_decay=decay))
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        m = 0.5 * m + 0.5 * g
        v = 0.9 * v + 0.1 * g**2
        m_hat, v_hat = m / (1 - 0.5**t), v / (1 - 0.9**t)
        w = w - 0.01 * (m_hat / (np.sqrt(v_hat) + 1e-3) + decay * w)
    np.testing.assert_allclose(w_end, w, rtol=1e-12)


@by_either_code
def test_blocks_change_nothing():
    """More elements than a block holds: the same step as element by element."""
    value = np.random.default_rng(0).standard_normal(2**16 * 2 + 5)
    param = Param(value)
    optimizer = Adam([param], 0.01)
    optimizer.flat.grad[...] = value
    optimizer.step()
    np.testing.assert_allclose(param.value, value - 0.01 * value / (np.abs(value) + 1e-8), rtol=1e-9)


@by_either_code
@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True), RMSprop, Adam])
def test_float32_stays_float32(make):
    w_end, *_ = run(make, dtype=np.float32)
    wide, *_ = run(make, dtype=np.float64)
    assert w_end.dtype == np.float32
    np.testing.assert_allclose(w_end, wide, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True), RMSprop, Adam])
def test_a_step_allocates_nothing(make):
    param = Param(np.ones(300_000, dtype=np.float32))
    optimizer = make([param])
    optimizer.step()
    tracemalloc.start()
    optimizer.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000  # a temporary of a block's length would be 262,144 bytes


@by_either_code
@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9), RMSprop, Adam])
def test_state_resumes_exactly(make):
    straight, halved = network(), network()
    one, first = make(straight.params()), make(halved.params())
    rng = np.random.default_rng(2)
    grads = rng.standard_normal((6, one.flat.value.size))
    for grad in grads:
        one.flat.grad[...] = grad
        one.step()
    for grad in grads[:3]:
        first.flat.grad[...] = grad
        first.step()
    other = network(seed=9)
    second = make(other.params())
    other.load_state(halved.state())
    second.load_state(first.state())
    for grad in grads[3:]:
        second.flat.grad[...] = grad
        second.step()
    np.testing.assert_array_equal(second.flat.value, one.flat.value)


def test_state_of_another_network_is_refused():
    optimizer = Adam(network().params())
    with pytest.raises(ValueError, match="the state holds"):
        optimizer.load_state({"steps": np.array(1)})
    state = Adam([Param(np.zeros(3))]).state()
    with pytest.raises(ValueError, match="mean has 26 elements, in the state 3"):
        optimizer.load_state(state)


STEPS = (-1, 10**30, 2**53, 0.5, 3.0, True, "3", [1], np.nan)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9), RMSprop, Adam])
def test_a_state_that_cannot_be_is_refused_and_nothing_is_changed(make):
    optimizer = make(network().params())
    optimizer.flat.grad.fill(1)
    optimizer.step()
    before = optimizer.state()
    damaged = [(before | {"steps": np.array(steps)}, "no optimizer has taken .* steps") for steps in STEPS]
    for name in optimizer.memory:
        for value in (np.nan, np.inf):
            damaged.append((before | {name: np.full_like(before[name], value)}, f"{name} holds a NaN or an infinity"))
        damaged.append((before | {name: before[name].astype(str)}, f"{name} holds a NaN or an infinity"))
    for state, message in damaged:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state(state)
        assert all(np.array_equal(array, before[name]) for name, array in optimizer.state().items())


def test_an_average_that_is_not_finite_is_refused_and_nothing_is_changed():
    average = EMA(network(), 0.9)
    before = average.state()
    name = next(iter(average.net.named_params()))
    with pytest.raises(ValueError, match=f"{name} holds a NaN or an infinity"):
        average.load_state({path: array + 1 for path, array in before.items()} | {name: before[name] * np.nan})
    assert all(np.array_equal(array, before[path]) for path, array in average.state().items())


# ---- schedules -------------------------------------------------------------------------------------------


def test_schedules():
    assert [constant(0.5)(step) for step in (0, 10)] == [0.5, 0.5]
    line = linear_decay(1.0, 10, start=4, end=0.4)
    assert [line(step) for step in (0, 4, 7, 10, 99)] == pytest.approx([1, 1, 0.7, 0.4, 0.4])
    half = cosine(1.0, 10)
    assert [half(step) for step in (0, 5, 10, 20)] == pytest.approx([1, 0.5, 0, 0])
    assert half(2) == pytest.approx((1 + math.cos(math.pi / 5)) / 2)
    with pytest.raises(ValueError, match="must end after it starts"):
        linear_decay(1.0, 3, start=3)(0)


@by_either_code
def test_an_optimizer_follows_its_schedule():
    w_end, w, grads = run(lambda params: SGD(params, linear_decay(0.1, 4)))
    for t, g in enumerate(grads):
        w = w - 0.1 * max(1 - t / 4, 0) * g
    np.testing.assert_allclose(w_end, w, rtol=1e-12)


# ---- averages --------------------------------------------------------------------------------------------


@by_either_code
def test_ema():
    net = network()
    average = EMA(net, 0.9)
    optimizer = SGD(net.params(), 0.1)
    expected = optimizer.flat.value.copy()
    for _ in range(5):
        optimizer.flat.grad[...] = 1.0
        optimizer.step()
        average.update()
        expected = 0.9 * expected + 0.1 * optimizer.flat.value
    np.testing.assert_allclose(average.flat.value, expected, rtol=1e-12)
    x = np.ones((2, 3))
    assert not np.allclose(average.net(x), net(x))
    other = EMA(network(seed=5), 0.9)
    other.load_state(average.state())
    np.testing.assert_array_equal(other.net(x), average.net(x))


@by_either_code
def test_an_average_without_memory_is_the_network_itself():
    net = network()
    average = EMA(net, 0.0)
    net.params()[0].value[...] = np.random.default_rng(0).standard_normal(net.params()[0].value.shape)
    average.update()
    for ours, theirs in zip(average.net.params(), net.params(), strict=True):
        np.testing.assert_array_equal(ours.value, theirs.value)


# ---- the flat buffer -------------------------------------------------------------------------------------


def test_flat_arrays_hold_every_param():
    net = network()
    before = net.state()
    flat = flatten(net.params())
    for path, param in net.named_params().items():
        assert np.shares_memory(param.value, flat.value) and np.shares_memory(param.grad, flat.grad)
        np.testing.assert_array_equal(param.value, before[path])
    flat.value[...] = 3.0
    assert all((param.value == 3.0).all() for param in net.params())
    y, tape = net.forward(np.ones((2, 3)))
    net.accumulate(tape, y)
    assert flat.grad.any()
    assert list(net.named_params()) == ["0.W", "0.b", "2.W", "2.b"]  # names survive
    assert flatten(net.params()) is flat


def test_grads_that_were_there_survive_flattening():
    net = network()
    y, tape = net.forward(np.ones((2, 3)))
    net.accumulate(tape, y)
    grads = [param.grad.copy() for param in net.params()]
    flatten(net.params())
    for param, grad in zip(net.params(), grads, strict=True):
        np.testing.assert_array_equal(param.grad, grad)


def test_a_replaced_array_is_noticed():
    net = network()
    optimizer = SGD(net.params(), 0.1)
    net.params()[0].value = np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"an array of Param\(3, 4\) of float64 was replaced"):
        optimizer.step()


def test_what_cannot_be_flattened():
    net = network()
    with pytest.raises(ValueError, match="nothing to optimize"):
        Adam([])
    with pytest.raises(ValueError, match="listed twice"):
        Adam(net.params() + net.params()[:1])
    with pytest.raises(ValueError, match="two dtypes"):
        Adam([Param(np.zeros(2)), Param(np.zeros(2, dtype=np.float32))])
    Adam(net.params())
    with pytest.raises(ValueError, match="already belongs to an optimizer with other Params"):
        Adam(net.params()[:2])
    with pytest.raises(ValueError, match="call astype before"):
        net.astype(np.float32)


def test_a_copy_of_a_network_is_free_of_the_original():
    net = network()
    Adam(net.params())
    twin = copy.deepcopy(net)
    twin.params()[0].value[...] = 0
    assert net.params()[0].value.any()
    Adam(twin.params())


@pytest.mark.parametrize("again", [copy.deepcopy, lambda parts: pickle.loads(pickle.dumps(parts))])
def test_a_network_travels_with_what_trains_it_or_without(again):
    """A copy's optimizer moves the copy, as the original's would have, and the original stays."""
    net = network()
    optimizer, average = Adam(net.params(), 0.1), EMA(net, 0.5)
    twin, its_optimizer, its_average = again((net, optimizer, average))
    alone = again(net)
    for one, mover in ((net, optimizer), (twin, its_optimizer), (alone, Adam(alone.params(), 0.1))):
        for param in one.params():
            param.grad[...] = 1
        before = one.params()[0].value.copy()
        mover.step()
        assert (one.params()[0].value != before).all()
    average.update()
    its_average.update()
    assert its_average.source is twin
    for one, other in ((net, twin), (net, alone), (average.net, its_average.net)):
        for path, array in one.state().items():
            np.testing.assert_array_equal(array, other.state()[path])


@pytest.mark.parametrize("make", [
    lambda p: SGD(p, -1), lambda p: Adam(p, float("nan")), lambda p: Adam(p, betas=(0.5, 1.0)),
    lambda p: SGD(p, 0.1, nesterov=True), lambda p: EMA(network(), 1.0), lambda p: RMSprop(p, decay=1.5),
    lambda p: RMSprop(p, eps=-1), lambda p: Adam(p, eps=-1e-8),
])  # fmt: skip
def test_settings_that_make_no_sense(make):
    with pytest.raises(ValueError, match="wanted"):
        make([Param(np.zeros(2))])


@pytest.mark.parametrize("make", [lambda p, lr: SGD(p, lr, momentum=np.float32(0.5)), lambda p, lr: Adam(p, lr)])
def test_numbers_of_numpy_do_not_reach_a_kernel(make, monkeypatch):
    """A kernel reads a learning rate as 8 bytes; a np.float32 has 4."""
    given = []
    optimizer = make([Param(np.ones(2))], np.float32(0.5))
    monkeypatch.setattr(type(optimizer), "update", lambda self, lr, *arrays: given.append(type(lr)))
    optimizer.step()
    optimizer.lr = np.float64(0.1)
    optimizer.step()
    assert given == [float, float]
