"""CycleGAN: the objective of all four networks, longhand; bugs that others had, planted; the command line."""

import copy
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from scratchgan import data, training
from scratchgan.data import Batches, domains, glyphs, pairs
from scratchgan.examples.translation import cyclegan
from scratchgan.examples.translation.cyclegan import CycleGAN, Settings
from scratchgan.metrics import classifier
from scratchgan.support.errors import DataError, SettingsError, UserError
from scratchgan.training import unpaired

NETS = ("G", "F", "D_A", "D_B")
TINY = {"width": 3, "blocks": 1, "size": 16, "batch_size": 2, "pool": 4}


@pytest.fixture(autouse=True)
def few_glyphs(monkeypatch):
    """Draw a few glyphs in place of 10,000 and 2,000."""
    monkeypatch.setattr(pairs, "DRAWN", {"train": 400, "test": 120})
    training.translation.load_once.cache_clear()
    yield
    training.translation.load_once.cache_clear()


def model_of(Model=CycleGAN, **options):
    """Return a tiny model, for pictures of 16 x 16, whose weights are large enough to matter."""
    model = Model(Settings(**TINY | options), (16, 16, 1), np.random.default_rng(0))
    for net in NETS:
        for param in getattr(model, net).params():
            param.value *= 5 if param.value.ndim > 1 else 1
    return model


def pictures(seed, n=2):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 16, 16, 1))


# ---- the objective ---------------------------------------------------------------------------------------


def size_of(x):
    """|x|, for complex numbers next to the real line."""
    return np.where(x.real < 0, -x, x)


def generators_descend(nets, a, b, cycle, identity, noise):
    """E (D_B(G(a)) - 1)^2 + E (D_A(F(b)) - 1)^2 + cycle (...) + identity (...), as in the paper, but for the noise."""
    G, F, D_A, D_B = ((lambda x, net=nets[name]: net.forward(x)[0]) for name in NETS)
    loss = ((D_B(G(a)) - 1) ** 2).mean() + ((D_A(F(b)) - 1) ** 2).mean()
    loss += cycle * (size_of(F(G(a) + noise[0]) - a).mean() + size_of(G(F(b) + noise[1]) - b).mean())
    return loss + identity * (size_of(G(b) - b).mean() + size_of(F(a) - a).mean())


def discriminators_descend(nets, a, b, past_a, past_b):
    D_A, D_B = ((lambda x, net=nets[name]: net.forward(x)[0]) for name in ("D_A", "D_B"))
    loss = ((D_A(a) - 1) ** 2).mean() + (D_A(past_a) ** 2).mean()
    return (loss + ((D_B(b) - 1) ** 2).mean() + (D_B(past_b) ** 2).mean()) / 2


def in_float64(model):
    """Make a model compute in float64, and its optimizers leave gradients and weights alone."""
    for name in NETS:
        setattr(model, name, copy.deepcopy(getattr(model, name)).astype(np.float64))
        getattr(model, f"opt_{name}").step = lambda: None
    return model


def demand_gradient(model, names, formula, step):
    """Raise AssertionError unless step() leaves in these networks the gradient of formula(nets), by a complex step."""
    step()
    rng = np.random.default_rng(1)
    for _ in range(3):
        for name in names:
            nets = {key: copy.deepcopy(getattr(model, key)).astype(np.complex128) for key in NETS}
            terms = []
            for param, moved in zip(getattr(model, name).params(), nets[name].params(), strict=True):
                v = rng.standard_normal(param.value.shape)
                moved.value[...] += 1e-20j * v
                terms.append((param.grad * v).sum())
            slope = formula(nets).imag / 1e-20
            assert slope != 0 and abs(sum(terms) - slope) < 1e-10 * sum(map(abs, terms)), name


def noise_of(model):
    """The noise that the next step will lay on G(a) and on F(b)."""
    rng = copy.deepcopy(model.rng)
    return [model.settings.noise * rng.standard_normal((2, 16, 16, 1), dtype="float32") for _ in range(2)]


def hold_generators(Model=CycleGAN, **options):
    model = in_float64(model_of(Model, **options))
    a, b, weights = pictures(2), pictures(3), (model.settings.cycle, model.settings.identity, noise_of(model))
    formula = lambda nets: generators_descend(nets, a.astype(complex), b.astype(complex), *weights)
    demand_gradient(model, ("G", "F"), formula, lambda: model.generator_step(a, b))
    assert not any(param.grad.any() for net in (model.D_A, model.D_B) for param in net.params())  # through, not into


