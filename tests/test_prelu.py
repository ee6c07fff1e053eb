"""PReLU's slopes across to PyTorch and back, and in a penalty; its laws are in the table of tests/rows_basic.py."""

import numpy as np
import pytest

from scratchgan import penalties, xp
from scratchgan.layers import Conv2d, Dense, Flatten, PReLU, Sequential
from scratchgan.tools.pytorch import from_torch, to_torch

RNG = np.random.default_rng(0)


def network():
    """Return a network whose slopes follow the order of a flattened picture, with slopes that differ."""
    net = Sequential(Conv2d(2, 3, 3, padding=1, rng=RNG), PReLU(3), Flatten(), PReLU(60), Dense(60, 4, rng=RNG))
    for param in net.params():
        param.value[...] = RNG.standard_normal(param.value.shape)
    return net.astype(np.float64)


def test_slopes_there_and_back():
    net, other = network(), network()
    state = to_torch(net, (4, 5, 2))
    assert list(state) == ["0.weight", "0.bias", "1.weight", "3.weight", "4.weight", "4.bias"]
    np.testing.assert_array_equal(state["1.weight"], net.layers[1].a.value)
    ours = net.layers[3].a.value.reshape(4, 5, 3)
    np.testing.assert_array_equal(state["3.weight"].reshape(3, 4, 5), ours.transpose(2, 0, 1))
    from_torch(other, state, (4, 5, 2))
    for name, array in net.state().items():
        np.testing.assert_array_equal(other.state()[name], array)


def test_pytorch_computes_the_same():
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    net, nn = network(), torch.nn
    twin = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.PReLU(3), nn.Flatten(), nn.PReLU(60), nn.Linear(60, 4))
    state = {name: torch.tensor(array) for name, array in to_torch(net, (4, 5, 2)).items()}
    twin.double().load_state_dict(state, strict=True)
    x, dy = RNG.standard_normal((3, 4, 5, 2)), RNG.standard_normal((3, 4))
    y, tape = net.forward(x)
    dx = net.backward(tape, dy)
    there = torch.tensor(np.moveaxis(x, -1, 1), requires_grad=True)
    out = twin(there)
    out.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, out.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, np.moveaxis(there.grad.numpy(), 1, -1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(net.layers[1].a.grad, twin[1].weight.grad.numpy(), rtol=1e-12)


def test_a_penalty_moves_the_slopes():
    """R1 of a D with slopes, by differences: the last sum of PReLU's second order is there."""
    rng = np.random.default_rng(1)
    D = Sequential(Dense(3, 8, rng=rng), PReLU(8), Dense(8, 1, rng=rng)).astype(np.float64)
    real, slopes = xp.asarray(rng.standard_normal((16, 3))), D.layers[1].a
    penalties.r1(D, real)
    grad, numbers = slopes.grad.copy(), []
    for i in range(8):
        kept, slopes.value[i] = float(slopes.value[i]), slopes.value[i] + 1e-6
        above = float(penalties.r1(D, real))
        slopes.value[i] = kept - 1e-6
        below = float(penalties.r1(D, real))
        slopes.value[i] = kept
        numbers.append((above - below) / 2e-6)
    assert np.abs(grad).min() > 1e-4
    np.testing.assert_allclose(grad, numbers, rtol=1e-6)
