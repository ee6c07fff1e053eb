"""Weights that are functions of others: spectral and weight normalisation; and weight clipping.

That their layers obey every law, to second order, is in the law table (`rows_param.py`).
"""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import close

from scratchgan import penalties
from scratchgan.gradcheck import ridders
from scratchgan.layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
    Dense,
    Embedding,
    LayerNorm,
    LeakyReLU,
    Residual,
    Sequential,
    Tanh,
)
from scratchgan.optim import EMA, SGD, Adam, RMSprop
from scratchgan.training import checkpoint
from scratchgan.weights import Spectral, WeightNorm, spectral_norm, weight_norm

LAYERS = {
    "Dense": (lambda rng: Dense(6, 4, rng=rng), (3, 6)),
    "Conv1d": (lambda rng: Conv1d(3, 4, 3, rng=rng), (2, 5, 3)),
    "Conv2d": (lambda rng: Conv2d(3, 4, (3, 2), stride=2, rng=rng), (2, 5, 4, 3)),
    "Conv2d in groups": (lambda rng: Conv2d(4, 6, 3, groups=2, rng=rng), (2, 4, 3, 4)),
    "Conv3d": (lambda rng: Conv3d(2, 3, 2, rng=rng), (1, 3, 2, 3, 2)),
    "ConvTranspose2d": (lambda rng: ConvTranspose2d(4, 3, 3, stride=2, rng=rng), (2, 3, 2, 4)),
}
OPTIMIZERS = {
    "SGD": lambda params: SGD(params, 0.1),
    "RMSprop": lambda params: RMSprop(params, 0.01),
    "Adam": lambda params: Adam(params, 0.01),
}

each_layer = pytest.mark.parametrize("name", LAYERS)
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
each_kind = pytest.mark.parametrize("normalise", [
    lambda net: spectral_norm(net, rng=np.random.default_rng(3)), weight_norm,
], ids=["spectral", "weight norm"])  # fmt: skip


def made(name):
    """Return a layer in float64 whose W, as a matrix, has the singular values 3, 2.1, 1.47, ...; and an x for it."""
    rng = np.random.default_rng(0)
    make, shape = LAYERS[name]
    layer = make(rng).astype(np.float64)
    U, s, Vh = np.linalg.svd(rng.standard_normal((layer.W.value.size // layer.W.value.shape[-1], len(columns(layer)))))
    layer.W.value[...] = (U[:, : len(s)] * 3 * 0.7 ** np.arange(len(s)) @ Vh).reshape(layer.W.value.shape)
    return layer, rng.standard_normal(shape)


def columns(layer, W=None):
    """Return W as a list of vectors, one for each index of its last axis."""
    W = layer.W.value if W is None else W
    return [W[..., index].ravel() for index in range(W.shape[-1])]


def largest_singular_value(layer, W=None):
    return np.linalg.svd(np.stack(columns(layer, W)), compute_uv=False)[0]


def critic(seed=0):
    rng = np.random.default_rng(seed)
    body = Sequential(Dense(4, 4, rng=rng), LayerNorm(4), Tanh())
    return Sequential(Dense(3, 4, rng=rng), LeakyReLU(0.2), Residual(body), Dense(4, 1, rng=rng)).astype(np.float64)


# ---- spectral normalisation: sigma -----------------------------------------------------------------------


@each_layer
def test_sigma_is_the_largest_singular_value(name):
    layer, _ = made(name)
    true = largest_singular_value(layer)
    assert true == pytest.approx(3, rel=1e-12)
    W = spectral_norm(layer, rng=np.random.default_rng(1)).W
    assert W.sigma() == pytest.approx(true, rel=1e-8)  # 30 power iterations, each of which takes errors times 0.7^4
    for _ in range(20):
        W.stepped()
    assert W.sigma() == pytest.approx(true, rel=1e-12)
    assert largest_singular_value(layer, W.effective()) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(W.effective() * true, W.value, rtol=1e-12)


@each_layer
def test_an_exact_sigma_needs_no_iterations(name):
    layer, _ = made(name)
    W = spectral_norm(layer, rng=np.random.default_rng(1), exact=True).W
    assert W.sigma() == pytest.approx(3, rel=1e-12)
    W.value[...] = np.random.default_rng(2).standard_normal(W.value.shape)
    W.stepped()
    assert W.sigma() == pytest.approx(largest_singular_value(layer), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 999))
def test_sigma_rises_to_its_value_from_below(inputs, outputs, seed):
    """However slowly, where two singular values are nearly equal."""
    layer = Dense(inputs, outputs, rng=np.random.default_rng(seed)).astype(np.float64)
    true = largest_singular_value(layer)
    W = spectral_norm(layer, rng=np.random.default_rng(seed)).W
    for _ in range(20):
        before = W.sigma()
        W.stepped()
        assert before * (1 - 1e-12) <= W.sigma() <= true * (1 + 1e-12)


def test_a_transposed_convolution_has_the_sigma_of_its_adjoint():
    rng = np.random.default_rng(0)
    down, up = Conv2d(3, 4, 3, rng=rng), ConvTranspose2d(4, 3, 3, rng=rng)
    up.W.value[...] = down.W.value
    for layer in (down, up):
        spectral_norm(layer, rng=np.random.default_rng(1))
    assert down.W.sigma() == up.W.sigma()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999))
