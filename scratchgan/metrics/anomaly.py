"""How well residuals |x - reconstruction| tell pictures, and pixels, that are as usual from those that are not."""

import numpy as np

from scratchgan import plots
from scratchgan.metrics import neighbours
from scratchgan.metrics.codes import PCA
from scratchgan.metrics.pixels import demand_pairs
from scratchgan.metrics.points import on_device
from scratchgan.metrics.roc import roc_auc

COMPONENTS = (32, 64)  # of the PCAs in a table


def measured(x, y, anomalous, masks=None, scores=None):
    """Return {name: number} of images x that were reconstructed as y: AUCs of every score; of pixels too, with masks.

    `mean square` is mean (x - y)^2 of a picture; `largest` the largest of its residuals |x - y|, averaged over colours
    and over 3 x 3 pixels, since a lesion is larger than a pixel and noise is not. `pixel` asks each pixel of all
    pictures whether it is in a mask, by its own residual, and `pixel, 3 x 3` by that average. No score is scaled by
    what is seen in the test set: only their order counts. `error` is no AUC, but the mean square of those that are as
    usual, of pictures from -1 to 1.
    x, y: uint8 (n, H, W, C); anomalous: booleans (n,); masks: booleans (n, H, W); scores: (n,), somebody's own.
    """
    demand_pairs("measured", x, y)
    error = x.astype(np.float32) - y
    residual = np.abs(error).mean(axis=-1)  # (n, H, W)
    smooth = averaged(residual)
    square, largest = (error**2).mean(axis=(1, 2, 3)), smooth.max(axis=(1, 2))
    found = {} if scores is None else {"own score": roc_auc(scores, anomalous)}
    found |= {"mean square": roc_auc(square, anomalous), "largest": roc_auc(largest, anomalous)}
    if masks is not None:
        found |= {"pixel": roc_auc(residual, masks), "pixel, 3 x 3": roc_auc(smooth, masks)}
    return {"error": float(square[~np.asarray(anomalous, bool)].mean()) / 127.5**2} | found


def averaged(maps):
    """Return maps (n, H, W), each pixel the mean of the 3 x 3 around it; the border goes on as it is."""
    _, H, W_ = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return sum(padded[:, i : i + H, j : j + W_] for i in range(3) for j in range(3)) / 9


def principal(known, x, components):
    """Return images x as principal components of known ones give them back: m + V V^T (x - m), uint8 (n, H, W, C).

    known: (N, H, W, C), of which `PCA` takes m and V.
    """
    pca = PCA(flat(known), components)
    y = pca.decode(pca.encode(flat(x)))
    return np.rint(np.clip(y, 0, 255)).astype(np.uint8).reshape(x.shape)


def flat(images):
    """Return images as rows of numbers: float64 (n, H W C)."""
    return images.reshape(len(images), -1).astype(np.float64)


def nearest(known, x):
    """Return for each image of x the known one that is nearest to it, by Euclidean distance: (n, H, W, C)."""
    points, sample = on_device("nearest", 1, x=flat(x), known=flat(known))
    return known[neighbours.nearest(points, sample)[1]]


# ---- what is shown ---------------------------------------------------------------------------------------


def table(who, test, known, y, scores):
    """Return {who: AUCs} of a model that reconstructs test images as y, and the same of PCA, from known ones.

    test: `data.anomalies.Anomalies`; known, y: uint8 (N, H, W, C) and (n, H, W, C); scores: (n,), the model's own.
    """
    again = {f"PCA {components}": principal(known, test.images, components) for components in COMPONENTS}
    others = {name: measured(test.images, images, *test[1:]) for name, images in again.items()}
    return {who: measured(test.images, y, *test[1:], scores)} | others


def text(found):
    """Return a `table` as lines for people; a dash where somebody has no such score."""
    names = list(dict.fromkeys(name for numbers in found.values() for name in numbers))
    lines = [f"{'':12}" + "".join(f"{name:>14}" for name in names)]
    for who, numbers in found.items():
        cells = (f"{numbers[name]:.4f}" if name in numbers else "-" for name in names)
        lines.append(f"{who:12}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def picture(test, y, n=24):
    """Return a picture of n anomalies: input, reconstruction, twice the residual, and the mask where there is one.

    test: `data.anomalies.Anomalies`; y: uint8 (N, H, W, C).
    """
    rows = np.random.default_rng(0).permutation(np.flatnonzero(test.anomalous))[:n]
    x, y = test.images[rows], y[rows]
    residual = np.clip(2 * np.abs(x.astype(np.int64) - y), 0, 255)
    parts = [x, y, residual.astype(np.uint8)]
    if test.masks is not None:
        parts.append(np.broadcast_to(np.uint8(255) * test.masks[rows][..., None], x.shape))
    shown = np.stack(parts, axis=1)  # (n, 4, H, W, C)
    return plots.grid(shown.reshape(-1, *x.shape[1:]), columns=4 * len(parts))
