"""Networks carried across to PyTorch and back compute the same there: outputs, statistics and gradients.

These tests run where PyTorch is installed, and are skipped elsewhere.
"""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from test_pytorch import networks, random_state, same, zeros

from scratchgan import layers
from scratchgan.examples import dcgan
from scratchgan.layers import Dense, Embedding, Flatten, LayerNorm, Residual, Sequential
from scratchgan.tools.pytorch import from_torch, load, save, to_torch

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
nn = torch.nn
torch.set_num_threads(1)


# ---- the same network, built of nn's modules -------------------------------------------------------------


def convolution(layer):
    transposed = isinstance(layer, layers.conv.ConvTranspose)
    options = {"output_padding": layer.output_padding} if transposed else {"padding_mode": layer.padding_mode}
    if options.get("padding_mode") == "zero":
        options["padding_mode"] = "zeros"
    return getattr(nn, type(layer).__name__)(
        layer.in_channels, layer.out_channels, layer.kernel, stride=layer.stride, padding=layer.padding,
        dilation=layer.dilation, groups=layer.groups, bias=layer.b is not None, **options,
    )  # fmt: skip


SIMPLE = {
    "Dense": lambda layer, ndim: nn.Linear(layer.in_features, layer.out_features, bias=layer.b is not None),
    "Embedding": lambda layer, ndim: nn.Embedding(layer.classes, layer.features),
    "Flatten": lambda layer, ndim: nn.Flatten(),
    "Reshape": lambda layer, ndim: nn.Unflatten(1, layer.shape[-1:] + layer.shape[:-1]),
    "Dropout": lambda layer, ndim: nn.Dropout(layer.rate),
    "BatchNorm": lambda layer, ndim: {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[ndim](
        layer.channels, eps=layer.eps, momentum=layer.momentum),
    "LayerNorm": lambda layer, ndim: nn.LayerNorm(layer.channels, eps=layer.eps),
    "GroupNorm": lambda layer, ndim: nn.GroupNorm(layer.groups, layer.channels, eps=layer.eps),
    "InstanceNorm": lambda layer, ndim: getattr(nn, f"InstanceNorm{ndim - 2}d")(
        layer.channels, eps=layer.eps, affine=layer.gamma is not None),
    "ReLU": lambda layer, ndim: nn.ReLU(),
    "LeakyReLU": lambda layer, ndim: nn.LeakyReLU(layer.slope),
    "Tanh": lambda layer, ndim: nn.Tanh(),
    "Sigmoid": lambda layer, ndim: nn.Sigmoid(),
    "Softplus": lambda layer, ndim: nn.Softplus(threshold=100),
    "ELU": lambda layer, ndim: nn.ELU(layer.alpha),
    "Upsample": lambda layer, ndim: nn.Upsample(scale_factor=layer.scale),
}  # fmt: skip


def counterpart(net, shape):
    """Return the nn.Sequential of a Sequential, in float64 and with random weights."""
    modules, x = [], zeros(net, (1, *shape))
    for layer in net.layers:
        if isinstance(layer, layers.conv.Convolving):
            modules.append(convolution(layer))
        else:
            modules.append(SIMPLE[type(layer).__name__](layer, x.ndim))
        x = layer(x)
    return nn.Sequential(*modules).double()


def first(x):
    """Return a channels-last array as a tensor with channels first; integers as they are."""
    return torch.tensor(np.moveaxis(x, -1, 1) if x.dtype.kind == "f" else x)


def last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def agree(a, b):
    assert a.shape == b.shape
    assert np.abs(a - b).max(initial=0) <= 1e-10 * max(1, np.abs(b).max(initial=0))


def compare(net, theirs, shape, rng, N=3):
    """Outputs in inference and in training, running statistics, and all gradients are the same."""
    labels = zeros(net, (1, *shape)).dtype.kind == "i"
    x = rng.integers(0, 5, (N, *shape)) if labels else rng.standard_normal((N, *shape))
    agree(net(x), last(theirs.eval()(first(x))))
    theirs.train()
    y, tape = net.forward(x)
    tensor = first(x).requires_grad_(not labels)
    output = theirs(tensor)
    agree(y, last(output))
    dy = rng.standard_normal(y.shape)
    output.backward(first(dy))
    net.zero_grad()
    dx = net.backward(tape, dy)
    if not labels:
        agree(dx, last(tensor.grad))
    state = theirs.state_dict()
    for name, array in to_torch(net, shape).items():
        if "tracked" not in name:
            agree(array, state[name].numpy())
    grads = copy.deepcopy(net)  # the grads as weights, so that they are carried across in the same way
    for copied, param in zip(grads.params(), net.params(), strict=True):
        copied.value[...] = param.grad
    grads = to_torch(grads, shape)
    for name, parameter in theirs.named_parameters():
        agree(grads[name], parameter.grad.numpy())


def carry(net, shape):
    """Return the nn.Sequential that has been given the network's state."""
    theirs = counterpart(net, shape)
    state = {name: torch.tensor(array) for name, array in to_torch(net, shape).items()}
    theirs.load_state_dict(state, strict=True)
    return theirs


# ---- the tests -------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(networks())
def test_carried_to_pytorch(case):
    net, shape, rng = case
    compare(net, carry(net, shape), shape, rng)


@settings(max_examples=100, deadline=None)
@given(networks())
def test_carried_from_pytorch(case):
    net, shape, rng = case
    theirs = counterpart(net, shape)
    for tensor in theirs.state_dict().values():  # the tensors themselves: norms shall not be ones and zeros
        if tensor.ndim:
            tensor.copy_(torch.tensor(rng.uniform(0.2, 1, tensor.shape)))
    from_torch(net, theirs.state_dict(), shape)
    compare(net, theirs, shape, rng)


@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("upsample", ["transposed", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan(size, upsample, channels):
    rng = np.random.default_rng(size)
    model = dcgan.DCGAN(dcgan.Settings(size=size, width=3, upsample=upsample), (size, size, channels), rng)
    for net, shape in ((model.G, (100,)), (model.D, (size, size, channels))):
        net = random_state(copy.deepcopy(net).astype(np.float64), rng)
        compare(net, carry(net, shape), shape, rng, N=4)


def test_a_residual_on_vectors_after_a_flatten():
    """A module that adds, with the names of our children."""

    class Adding(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            return x + self.body(x)

    rng = np.random.default_rng(0)
    body = Sequential(Dense(24, 5, rng=rng), layers.Tanh(), Dense(5, 24, rng=rng))
    net = Sequential(layers.Conv2d(1, 2, 1, rng=rng), Flatten(), Residual(body), LayerNorm(24), Dense(24, 1, rng=rng))
    net = random_state(net.astype(np.float64), rng)
    theirs = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), Adding(counterpart(body, (24,))), nn.LayerNorm(24),
                           nn.Linear(24, 1)).double()  # fmt: skip
    theirs.load_state_dict({name: torch.tensor(array) for name, array in to_torch(net, (3, 4, 1)).items()})
    compare(net, theirs, (3, 4, 1), rng)


def test_data_parallel_and_files(tmp_path):
    rng = np.random.default_rng(0)
    net = Sequential(Embedding(5, 3, rng=rng), Dense(3, 2, rng=rng)).astype(np.float64)
    theirs = nn.DataParallel(counterpart(net, ()))
    from_torch(net, theirs.state_dict(), prefix="module.")
    save(tmp_path / "state.npz", theirs.state_dict())
    other = Sequential(Embedding(5, 3, rng=rng), Dense(3, 2, rng=rng)).astype(np.float64)
    from_torch(other, load(tmp_path / "state.npz"), prefix="module.")
    assert same(other.state(), net.state())
    with pytest.raises(ValueError, match=r"0.weight cannot be read as a NumPy array .*\.float\(\)"):
        from_torch(net, theirs.bfloat16().state_dict(), prefix="module.")
