"""Samplers that ask D: of what G draws they make samples of the data, if D is right. docs/samplers.md derives them.

    d(x) = log p(x) / q(x)        p: the data's density, q: that of G's samples

It is the logit of the best D for a fixed G (Goodfellow et al. 2014, proposition 1). d is on the host, samples are not.
"""

import numpy as np

from scratchgan import losses, xp
from scratchgan.layers import Sequential
from scratchgan.optim import Adam
from scratchgan.support.errors import UserError


class Judged:
    """G's samples, d = slope logit + intercept of each, and how often G was asked for one: `evaluations`.

    latent: n -> z (n, F), standard normal, on the device. Raises UserError for a D that judges several samples as one.
    """

    def __init__(self, G, D, latent, slope=1.0, intercept=0.0):
        if any(layer.mixes_samples for _, layer in D.named_layers()):
            raise UserError("D judges several samples as one: what it says is no ratio of densities at a sample")
        self.G, self.D, self.latent = G, D, latent
        self.slope, self.intercept, self.evaluations = float(slope), float(intercept), 0

    def draw(self, n):
        """Return n samples of G, and d of each: x (n, ...), d (n,)."""
        self.evaluations += n
        x = self.G(self.latent(n))
        return x, self.d(x)

    def d(self, x):
        """Return d(x) of samples, G's or not: float64 (n,)."""
        return self.slope * on_host(self.D(x)[:, 0]) + self.intercept

    def d_and_gradient(self, z):
        """Return d(G(z)) and its gradient by z, through D and through G: (n,) and (n, F)."""
        self.evaluations += len(z)
        x, G_tape = self.G.forward(z, train=False)
        score, D_tape = self.D.forward(x, train=False)
        dx, _ = self.D.pull(D_tape, xp.full_like(score, self.slope))
        dz, _ = self.G.pull(G_tape, dx)
        return self.slope * on_host(score[:, 0]) + self.intercept, dz


def tune(judged, batches, steps, lr=1e-3):
    """Train D on, with G fixed; the rate falls to 0. batches: of real samples, endless."""
    D, opt = judged.D, Adam(judged.D.params(), lr, betas=(0.9, 0.999))
    for step in range(steps):
        # D ascends log D(x) + log(1 - D(G(z)))
        opt.lr = lr * (1 - step / steps)
        real = xp.to_device(batches.next())
        real_logits, real_tape = D.forward(real)
        fake_logits, fake_tape = D.forward(judged.G(judged.latent(len(real))))
        _, d_real, d_fake = losses.minimax_discriminator(real_logits, fake_logits)
        D.accumulate(real_tape, d_real)
        D.accumulate(fake_tape, d_fake)
        opt.step()


def refit(judged, real, fake):
    """Give D's last layer, dense, the weights and bias by which its score is likeliest the logit of "real".

    What a critic says is no logit. Its features stay as they are; logistic regression on them, which has one best
    answer, makes of them what the best D of these features says. real, fake: samples (n, ...), (m, ...), on the device.
    """
    *features, last = judged.D.layers
    features = Sequential(*features)
    line = logistic(*(on_host(features(x)) for x in (real, fake)), ridge=1e-4)  # features may be alike, or always 0
    last.W.value[...] = xp.to_device(line[:-1, None].astype(last.W.value.dtype))
    last.b.value[...] = float(line[-1])


def calibration(real, fake):
    """Return the (slope, intercept) for which sigmoid(slope logit + intercept) is the likeliest P(real | logit).

    real, fake: logits (n,), (m,) of samples that D was not trained on, taken as if both kinds were equally frequent.
    Logits that are far from the others, by five times the range that both kinds' quartiles span, count as if they were
    that far: without it, a single one of -1e6 decides about the line.
    Raises UserError where a logit is not finite, and where no line is the likeliest, or it falls.
    """
    x = np.concatenate([real, fake]).astype(np.float64)
    if not np.isfinite(x).all():
        raise UserError("D cannot be calibrated: not all of its logits are finite")
    quartiles = [np.percentile(logits, (25, 75)) for logits in (real, fake)]
    low, high = np.min(quartiles), np.max(quartiles)
    if high > low:
        x = np.clip(x, low - 5 * (high - low), high + 5 * (high - low))
    line = logistic(x[: len(real), None], x[len(real) :, None])
    if np.min(real) > np.max(fake) or not line[0] > 0:
        raise UserError("D cannot be calibrated: its logits tell real points from G's not at all, or wholly")
    return line[0], line[1]


def logistic(real, fake, ridge=0.0):
    """Return the weights and the bias, (F + 1,), for which sigmoid(x w + b) is the likeliest P(real | x).

    real, fake: (n, F), (m, F), as if both were equally frequent. By Newton's method, whose steps are halved until they
    lead down:  -E log P + ridge / 2 |w|^2,  w for features of deviation 1.  NaN where there is no minimum.
    """
    x = np.concatenate([real, fake])
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1.0
    x = np.hstack([(x - center) / scale, np.ones((len(x), 1))])
    y, w = np.arange(len(x)) < len(real), np.zeros(x.shape[1])
    weight = np.where(y, 0.5 / len(real), 0.5 / len(fake))
    price = np.r_[np.full(len(w) - 1, ridge), 0.0]
    loss = lambda w: weight @ np.logaddexp(0, np.where(y, -1, 1) * (x @ w)) + 0.5 * price @ w**2
    for _ in range(100):
        p = sigmoid(x @ w)
        gradient = x.T @ (weight * (p - y)) + price * w
        if abs(gradient).max() < 1e-8:
            w = w / np.r_[scale, 1.0]
            return np.r_[w[:-1], w[-1] - center @ w[:-1]]
        step = np.linalg.solve((x.T * (weight * p * (1 - p))) @ x + np.diag(price + 1e-12), gradient)
        size = 1.0
        while size > 1e-9 and not loss(w - size * step) <= loss(w) + 1e-12:
            size /= 2
        w = w - size * step
    return np.full(len(w), np.nan)


