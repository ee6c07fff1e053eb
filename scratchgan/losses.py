"""What the players of a GAN minimise: a function per objective returns its value and its gradients.

Scores are logits: D(x) = sigmoid(logit), and no network ends with that sigmoid. Every function
takes the mean over all elements, is safe for logits of any size, and leaves its value on the
device (a 0-d array). For a discriminator: loss, d_real, d_fake = f(real_logits, fake_logits).
For a generator: loss, d_fake = f(fake_logits). A relativistic generator's loss looks at the real
logits too, and so has the form of a discriminator's.
"""

import math

import numpy

from scratchgan import xp
from scratchgan.layers import functions
from scratchgan.layers.base import check, check_labels

# ---- the game of Goodfellow et al. 2014 ----------------------------------------------------------


def minimax_discriminator(real_logits, fake_logits, *, real_target=1.0):
    """D ascends E log D(x) + E log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1).

    The loss is its negative. real_target below 1, say 0.9, is one-sided label smoothing (Salimans
    et al. 2016, section 3.4). The target for fakes stays 0: any other rewards G for its mistakes.
    """
    real_loss, d_real = binary_cross_entropy(real_logits, real_target)
    fake_loss, d_fake = binary_cross_entropy(fake_logits, 0.0)
    return real_loss + fake_loss, d_real, d_fake


def minimax_generator(fake_logits):
    """G descends E log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1).

    d/dlogit = -D(G(z)) vanishes where D is sure of a fake: this is the saturating loss.
    """
    n = count("minimax_generator", fake_logits)
    return -functions.softplus(fake_logits).mean(), functions.sigmoid(fake_logits) * (-1 / n)


def nonsaturating_discriminator(real_logits, fake_logits, *, real_target=1.0):
    """D plays the same game as in `minimax_discriminator`; only G's objective differs."""
    return minimax_discriminator(real_logits, fake_logits, real_target=real_target)


def nonsaturating_generator(fake_logits):
    """G ascends E log D(G(z)) (Goodfellow et al. 2014, section 3); the loss is its negative.

    d/dlogit = -(1 - D(G(z))): the gradient is largest where D is sure of a fake.
    """
    return binary_cross_entropy(fake_logits, 1.0)


# ---- other distances -----------------------------------------------------------------------------


def least_squares_discriminator(real_logits, fake_logits, *, real_target=1.0, fake_target=0.0):
    """D descends 1/2 E (D(x) - b)^2 + 1/2 E (D(G(z)) - a)^2 (Mao et al. 2017, eq. 2).

    D(x) is the logit itself; b = real_target, a = fake_target.
    """
    n_real, n_fake = count("least_squares", real_logits), count("least_squares", fake_logits)
    real, fake = real_logits - as_number(real_target), fake_logits - as_number(fake_target)
    loss = 0.5 * (real * real).mean() + 0.5 * (fake * fake).mean()
    return loss, real * (1 / n_real), fake * (1 / n_fake)


def least_squares_generator(fake_logits, *, target=1.0):
    """G descends 1/2 E (D(G(z)) - c)^2, c = target (Mao et al. 2017, eq. 2)."""
    n = count("least_squares_generator", fake_logits)
    fake = fake_logits - as_number(target)
    return 0.5 * (fake * fake).mean(), fake * (1 / n)


def wasserstein_discriminator(real_logits, fake_logits):
    """The critic ascends E f(x) - E f(G(z)) (Arjovsky et al. 2017, eq. 3).

    The loss is its negative. That difference estimates a distance only if something keeps f
    Lipschitz: clipping, a penalty, a normalisation.
    """
    n_real, n_fake = count("wasserstein", real_logits), count("wasserstein", fake_logits)
    d_real, d_fake = xp.full_like(real_logits, -1 / n_real), xp.full_like(fake_logits, 1 / n_fake)
    return fake_logits.mean() - real_logits.mean(), d_real, d_fake


def wasserstein_generator(fake_logits):
    """G ascends E f(G(z)) (Arjovsky et al. 2017, algorithm 1); the loss is its negative."""
    n = count("wasserstein_generator", fake_logits)
    return -fake_logits.mean(), xp.full_like(fake_logits, -1 / n)