@pytest.mark.parametrize("options", [{}, {"identity": 5.0}, {"cycle": 0.0}, {"noise": 0.0}], ids=str)
def test_what_the_generators_descend(options):
    hold_generators(**options)


def test_what_the_discriminators_descend():
    model = in_float64(model_of())
    a, b, past_a, past_b = (pictures(seed) for seed in range(4))

    def step():
        cyclegan.discriminator_step(model.D_A, model.opt_D_A, a, past_a)
        cyclegan.discriminator_step(model.D_B, model.opt_D_B, b, past_b)

    seen = [x.astype(complex) for x in (a, b, past_a, past_b)]
    demand_gradient(model, ("D_A", "D_B"), lambda nets: discriminators_descend(nets, *seen), step)


def test_what_is_printed():
    model = in_float64(model_of(identity=5.0, cycle=10.0))
    a, b, noise = pictures(2), pictures(3), noise_of(model)
    fake_a, fake_b, told = model.generator_step(a, b)
    np.testing.assert_array_equal(fake_a, model.F(b))
    np.testing.assert_array_equal(fake_b, model.G(a))
    nets = {name: getattr(model, name) for name in NETS}
    total = told["G"] + told["F"] + 10 * told["cycle"] + 5 * told["identity"]
    assert total == pytest.approx(generators_descend(nets, a, b, 10, 5, noise).real, rel=1e-12)


# ---- bugs that others had, planted -----------------------------------------------------------------------


class SwappedIdentity(CycleGAN):
    """G(a) is asked to be b: pairs that are none (in several books and collections)."""

    def stay(self, net, x):
        other = pictures(3) if net is self.F else pictures(2)
        same, tape = net.forward(other)
        net.accumulate(tape, self.settings.identity * np.sign(same - x) / x.size)
        return 0.0


class StoppedCycle(CycleGAN):
    """F learns to come home from G(a), but G does not hear of it: dfake lacks F's part."""

    def generator_step(self, a, b):
        for net in (self.F, self.G):
            net.backward = lambda tape, dy, net=net: net.accumulate(tape, dy) or 0.0
        return super().generator_step(a, b)


class CycleIntoOne(CycleGAN):
    """The way home is seen through F, and does not teach F: only one of the two calls of F counts."""

    def generator_step(self, a, b):
        for net in (self.F, self.G):
            net.backward = lambda tape, dy, net=net: net.pull(tape, dy)[0]
        return super().generator_step(a, b)


@pytest.mark.parametrize("Bug", [SwappedIdentity, StoppedCycle, CycleIntoOne])
def test_the_objective_finds(Bug):
    with pytest.raises(AssertionError):
        hold_generators(Bug, identity=5.0)


def batches_of(seed=0):
    drawn = np.random.default_rng(seed).integers(0, 256, (2, 12, 16, 16, 1)).astype(np.uint8)
    return Batches(*drawn, batch_size=2, rng=np.random.default_rng(1))


def test_the_pool_keeps_fakes_as_they_were():
    """Not views of arrays that the next step writes to, and not what newer weights make of the same pictures."""
    model, batches = model_of(pool=50), batches_of()
    seen, made = copy.deepcopy(batches), []
    for _ in range(4):
        a, b = (data.to_signed(images) for images in seen.next())
        made.append((model.F(b), model.G(a)))
        model.step(batches)
    for pool, fakes in ((model.pool_A, [f[0] for f in made]), (model.pool_B, [f[1] for f in made])):
        assert pool.held == 8
        np.testing.assert_allclose(pool.images[:8], np.concatenate(fakes), atol=1e-6)


def test_a_generator_is_judged_by_its_newest_fakes():
    """The pool is no part of G's step: with other pictures in it, the step is the same."""
    steps = []
    for filled in (0.0, 1.0):
        model = model_of()
        for pool in (model.pool_A, model.pool_B):
            pool.images[...], pool.held = filled, 4
        model.rng = np.random.default_rng(3)  # by which both pools give away a picture
        model.step(batches_of())
        steps.append({name: [p.value.copy() for p in getattr(model, name).params()] for name in NETS})
    for name in NETS:
        same = all(np.array_equal(one, other) for one, other in zip(steps[0][name], steps[1][name], strict=True))
        assert same == (name in ("G", "F")), name


