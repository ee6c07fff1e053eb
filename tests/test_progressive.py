"""Progressive growing: what fades, its game at each level, when levels come, what is forgotten; bugs, planted."""

import copy
import inspect
import runpy
import sys
import textwrap
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from objectives import follows
from test_examples import PATHS, loaded
from test_known_bugs import caught
from test_objectives import between, slope

from scratchgan import plots, xp
from scratchgan.data import Batches
from scratchgan.examples import wgan_gp
from scratchgan.examples.styles import progressive
from scratchgan.fast import threads
from scratchgan.layers import AvgPool, Blend, MinibatchStd, Sequential, Upsample
from scratchgan.support.errors import SettingsError
from scratchgan.weights import Equalized

GAN = progressive.Progressive
LEVELS = range(3)


def begin(level=0, a=1.0, **more):
    """Return a small model at a level, and its batches."""
    threads.use(1)
    settings = progressive.Settings(**{"batch_size": 8, "width": 4, "stay": 4, "fade": 3} | more)
    model = GAN(settings, (28, 28, 1), np.random.default_rng(0))
    batches = Batches(*loaded(GAN, settings), batch_size=settings.batch_size, rng=np.random.default_rng(1))
    at(model, level, a)
    return model, batches


def at(model, level, a):
    for net in (model.G, model.D, model.G_average.net):
        net.level = level
        if level > 0:
            (blend,) = [layer for layer in net.layers if isinstance(layer, Blend)]
            blend.a[...] = a


def some(batches, dtype=np.float32):
    return xp.asarray(batches.next().astype(dtype) / 127.5 - 1)


def shrunk(x, times):
    """Means of squares of pixels, longhand."""
    for _ in range(times):
        x = (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
    return x


# ---- what fades ------------------------------------------------------------------------------------------


def starts_as_the_level_below(level):
    """At a = 0: G's picture is that of the level below, enlarged, and D says what it said of the smaller picture."""
    model, batches = begin(level, 0.0)
    z, x = model.noise(8), AvgPool(2 ** (2 - level))(some(batches))
    y, score = model.G(z), model.D(x)
    at(model, level - 1, 1.0)
    assert y.shape == x.shape and np.ptp(y) > 0.1 and np.ptp(score) > 1e-3
    assert (y == Upsample(2)(model.G(z))).all()
    assert (score == model.D(AvgPool(2)(x))).all()


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_starts_as_the_level_below(level):
    starts_as_the_level_below(level)


def leaves_the_old_way(level):
    """At a = 1 the old way out of G and into D has no gradient, of the penalty neither; all others have one."""
    model, batches = begin(level, 1.0)
    for optimizer in (model.opt_G, model.opt_D):
        optimizer.step = lambda: None
    model.discriminator_step(some(batches))
    model.generator_step(8)
    for net in (model.G, model.D):
        below = {id(param) for param in net.levels[level - 1].params()}
        (blend,) = [layer for layer in net.layers if isinstance(layer, Blend)]
        old, new = (blend.old.params(), blend.new.params())
        assert old and {id(param) for param in old} <= below and not any(id(param) in below for param in new)
        assert not any(param.grad.any() for param in old) and all(param.grad.any() for param in new)
        used = {id(param) for layer in net.layers for param in layer.params()}
        assert not any(param.grad.any() for param in net.params() if id(param) not in used)  # of later levels


@pytest.mark.parametrize("level", [1, 2])
def test_a_level_leaves_the_old_way(level):
    leaves_the_old_way(level)


def reals_fade():
    """lerp(up(pool(x)), x, a), at the side of the level."""
    model, batches = begin()
    real = some(batches)
    np.testing.assert_allclose(model.seen(real), shrunk(real, 2), atol=1e-6)
    for level in (1, 2):
        for a in (0.0, 0.25, 1.0):
            at(model, level, a)
            x = shrunk(real, 2 - level)
            blurred = shrunk(x, 1).repeat(2, axis=1).repeat(2, axis=2)
            np.testing.assert_allclose(model.seen(real), (1 - a) * blurred + a * x, atol=1e-6)
    np.testing.assert_array_equal(model.seen(real), real)


def test_reals_fade():
    reals_fade()


@pytest.mark.parametrize("level", [1, 2])
def test_slopes_halve_at_a_new_level(level):
    """As docs/progressive.md says: of the same D, asked through a mean of four pixels."""
    model, batches = begin(level, 0.0, batch_size=16)
    x = AvgPool(2 ** (2 - level))(some(batches))
    large = slope(model.D, x)
    at(model, level - 1, 1.0)
    np.testing.assert_allclose(2 * large, slope(model.D, AvgPool(2)(x)), rtol=1e-4)


# ---- the game --------------------------------------------------------------------------------------------


def objective(player, drift, level, G, D, draw, real):
    """Karras et al. 2018, the appendix, for networks of any dtype: WGAN-GP, and drift E D(x)^2 of real pictures."""
    fake = G.forward(draw())[0]
    if player == "G":
        return -D.forward(fake)[0].mean()
    x = shrunk(real, 2 - level)
    if level > 0:
        x = 0.75 * shrunk(x, 1).repeat(2, axis=1).repeat(2, axis=2) + 0.25 * x
    scores = D.forward(x)[0]
    penalty = 10 * ((slope(D, between(x, fake, draw.rng)) - 1) ** 2).mean()
    return D.forward(fake)[0].mean() - scores.mean() + penalty + drift * (scores**2).mean()


def follows_the_paper(player, level=1, drift=0.001):
    model, batches = begin(level, 0.25, drift=drift)
    real = some(batches, np.float64)
    for net in (model.G, model.D):  # no bias of 0: of a black square a LeakyReLU would stand on its kink
        for param in net.params():
            param.value[...] += 0.01
    step = model.discriminator_step if player == "D" else lambda real: model.generator_step(len(real))
    printed = None if player == "D" and drift else np.sum  # loss and penalty, without the drift
    follows(model, player, step, (real,), partial(objective, player, drift, level), printed)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("player", "drift"), [("D", 0.001), ("D", 0.0), ("G", 0.001)])
