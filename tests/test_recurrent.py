"""Recurrent networks beyond the laws: any state, windows, PyTorch's and the papers' formulas."""

import copy

import laws
import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from rows_recurrent import CELLS, unrolled

from scratchgan import xp
from scratchgan.layers import GRU, LSTM, RNN, Columns, Concat, Dense, Dropout, LSTMGates, Recurrent, Sequential, Tanh

TINY = 1e-20
WAYS = [(name, reverse) for name in CELLS for reverse in (False, True)]


def drawn(name="LSTM", reverse=False, seed=0, shape=(2, 4, 3), features=2):
    """Return a Recurrent in float64, x, a first state, and gradients of y and of the last state."""
    rng = np.random.default_rng(seed)
    net = unrolled(name, shape[-1], features, rng, reverse).astype(np.float64)
    n, length, _ = shape
    wide = (n, CELLS[name][1] * features)
    return net, *[rng.standard_normal(s) for s in (shape, wide, (n, length, features), wide)]


# ---- run and back: any first state, any gradient of the last ---------------------------------------------


def law_of_any_state(name, reverse, seed=0, length=4, ends="both"):
    """<dy, y> + <dstate, last state> has the gradients that `back` gives: of x, of the first state, of each Param.

    ends: whether both are asked for, or "y" alone, with dstate None.
    """
    net, x, state, dy, dstate = drawn(name, reverse, seed, (2, length, 3))
    told = dstate if ends == "both" else None
    _, _, tape = net.run(x, state)
    dx, d_first = net.back(tape, dy, told)
    rng = np.random.default_rng(seed + 1)
    vx, vs = rng.standard_normal(x.shape), rng.standard_normal(state.shape)
    moved = copy.deepcopy(net).astype(np.complex128)
    expected = (dx * vx).sum() + (d_first * vs).sum()
    for param, twin in zip(net.params(), moved.params(), strict=True):
        v = rng.standard_normal(param.value.shape)
        twin.value[...] += TINY * 1j * v
        expected += (param.grad * v).sum()
    y, last, _ = moved.run(x + TINY * 1j * vx, state + TINY * 1j * vs)
    found = (dy * y).sum() + (0 if told is None else (told * last).sum())
    assert abs(found.imag / TINY - expected) <= 1e-11 * (1 + abs(expected))


@pytest.mark.parametrize("ends", ["both", "y"])
@pytest.mark.parametrize(("name", "reverse"), WAYS)
def test_gradients_from_any_state_and_of_the_last(name, reverse, ends):
    @draws(20)
    @given(st.integers(0, 2**31), st.integers(1, 5))
    def holds(seed, length):
        law_of_any_state(name, reverse, seed, length, ends)

    holds()


@pytest.mark.parametrize(("name", "reverse"), WAYS)
def test_the_protocol_starts_from_zeros(name, reverse):
    net, x, state, dy, dstate = drawn(name, reverse)
    y, tape = net.forward(x)
    for given_state in (None, np.zeros_like(state)):
        same, _, _ = net.run(x, given_state)
        np.testing.assert_array_equal(y, same)
    dx = net.backward(tape, dy)
    alone = laws.grads(net)
    net.zero_grad()
    again, _ = net.back(tape, dy, np.zeros_like(dstate))
    np.testing.assert_array_equal(dx, again)
    laws.all_equal(alone, laws.grads(net))
    assert np.abs(net.run(x, state)[0] - y).max() > 1e-3


