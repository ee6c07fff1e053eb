"""GAIL: its objectives longhand, what its policy hears, which expert it imitates, and the command line."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from checkpoints import demand_equal
from PIL import Image

from scratchgan import control, training, xp
from scratchgan.data import Batches
from scratchgan.examples.control import gail
from scratchgan.fast import threads
from scratchgan.support.errors import UserError
from scratchgan.tools.strict import strict_xp
from scratchgan.training import imitation


def start(steps=0, **given):
    """Return (model, batches) of the example, after so many steps."""
    settings = gail.Settings(**{"batch_size": 300, "width": 16, **given})
    threads.use(1)
    arrays = gail.GAIL.load_data(settings)
    batches = Batches(*arrays, batch_size=settings.batch_size, rng=np.random.default_rng(1))
    model = gail.GAIL(settings, arrays[0].shape[1:], np.random.default_rng(0))
    for _ in range(steps):
        model.step(batches)
    return model, batches


def pairs_for(model, n=30, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, *model.shape)).astype(np.float32)
    return x, rng.integers(0, model.problem.actions, n)


# ---- objectives ------------------------------------------------------------------------------------------


def D_longhand(model, x, a, own_x, own_a):
    """-(E_expert log D + E_policy log(1 - D) + 0.001 H(D)): Ho & Ermon 2016, with D for the expert's."""
    total = 0.0
    for pairs, actions, real in ((x, a, True), (own_x, own_a, False)):
        for row, action in zip(model.D(pairs), actions, strict=True):
            p = 1 / (1 + np.exp(-row[action]))
            entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
            total -= ((np.log(p) if real else np.log(1 - p)) + 0.001 * entropy) / len(pairs)
    return total


def gradient_of_D(model, given):
    """Return the gradient that a step of D takes, as one array."""
    model, kept = copy.deepcopy(model), []
    model.opt_D.step = lambda: kept.append(model.opt_D.flat.grad.copy())
    model.discriminator_step(*given)
    return kept[0]


def in_double(model):
    """Return a model whose D is in float64 and not undecided, with an optimizer of its own."""
    model = copy.deepcopy(model)
    model.D = copy.deepcopy(model.network(*[model.shape[0], model.problem.actions], np.random.default_rng(3)))
    for param in model.D.params():
        param.value[...] = np.random.default_rng(4).standard_normal(param.value.shape) / 2
    model.D.astype(np.float64)
    model.opt_D = gail.Adam(model.D.params(), 0.01)
    model.one_hot = lambda actions: np.eye(model.problem.actions)[actions]
    return model


def slopes(model, given):
    """Return the slope of the longhand objective along a direction, and that of the step's gradient."""
    rng, flat, h = np.random.default_rng(5), model.opt_D.flat, 1e-6
    v, before, values = rng.standard_normal(flat.value.size), flat.value.copy(), []
    for sign in (1, -1):
        flat.value[...] = before + sign * h * v
        values.append(D_longhand(model, *given))
    flat.value[...] = before
    return (values[0] - values[1]) / (2 * h), gradient_of_D(model, given) @ v


def test_the_step_of_D_descends_its_objective():
    model = in_double(start()[0])
    given = (*pairs_for(model), *pairs_for(model, seed=1))
    given = (given[0].astype(float), given[1], given[2].astype(float), given[3])
    loss = float(copy.deepcopy(model).discriminator_step(*given))
    entropy = D_longhand(model, *given) - loss
    assert -0.0014 < entropy < 0  # of two means, each at most 0.001 log 2
    slope, own = slopes(model, given)
    assert own == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("bug", ["swapped", "another action's logit", "no entropy"])
