"""Jobs, as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from streaming_server.audio.formats import AudioFormat

JobStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "interrupted"]
"""interrupted: the server stopped while the job was being spoken; it can be retried."""

JOB_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
OVER: frozenset[JobStatus] = frozenset({"completed", "failed", "cancelled", "interrupted"})


@dataclass(frozen=True, slots=True)
class Job:
    """A text to be spoken into a file.

    request: as the route validated it. Times are seconds since 1970. utterances, audio_s: how much was
    spoken. file: where the result of a completed job lies once it is fetched. node: the server that speaks or
    spoke it. attempt: counts how often it was taken; the result of an earlier attempt does not count.
    """

    id: str
    status: JobStatus
    request: dict[str, Any]
    created_at: float
    started_at: float | None
    finished_at: float | None
    utterances: int
    audio_s: float
    error_code: str | None
    error_message: str | None
    file: Path | None
    node: str | None
    attempt: int

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def audio_format(self) -> AudioFormat:
        """The format of the result, which is also the suffix of its file."""
        audio_format: AudioFormat = self.request.get("response_format", "wav")
        return audio_format

    @property
    def result_name(self) -> str:
        """The name of the result of this attempt."""
        return f"{self._stem}.{self.audio_format}"

    @property
    def partial_name(self) -> str:
        """The name of the unfinished result: another attempt, of another server, may be writing its own."""
        return f"{self._stem}.part"

    @property
    def _stem(self) -> str:
        return f"{self.id}-{self.attempt}" if self.attempt > 1 else self.id


@dataclass(frozen=True, slots=True)
class SpokenProgress:
    """The progress of a job that is being spoken."""

    job: Job
    utterances: int
    audio_s: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """Numbers of the jobs that a server left behind, by what became of them."""

    completed: int = 0
    requeued: int = 0
    interrupted: int = 0
