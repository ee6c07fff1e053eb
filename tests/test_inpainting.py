"""The context encoder: holes, what both networks descend, what each of them sees, and bugs planted one by one."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import demand_equal
from objectives import follows, log_sigmoid
from PIL import Image
from test_known_bugs import caught

from scratchgan import data, training, xp
from scratchgan.data import Batches, glyphs, photos
from scratchgan.data.holes import hide, middle
from scratchgan.examples.translation import inpainting
from scratchgan.fast import threads
from scratchgan.metrics.pixels import psnr
from scratchgan.support.errors import DataError, SettingsError
from scratchgan.tools.strict import strict_xp
from scratchgan.training import loop

SCRIPT = Path(__file__).parent.parent / "examples" / "translation" / "inpainting.py"
PICTURES = {"train": glyphs.load(60), "test": glyphs.load(40, seed=[0, 1])}

# ---- a model with small batches --------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    monkeypatch.setattr(inpainting, "load_pictures", lambda settings, split: PICTURES[split])
    training.translation.load_once.cache_clear()
    yield
    training.translation.load_once.cache_clear()


def start(**options):
    """Return (model, batches) at the first step; biases and gains are no longer zero and one."""
    threads.use(1)
    settings = inpainting.Settings(batch_size=8, width=4, code=16, **options)
    model = inpainting.ContextEncoder(settings, (28, 28, 1), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for param in [*model.G.params(), *model.D.params()]:
        param.value[...] += 0.1 * rng.standard_normal(param.value.shape)
    return model, Batches(*model.load_data(settings), batch_size=8, rng=np.random.default_rng(2))


def told(batches):
    """Return a batch's inputs and whole truths, in [-1, 1]."""
    y, x = batches.next()
    return data.to_signed(x), data.to_signed(y)


# ---- the objectives, as in the paper ---------------------------------------------------------------------


def G_descends(share, fake, y, D):
    """The squared error of each pixel of a patch of 16 x 16, the outermost of which weigh 10 times; and the game."""
    total = 0
    for row in range(16):
        for column in range(16):
            weight = 10 if row in (0, 15) or column in (0, 15) else 1
            total = total + weight * ((fake[:, row, column, 0] - y[:, 6 + row, 6 + column, 0]) ** 2).mean() / 256
    return (1 - share) * total - share * log_sigmoid(D.forward(fake)[0]).mean()


def follows_its_objective(player, share=0.001):
    model, batches = start(adversarial=share)
    pairs = told(batches)
    patch = lambda y: y[:, 6:22, 6:22]
    if player == "D":
        step = lambda x, y: model.discriminator_step(patch(y), model.G.forward(x)[0])
        formula = lambda G, D, draw, x, y: (
            -log_sigmoid(D.forward(patch(y))[0]).mean() - log_sigmoid(-D.forward(G.forward(x)[0])[0]).mean()
        )
        follows(model, player, step, pairs, formula, lambda said: said)
    else:
        step = lambda x, y: model.generator_step(patch(y), *model.G.forward(x))
        formula = lambda G, D, draw, x, y: G_descends(share, G.forward(x)[0], y, D)
        follows(model, player, step, pairs, formula, lambda said: (1 - share) * said["L2"] + share * said["G"])


@pytest.mark.parametrize("share", [0.001, 0.5])
@pytest.mark.parametrize("player", ["D", "G"])
def test_follows_its_objective(player, share):
    follows_its_objective(player, share)


def test_without_a_game_only_the_squared_error_is_descended():
    model, batches = start(gan=False)
    D = model.D.state()
    step = lambda x, y: model.generator_step(y[:, 6:22, 6:22], *model.G.forward(x))
    formula = lambda G, D, draw, x, y: G_descends(0, G.forward(x)[0], y, D)
    follows(model, "G", step, told(batches), formula, lambda said: said["L2"])
    model, batches = start(gan=False)
    assert set(model.step(batches)) == {"L2"}
    for path, array in model.D.state().items():
        np.testing.assert_array_equal(array, D[path])


