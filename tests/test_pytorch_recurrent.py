"""Recurrent layers across to PyTorch and back: names, gates, two biases, both ways as one module; and what computes."""

import copy

import numpy as np
import pytest
from rows_recurrent import CELLS, unrolled
from test_pytorch import Own, random_state, same
from test_recurrent import as_torch

from scratchgan.layers import Concat, Dense, Dropout, Embedding, Recurrent, Residual, Sequential, Tanh
from scratchgan.tools.pytorch import from_torch, to_torch
from scratchgan.weights import weight_norm

ENDS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def language(name, seed=0):
    """Return a network of words, in float64: embedded, heard once, heard both ways, and told in 7 numbers."""
    rng = np.random.default_rng(seed)
    ways = [unrolled(name, 4, 5, rng, reverse) for reverse in (False, True)]
    net = Sequential(Embedding(11, 3, rng=rng), unrolled(name, 3, 4, rng), Concat(*ways), Dropout(0.3, rng=rng),
                     Dense(10, 7, rng=rng))  # fmt: skip
    return random_state(net.astype(np.float64), rng)


# ---- names and layouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [None, (6,)])
@pytest.mark.parametrize("name", CELLS)
def test_names_are_those_of_three_modules(name, shape):
    net = language(name)
    both = [f"2.{end}{way}" for way in ("", "_reverse") for end in ENDS]
    assert list(to_torch(net, shape)) == ["0.weight", *[f"1.{end}" for end in ENDS], *both, "4.weight", "4.bias"]
    assert list(to_torch(net, shape, prefix="D."))[1] == "D.1.weight_ih_l0"


@pytest.mark.parametrize("name", CELLS)
def test_arrays_are_those_written_by_hand(name):
    net = language(name)
    state = to_torch(net)
    there, back = net.layers[2].branches
    for cell, module, way in ((net.layers[1].cell, "1", ""), (there.cell, "2", ""), (back.cell, "2", "_reverse")):
        for key, array in as_torch(cell).items():
            found = state[f"{module}.{key}_l0{way}"]
            np.testing.assert_array_equal(found, array)
            assert found.flags.c_contiguous and not np.shares_memory(found, array)


@pytest.mark.parametrize("shape", [None, (6,)])
@pytest.mark.parametrize("name", CELLS)
def test_there_and_back_is_the_same_to_the_bit(name, shape):
    net, other = language(name), language(name, seed=1)
    before, state = net.state(), to_torch(net, shape)
    from_torch(other, state, shape)
    generator = "3.rng"  # of the dropout: no weight
    assert same(*[{k: v for k, v in s.items() if k != generator} for s in (other.state(), before)])
    assert same(to_torch(other, shape), state) and same(net.state(), before)


def test_two_that_are_not_one_module_keep_their_names():
    """Two forward ones, two kinds, two widths: a module of one's own with children 0 and 1."""
    rng = np.random.default_rng(0)
    one = lambda name, H=2, reverse=False: unrolled(name, 3, H, rng, reverse)
    for net in (Concat(one("GRU"), one("GRU")), Concat(one("GRU"), one("RNN", 2, True)),
                Concat(one("GRU"), one("GRU", 3, True)), Concat(one("GRU", 2, True), one("GRU"))):  # fmt: skip
        assert list(to_torch(net, (5, 3))) == [f"{branch}.{end}" for branch in (0, 1) for end in ENDS]


def test_in_a_layer_of_ones_own_and_in_a_residual():
    rng = np.random.default_rng(0)
    mine = Own(unrolled("LSTM", 3, 2, rng))
    assert list(to_torch(mine)) == [f"inner.{end}" for end in ENDS]
    net = Residual(Sequential(unrolled("GRU", 3, 2, rng), Dense(2, 3, rng=rng)))
    assert list(to_torch(net, (4, 3)))[0] == "body.0.weight_ih_l0"


# ---- what is refused -------------------------------------------------------------------------------------


def test_a_state_that_does_not_fit_is_refused_before_anything_is_written():
    net = language("LSTM")
    before, state = net.state(), to_torch(net)
    short = {name: array for name, array in state.items() if name != "2.bias_hh_l0_reverse"}
    with pytest.raises(ValueError, match=r"missing 2\.bias_hh_l0_reverse \(ours: 2\.1\.cell"):
        from_torch(net, short)
    with pytest.raises(ValueError, match=r"1\.weight_hh_l0 .*: \(16, 5\) in the state, wanted \(16, 4\)"):
        from_torch(net, state | {"1.weight_hh_l0": np.zeros((16, 5))})
    with pytest.raises(ValueError, match=r"unknown 1\.weight_ih_l1"):  # two layers in one module
        from_torch(net, state | {"1.weight_ih_l1": np.zeros((16, 4))})
    assert same(net.state(), before)


def test_a_cell_in_two_places_gets_the_same_numbers_or_none():
    rng = np.random.default_rng(0)
    cell = CELLS["GRU"][0](3, 3, rng=rng)
    net = Sequential(Recurrent(cell, 3), Tanh(), Recurrent(cell, 3))
    state = to_torch(random_state(net, rng))
    other = copy.deepcopy(net)
    from_torch(random_state(other, rng), state)
    assert same(other.state(), net.state())
    with pytest.raises(ValueError, match=r"0\.bias_hh_l0 and 2\.bias_hh_l0 are one array"):
        from_torch(net, state | {"2.bias_hh_l0": state["2.bias_hh_l0"] + 1})


def test_what_pytorch_does_not_have_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"1\.cell\.dense\.W of Recurrent\(LSTM\(3, 2\)\) has no counterpart"):
        to_torch(Sequential(Tanh(), weight_norm(unrolled("LSTM", 3, 2, rng))))
    gated = Recurrent(Sequential(Dense(5, 2, rng=rng), Tanh()), 2)  # a cell of one's own: layers in a layer
    assert list(to_torch(gated)) == ["cell.0.weight", "cell.0.bias"]


# ---- PyTorch itself --------------------------------------------------------------------------------------


def counterpart(name):
    """Return `language` as PyTorch has it, in float64 and with weights of its own."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nn = torch.nn
    kind = getattr(nn, name)

    class Language(nn.Sequential):
        def forward(self, x):
            words, once, both, dropout, last = self
            return last(dropout(both(once(words(x))[0])[0]))

    parts = kind(3, 4, batch_first=True), kind(4, 5, batch_first=True, bidirectional=True)
    return torch, Language(nn.Embedding(11, 3), *parts, nn.Dropout(0.3), nn.Linear(10, 7)).double().eval()


def agree(torch, net, theirs):
    """Outputs are the same in float64, and to 1e-6 in float32."""
    x = np.random.default_rng(3).integers(0, 11, (3, 6))
    y = theirs(torch.tensor(x)).detach().numpy()
    assert np.abs(y).max() > 0.1
    np.testing.assert_allclose(net(x), y, rtol=0, atol=1e-12)
    single = theirs.float()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(copy.deepcopy(net).astype(np.float32)(x), single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_carried_to_pytorch(name):
    torch, theirs = counterpart(name)
    net = language(name)
    state = {key: torch.tensor(array) for key, array in to_torch(net, (6,)).items()}
    theirs.load_state_dict(state, strict=True)
    agree(torch, net, theirs)


@pytest.mark.parametrize("name", CELLS)
def test_carried_from_pytorch(name):
    """Both of PyTorch's biases are drawn there, and neither is zero."""
    torch, theirs = counterpart(name)
    net = language(name)
    from_torch(net, theirs.state_dict(), (6,))
    agree(torch, net, theirs)
