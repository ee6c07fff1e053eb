"""AnoGAN: what E and the search descend, what stands still meanwhile, and what the command line says."""

import copy
import inspect
import json
import runpy
import sys
import textwrap

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import follows, log_sigmoid
from PIL import Image
from test_examples import PATHS, told_to_D

from scratchgan import data
from scratchgan.data import Batches, anomalies, phantom
from scratchgan.examples.uses import anogan


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer heads than people take."""
    monkeypatch.setattr(anomalies, "LEARNED", 64)
    monkeypatch.setattr(anomalies, "TESTED", 30)
    anomalies.load.cache_clear()
    yield
    anomalies.load.cache_clear()


def start(**more):
    """Return (model, batches) at the first step, with small batches and networks."""
    settings = anogan.Settings(batch_size=16, width=4, **more)
    images = anogan.AnoGAN.load_data(settings)
    batches = Batches(images, batch_size=16, rng=np.random.default_rng(1))
    return anogan.AnoGAN(settings, images.shape[1:], np.random.default_rng(0)), batches


def trained(steps=6, **more):
    """Return (model, batches) after some steps of the game and as many of E."""
    model, batches = start(steps=2 * steps, game=steps, **more)
    for _ in range(2 * steps):
        model.step(batches)
    return model, batches


def heads(n=12, **options):
    return phantom.load(n, **options).images


# ---- the objectives --------------------------------------------------------------------------------------


def slopes(D, x):
    """Return the squared slope of D's logit at each x."""
    score, tape = D.forward(x)
    g, _ = D.pull(tape, np.ones_like(score))
    return (g * g).reshape(len(g), -1).sum(1)


def game(player, G, D, draw, real):
    """What a player descends: the penalty is 8 times as strong, in every eighth step."""
    fake = G.forward(draw())[0]
    if player == "G":
        return -log_sigmoid(D.forward(fake)[0]).mean()
    judged = -log_sigmoid(D.forward(real)[0]).mean() - log_sigmoid(-D.forward(fake)[0]).mean()
    return judged + 8 * 0.1 / 2 * slopes(D, real).mean()


@pytest.mark.parametrize("player", ["D", "G"])
def test_the_game_follows_its_objective(player):
    """Also with noise in D, of which every picture has its own."""
    model, batches = start()
    told = told_to_D(model, batches)
    step = model.discriminator_step if player == "D" else lambda real: model.generator_step(len(real))
    follows(model, player, step, told, lambda *given: game(player, *given), printed=np.sum)


def of_encoder(x, E, G, D, kappa):
    """A of the paper, longhand: f is all of D but its last layer."""
    f = lambda pictures: D.layers[0].forward(pictures, train=False)[0]
    y = G.forward(E.forward(x)[0], train=False)[0]
    return ((x - y) ** 2).mean() + kappa * ((f(x) - f(y)) ** 2).mean()


def in_float64(model, dtype=np.float64):
    E, G, D = copy.deepcopy((model.E, model.G_average.net, model.D))
    return E.astype(dtype), G.astype(dtype), D.astype(dtype)


@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("tanh", [False, True])
def test_a_step_of_E_follows_its_objective(kappa, tanh):
    """The gradient handed to E's optimizer is the paper's, through G and D, by a complex step."""
    model, batches = trained(kappa=kappa, tanh=tanh)
    x = data.to_signed(batches.next()).astype(np.float64)
    nets = in_float64(model)
    model.E, model.G_average.net, model.D = copy.deepcopy(nets)
    model.opt_E.step = lambda: None
    loss = model.encoder_step(x)
    assert float(loss) == pytest.approx(of_encoder(x, *copy.deepcopy(nets), kappa), rel=1e-10)
    grads = [param.grad for param in model.E.params()]
    rng = np.random.default_rng(0)
    for _ in range(3):
        E, G, D = (net.astype(np.complex128) for net in copy.deepcopy(nets))
        directions = [rng.standard_normal(param.value.shape) for param in E.params()]
        for param, v in zip(E.params(), directions, strict=True):
            param.value[...] += 1e-20j * v
        wanted = of_encoder(x.astype(complex), E, G, D, kappa).imag / 1e-20
        terms = [(grad * v).sum() for grad, v in zip(grads, directions, strict=True)]
        assert abs(sum(terms) - wanted) < 1e-10 * sum(map(abs, terms))


def test_a_step_of_the_search_follows_the_same_objective():
    """dz is that of the mean over the pictures, of each for its own z."""
    model, batches = trained()
    x = data.to_signed(batches.next()).astype(np.float64)
    _, G, D = nets = in_float64(model)
    _, model.G_average.net, model.D = copy.deepcopy(nets)
    z = np.random.default_rng(1).standard_normal((len(x), model.settings.latent))
    _, dz = model.distance(x, z)
    v = np.random.default_rng(2).standard_normal(z.shape)
    G, D = G.astype(np.complex128), D.astype(np.complex128)
    identity = anogan.Sequential()
    moved = of_encoder(np.array(x, complex), Fixed(identity, z + 1e-20j * v), G, D, 1.0)
    assert (dz * v).sum() == pytest.approx(moved.imag / 1e-20, rel=1e-9)


