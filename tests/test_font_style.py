"""Font style: what both networks descend, what a style is, and bugs planted."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from objectives import above_zero, follows
from test_known_bugs import caught

from scratchgan import data, losses, xp
from scratchgan.examples.translation import font_style
from scratchgan.layers import GlobalAvgPool

SMALL = {"width": 4, "style": 3, "styles": 2, "glyphs": 40}


def small(**options):
    """Return a narrow model, whose norms hear of the style, and a batch (x, inputs, faces) of noise for it."""
    rng = np.random.default_rng(0)
    settings = font_style.Settings(**SMALL | options)
    model = font_style.FontStyle(settings, (28, 28, 1), np.random.default_rng(1))
    for net in (model.G, model.D):
        for param in net.params():
            param.value[...] += xp.to_device(np.float32(0.1 * rng.standard_normal(param.value.shape)))
    x = np.tanh(rng.standard_normal((4, 28, 28, 1))).astype("float32")
    inputs = np.tanh(rng.standard_normal((4, 28, 28, 1 + settings.styles))).astype("float32")
    return model, (x, inputs, np.array([3, 7, 3, 12]))


def batches(told):
    """Return what stands for batches, whose next one is always this one."""
    return SimpleNamespace(next=lambda: tuple(told))


def in_bytes(x, inputs, f):
    return data.to_bytes(x), data.to_bytes(inputs), f


# ---- the objective ---------------------------------------------------------------------------------------


def generated(G, inputs):
    content, glyphs_of_style = inputs[..., :1], np.stack([inputs[..., k, None] for k in (1, 2)], axis=1)
    return G.forward((content, glyphs_of_style))[0]


def objective_D(G, D, draw, x, inputs, f):
    real, fake = D.forward((x, f))[0], D.forward((generated(G, inputs), f))[0]
    return above_zero(1 - real).mean() + above_zero(1 + fake).mean()


def objective_G(l1, gan):
    def objective(G, D, draw, x, inputs, f):
        fake = generated(G, inputs)
        away = (fake - x) * np.where((fake - x).real > 0, 1, -1)  # |x - G(c, s)|, for a complex step
        return l1 * away.mean() - gan * D.forward((fake, f))[0].mean()

    return objective


def follows_D(margin):
    """At a score where the hinge of some real, or of some fake, samples is at rest."""
    model, told = small()
    x, inputs, f = told
    of = x if margin == "real" else model.G(model.given(inputs))
    (bias,) = [param for param in model.D.params() if param.value.shape == (1,)]
    bias.value += (1 if margin == "real" else -1) - np.median(model.D((of, f)))
    step = lambda x, inputs, f: model.discriminator_step(x, f, model.G.forward(model.given(inputs))[0])
    follows(model, "D", step, told, objective_D, lambda said: said)


def follows_G(**options):
    model, told = small(**options)
    l1, gan = model.settings.l1, model.settings.gan
    step = lambda x, inputs, f: model.generator_step(x, f, *model.G.forward(model.given(inputs)))
    follows(model, "G", step, told, objective_G(l1, gan), lambda said: l1 * said["L1"] + said.get("G", 0))


@pytest.mark.parametrize("margin", ["real", "fake"])
def test_the_discriminators_step_follows_its_objective(margin):
    follows_D(margin)


@pytest.mark.parametrize("options", [{}, {"gan": False}, {"l1": 0}, {"l1": 3.5}])
def test_the_generators_step_follows_its_objective(options):
    follows_G(**options)


def a_step_asks_D():
    """One output serves both steps; D is asked of true glyphs and of it by their faces, and for G once it has moved."""
    model, told = small()
    asked, D_forward = [], model.D.forward
    model.D.forward = lambda pair: asked.append((*pair, model.D.params()[0].value.copy())) or D_forward(pair)
    assert set(model.step(batches(in_bytes(*told)))) == {"D", "L1", "G"}
    assert len(asked) == 3 and all((f == told[2]).all() for _, f, _ in asked)
    (real, _, first), (fake, _, second), (again, _, third) = asked
    np.testing.assert_allclose(real, told[0], atol=1 / 127)
    assert fake is again and (first == second).all() and (second != third).any()


def test_a_step_asks_D():
    a_step_asks_D()


def the_generators_step_leaves_D_alone():
    model, (x, inputs, f) = small()
    before = [param.value.copy() for param in model.D.params()]
    model.generator_step(x, f, *model.G.forward(model.given(inputs)))
    for param, value in zip(model.D.params(), before, strict=True):
        assert not param.grad.any() and (param.value == value).all()


def test_the_generators_step_leaves_D_alone():
    the_generators_step_leaves_D_alone()


def test_a_step_moves_every_weight_of_both_networks():
    """The style encoder, too, from the second step on: a FiLM of zeros hands nothing down to it at first."""
    model, told = small()
    before = {name: getattr(model, name).state() for name in ("G", "D")}
    model.step(batches(in_bytes(*told)))
    for name, state in before.items():
        still = [
            path for path in state if path.endswith(".W") and (state[path] == getattr(model, name).state()[path]).all()
        ]
        assert still == [] or name == "D" and all("embedding" in path for path in still), still


def test_without_the_game_D_is_never_asked():
    model, told = small(gan=False)
    before = copy.deepcopy(model.D.state())
    model.D.forward = None
    assert set(model.step(batches(in_bytes(*told)))) == {"L1"}
    assert all((model.D.state()[path] == array).all() for path, array in before.items())


# ---- what a style is -------------------------------------------------------------------------------------


def a_style_is_a_mean():
    """In any order, the style glyphs are the same style; twice each, too; and one by one, their mean is it."""
    model, (_, inputs, _) = small()
    content, shown = model.given(inputs)  # (4, 2, 28, 28, 1)
    encoder = model.G.layers[0].layers[1]
    code = encoder(shown)
    np.testing.assert_allclose(encoder(shown[:, ::-1].copy()), code, atol=1e-6)
    np.testing.assert_allclose(encoder(np.concatenate([shown, shown], axis=1)), code, atol=1e-6)
    np.testing.assert_allclose(encoder(shown[::-1].copy()), code[::-1], atol=1e-6)  # each sample has its own

    def mean(stack):
        for layer in encoder.layers:
            stack = layer(stack)
            if isinstance(layer, GlobalAvgPool):
                return stack

    alone = np.mean([mean(shown[:, k : k + 1]) for k in range(2)], axis=0)
    np.testing.assert_allclose(mean(shown), alone, atol=1e-6)


def test_a_style_is_a_mean():
    a_style_is_a_mean()


def test_each_sample_has_its_own_style_and_content():
    model, (_, inputs, _) = small()
    alone = np.concatenate([model.translate(inputs[i : i + 1]) for i in range(len(inputs))])
    np.testing.assert_allclose(model.translate(inputs), alone, atol=1e-5)
    exchanged = inputs.copy()
    exchanged[..., 1:] = inputs[::-1, ..., 1:]
    assert np.abs(model.translate(exchanged) - alone).max() > 1e-3


def test_content_and_style_glyphs_are_told_apart():
    content, shown = font_style.FontStyle.given(np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3))
    assert content.shape == (2, 4, 4, 1) and shown.shape == (2, 2, 4, 4, 1)
    assert content[1, 2, 3, 0] == 1 * 48 + 2 * 12 + 3 * 3
    assert [shown[1, k, 2, 3, 0] - content[1, 2, 3, 0] for k in (0, 1)] == [1, 2]


# ---- errors that others have made ------------------------------------------------------------------------


def test_the_same_label_for_all(monkeypatch):
    """Every glyph was of category 0, and the loss of categories always 0 (zi2zi)."""
    projection = font_style.Projection.forward
    monkeypatch.setattr(
        font_style.Projection, "forward", lambda self, pair, train=True: projection(self, (pair[0], 0 * pair[1]), train)
    )
    caught(D_hears_of_the_face)


def D_hears_of_the_face():
    model, (x, _, f) = small()
    assert (np.abs(model.D((x, f)) - model.D((x, (f + 1) % 20))) > 1e-3).all()


def test_D_hears_of_the_face():
    D_hears_of_the_face()


def test_fakes_by_the_face_of_the_content(monkeypatch):
    """The label of where a picture comes from, in the place of that where it goes."""
    step = font_style.FontStyle.generator_step
    monkeypatch.setattr(font_style.FontStyle, "generator_step", lambda model, x, f, *rest: step(model, x, 0 * f, *rest))
    caught(a_step_asks_D)
    caught(follows_G)


@pytest.mark.parametrize("margin", ["real", "fake"])
def test_a_loss_of_faces_for_fakes_alone(monkeypatch, margin):
    """Half of D's loss is dropped: what it says of true glyphs, or of G's."""
    right = losses.hinge_discriminator

    def half(real_logits, fake_logits):
        loss, d_real, d_fake = right(real_logits, fake_logits)
        return (loss, 0 * d_real, d_fake) if margin == "real" else (loss, d_real, 0 * d_fake)

    monkeypatch.setattr(font_style.losses, "hinge_discriminator", half)
    caught(follows_D, margin)


def test_a_reconstruction_of_the_content(monkeypatch):
    """L1 to the plain glyph: what goes in, and not what it shall become."""
    step = font_style.FontStyle.generator_step

    def of_another(model, x, *rest):
        return step(model, x[::-1], *rest)

    monkeypatch.setattr(font_style.FontStyle, "generator_step", of_another)
    caught(follows_G)


def test_a_gradient_of_Gs_step_that_is_left_in_D(monkeypatch):
    step = font_style.FontStyle.generator_step

    def left(model, *arguments):
        D = copy.copy(model.D)  # of the same layers
        model.D.pull = lambda tape, dy: (D.backward(tape, dy), None)
        return step(model, *arguments)

    monkeypatch.setattr(font_style.FontStyle, "generator_step", left)
    caught(the_generators_step_leaves_D_alone)


def test_style_glyphs_that_look_at_each_other(monkeypatch):
    """A kernel that reaches from one style glyph to the next: their order counts."""
    right = font_style.style_encoder

    def mixed(features, rng):
        net = right(features, rng)
        first = font_style.Conv3d(1, 24, (3, 4, 4), stride=(1, 2, 2), padding=(1, 1, 1), rng=rng)
        net.layers = (first, *net.layers[1:])
        return net

    monkeypatch.setattr(font_style, "style_encoder", mixed)
    caught(a_style_is_a_mean)
