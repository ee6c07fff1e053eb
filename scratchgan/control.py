"""Three classic problems of control, many episodes at once: CartPole, MountainCar, Acrobot; and experts for them.

A problem holds no state. `reset` draws states (n, S), `step` maps states and actions to the next, `observe` to what
a policy sees, (n, O). So whole episodes are played as arrays, and nothing hidden has to be in a checkpoint. The numbers
are those of Gymnasium's CartPole-v0, MountainCar-v0 and Acrobot-v1, to which tests compare them.
"""

import functools
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

# ---- the problems ----------------------------------------------------------------------------------------


class CartPole:
    """Keep a pole upright by pushing its cart left or right (Barto, Sutton & Anderson 1983); 1 for each step.

    State and observation: the cart's place and speed, the pole's angle from upright and its speed. An episode ends
    where |place| > 2.4 or |angle| > 12 degrees.
    """

    name, actions, observed, limit = "cartpole", 2, 4, 200
    shown = (2, 3)  # what the picture's axes are
    axes = ("angle", "speed of the angle")

    def reset(self, n, rng):
        return rng.uniform(-0.05, 0.05, (n, 4))

    def observe(self, state):
        return state.astype(np.float32)

    def step(self, state, action):
        """Return the next states, their rewards, and whether an episode has ended there."""
        x, v, angle, spin = state.T
        gravity, pole, length, whole, interval = 9.8, 0.1, 0.5, 1.1, 0.02  # length: half the pole's; whole: both masses
        force = np.where(action == 1, 10.0, -10.0)
        sin, cos = np.sin(angle), np.cos(angle)
        pushed = (force + pole * length * spin**2 * sin) / whole
        spin_up = (gravity * sin - cos * pushed) / (length * (4 / 3 - pole * cos**2 / whole))
        speed_up = pushed - pole * length * spin_up * cos / whole
        moved = np.stack([v, speed_up, spin, spin_up], axis=1)
        state = state + interval * moved
        done = (np.abs(state[:, 0]) > 2.4) | (np.abs(state[:, 2]) > np.radians(12))
        return state, np.ones(len(state)), done

    def lines(self, state):
        """Return what an episode's film shows: lines of points from 0 to 1, y upwards."""
        x, _, angle, _ = state
        x = 0.5 + x / 6
        cart = [(x - 0.08, 0.3), (x + 0.08, 0.3), (x + 0.08, 0.38), (x - 0.08, 0.38), (x - 0.08, 0.3)]
        return [[(0, 0.3), (1, 0.3)], cart, [(x, 0.38), (x + 0.4 * np.sin(angle), 0.38 + 0.4 * np.cos(angle))]]


class MountainCar:
    """Bring a car that is too weak for the slope up a hill, by swinging (Moore 1990); -1 for each step.

    State and observation: place and speed. Actions: push left, nothing, push right. An episode ends at place 0.5.
    """

    name, actions, observed, limit = "mountain_car", 3, 2, 200
    shown = (0, 1)
    axes = ("place", "speed")

    def reset(self, n, rng):
        return np.stack([rng.uniform(-0.6, -0.4, n), np.zeros(n)], axis=1)

    def observe(self, state):
        return state.astype(np.float32)

    def step(self, state, action):
        """Return the next states, their rewards, and whether an episode has ended there."""
        x, v = state.T
        v = np.clip(v + (action - 1) * 0.001 - 0.0025 * np.cos(3 * x), -0.07, 0.07)
        x = np.clip(x + v, -1.2, 0.6)
        v = np.where((x == -1.2) & (v < 0), 0, v)  # the wall
        return np.stack([x, v], axis=1), -np.ones(len(state)), x >= 0.5

    def lines(self, state):
        """Return what an episode's film shows: lines of points from 0 to 1, y upwards."""
        height = lambda x: 0.3 + 0.25 * np.sin(3 * x)
        across = np.linspace(-1.2, 0.6, 60)
        place = lambda x: (x + 1.2) / 1.8
        x, y = place(state[0]), height(state[0])
        car = [(x - 0.03, y + 0.02), (x + 0.03, y + 0.02), (x, y + 0.07), (x - 0.03, y + 0.02)]
        flag = place(0.5)
        hill = list(zip(place(across), height(across), strict=True))
        return [hill, car, [(flag, height(0.5)), (flag, height(0.5) + 0.12)]]