class Fixed:
    """An encoder that says what it was given."""

    def __init__(self, _, z):
        self.z = z

    def forward(self, x):
        return self.z, None


def test_f_is_what_the_last_layer_of_D_looks_at():
    """Not D's probabilities, nor its logits: they are one number, and tell nothing of where."""
    model, _ = trained()
    x = data.to_signed(heads())
    f, last = model.D.layers
    assert f(x).shape == (12, 8 * 8 * 8)
    np.testing.assert_allclose(model.D(x), f(x) @ last.W.value + last.b.value, rtol=1e-5)


# ---- two phases ------------------------------------------------------------------------------------------


def parts(model, *names):
    """Return the arrays of some attributes of a model."""
    return {path: array for path, array in model.state().items() if path.split("/")[0] in names}


def same(before, after):
    return all(np.array_equal(before[path], after[path]) for path in before)


def test_E_stands_still_in_the_game_and_the_game_in_E_s_phase():
    model, batches = start(steps=6, game=3)
    others = ("G", "D", "G_average", "opt_G", "opt_D")
    E, keys = parts(model, "E", "opt_E"), model.state().keys()
    for _ in range(3):
        assert model.step(batches).keys() == {"D", "penalty", "G"}
    assert same(E, parts(model, "E", "opt_E"))
    played = parts(model, *others)
    assert any(".var" in path or "var" in path for path in played)  # running statistics are among them
    for _ in range(3):
        assert model.step(batches).keys() == {"E"}
    assert same(played, parts(model, *others))
    assert not any(param.grad.any() for net in (model.G, model.D, model.G_average.net) for param in net.params())
    assert not same(E, parts(model, "E", "opt_E"))
    assert model.state().keys() == keys  # all was there from the start


def test_E_learns_to_reconstruct():
    model, batches = start(steps=60, game=0, lr_E=3e-3)
    first = [float(model.step(batches)["E"]) for _ in range(60)]
    assert np.mean(first[-10:]) < 0.93 * np.mean(first[:5])  # of a G that has learned nothing yet


def test_more_of_a_search_is_nearer():
    model, _ = trained()
    images = heads()
    A = [model.reconstruct(images, search)[1].mean() for search in (1, 10, 50)]
    assert A[0] > A[1] > A[2]


@pytest.mark.parametrize("search", [0, 8])
def test_other_pictures_change_no_answer(search):
    """Whatever else is in the batch: G, D and E infer. Adam's eps leaves a trace of the batch's size in a search."""
    model, _ = trained()
    images = heads(8)
    others = np.concatenate([images[:2], 255 - heads(6, lesions=True, seed=3)])
    (y, A), (y_others, A_others) = (model.reconstruct(batch, search) for batch in (images, others))
    np.testing.assert_array_equal(y[:2], y_others[:2])
    np.testing.assert_allclose(A[:2], A_others[:2], rtol=1e-5)
    alone, A_alone = model.reconstruct(images[:1], search)
    assert np.abs(alone[0].astype(int) - y[0]).max() <= 1
    np.testing.assert_allclose(A_alone[0], A[0], rtol=1e-3)


def test_A_is_the_score_longhand():
    model, _ = trained(kappa=0.5)
    images = heads(5)
    y, A = model.reconstruct(images)
    assert y.dtype == np.uint8 and y.shape == images.shape
    f, x, again = model.D.layers[0], data.to_signed(images), data.to_signed(y)
    for i in range(5):
        pixels = float(((x[i] - again[i]) ** 2).mean())
        features = float(((f(x[i : i + 1]) - f(again[i : i + 1])) ** 2).mean())
        assert A[i] == pytest.approx(pixels + 0.5 * features, rel=1e-4)


def test_what_G_draws_has_the_smaller_score():
    """The sign: a picture of G's, found by a search, is less of an anomaly than its negative."""
    model, _ = trained()
    own = model.images(model.latent(6, np.random.default_rng(0)))
    _, A = model.reconstruct(np.concatenate([own, 255 - own]), search=60)
    assert A[:6].max() < A[6:].min()


def test_pictures_of_mnist_size_and_of_one_class():
    model, batches = start(data="glyphs", normal=3)
    assert model.shape == (28, 28, 1)
    for _ in range(2):
        model.step(batches)
    drawn = data.load_images("glyphs")
    np.testing.assert_array_equal(model.load_data(model.settings), drawn.images[drawn.labels == 3])


# ---- bugs of public code, planted: for each, a test above must fail ---------------------------------------


def plant(monkeypatch, method, right, wrong):
    """Put other code into a method of AnoGAN."""
    source = textwrap.dedent(inspect.getsource(getattr(anogan.AnoGAN, method)))
    assert source.count(right) == 1
    made = {}
    exec(source.replace(right, wrong), vars(anogan), made)
    monkeypatch.setattr(anogan.AnoGAN, method, made[method])


def objective_of_E():
    test_a_step_of_E_follows_its_objective(2.5, False)


