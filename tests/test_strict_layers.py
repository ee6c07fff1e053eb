"""Every layer, loss, penalty and optimizer on the strict stand-in for CuPy: the numbers of NumPy, and no waiting."""

import copy
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import close
from test_laws import TABLE

from scratchgan import losses, optim, param, penalties, xp
from scratchgan.layers import BatchNorm, Conv2d, ConvTranspose2d, Dense, Embedding, Flatten, LeakyReLU, Sequential, Tanh
from scratchgan.optim import EMA, Optimizer
from scratchgan.testing import strict_xp

PRECISION = {"float32": 1e-5, "float64": 1e-12}


def on_host(layer):
    """Return a copy of a layer of the stand-in with NumPy's arrays in place of its own."""
    with xp.using(strict_xp):
        twin = copy.deepcopy(layer)
        for part in twin.params():
            part.value, part.grad = part.value.get(), part.grad.get()
        for _, owner, name, array in list(twin.attributes(xp.ndarray)):
            setattr(owner, name, array.get())
    return twin


def compare(compute, layer, *arrays, rtol, grads=True):
    """Assert that compute(layer, *arrays) gives the same on the stand-in, which never waits, as with NumPy.

    layer: made on the stand-in; arrays: of the host. The layer's grads and state are compared, too.
    """
    results = []
    for module, own in ((np, on_host(layer)), (strict_xp, layer)):
        with xp.using(module):
            inputs = [xp.to_device(array) for array in arrays]
            with strict_xp.counting() as counts:
                found = compute(own, *inputs)
            assert counts.synchronisations == 0, counts
            found = [*found, *[param.grad for param in own.params()]] if grads else found
            results.append([None if array is None else xp.to_host(array) for array in found])
            results[-1] += [array for array in own.state().values() if array.dtype.kind == "f"]
    for expected, array in zip(*results, strict=True):
        assert (expected is None) == (array is None)
        if array is not None:
            assert array.dtype == expected.dtype
            close(expected, array, rtol=rtol, scale=max(1.0, np.abs(expected).max(initial=0)))


def all_passes(layer, x, dy, ddx):
    """Return everything that a layer computes."""
    inferred = layer(x)
    y, tape = layer.forward(x)
    return inferred, y, layer.backward(tape, dy), *layer.double_backward(tape, dy, ddx)


# ---- layers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", TABLE)
def test_layer(row):
    @settings(max_examples=25, deadline=None)
    @given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from(sorted(PRECISION)))
    def holds(data, seed, dtype):
        rng = np.random.default_rng(seed)
        with xp.using(strict_xp):
            layer, shape = TABLE[row](data.draw, rng)
            layer.astype(dtype)
        x, ddx = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
        twin = on_host(layer)
        dy = rng.standard_normal(twin.forward(x)[0].shape).astype(dtype)
        compare(all_passes, layer, x, dy, ddx, rtol=PRECISION[dtype])

    holds()


def test_embedding():
    rng = np.random.default_rng(0)
    with xp.using(strict_xp):
        layer = Embedding(4, 3, rng=rng)
    x, dy = rng.integers(0, 4, (5, 2)), rng.standard_normal((5, 2, 3), dtype="float32")

    def compute(layer, x, dy):
        y, tape = layer.forward(x)
        return layer(x), y, layer.backward(tape, dy)

    compare(compute, layer, x, dy, rtol=1e-6)


# ---- losses and penalties: every function whose arguments are named here ---------------------------------


def functions_of(module, known):
    """Return {name: f} of the public functions of a module whose required arguments are all in `known`."""
    found = {}
    for name, f in vars(module).items():
        if inspect.isfunction(f) and f.__module__ == module.__name__:
            parameters = inspect.signature(f).parameters.values()
            if {p.name for p in parameters if p.default is p.empty} <= set(known):
                found[name] = f
    return found


SCORES = {"real_logits": (6, 1), "fake_logits": (6, 1), "logits": (6, 3), "x": (6, 3), "target": (6, 3)}
LOSSES = functions_of(losses, [*SCORES, "labelled_logits", "targets", "labels", "sign"])
PENALTIES = functions_of(penalties, ["D", "real", "fake", "rng", "net"])