def test_two_steps_move_every_weight_and_G_hears_D_through_its_weights():
    model, batches = start()
    before = {path: array for path, array in model.state().items() if path.endswith(".W")}
    for _ in range(2):
        assert all(np.isfinite(float(loss)) for loss in model.step(batches).values())
    after = model.state()
    assert {path[0] for path in before} == {"G", "D"}
    assert not any(np.array_equal(array, after[path]) for path, array in before.items())
    one, other = start()[0], start()[0]
    other.D.params()[0].value[...] += 0.5
    x, y = told(batches)
    for model in (one, other):
        weights = [param.value.copy() for param in model.D.params()]
        model.generator_step(y[:, 6:22, 6:22], *model.G.forward(x))
        for param, value in zip(model.D.params(), weights, strict=True):
            np.testing.assert_array_equal(param.value, value)  # through D, not into D
            assert not param.grad.any()
    assert not np.array_equal(one.G.params()[0].value, other.G.params()[0].value)


def test_on_a_device():
    """On the stand-in for CuPy a step waits for nothing, and its losses are NumPy's."""
    found = {}
    for module in (np, strict_xp):
        with xp.using(module):
            settings = inpainting.Settings(batch_size=8, width=4, code=16)
            arrays = [loop.on_device(array) for array in inpainting.ContextEncoder.load_data(settings)]
            batches = Batches(*arrays, batch_size=8, rng=np.random.default_rng(2))
            model = inpainting.ContextEncoder(settings, (28, 28, 1), np.random.default_rng(0))
            with strict_xp.counting() as counts:
                said = model.step(batches)
            assert counts.synchronisations == 0
            found[module.__name__] = {name: float(loss) for name, loss in said.items()} | model.report()
    one, other = found.values()
    assert one == pytest.approx(other, rel=1e-3)


# ---- what is seen ----------------------------------------------------------------------------------------


def the_hole_is_not_seen():
    """Pictures that differ in the hole alone give the same input and, to the last bit, the same output."""
    model, _ = start()
    pairs = model.load_pairs(model.settings, "test")
    rng, before = np.random.default_rng(3), PICTURES["test"]
    images = before.images.copy()
    images[middle(28, 14)] = rng.integers(0, 256, images[middle(28, 14)].shape)
    PICTURES["test"] = before._replace(images=images)
    try:
        others = model.load_pairs(model.settings, "test")
    finally:
        PICTURES["test"] = before
    assert (others.truths != pairs.truths).any()
    np.testing.assert_array_equal(others.inputs, pairs.inputs)
    np.testing.assert_array_equal(model.translated(others.inputs), model.translated(pairs.inputs))


def test_the_hole_is_not_seen():
    the_hole_is_not_seen()


def test_the_hole_has_the_colour_of_the_training_pictures():
    pairs = inpainting.ContextEncoder.load_pairs(inpainting.Settings(), "test")
    assert (pairs.inputs[middle(28, 14)] == round(PICTURES["train"].images.mean())).all()


def test_around_the_hole_nothing_changes():
    model, _ = start()
    pairs = model.load_pairs(model.settings, "test")
    filled = model.translated(pairs.inputs)
    around = np.ones((28, 28), bool)
    around[7:21, 7:21] = False
    np.testing.assert_array_equal(filled[:, around], pairs.truths[:, around])
    made = model.infer(model.G, pairs.inputs)  # (40, 16, 16, 1)
    np.testing.assert_array_equal(filled[middle(28, 14)], data.to_bytes(made[:, 1:15, 1:15]))


def sees_patches_alone():
    """D is shown what G made as it is, with its band, and the same place of the truth."""
    model, batches = start()
    seen, made = [], []
    D, G = model.D.forward, model.G.forward
    model.D.forward = lambda x: seen.append(x.copy()) or D(x)
    model.G.forward = lambda x: made.append(G(x)) or made[-1]
    rows = batches.rng.bit_generator.state
    model.step(batches)
    batches.rng.bit_generator.state = rows
    real, fake, again = seen
    np.testing.assert_array_equal(fake, made[0][0])
    np.testing.assert_array_equal(again, made[0][0])
    truths = data.to_signed(PICTURES["train"].images)[:, 6:22, 6:22]
    assert real.shape == fake.shape == (8, 16, 16, 1)
    assert all(any((patch == truth).all() for truth in truths) for patch in real)


def test_D_sees_patches_alone():
    sees_patches_alone()


