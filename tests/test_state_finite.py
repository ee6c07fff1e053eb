"""Constants and integers of layers stay what they are; numbers that no training can have are refused."""

import numpy as np
import pytest
from training_small import Small, build, demand_exact
from training_tiny import Settings, Tiny

from scratchgan import training, xp
from scratchgan.layers import Dense, Flatten, Layer, Sequential, Softmax
from scratchgan.optim import EMA, Adam
from scratchgan.support.errors import TrainingError
from scratchgan.tools.pytorch import to_torch
from scratchgan.tools.strict import strict_xp
from scratchgan.training import checkpoint
from scratchgan.training.state import first_not_finite


class Masked(Layer):
    """Scores of a softmax, some of which are ruled out by -inf; with an index, flags and a count, all constants."""

    def __init__(self, size):
        self.mask = np.where(np.arange(size) < size - 1, 0, -np.inf).astype("float32")
        self.index, self.flags = np.arange(size)[::-1].copy(), np.arange(size) % 2 == 0
        self.inside = {"counts": [np.arange(size, dtype="uint8")]}

    def __repr__(self):
        return "Masked()"

    def forward(self, x, train=True):
        scores = x[:, self.index] * self.flags + self.mask
        p = np.exp(scores - scores.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True), p / p.sum(1, keepdims=True)

    def pull(self, p, dy):
        dx = np.zeros_like(p)
        dx[:, self.index] = p * (dy - (p * dy).sum(1, keepdims=True)) * self.flags
        return dx, None


class Softmaxed(Small):
    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.D.layers[5].mask = Masked(4)  # in a layer, and in the average of it
        self.average = EMA(self.D, 0.9)


def masked(model):
    return model.D.layers[5].mask


def test_a_constant_of_infinities_is_no_weight(tmp_path):
    demand_exact(lambda model: None, tmp_path, Softmaxed)
    model = build(Softmaxed)
    state = model.state()
    assert np.isinf(state["D/5.mask.mask"]).any() and first_not_finite(state, model.as_built) is None
    for place, value in ((0, np.nan), (0, np.inf), (3, np.nan)):  # where none was, and where -inf was
        other = {name: array.copy() for name, array in state.items()}
        other["D/5.mask.mask"][place] = value
        assert first_not_finite(other, model.as_built) == "D/5.mask.mask"
        with pytest.raises(ValueError, match=r"D/5\.mask\.mask holds a NaN or an infinity"):
            model.load_state(other)


class RuleOut(Layer):
    """y = x + mask: what goes on from here is -inf in places."""

    def __init__(self):
        self.mask = np.array([0, 0, 0, -np.inf], "float32")

    def forward(self, x, train=True):
        return x + self.mask, None

    def pull(self, tape, dy):
        return dy, None


def test_it_is_not_blamed_for_a_nan_of_another_layer(tmp_path):
    class Attending(Tiny):
        def __init__(self, settings, shape, rng):
            super().__init__(settings, shape, rng)
            poison = self.D.layers[4]
            self.D = Sequential(Flatten(), Dense(64, 4, rng=rng), RuleOut(), Softmax(), poison, Dense(4, 1, rng=rng))
            self.opt_D = Adam(self.D.params(), settings.lr)

    with pytest.raises(TrainingError, match=r"step 5: the output of D\.4 Poison\(\) in forward"):
        training.train(Attending, Settings(steps=8, poison=5, log_every=3, out=str(tmp_path / "run")))
    training.train(Attending, Settings(steps=8, out=str(tmp_path / "whole")))


def test_integers_and_flags_of_a_layer_stay_what_they_are(tmp_path):
    wanted = {"index": "int64", "flags": "bool", "inside.counts.0": "uint8"}
    layer = Masked(4)
    before = layer.state()
    layer.astype("float64")
    averaged = EMA(Sequential(Dense(2, 4, rng=np.random.default_rng(0)), layer), 0.5)
    layer.index[:] = [2, 0, 1, 3]
    averaged.update()
    checkpoint.save(tmp_path / "a.npz", averaged.state(), {})
    averaged.load_state(checkpoint.load(tmp_path / "a.npz")[0])
    for name, dtype in wanted.items():
        for arrays in (layer.state(), averaged.net.layers[1].state()):
            assert arrays[name].dtype == dtype and np.array_equal(arrays[name], layer.state()[name]), name
        with pytest.raises(ValueError, match=rf"{name} is {dtype} in this network and float32 in the state"):
            layer.load_state(before | {name: before[name].astype("float32")})
    with xp.using(strict_xp):
        assert {name: str(xp.to_device(before[name]).dtype) for name in wanted} == wanted
    with pytest.raises(ValueError, match=r"1\.mask of Masked\(\) has no counterpart in PyTorch"):
        to_torch(averaged.net)


def in_state(name, place, value):
    return lambda state: state[name].__setitem__(place, value)


DAMAGED = {
    "a weight": (in_state("D/0.W", (0, 0), np.nan), "D/0.W holds a NaN"),
    "a running variance": (in_state("D/1.running_var", 0, np.inf), "D/1.running_var holds"),
    "an average": (in_state("average/6.b", 0, np.nan), "average/6.b holds"),
    "an optimizer": (in_state("opt_D/square", 3, np.nan), "opt_D/square holds"),
    "one in a list": (in_state("nets/two/0/W", (0, 0), -np.inf), "nets/two/0/W holds"),
    "steps below 0": (lambda state: state.update({"opt_D/steps": np.array(-1)}), "no optimizer has taken -1 steps"),
    "steps without end": (lambda state: state.update({"opt_D/steps": np.array(2**60)}), "has taken 115292150460684697"),
    "half a step": (lambda state: state.update({"opts/0/steps": np.array(0.5)}), "opts/0/steps is int64 here, float64"),
}  # fmt: skip


@pytest.mark.parametrize("damage, message", DAMAGED.values(), ids=DAMAGED.keys())
def test_numbers_that_no_training_can_have_are_not_taken_over(damage, message):
    model = build()
    model.step(lambda model: None)
    state, other = model.state(), build()
    before = other.state()
    damage(state)
    with pytest.raises(ValueError, match=message) as error:
        other.load_state(state)
    after = other.state()
    assert "\n" not in str(error.value) and all(np.array_equal(before[name], after[name]) for name in before)


def test_commands_refuse_weights_that_are_not_finite(tmp_path, capsys):
    """In place of drawing black pictures."""
    run = tmp_path / "run"
    training.train(Tiny, Settings(steps=2, out=str(run)))
    arrays, meta = checkpoint.load(run / "checkpoint.npz")
    arrays["model/G/0.W"][0, 0] = np.nan
    checkpoint.save(run / "checkpoint.npz", arrays, meta)
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    for command in (["sample", str(run)], ["interpolate", str(run)], ["--resume", str(run), "--steps", "4"]):
        with pytest.raises(SystemExit) as end:
            training.main(Tiny, Settings, command)
        message = capsys.readouterr().err
        assert end.value.code == 2 and str(run) in message
        assert "G/0.W holds a NaN or an infinity: use an older" in message and message.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*.*")} == before
