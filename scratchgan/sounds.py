"""Sounds: notes as a MIDI file, samples as a WAV file, and plucked strings, which make samples of notes.

A note is (start, length, pitch), the first two in beats; a pitch is a MIDI number, 60 middle C.
"""

import io
import math
import struct
import wave

import numpy as np

from scratchgan.support.errors import DataError
from scratchgan.support.files import reading

TICKS = 480  # of a beat, in a MIDI file
VELOCITY = 80  # of 127: how hard a key is struck
LOUDEST = 0.9  # the largest sample of `plucks`
FULL = 32767  # what 1.0 is in a WAV file of 16 bits


# ---- MIDI ------------------------------------------------------------------------------------------------


def midi(notes, *, beats_per_minute):
    """Return the bytes of a Standard MIDI File of format 0, one track, a beat a quarter note.

    notes: [(start beat, beats, pitch)], in any order. Where a note ends and the same pitch begins again, the end comes
    first. Raises ValueError for a pitch outside 0 to 127, a length that is not positive, and a start below 0.
    """
    check_notes(notes, beats_per_minute)
    events = []  # (tick, whether it begins, pitch): of one tick, ends sort before beginnings
    for start, beats, pitch in notes:
        first, last = round(start * TICKS), round((start + beats) * TICKS)
        events += [(first, 1, int(pitch)), (max(last, first + 1), 0, int(pitch))]
    track = b"\0\xff\x51\x03" + round(60e6 / beats_per_minute).to_bytes(3, "big")  # microseconds of a beat
    now = 0
    for tick, begins, pitch in sorted(events):
        track += variable_length(tick - now) + bytes([0x90 if begins else 0x80, pitch, VELOCITY if begins else 0])
        now = tick
    track += b"\0\xff\x2f\0"  # the end of the track
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def variable_length(number):
    """Return a whole number as MIDI writes it: seven bits a byte, all bytes but the last with the top bit set."""
    digits = [number & 127]
    while number := number >> 7:
        digits.append(number & 127 | 128)
    return bytes(reversed(digits))


def check_notes(notes, beats_per_minute):
    """Raise ValueError for what is no note, and for a tempo that a MIDI file has no number for."""
    if not 4 <= beats_per_minute <= 1000:
        raise ValueError(f"beats_per_minute is {beats_per_minute}, wanted 4 to 1000")
    for start, beats, pitch in notes:
        if not (0 <= start and 0 < beats and start + beats < 2**28 / TICKS and pitch in range(128)):
            wanted = "wanted a start from 0, a length above 0, no end after 559,240, a whole pitch from 0 to 127"
            raise ValueError(f"the note (start {start}, beats {beats}, pitch {pitch}): {wanted}")


# ---- WAV -------------------------------------------------------------------------------------------------


