"""A spectrum becomes a waveform, a few frames at a time.

    S = exp(harmonic) e^(i pi tanh(rotation)) STFT(pulses(f0)) + exp(noise) Z + exp(free) e^(i phase)

is the short-time spectrum of the speech, with a Hann window of 1200 samples every 300. Its inverse is added
up where windows overlap. The formulas are those of hibari's `dsp` module; what comes out does not depend on
how many frames are asked for at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.hibari.network import Floats, Spectrum

SAMPLE_RATE = 24000
WINDOW, HOP = 1200, 300
OVERLAP = WINDOW // HOP
LEAD = WINDOW // 2
"""Samples of a window before its frame's place; the signal is mirrored where they lie outside it."""

UNVOICED_HZ = 40.0
HIGHEST_HARMONIC_HZ = 11_000.0
LOUDEST = 7.0
"""Log magnitudes are cut off here."""

Noise = Callable[[int], NDArray[np.complex64]]
"""Gives the next frames' noise, [frames, BINS]: real and imaginary parts of unit variance."""

Harmonics = Callable[[int, int], NDArray[np.complex64]]
"""Gives the filter of the pulses for the frames from one to another, [frames, BINS]."""


def _hann() -> Floats:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return window.astype(np.float32)


class Tables:
    """Constants of the transforms, shared by all streams of an engine."""

    def __init__(self) -> None:
        self.window = _hann()
        # A unit cosine peaks at half the window's sum, so exp(harmonic) is the harmonic's magnitude.
        self.analysis = self.window / np.float32(WINDOW / 4)
        self.squares = (self.window * self.window).reshape(OVERLAP, HOP)
        self.inside: Floats = 1 / self.squares.sum(0)
        # Where sample j of a frame's hop lies between frames, (j + 0.5) / HOP - 0.5, modulo 1.
        self.place = (((np.arange(HOP) + 0.5) / HOP - 0.5) % 1.0).astype(np.float32)
        self.rest = (1.0 - self.place).astype(np.float32)

    def scale(self, block: int, frames: int) -> Floats:
        """Return the factor for a block of HOP samples in which only some windows overlap.

        block: counted from the first sample of the first window.
        """
        if OVERLAP - 1 <= block < frames:
            return self.inside
        parts = [k for k in range(OVERLAP) if 0 <= block - k < frames]
        scale: Floats = 1 / np.maximum(self.squares[parts].sum(0), np.float32(1e-11))
        return scale


class Pulses:
    """A band-limited pulse train that follows f0, in blocks of HOP samples, one for each frame.

    Every harmonic below 11 kHz has unit amplitude: the sum of cos(h t) for h up to H is
    sin((H + 1/2) t) / (2 sin(t / 2)) - 1/2. Unvoiced samples are zero.
    """

    def __init__(self, f0: Floats, tables: Tables) -> None:
        self._f0 = np.concatenate([f0[:1], f0, f0[-1:]]).astype(np.float32)
        self._tables = tables
        self._cycles = 0.0

    def read(self, start: int, end: int) -> Floats:
        """Return the samples of the next frames, from `start` to `end`."""
        f = self._frequencies(start, end)
        voiced = f > UNVOICED_HZ
        np.maximum(f, UNVOICED_HZ, out=f)
        cycles = np.cumsum(f, dtype=np.float64)
        cycles *= 1.0 / SAMPLE_RATE
        cycles += self._cycles
        np.modf(cycles, cycles)
        self._cycles = float(cycles[-1])
        t = (cycles * (2 * np.pi)).astype(np.float32)
        return _sum_of_cosines(t, f, voiced)

    def _frequencies(self, start: int, end: int) -> Floats:
        """Return f0 of every sample, on straight lines between the frames' centres."""
        half = HOP // 2
        place, rest = self._tables.place, self._tables.rest
        before, here = self._f0[start:end, None], self._f0[start + 1 : end + 1, None]
        after = self._f0[start + 2 : end + 2, None]
        f = np.empty((end - start, HOP), np.float32)
        f[:, :half] = before * rest[:half] + here * place[:half]
        f[:, half:] = here * rest[half:] + after * place[half:]
        return f.ravel()


def _sum_of_cosines(t: Floats, f: Floats, voiced: NDArray[np.bool_]) -> Floats:
    count = np.floor(HIGHEST_HARMONIC_HZ / f)
    count += 0.5
    divisor = np.sin(t * 0.5)
    divisor *= 2
    peak = np.abs(divisor) <= 2e-3
    divisor[peak] = 1
    pulses: Floats = np.sin(count * t)
    pulses /= divisor
    pulses[peak] = count[peak]
    pulses -= 0.5
    pulses[~voiced] = 0
    return pulses