def test_published_bugs_of_D_are_caught(bug, monkeypatch):
    """Expert and policy with their roles exchanged; a logit that belongs to another action; the entropy's sign."""
    model = in_double(start()[0])
    given = (*pairs_for(model), *pairs_for(model, seed=1))
    given = (given[0].astype(float), given[1], given[2].astype(float), given[3])
    slope, _ = slopes(model, given)
    if bug == "swapped":
        given = given[2:] + given[:2]
    elif bug == "no entropy":
        monkeypatch.setattr(gail, "d_entropy", lambda z: 0 * z)
    else:
        model.chosen = lambda logits, actions: logits[:, 0]
    assert slopes(model, given)[1] != pytest.approx(slope, rel=1e-7)


def test_rewards_are_what_D_says():
    logit = np.array([-3.0, 0.0, 2.0])
    D = 1 / (1 + np.exp(-logit))
    np.testing.assert_allclose(gail.REWARDS["survival"](logit), -np.log(1 - D))
    np.testing.assert_allclose(gail.REWARDS["haste"](logit), np.log(D))
    np.testing.assert_allclose(gail.REWARDS["both"](logit), np.log(D) - np.log(1 - D))
    assert start()[0].reward == "survival" and start(task="mountain_car")[0].reward == "haste"


# ---- what the policy hears -------------------------------------------------------------------------------


def test_the_problems_own_reward_is_not_used(monkeypatch):
    """Planted: a problem that pays what is not a number, which nothing but `report` and `measured` looks at."""
    step = control.CartPole.step
    straight = start(steps=2)[0].state()

    def unpaid(self, state, action):
        after, _, done = step(self, state, action)
        return after, np.full(len(after), np.nan), done

    monkeypatch.setattr(control.CartPole, "step", unpaid)
    for path, array in start(steps=2)[0].state().items():
        np.testing.assert_array_equal(array, straight[path], err_msg=path)


