"""compare and sweep: layers of others against ours, right ones and wrong ones."""

import numpy as np
import pytest

from scratchgan import layers
from scratchgan.gradcheck import AGREE, UNRESOLVED, WRONG, compare, sweep
from scratchgan.support.errors import SettingsError, UserError
from scratchgan.vectors import references

rng = np.random.default_rng(0)


@pytest.mark.parametrize("name", sorted(set(references.LAYERS) - {"pad_reflect", "upsample_bilinear"}))
def test_our_own_layers_agree_with_themselves(name):
    outcome = sweep(type(references.cases(name)[0].layer), like=name)
    assert outcome.ok and len(outcome.reports) == len(references.cases(name)), str(outcome)
    outcome = compare(references.cases(name)[0].layer, name)
    assert outcome.ok, str(outcome)


class First:
    """A convolution with channels first and PyTorch's weights, on top of ours; `bug` spoils one step of it."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bug=None):
        self.own = layers.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding,
                                 dilation=dilation, groups=groups, rng=rng)  # fmt: skip
        self.weight, self.bias, self.bug = self.own.W.value.transpose(3, 2, 0, 1).copy(), self.own.b.value.copy(), bug

    def forward(self, x):
        self.own.astype(x.dtype)
        self.own.W.value[...] = self.weight.transpose(2, 3, 1, 0)
        self.own.b.value[...] = self.bias
        self.own.zero_grad()
        y, self.tape = self.own.forward(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
        if self.bug == "raises" and self.own.stride[0] > 1:
            raise ValueError("no stride, please")
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2)) * (2 if self.bug == "y" else 1)

    def backward(self, dy):
        dx = self.own.backward(self.tape, np.ascontiguousarray(dy.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
        self.weight_grad, self.bias_grad = self.own.W.grad.transpose(3, 2, 0, 1), self.own.b.grad.copy()
        if self.bug == "mean":
            self.weight_grad = self.weight_grad / len(dy)
        if self.bug == "flipped":
            self.weight_grad = self.weight_grad[:, :, ::-1, ::-1]
        if self.bug == "shape":
            self.bias_grad = self.bias_grad[None]
        if self.bug == "tail" and self.own.stride[0] > 1:
            dx = dx.copy()
            dx[:, :, -1] = 0
        if self.bug == "crash":
            raise IndexError("out of range")
        if self.bug == "modifies":
            dy *= 0
        return dx



def test_channels_first_agrees_in_every_case():
    outcome = sweep(First, like="conv2d")
    assert outcome.ok and len(outcome.reports) == 15, str(outcome)
    assert outcome.notes == ["data channels-first, weights channels-first"]
    assert compare(First(2, 3, (3, 2), stride=2, padding=1), "conv2d", stride=2, padding=1).ok
    outcome.assert_ok()


@pytest.mark.parametrize(
    ("bug", "name", "kind"),
    [("mean", "dW", "scale"), ("flipped", "dW", "flipped"), ("tail", "dx", None), ("y", "y", None)],
)
def test_a_bug_is_wrong_where_it_is(bug, name, kind):
    make = lambda in_channels, out_channels, kernel, stride=1, padding=0: First(
        in_channels, out_channels, kernel, stride, padding, bug=bug
    )
    outcome = sweep(make, like="conv2d")
    assert outcome.overall == WRONG and [n for n, keys in outcome.wrong().items() if keys] == [name], str(outcome)
    if kind:
        assert kind in [cause.kind for cause in outcome.causes[:2]], outcome.causes
    if bug == "tail":
        assert set(outcome.wrong()["dx"]) <= {f"{c}/float64" for c in ("stride", "stride_tail", "stride_above_kernel")}
    with pytest.raises(AssertionError, match="WRONG: conv2d"):
        outcome.assert_ok()


def test_what_raises_is_said():
    with pytest.raises(UserError, match="no case of conv2d: could not run case: (.* or )?IndexError: out of range"):
        compare(First(2, 3, 3, bug="crash"), "conv2d")
    first = lambda bug: lambda in_channels, out_channels, kernel, stride=1: First(
        in_channels, out_channels, kernel, stride, bug=bug
    )
    refuses = sweep(first("raises"), like="conv2d")
    assert refuses.overall == UNRESOLVED
    assert "could not run stride: ValueError: no stride, please" in refuses.notes
    assert any(note.startswith("left out: padding (padding cannot be set)") for note in refuses.notes)
    shape = compare(First(2, 3, 3, bug="shape"), "conv2d")
    assert shape.overall == WRONG and "the gradient of bias has shape (1, 3), wanted (3,)" in shape.findings
    assert "backward modifies dy" in compare(First(2, 3, 3, bug="modifies"), "conv2d").findings


class Dense32:
    """A dense layer without a bias that computes in float32 whatever it is given."""

    def __init__(self, n_in, n_out):
        self.w = rng.standard_normal((n_in, n_out)).astype("float32")

    def forward(self, x):
        self.x = x.astype("float32")
        return self.x @ self.w.astype("float32")

    def backward(self, dy):
        self.dw = self.x.T @ dy.astype("float32")
        return dy.astype("float32") @ self.w.astype("float32").T


def test_float32_code_without_a_bias_agrees_within_its_rounding():
    outcome = sweep(Dense32, like="dense")
    assert {key.split("/")[1] for key in outcome.reports} == {"float32"}
    assert outcome.notes[1].startswith("not checked: b (")
    assert all(set(report.verdict.values()) == {AGREE} for report in outcome.reports.values()), str(outcome)


class Norm:
    """Batch normalisation of vectors, without its path through the variance."""

    def __init__(self, num_features, eps=1e-5):
        self.gamma, self.beta, self.eps = np.ones(num_features), np.zeros(num_features), eps

    def forward(self, x):
        axes = tuple(range(x.ndim - 1))
        self.axes, self.std = axes, np.sqrt(x.var(axes) + self.eps)
        self.h = (x - x.mean(axes)) / self.std
        return self.gamma * self.h + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.h).sum(self.axes), dy.sum(self.axes)
        d = dy * self.gamma
        return (d - d.mean(self.axes)) / self.std


def test_a_norm_without_its_variance_path_is_named():
    outcome = sweep(Norm, like="batch_norm")
    assert outcome.wrong()["dgamma"] == [] and len(outcome.wrong()["dx"]) >= 8
    path = "self.h * (dy * self.gamma * self.h).mean(0"  # in a line, where there was time to find it
    assert any(cause.kind == "variance-path" or path in cause.text for cause in outcome.causes[:2]), outcome.causes


def test_what_cannot_be_compared_says_so():
    with pytest.raises(SettingsError, match="did you mean conv2d?"):
        compare(Norm(3), "conv2")
    with pytest.raises(TypeError, match="give its settings"):
        compare(object(), "conv2d")


class Deep:
    """A dense layer whose y has an axis too many."""

    def __init__(self, in_features, out_features):
        self.W, self.b = rng.standard_normal((in_features, out_features)), np.zeros(out_features)

    def forward(self, x):
        self.x = x
        return (x @ self.W + self.b)[..., None]

    def backward(self, dy):
        dy = dy.reshape(*self.x.shape[:-1], -1)
        self.dW = self.x.reshape(-1, self.x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
        self.db = dy.reshape(-1, dy.shape[-1]).sum(0)
        return dy @ self.W.T


def test_a_wrong_shape_of_y_is_said():
    outcome = sweep(Deep, like="dense")
    assert not outcome.ok
    for report in outcome.reports.values():
        assert any(text.startswith("y has shape") for text in report.findings), str(report)
