"""DiffAugment: what D and G descend with T in each place, how p follows r, what is measured; bugs, planted."""

import copy
import inspect
import runpy
import sys
import textwrap

import numpy as np
import pytest
from objectives import handed_over, log_sigmoid
from test_examples import PATHS, start
from test_known_bugs import caught

from scratchgan import xp
from scratchgan.examples.styles import diffaugment
from scratchgan.layers import Cutout
from scratchgan.support.errors import SettingsError

GAN = diffaugment.DiffAugment
PLACES = tuple(diffaugment.AUGMENTED)


def begin(**more):
    """Return a small model, and 16 real pictures."""
    model, batches = start("diffaugment", **more)
    return model, xp.asarray(batches.next().astype("float32") / 127.5 - 1)


# ---- the objectives --------------------------------------------------------------------------------------


def what_is_descended(player, augment, G, D, T, z, real):
    """The paper's formula for networks of any dtype; T draws anew at each call."""
    x = lambda pictures: T.forward(pictures)[0]
    same = lambda pictures: pictures
    if player == "G":
        seen = x if augment == "everywhere" else same
        return -log_sigmoid(D.forward(seen(G.forward(z)[0]))[0]).mean()
    of_real = D.forward((same if augment == "none" else x)(real))[0]
    of_fake = D.forward((x if augment in ("D", "everywhere") else same)(G.forward(z)[0]))[0]
    return -log_sigmoid(of_real).mean() - log_sigmoid(-of_fake).mean()


