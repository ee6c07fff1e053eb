"""Advantages, natural gradients and clipped ratios against what they are, longhand."""

import numpy as np
import pytest

from scratchgan import policy
from scratchgan.layers import Dense, Sequential, Tanh
from scratchgan.layers.functions import log_softmax
from scratchgan.optim import SGD, Adam


def network(seed=0, width=4):
    rng = np.random.default_rng(seed)
    net = Sequential(Dense(3, width, rng=rng), Tanh(), Dense(width, 3, rng=rng))
    return net.astype(np.float64)


def pairs(n=40, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 3)), rng.integers(0, 3, n), rng.standard_normal(n)


# ---- advantages ------------------------------------------------------------------------------------------


def longhand(rewards, values, alive, gamma, decay):
    """The sum of (gamma decay)^l delta_t+l over what is left of each episode (Schulman et al. 2016)."""
    T, n = rewards.shape
    A = np.zeros((T, n))
    for e in range(n):
        length = int(alive[:, e].sum())
        for t in range(length):
            for k in range(t, length):
                following = values[k + 1, e] if k + 1 < length else 0.0
                delta = rewards[k, e] + gamma * following - values[k, e]
                A[t, e] += (gamma * decay) ** (k - t) * delta
    return A


def episodes():
    rng = np.random.default_rng(0)
    alive = np.arange(7)[:, None] < np.array([7, 3, 1, 5])
    return rng.standard_normal((7, 4)), rng.standard_normal((7, 4)), alive


@pytest.mark.parametrize(("gamma", "decay"), [(0.995, 0.97), (0.9, 0.0), (1.0, 1.0)])
def test_advantages_are_the_sum_of_differences(gamma, decay):
    given = episodes()
    np.testing.assert_allclose(policy.advantages(*given, gamma=gamma, decay=decay), longhand(*given, gamma, decay))


def test_what_is_after_an_end_changes_nothing():
    rewards, values, alive = episodes()
    A = policy.advantages(rewards, values, alive)
    other = policy.advantages(np.where(alive, rewards, 9.0), np.where(alive, values, -9.0), alive)
    np.testing.assert_array_equal(A, other)
    assert (A[~alive] == 0).all()


def test_with_decay_1_it_is_the_return_less_what_was_promised():
    rewards, values, alive = episodes()
    A = policy.advantages(rewards, values, alive, gamma=1.0, decay=1.0)
    left = np.cumsum((rewards * alive)[::-1], axis=0)[::-1]
    np.testing.assert_allclose(A, (left - values) * alive)


def test_published_bugs_of_advantages_are_caught():
    """Bootstrapping from the state before, and advantages that leak from one episode into the next."""
    rewards, values, alive = episodes()
    right = longhand(rewards, values, alive, 0.99, 0.9)

    def before():  # V of s_t-1 in the place of V of s_t+1
        A, later = np.zeros_like(rewards), 0.0
        for t in reversed(range(7)):
            delta = rewards[t] + 0.99 * (values[t - 1] if t else 0.0) - values[t]
            A[t] = later = (delta + 0.99 * 0.9 * later) * alive[t]
        return A

    def leaking():  # no mask
        A, later, V = np.zeros_like(rewards), 0.0, 0.0
        for t in reversed(range(7)):
            A[t] = later = rewards[t] + 0.99 * V - values[t] + 0.99 * 0.9 * later
            V = values[t]
        return A * alive

    np.testing.assert_allclose(policy.advantages(rewards, values, alive, gamma=0.99, decay=0.9), right)
    assert not np.allclose(before(), right) and not np.allclose(leaking(), right)


# ---- the natural gradient --------------------------------------------------------------------------------


def fisher_longhand(net, x):
    """E over states and actions of the outer product of d log pi(a|s), by a backward pass for each."""
    flat = policy.flatten(net.params())
    F = np.zeros((flat.value.size,) * 2)
    for row in x:
        logits, tape = net.forward(row[None])
        p = np.exp(log_softmax(logits))[0]
        for a in range(len(p)):
            net.accumulate(tape, (np.eye(len(p))[a] - p)[None])
            score = policy.take_grad(flat)
            F += p[a] * np.outer(score, score) / len(x)
    return F


def test_fisher_times_a_vector_is_fishers_matrix():
    net, (x, _, _) = network(), pairs()
    region = policy.TrustRegion(net, damping=0.3)
    F = fisher_longhand(net, x)
    for v in np.random.default_rng(2).standard_normal((3, len(F))):
        np.testing.assert_allclose(region.fisher(x)(v), F @ v + 0.3 * v, rtol=1e-10, atol=1e-12)
    assert not region.flat.grad.any()  # nothing is left behind


def test_fisher_is_the_second_derivative_of_the_divergence():
    net, (x, _, _) = network(), pairs()
    region = policy.TrustRegion(net, damping=0.0)
    v = np.random.default_rng(2).standard_normal(region.flat.value.size)
    old = log_softmax(net(x))
    start, h = region.flat.value.copy(), 1e-3
    found = []
    for sign in (1, -1):
        region.flat.value[...] = start + sign * h * v
        found.append(float(policy.divergence(old, log_softmax(net(x)))))
    region.flat.value[...] = start
    assert sum(found) / h**2 == pytest.approx(v @ region.fisher(x)(v), rel=1e-4)  # the divergence itself is 0, and flat