def hinge_discriminator(real_logits, fake_logits):
    """D descends E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) (Miyato et al. 2018, eq. 16).

    D(x) is the logit itself. Lim & Ye 2017 have this loss, too.
    """
    real_loss, d_real = hinge(real_logits, 1)
    fake_loss, d_fake = hinge(fake_logits, -1)
    return real_loss + fake_loss, d_real, d_fake


def hinge_generator(fake_logits):
    """G ascends E D(G(z)), as in `wasserstein_generator` (Miyato et al. 2018, eq. 17)."""
    return wasserstein_generator(fake_logits)


# ---- relativistic: is this sample more real than that one? (Jolicoeur-Martineau 2019) ------------
#
# With C(x) the logit of x, only differences C(x) - C(G(z)) count: a number added to all logits
# changes nothing. G's loss is D's with real and fake exchanged. For G, training uses d_fake alone,
# since real samples do not depend on G; d_real is returned because it is half of the gradient.
# Pairs (RSGAN) and averages (RaSGAN) are from section 4, RaHingeGAN is from the appendix.


def relativistic_discriminator(real_logits, fake_logits):
    """D descends -E log sigmoid(C(x) - C(G(z))), over pairs of samples (RSGAN).

    Logits of equal shapes: the pairs are the elements that share an index.
    """
    loss, d_real = binary_cross_entropy(differences("relativistic", real_logits, fake_logits), 1.0)
    return loss, d_real, -d_real


def relativistic_generator(real_logits, fake_logits):
    """G descends -E log sigmoid(C(G(z)) - C(x)), over pairs; return loss, d_real, d_fake."""
    loss, d_real = binary_cross_entropy(differences("relativistic", real_logits, fake_logits), 0.0)
    return loss, d_real, -d_real


def relativistic_average_discriminator(real_logits, fake_logits):
    """D descends -E log sigmoid(C(x) - E C(G(z))) - E log(1 - sigmoid(C(G(z)) - E C(x))).

    RaSGAN. Each inner E is the mean over all elements of its batch; batches may differ in size.
    """
    return against_average(minimax_discriminator, real_logits, fake_logits)


def relativistic_average_generator(real_logits, fake_logits):
    """G descends -E log sigmoid(C(G(z)) - E C(x)) - E log(1 - sigmoid(C(x) - E C(G(z))))."""
    loss, d_fake, d_real = against_average(minimax_discriminator, fake_logits, real_logits)
    return loss, d_real, d_fake


def relativistic_hinge_discriminator(real_logits, fake_logits):
    """D descends E max(0, 1 - (C(x) - C(G(z)))), over pairs: RSGAN with a hinge."""
    loss, d_real = hinge(differences("relativistic_hinge", real_logits, fake_logits), 1)
    return loss, d_real, -d_real


def relativistic_hinge_generator(real_logits, fake_logits):
    """G descends E max(0, 1 - (C(G(z)) - C(x))), over pairs; return loss, d_real, d_fake."""
    loss, d_real = hinge(differences("relativistic_hinge", real_logits, fake_logits), -1)
    return loss, d_real, -d_real


def relativistic_average_hinge_discriminator(real_logits, fake_logits):
    """D descends E max(0, 1 - (C(x) - E C(G(z)))) + E max(0, 1 + (C(G(z)) - E C(x)))."""
    return against_average(hinge_discriminator, real_logits, fake_logits)


def relativistic_average_hinge_generator(real_logits, fake_logits):
    """G descends E max(0, 1 - (C(G(z)) - E C(x))) + E max(0, 1 + (C(x) - E C(G(z))))."""
    loss, d_fake, d_real = against_average(hinge_discriminator, fake_logits, real_logits)
    return loss, d_real, d_fake


def differences(name, real_logits, fake_logits):
    """Return real_logits - fake_logits; raise ValueError unless each real has its fake."""
    count(name, real_logits)
    check(name, "fake_logits", fake_logits, dtype=real_logits.dtype)
    if real_logits.shape != fake_logits.shape:
        shapes = f"real_logits {real_logits.shape} and fake_logits {fake_logits.shape}"
        raise ValueError(f"{name}: {shapes} are no pairs: take relativistic_average")
    return real_logits - fake_logits


def against_average(discriminator, a, b):
    """Apply a loss of D to a - mean b (real) and b - mean a (fake); return loss, d_a, d_b."""
    n_a, n_b = count("relativistic_average", a), count("relativistic_average", b)
    check("relativistic_average", "logits", b, dtype=a.dtype)
    loss, d_a, d_b = discriminator(a - b.mean(), b - a.mean())
    # Each mean passes its gradient on.
    return loss, d_a - d_b.sum() * (1 / n_a), d_b - d_a.sum() * (1 / n_b)


