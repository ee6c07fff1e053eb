"""Layers in lists and dictionaries, in a layer or in a model: they are trained, saved, resumed, looked at, exported."""

import numpy as np
import pytest
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.layers import Dense, Dropout, Flatten, Layer, LeakyReLU, Sequential
from scratchgan.optim import EMA, Adam
from scratchgan.support.errors import TrainingError
from scratchgan.tools.look import count
from scratchgan.tools.pytorch import from_torch, to_torch
from scratchgan.training import checkpoint


class Chain:
    """An object that is no layer, and holds some."""

    def __init__(self, layers):
        self.layers = layers


class Nested(Layer):
    """y = f_n(... f_1(x)), with the layers wherever somebody might keep them: a chain written out by hand."""

    def __init__(self, where, layers):
        keep = {
            "list": lambda: {"blocks": layers},
            "tuple": lambda: {"blocks": tuple(layers)},
            "dictionary": lambda: {"blocks": {"first": layers[:2], "rest": layers[2:]}},
            "list of lists": lambda: {"blocks": [layers[:1], [layers[1:]]]},
            "object": lambda: {"blocks": Chain({"all": layers})},
        }
        vars(self).update(keep[where]())
        self.order = [path for path, layer in self.named_layers() if path]

    def chain(self):
        layers = dict(self.named_layers())
        return [layers[path] for path in self.order]

    def forward(self, x, train=True):
        tapes = []
        for layer in self.chain():
            x, tape = layer.forward(x, train)
            tapes.append(tape)
        return x, tapes

    def pull(self, tapes, dy):
        for layer, tape in zip(reversed(self.chain()), reversed(tapes), strict=True):
            dy, _ = layer.pull(tape, dy)
        return dy, None

    def accumulate(self, tapes, dy):
        for layer, tape in zip(reversed(self.chain()), reversed(tapes), strict=True):
            dy = layer.backward(tape, dy)


WHERE = ["list", "tuple", "dictionary", "list of lists", "object"]


def layers(rng, pixels=64):
    return [Flatten(), Dense(pixels, 16, rng=rng), LeakyReLU(), Dropout(0.3, rng=rng), Dense(16, 1, rng=rng)]


def model_of(where):
    class Kept(Tiny):
        def __init__(self, settings, shape, rng):
            super().__init__(settings, shape, rng)
            # Tiny's step writes to the bias of the last layer.
            self.D = Sequential(Nested(where, layers(rng)), Dense(1, 1, rng=rng))
            self.opt_D = Adam(self.D.params(), settings.lr)

    return Kept


def train(path, Model, **changes):
    return training.train(Model, Settings(**({"steps": 6, "out": str(path), "sample_every": 100} | changes)))


@pytest.mark.parametrize("where", WHERE)
def test_trained_saved_and_resumed(tmp_path, where):
    Model = model_of(where)
    whole, start = train(tmp_path / "whole", Model), Model(Settings(), (8, 8, 1), np.random.default_rng([0, 0]))
    before, after = start.D.named_params(), whole.D.named_params()
    assert len(after) == 6 and all(path in f"0.blocks.{path}" for path in after)
    for path, param in after.items():
        assert not np.array_equal(param.value, before[path].value), f"{path} has not moved"
    arrays, _ = checkpoint.load(tmp_path / "whole" / "checkpoint.npz")
    assert {f"model/D/{path}" for path in after} <= arrays.keys()
    assert sum(name.startswith("model/D/") and name.endswith(".rng") for name in arrays) == 1  # of the Dropout
    train(tmp_path / "parts", Model, steps=3)
    training.main(Model, Settings, ["--resume", str(tmp_path / "parts"), "--steps", "6"])
    again, _ = checkpoint.load(tmp_path / "parts" / "checkpoint.npz")
    assert again.keys() == arrays.keys() and all(np.array_equal(again[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("where", WHERE)
def test_a_nan_is_found_in_them(tmp_path, where):
    class Poisoned(model_of(where)):
        def step(self, batches):
            if self.taken == 2:
                self.D.params()[0].value[0, 0] = np.nan
            return super().step(batches)

    with pytest.raises(TrainingError, match=r"step 3: the output of D\.0\.blocks\.[\w.]+ Dense\(64, 16\) in forward"):
        train(tmp_path / "run", Poisoned)


@pytest.mark.parametrize("where", WHERE)
def test_exported(where):
    net, other = (Nested(where, layers(np.random.default_rng(seed), 4)[1:]) for seed in (0, 1))
    state = to_torch(net)
    assert len(state) == 4 and all(name.startswith("blocks.") for name in state)
    from_torch(other, state)
    x = np.ones((2, 4), np.float32)
    assert np.array_equal(other(x), net(x))


@pytest.mark.parametrize("where", WHERE)
def test_moved_averaged_and_summarised(where):
    net = Sequential(Nested(where, layers(np.random.default_rng(0), 4)))
    assert {param.value.dtype for param in net.astype("float64").params()} == {np.dtype("float64")}
    average = EMA(net, 0.5)
    before = {path: param.value.copy() for path, param in net.named_params().items()}
    for param in net.params():
        param.value += 1
    average.update()
    for path, param in average.net.named_params().items():
        np.testing.assert_allclose(param.value, before[path] + 0.5, err_msg=path)
    assert [row.parameters for row in count(net, (2, 4))] == [sum(value.size for value in before.values())]
    assert len(before) == 4


@pytest.mark.parametrize("where", WHERE)
def test_numbers_in_them_are_resumed(tmp_path, where):
    class Changing(model_of(where)):
        def step(self, batches):
            if self.taken < 3:
                dropout = next(layer for _, layer in self.D.named_layers() if isinstance(layer, Dropout))
                dropout.rate *= 0.5
            return super().step(batches)

    train(tmp_path / "whole", Changing)
    train(tmp_path / "parts", Changing, steps=4)
    training.main(Changing, Settings, ["--resume", str(tmp_path / "parts"), "--steps", "6"])
    whole, again = (checkpoint.load(tmp_path / name / "checkpoint.npz")[0] for name in ("whole", "parts"))
    assert again.keys() == whole.keys() and all(np.array_equal(again[name], whole[name]) for name in whole)


def test_networks_in_lists_and_dictionaries_of_a_model(tmp_path):
    class Several(Tiny):
        def __init__(self, settings, shape, rng):
            super().__init__(settings, shape, rng)
            self.critics = {"small": [self.D], "others": [Sequential(Dense(2, 2, rng=rng))]}

    train(tmp_path / "run", Several)
    names = checkpoint.load(tmp_path / "run" / "checkpoint.npz")[0]
    assert {"model/D/1.W", "model/critics/small/0/1.W", "model/critics/others/0/0.W"} <= names.keys()
