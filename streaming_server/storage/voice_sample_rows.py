"""Rows of the table of voice samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from streaming_server.errors import InUse, UnknownVoiceSample
from streaming_server.storage.database import Row, Transaction
from streaming_server.storage.names import storable
from streaming_server.storage.voice_records import Metadata, StoredVoiceSample
from streaming_server.transcription.transcript import PRECEDENCE, Source, may_condition

LISTS = ("warnings", "waveform", "transcript_findings")
"""Columns of a voice sample that are kept as JSON."""

TRANSCRIPT = (
    "transcript",
    "transcript_source",
    "transcript_language",
    "transcript_language_probability",
    "transcript_findings",
)
"""Columns of a voice sample that belong to its recording, whoever uploads it."""

UNTRANSCRIBED = "transcript IS NULL AND transcript_findings = '[]'"
"""The condition of voice samples without a transcript whose transcription has not failed."""


def is_untranscribed(transaction: Transaction, voice_sample: StoredVoiceSample) -> bool:
    """Return whether the recording is still stored, without a transcript, and may be transcribed."""
    row = transaction.row(
        f"SELECT 1 FROM prompts WHERE id = :id AND sha256 = :sha256 AND {UNTRANSCRIBED}",
        id=voice_sample.id,
        sha256=voice_sample.sha256,
    )
    return row is not None


def check_no_voice_transcripts(transaction: Transaction, voice_sample_id: str) -> None:
    """Raise InUse if a voice has its own transcript of the stored recording."""
    rows = transaction.rows(
        "SELECT id FROM voices WHERE prompt = :prompt AND transcript IS NOT NULL", prompt=voice_sample_id
    )
    voices = tuple(sorted(row["id"] for row in rows))
    if voices:
        raise InUse(
            f"The recording has changed since {voice_list(voices)} got a transcript; upload it, or clear that"
            " transcript first."
        )


def voice_sample_columns(voice_sample_id: str, sha256: str, metadata: Metadata) -> dict[str, Any]:
    """Return the columns of a new voice sample."""
    return {
        "id": voice_sample_id,
        "sha256": sha256,
        "transcript": None,
        "transcript_source": None,
        "transcript_language": None,
        "transcript_language_probability": None,
        "discovered_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "mark": None,
        **metadata,
        **{name: to_json(metadata.get(name, ())) for name in LISTS},
    }


def voice_sample_row(transaction: Transaction, voice_sample_id: str) -> Row:
    """Return the row of an id. Raise UnknownVoiceSample."""
    row = transaction.row("SELECT * FROM prompts WHERE id = :id", id=storable(voice_sample_id))
    if row is None:
        raise UnknownVoiceSample("must be the id of a voice sample.", field="prompt_id")
    return row


def takes_precedence(row: Row, source: Source | None) -> bool:
    """Return whether a voice sample has a transcript whose source takes precedence over `source`."""
    return bool(row["transcript"]) and _precedence(row["transcript_source"]) > _precedence(source)


def is_trustworthy(row: Row) -> bool:
    """Return whether a voice sample has a transcript that a voice can be cloned with."""
    source, found = row["transcript_source"], tuple(json.loads(row["transcript_findings"]))
    return bool(row["transcript"]) and may_condition(source, found)


def _precedence(source: Source | None) -> int:
    return len(PRECEDENCE) - PRECEDENCE.index(source) if source else 0


def to_json(value: Any) -> str:
    """Return the JSON of a column of LISTS."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def voice_list(voices: tuple[str, ...]) -> str:
    """Name voices in an error."""
    return f"the voice {voices[0]}" if len(voices) == 1 else f"the voices {', '.join(voices)}"
