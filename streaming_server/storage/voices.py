"""Voices and the voice samples they are cloned from."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Unpack, get_args

from streaming_server.errors import (
    BadValue,
    Forbidden,
    InUse,
    StoreUnavailable,
    UnknownVoice,
    UnknownVoiceSample,
)
from streaming_server.storage.database import Database, Row, Transaction, storage_errors
from streaming_server.storage.files import ABANDONED_S, discard, remove_older, remove_strays, sha256_of
from streaming_server.storage.leases import Lease, Leases
from streaming_server.storage.names import check_name, storable
from streaming_server.storage.objects import Objects
from streaming_server.storage.recordings import Recordings
from streaming_server.storage.voice_records import (
    FILE_GONE,
    Metadata,
    StoredVoice,
    StoredVoiceSample,
    VoiceChanges,
)
from streaming_server.storage.voice_sample_rows import (
    LISTS,
    TRANSCRIPT,
    UNTRANSCRIBED,
    check_no_voice_transcripts,
    is_trustworthy,
    is_untranscribed,
    takes_precedence,
    to_json,
    voice_list,
    voice_sample_columns,
    voice_sample_row,
)
from streaming_server.transcription.transcript import Source
from streaming_server.types import BUILTIN_VOICES, EngineVoice, Speaker

MAX_STYLE_CHARS = 64

_TRANSCRIPTION = "transcription "
"""Prefix of a lease's name; the recording's SHA-256 follows."""

_TEMPORARY = re.compile(r"[0-9a-f]{32}\.[a-z]+")

TOPIC = "voices"
"""Announced when a voice, a voice sample or a transcript changes."""


class VoiceStore:
    """Rows in the database, recordings by their SHA-256, unfinished recordings in a folder of their own.

    Every call blocks for as long as the disk takes; threads may share a store. Every call may raise
    StorageFailure, and then nothing has changed. A row is visible only once its file is safe on the disk, so
    the server may be killed at any time; `sweep` deletes what that leaves behind.

    engine_voices: the voices of the running engine, which are built-in ones too.
    """

    def __init__(
        self,
        database: Database,
        recordings: Objects,
        temporaries: Path,
        engine_voices: Iterable[EngineVoice] = (),
    ) -> None:
        self._database = database
        self._leases = Leases(database)
        voices = [*map(EngineVoice, BUILTIN_VOICES), *engine_voices]
        self._builtin = {one.voice.id: _builtin(one) for one in voices}
        self._recordings = Recordings(database, recordings)
        self._temporaries = temporaries.absolute()
        with storage_errors():
            self._temporaries.mkdir(parents=True, exist_ok=True)

    @property
    def shared(self) -> bool:
        """True if other servers may change it too."""
        return self._database.shared

    @property
    def builtin_ids(self) -> frozenset[str]:
        """The ids of the built-in voices, changed or not."""
        return frozenset(self._builtin)

    def sweep(self) -> int:
        """Delete the files that a killed server left unfinished. Return how many.

        Call before uploads begin. Only regular files with names given by the store are deleted; files that
        cannot be deleted stay.
        """
        with self._database.transaction() as transaction:
            if self._database.shared:
                self._leases.clear_abandoned(transaction)
            else:
                self._leases.clear(transaction)
        orphans = self._recordings.sweep()
        with storage_errors():
            if self._database.shared:  # Another server may be using the folder.
                return orphans + remove_older(self._temporaries, time.time() - ABANDONED_S, _TEMPORARY)
            return orphans + remove_strays(self._temporaries, lambda name: bool(_TEMPORARY.fullmatch(name)))

    def new_temporary(self, suffix: str = ".wav") -> Path:
        """Return an unused path for an upload. `sweep` deletes what is left there.

        suffix: a dot and lower-case letters.
        """
        return self._temporaries / f"{uuid.uuid4().hex}{suffix}"

    def voice_samples(self) -> list[StoredVoiceSample]:
        """Return all voice samples, ordered by id."""
        with self._database.reading() as transaction:
            rows = transaction.rows("SELECT * FROM prompts")
        return [self._voice_sample(row) for row in sorted(rows, key=itemgetter("id"))]

    def next_without_transcript(self) -> StoredVoiceSample | None:
        """Return the latest one without a transcript, or None.

        Those whose transcription has failed and those that are being transcribed are passed over.
        """
        with self._database.reading() as transaction:
            row = transaction.row(
                f"SELECT * FROM prompts WHERE {UNTRANSCRIBED} AND NOT EXISTS"
                " (SELECT 1 FROM leases WHERE leases.name = :transcription || prompts.sha256"
                f" AND lease_until > {self._database.clock})"
                " ORDER BY discovered_at DESC, id DESC LIMIT 1",
                transcription=_TRANSCRIPTION,
            )
        return self._voice_sample(row) if row is not None else None

    def claim_transcription(self, voice_sample: StoredVoiceSample, *, again: bool = False) -> Lease | None:
        """Claim the transcription of a recording, until its lease ends.

        Return None if it is being transcribed or, without `again`, has been transcribed meanwhile.
        """
        name = _TRANSCRIPTION + voice_sample.sha256
        with self._database.exclusive() as transaction:
            if not again and not is_untranscribed(transaction, voice_sample):
                return None
            return None if self._leases.taken(transaction, name) else self._leases.take(transaction, name)

    def renew(self, lease: Lease) -> bool:
        """Extend the lease of a transcription. Return False if it has expired."""
        with self._database.transaction() as transaction:
            return self._leases.renew(transaction, lease)

    def release(self, lease: Lease) -> None:
        """End the lease of a transcription."""
        with self._database.transaction() as transaction:
            self._leases.release(transaction, lease)

    def fetch(self, voice_sample: StoredVoiceSample) -> None:
        """Fetch the recording to its `path`. Raise UnknownVoiceSample if it is gone or damaged."""
        try:
            self._recordings.fetch(voice_sample.sha256)
        except FileNotFoundError:
            raise UnknownVoiceSample(FILE_GONE) from None

    def fetched(self, voice_sample_id: str) -> StoredVoiceSample:
        """Return a voice sample whose recording is at its `path`. Raise as `voice_sample` and `fetch` do.

        A recording that is replaced meanwhile may be gone; then the new one is fetched.
        """
        missing = None
        while True:
            found = self.voice_sample(voice_sample_id)
            try:
                self.fetch(found)
                return found
            except UnknownVoiceSample:
                if found.sha256 == missing:
                    raise
                missing = found.sha256

    def forget(self, sha256: str) -> None:
        """Delete this machine's copy of a recording that no voice sample has any more."""
        self._recordings.forget(sha256)

    def voice_sample(self, voice_sample_id: str) -> StoredVoiceSample:
        """Raise UnknownVoiceSample."""
        with self._database.reading() as transaction:
            return self._voice_sample(voice_sample_row(transaction, voice_sample_id))

    def has_voice_sample(self, voice_sample_id: str) -> bool:
        try:
            self.voice_sample(voice_sample_id)
        except UnknownVoiceSample:
            return False
        return True

    def put_voice_sample(
        self,
        voice_sample_id: str,
        wav: Path,
        *,
        keep_voice_transcripts: bool = False,
        **metadata: Unpack[Metadata],
    ) -> StoredVoiceSample:
        """Store a recording, in place of the one of its id.

        Voices that use it lose their own transcripts of the previous recording; with
        `keep_voice_transcripts`, raise InUse instead. Storing the same recording again changes no voice, and
        keeps a transcript whose source takes precedence over the new one's.

        wav: a complete file at a path of `new_temporary`; it is gone afterwards in any case. Raise BadValue
        for an invalid id.
        """
        try:
            check_name(voice_sample_id, "prompt_id")
            with storage_errors():
                sha256 = sha256_of(wav)
            try:
                stored, replaced = self._put_voice_sample(
                    voice_sample_id, sha256, wav, metadata, keep_voice_transcripts=keep_voice_transcripts
                )
            except StoreUnavailable:
                # A deletion would fail too, after another timeout; `sweep` makes up for it.
                raise
            except BaseException:
                self._recordings.discard([sha256])
                raise
        finally:
            discard(wav)
        self._recordings.discard(replaced)
        return stored

    def _put_voice_sample(
        self,
        voice_sample_id: str,
        sha256: str,
        wav: Path,
        metadata: Metadata,
        *,
        keep_voice_transcripts: bool,
    ) -> tuple[StoredVoiceSample, list[str]]:
        """Store the file, then its row. Return the voice sample and the recordings it replaces.

        The file is stored outside of a transaction: a slow object store must not block other calls.
        """
        with self._recordings.kept(sha256) as lease:
            self._recordings.put(sha256, wav)
            replaced = []
            with self._database.exclusive() as transaction:
                self._recordings.check_kept(transaction, lease)
                before = transaction.row("SELECT * FROM prompts WHERE id = :id", id=voice_sample_id)
                columns = voice_sample_columns(voice_sample_id, sha256, metadata)
                if before is not None and before["sha256"] == sha256:
                    if takes_precedence(before, metadata.get("transcript_source")):
                        columns |= {name: before[name] for name in TRANSCRIPT}
                elif before is not None:
                    if keep_voice_transcripts:
                        check_no_voice_transcripts(transaction, voice_sample_id)
                    replaced.append(before["sha256"])
                    transaction.execute(
                        "UPDATE voices SET transcript = NULL WHERE prompt = :prompt", prompt=voice_sample_id
                    )
                _put(transaction, "prompts", columns)
                transaction.announce(TOPIC)
                stored = self._voice_sample(voice_sample_row(transaction, voice_sample_id))
        return stored, replaced

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
        """Store the transcript of a recording or, with None, the findings that explain why there is none.

        sha256: the recording it is of. keep_better: keep a stored transcript whose source takes precedence. A
        trustworthy transcript is never replaced by one of Whisper's that is not. Raise UnknownVoiceSample,
        also if the id has another recording by now.
        """
        with self._database.exclusive() as transaction:
            row = voice_sample_row(transaction, voice_sample_id)
            if sha256 is not None and row["sha256"] != sha256:
                raise UnknownVoiceSample("has another recording by now; try again.", field="prompt_id")
            findings = tuple(findings)
            doubtful = source in (None, "whisper") and (bool(findings) or not transcript)
            if not (keep_better and takes_precedence(row, source)) and not (doubtful and is_trustworthy(row)):
                transaction.execute(
                    "UPDATE prompts SET transcript = :transcript, transcript_source = :source,"
                    " transcript_language = :language, transcript_language_probability = :probability,"
                    " transcript_findings = :findings WHERE id = :id",
                    transcript=transcript,
                    source=source,
                    language=language,
                    probability=language_probability,
                    findings=to_json(findings),
                    id=voice_sample_id,
                )
                transaction.announce(TOPIC)
            return self._voice_sample(voice_sample_row(transaction, voice_sample_id))

    def delete_voice_sample(self, voice_sample_id: str, force: bool = False) -> tuple[str, ...]:
        """Delete a voice sample and take it from the voices that use it. Return their ids.

        Raise UnknownVoiceSample; without `force`, InUse if there are such voices.
        """
        with self._database.exclusive() as transaction:
            sha256 = voice_sample_row(transaction, voice_sample_id)["sha256"]
            users = transaction.rows("SELECT id FROM voices WHERE prompt = :prompt", prompt=voice_sample_id)
            voices = tuple(sorted(row["id"] for row in users))
            if voices and not force:
                raise InUse(f"In use by {voice_list(voices)}; use force=true to remove it from them.")
            transaction.execute(
                "UPDATE voices SET prompt = NULL, transcript = NULL WHERE prompt = :prompt",
                prompt=voice_sample_id,
            )
            transaction.execute("DELETE FROM prompts WHERE id = :id", id=voice_sample_id)
            transaction.announce(TOPIC)
        self._recordings.discard([sha256])
        return voices

    def voices(self) -> list[StoredVoice]:
        """Return the built-in voices first, as changed if they were, then the others ordered by id."""
        with self._database.reading() as transaction:
            rows = sorted(transaction.rows("SELECT * FROM voices"), key=itemgetter("id"))
        stored = {row["id"]: _voice(row) for row in rows}
        return list({**self._builtin, **stored}.values())

    def voice(self, voice_id: str) -> StoredVoice:
        """Raise UnknownVoice."""
        with self._database.reading() as transaction:
            return self._find_voice(transaction, voice_id)

    def put_voice(self, voice: StoredVoice) -> StoredVoice:
        """Store a voice, in place of the one of its id. Its `builtin` is ignored.

        Raise BadValue for an invalid id, name, style or speaker, UnknownVoiceSample for a voice sample that
        is not stored. Callers check the ranges of numbers.
        """
        with self._database.exclusive() as transaction:
            return self._put_voice(transaction, voice)

    def change_voice(self, voice_id: str, **changes: Unpack[VoiceChanges]) -> StoredVoice:
        """Change the given fields only. Raise UnknownVoice, and as `put_voice` does."""
        with self._database.exclusive() as transaction:
            return self._put_voice(transaction, replace(self._find_voice(transaction, voice_id), **changes))

    def delete_voice(self, voice_id: str) -> None:
        """Delete a voice, or restore a built-in one.

        Raise UnknownVoice; Forbidden for an unchanged built-in voice.
        """
        with self._database.exclusive() as transaction:
            if self._find_voice(transaction, voice_id).builtin:
                raise Forbidden("Built-in voices cannot be deleted.")
            transaction.execute("DELETE FROM voices WHERE id = :id", id=voice_id)
            transaction.announce(TOPIC)

    def _put_voice(self, transaction: Transaction, voice: StoredVoice) -> StoredVoice:
        _check_voice(voice)
        if voice.voice_sample is not None:
            voice_sample_row(transaction, voice.voice_sample)
        columns = asdict(voice)
        del columns["builtin"]
        columns["prompt"] = columns.pop("voice_sample")
        _put(transaction, "voices", columns)
        transaction.announce(TOPIC)
        return self._find_voice(transaction, voice.id)

    def _find_voice(self, transaction: Transaction, voice_id: str) -> StoredVoice:
        row = transaction.row("SELECT * FROM voices WHERE id = :id", id=storable(voice_id))
        if row is not None:
            return _voice(row)
        if voice_id in self._builtin:
            return self._builtin[voice_id]
        raise UnknownVoice("must be the id of a voice.", field="voice_id")

    def _voice_sample(self, row: Row) -> StoredVoiceSample:
        columns = dict(row)
        for name in LISTS:
            columns[name] = tuple(json.loads(columns[name]))
        return StoredVoiceSample(path=self._recordings.path(row["sha256"]), **columns)


def _check_voice(voice: StoredVoice) -> None:
    check_name(voice.id, "voice_id")
    check_name(voice.name, "name")
    if voice.primary_speaker not in get_args(Speaker):
        raise BadValue("must be S1 or S2.", field="primary_speaker")
    style = voice.style
    if not (isinstance(style, str) and 1 <= len(style) <= MAX_STYLE_CHARS and style.isprintable()):
        raise BadValue(f"must be 1 to {MAX_STYLE_CHARS} printable characters.", field="style")


def _voice(row: Row) -> StoredVoice:
    columns = dict(row)
    columns["voice_sample"] = columns.pop("prompt")
    return StoredVoice(**columns)


def _builtin(one: EngineVoice) -> StoredVoice:
    voice = one.voice
    return StoredVoice(
        voice.id, voice.name, voice.style, voice.primary_speaker, builtin=True, language=one.language
    )


def _put(transaction: Transaction, table: str, values: dict[str, Any]) -> None:
    """Insert a row or update the one of its id; references to it stay valid."""
    columns = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = excluded.{name}" for name in values)
    insert = f"INSERT INTO {table} ({columns}) VALUES ({places})"
    transaction.execute(f"{insert} ON CONFLICT (id) DO UPDATE SET {changes}", **values)
