"""BigGAN's parts: a weight that stays orthogonal, who hears which piece of z, truncation; and bugs, planted."""

import copy
import runpy
import sys
from functools import partial

import numpy as np
import pytest
import test_labels
from objectives import follows
from PIL import Image
from test_examples import PATHS, some_labels, start, told_to_D
from test_known_bugs import caught
from test_sagan import plant

from scratchgan import metrics, penalties
from scratchgan.examples.styles import biggan
from scratchgan.support.errors import SettingsError

GAN = biggan.BigGAN
WEIGHT = 0.03  # large enough to be seen


def begin():
    """Return a model with every part in use: gains and shifts of the norms are 0 at first, and so is attention."""
    model, batches = start("biggan", orthogonal=WEIGHT)
    rng = np.random.default_rng(5)
    for param in [*model.G.params(), *model.D.params()]:
        if not param.value.any():
            param.value[...] = 0.2 * rng.standard_normal(param.value.shape)
    model.G_average.net.load_state(model.G.state())
    return model, batches


# ---- the game --------------------------------------------------------------------------------------------


def objective(player, G, D, draw, *told):
    """The hinge losses; and for G the squared products of different outputs, for each W but the embedding's."""
    loss = test_labels.objective("projection", player, G, D, draw, *told)
    if player == "D":
        return loss
    for path, param in G.named_params().items():
        if path.endswith(".W") and not path.endswith("embedding.W"):
            M = param.effective().reshape(-1, param.value.shape[-1])
            products = M.T @ M
            loss = loss + WEIGHT * sum(
                products[i, j] ** 2 for i in range(len(products)) for j in range(len(products)) if i != j
            )
    return loss


def follows_the_formula(player):
    model, batches = begin()
    told = told_to_D(model, batches)
    step = model.discriminator_step if player == "D" else lambda real, labels: model.generator_step(labels)
    follows(model, player, step, told, partial(objective, player), printed=None if player == "G" else np.sum)


@pytest.mark.parametrize("player", ["D", "G"])
def test_a_step_follows_the_formula(player):
    follows_the_formula(player)


def test_D_steps_more_often():
    model, batches = start("biggan")
    model.step(batches)
    assert (model.opt_D.steps, model.opt_G.steps) == (2, 1)


# ---- who hears what --------------------------------------------------------------------------------------


def labels_alone_move(norm, z, labels, G):
    """Whether the second norm hears the class itself, and not only what the first made of it."""
    x = np.ones((len(z), 14, 14, 8), np.float32)
    told = [G.layers[0]((z, some)) for some in (labels, (labels + 1) % 10)]
    return not np.array_equal(norm((x, told[0])), norm((x, told[1])))


def pieces_go_to_their_norms():
    """Both norms hear the class; what comes first hears z_0, norm 1 z_1, norm 2 z_2, and nothing before does."""
    model, _ = begin()
    G, rng = model.G_average.net, np.random.default_rng(0)
    z, labels = model.latent(10, rng), some_labels(10)

    def stages(z, labels):
        told = G.layers[0]((z, labels))
        x, told = G.layers[1](told)
        found, layers = [x], [layer for _, layer in G.layers[2].inside()]
        for layer in layers[:6]:  # normalised, told, ReLU; enlarged; normalised, told
            x = layer((x, told)) if layer.takes_pair else layer(x)
            found.append(x)
        return found[0], found[1], found[2], found[5], found[6]

    before = stages(z, labels)
    for k, first in ((0, 0), (1, 2), (2, 4)):
        moved = z.copy()
        moved[:, 32 * k : 32 * (k + 1)] += 1
        same = [np.array_equal(x, y) for x, y in zip(stages(moved, labels), before, strict=True)]
        assert same == [place < first for place in range(5)], k
    same = [np.array_equal(x, y) for x, y in zip(stages(z, (labels + 1) % 10), before, strict=True)]
    assert same == [True, True, False, False, False]
    assert labels_alone_move(G.layers[2].inside()[5][1], z, labels, G)


def test_pieces_go_to_their_norms():
    pieces_go_to_their_norms()


def test_a_z_that_cannot_be_cut():
    with pytest.raises(SettingsError, match="--latent 100 cannot be cut into 3 equal pieces"):
        biggan.Settings(latent=100)


# ---- truncation ------------------------------------------------------------------------------------------


