"""Sound to what Whisper reads: the logarithm of the energy in each of 80 (or 128) bands of pitch, 100 times a second.

As the paper (section 2.2) and openai/whisper's ``audio.py`` define it: 16 kHz, a Hann window of 400 samples every 160,
the recording reflected at its ends, bands of Slaney's mel scale (Auditory Toolbox, 1998) of equal area from 0 to
8 kHz, logarithm to base 10, nothing more than 8 below the loudest, and then (x + 4) / 4. Always 30 seconds.

Silence is not computed: a recording of five seconds takes a sixth of the work.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.speech import MOST_SECONDS, SAMPLE_RATE

FRAMES = 3000
WINDOW, HOP = 400, 160
_SAMPLES = MOST_SECONDS * SAMPLE_RATE
_FLOOR, _RANGE = 1e-10, 8.0
_BLOCK = 500  # frames at a time, so that what is worked on stays small
_LINEAR_HZ, _HZ_PER_MEL, _LOG_STEP = 1000.0, 200 / 3, np.log(6.4) / 27

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]


def log_mel(sound: npt.NDArray[np.float32], bands: int = 80) -> Features:
    """Return the features of a recording.

    Args:
        sound: samples from -1 to 1 at 16 kHz; what is beyond 30 seconds is left out.
        bands: how many the model reads.

    Returns:
        float32 of shape (bands, 3000).
    """
    used = min(len(sound), _SAMPLES)
    whole = np.zeros(_SAMPLES)
    whole[:used] = sound[:used]
    whole = np.pad(whole, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(whole, WINDOW)[::HOP]
    heard = min(FRAMES, -(-(used + WINDOW // 2) // HOP))  # of the others, every sample is zero
    energy = np.full((bands, FRAMES), _FLOOR)
    for start in range(0, heard, _BLOCK):
        end = min(heard, start + _BLOCK)
        energy[:, start:end] = _in_bands(_power(frames[start:end] * _hann()), bands)
    logs = np.log10(np.maximum(energy, _FLOOR))
    features: Features = ((np.maximum(logs, logs.max() - _RANGE) + 4) / 4).astype(np.float32)
    return features


def _power(frames: Floats) -> Floats:
    """Return the energy at each of 201 frequencies, shape (frames, 201)."""
    found = _fourier(frames.astype(np.complex128))[:, : WINDOW // 2 + 1]
    return found.real**2 + found.imag**2


def _fourier(values: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    """Return the discrete Fourier transform along the last axis, by Cooley and Tukey's way: factor by factor."""
    length = values.shape[-1]
    if length == 1:
        return values
    factor = next(number for number in range(2, length + 1) if length % number == 0)
    rest = length // factor
    split = np.swapaxes(values.reshape(*values.shape[:-1], rest, factor), -1, -2)
    parts = _fourier(np.ascontiguousarray(split)) * _turns(length)[:factor, :rest]
    roots = _turns(factor)
    out = np.empty_like(parts)
    for row in range(factor):
        out[..., row, :] = sum(parts[..., each, :] * roots[row, each] for each in range(factor))
    return out.reshape(values.shape)


@cache
def _turns(length: int) -> npt.NDArray[np.complex128]:
    """Return exp(-2πi jk / length) for j and k below ``length``."""
    steps = np.arange(length)
    turns: npt.NDArray[np.complex128] = np.exp(-2j * np.pi * ((steps[:, None] * steps) % length) / length)
    return turns


def _in_bands(power: Floats, bands: int) -> Floats:
    """Return the energy in each band, shape (bands, frames); a band's weights are zero but for a few frequencies."""
    return np.stack([(power[:, low : low + len(weights)] * weights).sum(1) for low, weights in _filters(bands)])


@cache
def _hann() -> Floats:
    window: Floats = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return window


@cache
def _filters(bands: int) -> tuple[tuple[int, Floats], ...]:
    """Return each band as the first frequency it takes something of, and the weights from there on."""
    corners = _hertz(np.linspace(0, _mels(SAMPLE_RATE / 2), bands + 2))
    frequencies = np.arange(WINDOW // 2 + 1) * (SAMPLE_RATE / WINDOW)
    found = []
    for low, middle, high in zip(corners, corners[1:], corners[2:], strict=False):
        rise, fall = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
        weights = np.maximum(0, np.minimum(rise, fall)) * (2 / (high - low))
        taken = np.flatnonzero(weights)
        first, last = (int(taken[0]), int(taken[-1]) + 1) if len(taken) else (0, 1)
        found.append((first, weights[first:last]))
    return tuple(found)


def _mels(hertz: float) -> float:
    if hertz < _LINEAR_HZ:
        return hertz / _HZ_PER_MEL
    return _LINEAR_HZ / _HZ_PER_MEL + float(np.log(hertz / _LINEAR_HZ)) / float(_LOG_STEP)


def _hertz(mels: Floats) -> Floats:
    knee = _LINEAR_HZ / _HZ_PER_MEL
    above = _LINEAR_HZ * np.exp(_LOG_STEP * (np.maximum(mels, knee) - knee))
    hertz: Floats = np.where(mels < knee, mels * _HZ_PER_MEL, above)
    return hertz
