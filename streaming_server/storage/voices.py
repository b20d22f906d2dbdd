"""Voices, the voice samples they are cloned from, and the saved configuration."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import unicodedata
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack, get_args

from streaming_server.errors import (
    BadValue,
    Forbidden,
    InUse,
    StorageFailure,
    UnknownVoice,
    UnknownVoiceSample,
)
from streaming_server.storage.database import Database, storage_errors
from streaming_server.storage.files import remove_strays, sync_folder
from streaming_server.transcription.transcript import BELIEF, Source, may_condition
from streaming_server.types import BUILTIN_VOICES, Speaker, Voice

MAX_NAME_CHARS = 64
MAX_STYLE_CHARS = 64

_LISTS = ("warnings", "waveform", "transcript_findings")
"""Columns of a voice sample that are kept as JSON."""

_TRANSCRIPT = (
    "transcript",
    "transcript_source",
    "transcript_language",
    "transcript_language_probability",
    "transcript_findings",
)
"""Columns of a voice sample that belong to its recording, whoever uploads it."""

_BLOB = re.compile(r"[0-9a-f]{64}\.wav")
_TEMPORARY = re.compile(r"[0-9a-f]{32}\.[a-z]+")


@dataclass(frozen=True, slots=True)
class StoredVoiceSample:
    """A recording, and what is known of it.

    path: absolute, a mono WAV file of `duration_s` seconds at `sample_rate` Hz, named by its content: another
    recording under the same id has another path. original_format, original_sample_rate [Hz], channels: of the
    file it was made from. warnings: sentences for whoever uploaded it. waveform: its shape, for a picture.
    transcript_language_probability: 0 to 1. transcript_findings: why the transcript is not to be believed, or
    why there is none. discovered_at: when it was stored, ISO 8601, UTC. mark: by which the file that it was
    found in is known from what that becomes later; None if it was sent.
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
        """Whether there is a transcript, and it may condition a voice."""
        return bool(self.transcript) and may_condition(self.transcript_source, self.transcript_findings)

    @property
    def exists(self) -> bool:
        """Whether the file is still there; nothing but somebody's hand takes it away."""
        return self.path.is_file()


