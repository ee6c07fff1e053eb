"""MADE: no bit hears itself or a later one, q sums to 1, the objective, the draws; and the same of its LSTM."""

import copy
import inspect
import json
import runpy
import sys
import textwrap

import laws
import numpy as np
import pytest
from PIL import Image
from test_examples import PATHS

from scratchgan.data import Batches, cells
from scratchgan.examples.relatives import made
from scratchgan.layers import Dense
from scratchgan.optim import Adam
from scratchgan.param import Param
from scratchgan.weights import Masked, spectral_norm

NETWORKS = {"made": 132, "lstm": 5}  # and a width
each_network = pytest.mark.parametrize("network", NETWORKS)


def start(network="made", **more):
    settings = made.Settings(network=network, **{"width": NETWORKS[network], "batch_size": 32} | more)
    bits = made.MADE.load_data(settings)
    model = made.MADE(settings, bits.shape[1:], np.random.default_rng(0))
    for path, param in model.net.named_params().items():
        if path.endswith("b"):
            param.value[...] = np.random.default_rng(3).normal(0, 0.3, param.value.shape)
    return model, Batches(bits, batch_size=32, rng=np.random.default_rng(1))


# ---- what hears what -------------------------------------------------------------------------------------


def no_bit_hears_itself(network="made"):
    """Logit d does not depend on bit k for k >= d, exactly, and does for every k < d."""
    model, _ = start(network)
    x = np.random.default_rng(0).integers(0, 2, (40, 12)).astype(np.float32)
    logits = model.net(model.heard(x))
    for k in range(12):
        other = x.copy()
        other[:, k] = 1 - other[:, k]
        moved = (model.net(model.heard(other)) != logits).any(axis=0)
        np.testing.assert_array_equal(moved, np.arange(12) > k)


@each_network
def test_no_bit_hears_itself(network):
    no_bit_hears_itself(network)


def test_gradients_at_bits_that_are_not_heard_are_exactly_zero():
    model, _ = start()
    x = np.random.default_rng(0).integers(0, 2, (5, 12)).astype(np.float32)
    _, tape = model.net.forward(model.heard(x))
    for d in range(12):
        dx, _ = model.net.pull(tape, np.repeat(np.eye(12, dtype=np.float32)[d : d + 1], 5, axis=0))
        assert not dx[:, d:].any() and (d == 0 or dx[:, :d].any(axis=0).all())


def weights_that_are_masked_stay_out():
    """After steps of Adam, what is computed has zeros where the mask does, and what is not heard has not moved."""
    model, batches = start()
    before = [layer.W.value.copy() for layer in model.net.layers[::2]]
    for _ in range(3):
        model.step(batches)
    for layer, old in zip(model.net.layers[::2], before, strict=True):
        W = layer.W
        np.testing.assert_array_equal(W.effective(), np.where(W.mask, W.value, 0))
        assert 0.2 < W.mask.mean() < 0.8
        np.testing.assert_array_equal(W.value[~W.mask], old[~W.mask])
        assert (W.value[W.mask] != old[W.mask]).mean() > 0.5


def test_weights_that_are_masked_stay_out():
    weights_that_are_masked_stay_out()


def the_first_bit_has_a_marginal():
    """Nothing is before it: its logit is a bias, which is learned."""
    model, batches = start()
    x = np.random.default_rng(0).integers(0, 2, (9, 12)).astype(np.float32)
    bias = model.net.layers[-1].b
    np.testing.assert_array_equal(model.net(model.heard(x))[:, 0], bias.value[0])
    before = bias.value[0]
    model.step(batches)
    assert bias.value[0] != before


def test_the_first_bit_has_a_marginal():
    the_first_bit_has_a_marginal()


# ---- q, the objective, draws -----------------------------------------------------------------------------


def longhand(net, model, x):
    """-E log q(x): for each bit of each x, by its logit, in a loop."""
    logits, total = net.forward(model.heard(x))[0], 0
    for row, a in zip(x, logits, strict=True):
        for bit, logit in zip(row, a, strict=True):
            p = 1 / (1 + np.exp(-logit))
            total -= np.log(p) if bit == 1 else np.log(1 - p)
    return total / len(x)


@each_network
def test_q_is_a_distribution(network):
    model, _ = start(network)
    q = model.q()
    assert q.dtype == np.float64 and (q > 0).all() and abs(q.sum() - 1) < 1e-12
    net = copy.deepcopy(model.net).astype(np.float64)
    for cell in (0, 1, 77, 4095):
        x = cells.bits(np.array([cell])).astype(np.float64)
        assert -np.log(q[cell]) == pytest.approx(longhand(net, model, x), rel=1e-12)


def follows_the_formula(network="made"):
    """The loss and the gradient handed to the optimizer are the formula's, by a complex step, in float64."""
    model, batches = start(network)
    x = batches.next().astype(np.float64)
    net = model.net = copy.deepcopy(model.net).astype(np.float64)
    model.optimizer = Adam(net.params(), 1e-3)
    model.optimizer.step = lambda: None
    batches.next = lambda: x
    loss = float(model.step(batches)["-log q"])
    assert loss == pytest.approx(longhand(net, model, x), rel=1e-10)
    rng = np.random.default_rng(2)
    for _ in range(3):
        twin, expected = copy.deepcopy(net).astype(np.complex128), 0
        for param, moved in zip(net.params(), twin.params(), strict=True):
            v = rng.standard_normal(param.value.shape)
            moved.value[...] += 1e-20j * v
            expected += (param.grad * v).sum()
        found = longhand(twin, model, x.astype(complex)).imag / 1e-20
        assert abs(found - expected) < 1e-10 * max(abs(expected), 1)


