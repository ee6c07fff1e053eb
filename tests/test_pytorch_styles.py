"""Styles, the path-length penalty and attention for pictures beside PyTorch's autograd, to second order.

These tests run where PyTorch is installed, and are skipped elsewhere.
"""

import numpy as np
import pytest
import rows_styles
from test_picture_attention import block, picture
from test_styles import a_pair, modulated

from scratchgan.layers import Synthesis, Tanh
from scratchgan.penalties import PathLength

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional
torch.set_num_threads(1)


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def leaves(layer):
    """Return a tensor with a gradient for each Param of a layer, by its path."""
    return {path: leaf(param.value) for path, param in layer.named_params().items()}


def agree(ours, theirs, atol=1e-11):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=atol)


def by_groups(x, w, p, prefix=""):
    """A modulated convolution as one in groups, with weights for each sample. x: channels first."""
    s = w @ p[prefix + "style.W"] + p[prefix + "style.b"]
    W = p[prefix + "convolution.W"].permute(3, 2, 0, 1)  # (O, I, k, k)
    own = W[None] * s[:, None, :, None, None]
    own = own / (own.square().sum((2, 3, 4), keepdim=True) + p["eps"]).sqrt()
    n, outputs, inputs, k, _ = own.shape
    y = F.conv2d(x.reshape(1, n * inputs, *x.shape[2:]), own.reshape(-1, inputs, k, k), padding=k // 2, groups=n)
    return y.reshape(n, outputs, *x.shape[2:])


def test_a_modulated_convolution():
    layer, (x, w) = modulated(), a_pair()
    p, given_x, given_w = leaves(layer), leaf(x.transpose(0, 3, 1, 2).copy()), leaf(w)
    theirs = by_groups(given_x, given_w, p | {"eps": 1e-8}) + p["3.b"][:, None, None]
    y, tape = layer.forward((x, w))
    agree(y.transpose(0, 3, 1, 2), theirs)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dx, dw = layer.backward(tape, dy)
    theirs.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    agree(dx.transpose(0, 3, 1, 2), given_x.grad)
    agree(dw, given_w.grad)
    for path, param in layer.named_params().items():
        agree(param.grad, p[path].grad)


def test_the_path_length_penalty():
    """Of two modulated convolutions: the gradient at every Param and at the styles, by autograd of autograd."""
    rng = np.random.default_rng(0)
    blocks = [rows_styles.modulated(3, 3, 3, 4, rng), Tanh(), rows_styles.modulated(3, 2, 1, 4, rng)]
    G = Synthesis((3, 3, 3), *blocks, rng=rng).astype(np.float64)
    styles, path = rng.standard_normal((5, 2, 4)), PathLength(decay=0.0)
    path.mean[...] = 0.25
    value, bend = path(G, styles, rng=np.random.default_rng(7))
    p, given = leaves(G), leaf(styles)
    p |= {"eps": 0.3}  # as in the rows of the laws
    names = [name.removesuffix("convolution.W") for name in p if name.endswith("convolution.W")]
    biases = [name for name in p if name.endswith(".b") and ".style." not in name]
    start = next(p[name] for name in p if name.endswith("start"))
    h = start.permute(2, 0, 1).expand(5, 3, 3, 3)
    h = torch.tanh(by_groups(h, given[:, 0], p, names[0]) + p[biases[0]][:, None, None])
    pictures = by_groups(h, given[:, 1], p, names[1]) + p[biases[1]][:, None, None]
    y = np.random.default_rng(7).standard_normal((5, 3, 3, 2)).transpose(0, 3, 1, 2) / 3
    (g,) = torch.autograd.grad((pictures * torch.tensor(y)).sum(), given, create_graph=True)
    theirs = 2 * (g.square().sum(2).mean(1).sqrt() - 0.25).square().mean()
    theirs.backward()
    agree(value, theirs)
    agree(bend, given.grad)
    for name, param in G.named_params().items():
        if p[name].grad is not None:  # the last bias has none, and ours is 0
            agree(param.grad, p[name].grad)
        else:
            assert not param.grad.any()


def test_attention_for_pictures():
    """Its gradient, and that of a function of its gradient."""
    layer, x = block(), picture()
    W_q, W_k, W_v, W_o, gamma = tensors = [leaf(param.value) for param in layer.params()]
    given = leaf(x)
    pooled = lambda v: F.max_pool2d(v.permute(0, 3, 1, 2), 2).flatten(2).transpose(1, 2)
    scores = (given @ W_q).flatten(1, 2) @ pooled(given @ W_k).transpose(1, 2)
    theirs = given + gamma * (torch.softmax(scores, -1) @ pooled(given @ W_v) @ W_o).reshape(x.shape)
    y, tape = layer.forward(x)
    agree(y, theirs)
    dy, ddx = np.random.default_rng(2).standard_normal((2, *x.shape))
    upstream = leaf(dy)
    (dx,) = torch.autograd.grad(theirs, given, upstream, create_graph=True)
    own_dx, kept = layer.pull(tape, dy)
    agree(own_dx, dx)
    (dx * torch.tensor(ddx)).sum().backward()
    ddy, bend = layer.double_backward(tape, kept, ddx)
    agree(ddy, upstream.grad)
    agree(bend, given.grad)
    for param, tensor in zip(layer.params(), tensors, strict=True):
        agree(param.grad, tensor.grad)
