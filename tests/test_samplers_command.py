"""The command of `samplers.py`: a table, a picture, and a line for each run that it cannot take."""

import functools
import json

import numpy as np
import pytest
from PIL import Image

from scratchgan import samplers, training
from scratchgan.data import mixtures
from scratchgan.examples import gan2d
from scratchgan.examples.collapse import pacgan
from scratchgan.examples.relatives import fgan
from scratchgan.examples.relatives import samplers as example
from scratchgan.examples.stability import wgan_gp2d


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains for a step, once for the same arguments, and returns the run."""

    @functools.cache
    def train(Model, Settings, **options):
        out = tmp_path_factory.mktemp("run") / "run"
        training.train(Model, Settings(steps=1, batch_size=16, threads=1, out=str(out), device="cpu", **options))
        return out

    return train


def refused(capsys, *arguments):
    """Return the line that the command leaves on stderr."""
    with pytest.raises(SystemExit) as stop:
        example.main([*map(str, arguments)])
    line = capsys.readouterr().err
    assert stop.value.code == 2 and len(line.splitlines()) == 1
    return line


SMALL = ["--n", "40", "--tune", "30", "--chain", "5", "--steps", "5", "--device", "cpu"]
NAMES = ("G", "the best tenth by D", "DRS", "DRS, gamma 0", "MH-GAN", "DDLS", "DDLS, adjusted", "real points")


def test_the_command_prints_a_table_and_draws_and_seeds_say_all(trained, capsys):
    run = trained(gan2d.GAN2D, gan2d.Settings, data="grid")
    tables = []
    for _ in range(2):
        capsys.readouterr()
        example.main([str(run), *SMALL])
        lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
        tables.append([line[1:-2] for line in lines])  # all but the seconds
    assert tables[0] == tables[1] and [row[0].strip() for row in tables[0][2:]] == list(NAMES)
    found = json.loads((run / "samplers.json").read_text())
    assert found["MH-GAN"]["G a sample"] >= 5 and found["real points"]["high quality"] > 0.9 and "Z before" in found
    assert min(Image.open(run / "samplers.png").size) > 300


def test_runs_that_cannot_be_sampled_are_refused_in_a_line(trained, monkeypatch, tmp_path, capsys):
    assert "There is no run directory" in refused(capsys, tmp_path / "none")
    assert "several samples as one" in refused(capsys, trained(pacgan.PacGAN, pacgan.Settings, width=8), *SMALL)
    monkeypatch.setitem(gan2d.MIXTURES, "grid", mixtures.two_moons)
    assert "--data ring or grid" in refused(capsys, trained(gan2d.GAN2D, gan2d.Settings, data="grid"))


def test_a_critics_run_is_sampled_once_its_last_layer_says_a_logit(trained, capsys):
    run = trained(wgan_gp2d.WGANGP2D, wgan_gp2d.Settings, width=8)
    example.main([str(run), *SMALL])
    printed, found = capsys.readouterr().out, json.loads((run / "samplers.json").read_text())
    assert printed.count("| ") > 8 and "Z of the critic" in found
    assert abs(found["Z before"]) < abs(found["Z of the critic"])
    line = refused(capsys, trained(wgan_gp2d.WGANGP2D, wgan_gp2d.Settings, width=8, data="swiss_roll"))
    assert "--data ring or grid" in line


def test_a_run_of_another_kind_is_refused(trained, capsys):
    line = refused(capsys, trained(fgan.FGAN, fgan.Settings, width=8))
    assert "is of FGAN" in line and "wgan_gp2d.py" in line


def test_pacgan_alone_can_be_sampled(trained):
    """D sees one sample then: with --pack 1 it is the plain GAN."""
    model = example.load(trained(pacgan.PacGAN, pacgan.Settings, width=8, pack=1), example.Options(device="cpu"))
    latent = lambda n: model.latent(n, np.random.default_rng(0))
    x, d = samplers.Judged(model.G_average.net, model.D, latent).draw(40)
    assert x.shape == (40, 2) and d.shape == (40,)
