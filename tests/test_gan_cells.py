"""The GAN of cells: the objectives, longhand, with R1; and how its samples are counted."""

import json
import runpy
import sys
from functools import partial

import numpy as np
import pytest
from objectives import follows, log_sigmoid
from test_examples import PATHS
from test_objectives import slope

from scratchgan.data import Batches, cells
from scratchgan.examples.relatives import gan_cells
from scratchgan.metrics import cells as metrics


def start(**more):
    settings = gan_cells.Settings(**{"width": 16, "batch_size": 32} | more)
    points = gan_cells.CellsGAN.load_data(settings)
    batches = Batches(points, batch_size=32, rng=np.random.default_rng(1))
    return gan_cells.CellsGAN(settings, points.shape[1:], np.random.default_rng(0)), batches


def objective(player, gamma, G, D, draw, real):
    """The two of the docstring, longhand."""
    fake = D.forward(G.forward(draw())[0])[0]
    if player == "G":
        return -log_sigmoid(fake).mean()
    game = -log_sigmoid(D.forward(real)[0]).mean() - log_sigmoid(-fake).mean()
    return game + gamma / 2 * (slope(D, real) ** 2).mean()


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("gamma", [0.1, 3.0])
def test_a_step_follows_its_objective(player, gamma):
    model, batches = start(gamma=gamma)
    step = model.discriminator_step if player == "D" else lambda real: model.generator_step(len(real))
    follows(model, player, step, (batches.next(),), partial(objective, player, gamma), printed=np.sum)


def test_q_counts_samples_of_the_average(monkeypatch):
    """In pieces, all of them, and the same again."""
    model, batches = start()
    for _ in range(2):
        model.step(batches)
    monkeypatch.setattr(gan_cells, "PIECE", 300)
    rng = np.random.default_rng([model.settings.seed, 1000])
    z = np.concatenate([model.latent(k, rng) for k in (300, 300, 300, 100)])
    wanted = metrics.counted(cells.numbers(model.G_average.net(z)))
    np.testing.assert_array_equal(model.q(1000), wanted)
    np.testing.assert_array_equal(model.q(1000), wanted)
    assert model.q(1000).sum() == pytest.approx(1, abs=1e-12)


def test_perfect_samples_reach_the_floor():
    """What is measured of a G that draws p: near 0, and all eight modes."""
    model, _ = start()
    model.latent = cells.points
    model.generate = lambda z: z
    found = model.measured(0)
    assert found["JS"] < 0.001 and found["modes, of 8"] == 8
    assert found["KL(p, q)"] < 0.01


def test_each_player_has_its_rate():
    model, _ = start(lr=0.01, lr_D=0.02)
    assert (model.opt_G.lr, model.opt_D.lr) == (0.01, 0.02)


def test_evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["gan_cells"]), *arguments])
        runpy.run_path(str(PATHS["gan_cells"]), run_name="__main__")

    call("--steps", "2", "--out", "run", "--width", "4", "--batch-size", "8", "--threads", "1")
    call("evaluate", "run")
    assert "modes, of 8" in capsys.readouterr().out
    measured = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert measured["JS"]["value"] > measured["JS"]["floor"]