def test_the_policy_is_paid_by_D_as_it_was(monkeypatch):
    model, batches = start(steps=1)
    before, seen = [param.value.copy() for param in model.D.params()], []
    move = model.policy_step
    monkeypatch.setattr(model, "policy_step", lambda *given: seen.append(
        [param.value.copy() for param in model.D.params()]) or move(*given))  # fmt: skip
    model.step(batches)
    for one, other in zip(before, seen[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(one, param.value) for one, param in zip(before, model.D.params(), strict=True))


def test_the_policy_comes_to_do_what_D_likes():
    """With a D that likes one action and not the other, that action is soon taken more often."""
    for liked in (0, 1):
        model, batches = start(width=16, reward="both")
        model.measure_scale(batches.arrays[0])
        model.D.layers[-1].b.value[...] = np.where(np.arange(2) == liked, 2.0, -2.0)
        for _ in range(8):
            played = model.play(20)
            x, a = model.scaled(played.seen[played.alive]), played.actions[played.alive]
            moved = float(model.policy_step(played, x, xp.asarray(a)))
            assert moved < 0.021
        assert (played.actions[played.alive] == liked).mean() > 0.6


def test_gradients_are_clear_after_a_step():
    model, _ = start(steps=1)
    assert not any(param.grad.any() for net in (model.G, model.D, model.V) for param in net.params())


# ---- whom it imitates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reward", "least", "most"), [("survival", 50, 200), ("haste", 0, 15), ("both", 0, 15)])
def test_a_bad_expert_is_imitated_unless_each_step_is_worth_something(reward, least, most):
    """The expert lets the pole fall after nine steps. -log(1 - D) > 0 teaches to live on, whatever the expert does."""
    settings = {"data": "left", "reward": reward, "batch_size": 2000, "width": 100}
    model, _ = start(steps=15, **settings)
    assert least < model.measured(200)["return"] < most


def test_a_good_expert_is_imitated():
    model, _ = start(steps=12, batch_size=2000, width=100)
    assert model.measured(100)["return"] > 100 > 40 > model.baselines(100)["blind"]["return"]


def test_the_expert_shows_whole_episodes_thinned_out():
    seen, actions = imitation.shown("cartpole", "expert", 0, 0)
    assert seen.shape == (20, 4) and actions.shape == (20,)
    seen, actions = imitation.shown("mountain_car", "expert", 3, 0)
    assert 3 * 80 / 5 < len(seen) < 3 * 120 / 5 and set(actions) <= {0, 1, 2}
    seen, actions = imitation.shown("cartpole", "left", 0, 0)
    assert 150 < len(seen) < 200 and not actions.any()
    again = imitation.shown.__wrapped__("cartpole", "expert", 0, 1)
    assert not np.array_equal(again[0], imitation.shown("cartpole", "expert", 0, 0)[0])


def test_what_never_varied_has_no_unit():
    """An expert of one pair: its spread is 0, and would make of all that the policy sees infinities."""
    model, _ = start()
    model.measure_scale(np.array([[0.1, 2.0, 0.0, 0.5]]))
    np.testing.assert_array_equal(model.spread, 1)
    model.measure_scale(np.array([[0.1, 2.0, 0.0, 1.0], [0.1, 4.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(model.spread, [1, 1, 1, 0.5])


def test_the_floor_is_the_expert_and_cloning_lies_between():
    model, batches = start(task="mountain_car", width=32)
    model.measure_scale(batches.arrays[0])
    found = model.baselines(50)
    assert list(found) == ["floor", "cloning", "blind"]
    assert -110 < found["floor"]["return"] < -90 and found["blind"]["return"] < -195
    assert found["blind"]["return"] < found["cloning"]["return"]


def test_the_numbers_of_a_device_are_those_of_numpy():
    """On the stand-in for CuPy, which refuses arrays of the host where its own are wanted, and the other way round."""
    _, batches = start()
    with xp.using(strict_xp):
        model, _ = start()
        model.measure_scale(batches.arrays[0])
        losses = [model.step(batches) for _ in range(2)]
        assert model.picture(xp.to_device(model.latent(4, np.random.default_rng(0)))).dtype == np.uint8
        state = model.state()
    other, batches = start(steps=2)
    for name, loss in losses[-1].items():
        assert isinstance(loss, strict_xp.ndarray) and np.isfinite(float(loss)), name
    for path, array in other.state().items():
        assert state[path].shape == array.shape and type(state[path]) is np.ndarray


# ---- as a user would -------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", ["trpo", "ppo"])
def test_train_resume_sample_and_evaluate(move, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--batch-size", "200", "--width", "8", "--move", move, "--sample-every", "2"]
    training.main(gail.GAIL, gail.Settings, ["--steps", "4", "--out", "straight", *small])
    training.main(gail.GAIL, gail.Settings, ["--steps", "2", "--out", "halves", *small])
    training.main(gail.GAIL, gail.Settings, ["--resume", "halves", "--steps", "4"])
    demand_equal(tmp_path / "straight", tmp_path / "halves")
    training.main(gail.GAIL, gail.Settings, ["sample", "straight", "--out", "episode.gif"])
    assert Image.open("episode.gif").n_frames > 3 and Image.open("straight/samples.gif").size == (120, 120)
    training.main(gail.GAIL, gail.Settings, ["evaluate", "straight", "--n", "20"])
    assert "cloning" in capsys.readouterr().out and (tmp_path / "straight" / "metrics.json").exists()


def test_an_expert_that_does_not_exist():
    with pytest.raises(UserError, match="--data left is an expert of cartpole alone"):
        gail.GAIL.load_data(gail.Settings(task="acrobot", data="left"))


@pytest.mark.parametrize(("given", "complaint"), [
    (["--task", "pendulum"], "--task: must be one of cartpole, mountain_car, acrobot"),
    (["--data", "left", "--task", "mountain_car"], "leave it out for mountain_car"),
    (["--trajectories", "-1"], "--trajectories"),
])  # fmt: skip
def test_wrong_input_is_a_line(given, complaint, tmp_path):
    command = [sys.executable, gail.__file__, *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and complaint in done.stderr and "Traceback" not in done.stderr