@pytest.mark.parametrize(("name", "reverse"), WAYS)
def test_two_halves_are_the_whole(name, reverse):
    """A state that is handed on, and its gradient that is handed back: an encoder and its decoder."""
    net, x, state, dy, dstate = drawn(name, reverse, shape=(2, 5, 3))
    y, last, tape = net.run(x, state)
    dx, d_first = net.back(tape, dy, dstate)
    whole = laws.grads(net)
    net.zero_grad()
    first, second = (slice(2, None), slice(0, 2)) if reverse else (slice(0, 2), slice(2, None))
    y_1, between, tape_1 = net.run(x[:, first], state)
    y_2, end, tape_2 = net.run(x[:, second], between)
    dx_2, d_between = net.back(tape_2, dy[:, second], dstate)
    dx_1, d_start = net.back(tape_1, dy[:, first], d_between)
    for half, part, gradient, dx_part in ((first, y_1, dx_1, dx), (second, y_2, dx_2, dx)):
        np.testing.assert_allclose(y[:, half], part, rtol=1e-12)
        np.testing.assert_allclose(dx_part[:, half], gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(last, end, rtol=1e-12)
    np.testing.assert_allclose(d_first, d_start, rtol=1e-9, atol=1e-12)
    laws.all_close(whole, laws.grads(net))


def test_truncated_back_propagation():
    """Windows with a state carried on, and no gradient handed back: each window's own, its first state held fixed."""
    net, x, state, dy, _ = drawn("GRU", shape=(2, 6, 3))
    for window in (slice(0, 3), slice(3, 6)):
        y, state, tape = net.run(x[:, window], state)
        net.back(tape, dy[:, window], None)
    carried = laws.grads(net)
    net.zero_grad()
    _, _, state, _, _ = drawn("GRU", shape=(2, 6, 3))
    y, tape_1 = net.run(x[:, :3], state)[::2]
    net.back(tape_1, dy[:, :3], None)
    middle = net.run(x[:, :3], state)[1].copy()
    net.back(net.run(x[:, 3:], middle)[2], dy[:, 3:], None)
    laws.all_equal(carried, laws.grads(net))


# ---- along time ------------------------------------------------------------------------------------------


def from_the_end(name="LSTM"):
    """A reversed run is a run on the reversed sequence; its last state is the one after the first step."""
    net, x, state, _, _ = drawn(name, reverse=True)
    y, last, _ = net.run(x, state)
    forward = Recurrent(net.cell, net.features, net.state_features)
    y_forward, last_forward, _ = forward.run(x[:, ::-1], state)
    np.testing.assert_array_equal(y, y_forward[:, ::-1])
    np.testing.assert_array_equal(last, last_forward)
    np.testing.assert_array_equal(last[:, : net.features], y[:, 0])


@pytest.mark.parametrize("name", CELLS)
def test_a_reversed_run(name):
    from_the_end(name)


@pytest.mark.parametrize("name", CELLS)
def test_nothing_is_heard_before_it_is_there(name):
    """y_t depends on x_1, ..., x_t, and in a reversed run on x_t, ..., x_L."""
    for reverse in (False, True):
        net, x, _, _, _ = drawn(name, reverse)
        other = x.copy()
        other[:, 2] += 1
        changed = np.abs(net(other) - net(x)).max(axis=(0, 2)) > 0
        np.testing.assert_array_equal(changed, [True, True, True, False] if reverse else [False, False, True, True])


@pytest.mark.parametrize("name", CELLS)
def test_step_by_step_in_inference(name):
    net, x, state, _, _ = drawn(name)
    y, last, _ = net.run(x, state, train=False)
    for t in range(x.shape[1]):
        state = net.cell(xp.concatenate([x[:, t], state], axis=-1))
        np.testing.assert_array_equal(state[:, : net.features], y[:, t])
    np.testing.assert_array_equal(state, last)


def test_the_end_of_a_shorter_sequence_is_no_other_than_alone():
    """Padding behind a sequence changes none of its steps, nor another's gradient where its dy is 0."""
    net, x, _, dy, _ = drawn("LSTM", shape=(2, 5, 3))
    dy[1, 3:] = 0
    y, tape = net.forward(x)
    dx = net.backward(tape, dy)
    np.testing.assert_allclose(net(x[1:, :3]), y[1:, :3], rtol=1e-12)
    assert not dx[1, 3:].any()
    padded = laws.grads(net)
    net.zero_grad()
    for part, length in ((slice(0, 1), 5), (slice(1, 2), 3)):
        net.accumulate(net.forward(x[part, :length])[1], dy[part, :length])
    laws.all_close(padded, laws.grads(net))


# ---- the papers' and PyTorch's formulas ------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_longhand(W, b, x, h, c):
    """Hochreiter & Schmidhuber's cell with Gers' forget gate, number by number, for one sample."""
    H = len(h)
    z = np.concatenate([x, h])
    new_h, new_c = np.zeros(H), np.zeros(H)
    for j in range(H):
        i = sigmoid(W[:, j] @ z + b[j])
        f = sigmoid(W[:, H + j] @ z + b[H + j])
        g = np.tanh(W[:, 2 * H + j] @ z + b[2 * H + j])
        o = sigmoid(W[:, 3 * H + j] @ z + b[3 * H + j])
        new_c[j] = f * c[j] + i * g
        new_h[j] = o * np.tanh(new_c[j])
    return new_h, new_c


def an_lstm_longhand():
    net, x, state, _, _ = drawn("LSTM", shape=(2, 3, 4), features=3)
    y, last, _ = net.run(x, state)
    W, b = net.cell.dense.W.value, net.cell.dense.b.value
    for n in range(len(x)):
        h, c = state[n, :3], state[n, 3:]
        for t in range(x.shape[1]):
            h, c = lstm_longhand(W, b, x[n, t], h, c)
            np.testing.assert_allclose(y[n, t], h, rtol=1e-12)
        np.testing.assert_allclose(last[n], np.concatenate([h, c]), rtol=1e-12)


def a_gru_longhand():
    net, x, h, _, _ = drawn("GRU", shape=(2, 3, 4), features=3)
    y = net.run(x, h)[0]
    cell = net.cell
    for t in range(x.shape[1]):
        z = np.concatenate([x[:, t], h], axis=1)
        r, u = np.split(sigmoid(z @ cell.gates.W.value + cell.gates.b.value), 2, axis=1)
        n_x = x[:, t] @ cell.from_x.W.value + cell.from_x.b.value
        n = np.tanh(n_x + r * (h @ cell.from_h.W.value + cell.from_h.b.value))
        h = (1 - u) * n + u * h
        np.testing.assert_allclose(y[:, t], h, rtol=1e-12)


def test_cells_longhand():
    an_lstm_longhand()
    a_gru_longhand()


def test_an_rnn_longhand():
    net, x, h, _, _ = drawn("RNN")
    y = net.run(x, h)[0]
    for t in range(x.shape[1]):
        h = np.tanh(np.concatenate([x[:, t], h], axis=1) @ net.cell.dense.W.value + net.cell.dense.b.value)
        np.testing.assert_allclose(y[:, t], h, rtol=1e-12)


def as_torch(cell):
    """Return {name: array} of a cell as PyTorch has it: weights of x and of h apart, each (outputs, inputs).

    PyTorch has two biases where one would do: all of it is in bias_ih, but for a GRU's n_h.
    """
    C, H = cell.in_features, cell.features
    if isinstance(cell, GRU):
        both, b = cell.gates.W.value, cell.gates.b.value
        W_x = np.concatenate([both[:C], cell.from_x.W.value], axis=1)
        W_h = np.concatenate([both[C:], cell.from_h.W.value], axis=1)
        biases = np.concatenate([b, cell.from_x.b.value]), np.concatenate([np.zeros(2 * H), cell.from_h.b.value])
    else:
        W_x, W_h = cell.dense.W.value[:C], cell.dense.W.value[C:]
        biases = cell.dense.b.value, np.zeros_like(cell.dense.b.value)
    return {"weight_ih": W_x.T, "weight_hh": W_h.T, "bias_ih": biases[0], "bias_hh": biases[1]}


@pytest.mark.parametrize("name", CELLS)
def test_pytorch_computes_the_same(name):
    """y, the last state, dx, the first state's gradient and every weight's, to 1e-12."""
    torch = pytest.importorskip("torch")
    net, x, state, dy, dstate = drawn(name, shape=(3, 6, 4), features=5)
    twin = getattr(torch.nn, name)(4, 5, batch_first=True).double()
    twin.load_state_dict({f"{key}_l0": torch.tensor(array) for key, array in as_torch(net.cell).items()})
    tx = torch.tensor(x, requires_grad=True)
    first = [torch.tensor(part[None], requires_grad=True) for part in np.split(state, CELLS[name][1], axis=1)]
    ty, ends = twin(tx, tuple(first) if name == "LSTM" else first[0])
    ends = torch.cat(ends if name == "LSTM" else [ends], dim=-1)[0]
    ((ty * torch.tensor(dy)).sum() + (ends * torch.tensor(dstate)).sum()).backward()
    y, last, tape = net.run(x, state)
    dx, d_first = net.back(tape, dy, dstate)
    laws.close(y, ty.detach().numpy(), 1e-12)
    laws.close(last, ends.detach().numpy(), 1e-12)
    laws.close(dx, tx.grad.numpy(), 1e-12)
    laws.close(d_first, np.concatenate([part.grad[0].numpy() for part in first], axis=1), 1e-12)
    of_grads = copy.deepcopy(net.cell)
    for param, own in zip(of_grads.params(), net.cell.params(), strict=True):
        param.value[...] = own.grad
    for key, array in as_torch(of_grads).items():
        if key != "bias_hh":
            laws.close(array, getattr(twin, f"{key}_l0").grad.numpy(), 1e-12)
    if name == "GRU":
        laws.close(net.cell.from_h.b.grad, twin.bias_hh_l0.grad.numpy()[10:], 1e-12)


def test_pytorch_hears_both_ways_alike():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ways = [unrolled("LSTM", 3, 2, rng, reverse) for reverse in (False, True)]
    net = Concat(*ways).astype(np.float64)
    twin = torch.nn.LSTM(3, 2, batch_first=True, bidirectional=True).double()
    state = {}
    for way, suffix in zip(ways, ("", "_reverse"), strict=True):
        state |= {f"{key}_l0{suffix}": torch.tensor(array) for key, array in as_torch(way.cell).items()}
    twin.load_state_dict(state)
    x, dy = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    tx = torch.tensor(x, requires_grad=True)
    ty, _ = twin(tx)
    (ty * torch.tensor(dy)).sum().backward()
    y, tape = net.forward(x)
    laws.close(y, ty.detach().numpy(), 1e-12)
    laws.close(net.backward(tape, dy), tx.grad.numpy(), 1e-12)


# ---- how cells start -------------------------------------------------------------------------------------


def test_each_gate_starts_as_a_matrix_of_its_own():
    """Glorot's bound counts the outputs of a gate, not of all four; the forget gate lets c stay."""
    cell = LSTM(30, 50, rng=np.random.default_rng(0))
    bound = np.sqrt(6 / (80 + 50))
    assert 0.95 * bound < np.abs(cell.dense.W.value).max() <= bound
    np.testing.assert_array_equal(cell.dense.b.value, np.repeat([0, 1, 0, 0], 50))
    assert not LSTM(3, 2, rng=np.random.default_rng(0), forget=0.0).dense.b.value.any()
    gru = GRU(30, 50, rng=np.random.default_rng(0))
    assert 0.95 * bound < np.abs(gru.gates.W.value).max() <= bound
    assert gru.from_x.W.value.shape == (30, 50) and gru.from_h.W.value.shape == (50, 50)


def test_what_cells_are_called():
    rng = np.random.default_rng(0)
    net = Sequential(Recurrent(LSTM(3, 2, rng=rng), 2, 4), Recurrent(GRU(2, 4, rng=rng), 4))
    names = ["gates.W", "gates.b", "from_x.W", "from_x.b", "from_h.W", "from_h.b"]
    wanted = ["0.cell.dense.W", "0.cell.dense.b", *(f"1.cell.{name}" for name in names)]
    assert [*net.named_params()] == wanted
    assert repr(net.layers[0]) == "Recurrent(LSTM(3, 2))" and repr(RNN(3, 2, rng=rng)) == "RNN(3, 2)"


# ---- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "message"), [
    (lambda net: net.forward(np.ones((2, 3))), r"Recurrent\(LSTM\(3, 2\)\): x has shape \(2, 3\), wanted \(N, L, C\)"),
    (lambda net: net.forward(np.ones((2, 0, 3))), "with L at least 1"),
    (lambda net: net.run(np.ones((2, 4, 3)), np.ones((2, 2))), r"state has shape \(2, 2\), wanted \(2, 4\)"),
    (lambda net: net.back(net.run(np.ones((2, 4, 3)))[2], np.ones((2, 4, 2)), np.ones((3, 4))), "dstate has shape"),
    (lambda net: net.pull(net.forward(np.ones((2, 4, 3)))[1], np.ones((2, 3, 2))), r"dy has shape \(2, 3, 2\)"),
    (lambda net: net.forward(np.ones((2, 4, 5))), r"LSTM\(3, 2\): x has shape \(2, 9\), wanted \(2, 7\)"),
    (lambda net: Recurrent(net.cell, 5, 4), "5 features of a state of 4"),
    (lambda net: Recurrent(net.cell, 0), "0 features"),
    (lambda net: Recurrent(net.cell, 2).forward(np.ones((2, 4, 3))), r"LSTM\(3, 2\): x has shape \(2, 5\)"),
    (lambda net: Columns(2, 2), "wanted 0 <= start < stop"),
    (lambda net: Columns(1, 4).forward(np.ones((2, 3))), r"Columns\(1, 4\): x has shape \(2, 3\)"),
    (lambda net: LSTMGates(2).forward(np.ones((2, 9))), r"LSTMGates\(2\): x has shape \(2, 9\), wanted \(2, 10\)"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    net, *_ = drawn("LSTM")
    with pytest.raises(ValueError, match=message):
        call(net)


def test_what_pull_kept_cannot_be_taken_for_dy():
    net, x, _, dy, _ = drawn("LSTM")
    _, tape = net.forward(x)
    with pytest.raises(TypeError, match="kept is one array, wanted what pull returned beside dx"):
        net.double_backward(tape, dy, x)


def test_dropout_between_steps_is_off_in_inference():
    rng = np.random.default_rng(0)
    cell = Sequential(Dense(5, 2, rng=rng), Tanh(), Dropout(0.5, rng=rng))
    net, x = Recurrent(cell, 2), rng.standard_normal((2, 4, 3), dtype="float32")
    np.testing.assert_array_equal(net(x), net(x))
    assert np.abs(net.forward(x)[0] - net.forward(x)[0]).max() > 0
