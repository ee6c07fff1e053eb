"""GAIL: a policy learns from an expert's steps, by an adversary (Ho & Ermon 2016).

G is a policy: it is told what is seen, and draws an action. D tells the expert's pairs of seen and
done from the policy's. The problem's own reward is not used, and no gradient comes from D to G:
what D says of a pair is a reward, of which a step of TRPO (or, shorter, PPO) lets G earn more.

    python examples/control/gail.py                             # CartPole, from 20 pairs
    python examples/control/gail.py --task mountain_car
    python examples/control/gail.py evaluate runs/gail          # beside the expert and cloning
    python examples/control/gail.py sample runs/gail --out episode.gif
"""

from dataclasses import dataclass

import numpy as np

from scratchgan import losses, policy, training, xp
from scratchgan.layers import Dense, functions
from scratchgan.layers.activations import Tanh
from scratchgan.layers.compose import Sequential
from scratchgan.optim import Adam, flatten
from scratchgan.training import option
from scratchgan.training.imitation import PROBLEMS, Imitation

REWARDS = {  # of D's logit of "the expert's"
    "survival": functions.softplus,  # -log(1 - D) > 0: each step is worth something
    "haste": lambda logit: -functions.softplus(-logit),  # log D < 0: each step costs something
    "both": lambda logit: logit,  # log D - log(1 - D)
}


@dataclass
class Settings(training.Settings):
    steps: int = option(100, "training steps, of whole episodes with 5,000 pairs", minimum=1)
    batch_size: int = option(5000, "the expert's pairs in a step of D, some many times", minimum=1)
    lr: float = option(0.01, "learning rate of D", minimum=1e-12)
    sample_every: int = option(10, "steps from one picture to the next", minimum=1)
    log_every: int = option(1, "steps from one line of the log to the next", minimum=1)
    data: str = option("expert", "whom to imitate; left: CartPole's worst, that pushes left",
                       choices=("expert", "left"))  # fmt: skip
    task: str = option("cartpole", "what is to be done", choices=tuple(PROBLEMS))
    trajectories: int = option(0, "the expert's episodes; 0: 1 of CartPole, 4, 20 bad", minimum=0)
    reward: str = option("auto", "what D's logit is worth; auto: survival for CartPole, else haste",
                         choices=("auto", *REWARDS))  # fmt: skip
    move: str = option("trpo", "how the policy moves", choices=("trpo", "ppo"))
    width: int = option(100, "units of each hidden layer", minimum=1)


class GAIL(Imitation):
    """V is told the time, too, and says what is to come: A is what an action gains beyond it."""

    def __init__(self, settings, shape, rng):
        super().__init__(settings, shape, rng)
        observed, actions = shape[0], self.problem.actions
        self.G = self.network(observed, actions, rng)
        self.D = self.network(observed, actions, rng)
        self.V = self.network(observed + 1, 1, rng)
        betas = (0.9, 0.999)
        flatten(self.G.params())  # a step of TRPO moves all weights as one array
        self.opt_G = Adam(self.G.params(), 3e-3, betas=betas) if settings.move == "ppo" else None
        self.opt_D = Adam(self.D.params(), settings.lr, betas=betas)
        self.opt_V = Adam(self.V.params(), 3e-3, betas=betas)
        self.length = float(self.problem.limit)  # steps of an episode, as they were last

    def network(self, inputs, outputs, rng):
        width, zeros = self.settings.width, lambda shape, rng: xp.zeros(shape, dtype="float32")
        return Sequential(
            Dense(inputs, width, rng=rng), Tanh(), Dense(width, width, rng=rng), Tanh(),
            Dense(width, outputs, rng=rng, initialize=zeros),  # at first G is blind, D undecided
        )  # fmt: skip

    def step(self, batches):
        seen, actions = batches.next()  # by the expert: (n, O) and (n,)
        if not self.opt_D.steps:
            self.measure_scale(seen)
        played = self.play(max(10, round(self.settings.batch_size / self.length)))
        self.length = float(played.alive.sum(axis=0).mean())
        own = self.scaled(played.seen[played.alive]), xp.to_device(played.actions[played.alive])
        moved = self.policy_step(played, *own)  # by what D says before it moves itself
        D_loss = self.discriminator_step(self.scaled(seen), xp.to_device(actions), *own)
        return {"D": D_loss, "KL": moved}

    def policy_step(self, played, x, actions):
        # G ascends E[r], r what D's logit of a pair is worth
        alive = played.alive  # (T, n)
        time = np.arange(len(alive))[:, None] / self.problem.limit
        time = xp.to_device(np.broadcast_to(time, alive.shape)[alive][:, None], "float32")
        in_time = xp.concatenate([x, time], axis=1)
        rewards, values = np.zeros(alive.shape), np.zeros(alive.shape)
        rewards[alive] = xp.to_host(REWARDS[self.reward](self.chosen(self.D(x), actions)))
        values[alive] = xp.to_host(self.V(in_time)[:, 0])
        A = policy.advantages(rewards, values, alive)
        self.value_step(in_time, xp.to_device((A + values)[alive][:, None], "float32"))
        A = xp.to_device((A[alive] - A[alive].mean()) / (A[alive].std() + 1e-8), "float32")
        if self.opt_G:
            return policy.ProximalPolicy(self.G, self.opt_G).step(x, actions, A)
        return policy.TrustRegion(self.G).step(x, actions, A)

    def value_step(self, in_time, target):
        # V descends E (V(s, t) - (A + V_before(s, t)))^2
        for _ in range(10):
            value, tape = self.V.forward(in_time)
            _, d_value = losses.l2(value, target)
            self.V.accumulate(tape, d_value)
            self.opt_V.step()

    def discriminator_step(self, x, actions, own_x, own_actions):
        # D ascends E_expert log D(s, a) + E_policy log(1 - D(s, a)) + 0.001 H(D)
        logits, tape = self.D.forward(x)
        own_logits, own_tape = self.D.forward(own_x)
        z, own_z = self.chosen(logits, actions), self.chosen(own_logits, own_actions)
        loss, d, own_d = losses.nonsaturating_discriminator(z, own_z)
        d, own_d = d - 0.001 * d_entropy(z), own_d - 0.001 * d_entropy(own_z)
        self.D.accumulate(tape, d[:, None] * self.one_hot(actions))  # into D
        self.D.accumulate(own_tape, own_d[:, None] * self.one_hot(own_actions))
        self.opt_D.step()
        return loss

    @property
    def reward(self):
        if self.settings.reward != "auto":
            return self.settings.reward
        return "survival" if self.settings.task == "cartpole" else "haste"

    def equilibrium(self):
        return {"D": 2 * np.log(2)}  # D = 1/2 where the policy's pairs are as the expert's


def d_entropy(z):
    """Return the gradient of E H(sigmoid(z)), H(p) the entropy of p and 1 - p: -z p (1 - p)."""
    return -z * functions.sigmoid(z) * functions.sigmoid(-z) * (1 / len(z))


if __name__ == "__main__":
    training.main(GAIL, Settings)