def test_a_spectral_network_does_not_stretch(seed):
    rng = np.random.default_rng(seed)
    net = Sequential(Dense(5, 8, rng=rng), LeakyReLU(0.2), Dense(8, 8, rng=rng), Tanh(), Dense(8, 2, rng=rng))
    spectral_norm(net, rng=rng, exact=True)
    a, b = rng.standard_normal((2, 20, 5)).astype("float32")
    stretched, between = np.linalg.norm(net(a) - net(b), axis=1), np.linalg.norm(a - b, axis=1)
    assert (stretched <= between * (1 + 1e-5)).all()


# ---- one power iteration for each step -------------------------------------------------------------------


def u_and_v_stay_within_a_step(make):
    """No forward, backward or penalty moves u and v; a step of the optimizer is one power iteration."""
    net, rng = critic(), np.random.default_rng(0)
    spectral_norm(net, rng=rng)
    weights = [param for param in net.params() if isinstance(param, Spectral)]
    assert len(weights) == 3
    optimizer = make(net.params())
    x = rng.standard_normal((4, 3))
    for _ in range(3):
        before = [(W.u.copy(), W.v.copy()) for W in weights]
        for _ in range(2):
            score, tape = net.forward(x)
            net.accumulate(tape, np.ones_like(score))
            penalties.r1(net, x)
            net(x)
        for W, (u, v) in zip(weights, before, strict=True):
            np.testing.assert_array_equal(W.u, u)
            np.testing.assert_array_equal(W.v, v)
        optimizer.step()
        for W, (_, v) in zip(weights, before, strict=True):
            M = W.value.reshape(-1, W.value.shape[-1])
            np.testing.assert_allclose(W.u, M @ v / np.linalg.norm(M @ v), rtol=1e-12)
            np.testing.assert_allclose(W.v, M.T @ W.u / np.linalg.norm(M.T @ W.u), rtol=1e-12)
            assert W.v.size == 1 or not np.array_equal(W.v, v)


@each_optimizer
def test_u_and_v_move_once_in_a_step(optimizer):
    u_and_v_stay_within_a_step(OPTIMIZERS[optimizer])


@each_optimizer
def test_sigma_follows_a_weight_that_is_trained(optimizer):
    net, rng = critic(), np.random.default_rng(0)
    layer = spectral_norm(net, rng=rng).layers[0]
    step = OPTIMIZERS[optimizer](net.params())
    start = layer.W.value.copy()
    for _ in range(100):
        score, tape = net.forward(rng.standard_normal((8, 3)))
        net.accumulate(tape, score - 1)
        step.step()
    assert np.abs(layer.W.value - start).max() > 0.1
    assert layer.W.sigma() == pytest.approx(largest_singular_value(layer), rel=1e-3)


# ---- gradients -------------------------------------------------------------------------------------------


