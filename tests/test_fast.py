"""The table of twins: each computes what the plain code says, on NumPy, on the stand-in for CuPy, and by kernels."""

import contextlib
import copy
import functools
import subprocess
import sys
from pathlib import Path

import kernel_cpu
import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from scratchgan import fast, optim, xp
from scratchgan.fast import table
from scratchgan.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv2d,
    Dense,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LeakyReLU,
    Recurrent,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    Upsample,
    conv,
    functions,
    sums,
)
from scratchgan.layers.base import Pointwise
from scratchgan.layers.compose import Sequential as SequentialOfTheBook
from scratchgan.layers.norm import Normalization
from scratchgan.param import Param
from scratchgan.tools.strict import strict_xp
from scratchgan.weights import spectral_norm, weight_norm

ROOT = Path(__file__).parent.parent

# ---- what each pair is called with: a function that returns all arrays that come out, or are changed ------


def arrays_of(result):
    """Return all arrays in a result, as NumPy's, in order."""
    if isinstance(result, list | tuple):
        return [array for part in result for array in arrays_of(part)]
    return [np.array(xp.to_host(result))] if xp.is_array(result) else []


def geometry_of(draw):
    axes = draw(st.integers(1, 3))
    per_axis = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * axes))
    geometry = conv.Geometry(per_axis(1, 4), per_axis(1, 3), per_axis(0, 3), per_axis(1, 2))
    sides = []
    for k, p, d in zip(geometry.kernel, geometry.padding, geometry.dilation, strict=True):
        least = max(d * (k - 1) + 1 - 2 * p, 1)
        sides.append(draw(st.integers(least, least + 4)))
    return geometry, sides


def convolution(name):
    def case(draw, normal):
        geometry, sides = geometry_of(draw)
        N, C, O = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 40]))
        x, W = normal(N, *sides, C), normal(*geometry.kernel, C, O)
        dy = normal(N, *geometry.output_sides(sides), O)
        arguments = {"correlate": (x, W), "input_grad": (W, dy, x.shape), "weight_grad": (x, dy)}[name]
        return lambda: getattr(conv, name)(*arguments, geometry)

    return case


def of_an_array(module, name):
    def case(draw, normal):
        x = normal(*draw(st.lists(st.integers(1, 5), min_size=2, max_size=4)))
        return lambda: getattr(module, name)(x)

    return case


def layer_method(name):
    """A normalisation's forward, pull or backward, with the grads and running statistics that it leaves."""

    def case(draw, normal):
        channels = draw(st.sampled_from([1, 4, 6]))
        make = draw(st.sampled_from([
            lambda: LayerNorm(channels), lambda: GroupNorm(1, channels), lambda: InstanceNorm(channels),
            lambda: GroupNorm(max(1, channels // 2), channels), lambda: BatchNorm(channels),
            lambda: InstanceNorm(channels, affine=False), lambda: BatchNorm(channels, affine=False),
        ]))  # fmt: skip
        layer = with_drawn_params(make(), normal)
        layer.eps = 0.1  # a group of one number has no spread: rounding would be divided by sqrt(eps)
        x = normal(draw(st.integers(2, 4)), draw(st.integers(2, 4)), draw(st.integers(1, 3)), channels)
        dy, train = normal(*x.shape), draw(st.booleans())

        def call():
            own = copy.deepcopy(layer)
            y, tape = own.forward(x, train)
            result = (y, tape) if name == "forward" else getattr(own, name)(tape, dy)
            return [result, [param.grad for param in own.params()], list(own.named_arrays().values())]

        return call

    return case


def batch_norm(draw, normal):
    layer = with_drawn_params(BatchNorm(draw(st.integers(1, 40)), momentum=0.3), normal)
    x, train = normal(draw(st.integers(2, 30)), layer.channels), draw(st.booleans())

    def call():
        own = copy.deepcopy(layer)
        return [own.forward(x, train), own.running_mean, own.running_var]

    return call


def with_drawn_params(layer, normal):
    layer.astype(normal(1).dtype)
    for param in layer.params():
        param.value[...] = normal(*param.value.shape)
    return layer


def leaky_relu(name):
    def case(draw, normal):
        x, layer = normal(3, 5), LeakyReLU(draw(st.sampled_from([0.0, 0.2, 1.0])))
        return lambda: getattr(layer, name)(x)

    return case


def pointwise(draw, normal):
    layer = draw(st.sampled_from([ReLU(), LeakyReLU(0.0), LeakyReLU(0.2), Tanh(), Sigmoid()]))
    x, dy = normal(4, 5, 3), normal(4, 5, 3)
    _, y = layer.forward(x)

    def call():
        before = y.copy()
        result = layer.pull(y, dy)
        assert (y == before).all()
        return result

    return call


def relu(draw, normal):
    x, layer = normal(*draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))), ReLU()
    return lambda: layer.f(x)


