"""The remedies for mode collapse do what their equations say: signs, gradients, and the comparison of four."""

import copy
import json
import shutil

import numpy as np
import pytest
from test_examples import ROOT

from scratchgan import training
from scratchgan.data import Batches
from scratchgan.examples.collapse import improved_gan, mode_collapse, pacgan, unrolled, veegan
from scratchgan.gradcheck import ridders
from scratchgan.layers import BatchNorm, Dense, Maxout, MinibatchDiscrimination, MinibatchStd, ReLU
from scratchgan.optim import flatten
from scratchgan.training import evaluate

KINDS = {
    "plain": (pacgan.PacGAN, pacgan.Settings, {"pack": 1}),
    "pairs": (pacgan.PacGAN, pacgan.Settings, {"pack": 2}),
    "unrolled": (unrolled.UnrolledGAN, unrolled.Settings, {"unroll": 2}),
    "saturating": (unrolled.UnrolledGAN, unrolled.Settings, {"unroll": 2, "saturating": True}),
    "veegan": (veegan.VEEGAN, veegan.Settings, {}),
    "improved": (improved_gan.ImprovedGAN, improved_gan.Settings, {}),
    "matching": (improved_gan.ImprovedGAN, improved_gan.Settings, {"feature_matching": True}),
    "discrimination": (improved_gan.ImprovedGAN, improved_gan.Settings, {"batch_layer": "discrimination"}),
    "std": (improved_gan.ImprovedGAN, improved_gan.Settings, {"batch_layer": "std"}),
}


def start(name, **options):
    """Return a small model whose weights are as large as He et al. want them, and real points."""
    Model, Settings, given = KINDS[name]
    settings = Settings(batch_size=64, width=32, lr=1e-3, **given, **options)
    model = Model(settings, (2,), np.random.default_rng(0))
    for network in [model.G, model.D] + ([model.F] if name == "veegan" else []):
        for path, param in network.named_params().items():
            if path.endswith("W"):
                param.value *= np.sqrt(2 / len(param.value)) / 0.02
    n = 64 if name == "discrimination" else 256  # which compares each sample with each
    return model, Model.load_data(settings)[:n]


def generated(model, z):
    """G(z) with the statistics of the batch, as in training; with z beside it where D judges both."""
    fake = model.G.forward(z)[0]
    return np.concatenate([fake, z], axis=1) if isinstance(model, veegan.VEEGAN) else fake


def generator_step(model, real):
    takes_real = isinstance(model, unrolled.UnrolledGAN | improved_gan.ImprovedGAN)
    return model.generator_step(real if takes_real else len(real))


def test_the_protocol_is_that_of_the_paper():
    """Lin et al. 2018, section 4.1."""
    for data, radius, std in (("ring", 1, 0.01), ("grid", 4 * 2**0.5, 0.05)):
        settings = pacgan.Settings(data=data)
        points, mixture = pacgan.PacGAN.load_data(settings), pacgan.mixture(data)
        assert len(points) == 100_000 and mixture.std == std
        assert np.linalg.norm(mixture.centers, axis=1).max() == pytest.approx(radius)
    assert (settings.batch_size, settings.lr, settings.beta1, settings.latent) == (100, 1e-4, 0.8, 2)
    model = pacgan.PacGAN(settings, (2,), np.random.default_rng(0))
    assert [type(layer) for layer in model.G.layers] == 4 * [Dense, BatchNorm, ReLU] + [Dense]
    pack, D = model.D.layers
    assert [type(layer) for layer in D.layers] == 3 * [Dense, Maxout] + [Dense]
    assert pack.pack == 2 and [layer.pieces for layer in D.layers[1::2]] == [5, 5, 5]
    G, D = ([param.value for path, param in net.named_params().items() if path.endswith("W")] for net in (model.G, D))
    assert [W.shape for W in G] == [(2, 400), (400, 400), (400, 400), (400, 400), (400, 2)]
    assert [W.shape for W in D] == [(4, 1000), (200, 1000), (200, 1000), (200, 1)]
    assert all(W.std() == pytest.approx(0.02, rel=0.1) for W in (*G[:-1], *D))
    assert model.opt_D.lr == 1e-4 and model.opt_D.betas[0] == model.opt_G.betas[0] == 0.8
    seen = []
    model.discriminator_step, model.generator_step = lambda real: seen.append(len(real)), seen.append
    model.step(Batches(points, batch_size=100, rng=np.random.default_rng(0)))
    assert seen == [200, 200]  # 100 packs of two