class Acrobot:
    """Swing the end of two joined rods above a height, by a torque at the joint (Sutton 1996); -1 for each step.

    State: both angles, the second one from the first, and their speeds. Observation: cosine and sine of both, and the
    speeds. Actions: a torque of -1, 0, 1. Runge & Kutta's rule takes one step of 0.2 s.
    """

    name, actions, observed, limit = "acrobot", 3, 6, 500
    shown = (1, 4)
    axes = ("sine of the first angle", "its speed")

    def reset(self, n, rng):
        return rng.uniform(-0.1, 0.1, (n, 4))

    def observe(self, state):
        first, second, *speeds = state.T
        return np.stack([np.cos(first), np.sin(first), np.cos(second), np.sin(second), *speeds], 1).astype(np.float32)

    def step(self, state, action):
        """Return the next states, their rewards, and whether an episode has ended there."""
        torque, h = action - 1.0, 0.2
        k1 = self.motion(state, torque)
        k2 = self.motion(state + h / 2 * k1, torque)
        k3 = self.motion(state + h / 2 * k2, torque)
        k4 = self.motion(state + h * k3, torque)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles = (state[:, :2] + np.pi) % (2 * np.pi) - np.pi
        speeds = np.clip(state[:, 2:], [-4 * np.pi, -9 * np.pi], [4 * np.pi, 9 * np.pi])
        done = -np.cos(angles[:, 0]) - np.cos(angles.sum(axis=1)) > 1
        return np.concatenate([angles, speeds], axis=1), done - 1.0, done

    def motion(self, state, torque):
        """Return how a state changes in a second: rods of length and mass 1, centres of mass in the middle."""
        a, b, a_speed, b_speed = state.T
        gravity, middle, inertia = 9.8, 0.5, 1.0
        d1 = middle**2 + 1 + middle**2 + 2 * middle * np.cos(b) + 2 * inertia
        d2 = middle**2 + middle * np.cos(b) + inertia
        pull_b = middle * gravity * np.cos(a + b - np.pi / 2)
        swing = -middle * b_speed**2 * np.sin(b) - 2 * middle * b_speed * a_speed * np.sin(b)
        pull_a = swing + (middle + 1) * gravity * np.cos(a - np.pi / 2) + pull_b
        of_both = torque + d2 / d1 * pull_a - middle * a_speed**2 * np.sin(b) - pull_b
        b_speeds_up = of_both / (middle**2 + inertia - d2**2 / d1)
        a_speeds_up = -(d2 * b_speeds_up + pull_a) / d1
        return np.stack([a_speed, b_speed, a_speeds_up, b_speeds_up], axis=1)

    def lines(self, state):
        """Return what an episode's film shows: lines of points from 0 to 1, y upwards."""
        a, b = state[0], state[0] + state[1]
        elbow = (0.5 + 0.2 * np.sin(a), 0.5 - 0.2 * np.cos(a))
        end = (elbow[0] + 0.2 * np.sin(b), elbow[1] - 0.2 * np.cos(b))
        return [[(0, 0.7), (1, 0.7)], [(0.5, 0.5), elbow, end]]


# ---- episodes --------------------------------------------------------------------------------------------


class Episodes(NamedTuple):
    """Episodes side by side: seen (T, n, O), actions, rewards and alive (T, n); after its end one is not alive."""

    seen: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    alive: np.ndarray
    states: np.ndarray  # (T, n, S)

    def returns(self):
        """Return the sum of the rewards of each episode, (n,)."""
        return (self.rewards * self.alive).sum(axis=0)

    def pairs(self):
        """Return all that was seen and done, episode by episode: (pairs, O) and (pairs,)."""
        alive = self.alive.T
        return self.seen.swapaxes(0, 1)[alive], self.actions.T[alive]