def copying_earns_nothing():
    """What is around the patch in the truth changes no gradient of G."""
    grads = []
    for noise in (0, 1):
        model, batches = start(gan=False)
        x, y = told(batches)
        around = np.ones_like(y)
        around[:, 6:22, 6:22] = 0
        y = y + noise * around
        pair = np.rint((y + 1) * 127.5) % 256, np.rint((x + 1) * 127.5)
        model.opt_G.step = lambda: None
        batches.next = lambda pair=pair: tuple(part.astype(np.uint8) for part in pair)
        model.step(batches)
        grads.append([param.grad.copy() for param in model.G.params()])
    for one, other in zip(*grads, strict=True):
        np.testing.assert_array_equal(one, other)


def test_copying_earns_nothing():
    copying_earns_nothing()


# ---- planted bugs ----------------------------------------------------------------------------------------


def test_weights_of_the_band_inverted(monkeypatch):
    weights = inpainting.band_weights
    monkeypatch.setattr(inpainting, "band_weights", lambda *told: 11 - weights(*told))
    caught(follows_its_objective, "G")


def test_no_weights_at_all(monkeypatch):
    monkeypatch.setattr(inpainting, "band_weights", lambda settings, dtype: np.ones((1, 1, 1, 1), dtype))
    caught(follows_its_objective, "G")


def test_loss_that_looks_at_the_context(monkeypatch):
    """Context can be copied for nothing: planted as a truth that is cut out of a corner."""
    corner = lambda side, hole: (slice(None), slice(0, hole), slice(0, hole))
    monkeypatch.setattr(inpainting, "middle", corner)
    caught(copying_earns_nothing)


def test_D_given_the_composite(monkeypatch):
    step = inpainting.ContextEncoder.discriminator_step

    def of_composite(self, y, fake):
        pasted = y.copy()
        pasted[middle(16, 14)] = fake[middle(16, 14)]
        return step(self, y, pasted)

    monkeypatch.setattr(inpainting.ContextEncoder, "discriminator_step", of_composite)
    caught(follows_its_objective, "D")
    caught(sees_patches_alone)


def test_real_patches_cut_from_elsewhere(monkeypatch):
    step = inpainting.ContextEncoder.discriminator_step
    beside = lambda self, y, fake: step(self, np.roll(y, 1, axis=1), fake)
    monkeypatch.setattr(inpainting.ContextEncoder, "discriminator_step", beside)
    caught(sees_patches_alone)


def test_raw_output_given_where_the_composite_was_meant(monkeypatch):
    def raw(self, x):
        filled = x.copy()
        filled[middle(28, 16)] = self.G(x)
        return filled

    monkeypatch.setattr(inpainting.ContextEncoder, "translate", raw)
    caught(test_around_the_hole_nothing_changes)


def test_the_true_hole_visible_at_the_input(monkeypatch):
    monkeypatch.setattr(inpainting, "hide", lambda images, hole, colour: images)
    caught(the_hole_is_not_seen)


def test_only_a_part_of_the_hole_hidden(monkeypatch):
    monkeypatch.setattr(inpainting, "hide", lambda images, hole, colour: hide(images, hole - 2, colour))
    caught(the_hole_is_not_seen)


# ---- what is measured, and what is refused ---------------------------------------------------------------


