"""Imitation: what the training loop asks of a policy that learns from an expert's steps, and how it is measured."""

import functools
import io

import numpy as np
from PIL import Image

from scratchgan import control, losses, plots, xp
from scratchgan.layers.functions import sample_categorical, sigmoid
from scratchgan.optim import Adam
from scratchgan.support.errors import UserError
from scratchgan.training.sequences import Sequences

PROBLEMS = {problem.name: problem for problem in (control.CartPole(), control.MountainCar(), control.Acrobot())}
EXPERTS = {"cartpole": control.balance, "mountain_car": control.climb, "acrobot": control.pump}
# Of the expert: how many episodes are shown, and of their pairs each so many-th (Ho & Ermon 2016).
SHOWN = {"cartpole": (1, 10), "mountain_car": (4, 5), "acrobot": (4, 5)}
BAD = (20, 1)  # of the one whose episodes have nine steps


class Imitation(Sequences):
    """A policy G for settings.task, from what the expert of settings.data has shown; D tells pairs of the two apart.

    A pair is what was seen, and what was done. G and D map what is seen, in units of the expert's spread, to a number
    for each action. The data are the expert's pairs. A film of an episode lies beside each picture.
    """

    exports, exported = (".gif",), 1

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        self.mean, self.spread = np.zeros(shape[0]), np.ones(shape[0])  # of what the expert saw

    @property
    def problem(self):
        return PROBLEMS[self.settings.task]

    @staticmethod
    def load_data(settings):
        return shown(settings.task, settings.data, settings.trajectories, settings.seed)

    def measure_scale(self, seen):
        """Take the expert's mean and spread as the units of what is seen; where it saw one value alone, it has none."""
        spread = seen.std(axis=0)
        self.mean[...], self.spread[...] = seen.mean(axis=0), np.where(spread < 1e-3, 1, spread)

    def scaled(self, seen):
        """Return what is seen (n, O), in the expert's units, on the device."""
        return xp.to_device((seen - self.mean) / self.spread, "float32")

    def chosen(self, logits, actions):
        """Return the number of the action that was taken, (n,), of those of all actions, (n, A)."""
        return (logits * self.one_hot(actions)).sum(axis=-1)

    def one_hot(self, actions):
        return (actions[:, None] == xp.arange(self.problem.actions)).astype("float32")  # (n, A)

    def act(self, seen):
        """Draw actions, on the host, where the problems are: a GPU is waited for at each step of an episode."""
        return xp.to_host(sample_categorical(self.G(self.scaled(seen)), self.rng))

    def play(self, n):
        """Play n whole episodes; return `control.Episodes`."""
        return control.play(self.problem, self.act, self.problem.reset(n, self.rng))

    # ---- what is drawn ----

    def latent(self, n, rng):
        return self.problem.reset(n, rng)  # where episodes begin

    def generate(self, z):
        """Return the states of episodes that begin at z, (n, T, S)."""
        return control.play(self.problem, self.act, xp.to_host(z)).states.swapaxes(0, 1)

    def layout(self, n):
        return 1, 1

    def picture(self, z):
        """Return two of the axes of what is seen: the expert's pairs, the policy's, and D's opinion averaged."""
        played = control.play(self.problem, self.act, xp.to_host(z))
        axes = list(self.problem.shown)
        pairs = self.load_data(self.settings)[0], played.pairs()[0]
        expert, own = [xp.to_host(self.scaled(seen))[:, axes] for seen in pairs]

        def opinion(points):
            x = np.zeros((len(points), *self.shape), dtype=np.float32)
            x[:, axes] = points
            return xp.to_host(sigmoid(self.D(xp.to_device(x))).mean(axis=-1))

        across, up = self.problem.axes
        title = f"{across} and {up}: return {played.returns().mean():.1f}"
        some = slice(None, None, max(1, len(own) // 300))  # all of them would hide the expert's
        return plots.plane(expert, own[some], surface=opinion, bounds=3.0, title=title)

    def export(self, z, suffix):
        """Return a film of the first episode, as the bytes of a GIF."""
        states = control.play(self.problem, self.act, xp.to_host(z)[:1]).states[:, 0]
        first, *others = [Image.fromarray(frame) for frame in control.film(self.problem, states)]
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=others, duration=40, loop=0)
        return file.getvalue()

    # ---- what is measured: the problem's own reward, which no step of training has seen ----

    def report(self):
        return {"return": self.play(100).returns().mean()}

    def measured(self, n):
        return self.returns_of(self.act, n)

    def baselines(self, n):
        """Return what the expert earns, the floor; then a policy cloned from the same pairs, and a blind one."""
        expert = expert_of(self.settings.task, self.settings.data)
        blind = lambda seen: self.rng.integers(0, self.problem.actions, len(seen))
        clone = self.cloned()
        by_clone = lambda seen: xp.to_host(sample_categorical(clone(self.scaled(seen)), self.rng))
        return {"floor": self.returns_of(expert, n), "cloning": self.returns_of(by_clone, n),
                "blind": self.returns_of(blind, n)}  # fmt: skip

    def returns_of(self, act, n):
        returns = control.play(self.problem, act, self.problem.reset(n, np.random.default_rng(0))).returns()
        return {"return": float(returns.mean()), "its spread": float(returns.std())}

    def cloned(self, most=2000, patience=200):
        """Return a policy that imitates by maximum likelihood, stopped where a third of the pairs is told no better."""
        seen, actions = self.load_data(self.settings)
        net = self.network(self.shape[0], self.problem.actions, np.random.default_rng(0))
        optimizer, best = Adam(net.params(), 1e-3, betas=(0.9, 0.999)), (np.inf, 0, net.state())
        rows = np.random.default_rng(0).permutation(len(seen))
        x, a = self.scaled(seen[rows]), xp.to_device(actions[rows])
        kept = max(1, len(rows) * 3 // 10)
        for step in range(most):
            loss = float(losses.softmax_cross_entropy(net(x[:kept]), a[:kept])[0])
            best = min(best, (loss, step, net.state()), key=lambda one: one[0])
            if step - best[1] > patience:
                break
            logits, tape = net.forward(x[kept:])
            net.accumulate(tape, losses.softmax_cross_entropy(logits, a[kept:])[1])
            optimizer.step()
        net.load_state(best[2])
        return net


@functools.lru_cache(maxsize=8)
def shown(task, name, trajectories, seed):
    """Return what an expert saw and did, (n, O) and (n,): each so many-th pair of whole episodes."""
    usual, every = SHOWN[task] if name == "expert" else BAD
    problem, act = PROBLEMS[task], expert_of(task, name)
    rng = np.random.default_rng([seed, 1])
    played = control.play(problem, act, problem.reset(trajectories or usual, rng))
    first = rng.integers(0, every)
    seen, actions = played.pairs()
    return seen[first::every], actions[first::every]


def expert_of(task, name):
    """Return the function from what is seen to actions that `--data` names; raise UserError where there is none."""
    if name == "expert":
        return EXPERTS[task]
    if task != "cartpole":
        raise UserError(f"--data {name} is an expert of cartpole alone: leave it out for {task}.")
    return control.always_left
