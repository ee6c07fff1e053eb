"""What can be asked of a critic's gradient g at its inputs, WGAN-GP and its kin; and of weights.

Each function takes a penalty that depends on g = d D(x) / dx, sample by sample, adds the penalty's
gradient to the grads of D's Params, and returns its value. docs/second-order.md derives this
derivative of a derivative. Scores are logits: behind a sigmoid a penalty vanishes where D is sure.
"""

import math

from scratchgan import xp

TINY = 1e-12  # below every norm that matters, above 0


def penalize_gradient(D, x, penalty, *, batch_statistics=False):
    """Add the gradient of a penalty on g, D's gradient at x, to the grads of D; return its value.

        g_n = d D(x_n) / dx_n;   value, v = penalty(g);   d value / d theta = <v, d g / d theta>

    x: (N, ...); g and v have its shape; a score of several numbers per sample counts as their sum.
    For a D that is told labels, x is the pair (x, labels), and g the gradient with respect to x.
    Exact for every network. Raises ValueError where D holds a layer that computes with batch
    statistics: there g_n is not the gradient of sample n's score alone, and a penalty per sample
    loses its meaning (Gulrajani et al. 2017, section 4). batch_statistics=True insists: g is then
    the gradient of the sum of all scores, and its derivative is as exact.
    """
    if not batch_statistics:
        demand_separate_samples(D)
    score, tape = D.forward(x)
    g, kept = D.pull(tape, xp.ones_like(score))  # the gradient of D at x
    if not isinstance(x, tuple):
        value, v = penalty(g)  # the penalty, and its gradient with respect to g
    else:
        value, v = penalty(g[0])
        v = (v, *[None] * (len(x) - 1))  # no gradient at the labels, no penalty on it
    D.double_backward(tape, kept, v)  # adds d value / d theta
    return value


def demand_separate_samples(D):
    """Raise ValueError if a layer of D makes a sample's score depend on the rest of its batch."""
    for path, layer in D.named_layers():
        if layer.mixes_samples:
            raise ValueError(
                f"{layer!r} (layer {path!r} of the critic) mixes the samples of a batch, so the "
                "gradient at a sample is not its own: take LayerNorm or GroupNorm in a critic with "
                "a gradient penalty, or insist with batch_statistics=True"
            )


# ---- penalties as functions of g: value, d value / d g -------------------------------------------


def squared_norm(g):
    """E |g_n|^2, the norm over all axes but the first, the mean over samples."""
    return (g * g).sum() * (1 / len(g)), g * (2 / len(g))


def norm_distance(g, target=1.0, *, one_sided=False):
    """E (|g_n| - target)^2; one-sided: E max(0, |g_n| - target)^2. At |g_n| = 0 its slope is 0."""
    norm = xp.sqrt((g * g).reshape(len(g), -1).sum(1))
    norm = norm.reshape(-1, *[1] * (g.ndim - 1))  # (N, 1, ...)
    distance = norm - float(target)
    if one_sided:
        distance = xp.maximum(distance, 0)
    return (distance * distance).mean(), g * (distance * (2 / len(g)) / xp.maximum(norm, TINY))


def scaled(weight, value, v):
    """Return a penalty and its gradient, times a weight; one of NumPy's would widen float32."""
    return float(weight) * value, float(weight) * v


# ---- where the gradient is taken -----------------------------------------------------------------


def interpolate(real, fake, rng):
    """Return t x + (1 - t) G(z), a t ~ U(0, 1) per sample (Gulrajani et al. 2017, algorithm 1)."""
    if real.shape != fake.shape:
        shapes = f"real is {real.shape} and fake {fake.shape}"
        raise ValueError(f"interpolate: {shapes}: wanted pairs of one shape")
    t = rng.random((len(real), *[1] * (real.ndim - 1)))  # (N, 1, ...)
    return fake + xp.to_device(t, dtype=real.dtype) * (real - fake)


def perturb(real, rng, scale=0.5):
    """Return x + delta, delta ~ N(0, (scale s)^2), s the spread of all of x (Kodali et al. 2017).

    The paper's c is a variance for pixels from 0 to 255; the scale in units of s is from the
    authors' code, whose noise is uniform, and not centred.
    """
    delta = xp.to_device(rng.standard_normal(real.shape), dtype=real.dtype)
    return real + float(scale) * real.std() * delta


# ---- penalties of the literature; `labels` are for a D that is told them -------------------------


def told(x, labels):
    """Return what D is asked about: x, or the pair (x, labels)."""
    return x if labels is None else (x, labels)


def wgan_gp(
    D, real, fake, *, rng, weight=10.0, target=1.0, one_sided=False,
    labels=None, batch_statistics=False,
):  # fmt: skip
    """weight E (|g| - target)^2 between real and fake samples (Gulrajani et al. 2017, eq. 3)."""
    x = interpolate(real, fake, rng)
    penalty = lambda g: scaled(weight, *norm_distance(g, target, one_sided=one_sided))
    return penalize_gradient(D, told(x, labels), penalty, batch_statistics=batch_statistics)


def lipschitz_penalty(D, real, fake, *, rng, weight=10.0, labels=None, batch_statistics=False):
    """weight E max(0, |g| - 1)^2 between real and fake samples (Petzka et al. 2018).

    A slope below 1 is free.
    """
    options = {"labels": labels, "batch_statistics": batch_statistics}
    return wgan_gp(D, real, fake, rng=rng, weight=weight, one_sided=True, **options)