def wav(samples, rate):
    """Return the bytes of a WAV file of one channel and 16 bits; a sample of -1 to 1 becomes -32767 to 32767.

    Samples are rounded, never scaled or clipped. Raises ValueError where one is beyond 1, or is not finite: divide by
    the largest first.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise ValueError(f"wav: samples are {samples.dtype} {samples.shape}, wanted floats (n,)")
    if not (isinstance(rate, int) and 0 < rate < 2**31):
        raise ValueError(f"wav: the rate is {rate}, wanted whole samples in a second")
    if not (np.abs(samples) <= 1).all():  # so is a NaN
        raise ValueError("wav: a sample lies beyond -1 to 1, or is not finite: divide by the largest first")
    with io.BytesIO() as file:
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(np.rint(samples * FULL).astype("<i2").tobytes())
        return file.getvalue()


def read_wav(path):
    """Return (samples, rate) of a WAV file of one channel and 16 bits: float32 (n,), from -1 to 1, as `wav` wrote them.

    -32768, one more than `wav` writes, is -1 as well. Raises DataError for a file that is none, of more channels, of
    another number of bits, without samples, or that ends before it should.
    """
    remedy = "`sox IN.wav -e signed -c 1 -b 16 OUT.wav` converts it"
    with reading(path, error=DataError) as stream:
        try:
            with wave.open(stream) as file:
                channels, width, rate, n = file.getparams()[:4]
                content = file.readframes(n)
        except (wave.Error, EOFError, struct.error) as error:
            why = str(error) or "it ends too soon"
            raise DataError(f"{path} cannot be read ({why}): {remedy}, if it is whole.") from None
    if channels != 1:
        raise DataError(f"{path} has {channels} channels, wanted one: {remedy}.")
    if width != 2:
        raise DataError(f"{path} has {8 * width} bits a sample, wanted 16: {remedy}.")
    if n == 0:
        raise DataError(f"{path} has no samples: remove it.")
    if len(content) != 2 * n:
        raise DataError(f"{path} ends after {len(content) // 2:,} of {n:,} samples: copy it again, or remove it.")
    return np.maximum(np.frombuffer(content, "<i2") / np.float32(FULL), np.float32(-1)), rate


# ---- plucked strings -------------------------------------------------------------------------------------


def plucks(notes, *, beats_per_minute, rate=22_050, rng):
    """Return the sound of notes, each a plucked string: float64 samples (n,), the largest LOUDEST.

    notes: [(start beat, beats, pitch)]. A string is stopped at the end of its note. No notes: no samples.
    Raises ValueError as `midi` does, and as `pluck` does.
    """
    check_notes(notes, beats_per_minute)
    beat = 60 / beats_per_minute * rate  # samples
    end = max((round((start + beats) * beat) for start, beats, _ in notes), default=0)
    sound = np.zeros(end)
    for start, beats, pitch in notes:
        first, last = round(start * beat), round((start + beats) * beat)
        sound[first:last] += pluck(hertz(pitch), last - first, rate=rate, rng=rng)
    return sound * (LOUDEST / max(np.abs(sound).max(initial=0), 1e-9))


def hertz(pitch):
    """Return the frequency of a pitch in equal temperament: 69, the A above middle C, has 440 Hz."""
    return 440 * 2 ** ((pitch - 69) / 12)


def pluck(frequency, n, *, rate, rng, decay=4.0):
    """Return n samples of a plucked string: noise in a loop, which a low-pass makes softer at each turn.

        y[t] = A g (y[t - N] + y[t - N - 1]) / 2                    (Karplus & Strong 1983)
        A:  y[t] = C x[t] + x[t - 1] - C y[t - 1],  C = sin((w - w d) / 2) / sin((w + w d) / 2)

    The loop is N + 1/2 + d samples long, a period. A, an all-pass, delays the fundamental, at w = 2 pi frequency /
    rate, by d, which is no whole number, and leaves all amplitudes as they are (Jaffe & Smith 1983). g: the
    fundamental falls by 60 dB in `decay` seconds, where the low-pass does not make it fall faster.
    Raises ValueError for a frequency that has no period of 4 samples or more.
    """
    period = rate / frequency
    if not period >= 4:
        raise ValueError(f"pluck: {frequency:.5g} Hz has a period of {period:.3g} samples at {rate}, wanted 4 or more")
    N = math.floor(period - 0.8)  # so that d lies between 0.3 and 1.3, where A is short
    w, d = 2 * math.pi / period, period - N - 0.5
    C = math.sin((w - w * d) / 2) / math.sin((w + w * d) / 2)
    turn = 10 ** (-3 * period / (rate * decay)) / math.cos(w / 2)  # what the low-pass takes is given back,
    allpass = np.array([C, *((1 - C * C) * (-C) ** np.arange(40))])  # the rest of it is below 1e-10
    loop = np.convolve([0.5, 0.5], allpass) * min(turn, 1.0)  # but never more than a loop can have
    burst = rng.uniform(-1, 1, N)
    reach = N + len(loop) - 1  # how far back the loop looks
    y = np.zeros(reach + n + N)
    y[reach : reach + N] = burst - burst.mean()
    for t in range(reach + N, len(y) - N + 1, N):  # N samples at once, all of which follow from earlier ones
        y[t : t + N] = np.convolve(y[t - reach : t], loop, "valid")
    y = y[reach : reach + n]
    fade = min(n, round(0.01 * rate))  # a string that is stopped at once would click
    y[n - fade :] *= np.linspace(1, 0, fade)
    return y
