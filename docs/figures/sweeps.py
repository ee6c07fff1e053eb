"""Draw docs/images/sweeps.png: forward, and the sweeps of Sequential's pull and double_backward, through five layers.

    python docs/figures/sweeps.py                # 2 seconds
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

LAYERS = ("Dense 1", "Tanh 1", "Dense 2", "Tanh 2", "Dense 3")  # from the input, at the bottom, up to the score
FLOWS = ("x", "a_1", "h_1", "a_2", "h_2", "s")  # what goes into each layer, and the score
FORWARD, DOWN, UP, AGAIN = 0.0, 3.75, 7.5, 12.7  # where each sweep stands
STEP, WIDTH, HEIGHT = 1.7, 3.0, 0.86  # from layer to layer; a box
COLOR = {FORWARD: "#6b7580", DOWN: "#2166ac", UP: "#1b7837", AGAIN: "#c2571a"}
WEIGHT = "#7b3294"


def middle(row):
    """Return the height of a layer's boxes; `STEP * level` is that of the gap below layer `level`."""
    return STEP * (row + 0.5)


def box(axes, sweep, row, text, weight=""):
    """Draw what a layer does in a sweep, and what that adds to the gradient of its weight."""
    corner = (sweep - WIDTH / 2, middle(row) - HEIGHT / 2)
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.12", facecolor="white",
                                  edgecolor=COLOR[sweep], linewidth=1.6, zorder=3))  # fmt: skip
    place = {"ha": "center", "va": "center", "fontsize": 10.5, "zorder": 4}
    axes.text(sweep, middle(row) + (0.19 if weight else 0), text, **place)
    axes.text(sweep, middle(row) - 0.2, weight, color=WEIGHT, **place)


def arrow(axes, start, end, color):
    """Draw an arrow from one point to another."""
    look = {"arrowstyle": "-|>,head_width=0.3,head_length=0.55", "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**look, "color": color}, zorder=2)


def flow(axes, sweep, level, name, *, upwards=False, note=""):
    """Draw the arrow through the gap at a level, with the name of what flows there."""
    ends = [(sweep, STEP * level + side * (STEP - HEIGHT) / 2) for side in (-1, 1)]
    arrow(axes, *(ends if upwards else ends[::-1]), COLOR[sweep])
    axes.text(sweep + 0.17, STEP * level, f"${name}$ {note}", va="center", fontsize=13, color=COLOR[sweep])


def first_sweeps(axes):
    """Draw the forward pass, the sweep down that ends in g, and the sweep up that starts with v."""
    for row, layer in enumerate(LAYERS):
        dense = layer.startswith("Dense")
        box(axes, FORWARD, row, "apply(W, x) + b" if dense else "f(x)")
        box(axes, DOWN, row, "input_grad(W, dy)" if dense else "f '(x) dy")
        box(axes, UP, row, "apply(W, ddx)" if dense else "f '(x) ddx", "dW += weight_grad(ddx, dy)" if dense else "")
    for level, name in enumerate(FLOWS):
        flow(axes, FORWARD, level, name, upwards=True)
        flow(axes, DOWN, level, f"d{name}", note={"x": "= g", "s": "= 1"}.get(name, ""))
        flow(axes, UP, level, f"dd{name}", upwards=True, note={"x": "= v", "s": "(not used)"}.get(name, ""))


def last_sweep(axes):
    """Draw the bends, which leave the sweep up sideways, and the sweep that brings them down."""
    color, side, left = COLOR[AGAIN], UP + WIDTH / 2, AGAIN - WIDTH / 2
    for row in (1, 3):
        axes.text(side + 0.12, middle(row) + 0.14, "bend = f ''(x) dy ddx", fontsize=10.5, color=color)
    axes.plot([side, AGAIN, AGAIN], [middle(3), middle(3), middle(3) - HEIGHT / 2], color=color, linewidth=2.2)
    corner = (side + left) / 2
    axes.plot([side, corner, corner], [middle(1), middle(1), STEP], color=color, linewidth=2.2)
    arrow(axes, (corner, STEP), (AGAIN - 0.2, STEP), color)
    for row, layer in enumerate(LAYERS[:3]):
        dense = layer.startswith("Dense")
        text, weight = ("input_grad(W, dy)", "dW += weight_grad(x, dy)") if dense else ("f '(x) dy", "")
        box(axes, AGAIN, row, text, weight)
    for level, name in enumerate(FLOWS[:4]):
        note = "(not used)" if name == "x" else ""
        flow(axes, AGAIN, level, rf"\;\;\partial P / \partial {name}", note=note)
    axes.add_patch(Circle((AGAIN, STEP), 0.2, facecolor="white", edgecolor=color, linewidth=1.6, zorder=3))
    axes.text(AGAIN, STEP, "+", ha="center", va="center", fontsize=15, color=color, zorder=4)


def frame(axes):
    """Name the layers and the sweeps, and draw the penalty between the first sweep and the second."""
    for row, layer in enumerate(LAYERS):
        bottom, top = middle(row) - HEIGHT / 2 - 0.12, middle(row) + HEIGHT / 2 + 0.12
        axes.axhspan(bottom, top, color="#f2f4f6", zorder=0)
        axes.text(-2.95, middle(row), layer, va="center", fontsize=12, fontweight="bold")
    for sweep, title, does in (
        (FORWARD, "forward", "what goes into each layer"),
        (DOWN, "1. down", "the dy of each layer"),
        (UP, "2. up", "along v, leaving the bends"),
        (AGAIN, "3. down again", "delivering the bends, as dy"),
    ):
        axes.text(sweep, 9.75, title, ha="center", fontsize=15, fontweight="bold", color=COLOR[sweep])
        axes.text(sweep, 9.35, does, ha="center", fontsize=11, color=COLOR[sweep])
    corner, width, height = (DOWN - WIDTH / 2, -1.6), UP - DOWN + WIDTH, 1.18
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.12",
                                  facecolor="#fff8e6", edgecolor="#b8860b", linewidth=1.6))  # fmt: skip
    place = {"ha": "center", "va": "center"}
    axes.text((DOWN + UP) / 2, -0.8, "the penalty P is a function of g", fontsize=12, **place)
    axes.text((DOWN + UP) / 2, -1.22, "v is its gradient:  $v = \\partial P / \\partial g$", fontsize=12, **place)


def main():
    figure = Figure(figsize=(14.2, 9.5), layout="constrained")
    axes = figure.subplots()
    frame(axes)
    first_sweeps(axes)
    last_sweep(axes)
    axes.set(xlim=(-3.1, 15.0), ylim=(-1.75, 10.2))
    axes.axis("off")
    figure.savefig(Path(__file__).parent.parent / "images" / "sweeps.png", dpi=80)


if __name__ == "__main__":
    main()