def follows_the_formula(player, augment):
    """The gradient handed to the optimizer, along random directions, is that of the formula by a complex step."""
    model, real = begin(augment=augment)
    real, draws = real.astype(np.float64), np.random.default_rng(5)
    for kind in model.T.layers:
        kind.rng = draws
    for param in model.D.params():  # no bias of 0: under a hole its LeakyReLU would stand on the kink
        param.value[...] += 0.01
    held = copy.deepcopy((model.G, model.D, model.T))
    z = model.latent(len(real), copy.deepcopy(model.rng)).astype(complex)
    steps = {"D": lambda: model.discriminator_step(real), "G": lambda: model.generator_step(len(real))}
    grads, said = handed_over(model, player, steps[player])
    for seed in range(3):
        G, D, T = copy.deepcopy(held)
        nets = {"G": G.astype(np.complex128), "D": D.astype(np.complex128)}
        rng = np.random.default_rng(seed)
        directions = [rng.standard_normal(param.value.shape) for param in nets[player].params()]
        for param, v in zip(nets[player].params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        loss = what_is_descended(player, augment, nets["G"], nets["D"], T, z, real.astype(complex))
        terms = [(grad * v).sum() for grad, v in zip(grads, directions, strict=True)]
        assert abs(said - loss.real) < 1e-10 * abs(loss)
        assert abs(sum(terms) - loss.imag / 1e-20) < 1e-10 * sum(map(abs, terms))


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("augment", PLACES)
def test_a_step_follows_the_formula(player, augment):
    follows_the_formula(player, augment)


def test_samples_are_not_augmented():
    model, _ = begin()
    z = model.latent(4, np.random.default_rng(0))
    assert (model.generate(z) == model.G_average.net(z)).all() and (model.generate(z) == model.generate(z)).all()


# ---- the data --------------------------------------------------------------------------------------------


def test_a_few_pictures_again_and_again():
    settings = diffaugment.Settings(pictures=7)
    few, whole = GAN.load_data(settings), diffaugment.dcgan.DCGAN.load_data(settings)
    assert few.shape == whole.shape
    assert (few == whole[np.arange(len(whole)) % 7]).all()


# ---- p and r ---------------------------------------------------------------------------------------------


def p_follows_r():
    """Four steps with r = 1 move p up, with r = 1/2 down; by 4 N / images, from 0 to the most; in all kinds."""
    model, _ = begin(ada=True, images=640, most=0.25)
    found = []
    for sign in (1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5):  # groups of four steps
        for step in range(4):
            model.opt_D.steps += 1
            logits = np.full((16, 1), 3.0, dtype=np.float32)
            logits[: round(8 * (1 - sign))] = -0.1  # so many are called generated: r is the mean sign
            model.move_p(logits)
            assert step == 3 or float(model.p) == (found[-1] if found else 0)
        found.append(float(model.p))
    np.testing.assert_allclose(found, [0.1, 0.2, 0.25, 0.25, 0.15, 0.05, 0, 0], atol=1e-6)
    assert all(kind.p is model.p for kind in model.T.layers)


def test_p_of_no_T_is_refused():
    with pytest.raises(SettingsError, match="--augment none is without T"):
        diffaugment.Settings(ada=True, augment="none")


def test_p_follows_r():
    p_follows_r()


def the_steps_move_p():
    """p rises as long as D knows real pictures, whatever it says of generated ones; then T is drawn."""
    model, real = begin(ada=True, images=64)
    (bias,) = [param for param in model.D.params() if param.value.shape == (1,)]
    bias.value[...] = 9.0  # all is real
    model.opt_D.lr = 0.0
    for _ in range(4):
        model.discriminator_step(real)
    assert float(model.p) == pytest.approx(0.8)
    assert (model.T.forward(real)[0] != real).any()
    bias.value[...] = -9.0
    for _ in range(4):
        model.discriminator_step(real)
    assert float(model.p) == 0


def test_the_steps_move_p():
    the_steps_move_p()


def test_without_ada_p_stays():
    model, real = begin()
    for _ in range(4):
        model.discriminator_step(real)
    assert float(model.p) == 1 and model.signs[0] == 0


# ---- what is measured ------------------------------------------------------------------------------------


class Scores:
    """In the place of D: a score for training, held-out and generated pictures, one after the other."""

    def __init__(self, *scores):
        self.left = list(scores)

    def forward(self, x):
        return np.full((len(x), 1), float(self.left.pop(0))), None


@pytest.mark.parametrize(("scores", "expected"), [((3, 3, -1), 0), ((3, -1, -1), 1), ((2, 1, 0), 0.5), ((1, 1, 1), 0)])
def test_r_v_says_where_unseen_pictures_stand(scores, expected, monkeypatch):
    model, _ = begin()
    D = Scores(*scores)
    monkeypatch.setattr(model, "judge", lambda where: D)
    monkeypatch.setattr(diffaugment.copy, "deepcopy", lambda network: network)
    assert model.report() == {"p": 1.0, "r_v": pytest.approx(expected)}


def test_a_report_changes_nothing():
    model, real = begin(augment="everywhere")
    model.discriminator_step(real)
    before = model.state()
    model.report()
    after = model.state()
    assert before.keys() == after.keys() and all(np.array_equal(before[key], after[key]) for key in before)


def test_the_command_copies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(PATHS["diffaugment"]), *arguments])
        runpy.run_path(str(PATHS["diffaugment"]), run_name="__main__")

    call("--steps", "2", "--batch-size", "8", "--width", "4", "--pictures", "9", "--out", "run")
    call("copies", "run", "--n", "60")
    said = capsys.readouterr().out
    assert (tmp_path / "run" / "copies.png").exists()
    assert "nearer to a training picture than an unseen one is: 0." in said


# ---- the figure ------------------------------------------------------------------------------------------

FIGURE = runpy.run_path(str(PATHS["diffaugment"].parents[2] / "docs" / "figures" / "diffaugment.py"))


def test_a_block_shows_what_samples_are_nearest_to():
    model, _ = begin(pictures=5)
    known = FIGURE["few"](model)
    assert len(known) == 5
    model.images = lambda z: known[np.arange(len(z)) % 5]
    picture = FIGURE["block"](model)
    sides = FIGURE["ROWS"] * 2 * 30 + 2, FIGURE["COLUMNS"] * 30 + 2
    assert picture.shape[:2] == sides
    lines = picture[2:].reshape(2 * FIGURE["ROWS"], 30, -1)[:, :28]
    assert np.array_equal(lines[::2], lines[1::2])  # a copy's nearest is itself


