"""Recurrent layers across to PyTorch: weights of x and of h apart, two biases, and both ways as one module.

The order of the gates is PyTorch's from the start. See docs/pytorch.md.
"""

from scratchgan import xp
from scratchgan.layers import GRU, LSTM, RNN, Concat, Recurrent
from scratchgan.tools.watching import join


class Apart:
    """The weights of a Recurrent's cell as `arrays`, {PyTorch's name: array}; `join` writes them back into the cell.

    weight_ih_l0 (C, kH) and weight_hh_l0 (H, kH) stand here as in a Dense layer; k is 1, 4 or 3. PyTorch adds its two
    biases. All is in bias_ih_l0, but for a GRU's n_h, whose bias r multiplies.
    """

    def __init__(self, cell):
        self.cell, C = cell, cell.in_features
        if isinstance(cell, GRU):
            both, b = cell.gates.W.value, cell.gates.b.value
            W_x = xp.concatenate([both[:C], cell.from_x.W.value], axis=1)
            W_h = xp.concatenate([both[C:], cell.from_h.W.value], axis=1)
            b_x = xp.concatenate([b, cell.from_x.b.value])
            b_h = xp.concatenate([xp.zeros_like(b), cell.from_h.b.value])
        else:
            W_x, W_h = cell.dense.W.value[:C].copy(), cell.dense.W.value[C:].copy()
            b_x, b_h = cell.dense.b.value.copy(), xp.zeros_like(cell.dense.b.value)
        self.arrays = {"weight_ih_l0": W_x, "weight_hh_l0": W_h, "bias_ih_l0": b_x, "bias_hh_l0": b_h}

    def join(self):
        """Write the arrays into the cell."""
        cell, (W_x, W_h, b_x, b_h) = self.cell, self.arrays.values()
        if isinstance(cell, GRU):
            gates = 2 * cell.features
            cell.gates.W.value[...] = xp.concatenate([W_x[:, :gates], W_h[:, :gates]])
            cell.gates.b.value[...] = b_x[:gates] + b_h[:gates]
            cell.from_x.W.value[...], cell.from_x.b.value[...] = W_x[:, gates:], b_x[gates:]
            cell.from_h.W.value[...], cell.from_h.b.value[...] = W_h[:, gates:], b_h[gates:]
        else:
            cell.dense.W.value[...] = xp.concatenate([W_x, W_h])
            cell.dense.b.value[...] = b_x + b_h


def is_known(layer):
    """Whether PyTorch has this layer: a Recurrent of an RNN, LSTM or GRU that shows all of h, and nothing more."""
    if type(layer) is not Recurrent or type(layer.cell) not in (RNN, LSTM, GRU):
        return False
    H, blocks = layer.cell.features, layer.cell.blocks
    return (layer.features, layer.state_features) == (H, blocks * H)


def both_ways(net):
    """Return {path of a Recurrent: (path of the module, ending)} of two that are one module in PyTorch.

    They are a Concat of one and a reversed one, of cells alike: a module with `bidirectional=True`.
    """
    found = {}
    for path, layer in net.named_layers():
        if isinstance(layer, Concat) and len(layer.branches) == 2 and all(map(is_known, layer.branches)):
            there, back = layer.branches
            alike = lambda one: (type(one.cell), one.cell.in_features, one.features)
            if alike(there) == alike(back) and (there.reverse, back.reverse) == (False, True):
                found |= {join(path, "0"): (path, ""), join(path, "1"): (path, "_reverse")}
    return found
