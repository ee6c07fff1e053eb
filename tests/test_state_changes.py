"""Numbers that a user changes while a model is trained: they are in the checkpoint, or refused by name."""

import collections
import copy
import json
import random

import numpy as np
import pytest
from training_small import (
    Hyper,
    Mode,
    Scaled,
    Schedule,
    Small,
    Weighted,
    build,
    but_once,
    demand_exact,
    in_tuple,
    layer,
    setting,
    unchanged,
)
from training_tiny import Settings, Tiny

from scratchgan import optim, training, walk
from scratchgan.data import Batches
from scratchgan.optim import SGD, Adam, RMSprop
from scratchgan.support.errors import CheckpointError
from scratchgan.training import checkpoint, loop
from scratchgan.training.model import CHANGES

half = lambda value: 0.5 * value
opt_D = lambda model: model.opt_D
NUMBERS = {
    "lr": setting(opt_D, "lr", half),
    "lr becomes NumPy's": setting(opt_D, "lr", lambda lr: np.float64(lr) / 3),
    "betas": setting(opt_D, "betas", in_tuple),
    "eps": setting(opt_D, "eps", lambda eps: eps + 1e-3),
    "weight_decay": setting(opt_D, "weight_decay", lambda decay: 0.3),
    "momentum": setting(lambda model: model.opts[0], "momentum", half),
    "nesterov": setting(lambda model: model.opts[0], "nesterov", lambda _: True),
    "decay": setting(lambda model: model.average, "decay", half),
    "clip": setting(lambda model: model.clip, "largest", half),
    "std": setting(lambda model: model.D.layers[3], "std", half),
    "rate": setting(lambda model: model.D.layers[4], "rate", half),
    "slope": setting(lambda model: model.D.layers[2], "slope", half),
    "BatchNorm's momentum": setting(lambda model: model.D.layers[1], "momentum", half),
    "BatchNorm's eps": setting(lambda model: model.D.layers[1], "eps", lambda eps: 2 * eps + 0.1),
    "scale": setting(layer, "scale", half),
    "loss.weight": setting(lambda model: layer(model).loss, "weight", half),
    "deep": setting(lambda model: layer(model).loss.inner[0], "weight", half),
    "tuple": setting(layer, "pair", in_tuple),
    "dictionary": lambda model: layer(model).table.update(a=7.0),
    "dictionary grows": lambda model: layer(model).table.update(b=7.0),
    "list among others": lambda model: layer(model).mixed.__setitem__(0, 9.0),
    "object in a list": setting(lambda model: layer(model).mixed[1], "weight", half),
    "object in a tuple": setting(lambda model: layer(model).fixed[1], "weight", half),
    "history": lambda model: layer(model).history.append(1.0),
    "text": setting(layer, "name", lambda name: name + "er"),
    "flag": setting(layer, "on", lambda _: True),
    "None to number": setting(layer, "maybe", lambda _: 30.0),
    "NumPy number": setting(layer, "number", lambda number: np.float32(number * 3)),
    "new": setting(layer, "late", lambda _: 40.0),
    "in a list of a model": setting(lambda model: model.opts[0], "lr", half),
    "average's own": setting(lambda model: model.average.net.layers[5], "scale", half),
}  # fmt: skip


@pytest.mark.parametrize("name, change", NUMBERS.items(), ids=NUMBERS.keys())
def test_a_number_that_a_step_changed_is_there_after_a_resume(tmp_path, name, change):
    whole = demand_exact(but_once(change), tmp_path)
    differ = {name for name, array in whole.items() if not np.array_equal(array, unchanged()[name])}
    assert CHANGES in differ and (len(differ) > 1 or name == "average's own")  # which only generate would use


