"""Bugs of codes, few labels, rotations and captions, planted one by one: for each, a test of this suite must fail."""

import laws
import numpy as np
import test_codes
import test_losses_codes
from test_known_bugs import caught

from scratchgan import losses
from scratchgan.data import captions
from scratchgan.examples import infogan
from scratchgan.examples.labels import text_to_image
from scratchgan.layers import Dense, Each, Join, Rotations, Sequential

SIX = np.random.default_rng(0).standard_normal((6, 4))
LABELS = np.array([0, 1, 2, 3, 0, 1])


# ---- InfoGAN ---------------------------------------------------------------------------------------------


def test_normal_codes_under_a_uniform_entropy(monkeypatch):
    """Numbers drawn from N(0, 1) while H(c) is that of U(-1, 1) (several collections)."""
    right = infogan.InfoGAN.latent

    def latent(self, n, rng):
        z = right(self, n, rng)
        z[:, -self.settings.numbers :] = rng.standard_normal((n, self.settings.numbers))
        return z

    monkeypatch.setattr(infogan.InfoGAN, "latent", latent)
    caught(test_codes.codes_are_what_their_entropies_say)


def test_entropy_counted_twice(monkeypatch):
    """I = 2 H(c) - cross-entropy: it exceeds H(c)."""
    right = losses.categorical_information

    def wrong(logits, labels):
        loss, d_logits = right(logits, labels)
        return loss - np.log(logits.shape[1]), d_logits

    test_losses_codes.no_more_than_the_entropy(SIX, LABELS)
    monkeypatch.setattr(losses, "categorical_information", wrong)
    caught(test_losses_codes.no_more_than_the_entropy, SIX, LABELS)


def test_q_is_asked_for_a_code_that_did_not_make_the_sample(monkeypatch):
    """Codes drawn anew for the loss: Q and G learn that codes tell nothing."""
    right = infogan.InfoGAN.information
    monkeypatch.setattr(infogan.InfoGAN, "information", lambda self, out, z: right(self, out, z[::-1]))
    caught(test_codes.follows_its_objective, "infogan", "G")
    caught(test_codes.follows_its_objective, "infogan", "D")


# ---- semi-supervised -------------------------------------------------------------------------------------


def semi_supervised_law():
    x = np.random.default_rng(1).standard_normal((3, 6, 4))
    test_losses_codes.semi_supervised_is_the_game_of_K_plus_1_classes(x[0], LABELS, x[1], x[2])


def test_largest_logit_taken_for_the_sum(monkeypatch):
    """D(x) = sigmoid(max logit): near the truth once D is sure, and not the game of K + 1 classes."""

    def largest(logits):
        return logits.max(1, keepdims=True), (logits == logits.max(1, keepdims=True)).astype(logits.dtype)

    semi_supervised_law()
    monkeypatch.setattr(losses, "realness", largest)
    caught(semi_supervised_law)


def test_fake_class_left_out_of_the_sum(monkeypatch):
    """log Z taken for log D(x) itself, in place of the logit of D(x): it has no upper bound."""

    def unbounded(real, fake):
        n, m = len(real), len(fake)
        return fake.mean() - real.mean(), np.full_like(real, -1 / n), np.full_like(fake, 1 / m)

    monkeypatch.setattr(losses, "minimax_discriminator", unbounded)
    caught(semi_supervised_law)


def test_features_matched_sample_by_sample(monkeypatch):
    """E |f(x) - f(G(z))|^2 in place of |E f(x) - E f(G(z))|^2: G is drawn to the mean picture."""

    def paired(real, fake):
        return losses.l2(fake, real)

    monkeypatch.setattr(losses, "feature_matching", paired)
    caught(test_codes.follows_its_objective, "semi_supervised", "G")


# ---- rotations -------------------------------------------------------------------------------------------


def test_gradients_turned_on_instead_of_back(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 3, 1))
    laws.adjoint_in_x(Rotations(), x, rng)

    def turned_on(self, dy, shape):
        return sum(np.rot90(part, k, axes=(1, 2)) for k, part in enumerate(dy.reshape(4, *shape)))

    monkeypatch.setattr(Rotations, "adjoint", turned_on)
    caught(laws.adjoint_in_x, Rotations(), x, rng)
    caught(test_codes.follows_its_objective, "ssgan", "G")


def test_turns_in_another_order_than_their_labels(monkeypatch):
    """Each picture's four turns beside each other, while the labels say: all 0, all 90, ..."""
    right = Rotations.forward

    def forward(self, x, train=True):
        y, tape = right(self, x, train)
        return y.reshape(4, *x.shape).swapaxes(0, 1).reshape(y.shape), tape

    monkeypatch.setattr(Rotations, "forward", forward)
    caught(test_codes.turns_are_in_order)
    caught(test_codes.follows_its_objective, "ssgan", "D")


# ---- captions --------------------------------------------------------------------------------------------


def test_a_wrong_caption_that_is_right(monkeypatch):
    """Captions of other pictures taken for wrong ones: some say the same, and D is told that a match is none."""

    def shuffled(attributes, rng):
        return rng.permutation(attributes)

    monkeypatch.setattr(captions, "mistaken", shuffled)
    caught(test_codes.mistakes_are_mistakes)


def test_wrong_captions_weigh_as_much_as_all_fakes(monkeypatch):
    """Without the halves of algorithm 1."""
    right = losses.binary_cross_entropy

    def doubled(logits, targets):
        loss, d_logits = right(logits, targets)
        return (2 * loss, 2 * d_logits) if targets == 0 else (loss, d_logits)

    monkeypatch.setattr(text_to_image.losses, "binary_cross_entropy", doubled)
    caught(test_codes.follows_its_objective, "text_to_image", "D")


def test_a_condition_that_is_never_learned(monkeypatch):
    """The text encoder's gradient is dropped: captions reach the network through random numbers."""
    rng = np.random.default_rng(0)
    layer = Sequential(Each(Sequential(), Dense(2, 3, rng=rng)), Join()).astype(np.float64)
    pair = rng.standard_normal((2, 4, 1)), np.array([[1.0, 0], [0, 1]])
    laws.adjoint_in_params(layer, pair, rng)

    def first_alone(self, tapes, dys):
        self.layers[0].accumulate(tapes[0], dys[0])

    monkeypatch.setattr(Each, "accumulate", first_alone)
    monkeypatch.setattr(Each, "backward", lambda self, tapes, dys: self.pull(tapes, dys)[0])
    caught(laws.adjoint_in_params, layer, pair, rng)
