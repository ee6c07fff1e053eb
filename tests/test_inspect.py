"""Summaries, counted by hand; traces, compared with what the network itself computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scratchgan import inspect, plots
from scratchgan.errors import UserError
from scratchgan.layers import (
    AvgPool,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Layer,
    ReLU,
    Residual,
    Sequential,
    Tanh,
)


def nested(rng):
    """A network with every container, and with layers whose forward in training leaves something behind."""
    body = Sequential(Conv2d(3, 3, 3, padding=1, rng=rng), BatchNorm(3), ReLU())
    return Sequential(
        Residual(body),
        Concat(Sequential(), Sequential(Tanh(), Conv2d(3, 2, 1, rng=rng)), Residual(Tanh(), Conv2d(3, 3, 1, rng=rng))),
        Dropout(0.5, rng=np.random.default_rng(1)),
        Flatten(),
        Dense(5 * 4 * 8, 2, rng=rng),
    )


# ---- summary ---------------------------------------------------------------------------------------------


def test_counts_by_hand():
    rng = np.random.default_rng(0)
    net = Sequential(
        Conv2d(3, 8, (3, 5), stride=2, padding=1, rng=rng),
        ReLU(),
        ConvTranspose2d(8, 6, 4, stride=2, padding=1, rng=rng),
        AvgPool(2),
        Flatten(),
        Dense(6 * 5 * 4, 7, rng=rng, bias=False),
    )
    rows = inspect.count(net, (2, 10, 10, 3))
    assert rows == [
        ("0", repr(net.layers[0]), (2, 5, 4, 8), 3 * 5 * 3 * 8 + 8, 5 * 4 * 3 * 5 * 3 * 8, 4 * 5 * 4 * 8),
        ("1", "ReLU()", (2, 5, 4, 8), 0, 0, 4 * 5 * 4 * 8),
        ("2", repr(net.layers[2]), (2, 10, 8, 6), 4 * 4 * 6 * 8 + 6, 5 * 4 * 4 * 4 * 6 * 8, 4 * 10 * 8 * 6),
        ("3", repr(net.layers[3]), (2, 5, 4, 6), 0, 0, 4 * 5 * 4 * 6),
        ("4", "Flatten()", (2, 120), 0, 0, 4 * 120),
        ("5", "Dense(120, 7)", (2, 7), 120 * 7, 120 * 7, 4 * 7),
    ]


def test_the_table_and_its_total():
    net = Sequential(Conv2d(1, 100, 4, stride=2, padding=1, rng=np.random.default_rng(0)), Tanh())
    assert [line.split() for line in inspect.summary(net, (5, 8, 8, 1)).splitlines()] == [
        ["path", "layer", "output", "parameters", "multiply-adds", "output", "memory"],
        ["-" * 86],
        ["0", "Conv2d(1,", "100,", "(4,", "4))", "(5,", "4,", "4,", "100)", "1,700", "25,600", "6.2", "KiB"],
        ["1", "Tanh()", "(5,", "4,", "4,", "100)", "0", "0", "6.2", "KiB"],
        ["-" * 86],
        ["total", "1,700", "25,600", "12.5", "KiB"],
    ]


@given(st.integers(1, 3), st.sampled_from(["float32", "float64"]))
def test_a_nested_network(N, dtype):
    net = nested(np.random.default_rng(0)).astype(dtype)
    before = net.state()
    rows = inspect.count(net, (N, 5, 4, 3))
    assert " ".join(row.path for row in rows) == (
        "0.body.0 0.body.1 0.body.2 0 1.1.0 1.1.1 1.2.body 1.2.shortcut 1.2 1 2 3 4"
    )
    assert sum(row.parameters for row in rows) == sum(param.value.size for param in net.params())
    assert rows[-1].output_shape == net(np.zeros((N, 5, 4, 3), dtype)).shape
    assert rows[0].output_bytes == 5 * 4 * 3 * np.dtype(dtype).itemsize
    assert all(np.array_equal(value, before[path]) for path, value in net.state().items())


def test_a_layer_in_two_places_has_its_parameters_once_and_its_work_twice():
    twice = Conv2d(2, 2, 3, padding=1, rng=np.random.default_rng(0))
    first, _, second = inspect.count(Sequential(twice, Tanh(), twice), (1, 4, 4, 2))
    assert (first.parameters, second.parameters) == (38, 0)
    assert first.multiply_adds == second.multiply_adds == 16 * 9 * 4


def test_one_layer_no_layer_and_integers():
    rng = np.random.default_rng(0)
    assert inspect.count(Tanh(), (2, 3)) == [("", "Tanh()", (2, 3), 0, 0, 12)]
    assert inspect.count(Sequential(), (2, 3)) == []
    assert inspect.summary(Sequential(), (2, 3)).endswith("0 B")
    assert inspect.count(Embedding(4, 3, rng=rng), (2,), dtype="int64")[0].output_shape == (2, 3)


def test_a_layer_of_another_kind_is_one_row():
    class Twice(Sequential):
        """A Sequential whose forward is its own."""

        def forward(self, x, train=True):
            y, tape = super().forward(x, train)
            return 2 * y, tape

    class Named(Sequential):
        """A Sequential in all but name."""

    assert [row.path for row in inspect.count(Sequential(Twice(Tanh(), Tanh())), (1, 2))] == ["0"]
    assert [row.path for row in inspect.count(Sequential(Named(Tanh(), Tanh())), (1, 2))] == ["0.0", "0.1"]


def test_a_shape_that_does_not_fit_is_refused_by_the_layer():
    with pytest.raises(ValueError, match=r"Dense\(160, 2\)"):
        inspect.summary(nested(np.random.default_rng(0)), (1, 5, 5, 3))


# ---- trace -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_by_hand_is_what_the_network_does(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 5, 4, 3), dtype="float32")
    net, same = nested(np.random.default_rng(seed)), nested(np.random.default_rng(seed))
    y, tape = inspect.forward(net, "", x, True, lambda *_: None)
    wanted, wanted_tape = same.forward(x)
    assert np.array_equal(y, wanted)
    dy = rng.standard_normal(y.shape, dtype="float32")
    dx = same.backward(wanted_tape, dy, grads=False)
    np.testing.assert_array_equal(inspect.backward(net, "", tape, dy, lambda *_: None), dx)
    assert np.array_equal(net.backward(tape, dy, grads=False), dx)  # the tape is the network's own


def test_a_trace_tells_what_flows_and_changes_nothing():
    rng = np.random.default_rng(0)
    net = nested(rng)
    x = rng.standard_normal((3, 5, 4, 3), dtype="float32")
    before = net.state()
    records = inspect.trace(net, x, np.random.default_rng(7))
    assert all(np.array_equal(value, before[path]) for path, value in net.state().items())
    assert not any(param.grad.any() for param in net.params())
    assert [record.path for record in records] == [row.path for row in inspect.count(net, x.shape)]
    y, tape = net.forward(x)
    dx = net.backward(tape, np.random.default_rng(7).standard_normal(y.shape).astype("float32"))
    assert (records[-1].mean, records[-1].spread) == pytest.approx((y.mean(), y.std()))
    residual = records[3]
    assert residual.path == "0" and residual.layer == repr(net.layers[0])
    assert (residual.gradient_norm, residual.gradient_spread) == pytest.approx((np.linalg.norm(dx), dx.std()))


def test_a_trace_of_weights_that_shrink_shows_that_both_signals_vanish():
    def deep(factor):
        small = lambda shape, rng: (factor / 8 * rng.standard_normal(shape)).astype("float32")
        rng = np.random.default_rng(0)
        return Sequential(*[Dense(64, 64, rng=rng, initialize=small) for _ in range(10)])

    x = np.random.default_rng(1).standard_normal((100, 64), dtype="float32")
    for factor in (0.5, 1.0, 2.0):
        records = inspect.trace(deep(factor), x, np.random.default_rng(2))
        assert records[-1].spread == pytest.approx(factor**10, rel=0.5)
        assert records[0].gradient_spread == pytest.approx(factor**10, rel=0.5)


def test_integers_have_no_gradient():
    rng = np.random.default_rng(0)
    net = Sequential(Embedding(4, 3, rng=rng), Tanh())
    first, last = inspect.trace(net, np.array([0, 3]), rng)
    assert np.isnan(first.gradient_norm) and np.isfinite(last.gradient_norm)


def test_a_trace_is_drawn(tmp_path):
    class Long(Layer):
        def __repr__(self):
            return "a name that is much too long to be written beside a curve"

        def forward(self, x, train=True):
            return 0 * x, None  # a spread of 0 has no place on a logarithmic axis

        def backward(self, tape, dy, grads=True):
            return 0 * dy

    records = inspect.trace(Sequential(Long(), Tanh()), np.ones((2, 3)), np.random.default_rng(0))
    plots.trace(records, tmp_path / "trace.png")
    picture = np.asarray(Image.open(tmp_path / "trace.png").convert("RGB"))
    assert picture.shape == (200, 900, 3) and (picture == [255, 127, 14]).all(-1).any()  # the gradient's curve
    assert [path.name for path in tmp_path.iterdir()] == ["trace.png"]
    with pytest.raises(UserError, match="no layers"):
        plots.trace([], tmp_path / "trace.png")
