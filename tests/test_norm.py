"""Normalisations: their formulas written out, running statistics, float32, planted bugs, errors; and PyTorch."""

import laws
import numpy as np
import pytest
from rows_norm import drawn

from scratchgan.gradcheck import ridders
from scratchgan.layers import BatchNorm, Dense, GroupNorm, InstanceNorm, Layer, LayerNorm, PixelNorm, Sequential
from scratchgan.optim import EMA

SHAPES = [(5, 6), (4, 3, 6), (3, 2, 4, 6), (2, 3, 2, 2, 6)]  # vectors, sequences, images, video
IMAGE_SHAPES = SHAPES[1:]


def random_layer(layer, rng):
    return drawn(layer, rng).astype(np.float64)


def longhand(layer, x, sets):
    """Normalise each set of elements by itself; a set is an index into x."""
    y = np.empty_like(x)
    for index in sets:
        values = x[index]
        mean = sum(values.flat) / values.size
        var = sum((value - mean) ** 2 for value in values.flat) / values.size
        y[index] = (values - mean) / np.sqrt(var + layer.eps)
    return y if layer.gamma is None else layer.gamma.value * y + layer.beta.value


# ---- the formula -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_pixel_norm_is_its_formula(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    y = PixelNorm()(x)
    for index in np.ndindex(shape[:-1]):
        np.testing.assert_allclose(y[index], x[index] / np.sqrt(np.mean(x[index] ** 2) + 1e-8), rtol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm_is_its_formula(shape):
    rng = np.random.default_rng(0)
    layer, x = random_layer(LayerNorm(6), rng), rng.standard_normal(shape)
    np.testing.assert_allclose(layer(x), longhand(layer, x, np.ndindex(shape[:-1])), rtol=1e-10)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_group_norm_is_its_formula(groups, shape):
    rng = np.random.default_rng(0)
    layer, x = random_layer(GroupNorm(groups, 6), rng), rng.standard_normal(shape)
    width = 6 // groups
    sets = [(n, ..., slice(start, start + width)) for n in range(shape[0]) for start in range(0, 6, width)]
    np.testing.assert_allclose(layer(x), longhand(layer, x, sets), rtol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", IMAGE_SHAPES)
def test_instance_norm_is_its_formula(affine, shape):
    rng = np.random.default_rng(0)
    layer, x = random_layer(InstanceNorm(6, affine=affine), rng), rng.standard_normal(shape)
    sets = [(n, ..., channel) for n in range(shape[0]) for channel in range(6)]
    np.testing.assert_allclose(layer(x), longhand(layer, x, sets), rtol=1e-10)
    assert len(layer.params()) == (2 if affine else 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_is_its_formula(shape):
    rng = np.random.default_rng(0)
    layer, x = random_layer(BatchNorm(6), rng), rng.standard_normal(shape)
    y, _ = layer.forward(x)
    np.testing.assert_allclose(y, longhand(layer, x, [(..., channel) for channel in range(6)]), rtol=1e-10)


def test_one_group_and_a_group_for_each_channel():
    """GroupNorm's two ends: all axes but the first, and InstanceNorm; for vectors the first is LayerNorm."""
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 6))
    whole = GroupNorm(1, 6).astype(np.float64)(x)
    np.testing.assert_allclose(whole.reshape(3, -1).mean(1), 0, atol=1e-14)
    np.testing.assert_allclose(whole.reshape(3, -1).std(1), 1, rtol=1e-4)  # eps takes 5e-6 of it
    each, instance = GroupNorm(6, 6).astype(np.float64), InstanceNorm(6).astype(np.float64)
    np.testing.assert_allclose(each(x), instance(x), rtol=1e-12)
    one, layer = GroupNorm(1, 6).astype(np.float64), LayerNorm(6).astype(np.float64)
    np.testing.assert_allclose(one(x[:, 0, 0]), layer(x[:, 0, 0]), rtol=1e-12)


def test_sets_of_one_number_give_beta_and_no_gradient():
    for layer, shape in ((LayerNorm(1), (3, 2, 1)), (GroupNorm(4, 4), (3, 4))):
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        y, tape = layer.forward(x)
        np.testing.assert_array_equal(y, np.zeros(shape))
        np.testing.assert_allclose(layer.backward(tape, x), 0, atol=1e-4)  # 1 / sqrt(eps) is 316


# ---- batch norm's two modes ------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_statistics_are_those_of_the_formula(momentum):
    rng = np.random.default_rng(0)
    layer = BatchNorm(3, momentum=momentum).astype(np.float64)
    mean, var = np.zeros(3), np.ones(3)
    for n in (2, 5, 8):
        x = 3 + 2 * rng.standard_normal((n, 4, 3))
        layer.forward(x)
        values = x.reshape(-1, 3)
        unbiased = ((values - values.mean(0)) ** 2).sum(0) / (len(values) - 1)
        mean, var = (1 - momentum) * mean + momentum * values.mean(0), (1 - momentum) * var + momentum * unbiased
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
    expected = (x - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)
    one = x[:1, 0]
    np.testing.assert_allclose(layer(one), expected[:1, 0], rtol=1e-12)  # a batch of one, which training refuses


def test_defaults_are_those_of_pytorch():
    layer = BatchNorm(2)
    assert (layer.eps, layer.momentum) == (1e-5, 0.1)
    assert {array.dtype for array in layer.named_arrays().values()} == {np.dtype("float32")}
    for call in (lambda: BatchNorm(2, 0.8), lambda: LayerNorm(2, 0.8), lambda: GroupNorm(1, 2, 0.8)):
        with pytest.raises(TypeError, match="positional"):
            call()  # eps or momentum? One has to say so.


def test_running_statistics_travel_with_the_state_and_the_average():
    rng = np.random.default_rng(0)
    net, other = (Sequential(Dense(3, 4, rng=rng), BatchNorm(4)) for _ in range(2))
    average = EMA(net, decay=0.9)
    x = rng.standard_normal((6, 3), dtype=np.float32)
    net.forward(x)
    assert {"1.running_mean", "1.running_var", "1.gamma", "1.beta"} <= set(net.state())
    other.load_state(net.state())
    np.testing.assert_array_equal(net(x), other(x))
    before = average.net.layers[1].running_mean.copy()
    average.update()
    for name in ("running_mean", "running_var"):
        np.testing.assert_array_equal(getattr(average.net.layers[1], name), getattr(net.layers[1], name))
    net.forward(x + 1)
    assert not np.array_equal(net.layers[1].running_mean, average.net.layers[1].running_mean)  # a copy, not a view
    assert not np.array_equal(before, average.net.layers[1].running_mean)


@pytest.mark.parametrize("train", [True, False])
def test_a_tape_remembers_its_mode(train):
    """Gradients of either mode against differences, with a forward of the other mode in between."""
    rng = np.random.default_rng(0)
    layer = random_layer(BatchNorm(3), rng)
    x, dy, v = rng.standard_normal((3, 6, 3))
    _, tape = layer.forward(x, train)
    Jv, error = ridders(lambda x: layer.forward(x, train)[0], x, v)
    assert error.max() < 1e-8
    layer.running_var *= 2  # what belongs to the call is on its tape
    layer.forward(x, not train)
    dx, kept = layer.pull(tape, dy)
    assert abs(laws.inner(dy, Jv) - laws.inner(dx, v)) < 1e-7
    ddy, bend = layer.double_backward(tape, kept, v)
    np.testing.assert_allclose(ddy, Jv, atol=1e-8)
    assert (bend is None) == (not train)


# ---- float32 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: BatchNorm(8), lambda: InstanceNorm(8), lambda: GroupNorm(2, 8)])
def test_a_mean_far_from_zero_cancels_nothing(make):
    """Mean 1e4, deviation 1. x itself is known to 5e-4 only; <x^2> - <x>^2 would be off by about 8."""
    x = (1e4 + np.random.default_rng(0).standard_normal((16, 8, 8, 8))).astype(np.float32)
    exact, _ = make().astype(np.float64).forward(x.astype(np.float64))
    y, _ = make().forward(x)
    assert y.dtype == np.float32
    assert np.abs(y - exact).max() < 1e-2  # the mean's own rounding, up to 1e-6 of it; measured: 1e-3 to 3e-3


@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.parametrize("layer", [BatchNorm(2), LayerNorm(2), InstanceNorm(2), GroupNorm(1, 2), PixelNorm()], ids=repr)
def test_a_constant_input_stays_finite(layer, value):
    x = np.full((4, 3, 2), value, dtype=np.float32)
    dy, ddx = np.random.default_rng(0).standard_normal((2, *x.shape), dtype=np.float32)
    y, tape = layer.forward(x)
    dx, kept = layer.pull(tape, dy)
    for array in (y, dx, *layer.double_backward(tape, kept, ddx)):
        assert np.isfinite(array).all()


def test_numpy_scalars_as_settings_keep_float32():
    x = np.random.default_rng(0).standard_normal((4, 2), dtype=np.float32)
    layer = BatchNorm(2, eps=np.float64(1e-5), momentum=np.float64(0.1))
    y, tape = layer.forward(x)
    dx, kept = layer.pull(tape, y)
    assert {array.dtype for array in (y, layer(x), dx, *layer.double_backward(tape, kept, x))} == {np.dtype("float32")}
    assert PixelNorm(eps=np.float64(1e-8))(x).dtype == np.float32


# ---- bugs that were found elsewhere, planted here --------------------------------------------------------


def batch_of_two_channels(kind):
    rng = np.random.default_rng(0)
    return random_layer(kind(2), rng), rng.standard_normal((5, 2)), rng


def test_an_inverse_deviation_taken_for_a_constant_fails_the_oracle():
    """Second order without the change of r (DeZero): first order is right, and so is ddy."""

    class ConstantDeviation(BatchNorm):
        def double_backward(self, tape, kept, ddx):
            ddy, bend = super().double_backward(tape, kept, ddx)
            xhat, r, _ = tape
            dx, _ = self.pull(tape, kept[0])
            return ddy, bend + r.ravel() * (ddx * xhat).mean(0) * dx

    laws.second_order(*batch_of_two_channels(BatchNorm))
    laws.adjoint_in_x(*batch_of_two_channels(ConstantDeviation))
    with pytest.raises(AssertionError, match="differ by"):
        laws.second_order(*batch_of_two_channels(ConstantDeviation))


def test_a_backward_without_the_variance_path_passes_with_dy_of_ones_only():
    class MeanOnly(BatchNorm):
        backward = Layer.backward

        def pull(self, tape, dy):
            _, r, _ = tape
            return self.gamma.value * r.ravel() * (dy - dy.mean(0)), dy

    wrong, x, rng = batch_of_two_channels(MeanOnly)
    right, _, _ = batch_of_two_channels(BatchNorm)
    ones = np.ones_like(x)
    np.testing.assert_allclose(laws.gradients(wrong, x, ones)[0], laws.gradients(right, x, ones)[0], atol=1e-14)
    with pytest.raises(AssertionError):
        laws.adjoint_in_x(wrong, x, rng)
    laws.adjoint_in_x(right, x, rng)


# ---- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer, shape, message",
    [
        (BatchNorm(3), (4, 2), r"BatchNorm\(3\): x has shape \(4, 2\), wanted \(N, ..., 3\)"),
        (BatchNorm(3), (3,), r"BatchNorm\(3\): x has shape \(3,\), wanted \(N, ..., 3\)"),
        (BatchNorm(3), (1, 3), r"BatchNorm\(3\): x has shape \(1, 3\), wanted 2 numbers per channel or more"),
        (BatchNorm(3), (1, 1, 1, 3), "wanted 2 numbers per channel"),
        (LayerNorm(3), (4, 3, 2), r"LayerNorm\(3\): x has shape \(4, 3, 2\), wanted \(N, ..., 3\)"),
        (GroupNorm(1, 3), (4, 2), r"GroupNorm\(1, 3\): x has shape \(4, 2\)"),
        (InstanceNorm(3), (4, 3), r"InstanceNorm\(3\): x has shape \(4, 3\), wanted \(N, ..., C\) with 2 positions"),
        (InstanceNorm(3), (4, 1, 1, 3), "with 2 positions or more"),
        (PixelNorm(), (3,), r"PixelNorm\(\): x has shape \(3,\), wanted \(N, ..., C\)"),
    ],
)
def test_a_wrong_shape_is_refused_by_name(layer, shape, message):
    before = layer.state()
    with pytest.raises(ValueError, match=message):
        layer.forward(np.zeros(shape, dtype=np.float32))
    for name, array in layer.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_wrong_dtype_is_refused_by_name():
    with pytest.raises(TypeError, match=r"BatchNorm\(3\): x is float64, wanted float32"):
        BatchNorm(3).forward(np.zeros((4, 3)))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GroupNorm(4, 6), "GroupNorm: 4 groups do not divide 6 channels"),
        (lambda: GroupNorm(0, 6), "GroupNorm: 0 groups do not divide 6 channels"),
        (lambda: LayerNorm(3, eps=0), "LayerNorm: eps is 0, wanted a number above 0"),
        (lambda: BatchNorm(3, momentum=1.5), "BatchNorm: momentum is 1.5, wanted a number from 0 to 1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- PyTorch ---------------------------------------------------------------------------------------------


def torch_twin(torch, layer, rank):
    """Return PyTorch's layer with the same settings, for channels second; PixelNorm is written out."""
    nn, index, eps = torch.nn, max(rank - 3, 0), getattr(layer, "eps", None)
    if isinstance(layer, BatchNorm):
        return (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[index](layer.channels)
    if isinstance(layer, InstanceNorm):
        affine = layer.gamma is not None
        return (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[index](layer.channels, affine=affine)
    if isinstance(layer, GroupNorm):
        return nn.GroupNorm(layer.groups, layer.channels)
    if isinstance(layer, LayerNorm):
        last = nn.LayerNorm(layer.channels)
        last.forward = lambda x: nn.LayerNorm.forward(last, x.movedim(1, -1)).movedim(-1, 1)
        return last
    return lambda x: x / torch.sqrt((x**2).mean(1, keepdim=True) + eps)


@pytest.mark.parametrize("train", [True, False], ids=["train", "infer"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchNorm(6), lambda: LayerNorm(6), lambda: GroupNorm(2, 6), lambda: InstanceNorm(6),
        lambda: InstanceNorm(6, affine=False), PixelNorm,
    ],
    ids=["BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "InstanceNorm without gamma", "PixelNorm"],
)  # fmt: skip
def test_agrees_with_pytorch(make, shape, train):
    """y, dx, every grad, and both orders of them, in float64 to 1e-10; and the running statistics."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: this comparison is an extra")
    rng = np.random.default_rng(0)
    layer = random_layer(make(), rng)
    if isinstance(layer, InstanceNorm) and len(shape) == 2:
        with pytest.raises(ValueError, match="2 positions"):
            layer.forward(np.zeros(shape))
        return
    twin = torch_twin(torch, layer, len(shape))
    weights = []
    if isinstance(twin, torch.nn.Module):
        twin.double().train(train)
        names = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"}
        ours = layer.state()
        state = {name: torch.tensor(ours[own]) for name, own in names.items() if own in ours}
        twin.load_state_dict(state, strict=False)
        weights = list(twin.parameters())
    x, dy, ddx = rng.standard_normal((3, *shape))
    there = [torch.tensor(array).movedim(-1, 1).requires_grad_() for array in (x, dy, ddx)]
    y_there = twin(there[0])
    dx_there, *first = torch.autograd.grad(y_there, [there[0], *weights], there[1], create_graph=True)
    second = torch.autograd.grad(
        dx_there, [there[1], there[0], *weights], there[2], allow_unused=True, materialize_grads=True
    )

    y, tape = layer.forward(x, train)
    dx = layer.backward(tape, dy)
    pairs = [(y, y_there), (dx, dx_there)] + [(p.grad.copy(), w) for p, w in zip(layer.params(), first, strict=True)]
    layer.zero_grad()
    ddy, bend = layer.double_backward(tape, layer.pull(tape, dy)[1], ddx)
    pairs += [(ddy, second[0]), (np.zeros(shape) if bend is None else bend, second[1])]
    pairs += [(p.grad, w) for p, w in zip(layer.params(), second[2:], strict=True)]
    if isinstance(layer, BatchNorm):
        pairs += [(layer.running_mean, twin.running_mean), (layer.running_var, twin.running_var)]
    for here, value in pairs:
        laws.close(here, np.moveaxis(value.detach().numpy(), 1, -1) if value.ndim > 1 else value.detach().numpy())