class PlainHarmonics:
    """The filter of the pulses as the model gives it."""

    def __init__(self, spectrum: Spectrum) -> None:
        self._harmonic = spectrum.harmonic
        self._rotation = spectrum.rotation

    def __call__(self, start: int, end: int) -> NDArray[np.complex64]:
        part = slice(start, end)
        return polar(np.tanh(self._rotation[:, part].T) * np.float32(np.pi), self._harmonic[:, part].T)


class Synthesis:
    """The waveform of one spectrum, read from start to end.

    noise: called for each run of frames, in order. harmonics: the filter of the pulses, in place of the
    spectrum's own.
    """

    def __init__(
        self, spectrum: Spectrum, tables: Tables, noise: Noise, harmonics: Harmonics | None = None
    ) -> None:
        self._spectrum = spectrum
        self._harmonics = harmonics or PlainHarmonics(spectrum)
        self._tables = tables
        self._noise = noise
        self._pulses = Pulses(spectrum.f0, tables)
        self._frames = spectrum.frames
        self._done = 0
        self._pulsed = 0
        # Pulse samples from LEAD before the next frame on; windows that are not complete yet.
        self._source = np.empty(0, np.float32)
        self._overlap = np.zeros((OVERLAP - 1, HOP), np.float32)

    @property
    def finished(self) -> bool:
        return self._done == self._frames

    def read(self, frames: int) -> Floats:
        """Return the next samples, HOP for each frame at most: the first call gives fewer, the last more."""
        start, end = self._done, min(self._done + frames, self._frames)
        windows = self._windows(start, end)
        blocks = np.zeros((end - start + OVERLAP - 1, HOP), np.float32)
        blocks[: OVERLAP - 1] = self._overlap
        for k in range(OVERLAP):
            blocks[k : k + end - start] += windows[:, k]
        self._overlap = blocks[end - start :]
        self._done = end
        return self._scaled(blocks, start, end)

    def _scaled(self, blocks: Floats, start: int, end: int) -> Floats:
        """Return the complete blocks inside the signal."""
        first = max(start, LEAD // HOP)
        last = end + LEAD // HOP if end == self._frames else end
        out = blocks[first - start : max(first, last) - start]
        for row, block in zip(out, range(first, last), strict=True):
            row *= self._tables.scale(block, self._frames)
        return out.reshape(-1)

    def _windows(self, start: int, end: int) -> Floats:
        """Return the windowed signal of each frame, [frames, OVERLAP, HOP]."""
        part = slice(start, end)
        source = self._spectrum
        frames = np.fft.rfft(self._pulse_windows(start, end), axis=1)
        frames *= self._harmonics(start, end)
        noise = self._noise(end - start)
        noise *= _magnitude(source.noise[:, part].T)
        frames += noise
        frames += polar(source.phase[:, part].T, source.free[:, part].T)
        windows = np.asarray(np.fft.irfft(frames, WINDOW, axis=1), np.float32)
        windows *= self._tables.window
        return windows.reshape(end - start, OVERLAP, HOP)

    def _pulse_windows(self, start: int, end: int) -> Floats:
        """Return the windowed pulses around each frame, [frames, WINDOW]."""
        self._pulse_until(min(self._frames, end + LEAD // HOP))
        if end == self._frames:
            self._source = np.concatenate([self._source, self._source[-2 : -LEAD - 2 : -1]])
        size = (end - start - 1) * HOP + WINDOW
        windows = np.lib.stride_tricks.sliding_window_view(self._source[:size], WINDOW)[::HOP]
        self._source = self._source[(end - start) * HOP :]
        return windows * self._tables.analysis

    def _pulse_until(self, frame: int) -> None:
        fresh = [self._pulses.read(self._pulsed, frame)] if frame > self._pulsed else []
        if self._pulsed == 0:
            fresh.insert(0, fresh[0][LEAD:0:-1])
        self._pulsed = max(frame, self._pulsed)
        self._source = np.concatenate([self._source, *fresh])


def _magnitude(log: Floats) -> Floats:
    magnitude: Floats = np.exp(np.minimum(log, LOUDEST))
    return magnitude


def polar(angle: Floats, log: Floats) -> NDArray[np.complex64]:
    """Return numbers of this angle in radians and this log magnitude."""
    out = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=out.real)
    np.sin(angle, out=out.imag)
    out *= _magnitude(log)
    return out