def sequential(draw, normal):
    rng = np.random.default_rng(0)
    net = Sequential(
        Conv2d(2, 3, 3, rng=rng), draw(st.sampled_from([ReLU(), LeakyReLU(0.2), Tanh()])),
        Dense(3, 4, bias=draw(st.booleans()), rng=rng), LeakyReLU(0.1), Dense(4, 2, rng=rng), ReLU(),
    )  # fmt: skip
    net, x = with_drawn_params(net, normal), normal(2, 4, 5, 2)
    return lambda: net.forward(x)


def upsample(draw, normal):
    layer, x = Upsample(draw(st.integers(1, 3)), draw(st.sampled_from(["nearest", "bilinear"]))), normal(2, 3, 4, 2)
    return lambda: layer.apply(x)


def recurrent(name):
    """From any state, either way, and with weights that are functions of others: run, or back, and the grads."""

    def case(draw, normal):
        N, L, C, H = (draw(st.integers(1, 4)) for _ in range(4))
        make, blocks = draw(st.sampled_from([(LSTM, 2), (GRU, 1), (RNN, 1)]))
        rng = np.random.default_rng(0)
        net = Recurrent(make(C, H, rng=rng), H, blocks * H, reverse=draw(st.booleans()))
        with_drawn_params(net, normal)
        draw(st.sampled_from([lambda: net, lambda: weight_norm(net), lambda: spectral_norm(net, rng=rng)]))()
        x, dy, (state, dstate) = normal(N, L, C), normal(N, L, H), normal(2, N, blocks * H)
        if draw(st.booleans()):
            state, dstate = None, None

        def call():
            own, given_state = copy.deepcopy(net), None if state is None else state.copy()
            y, last, tape = own.run(x, given_state)
            if state is not None:
                given_state.fill(0)  # a tape holds what was there
            result = (y, last, tape) if name == "run" else own.back(tape, dy, dstate)
            return [result, [param.grad for param in own.params()]]

        return call

    return case


def optimizer(make):
    """Three steps of an optimizer, over more than one block: the weights and what it remembers."""

    def case(draw, normal):
        sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
        values, grads = [normal(n) for n in sizes], [[normal(n) for n in sizes] for _ in range(3)]
        choice = draw(st.booleans())

        def call():
            params = [Param(value.copy()) for value in values]
            own = make(params, choice)
            for step_grads in grads:
                for param, grad in zip(params, step_grads, strict=True):
                    param.grad[...] = grad
                own.step()
            return [own.flat.value, own.flat.grad, list(own.memory.values())]

        return call

    return case


def ema(draw, normal):
    decay, w, average = draw(st.sampled_from([0.0, 0.5, 0.999])), normal(7), normal(7)

    def call():
        net = with_drawn_params(Dense(3, 2, rng=np.random.default_rng(0)), normal)
        own, result = optim.EMA(net, decay), average.copy()
        own.follow(result, w)
        return result

    return call


adam = optimizer(lambda params, decay: optim.Adam(params, 0.1, weight_decay=0.1 * decay))
CASES = {
    (conv, "correlate"): convolution("correlate"),
    (conv, "input_grad"): convolution("input_grad"),
    (conv, "weight_grad"): convolution("weight_grad"),
    **{(sums, name): of_an_array(sums, name) for name in ("over_rows", "over_positions", "channel_mean")},
    **{(functions, name): of_an_array(functions, name) for name in ("softplus", "sigmoid")},
    **{(Normalization, name): layer_method(name) for name in ("forward", "pull", "backward")},
    (BatchNorm, "forward"): batch_norm,
    (Pointwise, "pull"): pointwise,
    (ReLU, "f"): relu,
    (LeakyReLU, "f"): leaky_relu("f"),
    (LeakyReLU, "derivative"): leaky_relu("derivative"),
    (SequentialOfTheBook, "forward"): sequential,
    (Upsample, "apply"): upsample,
    **{(Recurrent, name): recurrent(name) for name in ("run", "back")},
    (optim.Optimizer, "move"): adam,
    (optim.SGD, "update"): optimizer(lambda params, choice: optim.SGD(params, 0.1, momentum=0.9, nesterov=choice)),
    (optim.RMSprop, "update"): optimizer(lambda params, choice: optim.RMSprop(params, 0.1)),
    (optim.Adam, "update"): adam,
    (optim.EMA, "follow"): ema,
}
PLACES = ("NumPy", "the stand-in", "the kernels")


def test_every_pair_has_a_case():
    assert set(CASES) == {(owner, name) for owner, name, _, _ in table.PAIRS}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("pair", CASES, ids=lambda pair: f"{pair[0].__name__}.{pair[1]}")
