"""What clips are like: how straight what is in them flies, how fast, and whether it stays what it is.

A clip is uint8 (T, H, W_, 1): light ink that moves, before a background that does not. Positions are pairs (row,
column) in pixels.
"""

import functools
from typing import NamedTuple

import numpy as np

from scratchgan.data.video import GLYPH, REACH, SIZE, SPEED, rendered
from scratchgan.metrics.frechet import frechet
from scratchgan.metrics.wasserstein import distance_1d

HAZE = 0.15  # ink below this is none
LEAST = 4.0  # pixels of ink that a glyph has, at the least
APART = (SIZE - 2 * REACH) / SPEED[1]  # frames between two bounces off opposite borders, at the least: 9.3
BLOCK = 250  # clips that are looked at together
SEEN = 28  # the side of the pictures that the classifier knows


def ink(clips, behind):
    """Return how much ink there is, 0 to 1: float32 (N, T, H, W_), without haze.

    A frame shows x = m + (1 - m) b, where b is the background: of a `behind` "black", 0; "still", what a pixel shows
    where it is darkest. A median would take ink for background where a slow glyph stays for half of the frames.
    """
    x = clips[..., 0].astype(np.float32) / 255
    b = np.float32(0) if behind == "black" else x.min(axis=1, keepdims=True)
    m = (x - b) / np.maximum(1 - b, np.float32(0.1))
    return np.where(m > HAZE, m, np.float32(0))


def tracks(m):
    """Return the centroid of the ink m (N, T, H, W_) in each frame: (N, T, 2); without ink, the middle of the frame."""
    N, T, H, W_ = m.shape
    mass = m.sum(axis=(2, 3), dtype=float)[..., None]  # (N, T, 1)
    moments = np.stack([m.sum(axis=3) @ np.arange(H), m.sum(axis=2) @ np.arange(W_)], axis=-1)
    return np.where(mass > 0, moments / np.maximum(mass, 1e-6), ((H - 1) / 2, (W_ - 1) / 2))


# ---- straight flights ------------------------------------------------------------------------------------


@functools.cache
def flights(T):
    """Return what a coordinate does in straight flight at speed 1, (K, T), less its mean.

    Its velocity is 1 until a bounce at time a, -1 until another at time b, and 1 again, a and b at whole and half
    frames; a may be the first frame, a and b the last one: then there are less than two bounces.
    """
    t, times = np.arange(T), np.arange(2 * T - 1) / 2
    pairs = [(a, b) for a in times for b in times if b - a >= APART or b == T - 1]
    a, b = np.array(pairs).T[..., None]  # (K, 1)
    u = t - 2 * np.maximum(t - a, 0) + 2 * np.maximum(t - b, 0)
    return u - u.mean(axis=1, keepdims=True)


def straightened(tracks):
    """Return how far tracks (N, T, 2) are from straight flight with bounces, (N,), and that flight's speed, (N,).

    Each coordinate is fitted by itself: c = p + v u, with one of the `flights` u, by least squares. The distance is the
    root of the mean square over frames, in pixels; the speed is |(v_row, v_column)|, in pixels a frame.
    """
    u = flights(tracks.shape[1])
    length = np.sum(u * u, axis=1)  # (K,)
    c = (tracks - tracks.mean(axis=1, keepdims=True)).swapaxes(1, 2)  # (N, 2, T)
    gains = (c @ u.T) ** 2 / length  # (N, 2, K): by how much each takes the sum of squares down
    best = gains.argmax(axis=2)
    left = (c * c).sum(axis=2) - gains.max(axis=2)  # (N, 2)
    squared_speed = gains.max(axis=2) / length[best]
    root = lambda squares: np.sqrt(np.maximum(squares.sum(axis=1), 0))
    return root(left / tracks.shape[1]), root(squared_speed)


# ---- what moves ------------------------------------------------------------------------------------------