def truncated_is_cut():
    """A cut normal distribution: none beyond, as many in each part of the middle as before, and not made smaller."""
    model, _ = start("biggan")
    z = model.truncated(2000, 1.0, np.random.default_rng(0))
    assert z.shape == (2000, 96) and z.dtype == np.float32 and np.abs(z).max() <= 1
    assert z.std() == pytest.approx(0.5398, rel=5e-3)  # 1 - 2 phi(1) / (2 Phi(1) - 1), its root
    assert (np.abs(z) < 0.5).mean() == pytest.approx(0.38292 / 0.68269, rel=5e-3)
    free = model.truncated(50, np.inf, np.random.default_rng(3))
    assert np.array_equal(free, model.latent(50, np.random.default_rng(3)))


def test_truncated_is_cut():
    truncated_is_cut()


def statistics_are_of_truncated():
    """The batch norms' means and variances follow truncated z, in a copy."""
    model, _ = begin()
    arrays = lambda model: copy.deepcopy(model.G_average.net.named_arrays())
    before = arrays(model)
    used = arrays(model.used_to(0.25, np.random.default_rng(0), batches=60))
    assert all(np.array_equal(array, before[path]) for path, array in arrays(model).items())
    norm = copy.deepcopy(model.G_average.net)
    z, labels = model.truncated(4000, 0.25, np.random.default_rng(1)), some_labels(4000)
    x, _ = norm.layers[1](norm.layers[0]((z, labels)))
    variances = [array for path, array in used.items() if "var" in path]
    np.testing.assert_allclose(variances[0], x.var(axis=(0, 1, 2)), rtol=0.15)


def test_statistics_are_of_truncated():
    statistics_are_of_truncated()


def test_the_command_truncate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["biggan"]), *arguments])
        try:
            runpy.run_path(str(PATHS["biggan"]), run_name="__main__")
        except SystemExit as left:
            return left.code

    assert not call("--steps", "2", "--batch-size", "8", "--width", "8", "--out", "run")
    assert call("truncate", "run") == 2 and "no classifier" in capsys.readouterr().err
    net = metrics.classifier.lenet((28, 28, 1), 10, rng=np.random.default_rng(0))
    metrics.classifier.save(metrics.classifier.Classifier(net, "glyphs", (28, 28, 1), 0.1))
    assert not call("truncate", "run", "--n", "60")
    printed = capsys.readouterr().out
    assert [f"t = {t}: FID-LeNet" in printed for t in ("inf", "2", "1", "0.5", "0.25")] == [True] * 5
    assert Image.open("run/truncate.png").size == (2 * (20 * 30 + 2), 2 * (5 * 30 + 2))
    assert call("--latent", "50") == 2 and "3 equal pieces" in capsys.readouterr().err


# ---- bugs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "right", "wrong", "test"),
    [
        # the penalty on the embedding, too, against the authors' code; or on nothing
        ("generator_step", "Sequential(*self.G.layers[1:])", "self.G", partial(follows_the_formula, "G")),
        ("generator_step", "weight=self.settings.orthogonal", "weight=0.0", partial(follows_the_formula, "G")),
        # one piece for all; the class in none but the first
        ("piece", "k * own, (k + 1) * own", "0, own", pieces_go_to_their_norms),
        ("piece", "Columns(end, end + self.settings.embedding)", "Columns(0, self.settings.embedding)",
         pieces_go_to_their_norms),
        # a normal z that is made smaller, or clipped, where the paper draws again
        ("truncated", "(beyond := np.abs(z) > t).any()", "(beyond := np.abs(z) > 1e9).any()", truncated_is_cut),
        ("truncated", "rng.standard_normal(beyond.sum())", "np.sign(z[beyond]) * t", truncated_is_cut),
        # the statistics of all z, or those of the model itself
        ("used_to", "self.truncated(64, t, rng)", "self.latent(64, rng)", statistics_are_of_truncated),
        ("used_to", "copy.deepcopy(self)", "self", statistics_are_of_truncated),
    ],
)  # fmt: skip
def test_a_bug_is_caught(monkeypatch, method, right, wrong, test):
    plant(monkeypatch, GAN, method, right, wrong)
    caught(test)


def test_a_penalty_with_its_diagonal_is_caught(monkeypatch):
    right = penalties.orthogonal
    monkeypatch.setattr(penalties, "orthogonal", partial(right, diagonal=True))
    caught(follows_the_formula, "G")