def test_two_time_scales_and_an_average_are_flags():
    for kind in ("plain", "unrolled", "veegan", "improved"):
        model, real = start(kind, lr_D=4e-3, average=0.5)
        assert (model.opt_G.lr, model.opt_D.lr) == (1e-3, 4e-3)
        before = model.G_average.net.params()[0].value.copy()
        generator_step(model, real)
        now = model.G.params()[0].value
        np.testing.assert_allclose(model.G_average.net.params()[0].value, (before + now) / 2, atol=1e-7)
        np.testing.assert_array_equal(model.generate(real), model.G_average.net(real))


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"matching"}))
def test_a_generator_step_goes_the_right_way(name):
    """With D held fixed, G's samples come to look more real to it; VEEGAN's D says the opposite of the others'."""
    model, real = start(name)
    for _ in range(20):
        model.discriminator_step(real)
    z = model.noise(256)
    before = model.D.forward(generated(model, z))[0].mean()
    for _ in range(30):
        generator_step(model, real)
    after = model.D.forward(generated(model, z))[0].mean()
    assert after < before if name == "veegan" else after > before


@pytest.mark.parametrize("name", KINDS)
def test_a_discriminator_step_parts_real_from_fake(name):
    model, real = start(name)
    losses = [float(model.discriminator_step(real)) for _ in range(60)]
    fake = generated(model, model.noise(256))
    pairs = np.concatenate([real, model.F(real)], axis=1) if name == "veegan" else real
    gap = model.D.forward(pairs)[0].mean() - model.D.forward(fake)[0].mean()
    assert losses[-1] < losses[0] and (gap < 0 if name == "veegan" else gap > 0)


def test_veegan_reconstructs():
    model, real = start("veegan")
    errors = [float(model.generator_step(256)[1]) for _ in range(60)]
    assert np.mean(errors[-10:]) < 0.8 * np.mean(errors[:10])


class Recorder:
    """In the place of an optimizer: it keeps the gradient, and leaves the weights where they are."""

    def __init__(self, net, steps=0):
        self.flat, self.steps = flatten(net.params()), steps

    def step(self):
        self.grad = self.flat.grad.copy()
        self.flat.grad.fill(0)

    def mismatch(self, objective):
        """Return by how much <the gradient, v> is not the slope of an objective along v."""
        start, v = self.flat.value.copy(), np.random.default_rng(0).standard_normal(self.flat.value.shape)

        def at(weights):
            self.flat.value[...] = weights
            return objective()

        slope, error = ridders(at, start, v, step=1e-4)
        self.flat.value[...] = start
        assert error < 1e-5 * abs(slope)
        return abs(slope - np.sum(self.grad * v)) / abs(slope)


def test_veegan_descends_what_algorithm_1_says():
    model, _ = start("veegan", reconstruction=0.7)
    rng = np.random.default_rng(0)
    z, real = rng.standard_normal((2, 16, 2))
    for name in "GDF":
        setattr(model, name, copy.deepcopy(getattr(model, name)).astype(np.float64))
        setattr(model, f"opt_{name}", Recorder(getattr(model, name)))
    model.noise = lambda n: z
    log_sigmoid = lambda logits: -np.log1p(np.exp(-logits))
    score = lambda x, z: model.D.forward(np.concatenate([x, z], axis=1))[0]
    G = lambda: model.G.forward(z)[0]
    error = lambda: 0.7 * np.mean((z - model.F.forward(G())[0]) ** 2)
    model.discriminator_step(real)
    objective = lambda: -log_sigmoid(score(G(), z)).mean() - log_sigmoid(-score(real, model.F(real))).mean()
    assert model.opt_D.mismatch(objective) < 1e-6
    model.generator_step(len(real))
    assert model.opt_F.mismatch(error) < 1e-6
    assert model.opt_G.mismatch(lambda: error() + score(G(), z).mean()) < 1e-6
    assert not model.opt_D.flat.grad.any()  # G's gradient went through D, not into it