def followed(m, tracks):
    """Return what is in each frame, in the middle of a picture of a glyph's usual size: uint8 (N, T, 28, 28, 1)."""
    N, T, H, W_ = m.shape
    scale = SEEN / (GLYPH * H / SIZE)
    centre = (SEEN - 1) / 2 + scale * ((np.array([H, W_]) - 1) / 2 - tracks.reshape(-1, 1, 2))
    ones = np.ones((N * T, 1), np.float32)
    seen = rendered(m.reshape(-1, H, W_), centre=centre, angle=0 * ones, scale=scale * ones, size=SEEN)
    return np.rint(255 * seen).astype(np.uint8).reshape(N, T, SEEN, SEEN, 1)


# ---- all of it -------------------------------------------------------------------------------------------


class Looks(NamedTuple):
    """What is seen in clips, each (N, ...)."""

    mass: np.ndarray  # (N, T), pixels of ink
    tracks: np.ndarray  # (N, T, 2)
    residual: np.ndarray  # (N,), as `straightened` says
    speed: np.ndarray  # (N,)
    change: np.ndarray  # (N,)
    labels: np.ndarray | None  # (N, T), what the classifier reads
    features: np.ndarray | None  # (N, 128), its features of the frame in the middle


def look(clips, behind, classifier=None):
    """Return what is seen in clips with such a background, `Looks`; without a `Classifier` of glyphs, nothing is read.

    A glyph is looked at from its centroid: that it moves is no change.
    """
    parts = [look_at(clips[i : i + BLOCK], behind, classifier) for i in range(0, len(clips), BLOCK)]
    return Looks(*(None if columns[0] is None else np.concatenate(columns) for columns in zip(*parts, strict=True)))


def look_at(clips, behind, classifier):
    m = ink(clips, behind)
    places = tracks(m)
    seen = followed(m, places)  # (N, T, 28, 28, 1)
    differs = np.abs(seen[:, 1:].astype(np.float32) - seen[:, :1]).mean(axis=(1, 2, 3, 4))
    labels = features = None
    if classifier:
        labels = classifier.predict(seen.reshape(-1, *seen.shape[2:])).reshape(seen.shape[:2])
        features = classifier.features(seen[:, seen.shape[1] // 2])
    return Looks(m.sum(axis=(2, 3)), places, *straightened(places), differs, labels, features)


def compared(found, wanted):
    """Return {measure: number} of `Looks`, beside those at held-out clips where it is a distance of distributions.

    "tracks, Fréchet" is between normal distributions of whole tracks, 2 T numbers each, in pixels squared; "change" is
    between a clip's first frame and the others, the mean over pixels, 0 to 255.
    """
    flat = lambda looks: looks.tracks.reshape(len(looks.tracks), -1)
    numbers = {
        "frames without ink": float((found.mass < LEAST).mean()),
        "off straight flight, px": float(found.residual.mean()),
        "speed, px a frame": float(found.speed.mean()),
        "speed, W1": distance_1d(found.speed, wanted.speed),
        "tracks, Fréchet, px^2": frechet(flat(found), flat(wanted)),
        "change": float(found.change.mean()),
    }
    if found.labels is not None:
        same = found.labels[:, :, None] == found.labels[:, None]  # (N, T, T): two frames have one label
        numbers["one label in all frames"] = float(same.all(axis=(1, 2)).mean())
        numbers["frames of the commonest label"] = float(same.mean(axis=2).max(axis=1).mean())
        numbers["FID-LeNet of frames"] = frechet(found.features, wanted.features)
    return numbers


def baselines(train, test, n, look):
    """Return {who: `compared`} of n clips each: the floor, which is training clips, and three models that fail.

    look: a function from clips to `Looks`.
    "frozen": the first frame, all the time; "independent": each frame from another clip; "shuffled": the frames of a
    clip in any order.
    """
    rng = np.random.default_rng(0)
    clips, wanted = train[rng.permutation(len(train))[:n]], look(test)
    N, T = clips.shape[:2]
    orders = rng.permuted(np.tile(np.arange(T), (N, 1)), axis=1)  # (N, T)
    models = {
        "floor": clips, "frozen": clips[:, :1].repeat(T, axis=1),
        "independent": clips[(np.arange(N)[:, None] + np.arange(T)) % N, np.arange(T)],
        "shuffled": clips[np.arange(N)[:, None], orders],
    }  # fmt: skip
    return {who: compared(look(drawn), wanted) for who, drawn in models.items()}