def weight_gradient_agrees_with_differences(layer, x, follow=lambda W: None):
    """The grad of W, of <dy, layer(x)>, against differences by each element; `follow` is called when W has moved."""
    y, tape = layer.forward(x)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    layer.accumulate(tape, dy)
    W, base = layer.W, layer.W.value.copy()

    def values(h):
        found = []
        for index in np.ndindex(base.shape):
            W.value[...] = base
            W.value[index] += h
            follow(W)
            found.append((dy * layer.forward(x)[0]).sum())
        return np.array(found)

    expected, error = ridders(values, 0.0, 1.0, step=0.02, rows=7)
    scale = np.abs(W.grad).max()
    assert error.max() <= 1e-9 * scale
    close(W.grad.ravel(), expected, rtol=1e-8, scale=scale)


def by_svd(W):
    """Give a Spectral the u and v of its present value, found without it."""
    M = W.value.reshape(-1, W.value.shape[-1])
    U, _, Vh = np.linalg.svd(M, full_matrices=False)
    W.u[...], W.v[...] = U[:, 0], Vh[0]


@each_layer
def test_gradient_with_u_and_v_held(name):
    layer, x = made(name)
    spectral_norm(layer, rng=np.random.default_rng(1))
    layer.W.u[...], layer.W.v[...] = layer.W.u[::-1].copy(), layer.W.v[::-1].copy()  # far from converged, too
    weight_gradient_agrees_with_differences(layer, x)


@each_layer
@pytest.mark.parametrize("exact", [False, True])
def test_gradient_is_that_of_the_true_sigma(name, exact):
    layer, x = made(name)
    spectral_norm(layer, rng=np.random.default_rng(1), exact=exact)
    for _ in range(50):
        layer.W.stepped()
    weight_gradient_agrees_with_differences(layer, x, follow=by_svd)


@each_layer
def test_gradient_of_a_weight_norm(name):
    layer, x = made(name)
    g = weight_norm(layer).W.g
    g.value[...] *= np.linspace(0.5, 2, g.value.size)
    weight_gradient_agrees_with_differences(layer, x)


def test_an_embedding_can_be_spectral():
    """As projection discriminators have it: rows that are looked up twice add up, and sigma's path is there."""
    rng = np.random.default_rng(0)
    layer = spectral_norm(Embedding(5, 3, rng=rng).astype(np.float64), rng=rng)
    np.testing.assert_array_equal(layer(np.array([4])), layer.W.effective()[4:])
    x = np.array([0, 2, 2, 4])
    weight_gradient_agrees_with_differences(layer, x)
    assert layer.W.grad[1].any()  # class 1 is not in the batch, but it is in sigma


# ---- weight normalisation --------------------------------------------------------------------------------


@each_layer
def test_a_weight_norm_computes_at_first_what_the_weight_did(name):
    layer, x = made(name)
    before = layer(x)
    np.testing.assert_allclose(weight_norm(layer)(x), before, rtol=1e-12)