# ---- parts of other objectives: loss, gradient = f(x, target) ------------------------------------


def binary_cross_entropy(logits, targets):
    """-E [t log p + (1 - t) log(1 - p)], p = sigmoid(logit), t in [0, 1]: a number, or as logits.

    -log p = softplus(-logit) and -log(1 - p) = softplus(logit): no logarithm of 0 is ever taken.
    """
    targets = as_number(targets)
    n = count("binary_cross_entropy", logits, targets)
    loss = targets * functions.softplus(-logits) + (1 - targets) * functions.softplus(logits)
    return loss.mean(), (functions.sigmoid(logits) - targets) * (1 / n)


def hinge(logits, sign):
    """E max(0, 1 - sign logit), sign 1 or -1: no gradient once the logit is beyond 1, or -1."""
    n = count("hinge", logits)
    short = 1 - sign * logits  # by how much the logit falls short of the margin
    return xp.maximum(short, 0).mean(), (short > 0).astype(logits.dtype) * (-sign / n)


def softmax_cross_entropy(logits, labels, weights=None):
    """-(1/n) sum w log softmax(logits)[label], n the number of labels; w is 1 where not given.

    logits are (N, ..., K), labels integers (N, ...) from 0 to K - 1, weights like labels. A weight
    of 0 leaves a label out; with advantages for weights, which may be negative, the gradient is
    REINFORCE's (Williams 1992). Takes logits: a softmax before it would be a softmax taken twice.
    """
    count("softmax_cross_entropy", logits)
    classes = logits.shape[-1]
    check_labels("softmax_cross_entropy", "labels", labels, classes, logits.shape[:-1])
    named = labels[..., None] == xp.arange(classes)  # (N, ..., K)
    log_p = functions.log_softmax(logits)  # -inf where a logit is: no class that can be
    d_logits, n = xp.exp(log_p) - named, labels.size
    if weights is None:
        chosen = xp.where(named, log_p, 0)
    else:
        check("softmax_cross_entropy", "weights", weights, labels.shape, logits.dtype)
        w = weights[..., None]  # (N, ..., 1)
        chosen = w * xp.where(named & (w != 0), log_p, 0)
        d_logits = xp.where(w != 0, w * d_logits, 0)
    return chosen.sum() * (-1 / n), d_logits * (1 / n)


def l1(x, target):
    """E |x - target|, the mean over all elements; the derivative at 0 is taken to be 0."""
    target = as_number(target)
    n = count("l1", x, target)
    difference = x - target
    return xp.abs(difference).mean(), xp.sign(difference) * (1 / n)


def l2(x, target):
    """E (x - target)^2, the mean over all elements: no root, and no factor 1/2."""
    target = as_number(target)
    n = count("l2", x, target)
    difference = x - target
    return (difference * difference).mean(), difference * (2 / n)


# ---- what else D can be asked: code, class, features ---------------------------------------------


def categorical_information(logits, labels):
    """-I, with I = H(c) + E log softmax(logits)[c] for uniform codes c in K classes: H(c) = log K.

    I is at most the mutual information of code and sample, in nats, and so at most log K (Chen et
    al. 2016, eq. 5). logits: (N, K), Q's for samples that G made from the codes `labels`, (N,).
    """
    loss, d_logits = softmax_cross_entropy(logits, labels)
    return loss - math.log(logits.shape[-1]), d_logits


def gaussian_information(mean, log_std, code):
    """-I, with I = H(c) + E log N(c; mean, std^2) for codes c uniform on [-1, 1]: H(c) = log 2.

    mean, log_std, code: (N, codes). I is summed over the codes, and E is the mean over N. Return
    -I, d_mean, d_log_std. A log_std below -5 counts as -5: no code is told more exactly.
    """
    count("gaussian_information", mean, code)
    check("gaussian_information", "log_std", log_std, mean.shape, mean.dtype)
    n = len(mean)
    clipped = xp.maximum(log_std, -5)
    precision = xp.exp(-clipped)  # 1 / std
    error = (mean - code) * precision
    surprise = 0.5 * error * error + clipped + (0.5 * math.log(2 * math.pi) - math.log(2))
    d_log_std = (1 - error * error) * (log_std > -5) * (1 / n)
    return surprise.sum() * (1 / n), error * precision * (1 / n), d_log_std