def test_a_step_follows_the_paper(player, level, drift):
    follows_the_paper(player, level, drift)


def hears_how_samples_differ(level=2):
    """D's channel beside those of 7 x 7: the mean of deviations over the samples i, i + 2, i + 4, i + 6 of eight."""
    model, batches = begin(level, 0.5)
    x = model.seen(some(batches))
    *before, last = model.D.layers
    inner = Sequential(*before)(x)
    y = last.layers[0](inner)
    assert isinstance(last.layers[0], MinibatchStd) and y.shape == (8, 7, 7, 13)
    for i in range(8):
        expected = np.sqrt(inner[i % 2 :: 2].var(0) + 1e-8).mean()
        np.testing.assert_allclose(y[i, ..., -1], expected, rtol=1e-3)
    alike = last.layers[0](Sequential(*before)(np.tile(x[:1], (8, 1, 1, 1))))
    assert alike[..., -1].max() < 1e-3 < y[..., -1].min()


@pytest.mark.parametrize("level", LEVELS)
def test_D_hears_how_samples_differ(level):
    hears_how_samples_differ(level)


def weights_are_equalised():
    """V has numbers of size 1, and c V is of He's size, in each layer of each level."""
    model, _ = begin(width=8)
    for net in (model.G, model.D):
        layers = [layer for _, layer in net.named_layers() if hasattr(layer, "W")]
        assert len(layers) == {id(model.G): 9, id(model.D): 10}[id(net)]
        for layer in layers:
            fan = np.prod(layer.W.value.shape[:-1])
            assert isinstance(layer.W, Equalized) and type(layer.b).__name__ == "Param"
            assert (layer.W.value**2).mean() == pytest.approx(1, rel=1e-4)
            if layer.W.value.size > 200:
                assert (layer.W.effective() ** 2).mean() == pytest.approx(2 / fan, rel=0.3)


def test_weights_are_equalised():
    weights_are_equalised()


def test_z_is_normalised():
    model, _ = begin(2, 0.5)
    G, z = copy.deepcopy(model.G).astype(np.float64), model.noise(4).astype(np.float64)
    np.testing.assert_allclose(G(z), G(3 * z), atol=1e-8)


# ---- time ------------------------------------------------------------------------------------------------


def test_the_share_moves():
    """The level and the share of each step, of G, of D and of the network that samples come from."""
    model, batches = begin(average=0.5)
    found = []
    for taken in range(13):
        model.step(batches)
        since = taken - 4 * model.G.level
        assert model.G_average.decay == min(0.5, (since + 1) / (since + 4))  # or it is what a block was drawn as
        nets = model.G, model.D, model.G_average.net
        shares = [[float(layer.a) for layer in net.layers if isinstance(layer, Blend)] for net in nets]
        assert shares[0] == shares[1] == shares[2] and len({net.level for net in nets}) == 1
        found.append((model.G.level, *shares[0]))
    expected = [(0,)] * 4 + [(1, 1 / 3), (1, 2 / 3), (1, 1), (1, 1)] + [(2, 1 / 3), (2, 2 / 3), (2, 1), (2, 1), (2, 1)]
    assert [row[0] for row in found] == [row[0] for row in expected]
    np.testing.assert_allclose([row[1:] or (0,) for row in found], [row[1:] or (0,) for row in expected], rtol=1e-6)