@each_layer
def test_lengths_are_g(name):
    layer, _ = made(name)
    W = weight_norm(layer).W
    W.g.value[...] = np.arange(1.0, len(W.g.value) + 1)
    for vector, V, g in zip(columns(layer, W.effective()), columns(layer), W.g.value, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(g, rel=1e-12)
        assert np.dot(vector, V) == pytest.approx(g * np.linalg.norm(V), rel=1e-12)  # one direction


# ---- saving, copying, converting -------------------------------------------------------------------------


def trained(net, steps, optimizer):
    rng = np.random.default_rng(steps)
    for _ in range(steps):
        score, tape = net.forward(rng.standard_normal((4, 3)))
        net.accumulate(tape, score - 1)
        optimizer.step()
    return net


@each_kind
def test_a_checkpoint_holds_all_that_is_needed(normalise, tmp_path):
    """Straight on, and by way of a file into a network of other weights: the same numbers."""
    straight = normalise(critic())
    optimizer = Adam(straight.params(), 0.05)
    trained(straight, 5, optimizer)
    checkpoint.save(tmp_path / "net.npz", straight.state(), {})
    loaded, _ = checkpoint.load(tmp_path / "net.npz")
    other = normalise(critic(seed=9))
    other.load_state(loaded)
    second = Adam(other.params(), 0.05)
    second.load_state(optimizer.state())
    expected = trained(straight, 4, optimizer).state()
    for path, array in trained(other, 4, second).state().items():
        np.testing.assert_array_equal(array, expected[path], err_msg=path)


def test_names_of_parts():
    state = spectral_norm(critic(), rng=np.random.default_rng(0)).state()
    assert {"0.W", "0.W.u", "0.W.v", "2.body.0.W.u", "3.b"} <= state.keys()
    assert state["0.W.u"].shape == (3,) and state["0.W.v"].shape == (4,)
    assert list(weight_norm(Dense(3, 2, rng=np.random.default_rng(0))).named_params()) == ["W", "W.g", "b"]


@each_kind
def test_an_average_follows_u_v_and_g(normalise):
    net = normalise(critic())
    average, optimizer = EMA(net, 0.5), SGD(net.params(), 0.1)
    before = net.state()
    after = trained(net, 1, optimizer).state()
    average.update()
    for path, array in average.state().items():
        copied = path.endswith((".u", ".v"))
        np.testing.assert_allclose(array, after[path] if copied else (before[path] + after[path]) / 2, rtol=1e-12)


@each_kind
def test_a_copy_stands_alone(normalise):
    net = normalise(critic())
    optimizer = Adam(net.params())
    twin, before = copy.deepcopy(net), net.state()
    trained(twin, 2, SGD(twin.params(), 0.1))
    for path, array in net.state().items():
        np.testing.assert_array_equal(array, before[path])
        assert not np.array_equal(array, twin.state()[path]) or path == "3.W.v"  # (1,), a sign
    trained(net, 1, optimizer)


@each_kind
def test_astype_converts_all_parts(normalise):
    net = normalise(critic()).astype(np.float32)
    assert all(array.dtype == np.float32 for array in net.state().values())
    x = np.zeros((2, 3), dtype=np.float32)
    penalties.r1(net, x + 1)
    assert net(x).dtype == np.float32 and all(param.grad.dtype == np.float32 for param in net.params())


@each_kind
def test_a_shared_weight_stays_shared(normalise):
    twice = Dense(3, 3, rng=np.random.default_rng(0))
    other = Dense(3, 3, rng=np.random.default_rng(1))
    other.W = twice.W  # one Param in two layers, and one layer in two places
    net = normalise(Sequential(twice, Tanh(), twice, other))
    assert net.layers[0].W is net.layers[2].W is net.layers[3].W
    kinds = [type(param) for param in net.params()]
    assert kinds.count(Spectral) + kinds.count(WeightNorm) == 1
    twin = copy.deepcopy(net)
    assert twin.layers[0].W is twin.layers[3].W is not net.layers[0].W


def test_biases_and_gains_stay_as_they_are():
    net = spectral_norm(critic(), rng=np.random.default_rng(0))
    assert {path for path, param in net.named_params().items() if isinstance(param, Spectral)} == {
        "0.W", "2.body.0.W", "3.W"}  # fmt: skip


@each_kind
def test_errors(normalise):
    net = critic()
    normalise(net.layers[3])
    with pytest.raises(ValueError, match=r"the W of Dense\(4, 1\) is a \w+ already: normalise a weight once"):
        normalise(net)
    assert type(net.layers[0].W).__name__ == "Param"  # all of the network, or nothing
    net = critic()
    Adam(net.params())
    with pytest.raises(ValueError, match=r"the W of Dense\(3, 4\) belongs to an optimizer"):
        normalise(net)
    zeros = Dense(2, 3, rng=np.random.default_rng(0))
    zeros.W.value[...] = 0
    with pytest.raises(ValueError, match=r"\w+\(2, 3\) of float32 .* zeros"):
        normalise(zeros)


# ---- clipping --------------------------------------------------------------------------------------------


def test_clip():
    net = critic()
    net.layers[0].W.value[0] = [-3, 3, 0.004, -0.004]
    held = [param.value for param in net.params()]
    penalties.clip(net, 0.01)
    np.testing.assert_array_equal(net.layers[0].W.value[0], [-0.01, 0.01, 0.004, -0.004])
    for param, value in zip(net.params(), held, strict=True):
        assert param.value is value  # in place: an optimizer holds on to it
        assert np.abs(value).max() <= 0.01
    for limit in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="wanted a number above 0"):
            penalties.clip(net, limit)