@dataclass(frozen=True, slots=True)
class StoredVoice:
    """Somebody to speak as, and how unless a request says otherwise.

    voice_sample: its id. transcript: takes precedence over the voice sample's own. builtin: comes with the
    server and nobody has changed it. temperature to speed: as in `Generation`.
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


class Metadata(TypedDict):
    """What goes with a recording; the same as in `StoredVoiceSample`."""

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
    """What may change of a voice. `None` clears."""

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


class VoiceStore:
    """What is kept in `data_dir`: rows in its database, recordings in `prompts/`, unfinished ones in `tmp/`.

    Every call blocks, for as long as a disk takes: from an event loop, call in a thread. Any thread may. All
    may raise StorageFailure, and then nothing has changed. A row is not seen before its file is safe on the
    disk, so the server may be killed at any time; what that leaves behind, `sweep` removes.

    One server at a time uses a data directory.
    """

    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._voice_samples = data_dir.absolute() / "prompts"
        self._temporaries = data_dir.absolute() / "tmp"
        with storage_errors():
            self._voice_samples.mkdir(parents=True, exist_ok=True)
            self._temporaries.mkdir(parents=True, exist_ok=True)
            sync_folder(self._voice_samples.parent)

    def sweep(self) -> int:
        """Removes what a server that was killed left unfinished. Returns how many files.

        To be called before uploads begin. What does not bear a name that is given here, is a folder or is a
        link, is somebody else's and stays; so does what cannot be removed.
        """
        with self._database.transaction() as cursor:
            used = {f"{row['sha256']}.wav" for row in cursor.execute("SELECT sha256 FROM prompts")}
            orphans = remove_strays(self._voice_samples, _BLOB, used)
            return orphans + remove_strays(self._temporaries, _TEMPORARY)

    def new_temporary(self, suffix: str = ".wav") -> Path:
        """A path, where no file is yet, for an upload to be written to. `sweep` removes what is forgotten.

        suffix: a dot and small letters.
        """
        return self._temporaries / f"{uuid.uuid4().hex}{suffix}"

    def voice_samples(self) -> list[StoredVoiceSample]:
        """All of them, by id."""
        with self._database.reading() as cursor:
            return [self._voice_sample(row) for row in cursor.execute("SELECT * FROM prompts ORDER BY id")]

    def next_without_transcript(self) -> StoredVoiceSample | None:
        """The latest of those that have neither a transcript nor a reason for that; None if there is none."""
        with self._database.reading() as cursor:
            row = cursor.execute(
                "SELECT * FROM prompts WHERE transcript IS NULL AND transcript_findings = '[]'"
                " ORDER BY discovered_at DESC, rowid DESC LIMIT 1"
            ).fetchone()
            return self._voice_sample(row) if row is not None else None

    def voice_sample(self, voice_sample_id: str) -> StoredVoiceSample:
        """Raises UnknownVoiceSample."""
        with self._database.reading() as cursor:
            return self._voice_sample(_voice_sample_row(cursor, voice_sample_id))

    def put_voice_sample(
        self, voice_sample_id: str, wav: Path, *, spare_voices: bool = False, **metadata: Unpack[Metadata]
    ) -> StoredVoiceSample:
        """Stores a recording, in place of the one the id had.

        The voices that use it stay, without the transcripts they gave the one before; with `spare_voices` it
        raises InUse where there are such. The same recording again is no other one: voices keep theirs, and
        it keeps its own if that is believed more than what comes now.

        wav: finished, at a path of `new_temporary`; gone from there afterwards, whatever happens. Raises
        BadValue for an id that cannot be one.
        """
        shas: set[str] = set()
        try:
            check_name(voice_sample_id, "prompt_id")
            with storage_errors():
                sha256 = _make_safe(wav)
            shas.add(sha256)
            with self._database.transaction() as cursor:
                before = cursor.execute("SELECT * FROM prompts WHERE id = ?", (voice_sample_id,)).fetchone()
                columns = _voice_sample_columns(voice_sample_id, sha256, metadata)
                if before is not None and before["sha256"] == sha256:
                    if _is_better(before, metadata.get("transcript_source")):
                        columns |= {name: before[name] for name in _TRANSCRIPT}
                elif before is not None:
                    if spare_voices:
                        _check_spared(cursor, voice_sample_id)
                    shas.add(before["sha256"])
                    cursor.execute("UPDATE voices SET transcript = NULL WHERE prompt = ?", (voice_sample_id,))
                # Within the transaction, so that nobody finds the file unused before the row is there.
                os.replace(wav, self._file(sha256))
                sync_folder(self._voice_samples)
                _put(cursor, "prompts", columns)
                return self._voice_sample(_voice_sample_row(cursor, voice_sample_id))
        finally:
            with suppress(OSError):
                wav.unlink(missing_ok=True)
            self._discard(shas)

    def set_transcript(
        self,
        voice_sample_id: str,
        transcript: str | None,
        source: Source | None,
        *,
        language: str | None = None,
        language_probability: float | None = None,
        findings: Iterable[str] = (),
        sha256: str | None = None,
        keep_better: bool = False,
    ) -> StoredVoiceSample:
        """Puts down what is said in a recording, or, with no transcript, why that is not known.

        sha256: the recording that was listened to. keep_better: a transcript that is there and comes from a
        source believed more than this one stays. Where nobody wrote this one, any that there is and is to be
        believed stays unless this one is too. Raises UnknownVoiceSample, also when the id has
        another recording by now.
        """
        with self._database.transaction() as cursor:
            row = _voice_sample_row(cursor, voice_sample_id)
            if sha256 is not None and row["sha256"] != sha256:
                raise UnknownVoiceSample(
                    "prompt_id: this voice sample has been replaced by another recording."
                )
            findings = tuple(findings)
            doubtful = source in (None, "whisper") and (bool(findings) or not transcript)
            if not (keep_better and _is_better(row, source)) and not (doubtful and _is_trustworthy(row)):
                cursor.execute(
                    "UPDATE prompts SET transcript = ?, transcript_source = ?, transcript_language = ?, "
                    "transcript_language_probability = ?, transcript_findings = ? WHERE id = ?",
                    (transcript, source, language, language_probability, _dumped(findings), voice_sample_id),
                )
            return self._voice_sample(_voice_sample_row(cursor, voice_sample_id))

    def delete_voice_sample(self, voice_sample_id: str, force: bool = False) -> tuple[str, ...]:
        """Removes a recording. Returns the ids of the voices that lost it, with the transcript they gave it.

        Raises UnknownVoiceSample; without `force`, InUse when there are such voices.
        """
        with self._database.transaction() as cursor:
            sha256 = _voice_sample_row(cursor, voice_sample_id)["sha256"]
            users = cursor.execute("SELECT id FROM voices WHERE prompt = ? ORDER BY id", (voice_sample_id,))
            voices = tuple(row["id"] for row in users)
            if voices and not force:
                raise InUse(f"In use by {_listed(voices)}: force=true takes it from them.")
            taken = "UPDATE voices SET prompt = NULL, transcript = NULL WHERE prompt = ?"
            cursor.execute(taken, (voice_sample_id,))
            cursor.execute("DELETE FROM prompts WHERE id = ?", (voice_sample_id,))
        self._discard({sha256})
        return voices

    def voices(self) -> list[StoredVoice]:
        """Those that come with the server first, as changed if they were, then the others by id."""
        with self._database.reading() as cursor:
            stored = {row["id"]: _voice(row) for row in cursor.execute("SELECT * FROM voices ORDER BY id")}
        return list({**{voice.id: _builtin(voice) for voice in BUILTIN_VOICES}, **stored}.values())

    def voice(self, voice_id: str) -> StoredVoice:
        """Raises UnknownVoice."""
        with self._database.reading() as cursor:
            return _find_voice(cursor, voice_id)

    def put_voice(self, voice: StoredVoice) -> StoredVoice:
        """Stores a voice, in place of the one of its id. `builtin` is not taken from it.

        Raises BadValue for an id, name, style or speaker that cannot be one, UnknownVoiceSample for a
        voice sample that is not stored. Ranges of numbers are the caller's to check.
        """
        with self._database.transaction() as cursor:
            return _put_voice(cursor, voice)

    def change_voice(self, voice_id: str, **changes: Unpack[VoiceChanges]) -> StoredVoice:
        """Changes what is given and nothing else. Raises UnknownVoice, and as `put_voice`."""
        with self._database.transaction() as cursor:
            return _put_voice(cursor, replace(_find_voice(cursor, voice_id), **changes))

    def delete_voice(self, voice_id: str) -> None:
        """Removes a voice; one that comes with the server is then as it came.

        Raises UnknownVoice; Forbidden for a voice as it came.
        """
        with self._database.transaction() as cursor:
            if _find_voice(cursor, voice_id).builtin:
                raise Forbidden("This voice comes with the server and cannot be deleted.")
            cursor.execute("DELETE FROM voices WHERE id = ?", (voice_id,))

    def config(self) -> dict[str, Any]:
        """What `put_config` stored last; empty if it never did."""
        with self._database.reading() as cursor:
            row = cursor.execute("SELECT value FROM configuration").fetchone()
        config: dict[str, Any] = json.loads(row["value"]) if row else {}
        return config

    def put_config(self, config: dict[str, Any]) -> None:
        """Stores what JSON can say, checked by the caller, in place of what was there."""
        with self._database.transaction() as cursor:
            _put(cursor, "configuration", {"id": 1, "value": _dumped(config)})

    def _discard(self, shas: set[str]) -> None:
        """Removes the files that no row uses. One that cannot be removed is left for the next `sweep`."""
        if not shas:
            return
        with suppress(StorageFailure), self._database.transaction() as cursor:
            for sha256 in shas:
                if cursor.execute("SELECT 1 FROM prompts WHERE sha256 = ?", (sha256,)).fetchone() is None:
                    self._file(sha256).unlink(missing_ok=True)

    def _file(self, sha256: str) -> Path:
        return self._voice_samples / f"{sha256}.wav"

    def _voice_sample(self, row: sqlite3.Row) -> StoredVoiceSample:
        columns = {name: row[name] for name in row.keys()}  # noqa: SIM118 -- iterating a row gives its values
        for name in _LISTS:
            columns[name] = tuple(json.loads(columns[name]))
        return StoredVoiceSample(path=self._file(row["sha256"]), **columns)


def check_name(name: str, field: str) -> str:
    """The name, if it can be one of a voice sample or voice; raises BadValue, which names the field.

    1 to 64 characters in Unicode's form NFKC: letters and digits of any script with their marks, "_", "-",
    "." and single spaces; no dot at the start, no space at either end.
    """
    if not (
        isinstance(name, str)
        and 1 <= len(name) <= MAX_NAME_CHARS
        and all(map(_may_be_in_name, name))
        and not name.startswith(".")
        and not unicodedata.category(name[0]).startswith("M")
        and all(name.split(" "))
        and unicodedata.normalize("NFKC", name) == name
    ):
        raise BadValue(
            f"takes 1 to {MAX_NAME_CHARS} letters, digits, '_', '-', '.' and single spaces between "
            "them, and does not begin with a dot.",
            field=field,
        )
    return name


def _may_be_in_name(character: str) -> bool:
    return character in "_-. " or unicodedata.category(character)[0] in "LM" or character.isdecimal()


def _check_voice(voice: StoredVoice) -> None:
    check_name(voice.id, "voice_id")
    check_name(voice.name, "name")
    if voice.primary_speaker not in get_args(Speaker):
        raise BadValue("one of S1 and S2.", field="primary_speaker")
    style = voice.style
    if not (isinstance(style, str) and 1 <= len(style) <= MAX_STYLE_CHARS and style.isprintable()):
        raise BadValue(f"takes 1 to {MAX_STYLE_CHARS} printable characters.", field="style")


def _put_voice(cursor: sqlite3.Cursor, voice: StoredVoice) -> StoredVoice:
    _check_voice(voice)
    if voice.voice_sample is not None:
        _voice_sample_row(cursor, voice.voice_sample)
    columns = asdict(voice)
    del columns["builtin"]
    columns["prompt"] = columns.pop("voice_sample")
    _put(cursor, "voices", columns)
    return _find_voice(cursor, voice.id)


def _find_voice(cursor: sqlite3.Cursor, voice_id: str) -> StoredVoice:
    row = cursor.execute("SELECT * FROM voices WHERE id = ?", (voice_id,)).fetchone()
    if row is not None:
        return _voice(row)
    for voice in BUILTIN_VOICES:
        if voice.id == voice_id:
            return _builtin(voice)
    raise UnknownVoice("no voice has this id.", field="voice_id")


def _voice(row: sqlite3.Row) -> StoredVoice:
    columns = {name: row[name] for name in row.keys()}  # noqa: SIM118 -- iterating a row gives its values
    columns["voice_sample"] = columns.pop("prompt")
    return StoredVoice(**columns)


def _builtin(voice: Voice) -> StoredVoice:
    return StoredVoice(voice.id, voice.name, voice.style, voice.primary_speaker, builtin=True)


def _check_spared(cursor: sqlite3.Cursor, voice_sample_id: str) -> None:
    """Raises InUse where a voice says itself what is said in the recording there is."""
    asked = "SELECT id FROM voices WHERE prompt = ? AND transcript IS NOT NULL ORDER BY id"
    voices = tuple(row["id"] for row in cursor.execute(asked, (voice_sample_id,)))
    if voices:
        raise InUse(
            f"This is another recording than the one that {_listed(voices)} gave a transcript: upload it, or"
            " take that transcript from the voice first."
        )


def _voice_sample_columns(voice_sample_id: str, sha256: str, metadata: Metadata) -> dict[str, Any]:
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
        **{name: _dumped(metadata.get(name, ())) for name in _LISTS},
    }


def _voice_sample_row(cursor: sqlite3.Cursor, voice_sample_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = cursor.execute(
        "SELECT * FROM prompts WHERE id = ?", (voice_sample_id,)
    ).fetchone()
    if row is None:
        raise UnknownVoiceSample("prompt_id: no voice sample has this id.")
    return row


def _put(cursor: sqlite3.Cursor, table: str, values: dict[str, Any]) -> None:
    """Inserts a row, or updates the one of its id, so that what refers to it goes on doing so."""
    columns = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values)
    insert = f"INSERT INTO {table} ({columns}) VALUES ({places})"
    cursor.execute(f"{insert} ON CONFLICT (id) DO UPDATE SET {changes}", values)


def _is_better(row: sqlite3.Row, source: Source | None) -> bool:
    """Whether a voice sample has a transcript from a source that takes precedence over the given one."""
    return bool(row["transcript"]) and _belief(row["transcript_source"]) > _belief(source)


def _is_trustworthy(row: sqlite3.Row) -> bool:
    """Whether a voice sample has a transcript that may condition a voice."""
    source, found = row["transcript_source"], tuple(json.loads(row["transcript_findings"]))
    return bool(row["transcript"]) and may_condition(source, found)


def _belief(source: Source | None) -> int:
    return len(BELIEF) - BELIEF.index(source) if source else 0


def _make_safe(wav: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; the file is on the disk afterwards."""
    with wav.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _listed(voices: tuple[str, ...]) -> str:
    return f"the voice {voices[0]}" if len(voices) == 1 else f"the voices {', '.join(voices)}"