def test_a_picture_shows_what_becomes_of_its_inputs():
    """Not pictures of the pool, which belong to other inputs."""
    model = model_of(data="glyphs")
    for pool in (model.pool_A, model.pool_B):
        pool.images[...], pool.held = 1.0, 4
    z = model.latent(3, np.random.default_rng(0))
    a, there, b, back = model.columns(z)
    np.testing.assert_array_equal(there, data.to_bytes(model.G(z[..., :1])))
    np.testing.assert_array_equal(back, data.to_bytes(model.F(z[..., 1:])))
    np.testing.assert_array_equal(np.concatenate([a, b], -1), data.to_bytes(z))
    assert model.layout(3)[1] % 4 == 0  # a row holds whole samples
    there, back = model.comparisons(5).values()
    np.testing.assert_array_equal(there.truths, back.inputs)
    np.testing.assert_array_equal(back.truths, there.inputs)


def test_nothing_is_forgotten_in_a_checkpoint():
    """All optimizers, both pools and how full they are: what is left out would make the steps that follow differ."""
    straight, batches = model_of(), batches_of()
    for _ in range(6):
        straight.step(batches)
    first, stored = model_of(), batches_of()
    for _ in range(3):
        first.step(stored)
    state = first.state()
    assert {"pool_A/images", "pool_B/images", "pool_A/held"} <= state.keys()
    assert {f"opt_{name}/{part}" for name in NETS for part in ("mean", "square", "steps")} <= state.keys()
    second = model_of()
    second.load_state(state)
    for _ in range(3):
        second.step(stored)
    for name, array in straight.state().items():
        np.testing.assert_array_equal(array, second.state()[name], err_msg=name)
    assert np.unique(straight.pool_A.images).size > 100 and straight.pool_A.held == 4


# ---- the data --------------------------------------------------------------------------------------------


def test_test_pictures_are_pairs_and_training_pictures_are_none():
    a, b, labels = domains.load("glyphs", split="test")
    assert a.shape == b.shape == (120, 28, 28, 1) and labels.shape == (120,) and a.dtype == np.uint8
    factors = glyphs.draw_factors(120, seed=[0, 1], outline=domains.LINE)
    np.testing.assert_array_equal(b, glyphs.redraw(factors, outline=1.2).images)
    np.testing.assert_array_equal(a, glyphs.redraw(factors).images)
    np.testing.assert_array_equal(labels, factors["class"])
    own, other, unknown = domains.load("glyphs")
    assert own.shape == other.shape == (400, 28, 28, 1) and unknown is None
    apart = lambda A, B: np.abs(A.astype(int) - B).mean()
    assert apart(own, other) == pytest.approx(apart(own, np.roll(other, 1, axis=0)), rel=0.05)  # it stands beside any
    assert apart(a, b) < 0.85 * apart(a, np.roll(b, 1, axis=0))
    tests = {image.tobytes() for image in a}
    assert not tests & {image.tobytes() for image in own}


def test_data_follow_from_the_seed():
    one, same, other = (domains.load("glyphs", size=16, seed=seed, split="test") for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.inputs, same.inputs)
    assert not np.array_equal(one.inputs, other.inputs)


def test_a_picture_of_MNIST_stands_beside_a_glyph_of_its_class(monkeypatch):
    labels = np.arange(300, dtype=np.uint8) % 10
    handwritten = data.Images(np.tile(labels[:, None, None, None], (1, 28, 28, 1)), labels)
    monkeypatch.setattr(domains.mnist, "load", lambda split, data_dir=None: handwritten)
    a, b, known = domains.load("mnist", split="test", channels=3)
    assert a.shape == b.shape == (120, 28, 28, 3) and known.dtype == np.int64
    np.testing.assert_array_equal(a[:, 0, 0, 0], known)
    drawn = glyphs.load(120, seed=[0, 1])
    classes = {image.tobytes(): label for image, label in zip(drawn.images, drawn.labels, strict=True)}
    assert [classes[image[..., :1].tobytes()] for image in b] == known.tolist()
    a, b, known = domains.load("mnist", size=20)
    assert a.shape == b.shape == (400, 20, 20, 1) and known is None
    assert set(np.bincount(a[:, 10, 10, 0])) <= set(range(30, 61))  # 30 of each, or up to twice


def test_the_shorter_kind_is_repeated_evenly():
    A, B = np.arange(5), np.arange(100, 113)
    a, b = domains.alike_long(A, B, np.random.default_rng(0))
    assert len(a) == len(b) == 13 and sorted(b) == B.tolist()
    assert set(np.bincount(a, minlength=5)) == {2, 3} and not np.array_equal(a[:5], A)