def test_every_kind_of_optimizer_and_schedule(tmp_path):
    class Decay(Small):
        make = {"opt_D": RMSprop}

    demand_exact(but_once(setting(opt_D, "decay", half)), tmp_path, Decay)

    class Object(Small):
        make = {"opt_D": lambda params, lr: Adam(params, Schedule(lr))}

    demand_exact(but_once(setting(lambda model: model.opt_D.lr, "lr", half)), tmp_path, Object)

    class Method(Small):
        make = {"opt_D": lambda params, lr: Adam(params, Schedule(lr).rate)}

    demand_exact(but_once(setting(lambda model: model.opt_D.lr.__self__, "lr", half)), tmp_path, Method)

    class Held(Small):
        """The schedule is in the model alone, and nothing but its method."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.rate = Schedule(0.1).rate

        def step(self, change):
            self.opt_D.lr = self.rate(self.taken)
            super().step(change)

    demand_exact(lambda model: None, tmp_path, Held)

    class Function(Small):
        make = {"opt_D": lambda params, lr: Adam(params, optim.cosine(lr, 6))}

    demand_exact(but_once(setting(opt_D, "lr", lambda _: 0.5)), tmp_path, Function)  # a number for a function


def test_only_what_differs_is_written_and_as_what():
    model = build()
    assert json.loads(str(model.state()[CHANGES])) == {}
    model.opt_D.lr, layer(model).loss.inner[0].weight = 0.5, np.float32(2)
    model.step(lambda model: None)
    assert json.loads(str(model.state()[CHANGES])) == {
        "opt_D/lr": {"built": ["number", 2e-4], "now": ["number", 0.5]},
        "D/5.loss.inner.0.weight": {"built": ["number", 2.0], "now": ["number", {"numpy": ["float32", 2.0]}]},
    }


def test_what_is_known_of_a_model_is_no_part_of_it():
    model = build()
    assert {path for path, _ in loop.networks(model)} == {"D", "nets.two.0"}
    assert not any(path.startswith("as_built.") for path, _ in walk.find(vars(model), lambda part: True))


def test_an_option_that_is_given_anew_wins_and_is_told(tmp_path, capsys):
    def change(model):
        model.opt_D.lr *= 0.5
        layer(model).scale = 3.0

    path = tmp_path / "a.npz"
    model = build(lr=0.1)
    model.step(change)
    checkpoint.save(path, model.state(), {})
    same, other = build(lr=0.1), build(lr=0.3)
    same.load_state(checkpoint.load(path)[0])
    assert same.opt_D.lr == 0.05 and layer(same).scale == 3.0 and capsys.readouterr().out == ""
    other.load_state(checkpoint.load(path)[0])
    assert other.opt_D.lr == 0.3 and layer(other).scale == 3.0
    assert capsys.readouterr().out == "opt_D.lr: 0.3 as given now, not 0.05 to which the run had changed it\n"
    other.step(change)  # and from here on it is the run's own
    checkpoint.save(path, other.state(), {})
    again = build(lr=0.3)
    again.load_state(checkpoint.load(path)[0])
    assert again.opt_D.lr == 0.15 and capsys.readouterr().out == ""


def test_going_back_to_an_earlier_state_takes_every_number_back():
    """As where the loop looks for the cause of a NaN."""
    model = build()
    model.step(lambda model: None)
    before = model.state()
    for change in NUMBERS.values():
        model.step(change)
    model.load_state(before)
    again = model.state()
    assert all(np.array_equal(before[name], again[name]) for name in before) and "late" not in vars(layer(model))


def test_without_what_it_was_built_with_a_state_holds_every_number():
    """A program may use a model without the loop."""
    model, other = (Small(training.Settings(), (3,), np.random.default_rng(seed)) for seed in (0, 1))
    for change in NUMBERS.values():
        model.step(change)
    other.load_state(model.state())
    assert other.opt_D.lr == model.opt_D.lr and layer(other).late == 40.0
    for each in (model, other):
        each.step(lambda model: None)
    assert all(np.array_equal(array, other.state()[name]) for name, array in model.state().items())


def test_a_checkpoint_of_before_is_still_loaded():
    model = build()
    for _ in range(3):
        model.step(lambda model: setattr(model, "k", np.float32(3)))
    state = {name: array for name, array in model.state().items() if name != CHANGES}
    other = build()
    other.load_state(state)
    assert type(other.k) is np.float32
    assert all(np.array_equal(array, other.state()[name]) for name, array in state.items())


class Own(list):
    """A list of a user's own."""