def test_unrolling_by_no_steps_is_the_plain_gan():
    one, real = start("unrolled")
    one.settings.unroll = 0
    other, _ = start("plain")
    one.generator_step(real)
    other.generator_step(len(real))
    for a, b in zip(one.G.params(), other.G.params(), strict=True):
        np.testing.assert_allclose(a.value, b.value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("data", ["ring", "grid"])
@pytest.mark.parametrize("name", ["pairs", "unrolled", "veegan", "improved"])
def test_evaluate_counts_modes(name, data):
    """The centres are those of the training data: `evaluate` finds every mode among them, at its floor."""
    model, _ = start(name, data=data)
    table = evaluate.prepare(model, 200).table(model)
    assert table["modes covered"][1] == (8 if data == "ring" else 25)
    assert table["high-quality share"][1] == pytest.approx(1 - np.exp(-4.5), abs=0.03)
    assert {"reverse KL of modes", "Jensen-Shannon of modes"} <= set(table)


@pytest.mark.parametrize("name, options", [("unrolled", (2, False)), ("saturating", (2, True))])
def test_unrolling_hears_its_flags(name, options, monkeypatch):
    model, real = start(name)
    asked = []

    def record(D, optimizer, real, fake, steps, *, saturating):
        asked.append((D is model.D, optimizer is model.opt_D, steps, saturating))
        return 0.0, 0 * fake

    monkeypatch.setattr(unrolled, "unrolled_generator", record)
    model.generator_step(real)
    assert asked == [(True, True, *options)]
    assert unrolled.Settings().unroll == 5 and not unrolled.Settings().saturating


# ---- improved_gan.py -------------------------------------------------------------------------------------


def test_feature_matching_moves_the_means_together_and_its_gradient_is_right():
    model, real = start("matching")
    first = np.mean([float(model.generator_step(real)) for _ in range(5)])
    for _ in range(60):
        last = float(model.generator_step(real))
    assert last < 0.5 * first
    model.D, real = copy.deepcopy(model.D).astype(np.float64), real.astype(np.float64)
    rng = np.random.default_rng(0)
    fake, v = rng.standard_normal((8, 2)), rng.standard_normal((8, 2))
    slope, error = ridders(lambda fake: model.match(real, fake)[0], fake, v, step=1e-4)
    assert abs(slope - np.sum(model.match(real, fake)[1] * v)) < 1e-6 * (1 + abs(slope)) + 10 * error


def test_historical_averaging_adds_the_gradient_of_its_price():
    """W |theta - mean|^2 has the gradient 2 W (theta - mean); then theta is one of four past weights."""
    model, _ = start("improved", historical_averaging=0.5)
    recorder = Recorder(copy.deepcopy(model.D).astype(np.float64), steps=3)
    mean = np.random.default_rng(0).standard_normal(recorder.flat.value.shape)
    old, theta = mean.copy(), recorder.flat.value
    model.update(recorder, mean)
    np.testing.assert_allclose(recorder.grad, theta - old)
    np.testing.assert_allclose(mean, (3 * old + theta) / 4)


def test_each_player_pays_for_its_own_distance():
    model, real = start("improved", historical_averaging=0.5)
    asked = []
    model.update = lambda optimizer, mean: asked.append((id(optimizer), id(mean)))
    model.discriminator_step(real)
    model.generator_step(real)
    assert asked == [(id(model.opt_D), id(model.means[1])), (id(model.opt_G), id(model.means[0]))]
    assert [mean.shape for mean in model.means] == [opt.flat.value.shape for opt in (model.opt_G, model.opt_D)]


def test_historical_averaging_pays_for_distance():
    model, real = start("improved", historical_averaging=0.5)
    flat, mean = model.opt_D.flat, model.means[1]
    mean[...] = flat.value
    past = []
    for _ in range(4):
        past.append(flat.value.copy())
        before = np.mean(past[:-1], axis=0) if len(past) > 1 else past[0]
        np.testing.assert_allclose(mean, before, rtol=1e-4, atol=1e-6)
        model.update(model.opt_D, mean)  # with no other gradient than that of the price
        towards = (flat.value - past[-1]) * (before - past[-1])
        assert np.sum(towards) > 0 or len(past) == 1  # Adam's momentum apart, it pulls the weights back
        flat.value += np.random.default_rng(len(past)).standard_normal(flat.value.shape).astype("float32")


def test_instance_noise_fades():
    model, real = start("improved", instance_noise=0.5, noise_steps=10)
    assert np.std(model.seen(real) - real) == pytest.approx(0.5, rel=0.1)
    model.opt_D.steps = 5
    assert np.std(model.seen(real) - real) == pytest.approx(0.25, rel=0.1)
    model.opt_D.steps = 10
    assert model.seen(real) is real


@pytest.mark.parametrize("name", ["improved", "matching"])
def test_instance_noise_is_on_all_that_D_sees(name, monkeypatch):
    """With a large shift in the place of noise: no batch reaches D's first layers without it."""
    model, real = start(name)
    features, seen = model.D.layers[0], []
    forward = features.forward
    monkeypatch.setattr(features, "forward", lambda x, train=True: (seen.append(x.mean()), forward(x, train))[1])
    model.seen = lambda x: x + 1000
    model.discriminator_step(real)
    model.generator_step(real)
    assert len(seen) == (4 if name == "matching" else 3) and min(seen) > 900


def test_label_smoothing_holds_D_back():
    """With target 0.9, D's best logit on real samples that it knows is log 9, and not infinite."""
    logits = {}
    for target in (1.0, 0.9):
        model, real = start("improved", real_target=target)
        model.G.layers[-1].b.value[...] = 5  # far away: D knows every one
        for _ in range(300):
            model.discriminator_step(real)
        logits[target] = model.D(real).mean()
    assert logits[0.9] == pytest.approx(np.log(9), abs=0.5)
    assert logits[1.0] > 4


@pytest.mark.parametrize(
    "name, argument, message",
    [
        ("std", ("--batch-size", "30"), "a --batch-size that 4 divides, not 30"),
        ("improved", ("--average", "1"), "--average: must be at most 0.99999"),
        ("veegan", ("--pack", "2"), "unrecognized arguments: --pack 2"),
        ("unrolled", ("--pack", "2"), "unrecognized arguments: --pack 2"),
        ("unrolled", ("--unroll", "-1"), "--unroll: must be at least 0"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(name, argument, message, tmp_path, capsys):
    Model, Settings, given = KINDS[name]
    flags = [text for option, value in given.items() for text in (f"--{option.replace('_', '-')}", str(value))]
    with pytest.raises(SystemExit, match="2"):
        training.main(Model, Settings, [*flags, *argument, "--steps", "1", "--out", str(tmp_path / "run")])
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_the_batch_layers_are_there():
    for name, kind in (("discrimination", MinibatchDiscrimination), ("std", MinibatchStd)):
        (layer,) = (layer for _, layer in start(name)[0].D.named_layers() if isinstance(layer, kind))
    assert layer.group == 4


# ---- the comparison --------------------------------------------------------------------------------------


def test_every_cell_is_run_once_and_the_table_has_them_all(tmp_path, capsys):
    options = ["--steps", "2", "--seeds", "0", "1", "--width", "8", "--data", "ring", "--out", str(tmp_path)]
    mode_collapse.main([*options, "--methods", "plain", "veegan"])
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table.count("\n") == 4 and "± " in table and "6.3, 98.2 %, 0.45" in table
    cells = sorted(tmp_path.glob("*.json"))
    assert [cell.stem for cell in cells] == ["ring-plain-0", "ring-plain-1", "ring-veegan-0", "ring-veegan-1"]
    record = json.loads(cells[0].read_text(encoding="utf-8"))
    assert sum(record["histogram"]) == 2500 and record["settings"]["steps"] == 2 and "NumPy" in record["hardware"]
    before = [cell.stat().st_mtime_ns for cell in cells]
    mode_collapse.main([*options, "--methods", *mode_collapse.METHODS])
    assert [cell.stat().st_mtime_ns for cell in cells] == before  # goes on with what is missing
    assert (tmp_path / "table.md").read_text(encoding="utf-8").count("\n") == 6
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_options_that_came_or_went_do_not_make_a_cell_another_one(tmp_path):
    options = ["--seeds", "1", "--width", "8", "--data", "ring", "--methods", "veegan", "--out", str(tmp_path)]
    mode_collapse.main([*options, "--steps", "2"])
    file = tmp_path / "ring-veegan-1.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["settings"]["plain"]
    record["settings"]["pack"] = 1
    file.write_text(json.dumps(record), encoding="utf-8")
    mode_collapse.main([*options, "--steps", "2"])


def test_cells_of_other_settings_are_not_mixed_in(tmp_path, capsys):
    options = ["--seeds", "1", "--width", "8", "--data", "ring", "--methods", "plain", "--out", str(tmp_path)]
    mode_collapse.main([*options, "--steps", "2"])
    assert (tmp_path / "ring-plain-1.json").exists() and (tmp_path / "picture.png").exists()
    with pytest.raises(SystemExit) as stop:
        mode_collapse.main([*options, "--steps", "3"])
    assert stop.value.code == 2 and "other settings" in capsys.readouterr().err
    (tmp_path / "ring-plain-1.json").unlink()
    with pytest.raises(SystemExit) as stop:  # a checkpoint that is further on is no run of 1 step
        mode_collapse.main([*options, "--steps", "1"])
    assert stop.value.code == 2 and "is at step 2 already" in capsys.readouterr().err
    assert not (tmp_path / "ring-plain-1.json").exists()


def test_the_table_in_the_docs_is_made_from_the_run_logs(tmp_path):
    """The page of results says what the JSON files of the cells say; nobody types numbers."""
    for file in (ROOT / "docs" / "results" / "mode_collapse").glob("*.json"):
        shutil.copy(file, tmp_path)
    mode_collapse.write_table(mode_collapse.parse(["--out", str(tmp_path)]))
    page = (ROOT / "docs" / "mode_collapse.md").read_text(encoding="utf-8")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") in page