def test_a_folder_of_two_kinds(tmp_path):
    for kind, n in (("A", 3), ("B", 5)):
        (tmp_path / kind).mkdir()
        for i in range(n):
            Image.fromarray(np.full((20, 20, 3), 10 * i, np.uint8)).save(tmp_path / kind / f"{kind}{i}.png")
    a, b, labels = domains.load(str(tmp_path), size=16, channels=3)
    assert a.shape == b.shape == (5, 16, 16, 3) and labels is None
    assert len(np.unique(b[:, 0, 0, 0])) == 5 and len(np.unique(a[:, 0, 0, 0])) == 3


def test_bad_input(tmp_path):
    with pytest.raises(DataError):
        domains.load(str(tmp_path / "nothing"))
    with pytest.raises(DataError):
        domains.load("glyphs", size=4)
    with pytest.raises(SettingsError, match="--size must be even"):
        CycleGAN.load_data(Settings(size=17))
    model = model_of(data="mnist")
    with pytest.raises(UserError, match="nobody knows .*: use confusion"):
        model.comparisons(3)
    with pytest.raises(UserError, match="nobody knows .*: use sample, and look"):
        model_of(data="a folder").comparisons(3)
    with pytest.raises(DataError, match="no split 'val'; choose train or test"):
        domains.load("glyphs", split="val")
    with pytest.raises(SettingsError, match="--blocks must be at most 100"):
        Settings(blocks=10**8)


# ---- what is measured ------------------------------------------------------------------------------------


class Exact(unpaired.Unpaired):
    """Translators that are known: there, the negative; back, the negative, or one that amplifies what is faint."""

    times = 1.0

    def translate(self, x):
        return -x

    def translate_back(self, x):
        return -self.times * x


def test_noise_shows_what_is_hidden():
    model = Exact(Settings(**TINY), (16, 16, 1), np.random.default_rng(0))
    home = model.homecoming(64)
    assert home["cycle"] == 0
    assert home["cycle, noise"] == pytest.approx(np.sqrt(2 / np.pi) / 127.5, rel=0.03)  # E |n| of a normal n
    assert model.homecoming(64) == home  # the same noise each time


def test_a_permutation_shows_in_the_matrix(monkeypatch):
    labels = np.arange(10).repeat(3)
    images = np.tile(labels[:, None, None, None].astype(np.uint8), (1, 16, 16, 1))
    net = classifier.lenet((16, 16, 1), 10, rng=np.random.default_rng(0))
    judge = classifier.Classifier(net, "glyphs", (16, 16, 1))
    monkeypatch.setattr(judge, "predict", lambda x: x[:, 0, 0, 0].astype(int))
    told = unpaired.judged(judge, images, (images + 1) % 10, images, labels)
    assert told["class kept"] == {"untranslated": 1.0, "translated": 0.0, "real": 1.0}
    np.testing.assert_array_equal(told["matrix"], 3 * np.roll(np.eye(10, dtype=int), 1, axis=1))
    assert told["FID-LeNet"] == pytest.approx({"untranslated": 0, "translated": 0}, abs=1e-3)  # nor does this tell it
    assert len(unpaired.text(told).splitlines()) == 12


# ---- the command line ------------------------------------------------------------------------------------


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", [cyclegan.__file__, *arguments])
        try:
            runpy.run_path(cyclegan.__file__, run_name="__main__")
        except SystemExit as left:
            return left.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    small = ("--width", "4", "--blocks", "1", "--threads", "1", "--checkpoint-every", "2", "--sample-every", "2")
    for kind in ("glyphs", "outlines"):
        net = classifier.lenet((28, 28, 1), 10, rng=np.random.default_rng(0))
        classifier.save(classifier.Classifier(net, kind, (28, 28, 1), 0.1))
    status, out = call("--steps", "4", *small)
    assert status == 0 and "PSNR A to B" in out and "cycle, noise" in out
    assert call("sample", "runs/cyclegan", "--n", "6", "--out", "grid.png")[0] == 0
    assert min(Image.open("grid.png").size) > 50
    status, out = call("evaluate", "runs/cyclegan", "--n", "50")
    assert status == 0 and "class accuracy-LeNet, B to A" in out and "class accuracy-LeNet, A to B" not in out
    status, out = call("confusion", "runs/cyclegan", "--n", "50")
    assert status == 0 and out.count("right class: untranslated") == 2
    status, out = call("interpolate", "runs/cyclegan")
    assert status == 2 and "no" in out and len(out.splitlines()) == 1
    (tmp_path / "runs" / "classifiers" / "outlines.npz").unlink()
    status, out = call("confusion", "runs/cyclegan")
    assert status == 2 and "classifier.py --data outlines" in out
