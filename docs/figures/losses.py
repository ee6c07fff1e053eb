"""Draw docs/images/losses.png: every objective and its gradient as a function of one logit.

    python docs/figures/losses.py        # 2 seconds
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchgan import losses

LOGITS = np.linspace(-4, 4, 801)
COLORS = {
    "minimax": "tab:red", "non-saturating": "tab:blue", "minimax, non-saturating": "tab:blue",
    "least squares": "tab:green", "Wasserstein": "black", "hinge": "tab:orange", "Wasserstein, hinge": "black",
    "relativistic": "tab:blue", "relativistic hinge": "tab:orange",
}  # fmt: skip

# D's loss has two terms: while one is drawn, the other is held at a logit (of a real, of a fake sample) where it is 0.
DISCRIMINATORS = [
    ("minimax, non-saturating", losses.minimax_discriminator, 1e4, -1e4),
    ("least squares", losses.least_squares_discriminator, 1.0, 0.0),
    ("Wasserstein", losses.wasserstein_discriminator, 0.0, 0.0),
    ("hinge", losses.hinge_discriminator, 1e4, -1e4),
]
GENERATORS = [
    ("minimax", losses.minimax_generator),
    ("non-saturating", losses.nonsaturating_generator),
    ("least squares", losses.least_squares_generator),
    ("Wasserstein, hinge", losses.wasserstein_generator),
]
RELATIVISTIC = [
    ("relativistic", losses.relativistic_generator),
    ("relativistic hinge", losses.relativistic_hinge_generator),
]


def curve(f):
    """Return f's value and its gradient at each logit, each a batch of its own; f returns the two."""
    return np.array([[float(part.sum()) for part in f(np.array([[logit]]))] for logit in LOGITS]).T


def real_term(loss, fake):
    return lambda logit: loss(logit, np.full_like(logit, fake))[:2]


def fake_term(loss, real):
    return lambda logit: loss(np.full_like(logit, real), logit)[::2]


def draw(column, title, xlabel, named_curves, legend="lower left"):
    """Draw a column of two panels: the values above, the gradients below."""
    for name, f in named_curves:
        style = "--" if name in ("Wasserstein", "Wasserstein, hinge") else "-"
        for axes, y in zip(column, curve(f), strict=True):
            axes.plot(LOGITS, y, style, color=COLORS[name], label=name, linewidth=1.8)
    column[0].set(title=title, ylim=(-5.2, 6.2))
    column[1].set(xlabel=xlabel, ylim=(-3, 3))
    column[0].legend(fontsize=8, loc=legend)
    for axes in column:
        axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.grid(alpha=0.25)


def main():
    """Draw a column each for D's two terms, for G, and for a relativistic G."""
    figure = Figure(figsize=(14, 6.4), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey="row")
    real = [(name, real_term(loss, fake)) for name, loss, _, fake in DISCRIMINATORS]
    fake = [(name, fake_term(loss, real)) for name, loss, real, _ in DISCRIMINATORS]
    pairs = [(name, fake_term(loss, 0.0)) for name, loss in RELATIVISTIC]
    draw(panels[:, 0], "D at a real sample", "logit of the real sample", real)
    draw(panels[:, 1], "D at a fake sample", "logit of the fake sample", fake, legend="lower right")
    draw(panels[:, 2], "G at a fake sample", "logit of the fake sample", GENERATORS)
    draw(panels[:, 3], "relativistic G at a pair", "logit of the fake - logit of the real sample", pairs)
    panels[0, 0].set_ylabel("loss, to be descended")
    panels[1, 0].set_ylabel("d loss / d logit")
    figure.savefig(Path(__file__).parent.parent / "images" / "losses.png", dpi=80)


if __name__ == "__main__":
    main()
