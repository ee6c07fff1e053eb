"""What losses are at a game's equilibrium: right for each objective, and no line where nobody knows."""

import numpy as np
import pytest
from PIL import Image
from test_examples import EXAMPLES

from scratchgan import plots, training, xp
from scratchgan.examples import gan
from scratchgan.examples.stability import ragan

LOG2 = 0.6931471805599453
GAME, HINGE, CRITIC = {"D": 2 * LOG2, "G": LOG2}, {"D": 2.0}, {"D": 0.0}
EXPECTED = {
    **dict.fromkeys(("gan", "gan2d", "dcgan", "cgan", "data_augmentation", "adversarial_nets", "r1gan", "pacgan",
                     "anogan", "unrolled", "unrolled_ring", "improved_gan", "improved_gan instance_noise 0.1",
                     "diffaugment", "stylegan2"), GAME),
    **dict.fromkeys(("gan hinge", "sngan", "projection", "retrieval", "sagan", "biggan"), HINGE),
    **dict.fromkeys(("gan wasserstein", "wgan", "wgan_gp", "wgan_gp2d", "progressive"), CRITIC),
    "gan minimax": {"D": 2 * LOG2, "G": -LOG2},
    "gan least-squares": {"D": 0.25, "G": 0.125},
    "unrolled, saturating": {"D": 2 * LOG2, "G": -2 * LOG2},
    "ragan": {"D": 2 * LOG2, "G": 2 * LOG2},
    "ragan paired": {"D": LOG2, "G": LOG2},
    "ragan hinge": {"D": 2.0, "G": 2.0},
    "pix2pix": {"D": LOG2, "G": LOG2},
    **dict.fromkeys(("dragan", "ssgan", "acgan", "veegan", "infogan", "semi_supervised", "text_to_image",
                     "improved_gan feature_matching True", "improved_gan real_target 0.9"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_of_each_example(name):
    Model, Settings, options = EXAMPLES[name]
    model = Model.__new__(Model)
    model.settings = Settings(**options)
    assert model.equilibrium() == pytest.approx(EXPECTED[name], rel=1e-12)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.split()[0] in ("gan", "ragan")])
def test_where_all_samples_look_alike_D_can_do_no_better(name):
    """Real and generated samples of one distribution, and the best D is one number c: its loss is the level."""
    D_loss, G_loss = ragan.LOSSES[options(name)] if "ragan" in name else gan.LOSSES[options(name)]
    levels = EXPECTED[name]
    numbers = np.linspace(-2, 2, 401)
    logits = [xp.asarray(np.full((4, 1), c)) for c in numbers]
    values = np.array([float(D_loss(c, c)[0]) for c in logits])
    assert values.min() == pytest.approx(levels["D"], abs=1e-12)
    best = [c for c, value in zip(logits, values, strict=True) if value < values.min() + 1e-12]
    of_G = [float((G_loss(c, c) if "ragan" in name else G_loss(c))[0]) for c in best]
    assert ("G" in levels) == (np.ptp(of_G) < 1e-9)  # where c is free, G's loss is no sign of anything
    if "G" in levels:
        assert of_G == pytest.approx([levels["G"]] * len(of_G), abs=1e-12)


def options(name):
    Model, Settings, options = EXAMPLES[name]
    return Settings(**options).loss


def test_the_lines_are_in_the_log_and_in_the_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["--steps", "3", "--batch-size", "4", "--sample-every", "2", "--device", "cpu"]
    training.main(gan.GAN, gan.Settings, [*common, "--out", "run"])
    told = [record.get("equilibrium") for record in plots.read_log("run/log.jsonl")]
    assert told == [pytest.approx(GAME)] * 3  # at every picture of samples
    assert plots.read_curves("run/log.jsonl")[2] == pytest.approx(GAME)
    with open("run/log.jsonl") as file:
        bare = [line.replace('"equilibrium"', '"other"') for line in file]
    (tmp_path / "bare.jsonl").write_text("".join(bare))
    plots.losses("bare.jsonl", "bare.png")
    assert not np.array_equal(np.asarray(Image.open("bare.png")), np.asarray(Image.open("run/losses.png")))
    training.main(gan.GAN, gan.Settings, ["--resume", "run", "--steps", "4", "--loss", "hinge"])
    assert plots.read_curves("run/log.jsonl")[2] == HINGE  # of the game that is played now


@pytest.mark.parametrize("levels", ["[1]", '"x"', '{"D": "x"}', "null", "5"])
def test_a_damaged_line_of_levels_draws_none(tmp_path, levels):
    (tmp_path / "log").write_text(f'{{"step": 1, "D": 1.0, "equilibrium": {levels}}}\n')
    plots.losses(tmp_path / "log", tmp_path / "a.png")
    assert plots.read_curves(tmp_path / "log")[2] == {}
