"""Draw docs/images/lsgan.png: G's gradient at fakes far on the real side of D (Mao et al. 2017, figure 1).

    python docs/figures/lsgan.py                # 2 seconds
    python docs/figures/lsgan.py measure        # one minute on two CPU cores: do such fakes occur in a training?

Two linear discriminators learn to tell the same real points from the same fakes of an early G, one by sigmoid
cross-entropy, one by least squares. Then both are held fixed, and fakes are put far out on the real side.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchgan import losses
from scratchgan.data import Batches
from scratchgan.examples import gan
from scratchgan.fast import threads
from scratchgan.layers import Dense, Flatten, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from scratchgan.optim import Adam

ROOT = Path(__file__).parent.parent.parent
DIRECTION = np.array([2.0, 1.0]) / np.sqrt(5)  # from the early fakes through the real points to the far fakes
ENTROPY = ("sigmoid cross-entropy", losses.nonsaturating_discriminator, losses.nonsaturating_generator, 0.0)
SQUARES = ("least squares", losses.least_squares_discriminator, losses.least_squares_generator, 0.5)

# ---- the picture -----------------------------------------------------------------------------------------


def points(n, center, std, rng):
    """Return n points (n, 2) around one that lies `center` along DIRECTION."""
    return center * DIRECTION + std * rng.standard_normal((n, 2))


def fit(discriminator_loss, real, fake):
    """Return a linear D, trained on these points until it stands still."""
    D = Dense(2, 1, rng=np.random.default_rng(0)).astype(np.float64)
    optimizer = Adam(D.params(), 0.01, betas=(0.9, 0.999))
    for _ in range(3000):
        real_scores, real_tape = D.forward(real)
        fake_scores, fake_tape = D.forward(fake)
        _, d_real, d_fake = discriminator_loss(real_scores, fake_scores)
        D.accumulate(real_tape, d_real)
        D.accumulate(fake_tape, d_fake)
        optimizer.step()
    return D


def push(D, generator_loss, x):
    """Return the step that G would have each point take: minus the gradient at it, of its own loss."""
    scores, tape = D.forward(x)
    _, d_scores = generator_loss(scores)
    gradient, _ = D.pull(tape, d_scores * len(x))  # the loss is a mean: times N for each one's own
    return -gradient


def scene(axes, D, loss, real, early, far):
    """Draw the points, D's boundary, and an arrow at each fake; return the mean length of an early fake's push."""
    name, _, generator_loss, boundary = loss
    unit = np.linalg.norm(push(D, generator_loss, early), axis=1).mean()
    axes.scatter(*real.T, s=14, color="tab:orange", alpha=0.6, label="real")
    for x, color, label in ((early, "tab:blue", "fake, of an early G"), (far, "magenta", "fake, far on the real side")):
        axes.scatter(*x.T, s=14, color=color, label=label)
        arrows = push(D, generator_loss, x) / unit
        axes.quiver(*x.T, *arrows.T, color=color, angles="xy", scale_units="xy", scale=0.8, width=0.004)
    horizontal = np.linspace(-7, 9, 2)
    w, b = D.W.value[:, 0], D.b.value[0]
    line = lambda score: (score - b - w[0] * horizontal) / w[1]
    axes.plot(horizontal, line(boundary), "k", label="D's boundary")
    if loss is SQUARES:
        axes.plot(horizontal, line(1), "k:", label="score 1, what G wants")
    lengths = np.linalg.norm(push(D, generator_loss, far), axis=1) / unit
    axes.set(title=f"{name}: a far fake is pushed {lengths.mean():.2g} times\nas hard as an early one",
             xlim=(-5.5, 9), ylim=(-5, 4.5), aspect="equal")  # fmt: skip
    axes.legend(fontsize=8, loc="lower right")
    print(f"{name}: slope of D {np.linalg.norm(w):.2f}, mean push of an early fake {unit:.3g}, "
          f"of a far fake {lengths.mean():.2g} of that")  # fmt: skip
    return unit


def main():
    """Draw the two scenes, and the push along DIRECTION as a function of the place."""
    rng = np.random.default_rng(0)
    real, early, far = points(150, 0, 0.9, rng), points(25, -3, 0.9, rng), points(12, 5.5, 0.5, rng)
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1.25, 1))
    places = np.linspace(-5, 8, 400)
    for axes, loss, color in ((left, ENTROPY, "tab:blue"), (middle, SQUARES, "tab:green")):
        D = fit(loss[1], real, early)
        unit = scene(axes, D, loss, real, early, far)
        along = push(D, loss[2], places[:, None] * DIRECTION) @ DIRECTION
        right.plot(places, along / unit, color=color, label=loss[0])
    for center, color in ((-3, "tab:blue"), (0, "tab:orange"), (5.5, "magenta")):
        right.axvspan(center - 1, center + 1, color=color, alpha=0.12)
    right.axhline(0, color="0.6", linewidth=0.8)
    right.set(xlabel="place along the line from the early to the far fakes")
    right.set_title("push towards the far end\n(1: the mean push of an early fake)")
    right.legend()
    figure.savefig(ROOT / "docs" / "images" / "lsgan.png", dpi=80)


# ---- the measurement -------------------------------------------------------------------------------------


class Small(gan.GAN):
    """The game of examples/gan.py with one hidden layer in each network: 100-128-784, 784-128-1."""

    def networks(self, shape, rng):
        G = Sequential(Dense(100, 128, rng=rng), ReLU(), Dense(128, 784, rng=rng), Tanh(), Reshape(*shape))
        return G, Sequential(Flatten(), Dense(784, 128, rng=rng), LeakyReLU(0.2), Dense(128, 1, rng=rng))


def measure(steps=6000):
    """Train the small GAN on glyphs, and count how many of G's samples lie far on D's real side."""
    threads.use()
    for loss, far in (("nonsaturating", np.log(19)), ("least-squares", 1.0)):
        settings = gan.Settings(loss=loss, steps=steps, batch_size=128, lr=2e-4, average=0.0)
        images = Small.load_data(settings)
        model = Small(settings, images.shape[1:], np.random.default_rng(0))
        batches = Batches(images, batch_size=settings.batch_size, rng=np.random.default_rng(1))
        scores = []
        for step in range(1, steps + 1):
            model.step(batches)
            if step % 50 == 0:
                scores.append(model.D(model.generate(model.latent(512, np.random.default_rng(step))))[:, 0])
        for part in np.array_split(np.array(scores), 3):
            print(f"{loss}: {(part > (0 if loss == 'nonsaturating' else 0.5)).mean():.4f} of the fakes on the real "
                  f"side, {(part > far).mean():.4f} above {far:.2f}, highest score {part.max():.2f}")  # fmt: skip


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["measure"] else main()