def dragan(
    D, real, *, rng, weight=10.0, target=1.0, scale=0.5, labels=None, batch_statistics=False
):
    """weight E (|g| - target)^2 around real samples (Kodali et al. 2017)."""
    x = perturb(real, rng, scale)
    penalty = lambda g: scaled(weight, *norm_distance(g, target))
    return penalize_gradient(D, told(x, labels), penalty, batch_statistics=batch_statistics)


def r1(D, real, *, weight=10.0, labels=None, batch_statistics=False):
    """weight / 2 E |g|^2 at real samples (Mescheder et al. 2018, eq. 9: weight is gamma)."""
    penalty = lambda g: scaled(0.5 * weight, *squared_norm(g))
    return penalize_gradient(D, told(real, labels), penalty, batch_statistics=batch_statistics)


def r2(D, fake, *, weight=10.0, labels=None, batch_statistics=False):
    """weight / 2 E |g|^2 at generated samples (Mescheder et al. 2018, eq. 10)."""
    return r1(D, fake, weight=weight, labels=labels, batch_statistics=batch_statistics)


def zero_centered(D, real, fake, *, rng, weight=10.0, labels=None, batch_statistics=False):
    """weight E |g|^2 between real and fake samples (Thanh-Tung et al. 2019)."""
    x = interpolate(real, fake, rng)
    penalty = lambda g: scaled(weight, *squared_norm(g))
    return penalize_gradient(D, told(x, labels), penalty, batch_statistics=batch_statistics)


class PathLength:
    """weight E (|J^T y| - a)^2, J a generator's Jacobian at its styles, y random pictures.

        g = J^T y, y ~ N(0, 1 / (H W_)),   length[n] = sqrt(mean over styles of |g[n, i]|^2)
        a <- a + share (E length - a),     value = weight E (length - a)^2

    All lengths shall be the same, whatever it is: a step in the space of styles then changes each
    picture as much (Karras et al. 2020; the scale of y and the mean over styles are from their
    code, and so are weight 2 and decay 0.01). In the gradient, a is a constant. `mean` is a. share
    is decay, and in the first 1 / decay calls more: a is then a plain mean. Theirs starts at 0, and
    pulls all lengths down meanwhile. decay=0: a stays as it is, 0 unless set. Called every 4 steps,
    as there, with `weight=2 * lazily(step, 4)`.
    """

    def __init__(self, *, decay=0.01):
        if not 0 <= decay <= 1:
            raise ValueError(f"PathLength: decay is {decay}, wanted a number from 0 to 1")
        self.decay, self.calls = float(decay), 0
        self.mean = xp.zeros((), dtype="float32")

    def __call__(self, G, styles, *, rng, weight=2.0):
        """Add the gradient to the grads of G; return the penalty, and its gradient at the styles.

        G: styles (N, n, F), or (N, F), to pictures (N, ..., C). Hand the second to the network that
        made the styles (`accumulate`): they are what the penalty is for.
        """
        picture, tape = G.forward(styles)
        y = xp.to_device(rng.standard_normal(picture.shape), dtype=picture.dtype)
        y = y * math.prod(picture.shape[1:-1]) ** -0.5
        g, kept = G.pull(tape, y)  # (N, n, F)
        rows = math.prod(g.shape[1:-1])
        length = xp.sqrt((g * g).reshape(len(g), -1).sum(1) * (1 / rows))  # (N,)
        self.calls += 1
        share = max(self.decay, 1 / self.calls) if self.decay else 0.0
        self.mean += share * (length.mean() - self.mean)
        distance = length - self.mean.astype(length.dtype)
        slope = distance * (2 * weight / (rows * len(g))) / xp.maximum(length, TINY)
        v = g * slope.reshape(-1, *[1] * (g.ndim - 1))
        bend = G.double_backward(tape, kept, v)[1]  # how the lengths vary with the styles
        return weight * (distance * distance).mean(), xp.zeros_like(g) if bend is None else bend


def lazily(step, every):
    """Return what to multiply a penalty's weight with at this step: `every` when it is due, else 0.

    Taken only every so many steps, and so many times as strong, a penalty has the same mean
    (Karras et al. 2020, appendix B):

        if lazily(step, 16):
            penalties.r1(D, real, weight=10 * lazily(step, 16))
    """
    if every < 1:
        raise ValueError(f"lazily: every is {every}, wanted 1 or more steps")
    return every if step % every == 0 else 0


# ---- of weights ----------------------------------------------------------------------------------


def orthogonal(net, *, weight=1e-4, diagonal=False):
    """weight ||R||^2 for each W, R = M^T M without its diagonal (Brock et al. 2019, eq. 3).

    M = W as (inputs, outputs). Different outputs shall have orthogonal weights of any length; in a
    ConvTranspose, different inputs. diagonal=True asks for length 1, too: R = M^T M - I (Brock et
    al. 2017, there without the square). The gradient, 4 weight M R, is added to the grads.
    """
    total = 0.0
    for path, param in net.named_params().items():
        if path.rpartition(".")[2] == "W":
            M = param.effective().reshape(-1, param.value.shape[-1])  # (inputs, outputs)
            R = M.T @ M  # (outputs, outputs)
            eye = xp.eye(len(R), dtype=R.dtype)
            R = R - eye if diagonal else R * (1 - eye)
            param.accumulate((4 * weight * (M @ R)).reshape(param.value.shape))
            total = total + weight * (R * R).sum()
    return total


def clip(net, limit):
    """Clip every Param to [-limit, limit] (Arjovsky et al. 2017, algorithm 1, line 7)."""
    if not limit > 0:
        raise ValueError(f"clip: limit is {limit}, wanted a number above 0")
    for param in net.params():
        xp.clip(param.value, -limit, limit, out=param.value)
