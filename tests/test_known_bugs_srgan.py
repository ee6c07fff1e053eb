"""Published bugs of super-resolution, planted one by one: for each, a test of tests/test_srgan.py must fail."""

import numpy as np
import pytest
import test_srgan
from PIL import Image
from test_known_bugs import caught
from test_srgan import features, few_pictures

from scratchgan import data, losses
from scratchgan.examples.translation import srgan
from scratchgan.layers import Sequential, Tanh
from scratchgan.metrics import pixels

pytestmark = pytest.mark.usefixtures(few_pictures.__name__)


def test_target_outside_the_range_of_G(monkeypatch):
    """Large pictures by the mean and deviation of another data set, up to 2.6, and a tanh at G's end."""
    right = data.to_signed
    monkeypatch.setattr(srgan.data, "to_signed", lambda images: (right(images) / 2 + 0.5 - 0.449) / 0.226)
    caught(test_srgan.what_is_trained_on_are_the_pictures_in_their_range)


def test_a_tanh_at_the_end():
    model, _ = test_srgan.start()
    model.SRResNet = Sequential(*model.SRResNet.layers, Tanh())
    caught(test_srgan.every_colour_can_be_reached, model)


def test_the_gradient_stops_at_the_frozen_network(monkeypatch):
    f = features().astype(np.float64)
    monkeypatch.setattr(srgan, "lenet_features", lambda: f)
    right = srgan.SRGAN.content
    monkeypatch.setattr(srgan.SRGAN, "content", lambda *told: (right(*told)[0], 0 * right(*told)[1]))
    caught(test_srgan.follows_its_objective, "G", "lenet")


def test_the_frozen_network_is_taught(monkeypatch):
    def content(self, y, fake):
        f = srgan.lenet_features()
        seen, tape = f.forward(fake, train=False)
        loss, d_seen = losses.l2(seen, f(y))
        return loss / 8, f.backward(tape, d_seen / 8)

    monkeypatch.setattr(srgan, "lenet_features", None)
    caught(test_srgan.the_features_stay, content)


def test_the_frozen_network_in_training_mode(monkeypatch):
    def content(self, y, fake):
        f = srgan.lenet_features()
        seen, tape = f.forward(fake)
        loss, d_seen = losses.l2(seen, f.forward(y)[0])
        return loss / 8, f.pull(tape, d_seen / 8)[0]

    monkeypatch.setattr(srgan, "lenet_features", None)
    caught(test_srgan.the_features_stay, content)


def test_low_pictures_of_the_test_by_another_kernel():
    def load_pairs(settings, split):
        right = srgan.SRGAN.load_pairs(settings, split)
        if split == "train":
            return right
        low = [np.asarray(Image.fromarray(large[:, :, 0]).resize((4, 4), Image.BICUBIC)) for large in right.truths]
        return right._replace(inputs=np.stack(low)[..., None].repeat(4, axis=1).repeat(4, axis=2))

    caught(test_srgan.low_pictures_are_made_alike, load_pairs)


def test_the_PSNR_of_the_mean_error(monkeypatch):
    def psnr(x, y):
        return 10 * np.log10(255**2 / ((x.astype(float) - y) ** 2).mean(keepdims=True).ravel())

    monkeypatch.setattr(pixels, "psnr", psnr)
    caught(test_srgan.the_table_has_the_mean_of_the_PSNRs)


def test_weights_are_copied_without_their_statistics(monkeypatch):
    def weights_alone(net, other):
        for own, theirs in zip(net.params(), other.params(), strict=True):
            own.value[...] = theirs.value

    monkeypatch.setattr(srgan, "become", weights_alone)
    caught(test_srgan.G_goes_on_where_SRResNet_stopped)


def test_the_sign_of_the_game_exchanged(monkeypatch):
    """G lowers log D of its pictures."""
    right = losses.nonsaturating_generator
    monkeypatch.setattr(losses, "nonsaturating_generator", lambda logits: tuple(-part for part in right(logits)))
    caught(test_srgan.follows_its_objective, "G", "pixels", 1.0)
