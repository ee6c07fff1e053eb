"""Every layer, loss, penalty and optimizer on the strict stand-in for CuPy: the numbers of NumPy, and no waiting."""

import contextlib
import copy
import inspect

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from laws import all_passes, close
from test_laws import TABLE, input_of
from tuples import direction, each, filled, parts

from scratchgan import fast, losses, optim, penalties, walk, weights, xp
from scratchgan.layers import BatchNorm, Conv2d, ConvTranspose2d, Dense, Flatten, LeakyReLU, Sequential, Tanh
from scratchgan.optim import EMA, Optimizer
from scratchgan.tools.strict import strict_xp

PRECISION = {"float32": 1e-5, "float64": 1e-12}


def on_host(layer):
    """Return a copy of a layer of the stand-in with NumPy's arrays in place of its own."""
    with xp.using(strict_xp):
        twin = copy.deepcopy(layer)
        for part in twin.params():
            part.value, part.grad = part.value.get(), part.grad.get()
        for _, holder, key, array in list(walk.places(twin)):
            if isinstance(array, xp.ndarray):
                walk.put(holder, key, array.get())
    return twin


def on_device(array):
    return None if array is None else xp.to_device(array)


def compare(compute, layer, *arrays, rtol):
    """Assert that compute(layer, *arrays) gives the same on the stand-in, which never waits, as with NumPy.

    layer: made on the stand-in; arrays: of the host. The layer's grads and state are compared, too.
    """
    results = []
    for module, own in ((np, on_host(layer)), (strict_xp, layer)):
        with xp.using(module):
            inputs = [each(on_device, array) for array in arrays]
            with strict_xp.counting() as counts:
                computed = compute(own, *inputs)
            assert counts.synchronisations == 0, counts
            computed = [*computed, *[param.grad for param in own.params()]]
            results.append([None if array is None else xp.to_host(array) for array in computed])
            results[-1] += [array for array in own.state().values() if array.dtype.kind == "f"]
    for expected, array in zip(*results, strict=True):
        assert (expected is None) == (array is None)
        if array is not None:
            assert array.dtype == expected.dtype
            close(expected, array, rtol=rtol, scale=max(1.0, np.abs(expected).max(initial=0)))


def passes_and_inference(layer, x, dy, ddx):
    """Return all that a layer computes, by each of its methods."""
    inferred = parts(layer(x))
    both = filled(layer.backward(layer.forward(x)[1], dy), x)
    return [*inferred, *both, *all_passes(layer, x, dy, ddx)]


def computing_by(code):
    """Compute, within a `with` block, with the "twins" or by the "plain" code."""
    return fast.plain() if code == "plain" else contextlib.nullcontext()


# ---- layers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["twins", "plain"])
@pytest.mark.parametrize("row", TABLE)
def test_layer(row, code):
    @draws(25 if code == "twins" else 6)
    @given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from(sorted(PRECISION)))
    def holds(data, seed, dtype):
        rng = np.random.default_rng(seed)
        with xp.using(strict_xp):
            layer, given_x = TABLE[row](data.draw, rng)
            layer.astype(dtype)
        narrowed = lambda array: array if array is None or array.dtype.kind != "f" else array.astype(dtype)
        x = each(narrowed, input_of(given_x, rng))
        y = on_host(layer).forward(x)[0]
        dy, ddx = each(narrowed, direction(y, rng)), each(narrowed, direction(x, rng))
        compare(passes_and_inference, layer, x, dy, ddx, rtol=PRECISION[dtype])

    with computing_by(code):
        holds()


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
            weights.weight_norm(net)
        if kind.startswith("spectral"):
            weights.spectral_norm(net, rng=rng, exact="exact" in kind)
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


@pytest.mark.parametrize("code", ["twins", "plain"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("Kind", Optimizer.__subclasses__(), ids=lambda Kind: Kind.__name__)
def test_optimizer(Kind, kind, code):
    """Three steps, an average, and clipping: all weights and all that is kept."""
    x = np.random.default_rng(1).standard_normal((3, 6, 4, 2))

    def compute(net, x):
        optimizer, average = Kind(net.params(), lr=1e-2), EMA(net, 0.9)
        for _ in range(3):
            y, tape = net.forward(x)
            net.accumulate(tape, y)
            optimizer.step()
            average.update()
        penalties.clip(net, 0.5)
        return [*optimizer.memory.values(), average.flat.value, average.net(x), net(x)]

    with computing_by(code):
        compare(compute, critic(kind), x, rtol=1e-9)


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_momentum(options):
    def compute(net, x):
        optimizer = optim.SGD(net.params(), lr=optim.cosine(0.1, 10), **options)
        for _ in range(3):
            net.accumulate(net.forward(x)[1], xp.ones_like(net(x)))
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