def test_conjugate_gradients_solve():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 12))
    A, g = root @ root.T + np.eye(12), rng.standard_normal(12)
    np.testing.assert_allclose(policy.conjugate_gradients(lambda v: A @ v, g, 40), np.linalg.solve(A, g), rtol=1e-6)
    before = g.copy()
    policy.conjugate_gradients(lambda v: A @ v, g, 3)
    np.testing.assert_array_equal(g, before)


def test_a_step_of_trpo_is_its_formula():
    """theta += sqrt(2 bound / s^T F s) s with F s = g (Schulman et al. 2015), before any halving."""
    net, (x, actions, A) = network(), pairs()
    region = policy.TrustRegion(net, bound=1e-6, damping=0.1, iterations=200, every=1)
    start = region.flat.value.copy()
    F = fisher_longhand(net, x) + 0.1 * np.eye(start.size)
    g = np.zeros(start.size)
    for row, a, advantage in zip(x, actions, A, strict=True):
        logits, tape = net.forward(row[None])
        net.accumulate(tape, (np.eye(3)[a] - np.exp(log_softmax(logits))[0])[None] * advantage / len(x))
        g += policy.take_grad(region.flat)
    s = np.linalg.solve(F, g)
    moved = region.step(x, actions, A)
    np.testing.assert_allclose(region.flat.value - start, np.sqrt(2e-6 / (s @ F @ s)) * s, rtol=1e-5, atol=1e-9)
    assert 0 < float(moved) < 2e-6


def test_a_step_gains_and_stays_near():
    net, (x, actions, A) = network(), pairs(400)
    region = policy.TrustRegion(net, bound=0.01)
    old = log_softmax(net(x))
    moved = float(region.step(x, actions, A))
    new = log_softmax(net(x))
    assert float(policy.surrogate(new, old, actions, A)) > float(A.mean())
    assert 0 < moved < 0.02 and moved == pytest.approx(float(policy.divergence(old, new)))


def test_where_there_is_nothing_to_gain_the_policy_stays():
    net, (x, actions, _) = network(), pairs()
    region = policy.TrustRegion(net)
    before = region.flat.value.copy()
    assert float(region.step(x, actions, np.zeros(40))) == 0
    np.testing.assert_array_equal(region.flat.value, before)


def test_the_sign_of_the_advantage():
    """Planted: a policy that descends what it should ascend."""
    for sign in (1, -1):
        net, (x, actions, A) = network(), pairs(400)
        old = log_softmax(net(x))
        policy.TrustRegion(net).step(x, actions, sign * A)
        gain = float(policy.surrogate(log_softmax(net(x)), old, actions, A)) - A.mean()
        assert (gain > 0) == (sign == 1)


# ---- clipped ratios --------------------------------------------------------------------------------------


def clipped(net, x, actions, A, old, clip=0.2):
    """E min(r A, clip(r) A), longhand (Schulman et al. 2017)."""
    total = 0.0
    for row, a, advantage, before in zip(net(x), actions, A, old, strict=True):
        r = np.exp(row[a] - np.log(np.exp(row).sum()) - before[a])
        total += min(r * advantage, min(max(r, 1 - clip), 1 + clip) * advantage) / len(x)
    return total


def test_the_weights_of_ppo_give_the_gradient_of_its_objective():
    net, (x, actions, A) = network(), pairs()
    old = log_softmax(network(seed=5)(x))  # far enough for some ratios to be clipped
    step = policy.ProximalPolicy(net, SGD(net.params(), 1.0))
    flat = step.optimizer.flat
    at = np.arange(len(x)), actions
    logits, tape = net.forward(x)
    r = np.exp(log_softmax(logits)[at] - old[at])
    weights = step.weights(r, A)
    assert (weights == 0).any() and (weights != 0).any()
    _, d_logits = policy.losses.softmax_cross_entropy(logits, actions, weights)
    net.accumulate(tape, d_logits)
    gradient = -policy.take_grad(flat)
    start, v, h = flat.value.copy(), np.random.default_rng(2).standard_normal(flat.value.size), 1e-6
    values = []
    for sign in (1, -1):
        flat.value[...] = start + sign * h * v
        values.append(clipped(net, x, actions, A, old))
    assert (values[0] - values[1]) / (2 * h) == pytest.approx(gradient @ v, rel=1e-6)


def test_ppo_gains():
    net, (x, actions, A) = network(), pairs(400)
    old = log_softmax(net(x))
    moved = policy.ProximalPolicy(net, Adam(net.params(), 1e-2)).step(x, actions, A)
    assert clipped(net, x, actions, A, old) > A.mean() and 0 < float(moved) < 1


@pytest.mark.parametrize(("r", "A", "expected"), [
    (1.0, 2.0, 2.0), (1.3, 2.0, 0.0), (0.7, 2.0, 1.4), (1.3, -2.0, -2.6), (0.7, -2.0, 0.0), (1.2, 1.0, 1.2),
])  # fmt: skip
def test_a_ratio_beyond_the_clip_is_left_alone_only_where_it_has_gained(r, A, expected):
    step = policy.ProximalPolicy(network(), None)
    assert step.weights(np.array([r]), np.array([A])) == pytest.approx([expected])
