"""Draw docs/images/dcgan_guidelines.png: what DCGAN makes of glyphs with one of its guidelines switched off at a time.

    python docs/figures/dcgan_guidelines.py        # 6 runs of 1,500 steps, some 10 minutes on two CPU cores
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scratchgan import plots, xp
from scratchgan.data import Batches
from scratchgan.examples import dcgan
from scratchgan.fast import threads
from scratchgan.layers import BatchNorm, Conv2d, LeakyReLU, MaxPool, ReLU, Sequential
from scratchgan.optim import Adam

ROOT = Path(__file__).parent.parent.parent
STEPS = 1500


def build(title):
    """Return the DCGAN of width 32 with what the title says changed, before a step is taken."""
    rng = np.random.default_rng(0)
    model = dcgan.DCGAN(dcgan.Settings(width=32, hidden=0, average=0, steps=STEPS), (28, 28, 1), rng)
    G, D = list(model.G.layers), list(model.D.layers)
    beta1 = 0.5
    if title == "no batch norm":
        G = [Sequential() if isinstance(layer, BatchNorm) else layer for layer in G]
        D = [Sequential() if isinstance(layer, BatchNorm) else layer for layer in D]
    elif title == "batch norm at G's output and D's input":
        G, D = [*G[:-1], BatchNorm(1), G[-1]], [BatchNorm(1), *D]
    elif title == "ReLU in D":
        D = [ReLU() if isinstance(layer, LeakyReLU) else layer for layer in D]
    elif title == "max pooling in place of strides":
        D[0] = Sequential(Conv2d(1, 32, 3, padding=1, rng=rng), MaxPool(2))
        D[2] = Sequential(Conv2d(32, 64, 3, padding=1, rng=rng), MaxPool(2))
    elif title == "Adam's beta1 0.9":
        beta1 = 0.9
    model.G, model.D = [Sequential(*layers) for layers in (G, D)]
    for net in (model.G, model.D):  # the first optimizers held the Params of the unchanged networks
        for param in net.params():
            param.flat = None
    model.opt_G, model.opt_D = [Adam(net.params(), betas=(beta1, 0.999)) for net in (model.G, model.D)]
    return model


def main():
    """Train every variant and draw their samples side by side."""
    threads.use(blas=False)
    titles = (
        "as in the paper", "no batch norm", "batch norm at G's output and D's input",
        "ReLU in D", "max pooling in place of strides", "Adam's beta1 0.9",
    )  # fmt: skip
    figure = Figure(figsize=(10.5, 7.4), layout="constrained")
    for axes, title in zip(figure.subplots(2, 3).flat, titles, strict=True):
        model = build(title)
        batches = Batches(model.load_data(model.settings), batch_size=64, rng=np.random.default_rng(1))
        losses = [{name: float(loss) for name, loss in model.step(batches).items()} for _ in range(STEPS)]
        D_loss, G_loss = [np.mean([loss[name] for loss in losses[-100:]]) for name in ("D", "G")]
        images = model.images(xp.to_device(model.latent(64, np.random.default_rng(2))))
        axes.imshow(plots.grid(images)[..., 0], cmap="gray")
        axes.set_title(f"{title}\nD {D_loss:.2f}, G {G_loss:.2f}", fontsize=10)
        axes.axis("off")
        print(f"{title}: mean loss of the last 100 steps, D {D_loss:.3f}, G {G_loss:.3f}", flush=True)
    figure.savefig(ROOT / "docs" / "images" / "dcgan_guidelines.png", dpi=80)


if __name__ == "__main__":
    main()
