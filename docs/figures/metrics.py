"""Draw docs/images/metrics.png: what each metric says of samples that are wrong in a known way, and what fools it.

    python examples/uses/classifier.py --data mnist      # once
    python docs/figures/metrics.py                  # 20 seconds of CPU
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from scratchgan import data, plots
from scratchgan.metrics.neighbours import memorization
from scratchgan.training import Settings
from scratchgan.training.evaluate import ImageEvaluation

N = 1000
LOWER, HIGHER = -1, 1
ROWS = {
    "FID-LeNet": LOWER, "KID-LeNet": LOWER, "sliced Wasserstein-LeNet": LOWER, "transport-LeNet, 500 samples": LOWER,
    "LeNet score": HIGHER, "precision-LeNet": HIGHER, "recall-LeNet": HIGHER, "density-LeNet": HIGHER,
    "coverage-LeNet": HIGHER, "classes covered": HIGHER, "reverse KL of classes": LOWER,
    "Jensen-Shannon of classes": LOWER, "MS-SSIM within a class": LOWER, "Parzen log-likelihood, nats": HIGHER,
    "nearer to training data-LeNet": LOWER,
}  # fmt: skip


def wrong(train, real, labels, rng):
    """Return {what is wrong: images}, made of real images."""
    noise = rng.normal(0, 60, real.shape)
    padded = np.pad(real.astype(float), ((0, 0), (2, 2), (2, 2), (0, 0)))
    blurred = sum(padded[:, i : i + 28, j : j + 28] for i in range(5) for j in range(5)) / 25
    one_each = np.stack([real[labels == label][0] for label in range(10)])
    some_noise = np.where((rng.random(N) < 0.1)[:, None, None, None], rng.integers(0, 256, real.shape), real)
    return {
        "noisy": to_bytes(real + noise),
        "blurred": to_bytes(blurred),
        "moved by\n2 pixels": padded[:, :28, :28].astype(np.uint8),
        "one in ten\nis noise": to_bytes(some_noise),
        "five classes\nonly": real[labels < 5][rng.integers(0, (labels < 5).sum(), N)],
        "one image\na class": one_each[rng.integers(0, 10, N)],
        "one image": np.repeat(one_each[3:4], N, axis=0),
        "means of 5\nneighbours": means_of_neighbours(train[:5000].astype(float), real.astype(float)),
        "copies of\ntraining data": train[rng.permutation(len(train))[:N]],
    }


def to_bytes(images):
    return np.rint(np.clip(images, 0, 255)).astype(np.uint8)


def means_of_neighbours(train, real):
    """Return for each image the mean of the five training images nearest to it in pixels."""
    x, y = real.reshape(N, -1), train.reshape(len(train), -1)
    nearest = np.argpartition((y * y).sum(1) - 2 * x @ y.T, 5, axis=1)[:, :5]
    return to_bytes(train[nearest].mean(axis=1))


def measure(against, train, images):
    """Return the metrics of images, in the order of ROWS."""
    sample = against.sample(images)
    found = against.every(sample)
    found["nearer to training data-LeNet"] = memorization(train, against.held_out.features, sample.features).nearer
    return np.array([found[name] for name in ROWS])


def draw(columns, table, worse, path):
    """Draw the samples, and below them the numbers; orange: the metric sees nothing wrong."""
    figure = Figure(figsize=(15, 7.6), layout="constrained")
    axes = figure.subplots()
    for i, (name, images) in enumerate(columns.items()):
        grid = plots.grid(images[:9], columns=3, pad=1)[..., 0]
        axes.imshow(grid, cmap="gray", extent=(i + 0.05, i + 0.95, -1.3, -4.2), aspect="auto")
        axes.text(i + 0.5, -0.6, name, ha="center", va="center", fontsize=10, fontweight="bold")
    axes.set(xlim=(-2.2, len(columns)), ylim=(len(ROWS), -4.3))
    axes.axis("off")
    for j, (name, better) in enumerate(ROWS.items()):
        arrow = "higher" if better == HIGHER else "lower"
        axes.text(-2.15, j + 0.5, f"{name} ({arrow})", va="center", fontsize=10)
        for i in range(len(columns)):
            color = "white" if i == 0 else "0.93" if worse[j, i] else "orange"
            axes.fill_between([i + 0.03, i + 0.97], j + 0.04, j + 0.96, color=color)
            axes.text(i + 0.5, j + 0.5, f"{table[j, i]:.3g}", ha="center", va="center", fontsize=10)
    figure.savefig(path, dpi=75)


def main():
    """Measure real images, five times, and wrong ones; draw the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classifier", default="", help="weights (default: runs/classifiers/mnist.npz)")
    parser.add_argument("--out", default=Path(__file__).parent.parent / "images" / "metrics.png")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    train, test = (data.load_images("mnist", split=split) for split in ("train", "test"))
    known, others = slice(0, N), slice(N, 2 * N)
    model = SimpleNamespace(settings=Settings(data="mnist"), shape=(28, 28, 1), load_data=lambda settings: train.images)
    against = ImageEvaluation(model, N, options.classifier)
    order = rng.permutation(len(test.images))
    images, labels = test.images[order], test.labels[order]
    against.held_out = against.sample(images[known])
    against.classes = against.counts(against.held_out)
    of_train = against.sample(train.images).features
    reals = np.stack([measure(against, of_train, images[i * N : (i + 1) * N]) for i in range(1, 6)])
    columns = wrong(train.images, images[others], labels[others], rng)
    table = np.stack([reals.mean(0), *(measure(against, of_train, each) for each in columns.values())], axis=1)
    direction = np.array(list(ROWS.values()))[:, None]
    margin = 3 * reals.std(0, ddof=1)[:, None] + 1e-12
    draw({"real images": images[others], **columns}, table, direction * (table - table[:, :1]) < -margin, options.out)


if __name__ == "__main__":
    main()
