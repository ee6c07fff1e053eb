"""Steps of a policy that is told advantages: natural gradients with a trust region, and clipped ratios.

A policy is a network whose logits (n, A) are of actions: pi(a|s) = softmax(logits)[a]. docs/gail.md derives all this.
"""


import numpy

from scratchgan import losses, xp
from scratchgan.layers import functions
from scratchgan.optim import flatten
from scratchgan.unroll import moving, take_grad


def advantages(rewards, values, alive, *, gamma=0.995, decay=0.97):
    """Return how much better each action was than its state promised, (T, n) (Schulman et al. 2016).

        delta_t = r_t + gamma V_t+1 - V_t        A_t = delta_t + gamma decay A_t+1

    values: V of the states that were seen; alive: whether an episode was still on. After its last step V and A are 0:
    there is nothing to come, also where the time is over, which V must be told.
    """
    found, later_A, later_V = numpy.zeros(rewards.shape), 0.0, 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * later_V - values[t]
        found[t] = (delta + gamma * decay * later_A) * alive[t]
        later_A, later_V = found[t], values[t] * alive[t]
    return found


def surrogate(log_p, old_log_p, actions, A):
    """Return E[pi(a|s) / pi_old(a|s) A]: the gain, to first order, of a step away from pi_old."""
    at = xp.arange(len(actions)), actions
    return (xp.exp(log_p[at] - old_log_p[at]) * A).mean()


def divergence(old_log_p, log_p):
    """Return E KL(pi_old || pi)."""
    return (xp.exp(old_log_p) * (old_log_p - log_p)).sum(-1).mean()


class TrustRegion:
    """The largest step along the natural gradient whose E KL(pi_old || pi) stays below a bound (Schulman et al. 2015).

        F s = g, g the gradient of E[log pi(a|s) A], F the Fisher matrix of pi;  theta += sqrt(2 bound / s^T F s) s

    F itself is never made: conjugate gradients need F times a vector. `damping` is added to F's diagonal. The step is
    halved until the surrogate has gained a tenth of what g promises and the divergence is below 2 bound; after ten
    halves there is none.
    """

    def __init__(self, policy, *, bound=0.01, damping=0.1, iterations=10, every=10):
        self.policy, self.flat = policy, flatten(policy.params())
        self.bound, self.damping, self.iterations, self.every = bound, damping, iterations, every

    def step(self, x, actions, A):
        """Move the policy by advantages A (n,) of actions (n,) at observations x (n, O); return the divergence."""
        logits, tape = self.policy.forward(x)
        old_log_p = functions.log_softmax(logits)
        # theta ascends E[log pi(a|s) A]
        _, d_logits = losses.softmax_cross_entropy(logits, actions, A)
        self.policy.accumulate(tape, d_logits)
        g = -take_grad(self.flat)
        few = x[:: self.every]  # F is an average, and less is enough for it
        product = self.fisher(few)
        s = conjugate_gradients(product, g, self.iterations)
        whole = s * xp.sqrt(2 * self.bound / xp.maximum(s @ product(s), 1e-12))
        return self.search(x, actions, A, old_log_p, whole, float(g @ whole))

    def fisher(self, x):
        """Return the function v -> (F + damping) v at observations x.

        Along v the logits move by J v. The Fisher matrix of a softmax is diag(p) - p p^T, and F = E J^T (...) J.
        """
        logits, tape = self.policy.forward(x)
        p = xp.exp(functions.log_softmax(logits))
        zero = xp.zeros_like(logits)
        _, kept = self.policy.pull(tape, zero)

        def product(v):
            moved, _ = moving(self.policy, self.flat.cut(v)).double_backward(tape, kept, xp.zeros_like(x))  # J v
            self.policy.accumulate(tape, functions.softmax_pull(p, moved) * (1 / len(x)))
            return take_grad(self.flat) + self.damping * v

        return product

    def search(self, x, actions, A, old_log_p, whole, promised):
        """Move by the first of `whole`, its half, its quarter, ... that keeps what it promises."""
        start = self.flat.value.copy()
        before = float(A.mean())
        for halves in range(10):
            part = 0.5**halves
            self.flat.value[...] = start + part * whole
            log_p = functions.log_softmax(self.policy.forward(x)[0])
            gained = float(surrogate(log_p, old_log_p, actions, A)) - before
            moved = divergence(old_log_p, log_p)
            if gained > 0.1 * part * promised > 0 and moved < 2 * self.bound:
                return moved
        self.flat.value[...] = start
        return xp.zeros(())


def conjugate_gradients(product, g, iterations):
    """Return s of product(s) = g, product a symmetric positive map (Hestenes & Stiefel 1952)."""
    s, residual = xp.zeros_like(g), g.copy()
    way, length = residual.copy(), residual @ residual
    enough = 1e-16 * length
    for _ in range(iterations):
        if length <= enough:
            break
        there = product(way)
        factor = length / (way @ there)
        s += factor * way
        residual -= factor * there
        length, before = residual @ residual, length
        way = residual + length / before * way
    return s


class ProximalPolicy:
    """Some steps of an optimizer up a surrogate whose ratio has no reward beyond 1 +- clip (Schulman et al. 2017).

        E min(r A, clip(r, 1 - c, 1 + c) A),  r = pi(a|s) / pi_old(a|s)
    """

    def __init__(self, policy, optimizer, *, clip=0.2, rounds=10):
        self.policy, self.optimizer, self.clip, self.rounds = policy, optimizer, clip, rounds

    def step(self, x, actions, A):
        """Move the policy by advantages A (n,) of actions (n,) at observations x (n, O); return the divergence."""
        at = xp.arange(len(actions)), actions
        old_log_p = functions.log_softmax(self.policy.forward(x)[0])
        for _ in range(self.rounds):
            logits, tape = self.policy.forward(x)
            r = xp.exp(functions.log_softmax(logits)[at] - old_log_p[at])
            _, d_logits = losses.softmax_cross_entropy(logits, actions, self.weights(r, A))
            self.policy.accumulate(tape, d_logits)
            self.optimizer.step()
        return divergence(old_log_p, functions.log_softmax(self.policy.forward(x)[0]))

    def weights(self, r, A):
        """Return r A where it is the smaller of the two, else 0: d (r A) = r A d log pi; the clipped is constant."""
        return xp.where(r * A <= xp.clip(r, 1 - self.clip, 1 + self.clip) * A, r * A, 0).astype(A.dtype)
