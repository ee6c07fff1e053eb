"""Motions named without training on clips: a rule by hand, and, to see that it cannot be done, single frames."""

import numpy as np

from scratchgan.data.motions import CIRCLE, NAMES, NOISE, SIZES, WAY

TURN = (1, 1, 1 / 2)  # after which row, column and angle are the same: an axis has no first end


def by_hand(clips):
    """Return the labels of clips, uint8 (N, T, H, W_, 1): which of the four tracks runs, and which way; (N,)."""
    steps = np.diff(tracks(clips), axis=1)  # (N, T - 1, 4)
    steps[..., :3] -= TURN * np.rint(steps[..., :3] / TURN)  # the shorter way around
    speed = steps.mean(1)
    speed[:, 3] = np.median(steps[..., 3], axis=1)  # a size may jump once, from the largest to the smallest
    return (speed[:, CIRCLE] * WAY).argmax(1)


def tracks(clips):
    """Return row, column, angle and size of what moves, in shares of their circles, (N, T, 4).

    With m the ink, in each frame: the centroid on the circle, arg sum m exp(2 pi i column / W_) / 2 pi; the angle of
    the longer axis, arg(m_cc - m_rr - 2 i m_rc) / 4 pi, of the second moments about it; and a size, the logarithm of
    m's sum and of m_rr + m_cc, which both grow as its square.
    """
    m = ink(clips)  # (N, T, H, W_)
    total = m.sum((2, 3)) + 1e-3
    row, column = (np.angle((m.sum(5 - axis) * around(m.shape[axis])).sum(2)) / (2 * np.pi) for axis in (2, 3))
    r, c = offsets(row, m.shape[2])[..., :, None], offsets(column, m.shape[3])[..., None, :]
    rr, cc, rc = (((m * product).sum((2, 3)) + 1e-3) / total for product in (r * r, c * c, r * c))
    angle = np.angle(cc - rr - 2j * rc) / (4 * np.pi)
    size = np.log(total * (rr + cc)) / 4 / np.log(SIZES[1] / SIZES[0])
    return np.stack([row, column, angle, size], axis=-1)


def ink(clips):
    """Return what is brighter than the background, which is what each pixel is at its darkest: (N, T, H, W_)."""
    x = clips[..., 0] / np.float32(255)
    for axis in (2, 3):  # against the noise, of which 3/8 are left
        x = (np.roll(x, 1, axis) + 2 * x + np.roll(x, -1, axis)) / 4
    darkest = x.min(1, keepdims=True) + 1.4 * 3 / 8 * NOISE  # the least of eight numbers lies so far below their mean
    return np.maximum(x - darkest - NOISE, 0)


def around(length):
    return np.exp(2j * np.pi * np.arange(length) / length)


def offsets(middle, length):
    """Return the way from the middle, a share of a circle (N, T), to each of its points, (N, T, length), in pixels."""
    return (np.arange(length) - length * middle[..., None] + length / 2) % length - length / 2


def by_single_frames(clips, labels, others):
    """Return what frame t of each of the others says, (M, T): least squares to pixels and to logarithms of spectra."""
    said = []
    for t in range(clips.shape[1]):
        features, asked = (of_frames(some[:, t, ..., 0]) for some in (clips, others))
        normal = features.T @ features + len(features) * 1e-3 * np.eye(features.shape[1])
        said.append((asked @ np.linalg.solve(normal, features.T @ np.eye(len(NAMES))[labels])).argmax(1))
    return np.stack(said, axis=1)


def of_frames(frames):
    """Return pixels and spectra of frames (N, H, W_): (N, features)."""
    spectra = np.log(1 + np.abs(np.fft.rfft2(frames / 255)))  # they do not see where a glyph stands
    both = [frames.reshape(len(frames), -1) / 255, spectra.reshape(len(frames), -1)]
    return np.concatenate([*both, np.ones((len(frames), 1))], axis=1)
