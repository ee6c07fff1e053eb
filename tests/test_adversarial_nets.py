"""The first GAN's own protocol: how it starts, how it moves, and the measure of its authors."""

import json

import numpy as np
import pytest

from scratchgan import data, training, xp
from scratchgan.data import Batches
from scratchgan.examples.stability import adversarial_nets
from scratchgan.examples.stability.adversarial_nets import AdversarialNets, Settings
from scratchgan.layers import Dense, Dropout, Flatten, Maxout, ReLU, Reshape, Sigmoid
from scratchgan.metrics.parzen import log_likelihood


@pytest.fixture(scope="module")
def images():
    return AdversarialNets.load_data(Settings())


def start(images, **options):
    settings = Settings(batch_size=10, **options)
    return AdversarialNets(settings, (28, 28, 1), np.random.default_rng(0)), Batches(
        images, batch_size=10, rng=np.random.default_rng(1)
    )


@pytest.mark.parametrize("options, of_G", [({}, 0.15), ({"bound": 0.05}, 0.05)])  # ours, the authors'
def test_weights_start_within_their_bounds(images, options, of_G):
    model, _ = start(images, **options)
    for net, bound in ((model.G, of_G), (model.D, 0.005)):
        for name, param in net.named_params().items():
            largest = float(abs(param.value).max())
            assert largest == 0 if name.endswith("b") else 0.95 * bound < largest <= bound, name


def test_the_networks_are_the_authors(images):
    model, _ = start(images)
    assert [type(layer) for layer in model.G.layers] == [Dense, ReLU, Dense, ReLU, Dense, Sigmoid, Reshape]
    assert [type(layer) for layer in model.D.layers] == [Flatten, *2 * [Dropout, Dense, Maxout], Dropout, Dense]
    assert [layer.rate for layer in model.D.layers if isinstance(layer, Dropout)] == [0.2, 0.5, 0.5]
    assert [layer.pieces for layer in model.D.layers if isinstance(layer, Maxout)] == [5, 5]
    shapes = [param.value.shape for net in (model.G, model.D) for param in net.params() if param.value.ndim == 2]
    assert shapes == [(100, 1200), (1200, 1200), (1200, 784), (784, 1200), (240, 1200), (240, 1)]


def test_the_generator_begins_at_the_mean_image(images):
    model, _ = start(images)
    model.begin_at_the_mean(images)
    bias = xp.to_host(model.G.layers[4].b.value).astype(np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), images.mean(axis=0).ravel() / 255, atol=2e-7)


def test_the_generator_begins_with_many_pictures(images):
    """With the authors' bound all of G's first pictures are nearly the mean one: D has one thing to learn, and wins."""

    def spread(bound):
        model, _ = start(images, bound=bound)
        model.begin_at_the_mean(images)
        return float(model.G(xp.asarray(model.latent(200, np.random.default_rng(0)))).std(axis=0).mean())

    assert spread(0.05) < 0.02 and spread(Settings.bound) > 0.08  # of real ones it is about 0.2


def test_samples_are_signed_as_the_data_are(images):
    model, _ = start(images)
    z = model.latent(3, np.random.default_rng(0))
    for bias, pixel in ((-100, -1), (100, 1)):  # of the sigmoid: black and white
        model.G.layers[4].b.value[...] = bias
        np.testing.assert_array_equal(model.generate(z), np.full((3, 28, 28, 1), pixel))


def test_D_sees_pixels_from_0_to_1(images):
    model, batches = start(images)
    seen = []
    model.discriminator_step, model.generator_step = seen.append, seen.append
    model.step(batches)
    real, n = seen
    assert n == len(real) == 10 and real.dtype == np.float32 and (real.min(), real.max()) == (0, 1)


def test_momentum_grows_and_the_learning_rate_falls(images):
    model, batches = start(images)
    for steps, momentum in ((0, 0.5), (62_500, 0.6), (125_000, 0.7), (10**6, 0.7)):
        model.opt_G.steps = steps
        model.step(batches)
        assert model.opt_G.momentum == model.opt_D.momentum == pytest.approx(momentum)
    assert model.opt_G.lr(0) == 0.1 and model.opt_D.lr(0) == 0.05
    assert model.opt_G.lr(125_000) == pytest.approx(0.1 / 1.000004**125_000)
    assert model.opt_G.lr(10**8) == 1e-6


def test_latent_vectors_have_a_variance_of_one(images):
    z = start(images)[0].latent(2000, np.random.default_rng(0))
    assert z.dtype == np.float32 and abs(z).max() <= 3**0.5
    assert z.var() == pytest.approx(1, abs=0.01)  # 200,000 numbers: 3 standard deviations are 0.006


def test_validation_images_are_not_for_training(images):
    train, validation = adversarial_nets.split(Settings())
    assert (len(train), len(validation)) == (8334, 1666)
    np.testing.assert_array_equal(train, images)


def test_parzen_measures_samples_and_training_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seen = []
    spy = lambda *points: (seen.append(points), log_likelihood(*points))[1]
    monkeypatch.setattr(adversarial_nets, "log_likelihood", spy)
    training.train(AdversarialNets, Settings(steps=1, batch_size=10, out="run", device="cpu"))
    argv = ["parzen", "run", "--n", "40", "--device", "cpu"]
    training.main(AdversarialNets, Settings, argv, [adversarial_nets.parzen])
    assert "nats, with a sigma of" in capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "parzen.json").read_text())
    train, validation = adversarial_nets.split(Settings())
    test = data.load_images("glyphs", seed=0, split="test").images
    for _, chosen_by, measured in seen:  # the width follows from images of validation alone
        np.testing.assert_array_equal(chosen_by, validation[:1000].reshape(1000, -1) / 255)
        np.testing.assert_array_equal(measured, test.reshape(len(test), -1) / 255)
    expected = log_likelihood(*(x.reshape(len(x), -1) / 255 for x in (train[:40], validation[:1000], test)))
    assert found["n"] == 40 and found["test images"] == len(test)
    assert found["training images"] == pytest.approx(dict(zip(("nats", "error", "sigma"), expected, strict=True)))
    assert np.isfinite(found["samples"]["nats"]) and found["samples"]["error"] > 0