def test_the_hole_is_measured_alone():
    model, _ = start()
    pairs = model.comparisons(40)
    assert set(pairs) == {"", "hole"} and set(model.report()) == {"PSNR", "PSNR hole"}
    made = data.to_bytes(model.infer(model.G, pairs[""].inputs)[:, 1:15, 1:15])
    truth = PICTURES["test"].images[:, 7:21, 7:21]
    np.testing.assert_allclose(psnr(pairs["hole"].outputs, pairs["hole"].truths), psnr(made, truth))
    whole = 10 * np.log10(28**2 / 14**2)  # no other pixel is wrong
    np.testing.assert_allclose(psnr(pairs[""].outputs, pairs[""].truths), psnr(made, truth) + whole)


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"hole": 30}, DataError, "A hole of 30 x 30 has no place"),
    ({"hole": 13}, DataError, "A hole of 13 x 13 has no place in the middle of 28 x 28 pixels: take an even side"),
    ({"hole": 28}, SettingsError, "--hole 28 and a --band of 1 on each side are more than --size 28"),
    ({"size": 30, "hole": 14}, SettingsError, "--halvings 2 needs multiples of 4: --size is 30"),
    ({"band": 2}, SettingsError, "hole and band are 18 pixels"),
    ({"halvings": 5}, SettingsError, "needs multiples of 32"),
    ({"hole": 0}, SettingsError, "--hole must be at least 1"),
    ({"halvings": 10**9}, SettingsError, "--halvings"),
    ({"batch_size": 1}, SettingsError, "--batch-size must be at least 2"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_line(options, error, words):
    with pytest.raises(error, match=words) as raised:
        inpainting.Settings(**options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("options", [{}, {"size": 32, "hole": 12, "band": 2}, {"size": 64, "hole": 32, "band": 4,
                         "halvings": 3, "channels": 3}, {"band": 0, "hole": 4}, {"hole": 26}])  # fmt: skip
def test_what_fits_can_be_trained(options):
    settings = inpainting.Settings(width=2, **options)
    shape = settings.size, settings.size, settings.channels
    model = inpainting.ContextEncoder(settings, shape, np.random.default_rng(0))
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    batches = Batches(images, hide(images, settings.hole, np.zeros(shape[-1])), batch_size=4,
                      rng=np.random.default_rng(0))  # fmt: skip
    assert all(np.isfinite(float(loss)) for loss in model.step(batches).values())
    assert model.translated(images).shape == images.shape


def test_photographs(monkeypatch):
    monkeypatch.undo()
    pictures = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    asked = []
    monkeypatch.setattr(photos, "load", lambda n, **options: asked.append((n, options)) or pictures)
    settings = inpainting.Settings(data="photos")
    pairs = inpainting.ContextEncoder.load_pairs(settings, "test")
    assert [(n, options["split"]) for n, options in asked] == [(2000, "test"), (10_000, "train")]
    assert pairs.labels is None and pairs.truths is pictures
    assert inpainting.ContextEncoder(settings, (28, 28, 1), np.random.default_rng(0)).classes is None


def test_the_best_training_picture_is_found_by_its_context_alone():
    figure = runpy.run_path(str(SCRIPT.parents[2] / "docs" / "figures" / "inpainting.py"))
    train = PICTURES["train"].images
    others = train.copy()
    others[middle(28, 14)] = 255 - others[middle(28, 14)]
    np.testing.assert_array_equal(figure["fitting_best"](train, others[::-1], 14), np.arange(len(train))[::-1])
    model, _ = start()
    test = model.held_out_pairs()
    ways = figure["filled_by_rule"](model, test)
    mean = np.rint(train.mean(axis=0)).astype(np.uint8)[7:21, 7:21]
    assert (ways["the mean picture"][middle(28, 14)] == mean).all()
    found = figure["measure"](ways, test, 14, None)
    assert found["the mean picture"]["PSNR"] > found["one colour: the input"]["PSNR"]
    assert found["the truth"]["PSNR"] == np.inf and found["the truth"]["sharpness"] == 1


# ---- the commands ----------------------------------------------------------------------------------------


def test_the_command_line_with_a_folder(tmp_path, monkeypatch, capsys):
    """Train, resume exactly, sample, evaluate: one in ten pictures of a folder is held out."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for i, image in enumerate(glyphs.load(400).images):
        Image.fromarray(image[:, :, 0]).save(f"pictures/{i:03}.png")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as left:
            return left.code

    small = ("--batch-size", "8", "--width", "4", "--data", "pictures", "--threads", "1")
    assert not call("--steps", "4", "--sample-every", "2", *small)
    assert not call("--steps", "2", "--out", "halves", *small)
    assert not call("--resume", "halves", "--steps", "4", "--sample-every", "2")
    demand_equal(Path("runs/inpainting"), Path("halves"))
    assert not call("sample", "halves", "--n", "6", "--out", "grid.png")
    assert min(Image.open("grid.png").size) > 50
    assert not call("--steps", "1", "--no-gan", "--out", "alone", *small)
    assert '"D"' not in Path("alone/log.jsonl").read_text() and '"D"' in Path("halves/log.jsonl").read_text()
    capsys.readouterr()
    assert not call("evaluate", "halves")
    assert "PSNR, dB, hole" in capsys.readouterr().out
    for words, *arguments in (
        ("has no place in the middle", "--hole", "30", *small), ("latent space", "interpolate", "halves"),
    ):  # fmt: skip
        assert call(*arguments)
        said = capsys.readouterr().err.strip()
        assert words in said and "\n" not in said