def gaussian_kl(mean, log_var):
    """KL(N(mean, var), N(0, 1)) = 1/2 (mean^2 + var - 1 - log var), what z tells of x, in nats.

    Summed over the latents, and the mean over the batch: (N, latents) each. Return KL, d_mean,
    d_log_var (Kingma & Welling 2014, appendix B, which has -KL).
    """
    count("gaussian_kl", mean)
    check("gaussian_kl", "log_var", log_var, mean.shape, mean.dtype)
    n = len(mean)
    var = xp.exp(log_var)
    kl = 0.5 * (mean * mean + var - 1 - log_var)
    return kl.sum() * (1 / n), mean * (1 / n), (var - 1) * (0.5 / n)


def realness(logits):
    """Return log sum_k exp(logit_k), (N, 1), and its gradient, softmax(logits), (N, K).

    K logits stand for K + 1 classes if "fake" always has the logit 0. Then D(x) = Z / (Z + 1), Z
    the sum of K exponentials: "not fake" has the logit log Z (Salimans et al. 2016, section 5).
    """
    count("realness", logits)
    if logits.ndim != 2:
        raise ValueError(f"realness: logits have shape {logits.shape}, wanted (N, K)")
    log_p = functions.log_softmax(logits)
    largest = logits.max(axis=1, keepdims=True)  # of any class but one that cannot be, at -inf
    return largest - log_p.max(axis=1, keepdims=True), xp.exp(log_p)


def semi_supervised_discriminator(labelled_logits, labels, real_logits, fake_logits):
    """D descends -E log p(y | x, not fake) - 1/2 E log D(x) - 1/2 E log(1 - D(G(z))).

    K logits for each of three batches, with labels, without, of G's samples (Salimans et al. 2016,
    section 5). Return loss, d_labelled, d_real, d_fake. The halves are as in the authors' code.
    """
    classes = [logits.shape[-1] for logits in (labelled_logits, real_logits, fake_logits)]
    if len(set(classes)) > 1:
        name = "semi_supervised_discriminator"
        raise ValueError(f"{name}: logits of {classes} classes, wanted one K for all")
    supervised, d_labelled = softmax_cross_entropy(labelled_logits, labels)
    (real, real_softmax), (fake, fake_softmax) = realness(real_logits), realness(fake_logits)
    unsupervised, d_real, d_fake = minimax_discriminator(real, fake)
    loss = supervised + 0.5 * unsupervised
    return loss, d_labelled, 0.5 * d_real * real_softmax, 0.5 * d_fake * fake_softmax


def feature_matching(real_features, fake_features):
    """G descends |E f(x) - E f(G(z))|^2, f a layer of D (Salimans et al. 2016, section 3.1).

    Features are (N, F): each E is a mean over N, the square a sum over F. Batches may differ in
    size. Return the loss and its gradient with respect to the fake features.
    """
    count("feature_matching", real_features)
    check("feature_matching", "fake_features", fake_features, dtype=real_features.dtype)
    alike = real_features.ndim == 2 and real_features.shape[1:] == fake_features.shape[1:]
    if not alike or len(fake_features) == 0:
        shapes = f"{real_features.shape} and {fake_features.shape}"
        wanted = "(N, F) and (M, F)"
        raise ValueError(f"feature_matching: features have shapes {shapes}, wanted {wanted}")
    gap = fake_features.mean(0) - real_features.mean(0)  # (F,)
    d_fake = xp.broadcast_to(gap * (2 / len(fake_features)), fake_features.shape) * 1  # a copy
    return (gap * gap).sum(), d_fake


def as_number(target):
    """Return a NumPy number as Python's own: a np.float64 would widen float32. All else stays."""
    return target.item() if isinstance(target, numpy.generic) else target


def count(name, x, target=0.0):
    """Check x and target; return over how many elements a loss takes its mean."""
    check(name, "the input", x)
    if x.size == 0:
        raise ValueError(f"{name}: the input is empty, of shape {x.shape}: there is no mean")
    if not isinstance(target, float | int):  # (N,) and (N, 1) would broadcast to (N, N)
        check(name, "the target", target, x.shape, x.dtype)
    return x.size