@each_network
def test_a_step_follows_the_formula(network):
    follows_the_formula(network)


def drawn_one_after_the_other(network="made"):
    """Each bit is drawn with what the network says after those before it."""
    model, _ = start(network)
    z = model.latent(300, np.random.default_rng(0))
    x = model.generate(z)
    assert z.shape == x.shape == (300, 12) and set(np.unique(x)) == {0, 1}
    p = 1 / (1 + np.exp(-model.net(model.heard(x))))
    sure = np.abs(p - z) > 1e-5
    np.testing.assert_array_equal(x[sure], (z < p)[sure])


@each_network
def test_bits_are_drawn_one_after_the_other(network):
    drawn_one_after_the_other(network)


# ---- bugs, planted: for each, a test above must fail -----------------------------------------------------

BUGS = {
    "an output hears itself": (made, "made", "m[:, None] < bit", "m[:, None] <= bit", no_bit_hears_itself),
    "a hidden unit hears less": (made, "made", "bit[:, None] <= m", "bit[:, None] < m", no_bit_hears_itself),
    "a hidden unit hears what comes": (made, "made", "m[:, None] <= m)", "m[:, None] >= m)", no_bit_hears_itself),
    "a mask transposed": (made, "made", "bit[:, None] <= m", "(m[:, None] >= bit).reshape(12, -1)",
                          no_bit_hears_itself),
    "no bias": (made, "made", "Dense(width, BITS, rng=rng)", "Dense(width, BITS, rng=rng, bias=False)",
                the_first_bit_has_a_marginal),
    "the mean over bits": (made.MADE, "step", "BITS * d_logits", "d_logits", follows_the_formula),
    "a sample hears all bits at once": (made.MADE, "generate", "self.heard(x)", "self.heard(z)",
                                        drawn_one_after_the_other),
    "u the other way round": (made.MADE, "generate", "z[:, d] < p", "z[:, d] > p", drawn_one_after_the_other),
    "the LSTM hears the bit that it tells": (made.MADE, "heard", "signs[:, :-1]], axis=1", "signs], axis=1",
                                             lambda: no_bit_hears_itself("lstm")),
    "the mask is not in the weight": (Masked, "effective", "self.value * self.mask", "self.value",
                                      no_bit_hears_itself),
    "the mask is not in the gradient": (Masked, "accumulate", "gradient * self.mask", "gradient",
                                        weights_that_are_masked_stay_out),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    owner, name, right, wrong, test = BUGS[bug]
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(right) == 1
    found = {}
    exec(source.replace(right, wrong), vars(made), found)
    monkeypatch.setattr(owner, name, found[name])
    with pytest.raises((AssertionError, IndexError, AttributeError, ValueError)):
        test()


def test_a_gradient_without_its_mask_breaks_the_law():
    rng = np.random.default_rng(0)
    layer = Dense(4, 3, rng=rng).astype(np.float64)
    layer.W = Masked(layer.W, rng.integers(0, 2, (4, 3)))
    laws.adjoint_in_params(layer, rng.standard_normal((5, 4)), rng)
    layer.W.accumulate = lambda gradient: Param.accumulate(layer.W, gradient)
    with pytest.raises(AssertionError):
        laws.adjoint_in_params(layer, rng.standard_normal((5, 4)), rng)


def test_a_mask_of_another_shape_is_refused():
    layer = Dense(4, 3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"the mask has shape \(3, 4\), wanted that of W, \(4, 3\)"):
        Masked(layer.W, np.ones((3, 4)))
    layer.W = Masked(layer.W, np.ones((4, 3)))
    with pytest.raises(ValueError, match="W is a Masked already"):
        Masked(layer.W, np.ones((4, 3)))
    held = Dense(4, 3, rng=np.random.default_rng(0))
    Adam(held.params(), 1e-3)
    with pytest.raises(ValueError, match="W belongs to an optimizer"):
        Masked(held.W, np.ones((4, 3)))
    with pytest.raises(ValueError, match="is a Masked already"):
        spectral_norm(layer, rng=np.random.default_rng(0))


# ---- as a user would -------------------------------------------------------------------------------------


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(PATHS["made"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["made"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--width", 6, "--threads", 1)
    assert call(monkeypatch, "--network", "lstm", "--steps", 3, "--out", "run", *small) == 0
    assert Image.open(tmp_path / "run" / "samples.png").size == (3 * 194 + 2, 196)
    assert call(monkeypatch, "evaluate", "run") == 0
    assert "independent bits" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert metrics.keys() == {"KL(p, q)", "KL(q, p)", "JS", "TV"}
    assert set(metrics["JS"]) == {"value", "floor", "uniform", "counts + 1/2", "independent bits"}
    assert call(monkeypatch, "interpolate", "run") == 2
    assert "has none: use sample" in capsys.readouterr().err
    assert call(monkeypatch, "--network", "nade") == 2
    assert "must be one of made, lstm" in capsys.readouterr().err