def a_level_begins_with_small_steps():
    """Adam's first step is the rate for each weight that has a gradient: it has forgotten all before."""
    model, batches = begin()
    counts = []
    for taken in range(10):
        before = [[param.value.copy() for param in net.params()] for net in (model.G, model.D)]
        model.step(batches)
        counts.append((model.opt_G.steps, model.opt_D.steps))
        if taken in (4, 8):
            for net, values in zip((model.G, model.D), before, strict=True):
                moved = [abs(param.value - value).max() for param, value in zip(net.params(), values, strict=True)]
                assert max(moved) == pytest.approx(model.settings.lr, rel=1e-3)
    assert counts == [(n, n) for n in (1, 2, 3, 4, 1, 2, 3, 4, 1, 2)]


def test_a_level_begins_with_small_steps():
    a_level_begins_with_small_steps()


@pytest.mark.parametrize("stop", [3, 4, 5, 8, 10])
def test_a_run_goes_on_exactly_from_any_step(stop):
    """The level and the share are not in the settings: a model that is loaded draws, and goes on, as the first one."""
    one, batches = begin()
    one.remember_as_built()
    reals = [SimpleNamespace(next=partial(np.asarray, batches.next())) for _ in range(12)]
    for real in reals[:stop]:
        one.step(real)
    other, _ = begin()
    other.remember_as_built()
    other.load_state(copy.deepcopy(one.state()))
    z = one.latent(5, np.random.default_rng(0))
    assert (one.generate(z) == other.generate(z)).all() and (one.G(z) == other.G(z)).all()
    for real in reals[stop:]:
        one.step(real)
        other.step(real)
    a, b = one.state(), other.state()
    assert a.keys() == b.keys() and all((a[key] == b[key]).all() for key in a)


def test_a_fade_ends_before_the_next_side():
    with pytest.raises(SettingsError, match="--fade 5 does not end within --stay 4 steps"):
        progressive.Settings(stay=4, fade=5)


# ---- samples ---------------------------------------------------------------------------------------------


def test_samples_have_the_size_of_pictures():
    """28 x 28 at each level, in squares of equal pixels before the last; of the average."""
    model, batches = begin()
    model.step(batches)  # of G itself, too, and then the two differ
    z = model.latent(5, np.random.default_rng(0))
    for level in LEVELS:
        at(model, level, 0.5)
        side, small = 7 * 2**level, model.G_average.net(z)
        assert small.shape == (5, side, side, 1) and not np.array_equal(small, model.G(z))
        x = small.repeat(28 // side, axis=1).repeat(28 // side, axis=2)
        np.testing.assert_array_equal(model.generate(z), x)


def test_nothing_grows():
    """With --first 28 all steps are at 28 x 28."""
    model, batches = begin(first=28)
    assert len(model.G.levels) == len(model.D.levels) == 1
    assert not any(isinstance(layer, Blend) for net in (model.G, model.D) for _, layer in net.named_layers())
    for _ in range(6):
        model.step(batches)
        assert model.opt_D.steps == model.taken and model.G(model.noise(2)).shape == (2, 28, 28, 1)


@pytest.mark.parametrize("batch_size", [3, 6, 8])
def test_any_size_of_a_batch(batch_size):
    model, batches = begin(batch_size=batch_size)
    assert all(np.isfinite(float(loss)) for loss in model.step(batches).values())


def test_the_figure_has_samples_in_their_order():
    cut = runpy.run_path(str(PATHS["progressive"].parents[2] / "docs" / "figures" / "progressive.py"))["cut"]
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), dtype=np.uint8)
    np.testing.assert_array_equal(cut(plots.grid(images)[..., 0], 12), images[:12, ..., 0])


# ---- bugs, planted: for each, a test above must fail -------------------------------------------------------


def plant(monkeypatch, method, right, wrong, Model=GAN):
    """Replace a piece of the source of a method."""
    source = textwrap.dedent(inspect.getsource(vars(Model)[method]))
    assert source.count(right) == 1
    source = source.replace(right, wrong).replace("super()", f"super({Model.__name__}, self)")
    names = dict(vars(sys.modules[Model.__module__]))
    exec(source, names)
    monkeypatch.setattr(Model, method, names[method])