def test_the_tables_hold_every_loss_and_penalty():
    named = [name for name in vars(losses) if name.endswith(("_discriminator", "_generator", "entropy"))]
    assert set(LOSSES) >= {*named, "hinge", "l1", "l2"}
    assert set(PENALTIES) >= {"wgan_gp", "lipschitz_penalty", "dragan", "r1", "r2", "zero_centered", "orthogonal"}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    rng = np.random.default_rng(0)
    draws = {key: rng.standard_normal(shape, dtype="float32") for key, shape in SCORES.items()}
    draws |= {"targets": rng.random((6, 3), dtype="float32"), "labels": rng.integers(0, 3, 6), "sign": -1}
    parameters = inspect.signature(LOSSES[name]).parameters
    if "labelled_logits" in parameters:  # K logits for all three
        draws |= {key: rng.standard_normal((6, 3), dtype="float32") for key in parameters if key.endswith("logits")}
    chosen = [key for key in parameters if key in draws]
    fixed = {key: draws[key] for key in chosen if key == "sign"}
    arrays = [key for key in chosen if key not in fixed]
    compute = lambda layer, *inputs: LOSSES[name](**dict(zip(arrays, inputs, strict=True)), **fixed)
    with xp.using(strict_xp):
        nothing = Sequential()
    compare(compute, nothing, *[draws[key] for key in arrays], rtol=1e-6)


def critic(kind=""):
    """Return a small critic of the stand-in that bends, in float64, its weights plain or normalised."""
    rng = np.random.default_rng(0)
    with xp.using(strict_xp):
        net = Sequential(
            Conv2d(2, 3, 4, stride=2, padding=1, rng=rng), Tanh(),
            ConvTranspose2d(3, 2, 3, rng=rng), LeakyReLU(0.2),
            Flatten(), Dense(5 * 4 * 2, 1, rng=rng),
        ).astype("float64")  # fmt: skip
        if kind == "weight":
            param.weight_norm(net)
        if kind.startswith("spectral"):
            param.spectral_norm(net, rng=rng, exact="exact" in kind)
    return net


KINDS = ("", "spectral", "spectral, exact", "weight")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PENALTIES)
def test_penalty(name, kind):
    x = np.random.default_rng(1).standard_normal((3, 6, 4, 2))

    def compute(net, real, fake):
        given = {"D": net, "net": net, "real": real, "fake": fake, "rng": np.random.default_rng(2)}
        parameters = inspect.signature(PENALTIES[name]).parameters
        return [PENALTIES[name](**{key: value for key, value in given.items() if key in parameters})]

    compare(compute, critic(kind), x, x + 1, rtol=1e-12)


# ---- optimizers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("Kind", Optimizer.__subclasses__(), ids=lambda Kind: Kind.__name__)
def test_optimizer(Kind, kind):
    """Three steps, an average, and clipping: all weights and all that is kept."""
    x = np.random.default_rng(1).standard_normal((3, 6, 4, 2))

    def compute(net, x):
        optimizer, average = Kind(net.params(), lr=1e-2), EMA(net, 0.9)
        for _ in range(3):
            y, tape = net.forward(x)
            net.backward(tape, y)
            optimizer.step()
            average.update()
        param.clip(net, 0.5)
        return [*optimizer.memory.values(), average.flat.value, average.net(x), net(x)]

    compare(compute, critic(kind), x, rtol=1e-9)


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_momentum(options):
    def compute(net, x):
        optimizer = optim.SGD(net.params(), lr=optim.cosine(0.1, 10), **options)
        for _ in range(3):
            net.backward(net.forward(x)[1], xp.ones_like(net(x)))
            optimizer.step()
        return [net(x)]

    compare(compute, critic(), np.random.default_rng(1).standard_normal((3, 6, 4, 2)), rtol=1e-12)


# ---- a network whose arrays are of the other module ------------------------------------------------------


def test_the_state_holds_every_array_wherever_it_lies():
    def net():
        return Sequential(Dense(2, 3, rng=np.random.default_rng(0)), BatchNorm(3))

    host = net()
    host.layers[1].running_mean[...] = 5
    with xp.using(strict_xp):
        assert host.state().keys() == net().state().keys() and host.state()["1.running_mean"][0] == 5
        on_device = net()
        on_device.load_state(host.state())
        for path, array in on_device.state().items():
            np.testing.assert_array_equal(array, host.state()[path], err_msg=path)
    assert on_device.state().keys() == host.state().keys()