def z_statistic(d_real, d_fake):
    """Return sum (y - p) / sqrt(sum p (1 - p)), p = sigmoid(d), y = 1 for real: about N(0, 1) if d is calibrated."""
    p = sigmoid(np.concatenate([d_real, d_fake]))
    return (len(d_real) - p.sum()) / np.sqrt((p * (1 - p)).sum())


def rejection(judged, n, rng, *, percentile=None, burn_in=10_000, budget=1_000_000):
    """Return accepted samples: n, or fewer where G would be asked more than `budget` times (Azadi et al. 2019).

        accept x with sigmoid(F),  F = d - M - log(1 - exp(d - M)) - gamma,  M the largest d that was seen

    percentile None: gamma = 0, so sigmoid(F) = exp(d - M): exact, if M is, but few are accepted. Else gamma is that
    percentile of F among the burn-in's samples, which are not returned: more are accepted, and G is corrected less.
    """
    last = judged.evaluations + budget
    x, d = judged.draw(burn_in)
    M = d.max()
    gamma = 0.0 if percentile is None else np.percentile(log_odds(d, M), percentile)
    accepted, found = [x[:0]], 0
    while found < n and judged.evaluations < last:
        x, d = judged.draw(1000)
        M = max(M, d.max())
        yes = np.flatnonzero(rng.random(len(d)) < sigmoid(log_odds(d, M) - gamma))
        accepted.append(x[xp.to_device(yes)])
        found += len(yes)
    return xp.concatenate(accepted)[:n]


def log_odds(d, M, epsilon=1e-6):
    """Return F of DRS for gamma = 0, the log odds of exp(d - M); epsilon keeps log(1 - exp(0)) away."""
    return d - M - np.log(-np.expm1(d - M - epsilon))


def metropolis_hastings(judged, start, rng, *, steps=640):
    """Return the last samples of Markov chains that are offered G's samples (Turner et al. 2019).

        go from x to x' with min(1, p(x') q(x) / (p(x) q(x'))) = min(1, exp(d(x') - d(x))), else stay

    start: a real sample for each chain, (n, ...). A chain that never moved starts again, from a sample of G.
    """
    x, moved = chains(judged, start, rng, steps)
    if not moved.all():
        stuck = np.flatnonzero(~moved)
        x[xp.to_device(stuck)] = chains(judged, judged.draw(len(stuck))[0], rng, steps)[0]
    return x


def chains(judged, x, rng, steps):
    """Return where chains are after some steps, and which of them have moved: (n, ...) and bool (n,)."""
    x, d, moved = x.copy(), judged.d(x), np.zeros(len(x), bool)
    for _ in range(steps):
        new, new_d = judged.draw(len(x))
        yes = rng.random(len(d)) < acceptance(new_d - d)
        x, d, moved = where(yes, new, x), np.where(yes, new_d, d), moved | yes
    return x, moved


def acceptance(log_ratio):
    """Return min(1, ratio), the probability with which a Markov chain moves."""
    return np.exp(np.minimum(log_ratio, 0.0))


def langevin(judged, z, rng, *, steps, eps):
    """Return z after some steps; G(z) are the samples, of density p if z has t (Che et al. 2020).

        z += eps / 2 grad log t(z) + sqrt(eps) n,  n ~ N(0, 1),  log t(z) = d(G(z)) - |z|^2 / 2 + a constant

    A step that is not small leads elsewhere: `adjusted_langevin` corrects that.
    """
    for _ in range(steps):
        z = proposal(z, target(judged, z)[1], eps, rng)
    return z


def adjusted_langevin(judged, z, rng, *, steps, eps):
    """Return z after steps that are taken as Metropolis and Hastings say, and the share that was (MALA).

        go from z to z' with min(1, t(z') k(z | z') / (t(z) k(z' | z))), else stay

    k(z' | z) is the density of a step of `langevin`.
    """
    (log_t, slope), taken = target(judged, z), 0.0
    for _ in range(steps):
        new = proposal(z, slope, eps, rng)
        new_log_t, new_slope = target(judged, new)
        back, forth = log_transition(new, new_slope, z, eps), log_transition(z, slope, new, eps)
        yes = rng.random(len(z)) < acceptance(new_log_t + back - log_t - forth)
        z, slope, log_t = where(yes, new, z), where(yes, new_slope, slope), np.where(yes, new_log_t, log_t)
        taken += yes.mean() / steps
    return z, taken


def target(judged, z):
    """Return log t(z), but for the constant, and its gradient: (n,) and (n, F)."""
    d, gradient = judged.d_and_gradient(z)
    return d - 0.5 * on_host((z * z).sum(axis=1)), gradient - z


def proposal(z, slope, eps, rng):
    """Draw where a step of Langevin's dynamics leads."""
    return z + 0.5 * eps * slope + eps**0.5 * xp.to_device(rng.standard_normal(z.shape).astype(z.dtype))


def log_transition(z, slope, new, eps):
    """Return log k(new | z), but for a constant: (n,)."""
    return -on_host(((new - z - 0.5 * eps * slope) ** 2).sum(axis=1)) / (2 * eps)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def on_host(x):
    return xp.to_host(x).astype(np.float64)


def where(yes, new, old):
    """Return the new samples where `yes`, bool (n,) on the host, and the old ones elsewhere."""
    return xp.where(xp.to_device(yes.reshape(-1, *[1] * (new.ndim - 1))), new, old)
