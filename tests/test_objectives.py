"""What the examples without labels descend, their penalties included, and what else their settings promise."""

from functools import partial

import numpy as np
import pytest
from objectives import above_zero, follows, log_sigmoid, to_the_margin
from test_examples import WITH_REAL, start, told_to_D

from scratchgan import penalties

# ---- the objectives, as in the papers --------------------------------------------------------------------


def saturating(real, fake):
    return -log_sigmoid(real).mean() - log_sigmoid(-fake).mean()


def hinge(real, fake):
    return above_zero(1 - real).mean() + above_zero(1 + fake).mean()


NONSATURATING = saturating, lambda real, fake: -log_sigmoid(fake).mean()
HINGE = hinge, lambda real, fake: -fake.mean()
WASSERSTEIN = lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean()


def relative(loss):
    """Each kind of samples is compared with the mean of the other, by D; G asks for the opposite."""
    D_descends = lambda real, fake: loss(real - fake.mean(), fake - real.mean())
    return D_descends, lambda real, fake: D_descends(fake, real)


# What D and G descend, of D's outputs for real samples and fakes.
OBJECTIVES = {
    **dict.fromkeys(
        ("adversarial_nets", "gan", "gan2d", "dcgan", "dcgan, nearest", "dcgan, average", "dragan", "r1gan",
         "r1gan, lazy"), NONSATURATING,
    ),
    "gan minimax": (saturating, lambda real, fake: log_sigmoid(-fake).mean()),
    "gan least-squares": (
        lambda real, fake: 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean(),
        lambda real, fake: 0.5 * ((fake - 1) ** 2).mean(),
    ),
    **dict.fromkeys(("gan hinge", "sngan"), HINGE),
    **dict.fromkeys(
        ("gan wasserstein", "wgan", "wgan_gp", "wgan_gp, one-sided", "wgan_gp2d", "wgan_gp2d, clipped"), WASSERSTEIN,
    ),
    "ragan": relative(saturating),
    "ragan hinge": relative(hinge),
    "ragan paired": (
        lambda real, fake: -log_sigmoid(real - fake).mean(), lambda real, fake: -log_sigmoid(fake - real).mean(),
    ),
}  # fmt: skip


def slope(D, x):
    """Return |grad D| at each x: (N,)."""
    scores, tape = D.forward(x)
    g, _ = D.pull(tape, np.ones_like(scores))
    return np.sqrt((g * g).reshape(len(g), -1).sum(1))


def between(real, fake, rng):
    t = rng.random((len(real), *[1] * (real.ndim - 1)))
    return t * real + (1 - t) * fake


def around(real, rng):
    return real + 0.5 * real.std() * rng.standard_normal(real.shape)


# What D pays besides.
PENALTIES = {
    "wgan_gp": lambda D, real, fake, rng: 10 * ((slope(D, between(real, fake, rng)) - 1) ** 2).mean(),
    "wgan_gp, one-sided": lambda D, real, fake, rng: (
        10 * (above_zero(slope(D, between(real, fake, rng)) - 1) ** 2).mean()
    ),
    "wgan_gp2d": lambda D, real, fake, rng: 0.1 * ((slope(D, between(real, fake, rng)) - 1) ** 2).mean(),
    "dragan": lambda D, real, fake, rng: 10 * ((slope(D, around(real, rng)) - 1) ** 2).mean(),
    "r1gan": lambda D, real, fake, rng: 4 * 0.5 * (slope(D, real) ** 2).mean(),  # in every fourth step
    "r1gan, lazy": lambda D, real, fake, rng: 2 * 0.5 * (slope(D, real) ** 2).mean(),  # in every second step
}


def objective(name, player, G, D, draw, real):
    """What a player descends, for networks of any dtype."""
    fake = G.forward(draw())[0]
    D_descends, G_descends = OBJECTIVES[name]
    if player == "G":
        return G_descends(D.forward(real)[0] if name.startswith("ragan") else None, D.forward(fake)[0])
    judged = D_descends(D.forward(real)[0], D.forward(fake)[0])
    return judged + PENALTIES.get(name, lambda *_: 0)(D, real, fake, draw.rng)


def follows_its_objective(name, player, margin=None):
    model, batches = start(name)
    told = told_to_D(model, batches)
    if margin:
        to_the_margin(model, margin, *told)
    G_step = lambda real: model.generator_step(real if isinstance(model, WITH_REAL) else len(real))
    follows(model, player, model.discriminator_step if player == "D" else G_step, told,
            partial(objective, name, player), printed=np.sum)  # fmt: skip


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_follows_the_gradient_of_the_objective(name, player):
    follows_its_objective(name, player)


@pytest.mark.parametrize("margin", ["real", "fake"])
@pytest.mark.parametrize("name", ["gan hinge", "sngan"])
def test_a_step_follows_its_hinges(name, margin):
    follows_its_objective(name, "D", margin)


@pytest.mark.parametrize("name", ["wgan_gp", "wgan_gp, one-sided"])
def test_a_penalty_on_both_sides_of_1(name):
    """Half of the slopes are above 1, half below: there the one-sided penalty and the other part."""
    model, batches = start(name)
    (real,) = told_to_D(model, batches)
    steepness = np.median(slope(model.D, real))
    last = model.D.layers[-1]
    last.W.value /= steepness
    follows(model, "D", model.discriminator_step, (real,), partial(objective, name, "D"), printed=np.sum)


# ---- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wgan", "wgan_gp2d, clipped"])
def test_no_weight_of_a_clipped_critic_is_beyond_the_bound(name):
    model, batches = start(name)
    model.opt_D.lr = 0.1
    model.step(batches)
    largest = max(abs(param.value).max() for param in model.D.params())
    assert largest == np.float32(model.settings.clip)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp", "wgan_gp2d"])
def test_a_step_is_several_of_the_critic_and_one_of_G(name):
    model, batches = start(name, critic_steps=3)
    model.step(batches)
    assert (model.opt_D.steps, model.opt_G.steps) == (3, 1)


def test_a_lazy_penalty_is_taken_in_every_second_step():
    model, batches = start("r1gan, lazy")
    taken = [float(model.step(batches)["penalty"]) > 0 for _ in range(4)]
    assert taken == [True, False, True, False]
    assert [penalties.lazily(step, 2) for step in range(4)] == [2, 0, 2, 0]


@pytest.mark.parametrize("name", ["gan2d", "wgan_gp2d", "r1gan", "dcgan, average"])
def test_samples_are_those_of_the_average(name):
    model, batches = start(name)
    for _ in range(3):
        model.step(batches)
    z = model.latent(6, np.random.default_rng(0))
    samples = model.generate(z)
    np.testing.assert_array_equal(samples, model.G_average.net(z))
    assert not np.array_equal(samples, model.G(z))
