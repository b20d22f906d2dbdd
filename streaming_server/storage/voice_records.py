"""Voices and voice samples, as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from streaming_server.storage.database import storage_errors
from streaming_server.transcription.transcript import Source, may_condition
from streaming_server.types import Preset, Speaker

FILE_GONE = "The file of the sample is gone or damaged; upload it again."


@dataclass(frozen=True, slots=True)
class StoredVoiceSample:
    """A recording and its metadata.

    path: absolute, a mono WAV file of `duration_s` seconds at `sample_rate` Hz, named by its content: another
    recording under the same id has another path. original_format, original_sample_rate [Hz], channels: of the
    file it was made from. warnings: sentences for the user who uploaded it. waveform: its outline, to draw.
    transcript_language_probability: 0 to 1. transcript_findings: why the transcript looks unreliable, or why
    there is none. discovered_at: when it was stored, ISO 8601, UTC. mark: changes when the file it was
    discovered in changes; None for an upload.
    """

    id: str
    path: Path
    sha256: str
    duration_s: float
    sample_rate: int
    original_format: str
    original_sample_rate: int
    channels: int
    warnings: tuple[str, ...]
    waveform: tuple[int, ...]
    transcript: str | None
    transcript_source: Source | None
    transcript_language: str | None
    transcript_language_probability: float | None
    transcript_findings: tuple[str, ...]
    discovered_at: str
    mark: str | None

    @property
    def trustworthy(self) -> bool:
        """True if there is a transcript that a voice can be cloned with."""
        return bool(self.transcript) and may_condition(self.transcript_source, self.transcript_findings)

    @property
    def exists(self) -> bool:
        """True if the file exists; the server never deletes it before the row. Raise StorageFailure."""
        with storage_errors():
            return self.path.is_file()


@dataclass(frozen=True, slots=True)
class StoredVoice:
    """A voice, and its defaults for what a request leaves open.

    voice_sample: its id. transcript: takes precedence over the voice sample's own. builtin: comes with the
    server and has not been changed. temperature to preset: as in `Generation`.
    """

    id: str
    name: str
    style: str = "neutral"
    primary_speaker: Speaker = "S1"
    voice_sample: str | None = None
    transcript: str | None = None
    builtin: bool = False
    temperature: float | None = None
    cfg_scale: float | None = None
    top_p: float | None = None
    seed: int | None = None
    speed: float | None = None
    language: str | None = None
    preset: Preset | None = None


class Metadata(TypedDict):
    """The metadata of a recording, as in `StoredVoiceSample`."""

    duration_s: float
    sample_rate: int
    original_format: str
    original_sample_rate: int
    channels: int
    warnings: NotRequired[tuple[str, ...]]
    waveform: NotRequired[tuple[int, ...]]
    transcript: NotRequired[str | None]
    transcript_source: NotRequired[Source | None]
    transcript_language: NotRequired[str | None]
    transcript_language_probability: NotRequired[float | None]
    transcript_findings: NotRequired[tuple[str, ...]]
    mark: NotRequired[str | None]


class VoiceChanges(TypedDict, total=False):
    """Fields of a voice to change; None clears one."""

    name: str
    style: str
    primary_speaker: Speaker
    voice_sample: str | None
    transcript: str | None
    temperature: float | None
    cfg_scale: float | None
    top_p: float | None
    seed: int | None
    speed: float | None
    language: str | None
    preset: Preset | None