def test_pictures_without_a_gan():
    known = np.random.default_rng(0).integers(0, 2, (6, 28, 28, 1), dtype=np.uint8) * np.uint8(200)
    found = FIGURE["without_a_gan"](known, 3000, np.random.default_rng(1))
    again, moved, drawn = (found[name] for name in ("again and again", "turned, scaled, moved", "a Gaussian"))
    assert (again == np.resize(known, again.shape)).all()
    assert moved.shape == again.shape and moved[:, 13:15].mean() == pytest.approx(known[:, 13:15].mean(), rel=0.1)
    assert not np.array_equal(moved[0], moved[6]) and moved[:, 0].mean() < known[:, 0].mean()  # black comes in
    inside = (known > 0).all(0) | (known == 0).all(0)  # what all share, a Gaussian keeps
    assert inside.any() and (drawn[:, inside] == known[0, inside]).all()


# ---- bugs ------------------------------------------------------------------------------------------------


def plant(monkeypatch, method, right, wrong):
    """Replace a piece of the source of a method of DiffAugment."""
    source = textwrap.dedent(inspect.getsource(getattr(GAN, method)))
    assert source.count(right) == 1
    names = dict(vars(diffaugment))
    exec(source.replace(right, wrong), names)
    monkeypatch.setattr(GAN, method, names[method])


@pytest.mark.parametrize(
    ("player", "method", "right", "wrong"),
    [
        ("D", "judge", "behind = where in AUGMENTED[self.settings.augment]", "behind = where == 'real'"),
        ("G", "generator_step", 'judge = self.judge("G")', "judge = self.D"),
        ("G", "generator_step", "judge.pull(tape, d_logits)", "self.D.pull(tape[1], d_logits)"),
        ("D", "discriminator_step", "of_fake.accumulate(fake_tape, d_fake)", "pass"),
    ],
)  # fmt: skip
def test_T_in_too_few_places_is_caught(monkeypatch, player, method, right, wrong):
    plant(monkeypatch, method, right, wrong)
    caught(follows_the_formula, player, "everywhere")


def test_one_draw_for_real_and_generated_is_caught(monkeypatch):
    """As where T is made once a step, and handed to both."""
    right = "real_logits, real_tape = of_real.forward(real)"
    bits = "self.T.layers[0].rng.bit_generator.state"
    plant(monkeypatch, "discriminator_step", right, f"state = {bits}; {right}; {bits} = state")
    caught(follows_the_formula, "D", "everywhere")


def test_T_in_the_networks_that_samples_come_from_is_caught(monkeypatch):
    plain = GAN.generate
    monkeypatch.setattr(GAN, "generate", lambda self, z: self.T.forward(plain(self, z))[0])
    caught(test_samples_are_not_augmented)


def test_a_part_that_cannot_be_left_out_is_caught(monkeypatch):
    """p moves all kinds; a cutout that is always there leaks as soon as p is small (published as "always on")."""
    right = Cutout.__init__
    monkeypatch.setattr(Cutout, "__init__", lambda self, p, rng: right(self, p=1.0, rng=rng))
    caught(p_follows_r)


@pytest.mark.parametrize(
    ("method", "right", "wrong"),
    [
        ("move_p", "xp.clip(self.p + step / self.settings.images, 0, self.settings.most)",
            "self.p + step / self.settings.images"),
        ("move_p", "self.p[...] = ", "self.p = "),  # the layers keep the old one
        ("move_p", "self.signs[0] / 4 - self.settings.target", "self.settings.target - self.signs[0] / 4"),
        ("move_p", "xp.sign(real_logits)", "real_logits"),
        ("move_p", "self.signs[...] = 0", "pass"),
        ("move_p", "self.opt_D.steps % 4 == 0", "True"),
        ("move_p", "4 * self.settings.batch_size", "self.settings.batch_size"),
    ],
)
def test_a_wrong_controller_is_caught(monkeypatch, method, right, wrong):
    plant(monkeypatch, method, right, wrong)
    caught(p_follows_r)


def test_r_of_generated_pictures_is_caught(monkeypatch):
    plant(monkeypatch, "discriminator_step", "self.move_p(real_logits)", "self.move_p(-fake_logits)")
    caught(the_steps_move_p)


def test_a_controller_that_is_never_called_is_caught(monkeypatch):
    plant(monkeypatch, "discriminator_step", "if self.settings.ada:", "if False:")
    caught(the_steps_move_p)