def test_a_twin_computes_what_the_plain_code_says(pair, place, monkeypatch):
    if place == "the kernels":
        if kernel_cpu.missing():
            pytest.skip(kernel_cpu.missing())
        kernel_cpu.install(monkeypatch)
    monkeypatch.setattr("scratchgan.fast.recurrent.SMALL", 30)  # products in parts
    monkeypatch.setattr("scratchgan.fast.recurrent.NARROWEST", 1)
    monkeypatch.setattr("scratchgan.fast.optimizers.BLOCK", 5)  # several blocks, and a short last one
    monkeypatch.setattr("scratchgan.fast.optimizers.kept_workspace", lambda dtype, thread: np.empty(5, dtype))

    @draws(25)
    @given(st.data())
    def holds(data):
        rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
        dtype = data.draw(st.sampled_from(["float32", "float64"]))
        normal = lambda *shape: xp.to_device(rng.standard_normal(shape), dtype)
        call = CASES[pair](data.draw, normal)
        ours = arrays_of(call())
        with fast.plain():
            plain = arrays_of(call())
        assert len(ours) == len(plain) > 0
        for one, other in zip(ours, plain, strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            scale = max(np.abs(other).max(initial=0), 1)
            np.testing.assert_allclose(one, other, rtol=0, atol=scale * (3e-5 if dtype == "float32" else 1e-11))

    with xp.using("cpu" if place == "NumPy" else strict_xp):
        holds()


# ---- the switch ------------------------------------------------------------------------------------------


def test_off_and_on():
    assert fast.is_on()
    with fast.plain():
        assert not fast.is_on()
        for owner, name, faster, plain in table.PAIRS:
            assert getattr(owner, name) is not faster
            assert plain is None or getattr(owner, name) is plain
        with fast.plain():
            pass
        assert not fast.is_on()  # as before
    for owner, name, faster, _ in table.PAIRS:
        assert getattr(owner, name) is faster


def test_what_somebody_puts_in_the_place_of_a_twin_stays(monkeypatch):
    mine = lambda x, W, geometry: None
    monkeypatch.setattr(conv, "correlate", mine)
    assert fast.is_on()
    with fast.plain():
        assert not fast.is_on() and conv.correlate is mine
    assert fast.is_on() and conv.correlate is mine


def after_a_step(layer):
    """Return y, dx by `backward` and by `pull`, and the grads; dy is 2 x."""
    layer.astype(np.float64)
    x = np.random.default_rng(0).standard_normal((6, 2, 4))
    y, tape = layer.forward(x)
    dy = np.resize(2 * x, y.shape)
    return [y, layer.backward(tape, dy), layer.pull(tape, dy)[0], *[param.grad for param in layer.params()]]


@pytest.mark.parametrize("where", ["its class", "the layer"])
@pytest.mark.parametrize("kind, arguments, name", [
    *[(BatchNorm, (4,), name) for name in ("grouped", "scale", "change", "accumulate", "pull", "follow")],
    *[(GroupNorm, (2, 4), name) for name in ("grouped", "scale", "change", "accumulate", "pull")],
    (Upsample, (2,), "slices"),
], ids=lambda part: getattr(part, "__name__", None))  # fmt: skip
def test_a_twin_calls_the_methods_that_a_layer_has_of_its_own(kind, arguments, name, where):
    """A layer that says for itself what the plain code calls is asked with the twins on, too."""
    results, calls = [], []
    for place in (contextlib.nullcontext, fast.plain):
        calls.append(0)

        def own(layer, *given):
            calls[-1] += 1
            y = getattr(kind, name)(layer, *given)
            return y * 3 if name in ("scale", "change") else y

        with place():
            layer = type("Own", (kind,), {name: own} if where == "its class" else {})(*arguments)
            if where == "the layer":
                setattr(layer, name, functools.partial(own, layer))
            results.append(after_a_step(layer))
    assert calls[0] > 0 and calls[1] > 0
    for ours, plain in zip(*results, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-12)


def test_the_plain_code_stands_in_the_book():
    for _, name, faster, plain in table.PAIRS:
        assert faster.__module__.startswith("scratchgan.fast"), name
        assert plain is None or plain.__module__.startswith(("scratchgan.layers", "scratchgan.optim")), name


def test_a_debugger_stops_in_the_plain_convolution(tmp_path):
    """As a learner would: a breakpoint in `correlate`, `--plain`, and the line of the formula is next."""
    example = ROOT / "examples" / "dcgan.py"
    book = ROOT / "scratchgan" / "layers" / "conv.py"
    formula = first_line(book, "        y[i] += x[pixels] @ W[k]")
    commands = [f"break {book}:{formula}", "continue", "where", "quit"]
    more = [part for command in commands for part in ("-c", command)]
    train = ["--steps", "1", "--batch-size", "2", "--width", "2", "--out", "run"]
    for plain in (True, False):
        done = subprocess.run(
            [sys.executable, "-m", "pdb", *more, str(example), *train, *["--plain"] * plain],
            cwd=tmp_path, capture_output=True, text=True, input="quit\n",
        )  # fmt: skip
        assert (f"conv.py({formula})correlate()" in done.stdout) == plain, done.stdout + done.stderr


def first_line(path, text):
    """Return the number of the first line that begins with a text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return 1 + next(number for number, line in enumerate(lines) if line.startswith(text))