BUGS = {
    "G in training while z is sought": ("distance", "G.forward(z, train=False)", "G.forward(z)", objective_of_E),
    "a search by G in training": (
        "search", "return z.value", "self.G_average.net.forward(z.value); return z.value", lambda: stands_still(8)
    ),
    "G moves in E's phase": (
        "distance", "return pixel_loss", "self.G_average.net.accumulate(G_tape, dy)\n    return pixel_loss",
        test_E_stands_still_in_the_game_and_the_game_in_E_s_phase,
    ),
    "D moves in E's phase": (
        "distance", "d_through, _ = f.pull(f_tape, kappa * d_seen)", "d_through = f.backward(f_tape, kappa * d_seen)",
        test_E_stands_still_in_the_game_and_the_game_in_E_s_phase,
    ),
    "the features are D's logit": ("distance", "self.D.layers[0]", "self.D", objective_of_E),
    "no gradient through D": ("distance", "dy + d_through", "dy", objective_of_E),
    "kappa in the value alone": ("distance", "kappa * d_seen", "d_seen", objective_of_E),
    "a sum in the place of a mean": ("distance", "losses.l2(y, x)", "losses.l2(3 * y, 3 * x)", objective_of_E),
    "the sign of the score": (
        "reconstruct", "return y, of_pixels", "return y, -of_pixels", test_A_is_the_score_longhand
    ),
    "a score by the test set's own smallest and largest": (
        "reconstruct", "(gap.reshape(len(y), -1) ** 2).mean(axis=1)",
        "(lambda s: (s - s.min()) / np.ptp(s))((gap.reshape(len(y), -1) ** 2).mean(axis=1))",
        lambda: test_other_pictures_change_no_answer(0),
    ),
}  # fmt: skip


def stands_still(search):
    """A search leaves G as it was, running statistics included."""
    model, _ = trained()
    before = parts(model, "G_average", "G", "D")
    model.reconstruct(heads(4), search)
    assert same(before, parts(model, "G_average", "G", "D"))


@pytest.mark.parametrize("search", [0, 3])
def test_looking_at_pictures_changes_nothing(search):
    stands_still(search)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug, monkeypatch):
    method, right, wrong, test = BUGS[bug]
    monkeypatch.setattr(anogan, "np", np, raising=False)
    plant(monkeypatch, method, right, wrong)
    with pytest.raises(AssertionError):
        test()


# ---- as a user would -------------------------------------------------------------------------------------


def call(monkeypatch, *arguments):
    """Run the script; return its exit status."""
    monkeypatch.setattr(sys, "argv", [str(PATHS["anogan"]), *map(str, arguments)])
    try:
        runpy.run_path(str(PATHS["anogan"]), run_name="__main__")
    except SystemExit as left:
        return left.code or 0
    return 0


SMALL = ("--width", "4", "--batch-size", "8", "--game", "3")


def test_resuming_is_exact_in_both_phases(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 7, "--out", "whole", *SMALL) == 0
    assert call(monkeypatch, "--steps", 7, "--checkpoint-every", 2, "--out", "parts", *SMALL) == 0
    assert call(monkeypatch, "--steps", 2, "--out", "halves", *SMALL) == 0
    assert call(monkeypatch, "--resume", "halves", "--steps", 7) == 0
    for other in ("parts", "halves"):
        demand_equal(tmp_path / "whole", tmp_path / other)


def test_evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 6, "--out", "run", *SMALL) == 0
    assert call(monkeypatch, "evaluate", "run") == 0
    out = capsys.readouterr().out
    assert "AnoGAN, E" in out and "PCA 32" in out and "wrote run/residuals.png" in out.replace("\\", "/")
    found = json.loads((tmp_path / "run" / "residuals.json").read_text())
    assert found.keys() == {"AnoGAN, E", "PCA 32", "PCA 64"}
    assert found["AnoGAN, E"].keys() == {"error", "own score", "mean square", "largest", "pixel", "pixel, 3 x 3"}
    assert all(0 <= value <= 1 for numbers in found.values() for value in numbers.values())
    # 24 anomalies, 4 in a row, of 4 pictures each
    assert Image.open(tmp_path / "run" / "residuals.png").size == (16 * 34 + 2, 6 * 34 + 2)
    assert call(monkeypatch, "evaluate", "run", "--search", 2, "--n", 20, "--out", "found.png") == 0
    assert json.loads((tmp_path / "found.json").read_text()).keys() == {"AnoGAN, 2", "PCA 32", "PCA 64"}


def test_an_encoder_that_has_not_been_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "--steps", 2, "--out", "run", *SMALL) == 0
    assert call(monkeypatch, "evaluate", "run") == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("error: run: E learns after step 3; take --search 500.")
    assert call(monkeypatch, "evaluate", "run", "--search", 1, "--n", 10) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "heads"), "must be one of phantom, retina, glyphs, mnist"),
        (("--normal", "10"), "must be at most 9"),
        (("--noise", "-1"), "must be at least 0"),
        (("evaluate", "nowhere"), "nowhere"),
    ],
)
def test_bad_arguments_are_a_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
