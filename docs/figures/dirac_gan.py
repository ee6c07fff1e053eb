"""Draw docs/images/dirac_gan.png: a GAN of two numbers, with and without penalties (Mescheder et al. 2018, figure 1).

Real samples are all 0; G's are all theta; D(x) = psi x, a logit. The only solution is theta = psi = 0. Each step moves
both at once, by the library's own losses and penalties with plain gradient descent.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchgan import losses, penalties
from scratchgan.layers import Dense
from scratchgan.optim import SGD

LR, STEPS = 0.1, 300
GAMES = {
    "the game of Goodfellow et al., no penalty": None,
    "the same with R1, gamma = 1": lambda D, real, fake: penalties.r1(D, real, weight=1.0),
    "WGAN-GP, target 0.3": lambda D, real, fake: penalties.wgan_gp(
        D, real, fake, rng=np.random.default_rng(0), weight=1.0, target=0.3
    ),
}


def play(penalty, wasserstein):
    """Return the path of (theta, psi), (STEPS + 1, 2), from (1, 1)."""
    D, G = (Dense(1, 1, bias=False, rng=np.random.default_rng(0)).astype(np.float64) for _ in range(2))
    D.W.value[...] = G.W.value[...] = 1
    optimizers = SGD(D.params(), LR), SGD(G.params(), LR)
    real, z = np.zeros((1, 1)), np.ones((1, 1))
    path = [(1.0, 1.0)]
    for _ in range(STEPS):
        fake, G_tape = G.forward(z)  # theta, as W times 1
        real_logits, real_tape = D.forward(real)
        fake_logits, fake_tape = D.forward(fake)
        discriminator = losses.wasserstein_discriminator if wasserstein else losses.minimax_discriminator
        generator = losses.wasserstein_generator if wasserstein else losses.minimax_generator
        _, d_real, d_fake = discriminator(real_logits, fake_logits)
        D.accumulate(real_tape, d_real)
        D.accumulate(fake_tape, d_fake)
        _, d_logits = generator(fake_logits)
        at_fake, _ = D.pull(fake_tape, d_logits)
        G.accumulate(G_tape, at_fake)
        if penalty:
            penalty(D, real, fake)
        for optimizer in optimizers:
            optimizer.step()
        path.append((G.W.value.item(), D.W.value.item()))
    return np.array(path)


def main():
    """Draw the three paths, and print how far from the solution each ends."""
    figure = Figure(figsize=(12, 4.3), layout="constrained")
    for axes, (name, penalty) in zip(figure.subplots(1, 3), GAMES.items(), strict=True):
        path = play(penalty, wasserstein="WGAN" in name)
        print(f"{name}: distance from the solution {np.hypot(*path[0]):.2f} -> {np.hypot(*path[-1]):.2g}")
        axes.plot(*path.T, linewidth=0.8, color="tab:blue")
        axes.plot(*path[0], "o", color="tab:green", label="start")
        axes.plot(*path[-1], "o", color="tab:red", label=f"after {STEPS} steps")
        axes.plot(0, 0, "k+", markersize=12, label="solution")
        bound = 1.1 * np.abs(path).max()
        axes.set(xlim=(-bound, bound), ylim=(-bound, bound), aspect="equal")
        axes.set(title=name, xlabel="theta: where G's samples are", ylabel="psi: D's slope")
        axes.legend(loc="lower left", fontsize=8)
    figure.savefig(Path(__file__).parent.parent / "images" / "dirac_gan.png", dpi=80)


if __name__ == "__main__":
    main()