class Pushed(Adam):
    """An optimizer with all that its state() does not give."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.u, self.rng, self.pair, self.lr = np.zeros(3), np.random.default_rng(3), (np.zeros(2), 1), Swinging(lr)
        self.deque, self.set, self.own = collections.deque([1], 3), {1}, Own([1])
        self.random, self.old = random.Random(0), np.random.RandomState(0)
        self.fixed = np.broadcast_to(np.ones(1), 3)

    def update(self, lr, w, g, *memory):
        self.u += 1
        self.u = self.u * 1.5 + self.rng.random()  # in its place, too
        self.pair[0][1] += self.u.sum()
        super().update(lr * (1 + 1e-3 * float(self.pair[0][1])), w, g, *memory)


class Swinging(Schedule):
    """A schedule with a buffer."""

    def __init__(self, lr):
        super().__init__(lr)
        self.buffer = np.ones(2, "float32")

    def __call__(self, step):
        self.buffer[step % 2] *= 0.75
        return self.lr * float(self.buffer.sum())


class Loose(Small):
    make = {"opt_D": Pushed}

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.frozen = np.zeros(2)
        self.frozen.flags.writeable = self.D.layers[5].buffer.flags.writeable = False


def replace_frozen(model):
    for holder, name in ((model, "frozen"), (layer(model), "buffer"), (model.opt_D, "fixed")):
        new = getattr(holder, name) + np.float32(1)
        new.flags.writeable = False
        setattr(holder, name, new)


def test_arrays_and_generators_that_no_state_gives_are_kept(tmp_path):
    for change in (lambda model: None, replace_frozen):
        whole = demand_exact(but_once(change), tmp_path, Loose)
    names = {name for name in whole if name.startswith("opt_D/")} - {"opt_D/steps", "opt_D/mean", "opt_D/square"}
    assert names == {f"opt_D/{name}" for name in ("u", "rng", "pair.0", "lr.buffer", "fixed")}  # and none twice
    model = build(Loose)
    before = model.state()
    model.step(lambda model: None)
    model.load_state(before)
    assert all(np.array_equal(before[name], array) for name, array in model.state().items())


def test_a_thing_that_a_state_gives_under_its_name_may_change(tmp_path):
    class Seen:
        def __init__(self):
            self.seen = collections.deque([0.0] * 3, 3)

        def state(self):
            return {"seen": np.array(self.seen)}

        def load_state(self, state):
            self.seen.extend(state["seen"].tolist())

    class Seeing(Small):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.seen = Seen()

        def step(self, change):
            self.seen.seen.append(self.k)
            self.k = sum(self.seen.seen) + 1.0
            super().step(change)

    demand_exact(lambda model: None, tmp_path, Seeing)


REFUSED = {
    "a function for a number": (setting(opt_D, "lr", lambda _: optim.cosine(1e-3, 10)), "opt_D.lr became a function"),
    "another function": (setting(layer, "function", lambda _: max), r"D.5.function became another function"),
    "another text of a function": (setting(layer, "function", lambda _: lambda: 1), "D.5.function became"),
    "an object for a number": (setting(opt_D, "lr", lambda _: Schedule(1e-3)), "opt_D.lr became a Schedule"),
    "a 0-d array for a number": (setting(opt_D, "lr", lambda _: np.array(1e-3)), r"opt_D.lr became float64 \(\)"),
    "an enum": (setting(layer, "mode", lambda _: Mode.HARD), "D.5.mode became another Mode"),
    "in a tuple": (setting(layer, "fixed", lambda fixed: (2.0, fixed[1])), "D.5.fixed.0 became another number in a"),
    "in a named tuple": (setting(layer, "hyper", lambda _: Hyper(2.0, 2)), "D.5.hyper.0 became another number in a"),
    "a mixed list that grows": (lambda model: layer(model).mixed.append(2.0), "D.5.mixed became another list: make"),
    "an object that goes": (lambda model: vars(layer(model)).pop("loss", 0), "D.5.loss went: keep it"),
    "a layer's array that becomes None": (setting(layer, "buffer", lambda _: None), "D.5.buffer became None, and was"),
    "a layer's array that appears": (setting(layer, "mask", lambda _: np.ones(2)), r"D.5.mask became float64 \(2,\)"),
    "a layer's array that grows": (
        setting(layer, "buffer", lambda old: np.append(old, old)), r"became float32 \(4,\), and was float32 \(2,\) wh"),
    "a layer's array of another dtype": (setting(layer, "buffer", lambda _: np.zeros(2)), "D.5.buffer became float64"),
    "a layer's array that goes": (lambda model: vars(layer(model)).pop("buffer", 0), "D.5.buffer went"),
    "an optimizer that appears": (
        lambda model: setattr(model, "late", Adam([optim.Param(np.ones(2))])), "late became a new Adam"),
    "a layer that appears": (setting(lambda model: model, "nothing", lambda _: Scaled()), "nothing became a new Scale"),
    "a layer in a list": (lambda model: model.list.append(Scaled()), "list.0 became a new Scaled"),
    "another optimizer": (
        lambda model: setattr(model, "opt_D", SGD(model.D.params(), 0.1)), "opt_D became a new SGD"),
    "an object that appears": (setting(lambda model: model, "nothing", lambda _: Weighted(1)), "nothing became a Wei"),
    "a generator": (
        setting(lambda model: model, "nothing", lambda _: np.random.default_rng()), "nothing became a generator"),
    "a function for None": (setting(lambda model: model, "nothing", lambda _: len), "nothing became a function"),
    "another layer of the same form": (lambda model: setattr(model, "D", copy.deepcopy(model.D)), "D became another S"),
    "another Param": (
        setting(lambda model: model.nets["two"][0], "b", copy.deepcopy), "nets.two.0.b became another Param"),
    "another layer in a list": (
        lambda model: model.nets.update(two=copy.deepcopy(model.nets["two"])), "two.0 became another Dense: make"),
    "another part in a list": (
        lambda model: model.opts.__setitem__(0, copy.deepcopy(model.opts[0])), "opts.0 became another SGD"),
    "an optimizer's array that grows": (
        lambda model: setattr(model.opt_D, "u", np.append(model.opt_D.u, 1)), r"opt_D.u became float64 \(4,\), and w"),
    "an optimizer's array that appears": (setting(opt_D, "late", lambda _: np.ones(2)), r"opt_D.late became float64"),
    "a deque": (lambda model: model.opt_D.deque.append(1), "opt_D.deque, a deque, has changed: use a list"),
    "a set": (lambda model: model.opt_D.set.add(2), "opt_D.set, a set, has changed"),
    "Python's generator": (lambda model: model.opt_D.random.random(), "opt_D.random, a Random, has changed"),
    "NumPy's old generator": (lambda model: model.opt_D.old.rand(), "opt_D.old, a RandomState, has changed"),
    "an array of objects": (
        lambda model: setattr(model.opt_D, "u", np.array([None])), "opt_D/u is an array of object, which a"),
    "a list's subclass": (lambda model: model.opt_D.own.append(2), "opt_D.own became another Own"),
    "an entry of ours": (lambda model: setattr(model, CHANGES, 1), "is called 'what has changed', as an entry of each"),
    "itself": (lambda model: setattr(model, "d", model), "^d is the model that contains it, which a checkp"),
    "itself in an object": (lambda model: setattr(model.helper, "of", [model]), "helper.of.0 is the model that c"),
    "a list that holds itself": (lambda model: model.list.append(model.list), "list contains itself"),
    "a model's function": (setting(lambda model: model, "loss", lambda _: max), "loss became another function"),
}  # fmt: skip


@pytest.mark.parametrize("change, message", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_put_back_is_refused_by_name_at_the_next_checkpoint(change, message):
    model = build(Loose)
    model.step(lambda model: None)
    model.state()
    model.step(change)
    with pytest.raises(TypeError, match=message) as error:
        model.state()
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


# ---- the same with the loop and the command line ---------------------------------------------------------


class Smaller(Tiny):
    def step(self, batches):
        if self.taken == 1:
            batches.batch_size = 5
        self.size = batches.batch_size
        return super().step(batches)


def test_a_batch_size_that_a_step_changed_is_kept_unless_it_is_given_anew(tmp_path):
    run = tmp_path / "run"
    training.train(Smaller, Settings(steps=3, out=str(run)))
    before = {path.name: path.read_bytes() for path in run.glob("*.npz")}
    for options, size in (([], 5), (["--batch-size", "7"], 7)):
        training.main(Smaller, Settings, ["--resume", str(run), "--steps", "5", *options])
        assert training.load_model(Smaller, Settings, run).size == size
        for name, content in before.items():
            (run / name).write_bytes(content)


def test_batches_of_a_model_keep_their_size_and_leave_their_data_out():
    model, other = build(), build()
    for each in (model, other):
        each.others = Batches(np.arange(9), batch_size=2, rng=np.random.default_rng(0))
        each.remember_as_built()
    model.others.batch_size = 5
    state = model.state()
    assert not any(name.startswith("others/arrays") for name in state)
    other.load_state(state)
    of_before = {name: array for name, array in other.others.state().items() if name != "batch_size"}
    other.others.load_state(of_before)
    for sizes in ([2, 0], [2], [2.0, 3.0]):
        with pytest.raises(CheckpointError, match="damaged"):
            other.others.load_state(of_before | {"batch_size": np.array(sizes)})
    assert other.others.batch_size == 5


class Cooling(Tiny):
    def step(self, batches):
        self.opt_D.lr *= 0.5
        return super().step(batches)


def test_the_command_line_tells_which_number_wins(tmp_path, capsys):
    run = str(tmp_path / "run")
    training.train(Cooling, Settings(steps=2, lr=0.01, out=run))
    training.main(Cooling, Settings, ["--resume", run, "--steps", "3"])
    assert "as given now" not in capsys.readouterr().out
    training.main(Cooling, Settings, ["--resume", run, "--steps", "4", "--lr", "0.02"])
    assert "\nopt_D.lr: 0.02 as given now, not 0.00125 to which the run had changed it\n" in capsys.readouterr().out
    assert training.load_model(Cooling, Settings, run).opt_D.lr == 0.01


def test_a_run_that_is_refused_has_the_checkpoint_of_before(tmp_path):
    class Late(Tiny):
        def step(self, batches):
            if self.taken == 5:
                self.late = Adam(self.D.params(), 0.1)
            return super().step(batches)

    with pytest.raises(TypeError, match="late became a new Adam: make it in __init__"):
        training.train(Late, Settings(steps=20, out=str(tmp_path / "run"), checkpoint_every=2))
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["step"] == 4
    assert training.load_model(Late, Settings, tmp_path / "run").taken == 4
