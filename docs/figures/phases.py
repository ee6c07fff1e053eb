"""Draw docs/images/phases.png: the adjoint of a convolution with kernel 4 and stride 2 as four 2 x 2 convolutions."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

COLORS = np.array([["#f4a582", "#92c5de"], ["#b8e186", "#d9b3e6"]])


def grid(axes, rows, columns, color, text):
    """Draw a grid of squares; color(i, j) and text(i, j) say what each looks like."""
    for i in range(rows):
        for j in range(columns):
            axes.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], facecolor=color(i, j), edgecolor="white")
            axes.text(j + 0.5, i + 0.5, text(i, j), ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.axis("off")


def taps(i, j):
    """Name the four taps W[t] that reach the pixel (i, j) of the padded dx."""
    rows, columns = (i % 2, i % 2 + 2), (j % 2, j % 2 + 2)
    return "\n".join(" ".join(f"{a}{b}" for b in columns) for a in rows)


figure = Figure(figsize=(11, 4.6), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
grid(left, 6, 6, lambda i, j: COLORS[i % 2, j % 2], taps)
left.set_title("dx, 6 x 6 pixels: the taps of W that reach each one")
gap = 0.6
for r in range(2):
    for c in range(2):
        for q in range(3):
            for p in range(3):
                x, y = p + c * (3 + gap), q + r * (3 + gap)
                right.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], facecolor=COLORS[r, c], edgecolor="white")
        right.text(1.5 + c * (3 + gap), 1.5 + r * (3 + gap), taps(r, c), ha="center", va="center", fontsize=13)
right.set(xlim=(-0.1, 6.7), ylim=(6.7, -0.1), aspect="equal", title="the four phases, each a 2 x 2 convolution of dy")
right.axis("off")
path = Path(__file__).parent.parent / "images" / "phases.png"
figure.savefig(path, dpi=90)
