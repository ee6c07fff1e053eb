"""A NaN is found, and traced back to the step and the place where it came up first."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_tiny import Settings, Tiny

from scratchgan import training
from scratchgan.layers import Layer
from scratchgan.support.errors import TrainingError
from scratchgan.training import checkpoint, loop

# NumPy warns where a number overflows; that is what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")


def fail(path, **changes):
    with pytest.raises(TrainingError) as error:
        training.train(Tiny, Settings(out=str(path), **{"steps": 40, **changes}))
    return str(error.value)


PLACES = {
    "forward": "the output of D.4 Poison() in forward",
    "pull": "the gradient dx of D.4 Poison() in pull",
    "gradient": "the gradient before the step of the optimizer opt_D",
    "optimizer": "opt_D/square, after the step of the optimizer opt_D",
    "weight": "the output of G.2 Dense(16, 64) in forward",
    "loss": "the loss G, in a step whose layers are finite",
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(sorted(PLACES)), step=st.integers(1, 40),
    log_every=st.sampled_from([1, 10, 100]), checkpoint_every=st.sampled_from([7, 100]),
)  # fmt: skip
def test_the_step_and_the_layer_are_named(tmp_path_factory, where, step, log_every, checkpoint_every):
    path = tmp_path_factory.mktemp("nan") / "a"
    if where == "loss":  # nothing but the loss itself is not finite, so it must be looked at in that step
        log_every = 1
    message = fail(
        path, poison=step, poison_where=where, log_every=log_every, checkpoint_every=checkpoint_every, sample_every=100
    )
    assert f"Not finite at step {step}: {PLACES[where]}" in message
    assert f"--resume {path}" in message and "--lr" in message
    # The last good checkpoint is whole, and finite.
    arrays, meta = checkpoint.load(path / "checkpoint.npz")
    assert meta["step"] == (step - 1) // checkpoint_every * checkpoint_every
    for name, array in arrays.items():
        assert array.dtype.kind != "f" or np.isfinite(array).all(), name


def test_a_weight_that_is_lost_in_the_last_step_is_never_written(tmp_path, monkeypatch):
    """The losses of that step are finite still: only a look at the weights can tell."""

    class Last(Tiny):
        def step(self, batches):
            losses = super().step(batches)
            if self.taken == 40:
                self.G.layers[0].W.value[0, 0] = np.inf
            return losses

    with pytest.raises(TrainingError, match=r"step 40: G/0\.W, after a step whose layers and optimizers are finite"):
        training.train(Last, Settings(steps=40, out=str(tmp_path / "a"), checkpoint_every=15))
    assert checkpoint.load(tmp_path / "a" / "checkpoint.npz")[1]["step"] == 30


def test_a_learning_rate_that_is_too_high_is_blamed_on_a_layer(tmp_path):
    message = fail(tmp_path / "a", lr=1e30, log_every=10)
    assert "Not finite at step 1: " in message and "lower --lr (it is 1e+30)" in message


def test_each_learning_rate_is_named(tmp_path):
    @dataclasses.dataclass
    class TwoRates(Settings):
        lr_D: float = training.option(0.5, "D's learning rate")
        lr_E: float = training.option(0.0, "E's; 0: none of its own")

    with pytest.raises(TrainingError) as caught:
        training.train(Tiny, TwoRates(lr=1e30, out=str(tmp_path / "a")))
    assert "Try a lower --lr (it is 1e+30) or --lr-D (it is 0.5). " in str(caught.value)
    assert f"--resume {tmp_path / 'a'} --lr 5e+29 --lr-D 0.25 goes on" in str(caught.value)


def test_weights_that_are_not_finite_from_the_start(tmp_path):
    class Born(Tiny):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.D.layers[1].W.value[0] = np.nan

    with pytest.raises(TrainingError, match=r"Not finite before the first step: D/1\.W"):
        training.train(Born, Settings(out=str(tmp_path / "a")))
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_does_not_come_again_is_said_to_be_so(tmp_path):
    happened = []

    class Once(Tiny):
        def step(self, batches):
            losses = super().step(batches)
            if self.taken == 5 and not happened:
                happened.append(True)
                losses["G"] = np.float32("nan")
            return losses

    with pytest.raises(TrainingError, match="step 5: the loss G, but not when the steps after .* are repeated"):
        training.train(Once, Settings(out=str(tmp_path / "a"), log_every=5))


def test_layers_are_wrapped_during_the_replay_only(tmp_path):
    made = []

    class Kept(Tiny):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    with pytest.raises(TrainingError):
        training.train(Kept, Settings(out=str(tmp_path / "a"), poison=3))
    (model,) = made
    layers = [layer for network in (model.G, model.D) for _, layer in network.named_layers()]
    assert all(isinstance(layer, Layer) for layer in layers) and len(layers) == 13
    for layer in layers:
        assert not {"forward", "pull", "accumulate", "backward", "double_backward"} & vars(layer).keys()
    assert "step" not in vars(model.opt_D)


def test_losses_are_fetched_only_when_they_are_due(tmp_path):
    """float() waits for a GPU: between two lines of the log no loss may be looked at."""
    looked = []

    class Loss:
        def __init__(self, step, value):
            self.step, self.value = step, value

        def __float__(self):
            looked.append(self.step)
            return self.value

    class Counting(Tiny):
        def step(self, batches):
            return {name: Loss(self.taken, float(loss)) for name, loss in super().step(batches).items()}

    training.train(
        Counting, Settings(steps=25, out=str(tmp_path / "a"), log_every=10, sample_every=100, checkpoint_every=100)
    )
    assert looked == [10, 10, 20, 20, 25, 25]


def test_copies_of_the_state_for_a_replay_are_rare_where_they_are_slow(tmp_path, monkeypatch):
    taken = []
    original = Tiny.state

    def slow_state(model):
        taken.append(model.taken)
        loop.time.sleep(0.05)
        return original(model)

    monkeypatch.setattr(Tiny, "state", slow_state)
    training.train(
        Tiny, Settings(steps=60, out=str(tmp_path / "a"), log_every=1, sample_every=1000, checkpoint_every=1000)
    )
    assert taken == [0, 60]