BUGS = {
    "alpha that stays where it started": ("grow", "layer.a[...] = ", "_ = ", test_the_share_moves),
    "alpha of G alone": ("grow", "layer.a[...] = ", "layer.a[...] = 0 if net is self.D else ", test_the_share_moves),
    "samples of another level": ("grow", "(self.G, self.D, self.G_average.net)", "(self.G, self.D)",
        test_the_share_moves),
    "alpha that never comes to 1": ("grow", "(since + 1) / self", "0.5 * (since + 1) / self", test_the_share_moves),
    "an average of what blocks were drawn as": ("grow", "min(self.settings.average, (since + 1) / (since + 4))",
        "self.settings.average", test_the_share_moves),
    "alpha of all steps": ("grow", "since = self.taken - level * self.settings.stay", "since = self.taken",
        test_the_share_moves),
    "a count of steps that stands still": ("step", "self.taken += 1", "pass", test_the_share_moves),
    "reals that do not fade": ("seen", "if self.D.level > 0:", "if False:", reals_fade),
    "reals that fade the other way": ("seen", "(1 - a) * Upsample(2)(AvgPool(2)(real)) + a * real",
        "a * Upsample(2)(AvgPool(2)(real)) + (1 - a) * real", reals_fade),
    "reals of every second pixel": ("seen", "real = AvgPool(2)(real)", "real = real[:, ::2, ::2]", reals_fade),
    "Adam that remembers": ("grow", "if level > self.G.level:", "if False:", a_level_begins_with_small_steps),
    "Adam of G alone": ("grow", "self.opt_D.reset()", "pass", a_level_begins_with_small_steps),
    "Adam that forgets in each step": ("grow", "if level > self.G.level:", "if level >= self.G.level:",
        a_level_begins_with_small_steps),
    "weights of D that are not equalised": ("networks", "equalized(Growing(D))", "Growing(D)", weights_are_equalised),
    "weights of G that are not equalised": ("networks", "equalized(Growing(G))", "Growing(G)", weights_are_equalised),
    "a D that is not told of the batch": ("networks", "MinibatchStd(group)", "MinibatchStd(1)",
        hears_how_samples_differ),
    "an old way through a new block": ("networks", "Sequential(leave[k - 1], Upsample(2))",
        "Sequential(up[k], leave[k])", partial(starts_as_the_level_below, 1)),
    "an old way of its own": ("networks", "Sequential(AvgPool(2), enter[k - 1])",
        "Sequential(AvgPool(2), Dense(channels, (3, 2, 1)[k - 1] * w, rng=rng), act)",
        partial(starts_as_the_level_below, 2)),
    "new and old exchanged": ("networks", "D.append(Sequential(Blend(old, new)", "D.append(Sequential(Blend(new, old)",
        partial(leaves_the_old_way, 1)),
    "new and old exchanged in G": ("networks", "G.append(Sequential(*up[:k], Blend(old, new)",
        "G.append(Sequential(*up[:k], Blend(new, old)", partial(starts_as_the_level_below, 1)),
    "no drift": ("discriminator_step", "d_real + d_drift", "d_real", partial(follows_the_paper, "D")),
    "a drift that drives": ("discriminator_step", "d_real + d_drift", "d_real - d_drift",
        partial(follows_the_paper, "D")),
    "a drift of half the slope": ("discriminator_step", "2 * self.settings.drift", "self.settings.drift",
        partial(follows_the_paper, "D")),
    "a drift of generated pictures": ("discriminator_step", "len(real) * real_score", "len(real) * fake_score",
        partial(follows_the_paper, "D")),
    "samples of a level's own size": ("generate", "Upsample(SIDES[-1] // x.shape[1])(x)", "x",
        test_samples_have_the_size_of_pictures),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    method, right, wrong, test = BUGS[bug]
    plant(monkeypatch, method, right, wrong)
    caught(test)


def test_a_constant_that_counts_twice_is_caught(monkeypatch):
    """Scaled at the start and at each step, or by two wrappers (published as "equalised twice")."""
    monkeypatch.setattr(Equalized, "effective", lambda self: self.c * self.c * self.value)
    caught(weights_are_equalised)


@pytest.mark.parametrize("axis", [1, 2])
def test_deviations_over_the_wrong_axis_are_caught(monkeypatch, axis):
    """With channels last, code that was written for channels first takes another axis for the samples."""

    def forward(self, x, train=True):
        s = np.sqrt(x.var(axis) + self.eps)
        t = np.broadcast_to(s.mean(), (*x.shape[:-1], 1)).astype(x.dtype)
        return np.concatenate([x, t], axis=-1), None

    monkeypatch.setattr(MinibatchStd, "forward", forward)
    caught(hears_how_samples_differ)


def test_groups_of_neighbours_are_caught(monkeypatch):
    """Samples 0 to 3, 4 to 7, where the statistic is written to i mod M: each is told another group's."""
    monkeypatch.setattr(MinibatchStd, "groups", lambda self, x: x.reshape(2, 4, -1).swapaxes(0, 1))
    caught(hears_how_samples_differ)


def test_a_G_that_descends_is_caught(monkeypatch):
    plant(monkeypatch, "generator_step", "pull(D_tape, d_score)", "pull(D_tape, -d_score)", wgan_gp.WGANGP)
    caught(follows_the_paper, "G")
