"""The pitch of a sound, by how well it fits onto itself a period later (McLeod & Wyvill 2005)."""

import numpy as np

LOWEST, HIGHEST = 100.0, 1000.0  # of a pitch, in Hz
NEARLY = 0.9  # a peak of this share of the highest one is as good: the first of them is the period
CLEAR = 0.8  # from this clarity on, a sound has a pitch


def pitch(samples, rate):
    """Return (hertz, clarity), both (N,), of sounds (N, n): clarity 1 is a period without a flaw; none: 0, 0.

        f(s) = 2 sum_t x[t] x[t + s] / sum_t (x[t]^2 + x[t + s]^2),  t = 0, ..., n - 1 - s

    f lies between -1 and 1 whatever the sound's loudness, and does not fall with s, as the mere sum of products does,
    since fewer of them are left. The period is the first of f's peaks behind its first negative value that is nearly
    as high as the highest; the top of a parabola through it and its neighbours says where it lies between samples,
    and its height is the clarity.
    """
    x = np.asarray(samples, float)
    n = x.shape[1]
    most = min(int(rate / LOWEST) + 2, n // 2)
    spectrum = np.fft.rfft(x, 2 * n, axis=1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :most]
    power = np.pad(np.cumsum(x * x, axis=1), ((0, 0), (1, 0)))  # power[:, i]: of the first i samples
    s = np.arange(most)
    both = power[:, n - s] + power[:, [n]] - power[:, s]
    f = np.where(both > 1e-9, 2 * products / np.maximum(both, 1e-9), 0)
    found = np.array([first_peak(line, rate / HIGHEST) for line in f])
    return np.where(found[:, 0] > 0, rate / np.maximum(found[:, 0], 1e-9), 0), found[:, 1]


def first_peak(f, least):
    """Return (where, how high) the first peak is that is nearly the highest: of those behind f's first fall below 0."""
    below = np.flatnonzero(f < 0)
    inner = f[1:-1]
    peaks = 1 + np.flatnonzero((inner > f[:-2]) & (inner >= f[2:]) & (inner > 0))
    peaks = peaks[(peaks >= least) & (peaks > below[0])] if len(below) else peaks[:0]
    if not len(peaks):
        return 0.0, 0.0
    k = peaks[np.argmax(f[peaks] >= NEARLY * f[peaks].max())]
    before, here, after = f[k - 1 : k + 2]
    shift = 0.5 * (before - after) / (before - 2 * here + after)
    return k + shift, here - 0.25 * (before - after) * shift


def semitones(hertz):
    """Return frequencies above 0 as MIDI numbers, with their fractions: 69 is 440 Hz."""
    return 69 + 12 * np.log2(hertz / 440)


def measured(samples, rate, pitches):
    """Return {measure: number} of sounds (N, n), for an instrument that has `pitches`, MIDI numbers.

    "within 20 cents" of some semitone: of the pitched ones; by chance 0.4. "pitches hit" are those that a hundredth of
    all sounds has, to the nearest semitone; "pitches, as if alike" is e to the entropy of their shares: 13 where 13
    pitches are as frequent.
    """
    hertz, clarity = pitch(samples, rate)
    found = semitones(hertz[clarity > CLEAR])
    nearest = np.rint(found)
    counts = np.array([(nearest == wanted).sum() for wanted in pitches])
    shares = counts / max(counts.sum(), 1)
    entropy = -(shares * np.log(np.maximum(shares, 1e-300))).sum()
    return {
        "pitched": float((clarity > CLEAR).mean()),
        "within 20 cents": float((np.abs(found - nearest) < 0.2).mean()) if len(found) else 0.0,
        "pitches hit": int((counts >= 0.01 * len(hertz)).sum()),
        "pitches, as if alike": float(np.exp(entropy)) if counts.any() else 0.0,
    }