def play(problem, act, state):
    """Play whole episodes from these states, (n, S), until all have ended; act(seen) returns actions (n,)."""
    alive, steps = np.ones(len(state), dtype=bool), []
    while alive.any() and len(steps) < problem.limit:
        seen = problem.observe(state)
        action = act(seen)
        after, reward, done = problem.step(state, action)
        steps.append((seen, action, reward, alive, state))
        state, alive = np.where(alive[:, None], after, state), alive & ~done
    return Episodes(*map(np.stack, zip(*steps, strict=True)))


def film(problem, states, size=120):
    """Return pictures, uint8 (T, size, size), of the states (T, S) of an episode."""
    frames = np.empty((len(states), size, size), dtype=np.uint8)
    for frame, state in zip(frames, states, strict=True):
        picture = Image.new("L", (size, size))
        draw = ImageDraw.Draw(picture)
        for line in problem.lines(state):
            draw.line([(size * x, size * (1 - y)) for x, y in line], fill=255, width=2)
        frame[...] = np.asarray(picture)
    return frames


# ---- experts ---------------------------------------------------------------------------------------------


def balance(seen):
    """CartPole: push to where the pole falls. It keeps it up for 200 steps."""
    return (seen @ np.array([0.1, 0.5, 2.0, 1.0]) > 0).astype(int)


def pump(seen):
    """Acrobot: a torque against the motion of the first rod drives the second one up."""
    return np.where(seen[:, 4] > 0, 0, 2)


def always_left(seen):
    """CartPole: a bad expert, whose pole falls after nine steps."""
    return np.zeros(len(seen), dtype=int)


def climb(seen):
    """MountainCar: the shortest way, by the table of `steps_to_go`."""
    problem, costs = MountainCar(), []
    for action in range(problem.actions):
        after, _, done = problem.step(seen.astype(float), np.full(len(seen), action))
        costs.append(np.where(done, 0, interpolated(steps_to_go(), *grid_place(after))))
    return np.argmin(costs, axis=0)


@functools.cache
def steps_to_go(shape=(181, 141), sweeps=400):
    """Return how many steps MountainCar's goal is away, on a grid of places and speeds, by value iteration.

    V(s) = 1 + min over actions of V(s'), and 0 at the goal (Bellman 1957); between grid points V is bilinear.
    """
    axes = np.linspace(-1.2, 0.6, shape[0]), np.linspace(-0.07, 0.07, shape[1])
    states = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    problem = MountainCar()
    ways = []
    for action in range(problem.actions):
        after, _, done = problem.step(states, np.full(len(states), action))
        ways.append((grid_place(after, shape), done))
    V = np.zeros(shape)
    for _ in range(sweeps):
        costs = [np.where(done, 0, interpolated(V, *place)) for place, done in ways]
        better = 1 + np.min(costs, axis=0).reshape(shape)
        settled = np.abs(better - V).max() < 1e-3
        V = better
        if settled:
            break
    return V


def grid_place(states, shape=(181, 141)):
    """Return where states lie on the grid: the corner before, (n, 2), and how far beyond it, from 0 to 1."""
    at = (states - [-1.2, -0.07]) / [1.8, 0.14] * (np.array(shape) - 1)
    corner = np.clip(at.astype(int), 0, np.array(shape) - 2)
    return corner, at - corner


def interpolated(V, corner, beyond):
    """Return V between its grid points."""
    (i, j), (a, b) = corner.T, beyond.T
    return (1 - a) * ((1 - b) * V[i, j] + b * V[i, j + 1]) + a * ((1 - b) * V[i + 1, j] + b * V[i + 1, j + 1])
