"""The problems of control against Gymnasium and against what physics keeps; episodes, experts, films."""

import numpy as np
import pytest

from scratchgan import control

PROBLEMS = [control.CartPole(), control.MountainCar(), control.Acrobot()]
THEIRS = {"cartpole": "CartPole-v0", "mountain_car": "MountainCar-v0", "acrobot": "Acrobot-v1"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_states_are_those_of_gymnasium(problem):
    """The same for 200 random steps, or to the end of an episode; four episodes."""
    gymnasium = pytest.importorskip("gymnasium", reason="compares with Gymnasium, which is not installed")
    theirs = gymnasium.make(THEIRS[problem.name], disable_env_checker=True).unwrapped
    rng = np.random.default_rng(0)
    for _ in range(4):
        state = problem.reset(1, rng)
        theirs.reset(seed=0)
        theirs.state, theirs.steps_beyond_terminated = state[0].copy(), None
        for _ in range(200):
            action = int(rng.integers(problem.actions))
            state, reward, done = problem.step(state, np.array([action]))
            seen, their_reward, their_done, _, _ = theirs.step(action)
            np.testing.assert_allclose(problem.observe(state)[0], seen, atol=1e-6)
            assert reward[0] == their_reward and done[0] == their_done
            if their_done:
                break
    specification = gymnasium.spec(THEIRS[problem.name])
    assert specification.max_episode_steps == problem.limit


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_many_episodes_at_once_are_as_many_alone(problem):
    rng = np.random.default_rng(0)
    states, actions = problem.reset(5, rng), rng.integers(0, problem.actions, (40, 5))
    together, alone = states, [state[None] for state in states]
    for action in actions:
        together, rewards, done = problem.step(together, action)
        for i in range(5):
            alone[i], reward, over = problem.step(alone[i], action[i : i + 1])
            np.testing.assert_array_equal(together[i], alone[i][0])
            assert (rewards[i], done[i]) == (reward[0], over[0])


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_a_step_changes_nothing_that_it_is_given(problem):
    state, action = problem.reset(3, np.random.default_rng(0)), np.array([0, 1, 1])
    before = state.copy()
    problem.step(state, action)
    np.testing.assert_array_equal(state, before)
    assert problem.observe(state).shape == (3, problem.observed) and problem.observe(state).dtype == np.float32


def energy(state):
    """The energy of two rods of mass and length 1, of inertia 1 about their middles, gravity 9.8."""
    a, b, a_speed, b_speed = state.T
    elbow, end_speed = -np.cos(a), a_speed + b_speed
    height = 0.5 * elbow + elbow - 0.5 * np.cos(a + b)
    across = np.cos(a) * a_speed + 0.5 * np.cos(a + b) * end_speed
    up = np.sin(a) * a_speed + 0.5 * np.sin(a + b) * end_speed
    moving = 0.5 * (0.25 * a_speed**2 + across**2 + up**2 + a_speed**2 + end_speed**2)
    return moving + 9.8 * height


def test_the_acrobot_keeps_its_energy_without_a_torque():
    """To 5 % over ten seconds: the rule's interval, 0.2 s, is long."""
    problem = control.Acrobot()
    state = problem.reset(20, np.random.default_rng(0)) + [0.5, 0.3, 0, 0]
    start = energy(state)
    assert np.ptp(start) > 1
    for _ in range(50):
        state, _, _ = problem.step(state, np.ones(20, dtype=int))
    np.testing.assert_allclose(energy(state), start, rtol=0.05)


def test_experts_are_as_good_as_is_said():
    """Mean returns of 200 episodes: CartPole 200 of 200; MountainCar's shortest way -98; Acrobot -85."""
    rng = np.random.default_rng(0)
    expected = {control.balance: (200, 0.1), control.climb: (-98, 2), control.pump: (-85, 5)}
    for problem, (act, (mean, tolerance)) in zip(PROBLEMS, expected.items(), strict=True):
        returns = control.play(problem, act, problem.reset(200, rng)).returns()
        assert returns.mean() == pytest.approx(mean, abs=tolerance)
    cartpole = PROBLEMS[0]
    assert control.play(cartpole, control.always_left, cartpole.reset(200, rng)).returns().mean() < 10


def test_value_iteration_has_settled():
    """V(s) = 1 + min over actions of V(s') at each grid point but where the goal is reached."""
    problem, V = control.MountainCar(), control.steps_to_go()
    axes = np.linspace(-1.2, 0.6, V.shape[0]), np.linspace(-0.07, 0.07, V.shape[1])
    states = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    costs = []
    for action in range(3):
        after, _, done = problem.step(states, np.full(len(states), action))
        costs.append(np.where(done, 0, control.interpolated(V, *control.grid_place(after))))
    np.testing.assert_allclose(1 + np.min(costs, axis=0).reshape(V.shape), V, atol=1e-2)


def test_an_interpolation_is_exact_on_planes():
    shape = (5, 4)
    axes = np.linspace(-1.2, 0.6, 5), np.linspace(-0.07, 0.07, 4)
    V = 2 * axes[0][:, None] - 3 * axes[1]
    states = np.random.default_rng(0).uniform([-1.2, -0.07], [0.6, 0.07], (50, 2))
    found = control.interpolated(V, *control.grid_place(states, shape))
    np.testing.assert_allclose(found, 2 * states[:, 0] - 3 * states[:, 1], rtol=1e-10, atol=1e-12)


# ---- episodes --------------------------------------------------------------------------------------------


class Countdown:
    """An episode ends after as many steps as its state says; every step is worth 1."""

    limit, actions, observed = 5, 2, 1

    def observe(self, state):
        return state.astype(np.float32)

    def step(self, state, action):
        return state - 1, np.ones(len(state)), state[:, 0] <= 1


def test_what_comes_after_an_end_does_not_count():
    played = control.play(Countdown(), lambda seen: np.zeros(len(seen), dtype=int), np.array([[3.0], [1.0], [9.0]]))
    np.testing.assert_array_equal(played.returns(), [3, 1, 5])  # the last one is over time
    np.testing.assert_array_equal(played.alive.sum(axis=0), [3, 1, 5])
    seen, actions = played.pairs()
    np.testing.assert_array_equal(seen[:, 0], [3, 2, 1, 1, 9, 8, 7, 6, 5])
    assert actions.shape == (9,)


def test_play_stops_when_all_have_ended():
    played = control.play(Countdown(), lambda seen: np.zeros(len(seen), dtype=int), np.array([[2.0], [1.0]]))
    assert played.alive.shape == (2, 2)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_a_film_moves(problem):
    first = problem.reset(1, np.random.default_rng(0))
    played = control.play(problem, lambda seen: np.zeros(len(seen), dtype=int), first)
    frames = control.film(problem, played.states[:8, 0])
    assert frames.shape == (8, 120, 120) and frames.dtype == np.uint8
    assert not np.array_equal(frames[0], frames[-1]) and 100 < (frames[0] > 0).sum() < 3000
