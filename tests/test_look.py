"""Summaries, counted by hand; traces, compared with what the network itself computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scratchgan import plots
from scratchgan.layers import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conditional,
    ConditionalBatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Each,
    Embedding,
    Flatten,
    Fork,
    LabelChannels,
    Layer,
    Mix,
    ReLU,
    Residual,
    Scores,
    Sequential,
    Softmax,
    Tanh,
)
from scratchgan.support.errors import UserError
from scratchgan.tools import look
from scratchgan.tools.watching import watching


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
    rows = look.count(net, (2, 10, 10, 3))
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
    assert [line.split() for line in look.summary(net, (5, 8, 8, 1)).splitlines()] == [
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
    rows = look.count(net, (N, 5, 4, 3))
    assert " ".join(row.path for row in rows) == (
        "0.body.0 0.body.1 0.body.2 0 1.1.0 1.1.1 1.2.body 1.2.shortcut 1.2 1 2 3 4"
    )
    assert sum(row.parameters for row in rows) == sum(param.value.size for param in net.params())
    assert rows[-1].output_shape == net(np.zeros((N, 5, 4, 3), dtype)).shape
    assert rows[0].output_bytes == 5 * 4 * 3 * np.dtype(dtype).itemsize
    assert all(np.array_equal(value, before[path]) for path, value in net.state().items())


def test_a_layer_in_two_places_has_its_parameters_once_and_its_work_twice():
    twice = Conv2d(2, 2, 3, padding=1, rng=np.random.default_rng(0))
    first, _, second = look.count(Sequential(twice, Tanh(), twice), (1, 4, 4, 2))
    assert (first.parameters, second.parameters) == (38, 0)
    assert first.multiply_adds == second.multiply_adds == 16 * 9 * 4


def test_one_layer_no_layer_and_integers():
    rng = np.random.default_rng(0)
    assert look.count(Tanh(), (2, 3)) == [("", "Tanh()", (2, 3), 0, 0, 12)]
    assert look.count(Sequential(), (2, 3)) == []
    assert look.summary(Sequential(), (2, 3)).endswith("0 B")
    assert look.count(Embedding(4, 3, rng=rng), (2,), dtype="int64")[0].output_shape == (2, 3)


def test_a_layer_of_another_kind_is_one_row():
    class Twice(Sequential):
        """A Sequential whose forward is its own."""

        def forward(self, x, train=True):
            y, tape = super().forward(x, train)
            return 2 * y, tape

    class Named(Sequential):
        """A Sequential in all but name."""

    assert [row.path for row in look.count(Sequential(Twice(Tanh(), Tanh())), (1, 2))] == ["0"]
    assert [row.path for row in look.count(Sequential(Named(Tanh(), Tanh())), (1, 2))] == ["0.0", "0.1"]


def attention(rng):
    """Four Dense layers in forks, and the two bilinear maps between them."""
    scores = Sequential(Fork(Dense(6, 3, rng=rng), Dense(6, 3, rng=rng)), Scores(), Softmax())
    return Sequential(Fork(scores, Dense(6, 6, rng=rng)), Mix(), Dense(6, 6, rng=rng))


def test_forks_and_pairs():
    rng = np.random.default_rng(0)
    net = attention(rng)
    rows = look.count(net, (2, 5, 6))
    assert [(row.path, row.output_shape) for row in rows] == [
        ("0.0.0.0", (2, 5, 3)), ("0.0.0.1", (2, 5, 3)), ("0.0.1", (2, 5, 5)), ("0.0.2", (2, 5, 5)),
        ("0.1", (2, 5, 6)), ("1", (2, 5, 6)), ("2", (2, 5, 6)),
    ]  # fmt: skip
    assert {f"{row.path}.W" for row in rows if row.parameters} == {p for p in net.named_params() if p.endswith("W")}
    assert sum(row.parameters for row in rows) == sum(param.value.size for param in net.params())


def test_a_tuple_of_inputs():
    rng = np.random.default_rng(0)
    net = Sequential(Each(Dense(3, 4, rng=rng), Embedding(5, 4, rng=rng)), Add(), Tanh())
    rows = look.count(net, ((2, 3), (2,)))
    assert [row.path for row in rows] == ["0.0", "0.1", "1", "2"]
    records = look.trace(net, (np.ones((2, 3), np.float32), np.array([1, 2])), rng)
    assert [record.path for record in records] == ["0.0", "0.1", "1", "2"]
    assert [np.isnan(record.gradient_norm) for record in records] == [False, True, False, False]


def test_labels_travel_along_a_conditional():
    rng = np.random.default_rng(0)
    net = Conditional(LabelChannels(3, 2, rng=rng), Dense(4, 5, rng=rng), ConditionalBatchNorm(3, 5), ReLU())
    paths = ["0", "1", "2.0", "2.1", "3"]
    assert [row.path for row in look.count(net, (2, 2))] == paths
    assert sum(row.parameters for row in look.count(net, (2, 2))) == sum(p.value.size for p in net.params())
    x = rng.standard_normal((4, 2), dtype="float32"), np.array([0, 2, 1, 0])
    records = look.trace(net, x, np.random.default_rng(7))
    assert [record.path for record in records] == paths
    y, tape = net.forward(x)
    (dx, none), _ = net.pull(tape, np.random.default_rng(7).standard_normal(y.shape).astype("float32"))
    assert none is None and records[0].gradient_norm == pytest.approx(np.linalg.norm(dx))


def test_a_fork_at_the_top_has_a_gradient_for_each_branch():
    net = Fork(Dense(3, 2, rng=np.random.default_rng(0)), Tanh())
    records = look.trace(net, np.ones((4, 3), np.float32), np.random.default_rng(0))
    assert [record.path for record in records] == ["0", "1"]
    assert all(record.gradient_norm > 0 for record in records)


def test_a_layer_of_another_kind_may_return_a_tuple():
    class Both(Layer):
        def __repr__(self):
            return "Both()"

        def forward(self, x, train=True):
            return (x, 2 * x), None

        def pull(self, tape, dy):
            return dy[0] + 2 * dy[1], None

    net = Sequential(Both(), Add())
    assert look.count(net, (2, 3))[0][:3] == ("0", "Both()", ((2, 3), (2, 3)))
    first, last = look.trace(net, np.ones((2, 3), np.float32), np.random.default_rng(0))
    assert (first.mean, last.mean) == (1.5, 3)
    assert first.gradient_norm == pytest.approx(3 / np.sqrt(2) * last.gradient_norm)  # (dy, dy), and 3 dy


def test_a_layer_inside_another_kind_and_beside_it_has_its_row_beside_it_only():
    class Around(Layer):
        def __init__(self, inner):
            self.inner = inner

        def __repr__(self):
            return "Around()"

        def forward(self, x, train=True):
            return self.inner.forward(x, train)

        def pull(self, tape, dy):
            return self.inner.pull(tape, dy)

    dense = Dense(2, 2, rng=np.random.default_rng(0))
    records = look.trace(Sequential(Around(dense), dense), np.ones((1, 2), np.float32), np.random.default_rng(0))
    assert [(record.path, record.layer) for record in records] == [("0", "Around()"), ("1", "Dense(2, 2)")]


def test_a_shape_that_does_not_fit_is_refused_by_the_layer():
    with pytest.raises(ValueError, match=r"Dense\(160, 2\)"):
        look.summary(nested(np.random.default_rng(0)), (1, 5, 5, 3))


# ---- trace -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_watched_is_what_the_network_does(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 5, 4, 3), dtype="float32")
    net, same = nested(np.random.default_rng(seed)), nested(np.random.default_rng(seed))
    forward = lambda path, layer, x, train: type(layer).forward(layer, x, train)
    with watching(net, forward, lambda layer, tape, dy: type(layer).pull(layer, tape, dy)):
        y, tape = net.forward(x)
        dy = rng.standard_normal(y.shape, dtype="float32")
        dx, _ = net.pull(tape, dy)
    wanted, wanted_tape = same.forward(x)
    assert np.array_equal(y, wanted)
    np.testing.assert_array_equal(dx, same.pull(wanted_tape, dy)[0])
    assert np.array_equal(net.pull(tape, dy)[0], dx)  # the tape is the network's own
    for _, layer in net.named_layers():
        assert not {"forward", "pull"} & vars(layer).keys()


def test_a_trace_tells_what_flows_and_changes_nothing():
    rng = np.random.default_rng(0)
    net = nested(rng)
    x = rng.standard_normal((3, 5, 4, 3), dtype="float32")
    before = net.state()
    records = look.trace(net, x, np.random.default_rng(7))
    assert all(np.array_equal(value, before[path]) for path, value in net.state().items())
    assert not any(param.grad.any() for param in net.params())
    assert [record.path for record in records] == [row.path for row in look.count(net, x.shape)]
    y, tape = net.forward(x)
    dx, _ = net.pull(tape, np.random.default_rng(7).standard_normal(y.shape).astype("float32"))
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
        records = look.trace(deep(factor), x, np.random.default_rng(2))
        assert records[-1].spread == pytest.approx(factor**10, rel=0.5)
        assert records[0].gradient_spread == pytest.approx(factor**10, rel=0.5)


def test_integers_have_no_gradient():
    rng = np.random.default_rng(0)
    net = Sequential(Embedding(4, 3, rng=rng), Tanh())
    first, last = look.trace(net, np.array([0, 3]), rng)
    assert np.isnan(first.gradient_norm) and np.isfinite(last.gradient_norm)


def test_a_trace_is_drawn(tmp_path):
    class Long(Layer):
        def __repr__(self):
            return "a name that is much too long to be written beside a curve"

        def forward(self, x, train=True):
            return 0 * x, None  # a spread of 0 has no place on a logarithmic axis

        def pull(self, tape, dy):
            return 0 * dy, None

    records = look.trace(Sequential(Long(), Tanh()), np.ones((2, 3)), np.random.default_rng(0))
    plots.trace(records, tmp_path / "trace.png")
    picture = np.asarray(Image.open(tmp_path / "trace.png").convert("RGB"))
    assert picture.shape == (200, 900, 3) and (picture == [255, 127, 14]).all(-1).any()  # the gradient's curve
    assert [path.name for path in tmp_path.iterdir()] == ["trace.png"]
    with pytest.raises(UserError, match="no layers"):
        plots.trace([], tmp_path / "trace.png")
